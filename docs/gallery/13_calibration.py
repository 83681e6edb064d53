"""
Are scores probabilities?
=========================

Of all scores of 0.8, are 80 % right? The curve shows it; on the diagonal they are.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.metrics import calibration
from dcasekit.plots import reliability
from dcasekit.scores import pool

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, (name, task) in zip(
    axes,
    {"quickstart_scenes": "classification", "quickstart_tags": "tagging"}.items(),
    strict=True,
):
    model = load(name)
    dataset = SyntheticSounds(
        Path(tempfile.gettempdir()) / "dcasekit-gallery" / "unheard",
        clips=80,
        seed=11,
        task=task,
    )
    dataset.download()
    model.features.extract(dataset)
    data = DataGenerator(dataset, model.features, folds=dataset.clips, train=False)
    truth, scores = (
        data.reference()["truth"],
        np.concatenate([pool(each).values for each in model.predict(data)]),
    )
    if task == "classification":
        truth, scores = calibration.top_label(truth, scores)
    curve = calibration.reliability(truth, scores, bins=8)
    reliability(curve, ax=ax)
    ax.set_title(f"{task}: expected error {curve.expected_error:.2f}")
plt.show()
