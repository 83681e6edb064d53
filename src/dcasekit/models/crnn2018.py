"""CRNN2018: the network of the DCASE 2018 task 4 baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._gru import ResetBeforeGRU, read
from dcasekit.models._layers import Pool, Pooling, batch_norm, keras_start


@dataclass(kw_only=True, eq=False)
class CRNN2018(TorchModelContainer):
    """Convolutional recurrent network of the DCASE 2018 task 4 baseline, for both of its passes.

    R. Serizel, N. Turpault, H. Eghbal-Zadeh, A. Parag Shah, "Large-Scale Weakly Labeled Semi-Supervised Sound Event Detection in Domestic
    Environments", DCASE Workshop 2018; layers and constants are those of the published code, in Keras.

    Three 3 x 3 convolutions that pool frequency alone, a bidirectional GRU, and a dense layer on every frame. Input (windows, frames,
    dims): 500 frames of 20 ms and 64 log mel bands as published; any number of frames, and 64 dims or more. The task decides which of the
    two passes of the baseline the network is for. Pass 1, tagging: output (windows, labels), the mean of the frames' probabilities. Pass 2,
    detection: output (windows, frames, labels). For classification, the mean of the frames' softmax. With ten labels both passes have
    126,090 parameters, 125,706 of them trainable; with ``gru="sigmoid_after"`` 126,474. Initial kernels are those of Keras: Glorot uniform,
    the recurrent ones of the GRU orthogonal; biases are zero.

    Parameters
    ----------
    gru : activation of the gates, and whether the reset gate is applied before or after the recurrent product. ``"hard_sigmoid_before"``,
        with clip(0.2 x + 0.5, 0, 1): Keras before 2.3, as published. ``"sigmoid_before"``: Keras 2.3. ``"sigmoid_after"``: Keras 3,
        PyTorch.
    filters : number of filters in each convolution; batch normalisation and ReLU follow it.
    pool_size : size of the max pooling over frequency after each convolution.
    units : number of units of the GRU, per direction.
    dropout : dropout rate after each pooling, and of the GRU's inputs, where all frames have the same mask, as in Keras.
    pooling : for tagging and classification, how the probabilities of frames become that of the window: ``"mean"`` (published), ``"max"``,
        or ``"autopool"``, a softmax-weighted mean whose sharpness is learned per label (McFee
        et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "dcase2018_task4"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(500, 64), task="tagging", hop=0.02)

    gru: Literal["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"] = "hard_sigmoid_before"
    filters: Sequence[int] = (64, 64, 64)
    pool_size: Sequence[int] = (4, 4, 4)
    units: int = 64
    dropout: float = 0.3
    pooling: Pooling = "mean"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if self.gru not in ("hard_sigmoid_before", "sigmoid_before", "sigmoid_after"):
            raise ModelError(f"gru must be hard_sigmoid_before, sigmoid_before or sigmoid_after; got {self.gru!r}")
        return keras_start(_Network(self, dims, outputs, task))


class _Network(nn.Module):
    def __init__(self, settings: CRNN2018, dims: int, outputs: int, task: Task) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (before, after), pool in zip(pairwise((1, *settings.filters)), settings.pool_size, strict=True):
            layers += [nn.Conv2d(before, after, 3, padding=1), batch_norm(after)]
            # The published ReLU stands before the pooling: it is the same, and there is less to rectify.
            layers += [nn.MaxPool2d((1, pool)), nn.ReLU(), nn.Dropout(settings.dropout)]
            dims //= pool
        if not dims:
            raise ModelError(f"windows have too few dims for pools {settings.pool_size} over frequency; use more bands, or smaller pools")
        self.convolutions = nn.Sequential(*layers)
        inputs, units, dropout = settings.filters[-1] * dims, settings.units, settings.dropout
        if settings.gru == "sigmoid_after":
            self.gru: nn.Module = _ResetAfterGRU(inputs, units, dropout)
        else:
            self.gru = ResetBeforeGRU(inputs, units, hard_sigmoid=settings.gru == "hard_sigmoid_before", dropout=dropout)
        self.out = nn.Linear(2 * units, outputs)
        self.pool = None if task == "detection" else Pool(settings.pooling, outputs, task)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x[:, None]).permute(0, 2, 3, 1)  # (windows, frames, frequency, channels): Keras' order of flattening
        logits: Tensor = self.out(self.gru(maps.flatten(2)))
        return logits if self.pool is None else self.pool(logits)


class _ResetAfterGRU(nn.Module):
    """PyTorch's GRU with Keras' initial weights, and dropout of the inputs by one mask for all frames."""

    def __init__(self, inputs: int, units: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(dropout)
        self.layer = nn.GRU(inputs, units, batch_first=True, bidirectional=True)
        for name, weight in self.layer.named_parameters():
            start = {"weight_ih": nn.init.xavier_uniform_, "weight_hh": nn.init.orthogonal_}.get(name[:9], nn.init.zeros_)
            start(weight)

    def forward(self, x: Tensor) -> Tensor:
        return read(self.layer, self.dropout(x.transpose(1, 2)).transpose(1, 2))
