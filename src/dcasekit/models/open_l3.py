"""OpenL3: the audio half of Look, Listen and Learn (Cramer et al. 2019)."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import batch_norm, l2


@dataclass(kw_only=True, eq=False)
class OpenL3(TorchModelContainer):
    """Audio sub-network of L3-Net with a linear classifier on its embedding.

    J. Cramer, H.-H. Wu, J. Salamon, J. P. Bello, "Look, Listen, and Learn More: Design Choices for Deep Audio Embeddings", ICASSP 2019;
    R. Arandjelovic, A. Zisserman, "Look, Listen and Learn", ICCV 2017.

    Input (windows, frames, dims), output (windows, labels); any number of frames and dims from 8 on. Published for 199 frames of 242
    samples at 48 kHz (1 s) and 256 or 128 mel bands, or 257 bins of 197 frames ("linear"), in dB below the window's maximum. The
    published network ends with the layer ``embedding``: 4,689,860 parameters, 4,687,042 of them trainable, for either size; the classifier
    ``out`` after it comes on top. Initial kernels of the convolutions are He normal, those of ``out`` Glorot uniform; biases are zero.

    Parameters
    ----------
    embedding_size : 512: the maximum of each channel over time and frequency; or 6144: its maxima in 4 ranges of frequency x 3 parts of the
        window. With the published inputs these are the published poolings: (32, 24), (8, 8) for mel256, (16, 24), (4, 8) for mel128.
    l2_reg : factor of the sum of squared kernels of the convolutions that is added to the loss.
    """

    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(199, 256), hop=242 / 48000)

    embedding_size: Literal[512, 6144] = 512
    l2_reg: float = 1e-5

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames from 8 on."""
        if self.embedding_size not in (512, 6144):
            raise ModelError(f"embedding_size must be 512 or 6144; got {self.embedding_size!r}")
        if min(frames, dims) < 8:
            raise ModelError(
                f"windows of {frames} frames and {dims} dims are too small: three poolings by 2 need 8 of each; "
                "use a longer sequence_time, or more bands"
            )
        return _Network(self, outputs)

    def published(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Leave out the spectrogram layer, which is the front end in OpenL3's files up to version 0.2; match the other layers in order.

        This is known from the authors' code, which builds the network and removed that layer from later files; no file was available.
        """
        return super().published({name: array for name, array in arrays.items() if "spectrogram" not in name})


class _Embedding(nn.AdaptiveMaxPool2d):
    """Maxima of each channel, flattened in Keras' order: frequency, time, channels."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps).permute(0, 2, 3, 1).flatten(1)


class _Network(nn.Module):
    def __init__(self, settings: OpenL3, outputs: int) -> None:
        super().__init__()
        # The published axes are (frequency, time): so are they in here, and kernels need no swap of axes.
        layers: OrderedDict[str, nn.Module] = OrderedDict(input_norm=batch_norm(1))
        filters = (1, 64, 64, 128, 128, 256, 256, 512, 512)
        for number, (before, after) in enumerate(pairwise(filters), start=1):
            layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1)
            if number < 8:  # the eighth is the published audio_embedding_layer: neither normalised nor rectified
                layers |= {f"batchnorm{number}": batch_norm(after), f"relu{number}": nn.ReLU()}
            if number in (2, 4, 6):
                layers[f"pool{number}"] = nn.MaxPool2d(2)
        self.convolutions = nn.Sequential(layers)
        self.embedding = _Embedding(1 if settings.embedding_size == 512 else (4, 3))
        self.out = nn.Linear(settings.embedding_size, outputs)
        self.l2_reg = settings.l2_reg
        for layer in self._kernels():
            deviation = (2 / (9 * layer.in_channels)) ** 0.5 / 0.87962566  # of the normal before it is cut at two deviations
            nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x.transpose(1, 2)[:, None])  # (windows, channels, frequency, time)
        logits: Tensor = self.out(self.embedding(maps))
        return logits

    def penalty(self) -> Tensor | float:
        return self.l2_reg * l2(*(layer.weight for layer in self._kernels()))

    def _kernels(self) -> list[nn.Conv2d]:
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]
