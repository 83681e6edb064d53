"""Clips as streams of windows: read as they are needed, answered in batches across clips, joined to scores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from dcasekit import audio
from dcasekit.core.memory import reuse_memory
from dcasekit.core.parallel import prefetch
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.features.base import FeatureExtractor
from dcasekit.scaler import Scaler
from dcasekit.scores import Scores
from dcasekit.scores.grid import Grid

# Bounds of what is answered at once: they bound memory and change nothing else. Activations take some fifty times the input's bytes.
_WINDOWS_AT_ONCE, _BYTES_AT_ONCE = 256, 4 << 20
# Batches that are read ahead while a network answers one.
_AHEAD = 2


@dataclass(frozen=True, eq=False)
class ClipWindows:
    """The windows of one clip, read once, in order, and the way from what is answered for them to the clip's scores.

    Parameters
    ----------
    name : of the clip.
    windows : arrays (some windows, frames, dims).
    join : (answers (windows, labels) or (windows, frames, labels), labels) -> scores; asked for when all windows have been read.
    """

    name: str
    windows: Iterable[FloatArray]
    join: Callable[[FloatArray, Sequence[str]], Scores]


Answered: TypeAlias = tuple[ClipWindows, FloatArray | Exception]


@dataclass(eq=False)
class _Waiting:
    """A clip some of whose windows are not answered yet."""

    clip: ClipWindows
    answers: list[FloatArray] = field(default_factory=list)
    read: bool = False  # to its end, or to an error
    error: Exception | None = None

    def result(self) -> Answered:
        return self.clip, self.error or (self.answers[0] if len(self.answers) == 1 else np.concatenate(self.answers))


def answer_clips(clips: Iterable[ClipWindows], answer: Callable[[FloatArray], FloatArray]) -> Iterator[Answered]:
    """Answer the windows of many clips, those of one shape together in batches; give the clips back in order.

    What goes wrong with one clip, in reading or in answering, is given back in place of its answers and stops no other clip.

    Parameters
    ----------
    answer : windows (windows, frames, dims) -> (windows, ...), each window by itself.
    """
    reuse_memory()
    order: deque[_Waiting] = deque()
    for batch in _read_ahead(_batches(clips)):
        parts = [(waiting, part) for waiting, part in batch if isinstance(part, np.ndarray)]
        for waiting, part in batch:
            if not order or order[-1] is not waiting:
                order.append(waiting)
            if isinstance(part, Exception):
                waiting.error = part
            waiting.read = not isinstance(part, np.ndarray)
        _answer(parts, answer)
        while order and order[0].read:
            yield order.popleft().result()


_Part: TypeAlias = "tuple[_Waiting, FloatArray | Exception | None]"


def _read_ahead(batches: Iterator[tuple[list[_Part], bool]]) -> Iterator[list[_Part]]:
    """Pass batches on, read by a thread of its own; the first, which is all of a short file, waits for none."""
    first, more = next(batches, ([], False))
    yield first
    if more:
        yield from (batch for batch, _ in prefetch(batches, _AHEAD))


def _batches(clips: Iterable[ClipWindows]) -> Iterator[tuple[list[_Part], bool]]:
    """Gather parts of clips whose windows have one shape, as many as are answered at once; say with each whether more follow."""
    batch: list[_Part] = []
    windows, shape = 0, None
    for waiting, part in _parts(clips):
        if isinstance(part, np.ndarray):
            if windows and (part.shape[1:] != shape or windows + len(part) > _at_once(part)):
                yield batch, True
                batch, windows = [], 0
            windows, shape = windows + len(part), part.shape[1:]
        batch.append((waiting, part))
    yield batch, False


def _parts(clips: Iterable[ClipWindows]) -> Iterator[_Part]:
    """Read clips part by part; ``None`` ends a clip."""
    for clip in clips:
        waiting = _Waiting(clip)
        try:
            for windows in clip.windows:
                yield from ((waiting, windows[first : first + _at_once(windows)]) for first in range(0, len(windows), _at_once(windows)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this clip's
            yield waiting, error
        else:
            yield waiting, None


def _at_once(windows: FloatArray) -> int:
    return min(max(1, _BYTES_AT_ONCE // max(1, windows[0].nbytes)), _WINDOWS_AT_ONCE)


def _answer(parts: Sequence[tuple[_Waiting, FloatArray]], answer: Callable[[FloatArray], FloatArray]) -> None:
    """Answer parts of clips together; if that fails, part by part, to see whose fault it is."""
    if not parts:
        return
    try:
        found = answer(parts[0][1] if len(parts) == 1 else np.concatenate([windows for _, windows in parts]))
    except Exception as error:  # noqa: BLE001 - given back with the clip
        if len(parts) == 1:
            parts[0][0].error = error
        for part in parts if len(parts) > 1 else ():
            _answer([part], answer)
    else:
        first = 0
        for waiting, windows in parts:
            waiting.answers.append(found[first : first + len(windows)])
            first += len(windows)


def stored_windows(name: str, grid: Grid, read: Callable[[int, int], FloatArray], scaler: Scaler | None) -> ClipWindows:
    """Give the windows of a clip whose frames are stored; `read` gives frames [start, stop)."""

    def windows() -> Iterator[FloatArray]:
        for first in range(0, len(grid.starts), _WINDOWS_AT_ONCE):
            starts = grid.starts[first : first + _WINDOWS_AT_ONCE]
            part = np.stack([grid.fill(read(start, start + grid.real(start))) for start in starts])
            yield part if scaler is None else scaler.transform(part)

    return ClipWindows(name, windows(), grid.join)


class FileWindows:
    """The windows of an audio file, computed as it is read, so that a long recording is never whole in memory.

    Unless the whole file is one window, of course. The grid is known when all windows have been read.
    """

    def __init__(self, path: PathLike, features: FeatureExtractor, scaler: Scaler | None) -> None:
        self.path, self.features, self.scaler = path, features, scaler
        self.grid = features.grid(0, 0.0)

    def windows(self) -> Iterator[FloatArray]:
        """Give the windows that are whole as soon as they are, and the rest when the file ends."""
        duration = audio.info(self.path).duration
        expected = self.features.grid(1 << 60, duration)
        buffer: list[FloatArray] = []  # frames from `first` on
        first = computed = given = 0
        for block in self.features.compute_file(self.path):
            buffer.append(block)
            computed += len(block)
            whole = min(computed, expected.frames) - expected.length
            ready = expected.starts[given : max(given, whole // expected.step + 1)] if expected.window and whole >= 0 else ()
            if ready:
                frames = np.concatenate(buffer)
                yield self._scaled(np.stack([frames[start - first : start - first + expected.length] for start in ready]))
                given += len(ready)
                following = min(given * expected.step, computed)
                buffer, first = [frames[following - first :].copy()], following
        self.grid = self.features.grid(computed, duration)
        frames = np.concatenate(buffer)
        if rest := self.grid.starts[given:]:
            parts = [self.grid.fill(frames[start - first : start - first + self.grid.real(start)]) for start in rest]
            yield self._scaled(parts[0][None] if len(parts) == 1 else np.stack(parts))

    def join(self, answers: FloatArray, labels: Sequence[str]) -> Scores:
        """Join answers to scores."""
        return self.grid.join(answers, labels)

    def _scaled(self, windows: FloatArray) -> FloatArray:
        return windows if self.scaler is None else self.scaler.transform(windows)


def file_windows(path: PathLike, *, features: FeatureExtractor, scaler: Scaler | None) -> ClipWindows:
    """Give the windows of an audio file, computed as a model's training data were."""
    found = FileWindows(path, features, scaler)
    return ClipWindows(str(path), found.windows(), found.join)


def seconds_apart(answers: FloatArray, labels: Sequence[str], *, seconds: Seconds = 1.0) -> Scores:
    """Make scores of answers for windows of arrays, of which nobody knows how long they last: each counts as a second."""
    steps = answers.reshape(-1, answers.shape[-1])
    return Scores(steps, np.arange(len(steps) + 1) * (seconds * len(answers) / len(steps)), labels)
