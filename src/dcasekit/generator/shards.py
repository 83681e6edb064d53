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
    """One stage of an epoch: the numbers of the windows that are read, then of those that are passed on."""

    read: Numbers
    given: Numbers


def stages(order_on_disk: Numbers, buffer: int, rng: np.random.Generator) -> Iterator[Stage]:
    """Draw the order of an epoch; each window is read once and passed on once.

    The windows are cut into shards in their order on the disk, an eighth of the buffer each; the first shard has a random length. The
    shards are read in random order. After each, windows drawn from all in the buffer are passed on, until there is room for the next shard.

    Parameters
    ----------
    order_on_disk : numbers of the windows, in the order in which they lie on the disk.
    buffer : the largest number of windows in memory.
    rng : all that is random is drawn from it.

    Yields
    ------
    a `Stage` per shard; the last one reads nothing and passes on what is left.
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
    """Stretches of clips that were loaded from a store and stay in memory until they are read; each can be read once.

    Parameters
    ----------
    store : the feature store that they come from.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store, self._frames = store, dict[Stretch, FloatArray]()

    def load(self, stretches: Iterable[Stretch]) -> None:
        """Read stretches into memory."""
        self._frames |= self._store.read_together(stretches)

    def read(self, clip: str, start: int, stop: int) -> FloatArray:
        """Return frames [start, stop) of a clip, (frames, dims), and forget them; exactly this stretch must have been loaded."""
        return self._frames.pop((clip, start, stop))
