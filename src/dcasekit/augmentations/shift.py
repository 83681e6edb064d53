"""Later or earlier; what leaves at one end comes in at the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dcasekit.annotations import TIME_TOLERANCE, Event
from dcasekit.augmentations._events import cut
from dcasekit.augmentations.base import Augmentation, Events, refuse_outside
from dcasekit.core.units import FloatArray, Hz, Seconds


@dataclass(frozen=True, kw_only=True)
class Shift(Augmentation):
    """Roll the audio by a random share of its length: what leaves at one end enters at the other.

    Events move along. An event that is cut at the end of the clip becomes two, one at the end and one at the beginning; an event that lasts
    as long as the clip stays whole.

    Parameters
    ----------
    max_share : largest shift as a share of the clip's length, in [0, 0.5]; the shift is drawn uniformly from
        ``[-max_share, max_share]``, above 0 later. With 0.5 (default) all shifts are equally likely. The DESED baselines draw
        from a normal distribution with a standard deviation of 1.4 s for clips of 10 s.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> audio, events = Shift().apply([1, 2, 3, 4], (Event(2, 4, "dog"),), {"share": 0.25}, sr=1)
    >>> audio.tolist()
    [4.0, 1.0, 2.0, 3.0]
    >>> [(event.onset, event.offset) for event in events]
    [(3.0, 4.0), (0.0, 1.0)]
    """

    max_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "max_share", 0, 0.5, "(share of the length)")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw ``share``, the shift as a share of the length."""
        return {"share": float(rng.uniform(-self.max_share, self.max_share))}

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Roll audio and events by the same whole number of samples."""
        by = round(params["share"] * len(audio)) % len(audio)
        duration = len(audio) / sr
        moved = events and tuple(part for event in cut(events, 0.0, duration) for part in _roll(event, by / sr, duration))
        return np.roll(audio, by), moved


def _roll(event: Event, by: Seconds, duration: Seconds) -> Iterator[Event]:
    length = event.offset - event.onset
    onset = (event.onset + by) % duration
    if duration - onset < TIME_TOLERANCE:  # rounding: it begins with the clip
        onset = 0.0
    beyond = onset + length - duration
    if length > duration - TIME_TOLERANCE:
        yield event
    elif beyond <= TIME_TOLERANCE:
        yield replace(event, onset=onset, offset=min(onset + length, duration))
    else:
        yield replace(event, onset=onset, offset=duration)
        yield replace(event, onset=0.0, offset=beyond)
