"""Metrics of detection as functions of the clips' weights, for a bootstrap or a paired test; events are matched once, not in every draw.

For metrics of events, `figure_of` takes the counts of `segment.counts`, `event.counts` or `intersection.counts`. For PSDS, best F1 and the
area under the ROC curve, the counts of each clip are kept at about `LEVELS` thresholds per label: those at which the curve of all clips
turns, and others evenly between them. If every clip counts once, PSDS and best F1 are exact and the area nearly so; in a draw, only these
thresholds are tried.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from dcasekit.core.units import FloatArray, Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import Array, detection, ratio
from dcasekit.metrics._best import check_max_fpr, segment_tally
from dcasekit.metrics._collars import tally as collar_tally
from dcasekit.metrics._curves import ChangesOfClips, area_between
from dcasekit.metrics._detections import MICROSECONDS
from dcasekit.metrics._events import Counts, Events, check_collars, count_each
from dcasekit.metrics._intersections import check_shares
from dcasekit.metrics._intersections import tally as intersection_tally
from dcasekit.metrics._scored import Scored, ScoresOf, gather
from dcasekit.metrics.bootstrap import Statistic, draw
from dcasekit.metrics.event import EventCounts
from dcasekit.metrics.psds import psds as exact_psds
from dcasekit.metrics.segment import SegmentCounts

LEVELS = 1000
_RATES = 1000  # points of a PSD-ROC
_DRAWS = 200  # in which it is measured what chance adds to the spread of labels
_NUMBERS = 50_000_000  # counts kept of a label; with more clips at fewer thresholds


class PerClip(Protocol):
    """Counts (clips, labels), as `SegmentCounts`, `EventCounts` and `IntersectionCounts` have them."""

    @property
    def hits(self) -> Counts:
        """Numbers of hits."""

    @property
    def reference(self) -> Counts:
        """Numbers in the reference."""

    @property
    def estimate(self) -> Counts:
        """Numbers in the estimate."""


def figure_of(counts: PerClip, key: str) -> Statistic:
    """Return one number of `evaluate` as a function of weights (draws, clips).

    Parameters
    ----------
    counts : what `segment.counts`, `event.counts` or `intersection.counts` returned.
    key : ``f1``, ``precision`` or ``recall``, then ``/micro`` or ``/macro``; or ``error_rate/micro``, for segments and events only.

    Returns
    -------
    function from weights (draws, clips) to values (draws,), as `dcasekit.metrics.bootstrap.interval` takes it.

    Raises
    ------
    MetricError : there is no such function for this key and these counts.

    Notes
    -----
    A label that does not occur in a draw is left out of that draw's macro mean; a label that occurs and is never estimated counts 0.
    """
    name, _, kind = key.partition("/")
    if name == "error_rate" and kind == "micro" and isinstance(counts, SegmentCounts | EventCounts):
        if isinstance(counts, SegmentCounts):  # each segment has its own errors
            wrong = counts.substitutions + counts.deletions + counts.insertions
        else:
            wrong = (counts.reference + counts.estimate - 2 * counts.hits).sum(axis=1) - counts.substitutions
        return lambda weights: ratio(weights @ wrong.astype(np.float64), weights @ counts.reference.sum(axis=1))
    if name not in ("f1", "precision", "recall") or kind not in ("micro", "macro"):
        raise MetricError(
            f"there is no interval for {key!r}; there are intervals for f1, precision and recall, each micro or macro, and error_rate/micro"
        )

    def statistic(weights: FloatArray) -> Array:
        drawn = [weights @ each.astype(np.float64) for each in (counts.hits, counts.reference, counts.estimate)]
        if kind == "micro":
            return detection(*(each.sum(axis=1) for each in drawn))[name]
        values = detection(*drawn)[name]
        values = np.where((drawn[2] == 0) & (drawn[1] > 0), 0.0, values)  # never estimated: 0, not unknown
        known = ~np.isnan(values)
        return ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))

    return statistic


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
    labels: Sequence[str] | None = None,
    unbiased: bool = False,
) -> Statistic:
    """Return the number of `dcasekit.metrics.psds.psds` as a function of weights (draws, clips).

    Parameters
    ----------
    reference, scores, durations, dtc, gtc, cttc, alpha_ct, alpha_st, max_fp_per_hour, labels : as for `dcasekit.metrics.psds.psds`.
    unbiased : correct the draws for the bias that `alpha_st` causes, see the notes.

    Notes
    -----
    With `alpha_st` the spread between labels is subtracted, and with few clips labels differ by chance alone. So the figure is too low: if
    ten labels are equally hard, by as much as an interval is wide; and draws need not show it. `unbiased` subtracts from the variance
    between labels what the choice of clips adds to it, once for the given clips and once more for the draw. The interval is that of the
    figure of endlessly many clips, and may lie above the measured figure. As the bias is removed, plain percentiles of the draws suffice.

    Curves are evaluated in the middles of 1000 equal parts of their axis, which changes the figure of a draw by 1e-4. The thresholds, and
    the seconds of a label over which cross triggers are counted, are those of all clips in every draw; both together change the figure
    of a draw by a tenth of what the choice of clips does (measured with 200 clips).
    """
    settings = {"dtc": dtc, "gtc": gtc, "cttc": cttc, "alpha_ct": alpha_ct, "alpha_st": alpha_st, "max_fp_per_hour": max_fp_per_hour}
    figure = exact_psds(reference, scores, durations, labels=labels, **settings)["psds"]  # type: ignore[arg-type]
    data = gather(reference, scores, durations, labels)
    found = intersection_tally(data, ChangesOfClips, dtc=dtc, gtc=gtc, cttc=cttc if alpha_ct else None)
    hours, numbers = data.durations / 3600, _numbers(data)
    kept = [_keep(changes, len(hours), lambda counts: counts[1] / hours.sum() + 3600 * alpha_ct * counts[2]) for changes in found]
    pairs = [(each, number) for each, number in zip(kept, numbers.T, strict=True) if number.any()]

    def points(weights: FloatArray) -> Iterator[tuple[Array, Array]]:
        for each, number in pairs:
            hits, alarms, cross = _sum_draws(weights, each)
            yield alarms / (weights @ hours)[:, None] + 3600 * alpha_ct * cross, ratio(hits, (weights @ number)[:, None])

    def curves(weights: FloatArray) -> Iterator[Array]:
        ends = max_fp_per_hour or np.max([rate.max(axis=1, keepdims=True) for rate, _ in points(weights)], axis=0)
        return (_heights(rate / np.where(ends, ends, 1), tpr) for rate, tpr in points(weights))

    clips = np.ones((1, len(hours)), dtype=np.float32)
    rest = figure - _effective_area(*_moments(curves(clips)), alpha_st)  # so that the figure itself is exact
    chance: Array = np.zeros(())
    if unbiased and alpha_st:
        draws = draw(np.random.default_rng(0), _DRAWS, len(hours))
        chance = np.maximum(np.nanmean(_moments(curves(draws))[1], axis=0) - _moments(curves(clips))[1], 0)

    def statistic(weights: FloatArray) -> Array:
        mean, variance = _moments(curves(weights))
        # The weights of a draw vary by 1 on average, those of the clips themselves not at all.
        varied = ((weights - 1) ** 2).mean(axis=1, keepdims=True)
        return _effective_area(mean, variance - chance * (1 + varied), alpha_st) + rest

    return statistic


def best_event_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    onset_collar: Seconds = 0.2,
    offset_collar: Seconds | None = 0.2,
    offset_rate: float = 0.2,
) -> Statistic:
    """Return ``f1/macro`` of `dcasekit.metrics.event.best_f1`, with its parameters, as a function of weights (draws, clips)."""
    check_collars(onset_collar=onset_collar, offset_collar=offset_collar, offset_rate=offset_rate)
    data = gather(reference, scores, durations, labels)
    length = data.events.offset - data.events.onset
    reach = np.full_like(length, np.inf) if offset_collar is None else np.maximum(offset_collar, offset_rate * length)
    found = collar_tally(data, ChangesOfClips, onset_collar * MICROSECONDS, reach * MICROSECONDS)
    return _best_f1(found, data, lambda counts: counts[1])


def best_intersection_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> Statistic:
    """Return ``f1/macro`` of `dcasekit.metrics.intersection.best_f1`, with its parameters, as a function of weights (draws, clips)."""
    check_shares(dtc=dtc, gtc=gtc)
    data = gather(reference, scores, durations, labels)
    return _best_f1(intersection_tally(data, ChangesOfClips, dtc=dtc, gtc=gtc), data, lambda counts: counts[0] + counts[1])


def best_segment_f1(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
) -> Statistic:
    """Return ``f1/macro`` of `dcasekit.metrics.segment.best_f1`, with its parameters, as a function of weights (draws, clips)."""
    data = gather(reference, scores, durations, labels)
    found, numbers, _ = _of_clips(data, resolution)
    return _macro(
        [_keep(changes, len(numbers), lambda counts: counts[1]) for changes in found], numbers, lambda counts: counts[0] + counts[1]
    )


def segment_auroc(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str] | None = None,
    resolution: Seconds = 1.0,
    max_fpr: float = 0.1,
) -> Statistic:
    """Return ``auroc@.../macro`` of `dcasekit.metrics.segment.auroc`, with its parameters, as a function of weights (draws, clips)."""
    check_max_fpr(max_fpr)
    data = gather(reference, scores, durations, labels)
    found, numbers, others = _of_clips(data, resolution)
    kept = [_keep(changes, len(numbers), lambda counts: counts[1]) for changes in found]

    def statistic(weights: FloatArray) -> Array:
        reached, left = weights @ numbers, weights @ others
        areas = np.full((len(weights), len(kept)), np.nan)
        for label, each in enumerate(kept):
            hits, alarms = _sum_draws(weights, each)
            for row in np.flatnonzero((reached[:, label] > 0) & (left[:, label] > 0)):
                x, y = (np.append(part[row], whole[row, label]) / whole[row, label] for part, whole in ((alarms, left), (hits, reached)))
                areas[row, label] = area_between(x, y, max_fpr) / max_fpr
        return _mean(areas)

    return statistic


def _of_clips(data: Scored, resolution: Seconds) -> tuple[list[ChangesOfClips], Array, Array]:
    """Collect hits and false alarms of segments, and count each clip's segments with and without the labels, (clips, labels)."""
    found: list[ChangesOfClips] = []
    numbers: list[Array] = []
    others: list[Array] = []
    for changes, positive, owner in segment_tally(data, ChangesOfClips, resolution):
        found.append(changes)
        for counts, chosen in ((numbers, positive), (others, ~positive)):
            counts.append(np.bincount(owner[chosen], minlength=len(data.durations)).astype(np.float64))
    return found, np.stack(numbers, axis=1), np.stack(others, axis=1)


def _best_f1(found: Iterable[ChangesOfClips], data: Scored, predicted: Callable[[Array], Array]) -> Statistic:
    numbers = _numbers(data)
    return _macro([_keep(changes, len(numbers), lambda counts: predicted(counts) - counts[0]) for changes in found], numbers, predicted)


def _macro(kept: Sequence[FloatArray], numbers: Array, predicted: Callable[[Array], Array]) -> Statistic:
    def statistic(weights: FloatArray) -> Array:
        reached = weights @ numbers
        best = np.full(reached.shape, np.nan)
        for label, each in enumerate(kept):
            counts = _sum_draws(weights, each)
            best[:, label] = ratio(2 * counts[0], predicted(counts) + reached[:, [label]]).max(axis=1)
        return _mean(np.where(reached > 0, best, np.nan))

    return statistic


def _numbers(data: Scored) -> Array:
    """Count the reference events of each clip and label, (clips, labels)."""
    return count_each(data.events, (len(data.durations), len(data.labels))).astype(np.float64)


def _keep(changes: ChangesOfClips, clips: int, wrong: Callable[[Array], Array]) -> FloatArray:
    """Keep the counts of each clip at thresholds that matter: (quantities, clips, thresholds). `wrong` is what hits are weighed against."""
    level, counts = changes.totals()
    x = wrong(counts)
    order = np.lexsort((-counts[0], x))
    highest = np.maximum.accumulate(counts[0][order])
    turns = order[np.append(True, highest[1:] > highest[:-1])]
    size = max(2, min(LEVELS, _NUMBERS // (clips * len(counts))))
    even = np.linspace(0, len(level) - 1, size).astype(np.intp)
    chosen = np.unique(np.concatenate([turns if len(turns) <= 2 * size else turns[:: len(turns) // size], even]))
    return changes.sample(level[chosen[chosen > 0]], clips).astype(np.float32)


def _sum_draws(weights: FloatArray, kept: FloatArray) -> Array:
    """Sum the counts of drawn clips, (quantities, draws, thresholds); the first threshold is above all scores."""
    summed = np.stack([weights @ each for each in kept]).astype(np.float64)
    return np.pad(summed, ((0, 0), (0, 0), (1, 0)))


def _heights(x: Array, y: Array) -> Array:
    """Return the highest y at most at x, in the middles of `_RATES` equal parts of 0 to 1: (draws, thresholds) -> (draws, _RATES)."""
    place = np.clip(np.ceil(x * _RATES - 0.5), 0, _RATES).astype(np.intp) + (_RATES + 1) * np.arange(len(x))[:, None]
    highest = np.zeros((len(x), _RATES + 1))
    with np.errstate(invalid="ignore"):  # a draw that lacks the label: NaN stays NaN
        np.maximum.at(highest.ravel(), place.ravel(), y.ravel())
    return np.maximum.accumulate(highest[:, :-1], axis=1)


def _moments(curves: Iterable[Array]) -> tuple[Array, Array]:
    """Average labels' curves, (draws, _RATES), NaN where a draw lacks the label; return their variance, too."""
    held, total, squares = (np.zeros(()) for _ in range(3))
    for curve in curves:
        held = held + ~np.isnan(curve[:, :1])
        known = np.nan_to_num(curve)
        total, squares = total + known, squares + known**2
    mean = ratio(total, held)
    return mean, ratio(squares, held) - mean**2


def _effective_area(mean: Array, variance: Array, alpha_st: float) -> Array:
    """Average over x the mean of labels less `alpha_st` standard deviations, nowhere less than 0: (draws, _RATES) -> (draws,)."""
    effective: Array = np.maximum(mean - alpha_st * np.sqrt(np.maximum(variance, 0)), 0).mean(axis=1)
    return effective


def _mean(values: Array) -> Array:
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))
