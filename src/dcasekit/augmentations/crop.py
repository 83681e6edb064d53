"""A shorter window."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit.augmentations._events import cut
from dcasekit.augmentations.base import Augmentation, Events, refuse_outside
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Crop(Augmentation):
    """Keep a window at a random or a fixed place; a recording that is not longer than the window stays as it is.

    Events are cut at the window's borders. If their times are unknown, tags are kept, even if the sound lies outside the window: for weakly
    labelled recordings, choose windows that are long enough to hold it.

    Parameters
    ----------
    seconds : length of the window in seconds, above 0. Salamon and Bello (2017) train on 3 s of clips of 4 s.
    start : where the window begins, in seconds; it begins earlier if it would reach beyond the end. ``None``: drawn uniformly.
    min_share : in [0, 1]; an event is dropped if less than this share of it lies inside the window. 0: whatever is left of it is kept.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> events = (Event(0, 3, "dog"), Event(3, 4, "cat"))
    >>> Crop(seconds=2, start=1).apply([1, 2, 3, 4], events, {"start": 1.0}, sr=1)
    (array([2., 3.], dtype=float32), (Event(onset=0.0, offset=2.0, label='dog', weight=1.0),))
    """

    seconds: Seconds
    start: Seconds | None = None
    min_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "min_share", 0, 1, "(share of the event)")
        if self.seconds <= 0:
            raise DatasetError(f"Crop: seconds must be above 0; got {self.seconds}")
        if self.start is not None and self.start < 0:
            raise DatasetError(f"Crop: start must be at least 0 s, or None for a random window; got {self.start}")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw ``at``, in [0, 1): the place of the window as a share of the possible ones; or return the fixed ``start``."""
        return {"at": float(rng.random())} if self.start is None else {"start": self.start}

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Cut audio and events at the same samples."""
        size = min(len(audio), max(1, round(self.seconds * sr)))
        room = len(audio) - size
        first = int(params["at"] * (room + 1)) if "at" in params else min(round(params["start"] * sr), room)
        inside = events and tuple(cut(events, first / sr, (first + size) / sr, min_share=self.min_share))
        return audio[first : first + size], inside
