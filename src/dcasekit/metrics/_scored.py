"""What every metric over all thresholds starts from: scores and reference of the same clips, checked, in one order.

Reference events of one label that touch or overlap in a clip become one event first: scores have one value per label and
time, so a detection can never tell two such events apart. sed_scores_eval refuses such a reference. Times closer than
`TIME_TOLERANCE` count as touching. Reference events of weight 0.5 or less are none; events and scores end with their clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcasekit.annotations import HARD, TIME_TOLERANCE
from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array
from dcasekit.metrics._events import Counts, Events, EventTable, check_labels, cut, tabulate, take
from dcasekit.scores import Scores

ScoresOf = Mapping[str, Scores]


@dataclass(frozen=True, eq=False)
class Scored:
    """Clips with scores and reference.

    Parameters
    ----------
    scores : one per clip.
    durations : (clips,) seconds.
    labels : those that are evaluated.
    columns : (labels,) the column of each in the scores.
    events : reference events of these labels, sorted by label, clip, onset; disjoint within label and clip.
    """

    scores: tuple[Scores, ...]
    durations: Array
    labels: tuple[str, ...]
    columns: tuple[int, ...]
    events: EventTable

    @property
    def numbers(self) -> Counts:
        """Count the reference events of each label, (labels,)."""
        return np.bincount(self.events.label, minlength=len(self.labels))


def gather(reference: Events, scores: ScoresOf, durations: Mapping[str, Seconds], labels: Sequence[str] | None = None) -> Scored:
    """Check the input of a metric over all thresholds and put it into one order, that of `scores`.

    Parameters
    ----------
    reference : clip id -> events, an empty list where nothing sounds; the same clips as `scores`.
    scores : clip id -> scores, all of the same labels.
    durations : clip id -> seconds; may have more clips than `scores`.
    labels : the labels to evaluate, some of those of the scores; reference events of other labels are left out. ``None``: all labels
        of the scores, and those of the reference must be among them.

    Raises
    ------
    MetricError : there are no clips, a clip has no reference, scores or duration, the scores of clips have different labels, or a label is
        unknown.
    """
    _check(reference, scores, durations)
    known = next(iter(scores.values())).labels
    chosen = known if labels is None else tuple(labels)
    check_labels(chosen)
    if unknown := [label for label in chosen if label not in known]:
        raise MetricError(f"label {unknown[0]!r} is not among the scores' labels: {', '.join(known)}")
    if labels is None:
        _refuse_strange(reference, known)
    ends = np.array([durations[clip] for clip in scores], dtype=np.float64)
    return Scored(
        scores=tuple(_end_with_clip(each, clip, end) for (clip, each), end in zip(scores.items(), ends.tolist(), strict=True)),
        durations=ends,
        labels=chosen,
        columns=tuple(known.index(label) for label in chosen),
        events=merge(cut(tabulate(reference, list(scores), chosen, above=HARD), ends)),
    )


def _refuse_strange(reference: Events, known: Sequence[str]) -> None:
    for clip, events in reference.items():
        if strange := {event.label for event in events}.difference(known):
            raise MetricError(
                f"unknown label {min(strange)!r} in clip {clip!r}; the scores' labels are: {', '.join(known)}. "
                "Give the labels to evaluate (labels=); events of others are then left out"
            )


def _end_with_clip(scores: Scores, clip: str, end: Seconds) -> Scores:
    """Take off what a model answered behind the end of its clip."""
    if scores.edges[-1] <= end:
        return scores
    frames = int(np.searchsorted(scores.edges, end - TIME_TOLERANCE))
    if not frames:
        raise MetricError(f"the scores of clip {clip!r} begin at {scores.edges[0]:g} s, and the clip ends at {end:g} s")
    return Scores(scores.values[:frames], np.append(scores.edges[:frames], end), scores.labels)


def merge(events: EventTable) -> EventTable:
    """Sort by label, clip, onset, and join events of one label and clip that touch or overlap."""
    events = take(events, np.lexsort((events.offset, events.onset, events.clip, events.label)))
    fresh = np.append(True, (np.diff(events.clip) != 0) | (np.diff(events.label) != 0))[: len(events.clip)]
    # How far the events of the same label and clip have reached, by rank, so that offsets stay exact.
    order = np.argsort(events.offset, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    reached = events.offset[order[np.maximum.accumulate(fresh.cumsum() * len(order) + rank) % max(len(order), 1)]]
    first = fresh | (events.onset > np.append(0.0, reached)[: len(reached)] + TIME_TOLERANCE)
    last = np.append(first[1:], True)[: len(first)]
    return EventTable(events.clip[first], events.label[first], events.onset[first], reached[last])


def _check(reference: Events, scores: ScoresOf, durations: Mapping[str, Seconds]) -> None:
    if not scores:
        raise MetricError("no clips: scores is empty; give the scores of at least one clip")
    if missing := [clip for clip in reference if clip not in scores]:
        raise MetricError(f"the reference has clip {missing[0]!r}, which has no scores; score it, or leave it out of the reference")
    first, labels = next((clip, each.labels) for clip, each in scores.items())
    for clip, each in scores.items():
        if clip not in reference:
            raise MetricError(f"clip {clip!r} has scores but no reference; give an empty list if nothing sounds in it, or leave it out")
        if not durations.get(clip, 0) > 0 or durations[clip] == np.inf:
            raise MetricError(f"clip {clip!r} needs a duration in seconds > 0, got {durations.get(clip)}")
        if each.labels != labels:
            raise MetricError(
                f"the scores of clip {clip!r} have labels {', '.join(each.labels)}, those of {first!r} {', '.join(labels)}; "
                "bring them to the same labels in the same order"
            )
