"""Best F1 over all thresholds and the ROC area, of segments and of events with collars.

Behind `dcasekit.metrics.segment.best_f1`, `dcasekit.metrics.segment.auroc` and `dcasekit.metrics.event.best_f1`, which document them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags, name_figures
from dcasekit.metrics._collars import curves
from dcasekit.metrics._curves import Changes, Index, Levels, area_between, best, best_figures
from dcasekit.metrics._detections import MICROSECONDS
from dcasekit.metrics._events import Events, check_collars
from dcasekit.metrics._scored import Scored, ScoresOf, gather
from dcasekit.scores import Scores

Tally = TypeVar("Tally", bound=Changes)


def segment_best_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
) -> dict[str, float]:
    """See `dcasekit.metrics.segment.best_f1`."""
    data = gather(reference, scores, durations, labels)
    found = []
    for changes, positive, _ in segment_tally(data, Changes, resolution):
        level, (hits, alarms) = changes.totals()
        number = int(np.count_nonzero(positive))
        found.append(best(level, hits, hits + alarms, number) if number else None)
    return best_figures(found, data.labels)


def segment_counts_at(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    thresholds: Sequence[float],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
) -> Array:
    """See `dcasekit.metrics.segment.counts_at`."""
    data = gather(reference, scores, durations, labels)
    limits = np.asarray(thresholds, dtype=np.float32).astype(np.float64)  # as they are compared with scores
    found = np.empty((3, len(limits), len(data.labels)))
    for label, (changes, positive, _) in enumerate(segment_tally(data, Changes, resolution)):
        level, (hits, alarms) = changes.totals()
        above = np.searchsorted(-level, -limits, side="left") - 1
        found[:, :, label] = hits[above], np.full(len(limits), np.count_nonzero(positive)), (hits + alarms)[above]
    return found


def segment_auroc(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
    max_fpr: float = 0.1,
) -> dict[str, float]:
    """See `dcasekit.metrics.segment.auroc`."""
    check_max_fpr(max_fpr)
    data = gather(reference, scores, durations, labels)
    areas = []
    for changes, positive, _ in segment_tally(data, Changes, resolution):
        _, (hits, alarms) = changes.totals()
        both = 0 < np.count_nonzero(positive) < len(positive)
        # Segments without a score come last, all at once.
        x, y = (np.append(count, total) for count, total in ((alarms, np.count_nonzero(~positive)), (hits, np.count_nonzero(positive))))
        areas.append(area_between(x / x[-1], y / y[-1], max_fpr) / max_fpr if both else np.nan)
    return name_figures(f"auroc@{max_fpr:g}", np.array(areas), data.labels)


def check_max_fpr(max_fpr: float) -> None:
    """Raise MetricError unless it is a share above 0."""
    if not 0 < max_fpr <= 1:
        raise MetricError(f"max_fpr is a share of the segments without the label and must be in (0, 1], got {max_fpr}")


def event_best_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    onset_collar: Seconds = 0.2,
    offset_collar: Seconds | None = 0.2,
    offset_rate: float = 0.2,
) -> dict[str, float]:
    """See `dcasekit.metrics.event.best_f1`."""
    check_collars(onset_collar=onset_collar, offset_collar=offset_collar, offset_rate=offset_rate)
    data = gather(reference, scores, durations, labels)
    length = data.events.offset - data.events.onset
    reach = np.full_like(length, np.inf) if offset_collar is None else np.maximum(offset_collar, offset_rate * length)
    counted = curves(data, onset_collar * MICROSECONDS, reach * MICROSECONDS)
    found = [
        best(level, hits, predicted, int(number)) if number else None
        for number, (level, (hits, predicted)) in zip(data.numbers, counted, strict=True)
    ]
    return best_figures(found, data.labels)


def segment_tally(data: Scored, kind: type[Tally], resolution: Seconds) -> Iterator[tuple[Tally, Flags, Index]]:
    """Cut all clips into segments; collect, label by label, the changes of hits and false alarms.

    Yields
    ------
    changes, positive, owner : also which segments hold the label, and the clip of each, both (segments,).
    """
    if not 0 < resolution < math.inf:
        raise MetricError(f"resolution must be a positive number of seconds, got {resolution}")
    sizes = np.array([math.ceil(duration / resolution) for duration in data.durations])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    score = np.concatenate([_highest(each, size, resolution, data.columns) for each, size in zip(data.scores, sizes.tolist(), strict=True)])
    # A segment is on if it begins before the offset and ends after the onset, in seconds rounded to six decimals; a point is on in one.
    grid = np.round(np.arange(sizes.max() + 1) * resolution, 6)
    events, starts = data.events, sizes.cumsum() - sizes
    first = np.searchsorted(grid[1:], np.round(events.onset, 6), side="right")
    last = np.searchsorted(grid[:-1], np.round(events.offset, 6), side="left")
    first, last = (np.minimum(bound, sizes[events.clip]) for bound in (first, np.maximum(first + 1, last)))
    for label in range(len(data.labels)):
        own = events.label == label
        begin, end = (np.bincount((starts[events.clip] + bound)[own], minlength=len(score) + 1) for bound in (first, last))
        positive: Flags = (begin - end).cumsum()[:-1] > 0
        changes = kind(2)
        for quantity, chosen in enumerate((positive, ~positive)):
            changes.add(quantity, score[chosen, label], 1.0, partial(owner.__getitem__, chosen))
        yield changes, positive, owner


def _highest(scores: Scores, size: int, resolution: Seconds, columns: Sequence[int]) -> Levels:
    """Take the maximum over the frames that overlap each segment, (segments, labels); -infinity where there is none."""
    grid, edges = np.round(np.arange(size + 1) * resolution, 6), np.round(scores.edges, 6)
    first = np.maximum(np.searchsorted(edges, grid[:-1], side="right") - 1, 0)
    last = np.minimum(np.searchsorted(edges, grid[1:], side="left"), len(scores.values))
    padded = np.concatenate([scores.values[:, columns], np.full((1, len(columns)), -np.inf, dtype=np.float32)])
    # reduceat takes maxima from each index to the next: those from `first` to `last` are every other one.
    highest = np.maximum.reduceat(padded, np.stack([first, np.maximum(first, last)], axis=1).ravel(), axis=0)[::2]
    highest[last <= first] = -np.inf
    return highest
