"""The PyTorch container: a network, what it answers, its layers and weights."""

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import hash_weights
from dcasekit.containers._epochs import train_epochs
from dcasekit.containers._torch_freeze import freeze, warm_start_batch_norm
from dcasekit.containers._torch_inside import TorchInside
from dcasekit.containers._torch_learner import TorchLearner
from dcasekit.containers._torch_seed import seeded
from dcasekit.containers._torch_speed import keep_memory, place
from dcasekit.containers._validation import Validation, measuring, name_validation
from dcasekit.containers.heads import Head
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.processes import processes
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError, first_line
from dcasekit.generator import Data, Together


@dataclass(kw_only=True, eq=False)
class TorchModelContainer(TorchInside):
    """A PyTorch network with its training. A new model implements `network_for`.

    Attributes
    ----------
    network : `torch.nn.Module` that maps (windows, frames, dims) to logits (windows, labels) or (windows, frames, labels); ``None`` before
        `build`. If it has a method ``penalty()``, its result is added to the loss. If its attribute ``activation`` is ``"none"``, it
        outputs answers, not logits: these are trained with the squared error, and `answer` clips them to [0, 1].
    """

    @abstractmethod
    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:
        """Make the network for windows of (frames, dims), with that number of outputs; it returns logits."""

    def network_with(self, labels: Mapping[Task, int]) -> nn.Module:
        """Make the network with a head for each task; a model with several heads implements it.

        Parameters
        ----------
        labels : task -> number of labels.

        Returns
        -------
        `torch.nn.Module` : called as ``network(x, task)`` with x (windows, frames, dims), it returns the logits of that task. Its weights
            must have the same names as in a network with only one of these heads.
        """
        raise ModelError(
            f"{type(self).__name__} has one head; {', '.join(labels)} learned together need a network with several, such as DcaseNet"
        )

    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights, and return this model; see `Backend.build`."""
        self._make(lambda: self.network_for(*shape, len(labels), task), seed)
        self.shape, self.labels, self.task, self.heads = (shape[0], shape[1]), tuple(labels), task, {}
        return self

    def build_heads(self, heads: Mapping[Task, Head], *, seed: int = 0) -> Self:
        """Make the network with a head for each task, with new weights, and return this model; `answer` uses the first head."""
        self._make(lambda: self.network_with({task: len(head.labels) for task, head in heads.items()}), seed)
        task, first = next(iter(heads.items()))
        self.shape, self.labels, self.task, self.heads = first.shape, first.labels, task, dict(heads)
        self.features, self.scaler = first.features, first.scaler
        return self

    def head(self, task: Task) -> Self:
        """Return a copy of the model for one task only, on the same device, with the weights that the head of this task uses.

        A network with one head can also be returned for another task that needs no other weights: for example, a `CRNN2023A` that was
        trained for detection tags clips by its attention.

        Raises
        ------
        ModelError : the network has no head for this task.
        """
        weights, own = self.weights(), Head(self.labels, self.shape, self.features, self.scaler)
        heads = self.heads or {self.task: own, task: own}
        if task not in heads:
            raise ModelError(f"this {type(self).__name__} has no head for {task}; it has: {', '.join(heads)}")
        one, chosen = copy.copy(self), heads[task]
        one.build(chosen.shape, chosen.labels, task=task)
        if not weights.keys() >= one.weights().keys():
            raise ModelError(f"this {type(self).__name__} has no head for {task}; it has: {self.task}")
        one.features, one.scaler, one.kept, one.calibration = chosen.features, chosen.scaler, {}, None
        one.set_weights({name: weights[name] for name in one.weights()})
        one._on(next(self._need().parameters()).device)
        return one

    def fit(
        self, data: Data | Together, validation: Validation | None, training: Training, *, frozen: Sequence[str] | None = None
    ) -> list[Record]:
        """Train epoch by epoch; keep the weights of the best epoch, or of the last if there is no validation. See `Backend.fit`."""
        if training.keep_memory:
            keep_memory()
        with freeze(self._need(), frozen or ()), warm_start_batch_norm(self._need()):
            return self._fit(data, validation, training, frozen)

    def _fit(self, data: Data | Together, validation: Validation | None, training: Training, frozen: Sequence[str] | None) -> list[Record]:
        network = self._on(_device(training.device))
        run: dict[str, Any] = {"model": [discover.address(type(self)), self.settings], "data": data.identity, "labels": self.labels}
        run["start"] = None if frozen is None else hash_weights(self.weights(), frozen)
        run["validation"] = name_validation(validation, training)
        losses: dict[str, str] = {task: self._loss_name(training, task) for task in (*self.heads, self.task)}
        measured = dict.fromkeys(losses, "mse of answers") if _answers_directly(network) else losses
        history, kept = train_epochs(
            TorchLearner(network, data, training, losses=measured, heads=bool(self.heads)),
            training,
            name=type(self).__name__,
            run=run,
            validate=measuring(self, data, validation, training, loss=losses[self.task]),
        )
        self.kept = {name: weights for name, weights in kept.items() if name}
        return history

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities for windows: softmax for classification, else sigmoid; outputs without activation clipped to [0, 1]."""
        network = self._need()
        network.eval()
        answers = []
        with torch.inference_mode():
            for part in self._parts(windows):
                logits = network(part).float()
                if _answers_directly(network):
                    answer = logits.clamp(0, 1)
                else:
                    answer = logits.softmax(-1) if self.task == "classification" else logits.sigmoid()
                answers.append(answer.cpu().numpy())
        return np.concatenate(answers)

    def _allocate(
        self, shape: tuple[int, int], labels: Sequence[str], *, task: Task, heads: Mapping[Task, Head] | None = None
    ) -> Mapping[str, tuple[int, ...]] | None:
        """Tell names and shapes of the weights, made where they take no memory; see `Backend._allocate`."""
        try:
            with torch.device("meta"):
                if heads:
                    network = self.network_with({each: len(head.labels) for each, head in heads.items()})
                else:
                    network = self.network_for(*shape, len(labels), task)
        except (RuntimeError, NotImplementedError):  # it computes with its numbers while it is made
            return None
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

    def _make(self, make: Callable[[], nn.Module], seed: int) -> None:
        try:
            with seeded(seed):
                self.network = place(make(), torch.device("cpu"))
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"{type(self).__name__} cannot be built with the settings {shorten(self.settings)}: {first_line(error)}"
            ) from error

    def weights(self) -> Weights:
        """Return a copy of the network's state dict, as arrays."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._need().state_dict().items()}

    def set_weights(self, weights: Weights) -> None:
        """Load a state dict as `weights` returns it; names or shapes that do not fit raise ModelError."""
        try:
            self._need().load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights do not fit this {type(self).__name__}: {error}") from error

    def _outputs(self, windows: FloatArray) -> FloatArray:
        """Return what the network gives, logits or answers."""
        network = self._need().eval()
        with torch.inference_mode():
            return np.concatenate([network(part).float().cpu().numpy() for part in self._parts(windows)])

    def _loss_name(self, training: Training, task: str) -> str:
        """Name the loss that was chosen, or that follows from the network and the task."""
        if _answers_directly(self._need()):
            if training.loss not in (None, "mse"):
                raise ModelError(
                    f"the output of {type(self).__name__} for {task} has no activation; it learns by loss='mse', not {training.loss!r}"
                )
            return "mse"
        return training.loss or ("cross_entropy" if task == "classification" else "binary_cross_entropy")

    @property
    def _bytes_at_once(self) -> int:
        """More where the network is on a GPU."""
        return super()._bytes_at_once if next(self._need().parameters()).device.type == "cpu" else 1 << 24

    def _move(self, device: str) -> str:
        """Move the network; see `Backend._move`."""
        chosen = _device(device)
        self._on(chosen)
        return str(chosen)

    def _on(self, device: torch.device) -> nn.Module:
        self.network = place(self._need(), device)
        return self.network


def _answers_directly(network: nn.Module) -> bool:
    return getattr(network, "activation", None) == "none"


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and processes() > 1:
        name = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); use device='cpu' or 'auto'") from error
    return torch.device(name)
