"""Keep two processes from finishing the same folder at once; the lock dies with the process that holds it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcasekit.core.files import writing
from dcasekit.core.units import PathLike
from dcasekit.errors import StorageError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@contextmanager
def lock(folder: PathLike, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder's lock: many may share it, or one has it alone. It ends with the process that holds it.

    Raises
    ------
    StorageError : the folder cannot be written to, or its file system knows no locks.
    """
    path = Path(folder, ".lock")
    with writing(path):
        # A link there might lead to a file of the user's.
        how = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(path, how, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, how, 0o666)
    try:
        _lock(handle, path, shared=shared)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path, *, shared: bool) -> None:
    if os.name == "nt":  # pragma: no cover - Windows knows no shared lock here: workers take none
        import msvcrt

        if not shared:
            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise StorageError(
            f"{path} cannot be locked, its file system knows no locks ({error.strerror}); "
            "put the folder on a local disk (derived data: cache=, --cache)"
        ) from error
