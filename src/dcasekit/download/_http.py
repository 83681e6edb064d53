"""Receive a file over http(s), whatever the server does: in bounded time and size, and never the end of one version behind another's."""

import http.client
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from dcasekit.core.files import write_json, writing
from dcasekit.core.units import Seconds
from dcasekit.download._answers import AGAIN, by_hand, look_at_start, refuse_other_answers, refuse_size, show_answer
from dcasekit.download._remote import Limits, RemoteFile, logger, read_state
from dcasekit.errors import ChecksumError, DownloadError

_FIRST_WAIT: Seconds = 1.0  # doubled at each failure in a row
_LONGEST_WAIT: Seconds = 120.0  # also when the server asks for more
_WINDOW: Seconds = 60.0  # over which the rate is measured
_MOST_HEAD = 2**20  # bytes before the answer's body: headers, and all of a redirection
_sleep = time.sleep
_clock = time.monotonic

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


class _TemporaryError(DownloadError):
    """A failure worth another attempt, after `wait` seconds at least; `restart`: what has arrived is of no use."""

    def __init__(self, message: str, *, wait: Seconds = 0.0, restart: bool = False, slow: bool = False) -> None:
        super().__init__(message)
        self.wait, self.restart, self.slow = wait, restart, slow


class _Meter:
    """Watch how long a download takes, how fast each connection is, and how much comes before the file itself."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.url, self.limits, self.deadline = url, limits, _clock() + limits.total
        self.response: HTTPResponse | None = None  # the newest

    def begin(self) -> None:
        """Begin with a new connection."""
        self._since, self._bytes, self._head = _clock(), 0, 0
        self.in_head = True

    def count(self, number: int) -> None:
        """Take note of bytes; raise if they come too slowly."""
        now = _clock()
        self.check_time(now)
        self._bytes += number
        self._head += number * self.in_head
        if self._head > _MOST_HEAD:
            raise DownloadError(f"{self.url}: the server sent more than {_MOST_HEAD} bytes before the file itself; check the address")
        elapsed = now - self._since
        if elapsed >= _WINDOW:
            if self._bytes < self.limits.min_rate * elapsed:
                raise _TemporaryError(
                    f"{self.url}: too slow, {self._bytes / elapsed:.3g} bytes per second, expected at least {self.limits.min_rate:g}",
                    slow=True,
                )
            self._since, self._bytes = now, 0

    def close(self) -> None:
        """Close the newest answer, also where it led to an error."""
        if self.response:
            self.response.close()

    def check_time(self, moment: float) -> None:
        """Raise if the download is not to go on until then."""
        if moment > self.deadline:
            raise DownloadError(
                f"{self.url}: not finished after {self.limits.total:g} s; call again to continue from there, or set a longer total"
            )


def receive(file: RemoteFile, part: Path, limits: Limits, report: Report) -> None:
    """Make requests until the part file is whole."""
    failures, most, meter = 0, _size(part), _Meter(file.url, limits)
    while True:
        try:
            return _request(file, part, meter, report)
        except _TemporaryError as error:
            if error.restart:
                part.unlink(missing_ok=True)
            failures = 1 if _size(part) > most and not error.slow else failures + 1
            most = max(most, _size(part))
            if failures > limits.retries:
                raise DownloadError(
                    f"gave up after {failures} failures in a row; the last: {error}. "
                    f"{_size(part)} bytes are kept in {part}. {by_hand(part)}"
                ) from error
            wait = max(error.wait, min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT))
            meter.check_time(_clock() + wait)
            logger.warning("%s; trying again in %g s", error, wait)
            _sleep(wait)


def _request(file: RemoteFile, part: Path, meter: _Meter, report: Report) -> None:
    """Make one request and add what it brings to the part file."""
    state = Path(f"{part}.json")
    known = _read_version(state)
    validator = _validator(known)
    # Without a validator or a checksum nobody could tell that the end belongs to the same version as the beginning.
    done = _size(part) if known["url"] == file.url and (validator or file.checksum) else 0
    total = known["total"]
    if done and done == total:  # killed between the last byte and the renaming
        return
    done *= total is None or done < total
    headers = {"User-Agent": "dcasekit", "Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-"} | ({"If-Range": validator} if validator else {})
    with closing(meter):
        response = _open(file, part, headers, meter)
        version = _version(file, response)
        refuse_other_answers(file, response, part)
        chunks = _chunks(file, response)
        resumed = response.status == 206
        if resumed:
            if not (done and _continues(file, response, done, known, version)):
                raise _TemporaryError(
                    f"{file.url} changed since its download began, or its server sends another range than asked", restart=True
                )
            total = total if version["total"] is None else version["total"]
        else:
            done, total = 0, version["total"]
        refuse_size(file, part, total, done, meter.limits.max_bytes)
        if not resumed:
            chunks = look_at_start(file, chunks, part)
            with writing(part, or_else=AGAIN):
                part.unlink(missing_ok=True)
            write_json(state, version)  # no part lies beside it: a new description must never lie beside old bytes
        _store(file, part, chunks, (done, total, meter.limits.max_bytes), report)


def _store(file: RemoteFile, part: Path, chunks: Iterator[bytes], sizes: tuple[int, int | None, int], report: Report) -> None:
    done, total, most = sizes
    most = total if total is not None else file.size if file.size is not None else most
    with writing(part, or_else=AGAIN), part.open("ab") as sink:
        for chunk in chunks:
            done += len(chunk)
            if done > most:
                break
            sink.write(chunk)
            report(done, total)
    if done > most:
        for useless in (part, Path(f"{part}.json")):
            useless.unlink(missing_ok=True)
        raise ChecksumError(
            f"{file.url}: the server sends more than {most} bytes, all that {_whose(file, total)}; nothing was kept. {by_hand(part)}"
        )
    if total is not None and done < total:
        raise _TemporaryError(f"{file.url}: the connection closed after {done} of {total} bytes")


def _whose(file: RemoteFile, total: int | None) -> str:
    if total is not None:
        return "it promised"
    return "the published file has" if file.size is not None else "are taken without a recorded size (max_bytes)"


class _Redirects(HTTPRedirectHandler):
    """Follow redirections to https, and from http to http; urllib would also go from https to http, and to ftp."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise HTTPError(req.full_url, code, f"redirection to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Watched(io.RawIOBase):
    """The bytes of a connection, each counted by a meter."""

    def __init__(self, raw: io.RawIOBase, meter: _Meter) -> None:
        self._raw, self._meter = raw, meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        number = cast("int | None", self._raw.readinto(buffer))
        self._meter.count(number or 0)
        return number

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connect(kind: type[http.client.HTTPConnection], meter: _Meter, host: str, **settings: Any) -> http.client.HTTPConnection:
    """Make a connection whose answers are watched from their first byte."""

    def answer(sock: Any, *args: Any, **more: Any) -> HTTPResponse:
        response = HTTPResponse(sock, *args, **more)
        response.fp = io.BufferedReader(_Watched(response.fp.detach(), meter))
        meter.response = response
        return response

    connection = kind(host, **settings)
    connection.response_class = answer  # type: ignore[assignment]
    meter.begin()
    return connection


class _Http(HTTPHandler):
    def __init__(self, meter: _Meter) -> None:
        super().__init__()
        self._connect = partial(_connect, http.client.HTTPConnection, meter)

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connect, req)


class _Https(HTTPSHandler):
    def __init__(self, meter: _Meter) -> None:
        super().__init__()
        self._connect = partial(_connect, http.client.HTTPSConnection, meter)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connect, req)


def _open(file: RemoteFile, part: Path, headers: dict[str, str], meter: _Meter) -> HTTPResponse:
    try:
        request = Request(file.url, headers=headers)  # noqa: S310  (RemoteFile takes http and https only)
        opener = build_opener(_Redirects, _Http(meter), _Https(meter))
        response = cast(HTTPResponse, opener.open(request, timeout=meter.limits.timeout))
    except DownloadError:
        raise
    except HTTPError as error:
        error.close()
        message = f"{file.url}: the server answered {error.code} {show_answer(error.reason)}"
        if error.code in (408, 429) or error.code >= 500:
            raise _TemporaryError(message, wait=_retry_after(error.headers.get("Retry-After", ""))) from None
        if error.code == 416:  # no such range: the remote file has become shorter
            raise _TemporaryError(message, restart=True) from None
        raise DownloadError(f"{message}. {by_hand(part)}") from None
    except (OSError, HTTPException) as error:
        raise _TemporaryError(f"{file.url}: {show_answer(error if isinstance(error, OSError) else repr(error))}") from error
    except ValueError as error:
        raise DownloadError(f"{file.url}: the server's response is malformed ({show_answer(error)}). {by_hand(part)}") from error
    meter.in_head = False
    return response


def _chunks(file: RemoteFile, response: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(2**20):  # read() would lose what came before a broken connection
            yield chunk
    except DownloadError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        raise _TemporaryError(f"{file.url}: the connection broke: {show_answer(repr(error))}") from error


def _read_version(state: Path) -> dict[str, Any]:
    """Read which version a part is of; what is not of our making is unknown."""
    content = read_state(state)
    total = content.get("total")
    texts = {name: _header(content.get(name)) for name in ("url", "etag", "modified")}
    return {**texts, "total": total if type(total) is int and 0 <= total < 2**63 else None}


def _version(file: RemoteFile, response: HTTPResponse) -> dict[str, Any]:
    """Describe which version of the remote file is being sent."""
    headers = response.headers
    total = headers.get("Content-Range", "").rpartition("/")[2].strip() if response.status == 206 else str(response.length)
    return {
        "url": file.url,
        "etag": _header(headers.get("ETag")),
        "modified": _header(headers.get("Last-Modified")),
        "total": int(total) if re.fullmatch("[0-9]{1,18}", total) else None,
    }


def _header(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch("[ -~]{1,2000}", value) else None


def _validator(version: dict[str, Any]) -> str | None:
    """Return what proves that two answers are of the same bytes; a weak ETag does not."""
    etag = version["etag"]
    return etag if etag and not etag.startswith("W/") else version["modified"]


def _continues(file: RemoteFile, response: HTTPResponse, done: int, known: dict[str, Any], version: dict[str, Any]) -> bool:
    """Tell if an answer goes on at byte `done` with the known version."""
    found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", response.headers.get("Content-Range", "").strip())
    if not found or int(found[1]) != done or int(found[2]) < done or (found[3] != "*" and int(found[2]) >= int(found[3])):
        return False
    if response.length not in (None, int(found[2]) - done + 1):
        return False
    same = all(known[key] == version[key] for key in ("etag", "modified", "total") if known[key] is not None and version[key] is not None)
    # A checksum tells in the end; without one the server must say that it is the version asked for.
    return same and (file.checksum is not None or _validator(known) in (version["etag"], version["modified"]))


def _retry_after(text: str) -> Seconds:
    """Seconds that the server asks to wait; it may say them or a date."""
    try:
        wait = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
