"""Servers that never end, creep, lead elsewhere, or send something else: a named error, soon; and what a full disk and a kill leave."""

import hashlib
import importlib.util
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest

from dcasekit.download import Limits, RemoteFile, _http, download, fetch
from dcasekit.errors import ChecksumError, DownloadError, StorageError

SPEC = importlib.util.spec_from_file_location("_test_download_for_limits", Path(__file__).with_name("test_download.py"))
serving = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(serving)
BODY, names, site = serving.BODY, serving.names, serving.site
OK = "HTTP/1.1 200 OK\r\n"
PLAIN = f"{OK}Content-Length: 4\r\n\r\nabcd"


def raw(answer):
    """Make a page of the site that sends these bytes, or what a function of the connection sends."""

    class Raw:
        def answer(self, handler):
            handler.close_connection = True
            if callable(answer):
                answer(handler.connection)
            else:
                handler.wfile.write(answer if isinstance(answer, bytes) else answer.encode())

    return Raw()


def serve(site, answer, name="a.zip", **record):
    site.pages[name] = raw(answer)
    return RemoteFile(site.url(name), **record)


def endless(head, chunk=b"x" * 65536):
    def send(connection):
        connection.sendall(head.encode())
        while True:  # until the client hangs up
            connection.sendall(chunk)

    return send


# ---- size


CHUNKED = f"{OK}Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("head", "chunk"), [(f"{OK}\r\n", b"x" * 5000), (CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n")])
@pytest.mark.parametrize("size", [10_000, None])
def test_an_endless_body_stops_at_the_recorded_size_or_the_limit(site, tmp_path, head, chunk, size):
    file = serve(site, endless(head, chunk), size=size)
    with pytest.raises(ChecksumError, match=r"a.zip: the server sends more than 10000 bytes, all that .*; nothing was kept"):
        fetch(file, tmp_path, limits=Limits(max_bytes=10_000))
    assert names(tmp_path) == set()
    assert len(site.requests) == 1


@pytest.mark.parametrize("total", [5, 10**6, 10**17])
def test_another_size_than_recorded_is_refused_before_anything_is_written(site, tmp_path, total):
    file = serve(site, endless(f"{OK}Content-Length: {total}\r\n\r\n"), size=10)
    with pytest.raises(ChecksumError, match=rf"it has {total} bytes, expected 10; nothing was written"):
        fetch(file, tmp_path)
    assert names(tmp_path) == set()


def test_a_promise_beyond_the_limit_or_the_disk_is_refused_at_once(site, tmp_path):
    with pytest.raises(DownloadError, match="more than is taken without a recorded size"):
        fetch(serve(site, endless(f"{OK}Content-Length: {10**15}\r\n\r\n")), tmp_path)
    with pytest.raises(
        StorageError, match=r"cannot write .*a.zip.part: \d+ bytes are to come and the disk has room for \d+; free some space"
    ):
        fetch(serve(site, endless(f"{OK}Content-Length: {10**17}\r\n\r\n")), tmp_path, limits=Limits(max_bytes=10**18))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "head",
    ["", "HTTP/1.1 100 Continue\r\n\r\n", f"{OK}X: ", "HTTP/1.1 302 Found\r\nLocation: /a.zip\r\n\r\n"],
    ids=["none", "100", "200", "302"],
)
def test_what_comes_before_the_file_is_bounded(site, tmp_path, head):
    chunk = head.encode() if "100" in head else b"x" * 60000
    with pytest.raises(DownloadError, match=r"gave up|before the file itself"):
        fetch(serve(site, endless(head, chunk)), tmp_path, limits=Limits(retries=1))
    assert names(tmp_path) == set()


# ---- time


@pytest.fixture
def fast_clock(monkeypatch):
    """Let every look at the clock take ten seconds."""
    moments = iter(range(0, 10**9, 10))
    monkeypatch.setattr(_http, "_clock", lambda: next(moments))


def creeping(text, step=1):
    def send(connection):
        for start in range(0, len(text), step):
            connection.sendall(text[start : start + step].encode())
            time.sleep(0.002)

    return send


@pytest.mark.parametrize("text", [OK + "X: y\r\n" * 90, f"{OK}Content-Length: 999\r\n\r\n{'x' * 999}"], ids=["headers", "body"])
def test_a_creeping_server_is_given_up_though_bytes_arrive(site, tmp_path, fast_clock, text):
    with pytest.raises(
        DownloadError, match=r"gave up after 3 failures in a row; the last: .*too slow, .* bytes per second, expected at least 1024"
    ):
        fetch(serve(site, creeping(text), checksum=serving.md5(b"")), tmp_path, limits=Limits(retries=2))
    assert len(site.requests) == 3


def test_the_whole_of_a_download_has_a_time_limit(site, tmp_path, fast_clock):
    with pytest.raises(DownloadError, match=r"not finished after 50 s; call again to continue from there"):
        fetch(serve(site, creeping(f"{OK}Content-Length: 999\r\n\r\n{'x' * 999}", 100)), tmp_path, limits=Limits(total=50, min_rate=0))
    busy = site.serve("busy.zip", statuses=[(503, {"Retry-After": "100"})])
    with pytest.raises(DownloadError, match="not finished after 90 s"):  # before it waits in vain
        fetch(busy, tmp_path, limits=Limits(total=90))
    assert site.waits == []


@pytest.mark.parametrize("settings", [{"retries": -1}, {"timeout": 0}, {"min_rate": -1}, {"total": 0}, {"max_bytes": 0}])
def test_limits_that_make_no_sense_are_refused(settings):
    with pytest.raises(DownloadError, match="must be above 0"):
        Limits(**settings)


# ---- somewhere else, something else


def test_https_does_not_lead_to_http(site, tmp_path, monkeypatch):
    monkeypatch.setattr(HTTPSConnection, "connect", HTTPConnection.connect)  # the site speaks no TLS
    site.serve("a.zip")
    site.pages["old.zip"] = raw(f"HTTP/1.1 302 Found\r\nLocation: {site.url('a.zip')}\r\nContent-Length: 0\r\n\r\n")
    secure = site.url("old.zip").replace("http:", "https:")
    with pytest.raises(DownloadError, match=r"old.zip: the server answered 302 redirection to http://127.0.0.1:\d+/a.zip refused"):
        fetch(RemoteFile(secure), tmp_path)
    site.pages["old.zip"] = raw("HTTP/1.1 302 Found\r\nLocation: /a.zip\r\nContent-Length: 0\r\n\r\n")
    assert fetch(RemoteFile(secure), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    "target", ["/a.zip", "http://[", "http://h:x/", "//", "", "/\x01\xff", "/" + "y" * 9000, "http://" + "y" * 300 + "/"]
)
def test_redirections_in_a_circle_or_to_nowhere_are_one_error(site, tmp_path, target):
    file = serve(site, f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    with pytest.raises(DownloadError, match=r"a.zip") as caught:
        fetch(file, tmp_path, limits=Limits(retries=0))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert names(tmp_path) == set()


HTML, JSON = "<!DOCTYPE html><title>Log in</title>", '{"message": "not found"}'


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + HTML.encode(),
        f" \r\n\t{HTML}".encode(),
        (" " * 9000 + HTML).encode(),
        b"\xff\xfe" + HTML.encode("utf-16-le"),
        HTML.encode("utf-16-be"),
        b"\n<!-- x --><HTML>",
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        JSON.encode(),
        b"\xef\xbb\xbf\n [\n" + JSON.encode(),
        b"{}",
    ],
)
def test_pages_and_messages_are_told_by_their_first_bytes(site, tmp_path, body):
    file = serve(site, f"{OK}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    with pytest.raises(DownloadError, match=r"the server sent a (web page|message \(JSON\)), not a.zip.*put the file at .*a.zip,"):
        fetch(file, tmp_path)
    assert names(tmp_path) == set()
    assert len(site.requests) == 1


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json; charset=utf-8", "text/html", "application/xhtml+xml"])
def test_pages_and_messages_are_told_by_their_type(site, tmp_path, kind):
    with pytest.raises(DownloadError, match="not a.zip"):
        fetch(serve(site, f"{OK}Content-Type: {kind}\r\nContent-Length: 4\r\n\r\nabcd"), tmp_path)


@pytest.mark.parametrize(
    ("name", "body"), [("a.json", JSON), ("a.jams", JSON), ("a.md", "<!-- x -->"), ("a.xml", "<?xml?>"), ("z.z02", '{\x01"')]
)
def test_files_that_begin_like_a_page_or_a_message_are_fetched(site, tmp_path, name, body):
    file = serve(site, f"{OK}Content-Length: {len(body)}\r\n\r\n{body}", name)
    assert fetch(file, tmp_path).read_text() == body


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "203 Other", "204 No Content", "205 Reset Content"])
def test_answers_without_the_file_are_refused_by_name(site, tmp_path, status):
    with pytest.raises(DownloadError, match=f"the server answered {status}, without the file"):
        fetch(serve(site, f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"), tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("head", [f"{OK}Content-Length: 0\r\n\r\n", f"{OK}\r\n", f"{CHUNKED}0\r\n\r\n"])
def test_an_empty_file_is_refused_unless_it_is_one(site, tmp_path, head):
    with pytest.raises(DownloadError, match="the server sent nothing, an empty file"):
        fetch(serve(site, head), tmp_path)
    assert names(tmp_path) == set()
    assert fetch(serve(site, head, "b.txt", size=0), tmp_path).read_bytes() == b""


def test_what_is_compressed_on_its_way_is_refused(site, tmp_path):
    answer = PLAIN.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n")
    with pytest.raises(DownloadError, match=r"sent it compressed \(gzip\), which was not asked for"):
        fetch(serve(site, answer), tmp_path)
    assert fetch(serve(site, answer, "a.tar.gz"), tmp_path).read_bytes() == b"abcd"  # there the compression is the file's own
    assert fetch(serve(site, PLAIN.replace("\r\n\r\n", "\r\nContent-Encoding: identity\r\n\r\n")), tmp_path).read_bytes() == b"abcd"
    assert site.requests[0][1]["Accept-Encoding"] == "identity"


# ---- going on


def half(tmp_path, url, **version):
    """Lay down the first 100 bytes of the body, with what is known of its version."""
    (tmp_path / "a.zip.part").write_bytes(BODY[:100])
    (tmp_path / "a.zip.part.json").write_text(json.dumps({"url": url, "etag": '"1"', "modified": None, "total": 200} | version))


def answers(*texts):
    left = list(texts)
    return lambda connection: connection.sendall(left.pop(0))


def part_of(content, between, etag='"1"', more=""):
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(content)}\r\nContent-Range: {between}\r\nETag: {etag}\r\n{more}\r\n"
    return head.encode() + content


REST, WHOLE = BODY[100:200], f'{OK}Content-Length: 200\r\nETag: "1"\r\n\r\n'.encode() + BODY[:200]


def test_a_range_that_fits_is_added(site, tmp_path):
    file = serve(site, answers(part_of(REST, "bytes 100-199/200")))
    half(tmp_path, file.url)
    assert fetch(file, tmp_path).read_bytes() == BODY[:200]
    assert site.ranges() == ["bytes=100-"]


@pytest.mark.parametrize(
    "wrong",
    [
        part_of(REST, "bytes 0-99/200"),
        part_of(REST, "bytes 101-200/200"),
        part_of(REST, "bytes 100-199/201"),
        part_of(REST, "bytes 100-250/200"),
        part_of(REST, "bytes 100-198/200"),
        part_of(REST, "bytes 100-99/200"),
        part_of(REST, "bytes */200"),
        part_of(REST, "bytes 100-199/2\xb2".encode().decode()),
        part_of(REST, "octets 100-199/200"),
        part_of(REST, "100"),
        part_of(REST, ""),
        part_of(REST, "bytes 100-199/200", '"2"'),
        part_of(REST, "bytes 100-199/200", "W/1"),
        part_of(b"x" * 100, "bytes 100-199/200").replace(b"ETag", b"X-Tag"),
        b"HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_range_that_does_not_fit_is_never_added(site, tmp_path, wrong):
    file = serve(site, answers(wrong, WHOLE))
    half(tmp_path, file.url)
    assert fetch(file, tmp_path).read_bytes() == BODY[:200]
    assert site.ranges() == ["bytes=100-", None]


def test_a_changed_date_is_another_version(site, tmp_path):
    old, new = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"
    file = serve(site, answers(part_of(REST, "bytes 100-199/200", more=f"Last-Modified: {new}\r\n"), WHOLE))
    half(tmp_path, file.url, modified=old)
    assert fetch(file, tmp_path).read_bytes() == BODY[:200]
    assert site.ranges() == ["bytes=100-", None]


def test_a_part_of_a_file_that_nobody_asked_for_is_refused(site, tmp_path):
    with pytest.raises(DownloadError, match="gave up after 2 .*another range than asked"):
        fetch(serve(site, part_of(BODY[:50], "bytes 0-49/200")), tmp_path, limits=Limits(retries=1))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[1]",
        "7",
        '"x"',
        "[" * 100_000,
        '{"a":' * 100_000,
        " " * 2**23,
        '{"url": 5, "etag": {}, "modified": [], "total": "x"}',
        "{URL, 'etag': '\\r\\nX: y', 'total': 200}".replace("'", '"'),
        "{URL, 'etag': 7, 'total': -5}".replace("'", '"'),
        "{URL, 'etag': '\\ud800', 'total': 1e999}".replace("'", '"'),
        "{URL, 'etag': null, 'total': NaN}".replace("'", '"'),
        "{URL, 'total': 123".replace("'", '"') + "9" * 5000 + "}",
        "{URL, 'etag': '1', 'total': 50}".replace("'", '"'),
    ],
    ids=range(15),
)
def test_what_lies_beside_a_part_may_be_anything(site, tmp_path, content):
    file = site.serve("a.zip")
    (tmp_path / "a.zip.part").write_bytes(b"not the beginning")
    (tmp_path / "a.zip.part.json").write_text(content.replace("URL", f'"url": "{file.url}"'))
    assert fetch(RemoteFile(file.url), tmp_path).read_bytes() == BODY
    assert names(tmp_path) == {"a.zip"}


def test_a_link_in_place_of_a_part_is_not_followed(site, tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"mine")
    (tmp_path / "a.zip.part").symlink_to(tmp_path / "mine.txt")
    assert fetch(site.serve("a.zip"), tmp_path).read_bytes() == BODY
    assert (tmp_path / "mine.txt").read_bytes() == b"mine"


def test_a_folder_in_place_of_a_file_is_named(site, tmp_path):
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(DownloadError, match="a.zip is a folder, where a file is to be put"):
        fetch(site.serve("a.zip"), tmp_path)
    (tmp_path / "b.zip.part").mkdir()
    with pytest.raises(StorageError, match="cannot write .*b.zip.part: "):
        fetch(site.serve("b.zip"), tmp_path)


# ---- the disk, and kills


def test_a_full_disk_is_one_line_and_the_next_call_goes_on(site, tmp_path):
    file = site.serve("a.zip")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            StorageError, match=r"cannot write .*a.zip.part: the disk is full.*what has arrived is kept, and the next call"
        ) as caught:
            fetch(file, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < kept <= 100_000
    assert fetch(file, tmp_path).read_bytes() == BODY
    assert site.ranges() == [None, f"bytes={kept}-"]


CHILD = """
import os, sys
from dcasekit.download import RemoteFile, download
url, checksum, folder = sys.argv[1:]
print(os.getpid(), flush=True)
download([RemoteFile(url, checksum or None)], folder)
"""


def test_a_download_killed_again_and_again_ends_as_one_that_was_not(site, tmp_path):
    body = serving.zipped(a=BODY, b=BODY[::-1])
    page, children, cuts = serving.Page(body=body), [], [70_000, 200_000]

    class Killing:
        """Serve a page, and kill who asks for it when so many bytes have gone out."""

        def answer(self, handler):
            if cuts:
                page.cuts.append(cuts.pop(0))
                page.answer(handler)
                part = tmp_path / "data/a.zip.part"
                while not (part.exists() and part.stat().st_size):
                    time.sleep(0.005)
                children[-1].kill()
                children[-1].wait()
            else:
                page.answer(handler)

    site.pages["a.zip"] = Killing()
    arguments = [site.url("a.zip"), "", str(tmp_path / "data")]
    codes = []
    for _ in range(3):
        children.append(subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env={**os.environ, "no_proxy": "*"}))
        codes.append(children[-1].wait())
    assert codes == [-9] * 2 + [0]
    assert names(tmp_path / "data") == {"a", "b", ".dcasekit-download.json"}
    assert (tmp_path / "data/a").read_bytes() == BODY
    assert (tmp_path / "data/b").read_bytes() == BODY[::-1]


def test_a_server_that_hangs_up_at_once_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(_http, "_sleep", lambda _: None)
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            for _ in range(3):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(DownloadError, match="gave up after 3"):
            fetch(RemoteFile(f"http://127.0.0.1:{server.getsockname()[1]}/a.zip"), tmp_path, limits=Limits(retries=2))
        thread.join()


@pytest.mark.parametrize("stop", [False, True])
def test_files_of_the_users_are_never_replaced_by_members_of_an_archive(tmp_path, stop):
    """Not by the first call, and not by one that goes on; in a folder that was new, files of an older version are replaced."""
    from dcasekit.download import archives

    archive = tmp_path / "given" / "a.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("meta/list.csv", "theirs")
        file.writestr("b.txt", "b")
    remote = RemoteFile("http://127.0.0.1:9/a.zip", checksum=f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}")
    mine = tmp_path / "mine"
    (mine / "meta").mkdir(parents=True)
    (mine / "meta" / "list.csv").write_text("my own")
    shutil.copy(archive, mine / "a.zip")
    for _ in range(2 if stop else 1):
        with pytest.raises(DownloadError, match=r"list.csv is there already, dcasekit did not write it, and it holds something else"):
            download([remote], mine)
    assert (mine / "meta" / "list.csv").read_text() == "my own"
    assert not (mine / "b.txt").exists()
    (mine / "meta" / "list.csv").unlink()
    assert download([remote], mine)
    assert archives.unpack(archive, mine, existing="refuse")  # the same bytes are no obstacle
