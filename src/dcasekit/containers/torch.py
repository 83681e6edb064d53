"""The PyTorch container: a network, what it answers, its layers and weights."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import hash_weights
from dcasekit.containers._epochs import train_epochs
from dcasekit.containers._torch_freeze import freeze, warm_start_batch_norm
from dcasekit.containers._torch_layers import layer_output, layer_shapes, weights_until
from dcasekit.containers._torch_learner import TorchLearner
from dcasekit.containers._torch_seed import seeded
from dcasekit.containers._torch_speed import keep_memory, place
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training, validation_record
from dcasekit.core import discover
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.generator import Data, batch_bounds

# Windows answered at once when predicting: bounds memory, changes nothing else.
_WINDOWS_PER_ANSWER = 256


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
        network, loss = self._on(_device(training.device)), self._loss_name(training)
        run: dict[str, Any] = {"model": [discover.address(type(self)), self.settings], "data": data.identity, "labels": self.labels}
        run["start"] = None if frozen is None else hash_weights(self.weights(), frozen)
        run["validation"] = None if validation is None else validation.identity
        measured = "mse of answers" if _answers_directly(network) else loss
        steps = len(batch_bounds(data.size, training.batch_size))
        return train_epochs(
            TorchLearner(network, data, training, loss=measured, steps=steps),
            training,
            name=type(self).__name__,
            run=run,
            validate=None if validation is None else lambda: validation_record(self.evaluate(validation), loss),
        )

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

    def _allocate(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task) -> Mapping[str, tuple[int, ...]] | None:
        """Tell names and shapes of the weights, made where they take no memory; see `Backend._allocate`."""
        try:
            with torch.device("meta"):
                network = self.network_for(*shape, len(labels), task)
        except (RuntimeError, NotImplementedError):  # it computes with its numbers while it is made
            return None
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

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
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(window)
        parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return {"parameters": parameters, "macs": counter.get_total_flops() // 2}

    def _outputs(self, windows: FloatArray) -> FloatArray:
        """Give what the network gives, logits or answers."""
        network = self._need().eval()
        with torch.inference_mode():
            return np.concatenate([network(part).float().cpu().numpy() for part in self._parts(windows)])

    def _parts(self, windows: FloatArray) -> Iterator[Tensor]:
        """Give as many windows as are answered at once, where the network is."""
        device = next(self._need().parameters()).device
        for first in range(0, len(windows), _WINDOWS_PER_ANSWER):
            yield torch.from_numpy(windows[first : first + _WINDOWS_PER_ANSWER].astype(np.float32)).to(device)

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
