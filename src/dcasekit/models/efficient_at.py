"""EfficientAT: MobileNet v3 that learned AudioSet from transformers (Schmid, Koutini, Widmer)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import divisible

# Of each block: kernel, channels inside, channels after it, whether channels are weighted, whether it has hard swishes, stride.
_BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    *[(5, 120, 40, True, False, 1)] * 2,
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    *[(3, 184, 80, False, True, 1)] * 2,
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    *[(5, 960, 160, True, True, 1)] * 2,
)
_LAST = 1280  # units before the answer


@dataclass(kw_only=True, eq=False)
class EfficientAT(TorchModelContainer):
    """EfficientAT: MobileNet v3 (large) of any width, for tags of whole windows.

    F. Schmid, K. Koutini, G. Widmer, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation", ICASSP 2023;
    github.com/fschmid56/EfficientAT (MIT). A. Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1.

    Input (windows, frames, dims), output (windows, labels); any number of frames and dims. Published for 1,000 frames of 10 ms and 128 mel
    bands, and for the 527 classes of AudioSet: 983,599 parameters of width 0.4 (mn04, mAP 0.432), 4,876,831 of width 1 (mn10, 0.471). The
    published scaling of its input, ``(x + 4.5) / 5`` of natural logarithms, is part of the network.

    ``load_weights`` takes the published state dicts, such as ``mn04_as_mAP_432.pt`` and ``mn10_as_mAP_471.pt`` of
    https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/; their checksums are not published. Their labels are AudioSet's, in
    the order of its ``class_labels_indices.csv``.

    Parameters
    ----------
    width : factor of all numbers of channels, which are rounded to multiples of 8.
    dropout : dropout rate before the last dense layer.
    """

    published_front_end: ClassVar[str | None] = "efficient_at"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(1000, 128), hop=0.01)

    width: float = 1.0
    dropout: float = 0.2

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if not self.width > 0:
            raise ModelError(f"width must be positive; got {self.width!r}")
        network = _Network(self.width, self.dropout, outputs)
        network.apply(_start)
        return network

    def published(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Rename the squeeze-and-excitation layers: the published code wraps them in a list, which has one entry here."""
        return super().published({name.replace(".conc_se_layers.0.", "."): array for name, array in arrays.items()})


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def _convolution(before: int, after: int, size: int, act: nn.Module | None, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(before, after, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after, eps=1e-3, momentum=0.01), *([act] if act else []))


class _Weighting(nn.Module):
    """Weight channels by what is in them over all frames and bands (squeeze and excitation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = divisible(channels // 4)
        self.fc1, self.fc2 = nn.Linear(channels, inside), nn.Linear(inside, channels)

    def forward(self, maps: Tensor) -> Tensor:
        inside = nn.functional.relu(self.fc1(maps.mean((2, 3))))
        return maps * self.fc2(inside).sigmoid()[:, :, None, None]


class _Block(nn.Module):
    def __init__(self, before: int, inside: int, after: int, *, kernel: int, stride: int, weighted: bool, swish: bool) -> None:
        super().__init__()
        act = nn.Hardswish if swish else nn.ReLU
        self.block = nn.Sequential(
            *([_convolution(before, inside, 1, act())] if inside != before else []),
            _convolution(inside, inside, kernel, act(), stride=stride, groups=inside),
            *([_Weighting(inside)] if weighted else []),
            _convolution(inside, after, 1, None),
        )
        self.added = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.block(maps)
        return found + maps if self.added else found


class _Network(nn.Module):
    """Names of layers are the published ones, but for those of weightings."""

    def __init__(self, width: float, dropout: float, outputs: int) -> None:
        super().__init__()
        before = divisible(16 * width)
        layers: list[nn.Module] = [_convolution(1, before, 3, nn.Hardswish(), stride=2)]
        for kernel, inside, after, weighted, swish, stride in _BLOCKS:
            sizes = divisible(inside * width), divisible(after * width)
            layers.append(_Block(before, *sizes, kernel=kernel, stride=stride, weighted=weighted, swish=swish))
            before = sizes[1]
        layers.append(_convolution(before, 6 * before, 1, nn.Hardswish()))
        self.features = nn.Sequential(*layers)
        last = divisible(_LAST * width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6 * before, last),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(last, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(((x + 4.5) / 5)[:, None].transpose(2, 3)))  # bands before frames, as published
        return logits
