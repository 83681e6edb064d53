"""SyntheticSounds makes itself."""

from pathlib import Path
from typing import Any

from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: Any, root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Let it."""
    made: Dataset = kind(root, clips=clips, seconds=sounds.seconds, seed=sounds.seed)
    made.download()
    return made
