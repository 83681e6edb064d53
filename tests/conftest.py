"""Property tests run the same examples every time and are never judged by the clock; training tests use one thread."""

import os

# Before PyTorch is loaded: as many tests run at once as there are cores, and threads that wait for each other would spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # tmp_path: every example overwrites the last one's files
)
settings.load_profile("repeatable")


@pytest.fixture
def one_thread():
    """Let PyTorch use one thread: inside networks this small, and beside other tests, more only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
