"""SB-CNN-SED: the convolutional network of the Scaper paper, for sound event detection (Salamon et al. 2017)."""

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
from dcasekit.models._layers import batch_norm, keras_start


@dataclass(kw_only=True, eq=False)
class SB_CNN_SED(TorchModelContainer):  # noqa: N801 - the paper's spelling
    """CNN of the Scaper paper: three convolutions of equally many filters, then dense layers; each window is scored by itself.

    J. Salamon, D. MacConnell, M. Cartwright, P. Li, J. P. Bello, "Scaper: A Library for Soundscape Synthesis and Augmentation", WASPAA
    2017.

    Input (windows, frames, dims), output (windows, labels). The defaults are the small form: 1,129,674 parameters for (64 frames, 128 mel
    bands) and 10 labels, 1,129,290 of them trainable. The large form, ``SB_CNN_SED(filters=128, n_dense=(128, 128))``: 4,528,650. The paper
    takes windows of 50 frames of 20 ms, standardised per band, every 25 frames. With the defaults windows need at least 32 frames and 32
    dims. Initial kernels are Glorot uniform, biases zero.

    Parameters
    ----------
    filters : number of filters of each of the three convolutions.
    filter_size : (time, frequency) of the kernels of all convolutions.
    pool_size : (time, frequency) of the max pooling after the first and after the second convolution.
    n_dense : number of units of each hidden dense layer.
    dropout : dropout rate before each dense layer, the output layer included.
    input_norm : normalise each input dimension by batch statistics, with a learned scale and shift, as the networks for MAVD-traffic and
        those behind `SMel` and `MST` do (Zinemanas et al. 2019).
    """

    published_front_end: ClassVar[str | None] = "sb_cnn_sed"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), task="detection", hop=680 / 22050)

    filters: int = 64
    filter_size: Sequence[int] = (5, 5)
    pool_size: Sequence[int] = (2, 2)
    n_dense: Sequence[int] = (64,)
    dropout: float = 0.5
    input_norm: bool = False

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network for windows of exactly this shape."""
        return keras_start(_Network(self, frames, dims, outputs))


class _Network(nn.Module):
    def __init__(self, settings: SB_CNN_SED, frames: int, dims: int, outputs: int) -> None:
        super().__init__()
        kernel, pool = tuple(settings.filter_size), (settings.pool_size[0], settings.pool_size[1])
        self.input_norm = nn.BatchNorm1d(dims, eps=1e-3, momentum=0.01) if settings.input_norm else None
        layers: list[nn.Module] = []
        for before in (1, settings.filters, settings.filters):
            layers += [
                nn.Conv2d(before, settings.filters, (kernel[0], kernel[1])),
                nn.MaxPool2d(pool),
                nn.ReLU(),  # published before the pooling: the same, but there is less to rectify here
                batch_norm(settings.filters),
            ]
        del layers[-3]  # no pooling after the third
        self.convolutions = nn.Sequential(*layers)
        try:
            flat = self.convolutions.eval()(torch.zeros(1, 1, frames, dims)).numel()
        except RuntimeError:
            raise ModelError(
                f"windows of {frames} frames and {dims} dims are too small for filters {kernel} and pools {pool}; "
                "use a longer sequence_time, more bands, or smaller pools"
            ) from None
        sizes = (flat, *settings.n_dense)
        hidden = [(nn.Dropout(settings.dropout), nn.Linear(before, size), nn.ReLU()) for before, size in pairwise(sizes)]
        self.dense = nn.Sequential(*(layer for group in hidden for layer in group), nn.Dropout(settings.dropout))
        self.out = nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.input_norm is not None:
            x = self.input_norm(x.transpose(1, 2)).transpose(1, 2)
        # (windows, time, frequency, channels) is Keras' order of flattening: its dense kernels are transposed here and no more, those of
        # its convolutions (time, frequency, in, out) are (out, in, time, frequency).
        maps = self.convolutions(x[:, None]).permute(0, 2, 3, 1)
        logits: Tensor = self.out(self.dense(maps.flatten(1)))
        return logits
