"""CRNN2023A: the network of the DCASE 2023 and 2024 task 4 baselines (DESED, mean teacher)."""

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
from dcasekit.models._gru import read

# Magnitudes below count as this, -100 dB; levels are cut to this range; silence has this one, in dB; attention is from this to 1.
_LEAST, _DECIBELS, _RANGE, _ATTENTION = 1e-5, (-50.0, 80.0), 1e-6, 1e-7


@dataclass(kw_only=True, eq=False)
class CRNN2023A(TorchModelContainer):
    """Convolutional recurrent network that learns from strong, weak and unlabelled clips: DCASE task 4 baselines of 2023 and 2024.

    F. Ronchini, S. Cornell, R. Serizel, N. Turpault and others; layers and constants are those of github.com/DCASE-REPO/DESED_task.

    Seven blocks, each a 3 x 3 convolution, batch normalisation, a gated unit over channels (``Linear(x) * sigmoid(x)``), dropout and mean
    pooling; then two bidirectional GRUs and a dense layer on every step of 64 ms. The probability of a window is the mean over its steps,
    weighted by attention: the softmax *over labels* of a second dense layer, between 1e-7 and 1. The task decides the output: steps
    (windows, steps, labels) for detection, else (windows, labels); the objective `mean_teacher` trains both at once. Input (windows,
    frames, dims): 626 frames of 16 ms and 128 mel bands as published; any number of frames from 4 on, and 128 dims or more. For ten labels
    there are 1,112,420 parameters, and 917.6 million multiply-accumulates for 10 s. The published 930.9 million also count biases, and the
    element-wise operations of normalisation, pooling and the GRUs. Initial weights are PyTorch's defaults.

    Windows hold **linear magnitudes**, the features ``"desed2023_linear"``, because sounds mix as magnitudes, not as decibels. The network
    itself takes 20 log10 of them (at least 1e-5), clips it to [-50, 80] dB, and scales each window to [-1, 1].

    Parameters
    ----------
    filters : number of filters in each convolution.
    pool_size : (frames, bands) of the pooling in each block.
    dropout : dropout rate after each gated unit, and after the GRUs.
    gru_units : number of units of each of the two GRUs, per direction.
    linear : whether windows are magnitudes. ``False``: they are used as they are, as those of the features ``"desed2023"``.
    embedding : number of dims at the end of each frame that are another network's embedding (`SideBySide`); these are joined to the output
        of the convolutions. In 2024 it is 768, of BEATs; with 27 labels and 192 units that network has 1,785,094 parameters.
    groups : number of labels of each data set, in the order of the labels; the softmax of the attention is taken over the labels of one
        data set. In 2024 ``(10, 17)``. Empty: all labels are one group.
    """

    published_front_end: ClassVar[str | None] = "desed2023_linear"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(626, 128), task="detection", hop=0.016)

    filters: Sequence[int] = (16, 32, 64, 128, 128, 128, 128)
    pool_size: Sequence[tuple[int, int]] = ((2, 2), (2, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))
    dropout: float = 0.5
    gru_units: int = 128
    linear: bool = True
    embedding: int = 0
    groups: Sequence[int] = ()

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if self.groups and sum(self.groups) != outputs:
            raise ModelError(f"groups of {', '.join(map(str, self.groups))} labels are not the {outputs} labels there are")
        if not 0 <= self.embedding < dims:
            raise ModelError(f"embedding={self.embedding} leaves none of the {dims} dims of a frame for the convolutions")
        return _Network(self, dims - self.embedding, outputs, task)


class _Network(nn.Module):
    def __init__(self, settings: CRNN2023A, bands: int, outputs: int, task: Task) -> None:
        super().__init__()
        self.bands, self.linear, self.task = bands, settings.linear, task
        self.groups = list(settings.groups or (outputs,))
        blocks = []
        for (before, after), pool in zip(pairwise((1, *settings.filters)), settings.pool_size, strict=True):
            blocks.append(_Block(before, after, pool=pool, dropout=settings.dropout))
            bands //= pool[1]
        if not bands:
            raise ModelError(f"windows have too few dims for pools {settings.pool_size} over (frames, bands); use more bands")
        self.convolutions = nn.Sequential(*blocks)
        width = settings.filters[-1] * bands
        self.join = nn.Linear(width + settings.embedding, width) if settings.embedding else None
        self.gru = nn.GRU(width, settings.gru_units, num_layers=2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.out, self.attention = (nn.Linear(2 * settings.gru_units, outputs) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        steps = self._read(x)
        answers: Tensor = self.out(steps)
        return answers if self.task == "detection" else self._pool(steps, answers)

    def answer_both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of steps (windows, steps, labels) and of windows (windows, labels)."""
        steps = self._read(x)
        answers: Tensor = self.out(steps)
        return answers, self._pool(steps, answers)

    def _read(self, x: Tensor) -> Tensor:
        sound = x[..., : self.bands]
        maps = self.convolutions((_to_range(sound) if self.linear else sound)[:, None])
        steps = maps.transpose(1, 2).flatten(2)
        if self.join is not None:
            other = nn.functional.adaptive_avg_pool1d(x[..., self.bands :].transpose(1, 2), steps.shape[1]).transpose(1, 2)
            steps = self.join(torch.cat([steps, other], -1))
        found: Tensor = self.dropout(read(self.gru, steps))
        return found

    def _pool(self, steps: Tensor, answers: Tensor) -> Tensor:
        """Weight the steps' answers by attention; the logit of the mean is the difference of two log-sums, exact for any logits."""
        shares = [part.softmax(-1) for part in self.attention(steps).split(self.groups, -1)]
        weights = torch.cat(shares, -1).clamp(_ATTENTION, 1).log()
        if self.task == "classification":
            return (weights + answers.log_softmax(-1)).logsumexp(1) - weights.logsumexp(1)
        yes, no = (weights + nn.functional.logsigmoid(each) for each in (answers, -answers))
        return yes.logsumexp(1) - no.logsumexp(1)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, *, pool: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1)
        self.norm = nn.BatchNorm2d(after, eps=1e-3, momentum=0.99)  # 0.99 of each new batch, as published
        self.gate = nn.Conv2d(after, after, 1)  # a dense layer over channels
        self.rest = nn.Sequential(nn.Dropout(dropout), nn.AvgPool2d((pool[0], pool[1])))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.norm(self.convolution(maps))
        pooled: Tensor = self.rest(self.gate(maps) * maps.sigmoid())
        return pooled


def _to_range(magnitudes: Tensor) -> Tensor:
    """Turn windows of magnitudes into levels, each window stretched to [-1, 1]."""
    levels = (20 * magnitudes.clamp_min(_LEAST).log10()).clamp(*_DECIBELS)
    low, high = levels.amin((-2, -1), keepdim=True), levels.amax((-2, -1), keepdim=True)
    return 2 * (levels - low) / (high - low).clamp_min(_RANGE) - 1
