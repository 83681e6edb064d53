"""The dataset: files on disk to clips, labels and an evaluation protocol."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import inside, place, read_json, safe_name, write_json
from dcasekit.core.frames import data_frame
from dcasekit.core.origin import Origin, origin, recognize
from dcasekit.core.parallel import map_clips, total_size
from dcasekit.core.units import Hz, PathLike, Seconds
from dcasekit.datasets._hold_out import Balance, hold_out
from dcasekit.datasets._problems import Problem, find_problems, measure
from dcasekit.datasets._protocols import CrossValidation, Protocol, Split
from dcasekit.datasets._summary import Summary, clip_rows, summarize
from dcasekit.download import RemoteFile, download
from dcasekit.errors import AnnotationError, DatasetError

Task = Literal["classification", "tagging", "detection"]

# The paper's names for the parts of the default split, and the fold names of fixed splits.
_PARTS = {"train": "train", "val": "validation", "validate": "validation", "validation": "validation", "test": "test"}


class Dataset(ABC):
    """A published dataset in its own on-disk format. A new dataset states the facts below and writes `load`.

    Constructing needs no files; `clips` does.

    Parameters
    ----------
    root : folder of the dataset.
    cache : folder for what is derived from it (features, resampled and augmented copies); ``None``: the dataset's own folder. Give one
        when the dataset is read-only or shared. Datasets may share one: each root has a folder of its own in it.

    Attributes
    ----------
    task : ``"classification"`` (one label per clip), ``"tagging"`` (any number), ``"detection"`` (with times).
    labels : in the dataset's own order.
    folds : as published.
    protocol : how it is split.
    archives : what `download` fetches, and `flatten`, the top folder or folders of the archives that are stripped.
    files_may_lack : ``True`` where nobody can have all of the audio any more (it came from video links): `clips` are those whose file
        is there, `missing` are the others.
    label_step : seconds, where times are given on a grid: the last event may end up to a step after the recording.
    licence, citation : terms of use, and the publication to cite.
    """

    task: Task
    labels: tuple[str, ...]
    folds: ClassVar[tuple[str, ...]]
    protocol: ClassVar[Protocol] = CrossValidation()
    archives: tuple[RemoteFile, ...] = ()
    flatten: ClassVar[str | tuple[str, ...] | None] = None
    files_may_lack: ClassVar[bool] = False
    label_step: ClassVar[Seconds] = 0.0
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

    @property
    def derived(self) -> Path:
        """Folder of what is made of the audio that `clips` names: in the cache; of resampled audio, beside it."""
        return self._resampled or self._home

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
        lacking = set(self.missing)
        clips = (clip for clip in self.listed if clip.id not in lacking)
        if self._resampled is not None:
            clips = (replace(clip, path=self._resampled / f"{clip.id}.wav", channel=None) for clip in clips)
        return tuple(clips)

    @cached_property
    def listed(self) -> tuple[Clip, ...]:
        """What the label files list, whether the audio is there or not: `clips` and `missing`."""
        try:
            return tuple(self._checked(self.load()))
        except AnnotationError as error:
            raise DatasetError(f"{self.name}: {error}; mend the file, or run download()") from error

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Ids of the clips that are left out because their file is not there; empty unless `files_may_lack`."""
        return tuple(clip.id for clip in self.listed if not clip.path.exists()) if self.files_may_lack else ()

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

    def validation_split(
        self, amount: float = 0.3, *, balance: Balance | None = "identifier", seed: int = 0, fold: str | None = None, attempts: int = 100
    ) -> Split:
        """Split by the protocol, and draw validation clips from the training clips, without cutting a group.

        Parameters
        ----------
        amount : in (0, 1), the share of clips to validate on; rounded up where it is taken, so the result is somewhat larger.
        balance : ``"class"``: this share of every label's clips; ``"identifier"``: of every label's groups;
            ``"identifier_two_level_hierarchy"``: of every label's locations in every city, groups being ``city-location``; ``None``:
            of all groups together, a clip without one being its own.
        seed : of the draw, the Mersenne Twister's and the order of draws dcase_util's of Python before 3.11, so that its published
            splits come out file for file.
        fold : the round, as for `split`.
        attempts : draws per label, of which the one closest to `amount` is taken; ``"class"`` and ``None`` need one.

        Raises
        ------
        DatasetError : the draw would cut a group, or groups or labels are not of the kind `balance` needs.
        """
        whole = self.split(fold, validation=False)
        train, validation = hold_out(whole.train, amount, balance=balance, seed=seed, attempts=attempts)
        return Split(train, validation, whole.test)

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Fetch, verify and unpack the dataset into `root`; ``False`` if it was there already.

        Raises
        ------
        DownloadError : what failed, the address, and what to do by hand.
        """
        if not self.archives:
            raise DatasetError(f"{self.name} has no recorded address; put its files into {self.root}")
        done = download(self.archives, self.root, flatten=self.flatten, force=force, progress=progress)
        self._forget()
        return done

    def validate(self, *, content: bool = True, jobs: int | None = None, progress: bool = False) -> list[Problem]:
        """Look for missing, unreadable, truncated, silent and duplicate files, for audio that no label file lists, and for late events.

        Parameters
        ----------
        content : ``False``: read headers only, thousands of files a second; what only the samples show (silent and duplicate files,
            and truncated ones of formats whose header does not tell the length) is then not looked for.
        jobs : see `dcasekit.core.parallel.map_clips`.
        progress : show a progress bar.
        """
        bar = f"Validating {self.name}" if progress else None
        clips = self.clips if self._resampled is not None else self.listed
        # Copies of our own lie in a folder which datasets that share it fill together: nothing there is extra.
        known = None if self._resampled is not None else self._shared()
        return [*find_problems(clips, known, step=self.label_step, content=content, jobs=jobs, progress=bar), *self._doubts()]

    def change_sampling_rate(self, sr: Hz, *, jobs: int | None = None, progress: bool = False) -> None:
        """Write a copy of the audio at another rate into ``audio<sr>`` in the folder `derived`, and use it from now on.

        Mono float wav, so nothing is cut off above or below; a copy that is there and was made of the very same audio is kept. Features
        resample by themselves, so this only saves time when many features are computed from recordings of a much higher rate.

        Raises
        ------
        AudioError : a clip cannot be read.
        StorageError : a copy cannot be written, or would take the place of a file that is not ours.
        """
        if sr < 1:
            raise DatasetError(f"the sampling rate must be a positive number of Hz; got {sr}")
        self._resampled = None
        self._forget()
        folder = inside(self._home, f"audio{sr}")
        work = partial(_resample_file, folder=folder, sr=sr)
        size = total_size(clip.path for clip in self.clips)
        for _ in map_clips(work, self.clips, jobs=jobs, size=size, progress=f"Resampling {self.name}" if progress else None):
            pass
        self._resampled = folder
        self._forget()

    def summary(self) -> Summary:
        """Count what is there, by label and by split; print it to see the tables.

        Events are counted as far as they lie in their clip, whose header is read where no label file gives its duration.
        """
        clips = [measure(clip) for clip in self.clips]
        return summarize(self.name, self.task, self.labels, clips, self._rounds(), missing=len(self.missing))

    def to_frame(self) -> Any:
        """Give a pandas DataFrame with a row per clip, for notebooks.

        Columns: ``id``, ``path``, ``duration``, ``fold``, ``group``, ``channel``, one per name in the clips' ``extra``, ``tags`` (label ->
        value, ``None`` where nothing is known) and ``events``, their number (NaN: times unknown).

        Raises
        ------
        MissingExtraError : pandas is not installed.

        Examples
        --------
        >>> dataset.to_frame().groupby("fold").size()  # doctest: +SKIP
        >>> dataset.to_frame()["tags"].apply(pandas.Series)  # a column per label # doctest: +SKIP
        """
        return data_frame(clip_rows(self.clips))

    @property
    def _home(self) -> Path:
        """Folder of what is made of the dataset's own audio: datasets of different roots never share one."""
        if self.cache == self.root:
            return self.root
        root = self.root.resolve()
        return self.cache / f"{safe_name(root.name)}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"

    def _forget(self) -> None:
        """Read the label files anew when they are asked for again."""
        for name in ("clips", "listed", "missing"):
            self.__dict__.pop(name, None)

    def _rounds(self) -> dict[str, Split]:
        found = {}
        for fold in self.protocol.rounds(self.present_folds):
            with suppress(DatasetError):  # only a part of the dataset is there: this round has nothing to train or to test on
                found[fold] = self.split(fold)
        return found

    def _shared(self) -> Iterable[Path]:
        """Give the audio in the dataset's folders that belongs to another dataset."""
        return ()

    def _doubts(self) -> Iterable[Problem]:
        """Give what else is doubtful, of a kind that only this dataset knows."""
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


def _resample_file(clip: Clip, *, folder: Path, sr: Hz) -> None:
    """Write the copy of a clip at another rate, and beside it what it was made of, unless both are there."""
    names = f"{clip.id}.wav", f"{clip.id}.wav.json"
    path, about = (folder / name for name in names)
    with suppress(DatasetError, KeyError, TypeError, OSError):  # a record that cannot be read is made anew
        record = read_json(about, error=DatasetError)
        made_here = (record["channel"], record["bytes"]) == (clip.channel, path.stat().st_size)
        if made_here and recognize(clip.path, Origin(*record["origin"])):
            return
    path, about = (place(folder, name, kind="resampled audio") for name in names)
    made_of = origin(clip.path)
    samples, _ = audio.read(clip.path, sr=sr, channel=clip.channel)
    audio.write(path, samples, sr, subtype="FLOAT")
    write_json(about, {"origin": made_of, "channel": clip.channel, "bytes": path.stat().st_size})
