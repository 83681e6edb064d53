"""
Thresholds and the PSD-ROC
==========================

One threshold gives one point: so many events found at so many false alarms per hour. All thresholds give a curve, and the area below it is
the PSDS.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load, to_events
from dcasekit.datasets import SyntheticSounds
from dcasekit.metrics import psds, segment
from dcasekit.plots import psd_roc

model = load("quickstart_events")
dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "events",
    task="detection",
    clips=40,
    seed=7,
)
dataset.download()
model.features.extract(dataset)
results = model.evaluate(
    DataGenerator(dataset, model.features, folds=dataset.clips, train=False)
)
scores = dict(zip(results.clips, results.scores, strict=True))

# %%
# F1 depends on the threshold; `best_f1` looks at all of them.

grid = np.linspace(0.05, 0.95, 19)
f1 = [
    segment.evaluate(
        results.events,
        {clip: to_events(each, threshold=limit) for clip, each in scores.items()},
        labels=results.labels,
    )["f1/micro"]
    for limit in grid
]
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
axes[0].plot(grid, f1)
axes[0].set(xlabel="threshold", ylabel="segment-based F1", title="F1 at each threshold")
psd_roc(results.psd_roc(psds.PSDS2), ax=axes[1])
axes[1].set_title("PSD-ROC (scenario 2)")
plt.show()

# %%
durations = dict(zip(results.clips, results.durations, strict=True))
for name, setting in {"PSDS 1": psds.PSDS1, "PSDS 2": psds.PSDS2}.items():
    print(name, round(psds.psds(results.events, scores, durations, **setting)["psds"], 3))
