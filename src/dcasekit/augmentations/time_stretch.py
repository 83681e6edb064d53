"""Faster or slower at the same pitch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dcasekit.augmentations._sox import refuse_unknown, sox
from dcasekit.augmentations._vocoder import stretch
from dcasekit.augmentations.base import Augmentation, Events, refuse_outside
from dcasekit.core.units import FloatArray, Hz


@dataclass(frozen=True, kw_only=True)
class TimeStretch(Augmentation):
    """Change the tempo and keep the pitch; the times of events are scaled with the length.

    Parameters
    ----------
    factor : new tempo over old, in [0.1, 10]; above 1 the recording becomes faster and shorter, ``round(samples / factor)`` samples (as in
        ``sox tempo`` and librosa's ``rate``). Papers use 0.8 to 1.25 (Salamon and Bello 2017: 0.81, 0.93, 1.07, 1.23); below 0.5 or
        above 2 it sounds like an effect.
    engine : ``"builtin"`` (default): a phase vocoder that keeps attacks sharp. ``"sox"``: the paper's tool, ``sox tempo``, which needs the
        extra ``sox`` and the program; it is faster, but it doubles or loses short sounds and moves others by up to 30 ms.

    Examples
    --------
    >>> import numpy as np
    >>> from dcasekit.annotations import Event
    >>> noise = np.random.default_rng(0).normal(size=16000)
    >>> audio, events = TimeStretch(factor=2).apply(noise, (Event(0.5, 2.0, "dog"),), {"factor": 2.0}, sr=8000)
    >>> len(audio), events
    (8000, (Event(onset=0.25, offset=1.0, label='dog', weight=1.0),))
    """

    factor: float
    engine: str = "builtin"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "factor", 0.1, 10, "(new tempo over old)")
        refuse_unknown(self.engine, "TimeStretch")

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Stretch audio and events."""
        factor = params["factor"]
        result = sox(audio, "tempo", factor, sr=sr) if self.engine == "sox" else stretch(audio, factor, sr=sr)
        scale = len(result) / len(audio)  # 1 / factor to within a sample, so an event that ends with the clip still does
        moved = events and tuple(replace(event, onset=event.onset * scale, offset=event.offset * scale) for event in events)
        return result, moved
