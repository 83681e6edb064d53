"""SceneCNN: the network of the DCASE tutorial on acoustic scene classification."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import batch_norm, keras_start


@dataclass(kw_only=True, eq=False)
class SceneCNN(TorchModelContainer):
    """Two convolutions and global max pooling: the network of a tutorial on acoustic scene classification.

    T. Heittola, "Acoustic scene classification with DCASE utilities": tutorial notebook on TUT Urban Acoustic Scenes 2018, in Keras.

    Input (windows, frames, dims): 500 frames of 20 ms and 40 log mel bands as published, not normalised; any number of frames from 8 on
    and of dims from 4 on. Output (windows, labels). With ten labels 105,290 parameters, 105,034 of them trainable. The publication's axes
    are (mel band, frame), and so are those of the kernels here; windows are transposed inside. Initial kernels are Glorot uniform, biases
    zero.

    Parameters
    ----------
    filters : number of filters in each convolution; batch normalisation and ReLU follow it.
    filter_size : (frequency, time) of the kernels of both convolutions.
    pool_size : (frequency, time) of the max pooling after each convolution.
    dropout : dropout rate after each pooling.
    """

    published_front_end: ClassVar[str | None] = "asc_tutorial"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(500, 40), hop=0.02)

    filters: Sequence[int] = (64, 64)
    filter_size: Sequence[int] = (5, 5)
    pool_size: Sequence[Sequence[int]] = ((2, 4), (2, 2))
    dropout: float = 0.2

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames that its poolings leave at least one of."""
        for _, over_time in self.pool_size:
            frames //= over_time
        for over_frequency, _ in self.pool_size:
            dims //= over_frequency
        if not (frames and dims):
            raise ModelError(f"windows are too small for pools {self.pool_size}; use a longer sequence_time, more bands, or smaller pools")
        return keras_start(_Network(self, outputs))


class _Network(nn.Module):
    def __init__(self, settings: SceneCNN, outputs: int) -> None:
        super().__init__()
        kernel = (settings.filter_size[0], settings.filter_size[1])
        layers: list[nn.Module] = []
        for (before, after), pool in zip(pairwise((1, *settings.filters)), settings.pool_size, strict=True):
            layers += [nn.Conv2d(before, after, kernel, padding="same"), batch_norm(after)]
            # The published ReLU stands before the pooling: it is the same, and there is less to rectify.
            layers += [nn.MaxPool2d((pool[0], pool[1])), nn.ReLU(), nn.Dropout(settings.dropout)]
        self.convolutions = nn.Sequential(*layers)
        self.out = nn.Linear(settings.filters[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x.transpose(1, 2)[:, None])  # (windows, channels, frequency, time)
        logits: Tensor = self.out(maps.amax((2, 3)))
        return logits
