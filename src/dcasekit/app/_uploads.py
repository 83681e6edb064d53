"""Recordings that browsers send: written while they come, decoded in a process of their own, deleted when the session ends."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dcasekit.app._decode import SECONDS
from dcasekit.app._site import Site
from dcasekit.core.files import write_json
from dcasekit.core.tables import visible
from dcasekit.core.units import Seconds
from dcasekit.errors import AudioError

IDLE: Seconds = 1800.0  # after which a session has ended; an open page asks every few minutes
_BLOCK = 1 << 20
_NAME = 120  # characters of a file's name that are shown


class TooLargeError(AudioError):
    """An upload exceeds a limit."""


@dataclass(frozen=True)
class Limits:
    """Limits of uploads.

    Parameters
    ----------
    file : largest size of a file, in bytes.
    session : largest size of all files of a session together, in bytes.
    files : largest number of files of a session.
    at_once : number of files that are decoded at the same time; others wait.
    """

    file: int = 512 << 20
    session: int = 2 << 30
    files: int = 100
    at_once: int = 2


class Inbox:
    """Receives uploads."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self._site, self._limits = site, limits
        self._decoding = threading.BoundedSemaphore(limits.at_once)

    def receive(self, session: str, stream: IO[bytes], name: str) -> str:
        """Store and decode an uploaded file; return the name of its clip.

        Parameters
        ----------
        session : the session that sent it.
        stream : content of the file.
        name : name of the file.

        Raises
        ------
        TooLargeError : the file, or all files of the session together, exceed a limit.
        AudioError : the file is not audio, or takes too long to decode.
        """
        folder = self._site.folder_of(session)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        clip = secrets.token_hex(8)
        part, made = folder / f"{clip}.part", folder / f"{clip}.wav"
        try:
            self._write(stream, part, folder)
            with self._decoding:
                facts = _decode(part, made)
            shown = visible(os.path.basename(name.replace("\\", "/")))[:_NAME] or "recording"
            write_json(folder / f"{clip}.json", {**facts, "name": shown})
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        finally:
            part.unlink(missing_ok=True)
        return clip

    def delete(self, session: str, clip: str) -> None:
        """Delete a clip that a session uploaded."""
        if clip in self._site.uploads(session):
            for kind in ("json", "wav"):
                (self._site.folder_of(session) / f"{clip}.{kind}").unlink(missing_ok=True)

    def _write(self, stream: IO[bytes], path: Path, folder: Path) -> None:
        files = [each.stat().st_size for each in folder.iterdir()]
        room = min(self._limits.file, self._limits.session - sum(files))
        if len(files) >= 2 * self._limits.files:
            raise TooLargeError("too many recordings were sent; delete some")
        with path.open("xb") as file:
            while block := stream.read(_BLOCK):
                room -= len(block)
                if room < 0:
                    raise TooLargeError(
                        f"a recording may have {self._limits.file >> 20} MiB, all together {self._limits.session >> 20} MiB"
                    )
                file.write(block)


def _size(folder: Path) -> int:
    """Add up the files of a folder; one that goes meanwhile counts nothing."""
    total = 0
    for each in folder.iterdir():
        with suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def _decode(source: Path, target: Path) -> dict[str, float]:
    few = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads take address space
    command = [sys.executable, "-m", "dcasekit.app._decode", str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, env=few, timeout=3 * SECONDS, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
        if done.returncode == 0:
            return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise AudioError("this recording takes too long to decode") from None
    told = done.stderr.decode("utf-8", "replace").strip().replace(str(source), "the file")
    known = done.returncode == 1 and "Traceback" not in told
    raise AudioError(visible(told)[:300] if known else "this recording cannot be decoded")


def sweep(site: Site, *, idle: Seconds = IDLE) -> None:
    """Delete the uploads of sessions that were not active for `idle` seconds."""
    with suppress(OSError):
        for folder in site.scratch.iterdir():
            if folder.name != "audio" and time.time() - folder.stat().st_mtime > idle:
                shutil.rmtree(folder, ignore_errors=True)


def keep(site: Site, session: str) -> None:
    """Note that a session is active."""
    with suppress(OSError):
        os.utime(site.folder_of(session))
