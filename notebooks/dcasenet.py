# %% [markdown]
# # DcaseNet: scenes, tags and events by one network
#
# J. Jung et al. (ICASSP 2021) train one network on three tasks at once, a batch of each in every step, and tune it to each task afterwards.
# Their tables say that this beats learning each task alone. Here the recipe `dcasenet` runs; without the data in `DCASEKIT_DATA` on made
# sounds, small: then the numbers say that it works, not which is better. `joint_training.py` asks that of real sounds.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/dcasenet.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit.plots import label_bars
from dcasekit.recipes import dcasenet as recipe
from dcasekit.testing import make_dataset

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two steps
OUT = Path("runs/dcasenet")
ROOT = Path(os.environ.get("DCASEKIT_DATA", "data"))
data = {name: ROOT / name for name in recipe.DATASETS if (ROOT / name).exists()}
config = recipe.Config() if len(data) == len(recipe.DATASETS) else recipe.QUICK
if QUICK:
    config = replace(recipe.QUICK, epochs=1, steps=2)
    data = {name: make_dataset(name, OUT / "made" / name, clips=40, seconds=1.6).root for name in recipe.DATASETS[1:]}

# %%
report = recipe.run(config, data, OUT, progress=True)
table = report.sections[0].own_tables[0]
print(table)

# %% [markdown]
# ## Seen
#
# Each task by its own measure: this run after joint training, and tuned; the paper's figures for the same network beside it.

# %%
rows = {name: dict(zip(table.columns[1:], values, strict=True)) for name, *values in table.rows}
shown = {name: row for name, row in rows.items() if name.startswith((f"{config.version},", "this run"))}
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
for ax, measure in zip(axes, table.columns[1:4], strict=True):
    values = {name: row[measure] for name, row in shown.items()}
    label_bars(values, name=measure, colors={name: "tab:gray" for name in values if not name.startswith("this")}, ax=ax)
plt.show()
