"""Event-based metrics of sound event detection: an estimated event is right if a reference event of its label has about the same times.

A reference and an estimated event of one label may be matched if their onsets differ by at most ``onset_collar`` and their offsets by at
most ``max(offset_collar, offset_rate * length of the reference event)``. Each event is matched at most once; matched pairs are hits.
Then each remaining reference event, in the order given, is paired with the first remaining estimate whose times fit, whatever its label:
these are substitutions. What then remains are deletions (reference) and insertions (estimate). Error rates are the numbers of these over
the number of reference events; for one label alone (misses + false alarms) / reference events. A. Mesaros, T. Heittola, T. Virtanen,
"Metrics for polyphonic sound event detection", Applied Sciences 6(6):162, 2016.

The numbers are those of the authors' sed_eval 0.2.1 at the same settings. The default of ``offset_rate`` is 0.2 as in DCASE task 4 since
2018, which also uses ``empty_output="zero"``; sed_eval's own default is 0.5. Times are compared without rounding, so that 5.0 and 5.2 s
differ by more than a collar of 0.2 s (by 2e-16 s in floating point), while 1.0 and 1.2 s do not. sed_scores_eval rounds to 1e-6 s first;
``tolerance=1e-6`` has the same effect. If there are several largest matchings, F1 does not depend on the choice, but substitutions may;
the choice is sed_eval's.
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
    """Counts per clip; every metric follows from their sums over clips, so that a bootstrap need not match events again.

    Parameters
    ----------
    hits, reference, estimate : (clips, labels), numbers of matched pairs, reference events and estimated events.
    substitutions : (clips,), numbers of pairs of unmatched events whose times fit and whose labels differ.
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
    """Match the events of each clip and count; clips are those of the reference in their order, then those only in the estimate.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that is missing in one of them has no events there; leave clips whose events are
        unknown out of both. Events of one label may overlap; each counts. Reference events of weight 0.5 or less do not count.
    labels : the labels to evaluate, which are the columns of the counts; events of other labels are left out.
    onset_collar : seconds, at least 0; infinity: onsets are not compared.
    offset_collar : seconds, at least 0; ``None``: offsets are not compared, and `offset_rate` is not used.
    offset_rate : share of the reference event's length by which the offset may be wrong, at least 0.
    durations : clip id -> seconds; events are cut at the end of their clip. ``None``: none is cut.
    tolerance : seconds added to every collar, at least 0. 0: as sed_eval; 1e-6: as sed_scores_eval.
    matching : ``"optimal"``: as many hits as possible; ``"greedy"``, as in older versions of sed_eval: each reference event is matched with
        the first remaining estimate that fits, so that the result depends on the order of events.
    join : join events of one label that touch or overlap before they are counted, in reference and estimate: events that were found in
        scores are always joined in this way.

    Raises
    ------
    MetricError : a label is given twice, `durations` lacks a clip, or a setting is out of its range.
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
    """Compute all event-based numbers.

    The parameters and errors are those of `counts`, which has a few more, and of `figures`.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/``, ``error_rate/`` of ``micro``, ``macro`` and each label; ``substitutions``,
        ``deletions``, ``insertions``, each divided by the number of reference events: their sum is ``error_rate/micro``.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> reference = {"a": [Event(0, 2, "dog"), Event(5, 6, "cat")]}
    >>> estimate = {"a": [Event(0.1, 2.3, "dog"), Event(5.1, 6, "dog")]}
    >>> numbers = evaluate(reference, estimate, labels=["cat", "dog"])
    >>> numbers["f1/dog"], numbers["f1/micro"], numbers["substitutions"]
    (0.6666666666666666, 0.5, 0.5)

    Times that fit except for rounding are matched as in sed_scores_eval with a tolerance:

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
    """Turn the counts of `counts` into the numbers of `evaluate`; parameters as for `dcasekit.metrics.segment.figures`."""
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
    reference, scores, durations : clip id -> events, scores, seconds, for the same clips; `durations` may have more. An empty list of
        events means that nothing sounds. Events of one label that touch or overlap are joined first.
    labels : the labels to evaluate, some of those of the scores; ``None``: all of them.
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
