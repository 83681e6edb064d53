"""Louder or softer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit.augmentations.base import Augmentation, Events, refuse_reversed
from dcasekit.core.units import FloatArray, Hz


@dataclass(frozen=True, kw_only=True)
class Gain(Augmentation):
    """Multiply by a random gain.

    Parameters
    ----------
    min_db, max_db : range in dB, ``min_db <= max_db``, from which the gain is drawn uniformly; if both are equal, the gain is fixed. A
        copy that would exceed full scale when it is written is scaled to full scale instead. As a guide: recordings of one sound from
        half or twice the distance differ by 6 dB.

    Examples
    --------
    >>> audio, events = Gain(min_db=6, max_db=6).apply([0.1, -0.2], None, {"db": 6.0206}, sr=8000)
    >>> audio.round(3).tolist()
    [0.20000000298023224, -0.4000000059604645]
    """

    min_db: float
    max_db: float

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_reversed(self, "db", "dB")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw ``db``, the gain in dB."""
        return {"db": float(rng.uniform(self.min_db, self.max_db))}

    def transform(
        self,
        audio: FloatArray,
        events: Events,
        params: Mapping[str, Any],
        *,
        sr: Hz,  # noqa: ARG002
    ) -> tuple[FloatArray, Events]:
        """Multiply."""
        return audio * np.float32(10 ** (params["db"] / 20)), events
