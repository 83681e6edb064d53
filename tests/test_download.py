"""Downloads from a server on this machine that drops, changes, refuses and lies."""

import hashlib
import io
import json
import socket
import struct
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Barrier

import pytest

from dcasekit import download as dl
from dcasekit.download import MARKER, Limits, RemoteFile, _http, download, fetch
from dcasekit.errors import ChecksumError, DownloadError

BODY = bytes((i * i * 31 + i // 7) % 251 for i in range(300_000))


def md5(content):
    return f"md5:{hashlib.md5(content).hexdigest()}"


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@dataclass
class Page:
    """What the server holds under one path, and how it misbehaves; of the lists each request takes one element."""

    body: bytes = BODY
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    total_in_range: bool = True
    kind: str = "application/octet-stream"
    cuts: list = field(default_factory=list)  # bytes after which the connection is closed; None: not
    reset: bool = False  # close it with RST instead of FIN
    chunked: bool = False
    statuses: list = field(default_factory=list)  # (status, headers) instead of the body
    if_range: bool = True

    def answer(self, handler):
        if self.statuses:
            status, headers = self.statuses.pop(0)
            return self.head(handler, status, {"Content-Length": "0"} | headers)
        headers = {"ETag": self.etag, "Last-Modified": self.modified, "Content-Type": self.kind}
        asked = handler.headers.get("Range") if self.ranges else None
        validator = handler.headers.get("If-Range")
        if self.if_range and validator not in (None, self.etag, self.modified):
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(self.body):
            return self.head(handler, 416, {"Content-Range": f"bytes */{len(self.body)}", "Content-Length": "0"})
        body = self.body[start:]
        if asked:
            total = len(self.body) if self.total_in_range else "*"
            headers |= {"Content-Range": f"bytes {start}-{len(self.body) - 1}/{total}"}
        headers |= {"Transfer-Encoding": "chunked"} if self.chunked else {"Content-Length": str(len(body))}
        self.head(handler, 206 if asked else 200, headers)
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write((f"{len(body):x}\r\n".encode() if self.chunked else b"") + body[:cut])
        if cut is None and self.chunked:
            handler.wfile.write(b"\r\n0\r\n\r\n")
        if cut is not None and self.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        return None

    def head(self, handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()


class Site(HTTPServer):
    def __init__(self):
        self.pages, self.requests, self.waits = {}, [], []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request, client_address):
        """The client may hang up, as it does on a web page."""

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def serve(self, path, body=BODY, **settings):
        self.pages[path] = Page(body=body, **settings)
        return RemoteFile(self.url(path), md5(body))

    def ranges(self):
        return [headers.get("Range") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path[1:], dict(self.headers)))
        page = self.server.pages.get(self.path[1:])
        self.send_error(404) if page is None else page.answer(self)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Site() as server:
        monkeypatch.setattr(_http, "_sleep", server.waits.append)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock"}


@pytest.mark.parametrize("chunked", [False, True])
def test_fetch(site, tmp_path, chunked):
    file = site.serve("sub/a%20b.zip?download=1", chunked=chunked)
    path = fetch(file, tmp_path / "new" / "folder")
    assert path.read_bytes() == BODY
    assert names(tmp_path) == {"new/folder/a b.zip"}


def test_progress_bar_goes_to_standard_error(site, tmp_path, capsys):
    fetch(site.serve("a.zip"), tmp_path, progress=True)
    output = capsys.readouterr()
    assert "a.zip" in output.err
    assert output.out == ""


def test_without_checksum_the_log_says_so_and_the_size_is_checked(site, tmp_path, caplog):
    site.serve("a.csv", b"abc")
    fetch(RemoteFile(site.url("a.csv"), size=3), tmp_path / "1")
    assert "no published checksum" in caplog.text
    with pytest.raises(ChecksumError, match="it has 3 bytes, expected 4"):
        fetch(RemoteFile(site.url("a.csv"), size=4), tmp_path / "2")
    assert names(tmp_path) == {"1/a.csv"}


def test_what_a_kill_left_beside_a_whole_file_is_removed(site, tmp_path):
    file = site.serve("a.zip")
    fetch(file, tmp_path)
    for left in ("a.zip.part", "a.zip.part.json"):
        (tmp_path / left).write_text("{}")
    fetch(file, tmp_path)
    assert names(tmp_path) == {"a.zip"}


def test_a_file_put_there_by_hand_is_accepted_or_put_aside(site, tmp_path):
    file = site.serve("a.zip")
    (tmp_path / "a.zip").write_bytes(BODY)
    fetch(file, tmp_path, force=True)
    fetch(RemoteFile(file.url), tmp_path)
    assert site.requests == []
    fetch(RemoteFile(file.url), tmp_path, force=True)
    assert len(site.requests) == 1
    (tmp_path / "a.zip").write_bytes(b"mine")
    assert fetch(file, tmp_path).read_bytes() == BODY
    assert (tmp_path / "a.zip.bad").read_bytes() == b"mine"


def test_wrong_checksum(site, tmp_path):
    site.serve("a.zip")
    file = RemoteFile(site.url("a.zip"), "sha256:" + "0" * 64, size=len(BODY))
    with pytest.raises(ChecksumError) as caught:
        fetch(file, tmp_path)
    for part in ("a.zip", file.url, hashlib.sha256(BODY).hexdigest(), "0" * 64, "300000 bytes", "Call again"):
        assert part in str(caught.value)
    assert names(tmp_path) == {"a.zip.bad"}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("modified", [None, "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_broken_download_goes_on_where_it_stopped(site, tmp_path, reset, modified):
    settings = {"etag": 'W/"weak"', "modified": modified} if modified else {}
    file = site.serve("a.zip", cuts=[100_000, 50_000], reset=reset, **settings)
    assert fetch(file, tmp_path).read_bytes() == BODY
    if not reset:  # a reset may lose bytes on their way
        assert site.ranges() == [None, "bytes=100000-", "bytes=150000-"]
        assert site.requests[1][1]["If-Range"] == (modified or '"1"')
    assert names(tmp_path) == {"a.zip"}


def test_it_goes_on_in_a_later_call_too(site, tmp_path):
    file = site.serve("a.zip", cuts=[100_000], total_in_range=False)
    with pytest.raises(DownloadError, match=r"gave up after 1 .*closed after 100000 of 300000.*100000 bytes are kept in .*a.zip.part"):
        fetch(file, tmp_path, limits=Limits(retries=0))
    assert names(tmp_path) == {"a.zip.part", "a.zip.part.json"}
    assert fetch(file, tmp_path, limits=Limits(retries=0)).read_bytes() == BODY
    assert site.ranges() == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("settings", "second"),
    [({"ranges": False}, "bytes=100000-"), ({"chunked": True}, "bytes=100000-"), ({"etag": None}, None)],
)
def test_servers_that_cannot_resume_or_say_how_long_a_file_is(site, tmp_path, settings, second):
    site.serve("a.zip", cuts=[100_000], **settings)
    assert fetch(RemoteFile(site.url("a.zip")), tmp_path).read_bytes() == BODY
    assert site.ranges() == [None, second]


def test_only_failures_without_progress_are_counted(site, tmp_path):
    assert fetch(site.serve("a.zip", cuts=[1000] * 20), tmp_path, limits=Limits(retries=1)).read_bytes() == BODY
    assert site.waits == [1] * 20
    with pytest.raises(DownloadError, match="gave up after 4"):
        fetch(site.serve("b.zip", cuts=[1000] * 9, ranges=False), tmp_path, limits=Limits(retries=3))
    assert site.waits[20:] == [1, 2, 4]


def test_a_silent_server_is_given_up(site, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DownloadError, match="timed out"):
        fetch(RemoteFile(f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"), tmp_path, limits=Limits(retries=1, timeout=0.05))


def test_a_whole_part_needs_no_request(site, tmp_path):
    file = site.serve("a.zip", cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(file, tmp_path, limits=Limits(retries=0))
    (tmp_path / "a.zip.part").write_bytes(BODY)
    assert fetch(file, tmp_path).read_bytes() == BODY
    assert len(site.requests) == 1


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("pinned", [True, False])
def test_a_changed_file_is_not_glued_onto_an_old_part(site, tmp_path, if_range, pinned):
    site.serve("a.zip", BODY[::-1], cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(RemoteFile(site.url("a.zip")), tmp_path, limits=Limits(retries=0))
    file = site.serve("a.zip", etag='"2"', if_range=if_range)
    assert fetch(file if pinned else RemoteFile(file.url), tmp_path).read_bytes() == BODY
    assert site.ranges() == [None, "bytes=100000-"] + [None] * (not if_range)


def test_a_shorter_file_now(site, tmp_path):
    file = site.serve("a.zip", etag=None, cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(file, tmp_path, limits=Limits(retries=0))
    site.pages["a.zip"] = Page(body=BODY[:5000], etag=None)
    short = RemoteFile(file.url, md5(BODY[:5000]))
    assert fetch(short, tmp_path).read_bytes() == BODY[:5000]
    assert site.ranges() == [None, "bytes=100000-", None]


def test_a_part_from_another_address_is_not_used(site, tmp_path):
    with pytest.raises(DownloadError):
        fetch(RemoteFile(site.serve("old/a.zip", BODY[::-1], cuts=[9]).url), tmp_path, limits=Limits(retries=0))
    assert fetch(RemoteFile(site.serve("new/a.zip").url), tmp_path).read_bytes() == BODY
    assert site.ranges() == [None, None]


@pytest.mark.parametrize(
    "page", [Page(body=b"<p>Moved</p>", kind="text/html; charset=utf-8"), Page(body=b"\n<!DOCTYPE HTML><title>Login</title>")]
)
def test_a_web_page_is_not_the_file(site, tmp_path, page):
    site.pages["a.zip"] = page
    with pytest.raises(DownloadError, match=r"sent a web page, not a.zip.*open it in a browser.*put the file at .*a.zip,"):
        fetch(RemoteFile(site.url("a.zip")), tmp_path)
    assert names(tmp_path) == set()
    assert len(site.requests) == 1
    site.pages["a.html"] = page
    assert fetch(RemoteFile(site.url("a.html")), tmp_path).read_bytes() == page.body


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_not_asked_for_twice(site, tmp_path, status):
    file = site.serve("a.zip", statuses=[(status, {})])
    with pytest.raises(DownloadError, match=rf"a.zip: the server answered {status} .*put the file at"):
        fetch(file, tmp_path)
    assert site.waits == []
    assert names(tmp_path) == set()


def test_a_busy_server_is_asked_again(site, tmp_path):
    far = "Wed, 21 Oct 2065 07:28:00 GMT"
    statuses = [(503, {}), (500, {"Retry-After": "soon"}), (429, {"Retry-After": "7"}), (503, {"Retry-After": far})]
    file = site.serve("a.zip", statuses=statuses)
    assert fetch(file, tmp_path).read_bytes() == BODY
    assert site.waits == [1, 2, 7, 120]


def test_redirections(site, tmp_path):
    site.serve("old.zip", statuses=[(302, {"Location": "/a.zip"})])
    site.serve("a.zip")
    assert fetch(RemoteFile(site.url("old.zip"), md5(BODY)), tmp_path).read_bytes() == BODY
    for target in ("ftp://127.0.0.1/a.zip", "file:///etc/passwd"):
        site.serve("bad.zip", statuses=[(302, {"Location": target})])
        with pytest.raises(DownloadError, match="302"):
            fetch(RemoteFile(site.url("bad.zip")), tmp_path)
    assert names(tmp_path) == {"old.zip"}


def test_bad_settings_are_refused():
    for url in ("file:///etc/passwd", "ftp://host/a", "a.zip", "http://host/a b"):
        with pytest.raises(DownloadError, match="must begin with http"):
            RemoteFile(url)
    with pytest.raises(DownloadError, match="checksum must be .*; got 'md5:12'"):
        RemoteFile("https://host/a.zip", "md5:12")
    for name in ("../a", "a/b", "a\\b", ".hidden", "C:a"):
        with pytest.raises(DownloadError, match="plain file name"):
            RemoteFile("https://host/a.zip", name=name)
    with pytest.raises(DownloadError, match="plain file name"):
        RemoteFile("https://host/")
    with pytest.raises(DownloadError, match="stored as a.zip"):
        download([RemoteFile("https://x/a.zip"), RemoteFile("https://y/a.zip")], "nowhere")


def test_download(site, tmp_path):
    files = [site.serve("a.zip", zipped(top__x=b"1")), site.serve("meta.csv", b"a,b"), site.serve("doc.zip", zipped(d=b"2"))]
    files[2] = RemoteFile(files[2].url, unpack=False)
    assert download(files, tmp_path, flatten="top")
    assert names(tmp_path) == {"x", "meta.csv", "doc.zip", MARKER}
    marker = json.loads((tmp_path / MARKER).read_text())
    assert (marker["finished"][:2], marker["files"]["meta.csv"]["checksum"]) == ("20", md5(b"a,b"))
    assert marker["files"]["doc.zip"]["checksum"].startswith("sha256:")
    assert marker["files"]["doc.zip"]["size"] == len(zipped(d=b"2"))


def test_a_second_download_makes_no_request(site, tmp_path):
    files = [site.serve("a.zip", zipped(x=b"1")), site.serve("meta.csv", b"a,b")]
    assert download(files, tmp_path)
    assert not download([RemoteFile("https://mirror.invalid/a.zip", files[0].checksum), files[1]], tmp_path)
    assert len(site.requests) == 2


def test_force_and_keep_archives(site, tmp_path):
    files = [site.serve("a.zip", zipped(x=b"1")), RemoteFile(site.serve("meta.csv", b"a,b").url)]
    download(files, tmp_path, keep_archives=True)
    assert names(tmp_path) == {"a.zip", "x", "meta.csv", MARKER}
    (tmp_path / "x").write_bytes(b"damaged")
    site.serve("meta.csv", b"c,d")
    assert download(files, tmp_path, force=True)
    assert names(tmp_path) == {"x", "meta.csv", MARKER}
    assert (tmp_path / "x").read_bytes() == b"1"
    assert (tmp_path / "meta.csv").read_bytes() == b"c,d"
    assert [path for path, _ in site.requests] == ["a.zip", "meta.csv", "meta.csv"]  # the archive was there, and right


def test_another_version_replaces_the_old_one(site, tmp_path):
    shared = site.serve("audio.zip", zipped(x=b"1"))
    download([shared, RemoteFile(site.serve("v1/meta.csv", b"old").url)], tmp_path)
    new = [shared, RemoteFile(site.serve("v2/meta.csv", b"new").url)]
    assert download(new, tmp_path)
    assert (tmp_path / "meta.csv").read_bytes() == b"new"
    assert [path for path, _ in site.requests] == ["audio.zip", "v1/meta.csv", "v2/meta.csv"]
    (tmp_path / "meta.csv").unlink()
    assert download(new[1:], tmp_path)  # known, but gone
    assert len(site.requests) == 4


def test_the_marker_comes_last_and_an_interrupted_download_goes_on(site, tmp_path, monkeypatch):
    files = [site.serve(name, zipped(**{name[0]: b"1"})) for name in ("a.zip", "b.zip", "c.zip")]
    unpack = dl.unpack

    def killed(archive, *args, **kwargs):
        if archive.name == "b.zip":
            raise KeyboardInterrupt
        return unpack(archive, *args, **kwargs)

    monkeypatch.setattr(dl, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        download(files, tmp_path)
    assert names(tmp_path) == {"a", "b.zip", ".dcasekit-download.state.json"}
    monkeypatch.setattr(dl, "unpack", unpack)
    assert download(files, tmp_path)
    assert names(tmp_path) == {"a", "b", "c", MARKER}
    assert [path for path, _ in site.requests] == ["a.zip", "b.zip", "c.zip"]
    monkeypatch.setattr(dl, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        download(files, tmp_path, force=True)
    assert MARKER not in names(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"files": {}}'])
def test_a_damaged_marker_is_no_marker(site, tmp_path, content):
    (tmp_path / MARKER).write_text(content)
    assert download([site.serve("a.zip", zipped(x=b"1"))], tmp_path)
    assert names(tmp_path) == {"x", MARKER}


def test_callers_at_once_wait_for_one(site, tmp_path):
    file = site.serve("a.zip", zipped(x=b"1"))
    together = Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        did = list(pool.map(lambda _: (together.wait(), download([file], tmp_path))[1], range(3)))
    assert sorted(did) == [False, False, True]
    assert len(site.requests) == 1
