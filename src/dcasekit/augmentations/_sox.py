"""SoX's ``tempo`` and ``pitch``, through pysox: the only file that imports it.

Both cut the sound into pieces of 82 ms and join them where their waveforms agree (WSOLA). Measured, SoX 14.4.2, factors 0.8 to 1.25 and
-3 to 3 semitones: what is heard of a click comes up to 27 ms early or 23 ms late; in the mean -15 to 16 ms, depending on the factor and on
what sounds beside it, so there is no delay to take out. A click is heard twice where sound is drawn out (slower, higher: up to a third of
them), and not at all where it is shortened (faster, lower: up to a quarter).
"""

import shutil

import numpy as np

from dcasekit.core.units import FloatArray, Hz
from dcasekit.errors import DatasetError, MissingExtraError

ENGINES = ("builtin", "sox")


def refuse_unknown(engine: str, owner: str) -> None:
    """Raise `DatasetError` unless `engine` is one of `ENGINES`; `owner` is for the message."""
    if engine not in ENGINES:
        raise DatasetError(f"{owner}: engine must be one of {', '.join(ENGINES)}; got {engine!r}")


def sox(audio: FloatArray, effect: str, value: float, *, sr: Hz) -> FloatArray:
    """Apply an effect of SoX with one argument, ``tempo`` (factor) or ``pitch`` (cents), to audio (samples,).

    Raises
    ------
    DatasetError : the program is not installed, or fails.
    MissingExtraError : the package is not installed.
    """
    if shutil.which("sox") is None:
        raise DatasetError(
            "the program 'sox' is not installed; run: apt-get install sox (macOS: brew install sox), or use engine='builtin'"
        )
    try:
        from sox import SoxError, Transformer
    except ImportError as error:
        raise MissingExtraError("sox", "sox") from error
    # SoX cuts at full scale, which the joints between pieces may exceed: it works at half scale.
    scale = np.float32(2 * np.abs(audio).max() or 1)
    try:
        # As an extra argument, because pysox warns of every factor that it finds unusual, once per clip.
        result = Transformer().build_array(input_array=audio / scale, sample_rate_in=sr, extra_args=[effect, f"{value:.9g}"])
    except SoxError as error:
        raise DatasetError(f"sox {effect} {value:.9g} failed: {error}") from error
    return np.asarray(result, dtype=np.float32) * scale
