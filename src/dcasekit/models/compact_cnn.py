"""CompactCNN: a small convolutional network that answers windows of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task


@dataclass(kw_only=True, eq=False)
class CompactCNN(TorchModelContainer):
    """Four 3 x 3 convolutions with pooling between them, then mean, standard deviation and maximum over time.

    dcasekit's own network, for small data sets and small machines. Input (windows, frames, dims), output (windows, labels). With the
    defaults any number of frames and dims from 8 on, and for ten labels 101,242 parameters. Batch statistics bring each input dimension to
    mean 0 and standard deviation 1, so features need no scaler.

    Parameters
    ----------
    filters : number of filters in each convolution; batch normalisation and ReLU follow it.
    pool_size : (time, frequency) of the max pooling after each convolution but the last.
    dropout : dropout rate before the dense layer.
    """

    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 64), hop=680 / 22050)

    filters: Sequence[int] = (16, 32, 64, 128)
    pool_size: Sequence[Sequence[int]] = ((2, 2), (2, 2), (2, 2))
    dropout: float = 0.2

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        return _Network(self, dims, outputs)


class _Network(nn.Module):
    def __init__(self, settings: CompactCNN, dims: int, outputs: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(dims, affine=False)
        layers: list[nn.Module] = []
        for (before, after), pool in zip(pairwise((1, *settings.filters)), [*settings.pool_size, None], strict=True):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.MaxPool2d((pool[0], pool[1]))] if pool else []
            layers += [nn.ReLU(inplace=True)]  # after the pooling there is less to rectify, and it is the same
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(3 * settings.filters[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        scaled = self.scale(x.transpose(1, 2)).transpose(1, 2)
        maps = self.convolutions(scaled[:, None]).mean(3)  # (windows, channels, time)
        deviation = maps.var(2, correction=0).add(1e-8).sqrt()  # not std(): its slope at 0 is infinite
        logits: Tensor = self.out(self.dropout(torch.cat([maps.mean(2), deviation, maps.amax(2)], dim=1)))
        return logits
