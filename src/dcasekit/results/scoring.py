"""Score the files of any system, ours or not: named metrics of a reference against events or scores, with intervals.

The settings of a metric's name are those of DCASE; each function takes more. What needs scores is computed over all thresholds, what needs
events from the events given, or from the scores at one threshold.
"""

import difflib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit.annotations import Event, events_to_tags, read_events, tags_to_vector
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.errors import MetricError, NameNotFoundError
from dcasekit.metrics import Array, bootstrap, drawn, event, intersection, psds, ratio, segment, tagging
from dcasekit.metrics.bootstrap import Statistic
from dcasekit.scores import PerLabel, Scores, pool, read_durations, read_scores_folder, to_events

Events = Mapping[str, Sequence[Event]]
Numbers = dict[str, float]

_AUDIO = re.compile(r"\.(wav|flac|ogg|mp3)$")


@dataclass(frozen=True, eq=False)
class Material:
    """A reference, and what a system says about the same clips.

    Parameters
    ----------
    reference : clip id -> events; the clips that are scored.
    labels : what is evaluated.
    estimate : clip id -> events.
    scores : clip id -> scores; ``None``: the system gave events only.
    durations : clip id -> seconds; ``None``: unknown, which some metrics refuse.
    """

    reference: Events
    labels: tuple[str, ...]
    estimate: Events
    scores: Mapping[str, Scores] | None = None
    durations: Mapping[str, Seconds] | None = None


@dataclass(frozen=True)
class Score:
    """A metric's numbers; ``value`` is the one it is named after, ``interval`` where the true one lies (NaN: not asked for)."""

    metric: str
    headline: str
    numbers: Numbers
    interval: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def value(self) -> float:
        """The number the metric is named after."""
        return self.numbers[self.headline]


@dataclass(frozen=True)
class Metric:
    """What a name stands for.

    Parameters
    ----------
    headline : key of the number it is named after.
    function : of a reference and of what it `needs`.
    needs : ``"events"``, ``"scores"`` or ``"tags"``.
    settings : of the function, beyond its defaults.
    """

    headline: str
    function: Callable[..., Any]
    needs: str = "scores"
    settings: Mapping[str, Any] = field(default_factory=dict)


METRICS: Mapping[str, Metric] = {
    "segment_f1": Metric("f1/macro", segment.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "segment_f1_micro": Metric("f1/micro", segment.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "segment_error_rate": Metric("error_rate/micro", segment.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "event_f1": Metric("f1/macro", event.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "event_f1_micro": Metric("f1/micro", event.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "event_error_rate": Metric("error_rate/micro", event.evaluate, "events", {"empty_output": "zero", "absent": "nan"}),
    "intersection_f1": Metric("f1/macro", intersection.f1, "events"),
    "psds1": Metric("psds", psds.psds, settings=psds.PSDS1),
    "psds2": Metric("psds", psds.psds, settings=psds.PSDS2),
    "psds_2020": Metric("psds", psds.psds, settings=psds.PSDS_2020),
    "psds_2020_cross_trigger": Metric("psds", psds.psds, settings=psds.PSDS_2020_CROSS_TRIGGER),
    "psds_2020_macro": Metric("psds", psds.psds, settings=psds.PSDS_2020_MACRO),
    "best_segment_f1": Metric("f1/macro", segment.best_f1),
    "best_event_f1": Metric("f1/macro", event.best_f1),
    "best_intersection_f1": Metric("f1/macro", intersection.best_f1),
    "segment_auroc": Metric("auroc/macro", segment.auroc),
    "clip_average_precision": Metric("average_precision/macro", tagging.evaluate, "tags"),
    "clip_lwlrap": Metric("lwlrap", tagging.evaluate, "tags"),
}


def read(
    reference: PathLike,
    estimate: PathLike,
    *,
    durations: PathLike | None = None,
    labels: Sequence[str] | None = None,
    threshold: PerLabel = 0.5,
) -> Material:
    """Read a system's files.

    Parameters
    ----------
    reference : TSV or CSV of events, ``filename onset offset event_label``; a row with empty event fields says that a file has none.
    estimate : such a file, or a folder of score files, one per clip: ``onset offset label1 label2 ...``.
    durations : TSV or CSV, ``filename duration``; ``None``: for scores the end of the last frame, for events unknown. Its clips that
        the reference lacks hold no event, and are scored.
    labels : what is evaluated; ``None``: those of the scores, else all that occur.
    threshold : scores above it are events, for the metrics of events.

    Raises
    ------
    AnnotationError : a file is wrong; the message names file and line.
    MetricError : the clips of reference and estimate do not agree.

    Notes
    -----
    ``a.wav``, ``a`` and ``audio/a.wav`` are the same clip, unless two files of one list would then be one.
    """
    true = _by_clip(read_events(reference), reference)
    lengths = None if durations is None else _by_clip(read_durations(durations), durations)
    scores = _by_clip(read_scores_folder(estimate), estimate) if Path(estimate).is_dir() else None
    if scores is None:
        found: Events = _by_clip(read_events(estimate), estimate)
    else:
        found = {clip: to_events(each, threshold=threshold) for clip, each in scores.items()}
        lengths = lengths or {clip: float(each.edges[-1]) for clip, each in scores.items()}
    # A clip without events may lack in the reference if another list says that it is there.
    true = {**dict.fromkeys((*(lengths or ()), *(scores or ())), ()), **true}
    _refuse_misfits(true, found, scores, f"{reference}{f' and {durations}' if durations else ''}", str(estimate))
    every = {one.label for listed in (*true.values(), *found.values()) for one in listed}
    chosen = labels or (next(iter(scores.values())).labels if scores else sorted(every))
    return Material(true, tuple(chosen), found, scores, lengths)


def _refuse_misfits(true: Events, found: Events, scores: Mapping[str, Scores] | None, reference: str, estimate: str) -> None:
    if strange := [clip for clip in found if clip not in true]:
        raise MetricError(
            f"{estimate} has clip {strange[0]!r}, which {reference} lacks; list it there with empty event fields if nothing sounds in it"
        )
    if scores is not None and (unscored := [clip for clip in true if clip not in scores]):
        raise MetricError(f"{estimate} has no scores of clip {unscored[0]!r}, which is in {reference}; score it, or leave it out there")


def named(name: str) -> Metric:
    """Find a metric.

    Raises
    ------
    NameNotFoundError : there is none of this name.
    """
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, n=1)
        raise NameNotFoundError(f"no metric {name!r}.{f' Did you mean {close[0]!r}?' if close else ''} Known: {', '.join(METRICS)}")
    return METRICS[name]


def settings_of(function: Callable[..., Any]) -> list[str]:
    """List the keyword-only parameters of a metric that are not given by the material."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.kind is one.KEYWORD_ONLY and one.name not in ("labels", "durations")]


def score(name: str, material: Material, *, settings: Mapping[str, Any] | None = None, repeats: int = 0, seed: int = 0) -> Score:
    """Compute one metric by its name.

    Parameters
    ----------
    name : one of `METRICS`.
    material : see `Material`.
    settings : of the metric's function, in place of those of its name.
    repeats : draws of the bootstrap; 0: no interval. Events and tags are counted once per clip and the counts drawn.
    seed : of the draws.

    Raises
    ------
    MetricError : the metric needs scores or durations that are not there, or cannot take a setting.
    """
    metric = named(name)
    chosen = {**metric.settings, **(settings or {})}
    if unknown := sorted(chosen.keys() - set(settings_of(metric.function))):
        raise MetricError(f"metric {name} has no setting {unknown[0]!r}; its settings are: {', '.join(settings_of(metric.function))}")
    if metric.needs != "events" and material.scores is None:
        raise MetricError(f"metric {name} needs scores over time; give a folder of score files as the estimate, or choose another metric")
    numbers = _NUMBERS[metric.needs](metric, material, chosen)
    interval = (float("nan"), float("nan"))
    if repeats:
        statistic = _STATISTICS[metric.needs](metric, material, chosen)
        # With alpha_st, bias is off the figure already; BCa would take it off a second time.
        method: Literal["bca", "percentile"] = "percentile" if chosen.get("alpha_st") else "bca"
        interval = bootstrap.interval(statistic, len(material.reference), repeats=repeats, seed=seed, method=method)
    return Score(name, metric.headline, numbers, interval)


def _by_clip(listed: Mapping[str, Any], where: PathLike) -> dict[str, Any]:
    """Name clips without folder and audio suffix, unless two would then have one name."""
    short = {name: _AUDIO.sub("", Path(name).name) for name in listed}
    if len(set(short.values())) < len(short):
        short = {name: _AUDIO.sub("", name) for name in listed}
    if len(set(short.values())) < len(short):
        twice = next(name for name, count in Counter(short.values()).items() if count > 1)
        raise MetricError(f"{where} lists clip {twice!r} under two names: {', '.join(name for name in listed if short[name] == twice)}")
    return {short[name]: content for name, content in listed.items()}


def _of_events(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Numbers:
    known = inspect.signature(metric.function).parameters
    timed = {"durations": material.durations} if "durations" in known else {}
    return dict(metric.function(material.reference, material.estimate, labels=material.labels, **{**timed, **settings}))


def _of_scores(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Numbers:
    known = inspect.signature(metric.function).parameters
    chosen = {"labels": material.labels} if "labels" in known else {}
    return dict(metric.function(material.reference, material.scores, material.durations, **{**chosen, **settings}))


def _of_tags(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Numbers:
    truth, scores = _tag_arrays(material)
    return dict(metric.function(truth, scores, labels=material.labels, **settings))


def _tag_arrays(material: Material) -> tuple[FloatArray, FloatArray]:
    """Say of each clip which labels occur, and the largest score of each label: (clips, labels)."""
    scores = material.scores or {}  # never none: score() has looked
    columns = [next(iter(scores.values())).labels.index(label) for label in material.labels]
    truth = [tags_to_vector(events_to_tags(material.reference[clip]), material.labels) for clip in scores]
    return np.stack(truth), np.concatenate([pool(each, how="max").values[:, columns] for each in scores.values()])


def _statistic_of_events(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Statistic:
    function = _COUNTS[metric.function]
    known = inspect.signature(function).parameters
    timed = {"durations": material.durations} if "durations" in known else {}
    counted = {key: value for key, value in settings.items() if key in known}
    return drawn.figure_of(function(material.reference, material.estimate, labels=material.labels, **{**timed, **counted}), metric.headline)


def _statistic_of_tags(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Statistic:  # noqa: ARG001
    truth, scores = _tag_arrays(material)
    if metric.headline == "lwlrap":
        numbers = np.count_nonzero(truth, axis=1)
        sums = numbers * tagging.ranking(truth, scores)["label_ranking_average_precision"]
        return lambda weights: ratio(weights @ sums, weights @ numbers)

    def statistic(weights: FloatArray) -> Array:
        values = tagging.average_precision(truth, scores, weights=weights)
        return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))

    return statistic


_NUMBERS: Mapping[str, Callable[[Metric, Material, Mapping[str, Any]], Numbers]] = {
    "events": _of_events,
    "scores": _of_scores,
    "tags": _of_tags,
}


def _statistic_of_scores(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Statistic:
    function = _DRAWN[metric.function]
    known = inspect.signature(function).parameters
    chosen = {"labels": material.labels} if "labels" in known else {}
    if strange := sorted(settings.keys() - known.keys()):
        raise MetricError(f"no interval can be given with the setting {strange[0]}; leave it, or --bootstrap, out")
    return function(material.reference, material.scores, material.durations, **{**chosen, **settings})


_COUNTS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    segment.evaluate: segment.counts,
    event.evaluate: event.counts,
    intersection.f1: intersection.counts,
}
_DRAWN: Mapping[Callable[..., Any], Callable[..., Statistic]] = {
    psds.psds: partial(drawn.psds, unbiased=True),
    segment.best_f1: drawn.best_segment_f1,
    event.best_f1: drawn.best_event_f1,
    intersection.best_f1: drawn.best_intersection_f1,
    segment.auroc: drawn.segment_auroc,
}
_STATISTICS: Mapping[str, Callable[[Metric, Material, Mapping[str, Any]], Statistic]] = {
    "events": _statistic_of_events,
    "scores": _statistic_of_scores,
    "tags": _statistic_of_tags,
}
