"""What all settings of a feature share: plain numbers, and an unknown name that is met with the nearest known one."""

import difflib
import inspect
import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Self, get_args

import numpy as np

from dcasekit.errors import FeatureError

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


class _Signature:
    """The signature of ``__init__``: that of ``__new__``, which takes anything to refuse it by name, would say nothing in a notebook."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Settings:
    """Base of the frozen dataclasses that hold settings of a feature."""

    __slots__ = ()
    __signature__ = _Signature()

    def __new__(cls, *values: Any, **settings: Any) -> Self:
        """Refuse what is no setting, before the dataclass does with a bare `TypeError`."""
        known = [field.name for field in fields(cls)] if is_dataclass(cls) else list(settings)
        if values:
            raise FeatureError(f"{cls.__name__} takes its settings by name; got {values!r}; its settings are: {', '.join(known)}")
        if unknown := [name for name in settings if name not in known]:
            raise FeatureError(
                f"{cls.__name__}: unknown setting {unknown[0]!r}.{_hint(cls, unknown[0])} its settings are: {', '.join(known)}"
            )
        return super().__new__(cls)

    def _make_plain(self) -> None:
        """Turn numbers of NumPy into Python's, as JSON has them: ``np.float32(0.1)`` is 0.1."""
        for field in fields(self):  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), np.generic):
                object.__setattr__(self, field.name, float(str(value)) if isinstance(value, np.floating) else value.item())


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


def _hint(cls: type, unknown: str) -> str:
    """Name the setting that was meant, with the place where it lives."""
    places = {field.name: "" for field in fields(cls)}
    for field in fields(cls):
        for kind in get_args(field.type) or (field.type,):
            if isinstance(kind, type) and is_dataclass(kind):
                for inner in fields(kind):
                    places.setdefault(inner.name, f"{field.name}={kind.__name__}({inner.name}=...)")
    wanted = _ELSEWHERE.get(unknown.lower(), unknown.lower())
    close = [wanted] if wanted in places else difflib.get_close_matches(wanted, places, n=1, cutoff=0.6)
    return f" Did you mean {places[close[0]] or close[0] + '=...'}?" if close else ""
