"""Keras itself: which backend it runs on, and how a network is made as in a fresh process, whatever was made before."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext

from dcasekit.errors import MissingExtraError, ModelError

__all__ = ["keras", "make", "on_device", "seeded"]

if "keras" not in sys.modules:  # else it has a backend already
    os.environ.setdefault("KERAS_BACKEND", "torch")
try:
    import keras
except ModuleNotFoundError as error:
    if error.name not in ("keras", "torch"):
        raise
    raise MissingExtraError(error.name, "keras") from error


def make(network_for: Callable[[], keras.Model], *, seed: int, precision: str = "float32", device: str = "auto") -> keras.Model:
    """Make a network whose initial weights and names of layers depend on nothing but the seed.

    Keras numbers layers without a name, and keeps precision and device, per thread: in one of its own it counts from the first and leaves
    the caller's alone.
    """

    def call() -> keras.Model:
        keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
        with on_device(device):
            return network_for()

    with seeded(seed), ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed for a while what layers draw from, and leave it as it was.

    What has no seed of its own takes one from Python's generator when it is made; dropout in PyTorch draws from the global generator there.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        with _torch_seeded(seed):
            yield
    finally:
        random.setstate(state)


def _torch_seeded(seed: int) -> AbstractContextManager[None]:
    if keras.backend.backend() != "torch":
        return nullcontext()
    from dcasekit.containers._torch_seed import seeded as torch_seeded

    return torch_seeded(seed)


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Have Keras put new arrays on a device for a while; ``"auto"``: where it puts them by itself."""
    if name == "auto":
        yield
        return
    try:
        with keras.device(name):
            keras.ops.zeros(1)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ModelError(
            f"device {name!r} cannot be used here with Keras on {keras.backend.backend()} ({str(error).splitlines()[0]}); use device='cpu' "
            "or 'auto'"
        ) from error
    with keras.device(name):
        yield
