"""Event-based metrics of sound event detection: an estimated event is right if a reference event of its label has its times.

A pair of one label may be matched if the onsets differ by at most ``onset_collar`` and the offsets by at most
``max(offset_collar, offset_rate * length of the reference event)``. Each event is matched at most once: hits. Then each
reference event that is left, in the order given, takes the first estimate left whose times fit, whatever its label:
substitutions. What still is left are deletions and insertions. Error rates are these over the number of reference events; of
one label alone (misses + false alarms) / reference. A. Mesaros, T. Heittola, T. Virtanen, "Metrics for polyphonic sound event
detection", Applied Sciences 6(6):162, 2016.

The numbers are those of the authors' sed_eval 0.2.1 at the same settings. The default of ``offset_rate`` is 0.2 as in DCASE
task 4 since 2018, which also uses ``empty_output="zero"``; sed_eval's own default is 0.5. Times are compared as they are, so
5.0 and 5.2 s differ by more than a collar of 0.2 s, by 2e-16 s, while 1.0 and 1.2 s do not. sed_scores_eval rounds to 1e-6 s
first; ``tolerance=1e-6`` does what is meant by that. F1 does not depend on which of several largest matchings is found,
substitutions may; sed_eval's is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dcasekit.core.units import Seconds
from dcasekit.metrics._best import event_best_f1
from dcasekit.metrics._events import (
    Absent,
    Counts,
    EmptyOutput,
    Events,
    Totals,
    check_choice,
    check_collars,
    count_each,
    shared_figures,
    tabulate_pair,
    take,
)
from dcasekit.metrics._matching import candidates, match
from dcasekit.metrics._scored import ScoresOf, merge

Matching = Literal["optimal", "greedy"]


@dataclass(frozen=True, eq=False)
class EventCounts:
    """What was counted, per clip; sums over clips give every metric, so a bootstrap need not match events again.

    Parameters
    ----------
    hits, reference, estimate : (clips, labels) matched events, reference events, estimated events.
    substitutions : (clips,) pairs whose times fit and whose labels do not, of what is left.
    """

    hits: Counts
    reference: Counts
    estimate: Counts
    substitutions: Counts


def counts(  # noqa: PLR0913 - the settings of the definition
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    onset_collar: Seconds = 0.2,
    offset_collar: Seconds | None = 0.2,
    offset_rate: float = 0.2,
    durations: Mapping[str, Seconds] | None = None,
    tolerance: Seconds = 0.0,
    matching: Matching = "optimal",
    join: bool = False,
) -> EventCounts:
    """Count per clip, the reference's clips in their order, then those of the estimate alone.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that one of them lacks has no events there; leave a clip whose
        events are unknown out of both. Events of one label may overlap; each counts. Reference events of weight 0.5 or less are none.
    labels : what is evaluated, the columns; events of other labels are left out.
    onset_collar : >= 0; infinity: onsets are not compared.
    offset_collar : >= 0; ``None``: offsets are not compared, and `offset_rate` is of no matter.
    offset_rate : >= 0, share of the reference event's length by which the offset may be wrong.
    durations : clip id -> seconds, where events are cut; ``None``: none is cut.
    tolerance : >= 0, added to every collar; 0: as sed_eval, 1e-6: as sed_scores_eval.
    matching : ``"optimal"``: as many hits as can be; ``"greedy"``, sed_eval's older way: each reference event takes the first
        estimate left that fits, so the order of events matters.
    join : count events of one label that touch or overlap as one, in reference and estimate, as scores over time have them.

    Raises
    ------
    MetricError : a label comes twice, durations are given but not of every clip, or a setting is out of its range.
    """
    check_collars(onset_collar=onset_collar, offset_collar=offset_collar, offset_rate=offset_rate, tolerance=tolerance)
    check_choice("matching", matching, Matching)
    tables = tabulate_pair(reference, estimate, labels, durations)
    true, found = (merge(table) if join else table for table in (tables.reference, tables.estimate))
    reach = None if offset_collar is None else np.maximum(offset_collar, offset_rate * (true.offset - true.onset)) + tolerance
    first, second = candidates(true, found, onset_collar + tolerance, reach)
    same = true.label[first] == found.label[second]
    hit, answered = first[same], second[same]
    matched = match(hit, answered, greedy=matching == "greedy")
    hit, answered = hit[matched], answered[matched]
    left = ~np.isin(first, hit) & ~np.isin(second, answered)
    first, second = first[left], second[left]
    substituted = first[match(first, second, greedy=True)]
    shape = (len(tables.clips), len(labels))
    return EventCounts(
        hits=count_each(take(true, hit), shape),
        reference=count_each(true, shape),
        estimate=count_each(found, shape),
        substitutions=np.bincount(true.clip[substituted], minlength=shape[0]),
    )


def evaluate(  # noqa: PLR0913 - the settings of the definition
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    onset_collar: Seconds = 0.2,
    offset_collar: Seconds | None = 0.2,
    offset_rate: float = 0.2,
    durations: Mapping[str, Seconds] | None = None,
    join: bool = False,
    empty_output: EmptyOutput = "nan",
    absent: Absent = "sed_eval",
) -> dict[str, float]:
    """Compute all event-based numbers; parameters and errors as for `counts`, which also has rarer ones, and `figures`.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/``, ``error_rate/`` of ``micro``, ``macro`` and each label; ``substitutions``,
    ``deletions``, ``insertions`` (shares of the reference, their sum is ``error_rate/micro``).

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> reference = {"a": [Event(0, 2, "dog"), Event(5, 6, "cat")]}
    >>> estimate = {"a": [Event(0.1, 2.3, "dog"), Event(5.1, 6, "dog")]}
    >>> numbers = evaluate(reference, estimate, labels=["cat", "dog"])
    >>> numbers["f1/dog"], numbers["f1/micro"], numbers["substitutions"]
    (0.6666666666666666, 0.5, 0.5)

    Pairs that fit but for rounding, matched like sed_scores_eval:

    >>> reference, estimate = {"a": [Event(5, 6, "dog")]}, {"a": [Event(5.2, 6, "dog")]}
    >>> figures(counts(reference, estimate, labels=["dog"], tolerance=1e-6), labels=["dog"])["f1/dog"]
    1.0
    """
    found = counts(
        reference,
        estimate,
        labels=labels,
        onset_collar=onset_collar,
        offset_collar=offset_collar,
        offset_rate=offset_rate,
        durations=durations,
        join=join,
    )
    return figures(found, labels=labels, empty_output=empty_output, absent=absent)


def figures(
    found: EventCounts,
    *,
    labels: Sequence[str],
    empty_output: EmptyOutput = "nan",
    absent: Absent = "sed_eval",
) -> dict[str, float]:
    """Turn counts into the numbers of `evaluate`; parameters as for `dcasekit.metrics.segment.figures`."""
    hits, reference, estimate = (each.sum(axis=0) for each in (found.hits, found.reference, found.estimate))
    substitutions = found.substitutions.sum()
    errors = {
        "substitutions": substitutions,
        "deletions": reference.sum() - hits.sum() - substitutions,
        "insertions": estimate.sum() - hits.sum() - substitutions,
    }
    return shared_figures(Totals(hits, reference, estimate), errors, labels=labels, empty_output=empty_output, absent=absent)


def best_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    onset_collar: Seconds = 0.2,
    offset_collar: Seconds | None = 0.2,
    offset_rate: float = 0.2,
) -> dict[str, float]:
    """Compute the highest event-based F1 of each label over all thresholds, exactly; the numbers of sed_scores_eval 0.0.4.

    Times are compared after rounding to six decimals.

    Parameters
    ----------
    reference, scores, durations : clip id -> events, scores, seconds, of the same clips; durations may have more.
        An empty list says that nothing sounds. Events of one label that touch or overlap are joined first.
    labels : what is evaluated, a choice of the scores' labels. Default: all.
    onset_collar, offset_collar, offset_rate : as for `counts`.

    Returns
    -------
    dict : as `dcasekit.metrics.intersection.best_f1`.

    Raises
    ------
    MetricError : clips, durations or labels do not agree, or a setting is out of its range.
    """
    return event_best_f1(
        reference,
        scores,
        durations,
        labels=labels,
        onset_collar=onset_collar,
        offset_collar=offset_collar,
        offset_rate=offset_rate,
    )
