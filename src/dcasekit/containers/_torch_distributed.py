"""Training by several processes that torchrun started: each answers its own rows of every batch, and all see the loss of the whole batch.

Every process makes the same batches, since their order follows from the seed, and gives its network its rows alone. The answers are put
together, so the loss is computed from the whole batch, by every process the same, whatever the objective is and whatever is unknown.
Gradients flow back through each process's own rows and are averaged. What is a matter of the whole batch stays one: the statistics of
batch normalisation, and the masks of dropout, which are drawn as one process draws them. So the numbers are those of one process, but
for rounding.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Value = TypeVar("Value")

# Others wait while the first process validates and writes; if it dies, torchrun ends them.
_PATIENCE = timedelta(days=1)
_DROPOUTS = (functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d)
# How F.batch_norm and F.dropout take what is not named.
_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_DROP = ("input", "p", "training", "inplace")


@dataclass(frozen=True)
class Processes:
    """The processes that train together; one alone, unless torchrun started several.

    Attributes
    ----------
    number, count : of this process, from 0, and of all.
    device : what they tell each other lies there.
    """

    device: torch.device
    number: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        """Find the others; from the first call on they are known to each other."""
        if not distributed.is_torchelastic_launched():
            return cls(device)
        if not distributed.is_initialized():
            own = device.type == "cuda" and torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
            distributed.init_process_group("nccl" if own else "gloo", timeout=_PATIENCE)
            atexit.register(distributed.destroy_process_group)
        return cls(device, distributed.get_rank(), distributed.get_world_size())

    def once(self, function: Callable[[], Value]) -> Value:
        """Have the first process alone call a function; return its answer, which JSON can hold, in every process."""
        if self.count == 1:
            return function()
        text = json.dumps(function()).encode() if self.number == 0 else b""
        size = torch.tensor([len(text)], device=self.device)
        distributed.broadcast(size, 0)
        told = torch.frombuffer(bytearray(text or bytes(int(size))), dtype=torch.uint8).to(self.device)
        distributed.broadcast(told, 0)
        return cast("Value", json.loads(told.cpu().numpy().tobytes()))

    def answer(self, network: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
        """Have each process answer its windows of a batch.

        Return all answers in each. A batch too small to be shared is answered by all.
        """
        total = len(windows)
        if self.count == 1 or total < self.count:
            return network(windows)
        first, last = (total * number // self.count for number in (self.number, self.number + 1))
        with _Rows(first, last, total):
            own = network(windows[first:last])
        rest = own.shape[1:]
        return add_up(torch.cat([own.new_zeros(first, *rest), own, own.new_zeros(total - last, *rest)]))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradients of each process by their mean over all processes."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.count == 1 or not gradients:
            return
        flat = torch.cat([each.reshape(-1) for each in gradients])
        distributed.all_reduce(flat)
        for each, mean in zip(gradients, (flat / self.count).split([each.numel() for each in gradients]), strict=True):
            each.copy_(mean.view_as(each))


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each has a loss of its own that depends on it, so the gradient is a sum, too."""

    @staticmethod
    def forward(_context: Any, part: Tensor) -> Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(None, gradients[0])


def add_up(part: Tensor) -> Tensor:
    """Add up what each process has."""
    return cast("Tensor", _Sum.apply(part))  # type: ignore[no-untyped-call]


def moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance of each channel (windows, channels, ...), and the number of values.

    They are of all processes while these share a batch.
    """
    axes = [axis for axis in range(x.ndim) if axis != 1]
    if not _Rows.shared:
        variance, mean = torch.var_mean(x, axes, correction=0)
        return mean, variance, x.numel() // x.shape[1]
    sums = add_up(torch.cat([x.sum(axes), x.new_tensor([x.numel() / x.shape[1]])]))
    mean = sums[:-1] / sums[-1]
    return mean, add_up((x - _along(mean, x)).square().sum(axes)) / sums[-1], int(sums[-1])


class _Rows(TorchFunctionMode):
    """While it lasts, layers act on rows of a batch as they would on the whole."""

    shared = False  # whether it lasts now

    def __init__(self, first: int, last: int, total: int) -> None:
        super().__init__()
        self.first, self.last, self.total = first, last, total

    def __enter__(self) -> "_Rows":
        _Rows.shared = True
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        _Rows.shared = False
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is functional.batch_norm:
            named = dict(zip(_NORM, args, strict=False)) | kwargs
            if named.pop("training", False):
                return _normalise(named.pop("input"), **named)
        elif function in _DROPOUTS:
            named = {"p": 0.5, "training": True} | dict(zip(_DROP, args, strict=False)) | kwargs
            x = named["input"]
            if named["training"] and not len(x) % (self.last - self.first):
                return x * self._mask(function, x, named["p"])
        return function(*args, **kwargs)

    def _mask(self, function: Callable[..., Tensor], x: Tensor, p: float) -> Tensor:
        """Draw the mask of the whole batch, in the order of x in memory; return that of x. A window may be several rows."""
        each = len(x) // (self.last - self.first)
        whole = torch.empty_permuted((self.total * each, *x.shape[1:]), x.dim_order(), dtype=x.dtype, device=x.device).fill_(1)
        return function(whole, p, True)[self.first * each : self.last * each]  # noqa: FBT003 - as PyTorch has it


def _normalise(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise by batch statistics, see `torch.nn.functional.batch_norm`."""
    mean, variance, count = moments(x.float())
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.detach(), momentum)
        running_var.lerp_(variance.detach() * (count / (count - 1)), momentum)
    scale = (variance + eps).rsqrt() if weight is None else (variance + eps).rsqrt() * weight
    normal = (x.float() - _along(mean, x)) * _along(scale, x)
    return (normal if bias is None else normal + _along(bias, x)).to(x.dtype)


def _along(channels: Tensor, x: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (x.ndim - 2))
