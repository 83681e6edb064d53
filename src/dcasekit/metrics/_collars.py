"""Counts of event-based matching with collars at every threshold.

A reference event has a hit while a detection that fits it exists. Where several events fit the same detection, the largest
one-to-one matching is found anew at each score at which one of their detections appears or disappears; that takes events
shorter than two onset collars and is rare. Differences are compared after rounding to microseconds, as in sed_scores_eval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from dcasekit.metrics import Array
from dcasekit.metrics._curves import Changes, Index, Levels, crossings
from dcasekit.metrics._detections import count_detections, detections, edge_positions, grids, pairs, ranges, select
from dcasekit.metrics._matching import match
from dcasekit.metrics._scored import Scored

Tally = TypeVar("Tally", bound=Changes)

HITS, DETECTIONS = range(2)


@dataclass(frozen=True, eq=False)
class Wanted:
    """A block's reference events, (events,), and which of them a detection may fit that begins at an edge.

    Parameters
    ----------
    clip : positions among all clips.
    onset, offset, offset_reach : microseconds; the last is the largest difference of the offsets.
    onset_reach : largest difference of the onsets.
    low, high : (rows, frames + 2) the first such event and the one after the last.
    """

    clip: Index
    onset: Array
    offset: Array
    offset_reach: Array
    onset_reach: float
    low: Index
    high: Index


def curves(data: Scored, onset_reach: float, offset_reach: Array) -> Iterator[tuple[Array, Array]]:
    """Count hits and detections at all thresholds, label by label; parameters as for `tally`.

    Yields
    ------
    level, counts : as `Changes.totals`.
    """
    for changes in tally(data, Changes, onset_reach, offset_reach):
        yield changes.totals()


def tally(data: Scored, kind: type[Tally], onset_reach: float, offset_reach: Array) -> Iterator[Tally]:
    """Collect the changes of hits and detections, label by label.

    Parameters
    ----------
    onset_reach : largest difference of onsets in microseconds.
    offset_reach : (events,), largest difference of offsets in microseconds.

    """
    parts = list(grids(data.scores))
    for label, column in enumerate(data.columns):
        changes = kind(2)
        for grid in parts:
            count_detections(changes, DETECTIONS, grid, column)
            index, row, onset, offset = select(data.events, grid, label)
            # From the first edge that is not too early until the first one that is too late.
            enter = edge_positions(grid, row, onset - onset_reach - 1, "left")
            leave = edge_positions(grid, row, onset + onset_reach + 1, "right")
            for rows, padded in grid.blocks(column, np.unique(row)):
                own = slice(*np.searchsorted(row, [rows[0], rows[-1] + 1]))
                low, high = ranges(np.searchsorted(rows, row[own]), enter[own], leave[own], padded.shape)
                wanted = Wanted(grid.clips[row[own]], onset[own], offset[own], offset_reach[index[own]], onset_reach, low, high)
                _match_block(changes, padded, grid.edges[rows], wanted)
        yield changes


def _match_block(changes: Changes, padded: Levels, edges: Array, wanted: Wanted) -> None:
    """Count the hits of a block."""
    onset, offset, clips = wanted.onset, wanted.offset, wanted.clip
    found, edge = detections(padded), edges.ravel()
    low, high = (bound.ravel().take(found.begin) for bound in (wanted.low, wanted.high))
    chosen = found.distinct & (high > low)
    which, event = pairs(low[chosen], high[chosen])
    each = found.where(chosen).where(which)
    fits = np.rint(np.abs(edge[each.begin] - onset[event]) - wanted.onset_reach) <= 0
    fits &= np.rint(np.abs(edge[each.end] - offset[event]) - wanted.offset_reach[event]) <= 0
    which, event, each = which[fits], event[fits], each.where(fits)
    group = _groups(which, event, len(onset))
    alone = np.bincount(group)[group[event]] == 1
    single = each.where(alone)
    ones = np.ones(len(onset))
    level, change, crossed = crossings(event[alone], single.birth, single.death, ones[event[alone]], ones)
    changes.add(HITS, level, change, lambda: clips[crossed])
    order = np.flatnonzero(~alone)[np.argsort(group[event[~alone]], kind="stable")]
    for member in np.split(order, np.flatnonzero(np.diff(group[event[order]])) + 1):
        level, change = _follow_matching(which[member], event[member], each.birth[member], each.death[member])
        changes.add(HITS, level, change, partial(np.full, len(level), clips[event[member[0]]] if len(member) else 0))


def _groups(which: Index, event: Index, events: int) -> Index:
    """Find the group of each event, (events,): neighbours that fit the same detection, and all between them, are in one."""
    joined = np.zeros(events + 1, dtype=np.intp)
    same = which[1:] == which[:-1]  # pairs are sorted by detection, then by event
    np.add.at(joined, event[:-1][same], 1)
    np.add.at(joined, event[1:][same], -1)
    return np.append(0, (joined.cumsum()[: events - 1] == 0).cumsum())[:events]


def _follow_matching(which: Index, event: Index, birth: Levels, death: Levels) -> tuple[Levels, Array]:
    """Find the scores at which the largest matching of a few events and detections grows or shrinks, and by how much.

    Parameters
    ----------
    which, event, birth, death : (pairs,) a detection and an event that it fits, and the scores between which it exists.
    """
    if not len(which):
        return birth, np.empty(0)
    level = np.unique(np.append(birth, death[death > -np.inf]))[::-1]
    step, pair = np.nonzero((death < level[:, None]) & (level[:, None] <= birth))
    # All thresholds are one matching problem: at each, detections and events of their own.
    first, second = (np.unique(step * (int(numbers.max()) + 1) + numbers[pair], return_inverse=True)[1] for numbers in (event, which))
    size = np.bincount(step[match(first, second, greedy=False)], minlength=len(level))
    change = np.diff(size, prepend=0).astype(np.float64)
    return level[change != 0], change[change != 0]
