"""Ogg: a file may be a chain of streams; each ends with a page that is marked as its last."""

import re
import zlib
from collections.abc import Iterator

from dcasekit.audio._bytes import Bytes
from dcasekit.audio._named import AGAIN, printable
from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

_FIRST = re.compile(rb"OggS\0[\2\6]", re.DOTALL)  # a page that begins a stream
_PAGE, _HEAD = 65307, 282  # bytes, at most
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LOOK = 1 << 20  # bytes to search at a time


def links(file: Bytes, begin: int, total: int, path: PathLike) -> list[tuple[int, int]]:
    """Return the bytes [begin, end) of each link of the chain; refuse one that ends before its last page does."""
    starts: list[int] = []
    beside = begin
    for start in _first_pages(file, begin, total):
        if start != beside or not starts:  # a first page right after another: streams side by side, as sound and pictures
            starts.append(start)
        beside = start + _length(file.at(start, _HEAD))
    found = [*zip(starts, [*starts[1:], total], strict=True)]
    for start, end in found:
        begin = max(start, end - _PAGE)
        tail = file.at(begin, end - begin)
        place = tail.rfind(b"OggS\0")
        page = tail[place:] if place >= 0 else b""
        # To libsndfile, a stream without its last page is whole, only shorter.
        if len(page) <= 26 or not page[5] & 4 or len(page) < _length(page):
            raise AudioError(f"{printable(path)} is truncated: an ogg stream ends with a page marked as the last; {AGAIN}")
        if len(page) > _length(page):
            where = end - len(page) + _length(page)
            raise AudioError(
                f"{printable(path)} continues after the last page of an ogg stream: files were joined; split it at byte {where}"
            )
        if not _is_sound(page):
            raise AudioError(f"{printable(path)} is damaged: the last page of an ogg stream does not match its checksum; {AGAIN}")
    return found


def _length(page: bytes) -> int:
    """Count a page's bytes: its head, a table of the lengths of segments, and these."""
    return 27 + page[26] + sum(page[27 : 27 + page[26]]) if len(page) > 26 else _PAGE


def _is_sound(page: bytes) -> bool:
    """Check a page's sum, a CRC-32 from the highest bit on; zlib's begins with the lowest. libsndfile leaves out what does not match."""
    crc = ~zlib.crc32((page[:22] + bytes(4) + page[26:]).translate(_MIRROR), 0xFFFFFFFF) & 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2) == int.from_bytes(page[22:26], "little")


def _first_pages(file: Bytes, position: int, total: int) -> Iterator[int]:
    before = b""
    while block := file.at(position, min(_LOOK, total - position)):
        window = before + block
        base = position - len(before)
        yield from (base + found.start() for found in _FIRST.finditer(window))
        position += len(block)
        before = window[-5:]
