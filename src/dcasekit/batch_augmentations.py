"""Augment batches in training: plain functions of a batch and a random generator.

Each takes x (windows, frames, dims), float32, y (windows, labels) or (windows, frames, labels), and a NumPy generator, and returns a new x
and y; what it was given stays as it is. Settings are keyword-only, to be fixed with `functools.partial`. `train(augment=[...])` applies the
functions in order. An unknown target is NaN, and a target into which one is mixed becomes NaN.

The functions in `ON_TENSORS` also take x as a PyTorch tensor, on any device, and change it there; they draw the same random numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray

BatchAugmentation = Callable[[FloatArray, FloatArray, np.random.Generator], tuple[FloatArray, FloatArray]]


def time_shift(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, most: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Rotate each window in time by a random number of frames: what leaves at one end enters at the other. Frame-level targets move along.

    Parameters
    ----------
    most : the largest shift in frames, in either direction; ``None``: any shift is equally likely.
    """
    frames = x.shape[1]
    start = rng.integers(0, frames, len(x)) if most is None else rng.integers(-most, most + 1, len(x))
    return _rotate(x, y, start, frames)


def mixup(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[FloatArray, FloatArray]:
    """Mix each window with a random window of the batch, and the targets in the same ratio (mixup, Zhang et al. 2018).

    Parameters
    ----------
    alpha : above 0; the ratio is drawn from Beta(alpha, alpha) for each window. The smaller it is, the more often one of the two windows
        makes up nearly all of the mixture; with 1 all ratios are equally likely.
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
    """Mask random stretches of frames and of bands in each window (SpecAugment, Park et al. 2019); targets stay as they are.

    Parameters
    ----------
    time_masks, band_masks : number of masks over time and over bands.
    time_frames, bands : the largest width of a mask, in frames and in bands; each width is drawn uniformly from 0 to this.
    value : what masked values become, such as the level of silence; ``None``: the mean of the window.
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
    """Keep a random stretch of frames of each window, which may run over the window's end and go on at its beginning.

    Frame-level targets are cut in the same way. It combines a time shift and a crop; validation and prediction still get whole windows.

    Parameters
    ----------
    frames : length of the stretch in frames.
    """
    return _rotate(x, y, rng.integers(0, x.shape[1], len(x)), frames)


def _rotate(x: FloatArray, y: FloatArray, start: NDArray[np.int64], frames: int) -> tuple[FloatArray, FloatArray]:
    index = (start[:, None] + np.arange(frames)) % x.shape[1]
    rows = np.arange(len(x))[:, None]
    return x[rows, index], y[rows, index] if y.ndim == 3 and y.shape[1] == x.shape[1] else y


def frequency_shift(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, bands: int = 2) -> tuple[FloatArray, FloatArray]:
    """Shift each window up or down in frequency by a random number of bands; the outermost band is repeated to fill the gap.

    Parameters
    ----------
    bands : the largest shift in bands, in either direction.
    """
    shift = rng.integers(-bands, bands + 1, len(x))
    index = np.clip(np.arange(x.shape[2]) + shift[:, None], 0, x.shape[2] - 1)
    return x[np.arange(len(x))[:, None, None], np.arange(x.shape[1])[:, None], index[:, None, :]], y


def equalize(
    x: FloatArray, y: FloatArray, rng: np.random.Generator, *, deviation: float = 5.0, knots: int = 6
) -> tuple[FloatArray, FloatArray]:
    """Add a random frequency response to each window, as another microphone would; x holds levels in dB.

    Parameters
    ----------
    deviation : standard deviation, in dB, of the gain at each knot, which is drawn from a normal distribution with mean 0.
    knots : number of knots, at least 2, spread evenly over the bands; between them the gain is interpolated linearly.
    """
    gains = rng.normal(0, deviation, (len(x), knots))
    at = np.linspace(0, knots - 1, x.shape[2])
    left = np.minimum(at.astype(np.int64), knots - 2)
    response = gains[:, left] + (at - left) * (gains[:, left + 1] - gains[:, left])
    return x + _like(x, response[:, None, :].astype(np.float32)), y


def random_gain(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, decibels: float = 6.0) -> tuple[FloatArray, FloatArray]:
    """Raise or lower the level of each window; x holds levels in dB.

    Parameters
    ----------
    decibels : the largest change in dB; the change is drawn uniformly from ``[-decibels, decibels]``.
    """
    return x + _like(x, rng.uniform(-decibels, decibels, (len(x), 1, 1)).astype(np.float32)), y


def freq_mix_style(
    x: FloatArray, y: FloatArray, rng: np.random.Generator, *, probability: float = 0.4, alpha: float = 0.3
) -> tuple[FloatArray, FloatArray]:
    """Mix the band statistics of each window with those of another in the batch, as if another device had recorded it.

    Freq-MixStyle (Schmid et al., DCASE Workshop 2022): each band is normalised to mean 0 and standard deviation 1 over the frames of the
    window, then rescaled to a mean and a standard deviation mixed from those of both windows. Targets stay as they are. x holds log
    energies.

    Parameters
    ----------
    probability : that a batch is changed at all.
    alpha : above 0; the share of the window's own statistics is drawn from Beta(alpha, alpha).
    """
    if rng.random() >= probability:
        return x, y
    mean, deviation = x.mean(axis=1, keepdims=True), np.sqrt(x.var(axis=1, keepdims=True, ddof=min(1, x.shape[1] - 1)) + 1e-6)
    ratio, other = rng.beta(alpha, alpha, len(x)).astype(np.float32), rng.permutation(len(x))
    plain = (x - mean) / deviation
    return (plain * _mix(deviation, deviation[other], ratio) + _mix(mean, mean[other], ratio)).astype(np.float32, copy=False), y


def between_class(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Mix each window with another of the batch as sounds mix in the air: by their energies. x holds levels in dB.

    Between-class learning (Tokozume, Ushiku, Harada 2018), carried over from waveforms to energies. The ratio of the amplitudes is drawn
    uniformly from [0, 1] for each window, and targets are mixed in that ratio. The windows should be about equally loud, because levels are
    not compared first.
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
    """Add the energy of a random background noise to each window; x holds levels in dB. Targets stay as they are.

    Around the drawn level and slope, the noise varies from value to value with a standard deviation of 3 dB.

    Parameters
    ----------
    low, high : range, in dB, from which the level of the noise is drawn uniformly for each window.
    tilt : dB; the level rises or falls linearly over the bands, by at most this from the middle band to the outermost.
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
