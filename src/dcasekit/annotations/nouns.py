"""The nouns: an event, and a clip with what is known about it.

Time is in seconds, half-open ``[onset, offset)``. Unknown is ``None``, known to be empty is empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dcasekit.core.cells import shorten
from dcasekit.core.files import unsafe
from dcasekit.core.units import Seconds
from dcasekit.errors import AnnotationError

# Two times closer than this are the same instant: decimal label files meet binary frame grids.
TIME_TOLERANCE: Seconds = 1e-6
# No recording is longer (116 days): a time beyond it is samples, milliseconds, a date, or damage.
LONGEST: Seconds = 1e7


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A label over a time span.

    Parameters
    ----------
    onset, offset : seconds from the start of the recording, ``0 <= onset <= offset <= 1e7``; the offset itself is outside.
    label : what sounds; not empty.
    weight : in [0, 1]; below 1 it is a soft label (agreement of annotators) or a detection's confidence; 0 is no event.

    Notes
    -----
    An event whose offset is its onset is a point: it sounds at that instant, and lies in the one frame, segment or detection that holds it.

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
        in_order = 0 <= self.onset <= self.offset <= LONGEST
        if not (in_order and 0 <= self.weight <= 1 and self.label and not self.label.isspace()):  # one test: lists are long
            raise _wrong(self, in_order=in_order)


def _wrong(event: Event, *, in_order: bool) -> AnnotationError:
    """Say what is wrong with an event."""
    if not event.label or event.label.isspace():
        return AnnotationError(f"the event at {event.onset} s has the label {event.label!r}, which is empty; say what sounds")
    name = shorten(event.label)
    if not in_order:
        span = f"onset={event.onset}, offset={event.offset}"
        return AnnotationError(f"event {name}: need 0 <= onset <= offset <= {LONGEST:.0f} in seconds, got {span}")
    return AnnotationError(f"event {name} at {event.onset} s: weight must be in [0, 1], got {event.weight}")


@dataclass(frozen=True, slots=True)
class Clip:
    """An audio file and what is known about it.

    Parameters
    ----------
    id : unique in the dataset and the same on every machine: a path below the dataset's folder, with ``/`` between its parts and no ``..``;
        `dcasekit.core.files.safe_name` makes one of any path.
    path : the audio file.
    duration : seconds; ``None``: not measured yet.
    fold : ``"fold1"``, ``"train"``, ``"validate"``, ``"test"``.
    group : recording location or source recording; a split never cuts a group. Empty: a group of its own.
    tags : label -> value in [0, 1], or ``None`` where nobody knows whether that label sounds; a label that is not named is known to be
        absent. ``tags=None``: nothing is known, ``{}``: known to hold none. A scene is a tag of which exactly one is 1.
    events : ``None``: times unknown (a weak clip has tags alone); ``()``: known that nothing happens.
    extra : device, city, annotator, licence ...
    channel : the channel of the file that this clip is, counted from 0; ``None``: the mean of all.
    """

    id: str
    path: Path
    duration: Seconds | None = None
    fold: str = ""
    group: str = ""
    tags: Mapping[str, float | None] | None = None
    events: tuple[Event, ...] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    channel: int | None = None

    def __post_init__(self) -> None:
        if why := unsafe(self.id):
            raise AnnotationError(f"clip {shorten(self.id)}: {why}; an id is a path below the dataset's folder, as 'dog/bark1'")
        if self.duration is not None and not 0 <= self.duration <= LONGEST:
            raise AnnotationError(
                f"clip {shorten(self.id)}: duration must be from 0 to {LONGEST:.0f} seconds, or None; got {self.duration}"
            )
        for label, value in (self.tags or {}).items():
            if value is not None and not 0 <= value <= 1:
                raise AnnotationError(f"clip {shorten(self.id)}: the value of tag {shorten(label)} must be in [0, 1], got {value}")
