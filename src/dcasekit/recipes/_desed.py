"""What the recipes on DESED share: validation clips, scores by steps, what an epoch is chosen by, and the numbers of the challenge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from dcasekit.annotations import Clip, Event
from dcasekit.core.tables import Table
from dcasekit.core.units import Seconds
from dcasekit.generator import DataGenerator
from dcasekit.metrics import bootstrap, event, intersection, psds, segment, statistics, tagging
from dcasekit.models.crnn2023a import CRNN2023A
from dcasekit.results import Results
from dcasekit.scores import PerLabel, Scores, median_filter, to_events
from dcasekit.scores.postprocessing import csebbs_scores

BOXES = ("step_filter_length", "merge_threshold_abs", "merge_threshold_rel")
Numbers: TypeAlias = dict[str, tuple[float, tuple[float, float]]]  # measure -> value, 95 % interval
_POOLED = 4  # frames of a step


def draw_validation(clips: Sequence[Clip], *, seed: int, share: float = 0.1) -> tuple[list[Clip], list[Clip]]:
    """Split clips into those to train on and those to validate on, which are a share of the films (groups), with all their clips."""
    films = sorted({clip.group for clip in clips})
    held_out = set(np.random.default_rng(seed).permutation(films)[: round(share * len(films))].tolist())
    return [clip for clip in clips if clip.group not in held_out], [clip for clip in clips if clip.group in held_out]


def select(model: CRNN2023A, *, weak: DataGenerator, strong: DataGenerator, median: PerLabel) -> dict[str, float]:
    """Compute the numbers that choose the epoch.

    Returns
    -------
    dict : ``weak_f1``, the macro F1 of the weak clips' tags by attention; ``intersection_f1``, the macro intersection-based F1
        of the strong clips' events; and ``sum``, their sum.
    """
    tags = model.head("tagging").evaluate(weak)
    clip_f1 = tagging.evaluate(tags.truth, np.concatenate([one.values for one in tags.scores]), labels=tags.labels)["f1/macro"]
    events = changed(by_steps(model, strong), smoother(median))
    overlap = intersection.f1(*_events(events), labels=events.labels)["f1/macro"]
    return {"sum": float(np.nansum([clip_f1, overlap])), "weak_f1": clip_f1, "intersection_f1": overlap}


def by_steps(model: CRNN2023A, data: DataGenerator) -> Results:
    """Score clips with one row per step of the network (64 ms), not per frame."""
    return changed(model.evaluate(data), partial(to_steps, window=model.shape[0]))


def to_steps(scores: Scores, *, window: int) -> Scores:
    """Keep one row of scores for the four or five frames that share a step of the network; `window` is the number of frames of a window."""
    source = np.arange(len(scores.values)) * (window // _POOLED) // window
    firsts = np.flatnonzero(np.diff(source, prepend=-1))
    return Scores(scores.values[firsts], np.append(scores.edges[firsts], scores.edges[-1]), scores.labels)


def to_seconds(scores: Scores) -> Scores:
    """Average scores over whole seconds; the last one may be shorter."""
    edges = np.append(np.arange(np.ceil(scores.edges[-1] - 1e-6)), scores.edges[-1])
    sums = np.concatenate([np.zeros((1, len(scores.labels))), np.cumsum(scores.values * np.diff(scores.edges)[:, None], axis=0)])
    at = np.stack([np.interp(edges, scores.edges, column) for column in sums.T], axis=1)
    return Scores(np.diff(at, axis=0) / np.diff(edges)[:, None], edges, scores.labels)


def smoother(median: PerLabel) -> Callable[[Scores], Scores]:
    """Return the published median filter, which mirrors scores at clip ends; `median` is its length in steps, for all labels or each."""
    return partial(median_filter, frames=median, pad="reflect")


def boxer(settings: Mapping[str, Any]) -> Callable[[Scores], Scores]:
    """Return the function that replaces scores by sound event bounding boxes (cSEBBs) with these settings."""
    return partial(csebbs_scores, **settings)


def changed(results: Results, chain: Callable[[Scores], Scores]) -> Results:
    """Return a copy of results after applying a function to the scores of each clip."""
    return replace(results, scores=tuple(map(chain, results.scores)))


def material(results: Results) -> tuple[dict[str, Sequence[Event]], dict[str, Scores], dict[str, Seconds]]:
    """Return the reference events, scores and durations (seconds) of all clips, each as a dict from the clip's id, for metrics."""
    scores = dict(zip(results.clips, results.scores, strict=True))
    return _events(results)[0], scores, dict(zip(results.clips, results.durations, strict=True))


def _events(results: Results) -> tuple[dict[str, Sequence[Event]], dict[str, Sequence[Event]]]:
    """Return the reference's events and those found at a threshold of 0.5."""
    found: dict[str, Sequence[Event]] = {clip: to_events(scores) for clip, scores in zip(results.clips, results.scores, strict=True)}
    return {clip: (results.events or {})[clip] or () for clip in found}, found


def measure(results: Results) -> Numbers:
    """Compute the measures of the challenge, each with its 95 % interval; PSDS is computed over all thresholds."""
    reference, scores, durations = material(results)
    numbers: Numbers = {}
    for name, setting in (("psds1", psds.PSDS1), ("psds2", psds.PSDS2)):
        statistic = statistics.psds(reference, scores, durations, unbiased=True, **setting)
        span = bootstrap.interval(statistic, len(scores), method="percentile", groups=results.groups or None)
        numbers[name] = psds.psds(reference, scores, durations, **setting)["psds"], span
    found = _events(results)[1]
    for name, kind in (("event_f1", event), ("intersection_f1", intersection)):
        counts = kind.counts(reference, found, labels=results.labels)
        statistic = statistics.figure_of(counts, "f1/macro")
        [f1] = np.asarray(statistic(np.ones((1, len(scores)), np.float32))).tolist()
        numbers[name] = f1, bootstrap.interval(statistic, len(scores), groups=results.groups or None)
    return numbers


def partial_auc(results: Results, labels: Sequence[str]) -> float:
    """Compute the macro AUC in segments of 1 s, up to a false positive rate of 0.1; a segment's score is the mean over the second."""
    return segment.auroc(*material(changed(results, to_seconds)), labels=labels)["auroc@0.1/macro"]


def partial_auc_interval(results: Results, labels: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of `partial_auc` over clips."""
    statistic = statistics.segment_auroc(*material(changed(results, to_seconds)), labels=labels)
    return bootstrap.interval(statistic, len(results.clips), groups=results.groups or None)


def compare(found: Numbers) -> Table:
    """Make a table that compares each measure for the median filter and for bounding boxes."""
    rows = [(name, value, found[f"{name}_csebbs"][0]) for name, (value, _) in found.items() if f"{name}_csebbs" in found]
    return Table(
        ("measure", "median filter", "cSEBBs", "gain"),
        [(*row, row[2] - row[1]) for row in rows],
        title="The same scores, smoothed and as boxes",
    )


def list_settings(settings: Mapping[str, Mapping[str, float]], *, title: str) -> Table:
    """Make a table of settings with a row per label; `settings` maps setting -> label -> value."""
    labels: Sequence[str] = [*next(iter(settings.values()))]
    rows: list[dict[str, Any]] = [{"label": label, **{name: each[label] for name, each in settings.items()}} for label in labels]
    return Table.of(rows, title=title)
