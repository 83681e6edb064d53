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
    """Write a small version of a dataset: file names and label files like the real ones, with synthetic sounds that differ by label.

    Every two clips come from the same source recording and lie in the same fold; clips of a label are spread over all folds before the
    next label begins. A hidden file marks the sounds as synthetic.

    Parameters
    ----------
    name : name of a dataset, as `discover.load` takes it, e.g. ``"esc10"``.
    root : folder to write into.
    clips : number of clips. With 60, every dataset has clips in at least three folds, or in all of its folds.
    seconds : duration of a clip.
    seed : seed of sounds and labels; the same seed gives the same bytes.
    sr : sampling rate in Hz; UrbanSound8K also gets clips of other rates, as the real one has.

    Returns
    -------
    Dataset : the dataset, which reads the new files.

    Raises
    ------
    DatasetError : nothing is known about the files of this dataset.
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
    """Writes synthetic sounds: noise with a chord for each label. Labels and recordings are given by their numbers.

    Parameters
    ----------
    seconds : duration of a clip.
    seed : seed of all sounds.
    sr : sampling rate in Hz.
    """

    def __init__(self, seconds: Seconds, seed: int, sr: Hz) -> None:
        self.seconds, self.seed, self.sr = seconds, seed, sr

    def write(self, path: Path, label: int, number: int, *, sr: Hz | None = None, subtype: str = "PCM_16", channels: int = 1) -> None:
        """Write a clip in which the chord of a label (its number) sounds from beginning to end; `number` is that of the recording."""
        sr = sr or self.sr
        rng = np.random.default_rng((self.seed, label, number))
        sound = _chord(label, round(self.seconds * sr), sr, rng) + rng.normal(0, 0.05, (channels, round(self.seconds * sr)))
        _save(path, sound, sr, subtype)

    def write_events(
        self, path: Path, events: Iterable[Event], labels: Sequence[str], number: int, *, subtype: str = "PCM_16", channels: int = 1
    ) -> None:
        """Write a clip of recording `number` in which the chord of each event's label sounds from its onset to its offset."""
        rng = np.random.default_rng((self.seed, len(labels), number))
        sound = rng.normal(0, 0.05, (channels, round(self.seconds * self.sr)))
        for event in events:
            first, last = round(event.onset * self.sr), round(event.offset * self.sr)
            sound[:, first:last] += _chord(labels.index(event.label), last - first, self.sr, rng)
        _save(path, sound, self.sr, subtype)

    def events(self, labels: Sequence[str], number: int) -> list[Event]:
        """Draw one to three events for recording `number`, with times in whole milliseconds; consecutive numbers use all labels in turn."""
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
