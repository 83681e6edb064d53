"""VGGish in Keras: the network behind AudioSet's embeddings (Hershey et al. 2017)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError


@dataclass(kw_only=True, eq=False)
class VGGish(KerasModelContainer):
    """VGGish with a linear classifier on its embedding; twin of `dcasekit.models.VGGish`, which has a longer description.

    Input (windows, frames, dims), output (windows, labels). Up to the layer ``embedding``, the network without top has 512 outputs and
    4,499,712 parameters, for windows of any number of frames; with top 128 outputs and 72,141,184 parameters, for windows of exactly the
    shape given to `build`. The classifier ``out`` comes on top.

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

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network; without top it takes any number of frames."""
        if self.pooling not in ("avg", "max"):
            raise ModelError(f"pooling must be 'avg' or 'max'; got {self.pooling!r}")
        if self.compress and not self.include_top:
            raise ModelError("compress=True is the post-processing of the top's embedding; set include_top=True, or compress=False")
        layers = keras.layers
        windows = keras.Input((frames if self.include_top else None, dims))
        maps = keras.ops.expand_dims(windows, -1)
        for name, filters in _LAYERS.items():
            if filters:
                maps = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(maps)
            else:
                maps = layers.MaxPooling2D(2, padding="same", name=name)(maps)
        network = keras.Model(windows, self._embedding(maps))
        network.trainable = not self.compress
        return keras.Model(windows, layers.Dense(outputs, dtype="float32", name="out")(network.output))

    def _embedding(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        layers = keras.layers
        if not self.include_top:
            return (layers.GlobalMaxPooling2D if self.pooling == "max" else layers.GlobalAveragePooling2D)(name="embedding")(maps)
        values = layers.Flatten(name="flatten")(maps)
        for name, size in zip(("fc1_1", "fc1_2", "fc2"), (4096, 4096, self.embedding_size), strict=True):
            values = layers.Dense(size, activation="relu", name=name)(values)
        return (_PostProcess if self.compress else layers.Identity)(name="embedding")(values)


# Filters of each convolution by its published name, less the prefix "conv3/" and "conv4/"; 0: pooling.
_LAYERS = {"conv1": 64, "pool1": 0, "conv2": 128, "pool2": 0, "conv3_1": 256, "conv3_2": 256, "pool3": 0}
_LAYERS |= {"conv4_1": 512, "conv4_2": 512, "pool4": 0}


class _PostProcess(keras.layers.Layer):  # type: ignore[misc]
    """AudioSet's: rotate, cut at +-2, quantise to 8 bits."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name, dtype="float32")

    def build(self, shape: tuple[int, int]) -> None:
        """Make the matrix (components, values) and the means."""
        self.pca_matrix = self.add_weight(name="pca_matrix", shape=(shape[1], shape[1]), initializer="identity", trainable=False)
        self.pca_means = self.add_weight(name="pca_means", shape=(shape[1],), initializer="zeros", trainable=False)

    def call(self, embedding: Any) -> Any:
        """Return whole numbers as floats: (windows, components)."""
        rotated = keras.ops.matmul(embedding - self.pca_means, keras.ops.transpose(self.pca_matrix))
        # The published cast to 8 bits cuts, it does not round.
        return keras.ops.floor((keras.ops.clip(rotated, -2, 2) + 2) * (255 / 4))
