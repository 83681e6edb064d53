"""Change batches while training: plain functions of a batch and a random generator.

Each takes x (windows, frames, dims), y (windows, ...) and a generator, and gives new x and y; its settings are keyword-only, to be fixed
with `functools.partial`. `train(augment=[...])` applies them in order. An unknown target is NaN, and so is what it is mixed into.

Those of `ON_TENSORS` take x as a PyTorch tensor, too, on any device, and change it there; the numbers drawn are the same.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray

BatchAugmentation = Callable[[FloatArray, FloatArray, np.random.Generator], tuple[FloatArray, FloatArray]]


def time_shift(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, most: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Rotate each window in time by a random number of frames; targets per frame (windows, frames, labels) go with it.

    Parameters
    ----------
    most : frames, in either direction; ``None``: any number.
    """
    frames = x.shape[1]
    start = rng.integers(0, frames, len(x)) if most is None else rng.integers(-most, most + 1, len(x))
    return _rotate(x, y, start, frames)


def mixup(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[FloatArray, FloatArray]:
    """Mix each window with another of the batch, targets in the same ratio (Zhang et al. 2018).

    Parameters
    ----------
    alpha : the ratio is drawn from Beta(alpha, alpha); small values mostly leave windows as they are.
    """
    other = rng.permutation(len(x))
    ratio = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    return _mix(x, x[other], ratio), _mix(y, y[other], ratio)


def spec_augment(
    x: FloatArray,
    y: FloatArray,
    rng: np.random.Generator,
    *,
    time_masks: int = 2,
    time_frames: int = 20,
    band_masks: int = 2,
    bands: int = 8,
    value: float | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Replace random stretches of frames and of bands by the window's mean (SpecAugment, Park et al. 2019).

    Parameters
    ----------
    time_masks, band_masks : how many of each.
    time_frames, bands : the greatest width of one; the width is drawn evenly from 0 on.
    value : in place of the mean, such as that of silence.
    """
    hidden = _stretches(len(x), x.shape[1], time_masks, time_frames, rng)[:, :, None]
    hidden = hidden | _stretches(len(x), x.shape[2], band_masks, bands, rng)[:, None, :]
    if not isinstance(x, np.ndarray):
        return x.where(_like(x, hidden) == 0, x.mean(axis=(1, 2), keepdims=True) if value is None else value), y
    return np.where(hidden, x.mean(axis=(1, 2), keepdims=True) if value is None else np.float32(value), x), y


def _stretches(rows: int, length: int, count: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw `count` random stretches per row: (rows, length), True inside."""
    widths = rng.integers(0, min(width, length) + 1, (rows, count, 1))
    firsts = (rng.random((rows, count, 1)) * (length - widths + 1)).astype(np.int64)
    at = np.arange(length)
    return np.logical_or.reduce((at >= firsts) & (at < firsts + widths), axis=1)


def random_crop(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, frames: int) -> tuple[FloatArray, FloatArray]:
    """Keep a random stretch of frames of each window, which may run over its end to its beginning.

    Targets per frame are cut alike. For windows that were trained whole and are answered whole, this is time shift and crop in one.
    """
    return _rotate(x, y, rng.integers(0, x.shape[1], len(x)), frames)


def _rotate(x: FloatArray, y: FloatArray, start: NDArray[np.int64], frames: int) -> tuple[FloatArray, FloatArray]:
    index = (start[:, None] + np.arange(frames)) % x.shape[1]
    rows = np.arange(len(x))[:, None]
    return x[rows, index], y[rows, index] if y.ndim == 3 and y.shape[1] == x.shape[1] else y


def frequency_shift(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, bands: int = 2) -> tuple[FloatArray, FloatArray]:
    """Move each window up or down by at most so many bands; the outermost band fills the gap."""
    shift = rng.integers(-bands, bands + 1, len(x))
    index = np.clip(np.arange(x.shape[2]) + shift[:, None], 0, x.shape[2] - 1)
    return x[np.arange(len(x))[:, None, None], np.arange(x.shape[1])[:, None], index[:, None, :]], y


def equalize(
    x: FloatArray, y: FloatArray, rng: np.random.Generator, *, deviation: float = 5.0, knots: int = 6
) -> tuple[FloatArray, FloatArray]:
    """Add a random frequency response to each window of levels in dB, as another microphone would.

    Parameters
    ----------
    deviation : dB, of the normally distributed gain at each knot; in between it is a straight line.
    knots : spread evenly over the bands.
    """
    gains = rng.normal(0, deviation, (len(x), knots))
    at = np.linspace(0, knots - 1, x.shape[2])
    left = np.minimum(at.astype(np.int64), knots - 2)
    response = gains[:, left] + (at - left) * (gains[:, left + 1] - gains[:, left])
    return x + _like(x, response[:, None, :].astype(np.float32)), y


def random_gain(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, decibels: float = 6.0) -> tuple[FloatArray, FloatArray]:
    """Raise or lower each window of levels in dB by at most so many decibels."""
    return x + _like(x, rng.uniform(-decibels, decibels, (len(x), 1, 1)).astype(np.float32)), y


def freq_mix_style(
    x: FloatArray, y: FloatArray, rng: np.random.Generator, *, probability: float = 0.4, alpha: float = 0.3
) -> tuple[FloatArray, FloatArray]:
    """Give each window of log energies a mixture of its own colour and of another's in the batch, as another device would record it.

    Freq-MixStyle (Schmid et al., DCASE Workshop 2022): each band is brought to mean 0 and deviation 1 over the window's time, then to mean
    and deviation mixed from both windows. Targets stay.

    Parameters
    ----------
    probability : that a batch is treated at all.
    alpha : the share of a window's own colour is drawn from Beta(alpha, alpha).
    """
    if rng.random() >= probability:
        return x, y
    mean, deviation = x.mean(axis=1, keepdims=True), np.sqrt(x.var(axis=1, keepdims=True, ddof=min(1, x.shape[1] - 1)) + 1e-6)
    ratio, other = rng.beta(alpha, alpha, len(x)).astype(np.float32), rng.permutation(len(x))
    plain = (x - mean) / deviation
    return (plain * _mix(deviation, deviation[other], ratio) + _mix(mean, mean[other], ratio)).astype(np.float32, copy=False), y


def between_class(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Mix sounds as sounds mix: the energies of two windows of levels in dB, at a random ratio of amplitudes, targets in that ratio.

    Between-class learning (Tokozume, Ushiku, Harada 2018) in the energy domain; windows should be of about one level.
    """
    other = rng.permutation(len(x))
    ratio = rng.random(len(x), dtype=np.float32)
    share: FloatArray = (ratio**2 / (ratio**2 + (1 - ratio) ** 2))[:, None, None]
    energy = _energy(x)
    mixed = share * energy + (1 - share) * energy[other]
    return _decibels(mixed), _mix(y, y[other], ratio)


def add_noise(
    x: FloatArray,
    y: FloatArray,
    rng: np.random.Generator,
    *,
    low: float = -90.0,
    high: float = -40.0,
    tilt: float = 20.0,
) -> tuple[FloatArray, FloatArray]:
    """Add the energy of a background noise to each window of levels in dB.

    Parameters
    ----------
    low, high : dB, range of its level.
    tilt : dB, the most by which it rises or falls from the middle band to the outermost.
    """
    level = rng.uniform(low, high, (len(x), 1, 1))
    slope = rng.uniform(-tilt, tilt, (len(x), 1, 1)) * np.linspace(-1, 1, x.shape[2])
    noise = rng.standard_normal(x.shape, dtype=np.float32) * 3 + (level + slope).astype(np.float32)
    return _decibels(_energy(x) + _energy(noise)), y


def _mix(first: FloatArray, second: FloatArray, ratio: FloatArray) -> FloatArray:
    """Mix rows; what has no part in a mixture has no part in what is unknown of it either."""
    ratio = ratio.reshape(-1, *[1] * (first.ndim - 1))
    if not isinstance(first, np.ndarray):  # a tensor of windows, which are known
        return _like(first, ratio) * first + _like(first, 1 - ratio) * second
    return np.where(ratio == 1, first, np.where(ratio == 0, second, ratio * first + (1 - ratio) * second))


def _energy(decibels: FloatArray) -> FloatArray:
    return np.exp(decibels * np.float32(np.log(10) / 10))


def _decibels(energy: FloatArray) -> FloatArray:
    return np.log(energy) * np.float32(10 / np.log(10))


def _like(x: Any, values: Any) -> Any:
    """Return numbers as x is: an array, or a tensor on its device."""
    return values if isinstance(x, np.ndarray) else x.new_tensor(values)


_CHANGING_TENSORS = (time_shift, mixup, spec_augment, random_crop, frequency_shift, equalize, random_gain)
ON_TENSORS: frozenset[Callable[..., Any]] = frozenset(_CHANGING_TENSORS)
