"""Every exception that reading a file can raise becomes an `AudioError` that names the file."""

import os
import struct

from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

AGAIN = "copy or download it again"
_FOREIGN = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, struct.error)


def printable(path: PathLike) -> str:
    r"""Write a path so that it can be printed: bytes that are no UTF-8 become ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class naming:
    """Turn what goes wrong with a file inside ``with naming(path):`` into an `AudioError` with its name.

    A class: it is entered for every file, and a generator would take twice as long.
    """

    __slots__ = ("_path",)

    def __init__(self, path: PathLike) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, AudioError):
            return
        name = printable(self._path)
        if isinstance(error, FileNotFoundError):
            raise AudioError(f"{name} does not exist; check how it is spelled, and the folder") from None
        if isinstance(error, IsADirectoryError):
            raise AudioError(f"{name} is a folder; expected an audio file") from None
        if isinstance(error, PermissionError):
            raise AudioError(f"{name} may not be read; change its permissions (chmod +r)") from None
        if isinstance(error, OSError):
            raise AudioError(f"{name} cannot be opened ({error.strerror or error}); check the path and the disk") from error
        if isinstance(error, MemoryError):
            raise AudioError(f"{name} does not fit into memory; read a part of it (start=, stop=), or block by block") from error
        if isinstance(error, _FOREIGN):  # soundfile's errors are RuntimeErrors
            raise AudioError(f"{name} cannot be decoded ({error}); the file is damaged: {AGAIN}") from error
