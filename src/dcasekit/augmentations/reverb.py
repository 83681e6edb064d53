"""In a room."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.augmentations._folder import choice, recordings, without_place
from dcasekit.augmentations._level import power
from dcasekit.augmentations.base import Augmentation, Events, refuse_reversed
from dcasekit.core.units import FloatArray, Hz, PathLike
from dcasekit.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Reverb(Augmentation):
    """Convolve with the impulse response of a room, measured (drawn from a folder) or synthetic.

    The direct sound keeps its time, so that events stay: they say when the source sounds, not how long the room reverberates. Length and
    level (mean power) stay, too; reverberation after the end is cut. The peak of a measured response is taken as its direct sound.

    A synthetic response is the direct sound followed by white noise that decays exponentially (Polack's model), by 60 dB within the
    reverberation time.

    Parameters
    ----------
    folder : folder of measured impulse responses (wav, flac ...), which may lie in subfolders; their first channel is used, resampled
        where needed. ``None``: synthetic responses.
    min_rt60, max_rt60 : range in seconds, above 0, ``min_rt60 <= max_rt60``, from which the reverberation time of a synthetic response is
        drawn uniformly. Rooms have 0.2 to 1 s, halls 1 to 3 s. Not used with a folder.
    drr : direct-to-reverberant ratio of a synthetic response in dB: the energy of the direct sound over that of the noise. In rooms from -5
        (far) to 15 (near). Not used with a folder.

    Raises
    ------
    DatasetError : the range of times is empty or not above 0; when it is drawn: the folder is missing, or holds no audio.

    Examples
    --------
    >>> audio, _ = Reverb().apply([0, 0, 1, 0, 0, 0], None, {"rt60": 0.5, "drr": 10.0, "seed": 1}, sr=8000)
    >>> audio.shape, int(audio.argmax()), bool(abs(audio[:2]).max() < 1e-6)
    ((6,), 2, True)
    """

    folder: PathLike | None = None
    min_rt60: float = 0.2
    max_rt60: float = 1.0
    drr: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folder is not None:
            object.__setattr__(self, "folder", os.fspath(self.folder))
        refuse_reversed(self, "rt60", "s")
        if self.min_rt60 <= 0:
            raise DatasetError(f"Reverb: min_rt60 must be above 0 s; got {self.min_rt60}")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a ``file``; or ``rt60`` in seconds and the ``seed`` of the noise, which are returned with ``drr``."""
        if self.folder is not None:
            return {"file": choice(self._names, rng)}
        return {"rt60": float(rng.uniform(self.min_rt60, self.max_rt60)), "drr": self.drr, "seed": int(rng.integers(2**53))}

    def files(self, params: Mapping[str, Any]) -> list[Path]:
        """Return the file of the impulse response; none if it is synthetic."""
        return [] if self.folder is None else [Path(self.folder, params["file"])]

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Convolve, and restore the level that the audio had before."""
        from scipy.signal import oaconvolve

        response = next((audio_files.read(path, sr=sr, channel=0)[0] for path in self.files(params)), None)
        response = _synthetic(params, sr) if response is None else response
        direct = int(np.abs(response).argmax())
        wet = oaconvolve(audio, response)[direct : direct + len(audio)]
        level = power(wet)
        return wet * np.float32(np.sqrt(power(audio) / level) if level else 0), events

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return recordings(self.folder or "")

    @property
    def _identity(self) -> dict[str, Any]:
        return self.settings if self.folder is None else without_place(self.settings, self._names)


def _synthetic(params: Mapping[str, Any], sr: Hz) -> FloatArray:
    """Make a response (samples,): 1, then noise that falls by 60 dB within ``rt60``."""
    tail = np.random.default_rng(params["seed"]).standard_normal(max(1, round(params["rt60"] * sr)))
    tail *= 10 ** (-3 * np.arange(1, len(tail) + 1) / (params["rt60"] * sr))
    tail *= np.sqrt(10 ** (-params["drr"] / 10) / np.square(tail).sum())
    return np.concatenate([[1], tail]).astype(np.float32)
