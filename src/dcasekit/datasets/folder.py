"""Folder: recordings of your own."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from dcasekit import audio
from dcasekit.annotations import Clip, Event, events_to_tags, read_annotation, read_events, read_tag_list
from dcasekit.core.units import PathLike
from dcasekit.datasets._protocols import CrossValidation, Protocol, TrainTest, TrainValidateTest
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import DatasetError

_PARTS = {"train": "train", "val": "validate", "valid": "validate", "validate": "validate", "validation": "validate", "test": "test"}
_ORDER = {"train": 0, "validate": 1, "test": 2}
_TEXTS = (".jams", ".tsv", ".csv", ".txt", ".ann", ".lab")
_OURS = re.compile(r"features|augmented|audio\d+")  # folders that dcasekit makes
_LISTS = ("events.tsv", "events.csv", "tags.tsv", "tags.csv")

Known = tuple[Mapping[str, float] | None, tuple[Event, ...] | None]  # tags and events of a recording


class Folder(Dataset):
    r"""Folder: a folder of your own recordings, labelled by its layout, by lists, or by annotations beside the audio.

    What labels the recordings is the first of these that is there:

    - ``events.tsv`` (or .csv) in the folder: ``filename onset offset event_label``; the task is then detection.
    - ``tags.tsv`` (or .csv) in the folder: ``filename`` and ``label,label``; classification if every file has one label, else tagging.
    - a file beside the recording, with its name: .tsv, .csv, .txt (also Audacity's and Raven's), .ann, .lab or .jams; detection.
    - the name of the subfolder it lies in: ``dog/bark.wav``; classification.

    Where the folder holds ``train``, ``validate``, ``test`` or ``fold1``, ``fold2`` ... and nothing else, these are the folds, and the
    layouts above are looked for inside them (lists stay at the top). Otherwise folds are dealt out, group by group, evenly within each
    label; so a recording keeps its fold as long as the folder's files stay the same.

    A recording that no list and no file names has unknown labels. Names in lists are paths below the folder, or bare file names where those
    are unique.

    Parameters
    ----------
    root, cache : see `Dataset`.
    task : ``None``: as the layout says.
    parts : number of folds to deal out, at least 2; fewer if there are fewer groups.
    group : a regular expression whose first group, found in a recording's path below `root`, names what must not be cut by a split,
        e.g. ``r"(site\d+)_"``; ``None``: every recording is a group of its own.

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
        self, root: PathLike, *, cache: PathLike | None = None, task: Task | None = None, parts: int = 5, group: str | None = None
    ) -> None:
        super().__init__(root, cache=cache)
        if parts < 2:
            raise DatasetError(f"parts must be at least 2; got {parts}")
        try:
            self._group = re.compile(group) if group else None
        except re.error as error:
            raise DatasetError(f"group must be a regular expression; {group!r} is none: {error}") from error
        self._task, self._parts = task, parts

    @cached_property
    def task(self) -> Task:  # type: ignore[override] # a class of files one does not know states it when it has read them
        """What the labels are good for."""
        tags = [tags for tags, _ in self._known.values() if tags is not None]
        if any(events is not None for _, events in self._known.values()):
            return self._task or "detection"
        return self._task or ("classification" if all(len(one) == 1 for one in tags) else "tagging")

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """All labels found, sorted."""
        found = {label for tags, _ in self._known.values() for label in tags or ()}
        if not found:
            raise DatasetError(f"nothing below {self.root} has a label; use subfolders (dog/bark.wav), annotation files or {_LISTS[0]}")
        return tuple(sorted(found))

    @cached_property
    def folds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Folds, in order: those of the layout, or those dealt out."""
        return tuple(sorted(set(self._folds.values()), key=lambda fold: (_ORDER.get(fold, 3), len(fold), fold)))

    @cached_property
    def protocol(self) -> Protocol:  # type: ignore[override]
        """Cross-validation, or train (validate) test where the folds are named so."""
        if "train" not in self.folds:
            return CrossValidation()
        return TrainValidateTest() if "validate" in self.folds else TrainTest()

    def load(self) -> Iterable[Clip]:
        """Look through the folder."""
        for name, (tags, events) in self._known.items():
            yield Clip(
                id=name.rpartition(".")[0],
                path=self.root / name,
                fold=self._folds[name],
                group=self._group_of(name) if self._group else "",
                tags=tags,
                events=events,
            )

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Audio files: path below the folder -> path."""
        found = {
            path.relative_to(self.root).as_posix(): path for path in sorted(self.root.rglob("*")) if path.suffix.lower() in audio.SUFFIXES
        }
        found = {
            name: path for name, path in found.items() if not (name.startswith(".") or "/." in name or _OURS.match(name.split("/")[0]))
        }
        if not found:
            raise DatasetError(f"there is no audio below {self.root}; put recordings there as dog/bark.wav, or beside their annotations")
        return found

    @cached_property
    def _known(self) -> dict[str, Known]:
        """What is known of each recording, by its path below the folder."""
        listed = next((self.root / name for name in _LISTS if (self.root / name).exists()), None)
        if listed is not None and listed.stem == "events":
            return self._listed_names({name: (events_to_tags(e), tuple(e)) for name, e in read_events(listed).items()}, listed)
        if listed is not None:
            return self._listed_names({name: (tags, None) for name, tags in read_tag_list(listed).items()}, listed)
        beside = {name: text for name, path in self._files.items() if (text := _annotation_of(path)) is not None}
        if beside:
            events = {name: tuple(read_annotation(text)) for name, text in beside.items()}
            return {name: (events_to_tags(events[name]), events[name]) if name in events else (None, None) for name in self._files}
        inside = {name: name.split("/")[self._depth : -1] for name in self._files}
        return {name: ({folders[0]: 1.0} if folders else None, None) for name, folders in inside.items()}

    def _listed_names(self, found: Mapping[str, Known], where: Path) -> dict[str, Known]:
        """Find the recordings that a list names; one that is not there is listed all the same, for `validate` to say so."""
        by_name = defaultdict(list)
        for name in self._files:
            by_name[name.rpartition("/")[2]].append(name)
        known: dict[str, Known] = dict.fromkeys(self._files, (None, None))
        for name, content in found.items():
            same = by_name[name] if name not in self._files else [name]
            if len(same) > 1:
                raise DatasetError(f"{where} names {name!r}, and there are {' and '.join(same)}; give the path below {self.root}")
            known[same[0] if same else name] = content
        return known

    @cached_property
    def _depth(self) -> int:
        """How many folders at the top are folds: 1 or 0."""
        tops = {name.split("/")[0] if "/" in name else "" for name in self._files}
        return int(all(top in _PARTS or re.fullmatch(r"fold\d+", top) for top in tops))

    @cached_property
    def _folds(self) -> dict[str, str]:
        if self._depth:
            return {name: _PARTS.get(top, top) for name in self._known for top in [name.split("/")[0]]}
        labels = {self._group_of(name): sorted(tags or ()) for name, (tags, _) in self._known.items()}
        dealt = {group: number % self._parts + 1 for number, group in enumerate(sorted(labels, key=lambda group: (labels[group], group)))}
        return {name: f"fold{dealt[self._group_of(name)]}" for name in self._known}

    def _group_of(self, name: str) -> str:
        if self._group is None:
            return name
        match = self._group.search(name)
        if match is None or not match.groups():
            raise DatasetError(f"group={self._group.pattern!r} names no group of {name}; it needs one (...) that every path matches")
        return match[1]


def _annotation_of(path: Path) -> Path | None:
    """Find the annotation beside a recording: its name with another suffix, perhaps with more before it, as Raven writes."""
    exact = (path.with_suffix(suffix) for suffix in _TEXTS)
    longer = (other for other in sorted(path.parent.glob(f"{path.stem.replace('[', '[[]')}.*.txt")) if other.suffix in _TEXTS)
    return next((other for other in (*exact, *longer) if other.exists()), None)
