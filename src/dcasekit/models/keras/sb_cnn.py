"""SB-CNN in Keras: three convolutions and two dense layers (Salamon and Bello 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.models.keras._layers import convolve


@dataclass(kw_only=True, eq=False)
class SB_CNN(KerasModelContainer):  # noqa: N801 - the paper's spelling
    """CNN of Salamon and Bello for environmental sounds; twin of `dcasekit.models.SB_CNN`, which has a longer description.

    Input (windows, frames, dims), output (windows, labels). The defaults are DCASE-models' form; for (64 frames, 128 mel bands) and 10
    labels it has 241,914 parameters, 241,674 of them trainable. Its layers are called as published.

    Parameters
    ----------
    filters : number of filters of each of the three convolutions.
    filter_size : (time, frequency) of the kernels of all convolutions.
    pool_size : (time, frequency) of the max pooling after the first and after the second convolution.
    n_dense : number of units of the hidden dense layer.
    dropout : dropout rate before each of the two dense layers.
    batch_norm : normalise after each convolution (and its pooling); not in the paper.
    l2_reg : factor of the sum of squared kernels and biases of the dense layers that is added to the loss.
    """

    published_front_end: ClassVar[str | None] = "sb_cnn"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), hop=680 / 22050)

    filters: Sequence[int] = (24, 48, 48)
    filter_size: Sequence[int] = (5, 5)
    pool_size: Sequence[Sequence[int]] = ((2, 2), (4, 2))
    n_dense: int = 64
    dropout: float = 0.5
    batch_norm: bool = True
    l2_reg: float = 1e-3

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network for windows of exactly this shape."""
        layers, penalty = keras.layers, keras.regularizers.L2(self.l2_reg)
        windows = keras.Input((frames, dims))
        values = convolve(windows, self.filters, self.filter_size, self.pool_size, batch_norm=self.batch_norm)
        values = layers.Dropout(self.dropout, name="dropout1")(values)
        dense = layers.Dense(self.n_dense, activation="relu", kernel_regularizer=penalty, bias_regularizer=penalty, name="dense1")
        values = layers.Dropout(self.dropout, name="dropout2")(dense(values))
        out = layers.Dense(outputs, kernel_regularizer=penalty, bias_regularizer=penalty, dtype="float32", name="out")
        return keras.Model(windows, out(values))
