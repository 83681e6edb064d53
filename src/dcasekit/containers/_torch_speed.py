"""What makes training on a CPU fast and changes no number, but for rounding."""

import ctypes
import logging
import platform

import torch
from torch import nn

_log = logging.getLogger(__name__)

# Parameters of mallopt in glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_BYTES = 1 << 30


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Bring a network to a device, the kernels of its convolutions with the channels last where that is fastest.

    The choice is a rule, not a measurement, so that a run repeats itself: see `_gains`.
    """
    order = torch.channels_last if device.type != "cpu" or _gains(network) else torch.contiguous_format
    return network.to(device=device, memory_format=order)  # type: ignore[call-overload]


def _gains(network: nn.Module) -> bool:
    """Whether a training step on this CPU is faster with the channels last: where there is pooling, since convolutions are not.

    Measured for nine networks here, as parts of the time of a step that PyTorch orders by itself: 0.60 to 0.94 with AVX-512, 0.62 to 0.99
    with AVX2; but 1.05 to 1.14 for `DcaseNet`, which pools by means, with AVX2, and 0.87 with AVX-512.
    """
    pools = (nn.MaxPool2d, nn.AvgPool2d) if torch.backends.cpu.get_cpu_capability() == "AVX512" else nn.MaxPool2d
    return any(isinstance(module, pools) for module in network.modules())


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
