"""The data generator: batches of windows and labels, from clips and stored features."""

import copy
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Clip, clip_to_vector
from dcasekit.core.origin import recognize
from dcasekit.core.parallel import prefetch
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import DatasetError
from dcasekit.features import RawAudio
from dcasekit.features._store import Entry, FeatureStore
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator._checks import Windows, check_windows, choose_clips
from dcasekit.generator._columns import Columns, spread
from dcasekit.generator.batch import Batch, batch_bounds
from dcasekit.generator.scaler import Scaler
from dcasekit.generator.shards import Loaded, Stage, stages
from dcasekit.generator.stream import ClipWindows, stored_windows
from dcasekit.generator.waveforms import Waveforms
from dcasekit.scores.grid import Target

_log = logging.getLogger(__name__)

Frames: TypeAlias = FeatureStore | Loaded


class DataGenerator:
    """Batches of windows from some folds of a dataset, read from the feature store as they are needed.

    Parameters
    ----------
    dataset, features : whose clips are used, and the feature extractor; ``features.extract(dataset)`` must have been called before.
    folds : names of folds, or the parts ``"train"``, ``"val"``, ``"test"`` of the dataset's default split; or clips.
    train : ``True``: windows are shuffled, and augmented copies are included. ``False``: clips are in order, without copies.
    target : what y holds. ``"clip"``: the clip's tags for each of its windows (default for classification and tagging, and if the times of
        events are known for none of the clips). ``"window"``: what sounds in the window's span, see `Grid.spans` (default for detection).
        ``"frame"``: what sounds in each frame; a scene sounds in all of them. Unknown is NaN: the events of a weakly labelled clip, a tag
        that nobody annotated, and with ``"frame"`` frames that were filled up. Or another feature extractor with the same hop and sampling
        rate, extracted as well: y holds its features, and a network learns to compute them (as `SMel` learns mel bands).
    batch_size : windows per batch in ``for batch in generator``; training takes its own.
    scaler : applied to x; ``None``: x is as stored.
    seed : of the shuffling in ``for batch in generator`` and `get_data`; training takes its own.
    task : how the labels are to be learned; ``None``: the dataset's task, or detection where y holds features. With ``"tagging"``, for
        instance, a network learns the tags of a detection dataset's clips.
    windows : which windows an epoch has. ``"all"``: every window of each clip. ``"random"``: one window per clip, drawn anew in each epoch
        from those that lie wholly inside the clip and begin at multiples of ``sequence_hop_time``. ``"joined"``: the clips, in order, are
        joined to one long recording and cut into windows without overlap, which may hold the end of one clip and the beginning of the next;
        the rest that fills no window is left out (as in the DCASE 2023 task 4B baseline; ``target="frame"`` only). Prediction and
        evaluation get all windows of each clip; with ``"joined"``, whole clips.
    buffer : number of windows shuffled in memory, for storage that reads slowly at random places, such as network storage: an epoch reads
        shards of an eighth of the buffer in random order, and draws windows from the buffer. ``None``: windows are drawn from all, and each
        is read by itself.
    waveforms : `RawAudio` with the hop, rate and resampler of `features`, extracted in their stead. Batches then hold samples; a PyTorch
        model computes features, scaler and augmentation on its device in every step, with the same results. For prediction and evaluation
        features are computed here.

    Raises
    ------
    DatasetError : there are no clips, features of a clip are not stored or its audio was changed since, or the settings exclude each other.

    Notes
    -----
    `Grid` describes how frames, windows and their targets lie in time.
    """

    def __init__(  # noqa: PLR0913 - eight settings besides the data
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
        task: Task | None = None,
        windows: Windows = "all",
        buffer: int | None = None,
        waveforms: RawAudio | None = None,
    ) -> None:
        self.dataset, self.features, self.train, self.batch_size, self.seed = dataset, features, train, batch_size, seed
        self.scaler, self.windows, self.buffer, self.waveforms = scaler, windows, buffer, waveforms
        self._rows = (waveforms or features).store(dataset)
        self._store = self._rows if waveforms is None else Waveforms(features, waveforms, self._rows)
        self.clips = self._stored(choose_clips(dataset, folds))
        self._wanted = target.store(dataset) if isinstance(target, FeatureExtractor) else None
        self.task: Task = task or ("detection" if self._wanted else dataset.task)
        timed = self.task == "detection" and any(clip.events is not None for clip in self.clips)
        self.target: Target | FeatureExtractor = target or ("window" if timed else "clip")
        check_windows(self)
        entries = [self._store.entry(clip.id) for clip in self.clips]
        self._refuse_other_audio(entries)
        self._grids = [features.grid(entry.frames, entry.duration) for entry in entries]
        if windows == "joined":
            self._grids = [replace(grid, window=None) for grid in self._grids]
        self._targets: dict[int, FloatArray] = {}
        self._columns: Columns | None = None  # where labels stand among others

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of y; numbers where y holds features."""
        if self._columns is not None:
            return self._columns.labels
        return self.dataset.labels if self._wanted is None else tuple(map(str, range(self._wanted.entry(self.clips[0].id).dims)))

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, dims) of one window; of the longest clip if a window is a whole clip."""
        frames = self.features.sequence_frames or max(grid.length for grid in self._grids)
        return frames, self._store.entry(self.clips[0].id).dims

    @property
    def size(self) -> int:
        """Number of windows of an epoch."""
        return len(self.clips) if self.windows == "random" else len(self._places)

    @property
    def identity(self) -> str:
        """Hash of all that the batches depend on: clips, their labels, features and the audio they were made of, windows, scaler."""
        target = self.target.settings if isinstance(self.target, FeatureExtractor) else self.target
        facts: list[Any] = [
            self.features.settings,
            target,
            self.labels,
            self.scaler and self.scaler.to_dict(),
            self.train,
            self.task,
            self.windows,
        ]
        facts += [self._columns.places] if self._columns else []
        more = [each for each in (self.buffer, self.waveforms and "waveforms") if each]
        digest = hashlib.sha256(json.dumps([*facts, *more]).encode())
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
        return len(batch_bounds(self.size, self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        """Return the batches of the first epoch, the same each time; `batches` gives those of other epochs."""
        return self.batches(0, self.batch_size, seed=self.seed)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is read again when it is needed."""
        return {name: value for name, value in vars(self).items() if name not in ("_truth", "_places")} | {"_targets": {}}

    def batches(self, epoch: int, batch_size: int, *, seed: int, drop_last: bool = False, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch; they depend on the seed and the epoch alone, not on what was drawn before.

        Parameters
        ----------
        epoch : number of the epoch, from 0.
        batch_size : windows per batch, see `batch_bounds`.
        seed : of all that is random.
        drop_last : leave out the windows that do not fill the last batch.
        first : number of batches to skip at the beginning.
        """
        rng = np.random.default_rng((seed, epoch))
        bounds = batch_bounds(self.size, batch_size, drop_last=drop_last)[first:]
        if self.buffer is not None:
            yield from self._buffered(rng, bounds)
            return
        order = rng.permutation(self.size) if self.train else np.arange(self.size)
        places = self._places if self.windows != "random" else self._draw_places(rng)
        for each in bounds:
            yield self._batch(places[order[each]], self._rows, self._wanted)

    def _buffered(self, rng: np.random.Generator, bounds: Sequence[slice]) -> Iterator[Batch]:
        """Give the batches that lie within bounds of an epoch, of windows that are read shard by shard."""
        places = self._places if self.windows != "random" else self._draw_places(rng)
        entries = [self._store.entry(clip.id) for clip in self.clips]
        files, firsts = np.array([entry.file for entry in entries]), np.array([entry.first for entry in entries])
        on_disk = np.lexsort((firsts[places[:, 0]] + places[:, 1], np.unique(files, return_inverse=True)[1][places[:, 0]]))
        epoch = list(stages(on_disk, cast("int", self.buffer), rng))
        order = np.concatenate([stage.given for stage in epoch])
        wanted = np.zeros(len(order), np.bool_)
        for each in bounds:
            wanted[order[each]] = True
        stores = [Loaded(store) for store in (self._rows, self._wanted) if store is not None]

        def load(stage: Stage) -> int:
            found = places[stage.read[wanted[stage.read]]].tolist()
            for loaded, stretches in zip(stores, (self._stretches_of_x, self._stretches), strict=False):
                loaded.load((self.clips[clip].id, first, stop) for place in found for clip, first, stop in stretches(*place))
            return len(stage.given)

        loads, ready = iter(prefetch(map(load, epoch), 1)), 0
        for each in bounds:
            while ready < each.stop:
                ready += next(loads)
            yield self._batch(places[order[each]], *stores)

    def get_data(self) -> tuple[Any, Any]:
        """Return all windows and targets in memory, X scaled if there is a scaler; not for training with `waveforms`.

        Returns
        -------
        X, Y : with ``train=True`` two arrays over all windows, shuffled: (windows, frames, dims) and (windows, labels) or (windows,
            frames, labels). With ``train=False`` two lists of such arrays, one per clip, in order.
        """
        if self.train:
            if self.waveforms is not None:
                raise DatasetError("batches of waveforms hold samples, no features; to have these, extract them and leave waveforms out")
            batch = next(self.batches(0, self.size, seed=self.seed))
            return batch.x, batch.y
        windows = [np.concatenate(list(clip.windows)) for clip in self.clip_windows()]
        return windows, [self._clip_target(index) for index in range(len(self.clips))]

    def set_scaler(self, scaler: Scaler | None) -> None:
        """Apply a fitted scaler to x from now on; ``None``: none."""
        self.scaler = scaler

    def with_scaler(self, scaler: Scaler | None) -> Self:
        """Return the same data with another scaler; this generator stays as it is."""
        other = copy.copy(self)
        other.scaler = scaler
        return other

    def among(self, labels: Sequence[str], *, also: Mapping[str, str] | None = None) -> Self:
        """Return the same data with the labels of a model that learns from several datasets; labels that this one lacks are NaN, unknown.

        Parameters
        ----------
        labels : the columns of y; they include all labels of the dataset.
        also : label of the dataset -> another one of `labels` that holds wherever the first does, such as speech where people talk.

        Raises
        ------
        DatasetError : a label of the dataset, or one named in `also`, is not among `labels`.
        """
        other = copy.copy(self)
        other._columns, other._targets = Columns.of(self.dataset, labels, also or {}), {}
        vars(other).pop("_truth", None)
        return other

    def clip_windows(self) -> Iterator[ClipWindows]:
        """Yield each clip's windows, in order."""
        for clip, grid in zip(self.clips, self._grids, strict=True):
            yield stored_windows(clip.id, grid, partial(self._store.read, clip.id), self.scaler)

    def real_frames(self) -> Iterator[FloatArray]:
        """Yield the frames of each clip's windows, (frames, dims), unscaled and without those that were filled up, for `Scaler.fit`."""
        for clip, grid in zip(self.clips, self._grids, strict=True):
            yield np.concatenate([self._store.read(clip.id, start, start + grid.real(start)) for start in grid.starts])

    def reference(self) -> dict[str, Any]:
        """Return what is known about the clips.

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
        if self._wanted is not None:
            return np.full((len(self.clips), len(self.labels)), np.nan, np.float32)
        return spread(np.stack([clip_to_vector(clip, self.dataset.labels) for clip in self.clips]), self._columns)

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
                f"({', '.join(changed[:3])}); run features.extract(dataset): it computes these again"
            )

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """Where each window begins, (windows, 2): the clip's number and the frame in it."""
        if self.windows == "joined":
            ends = np.cumsum([grid.frames for grid in self._grids])
            firsts = np.arange(ends[-1] // self.shape[0]) * self.shape[0]
            clips = np.searchsorted(ends, firsts, side="right")
            return np.stack([clips, firsts - (ends - [grid.frames for grid in self._grids])[clips]], axis=1)
        starts = [np.asarray(grid.starts, dtype=np.int64) for grid in self._grids]
        return np.stack([np.repeat(np.arange(len(starts)), [len(each) for each in starts]), np.concatenate(starts)], axis=1)

    def _draw_places(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw a window of each clip, wholly inside it if the clip is as long as a window."""
        choices = [max(1, (grid.frames - grid.length) // grid.step + 1) for grid in self._grids]
        steps = np.array([grid.step for grid in self._grids])
        return np.stack([np.arange(len(choices)), rng.integers(0, choices) * steps], axis=1)

    def _batch(self, places: NDArray[np.int64], store: Frames, wanted: Frames | None = None) -> Batch:
        windows = [self._stretches(index, start) for index, start in places.tolist()]
        length = self.features.sequence_frames or max(self._grids[index].length for index in places[:, 0])
        mask = np.arange(length) < np.array([sum(stop - start for _, start, stop in window) for window in windows])[:, None]
        y = np.stack([self._window_target(window, length, wanted) for window in windows])
        if isinstance(self._store, Waveforms):
            x = np.stack([self._store.window(self.clips[index].id, start, store) for index, start in places.tolist()])
        else:
            parts = [np.concatenate([store.read(self.clips[i].id, a, b) for i, a, b in window]) for window in windows]
            x = np.stack([_filled(part, length, mode="reflect") for part in parts])
            x = x if self.scaler is None else self.scaler.transform(x)
        clips = tuple(self.clips[index].id for index in places[:, 0])
        tags = np.stack([np.fmax.reduce([self._truth[index] for index, *_ in window]) for window in windows])
        return Batch(x, y, mask, clips, tags)

    def _stretches(self, index: int, start: int) -> list[tuple[int, int, int]]:
        """Return the stretches of clips that a window consists of: the clip's number, first frame, frame behind the last."""
        if self.windows != "joined":
            return [(index, start, start + self._grids[index].real(start))]
        found, missing = [], self.shape[0]
        while missing:
            stop = min(start + missing, self._grids[index].frames)
            found.append((index, start, stop))
            missing -= stop - start
            index, start = index + 1, 0
        return found

    def _stretches_of_x(self, index: int, start: int) -> list[tuple[int, int, int]]:
        """Return what is read of the store for a window."""
        if isinstance(self._store, Waveforms):
            return [(index, *self._store.reach(self.clips[index].id, start))]
        return self._stretches(index, start)

    def _clip_target(self, index: int) -> FloatArray:
        """Targets of a clip: (windows, labels), or (windows, frames, labels) for frames."""
        grid = self._grids[index]
        windows = ([(index, start, start + grid.real(start))] for start in grid.starts)
        return np.stack([self._window_target(window, grid.length, self._wanted) for window in windows])

    def _window_target(self, stretches: list[tuple[int, int, int]], length: int, wanted: Frames | None) -> FloatArray:
        if wanted is not None:
            frames = [wanted.read(self.clips[index].id, start, stop) for index, start, stop in stretches]
        elif self.target == "frame":
            frames = [self._draw(index)[start:stop] for index, start, stop in stretches]
        else:
            index, start, _ = stretches[0]
            return cast("FloatArray", self._draw(index)[start // self._grids[index].step])
        return _filled(np.concatenate(frames), length, constant_values=np.nan)

    def _draw(self, index: int) -> FloatArray:
        """Targets on the clip's grid: (windows, labels) or (frames, labels)."""
        if index not in self._targets:
            clip, grid = self.clips[index], self._grids[index]
            if self.target == "frame" and self.task == "classification" and clip.events is None:
                self._targets[index] = np.repeat(self._truth[index][None], grid.frames, axis=0)
            else:
                self._targets[index] = spread(grid.target(clip, self.dataset.labels, cast("Target", self.target)), self._columns)
        return self._targets[index]


def _filled(frames: FloatArray, length: int, **how: Any) -> FloatArray:
    missing = length - len(frames)
    return np.pad(frames, ((0, missing), (0, 0)), **how) if missing else frames
