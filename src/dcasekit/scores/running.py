"""Scores that come part by part, and what is known of them at once: smoothed scores, events that are over, the best labels.

Joined, what is given is what the functions of `dcasekit.scores` and `postprocessing` give for the whole recording; memory stays flat.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.errors import AnnotationError
from dcasekit.scores import LEAST_WEIGHT, PerLabel, Scores, limits, median_filter, odd_frames, per_label
from dcasekit.scores.postprocessing import csebbs, drop_short

# Boxes are found in stretches of so many scores, half an hour of ten labels and 50 frames a second: 40 MB on the way.
_STRETCH = 1_000_000

# By so many frames the length of one is told; the first and the last may be of another.
_ENOUGH = 16


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How events are found in scores: the post-processing and its settings.

    Parameters
    ----------
    threshold : see `dcasekit.scores.to_events`.
    post : the step before the threshold. ``"median"``: a median filter with zeros beyond the ends, as long as `seconds`; ``"csebbs"``:
        sound event bounding boxes with default settings, see `dcasekit.scores.postprocessing.csebbs`; ``None``: none.
    seconds : length of the median filter in seconds, above 0; used only where ``post="median"``.
    min_duration : seconds, at least 0; shorter events are dropped. 0: none are.

    Raises
    ------
    AnnotationError : a setting is none of these.
    """

    threshold: PerLabel = 0.5
    post: Literal["median", "csebbs"] | None = None
    seconds: Seconds = 0.5
    min_duration: Seconds = 0.0

    def __post_init__(self) -> None:
        if self.post not in (None, "median", "csebbs"):
            raise AnnotationError(f"post-processing is 'median', 'csebbs' or None; got {self.post!r}")
        if not (self.seconds > 0 and self.min_duration >= 0):
            raise AnnotationError(
                f"the median filter lasts more than 0 s, and the shortest event at least 0 s; got {self.seconds} and {self.min_duration}"
            )

    def find(self, parts: Iterable[Scores]) -> Iterator[Event]:
        """Yield the events of a recording, sorted, each as soon as no event that sorts before it can still follow.

        Parameters
        ----------
        parts : the scores of consecutive parts of the recording, in order.
        """
        events = _boxes(parts, self.threshold) if self.post == "csebbs" else _runs(self._smoothed(parts), self.threshold)
        for event in events:
            yield from drop_short([event], seconds=self.min_duration) if self.min_duration else [event]

    def _smoothed(self, parts: Iterable[Scores]) -> Iterable[Scores]:
        return running_median(parts, seconds=self.seconds) if self.post == "median" else parts


class RunningEvents:
    """Find events in scores that come part by part: the events of `to_events`, each returned when it has ended.

    Parameters
    ----------
    threshold : see `dcasekit.scores.to_events`.

    Attributes
    ----------
    labels : of the scores that came last; empty before the first.
    now : the end of the scores that came last, in seconds.
    """

    def __init__(self, threshold: PerLabel = 0.5) -> None:
        self._threshold = threshold
        self._open: dict[int, tuple[Seconds, float, int]] = {}  # column -> onset, sum of scores, frames
        self.labels: tuple[str, ...] = ()
        self.now: Seconds = 0.0  # where the scores end

    def add(self, scores: Scores) -> list[Event]:
        """Take the next scores; return the events that have ended, sorted."""
        self.labels, self.now = scores.labels, float(scores.edges[-1])
        active = scores.values > limits(self._threshold, scores.labels)
        over: list[Event] = []
        for column in sorted({*np.flatnonzero(active.any(axis=0)).tolist(), *self._open}):
            over += self._follow(column, active[:, column], scores)
        return sorted(over)

    def _follow(self, column: int, active: NDArray[np.bool_], scores: Scores) -> Iterator[Event]:
        bounds = np.flatnonzero(np.diff(active, prepend=False, append=False)).tolist()
        if column in self._open and (not bounds or bounds[0]):
            yield self._close(column, float(scores.edges[0]))
        sums = np.cumsum(scores.values[:, column], dtype=np.float64)
        for first, stop in zip(bounds[::2], bounds[1::2], strict=True):
            total = float(sums[stop - 1] - (sums[first - 1] if first else 0.0))
            onset, before, frames = self._open.get(column, (float(scores.edges[first]), 0.0, 0))
            self._open[column] = onset, before + total, frames + stop - first
            if stop < len(active):
                yield self._close(column, float(scores.edges[stop]))

    def _close(self, column: int, offset: Seconds) -> Event:
        onset, total, frames = self._open.pop(column)
        return Event(onset, offset, self.labels[column], min(max(total / frames, LEAST_WEIGHT), 1.0))

    def finish(self) -> list[Event]:
        """End the events that still go on, at `now`, and return them, sorted."""
        return sorted(self._close(column, self.now) for column in list(self._open))

    @property
    def going_on(self) -> dict[str, Seconds]:
        """Label -> onset, in seconds, of the events that have not ended yet."""
        return {self.labels[column]: onset for column, (onset, _, _) in self._open.items()}


def _runs(parts: Iterable[Scores], threshold: PerLabel) -> Iterator[Event]:
    running, waiting = RunningEvents(threshold), list[Event]()
    for part in parts:
        for event in running.add(part):
            heapq.heappush(waiting, event)
        first = min(running.going_on.values(), default=running.now)
        while waiting and waiting[0].onset <= first:
            yield heapq.heappop(waiting)
    yield from sorted([*waiting, *running.finish()])


def running_median(parts: Iterable[Scores], *, seconds: PerLabel) -> Iterator[Scores]:
    """Smooth scores part by part as `median_filter` does with ``pad="zero"``.

    Parameters
    ----------
    parts : the scores of consecutive parts of a recording, in order.
    seconds : length of the window in seconds, see `dcasekit.scores.median_filter`.

    Yields
    ------
    `Scores` of consecutive parts, later than they came by half a window and cut elsewhere; together they have the same frames.
    """
    values, edges = np.zeros((0, 0), np.float32), np.zeros(0)
    labels: tuple[str, ...] = ()
    windows: NDArray[np.float64] | None = None
    given = 0  # frames given of those at hand

    def smooth(until: int) -> Scores:
        smoothed = median_filter(Scores(values, edges, labels), frames=windows)
        return Scores(smoothed.values[given:until], edges[given : until + 1], labels)

    for part in parts:
        values = np.concatenate([values, part.values]) if labels else part.values
        edges = np.concatenate([edges[:-1], part.edges]) if labels else part.edges
        labels = part.labels
        if windows is None and len(values) >= _ENOUGH:
            windows = _windows(Scores(values, edges, labels), seconds)
        if windows is None:
            continue
        half = int(windows.max()) // 2
        until = len(values) - half
        if until - given > half // 4:
            yield smooth(until)
            keep = max(0, until - half)
            values, edges, given = values[keep:], edges[keep:], until - keep
    if labels:
        windows = _windows(Scores(values, edges, labels), seconds) if windows is None else windows
        if given < len(values):
            yield smooth(len(values))


def _windows(scores: Scores, seconds: PerLabel) -> NDArray[np.float64]:
    return odd_frames(scores, per_label(seconds, scores.labels, name="seconds"))


def _boxes(parts: Iterable[Scores], threshold: PerLabel) -> Iterator[Event]:
    """Find bounding boxes in stretches, cut where all scores are lowest; a recording of one stretch has those of `csebbs`."""
    values, edges = list[FloatArray](), list[NDArray[np.float64]]()
    labels: tuple[str, ...] = ()
    for part in parts:
        labels = part.labels
        values.append(part.values)
        edges.append(part.edges if not edges else part.edges[1:])
        if sum(map(len, values)) * len(labels) >= _STRETCH:
            scores, borders = np.concatenate(values), np.concatenate(edges)
            cut = len(scores) // 2 + int(scores[len(scores) // 2 :].max(axis=1).argmin())
            yield from _sure(Scores(scores[:cut], borders[: cut + 1], labels), threshold)
            values, edges = [scores[cut:]], [borders[cut:]]
    if labels:
        yield from _sure(Scores(np.concatenate(values), np.concatenate(edges), labels), threshold)


def _sure(scores: Scores, threshold: PerLabel) -> list[Event]:
    limit = dict(zip(scores.labels, limits(threshold, scores.labels).tolist(), strict=True))
    return [box for box in csebbs(scores) if np.float32(box.weight) > limit[box.label]]


class RunningPool:
    """Pool scores that come part by part to clip-level scores.

    Parameters
    ----------
    how : ``"mean"`` or ``"max"``, see `dcasekit.scores.pool`.
    """

    def __init__(self, how: Literal["mean", "max"] = "mean") -> None:
        self._how, self._values, self._seconds = how, np.zeros(0), 0.0
        self.labels: tuple[str, ...] = ()

    def add(self, scores: Scores) -> None:
        """Take the next scores."""
        lengths = np.diff(scores.edges)
        if self._how == "max":
            found = scores.values.max(axis=0)
            self._values = np.maximum(self._values, found) if self.labels else found
        else:
            found = lengths @ scores.values.astype(np.float64)
            self._values = self._values + found if self.labels else found
            self._seconds += float(lengths.sum())
        self.labels = scores.labels

    def top(self, n: int) -> list[tuple[str, float]]:
        """Return the `n` labels with the highest pooled scores so far, and these scores, the highest first."""
        pooled = self._values if self._how == "max" else self._values / self._seconds
        return [(self.labels[k], float(np.float32(pooled[k]))) for k in np.argsort(-pooled.astype(np.float32), kind="stable")[:n]]


class RunningOverview:
    """Summarise the scores of a recording of any length for a picture, by the largest score of each label in equal stretches of frames.

    Parameters
    ----------
    columns : a recording with more frames than twice this gets from `columns` to twice as many stretches.
    """

    def __init__(self, columns: int = 1000) -> None:
        self._columns, self._group = columns, 1  # rows of a column
        self._values, self._rest = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
        self._edges: list[float] = []  # where columns begin, then where the rest does
        self._starts = np.zeros(0)  # of the rows of the rest
        self._end = 0.0
        self._labels: tuple[str, ...] = ()

    def add(self, scores: Scores) -> None:
        """Take the next scores."""
        if not self._labels:
            self._labels = scores.labels
            self._values = self._rest = np.zeros((0, len(scores.labels)), np.float32)
        rows = np.concatenate([self._rest, scores.values])
        starts = np.concatenate([self._starts, scores.edges[:-1]])
        whole = len(rows) // self._group * self._group
        self._rest, self._starts, self._end = rows[whole:], starts[whole:], float(scores.edges[-1])
        if whole:
            first = np.arange(0, whole, self._group)
            self._values = np.concatenate([self._values, np.maximum.reduceat(rows[:whole], first)])
            self._edges += starts[first].tolist()
        while len(self._values) > 2 * self._columns:
            self._values = np.maximum.reduceat(self._values, np.arange(0, len(self._values), 2))
            self._edges, self._group = self._edges[::2], 2 * self._group

    def scores(self) -> Scores:
        """Return the summary of what came so far; each frame is one stretch."""
        values, edges = self._values, self._edges
        if len(self._rest):
            values, edges = np.concatenate([values, self._rest.max(axis=0, keepdims=True)]), [*edges, float(self._starts[0])]
        return Scores(values, [*edges, self._end], self._labels)


def watched(parts: Iterable[Scores], watchers: Sequence[object]) -> Iterator[Scores]:
    """Yield the scores unchanged, after each part was given to the method ``add`` of every watcher, such as a `RunningPool`."""
    for part in parts:
        for watcher in watchers:
            watcher.add(part)  # type: ignore[attr-defined]
        yield part
