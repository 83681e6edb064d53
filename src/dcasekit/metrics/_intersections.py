"""Counts of the intersection criteria at every threshold.

A detection is valid if reference events of its label cover at least `dtc` of it, else it is a false alarm. A reference event is
found if valid detections cover at least `gtc` of it. A false alarm is a cross trigger of another label if that label's events
cover at least `cttc` of it. C. Bilen et al., "A framework for the robust evaluation of sound event detection", ICASSP 2020.
Seconds are compared after rounding to six decimals, as in sed_scores_eval. A point, a reference event shorter than a microsecond,
has no length to be covered: it is found by any detection that holds its instant, which then is no false alarm (psds_eval leaves
points out, and counts the detection as one).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from dcasekit.annotations import TIME_TOLERANCE
from dcasekit.errors import MetricError
from dcasekit.metrics import Array, Flags
from dcasekit.metrics._curves import Changes, Index, Levels, crossings
from dcasekit.metrics._detections import (
    MICROSECONDS,
    Detections,
    Grid,
    clip_of,
    count_detections,
    detections,
    edge_positions,
    grids,
    ranges,
    select,
)
from dcasekit.metrics._events import Counts, EventTable, are_points, take
from dcasekit.metrics._scored import Scored

Tally = TypeVar("Tally", bound=Changes)

HITS, FALSE_ALARMS, CROSS_TRIGGERS = range(3)


@dataclass(frozen=True, eq=False)
class Cover:
    """How much of the time before each edge reference events cover: in one row those of one label and clip.

    Parameters
    ----------
    before : (rows + 1, frames + 2) microseconds; the last row is of a clip without events.
    rows : (clips, most rows of a clip) rows of each clip, filled up with the last row.
    labels : of the same shape; -1 where filled up.
    """

    before: Array
    rows: Index
    labels: Index


@dataclass(frozen=True, slots=True)
class Criteria:
    """Shares of a length that make a detection valid, a reference event found, a false alarm a cross trigger (``None``: never)."""

    dtc: float
    gtc: float
    cttc: float | None


@dataclass(frozen=True, eq=False)
class Block:
    """A block of a grid's clips and all their detections of one label.

    Parameters
    ----------
    rows, clips : (rows,) positions in the grid, and among all clips.
    scores, edges : (rows, frames + 2), scores padded with -infinity, edges in microseconds.
    """

    rows: Index
    clips: Index
    scores: Levels
    edges: Array
    found: Detections


@dataclass(frozen=True, eq=False)
class Instants:
    """A grid's points of one label: rows, and the frames that hold them."""

    row: Index
    frame: Index


@dataclass(frozen=True, eq=False)
class Reference:
    """A grid's reference events in microseconds, sorted by label, row, onset, and their places among its edges."""

    label: Counts
    row: Index
    onset: Array
    offset: Array
    enter: Index
    leave: Index

    def part(self, chosen: slice, row: Index) -> "Reference":
        """Choose events and number their rows anew."""
        return Reference(self.label[chosen], row, self.onset[chosen], self.offset[chosen], self.enter[chosen], self.leave[chosen])


def check_shares(**shares: float | None) -> None:
    """Raise MetricError unless each is ``None`` or in (0, 1]."""
    for name, value in shares.items():
        if value is not None and not 0 < value <= 1:
            raise MetricError(f"{name} is a share of a length and must be in (0, 1], got {value}")


def curves(data: Scored, *, dtc: float, gtc: float, cttc: float | None = None) -> Iterator[tuple[Array, Array]]:
    """Count hits, false alarms and cross triggers at all thresholds, label by label; parameters as for `tally`.

    Yields
    ------
    level, counts : as `Changes.totals`.
    """
    for changes in tally(data, Changes, dtc=dtc, gtc=gtc, cttc=cttc):
        yield changes.totals()


def tally(data: Scored, kind: type[Tally], *, dtc: float, gtc: float, cttc: float | None = None) -> Iterator[Tally]:
    """Collect the changes of hits, false alarms and cross triggers, label by label.

    Parameters
    ----------
    dtc, gtc, cttc : see `dcasekit.metrics.psds.psds`; with ``cttc=None`` cross triggers are not counted and stay 0.

    Yields
    ------
    changes : hits are reference events, false alarms detections. A cross trigger of label k counts as one over the seconds that k lasts
        in all clips, averaged over the other labels that the reference has.
    """
    criteria, point = Criteria(dtc, gtc, cttc), are_points(data.events)
    events, instants = take(data.events, ~point), take(data.events, point)
    parts = [(grid, _reference(events, grid)) for grid in grids(data.scores)]
    covers = [None if cttc is None else _cover(reference, grid) for grid, reference in parts]
    seconds = np.bincount(events.label, events.offset - events.onset, minlength=len(data.labels)).astype(np.float64)
    for label, column in enumerate(data.columns):
        changes = kind(3)
        others = np.append(np.divide(1, seconds, out=np.zeros_like(seconds), where=seconds > 0), 0.0)  # label -1: filled up
        others[label] = 0
        others /= max(np.count_nonzero(others), 1)
        for (grid, reference), cover in zip(parts, covers, strict=True):
            count_detections(changes, FALSE_ALARMS, grid, column)  # valid ones are taken away below
            own = slice(*np.searchsorted(reference.label, [label, label + 1]))
            placed = _place_points(instants, grid, label)
            concerned = np.unique(reference.row[own]) if cover is None else np.flatnonzero(cover.labels.max(axis=1, initial=-1) >= 0)
            for rows, padded in grid.blocks(column, np.union1d(concerned, placed.row) if len(placed.row) else concerned):
                chosen = slice(*(own.start + np.searchsorted(reference.row[own], [rows[0], rows[-1] + 1])))
                part = reference.part(chosen, np.searchsorted(rows, reference.row[chosen]))
                block = Block(rows, grid.clips[rows], padded, grid.edges[rows], detections(padded))
                right = _find_events(changes, block, part, criteria) | _find_points(changes, block, placed)
                clip = partial(clip_of, right, block.clips)
                changes.add(FALSE_ALARMS, block.found.birth[right], -1.0, clip)
                changes.add(FALSE_ALARMS, block.found.death[right], 1.0, clip)
                if cover is not None:
                    _count_cross_triggers(changes, block, right, cover, criteria, others)
        yield changes


def _reference(events: EventTable, grid: Grid) -> Reference:
    """Place a grid's events among its edges: an event has entered at edges after its onset, has left at those from its offset on."""
    index, row, onset, offset = select(events, grid)
    enter, leave = edge_positions(grid, row, onset, "right"), edge_positions(grid, row, offset, "left")
    return Reference(events.label[index], row, onset, offset, enter, leave)


def _sum_covered(reference: Reference, low: Index, high: Index, edges: Array) -> Array:
    """Sum the time that events cover before each edge, (rows, frames + 2), from the event that is on there, if any."""
    length = np.append(0.0, (reference.offset - reference.onset).cumsum())
    onset = np.append(reference.onset, 0.0)
    return length[low] - length[low[:, :1]] + np.where(high > low, edges - onset[low], 0.0)


def _find_events(changes: Changes, block: Block, own: Reference, criteria: Criteria) -> Flags:
    """Say which of a block's detections are valid, and count the reference events they find."""
    found, clips = block.found, block.clips
    low, high = ranges(own.row, own.enter, own.leave, block.edges.shape)
    covered, edge = _sum_covered(own, low, high, block.edges).ravel(), block.edges.ravel()
    length = edge.take(found.end) - edge.take(found.begin)
    valid = found.distinct & (np.rint(covered.take(found.end) - covered.take(found.begin)) >= np.rint(criteria.dtc * length))
    right = found.where(valid)
    # Events inside a valid detection are found as long as it exists; of the others it overlaps one at each end at most.
    first, last = low.ravel()[right.begin], high.ravel()[right.end] - 1
    some = np.flatnonzero(last >= first)
    before = some[(own.onset[first[some]] < edge[right.begin[some]]) | (own.offset[first[some]] > edge[right.end[some]])]
    after = some[(last[some] > first[some]) & (own.offset[last[some]] > edge[right.end[some]])]
    inside = (last - first + 1).astype(np.float64)
    inside[before] -= 1
    inside[after] -= 1
    full = np.flatnonzero(inside > 0)
    for level, number in ((right.birth, inside[full]), (right.death, -inside[full])):
        changes.add(HITS, level[full], number, lambda: clip_of(valid, clips)[full])
    which, event = np.append(before, after), np.append(first[before], last[after])
    each = right.where(which)
    shared = np.minimum(edge[each.end], own.offset[event]) - np.maximum(edge[each.begin], own.onset[event])
    need = np.maximum(np.rint(criteria.gtc * (own.offset - own.onset)), 1)
    level, change, crossed = crossings(event, each.birth, each.death, shared, need)
    changes.add(HITS, level, change, lambda: clips[own.row[crossed]])
    return valid


def _place_points(instants: EventTable, grid: Grid, label: int) -> Instants:
    """Find the frames that hold the points of a label; points that none holds are left out."""
    _, row, instant, _ = select(instants, grid, label)
    frame = edge_positions(grid, row, instant + MICROSECONDS * TIME_TOLERANCE, "right") - 1
    inside = (frame >= 0) & (frame < grid.edges.shape[1] - 2)
    return Instants(row[inside], frame[inside])


def _find_points(changes: Changes, block: Block, instants: Instants) -> Flags:
    """Count a block's points as found while their frame is above the threshold; say which detections hold one."""
    found, chosen = block.found, np.isin(instants.row, block.rows)
    row, frame = np.searchsorted(block.rows, instants.row[chosen]), instants.frame[chosen]
    if not len(row):
        return np.zeros(found.birth.shape, dtype=np.bool_)
    changes.add(HITS, block.scores[row, frame + 1], 1.0, lambda: block.clips[row])
    before = np.zeros(block.scores.shape, dtype=np.intp)
    np.add.at(before, (row, frame + 1), 1)
    count = before.cumsum(axis=1).ravel()
    return found.distinct & (count.take(found.end) > count.take(found.begin))


def _cover(reference: Reference, grid: Grid) -> Cover:
    """Sum up the covered time of all labels and clips."""
    clips, width = grid.edges.shape
    owner, row = np.unique(reference.label * clips + reference.row, return_inverse=True)
    before = np.zeros((len(owner) + 1, width))
    size = max(1, (1 << 20) // width)
    for begin in range(0, len(owner), size):
        chosen = slice(*np.searchsorted(row, [begin, begin + size]))
        part = reference.part(chosen, row[chosen] - begin)
        edges = grid.edges[owner[begin : begin + size] % clips]
        low, high = ranges(part.row, part.enter, part.leave, edges.shape)
        before[begin : begin + len(edges)] = _sum_covered(part, low, high, edges)
    order = np.argsort(owner % clips, kind="stable")
    clip = (owner % clips)[order]
    rank = np.arange(len(clip)) - np.searchsorted(clip, clip)
    rows = np.full((clips, int(rank.max(initial=-1)) + 1), len(owner))
    labels = np.full(rows.shape, -1)
    rows[clip, rank], labels[clip, rank] = order, (owner // clips)[order]
    return Cover(before, rows, labels)


def _count_cross_triggers(changes: Changes, block: Block, right: Flags, cover: Cover, criteria: Criteria, weights: Array) -> None:
    """Count a block's cross triggers, each with its label's weight, (labels + 1,)."""
    found, rows = block.found, block.rows
    edge, before, width = block.edges.ravel(), cover.before.ravel(), block.edges.shape[1]
    need = np.rint((criteria.cttc or 0.0) * (edge.take(found.end) - edge.take(found.begin)))
    value = np.zeros(found.birth.shape)
    for which in range(cover.rows.shape[1]):
        weight = weights[cover.labels[rows, which]]
        there = np.flatnonzero(weight)
        shift = ((cover.rows[rows, which] - np.arange(len(rows))) * width)[there, None]
        shared = before.take(found.end[there] + shift) - before.take(found.begin[there] + shift)
        value[there] += weight[there, None] * (np.rint(shared) >= need[there])
    value[right | ~found.distinct] = 0
    cross = value > 0
    clip = partial(clip_of, cross, block.clips)
    changes.add(CROSS_TRIGGERS, found.birth[cross], value[cross], clip)
    changes.add(CROSS_TRIGGERS, found.death[cross], -value[cross], clip)
