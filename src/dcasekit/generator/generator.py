"""The data generator: batches of windows and labels, from clips and stored features."""

import copy
import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Clip, clip_to_vector
from dcasekit.core.origin import recognize
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import DatasetError
from dcasekit.features._store import Entry
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator.batch import Batch, batch_bounds
from dcasekit.generator.stream import ClipWindows, stored_windows
from dcasekit.scaler import Scaler
from dcasekit.scores.grid import Target

_log = logging.getLogger(__name__)


class DataGenerator:
    """Batches of windows of some folds of a dataset, read from the feature store as they are needed.

    Parameters
    ----------
    dataset, features : the features must have been extracted.
    folds : fold names, or the parts ``"train"``, ``"val"``, ``"test"`` of the dataset's default split; or clips, as `Dataset.split` gives.
    train : ``True``: windows are shuffled, augmented copies take part. ``False``: clips in order, originals only.
    target : what y holds: ``"clip"``, the clip's tags for each of its windows (default for classification and tagging, and for clips of
        which no event's times are known); ``"window"``, what sounds in the part of time the window answers for (default for detection);
        ``"frame"``, the same per frame. What nobody knows is NaN: the events of a weakly labelled clip, a tag that nobody annotated, and
        in ``"frame"`` whatever was filled up. A scene sounds in every frame.
    batch_size : windows per batch when iterated.
    scaler : applied to x.
    seed : of the shuffling when iterated; training takes its own.

    Raises
    ------
    DatasetError : no clips, or one whose features are not stored, or are of audio that was changed since.

    Notes
    -----
    How frames, windows and their targets lie in time: see `Grid`.
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
        self.scaler = scaler
        self._store = features.store(dataset)
        self.clips = self._stored(_chosen(dataset, folds))
        timed = dataset.task == "detection" and any(clip.events is not None for clip in self.clips)
        self.target: Target = target or ("window" if timed else "clip")
        entries = [self._store.entry(clip.id) for clip in self.clips]
        self._refuse_other_audio(entries)
        self._grids = [features.grid(entry.frames, entry.duration) for entry in entries]
        self._clip_of = np.repeat(np.arange(len(self._grids)), [len(grid.starts) for grid in self._grids])
        self._start_of = np.concatenate([np.asarray(grid.starts, dtype=np.int64) for grid in self._grids])
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
        return max(grid.length for grid in self._grids), self._store.entry(self.clips[0].id).dims

    @property
    def size(self) -> int:
        """Number of windows."""
        return len(self._start_of)

    @property
    def identity(self) -> str:
        """Hash of what decides the batches: clips, what is known of them, features and the audio they were made of, windows, scaler."""
        facts = [self.features.settings, self.target, self.labels, self.scaler and self.scaler.to_dict(), self.train]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for clip in self.clips:
            entry = self._store.entry(clip.id)
            audio = (entry.frames, entry.dims, entry.duration, entry.channel, entry.origin.size, entry.origin.digest)
            tags = None if clip.tags is None else sorted(clip.tags.items())
            digest.update(repr((clip.id, tags, clip.events, audio)).encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        """Tell how many windows of how many clips there are, of what shape, and what is known of them."""
        kind, frames, dims = type(self).__name__, *self.shape
        sizes = f"{self.size} windows of {frames} x {dims} from {len(self.clips)} clips of {self.dataset.name}"
        return f"{kind}({sizes}, {len(self.labels)} labels per {self.target}, {self.scaler or 'no scaler'})"

    def __len__(self) -> int:
        """Count the batches of one pass."""
        return math.ceil(len(self._start_of) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches of the first epoch."""
        return self.batches(0, self.batch_size, seed=self.seed)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is read again when it is needed."""
        return {name: value for name, value in vars(self).items() if name != "_truth"} | {"_targets": {}}

    def batches(self, epoch: int, batch_size: int, *, seed: int) -> Iterator[Batch]:
        """Give the batches of an epoch; the same seed and epoch give the same batches, whatever went before."""
        order = np.arange(len(self._start_of))
        if self.train:
            order = np.random.default_rng((seed, epoch)).permutation(order)
        for bounds in batch_bounds(len(order), batch_size):
            yield self._batch(order[bounds])

    def get_data(self) -> tuple[Any, Any]:
        """Give all data in memory.

        Returns
        -------
        X, Y : with ``train=True`` two arrays over all windows, shuffled: (windows, frames, dims) and (windows, labels) or (windows,
            frames, labels). With ``train=False`` two lists of such arrays, one per clip, in order.
        """
        if self.train:
            batch = next(self.batches(0, len(self._start_of), seed=self.seed))
            return batch.x, batch.y
        windows = [np.concatenate(list(clip.windows)) for clip in self.clip_windows()]
        return windows, [self._clip_target(index) for index in range(len(self.clips))]

    def set_scaler(self, scaler: Scaler | None) -> None:
        """Apply a fitted scaler to x from now on."""
        self.scaler = scaler

    def scaled_by(self, scaler: Scaler | None) -> Self:
        """Give the same data with another scaler; this generator stays as it is."""
        other = copy.copy(self)
        other.scaler = scaler
        return other

    def clip_windows(self) -> Iterator[ClipWindows]:
        """Give each clip's windows, in order."""
        for clip, grid in zip(self.clips, self._grids, strict=True):
            yield stored_windows(clip.id, grid, partial(self._store.read, clip.id), self.scaler)

    def real_frames(self) -> Iterator[FloatArray]:
        """Give the frames (frames, dims) of each clip's windows, unscaled, without those that were filled up: what a scaler learns from."""
        for clip, grid in zip(self.clips, self._grids, strict=True):
            yield np.concatenate([self._store.read(clip.id, start, start + grid.real(start)) for start in grid.starts])

    def reference(self) -> dict[str, Any]:
        """Give what is known about the clips.

        Returns
        -------
        dict : ``clips`` (ids), ``truth`` (clips, labels; NaN: unknown), ``events`` (clip -> events, or ``None`` where their times are
            unknown; ``None`` unless the task is detection), ``paths``, ``groups``, ``durations`` (seconds).
        """
        return {
            "clips": tuple(clip.id for clip in self.clips),
            "truth": self._truth,
            "events": {clip.id: clip.events for clip in self.clips} if self.task == "detection" else None,
            "paths": tuple(clip.path for clip in self.clips),
            "groups": tuple(clip.group or clip.id for clip in self.clips),
            "durations": tuple(float(grid.edges[-1]) for grid in self._grids),
        }

    @cached_property
    def _truth(self) -> FloatArray:
        """What is known of whole clips: (clips, labels)."""
        return np.stack([clip_to_vector(clip, self.labels) for clip in self.clips])

    def _stored(self, clips: Sequence[Clip]) -> tuple[Clip, ...]:
        if not self.train:
            clips = [clip for clip in clips if "parent" not in clip.extra]
        if skipped := [clip.id for clip in clips if clip.id in self._store.skipped]:
            _log.warning("%d of %d clips were skipped in extraction: %s", len(skipped), len(clips), ", ".join(skipped[:5]))
        kept = tuple(clip for clip in clips if clip.id not in self._store.skipped)
        if not kept:
            raise DatasetError(f"{self.dataset.name}: no clips to make batches of; check folds=")
        return kept

    def _refuse_other_audio(self, entries: Sequence[Entry]) -> None:
        """Refuse features of audio that is another now; audio that is not there is not missed."""
        changed = [
            clip.id
            for clip, entry in zip(self.clips, entries, strict=True)
            if not recognize(clip.path, entry.origin) and clip.path.exists()
        ]
        if changed:
            raise DatasetError(
                f"{self.dataset.name}: the audio of {len(changed)} of {len(entries)} clips was changed after their features were computed "
                f"({', '.join(changed[:3])}); run features.extract(dataset): it computes these anew"
            )

    def _batch(self, chosen: NDArray[np.int64]) -> Batch:
        places = [(int(index), int(start)) for index, start in zip(self._clip_of[chosen], self._start_of[chosen], strict=True)]
        length = max(self._grids[index].length for index, _ in places)  # whole clips: filled up to the longest of the batch
        parts = [self._store.read(self.clips[i].id, start, start + self._grids[i].real(start)) for i, start in places]
        x = np.stack([_filled(part, length, mode="reflect") for part in parts])
        mask = np.arange(length) < np.array([len(part) for part in parts])[:, None]
        y = np.stack([self._window_target(index, start, length) for index, start in places])
        if self.scaler is not None:
            x = self.scaler.transform(x)
        return Batch(x, y, mask, tuple(self.clips[index].id for index, _ in places), self._truth[self._clip_of[chosen]])

    def _clip_target(self, index: int) -> FloatArray:
        """Targets of a clip: (windows, labels), or (windows, frames, labels) for frames."""
        grid = self._grids[index]
        return np.stack([self._window_target(index, start, grid.length) for start in grid.starts])

    def _window_target(self, index: int, start: int, length: int) -> FloatArray:
        grid, drawn = self._grids[index], self._draw(index)
        if self.target != "frame":
            return cast("FloatArray", drawn[start // grid.step])
        return _filled(drawn[start : start + grid.real(start)], length, constant_values=np.nan)

    def _draw(self, index: int) -> FloatArray:
        """Targets on the clip's grid: (windows, labels) or (frames, labels)."""
        if index not in self._targets:
            clip, grid = self.clips[index], self._grids[index]
            if self.target == "frame" and self.task == "classification" and clip.events is None:
                self._targets[index] = np.repeat(self._truth[index][None], grid.frames, axis=0)
            else:
                self._targets[index] = grid.target(clip, self.labels, self.target)
        return self._targets[index]


def _filled(frames: FloatArray, length: int, **how: Any) -> FloatArray:
    missing = length - len(frames)
    return np.pad(frames, ((0, missing), (0, 0)), **how) if missing else frames


def _chosen(dataset: Dataset, folds: Sequence[str] | Sequence[Clip]) -> Sequence[Clip]:
    if isinstance(folds, str):
        raise DatasetError(f"folds must be a list of fold names; got the string {folds!r}: write folds=[{folds!r}]")
    if all(isinstance(fold, Clip) for fold in folds):
        return cast("Sequence[Clip]", folds)
    return dataset.select(cast("Sequence[str]", folds))
