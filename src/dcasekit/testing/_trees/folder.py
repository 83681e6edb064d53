"""Folder: recordings with an annotation beside each, in the forms that people have."""

from itertools import cycle
from pathlib import Path

from dcasekit.annotations import write_annotation
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_LABELS = ("bird", "car", "dog", "rain")
_FORMS = (("tsv", ".tsv"), ("audacity", ".txt"), ("raven", ".Table.1.selections.txt"), ("jams", ".jams"))


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    for number, (form, suffix) in zip(range(clips), cycle(_FORMS), strict=False):
        path = root / f"site{number // 2:02d}_{number % 2}.wav"
        events = sounds.events(_LABELS, number)
        sounds.write_events(path, events, _LABELS, number)
        write_annotation(path.with_name(path.stem + suffix), events, format=form, duration=sounds.seconds)
    return kind(root, group=r"(site\d+)_")  # type: ignore[call-arg]
