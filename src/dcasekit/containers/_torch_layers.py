"""Inside a PyTorch network: what its layers give, in which order they act, and how some of them are kept from changing."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def layer_shapes(network: nn.Module, two: Tensor, three: Tensor) -> dict[str, tuple[int, ...]]:
    """Give the named modules in the order in which they are done, with the shape of their output for one window.

    Tried with two windows and with three: what is no tensor, or has no axis of windows in front, is left out.
    """
    shapes = _shapes(network, two)
    others = _shapes(network, three)
    return {name: shape[1:] for name, shape in shapes.items() if (shape[:1], others[name][:1]) == ((2,), (3,))}


def output_of(network: nn.Module, windows: Tensor, layer: str) -> Tensor:
    """Give what a module gives for windows, in prediction."""
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        if name == layer:
            found[name] = output.clone()  # a copy: the next module may work in place

    _watch(network, windows, keep)
    return found[layer]


def tensors_until(network: nn.Module, windows: Tensor, layer: str) -> tuple[str, ...]:
    """Name the parameters and buffers of all modules that are done when one is, its own included."""
    done = list(_shapes(network, windows))
    prefixes = tuple(f"{name}." for name in done[: done.index(layer) + 1])
    return tuple(name for name in network.state_dict() if name.startswith(prefixes))


@contextmanager
def held(network: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Keep some parameters and buffers of a network as they are for a while, whatever trains it.

    A module of which all tensors are held acts as in prediction: batch normalisation neither uses nor updates the statistics of a batch.
    """
    names = frozenset(names)
    with ExitStack() as stack:
        for name, parameter in network.named_parameters():
            if name in names and parameter.requires_grad:
                parameter.requires_grad_(False)
                stack.callback(parameter.requires_grad_, True)
        for prefix, module in network.named_modules():
            own = [*module.named_parameters(prefix, recurse=False), *module.named_buffers(prefix, recurse=False)]
            if own and all(name in names for name, _ in own):
                # Before each pass, since every epoch begins with network.train().
                stack.callback(module.register_forward_pre_hook(_as_in_prediction).remove)
        yield


def fingerprint(network: nn.Module, names: Sequence[str]) -> str:
    """Hash the weights of a network, and which of them are held."""
    digest = hashlib.sha256(repr(sorted(names)).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _shapes(network: nn.Module, windows: Tensor) -> dict[str, tuple[int, ...]]:
    """Give the shape of what each module gives, in the order in which they are done; () of what is no tensor."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:
        found.pop(name, None)  # a module that is used again counts with its last use
        found[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

    _watch(network, windows, note)
    return found


def _watch(network: nn.Module, windows: Tensor, note: Callable[[str, Any], None]) -> None:
    """Let windows pass through a network as in prediction; call a function with the name and output of each module that is done."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        # Of a recurrent module's (output, state) the output.
        return lambda _module, _inputs, output: note(name, output[0] if isinstance(output, tuple) else output)

    network.eval()
    with ExitStack() as stack, torch.inference_mode():
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(hook(name)).remove)
        network(windows)


def _as_in_prediction(module: nn.Module, _inputs: object) -> None:
    module.training = False
