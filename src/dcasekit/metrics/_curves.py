"""From changes at scores to counts at every threshold, and from those to the best threshold or an area.

A count as a function of the threshold is a staircase whose steps are at scores that occur. Metrics over all thresholds
therefore collect *changes*, a score and what the count gains there as the threshold falls below it; those of all clips are
sorted once and summed. Nothing is approximated, and equal scores of different clips are one step. J. Ebbers, R. Serizel,
R. Haeb-Umbach, "Threshold-independent evaluation of sound event detection scores", ICASSP 2022.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcasekit.metrics import Array, mean, name_figures, ratio

Levels = NDArray[np.float32]
Index = NDArray[np.intp]

_HALF, _LOWER, _MANTISSA = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint32(0x7FFFFFFF)


class Changes:
    """Changes of some counts of one label, collected clip by clip.

    Parameters
    ----------
    quantities : number of counts.
    """

    def __init__(self, quantities: int) -> None:
        self._parts: list[list[tuple[Levels, Array | float]]] = [[] for _ in range(quantities)]

    def add(self, quantity: int, level: Levels, amount: Array | float, clip: Callable[[], Index]) -> None:  # noqa: ARG002
        """Let a count gain `amount`, one for all or one each, where the threshold falls below `level`; -inf is never reached.

        `clip` gives the clip of each change; it is asked for only where that is of interest (`ChangesOfClips`).
        """
        self._parts[quantity].append((level, amount))

    def totals(self) -> tuple[Array, Array]:
        """Sum up.

        Returns
        -------
        array (points,) : distinct scores in falling order, infinity (nothing is above the threshold) before them.
        array (quantities, points) : the counts with a threshold just below that score.
        """
        every = [part for parts in self._parts for part in parts]
        level = np.concatenate([np.empty(0, dtype=np.float32), *(level for level, _ in every)])
        gain = np.concatenate([np.empty(0), *(np.broadcast_to(amount, level.shape) for level, amount in every)])
        # Sorting numbers made of score and position is several times faster than sorting positions by score.
        key = np.sort(_falling(level) << _HALF | np.arange(len(level), dtype=np.uint64))[: np.count_nonzero(level > -np.inf)]
        order = (key & _LOWER).astype(np.intp)
        last = np.flatnonzero(np.diff(key >> _HALF, append=~np.uint64(0)))
        gain = gain[order]
        counts = np.zeros((len(self._parts), len(last) + 1))
        begin = 0
        for count, parts in zip(counts, self._parts, strict=True):
            end = begin + sum(len(part) for part, _ in parts)
            count[1:] = np.where((order >= begin) & (order < end), gain, 0).cumsum()[last]
            begin = end
        return np.append(np.inf, level[order[last]].astype(np.float64)), counts


class ChangesOfClips(Changes):
    """Changes that remember their clips, for counts of each clip at some thresholds."""

    def __init__(self, quantities: int) -> None:
        super().__init__(quantities)
        self._clips: list[list[Index]] = [[] for _ in range(quantities)]

    def add(self, quantity: int, level: Levels, amount: Array | float, clip: Callable[[], Index]) -> None:
        """See `Changes.add`."""
        super().add(quantity, level, amount, clip)
        self._clips[quantity].append(clip())

    def sample(self, levels: Array, clips: int) -> Array:
        """Count each clip's share with a threshold just below each of `levels`, which fall: (quantities, clips, levels)."""
        counts = np.zeros((len(self._parts), clips, len(levels)))
        for count, parts, owners in zip(counts, self._parts, self._clips, strict=True):
            for (level, amount), clip in zip(parts, owners, strict=True):
                place = np.searchsorted(-levels, -level.astype(np.float64), side="left")
                inside = place < len(levels)
                gain = np.broadcast_to(amount, level.shape)
                np.add.at(count, (clip[inside], place[inside]), gain[inside])
        return counts.cumsum(axis=2)


def _falling(level: Levels) -> NDArray[np.uint64]:
    """Turn scores into whole numbers of 32 bits that rise as the scores fall: the bits of floats of one sign are in order."""
    bits = (level + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    return np.where(bits >> 31, bits, ~bits & _MANTISSA).astype(np.uint64)


def crossings(event: Index, birth: Levels, death: Levels, amount: Array, need: Array) -> tuple[Levels, Array, Index]:
    """Find where the threshold makes and unmakes reference events found.

    Detections live at thresholds from `death` (included) to below `birth`; while it lives, each adds `amount` to its event.

    Parameters
    ----------
    event, birth, death, amount : (pairs,) which event, between which scores, how much (a multiple of 1, up to rounding).
    need : (events,) whole number of at least 1; an event is found while its sum, rounded, is at least this.

    Returns
    -------
    level, change, event : scores at which an event becomes found (1) or lost (-1) as the threshold falls below them, and which.
    """
    dies = death > -np.inf
    level = np.concatenate([birth, death[dies]])
    gain = np.concatenate([amount, -amount[dies]])
    key = np.concatenate([event, event[dies]]).astype(np.uint64) << _HALF | _falling(level)
    order = np.argsort(key)
    key = key[order]
    last = np.flatnonzero(np.diff(key, append=~np.uint64(0)))
    total = gain[order].cumsum()[last]
    owner = (key[last] >> _HALF).astype(np.intp)
    fresh = np.append(True, owner[1:] != owner[:-1])[: len(owner)]
    before = np.append(0.0, total)[np.maximum.accumulate(np.where(fresh, np.arange(len(owner)), 0))]
    found = np.rint(total - before) >= need[owner]
    change = found.astype(np.float64) - (np.append(False, found[:-1])[: len(found)] & ~fresh)
    moved = change != 0
    return level[order[last[moved]]], change[moved], owner[moved]


@dataclass(frozen=True, slots=True)
class Best:
    """The threshold of highest F1 of one label, and the counts there."""

    threshold: float
    hits: float
    predicted: float
    reference: int


def best(level: Array, hits: Array, predicted: Array, reference: int) -> Best:
    """Find the highest F1 over all points; of equal ones that of the highest threshold.

    Parameters
    ----------
    level, hits, predicted : (points,) as `Changes.totals` gives them; predicted is what precision is a share of.
    reference : number of reference events or segments, > 0.

    Returns
    -------
    Best : its threshold is half-way between the point's score and the next lower one at which a count changes; infinity if nothing
        is found at any threshold, -infinity if there is no lower score.
    """
    moved = np.append(True, (np.diff(hits) != 0) | (np.diff(predicted) != 0))
    level, hits, predicted = level[moved], hits[moved], predicted[moved]
    index = int(np.argmax(2 * hits / (predicted + reference)))
    below = float(level[index + 1]) if index + 1 < len(level) else -np.inf
    middle = (float(level[index]) + below) / 2
    if index and np.float32(middle) >= level[index]:  # neighbours in float32: half-way is rounded up, and nothing would exceed it
        middle = below
    return Best(middle, float(hits[index]), float(predicted[index]), reference)


def best_figures(found: Sequence[Best | None], labels: Sequence[str]) -> dict[str, float]:
    """Name the numbers of all labels; ``None`` (the reference does not hold the label) gives NaN and is in no mean."""
    blank = Best(np.nan, np.nan, np.nan, 0)
    each = [point or blank for point in found]
    hits, predicted, reference = (np.array([getattr(b, name) for b in each]) for name in ("hits", "predicted", "reference"))
    f1 = np.where(reference > 0, ratio(2 * hits, predicted + reference), np.nan)
    known = reference > 0
    return {
        "f1/micro": float(ratio(2 * hits[known].sum(), predicted[known].sum() + reference.sum())),
        "f1/macro": mean(f1),
        **name_figures("f1", f1, labels, macro=False),
        **name_figures("precision", np.where(predicted == 0, 1.0, ratio(hits, predicted)), labels, macro=False),
        **name_figures("recall", ratio(hits, reference), labels, macro=False),
        **name_figures("threshold", np.array([b.threshold for b in each]), labels, macro=False),
    }


def staircase(false_alarms: Array, hits: Array) -> tuple[Array, Array]:
    """Keep what is worth keeping of a curve: the highest y for at most x.

    Returns
    -------
    x, y : both ascending, strictly in x.
    """
    order = np.lexsort((-hits, false_alarms))
    x, y = false_alarms[order], np.maximum.accumulate(hits[order])
    kept = np.append(True, y[1:] > y[:-1])
    x, y = x[kept], y[kept]
    last = np.append(x[1:] > x[:-1], True)
    return x[last], y[last]


def effective(curves: Sequence[tuple[Array, Array]], alpha_st: float) -> tuple[Array, Array]:
    """Join the staircases of labels: at each x their mean less `alpha_st` times their standard deviation, at least 0."""
    x = np.unique(np.concatenate([own for own, _ in curves]))
    each = np.stack([y[np.searchsorted(own, x, side="right") - 1] for own, y in curves])
    return x, np.maximum(each.mean(axis=0) - alpha_st * each.std(axis=0), 0)


def mean_height(x: Array, y: Array, end: float) -> float:
    """Return the mean height of a staircase up to `end`; where that is 0, the height there."""
    return area_below(x, y, end) / end if end else float(y[0])


def area_below(x: Array, y: Array, end: float) -> float:
    """Integrate steps (y holds from its x to the next) from x[0] up to `end`, which is at least the last x."""
    return float(np.diff(x, append=end) @ y)


def area_between(x: Array, y: Array, end: float) -> float:
    """Integrate straight lines between points (ascending in x, then y) from 0 to `end`, which the last point reaches."""
    inside = int(np.searchsorted(x, end, side="right"))
    x, y = np.append(x[:inside], end), np.append(y[:inside], np.interp(end, x[inside - 1 :], y[inside - 1 :]))
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)
