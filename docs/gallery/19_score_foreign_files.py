"""
Score another system's files
============================

A reference list, a folder of scores, durations: the files that the field exchanges. Here they are written first, as another system would.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import load
from dcasekit.annotations import write_events
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import label_bars
from dcasekit.results import scoring
from dcasekit.scores import write_scores

folder = Path(tempfile.gettempdir()) / "dcasekit-gallery"
dataset = SyntheticSounds(folder / "events", task="detection", clips=40, seed=7)
dataset.download()
model = load("quickstart_events")

# %%
write_events(folder / "reference.tsv", {clip.id: clip.events for clip in dataset.clips})
lines = [f"{clip.id}\t{clip.duration}" for clip in dataset.clips]
(folder / "durations.tsv").write_text("\n".join(["filename\tduration", *lines]))
for clip, scores in zip(
    dataset.clips, model.predict([clip.path for clip in dataset.clips]), strict=True
):
    write_scores(folder / "scores" / f"{clip.id}.tsv", scores)

# %%
# ``dcasekit score --reference reference.tsv --estimate scores --durations durations.tsv`` does the same.

material = scoring.read(
    folder / "reference.tsv", folder / "scores", durations=folder / "durations.tsv"
)
names = (
    "segment_f1",
    "event_f1",
    "intersection_f1",
    "psds1",
    "psds2",
    "best_event_f1",
    "clip_average_precision",
)
found = {name: scoring.score(name, material, repeats=100) for name in names}
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
label_bars(
    {name: one.value for name, one in found.items()},
    intervals={name: one.interval for name, one in found.items()},
    ax=ax,
)
plt.show()
