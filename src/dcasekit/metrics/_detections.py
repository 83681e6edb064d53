"""All detections of all thresholds at once.

As the threshold falls, detections (runs of frames above it) appear, grow and merge. All that ever exist are, for each frame,
the widest run around it in which no score is lower: at most one per frame. It exists while the threshold is below the lowest
score inside (birth) and not below the higher of the two scores beside it (death). Both neighbours are nearest lower scores,
found for all frames of a block of clips together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dcasekit.metrics import Array
from dcasekit.metrics._curves import Changes, Index, Levels
from dcasekit.metrics._events import EventTable
from dcasekit.scores import Scores

MICROSECONDS = 1e6  # times are compared as whole microseconds
_CELLS = 1 << 18  # frames treated at once: the arrays of a block stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Grid:
    """Clips with the same number of frames.

    Parameters
    ----------
    clips : (clips,) their positions among all.
    scores : (clips,) their scores.
    edges : (clips, frames + 2) edges of the frames in microseconds, and one column that is never used.
    """

    clips: Index
    scores: Sequence[Scores]
    edges: Array

    def blocks(self, column: int, rows: Index) -> Iterator[tuple[Index, Levels]]:
        """Cut `rows` into blocks; yield each block's rows and their scores of one label, (rows, frames + 2).

        The scores are padded with -infinity at both ends, so that every search ends there.
        """
        size = max(1, _CELLS // self.edges.shape[1])
        for begin in range(0, len(rows), size):
            block = rows[begin : begin + size]
            padded = np.full((len(block), self.edges.shape[1]), -np.inf, dtype=np.float32)
            padded[:, 1:-1] = [self.scores[row].values[:, column] for row in block.tolist()]
            yield block, padded


def grids(scores: Sequence[Scores]) -> Iterator[Grid]:
    """Group clips by their number of frames."""
    frames = np.array([len(each.values) for each in scores])
    for size in np.unique(frames):
        clips = np.flatnonzero(frames == size)
        chosen = [scores[clip] for clip in clips.tolist()]
        edges = np.zeros((len(clips), size + 2))
        edges[:, :-1] = [each.edges for each in chosen]
        yield Grid(clips, chosen, edges * MICROSECONDS)


@dataclass(frozen=True, eq=False)
class Detections:
    """Every detection of a block, one per cell (rows, frames); where `distinct` is false another cell has the same one.

    Parameters
    ----------
    begin, end : positions of first and last edge in arrays (rows, frames + 2), flattened.
    birth, death : it exists where death <= threshold < birth.
    """

    begin: Index
    end: Index
    birth: Levels
    death: Levels
    distinct: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_] | Index) -> "Detections":
        """Choose detections, in one dimension."""
        return Detections(self.begin[chosen], self.end[chosen], self.birth[chosen], self.death[chosen], self.distinct[chosen])


def detections(padded: Levels) -> Detections:
    """Find all detections in scores (rows, frames + 2), padded with -infinity."""
    flat = padded.ravel()
    left = _nearest(flat, -1, np.greater).reshape(padded.shape)[:, 1:-1]
    right = _nearest(flat, 1, np.greater_equal).reshape(padded.shape)[:, 1:-1]
    before, birth = flat.take(left), padded[:, 1:-1]
    # In a run with several lowest frames, the first stands for it: its left neighbour is lower, theirs is equal.
    return Detections(left, right - 1, birth, np.maximum(before, flat.take(right)), before < birth)


def count_detections(changes: Changes, quantity: int, grid: Grid, column: int) -> None:
    """Count the detections of one label in a grid's clips.

    Their number is that of rising edges: one is added below the upper score and taken away below the lower one.
    """
    for rows, padded in grid.blocks(column, np.arange(len(grid.clips))):
        rises = padded[:, 1:] > padded[:, :-1]
        clip = partial(clip_of, rises, grid.clips[rows])
        changes.add(quantity, padded[:, 1:][rises], 1.0, clip)
        changes.add(quantity, padded[:, :-1][rises], -1.0, clip)


def clip_of(chosen: NDArray[np.bool_], clips: Index) -> Index:
    """Return the clip of each chosen cell of a block (rows, frames)."""
    return clips[np.nonzero(chosen)[0]]


def _nearest(flat: Levels, step: int, beyond: Callable[..., NDArray[np.bool_]]) -> Index:
    """Find, for each cell, the nearest one in a direction that does not satisfy ``beyond(score there, own score)``.

    All cells jump together, and each jumps over what its target has already jumped over.
    """
    target = np.arange(step, len(flat) + step)
    neighbour, own = (flat[:-1], flat[1:]) if step < 0 else (flat[1:], flat[:-1])
    searching = np.flatnonzero(beyond(neighbour, own) & (own > -np.inf)) + (1 if step < 0 else 0)
    while len(searching):
        jump = target.take(target.take(searching))
        target[searching] = jump
        searching = searching[beyond(flat.take(jump), flat.take(searching))]
    return target


def edge_positions(grid: Grid, clip: Index, times: Array, side: str) -> Index:
    """Find, for events in rows `clip` of a grid, the first edge at or after (``"left"``) or after (``"right"``) a time.

    Parameters
    ----------
    times : (events,) microseconds.
    """
    found = np.zeros(len(times), dtype=np.intp)
    order = np.argsort(clip, kind="stable")
    rows, begins = np.unique(clip[order], return_index=True)
    for row, chosen in zip(rows.tolist(), np.split(order, begins)[1:], strict=True):
        found[chosen] = np.searchsorted(grid.edges[row, :-1], times[chosen], side=side)  # type: ignore[call-overload]
    return found


def ranges(row: Index, enter: Index, leave: Index, shape: tuple[int, int]) -> tuple[Index, Index]:
    """List, for each edge, the events that have entered and not left there; events are sorted and do so in their order.

    Parameters
    ----------
    row, enter, leave : (events,) row (ascending) and the edges from which on they have entered, have left.
    shape : (rows, frames + 2).

    Returns
    -------
    low, high : (rows, frames + 2) positions of the first such event and after the last one.
    """
    start = np.searchsorted(row, np.arange(shape[0]))[:, None]
    high, low = (
        np.bincount(row * shape[1] + edge, minlength=shape[0] * shape[1]).reshape(shape).cumsum(axis=1) + start for edge in (enter, leave)
    )
    return low, high


def pairs(low: Index, high: Index) -> tuple[Index, Index]:
    """Write out ranges: for each i the pairs (i, low[i]), ..., (i, high[i] - 1)."""
    number = high - low
    first = np.repeat(np.arange(len(low)), number)
    return first, np.arange(len(first)) - np.repeat(number.cumsum() - number - low, number)


def select(events: EventTable, grid: Grid, label: int | None = None) -> tuple[Index, Index, Array, Array]:
    """Choose a grid's events.

    Returns
    -------
    index, row, onset, offset : (events,) positions in the table, rows of the grid, microseconds.
    """
    row = np.full(1 + max(int(grid.clips[-1]), int(events.clip.max(initial=0))), -1)
    row[grid.clips] = np.arange(len(grid.clips))
    chosen = row[events.clip] >= 0
    if label is not None:
        chosen &= events.label == label
    index = np.flatnonzero(chosen)
    return index, row[events.clip[index]], events.onset[index] * MICROSECONDS, events.offset[index] * MICROSECONDS
