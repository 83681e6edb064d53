"""Pooling of frames' answers to those of windows: mean, maximum, and adaptive (McFee et al. 2018)"""

import numpy as np
import pytest
import torch

from dcasekit import load
from dcasekit.errors import ModelError
from dcasekit.models import A_CRNN, CRNN2018, CRNN2023, MLP
from dcasekit.models._layers import AutoPool, Pool

LABELS = ("a", "b", "c")
MODELS = [(MLP, {}, (20, 8)), (A_CRNN, {"filters": 4}, (20, 40)), (CRNN2018, {"filters": (4, 4, 4), "units": 4}, (20, 64))]
MODELS += [(CRNN2023, {"filters": (4, 4, 4), "gru_units": 4}, (20, 40))]

pytestmark = pytest.mark.usefixtures("one_thread")


def logits(seed=0, scale=3.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, (4, 9, 3)))


def set_alpha(layer, *values):
    layer.alpha.data = torch.tensor(values, dtype=torch.float64)
    return layer


@pytest.mark.parametrize("alpha", [-2.0, 0.0, 1.0, 7.5])
def test_autopool_is_its_definition(alpha):
    p = logits().sigmoid().numpy()
    weights = np.exp(alpha * p) / np.exp(alpha * p).sum(axis=1, keepdims=True)
    found = set_alpha(AutoPool(3, "tagging"), alpha, alpha, alpha)(logits())
    np.testing.assert_allclose(found.sigmoid().detach().numpy(), (weights * p).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("task", ["tagging", "classification"])
def test_autopool_goes_from_the_least_over_the_mean_to_the_largest_answer(task):
    layer, act = AutoPool(3, task), torch.sigmoid if task == "tagging" else torch.exp
    frames = act(logits() if task == "tagging" else logits().log_softmax(-1))
    for alpha, expected in ((-1e8, frames.amin(1)), (0.0, frames.mean(1)), (1e8, frames.amax(1))):
        torch.testing.assert_close(act(set_alpha(layer, alpha, alpha, alpha)(logits())), expected, rtol=1e-6, atol=1e-9)
    both = (set_alpha(layer, 0.0, 0.0, 0.0)(logits()), Pool("mean", 3, task)(logits()))
    torch.testing.assert_close(*(each.sigmoid() if task == "tagging" else each.softmax(-1) for each in both))
    torch.testing.assert_close(act(Pool("max", 3, task)(logits())), frames.amax(1))


def test_each_label_has_its_alpha_and_none_passes_the_bound():
    layer = set_alpha(AutoPool(3, "tagging", bound=2.0), 0.0, 2.0, 50.0)
    free = set_alpha(AutoPool(3, "tagging"), 0.0, 2.0, 2.0)
    torch.testing.assert_close(layer(logits()), free(logits()))


def test_autopool_is_finite_where_answers_are_certain_and_learns():
    layer, certain = AutoPool(3, "tagging").double(), logits(scale=400).requires_grad_()
    answer = layer(certain)
    answer.sum().backward()
    assert torch.isfinite(answer).all()
    assert torch.isfinite(certain.grad).all()
    layer(logits()).sum().backward()
    assert (layer.alpha.grad != 0).all()


@pytest.mark.parametrize(("kind", "settings", "shape"), MODELS, ids=lambda value: getattr(value, "__name__", None))
def test_models_pool_as_they_are_told(kind, settings, shape, tmp_path):
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    answers = {}
    for pooling in ("mean", "max", "autopool"):
        model = kind(pooling=pooling, **settings).build(shape, LABELS, task="tagging")
        answers[pooling] = model.answer(x)
        assert answers[pooling].shape == (3, 3)
    assert (answers["max"] >= answers["autopool"]).all()
    assert (answers["autopool"] >= answers["mean"]).all()  # alpha begins at 1
    assert "pool.auto.alpha" in model.weights()
    np.testing.assert_array_equal(load(model.save(tmp_path)).answer(x), answers["autopool"])
    model.train((x, np.eye(3, dtype=np.float32)), epochs=2, learning_rate=0.05, device="cpu")
    assert (model.weights()["pool.auto.alpha"] != 1).any()
    with pytest.raises(ModelError, match="pooling must be 'mean', 'max' or 'autopool'; got 'median'"):
        kind(pooling="median", **settings).build(shape, LABELS, task="tagging")
