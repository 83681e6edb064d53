"""Raven's selection tables, of one sound, of a sequence of files, or of several recordings put together.

Source: the Raven Pro manual, "Selection tables" and "File measurements": ``Begin Time (s)`` counts from the beginning of all files that are
open, ``File Offset (s)`` from the beginning of ``Begin File``. BirdNET writes such tables as well.
"""

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dcasekit.annotations.formats._table import find_by_header, normalise, read_event_rows
from dcasekit.annotations.formats.base import Row, format_seconds, read_lines, refuse_lossy
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import parse_number
from dcasekit.core.files import Rows, write_text
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

ENDING = ".selections.txt"
SUFFIXES = (".txt", ".tsv")

_HEADER = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Annotation")
# Raven opens no table that goes beyond half the sampling rate, which is not known here: half of the lowest rate in use. Other readers
# (crowsetta) want decimals.
_BOX = ("0.0", "4000.0")


def recognise(first: Sequence[str]) -> int:
    """Take a table with Raven's columns of times."""
    return 2 * ({"begin_time", "end_time"} <= set(map(normalise, first)))


def read(path: PathLike, *, several: bool = False) -> list[Row]:
    """Read one event per selection: Raven writes one row for each view (waveform, spectrogram) it is seen in.

    A file is called as in ``Begin File``, or by as much of its ``Begin Path`` as tells it from the others.
    """
    table = Rows([(line, text.split("\t")) for line, text in read_lines(path)] or [(1, [""])])
    (_, header), *cells = table
    at = {name: index for index, name in reversed(list(enumerate(map(normalise, header))))}
    columns = find_by_header(path, table, several=False)
    columns = replace(columns, file=at.get("begin_path", at.get("begin_file", columns.file)))
    rows = _shorten_names(list(read_event_rows(path, columns, Rows(cells, "\t"), ", ".join(header)[:300])))
    if "file_offset" in at:
        offsets = [_cell(row, at["file_offset"]) for _, row in cells]
        lines = (line for line, _ in cells)
        rows = [_count_from_file(path, line, row, offset) for line, row, offset in zip(lines, rows, offsets, strict=True)]
    else:
        _refuse_a_sequence(path, rows)
    at_selection = at.get("selection")
    selections = [] if at_selection is None else [_cell(row, at_selection) for _, row in cells]
    if len(selections) == len(set(selections)):
        return rows
    found: dict[tuple[str, str, Event | None], Row] = {}
    for selection, row in zip(selections, rows, strict=True):
        found.setdefault((selection, row.file, row.event), row)
    return list(found.values())


def _cell(row: Sequence[str], index: int) -> str:
    return row[index].strip() if index < len(row) else ""


def _count_from_file(path: PathLike, line: int, row: Row, offset: str) -> Row:
    """Count the times of a selection from the beginning of its file."""
    if row.event is None:
        return row
    try:
        onset = parse_number(offset)
        # The sum is not the decimal number that Raven showed: 0.1 + 0.2 ends at 0.3.
        event = replace(row.event, onset=onset, offset=round(onset + row.event.offset - row.event.onset, 9))
    except ValueError as error:
        raise AnnotationError(
            f"{path}, line {line}: {error}; expected seconds in the column 'File Offset (s)'; correct the file"
        ) from error
    return row._replace(event=event)


def _refuse_a_sequence(path: PathLike, rows: Sequence[Row]) -> None:
    """Refuse times that may count from the beginning of all files; those of files that overlap can only count from their own."""
    if len({row.file for row in rows}) < 2:
        return
    onsets: dict[str, list[Seconds]] = defaultdict(list)
    for row in rows:
        if row.event is not None:
            onsets[row.file].append(row.event.onset)
    spans = sorted((min(times), max(times)) for times in onsets.values())
    if len(spans) > 1 and all(before[1] <= after[0] for before, after in itertools.pairwise(spans)):
        raise AnnotationError(
            f"{path} has selections of {len(spans)} files and no column 'File Offset (s)', so their times may count from the "
            "beginning of the first; add this measurement to the table in Raven, or save a table per file"
        )


def _shorten_names(rows: list[Row]) -> list[Row]:
    """Call files by the ends of their absolute paths, as long as needed to tell them apart."""
    files = {row.file for row in rows}
    if files <= {""}:
        return rows
    names = {file: file.replace("\\", "/") for file in files}
    parts = {file: name.split("/") for file, name in names.items() if name.startswith("/") or name[1:3] == ":/"}
    twice = max(Counter(part[-1] for part in parts.values()).values(), default=1) > 1
    common = len(os.path.commonprefix([part[:-1] for part in parts.values()]))
    names |= {file: "/".join(part[common:]) if twice else part[-1] for file, part in parts.items()}
    return [row._replace(file=names[row.file]) for row in rows] if any(name != file for file, name in names.items()) else rows


def write(path: PathLike, events: Sequence[Event], duration: Seconds | None) -> Path:
    """Write a selection table, with a column ``Score`` if any weight is not 1. Raven knows no quotation marks around a cell."""
    refuse_lossy(path, (event.label for event in events), forbidden="\t\r\n")
    soft = any(event.weight != 1 for event in events)
    table = [(*_HEADER, *(("Score",) if soft else ()))]
    for index, event in enumerate(events, 1):
        times = (format_seconds(event.onset), format_seconds(event.offset))
        score = (repr(float(event.weight)),) if soft else ()
        table.append((str(index), "Spectrogram 1", "1", *times, *_BOX, event.label, *score))
    return write_text(path, "".join("\t".join(row) + "\n" for row in table))
