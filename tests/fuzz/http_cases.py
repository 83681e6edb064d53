"""Servers that nobody meant to ask: good answers damaged, cut short or without end, and such that do not fit the question."""

import hashlib
import json
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import mutations

from dcasekit.download import Limits, RemoteFile, _http, download, fetch
from dcasekit.errors import DcasekitError

BODY = bytes((i * i * 31 + i // 7) % 251 for i in range(3000))
NEXT = b"|the next answer|"
MOST = 2**16  # bytes of a file here
HALF = 1000  # bytes that had arrived before
PLACES = ("http://127.0.0.1:",)  # an error names the address
LIMITS = Limits(retries=2, timeout=5.0, max_bytes=MOST)

OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 3000\r\n"
    b'ETag: "1"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n'
)
REST = b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-2999/3000\r\nContent-Length: 2000\r\nETag: "1"\r\n\r\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = [
    *([OK + BODY] * 4),
    *([REST + BODY[HALF:]] * 3),
    OK + BODY[:HALF],
    CHUNKED + b"3e8\r\n" + BODY[:1000] + b"\r\n7d0;x=y\r\n" + BODY[1000:] + b"\r\n0\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.0 200\r\n\r\n" + BODY,
    b"HTTP/1.1 302 Found\r\nLocation: /other.zip\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 Many\r\nRetry-After: Wed, 21 Oct 2065 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
    b"HTTP/1.1 416 Range\r\nContent-Range: bytes */3000\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + BODY,
    OK.replace(b"application/zip", b"text/html; charset=utf-8") + b"<html>".ljust(3000),
    OK.replace(b"application/zip", b"application/json") + b'{"a": 1}'.ljust(3000),
    OK.replace(b"ETag", b"Content-Encoding: gzip\r\nETag") + BODY,
    b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 9\r\n\r\n--x\r\n\r\n--",
    b"",
    b"SSH-2.0-OpenSSH\r\n",
]
HEADERS = [
    *("Content-Length", "Content-Range", "Content-Type", "Content-Encoding", "Transfer-Encoding", "ETag", "Last-Modified", "Location"),
    *("Retry-After", "Connection", "X"),
]
STATES = [
    {"url": "", "etag": '"1"', "modified": None, "total": 3000},
    {"url": "", "etag": None, "modified": "Wed, 21 Oct 2015 07:28:00 GMT", "total": None},
    {"url": "", "etag": 'W/"1"', "modified": None, "total": 2999},
]


def case(seed: int) -> tuple[str, bytes]:
    """Give what a server answers, one after the other; the last again and again. The name says how it ends."""
    rng = random.Random(seed)
    answers = [damaged(rng, rng.choice(ANSWERS)) for _ in range(rng.choice([1, 1, 2, 3]))]
    return f"{seed}-{rng.choice(['close', 'close', 'reset', 'endless'])}.zip", NEXT.join(answers)


def damaged(rng: random.Random, answer: bytes) -> bytes:
    """Damage an answer: a header, the head, or any of it."""
    if rng.random() < 0.3:
        return answer
    head, _, body = answer.partition(b"\r\n\r\n")
    for _ in range(rng.choice([1, 1, 2, 3])):
        lines = head.split(b"\r\n")
        at = rng.randrange(len(lines))
        value = rng.choice([*mutations.NUMBERS, *mutations.WORDS, "bytes 1000-2999/3000", "chunked", "gzip", '"2"']).encode(
            "utf-8", "surrogatepass"
        )
        header = rng.choice(HEADERS).encode() + b": " + value
        head = rng.choice(
            [
                lambda: b"\r\n".join([*lines, header]),  # noqa: B023
                lambda: b"\r\n".join([*lines[:at], lines[at].partition(b":")[0] + b": " + value, *lines[at + 1 :]]),  # noqa: B023
                lambda: b"\r\n".join([*lines[:at], *lines[at + 1 :]]),  # noqa: B023
                lambda: b"\r\n".join([*lines, *[header] * rng.choice([2, 99, 120])]),  # noqa: B023
                lambda: b"\r\n".join([*lines, b"X: " + b"y" * rng.choice([1000, 70_000])]),  # noqa: B023
                lambda: mutations.damage(rng, head),  # noqa: B023
            ]
        )()
    answer = head + b"\r\n\r\n" + body
    return mutations.damage(rng, answer) if rng.random() < 0.2 else answer


class Server:
    """Answer whatever it is asked with what it was given."""

    def __init__(self) -> None:
        self.answers, self.ending = [b""], "close"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, suppress(OSError):  # the client has seen enough
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        asked = b""
        while b"\r\n\r\n" not in asked and (received := connection.recv(65536)):
            asked += received
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        connection.sendall(answer)
        while self.ending == "endless":
            connection.sendall(answer[-4096:] or b"x")
        if self.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@cache
def server() -> Server:
    """Start the server, once."""
    return Server()


def prepare(folder: Path) -> None:  # noqa: ARG001
    """Wait for nobody, and ask no proxy."""
    os.environ["no_proxy"] = "*"
    sys.setswitchinterval(1e-4)  # the server is a thread beside the client
    _http._sleep = lambda _: None


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Fetch a file anew, with a checksum, with a size, after a beginning; and as a dataset of one file."""
    ending = name.rpartition("-")[2].removesuffix(".zip")
    url = f"http://127.0.0.1:{server().port}/a.zip"
    state = STATES[len(content) % len(STATES)] | {"url": url}
    bare, pinned = RemoteFile(url), RemoteFile(url, f"md5:{hashlib.md5(BODY).hexdigest()}")
    for number, (file, begun) in enumerate([(bare, False), (RemoteFile(url, size=len(BODY)), False), (bare, True), (pinned, True)]):
        work = folder / f"{number}"
        work.mkdir()
        if begun:
            (work / "a.zip.part").write_bytes(BODY[:HALF])
            (work / "a.zip.part.json").write_text(json.dumps(state))
        yield lambda file=file, work=work: fetched(file, work, content, ending)
    server().answers, server().ending = content.split(NEXT), ending
    yield lambda: download([pinned], folder / "dataset", limits=LIMITS)


def fetched(file: RemoteFile, work: Path, content: bytes, ending: str) -> None:
    """Fetch a file and look at what has come of it."""
    server().answers, server().ending = content.split(NEXT), ending
    path = refusal = None
    try:
        path = fetch(file, work, limits=LIMITS)
    except DcasekitError as error:
        refusal = error
    assert {one.name for one in work.iterdir()} <= {"a.zip", "a.zip.part", "a.zip.part.json", "a.zip.bad"}
    assert sum(one.stat().st_size for one in work.iterdir()) <= MOST + 5000
    if refusal:
        assert not (work / "a.zip").exists()
        raise refusal
    assert file.checksum is None or path.read_bytes() == BODY
    assert file.size in (None, path.stat().st_size)
