"""Events as columns of numbers, the checks every event metric makes of its input, and the figures all of them give."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import Event
from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array, detection, named, ratio

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


def tabulate(events: Events, clips: Sequence[str], labels: Sequence[str]) -> EventTable:
    """Turn events into columns; `clips` must hold every clip of `events`.

    Raises
    ------
    MetricError : a label is not among `labels`.
    """
    row, column = ({name: index for index, name in enumerate(names)} for names in (clips, labels))
    every = [event for listed in events.values() for event in listed]
    try:
        label = np.fromiter((column[event.label] for event in every), np.int64, len(every))
    except KeyError:
        clip, event = next((clip, e) for clip, listed in events.items() for e in listed if e.label not in column)
        raise MetricError(
            f"unknown label {event.label!r} in clip {clip!r}; the labels are: {', '.join(labels)}. Add it to labels or leave its events out"
        ) from None
    return EventTable(
        clip=np.repeat([row[clip] for clip in events], [len(listed) for listed in events.values()]).astype(np.int64),
        label=label,
        onset=np.fromiter(map(attrgetter("onset"), every), np.float64, len(every)),
        offset=np.fromiter(map(attrgetter("offset"), every), np.float64, len(every)),
    )


def check_labels(labels: Sequence[str]) -> None:
    """Raise MetricError if a label comes twice: its column would be counted twice in every mean."""
    if len(set(labels)) < len(labels):
        twice = next(label for index, label in enumerate(labels) if label in labels[:index])
        raise MetricError(f"label {twice!r} comes twice; give each label once: {', '.join(dict.fromkeys(labels))}")


def lengths(durations: Mapping[str, Seconds], clips: Sequence[str]) -> Array:
    """Give the durations of `clips` in seconds, (clips,).

    Raises
    ------
    MetricError : a clip has none, or one that is not finite and >= 0.
    """
    if missing := [clip for clip in clips if clip not in durations]:
        raise MetricError(
            f"durations lacks {len(missing)} of {len(clips)} clips, first {missing[0]!r}; "
            "give the seconds of every clip of reference and estimate, or leave events of clips that are not evaluated out"
        )
    for clip in clips:
        if not 0 <= durations[clip] < math.inf:
            raise MetricError(f"duration of clip {clip!r} must be seconds >= 0, got {durations[clip]}")
    return np.array([durations[clip] for clip in clips], dtype=np.float64)


def rate(count: ArrayLike, of: ArrayLike, absent: Absent) -> Array:
    """Divide; where there is nothing to divide by, like sed_eval by 2.2e-16 (0 stays 0), or NaN."""
    of = np.asarray(of, dtype=np.float64)
    return ratio(count, np.where(of == 0, SPACING, of) if absent == "sed_eval" else of)


def shared_figures(
    found: tuple[Array | Counts, Array | Counts, Array | Counts],
    errors: Mapping[str, float],
    *,
    labels: Sequence[str],
    empty_output: EmptyOutput,
    absent: Absent,
) -> dict[str, float]:
    """Turn counts over all clips into the figures that segments and events share.

    Parameters
    ----------
    found : hits, reference, estimate; each (labels,).
    errors : number of ``substitutions``, ``deletions`` and ``insertions`` over all labels.

    Raises
    ------
    MetricError : labels are not those of the counts, or a setting has another value than its type says.
    """
    for name, value, known in (("empty_output", empty_output, EmptyOutput), ("absent", absent, Absent)):
        choose(name, value, known)
    hits, reference, estimate = found
    if len(labels) != len(hits):
        raise MetricError(f"{len(labels)} labels were given for counts of {len(hits)}")
    each = _detected(hits, reference, estimate, empty_output, absent)
    micro = _detected(hits.sum(), reference.sum(), estimate.sum(), empty_output, absent)
    numbers: dict[str, float] = {}
    for name, values in each.items():
        numbers |= {f"{name}/micro": float(micro[name]), **named(name, values, labels)}
    rates = {name: float(rate(count, reference.sum(), absent)) for name, count in errors.items()}
    numbers |= {"error_rate/micro": sum(rates.values())}
    return numbers | named("error_rate", rate(reference + estimate - 2 * hits, reference, absent), labels) | rates


def choose(name: str, value: object, known: object) -> None:
    """Raise MetricError unless `value` is one of the literal type `known`."""
    if value not in get_args(known):
        raise MetricError(f"{name} must be one of {', '.join(map(repr, get_args(known)))}; got {value!r}")


def _detected(hits: ArrayLike, reference: ArrayLike, estimate: ArrayLike, empty_output: EmptyOutput, absent: Absent) -> dict[str, Array]:
    """Compute F1, precision and recall, and say what they are where nothing was estimated."""
    values = detection(hits, reference, estimate)
    silent = np.asarray(estimate) == 0
    if empty_output == "nan":
        return values | {"f1": np.where(silent, np.nan, values["f1"])}
    # Silence about what never sounds is right, not an error: 0 only in sed_eval's form.
    judged = silent if absent == "sed_eval" else silent & (np.asarray(reference) > 0)
    return values | {"precision": np.where(judged, 0.0, values["precision"])}
