"""Training on all folds, on transformed copies, and from a model there is, on the command line."""

import json

import pytest
from typer.testing import CliRunner

from dcasekit import load, testing
from dcasekit.cli import app

QUICK = ["--epochs", "1", "-q", "--json"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("esc10")
    testing.make_dataset("esc10", folder, clips=40, seconds=0.5)
    return ["--dataset", "esc10", "--data", str(folder)]


def run(*args):
    done = CliRunner().invoke(app, [*map(str, args)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "all"
    return out, run("train", *data, "--model", "mlp", "--fold", "all", "--out", out, *QUICK)


def test_all_folds_are_tested_once_and_reported_together(whole):
    out, found = whole
    [section] = found["sections"]
    assert section["clips"] == 40
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [f"fold{n}" for n in range(1, 6)]
    folds = json.loads((out / "report.json").read_text())["sections"][0]["folds"]
    alone = [json.loads((out / f"fold{n}" / "report.json").read_text())["sections"][0]["folds"][f"fold{n}"] for n in range(1, 6)]
    assert list(folds.values()) == alone


def test_a_trained_model_is_tuned_and_keeps_its_front_end(data, whole, tmp_path):
    start = load(whole[0] / "fold1" / "model")
    run("fine-tune", "--model", whole[0] / "fold1" / "model", *data, "--fold", "fold2", "--out", tmp_path / "tuned", *QUICK)
    tuned = load(tmp_path / "tuned" / "model")
    assert tuned.features == start.features
    assert tuned.scaler.to_dict() == start.scaler.to_dict()
    head = {name for name, value in tuned.weights().items() if not (value == start.weights()[name]).all()}
    assert 0 < len(head) < len(start.weights())


def test_copies_are_trained_on_and_not_tested_on(data, tmp_path):
    found = run("train", *data, "--model", "mlp", "--out", tmp_path / "run", "-A", "white_noise:snr=20", "--cache", tmp_path / "c", *QUICK)
    sizes = json.loads((tmp_path / "run" / "report.json").read_text())["sections"][0]["sizes"]["fold1"]
    assert sizes["train"] == 2 * 24
    assert found["sections"][0]["clips"] == 8
