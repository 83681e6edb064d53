"""
What top_db does
================

librosa cuts levels at 80 dB below *the clip's own* maximum. So the same quiet sound looks different once something loud happens. Here nothing
is cut unless asked for.
"""

import numpy as np
from matplotlib import pyplot as plt

from dcasekit.features import Decibels, Mel, MelSpectrogram

sr = 16000
rng = np.random.default_rng(0)
quiet = (1e-5 * rng.standard_normal(2 * sr)).astype(np.float32)
loud = quiet.copy()
loud[sr : sr + 200] = 0.9  # a bang in the middle

# %%
# The first second is the same sound in both.

settings = {"sr": sr, "audio_win": 800, "audio_hop": 400, "mel": Mel(bands=40)}
figure, axes = plt.subplots(
    2, 2, figsize=(9, 6), layout="constrained", sharex=True, sharey=True
)
for row, (name, log) in zip(
    axes, {"not cut": Decibels(), "top_db=80": Decibels(top_db=80.0)}.items(), strict=True
):
    feature = MelSpectrogram(**settings, log=log)
    for ax, (what, sound) in zip(
        row, {"quiet": quiet, "quiet, then a bang": loud}.items(), strict=True
    ):
        frames = feature.compute(sound)
        ax.imshow(
            frames.T,
            aspect="auto",
            origin="lower",
            cmap="magma",
            extent=(0, 2, 0, 40),
            vmin=-120,
            vmax=0,
        )
        ax.set_title(f"{name}, {what}: first second {frames[:36].mean():.0f} dB")
plt.show()
