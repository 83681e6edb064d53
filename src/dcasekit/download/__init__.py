"""Fetch the files of a dataset: resumed, verified, unpacked safely, and marked as complete last. The only network code.

On disk, in the dataset's folder:

- ``<name>``: a fetched file; under this name it is always whole and right
- ``<name>.part``: what has arrived so far; ``<name>.part.json`` says of which version of which url
- ``<name>.bad``: a file whose checksum was wrong, kept to look at; delete it at will
- ``.dcasekit-download.state.json``: what an unfinished `download` has already fetched and unpacked
- ``.dcasekit-download.json``: the completion marker: what was fetched from where, its checksums, and when
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dcasekit.core.files import hash_file, locked, read_json, write_json
from dcasekit.core.units import PathLike, Seconds
from dcasekit.download.archives import is_archive, unpack
from dcasekit.errors import ChecksumError, DownloadError

__all__ = ["RemoteFile", "download", "fetch", "unpack"]

logger = logging.getLogger(__name__)

MARKER = ".dcasekit-download.json"
_STATE = ".dcasekit-download.state.json"
_FIRST_WAIT: Seconds = 1.0  # doubled at each failure in a row
_LONGEST_WAIT: Seconds = 120.0  # also when the server asks for more
_PAGE_STARTS = (b"<!doctype html", b"<html")
_sleep = time.sleep

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to fetch.

    Parameters
    ----------
    url : http or https address.
    checksum : ``"md5:..."`` or ``"sha256:..."``; ``None``: whatever the server sends is taken, and the log says so.
    name : file name on disk; by default the last part of the address.
    size : bytes, if known; checked where there is no checksum.
    unpack : unpack it if it is an archive; other files are kept as they are.
    into : folder below the dataset's to unpack into, e.g. ``"audio/train"``; by default the dataset's own.
    """

    url: str
    checksum: str | None = None
    name: str | None = None
    size: int | None = None
    unpack: bool = True
    into: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch("https?://[!-~]+", self.url):
            raise DownloadError(f"url must begin with http:// or https:// and be percent-encoded; got {self.url!r}")
        if self.checksum is not None and not re.fullmatch(r"md5:[\da-f]{32}|sha256:[\da-f]{64}", self.checksum):
            expected = "'md5:' and 32, or 'sha256:' and 64 lower-case hexadecimal digits"
            raise DownloadError(f"{self.url}: checksum must be {expected}; got {self.checksum!r}")
        if not re.fullmatch(r"[^./\\:\0][^/\\:\0]*", self.filename):
            raise DownloadError(f"{self.url}: cannot store it as {self.filename!r}; give a plain file name as name=...")

    @property
    def filename(self) -> str:
        """Name of the file on disk."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


def fetch(
    file: RemoteFile,
    folder: PathLike,
    *,
    force: bool = False,
    retries: int = 5,
    timeout: Seconds = 30.0,
    progress: bool = False,
) -> Path:
    """Fetch one file, unless it is there already; go on where an earlier attempt stopped.

    A file put into the folder by hand under its final name is accepted if its checksum is right (or if there is none to
    check); one that is wrong is renamed to ``<name>.bad`` and fetched.

    Parameters
    ----------
    file : what to fetch.
    folder : where to; made if missing. Two processes must not fetch the same file at once (`download` sees to that).
    force : fetch a file without checksum even if it is there.
    retries : failures in a row that are tried again (broken connections, answers 5xx and 429), with waits of 1, 2, 4 ... s;
        an attempt that brought new bytes starts the count anew, so a bad line only costs time.
    timeout : seconds without any byte after which a connection counts as broken.
    progress : show a progress bar.

    Returns
    -------
    path of the file, whole and verified.

    Raises
    ------
    ChecksumError
        The server sent other bytes than were published.
    DownloadError
        It could not be fetched.
    """
    target = Path(folder) / file.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    part, bad = Path(f"{target}.part"), Path(f"{target}.bad")
    if target.exists() and (file.checksum or not force):
        wrong = _difference(target, file)
        if not wrong:
            logger.info("%s is already there", target)
            return target
        logger.warning("%s: %s; renamed to %s and fetched again", target, wrong, bad.name)
        target.replace(bad)
    if file.checksum is None:
        logger.warning("%s has no published checksum: what %s sends is taken as it is", target.name, file.url)
    logger.info("fetching %s to %s", file.url, target)
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    columns = (*Progress.get_default_columns(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task(target.name, total=None)
        _receive(file, part, retries, timeout, lambda done, total: bar.update(task, completed=done, total=total))
    wrong = _difference(part, file)
    part.replace(bad if wrong else target)
    Path(f"{part}.json").unlink(missing_ok=True)
    if wrong:
        raise ChecksumError(
            f"{target.name} from {file.url}: {wrong}. It was kept as {bad}. Call again to fetch it anew; if the sum is still "
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
    retries: int = 5,
    timeout: Seconds = 30.0,
    progress: bool = False,
) -> bool:
    """Fetch and unpack all files of a dataset, then mark the folder as complete.

    An interrupted call is resumed by the next; of several processes that call at once one works and the others wait.

    Parameters
    ----------
    files : what to fetch; ``X.z01``, ``X.z02`` ... and ``X.zip`` are taken as one split archive.
    folder : of the dataset; made if missing.
    flatten : top folder(s) of the archives to strip, see `unpack`.
    force : fetch and unpack again what is complete; a file that is there with the right checksum still counts as fetched.
    keep_archives : keep archives after unpacking; by default they are deleted, also if they were put there by hand.
    retries, timeout, progress : see `fetch`.

    Returns
    -------
    False if the folder was complete and nothing was done.

    Raises
    ------
    DownloadError
        A file could not be fetched or unpacked. The folder is then not marked as complete.
    """
    folder = Path(folder)
    groups = _groups(files)
    wanted = {file.filename: _wanted(file, flatten) for file in files}
    marker, state = folder / MARKER, folder / _STATE
    if not force and _complete(marker, wanted):
        return False
    with locked(folder):
        if not force and _complete(marker, wanted):  # by another process, while this one waited
            return False
        # A name that is known with other wishes than now is of another version: its unpinned file must not be reused.
        known = _read_json(marker).get("files", {}) | _read_json(state).get("files", {})
        done: dict[str, Any] = dict.fromkeys(wanted, {}) if force else known
        write_json(state, {"files": done})
        marker.unlink(missing_ok=True)
        for group in groups:
            paths = [folder / file.filename for file in group]
            unpacked = group[-1].unpack and is_archive(paths[-1].name)
            same = all(wanted[path.name].items() <= done.get(path.name, {}).items() for path in paths)
            if not same or not (unpacked or paths[0].exists()):
                for file in group:
                    fetch(file, folder, force=file.filename in done, retries=retries, timeout=timeout, progress=progress)
                if unpacked:
                    logger.info("unpacking %s", paths[-1])
                    unpack(paths[-1], folder / group[-1].into, flatten=flatten)
                done |= {file.filename: wanted[file.filename] | _provenance(file, folder) for file in group}
                write_json(state, {"files": done})
            for path in paths if unpacked and not keep_archives else ():
                path.unlink(missing_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(marker, {"finished": now, "files": {name: done[name] for name in wanted}})
        state.unlink()
    return True


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


def _wanted(file: RemoteFile, flatten: str | Sequence[str] | None) -> dict[str, Any]:
    """Give what makes a fetched file the one that is asked for; a pinned one may move to another address."""
    tops = [flatten] if isinstance(flatten, str) else list(flatten or [])
    return {"source": file.checksum or file.url, "unpack": file.unpack, "flatten": tops} | ({"into": file.into} if file.into else {})


def _provenance(file: RemoteFile, folder: Path) -> dict[str, Any]:
    path = folder / file.filename
    checksum = file.checksum or f"sha256:{hash_file(path)}"
    return {"url": file.url, "checksum": checksum, "size": path.stat().st_size}


def _complete(marker: Path, wanted: dict[str, dict[str, Any]]) -> bool:
    known = _read_json(marker).get("files", {})
    return known.keys() == wanted.keys() and all(wanted[name].items() <= known[name].items() for name in wanted)


def _read_json(path: Path) -> dict[str, Any]:
    """Read the marker or a state file; a missing or damaged one says that nothing is done."""
    try:
        return dict(read_json(path, error=DownloadError))
    except (DownloadError, ValueError, TypeError):
        return {}


def _difference(path: Path, file: RemoteFile) -> str:
    """Say how a file differs from what was published; empty if it does not."""
    size = path.stat().st_size
    if file.checksum is None:
        return "" if file.size in (None, size) else f"it has {size} bytes, expected {file.size}"
    algorithm, expected = file.checksum.split(":")
    got = hash_file(path, algorithm)
    return "" if got == expected else f"{algorithm} is {got} ({size} bytes), expected {expected} ({file.size or '?'} bytes)"


class _TemporaryError(DownloadError):
    """A failure worth another attempt, after `wait` seconds at least; `restart`: what has arrived is of no use."""

    def __init__(self, message: str, *, wait: Seconds = 0.0, restart: bool = False) -> None:
        super().__init__(message)
        self.wait, self.restart = wait, restart


def _receive(file: RemoteFile, part: Path, retries: int, timeout: Seconds, report: Report) -> None:
    """Make requests until the part file is whole."""
    failures, most = 0, _size(part)
    while True:
        try:
            return _request(file, part, timeout, report)
        except _TemporaryError as error:
            if error.restart:
                part.unlink(missing_ok=True)
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures > retries:
                raise DownloadError(
                    f"gave up after {failures} failures in a row; the last: {error}. "
                    f"{_size(part)} bytes are kept in {part}. {_by_hand(part)}"
                ) from error
            wait = max(error.wait, min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT))
            logger.warning("%s; trying again in %g s", error, wait)
            _sleep(wait)


def _request(file: RemoteFile, part: Path, timeout: Seconds, report: Report) -> None:
    """Make one request and add what it brings to the part file."""
    state = Path(f"{part}.json")
    known = _read_json(state)
    # Without a validator or a checksum nobody could tell that the end belongs to the same version as the beginning.
    resumable = known.get("url") == file.url and (known.get("validator") or file.checksum)
    done = _size(part) if resumable else 0
    if done and done == known.get("total"):  # killed between the last byte and the renaming
        return
    headers = {"User-Agent": "dcasekit"}
    if done:
        headers |= {"Range": f"bytes={done}-"} | ({"If-Range": known["validator"]} if known.get("validator") else {})
    with _open(file, part, headers, timeout) as response:
        version = _version(file, response)
        resumed = response.status == 206
        if resumed and not (done and _continues(response, done, known, version)):
            raise _TemporaryError(f"{file.url} changed since its download began", restart=True)
        chunks = _chunks(file, response)
        first = next(chunks, b"")
        page = response.headers.get_content_type() == "text/html" or first.lstrip()[:14].lower().startswith(_PAGE_STARTS)
        if page and not file.filename.endswith((".html", ".htm")):
            raise DownloadError(f"{file.url}: the server sent a web page, not {file.filename}. {_by_hand(part)}")
        with part.open("ab" if resumed else "wb") as sink:
            if not resumed:  # written after the truncation: a new description must never lie beside old bytes
                done = 0
                write_json(state, version)
            total = (known if resumed else version).get("total")
            for chunk in chain([first], chunks):
                sink.write(chunk)
                done += len(chunk)
                report(done, total)
    if total is not None and done < total:
        raise _TemporaryError(f"{file.url}: the connection closed after {done} of {total} bytes")


class _HttpRedirects(HTTPRedirectHandler):
    """Follow redirections to http and https only (urllib would also go to ftp)."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(req.full_url, code, f"redirection to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(file: RemoteFile, part: Path, headers: dict[str, str], timeout: Seconds) -> HTTPResponse:
    try:
        request = Request(file.url, headers=headers)  # noqa: S310  (RemoteFile takes http and https only)
        return cast(HTTPResponse, build_opener(_HttpRedirects).open(request, timeout=timeout))
    except HTTPError as error:
        error.close()
        message = f"{file.url}: the server answered {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:
            raise _TemporaryError(message, wait=_retry_after(error.headers.get("Retry-After", ""))) from None
        if error.code == 416:  # no such range: the remote file has become shorter
            raise _TemporaryError(message, restart=True) from None
        raise DownloadError(f"{message}. {_by_hand(part)}") from None
    except (OSError, HTTPException) as error:
        raise _TemporaryError(f"{file.url}: {error}") from error


def _chunks(file: RemoteFile, response: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(2**20):  # read() would lose what came before a broken connection
            yield chunk
    except (OSError, HTTPException) as error:
        raise _TemporaryError(f"{file.url}: the connection broke: {error!r}") from error


def _version(file: RemoteFile, response: HTTPResponse) -> dict[str, Any]:
    """Describe which version of the remote file is being sent."""
    headers = response.headers
    etag = headers.get("ETag", "W/")
    total = headers.get("Content-Range", "").rpartition("/")[2] if response.status == 206 else str(response.length)
    return {
        "url": file.url,
        "validator": headers.get("Last-Modified") if etag.startswith("W/") else etag,  # weak: not the same bytes
        "total": int(total) if total.isdigit() else None,
    }


def _continues(response: HTTPResponse, done: int, known: dict[str, Any], version: dict[str, Any]) -> bool:
    """Tell if an answer begins at byte `done` of the known version; what the server leaves out is not held against it."""
    changed = any(known.get(key) not in (None, value) for key, value in version.items() if value is not None)
    return not changed and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")


def _retry_after(text: str) -> Seconds:
    """Seconds that the server asks to wait; it may say them or a date."""
    try:
        wait = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _by_hand(part: Path) -> str:
    target = part.with_suffix("")
    return f"The address may have moved: open it in a browser, put the file at {target}, and call download() again"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
