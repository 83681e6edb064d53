"""Lists that say what sounds in which recording, and which recording a name in them means."""

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dcasekit.annotations import Event, events_to_tags, read_events, read_list_columns, read_tag_list
from dcasekit.core.cells import shorten
from dcasekit.core.files import read_rows
from dcasekit.errors import AnnotationError, DatasetError


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a recording: tags and events as a `Clip` has them, and what else a list says of it, column by column."""

    tags: Mapping[str, float | None] | None = None
    events: tuple[Event, ...] | None = None
    about: Mapping[str, str] = field(default_factory=dict)


_NO_TABLES = (".jams", ".json")
_ONSET = re.compile(r"(event_)?onset|begin|start|(begin|start)[ _]time", re.IGNORECASE)


def read_known(path: Path, annotator: str | None) -> dict[str, Known]:
    """Read a list of events, or of labels without times, whichever it is: name -> what is known."""
    if not path.is_file():
        raise DatasetError(f'there is no list of labels {path}; labels is a file, or names: labels=["dog", "cat"]')
    if path.stem.lower() == "events" or (path.stem.lower() != "tags" and _has_times(path)):
        listed = read_events(path, annotator=annotator)
        about = {} if path.suffix.lower() in _NO_TABLES else read_list_columns(path)
        return {name: Known(events_to_tags(events), tuple(events), about.get(name, {})) for name, events in listed.items()}
    tagged = read_tag_list(path, annotator=annotator)
    labels = {re.sub(r"\s", "_", label.lower()) for tags in tagged.values() for label in tags}  # they may be columns
    about = {name: {key: text for key, text in one.items() if key not in labels} for name, one in read_list_columns(path).items()}
    return {name: Known(tags, None, about.get(name, {})) for name, tags in tagged.items()}


def _has_times(path: Path) -> bool:
    """Tell if a list gives times: by its header, or, where it has none, by two numbers with a word behind them."""
    if path.suffix.lower() in _NO_TABLES:
        return True
    rows = [row for _, row in read_rows(path, error=AnnotationError)[:1]]
    if not rows or any(_ONSET.fullmatch(cell.strip().removesuffix("(s)").strip()) for cell in rows[0]):
        return bool(rows)
    numbers = [cell.strip().replace(",", ".").replace(".", "", 1).isdigit() for cell in rows[0]]
    return any(numbers[at : at + 3] == [True, True, False] for at in range(1, len(numbers) - 2))


def assign(known: dict[str, Known], listed: Mapping[str, Known], *, root: Path, where: Path) -> None:
    """Add what a list says to what is known of each recording; one that is not there is added, for `validate` to say so.

    Parameters
    ----------
    known : recordings by their paths below `root`; changed in place.
    listed : by the names in the list: paths below `root` or below the list's own folder, or bare names where those are unique, with or
        without the ending.
    where : the list, whose folder counts, and for messages.
    """
    names = _Names(list(known))
    folder = where.parent.relative_to(root).as_posix() if where.parent.is_relative_to(root) else "."
    for text, content in listed.items():
        name = _inside(text, root, where)
        found = names.find(posixpath.normpath(f"{folder}/{name}")) or names.find(name) or names.find_bare(name)
        if len(found) > 1:
            raise DatasetError(f"{where} names {shorten(text)}, and there are {' and '.join(found)}; give the path below {root}")
        target = found[0] if found else posixpath.normpath(f"{folder}/{name}")
        known[target] = join(known.get(target, Known()), content)


def _inside(text: str, root: Path, where: Path) -> str:
    """Return a name in a list as a path below the folder."""
    name = text.replace("\\", "/")
    if os.path.isabs(name) and Path(name).is_relative_to(root.absolute()):
        name = Path(name).relative_to(root.absolute()).as_posix()
    name = posixpath.normpath(name)
    if name.startswith(("/", "../")) or name in ("", ".", "..") or re.match(r"[A-Za-z]:/", name):
        raise DatasetError(
            f"{where} names {shorten(text)}, which does not lie in {root}; give paths below that folder, or link the recordings into it"
        )
    return name


def join(one: Known, other: Known) -> Known:
    """Add up what is said of one recording under different names."""
    tags = None if one.tags is None and other.tags is None else {**(one.tags or {}), **(other.tags or {})}
    events = None if one.events is None and other.events is None else (*(one.events or ()), *(other.events or ()))
    return Known(tags, events, {**one.about, **other.about})


class _Names:
    """Recordings by the names that a list may use: exactly, then without regard to capitals and forms of accents."""

    def __init__(self, names: list[str]) -> None:
        self._all = names
        self._exact = _key_names(names)

    def find(self, name: str) -> list[str]:
        """Find the recordings of this path, with or without its ending."""
        return self._look(name, ("path", "short path"))

    def find_bare(self, name: str) -> list[str]:
        """Find the recordings of this file name, in whatever folder."""
        return self._look(name, ("name", "short name"))

    @cached_property
    def _by_folded_name(self) -> dict[tuple[str, str], list[str]]:
        folded: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (kind, key), names in self._exact.items():
            folded[kind, _fold(key)] += names
        return dict(folded)

    def _look(self, name: str, kinds: Iterable[str]) -> list[str]:
        exact = (self._exact.get((kind, name)) for kind in kinds)
        return next(filter(None, exact), None) or next(filter(None, (self._by_folded_name.get((kind, _fold(name))) for kind in kinds)), [])


def _fold(name: str) -> str:
    """Write a name as names are compared: without capitals, and accents as one letter with theirs (macOS writes two)."""
    return unicodedata.normalize("NFC", name).casefold()


def _key_names(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    keyed = defaultdict(list)
    for path in names:
        name = path.rpartition("/")[2]
        for kind, key in (("path", path), ("name", name)):
            keyed[kind, key].append(path)
            keyed[f"short {kind}", os.path.splitext(key)[0]].append(path)
    return dict(keyed)
