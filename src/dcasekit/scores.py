"""What a model says about one clip over time, and the way from there to events.

The text form is the field's own: one TSV per clip, ``onset offset label1 label2 ...``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import Event
from dcasekit.errors import AnnotationError
from dcasekit.files import read_rows, write_rows
from dcasekit.units import FloatArray, PathLike


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of one clip.

    Parameters
    ----------
    values : (frames, labels), float32; usually probabilities, any finite number will do. A clip-level answer has one frame.
    edges : (frames + 1,), float64, seconds, ascending; frame t covers ``[edges[t], edges[t + 1])``.
    labels : the columns.
    """

    values: FloatArray
    edges: NDArray[np.float64]
    labels: tuple[str, ...]

    def __init__(self, values: ArrayLike, edges: ArrayLike, labels: Sequence[str]) -> None:
        array, grid = np.asarray(values, dtype=np.float32), np.asarray(edges, dtype=np.float64)
        if array.ndim != 2 or not len(array) or array.shape[1] != len(labels) or grid.shape != (len(array) + 1,):
            raise AnnotationError(
                f"scores need values (frames, {len(labels)} labels), at least one frame, and frames + 1 edges; got values of shape "
                f"{array.shape} and {grid.shape} edges"
            )
        if not np.isfinite(array).all():
            raise AnnotationError(f"scores must be finite; {np.count_nonzero(~np.isfinite(array))} values are not")
        if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
            raise AnnotationError("edges must be finite seconds in ascending order")
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "edges", grid)
        object.__setattr__(self, "labels", tuple(labels))


def pool(scores: Scores, *, how: Literal["mean", "max"] = "mean") -> Scores:
    """Reduce scores to one frame for the whole clip: the mean weighted by frame length, or the maximum."""
    if how == "max":
        values = scores.values.max(axis=0, keepdims=True)
    else:
        values = np.average(scores.values, axis=0, weights=np.diff(scores.edges))[None]
    return Scores(values, scores.edges[[0, -1]], scores.labels)


def median_filter(scores: Scores, *, frames: int) -> Scores:
    """Smooth each label over an odd number of frames; beyond the ends the scores count as 0 (as SciPy's ``medfilt``)."""
    if frames < 1 or frames % 2 == 0:
        raise AnnotationError(f"frames must be an odd number of frames, got {frames}")
    padded = np.pad(scores.values, ((frames // 2, frames // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)
    return Scores(np.median(windows, axis=-1), scores.edges, scores.labels)


def to_events(scores: Scores, *, threshold: float | Sequence[float] = 0.5) -> list[Event]:
    """Join consecutive frames whose score exceeds the threshold.

    Parameters
    ----------
    threshold : one for all labels or one per label; a score must be strictly greater.

    Returns
    -------
    list of `Event`, by onset; the weight is the mean score inside, cut to [0, 1].

    Examples
    --------
    >>> to_events(Scores(values=[[.1], [1], [1]], edges=[0, 1, 2, 3], labels=("dog",)), threshold=0.5)
    [Event(onset=1.0, offset=3.0, label='dog', weight=1.0)]
    """
    active = np.pad(scores.values > np.asarray(threshold, dtype=np.float32), ((1, 1), (0, 0)))
    change = active[1:] != active[:-1]
    events = []
    for column, label in enumerate(scores.labels):
        bounds = np.flatnonzero(change[:, column]).reshape(-1, 2)
        for first, last in bounds:
            weight = float(np.clip(scores.values[first:last, column].mean(), 0, 1))
            events.append(Event(float(scores.edges[first]), float(scores.edges[last]), label, weight))
    return sorted(events)


def write_scores(path: PathLike, scores: Scores) -> Path:
    """Write one clip's scores as TSV: ``onset offset label1 label2 ...``; every number reads back to the same float32."""
    table = [("onset", "offset", *scores.labels)]
    grid = [np.format_float_positional(edge, trim="-") for edge in scores.edges]
    for start, end, row in zip(grid, grid[1:], scores.values, strict=False):
        table.append((start, end, *(np.format_float_positional(value, trim="-") for value in row)))
    return write_rows(path, table)


def read_scores(path: PathLike) -> Scores:
    """Read one clip's scores from TSV or CSV with the header ``onset offset label1 label2 ...``.

    Raises
    ------
    AnnotationError : no such header, a cell that is not a number, or frames that leave gaps; the message names the file.
    """
    rows = [row for _, row in read_rows(path, error=AnnotationError)]
    if len(rows) < 2 or rows[0][:2] != ["onset", "offset"]:
        raise AnnotationError(f"{path}: expected a header 'onset offset label1 label2 ...' and at least one frame")
    try:
        table = np.array(rows[1:], dtype=np.float64)
    except ValueError as error:
        raise AnnotationError(f"{path}: every row needs {len(rows[0])} numbers ({error})") from error
    if not np.allclose(table[1:, 0], table[:-1, 1], rtol=0, atol=1e-6):
        raise AnnotationError(f"{path}: each frame must begin where the one before ends")
    try:
        return Scores(table[:, 2:], np.append(table[:, 0], table[-1, 1]), rows[0][2:])
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error
