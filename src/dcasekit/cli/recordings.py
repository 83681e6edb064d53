"""The recordings that a command is given: files, folders with all in them, and lists of these."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from dcasekit import audio
from dcasekit.core.files import read_utf8
from dcasekit.core.trees import list_tree
from dcasekit.errors import AudioError


class Recording(NamedTuple):
    """A file to answer, by the path as it was given; in a folder, the folder's and the way below it."""

    name: str
    size: int = 0
    changed: int = 0  # ns; tells one state of the file from another


def find(given: Iterable[Path], lists: Sequence[Path] = (), *, pattern: str | None = None) -> list[Recording]:
    """List recordings, each once, in the order given; those of a folder by name.

    Parameters
    ----------
    given : files and folders.
    lists : text files with a path on each line; blank lines and those that begin with ``#`` are passed over.
    pattern : of the names in folders, such as ``*.wav``, or of the ways below them, such as ``2024-*/*.flac``; by default all audio files.

    Raises
    ------
    AudioError : there are none, or a list cannot be read.
    """
    names: dict[str, None] = {}
    barren = set()  # folders without recordings: reading them will say so
    for path in [*given, *(line for listed in lists for line in _read_list(listed))]:
        found = list(_below(path, pattern)) if path.is_dir() else [str(path)]
        barren |= set() if found else {str(path)}
        names.update(dict.fromkeys(found or [str(path)]))
    if names.keys() <= barren:
        where = ", ".join(map(str, [*given, *lists]))
        raise AudioError(f"there are no recordings in {where}; looked for {pattern or ', '.join(sorted(audio.READABLE))}")
    return [_look_at(name) for name in names]


def _read_list(path: Path) -> list[Path]:
    try:
        lines = read_utf8(path).splitlines()
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot read the list {path}: {error}; expected UTF-8 text with a path on each line") from error
    return [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def _below(folder: Path, pattern: str | None) -> Iterator[str]:
    for name in list_tree(folder).files:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in audio.READABLE if pattern is None else fnmatch(name, pattern) or fnmatch(os.path.basename(name), pattern):
            yield os.path.join(folder, stem + suffix)


def _look_at(name: str) -> Recording:
    try:
        about = os.stat(name)
    except (OSError, ValueError):
        return Recording(name)  # what is wrong is said when it is read
    return Recording(name, about.st_size, about.st_mtime_ns)
