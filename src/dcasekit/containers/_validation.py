"""What is measured after an epoch, on validation data or by a function."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from dcasekit.annotations import events_to_roll
from dcasekit.containers._backend import Record
from dcasekit.containers._named import check_named, name_function
from dcasekit.containers.training import Training
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.generator import Data, Together
from dcasekit.results import Results

# Data, or a function of the model that gives numbers by name.
Validation: TypeAlias = Data | Callable[[Any], Mapping[str, float]]


class _Model(Protocol):
    def evaluate(self, data: Any) -> Results: ...


def name_validation(validation: Validation | None, training: Training) -> str | None:
    """Name what decides the numbers, for a run's record."""
    if not callable(validation):
        return None if validation is None else validation.identity
    if training.resume is not None:
        check_named(validation=validation)
    return name_function(validation)


def measuring(
    model: _Model, data: Data | Together, validation: Validation | None, training: Training, *, loss: str | None
) -> Callable[[], Record] | None:
    """Return the function that measures a model after an epoch; ``None``: there is nothing to measure."""
    if training.train_metric and isinstance(data, Together):
        raise ModelError("train_metric is computed for one source of training data; leave it out for several")
    if validation is None and not training.train_metric:
        return None

    def measure() -> Record:
        record: Record = {}
        if training.train_metric:
            trained = model.evaluate(data)
            record[trained.headline] = trained.numbers[trained.headline]
        if callable(validation):
            record |= {f"val_{name}": float(number) for name, number in validation(model).items()}
        elif validation is not None:
            results = model.evaluate(validation)
            record |= validation_record(results, loss) | training.watch(results)
        return record

    return measure


def validation_record(results: Results, loss: str | None) -> dict[str, float]:
    """Sum up an epoch on validation data: ``val_loss``, as in training but of what the clips were answered, and the main number.

    The loss is of what is known: of each frame where a clip's events are, else of the clip's tags and its largest scores.
    """
    total, count = 0.0, 0
    for clip, vector, scores in zip(results.clips, results.truth, results.scores, strict=True):
        truth, values = np.broadcast_to(vector, scores.values.shape), scores.values
        if results.events is not None:
            events = results.events.get(clip, ())
            truth = vector[None] if events is None else events_to_roll(events, results.labels, scores.edges)
            values = values.max(axis=0, keepdims=True) if events is None else values
        loss_here, known = sum_loss(truth, values, loss, results.task)
        total, count = total + loss_here, count + known
    return {"val_loss": total / count if count else math.nan, f"val_{results.headline}": results.numbers[results.headline]}


def sum_loss(truth: FloatArray, values: FloatArray, loss: str | None, task: str) -> tuple[float, int]:
    """Sum the loss of answers (rows, labels) over what is known, and count it: values; rows where labels exclude each other."""
    known = ~np.isnan(truth)
    if loss != "mse" and (loss or task) in ("cross_entropy", "classification"):
        rows = known.all(axis=1)
        p = np.clip(values[rows].astype(np.float64), 1e-7, 1)
        return float(-(truth[rows] * np.log(p)).sum()), int(rows.sum())
    y, p = truth[known], values[known].astype(np.float64)
    if loss == "mse":
        return float(np.square(y - p).sum()), len(y)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()), len(y)
