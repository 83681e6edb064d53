"""The Keras container: networks of Keras 3, on PyTorch unless another backend was chosen."""

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import hash_weights
from dcasekit.containers._epochs import refuse_settings, train_epochs
from dcasekit.containers._keras_layers import (
    arrays_of,
    check,
    freeze,
    layers_of,
    names_of,
    output_of,
    outputs_of,
    products_of,
    shapes_of,
    variables_of,
)
from dcasekit.containers._keras_learner import KerasLearner
from dcasekit.containers._keras_state import keras, make, on_device
from dcasekit.containers._keras_weights import role, to_torch
from dcasekit.containers._validation import Validation, measuring, name_validation
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError, first_line
from dcasekit.generator import Data, Together


@dataclass(kw_only=True, eq=False)
class KerasModelContainer(ModelContainer):
    """A Keras network with its training. A new model implements `network_for`.

    Keras runs on PyTorch, unless the environment variable ``KERAS_BACKEND`` names another backend (``"jax"``, ``"tensorflow"``) or Keras
    was imported with another one before. On one CPU thread, with PyTorch, `SB_CNN` and `A_CRNN` take twice the time of their PyTorch twins.

    Of the settings in `Training`, ``objective``, ``rates``, ``class_weights``, ``clip_norm`` and ``average`` are refused, and so are an
    optimizer of your own, several sources of data and ``torchrun``. Weight decay is decoupled from the gradient for every optimizer, as in
    AdamW. ``device`` is a name that `keras.device` knows: ``"cpu"``, ``"gpu:0"``, with PyTorch also ``"cuda:0"``; it applies to training,
    while answers are computed where Keras puts them. Frozen recurrent layers still apply the dropout inside them.

    Attributes
    ----------
    network : ``keras.Model(input, output)`` that maps (windows, frames, dims) to logits (windows, labels) or (windows, frames, labels) and
        uses each layer once; ``None`` before `build`. The losses of its regularizers are added to the loss. If its attribute ``activation``
        is ``"none"``, it outputs answers, not logits: these are trained with the squared error, and `answer` clips them to [0, 1].
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.network: keras.Model | None = None

    @abstractmethod
    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:
        """Make the network for windows of (frames, dims), with that number of outputs; it returns logits."""

    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights, and return this model; see `Backend.build`."""
        try:
            network = make(lambda: self.network_for(*shape, len(labels), task), seed=seed)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"{type(self).__name__} cannot be built with the settings {shorten(self.settings)}: {first_line(error)}"
            ) from error
        check(network)
        self.network = network
        self.shape, self.labels, self.task = (shape[0], shape[1]), tuple(labels), task
        return self

    def fit(
        self, data: Data | Together, validation: Validation | None, training: Training, *, frozen: Sequence[str] | None = None
    ) -> list[Record]:
        """Train epoch by epoch; keep the weights of the best epoch, or of the last if there is no validation. See `Backend.fit`."""
        data = refuse_settings(training, data, "Keras")
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
            history = trained._fit(data, validation, training, frozen)
            weights = trained.weights()
        self.kept = trained.kept
        self.set_weights(weights)
        return history

    def _fit(self, data: Data, validation: Validation | None, training: Training, frozen: Sequence[str] | None) -> list[Record]:
        loss = self._loss_name(training)
        run: dict[str, Any] = {
            "model": [discover.address(type(self)), self.settings],
            "backend": keras.backend.backend(),
            "labels": self.labels,
        }
        run |= {"data": data.identity, "validation": name_validation(validation, training)}
        run["start"] = None if frozen is None else hash_weights(self.weights(), frozen)
        history, kept = train_epochs(
            KerasLearner(self._need(), data, training, loss="mse of answers" if _direct(self._need()) else loss),
            training,
            name=type(self).__name__,
            run=run,
            validate=measuring(self, data, validation, training, loss=loss),
        )
        self.kept = {name: weights for name, weights in kept.items() if name}
        return history

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities for windows: softmax for classification, else sigmoid; outputs without activation clipped to [0, 1]."""
        from scipy.special import expit, softmax

        found = self._outputs(windows)
        if _direct(self._need()):
            return found.clip(0, 1)
        answers: FloatArray = softmax(found, axis=-1) if self.task == "classification" else expit(found)
        return answers

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Return the layers that output one array whose first axis is the windows: name -> shape; see `Backend.layers`."""
        two, three = (shapes_of(self._need(), np.zeros((count, *self.shape), np.float32)) for count in (2, 3))
        return {name: shape[1:] for name, shape in two.items() if (shape[:1], three[name][:1]) == ((2,), (3,))}

    def activations(self, windows: FloatArray, layer: str) -> FloatArray:
        """Return the output of a layer for windows; see `Backend.activations`."""
        network = self._need()
        return outputs_of(keras.Model(network.inputs[0], output_of(network.get_layer(layer))), windows)

    def weights_until(self, layer: str) -> tuple[str, ...]:
        """Name the weights of all layers up to and including one, in the order of the forward pass; see `Backend.weights_until`."""
        layers = layers_of(self._need())
        done = [each.name for each in layers].index(layer) + 1
        return tuple(name for each in layers[:done] for name in names_of(each))

    def weights(self) -> Weights:
        """Return copies of all weights, running statistics included, in the order of the forward pass; names are like ``conv1.kernel``."""
        return arrays_of(self._need())

    def set_weights(self, weights: Weights) -> None:
        """Load weights as `weights` returns them; names or shapes that do not fit raise ModelError."""
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
        """Return what the network gives, logits or answers."""
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


def as_torch(model: ModelContainer) -> Any:
    """Return the PyTorch twin of a built model of ``dcasekit.models.keras``, with the same settings, weights, labels and front end."""
    layers: dict[str, dict[str, Any]] = {}
    for path, array in model.weights().items():
        layers.setdefault(path.rpartition(".")[0], {})[role(path.replace(".", "/"))] = array
    twin = discover.load("models", discover.address(type(model)).removeprefix("keras."))(**model.settings)
    twin.build(model.shape, model.labels, task=model.task)
    twin.set_weights({**twin.weights(), **to_torch(layers, twin.weights())})
    twin.features, twin.scaler = model.features, model.scaler
    return twin


def _direct(network: keras.Model) -> bool:
    return getattr(network, "activation", None) == "none"
