"""Between scores and events: more than one threshold, events mended afterwards, events with one confidence each.

Thresholds and median filters are in `scores`. Each function here is one published step; a system's chain is a few of them in its
order, mostly: smooth, decide, close gaps, drop what is too short.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import TIME_TOLERANCE, Event, events_to_roll
from dcasekit.core.units import Seconds
from dcasekit.errors import AnnotationError
from dcasekit.scores import PerLabel, Scores, limits, per_label, pool, to_events

# A score that changes by less is constant: float32 tells no finer, and running sums of float64 leave crumbs far below.
CONSTANT = 1e-6


def average(found: Sequence[Scores]) -> Scores:
    """Average the scores of several channels, crops or systems for one clip, frame by frame.

    Parameters
    ----------
    found : scores with the same labels and the same frames; or with one frame each, as clip-level scores of crops have. The average of
        these has one frame, from the earliest onset to the latest offset.

    Raises
    ------
    AnnotationError : there are no scores, or their labels or frames differ.

    Examples
    --------
    >>> average([Scores([[0.25], [0.5]], [0, 1, 2], ["dog"]), Scores([[0.75], [0.5]], [0, 1, 2], ["dog"])]).values.T.tolist()
    [[0.5, 0.5]]
    """
    if not found or any(each.labels != found[0].labels for each in found):
        raise AnnotationError(f"need scores of the same labels to average, at least one; got {list(found)}")
    edges = found[0].edges
    if all(len(each.values) == 1 for each in found):
        edges = np.array([min(each.edges[0] for each in found), max(each.edges[1] for each in found)])
    elif any(each.edges.shape != edges.shape or np.abs(each.edges - edges).max() > TIME_TOLERANCE for each in found):
        raise AnnotationError(f"scores of different frames cannot be averaged frame by frame; got {list(found)}")
    return Scores(np.mean([each.values for each in found], axis=0, dtype=np.float64), edges, found[0].labels)


def to_tags(scores: Scores, *, threshold: PerLabel = 0.5, inclusive: bool = False) -> dict[str, float]:
    """Decide which labels a clip has: those whose mean score over time exceeds the threshold.

    With the thresholds of `dcasekit.metrics.thresholds.best_f1` the result serves as pseudo-labels: ``replace(clip, tags=to_tags(...))``.
    The DCASE 2018 task 4 baseline makes its pseudo-labels in this way, with ``inclusive=True``, and also keeps clips that get no label.

    Parameters
    ----------
    threshold : see `dcasekit.scores.to_events`.
    inclusive : whether a score equal to the threshold is enough.

    Returns
    -------
    dict : label -> 1.0 for the labels that the clip has; the others are left out.

    Examples
    --------
    >>> to_tags(Scores([[0.25, 0.5], [0.75, 0.5]], [0, 1, 2], ["dog", "cat"]), threshold={"dog": 0.5, "cat": 0.6}, inclusive=True)
    {'dog': 1.0}
    """
    limit, values = limits(threshold, scores.labels), pool(scores).values[0]
    held = values >= limit if inclusive else values > limit
    return {label: 1.0 for label, there in zip(scores.labels, held.tolist(), strict=True) if there}


def drop_short(events: Iterable[Event], *, seconds: Seconds | Mapping[str, Seconds]) -> list[Event]:
    """Drop events that are shorter than a given duration.

    Parameters
    ----------
    seconds : the least duration, one for all labels, or label -> seconds for every label of the events. Events that are shorter by up to a
        microsecond are kept, because times are rounded: in floating point ``0.3 - 0.2 < 0.1``.

    Returns
    -------
    list of `Event`, sorted.

    Raises
    ------
    AnnotationError : a label has no duration, or it is negative.

    Examples
    --------
    >>> drop_short([Event(0.2, 0.3, "dog"), Event(1.0, 1.05, "dog")], seconds=0.1)
    [Event(onset=0.2, offset=0.3, label='dog', weight=1.0)]
    """
    events = sorted(events)
    limit = _limits(seconds, events)
    return [event for event in events if event.offset - event.onset >= limit[event.label] - TIME_TOLERANCE]


def close_gaps(events: Iterable[Event], *, seconds: Seconds | Mapping[str, Seconds]) -> list[Event]:
    """Join events of one label with short gaps between them; events that touch or overlap are always joined.

    Call it before `drop_short`, as published systems do: each part of an interrupted event may be too short by itself.

    Parameters
    ----------
    seconds : the longest gap that is closed, one for all labels, or label -> seconds for every label of the events.

    Returns
    -------
    list of `Event`, sorted; a joined event has the largest weight of its parts.

    Raises
    ------
    AnnotationError : a label has no longest gap, or it is negative.

    Examples
    --------
    >>> close_gaps([Event(0, 1, "dog"), Event(1.1, 2, "dog"), Event(1.2, 2, "cat")], seconds=0.1)
    [Event(onset=0, offset=2, label='dog', weight=1.0), Event(onset=1.2, offset=2, label='cat', weight=1.0)]
    """
    events = sorted(events, key=lambda event: (event.label, event.onset))
    limit = _limits(seconds, events)
    closed: list[Event] = []
    for event in events:
        before = closed[-1] if closed else None
        if before and before.label == event.label and event.onset - before.offset <= limit[event.label] + TIME_TOLERANCE:
            closed[-1] = Event(before.onset, max(before.offset, event.offset), event.label, max(before.weight, event.weight))
        else:
            closed.append(event)
    return sorted(closed)


def _limits(seconds: Seconds | Mapping[str, Seconds], events: Iterable[Event]) -> dict[str, Seconds]:
    labels = sorted({event.label for event in events})
    numbers = per_label(seconds if isinstance(seconds, Mapping) else float(seconds), labels, name="seconds").tolist()
    if negative := [number for number in numbers if number < 0]:
        raise AnnotationError(f"seconds must be >= 0, got {negative[0]}")
    return dict(zip(labels, numbers, strict=True))


def hysteresis(scores: Scores, *, high: PerLabel, low: PerLabel) -> list[Event]:
    """Join consecutive frames above the low threshold, if one of them exceeds the high one too.

    Source: double thresholding, H. Dinkel and K. Yu, "Duration robust weakly supervised sound event detection", ICASSP 2020.

    Parameters
    ----------
    high, low : thresholds, ``low <= high``; each is one for all labels, one per label, or label -> threshold. A score must be strictly
        greater.

    Returns
    -------
    list of `Event`, sorted; the weight is the mean score inside the event, clipped to [1e-6, 1], as in `to_events`.

    Raises
    ------
    AnnotationError : a label lacks a threshold, or its low one is above its high one.

    Examples
    --------
    >>> hysteresis(Scores([[.4], [.8], [.4], [0], [.4]], range(6), ("dog",)), high=0.7, low=0.3)  # doctest: +ELLIPSIS
    [Event(onset=0.0, offset=3.0, label='dog', weight=0.53...)]
    """
    for label, above, below in zip(scores.labels, *(per_label(t, scores.labels, name="threshold") for t in (high, low)), strict=True):
        if below > above:
            raise AnnotationError(f"label {label!r}: the low threshold {below} must not be above the high one, {above}")
    peaks: dict[str, list[Seconds]] = {label: [] for label in scores.labels}
    for event in to_events(scores, threshold=high):
        peaks[event.label].append(event.onset)  # ascending
    found = []
    for event in to_events(scores, threshold=low):
        onsets = peaks[event.label]
        # What exceeds the high threshold lies inside one event of the low one: the first that begins no earlier tells.
        position = bisect_left(onsets, event.onset)
        if position < len(onsets) and onsets[position] < event.offset:
            found.append(event)
    return found


def dcase2023_4b_events(scores: Scores, *, threshold: PerLabel = 0.5) -> list[Event]:
    """Make events in whole seconds as the baseline of DCASE 2023 task 4B (soft labels, MAESTRO Real) does.

    It joins consecutive frames above the threshold, rounds onsets and offsets down to whole seconds, closes gaps of at most 0.1 s, and
    drops what is then shorter than 0.1 s. So an event that ends within the second in which it began is lost, and an event of 0.4 s that
    extends over the beginning of a second becomes one second long. The published results cannot be reproduced without this step: with
    frames of 0.2 s it changes the segment-based F1 by several points.

    Parameters
    ----------
    threshold : one for all labels, one per label, or label -> threshold; a score must be strictly greater.

    Returns
    -------
    list of `Event`, sorted; the weight is the largest of the mean scores of the parts that were joined.

    Examples
    --------
    >>> dcase2023_4b_events(Scores([[0]] * 4 + [[1]] * 2, np.arange(7) / 5, ("car",)))
    [Event(onset=0, offset=1, label='car', weight=1.0)]
    """
    whole = [
        Event(math.floor(event.onset + TIME_TOLERANCE), math.floor(event.offset + TIME_TOLERANCE), event.label, event.weight)
        for event in to_events(scores, threshold=threshold)
    ]
    return drop_short(close_gaps(whole, seconds=0.1), seconds=0.1)


def csebbs(
    scores: Scores,
    *,
    step_filter_length: PerLabel = 0.48,
    merge_threshold_abs: PerLabel = 0.2,
    merge_threshold_rel: PerLabel = 2.0,
) -> list[Event]:
    """Find sound event bounding boxes (cSEBBs) by change detection: events whose onsets and offsets do not depend on a threshold.

    A step filter measures how the score changes at each border between frames: the mean score in the half window after the border, minus
    that in the half window before it; beyond the ends of the clip the score counts as 0. Wherever the score rises, the border of steepest
    rise is an onset; wherever it falls, the border of steepest fall is an offset. A box reaches from an onset to the next offset, and its
    confidence is the mean score inside. Then gaps between boxes of a label are closed, the shallowest first, as long as the gap's mean
    score is close enough, by both thresholds below, to the higher confidence of the two boxes beside it. The boxes whose weight exceeds a
    decision threshold are the detections.

    Source: J. Ebbers, F. Germain, G. Wichern, J. Le Roux, "Sound Event Bounding Boxes", Interspeech 2024 (arXiv 2406.04212). This is not a
    port of the authors' code: the order in which gaps are closed, and what a gap is compared with, are dcasekit's own. So tune the
    settings, and do not copy those of another implementation.

    Each setting is one number for all labels, one per label, or label -> number. The defaults suit clips of 10 s; tune them per label on
    validation data.

    Parameters
    ----------
    scores : values in [0, 1].
    step_filter_length : length of the whole filter in seconds, above 0. A shorter filter finds shorter events, and more noise.
    merge_threshold_abs : the largest difference between the confidence of the box and the mean score of the gap, at least 0. With 0 only
        gaps without any depth are closed.
    merge_threshold_rel : the largest ratio of the confidence of the box to the mean score of the gap, at least 1. With 1 only gaps without
        any depth are closed; with infinity, and ``merge_threshold_abs=1``, all gaps are.



    Returns
    -------
    list of `Event`, sorted; the weight is the confidence. Boxes of one label do not touch. `boxes_to_scores` turns them into scores.

    Raises
    ------
    AnnotationError : a score lies outside [0, 1], a setting outside its range, or a label has no setting.

    Examples
    --------
    >>> bark = Scores(np.repeat([[0.0], [0.75], [0.0]], 50, axis=0), np.arange(151) / 50, ("dog",))
    >>> csebbs(bark)
    [Event(onset=1.0, offset=2.0, label='dog', weight=0.75)]
    """
    if scores.values.size and not (scores.values.min() >= 0 and scores.values.max() <= 1):
        raise AnnotationError(f"csebbs needs scores in [0, 1]; these go from {scores.values.min()} to {scores.values.max()}")
    lengths = per_label(step_filter_length, scores.labels, name="step_filter_length")
    drops = per_label(merge_threshold_abs, scores.labels, name="merge_threshold_abs")
    ratios = per_label(merge_threshold_rel, scores.labels, name="merge_threshold_rel")
    if not ((lengths > 0).all() and (drops >= 0).all() and (ratios >= 1).all()):
        raise AnnotationError(
            "csebbs needs step_filter_length > 0 s, merge_threshold_abs >= 0 and merge_threshold_rel >= 1; "
            f"got {step_filter_length}, {merge_threshold_abs}, {merge_threshold_rel}"
        )
    # (frames + 1, labels): the score summed over time up to each edge; a mean is a difference of two, on any grid.
    sums = np.zeros((len(scores.edges), len(scores.labels)))
    np.cumsum(scores.values * np.diff(scores.edges)[:, None], axis=0, out=sums[1:])
    boxes = []
    for label, total, length, drop, ratio in zip(scores.labels, sums.T, lengths, drops, ratios, strict=True):
        borders = _change_points(total, scores.edges, half=length / 2)
        times, sums_there = _close_shallow(scores.edges[borders], total[borders], drop=drop, ratio=ratio)
        weight = np.clip(_means(times, sums_there)[::2], 0, 1).tolist()
        boxes += [Event(*box) for box in zip(times[::2].tolist(), times[1::2].tolist(), [label] * len(weight), weight, strict=True)]
    return sorted(boxes)


def _change_points(total: NDArray[np.float64], edges: NDArray[np.float64], *, half: Seconds) -> NDArray[np.intp]:
    """Onset, offset, onset ... as positions among the edges; `total` is the score summed over time, (frames + 1,)."""
    # np.interp stays at the first or last sum outside the clip: there the score is 0. So the first change rises and the last one falls.
    change = (np.interp(edges + half, edges, total) - 2 * total + np.interp(edges - half, edges, total)) / half
    moving = np.flatnonzero(np.abs(change) > CONSTANT)
    rising = change[moving] > 0
    turns = np.flatnonzero(np.diff(rising)) + 1
    steepest = [part[np.argmax(np.abs(change[part]))] for part in np.split(moving, turns) if len(part)]
    return np.array(steepest, dtype=np.intp)


def _close_shallow(
    times: NDArray[np.float64], total: NDArray[np.float64], *, drop: float, ratio: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take out the gaps that are not deep; `times` and the sums there are those of onset, offset, onset ..."""
    while len(times) > 2:
        mean = _means(times, total)  # of box, gap, box ...
        gap, surer = mean[1::2], np.maximum(mean[:-1:2], mean[2::2])
        depth = np.where((surer - gap <= drop) & (surer / ratio <= gap), surer - gap, np.inf)
        shallowest = int(np.argmin(depth))
        if depth[shallowest] == np.inf:
            break
        ends = [2 * shallowest + 1, 2 * shallowest + 2]
        times, total = np.delete(times, ends), np.delete(total, ends)
    return times, total


def _means(times: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(total) / np.diff(times)


def boxes_to_scores(boxes: Iterable[Event], labels: Sequence[str], edges: ArrayLike) -> Scores:
    """Turn bounding boxes into frame-level scores, so that they can be evaluated at all thresholds (PSDS).

    With the edges of the scores that the boxes of `csebbs` were found in, nothing is lost: `to_events` at any threshold gives exactly the
    boxes whose weight, as float32, exceeds it. Boxes of one label that touch become one event at thresholds below both weights. Where
    boxes of a label overlap, or share a frame, the largest weight counts.

    Parameters
    ----------
    boxes : events whose weight is a confidence.
    labels : the columns.
    edges : (frames + 1,), seconds, ascending, such as the edges of the scores in which the boxes were found.

    Raises
    ------
    AnnotationError : the label of a box is not among `labels`.

    Examples
    --------
    >>> boxes_to_scores([Event(1.0, 2.0, "dog", 0.75)], ["dog"], [0, 1, 2, 3]).values.T.tolist()
    [[0.0, 0.75, 0.0]]
    """
    return Scores(events_to_roll(boxes, labels, edges), edges, labels)


def csebbs_scores(scores: Scores, **settings: PerLabel) -> Scores:
    """Find bounding boxes by `csebbs`, with its settings, and return them as scores on the same frames, see `boxes_to_scores`."""
    return boxes_to_scores(csebbs(scores, **settings), scores.labels, scores.edges)
