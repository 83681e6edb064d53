"""What several Keras networks share."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import keras

from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError

# How answers of frames become that of their window, as in `dcasekit.models`.
Pooling: TypeAlias = Literal["mean", "max", "autopool"]
PoolingOfLogits: TypeAlias = Literal["logits", "mean", "max", "autopool"]


def convolve(
    x: keras.KerasTensor, filters: Sequence[int], kernel: Sequence[int], pools: Sequence[Sequence[int]], *, batch_norm: bool = True
) -> keras.KerasTensor:
    """Convolve windows (windows, frames, dims) with ``conv1``, ``conv2`` ..., pool after all but the last; (windows, values)."""
    layers, maps = keras.layers, keras.ops.expand_dims(x, -1)
    blocks = list(zip(filters, [*pools, None], strict=True))
    try:
        for number, (size, pool) in enumerate(blocks, start=1):
            maps = layers.Conv2D(size, tuple(kernel), activation="relu", name=f"conv{number}")(maps)
            maps = layers.MaxPooling2D(tuple(pool), name=f"maxpool{number}")(maps) if pool else maps
            maps = layers.BatchNormalization(name=f"batchnorm{number}")(maps) if batch_norm else maps
        if not all(maps.shape[1:]):  # refused by newer versions of Keras only
            raise ValueError
    except ValueError:
        _, frames, dims = x.shape
        raise ModelError(
            f"windows of {frames} frames and {dims} dims are too small for filters {tuple(kernel)} and pools {pools}; "
            "use a longer sequence_time, more bands, or smaller pools"
        ) from None
    return layers.Flatten(name="flatten")(maps)


def front_end(windows: keras.KerasTensor, levels: keras.KerasTensor) -> keras.Model:
    """Make a network whose answers are levels, not probabilities."""
    network = keras.Model(windows, levels)
    network.activation = "none"
    return network


def pool_logits(logits: keras.KerasTensor, pooling: PoolingOfLogits, task: Task) -> keras.KerasTensor:
    """Pool answers of frames (windows, frames, labels) -> (windows, labels), logits; as `Pool` of `dcasekit.models`."""
    ops = keras.ops
    if pooling == "logits":
        return ops.mean(logits, axis=1)
    if pooling == "max":
        return ops.max(ops.log_softmax(logits, axis=-1) if task == "classification" else logits, axis=1)
    if pooling == "autopool":
        return AutoPool(task, dtype="float32", name="autopool")(logits)
    if pooling != "mean":
        raise ModelError(f"pooling must be 'mean', 'max' or 'autopool'; got {pooling!r}")
    return _weigh(logits, 0.0, task)


def _weigh(logits: Any, alpha: Any, task: Task) -> Any:
    """Average answers over frames, with weights softmax(alpha x answer): the logit of that average."""
    ops = keras.ops  # axis=(1,): of PyTorch 2.4, logsumexp takes no single one where only shapes are computed
    if task == "classification":
        answers = ops.log_softmax(logits, axis=-1)
        return ops.logsumexp(ops.log_softmax(alpha * ops.exp(answers), axis=1) + answers, axis=(1,))
    weights = ops.log_softmax(alpha * ops.sigmoid(logits), axis=1)
    yes, no = (weights + ops.log_sigmoid(each) for each in (logits, -logits))
    return ops.logsumexp(yes, axis=(1,)) - ops.logsumexp(no, axis=(1,))


class AutoPool(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
    """Adaptive pooling (McFee et al. 2018); twin of `dcasekit.models._layers.AutoPool`."""

    def __init__(self, task: Task, **settings: Any) -> None:
        super().__init__(**settings)
        self.task: Task = task

    def build(self, shape: Sequence[int]) -> None:
        self.alpha = self.add_weight(shape=(shape[-1],), initializer="ones", name="alpha")

    def call(self, logits: Any) -> Any:
        return _weigh(logits, self.alpha, self.task)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "task": self.task}
