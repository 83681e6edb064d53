"""TAU Urban Acoustic Scenes 2020 Mobile: one channel, one segment by two devices, some clips in no list."""

from pathlib import Path

from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds
from dcasekit.testing._trees._urban_scenes import write

_DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    return write(kind, root, clips, sounds, devices=_DEVICES, channels=1)
