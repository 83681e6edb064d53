"""Compressed with loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.augmentations.base import Augmentation, Events, refuse_outside, refuse_reversed
from dcasekit.core.units import FloatArray, Hz
from dcasekit.errors import DatasetError

_FORMATS = ("ogg", "mp3")


@dataclass(frozen=True, kw_only=True)
class Codec(Augmentation):
    """Encode with Ogg Vorbis or MP3 at a random quality, and decode again.

    Length and events stay: measured, neither codec delays the sound.

    Parameters
    ----------
    format : ``"ogg"`` (Vorbis) or ``"mp3"``; MP3 exists only for the sampling rates 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz.
    min_compression, max_compression : range from which the compression is drawn uniformly, within [0, 1], on libsndfile's scale. 0 is the
        best quality (for mono noise at 44.1 kHz about 250 kbit/s as ogg, 140 as mp3), 1 the smallest file (65 and 36). For comparison:
        Freesound's previews have 64 or 128 kbit/s as mp3, 80 or 192 as ogg.

    Examples
    --------
    >>> import numpy as np
    >>> audio, _ = Codec().apply(np.sin(np.arange(8000) * 0.1), None, {"compression": 0.5}, sr=8000)
    >>> len(audio)
    8000
    """

    format: str = "ogg"
    min_compression: float = 0.0
    max_compression: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format not in _FORMATS:
            raise DatasetError(f"Codec: format must be one of {', '.join(_FORMATS)}; got {self.format!r}")
        refuse_outside(self, "min_compression", 0, 1, "")
        refuse_outside(self, "max_compression", 0, 1, "")
        refuse_reversed(self, "compression", "")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw ``compression``."""
        return {"compression": float(rng.uniform(self.min_compression, self.max_compression))}

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Encode and decode in memory, within full scale."""
        peak = max(np.float32(1), np.abs(audio).max())
        return audio_files.recode(audio / peak, sr, format=self.format, compression=params["compression"]) * peak, events
