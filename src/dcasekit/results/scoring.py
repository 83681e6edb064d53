"""Score the output of any system: metrics, by name, of events or scores against a reference, with intervals.

A metric's name stands for a function and the settings that DCASE uses; the functions have more settings. Metrics that need scores are
computed over all thresholds; metrics that need events use the given events, or those found in the scores at one threshold.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from dcasekit.annotations import TIME_TOLERANCE, events_to_tags, tags_to_vector
from dcasekit.core.units import FloatArray
from dcasekit.errors import MetricError, NameNotFoundError
from dcasekit.metrics import Array, binarize, bootstrap, event, intersection, psds, ratio, segment, statistics, tagging
from dcasekit.metrics.bootstrap import Mapper, Statistic
from dcasekit.results.material import Material, read

__all__ = ["METRICS", "Material", "Metric", "Score", "find_metric", "read", "score", "settings_of"]

Numbers = dict[str, float]


@dataclass(frozen=True)
class Score:
    """The result of one metric.

    Parameters
    ----------
    metric : its name, one of `METRICS`.
    headline : key of its main number in `numbers`.
    numbers : all numbers that the metric's function returned.
    interval : ends of the 95 % bootstrap interval of the main number; NaN: it was not computed.
    """

    metric: str
    headline: str
    numbers: Numbers
    interval: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def value(self) -> float:
        """The main number of the metric."""
        return self.numbers[self.headline]


@dataclass(frozen=True)
class Metric:
    """The function and the settings that a metric's name stands for.

    Parameters
    ----------
    headline : key of its main number; the names of settings in braces are replaced by their values.
    function : computes all numbers from a reference and from what it `needs`.
    needs : ``"events"``, ``"scores"`` (over time), or ``"tags"`` (clip-level truth and scores).
    settings : settings of the function that differ from its defaults.
    """

    headline: str
    function: Callable[..., Any]
    needs: str = "scores"
    settings: Mapping[str, Any] = field(default_factory=dict)


_HONEST = {"empty_output": "zero", "absent": "nan"}
_SEGMENTS = {**_HONEST, "tolerance": TIME_TOLERANCE}  # edges of frames are rounded

METRICS: Mapping[str, Metric] = {
    "segment_f1": Metric("f1/macro", segment.evaluate, "events", _SEGMENTS),
    "segment_f1_micro": Metric("f1/micro", segment.evaluate, "events", _SEGMENTS),
    "segment_error_rate": Metric("error_rate/micro", segment.evaluate, "events", _SEGMENTS),
    "event_f1": Metric("f1/macro", event.evaluate, "events", _HONEST),
    "event_f1_micro": Metric("f1/micro", event.evaluate, "events", _HONEST),
    "event_error_rate": Metric("error_rate/micro", event.evaluate, "events", _HONEST),
    "intersection_f1": Metric("f1/macro", intersection.f1, "events"),
    "psds1": Metric("psds", psds.psds, settings=psds.PSDS1),
    "psds2": Metric("psds", psds.psds, settings=psds.PSDS2),
    "psds_2020": Metric("psds", psds.psds, settings=psds.PSDS_2020),
    "psds_2020_cross_trigger": Metric("psds", psds.psds, settings=psds.PSDS_2020_CROSS_TRIGGER),
    "psds_2020_macro": Metric("psds", psds.psds, settings=psds.PSDS_2020_MACRO),
    "best_segment_f1": Metric("f1/macro", segment.best_f1),
    "best_event_f1": Metric("f1/macro", event.best_f1),
    "best_intersection_f1": Metric("f1/macro", intersection.best_f1),
    "segment_auroc": Metric("auroc@{max_fpr:g}/macro", segment.auroc, settings={"max_fpr": 0.1}),
    "clip_average_precision": Metric("average_precision/macro", tagging.evaluate, "tags"),
    "clip_lwlrap": Metric("lwlrap", tagging.evaluate, "tags"),
}


def find_metric(name: str) -> Metric:
    """Return the metric of a name in `METRICS`.

    Raises
    ------
    NameNotFoundError : there is none of this name; the message suggests the closest one.
    """
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, n=1)
        raise NameNotFoundError(f"no metric {name!r}.{f' Did you mean {close[0]!r}?' if close else ''} Known: {', '.join(METRICS)}")
    return METRICS[name]


def settings_of(function: Callable[..., Any]) -> list[str]:
    """List the settings of a metric's function: its keyword-only parameters except ``labels`` and ``durations``."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.kind is one.KEYWORD_ONLY and one.name not in ("labels", "durations")]


def score(
    name: str,
    material: Material,
    *,
    settings: Mapping[str, Any] | None = None,
    repeats: int = 0,
    seed: int = 0,
    mapper: Mapper | None = None,
) -> Score:
    """Compute one metric by its name.

    Parameters
    ----------
    name : one of `METRICS`.
    material : reference and estimate, see `Material` and `read`.
    settings : settings of the metric's function that take the place of those of its name. If events come from scores, which cannot tell
        apart events of one label that touch, event-based metrics join such events in the reference, too, unless ``join=False``.
    repeats : number of draws of the bootstrap; 0: no interval is computed.
    seed : of the draws.
    mapper : where the draws are computed, see `dcasekit.metrics.bootstrap.interval`.

    Raises
    ------
    NameNotFoundError : there is no metric of this name.
    MetricError : the metric needs scores or durations that are not there, or does not have a setting.
    """
    metric = find_metric(name)
    chosen = {**metric.settings, **(settings or {})}
    if unknown := sorted(chosen.keys() - set(settings_of(metric.function))):
        raise MetricError(f"metric {name} has no setting {unknown[0]!r}; its settings are: {', '.join(settings_of(metric.function))}")
    if metric.needs != "events" and material.scores is None:
        raise MetricError(f"metric {name} needs scores over time; give a folder of score files as the estimate, or choose another metric")
    if "join" in settings_of(metric.function):
        chosen.setdefault("join", material.scores is not None)
    numbers = _NUMBERS[metric.needs](metric, material, chosen)
    interval = (float("nan"), float("nan"))
    if repeats:
        statistic = _STATISTICS[metric.needs](metric, material, chosen)
        # With alpha_st, bias is off the figure already; a widened interval would take it off a second time.
        method: Literal["widened", "percentile"] = "percentile" if chosen.get("alpha_st") else "widened"
        interval = bootstrap.interval(statistic, len(material.reference), repeats=repeats, seed=seed, method=method, mapper=mapper)
    return Score(name, metric.headline.format(**chosen), numbers, interval)


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
    scores, ends = material.scores or {}, material.durations or {}  # scores are never none: score() has looked
    columns = [next(iter(scores.values())).labels.index(label) for label in material.labels]
    truth, found = [], []
    for clip, each in scores.items():
        end = ends.get(clip, np.inf) - TIME_TOLERANCE
        heard = [one for one in material.reference[clip] if one.label in material.labels and one.onset < end]
        truth.append(tags_to_vector(events_to_tags(heard), material.labels))
        frames = max(1, int(np.searchsorted(each.edges[:-1], end)))
        found.append(each.values[:frames, columns].max(axis=0))
    return np.stack(truth), np.stack(found)


def _statistic_of_events(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Statistic:
    function = _COUNTS[metric.function]
    known = inspect.signature(function).parameters
    timed = {"durations": material.durations} if "durations" in known else {}
    counted = {key: value for key, value in settings.items() if key in known}
    return statistics.figure_of(
        function(material.reference, material.estimate, labels=material.labels, **{**timed, **counted}), metric.headline
    )


def _statistic_of_tags(metric: Metric, material: Material, settings: Mapping[str, Any]) -> Statistic:  # noqa: ARG001
    truth, scores = _tag_arrays(material)
    if metric.headline == "lwlrap":
        numbers = binarize(truth)[0].sum(axis=1)
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
        raise MetricError(f"no interval can be computed with the setting {strange[0]}; leave out that setting, or --bootstrap")
    return function(material.reference, material.scores, material.durations, **{**chosen, **settings})


_COUNTS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    segment.evaluate: segment.counts,
    event.evaluate: event.counts,
    intersection.f1: intersection.counts,
}
_DRAWN: Mapping[Callable[..., Any], Callable[..., Statistic]] = {
    psds.psds: partial(statistics.psds, unbiased=True),
    segment.best_f1: statistics.best_segment_f1,
    event.best_f1: statistics.best_event_f1,
    intersection.best_f1: statistics.best_intersection_f1,
    segment.auroc: statistics.segment_auroc,
}
_STATISTICS: Mapping[str, Callable[[Metric, Material, Mapping[str, Any]], Statistic]] = {
    "events": _statistic_of_events,
    "scores": _statistic_of_scores,
    "tags": _statistic_of_tags,
}
