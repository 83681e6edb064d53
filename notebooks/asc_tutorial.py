# %% [markdown]
# # The acoustic scene tutorial: ten scenes of a city
#
# T. Heittola's tutorial tells airports from parks with two convolutions on 40 mel bands of whole clips of 10 s (TUT Urban Acoustic Scenes
# 2018). Its answer is a confusion matrix, and a single number, 61.6 %: the mean of the ten scenes' accuracies. Here the recipe
# `asc_tutorial` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/asc_tutorial.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit.plots import confusion_matrix, learning_curves
from dcasekit.recipes import asc_tutorial as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs
OUT = Path("runs/asc_tutorial")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, epochs=2, clips=60, best_from=1), {}

# %% [markdown]
# The recipe makes features, splits by location, trains, tests and writes a report. Stopped, it goes on where it was.

# %%
report = recipe.run(config, data, OUT, progress=True)
section = report.sections[0]
for table in section.own_tables:
    print(table, end="\n\n")
for name, value in section.measures.items():
    print(f"{name}: {value:.3f}")
for name, published in section.published.items():
    print(f"{name}: {published.value:.3f}")

# %% [markdown]
# ## Seen
#
# Left: accuracy while it learned. Since validation clips come from places that were not trained on, the curves part. Right: which scenes
# are taken for which.

# %%
results, history = section.folds["fold1"], section.histories["fold1"]
figure, axes = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
learning_curves(history, quantity="accuracy", ax=axes[0])
confusion_matrix(results.confusion, results.labels, ax=axes[1])
plt.show()
