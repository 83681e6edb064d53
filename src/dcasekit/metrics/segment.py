"""Segment-based metrics of sound event detection: time is cut into segments, and a label is on or off in each.

An event is on in the segments floor(onset / resolution) to ceil(offset / resolution), so it fills every segment it touches.
Per segment, with reference and estimate the numbers of labels on and hits those on in both::

    substitutions = min(reference, estimate) - hits      deletions = max(0, reference - estimate)
                                                         insertions = max(0, estimate - reference)

Error rates are these over the number of reference labels, summed over all segments; of one label alone (misses + false
alarms) / reference. A. Mesaros, T. Heittola, T. Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences
6(6):162, 2016; as in the authors' sed_eval 0.2.1, rounding errors of the two divisions included, except that a label which the
system never reports has F1 0 (there NaN, left out of the macro mean) and that the error rate of a label without reference is
NaN (there about 4.5e15 per false alarm, kept in the macro mean).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import detection, named, ratio
from dcasekit.units import Seconds

Counts = NDArray[np.int64]
Events = Mapping[str, Sequence[Event]]


@dataclass(frozen=True, eq=False)
class SegmentCounts:
    """What was counted, per clip; sums over clips give every metric, so a bootstrap need not look at events again.

    Parameters
    ----------
    hits, reference, estimate : (clips, labels) segments in which the label is on in both, in one, in the other.
    substitutions, deletions, insertions : (clips,) labels over all segments of the clip.
    segments : (clips,) number of segments.
    """

    hits: Counts
    reference: Counts
    estimate: Counts
    substitutions: Counts
    deletions: Counts
    insertions: Counts
    segments: Counts


def counts(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    resolution: Seconds = 1.0,
    durations: Mapping[str, Seconds] | None = None,
) -> SegmentCounts:
    """Count per clip, the reference's clips in their order, then those of the estimate alone.

    Parameters
    ----------
    reference, estimate : clip id -> events. A clip that one of them lacks has no events there; leave a clip whose
        events are unknown out of both.
    labels : the columns.
    resolution : > 0, length of a segment in seconds.
    durations : clip id -> seconds that are evaluated, events beyond are cut; a clip without one ends with its last event.
        It moves ``accuracy`` and ``specificity``, which count silence, and nothing else as long as no event is cut.

    Raises
    ------
    MetricError : a label is not among `labels`, or the resolution is not positive.
    """
    if not resolution > 0:
        raise MetricError(f"resolution must be a positive number of seconds, got {resolution}")
    clips = list(dict.fromkeys((*reference, *estimate)))
    spans = [_spans(events, clips, labels, resolution) for events in (reference, estimate)]
    size = np.zeros(len(clips), dtype=np.int64)
    for clip, _, _, last in (span.T for span in spans):
        np.maximum.at(size, clip, last)
    for index, clip in enumerate(clips):
        if durations is not None and clip in durations:
            size[index] = math.ceil(durations[clip] / resolution)
    first, second = (_roll(span, size, len(labels)) for span in spans)
    both, n_first, n_second = first & second, first.sum(axis=1), second.sum(axis=1)
    found = {
        "hits": both,
        "reference": first,
        "estimate": second,
        "substitutions": np.minimum(n_first, n_second) - both.sum(axis=1),
        "deletions": np.maximum(n_first - n_second, 0),
        "insertions": np.maximum(n_second - n_first, 0),
    }
    ends = size.cumsum()
    return SegmentCounts(**{name: _sums(array, ends) for name, array in found.items()}, segments=size)


def evaluate(
    reference: Events,
    estimate: Events,
    *,
    labels: Sequence[str],
    resolution: Seconds = 1.0,
    durations: Mapping[str, Seconds] | None = None,
) -> dict[str, float]:
    """Compute all segment-based numbers; parameters and errors as for `counts`.

    Returns
    -------
    dict : ``f1/``, ``precision/``, ``recall/``, ``error_rate/`` of ``micro``, ``macro`` and each label; ``substitutions``,
    ``deletions``, ``insertions`` (shares of the reference, their sum is ``error_rate/micro``); ``accuracy``,
    ``balanced_accuracy``, ``sensitivity``, ``specificity`` over all labels and segments.

    Examples
    --------
    >>> numbers = evaluate({"a": [Event(0, 2, "dog")]}, {"a": [Event(1, 3, "dog")]}, labels=["dog"])
    >>> numbers["f1/micro"], numbers["error_rate/micro"]
    (0.5, 1.0)
    """
    settings = {"labels": labels, "resolution": resolution, "durations": durations}
    return figures(counts(reference, estimate, **settings), labels=labels)  # type: ignore[arg-type]


def figures(found: SegmentCounts, *, labels: Sequence[str]) -> dict[str, float]:
    """Turn counts into the numbers of `evaluate`."""
    total = {field.name: getattr(found, field.name).sum(axis=0) for field in fields(found)}
    hits, reference, estimate = total["hits"], total["reference"], total["estimate"]
    numbers: dict[str, float] = {}
    for name, values in detection(hits, reference, estimate).items():
        micro = detection(hits.sum(), reference.sum(), estimate.sum())[name]
        numbers |= {f"{name}/micro": float(micro), **named(name, values, labels)}
    errors = {name: float(ratio(total[name], reference.sum())) for name in ("substitutions", "deletions", "insertions")}
    numbers |= {"error_rate/micro": sum(errors.values())}
    numbers |= named("error_rate", ratio(reference + estimate - 2 * hits, reference), labels)
    return numbers | errors | _silence_too(hits.sum(), reference.sum(), estimate.sum(), total["segments"] * len(labels))


def _silence_too(hits: int, reference: int, estimate: int, cells: int) -> dict[str, float]:
    """Compute what also counts the cells that are rightly off."""
    quiet = cells - reference - estimate + hits
    sensitivity, specificity = float(ratio(hits, reference)), float(ratio(quiet, cells - reference))
    return {
        "accuracy": float(ratio(hits + quiet, cells)),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def _spans(events: Events, clips: Sequence[str], labels: Sequence[str], resolution: Seconds) -> Counts:
    """List events as rows of clip, label, first segment, last segment + 1."""
    row, column = ({name: index for index, name in enumerate(names)} for names in (clips, labels))
    try:
        spans = [
            (row[clip], column[e.label], math.floor(e.onset / resolution), math.ceil(e.offset / resolution))
            for clip, listed in events.items()
            for e in listed
        ]
    except KeyError as unknown:
        raise MetricError(f"unknown label {unknown}; the labels are: {', '.join(labels)}") from None
    return np.array(spans, dtype=np.int64).reshape(-1, 4)


def _roll(spans: Counts, size: Counts, n_labels: int) -> NDArray[np.bool_]:
    """Draw all clips' events below each other: (segments of all clips, labels)."""
    clip, label, first, last = spans.T
    start = size.cumsum() - size
    changes = np.zeros((int(size.sum()) + 1, n_labels), dtype=np.int64)
    np.add.at(changes, (start[clip] + np.minimum(first, size[clip]), label), 1)
    np.add.at(changes, (start[clip] + np.minimum(last, size[clip]), label), -1)
    return changes.cumsum(axis=0)[:-1] > 0


def _sums(rows: NDArray[np.int64] | NDArray[np.bool_], ends: Counts) -> Counts:
    """Sum the rows of each clip, given where each clip ends."""
    total: Counts = np.zeros((len(rows) + 1, *rows.shape[1:]), dtype=np.int64)
    rows.cumsum(axis=0, out=total[1:])
    until: Counts = total[np.append(0, ends)]
    return until[1:] - until[:-1]
