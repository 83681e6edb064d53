"""
Events over a spectrogram
=========================

What sounds when, and what a trained network says of it. ``quickstart_events`` comes with the package.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio, load, to_events
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import spectrogram, timeline

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
# Scores over time, joined to events where they exceed a threshold.

(scores,) = load("quickstart_events").predict([clip.path])
found = to_events(scores, threshold=0.5)
for event in found:
    print(event)

figure, axes = plt.subplots(3, 1, figsize=(9, 9), layout="constrained", sharex=True)
spectrogram(sound, sr, events=clip.events, ax=axes[0])
timeline(clip.events, found, duration=clip.duration, ax=axes[1])
axes[1].set_title("above what sounds (blue), below what was found (orange)")
axes[2].imshow(
    scores.values.T,
    aspect="auto",
    cmap="Blues",
    extent=(0, clip.duration, len(scores.labels), 0),
    vmin=0,
    vmax=1,
)
axes[2].set_yticks([n + 0.5 for n in range(len(scores.labels))], scores.labels)
axes[2].set(title="scores", xlabel="time, s")
plt.show()

# %%
sounds = {"the recording": (sound, sr)}
