"""The bytes of a file, by place: a header costs few calls of the system, which are most of its price."""

import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import PathLike

_AHEAD = 4096  # bytes to read at a time: the heads of most files, or some frames of MPEG audio
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows' text ends at a byte 26


class Bytes:
    """An open file that gives bytes by place; it keeps its first ones, and those of the last look."""

    __slots__ = ("_block", "_first", "_start", "handle")

    def __init__(self, path: PathLike) -> None:
        self.handle = os.open(path, _FLAGS)
        try:
            self._first = self._block = os.read(self.handle, _AHEAD)
        except BaseException:  # a folder
            os.close(self.handle)
            raise
        self._start = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def at(self, position: int, count: int) -> bytes:
        """Return `count` bytes from `position` on, fewer where the file ends before; no more than 2 GB."""
        end = position + count
        if end <= len(self._first):
            return self._first[position:end]
        if position < self._start or end > self._start + len(self._block):
            os.lseek(self.handle, position, os.SEEK_SET)
            self._start, self._block = position, os.read(self.handle, max(count, _AHEAD))
        begin = position - self._start
        return self._block[begin : begin + count]


def read_bytes(path: PathLike, position: int, count: int) -> NDArray[Any]:
    """Read `count` bytes from `position` on, fewer where the file ends before, as an array."""
    raw = np.empty(count, "u1")
    with open(path, "rb", buffering=0) as file:
        file.seek(position)
        done = 0
        while done < count and (more := file.readinto(raw[done:])):  # type: ignore[arg-type] # the system gives 2 GB at a time
            done += more
    return raw[:done]
