"""What a container trains on and predicts: a data generator, arrays in memory, or audio files, behind one face."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator import Batch, cut, join
from dcasekit.scaler import Scaler
from dcasekit.scores import Scores, to_events

ClipWindows = Iterator[tuple[FloatArray, Callable[[FloatArray], Scores]]]


class Data(Protocol):
    """What `DataGenerator` and `Arrays` have in common."""

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
    def batches(self, epoch: int, batch_size: int) -> Iterator[Batch]: ...  # noqa: D102
    def clip_windows(self) -> ClipWindows: ...  # noqa: D102
    def reference(self) -> dict[str, Any]: ...  # noqa: D102


class Arrays:
    """Arrays in memory: X and Y as `DataGenerator.get_data` gives them, or X alone.

    Parameters
    ----------
    x : (windows, frames, dims), each row a clip of its own; or a list of such arrays, one per clip.
    y : (windows, labels) or (windows, frames, labels), or a list of them; ``None``: unknown.
    labels : names of the columns of y; ``None``: ``"0"``, ``"1"``, ...
    task : ``None``: classification if every row of y has one 1 and else zeros, tagging if not.
    seed : of the shuffling.
    """

    def __init__(self, x: Any, y: Any = None, *, labels: Sequence[str] | None = None, task: Task | None = None, seed: int = 0) -> None:
        self.seed = seed
        self.x = [np.asarray(part, np.float32) for part in (x if isinstance(x, list | tuple) else np.asarray(x)[:, None])]
        if not self.x or any(part.ndim != 3 or not len(part) for part in self.x):
            raise ModelError("X must be an array (windows, frames, dims) or a list of them, one per clip, none of them empty")
        if y is None:
            y = [np.zeros((len(part), len(labels or ())), np.float32) for part in self.x]
        self.y = [np.asarray(part, np.float32) for part in (y if isinstance(y, list | tuple) else np.asarray(y)[:, None])]
        if [len(part) for part in self.x] != [len(part) for part in self.y]:
            raise ModelError(f"X and Y must have the same windows; got {len(self.x)} and {len(self.y)} clips or other lengths")
        rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in self.y])
        self.labels = tuple(labels or map(str, range(rows.shape[1])))
        if len(self.labels) != rows.shape[1]:
            raise ModelError(f"Y has {rows.shape[1]} columns, the model {len(self.labels)} labels: {', '.join(self.labels)}")
        one_hot = np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()
        self.task: Task = task or ("classification" if one_hot else "tagging")

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
        """Hash of what decides the batches: the arrays and the seed."""
        digest = hashlib.sha256(repr((self.labels, self.task, self.seed)).encode())
        for part in (*self.x, *self.y):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def batches(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Give shuffled batches; the same seed and epoch give the same ones."""
        x, y = self._joined
        order = np.random.default_rng((self.seed, epoch)).permutation(len(x))
        for first in range(0, len(x), batch_size):
            chosen = order[first : first + batch_size]
            yield Batch(x[chosen], y[chosen], np.ones((len(chosen), x.shape[1]), np.bool_), tuple(map(str, chosen)))

    @cached_property
    def _joined(self) -> tuple[FloatArray, FloatArray]:
        return np.concatenate(self.x), np.concatenate(self.y)

    def clip_windows(self) -> ClipWindows:
        """Give each clip's windows, and the function that makes `Scores` of the answers; a window counts as a second."""
        for windows in self.x:
            yield windows, partial(_scores, labels=self.labels)

    def reference(self) -> dict[str, Any]:
        """Give truth as `DataGenerator.reference` does; clips are named by their number."""
        clips = tuple(map(str, range(len(self.x))))
        truth = np.stack([part.reshape(-1, part.shape[-1]).max(axis=0) for part in self.y])
        events: dict[str, list[Event]] | None = None
        if self.task == "detection":
            events = {clip: to_events(_scores(part, labels=self.labels)) for clip, part in zip(clips, self.y, strict=True)}
        return {"clips": clips, "truth": truth, "events": events, "paths": (), "groups": ()}


def file_windows(paths: Sequence[PathLike], *, features: FeatureExtractor, scaler: Scaler | None, labels: Sequence[str]) -> ClipWindows:
    """Give the windows of audio files, computed as the model's training data were."""
    for path in map(Path, paths):
        frames = np.concatenate(list(features.compute_file(path)))
        windows = cut(frames, features)
        duration = audio.info(path).duration
        yield (
            windows if scaler is None else scaler.transform(windows),
            partial(join, features=features, frames=len(frames), duration=duration, labels=labels),
        )


def _scores(answers: FloatArray, *, labels: Sequence[str]) -> Scores:
    steps = answers.reshape(-1, answers.shape[-1])
    return Scores(steps, np.arange(len(steps) + 1) * len(answers) / len(steps), labels)
