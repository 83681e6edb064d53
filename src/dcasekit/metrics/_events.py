"""Events as columns of numbers, the checks every event metric makes of its input, and the figures all of them give."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import HARD, TIME_TOLERANCE, Event
from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags, detection, name_figures, ratio

Counts = NDArray[np.int64]
Events = Mapping[str, Sequence[Event]]
EmptyOutput = Literal["nan", "zero"]
Absent = Literal["sed_eval", "nan"]

# What sed_eval adds to a denominator: an error rate over nothing is not NaN there but the errors times 4.5e15.
SPACING = float(np.spacing(1.0))


@dataclass(frozen=True, eq=False)
class EventTable:
    """Events below each other, clip after clip, in the order they were given.

    Parameters
    ----------
    clip, label : (events,) positions among the clips and among the labels.
    onset, offset : (events,) seconds.
    """

    clip: Counts
    label: Counts
    onset: Array
    offset: Array


@dataclass(frozen=True, eq=False)
class Pair:
    """Reference and estimate as tables of the same clips and labels."""

    clips: list[str]
    reference: EventTable
    estimate: EventTable


def tabulate_pair(reference: Events, estimate: Events, labels: Sequence[str], durations: Mapping[str, Seconds] | None) -> Pair:
    """Turn reference and estimate into tables, without events that do not count, have other labels or begin after their clip's end.

    Raises
    ------
    MetricError : a label is given twice, or `durations` lacks a clip.
    """
    check_labels(labels)
    clips = list(dict.fromkeys((*reference, *estimate)))
    true, found = tabulate(reference, clips, labels, above=HARD), tabulate(estimate, clips, labels)
    if durations is not None:
        ends = check_durations(durations, clips)
        true, found = cut(true, ends), cut(found, ends)
    return Pair(clips, true, found)


def tabulate(events: Events, clips: Sequence[str], labels: Sequence[str], *, above: float = 0.0) -> EventTable:
    """Turn events into columns; events of other labels are left out.

    Parameters
    ----------
    events : clip id -> events.
    clips : all clips of `events`, or more.
    labels : the labels to keep.
    above : keep events whose weight is greater than this: `HARD` hardens a soft reference; 0 leaves out events of weight 0.
    """
    row, column = ({name: index for index, name in enumerate(names)} for names in (clips, labels))
    every = [event for listed in events.values() for event in listed]
    table = EventTable(
        clip=np.repeat([row[clip] for clip in events], [len(listed) for listed in events.values()]).astype(np.int64),
        label=np.fromiter((column.get(event.label, -1) for event in every), np.int64, len(every)),
        onset=np.fromiter(map(attrgetter("onset"), every), np.float64, len(every)),
        offset=np.fromiter(map(attrgetter("offset"), every), np.float64, len(every)),
    )
    kept = (table.label >= 0) & (np.fromiter(map(attrgetter("weight"), every), np.float64, len(every)) > above)
    return table if kept.all() else take(table, kept)


def take(events: EventTable, chosen: Flags | NDArray[np.intp]) -> EventTable:
    """Choose events, by position or by a mask."""
    return EventTable(events.clip[chosen], events.label[chosen], events.onset[chosen], events.offset[chosen])


def cut(events: EventTable, ends: Array) -> EventTable:
    """End events with their clip, whose seconds are `ends`, (clips,); what begins there or later is left out."""
    end = ends[events.clip]
    if not (events.offset > end).any() and not (events.onset >= end - TIME_TOLERANCE).any():
        return events
    ended = EventTable(events.clip, events.label, events.onset, np.minimum(events.offset, end))
    return take(ended, events.onset < end - TIME_TOLERANCE)


def are_points(events: EventTable) -> Flags:
    """Tell which events are point events: shorter than `TIME_TOLERANCE`, within which two instants are equal."""
    return events.offset - events.onset < TIME_TOLERANCE


def count_each(events: EventTable, shape: tuple[int, int]) -> Counts:
    """Count the events of each clip and label; `shape` is (clips, labels), also of the result."""
    return np.bincount(events.clip * shape[1] + events.label, minlength=shape[0] * shape[1]).reshape(shape)


def check_collars(**settings: float | None) -> None:
    """Raise MetricError unless each is ``None`` or at least 0; `onset_collar` and `offset_collar` may be infinite."""
    for name, value in settings.items():
        if value is not None and not (0 <= value < math.inf or (value == math.inf and name.endswith("collar"))):
            raise MetricError(f"{name} must be >= 0, got {value}")


def check_labels(labels: Sequence[str]) -> None:
    """Raise MetricError if a label is given twice, because its column would be counted twice in every mean."""
    if len(set(labels)) < len(labels):
        twice = next(label for index, label in enumerate(labels) if label in labels[:index])
        raise MetricError(f"label {twice!r} is given twice; give each label once: {', '.join(dict.fromkeys(labels))}")


def check_durations(durations: Mapping[str, Seconds], clips: Sequence[str]) -> Array:
    """Return the durations of `clips` in seconds, (clips,).

    Raises
    ------
    MetricError : a clip has no duration, or one that is not finite and at least 0.
    """
    if missing := [clip for clip in clips if clip not in durations]:
        raise MetricError(
            f"durations are missing for {len(missing)} of {len(clips)} clips, the first is {missing[0]!r}; "
            "give the seconds of every clip of reference and estimate, or leave out events of clips that are not evaluated"
        )
    for clip in clips:
        if not 0 <= durations[clip] < math.inf:
            raise MetricError(f"duration of clip {clip!r} must be seconds >= 0, got {durations[clip]}")
    return np.array([durations[clip] for clip in clips], dtype=np.float64)


def rate(count: ArrayLike, of: ArrayLike, absent: Absent) -> Array:
    """Divide; where the denominator is 0, divide by 2.2e-16 as sed_eval does (0 stays 0), or return NaN, see `absent`."""
    of = np.asarray(of, dtype=np.float64)
    return ratio(count, np.where(of == 0, SPACING, of) if absent == "sed_eval" else of)


@dataclass(frozen=True, eq=False)
class Totals:
    """Counts over all clips, each (labels,): hits, and numbers in the reference and in the estimate."""

    hits: Counts
    reference: Counts
    estimate: Counts


def shared_figures(
    found: Totals,
    errors: Mapping[str, float],
    *,
    labels: Sequence[str],
    empty_output: EmptyOutput,
    absent: Absent,
) -> dict[str, float]:
    """Turn counts over all clips into the figures that segments and events share.

    Parameters
    ----------
    found : counts of each label.
    errors : number of ``substitutions``, ``deletions`` and ``insertions`` over all labels.

    Raises
    ------
    MetricError : labels are not those of the counts, or a setting has another value than its type says.
    """
    for name, value, known in (("empty_output", empty_output, EmptyOutput), ("absent", absent, Absent)):
        check_choice(name, value, known)
    hits, reference, estimate = found.hits, found.reference, found.estimate
    if len(labels) != len(hits):
        raise MetricError(f"{len(labels)} labels were given for counts of {len(hits)}")
    each = _measure_detection(hits, reference, estimate, empty_output, absent)
    micro = _measure_detection(hits.sum(), reference.sum(), estimate.sum(), empty_output, absent)
    numbers: dict[str, float] = {}
    for name, values in each.items():
        numbers |= {f"{name}/micro": float(micro[name]), **name_figures(name, values, labels)}
    rates = {name: float(rate(count, reference.sum(), absent)) for name, count in errors.items()}
    numbers |= {"error_rate/micro": sum(rates.values())}
    return numbers | name_figures("error_rate", rate(reference + estimate - 2 * hits, reference, absent), labels) | rates


def check_choice(name: str, value: object, known: object) -> None:
    """Raise MetricError unless `value` is one of the literal type `known`."""
    if value not in get_args(known):
        raise MetricError(f"{name} must be one of {', '.join(map(repr, get_args(known)))}; got {value!r}")


def _measure_detection(
    hits: ArrayLike, reference: ArrayLike, estimate: ArrayLike, empty_output: EmptyOutput, absent: Absent
) -> dict[str, Array]:
    """Compute F1, precision and recall, and say what they are where nothing was estimated."""
    values = detection(hits, reference, estimate)
    silent = np.asarray(estimate) == 0
    if empty_output == "nan":
        return values | {"f1": np.where(silent, np.nan, values["f1"])}
    # Silence about what never sounds is right, not an error: 0 only in sed_eval's form.
    judged = silent if absent == "sed_eval" else silent & (np.asarray(reference) > 0)
    return values | {"precision": np.where(judged, 0.0, values["precision"])}
