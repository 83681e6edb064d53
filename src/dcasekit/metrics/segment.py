"""Segment-based metrics of sound event detection: time is cut into segments, and a label is active or inactive in each.

An event is active in every segment that it touches: from floor(onset / resolution) to before ceil(offset / resolution). A point event,
whose offset is its onset, is active in the one segment that holds its instant (in sed_eval in none, if it lies at a border).
Per segment, where reference and estimate are the numbers of active labels and hits the number of those active in both::

    substitutions = min(reference, estimate) - hits      deletions = max(0, reference - estimate)
                                                         insertions = max(0, estimate - reference)

Error rates are these over the number of reference labels, summed over all segments; of one label alone (misses + false
alarms) / reference. A. Mesaros, T. Heittola, T. Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences
6(6):162, 2016.

The numbers are those of the authors' sed_eval 0.2.1, including the rounding errors of the two divisions. Two of its conventions can be
changed, and are changed in `dcasekit.Results`. A label that occurs and is never estimated has F1 NaN and is left out of the macro mean,
which then is higher; ``empty_output="zero"`` gives 0. The error rate of a label that never occurs is about 4.5e15 per false alarm and stays
in the macro mean; ``absent="nan"`` leaves it out.

The cost grows with the number of events, not with clips x segments x labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import TIME_TOLERANCE
from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics._best import segment_auroc, segment_best_f1, segment_counts_at
from dcasekit.metrics._events import (
    Absent,
    Counts,
    EmptyOutput,
    Events,
    EventTable,
    Totals,
    are_points,
    check_durations,
    rate,
    shared_figures,
    tabulate_pair,
)
from dcasekit.metrics._scored import ScoresOf


@dataclass(frozen=True, eq=False)
class SegmentCounts:
    """Counts per clip; every metric follows from their sums over clips, so that a bootstrap need not look at events again.

    Parameters
    ----------
    hits, reference, estimate : (clips, labels), numbers of segments in which the label is active in both, the reference, the estimate.
    substitutions, deletions, insertions : (clips,), numbers of these errors in all segments of the clip.
    segments : (clips,), numbers of segments.
    """

    hits: Counts
    reference: Counts
    estimate: Counts
    substitutions: Counts
    deletions: Counts
    insertions: Counts
    segments: Counts


def counts(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    resolution: Seconds = 1.0,
    durations: Mapping[str, Seconds] | None = None,
    tolerance: Seconds = 0.0,
) -> SegmentCounts:
    """Count the segments of each clip; clips are those of the reference in their order, then those only in the estimate.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that is missing in one of them has no events there; leave clips whose events are
        unknown out of both. Reference events of weight 0.5 or less do not count.
    labels : the labels to evaluate, which are the columns of the counts; events of other labels are left out.
    resolution : length of a segment in seconds, above 0. DCASE uses 1 s, some of its older tasks 0.1 s.
    durations : clip id -> seconds; events are cut at the end of their clip. ``None``: a clip ends with its last event. Unless an event is
        cut, it changes only ``accuracy``, ``balanced_accuracy`` and ``specificity``, which count silence.
    tolerance : seconds by which an event must reach into a segment to be active there, at least 0 and below `resolution`. 0: as sed_eval,
        in which rounding errors of the division put 0.6 s into the sixth segment of 0.1 s; with 1e-6, decimal times fall into the
        right segments.

    Raises
    ------
    MetricError : a label is given twice, `durations` lacks a clip, or a setting is out of its range.
    """
    for name, value, fits in (("resolution", resolution, resolution > 0), ("tolerance", tolerance, 0 <= tolerance < resolution)):
        if not (fits and value < np.inf):
            raise MetricError(f"{name} must be a positive number of seconds{', or 0' * (name == 'tolerance')}, got {value}")
    tables = tabulate_pair(reference, estimate, labels, durations)
    spans = [_span(table, resolution, tolerance) for table in (tables.reference, tables.estimate)]
    size = np.zeros(len(tables.clips), dtype=np.int64)
    if durations is None:
        for span in spans:
            np.maximum.at(size, span.clip, span.end)
    else:
        size = np.ceil((check_durations(durations, tables.clips) - tolerance) / resolution).astype(np.int64)
    stride = int(size.max(initial=0)) + 1
    first, second = (_stretches(span, size, stride, len(labels)) for span in spans)
    both = _overlap(first, second)
    shape = (len(tables.clips), len(labels))
    substitutions, deletions, insertions = _errors(both, first, second, stride, shape)
    return SegmentCounts(
        hits=_count_segments(both, stride, shape),
        reference=_count_segments(first, stride, shape),
        estimate=_count_segments(second, stride, shape),
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        segments=size,
    )


def evaluate(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    resolution: Seconds = 1.0,
    durations: Mapping[str, Seconds] | None = None,
    tolerance: Seconds = 0.0,
    empty_output: EmptyOutput = "nan",
    absent: Absent = "sed_eval",
) -> dict[str, float]:
    """Compute all segment-based numbers.

    The parameters and errors are those of `counts` and `figures`.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/``, ``error_rate/`` of ``micro``, ``macro`` and each label; ``substitutions``, ``deletions``,
        ``insertions``, each divided by the number of active labels in the reference: their sum is ``error_rate/micro``; ``accuracy``,
        ``balanced_accuracy``, ``sensitivity``, ``specificity`` over all labels and segments.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> numbers = evaluate({"a": [Event(0, 2, "dog")]}, {"a": [Event(1, 3, "dog")]}, labels=["dog"])
    >>> numbers["f1/micro"], numbers["error_rate/micro"]
    (0.5, 1.0)
    """
    found = counts(reference, estimate, labels=labels, resolution=resolution, durations=durations, tolerance=tolerance)
    return figures(found, labels=labels, empty_output=empty_output, absent=absent)


def figures(
    found: SegmentCounts,
    *,
    labels: Sequence[str],
    empty_output: EmptyOutput = "nan",
    absent: Absent = "sed_eval",
) -> dict[str, float]:
    """Turn the counts of `counts` into the numbers of `evaluate`.

    Parameters
    ----------
    found : the counts.
    labels : the labels that they were counted with, in the same order.
    empty_output : precision and F1 of a label that is never estimated: ``"nan"``, so that it is left out of the macro mean, or ``"zero"``
        (sed_eval's ``zero_score``, used by DCASE task 4).
    absent : rates whose denominator is 0, above all the error rate of a label that never occurs: ``"sed_eval"``, about 4.5e15 per error
        (0 without errors), or ``"nan"``, so that it is left out of the macro mean.
    """
    total = {field.name: getattr(found, field.name).sum(axis=0) for field in fields(found)}
    hits, reference, estimate = (total[name] for name in ("hits", "reference", "estimate"))
    errors = {name: total[name] for name in ("substitutions", "deletions", "insertions")}
    numbers = shared_figures(Totals(hits, reference, estimate), errors, labels=labels, empty_output=empty_output, absent=absent)
    return numbers | _silence_too(hits.sum(), reference.sum(), estimate.sum(), total["segments"] * len(labels), absent)


def best_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
) -> dict[str, float]:
    """Compute the highest segment-based F1 of each label over all thresholds, exactly; the numbers of sed_scores_eval 0.0.4.

    A segment's score is the highest score of the frames that overlap it; a segment that no frame overlaps is never active. Times are
    compared after rounding to six decimals, so that an event that ends at 0.3 s plus a rounding error does not reach into the next segment.

    Parameters
    ----------
    reference, scores, durations : clip id -> events, scores, seconds, for the same clips; `durations` may have more. An empty list of
        events means that nothing sounds. Events of one label that touch or overlap are joined first.
    labels : the labels to evaluate, some of those of the scores; ``None``: all of them.
    resolution : length of a segment in seconds, above 0; a shorter one at the end of a clip counts like the others.

    Returns
    -------
    dict : as `dcasekit.metrics.intersection.best_f1`.

    Raises
    ------
    MetricError : clips, durations or labels do not agree, or the resolution is not positive.
    """
    return segment_best_f1(reference, scores, durations, labels=labels, resolution=resolution)


def counts_at(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    thresholds: Sequence[float],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
) -> NDArray[np.float64]:
    """Count segments at many thresholds at once; a segment is active where its score (see `best_f1`) is above the threshold.

    The other parameters and errors are those of `best_f1`.

    Parameters
    ----------
    thresholds : numbers, in any order.

    Returns
    -------
    array (3, thresholds, labels), float64 : hits, segments active in the reference, and segments active in the estimate.

    Examples
    --------
    >>> from dcasekit import Event, Scores
    >>> scores = {"a": Scores([[0.9], [0.4]], [0, 1, 2], ("dog",))}
    >>> counts_at({"a": [Event(0, 1, "dog")]}, scores, {"a": 2.0}, [0.5, 0.25])[:, :, 0].tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]]
    """
    return segment_counts_at(reference, scores, durations, thresholds, labels=labels, resolution=resolution)


def auroc(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
    max_fpr: float = 0.1,
) -> dict[str, float]:
    """Compute the area under the ROC curve of segments up to a false positive rate, divided by that rate.

    DCASE 2024 task 4 evaluates the labels of MAESTRO by the macro mean up to 0.1. The points of the curve are joined by straight lines, and
    equal scores are one step. McClish's correction, which scikit-learn applies, is not applied. The other parameters and errors are those
    of `best_f1`.

    Parameters
    ----------
    max_fpr : the largest false positive rate, in (0, 1]; 1 gives the whole area.

    Returns
    -------
    dict : ``auroc@0.1/macro``, and ``auroc@0.1/`` of each label, with `max_fpr` in place of 0.1. The values lie in [0, 1]; chance gives
        half of `max_fpr`. NaN where no segment, or every segment, has the label.
    """
    return segment_auroc(reference, scores, durations, labels=labels, resolution=resolution, max_fpr=max_fpr)


def _silence_too(hits: float, reference: float, estimate: float, cells: float, absent: Absent) -> dict[str, float]:
    """Compute what also counts the cells that are rightly off."""
    quiet = cells - reference - estimate + hits
    sensitivity, specificity = float(rate(hits, reference, absent)), float(rate(quiet, cells - reference, absent))
    return {
        "accuracy": float(rate(hits + quiet, cells, absent)),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


# Segments of every clip and label lie on one integer line, `stride` apart: segment s of label l in clip c is at
# (c * labels + l) * stride + s. A stretch is a row [begin, end) of that line.


@dataclass(frozen=True, eq=False)
class Span:
    """The segments that events touch: from `begin` to before `end`; each array is (events,)."""

    clip: Counts
    label: Counts
    begin: Counts
    end: Counts


def _span(table: EventTable, resolution: Seconds, tolerance: Seconds) -> Span:
    """Find the segments that events touch."""
    point = are_points(table)
    begin = np.floor((table.onset + np.where(point, TIME_TOLERANCE, tolerance)) / resolution).astype(np.int64)
    end = np.ceil((table.offset - tolerance) / resolution).astype(np.int64)
    return Span(table.clip, table.label, begin, np.where(point, begin + 1, end))


def _stretches(span: Span, size: Counts, stride: int, n_labels: int) -> Counts:
    """Join the events of each clip and label: (stretches, 2), ascending, none touching the next."""
    at, last = (span.clip * n_labels + span.label) * stride, size[span.clip]
    begin, end = at + np.minimum(span.begin, last), at + np.minimum(span.end, last)
    order = np.argsort(begin, kind="stable")
    begin, reached = begin[order], np.maximum.accumulate(end[order])
    opens = np.append(True, begin[1:] > reached[:-1])[: len(begin)]
    closes = np.append(opens[1:], True)[: len(begin)]
    return np.stack([begin[opens], reached[closes]], axis=1)


def _overlap(first: Counts, second: Counts) -> Counts:
    """Intersect two sets of stretches."""
    points = np.concatenate([first.ravel(), second.ravel()])
    order = np.argsort(points, kind="stable")
    points, on = points[order], np.tile([1, -1], len(points) // 2)[order].cumsum()
    both = np.flatnonzero((on[:-1] == 2) & (points[1:] > points[:-1]))
    return np.stack([points[both], points[both + 1]], axis=1)


def _count_segments(stretches: Counts, stride: int, shape: tuple[int, int]) -> Counts:
    """Count the segments of each clip and label."""
    begin, end = stretches.T
    return np.bincount(begin // stride, end - begin, minlength=shape[0] * shape[1]).astype(np.int64).reshape(shape)


def _errors(both: Counts, first: Counts, second: Counts, stride: int, shape: tuple[int, int]) -> list[Counts]:
    """Count substitutions, deletions and insertions of each clip, over runs of segments in which nothing changes."""
    clips, n_labels = shape
    lines = [each // (stride * n_labels) * stride + each % stride for each in (both, first, second)]  # the labels of a clip on one
    points = np.concatenate([line.ravel() for line in lines])
    order = np.argsort(points, kind="stable")
    points = points[order]
    change = np.zeros((3, len(points)), dtype=np.int64)  # of hits, reference and estimate, at each point
    change[np.repeat(np.arange(3), [line.size for line in lines]), np.arange(len(points))] = np.tile([1, -1], len(points) // 2)
    hits, reference, estimate = change[:, order].cumsum(axis=1)
    run, clip = np.diff(points, append=points[-1:]), points // stride
    found = (np.minimum(reference, estimate) - hits, np.maximum(reference - estimate, 0), np.maximum(estimate - reference, 0))
    return [np.bincount(clip, count * run, minlength=clips).astype(np.int64) for count in found]
