"""Read zip archives of strangers, split ones too; the size of everything that is read at once is checked first."""

import bz2
import io
import lzma
import stat
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from dcasekit.download._tar import CHUNK, MEMORY, Member
from dcasekit.errors import DownloadError

_MOST_DIRECTORY = 2**27  # bytes
_HEADER = 30  # bytes, without the name


def zip_members(archive: Path, max_members: int) -> Generator[Member]:
    """Yield the files of a zip archive."""
    with ExitStack() as stack:
        parts = zip_parts(archive)
        source: IO[bytes] = stack.enter_context(archive.open("rb")) if len(parts) == 1 else _join(parts, stack)
        _refuse_directory(archive, source, max_members)
        zipped = stack.enter_context(zipfile.ZipFile(source))
        infos = zipped.infolist() if len(parts) == 1 else _move_members(parts, zipped.infolist())
        _refuse_overlaps(archive, infos, zipped.start_dir)
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            shown = info.orig_filename[:200]
            if info.flag_bits & 1:
                raise DownloadError(f"{archive}: member {shown!r} is encrypted; unpack it by hand with its password")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DownloadError(f"{archive}: member {shown!r} is a link or a device; do not trust this archive")
            if info.is_dir():
                yield info.orig_filename, 0, iter(())
                continue
            if info.compress_type in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
                yield info.orig_filename, info.file_size, _unpacked(archive, source, info)
                continue
            with zipped.open(info) as content:
                yield info.orig_filename, info.file_size, iter(partial(content.read, CHUNK), b"")


def _unpacked(archive: Path, source: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Unpack bzip2 and lzma in chunks; zipfile unpacks all that it has read, and 50 bytes of bzip2 may become 45 MB."""
    source.seek(info.header_offset)
    mark, name, extra = struct.unpack("<4s22xHH", source.read(_HEADER))
    if mark != b"PK\3\4":
        raise zipfile.BadZipFile("a member is not where the directory says")
    source.seek(name + extra, io.SEEK_CUR)
    packed, left, crc = info.compress_size, info.file_size, 0
    decompressor: Any = bz2.BZ2Decompressor()
    if info.compress_type == zipfile.ZIP_LZMA:
        packed -= 9
        decompressor = _lzma_decompressor(archive, source.read(9), info)
    while left:
        content = source.read(min(CHUNK, max(packed, 0))) if decompressor.needs_input else b""
        chunk = decompressor.decompress(content, min(CHUNK, left))
        if not content and not chunk:
            raise EOFError("the compressed data end too early")
        packed, left, crc = packed - len(content), left - len(chunk), zlib.crc32(chunk, crc)
        yield chunk
    if crc != info.CRC:
        raise zipfile.BadZipFile(f"wrong checksum of {info.orig_filename[:200]!r}")


def _lzma_decompressor(archive: Path, header: bytes, info: zipfile.ZipInfo) -> lzma.LZMADecompressor:
    length, properties, dictionary = struct.unpack("<2xHBL", header)
    if length != 5 or properties >= 9 * 5 * 5:
        raise ValueError("lzma properties make no sense")
    if dictionary > MEMORY:
        raise DownloadError(
            f"{archive}: member {info.orig_filename[:200]!r} needs {dictionary} bytes of memory to unpack; unpack it by hand"
        )
    settings = {"lc": properties % 9, "lp": properties // 9 % 5, "pb": properties // 45}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, **settings}])


def _refuse_directory(archive: Path, source: IO[bytes], max_members: int) -> None:
    """Refuse a directory that zipfile would read whole, and make objects of, though it is larger than any."""
    tail, end = _zip_end(source)
    if end < 0:
        return  # zipfile says so
    (size,) = struct.unpack_from("<L", tail, end + 12)
    at = source.seek(0, io.SEEK_END) - len(tail) + end
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\6\7" and tail[end - 76 : end - 72] == b"PK\6\6":
        (size,) = struct.unpack_from("<Q", tail, end - 76 + 40)
        at -= 76
    if size > _MOST_DIRECTORY:
        raise DownloadError(f"{archive} has a directory of {size} bytes; do not trust this archive")
    source.seek(max(0, at - size))
    count = source.read(size).count(b"PK\1\2")
    if count > max_members:
        raise DownloadError(
            f"{archive} has some {count} members, more than {max_members}; if you trust it, call unpack() with a larger max_members"
        )


def _refuse_overlaps(archive: Path, infos: list[zipfile.ZipInfo], directory: int) -> None:
    """Refuse members that share their bytes: how a small zip says that it is large."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    ends = [info.header_offset + _HEADER + info.compress_size for info in ordered]
    starts = [*(info.header_offset for info in ordered[1:]), directory]
    for info, end, start in zip(ordered, ends, starts, strict=True):
        if end > start or info.header_offset < 0:
            raise DownloadError(f"{archive}: member {info.orig_filename[:200]!r} overlaps another; do not trust this archive")


# A split zip (`zip -s`) is one zip cut into parts, except that every offset counts from the start of the part it lies in.
# Python's zipfile reads no such thing, so the parts are presented as one file and the offsets are made absolute.


def _zip_end(file: IO[bytes]) -> tuple[bytearray, int]:
    """Read a zip's last bytes; return them and the place of the end record in them, -1 if there is none."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (56 + 20 + 22 + 0xFFFF)))  # zip64 record and locator, end record, longest comment
    tail = bytearray(file.read())
    return tail, tail.rfind(b"PK\5\6", 0, len(tail) - 18)


def zip_parts(archive: Path) -> list[Path]:
    """All parts of a zip in order, the archive itself last; just that if it is not split."""
    with archive.open("rb") as file:
        tail, end = _zip_end(file)
    (last,) = struct.unpack_from("<H", tail, end + 4) if end >= 0 else (0,)
    if last == 0xFFFF:  # how some writers say "see the zip64 record"; no split archive has so many parts
        last = 0
    parts = [archive.with_suffix(f".z{number:02d}") for number in range(1, last + 1)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        names = ", ".join(missing[:20]) + " ..." * (len(missing) > 20)
        raise DownloadError(f"{archive} is the last of {last + 1} parts; put {names} beside it and try again")
    return [*parts, archive]


def _starts(parts: list[Path]) -> list[int]:
    return list(accumulate((part.stat().st_size for part in parts[:-1]), initial=0))


def _join(parts: list[Path], stack: ExitStack) -> IO[bytes]:
    """Open a split zip as one file, with an end that speaks of one."""
    files = [stack.enter_context(part.open("rb")) for part in parts]
    sizes = [part.stat().st_size for part in parts]
    tail, end = _zip_end(files[-1])
    sizes[-1] -= len(tail)
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\6\7":  # zip64: zipfile refuses this record unless it speaks of a single part
        struct.pack_into("<LQL", tail, end - 16, 0, sum(sizes) + end - 76, 1)
    return io.BufferedReader(_Joined([*zip(files, sizes, strict=True), (io.BytesIO(tail), len(tail))]))


def _move_members(parts: list[Path], infos: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    # zipfile has added the start of the part in which the directory begins; each member wants that of its own part.
    with parts[-1].open("rb") as file:
        tail, end = _zip_end(file)
    (directory_part,) = struct.unpack_from("<H", tail, end + 6)
    starts = _starts(parts)
    return [_move(info, starts[info.volume] - starts[directory_part]) for info in infos]


def _move(info: zipfile.ZipInfo, distance: int) -> zipfile.ZipInfo:
    # A new ZipInfo: the one of the directory remembers, in some Python versions, where it ends at the wrong offset.
    moved = zipfile.ZipInfo(info.orig_filename)
    for name in ("flag_bits", "compress_type", "compress_size", "file_size", "CRC", "external_attr"):
        setattr(moved, name, getattr(info, name))
    moved.header_offset = info.header_offset + distance
    return moved


class _Joined(io.RawIOBase):
    """The first bytes of several files, read as one."""

    def __init__(self, pieces: list[tuple[io.BufferedReader | io.BytesIO, int]]) -> None:
        self._files = [file for file, _ in pieces]
        self._starts = list(accumulate((size for _, size in pieces), initial=0))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._starts[-1])[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._starts[-1]:
            return 0
        piece = bisect_right(self._starts, self._at) - 1
        self._files[piece].seek(self._at - self._starts[piece])
        count = self._files[piece].readinto(memoryview(buffer)[: self._starts[piece + 1] - self._at])
        self._at += count
        return count
