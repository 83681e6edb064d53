"""Unpack zip, split zip and tar archives from strangers: nothing leaves the folder, nothing half-written stays.

Members are first extracted into a hidden folder beside their destination, all of them, and checked; only then is each moved
into place by a rename. Ownership, permissions, dates and empty folders of an archive are not kept. Links, devices and
encrypted members are refused.
"""

import bz2
import gzip
import io
import logging
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import IO, Any

from dcasekit.core.units import PathLike
from dcasekit.errors import DownloadError

logger = logging.getLogger(__name__)

MAX_BYTES = 2**40  # ten times the largest archive of the sets we know
MAX_RATIO = 100.0  # silence, the most compressible audio, goes far beyond, but no whole archive is silence
_HARMLESS = 2**30  # an archive that unpacks to less is not called a bomb, whatever its ratio
_CHUNK = 2**16  # small, because zipfile unpacks a chunk of bzip2 whole, however much it becomes
_TAR_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".tbz2": bz2.open,
    ".xz": lzma.open,
    ".txz": lzma.open,
}
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, struct.error, zlib.error),
    *(lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)

Member = tuple[str, int, IO[bytes]]  # name, size in bytes (an upper bound that the reader enforces), content


def is_archive(name: str) -> bool:
    """Tell from a file's name whether `unpack` can open it."""
    return name.lower().endswith(_SUFFIXES)


def unpack(
    archive: PathLike,
    folder: PathLike,
    *,
    flatten: str | Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> list[Path]:
    """Unpack an archive into a folder; files already there under the same names are replaced.

    Parameters
    ----------
    archive : a .zip (of a split one the last part, ``X.zip``, with ``X.z01``, ``X.z02`` ... beside it), .tar, .tar.gz,
        .tar.bz2 or .tar.xz file.
    folder : where the members go; made if missing.
    flatten : top folder to strip, or several of which each member's own is stripped; members elsewhere keep their path.
    max_bytes : most bytes all members may have together; default 1 TiB.
    max_ratio : most bytes per byte of archive, so that a small file cannot fill the disk; default 100 (audio stays below
        10, tables of annotations below 50). Archives that unpack to less than 1 GiB are not held to it.

    Returns
    -------
    paths of the files put into place, in the archive's order.

    Raises
    ------
    DownloadError
        The archive is damaged, cut short, encrypted or too large, or has an unsafe, linked or doubled member. Nothing has
        then been put into place.
    """
    archive, folder = Path(archive), Path(folder)
    if not is_archive(archive.name):
        raise DownloadError(f"{archive} is no archive that can be unpacked; expected a name ending in {', '.join(_SUFFIXES)}")
    prefixes = [PurePosixPath(top).parts for top in ([flatten] if isinstance(flatten, str) else flatten or [])]
    is_zip = archive.suffix.lower() == ".zip"
    with _reading(archive):
        size = sum(part.stat().st_size for part in (_zip_parts(archive) if is_zip else [archive]))
    limit = min(max_bytes, max(_HARMLESS, int(max_ratio * size)))
    staging = folder / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with closing(_zip_members(archive) if is_zip else _tar_members(archive, limit)) as members:
            names = _extract(members, archive, staging, limit)
        targets = [folder.joinpath(*_strip(name, prefixes)) for name in names]
        if len(set(targets)) < len(targets):
            raise DownloadError(f"{archive}: stripping {flatten!r} gives two members the same name; unpack without `flatten`")
        for name, target in zip(names, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if prefixes and not any(_strip(name, prefixes) != name.parts for name in names):
        logger.warning("%s: no member lies in %r, so nothing was stripped; first member: %s", archive, flatten, names[:1])
    return targets


def _extract(members: Iterator[Member], archive: Path, staging: Path, limit: int) -> list[PurePosixPath]:
    """Write all members below `staging` and give back their checked names."""
    names, total = [], 0
    for text, size, content in members:
        name = _checked(text, archive)
        total += size
        _refuse_bomb(total, limit, archive)
        target = staging / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            sink = target.open("xb")  # the file system knows best which two names are one: case, accents
        except (FileExistsError, NotADirectoryError):
            raise DownloadError(f"{archive}: member {text!r} would overwrite another member; nothing was unpacked") from None
        with sink:
            while chunk := _read(content, archive):
                sink.write(chunk)
        names.append(name)
    return names


def _checked(text: str, archive: Path) -> PurePosixPath:
    name = PurePosixPath(text)
    # A drive letter in any part would start a new path on Windows, a backslash would be a separator there.
    unsafe = name.is_absolute() or "\\" in text or "\0" in text or any(p == ".." or p[1:2] == ":" for p in name.parts)
    if unsafe or not name.parts:
        raise DownloadError(f"{archive}: member {text!r} would land outside of the folder; do not trust this archive")
    return name


def _strip(name: PurePosixPath, prefixes: list[tuple[str, ...]]) -> tuple[str, ...]:
    for prefix in prefixes:
        if name.parts[: len(prefix)] == prefix and len(name.parts) > len(prefix):
            return name.parts[len(prefix) :]
    return name.parts


def _refuse_bomb(total: int, limit: int, archive: Path) -> None:
    if total > limit:
        raise DownloadError(
            f"{archive} unpacks to more than {limit} bytes, too much for its size; if you trust it, "
            f"call unpack() with a larger max_bytes or max_ratio"
        )


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the standard library raises on damaged archives into one error that names the file."""
    try:
        yield
    except DownloadError:
        raise
    except FileNotFoundError as error:
        raise DownloadError(f"no archive to unpack: {error}") from error
    except NotImplementedError as error:
        raise DownloadError(f"{archive} is packed in a way Python cannot read ({error}); unpack it by hand") from error
    except _DAMAGE as error:
        raise DownloadError(f"{archive} is damaged or cut short ({error}); delete it and download it again") from error


def _read(content: IO[bytes], archive: Path) -> bytes:
    with _reading(archive):
        return content.read(_CHUNK)


def _tar_members(archive: Path, limit: int) -> Generator[Member]:
    opener = _TAR_OPENERS.get(archive.suffix.lower(), open)
    with _reading(archive), opener(archive, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, member.size, content
            elif not member.isdir():
                raise DownloadError(f"{archive}: member {member.name!r} is a link or a device; do not trust this archive")
        # tarfile takes a damaged header for the end of the archive; the real end is a block of zeros.
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("the end of the archive is missing")
        rest = 0
        while chunk := stream.read(_CHUNK):  # the compressor's own checksum comes after the last byte
            rest += len(chunk)
            _refuse_bomb(rest, limit, archive)


def _zip_members(archive: Path) -> Generator[Member]:
    with _reading(archive), ExitStack() as stack:
        parts = _zip_parts(archive)
        if len(parts) == 1:
            zipped = stack.enter_context(zipfile.ZipFile(archive))
            infos = zipped.infolist()
        else:
            zipped, infos = _open_split(parts, stack)
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & 1:
                raise DownloadError(f"{archive}: member {info.filename!r} is encrypted; unpack it by hand with its password")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DownloadError(f"{archive}: member {info.filename!r} is a link or a device; do not trust this archive")
            if not info.is_dir():
                with zipped.open(info) as content:
                    yield info.filename, info.file_size, content


# A split zip (`zip -s`) is one zip cut into parts, except that every offset counts from the start of the part it lies in.
# Python's zipfile reads no such thing, so the parts are presented as one file and the offsets are made absolute.


def _zip_end(part: Path) -> tuple[bytearray, int]:
    """Read a zip's last bytes; give them and the place of the end record in them, -1 if there is none."""
    with part.open("rb") as file:
        file.seek(max(0, part.stat().st_size - (20 + 22 + 0xFFFF)))  # zip64 locator, end record, longest comment
        tail = bytearray(file.read())
    return tail, tail.rfind(b"PK\5\6", 0, len(tail) - 18)


def _zip_parts(archive: Path) -> list[Path]:
    """All parts of a zip in order, the archive itself last; just that if it is not split."""
    tail, end = _zip_end(archive)
    (last,) = struct.unpack_from("<H", tail, end + 4) if end >= 0 else (0,)
    if last == 0xFFFF:  # how some writers say "see the zip64 record"; no split archive has so many parts
        last = 0
    parts = [archive.with_suffix(f".z{number:02d}") for number in range(1, last + 1)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise DownloadError(f"{archive} is the last of {last + 1} parts; put {', '.join(missing)} beside it and try again")
    return [*parts, archive]


def _open_split(parts: list[Path], stack: ExitStack) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    sizes = [part.stat().st_size for part in parts]
    starts = list(accumulate(sizes[:-1], initial=0))
    tail, end = _zip_end(parts[-1])
    sizes[-1] -= len(tail)
    if tail[end - 20 : end - 16] == b"PK\6\7":  # zip64: zipfile refuses this record unless it speaks of a single part
        struct.pack_into("<LQL", tail, end - 16, 0, starts[-1] + sizes[-1] + end - 76, 1)
    files = [stack.enter_context(part.open("rb")) for part in parts]
    joined = _Joined([*zip(files, sizes, strict=True), (io.BytesIO(tail), len(tail))])
    zipped = stack.enter_context(zipfile.ZipFile(io.BufferedReader(joined)))
    # zipfile has added the start of the part in which the directory begins; each member wants that of its own part.
    (directory_part,) = struct.unpack_from("<H", tail, end + 6)
    return zipped, [_moved(info, starts[info.volume] - starts[directory_part]) for info in zipped.infolist()]


def _moved(info: zipfile.ZipInfo, distance: int) -> zipfile.ZipInfo:
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
