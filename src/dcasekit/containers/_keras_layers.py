"""Inside a Keras network: its layers, what they hold, give and cost, and how some of them are kept from changing."""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.containers._keras_state import keras
from dcasekit.containers._keras_weights import role
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError

# Windows answered at once: bounds memory, changes nothing else.
_WINDOWS_PER_ANSWER = 256


def check(network: Any) -> None:
    """Refuse what is no graph of layers from one input to one output, or whose weights have no names of their own."""
    if not isinstance(network, keras.Model) or [len(getattr(network, ends, None) or ()) for ends in ("inputs", "outputs")] != [1, 1]:
        raise ModelError(
            f"network_for must give keras.Model(input, output), or a keras.Sequential that begins with keras.Input; got {network!r}"
        )
    names = [name for layer in layers_of(network) for name in names_of(layer)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ModelError(f"several weights of the network are named {', '.join(sorted(twice))}; give their layers names")


def layers_of(network: keras.Model) -> list[keras.Layer]:
    """Return the layers in the order in which they act, without the input."""
    return [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]


def names_of(layer: keras.Layer) -> list[str]:
    """Name the weights of a layer: ``conv1.kernel``, ``gru1.backward_kernel`` of one that reads both ways, ``first.conv1.kernel``."""
    if _is_network(layer):
        return [f"{layer.name}.{name}" for inner in layers_of(layer) for name in names_of(inner)]
    if isinstance(layer, keras.layers.Bidirectional):
        return [f"{layer.name}.{role(variable.path)}" for variable in layer.weights]
    return [variable.path.replace("/", ".") for variable in layer.weights]


def variables_of(network: keras.Model) -> dict[str, Any]:
    """Return all that is learned, running statistics included, by name, in the order in which it is used."""
    variables: dict[str, Any] = {}
    for layer in layers_of(network):
        inner = variables_of(layer).items() if _is_network(layer) else ()
        variables |= {f"{layer.name}.{name}": variable for name, variable in inner} or zip(names_of(layer), layer.weights, strict=True)
    return variables


def _is_network(layer: keras.Layer) -> bool:
    """Tell whether a layer is itself a graph of layers."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def input_of(layer: keras.Layer) -> Any:
    """Return what a layer takes in the network that it is part of; a network's own `input` is its own."""
    return keras.Operation.input.fget(layer)


def output_of(layer: keras.Layer) -> Any:
    """Return what a layer gives in the network that it is part of."""
    return keras.Operation.output.fget(layer)


def arrays_of(network: keras.Model) -> dict[str, NDArray[Any]]:
    """Copy all that is learned."""
    with _numpy_2():
        return {name: np.array(keras.ops.convert_to_numpy(variable.value)) for name, variable in variables_of(network).items()}


def freeze(network: keras.Model, names: Collection[str]) -> None:
    """Keep some of what is learned as it is; batch normalisation that is kept whole uses its running statistics, as in prediction."""
    for layer in layers_of(network):
        if layer.weights and set(names).issuperset(names_of(layer)):
            layer.trainable = False
        elif _is_network(layer):
            freeze(layer, {name.removeprefix(f"{layer.name}.") for name in names if name.startswith(f"{layer.name}.")})
    for name, variable in variables_of(network).items():
        variable.trainable = variable.trainable and name not in names


def warm_start_batch_norm(network: keras.Model, windows: Callable[[], FloatArray]) -> None:
    """Have batch normalisation that has seen no batch take over the statistics of these windows whole, not a hundredth of them.

    Of the zero and one that it starts with, a tenth is left after 230 steps: enough for wrong answers. Normalisation inside a layer of
    one's own, of which Keras tells nothing, starts as Keras starts it.
    """
    norms = list(_batch_norms(network))
    with _numpy_2():
        states = [[np.array(keras.ops.convert_to_numpy(part.value)) for part in (norm.moving_mean, norm.moving_variance)] for norm in norms]
    trained = [bool(mean.any() or (variance != 1).any()) for mean, variance in states]
    if all(trained):
        return
    momenta = [norm.momentum for norm in norms]
    for norm, keep in zip(norms, trained, strict=True):
        norm.momentum = float(keep)  # 1: kept, 0: replaced
    network(windows(), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batch_norms(layer: keras.Layer) -> Iterator[keras.layers.BatchNormalization]:
    """Find batch normalisation in networks, in networks inside them, and in layers that wrap one."""
    if isinstance(layer, keras.layers.BatchNormalization):
        yield layer
    for inner in layer.layers if isinstance(layer, keras.Model) else (layer.layer,) if isinstance(layer, keras.layers.Wrapper) else ():
        yield from _batch_norms(inner)


def state_of(variables: Iterable[Any]) -> dict[str, NDArray[Any]]:
    """Copy variables, such as those of an optimizer or the seeds of layers, named by their places."""
    with _numpy_2():
        return {str(place): np.array(keras.ops.convert_to_numpy(variable.value)) for place, variable in enumerate(variables)}


def set_state(variables: Sequence[Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Undo `state_of`; arrays of other places or shapes are refused with ValueError."""
    if set(arrays) != {str(place) for place in range(len(variables))}:
        raise ValueError(f"{len(arrays)} arrays for {len(variables)} variables")
    for place, variable in enumerate(variables):
        if tuple(variable.shape) != arrays[str(place)].shape:
            raise ValueError(f"{variable.path} has the shape {tuple(variable.shape)}, not {arrays[str(place)].shape}")
        variable.assign(arrays[str(place)])


def outputs_of(network: keras.Model, windows: FloatArray) -> FloatArray:
    """Return what a network gives for windows in prediction."""
    parts = (windows[first : first + _WINDOWS_PER_ANSWER] for first in range(0, len(windows), _WINDOWS_PER_ANSWER))
    with _numpy_2():
        return np.concatenate([np.asarray(network.predict_on_batch(part.astype(np.float32)), np.float32) for part in parts])


def shapes_of(network: keras.Model, windows: FloatArray) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each layer gives for windows, if that is one array; of a layer used several times, of its first use."""
    tensors = {layer.name: output_of(layer) for layer in layers_of(network) if isinstance(output_of(layer), keras.KerasTensor)}
    with _numpy_2():
        found = keras.Model(network.inputs[0], tensors).predict_on_batch(windows)
    return {name: tuple(found[name].shape) for name in tensors}


def products_of(network: keras.Model, window: FloatArray) -> int:
    """Count the multiply-accumulates of convolutions, products and recurrences for one window (1, frames, dims).

    A kernel is used once for each place of what the layer gives, channels last; that of a recurrent layer for each frame it takes.
    """
    shapes, total = shapes_of(network, window), 0
    for layer in layers_of(network):
        if _is_network(layer):
            total += products_of(layer, outputs_of(keras.Model(network.inputs[0], input_of(layer)), window))
        elif kernels := [math.prod(v.shape) for v in layer.weights if len(v.shape) > 1 and not v.path.endswith("bias")]:
            shape = shapes[layer.name]
            if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
                shape = outputs_of(keras.Model(network.inputs[0], input_of(layer)), window).shape
            total += math.prod(shape[:-1]) * sum(kernels)
    return total


@contextmanager
def _numpy_2() -> Iterator[None]:
    """Let Keras copy PyTorch's tensors in a way that NumPy 2 finds old."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
