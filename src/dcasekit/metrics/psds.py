"""Polyphonic sound detection score (PSDS): the area under the PSD-ROC, over all thresholds.

For each label, the effective false positives per hour are ``false alarms + alpha_ct * mean cross triggers``: false alarms per hour of
audio, and cross triggers by each other label per hour of that label. The label's curve gives, at x effective false positives per hour, the
largest share of reference events (TPR) that is found with at most x. The effective TPR is ``max(0, mean - alpha_st * standard deviation)``
over the labels' curves at x, and PSDS is its area up to ``max_fp_per_hour``, divided by that. When a detection is valid and an event found
is said in `dcasekit.metrics.intersection`.
C. Bilen et al., "A framework for the robust evaluation of sound event detection", ICASSP 2020; for all thresholds instead of a
list J. Ebbers, R. Serizel, R. Haeb-Umbach, "Threshold-independent evaluation of sound event detection scores", ICASSP 2022.

Exact over all thresholds by default, equal to sed_scores_eval 0.0.4. psds_eval 0.5.3 takes a list of thresholds and so finds
less: with continuous scores and the usual 50 thresholds PSDS1 may be a quarter too low. Give ``thresholds`` for its number. Its
own default of ``max_efpr`` is the largest rate observed: ``max_fp_per_hour=None``.

Labels that the reference does not hold are in no mean: neither of TPR nor of cross triggers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np

from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array
from dcasekit.metrics._curves import effective, mean_height, staircase
from dcasekit.metrics._events import Events
from dcasekit.metrics._intersections import check_shares, curves
from dcasekit.metrics._scored import ScoresOf, gather


class Setting(TypedDict):
    """The settings of one PSDS, see `psds`; pass them on as ``psds(reference, scores, durations, **PSDS1)``."""

    dtc: float
    gtc: float
    cttc: float | None
    alpha_ct: float
    alpha_st: float
    max_fp_per_hour: float | None


# DCASE task 4: since 2021 two scenarios, fast reaction and no confusion; in 2020 one score in three strictnesses.
PSDS1: Setting = {"dtc": 0.7, "gtc": 0.7, "cttc": None, "alpha_ct": 0.0, "alpha_st": 1.0, "max_fp_per_hour": 100.0}
PSDS2: Setting = {"dtc": 0.1, "gtc": 0.1, "cttc": 0.3, "alpha_ct": 0.5, "alpha_st": 1.0, "max_fp_per_hour": 100.0}
PSDS_2020: Setting = {"dtc": 0.5, "gtc": 0.5, "cttc": 0.3, "alpha_ct": 0.0, "alpha_st": 0.0, "max_fp_per_hour": 100.0}
PSDS_2020_CROSS_TRIGGER: Setting = {**PSDS_2020, "alpha_ct": 1.0}
PSDS_2020_MACRO: Setting = {**PSDS_2020, "alpha_st": 1.0}


class LabelRoc(NamedTuple):
    """The curve of one label, a staircase: effective false positives per hour, ascending from 0, and TPR in [0, 1], both (points,)."""

    fp_per_hour: Array
    tpr: Array


@dataclass(frozen=True, eq=False)
class Roc:
    """A PSD-ROC, a staircase: each value holds from its point to the next, the last one to `max_fp_per_hour`.

    Parameters
    ----------
    fp_per_hour : (points,), effective false positives per hour, ascending from 0.
    tpr : (points,), effective true positive rate, in [0, 1].
    labels : label -> `LabelRoc`, for the labels that the reference holds.
    max_fp_per_hour : end of the axis, in false positives per hour.
    """

    fp_per_hour: Array
    tpr: Array
    labels: Mapping[str, LabelRoc]
    max_fp_per_hour: float

    @property
    def area(self) -> float:
        """The PSDS: the area below the curve, divided by `max_fp_per_hour`; in [0, 1]."""
        return mean_height(self.fp_per_hour, self.tpr, self.max_fp_per_hour)


def psds(  # noqa: PLR0913 - the settings of the definition
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    dtc: float,
    gtc: float,
    cttc: float | None = None,
    alpha_ct: float = 0.0,
    alpha_st: float = 0.0,
    max_fp_per_hour: float | None = 100.0,
    thresholds: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
) -> dict[str, float]:
    """Compute the polyphonic sound detection score.

    Parameters
    ----------
    reference, scores, durations : clip id -> events, scores, seconds, for the same clips; `durations` may have more. An empty list of
        events means that nothing sounds.
    dtc : detection tolerance criterion: share of a detection that reference events of its label must cover, in (0, 1].
    gtc : ground truth intersection criterion: share of a reference event that valid detections must cover, in (0, 1].
    cttc : cross-trigger tolerance criterion: share of a false alarm that the events of another label must cover to make it a cross trigger,
        in (0, 1]; needed if `alpha_ct` is above 0.
    alpha_ct : weight of cross triggers, at least 0.
    alpha_st : weight of the standard deviation over labels, at least 0.
    max_fp_per_hour : effective false positives per hour up to which the area is taken, above 0; ``None``: the largest rate that occurs.
    thresholds : operating points, as in psds_eval; a score must be strictly greater, compared as float32 as in
        `dcasekit.scores.to_events`. ``None``: all thresholds that make a difference.
    labels : the labels to evaluate, some of those of the scores; detections and events of other labels are left out. ``None``: all.

    Returns
    -------
    dict : ``psds``, and ``psds/<label>``, the area under the label's own curve, both in [0, 1]; NaN where the reference does not hold the
        label.

    Raises
    ------
    MetricError : clips, durations or labels do not agree, the reference holds no event, or a setting is out of its range.

    Examples
    --------
    >>> from dcasekit.annotations import Event
    >>> from dcasekit.scores import Scores
    >>> scores = {"a": Scores([[0.1], [0.8], [0.6], [0.3]], [0, 1, 2, 3, 4], ["dog"])}
    >>> psds({"a": [Event(1, 3, "dog")]}, scores, {"a": 4.0}, **PSDS1)
    {'psds': 1.0, 'psds/dog': 1.0}
    """
    curve = roc(
        reference,
        scores,
        durations,
        dtc=dtc,
        gtc=gtc,
        cttc=cttc,
        alpha_ct=alpha_ct,
        alpha_st=alpha_st,
        max_fp_per_hour=max_fp_per_hour,
        thresholds=thresholds,
        labels=labels,
    )
    areas = {label: mean_height(*own, curve.max_fp_per_hour) for label, own in curve.labels.items()}
    every = labels or next(iter(scores.values())).labels
    return {"psds": curve.area} | {f"psds/{label}": areas.get(label, float("nan")) for label in every}


def roc(  # noqa: PLR0913 - the settings of the definition
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    dtc: float,
    gtc: float,
    cttc: float | None = None,
    alpha_ct: float = 0.0,
    alpha_st: float = 0.0,
    max_fp_per_hour: float | None = 100.0,
    thresholds: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
) -> Roc:
    """Compute the PSD-ROC, the curve whose area is the PSDS, for instance to draw it; parameters and errors as for `psds`."""
    check_shares(dtc=dtc, gtc=gtc, cttc=cttc)
    _check((cttc, alpha_ct, alpha_st), max_fp_per_hour, thresholds)
    data = gather(reference, scores, durations, labels)
    numbers = data.numbers
    if not numbers.any():
        raise MetricError("the reference holds no event, so there is nothing to find; give the events of at least one clip")
    hours, end, own = data.durations.sum() / 3600, np.inf if max_fp_per_hour is None else max_fp_per_hour, {}
    largest = 0.0
    counted = curves(data, dtc=dtc, gtc=gtc, cttc=cttc if alpha_ct else None)
    for label, number, (level, counts) in zip(data.labels, numbers.tolist(), counted, strict=True):
        if number:
            hits, alarms, cross = counts if thresholds is None else _sample(level, counts, thresholds)
            # Cross triggers that come and go leave 1e-12 of a rate, on either side of 0.
            rate = np.round(alarms / hours + 3600 * alpha_ct * cross, 9)
            largest = max(largest, float(rate.max()))
            inside = rate <= end
            own[label] = LabelRoc(*staircase(rate[inside], hits[inside] / number))
    x, tpr = effective(list(own.values()), alpha_st)
    return Roc(x, tpr, own, largest if max_fp_per_hour is None else float(max_fp_per_hour))


def _check(weights: tuple[float | None, float, float], max_fp_per_hour: float | None, thresholds: Sequence[float] | None) -> None:
    """Raise MetricError if a setting is out of its range; shares are checked elsewhere."""
    cttc, alpha_ct, alpha_st = weights
    for name, value in (("alpha_ct", alpha_ct), ("alpha_st", alpha_st)):
        if not 0 <= value < np.inf:
            raise MetricError(f"{name} is a weight and must be >= 0, got {value}")
    if alpha_ct and cttc is None:
        raise MetricError(
            f"alpha_ct={alpha_ct} penalises cross triggers, which are only found if cttc is given; give cttc (0.3 in DCASE) or alpha_ct=0"
        )
    if max_fp_per_hour is not None and not 0 < max_fp_per_hour < np.inf:
        raise MetricError(f"max_fp_per_hour must be > 0, or None for the largest that occurs; got {max_fp_per_hour}")
    if thresholds is not None and not (len(thresholds) and np.isfinite(thresholds).all()):
        raise MetricError(f"thresholds must be finite numbers, at least one; got {thresholds}")


def _sample(level: Array, counts: Array, thresholds: Sequence[float]) -> Array:
    """Choose the counts at a list of thresholds, and those where nothing is detected."""
    lowered = np.asarray(thresholds, dtype=np.float32).astype(np.float64)
    above = len(level) - np.searchsorted(level[::-1], lowered, side="right")  # scores that exceed each; infinity always does
    return counts[:, np.append(0, above - 1)]
