"""CRNN2023: the network of the DCASE 2023 task 4B baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._gru import read
from dcasekit.models._layers import Pool, Pooling


@dataclass(kw_only=True, eq=False)
class CRNN2023(TorchModelContainer):
    """Convolutional recurrent network of the DCASE 2023 task 4B baseline, which learns soft labels.

    I. Martín-Morató, M. Harju, P. Ahokas, A. Mesaros, "Training Sound Event Detection with Soft Labels from Crowdsourced Annotations",
    ICASSP 2023; layers, constants and the names of the weights are those of the published code.

    Three 3 x 3 convolutions that pool frequency alone, a bidirectional GRU, and two dense layers on every frame, with no activation
    between them. Input (windows, frames, dims): 200 frames of 200 ms and 64 mel bands as published, not logarithmic; any number of frames,
    and 20 dims or more. For detection, as published, the output is (windows, frames, labels) without activation: the network learns the
    soft labels with the squared error, and `answer` clips them to [0, 1], which changes no decision. For tagging and classification, which
    are not in the publication, the output is (windows, labels), the mean of the frames' probabilities (sigmoid or softmax). With 17 labels
    there are 380,113 parameters. Initial weights are PyTorch's defaults.

    Parameters
    ----------
    filters : number of filters in each convolution; batch normalisation and ReLU follow it.
    pool_size : size of the max pooling over frequency after each convolution.
    dropout : dropout rate after each pooling.
    gru_units : number of units of the GRU, per direction.
    dense_units : number of units of the first dense layer; the second has one per label.
    pooling : for tagging and classification, how the probabilities of frames become that of the window: ``"mean"``, ``"max"``, or
        ``"autopool"``, a softmax-weighted mean whose sharpness is learned per label (McFee
        et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "dcase2023_task4b"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(200, 64), labels=17, task="detection", hop=0.2)

    filters: Sequence[int] = (128, 128, 128)
    pool_size: Sequence[int] = (5, 2, 2)
    dropout: float = 0.2
    gru_units: int = 32
    dense_units: int = 32
    pooling: Pooling = "mean"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        return _Network(self, dims, outputs, task)


class _Network(nn.Module):
    def __init__(self, settings: CRNN2023, dims: int, outputs: int, task: Task) -> None:
        super().__init__()
        self.blocks = len(settings.filters)
        self.activation = "none" if task == "detection" else None
        for number, ((before, after), pool) in enumerate(zip(pairwise((1, *settings.filters)), settings.pool_size, strict=True), 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1))
            self.add_module(f"batch_norm{number}", nn.BatchNorm2d(after))
            self.add_module(f"max_pool{number}", nn.MaxPool2d((1, pool)))
            dims //= pool
        self.dropout = nn.Dropout(settings.dropout)
        if not dims:
            raise ModelError(f"windows have too few dims for pools {settings.pool_size} over frequency; use more bands, or smaller pools")
        self.gru1 = nn.GRU(settings.filters[-1] * dims, settings.gru_units, batch_first=True, bidirectional=True)
        self.linear1 = nn.Linear(2 * settings.gru_units, settings.dense_units)
        self.linear2 = nn.Linear(settings.dense_units, outputs)
        self.pool = None if task == "detection" else Pool(settings.pooling, outputs, task)

    def forward(self, x: Tensor) -> Tensor:
        maps = x[:, None]  # (windows, channels, frames, frequency)
        for number in range(1, self.blocks + 1):
            maps = self.get_submodule(f"batch_norm{number}")(self.get_submodule(f"conv{number}")(maps))
            maps = self.dropout(self.get_submodule(f"max_pool{number}")(maps).relu())  # as relu before the pooling, of fewer values
        sequence = read(self.gru1, maps.transpose(1, 2).flatten(2))  # channel by channel, as published
        answers: Tensor = self.linear2(self.linear1(sequence))
        return answers if self.pool is None else self.pool(answers)
