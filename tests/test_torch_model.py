"""`TorchModel`, a container around any network; and classes that are not found again where they are loaded."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from dcasekit import TorchModel, load
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import ModelError

LABELS, SHAPE = ("cat", "dog"), (6, 4)
X = np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[(X.mean(axis=(1, 2)) > 0).astype(int)]

pytestmark = pytest.mark.usefixtures("one_thread")


def make(outputs=2, *, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def test_it_trains_evaluates_saves_and_loads(tmp_path):
    network, before = make(), make().state_dict()
    model = TorchModel(network)
    history = model.train((X, Y), (X, Y), epochs=30, learning_rate=0.02, device="cpu")
    assert history[-1]["loss"] < history[0]["loss"]
    assert model.evaluate((X, Y)).numbers["accuracy"] > 0.9
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())  # a copy learned
    again = load(model.save(tmp_path), network=make(seed=5))
    np.testing.assert_array_equal(again.answer(X), model.answer(X))
    assert (again.labels, again.shape, again.task) == (model.labels, SHAPE, "classification")
    assert list(model.layers()) == ["0", "1", "2", "3", "4"]
    assert model.cost()["parameters"] == sum(p.numel() for p in network.parameters())


def test_training_begins_at_the_weights_it_has_and_keeps_those_without_gradient():
    network = make()
    np.testing.assert_array_equal(TorchModel(network).build(SHAPE, LABELS, seed=1).weights()["1.weight"], network[1].weight.detach())
    network[1].weight.requires_grad_(False)
    model = TorchModel(network)
    model.train((X, Y), epochs=2, device="cpu")
    np.testing.assert_array_equal(model.weights()["1.weight"], network[1].weight.detach())
    assert (model.weights()["4.weight"] != network[4].weight.detach().numpy()).any()


def test_networks_that_learn_their_shape_and_those_that_answer_frames():
    lazy = TorchModel(nn.Sequential(nn.Flatten(), nn.LazyLinear(2))).build(SHAPE, LABELS)
    assert lazy.answer(X).shape == (24, 2)
    frames = TorchModel(nn.Linear(4, 2)).build(SHAPE, LABELS, task="detection")
    assert frames.answer(X).shape == (24, 6, 2)


def test_a_saved_network_asks_for_its_network(tmp_path, caplog):
    model = TorchModel(make()).build(SHAPE, LABELS)
    with caplog.at_level(logging.WARNING):
        model.save(tmp_path)
    assert "make the network and pass it: load(" in caplog.text
    with pytest.raises(ModelError, match=r"a network of your own, torch.nn.modules.container.Sequential: .*load\(folder, network=...\)"):
        load(tmp_path)
    with pytest.raises(ModelError, match="do not fit"):
        load(tmp_path, network=nn.Sequential(nn.Flatten(), nn.Linear(24, 2)))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (make(outputs=3), r"gives \(2, 3\) for 2 windows.*\(2, 2\) or \(2, frames, 2\)"),
        (nn.Linear(5, 2), r"does not take windows \(windows, 6, 4\)"),
        (nn.GRU(4, 2, batch_first=True), "gives tuple"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, says):
    with pytest.raises(ModelError, match=says):
        TorchModel(network).build(SHAPE, LABELS)


def test_what_is_no_network_or_has_no_head_is_refused():
    with pytest.raises(ModelError, match="takes a network"):
        TorchModel("mlp")
    model = TorchModel(make()).build(SHAPE, LABELS)
    with pytest.raises(ModelError, match="no head that could be replaced"):
        model.fine_tune((X, Y), epochs=1)


def test_a_run_is_not_taken_up_with_other_weights(tmp_path):
    settings = {"device": "cpu", "resume": tmp_path}
    TorchModel(make()).train((X, Y), epochs=1, **settings)
    TorchModel(make()).train((X, Y), epochs=2, **settings)
    with pytest.raises(ModelError):
        TorchModel(make(seed=1)).train((X, Y), epochs=2, **settings)


def test_a_class_of_a_notebook_is_told_so_when_it_is_saved(tmp_path, caplog):
    class Here(TorchModelContainer):
        def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
            return nn.Sequential(nn.Flatten(), nn.Linear(frames * dims, outputs))

    with caplog.at_level(logging.WARNING):
        Here().build(SHAPE, LABELS).save(tmp_path / "local")
    assert "Here is a class of a notebook, a script or a function" in caplog.text
    assert "allow=[Here]" in caplog.text
    assert load(tmp_path / "local", allow=[Here]).answer(X).shape == (24, 2)
    caplog.clear()
    Here.__module__, Here.__qualname__ = "__main__", "Here"
    with caplog.at_level(logging.WARNING):
        Here().build(SHAPE, LABELS).save(tmp_path / "main")
    assert "__main__:Here is a class of a notebook" in caplog.text
