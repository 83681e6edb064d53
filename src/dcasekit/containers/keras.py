"""The Keras container: networks of Keras 3, on PyTorch unless another backend was chosen."""

import copy
import json
import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import State, checkpoint_path, hash_weights, load_checkpoint, save_checkpoint
from dcasekit.containers._data import Data
from dcasekit.containers._keras_layers import (
    arrays_of,
    check,
    freeze,
    layers_of,
    names_of,
    outputs_of,
    products_of,
    set_state,
    shapes_of,
    state_of,
    variables_of,
    warm_start_batch_norm,
)
from dcasekit.containers._keras_state import keras, make, on_device, seeded
from dcasekit.containers._keras_weights import role, to_torch
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training, validation_record
from dcasekit.core import discover
from dcasekit.core.parallel import track
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError

_log = logging.getLogger(__name__)


def _mean_known(distance: Callable[[Any, Any], Any], *, rows: bool = False) -> Callable[[Any, Any], Any]:
    """Make a loss of a distance (targets, logits) -> (..., labels): its mean where the target is known, which is not NaN.

    With `rows`, distances are (...,) and count where all labels of a row are known.
    """

    def loss(y: Any, logits: Any) -> Any:
        known = keras.ops.logical_not(keras.ops.isnan(y))
        values = distance(keras.ops.where(known, y, 0.0), logits)
        counted = keras.ops.cast(keras.ops.all(known, axis=-1) if rows else known, values.dtype)
        return keras.ops.sum(values * counted) / keras.ops.maximum(keras.ops.sum(counted), 1.0)

    return loss


_LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cross_entropy": _mean_known(lambda y, logits: keras.ops.categorical_crossentropy(y, logits, from_logits=True), rows=True),
    "binary_cross_entropy": _mean_known(lambda y, logits: keras.ops.binary_crossentropy(y, logits, from_logits=True)),
    "mse": _mean_known(lambda y, logits: keras.ops.square(keras.ops.sigmoid(logits) - y)),
}
_MSE_OF_ANSWERS = _mean_known(lambda y, answers: keras.ops.square(answers - y))


@dataclass(kw_only=True, eq=False)
class KerasModelContainer(ModelContainer):
    """A Keras network with its training. A new model writes `network_for`.

    Keras runs on PyTorch, unless the environment variable ``KERAS_BACKEND`` names another backend (``"jax"``, ``"tensorflow"``) or Keras
    was imported with another one before. On one CPU thread, with PyTorch, `SB_CNN` and `A_CRNN` take twice the time of their twins.

    Of `Training`, ``average`` is refused. ``weight_decay`` is Keras': whatever the optimizer, kernels shrink by themselves,
    as in AdamW. ``device`` is a name that `keras.device` knows: ``"cpu"``, ``"gpu:0"``, with PyTorch also ``"cuda:0"``; it holds while the
    network is trained, and answers are computed where Keras puts them. Dropout inside a recurrent layer goes on if its weights are frozen.

    Attributes
    ----------
    network : ``keras.Model(input, output)``: (windows, frames, dims) -> logits (windows, labels) or (windows, frames, labels), in which
        each layer is used once. The losses of its regularizers are added to the loss. A network whose attribute ``activation`` is
        ``"none"`` gives answers, not logits: they learn by the squared error, unclipped, and are clipped to [0, 1] when it is asked.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.network: keras.Model | None = None

    @abstractmethod
    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:
        """Make the network for windows of (frames, dims)."""

    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights; see `ModelContainer.build`."""
        try:
            network = make(lambda: self.network_for(*shape, len(labels), task), seed=seed)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{type(self).__name__} cannot be built with the settings {self.settings}: {error}") from error
        check(network)
        self.network = network
        self.shape, self.labels, self.task = (shape[0], shape[1]), tuple(labels), task
        return self

    def fit(self, data: Data, validation: Data | None, training: Training, *, frozen: Sequence[str] | None = None) -> list[Record]:
        """Train epoch by epoch; keep the best on validation data, or the last."""
        if training.average:
            raise ModelError(f"average={training.average!r}: Keras models are trained without; leave it out, or use the PyTorch model")
        if training.keep_memory and keras.backend.backend() == "torch":
            from dcasekit.containers._torch_speed import keep_memory

            keep_memory()
        # Precision, device and what is trainable are a network's own from the start: one is made for training alone.
        trained, frames, dims = copy.copy(self), *self.shape
        with on_device(training.device):
            trained.network = make(
                lambda: self.network_for(frames, dims, len(self.labels), self.task),
                seed=training.seed,
                precision=training.precision,
                device=training.device,
            )
            trained.set_weights(self.weights())
            freeze(trained.network, frozen or ())
            history = trained._fit(data, validation, training, self._run(data, validation, training, frozen))
            weights = trained.weights()
        self.set_weights(weights)
        return history

    def _run(self, data: Data, validation: Data | None, training: Training, frozen: Sequence[str] | None) -> dict[str, Any]:
        """Give what decides the result of a run, as JSON values."""
        run = {"model": [discover.address(type(self)), self.settings], "backend": keras.backend.backend(), "labels": self.labels}
        run |= {"data": data.identity, "validation": None if validation is None else validation.identity}
        run["start"] = None if frozen is None else hash_weights(self.weights(), frozen)
        known: dict[str, Any] = json.loads(json.dumps({**training.to_dict(), **run}))
        return known

    def _fit(self, data: Data, validation: Data | None, training: Training, run: Mapping[str, Any]) -> list[Record]:
        network, loss = self._need(), self._loss_name(training)
        steps = math.ceil(data.size / training.batch_size)
        rate = _learning_rate(training, steps * training.epochs)
        network.compile(_optimizer(network, training, rate), _MSE_OF_ANSWERS if _direct(network) else _LOSSES[loss])
        network.optimizer.build(network.trainable_variables)
        best = _Best(self.weights())
        history = self._restore(best, training, run)
        if not history:
            with seeded(training.seed):
                warm_start_batch_norm(network, lambda: next(iter(data.batches(0, training.batch_size))).x)
        epochs = range(len(history), 0 if best.stops(history, training) else training.epochs)
        for epoch in track(epochs, len(epochs), f"Training {type(self).__name__}" if training.progress else None):
            began = time.perf_counter()
            record: Record = {"epoch": epoch + 1, "learning_rate": float(rate(epoch * steps) if callable(rate) else rate)}
            with seeded(hash((training.seed, epoch)) % 2**31):
                record["loss"] = self._epoch(data, training, epoch)
            if validation is not None:
                record |= validation_record(self.evaluate(validation), loss)
            record["seconds"] = time.perf_counter() - began
            history.append(record)
            if training.better(record, history[best.epoch - 1] if best.epoch else None):
                best.weights, best.epoch = self.weights(), epoch + 1
            self._save(history, best, training, run)
            _log.info("epoch %d: %s", epoch + 1, record)
            if any([callback(record) for callback in training.callbacks]) or best.stops(history, training):
                break
        self.set_weights(best.weights)
        return history

    def _save(self, history: list[Record], best: "_Best", training: Training, run: Mapping[str, Any]) -> None:
        """Write all that changes in a run, seeds of layers included, if a folder to resume from is set."""
        if training.resume is None:
            return
        network = self._need()
        groups = {"network": state_of(network.variables), "optimizer": state_of(network.optimizer.variables), "best": best.weights}
        arrays = {f"{group}.{name}": array for group, found in groups.items() for name, array in found.items()}
        save_checkpoint(training.resume, run, State({"history": history, "best_epoch": best.epoch}, arrays))

    def _restore(self, best: "_Best", training: Training, run: Mapping[str, Any]) -> list[Record]:
        """Take up the run saved in the folder, if there is one; give back its history."""
        if training.resume is None or (state := load_checkpoint(training.resume, run)) is None:
            return []
        network = self._need()
        try:
            set_state(network.variables, state.group("network"))
            set_state(network.optimizer.variables, state.group("optimizer"))
            best.weights, best.epoch = state.group("best"), int(state.values["best_epoch"])
        except (LookupError, TypeError, ValueError) as error:
            path = checkpoint_path(training.resume)
            raise ModelError(f"{path} does not fit this network ({error}); delete it to train from the start") from error
        return list(state.values["history"])

    def _epoch(self, data: Data, training: Training, epoch: int) -> float:
        """Train on every batch once; give back the mean loss of what is known."""
        network, rng = self._need(), np.random.default_rng((training.seed, epoch, 1))
        rows = not _direct(network) and self._loss_name(training) == "cross_entropy"
        total = count = 0.0
        for batch in data.batches(epoch, training.batch_size):
            x, y = batch.x, batch.y
            for function in training.augment:
                x, y = function(x, y, rng)
            if network.outputs[0].ndim != y.ndim:
                raise ModelError(
                    f"the network answers {network.outputs[0].shape} and the targets are {y.shape}; choose target='frame' for a network "
                    "that answers frames, 'window' or 'clip' for one that answers windows"
                )
            network.reset_metrics()  # else the loss is the mean since the last reset
            loss = network.train_on_batch(np.asarray(x, np.float32), np.asarray(y, np.float32), return_dict=True)["loss"]
            unknown = np.isnan(y)
            known = int((~unknown.any(axis=-1) if rows else ~unknown).sum())
            total, count = total + float(loss) * known, count + known
        if not count:
            raise ModelError("nothing is known of any label in any training window, so there is nothing to learn")
        mean = total / count
        if not np.isfinite(mean):
            raise ModelError(
                f"the loss is {mean} in epoch {epoch + 1}; lower learning_rate ({training.learning_rate}) or scale the features"
            )
        return mean

    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows with probabilities: softmax for classification, sigmoid else, unless the network has none."""
        from scipy.special import expit, softmax

        found = self._outputs(windows)
        if _direct(self._need()):
            return found.clip(0, 1)
        answers: FloatArray = softmax(found, axis=-1) if self.task == "classification" else expit(found)
        return answers

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Name the layers that give an array with the windows as its first axis; see `Backend.layers`."""
        two, three = (shapes_of(self._need(), np.zeros((count, *self.shape), np.float32)) for count in (2, 3))
        return {name: shape[1:] for name, shape in two.items() if (shape[:1], three[name][:1]) == ((2,), (3,))}

    def activations(self, windows: FloatArray, layer: str) -> FloatArray:
        """Give what a layer gives for windows; see `Backend.activations`."""
        network = self._need()
        return outputs_of(keras.Model(network.inputs[0], network.get_layer(layer).output), windows)

    def weights_until(self, layer: str) -> tuple[str, ...]:
        """Name the weights of the layers that have acted when one has."""
        layers = layers_of(self._need())
        done = [each.name for each in layers].index(layer) + 1
        return tuple(name for each in layers[:done] for name in names_of(each))

    def weights(self) -> Weights:
        """Give the layers' weights, running statistics included, as copies: ``conv1.kernel``, in the order in which they are used."""
        return arrays_of(self._need())

    def set_weights(self, weights: Weights) -> None:
        """Take over weights; names and shapes must be the network's."""
        variables = variables_of(self._need())
        wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
        found = {name: tuple(array.shape) for name, array in weights.items()}
        if misfits := sorted({name for name, _ in wanted.items() ^ found.items()}):
            told = "; ".join(f"{name}: {wanted.get(name, 'none')}, got {found.get(name, 'none')}" for name in misfits)
            raise ModelError(f"the weights do not fit this {type(self).__name__}. It needs {told}")
        for name, variable in variables.items():
            variable.assign(np.asarray(weights[name]))

    def cost(self) -> dict[str, int]:
        """Count trainable parameters, and multiply-accumulates for one window (convolutions, products, recurrences; no additions)."""
        network = self._need()
        parameters = sum(math.prod(variable.shape) for variable in network.trainable_variables)
        return {"parameters": parameters, "macs": products_of(network, np.zeros((1, *self.shape), np.float32))}

    def _outputs(self, windows: FloatArray) -> FloatArray:
        """Give what the network gives, logits or answers."""
        return outputs_of(self._need(), windows)

    def _loss_name(self, training: Training) -> str:
        """Name the loss that was chosen, or that follows from the network and the task."""
        if _direct(self._need()):
            if training.loss not in (None, "mse"):
                raise ModelError(
                    f"the output of {type(self).__name__} for {self.task} has no activation; it learns by loss='mse', not {training.loss!r}"
                )
            return "mse"
        return training.loss or ("cross_entropy" if self.task == "classification" else "binary_cross_entropy")

    def _need(self) -> keras.Model:
        self._need_network()
        if self.network is None:
            raise ModelError("the network is missing; call build()")
        return self.network


@dataclass(slots=True)
class _Best:
    """The weights that are kept, and their epoch, counted from 1; 0: none yet."""

    weights: Weights
    epoch: int = 0

    def stops(self, history: list[Record], training: Training) -> bool:
        """Whether early stopping ends the run here."""
        patience = training.early_stopping
        return bool(history) and patience is not None and len(history) - self.epoch >= patience


def as_torch(model: ModelContainer) -> Any:
    """Give the PyTorch twin of a built model of ``dcasekit.models.keras``: its settings, weights, labels, features and scaler."""
    layers: dict[str, dict[str, Any]] = {}
    for path, array in model.weights().items():
        layers.setdefault(path.partition(".")[0], {})[role(path.replace(".", "/"))] = array
    twin = discover.load("models", discover.address(type(model)).removeprefix("keras."))(**model.settings)
    twin.build(model.shape, model.labels, task=model.task)
    twin.set_weights({**twin.weights(), **to_torch(layers, twin.weights())})
    twin.features, twin.scaler = model.features, model.scaler
    return twin


def _direct(network: keras.Model) -> bool:
    return getattr(network, "activation", None) == "none"


def _learning_rate(training: Training, steps: int) -> float | Callable[[int], Any]:
    """Give the learning rate, or its schedule over all steps of a run."""
    decay, top = keras.optimizers.schedules.CosineDecay, training.learning_rate
    if training.schedule == "one_cycle":
        return decay(0.0, 0.9 * steps, warmup_target=top, warmup_steps=0.1 * steps)
    return decay(top, steps) if training.schedule == "cosine" else top


def _optimizer(network: keras.Model, training: Training, rate: float | Callable[[int], Any]) -> keras.Optimizer:
    kinds = keras.optimizers
    if training.optimizer == "sgd":
        optimizer = kinds.SGD(rate, momentum=0.9, nesterov=True, weight_decay=training.weight_decay)
    else:
        optimizer = (kinds.AdamW if training.optimizer == "adamw" else kinds.Adam)(rate, weight_decay=training.weight_decay)
    # Kernels decay; biases, and the scales of normalisation layers, do not.
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in network.trainable_variables if len(variable.shape) <= 1])
    return optimizer
