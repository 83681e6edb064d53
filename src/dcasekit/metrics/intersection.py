"""Intersection-based F1 of sound event detection: how much of each other detections and reference events cover.

A detection is valid if reference events of its label cover at least the share ``dtc`` of it (detection tolerance criterion), else a false
alarm. A reference event is found, a hit, if valid detections cover at least the share ``gtc`` of it (ground truth intersection
criterion). Precision is hits / (hits + false alarms), recall hits / reference events, F1 ``2 hits / (2 hits + false alarms +
misses)``: hits are counted on the reference, so events split or joined by the system are forgiven. C. Bilen et al., "A framework
for the robust evaluation of sound event detection", ICASSP 2020. DCASE task 4 uses dtc = gtc = 0.5 at a threshold of 0.5.

Events of one label that touch or overlap are joined first, and those shorter than a microsecond are left out; seconds are
compared after rounding to six decimals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import Seconds
from dcasekit.metrics import Array, detection, named
from dcasekit.metrics._curves import Index, best, best_figures
from dcasekit.metrics._detections import MICROSECONDS, pairs
from dcasekit.metrics._events import Counts, Events, EventTable, check_labels, choose, tabulate
from dcasekit.metrics._intersections import check_shares, curves, lasting
from dcasekit.metrics._scored import ScoresOf, gather, merge

Unfound = Literal["zero", "nan"]


@dataclass(frozen=True, eq=False)
class IntersectionCounts:
    """What was counted, per clip and label, (clips, labels): reference events found, reference events, and what precision is a share of."""

    hits: Counts
    reference: Counts
    estimate: Counts


def counts(reference: Events, estimate: Events, *, labels: Sequence[str], dtc: float = 0.5, gtc: float = 0.5) -> IntersectionCounts:
    """Count per clip, the reference's clips in their order, then those of the estimate alone; parameters and errors as for `f1`."""
    check_shares(dtc=dtc, gtc=gtc)
    check_labels(labels)
    clips = list(dict.fromkeys((*reference, *estimate)))
    true, found = (lasting(merge(tabulate(events, clips, labels))) for events in (reference, estimate))
    first, second, shared = _shared(true, found)
    valid = np.rint(np.bincount(second, shared, len(found.onset))) >= np.rint(dtc * _length(found))
    covered = np.bincount(first, shared * valid[second], len(true.onset))
    hit = np.rint(covered) >= np.rint(gtc * _length(true))
    hits, number, alarms = (
        _per_label(table, chosen, len(clips), len(labels)) for table, chosen in ((true, hit), (true, None), (found, ~valid))
    )
    return IntersectionCounts(hits, number, hits + alarms)


def f1(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    dtc: float = 0.5,
    gtc: float = 0.5,
    unfound: Unfound = "zero",
) -> dict[str, float]:
    """Compute intersection-based F1, precision and recall of events.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that one of them lacks has no events there.
    labels : the columns.
    dtc, gtc : in (0, 1], see above. DCASE task 4 uses 0.5.
    unfound : F1 of a label that occurs and of which no event is found. ``"zero"``: 0, as in sed_scores_eval;
        ``"nan"``: NaN and left out of the macro mean, as in psds_eval, which looks better.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/`` of ``micro``, ``macro`` and each label.

    Raises
    ------
    MetricError : a label is not among `labels` or comes twice there, or a setting is out of its range.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> reference = {"a": [Event(0, 2, "dog"), Event(5, 6, "dog")]}
    >>> f1(reference, {"a": [Event(0.5, 2.5, "dog"), Event(8, 9, "dog")]}, labels=["dog"])["f1/dog"]
    0.5
    """
    choose("unfound", unfound, Unfound)
    counted = counts(reference, estimate, labels=labels, dtc=dtc, gtc=gtc)
    hits, number, predicted = (each.sum(axis=0) for each in (counted.hits, counted.reference, counted.estimate))
    each = detection(hits, number, predicted)
    if unfound == "nan":
        each["f1"] = np.where(hits == 0, np.nan, each["f1"])
    micro = detection(hits.sum(), number.sum(), predicted.sum())
    numbers: dict[str, float] = {}
    for name, values in each.items():
        numbers |= {f"{name}/micro": float(micro[name]), **named(name, values, labels)}
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
    reference, scores, durations : clip id -> events, scores, seconds, of the same clips; durations may have more.
        An empty list says that nothing sounds.
    labels : what is evaluated, a choice of the scores' labels. Default: all.
    dtc, gtc : in (0, 1], see above.

    Returns
    -------
    dict : ``f1/`` of ``micro`` (counts of all labels, each at its own threshold), ``macro`` and each label; ``precision/``,
    ``recall/``, ``threshold/`` of each label. A detection is a run of frames whose scores exceed the threshold. Of thresholds of
    equal F1 the highest counts, and the one given is half-way to the next lower score that changes a count; -infinity if there is none,
    infinity if no threshold finds an event. Precision is 1 where nothing is detected. A label that the reference does not
    hold is NaN and in no mean (sed_scores_eval refuses it).

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
    events = lasting(data.events)
    found = [
        best(level, hits, hits + alarms, int(number)) if number else None
        for number, (level, (hits, alarms, _)) in zip(
            np.bincount(events.label, minlength=len(data.labels)), curves(data, events, dtc=dtc, gtc=gtc), strict=True
        )
    ]
    return best_figures(found, data.labels)


def _per_label(events: EventTable, chosen: NDArray[np.bool_] | None, clips: int, labels: int) -> Counts:
    """Count events, or those chosen, by clip and label."""
    cell = events.clip * labels + events.label
    return np.bincount(cell if chosen is None else cell[chosen], minlength=clips * labels).reshape(clips, labels)


def _length(events: EventTable) -> Array:
    return (events.offset - events.onset) * MICROSECONDS


def _shared(true: EventTable, found: EventTable) -> tuple[Index, Index, Array]:
    """List pairs of one clip and label, and the microseconds they share; both tables are sorted by label, clip, onset."""
    clips = 1 + max(true.clip.max(initial=0), found.clip.max(initial=0))
    row, other = (events.label * clips + events.clip for events in (true, found))
    first, second = pairs(np.searchsorted(other, row, side="left"), np.searchsorted(other, row, side="right"))
    shared = np.minimum(true.offset[first], found.offset[second]) - np.maximum(true.onset[first], found.onset[second])
    kept = shared > 0
    return first[kept], second[kept], shared[kept] * MICROSECONDS
