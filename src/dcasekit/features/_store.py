"""Arrays on disk: memory-mapped files of packed frames, one folder per dataset and feature setting.

A folder holds ``settings.json``, ``index.json`` and the frames of all clips in one or several ``frames-<hash>.npy``, (frames, dims),
float32, in the order of the clips' ids. The index says in which file a clip lies, where, and of which audio it was made; it carries its own
checksum and the size of every file, so what was cut or edited is noticed when it is opened. How the files come about is in `_fill`.
Reading a random clip from the map takes microseconds.
"""

import hashlib
import json
import os
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from dcasekit.annotations import LONGEST
from dcasekit.core.files import write_text
from dcasekit.core.origin import Origin
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.errors import FeatureError, first_line

# Bytes between two stretches that are sooner read than passed over.
_GAP = 1 << 16
Stretch: TypeAlias = tuple[str, int, int]

INDEX, KIND = "index.json", "features"
_FRAMES = re.compile(r"frames-[0-9a-f]{16}\.npy")
_MOST = 1 << 63  # what a file or a time may have in bytes, frames, nanoseconds
_REMEDY = "run features.extract(dataset): it computes again what was lost"


class Entry(NamedTuple):
    """Where a clip's frames are stored, and the audio that they were computed from.

    ``first`` counts frames from the start of the file, `duration` is in seconds, and ``channel=None`` is the mean of all channels.
    """

    file: str
    first: int  # in frames from the start of a packed file; in bytes for a part
    frames: int
    dims: int
    duration: Seconds
    channel: int | None
    origin: Origin

    def row(self) -> list[Any]:
        """Return all but the file as JSON values."""
        return [self.first, self.frames, self.dims, self.duration, self.channel, *self.origin]

    @classmethod
    def from_row(cls, file: str, row: list[Any]) -> "Entry":
        """Make the entry again; raise `TypeError` or `ValueError` if it cannot be one."""
        first, frames, dims, duration, channel, size, mtime, ctime, digest = row
        place = 0 if channel is None else channel
        if not type(first) is type(frames) is type(dims) is type(size) is type(mtime) is type(ctime) is type(place) is int:
            raise ValueError("a number of an entry is not a number")
        if (
            min(first, frames, dims) < 0
            or min(size, mtime, ctime, place) <= -_MOST
            or max(first, frames, dims, size, mtime, ctime, place) >= _MOST
        ):
            raise ValueError("a number of an entry is not a number")
        if not (type(duration) in (int, float) and 0 <= duration <= LONGEST and isinstance(digest, str)):
            raise ValueError("a duration or checksum of an entry is malformed")
        return cls(file, first, frames, dims, duration, channel, Origin(size, mtime, ctime, digest))


@dataclass(frozen=True)
class Index:
    """What ``index.json`` says.

    Parameters
    ----------
    sizes : frames file -> its bytes.
    entries : clip id -> where its frames are.
    skipped : clip id -> why it could not be treated.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it, with its checksum in the first line."""
        names = list(self.sizes)
        number = {name: index for index, name in enumerate(names)}
        clips = {clip: [number[entry.file], *entry.row()] for clip, entry in sorted(self.entries.items())}
        text = json.dumps({"files": self.sizes, "clips": clips, "skipped": self.skipped}, allow_nan=False)[1:] + "\n"
        write_text(folder / INDEX, f'{{"sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n{text}')

    def without(self, files: Mapping[str, str]) -> "Index":
        """Leave out what lies in some files."""
        sizes = {name: size for name, size in self.sizes.items() if name not in files}
        return Index(sizes, {clip: entry for clip, entry in self.entries.items() if entry.file not in files}, self.skipped)


def read_index(folder: Path) -> tuple[Index, dict[str, str]]:
    """Read a folder's index: what it says, and the files that are lost or were changed, with what is wrong with them.

    An index that is not as we wrote it counts as empty, and is one of these files.
    """
    while True:
        text = _text(folder)
        if not text:
            return Index(), {}
        try:
            index = _parse(text)
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
            return Index(), {INDEX: "was cut or edited"}
        lost = {name: wrong for name, size in index.sizes.items() if (wrong := _wrong(folder / name, size))}
        if not lost or _text(folder) == text:  # else it was packed anew in the meantime
            return index, lost


def _text(folder: Path) -> bytes:
    try:
        return (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise FeatureError(f"{folder / INDEX} cannot be read ({error.strerror}); check its permissions") from error


def _parse(text: bytes) -> Index:
    head, _, body = text.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() not in head:
        raise ValueError("the checksum is not that of the content")
    content = json.loads(text)
    sizes, skipped = content["files"], content["skipped"]
    names = list(sizes)
    if not all(map(_FRAMES.fullmatch, names)):
        raise ValueError("a file name that dcasekit does not write")
    entries = {clip: Entry.from_row(names[file], row) for clip, (file, *row) in content["clips"].items()}
    if not (all(isinstance(size, int) for size in sizes.values()) and all(isinstance(why, str) for why in skipped.values())):
        raise ValueError("a size is not a number, or a reason is not text")
    return Index(sizes, entries, skipped)


def _wrong(path: Path, size: int) -> str:
    try:
        found = os.stat(path).st_size
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    return "" if found == size else f"has {found} bytes instead of {size}"


@dataclass(frozen=True)
class FeatureStore:
    """The stored feature of a dataset's clips, to be read; `FeatureExtractor.extract` writes it and `FeatureExtractor.store` opens it.

    Pickled, for another process, it consists of its folder's path alone.

    Parameters
    ----------
    folder : folder of the store; see above for its files.
    """

    folder: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureStore, (self.folder,)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Clip id -> `Entry`: where its frames are stored.

        Raises
        ------
        FeatureError : a file of the store was cut, edited or deleted.
        """
        return self._index.entries

    @property
    def skipped(self) -> Mapping[str, str]:
        """Clip id -> why its feature could not be computed, for clips that were skipped by ``extract(..., on_error="skip")``."""
        return self._index.skipped

    def read(self, clip: str, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return frames [start, stop) of a clip, (frames, dims), as a read-only view of the memory-mapped file.

        Parameters
        ----------
        clip : its id.
        start, stop : first frame, and the frame behind the last; ``stop=None``: all to the end.

        Raises
        ------
        FeatureError : the clip is not stored, or a file of the store was cut, edited or deleted.
        """
        while True:
            entry = self.entry(clip)
            try:
                frames = self._map(entry.file)
            except FileNotFoundError:  # packed anew since the index was read; if it is lost, reading the index says so
                self.__dict__.pop("_index", None)
                continue
            if frames.dtype != np.float32 or frames.shape[1:] != (entry.dims,) or not 0 <= entry.first <= len(frames) - entry.frames:
                raise FeatureError(f"{self.folder / entry.file} is not as its index says; delete {self.folder} and {_REMEDY}")
            stop = entry.frames if stop is None else min(stop, entry.frames)
            return frames[entry.first + start : entry.first + stop]

    def read_together(self, stretches: Iterable[Stretch]) -> dict[Stretch, FloatArray]:
        """Read many stretches of clips in the order in which they lie on the disk: few large reads instead of many small ones.

        Parameters
        ----------
        stretches : tuples of a clip's id, the first frame, and the frame behind the last.

        Returns
        -------
        dict : stretch -> a copy of its frames (frames, dims).

        Raises
        ------
        FeatureError : a clip is not stored, or a file of the store was changed.
        """
        placed = sorted((self.entry(each[0]).file, self.entry(each[0]).first + each[1], each) for each in stretches)
        found: dict[Stretch, FloatArray] = {}
        run: list[tuple[str, int, Stretch]] = []
        stop = 0
        for file, first, stretch in placed:
            if run and (file != run[0][0] or 4 * self.entry(stretch[0]).dims * (first - stop) > _GAP):
                found |= self._read_run(run, stop)
                run = []
            stop = max(stop if run else 0, first + stretch[2] - stretch[1])
            run.append((file, first, stretch))
        return found | (self._read_run(run, stop) if run else {})

    def _read_run(self, run: Sequence[tuple[str, int, Stretch]], stop: int) -> dict[Stretch, FloatArray]:
        clip, start, _ = run[0][2]
        self.read(clip, start, start)  # the map is there, and as the index says
        frames = self._map(self.entry(clip).file)
        begin, dims = run[0][1], frames.shape[1]
        place = cast("np.memmap[Any, Any]", frames).offset + 4 * begin * dims
        try:
            read = np.fromfile(self.folder / self.entry(clip).file, np.float32, (stop - begin) * dims, offset=place).reshape(-1, dims)
        except FileNotFoundError:  # packed anew just now
            return {each: self.read(*each).copy() for _, _, each in run}
        return {each: read[first - begin : first - begin + each[2] - each[1]].copy() for _, first, each in run}

    def entry(self, clip: str) -> Entry:
        """Return the `Entry` of a clip.

        Raises
        ------
        FeatureError : the clip is not stored; the message says if and why it was skipped.
        """
        if clip in self.entries:
            return self.entries[clip]
        why = self.skipped.get(clip)
        raise FeatureError(
            f"clip {clip!r} was skipped: {why}" if why else f"clip {clip!r} is not in {self.folder}; run features.extract(dataset)"
        )

    @cached_property
    def _index(self) -> Index:
        index, lost = read_index(self.folder)
        for name, wrong in lost.items():
            raise FeatureError(f"{self.folder / name} {wrong}; {_REMEDY}")
        return index

    @cached_property
    def _maps(self) -> dict[str, FloatArray]:
        return {}

    def _map(self, file: str) -> FloatArray:
        if file not in self._maps:
            try:
                self._maps[file] = np.lib.format.open_memmap(self.folder / file, mode="r")
            except (ValueError, tokenize.TokenError) as error:
                raise FeatureError(
                    f"{self.folder / file} was changed after it was written ({first_line(error)}); delete it, and {_REMEDY}"
                ) from error
        return self._maps[file]
