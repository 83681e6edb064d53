"""What no other test would miss if it were changed: each test is named by the change that it refuses."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from dcasekit import DataGenerator, Scaler, testing
from dcasekit.annotations import Event
from dcasekit.containers._torch_learner import TorchLearner
from dcasekit.containers._validation import validation_record
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.containers.training import Training
from dcasekit.errors import ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import Arrays
from dcasekit.models import MLP
from dcasekit.results import Results
from dcasekit.scores import Scores

LABELS = ("a", "b")
SR = 8000

pytestmark = pytest.mark.usefixtures("one_thread")


def windows(count, frames=3, dims=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, frames, dims)).astype(np.float32), np.eye(2, dtype=np.float32)[rng.integers(0, 2, count)]


@dataclass(kw_only=True, eq=False)
class Masked(TorchModelContainer):
    """Keeps what its dropout let through; its one weight does nothing to it."""

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.out, self.seen = nn.Linear(dims, outputs), []

            def forward(self, x):
                masks = nn.functional.dropout(torch.ones(len(x), 50), training=self.training)
                if self.training:
                    self.seen.append(masks.numpy().copy())
                return self.out(x.mean(1))

        return Network()


@pytest.mark.parametrize("seed", [0, 1])
def test_masks_of_dropout_differ_from_epoch_to_epoch_and_from_step_to_step(seed):
    model = Masked()
    model.train(windows(12), epochs=3, batch_size=4, seed=seed, device="cpu")
    seen = model.network.seen[-9:]  # three steps of three epochs; the first pass of a network may be for its batch normalisation
    assert all(not np.array_equal(one, other) for at, one in enumerate(seen) for other in seen[:at])
    again = Masked()
    again.train(windows(12), epochs=3, batch_size=4, seed=seed, device="cpu")
    np.testing.assert_array_equal(seen, again.network.seen[-9:])


def test_masks_of_dropout_differ_in_keras_too():
    models = pytest.importorskip("dcasekit.models.keras")
    model = models.MLP(hidden_layers_size=(64,), dropout_rates=(0.5,))
    # At a rate of next to nothing and with one batch in one order, only masks can change the loss.
    history = model.train((np.ones((4, 3, 8), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]), epochs=4, learning_rate=1e-12)
    assert len({round(record["loss"], 6) for record in history}) == 4


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_the_loss_of_an_epoch_counts_each_known_target_once(task):
    """Batches of 5 and 3 windows, of which one has few known targets: the mean over all of them, not over batches."""
    x, y = windows(8)
    y[0] = np.nan
    if task == "tagging":
        y[1:4, 1] = np.nan
    data = Arrays(x, y, labels=LABELS, task=task)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        logits = network(torch.from_numpy(x))
    known = torch.from_numpy(~np.isnan(y))
    target = torch.from_numpy(np.nan_to_num(y))
    if task == "classification":
        rows = known.all(1)
        expected = float(nn.functional.cross_entropy(logits[rows], target[rows]))
    else:
        expected = float(nn.functional.binary_cross_entropy_with_logits(logits[known], target[known]))
    loss = "cross_entropy" if task == "classification" else "binary_cross_entropy"
    learner = TorchLearner(network, data, Training(batch_size=5, learning_rate=1e-12), losses={task: loss})
    assert learner.learn(0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("kind", ["torch", "keras"])
def test_kernels_decay_and_biases_do_not(optimizer, kind):
    """Of zeros only biases learn, whatever the kernels are; so with decay and without they must learn the same."""
    model = MLP if kind == "torch" else pytest.importorskip("dcasekit.models.keras").MLP
    data, learned = (np.zeros((4, 3, 2), np.float32), np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]), []
    for decay in (0.5, 0.0):
        made = model(hidden_layers_size=(), dropout_rates=())
        made.train(data, epochs=5, optimizer=optimizer, weight_decay=decay, learning_rate=0.1, device="cpu")
        learned.append(made.weights())
    one, other = learned
    assert {name for name, array in one.items() if not np.array_equal(array, other[name])} == {n for n in one if one[n].ndim == 2}
    assert all(np.abs(array).max() > 0.1 for array in one.values() if array.ndim == 1)


@pytest.mark.parametrize("kind", ["torch", "keras"])
def test_gradient_descent_without_momentum_forgets_the_last_step(kind, tmp_path):
    """Two steps of plain descent on one gradient are twice one of them; a resumed run goes on where it was."""
    model = MLP if kind == "torch" else pytest.importorskip("dcasekit.models.keras").MLP
    data = (np.zeros((4, 3, 2), np.float32), np.eye(2, dtype=np.float32)[[0, 0, 0, 1]])

    def bias(epochs, **settings):
        made = model(hidden_layers_size=(), dropout_rates=())
        made.train(data, epochs=epochs, optimizer="sgd", learning_rate=1e-3, device="cpu", **settings)
        return next(array for array in made.weights().values() if array.ndim == 1)

    assert bias(2, momentum=0.0) == pytest.approx(2 * bias(1, momentum=0.0), rel=1e-3)
    assert np.abs(bias(2)).max() > 1.3 * np.abs(bias(2, momentum=0.0)).max()
    bias(1, momentum=0.0, resume=tmp_path)
    assert bias(2, momentum=0.0, resume=tmp_path).tolist() == bias(2, momentum=0.0).tolist()
    with pytest.raises(ModelError, match="need 0 <= momentum < 1; got momentum=1"):
        bias(1, momentum=1)


# ---- which epoch is best


@pytest.mark.parametrize(
    ("now", "best", "better"),
    [
        ({"val_accuracy": 0.5, "val_loss": 0.9}, {"val_accuracy": 0.5, "val_loss": 1.0}, True),  # a tie is broken by the loss
        ({"val_accuracy": 0.5, "val_loss": 1.1}, {"val_accuracy": 0.5, "val_loss": 1.0}, False),
        ({"val_accuracy": 0.5, "val_loss": 1.0}, {"val_accuracy": 0.5, "val_loss": 1.0}, False),
        ({"val_accuracy": 0.4, "val_loss": 0.1}, {"val_accuracy": 0.5, "val_loss": 1.0}, False),
        ({"val_accuracy": 0.6, "val_loss": 9.0}, {"val_accuracy": 0.5, "val_loss": 1.0}, True),
        ({"val_accuracy": math.nan, "val_loss": 0.9}, {"val_accuracy": math.nan, "val_loss": 1.0}, True),
        ({"val_accuracy": math.nan, "val_loss": 1.1}, {"val_accuracy": math.nan, "val_loss": 1.0}, False),
    ],
)
def test_the_better_of_two_epochs(now, best, better):
    assert Training().better(now, best) is better


def detection(scores, *, events):
    edges = np.arange(len(scores) + 1, dtype=float)
    made = Scores(np.array(scores, float), edges, LABELS)
    truth = np.array([[1.0, 0.0]], np.float32)
    return Results("detection", LABELS, ("clip",), truth, (made,), events={"clip": events}, durations=(float(len(scores)),))


def test_the_loss_of_detection_is_that_of_its_frames():
    """The tag is found in either case; only the frames tell that the second answer is at the wrong time."""
    events = (Event(0, 1, "a"),)
    right = validation_record(detection([[0.9, 0.1], [0.1, 0.1]], events=events), None)["val_loss"]
    wrong = validation_record(detection([[0.1, 0.1], [0.9, 0.1]], events=events), None)["val_loss"]
    assert right == pytest.approx(-math.log(0.9))
    assert wrong == pytest.approx((-2 * math.log(0.1) - 2 * math.log(0.9)) / 4)


def test_weak_clips_are_not_validated_against_silence():
    """Of a clip whose times are unknown only its tags are: the louder answer is the right one."""
    loud = validation_record(detection([[0.9, 0.1], [0.9, 0.1]], events=None), None)
    quiet = validation_record(detection([[0.1, 0.1], [0.1, 0.1]], events=None), None)
    assert loud["val_loss"] == pytest.approx(-math.log(0.9))
    assert quiet["val_loss"] == pytest.approx((-math.log(0.1) - math.log(0.9)) / 2)


# ---- what data a run is of


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    dataset = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=30, seconds=0.5, sr=SR)
    feature = MelSpectrogram(sr=SR, audio_win=256, audio_hop=128, mel=Mel(bands=8), sequence_time=0.2, sequence_hop_time=0.1)
    feature.extract(dataset)
    return dataset, feature


def mlp(**settings):
    return MLP(**{"hidden_layers_size": (8,), "dropout_rates": (0.0,), **settings})


def relabelled(dataset):
    """The same clips, in the same order; one of them has another's label."""
    other, first = copy.copy(dataset), dataset.clips[0]
    second = next(clip for clip in dataset.clips if clip.tags != first.tags)
    other.__dict__["clips"] = (replace(first, tags=second.tags), *dataset.clips[1:])
    return other


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_run_is_not_taken_up_when_labels_have_changed(sounds, tmp_path, part):
    dataset, feature = sounds
    here, there = (DataGenerator(which, feature, folds=which.clips) for which in (dataset, relabelled(dataset)))
    settings = {"epochs": 1, "device": "cpu", "resume": tmp_path}
    mlp().train(here, here, **settings)
    with pytest.raises(ModelError, match="differ"):
        mlp().train(*((there, here) if part == "training" else (here, there)), **{**settings, "epochs": 2})


def test_a_run_is_not_taken_up_when_features_or_scaler_have_changed(sounds, tmp_path):
    dataset, feature = sounds
    settings = {"epochs": 1, "device": "cpu", "resume": tmp_path}
    data = DataGenerator(dataset, feature, folds=dataset.clips)
    mlp().train(data, **settings)
    other = replace(feature, mel=Mel(bands=8, fmin=100.0))
    other.extract(dataset)
    with pytest.raises(ModelError, match="differ"):
        mlp().train(DataGenerator(dataset, other, folds=dataset.clips), **settings)
    with pytest.raises(ModelError, match="differ"):
        mlp().train(data.with_scaler(Scaler().fit(data)), **settings)
    assert len(mlp().train(data, **{**settings, "epochs": 2})) == 2


def test_the_seed_of_training_decides_the_order_of_windows(sounds):
    dataset, feature = sounds

    def order(*, seed, own):
        seen = []

        def note(x, y, rng):  # noqa: ARG001
            seen.append(x.copy())
            return x, y

        data = DataGenerator(dataset, feature, folds=dataset.clips, seed=own)
        mlp().train(data, epochs=2, batch_size=16, seed=seed, device="cpu", augment=[note])
        return seen

    def same(one, other):
        return all(np.array_equal(here, there) for here, there in zip(one, other, strict=True))

    first = order(seed=1, own=0)
    assert same(first, order(seed=1, own=5))
    assert not same(first, order(seed=2, own=0))
    assert not same(first[: len(first) // 2], first[len(first) // 2 :])  # the second epoch has an order of its own


def test_data_without_a_scaler_are_scaled_by_the_models(sounds):
    dataset, feature = sounds
    data = DataGenerator(dataset, feature, folds=dataset.clips)
    scaler = Scaler().fit(data)
    scaled = data.with_scaler(scaler)
    seen = []
    model = mlp()
    model.train(scaled, DataGenerator(dataset, feature, folds=dataset.clips, train=False), epochs=3, learning_rate=0.01, device="cpu")
    bare, own = (DataGenerator(dataset, feature, folds=dataset.clips, train=False, scaler=which) for which in (None, scaler))
    answers = [model.predict(which) for which in (bare, own)]
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert (
        model.evaluate(bare).numbers["accuracy"]
        == model.evaluate(own).numbers["accuracy"]
        == max(record["val_accuracy"] for record in model.history)
    )
    files = [clip.path for clip in dataset.clips[:2]]
    for one, other in zip(model.predict(files), answers[0][:2], strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    assert bare.scaler is None
    assert not seen


def test_validation_data_are_not_augmented(sounds):
    dataset, feature = sounds

    def silence(x, y, rng):  # noqa: ARG001
        return np.zeros_like(x), y

    data = DataGenerator(dataset, feature, folds=dataset.clips)
    checked = DataGenerator(dataset, feature, folds=dataset.clips, train=False)
    model = mlp()
    (record,) = model.train(data, checked, epochs=1, device="cpu", augment=[silence])
    expected = validation_record(model.evaluate(checked), None)
    assert record["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-6)
    blind = copy.copy(model)
    values = np.concatenate([scores.values for scores in blind.predict(checked)])
    assert values.std(axis=0).max() > 1e-3  # of silence all answers would be the same
