"""SB-CNN-SED in Keras: the convolutional network of the Scaper paper, for sound event detection (Salamon et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.models.keras._layers import convolve


@dataclass(kw_only=True, eq=False)
class SB_CNN_SED(KerasModelContainer):  # noqa: N801 - the paper's spelling
    """CNN of the Scaper paper, each window scored by itself; twin of `dcasekit.models.SB_CNN_SED`, which has a longer description.

    Input (windows, frames, dims), output (windows, labels). The defaults are the small form: 1,129,674 parameters for (64 frames, 128 mel
    bands) and 10 labels, 1,129,290 of them trainable.

    Parameters
    ----------
    filters : number of filters of each of the three convolutions.
    filter_size : (time, frequency) of the kernels of all convolutions.
    pool_size : (time, frequency) of the max pooling after the first and after the second convolution.
    n_dense : number of units of each hidden dense layer.
    dropout : dropout rate before each dense layer, the output layer included.
    input_norm : normalise each input dimension by batch statistics, with a learned scale and shift.
    """

    published_front_end: ClassVar[str | None] = "sb_cnn_sed"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), task="detection", hop=680 / 22050)

    filters: int = 64
    filter_size: Sequence[int] = (5, 5)
    pool_size: Sequence[int] = (2, 2)
    n_dense: Sequence[int] = (64,)
    dropout: float = 0.5
    input_norm: bool = False

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network for windows of exactly this shape."""
        layers = keras.layers
        windows = x = keras.Input((frames, dims))
        if self.input_norm:
            x = layers.BatchNormalization(name="input_norm")(x)
        values = convolve(x, [self.filters] * 3, self.filter_size, [self.pool_size] * 2)
        for number, size in enumerate(self.n_dense, start=1):
            values = layers.Dropout(self.dropout, name=f"dropout{number}")(values)
            values = layers.Dense(size, activation="relu", name=f"dense{number}")(values)
        values = layers.Dropout(self.dropout, name=f"dropout{len(self.n_dense) + 1}")(values)
        return keras.Model(windows, layers.Dense(outputs, dtype="float32", name="out")(values))
