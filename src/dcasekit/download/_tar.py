"""Read tar archives of strangers, member by member; nothing that a header says is believed before it is checked.

The standard library's tarfile reads long names, pax headers and maps of sparse files whole, however long they say they are, and follows
chains of them by recursion.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

from dcasekit.errors import DownloadError

CHUNK = 2**16
MEMORY = 2**28  # bytes; a decompressor that needs more is refused: the largest dictionary of `xz -9` is a quarter of it

_BLOCK = 512
_MOST_HEADER = 2**20  # bytes of a long name or a pax header
_MOST_HEADERS = 16  # of these before a member
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=]{1,1000})=", re.DOTALL)

Member = tuple[str, int, Iterator[bytes]]  # name, size in bytes, content


class _Gunzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, content: bytes, most: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + content, most)


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    ".gz": _Gunzip,
    ".tgz": _Gunzip,
    ".bz2": bz2.BZ2Decompressor,
    ".tbz2": bz2.BZ2Decompressor,
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY),
    ".txz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY),
}


def _decompress(file: IO[bytes], make: Callable[[], Any]) -> Generator[bytes]:
    """Decompress a file of one stream or several, in chunks of bounded size."""
    content = file.read(CHUNK)
    while content:
        stream = make()
        while not stream.eof:
            chunk = stream.decompress(content, CHUNK)
            if chunk:
                yield chunk
            wanted = stream.needs_input and not stream.eof
            content = file.read(CHUNK) if wanted else b""
            if wanted and not content and not chunk:
                raise EOFError("the compressed data end too early")
        content = stream.unused_data.lstrip(b"\0") or file.read(CHUNK)
        while content and not (content := content.lstrip(b"\0")):  # streams may be filled up with zeros
            content = file.read(CHUNK)


class _Stream:
    """Read exactly so many bytes, of chunks of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next bytes, in pieces."""
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    raise EOFError("the end of the archive is missing")
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield bytes(piece)

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))


def tar_members(archive: Path, limit: int) -> Generator[Member]:
    """Yield the files of a tar archive; `limit` is of the bytes of headers and behind the end, where a compressor's checksum is."""
    make = _DECOMPRESSORS.get(archive.suffix.lower())
    with archive.open("rb") as file:
        chunks = _decompress(file, make) if make else iter(lambda: file.read(CHUNK), b"")
        stream = _Stream(chunks)
        said: dict[str, bytes] = {}  # by the headers before a member
        headers, spent = 0, 0
        while any(header := stream.read(_BLOCK)):
            name, size, kind = _parse(header)
            if kind in b"xgXLK":
                headers, spent = headers + 1, spent + size
                if size > _MOST_HEADER or headers > _MOST_HEADERS:
                    what = f"{headers} headers before a member" if headers > _MOST_HEADERS else f"a header of {size} bytes"
                    raise DownloadError(f"{archive} has {what}; do not trust this archive")
                _refuse_more(spent, limit, archive)
                content = stream.read(size + -size % _BLOCK)[:size]
                if kind in b"xX":
                    said |= _pax(content)
                elif kind == b"L":
                    said["path"] = content.rstrip(b"\0")
                continue
            name, size = said.get("path", name), _decimal(said["size"]) if "size" in said else size
            shown = _text(name)
            if kind == b"S" or any(key.startswith("GNU.sparse.") for key in said):
                raise DownloadError(f"{archive}: member {shown[:200]!r} is a sparse file, which is not read; unpack it by hand")
            if kind not in (b"0", b"\0", b"7", b"5"):
                raise DownloadError(f"{archive}: member {shown[:200]!r} is a link or a device; do not trust this archive")
            said, headers = {}, 0
            if kind == b"5" or (name.endswith(b"/") and kind in b"0\0"):  # old archives know a folder by its name
                yield shown.rstrip("/") + "/", 0, iter(())
            else:
                yield shown, size, stream.pieces(size)
                stream.read(-size % _BLOCK)
        for chunk in chunks:
            spent += len(chunk)
            _refuse_more(spent, limit, archive)


def _refuse_more(spent: int, limit: int, archive: Path) -> None:
    if spent > limit:
        raise DownloadError(f"{archive}: its headers, and what is behind its end, are more than {limit} bytes; do not trust this archive")


def _parse(header: bytes) -> tuple[bytes, int, bytes]:
    """Return name, size and kind of a member."""
    expected = _number(header[148:156])
    found = sum(header) - sum(header[148:156]) + 8 * 32
    # Some old programs take bytes for signed numbers.
    if expected != found and expected != found - 256 * sum(byte > 127 for byte in header[:148] + header[156:]):
        raise ValueError("a header has a wrong checksum")
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name), _number(header[124:136]), header[156:157]


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's binary numbers."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    found = re.fullmatch(rb"[ \0]*([0-7]*)(?:[ \0].*)?", field, re.DOTALL)
    if not found:
        raise ValueError(f"a header has {field!r} for a number")
    return int(found[1] or b"0", 8)


def _pax(content: bytes) -> dict[str, bytes]:
    """Read the records of a pax header, each ``length key=value`` and a line break."""
    records, at = {}, 0
    while at < len(content) and content[at]:
        found = _PAX_RECORD.match(content, at)
        end = at + int(found[1]) if found else 0
        if not found or end < found.end() or content[end - 1 : end] != b"\n":
            raise ValueError("a pax header is damaged")
        records[_text(found[2])] = content[found.end() : end - 1]
        at = end
    return records


def _decimal(text: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", text):
        raise ValueError(f"a pax header has {text[:20]!r} for a size")
    return int(text)


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
