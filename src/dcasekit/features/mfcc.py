"""Mel-frequency cepstral coefficients."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features._mel import Mel, check_mel, mel_basis
from dcasekit.features._spectral import SpectralFeature


@dataclass(frozen=True, kw_only=True)
class MFCC(SpectralFeature):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of the logarithmic mel spectrum, (frames, coefficients).

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler : see `FeatureExtractor`.
    stft : settings of the transform, see `STFT`.
    log : `Decibels` (default) or `NaturalLog`; for librosa's numbers, ``Decibels(top_db=80.0)``.
    mel : settings of the mel filter bank, see `Mel`; 128 bands by default, as in librosa.
    coefficients : number of coefficients, from the 0th on, at most the number of bands; 20 by default, as in librosa.

    Examples
    --------
    >>> MFCC().dims
    20
    """

    mel: Mel = Mel(bands=128)
    coefficients: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mel(self.mel, self.sr, self.stft.length(self.audio_win))
        if not 1 <= self.coefficients <= self.mel.bands:
            raise FeatureError(f"coefficients must be from 1 to the number of mel bands, {self.mel.bands}; got {self.coefficients}")

    def bands(self, spectrum: FloatArray) -> FloatArray:
        """Sum the spectrum into mel bands."""
        return spectrum @ mel_basis(self.mel, self.sr, self.stft.length(self.audio_win))

    def finish(self, levels: FloatArray) -> FloatArray:
        """Take the cosine transform of the levels."""
        return np.matmul(levels, _dct(self.mel.bands, self.coefficients))


@cache
def _dct(bands: int, coefficients: int) -> FloatArray:
    """Build the orthonormal DCT-II as a matrix (bands, coefficients)."""
    angle = np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(coefficients))
    basis = np.cos(angle) * np.sqrt(2 / bands)
    basis[:, 0] /= np.sqrt(2)
    return basis.astype(np.float32)
