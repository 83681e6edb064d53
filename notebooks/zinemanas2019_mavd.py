# %% [markdown]
# # Zinemanas et al. 2019: traffic in Montevideo, in three levels of detail
#
# MAVD labels traffic by vehicles (a bus), by what of them sounds (brakes) and by both (brakes of a bus). A CNN that has learned other
# sounds, those of URBAN-SED, gets a new head for each level and hears vehicles with an F1 of 57 %, pairs with 39 %: the finer, the harder.
# Here the recipe `zinemanas2019_mavd` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/zinemanas2019_mavd.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import to_events
from dcasekit.plots import label_bars, timeline
from dcasekit.recipes import zinemanas2019_mavd as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs
OUT = Path("runs/zinemanas2019_mavd")
ROOT = Path(os.environ.get("DCASEKIT_DATA", "data"))
data = {name: ROOT / name for name in recipe.DATASETS if (ROOT / name).exists()}
config = recipe.Config() if len(data) == len(recipe.DATASETS) else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, clips=40, epochs=2, filters=8), {}

# %%
report = recipe.run(config, data, OUT, progress=True)
for section in report.sections:
    print(section.name, {name: f"{value:.3f}" for name, value in section.measures.items()})
    print({name: published.value for name, published in section.published.items()})

# %% [markdown]
# ## Seen
#
# Left: F1 in segments of 1 s of the network that all begins with, and of each level. Right: a test recording's vehicles (blue), and those
# that were found.

# %%
f1, intervals = ({one.name: getattr(one, what)["f1/micro"] for one in report.sections} for what in ("measures", "intervals"))
vehicles = report.sections[1].folds["test"]
clip = max(vehicles.clips, key=lambda one: len({event.label for event in vehicles.events[one]}))
scores = vehicles.scores[vehicles.clips.index(clip)]
figure, axes = plt.subplots(1, 2, figsize=(13, 3.8), layout="constrained")
label_bars(f1, intervals=intervals, name="F1 in segments of 1 s", ax=axes[0])
timeline(vehicles.events[clip], to_events(scores), duration=scores.edges[-1], ax=axes[1])
axes[1].set_title(clip)
plt.show()
