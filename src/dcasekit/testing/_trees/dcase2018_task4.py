"""DCASE 2018 task 4: tables with tags, with names alone, with events; what they list need not be there."""

from pathlib import Path

from dcasekit.annotations import Event
from dcasekit.core.files import write_rows
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_FOLDERS = {"weak": "train/weak", "unlabel_in_domain": "train/unlabel_in_domain", "test": "test", "eval": "eval"}
_EVENTS = ("filename", "onset", "offset", "event_label")


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files: two clips in a row from one film; the last evaluation clip is silent about events."""
    tables: dict[str, list[tuple[str, ...]]] = {
        "weak": [("filename", "event_labels")],
        "unlabel_in_domain": [("filename",)],
        "test": [_EVENTS],
        "eval": [_EVENTS],
    }
    for number in range(clips):
        film = number // 2
        fold, start = kind.folds[film % len(kind.folds)], 10 * (number % 2)
        name = f"Yfilm{film:07d}_{start}.000_{start + 10}.000.wav"
        events = [] if fold == "eval" and film % 3 == 0 else sounds.events(kind.labels, number)
        tables[fold] += _rows(fold, name, events)
        sounds.write_events(root / "audio" / _FOLDERS[fold] / name, events, kind.labels, number)
    for fold, rows in tables.items():
        write_rows(root / "metadata" / _FOLDERS[fold].partition("/")[0] / f"{fold}.csv", rows)
    removed = tables["weak"][1:2] or [("Yfilm0000000_0.000_10.000.wav",)]
    write_rows(root / "metadata" / "test" / "files_to_remove.csv", [("filename",), *(row[:1] for row in removed)])
    return kind(root)


def _rows(fold: str, name: str, events: list[Event]) -> list[tuple[str, ...]]:
    if fold == "weak":
        return [(name, ",".join(dict.fromkeys(event.label for event in events)))]
    if fold == "unlabel_in_domain":
        return [(name,)]
    return [(name, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label) for event in events] or [(name, "", "", "")]
