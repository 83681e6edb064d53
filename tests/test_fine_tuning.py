"""Layers, their outputs, and training on from the weights of a trained model."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import dcasekit
from dcasekit import DataGenerator, Scaler, testing
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import Arrays
from dcasekit.models import MLP, SB_CNN, CompactCNN

SMALL = {"filters": (4, 4, 6, 6)}
QUICK = {"epochs": 2, "batch_size": 8, "device": "cpu", "learning_rate": 0.01}

pytestmark = pytest.mark.usefixtures("one_thread")


def data(seed=0, each=10, labels=3, frames=10):
    """Windows of as many kinds as there are labels; easy to tell apart."""
    patterns = np.random.default_rng(99).normal(size=(labels, 1, 12))
    x = np.repeat(patterns, each, axis=0) + np.random.default_rng(seed).normal(0, 0.3, (labels * each, frames, 12))
    return x.astype(np.float32), np.repeat(np.eye(labels, dtype=np.float32), each, axis=0)


def trained(**settings):
    model = CompactCNN(**SMALL)
    model.train(data(), **{**QUICK, **settings})
    return model


def weights_of(model):
    return {name: array.copy() for name, array in model.weights().items()}


def changed(before, after):
    return {name for name in after if not np.array_equal(before.get(name), after[name])}


def timeless(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


HEAD = {"out.weight", "out.bias"}


# ---- layers


def test_layers_stand_in_the_order_of_the_forward_pass_with_their_shapes():
    layers = SB_CNN().build((64, 128), tuple("abcd")).layers()
    # The dropout comes before each of the dense layers: its last use counts.
    assert list(layers) == [*(f"convolutions.{n}" for n in range(11)), "convolutions", "dense", "dropout", "out"]
    assert layers["convolutions.0"] == (24, 60, 124)
    assert layers["convolutions"] == layers["convolutions.10"] == (48, 2, 25)
    assert layers["dense"] == (64,)
    assert layers["out"] == (4,)


@dataclass(kw_only=True, eq=False)
class Odd(TorchModelContainer):
    """Has a module used twice, a recurrent one, one without windows in front, one of no tensor, and one that is never used."""

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Pair(nn.Module):
            def forward(self, x):
                return {"one": x, "other": x}

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.relu = nn.ReLU(inplace=True)
                self.first = nn.Linear(dims, 5)
                self.framewise = nn.Linear(5, 5)
                self.second = nn.Linear(5, 6)
                self.gru = nn.GRU(6, 7, batch_first=True)
                self.unused = nn.Linear(2, 2)
                self.pair = Pair()
                self.out = nn.Linear(7, outputs)

            def forward(self, x):
                hidden = self.relu(self.first(x))
                hidden = self.framewise(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
                states, _ = self.gru(self.relu(self.second(hidden)))
                return self.out(self.pair(states)["one"].mean(1))

        return Network()


def test_what_is_no_output_of_windows_is_no_layer_and_what_is_used_twice_counts_last():
    model = Odd().build((10, 12), tuple("abc"))
    assert model.layers() == {"first": (10, 5), "second": (10, 6), "relu": (10, 6), "gru": (10, 7), "out": (3,)}
    x, _ = data()
    relu, second = model.embed("relu", x)[0], model.embed("second", x)[0]
    np.testing.assert_array_equal(relu, second.clip(0))
    assert second.min() < 0  # although the next module works in place
    first = {f"{name}.{kind}" for name in ("first", "framewise", "second") for kind in ("weight", "bias")}
    assert set(model.weights_until("second")) == first
    assert set(model.weights_until("gru")) == first | {name for name in model.weights() if name.startswith("gru")}
    with pytest.raises(ModelError, match="Odd has no layer 'framewise'.*Known: first, second, relu, gru, out"):
        model.embed("framewise", x)


def test_embed_gives_what_the_layer_computes():
    model = MLP(hidden_layers_size=(5, 4), dropout_rates=(0.5, 0.5)).build((10, 12), tuple("abc"))
    x, _ = data()
    weights = model.weights()
    hidden = np.maximum(0, x @ weights["layers.0.weight"].T + weights["layers.0.bias"])
    found = model.embed("layers.1", list(np.split(x, 3)))
    assert [part.shape for part in found] == [(10, 10, 5)] * 3
    np.testing.assert_allclose(np.concatenate(found), hidden, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(model.embed("layers.2", [x])), hidden, atol=1e-5)  # dropout, as in prediction


def test_embed_of_the_head_and_answers_agree_for_many_windows():
    model = trained()
    x = np.random.default_rng(0).normal(size=(600, 10, 12)).astype(np.float32)
    (logits,) = model.embed("out", [x])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), model.answer(x), atol=1e-5)


def test_a_misspelt_layer_is_answered_with_the_right_one():
    with pytest.raises(ModelError, match=r"CompactCNN has no layer 'convolution'\. Did you mean 'convolutions'\?"):
        trained().embed("convolution", data()[0])
    with pytest.raises(ModelError, match="has no network yet"):
        CompactCNN().embed("out", data()[0])
    with pytest.raises(ModelError, match="takes windows of 12 dims; got 11"):
        trained().embed("out", data()[0][..., 1:])


# ---- fine-tuning


def test_all_but_the_head_stays_as_it_is_bit_for_bit():
    """Also batch normalisation's running statistics, with decaying and averaged weights."""
    model = trained()
    before, parameters = weights_of(model), model.cost()["parameters"]
    x, y = data(1, labels=4)
    history = model.fine_tune((x, y), (x, y), **{**QUICK, "epochs": 12}, average=0.5, optimizer="adamw", weight_decay=0.1)
    assert changed(before, model.weights()) == HEAD
    assert history == model.history
    assert [record["epoch"] for record in history] == list(range(1, 13))
    assert history[-1]["loss"] < history[0]["loss"]
    assert set(history[0]) == {"epoch", "loss", "learning_rate", "seconds", "val_loss", "val_accuracy"}
    assert model.labels == tuple("0123")
    assert model.training["freeze"] == "all"
    assert model.cost()["parameters"] == parameters + 3 * 6 + 1
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_what_was_learned_is_of_use():
    """Of the kinds that a model knows, a new head tells one from the others after few epochs: better than one on a random network."""
    x, y = data(each=30)
    model, random = CompactCNN(filters=(8, 8, 8, 8)), CompactCNN(filters=(8, 8, 8, 8)).build((10, 12), tuple("abc"))
    model.train((x, y), epochs=20, batch_size=16, learning_rate=0.01, device="cpu")
    losses = []
    for one in (model, random):
        one.fine_tune((x, np.roll(y, 1, axis=1)), epochs=4, batch_size=16, learning_rate=0.01, device="cpu")
        losses.append(one.history[-1]["loss"])
    assert losses[0] < losses[1] / 1.5
    x, y = data(2)
    assert model.evaluate((x, np.roll(y, 1, axis=1))).numbers["accuracy"] > 0.9


def test_with_none_frozen_all_learn():
    model = trained()
    before = weights_of(model)
    model.fine_tune(data(1), freeze="none", **QUICK)
    assert changed(before, model.weights()) == set(before)


@pytest.mark.parametrize("layer", ["scale", "convolutions.3", "convolutions.4", "convolutions"])
def test_what_comes_up_to_a_layer_stays_as_it_is(layer):
    model = trained()
    before = weights_of(model)
    numbers = {"scale": -1, "convolutions.3": 3, "convolutions.4": 4, "convolutions": 99}
    kept = {name for name in before if name.startswith("scale")}
    kept |= {name for name in before if name.startswith("convolutions") and int(name.split(".")[1]) <= numbers[layer]}
    model.fine_tune(data(1), freeze=layer, **QUICK)
    assert changed(before, model.weights()) == set(before) - kept
    assert set(model.weights_until(layer)) == kept


def test_freezing_the_head_or_an_unknown_layer_is_refused():
    model = trained()
    with pytest.raises(ModelError, match=r"freeze='out' would keep the head \(out.bias, out.weight\) from learning"):
        model.fine_tune(data(), freeze="out")
    with pytest.raises(ModelError, match="has no layer 'convolution'. Did you mean 'convolutions'"):
        model.fine_tune(data(), freeze="convolution")


def test_labels_come_from_the_data_or_are_given():
    x, y = data(labels=4)
    model = trained()
    model.fine_tune((x, y), labels=("dog", "cat", "cow", "hen"), **QUICK)
    assert model.labels == ("dog", "cat", "cow", "hen")
    assert model.predict(x[:1])[0].labels == model.labels
    model.fine_tune(Arrays(x, y, labels=list("wxyz"), task="tagging"), **QUICK)
    assert (model.labels, model.task) == (tuple("wxyz"), "tagging")
    with pytest.raises(ModelError, match="labels= names a, b, c, d; the data have w, x, y, z"):
        model.fine_tune(Arrays(x, y, labels=list("wxyz")), labels=tuple("abcd"))
    with pytest.raises(ModelError, match="Y has 4 columns, the model 2 labels"):
        model.fine_tune((x, y), labels=("a", "b"))


def test_the_head_is_new_even_where_labels_and_their_number_are_the_same():
    model = trained()
    before = weights_of(model)
    fresh = CompactCNN(**SMALL).build((10, 12), model.labels, seed=5).weights()
    heads = []
    model.fine_tune(data(), **{**QUICK, "learning_rate": 1e-12}, seed=5, callbacks=[lambda _: heads.append(weights_of(model))])
    np.testing.assert_allclose(heads[0]["out.weight"], fresh["out.weight"], atol=1e-6)
    assert not np.allclose(before["out.weight"], fresh["out.weight"], atol=1e-2)


def test_one_seed_gives_one_model_and_another_another():
    def tuned(seed):
        model = trained()
        model.fine_tune(data(1, labels=4), freeze="convolutions.4", **QUICK, seed=seed)
        return model

    first, again, other = map(tuned, (1, 1, 2))
    assert not changed(first.weights(), again.weights())
    assert timeless(first.history) == timeless(again.history)
    assert changed(first.weights(), other.weights()) > HEAD


def test_a_refusal_leaves_the_model_as_it_was():
    model = trained()
    before, facts = weights_of(model), (model.labels, model.history, model.shape)
    x, y = data(labels=4)
    for wrong, says in (
        (((x[..., 1:], y),), "takes windows of 12 dims; got 11"),
        (((x, y), (x, y[:, :3])), "Y has 3 columns, the model 4 labels"),
        (((x, y[1:]),), "the same windows"),
    ):
        with pytest.raises(ModelError, match=says):
            model.fine_tune(*wrong, **QUICK)
    with pytest.raises(ModelError, match="Did you mean 'epochs'"):
        model.fine_tune((x, y), epoch=1)
    assert not changed(before, model.weights())
    assert (model.labels, model.history, model.shape) == facts
    with pytest.raises(ModelError, match="has no network yet"):
        CompactCNN().fine_tune((x, y))


def test_windows_may_be_longer_if_the_network_takes_them():
    model = trained()
    x, y = data(1, frames=16)
    model.fine_tune((x, y), **QUICK)
    assert model.shape == (16, 12)
    fixed = SB_CNN(pool_size=((1, 1), (1, 1)), filter_size=(3, 3), filters=(2, 2, 2), n_dense=4)
    fixed.train(data(), **QUICK)
    before = weights_of(fixed)
    with pytest.raises(ModelError, match=r"windows of \(16, 12\) \(frames, dims\) need other weights than the \(10, 12\).*dense\.weight"):
        fixed.fine_tune((x, y), **QUICK)
    assert not changed(before, fixed.weights())


@dataclass(kw_only=True, eq=False)
class Fixed(TorchModelContainer):
    """Has tensors of its own for each label, besides one that grows with them; or none that depends on them."""

    per_label: bool = False

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Network(nn.Module):
            def __init__(self, count):
                super().__init__()
                self.heads = nn.ModuleList([nn.Linear(dims, 1) for _ in range(count)])
                self.bias = nn.Parameter(torch.zeros(count))

            def forward(self, x):
                return torch.cat([head(x.mean(1)) for head in self.heads], dim=1).expand(-1, outputs) + self.bias

        return Network(outputs if self.per_label else 1)


@pytest.mark.parametrize("per_label", [True, False])
def test_a_network_whose_head_cannot_be_told_is_refused(per_label):
    model = Fixed(per_label=per_label).build((10, 12), tuple("abc"))
    with pytest.raises(ModelError, match="Fixed has no head that could be replaced"):
        model.fine_tune(data(), **QUICK)


# ---- interruptions


@pytest.mark.parametrize("freeze", ["all", "convolutions.4", "none"])
def test_a_stopped_fine_tuning_resumes_to_the_same_model(tmp_path, freeze):
    settings = {**QUICK, "epochs": 5, "freeze": freeze, "average": 0.9, "schedule": "cosine"}
    models = [trained() for _ in range(3)]
    models[0].fine_tune(data(1, labels=4), data(2, labels=4), **settings)
    stop = [lambda record: record["epoch"] == 2]
    models[1].fine_tune(data(1, labels=4), data(2, labels=4), **settings, resume=tmp_path, callbacks=stop)
    models[2].fine_tune(data(1, labels=4), data(2, labels=4), **settings, resume=tmp_path)
    assert len(models[1].history) == 2
    assert not changed(models[0].weights(), models[2].weights())
    assert timeless(models[0].history) == timeless(models[2].history)


def test_a_checkpoint_of_another_start_is_refused(tmp_path):
    trained().fine_tune(data(1), **QUICK, resume=tmp_path)
    for model, settings in ((trained(seed=1), {}), (trained(), {"freeze": "none"})):
        with pytest.raises(ModelError, match="belongs to another run: start differ"):
            model.fine_tune(data(1), **QUICK, resume=tmp_path, **settings)
    with pytest.raises(ModelError, match="belongs to another run"):
        CompactCNN(**SMALL).train(data(1), **QUICK, resume=tmp_path)


def test_training_after_fine_tuning_starts_anew():
    model = trained()
    first = weights_of(model)
    model.fine_tune(data(1, labels=4), **QUICK)
    model.train(data(), **QUICK)
    assert not changed(first, model.weights())
    assert "freeze" not in model.training


# ---- the front end


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two datasets of other labels, and a feature of both."""
    feature = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16), sequence_time=0.2, sequence_hop_time=0.1)
    found = [testing.make_dataset(name, tmp_path_factory.mktemp(name), clips=30, seconds=0.5, sr=8000) for name in ("esc10", "esc50")]
    for dataset in found:
        feature.extract(dataset)
    return (*found, feature)


@pytest.fixture(scope="module")
def pretrained(sounds, tmp_path_factory):
    """A saved model of the second dataset."""
    _, dataset, feature = sounds
    train = DataGenerator(dataset, feature, folds=["train"])
    train.set_scaler(Scaler().fit(train))
    model = CompactCNN(**SMALL)
    model.train(train, epochs=1, device="cpu")
    return model.save(tmp_path_factory.mktemp("pretrained"))


def test_a_tuned_model_predicts_from_files_with_the_front_end_it_had(sounds, pretrained, tmp_path):
    dataset, _, feature = sounds
    model = dcasekit.load(pretrained)
    scaler = model.scaler
    parts = {name: DataGenerator(dataset, feature, folds=[name], scaler=scaler, train=name == "train") for name in ("train", "val", "test")}
    before = weights_of(model)
    model.fine_tune(parts["train"], parts["val"], epochs=2, device="cpu")
    assert changed(before, model.weights()) == HEAD
    assert model.labels == dataset.labels
    assert (model.features, model.scaler.to_dict()) == (feature, scaler.to_dict())
    loaded = dcasekit.load(model.save(tmp_path))
    assert loaded.training["freeze"] == "all"
    paths = [clip.path for clip in parts["test"].clips]
    for one, other in zip(model.predict(parts["test"]), loaded.predict(paths), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    for one, other in zip(model.embed("dropout", parts["test"]), loaded.embed("dropout", paths), strict=True):
        assert one.shape[1:] == model.layers()["dropout"]
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_data_made_otherwise_are_refused(sounds, pretrained):
    dataset, _, feature = sounds
    model = dcasekit.load(pretrained)
    with pytest.raises(
        ModelError, match=(r"scaled in another way than those the model was trained on; .* call data.set_scaler\(model.scaler\)")
    ):
        model.fine_tune(DataGenerator(dataset, feature, folds=["train"], scaler=Scaler("minmax").fit(np.eye(16))))
    other = MelSpectrogram(sr=8000, audio_win=256, audio_hop=64, mel=Mel(bands=16), sequence_time=0.2, sequence_hop_time=0.1)
    other.extract(dataset)
    with pytest.raises(ModelError, match="use features=model.features"):
        model.fine_tune(DataGenerator(dataset, other, folds=["train"], scaler=model.scaler))
    good = DataGenerator(dataset, feature, folds=["train"], scaler=model.scaler)
    with pytest.raises(ModelError, match="use features=model.features"):
        model.fine_tune(good, DataGenerator(dataset, other, folds=["val"], scaler=model.scaler), epochs=1, device="cpu")


def test_windows_of_another_length_have_the_same_features(sounds, pretrained):
    dataset, _, _ = sounds
    model = dcasekit.load(pretrained)
    longer = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16), sequence_time=0.4, sequence_hop_time=0.1)
    model.fine_tune(DataGenerator(dataset, longer, folds=["train"], scaler=model.scaler), epochs=1, device="cpu")
    assert model.features == longer
    assert model.shape == (longer.sequence_frames, 16)


def test_a_model_trained_on_arrays_takes_the_front_end_of_the_data(sounds):
    dataset, _, feature = sounds
    train = DataGenerator(dataset, feature, folds=["train"])
    model = CompactCNN(**SMALL)
    model.train(train.get_data(), epochs=1, device="cpu")
    model.fine_tune(train, epochs=1, device="cpu")
    assert model.features == feature
    assert model.predict([dataset.clips[0].path])[0].labels == dataset.labels


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_layers_and_fine_tuning_on_a_gpu(tmp_path):
    model = trained(device="cuda")
    assert next(model.network.parameters()).is_cuda
    assert list(model.layers())[-1] == "out"
    on_gpu = model.embed("dropout", data()[0])[0]
    before = weights_of(model)
    model.fine_tune(data(1, labels=4), **{**QUICK, "device": "cuda", "precision": "bfloat16"})
    assert changed(before, model.weights()) == HEAD
    loaded = dcasekit.load(model.save(tmp_path))
    np.testing.assert_allclose(loaded.embed("dropout", data()[0])[0], on_gpu, atol=1e-2)
