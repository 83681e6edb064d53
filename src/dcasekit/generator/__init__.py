"""From clips and stored features to batches: windows and labels on one frame grid."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import TIME_TOLERANCE, Clip, Event, events_to_roll, tags_to_vector
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import DatasetError, FeatureError
from dcasekit.features.base import FeatureExtractor
from dcasekit.scaler import Scaler
from dcasekit.scores import Scores

_log = logging.getLogger(__name__)

Target = Literal["clip", "window", "frame"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows to train on.

    Parameters
    ----------
    x : (windows, frames, dims), float32.
    y : (windows, labels), or (windows, frames, labels) where the target is ``"frame"``.
    mask : (windows, frames), bool; False where frames were filled up by reflection.
    clips : id of the clip each window comes from.
    """

    x: FloatArray
    y: FloatArray
    mask: NDArray[np.bool_]
    clips: tuple[str, ...]


class DataGenerator:
    """Batches of windows of some folds of a dataset, read from the feature store as they are needed.

    Parameters
    ----------
    dataset, features : the features must have been extracted.
    folds : fold names, or the parts ``"train"``, ``"val"``, ``"test"`` of the dataset's default split; or clips, as `Dataset.split` gives.
    train : ``True``: windows are shuffled, augmented copies take part. ``False``: clips in order, originals only.
    target : what y holds: ``"clip"``, the clip's tags for each of its windows (default for classification and tagging); ``"window"``,
        what sounds in the part of time the window answers for (default for detection); ``"frame"``, the same per frame.
    batch_size : windows per batch when iterated.
    scaler : applied to x.
    seed : of the shuffling.

    Notes
    -----
    Where windows overlap, each answers for the time nearest to its centre, so that together they answer for the whole clip once: the
    borders lie half-way between the centres of neighbours.
    """

    def __init__(
        self,
        dataset: Dataset,
        features: FeatureExtractor,
        *,
        folds: Sequence[str] | Sequence[Clip],
        train: bool = True,
        target: Target | None = None,
        batch_size: int = 32,
        scaler: Scaler | None = None,
        seed: int = 0,
    ) -> None:
        self.dataset, self.features, self.train, self.batch_size, self.seed = dataset, features, train, batch_size, seed
        self.target: Target = target or ("window" if dataset.task == "detection" else "clip")
        self.scaler = scaler
        self._store = features.store(dataset)
        self.clips = self._stored(_chosen(dataset, folds))
        self._starts = starts = [features.windows(self._store.entry(clip.id).frames) for clip in self.clips]
        self._clip_of = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
        self._start_of = np.concatenate([np.asarray(s, dtype=np.int64) for s in starts])
        self._targets: dict[int, FloatArray] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of y."""
        return self.dataset.labels

    @property
    def task(self) -> Task:
        """The dataset's task."""
        return self.dataset.task

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, dims) of one window; of the longest clip if a window is a whole clip."""
        longest = max(self._store.entry(clip.id).frames for clip in self.clips)
        return self.features.sequence_frames or longest, self._store.entry(self.clips[0].id).dims

    @property
    def size(self) -> int:
        """Number of windows."""
        return len(self._start_of)

    @property
    def identity(self) -> str:
        """Hash of what decides the batches: clips, features, windows, targets, scaler, seed."""
        features, scaler = self.features.settings, self.scaler and self.scaler.to_dict()
        facts = [[clip.id for clip in self.clips], features, self.target, self.labels, scaler, self.seed, self.train]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def __len__(self) -> int:
        """Count the batches of one pass."""
        return math.ceil(len(self._start_of) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches of the first epoch."""
        return self.batches(0, self.batch_size)

    def batches(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Give the batches of an epoch; the same seed and epoch give the same batches, whatever went before."""
        order = np.arange(len(self._start_of))
        if self.train:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        for first in range(0, len(order), batch_size):
            yield self._batch(order[first : first + batch_size])

    def get_data(self) -> tuple[Any, Any]:
        """Give all data in memory.

        Returns
        -------
        X, Y : with ``train=True`` two arrays over all windows, shuffled: (windows, frames, dims) and (windows, labels) or (windows,
            frames, labels). With ``train=False`` two lists of such arrays, one per clip, in order.
        """
        if self.train:
            batch = next(self.batches(0, len(self._start_of)))
            return batch.x, batch.y
        windows = [x for x, _ in self.clip_windows()]
        return windows, [self._clip_target(index) for index in range(len(self.clips))]

    def set_scaler(self, scaler: Scaler | None) -> None:
        """Apply a fitted scaler to x from now on."""
        self.scaler = scaler

    def clip_windows(self, *, scaled: bool = True) -> Iterator[tuple[FloatArray, Callable[[FloatArray], Scores]]]:
        """Give each clip's windows in order, and the function that joins what a model answers for them to the clip's `Scores`.

        The function takes (windows, labels) or (windows, frames, labels).
        """
        for clip in self.clips:
            entry = self._store.entry(clip.id)
            windows = cut(self._store.read(clip.id), self.features)
            if scaled and self.scaler is not None:
                windows = self.scaler.transform(windows)
            yield (
                windows,
                partial(join, features=self.features, frames=entry.frames, duration=entry.duration, labels=self.labels),
            )

    def reference(self) -> dict[str, Any]:
        """Give what is known about the clips: ``clips`` (ids), ``truth`` (clips, labels), ``events``, ``paths``, ``groups``."""
        return {
            "clips": tuple(clip.id for clip in self.clips),
            "truth": np.stack([_clip_vector(clip, self.labels) for clip in self.clips]),
            "events": {clip.id: list(clip.events or ()) for clip in self.clips} if self.task == "detection" else None,
            "paths": tuple(clip.path for clip in self.clips),
            "groups": tuple(clip.group or clip.id for clip in self.clips),
        }

    def _stored(self, clips: Sequence[Clip]) -> tuple[Clip, ...]:
        if not self.train:
            clips = [clip for clip in clips if "parent" not in clip.extra]
        if skipped := [clip.id for clip in clips if clip.id in self._store.skipped]:
            _log.warning("%d of %d clips were skipped in extraction: %s", len(skipped), len(clips), ", ".join(skipped[:5]))
        kept = tuple(clip for clip in clips if clip.id not in self._store.skipped)
        if not kept:
            raise DatasetError(f"{self.dataset.name}: no clips to make batches of; check folds=")
        for clip in kept:
            self._store.entry(clip.id)
        return kept

    def _batch(self, chosen: NDArray[np.int64]) -> Batch:
        indices, starts = self._clip_of[chosen], self._start_of[chosen]
        length = None
        if self.features.sequence_frames is None:  # whole clips: fill up to the longest of the batch
            length = max(self._store.entry(self.clips[index].id).frames for index in indices)
        windows = [self._window(int(index), int(start), length) for index, start in zip(indices, starts, strict=True)]
        x = np.stack([window for window, _ in windows])
        mask = np.arange(x.shape[1]) < np.array([real for _, real in windows])[:, None]
        y = np.stack([self._window_target(int(i), int(s), x.shape[1]) for i, s in zip(indices, starts, strict=True)])
        if self.scaler is not None:
            x = self.scaler.transform(x)
        return Batch(x, y, mask, tuple(self.clips[index].id for index in indices))

    def _window(self, index: int, start: int, length: int | None) -> tuple[FloatArray, int]:
        """Read one window; fill it up by reflection to its length; say how many frames are real."""
        length = length or self.features.sequence_frames
        frames = self._store.read(self.clips[index].id, start, None if length is None else start + length)
        return _filled(frames, length), len(frames)

    def _clip_target(self, index: int) -> FloatArray:
        """Targets of a clip: (windows, labels), or (windows, frames, labels) for frames."""
        if self.target == "frame":
            length = self.features.sequence_frames or self._store.entry(self.clips[index].id).frames
            return np.stack([self._window_target(index, start, length) for start in self._starts[index]])
        return self._grid_target(index)

    def _window_target(self, index: int, start: int, length: int) -> FloatArray:
        grid = self._grid_target(index)
        if self.target != "frame":
            return cast("FloatArray", grid[start // self.features.sequence_hop if self.features.sequence_frames else 0])
        return _filled(grid[start : start + length], length)

    def _grid_target(self, index: int) -> FloatArray:
        """Targets on the clip's grid: (windows, labels) or (frames, labels)."""
        if index not in self._targets:
            clip = self.clips[index]
            if self.target == "clip" or clip.events is None:
                rows = self._store.entry(clip.id).frames if self.target == "frame" else len(self._starts[index])
                self._targets[index] = np.repeat(_clip_vector(clip, self.labels)[None], rows, axis=0)
            else:
                entry = self._store.entry(clip.id)
                edges = time_edges(self.features, entry.frames, entry.duration, per_frame=self.target == "frame")
                self._targets[index] = events_to_roll(_inside(clip.events, edges[-1]), self.labels, edges)
        return self._targets[index]


def cut(frames: FloatArray, features: FeatureExtractor) -> FloatArray:
    """Cut the frames of a clip (frames, dims) into windows (windows, frames, dims); the last is filled up by reflection."""
    length = features.sequence_frames
    return np.stack([_filled(frames[s : None if length is None else s + length], length) for s in features.windows(len(frames))])


def time_edges(features: FeatureExtractor, frames: int, duration: Seconds, *, per_frame: bool) -> NDArray[np.float64]:
    """Give the borders in seconds of a clip's frames, or of the spans its windows answer for; the last is the clip's end."""
    if per_frame:
        grid = np.arange(frames + 1, dtype=np.float64)
    else:
        centres = np.asarray(features.windows(frames)) + (features.sequence_frames or frames) / 2
        grid = np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(frames)]])
    edges: NDArray[np.float64] = grid * features.audio_hop / features.sr
    if duration > edges[-2] + TIME_TOLERANCE:
        edges[-1] = duration
    return edges


def join(answers: FloatArray, *, features: FeatureExtractor, frames: int, duration: Seconds, labels: Sequence[str]) -> Scores:
    """Join what a model answers for the windows of a clip to the clip's scores.

    Parameters
    ----------
    answers : (windows, labels), or (windows, frames, labels), where overlapping windows are averaged; a network may answer for several
        frames at once.
    frames, duration : of the clip.
    """
    per_frame = answers.ndim == 3
    edges = time_edges(features, frames, duration, per_frame=per_frame)
    if not per_frame:
        return Scores(answers, edges, labels)
    length = features.sequence_frames or frames
    source = np.arange(length) * answers.shape[1] // length
    total, count = np.zeros((frames, len(labels))), np.zeros((frames, 1))
    for start, answer in zip(features.windows(frames), answers, strict=True):
        stop = min(start + length, frames)
        total[start:stop] += answer[source[: stop - start]]
        count[start:stop] += 1
    if not count.all():
        raise FeatureError("windows leave gaps that a model of frames cannot answer for; choose sequence_hop_time <= sequence_time")
    return Scores(total / count, edges, labels)


def _filled(frames: FloatArray, length: int | None) -> FloatArray:
    if length is None or len(frames) >= length:
        return frames
    return np.pad(frames, ((0, length - len(frames)), (0, 0)), mode="reflect")


def _chosen(dataset: Dataset, folds: Sequence[str] | Sequence[Clip]) -> Sequence[Clip]:
    if isinstance(folds, str):
        raise DatasetError(f"folds must be a list of fold names; got the string {folds!r}: write folds=[{folds!r}]")
    if all(isinstance(fold, Clip) for fold in folds):
        return cast("Sequence[Clip]", folds)
    return dataset.select(cast("Sequence[str]", folds))


def _clip_vector(clip: Clip, labels: Sequence[str]) -> FloatArray:
    if clip.tags is not None:
        return tags_to_vector(clip.tags, labels)
    if clip.events is None:
        raise DatasetError(f"clip {clip.id!r} has neither tags nor events; choose folds that are labelled")
    heaviest: dict[str, float] = {}
    for event in clip.events:
        heaviest[event.label] = max(event.weight, heaviest.get(event.label, 0.0))
    return tags_to_vector(heaviest, labels)


def _inside(events: Sequence[Event], end: float) -> list[Event]:
    return [event for event in events if event.onset < end]
