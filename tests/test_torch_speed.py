"""What makes training on a CPU fast must change no number, and uses nothing of PyTorch that is not public."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dcasekit
from dcasekit.containers._torch_freeze import freeze, warm_start_batch_norm
from dcasekit.models import CRNN2023, SB_CNN, CompactCNN, DcaseNet

SOURCE = Path(dcasekit.__file__).parent

# The one place that needs what PyTorch has not made public yet, and says so when it is gone (see docs/design.md).
PRIVATE = {"models/_gru.py: torch._higher_order_ops.scan"}


def stack() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None), nn.ReLU(inplace=True))


def images() -> torch.Tensor:
    return torch.rand(3, 1, 28, 26, generator=torch.Generator().manual_seed(1)) + 2


def private_names(path: Path) -> Iterator[str]:
    """Name what a file takes of PyTorch that begins with an underscore: modules, attributes, attributes given as text."""
    syntax = ast.parse(path.read_text())
    if not any("torch" in ast.unparse(node) for node in ast.walk(syntax) if isinstance(node, ast.Import | ast.ImportFrom)):
        return
    for node in ast.walk(syntax):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch."):
            yield from (f"{node.module}" for alias in node.names if "._" in f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node).startswith(("torch.", "nn.")):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            yield from (part.value for part in node.args if isinstance(part, ast.Constant) and is_private(str(part.value)))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_nothing_private_of_pytorch_is_used_but_what_is_listed():
    found = {f"{path.relative_to(SOURCE).as_posix()}: {name}" for path in SOURCE.rglob("*.py") for name in private_names(path)}
    assert found == PRIVATE


@pytest.mark.parametrize(
    "code",
    [
        "from torch.utils._pytree import tree_leaves",
        "import torch\ntorch._C.x()",
        "from torch import nn\nnn.modules.batchnorm._BatchNorm",
        "import torch\ngetattr(module, '_forward_hooks')",
    ],
)
def test_a_private_name_is_seen(code, tmp_path):
    (tmp_path / "a.py").write_text(code)
    assert list(private_names(tmp_path / "a.py"))


@pytest.mark.parametrize("model", [SB_CNN(), CompactCNN()])
def test_training_leaves_the_methods_of_a_network_as_they_are(model):
    """Other people's modules are not patched, nor are hooks of theirs passed by."""
    x, y = np.random.default_rng(0).normal(size=(12, 64, 64)).astype(np.float32), np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    seen = []

    def look(_record: object) -> bool:
        seen.extend(name for name, module in model.network.named_modules() if "forward" in vars(module))
        return False

    history = model.train((x, y), epochs=3, batch_size=6, callbacks=[look])
    assert history[2]["loss"] < history[0]["loss"]
    assert not seen


@pytest.mark.parametrize(
    ("model", "shape", "capability", "last"),
    [
        (SB_CNN(), (64, 64), "AVX2", True),
        (SB_CNN(), (64, 64), "AVX512", True),
        (CRNN2023(filters=(4, 4, 4)), (20, 64), "AVX2", True),
        (DcaseNet(filters=4), (80, 16), "AVX512", True),
        (DcaseNet(filters=4), (80, 16), "AVX2", False),
        (DcaseNet(filters=4), (80, 16), "DEFAULT", False),
    ],
)
def test_channels_are_last_where_that_is_faster(model, shape, capability, last, monkeypatch):
    """By a rule, so that a run repeats itself: convolutions alone gain nothing by it, poolings do."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    model.build(shape, ("a", "b"))
    kernels = [p for p in model.network.parameters() if p.ndim == 4 and min(p.shape) > 1]
    assert kernels
    assert {p.is_contiguous(memory_format=torch.channels_last) for p in kernels} == {last}
    assert {p.is_contiguous() for p in kernels} == {not last}


def test_what_is_frozen_stays_and_the_rest_learns():
    network = stack()
    with freeze(network, [name for name in network.state_dict() if name.startswith(("0.", "1."))]):
        network.train()(images()).sum().backward()
        assert network[0].weight.grad is None
    assert torch.equal(network[1].running_mean, torch.zeros(16))
    assert network[4].weight.grad is not None
    assert network[0].weight.requires_grad


@pytest.mark.parametrize(("norm", "shape"), [(nn.BatchNorm1d, (9, 2)), (nn.BatchNorm2d, (9, 2, 3, 4)), (nn.BatchNorm3d, (9, 2, 3, 4, 5))])
def test_normalisation_starts_from_its_first_batch(norm, shape):
    layer, x = norm(2, momentum=0.01), torch.rand(shape) + 3
    with warm_start_batch_norm(layer):
        layer.train()(x)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    torch.testing.assert_close(layer.running_mean, x.mean(axes))
    torch.testing.assert_close(layer.running_var, x.var(axes, correction=0), rtol=0.01, atol=0)
    layer(x + 1)  # no longer
    torch.testing.assert_close(layer.running_mean, x.mean(axes) + 0.01)
