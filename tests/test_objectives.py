"""Training that carries every system: several sources, objectives, schedules, selection and heads of one's own."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dcasekit import DataGenerator, Scaler, load, testing
from dcasekit.containers import objectives, schedules
from dcasekit.containers._named import name_function
from dcasekit.containers.heads import Head
from dcasekit.containers.schedules import Moment
from dcasekit.containers.stopping import stop_late
from dcasekit.containers.training import _OBJECTIVES, Training
from dcasekit.errors import DatasetError, ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import Arrays, Together
from dcasekit.metrics import classification
from dcasekit.models import CRNN2018, MLP, CompactCNN, DcaseNet
from dcasekit.models.sklearn import RandomForest

LABELS = ("a", "b")
SMALL = {"hidden_layers_size": (4,), "dropout_rates": (0.0,), "l2_reg": 0.0}
FAST = {"epochs": 3, "batch_size": 4, "device": "cpu", "learning_rate": 0.05, "seed": 1}


def windows(count, seed=0, labels=2):
    """Windows whose label is the sign of their first value."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 3, 2)).astype(np.float32)
    return x, np.eye(labels, dtype=np.float32)[(x[:, 0, 0] > 0).astype(int)]


def arrays(count, seed=0, *, task="classification"):
    return Arrays(*windows(count, seed), labels=LABELS, task=task)


def same(one, other):
    first, second = one.weights(), other.weights()
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def trained(data, validation=None, **settings):
    model = MLP(**SMALL)
    model.train(data, validation, **{**FAST, **settings})
    return model


# Schedules and stopping


def test_the_tutorials_learning_rates():
    rates = {epochs: 1e-3 * schedules.inverse_decay(Moment(259 * epochs, 259, 100)) for epochs in (1, 10, 50, 100)}
    assert {epochs: float(f"{rate:.3g}") for epochs, rate in rates.items()} == {1: 7.94e-4, 10: 2.79e-4, 50: 7.17e-5, 100: 3.72e-5}


def test_dcasenets_restarts():
    """Two cycles of 40,000 steps from 1e-3 to 1e-6."""
    rate = [1e-3 * schedules.restarts(Moment(step, 500, 160)) for step in (0, 20_000, 39_999, 40_000, 79_999)]
    assert rate == pytest.approx([1e-3, (1e-3 + 1e-6) / 2, 1e-6, 1e-3, 1e-6], rel=1e-3)


def test_the_plateau_counts_as_the_2023_baseline():
    """The improving epoch counts, so with a patience of 45 the rate falls after 46 epochs, and again after 46 more."""
    history = [{"val_loss": 1.0}] * 120
    rates = [schedules.plateau(Moment(epoch, 1, 150, history[:epoch])) for epoch in range(121)]
    assert [epoch for epoch, (a, b) in enumerate(itertools.pairwise(rates), 1) if b < a] == [46, 92]
    assert min(rates) == pytest.approx(0.01)


def test_early_stopping_by_dcase_utils_rule():
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.55, 0.58, 0.585, 0.59, 0.57] + [0.58] * 30
    history = [{"val_f1": value} for value in values]
    rule = partial(stop_late, key="val_f1", patience=15, least=0.01, delay=5)
    assert next(n for n in range(len(history)) if rule(history[: n + 1])) == 23


def test_a_schedule_of_ones_own_gives_the_rates():
    seen = []

    def halve(moment):
        seen.append((moment.step, moment.steps, moment.epochs, len(moment.history)))
        return 0.5**moment.step

    history = trained(arrays(8), schedule=halve, epochs=2).history
    assert [record["learning_rate"] for record in history] == pytest.approx([0.05, 0.05 / 4])
    assert set(seen) == {(0, 2, 2, 0), (1, 2, 2, 0), (2, 2, 2, 1), (3, 2, 2, 1)}


def test_names_of_objectives_are_those_that_exist():
    assert set(_OBJECTIVES) == {name for name in objectives.__all__ if name.islower()}


# Several sources


def test_parts_go_round_by_themselves_and_nothing_is_lost():
    short, long = arrays(6), arrays(20, seed=1)
    data = Together({"short": (short, 3), "long": (long, 5)}, steps=3)
    steps = [step for epoch in range(4) for step in data.batches(epoch, seed=7)]
    assert [sorted(step) for step in steps] == [["long", "short"]] * 12
    assert {(len(step["short"].x), len(step["long"].x)) for step in steps} == {(3, 5)}
    for name, rounds, source in (("short", 2, short), ("long", 4, long)):
        for first in range(0, 12 - rounds + 1, rounds):  # each round holds every window once
            found = np.concatenate([step[name].x for step in steps[first : first + rounds]])
            assert sorted(map(tuple, found.reshape(len(found), -1))) == sorted(tuple(each.ravel()) for part in source.x for each in part)
    again = list(data.batches(2, seed=7))
    for one, other in zip(again, steps[6:9], strict=True):
        assert all(np.array_equal(one[name].x, other[name].x) for name in one)


def test_parts_that_do_not_go_together_are_refused():
    with pytest.raises(DatasetError, match="at least one part"):
        Together({})
    with pytest.raises(DatasetError, match="part 'a' has only 3 windows, fewer than its batch size of 4"):
        Together({"a": (arrays(3), 4)})
    other = Arrays(*windows(4, labels=3), labels=("a", "b", "c"), task="classification")
    with pytest.raises(DatasetError, match=r"part 'b' and another are both of classification, but their labels or features differ"):
        Together({"a": (arrays(4), 4), "b": (other, 4)})


def test_one_source_in_together_learns_as_alone():
    """The same batches and objective, so the same weights."""
    data = arrays(16)

    class Alone(Arrays):
        def batches(self, epoch, batch_size, *, seed, drop_last=False, first=0):
            number = seed + __import__("zlib").crc32(b"only")
            return super().batches(epoch, batch_size, seed=number, drop_last=drop_last, first=first)

    alone = Alone(*windows(16), labels=LABELS, task="classification")
    assert same(trained(Together({"only": (data, 4)})), trained(alone))


@pytest.mark.parametrize("objective", [None, "mixup", "mean_teacher"])
def test_a_run_of_several_sources_that_stops_goes_on_as_if_it_had_not(tmp_path, objective):
    def data():
        return Together({"one": (arrays(10), 4), "two": (arrays(7, seed=1), 3)}, steps=3)

    settings = {"objective": objective, "average": 0.9 if objective == "mean_teacher" else 0.0}
    whole = trained(data(), epochs=5, resume=tmp_path / "whole", **settings)
    trained(data(), epochs=2, resume=tmp_path / "cut", **settings)
    resumed = trained(data(), epochs=5, resume=tmp_path / "cut", **settings)
    assert same(whole, resumed)


def test_the_loss_of_several_parts_is_their_sum():
    one, two = arrays(4), arrays(4, seed=1)
    losses = [trained(Together({"p": (part, 4)}), epochs=1, learning_rate=1e-12).history[0]["loss"] for part in (one, two)]
    both = trained(Together({"p": (one, 4), "q": (two, 4)}), epochs=1, learning_rate=1e-12).history[0]["loss"]
    assert both == pytest.approx(sum(losses), rel=1e-6)


# Objectives


def plain_mixture(step):
    """What `mixup` should compute, written out."""
    total = 0.0
    for part in step.batches.values():
        ratio = float(step.rng.beta(0.3, 0.3))
        other = torch.from_numpy(step.rng.permutation(len(part.x)))
        logits = step.network(ratio * part.x + (1 - ratio) * part.x[other])
        cross = nn.functional.cross_entropy
        total = total + ratio * cross(logits, part.y) + (1 - ratio) * cross(logits, part.y[other])
    return total


def test_mixup_mixes_with_one_ratio_per_batch():
    assert same(trained(arrays(16), objective=partial(objectives.mixup, alpha=0.3)), trained(arrays(16), objective=plain_mixture))


def test_mixup_begins_with_the_epoch_it_is_told():
    later = trained(arrays(16), objective=partial(objectives.mixup, first_epoch=2), epochs=2)
    plain, mixed = trained(arrays(16), objective="supervised", epochs=2), trained(arrays(16), objective="mixup", epochs=2)
    assert same(later, plain)
    assert not same(mixed, plain)


def test_a_mean_teacher_is_the_average_with_statistics_of_its_own():
    seen = {}

    def look(step):
        teacher = step.teacher
        assert all(not parameter.requires_grad for parameter in teacher.parameters())
        seen.setdefault("first", {name: value.clone() for name, value in teacher.state_dict().items()})
        seen["last"], seen["network"] = (
            {name: value.clone() for name, value in network.state_dict().items()} for network in (teacher, step.network)
        )
        return objectives.mean_teacher(step)

    x, y = np.random.default_rng(0).standard_normal((12, 32, 16)).astype(np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 6]
    model = CompactCNN(filters=(4, 4, 4, 4))
    model.train(Arrays(x, y, labels=LABELS, task="tagging"), epochs=2, batch_size=4, average=0.9, objective=look, device="cpu")
    means = [name for name in seen["first"] if name.endswith("running_mean")]
    assert means
    assert any(not torch.equal(seen["last"][name], seen["first"][name]) for name in means)
    assert any(not torch.equal(seen["last"][name], seen["network"][name]) for name in means)


def test_a_teacher_without_an_average_is_refused():
    with pytest.raises(ModelError, match=r"uses step.teacher: train with average="):
        trained(arrays(8, task="tagging"), objective="mean_teacher")


def test_unlabelled_windows_pull_the_student_to_the_teacher():
    x, _ = windows(8, seed=3)
    unlabelled = Arrays(x, np.full((8, 2), np.nan), labels=LABELS, task="tagging")
    data = Together({"known": (arrays(8, task="tagging"), 4), "unknown": (unlabelled, 4)})
    with_them = trained(data, objective=partial(objectives.mean_teacher, ramp_epochs=0.01), average=0.5)
    without = trained(data, objective=partial(objectives.mean_teacher, ramp_epochs=0.01, weight=0.0), average=0.5)
    assert not same(with_them, without)


def test_distillation_alone_answers_as_its_teacher():
    teacher = trained(arrays(64), epochs=20)
    x, _ = windows(64, seed=5)
    random = Arrays(x, np.eye(2, dtype=np.float32)[np.random.default_rng(0).integers(0, 2, 64)], labels=LABELS, task="classification")
    student = trained(random, epochs=60, objective=partial(objectives.distillation, teacher=teacher, weight=1.0))
    assert np.mean(student.answer(x).argmax(-1) == teacher.answer(x).argmax(-1)) > 0.9


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_teacher_of_any_backend_answers_by_its_probabilities(task):
    """A forest's probabilities, and those of a network whose logits are hidden, teach as the network does."""

    class Hidden:
        def __init__(self, model):
            self.answer = model.answer

    x, _ = windows(64, seed=5)
    labels = np.random.default_rng(0).integers(0, 2, 64)
    data = Arrays(x, np.eye(2, dtype=np.float32)[labels], labels=LABELS, task=task)
    teacher = MLP(**SMALL).build((3, 2), LABELS, task=task, seed=1)
    students = [
        trained(data, epochs=5, optimizer=torch.optim.SGD, objective=partial(objectives.distillation, teacher=one, weight=1.0))
        for one in (teacher, Hidden(teacher))
    ]
    np.testing.assert_allclose(students[0].answer(x), students[1].answer(x), atol=1e-3)
    if task == "classification":
        forest = RandomForest(n_estimators=20)
        forest.train(arrays(64), seed=0)
        student = trained(data, epochs=60, objective=partial(objectives.distillation, teacher=forest, weight=1.0))
        assert np.mean(student.answer(x).argmax(-1) == forest.answer(x).argmax(-1)) > 0.75  # the labels given: by chance


def test_a_teacher_of_other_labels_is_refused():
    teacher = trained(Arrays(*windows(8, labels=3), labels=("a", "b", "c"), task="classification"))
    with pytest.raises(ModelError, match=r"the teacher's output has the shape \(4, 3\), the network's \(4, 2\)"):
        trained(arrays(8), objective=partial(objectives.distillation, teacher=teacher))


# Settings of a step


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_class_weights_weigh_the_errors_of_their_labels(task):
    x, y = windows(6)
    model = MLP(**SMALL).build((3, 2), LABELS, task=task, seed=1)
    logits, weights = model.network.eval()(torch.from_numpy(x)), torch.tensor([3.0, 0.5])
    if task == "classification":
        rows = nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="none")
        of_rows = torch.from_numpy(y) @ weights
        expected = (rows * of_rows).sum() / of_rows.sum()
    else:
        each = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y), reduction="none")
        expected = (each * weights).sum() / (weights.sum() * len(x))
    found = trained(Arrays(x, y, labels=LABELS, task=task), class_weights={"a": 3.0, "b": 0.5}, epochs=1, learning_rate=1e-12, batch_size=6)
    assert found.history[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_balanced_weights_are_inverse_to_how_often_labels_occur():
    x, _ = windows(8)
    y = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 0, 0, 1, 1]]
    data = Arrays(x, y, labels=LABELS, task="classification")
    balanced, told = trained(data, class_weights="balanced"), trained(data, class_weights={"a": 8 / 12, "b": 8 / 4})
    assert all(np.allclose(balanced.weights()[name], told.weights()[name], atol=1e-6) for name in told.weights())


def test_class_weights_of_unknown_labels_are_refused():
    with pytest.raises(ModelError, match="class_weights names unknown labels: c; the labels are a, b"):
        trained(arrays(8), class_weights={"c": 2.0})


def test_gradients_are_clipped():
    """By plain gradient descent with a tiny norm, weights hardly move; with a large one they move as without."""
    settings = {"optimizer": torch.optim.SGD, "epochs": 1, "batch_size": 8, "learning_rate": 1.0}
    start = MLP(**SMALL).build((3, 2), LABELS, seed=1).weights()

    def moved(**more):
        weights = trained(arrays(8), **settings, **more).weights()
        return math.sqrt(sum(float(np.square(weights[name] - start[name]).sum()) for name in start if "running" not in name))

    assert moved(clip_norm=1e-3) == pytest.approx(1e-3, rel=1e-3)
    assert moved(clip_norm=1e6) == pytest.approx(moved())


def test_an_optimizer_of_torch_trains_and_resumes(tmp_path):
    rmsprop = partial(torch.optim.RMSprop, alpha=0.9)
    whole = trained(arrays(8), optimizer=rmsprop, epochs=4, resume=tmp_path / "whole")
    trained(arrays(8), optimizer=rmsprop, epochs=2, resume=tmp_path / "cut")
    assert same(whole, trained(arrays(8), optimizer=rmsprop, epochs=4, resume=tmp_path / "cut"))
    assert same(trained(arrays(8), optimizer="Adam"), trained(arrays(8), optimizer="adam"))


def test_last_windows_that_fill_no_batch_may_be_left_out():
    sizes = []

    def count(x, y, rng):  # noqa: ARG001
        sizes.append(len(x))
        return x, y

    trained(arrays(11), drop_last=True, epochs=1, augment=[count])
    assert sizes == [4, 4]


# What is kept


def macro(results):
    return classification.evaluate(results.truth, np.concatenate([s.values for s in results.scores]), labels=results.labels)["f1/macro"]


def test_a_monitor_of_ones_own_is_recorded_and_decides():
    model = trained(arrays(16), arrays(16, seed=1), monitor=macro, epochs=6)
    values = [record["val_macro"] for record in model.history]
    again = model.evaluate(arrays(16, seed=1))
    assert macro(again) == pytest.approx(max(values))


def test_several_monitors_keep_weights_each():
    def first(model):  # noqa: ARG001
        calls.append(None)
        return {"up": len(calls), "down": -len(calls), "error": -len(calls)}

    calls = []
    model = trained(arrays(8), first, monitor={"late": "up", "early": "down", "least": "error"}, epochs=4)
    one = trained(arrays(8), epochs=1)
    assert set(model.kept) == {"late", "early", "least"}
    assert same(model, trained(arrays(8), epochs=4))
    assert all(np.array_equal(model.kept["early"][name], value) for name, value in one.weights().items())
    assert all(np.array_equal(model.kept["least"][name], value) for name, value in model.weights().items())


def test_kept_weights_survive_a_stop(tmp_path):
    def both(model):
        results = model.evaluate(arrays(8, seed=2))
        return {"accuracy": results.numbers["accuracy"], "confidence": float(np.max([s.values.max() for s in results.scores]))}

    both.__qualname__ = "both"
    settings = {"monitor": {"a": "accuracy", "c": "confidence"}}
    whole = trained(arrays(8), both, epochs=6, resume=tmp_path / "w", **settings)
    trained(arrays(8), both, epochs=3, resume=tmp_path / "c", **settings)
    resumed = trained(arrays(8), both, epochs=6, resume=tmp_path / "c", **settings)
    assert same(whole, resumed)
    assert all(np.array_equal(whole.kept[each][name], resumed.kept[each][name]) for each in ("a", "c") for name in whole.kept["a"])


def test_the_best_epoch_is_looked_for_from_one_on():
    calls = []

    def falling(model):  # noqa: ARG001
        calls.append(None)
        return {"metric": -len(calls)}

    assert same(trained(arrays(8), falling, best_from=3, epochs=5), trained(arrays(8), epochs=3))


def test_a_function_decides_when_to_stop():
    assert len(trained(arrays(8), epochs=9, early_stopping=lambda history: len(history) == 4).history) == 4


def test_a_monitor_that_is_no_number_of_the_data_is_refused():
    with pytest.raises(
        ModelError, match="monitor='f1' is not a number that an epoch gives on these validation data; known: metric, loss, accuracy"
    ):
        trained(arrays(8), arrays(8), monitor="f1")


def test_the_main_number_may_be_measured_on_training_data_too():
    model = trained(arrays(16), arrays(16, seed=1), train_metric=True)
    assert model.history[-1]["accuracy"] == pytest.approx(model.evaluate(arrays(16)).numbers["accuracy"]) or len(model.history) > 1
    assert {"accuracy", "val_accuracy", "loss", "val_loss"} <= set(model.history[0])


# Identity


def one_way(step):
    return objectives.supervised(step)


def another_way(step, *, factor=1.0):
    return factor * objectives.supervised(step)


@pytest.mark.parametrize("other", [another_way, partial(another_way, factor=2.0), "supervised", None])
def test_another_objective_is_another_run(tmp_path, other):
    trained(arrays(8), objective=one_way, resume=tmp_path)
    with pytest.raises(ModelError, match="belongs to another run: objective was"):
        trained(arrays(8), objective=other, resume=tmp_path)


def test_a_function_that_cannot_be_named_is_refused_where_a_run_may_be_resumed(tmp_path):
    with pytest.raises(ModelError, match="could not tell from another function: define it at the top of a module"):
        trained(arrays(8), schedule=lambda moment: 1.0, resume=tmp_path)  # noqa: ARG005
    with pytest.raises(ModelError, match="validation is .*could not tell from another"):
        trained(arrays(8), lambda model: {"one": 1.0}, resume=tmp_path)  # noqa: ARG005


def test_names_hold_what_is_bound():
    data, model = arrays(4), trained(arrays(4), epochs=1)
    name = name_function(partial(another_way, factor=np.array([1.0]), data=data, net=model, each=[one_way, {"k": 1}]))
    assert name == name_function(partial(another_way, factor=np.array([1.0]), data=arrays(4), net=model, each=[one_way, {"k": 1}]))
    assert name != name_function(partial(another_way, factor=np.array([2.0]), data=data, net=model, each=[one_way, {"k": 1}]))
    assert name != name_function(partial(another_way, factor=np.array([1.0]), data=arrays(4, seed=1), net=model, each=[one_way, {"k": 1}]))


@pytest.mark.parametrize(
    "settings",
    [{"objective": "mixup"}, {"rates": {"a": 0.1}}, {"class_weights": "balanced"}, {"clip_norm": 1.0}, {"optimizer": torch.optim.SGD}],
)
def test_what_only_torch_can_is_refused_elsewhere(settings):
    from dcasekit.models.sklearn.logistic_regression import LogisticRegression

    with pytest.raises(ModelError, match="scikit-learn models"):
        LogisticRegression().train(arrays(8), **settings)
    with pytest.raises(ModelError, match="scikit-learn models are trained on one source"):
        LogisticRegression().train(Together({"p": (arrays(8), 4)}))


def test_weights_learn_at_rates_of_their_own():
    def moved(**settings):
        model = trained(arrays(8), epochs=1, learning_rate=1e-3, **settings)
        new = MLP(**SMALL).build(model.shape, LABELS, seed=1).weights()
        return {name: np.abs(array - new[name]).max() for name, array in model.weights().items()}

    alike, apart = moved(), moved(rates={"layers.0": 1e-2})
    assert apart["layers.0.weight"] == pytest.approx(alike["layers.0.weight"] / 100, rel=0.1)
    assert apart["layers.0.bias"] == pytest.approx(alike["layers.0.bias"] / 100, rel=0.1)
    assert apart["layers.3.weight"] == pytest.approx(alike["layers.3.weight"], rel=0.1)
    with pytest.raises(ModelError, match="no weight's name begins with 'front'; their names are layers.0.weight"):
        moved(rates={"front": 0.1})
    with pytest.raises(ModelError, match="need rates > 0"):
        moved(rates={"layers.0": 0.0})


def test_a_run_with_rates_of_their_own_is_resumed(tmp_path):
    settings = {"rates": {"layers.0": 0.1}, "optimizer": "adam"}
    trained(arrays(8), epochs=1, resume=tmp_path, **settings)
    assert same(trained(arrays(8), epochs=2, resume=tmp_path, **settings), trained(arrays(8), epochs=2, **settings))


# Several heads

SHAPES = {"classification": (80, 16), "tagging": (80, 16), "detection": (120, 16)}


def for_task(task, seed=0):
    rng, (frames, dims) = np.random.default_rng(seed), SHAPES[task]
    x = rng.standard_normal((6, frames, dims)).astype(np.float32)
    labels = {"classification": ("airport", "bus"), "tagging": ("dog", "rain", "bell"), "detection": ("speech", "knock")}[task]
    y = rng.random((6, frames, len(labels)) if task == "detection" else (6, len(labels))) > 0.5
    y = np.eye(2)[rng.integers(0, 2, 6)] if task == "classification" else y
    return Arrays(x, y.astype(np.float32), labels=labels, task=task)


@pytest.fixture(scope="module")
def joint():
    model = DcaseNet(filters=4)
    model.train(Together({task: (for_task(task), 3) for task in SHAPES}), epochs=2, device="cpu", objective="mixup")
    return model


def test_a_network_of_several_heads_learns_answers_and_is_one_model_per_head(joint):
    assert set(joint.heads) == set(SHAPES)
    for task, shape in SHAPES.items():
        data, alone = for_task(task), joint.head(task)
        assert (alone.task, alone.labels, alone.shape, alone.heads) == (task, data.labels, shape, {})
        x = data.x[0]
        logits = joint.network.eval()(torch.from_numpy(x), task)
        expected = logits.softmax(-1) if task == "classification" else logits.sigmoid()
        assert np.allclose(alone.answer(x), expected.detach().numpy(), atol=1e-6)
        assert alone.evaluate(data).task == task


def test_a_model_of_one_task_gives_a_copy_as_its_head():
    model = DcaseNet(filters=4).build((80, 16), LABELS, task="tagging")
    head = model.head("tagging")
    assert same(model, head)
    assert head.network is not model.network
    assert (head.task, head.labels, head.shape) == (model.task, model.labels, model.shape)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_head_is_where_the_network_is(joint):
    joint._on(torch.device("cuda"))
    assert next(joint.head("tagging").network.parameters()).is_cuda


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_model_of_several_heads_is_saved_and_loaded(tmp_path, version):
    features = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16))
    heads = {
        task: Head(for_task(task).labels, shape, features if task == "tagging" else None, Scaler("window") if task == "tagging" else None)
        for task, shape in SHAPES.items()
    }
    model = DcaseNet(version=version, filters=4).build_heads(heads, seed=3)
    again = load(model.save(tmp_path / version))
    assert again.heads.keys() == model.heads.keys()
    assert same(model, again)
    assert again.head("tagging").features == features
    assert again.head("tagging").scaler.normalizer == "window"
    assert again.head("detection").features is None
    for task in SHAPES:
        assert same(model.head(task), again.head(task))
    one = load(model.head("tagging").save(tmp_path / "tagging"))
    assert (one.task, one.heads) == ("tagging", {})


def test_a_head_goes_on_from_its_own_weights(joint):
    tuned, fresh = joint.head("tagging"), joint.head("tagging")
    before = tuned.weights()
    settings = {"freeze": "none", "epochs": 1, "learning_rate": 1e-12, "device": "cpu"}
    tuned.fine_tune(Together({"tagging": (for_task("tagging"), 3)}), head="same", **settings)
    fresh.fine_tune(for_task("tagging"), **settings)
    last = "layer_TAG.6.weight"
    assert np.allclose(tuned.weights()[last], before[last], atol=1e-6)
    assert not np.allclose(fresh.weights()[last], before[last], atol=1e-3)
    with pytest.raises(ModelError, match="labels= names"):
        joint.head("tagging").fine_tune(for_task("detection"), head="same")


def test_a_network_of_one_head_is_asked_for_another_task_of_the_same_weights():
    x = np.random.default_rng(0).standard_normal((2, 16, 64)).astype(np.float32)
    frames = CRNN2018(filters=(2, 2, 2), units=2).build((16, 64), LABELS, task="detection", seed=1)
    tags = frames.head("tagging")
    assert (tags.task, frames.task) == ("tagging", "detection")
    assert same(tags, frames)
    np.testing.assert_allclose(tags.answer(x), frames.answer(x).mean(1), atol=1e-6)


def test_heads_that_are_not_there_are_named(joint, tmp_path):
    with pytest.raises(ModelError, match="has no head for tagging; it has: detection"):
        DcaseNet(filters=4).build((80, 16), LABELS, task="detection").head("tagging")
    with pytest.raises(ModelError, match="MLP has one head; classification, tagging learned together need a network with several"):
        MLP().train(Together({task: (for_task(task), 3) for task in ("classification", "tagging")}))
    with pytest.raises(ModelError, match="a network with several heads needs a function of the model as validation"):
        DcaseNet(filters=4).train(Together({t: (for_task(t), 3) for t in ("classification", "tagging")}), for_task("tagging"))
    path = joint.save(tmp_path / "joint") / "model.json"
    path.write_text(path.read_text().replace('"heads"', '"heads": {"smell": {}}, "more"'))
    with pytest.raises(ModelError, match="heads are not objects by task"):
        load(path.parent)


# Windows


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    dataset = testing.make_dataset("urban_sed", tmp_path_factory.mktemp("urban_sed"), clips=12, seconds=3.0, sr=8000)
    mel = partial(MelSpectrogram, sr=8000, audio_win=400, audio_hop=200, mel=Mel(bands=16))
    mel().extract(dataset)
    return dataset, mel


def test_one_random_window_per_clip_and_epoch(events):
    dataset, mel = events
    data = DataGenerator(
        dataset, mel(sequence_time=1.0, sequence_hop_time=0.1), folds=dataset.clips, target="frame", windows="random", batch_size=5
    )
    epochs = [list(data.batches(epoch, 5, seed=0)) for epoch in range(8)]
    again = list(data.batches(3, 5, seed=0))
    assert all(np.array_equal(one.x, other.x) for one, other in zip(again, epochs[3], strict=True))
    assert [len(batch.x) for batch in epochs[0]] == [5, 5, 2]
    assert data.size == 12
    places = set()
    whole = {clip.id: DataGenerator(dataset, mel(sequence_time=None), folds=[clip], target="frame", train=False) for clip in dataset.clips}
    for batch in itertools.chain(*epochs):
        assert batch.mask.all()
        for x, y, clip in zip(batch.x, batch.y, batch.clips, strict=True):
            (frames,), (targets,) = whole[clip].get_data()
            [start] = [n for n in range(frames.shape[1] - 39) if np.array_equal(frames[0, n : n + 40], x)]
            assert start % 4 == 0
            assert np.array_equal(targets[0, start : start + 40], y)
            places.add((clip, start))
    assert {clip for clip, _ in places} == {clip.id for clip in data.clips}
    assert len(places) > 50
    assert len(list(data.clip_windows())) == 12


def test_joined_clips_are_cut_across_their_borders(events):
    dataset, mel = events
    clips = dataset.clips[:5]
    data = DataGenerator(dataset, mel(sequence_time=2.0), folds=clips, target="frame", windows="joined", train=True)
    whole = DataGenerator(dataset, mel(sequence_time=None), folds=clips, target="frame", train=False)
    x, y = whole.get_data()
    frames, targets = (np.concatenate([part[0] for part in parts]) for parts in (x, y))
    count = len(frames) // 80
    [batch] = data.batches(0, 100, seed=0)
    assert len(batch.x) == data.size == count
    expected = {frames[n * 80 : n * 80 + 80].tobytes(): targets[n * 80 : n * 80 + 80] for n in range(count)}
    for window, target in zip(batch.x, batch.y, strict=True):
        assert np.array_equal(expected.pop(window.tobytes()), target)
    assert expected == {}
    assert [np.concatenate(list(clip.windows)).shape[1] for clip in data.clip_windows()] == [part.shape[1] for part in x]


def test_windows_that_cannot_be_cut_are_refused(events):
    dataset, mel = events
    for windows, settings, says in (
        ("some", {"sequence_time": 1.0}, "windows must be one of all, random, joined"),
        ("random", {"sequence_time": None}, "give the features a sequence_time"),
        ("joined", {"sequence_time": 1.0}, "has no single window; use target='frame'"),
    ):
        with pytest.raises(DatasetError, match=says):
            DataGenerator(dataset, mel(**settings), folds=dataset.clips, windows=windows)


def test_the_clips_of_a_detection_dataset_are_learned_by_their_tags(events):
    dataset, mel = events
    data = DataGenerator(dataset, mel(), folds=dataset.clips, task="tagging")
    assert (data.task, data.target, data.reference()["events"]) == ("tagging", "clip", None)
    model = MLP(**SMALL)
    model.train(data, **FAST)
    assert model.task == "tagging"
    assert "average_precision/macro" in model.evaluate(data).numbers


def test_features_can_be_what_is_learned(events):
    dataset, mel = events
    narrow = mel(sequence_time=0.5, mel=Mel(bands=8))
    narrow.extract(dataset)
    data = DataGenerator(dataset, mel(sequence_time=0.5), folds=dataset.clips, target=narrow)
    wanted = DataGenerator(dataset, narrow, folds=dataset.clips)
    one, other = next(data.batches(0, 8, seed=0)), next(wanted.batches(0, 8, seed=0))
    assert np.array_equal(one.y[one.mask], other.x[one.mask])
    assert np.isnan(one.y[~one.mask]).all()
    assert len(data.labels) == 8
    with pytest.raises(DatasetError, match="must have the frames of those used as input"):
        DataGenerator(dataset, mel(), folds=dataset.clips, target=MelSpectrogram(sr=8000, audio_win=400, audio_hop=100))


def test_training_settings_stay_plain_values():
    assert Training(optimizer=partial(torch.optim.SGD, momentum=0.5)).to_dict()["optimizer"] == "torch.optim.sgd:SGD(momentum=0.5)"
