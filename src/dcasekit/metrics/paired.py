"""Is one system better than another? Both are evaluated on the same clips, so that hard clips are hard for both.

`bootstrap` tells how large the difference is, with an interval; `permutation` how often chance alone makes one as large. The clips of both
systems are stacked, first all of the first system, then all of the second in the same order, and a figure is a function of 2 * clips
weights, as in `dcasekit.metrics.bootstrap`. For one system alone the weights are 1 on its half and 0 on the other; to swap the systems on a
clip, its 1 moves to the other half. So whatever is computed from sums over clips works in both tests::

    hits, truth, found = (np.concatenate(pair) for pair in ...)        # (2 * clips,) each
    f1 = lambda weights: 2 * (weights @ hits) / (weights @ (truth + found))
    difference, low, high = paired.bootstrap(f1, n_clips)
    p = paired.permutation(f1, n_clips)

Both take only the choice of test clips into account: a second training of the same system can differ as significantly.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray
from dcasekit.errors import MetricError
from dcasekit.metrics.bootstrap import Mapper, Statistic, equal, in_blocks, interval, rng_of, units


def bootstrap(  # noqa: PLR0913 - as `interval`
    statistic: Statistic,
    n_clips: int,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
    method: Literal["widened", "percentile"] = "widened",
    mapper: Mapper | None = None,
) -> tuple[float, float, float]:
    """Compute the first system's figure minus the second's, and its interval; each draw takes the same clips of both systems.

    Parameters
    ----------
    statistic : function from weights (draws, 2 * clips) to values (draws,); the clips of both systems are stacked, see above.
    n_clips : number of clips of one system.
    groups, level, repeats, seed, method, mapper : as for `dcasekit.metrics.bootstrap.interval`; `groups` has one entry per clip of one
        system.

    Returns
    -------
    difference, low, high : the difference and the ends of its interval; NaN as for `interval`.

    Raises
    ------
    MetricError : as for `interval`.

    Examples
    --------
    >>> first, second = np.array([1, 1, 1, 0] * 25), np.array([1, 0, 1, 0] * 25)
    >>> correct = np.concatenate([first, second])
    >>> difference, low, high = bootstrap(lambda weights: weights @ correct / weights.sum(axis=1), 100)
    >>> difference, 0.1 < low < high < 0.4
    (0.25, True)
    """
    difference = partial(_difference_of_draws, statistic)
    settings = {"groups": groups, "level": level, "repeats": repeats, "seed": seed, "method": method, "mapper": mapper}
    low, high = interval(difference, n_clips, **settings)  # type: ignore[arg-type]
    return float(difference(np.ones((1, n_clips), dtype=np.float32))[0]), low, high


def permutation(
    statistic: Statistic,
    n_clips: int,
    *,
    groups: Sequence[Hashable] | None = None,
    repeats: int = 1000,
    seed: int = 0,
    mapper: Mapper | None = None,
) -> float:
    """Test whether two systems differ, by a permutation test: each clip's systems are swapped with probability 1/2, again and again.

    Parameters
    ----------
    statistic : function from weights (draws, 2 * clips), each 0 or 1, to values (draws,); the clips of both systems are stacked, see above.
    n_clips : number of clips of one system.
    groups : (clips,), the recording that each clip comes from; the clips of a group are swapped together. ``None``: each by itself.
    repeats : number of permutations, at least 1; the smallest possible p-value is 1 / (1 + repeats).
    seed : of the random numbers.
    mapper : as for `dcasekit.metrics.bootstrap.interval`.

    Returns
    -------
    p : two-sided p-value, (1 + permutations whose absolute difference is at least the observed one) / (1 + repeats); NaN if the observed
        difference is NaN. Permutations that give NaN are left out.

    Raises
    ------
    MetricError : `repeats` is less than 1, there are no clips, there is not one group per clip, or the statistic does not give one value
        per draw.

    Notes
    -----
    The null hypothesis is that the systems are exchangeable. A figure that ranks clips by score, such as average precision, therefore
    needs the scores of both on one scale: first replace each system's scores by their ranks within the system and label, which does not
    change its figure.
    B. Phipson, G. K. Smyth, "Permutation p-values should never be zero", Statistical Applications in Genetics and Molecular
    Biology 9(1), 2010, for the 1 in numerator and denominator.

    Examples
    --------
    >>> first, second = np.array([1, 1, 1, 0] * 25), np.array([1, 0, 1, 0] * 25)
    >>> correct = np.concatenate([first, second])
    >>> permutation(lambda weights: weights @ correct / weights.sum(axis=1), 100) < 0.01
    True
    """
    if repeats < 1 or n_clips < 1:
        raise MetricError(f"need repeats >= 1 and at least one clip; got repeats={repeats}, {n_clips} clips")
    swaps = partial(_swap, seed, units(n_clips, groups))
    values = in_blocks(partial(_difference_of_swaps, statistic), swaps, repeats + 1, n_clips, mapper)
    sizes = np.abs(values[~np.isnan(values)])
    if np.isnan(values[0]):
        return float("nan")
    return float(np.mean((sizes > sizes[0]) | equal(sizes, sizes[0])))


def _swap(seed: int, member: NDArray[np.int64], start: int, stop: int) -> FloatArray:
    """Say which clips are swapped: 0 or 1, (rows, clips); row 0 is the systems as they are."""
    swapped = rng_of(seed, start).integers(2, size=(stop - start, int(member.max()) + 1), dtype=np.int8).astype(np.float32)
    if start == 0:
        swapped[0] = 0
    return swapped[:, member]


def _difference_of_draws(statistic: Statistic, weights: FloatArray) -> NDArray[np.float64]:
    return _difference(statistic, weights, np.zeros_like(weights))


def _difference_of_swaps(statistic: Statistic, swapped: FloatArray) -> NDArray[np.float64]:
    return _difference(statistic, 1 - swapped, swapped)


def _difference(statistic: Statistic, first: FloatArray, second: FloatArray) -> NDArray[np.float64]:
    """Compute the figure with these weights on the two halves, minus the figure with the halves exchanged."""
    pair = [statistic(np.concatenate(halves, axis=1)) for halves in ((first, second), (second, first))]
    return np.asarray(pair[0], dtype=np.float64) - np.asarray(pair[1], dtype=np.float64)
