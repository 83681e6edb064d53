"""
cSEBBs against a median filter
==============================

A median filter smooths, then a threshold cuts: the lower the threshold, the longer the events. Change-point boxes (cSEBBs) find where the score
jumps, so an event's extent does not depend on the threshold.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load, to_events
from dcasekit.datasets import SyntheticSounds
from dcasekit.metrics import psds
from dcasekit.plots import timeline
from dcasekit.scores import median_filter
from dcasekit.scores.postprocessing import boxes_to_scores, csebbs

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
filtered = {
    clip: median_filter(each, seconds=1.5, pad="reflect") for clip, each in scores.items()
}
boxes = {clip: csebbs(each, step_filter_length=1.0) for clip, each in scores.items()}
drawn = {
    clip: boxes_to_scores(found, results.labels, scores[clip].edges)
    for clip, found in boxes.items()
}
durations = dict(zip(results.clips, results.durations, strict=True))
for name, found in {
    "scores as they are": scores,
    "median filter": filtered,
    "cSEBBs": drawn,
}.items():
    print(
        f"{name:20} PSDS 2 {psds.psds(results.events, found, durations, **psds.PSDS2)['psds']:.3f}"
    )

# %%
# One clip at two thresholds.

clip = max(dataset.clips, key=lambda clip: len(clip.events))
figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
for row, (name, found) in zip(
    axes, {"median filter": filtered, "cSEBBs": drawn}.items(), strict=True
):
    for ax, threshold in zip(row, (0.3, 0.6), strict=True):
        timeline(
            clip.events,
            to_events(found[clip.id], threshold=threshold),
            duration=clip.duration,
            ax=ax,
        )
        ax.set_title(f"{name}, threshold {threshold}")
plt.show()
