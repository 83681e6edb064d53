"""What a server shows: sources of clips, a folder of runs, and nothing else on the disk."""

import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from dcasekit import audio
from dcasekit.annotations import Clip, harden, present
from dcasekit.core import discover
from dcasekit.core.files import read_json
from dcasekit.core.units import PathLike, Seconds
from dcasekit.datasets import Dataset
from dcasekit.errors import AudioError, DatasetError, DcasekitError, NameNotFoundError

UPLOADS = "uploads"  # the source whose clips are what a session sent
_MEASURED_AT_ONCE = 20_000  # headers that are read so that clips can be filtered by duration


@dataclass(frozen=True)
class Query:
    """Filters of a table of clips; a clip must pass all of them.

    Parameters
    ----------
    text : part of the clip's id; upper and lower case do not matter.
    label, fold : label and fold that the clip must have; empty: any.
    shortest, longest : limits of the clip's duration in seconds; ``None``: none.
    """

    text: str = ""
    label: str = ""
    fold: str = ""
    shortest: Seconds | None = None
    longest: Seconds | None = None


@dataclass(eq=False)
class Source:
    """A dataset that the server may show; it is read when it is first needed.

    Parameters
    ----------
    key : name of the source in the addresses of pages.
    name : name of the dataset, as ``discover`` knows it.
    path : folder of the dataset.
    settings : settings of the dataset's constructor.
    roots : folders, with links resolved; files outside of them are not shown.
    """

    key: str
    name: str
    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    roots: Sequence[Path] = ()

    def __post_init__(self) -> None:
        self._lock = threading.RLock()

    @property
    def title(self) -> str:
        """Title of the source in the pages."""
        task = self.settings.get("task")
        return f"{self.path.name if self.name == 'folder' else self.dataset_name}{f' ({task})' * bool(task)}"

    @property
    def dataset_name(self) -> str:
        """Name of the class of the dataset."""
        return str(discover.load("datasets", self.name).__name__)

    @property
    def dataset(self) -> Dataset:
        """The dataset; two threads that ask for it at the same time read it only once."""
        with self._lock:
            return self._dataset

    @cached_property
    def _dataset(self) -> Dataset:
        found: Dataset = discover.load("datasets", self.name)(self.path, **self.settings)
        if not found.clips:
            raise DatasetError(f"{self.path} holds no clips of {found.name}")
        return found

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """The clips of the dataset, without those whose files lie outside of `roots`, behind a link."""
        clips, folders = self.dataset.clips, {clip.path.parent for clip in self.dataset.clips}
        lie_inside = {folder: is_below(folder, self.roots) for folder in folders}
        return tuple(
            clip for clip in clips if lie_inside[clip.path.parent] and (not clip.path.is_symlink() or is_below(clip.path, self.roots))
        )

    @cached_property
    def by_id(self) -> Mapping[str, Clip]:
        """Id -> clip."""
        return {clip.id: clip for clip in self.clips}

    @cached_property
    def _searched(self) -> Sequence[tuple[str, frozenset[str], Clip]]:
        return [(clip.id.lower(), frozenset(labels_of(clip) or ()), clip) for clip in self.clips]

    @cached_property
    def balance(self) -> Mapping[str, int]:
        """Label -> number of clips with this label."""
        counted = Counter(label for _, labels, _ in self._searched for label in labels)
        return {label: counted[label] for label in self.dataset.labels}

    def search(self, query: Query) -> list[Clip]:
        """Return the clips that pass all filters of a query, in the order of the dataset."""
        text = query.text.strip().lower()
        found = [
            clip
            for name, labels, clip in self._searched
            if (not text or text in name) and (not query.label or query.label in labels) and (not query.fold or clip.fold == query.fold)
        ]
        if query.shortest is None and query.longest is None:
            return found
        low, high = query.shortest or 0.0, query.longest if query.longest is not None else float("inf")
        return [clip for clip in found if low <= (duration(clip) or 0.0) <= high]

    @property
    def measurable(self) -> bool:
        """Whether clips can be filtered by duration: durations are known, or there are few enough clips to read them."""
        return self.clips[0].duration is not None or len(self.clips) <= _MEASURED_AT_ONCE


class Site:
    """Everything that one server shows.

    Parameters
    ----------
    sources : the datasets to show.
    runs : folder of all runs; new runs are stored there.
    scratch : temporary folder of the server.
    """

    def __init__(self, sources: Iterable[Source], runs: PathLike, scratch: PathLike) -> None:
        found, self.runs, self.scratch = list(sources), Path(runs), Path(scratch)
        self.roots = tuple(Path(os.path.realpath(each)) for each in (*(one.path for one in found), runs, scratch))
        self.sources = {source.key: replace(source, roots=self.roots) for source in found}

    def source(self, key: str | None) -> Source:
        """Return the source with a key; ``None``: the first one.

        Raises
        ------
        NameNotFoundError : there is no such source.
        """
        if not self.sources:
            raise NameNotFoundError("the server was started without data; give it folders: dcasekit app FOLDER ...")
        if key and key not in self.sources:
            raise NameNotFoundError(f"the server shows no such data; it shows: {', '.join(self.sources)}")
        return self.sources[key] if key else next(iter(self.sources.values()))

    def clip(self, key: str, name: str, session: str) -> Clip:
        """Return a clip of a source, or of the files that a session uploaded, after checking that its file may be read.

        Raises
        ------
        NameNotFoundError : there is no such clip, or its file lies outside of the folders that the server may show.
        """
        found = (self.uploads(session) if key == UPLOADS else self.source(key).by_id).get(name)
        if found is None or not self.may_show(found.path):
            raise NameNotFoundError("there is no such clip")
        return found

    def may_show(self, path: PathLike) -> bool:
        """Tell whether a file lies in one of the server's folders, after following links."""
        return is_below(path, self.roots)

    def folder_of(self, session: str) -> Path:
        """Return the folder for the files that a session uploads; its name does not reveal the cookie."""
        return self.scratch / hashlib.sha256(session.encode()).hexdigest()[:32]

    def uploads(self, session: str) -> dict[str, Clip]:
        """Return the files that a session uploaded: name -> clip."""
        found = {}
        for about in sorted(self.folder_of(session).glob("*.json"), key=lambda path: path.stat().st_mtime):
            facts = read_json(about, error=AudioError)
            found[about.stem] = Clip(
                id=about.stem, path=about.with_suffix(".wav"), duration=facts["duration"], extra={"name": str(facts["name"])}
            )
        return found


def find_sources(texts: Sequence[str], runs: PathLike) -> list[Source]:
    """Make sources of ``PATH`` or ``NAME=PATH``, as given on the command line; if there are none, of the sounds that the runs made.

    Raises
    ------
    DatasetError : a folder does not exist.
    """
    named = [
        (head, Path(tail)) if tail and not os.path.exists(text) else ("folder", Path(text))
        for text in texts
        for head, _, tail in [text.partition("=")]
    ]
    found: list[tuple[str, Path, dict[str, Any]]] = []
    for name, path in named:
        discover.load("datasets", name)
        if not path.is_dir():
            raise DatasetError(
                f"there is no folder {path}; give folders of recordings, or NAME=FOLDER of a dataset (dcasekit datasets list)"
            )
        found.append((name, path.absolute(), {}))
    if not texts:
        for marker in sorted(Path(runs).glob("*/sounds/settings.json")):
            facts = json.loads(marker.read_text(encoding="utf-8"))
            found += [
                ("synthetic_sounds", marker.parent.absolute(), {**facts, "task": task})
                for task in ("classification", "tagging", "detection")
            ]
    return _with_keys(found)


def _with_keys(found: Sequence[tuple[str, Path, Mapping[str, Any]]]) -> list[Source]:
    sources: dict[str, Source] = {}
    for name, path, settings in found:
        stem = re.sub(r"[^a-z0-9]+", "-", (path.name if name == "folder" else name).lower()).strip("-") or "data"
        task = {"task": settings["task"]} if "task" in settings else {}
        stem = "-".join([stem, *task.values()])
        key = next(each for each in (stem, *(f"{stem}-{number}" for number in range(2, 1000))) if each not in sources)
        sources[key] = Source(key, name, path, settings)
    return list(sources.values())


def is_below(path: PathLike, roots: Sequence[Path]) -> bool:
    """Tell whether a path lies in one of several folders, after following links."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(root) for root in roots)


def labels_of(clip: Clip) -> list[str] | None:
    """Return the labels that are present in a clip; ``None``: unknown."""
    if clip.tags is None and clip.events is None:
        return None
    return list(dict.fromkeys([*present(clip.tags), *(event.label for event in harden(clip.events or ()))]))


def duration(clip: Clip) -> Seconds | None:
    """Return the duration of a clip in seconds, if need be from the header of its file; ``None``: the file cannot be read."""
    return clip.duration if clip.duration is not None else _measured(clip.path)


@lru_cache(200_000)
def _measured(path: Path) -> Seconds | None:
    try:
        return audio.info(path).duration
    except DcasekitError:
        return None
