"""
Changing batches while training
===============================

What is cheap is done to windows of features, anew in each epoch: ``train(augment=[...])`` takes functions of a batch.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator
from dcasekit.batch_augmentations import (
    add_noise,
    between_class,
    equalize,
    frequency_shift,
    mixup,
    random_crop,
    random_gain,
    spec_augment,
    time_shift,
)
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import Mel, MelSpectrogram

dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "scenes", clips=40, seconds=2.0, seed=7
)
dataset.download()
features = MelSpectrogram(
    sr=16000, audio_win=800, audio_hop=400, mel=Mel(bands=64), sequence_time=None
)
features.extract(dataset)
batch = next(iter(DataGenerator(dataset, features, folds=dataset.clips[:16], train=False)))

# %%
# Each takes windows, targets and a random generator, and gives new ones.

changes = {
    "time_shift": time_shift,
    "random_crop": partial(random_crop, frames=40),
    "frequency_shift": partial(frequency_shift, bands=8),
    "spec_augment": partial(spec_augment, time_frames=15, bands=12),
    "equalize": partial(equalize, deviation=10.0),
    "random_gain": partial(random_gain, decibels=20.0),
    "add_noise": partial(add_noise, low=-40.0, high=-30.0),
    "mixup": partial(mixup, alpha=8.0),
    "between_class": between_class,
}
figure, axes = plt.subplots(5, 2, figsize=(9, 12), layout="constrained")
low, high = batch.x[0].min(), batch.x[0].max()
axes[0, 0].imshow(
    batch.x[0].T, aspect="auto", origin="lower", cmap="magma", vmin=low, vmax=high
)
axes[0, 0].set_title("a window as it was")
for ax, (name, change) in zip(axes.flat[1:], changes.items(), strict=True):
    x, y = change(batch.x, batch.y, np.random.default_rng(3))
    ax.imshow(x[0].T, aspect="auto", origin="lower", cmap="magma", vmin=low, vmax=high)
    held = ", ".join(
        f"{label} {value:.2f}"
        for label, value in zip(dataset.labels, y[0], strict=True)
        if value > 0
    )
    ax.set_title(f"{name}: {held}")
plt.show()
