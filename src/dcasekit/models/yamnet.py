"""YAMNet: MobileNet v1 that was trained on AudioSet (Google, tensorflow/models)."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.models._layers import keras_start

_EPS = 1e-4
# Stride and channels of the layers 2 to 14, each a depthwise and a pointwise convolution.
_PAIRS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))


@dataclass(kw_only=True, eq=False)
class YAMNet(TorchModelContainer):
    """YAMNet: MobileNet v1 with a linear classifier on its embedding.

    M. Plakal, D. Ellis, github.com/tensorflow/models, research/audioset/yamnet (Apache-2.0); A. G. Howard et al., "MobileNets: Efficient
    Convolutional Neural Networks for Mobile Vision Applications", arXiv:1704.04861, table 1.

    Input (windows, frames, dims), output (windows, labels); any number of frames and dims. Published for 96 frames of 10 ms and 64 mel
    bands between 125 and 7500 Hz, ``log(magnitude + 0.001)`` at 16 kHz, and for the 521 classes of AudioSet. The published network ends
    with the layer ``embedding`` (1,024 values; 3,217,344 parameters, 3,195,456 of them trainable). The classifier ``out`` after it comes on
    top, with 534,025 parameters for 521 labels. Convolutions have no bias, and batch normalisation shifts but does not scale. Initial
    kernels are Glorot uniform.

    ``load_weights`` takes the published ``yamnet.h5``, and ONNX files in which batch normalisation was folded into the convolutions.
    `YAMNetEmbedding` is the network with its exact front end; ``dcasekit tag`` names AudioSet's classes in recordings.
    """

    published_front_end: ClassVar[str | None] = "yamnet"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(96, 64), hop=0.01)

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        return keras_start(_Network(outputs))

    def published(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Translate a file of Keras, or an ONNX file of folded convolutions, which PyTorch's exporter names by number."""
        folded = {int(named[1]): array for name, array in arrays.items() if (named := re.fullmatch(r"onnx::Conv_(\d+)", name))}
        if not folded:
            return super().published(dict(_as_convolution(name, array) for name, array in arrays.items()))
        own = self.weights()
        found = {f"out.{end}": arrays[name] for name in arrays for end in ("weight", "bias") if name.endswith(f"classifier.{end}")}
        convolutions = [name for name, array in own.items() if array.ndim == 4]
        kernels = sorted(number for number, array in folded.items() if array.ndim == 4)
        for name, number in zip(convolutions, kernels, strict=False):
            norm = name.removesuffix("conv.weight") + "norm."
            found[name] = folded[number]
            if (bias := folded.get(number + 1)) is not None:  # nothing is left of the normalisation but the shift
                found |= {f"{norm}bias": bias, f"{norm}running_mean": np.zeros_like(bias)}
                found |= {
                    f"{norm}running_var": np.full_like(bias, 1 - _EPS),
                    f"{norm}num_batches_tracked": own[f"{norm}num_batches_tracked"],
                }
        return found


def _as_convolution(name: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Write Keras' depthwise kernel (rows, columns, channels, 1) as that of a convolution in groups."""
    if not name.endswith("/depthwise_kernel"):
        return name, array
    return f"{name.removesuffix('depthwise_kernel')}kernel", array.swapaxes(2, 3)


class _Norm(nn.BatchNorm2d):
    """Batch normalisation that shifts and does not scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS, momentum=0.01)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        """Start anew: no shift."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class _Same(nn.Module):
    """Pad as TensorFlow's "same" does for kernels of 3 with stride 2: an even axis gets a zero at its end alone."""

    def forward(self, maps: Tensor) -> Tensor:
        rows, columns = (1 - size % 2 for size in maps.shape[2:])
        return nn.functional.pad(maps, (1 - columns, 1, 1 - rows, 1))


def _convolution(before: int, after: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride == 2:
        layers["pad"] = _Same()
    padding = size // 2 if stride == 1 else 0
    layers["conv"] = nn.Conv2d(before, after, size, stride=stride, padding=padding, groups=groups, bias=False)
    return nn.Sequential(layers | {"norm": _Norm(after), "relu": nn.ReLU()})


class _Network(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(layer1=_convolution(1, 32, 3, stride=2))
        before = 32
        for number, (stride, after) in enumerate(_PAIRS, start=2):
            layers[f"layer{number}"] = nn.Sequential(
                OrderedDict(
                    depthwise=_convolution(before, before, 3, stride=stride, groups=before), pointwise=_convolution(before, after, 1)
                )
            )
            before = after
        self.convolutions = nn.Sequential(layers)
        self.embedding = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.out = nn.Linear(before, outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.embedding(self.convolutions(x[:, None])))
        return logits
