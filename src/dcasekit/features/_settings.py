"""Settings of features: what other tools call them, and what is refused of all of them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, get_args

from dcasekit.core import settings
from dcasekit.errors import DcasekitError, FeatureError

# What other tools call our settings: librosa, torchaudio, dcase_util, DCASE-models.
_ELSEWHERE = {
    **dict.fromkeys(("n_mels", "mel_bands", "n_mel", "nb_mel", "num_mel_bins", "n_bands"), "bands"),
    **dict.fromkeys(("hop_length", "hop", "hop_length_samples", "hop_size", "frame_shift"), "audio_hop"),
    **dict.fromkeys(("win_length", "win_length_samples", "window_size", "frame_length"), "audio_win"),
    **dict.fromkeys(("sample_rate", "sampling_rate", "fs", "samplerate"), "sr"),
    **dict.fromkeys(("nfft", "fft_length", "fft_size"), "n_fft"),
    **dict.fromkeys(("f_min", "low_freq", "lower_edge_hertz"), "fmin"),
    **dict.fromkeys(("f_max", "high_freq", "upper_edge_hertz"), "fmax"),
    **dict.fromkeys(("pad_mode", "padding"), "pad"),
    **dict.fromkeys(("htk", "mel_scale"), "scale"),
    **dict.fromkeys(("n_mfcc", "num_ceps", "n_coefficients"), "coefficients"),
    "window_type": "window",
    "win_type": "window",
    "window_fn": "window",
    "normalize_mel_bands": "norm",
    "preemphasis": "pre_emphasis",
    "top_decibels": "top_db",
    "logarithmic": "log",
}


class Settings(settings.Settings):
    """Base of the frozen dataclasses that hold settings of a feature."""

    __slots__ = ()

    _error: ClassVar[type[DcasekitError]] = FeatureError
    _elsewhere: ClassVar[Mapping[str, str]] = _ELSEWHERE


def check_kinds(owner: Any) -> None:
    """Refuse anything but settings where settings belong: ``mel=64``."""
    for field in fields(owner):
        allowed = get_args(field.type) or (field.type,)
        kinds = [kind for kind in allowed if isinstance(kind, type) and issubclass(kind, Settings)]
        if kinds and not isinstance(value := getattr(owner, field.name), allowed):
            inside = " or ".join(f"{kind.__name__}(...)" for kind in kinds)
            raise FeatureError(f"{field.name} of {type(owner).__name__} must be {inside}; got {value!r}")


def refuse_unlike_numbers(owner: object, names: Iterable[str], *, whole: bool = False) -> None:
    """Refuse settings that are no finite numbers, or no whole ones; ``None`` passes."""
    for name in names:
        value = getattr(owner, name)
        if value is None:
            continue
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not good:
            kind = "an int" if whole else "a finite number"
            raise FeatureError(f"{name} of {type(owner).__name__} must be {kind}; got {value!r}")
