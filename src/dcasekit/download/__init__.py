"""Fetch the files of a dataset: resumed, verified, unpacked safely, and marked as complete last. The only network code.

On disk, in the dataset's folder:

- ``<name>``: a fetched file; under this name it is always whole and right
- ``<name>.part``: what has arrived so far; ``<name>.part.json`` says of which version of which url
- ``<name>.bad``: a file whose checksum was wrong, kept to look at; delete it at will
- ``.dcasekit-download.state.json``: what an unfinished `download` has already fetched and unpacked
- ``.dcasekit-download.json``: the completion marker: what was fetched from where, its checksums, and when
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcasekit.core.files import hash_file, write_json, writing
from dcasekit.core.locks import lock
from dcasekit.core.units import PathLike
from dcasekit.download import _http
from dcasekit.download._answers import AGAIN
from dcasekit.download._remote import Limits, RemoteFile, logger, read_known, read_state
from dcasekit.download.archives import is_archive, unpack
from dcasekit.errors import ChecksumError, DownloadError

__all__ = ["Limits", "RemoteFile", "download", "fetch", "is_complete", "mark_complete", "unpack"]

MARKER = ".dcasekit-download.json"
_STATE = ".dcasekit-download.state.json"


def fetch(
    file: RemoteFile,
    folder: PathLike,
    *,
    force: bool = False,
    limits: Limits | None = None,
    progress: bool = False,
) -> Path:
    """Fetch one file, unless it is there already; an earlier attempt that was interrupted is resumed.

    A file put into the folder by hand under its final name is accepted if its checksum is right, or, where none is known, its size. A
    wrong file is renamed to ``<name>.bad``, and the right one is fetched.

    Parameters
    ----------
    file : what to fetch.
    folder : where to put it; created if missing. Two processes must not fetch the same file at once (`download` sees to that).
    force : fetch a file without checksum again, even if it is there.
    limits : when to give up; ``None``: the defaults of `Limits`.
    progress : show a progress bar on standard error.

    Returns
    -------
    path of the file, complete and, if a checksum is known, verified.

    Raises
    ------
    ChecksumError
        The server sent a file with another size or checksum than was published.
    DownloadError
        The file could not be fetched.
    StorageError
        The file could not be written.
    """
    target = Path(folder) / file.filename
    with writing(target, or_else=AGAIN):
        target.parent.mkdir(parents=True, exist_ok=True)
    part, bad = Path(f"{target}.part"), Path(f"{target}.bad")
    if target.is_dir():
        raise DownloadError(f"{target} is a folder, where a file is to be put; move it")
    if target.exists() and (file.checksum or not force):
        wrong = _difference(target, file)
        if not wrong:
            logger.info("%s is already there", target)
            with writing(target, or_else=AGAIN):
                for left in (part, Path(f"{part}.json")):  # a kill came between the renaming and its removal
                    left.unlink(missing_ok=True)
            return target
        logger.warning("%s: %s; renamed to %s and fetched again", target, wrong, bad.name)
        with writing(bad, or_else=AGAIN):
            target.replace(bad)
    if file.checksum is None:
        logger.warning("%s has no published checksum: what %s sends is taken as it is", target.name, file.url)
    logger.info("fetching %s to %s", file.url, target)
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    columns = (*Progress.get_default_columns(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task(target.name, total=None)
        _http.receive(file, part, limits or Limits(), lambda done, total: bar.update(task, completed=done, total=total))
    wrong = _difference(part, file)
    with writing(target, or_else=AGAIN):
        part.replace(bad if wrong else target)
        Path(f"{part}.json").unlink(missing_ok=True)
    if wrong:
        raise ChecksumError(
            f"{target.name} from {file.url}: {wrong}. It was kept as {bad}. Call again to fetch it again; if the sum is still "
            f"wrong, the published file has changed and this version of dcasekit does not know the new one"
        )
    return target


def download(
    files: Sequence[RemoteFile],
    folder: PathLike,
    *,
    flatten: str | Sequence[str] | None = None,
    force: bool = False,
    keep_archives: bool = False,
    limits: Limits | None = None,
    progress: bool = False,
) -> bool:
    """Fetch and unpack all files of a dataset, then mark the folder as complete.

    Files that were in the folder before are never replaced: an archive that would replace one is refused. If a call is interrupted, the
    next one resumes it. If several processes call it at once, one works and the others wait.

    Parameters
    ----------
    files : what to fetch; ``X.z01``, ``X.z02`` ... and ``X.zip`` together are one split archive.
    folder : the dataset's folder; created if missing.
    flatten : name of the top folder of the archives to strip, or several names, see `unpack`.
    force : fetch and unpack again even if the folder is complete; a file that is there with the right checksum is not fetched again.
    keep_archives : keep archives after unpacking; by default they are deleted, even those that were put there by hand.
    limits, progress : see `fetch`.

    Returns
    -------
    True if files were fetched or unpacked; False if the folder was complete and nothing was done.

    Raises
    ------
    ChecksumError, DownloadError, StorageError
        A file could not be fetched, unpacked or written. The folder is then not marked as complete.
    """
    folder = Path(folder)
    groups = _groups(files)
    wanted = {file.filename: _describe_wanted(file, flatten) for file in files}
    marker, state = folder / MARKER, folder / _STATE
    if not force and _complete(marker, wanted):
        return False
    with lock(folder):
        if not force and _complete(marker, wanted):  # by another process, while this one waited
            return False
        fresh = _is_fresh(folder, marker, state)
        # A name that is known with other wishes than now is of another version: its unpinned file must not be reused.
        known = read_known(marker) | read_known(state)
        done: dict[str, Any] = dict.fromkeys(wanted, {}) if force else known
        write_json(state, {"files": done, "fresh": fresh})
        marker.unlink(missing_ok=True)
        for group in groups:
            paths = [folder / file.filename for file in group]
            unpacked = group[-1].unpack and is_archive(paths[-1].name)
            same = all(wanted[path.name].items() <= done.get(path.name, {}).items() for path in paths)
            if not same or not (unpacked or paths[0].exists()):
                for file in group:
                    fetch(file, folder, force=file.filename in done, limits=limits, progress=progress)
                if unpacked:
                    logger.info("unpacking %s", paths[-1])
                    unpack(paths[-1], folder / group[-1].into, flatten=flatten, existing="replace" if fresh else "refuse")
                done |= {file.filename: wanted[file.filename] | _provenance(file, folder) for file in group}
                write_json(state, {"files": done, "fresh": fresh})
            for path in paths if unpacked and not keep_archives else ():
                path.unlink(missing_ok=True)
        _mark(marker, {name: done[name] for name in wanted}, fresh=fresh)
        state.unlink()
    return True


def is_complete(files: Sequence[RemoteFile], folder: PathLike, *, flatten: str | Sequence[str] | None = None) -> bool:
    """Tell whether a folder is marked as complete, by `download` or `mark_complete`, for these files and this `flatten`."""
    marker = Path(folder) / MARKER
    return marker.exists() and _complete(marker, {file.filename: _describe_wanted(file, flatten) for file in files})


def mark_complete(files: Sequence[RemoteFile], folder: PathLike, *, flatten: str | Sequence[str] | None = None) -> None:
    """Mark a folder whose files were put there by hand as complete, so that `download` fetches nothing; the files are not checked."""
    _mark(Path(folder) / MARKER, {file.filename: {**_describe_wanted(file, flatten), "by": "hand"} for file in files})


def _mark(marker: Path, files: Mapping[str, Any], *, fresh: bool = False) -> None:
    write_json(marker, {"finished": datetime.now(UTC).isoformat(timespec="seconds"), "files": files, "fresh": fresh})


def _is_fresh(folder: Path, marker: Path, state: Path) -> bool:
    """Tell whether all that a folder holds was written by `download`: it was new or empty when the first call began."""
    for notes in (state, marker):
        if notes.exists():
            return read_state(notes).get("fresh") is True
    return not any(path.name != ".lock" for path in folder.iterdir()) if folder.exists() else True


def _groups(files: Sequence[RemoteFile]) -> list[list[RemoteFile]]:
    """Put the parts of a split zip together, the ``.zip`` last; every other file is alone."""
    names = [file.filename for file in files]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DownloadError(f"several files would be stored as {', '.join(sorted(twice))}; give each its own name=...")
    groups: dict[str, list[RemoteFile]] = {}
    for file in files:
        whole = re.sub(r"\.z\d\d+$", ".zip", file.filename)
        groups.setdefault(whole if whole in names else file.filename, []).append(file)
    return [sorted(group, key=lambda file: file.filename) for group in groups.values()]


def _describe_wanted(file: RemoteFile, flatten: str | Sequence[str] | None) -> dict[str, Any]:
    """Return what makes a fetched file the one that is asked for; a pinned one may move to another address."""
    tops = [flatten] if isinstance(flatten, str) else list(flatten or [])
    return {"source": file.checksum or file.url, "unpack": file.unpack, "flatten": tops} | ({"into": file.into} if file.into else {})


def _provenance(file: RemoteFile, folder: Path) -> dict[str, Any]:
    path = folder / file.filename
    checksum = file.checksum or f"sha256:{hash_file(path)}"
    return {"url": file.url, "checksum": checksum, "size": path.stat().st_size}


def _complete(marker: Path, wanted: dict[str, dict[str, Any]]) -> bool:
    known = read_known(marker)
    return known.keys() == wanted.keys() and all(wanted[name].items() <= known[name].items() for name in wanted)


def _difference(path: Path, file: RemoteFile) -> str:
    """Say how a file differs from what was published; empty if it does not."""
    size = path.stat().st_size
    if file.checksum is None:
        return "" if file.size in (None, size) else f"it has {size} bytes, expected {file.size}"
    algorithm, expected = file.checksum.split(":")
    got = hash_file(path, algorithm)
    return "" if got == expected else f"{algorithm} is {got} ({size} bytes), expected {expected} ({file.size or '?'} bytes)"
