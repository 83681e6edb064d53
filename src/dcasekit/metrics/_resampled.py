"""Figures as functions of how often each clip counts, from what was counted once per clip: what a bootstrap draws."""

from typing import Protocol

import numpy as np

from dcasekit.errors import MetricError
from dcasekit.metrics import Array, detection, ratio
from dcasekit.metrics._events import Counts
from dcasekit.metrics.bootstrap import Statistic
from dcasekit.metrics.event import EventCounts
from dcasekit.metrics.segment import SegmentCounts
from dcasekit.units import FloatArray


class PerClip(Protocol):
    """Counts (clips, labels), as `SegmentCounts`, `EventCounts` and `IntersectionCounts` have them."""

    @property
    def hits(self) -> Counts:
        """Found and there."""

    @property
    def reference(self) -> Counts:
        """There."""

    @property
    def estimate(self) -> Counts:
        """Found."""


def figure_of(counts: PerClip, key: str) -> Statistic:
    """Give one number of `evaluate` as a function of weights (draws, clips).

    Parameters
    ----------
    counts : of segments, events or intersections.
    key : ``f1``, ``precision`` or ``recall``, then ``/micro`` or ``/macro``; ``error_rate/micro``, where the counts have substitutions.

    Notes
    -----
    A label that a draw does not hold is left out of that draw's macro mean; one that is there and never found counts 0.
    """
    name, _, kind = key.partition("/")
    if name == "error_rate" and kind == "micro" and isinstance(counts, SegmentCounts | EventCounts):
        if isinstance(counts, SegmentCounts):  # each segment has its own errors
            wrong = counts.substitutions + counts.deletions + counts.insertions
        else:
            wrong = (counts.reference + counts.estimate - 2 * counts.hits).sum(axis=1) - counts.substitutions
        return lambda weights: ratio(weights @ wrong.astype(np.float64), weights @ counts.reference.sum(axis=1))
    if name not in ("f1", "precision", "recall") or kind not in ("micro", "macro"):
        raise MetricError(
            f"no interval is known for {key!r}; there are f1, precision and recall, each micro or macro, and error_rate/micro"
        )

    def statistic(weights: FloatArray) -> Array:
        drawn = [weights @ each.astype(np.float64) for each in (counts.hits, counts.reference, counts.estimate)]
        if kind == "micro":
            return detection(*(each.sum(axis=1) for each in drawn))[name]
        values = detection(*drawn)[name]
        values = np.where((drawn[2] == 0) & (drawn[1] > 0), 0.0, values)  # never estimated: 0, not unknown
        known = ~np.isnan(values)
        return ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))

    return statistic
