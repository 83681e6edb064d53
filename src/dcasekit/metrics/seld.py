"""Sound event detection part of the DCASE 2019 task 3 metrics, as computed by DcaseNet's code; use it to compare with its figures only.

The frames of all files are joined and cut into blocks, across the borders of files. A class is active in a block if it is active in any of
the block's frames **except the last**, which is ignored. F1 counts every block, even a shorter one at the end; the error rate counts only
complete blocks. With h classes active in both, r in the reference and e in the estimate, summed over blocks::

    f1 = 2 p q / (p + q + 1e-8)    with p = h / (e + 1e-8) and q = h / (r + 1e-8)
    error_rate = (substitutions + deletions + insertions) / r

with errors per block as in `dcasekit.metrics.segment`, which is the metric to use for anything else.

S. Adavanne, A. Politis, J. Nikunen, T. Virtanen, "Sound event localization and detection of overlapping sources using
convolutional recurrent neural networks", IEEE JSTSP 13(1), 2019; J. Jung, H. Shim, J. Kim, H. Yu, "DcaseNet: An integrated
pretrained deep neural network for detecting and classifying acoustic scenes and events", ICASSP 2021, and its code.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.errors import MetricError
from dcasekit.metrics import ratio

EPSILON = 1e-8


def evaluate(reference: ArrayLike, estimate: ArrayLike, *, block_frames: int = 50) -> dict[str, float]:
    """Compute F1 and error rate over blocks, all classes together.

    Parameters
    ----------
    reference, estimate : (frames, classes), the frames of all files one after another; not 0 where a class is active.
    block_frames : frames per block, at least 2. DcaseNet's code has 50, which is 1 s of the 20 ms frames of the 2019 baseline. Its own
        frames last 100 ms, so that its "1-second" figures are for blocks of **5 s** and look better: on one test set F1 0.748 and error
        rate 0.67, where blocks of 1 s (``block_frames=10``) gave 0.574 and 1.47.

    Returns
    -------
    dict : ``f1``, in [0, 1], and ``error_rate``; if no class is active in the reference they are 0 and NaN.

    Raises
    ------
    MetricError : the arrays hold NaN or infinity, differ in shape or are not (frames, classes), or blocks are shorter than 2 frames.

    Examples
    --------
    The estimate is late by one block; the last frame of a block does not count:

    >>> numbers = evaluate([[1], [0], [0], [0]], [[0], [1], [1], [0]], block_frames=2)
    >>> numbers["f1"], numbers["error_rate"]
    (0.0, 2.0)
    """
    given = {"reference": np.asarray(reference, dtype=np.float64), "estimate": np.asarray(estimate, dtype=np.float64)}
    for name, each in given.items():
        if not np.isfinite(each).all():
            raise MetricError(f"{name} must be finite; {np.count_nonzero(~np.isfinite(each))} of its values are NaN or infinity")
    true, found = (each != 0 for each in given.values())
    if true.ndim != 2 or true.shape != found.shape:
        raise MetricError(f"reference and estimate must both be (frames, classes); got {true.shape} and {found.shape}")
    if block_frames < 2:
        raise MetricError(f"block_frames must be at least 2, as the last frame of a block is not looked at; got {block_frames}")
    complete = len(true) // block_frames
    first, second = _blocks(true, block_frames), _blocks(found, block_frames)
    hits, n_first, n_second = (each.sum(axis=1) for each in (first & second, first, second))
    precision, recall = hits.sum() / (n_second.sum() + EPSILON), hits.sum() / (n_first.sum() + EPSILON)
    errors = np.maximum(n_first, n_second) - hits  # min - hits substituted, the difference deleted or inserted
    return {
        "f1": float(2 * precision * recall / (precision + recall + EPSILON)),
        "error_rate": float(ratio(errors[:complete].sum(), n_first[:complete].sum())),
    }


def _blocks(frames: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Say which classes are on in each block, (blocks, classes)."""
    number = math.ceil(len(frames) / size)
    padded = np.zeros((number * size, frames.shape[1]), dtype=bool)
    padded[: len(frames)] = frames
    return np.any(padded.reshape(number, size, frames.shape[1])[:, :-1], axis=1)
