"""
Annotations in Audacity, Raven and JAMS
=======================================

What a model found, as files that other programs open; and read back.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio, load, to_events
from dcasekit.annotations import annotation_formats, read_annotation, write_annotation
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import spectrogram

folder = Path(tempfile.gettempdir()) / "dcasekit-gallery"
dataset = SyntheticSounds(folder / "events", task="detection", clips=40, seed=7)
dataset.download()
clip = max(dataset.clips, key=lambda clip: len(clip.events))
(scores,) = load("quickstart_events").predict([clip.path])
found = to_events(scores)

# %%
for name, ending in annotation_formats().items():
    path = write_annotation(
        folder / f"found{ending}", found, format=name, duration=clip.duration
    )
    back = read_annotation(path, format=name)
    print(
        f"{path.name}: {len(back)} events, the same labels: {[e.label for e in back] == [e.label for e in found]}"
    )
    print(path.read_text()[:160], end="\n\n")

# %%
figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
spectrogram(*audio.read(clip.path), events=read_annotation(folder / "found.txt"), ax=ax)
plt.show()
