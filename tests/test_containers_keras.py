"""Training, predicting, saving with Keras: what its container does as PyTorch's does, and what it leaves to Keras."""

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from dcasekit import testing
from dcasekit.batch_augmentations import mixup
from dcasekit.containers import _keras_learner
from dcasekit.containers._keras_state import keras
from dcasekit.containers._validation import sum_loss
from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.errors import ModelError
from dcasekit.generator import Arrays
from dcasekit.models import MLP as TorchMLP
from dcasekit.models import SB_CNN as TorchSB_CNN
from dcasekit.models.keras import MLP, SB_CNN

LABELS = ("a", "b", "c")
SMALL = {"hidden_layers_size": (16,), "dropout_rates": (0.2,)}
CNN = {"filters": (3, 4, 5), "filter_size": (3, 3), "n_dense": 6}
SHAPE = (30, 24)  # of windows for it

pytestmark = pytest.mark.usefixtures("one_thread")
# Keras copies PyTorch's tensors in a way that NumPy 2 finds old; for tests that ask it without the container.
by_keras_itself = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass(kw_only=True, eq=False)
class Mine(KerasModelContainer):
    """A network whose layers have no names, of any kind."""

    kind: str = "sequential"

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        return NETWORKS[self.kind](frames, dims, outputs)


def sequential(frames, dims, outputs):
    layers = [
        keras.layers.Dense(5, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Flatten(),
        keras.layers.Dense(4),
        keras.layers.Dense(outputs),
    ]
    return keras.Sequential([keras.Input((frames, dims)), *layers])


def nested(frames, dims, outputs):
    x = keras.Input((frames, dims))
    inside = keras.Sequential([keras.Input((frames, dims)), keras.layers.Conv1D(4, 3, padding="same"), keras.layers.BatchNormalization()])
    both = keras.layers.Bidirectional(keras.layers.GRU(3, dropout=0.1))(inside(x))
    return keras.Model(x, keras.layers.Dense(outputs)(both))


def per_frame(_frames, dims, outputs):
    x = keras.Input((None, dims))
    return keras.Model(x, keras.layers.Dense(outputs)(x))


def direct(_frames, dims, outputs):
    x = keras.Input((None, dims))
    network = keras.Model(x, keras.layers.Dense(outputs)(keras.ops.mean(x, axis=1)))
    network.activation = "none"
    return network


def two_inputs(frames, dims, outputs):
    x, other = keras.Input((frames, dims)), keras.Input((frames, dims))
    return keras.Model([x, other], keras.layers.Dense(outputs)(x + other))


class Twice(keras.layers.Layer):
    """A layer whose two weights have one name."""

    def build(self, shape):
        self.scales = [self.add_weight(shape=shape[-1:], name="weight") for _ in "ab"]

    def call(self, x):
        return x * self.scales[0] * self.scales[1]


def of_networks(frames, dims, outputs):
    """A graph of graphs, in which layers of two are called the same."""
    x = y = keras.Input((None, dims))
    for name in ("first", "second"):
        inside = keras.Input((None, dims))
        y = keras.Model(inside, keras.layers.Conv1D(dims, 3, padding="same", name="conv")(inside), name=name)(y)
    return keras.Model(x, keras.layers.Dense(outputs, name="out")(keras.ops.mean(y, axis=1)))


def same_names(frames, dims, outputs):
    x = keras.Input((frames, dims))
    return keras.Model(x, keras.layers.Dense(outputs, name="out")(keras.ops.mean(Twice(name="twin")(x), axis=1)))


NETWORKS = {function.__name__: function for function in (sequential, nested, of_networks, per_frame, direct, two_inputs, same_names)}
NETWORKS |= {"layer": lambda *_: keras.layers.Dense(3), "lazy": lambda *_: keras.Sequential([keras.layers.Dense(3)])}


def data(seed=0, each=8, shape=(6, 5)):
    patterns = np.random.default_rng(99).normal(size=(3, 1, shape[1]))
    x = np.repeat(patterns, each, axis=0) + np.random.default_rng(seed).normal(0, 0.5, (3 * each, *shape))
    return x.astype(np.float32), np.repeat(np.eye(3, dtype=np.float32), each, axis=0)


def same(one, other):
    first, second = (each if isinstance(each, dict) else each.weights() for each in (one, other))
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def fitted(model, arrays=None, task="classification", frozen=(), **settings):
    """Train the weights that a model has."""
    source = Arrays(*(arrays or data()), labels=LABELS, task=task)
    return model.fit(source, None, Training(**{"device": "cpu", "epochs": 1, **settings}), frozen=frozen)


# ---- the contract


@pytest.mark.parametrize("kind", ["sequential", "nested", "of_networks"])
def test_a_model_of_ones_own_keeps_the_contract(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, Mine.__module__, SimpleNamespace(Mine=Mine))
    testing.check_model(Mine(kind=kind), shape=(7, 5), new_process=False)


def test_a_model_is_loaded_by_a_new_process():
    testing.check_model(MLP(hidden_layers_size=(8, 6), dropout_rates=(0.2, 0)), shape=(6, 5))


def test_names_of_weights_do_not_depend_on_what_was_made_before():
    first = [Mine(kind=kind).build((7, 5), LABELS).weights() for kind in ("nested", "sequential")]
    keras.layers.Dense(3)
    again = [Mine(kind=kind).build((7, 5), LABELS).weights() for kind in ("sequential", "nested")]
    assert list(first[0]) == list(again[1])
    assert same(first[0], again[1])
    assert list(first[1]) == list(again[0])
    assert "bidirectional.backward_kernel" in first[0]


def states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(), keras.config.dtype_policy().name  # noqa: NPY002


def test_global_generators_and_settings_are_left_alone():
    model, before = SB_CNN(**CNN), states()
    model.train(data(shape=SHAPE), epochs=1, device="cpu", precision="bfloat16")
    assert states() == before


def test_two_runs_with_one_seed_are_equal_whatever_was_drawn_before():
    runs = []
    for seed in (3, 3, 4):
        model = SB_CNN(**CNN, dropout=0.5)
        records = model.train(data(shape=SHAPE), data(1, shape=SHAPE), epochs=2, seed=seed, device="cpu", augment=[mixup])
        runs.append((model, [record["loss"] for record in records]))
        random.random()
        torch.rand(3)
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same(runs[0][0], runs[2][0])


# ---- training


@pytest.mark.parametrize("task", ["classification", "tagging", "detection"])
@pytest.mark.parametrize("loss", [None, "mse", "binary_cross_entropy", "cross_entropy"])
def test_the_loss_is_that_of_the_answers(loss, task):
    model = (Mine(kind="per_frame") if task == "detection" else MLP(hidden_layers_size=(), dropout_rates=(), l2_reg=0)).build(
        (6, 5), LABELS, task=task
    )
    x, y = data()
    y = np.abs(y - 0.1) if task == "tagging" else y  # soft
    y = np.repeat(y[:, None], 6, axis=1) if task == "detection" else y
    answers = model.answer(x).reshape(-1, 3)
    (record,) = fitted(model, (x, y), task, loss=loss, learning_rate=1e-12, batch_size=7)
    name = loss or ("cross_entropy" if task == "classification" else "binary_cross_entropy")
    if name == "cross_entropy" and task != "classification":  # of logits, which the answers are no more
        logits = np.log(answers) - np.log1p(-answers)
        answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if name != "cross_entropy" and task == "classification":
        answers = 1 / (1 + 1 / answers)  # the logits here are logarithms of mean probabilities
    total, count = sum_loss(y.reshape(-1, 3), answers, name, task)
    expected = total / count
    np.testing.assert_allclose(record["loss"], expected, rtol=1e-4)


def test_penalties_are_added_to_the_loss():
    model = SB_CNN(**CNN, dropout=0.0, batch_norm=False, l2_reg=0.1).build(SHAPE, LABELS)
    x, y = data(shape=SHAPE)
    weights = model.weights()
    penalty = 0.1 * sum(np.square(weights[f"{layer}.{part}"]).sum() for layer in ("dense1", "out") for part in ("kernel", "bias"))
    expected = sum_loss(y, model.answer(x), None, "classification")[0] / len(x) + penalty
    (record,) = fitted(model, (x, y), learning_rate=1e-12, batch_size=5)
    np.testing.assert_allclose(record["loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weight_decay_shrinks_kernels_beside_the_gradient(optimizer):
    runs = []
    for decay in (0.0, 0.5):
        model = MLP(hidden_layers_size=(4,), dropout_rates=(0.0,)).build((6, 5), LABELS)
        before = model.weights()
        fitted(model, optimizer=optimizer, weight_decay=decay, learning_rate=0.1, batch_size=100)
        runs.append(model.weights())
    assert not same(before, runs[0])
    for name, array in before.items():
        np.testing.assert_allclose(runs[0][name] - runs[1][name], 0.1 * 0.5 * array * name.endswith("kernel"), atol=1e-6)


def test_the_best_epoch_on_validation_data_is_kept():
    x, y = data()
    seen = []
    model = MLP(**SMALL)
    against = (x, np.roll(y, 1, axis=1))  # what is learned is wrong there, more and more
    history = model.train(
        (x, y), against, epochs=12, learning_rate=0.03, monitor="loss", early_stopping=4, callbacks=[seen.append], device="cpu"
    )
    losses = [record["val_loss"] for record in history]
    assert seen == history == model.history
    assert len(history) == 4 + 1 + np.argmin(losses) < 12
    kept = sum_loss(against[1], model.answer(x), None, "classification")[0] / len(x)
    np.testing.assert_allclose(kept, min(losses), rtol=1e-4)
    assert {"epoch", "learning_rate", "loss", "val_loss", "val_accuracy", "seconds"} == set(history[0])


def test_a_callback_that_says_so_ends_training():
    assert len(MLP(**SMALL).train(data(), epochs=5, callbacks=[lambda record: record["epoch"] == 2], device="cpu")) == 2


def test_without_validation_data_the_last_epoch_is_kept():
    short, long = MLP(**SMALL), MLP(**SMALL)
    short.train(data(), epochs=1, learning_rate=0.01, device="cpu")
    long.train(data(), epochs=3, learning_rate=0.01, device="cpu")
    losses = [sum_loss(data()[1], model.answer(data()[0]), None, "classification")[0] for model in (short, long)]
    assert losses[1] < losses[0]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of NaN
def test_a_loss_that_is_no_number_ends_training_and_leaves_the_model():
    model = MLP(**SMALL).build((6, 5), LABELS)
    before, (x, y) = model.weights(), data()
    with pytest.raises(ModelError, match="clip 18: X holds NaN or infinity"):
        fitted(model, (x * np.nan, y))
    assert same(model, before)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("model", "shape"), [(MLP(hidden_layers_size=(16,), dropout_rates=(0,)), (6, 5)), (SB_CNN(**CNN, dropout=0.0), SHAPE)]
)
def test_mixed_precision_learns_and_leaves_float32(model, shape, precision):
    runs = []
    for each in ("float32", precision):
        records = model.train(data(shape=shape), epochs=3, learning_rate=0.01, precision=each, device="cpu", batch_size=6)
        runs.append([record["loss"] for record in records])
        assert {array.dtype for array in model.weights().values()} == {np.dtype("float32")}
        assert model.answer(data(shape=shape)[0]).dtype == np.float32
    assert runs[1][-1] < runs[1][0]
    assert runs[0] != runs[1]
    np.testing.assert_allclose(*runs, rtol=0.1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"average": 0.9}, "average=0.9: Keras models are trained without"),
        ({"device": "nowhere:0"}, "device 'nowhere:0' cannot be used here with Keras on torch"),
    ],
)
def test_what_is_not_done_is_refused(settings, says):
    with pytest.raises(ModelError, match=says):
        MLP(**SMALL).train(data(), epochs=1, **settings)


def test_targets_of_frames_need_a_network_that_answers_frames():
    x, y = data()
    frames = Arrays(x, np.repeat(y[:, None], x.shape[1], axis=1), task="classification")
    with pytest.raises(ModelError, match="choose target='window' or 'clip' for a network that answers windows"):
        MLP(**SMALL).train(frames, epochs=1, device="cpu")


@pytest.mark.parametrize(("name", "task"), [("cross_entropy", "classification"), ("binary_cross_entropy", "tagging"), ("mse", "tagging")])
def test_a_network_that_answers_frames_learns_tags_of_clips_by_its_mean_answer(name, task):
    logits = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    y[1] = np.nan
    answers = (scipy.special.softmax(logits, -1) if task == "classification" else scipy.special.expit(logits)).mean(1)
    total, count = sum_loss(y, answers, name, task)
    assert float(_keras_learner._LOSSES[name](y, logits)) == pytest.approx(total / count, rel=1e-4)
    x, y = data()
    history = Mine(kind="per_frame").train(Arrays(x, y, task=task), epochs=6, learning_rate=0.05, device="cpu")
    assert history[-1]["loss"] < history[0]["loss"]


def test_a_network_without_activation_answers_directly():
    model = Mine(kind="direct")
    x, y = data()
    records = model.train((x, 3 * y), epochs=40, learning_rate=0.05, device="cpu")
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    raw = model._outputs(x)
    assert raw.max() > 1.5  # unclipped they learn what they are told
    np.testing.assert_array_equal(model.answer(x), raw.clip(0, 1))
    with pytest.raises(ModelError, match="no activation; it learns by loss='mse', not 'cross_entropy'"):
        model.train((x, y), loss="cross_entropy", device="cpu")


# ---- targets that are not known


@pytest.mark.parametrize(("task", "loss"), [("classification", None), ("tagging", None), ("tagging", "mse")])
def test_what_is_unknown_changes_neither_loss_nor_weights(task, loss):
    model = MLP(hidden_layers_size=(4,), dropout_rates=(0,)).build((6, 5), LABELS, task=task)
    before, (x, y) = model.weights(), data()
    more = np.concatenate([x, x + 1]), np.concatenate([y, np.full_like(y, np.nan)])
    runs = []
    for arrays in ((x, y), more):
        model.set_weights(before)
        (record,) = fitted(model, arrays, task, loss=loss, optimizer="sgd", batch_size=100)
        runs.append((record["loss"], model.weights()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-5)
    for name, array in runs[0][1].items():
        np.testing.assert_allclose(runs[1][1][name], array, atol=1e-6)
        assert not np.array_equal(array, before[name])


def test_the_loss_of_an_epoch_counts_each_known_label_once():
    """Batches in which less is known weigh less."""
    model = MLP(hidden_layers_size=(), dropout_rates=(), l2_reg=0).build((6, 5), LABELS, task="tagging")
    x, y = data()
    y = np.where(np.random.default_rng(0).random(y.shape) < 0.6, np.nan, y).astype(np.float32)
    answers = model.answer(x)
    (record,) = fitted(model, (x, y), "tagging", learning_rate=1e-12, batch_size=3)
    total, count = sum_loss(y, answers, None, "tagging")
    assert count == np.isfinite(y).sum()
    assert record["loss"] == pytest.approx(total / count, rel=1e-4)


def test_where_nothing_is_known_nothing_is_learned():
    x, y = data()
    with pytest.raises(ModelError, match="there is nothing to learn from"):
        fitted(MLP(**SMALL).build((6, 5), LABELS), (x, np.full_like(y, np.nan)))


# ---- runs that go on


def timeless(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize(
    ("model", "shape", "changes"),
    [
        (lambda: SB_CNN(**CNN, dropout=0.5), SHAPE, {"schedule": "one_cycle", "augment": [mixup]}),
        (lambda: Mine(kind="nested"), (7, 5), {"optimizer": "sgd"}),
        (lambda: MLP(**SMALL), (6, 5), {"precision": "float16", "weight_decay": 0.01}),
    ],
    ids=["SB_CNN", "recurrent", "float16"],
)
def test_a_killed_training_resumes_to_the_same_model(tmp_path, model, shape, changes, stop):
    def run(**more):
        made = model()
        made.train(data(shape=shape), data(1, shape=shape), epochs=4, batch_size=5, device="cpu", **changes, **more)
        return made

    def kill(record):
        if record["epoch"] == stop:
            raise KeyboardInterrupt

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(resume=tmp_path, callbacks=[kill])
    random.random()
    torch.rand(3)
    resumed = run(resume=tmp_path)
    assert same(whole, resumed)
    assert timeless(whole.history) == timeless(resumed.history)
    again = run(resume=tmp_path)  # it is finished: nothing is trained
    assert same(whole, again)
    assert again.history == resumed.history


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    x, y = data()
    settings = {"epochs": 12, "learning_rate": 0.03, "monitor": "loss", "early_stopping": 2, "device": "cpu", "resume": tmp_path}
    runs = [MLP(**SMALL) for _ in range(2)]
    histories = [model.train((x, y), (x, np.roll(y, 1, axis=1)), **settings) for model in runs]
    assert len(histories[0]) < 12
    assert histories[0] == histories[1]
    assert same(*runs)


@pytest.mark.parametrize(
    ("model", "change", "differs"),
    [
        (MLP(**SMALL), {"learning_rate": 0.5}, "learning_rate"),
        (MLP(hidden_layers_size=(4,), dropout_rates=(0.2,)), {}, "model"),
        (TorchMLP(**SMALL), {}, "model"),
    ],
    ids=["settings", "network", "PyTorch"],
)
def test_another_run_is_not_taken_up(tmp_path, model, change, differs):
    MLP(**SMALL).train(data(), epochs=1, device="cpu", resume=tmp_path)
    with pytest.raises(ModelError, match=rf"checkpoint.safetensors belongs to another run: .*{differs} (was|differs).*; delete it"):
        model.train(data(), epochs=1, device="cpu", resume=tmp_path, **change)


def test_an_edited_checkpoint_is_refused_by_name(tmp_path):
    settings = {"epochs": 1, "device": "cpu", "resume": tmp_path}
    MLP(**SMALL).train(data(), **settings)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file({"optimizer.0": np.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ModelError, match=r"checkpoint.safetensors is not a readable checkpoint \(its checksum"):
        MLP(**SMALL).train(data(), **settings)
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="checkpoint.safetensors is not a readable checkpoint"):
        MLP(**SMALL).train(data(), **settings)


# ---- freezing


def moved(model, frozen, **settings):
    before = model.weights()
    fitted(model, data(shape=SHAPE), frozen=frozen, learning_rate=0.1, **settings)
    return {name for name, array in model.weights().items() if not np.array_equal(array, before[name])}


def test_frozen_weights_stay_and_whole_frozen_layers_act_as_in_prediction():
    model = SB_CNN(**CNN).build(SHAPE, LABELS)
    names, frozen = set(model.weights()), set(model.weights_until("batchnorm2"))
    assert frozen == {f"{layer}{number}.{part}" for number in (1, 2) for layer, parts in PARTS.items() for part in parts}
    assert moved(model, frozen) == names - frozen
    # Of a layer that is frozen in part, the rest goes on learning, and so do its running statistics.
    assert moved(model, {"conv1.bias", "batchnorm1.gamma"}) == names - {"conv1.bias", "batchnorm1.gamma"}
    assert moved(model, ()) == names
    assert model.cost()["parameters"] == SB_CNN(**CNN).build(SHAPE, LABELS).cost()["parameters"]


def test_a_layer_inside_a_network_inside_is_frozen_by_itself():
    model = Mine(kind="nested").build((7, 5), LABELS)
    frozen = {name for name in model.weights() if "batch_normalization" in name}
    assert len(frozen) == 4
    before = model.weights()
    fitted(model, data(shape=(7, 5)), frozen=frozen, learning_rate=0.1)
    assert {name for name, array in model.weights().items() if np.array_equal(array, before[name])} == frozen


def test_layers_of_the_same_name_in_networks_inside_are_told_apart():
    model = Mine(kind="of_networks").build((7, 5), LABELS)
    assert list(model.weights()) == [f"{layer}.{part}" for layer in ("first.conv", "second.conv", "out") for part in ("kernel", "bias")]
    assert model.layers() == {"first": (7, 5), "second": (7, 5), "out": (3,)}
    assert model.cost() == {"parameters": 2 * 80 + 18, "macs": 2 * 7 * 75 + 15}
    before = model.weights()
    fitted(model, data(shape=(7, 5)), frozen=["first.conv.kernel", "first.conv.bias"], learning_rate=0.1)
    assert {name.partition(".")[0] for name, array in model.weights().items() if np.array_equal(array, before[name])} == {"first"}


PARTS = {"conv": ("kernel", "bias"), "batchnorm": ("gamma", "beta", "moving_mean", "moving_variance")}


@pytest.mark.parametrize(
    ("freeze", "kept"),
    [("all", "conv1 conv2 conv3 batchnorm1 batchnorm2 batchnorm3 dense1"), ("none", ""), ("conv2", "conv1 batchnorm1 conv2")],
)
def test_fine_tuning_keeps_what_it_is_told(freeze, kept):
    model = SB_CNN(**CNN)
    model.train(data(shape=SHAPE), epochs=1, device="cpu")
    before, x = model.weights(), data(shape=SHAPE)[0]
    model.fine_tune((x, np.eye(2)[np.arange(len(x)) % 2]), labels=("yes", "no"), freeze=freeze, epochs=2, device="cpu")
    assert model.answer(x).shape == (len(x), 2)
    assert model.training["freeze"] == freeze
    changed = {name.partition(".")[0] for name, array in model.weights().items() if not np.array_equal(array, before[name])}
    assert changed == {name.partition(".")[0] for name in before} - set(kept.split())


# ---- inside


@by_keras_itself
def test_layers_are_shown_in_order_with_what_they_give():
    model = Mine(kind="nested").build((7, 5), LABELS)
    assert model.layers() == {"sequential": (7, 4), "bidirectional": (6,), "dense": (3,)}
    x = data(shape=(7, 5))[0]
    inside, both, logits = (model.embed(layer, [x])[0] for layer in model.layers())
    np.testing.assert_allclose(inside, model.network.get_layer("sequential").predict_on_batch(x), atol=1e-6)
    np.testing.assert_allclose(logits, both @ model.weights()["dense.kernel"] + model.weights()["dense.bias"], atol=1e-5)
    np.testing.assert_allclose(model.answer(x), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    assert model.weights_until("bidirectional") == tuple(name for name in model.weights() if not name.startswith("dense."))


def test_many_windows_are_answered_in_parts():
    model = MLP(**SMALL).build((6, 5), LABELS)
    x = np.random.default_rng(0).normal(size=(600, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(model.answer(x)[[0, 255, 256, 599]], model.answer(x[[0, 255, 256, 599]]), atol=1e-6)


COSTS = [
    (lambda: keras.layers.Conv1D(4, 3), 5 * 3 * 5 * 4),
    (lambda: keras.layers.Conv1D(4, 3, strides=2, padding="same", use_bias=False), 4 * 3 * 5 * 4),
    (lambda: keras.layers.SeparableConv1D(4, 3), 5 * (3 * 5 + 5 * 4)),
    (lambda: keras.layers.Dense(4), 7 * 5 * 4),
    (lambda: keras.layers.LSTM(4), 7 * (5 * 16 + 4 * 16)),
    (lambda: keras.layers.GRU(4, return_sequences=True), 7 * (5 * 12 + 4 * 12)),
    (lambda: keras.layers.Bidirectional(keras.layers.SimpleRNN(4)), 7 * 2 * (5 * 4 + 4 * 4)),
    (lambda: keras.layers.BatchNormalization(axis=1), 0),
]


@pytest.mark.parametrize(("layer", "macs"), COSTS)
def test_cost_counts_products_of_one_window(layer, macs, monkeypatch):
    def network(frames, dims, outputs):
        x = keras.Input((frames, dims))
        return keras.Model(x, keras.layers.Dense(outputs)(keras.layers.Flatten()(made := layer()(x))[:, :1] + 0 * keras.ops.sum(made)))

    monkeypatch.setitem(NETWORKS, "costs", network)
    model = Mine(kind="costs").build((7, 5), LABELS)
    assert model.cost()["macs"] == macs + 1 * 3
    trained = [array.size for name, array in model.weights().items() if "moving" not in name]
    assert model.cost()["parameters"] == sum(trained)


# ---- weights


def test_weights_are_copies():
    model = MLP(**SMALL).build((6, 5), LABELS)
    weights, x = model.weights(), data()[0]
    answers = model.answer(x)
    for array in weights.values():
        array[:] = 9
    np.testing.assert_array_equal(model.answer(x), answers)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda weights: weights.pop("out.bias"), r"out.bias: \(3,\), got none"),
        (lambda weights: weights.update({"more": np.zeros(2)}), r"more: none, got \(2,\)"),
        (lambda weights: weights.update({"out.kernel": np.zeros((3, 16))}), r"out.kernel: \(16, 3\), got \(3, 16\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, says):
    model = MLP(**SMALL).build((6, 5), LABELS)
    before, weights = model.weights(), {name: array + 1 for name, array in model.weights().items()}
    change(weights)
    with pytest.raises(ModelError, match=says):
        model.set_weights(weights)
    assert same(model, before)


@by_keras_itself
@pytest.mark.parametrize("labels", [LABELS, ("c", "a")])
def test_a_file_of_keras_is_taken(tmp_path, labels):
    old = SB_CNN(**CNN).build(SHAPE, LABELS, seed=5)
    old.network.save(tmp_path / "model.h5")
    x = data(shape=SHAPE)[0]
    model = SB_CNN(**CNN).build(SHAPE, labels, task="tagging")
    model.load_weights(tmp_path / "model.h5", labels=LABELS)
    columns = [LABELS.index(label) for label in labels]
    np.testing.assert_allclose(model._outputs(x), old._outputs(x)[:, columns], atol=1e-6)


def test_own_files_are_taken(tmp_path):
    old = SB_CNN(**CNN).build(SHAPE, LABELS, seed=5)
    model = SB_CNN(**CNN).build(SHAPE, LABELS).load_weights(old.save(tmp_path) / "weights.safetensors")
    assert same(model, old)


@by_keras_itself
def test_a_file_with_more_layers_is_refused(tmp_path):
    large = MLP(hidden_layers_size=(16, 4), dropout_rates=(0, 0)).build((6, 5), LABELS)
    large.network.save(tmp_path / "large.h5")
    with pytest.raises(ModelError, match=r"large.h5 does not fit this MLP"):
        MLP(hidden_layers_size=(16,), dropout_rates=(0,)).build((6, 5), ("x", "y", "z", "w")).load_weights(tmp_path / "large.h5")


# ---- what cannot be built


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("layer", r"network_for must give keras.Model\(input, output\)"),
        ("lazy", "a keras.Sequential that begins with keras.Input"),
        ("two_inputs", "network_for must give"),
        ("same_names", "several weights of the network are named twin.weight; give their layers names"),
    ],
)
def test_a_network_that_does_not_fit_the_container_is_refused(kind, says):
    with pytest.raises(ModelError, match=says):
        Mine(kind=kind).build((7, 5), LABELS)


def test_a_network_that_keras_refuses_is_refused_with_its_settings():
    with pytest.raises(ModelError, match=r"MLP cannot be built with the settings \{.*'hidden_layers_size': \(-1,\)"):
        MLP(hidden_layers_size=(-1,), dropout_rates=(0.0,)).build((6, 5), LABELS)


def test_the_models_are_found_by_name():
    assert {f"keras.{name}" for name in ("mlp", "sb_cnn", "sb_cnn_sed", "a_crnn", "mst", "smel", "vggish")} <= set(discover.names("models"))
    assert discover.load("models", "keras/SB_CNN") is SB_CNN
    assert discover.address(SB_CNN) == "keras.sb_cnn"
    assert discover.load("models", "SB_CNN") is TorchSB_CNN


@pytest.mark.parametrize(
    ("chosen", "backend", "missing", "says"),
    [
        (None, "torch", "keras", "keras is not installed; run: pip install 'dcasekit[keras]'"),
        (None, "torch", "torch", "torch is not installed; run: pip install 'dcasekit[keras]'"),
        ("jax", "jax", "jax", None),
    ],
)
def test_keras_is_asked_for_on_pytorch_unless_another_backend_was_chosen(chosen, backend, missing, says):
    """Only what is missing, and when it is noticed: Keras itself is not imported here."""
    code = """
import json, os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            raise ModuleNotFoundError(name=sys.argv[1])

sys.meta_path.insert(0, Missing())
from dcasekit.core import discover
errors = []
for load in (lambda: discover.load("models", "keras.mlp"), lambda: __import__("dcasekit.containers.keras")):
    try:
        load()
    except ImportError as error:
        errors.append([type(error).__name__, str(error)])
print(json.dumps([errors, os.environ["KERAS_BACKEND"], "torch" in sys.modules]))
"""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | (
        {"KERAS_BACKEND": chosen} if chosen else {}
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, missing], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    errors, found, torch_imported = json.loads(done.stdout)
    assert found == backend
    assert not torch_imported
    if says is None:  # the package of a backend that is chosen by the user is no part of an extra
        assert [kind for kind, _ in errors] == ["ModuleNotFoundError"] * 2
    else:
        assert errors == [["MissingExtraError", says]] * 2
