"""
Features side by side
=====================

One recording as five features. A frame is a column; what a network learns from is one of these arrays.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import MFCC, Mel, MelSpectrogram, Spectrogram

dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "events",
    task="detection",
    clips=40,
    seed=7,
)
dataset.download()
clip = max(dataset.clips, key=lambda clip: len(clip.events))
sound, sr = audio.read(clip.path)

# %%
# Settings have names; `compute` takes audio and gives (frames, dims).

common = {"sr": sr, "audio_win": 800, "audio_hop": 400}
features = {
    "Spectrogram": Spectrogram(**common),
    "MelSpectrogram, 64 bands": MelSpectrogram(**common, mel=Mel(bands=64)),
    "MelSpectrogram, linear": MelSpectrogram(**common, mel=Mel(bands=64), log=None),
    "MFCC": MFCC(**common),
    "preset dcase2018_task4": MelSpectrogram.preset(
        "dcase2018_task4", sr=sr, audio_win=800, audio_hop=400
    ),
}
figure, axes = plt.subplots(len(features), 1, figsize=(9, 11), layout="constrained")
for ax, (name, feature) in zip(axes, features.items(), strict=True):
    frames = feature.compute(sound)
    ax.imshow(
        frames.T,
        aspect="auto",
        origin="lower",
        cmap="magma",
        extent=(0, len(sound) / sr, 0, frames.shape[1]),
    )
    ax.set(title=f"{name}: {frames.shape[0]} frames x {frames.shape[1]}", ylabel="dim")
axes[-1].set_xlabel("time, s")
plt.show()
