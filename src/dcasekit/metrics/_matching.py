"""Matching of reference and estimated events, one to one: which pairs lie within the collars, and which of them are chosen.

A pair is a position in the reference's and one in the estimate's table. Pairs whose two events have no other partner (nearly
all, in practice) are matched at once; the rest is walked through in the order of sed_eval, because which of several largest
matchings is taken decides what is left over for substitutions.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dcasekit.metrics import Array
from dcasekit.metrics._events import Counts, EventTable

Flags = NDArray[np.bool_]

# Events near by one time that are compared at once: bounds memory, changes nothing else.
_AT_ONCE = 1 << 16


def candidates(reference: EventTable, estimate: EventTable, reach: float, offset_reach: Array | None) -> tuple[Counts, Counts]:
    """List all pairs of one clip whose times agree, whatever their labels.

    Parameters
    ----------
    reach : largest difference of the onsets in seconds.
    offset_reach : (reference events,), largest difference of the offsets; ``None``: any.

    Returns
    -------
    (pairs,), (pairs,) : positions in `reference` and `estimate`, ascending by the first, then by the second.
    """
    # Searched by the time that leaves fewer pairs: where onsets are not compared, by offsets.
    if offset_reach is not None and offset_reach.max(initial=0.0) < reach:
        times, others, nearest = reference.offset, estimate.offset, offset_reach
    else:
        times, others, nearest = reference.onset, estimate.onset, np.full(len(reference.onset), reach)
    last = max(times.max(initial=0.0), others.max(initial=0.0))
    near = np.minimum(nearest, last)
    # All clips on one line, far enough apart; its rounding widens the search, the test below is of the times themselves.
    stride = last + near.max(initial=0.0) + 1.0
    line = estimate.clip * stride + others
    order = np.argsort(line, kind="stable")
    line, middle = line[order], reference.clip * stride + times
    slack = 4 * np.spacing(max(line.max(initial=0.0), middle.max(initial=0.0)) + stride)
    begin = np.searchsorted(line, middle - near - slack, side="left")
    number = np.searchsorted(line, middle + near + slack, side="right") - begin
    borders = np.searchsorted(number.cumsum(), np.arange(_AT_ONCE, number.sum(), _AT_ONCE))
    pairs = []
    for part in np.split(np.arange(len(middle)), borders):
        first, second = np.repeat(part, number[part]), order[_join_ranges(begin[part], number[part])]
        fits = np.abs(reference.onset[first] - estimate.onset[second]) <= reach
        if offset_reach is not None:
            fits &= np.abs(reference.offset[first] - estimate.offset[second]) <= offset_reach[first]
        pairs.append(_sort(first[fits], second[fits]))
    all_first, all_second = zip(*pairs, strict=True)
    return np.concatenate(all_first), np.concatenate(all_second)


def match(first: Counts, second: Counts, *, greedy: bool) -> Flags:
    """Choose pairs such that no event is in two.

    Parameters
    ----------
    greedy : each reference event takes the first estimate that is left. Otherwise as many pairs as possible are chosen.

    Returns
    -------
    array (pairs,) : which pairs are chosen.
    """
    chosen: Flags = (np.bincount(first)[first] == 1) & (np.bincount(second)[second] == 1)
    if not chosen.all():
        rest = np.flatnonzero(~chosen)
        rest = rest[np.argsort(first[rest] * (int(second.max()) + 1) + second[rest], kind="stable")]
        references, estimates = _number(first[rest]), second[rest]
        # First come, first served goes by the estimates' own order, as many as can be by that in which references name them.
        estimates = np.unique(estimates, return_inverse=True)[1] if greedy else _number(estimates)
        of_references = _Neighbours(references, estimates)
        partner = of_references.first_fit() if greedy else _largest(of_references)
        chosen[rest] = partner[references] == estimates
    return chosen


def _sort(first: Counts, second: Counts) -> tuple[Counts, Counts]:
    """Sort pairs by the first, then by the second: as single numbers, which is many times as fast as `numpy.lexsort`."""
    width = int(second.max(initial=0)) + 1
    ordered = np.sort(first * width + second)
    return ordered // width, ordered % width


def _first_of_each(events: Counts) -> Counts:
    """Give, for each of the events, where the same one comes first."""
    first = np.empty(events.max(initial=0) + 1, np.int64)
    first[events[::-1]] = np.arange(len(events))[::-1]
    found: Counts = first[events]
    return found


def _number(events: Counts) -> Counts:
    """Find the number of each event, 0, 1, ... in the order in which they come."""
    first = _first_of_each(events)
    numbers: Counts = (np.cumsum(first == np.arange(len(first))) - 1)[first]
    return numbers


def _join_ranges(begin: Counts, number: Counts) -> Counts:
    """Join ``range(begin, begin + number)`` of each."""
    joined: Counts = np.arange(number.sum()) + np.repeat(begin - number.cumsum() + number, number)
    return joined


class _Neighbours:
    """Whom each event of one side may be matched with on the other; events are 0, 1, ..., and pairs are ordered by `events`."""

    def __init__(self, events: Counts, others: Counts) -> None:
        self.begin = np.searchsorted(events, np.arange(events[-1] + 2))
        self.events, self.others = events, others

    def turn(self) -> "_Neighbours":
        """Return the same pairs seen from the other side."""
        return _Neighbours(*_sort(self.others, self.events))

    def of(self, event: int) -> Counts:
        """Return the neighbours of one event."""
        return self.others[self.begin[event] : self.begin[event + 1]]

    def of_all(self, events: Counts) -> Counts:
        """Join the neighbours of several, and leave out repetitions."""
        found = self.others[_join_ranges(self.begin[events], self.begin[events + 1] - self.begin[events])]
        return found[_first_of_each(found) == np.arange(len(found))]

    def first_fit(self) -> Counts:
        """Let each in turn take the first neighbour that is left; gives each one's, -1: none."""
        partner = np.full(len(self.begin) - 1, -1)
        free, others = bytearray(b"\1") * int(self.others.max() + 1), self.others.data
        for event, (begin, end) in enumerate(pairwise(self.begin.tolist())):
            for other in others[begin:end]:
                if free[other]:
                    free[other], partner[event] = 0, other
                    break
        return partner


def _largest(estimates_of: _Neighbours) -> Counts:
    """Match as many as can be: J. Hopcroft, R. Karp, SIAM J. Comput. 2(4), 1973, after a first-fit start; by reference."""
    references_of = estimates_of.turn()
    partner, start = np.full(len(estimates_of.begin) - 1, -1), references_of.first_fit()
    matched = np.flatnonzero(start >= 0)
    partner[start[matched]] = matched
    while True:
        search = _Search(estimates_of, references_of, partner)
        if not len(search.ends):
            return partner
        for reference in search.ends.tolist():
            search.augment(reference)


class _Search:
    """One step of Hopcroft and Karp: from all free estimates at once, layer by layer, to the nearest free references.

    Attributes
    ----------
    ends : the free references found, all equally far; none if the matching is as large as can be.
    """

    def __init__(self, estimates_of: _Neighbours, references_of: _Neighbours, partner: Counts) -> None:
        count = len(references_of.begin) - 1
        self.estimates_of, self.partner = estimates_of, partner
        self.origin = np.full(count, -1)  # of each estimate: its partner, from which it was reached
        self.origin[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
        self.depth, self.place = np.full(count, -1), np.empty(count, np.int64)  # of each estimate: its layer, and its place in it
        self.reached = np.full(len(partner), -1)  # of each reference: the layer from which it was reached
        layer, self.ends, depth = np.flatnonzero(self.origin < 0), np.empty(0, np.int64), 0
        while len(layer) and not len(self.ends):
            self.depth[layer], self.place[layer] = depth, np.arange(len(layer))
            found = references_of.of_all(layer)
            found = found[self.reached[found] < 0]
            self.reached[found] = depth
            self.ends = found[partner[found] < 0]
            layer, depth = partner[found[partner[found] >= 0]], depth + 1

    def augment(self, end: int) -> None:
        """Go back from a free reference to a free estimate, if any way is left, and match along it; what was visited is used up."""
        way, choices = [(end, -1)], [self._visit(end)]
        while way:
            reference = way[-1][0]
            estimate = next(choices[-1], None)
            if estimate is None:
                way.pop()
                choices.pop()
                continue
            way[-1] = (reference, estimate)
            self.depth[estimate] = -1
            earlier = int(self.origin[estimate])
            if earlier < 0:
                for reference, estimate in way:
                    self.partner[reference] = estimate
                return
            if self.reached[earlier] >= 0:
                way.append((earlier, -1))
                choices.append(self._visit(earlier))

    def _visit(self, reference: int) -> Iterator[int]:
        """Return the estimates from which a reference was reached, those that are left when asked, and forget it."""
        near, depth = self.estimates_of.of(reference), self.reached[reference]
        near = near[self.depth[near] == depth]
        self.reached[reference] = -1
        return (each for each in near[np.argsort(self.place[near])].tolist() if self.depth[each] == depth)
