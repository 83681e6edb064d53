"""URBAN-SED: a folder of audio and one of annotations per fold, a text file per soundscape."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    for number in range(clips):
        fold = kind.folds[(number + number // 3) % len(kind.folds)]  # each has clips of one, two and three events
        name = f"soundscape_{fold}_bimodal{number}"
        events = sounds.events(kind.labels, number)
        sounds.write_events(root / "audio" / fold / f"{name}.wav", events, kind.labels, number)
        rows = (f"{event.onset}\t{event.offset}\t{event.label}\n" for event in events)
        write_text(root / "annotations" / fold / f"{name}.txt", "".join(rows))
    return kind(root)
