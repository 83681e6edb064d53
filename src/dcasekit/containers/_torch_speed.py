"""What makes training on a CPU fast and changes no number, but for rounding."""

import ctypes
import logging
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)

# Parameters of mallopt in glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_BYTES = 1 << 30


def settle(network: nn.Module, device: torch.device) -> nn.Module:
    """Bring a network to a device, the kernels of its convolutions with the channels last: so CPUs and GPUs multiply fastest."""
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def keep_memory() -> bool:
    """Have glibc keep freed memory up to 1 GiB a piece for the next step; tell whether it does.

    A training step frees as many megabytes of activations as the next one asks for. By default glibc gives such large pieces back to the
    kernel, which clears each page again when it is touched: up to half of a step's time. The setting is the process's and stays.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    kept = all(libc.mallopt(parameter, _BYTES) == 1 for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
    _log.debug("glibc keeps freed memory: %s", kept)
    return kept


@contextmanager
def in_blocks(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Have stacks of convolutions train with eight channels together, for a while: oneDNN's own order of numbers on CPUs with AVX2.

    There a step is 1.0 to 1.4 times as fast as with the channels last (``benchmarks/bench_blocks.py``): the gradient of a kernel reads
    whole lines of the cache, and a pooling remembers its places in a byte each. With AVX-512, channels last have such kernels.
    """
    used = device.type == "cpu" and torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX2"
    with ExitStack() as stack:
        for module in network.modules():
            if used and type(module) is nn.Sequential and _gains(module):
                module.forward = partial(_forward, module)  # type: ignore[method-assign]
                stack.callback(module.__delattr__, "forward")
        yield


def _gains(layers: nn.Sequential) -> bool:
    """Say whether a sequence is a stack of convolutions into which nobody looks by hooks, nor sets its weights by them."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(type(layer) is nn.Conv2d for layer in layers) > 1 and not any(getattr(layer, name) for layer in layers for name in hooks)


def _forward(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Do what a sequence of layers does; answer in prediction, and where mixed precision is chosen, as it would itself."""
    if not layers.training or x.ndim != 4 or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return nn.Sequential.forward(layers, x)  # type: ignore[no-untyped-call]
    for layer in layers:
        if type(layer) is nn.Conv2d and _spreads(layer):
            x = _spread(layer, _plain(x))
        elif type(layer) is nn.ReLU:
            x = x.relu()  # never in place: a pooling here keeps its answer
        elif _in_blocks(layer):
            x = layer(x if x.is_mkldnn else x.to_mkldnn())
        else:
            x = layer(_plain(x))
    return _plain(x)


def _plain(x: Tensor) -> Tensor:
    return x.to_dense() if x.is_mkldnn else x


def _in_blocks(layer: nn.Module) -> bool:
    """Say whether a layer, and its gradient, can be done in oneDNN's order; not what others built on one of these."""
    if type(layer) is nn.Conv2d:
        before, after = layer._reversed_padding_repeated_twice[::2], layer._reversed_padding_repeated_twice[1::2]
        return layer.padding_mode == "zeros" and before == after
    if type(layer) is nn.MaxPool2d:
        return layer.dilation == 1 and not layer.return_indices
    if type(layer) is nn.BatchNorm2d:  # one that is held turns to prediction when it is called
        return layer.training and layer.track_running_stats and layer.affine and layer.weight.requires_grad
    return False


def _spreads(convolution: nn.Conv2d) -> bool:
    """Say whether a convolution of one channel, which would fill an eighth of a block, can see its frames as channels."""
    plain = convolution.padding_mode == "zeros" and convolution.stride == convolution.dilation == (1, 1)
    return convolution.in_channels == 1 and 1 < convolution.kernel_size[0] <= 8 and plain


def _spread(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve (windows, 1, time, frequency), each frame of the kernel a channel: the same products, the same sums."""
    x = nn.functional.pad(x, convolution._reversed_padding_repeated_twice)[:, 0]
    frames = x.unfold(1, x.shape[1] - convolution.kernel_size[0] + 1, 1).transpose(2, 3)  # (windows, frame of the kernel, time, frequency)
    return nn.functional.conv2d(frames.to_mkldnn(), convolution.weight.transpose(1, 2), convolution.bias)
