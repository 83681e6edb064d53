"""Inside a PyTorch network: what its layers give, cost and see, in which order they act, and how some are kept from changing."""

import copy
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


@contextmanager
def begun(network: nn.Module) -> Iterator[None]:
    """Have batch normalisation that has seen no batch take over the statistics of its first one whole, not a hundredth or a tenth of them.

    With Keras' 0.99, a tenth of the zero and one that it starts with is left after 230 steps: enough for wrong answers.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.track_running_stats]
    waiting = set(norms)

    def take_over(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if norm in waiting and norm.training:
            waiting.discard(norm)
            if not norm.num_batches_tracked:  # it may have been trained before
                x = inputs[0].detach()
                x = (x.to_dense() if x.is_mkldnn else x).float()
                variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1], correction=0)
                norm.load_state_dict({"running_mean": mean, "running_var": variance}, strict=False)

    with ExitStack() as stack:
        for norm in norms:
            stack.callback(norm.register_forward_pre_hook(take_over).remove)
        yield


def fingerprint(network: nn.Module, names: Sequence[str]) -> str:
    """Hash the weights of a network, and which of them are held."""
    digest = hashlib.sha256(repr(sorted(names)).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def looked_into(network: nn.Module, shape: tuple[int, int]) -> dict[str, Any]:
    """Measure a copy of a network, on the CPU, for windows of (frames, dims).

    Returns
    -------
    dict : ``layers``, of `layer_costs`; ``output``, the shape of an answer, and ``steps``, how many of its frames differ from the one
        before; ``prediction_bytes``, of `trial`; ``bytes_for_gradient``; ``field``, ``local``, ``local_field``, of `seen_frames`, if the
        network answers numbers at all.
    """
    network = copy.deepcopy(network).cpu()
    window = _some(1, shape)
    answer, peak = trial(network, window)
    found = {"layers": layer_costs(network, window), "output": tuple(answer.shape[1:]), "steps": _different(answer[0])}
    found |= {"prediction_bytes": peak, "bytes_for_gradient": bytes_for_gradient(network, shape)}
    if not answer.isnan().any():
        field, local, local_field = seen_frames(network, shape)
        found |= {"field": field, "local": local, "local_field": local_field if local else None}
    return found


def layer_costs(network: nn.Module, window: Tensor) -> list[dict[str, Any]]:
    """Give what each module does with one window (1, frames, dims), in the order in which they are done; what is not used comes last.

    Returns
    -------
    list of dict : ``name``, ``""`` for what the network does between its modules; ``kind``, its class; ``output``, the shape for one
        window, ``None`` if it is no tensor or never made; ``uses``; and, of the module without those inside it, ``trained`` and ``kept``,
        its numbers (kept: statistics and whatever else no optimizer changes), ``macs``, and ``macs_torchinfo``: its parameters once per
        position of a convolution or frame of PyTorch's recurrent layers, else once per use, as the tool torchinfo counts. A module that
        has others inside and nothing of its own is left out.
    """
    macs, outputs, uses = _counted(network, window)
    found: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()  # a parameter that two modules share is the first one's
    modules = dict(network.named_modules())
    for name, module in modules.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, own))
        trained = sum(p.numel() for p in own if p.requires_grad)
        kept = sum(p.numel() for p in own) - trained + sum(b.numel() for b in module.buffers(recurse=False) if b.is_floating_point())
        output = outputs.get(name)
        if trained or kept or macs[name] or (name in outputs and not any(module.children())):
            positions = _positions(module, output) * uses[name]
            found[name] = {
                **{"name": name, "kind": type(module).__name__, "uses": uses[name], "trained": trained, "kept": kept},
                "output": output[1:] if output and output[0] == 1 else output,
                **{"macs": macs[name], "macs_torchinfo": positions * sum(p.numel() for p in own)},
            }
    order = [name for name in (*outputs, *modules) if name in found]
    return [found[name] for name in dict.fromkeys(order)]


def seen_frames(network: nn.Module, shape: tuple[int, int]) -> tuple[range, str, range]:
    """Find which frames of a window can change an answer: the one in the middle, if frames are answered.

    Nothing is derived from kinds of layers: frames at an end of the window are NaN, and what they reach is NaN too, whatever the weights
    are. A path counts even where it is multiplied by zero, as behind a mask. The network must answer no NaN by itself.

    Parameters
    ----------
    shape : (frames, dims) of a window.

    Returns
    -------
    from the first to the last such frame; where these touch an end of the window, also the name of the last layer before any that sees an
    end, such as the last convolution before a recurrence, and the frames that the value in the middle of its output depends on (else
    ``""`` and no frames).
    """
    window = _some(1, shape)[0]
    guess = (min(1, shape[0]), max(shape[0] - 1, 0))  # most networks see the whole window
    reached = _reached(network, _without(window, *guess))
    whole = _extent(network, window, "", guess, reached[""])
    local = ""
    for name, ends in reached.items():
        if ends.any():
            break
        local = name
    if not local or (whole.start > 0 and whole.stop < shape[0]):
        return whole, "", range(0)
    return whole, local, _extent(network, window, local, guess, reached[local])


def trial(network: nn.Module, window: Tensor) -> tuple[Tensor, int]:
    """Let a network answer a window (1, frames, dims): logits, and how many bytes of tensors it took at once.

    They count the input, but not the weights, nor what an operation needs for itself while it runs, such as a convolution's workspace.
    """
    network.eval()
    with torch.inference_mode(), _Alive([*network.parameters(), *network.buffers()], window) as alive:
        answer: Tensor = network(window)
    return answer, alive.peak


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
            _answer = network(_some(windows, shape))  # alive, and with it all that was kept, until they are counted
        return sum(found.values())

    network.train()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        return kept(3) - kept(2)  # what does not grow with the batch cancels


def _some(windows: int, shape: tuple[int, int]) -> Tensor:
    """Make windows in which no two frames are alike, of positive numbers, so that no layer meets a logarithm it cannot take."""
    return torch.rand(windows, *shape, generator=torch.Generator().manual_seed(0)) + 0.1


def _different(answers: Tensor) -> int:
    """Count the answers (frames, labels) or (labels,) that differ from the one before, if they do so at regular steps; else all."""
    if answers.ndim == 1:
        return 1
    begins = (answers[1:] != answers[:-1]).any(-1).nonzero().flatten() + 1
    steps = begins.diff(prepend=begins.new_zeros(1))
    return len(begins) + 1 if (steps == steps[:1]).all() else len(answers)


class _Alive(TorchDispatchMode):
    """While it is active, follow the tensors that operations make: ``peak`` is the largest sum of the bytes of those alive at once."""

    def __init__(self, known: Sequence[Tensor], first: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = set(map(_memory, known))
        self._alive = {_memory(first): first.untyped_storage().nbytes()}
        self._bound = self.peak = sum(self._alive.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and (memory := _memory(tensor)) not in self._known and memory not in self._alive:
                self._alive[memory] = tensor.untyped_storage().nbytes()
                self._bound += self._alive[memory]
        if self._bound > self.peak:  # only then is it worth while to look which of them are gone
            self._alive = {memory: size for memory, size in self._alive.items() if not memory.expired()}
            self._bound = sum(self._alive.values())
            self.peak = max(self.peak, self._bound)
        return output


def _memory(tensor: Tensor) -> StorageWeakRef:
    """Refer to the memory of a tensor, which other tensors may share, without keeping it."""
    return StorageWeakRef(tensor.untyped_storage())


def _counted(network: nn.Module, window: Tensor) -> tuple[Counter[str], dict[str, tuple[int, ...] | None], Counter[str]]:
    """Count multiply-accumulates and uses of each module without those inside it, and note the shapes of outputs."""
    from torch.utils.flop_counter import FlopCounterMode

    flops: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    outputs: dict[str, tuple[int, ...] | None] = {}
    running = [""]
    counter = FlopCounterMode(display=False)

    def settle() -> None:
        """Give what was counted since the last time to the innermost module that is running."""
        flops[running[-1]] += counter.get_total_flops() - flops.total()

    def begin(name: str, _module: nn.Module, _inputs: Any) -> None:
        settle()
        running.append(name)

    def end(name: str, output: Any) -> None:
        settle()
        running.pop()
        uses[name] += 1
        outputs.pop(name, None)  # a module that is used again counts with its last use
        outputs[name] = tuple(output.shape) if isinstance(output, Tensor) else None

    with ExitStack() as stack, counter:
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(partial(begin, name)).remove)
        _watch(network, window, end)
        settle()
    return Counter({name: count // 2 for name, count in flops.items()}), outputs, uses


def _positions(module: nn.Module, output: tuple[int, ...] | None) -> int:
    """Give how often torchinfo counts the parameters of a module: once per window, and per position or frame where it looks for them."""
    if output is None:
        return 0
    if isinstance(module, nn.modules.conv._ConvNd):
        return output[0] * math.prod(output[2:])
    return math.prod(output[:2]) if isinstance(module, nn.RNNBase) else output[0]


def _without(window: Tensor, first: int, stop: int) -> Tensor:
    """Give two copies of a window (frames, dims): one without the frames before `first`, one without those from `stop` on."""
    windows = torch.stack([window, window])
    windows[0, :first] = windows[1, stop:] = math.nan
    return windows


def _extent(network: nn.Module, window: Tensor, layer: str, guess: tuple[int, int], ends: Tensor) -> range:
    """Find the frames on which the middle of a layer's output depends, by bisection from both sides.

    Parameters
    ----------
    guess, ends : what was tried first (see `_without`), and which of the two reached the layer.
    """
    first, first_seen = (
        0,
        len(window),
    )  # without the frames before `first` nothing changes; without those before `first_seen` something does
    stop, stop_seen = len(window), 0
    while True:
        first, first_seen = (first, guess[0]) if ends[0] else (guess[0], first_seen)
        stop, stop_seen = (stop, guess[1]) if ends[1] else (guess[1], stop_seen)
        if first_seen - first <= 1 and stop - stop_seen <= 1:
            return range(first, max(first, stop))
        guess = ((first + first_seen) // 2, (stop + stop_seen + 1) // 2)
        ends = _reached(network, _without(window, *guess))[layer]


def _reached(network: nn.Module, windows: Tensor) -> dict[str, Tensor]:
    """Tell which windows have a NaN in the middle of the output of each layer, and of the network (``""``): (windows,) each."""
    found: dict[str, Tensor] = {}

    def look(name: str, output: Any) -> None:
        found.pop(name, None)
        if isinstance(output, Tensor) and output.shape[:1] == windows.shape[:1]:
            middle = output
            while middle.ndim > 1:
                middle = middle[:, middle.shape[1] // 2]
            found[name] = middle.isnan()

    output = _watch(network, windows, look)
    answers: Tensor = output[:, output.shape[1] // 2] if output.ndim == 3 else output
    return {**found, "": answers.isnan().any(-1)}


def _shapes(network: nn.Module, windows: Tensor) -> dict[str, tuple[int, ...]]:
    """Give the shape of what each module gives, in the order in which they are done; () of what is no tensor."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:
        found.pop(name, None)  # a module that is used again counts with its last use
        found[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

    _watch(network, windows, note)
    return found


def _watch(network: nn.Module, windows: Tensor, note: Callable[[str, Any], None]) -> Any:
    """Let windows pass through a network as in prediction; call a function with the name and output of each module that is done.

    Gives back what the network answers.
    """

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        # Of a recurrent module's (output, state) the output.
        return lambda _module, _inputs, output: note(name, output[0] if isinstance(output, tuple) else output)

    network.eval()
    with ExitStack() as stack, torch.inference_mode():
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(hook(name)).remove)
        return network(windows)


def _as_in_prediction(module: nn.Module, _inputs: object) -> None:
    module.training = False
