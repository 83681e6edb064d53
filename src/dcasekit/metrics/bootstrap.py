"""How far a number would move with other clips: the bootstrap's percentile interval.

Clips are drawn with replacement, as many as there are, and the number is computed again; the interval holds the middle
`level` of the results. B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979; for the
percentile interval B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

It speaks of the choice of test clips alone: not of the training set, nor of the training's random numbers.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dcasekit.errors import MetricError
from dcasekit.units import FloatArray

Statistic = Callable[[FloatArray], ArrayLike]

_CELLS = 2_000_000  # weights held at once, 8 MB


def interval(
    statistic: Statistic,
    n_clips: int,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a percentile interval.

    Parameters
    ----------
    statistic : from weights (draws, clips), whole numbers as float32 that say how often each clip was drawn, to values
        (draws,). Any number that is a function of sums over clips is one matrix product; see the example.
    n_clips : number of clips.
    groups : (clips,), the recording each clip comes from; whole groups are drawn, because parts of one recording
        are not independent. Default: each clip for itself.
    level : in (0, 1), the share of results inside.
    repeats : number of draws.
    seed : of the random numbers; the same seed gives the same interval.

    Returns
    -------
    low, high : NaN if fewer than two clips (or groups) are there to draw from. Draws with a NaN result are left out.

    Examples
    --------
    >>> correct = np.array([1, 1, 1, 0] * 25)
    >>> low, high = interval(lambda weights: weights @ correct / weights.sum(axis=1), 100)
    >>> 0.6 < low < 0.75 < high < 0.9
    True
    """
    if not 0 < level < 1 or repeats < 1 or (groups is not None and len(groups) != n_clips):
        raise MetricError(
            f"need 0 < level < 1, repeats >= 1 and one group per clip; got level={level}, repeats={repeats}, "
            f"{n_clips} clips and {'no' if groups is None else len(groups)} groups"
        )
    numbering: dict[Hashable, int] = {}
    member = np.array([numbering.setdefault(group, len(numbering)) for group in (groups or range(n_clips))], dtype=np.int64)
    if len(numbering) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // n_clips)
    sizes = [min(block, repeats - start) for start in range(0, repeats, block)]
    values = np.concatenate([np.asarray(statistic(_draw(rng, size, len(numbering))[:, member])) for size in sizes])
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _draw(rng: np.random.Generator, draws: int, units: int) -> FloatArray:
    """Draw as many units as there are, with replacement; count how often each came: (draws, units)."""
    picked = rng.integers(units, size=(draws, units)) + units * np.arange(draws)[:, None]
    return np.bincount(picked.ravel(), minlength=draws * units).reshape(draws, units).astype(np.float32)
