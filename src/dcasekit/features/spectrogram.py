"""Spectrogram: the energy of every frequency bin over time."""

from dataclasses import dataclass

from dcasekit.core.units import FloatArray
from dcasekit.features._spectral import SpectralFeature


@dataclass(frozen=True, kw_only=True)
class Spectrogram(SpectralFeature):
    """Short-time spectrum: (frames, 1 + n_fft // 2), by default in dB.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler : see `FeatureExtractor`.
    stft : settings of the transform, see `STFT`.
    log : `Decibels` (default), `NaturalLog`, or ``None`` for linear energy or magnitude.

    Examples
    --------
    >>> Spectrogram(sr=22050, audio_win=1024, audio_hop=512).get_shape(length_sec=10.0)
    (20, 43, 513)
    """

    def bands(self, spectrum: FloatArray) -> FloatArray:
        """Keep every bin."""
        return spectrum
