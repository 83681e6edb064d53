"""Keras' layers and a PyTorch network's weights, each written as the other: the same layers in the same order, other names and axes.

Layers are matched in the order of the forward pass, by what they hold and its shape, not by name: Keras numbers the layers that have none.

- convolution, dense: kernel (..., in, out), bias (out,); here weight (out, in, ...), bias;
- batch normalisation: gamma, beta, moving_mean, moving_variance; here weight, bias, running_mean, running_var (num_batches_tracked stays);
- GRU of u units, gates z, r, h: kernel (in, 3u), recurrent_kernel (u, 3u), bias (3u,), or (2, 3u) where the reset gate acts after the
  product; here `torch.nn.GRU` (gates r, z, n; (2, 3u) alone), `ResetBeforeGRU`, or Keras' own with an axis of directions in front;
- bidirectional GRU: the same roles, each with "forward_" and with "backward_" in front;
- any other layer: its tensors as they are, by their names.

A dense kernel behind a flattening is transposed and no more: the networks here flatten in Keras' order, channels last.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.containers._backend import Weights
from dcasekit.errors import ModelError

# Name of a layer -> role -> array, in the order of the forward pass.
Layers = Mapping[str, Mapping[str, NDArray[Any]]]

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_DIRECTIONS = ("forward_", "backward_")
_CHECK = "check the model's settings (filters, units, kind of GRU, normalisation ...) and the shape of the windows it was built for"


def role(path: str) -> str:
    """Name the role of a Keras weight by its path.

    Examples
    --------
    >>> role("conv1/kernel:0"), role("bidirectional_1/backward_gru_1/gru_cell/bias")
    ('kernel', 'backward_bias')
    """
    *parents, name = path.split("/")
    directions = [direction for part in parents for direction in _DIRECTIONS if part.startswith(direction)]
    return "".join(directions[-1:]) + name.partition(":")[0]


def layers_of(arrays: Weights) -> dict[str, dict[str, NDArray[Any]]]:
    """Put arrays named "layer/role" together by layer, in their order.

    Examples
    --------
    >>> layers_of({"conv3/conv3_1/kernel": np.ones(2), "conv3/conv3_1/bias": np.ones(1)})
    {'conv3/conv3_1': {'kernel': array([1., 1.]), 'bias': array([1.])}}
    """
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        layer, _, key = name.rpartition("/")
        found.setdefault(layer, {})[key] = array
    return found


def to_torch(layers: Layers, template: Weights) -> dict[str, NDArray[Any]]:
    """Write Keras' layers as weights of a PyTorch network.

    Parameters
    ----------
    layers : name -> role -> array, in the order of the forward pass; layers without weights may be among them.
    template : the network's weights, in the order of the forward pass.

    Returns
    -------
    dict : the network's names -> arrays. Where there are fewer layers than the network has, those at its end are left out.

    Raises
    ------
    ModelError : a layer is not the network's layer of that place, or is one too many.
    """
    found: dict[str, NDArray[Any]] = {}
    layers, groups = _drop_empty(layers), _group_by_module(template)
    for (name, roles), (prefix, tensors) in zip(layers.items(), groups.items(), strict=False):
        wanted = _to_roles(tensors)
        if _list_shapes(roles) != _list_shapes(wanted):
            raise ModelError(
                f"layer {name!r} holds {_describe(roles)}; the network's layer of that place, {prefix!r}, needs {_describe(wanted)}: "
                f"{_CHECK}"
            )
        found |= {f"{prefix}.{tensor}": array for tensor, array in _to_tensors(roles, tensors).items()}
    if extra := list(layers)[len(groups) :]:
        told = "; ".join(f"{name!r} with {_describe(layers[name])}" for name in extra)
        raise ModelError(
            f"the network has {len(groups)} layers with weights, here are {len(layers)}: nothing corresponds to {told}; {_CHECK}"
        )
    return {name: found[name] for name in template if name in found}


def to_keras(weights: Weights, template: Layers) -> dict[str, dict[str, NDArray[Any]]]:
    """Write a PyTorch network's weights as Keras' layers; the inverse of `to_torch`.

    Parameters
    ----------
    weights : of the network, in the order of the forward pass.
    template : the Keras network's layers, in the same order: name -> role -> array.

    Returns
    -------
    dict : name -> role -> array, with names and order of roles of the template; layers without weights are left out.

    Raises
    ------
    ModelError : the networks differ in a layer, or in the number of layers.
    """
    layers, groups = _drop_empty(template), _group_by_module(weights)
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for (name, wanted), (prefix, tensors) in zip(layers.items(), groups.items(), strict=False):
        roles = _to_roles(tensors)
        if _list_shapes(roles) != _list_shapes(wanted):
            raise ModelError(
                f"layer {prefix!r} holds {_describe(roles)}; Keras' layer of that place, {name!r}, needs {_describe(wanted)}: {_CHECK}"
            )
        found[name] = {key: np.ascontiguousarray(roles[key], array.dtype) for key, array in wanted.items()}
    if len(layers) != len(groups):
        told = ", ".join(map(repr, [*list(layers)[len(groups) :], *list(groups)[len(layers) :]]))
        raise ModelError(
            f"the Keras network has {len(layers)} layers with weights, the other {len(groups)}; {told} has no counterpart: {_CHECK}"
        )
    return found


def _drop_empty(layers: Layers) -> Layers:
    return {name: roles for name, roles in layers.items() if roles}


def _group_by_module(weights: Weights) -> dict[str, dict[str, NDArray[Any]]]:
    """Put the tensors of each module together: name of the module -> name of the tensor -> array."""
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in weights.items():
        prefix, _, tensor = name.rpartition(".")
        groups.setdefault(prefix, {})[tensor] = array
    return groups


def _to_roles(tensors: Weights) -> dict[str, NDArray[Any]]:
    """Write the tensors of one module as a Keras layer."""
    if "running_mean" in tensors:
        return {role: tensors[name] for role, name in _NORM.items() if name in tensors}
    if _is_gru(tensors):
        parts = _split_directions(tensors)
        prefixes = _DIRECTIONS if len(parts) == 2 else ("",)
        return {prefix + name: array for prefix, part in zip(prefixes, parts, strict=True) for name, array in part.items()}
    if "weight" in tensors:
        kernel = tensors["weight"]
        axes = (*range(2, kernel.ndim), 1, 0)
        return {"kernel": kernel.transpose(axes), **{name: array for name, array in tensors.items() if name != "weight"}}
    return dict(tensors)


def _to_tensors(roles: Mapping[str, NDArray[Any]], like: Weights) -> dict[str, NDArray[Any]]:
    """Write a Keras layer as the tensors of one module; shapes are those of `like`, as its `_to_roles` are those given."""
    if "running_mean" in like:
        found = {**like, **{_NORM[role]: array for role, array in roles.items()}}
    elif _is_gru(like):
        prefixes = [prefix for prefix in _DIRECTIONS if f"{prefix}kernel" in roles] or [""]
        parts = [{name: roles[prefix + name] for name in ("kernel", "recurrent_kernel", "bias")} for prefix in prefixes]
        found = _join_directions(parts, like)
    elif "weight" in like:
        kernel = roles["kernel"]
        axes = (kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2))
        found = {"weight": kernel.transpose(axes), **{name: array for name, array in roles.items() if name != "kernel"}}
    else:
        found = dict(roles)
    return {name: np.array(array, like[name].dtype, order="C") for name, array in found.items()}


def _is_gru(tensors: Weights) -> bool:
    names = frozenset(tensors)
    if "weight_ih_l0" in names:  # one layer of PyTorch's, with biases; an LSTM has four gates
        return (
            "bias_hh_l0" in names and "weight_ih_l1" not in names and len(tensors["weight_ih_l0"]) == 3 * tensors["weight_hh_l0"].shape[1]
        )
    if names == {"weight_ih", "weight_hh", "bias"}:
        return True
    return names == {"kernel", "recurrent_kernel", "bias"} and tensors["kernel"].ndim == 3


def _split_directions(tensors: Weights) -> list[dict[str, NDArray[Any]]]:
    """Write a recurrent module as Keras' kernel (in, 3u), recurrent kernel (u, 3u) and bias, one of each per direction."""
    if "weight_ih_l0" in tensors:
        ends = [end for end in ("_l0", "_l0_reverse") if f"weight_ih{end}" in tensors]
        return [
            {
                "kernel": _swap_gates(tensors[f"weight_ih{end}"]).T,
                "recurrent_kernel": _swap_gates(tensors[f"weight_hh{end}"]).T,
                "bias": np.stack([_swap_gates(tensors[f"bias_{kind}{end}"]) for kind in ("ih", "hh")]),
            }
            for end in ends
        ]
    if "weight_ih" in tensors:  # (directions, 3u, in), (directions, 3u, u), (directions * 3u,)
        kernels, recurrent = (tensors[name].swapaxes(1, 2) for name in ("weight_ih", "weight_hh"))
        biases = tensors["bias"].reshape(len(kernels), -1)
    else:  # (directions, in, 3u), (directions, u, 3u), (directions, 1 or 2, 3u)
        kernels, recurrent = tensors["kernel"], tensors["recurrent_kernel"]
        biases = tensors["bias"].squeeze(1) if tensors["bias"].shape[1] == 1 else tensors["bias"]
    return [{"kernel": k, "recurrent_kernel": r, "bias": b} for k, r, b in zip(kernels, recurrent, biases, strict=True)]


def _join_directions(parts: list[dict[str, NDArray[Any]]], like: Weights) -> dict[str, NDArray[Any]]:
    """Undo `_split_directions`."""
    if "weight_ih_l0" in like:
        found: dict[str, NDArray[Any]] = {}
        for end, part in zip(("_l0", "_l0_reverse"), parts, strict=False):
            found |= {f"weight_ih{end}": _swap_gates(part["kernel"].T), f"weight_hh{end}": _swap_gates(part["recurrent_kernel"].T)}
            found |= {f"bias_ih{end}": _swap_gates(part["bias"][0]), f"bias_hh{end}": _swap_gates(part["bias"][1])}
        return found
    kernels, recurrent, biases = (np.stack([part[name] for part in parts]) for name in ("kernel", "recurrent_kernel", "bias"))
    if "weight_ih" in like:
        return {"weight_ih": kernels.swapaxes(1, 2), "weight_hh": recurrent.swapaxes(1, 2), "bias": biases.reshape(-1)}
    return {"kernel": kernels, "recurrent_kernel": recurrent, "bias": biases.reshape(like["bias"].shape)}


def _swap_gates(gates: NDArray[Any]) -> NDArray[Any]:
    """Exchange the first two of three gates along the first axis: Keras' update, reset and PyTorch's reset, update."""
    first, second, third = np.split(gates, 3)
    return np.concatenate([second, first, third])


def _list_shapes(roles: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    return {role: tuple(array.shape) for role, array in roles.items()}


def _describe(roles: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{role} {tuple(array.shape)}" for role, array in roles.items())
