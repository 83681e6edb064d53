"""Two processes of torchrun train as one does: the same losses and weights, but for rounding; this file is also what they run."""

import csv
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import cli, testing
from dcasekit.containers._epochs import refuse_settings
from dcasekit.containers.objectives import mean_teacher
from dcasekit.containers.training import Training
from dcasekit.core.processes import is_first
from dcasekit.errors import ModelError
from dcasekit.generator import Arrays, Together
from dcasekit.models import CRNN2018, CRNN2023, CRNN2023A, MLP, CompactCNN
from dcasekit.recipes import _runs, quickstart

HOW = {"epochs": 3, "batch_size": 5, "device": "cpu", "seed": 1, "optimizer": "sgd", "learning_rate": 0.01}


def systems():
    """Name -> model, data, settings: dropout, batch statistics, recurrent layers, a last batch of 2, and much that is unknown."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 16, 64)).astype(np.float32)
    tags, frames = ((rng.random(shape) > 0.5).astype(np.float32) for shape in ((12, 3), (12, 16, 3)))
    known = frames.copy()
    tags[::4, 1], frames[::3], frames[1, :8] = np.nan, np.nan, np.nan
    together = Together({"strong": (Arrays(x, known), 3), "weak": (Arrays(x, frames), 4)}, steps=2)
    small = CompactCNN(filters=(2, 4), pool_size=((2, 2),))
    detection = {"class_weights": "balanced", "loss": "mse"}
    return {
        "tagging": (small, Arrays(x, tags, task="tagging"), {"objective": "mixup", "clip_norm": 1.0}),
        "detection": (CRNN2018(filters=(4, 4, 4), units=4), Arrays(x, frames), detection),
        "mean teacher": (CRNN2023(filters=(4, 4, 4), gru_units=4, dense_units=4), together, {"objective": "mean_teacher", "average": 0.9}),
        "own pooling": (
            CRNN2023A(filters=(2, 4), pool_size=((2, 4), (1, 4)), gru_units=4, linear=False),
            together,
            {"objective": partial(mean_teacher, mix=0.5), "average": 0.9},
        ),
        "penalty": (MLP(hidden_layers_size=(4,), dropout_rates=(0.5,), l2_reg=0.1), Arrays(x[:6], tags[:6]), {"batch_size": 1}),
    }


def train_all(folder):
    """Train each system; give its losses and weights. The validation is a function that only the first process may call."""
    found = {}
    for name, (model, data, settings) in systems().items():
        told = []
        validation = lambda trained: {"loss": told.append(trained) or float(len(told))}  # noqa: B023, E731 - called at once
        history = model.train(data, validation, **{**HOW, **settings}, callbacks=[lambda record: record["epoch"] == 2])
        model.save(folder / name)
        found[name] = {
            "loss": [record["loss"] for record in history],
            "validated": [record["val_loss"] for record in history],
            "called": len(told),
            "weights": {key: array.ravel().tolist() for key, array in model.weights().items()},
        }
    return found


def torchrun(*args):
    """Start two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_two_processes_learn_what_one_learns_and_killed_they_go_on(tmp_path):
    """The first time, the process that writes dies when all are trained, in the second epoch of one more run."""
    work = torchrun(__file__, tmp_path)
    expected = train_all(tmp_path / "one")
    work.communicate()
    assert work.returncode
    assert (tmp_path / "resumed" / "checkpoint.safetensors").exists()
    again = torchrun(__file__, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for name, alone in expected.items():
        assert first[name]["loss"] == pytest.approx(alone["loss"], rel=1e-5), name
        assert first[name]["validated"] == second[name]["validated"] == alone["validated"] == [1.0, 2.0]
        assert (first[name]["called"], second[name]["called"]) == (2, 0)
        assert first[name]["weights"] == second[name]["weights"], name
        for key, values in alone["weights"].items():
            assert first[name]["weights"][key] == pytest.approx(values, rel=1e-3, abs=1e-5), f"{name}: {key}"
        assert (tmp_path / "0" / name / "model.json").exists()
    assert not (tmp_path / "1").exists()
    undisturbed = [record["loss"] for record in train_teacher(tmp_path / "alone")]
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.resumed.json").read_text()) == pytest.approx(undisturbed, rel=1e-5)


def train_teacher(folder):
    """Train the mean teacher with checkpoints; the first time, the process that writes dies after the second epoch."""
    model, data, settings = systems()["mean teacher"]
    dead = folder.parent / "dead"

    def die(record):
        if record["epoch"] == 2 and folder.name == "resumed" and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return model.train(data, **{**HOW, **settings}, resume=folder, callbacks=[die])


def test_the_command_line_trains_in_two_processes(tmp_path):
    data = testing.make_dataset("esc50", tmp_path / "esc50", clips=20, seconds=0.6, sr=8000).root
    given = ["--dataset", "esc50", "--data", data, "--cache", tmp_path / "cache", "--model", "mlp", "-T", "device=cpu", "--epochs", 3]
    given += ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
    given = ["train", *given, "-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0.2]", "--out"]
    work = torchrun("-m", "dcasekit", *given, tmp_path / "two")
    answer, errors = work.communicate()
    assert work.returncode == 0, errors
    assert answer.count("report.html") == 1  # told once
    assert (tmp_path / "two" / "report.html").exists()
    CliRunner().invoke(cli.app, [str(each) for each in [*given, tmp_path / "one"]], catch_exceptions=False)
    one, two = (list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines())) for name in ("one", "two"))
    for name in ("loss", "val_loss", "val_accuracy"):
        assert [float(row[name]) for row in two] == pytest.approx([float(row[name]) for row in one], rel=1e-4)


def test_other_backends_and_recipes_refuse_several_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match="trained by one process; start them without torchrun"):
        refuse_settings(Training(), None, "Keras")
    with pytest.raises(ModelError, match="recipes are run by one process"):
        _runs.run_once(quickstart, quickstart.QUICK, {}, tmp_path)
    monkeypatch.setenv("RANK", "1")
    assert not is_first()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert is_first()


if __name__ == "__main__":
    rank, out = os.environ["RANK"], Path(sys.argv[1])
    if not (out / f"{rank}.json").exists():
        (out / f"{rank}.json").write_text(json.dumps(train_all(out / rank)))
    (out / f"{rank}.resumed.json").write_text(json.dumps([one["loss"] for one in train_teacher(out / "resumed")]))
