"""Estimators in containers: their answers are scikit-learn's own, and they are saved as arrays."""

import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler

import dcasekit
from dcasekit import DataGenerator, Scaler, testing
from dcasekit.batch_augmentations import mixup
from dcasekit.containers.sklearn import SklearnModelContainer
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.errors import ModelError, NameNotFoundError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import Arrays
from dcasekit.models.sklearn import SVM, LogisticRegression, RandomForest

SGD = {"estimator": "sklearn.linear_model:SGDClassifier", "parameters": {"loss": "log_loss"}}
KNN = {"estimator": "sklearn.neighbors:KNeighborsClassifier"}


def data(seed=0, each=15, labels=4, noise=1.5):
    """Windows that are not quite easy to tell apart, so that every estimator errs on some."""
    patterns = np.random.default_rng(99).normal(size=(labels, 1, 6))
    x = np.repeat(patterns, each, axis=0) + np.random.default_rng(seed).normal(0, noise, (labels * each, 5, 6))
    return x.astype(np.float32), np.repeat(np.eye(labels, dtype=np.float32), each, axis=0)


def statistics(x):
    """Mean and deviation over the frames, by the textbook."""
    mean = x.astype(np.float64).sum(axis=1) / x.shape[1]
    deviation = np.sqrt(((x - mean[:, None]) ** 2).sum(axis=1) / x.shape[1])
    return np.concatenate([mean, deviation], axis=1)


def softmax(decisions):
    powers = np.exp(decisions - decisions.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def same(one, other):
    first, second = one.weights(), other.weights()
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# ---- answers


ESTIMATORS = [
    ("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 7}),
    ("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 7, "max_depth": 2, "class_weight": "balanced"}),
    ("sklearn.ensemble:ExtraTreesClassifier", {"n_estimators": 7}),
    ("sklearn.tree:DecisionTreeClassifier", {"max_depth": 3}),
    ("sklearn.linear_model:LogisticRegression", {}),
    ("sklearn.linear_model:LogisticRegression", {"fit_intercept": False}),
    ("sklearn.linear_model:RidgeClassifier", {}),
    ("sklearn.discriminant_analysis:LinearDiscriminantAnalysis", {}),
    ("sklearn.svm:LinearSVC", {}),
    ("sklearn.svm:SVC", {}),
    ("sklearn.svm:SVC", {"gamma": "auto", "C": 10.0}),
    ("sklearn.svm:SVC", {"kernel": "linear"}),
    ("sklearn.svm:SVC", {"kernel": "poly", "degree": 2, "coef0": 1.0}),
    ("sklearn.svm:SVC", {"kernel": "sigmoid", "gamma": 0.05}),
    ("sklearn.svm:NuSVC", {"nu": 0.3}),
]


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize(("address", "parameters"), ESTIMATORS, ids=lambda value: str(value).rpartition(":")[2])
def test_answers_are_those_of_scikit_learn_and_survive_the_disk(tmp_path, address, parameters, labels):
    (x, y), (other, _) = data(labels=labels), data(1, each=25, labels=labels)
    model = SklearnModelContainer(estimator=address, parameters=parameters)
    model.train(Arrays(list(x[:, None]), list(y[:, None])), batch_size=1000, seed=3)
    assert "estimator" not in model._parts[0]
    order = next(Arrays(x, y).batches(0, 1000, seed=3))  # the windows as they are shuffled: trees depend on their order
    rows = model._rescaled(model._statistics_of(order.x))
    np.testing.assert_allclose(rows, StandardScaler().fit_transform(statistics(order.x)), atol=1e-5)
    kind = discover.load("models", address)
    seed = {"random_state": 3} if "random_state" in kind().get_params() else {}
    estimator = kind(**seed, **parameters).fit(rows, order.y.argmax(axis=1))
    rows = model._rescaled(model._statistics_of(other))
    if hasattr(estimator, "predict_proba"):
        expected = estimator.predict_proba(rows)
    else:
        decisions = estimator.decision_function(rows)
        expected = softmax(np.column_stack([0 * decisions, decisions]) if labels == 2 else decisions)
    np.testing.assert_allclose(model.answer(other), expected, atol=1e-6)
    assert 0.5 < (model.answer(other).argmax(axis=1) == np.repeat(np.arange(labels), 25)).mean() < 1
    loaded = dcasekit.load(model.save(tmp_path))
    np.testing.assert_array_equal(loaded.answer(other), model.answer(other))
    assert same(loaded, model)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), labels=st.integers(2, 6), kernel=st.sampled_from(["rbf", "poly", "linear", "sigmoid"]))
def test_a_machine_votes_as_libsvm_does(seed, labels, kernel):
    x, y = data(seed, each=6, labels=labels)
    model = SVM(kernel=kernel)
    model.train((x, y))
    assert "support" in model._parts[0]
    order = next(Arrays(x, y).batches(0, 1000, seed=0))
    # The solver stops where it is near enough: other rounding of the rows would end elsewhere.
    estimator = sklearn.svm.SVC(kernel=kernel).fit(model._rescaled(model._statistics_of(order.x)), order.y.argmax(axis=1))
    new = data(seed + 1, each=6, labels=labels)[0]
    decisions = estimator.decision_function(model._rescaled(model._statistics_of(new)))
    expected = softmax(np.column_stack([0 * decisions, decisions]) if labels == 2 else decisions)
    assert np.isclose(model.answer(new), expected, atol=1e-4).all(axis=1).mean() > 0.95


@pytest.mark.parametrize("kind", [RandomForest, LogisticRegression, SVM])
def test_the_models_learn(kind):
    model = kind()
    (record,) = model.train(data(noise=0.7), data(1, noise=0.7), epochs=50)
    assert set(record) == {"epoch", "loss", "val_loss", "val_accuracy", "seconds"}
    assert record["val_accuracy"] > 0.9
    assert record["loss"] < record["val_loss"] < np.log(4)
    assert model.evaluate(data(1, noise=0.7)).numbers["accuracy"] == record["val_accuracy"]


def test_the_loss_is_the_log_loss_of_the_training_windows():
    for model, task in ((LogisticRegression(C=0.01), "classification"), (RandomForest(max_depth=1), "tagging")):
        x, y = data()
        (record,) = model.train(Arrays(x, y, task=task))
        p = model.answer(x).astype(np.float64)
        each = -(y * np.log(p)).sum(axis=1) if task == "classification" else -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=1)
        assert record["loss"] == pytest.approx(each.mean(), rel=1e-4)


def test_settings_reach_the_estimator():
    assert RandomForest(n_estimators=3, parameters={"bootstrap": False}).estimator_parameters()["bootstrap"] is False
    x, y = data()
    small, large = RandomForest(n_estimators=3, max_depth=1), RandomForest(n_estimators=5, min_samples_leaf=9)
    for model in (small, large):
        model.train((x, y))
    assert [len(model.weights()["0.roots"]) for model in (small, large)] == [3, 5]
    assert len(small.weights()["0.left"]) <= 9
    many = LogisticRegression(statistics=("max", "min", "mean"), standardise=False)
    many.train((x, y))
    assert many.weights()["0.coef"].shape == (4, 18)
    found = many.answer(x)
    rows = np.concatenate([x.max(axis=1), x.min(axis=1), x.mean(axis=1)], axis=1)
    np.testing.assert_allclose(found, softmax(rows @ many.weights()["0.coef"].T + many.weights()["0.intercept"]), atol=1e-5)


def test_one_seed_gives_one_forest_and_another_another():
    forests = [RandomForest(n_estimators=5) for _ in range(3)]
    for forest, seed in zip(forests, (1, 1, 2), strict=True):
        forest.train(data(), seed=seed, batch_size=7)
    assert same(forests[0], forests[1])
    assert not same(forests[0], forests[2])


def test_augmentations_are_used():
    plain, mixed = LogisticRegression(), LogisticRegression()
    plain.train(data())
    mixed.train(data(), augment=[mixup])
    assert not np.allclose(plain.weights()["0.coef"], mixed.weights()["0.coef"], atol=0.01)
    assert mixed.training["augment"] == ["dcasekit.batch_augmentations:mixup"]


def test_before_training_all_answers_are_equal():
    x, _ = data()
    np.testing.assert_allclose(SVM().build((5, 6), "abcd").answer(x), 0.25)
    np.testing.assert_allclose(SVM().build((5, 6), "abcd", task="tagging").answer(x), 0.5)


def test_the_cost_of_each_kind():
    x, y = data()
    pooling = 2 * 5 * 6
    linear, forest, machine = LogisticRegression(), RandomForest(n_estimators=3, standardise=True), SVM()
    for model in (linear, forest, machine):
        model.train((x, y))
    assert linear.cost()["macs"] == pooling + 4 * 12
    assert forest.cost()["macs"] == pooling + 3 * 4
    vectors = len(machine.weights()["0.support"])
    assert machine.cost()["macs"] == pooling + vectors * 12 + vectors * 3
    assert linear.cost()["parameters"] == 4 * 12 + 4 + 1 + 4 + (2 * 12 + 1)  # and one_vs_rest, seen, the rescaling


# ---- tasks


@pytest.mark.parametrize("model", [RandomForest(n_estimators=5), LogisticRegression(), SVM(), SklearnModelContainer(**SGD)])
@pytest.mark.parametrize("task", ["tagging", "detection"])
def test_labels_of_one_kind_alone(tmp_path, model, task):
    """A label that never occurs and one that always does; the others are learned as if alone."""
    x, y = data(noise=0.7)
    y[:, 1], y[:, 2] = 0, 1
    y[:15, 3] = 1
    model.train(Arrays(x, y, labels=list("abcd"), task=task), epochs=20)
    answers = model.answer(x)
    assert answers.shape == (60, 4)
    assert ((answers > 0.5) == (y > 0.5)).mean() > 0.95
    loaded = dcasekit.load(model.save(tmp_path))
    np.testing.assert_array_equal(loaded.answer(x), answers)
    assert model.evaluate(Arrays(x, y, labels=list("abcd"), task=task)).numbers


def test_a_class_that_is_not_in_the_training_data_is_never_answered(tmp_path):
    x, y = data(noise=0.7)
    for kept in (y[:, 1] == 0, y[:, 2] == 1):  # three of four classes; one
        model = LogisticRegression()
        model.train(Arrays(x[kept], y[kept], labels=list("abcd"), task="classification"))
        answers = dcasekit.load(model.save(tmp_path)).answer(x)
        assert (answers[:, y[kept].sum(axis=0) == 0] == 0).all()
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
        assert (answers[kept].argmax(axis=1) == y[kept].argmax(axis=1)).mean() > 0.95


def test_targets_of_frames_are_refused():
    x, y = data()
    with pytest.raises(ModelError, match=r"predicts whole windows, and the targets are \(32, 5, 4\); choose target='window' or 'clip'"):
        LogisticRegression().train((x, np.repeat(y[:, None], 5, axis=1)))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    dataset = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=30, seconds=0.5, sr=8000)
    feature = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16), sequence_time=0.2, sequence_hop_time=0.1)
    feature.extract(dataset)
    return dataset, feature


@pytest.mark.parametrize("model", [RandomForest(n_estimators=5), SVM()])
def test_a_saved_estimator_predicts_from_files_as_it_did_from_the_dataset(sounds, tmp_path, model):
    dataset, feature = sounds
    train = DataGenerator(dataset, feature, folds=["train"])
    train.set_scaler(Scaler("minmax").fit(train))
    model.train(train)
    test = DataGenerator(dataset, feature, folds=["test"], train=False, scaler=train.scaler)
    loaded = dcasekit.load(model.save(tmp_path))
    for one, other in zip(model.predict(test), loaded.predict([clip.path for clip in test.clips]), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
        np.testing.assert_allclose(one.edges, other.edges)
        assert one.labels == other.labels == dataset.labels


# ---- by batches


class Counting(BaseEstimator):
    """Notes what it is given; answers label 0 more and more firmly."""

    given: list

    def partial_fit(self, rows, target, classes):
        type(self).given.append((rows, target, tuple(classes)))
        self.steps = getattr(self, "steps", 0) + 1
        return self

    def predict_proba(self, rows):
        firm = 1 - 0.5**self.steps
        return np.tile([firm, *[(1 - firm) / 3] * 3], (len(rows), 1))


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr(discover, "load", lambda _family, _name: Counting)
    Counting.given = []
    return SklearnModelContainer(estimator="tests:Counting")


def test_an_estimator_with_partial_fit_sees_the_batches_of_each_epoch(counting):
    x, y = data()
    history = counting.train((x, y), epochs=3, batch_size=25)
    assert [len(rows) for rows, _, _ in Counting.given] == [25, 25, 10] * 3
    assert {classes for _, _, classes in Counting.given} == {(0, 1, 2, 3)}
    whole = StandardScaler().fit(statistics(x))
    for epoch in range(3):
        for (rows, target, _), batch in zip(Counting.given[3 * epoch :], Arrays(x, y).batches(epoch, 25, seed=0), strict=False):
            np.testing.assert_allclose(rows, whole.transform(statistics(batch.x)), atol=1e-4)
            np.testing.assert_array_equal(target, batch.y.argmax(axis=1))
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_the_best_epoch_is_kept_and_early_stopping_ends_the_run(counting):
    """Few of the validation windows are of label 0, so the firmer the answer the worse; the first epoch is the best."""
    x, y = data()
    seen = []
    history = counting.train((x, y), (x[10:], y[10:]), epochs=9, batch_size=60, monitor="loss", early_stopping=2, callbacks=[seen.append])
    losses = [record["val_loss"] for record in history]
    assert len(history) == int(np.argmin(losses)) + 1 + 2 == 3
    assert seen == history
    assert counting.answer(x)[0, 0] == pytest.approx(0.5)
    counting.train((x, y), epochs=4, batch_size=60, callbacks=[lambda record: record["epoch"] == 2])
    assert counting.answer(x)[0, 0] == pytest.approx(0.75)  # without validation the last epoch is kept


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_stochastic_gradient_descent_is_saved_as_scikit_learn_answers(tmp_path, task):
    (x, y), model = data(noise=0.7), SklearnModelContainer(**SGD)
    history = model.train(Arrays(x, y, task=task), Arrays(*data(1, noise=0.7), task=task), epochs=6, batch_size=20, seed=2)
    assert history[-1]["loss"] < history[0]["loss"]
    loaded = dcasekit.load(model.save(tmp_path))
    np.testing.assert_array_equal(loaded.answer(x), model.answer(x))
    again = SklearnModelContainer(**SGD)
    again.train(Arrays(x, y, task=task), Arrays(*data(1, noise=0.7), task=task), epochs=6, batch_size=20, seed=2)
    assert same(again, model)
    if task == "classification":
        assert model.weights()["0.one_vs_rest"].all()  # although its answers to the training windows are all but 0 and 1
        scaler = StandardScaler().fit(statistics(x))
        estimator = sklearn.linear_model.SGDClassifier(loss="log_loss", random_state=2)
        last = SklearnModelContainer(**SGD)
        last.train((x, y), epochs=2, batch_size=20, seed=2)
        for epoch in range(2):
            for batch in Arrays(x, y).batches(epoch, 20, seed=2):
                estimator.partial_fit(scaler.transform(statistics(batch.x)), batch.y.argmax(axis=1), classes=range(4))
        np.testing.assert_allclose(last.answer(x), estimator.predict_proba(scaler.transform(statistics(x))), atol=1e-3)


# ---- files


@pytest.mark.parametrize(
    "address",
    [
        "sklearn.naive_bayes:GaussianNB",
        "sklearn.ensemble:GradientBoostingClassifier",
        "sklearn.ensemble:AdaBoostClassifier",
        "sklearn.ensemble:BaggingClassifier",
        "sklearn.neural_network:MLPClassifier",
    ],
)
def test_other_estimators_are_trained_and_asked_but_not_saved(tmp_path, address):
    parameters = {
        "AdaBoostClassifier": {"n_estimators": 5},
        "GradientBoostingClassifier": {"n_estimators": 3},
        "BaggingClassifier": {"max_features": 0.4},
        "MLPClassifier": {"learning_rate_init": 0.02},
    }
    model = SklearnModelContainer(estimator=address, parameters=parameters.get(address.rpartition(":")[2], {}))
    model.train(data(noise=0.7), data(1, noise=0.7), epochs=6, batch_size=20)
    assert model.evaluate(data(2, noise=0.7)).numbers["accuracy"] >= 0.5
    for call in (lambda: model.save(tmp_path / "model"), model.weights, model.cost):
        with pytest.raises(ModelError, match=f"there are no arrays for a {address}, so it cannot be saved"):
            call()
    assert not (tmp_path / "model").exists()


def test_loading_and_predicting_need_no_scikit_learn_and_run_nothing_that_the_file_names(tmp_path):
    x, y = data()
    models = {"forest": RandomForest(n_estimators=4), "linear": LogisticRegression(), "machine": SVM()}
    for name, model in models.items():
        model.train((x, y))
        model.save(tmp_path / name)
        about = json.loads((tmp_path / name / "model.json").read_text())
        about["settings"]["estimator"] = "trap:Estimator" if name == "forest" else "sklearn.trap:Estimator"
        (tmp_path / name / "model.json").write_text(json.dumps(about))
    (tmp_path / "trap.py").write_text("raise SystemExit('the file was run')")
    np.save(tmp_path / "x.npy", x)
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sklearn":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, ".")
import numpy as np, dcasekit
from dcasekit.models.sklearn import LogisticRegression
x = np.load("x.npy")
for name in sys.argv[1:]:
    try:
        dcasekit.load(name)
    except dcasekit.DcasekitError as error:
        assert "names trap:Estimator, which is not part of dcasekit: loading it would run its code" in str(error), error
    np.save(f"{name}.npy", dcasekit.load(name, allow=["trap"]).answer(x))
try:
    LogisticRegression().train((x, np.eye(len(x))))
except dcasekit.DcasekitError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *models], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MissingExtraError sklearn is not installed")
    assert "dcasekit[sklearn]" in done.stdout
    for name, model in models.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), model.answer(x), atol=1e-6)


def wrong_weights(weights):
    """Give weights that do not fit a forest of 4 labels and 12 statistics."""
    yield "no kind", {name: array for name, array in weights.items() if name != "0.value"}
    yield "no kind", {**weights, "0.more": np.zeros(3)}
    yield "before their children", {**weights, "0.left": weights["0.left"][::-1].copy()}
    yield "before their children", {**weights, "0.right": weights["0.right"] * 0}
    yield "before their children", {**weights, "0.right": weights["0.right"] + 10**6}
    yield "do not fit", {**weights, "0.feature": weights["0.feature"] + 12}
    yield "do not fit", {**weights, "0.seen": np.ones(5, np.bool_)}
    yield "do not fit", {**weights, "0.value": weights["0.value"][:, :3]}
    yield "do not fit", {name.replace("0.", "1."): array for name, array in weights.items()}
    yield "do not fit", {**weights, "rescaling.mean": np.zeros(11)}
    yield "do not fit", {name: array for name, array in weights.items() if not name.startswith("rescaling")}
    yield "predict", {**weights, "0.value": weights["0.value"] * np.nan}


def test_weights_that_do_not_fit_are_refused():
    model = RandomForest(n_estimators=2, standardise=True)
    x, y = data()
    model.train((x, y))
    before = model.answer(x)
    for says, weights in wrong_weights(dict(model.weights())):
        with pytest.raises(ModelError, match=says):
            model.set_weights(weights)
    np.testing.assert_array_equal(model.answer(x), before)
    tagging = RandomForest(n_estimators=2).build((5, 6), "abc", task="tagging")
    with pytest.raises(ModelError, match="not one window with 3 labels"):
        tagging.set_weights({name: array for name, array in model.weights().items() if name[0] == "0" and name != "0.seen"})


# ---- refusals


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("os:system", ModelError),
        ("subprocess:Popen", ModelError),
        ("sklearn.preprocessing:StandardScaler", ModelError),
        ("sklearn.linear_model:LinearRegression", ModelError),
        ("sklearn.linear_model._base:LinearClassifierMixin", ModelError),
        ("unittest.mock:call", ModelError),
        ("RandomForestClassifier", ModelError),
        ("", ModelError),
        ("sklearn.ensemble:RandomForst", NameNotFoundError),
        ("no.such:Class", NameNotFoundError),
    ],
)
def test_what_is_no_estimator_is_refused(address, error):
    with pytest.raises(error, match="'package.module:Class'"):
        SklearnModelContainer(estimator=address).train(data())


@pytest.mark.parametrize(
    ("parameters", "says"),
    [({"depth": 3}, "cannot be made with .*depth"), ({"n_estimators": -1}, "cannot be trained so: .*n_estimators")],
)
def test_wrong_parameters_are_refused(parameters, says):
    with pytest.raises(ModelError, match=says):
        RandomForest(parameters=parameters).train(data())


@pytest.mark.parametrize("statistics", [(), ("mean", "mode"), "mean"])
def test_wrong_statistics_are_refused(statistics):
    with pytest.raises(ModelError, match="statistics must be some of mean, std, min, max"):
        RandomForest(statistics=statistics).train(data())


def test_there_are_no_layers_to_look_at_or_to_keep():
    model = RandomForest(n_estimators=2)
    model.train(data())
    for call in (model.layers, lambda: model.embed("x", data()[0]), lambda: model.fine_tune(data(1))):
        with pytest.raises(ModelError, match=r"RandomForest has no layers: .*call train\(\) on new data"):
            call()


# ---- names


def test_models_in_folders_are_found_by_dotted_names():
    assert {"sklearn.logistic_regression", "sklearn.random_forest", "sklearn.svm"} <= set(discover.names("models"))
    assert discover.names("models.sklearn") == ("logistic_regression", "nearest_neighbours", "random_forest", "svm")
    for name in ("sklearn.random_forest", "sklearn/random_forest", "sklearn.RandomForest", "SKLEARN/random-forest"):
        assert discover.load("models", name) is RandomForest
    assert discover.address(RandomForest) == "sklearn.random_forest"
    assert discover.address(SklearnModelContainer) == "dcasekit.containers.sklearn:SklearnModelContainer"
    with pytest.raises(NameNotFoundError, match=r"Did you mean 'sklearn\.random_forest'"):
        discover.load("models", "RandomForest")
    for package, name in ((dcasekit.models, "RandomForest"), (dcasekit.models.sklearn, "SB_CNN"), (dcasekit.models.sklearn, "svm_")):
        with pytest.raises(AttributeError):
            getattr(package, name)
    with pytest.raises(NameNotFoundError, match=r"'sounds\.sklearn'; known"):
        discover.names("sounds.sklearn")


def test_the_command_line_trains_an_estimator(sounds, tmp_path):
    from typer.testing import CliRunner

    from dcasekit.cli import app

    dataset, _ = sounds
    small = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=128", "-F", "mel.bands=16", "-F", "sequence_time=0.2"]
    command = ["train", "--dataset", "esc10", "--data", str(dataset.root), "--model", "sklearn/random_forest", "-M", "n_estimators=3"]
    command += ["-M", 'parameters={"max_features": 2}', *small, "--out", str(tmp_path / "run"), "--json", "--quiet"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    model = dcasekit.load(tmp_path / "run" / "model")
    assert type(model) is RandomForest
    assert model.parameters == {"max_features": 2}
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).output)
    assert ("sklearn.svm", (SVM.__doc__ or "").partition("\n")[0]) in {(model["name"], model["about"]) for model in listed}


# ---- what is not known


@pytest.mark.parametrize("settings", [SGD, {"estimator": "sklearn.linear_model:LogisticRegression"}], ids=["by batches", "at once"])
@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_what_is_unknown_is_left_out(settings, task):
    """Windows of which nothing is known change neither what is learned nor the loss, however they look."""
    x, y = data()
    more = np.concatenate([x, x + 0.5]), np.concatenate([y, np.full_like(y, np.nan)])
    models = [SklearnModelContainer(**settings, standardise=False) for _ in range(2)]
    histories = [
        model.build((5, 6), tuple("abcd"), task=task).fit(
            Arrays(list(a[:, None]), list(b[:, None]), task=task), None, Training(batch_size=200)
        )
        for model, (a, b) in zip(models, ((x, y), more), strict=True)
    ]
    if "SGD" not in settings["estimator"]:  # whose steps depend on the order of rows
        np.testing.assert_allclose(models[0].answer(x), models[1].answer(x), atol=1e-5)
        assert histories[0][-1]["loss"] == pytest.approx(histories[1][-1]["loss"], rel=1e-4)
    assert np.isfinite(models[1].answer(x)).all()


@pytest.mark.parametrize("settings", [SGD, {"estimator": "sklearn.linear_model:LogisticRegression"}], ids=["by batches", "at once"])
def test_a_label_of_which_nothing_is_known_is_named(settings):
    x, y = data()
    y[:, 2] = np.nan
    model = SklearnModelContainer(**settings).build((5, 6), tuple("abcd"), task="tagging")
    with pytest.raises(ModelError, match="nothing is known of the label 'c' in any training window"):
        model.fit(Arrays(list(x[:, None]), list(y[:, None]), labels=tuple("abcd"), task="tagging"), None, Training())


def test_a_label_known_late_is_learned_late():
    """The first batches say nothing of one label: its estimator answers one half until it has learned."""
    x, y = data()
    y[:40, 2] = np.nan
    model = SklearnModelContainer(**SGD).build((5, 6), tuple("abcd"), task="tagging")
    history = model.fit(Arrays(list(x[:, None]), list(y[:, None]), task="tagging"), None, Training(batch_size=4, epochs=2))
    assert np.isfinite([record["loss"] for record in history]).all()
    assert np.isfinite(model.answer(x)).all()


def test_of_fewer_windows_than_neighbours_all_vote():
    X, Y = np.arange(6.0).reshape(3, 1, 2), np.eye(2)[[0, 0, 1]]
    model = discover.load("models", "sklearn.nearest_neighbours")()
    model.train((X, Y))
    np.testing.assert_allclose(model.answer(X.astype(np.float32)), [[2 / 3, 1 / 3]] * 3)
