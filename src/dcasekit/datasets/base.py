"""The dataset: files on disk to clips, labels and an evaluation protocol."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from dcasekit.annotations import Clip, Correction, read_corrections
from dcasekit.core.cells import shorten
from dcasekit.core.frames import data_frame
from dcasekit.core.units import PathLike
from dcasekit.datasets._files import DatasetFiles
from dcasekit.datasets._hold_out import Balance, hold_out
from dcasekit.datasets._labels import Choice, choose, relabel
from dcasekit.datasets._problems import Problem, measure
from dcasekit.datasets._protocols import CrossValidation, Protocol, Split
from dcasekit.datasets._summary import Summary, clip_rows, summarize
from dcasekit.errors import AnnotationError, DatasetError

_log = logging.getLogger(__name__)

Task = Literal["classification", "tagging", "detection"]

# The paper's names for the parts of the default split, and the fold names of fixed splits.
_PARTS = {"train": "train", "val": "validation", "validate": "validation", "validation": "validation", "test": "test"}


class Dataset(DatasetFiles, ABC):
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
    label_sets : name -> published choice of labels, for `with_labels`.
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
    label_sets: ClassVar[Mapping[str, Choice]] = {}
    licence: ClassVar[str]
    citation: ClassVar[str]

    def __repr__(self) -> str:
        return f"{self.name}({str(self.root)!r})"

    @property
    def name(self) -> str:
        """Name of the class."""
        return type(self).__name__

    @property
    def corrected(self) -> int:
        """Number of clips whose labels `with_corrections` changed."""
        return 0

    @property
    def variant(self) -> str:
        """What of its labels is unlike the dataset's own, so that what is made of labels lies apart; empty: nothing."""
        return ""

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
            return tuple(self._check(self.load()))
        except AnnotationError as error:
            raise DatasetError(f"{self.name} in {self.root}: {error}; download(force=True) fetches the label files again") from error

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Ids of the clips that are left out because their file is not there; empty unless `files_may_lack`."""
        return tuple(clip.id for clip in self.listed if not os.path.exists(clip.path)) if self.files_may_lack else ()

    @property
    def present_folds(self) -> tuple[str, ...]:
        """The folds that have clips here, in published order: all of them unless only a part of the dataset is at hand."""
        present = {clip.fold for clip in self.clips}
        return tuple(fold for fold in self.folds if fold in present)

    def select(self, folds: Sequence[str]) -> tuple[Clip, ...]:
        """Return the clips of some folds, or of the parts ``"train"``, ``"val"``, ``"test"`` of the default split.

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

    def with_labels(self, labels: Choice) -> "Dataset":
        """Return this dataset with some of its labels alone, renamed or joined if wanted; audio and extracted features are the same files.

        Parameters
        ----------
        labels : a list of those that are kept, in the order they are to have; label -> new label, where several may become one; or the
            name of one of `label_sets`. Labels that are not named are left out, and with them, in a classification dataset, their clips;
            elsewhere their clips stay, without them.

        Returns
        -------
        a dataset with the folds, protocol and files of this one. A label that several became has the largest of their values, unknown
            where one is unknown and none certain; events of theirs that overlap and weigh the same are one event.

        Raises
        ------
        DatasetError : there is no such label or set.

        Examples
        --------
        >>> from dcasekit.datasets import MAVD
        >>> MAVD("/data/MAVD").with_labels({"car": "light", "motorcycle": "light", "bus": "heavy", "truck": "heavy"}).labels
        ('light', 'heavy')
        """
        return _Relabelled(self, choose(labels, self.labels, self.label_sets))

    def with_corrections(self, corrections: PathLike | Sequence[Correction]) -> "Dataset":
        """Return this dataset with what its clips really hold; audio and extracted features are the same files.

        Parameters
        ----------
        corrections : a file of them, see `dcasekit.annotations.corrections`, or a list; of two for one clip the later counts.

        Returns
        -------
        a dataset with the folds, protocol, labels and files of this one; `corrected` counts the clips that are others.

        Raises
        ------
        AnnotationError : the file cannot be read.
        DatasetError : none of the clips is one of this dataset; or, when clips are read, a correction holds another label, or not one
            label in a classification dataset.
        """
        file = corrections if isinstance(corrections, str | os.PathLike) else None
        found = read_corrections(file) if file is not None else cast("Sequence[Correction]", corrections)
        return _Corrected(self, {one.clip: one for one in found}, file or "the list of corrections")

    def summary(self) -> Summary:
        """Count what is there, by label and by split; print it to see the tables.

        Events are counted as far as they lie in their clip, whose header is read where no label file gives its duration.
        """
        clips = [measure(clip) for clip in self.clips]
        return summarize(self.name, self.task, self.labels, clips, self._rounds(), missing=len(self.missing))

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row per clip, for notebooks.

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

    def _rounds(self) -> dict[str, Split]:
        found = {}
        for fold in self.protocol.rounds(self.present_folds):
            with suppress(DatasetError):  # only a part of the dataset is there: this round has nothing to train or to test on
                found[fold] = self.split(fold)
        return found

    def _check(self, clips: Iterable[Clip]) -> Iterable[Clip]:
        known: set[str] = set()
        seen = set()
        for clip in clips:
            if clip.id in seen:
                raise DatasetError(f"{self.name}: clip {shorten(clip.id)} is listed twice in {self.root}; remove one of the rows")
            seen.add(clip.id)
            found = {*(clip.tags or ()), *(event.label for event in clip.events or ())}
            if found and not known:  # recordings without any label are clips, too, of a dataset whose labels nobody asks for
                known = set(self.labels)
            if unknown := sorted(found - known):
                raise DatasetError(
                    f"{self.name} in {self.root}: clip {shorten(clip.id)} has the unknown label {shorten(unknown[0])}; "
                    f"known: {', '.join(self.labels)[:2000]}"
                )
            if clip.fold not in self.folds:
                raise DatasetError(
                    f"{self.name} in {self.root}: clip {shorten(clip.id)} has the unknown fold {shorten(clip.fold)}; "
                    f"known: {', '.join(self.folds)[:2000]}"
                )
            yield clip


class _Derived(Dataset):
    """A dataset that reads another one and changes what is said of its clips: the same files, the same store of features."""

    def __init__(self, dataset: Dataset, *more: str) -> None:
        super().__init__(dataset.root, cache=dataset.cache)
        facts = ("task", "folds", "protocol", "archives", "flatten", "files_may_lack", "label_step", "licence", "citation", *more)
        for fact in facts:
            setattr(self, fact, getattr(dataset, fact))
        self.dataset = dataset

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def corrected(self) -> int:
        return self.dataset.corrected

    @abstractmethod
    def change(self, clip: Clip) -> Clip | None:
        """Return a clip as it is to be; ``None``: it is left out."""

    def load(self) -> Iterable[Clip]:
        there = {clip.id: clip for clip in self.dataset.clips}
        found = (self.change(there.get(clip.id, clip)) for clip in self.dataset.listed)
        return (clip for clip in found if clip is not None)

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        done = self.dataset.download(force=force, progress=progress)
        self._forget()
        return done

    def check_if_downloaded(self) -> bool:
        return self.dataset.check_if_downloaded()

    def set_as_downloaded(self) -> None:
        self.dataset.set_as_downloaded()

    def validate(self, *, content: bool = True, jobs: int | None = None, progress: bool = False) -> list[Problem]:
        checked = self.dataset.validate if self._resampled is None else super().validate  # of the files, whatever their labels
        return checked(content=content, jobs=jobs, progress=progress)

    @property
    def _home(self) -> Path:
        return self.dataset.derived


class _Relabelled(_Derived):
    """A dataset with a choice of another's labels; see `Dataset.with_labels`."""

    def __init__(self, dataset: Dataset, new: Mapping[str, str]) -> None:
        super().__init__(dataset)
        self.new, self.labels = dict(new), tuple(dict.fromkeys(new.values()))

    def __repr__(self) -> str:
        return f"{self.dataset!r}.with_labels({self.new})"

    @property
    def variant(self) -> str:
        return f"{self.dataset.variant}{sorted(self.new.items())}"

    def change(self, clip: Clip) -> Clip | None:
        return relabel(clip, self.new, self.task)


class _Corrected(_Derived):
    """A dataset whose labels were corrected; see `Dataset.with_corrections`."""

    def __init__(self, dataset: Dataset, corrections: Mapping[str, Correction], source: PathLike) -> None:
        super().__init__(dataset, "labels", "label_sets")
        self.corrections, self.source = dict(corrections), str(source)

    def __repr__(self) -> str:
        return f"{self.dataset!r}.with_corrections({self.source!r})"

    @property
    def corrected(self) -> int:
        """Number of clips whose labels are others than the dataset says."""
        before = {clip.id: clip for clip in self.dataset.clips}
        return sum(clip != before[clip.id] for clip in self.clips)

    @property
    def variant(self) -> str:
        known = sorted((one.clip, str(one.tags and sorted(one.tags.items())), str(one.events)) for one in self.corrections.values())
        return f"{self.dataset.variant}{known}" if known else self.dataset.variant

    def load(self) -> Iterable[Clip]:
        unknown = set(self.corrections).difference(clip.id for clip in self.dataset.listed)
        if unknown and len(unknown) == len(self.corrections):
            raise DatasetError(f"{self.source} corrects no clip of {self.name}, but {shorten(min(unknown))}; give the file of this dataset")
        if unknown:
            _log.warning("%s: %d corrections are of clips that are not in %s", self.source, len(unknown), self.name)
        return super().load()

    def change(self, clip: Clip) -> Clip | None:
        if (found := self.corrections.get(clip.id)) is None:
            return clip
        if self.task == "classification" and found.tags is not None and [value for value in found.tags.values() if value != 0] != [1]:
            raise DatasetError(
                f"{self.source}: clip {shorten(clip.id)} is corrected to {shorten(dict(found.tags))}; in {self.name} a clip has one label "
                "of value 1, or its tags are null: unknown"
            )
        return found.apply(clip)
