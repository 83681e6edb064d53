# %% [markdown]
# # DCASE 2023 task 4B: how sure were the annotators?
#
# Several people listened to recordings of a city (MAESTRO Real); the share of them who heard a sound in a second is its label, a number
# from 0 to 1. The baseline learns that number by the squared error, in five folds. Its answers are measured by F1 at the best threshold of
# each label: 42.9 %. Here the recipe `dcase2023_task4b` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/dcase2023_task4b.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit.annotations import events_to_roll
from dcasekit.plots import label_bars
from dcasekit.recipes import dcase2023_task4b as recipe
from dcasekit.testing import make_dataset

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs
OUT = Path("runs/dcase2023_task4b")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config = replace(recipe.QUICK, epochs=2, filters=(8, 8, 8))
    data = {recipe.DATASETS[0]: make_dataset(recipe.DATASETS[0], OUT / "made", clips=20, seconds=8.0, sr=22050).root}

# %%
report = recipe.run(config, data, OUT, progress=True)
section = report.sections[0]
measures = {name: value for name, value in section.measures.items() if np.isfinite(value)}
for name, value in measures.items():
    print(f"{name}: {value:.3f}")
for name, published in section.published.items():
    print(f"{name}: {published.value:.3f}")

# %% [markdown]
# ## Seen
#
# The recording with most agreement in it, second by second: what share of the annotators heard each sound, and what the network answers.
# Under them the measures.

# %%
results = section.pooled
true = {
    clip: events_to_roll(results.events[clip], results.labels, scores.edges)
    for clip, scores in zip(results.clips, results.scores, strict=True)
}
clip = max(true, key=lambda one: true[one].sum())
values = results.scores[results.clips.index(clip)].values
common = np.argsort(-true[clip].mean(axis=0))[:3]
figure, axes = plt.subplots(len(common) + 1, 1, figsize=(10, 9), layout="constrained")
for axis, label in zip(axes, common, strict=False):
    axis.step(np.arange(len(values)), true[clip][:, label], where="post", label="annotators")
    axis.step(np.arange(len(values)), values[:, label], where="post", label="network")
    axis.set(title=results.labels[label], ylim=(-0.02, 1.02), xlabel="time, s")
axes[0].legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1), frameon=False)
label_bars({name: value for name, value in measures.items() if "f1" in name}, intervals=section.intervals, ax=axes[-1])
plt.show()
