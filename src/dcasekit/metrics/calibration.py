"""Calibration: whether a score of 0.7 means that the label is present in 70 % of such cases.

Scores must be in [0, 1]. A label is in the truth where its value is above 0.5, and left out where it is NaN, unknown.
Predictions are sorted into bins by score; in each, the mean score should be the share of labels that are there. The expected
calibration error is the mean gap between the two, each bin weighing what its count is of all; the maximum calibration error is
the largest gap. C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017. On few
clips these errors are too high, because within a bin chance alone leaves a gap: compare them at equal numbers of clips and bins
only.

The Brier score is the mean squared difference of score and truth (G. W. Brier, "Verification of forecasts expressed in terms
of probability", Monthly Weather Review 78(1), 1950). It needs no bins, and is lowest for the true probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.errors import MetricError
from dcasekit.metrics import Array, binarize, check_arrays, name_figures, ratio

Spacing = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability curve: one value per bin that is not empty, by ascending score.

    Parameters
    ----------
    score : (bins,), mean score of the predictions in each bin.
    frequency : (bins,), share of these predictions whose label is present.
    count : (bins,), number of these predictions.
    """

    score: Array
    frequency: Array
    count: NDArray[np.int64]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap between score and frequency, weighted by count; NaN without predictions."""
        return float(ratio(np.abs(self.score - self.frequency) @ self.count, self.count.sum()))

    @property
    def maximum_error(self) -> float:
        """Maximum calibration error: the largest gap between score and frequency; NaN without predictions."""
        return float(np.abs(self.score - self.frequency).max()) if self.count.size else float("nan")


def reliability(truth: ArrayLike, scores: ArrayLike, *, bins: int = 15, spacing: Spacing = "width") -> Reliability:
    """Compute a reliability curve over all entries of two arrays of the same shape.

    Give one column for one label, all columns for all labels together, or the result of `top_label` for a classification.

    Parameters
    ----------
    truth : of any shape; a label is present where its value is above 0.5, and entries that are NaN, unknown, are left out.
    scores : of the same shape, in [0, 1].
    bins : number of bins, at least 1; 15 as in Guo et al.
    spacing : ``"width"``: bins of equal width in (0, 1], with 0 in the first; ``"mass"``: bins between quantiles of the scores, which hold
        about equally many predictions; there are fewer bins where scores are equal.

    Raises
    ------
    MetricError : the shapes differ, there are no entries, a score is not in [0, 1], a truth is infinite, or a setting is out of its range.

    Examples
    --------
    >>> curve = reliability([0, 1, 1, 1], [0.2, 0.8, 0.9, 0.7], bins=2)
    >>> curve.score.round(3).tolist(), curve.frequency.tolist(), curve.count.tolist()
    ([0.2, 0.8], [0.0, 1.0], [1, 3])
    >>> round(curve.expected_error, 3)
    0.2
    """
    truth, scores = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != scores.shape:
        raise MetricError(f"truth and scores must have the same shape; got {truth.shape} and {scores.shape}")
    truth, scores = _check(truth.reshape(-1, 1), scores.reshape(-1, 1))
    positive, known = binarize(truth)
    positive, score = positive[known], scores[known]
    if bins < 1 or spacing not in {"width", "mass"}:
        raise MetricError(f"need at least 1 bin, and spacing 'width' or 'mass'; got bins={bins}, spacing={spacing!r}")
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    borders = shares if spacing == "width" or not score.size else np.quantile(score, shares)
    member = np.searchsorted(borders, score, side="left")  # a score on a border belongs below it
    count = np.bincount(member, minlength=bins)
    sums = [np.bincount(member, weights=values, minlength=bins)[count > 0] for values in (score, positive)]
    count = count[count > 0]
    return Reliability(sums[0] / count, sums[1] / count, count)


def top_label(truth: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """Reduce a classification to the predicted labels, those with the highest score.

    Parameters
    ----------
    truth, scores : (clips, labels).

    Returns
    -------
    correct : (clips,), 1 where the predicted label is right, 0 where it is wrong, NaN where that is unknown.
    confidence : (clips,), the score of the predicted label.

    Examples
    --------
    >>> correct, confidence = top_label([[1, 0], [1, 0]], [[0.9, 0.1], [0.3, 0.7]])
    >>> correct.tolist(), confidence.tolist()
    ([1.0, 0.0], [0.9, 0.7])
    """
    truth, scores = check_arrays(truth, scores)
    clip, top = np.arange(len(scores)), scores.argmax(axis=1)
    right, known = binarize(truth[clip, top])
    return np.where(known, right, np.nan), scores[clip, top]


def brier(truth: ArrayLike, scores: ArrayLike) -> Array:
    """Compute the Brier score of each label: the mean squared difference of score and truth over the clips.

    The sum over labels is Brier's own score of a classification, in [0, 2].

    Parameters
    ----------
    truth, scores : (clips, labels); scores in [0, 1]. A clip whose truth is NaN is left out of that label.

    Returns
    -------
    array (labels,), in [0, 1]; NaN where nothing is known of a label.

    Examples
    --------
    >>> brier([[1, 0], [0, 0]], [[0.5, 0.0], [0.5, 1.0]]).tolist()
    [0.25, 0.5]
    """
    truth, scores = _check(truth, scores)
    positive, known = binarize(truth)
    return ratio(np.where(known, (scores - positive) ** 2, 0).sum(axis=0), known.sum(axis=0))


def evaluate(truth: ArrayLike, scores: ArrayLike, *, labels: Sequence[str], bins: int = 15, spacing: Spacing = "width") -> dict[str, float]:
    """Compute all numbers of calibration.

    Parameters
    ----------
    truth, scores : (clips, labels); scores in [0, 1].
    labels : names of the columns.
    bins, spacing : as for `reliability`.

    Returns
    -------
    dict : ``ece`` and ``mce``, the expected and maximum calibration error of the predicted labels (one per clip), which is what the terms
        mean for a classification; ``ece/`` and ``mce/`` of ``micro`` (all labels in one curve), ``macro`` (mean over labels) and each
        label; ``brier/`` of ``macro`` and each label. All lie in [0, 1].

    Raises
    ------
    MetricError : as for `reliability`; or see `check_arrays`.

    Examples
    --------
    >>> numbers = evaluate([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6]], labels=("cat", "dog"))
    >>> round(numbers["ece"], 3), round(numbers["mce/cat"], 3), round(numbers["brier/macro"], 3)
    (0.25, 0.4, 0.085)
    """
    truth, scores = check_arrays(truth, scores, labels)
    top, micro = reliability(*top_label(truth, scores), bins=bins, spacing=spacing), reliability(truth, scores, bins=bins, spacing=spacing)
    each = [reliability(*columns, bins=bins, spacing=spacing) for columns in zip(truth.T, scores.T, strict=True)]
    return {
        "ece": top.expected_error,
        "mce": top.maximum_error,
        "ece/micro": micro.expected_error,
        "mce/micro": micro.maximum_error,
        **name_figures("ece", np.array([curve.expected_error for curve in each]), labels),
        **name_figures("mce", np.array([curve.maximum_error for curve in each]), labels),
        **name_figures("brier", brier(truth, scores), labels),
    }


def _check(truth: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    truth, scores = check_arrays(truth, scores)
    if scores.min() < 0 or scores.max() > 1:
        raise MetricError(
            f"calibration needs scores in [0, 1]; got {scores.min():g} to {scores.max():g}. Apply a sigmoid or softmax to logits first"
        )
    return truth, scores
