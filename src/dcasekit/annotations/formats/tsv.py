"""Tables with tabs or commas between the cells: the lists of the DCASE challenges since 2016, and what spreadsheets write.

Source: the task descriptions of dcase.community and the data themselves; a cell is quoted as in RFC 4180.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dcasekit.annotations.formats._table import find_by_header, find_by_numbers, find_columns, read_event_rows
from dcasekit.annotations.formats.base import Row, format_seconds, is_number, refuse_lossy
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import shorten
from dcasekit.core.files import Rows, read_rows, write_rows
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

ENDING = ".tsv"
SUFFIXES = (".tsv", ".csv", ".txt", ".ann", ".lab")


def recognise(first: Sequence[str]) -> int:
    """Take every table that no other format claims."""
    return 1


def read(path: PathLike, *, several: bool = False) -> Iterator[Row]:
    """Read a table with a header in any order, or without one: ``onset offset label [weight]``, ``file [scene] onset offset label ...``."""
    rows = read_rows(path, error=AnnotationError)
    line, header = rows[0] if rows else (1, [])
    if "onset" in find_columns(header) and not any(map(is_number, header)):
        at, rows = find_by_header(path, rows, several=several), Rows(rows[1:], rows.delimiter)
    else:
        at = find_by_numbers(path, rows, several=several)
        if several and rows and all(len(row) == 1 for _, row in rows):
            raise AnnotationError(
                f"{path}, line {line}: got 1 fields: {shorten(header)}; a column of names is not a list of events; if nothing "
                "sounds in these recordings, add the header 'filename onset offset event_label'"
            )
    expected = "filename onset offset event_label" if several else "onset offset label, or onset offset label weight"
    return read_event_rows(path, at, rows, expected)


def write(path: PathLike, events: Sequence[Event], duration: Seconds | None) -> Path:
    """Write ``onset offset event_label``, and a column ``weight`` if any is not 1."""
    refuse_lossy(path, (event.label for event in events))
    soft = any(event.weight != 1 for event in events)
    rows = (write_cells(event, soft=soft) for event in events)
    return write_rows(path, [("onset", "offset", "event_label", *(("weight",) if soft else ())), *rows])


def write_cells(event: Event, *, soft: bool) -> tuple[str, ...]:
    """Write an event as cells: onset, offset, label and, if `soft`, weight."""
    weight = (repr(float(event.weight)),) if soft else ()
    return (format_seconds(event.onset), format_seconds(event.offset), event.label, *weight)
