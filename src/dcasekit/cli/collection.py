"""Answers for a collection of recordings, in a folder that is worked on until all are there, however often the work is killed.

The recordings are parted into shards, the work of one process each. A shard writes its rows below ``parts``, and after each recording a
line of its journal, which says how long the tables are by then; what a killed process wrote behind that is cut off. Shards are joined in
the order of the recordings, so the tables do not tell how often the work was interrupted, nor how many processes did it. What is joined
stands in ``journal.jsonl``, the one file that is read when the work goes on.
"""

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any

from dcasekit.cli.outputs import Outputs, header
from dcasekit.cli.recordings import Recording
from dcasekit.containers.base import ModelContainer, load
from dcasekit.containers.streaming import move, parts_of, score_files
from dcasekit.core.files import place, writing
from dcasekit.core.locks import lock
from dcasekit.errors import DcasekitError, StorageError
from dcasekit.scores import Scores

JOURNAL, PARTS, KIND = "journal.jsonl", "parts", "prediction"

Record = dict[str, Any]
# Bytes of recordings answered, of a shard.
Tell = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """How recordings are answered; it travels to the processes that do it.

    Parameters
    ----------
    out : folder of the answers.
    model, allow : see `dcasekit.load`.
    device : see `Training.device`; on any but ``"cpu"`` the windows of several recordings are answered together.
    outputs : what is written.
    """

    out: str
    model: str
    allow: tuple[str, ...] = ()
    device: str = "cpu"
    outputs: Outputs

    def load(self) -> ModelContainer:
        """Load the model, once per process."""
        return _load(self.model, self.allow, self.device)


@lru_cache(maxsize=1)
def _load(folder: str, allow: tuple[str, ...], device: str) -> ModelContainer:
    model = load(folder, allow=allow)
    move(model, device)
    return model


def shards(recordings: Sequence[Recording], *, most: int, size: int = 1 << 30) -> list[tuple[Recording, ...]]:
    """Part recordings into shards of at most so many, and of not much more than so many bytes."""
    found: list[tuple[Recording, ...]] = []
    first = total = 0
    for index, recording in enumerate(recordings):
        if index > first and (index - first >= most or total + recording.size > size):
            found.append(tuple(recordings[first:index]))
            first, total = index, 0
        total += recording.size
    return [*found, tuple(recordings[first:])] if recordings else []


def answer_shard(shard: Sequence[Recording], job: Job, tell: Tell | None = None) -> str:
    """Answer the recordings of a shard that have no answer yet; return the folder of what is written."""
    folder = Path(job.out, PARTS, _name(shard))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock(folder), ExitStack() as stack:
        journal = Journal(folder, job.outputs.tables)
        done = {record["file"] for record in journal.read()}
        left = [recording for recording in shard if recording.name not in done]
        if not left:
            return str(folder)
        tables = journal.open(stack)
        paths = [recording.name for recording in left]
        scored = score_files(job.load(), paths, together=job.device != "cpu")
        for number, group in itertools.groupby(scored, key=lambda found: found[0]):
            recording = left[number]
            try:
                parts = parts_of(found for _, found in group)
                record = job.outputs.write(recording.name, _told(parts, recording, tell), Path(job.out), tables)
            except StorageError:
                raise
            except DcasekitError as error:
                journal.cut(tables)
                record = {"error": str(error)}
            journal.add({"file": recording.name, "size": recording.size, "changed": recording.changed, **record}, tables)
            if tell is not None:
                tell(recording.size)
    return str(folder)


def _told(parts: Iterator[Scores], recording: Recording, tell: Tell | None) -> Iterator[Scores]:
    """Pass parts on; a long recording tells how far it is."""
    if tell is None:
        yield from parts
        return
    from dcasekit import audio

    told, duration = 0, 0.0
    for part in parts:
        duration = duration or audio.info(recording.name).duration
        yield part
        if (by_now := min(recording.size, round(recording.size * float(part.edges[-1]) / duration))) > told:
            tell(by_now - told)
            told = by_now
    tell(-told)


def _name(shard: Sequence[Recording]) -> str:
    return hashlib.sha256("\0".join(each.name for each in shard).encode("utf-8", "surrogateescape")).hexdigest()[:20]


class Journal:
    """The lines of ``journal.jsonl`` in a folder, and the tables beside it, each as long as the last line says.

    Parameters
    ----------
    folder : where they are.
    tables : names of their files.
    """

    def __init__(self, folder: Path, tables: Sequence[str]) -> None:
        self.folder, self._tables = folder, tables
        self._path = folder / JOURNAL
        self._ends = dict.fromkeys(tables, 0)
        self._size = 0  # bytes of the lines that count

    def read(self) -> list[Record]:
        """Read the records, up to the last that was written whole."""
        content = self._path.read_bytes() if self._path.exists() else b""
        records: list[Record] = []
        found: list[Record] = []
        position = 0
        for line in content.splitlines(keepends=True):
            position += len(line)
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                break
            ends = record.pop("ends", None)
            found += [record] if record else []
            if ends is not None:
                self._ends, self._size = ends, position
                records += found
                found = []
        return records

    @property
    def begun(self) -> bool:
        """Whether anything has been noted."""
        return self._size > 0

    def open(self, stack: ExitStack) -> dict[str, IO[bytes]]:
        """Open the tables to write on; what is behind the last record is cut off."""
        tables: dict[str, IO[bytes]] = {}
        for name in self._tables:
            path = self.folder / name
            with writing(path):
                tables[name] = stack.enter_context(path.open("r+b" if path.exists() else "w+b"))
        self.cut(tables)
        with writing(self._path):
            if self._path.exists():
                os.truncate(self._path, self._size)
        return tables

    def cut(self, tables: Mapping[str, IO[bytes]]) -> None:
        """Cut off of the tables what the last record does not know."""
        for name, table in tables.items():
            table.seek(self._ends[name])
            table.truncate()

    def add(self, record: Record | Sequence[Record], tables: Mapping[str, IO[bytes]]) -> None:
        """Note records whose rows are written."""
        records = [record] if isinstance(record, dict) else list(record)
        with writing(self._path):
            for table in tables.values():
                table.flush()
            self._ends = {name: table.tell() for name, table in tables.items()}
            lines = [*map(json.dumps, records[:-1]), json.dumps({**(records[-1] if records else {}), "ends": self._ends})]
            content = ("\n".join(lines) + "\n").encode()
            with self._path.open("ab") as file:
                file.write(content)
            self._size += len(content)


def answer(
    recordings: Sequence[Recording], job: Job, *, most: int, mapper: Callable[..., Iterable[str]] | None, tell: Tell
) -> list[Record]:
    """Answer all recordings that have no answer yet, and those that could not be answered again; return the records of all.

    Parameters
    ----------
    most : recordings of a shard.
    mapper : `dcasekit.core.parallel.map_clips` with its settings; ``None``: in this process.
    tell : is told how many more bytes of recordings are done.
    """
    out = Path(job.out)
    with lock(out), ExitStack() as stack:
        journal = Journal(out, job.outputs.tables)
        known = {record["file"]: record for record in journal.read()}
        tables = journal.open(stack)
        if not journal.begun:
            for name, table in tables.items():
                table.write(header(name))
            journal.add([], tables)
        good = {name for name, record in known.items() if "error" not in record}
        fresh = [each for each in recordings if each.name not in known]
        again = [each for each in recordings if each.name in known and each.name not in good]
        work = [*shards(fresh, most=most), *shards(again, most=most)]
        tell(sum(each.size for each in recordings if each.name in good))
        if mapper is None:
            folders: Iterable[str] = (answer_shard(shard, job, tell) for shard in work)
        else:
            folders = mapper(partial(answer_shard, job=job), work)
        for shard, folder in zip(work, folders, strict=True):
            known |= {record["file"]: record for record in _join(Path(folder), journal, tables)}
            if mapper is not None:
                tell(sum(each.size for each in shard))
        shutil.rmtree(out / PARTS, ignore_errors=True)
    return [known[each.name] for each in recordings]


def _join(folder: Path, journal: Journal, tables: Mapping[str, IO[bytes]]) -> list[Record]:
    """Put the rows of a shard behind those that are there; then its folder is not needed any more."""
    records = Journal(folder, list(tables)).read()
    for name, table in tables.items():
        with writing(journal.folder / name), (folder / name).open("rb") as file:
            shutil.copyfileobj(file, table)
    journal.add(records, tables)
    shutil.rmtree(folder, ignore_errors=True)
    return records


def claim(out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make a folder ours, or make sure that it holds answers of the same settings; return those it was begun with.

    Raises
    ------
    StorageError : it holds other things, or was begun with other settings; the message names them.
    """
    from dcasekit.core.files import is_ours, read_json, write_json

    if out.exists() and not is_ours(out, KIND) and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} holds files that dcasekit did not write there; give a new or an empty folder, --out")
    path = place(out, "run.json", kind=KIND)
    if not path.exists():
        write_json(path, settings)
        return dict(settings)
    before = read_json(path, error=StorageError)
    if differing := [name for name in settings if name != "shard" and before.get(name) != settings[name]]:
        told = ", ".join(f"{name} {before.get(name)} (now {settings[name]})" for name in differing)[:500]
        raise StorageError(f"{out} holds results of other settings: {told}; give the same ones to continue, or another --out")
    return dict(before)
