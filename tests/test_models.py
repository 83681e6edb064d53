"""The networks against their published sizes and against NumPy written from the description, layer by layer."""

import inspect

import numpy as np
import pytest
import torch

from dcasekit import load
from dcasekit.core import discover
from dcasekit.errors import ModelError
from dcasekit.models import MLP, SB_CNN, CompactCNN

LABELS = tuple("abcdefghij")


pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(model):
    """All that is learned or kept, except batch normalisation's counters of batches."""
    return sum(array.size for name, array in model.weights().items() if not name.endswith("num_batches_tracked"))


def shaken(model):
    """Replace every weight by a random one, so that no zero bias or unit scale hides a mistake."""
    rng = np.random.default_rng(0)
    weights = {}
    for name, array in model.weights().items():
        drawn = rng.normal(0, 0.1, array.shape).astype(np.float32)
        weights[name] = array if array.dtype != np.float32 else np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn
    model.set_weights(weights)
    return weights


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


# ---- sizes


def test_mlp_has_the_published_number_of_parameters():
    model = MLP().build((64, 12), LABELS)
    assert model.cost()["parameters"] == numbers(model) == 10_570
    assert model.cost()["macs"] == 64 * (12 * 128 + 128 * 64 + 64 * 10)


def test_sb_cnn_has_the_published_number_of_parameters():
    model = SB_CNN().build((64, 128), LABELS)
    assert model.cost()["parameters"] == 241_674
    assert numbers(model) == 241_914


def test_sb_cnn_of_the_paper():
    model = SB_CNN(pool_size=((4, 2), (4, 2)), batch_norm=False).build((128, 128), LABELS)
    assert model.cost()["parameters"] == numbers(model) == 241_434


def test_compact_cnn_has_the_documented_number_of_parameters():
    assert CompactCNN().build((64, 40), LABELS).cost()["parameters"] == 101_242


@pytest.mark.parametrize(("pools", "shape", "used"), [(((4, 2), (4, 2)), (110, 45), (100, 44)), (((3, 4), (2, 3)), (63, 101), (58, 92))])
def test_what_no_pooling_takes_is_not_computed_in_training(pools, shape, used):
    """The same answer and the same gradient as in prediction, where layers are whole."""
    network = SB_CNN(filters=(3, 4, 5), pool_size=pools, batch_norm=False, dropout=0.0).build(shape, LABELS).network
    assert network.used == used
    x, seen, answers, gradients = torch.randn(2, *shape), [], [], []
    network.convolutions.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    for mode in (network.train, network.eval):
        mode().zero_grad()
        answers.append(network(x))
        answers[-1].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    assert seen == [used, shape]
    torch.testing.assert_close(*answers)
    torch.testing.assert_close(*gradients)
    assert SB_CNN(pool_size=pools).build(shape, LABELS).network.used == shape  # the statistics of a batch are those of whole maps


def test_multiply_accumulates_of_sb_cnn_by_hand():
    """Each output value of a 5 x 5 convolution costs 25 times the input channels; 64 x 128 -> 60 x 124 -> 30 x 62 -> ..."""
    convolutions = 60 * 124 * 24 * 25 + 26 * 58 * 48 * 24 * 25 + 2 * 25 * 48 * 48 * 25
    dense = 48 * 2 * 25 * 64 + 64 * 10
    assert SB_CNN().build((64, 128), LABELS).cost()["macs"] == convolutions + dense


# ---- forward passes


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_mlp_forward(task):
    model = MLP().build((7, 12), LABELS, task=task)
    weights = shaken(model)
    x = np.random.default_rng(1).normal(size=(3, 7, 12)).astype(np.float32)
    hidden = x.astype(np.float64)
    for layer in (0, 3):
        hidden = np.maximum(0, hidden @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"])
    logits = hidden @ weights["layers.6.weight"].T + weights["layers.6.bias"]
    # The activation comes before the mean over frames.
    expected = (softmax if task == "classification" else sigmoid)(logits).mean(axis=1)
    np.testing.assert_allclose(model.answer(x), expected, atol=1e-5)


def convolve(maps, kernels, bias):
    """(channels, time, frequency), cross-correlated without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(maps, kernels.shape[2:], axis=(1, 2))
    return np.einsum("ctfij,ocij->otf", windows, kernels, optimize=True) + bias[:, None, None]


def pool(maps, size):
    channels, time, frequency = maps.shape
    time, frequency = time // size[0], frequency // size[1]
    cut = maps[:, : time * size[0], : frequency * size[1]]
    return cut.reshape(channels, time, size[0], frequency, size[1]).max(axis=(2, 4))


def normalise(maps, weights, name):
    mean, variance, scale, shift = (weights[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias"))
    return (maps - mean) / np.sqrt(variance + 1e-3) * scale + shift


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_sb_cnn_forward(task):
    model = SB_CNN().build((64, 40), LABELS, task=task)
    weights = shaken(model)
    x = np.random.default_rng(1).normal(size=(2, 64, 40)).astype(np.float32)
    expected = []
    for window in x:
        maps = window[None].astype(np.float64)
        # The positions in the network: convolution, ReLU, pooling, normalisation; the last without pooling.
        for convolution, norm, size in ((0, 3, (2, 2)), (4, 7, (4, 2)), (8, 10, None)):
            name = f"convolutions.{convolution}"
            maps = np.maximum(0, convolve(maps, weights[f"{name}.weight"], weights[f"{name}.bias"]))
            maps = normalise(maps if size is None else pool(maps, size), weights, f"convolutions.{norm}")
        hidden = np.maximum(0, weights["dense.weight"] @ maps.transpose(1, 2, 0).reshape(-1) + weights["dense.bias"])
        expected.append(weights["out.weight"] @ hidden + weights["out.bias"])
    activation = softmax if task == "classification" else sigmoid
    np.testing.assert_allclose(model.answer(x), activation(np.array(expected)), atol=1e-4)


def test_the_l2_penalties_are_those_of_the_publications():
    mlp = MLP(l2_reg=0.5).build((4, 3), LABELS)
    weights = shaken(mlp)
    kernels = sum(float(np.square(weights[name]).sum()) for name in weights if name.endswith("weight"))
    assert mlp.network.penalty().item() == pytest.approx(0.5 * kernels, rel=1e-5)
    cnn = SB_CNN(l2_reg=0.5).build((64, 40), LABELS)
    weights = shaken(cnn)
    dense = sum(float(np.square(array).sum()) for name, array in weights.items() if name.startswith(("dense", "out")))
    assert cnn.network.penalty().item() == pytest.approx(0.5 * dense, rel=1e-5)


def test_weights_start_as_in_keras():
    weights = SB_CNN().build((64, 128), LABELS).weights()
    for name, fan in (("convolutions.4", (24 * 25, 48 * 25)), ("dense", (2400, 64)), ("out", (64, 10))):
        kernel, limit = weights[f"{name}.weight"], np.sqrt(6 / sum(fan))
        assert 0.9 * limit < np.abs(kernel).max() <= limit + 1e-6
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)
        np.testing.assert_array_equal(weights[f"{name}.bias"], 0)


# ---- limits


@pytest.mark.parametrize("shape", [(51, 128), (64, 31), (4, 4), (1, 1)])
def test_windows_that_are_too_small_are_refused_with_a_remedy(shape):
    with pytest.raises(ModelError, match=rf"windows of {shape[0]} frames and {shape[1]} dims are too small .* use a longer sequence_time"):
        SB_CNN().build(shape, LABELS)


def test_the_smallest_window_of_sb_cnn():
    assert SB_CNN().build((52, 32), LABELS).answer(np.zeros((1, 52, 32), np.float32)).shape == (1, 10)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="one dropout rate per hidden layer"):
        MLP(hidden_layers_size=(8, 8), dropout_rates=(0.5,)).build((4, 3), LABELS)
    with pytest.raises(ModelError, match="n_frames_cnn"):
        SB_CNN(n_frames_cnn=64)


def test_dropout_acts_in_training_alone():
    model = MLP().build((4, 3), LABELS)
    x = np.ones((2, 4, 3), np.float32)
    np.testing.assert_array_equal(model.answer(x), model.answer(x))
    network = model.network.train()
    torch.manual_seed(0)
    assert not torch.equal(network(torch.ones(2, 4, 3)), network(torch.ones(2, 4, 3)))


def test_many_windows_are_answered_as_few_are():
    model = MLP().build((4, 3), LABELS)
    x = np.random.default_rng(0).normal(size=(600, 4, 3)).astype(np.float32)
    whole = model.answer(x)
    np.testing.assert_allclose(whole[255:258], model.answer(x[255:258]), atol=1e-6)


@pytest.mark.parametrize("name", discover.names("models"))
def test_a_setting_that_no_model_has_is_met_with_what_was_meant(name):
    kind = discover.load("models", name)
    with pytest.raises(ModelError, match=rf"{kind.__name__}: unknown setting 'wibble'\. Its settings are"):
        kind(wibble=1)
    with pytest.raises(ModelError, match="n_classes'. The labels come from the data a model is trained on, or from build"):
        kind(n_classes=10)
    with pytest.raises(ModelError, match="The shape comes from the data"):
        kind(n_frames_cnn=64)
    with pytest.raises(ModelError, match=f"{kind.__name__} takes its settings by name"):
        kind(10)
    assert not {"args", "kwargs", "values", "settings"} & set(inspect.signature(kind).parameters)


def test_settings_that_are_numbers_of_numpy_are_saved(tmp_path):
    model = SB_CNN(filters=np.array([4, 4, 4]), n_dense=np.int64(8), dropout=np.float32(0.1), pool_size=((np.int64(2), 2), [2, 2]))
    assert model.settings["filters"] == [4, 4, 4]
    assert (model.n_dense, model.dropout, model.pool_size) == (8, 0.1, ((2, 2), [2, 2]))
    model.build((64, 64), ["a", "b"]).save(tmp_path)
    assert load(tmp_path).settings["n_dense"] == 8
