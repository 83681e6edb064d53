"""MLP: dense layers on every frame, averaged over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import Pool, Pooling, keras_start, l2


@dataclass(kw_only=True, eq=False)
class MLP(TorchModelContainer):
    """Multi-layer perceptron of DCASE-models: dense layers on each frame, whose probabilities are then pooled over the window.

    Input (windows, frames, dims), output (windows, labels). For (64 frames, 12 dims) and 10 labels: 10,570 parameters.

    Parameters
    ----------
    hidden_layers_size : number of units of each hidden layer.
    dropout_rates : dropout rate after each hidden layer.
    l2_reg : factor of the sum of squared kernels that is added to the loss.
    pooling : how the probabilities of frames become that of the window: ``"mean"`` (as published), ``"max"``, or ``"autopool"``, a
        softmax-weighted mean whose sharpness is learned per label (McFee et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "dcase_models"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 12), hop=680 / 22050)

    hidden_layers_size: Sequence[int] = (128, 64)
    dropout_rates: Sequence[float] = (0.5, 0.5)
    l2_reg: float = 1e-5
    pooling: Pooling = "mean"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if len(self.hidden_layers_size) != len(self.dropout_rates):
            raise ModelError(f"need one dropout rate per hidden layer; got {self.hidden_layers_size} and {self.dropout_rates}")
        return keras_start(_Network(self, dims, outputs, task))


class _Network(nn.Module):
    def __init__(self, settings: MLP, dims: int, outputs: int, task: Task) -> None:
        super().__init__()
        self.l2_reg = settings.l2_reg
        sizes = (dims, *settings.hidden_layers_size)
        hidden = [
            layer
            for before, size, rate in zip(sizes, sizes[1:], settings.dropout_rates, strict=False)
            for layer in (nn.Linear(before, size), nn.ReLU(), nn.Dropout(rate))
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))
        self.pool = Pool(settings.pooling, outputs, task)

    def forward(self, x: Tensor) -> Tensor:
        # The published model averages probabilities, not logits: give back the logit of that average.
        logits: Tensor = self.pool(self.layers(x))
        return logits

    def penalty(self) -> Tensor | float:
        return self.l2_reg * l2(*(layer.weight for layer in self.layers if isinstance(layer, nn.Linear)))
