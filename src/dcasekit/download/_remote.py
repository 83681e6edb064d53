"""What is fetched, within which limits, and the small JSON files that tell of it."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dcasekit.core.files import read_json, unsafe
from dcasekit.core.units import Seconds
from dcasekit.errors import DownloadError

logger = logging.getLogger("dcasekit.download")

_LONGEST_NAME = 200  # bytes; beside a file lie others with longer names
_MOST_STATE = 2**22  # bytes


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to fetch.

    Parameters
    ----------
    url : http or https address.
    checksum : ``"md5:..."`` or ``"sha256:..."``; ``None``: whatever the server sends is taken, and the log says so.
    name : file name on disk; by default the last part of the address.
    size : bytes, if known; a server that sends another number is refused before the file is written.
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
        name = self.filename
        if unsafe(name) or not re.fullmatch(r"[^./:][^/:]*", name) or len(name.encode()) > _LONGEST_NAME:
            raise DownloadError(f"{self.url}: cannot store it as {name!r}; give a plain file name of at most 200 bytes as name=...")
        if self.into and (why := unsafe(self.into)):
            raise DownloadError(f"{self.url}: cannot unpack into {self.into!r}: {why}; give a folder below the dataset's")

    @property
    def filename(self) -> str:
        """Name of the file on disk."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a download is given up. What has arrived is kept, and the next call continues from there.

    Parameters
    ----------
    retries : failures in a row that are tried again (broken connections, answers 5xx and 429), with waits of 1, 2, 4 ... s;
        an attempt that brought new bytes starts the count anew, so a bad line only costs time.
    timeout : seconds without any byte after which a connection counts as broken.
    min_rate : bytes per second; a connection that brings fewer over a minute counts as broken, and as a failure, new bytes or not.
    total : seconds that one file may take, with all attempts and waits; default three days.
    max_bytes : most bytes of a file whose size is not recorded; default 256 GiB.
    """

    retries: int = 5
    timeout: Seconds = 30.0
    min_rate: float = 1024.0
    total: Seconds = 3 * 86400.0
    max_bytes: int = 2**38

    def __post_init__(self) -> None:
        if not (self.retries >= 0 and self.timeout > 0 and self.min_rate >= 0 and self.total > 0 and self.max_bytes > 0):
            raise DownloadError(f"timeout, total and max_bytes must be above 0, retries and min_rate not below; got {self}")


def read_state(path: Path) -> dict[str, Any]:
    """Read a marker or a state file; one that is missing, damaged, or not of ours says nothing."""
    try:
        content = read_json(path, error=DownloadError) if path.is_file() and path.stat().st_size <= _MOST_STATE else {}
    except (DownloadError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def read_known(path: Path) -> dict[str, dict[str, Any]]:
    """Read which files a marker or a state file tells of."""
    files = read_state(path).get("files")
    return {name: facts for name, facts in files.items() if isinstance(facts, dict)} if isinstance(files, dict) else {}
