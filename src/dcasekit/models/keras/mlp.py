"""MLP in Keras: dense layers on every frame, averaged over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models.keras._layers import Pooling, pool_logits


@dataclass(kw_only=True, eq=False)
class MLP(KerasModelContainer):
    """Multi-layer perceptron of DCASE-models; twin of `dcasekit.models.MLP`, which has a longer description.

    Input (windows, frames, dims), output (windows, labels). For (64 frames, 12 dims) and 10 labels: 10,570 parameters.

    Parameters
    ----------
    hidden_layers_size : number of units of each hidden layer.
    dropout_rates : dropout rate after each hidden layer.
    l2_reg : factor of the sum of squared kernels that is added to the loss.
    pooling : how the probabilities of frames become that of the window: ``"mean"`` (as published), ``"max"``, or ``"autopool"``, a
        softmax-weighted mean whose sharpness is learned per label (McFee et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "dcase_models"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 12), hop=680 / 22050)

    hidden_layers_size: Sequence[int] = (128, 64)
    dropout_rates: Sequence[float] = (0.5, 0.5)
    l2_reg: float = 1e-5
    pooling: Pooling = "mean"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if len(self.hidden_layers_size) != len(self.dropout_rates):
            raise ModelError(f"need one dropout rate per hidden layer; got {self.hidden_layers_size} and {self.dropout_rates}")
        layers, penalty = keras.layers, keras.regularizers.L2(self.l2_reg)
        windows = hidden = keras.Input((None, dims))
        for number, (size, rate) in enumerate(zip(self.hidden_layers_size, self.dropout_rates, strict=True), start=1):
            hidden = layers.Dense(size, activation="relu", kernel_regularizer=penalty, name=f"dense{number}")(hidden)
            hidden = layers.Dropout(rate, name=f"dropout{number}")(hidden)
        logits = layers.Dense(outputs, kernel_regularizer=penalty, dtype="float32", name="out")(hidden)  # (windows, frames, labels)
        # The published model averages probabilities, not logits: give back the logit of that average.
        return keras.Model(windows, pool_logits(logits, self.pooling, task))
