"""The mean teacher: networks that pool their frames themselves, mix-up, what counts, the published schedule."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dcasekit.containers import objectives, schedules
from dcasekit.containers.schedules import Moment
from dcasekit.containers.torch_model import TorchModel
from dcasekit.errors import ModelError
from dcasekit.generator import Arrays, Together
from dcasekit.models import CompactCNN

LABELS = ("a", "b", "c")


class Plain(nn.Module):
    """Frames, each by itself."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x)


class Pooling(Plain):
    """The same, but it says itself what the mean of its frames is."""

    def answer_both(self, x):
        frames = self(x)
        mean = frames.sigmoid().mean(1)
        return frames, mean.log() - (1 - mean).log()


class LastFrame(Plain):
    """A window's answer is its last frame's."""

    def answer_both(self, x):
        frames = self(x)
        return frames, frames[:, -1]


def sources(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((24, 6, 4)).astype(np.float32)
    frames, tags = ((rng.random(shape) > 0.5).astype(np.float32) for shape in ((8, 6, 3), (8, 3)))
    unknown = np.full((8, 6, 3), np.nan, np.float32)
    parts = {"strong": (x[:8], frames), "weak": (x[8:16], tags), "unlabelled": (x[16:], unknown)}
    return {name: Arrays(*part, labels=LABELS, task="detection") for name, part in parts.items()}


def together(sizes=(3, 3, 4), steps=2, seed=0):
    return Together({name: (part, size) for (name, part), size in zip(sources(seed).items(), sizes, strict=True)}, steps=steps)


def learn(network, data=None, **settings):
    torch.manual_seed(1)
    model = TorchModel(network())
    how = {"epochs": 2, "batch_size": 4, "device": "cpu", "seed": 1, "learning_rate": 0.05, "average": 0.5}
    model.train(data or together(), **{**how, "objective": objectives.mean_teacher, **settings})
    return model


def losses(model):
    return [record["loss"] for record in model.history]


@pytest.mark.parametrize("objective", [partial(objectives.mean_teacher, ramp_epochs=0.1), "supervised", "mixup"])
def test_a_network_whose_own_pooling_is_the_mean_learns_as_one_without(objective):
    one, other = learn(Plain, objective=objective), learn(Pooling, objective=objective)
    assert losses(one) == pytest.approx(losses(other), rel=1e-5)
    for name, weights in one.weights().items():
        np.testing.assert_allclose(weights, other.weights()[name], atol=1e-5)


def test_weak_windows_are_judged_by_the_networks_own_answer():
    found = {}

    def look(step):
        part = step.batches["weak"]
        found["own"] = (step.answer(part), step.network(part.x)[:, -1])
        frames = step.answer(step.batches["strong"])
        found["frames"] = (frames, step.network(step.batches["strong"].x))
        found["loss"] = (step.loss(step.answer(part), part), nn.functional.binary_cross_entropy_with_logits(found["own"][1], part.y))
        return objectives.supervised(step)

    learn(LastFrame, objective=look, epochs=1)
    for mine, expected in found.values():
        torch.testing.assert_close(mine, expected)


def written_out(step, *, weight, ramp_epochs):
    """The baseline's loss for `LastFrame`."""
    x = torch.cat([part.x for part in step.batches.values()])
    mine = step.network(x)
    with torch.no_grad():
        other = step.teacher(x).sigmoid()
    cross = nn.functional.binary_cross_entropy_with_logits
    strong, weak = cross(mine[:3], step.batches["strong"].y), cross(mine[3:6, -1], step.batches["weak"].y)
    ramp = math.exp(-5 * (1 - min(step.number / (ramp_epochs * step.steps), 1)) ** 2)
    apart = (mine.sigmoid() - other).square().mean() + (mine[:, -1].sigmoid() - other[:, -1]).square().mean()
    return strong + weak + weight * ramp * apart


def test_the_loss_is_the_baselines_written_out():
    settings = {"weight": 2.0, "ramp_epochs": 1.5}
    one = learn(LastFrame, objective=partial(objectives.mean_teacher, **settings), epochs=3)
    other = learn(LastFrame, objective=partial(written_out, **settings), epochs=3)
    assert losses(one) == pytest.approx(losses(other), rel=1e-6)


def test_a_network_of_windows_agrees_on_windows_alone():
    rng = np.random.default_rng(0)
    data = Arrays(rng.standard_normal((8, 32, 16)), np.eye(2)[[0, 1] * 4], labels=("a", "b"), task="tagging")
    found = {}

    def look(step):
        frames, windows = step.answer_both(step.batches[""])
        found.update(frames=frames, windows=windows.shape)
        return objectives.mean_teacher(step)

    model = CompactCNN(filters=(4, 4), pool_size=((2, 2),))
    model.train(data, epochs=1, batch_size=4, objective=look, average=0.9, device="cpu")
    assert found == {"frames": None, "windows": (4, 2)}


# Mix-up


def test_mixup_mixes_within_weak_and_within_strong_at_one_ratio_and_labels_once():
    seen = []

    class Watch(LastFrame):
        def answer_both(self, x):
            seen.append(x.detach().clone())
            return super().answer_both(x)

    targets = []

    class Note:
        def __call__(self, step):
            loss = step.loss
            object.__setattr__(step, "loss", lambda logits, part, y: targets.append((part, y)) or loss(logits, part, y))
            self.step = step
            return objectives.mean_teacher(step, mix=1.0)

    note = Note()
    learn(Watch, objective=note, epochs=1, data=together(steps=1))
    student, teacher = seen
    assert torch.equal(student, teacher), "both see the same windows"
    rng = np.random.default_rng((1, 0, 2))
    rng.random()
    ratio = rng.beta(0.2, 0.2)
    orders = [rng.permutation(size) for size in (3, 3)]
    parts = list(note.step.batches.values())
    mixed = [ratio * part.x + (1 - ratio) * part.x[order] for part, order in zip(parts, orders, strict=False)]
    torch.testing.assert_close(student, torch.cat([*mixed, parts[2].x]))
    assert [part for part, _ in targets] == parts
    for (part, y), order in zip(targets, orders, strict=False):
        torch.testing.assert_close(y, ratio * part.y + (1 - ratio) * part.y[order])
    assert targets[2][1].isnan().all()


def test_mixup_is_drawn_once_a_step_with_its_probability():
    mixed = []

    def look(step):
        before = [part.x.clone() for part in step.batches.values()]

        def answer_both(part, x, network=None):
            mixed.append(not torch.equal(x, torch.cat(before)))
            return type(step).answer_both(step, part, x, network=network)

        object.__setattr__(step, "answer_both", answer_both)
        return objectives.mean_teacher(step, mix=0.5)

    learn(LastFrame, objective=look, epochs=40)
    assert mixed[::2] == mixed[1::2]
    assert 0.3 < np.mean(mixed) < 0.7  # of 80 steps


def test_frames_are_mixed_after_they_are_pooled():
    """A network of one step for three frames: labels of either window stand whole in their share."""

    class Three(Plain):
        def forward(self, x):
            return self.out(x.unflatten(1, (2, 3)).mean(2))

    found = []

    def look(step):
        loss = step.loss
        object.__setattr__(step, "loss", lambda logits, part, y: found.append(y) or loss(logits, part, y))
        return objectives.mean_teacher(step, mix=1.0)

    y = np.zeros((2, 6, 3), np.float32)
    y[0, 0], y[1, 2] = 1, 1  # at the beginning and at the end of the first step
    data = Together({"strong": (Arrays(np.ones((2, 6, 4)), y, labels=LABELS), 2)})
    for seed in range(5):
        learn(Three, data, objective=look, epochs=1, seed=seed)
    assert all((each[:, 0] == 1).all() for each in found)


# What counts


def test_only_the_columns_of_a_data_set_have_to_agree():
    """The others' weights get no gradient from windows of which nothing is known."""
    x = np.random.default_rng(0).standard_normal((8, 6, 4)).astype(np.float32)
    unknown = Arrays(x, np.full((8, 6, 3), np.nan, np.float32), labels=LABELS, task="detection")
    known = Arrays(x[:4], np.where(np.arange(3) == 0, 1.0, np.nan) * np.ones((4, 6, 1)), labels=LABELS, task="detection")
    data = Together({"unlabelled": (unknown, 4), "known": (known, 1)}, steps=4)
    apart = []

    def look(step):
        with torch.no_grad():
            step.teacher.out.weight.add_(1.0)
        loss = objectives.mean_teacher(step, ramp_epochs=0.001, columns={"unlabelled": (0, 2), "known": (0,)})
        gradient, bias = torch.autograd.grad(loss, [step.network.out.weight, step.network.out.bias])
        apart.append((gradient.abs().sum(1) > 0).tolist())
        return loss * 1.0 if bias is None else objectives.supervised(step)

    learn(Plain, data, objective=look, epochs=1)
    assert apart[1:] == [[True, False, True]] * 3


def test_probabilities_are_those_of_the_loss():
    found = {}

    def look(step):
        part = step.batches[""]
        found[part.task] = step.probabilities(step.answer(part), part).sum(-1)
        return objectives.supervised(step)

    rng = np.random.default_rng(0)
    for task in ("classification", "tagging"):
        data = Arrays(rng.standard_normal((4, 6, 4)), np.eye(3)[[0, 1, 2, 0]], labels=LABELS, task=task)
        learn(Plain, data, objective=look, epochs=1)
    torch.testing.assert_close(found["classification"], torch.ones(4, 6))
    assert (found["tagging"] - 1).abs().max() > 0.1


# The published schedule


def test_ramp_up_learning_rate_and_the_teachers_decay_at_the_published_steps():
    steps = (1, 100, 5_900, 23_600)
    ramp = [math.exp(-5 * (1 - min(step / 5_900, 1)) ** 2) for step in steps]
    assert [1e-3 * schedules.ramp_up(Moment(step, 118, 200)) for step in steps] == pytest.approx([1e-3 * each for each in ramp])
    assert ramp == pytest.approx([0.0067493, 0.0079715, 1, 1], rel=1e-4)
    assert [schedules.mean_decay(step) for step in steps] == pytest.approx([0.5, 1 - 1 / 101, 0.999, 0.999])


def test_the_average_follows_a_rule_of_ones_own():
    """By hand, with a decay of 1 - 1 / (n + 1): the mean of all weights so far, those before the first step among them."""
    seen = []

    def look(step):
        seen.append(step.network.out.weight.detach().clone())
        look.teacher = step.teacher.out.weight.detach().clone()
        return objectives.mean_teacher(step)

    learn(Plain, objective=look, average=schedules.mean_decay, epochs=3)
    torch.testing.assert_close(look.teacher, torch.stack(seen).mean(0))


@pytest.mark.parametrize("keep", ["average", "network"])
def test_what_is_validated_and_kept_is_the_network_or_its_average(keep):
    seen = {}

    def look(step):
        seen["network"], seen["average"] = step.network, step.teacher
        return objectives.mean_teacher(step)

    model = learn(Plain, objective=look, keep=keep, average=0.9)
    kept = torch.from_numpy(model.weights()["out.weight"])
    assert torch.equal(kept, seen["average"].out.weight) == (keep == "average")
    with pytest.raises(ModelError, match="keep must be one of average, network"):
        learn(Plain, keep="teacher")


def test_a_run_with_a_rule_for_its_average_goes_on_as_if_it_had_not_stopped(tmp_path):
    rule = partial(schedules.mean_decay, decay=0.9)
    settings = {"average": rule, "keep": "network", "objective": partial(objectives.mean_teacher, mix=0.5)}
    whole = learn(Pooling, epochs=4, resume=tmp_path / "whole", **settings)
    learn(Pooling, epochs=2, resume=tmp_path / "cut", **settings)
    cut = learn(Pooling, epochs=4, resume=tmp_path / "cut", **settings)
    assert all(np.array_equal(value, cut.weights()[name]) for name, value in whole.weights().items())
    with pytest.raises(ModelError, match="average"):
        learn(Pooling, average=lambda steps: 0.5, resume=tmp_path / "other")
