"""Windows in random order from storage that is slow at random places: whole shards are read, and mixed in a buffer."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray
from dcasekit.features._store import FeatureStore, Stretch

# Of the windows in the buffer, a shard has one in so many: it holds windows of about so many shards at a time.
_SHARDS_AT_ONCE = 8

Numbers = NDArray[np.int64]


class Stage(NamedTuple):
    """Windows that are read, then windows that are given, by their numbers."""

    read: Numbers
    given: Numbers


def stages(order_on_disk: Numbers, buffer: int, rng: np.random.Generator) -> Iterator[Stage]:
    """Draw the order of an epoch: each window is read once and given once.

    The windows are cut into shards as they lie on the disk, an eighth of the buffer each, from a random one of the first on. The shards are
    read in random order, and after each so many windows are given, drawn from all in the buffer, that there is room for the next one.

    Parameters
    ----------
    order_on_disk : numbers of the windows in the order of their places.
    buffer : windows in memory at most.
    """
    size = max(1, buffer // _SHARDS_AT_ONCE)
    cut = int(rng.integers(size))  # so that the same windows do not share a shard in each epoch
    shards = [shard for shard in np.split(order_on_disk, range(cut, len(order_on_disk), size)) if len(shard)]
    pool = np.zeros(0, np.int64)
    for number in rng.permutation(len(shards)).tolist():
        pool = rng.permutation(np.concatenate([pool, shards[number]]))
        room = max(0, buffer - size)
        yield Stage(shards[number], pool[room:])
        pool = pool[:room]
    yield Stage(pool[:0], rng.permutation(pool))


class Loaded:
    """Stretches of a store's clips that are in memory until they are read, each once.

    Parameters
    ----------
    store : that they come from.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store, self._frames = store, dict[Stretch, FloatArray]()

    def load(self, stretches: Iterable[Stretch]) -> None:
        """Read stretches into memory."""
        self._frames |= self._store.read_together(stretches)

    def read(self, clip: str, start: int, stop: int) -> FloatArray:
        """Give frames [start, stop) of a clip, a stretch that was loaded."""
        return self._frames.pop((clip, start, stop))
