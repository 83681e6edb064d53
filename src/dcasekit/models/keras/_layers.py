"""What several Keras networks share."""

from collections.abc import Sequence

import keras

from dcasekit.errors import ModelError


def convolved(
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
