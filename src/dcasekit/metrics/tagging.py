"""Metrics where any number of labels may be right: audio tags, weak labels.

A label is in the truth where its value is at least 0.5 (soft labels are cut there) and predicted where its score exceeds
the threshold. Average precision, AUC and lwlrap use the order of the scores alone; equal scores are one step, as in
scikit-learn. mAP is the mean over the labels that have at least one positive clip.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.metrics import Array, check_arrays, detection, named, ratio


def average_precision(truth: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> Array:
    """Sum precision times the step in recall over all distinct scores of a label, without interpolation.

    Parameters
    ----------
    truth, scores : (clips, labels).
    weights : (clips,) or (draws, clips), how often each clip counts; a bootstrap gives many draws at once. Default: once.

    Returns
    -------
    array (labels,), or (draws, labels) : in [0, 1]; NaN where a label has no positive clip.

    Examples
    --------
    >>> average_precision([[1], [0], [1]], [[0.9], [0.8], [0.7]]).round(3).tolist()
    [0.833]
    """
    truth, scores = check_arrays(truth, scores)
    each = np.ones(len(truth)) if weights is None else np.asarray(weights)
    by_clip = np.ascontiguousarray(np.atleast_2d(each).T)  # (clips, draws): sorting clips then moves whole rows
    values = [_average_precision(clips, score, by_clip) for clips, score in zip(truth.T >= 0.5, scores.T, strict=True)]
    return np.stack(values, axis=-1).reshape(*each.shape[:-1], -1)


def auc(truth: ArrayLike, scores: ArrayLike) -> Array:
    """Area under the ROC curve, (labels,): the chance that a positive clip scores above a negative one, ties half.

    NaN where a label has no positive or no negative clip.
    """
    truth, scores = check_arrays(truth, scores)
    areas = []
    for positive, score in zip(truth.T >= 0.5, scores.T, strict=True):
        above, below = score[positive], np.sort(score[~positive])
        beaten = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
        areas.append(ratio(beaten.sum() / 2, len(above) * len(below)))
    return np.array(areas)


def lwlrap(truth: ArrayLike, scores: ArrayLike) -> float:
    """Label-weighted label-ranking average precision: the mean over all pairs of clip and true label.

    For each pair: the share of true labels among those that score at least as high as this label in this clip.
    Defined by DCASE 2019 task 2 (Fonseca et al., "Audio tagging with noisy labels and minimal supervision", 2019).
    NaN if no clip has a label.

    Examples
    --------
    >>> round(lwlrap([[1, 0, 0, 1], [0, 1, 0, 0]], [[0.9, 0.2, 0.8, 0.4], [0.1, 0.3, 0.5, 0.2]]), 6)
    0.722222
    """
    sums, positives = _ranking(*check_arrays(truth, scores))
    return float(ratio(sums.sum(), positives.sum()))


def evaluate(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str], threshold: float = 0.5) -> dict[str, float]:
    """Compute all numbers of a tagging.

    Parameters
    ----------
    truth, scores : (clips, labels).
    labels : the columns.
    threshold : a label is predicted where its score is strictly greater; used by F1, precision and recall alone.

    Returns
    -------
    dict : ``average_precision/``, ``auc/``, ``f1/``, ``precision/``, ``recall/`` of ``macro`` and each label, the last three of
    ``micro`` too; ``lwlrap`` and ``lwlrap/`` of each label.
    """
    truth, scores = check_arrays(truth, scores, labels)
    positive, predicted = truth >= 0.5, scores > threshold
    counts = [array.sum(axis=0) for array in (positive & predicted, positive, predicted)]
    sums, positives = _ranking(truth, scores)
    numbers = named("average_precision", average_precision(truth, scores), labels)
    numbers |= named("auc", auc(truth, scores), labels)
    numbers |= {"lwlrap": float(ratio(sums.sum(), positives.sum()))}
    numbers |= named("lwlrap", ratio(sums, positives), labels, macro=False)
    numbers |= {f"{name}/micro": float(value) for name, value in detection(*(count.sum() for count in counts)).items()}
    for name, values in detection(*counts).items():
        numbers |= named(name, values, labels)
    return numbers


def _average_precision(positive: NDArray[np.bool_], score: Array, weights: NDArray[np.floating]) -> Array:
    """Compute one label's average precision for all draws; weights are (clips, draws)."""
    if not positive.any():
        return np.full(weights.shape[1], np.nan)
    order = np.argsort(-score, kind="stable")
    hits = order[positive[order]]
    first = np.flatnonzero(np.diff(score[hits], prepend=np.inf))  # of each group of positives with equal scores
    end = np.searchsorted(-score[order], -score[hits[first]], side="right")  # clips that score at least as high
    seen = np.add.reduceat(weights[order[: end[-1]]], np.append(0, end[:-1]), axis=0).cumsum(axis=0)
    step = np.add.reduceat(weights[hits], first, axis=0)
    found = step.cumsum(axis=0)
    return ratio((step * np.nan_to_num(ratio(found, seen))).sum(axis=0), found[-1])


def _ranking(truth: Array, scores: Array) -> tuple[Array, Array]:
    """Sum, per label, the precision at the label's rank over the clips that have it; and count those clips."""
    positive = truth >= 0.5
    sums = np.zeros(truth.shape[1])
    for label, clips in enumerate(positive.T):
        ahead = scores[clips] >= scores[clips, label, None]
        sums[label] = ratio((ahead & positive[clips]).sum(axis=1), ahead.sum(axis=1)).sum()
    return sums, positive.sum(axis=0)
