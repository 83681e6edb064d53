"""What is written of the answers for a recording: rows of tables that all recordings share, and files of its own."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from dcasekit.annotations import EVENT_COLUMNS, Event, annotation_formats, write_annotation
from dcasekit.core.files import format_rows, inside, replacing, safe_name
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.scores import Scores
from dcasekit.scores.running import Finding, RunningOverview, RunningPool, watched

# Kind -> file and columns.
TABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "events": ("events.tsv", (*EVENT_COLUMNS, "score")),
    "labels": ("labels.tsv", ("filename", "label", "score")),
    "windows": ("windows.csv", ("file", "start", "end", "label", "score")),
}
SCORES, PARQUET = "scores", "parquet"
PICTURES = ("png", "svg")


def kinds() -> tuple[str, ...]:
    """Name all that can be written: tables of all recordings, annotations, scores and pictures of each, and the tables as Parquet."""
    return (*TABLES, *(name for name in annotation_formats() if name != "tsv"), SCORES, *PICTURES, PARQUET)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is written.

    Parameters
    ----------
    kinds : of `kinds`.
    finding : of events.
    top : labels of a recording in ``labels.tsv``.
    how : a label's score of a whole recording, see `dcasekit.scores.pool`.
    step : frames of a row of ``windows.csv``, where a network answers frames.
    frame : seconds of a frame.
    """

    kinds: Sequence[str]
    finding: Finding = Finding()
    top: int = 3
    how: Any = "mean"
    step: int = 1
    frame: Seconds = 0.0

    @property
    def tables(self) -> list[str]:
        """The files of the tables."""
        return [TABLES[kind][0] for kind in self.kinds if kind in TABLES]

    def write(self, name: str, parts: Iterator[Scores], folder: Path, tables: Mapping[str, IO[bytes]]) -> dict[str, Any]:
        """Write all there is about a recording, as its scores come; return what a summary tells of it.

        Parameters
        ----------
        name : of the recording.
        parts : of its scores.
        folder : for the files of its own.
        tables : file of a table -> where its rows go.
        """
        pool, length, events = RunningPool(self.how), _Length(), _Events()
        own = safe_name(name)
        with ExitStack() as stack:
            watchers: list[Any] = [pool, length]
            if "windows" in self.kinds:
                watchers.append(_Windows(name, tables[TABLES["windows"][0]], self.step, self.frame))
            if SCORES in self.kinds:
                path = stack.enter_context(replacing(inside(folder, f"{SCORES}/{own}.tsv")))
                watchers.append(_ScoreRows(stack.enter_context(path.open("w", encoding="utf-8"))))
            overview = RunningOverview()
            pictures = [kind for kind in self.kinds if kind in PICTURES]
            watchers += [overview] if pictures else []
            listed = annotation_formats()
            chosen = [kind for kind in self.kinds if kind in listed]
            for event in self.finding.find(watched(parts, watchers)):
                events.add(event)
                if "events" in self.kinds:
                    tables[TABLES["events"][0]].write(_rows([(name, *event_cells(event))]))
                if chosen or pictures:
                    events.kept.append(replace(event, weight=max(round(event.weight, 4), 1e-4)))  # as in the table
            for watcher in watchers:
                if hasattr(watcher, "finish"):
                    watcher.finish()
        if "events" in self.kinds and not events.count:
            tables[TABLES["events"][0]].write(_rows([(name, "", "", "", "")]))
        best = pool.top(self.top)
        if "labels" in self.kinds:
            tables[TABLES["labels"][0]].write(_rows([(name, label, f"{score:.4f}") for label, score in best]))
        for kind in chosen:
            write_annotation(inside(folder, f"{kind}/{own}{listed[kind]}"), events.kept, format=kind, duration=length.seconds)
        for kind in pictures:
            _draw(name, overview.scores(), events.kept, inside(folder, f"plots/{own}.{kind}"))
        return {"seconds": length.seconds, "events": events.count, "label": best[0][0]}


def _draw(name: str, scores: Scores, events: Sequence[Event], path: Path) -> None:
    from dcasekit.plots import recording

    with replacing(path) as temporary:
        recording(name, scores, events=events).savefig(temporary, format=path.suffix[1:], dpi=100)


def event_cells(event: Event) -> tuple[str, str, str, str]:
    """Write an event as cells of a table: onset, offset, label, score."""
    return (seconds(event.onset), seconds(event.offset), event.label, f"{event.weight:.4f}")


def seconds(time: float) -> str:
    """Write a time to the microsecond."""
    return str(np.format_float_positional(time, precision=6, trim="-"))


def header(table: str) -> bytes:
    """Return the first line of a table."""
    [columns] = [columns for file, columns in TABLES.values() if file == table]
    return _comma_separated([columns]) if table.endswith(".csv") else _rows([columns])


def _rows(rows: Sequence[Sequence[str]]) -> bytes:
    return format_rows(rows).encode("utf-8", "surrogateescape")


def _comma_separated(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


@dataclass
class _Events:
    """How many events of each label there are, and for how long they sound; `kept` are the events themselves."""

    count: dict[str, tuple[int, Seconds]] = field(default_factory=dict)
    kept: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count an event, and how long it lasts."""
        number, lasting = self.count.get(event.label, (0, 0.0))
        self.count[event.label] = number + 1, round(lasting + event.offset - event.onset, 6)


class _Length:
    seconds: Seconds = 0.0

    def add(self, scores: Scores) -> None:
        """Take the end of the scores as the recording's, so far."""
        self.seconds = float(scores.edges[-1])


class _Windows:
    """A row for each window: the label of the highest score; of frames, the highest in as many as lie from window to window."""

    def __init__(self, name: str, file: IO[bytes], step: int, frame: Seconds) -> None:
        self._name, self._file, self._step, self._frame = name, file, step, frame
        self._frames: list[Scores] = []
        self._framed: bool | None = None

    def add(self, scores: Scores) -> None:
        """Write the windows that are whole now."""
        if self._framed is None:
            self._framed = self._step > 1 and abs(float(np.diff(scores.edges[:2])[0]) - self._frame) < self._frame / 2
        if not self._framed:
            self._write(scores.values, scores.edges, scores.labels)
            return
        self._frames.append(scores)
        if (whole := sum(len(part.values) for part in self._frames) // self._step * self._step) > 0:
            values, edges = self._joined()
            rest = Scores(values[whole:], edges[whole:], scores.labels) if len(values) > whole else None
            self._write_steps(values[:whole], edges[: whole + 1], scores.labels)
            self._frames = [] if rest is None else [rest]

    def finish(self) -> None:
        """Write what is left, less than a step."""
        if self._frames:
            self._write_steps(*self._joined(), self._frames[0].labels)

    def _joined(self) -> tuple[FloatArray, Any]:
        edges = [self._frames[0].edges[:1], *(part.edges[1:] for part in self._frames)]
        return np.concatenate([part.values for part in self._frames]), np.concatenate(edges)

    def _write_steps(self, values: FloatArray, edges: Any, labels: Sequence[str]) -> None:
        first = np.arange(0, len(values), self._step)
        self._write(np.maximum.reduceat(values, first), edges[[*first, len(values)]], labels)

    def _write(self, values: FloatArray, edges: Any, labels: Sequence[str]) -> None:
        times, best = [seconds(edge) for edge in edges], values.argmax(axis=1)
        rows = zip(times, times[1:], best.tolist(), values.max(axis=1).tolist(), strict=False)
        self._file.write(_comma_separated([(self._name, start, end, labels[k], f"{score:.4f}") for start, end, k, score in rows]))


class _ScoreRows:
    """Write scores as `dcasekit.scores.write_scores` does, part by part."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._begun = file, False

    def add(self, scores: Scores) -> None:
        """Write a row for each of the scores."""
        if not self._begun:
            self._file.write(format_rows([("onset", "offset", *scores.labels)]))
            self._begun = True
        grid = [np.format_float_positional(edge, trim="-") for edge in scores.edges]
        for start, end, row in zip(grid, grid[1:], scores.values, strict=False):
            self._file.write("\t".join([start, end, *(np.format_float_positional(value, trim="-") for value in row)]) + "\n")

    def finish(self) -> None:
        """Hand over all rows before the file gets its name."""
        self._file.flush()
