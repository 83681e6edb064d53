"""What a container trains on, behind one face: batches of windows, clips with their windows, and what is true of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.generator.stream import ClipWindows


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A mini-batch of windows to train on. NaN in ``y`` and ``tags`` means unknown: losses and metrics leave it out.

    Parameters
    ----------
    x : (windows, frames, dims), float32, finite.
    y : (windows, labels), or (windows, frames, labels) where the target is ``"frame"``; also NaN in frames that were filled up.
    mask : (windows, frames), bool; False where frames were filled up by reflection.
    clips : for each window, the id of the clip that it comes from.
    tags : (windows, labels), the tags of the clip that each window comes from, so that a network can learn both from a clip's tags and from
        the times of its events.
    """

    x: FloatArray
    y: FloatArray
    mask: NDArray[np.bool_]
    clips: tuple[str, ...]
    tags: FloatArray


class Data(Protocol):
    """What a model needs of the data that it trains on or is evaluated on: what `DataGenerator` and `Arrays` have in common."""

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    def batches(self, epoch: int, batch_size: int, *, seed: int, drop_last: bool = False, first: int = 0) -> Iterator[Batch]: ...  # noqa: D102
    def clip_windows(self) -> Iterator[ClipWindows]: ...  # noqa: D102
    def reference(self) -> dict[str, Any]: ...  # noqa: D102


def batch_bounds(size: int, batch_size: int, *, drop_last: bool = False) -> Sequence[slice]:
    """Divide the windows of an epoch into batches; a single window that would be left over joins the batch before it.

    It joins because batch normalisation cannot be trained with one window, and no window is to be left out.

    Parameters
    ----------
    size : number of windows.
    batch_size : windows per batch.
    drop_last : leave out the windows that do not fill the last batch, unless it is the only one.

    Returns
    -------
    one slice of ``range(size)`` per batch, in order.
    """
    if drop_last and size >= batch_size:
        return [slice(first, first + batch_size) for first in range(0, size - batch_size + 1, batch_size)]
    firsts = list(range(0, size, batch_size))
    if len(firsts) > 1 and size - firsts[-1] == 1 and batch_size > 1:
        firsts.pop()
    return [slice(first, last) for first, last in zip(firsts, [*firsts[1:], size], strict=True)]
