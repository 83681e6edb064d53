"""Duller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit.augmentations.base import Augmentation, Events, refuse_outside, refuse_reversed
from dcasekit.core.units import FloatArray, Hz
from dcasekit.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class LowPass(Augmentation):
    """Remove what lies above a random cutoff frequency, as a cheap microphone or a telephone (3.4 kHz) does.

    A Butterworth filter is run forwards and backwards, so that nothing is delayed and events stay. Its slope is therefore twice that of
    its order, and at the cutoff it attenuates by 6 dB.

    Parameters
    ----------
    min_hz, max_hz : range in Hz, above 0, ``min_hz <= max_hz``, from which the cutoff frequency is drawn uniformly on a logarithmic scale.
        If it is half the sampling rate or more, the audio stays as it is. 2 to 8 kHz imitates recording devices.
    order : order of the filter in one direction, in [1, 16].

    Examples
    --------
    >>> import numpy as np
    >>> audio, _ = LowPass(min_hz=500, max_hz=500).apply(np.sin(np.arange(8000) * 2.0), None, {"hz": 500.0}, sr=8000)
    >>> bool(np.abs(audio[100:-100]).max() < 1e-5)
    True
    """

    min_hz: float
    max_hz: float
    order: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_reversed(self, "hz", "Hz")
        if self.min_hz <= 0:
            raise DatasetError(f"LowPass: min_hz must be above 0 Hz; got {self.min_hz}")
        if not isinstance(self.order, int) or isinstance(self.order, bool):
            raise DatasetError(f"LowPass: order must be a whole number; got {self.order!r}")
        refuse_outside(self, "order", 1, 16, "")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw ``hz``, the cutoff frequency in Hz."""
        return {"hz": float(np.exp(rng.uniform(np.log(self.min_hz), np.log(self.max_hz))))}

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Filter."""
        if params["hz"] >= sr / 2:
            return audio, events
        from scipy.signal import butter, sosfiltfilt

        sections = butter(self.order, params["hz"], fs=sr, output="sos")
        # The ends are continued by their mirror image for as long as the filter rings: some periods of the cutoff.
        around = min(len(audio) - 1, round(self.order * sr / params["hz"]))
        return sosfiltfilt(sections, audio, padlen=around), events
