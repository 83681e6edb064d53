"""Cut events out of a span of time: what crop, mix, shift and reverse share."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dcasekit.annotations import TIME_TOLERANCE, Event
from dcasekit.core.units import Seconds


def cut(events: Iterable[Event], start: Seconds, stop: Seconds, *, min_share: float = 0.0) -> Iterator[Event]:
    """Yield the parts of events that lie inside ``[start, stop)``, with times in seconds from `start`.

    Parts shorter than a microsecond are left out as rounding errors. A point event is kept if it lies inside, borders included.

    Parameters
    ----------
    start, stop : seconds.
    min_share : in [0, 1]; an event is left out if less than this share of it lies inside.
    """
    for event in events:
        onset, offset = max(event.onset, start), min(event.offset, stop)
        length = event.offset - event.onset
        inside = offset - onset
        if inside >= 0 if length <= TIME_TOLERANCE else inside > TIME_TOLERANCE and inside >= min_share * length - TIME_TOLERANCE:
            yield replace(event, onset=onset - start, offset=offset - start)
