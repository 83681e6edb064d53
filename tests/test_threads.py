"""Threads of numerical libraries leave the machine to others while they wait."""

import os
import subprocess
import sys

import pytest

from dcasekit.core.threads import share_cores

WAITING = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")


def test_threads_are_told_to_sleep(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is taken away again
    del os.environ["OMP_WAIT_POLICY"]
    share_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("name", WAITING)
def test_who_has_chosen_is_not_overruled(monkeypatch, name):
    for each in WAITING:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "0")
    share_cores()
    assert [os.environ.get(each) for each in WAITING] == ["0" if each == name else None for each in WAITING]


@pytest.mark.parametrize(
    "code",
    [
        "from dcasekit.recipes import quickstart",
        "import sys; sys.argv[1:] = ['--version']\nfrom dcasekit.cli import main\ntry:\n    main()\nexcept SystemExit:\n    import torch",
    ],
    ids=["recipes", "command"],
)
def test_they_are_told_before_pytorch_is_loaded(code):
    """PyTorch's OpenMP looks once, when it is loaded."""
    watch = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch:", os.environ.get("OMP_WAIT_POLICY"))
sys.meta_path.insert(0, Watch())
"""
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run([sys.executable, "-c", watch + code], capture_output=True, text=True, check=True, env=environment)
    assert "torch: PASSIVE" in done.stdout
