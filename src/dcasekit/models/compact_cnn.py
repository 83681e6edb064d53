"""CompactCNN: a small convolutional network that answers windows of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets._base import Task


@dataclass(kw_only=True, eq=False)
class CompactCNN(TorchModelContainer):
    """Four 3 x 3 convolutions, halved in time and frequency between them, then mean, deviation and maximum over time.

    Our own network, for small data and small machines. Input (windows, frames, dims), output (windows, labels); any number of frames and
    dims from 8 on. With the defaults and ten labels 101,242 parameters. Each input dimension is brought to mean 0 and deviation 1 by batch
    statistics, so features need no scaler.

    Parameters
    ----------
    filters : of each convolution; batch normalisation and ReLU follow it, and max pooling by 2 all but the last.
    dropout : before the dense layer.
    """

    filters: Sequence[int] = (16, 32, 64, 128)
    dropout: float = 0.2

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        return _Network(self.filters, dims, outputs, self.dropout)


class _Network(nn.Module):
    def __init__(self, filters: Sequence[int], dims: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(dims, affine=False)
        layers: list[nn.Module] = []
        for before, after in pairwise((1, *filters)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers[:-1])
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the faster layout on CPUs
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(3 * filters[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        scaled = self.scale(x.transpose(1, 2)).transpose(1, 2)
        maps = self.convolutions(scaled[:, None]).mean(3)  # (windows, channels, time)
        deviation = maps.var(2, correction=0).add(1e-8).sqrt()  # not std(): its slope at 0 is infinite
        logits: Tensor = self.out(self.dropout(torch.cat([maps.mean(2), deviation, maps.amax(2)], dim=1)))
        return logits
