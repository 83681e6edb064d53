"""Scores while a recording is still being read: from a file of any length in constant memory, or from audio that arrives in chunks."""

import math
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from queue import SimpleQueue
from typing import Any

import numpy as np

from dcasekit.containers._backend import name_clip
from dcasekit.containers.base import ModelContainer
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds
from dcasekit.errors import AudioError, DcasekitError, ModelError
from dcasekit.features.base import FeatureExtractor, compute_stream
from dcasekit.generator import ClipWindows, Cutting, FileWindows, answer_parts, whole_frames
from dcasekit.scores import Scores
from dcasekit.scores.grid import Joining


def move(model: ModelContainer, device: str) -> str:
    """Move a model to a device; return the name of the device.

    Parameters
    ----------
    model : the model that will answer there.
    device : ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; ``"auto"``: CUDA if there is one, else MPS, else the CPU.

    Raises
    ------
    ModelError : the device cannot be used here.
    """
    return model._move(device)


def score_files(
    model: ModelContainer, paths: Sequence[PathLike], *, together: bool = False
) -> Iterator[tuple[int, Scores | DcasekitError | None]]:
    """Score audio files part by part, in memory that does not grow with their length.

    The parts of a file, one after the other, are the scores that ``model.predict`` returns for it.

    Parameters
    ----------
    model : a trained model with its features.
    paths : audio files.
    together : put windows of several files into one batch, which is faster on a GPU. The last digits of the scores then depend on which
        files are in the same batch.

    Yields
    ------
    number of the file in `paths`, counted from 0, and one of: the next part of its scores; ``None``, when they are complete; or the error,
        if the file cannot be scored.

    Raises
    ------
    ModelError : the model was trained on arrays and has no features.
    """
    if model.features is None:
        raise ModelError("the model was trained on arrays and has no front end; train it on a DataGenerator to predict files")
    for first, batch in [(0, paths)] if together else ((index, [path]) for index, path in enumerate(paths)):
        yield from _score(model, model.features, first, batch)


def parts_of(found: Iterable[Scores | DcasekitError | None]) -> Iterator[Scores]:
    """Yield the parts of one file's scores, as `score_files` yields them; an error among them is raised."""
    for each in found:
        if isinstance(each, DcasekitError):
            raise each
        if each is not None:
            yield each


def _score(
    model: ModelContainer, features: FeatureExtractor, first: int, paths: Sequence[PathLike]
) -> Iterator[tuple[int, Scores | DcasekitError | None]]:
    sources = [FileWindows(path, features, model.scaler) for path in paths]
    joins = [Joining(source.grid, model.labels) for source in sources]
    numbers: dict[int, int] = {}

    def clips() -> Iterator[ClipWindows]:
        for number, source in enumerate(sources):
            clip = ClipWindows(str(source.path), source.windows(), source.join)
            numbers[id(clip)] = number
            yield clip

    failed = set()
    for clip, found in answer_parts(clips(), model._answer, size=model._bytes_at_once):
        number = numbers[id(clip)]
        if number in failed:
            continue
        try:
            if isinstance(found, Exception):
                raise name_clip(clip.name, found)
            join = joins[number]
            if (scores := join.finish(sources[number].grid) if found is None else join.add(found)) is not None:
                yield first + number, scores
            if found is None:
                yield first + number, None
        except DcasekitError as error:
            failed.add(number)
            yield first + number, error if clip.name in str(error) else type(error)(f"{clip.name}: {error}")


class Stream:
    """Score audio that arrives in chunks of any size; scores are returned as soon as they are final.

    All of them, one after the other, are the scores of the whole recording.

    Parameters
    ----------
    model : a trained model with its features. Windows must have a length (``sequence_time``), and no frame may depend on the rest of the
        recording.
    sr : sampling rate of the chunks in Hz; ``None``: that of the model's features.
    first : to continue an interrupted recording: number of the first sample you will add, as `restart_at` returns it. Scores are then right
        from the time on that was given to `restart_at`; ignore those before it.

    Raises
    ------
    ModelError : the model has no features, or needs the whole recording before it can answer.

    Examples
    --------
    ::

        stream = Stream(model, sr=48000)
        for chunk in chunks:  # (samples,) or (samples, channels)
            for scores in stream.add(chunk): ...
        for scores in stream.finish(): ...
    """

    def __init__(self, model: ModelContainer, *, sr: Hz | None = None, first: int = 0) -> None:
        model._need_network()
        self.features = need_stream(model)
        self.sr = self.features.sr if sr is None else sr
        self.samples = first  # that have come, at `sr`
        self._first = first
        self._model = model
        self._cutting = Cutting(self.features, model.scaler)
        self._join = Joining(self.features.grid(0, 0.0), model.labels)
        self._frames = _Pushed(self.features, self.sr)

    @property
    def seconds(self) -> Seconds:
        """Seconds of the recording that have been added so far, those before `first` included."""
        return self.samples / self.sr

    def add(self, chunk: FloatArray) -> list[Scores]:
        """Add the next samples; return the scores that have become final.

        Parameters
        ----------
        chunk : (samples,) or (samples, channels), floats with full scale at 1; channels are averaged.

        Raises
        ------
        AudioError : the samples are integers, or some are NaN or infinite.
        """
        chunk = np.asarray(chunk)
        if np.issubdtype(chunk.dtype, np.integer):
            raise AudioError("expected audio as floats with full scale at 1; got integers: divide 16-bit samples by 32768")
        mono = chunk.astype(np.float32, copy=False) if chunk.ndim == 1 else chunk.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise AudioError(f"{np.count_nonzero(~np.isfinite(mono))} samples at {self.seconds:.3f} s are NaN or infinite")
        self.samples += len(mono)
        known = whole_frames(self.features, self._own_seconds)
        found = [self._cutting.add(block, known) for block in self._frames.add(mono)]
        found.append(self._cutting.add(np.zeros((0, self.features.dims), np.float32), known))
        parts = [self._join.add(self._model._answer(windows), whole=True) for windows in found if windows is not None]
        return self._shifted(parts)

    def finish(self) -> list[Scores]:
        """End the recording; return the remaining scores. After this, use a new stream for the next recording."""
        for block in self._frames.finish():
            self._cutting.add(block, 0)
        grid = self.features.grid(self._cutting.computed, self._own_seconds)
        rest = self._cutting.finish(grid)
        parts = [] if rest is None else [self._join.add(self._model._answer(rest))]
        return self._shifted([*parts, self._join.finish(grid)])

    @property
    def _own_seconds(self) -> Seconds:
        return (self.samples - self._first) / self.sr

    def _shifted(self, parts: Sequence[Scores | None]) -> list[Scores]:
        found = [scores for scores in parts if scores is not None]
        return [Scores(one.values, one.edges + self._first / self.sr, one.labels) for one in found] if self._first else found


def restart_at(model: ModelContainer, sr: Hz, seconds: Seconds) -> int:
    """Find the sample from which on a recording must be added to a new `Stream` to get right scores from `seconds` on.

    Parameters
    ----------
    model : a model that can stream.
    sr : sampling rate of the recording in Hz.
    seconds : time in the recording from which on scores are wanted.

    Returns
    -------
    int : number of the sample, for ``Stream(first=...)``: 0, or the first sample of a window.

    Raises
    ------
    ModelError : the model cannot stream.
    """
    features = need_stream(model)
    step = features.sequence_hop * features.audio_hop  # samples, at the features' rate
    reach = (features.sequence_frames or 0) * features.audio_hop + 4 * max(features.audio_win, features.audio_hop, features._longest)
    # Windows must begin at a whole sample of both rates.
    ratio = Fraction(sr, features.sr)
    every = ratio.denominator // math.gcd(ratio.denominator, step)
    windows = math.floor((seconds - 1) * features.sr - reach) // step
    windows -= windows % every
    return int(windows * step * ratio) if windows > 0 else 0


def need_stream(model: ModelContainer) -> FeatureExtractor:
    """Return the features of a model, after checking that it can answer before a recording has ended.

    Raises
    ------
    ModelError : it cannot; the message says why.
    """
    features = model.features
    if features is None:
        raise ModelError("the model was trained on arrays and has no front end; a stream of audio needs one")
    name = type(features).__name__
    if features.sequence_time is None:
        raise ModelError(
            f"this {type(model).__name__} takes a recording as a whole (sequence_time=None of its {name}), so it cannot "
            "stream; "
            "train one with a sequence_time"
        )
    if features.needs_clip:
        raise ModelError(f"a frame of this {name} depends on the whole recording: {type(model).__name__} cannot stream with it")
    return features


class _Pushed:
    """The frames of audio that is pushed: a feature asks for its next block, and a thread waits there until it has come."""

    def __init__(self, features: FeatureExtractor, sr: Hz) -> None:
        self._chunks: SimpleQueue[FloatArray | None] = SimpleQueue()
        self._frames: SimpleQueue[Any] = SimpleQueue()  # blocks; None: another chunk is wanted; an error, or () for the end
        blocks = compute_stream(features, _arriving(self._chunks, self._frames), sr)
        self._thread = threading.Thread(target=_compute, args=(blocks, self._frames), daemon=True, name="dcasekit-stream")
        self._started = self._over = False
        weakref.finalize(self, self._chunks.put, None)  # a stream that nobody ends lets its thread go, which knows the queues alone

    def add(self, chunk: FloatArray) -> list[FloatArray]:
        """Return the frames that are there with this chunk."""
        # Features hold a block back until they know that it is not the last one: the empty one tells.
        return [*self._push(chunk), *self._push(chunk[:0])]

    def finish(self) -> list[FloatArray]:
        return self._push(None)

    def _push(self, chunk: FloatArray | None) -> list[FloatArray]:
        if self._over:
            raise ModelError("this stream has ended; make a new one for the next recording")
        if not self._started:
            self._started = True
            self._thread.start()
            self._collect()  # until it asks for the first chunk
        self._chunks.put(chunk)
        return self._collect()

    def _collect(self) -> list[FloatArray]:
        found = []
        while isinstance(block := self._frames.get(), np.ndarray):
            found.append(block)
        if block is not None:
            self._over = True
            if isinstance(block, Exception):
                raise block
        return found


def _arriving(chunks: "SimpleQueue[FloatArray | None]", frames: "SimpleQueue[Any]") -> Iterator[FloatArray]:
    while True:
        frames.put(None)
        chunk = chunks.get()
        if chunk is None:
            return
        yield chunk


def _compute(blocks: Iterator[FloatArray], frames: "SimpleQueue[Any]") -> None:
    try:
        for block in blocks:
            frames.put(block)
        frames.put(())
    except Exception as error:  # noqa: BLE001 - raised where the chunk was pushed
        frames.put(error)
