"""ESC-50: one folder, one table; every second label is one of ESC-10's."""

from itertools import chain
from pathlib import Path

from dcasekit.core import discover
from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    targets, ten = discover.load("datasets", "esc50").labels, discover.load("datasets", "esc10").labels
    others = [label for label in targets if label not in ten]
    labels = ten if kind.labels == ten else [*chain.from_iterable(zip(ten, others, strict=False)), *others[len(ten) :]]
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(clips):
        source = number // 2
        fold, label, take = 1 + source % 5, labels[source // 5 % len(labels)], "AB"[number % 2]
        name = f"{fold}-{100000 + source}-{take}-{targets.index(label)}.wav"
        rows.append(f"{name},{fold},{targets.index(label)},{label},{label in ten},{100000 + source},{take}")
        sounds.write(root / "audio" / name, labels.index(label), number)
    write_text(root / "meta" / "esc50.csv", "\n".join(rows) + "\n")
    return kind(root)
