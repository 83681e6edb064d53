"""The one grid of time of a clip: its frames, the windows cut of them, the targets drawn on them, and the way back to scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import TIME_TOLERANCE, Clip, clip_to_vector, events_to_roll
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import FeatureError
from dcasekit.scores import Scores

Target: TypeAlias = Literal["clip", "window", "frame"]

_GAPS = "windows leave gaps, in which a model that predicts frames has no scores; choose sequence_hop_time <= sequence_time"


@dataclass(frozen=True)
class Grid:
    """Where the frames and windows of one clip lie in time.

    Frame t covers samples ``[t * hop, (t + 1) * hop)``. Computed frames that begin at or after the clip's end (a centred transform gives
    one) are left out, and the last frame ends where the clip ends.

    Parameters
    ----------
    computed : number of frames that the feature extractor computed.
    duration : of the clip, in seconds.
    hop : samples from one frame to the next.
    sr : sampling rate in Hz.
    window : length of a window in frames; ``None``: the whole clip is one window.
    step : frames from the beginning of one window to that of the next.
    least_real : share, in [0, 1]. A last window that reaches beyond the clip is kept if more than this share of its frames is real; the
        others are filled up. If it is dropped, the frames behind the window before it are dropped too, and that window's last frame is
        made longer, up to the clip's end. The first window is always kept.

    Examples
    --------
    >>> grid = Grid(computed=501, duration=10.0, hop=882, sr=44100, window=500, step=500)
    >>> grid.frames, list(grid.starts), grid.edges[-2:].tolist()
    (500, [0], [9.98, 10.0])
    """

    computed: int
    duration: Seconds
    hop: int
    sr: Hz
    window: int | None = None
    step: int = 1
    least_real: float = 0.1

    @cached_property
    def starts(self) -> range:
        """The first frame of each window."""
        if self.window is None:
            return range(1)
        whole = max(1, min(self.computed, math.floor(self._hops + TIME_TOLERANCE)))
        count = 1 + (max(0, whole - self.window) + self.step - self.least_rest) // self.step
        return range(0, count * self.step, self.step)

    @property
    def least_rest(self) -> int:
        """Least number of frames behind the last whole window for which one more window is cut and filled up; at most `step`."""
        window = self.window or self.computed
        least = math.floor(self.least_real * window + TIME_TOLERANCE) + 1  # real frames of that window
        return min(self.step, max(1, least + self.step - window))

    @cached_property
    def frames(self) -> int:
        """Number of frames that lie in windows: those that are read, and that get scores."""
        begun = max(1, min(self.computed, math.ceil(self._hops - TIME_TOLERANCE)))
        return begun if self.window is None else min(begun, self.starts[-1] + self.window)

    @property
    def length(self) -> int:
        """Number of frames of a window."""
        return self.window or self.frames

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the frames in seconds: array (frames + 1,), float64."""
        return self._seconds(np.arange(self.frames + 1, dtype=np.float64))

    @cached_property
    def spans(self) -> NDArray[np.float64]:
        """Borders, in seconds, of the span that each window's scores are for: array (windows + 1,), float64.

        Where windows overlap, a window's span is the time that is nearest to its centre: the borders lie half-way between the centres of
        neighbouring windows. So the spans cover the whole clip, without overlap.
        """
        centres = np.asarray(self.starts) + self.length / 2
        return self._seconds(np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(self.frames)]]))

    def real(self, start: int) -> int:
        """Count the real frames of the window that begins at frame `start`: those that the clip has; the others are filled up."""
        return min(self.length, self.frames - start)

    def cut(self, frames: FloatArray) -> FloatArray:
        """Cut the frames of the clip (frames, dims) into windows (windows, length, dims)."""
        return np.stack([self.fill(frames[start : start + self.real(start)]) for start in self.starts])

    def fill(self, frames: FloatArray) -> FloatArray:
        """Pad the real frames of a window (frames, dims) to its full length, by reflection at its end."""
        missing = self.length - len(frames)
        return frames if missing <= 0 else np.pad(frames, ((0, missing), (0, 0)), mode="reflect")

    def target(self, clip: Clip, labels: Sequence[str], kind: Target) -> FloatArray:
        """Return the targets of a clip as numbers in [0, 1]; NaN where it is not known what sounds.

        Parameters
        ----------
        clip : whose tags or events are taken.
        labels : the columns.
        kind : what the targets are of, see below.

        Returns
        -------
        array (windows, labels), float32 : for ``"clip"`` the tags of the clip, the same for each of its windows; for ``"window"`` what
            sounds in the span of each window, see `spans`.
        array (frames, labels), float32 : for ``"frame"`` what sounds in each frame.
        """
        if kind == "clip":
            return np.repeat(clip_to_vector(clip, labels)[None], len(self.starts), axis=0)
        return events_to_roll(clip.events, labels, self.spans if kind == "window" else self.edges)

    def join(self, answers: FloatArray, labels: Sequence[str]) -> Scores:
        """Join a network's outputs for the windows to the scores of the clip.

        Parameters
        ----------
        answers : (windows, labels), window-level: each window gives the scores of its span, see `spans`. Or (windows, steps, labels),
            frame-level: each step is for one frame, or for several where the network reduces the time resolution; where windows overlap,
            the scores of a frame are averaged.
        labels : the columns.

        Returns
        -------
        `Scores` with one row per window, or one row per frame.

        Raises
        ------
        FeatureError : the outputs are frame-level, and the windows leave gaps between them, or are so short that there is no step.
        """
        if answers.ndim == 2:
            return Scores(answers, self.spans, labels)
        if not answers.shape[1]:
            raise FeatureError(
                f"the network's output for windows of {self.length} frames has no frame; the windows are too short for it: "
                "pad "
                "the "
                "audio, or choose a longer sequence_time"
            )
        source = np.arange(self.length) * answers.shape[1] // self.length
        total, count = np.zeros((self.frames, len(labels))), np.zeros((self.frames, 1))
        for start, answer in zip(self.starts, answers, strict=True):
            real = self.real(start)
            total[start : start + real] += answer[source[:real]]
            count[start : start + real] += 1
        if not count.all():
            raise FeatureError(_GAPS)
        return Scores(total / count, self.edges, labels)

    @property
    def _hops(self) -> float:
        return self.duration * self.sr / self.hop

    def _seconds(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        edges: NDArray[np.float64] = frames * self.hop / self.sr
        if self.duration > edges[-2] + TIME_TOLERANCE:
            edges[-1] = self.duration
        return edges


class Joining:
    """Join a network's outputs for windows to scores, part by part, while more windows come.

    All parts together hold the same numbers as `Grid.join` gives for the whole recording.

    Parameters
    ----------
    grid : the grid of any recording; only its hop, rate, window and step are used.
    labels : the columns.
    """

    def __init__(self, grid: Grid, labels: Sequence[str]) -> None:
        self._grid, self._labels = grid, tuple(labels)
        self._windows = self._given = 0  # windows that have come; rows (windows or frames) that have been given
        # Of what is not given yet: answers, or sums over frames and how many.
        self._rows: Any = np.zeros((0, 0))
        self._counts: Any = self._rows
        self._framed: bool | None = None

    def add(self, answers: FloatArray, *, whole: bool = False) -> Scores | None:
        """Take the outputs for the next windows; return the scores that have become final, or ``None`` if none have.

        Parameters
        ----------
        answers : as for `Grid.join`.
        whole : whether these windows are known to hold only real frames, none that were filled up. Then the scores of all frames before
            the next window are final.
        """
        self._take(answers)
        if self._framed is None or self._grid.window is None:
            return None
        if not self._framed:  # where a window's time ends is known when there is a next one
            return self._give(self._windows - 1, self._grid)
        start, step = (self._windows - 1) * self._grid.step, self._grid.step
        # The very last frame ends with the recording, so it waits for the next one.
        return self._give(start + min(step, self._grid.length - 1) if whole else start, self._grid)

    def finish(self, grid: Grid) -> Scores | None:
        """Return the remaining scores, or ``None`` if there are none; `grid` is that of the recording, known when it has been read."""
        self._grid = grid
        return self._give(grid.frames if self._framed else self._windows, grid, last=True)

    def _take(self, answers: FloatArray) -> None:
        if not len(answers):
            return
        if self._framed is None:
            self._framed = answers.ndim == 3
            self._rows = np.zeros((0, len(self._labels)), np.float64 if self._framed else np.float32)
            self._counts = np.zeros((0, 1))
        if not self._framed:
            self._rows = np.concatenate([self._rows, answers])
        elif not answers.shape[1]:
            self._grid.join(answers, self._labels)  # says what is wrong
        else:
            self._sum(answers)
        self._windows += len(answers)

    def _sum(self, answers: FloatArray) -> None:
        step = self._grid.step
        length = self._grid.window or answers.shape[1]
        if self._grid.window is None:  # its frames are known in the end
            self._rows = self._counts = answers[0]
            return
        source = np.arange(length) * answers.shape[1] // length
        more = max(0, (self._windows + len(answers) - 1) * step + length - self._given - len(self._rows))
        self._rows = np.concatenate([self._rows, np.zeros((more, self._rows.shape[1]))])
        self._counts = np.concatenate([self._counts, np.zeros((more, 1))])
        for window, answer in enumerate(answers, self._windows):
            first = window * step - self._given
            self._rows[first : first + length] += answer[source]
            self._counts[first : first + length] += 1

    def _give(self, until: int, grid: Grid, *, last: bool = False) -> Scores | None:
        """Return the rows up to `until`."""
        if last and self._framed and grid.window is None:
            return grid.join(self._rows[None], self._labels)
        count = until - self._given
        if count <= 0:
            return None
        if self._framed:
            if not self._counts[:count].all():
                raise FeatureError(_GAPS)
            values, borders = self._rows[:count] / self._counts[:count], np.arange(self._given, until + 1, dtype=np.float64)
        else:
            values = self._rows[:count]
            borders = np.arange(self._given, until + 1, dtype=np.float64) * grid.step + (grid.length - grid.step) / 2
            borders[0] = borders[0] if self._given else 0.0
            borders[-1] = float(grid.frames) if last else borders[-1]
        edges = grid._seconds(borders) if last else borders * grid.hop / grid.sr
        self._rows, self._counts, self._given = self._rows[count:], self._counts[count:], until
        return Scores(values, edges, self._labels)
