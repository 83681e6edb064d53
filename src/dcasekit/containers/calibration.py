"""Calibration: scores that are shares, and thresholds that reach what is asked of them, chosen on validation data and kept with the model.

A score of 0.7 should be right in 70 % of such cases. Each label's scores are mapped either by one number, its temperature (C. Guo et al.,
"On calibration of modern neural networks", ICML 2017), or by a monotone curve (isotonic regression: B. Zadrozny, C. Elkan, "Transforming
classifier scores into accurate multiclass probability estimates", KDD 2002). Cases are rows of scores: the windows, or frames, that a
network answers. How well it does is measured on clips that it was not fitted on: the validation clips are parted in five,
those of one recording together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import events_to_roll, harden
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.metrics import calibration as measure
from dcasekit.metrics import thresholds

Kind = Literal["temperature", "isotonic"]

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_PARTS, _DRAWS = 5, 300
LEAST = 1e-6  # of a probability whose logarithm is taken
# Between points of a curve: where they are closer, a rounding error of a score becomes a hundred times as large.
_APART = 0.02


@dataclass(frozen=True)
class Calibration:
    """How a model's scores are mapped to calibrated probabilities, and the thresholds that were chosen for them.

    Parameters
    ----------
    kind : ``"temperature"`` or ``"isotonic"``.
    exclusive : whether the scores of a row add up to 1, as in classification.
    temperatures : for ``"temperature"``: one per label, or a single one if scores are exclusive.
    curves : for ``"isotonic"``: one curve per label, as points (score, probability) with ascending scores.
    best_f1 : label -> threshold with the highest F1; ``None``: the data did not allow to choose one.
    precision : requested precision as text, e.g. ``"0.9"`` -> label -> lowest threshold that reaches it; ``None``: none does.
    numbers : how well it does on clips that were left out of fitting: ``ece`` and ``ece_before``, the expected calibration error with and
        without calibration (over all labels together, 15 bins); ``clips`` and ``rows``, how many were measured; and ``precision``:
        requested precision -> ``reached``, ``interval_95`` (over clips) and ``predictions``, their number.
    """

    kind: Kind
    exclusive: bool
    temperatures: tuple[float, ...] = ()
    curves: tuple[tuple[tuple[float, float], ...], ...] = ()
    best_f1: Mapping[str, float | None] = field(default_factory=dict)
    precision: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, scores: NDArray[np.floating]) -> FloatArray:
        """Return the calibrated scores of scores (..., labels) in [0, 1], float32, of the same shape."""
        values = np.asarray(scores, dtype=np.float64)
        if self.kind == "temperature":
            values = np.clip(values, LEAST, 1 - LEAST)
            if self.exclusive:
                powers = np.log(values) / self.temperatures[0]
                powers -= powers.max(axis=-1, keepdims=True)
                values = np.exp(powers)
            else:
                values = 1 / (1 + np.exp(-(np.log(values) - np.log1p(-values)) / np.array(self.temperatures)))
        else:
            mapped = [np.interp(values[..., k], *np.array(curve).T) for k, curve in enumerate(self.curves)]
            values = np.maximum(np.stack(mapped, axis=-1), LEAST) if self.exclusive else np.stack(mapped, axis=-1)
        if self.exclusive:
            values = values / values.sum(axis=-1, keepdims=True)
        return values.astype(np.float32)

    def limits(self, labels: Sequence[str], *, precision: float | None = None) -> dict[str, float]:
        """Return the threshold of each label.

        Parameters
        ----------
        labels : the labels to return thresholds for.
        precision : one of the precisions that the model was calibrated for. ``None``: thresholds with the highest F1.

        Returns
        -------
        dict : label -> threshold: that with the highest F1, 0.5 if none was found; or the lowest that reaches the precision, infinity if
            none does.

        Raises
        ------
        ModelError : the model was not calibrated for this precision.
        """
        if precision is None:
            return {label: 0.5 if (limit := self.best_f1.get(label)) is None else limit for label in labels}
        if (chosen := self.precision.get(f"{precision:g}")) is None:
            raise ModelError(
                f"there are thresholds for a precision of {', '.join(self.precision) or 'none'}; there is none for {precision:g}"
            )
        return {label: np.inf if (limit := chosen.get(label)) is None else limit for label in labels}

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON values, which `from_dict` reads."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, found: Any, labels: Sequence[str]) -> "Calibration":
        """Make a calibration from the JSON values that `to_dict` returned.

        Raises
        ------
        ModelError : the values are no calibration, or not one for these labels.
        """
        try:
            curves = tuple(tuple((float(x), float(y)) for x, y in curve) for curve in found["curves"])
            temperatures = tuple(map(float, found["temperatures"]))
            kind, exclusive, count = found["kind"], bool(found["exclusive"]), len(labels)
            points = [np.array(curve) for curve in curves]
            rising = all(len(p) > 1 and np.isfinite(p).all() and (np.diff(p[:, 0]) > 0).all() for p in points)
            fits = {
                "temperature": len(temperatures) == (1 if exclusive else count) and all(0 < one < np.inf for one in temperatures),
                "isotonic": len(curves) == count and rising,
            }[kind]
            best = _limits_of(found["best_f1"])
            precision = {str(asked): _limits_of(each) for asked, each in found["precision"].items()}
            numbers = dict(found["numbers"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ModelError(f"its calibration cannot be read ({type(error).__name__} {error})") from error
        if not fits:
            raise ModelError(f"its calibration is not of these {count} labels: {kind}, {len(temperatures or curves)} of them")
        return cls(kind, exclusive, temperatures, curves, best, precision, numbers)


def _limits_of(found: Mapping[str, Any]) -> dict[str, float | None]:
    return {str(label): None if limit is None else float(limit) for label, limit in found.items()}


@dataclass(frozen=True, eq=False)
class _Cases:
    """Rows of truth (NaN: unknown) and scores (rows, labels), with the number of each row's clip and recording."""

    truth: NDArray[np.float64]
    scores: NDArray[np.floating]
    clips: NDArray[np.intp]
    parts: NDArray[np.intp]

    def of(self, rows: NDArray[np.bool_]) -> "_Cases":
        return _Cases(self.truth[rows], self.scores[rows], self.clips[rows], self.parts[rows])


class Calibrating:
    """The methods of `ModelContainer` that calibrate it."""

    labels: tuple[str, ...]
    calibration: Calibration | None = None

    def calibrate(self, validation: Any, *, kind: Kind = "temperature", precisions: Sequence[float] = PRECISIONS) -> dict[str, Any]:
        """Fit a calibration and thresholds to validation data. From then on all answers of the model are calibrated, also when exported.

        The calibration is saved with the model; `train` and `fine_tune` remove it.

        Parameters
        ----------
        validation : data as for `evaluate`; use neither training nor test clips.
        kind : ``"temperature"``: one number per label, which keeps the order of a label's scores and needs few clips; ``"isotonic"``: a
            curve per label with at most about 50 points, which needs hundreds of clips.
        precisions : precisions, from 0 to 1, to choose thresholds for.

        Returns
        -------
        dict : how well it does on clips that were left out of fitting, see ``numbers`` of `Calibration`.

        Raises
        ------
        ModelError : the kind is unknown, or there are fewer than five recordings whose truth is known.
        """
        if kind not in ("temperature", "isotonic"):
            raise ModelError(f"calibration is by 'temperature' or 'isotonic'; got {kind!r}")
        self.calibration = None
        results = self.evaluate(validation)  # type: ignore[attr-defined]
        cases = _cases_of(results, self.labels)
        exclusive = results.task == "classification"
        made = _fit(cases, kind, exclusive)
        adjusted = _Cases(cases.truth, made.apply(cases.scores), cases.clips, cases.parts)
        best, chosen = _choose(adjusted, self.labels, precisions)
        numbers = _measure(cases, kind, precisions, self.labels, exclusive=exclusive)
        self.calibration = Calibration(kind, exclusive, made.temperatures, made.curves, best, chosen, numbers)
        return numbers


def _cases_of(results: Any, labels: Sequence[str]) -> _Cases:
    """Set the rows of scores beside what is known of them; labels that the data do not know are unknown."""
    columns = [labels.index(label) for label in results.labels]
    truth, scores, clips, groups = [], [], [], []
    names = results.groups or results.clips
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    for index, (clip, found) in enumerate(zip(results.clips, results.scores, strict=True)):
        rows = np.full((len(found.values), len(labels)), np.nan)
        values = np.full(rows.shape, 0.5)
        if results.task == "detection":
            events = results.events.get(clip, ())
            if events is None:
                continue
            rows[:, columns] = events_to_roll(harden(events), results.labels, found.edges)
        else:
            rows[:, columns] = results.truth[index]
        values[:, columns] = np.clip(found.values, 0, 1)
        truth.append(rows)
        scores.append(values)
        clips.append(np.full(len(rows), index))
        groups.append(np.full(len(rows), numbers[names[index]]))
    if len({int(group[0]) for group in groups}) < _PARTS:
        raise ModelError(f"calibration needs {_PARTS} recordings or more whose truth is known; these data have {len(set(names))}")
    group = np.concatenate(groups)
    order = np.random.default_rng(0).permutation(int(group.max()) + 1) % _PARTS
    return _Cases(np.concatenate(truth), np.concatenate(scores), np.concatenate(clips), order[group])


def _fit(cases: _Cases, kind: Kind, exclusive: bool) -> Calibration:
    from scipy.optimize import isotonic_regression

    positive, known = cases.truth > 0.5, ~np.isnan(cases.truth)
    if kind == "isotonic":
        curves: list[tuple[tuple[float, float], ...]] = []
        for score, right, sure in zip(cases.scores.T, positive.T, known.T, strict=True):
            order = np.argsort(score[sure], kind="stable")
            if not len(order):
                curves.append(((0.0, 0.0), (1.0, 1.0)))
                continue
            x, y = score[sure][order], isotonic_regression(right[sure][order].astype(np.float64)).x
            curves.append(tuple(_points(x, y)))
        return Calibration(kind, exclusive, curves=tuple(curves))

    if exclusive:
        rows = known.all(axis=1) & (positive.sum(axis=1) == 1)
        powers, right = np.log(np.clip(cases.scores[rows], LEAST, 1 - LEAST)), positive[rows]
        found = [_coolest(lambda t: float(np.logaddexp.reduce(powers / t, axis=1).sum() - (powers[right] / t).sum()))]
        return Calibration(kind, exclusive, tuple(found))
    found = []
    for score, right, sure in zip(cases.scores.T, positive.T, known.T, strict=True):
        values = np.clip(score[sure], LEAST, 1 - LEAST)
        margins = np.where(right[sure], 1, -1) * (np.log(values) - np.log1p(-values))
        # Without cases of both kinds a temperature would go to its limit.
        both = len(np.unique(right[sure])) == 2
        found.append(_coolest(partial(_margin_loss, margins)) if both else 1.0)
    return Calibration(kind, exclusive, tuple(found))


def _margin_loss(margins: NDArray[np.floating], temperature: float) -> float:
    return float(np.logaddexp(0, -margins / temperature).sum())


def _coolest(loss: Callable[[float], float]) -> float:
    """Find the temperature of least loss."""
    from scipy.optimize import minimize_scalar

    return float(np.exp(minimize_scalar(lambda power: loss(float(np.exp(power))), bounds=(-3, 3), method="bounded").x))


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterator[tuple[float, float]]:
    """Draw a curve through the means of stretches that are at least so wide."""
    member = np.minimum((x / _APART).astype(np.intp), round(1 / _APART) - 1)
    points = [(float(x[member == k].mean()), float(y[member == k].mean())) for k in np.unique(member)]
    last = -np.inf
    kept = [(last := point[0], point[1]) for point in points if point[0] - last >= _APART / 2]
    if kept[0][0] > _APART / 2:
        kept.insert(0, (0.0, kept[0][1]))
    if kept[-1][0] < 1 - _APART / 2:
        kept.append((1.0, kept[-1][1]))
    yield from kept if len(kept) > 1 else [(0.0, kept[0][1]), (1.0, kept[0][1])]


def _choose(
    cases: _Cases, labels: Sequence[str], precisions: Sequence[float]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    best = _finite(thresholds.best_f1(cases.truth, cases.scores, labels=labels))
    chosen = {
        f"{asked:g}": _finite(thresholds.for_precision(cases.truth, cases.scores, labels=labels, precision=asked)) for asked in precisions
    }
    return best, chosen


def _finite(limits: Mapping[str, float]) -> dict[str, float | None]:
    """Write a threshold below all scores as -1, one that cannot be had as ``None``."""
    return {label: None if np.isnan(limit) or limit == np.inf else max(float(limit), -1.0) for label, limit in limits.items()}


def _measure(cases: _Cases, kind: Kind, precisions: Sequence[float], labels: Sequence[str], *, exclusive: bool) -> dict[str, Any]:
    """Measure on each part what was fitted to the others."""
    scores = np.empty_like(cases.scores)
    hits = {f"{asked:g}": np.zeros((len(scores), 2)) for asked in precisions}  # of each row: right predictions, and all
    known = ~np.isnan(cases.truth)
    for part in range(_PARTS):
        held = cases.parts == part
        rest = cases.of(~held)
        made = _fit(rest, kind, exclusive)
        scores[held] = made.apply(cases.scores[held])
        _, chosen = _choose(_Cases(rest.truth, made.apply(rest.scores), rest.clips, rest.parts), labels, precisions)
        for asked, limits in chosen.items():
            limit = np.array([np.inf if limits[label] is None else limits[label] for label in labels], np.float32)
            predicted = (scores[held].astype(np.float32) > limit) & known[held]
            hits[asked][held] = np.stack([(predicted & (cases.truth[held] > 0.5)).sum(axis=1), predicted.sum(axis=1)], axis=1)
    before, after = (measure.reliability(cases.truth, values).expected_error for values in (cases.scores, scores))
    clips = np.unique(cases.clips, return_inverse=True)[1]
    reached = {asked: _precision(np.stack([np.bincount(clips, weights=c) for c in counts.T])) for asked, counts in hits.items()}
    return {"clips": int(clips.max()) + 1, "rows": len(scores), "ece_before": before, "ece": after, "precision": reached}


def _precision(counts: NDArray[np.float64]) -> dict[str, Any]:
    """Return the share of right predictions (2, clips), with an interval by draws of clips."""
    draws = np.random.default_rng(0).multinomial(counts.shape[1], np.full(counts.shape[1], 1 / counts.shape[1]), _DRAWS)
    right, every = counts @ draws.T
    shares = right[every > 0] / every[every > 0]
    total = counts[1].sum()
    interval = [float(edge) for edge in np.quantile(shares, (0.025, 0.975))] if len(shares) else None
    return {"reached": float(counts[0].sum() / total) if total else None, "interval_95": interval, "predictions": int(total)}
