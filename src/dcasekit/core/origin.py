"""What a derived file was made of: told by size and times at once, by content where these are in doubt."""

import os
import zlib
from typing import NamedTuple

from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

_PIECE = 1 << 13  # bytes read at the beginning, in the middle and at the end


class Origin(NamedTuple):
    """A file as it was when something was made of it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    digest: str


def origin(path: PathLike) -> Origin:
    """Look at a file: its size and times, and a checksum of its beginning, middle and end.

    Raises
    ------
    AudioError : it is not there, or may not be read.
    """
    try:
        found = os.stat(path)
        return Origin(found.st_size, found.st_mtime_ns, found.st_ctime_ns, _digest(path, found.st_size))
    except OSError as error:
        raise AudioError(f"{path} cannot be read ({error.strerror}); check the folder, or download the dataset again") from error


def recognize(path: PathLike, known: Origin) -> Origin | None:
    """Return the origin as it is to be known from now on if the file is still that one, else ``None``.

    A file that was written to has another modification time. One that was moved or copied, or put in another's place with its times kept,
    has another change time, which nobody can set: then its content decides.
    """
    try:
        found = os.stat(path)
        if (found.st_size, found.st_mtime_ns) != (known.size, known.mtime_ns):
            return None
        if found.st_ctime_ns == known.ctime_ns:
            return known
        return known._replace(ctime_ns=found.st_ctime_ns) if _digest(path, found.st_size) == known.digest else None
    except OSError:  # reading it will say why
        return None


def _digest(path: PathLike, size: int) -> str:
    digest = 0
    with open(path, "rb", buffering=0) as file:  # each piece is one call of the system
        for start in (0, (size - _PIECE) // 2, size - _PIECE):
            file.seek(max(0, start))
            digest = zlib.crc32(file.read(_PIECE), digest)
    return f"{digest:08x}"
