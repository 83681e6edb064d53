"""ELAN's tab-delimited text: a tier for each label, times in seconds, as ELAN writes it and imports it again.

Source: the ELAN manual, "Exporting a document as a tab-delimited text file" and "Importing a CSV / tab-delimited text document": the
columns are named in a header, and chosen by it when the file is imported; times are ``ss.msec``. Annotations of a tier cannot overlap, so
each label has one. A column ``Score`` holds the weights where any is not 1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dcasekit.annotations.formats.base import Row, format_seconds, read_text, refuse_lossy
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import parse_number, parse_span, shorten
from dcasekit.core.files import write_text
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

ENDING = ".elan.txt"
SUFFIXES = (".txt", ".tsv", ".csv")

_ONSET, _OFFSET = "Begin Time - ss.msec", "End Time - ss.msec"
_HEADER = ("Tier", _ONSET, _OFFSET, "Duration - ss.msec", "Annotation")


def recognise(first: Sequence[str]) -> int:
    """Take a table with ELAN's columns of times in seconds."""
    return 2 * ({_ONSET, _OFFSET} <= set(map(str.strip, first)))


def read(path: PathLike, *, several: bool = False) -> Iterator[Row]:
    """Read a table with ELAN's header: the label is the annotation's text, of an empty one the name of its tier."""
    lines = [(line, text) for line, text in enumerate(read_text(path).split("\n"), 1) if text.strip()]
    (line, header), *rows = lines or [(1, "")]
    names = [cell.strip() for cell in header.split("\t")]
    if missing := [name for name in (_ONSET, _OFFSET) if name not in names]:
        raise AnnotationError(f"{path}, line {line}: no column {missing[0]!r}; export it from ELAN with times as ss.msec, and a header")
    for line, text in rows:
        cells = dict(zip(names, map(str.strip, text.split("\t")), strict=False))
        try:
            weight = parse_number(cells["Score"]) if cells.get("Score") else 1.0
            label = cells.get("Annotation") or cells.get("Tier") or ""
            yield Row(Event(*parse_span(cells[_ONSET], cells[_OFFSET]), label, weight))
        except (KeyError, ValueError) as error:
            raise AnnotationError(f"{path}, line {line}: {error}; expected {', '.join(names)[:300]}; got {shorten(text)}") from error


def write(path: PathLike, events: Sequence[Event], duration: Seconds | None) -> Path:
    """Write a table with ELAN's header. ELAN knows no quotation marks around a cell."""
    refuse_lossy(path, (event.label for event in events), forbidden="\t\r\n")
    soft = any(event.weight != 1 for event in events)
    table = [(*_HEADER, *(("Score",) if soft else ()))]
    for event in events:
        times = [format_seconds(time) for time in (event.onset, event.offset, event.offset - event.onset)]
        table.append((event.label, *times, event.label, *((repr(float(event.weight)),) if soft else ())))
    return write_text(path, "".join("\t".join(row) + "\n" for row in table))
