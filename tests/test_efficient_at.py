"""EfficientAT: its size, and its network against PyTorch's functions on a state dict with the published names.

The published weights cannot be fetched where the tests run.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from dcasekit import DataGenerator, audio, load, testing
from dcasekit.errors import ModelError
from dcasekit.features import MelSpectrogram
from dcasekit.models import EfficientAT

pytestmark = pytest.mark.usefixtures("one_thread")

# MobileNet v3 (large), table 1 of Howard et al. 2019: kernel, expansion, output, squeeze and excitation, activation, stride.
TABLE = """
    3  16  16 - RE 1
    3  64  24 - RE 2
    3  72  24 - RE 1
    5  72  40 x RE 2
    5 120  40 x RE 1
    5 120  40 x RE 1
    3 240  80 - HS 2
    3 200  80 - HS 1
    3 184  80 - HS 1
    3 184  80 - HS 1
    3 480 112 x HS 1
    3 672 112 x HS 1
    5 672 160 x HS 2
    5 960 160 x HS 1
    5 960 160 x HS 1
"""
LABELS = tuple(f"class {number}" for number in range(527))


def rows():
    for line in TABLE.strip().splitlines():
        kernel, inside, after, squeezed, act, stride = line.split()
        yield int(kernel), int(inside), int(after), squeezed == "x", act == "HS", int(stride)


def build(width, outputs=527, shape=(1000, 128)):
    return EfficientAT(width=width).build(shape, LABELS[:outputs], task="tagging")


@pytest.mark.parametrize(
    ("width", "parameters", "millions", "billions"),
    [
        (0.4, 983_599, "0.983", "0.11"),
        (0.5, 1_431_239, "1.43", "0.16"),
        (1.0, 4_876_831, "4.88", "0.54"),
        (2.0, 17_909_287, "17.91", "2.06"),
    ],
)
def test_the_published_sizes(width, parameters, millions, billions):
    cost = build(width).cost()
    assert cost["parameters"] == parameters
    assert int(parameters / 1e3) / 1e3 == float(millions) or f"{parameters / 1e6:.2f}" == millions
    assert f"{cost['macs'] / 1e9:.2f}" == billions


class Numbers:
    """Random arrays under published names, drawn when they are asked for, and kept as a state dict."""

    def __init__(self, seed=0):
        self.state, self._generator = {}, torch.Generator().manual_seed(seed)

    def normal(self, name, *shape, scale=1.0):
        self.state[name] = scale * torch.randn(shape, generator=self._generator)
        return self.state[name].double()

    def convolve(self, maps, name, after, size, act, *, stride=1, groups=1):
        kernel = self.normal(
            f"{name}.0.weight", after, maps.shape[1] // groups, size, size, scale=(size * size * maps.shape[1] / groups) ** -0.5
        )
        maps = functional.conv2d(maps, kernel, stride=stride, padding=(size - 1) // 2, groups=groups)
        scale, shift = 1 + self.normal(f"{name}.1.weight", after, scale=0.1), self.normal(f"{name}.1.bias", after, scale=0.3)
        self.state[f"{name}.1.weight"] = scale.float()
        mean = self.normal(f"{name}.1.running_mean", after, scale=0.2)
        variance = self.normal(f"{name}.1.running_var", after).abs() + 0.5
        self.state |= {f"{name}.1.running_var": variance.float(), f"{name}.1.num_batches_tracked": torch.tensor(7)}
        scale, variance = self.state[f"{name}.1.weight"].double(), self.state[f"{name}.1.running_var"].double()
        columns = (..., None, None)
        maps = (maps - mean[columns]) / torch.sqrt(variance + 1e-3)[columns] * scale[columns] + shift[columns]
        return act(maps)

    def connect(self, rows, name, after):
        kernel = self.normal(f"{name}.weight", after, rows.shape[1], scale=rows.shape[1] ** -0.5)
        return rows @ kernel.T + self.normal(f"{name}.bias", after, scale=0.3)

    def squeeze(self, maps, name, inside):
        hidden = functional.relu(self.connect(maps.mean((2, 3)), f"{name}.fc1", inside))
        return maps * self.connect(hidden, f"{name}.fc2", maps.shape[1]).sigmoid()[:, :, None, None]


def wide(channels, width):
    found = max(8, int(channels * width + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels * width else found


def answer(numbers, windows, width, outputs):
    """Logits by PyTorch's functions in float64, of windows (windows, frames, bands)."""
    maps = ((torch.from_numpy(windows).double() + 4.5) / 5).transpose(1, 2)[:, None]
    maps = numbers.convolve(maps, "features.0", wide(16, width), 3, functional.hardswish, stride=2)
    for number, (kernel, inside, after, squeezed, swish, stride) in enumerate(rows(), start=1):
        act, name, before, part = functional.hardswish if swish else functional.relu, f"features.{number}.block", maps, 0
        inside, after = wide(inside, width), wide(after, width)  # noqa: PLW2901
        if inside != maps.shape[1]:
            maps, part = numbers.convolve(maps, f"{name}.0", inside, 1, act), 1
        maps = numbers.convolve(maps, f"{name}.{part}", inside, kernel, act, stride=stride, groups=inside)
        if squeezed:
            part += 1
            maps = numbers.squeeze(maps, f"{name}.{part}.conc_se_layers.0", wide(inside // 4, 1))
        maps = numbers.convolve(maps, f"{name}.{part + 1}", after, 1, lambda same: same)
        maps = maps + before if stride == 1 and before.shape == maps.shape else maps
    maps = numbers.convolve(maps, "features.16", 6 * maps.shape[1], 1, functional.hardswish)
    hidden = functional.hardswish(numbers.connect(maps.mean((2, 3)), "classifier.2", wide(1280, width)))
    return numbers.connect(hidden, "classifier.5", outputs)


@pytest.mark.parametrize(("width", "shape"), [(0.4, (100, 128)), (1.0, (37, 64))])
def test_a_published_state_dict_gives_the_network(width, shape, tmp_path):
    numbers, windows = Numbers(), np.random.default_rng(1).normal(-4, 3, (2, *shape)).astype(np.float32)
    logits = answer(numbers, windows, width, 527)
    assert logits.std() > 0.1
    torch.save(numbers.state, tmp_path / "mn.pt")
    model = build(width, shape=shape).load_weights(tmp_path / "mn.pt")
    found = model.network.eval()(torch.from_numpy(windows))
    np.testing.assert_allclose(found.detach().numpy(), logits.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.answer(windows), logits.sigmoid().numpy(), atol=1e-3)
    few = build(width, outputs=3, shape=shape).load_weights(tmp_path / "mn.pt", labels=LABELS)
    np.testing.assert_allclose(few.answer(windows), logits[:, :3].sigmoid().numpy(), atol=1e-3)
    with pytest.raises(ModelError):
        build(0.5, shape=shape).load_weights(tmp_path / "mn.pt")


def test_with_its_front_end_it_answers_recordings_and_takes_a_new_answer(tmp_path):
    """As docs/models.md says, of a small network; a recording is shorter than the published 10 s."""
    model = build(0.1, shape=(1000, 128))
    model.features = MelSpectrogram.preset("efficient_at")
    model.save(tmp_path / "model")
    audio.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 22050), 22050)
    tuned = load(tmp_path / "model")
    [scores] = tuned.predict([tmp_path / "noise.wav"])
    assert (scores.labels, scores.values.shape) == (LABELS, (1, 527))
    before = model.weights()
    dataset = testing.make_dataset("esc10", tmp_path / "esc10", clips=20, seconds=1.0, sr=16000)
    tuned.features.extract(dataset, jobs=1)
    tuned.fine_tune(DataGenerator(dataset, tuned.features, folds=["fold1", "fold2"]), epochs=1, device="cpu")
    after = tuned.weights()
    changed = {name for name, array in before.items() if array.shape != after[name].shape or not np.array_equal(array, after[name])}
    assert changed == {"classifier.5.weight", "classifier.5.bias"}
    assert tuned.labels == dataset.labels


def test_a_width_is_positive():
    with pytest.raises(ModelError, match=r"width must be positive; got 0\.0"):
        build(0.0)
