"""Choose a decision threshold for each label: on validation clips, never on test clips.

A label is predicted where its score is strictly greater than the threshold, as everywhere in dcasekit. So the thresholds found here can be
passed to `to_events` and `to_tags` as they are, and to `tagging.evaluate` as ``threshold=[*found.values()]``. A threshold lies halfway
between the lowest score that is predicted and the next lower one, and is -infinity where all clips are predicted. It is NaN for a label
that is present in no validation clip, because there is nothing to choose it by; no score is greater than NaN, so that such a label is
never predicted.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags, binarize, check_arrays


def best_f1(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str], grid: Sequence[float] | None = None) -> dict[str, float]:
    """Find the threshold with the highest F1 for each label.

    Parameters
    ----------
    truth, scores : (clips, labels), of validation clips; a label is present where its truth is above 0.5; clips where it is NaN are left
        out.
    labels : names of the columns.
    grid : thresholds to try, in this order; if several give the highest F1, the first is taken. With a grid, a label counts as predicted
        where its score is *at least* the threshold, as in the DCASE 2018 task 4 baseline, which tries ``np.arange(11) / 10``. ``None``:
        all thresholds that make a difference; if several give the highest F1, the highest is taken, with the fewest predictions.

    Returns
    -------
    dict : label -> threshold, in the order of `labels`; NaN for a label that is present in no clip.

    Raises
    ------
    MetricError : the grid is empty or not finite; or as for `dcasekit.metrics.check_arrays`.

    Examples
    --------
    >>> best_f1([[1], [0], [1], [0]], [[0.875], [0.75], [0.5], [0.25]], labels=("dog",))
    {'dog': 0.375}
    >>> best_f1([[1], [0], [1], [0]], [[0.9], [0.8], [0.5], [0.2]], labels=("dog",), grid=[0.0, 0.3, 0.5])
    {'dog': 0.3}
    """
    truth, scores = check_arrays(truth, scores, labels)
    tried = None if grid is None else np.asarray(grid, dtype=np.float64)
    if tried is not None and (tried.ndim != 1 or not tried.size or not np.isfinite(tried).all()):
        raise MetricError(f"the grid must be one or more finite thresholds, got {grid!r}")
    chosen = dict.fromkeys(labels, float("nan"))
    for label, positive, score in _choose_known(truth, scores, labels):
        if positive.any():
            limits, hits, predicted = _counts(positive, score, tried)
            chosen[label] = float(limits[np.argmax(2 * hits / (positive.sum() + predicted))])
    return chosen


def for_precision(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str], precision: float) -> dict[str, float]:
    """Find the lowest threshold with at least the requested precision for each label, and so the highest recall at that precision.

    Precision does not always rise with the threshold: a higher threshold may have a lower precision.

    Parameters
    ----------
    truth, scores, labels : as for `best_f1`.
    precision : the least precision, in (0, 1].

    Returns
    -------
    dict : label -> threshold; infinity where no threshold reaches the precision, so that the label is never predicted; NaN for a label that
        is present in no clip.

    Raises
    ------
    MetricError : the precision is out of its range; or as for `dcasekit.metrics.check_arrays`.

    Examples
    --------
    >>> for_precision([[1], [0], [1], [0]], [[0.875], [0.75], [0.5], [0.25]], labels=("dog",), precision=0.6)
    {'dog': 0.375}
    """
    truth, scores = check_arrays(truth, scores, labels)
    if not 0 < precision <= 1:
        raise MetricError(f"precision must be above 0 and at most 1, got {precision}")
    chosen = dict.fromkeys(labels, float("nan"))
    for label, positive, score in _choose_known(truth, scores, labels):
        if positive.any():
            limits, hits, predicted = _counts(positive, score, None)
            chosen[label] = float(limits[hits / predicted >= precision].min(initial=np.inf))
    return chosen


def _choose_known(truth: Array, scores: Array, labels: Sequence[str]) -> Iterator[tuple[str, Flags, Array]]:
    """Yield each label, whether the clips that know of it hold it, and their scores."""
    positive, known = binarize(truth)
    for label, present, certain, score in zip(labels, positive.T, known.T, scores.T, strict=True):
        yield label, present[certain], score[certain]


def _counts(positive: Flags, score: Array, grid: Array | None) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Count hits and predictions of one label at each threshold: those of the grid, else all that differ, from the highest down."""
    order = np.argsort(-score, kind="stable")
    falling, hits = -score[order], np.append(0, positive[order].cumsum())
    if grid is not None:
        predicted = np.searchsorted(falling, -grid, side="right")  # clips of at least that score
        return grid, hits[predicted], predicted
    predicted = np.append(np.flatnonzero(np.diff(falling)), len(score) - 1) + 1
    lowest, below = -falling[predicted - 1], -np.append(falling, np.inf)[predicted]
    middle = lowest / 2 + below / 2
    # Scores a rounding error apart have no number between them, at least none in float32, the type of `Scores`.
    return np.where(middle.astype(np.float32) < lowest.astype(np.float32), middle, below), hits[predicted], predicted
