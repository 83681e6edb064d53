"""CPMobile: the small network of the low-complexity scene challenges (DCASE 2023 to 2025, task 1)."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import divisible

# Of each block: width, and stride in (time, frequency); a stage ends where the width grows.
_BLOCKS = ((1, (1, 1)), (1, (1, 1)), (1, (2, 1)), (2, (1, 2)), (2, (1, 1)), (3, (1, 1)))


@dataclass(kw_only=True, eq=False)
class CPMobile(TorchModelContainer):
    """CP-Mobile: inverted bottlenecks with depthwise convolutions, for scenes on small devices.

    F. Schmid, T. Morocutti, S. Masoudian, K. Koutini, G. Widmer, "Distilling the Knowledge of Transformers and CNNs with CP-Mobile", DCASE
    Workshop 2023; the baseline of DCASE 2024 and 2025 task 1 (github.com/CPJKU/dcase2025_task1_baseline).

    Input (windows, frames, dims), output (windows, labels); any number of frames and dims. Published for 65 frames of 15.6 ms and 256 mel
    bands up to 16 kHz, ``log(power + 1e-5)``, and ten scenes: 61,148 parameters and 29,416,448 multiply-accumulates for a clip of 1 s,
    below the challenge's 128 kB in float16 and 30 million. The published count, 29,419,156, adds the 2,708 parameters of batch
    normalisation. Initial kernels are He normal (fan out).

    Parameters
    ----------
    base_channels : number of channels of the first stage, a multiple of 8.
    channels_multiplier : factor from the channels of one stage to those of the next, which are rounded to a multiple of 8.
    expansion_rate : factor from the channels of a block's input to those inside it, which are rounded to a multiple of 8.
    """

    published_front_end: ClassVar[str | None] = "dcase2024_task1"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(65, 256), hop=500 / 32000)

    base_channels: int = 32
    channels_multiplier: float = 1.8
    expansion_rate: float = 2.1

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if self.base_channels < 8 or self.base_channels % 8:
            raise ModelError(f"base_channels must be a multiple of 8; got {self.base_channels}")
        return _Network(self, outputs)


def _convolution(before: int, after: int, size: int, *, stride: int | tuple[int, int] = 1, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return [layer, nn.BatchNorm2d(after)]


class _Block(nn.Module):
    def __init__(self, before: int, after: int, *, inside: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(before, inside, 1),
            nn.ReLU(),
            *_convolution(inside, inside, 3, stride=stride, groups=inside),
            nn.ReLU(),
            *_convolution(inside, after, 1),
        )
        self.shortcut: nn.Module | None = None
        if before == after:
            self.shortcut = nn.Identity() if stride == (1, 1) else nn.AvgPool2d(3, stride, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        answer: Tensor = self.body(maps)
        return nn.functional.relu(answer if self.shortcut is None else answer + self.shortcut(maps))


class _Network(nn.Module):
    def __init__(self, settings: CPMobile, outputs: int) -> None:
        super().__init__()
        base = settings.base_channels
        widths = {stage: divisible(base * settings.channels_multiplier ** (stage - 1)) for stage in (1, 2, 3)}
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Sequential(
            *_convolution(1, base // 4, 3, stride=2), nn.ReLU(), *_convolution(base // 4, base, 3, stride=2), nn.ReLU()
        )
        before = base
        for number, (stage, stride) in enumerate(_BLOCKS, start=1):
            layers[f"block{number}"] = _Block(before, widths[stage], inside=divisible(before * settings.expansion_rate), stride=stride)
            before = widths[stage]
        self.convolutions = nn.Sequential(layers)
        self.out = nn.Sequential(*_convolution(before, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.out(self.convolutions(x[:, None]))
        return maps.mean((2, 3))
