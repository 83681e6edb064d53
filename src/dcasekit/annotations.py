"""What is known about a recording: events, clips, tags; as objects, as arrays, as TSV.

Time is in seconds, half-open ``[onset, offset)``. Unknown is ``None``, known to be empty is empty.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

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
    """

    id: str
    path: Path
    duration: Seconds | None = None
    fold: str = ""
    group: str = ""
    tags: Mapping[str, float] | None = None
    events: tuple[Event, ...] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

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


def read_events(path: PathLike) -> dict[str, list[Event]]:
    """Read an event list: ``filename onset offset event_label``, tab or comma separated, with or without that header.

    A row whose three event fields are empty says that the file holds no event.

    Returns
    -------
    dict : file name -> events in the order of the file.

    Raises
    ------
    AnnotationError : a row does not have four fields or its times are not numbers; the message gives file and line.
    """
    found: dict[str, list[Event]] = {}
    for line, row in read_rows(path, error=AnnotationError):
        if len(row) < len(EVENT_COLUMNS):
            raise AnnotationError(f"{path}, line {line}: expected {' '.join(EVENT_COLUMNS)}, got {len(row)} fields: {row}")
        name, onset, offset, label = (cell.strip() for cell in row[:4])
        if not found and onset.lower() in ("onset", "event_onset", "start"):
            continue
        events = found.setdefault(name, [])
        if onset or offset or label:
            try:
                events.append(Event(float(onset), float(offset), label))
            except ValueError as error:
                raise AnnotationError(f"{path}, line {line}: {error}") from error
    return found


def write_events(path: PathLike, events: Mapping[str, Iterable[Event]]) -> Path:
    """Write an event list as TSV with a header; a file without events gets one row with empty fields.

    Times keep nine decimals (nanoseconds). Weights are not part of this format and are left out.
    """
    table: list[tuple[str, ...]] = [EVENT_COLUMNS]
    for name, listed in events.items():
        rows = [(name, _decimal(e.onset), _decimal(e.offset), e.label) for e in listed]
        table += rows or [(name, "", "", "")]
    return write_rows(path, table)


def _decimal(seconds: Seconds) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def _refuse_unknown(found: Iterable[str], labels: Sequence[str]) -> None:
    if unknown := sorted(set(found) - set(labels)):
        raise AnnotationError(f"unknown label {unknown[0]!r}; the labels are: {', '.join(labels)}")
