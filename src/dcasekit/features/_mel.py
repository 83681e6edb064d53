"""Mel filter banks: HTK or Slaney scale, with or without normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray, Hz
from dcasekit.errors import FeatureError
from dcasekit.features._settings import Settings, refuse_unlike_numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Mel(Settings):
    """Settings of a mel filter bank: triangles whose corners are equally spaced on the mel scale.

    Parameters
    ----------
    bands : number of bands.
    scale : ``"slaney"`` (default; as in librosa and dcase_util, linear below 1 kHz) or ``"htk"`` (as in torchaudio and VGGish).
    norm : scaling of the triangles. ``"slaney"`` (default): each has area 1 over Hz. ``"peak"``: the largest weight of each band is 1
        (dcase_util's ``normalize_mel_bands``). ``"slaney_squared"``: the square of the weights of ``"slaney"``, that is, the energy behind
        filters whose gains are these triangles (the target of `SMel`). ``None``: each has height 1 (torchaudio, VGGish).
    fmin, fmax : lowest and highest frequency in Hz; ``fmax=None`` (default): half the sampling rate.
    straight_in : ``"hz"`` (default): the sides of a triangle are straight over frequency in Hz; ``"mel"``: over mels (as in Google's VGGish
        and YAMNet).
    allow_empty : allow bands that are narrower than a bin of the spectrum, and therefore always silent, instead of raising an error; some
        published front ends have them.

    Raises
    ------
    FeatureError : a setting is unknown or is no number.
    """

    bands: int = 64
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "peak", "slaney_squared"] | None = "slaney"
    fmin: float = 0.0
    fmax: float | None = None
    straight_in: Literal["hz", "mel"] = "hz"
    allow_empty: bool = False

    def __post_init__(self) -> None:
        self._make_plain()
        refuse_unlike_numbers(self, ("bands",), whole=True)
        refuse_unlike_numbers(self, ("fmin", "fmax"))
        choices: Mapping[str, tuple[Any, ...]] = {
            "scale": ("slaney", "htk"),
            "norm": ("slaney", "peak", "slaney_squared", None),
            "straight_in": ("hz", "mel"),
        }
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise FeatureError(f"{name} of mel bands must be one of {', '.join(map(repr, known))}; got {value!r}")


def check_mel(mel: Mel, sr: Hz, n_fft: int) -> None:
    """Refuse bands that lie beyond half the sampling rate, that are none, or that no bin of the spectrum falls into."""
    corners, width = _corners(mel, sr), sr / n_fft
    empty = int(((np.floor(corners[:-2] / width) + 1) * width >= corners[2:]).sum())
    if empty and not mel.allow_empty:
        raise FeatureError(
            f"{empty} of {mel.bands} mel bands are empty: narrower than a bin of {width:.1f} Hz, which is sr / n_fft; use fewer bands, "
            f"a higher fmin, or stft=STFT(n_fft={1 << n_fft.bit_length()}); Mel(allow_empty=True) leaves them silent"
        )


@cache
def mel_basis(mel: Mel, sr: Hz, n_fft: int) -> FloatArray:
    """Compute the matrix that turns a spectrum into mel bands: (1 + n_fft // 2, bands), float32.

    Raises
    ------
    FeatureError : the frequency range is empty or beyond half the sampling rate.
    """
    corners = _corners(mel, sr)
    bins = np.arange(1 + n_fft // 2)[:, None] * (sr / n_fft)
    area = 2 / (corners[2:] - corners[:-2])
    if mel.straight_in == "mel":
        corners, bins = _to_mel(corners, mel.scale), _to_mel(bins, mel.scale)
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    basis = np.maximum(0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    if mel.norm in ("slaney", "slaney_squared"):
        basis = (basis * area) ** (2 if mel.norm == "slaney_squared" else 1)
    elif mel.norm == "peak":
        basis /= np.maximum(basis.max(axis=0), np.finfo(np.float64).tiny)
    return np.ascontiguousarray(basis, dtype=np.float32)


def _corners(mel: Mel, sr: Hz) -> NDArray[np.float64]:
    """Return where the triangles begin, have their top and end, in Hz: (bands + 2,)."""
    fmax = sr / 2 if mel.fmax is None else mel.fmax
    if not (0 <= mel.fmin < fmax <= sr / 2 and mel.bands > 0):
        raise FeatureError(
            f"mel bands need 0 <= fmin < fmax <= sr / 2 = {sr / 2} Hz and bands > 0; got fmin={mel.fmin}, fmax={fmax}, bands={mel.bands}"
        )
    return _to_hz(np.linspace(_to_mel(mel.fmin, mel.scale), _to_mel(fmax, mel.scale), mel.bands + 2), mel.scale)


# Slaney's Auditory Toolbox (1998): 200/3 Hz per mel up to 1 kHz, then 27 steps for each factor 6.4.
_LINEAR_HZ, _KNEE_HZ, _KNEE_MEL, _LOG_STEP = 200 / 3, 1000.0, 15.0, np.log(6.4) / 27


def _to_mel(hz: Any, scale: str) -> NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP)


def _to_hz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)))
