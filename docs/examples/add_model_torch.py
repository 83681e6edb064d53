"""A model of your own in PyTorch: settings as fields, and one method that makes the network."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from dcasekit.containers.torch import TorchModelContainer


@dataclass(kw_only=True, eq=False)
class BiGRU(TorchModelContainer):
    """A bidirectional recurrent layer that predicts every frame.

    Input (windows, frames, dims), output (windows, frames, labels).

    Parameters
    ----------
    units : of each direction.
    dropout : before the dense layer.
    """

    units: int = 32
    dropout: float = 0.1

    def network_for(self, frames: int, dims: int, outputs: int, task: str) -> nn.Module:
        """Make the network; it gives logits: loss and activation follow from the task."""
        return _Network(dims, self.units, self.dropout, outputs)


class _Network(nn.Module):
    def __init__(self, dims: int, units: int, dropout: float, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims)
        self.gru = nn.GRU(dims, units, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.gru(self.norm(x))
        return self.out(self.dropout(hidden))


def check(folder: Path) -> None:
    """Check the contract: what the tests of this page do."""
    from dcasekit import testing

    testing.check_model(
        BiGRU(units=8),
        shape=(20, 12),
        labels=("cat", "dog", "hen"),
        new_process=False,
        learning_rate=3e-3,
    )
