"""SB-CNN: three convolutions and two dense layers (Salamon and Bello 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import batch_norm, keras_start, l2


@dataclass(kw_only=True, eq=False)
class SB_CNN(TorchModelContainer):  # noqa: N801 - the paper's spelling
    """CNN of Salamon and Bello for environmental sounds.

    J. Salamon, J. P. Bello, "Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound Classification", IEEE Signal
    Processing Letters 24(3), 2017.

    Input (windows, frames, dims), output (windows, labels). The defaults are DCASE-models' form; for (64 frames, 128 mel bands) and 10
    labels it has 241,914 parameters, 241,674 of them trainable. The form of the paper:
    ``SB_CNN(pool_size=((4, 2), (4, 2)), batch_norm=False)`` on patches of 128 frames and 128 mel bands: 241,434.

    Parameters
    ----------
    filters : number of filters of each of the three convolutions.
    filter_size : (time, frequency) of the kernels of all convolutions.
    pool_size : (time, frequency) of the max pooling after the first and after the second convolution.
    n_dense : number of units of the hidden dense layer.
    dropout : dropout rate before each of the two dense layers.
    batch_norm : normalise after each convolution (and its pooling); not in the paper.
    l2_reg : factor of the sum of squared kernels and biases of the dense layers that is added to the loss.
    """

    published_front_end: ClassVar[str | None] = "sb_cnn"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), hop=680 / 22050)

    filters: Sequence[int] = (24, 48, 48)
    filter_size: Sequence[int] = (5, 5)
    pool_size: Sequence[Sequence[int]] = ((2, 2), (4, 2))
    n_dense: int = 64
    dropout: float = 0.5
    batch_norm: bool = True
    l2_reg: float = 1e-3

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network for windows of exactly this shape."""
        return keras_start(_Network(self, frames, dims, outputs))


class _Network(nn.Module):
    def __init__(self, settings: SB_CNN, frames: int, dims: int, outputs: int) -> None:
        super().__init__()
        kernel = (settings.filter_size[0], settings.filter_size[1])
        pools = [*settings.pool_size, None]
        layers: list[nn.Module] = []
        for (before, after), pool in zip(pairwise((1, *settings.filters)), pools, strict=True):
            layers += [nn.Conv2d(before, after, kernel)]
            # The largest of rectified values is the rectified largest: pooled first, there is less to rectify.
            layers += [nn.MaxPool2d((pool[0], pool[1]))] if pool else []
            layers += [nn.ReLU()]
            layers += [batch_norm(after)] if settings.batch_norm else []
        self.convolutions = nn.Sequential(*layers)
        self.dropout, self.l2_reg = nn.Dropout(settings.dropout), settings.l2_reg
        try:
            flat = self.convolutions.eval()(torch.zeros(1, 1, frames, dims)).numel()
        except RuntimeError:
            raise ModelError(
                f"windows of {frames} frames and {dims} dims are too small for filters {kernel} and pools {settings.pool_size}; "
                "use a longer sequence_time, more bands, or smaller pools"
            ) from None
        used = [_count_used(*each) for each in zip((frames, dims), kernel, zip(*settings.pool_size, strict=True), strict=True)]
        # Batch normalisation sees even what the next pooling leaves over.
        self.used = (frames, dims) if settings.batch_norm else (used[0], used[1])
        self.dense = nn.Linear(flat, settings.n_dense)
        self.out = nn.Linear(settings.n_dense, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:  # else layers are as published, for those who look at them
            x = x[:, : self.used[0], : self.used[1]]
        maps = self.convolutions(x[:, None]).permute(0, 2, 3, 1)  # (windows, time, frequency, channels): Keras' order of flattening
        hidden = self.dense(self.dropout(maps.flatten(1))).relu()
        logits: Tensor = self.out(self.dropout(hidden))
        return logits

    def penalty(self) -> Tensor | float:
        return self.l2_reg * l2(self.dense.weight, self.dense.bias, self.out.weight, self.out.bias)


def _count_used(size: int, kernel: int, pools: Sequence[int]) -> int:
    """Count the frames, or bands, of a window that reach the end: none sees what a pooling leaves over."""
    pools = (*pools, 1)
    for pool in pools:
        size = (size - kernel + 1) // pool
    for pool in reversed(pools):
        size = size * pool + kernel - 1
    return size
