"""Folder: recordings of your own."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from dcasekit.annotations import Clip, present
from dcasekit.core.cells import shorten
from dcasekit.core.files import safe_name
from dcasekit.core.units import PathLike
from dcasekit.datasets._layout import LISTS, Layout, Understood, identify, is_recording, understand
from dcasekit.datasets._problems import Problem, find_label_problems
from dcasekit.datasets._protocols import CrossValidation, Protocol, TrainTest, TrainValidateTest
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import AnnotationError, DatasetError

_ORDER = {"train": 0, "validate": 1, "test": 2}


class Folder(Dataset):
    r"""Folder: a folder of your own recordings, labelled by its layout, by lists, or by annotations beside the audio.

    What labels the recordings is the first of these that is there:

    - ``events.tsv`` (or .csv) in the folder: ``filename onset offset event_label``; the task is then detection.
    - ``tags.tsv`` or ``labels.tsv`` (or .csv) in the folder: ``filename`` and ``label,label``; classification if every file has one label,
      else tagging. A list of another name, or one that lies elsewhere, is given as ``labels``.
    - a file beside the recording, with its name: .tsv, .csv, .txt (also Audacity's and Raven's), .ann, .lab or .jams; detection.
    - the name of the subfolder it lies in: ``dog/bark.wav``; classification.

    Where two or more of the folders are named ``train``, ``validate``, ``test`` or ``fold1``, ``fold2`` ..., these are the folds, and the
    layouts above are looked for inside them. Otherwise folds are dealt out, group by group, evenly within each label; so a recording keeps
    its fold as long as the folder's files stay the same. Folders that merely lie around all others are passed through.

    `layout` says how the folder was understood and which files are not used, and why; print it, or run ``dcasekit datasets info folder
    --data <folder>``. Every kind of recording that can be read is found (`dcasekit.audio.READABLE`), links are followed, and a recording
    that several links lead to is read once. A recording that no list and no file names has unknown labels. Names in lists are paths below
    the folder or below the list's own, or bare file names where those are unique, with or without their ending. A list with a header may
    have further columns: ``fold`` or ``split`` (train, test, 1, 2 ...) gives the folds, ``group`` the groups, all others are the clips'
    ``extra``.

    Parameters
    ----------
    root, cache : see `Dataset`.
    labels : a list's file (``-D labels=FILE``); or the names of the labels, in order, of which not all need occur (``-D
        'labels=["dog", "cat"]'``), so that a folder has the labels of a model. ``None``: as the layout says.
    task : ``None``: as the layout says.
    parts : number of folds to deal out, at least 2; fewer if there are fewer groups.
    group : a regular expression whose first group, found in a recording's path below `root`, names what must not be cut by a split,
        e.g. ``r"(site\d+)_"``; ``None``: every recording is a group of its own, together with others of its name but another ending.
    annotator : whose labels, where lists or annotation files have those of several people.

    Examples
    --------
    >>> Folder("my/recordings", group=r"(site\d+)_").task
    Traceback (most recent call last):
    ...
    dcasekit.errors.DatasetError: there is no audio below my/recordings; put recordings there as dog/bark.wav, or beside their annotations
    """

    licence = "your own recordings: yours to say"
    citation = "your own recordings: nothing to cite"

    def __init__(
        self,
        root: PathLike,
        *,
        cache: PathLike | None = None,
        labels: PathLike | Sequence[str] | None = None,
        task: Task | None = None,
        parts: int = 5,
        group: str | None = None,
        annotator: str | None = None,
    ) -> None:
        super().__init__(root, cache=cache)
        if parts < 2:
            raise DatasetError(f"parts must be at least 2; got {parts}")
        try:
            self._group = re.compile(group) if group else None
        except re.error as error:
            raise DatasetError(f"group must be a regular expression; {group!r} is not one: {error}") from error
        self._list = Path(labels) if isinstance(labels, str | os.PathLike) else None
        self._names = None if labels is None or isinstance(labels, str | os.PathLike) else tuple(labels)
        if self._names is not None and len(set(self._names)) < len(self._names):
            raise DatasetError(f"labels lists one of them twice: {', '.join(self._names)}")
        self._task, self._parts, self._annotator = task, parts, annotator

    @cached_property
    def layout(self) -> Layout:
        """How the folder was understood: where labels and folds come from, what is left out and why."""
        found = self._understood
        dealt = f"{len(self.folds)} parts dealt out{f' by {self._group.pattern}' if self._group else ''}"
        return Layout(
            labels=found.labels,
            folds=found.folds or dealt,
            recordings=len(found.known),
            unlabelled=sum(one.tags is None for one in found.known.values()),
            left_out=found.left_out,
        )

    @cached_property
    def task(self) -> Task:  # type: ignore[override] # a class of files one does not know states it when it has read them
        """What the labels are good for."""
        tags = [one.tags for one in self._understood.known.values() if one.tags is not None]
        if any(one.events is not None for one in self._understood.known.values()):
            return self._task or "detection"
        return self._task or ("classification" if all(list(one.values()) == [1.0] for one in tags) else "tagging")

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those given, or all that are found, sorted."""
        found = {label for one in self._understood.known.values() for label in one.tags or ()}
        if not found and not self._names:
            raise DatasetError(
                f"nothing below {self.root} has a label; use subfolders (dog/bark.wav), annotation files, or a list: "
                f"{', '.join(f'{kind}.tsv' for kind in LISTS)}, or labels=FILE"
            )
        return self._names or tuple(sorted(found))

    @cached_property
    def folds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Folds, in order: those of the layout, or those dealt out."""
        return tuple(sorted(set(self._folds.values()), key=_fold_order))

    @cached_property
    def protocol(self) -> Protocol:  # type: ignore[override]
        """Cross-validation, or train (validate) test where the folds are named so."""
        if "train" not in self.folds:
            return CrossValidation()
        return TrainValidateTest() if "validate" in self.folds else TrainTest()

    def load(self) -> Iterable[Clip]:
        """Look through the folder."""
        known, used = self._understood.known, {self._understood.column, "group"}
        for name, clip_id in identify(known).items():
            one = known[name]
            twin = os.path.splitext(name)[0] if clip_id == name else ""  # another recording has this name with another ending
            yield Clip(
                id=safe_name(clip_id),  # a list may name recordings that lie elsewhere
                path=self.root / name,
                fold=self._folds[name],
                group=self._group_of(name) if self._group else one.about.get("group", twin),
                tags=one.tags,
                events=one.events,
                extra={column: text for column, text in one.about.items() if column not in used},
            )

    @cached_property
    def _understood(self) -> Understood:
        try:
            found = understand(self.root, self._list, self._annotator)
        except AnnotationError as error:
            raise DatasetError(f"{self.name}: {error}") from error
        if not found.known:
            unreadable = [one.path for one in found.left_out if one.why.startswith("cannot be read")]
            how = f"convert {unreadable[0]} to wav" if unreadable else "put recordings there as dog/bark.wav, or beside their annotations"
            raise DatasetError(f"there is no audio below {self.root}; {how}")
        return found

    @cached_property
    def _folds(self) -> dict[str, str]:
        places, known = self._understood.places, self._understood.known
        if self._understood.folds:  # a recording that is listed and not there lies nowhere: it counts for the first
            first = min({place.fold for place in places.values() if place.fold}, key=_fold_order)
            return {name: places[name].fold or first for name in known}
        groups = {name: self._group_of(name) for name in known}
        labels: dict[str, set[str]] = defaultdict(set)
        for name, group in groups.items():
            labels[group].update(present(known[name].tags))
        order = sorted(labels, key=lambda group: (sorted(labels[group]), group))
        dealt = {group: f"fold{number % self._parts + 1}" for number, group in enumerate(order)}
        return {name: dealt[group] for name, group in groups.items()}

    def _group_of(self, name: str) -> str:
        if self._group is None:
            return self._understood.known[name].about.get("group", os.path.splitext(name)[0])
        match = self._group.search(name)
        if match is None or not match.groups():
            raise DatasetError(
                f"group={self._group.pattern!r} names no group of {shorten(name)} in {self.root}; "
                "it needs one (...) that every path matches"
            )
        return match[1]

    def _list_shared(self) -> Iterable[Path]:
        """Return what lies beside the recordings and is left out: `_doubts` tells of it, with the reason."""
        return (self.root / one.path for one in self._understood.left_out)

    def _doubts(self) -> Iterable[Problem]:
        """Tell of recordings that are left out, and of labels that look wrong."""
        recordings = (one for one in self._understood.left_out if is_recording(one.path))
        yield from (Problem("left out", str(self.root / one.path), one.why) for one in recordings)
        yield from find_label_problems(self.listed, self.root)


def _fold_order(fold: str) -> tuple[int, int, str]:
    return _ORDER.get(fold, 3), len(fold), fold
