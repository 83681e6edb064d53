"""The PyTorch container: training as a ladder of short rungs, prediction, weights."""

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import hash_weights
from dcasekit.containers._data import Data
from dcasekit.containers._torch_checkpoint import Checkpoint
from dcasekit.containers._torch_freeze import freeze, warm_start_batch_norm
from dcasekit.containers._torch_layers import layer_output, layer_shapes, weights_until
from dcasekit.containers._torch_seed import seeded
from dcasekit.containers._torch_speed import keep_memory, place
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training, validation_record
from dcasekit.core import discover
from dcasekit.core.parallel import track
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.generator import Batch

_log = logging.getLogger(__name__)

# Windows answered at once when predicting: bounds memory, changes nothing else.
_WINDOWS_PER_ANSWER = 256

_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda logits, y: nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten(0, -2)),
    "binary_cross_entropy": nn.functional.binary_cross_entropy_with_logits,
    "mse": lambda logits, y: nn.functional.mse_loss(logits.sigmoid(), y),
}


@dataclass(kw_only=True, eq=False)
class TorchModelContainer(ModelContainer):
    """A PyTorch network with its training. A new model writes `network_for`.

    Attributes
    ----------
    network : `torch.nn.Module`: (windows, frames, dims) -> logits (windows, labels) or (windows, frames,
        labels). What its method ``penalty()`` gives, if it has one, is added to the loss. A network whose attribute ``activation`` is
        ``"none"`` gives answers, not logits: they learn by the squared error, unclipped, and are clipped to [0, 1] when it is asked.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.network: nn.Module | None = None

    @abstractmethod
    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:
        """Make the network for windows of (frames, dims)."""

    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights; see `ModelContainer.build`."""
        try:
            with seeded(seed):
                self.network = place(self.network_for(*shape, len(labels), task), torch.device("cpu"))
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{type(self).__name__} cannot be built with the settings {self.settings}: {error}") from error
        self.shape, self.labels, self.task = (shape[0], shape[1]), tuple(labels), task
        return self

    def fit(self, data: Data, validation: Data | None, training: Training, *, frozen: Sequence[str] | None = None) -> list[Record]:
        """Train epoch by epoch; keep the best on validation data, or the last."""
        if training.keep_memory:
            keep_memory()
        with freeze(self._need(), frozen or ()), warm_start_batch_norm(self._need()):
            return self._fit(data, validation, training, frozen)

    def _fit(self, data: Data, validation: Data | None, training: Training, frozen: Sequence[str] | None) -> list[Record]:
        device = _device(training.device)
        network = self._on(device)
        run: dict[str, Any] = {"model": [discover.address(type(self)), self.settings], "data": data.identity, "labels": self.labels}
        run["start"] = None if frozen is None else hash_weights(self.weights(), frozen)
        run["validation"] = None if validation is None else validation.identity
        state = Checkpoint(network, training, steps=math.ceil(data.size / training.batch_size), run=run)
        history = state.restore()
        epochs = range(len(history), training.epochs)
        if state.stopped(history):
            epochs = range(0)
        for epoch in track(epochs, len(epochs), f"Training {type(self).__name__}" if training.progress else None):
            began = time.perf_counter()
            record: Record = {"epoch": epoch + 1, "learning_rate": state.learning_rate(epoch)}
            record["loss"] = self._epoch(data, state, epoch, device)
            with state.averaged():
                if validation is not None:
                    record |= validation_record(self.evaluate(validation), self._loss_name(training))
                record["seconds"] = time.perf_counter() - began
                history.append(record)
                state.keep_best(history)
            state.save(history)
            _log.info("epoch %d: %s", epoch + 1, record)
            if any([callback(record) for callback in training.callbacks]) or state.stopped(history):
                break
        state.load_best()
        return history

    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows with probabilities: softmax for classification, sigmoid else, unless the network has none."""
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

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Name the modules that give a tensor with the windows as its first axis; see `Backend.layers`."""
        return layer_shapes(self._need(), *(next(self._parts(np.zeros((count, *self.shape), np.float32))) for count in (2, 3)))

    def activations(self, windows: FloatArray, layer: str) -> FloatArray:
        """Give what a module gives for windows; see `Backend.activations`."""
        return np.concatenate([layer_output(self._need(), part, layer).float().cpu().numpy() for part in self._parts(windows)])

    def weights_until(self, layer: str) -> tuple[str, ...]:
        """Name the tensors of the modules that are done when a layer is."""
        return weights_until(self._need(), next(self._parts(np.zeros((2, *self.shape), np.float32))), layer)

    def weights(self) -> Weights:
        """Give the network's state dict as arrays."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._need().state_dict().items()}

    def set_weights(self, weights: Weights) -> None:
        """Load a state dict; names and shapes must be the network's."""
        try:
            self._need().load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        except RuntimeError as error:
            raise ModelError(f"the weights do not fit this {type(self).__name__}: {error}") from error

    def cost(self) -> dict[str, int]:
        """Count trainable parameters, and multiply-accumulates for one window (convolutions, products, recurrences; no additions)."""
        from torch.utils.flop_counter import FlopCounterMode

        network = self._need().eval()
        window = torch.zeros(1, *self.shape, device=next(network.parameters()).device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(window)
        parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return {"parameters": parameters, "macs": counter.get_total_flops() // 2}

    def _parts(self, windows: FloatArray) -> Iterator[Tensor]:
        """Give as many windows as are answered at once, where the network is."""
        device = next(self._need().parameters()).device
        for first in range(0, len(windows), _WINDOWS_PER_ANSWER):
            yield torch.from_numpy(windows[first : first + _WINDOWS_PER_ANSWER].astype(np.float32)).to(device)

    def _epoch(self, data: Data, state: Checkpoint, epoch: int, device: torch.device) -> float:
        """Train on every batch once; give back the mean loss."""
        network, training = self._need().train(), state.training
        rng = np.random.default_rng((training.seed, epoch, 1))
        total = count = 0.0
        with seeded(hash((training.seed, epoch)) % 2**31):
            for batch in data.batches(epoch, training.batch_size):
                loss = self._loss(network, batch, training, rng, device)
                state.step(loss)
                total, count = total + loss.item() * len(batch.x), count + len(batch.x)
        mean = total / count
        if not np.isfinite(mean):
            raise ModelError(
                f"the loss is {mean} in epoch {epoch + 1}; lower learning_rate ({training.learning_rate}) or scale the features"
            )
        return mean

    def _loss(self, network: nn.Module, batch: Batch, training: Training, rng: np.random.Generator, device: torch.device) -> Tensor:
        x, y = batch.x, batch.y
        for function in training.augment:
            x, y = function(x, y, rng)
        with torch.autocast(device.type, getattr(torch, training.precision), enabled=training.precision != "float32"):
            logits = network(torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(device))
        target = torch.from_numpy(np.ascontiguousarray(y, np.float32)).to(device)
        if logits.ndim != target.ndim:
            raise ModelError(
                f"the network answers {tuple(logits.shape)} and the targets are {tuple(target.shape)}; choose target='frame' for a network "
                "that answers frames, 'window' or 'clip' for one that answers windows"
            )
        distance = _LOSSES[self._loss_name(training)]
        loss = (nn.functional.mse_loss if _answers_directly(network) else distance)(logits.float(), target)
        penalty: Callable[[], Tensor] | None = getattr(network, "penalty", None)
        return loss if penalty is None else loss + penalty()

    def _loss_name(self, training: Training) -> str:
        """Name the loss that was chosen, or that follows from the network and the task."""
        if _answers_directly(self._need()):
            if training.loss not in (None, "mse"):
                raise ModelError(
                    f"the output of {type(self).__name__} for {self.task} has no activation; it learns by loss='mse', not {training.loss!r}"
                )
            return "mse"
        return training.loss or ("cross_entropy" if self.task == "classification" else "binary_cross_entropy")

    def _on(self, device: torch.device) -> nn.Module:
        self.network = place(self._need(), device)
        return self.network

    def _need(self) -> nn.Module:
        self._need_network()
        if self.network is None:
            raise ModelError("the network is missing; call build()")
        return self.network


def _answers_directly(network: nn.Module) -> bool:
    return getattr(network, "activation", None) == "none"


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); use device='cpu' or 'auto'") from error
    return torch.device(name)
