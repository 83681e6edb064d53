"""TUT Sound Events 2017: annotation files of three columns for development, of seven for evaluation."""

from pathlib import Path

from dcasekit.core.files import write_rows
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    lists: dict[str, list[tuple[str, str]]] = {fold: [] for fold in kind.folds}
    for number in range(clips):
        fold, stem = kind.folds[number % len(kind.folds)], f"{'ab'[number % 2]}{number + 1:03d}"
        name, events = f"audio/street/{stem}.wav", sounds.events(kind.labels, number)
        rows: list[tuple[str, ...]] = [(str(event.onset), str(event.offset), event.label) for event in events]
        if fold == "test":
            rows = [(name, "street", *row, "m", stem) for row in rows]
        write_rows(root / "meta" / "street" / f"{stem}.ann", rows)
        sounds.write_events(root / name, events, kind.labels, number, subtype="PCM_24", channels=2)
        lists[fold].append((name, "street"))
    for fold, listed in lists.items():
        write_rows(root / "evaluation_setup" / ("street_test.txt" if fold == "test" else f"street_{fold}_test.txt"), listed)
    return kind(root)
