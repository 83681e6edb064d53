"""Arrays in memory as data to train on."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.generator.batch import Batch, batch_bounds
from dcasekit.generator.stream import ClipWindows, seconds_apart
from dcasekit.scores import to_events


class Arrays:
    """Arrays in memory as data for a model: X and Y as `DataGenerator.get_data` gives them, or X alone.

    Parameters
    ----------
    x : (windows, frames, dims), where each window is a clip of its own; or a list of such arrays, one per clip. Converted to float32.
    y : (windows, labels) or (windows, frames, labels), or a list of them, one per clip; NaN where it is not known whether a label holds.
        ``None``: nothing is known.
    labels : names of the columns of y; ``None``: ``"0"``, ``"1"``, ...
    task : ``None``: detection if y has frames; otherwise classification if every row of y without NaN has one 1 and otherwise zeros;
        otherwise tagging.

    Raises
    ------
    ModelError : x or y does not hold numbers in one of these shapes, x is empty, or x, y and `labels` do not fit each other.
    """

    def __init__(self, x: Any, y: Any = None, *, labels: Sequence[str] | None = None, task: Task | None = None) -> None:
        self.x = _parts("X", x)
        if not self.x or any(part.ndim != 3 or not len(part) for part in self.x):
            raise ModelError("X must be an array (windows, frames, dims) or a list of them, one per clip, none of them empty")
        if y is None:
            y = [np.full((len(part), len(labels or ())), np.nan, np.float32) for part in self.x]
        self.y = _parts("Y", y)
        if any(part.ndim not in (2, 3) for part in self.y):
            raise ModelError(
                "Y must be an array (windows, labels) or (windows, frames, labels), or a list of them, one per clip: a column per label, 1 "
                "where it holds; of numbers of classes that is np.eye(classes)[Y]"
            )
        if [len(part) for part in self.x] != [len(part) for part in self.y]:
            raise ModelError(f"X and Y must have the same windows; got {len(self.x)} and {len(self.y)} clips or other lengths")
        rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in self.y])
        self.labels = tuple(labels or map(str, range(rows.shape[1])))
        if len(self.labels) != rows.shape[1]:
            raise ModelError(f"Y has {rows.shape[1]} columns, the model {len(self.labels)} labels: {', '.join(self.labels)}")
        self.task: Task = task or _task(rows, framed=self.y[0].ndim == 3)

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, dims) of one window."""
        return self.x[0].shape[1], self.x[0].shape[2]

    @property
    def size(self) -> int:
        """Number of windows."""
        return sum(len(part) for part in self.x)

    @property
    def identity(self) -> str:
        """Hash of all that the batches depend on: the arrays, labels and task."""
        digest = hashlib.sha256(repr((self.labels, self.task)).encode())
        for part in (*self.x, *self.y):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def batches(self, epoch: int, batch_size: int, *, seed: int, drop_last: bool = False, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, shuffled; the parameters are those of `DataGenerator.batches`."""
        x, y, tags, clips = self._joined
        order = np.random.default_rng((seed, epoch)).permutation(len(x))
        for bounds in batch_bounds(len(x), batch_size, drop_last=drop_last)[first:]:
            chosen = order[bounds]
            mask = np.ones((len(chosen), x.shape[1]), np.bool_)
            yield Batch(x[chosen], y[chosen], mask, tuple(clips[index] for index in chosen), tags[chosen])

    @cached_property
    def _joined(self) -> tuple[FloatArray, FloatArray, FloatArray, list[str]]:
        """X, Y, the tags of each window's clip, and the clip's name."""
        lengths = [len(part) for part in self.x]
        clips = np.repeat(np.arange(len(lengths)), lengths)
        return np.concatenate(self.x), np.concatenate(self.y), self._truth[clips], [str(clip) for clip in clips]

    @cached_property
    def _truth(self) -> FloatArray:
        """(clips, labels): the largest of each clip's values, as far as they are known."""
        return np.stack([np.fmax.reduce(part.reshape(-1, part.shape[-1])) for part in self.y])

    def clip_windows(self) -> Iterator[ClipWindows]:
        """Yield each clip's windows, in order; the scores of a clip count one second for each window."""
        for number, windows in enumerate(self.x):
            yield ClipWindows(str(number), [windows], seconds_apart)

    def reference(self) -> dict[str, Any]:
        """Return what is known about the clips, as `DataGenerator.reference` does.

        Ids are the numbers of the clips, from ``"0"``, a window lasts one second, and there are no paths and no groups.
        """
        clips = tuple(map(str, range(len(self.x))))
        events: dict[str, list[Event] | None] | None = None
        if self.task == "detection":
            events = {clip: None if np.isnan(part).any() else _events(part, self.labels) for clip, part in zip(clips, self.y, strict=True)}
        durations = tuple(float(len(part)) for part in self.x)
        return {"clips": clips, "truth": self._truth, "events": events, "paths": (), "groups": (), "durations": durations}


def _parts(name: str, values: Any) -> list[FloatArray]:
    """Return the windows of each clip as numbers."""
    try:
        return [np.asarray(part, np.float32) for part in (values if isinstance(values, list | tuple) else np.asarray(values)[:, None])]
    except (TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{name} must hold numbers, in an array or a list of them, one per clip: {error}") from error


def _events(y: FloatArray, labels: Sequence[str]) -> list[Event]:
    return to_events(seconds_apart(y, labels))


def _task(rows: FloatArray, *, framed: bool) -> Task:
    """Guess the task from targets (rows, labels)."""
    if framed:
        return "detection"
    known = rows[~np.isnan(rows).any(axis=1)]
    return "classification" if np.isin(known, (0, 1)).all() and (known.sum(axis=1) == 1).all() else "tagging"
