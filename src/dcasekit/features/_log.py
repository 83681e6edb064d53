"""From energy or magnitude to a logarithm, and what needs the whole clip to be known: its maximum."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features._settings import Settings, refuse_unlike_numbers

_TINY = float(np.finfo(np.float32).tiny)  # a smaller floor would be 0 in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Decibels(Settings):
    """Decibels: ``10 log10`` of energy, ``20 log10`` of magnitude.

    Parameters
    ----------
    ref : the energy or magnitude that is 0 dB (default 1); ``"max"``: the clip's maximum.
    amin : smaller energies or magnitudes are raised to this (default 1e-10, as in librosa for energy; for magnitude librosa has 1e-5).
    top_db : raise values that are more than this below the clip's maximum, in dB; ``None`` (default): do not. librosa's default is 80, with
        which the same sound gets different values in a loud and in a quiet file.

    Raises
    ------
    FeatureError : a setting is unknown or out of its range.
    """

    ref: float | Literal["max"] = 1.0
    amin: float = 1e-10
    top_db: float | None = None

    def __post_init__(self) -> None:
        self._make_plain()
        refuse_unlike_numbers(self, ("amin", "top_db", *(() if isinstance(self.ref, str) else ("ref",))))
        ref_is_good = self.ref == "max" if isinstance(self.ref, str) else 0 < self.ref < math.inf
        top_is_good = self.top_db is None or 0 <= self.top_db < math.inf
        if not (_TINY <= self.amin < math.inf and ref_is_good and top_is_good):
            raise FeatureError(f"decibels need amin > 0, ref > 0 or 'max', top_db >= 0 or None; got {self}")

    @property
    def needs_clip(self) -> bool:
        """Whether values depend on the clip's maximum."""
        return self.ref == "max" or self.top_db is not None

    def apply(self, spectrum: FloatArray, power: int) -> FloatArray:
        """Take the logarithm of non-negative values, in place."""
        np.maximum(spectrum, np.float32(self.amin), out=spectrum)
        np.log(spectrum, out=spectrum)  # several times faster than log10, and as exact
        spectrum *= np.float32(20 / power / np.log(10))
        if self.ref != "max":
            spectrum -= np.float32(20 / power * np.log10(max(self.ref, self.amin)))
        return spectrum

    def finish(self, levels: FloatArray, peak: np.float32) -> FloatArray:
        """Apply what depends on the clip's maximum, in place, to a part of the clip."""
        if self.ref == "max":
            levels -= peak
            peak = np.float32(0)
        if self.top_db is not None:
            np.maximum(levels, peak - np.float32(self.top_db), out=levels)
        return levels


@dataclass(frozen=True, kw_only=True, slots=True)
class NaturalLog(Settings):
    """Natural logarithm with a floor, which keeps silence from becoming minus infinity.

    Parameters
    ----------
    floor : above 0, in the unit of the spectrum, energy or magnitude (default 1e-10).
    mode : what is done with it. ``"clip"`` (default): ``log(max(x, floor))``. ``"add"``: ``log(x + floor)`` (dcase_util with 2**-52, VGGish
        with 0.01). ``"zeros"``: it takes the place of exact zeros only (DcaseNet with 1e-7).

    Raises
    ------
    FeatureError : a setting is unknown or out of its range.
    """

    floor: float = 1e-10
    mode: Literal["clip", "add", "zeros"] = "clip"
    needs_clip = False

    def __post_init__(self) -> None:
        self._make_plain()
        refuse_unlike_numbers(self, ("floor",))
        if not _TINY <= self.floor < math.inf:
            raise FeatureError(f"the floor of a logarithm must be positive in float32; got {self.floor}")
        if self.mode not in ("clip", "add", "zeros"):
            raise FeatureError(f"mode of a logarithm must be one of 'clip', 'add', 'zeros'; got {self.mode!r}")

    def apply(self, spectrum: FloatArray, power: int) -> FloatArray:  # noqa: ARG002 - the logarithm of what is given
        """Take the logarithm of non-negative values, in place."""
        floor = np.float32(self.floor)
        if self.mode == "add":
            spectrum += floor
        elif self.mode == "clip":
            np.maximum(spectrum, floor, out=spectrum)
        else:
            spectrum[spectrum == 0] = floor
        return np.log(spectrum, out=spectrum)

    def finish(self, levels: FloatArray, peak: np.float32) -> FloatArray:  # noqa: ARG002
        """Change nothing: no value depends on the rest of the clip."""
        return levels


Log = Decibels | NaturalLog
