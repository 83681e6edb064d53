"""A folder of recordings that an augmentation draws from."""

from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.audio import READABLE, SUFFIXES
from dcasekit.core.trees import list_tree
from dcasekit.core.units import PathLike
from dcasekit.errors import DatasetError

# An annotation of a recording has its stem and one of these.
ANNOTATIONS = (".txt", ".selections.txt", ".tsv", ".jams")


def recordings(folder: PathLike) -> tuple[str, ...]:
    """List the audio files in a folder and its subfolders, as paths relative to it, in an order that is the same on every machine.

    Hidden files are left out; links are followed.

    Raises
    ------
    DatasetError : the folder is missing, or holds no audio.
    """
    root = Path(folder)
    found = [name for name in list_tree(root).files if Path(name).suffix.lower() in READABLE]
    if not found:
        raise DatasetError(
            f"{root} {'holds no audio' if root.is_dir() else 'is not a folder'}; expected {', '.join(SUFFIXES)} ... files in it"
        )
    return tuple(found)


def choice(names: tuple[str, ...], rng: np.random.Generator) -> str:
    """Draw one of the recordings; all are equally likely."""
    return names[int(rng.integers(len(names)))]


def annotation(path: Path) -> Path | None:
    """Find the annotation beside a recording, a file of the same stem with a suffix in `ANNOTATIONS`; ``None``: there is none."""
    return next((beside for suffix in ANNOTATIONS if (beside := path.with_name(path.stem + suffix)).exists()), None)


def without_place(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Put the names of the recordings in place of the ``folder``: what is drawn depends on them, not on where they lie."""
    return {**settings, "folder": list(names)}
