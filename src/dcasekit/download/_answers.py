"""What a server sends in place of a file: pages, messages, nothing, other sizes; each refused by name before anything is written."""

import codecs
import re
import shutil
from collections.abc import Iterator
from http.client import HTTPResponse
from itertools import chain
from pathlib import Path

from dcasekit.download._remote import RemoteFile
from dcasekit.errors import ChecksumError, DownloadError, StorageError, first_line

AGAIN = "give another folder; what has arrived is kept, and the next call continues from there"

_SNIFFED = 512  # bytes, without white space, that show what a file is
_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<body", b"<title", b"<script", b"<!--", b"<?xml")
_JSON_START = re.compile(rb'[{\[]\s*["{}\[\]]')
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
# Files that may be what a server sends instead of others, or begin like it.
_PAGES, _JSONS = (".html", ".htm", ".xhtml", ".xml", ".svg"), (".json", ".jsonl", ".geojson", ".jams", ".ipynb")
_TEXTS = (".md", ".rst", ".yaml", ".yml", ".txt")


def refuse_size(file: RemoteFile, part: Path, total: int | None, done: int, limit: int) -> None:
    """Refuse a file of another size than was published, or than can be stored, before anything is written."""
    if total is None:
        return
    if file.size not in (None, total):
        raise ChecksumError(
            f"{file.filename} from {file.url}: it has {total} bytes, expected {file.size}; nothing was written. "
            f"Call again; if it is still so, the published file has changed and this version of dcasekit does not know the new one"
        )
    if file.size is None and total > limit:
        raise DownloadError(
            f"{file.url}: it has {total} bytes, more than is taken without a recorded size; if you trust it, set a larger max_bytes"
        )
    free = shutil.disk_usage(part.parent).free
    if total - done > free:
        raise StorageError(
            f"cannot write {part}: {total - done} bytes are to come and the disk has room for {free}; free some space, or {AGAIN}"
        )


def refuse_other_answers(file: RemoteFile, response: HTTPResponse, part: Path) -> None:
    """Refuse what is an answer, but not the file."""
    if response.status not in (200, 206):
        raise DownloadError(
            f"{file.url}: the server answered {response.status} {show_answer(response.reason)}, without the file. {by_hand(part)}"
        )
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # Of a .gz file the compression is its own, whatever the server calls it.
    if encoding not in ("", "identity") and not (encoding in ("gzip", "x-gzip") and file.filename.endswith((".gz", ".tgz"))):
        raise DownloadError(
            f"{file.url}: the server sent it compressed ({show_answer(encoding)}), which was not asked for. {by_hand(part)}"
        )
    kind = response.headers.get_content_type()
    page = kind in ("text/html", "application/xhtml+xml") and not file.filename.endswith(_PAGES)
    message = (kind == "application/json" or kind.endswith("+json")) and not file.filename.endswith((*_JSONS, *_TEXTS))
    if page or message:
        raise _instead(file, "a web page" if page else "a message (JSON)", part)


def look_at_start(file: RemoteFile, chunks: Iterator[bytes], part: Path) -> Iterator[bytes]:
    """Look at the first bytes; refuse a page or a message that came instead of the file, or nothing."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= 2**16 or len(head.lstrip()) >= _SNIFFED:
            break
    if not head and file.size != 0:
        raise DownloadError(f"{file.url}: the server sent nothing, an empty file. {by_hand(part)}")
    name = file.filename.lower()
    if not name.endswith(_TEXTS):
        marks = codecs.BOM_UTF8 + codecs.BOM_UTF16
        start = bytes(head).replace(b"\0", b"").lstrip(marks + b" \t\r\n\v\f").lower()[:_SNIFFED]  # also of UTF-16
        if start.startswith(_PAGE_STARTS) and not name.endswith(_PAGES):
            raise _instead(file, "a web page", part)
        if _JSON_START.match(start) and not _CONTROL.search(start) and not name.endswith(_JSONS):
            raise _instead(file, "a message (JSON)", part)
    return chain([bytes(head)], chunks)


def _instead(file: RemoteFile, what: str, part: Path) -> DownloadError:
    return DownloadError(f"{file.url}: the server sent {what}, not {file.filename}. {by_hand(part)}")


def show_answer(text: object) -> str:
    """Show what a server says, in one short line."""
    line = " ".join((first_line(text) if isinstance(text, BaseException) else str(text)).split())
    return line if len(line) <= 200 and line.isprintable() else repr(line[:200])


def by_hand(part: Path) -> str:
    target = part.with_suffix("")
    return f"The address may have moved: open it in a browser, put the file at {target}, and call download() again"
