"""VGGish: the network behind AudioSet's embeddings (Hershey et al. 2017)."""

import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._layers import keras_start


@dataclass(kw_only=True, eq=False)
class VGGish(TorchModelContainer):
    """VGGish with a linear classifier on its embedding.

    S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017, section 3.2 (VGG); J. F. Gemmeke et al.,
    "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017; DCASE-models' settings.

    Input (windows, frames, dims), output (windows, labels). Published for 96 frames of 10 ms and 64 mel bands between 125 and 7500 Hz:
    ``log(magnitude + 0.01)`` at 16 kHz. The published network ends with the layer ``embedding``. Without top it has 512 values and
    4,499,712 parameters, for windows of any number of frames and dims; with top 128 values and 72,141,184 parameters, for windows of
    exactly the shape given to `build`. The classifier ``out`` after it comes on top. Initial kernels are Glorot uniform, biases zero.

    Parameters
    ----------
    include_top : put three dense layers (4096, 4096, `embedding_size`) on the flattened maps, instead of pooling over time and frequency.
    pooling : kind of that pooling, without top: ``"avg"`` or ``"max"``.
    embedding_size : number of units of the top's last dense layer.
    compress : with top: apply AudioSet's post-processing, a PCA (16,512 numbers that are not trained, the identity until weights are
        loaded), clipped to [-2, 2] and quantised to whole numbers from 0 to 255. No gradient passes it, so only the classifier is trained.
    """

    published_front_end: ClassVar[str | None] = "vggish"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(96, 64), hop=0.01)

    include_top: bool = False
    pooling: Literal["avg", "max"] = "avg"
    embedding_size: int = 128
    compress: bool = False

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; without top it takes any number of frames."""
        if self.pooling not in ("avg", "max"):
            raise ModelError(f"pooling must be 'avg' or 'max'; got {self.pooling!r}")
        if self.compress and not self.include_top:
            raise ModelError("compress=True is the post-processing of the top's embedding; set include_top=True, or compress=False")
        return keras_start(_Network(self, frames, dims, outputs))

    def published(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Translate a file of Keras (vggish-keras, DCASE-models) or of torchvggish, or one with the PCA alone (Google, torchvggish).

        Top and PCA in the file are left out if the network has none. A network with a PCA keeps its own if the file has none, and keeps all
        other weights if the file has only a PCA: so load both files, one after the other. Layers and names are known from code that writes
        and reads such files; no file was available.
        """
        own = self.weights()
        found = {_translate(name): array.reshape(-1) if name.endswith("pca_means") else array for name, array in arrays.items()}
        pca = {name for name in found if name.endswith(("pca_matrix", "pca_means"))}
        if pca == set(found):
            return {**{name: array for name, array in own.items() if not name.startswith("out.")}, **found}
        unused = {name for name in found if (name in pca and not self.compress) or (_TOP.search(name) and not self.include_top)}
        found = dict(super().published({name: array for name, array in found.items() if name not in unused}))
        if self.compress and not pca:
            _log.warning("the file holds no PCA: the network keeps its own; load it from a file that does")
            found |= {name: array for name, array in own.items() if ".postprocess." in name}
        return found


_log = logging.getLogger(__name__)

# What torchvggish calls the layers, and Google the PCA; a layer of the top by whatever name.
_TORCHVGGISH = {"features.0": "convolutions.conv1", "features.3": "convolutions.conv2"}
_TORCHVGGISH |= {"features.6": "convolutions.conv3_1", "features.8": "convolutions.conv3_2"}
_TORCHVGGISH |= {"features.11": "convolutions.conv4_1", "features.13": "convolutions.conv4_2", "pproc": "embedding.postprocess"}
_TORCHVGGISH |= {"embeddings.0": "embedding.fc1_1", "embeddings.2": "embedding.fc1_2", "embeddings.4": "embedding.fc2"}
_PCA = {"pca_eigen_vectors": "embedding.postprocess.pca_matrix", "pca_means": "embedding.postprocess.pca_means"}
_TOP = re.compile(r"(?:^|[/._])fc\d")


def _translate(name: str) -> str:
    """Rename a tensor of torchvggish, or a part of Google's PCA, as it is called here; all others keep their names, among them Keras'."""
    layer, point, tensor = name.rpartition(".")
    return _PCA.get(name) or _TORCHVGGISH.get(layer, layer) + point + tensor


# Filters of each convolution by its published name, less the prefix "conv3/" and "conv4/"; 0: pooling.
_LAYERS = {"conv1": 64, "pool1": 0, "conv2": 128, "pool2": 0, "conv3_1": 256, "conv3_2": 256, "pool3": 0}
_LAYERS |= {"conv4_1": 512, "conv4_2": 512, "pool4": 0}


class _Network(nn.Module):
    def __init__(self, settings: VGGish, frames: int, dims: int, outputs: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = 1
        for name, filters in _LAYERS.items():
            if filters:
                layers |= {name: nn.Conv2d(before, filters, 3, padding=1), f"{name}_relu": nn.ReLU()}
                before = filters
            else:
                layers[name] = nn.MaxPool2d(2, ceil_mode=True)  # an odd last row is pooled alone, as by Keras' padding="same"
                frames, dims = -(-frames // 2), -(-dims // 2)
        self.convolutions = nn.Sequential(layers)
        self.embedding = _embedding(settings, before, frames, dims)
        if settings.compress:
            self.requires_grad_(requires_grad=False)
        self.out = nn.Linear(settings.embedding_size if settings.include_top else before, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x[:, None])  # (windows, channels, time, frequency)
        logits: Tensor = self.out(self.embedding(maps.permute(0, 2, 3, 1)))
        return logits


def _embedding(settings: VGGish, channels: int, frames: int, dims: int) -> nn.Module:
    """Make what turns the last maps (windows, time, frequency, channels) into an embedding."""
    if not settings.include_top:
        return _Pool(settings.pooling)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())  # Keras' order: time, frequency, channels
    sizes = (frames * dims * channels, 4096, 4096, settings.embedding_size)
    for name, (before, size) in zip(("fc1_1", "fc1_2", "fc2"), pairwise(sizes), strict=True):
        layers |= {name: nn.Linear(before, size), f"{name}_relu": nn.ReLU()}
    if settings.compress:
        layers["postprocess"] = _PostProcess(settings.embedding_size)
    return nn.Sequential(layers)


class _Pool(nn.Module):
    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax((1, 2)) if self.pooling == "max" else maps.mean((1, 2))


class _PostProcess(nn.Module):
    """AudioSet's: rotate, cut at +-2, quantise to 8 bits."""

    pca_matrix: Tensor
    pca_means: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("pca_matrix", torch.eye(size))  # (components, values)
        self.register_buffer("pca_means", torch.zeros(size))

    def forward(self, embedding: Tensor) -> Tensor:
        rotated = (embedding - self.pca_means) @ self.pca_matrix.T
        return ((rotated.clamp(-2, 2) + 2) * (255 / 4)).floor()  # the published cast to 8 bits cuts, it does not round
