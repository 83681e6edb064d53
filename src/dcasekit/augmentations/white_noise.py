"""White noise at a given distance below the signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit.augmentations._level import scale_to_snr
from dcasekit.augmentations.base import Augmentation, Events
from dcasekit.core.units import FloatArray, Hz


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Augmentation):
    """Add Gaussian white noise.

    Parameters
    ----------
    snr : signal-to-noise ratio in dB: the mean power of the whole clip over that of the noise, met exactly. So a short sound in a long
        silence gets little noise, and silence, whose power is 0, gets none. At 60 dB the noise is inaudible; 20 to 40 dB is common.

    Examples
    --------
    >>> WhiteNoise(snr=20).apply([0.0, 0.0], None, {"snr": 20.0, "seed": 1}, sr=8000)[0].tolist()
    [0.0, 0.0]
    """

    snr: float

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the ``seed`` of the noise; ``snr`` is returned with it."""
        return {"snr": self.snr, "seed": int(rng.integers(2**53))}  # what JSON numbers hold exactly everywhere

    def transform(
        self,
        audio: FloatArray,
        events: Events,
        params: Mapping[str, Any],
        *,
        sr: Hz,  # noqa: ARG002
    ) -> tuple[FloatArray, Events]:
        """Add the noise of ``seed``, scaled to ``snr``."""
        noise = np.random.default_rng(params["seed"]).standard_normal(len(audio), dtype=np.float32)
        return audio + scale_to_snr(audio, noise, params["snr"]) * noise, events
