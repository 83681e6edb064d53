"""Who may be matched with whom, and who is: pairs of reference and estimated events within collars, one to one.

A pair is a position in the reference's and one in the estimate's table. Pairs whose two events have no other partner (nearly
all, in practice) are matched at once; the rest is walked through in the order of sed_eval, because which of several largest
matchings is taken decides what is left over for substitutions.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from dcasekit.metrics import Array
from dcasekit.metrics._events import Counts, EventTable

Flags = NDArray[np.bool_]
Graph = dict[int, list[int]]  # estimate -> references it may be matched with, ascending


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
    first = np.repeat(np.arange(len(middle)), number)
    rank = np.arange(len(first)) - np.repeat(number.cumsum() - number, number)  # 0, 1, ... among the candidates of each
    second = order[begin[first] + rank]
    fits = np.abs(reference.onset[first] - estimate.onset[second]) <= reach
    if offset_reach is not None:
        fits &= np.abs(reference.offset[first] - estimate.offset[second]) <= offset_reach[first]
    first, second = first[fits], second[fits]
    ordered = np.lexsort((second, first))
    return first[ordered], second[ordered]


def match(first: Counts, second: Counts, *, greedy: bool) -> Flags:
    """Choose pairs such that no event is in two; pairs are ordered as by `candidates`.

    Parameters
    ----------
    greedy : every reference event takes the first estimate that is left. Otherwise as many pairs as can be.

    Returns
    -------
    array (pairs,) : which pairs are chosen.
    """
    chosen: Flags = (np.bincount(first)[first] == 1) & (np.bincount(second)[second] == 1)
    rest = np.flatnonzero(~chosen)
    pairs = list(zip(first[rest].tolist(), second[rest].tolist(), strict=True))
    partner = _greedy(pairs) if greedy else _largest(pairs)
    chosen[rest] = [partner.get(reference) == estimate for reference, estimate in pairs]
    return chosen


def _greedy(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Give reference -> estimate, first come, first served."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for reference, estimate in pairs:
        if reference not in partner and estimate not in taken:
            partner[reference] = estimate
            taken.add(estimate)
    return partner


def _largest(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Give reference -> estimate, as many as can be: J. Hopcroft, R. Karp, SIAM J. Comput. 2(4), 1973, after a first-fit start."""
    graph: Graph = defaultdict(list)
    for reference, estimate in pairs:
        graph[estimate].append(reference)
    partner: dict[int, int] = {}
    for estimate, wanted in graph.items():
        free = next((reference for reference in wanted if reference not in partner), None)
        if free is not None:
            partner[free] = estimate
    while True:
        ends, before, origin = _layers(graph, partner)
        if not ends:
            return partner
        for reference in ends:
            _augment(reference, before, origin, partner)


def _layers(graph: Graph, partner: dict[int, int]) -> tuple[list[int], Graph, dict[int, int | None]]:
    """Search from all free estimates at once, step by step, for the nearest free references.

    Returns
    -------
    list : the free references found, all equally far; empty if the matching is as large as can be.
    dict : reference -> estimates from which it was reached.
    dict : estimate -> its partner, from which it was reached; ``None`` for a free one.
    """
    matched = set(partner.values())
    origin: dict[int, int | None] = {estimate: None for estimate in graph if estimate not in matched}
    before: Graph = {}
    layer, ends = list(origin), list[int]()
    while layer and not ends:
        reached: Graph = defaultdict(list)
        for estimate in layer:
            for reference in graph[estimate]:
                if reference not in before:
                    reached[reference].append(estimate)
        before |= reached
        ends = [reference for reference in reached if reference not in partner]
        inner = [reference for reference in reached if reference in partner]
        layer = [partner[reference] for reference in inner]
        origin |= dict(zip(layer, inner, strict=True))
    return ends, before, origin


def _augment(end: int, before: Graph, origin: dict[int, int | None], partner: dict[int, int]) -> None:
    """Go back from a free reference to a free estimate, if any way is left, and match along it; what was visited is used up."""
    way, choices = [(end, -1)], [iter(before.pop(end))]
    while way:
        reference = way[-1][0]
        estimate = next((each for each in choices[-1] if each in origin), None)
        if estimate is None:
            way.pop()
            choices.pop()
            continue
        way[-1] = (reference, estimate)
        earlier = origin.pop(estimate)
        if earlier is None:
            partner.update(way)
            return
        if earlier in before:
            way.append((earlier, -1))
            choices.append(iter(before.pop(earlier)))
