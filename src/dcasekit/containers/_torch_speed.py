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
