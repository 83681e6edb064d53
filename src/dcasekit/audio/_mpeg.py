"""MPEG audio, layers I to III: frames one after the other, and no header but what some encoders hide in a first, silent frame.

Where that frame (Xing, Info) is missing or another file was appended, decoders estimate the length; we count frames.
"""

import re
import struct
from functools import lru_cache
from typing import NamedTuple

from dcasekit.audio import _tags
from dcasekit.audio._bytes import Bytes
from dcasekit.audio._info import Part
from dcasekit.audio._named import AGAIN, printable
from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

# kbit/s by code; first of version 1, layers I to III, then of versions 2 and 2.5, layer I, layers II and III.
_RATES = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_HZ = (44100, 48000, 32000)
_SIDE = {(1152, 2): 32, (1152, 1): 17, (576, 2): 17, (576, 1): 9}  # bytes of side information, by samples per frame and channels
_SYNC = re.compile(rb"\xff[\xe0-\xff]")
_SURE = 3  # frames in a row that are no chance
_HEAD = 64  # bytes of a frame that are looked at
_CRUMBS = 1500  # bytes that need no explanation before the first frame and behind the last one: a part of a frame
_LOOK = 1 << 20  # bytes to search at a time


class _Head(NamedTuple):
    """A frame's head."""

    size: int  # bytes of the frame
    samples: int
    sr: int
    channels: int
    layer: int

    @property
    def kind(self) -> tuple[int, ...]:
        """What stays the same from frame to frame, whatever the bit rate."""
        return self[1:]


@lru_cache(maxsize=1024)  # frames of one file have few heads
def _parse(word: bytes) -> _Head | None:
    """Read the four bytes of a head; ``None``: it is none."""
    if len(word) < 4 or word[0] != 0xFF or word[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate, hz = word[1] >> 3 & 3, 4 - (word[1] >> 1 & 3), word[2] >> 4, word[2] >> 2 & 3
    if version == 1 or layer == 4 or rate in (0, 15) or hz == 3:
        return None
    first = version == 3
    kbit = _RATES[layer - 1 if first else 3 + (layer > 1)][rate]
    sr = _HZ[hz] >> (0 if first else 1 if version == 2 else 2)
    samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
    padding = word[2] >> 1 & 1
    size = (12000 * kbit // sr + padding) * 4 if layer == 1 else samples // 8 * 1000 * kbit // sr + padding
    return _Head(size, samples, sr, 1 if word[3] >> 6 == 3 else 2, layer)


def find_first(file: Bytes, begin: int, total: int) -> int | None:
    """Find the first frame in bytes [begin, total); ``None``: there is none."""
    return _find_frame(file, begin, min(total, begin + _CRUMBS), total)


def whole(file: Bytes, first: int, total: int, path: PathLike) -> Part | None:
    """Return all as one part if the first frame says where it ends, and is right; else ``None``."""
    run = _Run(file, first, total, path)
    if run.knows and first + run.bytes <= total == _tags.after(file, first + run.bytes, total):
        return Part(first, first + run.bytes, seeks=False) if first else Part(seeks=False)
    return None


def split(file: Bytes, first: int, total: int, path: PathLike) -> list[Part]:
    """Walk through all frames and return the parts to decode; refuse what is cut or damaged.

    A part of 0 samples is one whose length libsndfile knows.
    """
    run = _Run(file, first, total, path)
    parts: list[Part] = []
    while True:
        run.count()
        parts.append(run.part)
        following = _tags.after(file, run.end, total)
        found = _find_frame(file, following, total, total)
        beyond = total - _CRUMBS if found is None else found
        if following < beyond:
            raise AudioError(f"{printable(path)} is damaged: bytes {following} to {beyond} are not frames of MPEG audio; {AGAIN}")
        if found is None:
            return parts
        run = _Run(file, found, total, path)


class _Run:
    """Frames that follow each other without a gap; the first may hold no sound but what its encoder says of the others."""

    def __init__(self, file: Bytes, begin: int, total: int, path: PathLike) -> None:
        self.file, self.begin, self.end, self.total, self.path = file, begin, begin, total, path
        self.found = 0
        content = file.at(begin, _HEAD).ljust(_HEAD, b"\0")
        self.head: _Head = _parse(content[:4])  # type: ignore[assignment] # `_find_frame` looked
        self.mark, at = _mark(content, self.head)
        self.frames = self.bytes = 0  # that the first frame promises
        if self.mark == b"VBRI":
            self.bytes, self.frames = struct.unpack(">II", content[at + 10 : at + 18])
        elif self.mark and content[at + 7] & 3 == 3:
            self.frames, self.bytes = struct.unpack(">II", content[at + 8 : at + 16])

    @property
    def knows(self) -> bool:
        """Whether the first frame tells how long the file is, in a way that libsndfile understands."""
        return self.mark in (b"Xing", b"Info") and self.frames > 0 and self.bytes > 0

    def count(self) -> None:
        """Walk to the end of the run: where no frame follows, or one that is marked as the first of a file."""
        while True:
            content = self.file.at(self.end, _HEAD)
            head = _parse(content[:4])
            if head is None or head.kind != self.head.kind or (self.end > self.begin and _mark(content, head)[0]):
                break
            if self.end + head.size > self.total:
                raise AudioError(f"{printable(self.path)} is truncated: its last frame is cut; {AGAIN}")
            self.end += head.size
            self.found += 1
        if self.mark and self.frames > self.found - 1:
            raise AudioError(
                f"{printable(self.path)} is truncated: its header promises {self.frames} frames, {self.found - 1} are there; {AGAIN}"
            )

    @property
    def part(self) -> Part:
        """What is to be decoded."""
        if self.knows and self.frames == self.found - 1:
            return Part(self.begin, self.end, 0, seeks=False)  # libsndfile knows how many samples at its ends are none
        first = self.begin + self.head.size if self.mark else self.begin
        return Part(first, self.end, (self.found - bool(self.mark)) * self.head.samples, seeks=False, endless=True)


def _mark(content: bytes, head: _Head) -> tuple[bytes, int]:
    """Tell by which mark, and where, a frame says that it holds no sound; empty: it holds sound."""
    side = 4 + _SIDE.get((head.samples, head.channels), 0)
    marks = ((b"Xing", side), (b"Info", side), (b"VBRI", 36)) if head.layer == 3 else ()
    return next(((mark, at) for mark, at in marks if content[at : at + 4] == mark), (b"", 0))


def _find_frame(file: Bytes, begin: int, end: int, total: int) -> int | None:
    """Find the first place in [begin, end) where frames begin: several, or as many as the file has left."""
    if _is_frame(file, begin, total):
        return begin
    position = begin
    while position < end:
        block = file.at(position, min(_LOOK, end - position))
        for found in _SYNC.finditer(block):
            if _is_frame(file, position + found.start(), total):
                return position + found.start()
        if not block:
            break
        position += len(block) if len(block) < 2 else len(block) - 1
    return None


def _is_frame(file: Bytes, position: int, total: int) -> bool:
    kinds: set[tuple[int, ...]] = set()
    for number in range(_SURE):
        if position >= total:
            return number > 0 and (position == total or number > 1)
        head = _parse(file.at(position, 4))
        if head is None or len(kinds | {head.kind}) > 1:
            return False
        kinds.add(head.kind)
        position += head.size
    return True
