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
    """All settings of training. `ModelContainer.train` and `ModelContainer.fine_tune` take them as keywords.

    The defaults are those of DCASE-models: Adam with a constant learning rate. If a run is to be resumed, give only functions that can be
    imported by name, or `functools.partial` of such functions: the checkpoint stores their names, and refuses other functions.

    Parameters
    ----------
    epochs : number of passes over the training windows. A resumed run may be given more, if its schedule does not depend on this number.
    learning_rate : size of the optimizer's steps, before the factor that the schedule gives.
    weight_decay : how strongly the optimizer pulls kernels towards 0. Biases and the scales of normalisation layers do not decay.
    batch_size : number of windows in a batch; each batch is one step.
    drop_last : leave out the last windows of an epoch if they do not fill a batch. By default they make a smaller batch.
    optimizer : ``"adam"``, ``"adamw"`` or ``"sgd"``. For PyTorch also a class of `torch.optim`, or another function that takes groups of
        parameters and ``lr``.
    momentum : Nesterov momentum of ``"sgd"``, from 0 (none) to below 1; other optimizers ignore it.
    schedule : name of a function in `dcasekit.containers.schedules` (``"constant"``, ``"cosine"``, ``"one_cycle"`` ...), or a function of
        your own: it takes a `Moment` and returns a factor of the learning rate.
    loss : ``"cross_entropy"``, ``"binary_cross_entropy"`` or ``"mse"`` (for soft labels). ``None`` follows the task: cross-entropy for
        classification, binary cross-entropy for tagging and detection.
    objective : what a step minimises: name of a function in `dcasekit.containers.objectives`, or a function of your own that takes a `Step`
        and returns a loss. ``None``: the loss of the network's answers, summed over the parts of a `Together`. PyTorch only.
    rates : start of a weight's name -> factor of the learning rate, for all weights whose names start so, e.g. ``{"first": 1e-4}``. The
        factor of all other weights is 1. PyTorch only.
    class_weights : label -> weight of its errors in the loss; labels that are left out have weight 1. ``"balanced"``: weights inversely
        proportional to how often each label occurs in the training clips. PyTorch only.
    clip_norm : largest norm of the gradient over all weights; a larger gradient is scaled down to it. ``None``: never. PyTorch only.
    augment : functions of a batch, applied in this order before each step, see `dcasekit.batch_augmentations`.
    average : decay of a running average of the weights per step, e.g. 0.99 (smaller in the first steps); 0: no average. Or a function such
        as `schedules.mean_decay`, which takes the number of steps taken and returns the decay. PyTorch only.
    keep : which weights are validated and kept if there is a running average: ``"average"``, or those of the ``"network"`` itself; then
        the average only serves as its teacher.
    monitor : what decides on validation data which epoch is best. ``"metric"``: the main number of the task; ``"loss"``; the name of
        another number in the epoch's record, without its ``val_``; or a function that takes `Results` and returns a number. Larger is
        better, unless the name ends in "loss" or starts with "error". A mapping name -> one of these keeps the weights of several epochs
        in `ModelContainer.kept`; the first decides which weights the model itself has.
    best_from : the first epoch, counted from 1, that can be the best.
    early_stopping : stop after this many epochs without improvement; ``None``: never. Or a function that takes the history and tells
        whether to stop, see `dcasekit.containers.stopping`.
    considered_improvement : an improvement of the monitored number must be larger than this (absolute) to count.
    train_metric : also measure the main number of the task on the training data after each epoch.
    seed : seed of the initial weights, the order of the windows, augmentation and dropout. Two runs with the same seed on the same machine
        give the same weights.
    device : ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; ``"auto"``: CUDA if there is one, else MPS, else the CPU (Keras decides by
        itself).
    precision : ``"float32"``, or mixed precision for GPUs: ``"bfloat16"``, or ``"float16"`` with loss scaling.
    keep_memory : on Linux, keep freed memory for the next step instead of returning it to the kernel. This nearly doubles the speed of
        convolutional networks on a CPU. It needs PyTorch, and holds for the whole process from the start of training on.
    resume : folder for a checkpoint after every epoch. If there is one already, training continues from it. ``None``: no checkpoints.
    energy : add the electricity of each epoch to its record, ``kwh`` and ``kg_co2e``, see `dcasekit.core.energy` (extra ``energy``).
    progress : show a progress bar.
    callbacks : functions that are called with the record of each epoch; if one returns ``True``, training stops.

    Raises
    ------
    ModelError : a setting is outside its domain, or `resume` is given with a function that cannot be imported by name.
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
        """Make settings from keywords.

        Raises
        ------
        ModelError : a keyword is unknown (the message suggests the nearest known one), or a value is outside its domain.
        """
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ModelError(f"train() has no setting {name!r}.{hint} Known: {', '.join(known)}")
        return cls(**settings)

    @property
    def monitors(self) -> Mapping[str, Monitor]:
        """The monitors by name; a single monitor has the empty name ``""``."""
        return self.monitor if isinstance(self.monitor, Mapping) else {"": self.monitor}

    @property
    def open_ended(self) -> bool:
        """Whether the schedule does not depend on the number of epochs, so that a finished run can be continued with more epochs."""
        schedule: Any = self.schedule.func if isinstance(self.schedule, partial) else self.schedule
        return schedule in (*OPEN_ENDED, *(SCHEDULES[name] for name in OPEN_ENDED))

    def rate(self, moment: Moment) -> float:
        """Return the learning rate at a moment of training: `learning_rate` times the factor of the schedule."""
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        return self.learning_rate * float(schedule(moment))

    def better(self, now: Mapping[str, float], best: Mapping[str, float] | None, monitor: str = "") -> bool:
        """Tell whether an epoch is better on validation data than the best before it; without validation data every epoch is.

        Parameters
        ----------
        now, best : records of this epoch and of the best so far; ``None``: there is no earlier epoch.
        monitor : name of one of `monitors`.
        """
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
        """Tell whether early stopping ends the run.

        Parameters
        ----------
        history : the record of each epoch so far.
        best_epoch : number of the best epoch, counted from 1.
        """
        if not history or self.early_stopping is None:
            return False
        if callable(self.early_stopping):
            return bool(self.early_stopping(history))
        return len(history) - best_epoch >= self.early_stopping

    def watch(self, results: Results) -> dict[str, float]:
        """Call those monitors that are functions; return their numbers as entries of an epoch's record, ``val_`` and name -> number."""
        functions = {name: chosen for name, chosen in self.monitors.items() if callable(chosen)}
        return {f"val_{name or _short_name(function)}": float(function(results)) for name, function in functions.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that determine the result as JSON values, functions by name.

        The device, folders, callbacks and what is only shown or measured are left out.
        """
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
    """Describe an epoch's record in a few words: its loss, and all its validation numbers but the loss.

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
