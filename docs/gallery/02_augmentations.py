"""
Augmentations, before and after
===============================

What is random is drawn first and can be printed; then it is done. Events move with the sound.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import audio
from dcasekit.augmentations import (
    Codec,
    Gain,
    LowPass,
    PitchShift,
    Reverb,
    Reverse,
    Shift,
    TimeStretch,
    WhiteNoise,
)
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import spectrogram

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
# Nine changes of one recording.

rng = np.random.default_rng(0)
changes = [
    TimeStretch(factor=0.8),
    PitchShift(n_semitones=4),
    Shift(),
    WhiteNoise(snr=10),
    Reverb(),
    LowPass(min_hz=800, max_hz=1200),
    Gain(min_db=-12, max_db=-6),
    Codec(),
    Reverse(),
]
results = {"as it was": (sound, clip.events)}
for change in changes:
    drawn = change.draw(rng)
    results[type(change).__name__] = change.apply(sound, clip.events, drawn, sr=sr)
    print(type(change).__name__, drawn)

figure, axes = plt.subplots(5, 2, figsize=(10, 13), layout="constrained")
for ax, (name, (changed, events)) in zip(axes.flat, results.items(), strict=True):
    spectrogram(changed, sr, events=events, ax=ax)
    ax.set(title=name, xlabel="", xlim=(0, len(sound) / sr / 0.8))
plt.show()

# %%
# Listen.

sounds = {
    name: (np.clip(results[name][0], -1, 1), sr)
    for name in ("as it was", "TimeStretch", "PitchShift", "Reverb", "Reverse")
}
