"""
Soundscapes with exact labels
=============================

Any dataset with one label per clip becomes strongly labelled mixtures: events cut out, placed at drawn times and levels over a background.
"""

import tempfile
from collections import Counter
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio
from dcasekit.datasets import Mixing, Soundscapes
from dcasekit.plots import spectrogram
from dcasekit.testing import make_dataset

folder = Path(tempfile.gettempdir()) / "dcasekit-gallery"
foreground = make_dataset(
    "esc10", folder / "esc10", clips=60, seconds=2.0, sr=22050
)  # yours: ESC50("data/ESC-50")

# %%
# Folds stay apart: a soundscape of a fold uses clips of that fold only.

dataset = Soundscapes(
    folder / "mixed",
    foreground=foreground,
    clips=10,
    seconds=8.0,
    mixing=Mixing(snr=(5.0, 20.0)),
    seed=1,
)
dataset.download()
print(Counter(event.label for clip in dataset.clips for event in clip.events))

clips = sorted(dataset.clips, key=lambda clip: -len(clip.events))[:3]
figure, axes = plt.subplots(3, 1, figsize=(9, 9), layout="constrained")
for ax, clip in zip(axes, clips, strict=True):
    spectrogram(*audio.read(clip.path), events=clip.events, ax=ax)
    ax.set_title(f"{clip.id}, {clip.fold}")
plt.show()

# %%
sounds = {clips[0].id: audio.read(clips[0].path)}
