"""Metrics where exactly one label is right: acoustic scenes, ESC-50, UrbanSound8K.

The predicted label is the one with the highest score; of equal scores the first. ``accuracy`` is the share of clips whose predicted label
is right, ``accuracy/macro`` the mean recall of the labels that occur, in which each label has the same weight ("class-wise average
accuracy" of DCASE task 1).

A clip whose label is unknown, NaN in the truth without a 1 beside it, is left out of every number.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags, check_arrays, detection, mean, name_figures, ratio


def known_clips(truth: ArrayLike) -> Flags:
    """Tell which clips' labels are known, (clips,): those with a 1 in their row, even beside NaN, and those without NaN.

    Examples
    --------
    >>> known_clips([[1, np.nan], [0, np.nan], [np.nan, np.nan], [0, 1]]).tolist()
    [True, False, False, True]
    """
    values = np.asarray(truth, dtype=np.float64)
    return np.asarray((values == 1).any(axis=1) | ~np.isnan(values).any(axis=1))


def confusion(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.int64]:
    """Count clips by true and predicted label.

    Parameters
    ----------
    truth : (clips, labels), one 1 per row and otherwise 0; rows with NaN and without a 1 are unknown and left out.
    scores : (clips, labels), any finite numbers.

    Returns
    -------
    array (labels, labels), int64 : rows are true labels, columns predicted ones.

    Raises
    ------
    MetricError : a known row of the truth does not hold exactly one 1 beside zeros; or as for `dcasekit.metrics.check_arrays`.

    Examples
    --------
    >>> confusion([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).tolist()
    [[1, 0], [1, 1]]
    """
    truth, scores = _check(truth, scores)
    size = scores.shape[1]
    pairs = truth.argmax(axis=1) * size + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def top_k_accuracy(truth: ArrayLike, scores: ArrayLike, *, k: int) -> float:
    """Compute the share of clips whose true label is among the `k` labels with the highest scores; of equal scores the first come first.

    Parameters
    ----------
    truth, scores : as for `confusion`.
    k : from 1, which gives the accuracy, to the number of labels.

    Returns
    -------
    share in [0, 1]; NaN if no clip's label is known.

    Raises
    ------
    MetricError : `k` is out of its range; or as for `confusion`.

    Examples
    --------
    >>> top_k_accuracy([[1, 0, 0], [0, 0, 1]], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    0.5
    """
    truth, scores = _check(truth, scores)
    if not 1 <= k <= truth.shape[1]:
        raise MetricError(f"k must be from 1 to {truth.shape[1]}, the number of labels; got {k}")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return mean((best == truth.argmax(axis=1)[:, None]).any(axis=1).astype(np.float64))


def log_loss(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute the log loss (cross-entropy): the mean over clips of minus the natural logarithm of the true label's probability.

    Parameters
    ----------
    truth : as for `confusion`.
    scores : (clips, labels), probabilities; each row adds up to 1.

    Returns
    -------
    number from 0 on; infinite if the probability of a true label is 0, NaN if no clip's label is known.

    Raises
    ------
    MetricError : scores are not probabilities; or as for `confusion`.

    Examples
    --------
    >>> round(log_loss([[1, 0], [0, 1]], [[0.5, 0.5], [0.0, 1.0]]), 3)
    0.347
    """
    truth, scores = _check(truth, scores)
    off = np.abs(scores.sum(axis=1) - 1) > 1e-3  # what half precision leaves of a softmax is closer
    if wrong := np.flatnonzero(off | (scores < 0).any(axis=1)).tolist():
        raise MetricError(
            f"each clip's scores must be at least 0 and add up to 1 (softmax); clip {wrong[0]} has {scores[wrong[0]].tolist()}"
        )
    with np.errstate(divide="ignore"):
        return mean(-np.log(scores[truth]))


def evaluate(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str]) -> dict[str, float]:
    """Compute all numbers of a classification.

    Parameters
    ----------
    truth, scores : as for `confusion`.
    labels : names of the columns.

    Returns
    -------
    dict : ``accuracy``, ``accuracy/macro``, ``f1/macro``, and ``recall/``, ``precision/``, ``f1/`` of each label; all in [0, 1] or NaN.

    Raises
    ------
    MetricError : as for `confusion`, or the number of labels is not that of the columns.

    Examples
    --------
    >>> evaluate([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], labels=("cat", "dog"))["accuracy/macro"]
    0.75
    """
    check_arrays(truth, scores, labels)
    counts = confusion(truth, scores)
    figures = detection(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0))
    return {
        "accuracy": float(ratio(np.trace(counts), counts.sum())),
        "accuracy/macro": mean(figures["recall"]),
        **name_figures("f1", figures["f1"], labels),
        **name_figures("recall", figures["recall"], labels, macro=False),
        **name_figures("precision", figures["precision"], labels, macro=False),
    }


def _check(truth: ArrayLike, scores: ArrayLike) -> tuple[Flags, Array]:
    """Return truth and scores of the known clips as arrays, or say which clip has not exactly one label."""
    truth, scores = check_arrays(truth, scores)
    known = known_clips(truth)
    ones, others = (truth == 1).sum(axis=1), ((truth != 0) & (truth != 1) & ~np.isnan(truth)).sum(axis=1)
    if wrong := np.flatnonzero(known & ((ones != 1) | (others > 0))).tolist():
        raise MetricError(f"each clip needs exactly one label that is 1; clip {wrong[0]} has {truth[wrong[0]].tolist()}")
    return truth[known] == 1, scores[known]
