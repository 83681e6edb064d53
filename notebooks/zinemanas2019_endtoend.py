# %% [markdown]
# # Zinemanas et al. 2019: a network that learns its own mel spectrogram
#
# SMel learns mel spectrograms from windowed frames, MST from the waveform; each is then put in front of a CNN that knows the events of
# URBAN-SED, and both go on together. With SMel the pair is as good as the CNN on computed bands (F1 56.8 % and 57.0 %), with MST it is not
# (49.8 %). Here the recipe `zinemanas2019_endtoend` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/zinemanas2019_endtoend.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import load
from dcasekit.generator import file_windows
from dcasekit.plots import label_bars
from dcasekit.recipes import zinemanas2019_endtoend as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: an epoch each
OUT = Path("runs/zinemanas2019_endtoend")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, clips=40, epochs=1, front_epochs=1, pair_epochs=1, filters=8), {}

# %%
report = recipe.run(config, data, OUT, progress=True)
for section in report.sections:
    print(section.name, {name: f"{value:.3f}" for name, value in section.measures.items()})
    print({name: published.value for name, published in section.published.items()})

# %% [markdown]
# ## Seen
#
# The same second of a test soundscape, as the CNN alone gets it, computed, and as each learned front end gives it to the CNN behind it; and
# how well each system hears.

# %%
results = report.sections[0].folds["test"]
path = results.paths[int(np.argmax([len(results.events[clip]) for clip in results.clips]))]
cnn = load(OUT / "models" / "cnn")
pictures = {"computed": next(iter(file_windows(path, features=cnn.features, scaler=cnn.scaler).windows))[0]}
pictures |= {front: load(OUT / "models" / f"{front}_cnn").embed("first", [path])[0][0] for front in ("smel", "mst")}
figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
for ax, (name, bands) in zip(axes, pictures.items(), strict=False):
    ax.imshow(bands.T, aspect="auto", origin="lower", cmap="magma", vmin=-1, vmax=1)
    ax.set(title=name, xlabel="frame", ylabel="mel band")
f1 = {section.name: section.measures["f1/micro"] for section in report.sections}
label_bars(f1, intervals={section.name: section.intervals["f1/micro"] for section in report.sections}, name="F1", ax=axes[3])
plt.show()
