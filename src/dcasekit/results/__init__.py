"""The truth and the scores of a test set's clips; every number of a report comes from here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import HARD, TIME_TOLERANCE, Event, harden
from dcasekit.core.frames import data_frame
from dcasekit.core.tables import Table
from dcasekit.core.units import FloatArray
from dcasekit.errors import MetricError
from dcasekit.metrics import binarize, bootstrap, classification, detection, paired, psds, ratio, segment, tagging
from dcasekit.metrics.segment import SegmentCounts
from dcasekit.results._parts import Comparison, Example, Mistake, describe_left_out, plain
from dcasekit.scores import Scores, pool, to_events

__all__ = ["HEADLINES", "PER_LABEL", "Comparison", "Example", "Mistake", "Results", "describe_left_out", "plain"]

Item = TypeVar("Item")

HEADLINES = {"classification": "accuracy", "tagging": "average_precision/macro", "detection": "f1/micro"}

# Detection's main number where no clip's events are known: tags alone can then tell a good system from a silent one.
WEAK_HEADLINE = "clip/average_precision/macro"

# The numbers of one label that a table shows, the first one drawn as a bar.
PER_LABEL = {
    "classification": ("recall", "precision", "f1"),
    "tagging": ("average_precision", "auc", "f1", "precision", "recall"),
    "detection": ("f1", "precision", "recall", "error_rate", "clip/average_precision"),
}


@dataclass(frozen=True, eq=False)
class Results:
    """Truth and scores of a set of clips.

    Parameters
    ----------
    task : ``"classification"``, ``"tagging"`` or ``"detection"``.
    labels : names of the columns.
    clips : ids; a clip may be listed twice, e.g. with the scores of two models.
    truth : (clips, labels), the tags of whole clips; for detection 1 if an event of the label occurs anywhere. NaN: unknown.
    scores : one `Scores` per clip, frame-level or clip-level (with one frame).
    events : for detection, clip id -> reference events, or ``None`` where their times are unknown; a clip that is missing has no events.
    paths : audio file of each clip, for the players in a report; may be empty.
    groups : the recording that each clip comes from, ``""`` for one of its own; may be empty. Intervals and tests draw whole groups.
    threshold : scores strictly above it are events or tags; not used for classification.
    durations : seconds of each clip, at whose end events are cut; may be empty: then a clip ends with its scores or its last event.

    Raises
    ------
    MetricError : the parts do not fit together; the message says which.

    Notes
    -----
    Clip-level scores are the mean over time, for detection the maximum. Detection is evaluated in segments of 1 s; its events are runs of
    frames above the threshold, without smoothing. A label that occurs and is never detected has F1 0, and the error rate of a label that
    never occurs is NaN: `segment.figures` with ``empty_output="zero", absent="nan"``.

    What is unknown is in no number, and is counted in `left_out`. Soft references are hardened: a tag or an event counts if its value or
    weight is above 0.5. If the events of no clip are known, detection is evaluated by the clips' tags: `headline` is then
    ``clip/average_precision/macro``.
    """

    task: str
    labels: tuple[str, ...]
    clips: tuple[str, ...]
    truth: FloatArray
    scores: tuple[Scores, ...]
    events: Mapping[str, Sequence[Event] | None] | None = None
    paths: tuple[Path, ...] = ()
    groups: tuple[str, ...] = ()
    threshold: float = 0.5
    durations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in HEADLINES:
            raise MetricError(f"task must be one of {', '.join(HEADLINES)}; got {self.task!r}")
        if self.task == "detection" and self.events is None:
            raise MetricError("detection needs the reference events of the clips")
        n = len(self.clips)
        if n == 0 or self.truth.shape != (n, len(self.labels)):
            raise MetricError(f"{n} clips and {len(self.labels)} labels do not fit a truth of shape {self.truth.shape}")
        for name in ("scores", "paths", "groups", "durations"):
            given = getattr(self, name)
            if len(given) != n and (given or name == "scores"):
                raise MetricError(f"{n} clips but {len(given)} {name}")
        if wrong := [(clip, each) for clip, each in zip(self.clips, self.durations, strict=False) if not 0 < each < math.inf]:
            raise MetricError(f"clip {wrong[0][0]}: its duration must be seconds > 0, got {wrong[0][1]}")
        for clip, scores in zip(self.clips, self.scores, strict=True):
            if scores.labels != tuple(self.labels):
                raise MetricError(f"clip {clip}: its scores are of other labels: {scores.labels}")
        for clip in self.clips:
            if strange := {event.label for event in (self.events or {}).get(clip) or ()}.difference(self.labels):
                raise MetricError(f"clip {clip} has events of label {min(strange)!r}; the labels are: {', '.join(self.labels)}")

    @classmethod
    def pool(cls, results: Sequence["Results"]) -> "Results":
        """Join the results of several folds, as if their clips were one test set.

        Raises
        ------
        MetricError : tasks, labels or thresholds differ, or there are no results.
        """
        if len({(one.task, one.labels, one.threshold) for one in results}) != 1:
            raise MetricError("only results of one task, with the same labels and threshold, can be pooled")
        first, *others = results
        if not others:
            return first

        def join(name: str) -> tuple[Any, ...]:
            parts = [getattr(one, name) for one in results]
            return tuple(chain.from_iterable(parts)) if all(parts) else ()

        return cls(
            task=first.task,
            labels=first.labels,
            clips=join("clips"),
            truth=np.concatenate([one.truth for one in results]),
            scores=join("scores"),
            events=None if first.events is None else {clip: e for one in results for clip, e in (one.events or {}).items()},
            paths=join("paths"),
            groups=tuple(chain.from_iterable(one.groups or ("",) * len(one.clips) for one in results)),
            threshold=first.threshold,
            durations=join("durations"),
        )

    @property
    def headline(self) -> str:
        """Key of the task's main number in `numbers`; for detection, if no clip's events are known, one of the tags'."""
        return HEADLINES[self.task] if self._timed.size or self.task != "detection" else WEAK_HEADLINE

    @cached_property
    def left_out(self) -> dict[str, int]:
        """Counts of what is left out of the numbers, or cut.

        ``clips``: clips whose label, events or tags are unknown; ``labels``: unknown entries of the truth (clips x labels); ``events``:
        reference events of weight 0.5 or less, which do not count; ``cut``: reference events that reach beyond the end of their clip.
        """
        listed = [(self._ends[i], event) for i in self._timed for event in self._listed[i] or ()]
        return {
            "clips": len(self.clips) - self._counted.size,
            "labels": int(np.isnan(self.truth).sum()),
            "events": sum(event.weight <= HARD for _, event in listed),
            "cut": sum(event.weight > HARD and event.offset > end + TIME_TOLERANCE for end, event in listed),
        }

    @cached_property
    def numbers(self) -> dict[str, float]:
        """All numbers of the task, by the keys of `dcasekit.metrics`; for detection those of `segment`, and `tagging`'s after ``clip/``."""
        if self.task == "classification":
            return classification.evaluate(self.truth, self._clip_scores, labels=self.labels)
        tags = tagging.evaluate(self.truth, self._clip_scores, labels=self.labels, threshold=self.threshold)
        if self.task == "tagging":
            return tags
        numbers = segment.figures(self._counts, labels=self.labels, empty_output="zero", absent="nan")
        return numbers | {f"clip/{name}": value for name, value in tags.items()}

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % bootstrap interval of the main number; clips of one group, or of one id, are drawn together.

        NaN if there are fewer than two groups.
        """
        return bootstrap.interval(self._resample, self._counted.size, groups=self._units)

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """Numbers of clips by true label (rows) and predicted label (columns); ``None`` unless the task is classification."""
        return classification.confusion(self.truth, self._clip_scores) if self.task == "classification" else None

    def table(self) -> list[dict[str, Any]]:
        """Return a dict per label: ``label``, the number of ``clips`` that have it, and the numbers in `PER_LABEL` (NaN: undefined)."""
        names, clips = PER_LABEL[self.task], binarize(self.truth)[0].sum(axis=0)
        return [
            {"label": label, "clips": int(n), **{name: self.numbers[f"{name}/{label}"] for name in names}}
            for label, n in zip(self.labels, clips, strict=True)
        ]

    def to_frame(self) -> Any:
        """Return `table` as a pandas DataFrame, a row per label, for notebooks.

        Raises
        ------
        MissingExtraError : pandas is not installed.
        """
        return data_frame(self.table())

    def mistakes(self, count: int = 6) -> list[Mistake]:
        """List at most `count` misclassified clips, the most confident first; empty unless the task is classification."""
        if self.task != "classification":
            return []
        scores, true = self._clip_scores, (self.truth == 1).argmax(axis=1)
        predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
        order = [i for i in self._counted[np.argsort(-confidence[self._counted], kind="stable")].tolist() if predicted[i] != true[i]]
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
        """Pick at most `count` clips, evenly from the worst to the best segment-based F1; empty unless the task is detection."""
        if self.task != "detection":
            return []
        counts = self._counts
        f1 = detection(*(each.sum(axis=1) for each in (counts.hits, counts.reference, counts.estimate)))["f1"]
        order = np.argsort(f1, kind="stable")[: np.count_nonzero(~np.isnan(f1))]  # NaN sorts last
        picked = dict.fromkeys(order[np.linspace(0, len(order) - 1, count).round().astype(int)].tolist()) if len(order) else ()
        ids, found = self._timed, self._estimate
        return [Example(self.clips[ids[i]], self._ends[ids[i]], self._reference[ids[i]], found[ids[i]], float(f1[i])) for i in picked]

    def compare(self, other: "Results") -> Comparison:
        """Compare this system with another one on the same clips: the difference of their main numbers, its interval and a test.

        See `dcasekit.metrics.paired`; clips of one group, or of one id, are drawn and swapped together.

        Raises
        ------
        MetricError : clips, labels or truth are not the same, in the same order.
        """
        same = (self.task, self.labels, self.clips, self._reference) == (other.task, other.labels, other.clips, other._reference)
        if not same or not np.array_equal(self.truth, other.truth, equal_nan=True):
            raise MetricError("two systems are compared on the same clips, in one order, with the same labels and truth; these differ")
        # A swap puts clips of both into one ranking: a system's ranks are on the other's scale, its scores need not be.
        systems = [one if self.headline in ("accuracy", "f1/micro") else one._ranked() for one in (self, other)]
        stacked, clips = Results.pool(systems)._resample, self._counted.size
        difference, low, high = paired.bootstrap(stacked, clips, groups=self._units)
        return Comparison(difference, (low, high), paired.permutation(stacked, clips, groups=self._units))

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON values; undefined ones (NaN) are ``None``."""
        content = plain(
            {
                "task": self.task,
                "clips": len(self.clips),
                "independent_units": len(set(self._units)),
                "left_out": self.left_out,
                "headline": {"name": self.headline, "value": self.numbers[self.headline], "interval_95": self.interval},
                "numbers": self.numbers,
                "labels": self.table(),
                "confusion": self.confusion,
            }
        )
        return dict(content)

    def psd_roc(self, setting: psds.Setting = psds.PSDS1) -> psds.Roc:
        """Compute the PSD-ROC curve of a detection, whose area is the PSDS.

        Parameters
        ----------
        setting : one of those in `dcasekit.metrics.psds`, or a dict like them.

        Raises
        ------
        MetricError : the task is not detection, no clip's events are known, or there are no events.
        """
        if self.task != "detection":
            raise MetricError(f"a PSD-ROC is for detection; the task is {self.task}")
        if not self._timed.size:
            raise MetricError("a PSD-ROC needs clips whose events are known; here no clip's are")
        return psds.roc(self._of_timed(self._reference), self._of_timed(self.scores), self._of_timed(self._ends), **setting)

    def __repr__(self) -> str:
        return (
            f"Results({self.task} of {len(self.labels)} labels, {len(self.clips)} clips: {self.headline} {self.numbers[self.headline]:.3f})"
        )

    def __str__(self) -> str:
        value, (low, high) = self.numbers[self.headline], self.interval
        head = f"{self.headline} {value:.3f} (95 % interval {low:.3f} to {high:.3f}), {len(self.clips)} clips"
        return "\n\n".join(filter(None, [head, describe_left_out(self.left_out), str(Table.of(self.table()))]))

    @cached_property
    def _clip_scores(self) -> FloatArray:
        how: Literal["mean", "max"] = "max" if self.task == "detection" else "mean"
        return np.concatenate([pool(scores, how=how).values for scores in self.scores])

    @cached_property
    def _units(self) -> list[str]:
        """What a bootstrap may take for independent: groups, else clips."""
        groups = self.groups or ("",) * len(self.clips)
        return [f"group {groups[i]}" if groups[i] else f"clip {self.clips[i]}" for i in self._counted]

    @cached_property
    def _timed(self) -> NDArray[np.intp]:
        """Positions of the clips whose events are known."""
        return np.flatnonzero([events is not None for events in self._listed]) if self.task == "detection" else np.empty(0, np.intp)

    @cached_property
    def _counted(self) -> NDArray[np.intp]:
        """Positions of the clips that the headline is made of."""
        if self._timed.size:
            return self._timed
        known = classification.known_clips(self.truth) if self.task == "classification" else binarize(self.truth)[1].any(axis=1)
        return np.flatnonzero(known)

    @cached_property
    def _listed(self) -> list[Sequence[Event] | None]:
        events = self.events or {}
        return [events.get(clip, ()) for clip in self.clips]

    @cached_property
    def _reference(self) -> list[tuple[Event, ...]]:
        return [tuple(harden(events or ())) for events in self._listed]

    @cached_property
    def _estimate(self) -> list[tuple[Event, ...]]:
        return [tuple(to_events(scores, threshold=self.threshold)) for scores in self.scores]

    @cached_property
    def _ends(self) -> list[float]:
        """Seconds of each clip; without durations an event behind the last frame of the scores is a miss, not cut off."""
        if self.durations:
            return list(self.durations)
        ends = [max((event.offset for event in events), default=0.0) for events in self._reference]
        return [max(float(scores.edges[-1]), end) for scores, end in zip(self.scores, ends, strict=True)]

    @cached_property
    def _counts(self) -> SegmentCounts:
        return segment.counts(
            self._of_timed(self._reference),
            self._of_timed(self._estimate),
            labels=self.labels,
            durations=self._of_timed(self._ends),
            tolerance=TIME_TOLERANCE,
        )

    def _of_timed(self, values: Sequence[Item]) -> dict[str, Item]:
        """Choose the clips whose events are known, keyed by position, because a clip's id may come twice."""
        return {str(i): values[i] for i in self._timed}

    def _ranked(self) -> "Results":
        """Replace each label's scores by their rank among all clips, in [0, 1]; what is equal stays equal."""
        ordered = np.sort(self._clip_scores, axis=0)
        ranks = [np.searchsorted(column, values) for column, values in zip(ordered.T, self._clip_scores.T, strict=True)]
        shares = np.stack(ranks, axis=1) / len(self.clips)
        return replace(self, scores=tuple(Scores(row[None], np.array([0.0, 1.0]), self.labels) for row in shares))

    def _resample(self, weights: FloatArray) -> NDArray[np.float64]:
        """Compute the headline for each draw of the clips it is made of: weights (draws, clips) -> (draws,)."""
        if self.task == "classification":
            correct = self._clip_scores.argmax(axis=1) == (self.truth == 1).argmax(axis=1)
            return ratio(weights @ correct[self._counted], weights.sum(axis=1))
        if not self._timed.size:
            values = tagging.average_precision(self.truth[self._counted], self._clip_scores[self._counted], weights=weights)
            return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))
        counts = self._counts
        return detection(*(weights @ each.sum(axis=1) for each in (counts.hits, counts.reference, counts.estimate)))["f1"]
