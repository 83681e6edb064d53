"""What a model said about the clips of a test set, beside the truth; every number of a report comes from here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Event
from dcasekit.core.tables import Table
from dcasekit.core.units import FloatArray
from dcasekit.errors import MetricError
from dcasekit.metrics import bootstrap, classification, detection, paired, psds, ratio, segment, tagging
from dcasekit.metrics.segment import SegmentCounts
from dcasekit.scores import Scores, pool, to_events

Item = TypeVar("Item")

HEADLINES = {"classification": "accuracy", "tagging": "average_precision/macro", "detection": "f1/micro"}

# The numbers of one label that a table shows, the first one drawn as a bar.
PER_LABEL = {
    "classification": ("recall", "precision", "f1"),
    "tagging": ("average_precision", "auc", "f1", "precision", "recall"),
    "detection": ("f1", "precision", "recall", "error_rate", "clip/average_precision"),
}


@dataclass(frozen=True)
class Mistake:
    """A clip that was classified wrongly; `confidence` is the score of the predicted label."""

    clip: str
    path: Path | None
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Example:
    """Reference and estimated events of one clip, and its segment-based F1 (NaN if it holds no event)."""

    clip: str
    duration: float
    reference: tuple[Event, ...]
    estimate: tuple[Event, ...]
    f1: float


@dataclass(frozen=True)
class Comparison:
    """What two systems' main numbers differ by on the same clips, its 95 % interval, and the p-value of a permutation test."""

    difference: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True, eq=False)
class Results:
    """Truth and scores of a set of clips.

    Parameters
    ----------
    task : ``"classification"``, ``"tagging"`` or ``"detection"``.
    labels : the columns.
    clips : ids; a clip may come twice, e.g. scored by two models.
    truth : (clips, labels) of whole clips; for detection 1 if the event occurs anywhere.
    scores : one per clip, over time or with one frame.
    events : detection: clip id -> reference events; a clip that is missing holds none.
    paths : audio of each clip, for a report's players; may be empty.
    groups : recording each clip comes from, ``""`` for one of its own; may be empty.
    threshold : scores above it are events or tags; of no matter for classification.

    Raises
    ------
    MetricError : the parts do not fit together.

    Notes
    -----
    Scores of a clip are the mean over time, for detection the maximum. Detection is scored in segments of 1 s, its events
    being joined frames above the threshold, without smoothing. A label that occurs and is never detected has F1 0, the error
    rate of one that never occurs is NaN: `segment.figures` with ``empty_output="zero", absent="nan"``.
    """

    task: str
    labels: tuple[str, ...]
    clips: tuple[str, ...]
    truth: FloatArray
    scores: tuple[Scores, ...]
    events: Mapping[str, Sequence[Event]] | None = None
    paths: tuple[Path, ...] = ()
    groups: tuple[str, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.task not in HEADLINES:
            raise MetricError(f"task must be one of {', '.join(HEADLINES)}; got {self.task!r}")
        if self.task == "detection" and self.events is None:
            raise MetricError("detection needs the reference events of the clips")
        n = len(self.clips)
        if n == 0 or self.truth.shape != (n, len(self.labels)):
            raise MetricError(f"{n} clips and {len(self.labels)} labels do not fit a truth of shape {self.truth.shape}")
        for name, given, optional in (("scores", self.scores, 0), ("paths", self.paths, 1), ("groups", self.groups, 1)):
            if len(given) != n and not (optional and not given):
                raise MetricError(f"{n} clips but {len(given)} {name}")
        for clip, scores in zip(self.clips, self.scores, strict=True):
            if scores.labels != tuple(self.labels):
                raise MetricError(f"clip {clip}: its scores are of other labels: {scores.labels}")

    @classmethod
    def pooled(cls, results: Sequence["Results"]) -> "Results":
        """Join the results of several folds as if it were one test set.

        Raises
        ------
        MetricError : task, labels or threshold differ, or nothing is given.
        """
        if len({(one.task, one.labels, one.threshold) for one in results}) != 1:
            raise MetricError("only results of one task, with the same labels and threshold, can be pooled")
        first, *others = results
        if not others:
            return first

        def joined(name: str) -> tuple[Any, ...]:
            parts = [getattr(one, name) for one in results]
            return tuple(chain.from_iterable(parts)) if all(parts) else ()

        return cls(
            task=first.task,
            labels=first.labels,
            clips=joined("clips"),
            truth=np.concatenate([one.truth for one in results]),
            scores=joined("scores"),
            events=None if first.events is None else {clip: e for one in results for clip, e in (one.events or {}).items()},
            paths=joined("paths"),
            groups=tuple(chain.from_iterable(one.groups or ("",) * len(one.clips) for one in results)),
            threshold=first.threshold,
        )

    @property
    def headline(self) -> str:
        """Name of the task's main number."""
        return HEADLINES[self.task]

    @cached_property
    def numbers(self) -> dict[str, float]:
        """All numbers of the task; for detection those of segments, and those of tagging with the prefix ``clip/``."""
        if self.task == "classification":
            return classification.evaluate(self.truth, self._clip_scores, labels=self.labels)
        tags = tagging.evaluate(self.truth, self._clip_scores, labels=self.labels, threshold=self.threshold)
        if self.task == "tagging":
            return tags
        numbers = segment.figures(self._counts, labels=self.labels, empty_output="zero", absent="nan")
        return numbers | {f"clip/{name}": value for name, value in tags.items()}

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the headline; clips of one group (or of one id) are drawn together.

        NaN if there are fewer than two groups.
        """
        return bootstrap.interval(self._resampled, len(self.clips), groups=self._units)

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """Clips by true label (rows) and predicted label (columns); ``None`` unless the task is classification."""
        return classification.confusion(self.truth, self._clip_scores) if self.task == "classification" else None

    def table(self) -> list[dict[str, Any]]:
        """List, per label, the number of clips that hold it and the task's numbers (NaN: undefined)."""
        names, clips = PER_LABEL[self.task], (self.truth >= 0.5).sum(axis=0)
        return [
            {"label": label, "clips": int(n), **{name: self.numbers[f"{name}/{label}"] for name in names}}
            for label, n in zip(self.labels, clips, strict=True)
        ]

    def mistakes(self, count: int = 6) -> list[Mistake]:
        """List the wrongly classified clips of highest confidence, the worst first; empty unless classification."""
        if self.task != "classification":
            return []
        scores, true = self._clip_scores, self.truth.argmax(axis=1)
        predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
        order = [int(i) for i in np.argsort(-confidence, kind="stable") if predicted[i] != true[i]]
        return [
            Mistake(
                clip=self.clips[i],
                path=self.paths[i] if self.paths else None,
                true=self.labels[true[i]],
                predicted=self.labels[predicted[i]],
                confidence=float(confidence[i]),
            )
            for i in order[:count]
        ]

    def examples(self, count: int = 4) -> list[Example]:
        """Pick clips evenly from the worst to the best by segment-based F1; empty unless detection."""
        if self.task != "detection":
            return []
        counts = self._counts
        f1 = detection(*(each.sum(axis=1) for each in (counts.hits, counts.reference, counts.estimate)))["f1"]
        order = np.argsort(f1, kind="stable")[: np.count_nonzero(~np.isnan(f1))]  # NaN sorts last
        picked = dict.fromkeys(order[np.linspace(0, len(order) - 1, count).round().astype(int)].tolist()) if len(order) else ()
        return [Example(self.clips[i], self._durations[i], self._reference[i], self._estimate[i], float(f1[i])) for i in picked]

    def compare(self, other: "Results") -> Comparison:
        """Test whether this system is better than another one on the same clips: its main number minus the other's.

        See `dcasekit.metrics.paired`; clips of one group (or of one id) are drawn, and swapped, together.

        Raises
        ------
        MetricError : the clips, or what is true of them, are not the same.
        """
        if (self.task, self.labels, self.clips) != (other.task, other.labels, other.clips) or not np.array_equal(self.truth, other.truth):
            raise MetricError("two systems are compared on the same clips, in one order, with the same labels and truth; these differ")
        # A swap puts clips of both into one ranking: a system's ranks are on the other's scale, its scores need not be.
        systems = [one._ranked() if self.task == "tagging" else one for one in (self, other)]
        stacked, clips = Results.pooled(systems)._resampled, len(self.clips)
        difference, low, high = paired.bootstrap(stacked, clips, groups=self._units)
        return Comparison(difference, (low, high), paired.permutation(stacked, clips, groups=self._units))

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers as what JSON knows; undefined ones are ``None``."""
        content = plain(
            {
                "task": self.task,
                "clips": len(self.clips),
                "independent_units": len(set(self._units)),
                "headline": {"name": self.headline, "value": self.numbers[self.headline], "interval_95": self.interval},
                "numbers": self.numbers,
                "labels": self.table(),
                "confusion": self.confusion,
            }
        )
        return dict(content)

    def psd_roc(self, setting: psds.Setting = psds.PSDS1) -> psds.Roc:
        """Compute the curve below which PSDS lies, of detection; `dcasekit.metrics.psds` says what a setting is.

        Raises
        ------
        MetricError : the task is not detection, or no clip holds an event.
        """
        if self.task != "detection":
            raise MetricError(f"a PSD-ROC is of detection; the task is {self.task}")
        return psds.roc(_by_position(self._reference), _by_position(self.scores), _by_position(self._durations), **setting)

    def __str__(self) -> str:
        value, (low, high) = self.numbers[self.headline], self.interval
        head = f"{self.headline} {value:.3f} (95 % interval {low:.3f} to {high:.3f}), {len(self.clips)} clips"
        return f"{head}\n\n{Table.of(self.table())}"

    @cached_property
    def _clip_scores(self) -> FloatArray:
        how: Literal["mean", "max"] = "max" if self.task == "detection" else "mean"
        return np.concatenate([pool(scores, how=how).values for scores in self.scores])

    @cached_property
    def _units(self) -> list[str]:
        """What a bootstrap may take for independent: groups, else clips."""
        groups = self.groups or ("",) * len(self.clips)
        return [f"group {group}" if group else f"clip {clip}" for clip, group in zip(self.clips, groups, strict=True)]

    @cached_property
    def _reference(self) -> list[tuple[Event, ...]]:
        events = self.events or {}
        return [tuple(events.get(clip, ())) for clip in self.clips]

    @cached_property
    def _estimate(self) -> list[tuple[Event, ...]]:
        return [tuple(to_events(scores, threshold=self.threshold)) for scores in self.scores]

    @cached_property
    def _durations(self) -> list[float]:
        """Seconds of each clip; an event behind the last frame of the scores is a miss, not cut off."""
        ends = [max((event.offset for event in events), default=0.0) for events in self._reference]
        return [max(float(scores.edges[-1]), end) for scores, end in zip(self.scores, ends, strict=True)]

    @cached_property
    def _counts(self) -> SegmentCounts:
        return segment.counts(
            _by_position(self._reference),
            _by_position(self._estimate),
            labels=self.labels,
            durations=_by_position(self._durations),
        )

    def _ranked(self) -> "Results":
        """Replace each label's scores by their rank among all clips, in [0, 1]; what is equal stays equal."""
        ordered = np.sort(self._clip_scores, axis=0)
        ranks = [np.searchsorted(column, values) for column, values in zip(ordered.T, self._clip_scores.T, strict=True)]
        shares = np.stack(ranks, axis=1) / len(self.clips)
        return replace(self, scores=tuple(Scores(row[None], np.array([0.0, 1.0]), self.labels) for row in shares))

    def _resampled(self, weights: FloatArray) -> NDArray[np.float64]:
        """Compute the headline for each draw of clips: weights (draws, clips) -> (draws,)."""
        if self.task == "classification":
            correct = self._clip_scores.argmax(axis=1) == self.truth.argmax(axis=1)
            return ratio(weights @ correct, weights.sum(axis=1))
        if self.task == "tagging":
            values = tagging.average_precision(self.truth, self._clip_scores, weights=weights)
            return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))
        counts = self._counts
        return detection(*(weights @ each.sum(axis=1) for each in (counts.hits, counts.reference, counts.estimate)))["f1"]


def _by_position(values: Sequence[Item]) -> dict[str, Item]:
    """Key values by position, because a clip's id may come twice."""
    return {str(index): value for index, value in enumerate(values)}


def plain(value: Any) -> Any:
    """Turn a nested value into what JSON knows: arrays into lists, NaN and infinity into ``None``, the unknown into text.

    >>> plain({"f1": np.float64("nan"), "at": Path("a/b.wav"), "n": np.arange(2)})
    {'f1': None, 'at': 'a/b.wav', 'n': [0, 1]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)
