"""Published networks: their sizes, the names of their weights, and what they compute, against NumPy written from the descriptions."""

from math import prod

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from dcasekit.errors import ModelError
from dcasekit.models import CRNN2018, CRNN2023, CRNN2023A, CPMobile, DcaseNet, SceneCNN
from dcasekit.models._gru import ResetBeforeGRU
from dcasekit.models._layers import mean_answer

pytestmark = pytest.mark.usefixtures("one_thread")

FLAVOURS = ["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"]
VERSIONS = ["v1", "v2", "v3"]
HEADS = {"classification": 10, "tagging": 80, "detection": 14}


def labels(number):
    return tuple(f"label {index}" for index in range(number))


def windows(*shape):
    return np.random.default_rng(1).normal(size=shape)


def shaken(network):
    """Draw every weight anew, such that no signal dies or explodes, and compute in float64; give the weights as arrays."""
    rng = np.random.default_rng(0)
    network.double().eval()
    for tensor in network.parameters():
        fan = prod(tensor.shape[1:]) if tensor.ndim > 1 else 4
        tensor.data = torch.from_numpy(rng.normal(0, 1.5 / np.sqrt(fan), tuple(tensor.shape)))
    for name, tensor in network.named_buffers():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, tensor.shape) if name.endswith("var") else rng.normal(size=tensor.shape)))
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def outputs(network, x, *task):
    with torch.inference_mode():
        return network(torch.from_numpy(x), *task).numpy()


def trained_and_kept(network):
    """Count the numbers that are trained, and those with the statistics of batch normalisation."""
    trained = sum(tensor.numel() for tensor in network.parameters())
    return trained, trained + sum(tensor.numel() for tensor in network.buffers() if tensor.is_floating_point())


# ---- the layers in NumPy, for one window; maps are (channels, first axis, second axis)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def relu(x):
    return np.maximum(x, 0)


def convolve(maps, weights, name):
    """Cross-correlate; maps keep their size."""
    kernels = weights[f"{name}.weight"]
    padded = np.pad(maps, [(0, 0), *((size // 2, size // 2) for size in kernels.shape[2:])])
    found = np.einsum("cabij,ocij->oab", sliding_window_view(padded, kernels.shape[2:], axis=(1, 2)), kernels, optimize=True)
    return found + weights.get(f"{name}.bias", np.zeros(len(found)))[:, None, None]


def normalise(maps, weights, name, eps):
    mean, variance, scale, shift = (weights[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias"))
    return (maps - mean) / np.sqrt(variance + eps) * scale + shift


def pool(maps, size, how):
    """Join blocks; what fills no block is left out."""
    channels, first, second = maps.shape
    first, second = first // size[0], second // size[1]
    return how(maps[:, : first * size[0], : second * size[1]].reshape(channels, first, size[0], second, size[1]), axis=(2, 4))


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def gru(x, flavour, inputs, states, *, backwards):
    """Read (frames, inputs) in one direction; `inputs` and `states` are what is done to them: (weight, bias) for z, r and c."""
    activation = hard_sigmoid if flavour.startswith("hard") else sigmoid
    (wz, bz), (wr, br), (wc, bc) = inputs
    (uz, dz), (ur, dr), (uc, dc) = states
    state, found = np.zeros(len(uz)), []
    for now in x[::-1] if backwards else x:
        z = activation(wz @ now + bz + uz @ state + dz)
        r = activation(wr @ now + br + ur @ state + dr)
        recurrent = r * (uc @ state + dc) if flavour.endswith("after") else uc @ (r * state) + dc
        state = z * state + (1 - z) * np.tanh(wc @ now + bc + recurrent)
        found.append(state)
    return np.array(found[::-1] if backwards else found)


def gru_of_torch(x, weights, name):
    """Both directions; PyTorch has the gates in the order r, z, c."""
    found = []
    for suffix in ("", "_reverse"):
        wr, wz, wc = np.split(weights[f"{name}.weight_ih_l0{suffix}"], 3)
        br, bz, bc = np.split(weights[f"{name}.bias_ih_l0{suffix}"], 3)
        ur, uz, uc = np.split(weights[f"{name}.weight_hh_l0{suffix}"], 3)
        dr, dz, dc = np.split(weights[f"{name}.bias_hh_l0{suffix}"], 3)
        inputs, states = ((wz, bz), (wr, br), (wc, bc)), ((uz, dz), (ur, dr), (uc, dc))
        found.append(gru(x, "sigmoid_after", inputs, states, backwards=suffix == "_reverse"))
    return np.concatenate(found, axis=1)


def gru_of_keras(x, flavour, weight_ih, weight_hh, bias):
    """Both directions; the gates are in the order z, r, c, and there is one bias."""
    found = []
    for direction, biases in enumerate(np.split(bias, 2)):
        inputs = list(zip(np.split(weight_ih[direction], 3), np.split(biases, 3), strict=True))
        states = [(weight, 0) for weight in np.split(weight_hh[direction], 3)]
        found.append(gru(x, flavour, inputs, states, backwards=direction == 1))
    return np.concatenate(found, axis=1)


# ---- sizes, names, shapes


@pytest.mark.parametrize("task", ["tagging", "detection"])
@pytest.mark.parametrize(("flavour", "kept"), [(FLAVOURS[0], 126_090), (FLAVOURS[1], 126_090), (FLAVOURS[2], 126_474)])
def test_crnn2018_has_the_published_size(flavour, kept, task):
    model = CRNN2018(gru=flavour).build((500, 64), labels(10), task=task)
    trained = kept - 2 * 3 * 64  # the statistics of batch normalisation are kept, not trained
    assert trained_and_kept(model.network) == (trained, kept)


def test_crnn2018_answers_clips_in_pass_1_and_frames_in_pass_2():
    x = windows(1, 500, 64).astype(np.float32)
    for task, shape in (("tagging", (1, 10)), ("classification", (1, 10)), ("detection", (1, 500, 10))):
        model = CRNN2018().build((500, 64), labels(10), task=task)
        assert model.answer(x).shape == shape
    assert model.answer(x[:, :7]).shape == (1, 7, 10)


def test_crnn2018_costs_what_its_layers_cost():
    per_frame = 64 * 64 * 9 + (16 + 4) * 64 * 64 * 9  # convolutions
    per_frame += 2 * 3 * 64 * (64 + 64) + 128 * 10  # recurrence, dense
    for flavour in FLAVOURS:
        assert CRNN2018(gru=flavour).build((50, 64), labels(10)).cost()["macs"] == 50 * per_frame


def test_crnn2023_has_the_published_size_and_names():
    model = CRNN2023().build((200, 64), labels(17), task="detection")
    assert model.cost()["parameters"] == 380_113
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    recurrent = [f"{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    parts = {"conv": ("weight", "bias"), "batch_norm": norm}
    expected = {f"{kind}{number}.{part}" for kind in parts for part in parts[kind] for number in (1, 2, 3)}
    expected |= {f"gru1.{part}{suffix}" for part in recurrent for suffix in ("", "_reverse")}
    expected |= {f"linear{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
    assert set(model.network.state_dict()) == expected
    assert model.answer(windows(1, 200, 64)).shape == (1, 200, 17)
    assert model.answer(windows(2, 9, 64)).shape == (2, 9, 17)


def test_multiply_accumulates_of_crnn2023_by_our_counting_and_by_its_authors():
    """They count a layer's parameters, biases too, once per output, those of the last layers and of normalisation once in all."""
    model = CRNN2023().build((200, 64), labels(17), task="detection")
    size = {name: sum(p.numel() for p in layer.parameters()) for name, layer in model.network.named_children()}
    theirs = 200 * (64 * size["conv1"] + 12 * size["conv2"] + 6 * size["conv3"] + size["gru1"])
    theirs += sum(number for name, number in size.items() if name.startswith(("batch_norm", "linear")))
    assert round(theirs / 1e6, 3) == 563.741
    ours = 200 * (64 * 128 * 9 + (12 + 6) * 128 * 128 * 9 + 2 * 3 * 32 * (384 + 32) + 64 * 32 + 32 * 17)
    assert model.cost()["macs"] == ours == 562_080_000


def test_scene_cnn_has_the_published_size():
    model = SceneCNN().build((500, 40), labels(10))
    assert trained_and_kept(model.network) == (105_034, 105_290)
    assert model.network.convolutions(torch.zeros(1, 1, 40, 500)).shape == (1, 64, 10, 62)
    for task in HEADS:
        assert SceneCNN().build((500, 40), labels(10), task=task).answer(windows(2, 500, 40)).shape == (2, 10)
    assert model.answer(windows(1, 8, 4)).shape == (1, 10)


@pytest.mark.parametrize(("version", "size"), [("v1", 9_102_632), ("v2", 9_330_856), ("v3", 13_882_920)])
def test_dcase_net_has_the_published_size(version, size):
    assert trained_and_kept(DcaseNet(version=version).network_with(HEADS))[0] == size


def test_dcase_net_v3_has_the_published_layers_and_names():
    network = DcaseNet().network_with(HEADS)
    sizes = {name: sum(p.numel() for p in layer.parameters()) for name, layer in network.named_children()}
    assert sizes == {
        **{"conv_block1": 37_696, "conv_block2": 221_696, "conv_block3": 885_760, "conv_block4_1": 1_180_672, "conv_block4_2": 1_180_672},
        **{"gru_1": 493_056, "gru_2": 493_056, "event_fc": 3_598, "layer_TAG": 1_656_912},
        **{"layer_ASC": 7_679_232, "code_ASC": 49_280, "fc_ASC": 1_290},
    }
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = set()
    for block in [f"conv_block{number}" for number in ("1", "2", "3", "4_1", "4_2")] + [f"layer_ASC.{number}" for number in range(3)]:
        expected |= {f"{block}.conv{n}.weight" for n in (1, 2)} | {f"{block}.bn{n}.{part}" for n in (1, 2) for part in norm}
    expected |= {f"layer_ASC.{block}.se.fc.{layer}.weight" for block in range(3) for layer in (0, 2)}
    expected |= {"layer_ASC.0.downsample.0.weight", *(f"layer_ASC.0.downsample.1.{part}" for part in norm)}
    for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        expected |= {f"gru_{number}.{part}{suffix}" for number in (1, 2) for suffix in ("", "_reverse")}
    for layer in ("event_fc", "code_ASC", "fc_ASC", "layer_TAG.0", "layer_TAG.3", "layer_TAG.6"):
        expected |= {f"{layer}.weight", f"{layer}.bias"}
    assert set(network.state_dict()) == expected
    assert len(expected) == 136


@pytest.mark.parametrize(("task", "shape"), [("tagging", (1, 3)), ("detection", (1, 15, 3))])
def test_dcase_net_doubles_windows_that_are_too_short_for_a_step(task, shape):
    model = DcaseNet(filters=4).build((40, 16), labels(3), task=task)
    short = np.random.default_rng(0).normal(size=(1, 15, 16)).astype(np.float32)
    answers = model.answer(short)
    assert answers.shape == shape
    longer = model.answer(np.tile(short, (1, 4, 1)))  # 60 frames, the first of 15 times a power of 2 that are 40 or more
    np.testing.assert_array_equal(answers, longer if task == "tagging" else longer[:, :15])


@pytest.mark.parametrize("version", VERSIONS)
def test_dcase_net_has_only_the_layers_of_its_task_and_shares_their_weights(version):
    model = DcaseNet(version=version, filters=4)
    joint = model.network_with(HEADS)
    shaken(joint)
    used = set()
    for task, number in HEADS.items():
        model.build((90, 37), labels(number), task=task)
        weights = {name: joint.state_dict()[name].numpy() for name in model.weights()}
        model.set_weights(weights)
        used |= set(weights)
        x = windows(2, 90, 37).astype(np.float32)
        np.testing.assert_allclose(outputs(model.network.eval(), x), outputs(joint, x.astype(np.float64), task), rtol=1e-3, atol=1e-4)
    assert used == set(joint.state_dict())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("frames", "published"), [(40, 8), (251, 48), (1500, 296), (3000, 600)])
def test_dcase_net_answers_frames_and_with_them_what_was_published(version, frames, published):
    network = DcaseNet(version=version, filters=4).network_for(frames, 16, 5, "detection")
    shaken(network)
    answers = outputs(network, windows(1, frames, 16))
    assert answers.shape == (1, frames, 5)
    steps = answers[:, : frames // 40 * 40 : 5]
    assert steps.shape == (1, published, 5)
    blocks = steps.reshape(-1, 8, 5)  # one step of the sequence, eight times
    np.testing.assert_array_equal(blocks, np.repeat(blocks[:, :1], 8, axis=1))
    assert len(np.unique(blocks[:, 0], axis=0)) == published // 8
    np.testing.assert_array_equal(answers[0, frames // 40 * 40 :], np.repeat(answers[:, frames // 40 * 40 - 1], frames % 40, axis=0))


# ---- what they compute


@pytest.mark.parametrize("flavour", FLAVOURS[:2])
def test_the_recurrence_that_resets_before(flavour):
    layer = ResetBeforeGRU(5, 4, hard_sigmoid=flavour.startswith("hard"))
    weights = shaken(layer)
    layer.weight_hh.data *= 3  # far into the bends of the gates
    x = windows(3, 20, 5)
    expected = [gru_of_keras(window, flavour, *(weights[name] for name in ("weight_ih", "weight_hh", "bias"))) for window in x]
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-12)


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_crnn2018_forward(flavour, task):
    settings = {"filters": (3, 4, 5), "pool_size": (4, 2, 2), "units": 6}
    network = CRNN2018(gru=flavour, **settings).build((11, 36), labels(4), task=task).network
    weights = shaken(network)
    x = windows(2, 11, 36)
    expected = []
    for window in x:
        maps = window[None]
        for first, size in zip((0, 5, 10), settings["pool_size"], strict=True):
            maps = normalise(convolve(maps, weights, f"convolutions.{first}"), weights, f"convolutions.{first + 1}", 1e-3)
            maps = pool(relu(maps), (1, size), np.max)
        sequence = maps.transpose(1, 2, 0).reshape(11, -1)  # as Keras flattens: the channels of the first band, of the second ...
        if flavour == "sigmoid_after":
            sequence = gru_of_torch(sequence, weights, "gru.layer")
        else:
            sequence = gru_of_keras(sequence, flavour, *(weights[f"gru.{name}"] for name in ("weight_ih", "weight_hh", "bias")))
        expected.append(dense(sequence, weights, "out"))
    found = outputs(network, x)
    if task == "detection":
        np.testing.assert_allclose(found, expected, atol=1e-10)
    elif task == "tagging":
        np.testing.assert_allclose(sigmoid(found), sigmoid(np.array(expected)).mean(1), atol=1e-10)
    else:
        powers = np.exp(expected)
        np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(1, keepdims=True), (powers / powers.sum(2, keepdims=True)).mean(1))


@pytest.mark.parametrize("task", ["detection", "tagging"])
def test_crnn2023_forward(task):
    network = CRNN2023(filters=(3, 4, 5), gru_units=6, dense_units=7).build((11, 43), labels(4), task=task).network
    weights = shaken(network)
    x = windows(2, 11, 43)
    expected = []
    for window in x:
        maps = window[None]
        for number, size in ((1, 5), (2, 2), (3, 2)):
            maps = normalise(convolve(maps, weights, f"conv{number}"), weights, f"batch_norm{number}", 1e-5)
            maps = pool(relu(maps), (1, size), np.max)
        sequence = maps.transpose(1, 0, 2).reshape(11, -1)  # as published: the bands of the first channel, of the second ...
        expected.append(dense(dense(gru_of_torch(sequence, weights, "gru1"), weights, "linear1"), weights, "linear2"))
    if task == "detection":
        np.testing.assert_allclose(outputs(network, x), expected, atol=1e-10)
    else:
        np.testing.assert_allclose(sigmoid(outputs(network, x)), sigmoid(np.array(expected)).mean(1), atol=1e-10)


def test_scene_cnn_forward():
    network = SceneCNN(filters=(3, 4), filter_size=(3, 5)).build((22, 9), labels(4)).network
    weights = shaken(network)
    x = windows(2, 22, 9)
    expected = []
    for window in x:
        maps = window.T[None]  # mel bands first
        for first, size in ((0, (2, 4)), (5, (2, 2))):
            maps = normalise(convolve(maps, weights, f"convolutions.{first}"), weights, f"convolutions.{first + 1}", 1e-3)
            maps = pool(relu(maps), size, np.max)
        expected.append(dense(maps.max(axis=(1, 2)), weights, "out"))
    np.testing.assert_allclose(outputs(network, x), expected, atol=1e-10)


def block(maps, weights, name, size=(2, 2)):
    for number in (1, 2):
        maps = relu(normalise(convolve(maps, weights, f"{name}.conv{number}"), weights, f"{name}.bn{number}", 1e-5))
    return pool(maps, size, np.mean)


def residual(maps, weights, name, stride):
    first = convolve(maps, weights, f"{name}.conv1")[:, :: stride[0], :: stride[1]]
    found = normalise(
        convolve(relu(normalise(first, weights, f"{name}.bn1", 1e-5)), weights, f"{name}.conv2"), weights, f"{name}.bn2", 1e-5
    )
    scale = sigmoid(dense(relu(dense(found.mean(axis=(1, 2)), weights, f"{name}.se.fc.0")), weights, f"{name}.se.fc.2"))
    if f"{name}.downsample.0.weight" in weights:
        maps = convolve(maps, weights, f"{name}.downsample.0")[:, :: stride[0], :: stride[1]]
        maps = normalise(maps, weights, f"{name}.downsample.1", 1e-5)
    return relu(found * scale[:, None, None] + maps)


def dcase_net(window, weights, version):
    """(frames, bands) -> logits of scene and tags, and of events per step of 40 frames."""
    maps = window.T[None]
    for number in (1, 2, 3):
        maps = block(maps, weights, f"conv_block{number}")
    if version == "v3":
        information, task = (block(maps, weights, f"conv_block4_{number}", (2, 5)) for number in (1, 2))
        sequence = np.concatenate([information, task]).mean(axis=1).T
        events = gru_of_torch(sequence, weights, "gru_2")
        tags = np.concatenate([gru_of_torch(sequence, weights, "gru_1"), events], axis=1)
        scene, blocks, stride = task, 3, (2, 2)
    else:
        tags = events = gru_of_torch(block(maps, weights, "conv_block4", (2, 5)).mean(axis=1).T, weights, "gru")
        scene, blocks, stride = (maps, 1, (2, 2)) if version == "v2" else (events.T[:, :, None], 3, (2, 1))
    for number in range(blocks):
        scene = residual(scene, weights, f"layer_ASC.{number}", (1, 1) if number else stride)
    scene = dense(dense(scene.mean(axis=(1, 2)), weights, "code_ASC"), weights, "fc_ASC")
    tags = relu(dense(relu(dense(tags.mean(axis=0), weights, "layer_TAG.0")), weights, "layer_TAG.3"))
    return {"classification": scene, "tagging": dense(tags, weights, "layer_TAG.6"), "detection": dense(events, weights, "event_fc")}


@pytest.mark.parametrize("version", VERSIONS)
def test_dcase_net_forward(version):
    network = DcaseNet(version=version, filters=8).network_with({"classification": 3, "tagging": 4, "detection": 5})
    weights = shaken(network)
    for name in [name for name in weights if name.startswith("layer_ASC") and "conv" in name and weights[name].ndim == 3]:
        weights[name] = weights[name][..., None]  # version 1 convolves over time alone
    if version == "v1":
        weights["layer_ASC.0.downsample.0.weight"] = weights["layer_ASC.0.downsample.0.weight"][..., None]
    x = windows(2, 171, 35)
    expected = [dcase_net(window, weights, version) for window in x]
    for task in HEADS:
        found = outputs(network, x, task)
        found = found[:, :160:40] if task == "detection" else found
        wanted = np.array([answer[task] for answer in expected])
        assert wanted.std(axis=0).min() > 1e-6  # the windows differ by far more than the tolerance
        np.testing.assert_allclose(found, wanted, atol=1e-10)


@pytest.mark.parametrize("kind", [CRNN2018, CRNN2023, SceneCNN, DcaseNet])
def test_answers_in_single_precision_are_those_in_double(kind):
    model = kind(filters=8) if kind is DcaseNet else kind()
    model.build((60, 64), labels(4), task="tagging")
    x = windows(2, 60, 64)
    single = model.answer(x)
    double = sigmoid(outputs(model.network.double(), x))
    np.testing.assert_allclose(single, double, atol=1e-5)


def test_the_mean_of_answers_is_exact_where_they_are_certain():
    logits = torch.tensor([[[-200.0], [-300.0]], [[200.0], [300.0]], [[-200.0], [200.0]], [[0.0], [0.0]], [[1.0], [-2.0]]])
    half = np.log(2)  # one of two frames: the odds are halved, or doubled
    middle = (sigmoid(1.0) + sigmoid(-2.0)) / 2
    expected = [-200 - half, 200 + half, 0.0, 0.0, np.log(middle / (1 - middle))]
    np.testing.assert_allclose(mean_answer(logits, "tagging")[:, 0], expected, atol=1e-5)
    logits = logits.clone().requires_grad_()
    mean_answer(logits, "tagging").sum().backward()
    assert logits.grad.isfinite().all()


# ---- training


def test_every_weight_takes_part():
    networks = [(CRNN2018(gru=flavour).network_for(30, 64, 3, task), (30, 64), ()) for flavour in FLAVOURS for task in HEADS]
    networks += [(CRNN2023().network_for(30, 40, 3, task), (30, 40), ()) for task in HEADS]
    networks += [(SceneCNN().network_for(30, 40, 3, "classification"), (30, 40), ())]
    for version in VERSIONS:
        networks += [(DcaseNet(version=version, filters=8).network_for(80, 32, 3, task), (80, 32), ()) for task in HEADS]
        networks += [(DcaseNet(version=version, filters=8).network_with(HEADS), (80, 32), HEADS)]
    for network, shape, tasks in networks:
        x = torch.from_numpy(windows(4, *shape)).float()
        parts = [network.train()(x, task) for task in tasks] if tasks else [network.train()(x)]
        sum(part.square().mean() for part in parts).backward()
        lost = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert lost == [], type(network).__qualname__


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_dropout_before_the_recurrence_has_one_mask_for_all_frames(flavour):
    layer = CRNN2018(gru=flavour, dropout=0.5).build((5, 64), labels(2), task="detection").network.gru.train()
    with torch.no_grad():  # the state is replaced at each frame by its candidate
        for name, weight in layer.named_parameters():
            if "hh" in name:
                weight.zero_()
            elif "bias" in name:
                order = (1, 0, 2) if flavour == "sigmoid_after" else (0, 1, 2)
                weight.view(-1, 3, 64)[:, order.index(0)] = -100.0
    answers = layer(torch.ones(1, 1, 64).expand(4, 9, 64)).detach()
    torch.testing.assert_close(answers, answers[:, :1].expand_as(answers))
    firsts = answers[:, 0]
    assert len(firsts.unique(dim=0)) == 4  # each window has its own
    still = layer.eval()(torch.ones(4, 9, 64))
    assert not torch.allclose(still, answers, atol=0.01)


def test_keras_gates_have_masks_of_their_own():
    """With inputs and weights of one, a gate's product counts the inputs that are left."""
    layer = ResetBeforeGRU(1000, 1, hard_sigmoid=True, dropout=0.5)
    nn.init.constant_(layer.weight_ih, 0.001)
    torch.manual_seed(0)
    counts = layer._project(torch.ones(1, 1, 1000), torch.ones(3)).flatten()
    assert len(counts) == 6
    assert len(counts.detach().unique()) > 3
    assert counts.mean().item() == pytest.approx(1.0, abs=0.1)  # what is left is scaled up


def test_the_recurrence_that_resets_before_works_in_mixed_precision():
    x, y = windows(8, 20, 64), np.eye(2)[np.arange(8) % 2]
    model = CRNN2018(filters=(4, 4, 4), units=4)
    history = model.train((x, y), epochs=2, batch_size=4, device="cpu", precision="bfloat16")
    assert all(np.isfinite(record["loss"]) for record in history)


def test_crnn2018_starts_as_in_keras():
    for flavour in FLAVOURS:
        weights = CRNN2018(gru=flavour).build((500, 64), labels(10)).weights()
        kernels = {name: array for name, array in weights.items() if "weight_ih" in name}
        limit = np.sqrt(6 / (64 + 192))
        for array in kernels.values():
            assert 0.95 * limit < np.abs(array).max() <= limit
        for array in (array for name, array in weights.items() if "weight_hh" in name):
            for matrix in array.reshape(-1, 192, 64):
                np.testing.assert_allclose(matrix.T @ matrix, np.eye(64), atol=1e-5)
        for name, array in weights.items():
            if "bias" in name:
                np.testing.assert_array_equal(array, 0)


def test_dcase_net_starts_as_published():
    weights = {name: tensor.numpy() for name, tensor in DcaseNet(filters=32).network_with(HEADS).state_dict().items()}

    def bounded(array, bound):
        return 0.98 * bound < np.abs(array).max() <= bound and array.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)

    assert bounded(weights["conv_block3.conv2.weight"], np.sqrt(6 / (128 * 9)))
    assert bounded(weights["event_fc.weight"], np.sqrt(6 / 128))
    assert not weights["event_fc.bias"].any()
    assert np.std(weights["conv_block3.bn1.weight"]) == pytest.approx(0.02, rel=0.2)
    for name in ("gru_1", "gru_2"):
        assert bounded(weights[f"{name}.weight_ih_l0"], np.sqrt(3 / 256))
        assert bounded(weights[f"{name}.weight_hh_l0"][:128], np.sqrt(3 / 64))
        candidate = weights[f"{name}.weight_hh_l0"][128:]
        np.testing.assert_allclose(candidate.T @ candidate, np.eye(64), atol=1e-5)
        assert not weights[f"{name}.bias_hh_l0"].any()
        assert bounded(weights[f"{name}.weight_hh_l0_reverse"], 1 / 8)  # PyTorch's start: the publication leaves this direction out
        assert weights[f"{name}.bias_hh_l0_reverse"].all()
    assert weights["layer_TAG.0.bias"].all()


# ---- a network without output activation


def soft(frames=12):
    return windows(6, frames, 20).astype(np.float32), np.random.default_rng(2).uniform(size=(6, frames, 3)).astype(np.float32)


def test_crnn2023_learns_soft_labels_by_the_squared_error_of_what_it_gives():
    x, y = soft()
    model = CRNN2023(filters=(4, 4, 4), dropout=0.0)
    with torch.no_grad():
        network = model.build((12, 20), labels(3), task="detection").network.train()
        expected = (network(torch.from_numpy(x)) - torch.from_numpy(y)).square().mean().item()
    hard = np.round(y)
    for loss in (None, "mse"):
        history = model.train(
            *(arrays(x, y), arrays(x, hard)), epochs=8, batch_size=6, learning_rate=0.02, loss=loss, monitor="loss", device="cpu"
        )
        assert history[0]["loss"] == pytest.approx(expected, rel=1e-6)
        assert history[-1]["loss"] < 0.8 * expected
        assert min(record["val_loss"] for record in history) == pytest.approx(np.square(model.answer(x) - hard).mean(), rel=1e-5)


def arrays(x, y):
    from dcasekit.generator import Arrays

    return Arrays(x, y, labels=labels(3), task="detection")


def test_answers_of_a_network_without_activation_are_clipped():
    x, _ = soft()
    model = CRNN2023(filters=(4, 4, 4)).build((12, 20), labels(3), task="detection")
    with torch.no_grad():
        model.network.linear2.weight *= 5
        raw = model.network.eval()(torch.from_numpy(x)).numpy()
    assert (raw < 0).any()
    assert ((raw > 0.1) & (raw < 0.9)).any()
    model.network.linear2.bias.data += 0.5
    np.testing.assert_allclose(model.answer(x), np.clip(raw + 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy"])
def test_a_network_without_activation_refuses_losses_of_logits(loss):
    with pytest.raises(ModelError, match="CRNN2023 for detection has no activation; it learns by loss='mse'"):
        CRNN2023(filters=(4, 4, 4)).train(arrays(*soft()), epochs=1, loss=loss, device="cpu")


# ---- settings


@pytest.mark.parametrize(
    ("model", "shape", "says"),
    [
        (CRNN2018(gru="hard"), (500, 64), "gru must be hard_sigmoid_before, sigmoid_before or sigmoid_after; got 'hard'"),
        (CRNN2018(), (500, 63), "too few dims for pools .*; use more bands, or smaller pools"),
        (CRNN2018(pool_size=(4, 4)), (500, 64), "cannot be built with the settings"),
        (CRNN2023(), (200, 19), "too few dims for pools .*; use more bands, or smaller pools"),
        (CRNN2023(pool_size=(4, 4)), (200, 64), "cannot be built with the settings"),
        (SceneCNN(), (7, 40), "too small for pools .*; use a longer sequence_time"),
        (SceneCNN(), (500, 3), "too small for pools .*; use a longer sequence_time"),
        (DcaseNet(version="v4"), (251, 128), "version must be one of v1, v2, v3; got 'v4'"),
        (DcaseNet(), (39, 128), "windows of 40 frames and 16 dims or more; got 39 and 128: use a longer sequence_time"),
        (DcaseNet(), (251, 15), "windows of 40 frames and 16 dims or more; got 251 and 15"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(model, shape, says):
    with pytest.raises(ModelError, match=says):
        model.build(shape, labels(3))


def test_cp_mobile_has_the_published_size():
    model = CPMobile().build((65, 256), tuple("abcdefghij"))
    norms = sum(2 * module.num_features for module in model.network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert model.cost() == {"parameters": 61_148, "macs": 29_416_448}
    assert 29_416_448 + norms == 29_419_156, "the published count adds the parameters of the normalisation"
    shapes = {name: shape for name, shape in model.layers().items() if name.startswith("convolutions.") and name.count(".") == 1}
    assert shapes == {
        "convolutions.stem": (32, 17, 64),
        "convolutions.block1": (32, 17, 64),
        "convolutions.block2": (32, 17, 64),
        "convolutions.block3": (32, 9, 64),
        "convolutions.block4": (56, 9, 32),
        "convolutions.block5": (56, 9, 32),
        "convolutions.block6": (104, 9, 32),
    }
    inside = [model.weights()[f"convolutions.block{number}.body.0.weight"].shape[0] for number in range(1, 7)]
    assert inside == [64, 64, 64, 64, 120, 120]
    with pytest.raises(ModelError, match="base_channels must be a multiple of 8; got 12"):
        CPMobile(base_channels=12).build((65, 256), tuple("ab"))


def test_crnn2023a_has_the_published_layers():
    model = CRNN2023A().build((626, 128), tuple("abcdefghij"), task="tagging")
    shapes = {name.removeprefix("convolutions."): shape for name, shape in model.layers().items()}
    sizes = {name: sum(tensor.numel() for tensor in module.parameters()) for name, module in model.network.named_modules()}
    parameters = [(160, 32, 272), (4_640, 64, 1_056), (18_496, 128, 4_160), (73_856, 256, 16_512), *[(147_584, 256, 16_512)] * 3]
    out = [(16, 313, 64), (32, 156, 32), (64, 156, 16), (128, 156, 8), (128, 156, 4), (128, 156, 2), (128, 156, 1)]
    for number, (expected, shape) in enumerate(zip(parameters, out, strict=True)):
        block = f"convolutions.{number}"
        assert tuple(sizes[f"{block}.{part}"] for part in ("convolution", "norm", "gate")) == expected
        assert shapes[str(number)] == shape
    assert (sizes["gru"], sizes["out"], sizes["attention"], shapes["gru"], shapes["out"]) == (494_592, 2_570, 2_570, (156, 256), (156, 10))
    norms = [module for module in model.network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.99)}
    assert [module.p for module in model.network.modules() if isinstance(module, torch.nn.Dropout)] == [0.5] * 8
    cost = model.cost()
    assert cost == {"parameters": 1_112_420, "macs": 917_553_152}
    positions = sum(np.prod(shape) for name, shape in shapes.items() if name.endswith("norm"))
    pooled, one_by_one = sum(np.prod(shape) for shape in out), 13 * 128 * 156 * 4  # of the GRUs: layers and directions
    assert (cost["macs"] + 2 * positions + 2 * positions + pooled + one_by_one) / 1e6 == pytest.approx(930.9, abs=0.05)


def test_crnn2023a_of_2024_has_the_published_size():
    """With BEATs' embedding, 27 labels in two groups and 192 units."""
    model = CRNN2023A(gru_units=192, embedding=768, groups=(10, 17)).build((40, 128 + 768), tuple(map(str, range(27))), task="detection")
    assert model.cost()["parameters"] == 1_785_094


def small_crnn2023a(task="detection", **settings):
    model = CRNN2023A(filters=(4,) * 7, gru_units=3, **settings)
    return model.build((32, 128), ("a", "b", "c"), task=task, seed=1)


def magnitudes(*shape):
    return np.random.default_rng(0).gamma(1.0, 2.0, shape).astype(np.float32)


def test_crnn2023a_pools_by_attention_over_labels():
    model, x = small_crnn2023a(), magnitudes(2, 32, 128)
    network = model.network.eval()
    with torch.inference_mode():
        frames, clips = network.answer_both(torch.from_numpy(x))
        steps = network._read(torch.from_numpy(x))
        attention = network.attention(steps).softmax(-1).clamp(1e-7, 1)
    answers = frames.sigmoid()
    torch.testing.assert_close(clips.sigmoid(), (answers * attention).sum(1) / attention.sum(1))
    np.testing.assert_allclose(model.answer(x), answers, rtol=1e-5)
    for task in ("tagging", "classification"):
        twin = small_crnn2023a(task)
        twin.set_weights(model.weights())
        found = torch.from_numpy(twin.answer(x))
        if task == "tagging":
            torch.testing.assert_close(found, clips.sigmoid())
        else:
            assert found.sum(-1) == pytest.approx(1, abs=1e-5)


def test_crnn2023a_pools_answers_of_any_size_exactly():
    network = small_crnn2023a().network
    network.out.weight.data.zero_()
    network.out.bias.data[:] = torch.tensor([100.0, -100.0, 0.0])
    _, clips = network.eval().answer_both(torch.from_numpy(magnitudes(1, 32, 128)))
    torch.testing.assert_close(clips[0], torch.tensor([100.0, -100.0, 0.0]), atol=1e-3, rtol=1e-4)


def test_crnn2023a_shares_attention_out_within_a_data_set():
    """What one group's labels get does not depend on the other's."""
    model = small_crnn2023a(groups=(1, 2))
    network, x = model.network.eval(), torch.from_numpy(magnitudes(2, 32, 128))
    before = network.answer_both(x)[1].detach()
    network.attention.bias.data[0] += 5
    torch.testing.assert_close(network.answer_both(x)[1], before)
    network.attention.bias.data[1] += 5
    changed = (network.answer_both(x)[1] - before).abs().amax(0) > 1e-6
    assert changed.tolist() == [False, True, True]
    with pytest.raises(ModelError, match="groups of 1, 1 labels are not the 3 labels"):
        small_crnn2023a(groups=(1, 1))


def test_crnn2023a_takes_the_logarithm_of_magnitudes_itself():
    """Written out; so a window's level does not matter, and features with the logarithm are taken with ``linear=False``."""
    x = magnitudes(2, 32, 128)
    x[0, 0, 0] = 0.0
    levels = np.clip(20 * np.log10(np.maximum(x, 1e-5)), -50, 80)
    low, high = levels.min((1, 2), keepdims=True), levels.max((1, 2), keepdims=True)
    model, plain = small_crnn2023a(), small_crnn2023a(linear=False)
    plain.set_weights(model.weights())
    np.testing.assert_allclose(model.answer(x), plain.answer(2 * (levels - low) / (high - low) - 1), atol=1e-5)
    np.testing.assert_allclose(model.answer(7 * x[1:]), model.answer(x[1:]), atol=1e-5)
    np.testing.assert_allclose(model.answer(0 * x), plain.answer(0 * x - 1), atol=1e-5)  # digital silence


def test_crnn2023a_takes_an_embedding_beside_the_bands():
    model = CRNN2023A(filters=(4,) * 7, gru_units=3, embedding=5).build((32, 133), ("a", "b"), task="detection", seed=1)
    x = np.concatenate([magnitudes(2, 32, 128), np.random.default_rng(1).standard_normal((2, 32, 5))], -1).astype(np.float32)
    other = x.copy()
    other[:, :, 128:] = -other[:, :, 128:]
    assert model.answer(x).shape == (2, 8, 2)
    assert np.abs(model.answer(x) - model.answer(other)).max() > 1e-4
    with pytest.raises(ModelError, match="embedding=200 leaves none of the 133 dims"):
        CRNN2023A(embedding=200).build((32, 133), ("a", "b"))
