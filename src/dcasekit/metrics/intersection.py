"""Intersection-based F1 of sound event detection: how far detections and reference events cover each other.

A detection is valid if reference events of its label cover at least the share ``dtc`` of it (detection tolerance criterion); otherwise it
is a false alarm. A reference event is found, a hit, if valid detections cover at least the share ``gtc`` of it (ground truth intersection
criterion). Precision is hits / (hits + false alarms), recall hits / reference events, F1 ``2 hits / (2 hits + false alarms +
misses)``. Hits are counted on the reference, so that a system may split or join events. C. Bilen et al., "A framework
for the robust evaluation of sound event detection", ICASSP 2020. DCASE task 4 uses dtc = gtc = 0.5 at a threshold of 0.5.

Events of one label that touch or overlap are joined first; seconds are compared after rounding to six decimals. A point, an event
shorter than a microsecond, has no length to be covered: a reference point is found by a detection that holds its instant, which then is
no false alarm; a detected point is a false alarm unless a reference event holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from dcasekit.core.units import Seconds
from dcasekit.metrics import Array, detection, name_figures
from dcasekit.metrics._curves import Index, best, best_figures
from dcasekit.metrics._detections import MICROSECONDS, pairs
from dcasekit.metrics._events import Counts, Events, EventTable, are_points, check_choice, count_each, tabulate_pair, take
from dcasekit.metrics._intersections import check_shares, curves
from dcasekit.metrics._scored import ScoresOf, gather, merge

Unfound = Literal["zero", "nan"]


@dataclass(frozen=True, eq=False)
class IntersectionCounts:
    """Counts, each (clips, labels): reference events that were found, all reference events, and hits plus false alarms."""

    hits: Counts
    reference: Counts
    estimate: Counts


def counts(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    dtc: float = 0.5,
    gtc: float = 0.5,
    durations: Mapping[str, Seconds] | None = None,
) -> IntersectionCounts:
    """Count the events of each clip: clips of the reference in their order, then those only in the estimate; parameters as for `f1`."""
    check_shares(dtc=dtc, gtc=gtc)
    tables = tabulate_pair(reference, estimate, labels, durations)
    true, found = merge(tables.reference), merge(tables.estimate)
    line, other = _lines(true, found)
    first, second, shared = _measure_overlaps(true, found, line, other)
    instant, moment = are_points(true), are_points(found)
    covering = np.rint(np.bincount(second, shared, len(found.onset))) >= np.maximum(np.rint(dtc * _length(found)), 1)
    covered = np.bincount(first, shared * covering[second], len(true.onset))
    holder = _holders(line, other)
    hit = np.where(instant, holder >= 0, np.rint(covered) >= np.maximum(np.rint(gtc * _length(true)), 1))
    right = np.where(moment, _holders(other, line) >= 0, covering)
    right[holder[instant & hit]] = True
    shape = (len(tables.clips), len(labels))
    hits, alarms = count_each(take(true, hit), shape), count_each(take(found, ~right), shape)
    return IntersectionCounts(hits, count_each(true, shape), hits + alarms)


def f1(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    dtc: float = 0.5,
    gtc: float = 0.5,
    durations: Mapping[str, Seconds] | None = None,
    unfound: Unfound = "zero",
) -> dict[str, float]:
    """Compute intersection-based F1, precision and recall of events.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that is missing in one of them has no events there. Reference events of weight 0.5 or
        less do not count.
    labels : the labels to evaluate; events of other labels are left out.
    dtc : share of a detection that reference events must cover, in (0, 1]. DCASE task 4 uses 0.5.
    gtc : share of a reference event that valid detections must cover, in (0, 1]. DCASE task 4 uses 0.5.
    durations : clip id -> seconds; events are cut at the end of their clip. ``None``: none is cut.
    unfound : F1 of a label that occurs and of which no event is found. ``"zero"``: 0, as in sed_scores_eval; ``"nan"``: NaN, so that it is
        left out of the macro mean, which then is higher, as in psds_eval.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/`` of ``micro``, ``macro`` and each label.

    Raises
    ------
    MetricError : a label is given twice, `durations` lacks a clip, or a setting is out of its range.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> reference = {"a": [Event(0, 2, "dog"), Event(5, 6, "dog")]}
    >>> f1(reference, {"a": [Event(0.5, 2.5, "dog"), Event(8, 9, "dog")]}, labels=["dog"])["f1/dog"]
    0.5
    """
    check_choice("unfound", unfound, Unfound)
    counted = counts(reference, estimate, labels=labels, dtc=dtc, gtc=gtc, durations=durations)
    hits, number, predicted = (each.sum(axis=0) for each in (counted.hits, counted.reference, counted.estimate))
    each = detection(hits, number, predicted)
    if unfound == "nan":
        each["f1"] = np.where(hits == 0, np.nan, each["f1"])
    micro = detection(hits.sum(), number.sum(), predicted.sum())
    numbers: dict[str, float] = {}
    for name, values in each.items():
        numbers |= {f"{name}/micro": float(micro[name]), **name_figures(name, values, labels)}
    return numbers


def best_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> dict[str, float]:
    """Compute the highest F1 of each label over all thresholds, exactly.

    Parameters
    ----------
    reference, scores, durations : clip id -> events, scores, seconds, for the same clips; `durations` may have more. An empty list of
        events means that nothing sounds.
    labels : the labels to evaluate, some of those of the scores; ``None``: all of them.
    dtc, gtc : as for `f1`.

    Returns
    -------
    dict : ``f1/`` of ``micro`` (counts of all labels, each at its own threshold), ``macro`` and each label; ``precision/``, ``recall/``,
        ``threshold/`` of each label. A detection is a run of frames whose scores exceed the threshold. If several thresholds give the same
        F1, the highest is taken; the number returned lies half-way to the next lower score that changes a count. It is -infinity if there
        is no lower score, and infinity if no threshold finds an event. Precision is 1 where nothing is detected. The numbers of a label
        that the reference does not hold are NaN and in no mean (sed_scores_eval refuses such a label).

    Raises
    ------
    MetricError : clips, durations or labels do not agree, or a setting is out of its range.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> from dcasekit.scores import Scores
    >>> scores = {"a": Scores([[0.1], [0.8], [0.6], [0.3]], [0, 1, 2, 3, 4], ["dog"])}
    >>> numbers = best_f1({"a": [Event(1, 3, "dog")]}, scores, {"a": 4.0}, dtc=0.7, gtc=0.7)
    >>> numbers["f1/dog"], round(numbers["threshold/dog"], 6)
    (1.0, 0.45)
    """
    check_shares(dtc=dtc, gtc=gtc)
    data = gather(reference, scores, durations, labels)
    found = [
        best(level, hits, hits + alarms, int(number)) if number else None
        for number, (level, (hits, alarms, _)) in zip(data.numbers, curves(data, dtc=dtc, gtc=gtc), strict=True)
    ]
    return best_figures(found, data.labels)


def _length(events: EventTable) -> Array:
    return (events.offset - events.onset) * MICROSECONDS


class _Line(NamedTuple):
    """Onsets and offsets in whole microseconds on one line, on which each clip of each label has a stretch of its own."""

    onset: Counts
    offset: Counts


def _lines(*tables: EventTable) -> list[_Line]:
    clips = 1 + max(int(table.clip.max(initial=0)) for table in tables)
    stride = 2 + max(int(np.rint(table.offset.max(initial=0) * MICROSECONDS)) for table in tables)

    def place(table: EventTable, times: Array) -> Counts:
        placed: Counts = (table.label * clips + table.clip) * stride + np.rint(times * MICROSECONDS).astype(np.int64)
        return placed

    return [_Line(place(table, table.onset), place(table, table.offset)) for table in tables]


def _holders(instants: _Line, events: _Line) -> Index:
    """Return the event that holds each onset of `instants`, a point at that very instant included; -1: none."""
    before = np.searchsorted(events.onset, instants.onset, side="right") - 1
    onset, offset = (np.append(times, -1)[before] for times in events)
    return np.where((instants.onset < offset) | (instants.onset == onset), before, -1)


def _measure_overlaps(true: EventTable, found: EventTable, line: _Line, other: _Line) -> tuple[Index, Index, Array]:
    """List pairs of one clip and label that overlap, and the microseconds they share.

    Both tables are merged, so those that overlap an event are neighbours: there are no more pairs than events.
    """
    low = np.searchsorted(other.offset, line.onset, side="right")
    first, second = pairs(low, np.maximum(low, np.searchsorted(other.onset, line.offset, side="left")))
    shared = np.minimum(true.offset[first], found.offset[second]) - np.maximum(true.onset[first], found.onset[second])
    kept = shared > 0
    return first[kept], second[kept], shared[kept] * MICROSECONDS
