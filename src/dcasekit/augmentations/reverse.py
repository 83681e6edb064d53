"""Backwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dcasekit.augmentations._events import cut
from dcasekit.augmentations.base import Augmentation, Events
from dcasekit.core.units import FloatArray, Hz


@dataclass(frozen=True, kw_only=True)
class Reverse(Augmentation):
    """Play the recording backwards; the times of events are mirrored. Nothing is random.

    Attacks become decays, so it suits textures and scenes better than sounds that are recognised by their attack.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> audio, events = Reverse().apply([1, 2, 3, 4], (Event(0, 1, "dog"),), {}, sr=1)
    >>> audio.tolist(), events
    ([4.0, 3.0, 2.0, 1.0], (Event(onset=3.0, offset=4.0, label='dog', weight=1.0),))
    """

    def transform(
        self,
        audio: FloatArray,
        events: Events,
        params: Mapping[str, Any],  # noqa: ARG002
        *,
        sr: Hz,
    ) -> tuple[FloatArray, Events]:
        """Mirror audio and events."""
        end = len(audio) / sr
        return audio[::-1], events and tuple(replace(e, onset=end - e.offset, offset=end - e.onset) for e in cut(events, 0.0, end))
