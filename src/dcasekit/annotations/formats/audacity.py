r"""Audacity's label tracks: ``start end label`` with tabs between; a second line of a label, with a backslash first, has frequencies.

Source: the Audacity manual, "Importing and Exporting Labels". A track has no place for a weight, so one that is not 1 stands behind the
label, as ``dog [weight 0.87]``, and is read from there.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dcasekit.annotations.formats.base import Row, format_seconds, is_number, read_lines, refuse_lossy
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import parse_number, parse_span, shorten
from dcasekit.core.files import write_text
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

ENDING = ".txt"
SUFFIXES = (".txt",)

_WEIGHT = re.compile(r"(.*\S) \[weight ([^\]]+)\]", re.DOTALL)


def recognise(first: Sequence[str]) -> int:
    """Take a text file that begins with ``start end label`` or ``start label``."""
    return 2 * (len(first) in (2, 3) and is_number(first[0]))


def read(path: PathLike, *, several: bool = False) -> list[Row]:
    """Read a label track; a label at one time is a point."""
    return [Row(_read_label(path, line, text)) for line, text in read_lines(path)]


def _read_label(path: PathLike, line: int, text: str) -> Event:
    cells = text.rstrip().split("\t")
    if len(cells) == 2 and not is_number(cells[1]):
        cells.insert(0, cells[0])  # Audacity reads "start label" as a point
    start, end, label = map(str.strip, cells if len(cells) == 3 else [*cells, "", ""][:3])
    try:
        if len(cells) > 3:
            raise ValueError(f"{len(cells)} cells")
        marked = _WEIGHT.fullmatch(label) if label.endswith("]") else None
        label, weight = (marked[1], parse_number(marked[2])) if marked else (label, 1.0)
        return Event(*parse_span(start, end), label, weight)
    except ValueError as error:
        expected = "start, end and label with a tab between, times in seconds"
        raise AnnotationError(f"{path}, line {line}: {error}; expected {expected}, got {shorten(text)}") from None


def write(path: PathLike, events: Sequence[Event], duration: Seconds | None) -> Path:
    """Write a label track. Audacity knows no quotation marks around a label, so it is written as it is."""
    refuse_lossy(path, (event.label for event in events), forbidden="\t\r\n")
    return write_text(
        path, "".join(f"{format_seconds(event.onset)}\t{format_seconds(event.offset)}\t{_write_label(event)}\n" for event in events)
    )


def _write_label(event: Event) -> str:
    plain = event.weight == 1 and not _WEIGHT.fullmatch(event.label)
    return event.label if plain else f"{event.label} [weight {float(event.weight)!r}]"
