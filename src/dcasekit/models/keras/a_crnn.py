"""A-CRNN in Keras: convolutions, then recurrent layers, for sound event detection (Adavanne et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models.keras._layers import PoolingOfLogits, pool_logits


@dataclass(kw_only=True, eq=False)
class A_CRNN(KerasModelContainer):  # noqa: N801 - the published spelling
    """Convolutional recurrent network of Adavanne for sound events; twin of `dcasekit.models.A_CRNN`, which has a longer description.

    Input (windows, frames, dims); output (windows, frames, labels) for detection, else (windows, labels), see `target`. Any number of
    frames; with the default pools 20 dims or more. For 128 mel bands and 10 labels 382,506 parameters, 381,738 of them trainable.

    Parameters
    ----------
    filters : number of filters in each 3 x 3 convolution.
    pool_size : size of the max pooling over bands after each convolution; there are as many convolutions. Time is not pooled.
    rnn_units : number of units in each gated recurrent layer.
    dense_units : number of units in each dense layer, which acts on every frame and has no activation.
    dropout : dropout rate after each convolution and dense layer, and of the inputs and states of the recurrent layers.
    bidirectional : run each recurrent layer forwards and backwards, and multiply the two outputs.
    target : ``"frame"``: frame-level outputs; ``"window"``: one output per window, see `pooling`. ``None``: frame-level for detection, else
        one per window.
    norm_axis : what batch normalisation has statistics for: each filter, ``"channels"`` (as in the paper), or each band, ``"frequency"``
        (as in DCASE-models).
    gru : activation of the gates, and whether the reset gate is applied before or after the recurrent product. ``"hard_sigmoid_before"``,
        with clip(0.2 x + 0.5, 0, 1): Keras before 2.3, as published. ``"sigmoid_before"``: Keras 2.3. ``"sigmoid_after"``, with a second
        bias: Keras 3.
    pooling : how frame-level outputs become one per window: ``"logits"`` (as published): the mean of the logits, before the activation;
        ``"mean"`` or ``"max"`` of the probabilities; ``"autopool"``: a softmax-weighted mean whose sharpness is learned per label (McFee
        et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "a_crnn"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), task="detection", hop=680 / 22050)

    filters: int = 128
    pool_size: Sequence[int] = (5, 2, 2)
    rnn_units: Sequence[int] = (32, 32)
    dense_units: Sequence[int] = (32,)
    dropout: float = 0.5
    bidirectional: bool = False
    target: Literal["window", "frame"] | None = None
    norm_axis: Literal["channels", "frequency"] = "channels"
    gru: Literal["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"] = "hard_sigmoid_before"
    pooling: PoolingOfLogits = "logits"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002 - frames
        """Make the network; it takes any number of frames."""
        for name, known in _KNOWN.items():
            if (value := getattr(self, name)) not in known:
                raise ModelError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")
        layers = keras.layers
        windows = keras.Input((None, dims))
        maps = keras.ops.expand_dims(windows, -1)  # (windows, time, frequency, channels)
        for number, pool in enumerate(self.pool_size, start=1):
            dims //= pool
            if not dims:
                raise ModelError(
                    f"windows of {windows.shape[2]} dims are too small for pools {tuple(self.pool_size)}; use more bands, or smaller pools"
                )
            maps = layers.Conv2D(self.filters, 3, padding="same", name=f"conv{number}")(maps)
            maps = layers.BatchNormalization(axis=3 if self.norm_axis == "channels" else 2, name=f"batchnorm{number}")(maps)
            maps = layers.MaxPooling2D((1, pool), name=f"maxpool{number}")(layers.ReLU(name=f"activation{number}")(maps))
            maps = layers.Dropout(self.dropout, name=f"dropout{number}")(maps)
        x = layers.Reshape((-1, dims * maps.shape[3]), name="flatten")(maps)  # (windows, time, values)
        for number, units in enumerate(self.rnn_units, start=1):
            x = self._recurrent(units, f"gru{number}")(x)
        for number, units in enumerate(self.dense_units, start=1):
            x = layers.Dense(units, name=f"dense{number}")(x)
            x = layers.Dropout(self.dropout, name=f"dropout{len(self.pool_size) + number}")(x)
        logits = layers.Dense(outputs, dtype="float32", name="out")(x)
        per_frame = self.target == "frame" or (self.target is None and task == "detection")
        return keras.Model(windows, logits if per_frame else pool_logits(logits, self.pooling, task))

    def _recurrent(self, units: int, name: str) -> keras.Layer:
        """Make a gated recurrent layer. Mixed precision would gain nothing in it, and lose digits at every frame."""
        layer = keras.layers.GRU(
            units,
            recurrent_activation=_hard_sigmoid if self.gru == "hard_sigmoid_before" else "sigmoid",
            reset_after=self.gru == "sigmoid_after",
            dropout=self.dropout,
            recurrent_dropout=self.dropout,
            return_sequences=True,
            dtype="float32",
            name=name,
        )
        return keras.layers.Bidirectional(layer, merge_mode="mul", dtype="float32", name=name) if self.bidirectional else layer


_KNOWN = {
    "target": ("window", "frame", None),
    "norm_axis": ("channels", "frequency"),
    "gru": ("hard_sigmoid_before", "sigmoid_before", "sigmoid_after"),
}


# `Bidirectional` copies its layer by a description, in which a function has a name.
@keras.saving.register_keras_serializable("dcasekit")  # type: ignore[untyped-decorator]
def _hard_sigmoid(x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras' before version 3, in which it has another slope."""
    return keras.ops.clip(0.2 * x + 0.5, 0, 1)
