# %% [markdown]
# # Salamon et al. 2017: events in synthetic soundscapes
#
# Scaper mixed the sounds of UrbanSound8K into ten thousand soundscapes of 10 s, with the times of every event known exactly: URBAN-SED. A
# CNN that says for each second what sounds in it reached 56.9 % F1. Here the recipe `salamon2017_scaper` runs; without the data in
# `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/salamon2017_scaper.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import to_events
from dcasekit.plots import label_bars, timeline
from dcasekit.recipes import salamon2017_scaper as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs
OUT = Path("runs/salamon2017_scaper")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, clips=60, epochs=2), {}

# %%
report = recipe.run(config, data, OUT, progress=True)
section = report.sections[0]
for name, value in section.measures.items():
    print(f"{name}: {value:.3f}")
for name, published in section.published.items():
    print(f"{name}: {published.value:.3f} ({published.differs})")

# %% [markdown]
# ## Seen
#
# Left: F1 of each sound, in segments of 1 s. Right: the test soundscape with most events, above what sounds (blue), below what was found.

# %%
results = section.folds["test"]
clip = max(results.clips, key=lambda one: len(results.events[one]))
f1 = {label: results.numbers[f"f1/{label}"] for label in results.labels}
scores = results.scores[results.clips.index(clip)]
figure, axes = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained")
label_bars({label: 0.0 if np.isnan(value) else value for label, value in f1.items()}, name="F1 in segments of 1 s", ax=axes[0])
timeline(results.events[clip], to_events(scores), duration=scores.edges[-1], ax=axes[1])
axes[1].set_title(clip)
plt.show()
