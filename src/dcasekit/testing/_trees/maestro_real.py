"""MAESTRO Real: a table of seconds and values per recording; the recordings are the published ones, so there are 49 at most."""

from pathlib import Path
from typing import Any

from dcasekit.annotations import Event
from dcasekit.core.files import write_rows
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_VALUES = (0.0, 0.25, 0.4375, 0.75, 1.0)


def make(kind: Any, root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files, of every fold as many."""
    tested = {fold: [name for name, parts in kind.recordings.items() if parts[fold] == "test"] for fold in kind.folds}
    order = [names[place] for place in range(max(map(len, tested.values()))) for names in tested.values() if place < len(names)]
    durations = [("filename", "duration")]
    for number, name in enumerate(order[:clips]):
        scene = name.rpartition("_")[0]
        rows, events = [], []
        for second in range(max(round(sounds.seconds), 1)):
            for index in range(3):
                label, value = kind.labels[(number + index * 5) % len(kind.labels)], _VALUES[(number + second + index) % len(_VALUES)]
                rows.append((str(float(second)), str(float(second + 1)), label, str(value)))
                if value > 0.5:
                    events.append(Event(second, min(second + 1, sounds.seconds), label))
        write_rows(root / "development_annotation" / f"soft_labels_{scene}" / f"{name}.txt", rows)
        sounds.write_events(root / "development_audio" / scene / f"{name}.wav", events, kind.labels, number, channels=2)
        durations.append((name, str(sounds.seconds)))
    write_rows(root / "metadata" / "development_metadata.csv", durations)
    made: Dataset = kind(root)
    return made
