"""Training, predicting, saving: what every model gets from its container."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import dcasekit
from dcasekit import DataGenerator, Scaler, audio, testing
from dcasekit.batch_augmentations import mixup, time_shift
from dcasekit.containers._torch_step import known_loss
from dcasekit.containers._validation import sum_loss
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import AudioError, FeatureError, ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import Arrays
from dcasekit.models import MLP

LABELS = ("a", "b", "c")
SMALL = {"hidden_layers_size": (16,), "dropout_rates": (0.2,)}


pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(kw_only=True, eq=False)
class PerFrame(TorchModelContainer):
    """Answers every frame, or every `step` frames."""

    step: int = 1

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Network(nn.Module):
            def __init__(self, step):
                super().__init__()
                self.step, self.out = step, nn.Linear(dims, outputs)

            def forward(self, x):
                return self.out(x)[:, :: self.step]

        return Network(self.step)


def data(seed=0, each=12, noise=0.3, frames=6):
    """Three kinds of windows that are easy to tell apart."""
    patterns = np.random.default_rng(99).normal(size=(3, 1, 8))
    x = np.repeat(patterns, each, axis=0) + np.random.default_rng(seed).normal(0, noise, (3 * each, frames, 8))
    return x.astype(np.float32), np.repeat(np.eye(3, dtype=np.float32), each, axis=0)


def trained(**settings):
    model = MLP(**SMALL)
    model.train(data(), **{"epochs": 5, "batch_size": 8, "device": "cpu", "learning_rate": 0.01, **settings})
    return model


def same(one, other):
    first, second = one.weights(), other.weights()
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def timeless(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A small dataset, its feature, and generators on it."""
    dataset = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=30, seconds=0.5, sr=8000)
    feature = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16), sequence_time=0.2, sequence_hop_time=0.1)
    feature.extract(dataset)
    return dataset, feature


# ---- training


def test_training_lowers_the_loss_and_learns():
    model = MLP(**SMALL)
    history = model.train(data(), data(1), epochs=20, batch_size=8, learning_rate=0.01, device="cpu")
    assert [record["epoch"] for record in history] == list(range(1, 21))
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert set(history[0]) == {"epoch", "loss", "learning_rate", "seconds", "val_loss", "val_accuracy"}
    results = model.evaluate(data(2))
    assert results.numbers["accuracy"] > 0.95
    assert model.history == history


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_learns(optimizer):
    history = trained(optimizer=optimizer, epochs=8, weight_decay=1e-4).history
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mse"])
def test_every_loss_learns(loss):
    history = trained(loss=loss, epochs=8).history
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_best_epoch_is_kept():
    """Validation labels are wrong: the better the model fits, the worse it gets there, so an early epoch is best."""
    x, y = data(1)
    kept = []
    model = MLP(**SMALL)
    model.train(
        data(),
        (x, np.roll(y, 1, axis=1)),
        epochs=8,
        batch_size=8,
        learning_rate=0.05,
        monitor="loss",
        device="cpu",
        callbacks=[lambda record: kept.append((record["val_loss"], model.answer(x)))],
    )
    losses = [loss for loss, _ in kept]
    best = int(np.argmin(losses))
    assert best < 7
    np.testing.assert_array_equal(model.answer(x), kept[best][1])
    assert not np.array_equal(model.answer(x), kept[-1][1])


def test_without_validation_the_last_epoch_is_kept():
    last = []
    model = MLP(**SMALL)
    x, y = data()
    model.train((x, y), epochs=4, device="cpu", callbacks=[lambda _: last.append(model.answer(x))], early_stopping=1)
    assert len(last) == 4
    np.testing.assert_array_equal(model.answer(x), last[-1])


def test_early_stopping_counts_epochs_without_improvement():
    x, y = data(1)
    wrong = (x, np.roll(y, 1, axis=1))
    settings = {"epochs": 50, "batch_size": 8, "learning_rate": 0.05, "monitor": "loss", "device": "cpu"}
    history = MLP(**SMALL).train(data(), wrong, early_stopping=3, **settings)
    losses = [record["val_loss"] for record in history]
    assert len(history) == int(np.argmin(losses)) + 1 + 3 < 50
    assert len(MLP(**SMALL).train(data(), data(1), early_stopping=2, considered_improvement=10.0, **settings)) == 3


def test_metric_decides_by_default_and_the_loss_breaks_ties():
    model = MLP(**SMALL)
    history = model.train(data(), data(1), epochs=15, batch_size=8, learning_rate=0.01, device="cpu")
    best = max(range(15), key=lambda n: (history[n]["val_accuracy"], -history[n]["val_loss"]))
    reached = model.evaluate(data(1))
    assert reached.numbers["accuracy"] == history[best]["val_accuracy"]


def test_a_callback_sees_each_record_and_may_stop():
    seen = []
    history = trained(epochs=9, callbacks=[seen.append, lambda record: record["epoch"] == 3]).history
    assert len(history) == 3
    assert seen == history


def test_one_seed_gives_one_model_and_another_another():
    first, again, other = (trained(seed=seed, augment=[mixup]) for seed in (1, 1, 2))
    assert same(first, again)
    assert timeless(first.history) == timeless(again.history)
    assert not same(first, other)


def test_training_leaves_the_global_generators_alone():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the very thing that must not be touched
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    trained()
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_what_the_global_generator_was_does_not_matter():
    torch.manual_seed(1)
    first = trained()
    torch.manual_seed(2)
    assert same(first, trained())


def test_augmentations_are_used_in_order_on_training_batches_alone():
    calls = []

    def note(name, x, y, rng):
        calls.append((name, len(x), float(rng.random())))
        return x, y

    plain = trained(epochs=2)
    first, second = partial(note, "first"), partial(note, "second")
    model = MLP(**SMALL)
    model.train(data(), data(1), epochs=2, batch_size=8, device="cpu", augment=[first, second])
    assert [name for name, _, _ in calls] == ["first", "second"] * 10  # 36 windows in batches of 8
    assert [size for name, size, _ in calls if name == "first"] == [8, 8, 8, 8, 4] * 2
    assert len({drawn for _, _, drawn in calls}) == len(calls)
    assert not same(plain, trained(epochs=2, augment=[mixup]))
    assert trained(epochs=1, augment=[partial(mixup, alpha=0.4), time_shift]).training["augment"] == [
        "dcasekit.batch_augmentations:mixup(alpha=0.4)",
        "dcasekit.batch_augmentations:time_shift",
    ]


def test_an_augmentation_may_be_an_object():
    class Twice:
        def __call__(self, x, y, rng):  # noqa: ARG002
            return 2 * x, y

    assert trained(epochs=1, augment=[Twice()]).training["augment"][0].endswith("Twice")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [(1 + math.cos(math.pi * n / 4)) / 2 for n in range(4)]),
        ("one_cycle", [0, *((1 + math.cos(math.pi * (n / 4 - 0.1) / 0.9)) / 2 for n in (1, 2, 3))]),
    ],
)
def test_schedules(schedule, expected):
    history = trained(schedule=schedule, epochs=4, learning_rate=0.01).history
    assert [record["learning_rate"] for record in history] == pytest.approx([0.01 * factor for factor in expected])


def test_the_average_of_the_weights():
    """With one step per epoch the average can be followed by hand: mean-like at first, then of the given decay."""
    steps = []
    model = MLP(**SMALL)
    raw = model.build((6, 8), LABELS)
    seen = {name: torch.from_numpy(array.copy()) for name, array in raw.weights().items()}
    settings = {"epochs": 6, "batch_size": 36, "device": "cpu", "learning_rate": 0.01}
    model.train(data(), **settings, average=0.5, callbacks=[lambda _: steps.append(model.weights())])
    plain = []
    other = MLP(**SMALL)
    other.train(data(), **settings, callbacks=[lambda _: plain.append({name: array.copy() for name, array in other.weights().items()})])
    for done, weights in enumerate(plain, 1):
        decay = min(0.5, done / (done + 9))
        for name, array in weights.items():
            seen[name] = decay * seen[name] + (1 - decay) * torch.from_numpy(array)
    for name, array in model.weights().items():
        np.testing.assert_allclose(array, seen[name], atol=1e-5)
        assert not np.array_equal(array, plain[-1][name])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_runs_on_this_processor(precision):
    model = trained(precision=precision, epochs=8)
    assert model.history[-1]["loss"] < model.history[0]["loss"]
    assert all(array.dtype == np.float32 for array in model.weights().values())
    assert not same(model, trained(epochs=8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so it is not missing")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ModelError, match="device 'cuda' cannot be used here .*; use device='cpu' or 'auto'"):
        trained(device="cuda")
    with pytest.raises(ModelError, match="device 'abacus' cannot be used here"):
        trained(device="abacus")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epoch": 5}, "Did you mean 'epochs'"),
        ({"learnrate": 5}, "Did you mean 'learning_rate'"),
        ({"verbosity": 5}, "train\\(\\) has no setting 'verbosity'.*Known: epochs"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd, or a function; got 'lion'"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"epochs": 0}, "epochs must be a positive int; got 0"),
        ({"epochs": 2.5}, "epochs must be a positive int"),
        ({"batch_size": -1}, "batch_size must be a positive int"),
        ({"learning_rate": 0}, "learning_rate > 0"),
        ({"average": 1.0}, "average < 1"),
        ({"early_stopping": 0}, "early_stopping >= 1"),
        ({"early_stopping": 1.5}, "early_stopping >= 1, whole epochs"),
        ({"epochs": True}, "epochs must be a positive int; got True"),
        ({"learning_rate": math.nan}, "learning_rate > 0; got learning_rate=nan"),
        ({"learning_rate": "0.1"}, "learning_rate > 0; got learning_rate='0.1'"),
        ({"weight_decay": -1.0}, "weight_decay >= 0"),
        ({"weight_decay": math.nan}, "weight_decay >= 0"),
        ({"average": math.nan}, "0 <= average < 1, or a function; got average=nan"),
        ({"considered_improvement": -0.1}, "considered_improvement >= 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_wrong_settings_of_training_are_refused(settings, says):
    with pytest.raises(ModelError, match=says):
        trained(**settings)


def test_settings_of_training_may_be_numbers_of_numpy(tmp_path):
    settings = {"epochs": np.int64(2), "batch_size": np.int32(8), "seed": np.int64(3), "early_stopping": np.int64(1)}
    settings |= {name: np.float32(0.1) for name in ("learning_rate", "weight_decay", "average", "considered_improvement")}
    model = trained(**settings, resume=tmp_path / "run")
    model.save(tmp_path / "model")
    assert same(model, trained(**{name: value.item() if value != np.float32(0.1) else 0.1 for name, value in settings.items()}))
    assert dcasekit.load(tmp_path / "model").training["learning_rate"] == 0.1


def test_a_loss_that_is_not_a_number_is_an_error_with_a_remedy():
    x, y = data()
    x[0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="clip 0: X holds NaN or infinity"):
        MLP(**SMALL).train((x, y), epochs=2, device="cpu")
    with pytest.raises(ModelError, match=r"the loss is nan in epoch \d+; lower learning_rate \(1e\+30\) or scale the features"):
        MLP(**SMALL).train(data(), epochs=5, learning_rate=1e30, device="cpu")


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((4, 8)), np.eye(4), "X must be an array"),
        (np.zeros((4, 6, 8)), np.eye(3), "the same windows"),
        ([], [], "X must be an array"),
        ([np.zeros((0, 6, 8))], [np.zeros((0, 3))], "none of them empty"),
        (np.zeros((4, 6, 8)), np.arange(4), r"Y must be .* a column per label, .* of numbers of classes that is np.eye\(classes\)\[Y\]"),
        (np.zeros((4, 6, 8)), np.eye(4).tolist(), "Y must be an array"),
        (np.zeros((4, 6, 8)), np.array([list("abc")] * 4), "Y must hold numbers, .*could not convert"),
        (np.zeros((4, 6, 8)), 1, "Y must hold numbers"),
    ],
)
def test_data_that_do_not_fit_are_refused(x, y, says):
    with pytest.raises(ModelError, match=says):
        MLP(**SMALL).train((x, y), epochs=1, device="cpu")


# ---- tasks


def test_tagging():
    x, y = data()
    y[:12, 1] = 1  # two tags at once
    model = MLP(**SMALL)
    model.train((x, y), epochs=40, batch_size=8, learning_rate=0.02, device="cpu")
    assert model.task == "tagging"
    assert model.evaluate((x, y)).numbers["f1/micro"] > 0.95


def test_soft_labels():
    x, y = data()
    history = (model := MLP(**SMALL)).train((x, 0.8 * y + 0.1), epochs=30, batch_size=8, learning_rate=0.02, loss="mse", device="cpu")
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert np.abs(model.answer(x) - 0.8 * y - 0.1).mean() < 0.2


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Tones that come and go, with exact events."""
    from dcasekit.annotations import Clip, Event
    from dcasekit.datasets import CrossValidation, Dataset

    class Tones(Dataset):
        task, labels, folds, licence, citation = "detection", ("high", "low"), ("fold1", "fold2", "fold3"), "none", "none"
        protocol = CrossValidation()

        def load(self):
            for n in range(9):
                onset = 0.1 + 0.05 * n
                events = (Event(onset, onset + 0.3, ("high", "low")[n % 2]),)
                yield Clip(id=str(n), path=self.root / f"{n}.wav", fold=f"fold{n % 3 + 1}", events=events)

    dataset = Tones(tmp_path_factory.mktemp("tones"))
    seconds = np.arange(8000) / 8000
    for clip in dataset.clips:
        (event,) = clip.events
        tone = np.sin(2 * np.pi * (3000 if event.label == "high" else 500) * seconds)
        tone *= (seconds >= event.onset) & (seconds < event.offset)
        audio.write(clip.path, (0.5 * tone + np.random.default_rng(0).normal(0, 0.01, 8000)).astype(np.float32), 8000)
    feature = MelSpectrogram(sr=8000, audio_win=256, audio_hop=200, mel=Mel(bands=12), sequence_time=0.25, sequence_hop_time=0.125)
    feature.extract(dataset)
    return dataset, feature


@pytest.mark.parametrize(("model", "target"), [(PerFrame(), "frame"), (MLP(**SMALL), "window")])
def test_detection(scenes, model, target):
    dataset, feature = scenes
    train = DataGenerator(dataset, feature, folds=["train", "val"], target=target)
    test = DataGenerator(dataset, feature, folds=["test"], target=target, train=False)
    scaler = Scaler().fit(train)
    train.set_scaler(scaler)
    test.set_scaler(scaler)
    history = model.train(train, test, epochs=30, learning_rate=0.03, device="cpu")
    assert model.task == "detection"
    assert "val_f1/micro" in history[0]
    results = model.evaluate(test)
    assert results.numbers["f1/micro"] > 0.9
    for clip, scores in zip(test.clips, results.scores, strict=True):
        assert scores.edges[0] == 0
        assert scores.edges[-1] >= 1.0
        (event,) = dcasekit.to_events(dcasekit.Scores(scores.values, scores.edges, scores.labels))[:1]
        assert event.label == clip.events[0].label
        assert event.onset == pytest.approx(clip.events[0].onset, abs=0.06 if target == "frame" else 0.25)


def test_a_network_that_answers_every_fourth_frame():
    x = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    model = PerFrame(step=4).build((8, 8), LABELS, task="detection")
    scores = model.predict([x])[0]
    assert scores.values.shape == (6, 3)
    np.testing.assert_allclose(scores.edges, np.arange(7) / 2)


def test_targets_of_the_wrong_kind_are_refused(scenes):
    dataset, feature = scenes
    frames = DataGenerator(dataset, feature, folds=["train"], target="frame")
    with pytest.raises(ModelError, match="choose target='window' or 'clip' for a network that answers windows"):
        MLP(**SMALL).train(frames, epochs=1, device="cpu")


@pytest.mark.parametrize(("task", "loss"), [("classification", None), ("tagging", None), ("tagging", "mse")])
def test_a_network_that_answers_frames_learns_tags_of_clips_by_its_mean_answer(task, loss):
    """As the first pass of the DCASE 2018 task 4 baseline."""
    torch.manual_seed(0)
    logits, y = torch.randn(4, 7, 3), torch.eye(3)[[0, 1, 2, 0]]
    answers = (logits.softmax(-1) if task == "classification" else logits.sigmoid()).mean(1).numpy()
    name = loss or ("cross_entropy" if task == "classification" else "binary_cross_entropy")
    total, count = sum_loss(y.numpy(), answers, loss, task)
    assert float(known_loss(logits, y, name, complete=True)) == pytest.approx(total / count, rel=1e-4)
    y[1] = math.nan
    total, count = sum_loss(y.numpy(), answers, loss, task)
    assert float(known_loss(logits, y, name, complete=False)) == pytest.approx(total / count, rel=1e-4)
    assert float(known_loss(logits, y * math.nan, name, complete=False)) == 0
    (x, y), model = data(), PerFrame(step=1)
    history = model.train(Arrays(x, y, task=task), epochs=8, batch_size=8, learning_rate=0.05, device="cpu")
    assert history[-1]["loss"] < history[0]["loss"]


def test_validation_without_any_event_is_judged_by_its_loss_and_can_be_saved(tmp_path):
    x, y = data()
    y[:12, 1] = 1
    model = MLP(**SMALL)
    history = model.train((x, y), (x, 0 * y), epochs=3, batch_size=8, learning_rate=0.01, device="cpu")
    assert all(math.isnan(record["val_average_precision/macro"]) for record in history)
    best = int(np.argmin([record["val_loss"] for record in history]))
    again = model.evaluate(dcasekit.generator.Arrays(x, 0 * y, labels=model.labels, task="tagging"))
    from dcasekit.containers._validation import validation_record

    assert validation_record(again, None)["val_loss"] == pytest.approx(history[best]["val_loss"], rel=1e-5)
    assert dcasekit.load(model.save(tmp_path)).history[0]["val_average_precision/macro"] is None


# ---- interruptions

RESUMED = """
import functools, sys, threading, numpy as np, torch
from dcasekit import batch_augmentations
from dcasekit.models import MLP
torch.set_num_threads(1)
data, stop, batches = np.load(sys.argv[1]), int(sys.argv[3]), []

@functools.wraps(batch_augmentations.mixup)
def mixup(x, y, rng):
    batches.append(x)
    if len(batches) == stop:
        print("stopped", flush=True)
        threading.Event().wait()  # until somebody ends the process
    return batch_augmentations.mixup(x, y, rng)

model = MLP(hidden_layers_size=(16,), dropout_rates=(0.2,))
model.train((data["x"], data["y"]), (data["v"], data["w"]), epochs=8, batch_size=8, learning_rate=0.01, average=0.9, schedule="cosine",
            augment=[mixup], seed=3, device="cpu", resume=sys.argv[2])
model.save(sys.argv[4])
"""


def test_a_killed_training_resumes_to_the_same_model(tmp_path):
    (x, y), (v, w) = data(), data(1)
    np.savez(tmp_path / "data.npz", x=x, y=y, v=v, w=w)

    def start(name, stop=0):
        arguments = [str(tmp_path / part) for part in ("data.npz", f"{name}-run", f"{name}-model")]
        command = [sys.executable, "-W", "error", "-c", RESUMED, *arguments[:2], str(stop), arguments[2]]
        return subprocess.Popen(command, stdout=subprocess.PIPE if stop else None, text=True)

    killed, undisturbed = start("killed", stop=14), start("undisturbed")  # in the middle of the third epoch of five batches
    assert killed.stdout.readline() == "stopped\n"
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "killed-run" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "killed-model").exists()
    assert start("killed").wait() == 0
    assert undisturbed.wait() == 0
    one, other = (dcasekit.load(tmp_path / f"{name}-model") for name in ("killed", "undisturbed"))
    assert same(one, other)
    assert timeless(one.history) == timeless(other.history)
    assert len(one.history) == 8


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_training_resumes_to_the_same_model(tmp_path, optimizer, stop):
    settings = {"optimizer": optimizer, "epochs": 6, "augment": [mixup], "average": 0.9, "schedule": "one_cycle"}
    whole = trained(**settings)
    trained(**settings, resume=tmp_path, callbacks=[lambda record: record["epoch"] == stop])
    resumed = trained(**settings, resume=tmp_path)
    assert same(whole, resumed)
    assert timeless(whole.history) == timeless(resumed.history)
    again = trained(**settings, resume=tmp_path)  # it is finished: nothing is trained
    assert same(whole, again)
    assert again.history == resumed.history


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.5}, {"seed": 9}, {"augment": [mixup]}, {"batch_size": 9}, {"average": 0.5}, {"optimizer": "sgd"}],
    ids=lambda change: next(iter(change)),
)
def test_resuming_with_other_settings_is_refused(tmp_path, change):
    trained(resume=tmp_path, epochs=2)
    with pytest.raises(ModelError, match=rf"belongs to another run: {next(iter(change))} was .*, now .*; delete it"):
        trained(**{"resume": tmp_path, "epochs": 2, **change})


def test_a_run_is_extended_unless_its_schedule_depends_on_the_number_of_epochs(tmp_path):
    trained(resume=tmp_path / "constant", epochs=2)
    extended = trained(resume=tmp_path / "constant", epochs=4)
    assert len(extended.history) == 4
    assert same(extended, trained(epochs=4))
    with pytest.raises(ModelError, match="been trained for 4 epochs already, and epochs is 2"):
        trained(resume=tmp_path / "constant", epochs=2)
    trained(resume=tmp_path / "cosine", epochs=2, schedule="cosine")
    with pytest.raises(ModelError, match="belongs to another run: epochs was 2, now 4"):
        trained(resume=tmp_path / "cosine", epochs=4, schedule="cosine")


def test_resuming_with_other_data_is_refused(tmp_path):
    trained(resume=tmp_path)
    with pytest.raises(ModelError, match="the data differ: their clips, labels, features, scaler or audio have changed; delete it"):
        MLP(**SMALL).train(data(each=20), epochs=5, batch_size=8, device="cpu", learning_rate=0.01, resume=tmp_path)


def test_resuming_another_network_is_refused(tmp_path):
    trained(resume=tmp_path)
    with pytest.raises(ModelError, match="belongs to another run"):
        MLP(hidden_layers_size=(4,), dropout_rates=(0.2,)).train(
            data(), epochs=5, batch_size=8, device="cpu", learning_rate=0.01, resume=tmp_path
        )


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    trained(resume=tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="checkpoint.safetensors is not a readable checkpoint"):
        trained(resume=tmp_path)


# ---- saving, loading, predicting files


def test_a_saved_model_predicts_from_files_as_it_did_from_the_dataset(sounds, tmp_path):
    dataset, feature = sounds
    train = DataGenerator(dataset, feature, folds=["train"])
    train.set_scaler(Scaler("minmax").fit(train))
    model = MLP(**SMALL)
    model.train(train, epochs=10, learning_rate=0.01, device="cpu")
    test = DataGenerator(dataset, feature, folds=["test"], train=False, scaler=train.scaler)
    expected = model.predict(test)
    loaded = dcasekit.load(model.save(tmp_path / "model"))
    found = loaded.predict([clip.path for clip in test.clips])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
        np.testing.assert_allclose(one.edges, other.edges)
        assert one.labels == other.labels == dataset.labels
        assert other.edges[-1] == pytest.approx(0.5)
    assert loaded.features == feature
    assert loaded.history == model.history
    assert loaded.training["epochs"] == 10
    again = dcasekit.load(loaded.save(tmp_path / "again"))
    assert same(again, model)
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    assert about["class"] == "mlp"
    assert about["features"]["class"] == "mel_spectrogram"
    assert about["versions"]["dcasekit"] == dcasekit.__version__


def test_a_file_at_another_rate_and_with_two_channels_is_treated(sounds, tmp_path):
    dataset, feature = sounds
    model = MLP(**SMALL)
    model.train(DataGenerator(dataset, feature, folds=["train"]), epochs=1, device="cpu")
    samples, _ = audio.read(dataset.clips[0].path, sr=16000)
    audio.write(tmp_path / "stereo.flac", np.stack([samples, samples], axis=1).clip(-1, 1), 16000)
    of_file, of_clip = model.predict([tmp_path / "stereo.flac"])[0], model.predict([str(dataset.clips[0].path)])[0]
    np.testing.assert_allclose(of_file.values, of_clip.values, atol=0.05)


def test_files_that_cannot_be_treated_are_named(sounds, tmp_path):
    dataset, feature = sounds
    model = MLP(**SMALL)
    model.train(DataGenerator(dataset, feature, folds=["train"]), epochs=1, device="cpu")
    with pytest.raises(AudioError, match=r"nowhere\.wav does not exist"):
        model.predict([tmp_path / "nowhere.wav"])
    audio.write(tmp_path / "short.wav", np.zeros(100, np.float32), 8000)
    with pytest.raises(FeatureError, match=r"short\.wav: the audio has 100 samples"):
        model.predict([tmp_path / "short.wav"])
    with pytest.raises(ModelError, match=r"predict takes a list of files.*write predict\(\["):
        model.predict(tmp_path / "short.wav")
    with pytest.raises(ModelError, match="has no front end"):
        trained().predict([tmp_path / "short.wav"])


def test_wrong_features_are_refused(sounds):
    dataset, feature = sounds
    other = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=17))
    other.extract(dataset)
    model = MLP(**SMALL)
    model.train(DataGenerator(dataset, feature, folds=["train"]), epochs=1, device="cpu")
    with pytest.raises(ModelError, match="takes windows of 16 dims; got 17"):
        model.evaluate(DataGenerator(dataset, other, folds=["test"], train=False))
    with pytest.raises(ModelError, match="takes windows of 16 dims; got 8"):
        model.predict(data()[0])


def test_before_training_there_is_nothing_to_ask(tmp_path):
    for call in (lambda m: m.predict(data()[0]), lambda m: m.evaluate(data()), lambda m: m.save(tmp_path), lambda m: m.cost()):
        with pytest.raises(ModelError, match=r"has no network yet; call train\(\) or build\(\) first"):
            call(MLP())


@pytest.mark.parametrize(
    "name", ["subprocess:Popen", "os:system", "dcasekit.generator.scaler:Scaler", "no.such.module:Model", "mel_spectrogram", ""]
)
def test_a_model_file_that_names_another_class_is_refused(tmp_path, name):
    folder = trained(epochs=1).save(tmp_path)
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, "class": name}))
    with pytest.raises(ModelError):
        dcasekit.load(folder)


@pytest.mark.parametrize("key", ["class", "settings", "labels", "task", "shape", "features", "scaler", "weights_sha256"])
def test_a_model_file_without_a_part_is_refused(tmp_path, key):
    folder = trained(epochs=1).save(tmp_path)
    about = json.loads((folder / "model.json").read_text())
    del about[key]
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=str(folder)):
        dcasekit.load(folder)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"model\.json does not exist"):
        dcasekit.load(tmp_path)
    folder = trained(epochs=1).save(tmp_path)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"does not hold a complete model .*weights\.safetensors"):
        dcasekit.load(folder)
    trained(epochs=1).save(tmp_path / "run" / "models" / "fold1")
    with pytest.raises(ModelError, match=r"run holds no model itself, but below it there are: .*/run/models/fold1; give one of these"):
        dcasekit.load(tmp_path / "run")


def test_training_again_starts_anew():
    model = trained(epochs=3)
    first = model.weights()
    first = {name: array.copy() for name, array in first.items()}
    model.train(data(), epochs=3, batch_size=8, device="cpu", learning_rate=0.01)
    assert all(np.array_equal(first[name], array) for name, array in model.weights().items())
    assert len(model.history) == 3
