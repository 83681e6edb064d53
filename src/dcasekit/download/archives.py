"""Unpack zip, split zip and tar archives from strangers: nothing leaves the folder, nothing half-written stays.

Members are first extracted into a hidden folder beside their destination, all of them, and checked; only then is each moved into place
by a rename. Memory and time are bounded, whatever an archive says. Ownership, permissions, dates and empty folders of an archive are not
kept. Links, devices, sparse files and encrypted members are refused, as are names that do not mean the same file on every machine.
"""

import filecmp
import logging
import lzma
import shutil
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from dcasekit.core.files import unsafe, writing
from dcasekit.core.units import PathLike
from dcasekit.download._tar import MEMORY, Member, tar_members
from dcasekit.download._zip import zip_members, zip_parts
from dcasekit.errors import DownloadError, first_line

logger = logging.getLogger(__name__)

MAX_BYTES = 2**40  # ten times the largest archive of the sets we know
MAX_RATIO = 100.0  # silence, the most compressible audio, goes far beyond, but no whole archive is silence
MAX_MEMBERS = 500_000
_HARMLESS = 2**30  # an archive that unpacks to less is not called a bomb, whatever its ratio
_DEEPEST = 64  # folders
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGE = (OSError, EOFError, ValueError, LookupError, ArithmeticError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_AGAIN = "unpack into another folder; nothing was unpacked, and the archive is as it was"

_T = TypeVar("_T")


def is_archive(name: str) -> bool:
    """Tell from a file's name whether `unpack` can open it."""
    return name.lower().endswith(_SUFFIXES)


def unpack(
    archive: PathLike,
    folder: PathLike,
    *,
    flatten: str | Sequence[str] | None = None,
    existing: Literal["replace", "refuse"] = "replace",
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    max_members: int = MAX_MEMBERS,
) -> list[Path]:
    """Unpack an archive into a folder.

    Parameters
    ----------
    archive : a .zip, .tar, .tar.gz (.tgz), .tar.bz2 (.tbz2) or .tar.xz (.txz) file; of a split zip the last part, ``X.zip``, with
        ``X.z01``, ``X.z02`` ... beside it.
    folder : where the members go; created if missing.
    flatten : name of a top folder to remove from the members' paths, or several names; members in other folders keep their paths.
    existing : what happens if a file of the same name but with other content is there: ``"replace"`` it (default), or ``"refuse"`` the
        whole archive before anything is put into place.
    max_bytes : the largest size of all members together, in bytes; default: 1 TiB.
    max_ratio : the largest ratio of unpacked to packed bytes, so that a small archive cannot fill the disk; default: 100 (audio stays below
        10, tables of annotations below 50). It does not apply to archives that unpack to less than 1 GiB.
    max_members : the largest number of files and folders; default: 500,000.

    Returns
    -------
    paths of the files put into place, in the archive's order.

    Raises
    ------
    DownloadError
        The archive is damaged, cut short, encrypted or too large, has a member that is unsafe, a link or listed twice, or stripping gives
        two members the same name. Nothing has been put into place then.
    StorageError
        A file cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if not is_archive(archive.name):
        raise DownloadError(f"{archive} is not an archive that can be unpacked; expected a name ending in {', '.join(_SUFFIXES)}")
    prefixes = [PurePosixPath(top).parts for top in ([flatten] if isinstance(flatten, str) else flatten or [])]
    is_zip = archive.suffix.lower() == ".zip"
    with _reading(archive):
        size = sum(part.stat().st_size for part in (zip_parts(archive) if is_zip else [archive]))
    limit = min(max_bytes, max(_HARMLESS, int(max_ratio * size)))
    staging = folder / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with writing(staging, or_else=_AGAIN):
            staging.mkdir(parents=True)
        with closing(zip_members(archive, max_members) if is_zip else tar_members(archive, limit)) as members:
            names = _extract(_watch(members, archive), archive, staging, limit, max_members)
        targets = [folder.joinpath(*_strip(name, prefixes)) for name in names]
        if len(set(targets)) < len(targets):
            raise DownloadError(f"{archive}: stripping {flatten!r} gives two members the same name; unpack without `flatten`")
        _refuse_obstacles(archive, folder, targets)
        if existing == "refuse":
            _refuse_other_files(archive, [(staging / name, target) for name, target in zip(names, targets, strict=True)])
        for name, target in zip(names, targets, strict=True):
            with writing(target, or_else=_AGAIN):
                target.parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if prefixes and not any(_strip(name, prefixes) != name.parts for name in names):
        logger.warning("%s: no member lies in %r, so nothing was stripped; first member: %s", archive, flatten, names[:1])
    return targets


def _extract(members: Iterator[Member], archive: Path, staging: Path, limit: int, max_members: int) -> list[PurePosixPath]:
    """Write all members below `staging` and return their checked names."""
    names: list[PurePosixPath] = []
    files, folders, total = set[str](), set[PurePosixPath](), 0
    for number, (text, size, content) in enumerate(members):
        if number >= max_members:
            raise DownloadError(f"{archive} has more than {max_members} members; if you trust it, call unpack() with a larger max_members")
        total += size
        _refuse_bomb(total, limit, archive)
        if text.endswith("/") and not PurePosixPath(text).parts:  # the root itself
            continue
        name = _check_name(text, archive)
        if text.endswith("/"):
            continue
        key = unicodedata.normalize("NFC", str(name)).casefold()
        if key in files:
            raise DownloadError(f"{archive}: member {text!r} would overwrite another member, here or where upper and lower case are one")
        files.add(key)
        target = staging / name
        with writing(target, or_else=_AGAIN):
            try:
                if name.parent not in folders:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    folders.add(name.parent)
                sink = target.open("xb")
            except (FileExistsError, NotADirectoryError):
                raise DownloadError(f"{archive}: member {text!r} would overwrite another member; nothing was unpacked") from None
            written = 0
            with sink:
                for chunk in _watch(content, archive):
                    written += sink.write(chunk)
        if written != size:
            raise DownloadError(f"{archive} is damaged: member {text!r} has another size than it says; delete it and download it again")
        names.append(name)
    return names


def _check_name(text: str, archive: Path) -> PurePosixPath:
    name = PurePosixPath(text)
    why = unsafe(str(name))
    if not why and any(part[1:2] == ":" for part in name.parts):
        why = "a drive letter leads out of its folder"
    if not why and len(name.parts) > _DEEPEST:
        why = f"it lies deeper than {_DEEPEST} folders"
    if why:
        raise DownloadError(f"{archive}: member {text[:200]!r} is refused: {why}; do not trust this archive")
    return name


def _refuse_obstacles(archive: Path, folder: Path, targets: list[Path]) -> None:
    """Refuse what could not all be moved into place, before the first is."""
    inner = {target.parent for target in targets}
    folders = inner | {parent for inside in inner for parent in inside.parents if parent.is_relative_to(folder)}
    for target in targets:
        if target in folders or (target.is_dir() and not target.is_symlink()):
            raise DownloadError(f"{archive}: {target} is to be a file and is a folder; move it, or unpack into another folder")
    for parent in folders:
        if parent.exists() and not parent.is_dir():
            raise DownloadError(f"{archive}: {parent} is to be a folder and is a file; move it, or unpack into another folder")


def _refuse_other_files(archive: Path, moves: list[tuple[Path, Path]]) -> None:
    """Refuse to put a member in place of a file that holds something else."""
    for member, target in moves:
        if target.exists() and not filecmp.cmp(member, target, shallow=False):
            raise DownloadError(
                f"{archive}: {target} is there already, dcasekit did not write it, and it holds something else; move it, or unpack into "
                "another folder"
            )


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
    """Turn what damaged archives lead to into one error that names the file."""
    try:
        yield
    except DownloadError:
        raise
    except FileNotFoundError as error:
        raise DownloadError(f"no archive to unpack: {error}") from error
    except NotImplementedError as error:
        raise DownloadError(f"{archive} is packed in a way Python cannot read ({first_line(error)}); unpack it by hand") from error
    except MemoryError as error:
        raise DownloadError(f"{archive} needs more memory to unpack than there is; unpack it by hand") from error
    except (*_DAMAGE, RuntimeError) as error:
        if isinstance(error, lzma.LZMAError) and "emory" in str(error):
            raise DownloadError(f"{archive} needs more than {MEMORY} bytes of memory to unpack; unpack it by hand") from error
        raise DownloadError(f"{archive} is damaged or cut short ({first_line(error)[:300]}); delete it and download it again") from error


def _watch(items: Iterator[_T], archive: Path) -> Generator[_T]:
    """Yield all items; what goes wrong while one is read is the archive's fault."""
    while True:
        with _reading(archive):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
