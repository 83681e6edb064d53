"""Every exception that reading a file can raise becomes an `AudioError` that names the file."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

AGAIN = "copy or download it again"
_FOREIGN = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, struct.error)


def printable(path: PathLike) -> str:
    r"""Write a path so that it can be printed: bytes that are no UTF-8 become ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Turn what goes wrong with the file into an `AudioError` with its name."""
    try:
        yield
    except AudioError:
        raise
    except FileNotFoundError:
        raise AudioError(f"{printable(path)} does not exist; check how it is spelled, and the folder") from None
    except IsADirectoryError:
        raise AudioError(f"{printable(path)} is a folder; expected an audio file") from None
    except PermissionError:
        raise AudioError(f"{printable(path)} may not be read; change its permissions (chmod +r)") from None
    except OSError as error:
        raise AudioError(f"{printable(path)} cannot be opened ({error.strerror or error}); check the path and the disk") from error
    except MemoryError as error:
        raise AudioError(f"{printable(path)} does not fit into memory; read a part of it (start=, stop=), or block by block") from error
    except _FOREIGN as error:  # soundfile's errors are RuntimeErrors
        raise AudioError(f"{printable(path)} cannot be decoded ({error}); the file is damaged: {AGAIN}") from error
