"""Inside a PyTorch network: which layers it has, in which order they act, and what they give."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn


def layer_shapes(network: nn.Module, two: Tensor, three: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the named modules in the order in which they are done, with the shape of their output for one window.

    Tried with two windows and with three: what is no tensor, or has no axis of windows in front, is left out.
    """
    shapes = _shapes(network, two)
    others = _shapes(network, three)
    return {name: shape[1:] for name, shape in shapes.items() if (shape[:1], others[name][:1]) == ((2,), (3,))}


def layer_output(network: nn.Module, windows: Tensor, layer: str) -> Tensor:
    """Return what a module gives for windows, in prediction."""
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        if name == layer:
            found[name] = output.clone()  # a copy: the next module may work in place

    watch(network, windows, keep)
    return found[layer]


def weights_until(network: nn.Module, windows: Tensor, layer: str) -> tuple[str, ...]:
    """Name the parameters and buffers of all modules that are done when one is, its own included."""
    done = list(_shapes(network, windows))
    prefixes = tuple(f"{name}." for name in done[: done.index(layer) + 1])
    return tuple(name for name in network.state_dict() if name.startswith(prefixes))


def watch(network: nn.Module, windows: Tensor, note: Callable[[str, Any], None]) -> Any:
    """Let windows pass through a network as in prediction; call a function with the name and output of each module that is done.

    Returns what the network answers.
    """

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        # Of a recurrent module's (output, state) the output.
        return lambda _module, _inputs, output: note(name, output[0] if isinstance(output, tuple) else output)

    network.eval()
    with ExitStack() as stack, torch.no_grad():  # in inference mode, PyTorch 2.4 counts no dense layers
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(hook(name)).remove)
        return network(windows)


def example(windows: int, shape: tuple[int, int]) -> Tensor:
    """Make windows in which no two frames are alike, of positive numbers, so that no layer meets a logarithm it cannot take."""
    return torch.rand(windows, *shape, generator=torch.Generator().manual_seed(0)) + 0.1


def _shapes(network: nn.Module, windows: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each module gives, in the order in which they are done; () of what is no tensor."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:
        found.pop(name, None)  # a module that is used again counts with its last use
        found[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

    watch(network, windows, note)
    return found
