"""
Tags, and a threshold for each
==============================

Several labels may hold at once. Thresholds are chosen on validation clips, one per label.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.metrics import tagging, thresholds
from dcasekit.plots import label_bars
from dcasekit.scores import pool

model = load("quickstart_tags")
dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "unheard",
    clips=80,
    seed=11,
    task="tagging",
)
dataset.download()
model.features.extract(dataset)
split = dataset.split("fold1")


def answer(clips):
    """Truth and scores of clips, (clips, labels)."""
    data = DataGenerator(dataset, model.features, folds=clips, train=False)
    return data.reference()["truth"], np.concatenate(
        [pool(scores).values for scores in model.predict(data)]
    )


# %%
chosen = thresholds.best_f1(*answer((*split.train, *split.validation)), labels=dataset.labels)
truth, scores = answer(split.test)
half = tagging.evaluate(truth, scores, labels=dataset.labels)
tuned = tagging.evaluate(truth, scores, labels=dataset.labels, threshold=[*chosen.values()])
print(
    f"mAP {half['average_precision/macro']:.2f}; F1 {half['f1/macro']:.2f} at 0.5, {tuned['f1/macro']:.2f} at chosen thresholds"
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
label_bars(
    {label: half[f"average_precision/{label}"] for label in dataset.labels},
    name="average precision",
    ax=axes[0],
)
label_bars(chosen, name="threshold", ax=axes[1])
plt.show()
