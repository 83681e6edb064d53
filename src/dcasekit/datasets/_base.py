"""The dataset: files on disk to clips, labels and an evaluation protocol."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.datasets._protocols import CrossValidation, Protocol, Split
from dcasekit.download import RemoteFile, download
from dcasekit.errors import AnnotationError, AudioError, DatasetError
from dcasekit.parallel import map_clips
from dcasekit.units import Hz, PathLike

Task = Literal["classification", "tagging", "detection"]

# The paper's names for the parts of the default split, and the fold names of fixed splits.
_PARTS = {"train": "train", "val": "validation", "validate": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file: ``kind`` is ``"missing"``, ``"unreadable"`` or ``"extra"``."""

    kind: str
    path: str
    detail: str


class Dataset(ABC):
    """A published dataset in its own on-disk format. A new dataset states the facts below and writes `load`.

    Constructing needs no files; `clips` does.

    Parameters
    ----------
    root : folder of the dataset.
    cache : folder for what is derived from it (features, resampled and augmented copies); ``None``: the dataset's own folder. Give one
        when the dataset is read-only or shared.

    Attributes
    ----------
    task : ``"classification"`` (one label per clip), ``"tagging"`` (any number), ``"detection"`` (with times).
    labels : in the dataset's own order.
    folds : as published.
    protocol : how it is split.
    archives : what `download` fetches, and `flatten`, the archive's top folder that is stripped.
    """

    task: Task
    labels: tuple[str, ...]
    folds: ClassVar[tuple[str, ...]]
    protocol: ClassVar[Protocol] = CrossValidation()
    archives: ClassVar[tuple[RemoteFile, ...]] = ()
    flatten: ClassVar[str | None] = None
    licence: ClassVar[str]
    citation: ClassVar[str]

    def __init__(self, root: PathLike, *, cache: PathLike | None = None) -> None:
        self.root = Path(root)
        self.cache = self.root if cache is None else Path(cache)
        self._resampled: Path | None = None

    def __repr__(self) -> str:
        return f"{self.name}({str(self.root)!r})"

    @property
    def name(self) -> str:
        """Name of the class."""
        return type(self).__name__

    @abstractmethod
    def load(self) -> Iterable[Clip]:
        """Read the dataset's own label files and yield its clips. Audio need not be there yet."""

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """All clips, in the order of the label file.

        Raises
        ------
        DatasetError : the label file is missing or wrong, an id occurs twice, or a label is unknown.
        """
        try:
            clips = tuple(self._checked(self.load()))
        except AnnotationError as error:
            raise DatasetError(f"{self.name}: {error}; mend the file, or run download()") from error
        if self._resampled is not None:
            clips = tuple(replace(clip, path=self._resampled / f"{clip.id}.wav") for clip in clips)
        return clips

    @property
    def present_folds(self) -> tuple[str, ...]:
        """The folds that have clips here, in published order: all of them unless only a part of the dataset is at hand."""
        present = {clip.fold for clip in self.clips}
        return tuple(fold for fold in self.folds if fold in present)

    def select(self, folds: Sequence[str]) -> tuple[Clip, ...]:
        """Give the clips of some folds, or of the parts ``"train"``, ``"val"``, ``"test"`` of the default split.

        Raises
        ------
        DatasetError : no such fold.
        """
        chosen: list[Clip] = []
        for fold in folds:
            if fold in self.folds:
                chosen += (clip for clip in self.clips if clip.fold == fold)
            elif fold in _PARTS:
                chosen += getattr(self.split(), _PARTS[fold])
            else:
                raise DatasetError(
                    f"{self.name} has no fold {fold!r}; it has {', '.join(self.folds)}, and 'train', 'val', 'test' of its default split"
                )
        return tuple(chosen)

    def split(self, fold: str | None = None, *, validation: bool = True) -> Split:
        """Split by the dataset's protocol.

        Parameters
        ----------
        fold : the fold to test on; ``None``: the default split (the first fold, or the published one).
        validation : ``False``: train on all that is not tested (a cross-validation then has no validation clips).
        """
        return self.protocol.split(self.clips, self.present_folds, fold, validation=validation)

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Fetch, verify and unpack the dataset into `root`; ``False`` if it was there already.

        Raises
        ------
        DownloadError : what failed, the address, and what to do by hand.
        """
        if not self.archives:
            raise DatasetError(f"{self.name} has no recorded address; put its files into {self.root}")
        done = download(self.archives, self.root, flatten=self.flatten, force=force, progress=progress)
        self.__dict__.pop("clips", None)
        return done

    def validate(self, *, jobs: int | None = None, progress: bool = False) -> list[Problem]:
        """Check that every clip's file is there and its header can be read, and that no audio lies beside them unlisted."""
        bar = f"Validating {self.name}" if progress else None
        found = map_clips(_check_file, [clip.path for clip in self.clips], jobs=jobs, progress=bar)
        problems = [problem for problem in found if problem is not None]
        if self._resampled is not None:  # copies of our own, which datasets that share a folder share as well
            return problems
        listed = {clip.path for clip in self.clips}
        beside = {path for folder in {path.parent for path in listed} for path in _audio_in(folder)}
        listed |= set(self._shared())
        problems += (Problem("extra", str(path), "not in the label file") for path in sorted(beside - listed))
        return problems

    def change_sampling_rate(self, sr: Hz, *, jobs: int | None = None, progress: bool = False) -> None:
        """Write a copy of the audio at another rate into ``<cache>/audio<sr>`` and use it from now on.

        Mono 16-bit wav; a copy that is there and newer than its original is kept. Features resample by themselves, so this only saves
        time when many features are computed from recordings of a much higher rate.
        """
        if sr < 1:
            raise DatasetError(f"the sampling rate must be a positive number of Hz; got {sr}")
        folder = self.cache / f"audio{sr}"
        self._resampled = None
        self.__dict__.pop("clips", None)
        work = partial(_resample_file, folder=folder, sr=sr)
        for _ in map_clips(work, self.clips, jobs=jobs, progress=f"Resampling {self.name}" if progress else None):
            pass
        self._resampled = folder
        self.__dict__.pop("clips", None)

    def summary(self) -> dict[str, Any]:
        """Count what is there: clips, groups, clips per fold, and clips with each label."""
        tags: Counter[str] = Counter(label for clip in self.clips for label, value in (clip.tags or {}).items() if value > 0)
        return {
            "name": self.name,
            "task": self.task,
            "clips": len(self.clips),
            "groups": len({clip.group or clip.id for clip in self.clips}),
            "folds": dict(Counter(clip.fold for clip in self.clips)),
            "labels": {label: tags[label] for label in self.labels},
        }

    def cite(self) -> str:
        """Give the publication to cite."""
        return self.citation

    def license(self) -> str:
        """Give the terms of use."""
        return self.licence

    def _shared(self) -> Iterable[Path]:
        """Give the audio in the dataset's folders that belongs to another dataset."""
        return ()

    def _checked(self, clips: Iterable[Clip]) -> Iterable[Clip]:
        known, seen = set(self.labels), set()
        for clip in clips:
            if clip.id in seen:
                raise DatasetError(f"{self.name}: clip {clip.id!r} is listed twice in {self.root}; remove one of the rows")
            seen.add(clip.id)
            found = {*(clip.tags or ()), *(event.label for event in clip.events or ())}
            if unknown := sorted(found - known):
                raise DatasetError(f"{self.name}: clip {clip.id!r} has the unknown label {unknown[0]!r}; known: {', '.join(self.labels)}")
            if clip.fold not in self.folds:
                raise DatasetError(f"{self.name}: clip {clip.id!r} has the unknown fold {clip.fold!r}; known: {', '.join(self.folds)}")
            yield clip


def _audio_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.suffix.lower() in audio.SUFFIXES]


def _check_file(path: Path) -> Problem | None:
    if not path.exists():
        return Problem("missing", str(path), "listed in the label file, not on disk; download the dataset again")
    try:
        audio.info(path)
    except AudioError as error:
        return Problem("unreadable", str(path), str(error))
    return None


def _resample_file(clip: Clip, *, folder: Path, sr: Hz) -> None:
    target = folder / f"{clip.id}.wav"
    if not target.exists() or target.stat().st_mtime_ns < clip.path.stat().st_mtime_ns:
        samples, _ = audio.read(clip.path, sr=sr)
        audio.write(target, samples.clip(-1, 1), sr, subtype="PCM_16")
