"""Weight files of other systems, written here in their published layouts, loaded, and the models compared with NumPy in Keras' own shapes.

No published file can be fetched where the tests run: the layouts are those of the code that writes or reads them.
"""

import argparse
import gzip
import io
import logging
import os
import pathlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

import dcasekit
from dcasekit.containers._keras_weights import to_keras, to_torch
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core import discover
from dcasekit.errors import ModelError
from dcasekit.models import A_CRNN, CRNN2018, CRNN2023, MLP, MST, SB_CNN, SB_CNN_SED, DcaseNet, OpenL3, SceneCNN, SMel, VGGish

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = ("cat", "dog", "hen")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
HEADS = {"classification": 3, "tagging": 4, "detection": 5}


# ---- files as they are published


def conv(*kernel):
    return {"kernel": kernel, "bias": kernel[-1:]}


dense = conv  # (in, out)


def norm(channels):
    return dict.fromkeys(NORM, (channels,))


def gru(inputs, units, *, biases=1, direction=""):
    bias = (3 * units,) if biases == 1 else (2, 3 * units)
    return {f"{direction}kernel": (inputs, 3 * units), f"{direction}recurrent_kernel": (units, 3 * units), f"{direction}bias": bias}


def both(inputs, units, **settings):
    return {**gru(inputs, units, direction="forward_", **settings), **gru(inputs, units, direction="backward_", **settings)}


def drawn(layers, seed=0):
    """Draw an array for each shape, such that no signal dies or explodes."""
    rng = np.random.default_rng(seed)

    def draw(role, shape):
        if role in ("gamma", "moving_variance"):
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(0, 1.5 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.5, shape)

    return {name: {role: draw(role, shape).astype(np.float32) for role, shape in roles.items()} for name, roles in layers.items()}


def path_of(layer, role):
    """Name a weight as Keras 2 does."""
    for direction in ("forward_", "backward_"):
        if role.startswith(direction):
            return f"{layer}/{direction}gru_1/{role.removeprefix(direction)}:0"
    return f"{layer}/{role}:0"


def write(path, layers, *, whole=False, in_parts=False):
    """Write layers as Keras 2 does: names as bytes in attributes, and beside them layers that have no weights."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        if whole:
            file.attrs["model_config"] = b"{}"
            file.create_group("optimizer_weights").create_dataset("iterations", data=3)
        named = {"input": {}, "lambda": {}, **layers, "out_activation": {}}
        names = np.array([name.encode() for name in named])
        for number, part in enumerate(np.array_split(names, 3) if in_parts else [names]):
            root.attrs[f"layer_names{number}" if in_parts else "layer_names"] = part
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer, roles in named.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([path_of(layer, role).encode() for role in roles])
            for role, array in roles.items():
                group.create_dataset(path_of(layer, role), data=array)
    return path


def windows(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


# ---- NumPy for one window, maps (time, frequency, channels), weights in Keras' shapes


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def convolved(maps, layer, *, same=False):
    kernel = layer["kernel"]
    if same:
        maps = np.pad(maps, [*(((size - 1) // 2, size // 2) for size in kernel.shape[:2]), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[:2], axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return np.tensordot(views, kernel, axes=3) + layer["bias"]


def convolved1d(x, layer, *, stride):
    kernel, outputs = layer["kernel"], -(-len(x) // stride)
    zeros = max(0, (outputs - 1) * stride + len(kernel) - len(x))
    x = np.pad(x, [(zeros // 2, zeros - zeros // 2), (0, 0)])
    return np.stack([np.tensordot(x[i * stride : i * stride + len(kernel)], kernel, axes=2) for i in range(outputs)]) + layer["bias"]


def pooled(maps, time, frequency):
    rows, columns = maps.shape[0] // time, maps.shape[1] // frequency
    return maps[: rows * time, : columns * frequency].reshape(rows, time, columns, frequency, -1).max(axis=(1, 3))


def normed(x, layer):
    return (x - layer["moving_mean"]) / np.sqrt(layer["moving_variance"] + 1e-3) * layer["gamma"] + layer["beta"]


def linear(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def recurred(x, layer, flavour, direction=""):
    """Keras' recurrence: gates z, r, h."""
    kernel, recurrent, bias = (layer[f"{direction}{role}"] for role in ("kernel", "recurrent_kernel", "bias"))
    units = len(recurrent)
    gate = (lambda value: np.clip(0.2 * value + 0.5, 0, 1)) if flavour.startswith("hard") else sigmoid
    state, states = np.zeros(units), []
    for now in x[::-1] if direction == "backward_" else x:
        if flavour == "sigmoid_after":
            inputs, states_in = now @ kernel + bias[0], state @ recurrent + bias[1]
            z, r = (gate(inputs[i * units : (i + 1) * units] + states_in[i * units : (i + 1) * units]) for i in (0, 1))
            h = np.tanh(inputs[2 * units :] + r * states_in[2 * units :])
        else:
            inputs = now @ kernel + bias
            z, r = (gate(inputs[i * units : (i + 1) * units] + state @ recurrent[:, i * units : (i + 1) * units]) for i in (0, 1))
            h = np.tanh(inputs[2 * units :] + (r * state) @ recurrent[:, 2 * units :])
        state = z * state + (1 - z) * h
        states.append(state)
    return np.array(states[::-1] if direction == "backward_" else states)


# ---- DCASE-models: layers by name and shape, and what they compute

SB = {"conv1": conv(5, 5, 1, 4), "batchnorm1": norm(4), "conv2": conv(5, 5, 4, 5), "batchnorm2": norm(5), "conv3": conv(5, 5, 5, 6)}
SB |= {"batchnorm3": norm(6), "dense1": dense(3 * 6, 7), "out": dense(7, 3)}


def sb_cnn(window, layers):
    maps = window[..., None]
    for number, pool in ((1, (2, 2)), (2, (4, 2)), (3, (1, 1))):
        maps = normed(pooled(relu(convolved(maps, layers[f"conv{number}"])), *pool), layers[f"batchnorm{number}"])
    return softmax(linear(relu(linear(maps.reshape(-1), layers["dense1"])), layers["out"]))


def sb_cnn_sed(window, layers):
    names = iter(layers)
    maps = normed(window, layers[next(names)])[..., None]
    for pool in ((2, 2), (2, 2), (1, 1)):
        maps = pooled(relu(convolved(maps, layers[next(names)])), *pool)
        maps = normed(maps, layers[next(names)])
    hidden = maps.reshape(-1)
    for name in list(layers)[7:-1]:
        hidden = relu(linear(hidden, layers[name]))
    return sigmoid(linear(hidden, layers[next(reversed(layers))]))


def mlp(window, layers):
    hidden = window
    for number in (1, 2):
        hidden = relu(linear(hidden, layers[f"time_distributed_{number}"]))
    return softmax(linear(hidden, layers["time_distributed_3"])).mean(axis=0)


def mst(window, layers):
    maps = window.reshape(-1, 1)
    for number, stride in ((1, 8), (2, 1), (3, 1)):
        maps = normed(convolved1d(maps, layers[f"conv1d_{number}"], stride=stride), layers[f"batch_normalization_{number}"])
        maps = relu(maps) if number < 3 else np.tanh(maps)
    return maps


def smel(window, layers):
    filtered = np.stack([convolved1d(frame[:, None], layers["time_distributed_1"], stride=16) for frame in window])
    return 10 * np.log10(np.maximum(1e-10, window.shape[1] * np.square(filtered).mean(axis=1)))


def scene_cnn(window, layers):
    maps = window.T[..., None]  # (frequency, time), as published
    for number, pool in ((1, (2, 4)), (2, (2, 2))):
        maps = normed(convolved(maps, layers[f"conv2d_{number}"], same=True), layers[f"batch_normalization_{number}"])
        maps = pooled(relu(maps), *pool)
    return softmax(linear(maps.max(axis=(0, 1)), layers["dense_1"]))


SED = {"batch_normalization_5": norm(42), "conv2d_9": conv(5, 5, 1, 4), "batch_normalization_6": norm(4)}
SED |= {"conv2d_10": conv(5, 5, 4, 4), "batch_normalization_7": norm(4), "conv2d_11": conv(5, 5, 4, 4), "batch_normalization_8": norm(4)}
SED |= {"dense_4": dense(2 * 3 * 4, 6), "dense_5": dense(6, 7), "dense_6": dense(7, 3)}
SMALL_SED = SB_CNN_SED(filters=4, n_dense=(6, 7), input_norm=True)
MLPS = {f"time_distributed_{number}": dense(*sizes) for number, sizes in enumerate([(12, 5), (5, 4), (4, 3)], 1)}
MST_LAYERS = {"conv1d_1": conv(16, 1, 5), "batch_normalization_1": norm(5), "conv1d_2": conv(3, 5, 4), "batch_normalization_2": norm(4)}
MST_LAYERS |= {"conv1d_3": conv(3, 4, 3), "batch_normalization_3": norm(3)}
SCENE = {"conv2d_1": conv(5, 5, 1, 4), "batch_normalization_1": norm(4), "conv2d_2": conv(5, 5, 4, 6), "batch_normalization_2": norm(6)}
SCENE |= {"dense_1": dense(6, 3)}


@pytest.mark.parametrize(
    ("model", "shape", "task", "layers", "forward"),
    [
        (SB_CNN(filters=(4, 5, 6), n_dense=7), (53, 42), "classification", SB, sb_cnn),
        (SMALL_SED, (37, 42), "tagging", SED, sb_cnn_sed),
        (MLP(hidden_layers_size=(5, 4)), (9, 12), "classification", MLPS, mlp),
        (MST(audio_win=16, audio_hop=8, filters=(5, 4)), (6, 8), "tagging", MST_LAYERS, mst),
        (SMel(sr=2000), (4, 160), "tagging", {"time_distributed_1": conv(160, 1, 3)}, smel),
        (SceneCNN(filters=(4, 6)), (20, 12), "classification", SCENE, scene_cnn),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "settings") else None,
)
@pytest.mark.parametrize("layout", [{}, {"whole": True}, {"in_parts": True}], ids=["weights", "model", "long"])
def test_files_of_keras_answer_as_they_did(tmp_path, model, shape, task, layers, forward, layout):
    arrays, x = drawn(layers), windows(2, *shape)
    model.build(shape, LABELS, task=task, seed=5)
    before = model.answer(x)
    model.load_weights(write(tmp_path / "best_weights.hdf5", arrays, **layout))
    expected = [forward(window.astype(np.float64), arrays) for window in x]
    np.testing.assert_allclose(model.answer(x), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(before - expected).max() > 0.05


@pytest.mark.parametrize("flavour", ["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("library", ["", "keras."])
def test_recurrent_files_of_a_crnn(tmp_path, flavour, directions, library):
    biases, make = 1 + (flavour == "sigmoid_after"), gru if directions == 1 else both
    shapes = {"conv2d_1": conv(3, 3, 1, 4), "batch_normalization_1": norm(43), "conv2d_2": conv(3, 3, 4, 4)}
    shapes |= {"batch_normalization_2": norm(8), "conv2d_3": conv(3, 3, 4, 4), "batch_normalization_3": norm(4)}
    shapes |= {"bidirectional_1": make(2 * 4, 5, biases=biases), "bidirectional_2": make(5, 3, biases=biases)}
    layers = drawn(shapes | {"time_distributed_1": dense(3, 6), "time_distributed_2": dense(6, 3)})
    sizes = {"filters": 4, "rnn_units": (5, 3), "dense_units": (6,)}
    kind = discover.load("models", f"{library}a_crnn")
    model = kind(bidirectional=directions == 2, norm_axis="frequency", gru=flavour, **sizes).build((9, 43), LABELS, task="detection")
    model.load_weights(write(tmp_path / "best_weights.hdf5", layers))
    x, expected = windows(2, 9, 43), []
    for window in x.astype(np.float64):
        maps = window[..., None]
        for number, size in ((1, 5), (2, 2), (3, 2)):
            maps = convolved(maps, layers[f"conv2d_{number}"], same=True).swapaxes(1, 2)  # the published axis: frequency
            maps = pooled(relu(normed(maps, layers[f"batch_normalization_{number}"]).swapaxes(1, 2)), 1, size)
        frames = maps.reshape(len(maps), -1)
        for number in (1, 2):
            ways = ("",) if directions == 1 else ("forward_", "backward_")
            frames = np.prod([recurred(frames, layers[f"bidirectional_{number}"], flavour, way) for way in ways], axis=0)
        expected.append(sigmoid(linear(linear(frames, layers["time_distributed_1"]), layers["time_distributed_2"])))
    np.testing.assert_allclose(model.answer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("flavour", ["hard_sigmoid_before", "sigmoid_after"])
def test_recurrent_files_of_crnn2018(tmp_path, flavour):
    shapes = {"conv2d_1": conv(3, 3, 1, 4), "batch_normalization_1": norm(4)}
    shapes |= {"bidirectional_1": both(3 * 4, 5, biases=1 + (flavour == "sigmoid_after")), "time_distributed_1": dense(10, 3)}
    layers = drawn(shapes)
    model = CRNN2018(gru=flavour, filters=(4,), pool_size=(4,), units=5).build((9, 13), LABELS, task="detection")
    model.load_weights(write(tmp_path / "baseline.h5", layers))
    x, expected = windows(2, 9, 13), []
    for window in x.astype(np.float64):
        maps = normed(convolved(window[..., None], layers["conv2d_1"], same=True), layers["batch_normalization_1"])
        frames = pooled(relu(maps), 1, 4).reshape(9, -1)
        ways = [recurred(frames, layers["bidirectional_1"], flavour, way) for way in ("forward_", "backward_")]
        expected.append(sigmoid(linear(np.concatenate(ways, axis=1), layers["time_distributed_1"])))
    np.testing.assert_allclose(model.answer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, when it saves
def test_a_file_that_keras_wrote_answers_as_keras_does(tmp_path):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    layers = keras.layers
    x = inputs = keras.Input((9, 13))
    x = layers.Conv2D(4, 3, padding="same")(layers.Reshape((9, 13, 1))(x))
    x = layers.MaxPooling2D((1, 4))(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True, bias_initializer="glorot_uniform"))(layers.Reshape((9, 12))(x))
    twin = keras.Model(
        inputs, layers.TimeDistributed(layers.Dense(3, "sigmoid", bias_initializer="glorot_uniform"))(layers.Dropout(0.3)(x))
    )
    rng = np.random.default_rng(0)
    twin.layers[3].set_weights([rng.uniform(0.5, 1.5, 4) for _ in range(4)])
    twin.save(tmp_path / "twin.h5")
    model = CRNN2018(gru="sigmoid_after", filters=(4,), pool_size=(4,), units=5).build((9, 13), LABELS, task="detection")
    windows_in = windows(2, 9, 13)
    expected = twin(windows_in, training=False).detach().cpu().numpy()
    np.testing.assert_allclose(model.load_weights(tmp_path / "twin.h5").answer(windows_in), expected, rtol=1e-4, atol=1e-5)
    twin.save_weights(tmp_path / "twin.weights.h5")
    with pytest.raises(ModelError, match=r"twin.weights.h5 has no layer_names.*model.save\('name.h5'\)"):
        model.load_weights(tmp_path / "twin.weights.h5")


def test_a_model_used_as_a_layer_is_its_layers(tmp_path):
    """DCASE-models' fine_tuning: the old network is one layer, whose weights come before all its statistics, then a new dense layer."""
    arrays = drawn(SB)
    inner = [(layer, role) for layer in arrays if layer != "out" for role in arrays[layer]]
    inner.sort(key=lambda name: name[1].startswith("moving"))
    with h5py.File(tmp_path / "tuned.hdf5", "w") as file:
        file.attrs["layer_names"] = np.array([b"input", b"source_model", b"new_dense_layer"])
        file.create_group("input").attrs["weight_names"] = np.array([])
        for group, names in (("source_model", inner), ("new_dense_layer", [("out", "kernel"), ("out", "bias")])):
            made, own = file.create_group(group), {"out": "new_dense_layer"}
            made.attrs["weight_names"] = np.array([f"{own.get(layer, layer)}/{role}:0".encode() for layer, role in names])
            for layer, role in names:
                made.create_dataset(f"{own.get(layer, layer)}/{role}:0", data=arrays[layer][role])
    model = SB_CNN(filters=(4, 5, 6), n_dense=7).build((53, 42), LABELS).load_weights(tmp_path / "tuned.hdf5")
    x = windows(2, 53, 42)
    np.testing.assert_allclose(model.answer(x), [sb_cnn(window.astype(np.float64), arrays) for window in x], rtol=1e-4, atol=1e-5)


# ---- VGGish

CONVOLUTIONS = {"conv1": (1, 64), "conv2": (64, 128), "conv3/conv3_1": (128, 256), "conv3/conv3_2": (256, 256)}
CONVOLUTIONS |= {"conv4/conv4_1": (256, 512), "conv4/conv4_2": (512, 512)}
PCA = {"pca_matrix": (128, 128), "pca_means": (128, 1)}
VGGISH = {name: conv(3, 3, *sizes) for name, sizes in CONVOLUTIONS.items()}
VGGISH |= {"fc1/fc1_1": dense(512, 4096), "fc1/fc1_2": dense(4096, 4096), "fc2": dense(4096, 128), "postprocess_1": PCA}
FEATURES = dict(zip(CONVOLUTIONS, (0, 3, 6, 8, 11, 13), strict=True))


@pytest.fixture(scope="module")
def vggish_layers():
    return drawn(VGGISH)


def vggish_maps(window, layers):
    maps = window[..., None]
    for name in CONVOLUTIONS:
        maps = relu(convolved(maps, layers[name], same=True))
        if name in ("conv1", "conv2", "conv3/conv3_2", "conv4/conv4_2"):
            maps = pooled(maps, 2, 2)
    return maps


def vggish_top(window, layers):
    hidden = vggish_maps(window, layers).reshape(-1)
    for name in ("fc1/fc1_1", "fc1/fc1_2", "fc2"):
        hidden = relu(linear(hidden, layers[name]))
    return hidden


def torchvggish(layers, *, pca=False):
    """Names and axes of torchvggish's state dict."""
    names = {name: f"features.{number}" for name, number in FEATURES.items()}
    names |= {"fc1/fc1_1": "embeddings.0", "fc1/fc1_2": "embeddings.2", "fc2": "embeddings.4"}
    state = {}
    for name, published in names.items():
        kernel = torch.from_numpy(layers[name]["kernel"])
        state[f"{published}.weight"] = kernel.permute(3, 2, 0, 1).contiguous() if kernel.ndim == 4 else kernel.T.contiguous()
        state[f"{published}.bias"] = torch.from_numpy(layers[name]["bias"])
    if pca:
        state |= {f"pproc.{name}": torch.from_numpy(array) for name, array in layers["postprocess_1"].items()}
    return state


@pytest.mark.parametrize("kind", ["keras", "torch"])
def test_vggish_without_top_takes_its_part_of_the_file(tmp_path, caplog, vggish_layers, kind):
    path = tmp_path / {"keras": "VGGish.hdf5", "torch": "vggish-10086976.pth"}[kind]
    if kind == "keras":
        write(path, vggish_layers)
    else:
        torch.save(torchvggish(vggish_layers), path)
    x, model = windows(2, 16, 32), VGGish().build((16, 32), LABELS)
    head = model.weights()["out.weight"].copy()
    with caplog.at_level(logging.WARNING):
        model.load_weights(path)
    assert "holds no out.weight, out.bias: the head of this VGGish stays as it is" in caplog.text
    expected = [vggish_maps(window.astype(np.float64), vggish_layers).mean(axis=(0, 1)) for window in x]
    np.testing.assert_allclose(np.concatenate(model.embed("embedding", x)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.weights()["out.weight"], head)


@pytest.mark.parametrize("kind", ["keras", "torch", "torch and npz"])
def test_vggish_with_top_and_pca(tmp_path, caplog, vggish_layers, kind):
    pca = {"pca_eigen_vectors": vggish_layers["postprocess_1"]["pca_matrix"], "pca_means": vggish_layers["postprocess_1"]["pca_means"]}
    model = VGGish(include_top=True, compress=True).build((16, 16), LABELS)
    if kind == "keras":
        head = drawn({"new_dense_layer": dense(128, 3)})
        model.load_weights(write(tmp_path / "VGGish.hdf5", {**vggish_layers, **head}))
        np.testing.assert_array_equal(model.weights()["out.weight"].T, head["new_dense_layer"]["kernel"])
    else:
        torch.save(torchvggish(vggish_layers, pca=kind == "torch"), tmp_path / "vggish.pth")
        model.load_weights(tmp_path / "vggish.pth")
    if kind == "torch and npz":
        np.savez(tmp_path / "vggish_pca_params.npz", **pca)
        loaded = {name: array.copy() for name, array in model.load_weights(tmp_path / "vggish_pca_params.npz").weights().items()}
        for name, array in model.load_weights(tmp_path / "vggish.pth").weights().items():
            np.testing.assert_array_equal(array, loaded[name])  # in the other order, too
    assert ("the file holds no PCA" in caplog.text) == ("npz" in kind)
    x, matrix, means = windows(3, 16, 16), pca["pca_eigen_vectors"].astype(np.float64), pca["pca_means"][:, 0]
    rotated = np.array([matrix @ (vggish_top(window.astype(np.float64), vggish_layers) - means) for window in x])
    quantised = ((np.clip(rotated, -2, 2) + 2) * (255 / 4)).astype(np.uint8)
    found = np.concatenate(model.embed("embedding", x))
    assert len(np.unique(found)) > 50
    np.testing.assert_allclose(found, quantised, atol=1)  # at the border of two numbers single precision may fall to either side
    assert (found != quantised).mean() < 0.01


def test_a_pca_alone_is_of_no_use_to_a_network_without(tmp_path):
    torch.save({"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}, tmp_path / "vggish_pca_params-970ea276.pth")
    with pytest.raises(
        ModelError, match=(r"970ea276.pth does not fit this VGGish: .*pca_matrix \(128, 128\) is not a weight of the network")
    ):
        VGGish().build((16, 16), LABELS).load_weights(tmp_path / "vggish_pca_params-970ea276.pth")
    model = VGGish(include_top=True, compress=True).build((16, 16), LABELS)
    with pytest.raises(ModelError, match="holds no out.weight, out.bias, so it has no outputs that could have labels"):
        model.load_weights(tmp_path / "vggish_pca_params-970ea276.pth", labels=LABELS[::-1])


# ---- OpenL3

FILTERS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
OPEN_L3 = {"batch_normalization_1": norm(1)}
for _number, _sizes in enumerate(zip(FILTERS, FILTERS[1:], strict=False), 1):
    OPEN_L3[f"conv2d_{_number}" if _number < 8 else "audio_embedding_layer"] = conv(3, 3, *_sizes)
    if _number < 8:
        OPEN_L3[f"batch_normalization_{_number + 1}"] = norm(_sizes[1])
# Up to version 0.2 the files began with kapre's front end.
FRONT_END = {"melspectrogram_1": {"real_kernels": (16, 1, 1, 9), "imag_kernels": (16, 1, 1, 9), "freq2mel": (9, 4)}}


@pytest.mark.parametrize("version", ["v0_2_0", "v0_4_0"])
def test_open_l3_from_the_files_it_is_published_in(tmp_path, caplog, version):
    layers = drawn({**(FRONT_END if version == "v0_2_0" else {}), **OPEN_L3})
    path = write(tmp_path / "openl3_audio_mel256_music.h5", layers)
    if version == "v0_4_0":
        path = tmp_path / "openl3_audio_mel256_music-v0_4_0.h5.gz"
        path.write_bytes(gzip.compress((tmp_path / "openl3_audio_mel256_music.h5").read_bytes(), compresslevel=1))
    model, x = OpenL3().build((10, 17), LABELS), windows(1, 10, 17)
    with caplog.at_level(logging.WARNING):
        model.load_weights(path)
    assert "out.weight" in caplog.text
    maps = normed(x[0].T[..., None].astype(np.float64), layers["batch_normalization_1"])  # (frequency, time)
    for number in range(1, 8):
        maps = relu(normed(convolved(maps, layers[f"conv2d_{number}"], same=True), layers[f"batch_normalization_{number + 1}"]))
        maps = pooled(maps, 2, 2) if number in (2, 4, 6) else maps
    expected = convolved(maps, layers["audio_embedding_layer"], same=True).max(axis=(0, 1))
    np.testing.assert_allclose(model.embed("embedding", x)[0][0], expected, rtol=1e-3, atol=1e-3)


# ---- networks of PyTorch


def randomised(network):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            fan = max(tensor[0].numel(), 4)
            drawn = torch.randn(tensor.shape, generator=generator) * 1.5 / fan**0.5
            tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return network.eval()


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("wrapped", ["plain", "parallel", "checkpoint", "legacy"])
def test_dcase_net_takes_the_head_of_its_task(tmp_path, caplog, task, wrapped):
    model = DcaseNet(filters=4)
    joint = randomised(model.network_with(HEADS))
    state = joint.state_dict()
    if wrapped == "parallel":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    optimizer = torch.optim.Adam(joint.parameters()).state_dict()
    saved = {"epoch": 7, "state_dict": state, "optimizer": optimizer} if wrapped == "checkpoint" else state
    torch.save(saved, tmp_path / "best_ASC.pt", _use_new_zipfile_serialization=wrapped != "legacy")
    names = tuple("abcde"[: HEADS[task]])
    model.build((80, 32), names, task=task).load_weights(tmp_path / "best_ASC.pt")
    x = windows(2, 80, 32)
    with torch.inference_mode():
        logits = joint(torch.from_numpy(x), task)
    expected = logits.softmax(-1) if task == "classification" else logits.sigmoid()
    np.testing.assert_allclose(model.answer(x), expected, atol=1e-6)
    # Other labels, and fewer of them: each takes the output of its name.
    chosen = (names[2], names[0])
    model.build((80, 32), chosen, task=task).load_weights(tmp_path / "best_ASC.pt", labels=names)
    expected = logits[..., [2, 0]].softmax(-1) if task == "classification" else logits[..., [2, 0]].sigmoid()
    np.testing.assert_allclose(model.answer(x), expected, atol=1e-6)
    assert "stays as it is" not in caplog.text


def test_crnn2023_and_what_is_kept_of_a_model(tmp_path):
    published = CRNN2023(filters=(3, 4, 5)).build((9, 20), LABELS, task="detection")
    randomised(published.network)
    without = {name: array for name, array in published.weights().items() if "num_batches" not in name}  # as before PyTorch 0.4.1
    save_file({name: array.copy() for name, array in without.items()}, tmp_path / "model.safetensors")
    model = CRNN2023(filters=(3, 4, 5)).build((9, 20), LABELS, task="detection")
    x = windows(4, 9, 20)
    model.history, model.training = [{"epoch": 1, "loss": 0.5}], {"epochs": 1}
    assert model.load_weights(tmp_path / "model.safetensors") is model
    np.testing.assert_array_equal(model.answer(x), published.answer(x))
    assert (model.history, model.training) == ([], {})
    np.testing.assert_array_equal(dcasekit.load(model.save(tmp_path / "saved")).answer(x), published.answer(x))
    # The saved model's own weights are a weight file, too.
    again = CRNN2023(filters=(3, 4, 5)).build((9, 20), LABELS, task="detection").load_weights(tmp_path / "saved" / "weights.safetensors")
    np.testing.assert_array_equal(again.answer(x), published.answer(x))


def test_numbers_of_other_precision_are_taken_over(tmp_path):
    published = MLP().build((4, 5), LABELS)
    state = {name: torch.from_numpy(array.copy()) for name, array in published.weights().items()}
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "mlp.pt")
        model = MLP().build((4, 5), LABELS, seed=9).load_weights(tmp_path / "mlp.pt")
        assert {array.dtype for array in model.weights().values()} == {np.dtype(np.float32)}
        np.testing.assert_allclose(model.answer(windows(2, 4, 5)), published.answer(windows(2, 4, 5)), atol=0.01)


# ---- labels


@settings(max_examples=25)
@given(order=st.permutations(list("abcde")), count=st.integers(1, 5))
def test_a_head_is_put_into_the_order_of_the_labels(tmp_path, order, count):
    arrays = drawn({"dense_1": dense(6, 4), "dense_2": dense(4, 5)})
    write(tmp_path / "mlp.h5", arrays)
    sizes, x = {"hidden_layers_size": (4,), "dropout_rates": (0.5,)}, windows(2, 3, 6)
    asked = MLP(**sizes).build((3, 6), order[:count], task="tagging").load_weights(tmp_path / "mlp.h5", labels=list("abcde"))
    whole = MLP(**sizes).build((3, 6), list("abcde"), task="tagging").load_weights(tmp_path / "mlp.h5")
    np.testing.assert_array_equal(asked.answer(x), whole.answer(x)[:, ["abcde".index(label) for label in order[:count]]])


def test_labels_that_do_not_fit_are_named(tmp_path):
    write(tmp_path / "mlp.h5", drawn({"dense_1": dense(6, 4), "dense_2": dense(4, 5)}))
    model = MLP(hidden_layers_size=(4,), dropout_rates=(0.5,)).build((3, 6), ["a", "owl"])
    with pytest.raises(ModelError, match=r"mlp.h5 .*the model has the labels owl, which are not among the file's: a, b, c, d, e"):
        model.load_weights(tmp_path / "mlp.h5", labels=list("abcde"))
    with pytest.raises(ModelError, match="once; got a, owl, a, b, c"):
        model.load_weights(tmp_path / "mlp.h5", labels=["a", "owl", "a", "b", "c"])
    with pytest.raises(
        ModelError, match=r"kernel \(4, 5\), bias \(5,\); the network's layer of that place, 'layers.3', needs kernel \(4, 2\)"
    ):
        model.load_weights(tmp_path / "mlp.h5")
    with pytest.raises(ModelError, match=r"needs kernel \(4, 3\)"):
        model.load_weights(tmp_path / "mlp.h5", labels=["a", "owl", "b"])


# ---- files of other networks


def refused(model, path, match):
    """Loading is refused, naming the file, and the model is as before."""
    before = {name: array.copy() for name, array in model.weights().items()}
    with pytest.raises(ModelError, match=match) as error:
        model.load_weights(path)
    assert path.name in str(error.value)
    for name, array in model.weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_layers_of_other_networks_are_named(tmp_path):
    model, path = SB_CNN(filters=(4, 5, 6), n_dense=7).build((53, 42), LABELS), tmp_path / "best_weights.hdf5"
    arrays = drawn(SB)
    write(path, {**arrays, "conv2": drawn({"conv2": conv(5, 5, 4, 8)})["conv2"]})
    places = r"layer 'conv2' holds kernel \(5, 5, 4, 8\), bias \(8,\); .*'convolutions.4', needs kernel \(5, 5, 4, 5\), bias \(5,\): check"
    refused(model, path, places)
    write(path, {name: roles for name, roles in arrays.items() if name != "batchnorm2"})
    refused(model, path, r"layer 'conv3' holds kernel .*needs gamma \(5,\), beta \(5,\), moving_mean")
    write(path, {**arrays, "more": drawn({"more": dense(3, 3)})["more"]})
    refused(model, path, r"has 8 layers with weights, here are 9: nothing corresponds to 'more' with kernel \(3, 3\), bias \(3,\)")
    write(path, {name: roles for name, roles in arrays.items() if name not in ("out", "dense1")})
    refused(model, path, r"dense.weight \(7, 18\) is missing; dense.bias \(7,\) is missing")
    write(path, {**arrays, "batchnorm1": {role: array for role, array in arrays["batchnorm1"].items() if role != "gamma"}})
    refused(model, path, "layer 'batchnorm1' holds beta")


def test_tensors_of_other_networks_are_named(tmp_path):
    model, path = CRNN2023(filters=(3, 4, 5)).build((9, 20), LABELS, task="detection"), tmp_path / "model.pth"
    state = {name: torch.from_numpy(array.copy()) for name, array in model.weights().items()}
    changed = {**state, "conv2.weight": torch.zeros(4, 3, 5, 5), "extra.bias": torch.zeros(2)}
    del changed["gru1.bias_hh_l0"]
    torch.save(changed, path)
    said = (
        r"gru1.bias_hh_l0 \(96,\) is missing; conv2.weight has the shape \(4, 3, 5, 5\), not \(4, 3, 3, 3\); extra.bias \(2,\) is "
        r"not a weight"
    )
    refused(model, path, said)
    torch.save({**state, "linear2.weight": torch.zeros(17, 32), "linear2.bias": torch.zeros(17)}, path)
    refused(model, path, r"linear2.weight has the shape \(17, 32\), not \(3, 32\).*load_weights\(labels=...\)")
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("linear1")}, path)
    refused(model, path, r"linear1.weight \(32, 64\) is missing; linear1.bias \(32,\) is missing. Check")
    torch.save({name: tensor for name, tensor in state.items() if name != "linear2.bias"}, path)
    refused(model, path, r"linear2.bias \(3,\) is missing. Check")  # half a head is none


def test_a_model_without_network_loads_nothing(tmp_path):
    with pytest.raises(ModelError, match=r"call train\(\) or build\(\) first"):
        MLP().load_weights(tmp_path / "any.h5")


# ---- files that hold no weights


class Evil:
    """What pickle would call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_code_in_a_file_is_not_run(tmp_path, legacy, wrapped):
    evil = Evil(tmp_path / "ran")
    torch.save({"weight": torch.zeros(2), "evil": evil} if wrapped else evil, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    refused(
        MLP().build((4, 5), LABELS), tmp_path / "a.pt", r"a.pt holds more than tensors \(.*would run code that it names: refused. If you"
    )
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "ran").exists()  # so it would have run


def test_pickled_arrays_and_networks_are_refused(tmp_path):
    model = MLP().build((4, 5), LABELS)
    torch.save(model.network, tmp_path / "whole.pt")
    refused(model, tmp_path / "whole.pt", r"whole.pt holds more than tensors \(.*save the tensors of its state_dict\(\)")
    np.savez(tmp_path / "a.npz", evil=np.array([Evil(tmp_path / "ran")], dtype=object))
    refused(model, tmp_path / "a.npz", "evil holds object, not numbers")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.h5", "a.hdf5", "a.h5.gz", "a.pt", "a.pth", "a.npz", "a.safetensors", "a.bin", "a.ckpt"])
def test_a_page_instead_of_a_file_is_refused(tmp_path, name):
    model, path = MLP().build((4, 5), LABELS), tmp_path / name
    path.write_text("<!DOCTYPE html>\n<html><title>Google Drive - Virus scan warning</title></html>")
    refused(model, path, "is text that begins with '<!DOCTYPE html>.*fetch it again")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 288592000\n")
    refused(model, path, "is text that begins with 'version https://git-lfs")
    path.write_bytes(b"")
    refused(model, path, "holds no weights: it is empty")
    path.unlink()
    refused(model, path, r"cannot be read \(No such file or directory\)")
    path.write_bytes(bytes(range(256)) * 9)
    refused(model, path, "is damaged, or not of the kind")
    path = path.rename(tmp_path / "a.weights")
    refused(model, path, "not a known kind of weight file; known: .safetensors")


@pytest.mark.parametrize("name", ["a.h5", "a.h5.gz", "a.pt", "a.npz", "a.safetensors"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, name):
    model, path = MLP(hidden_layers_size=(4,), dropout_rates=(0.5,)).build((3, 6), LABELS), tmp_path / name
    arrays = drawn({"dense_1": dense(6, 4), "dense_2": dense(4, 3)})
    write(tmp_path / "whole.h5", arrays)
    if name.startswith("a.h5"):
        content = (tmp_path / "whole.h5").read_bytes()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    elif name == "a.pt":
        torch.save({key: torch.from_numpy(array.copy()) for key, array in model.weights().items()}, path)
    elif name == "a.npz":
        np.savez(path, **model.weights())
    else:
        save_file({key: array.copy() for key, array in model.weights().items()}, path)
    model.load_weights(path)
    content = path.read_bytes()
    for part in (0.02, 0.3, 0.5, 0.8, 0.99):
        path.write_bytes(content[: int(part * len(content))])
        refused(model, path, "is damaged, or not of the kind its name says")


def test_keras_files_whose_parts_are_no_weights_are_refused(tmp_path):
    model, path = MLP().build((4, 5), LABELS), tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((3, 4))
    refused(model, path, "has no layer_names, so it is not a weight file of Keras 2")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"dense"])
        group = file.create_group("dense")
        group.attrs["weight_names"] = np.array([b"dense/kernel:0"])
        group["dense/kernel:0"] = np.array([b"text"])
    refused(model, path, r"dense/dense/kernel:0 holds \|S4, not numbers")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"dense"])
        file.create_group("dense").attrs["weight_names"] = np.array([b"dense/kernel:0"])
    refused(model, path, "is damaged")


def test_checkpoints_of_several_networks_or_none_are_refused(tmp_path):
    model, path = MLP().build((4, 5), LABELS), tmp_path / "a.pt"
    state = {name: torch.from_numpy(array.copy()) for name, array in model.weights().items()}
    torch.save({"student": state, "teacher": state}, path)
    refused(model, path, r"2 state dicts \(student, teacher\); save the state_dict\(\) of one network")
    torch.save({"epoch": 3}, path)
    refused(model, path, "not a state dict but a dict")
    torch.save(torch.zeros(3), path)
    refused(model, path, "not a state dict but a Tensor")


# ---- checkpoints of trainers


def mlp(seed=0):
    model = MLP(hidden_layers_size=(4,), dropout_rates=(0.5,)).build((3, 6), LABELS, seed=seed)
    return model, {name: torch.from_numpy(array.copy()) for name, array in model.weights().items()}


def taken(path, state):
    """Load into a model with other weights; all must be those of the state dict."""
    model = mlp(seed=7)[0].load_weights(path)
    for name, array in model.weights().items():
        np.testing.assert_array_equal(array, state[name].detach().numpy())


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "_orig_mod."])
@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".safetensors"])
def test_what_stands_before_all_names_is_passed_over(tmp_path, prefix, suffix):
    _, state = mlp()
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    path = tmp_path / f"a{suffix}"
    if suffix == ".safetensors":
        save_file({name: tensor.numpy() for name, tensor in named.items()}, path)
    else:
        torch.save(named, path)
    taken(path, state)


def test_a_network_whose_own_names_begin_alike_keeps_them(tmp_path):
    @dataclass(kw_only=True, eq=False)
    class Wrapped(TorchModelContainer):
        def network_for(self, frames, dims, outputs, task):
            return torch.nn.ModuleDict({"model": torch.nn.Linear(dims, outputs)})

    model = Wrapped().build((3, 6), LABELS)
    torch.save(model.network.state_dict(), tmp_path / "a.bin")
    again = Wrapped().build((3, 6), LABELS, seed=3).load_weights(tmp_path / "a.bin")
    np.testing.assert_array_equal(again.weights()["model.weight"], model.weights()["model.weight"])


@pytest.mark.parametrize("package", ["lightning_fabric.utilities.data", "pytorch_lightning.utilities.parsing"])
def test_a_checkpoint_of_lightning_with_its_settings_and_numbers_is_read(tmp_path, monkeypatch, package):
    """Lightning itself need not be installed: its dictionary of settings has a stand-in."""
    kind = type("AttributeDict", (dict,), {"__module__": package, "__qualname__": "AttributeDict"})
    monkeypatch.setitem(sys.modules, package, SimpleNamespace(AttributeDict=kind))
    for parent in ("lightning_fabric", "lightning_fabric.utilities", "pytorch_lightning", "pytorch_lightning.utilities"):
        monkeypatch.setitem(sys.modules, parent, SimpleNamespace())
    _, state = mlp()
    checkpoint = {
        "epoch": 3,
        "global_step": np.int64(77),
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best": np.float64(0.5), "dir": Path("runs")}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": np.float32(0.1)}]}],
        "hyper_parameters": kind(lr=np.float32(0.1), flag=np.bool_(True), args=argparse.Namespace(units=np.int32(4))),
    }
    torch.save(checkpoint, tmp_path / "a.ckpt")
    monkeypatch.delitem(sys.modules, package)
    taken(tmp_path / "a.ckpt", state)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()  # nothing stays allowed


def test_numbers_as_numpy_1_wrote_them_are_read(tmp_path):
    _, state = mlp()
    torch.save({"state_dict": state, "best": np.float64(0.5)}, tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as file, zipfile.ZipFile(tmp_path / "old.ckpt", "w") as old:
        for part in file.infolist():
            old.writestr(part, file.read(part).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    taken(tmp_path / "old.ckpt", state)


def test_a_state_dict_stands_out_among_others(tmp_path):
    _, state = mlp()
    torch.save({"state_dict": state, "ema": {name: tensor + 1 for name, tensor in state.items()}}, tmp_path / "a.ckpt")
    taken(tmp_path / "a.ckpt", state)


def test_parameters_that_ask_for_gradients_are_read(tmp_path):
    model, state = mlp()
    torch.save(dict(model.network.named_parameters()), tmp_path / "a.pt")
    taken(tmp_path / "a.pt", state)


# ---- files that take too much, or read other files


@pytest.fixture
def little(monkeypatch):
    """Allow a megabyte beside the weights."""
    monkeypatch.setattr("dcasekit.containers._weight_files._BYTES_MORE", 1 << 20)


TOO_MUCH = "was not read: with .* it takes more than 16 times the .* bytes of this network's weights"


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.h5.gz", "a.pt", "a.safetensors"])
def test_arrays_much_larger_than_the_network_are_not_even_unpacked(tmp_path, name):
    path, many = tmp_path / name, np.zeros(4_000_000, np.float32)
    if name == "a.npz":
        np.savez_compressed(path, many=many)
        assert path.stat().st_size < 20_000
    elif name.startswith("a.h5"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.attrs["layer_names"] = np.array([b"dense"])
            group = file.create_group("dense")
            group.attrs["weight_names"] = np.array([b"kernel:0"])
            group.create_dataset("kernel:0", data=many, compression=None if name.endswith("gz") else "gzip")
        if name.endswith("gz"):
            path.write_bytes(gzip.compress((tmp_path / "a.h5").read_bytes()))
    elif name == "a.pt":
        torch.save({"many": torch.from_numpy(many)}, path)
    else:
        save_file({"many": many}, path)
    refused(mlp()[0], path, TOO_MUCH)


@pytest.mark.parametrize("size", ["1000000000000", "250000000"])
def test_a_head_that_promises_more_than_there_is_allocates_nothing(tmp_path, size):
    path, head = tmp_path / "a.npz", io.BytesIO()
    np.save(head, np.zeros(1, np.float32))
    content = head.getvalue().replace(b"(1,), }" + b" " * (len(size) - 1), f"({size},), }}".encode())
    assert size.encode() in content
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("many.npy", content)
    refused(mlp()[0], path, TOO_MUCH)


def test_a_tensor_that_repeats_one_number_is_not_written_out(tmp_path):
    torch.save({"many": torch.zeros(1).expand(10**12)}, tmp_path / "a.pt")
    refused(mlp()[0], tmp_path / "a.pt", TOO_MUCH)


def elsewhere(kind, group, path):
    """Put a weight into a group that lies in another place or file."""
    if kind == "storage":
        group.create_dataset("kernel:0", (4,), np.uint8, external=[("/etc/passwd", 0, 4)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape=(4,), dtype=np.float32)
        layout[:] = h5py.VirtualSource(path, "x", shape=(4,))
        group.create_virtual_dataset("kernel:0", layout)
    else:
        group["kernel:0"] = h5py.SoftLink("/x") if kind == "soft link" else h5py.ExternalLink(path, "/x")


@pytest.mark.parametrize("kind", ["storage", "virtual", "soft link", "external link"])
def test_a_keras_file_that_reads_other_files_is_refused(tmp_path, kind):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(4, np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(4, np.float32)
        file.attrs["layer_names"] = np.array([b"dense"])
        group = file.create_group("dense")
        group.attrs["weight_names"] = np.array([b"kernel:0"])
        elsewhere(kind, group, str(tmp_path / "other.h5"))
    says = "is a link to another place or file" if kind.endswith("link") else "lies in another file"
    refused(mlp()[0], tmp_path / "a.h5", f"a.h5: .*kernel:0 {says}")


@pytest.mark.parametrize("link", [h5py.SoftLink("/x"), h5py.ExternalLink("other.h5", "/x")], ids=["soft", "external"])
def test_a_link_in_place_of_a_group_is_refused(tmp_path, link):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("x")
        file["model_weights"] = link
    refused(mlp()[0], tmp_path / "a.h5", "model_weights is a link to another place or file")


# ---- other kinds of numbers


@pytest.mark.filterwarnings("ignore:Sparse|.*quantiz|TypedStorage:UserWarning")
@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.zeros(3, dtype=torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (torch.zeros(3, dtype=torch.complex64), "torch.complex64"),
        (torch.eye(3).to_sparse(), "torch.sparse_coo tensor"),
        (torch.zeros(3, device="meta"), "on meta"),
    ],
    ids=["float8", "complex", "sparse", "meta"],
)
def test_tensors_that_are_no_arrays_are_named(tmp_path, tensor, says):
    torch.save({"first": torch.zeros(3), "second": tensor}, tmp_path / "a.pt")
    refused(mlp()[0], tmp_path / "a.pt", f"a.pt: second is a .*{says}.*; save it as torch.float32")


def test_half_numbers_of_safetensors_are_read_and_quarter_numbers_are_named(tmp_path):
    _, state = mlp()
    path = tmp_path / "a.safetensors"
    save_tensors({name: tensor.to(torch.bfloat16) for name, tensor in state.items()}, path)
    taken(path, {name: tensor.to(torch.bfloat16).float() for name, tensor in state.items()})
    save_tensors({"x": torch.zeros(3).to(torch.float8_e4m3fn)}, path)
    refused(mlp()[0], path, "a.safetensors: x holds F8_E4M3, which NumPy does not know; save it as F32")


def test_arrays_of_text_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", labels=np.array(["dog", "cat"]))
    refused(mlp()[0], tmp_path / "a.npz", "a.npz: labels holds <U3, not numbers")


# ---- Keras' layers and PyTorch's, both ways


def recurrent(make, **settings):
    shapes = {"conv2d_1": conv(3, 3, 1, 4), "batch_normalization_1": norm(4), "gru_1": make(12, 5, **settings)}
    return shapes | {"dense_1": dense(10 if make is both else 5, 3)}


SHORT = {"filters": (4,), "pool_size": (4,), "units": 5}
SHORT_A = {"filters": 4, "pool_size": (4,), "rnn_units": (5,), "dense_units": ()}


@pytest.mark.parametrize(
    ("model", "shape", "shapes"),
    [
        (SB_CNN(filters=(4, 5, 6), n_dense=7), (53, 42), SB),
        (SMALL_SED, (37, 42), SED),
        (MST(audio_win=16, audio_hop=8, filters=(5, 4)), (6, 8), MST_LAYERS),
        (CRNN2018(**SHORT), (9, 13), recurrent(both)),
        (CRNN2018(gru="sigmoid_after", **SHORT), (9, 13), recurrent(both, biases=2)),
        (A_CRNN(**SHORT_A), (9, 13), recurrent(gru)),
        (A_CRNN(gru="sigmoid_after", **SHORT_A), (9, 13), recurrent(gru, biases=2)),
    ],
    ids=lambda value: repr(value)[:40] if hasattr(value, "settings") else None,
)
def test_keras_layers_to_pytorch_and_back(model, shape, shapes):
    template = model.build(shape, LABELS).weights()
    layers = drawn(shapes)
    weights = to_torch({"input": {}, **layers}, template)
    assert [(name, array.shape) for name, array in weights.items()] == [(name, array.shape) for name, array in template.items()]
    model.set_weights(weights)
    backwards = {name: dict(reversed(roles.items())) for name, roles in layers.items()}
    again = to_keras(model.weights(), {"input": {}, **backwards})
    assert [(name, list(roles)) for name, roles in again.items()] == [(name, list(roles)) for name, roles in backwards.items()]
    for name, roles in again.items():
        for role, array in roles.items():
            np.testing.assert_array_equal(array, layers[name][role])
            assert (array.dtype, array.flags["C_CONTIGUOUS"]) == (np.float32, True)


def test_networks_that_are_not_twins_are_refused():
    weights, layers = SB_CNN(filters=(4, 5, 6), n_dense=7).build((53, 42), LABELS).weights(), drawn(SB)
    with pytest.raises(ModelError, match="the Keras network has 7 layers with weights, the other 8; 'out' has no counterpart"):
        to_keras(weights, {name: roles for name, roles in layers.items() if name != "out"})
    with pytest.raises(ModelError, match=r"layer 'out' holds kernel \(7, 3\), .*Keras' layer of that place, 'out', needs kernel \(7, 4\)"):
        to_keras(weights, {**layers, "out": drawn({"out": dense(7, 4)})["out"]})
    lstm = {f"lstm.{name}": np.zeros(shape, np.float32) for name, shape in (("weight_ih_l0", (8, 3)), ("weight_hh_l0", (8, 2)))}
    with pytest.raises(ModelError, match="'lstm', needs weight_ih_l0"):
        to_torch({"gru_1": drawn({"gru_1": gru(3, 2)})["gru_1"]}, lstm)


def test_numbers_of_hdf5_that_python_cannot_hold_are_named(tmp_path):
    """Of an unzipped file, which Python reads for the library of HDF5."""
    content = bytearray(write(tmp_path / "w.h5", {"dense": drawn({"dense": conv(3, 2)})["dense"]}).read_bytes())
    content[41:49] = b"\xff" * 7 + b"\x7f"
    (tmp_path / "w.h5.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ModelError, match="damaged"):
        MLP(hidden_layers_size=(), dropout_rates=()).build((3, 4), ("a", "b")).load_weights(tmp_path / "w.h5.gz")
