"""Metrics where any number of labels may be right: audio tags, weak labels.

A clip is positive for a label where the truth is above 0.5 (soft labels are hardened there), and left out of that label where it is NaN,
unknown. A label is predicted where its score exceeds the threshold. Average precision, AUC, lwlrap and `ranking` use only the order of the
scores; equal scores are one step, as in scikit-learn. mAP is the mean over the labels that have at least one positive clip.

`average_precision` and `auc` take weights of the clips, for many draws of a bootstrap at once (`dcasekit.metrics.bootstrap`), so that the
clips are sorted once for all draws.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags, binarize, check_arrays, detection, mean, name_figures, ratio

Positions = NDArray[np.intp]


def average_precision(truth: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> Array:
    """Compute the average precision of each label: the sum over its distinct scores of precision times the step in recall.

    There is no interpolation.

    Parameters
    ----------
    truth, scores : (clips, labels); a clip whose truth is NaN is left out of that label.
    weights : (clips,) or (draws, clips), at least 0: how often each clip counts. ``None``: once.

    Returns
    -------
    array (labels,), or (draws, labels) if there are draws : in [0, 1]; NaN where a label has no positive clip.

    Raises
    ------
    MetricError : the weights have another shape, are negative or not finite; or as for `dcasekit.metrics.check_arrays`.

    Examples
    --------
    >>> average_precision([[1], [0], [1]], [[0.9], [0.8], [0.7]]).round(3).tolist()
    [0.833]
    """
    truth, scores = check_arrays(truth, scores)
    by_clip, draws = _by_clip(weights, len(truth))
    values = np.full((by_clip.shape[1], truth.shape[1]), np.nan)
    for label, (positive, score, weight) in enumerate(_choose_known(truth, scores, by_clip)):
        if positive.any():
            steps = _steps(positive, score)
            seen = _sums(steps.order[: steps.end[-1]], np.append(0, steps.end[:-1]), weight).cumsum(axis=0)
            step = _sums(steps.hits, steps.first, weight)
            precision = step.cumsum(axis=0)
            found = precision[-1].copy()
            precision /= np.maximum(seen, np.finfo(np.float64).tiny)  # 0 where nothing was seen; in place, these arrays are the largest
            values[:, label] = ratio(np.einsum("sd,sd->d", step, precision), found)
    return values.reshape(*draws, -1)


def auc(truth: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> Array:
    """Compute the area under the ROC curve of each label.

    It is the probability that a positive clip has a higher score than a negative one, where equal scores count half. Parameters, return
    value and errors are those of `average_precision`; NaN where a label has no positive or no negative clip.

    Examples
    --------
    >>> auc([[1], [0], [1], [0]], [[0.9], [0.8], [0.8], [0.1]]).tolist()
    [0.875]
    """
    truth, scores = check_arrays(truth, scores)
    by_clip, draws = _by_clip(weights, len(truth))
    values = np.full((by_clip.shape[1], truth.shape[1]), np.nan)
    for label, (positive, score, weight) in enumerate(_choose_known(truth, scores, by_clip)):
        if positive.any():
            steps, total = _steps(positive, score), weight.sum(axis=0, dtype=np.float64)
            step = _sums(steps.hits, steps.first, weight)
            found = step.sum(axis=0)
            bounds = np.stack([steps.start, steps.end], axis=1).ravel()  # around each step
            seen = _sums(steps.order[: bounds[-1]], np.append(0, bounds[:-1]), weight).cumsum(axis=0)
            # Beaten negatives: all, less those above, less half of those beside. `seen` counts positives as well.
            ahead = (seen[::2] + seen[1::2] + step) / 2 - step.cumsum(axis=0)
            values[:, label] = ratio(np.einsum("sd,sd->d", step, total - found - ahead), found * (total - found))
    return values.reshape(*draws, -1)


def d_prime(area: ArrayLike) -> Array:
    """Turn areas under the ROC curve into d' (d-prime): sqrt(2) times the normal quantile of the area.

    It is the distance, in standard deviations, between the means of two normal distributions that give this area; 0 is chance, infinity is
    perfect. J. F. Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for audio events", ICASSP 2017.

    Parameters
    ----------
    area : one or an array of any shape, in [0, 1]; NaN stays NaN.

    Examples
    --------
    >>> d_prime([0.5, 0.959]).round(2).tolist()
    [0.0, 2.46]
    """
    from scipy.special import ndtri

    return np.asarray(np.sqrt(2) * ndtri(np.asarray(area, dtype=np.float64)))


def lwlrap(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute the label-weighted label-ranking average precision: the mean, over all pairs of a clip and a true label, of a precision.

    The precision is the share of true labels among the labels whose scores in this clip are at least as high as that of this label. So
    equal scores all take the worst rank they could have, as in scikit-learn. Labels that are unknown in a clip are not ranked there.
    Defined by DCASE 2019 task 2 (Fonseca et al., "Audio tagging with noisy labels and minimal supervision", 2019).

    It takes no weights; for a bootstrap, it is the mean of ``label_ranking_average_precision`` of `ranking`, with clips weighted by their
    number of true labels.

    Parameters
    ----------
    truth, scores : (clips, labels); NaN in the truth is unknown.

    Returns
    -------
    number in [0, 1]; NaN if no clip has a label.

    Examples
    --------
    >>> round(lwlrap([[1, 0, 0, 1], [0, 1, 0, 0]], [[0.9, 0.2, 0.8, 0.4], [0.1, 0.3, 0.5, 0.2]]), 6)
    0.722222
    """
    right, rank = _ranks(*check_arrays(truth, scores))
    return float(ratio(np.nansum(ratio(right, rank)), np.count_nonzero(rank)))


def ranking(truth: ArrayLike, scores: ArrayLike) -> dict[str, Array]:
    """Evaluate the order of the labels within each clip; the means over clips are scikit-learn's metrics of the same names.

    G. Tsoumakas, I. Katakis, I. Vlahavas, "Mining multi-label data", 2010. Equal scores all take the worst rank they could have.

    Parameters
    ----------
    truth, scores : (clips, labels); labels whose truth is NaN, unknown, are not ranked.

    Returns
    -------
    dict : name -> array (clips,), NaN for clips without a known label. ``label_ranking_average_precision``, in [0, 1]: mean precision at
        the ranks of the true labels, 1 for a clip without true labels. ``coverage_error``: rank of the last true label, from 1, or 0 for a
        clip without true labels. ``ranking_loss``, in [0, 1]: share of the pairs of a true and another label that are in the wrong order, 0
        if there are no such pairs.

    Examples
    --------
    >>> values = ranking([[1, 0, 0, 1]], [[0.9, 0.2, 0.8, 0.4]])
    >>> {name: value.round(3).tolist() for name, value in values.items()}
    {'label_ranking_average_precision': [0.833], 'coverage_error': [3.0], 'ranking_loss': [0.25]}
    """
    truth, scores = check_arrays(truth, scores)
    right, rank = _ranks(truth, scores)
    true, known = np.count_nonzero(rank, axis=1), binarize(truth)[1].sum(axis=1)
    values = {
        "label_ranking_average_precision": np.where(true == 0, 1.0, ratio(np.nansum(ratio(right, rank), axis=1), true)),
        "coverage_error": rank.max(axis=1).astype(np.float64),
        "ranking_loss": np.nan_to_num(ratio((rank - right).sum(axis=1), true * (known - true))),
    }
    return {name: np.where(known == 0, np.nan, value) for name, value in values.items()}


def evaluate(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str], threshold: float | Sequence[float] = 0.5) -> dict[str, float]:
    """Compute all numbers of a tagging.

    Parameters
    ----------
    truth, scores : (clips, labels); NaN in the truth is unknown and left out.
    labels : names of the columns.
    threshold : one for all labels or one per label; a label is predicted where its score is strictly greater. Only F1, precision and recall
        depend on it.

    Returns
    -------
    dict : ``average_precision/``, ``auc/``, ``d_prime/``, ``f1/``, ``precision/``, ``recall/`` of ``macro`` and each label, the last three
        also of ``micro``; ``lwlrap`` and ``lwlrap/`` of each label. ``d_prime/macro`` is d' of ``auc/macro``, as in AudioSet's paper
        (AUC 0.959, d' 2.452), not the mean over labels, which would be infinite if one label is perfect.

    Raises
    ------
    MetricError : there is neither one threshold nor one per label; or as for `dcasekit.metrics.check_arrays`.
    """
    truth, scores = check_arrays(truth, scores, labels)
    limits = np.asarray(threshold, dtype=np.float64)
    if limits.shape not in {(), (len(labels),)}:
        raise MetricError(f"need one threshold, or one for each of the {len(labels)} labels; got {threshold!r}")
    positive, known = binarize(truth)
    predicted = (scores > limits) & known
    counts = [array.sum(axis=0) for array in (positive & predicted, positive, predicted)]
    right, rank = _ranks(truth, scores)
    precision, areas = ratio(right, rank), auc(truth, scores)
    numbers = name_figures("average_precision", average_precision(truth, scores), labels)
    numbers |= name_figures("auc", areas, labels)
    numbers |= {"d_prime/macro": float(d_prime(mean(areas)))} | name_figures("d_prime", d_prime(areas), labels, macro=False)
    numbers |= {"lwlrap": float(ratio(np.nansum(precision), positive.sum()))}
    numbers |= name_figures("lwlrap", ratio(np.nansum(precision, axis=0), positive.sum(axis=0)), labels, macro=False)
    numbers |= {f"{name}/micro": float(value) for name, value in detection(*(count.sum() for count in counts)).items()}
    for name, values in detection(*counts).items():
        numbers |= name_figures(name, values, labels)
    return numbers


def _choose_known(truth: Array, scores: Array, by_clip: NDArray[np.generic]) -> Iterator[tuple[Flags, Array, NDArray[np.generic]]]:
    """Give, label by label, the clips whose truth is known: whether they hold it, their scores, their weights (clips, draws)."""
    positive, known = binarize(truth)
    for label in range(truth.shape[1]):
        chosen = known[:, label]
        part = slice(None) if chosen.all() else chosen
        yield positive[part, label], scores[part, label], by_clip[part]


class _Steps(NamedTuple):
    """One label's clips by falling score, and the steps in it: groups of clips of equal score with a positive among them."""

    order: Positions  # all clips
    hits: Positions  # positive clips
    first: Positions  # per step: its first positive, as a position in `hits`
    start: Positions  # per step: its first clip, as a position in `order`
    end: Positions  # per step: behind its last clip


def _steps(positive: Flags, score: Array) -> _Steps:
    order = np.argsort(-score)  # of equal scores in any order: only sums over all of them are used
    hits = order[positive[order]]
    first = np.flatnonzero(np.diff(score[hits], prepend=np.inf))
    falling, reached = -score[order], -score[hits[first]]
    return _Steps(order, hits, first, *(np.searchsorted(falling, reached, side=side) for side in ("left", "right")))


def _sums(clips: Positions, starts: Positions, by_clip: NDArray[np.generic]) -> Array:
    """Sum the weights of each stretch of `clips` that begins at one of `starts`: (stretches, draws), float64."""
    from scipy.sparse import csr_array

    # A sparse product of 16-bit numbers: reads rows where they lie, three times as fast as gathering and np.add.reduceat.
    ones = np.ones(len(clips), dtype=by_clip.dtype)
    stretches = csr_array((ones, clips, np.append(starts, len(clips))), shape=(len(starts), len(by_clip)))
    return np.asarray((stretches @ by_clip).astype(np.float64))


def _by_clip(weights: ArrayLike | None, n_clips: int) -> tuple[NDArray[np.generic], tuple[int, ...]]:
    """Return weights as (clips, draws), in 16 bits if they and their sums fit, and the shape of the draws."""
    each = np.ones(n_clips) if weights is None else np.asarray(weights)
    if each.ndim not in {1, 2} or each.shape[-1] != n_clips or not (each >= 0).all() or not np.isfinite(each).all():
        raise MetricError(f"weights must be ({n_clips},) or (draws, {n_clips}), finite and at least 0; got shape {each.shape}")
    short = each.sum(axis=-1).max(initial=0) < 2**16 and (each == np.rint(each)).all()
    return np.ascontiguousarray(np.atleast_2d(each).T, dtype=np.uint16 if short else np.float64), each.shape[:-1]


def _ranks(truth: Array, scores: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the true labels, and all labels, that score at least as high as each true one; both (clips, labels), else 0."""
    positive, known = binarize(truth)
    right, rank = np.zeros(truth.shape, dtype=np.int64), np.zeros(truth.shape, dtype=np.int64)
    for label, clips in enumerate(positive.T):
        ahead = (scores[clips] >= scores[clips, label, None]) & known[clips]
        right[clips, label], rank[clips, label] = (ahead & positive[clips]).sum(axis=1), ahead.sum(axis=1)
    return right, rank
