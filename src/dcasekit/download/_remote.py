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
    url : http or https address, percent-encoded.
    checksum : ``"md5:..."`` or ``"sha256:..."``, in lower-case hexadecimal digits; ``None``: whatever the server sends is accepted, with a
        warning in the log.
    name : file name on disk, at most 200 bytes; by default the last part of the address.
    size : in bytes, if known; if the server announces another size, nothing is written.
    unpack : unpack the file if it is an archive; other files are kept as they are.
    into : folder to unpack into, relative to the dataset's folder, e.g. ``"audio/train"``; by default the dataset's folder itself.

    Raises
    ------
    DownloadError : the address, checksum, name or folder is not of this form, or leads out of the dataset's folder.
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
    retries : how many failures in a row (broken connections, HTTP status 5xx or 429) are followed by another attempt, after waits of
        1, 2, 4 ... s. An attempt that brought new bytes starts the count anew, so that an unstable connection only costs time.
    timeout : seconds without any data after which a connection counts as broken.
    min_rate : bytes per second; a connection that is slower than this over a minute counts as a failure, even if it brought new bytes.
    total : seconds that one file may take, with all attempts and waits; default: three days.
    max_bytes : the largest size of a file whose size is not recorded; default: 256 GiB.

    Raises
    ------
    DownloadError : a limit is negative, or is 0 where it must be above 0.
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
