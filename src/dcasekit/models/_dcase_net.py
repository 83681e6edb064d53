"""The three versions of DcaseNet, with heads for the tasks they are asked for; names and start of the weights are the published v3's."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dcasekit.datasets.base import Task
from dcasekit.models._gru import read

# Frames and bands that one step of the sequence stands for: three poolings of both by 2, then one by 5 frames and 2 bands.
STEP_FRAMES, STEP_BANDS = 40, 16


class Network(nn.Module, ABC):
    """The part that all versions share: the lower convolutions and the last layers of the heads.

    Parameters
    ----------
    labels : task -> number of labels; layers that only other tasks would use are left out.
    filters : number of filters of the first convolution; all other numbers of channels are in proportion to it.
    scene, event : number of input channels of the heads for scenes and for events.
    """

    def __init__(self, labels: Mapping[Task, int], filters: int, *, scene: int, event: int) -> None:
        super().__init__()
        self.tasks = tuple(labels)
        self.conv_block1 = _ConvBlock(1, filters)
        self.conv_block2 = _ConvBlock(filters, 2 * filters)
        self.conv_block3 = _ConvBlock(2 * filters, 4 * filters)
        if "classification" in labels:
            self.code_ASC = nn.Linear(scene, 2 * filters)
            self.fc_ASC = nn.Linear(2 * filters, labels["classification"])
        if "detection" in labels:
            self.event_fc = _kaiming(nn.Linear(event, labels["detection"]))
        if "tagging" in labels:
            first = [nn.Linear(8 * filters, 16 * filters), nn.ReLU(), nn.Dropout(0.2)]
            second = [nn.Linear(16 * filters, 16 * filters), nn.ReLU(), nn.Dropout(0.1)]
            self.layer_TAG = nn.Sequential(*first, *second, nn.Linear(16 * filters, labels["tagging"]))

    def forward(self, x: Tensor, task: Task | None = None) -> Tensor:
        """Return the logits of one task, by default the first: (windows, labels), for detection (windows, frames, labels)."""
        task = task or self.tasks[0]
        maps = self.conv_block1(x.transpose(1, 2)[:, None])  # (windows, channels, bands, time)
        maps = self.conv_block3(self.conv_block2(maps))
        if task == "classification":
            logits: Tensor = self.fc_ASC(self.code_ASC(self.scene(maps)))
        elif task == "tagging":
            logits = self.layer_TAG(self.sequence(maps, task).mean(1))
        else:
            logits = _repeat(self.event_fc(self.sequence(maps, task)), x.shape[1])
        return logits

    @abstractmethod
    def scene(self, maps: Tensor) -> Tensor:
        """Describe the scene: maps of the third block -> (windows, channels)."""

    def sequence(self, maps: Tensor, task: Task) -> Tensor:  # noqa: ARG002
        """Describe what happens: maps of the third block -> (windows, steps, channels)."""
        return read(self.gru, self.conv_block4(maps).mean(2).transpose(1, 2))

    def _add_recurrence(self, filters: int) -> None:
        """Add what versions 1 and 2 have between the third block and the heads."""
        self.conv_block4 = _ConvBlock(4 * filters, 8 * filters, frames=5)
        self.gru = _gru(8 * filters, 4 * filters)


class Version1(Network):
    """Everything follows the recurrence: detection at once, the scene after residual blocks over time, tags after dense layers."""

    def __init__(self, labels: Mapping[Task, int], filters: int) -> None:
        super().__init__(labels, filters, scene=4 * filters, event=8 * filters)
        self._add_recurrence(filters)
        if "classification" in labels:
            self.layer_ASC = _residual_blocks(8 * filters, 4 * filters, blocks=3, dims=1)

    def scene(self, maps: Tensor) -> Tensor:
        described: Tensor = self.layer_ASC(self.sequence(maps, "classification").transpose(1, 2)).mean(2)
        return described


class Version2(Network):
    """The scene is told from the third block, without recurrence; detection and tags after it."""

    def __init__(self, labels: Mapping[Task, int], filters: int) -> None:
        super().__init__(labels, filters, scene=5 * filters, event=8 * filters)
        if set(labels) - {"classification"}:
            self._add_recurrence(filters)
        if "classification" in labels:
            self.layer_ASC = _residual_blocks(4 * filters, 5 * filters, blocks=1, dims=2)

    def scene(self, maps: Tensor) -> Tensor:
        described: Tensor = self.layer_ASC(maps).mean((2, 3))
        return described


class Version3(Network):
    """Two fourth blocks and two recurrences: one path that carries information between tasks (1), one for scenes and detection (2)."""

    def __init__(self, labels: Mapping[Task, int], filters: int) -> None:
        super().__init__(labels, filters, scene=6 * filters, event=4 * filters)
        self.conv_block4_2 = _ConvBlock(4 * filters, 4 * filters, frames=5)
        if set(labels) - {"classification"}:
            self.conv_block4_1 = _ConvBlock(4 * filters, 4 * filters, frames=5)
            self.gru_2 = _gru(8 * filters, 2 * filters)
        if "tagging" in labels:
            self.gru_1 = _gru(8 * filters, 2 * filters)
        if "classification" in labels:
            self.layer_ASC = _residual_blocks(4 * filters, 6 * filters, blocks=3, dims=2)

    def scene(self, maps: Tensor) -> Tensor:
        described: Tensor = self.layer_ASC(self.conv_block4_2(maps)).mean((2, 3))
        return described

    def sequence(self, maps: Tensor, task: Task) -> Tensor:
        steps = torch.cat([self.conv_block4_1(maps), self.conv_block4_2(maps)], dim=1).mean(2).transpose(1, 2)
        answer = read(self.gru_2, steps)
        return torch.cat([read(self.gru_1, steps), answer], dim=-1) if task == "tagging" else answer


class _ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with batch normalisation and ReLU, then the mean over 2 bands and `frames` frames."""

    def __init__(self, before: int, after: int, frames: int = 2) -> None:
        super().__init__()
        self.conv1 = _kaiming(nn.Conv2d(before, after, 3, padding=1, bias=False))
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = _kaiming(nn.Conv2d(after, after, 3, padding=1, bias=False))
        self.bn2 = nn.BatchNorm2d(after)
        for norm in (self.bn1, self.bn2):
            nn.init.normal_(norm.weight, 1.0, 0.02)
        self.pool = nn.AvgPool2d((2, frames))

    def forward(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.pool(self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu())).relu())
        return pooled


class _ResidualBlock(nn.Module):
    """Two convolutions of width 3 around a shortcut, with squeeze and excitation (Hu et al. 2018), over time (dims 1) or both axes (2)."""

    def __init__(self, before: int, after: int, stride: int, dims: int) -> None:
        super().__init__()
        convolution, norm = (nn.Conv1d, nn.BatchNorm1d) if dims == 1 else (nn.Conv2d, nn.BatchNorm2d)
        self.conv1 = convolution(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(after)
        self.conv2 = convolution(after, after, 3, padding=1, bias=False)
        self.bn2 = norm(after)
        self.se = _Excitation(after)
        self.downsample = None
        if before != after:
            self.downsample = nn.Sequential(convolution(before, after, 1, stride=stride, bias=False), norm(after))

    def forward(self, maps: Tensor) -> Tensor:
        found = self.se(self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu())))
        return torch.relu(found + (maps if self.downsample is None else self.downsample(maps)))


class _Excitation(nn.Module):
    """Scale each channel by what the means of all channels say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // 16, 1)
        layers = [nn.Linear(channels, squeezed, bias=False), nn.ReLU(), nn.Linear(squeezed, channels, bias=False), nn.Sigmoid()]
        self.fc = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        scale: Tensor = self.fc(maps.flatten(2).mean(2))
        return maps * scale.reshape(*scale.shape, *[1] * (maps.ndim - 2))


def _residual_blocks(before: int, after: int, *, blocks: int, dims: int) -> nn.Sequential:
    """Make a chain of blocks, the first with stride 2."""
    return nn.Sequential(*(_ResidualBlock(after if n else before, after, 1 if n else 2, dims) for n in range(blocks)))


def _repeat(steps: Tensor, frames: int) -> Tensor:
    """Repeat the output of each step for its frames; frames that the poolings left over get that of the last step."""
    held = steps.repeat_interleave(STEP_FRAMES, dim=1)
    return torch.cat([held, held[:, -1:].expand(-1, frames - held.shape[1], -1)], dim=1)


def _kaiming(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _gru(inputs: int, units: int) -> nn.GRU:
    """Make a bidirectional GRU; as published, only its forward direction is drawn anew, the other starts as in PyTorch."""
    gru = nn.GRU(inputs, units, batch_first=True, bidirectional=True)
    weights = dict(gru.named_parameters())
    for name in ("weight_ih_l0", "weight_hh_l0"):
        bound = math.sqrt(3 / weights[name].shape[1])
        nn.init.uniform_(weights[name], -bound, bound)
    nn.init.orthogonal_(weights["weight_hh_l0"].data[2 * units :])  # the last of the gates r, z, n: the candidate
    nn.init.zeros_(weights["bias_ih_l0"])
    nn.init.zeros_(weights["bias_hh_l0"])
    return gru
