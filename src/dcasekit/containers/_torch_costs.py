"""What a PyTorch network costs: numbers, multiply-accumulates and memory, layer by layer, measured while it answers."""

import math
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dcasekit.containers._torch_layers import example, watch

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """What one module does with one window, without the modules inside it.

    Attributes
    ----------
    name, kind : of the module, and of its class; the name is ``""`` for what the network does between its modules.
    output : the shape for one window; ``None``: no tensor, or never made.
    uses : how often it is used.
    trained, not_trained : its numbers (not_trained: statistics and whatever else no optimizer changes).
    macs : multiply-accumulates.
    macs_torchinfo : its parameters once per position of a convolution or frame of PyTorch's recurrent layers, else once per use, as the
        tool torchinfo counts.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    uses: int
    trained: int
    not_trained: int
    macs: int
    macs_torchinfo: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network answers, and how many bytes of tensors that took at once."""

    answer: Tensor
    peak_bytes: int


def layer_costs(network: nn.Module, window: Tensor) -> list[LayerCost]:
    """Return what each module does with one window (1, frames, dims), in the order in which they are done; what is not used comes last.

    A module that has others inside and nothing of its own is left out.
    """
    counted = _count(network, window)
    found: dict[str, LayerCost] = {}
    seen: set[int] = set()  # a parameter that two modules share is the first one's
    modules = dict(network.named_modules())
    for name, module in modules.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, own))
        trained = sum(p.numel() for p in own if p.requires_grad)
        not_trained = sum(p.numel() for p in own) - trained + sum(b.numel() for b in module.buffers(recurse=False) if b.is_floating_point())
        output, macs, uses = counted.outputs.get(name), counted.macs[name], counted.uses[name]
        if trained or not_trained or macs or (name in counted.outputs and not any(module.children())):
            found[name] = LayerCost(
                name=name,
                kind=type(module).__name__,
                output=output[1:] if output and output[0] == 1 else output,
                uses=uses,
                trained=trained,
                not_trained=not_trained,
                macs=macs,
                macs_torchinfo=_positions(module, output) * uses * sum(p.numel() for p in own),
            )
    order = [name for name in (*counted.outputs, *modules) if name in found]
    return [found[name] for name in dict.fromkeys(order)]


def predict(network: nn.Module, window: Tensor) -> Prediction:
    """Let a network answer a window (1, frames, dims), and measure the memory that it takes.

    The bytes count the input, but not the weights, nor what one operation of PyTorch needs for itself while it runs, such as a
    convolution's workspace or the gates of a recurrence.
    """
    network.eval()
    with torch.inference_mode(), _Alive([*network.parameters(), *network.buffers()], window) as alive:
        answer: Tensor = network(window)
    return Prediction(answer, alive.peak)


def bytes_for_gradient(network: nn.Module, shape: tuple[int, int]) -> int:
    """Measure how many bytes per window a network keeps in training, from the forward pass until its gradient is known."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}

    def kept(windows: int) -> int:
        found: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # the tensor itself may hold what keeps it: neither would ever be freed

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            _answer = network(example(windows, shape))  # alive, and with it all that was kept, until they are counted
        return sum(found.values())

    network.train()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        return kept(3) - kept(2)  # what does not grow with the batch cancels


def count_different(answers: Tensor) -> int:
    """Count the answers (frames, labels) or (labels,) that differ from the one before, if they do so at regular steps; else all."""
    if answers.ndim == 1:
        return 1
    begins = (answers[1:] != answers[:-1]).any(-1).nonzero().flatten() + 1
    steps = begins.diff(prepend=begins.new_zeros(1))
    return len(begins) + 1 if (steps == steps[:1]).all() else len(answers)


class _Alive(TorchFunctionMode):
    """While it is active, follow the tensors that operations make: ``peak`` is the largest sum of the bytes of those alive at once."""

    def __init__(self, known: Sequence[Tensor], first: Tensor) -> None:
        super().__init__()
        self._known = {_memory(tensor) for tensor in known}
        self._alive = {_memory(first): first.untyped_storage().nbytes()}
        self._bound = self.peak = sum(self._alive.values())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        output = func(*args, **(kwargs or {}))
        for tensor in _tensors(output):
            if (memory := _memory(tensor)) not in self._known and memory not in self._alive:
                self._alive[memory] = tensor.untyped_storage().nbytes()
                self._bound += self._alive[memory]
        if self._bound > self.peak:  # only then is it worth while to look which of them are gone
            self._alive = {memory: size for memory, size in self._alive.items() if memory() is not None}
            self._bound = sum(self._alive.values())
            self.peak = max(self.peak, self._bound)
        return output


def _memory(tensor: Tensor) -> weakref.ref[torch.UntypedStorage]:
    """Refer to the memory of a tensor, which other tensors may share, without keeping it."""
    return weakref.ref(tensor.untyped_storage())


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors among what an operation gives."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Multiply-accumulates and uses of each module without those inside it, and shapes of outputs in the order they were made."""

    macs: Counter[str]
    uses: Counter[str]
    outputs: dict[str, tuple[int, ...] | None]


def _count(network: nn.Module, window: Tensor) -> _Counted:
    from torch.utils.flop_counter import FlopCounterMode

    flops: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    outputs: dict[str, tuple[int, ...] | None] = {}
    running = [""]
    counter = FlopCounterMode(display=False)

    def book() -> None:
        """Credit what was counted since the last time to the innermost module that is running."""
        flops[running[-1]] += counter.get_total_flops() - flops.total()

    def begin(name: str, _module: nn.Module, _inputs: Any) -> None:
        book()
        running.append(name)

    def end(name: str, output: Any) -> None:
        book()
        running.pop()
        uses[name] += 1
        outputs.pop(name, None)  # a module that is used again counts with its last use
        outputs[name] = tuple(output.shape) if isinstance(output, Tensor) else None

    with ExitStack() as stack, counter:
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(partial(begin, name)).remove)
        watch(network, window, end)
        book()
    return _Counted(Counter({name: count // 2 for name, count in flops.items()}), uses, outputs)


def _positions(module: nn.Module, output: tuple[int, ...] | None) -> int:
    """Return how often torchinfo counts the parameters of a module: once per window, and per position or frame where it looks for them."""
    if output is None:
        return 0
    if isinstance(module, _CONVOLUTIONS):
        return output[0] * math.prod(output[2:])
    return math.prod(output[:2]) if isinstance(module, nn.RNNBase) else output[0]
