"""Runs that the page starts: processes of the command line, which outlive page and server.

A run's folder below that of all runs is the command's own. What the application needs to know lies in ``.app/jobs`` beside it: the command
(``NAME.json``), what it says (``NAME.log``), and a lock that the process holds as long as it lives (``NAME.lock``), so that a server that
was started later, or after a crash, knows what runs.
"""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dcasekit.app._locks import hold, is_held
from dcasekit.containers.saving import read_history
from dcasekit.core.files import read_json, write_json
from dcasekit.core.units import Seconds
from dcasekit.errors import StorageError

State = Literal["running", "finished", "stopped", "failed", "unfinished"]

_NAME = re.compile(r"\w[\w.\-]{0,79}(?![\s\S])", re.ASCII)
_FILES = ".app/jobs"
# Where recipes keep the checkpoints of their networks, of one run and of several seeds.
_CHECKPOINTS = [
    f"{run}{place}"
    for run in ("", "seed*/")
    for place in ("checkpoint", "checkpoints", "checkpoints/*", "checkpoints/*/*", "networks/*/checkpoint")
]
_LAST = 4000  # bytes of what a command said last


@dataclass(frozen=True)
class Job:
    """A run that the application started, or found in the folder of runs.

    Parameters
    ----------
    runs : folder of all runs.
    name : name of the run's folder there.
    """

    runs: Path
    name: str

    @property
    def folder(self) -> Path:
        """Folder that the run writes to."""
        return self.runs / self.name

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is stored about the run's command; empty if the application did not start the run."""
        path = self._file("json")
        return dict(read_json(path, error=StorageError)) if path.exists() else {}

    @property
    def about(self) -> str:
        """Text that names model and data of the run; empty if they are unknown."""
        if "about" in self.facts:
            return str(self.facts["about"])
        try:
            run = read_json(self.folder / "run.json", error=StorageError)
            model = run["model"]["class"] if "model" in run else run.get("recipe", "")
            return " on ".join(str(each) for each in (model, run.get("dataset")) if each)
        except (StorageError, LookupError, TypeError, AttributeError):  # not the settings of a run
            return ""

    @property
    def state(self) -> State:
        """State of the run."""
        if self._is_alive():
            return "running"
        facts = self.facts
        report = self.folder / "report.json"
        if report.exists() and report.stat().st_mtime >= facts.get("started", 0):
            return "finished"
        return "unfinished" if not facts else "stopped" if facts.get("stopped") else "failed"

    @property
    def said(self) -> str:
        """The end of the command's output."""
        with suppress(OSError), self._file("log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST))
            return file.read().decode("utf-8", "replace").strip()
        return ""

    def histories(self) -> dict[str, list[dict[str, float]]]:
        """Read the histories of training: fold -> one record per epoch; the fold of a run without folds is ``""``.

        Of a recipe they are those in the checkpoints of its networks: part of the run -> one record per epoch.
        """
        found = {}
        for path in sorted([*self.folder.glob("history.csv"), *self.folder.glob("*/history.csv")]):
            with suppress(OSError, ValueError), path.open(encoding="utf-8", newline="") as file:
                rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
                found["" if path.parent == self.folder else path.parent.name] = rows
        if not found:
            for path in sorted(file for place in _CHECKPOINTS for file in self.folder.glob(f"{place}/checkpoint.safetensors")):
                if rows := read_history(path):
                    found[path.parent.relative_to(self.folder).as_posix()] = rows
        return found

    def start(self) -> None:
        """Start the command; if it was started before, it continues where it stopped.

        Raises
        ------
        StorageError : the run is already running.
        """
        if (handle := hold(self._file("lock"), tries=5)) is None:
            raise StorageError(f"the run {self.name} is already running")
        try:
            facts = dict(self.facts)
            with self._file("log").open("ab") as log:
                child = subprocess.Popen(  # noqa: S603 - a list of words, put together of known settings
                    [sys.executable, "-m", "dcasekit", *facts["command"]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[handle],
                )
            write_json(self._file("json"), {**facts, "pid": child.pid, "started": time.time(), "stopped": False})
        finally:
            os.close(handle)  # the child has its own
        _reap(child)

    def stop(self) -> None:
        """End the process; the checkpoint of the last finished epoch is kept."""
        if self._is_alive():
            facts = self.facts
            write_json(self._file("json"), {**facts, "stopped": True})
            with suppress(ProcessLookupError):
                os.killpg(int(facts["pid"]), signal.SIGTERM)

    def left(self, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Seconds | None:
        """Estimate the seconds until the last epoch ends by what `histories` returned; ``None``: this is not known yet."""
        facts = self.facts
        rows = [row for history in histories.values() for row in history]
        if not rows or "epochs" not in facts:
            return None
        done, each = len(rows), sum(row.get("seconds", 0.0) for row in rows) / len(rows)
        return max(0, int(facts["epochs"]) * int(facts.get("rounds", 1)) - done) * each

    def _is_alive(self) -> bool:
        return is_held(self._file("lock"))

    def _file(self, kind: str) -> Path:
        return self.runs / _FILES / f"{self.name}.{kind}"


def find(runs: Path, name: str) -> Job:
    """Return the run with a name.

    Raises
    ------
    StorageError : there is no such run.
    """
    job = Job(runs, name)
    if not _NAME.match(name) or not (job.facts or job.folder.is_dir()):
        raise StorageError("there is no such run")
    return job


def every(runs: Path) -> list[Job]:
    """List the runs, the newest first."""
    files = {path.stem: path.stat().st_mtime for path in runs.glob(f"{_FILES}/*.json")}
    for mark in ("run.json", "report.json"):
        for path in runs.glob(f"[!.]*/{mark}"):
            files[path.parent.name] = max(files.get(path.parent.name, 0.0), path.stat().st_mtime)
    return [Job(runs, name) for name in sorted(files, key=lambda name: -files[name]) if _NAME.match(name)]


def new(runs: Path, name: str, command: Sequence[str], *, most: int, **facts: Any) -> Job:
    """Start a new run.

    Parameters
    ----------
    runs : folder of all runs.
    name : name of the run; a number is added if there is a run with this name.
    command : words of the command line, to which ``--out`` is added.
    most : largest number of runs at the same time.
    facts : JSON values to store with the command.

    Raises
    ------
    StorageError : the name cannot be that of a folder, or too many runs are running.
    """
    if not _NAME.match(name):
        raise StorageError("a name has letters, digits, '-', '_' and '.', at most 80")
    if sum(job.state == "running" for job in every(runs)) >= most:
        raise StorageError(f"{most} runs are active; stop one, or wait for it")
    (runs / _FILES).mkdir(parents=True, exist_ok=True)
    job = next(job for job in (Job(runs, each) for each in _names(name)) if _claim(job))
    write_json(runs / _FILES / f"{job.name}.json", {**facts, "command": [*command, "--out", str(job.folder.absolute())], "name": job.name})
    job.start()
    return job


def _names(name: str) -> Iterator[str]:
    yield name
    for number in range(2, 10_000):
        yield f"{name}-{number}"


def _claim(job: Job) -> bool:
    """Take a name that no run has, once."""
    if job.folder.exists():
        return False
    try:
        with open(job.runs / _FILES / f"{job.name}.lock", "x", encoding="utf-8"):
            return True
    except FileExistsError:
        return False


def _reap(child: "subprocess.Popen[bytes]") -> None:
    """Wait for a child in a thread that ends with the server, so that no dead process is left behind."""
    import threading

    threading.Thread(target=child.wait, daemon=True).start()
