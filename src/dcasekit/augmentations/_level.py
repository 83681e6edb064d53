"""Mean power, and the factor that puts one sound a given ratio below another."""

import numpy as np

from dcasekit.core.units import FloatArray


def power(audio: FloatArray) -> float:
    """Return the mean power (mean square) of audio (samples,), computed in float64, so that it is exact at any length."""
    return float(np.mean(np.square(audio, dtype=np.float64)))


def scale_to_snr(signal: FloatArray, noise: FloatArray, snr: float) -> np.float32:
    """Return the factor for `noise` that puts its power `snr` dB below that of `signal`; 0 where either is silent."""
    below = power(noise)
    return np.float32(np.sqrt(power(signal) / below) * 10 ** (-snr / 20)) if below else np.float32(0)
