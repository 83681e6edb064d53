"""What is known about a recording: events, clips, tags; as objects, as arrays, as the annotation files of the field.

Time is in seconds, half-open ``[onset, offset)``. Unknown is ``None``, known to be empty is empty.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from dcasekit._annotation_formats import Span, columns, decimal, layout, missing, read, read_table, write
from dcasekit.errors import AnnotationError
from dcasekit.files import read_rows, write_rows
from dcasekit.units import FloatArray, PathLike, Seconds

# Two times closer than this are the same instant: decimal label files meet binary frame grids.
TIME_TOLERANCE: Seconds = 1e-6

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A label over a time span.

    Parameters
    ----------
    onset, offset : seconds from the start of the recording, ``0 <= onset <= offset``; the offset itself is outside.
    label : what sounds.
    weight : in [0, 1]; below 1 it is a soft label (agreement of annotators) or a detection's confidence.

    Examples
    --------
    >>> Event(0.5, 2.0, "dog")
    Event(onset=0.5, offset=2.0, label='dog', weight=1.0)
    """

    onset: Seconds
    offset: Seconds
    label: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.onset) and math.isfinite(self.offset) and 0 <= self.onset <= self.offset):
            raise AnnotationError(
                f"event {self.label!r}: need 0 <= onset <= offset in seconds, got onset={self.onset}, offset={self.offset}"
            )
        if not 0 <= self.weight <= 1:
            raise AnnotationError(f"event {self.label!r} at {self.onset} s: weight must be in [0, 1], got {self.weight}")


@dataclass(frozen=True, slots=True)
class Clip:
    """An audio file and what is known about it.

    Parameters
    ----------
    id : unique in the dataset and the same on every machine (never an absolute path).
    path : the audio file.
    duration : seconds; ``None``: not measured yet.
    fold : ``"fold1"``, ``"train"``, ``"validate"``, ``"test"``.
    group : recording location or source recording; a split never cuts a group. Empty: a group of its own.
    tags : label -> value in [0, 1]; ``None``: unknown, ``{}``: known to hold none. A scene is a tag of which exactly one is 1.
    events : ``None``: times unknown; ``()``: known that nothing happens.
    extra : device, city, annotator, licence ...
    channel : the channel of the file that this clip is, counted from 0; ``None``: the mean of all.
    """

    id: str
    path: Path
    duration: Seconds | None = None
    fold: str = ""
    group: str = ""
    tags: Mapping[str, float] | None = None
    events: tuple[Event, ...] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.duration is not None and not 0 <= self.duration < math.inf:
            raise AnnotationError(f"clip {self.id!r}: duration must be seconds >= 0 or None, got {self.duration}")
        for label, value in (self.tags or {}).items():
            if not 0 <= value <= 1:
                raise AnnotationError(f"clip {self.id!r}: the value of tag {label!r} must be in [0, 1], got {value}")


def tags_to_vector(tags: Mapping[str, float], labels: Sequence[str]) -> FloatArray:
    """Turn tags into an array of shape (labels,), in the order of `labels`.

    >>> tags_to_vector({"dog": 1.0}, ("cat", "dog")).tolist()
    [0.0, 1.0]
    """
    _refuse_unknown(tags, labels)
    return np.array([tags.get(label, 0.0) for label in labels], dtype=np.float32)


def events_to_roll(events: Iterable[Event], labels: Sequence[str], edges: ArrayLike) -> FloatArray:
    """Draw events on a time grid.

    Parameters
    ----------
    events : in any order; where two of one label overlap, the larger weight stands.
    labels : the columns.
    edges : (frames + 1,) seconds, ascending; frame t covers ``[edges[t], edges[t + 1])``.

    Returns
    -------
    array (frames, labels), float32 : the weight of the event that touches the frame, else 0.

    Examples
    --------
    >>> events_to_roll([Event(0.5, 2.0, "dog")], ["dog"], [0, 1, 2, 3]).T.tolist()
    [[1.0, 1.0, 0.0]]
    """
    edges = np.asarray(edges, dtype=np.float64)
    events = list(events)
    _refuse_unknown((event.label for event in events), labels)
    column = {label: index for index, label in enumerate(labels)}
    roll = np.zeros((len(edges) - 1, len(labels)), dtype=np.float32)
    for event in events:
        first = max(int(np.searchsorted(edges, event.onset + TIME_TOLERANCE, side="right")) - 1, 0)
        last = int(np.searchsorted(edges, event.offset - TIME_TOLERANCE, side="left"))
        cells = roll[first:last, column[event.label]]
        np.maximum(cells, event.weight, out=cells)
    return roll


def events_to_tags(events: Iterable[Event]) -> dict[str, float]:
    """Forget the times: label -> the largest weight of its events.

    >>> events_to_tags([Event(0, 1, "dog", 0.25), Event(2, 3, "dog", 0.5), Event(2, 3, "cat")])
    {'dog': 0.5, 'cat': 1.0}
    """
    tags: dict[str, float] = {}
    for event in events:
        tags[event.label] = max(tags.get(event.label, 0.0), event.weight)
    return tags


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


def _refuse_unknown(found: Iterable[str], labels: Sequence[str]) -> None:
    if unknown := sorted(set(found) - set(labels)):
        raise AnnotationError(f"unknown label {unknown[0]!r}; the labels are: {', '.join(labels)}")
