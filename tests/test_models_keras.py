"""The Keras models are the PyTorch models of the same names: with the same weights they answer, cost and learn the same."""

from dataclasses import fields

import numpy as np
import pytest

import dcasekit
from dcasekit.containers._keras_layers import shapes_of
from dcasekit.containers._keras_weights import role, to_keras, to_torch
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.errors import ModelError
from dcasekit.generator import Arrays

LABELS = tuple("abcdefghij")
NAMES = ("mlp", "sb_cnn", "sb_cnn_sed", "a_crnn", "mst", "smel", "vggish", "concatenated")
SHAPES = {"mlp": (6, 12), "a_crnn": (5, 20), "mst": (10, 64), "smel": (4, 256), "vggish": (9, 7), "concatenated": (40, 256)}
CRNN = {"filters": 4, "rnn_units": (5, 3), "dense_units": (6,)}

pytestmark = pytest.mark.usefixtures("one_thread")


def models(name, settings, shape, **more):
    """A Keras model and its twin, of different weights."""
    both = [discover.load("models", address)(**settings) for address in (f"keras.{name}", name)]
    return [model.build(shape, LABELS, seed=seed, **more) for seed, model in enumerate(both)]


def layers(model):
    """The weights of a Keras model: layer -> role -> array."""
    found = {}
    for name, array in model.weights().items():
        found.setdefault(name.rpartition(".")[0], {})[role(name.replace(".", "/"))] = array
    return found


def as_torch(model, twin):
    """The weights of a Keras model, under the names of its twin."""
    return {**twin.weights(), **to_torch(layers(model), twin.weights())}


def shaken(model):
    """Give a model weights of its own everywhere: no zero bias or unit scale can hide a mistake."""
    rng = np.random.default_rng(0)
    weights = {
        name: array * (0.7 + 0.6 * rng.random(array.shape, np.float32)) + (rng.uniform(0, 0.2, array.shape) if array.ndim == 1 else 0)
        for name, array in model.weights().items()
    }
    model.set_weights(weights)
    return model


def windows(shape, count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


IN_SERIES = {"second": {"class": "a_crnn", "settings": {**CRNN, "target": "frame"}}}
VARIANTS = [
    ("mlp", {}),
    ("mlp", {"hidden_layers_size": (5,), "dropout_rates": (0.0,)}),
    ("mlp", {"hidden_layers_size": (), "dropout_rates": ()}),
    ("sb_cnn", {}),
    ("sb_cnn", {"filters": (3, 4, 5), "filter_size": (3, 2), "pool_size": ((2, 3), (3, 2)), "n_dense": 7, "batch_norm": False}),
    ("sb_cnn_sed", {"filters": 6, "n_dense": (7, 5), "input_norm": True}),
    ("sb_cnn_sed", {"filters": 3, "filter_size": (3, 4), "pool_size": (3, 2), "n_dense": ()}),
    ("a_crnn", CRNN),
    ("a_crnn", {**CRNN, "bidirectional": True, "norm_axis": "frequency"}),
    ("a_crnn", {**CRNN, "gru": "sigmoid_before", "target": "frame"}),
    ("a_crnn", {**CRNN, "gru": "sigmoid_before", "bidirectional": True, "dense_units": ()}),
    ("a_crnn", {**CRNN, "gru": "sigmoid_after", "target": "window", "pool_size": (2, 3)}),
    ("a_crnn", {**CRNN, "gru": "sigmoid_after", "bidirectional": True, "rnn_units": (4,)}),
    ("mst", {"audio_win": 100, "audio_hop": 48, "filters": (12, 8)}),
    ("mst", {"audio_win": 32, "audio_hop": 64, "filters": (5,)}),
    ("smel", {}),
    ("smel", {"sr": 8000, "audio_win": 300, "alpha": 2.0, "amin": 1e-4, "minmax": (-60.0, 10.0)}),
    ("smel", {"audio_win": 201}),
    ("vggish", {}),
    ("vggish", {"pooling": "max"}),
    ("concatenated", {"second": {"class": "sb_cnn_sed", "settings": {"filters": 3}}, "bands": 32}),
    ("concatenated", {"first": {"class": "mst", "settings": {"audio_hop": 64, "filters": (5, 4)}}, **IN_SERIES, "bands": 20}),
    ("concatenated", {**IN_SERIES, "bands": 20, "batch_norm": True}),
]


# The network of an MLP depends on the task, and that of an A-CRNN without target.
POOLED = [
    (name, {**settings, "pooling": pooling})
    for name, settings in (("mlp", {}), ("a_crnn", CRNN))
    for pooling in ("max", "autopool", "mean")
]
CASES = [(name, settings, "detection") for name, settings in VARIANTS]
CASES += [(name, settings, task) for name, settings in POOLED for task in ("tagging", "classification")]
CASES += [(name, settings, "classification") for name, settings in VARIANTS if name == "mlp" or settings == CRNN]


@pytest.mark.parametrize(("name", "settings", "task"), CASES, ids=lambda value: value if isinstance(value, str) else ",".join(value))
def test_a_model_is_its_twin(name, settings, task):
    shape = SHAPES.get(name, (52, 36))
    model, twin = models(name, settings, shape, task=task)
    x = windows(shape)
    assert np.abs(model.answer(x) - twin.answer(x)).max() > 1e-4 or name == "smel"  # of which the start is not drawn
    shaken(model)
    twin.set_weights(as_torch(model, twin))
    # dB are computed of energies as small as 1e-10: what is compared is the level, of some tens.
    np.testing.assert_allclose(model.answer(x), twin.answer(x), atol=1e-5 if name != "smel" else 1e-3)
    assert np.ptp(model.answer(x)) > 1e-3
    assert model.cost() == twin.cost()
    back = to_keras(twin.weights(), layers(model))
    for layer, roles in layers(model).items():
        for key, array in roles.items():
            np.testing.assert_array_equal(back[layer][key], array)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_twin_s(name):
    model, twin = discover.load("models", f"keras.{name}"), discover.load("models", name)
    assert model.__name__ == twin.__name__
    assert model.PUBLISHED_FOR == twin.PUBLISHED_FOR
    assert [(field.name, field.default) for field in fields(model)] == [(field.name, field.default) for field in fields(twin)]


@pytest.mark.parametrize("name", ["mlp", "a_crnn", "mst", "smel", "vggish"])
def test_a_network_takes_as_many_frames_as_its_twin(name):
    settings = CRNN if name == "a_crnn" else {}
    frames, dims = SHAPES[name]
    model, twin = models(name, settings, (frames, dims), task="detection")
    twin.set_weights(as_torch(model, twin))
    for other in (frames - 2, frames + 4):
        x = windows((other, dims))
        np.testing.assert_allclose(model.answer(x), twin.answer(x), atol=1e-3 if name == "smel" else 1e-5)


PUBLISHED = [
    ("mlp", {}, (64, 12), 10_570, 10_570),
    ("sb_cnn", {}, (64, 128), 241_914, 241_674),
    ("sb_cnn", {"pool_size": ((4, 2), (4, 2)), "batch_norm": False}, (128, 128), 241_434, 241_434),
    ("sb_cnn_sed", {}, (64, 128), 1_129_674, 1_129_290),
    ("sb_cnn_sed", {"filters": 128, "n_dense": (128, 128)}, (64, 128), 4_528_650, 4_527_882),
    ("a_crnn", {}, (64, 128), 382_506, 381_738),
    ("a_crnn", {"norm_axis": "frequency"}, (64, 128), 381_630, 381_300),
    ("a_crnn", {"norm_axis": "frequency", "gru": "sigmoid_after"}, (64, 128), 381_630 + 192, 381_300 + 192),
    ("vggish", {}, (96, 64), 4_499_712 + 5130, 4_499_712 + 5130),
]


@pytest.mark.parametrize(("name", "settings", "shape", "numbers", "trained"), PUBLISHED)
def test_published_sizes(name, settings, shape, numbers, trained):
    model = discover.load("models", f"keras.{name}")(**settings).build(shape, LABELS)
    assert sum(array.size for array in model.weights().values()) == numbers
    assert sum(np.prod(variable.shape) for variable in model.network.trainable_variables) == trained


def test_published_names():
    model, _ = models("sb_cnn", {}, (52, 36))
    convolutions = ["conv1", "maxpool1", "batchnorm1", "conv2", "maxpool2", "batchnorm2", "conv3", "batchnorm3"]
    assert list(model.layers()) == [*convolutions, "flatten", "dropout1", "dense1", "dropout2", "out"]
    assert list(model.weights())[:6] == [
        "conv1.kernel",
        "conv1.bias",
        *(f"batchnorm1.{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")),
    ]
    model, _ = models("a_crnn", {**CRNN, "bidirectional": True}, (5, 20))
    assert model.layers()["gru2"] == (5, 3)
    assert "gru2.backward_recurrent_kernel" in model.weights()


def test_vggish_with_top_is_its_twin():
    settings = {"include_top": True, "compress": True, "embedding_size": 20}
    model, twin = models("vggish", settings, (9, 7))
    shaken(model)
    twin.set_weights(as_torch(model, twin))
    names = list(model.layers())
    assert [name for name in names if "conv" in name] == ["conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"]
    assert names[-6:] == ["flatten", "fc1_1", "fc1_2", "fc2", "embedding", "out"]
    x = windows((9, 7))
    for ours, theirs, close in (("fc2", "embedding.fc2_relu", 1e-5), ("embedding", "embedding", 1)):
        (found,), (expected,) = model.embed(ours, [x]), twin.embed(theirs, [x])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=close)
        assert np.ptp(found) > 0
    assert set(np.unique(found % 1)) == {0}
    assert found.max() <= 255
    assert model.cost() == twin.cost()
    before = model.weights()
    model.fit(Arrays(x, np.eye(10)[:3], labels=LABELS), None, Training(epochs=1))
    assert [name for name, array in model.weights().items() if not np.array_equal(array, before[name])] == ["out.kernel", "out.bias"]


# ---- training


LEARNING = [
    ("mlp", {"dropout_rates": (0.0, 0.0), "l2_reg": 0.05}, "classification"),
    ("sb_cnn", {"filters": (3, 4, 5), "dropout": 0.0, "l2_reg": 0.05}, "classification"),
    ("sb_cnn_sed", {"filters": 4, "dropout": 0.0, "input_norm": True}, "tagging"),
    ("a_crnn", {**CRNN, "dropout": 0.0, "bidirectional": True}, "detection"),
    ("a_crnn", {**CRNN, "dropout": 0.0, "gru": "sigmoid_after"}, "tagging"),
]


@pytest.mark.parametrize(("name", "settings", "task"), LEARNING)
def test_a_model_learns_as_its_twin(name, settings, task):
    """Two epochs on the same batches, without dropout: penalty, loss, gradients and running statistics are the same."""
    shape = SHAPES.get(name, (84, 68))  # PyTorch's running variance is n / (n - 1) times Keras': maps of the last block need some places
    records, ours, theirs = learned(name, settings, shape, task, optimizer="sgd", learning_rate=0.01)
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(*([record[key] for record in run] for run in records), rtol=1e-4)
    for key, array in ours.items():
        # PyTorch keeps the running mean of the unbiased variance, of n / (n - 1) times the size.
        close = {"rtol": 0.02} if key[1] == "moving_variance" else {"atol": 1e-5}
        np.testing.assert_allclose(array, theirs[key], err_msg=str(key), **close)


def test_after_one_step_both_evaluate_with_the_statistics_of_its_batch():
    """Of windows far from zero mean and unit variance; of the start's zero and one, 0.99 would be left."""
    settings, x = {"filters": (3, 4, 5), "dropout": 0.0, "l2_reg": 0.0}, 50 + 20 * windows((84, 68), 12)
    records, ours, theirs = learned("sb_cnn", settings, (84, 68), "classification", x=x, batch_size=12, epochs=1, learning_rate=1e-9)
    for record, weights in zip(records, (ours, theirs), strict=True):
        assert record[0]["val_loss"] == pytest.approx(record[0]["loss"], rel=1e-2)
        assert weights["batchnorm1", "moving_mean"].max() > 5
    again, new = (dcasekit.models.SB_CNN(**settings).build((84, 68), LABELS) for _ in range(2))
    data, other = (Arrays(each, np.eye(10)[np.arange(12) % 10], labels=LABELS) for each in (x, -x))

    def running_mean(model, batch):
        model.fit(batch, None, Training(epochs=1, learning_rate=1e-9, device="cpu"))
        return model.weights()["convolutions.3.running_mean"]

    # What was trained before keeps 0.99 of its statistics; those of the batch are what it leaves in a new network.
    expected = 0.99 * running_mean(again, data) + 0.01 * running_mean(new, other)
    np.testing.assert_allclose(running_mean(again, other), expected, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_learning_rate_goes_as_the_twin_s(schedule):
    """Silence gives the first kernel no gradient: what becomes of it is the product of decay and rate over all steps."""
    settings = {"dropout_rates": (0.0, 0.0), "l2_reg": 0.0}
    decay = {"optimizer": "adamw", "weight_decay": 0.5, "schedule": schedule, "learning_rate": 0.02, "epochs": 5, "monitor": "loss"}
    records, ours, theirs = learned("mlp", settings, (6, 12), "tagging", x=np.zeros((12, 6, 12)), **decay)
    np.testing.assert_allclose(*([record["learning_rate"] for record in run] for run in records), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(ours["dense1", "kernel"], theirs["dense1", "kernel"], rtol=1e-5)


def learned(name, settings, shape, task, x=None, **training):
    """Train a model and its twin from the same weights: records of both, and weights of both by Keras' layer and role."""
    model, twin = models(name, settings, shape, task=task)
    twin.set_weights(as_torch(model, twin))
    per_frame = (shape[0],) if task == "detection" else ()
    y = np.eye(10)[np.random.default_rng(1).integers(10, size=(12, *per_frame))]
    data = Arrays(windows(shape, 12) if x is None else x, y, labels=LABELS, task=task)
    records = [each.fit(data, data, Training(**{"epochs": 2, "batch_size": 4, "device": "cpu", **training})) for each in (model, twin)]
    found = layers(model)
    each = [
        {(layer, key): array for layer, roles in part.items() for key, array in roles.items()}
        for part in (found, to_keras(twin.weights(), found))
    ]
    return records, *each


@pytest.mark.parametrize(("name", "settings"), [("mst", {"audio_win": 64, "audio_hop": 32, "filters": (8, 8)}), ("smel", {})])
def test_a_front_end_is_a_regression(tmp_path, name, settings):
    shape = SHAPES[name]
    model, twin = models(name, settings, shape)
    x = windows(shape, 8)
    y = twin.answer(x)  # of other weights
    if name == "smel":
        np.testing.assert_array_equal(model.target(x, 10), twin.target(x, 10))
        y = model.target(x, 10)
    rate = 1e-2 if name == "mst" else 1e-6  # published
    kind = type(model)
    records = kind(**settings).train((x, y), epochs=4, batch_size=4, learning_rate=rate, loss="mse", device="cpu")
    assert records[-1]["loss"] < records[0]["loss"]
    with pytest.raises(ModelError, match="outputs levels"):
        model.evaluate((x, y))
    with pytest.raises(ModelError, match="learns by loss='mse', not 'cross_entropy'"):
        kind(**settings).train((x, y), loss="cross_entropy", device="cpu")
    answers = model.answer(x)
    assert answers.dtype == np.float32
    assert answers.shape[2] == 10
    np.testing.assert_array_equal(dcasekit.load(model.save(tmp_path)).answer(x), answers)


def test_filters_of_smel_start_as_the_twin_s():
    model, twin = models("smel", {"sr": 8000}, (4, 256))
    np.testing.assert_array_equal(model.weights()["conv.kernel"], twin.weights()["conv.weight"].transpose(2, 1, 0))


def test_a_layer_inside_smel_that_mixes_windows_is_not_shown():
    model, _ = models("smel", {"audio_win": 64}, (5, 100))
    assert set(shapes_of(model.network, windows((5, 100)))) == {"audio", "conv", "energy"}
    assert model.layers() == {"audio": (500,), "energy": (5, 10)}


def test_directions_start_apart():
    model, _ = models("a_crnn", {**CRNN, "bidirectional": True}, (5, 20))
    weights = model.weights()
    for part in ("kernel", "recurrent_kernel"):
        forward, backward = (weights[f"gru1.{direction}_{part}"] for direction in ("forward", "backward"))
        assert np.abs(forward - backward).max() > 0.1
    np.testing.assert_allclose(backward @ backward.T, np.eye(5), atol=1e-5)  # orthogonal


@pytest.mark.parametrize(
    ("name", "settings", "shape"),
    [
        ("mlp", {"dropout_rates": (0.5,)}, (6, 12)),
        ("sb_cnn", {}, (20, 40)),
        ("sb_cnn", {}, (40, 12)),
        ("sb_cnn", {"filters": (24, 48)}, (64, 128)),
        ("sb_cnn_sed", {}, (31, 40)),
        ("sb_cnn_sed", {}, (40, 31)),
        ("a_crnn", {}, (10, 19)),
        ("a_crnn", {"gru": "sigmoid"}, (10, 40)),
        ("a_crnn", {"target": "clip"}, (10, 40)),
        ("smel", {"audio_win": 2000}, (4, 100)),
        ("smel", {"sr": 44100}, (4, 64)),
        ("vggish", {"pooling": "mean"}, (8, 8)),
        ("vggish", {"compress": True}, (8, 8)),
    ],
)
def test_what_the_twin_refuses_is_refused(name, settings, shape):
    messages = []
    for address in (f"keras.{name}", name):
        model = discover.load("models", address)(**settings)
        with pytest.raises(ModelError) as raised:
            model.build(shape, LABELS)
        messages.append(str(raised.value).partition(" and pools")[0])
    assert messages[0] == messages[1]


@pytest.mark.parametrize("name", ["sb_cnn_sed", "sb_cnn"])
def test_the_smallest_windows_are_the_twin_s(name):
    for shape in ((32, 32), (33, 35)):
        fits = []
        for address in (f"keras.{name}", name):
            try:
                fits.append(discover.load("models", address)().build(shape, LABELS).cost())
            except ModelError as error:
                fits.append(str(error))
        assert fits[0] == fits[1]
