"""Annotation files of one recording, lists of tags and lists of events: read and written."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from dcasekit.annotations._formats import Span, columns, decimal, layout, missing, read, read_table, write
from dcasekit.annotations.nouns import Event
from dcasekit.core.files import read_rows, write_rows
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")


def read_annotation(path: PathLike, *, format: str | None = None) -> list[Event]:
    """Read the events of one recording from the annotation file beside it, in the order of the file.

    Parameters
    ----------
    path : the annotation file, UTF-8, with or without a byte order mark. Times are seconds; a decimal comma is read as well.
    format : one of these; ``None`` (default) decides by the suffix and the first line.

        - ``"tsv"`` (.tsv, .csv, .txt, .ann, .lab; tab or comma): with a header, columns found by name (``onset``, ``start`` ...,
          ``event_label``, ``label`` ..., ``weight``, ``value``, ``confidence``) and all others ignored; without one,
          ``onset offset label``, ``onset offset label weight`` (soft labels) or
          ``path [scene] onset offset label ...`` (the DCASE challenges' lists).
        - ``"audacity"`` (.txt): a label track, ``start end label`` with tabs between; a point is an event of no length; the
          lines of frequencies, which begin with a backslash, are skipped.
        - ``"raven"`` (.txt with ``Begin Time (s)`` in its header): a selection table; the label is the column ``Annotation``,
          ``Species``, ``Common Name`` ...; the rows of a selection's several views become one event. The frequencies, and any
          column of confidence, are left out.
        - ``"jams"`` (.jams, .json): the namespaces ``segment_open``, ``tag_open``, ``tag_urbansound``, ``tag_audioset`` and Scaper's
          ``scaper`` and ``sound_event``, of which the background is no event. The confidence is the weight; null is 1.

    Raises
    ------
    AnnotationError : the file does not fit the format, or lists several recordings; the message gives file and line.

    Notes
    -----
    Labels lose the blanks around them. Sources: the manuals of Audacity and Raven Pro; Humphrey et al., "JAMS", ISMIR 2014; Salamon et
    al., "Scaper", WASPAA 2017.
    """
    return [_event(path, where, span) for where, span in read(path, format)]


def write_annotation(path: PathLike, events: Iterable[Event], *, format: str | None = None, duration: Seconds | None = None) -> Path:
    """Write the events of one recording so that `read_annotation` gives them back; times keep nine decimals (nanoseconds).

    Parameters
    ----------
    path : the file.
    events : in the order to write.
    format : as in `read_annotation`; ``None`` (default): by the name: ``.tsv``; ``.txt`` is Audacity's; ``.selections.txt`` is Raven's, as
        Raven itself names its tables; ``.jams``. TSV gets a column ``weight`` where any weight is not 1, JAMS a confidence. **Audacity and
        Raven have no place for weights: they are left out.** Raven's boxes, which must have a height, go from 0 to 4000 Hz.
    duration : seconds, of the recording; for JAMS, which the package of that name does not load without it. The other formats have no place
        for it.

    Raises
    ------
    AnnotationError : the name tells no format, or a label has a tab or a line break and the format cannot hold it.
    """
    if duration is not None and not 0 <= duration < math.inf:
        raise AnnotationError(f"{path}: duration must be seconds >= 0 or None, got {duration}")
    return write(path, [(event.onset, event.offset, event.label, event.weight) for event in events], format, duration)


def read_tag_list(path: PathLike) -> dict[str, dict[str, float]]:
    """Read a list of clip-level labels: ``filename`` and ``label,label``, tab or comma separated, with or without a header.

    Columns are found by the header's names if its file column has a usual one (``filename``, ``fname`` ...), else they are the first two.
    Labels are separated by ``;`` if the file has any, else by ``,`` (DCASE 2018 task 4 documents the one and uses the other); a cell may be
    quoted, and in a comma-separated file several labels must be. Rows of the same file add up.

    Returns
    -------
    dict : file name -> label -> 1.0; a file with an empty cell is known to hold none of the labels.

    Raises
    ------
    AnnotationError : a row has too few or too many cells; the message gives file and line.
    """
    rows = read_rows(path, error=AnnotationError)
    at, width = {"file": 0, "label": 1}, 2
    if rows and "file" in (named := columns(rows[0][1])):
        if "label" not in named:
            raise missing(path, rows[0][0], "label", rows[0][1])
        at, width, rows = named, len(rows[0][1]), rows[1:]
    cells: list[tuple[str, str]] = []
    for line, row in rows:
        if len(row) <= max(at["file"], at["label"]) or any(row[width:]):
            raise AnnotationError(
                f"{path}, line {line}: expected {width} cells, among them a file name and its labels, got {row}; in a comma-separated file "
                "put quotation marks around several labels, and name further columns in a header"
            )
        cells.append((row[at["file"]].strip(), row[at["label"]]))
    separator = ";" if any(";" in labels for _, labels in cells) else ","
    found: dict[str, dict[str, float]] = {}
    for name, labels in cells:
        found.setdefault(name, {}).update((label.strip(), 1.0) for label in labels.split(separator) if label.strip())
    return found


def read_events(path: PathLike) -> dict[str, list[Event]]:
    """Read an event list: ``filename onset offset event_label``, tab or comma separated, with or without a header.

    With a header the columns are found by name, in any order, and a column ``weight``, ``value`` or ``confidence`` gives the weights;
    without one, other columns may stand between the file name and the times (a scene) and after the label. A decimal comma is read as well.
    A row whose event fields are all empty says that the file holds no event.

    Returns
    -------
    dict : file name -> events in the order of the file.

    Raises
    ------
    AnnotationError : a row has too few fields or its times are not numbers; the message gives file and line.
    """
    found: dict[str, list[Event]] = {}
    at, rows = layout(path, read_rows(path, error=AnnotationError), named=True)
    for where, name, span in read_table(path, at, rows, " ".join(EVENT_COLUMNS)):
        events = found.setdefault(name, [])
        if span is not None:
            events.append(_event(path, where, span))
    return found


def write_events(path: PathLike, events: Mapping[str, Iterable[Event]]) -> Path:
    """Write an event list as TSV with a header; a file without events gets one row with empty fields.

    Times keep nine decimals (nanoseconds). Weights are not part of this format and are left out.
    """
    table: list[tuple[str, ...]] = [EVENT_COLUMNS]
    for name, listed in events.items():
        rows = [(name, decimal(e.onset), decimal(e.offset), e.label) for e in listed]
        table += rows or [(name, "", "", "")]
    return write_rows(path, table)


def _event(path: PathLike, where: str, span: Span) -> Event:
    try:
        return Event(*span)
    except AnnotationError as error:
        raise AnnotationError(f"{path}, {where}: {error}; correct the file") from error
