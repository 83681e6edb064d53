"""Loggers as callbacks of `train`, with the real packages, offline: what they wrote is read again."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import cli
from dcasekit.containers.loggers import base
from dcasekit.core import discover
from dcasekit.errors import MissingExtraError, NameNotFoundError
from dcasekit.models import MLP
from dcasekit.testing import make_dataset

NAMES = discover.names("containers.loggers")
SETTINGS = {"model": {"class": "MLP", "sizes": [4]}, "epochs": 3, "why": None}
RESULTS = {"accuracy": 0.75, "f1/dog": float("nan"), "f1/cat": 0.5}

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use of SQLAlchemy 2.1


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Let nothing but this machine be reached, and no variable of a user's say otherwise."""
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    connect = socket.socket.connect

    def here(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a connection to {address} was tried")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", here)


def make(logger, folder, **settings):
    kind = discover.load("containers.loggers", logger)
    pytest.importorskip(kind.package)
    return kind(folder, **settings)


def read_tensorboard(folder):
    """Curve -> epoch -> value; text of the settings."""
    from tensorboardX.proto.event_pb2 import Event

    curves, texts = {}, []
    for path in sorted((folder / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                if value.HasField("tensor"):
                    texts.append(value.tensor.string_val[0].decode())
                else:
                    curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves, "\n".join(texts)


def read_records(path):
    """Give the records of W&B's file: LevelDB's log, behind a header of seven bytes."""
    content, at, parts = path.read_bytes(), 7, b""
    assert content[:4] in (b"", b":W&B")
    while at + 7 <= len(content):
        if (rest := 32768 - at % 32768) < 7:
            at += rest
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        if at + 7 + length > len(content):  # it is being written
            return
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(folder):
    """Curve -> epoch -> value, with the summary as points of the last epoch; settings as text."""
    from wandb.proto.wandb_internal_pb2 import Record

    def finished(path):
        """W&B's own process writes the file's end a moment after `finish` has returned."""
        while not (found := [Record.FromString(data) for data in read_records(path)]) or found[-1].WhichOneof("record_type") != "exit":
            time.sleep(0.01)
        return found

    curves, settings, ids = {}, {}, set()
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for record in finished(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                ids.add(record.run.run_id)
                settings |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.run.config.update}
            if kind == "history":
                row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                for key, value in row.items():
                    curves.setdefault(key, []).append((row["_step"], value))
            if kind == "summary":
                found = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update}
                for key, value in found.items():
                    if key.startswith("test/"):  # W&B's summary repeats the last of each curve
                        curves.setdefault(key, []).append((3, value))
    assert len(ids) <= 1, "parts of one run have one id"
    return {key: points for key, points in curves.items() if not key.startswith("_")}, str(settings)


def read_mlflow(folder):
    """Curve -> epoch -> value; settings as text."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    [run] = client.search_runs([client.get_experiment_by_name("dcasekit").experiment_id])
    assert run.info.status == "FINISHED"
    curves = {key: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
    return curves, f"{run.info.run_name} {run.data.params}"


READ = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow}


def test_there_is_a_reader_for_each():
    assert set(READ) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_settings_epochs_and_results_arrive_over_an_interruption_each_once(name, tmp_path):
    history = [{"epoch": epoch, "loss": 1 / epoch, "val_f1/micro": 0.25 * epoch, "seconds": 0.5} for epoch in (1, 2, 3)]
    log = make(name, tmp_path, name="a run", settings=SETTINGS)
    for record in history[:2]:
        log(record)
    log.close({}, 2)
    again = make(name, tmp_path, name="a run", settings=SETTINGS)
    again(history[1])  # logged before
    again.finish(RESULTS, history)  # the third was not
    curves, settings = READ[name](tmp_path)
    assert curves["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert curves["val_f1/micro"] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert curves["test/accuracy"] == [(3, 0.75)]
    assert curves["test/f1/cat"] == [(3, 0.5)]
    assert "test/f1/dog" not in curves, "it is undefined"
    for setting in ("model.class", "MLP", "model.sizes", "epochs"):
        assert setting in settings
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    make(name, tmp_path, settings=SETTINGS).finish(RESULTS, history)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files, "a finished run was logged again"


@pytest.mark.parametrize("name", NAMES)
def test_what_was_logged_before_a_kill_stays_and_the_rest_is_logged_when_the_run_goes_on(name, tmp_path):
    make(name, tmp_path)  # skips where the package is missing
    script = (
        "import os, signal\nfrom dcasekit.core import discover\n"
        f"log = discover.load('containers.loggers', {name!r})({str(tmp_path)!r}, settings={{'size': 4}})\n"
        "for epoch in (1, 2, 3):\n    log({'epoch': epoch, 'loss': 1 / epoch})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    alone = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}  # not W&B's server of this process
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=alone)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    log = make(name, tmp_path, settings={"size": 4})
    log.finish(RESULTS, [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3, 4)])
    curves, settings = READ[name](tmp_path)
    assert curves["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert curves["test/accuracy"][0][1] == 0.75
    assert "size" in settings


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_trained_with_it_as_a_callback(name, tmp_path):
    log = make(name, tmp_path)
    x, y = np.random.default_rng(0).normal(size=(12, 8, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(12) % 2]
    model = MLP(hidden_layers_size=(4,), dropout_rates=(0.0,))
    model.train((x, y), (x, y), epochs=2, device="cpu", callbacks=[log])
    log.finish(model.evaluate((x, y)).numbers)
    curves, _ = READ[name](tmp_path)
    assert curves["loss"] == [(record["epoch"], pytest.approx(record["loss"], rel=1e-5)) for record in model.history]
    assert [epoch for epoch, _ in curves["val_accuracy"]] == [1, 2]
    assert curves["test/accuracy"][0][1] == pytest.approx(model.evaluate((x, y)).numbers["accuracy"])


def test_the_train_command_tells_of_all_its_folds(tmp_path):
    data = make_dataset("esc10", tmp_path / "data", clips=60, seconds=0.5, sr=8000)
    small = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
    model = ["--model", "mlp", "-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0.0]", "--device", "cpu", "--epochs", "2"]
    for name in NAMES:
        pytest.importorskip(discover.load("containers.loggers", name).package)
    logs = [word for name in NAMES for word in ("--log", name)]
    words = ["train", "--dataset", "esc10", "--data", tmp_path / "data", *model, *small, *logs, "--out", tmp_path / "run", "--json", "-q"]
    done = CliRunner().invoke(cli.app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    accuracy = json.loads(done.stdout)["sections"][0]["value"]
    epochs = (tmp_path / "run" / "history.csv").read_text().splitlines()
    for name in NAMES:
        curves, settings = READ[name](tmp_path / "run")
        assert len(curves["loss"]) == len(epochs) - 1 == 2
        assert curves["test/accuracy"][0][1] == pytest.approx(accuracy)
        assert "training.learning_rate" in settings
        assert "mel.bands" in settings
    assert "MLP on ESC10, fold1" in READ["mlflow"](tmp_path / "run")[1]
    words = ["fine-tune", "--model", tmp_path / "run" / "model", "--dataset", "esc10", "--data", tmp_path / "data", "--epochs", "3"]
    words += ["-T", "device=cpu", "--fold", "all", "--log", "tensorboard", "--out", tmp_path / "tuned", "-q"]
    done = CliRunner().invoke(cli.app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    for fold in data.present_folds:
        assert [epoch for epoch, _ in read_tensorboard(tmp_path / "tuned" / fold)[0]["loss"]] == [1, 2, 3]


def test_an_unknown_logger_and_a_missing_package_are_refused_before_anything_is_computed(tmp_path, monkeypatch):
    make_dataset("esc10", tmp_path / "data", clips=20, seconds=0.5, sr=8000)
    words = ["train", "--dataset", "esc10", "--data", tmp_path / "data", "--model", "mlp", "--out", tmp_path / "run", "--log"]
    done = CliRunner().invoke(cli.app, list(map(str, [*words, "tensorbord"])))
    assert done.exit_code == 1
    assert "Did you mean 'tensorboard'" in done.output
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda package: None)
    done = CliRunner().invoke(cli.app, list(map(str, [*words, "wandb"])))
    assert done.exit_code == 1
    assert "pip install 'dcasekit[wandb]'" in done.output
    assert not (tmp_path / "run").exists()
    with pytest.raises(NameNotFoundError, match="tensorboard"):
        discover.load("containers.loggers", "nothing")
    with pytest.raises(MissingExtraError, match=r"dcasekit\[mlflow\]"):
        discover.load("containers.loggers", "mlflow")(tmp_path)


def test_loggers_import_their_packages_when_the_first_epoch_is_done():
    script = (
        "import sys\nfrom dcasekit.core import discover\n"
        "loggers = [discover.load('containers.loggers', name)('/nowhere') for name in discover.names('containers.loggers')]\n"
        "print(len(loggers), sorted({'tensorboardX', 'wandb', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "3 []\n"
    assert not Path("/nowhere").exists()
