"""Change batches while training: plain functions of a batch and a random generator.

Each takes x (windows, frames, dims), y (windows, ...) and a generator, and gives new x and y; its settings are keyword-only, to be fixed
with `functools.partial`. `train(augment=[...])` applies them in order.
"""

from collections.abc import Callable

import numpy as np

from dcasekit.units import FloatArray

BatchAugmentation = Callable[[FloatArray, FloatArray, np.random.Generator], tuple[FloatArray, FloatArray]]


def time_shift(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rotate each window in time by a random number of frames; targets per frame (windows, frames, labels) go with it."""
    frames = x.shape[1]
    index = (np.arange(frames) - rng.integers(0, frames, len(x))[:, None]) % frames
    rows = np.arange(len(x))[:, None]
    return x[rows, index], y[rows, index] if y.ndim == 3 and y.shape[1] == frames else y


def mixup(x: FloatArray, y: FloatArray, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[FloatArray, FloatArray]:
    """Mix each window with another of the batch, targets in the same ratio (Zhang et al. 2018).

    Parameters
    ----------
    alpha : the ratio is drawn from Beta(alpha, alpha); small values mostly leave windows as they are.
    """
    other = rng.permutation(len(x))
    ratio = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    ratio_y = ratio.reshape(-1, *[1] * (y.ndim - 1))
    ratio = ratio[:, None, None]
    return ratio * x + (1 - ratio) * x[other], ratio_y * y + (1 - ratio_y) * y[other]


def spec_augment(
    x: FloatArray,
    y: FloatArray,
    rng: np.random.Generator,
    *,
    time_masks: int = 2,
    time_frames: int = 20,
    band_masks: int = 2,
    bands: int = 8,
) -> tuple[FloatArray, FloatArray]:
    """Replace random stretches of frames and of bands by the window's mean (SpecAugment, Park et al. 2019).

    Parameters
    ----------
    time_masks, band_masks : how many of each.
    time_frames, bands : the greatest width of one; the width is drawn evenly from 0 on.
    """
    hidden = _stretches(len(x), x.shape[1], time_masks, time_frames, rng)[:, :, None]
    hidden = hidden | _stretches(len(x), x.shape[2], band_masks, bands, rng)[:, None, :]
    return np.where(hidden, x.mean(axis=(1, 2), keepdims=True), x), y


def _stretches(rows: int, length: int, count: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` random stretches per row: (rows, length), True inside."""
    widths = rng.integers(0, min(width, length) + 1, (rows, count, 1))
    firsts = (rng.random((rows, count, 1)) * (length - widths + 1)).astype(np.int64)
    at = np.arange(length)
    return ((at >= firsts) & (at < firsts + widths)).any(axis=1)
