"""Truth and scores in, flat dictionaries of numbers out; usable without the rest of the package.

`classification`, `tagging`, `calibration`, `segment`, `event` and `maestro` have a function ``evaluate(truth, ..., *, labels)`` that
returns all of their numbers. Conventions that all share:

* The truth comes first. Keys are ``accuracy``, ``f1/micro`` (counts of all labels together), ``f1/macro`` (mean over
  labels), ``f1/<label>``; all are shares in [0, 1] except error rates, which have no upper bound.
* A label's recall, F1, average precision, AUC and error rate are NaN where the truth does not hold the label: nothing was
  there to find. Precision is NaN where the label was never predicted. **Macro means leave NaN out.**
* **Unknown is unknown.** NaN in a truth says that nobody knows: such an entry is left out of every number, as if the clip were not
  there for that label. Soft truth is hardened where a yes or no is needed: a label is there where its value is above 0.5
  (`dcasekit.annotations.HARD`), an event where its weight is.
* A label that the truth holds and the system never finds has F1 0, not NaN: silence is not rewarded.
* ``segment`` and ``event`` give sed_eval's numbers by default, which break the rules on labels that are absent and on labels that are
  never found. With ``empty_output="zero", absent="nan"`` they follow them, except that precision is 0 where a label of the truth was
  never predicted.

The functions below are the arithmetic of those rules.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import HARD
from dcasekit.errors import MetricError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Array:
    """Divide element by element; NaN where the denominator is 0.

    Examples
    --------
    >>> ratio([1, 0], [2, 0]).tolist()
    [0.5, nan]
    """
    bottom = np.asarray(denominator, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0, np.nan, np.asarray(numerator, dtype=np.float64) / bottom)


def mean(values: Array) -> float:
    """Average the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def name_figures(name: str, values: Array, labels: Sequence[str], *, macro: bool = True) -> dict[str, float]:
    """Put one value per label under the keys ``<name>/<label>``, and, if `macro`, their mean (without NaN) under ``<name>/macro``."""
    spread = {f"{name}/{label}": float(value) for label, value in zip(labels, values, strict=True)}
    return {f"{name}/macro": mean(values)} | spread if macro else spread


def detection(hits: ArrayLike, reference: ArrayLike, predicted: ArrayLike) -> dict[str, Array]:
    """Turn counts into precision, recall and F1.

    Parameters
    ----------
    hits : number of things (clips, segments or events) that are in the reference and were predicted.
    reference, predicted : number of things in the reference, and of predicted ones; of the same shape as `hits`.

    Returns
    -------
    dict : ``f1`` and ``recall``, NaN where the reference is 0; ``precision``, NaN where nothing was predicted; of the shape of the counts.
    """
    reference, predicted = np.asarray(reference), np.asarray(predicted)
    f1 = ratio(2 * np.asarray(hits), reference + predicted)
    return {
        "f1": np.where(reference == 0, np.nan, f1),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, reference),
    }


def check_arrays(truth: ArrayLike, scores: ArrayLike, labels: Sequence[str] | None = None) -> tuple[Array, Array]:
    """Return truth and scores as float64 arrays (clips, labels), or say why they cannot be scored; NaN in the truth is unknown.

    Raises
    ------
    MetricError : the shapes differ or are not (clips, labels), there are no clips, a score is not finite, a truth is infinite, or there is
        not one label per column.
    """
    truth, scores = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != scores.shape or not truth.size:
        raise MetricError(f"truth and scores must both be (clips, labels), not empty; got {truth.shape} and {scores.shape}")
    if labels is not None and len(labels) != truth.shape[1]:
        raise MetricError(f"{len(labels)} labels were given for arrays of {truth.shape[1]} columns")
    if not np.isfinite(scores).all():
        raise MetricError(f"scores must be finite; clip {np.argwhere(~np.isfinite(scores))[0, 0]} holds NaN or infinity")
    if np.isinf(truth).any():
        raise MetricError(f"truth must be finite, or NaN where it is unknown; clip {np.argwhere(np.isinf(truth))[0, 0]} holds infinity")
    return truth, scores


def binarize(truth: ArrayLike) -> tuple[Flags, Flags]:
    """Tell for each entry of a truth whether the label is present (its value is above 0.5), and whether that is known (it is not NaN).

    Examples
    --------
    >>> binarize([1.0, 0.5, np.nan])
    (array([ True, False, False]), array([ True,  True, False]))
    """
    values = np.asarray(truth)
    return np.asarray(values > HARD), ~np.isnan(values)
