"""How a folder of one's own is understood: what its subfolders mean, and which file says what sounds in which recording."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcasekit.annotations import events_to_tags, read_annotation
from dcasekit.audio import READABLE
from dcasekit.core.tables import visible
from dcasekit.core.trees import LeftOut, list_tree
from dcasekit.datasets._listed import Known, assign, join, read_known

FOLDS = {"train": "train", "val": "validate", "valid": "validate", "validate": "validate", "validation": "validate", "test": "test"}
LISTS = ("events", "tags", "labels")  # with the ending .tsv or .csv; the first kind that is there
TEXTS = (".jams", ".tsv", ".csv", ".txt", ".ann", ".lab")
_UNREADABLE = frozenset((
    ".aac", ".ac3", ".amr", ".ape", ".avr", ".dss", ".htk", ".iff", ".m4a", ".mka", ".mp4", ".mpc", ".nist", ".paf", ".pvf", ".ra", ".sds",
    ".sph", ".spx", ".svx", ".tta", ".voc", ".webm", ".wma", ".wv",
))  # fmt: skip
_FOLD_COLUMNS = ("fold", "split", "subset", "set", "partition")
_SHOWN = 3  # examples of what is left out for one reason


@dataclass(frozen=True, slots=True)
class Layout:
    """How a folder was understood; as text, what `dcasekit datasets info folder` prints.

    Parameters
    ----------
    labels, folds : where they come from.
    recordings, unlabelled : how many there are, and of how many nothing is known.
    left_out : files and folders that are not used, and why.
    """

    labels: str
    folds: str
    recordings: int
    unlabelled: int
    left_out: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        reasons = defaultdict(list)
        for one in self.left_out:
            reasons[one.why].append(one.path)
        rows = [
            f"  {why}: {visible(', '.join(paths[:_SHOWN]))}{f' and {len(paths) - _SHOWN} more' if len(paths) > _SHOWN else ''}"
            for why, paths in reasons.items()
        ]
        without = f", {self.unlabelled} of them without known labels" if self.unlabelled else ""
        head = [f"labels from {self.labels}", f"folds from {self.folds}", f"{self.recordings} recordings{without}"]
        return "\n".join([*head, f"left out: {len(self.left_out) or 'nothing'}", *rows])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording lies: its fold, if the folders say it, and the subfolders below."""

    fold: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Understood:
    """What is known of each recording, by its path below the folder, and how that came about."""

    known: dict[str, Known]
    places: dict[str, Place]
    labels: str  # where they come from
    folds: str  # where they come from; empty: from nowhere, so they are to be dealt out
    column: str  # of a list, that says the fold; empty: none
    left_out: tuple[LeftOut, ...]


def understand(root: Path, list_file: Path | None, annotator: str | None) -> Understood:
    """Look through a folder; `list_file` is a list of labels that somebody names, wherever it lies; `annotator` says whose labels."""
    tree = list_tree(root)
    left_out = list(tree.left_out)
    kinds = {name: _ending(name) for name in tree.files}
    sounds, doubled = _once({name: real for name, real in tree.files.items() if kinds[name] in READABLE}, os.path.realpath(root))
    depth, tops = _folds(sounds)
    places = {name: _place(name, depth, tops) for name in sounds}
    if tops:
        inner = _around([place.folders for place in places.values() if place.fold])
        beside = f"beside {', '.join(sorted(tops))}, which are folds"
        left_out += (LeftOut(name, beside) for name, place in places.items() if not place.fold)
        places = {name: Place(place.fold, place.folders[inner:]) for name, place in places.items() if place.fold}
    texts = [name for name, kind in kinds.items() if kind in TEXTS]
    around = sounds[0].split("/")[:depth] if sounds and depth else []
    spots = ["".join(f"{part}/" for part in around[:level]) for level in range(depth + 1)]
    spots += [f"{spots[-1]}{top}/" for top in sorted(tops)]
    if list_file and not list_file.exists() and (root / list_file).exists():
        list_file = root / list_file
    known, source, unread = _label(root, places, texts, [list_file] if list_file else _lists(root, texts, spots), annotator)
    for name in [name for name in known if name not in places]:
        if name in doubled:
            known[doubled[name]] = join(known[doubled[name]], known[name])
        if name in tree.files:
            del known[name]
        else:
            places[name] = _place(name, depth, tops)
    left_out += (LeftOut(name, f"a link to {other}, which is read") for name, other in doubled.items())
    column, listed = ("", {}) if tops else _column(known)
    places = {name: Place(listed.get(name, place.fold), place.folders) for name, place in places.items()}
    folds = (
        f"the folders {', '.join(sorted(tops))}" if tops else f"the column {column} of {source.removeprefix('the list ')}" if column else ""
    )
    others = (name for name, kind in kinds.items() if kind not in READABLE and kind not in TEXTS)
    left_out += (LeftOut(name, "cannot be read; convert it to wav" if kinds[name] in _UNREADABLE else "no recording") for name in others)
    return Understood(known, places, source, folds, column, tuple(sorted([*left_out, *unread])))


def _once(files: Mapping[str, str], top: str) -> tuple[list[str], dict[str, str]]:
    """Keep each recording once: where it really lies, if that is below the folder, else where its first link is; link -> recording."""
    first: dict[str, str] = {}
    doubled = {}
    for name in sorted(files, key=lambda name: (files[name] != f"{top}/{name}", name)):
        if (other := first.setdefault(files[name], name)) != name:
            doubled[name] = other
    return sorted(first.values()), doubled


def _around(folders: Iterable[Sequence[str]]) -> int:
    """Count the folders that merely lie around all others."""
    inside = [list(one) for one in folders if one]
    depth = len(os.path.commonprefix(inside)) if inside else 0
    below = {one[depth] for one in inside if len(one) > depth}
    return depth if len(below) > 1 else max(depth - 1, 0)


def _folds(names: Sequence[str]) -> tuple[int, dict[str, str]]:
    """Return how many folders lie around all others, and those below them that are folds, if two or more are."""
    folders = [name.split("/")[:-1] for name in names]
    depth = _around(folders)
    found = {top: fold for top in {one[depth] for one in folders if len(one) > depth} if (fold := _fold(top))}
    return depth, found if len(set(found.values())) > 1 else {}


def _fold(folder: str) -> str | None:
    name = folder.lower()
    return FOLDS.get(name) or (name if re.fullmatch(r"fold[ _-]?\d+", name) else None)


def _column(known: Mapping[str, Known]) -> tuple[str, dict[str, str]]:
    """Find a column that gives all listed recordings their folds, two or more: its name, and the fold of each recording."""
    for column in _FOLD_COLUMNS:
        texts = {name: text for name, one in known.items() if (text := one.about.get(column))}
        folds = {name: fold for name, text in texts.items() if (fold := _fold(f"fold{text}" if text.isdecimal() else text))}
        if len(set(folds.values())) > 1 and len(folds) == len(texts):
            return column, folds
    return "", {}


def _place(name: str, depth: int, tops: Mapping[str, str]) -> Place:
    folders = tuple(name.split("/")[depth:-1])
    return Place(tops.get(folders[0], "") if folders else "", folders[1:]) if tops else Place("", folders)


def _lists(root: Path, texts: Iterable[str], spots: Iterable[str]) -> list[Path]:
    """Find the lists of labels at the top, and in the folders that are folds or lie around all others: those of the first kind there is."""
    there = {name.lower(): name for name in sorted(texts, reverse=True)}
    for kind in LISTS:
        names = ([there[name] for end in (".tsv", ".csv") if (name := f"{spot.lower()}{kind}{end}") in there] for spot in spots)
        if found := [root / each[0] for each in names if each]:
            return found
    return []


def _label(
    root: Path, places: Mapping[str, Place], texts: Iterable[str], lists: Sequence[Path], annotator: str | None
) -> tuple[dict[str, Known], str, list[LeftOut]]:
    """Say what is known of each recording, from where, and which texts were not read."""
    if lists:
        known: dict[str, Known] = dict.fromkeys(places, Known())
        for path in lists:
            assign(known, read_known(path, annotator), root=root, where=path)
        names = [path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path) for path in lists]
        why = f"not read, because {names[0]} is there"
        return known, f"the list {', '.join(names)}", [LeftOut(text, why) for text in texts if text not in names]
    chosen, unread = _annotations(places, texts)
    if chosen:
        events = {name: tuple(read_annotation(root / text, annotator=annotator)) for name, text in chosen.items()}
        known = {name: Known(events_to_tags(events[name]), events[name]) if name in events else Known() for name in places}
        return known, f"annotation files beside {len(chosen)} of {len(places)} recordings", unread
    known = {name: Known({place.folders[0]: 1.0} if place.folders else None) for name, place in places.items()}
    return known, "the names of subfolders", unread


def _annotations(names: Iterable[str], texts: Iterable[str]) -> tuple[dict[str, str], list[LeftOut]]:
    """Find each recording's annotation: a text of its name with another ending, perhaps with more before it, as Raven writes.

    A text belongs to the recording whose name it shares most of: ``a.b.txt`` to ``a.b.wav``, and where that is not, to ``a.wav``.
    """
    texts = list(texts)
    owners = defaultdict(list)
    for name in names if texts else ():
        owners[name].append(name)
        owners[os.path.splitext(name)[0]].append(name)
    found, unread = defaultdict(list), []
    for text in texts:
        base = name = os.path.splitext(text)[0]
        while base not in owners and "." in base.rpartition("/")[2].lstrip("."):
            base = base.rpartition(".")[0]
        for owner in owners.get(base, ()):
            found[owner].append((len(name) - len(base), TEXTS.index(_ending(text)), text))
        if base not in owners:
            unread.append(LeftOut(text, "belongs to no recording beside it"))
    chosen = {name: min(candidates)[2] for name, candidates in found.items()}
    used = set(chosen.values())
    for candidates in found.values():
        first = min(candidates)[2]
        unread += (LeftOut(text, f"not read, because {first} is there") for *_, text in candidates if text not in used)
    return chosen, unread


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def is_recording(name: str) -> bool:
    """Tell if a file is sound by its ending, whether it can be read or not."""
    return _ending(name) in READABLE | _UNREADABLE


def identify(names: Iterable[str]) -> dict[str, str]:
    """Map each recording to its id: its path without the ending, or with it where another has the same."""
    names = set(names)
    parts = {name: os.path.splitext(name) for name in sorted(names)}
    bare = {name: stem if ending.lower() in READABLE else name for name, (stem, ending) in parts.items()}
    shared = Counter(bare.values())
    return {name: name if shared[short] > 1 or (short != name and short in names) else short for name, short in bare.items()}
