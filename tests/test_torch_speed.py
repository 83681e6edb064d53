"""What makes training on a CPU fast must change no number."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dcasekit.containers._torch_layers import begun, held
from dcasekit.containers._torch_speed import in_blocks, settle
from dcasekit.models import SB_CNN, CompactCNN

CPU = torch.device("cpu")

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch was built without oneDNN")


@pytest.fixture
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the machine's capability, whatever it is, be the one for which blocks are used: oneDNN has them for every other, too."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def stack(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*layers)


class Doubled(nn.Conv2d):
    """A layer of somebody who looks at the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        assert not x.is_mkldnn
        return 2 * super().forward(x)


STACKS: dict[str, Callable[[], nn.Sequential]] = {
    "one channel, five frames, no padding": lambda: stack(
        nn.Conv2d(1, 24, 5), nn.MaxPool2d((4, 2)), nn.ReLU(), nn.Conv2d(24, 48, 5), nn.ReLU()
    ),
    "batch normalisation and rectifying in place": lambda: stack(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU(inplace=True)),
        *(nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None), nn.ReLU(inplace=True)),
    ),
    "even kernels, padded to the same size": lambda: stack(
        nn.Conv2d(1, 8, (4, 2), padding="same"), nn.Conv2d(8, 8, (2, 3), padding="same")
    ),
    "channels that fill no block": lambda: stack(nn.Conv2d(1, 5, 3), nn.Conv2d(5, 3, (1, 3)), nn.MaxPool2d(2, ceil_mode=True)),
    "overlapping, padded poolings": lambda: stack(nn.Conv2d(1, 8, 3), nn.MaxPool2d(3, stride=2, padding=1), nn.Conv2d(8, 8, 3)),
    "other layers between": lambda: stack(
        nn.BatchNorm2d(1), nn.Conv2d(1, 8, 3), nn.ELU(), nn.Conv2d(8, 8, 3), nn.AvgPool2d(2), nn.Flatten()
    ),
    "strides, dilation, groups": lambda: stack(nn.Conv2d(1, 8, 3, stride=2), nn.Conv2d(8, 8, 3, dilation=2, groups=2), nn.ReLU()),
    "mirrored edges": lambda: stack(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), nn.MaxPool2d(2)
    ),
    "a pooling with dilation": lambda: stack(nn.Conv2d(1, 8, 9), nn.Conv2d(8, 8, 3), nn.MaxPool2d(2, dilation=2)),
    "weights that are computed anew for every pass": lambda: stack(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 8, 3)),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3)),
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 3),
    ),
    "layers built on others": lambda: stack(Doubled(1, 8, 3), Doubled(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)),
    "normalisation without factors": lambda: stack(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8, affine=False), nn.Conv2d(8, 8, 3)),
}


def learned(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Do a forward and a backward pass; give the answers, all gradients and all statistics."""
    x = x.clone().requires_grad_()
    y = network(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum().backward()
    gradients = {f"{name}.grad": each.grad for name, each in network.named_parameters() if each.grad is not None}
    return {"answers": y.detach(), "x.grad": x.grad, **gradients, **dict(network.named_buffers())}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    steepest = max(one.abs().max().item() for name, one in expected.items() if name.endswith("grad"))
    for name, one in expected.items():
        # The gradient of a bias before batch normalisation is zero, the sum of large numbers that cancel.
        scale = steepest if name.endswith("grad") else max(1.0, one.abs().max().item())
        assert (found[name].double() - one.double()).abs().max() < 2e-5 * scale, name


@needs_onednn
@pytest.mark.usefixtures("avx2")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # PyTorch's, of the expected numbers
@pytest.mark.parametrize("make", STACKS.values(), ids=STACKS)
def test_stacks_in_blocks_learn_the_same_numbers(make: Callable[[], nn.Sequential]) -> None:
    x = torch.rand(3, 1, 28, 26, generator=torch.Generator().manual_seed(1))
    network = settle(make(), CPU).train()
    expected = learned(copy.deepcopy(network).double(), x.double())
    with in_blocks(network, CPU):
        assert "forward" in vars(network)
        same(learned(network, x), expected)
    assert "forward" not in vars(network)


@needs_onednn
@pytest.mark.usefixtures("avx2")
def test_what_is_held_stays_in_blocks_too() -> None:
    network = settle(STACKS["batch normalisation and rectifying in place"](), CPU)
    names = [name for name in network.state_dict() if name.startswith(("0.", "1."))]
    x = torch.rand(3, 1, 28, 26, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy(network)
    with held(other, names):
        expected = learned(other.train(), x)
    with in_blocks(network, CPU), held(network, names):
        found = learned(network.train(), x)
    assert torch.equal(found["1.running_mean"], torch.zeros(16))
    assert "0.weight.grad" not in found
    same(found, expected)


@needs_onednn
@pytest.mark.usefixtures("avx2")
def test_normalisation_that_is_set_to_prediction_learns_its_factors_in_blocks_too() -> None:
    network = settle(STACKS["batch normalisation and rectifying in place"](), CPU).train()
    network[1].eval()
    x = torch.rand(3, 1, 28, 26, generator=torch.Generator().manual_seed(1))
    expected = learned(copy.deepcopy(network), x)
    with in_blocks(network, CPU):
        found = learned(network, x)
    assert torch.equal(found["1.running_mean"], torch.zeros(16))
    same(found, expected)


@needs_onednn
@pytest.mark.usefixtures("avx2")
def test_first_statistics_are_the_same_in_blocks() -> None:
    network = settle(STACKS["batch normalisation and rectifying in place"](), CPU).train()
    x = torch.rand(3, 1, 28, 26, generator=torch.Generator().manual_seed(1)) + 2
    other = copy.deepcopy(network)
    with begun(other):
        expected = learned(other, x)
    with in_blocks(network, CPU), begun(network):
        found = learned(network, x)
    assert found["1.running_mean"].abs().min() > 0.01
    same(found, expected)


@needs_onednn
@pytest.mark.usefixtures("avx2")
def test_prediction_and_mixed_precision_are_left_as_they_are() -> None:
    network = settle(STACKS["one channel, five frames, no padding"](), CPU)
    x = torch.rand(3, 1, 28, 26)
    expected = network.eval()(x)
    with in_blocks(network, CPU):
        assert torch.equal(network(x), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert network.train()(x).dtype == torch.bfloat16
        assert not network(x).is_mkldnn


@needs_onednn
@pytest.mark.usefixtures("avx2")
def test_who_looks_into_a_stack_sees_what_its_layers_give() -> None:
    network, seen = settle(STACKS["one channel, five frames, no padding"](), CPU).train(), []
    network[1].register_forward_hook(lambda layer, inputs, output: seen.append(output.mean().item()))
    weights = nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(1, 8, 3)), nn.Conv2d(8, 8, 3))  # its hook computes the weights
    x = torch.rand(3, 1, 28, 26)
    with in_blocks(nn.ModuleList([network, weights]), CPU):
        assert "forward" not in vars(weights)
        network(x)
    network(x)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("capability", "device"), [("AVX512", "cpu"), ("DEFAULT", "cpu"), ("AVX2", "meta")])
def test_blocks_are_used_where_they_were_measured(monkeypatch: pytest.MonkeyPatch, capability: str, device: str) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network = STACKS["one channel, five frames, no padding"]()
    with in_blocks(network, torch.device(device)):
        assert "forward" not in vars(network)


@needs_onednn
@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize("model", [SB_CNN(), CompactCNN()])
def test_models_train_in_blocks(model: SB_CNN | CompactCNN) -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 64, 64)).astype(np.float32), np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    used = []

    def look(record: object) -> bool:
        used.append("forward" in vars(model.network.convolutions))
        return False

    history = model.train((x, y), epochs=3, batch_size=5, callbacks=[look])
    assert used == [True] * 3
    assert history[2]["loss"] < history[0]["loss"]
    assert "forward" not in vars(model.network.convolutions)
