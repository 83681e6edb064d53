"""Soundscapes are made from a small ESC-10."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dcasekit.core import discover
from dcasekit.datasets import Mixing
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds
from dcasekit.testing._trees import esc10


def make(kind: Any, root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Make them, and read them without the foreground, which is gone."""
    with TemporaryDirectory() as folder:
        foreground = esc10.make(discover.load("datasets", "esc10"), Path(folder), 20, sounds)
        mixing = Mixing(events=(1, 3), lengths=(sounds.seconds / 10, sounds.seconds / 2), sr=sounds.sr, gap=0.01)
        kind(root, foreground=foreground, clips=clips, seconds=sounds.seconds, mixing=mixing, seed=sounds.seed).download()
    made: Dataset = kind(root)
    return made
