"""The one loop of training, for every backend: epochs, validation, the best weights, early stopping, checkpoints."""

import hashlib
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcasekit.batch_augmentations import BatchAugmentation
from dcasekit.containers._backend import Record
from dcasekit.containers._checkpoint import State, checkpoint_path, load_checkpoint, save_checkpoint
from dcasekit.containers._fitting import check_finite
from dcasekit.containers.training import Training, describe
from dcasekit.core.energy import laps
from dcasekit.core.parallel import follow, prefetch
from dcasekit.core.processes import is_first, processes
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.generator import Batch, Data, DataGenerator, Together

Value = TypeVar("Value")

_log = logging.getLogger(__name__)

# Batches that are read, checked and augmented while the network learns from one.
_AHEAD = 2


class Learner(ABC):
    """A network while it is trained, as the loop of training sees it; each backend implements one.

    Attributes
    ----------
    history : the record of each epoch so far; it is the list of the loop itself.
    """

    history: list[Record]

    def once(self, function: Callable[[], Value]) -> Value:
        """Call a function and return its result, JSON values. If several processes train together, only the first calls it, for all."""
        return function()

    def learning_rate(self, epoch: int) -> float | None:  # noqa: ARG002
        """Return the learning rate at the beginning of an epoch, counted from 0; ``None``: the backend has none."""
        return None

    @abstractmethod
    def learn(self, epoch: int) -> float:
        """Train on every batch once; return the mean loss."""

    @abstractmethod
    def weights(self) -> Any:
        """Return a copy of the weights, to be kept."""

    @abstractmethod
    def set_weights(self, weights: Any) -> None:
        """Put back what `weights` gave."""

    def averaged(self) -> AbstractContextManager[None]:
        """Use the running average of the weights inside a ``with`` block, if there is one."""
        return nullcontext()

    def state(self) -> State:
        """Return all that a resumed run needs."""
        raise ModelError("this kind of model cannot be resumed; leave resume out")

    def set_state(self, state: State) -> None:  # noqa: ARG002
        """Put back what `state` gave."""
        raise ModelError("this kind of model cannot be resumed; leave resume out")


class LearningBatch(NamedTuple):
    """Windows and targets to train on, and the number of known targets; the other fields are those of `Batch`."""

    x: FloatArray
    y: FloatArray
    known: int
    mask: NDArray[np.bool_]
    tags: FloatArray
    clips: tuple[str, ...]
    task: Task


def learning_steps(data: Data | Together, epoch: int, training: Training, *, rows: Collection[str]) -> Iterator[dict[str, LearningBatch]]:
    """Yield the augmented batches of each step of an epoch, as name of the source -> batch; a thread reads them ahead.

    Parameters
    ----------
    data : what to train on.
    epoch : number of the epoch, counted from 0.
    training : the settings.
    rows : tasks whose targets are counted by rows, which are known if all their labels are, as cross-entropy needs it; the targets of other
        tasks are counted one by one.

    Raises
    ------
    ModelError : X holds NaN or infinity, or nothing in the whole epoch is known.
    """

    def steps() -> Iterator[dict[str, LearningBatch]]:
        rng, augment = augmenting(training, epoch), () if waveform_sources(data) else training.augment
        if isinstance(data, Together):
            tasks = {name: part.task for name, part in data.parts.items()}
            for parts in data.batches(epoch, seed=training.seed):
                yield {name: _learn_from(batch, augment, rng, tasks[name], rows) for name, batch in parts.items()}
        else:
            for batch in data.batches(epoch, training.batch_size, seed=training.seed, drop_last=training.drop_last):
                yield {"": _learn_from(batch, augment, rng, data.task, rows)}

    known = 0
    for parts in prefetch(steps(), _AHEAD):
        known += sum(part.known for part in parts.values())
        yield parts
    if not known:
        raise ModelError(
            "there is nothing to learn from: every target is NaN (unknown). The clips of a detection dataset without times of events are "
            "trained with target='clip'"
        )


def learning_batches(data: Data, epoch: int, training: Training, *, rows: bool = False) -> Iterator[LearningBatch]:
    """Yield the batches of an epoch of one source, see `learning_steps`."""
    for parts in learning_steps(data, epoch, training, rows=(data.task,) if rows else ()):
        yield parts[""]


def _learn_from(
    batch: Batch, augment: Sequence[BatchAugmentation], rng: np.random.Generator, task: Task, rows: Collection[str]
) -> LearningBatch:
    check_finite(batch.x, batch.clips)
    x, y = batch.x, batch.y
    for function in augment:
        x, y = function(x, y, rng)
    x, y = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
    return LearningBatch(x, y, count_known(y, task, rows), batch.mask, batch.tags, batch.clips, task)


def augmenting(training: Training, epoch: int) -> np.random.Generator:
    """Return the random generator of an epoch's augmentation."""
    return np.random.default_rng((training.seed, epoch, 1))


def count_known(y: FloatArray, task: Task, rows: Collection[str]) -> int:
    """Count the known targets: single values, or, if the task is among `rows`, rows that are known completely."""
    known = ~np.isnan(y)
    return int((known.all(axis=-1) if task in rows else known).sum())


def waveform_sources(data: Data | Together) -> dict[str, DataGenerator]:
    """Return the sources whose batches are waveforms, by the parts' names.

    Raises
    ------
    ModelError : some are and some are not.
    """
    parts: Mapping[str, Any] = data.parts if isinstance(data, Together) else {"": data}
    found = {name: part for name, part in parts.items() if getattr(part, "waveforms", None) is not None}
    if found and len(found) < len(parts):
        raise ModelError(f"of the sources {', '.join(parts)} {', '.join(found)} give waveforms and the others features; give all waveforms")
    return found


def refuse_settings(training: Training, data: Data | Together, backend: str) -> Data:
    """Raise ModelError for settings and data that only PyTorch networks can be trained with; return the data."""
    if processes() > 1:
        raise ModelError(f"{backend} models are trained by one process; start them without torchrun")
    for name in ("objective", "rates", "class_weights", "clip_norm", "average"):
        if getattr(training, name):
            raise ModelError(
                f"{name}={getattr(training, name)!r}: {backend} models are trained without it; leave it out, or use a PyTorch model"
            )
    if callable(training.optimizer):
        raise ModelError(f"{backend} models take optimizer='adam', 'adamw' or 'sgd'; got {training.optimizer!r}")
    if waveform_sources(data):
        raise ModelError(f"{backend} models learn from stored features; extract them, and leave waveforms out")
    if isinstance(data, Together):
        raise ModelError(f"{backend} models are trained on one source; use a PyTorch model, or one generator of all clips")
    return data


def pool_targets(y: FloatArray, steps: int) -> FloatArray:
    """Pool frame-level targets (windows, frames, labels) to the fewer steps of a network's output: (windows, steps, labels).

    Each step gets the largest known value of its frames; NaN if none is known.
    """
    frames = y.shape[1]
    if steps >= frames or not steps:
        return y
    step_of = np.arange(frames) * steps // frames
    return np.fmax.reduceat(y, np.searchsorted(step_of, np.arange(steps)), axis=1)


def check_targets(answers: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """Raise ModelError if targets have neither the shape of a network's output nor, for frame-level outputs, that of whole windows."""
    if 0 in answers:
        raise ModelError(
            f"the network's output is empty, {tuple(answers)}: the windows are too short for it; give longer ones, sequence_time="
        )
    if tuple(targets) not in (tuple(answers), (*answers[:1], *answers[2:])):
        raise ModelError(
            f"the network answers {tuple(answers)} and the targets are {tuple(targets)}; choose target='window' or 'clip' for a network "
            "that answers windows; one that answers frames takes 'frame', too"
        )


def train_epochs(
    learner: Learner,
    training: Training,
    *,
    name: str,
    run: Mapping[str, Any],
    validate: Callable[[], Record] | None,
    epochs: int | None = None,
) -> tuple[list[Record], dict[str, Any]]:
    """Train a network, and leave the weights of its best epoch in it.

    Parameters
    ----------
    learner : the network.
    training : the settings.
    name : name of the model, for the progress bar.
    run : JSON values that decide the result besides `training`, such as model and data; the checkpoint of another run is refused.
    validate : function that returns the numbers on validation data; ``None``: the last epoch is the best.
    epochs : number of epochs, if it is not that of `training`, as for estimators that are trained once.

    Returns
    -------
    a record per epoch, and the kept weights by the names of the monitors.
    """
    last = training.epochs if epochs is None else epochs
    kept = _Kept() if training.resume is None else _restore(training.resume, identity(training, run), learner, last)
    history = learner.history = kept.history
    first = next(iter(training.monitors))
    _check_together(learner, identity(training, run), history)
    alone = is_first()
    with follow(f"Training {name}", last, shown=training.progress and alone) as told, laps(training.energy and alone) as used:
        while len(history) < last and not training.stops(history, kept.best_epoch.get(first, 0)):
            began = time.perf_counter()
            epoch = len(history)
            record: Record = {"epoch": epoch + 1}
            if (rate := learner.learning_rate(epoch)) is not None:
                record["learning_rate"] = rate
            record["loss"] = learner.learn(epoch)
            if not np.isfinite(record["loss"]):
                raise ModelError(
                    f"the loss is {record['loss']} in epoch {epoch + 1}; lower learning_rate ({training.learning_rate}) or scale the "
                    "features"
                )
            with learner.averaged():
                if validate is not None:
                    record |= learner.once(validate)
                _keep_best(kept, learner, training, record)
            record |= learner.once(partial(dict, seconds=time.perf_counter() - began, **used()))
            history.append(record)
            if learner.once(partial(_note, training, run, learner, kept, told)):
                break
    if first in kept.best:
        learner.set_weights(kept.best[first])
    return history, kept.best


def _note(training: Training, run: Mapping[str, Any], learner: Learner, kept: "_Kept", told: Callable[[int, str], None]) -> bool:
    """Write and tell how the last epoch went; say whether a callback stops training."""
    record = kept.history[-1]
    if training.resume is not None:
        _save(training.resume, identity(training, run), learner, kept)
    told(len(kept.history), describe(record))
    _log.info("epoch %d: %s", len(kept.history), record)
    return any([callback(record) for callback in training.callbacks])


def _check_together(learner: Learner, run: Mapping[str, Any], history: Sequence[Record]) -> None:
    """Refuse processes that torchrun started and that train different things."""
    here = [hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest(), len(history)]
    if learner.once(lambda: here) != here:
        raise ModelError(
            "the processes of torchrun train one model together, and this one's settings, data or checkpoint are not the first's; give "
            "all of them the same, and a folder for resume that all see"
        )


def _keep_best(kept: "_Kept", learner: Learner, training: Training, record: Record) -> None:
    """Keep the weights where a monitor finds this epoch the best so far."""
    for monitor in training.monitors:
        before = kept.best_epoch.get(monitor, 0)
        if training.better(record, kept.history[before - 1] if before else None, monitor):
            kept.best[monitor], kept.best_epoch[monitor] = learner.weights(), len(kept.history) + 1


def identity(training: Training, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides the result of a run, as JSON values; without the number of epochs, if the schedule does not depend on it."""
    facts: dict[str, Any] = json.loads(json.dumps({**training.to_dict(), **run}))
    if training.open_ended:
        del facts["epochs"]
    return facts


@dataclass
class _Kept:
    """What a run has come to besides the learner's state: the best epochs, counted from 1, and their weights, by the monitors' names."""

    history: list[Record] = field(default_factory=list)
    best_epoch: dict[str, int] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)


def _save(folder: PathLike, run: Mapping[str, Any], learner: Learner, kept: _Kept) -> None:
    state = learner.state()
    arrays = {f"state.{name}": array for name, array in state.arrays.items()}
    for number, weights in enumerate(kept.best.values()):
        arrays |= {f"best{number}.{name}": array for name, array in weights.items()}
    values = {"history": kept.history, "best_epoch": kept.best_epoch, "best": list(kept.best), "learner": state.values}
    save_checkpoint(folder, run, State(values, arrays))


def _restore(folder: PathLike, run: Mapping[str, Any], learner: Learner, epochs: int) -> _Kept:
    """Take up the run in the folder, if there is one; refuse one of more epochs than are asked for."""
    if (found := load_checkpoint(folder, run)) is None:
        return _Kept()
    try:
        learner.set_state(State(found.values["learner"], found.group("state")))
        best = {name: found.group(f"best{number}") for number, name in enumerate(found.values["best"])}
        kept = _Kept(found.values["history"], {name: int(each) for name, each in found.values["best_epoch"].items()}, best)
        if best.keys() != kept.best_epoch.keys() or not all(best.values()):
            raise ValueError(f"it holds weights of {list(best)} and best epochs of {list(kept.best_epoch)}")
        if wrong := [epoch for epoch in kept.best_epoch.values() if not 0 < epoch <= len(kept.history)]:
            raise ValueError(f"its best epoch is {wrong[0]} of {len(kept.history)}")
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise ModelError(f"{checkpoint_path(folder)} does not fit this network ({error}); delete it to train from the start") from error
    if len(kept.history) > epochs:
        raise ModelError(
            f"the run in {folder} has been trained for {len(kept.history)} epochs already, and epochs is {epochs}; give as many "
            "or more, or "
            "another folder"
        )
    return kept
