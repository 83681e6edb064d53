"""Clips as streams of windows: read as they are needed, answered in batches across clips, joined to scores."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dcasekit import audio
from dcasekit.annotations import TIME_TOLERANCE, Clip
from dcasekit.core.memory import reuse_memory
from dcasekit.core.parallel import prefetch
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator.scaler import Scaler
from dcasekit.scores import Scores
from dcasekit.scores.grid import Grid

# Bounds of what is answered at once: they bound memory and change nothing else. Activations take some fifty times the input's bytes.
# What processors answer at once should stay near them; a GPU wants more.
_WINDOWS_AT_ONCE, _BYTES_AT_ONCE = 256, 1 << 19
# Batches that are read ahead while a network answers one.
_AHEAD = 2

RECORDINGS = (str, Path, Clip)  # what `file_windows` takes


@dataclass(frozen=True, eq=False)
class ClipWindows:
    """The windows of one clip, which can be read once, in order, and a function that turns a network's outputs for them into scores.

    Parameters
    ----------
    name : the clip's id, or the path of a recording.
    windows : arrays (windows, frames, dims) with consecutive windows, any number of them in each array.
    join : called with the outputs, (windows, labels) or (windows, steps, labels), and the labels when all windows have been read; returns
        the `Scores` of the clip, as `Grid.join` does.
    """

    name: str
    windows: Iterable[FloatArray]
    join: Callable[[FloatArray, Sequence[str]], Scores]


Answered: TypeAlias = tuple[ClipWindows, FloatArray | Exception]


@dataclass(eq=False)
class _Waiting:
    """A clip that is being read, and whether something was wrong with it."""

    clip: ClipWindows
    failed: bool = False


def answer_clips(
    clips: Iterable[ClipWindows], answer: Callable[[FloatArray], FloatArray], *, size: int = _BYTES_AT_ONCE
) -> Iterator[Answered]:
    """Compute a network's outputs for the windows of many clips, as `answer_parts` does, with its parameters.

    Yields
    ------
    each clip, in order, with its outputs for all of its windows, or with the exception that was raised for it.
    """
    answers: list[FloatArray] = []
    for clip, found in answer_parts(clips, answer, size=size):
        if isinstance(found, np.ndarray):
            answers.append(found)
        else:
            yield clip, found or (answers[0] if len(answers) == 1 else np.concatenate(answers))
            answers = []


def answer_parts(
    clips: Iterable[ClipWindows], answer: Callable[[FloatArray], FloatArray], *, size: int = _BYTES_AT_ONCE
) -> Iterator[tuple[ClipWindows, FloatArray | Exception | None]]:
    """Compute a network's outputs for the windows of many clips as they are read, batch by batch across clips.

    An exception that is raised for one clip, while it is read or by the network, takes the place of its outputs; the other clips go on.

    Parameters
    ----------
    clips : read one after another.
    answer : the network: windows (windows, frames, dims) -> outputs (windows, ...). Each output must depend on its own window alone.
    size : bytes of input windows in a batch, at most (but at least one window, and at most 256).

    Yields
    ------
    a clip, in order, with outputs for its next windows; then once more with ``None`` at its end, or with its exception.
    """
    reuse_memory()
    for batch in _read_ahead(_batches(clips, size)):
        parts = [(waiting, part) for waiting, part in batch if isinstance(part, np.ndarray) and not waiting.failed]
        answered = iter(_answer(parts, answer))
        asked = {id(waiting) for waiting, _ in parts}
        for waiting, part in batch:
            found = next(answered) if isinstance(part, np.ndarray) and id(waiting) in asked else part
            if not waiting.failed:
                waiting.failed = isinstance(found, Exception)
                yield waiting.clip, found


_Part: TypeAlias = "tuple[_Waiting, FloatArray | Exception | None]"


def _read_ahead(batches: Iterator[tuple[list[_Part], bool]]) -> Iterator[list[_Part]]:
    """Pass batches on, read by a thread of its own; the first, which is all of a short file, waits for none."""
    first, more = next(batches, ([], False))
    yield first
    if more:
        yield from (batch for batch, _ in prefetch(batches, _AHEAD))


def _batches(clips: Iterable[ClipWindows], size: int) -> Iterator[tuple[list[_Part], bool]]:
    """Gather parts of clips whose windows have one shape, as many as are answered at once; say with each whether more follow."""
    batch: list[_Part] = []
    windows, shape = 0, None
    for waiting, part in _parts(clips, size):
        if isinstance(part, np.ndarray):
            if windows and (part.shape[1:] != shape or windows + len(part) > _at_once(part, size)):
                yield batch, True
                batch, windows = [], 0
            windows, shape = windows + len(part), part.shape[1:]
        batch.append((waiting, part))
    yield batch, False


def _parts(clips: Iterable[ClipWindows], size: int) -> Iterator[_Part]:
    """Read clips part by part; ``None`` ends a clip."""
    for clip in clips:
        waiting = _Waiting(clip)
        try:
            for windows in clip.windows:
                step = _at_once(windows, size)
                yield from ((waiting, windows[first : first + step]) for first in range(0, len(windows), step))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this clip's
            yield waiting, error
        else:
            yield waiting, None


def _at_once(windows: FloatArray, size: int) -> int:
    return min(max(1, size // max(1, windows[0].nbytes)), _WINDOWS_AT_ONCE)


def _answer(parts: Sequence[tuple[_Waiting, FloatArray]], answer: Callable[[FloatArray], FloatArray]) -> list[FloatArray | Exception]:
    """Answer parts of clips together; if that fails, part by part, to see whose fault it is."""
    if not parts:
        return []
    try:
        found = answer(parts[0][1] if len(parts) == 1 else np.concatenate([windows for _, windows in parts]))
    except Exception as error:  # noqa: BLE001 - given back with the clip
        return [error] if len(parts) == 1 else [one for part in parts for one in _answer([part], answer)]
    ends = np.cumsum([len(windows) for _, windows in parts]).tolist()
    return [found[end - len(windows) : end] for end, (_, windows) in zip(ends, parts, strict=True)]


def stored_windows(name: str, grid: Grid, read: Callable[[int, int], FloatArray], scaler: Scaler | None) -> ClipWindows:
    """Yield the windows of a clip whose frames are stored; `read` gives frames [start, stop)."""

    def windows() -> Iterator[FloatArray]:
        for first in range(0, len(grid.starts), _WINDOWS_AT_ONCE):
            starts = grid.starts[first : first + _WINDOWS_AT_ONCE]
            part = np.stack([grid.fill(read(start, start + grid.real(start))) for start in starts])
            yield part if scaler is None else scaler.transform(part)

    return ClipWindows(name, windows(), grid.join)


class Cutting:
    """Cut the frames of a recording, which come block by block, into windows.

    Parameters
    ----------
    features : the feature extractor that computes the frames; it says how long windows are.
    scaler : applied to the windows; ``None``: they stay as they are.

    Attributes
    ----------
    computed : number of frames that have come.
    """

    def __init__(self, features: FeatureExtractor, scaler: Scaler | None) -> None:
        self._scaler, self._window, self._step = scaler, features.sequence_frames, features.sequence_hop
        self._blocks: list[FloatArray] = []  # frames from the next window on
        self._first = self._given = 0
        self.computed = 0  # frames that have come

    def add(self, block: FloatArray, known: int) -> FloatArray | None:
        """Take the next frames; return the windows that are complete now, (windows, frames, dims), or ``None`` if there are none.

        Parameters
        ----------
        block : (frames, dims).
        known : number of frames that the recording is known to have, see `whole_frames`; no window beyond them is returned yet.
        """
        self._blocks.append(block)
        self.computed += len(block)
        if self._window is None or (whole := min(self.computed, known) - self._window) < 0:
            return None
        count = whole // self._step + 1 - self._given
        if count <= 0:
            return None
        frames = np.concatenate(self._blocks)
        starts = [index * self._step - self._first for index in range(self._given, self._given + count)]
        windows = np.stack([frames[start : start + self._window] for start in starts])
        self._given += count
        following = min(self._given * self._step, self.computed)
        self._blocks, self._first = [frames[following - self._first :].copy()], following
        return self._scaled(windows)

    def finish(self, grid: Grid) -> FloatArray | None:
        """Return the remaining windows, (windows, frames, dims), or ``None``; `grid` is that of the whole recording, known at its end."""
        if not (rest := grid.starts[self._given :]):
            return None
        frames = np.concatenate(self._blocks)
        parts = [grid.fill(frames[start - self._first : start - self._first + grid.real(start)]) for start in rest]
        return self._scaled(parts[0][None] if len(parts) == 1 else np.stack(parts))

    def _scaled(self, windows: FloatArray) -> FloatArray:
        return windows if self._scaler is None else self._scaler.transform(windows)


class FileWindows:
    """The windows of an audio file, computed while it is read: a long recording is never whole in memory, unless it is one window.

    Parameters
    ----------
    path : of the audio file.
    features : the feature extractor.
    scaler : applied to the windows; ``None``: they stay as they are.
    channel : number of the channel to use, from 0; ``None``: the mean of all.

    Attributes
    ----------
    grid : the `Grid` of the recording; right only when all windows have been read.
    """

    def __init__(self, path: PathLike, features: FeatureExtractor, scaler: Scaler | None, *, channel: int | None = None) -> None:
        self.path, self.features, self.scaler, self.channel = path, features, scaler, channel
        self.grid = features.grid(0, 0.0)

    def windows(self) -> Iterator[FloatArray]:
        """Yield windows, (windows, frames, dims), as soon as they are complete, and the rest when the file ends."""
        duration = audio.info(self.path).duration
        known = whole_frames(self.features, duration)
        cutting = Cutting(self.features, self.scaler)
        for block in self.features.compute_file(self.path, channel=self.channel):
            if (windows := cutting.add(block, known)) is not None:
                yield windows
        self.grid = self.features.grid(cutting.computed, duration)
        if (windows := cutting.finish(self.grid)) is not None:
            yield windows

    def join(self, answers: FloatArray, labels: Sequence[str]) -> Scores:
        """Join a network's outputs for all windows to scores, as `Grid.join` does."""
        return self.grid.join(answers, labels)


def whole_frames(features: FeatureExtractor, seconds: Seconds) -> int:
    """Count the frames that lie wholly within the first `seconds` of a recording."""
    return math.floor(seconds * features.sr / features.audio_hop + TIME_TOLERANCE)


def file_windows(given: PathLike | Clip, *, features: FeatureExtractor, scaler: Scaler | None) -> ClipWindows:
    """Return the windows of an audio file, or of a clip's channel of its file, computed as for training.

    Parameters
    ----------
    given : path of an audio file, or a clip.
    features, scaler : those that the model was trained with.
    """
    path, channel = (given.path, given.channel) if isinstance(given, Clip) else (given, None)
    found = FileWindows(path, features, scaler, channel=channel)
    return ClipWindows(given.id if isinstance(given, Clip) else str(path), found.windows(), found.join)


def seconds_apart(answers: FloatArray, labels: Sequence[str], *, seconds: Seconds = 1.0) -> Scores:
    """Turn a network's outputs for windows of arrays into scores; a window, whose duration is unknown, counts as `seconds`.

    Parameters
    ----------
    answers : (windows, labels), or (windows, steps, labels), whose steps become frames.
    """
    steps = answers.reshape(-1, answers.shape[-1])
    return Scores(steps, np.arange(len(steps) + 1) * (seconds * len(answers) / len(steps)), labels)
