# %% [markdown]
# # Adavanne et al. 2017: the best epoch, and who chose it
#
# A convolutional recurrent network hears cars, people and brakes in the streets of TUT Sound Events 2017. Its public code keeps the epoch
# with the lowest error rate on the very recordings that it then reports on. The recipe `adavanne2017_acrnn` does it so, and once with a
# fold in between, which neither trains nor tests. Without the data in `DCASEKIT_DATA` it runs on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/adavanne2017_acrnn.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit.plots import label_bars, learning_curves
from dcasekit.recipes import adavanne2017_acrnn as recipe
from dcasekit.testing import make_dataset

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: three epochs
OUT = Path("runs/adavanne2017_acrnn")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config = replace(recipe.QUICK, epochs=3, filters=4)
    data = {recipe.DATASETS[0]: make_dataset(recipe.DATASETS[0], OUT / "made", clips=30, seconds=2.0, sr=44100).root}

# %%
report = recipe.run(config, data, OUT, progress=True)
for section in report.sections:
    print(section.name, {name: f"{value:.3f}" for name, value in section.measures.items()})
for name, published in report.sections[0].published.items():
    print(f"{name}: {published.value:.3f} ({published.differs})")

# %% [markdown]
# ## Seen
#
# The error rate that chooses the epoch, on the recordings that are tested and on others, of each fold; and what each choice then reports.
# What is chosen on the test is the lowest point of its own curve, so it is too good.

# %%
shown = dict(zip(("other fold", "tested fold"), report.sections, strict=True))
figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for ax, (name, section) in zip(axes, shown.items(), strict=False):
    learning_curves(section.histories, quantity="error_rate", ax=ax)
    ax.set_ylabel(f"error rate, {name}")
label_bars({name: section.measures["segment_error_rate"] for name, section in shown.items()}, write="{:.2f}".format, ax=axes[2])
axes[2].set_xlabel("error rate reported")
plt.show()
