"""Settings of training, the same for every backend."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeAlias

from dcasekit.batch_augmentations import BatchAugmentation
from dcasekit.containers._named import check_named, name_function
from dcasekit.containers.schedules import OPEN_ENDED, SCHEDULES, Moment, Schedule
from dcasekit.core.settings import Settings
from dcasekit.core.units import PathLike
from dcasekit.errors import DcasekitError, ModelError
from dcasekit.results import Results

Monitor: TypeAlias = str | Callable[[Results], float]
Objective: TypeAlias = Callable[[Any], Any]

# Names of `dcasekit.containers.objectives`, which imports PyTorch; a test compares.
_OBJECTIVES = ("supervised", "mixup", "mean_teacher", "distillation")
_OPTIMIZERS = ("adam", "adamw", "sgd")
_FUNCTIONS = ("objective", "schedule", "optimizer", "early_stopping", "monitor", "average")


@dataclass(frozen=True, kw_only=True)
class Training(Settings):
    """How to train. `ModelContainer.train` takes these as keywords.

    Functions must be importable by name, or `functools.partial` of such ones, where a run is to be resumed: its record names them, and
    another one is refused.

    Parameters
    ----------
    epochs : passes over the training windows. A run resumed with more epochs goes on, if its schedule does not depend on them.
    learning_rate, weight_decay : of the optimizer.
    batch_size : windows per step.
    drop_last : leave out windows at an epoch's end that fill no batch; by default they make a smaller one.
    optimizer : ``"adam"`` (the paper's), ``"adamw"`` or ``"sgd"``; or, for PyTorch, a class of `torch.optim` or another function of groups
        of parameters and ``lr``.
    momentum : of ``"sgd"``, Nesterov's; 0: none.
    schedule : name of one of `dcasekit.containers.schedules` (``"constant"``, the paper's, ``"cosine"``, ``"one_cycle"`` ...), or a
        function of a `Moment` that gives a factor of the learning rate.
    loss : ``None`` follows the task: ``"cross_entropy"`` for classification, ``"binary_cross_entropy"`` else; ``"mse"`` for soft labels.
    objective : what a step minimises: name of one of `dcasekit.containers.objectives`, or a function of a `Step` that gives a loss.
        ``None``: the loss of the network's answers, summed over the parts of a `Together`. PyTorch alone.
    rates : beginning of a weight's name -> factor of the learning rate of all weights that begin so, such as ``{"first": 1e-4}``; 1 for the
        others. PyTorch alone.
    class_weights : label -> how much its errors count, 1 where a label is left out; ``"balanced"``: inversely to how often it occurs in the
        training clips. PyTorch alone.
    clip_norm : scale gradients down whose norm over all weights is larger; ``None``: never. PyTorch alone.
    augment : functions of a batch, applied in order before each step (`dcasekit.batch_augmentations`).
    average : decay of a running average of the weights, e.g. 0.99, less in the first steps; 0: none. Or a function of the number of steps
        taken, `schedules.mean_decay` or one of your own, that gives the decay after them.
    keep : where there is an average: ``"average"``: it's what is validated and kept; ``"network"``: the network itself is, and the average
        is but its teacher.
    monitor : what decides on validation data which epoch is best: ``"metric"``, the main number of the task, ``"loss"``, the name of
        another number of the epoch's record without its ``val_`` (the larger the better, unless it ends in "loss" or begins with "error"),
        or a function of `Results` that gives such a number. A mapping name -> one of these keeps the weights of several epochs, see
        `ModelContainer.kept`; the first is the model's own.
    best_from : the first epoch, counted from 1, that may be the best.
    early_stopping : stop after so many epochs without improvement; ``None``: never; or a function of the history, see
        `dcasekit.containers.stopping`, that tells whether to stop.
    considered_improvement : a smaller improvement, absolute, does not count.
    train_metric : measure the task's main number after each epoch on the training data, too.
    seed : of initial weights, order, augmentation and dropout. Two runs with one seed on one machine give the same weights.
    device : ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"``: the fastest there is.
    precision : ``"float32"``, ``"bfloat16"`` or ``"float16"`` (mixed, the last with loss scaling; for GPUs).
    keep_memory : on Linux, have the C library keep freed memory for the next step instead of giving it back to the kernel, which nearly
        doubles the speed of convolutional networks on a CPU (PyTorch; process-wide, from the start of training on). ``False``: leave it.
    resume : folder for a checkpoint after every epoch; training goes on from the one that is there. ``None``: no checkpoints.
    energy : note the electricity of each epoch in its record, ``kwh`` and ``kg_co2e``, see `dcasekit.core.energy` (extra ``energy``).
    progress : show a progress bar.
    callbacks : called with the record of each epoch; one that gives ``True`` stops training.
    """

    epochs: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 32
    drop_last: bool = False
    optimizer: str | Callable[..., Any] = "adam"
    momentum: float = 0.9
    schedule: str | Schedule = "constant"
    loss: Literal["cross_entropy", "binary_cross_entropy", "mse"] | None = None
    objective: str | Objective | None = None
    rates: Mapping[str, float] | None = None
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    clip_norm: float | None = None
    augment: Sequence[BatchAugmentation] = ()
    average: float | Callable[[int], float] = 0.0
    keep: Literal["average", "network"] = "average"
    monitor: Monitor | Mapping[str, Monitor] = "metric"
    best_from: int = 1
    early_stopping: int | Callable[[Sequence[Mapping[str, float]]], bool] | None = None
    considered_improvement: float = 0.0
    train_metric: bool = False
    seed: int = 0
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    keep_memory: bool = True
    resume: PathLike | None = None
    energy: bool = False
    progress: bool = False
    callbacks: Sequence[Callable[[Mapping[str, float]], bool | None]] = ()

    _error: ClassVar[type[DcasekitError]] = ModelError

    def __post_init__(self) -> None:
        self._make_plain()
        if isinstance(self.optimizer, str):
            object.__setattr__(self, "optimizer", self.optimizer.lower())  # the paper writes "Adam"
        choices: dict[str, tuple[Any, ...]] = {
            "optimizer": _OPTIMIZERS,
            "schedule": tuple(SCHEDULES),
            "objective": (None, *_OBJECTIVES),
            "loss": (None, "cross_entropy", "binary_cross_entropy", "mse"),
            "precision": ("float32", "bfloat16", "float16"),
            "keep": ("average", "network"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed and not (name in _FUNCTIONS and callable(value)):
                also = ", or a function" if name in _FUNCTIONS else ""
                raise ModelError(f"{name} must be one of {', '.join(map(str, allowed))}{also}; got {value!r}")
        _check_numbers(self)
        if self.resume is not None:
            named = {name: getattr(self, name) for name in _FUNCTIONS} | {f"augment[{n}]": one for n, one in enumerate(self.augment)}
            check_named(**{name: value for name, value in named.items() if callable(value)})
            check_named(**{f"monitor {name!r}": value for name, value in self.monitors.items() if callable(value)})

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

    @property
    def monitors(self) -> Mapping[str, Monitor]:
        """The monitors by name; one alone has none, ``""``."""
        return self.monitor if isinstance(self.monitor, Mapping) else {"": self.monitor}

    @property
    def open_ended(self) -> bool:
        """Whether nothing that is learned depends on the number of epochs, so that a run can be extended."""
        schedule: Any = self.schedule.func if isinstance(self.schedule, partial) else self.schedule
        return schedule in (*OPEN_ENDED, *(SCHEDULES[name] for name in OPEN_ENDED))

    def rate(self, moment: Moment) -> float:
        """Return the learning rate of a step."""
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        return self.learning_rate * float(schedule(moment))

    def better(self, now: Mapping[str, float], best: Mapping[str, float] | None, monitor: str = "") -> bool:
        """Whether an epoch is better on validation data than the best before it, if there was one; without validation data it is."""
        if not any(key.startswith("val_") for key in now):
            return True
        key, least = self._watched(monitor, now), self.considered_improvement
        if best is None or best.get("epoch", self.best_from) < self.best_from:
            return True
        if now.get("epoch", self.best_from) < self.best_from:
            return False
        # Validation data without a single event or tag have no metric; their loss can still choose.
        if math.isnan(now[key]) and "val_loss" in now:
            key = "val_loss"
        sign = -1 if key.endswith("loss") or key.startswith("val_error") else 1
        gained = sign * (now[key] - best[key])
        if key == "val_loss":
            return gained > least or math.isnan(best[key])
        even = gained == 0 and not least and now.get("val_loss", 0.0) < best.get("val_loss", 0.0)
        return gained > least or even or math.isnan(best[key])

    def _watched(self, monitor: str, record: Mapping[str, float]) -> str:
        """Name the number of an epoch's record that a monitor watches."""
        chosen = self.monitors[monitor]
        if callable(chosen):
            return f"val_{monitor or _short_name(chosen)}"
        if chosen == "metric":
            return next((key for key in record if key.startswith("val_") and key != "val_loss"), "val_loss")
        if f"val_{chosen}" not in record:
            known = ", ".join(key.removeprefix("val_") for key in record if key.startswith("val_"))
            raise ModelError(f"monitor={chosen!r} is not a number that an epoch gives on these validation data; known: metric, {known}")
        return f"val_{chosen}"

    def stops(self, history: Sequence[Mapping[str, float]], best_epoch: int) -> bool:
        """Whether early stopping ends the run after these epochs, of which the best is counted from 1."""
        if not history or self.early_stopping is None:
            return False
        if callable(self.early_stopping):
            return bool(self.early_stopping(history))
        return len(history) - best_epoch >= self.early_stopping

    def watch(self, results: Results) -> dict[str, float]:
        """Compute what functions among the monitors give, as entries of an epoch's record."""
        functions = {name: chosen for name, chosen in self.monitors.items() if callable(chosen)}
        return {f"val_{name or _short_name(function)}": float(function(results)) for name, function in functions.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return what determines the result, as JSON values."""
        left_out = ("augment", "keep_memory", "resume", "energy", "progress", "callbacks", "device", "monitor", "train_metric")
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}
        named = {name: name_function(value) if callable(value) else value for name, value in kept.items()}
        monitors = {name: name_function(value) if callable(value) else value for name, value in self.monitors.items()}
        augment = [name_function(function) for function in self.augment]
        return {**named, "monitor": monitors if isinstance(self.monitor, Mapping) else monitors[""], "augment": augment}


def _short_name(function: Any) -> str:
    """Name a function in an epoch's record."""
    return str(getattr(function.func if isinstance(function, partial) else function, "__name__", type(function).__name__)).strip("<>")


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


def _check_numbers(training: Training) -> None:
    for name in ("epochs", "batch_size", "best_from"):
        if type(value := getattr(training, name)) is not int or value < 1:
            raise ModelError(f"{name} must be a positive int; got {value!r}")
    if type(training.seed) is not int or training.seed < 0:
        raise ModelError(f"seed must be a whole number of at least 0; got {training.seed!r}")
    patience = training.early_stopping
    rules = {
        "learning_rate > 0": _number(training.learning_rate) and training.learning_rate > 0,
        "weight_decay >= 0": _number(training.weight_decay) and training.weight_decay >= 0,
        "0 <= momentum < 1": _number(training.momentum) and 0 <= training.momentum < 1,
        "0 <= average < 1, or a function": callable(training.average) or (_number(training.average) and 0 <= training.average < 1),
        "considered_improvement >= 0": _number(training.considered_improvement) and training.considered_improvement >= 0,
        "early_stopping >= 1, whole epochs, a function, or None (never)": patience is None
        or callable(patience)
        or (type(patience) is int and patience >= 1),
        "rates > 0": all(_number(factor) and factor > 0 for factor in (training.rates or {}).values()),
        "clip_norm > 0 or None": training.clip_norm is None or (_number(training.clip_norm) and training.clip_norm > 0),
    }
    for rule, kept in rules.items():
        if not kept:
            name = next(word for word in rule.split() if hasattr(training, word))
            raise ModelError(f"need {rule}; got {name}={getattr(training, name)!r}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
