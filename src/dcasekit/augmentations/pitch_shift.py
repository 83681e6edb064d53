"""Higher or lower at the same tempo."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.augmentations._sox import refuse_unknown, sox
from dcasekit.augmentations._vocoder import stretch
from dcasekit.augmentations.base import Augmentation, Events, refuse_outside
from dcasekit.core.units import FloatArray, Hz


@dataclass(frozen=True, kw_only=True)
class PitchShift(Augmentation):
    """Change the pitch and keep length, tempo and events: stretch in time, then resample to the old length.

    Parameters
    ----------
    n_semitones : in [-36, 36], also fractions; above 0 the pitch becomes higher (as in ``sox pitch`` and librosa's ``n_steps``). Formants
        are shifted, too. Shifted down, the top of the spectrum is empty; shifted up, what would lie above half the sampling rate is
        lost. Salamon and Bello (2017) use -3.5, -2.5, -2, -1, 1, 2, 2.5 and 3.5.
    engine : ``"builtin"`` (default): a phase vocoder that keeps attacks sharp. ``"sox"``: the paper's tool, ``sox pitch``, which needs the
        extra ``sox`` and the program; it is faster, but it doubles or loses short sounds and moves others by up to 30 ms.

    Examples
    --------
    >>> import numpy as np
    >>> audio, _ = PitchShift(n_semitones=12).apply(np.sin(np.arange(8000) * 0.1), None, {"n_semitones": 12.0}, sr=8000)
    >>> int(np.abs(np.fft.rfft(audio)).argmax()), round(0.2 * 8000 / (2 * np.pi))
    (255, 255)
    """

    n_semitones: float
    engine: str = "builtin"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_outside(self, "n_semitones", -36, 36, "semitones")
        refuse_unknown(self.engine, "PitchShift")

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Stretch, then resample, to exactly the old length."""
        if self.engine == "sox":
            shifted = sox(audio, "pitch", 100 * params["n_semitones"], sr=sr)
        else:
            stretched = stretch(audio, 2 ** (-params["n_semitones"] / 12), sr=sr)
            # The two lengths serve as rates: their ratio is exact, and both are whole numbers.
            shifted = audio_files.resample(stretched, len(stretched), len(audio))
        return np.pad(shifted[: len(audio)], (0, max(0, len(audio) - len(shifted)))), events
