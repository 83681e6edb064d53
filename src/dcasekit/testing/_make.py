"""Write small trees of datasets, and the sounds in them; what a tree looks like is said in `_trees`, one file per dataset."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcasekit import audio
from dcasekit.annotations import Event
from dcasekit.core import discover
from dcasekit.core.files import MARK, write_text
from dcasekit.core.units import Hz, PathLike, Seconds
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError

SMALL_TREE = "small dataset of synthetic sounds"


def make_dataset(name: str, root: PathLike, *, clips: int = 60, seconds: Seconds = 1.0, seed: int = 0, sr: Hz = 16000) -> Dataset:
    """Write a small valid tree of a dataset: true file names and label files, synthetic sounds that can be told apart.

    Two clips each come from one source recording, in one fold; every fold is used before the next label is. A hidden file says that the
    sounds are made.

    Parameters
    ----------
    name : of a dataset, as `discover.load` takes it.
    root : folder to write into.
    clips : how many in all; with 60 every dataset has clips in three folds or more, or in all the folds it has.
    seconds : length of a clip.
    seed : the same one gives the same bytes.
    sr : Hz; UrbanSound8K's clips have this and other rates, as the true ones do.
    """
    kind = discover.load("datasets", name)
    stem = discover.address(kind)
    try:
        tree = importlib.import_module(f"dcasekit.testing._trees.{stem}")
    except ModuleNotFoundError as error:
        folder = Path(__file__).parent / "_trees"
        raise DatasetError(
            f"there is no writer of small {kind.__name__} trees; add {folder / stem}.py with a function make(kind, root, clips, sounds) "
            "that writes the files and gives the dataset"
        ) from error
    made: Dataset = tree.make(kind, Path(root), clips, Sounds(seconds, seed, sr))
    write_text(Path(root, MARK), f"{SMALL_TREE}\n")  # last, so that half a tree has none
    return made


class Sounds:
    """Writes sounds: each label, given by its number, is a chord of its own in noise; `number` tells one recording from the next."""

    def __init__(self, seconds: Seconds, seed: int, sr: Hz) -> None:
        self.seconds, self.seed, self.sr = seconds, seed, sr

    def write(self, path: Path, label: int, number: int, *, sr: Hz | None = None, subtype: str = "PCM_16", channels: int = 1) -> None:
        """Write a sound that lasts the whole clip."""
        sr = sr or self.sr
        rng = np.random.default_rng((self.seed, label, number))
        sound = _chord(label, round(self.seconds * sr), sr, rng) + rng.normal(0, 0.05, (channels, round(self.seconds * sr)))
        _save(path, sound, sr, subtype)

    def write_events(
        self, path: Path, events: Iterable[Event], labels: Sequence[str], number: int, *, subtype: str = "PCM_16", channels: int = 1
    ) -> None:
        """Write a clip in which events sound where they are said to."""
        rng = np.random.default_rng((self.seed, len(labels), number))
        sound = rng.normal(0, 0.05, (channels, round(self.seconds * self.sr)))
        for event in events:
            first, last = round(event.onset * self.sr), round(event.offset * self.sr)
            sound[:, first:last] += _chord(labels.index(event.label), last - first, self.sr, rng)
        _save(path, sound, self.sr, subtype)

    def events(self, labels: Sequence[str], number: int) -> list[Event]:
        """Make up one to three events in a clip, to the millisecond; clips of consecutive numbers go through all labels."""
        rng = np.random.default_rng((self.seed, 7, number))
        found = []
        for index in range(1 + number % 3):
            onset, offset = sorted(rng.uniform(0, self.seconds, 2).round(3).tolist())
            onset, offset = min(onset, self.seconds * 0.8), max(offset, onset + self.seconds * 0.1)
            found.append(Event(round(onset, 3), round(min(offset, self.seconds), 3), labels[(number + index * 3) % len(labels)]))
        return sorted(set(found))


def _chord(label: int, samples: int, sr: Hz, rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(samples) / sr
    pitch = 150 * 1.19 ** (label % 16) * rng.uniform(0.98, 1.02)
    return 0.2 * np.sum([np.sin(2 * np.pi * (k * pitch * time + rng.random())) / k for k in (1, 2, 3)], axis=0)


def _save(path: Path, sound: NDArray[np.float64], sr: Hz, subtype: str) -> None:
    audio.write(path, np.clip(sound.T if len(sound) > 1 else sound[0], -1, 1).astype(np.float32), sr, subtype=subtype)
