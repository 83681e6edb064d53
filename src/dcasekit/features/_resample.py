"""Windowed-sinc resampling as torchaudio's default: six zero crossings each way, roll-off 0.99, a Hann window."""

import math
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from dcasekit.core.units import FloatArray, Hz

_CROSSINGS, _ROLL_OFF = 6, 0.99


def resample_sinc(blocks: Iterable[FloatArray], original: Hz, target: Hz) -> Iterator[FloatArray]:
    """Resample consecutive blocks of one recording; where they are cut does not change the result.

    Parameters
    ----------
    blocks : (samples,), any lengths.
    original, target : Hz.

    Yields
    ------
    arrays (samples,), float32; together ``ceil(samples * target / original)`` samples, as torchaudio's ``resample`` gives.
    """
    if original == target:
        yield from blocks
        return
    common = math.gcd(original, target)
    down, up = original // common, target // common
    kernel, reach, delay = _make_kernel(down, up)
    rest, received, given = np.zeros(reach, np.float32), 0, 0
    for block in blocks:
        received += len(block)
        rest = np.concatenate([rest, block])
        groups = (len(rest) - 2 * reach) // down  # of `down` samples, each of which becomes `up`
        if groups > 0:
            yield _filter(rest[: groups * down + 2 * reach], kernel, down, up, delay)[: groups * up]
            rest, given = rest[groups * down :], given + groups * up
    left = -(-received * up // down) - given
    if left > 0:
        yield _filter(np.pad(rest, (0, down + reach)), kernel, down, up, delay)[:left]


def _filter(audio: FloatArray, kernel: FloatArray, down: int, up: int, delay: int) -> FloatArray:
    from scipy.signal import upfirdn

    return np.asarray(upfirdn(kernel, audio, up, down)[delay:], dtype=np.float32)


@cache
def _make_kernel(down: int, up: int) -> tuple[FloatArray, int, int]:
    """Compute the filter on the fine grid of `up` points per sample.

    Returns
    -------
    the filter; samples it reaches to each side; outputs of `upfirdn` before the one that is centred `reach` samples after the first.
    """
    cutoff = min(down, up) * _ROLL_OFF / (down * up)  # zero crossings per point
    length = math.floor(_CROSSINGS / cutoff)
    crossings = np.arange(-length, length + 1) * cutoff
    values = np.sinc(crossings) * np.cos(crossings * (math.pi / (2 * _CROSSINGS))) ** 2 * (cutoff * up)
    reach = math.ceil(length / up)
    lead = -(length + reach * up) % down  # so that an output falls on the centre
    return np.pad(values, (lead, 0)).astype(np.float32), reach, (lead + length + reach * up) // down
