"""The one grid of time of a clip: its frames, the windows cut of them, the targets drawn on them, and the way back to scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import TIME_TOLERANCE, Clip, clip_to_vector, events_to_roll
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import FeatureError
from dcasekit.scores import Scores

Target: TypeAlias = Literal["clip", "window", "frame"]


@dataclass(frozen=True)
class Grid:
    """Where the frames and windows of one clip lie in time.

    Frame t covers ``[t * hop, (t + 1) * hop)`` samples. Of the frames that were computed, those that begin behind the clip's end (a centred
    transform gives one) are left out; the last one ends with the clip.

    Parameters
    ----------
    computed : frames that the feature gave.
    duration : seconds of the clip.
    hop, sr : samples from frame to frame, and Hz.
    window, step : frames of a window and from window to window; ``window=None``: the whole clip is one window.
    least_real : a last window is kept if more than this share of its frames is real. What lies behind the last window kept is answered
        for by that window's end. The first window is always kept.

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
        """Frames behind the last whole window from which on there is one more, which is filled up; the step, if there never is."""
        window = self.window or self.computed
        least = math.floor(self.least_real * window + TIME_TOLERANCE) + 1  # real frames of that window
        return min(self.step, max(1, least + self.step - window))

    @cached_property
    def frames(self) -> int:
        """Frames that are read, and answered for."""
        begun = max(1, min(self.computed, math.ceil(self._hops - TIME_TOLERANCE)))
        return begun if self.window is None else min(begun, self.starts[-1] + self.window)

    @property
    def length(self) -> int:
        """Frames of a window."""
        return self.window or self.frames

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the frames in seconds: (frames + 1,)."""
        return self._seconds(np.arange(self.frames + 1, dtype=np.float64))

    @cached_property
    def spans(self) -> NDArray[np.float64]:
        """Borders in seconds, (windows + 1,), of the time that each window answers for.

        Where windows overlap, each answers for the time nearest to its centre, so that together they answer for the whole clip once: the
        borders lie half-way between the centres of neighbours.
        """
        centres = np.asarray(self.starts) + self.length / 2
        return self._seconds(np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(self.frames)]]))

    def real(self, start: int) -> int:
        """Count the frames of the window that begins here which are the clip's own; the others are filled up."""
        return min(self.length, self.frames - start)

    def cut(self, frames: FloatArray) -> FloatArray:
        """Cut the frames of the clip (frames, dims) into windows (windows, length, dims)."""
        return np.stack([self.fill(frames[start : start + self.real(start)]) for start in self.starts])

    def fill(self, frames: FloatArray) -> FloatArray:
        """Fill the real frames of a window (frames, dims) up to its length by reflection."""
        missing = self.length - len(frames)
        return frames if missing <= 0 else np.pad(frames, ((0, missing), (0, 0)), mode="reflect")

    def target(self, clip: Clip, labels: Sequence[str], kind: Target) -> FloatArray:
        """Draw what is known about the clip; NaN where nothing is.

        Returns
        -------
        array (windows, labels) : the clip's tags for each of its windows (``"clip"``), or what sounds in each window's span (``"window"``);
            or (frames, labels) : what sounds in each frame (``"frame"``).
        """
        if kind == "clip":
            return np.repeat(clip_to_vector(clip, labels)[None], len(self.starts), axis=0)
        return events_to_roll(clip.events, labels, self.spans if kind == "window" else self.edges)

    def join(self, answers: FloatArray, labels: Sequence[str]) -> Scores:
        """Join what a network answers for the windows to the clip's scores.

        Parameters
        ----------
        answers : (windows, labels), or (windows, steps, labels) where a network answers for each frame or for several frames at once; where
            windows overlap, frames are averaged.

        Raises
        ------
        FeatureError : windows leave gaps between them that a network of frames cannot answer for, or are so short that it answers none.
        """
        if answers.ndim == 2:
            return Scores(answers, self.spans, labels)
        if not answers.shape[1]:
            raise FeatureError(f"the network answers no frame of windows of {self.length} frames; they are too short for it: pad the audio")
        source = np.arange(self.length) * answers.shape[1] // self.length
        total, count = np.zeros((self.frames, len(labels))), np.zeros((self.frames, 1))
        for start, answer in zip(self.starts, answers, strict=True):
            real = self.real(start)
            total[start : start + real] += answer[source[:real]]
            count[start : start + real] += 1
        if not count.all():
            raise FeatureError("windows leave gaps that a model of frames cannot answer for; choose sequence_hop_time <= sequence_time")
        return Scores(total / count, self.edges, labels)

    @property
    def _hops(self) -> float:
        return self.duration * self.sr / self.hop

    def _seconds(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        edges: NDArray[np.float64] = frames * self.hop / self.sr
        if self.duration > edges[-2] + TIME_TOLERANCE:
            edges[-1] = self.duration
        return edges
