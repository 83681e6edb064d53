"""Settings of training, the same for every backend."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import numpy as np

from dcasekit.annotations import events_to_roll
from dcasekit.batch_augmentations import BatchAugmentation
from dcasekit.core.settings import Settings
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.errors import DcasekitError, ModelError
from dcasekit.results import Results


@dataclass(frozen=True, kw_only=True)
class Training(Settings):
    """How to train. `ModelContainer.train` takes these as keywords.

    Parameters
    ----------
    epochs : passes over the training windows. A run resumed with more epochs goes on, if its schedule is constant.
    learning_rate, weight_decay : of the optimizer.
    batch_size : windows per step.
    optimizer : ``"adam"`` (the paper's), ``"adamw"`` or ``"sgd"`` (Nesterov momentum 0.9).
    schedule : ``"constant"`` (the paper's), ``"cosine"`` (to zero), or ``"one_cycle"``: up in the first tenth, then cosine to zero.
    loss : ``None`` follows the task: ``"cross_entropy"`` for classification, ``"binary_cross_entropy"`` else; ``"mse"`` for soft labels.
    augment : functions of a batch, applied in order before each step (`dcasekit.batch_augmentations`).
    average : decay of a running average of the weights, which is what is validated and kept, e.g. 0.99; 0: none.
    monitor : what decides on validation data which epoch is best: ``"metric"``, the main number of the task, or ``"loss"``.
    early_stopping : stop after so many epochs without improvement; ``None``: never.
    considered_improvement : a smaller improvement, absolute, does not count.
    seed : of initial weights, order, augmentation and dropout. Two runs with one seed on one machine give the same weights.
    device : ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"``: the fastest there is.
    precision : ``"float32"``, ``"bfloat16"`` or ``"float16"`` (mixed, the last with loss scaling; for GPUs).
    keep_memory : on Linux, have the C library keep freed memory for the next step instead of giving it back to the kernel, which nearly
        doubles the speed of convolutional networks on a CPU (PyTorch; process-wide, from the start of training on). ``False``: leave it.
    resume : folder for a checkpoint after every epoch; training goes on from the one that is there. ``None``: no checkpoints.
    progress : show a progress bar.
    callbacks : called with the record of each epoch; one that gives ``True`` stops training.
    """

    epochs: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 32
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    loss: Literal["cross_entropy", "binary_cross_entropy", "mse"] | None = None
    augment: Sequence[BatchAugmentation] = ()
    average: float = 0.0
    monitor: Literal["metric", "loss"] = "metric"
    early_stopping: int | None = None
    considered_improvement: float = 0.0
    seed: int = 0
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    keep_memory: bool = True
    resume: PathLike | None = None
    progress: bool = False
    callbacks: Sequence[Callable[[Mapping[str, float]], bool | None]] = ()

    _error: ClassVar[type[DcasekitError]] = ModelError

    def __post_init__(self) -> None:
        self._make_plain()
        choices = {
            "optimizer": ("adam", "adamw", "sgd"),
            "schedule": ("constant", "cosine", "one_cycle"),
            "loss": (None, "cross_entropy", "binary_cross_entropy", "mse"),
            "monitor": ("metric", "loss"),
            "precision": ("float32", "bfloat16", "float16"),
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ModelError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")
        _check_numbers(self)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Make settings from keywords; an unknown one is refused with the nearest known name."""
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ModelError(f"train() has no setting {name!r}.{hint} Known: {', '.join(known)}")
        return cls(**settings)

    def better(self, now: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
        """Whether an epoch is better on validation data than the best before it, if there was one; without validation data it is."""
        if best is None or "val_loss" not in now:
            return True
        least = self.considered_improvement
        name = next(key for key in now if key.startswith("val_") and key != "val_loss")
        # Validation data without a single event or tag have no metric; their loss can still choose.
        if self.monitor == "loss" or math.isnan(now[name]):
            return now["val_loss"] < best["val_loss"] - least or math.isnan(best["val_loss"])
        return now[name] > best[name] + least or (now[name] == best[name] and not least and now["val_loss"] < best["val_loss"])

    def to_dict(self) -> dict[str, Any]:
        """Give what determines the result, as JSON values."""
        left_out = ("augment", "keep_memory", "resume", "progress", "callbacks", "device")
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}
        return {**kept, "augment": [_describe(function) for function in self.augment]}


def describe(record: Mapping[str, float]) -> str:
    """Say in a few words how an epoch went.

    >>> describe({"epoch": 1, "learning_rate": 0.001, "loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.7, "seconds": 2.0})
    'loss 0.500, validation accuracy 0.700'
    """
    shown = {"loss": record["loss"]}
    shown |= {
        name.replace("val_", "validation "): value for name, value in record.items() if name.startswith("val_") and name != "val_loss"
    }
    return ", ".join(f"{name} {value:.3f}" for name, value in shown.items())


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


def _check_numbers(training: Training) -> None:
    for name in ("epochs", "batch_size"):
        if type(value := getattr(training, name)) is not int or value < 1:
            raise ModelError(f"{name} must be a positive int; got {value!r}")
    if type(training.seed) is not int or training.seed < 0:
        raise ModelError(f"seed must be a whole number of at least 0; got {training.seed!r}")
    patience = training.early_stopping
    rules = {
        "learning_rate > 0": _number(training.learning_rate) and training.learning_rate > 0,
        "weight_decay >= 0": _number(training.weight_decay) and training.weight_decay >= 0,
        "0 <= average < 1": _number(training.average) and 0 <= training.average < 1,
        "considered_improvement >= 0": _number(training.considered_improvement) and training.considered_improvement >= 0,
        "early_stopping >= 1, whole epochs, or None (never)": patience is None or (type(patience) is int and patience >= 1),
    }
    for rule, kept in rules.items():
        if not kept:
            name = next(word for word in rule.split() if hasattr(training, word))
            raise ModelError(f"need {rule}; got {name}={getattr(training, name)!r}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _describe(function: Any) -> str:
    """Name a function, and what `functools.partial` fixed of it."""
    fixed = ", ".join(f"{name}={value!r}" for name, value in getattr(function, "keywords", {}).items())
    inner = getattr(function, "func", function)
    return f"{getattr(inner, '__name__', type(inner).__name__)}({fixed})"
