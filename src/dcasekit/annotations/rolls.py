"""What is known about a clip as arrays: tags as a vector, events on a grid of frames; NaN where nothing is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from dcasekit.annotations.nouns import TIME_TOLERANCE, Clip, Event
from dcasekit.core.units import FloatArray
from dcasekit.errors import AnnotationError

# Soft labels become hard ones above this, wherever a metric or a list needs a yes or a no: the DCASE 2023 task 4B rule.
HARD = 0.5


def harden(events: Iterable[Event], *, threshold: float = HARD) -> list[Event]:
    """Make a soft reference a hard one: the events whose weight is above a threshold, with weight 1.

    >>> harden([Event(0, 1, "dog", 0.25), Event(1, 2, "dog", 0.75)])
    [Event(onset=1, offset=2, label='dog', weight=1.0)]
    """
    return [replace(event, weight=1.0) for event in events if event.weight > threshold]


def present(tags: Mapping[str, float | None] | None, *, threshold: float = HARD) -> tuple[str, ...]:
    """Name the tags that hold by the same rule as `harden`: their value is known and above a threshold.

    >>> present({"dog": 1.0, "cat": 0.25, "cow": None})
    ('dog',)
    """
    return tuple(label for label, value in (tags or {}).items() if value is not None and value > threshold)


def tags_to_vector(tags: Mapping[str, float | None] | None, labels: Sequence[str]) -> FloatArray:
    """Turn tags into an array of shape (labels,), in the order of `labels`; NaN: unknown.

    >>> tags_to_vector({"dog": 1.0, "cow": None}, ("cat", "dog", "cow")).tolist()
    [0.0, 1.0, nan]
    """
    if tags is None:
        return np.full(len(labels), np.nan, dtype=np.float32)
    _refuse_unknown(tags, labels)
    return np.array([tags.get(label, 0.0) for label in labels], dtype=np.float32)  # None becomes NaN


def clip_to_vector(clip: Clip, labels: Sequence[str]) -> FloatArray:
    """Turn what is known about a whole clip, its tags or else its events, into an array (labels,); NaN: unknown."""
    tags = clip.tags if clip.tags is not None or clip.events is None else events_to_tags(clip.events)
    return tags_to_vector(tags, labels)


def events_to_roll(events: Iterable[Event] | None, labels: Sequence[str], edges: ArrayLike) -> FloatArray:
    """Draw events on a time grid.

    Parameters
    ----------
    events : in any order; where two of one label overlap, the larger weight stands. ``None``: unknown.
    labels : the columns.
    edges : (frames + 1,) seconds, ascending; frame t covers ``[edges[t], edges[t + 1])``. What lies outside is cut off.

    Returns
    -------
    array (frames, labels), float32 : the weight of the event that touches the frame, else 0; NaN throughout where events are unknown. A
        point event touches the frame that holds its instant.

    Examples
    --------
    >>> events_to_roll([Event(0.5, 2.0, "dog"), Event(1.0, 1.0, "cat")], ["dog", "cat"], [0, 1, 2, 3]).T.tolist()
    [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    edges = np.asarray(edges, dtype=np.float64)
    roll = np.zeros((len(edges) - 1, len(labels)), dtype=np.float32)
    if events is None:
        roll.fill(np.nan)
        return roll
    events = list(events)
    _refuse_unknown((event.label for event in events), labels)
    column = {label: index for index, label in enumerate(labels)}
    onsets, offsets = (np.array([getattr(event, name) for event in events], dtype=np.float64) for name in ("onset", "offset"))
    first = np.searchsorted(edges, onsets + TIME_TOLERANCE, side="right") - 1
    last = np.maximum(np.searchsorted(edges, offsets - TIME_TOLERANCE, side="left"), first + 1)  # a point, too, touches a frame
    for event, start, stop in zip(events, first.tolist(), last.tolist(), strict=True):
        cells = roll[max(start, 0) : max(stop, 0), column[event.label]]
        np.maximum(cells, event.weight, out=cells)
    return roll


def events_to_tags(events: Iterable[Event]) -> dict[str, float]:
    """Forget the times: label -> the largest weight of its events; a weight of 0 is no event.

    >>> events_to_tags([Event(0, 1, "dog", 0.25), Event(2, 3, "dog", 0.5), Event(2, 3, "cat"), Event(2, 3, "cow", 0.0)])
    {'dog': 0.5, 'cat': 1.0}
    """
    tags: dict[str, float] = {}
    for event in events:
        if event.weight > 0:
            tags[event.label] = max(tags.get(event.label, 0.0), event.weight)
    return tags


def _refuse_unknown(found: Iterable[str], labels: Sequence[str]) -> None:
    if unknown := sorted(set(found) - set(labels)):
        raise AnnotationError(f"unknown label {unknown[0]!r}; the labels are: {', '.join(labels)}")
