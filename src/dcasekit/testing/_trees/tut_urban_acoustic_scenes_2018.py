"""TUT Urban Acoustic Scenes 2018: two channels, lists without header."""

from pathlib import Path

from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds
from dcasekit.testing._trees._urban_scenes import write


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    return write(kind, root, clips, sounds, header=False)
