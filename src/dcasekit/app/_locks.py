"""Locks that say who lives: held by a process, and by a child that it is handed to, as long as it runs, however it ends."""

import os
import time
from pathlib import Path


def hold(path: Path, *, tries: int = 1) -> int | None:
    """Lock a file for as long as this process, or a child that inherits the file descriptor, has it open.

    Returns
    -------
    int : the file descriptor; ``None``: another process holds the lock, after `tries` attempts.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
    for left in reversed(range(tries)):
        if _take(handle):
            return handle
        time.sleep(0.05 * bool(left))  # another may just be asking whether it is held
    os.close(handle)
    return None


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock of a file."""
    if not path.exists() or (handle := hold(path)) is None:
        return path.exists()
    os.close(handle)
    return False


def _take(handle: int) -> bool:
    try:
        if os.name == "nt":  # pragma: no cover
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
