"""Results clip by clip and label by label: which clips are wrong, how confident the model was, and what other thresholds would give."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import HARD
from dcasekit.core.units import FloatArray
from dcasekit.metrics import binarize, bootstrap, detection, ratio, segment, tagging
from dcasekit.results import Results


@dataclass(frozen=True)
class Judged:
    """What a model predicted for a clip as a whole, and whether it is right.

    Parameters
    ----------
    clip : its id.
    true, predicted : labels.
    right : whether the known labels of the clip were all predicted rightly; ``None``: too little is known of the clip.
    confidence : for classification, the score of the predicted label. Otherwise a distance between a score and the threshold: for a wrong
        clip the largest among the wrong labels, for a right one the smallest among the known labels.
    """

    clip: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    right: bool | None
    confidence: float


def clip_scores(results: Results) -> FloatArray:
    """Return clip-level scores, (clips, labels): the mean over time, for detection the maximum."""
    return results._clip_scores


def judge(results: Results) -> list[Judged]:
    """Judge each clip, in order; for tagging and detection by the labels that occur anywhere in it."""
    scores, truth, labels = clip_scores(results), results.truth, results.labels
    known = ~np.isnan(truth)
    if results.task == "classification":
        top = scores.argmax(axis=1)
        chosen = np.asarray(np.arange(len(labels)) == top[:, None])
        right, confidence = truth[np.arange(len(top)), top] == 1, scores.max(axis=1)
        certain = np.isin(np.arange(len(top)), results._counted)
    else:
        chosen = np.asarray(scores > results.threshold)
        wrong = (chosen != (truth > HARD)) & known
        right, certain, distance = np.asarray(~wrong.any(axis=1)), np.asarray(known.any(axis=1)), np.abs(scores - results.threshold)
        surest, nearest = np.where(wrong, distance, 0).max(axis=1), np.where(known, distance, np.inf).min(axis=1)
        confidence = np.where(right, np.where(certain, nearest, 0), surest)

    def names(flags: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(labels[k] for k in np.flatnonzero(flags))

    rows = zip(results.clips, truth > HARD, chosen, right.tolist(), certain.tolist(), confidence.tolist(), strict=True)
    return [Judged(clip, names(true), names(said), ok if sure else None, score) for clip, true, said, ok, sure, score in rows]


def label_intervals(results: Results) -> dict[str, tuple[float, float]]:
    """Compute a 95 % bootstrap interval for each label's main number, the first one in `PER_LABEL`.

    It is recall for classification, average precision for tagging, and segment-based F1 for detection (average precision if no clip's
    events are known). Clips of one group are drawn together.

    Returns
    -------
    dict : label -> low and high end; NaN where it cannot be computed, as for a label without clips.
    """
    counted, units = results._counted, np.array(results._units)
    found = {}
    for k, label in enumerate(results.labels):
        there = results.truth[counted, k] > HARD
        # Recall knows only the clips that hold the label; 8 of 8 right ones say little, however many others there are.
        clips = np.flatnonzero(there) if results.task == "classification" else np.arange(counted.size)
        statistic = _statistic(results, k, clips)
        low, high = bootstrap.interval(statistic, clips.size, groups=units[clips].tolist()) if clips.size else (np.nan, np.nan)
        if high == 1 and there.any() and np.all(statistic(np.ones((1, clips.size), np.float32)) == 1):
            low = min(low, 0.025 ** (1 / len(set(units[there]))))
        found[label] = (low, high)
    return found


def _statistic(results: Results, label: int, clips: NDArray[np.intp]) -> Callable[[FloatArray], NDArray[np.float64]]:
    """Return a label's number as a function of the weights of some of the clips that are counted."""
    counted = results._counted[clips]
    truth, scores = results.truth[counted], clip_scores(results)[counted]
    if results.task == "classification":
        there = truth[:, label] == 1
        found = there & (scores.argmax(axis=1) == label)
        return lambda weights: ratio(weights @ found, weights @ there)
    if results.task == "tagging" or not results._timed.size:
        return lambda weights: tagging.average_precision(truth[:, [label]], scores[:, [label]], weights=weights)[:, 0]
    counts = results._counts
    each = [one[clips, label].astype(np.float64) for one in (counts.hits, counts.reference, counts.estimate)]

    def f1(weights: FloatArray) -> NDArray[np.float64]:
        hits, reference, estimate = (weights @ one for one in each)
        return np.where((estimate == 0) & (reference > 0), 0.0, detection(hits, reference, estimate)["f1"])

    return f1


@dataclass(frozen=True, eq=False)
class ThresholdCurves:
    """Precision, recall and F1 over thresholds.

    Parameters
    ----------
    thresholds : (thresholds,).
    precision, recall, f1 : (thresholds, labels); NaN where undefined.
    precision_micro, recall_micro, f1_micro : (thresholds,), of all labels together.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    precision_micro: NDArray[np.float64]
    recall_micro: NDArray[np.float64]
    f1_micro: NDArray[np.float64]


def threshold_curves(results: Results, thresholds: NDArray[np.float64] | None = None) -> ThresholdCurves:
    """Compute precision, recall and F1 at many thresholds: for tags clip by clip, for events in segments of 1 s.

    Parameters
    ----------
    results : of any task; of a detection with known events, events are evaluated, otherwise clip-level scores.
    thresholds : ascending; ``None``: 0.02 to 0.98 in steps of 0.02.
    """
    tried = np.round(np.arange(0.02, 0.99, 0.02), 2) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    counts = _tally(results, tried)
    each, micro = detection(*counts), detection(*counts.sum(axis=2))
    names = ("precision", "recall", "f1")
    return ThresholdCurves(tried, *(each[name] for name in names), *(micro[name] for name in names))


def _tally(results: Results, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count hits, references and estimates: (3, thresholds, labels)."""
    if results._timed.size:
        reference, scores = results._of_timed(results._reference), results._of_timed(results.scores)
        return segment.counts_at(reference, scores, results._of_timed(results._ends), thresholds.tolist(), labels=results.labels)
    positive, known = binarize(results.truth)
    said = (clip_scores(results) > thresholds[:, None, None].astype(np.float32)) & known
    there = np.broadcast_to(positive.sum(axis=0), (len(thresholds), len(results.labels)))
    return np.stack([(positive & said).sum(axis=1), there, said.sum(axis=1)]).astype(np.float64)
