# %% [markdown]
# # DCASE 2020 task 1: scenes through many devices
#
# The challenge's baseline gives each second to OpenL3, a network that has learned from millions of videos, and learns scenes from its
# embeddings with dense layers: 54.1 % over ten scenes and nine devices. DCASE-models adds AutoPool, which learns for each scene how much
# the loudest evidence counts against the mean. Here the recipe `dcase2020_task1` runs; without the data in `DCASEKIT_DATA` on synthetic
# sounds, small, mel bands in place of OpenL3.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/dcase2020_task1.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import load
from dcasekit.plots import confusion_matrix
from dcasekit.recipes import dcase2020_task1 as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs
OUT = Path("runs/dcase2020_task1")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, epochs=2), {}

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
# Left: which scenes are taken for which. Right: AutoPool's number for each scene, which begins at 1. At 0 all frames count alike; the
# larger it is, the more those count that are most like the scene.

# %%
results, weights = section.folds["fold1"], load(OUT / "model").weights()
[alpha] = [array for name, array in weights.items() if name.endswith("alpha")]
figure, axes = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained", width_ratios=(1.4, 1))
confusion_matrix(results.confusion, results.labels, ax=axes[0])
axes[1].barh(results.labels, alpha)
axes[1].invert_yaxis()
axes[1].axvline(0, color="gray", linewidth=0.8)
axes[1].set_xlabel("AutoPool's number: 0 the mean, large the maximum")
plt.show()
