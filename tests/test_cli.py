"""The `dcasekit` command: every command, its machine output, its exit codes, and what it says when something is wrong."""

import csv
import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import dcasekit
from dcasekit import audio, cli
from dcasekit.annotations import read_annotation, read_events
from dcasekit.augmentations import PitchShift, WhiteNoise
from dcasekit.cli.settings import apply_settings, assignments
from dcasekit.cli.training import FrontEnd, front_end_for
from dcasekit.core import discover
from dcasekit.datasets import ESC10
from dcasekit.errors import DatasetError, NameNotFoundError
from dcasekit.features import Decibels, NaturalLog, make_feature, presets
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.models import SB_CNN

COMMANDS = [
    "datasets list", "datasets info", "datasets stats", "datasets download", "datasets validate", "datasets split", "datasets convert",
    "models list", "models info", "models trained", "models export", "models calibrate", "features", "recipes",
    "extract", "augment", "train", "fine-tune", "evaluate", "predict", "watch", "score", "run", "reproduce", "sweep", "app", "tag", "probe",
    "search",
]  # fmt: skip
SMALL = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8"]
TRAIN = ["--dataset", "esc10", "--model", "mlp", *SMALL, "-M", "hidden_layers_size=[8]", "-M", "dropout_rates=[0]", "-T", "device=cpu"]


def run(*args: object, code: int = 0) -> tuple[str, str]:
    """Run the command; give what it wrote to standard output and error."""
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


def flat(text: str) -> str:
    """Undo the box and the line breaks of a usage error."""
    return " ".join(text.replace("│", " ").split())


def make_esc10(root: Path, folds: int = 3) -> Path:
    """Two classes, told apart by pitch; two clips of each per fold."""
    rows = []
    rng = np.random.default_rng(0)
    for fold in range(1, folds + 1):
        for target, (label, hz) in enumerate((("dog", 400), ("rain", 2000))):
            for take in "AB":
                name = f"{fold}-{len(rows)}-{take}-{target}.wav"
                sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(8000) / 8000) + 0.01 * rng.standard_normal(8000)
                audio.write(root / "audio" / name, sound.astype(np.float32), 8000)
                rows.append([name, fold, target, label, "True", len(rows), take])
    (root / "meta").mkdir()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["filename", "fold", "target", "category", "esc10", "src_file", "take"], *rows])
    return root


@pytest.fixture(autouse=True)
def _terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DCASEKIT_DEBUG", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path):
    return make_esc10(tmp_path / "esc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Give a dataset and the folder of a run on it: tested on fold2, so chosen on fold3."""
    root = make_esc10(tmp_path_factory.mktemp("trained") / "esc")
    out = root.parent / "run"
    run("train", *TRAIN, "--data", root, "-T", "epochs=2", "--fold", "fold2", "--out", out)
    return root, out


# The command itself


def test_no_argument_prints_help():
    out, _ = run()
    assert "Usage: dcasekit" in out or "Usage: root" in out
    assert "train" in out


def test_version():
    assert run("--version")[0] == f"dcasekit {dcasekit.__version__}\n"


def test_every_command_is_listed_here():
    top = typer.main.get_command(cli.app)
    found = {f"{name} {inner}" for name in ("datasets", "models") for inner in top.commands[name].commands}
    assert found | (set(top.commands) - {"datasets", "models"}) == set(COMMANDS)


@pytest.mark.parametrize("command", ["", "datasets", "models", *COMMANDS])
def test_help_has_an_example_and_says_what_the_json_is(command):
    out, _ = run(*command.split(), "--help")
    assert "Examples" in out
    assert "$ dcasekit" in out
    assert ("--json" not in out) or "JSON:" in out


def test_help_is_quick_and_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['dcasekit', '--help']\nfrom dcasekit import cli\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'soundfile', 'joblib', 'optuna', 'wandb', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_module_runs():
    done = subprocess.run([sys.executable, "-m", "dcasekit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"dcasekit {dcasekit.__version__}\n"


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_the_model_is_named_by_the_same_option_everywhere(command):
    assert re.search(r"--model +MODEL_DIR +Folder of a saved model", flat(run(command, "--help")[0]))


def test_lists_need_no_torch():
    script = (
        "import sys; sys.modules['torch'] = None\nfrom typer.testing import CliRunner\nfrom dcasekit import cli\n"
        "for command in (['models'], ['models', 'list'], ['recipes'], ['features'], ['datasets', 'list']):\n"
        "    assert CliRunner().invoke(cli.app, command).exit_code == 0, command\n"
        "for args in ('train --dataset esc10 --data . --model mlp --out o', 'models info mlp'):\n"
        "    done = CliRunner().invoke(cli.app, args.split())\n"
        "    print(done.exit_code, done.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("1 error: torch is not installed") == 2
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("args", [["trian"], ["train"], ["extract", "--jobs", "0"], ["predict"], ["datasets"]])
def test_wrong_usage_is_exit_code_2(args):
    run(*args, code=2)


def test_errors_are_one_line_unless_debugged(tmp_path, monkeypatch):
    args = ["datasets", "validate", "esc10", "--data", tmp_path / "none"]
    out, err = run(*args, code=1)
    assert out == ""
    assert err.startswith("error: there is no folder")
    assert err.count("\n") == 1
    assert isinstance(CliRunner().invoke(cli.app, [*map(str, args), "--debug"]).exception, DatasetError)
    monkeypatch.setenv("DCASEKIT_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli.app, [*map(str, args)]).exception, DatasetError)


def test_interrupt_is_exit_code_130(data, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(MelSpectrogram, "extract", interrupt)
    _, err = run("extract", "--dataset", "esc10", "--data", data, code=130)
    assert err == "interrupted; run the same command again to continue\n"


def test_disk_errors_are_one_line(data):
    (data / "features").write_text("in the way")
    _, err = run("extract", "--dataset", "esc10", "--data", data, code=1)
    assert err.startswith("error: ")
    assert err.count("\n") == 1


# Datasets


def test_datasets_list():
    found = {one["name"]: one for one in json.loads(run("datasets", "list", "--json")[0])}
    assert set(found) == set(discover.names("datasets"))
    assert found["esc10"]["folds"] == ["fold1", "fold2", "fold3", "fold4", "fold5"]
    assert found["esc10"]["protocol"] == "CrossValidation"
    assert len(found["esc50"]["labels"]) == 50
    table, _ = run("datasets", "list")
    assert "esc10" in table
    assert "18,510 recordings of 10 s" in flat(table)
    assert found["folder"]["labels"] == []
    assert found["folder"]["task"] is None


def test_datasets_info(data):
    card, _ = run("datasets", "info", "esc10")
    assert "400 clips of 5 s" in card
    assert "Piczak" in card
    assert ">>>" not in card
    assert "ESC10: classification, 12 clips in 12 groups" in flat(run("datasets", "info", "ESC10", "--data", data)[0])
    summary = json.loads(run("datasets", "info", "esc10", "--data", data, "--json")[0])["summary"]
    assert summary["clips"] == 12
    assert summary["labels"][0] | {"groups": 0} == {"label": "dog", "clips": 6, "groups": 0, "events": None, "total": None, "median": None}


def test_info_tells_how_a_folder_was_understood(tmp_path):
    for number, name in enumerate(["dog/a.wav", "cat/b.WAV", "cat/._b.wav"]):
        audio.write(tmp_path / "mine" / name, np.random.default_rng(number).normal(0, 0.1, 800).astype(np.float32), 8000)
    info = ["datasets", "info", "folder", "--data", tmp_path / "mine"]
    shown, _ = run(*info)
    assert "labels from the names of subfolders\nfolds from 2 parts dealt out\n2 recordings\nleft out: 1\n  hidden: cat/._b.wav" in shown
    assert "Folder: classification, 2 clips" in shown
    (tmp_path / "birds.csv").write_text("filename,labels\na,wren\nb,owl\n")
    listed = json.loads(run(*info, "-D", f"labels={tmp_path / 'birds.csv'}", "--json")[0])
    assert (listed["labels"], listed["layout"]["labels"]) == (["owl", "wren"], f"the list {tmp_path / 'birds.csv'}")
    named = json.loads(run(*info, "-D", 'labels=["dog", "cat", "cow"]', "--json")[0])
    assert (named["labels"], named["layout"]["left_out"]) == (["dog", "cat", "cow"], [{"path": "cat/._b.wav", "why": "hidden"}])
    for path in (tmp_path / "mine").rglob("*.[wW]*"):
        path.rename(tmp_path / "mine" / path.name)
    shown, err = run(*info, code=1)  # nothing has a label: how the folder was understood is shown all the same
    assert "2 recordings, 2 of them without known labels" in shown
    assert "nothing below" in err


def test_unknown_dataset_gets_did_you_mean(tmp_path):
    _, err = run("extract", "--dataset", "esc5O", "--data", tmp_path, code=1)
    assert "Did you mean 'esc50'?" in err


def test_folder_without_the_dataset(tmp_path):
    _, err = run("extract", "--dataset", "esc10", "--data", tmp_path, code=1)
    assert "esc50.csv does not exist" in err


def test_dataset_settings_and_download(tmp_path):
    args = ["datasets", "download", "synthetic_sounds", "--data", tmp_path / "s", "-D", "clips=2", "-D", "seconds=1"]
    out, _ = run(*args)
    assert "SyntheticSounds is now in" in out
    assert "licence: CC0" in out
    assert "was already in" in run(*args)[0]
    info = json.loads(run("datasets", "info", "synthetic_sounds", "-D", "task=tagging", "--data", tmp_path / "s", "--json")[0])
    assert (info["task"], info["summary"]["clips"]) == ("tagging", 2)
    assert "no setting 'clip'. Did you mean 'clips'?" in flat(run(*args, "-D", "clip=2", code=2)[1])
    assert "clips must be int" in flat(run(*args, "-D", "clips=many", code=2)[1])


def test_validate(data):
    assert run("datasets", "validate", "esc10", "--data", data)[0] == "ESC10: 12 clips, no problems\n"
    (data / "audio" / "1-0-A-0.wav").unlink()
    (data / "audio" / "1-1-B-0.wav").write_text("no sound")
    table, _ = run("datasets", "validate", "esc10", "--data", data, code=1)
    assert "missing" in table
    found = json.loads(run("datasets", "validate", "esc10", "--data", data, "--json", code=1)[0])
    assert (found["dataset"], found["clips"]) == ("ESC10", 12)
    assert [problem["kind"] for problem in found["problems"]] == ["missing", "unreadable"]


def test_stats(data):
    table, _ = run("datasets", "stats", "esc10", "--data", data)
    assert table.startswith("ESC10: classification, 12 clips in 12 groups")
    assert [line.split() for line in table.splitlines() if line.startswith("fold1")][0][::2] == ["fold1", "4", "4", "4"]
    found = json.loads(run("datasets", "stats", "esc10", "--data", data, "--json")[0])
    assert (found["clips"], found["folds"]) == (12, {"fold1": 4, "fold2": 4, "fold3": 4})


def test_split_writes_the_parts(data, tmp_path):
    found = json.loads(run("datasets", "split", "esc10", "--data", data, "--fold", "fold2", "--out", tmp_path, "--json")[0])
    rows = [line.split("\t") for line in (tmp_path / "test.tsv").read_text().splitlines()]
    assert rows[0] == ["clip", "filename", "group", "labels"]
    assert [row[0] for row in rows[1:]] == found["test"]
    assert all((data / row[1]).exists() for row in rows[1:])
    drawn = ["datasets", "split", "esc10", "--data", data, "--validation", "0.5", "--balance", "class", "--json"]
    parts = json.loads(run(*drawn)[0])
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [4, 4, 4]
    assert parts == json.loads(run(*drawn)[0])
    assert parts != json.loads(run(*drawn, "--seed", "1")[0])
    assert "needs groups of the form" in run(*drawn[:-2], "identifier_two_level_hierarchy", code=1)[1]


def test_convert(data, tmp_path):
    out, _ = run("datasets", "convert", "esc10", "--data", data, "--to", "tags", "--out", tmp_path)
    assert "labels of 12 clips are now in" in out
    assert "audio/1-0-A-0.wav\tdog" in (tmp_path / "tags.tsv").read_text()
    assert (
        "no clip of ESC10 has events" in run("datasets", "convert", "esc10", "--data", data, "--to", "jams", "--out", tmp_path, code=1)[1]
    )
    sounds = ["synthetic_sounds", "--data", tmp_path / "s", "-D", "clips=2", "-D", "seconds=2", "-D", "task=detection"]
    run("datasets", "download", *sounds)
    run("datasets", "convert", *sounds, "--to", "events", "--out", tmp_path)
    made = read_events(tmp_path / "s" / "events.tsv")
    assert read_events(tmp_path / "events.tsv") == {f"audio/{name}": events for name, events in made.items()}
    for form, suffix in (("audacity", "txt"), ("raven", "selections.txt"), ("jams", "jams"), ("tsv", "tsv")):
        run("datasets", "convert", *sounds, "--to", form, "--out", tmp_path / form)
        for name, events in made.items():
            assert read_annotation(tmp_path / form / f"{Path(name).stem}.{suffix}") == events


def test_a_converted_list_can_be_made_safe_for_spreadsheets(tmp_path):
    audio.write(tmp_path / "data" / "=1+1" / "a.wav", np.zeros(100, np.float32), 8000)
    audio.write(tmp_path / "data" / "dog" / "b.wav", np.zeros(100, np.float32), 8000)
    convert = ["datasets", "convert", "folder", "--data", tmp_path / "data", "--to", "tags", "--out"]
    run(*convert, tmp_path / "plain")
    assert (tmp_path / "plain" / "tags.tsv").read_text() == "filename\tevent_labels\n=1+1/a.wav\t=1+1\ndog/b.wav\tdog\n"
    run(*convert, tmp_path / "safe", "--spreadsheet")
    assert (tmp_path / "safe" / "tags.tsv").read_text() == "filename\tevent_labels\n'=1+1/a.wav\t'=1+1\ndog/b.wav\tdog\n"


def test_augment(data, tmp_path):
    args = [
        "augment",
        "--dataset",
        "esc10",
        "--data",
        data,
        "--cache",
        tmp_path,
        "-A",
        "pitch_shift:n_semitones=-1",
        "-A",
        "white_noise:snr=20",
    ]
    found = json.loads(run(*args, "--json")[0])
    assert [one["augmentation"] for one in found] == [repr(PitchShift(n_semitones=-1)), repr(WhiteNoise(snr=20))]
    assert all(len(list(Path(one["folder"]).glob("*.wav"))) == one["copies"] == 12 for one in found)
    assert "no setting 'n_semitone'" in flat(run(*args[:-4], "-A", "pitch_shift:n_semitone=1", code=2)[1])
    assert "Did you mean 'pitch_shift'" in run(*args[:-4], "-A", "pitch_shif:n_semitones=1", code=1)[1]


@pytest.mark.parametrize("family", ["features", "models", "recipes"])
def test_leaves_are_listed(family):
    found = json.loads(run(family, "--json")[0])
    assert [one["name"] for one in found] == list(discover.names(family))
    assert all(one["about"] for one in found)
    assert all(one["name"] in run(family)[0] for one in found)


def test_a_feature_and_a_recipe_tell_what_their_settings_are():
    found = json.loads(run("features", "mel_spectrogram", "--json")[0])
    assert {"name": "mel.bands", "default": 64, "about": "number of bands."} in found["settings"]
    preset = {one["name"]: one["default"] for one in json.loads(run("features", "asc_tutorial", "--json")[0])["settings"]}
    assert (preset["mel.bands"], preset["sr"]) == (40, 48000)
    found = json.loads(run("recipes", "esc10", "--json")[0])
    assert found["datasets"] == ["esc10"]
    assert found["settings"][0] == {"name": "epochs", "default": 120, "quick": 20, "about": "passes over the training data."}
    shown = flat(run("recipes", "esc10")[0])
    assert "datasets: esc10" in shown
    assert "epochs 120 20 passes over the training data." in shown
    assert "dropout 0.3 dropout rate after each pooling" in flat(run("models", "info", "crnn2018")[0])
    assert "Did you mean 'esc10'" in run("recipes", "esc11", code=1)[1]


def test_published_front_ends_are_listed_and_taken_as_features(tmp_path):
    found = json.loads(run("features", "--presets", "--json")[0])
    assert [one["name"] for one in found] == list(presets())
    assert all(one["about"] for one in found)
    assert "dcase2018_task4" in run("features", "--presets")[0]
    assert make_feature("dcasenet") == MelSpectrogram.preset("dcasenet")
    assert make_feature("mel_spectrogram") == MelSpectrogram()
    model = SB_CNN()
    assert front_end_for(model, "dcasenet") == FrontEnd(MelSpectrogram.preset("dcasenet"), "window")
    assert front_end_for(model, "mel_spectrogram") == FrontEnd(MelSpectrogram(), "standard")
    args = ("extract", "--dataset", "esc50", "--data", tmp_path, "--feature", "dcase_net")
    assert "Published front ends: dcase2018_task4, " in flat(run(*args, code=1)[1])


# Models

OWN_MODELS = '''
from dataclasses import dataclass
from torch import nn
from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer

@dataclass(kw_only=True, eq=False)
class Stated(TorchModelContainer):
    """Three frames at once."""

    PUBLISHED_FOR = Published(shape=(20, 4), labels=3, task="detection", hop=0.5, settings={"width": 3})
    width: int

    def network_for(self, frames, dims, outputs, task):
        return Turned(nn.Conv1d(dims, outputs, self.width, padding=self.width // 2))

class Turned(nn.Sequential):
    def forward(self, x):
        return super().forward(x.transpose(1, 2)).transpose(1, 2)

@dataclass(kw_only=True, eq=False)
class Unstated(TorchModelContainer):
    def network_for(self, frames, dims, outputs, task):
        return nn.Linear(dims, outputs)

@dataclass(kw_only=True, eq=False)
class Needy(Unstated):
    width: int
'''


@pytest.fixture
def own_models(tmp_path):
    """Give a module of models in the folder one works in."""
    (tmp_path / f"models_{tmp_path.name}.py").write_text(OWN_MODELS)
    return f"models_{tmp_path.name}"


def test_models_list():
    assert run("models", "list") == run("models")
    assert run("models", "list", "--json") == run("models", "--json")
    found = {one["name"]: one["settings"] for one in json.loads(run("models", "--json")[0])}
    assert found["sb_cnn"] == list(SB_CNN().settings)  # what -M takes


@pytest.mark.usefixtures("one_thread")
def test_models_info():
    args = ["models", "info", "crnn2023", "--shape", "20x64", "--labels", 17, "--task", "detection"]
    out, err = run(*args)
    assert out.startswith("crnn2023: Convolutional recurrent network of the DCASE 2023 task 4B baseline")
    assert "max_pool3" in out
    assert [line.split() for line in out.splitlines() if line.startswith("gru1")] == [
        ["gru1", "GRU", "20", "x", "64", "80,256", "-", "1,597,440"]
    ]
    assert "56,208,000 multiply-accumulates" in flat(out)
    assert "the whole window: 20 frames" in out
    assert "7 frames (1.4 s), up to the layer 'dropout'" in out
    assert err == ""
    sizes = ["-M", "gru_units=16", "-M", "filters=[32, 32, 32]", "-M", "pool_size=[4, 4, 4]", "-M", "dense_units=8"]
    trained = 320 + 2 * 9_248 + 6 * 32 + 2 * 3 * 16 * (32 + 16 + 2) + 33 * 8 + 9 * 17
    assert f"{trained:,} trained" in run(*args, *sizes)[0]


def test_models_info_as_json():
    found = json.loads(run("models", "info", "sb_cnn", "--shape", "64 x 128", "--json")[0])
    assert set(found) == {
        "model", "about", "settings", "shape", "hop", "task", "output", "labels", "answers", "different_answers", "answers_per_second",
        "parameters", "macs", "macs_torchinfo", "low_complexity", "memory", "receptive_field", "local_receptive_field", "layers",
    }  # fmt: skip
    assert (found["macs"], found["parameters"]["trained"], found["labels"]) == (50_928_640, 241_674, 10)
    assert found["receptive_field"] == {"frames": 60, "first": 0, "stop": 60, "whole": False, "seconds": pytest.approx(60 * 680 / 22050)}
    assert found["local_receptive_field"]["layer"] == "convolutions"
    assert set(found["layers"][0]) == {"name", "kind", "output", "uses", "trained", "not_trained", "macs"}
    assert len(found["layers"]) == 14  # with those that the table leaves out
    assert set(found["memory"]) == {"prediction", "training", "training_batch"}


def test_models_info_of_models_without_layers():
    out, _ = run("models", "info", "sklearn/random_forest", "--shape", "64x40")
    assert "totals only" in out
    found = json.loads(run("models", "info", "sklearn.random_forest", "--shape", "64x40", "--json")[0])
    assert (found["layers"], found["receptive_field"], found["memory"]["training"]) == ([], None, None)


@pytest.mark.usefixtures("one_thread")
def test_models_info_with_features():
    args = ["--features", "mel_spectrogram", "-F", "sr=16000", "-F", "audio_hop=160", "-F", "mel.bands=40", "-F", "sequence_time=0.5"]
    out, _ = run("models", "info", "a_crnn", *args, "--task", "detection")
    assert "50 frames x 40 dims: 0.5 s, 0.01 s per frame" in out
    assert "one output per frame; 100 per second" in out
    assert "7 frames (0.07 s), up to the layer 'convolutions'" in out


def test_models_info_of_a_saved_model(trained):
    out, _ = run("models", "info", trained[1] / "model")
    assert "layers.0" in out
    found = json.loads(run("models", "info", trained[1] / "model", "--json")[0])
    model = dcasekit.load(trained[1] / "model")
    assert (found["shape"], found["hop"], found["labels"]) == (list(model.shape), 200 / 8000, 10)
    assert "is a saved model" in flat(run("models", "info", trained[1] / "model", "--labels", "3", code=2)[1])
    assert f"holds no model itself, but below it there are: {trained[1] / 'model'}" in run("models", "info", trained[1], code=1)[1]


def test_models_info_of_models_of_ones_own(own_models):
    out, _ = run("models", "info", f"{own_models}:Stated")
    assert "20 frames x 4 dims: 10 s, 0.5 s per frame" in out
    assert "3 labels for detection: one output per frame; 2 per second" in out
    assert "3 frames (1.5 s)" in out
    assert "5 frames (2.5 s)" in run("models", "info", f"{own_models}:Stated", "-M", "width=5")[0]
    assert "10 labels for classification" in run("models", "info", f"{own_models}:Unstated", "--shape", "5x4")[0]
    _, err = run("models", "info", f"{own_models}:Unstated", code=2)
    assert "Unstated has no published window shape; give --shape FRAMESxDIMS, or --features NAME" in flat(err)
    assert "Needy needs the settings width" in flat(run("models", "info", f"{own_models}:Needy", code=2)[1])
    assert "is not a model" in run("models", "info", f"{own_models}:Published", code=1)[1]
    assert "is a base class of models" in run("models", "info", f"{own_models}:TorchModelContainer", code=1)[1]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["sbcn"], 1, "Did you mean 'sb_cnn'?"),
        (["runs/none/model"], 1, "no model named 'runs/none/model'"),
        (["sb_cnn", "--shape", "4x4"], 1, "windows of 4 frames and 4 dims are too small"),
        (["compact_cnn", "--shape", "4x64"], 1, "CompactCNN cannot predict windows of (4, 64)"),
        (["mlp", "--shape", "64"], 2, "expected FRAMESxDIMS, e.g. 64x128; got '64'"),
        (["mlp", "--shape", "0x12"], 2, "expected FRAMESxDIMS"),
        (["mlp", "--shape", "64x12", "--features", "mfcc"], 2, "give --shape or --features, not both"),
        (["mlp", "--shape", "64x12", "-F", "sr=8000"], 2, "settings of a feature need --features"),
        (["mlp", "--features", "mfc"], 1, "Did you mean 'mfcc'?"),
        (["mlp", "--shape", "64x12", "-M", "n_layers=3"], 2, "no setting 'n_layers'"),
        (["mlp", "--shape", "64x12", "--labels", "0"], 2, "--labels"),
        (["concatenated", "--shape", "64x1024", "-M", "first=smel"], 2, "first must be"),
    ],
)
def test_models_info_refuses_with_a_reason(args, code, message):
    assert message in flat(run("models", "info", *args, code=code)[1])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("columns", [80, 100])
def test_tables_of_models_keep_to_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run("models", "info", "dcase_net", "--shape", "40x16", "-M", "filters=16")[0].splitlines()[1:]
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines if "Conv2d" in line][:2] == ["conv_block1.conv1", "conv_block1.conv2"]


def test_models_export(trained, tmp_path):
    import torch

    folder = trained[1] / "model"
    out, _ = run("models", "export", folder, "--to", tmp_path / "made" / "model.pt2")
    assert out == f"{folder} is now in {tmp_path / 'made' / 'model.pt2'}\n"
    sound = sorted((trained[0] / "audio").iterdir())[0]
    scores = torch.export.load(tmp_path / "made" / "model.pt2").module()(torch.from_numpy(audio.read(sound)[0])[None])
    np.testing.assert_allclose(scores[0], dcasekit.load(folder).predict([sound])[0].values, atol=1e-5)
    assert "must end in .onnx or .pt2; got 'model.h5'" in flat(run("models", "export", folder, "--to", "model.h5", code=2)[1])
    assert "does not exist" in run("models", "export", tmp_path / "none", "--to", "model.pt2", code=1)[1]


# Extract


def test_extract(data, tmp_path):
    args = ["extract", "--dataset", "esc10", "--data", data, "--cache", tmp_path / "cache", *SMALL]
    found = json.loads(run(*args, "--json", "--jobs", "1")[0])
    assert found["clips"] == 12
    assert found["skipped"] == {}
    settings = json.loads((Path(found["folder"]) / "settings.json").read_text())
    assert (settings["sr"], settings["mel"]["bands"]) == (8000, 8)
    assert run(*args)[0].startswith("12 clips in ")
    assert not (data / "features").exists()


def test_extract_skips_on_demand(data):
    (data / "audio" / "1-0-A-0.wav").write_text("no sound")
    args = ["extract", "--dataset", "esc10", "--data", data, *SMALL]
    assert "1-0-A-0.wav is not an audio file" in run(*args, code=1)[1]
    out, err = run(*args, "--on-error", "skip", "--json")
    assert list(json.loads(out)["skipped"]) == ["1-0-A-0"]
    assert "warning: skipped 1-0-A-0" in err


# Train, evaluate


def test_train_writes_model_and_report(trained):
    root, out = trained
    report = json.loads((out / "report.json").read_text())
    assert report["data"]["fold"] == "fold2"
    assert (report["data"]["training clips"], report["data"]["validation clips"], report["data"]["test clips"]) == (4, 4, 4)
    assert report["settings"]["features"]["mel"]["bands"] == 8
    model = dcasekit.load(out / "model")
    assert model.settings["hidden_layers_size"] == [8]
    assert len(model.history) == 2
    assert "val_loss" in model.history[0]
    assert model.scaler is not None
    page = html.unescape((out / "report.html").read_text())
    assert "was trained on 4 clips" in page
    assert f"dcasekit predict recording.wav --model {shlex.quote(str(out / 'model'))}" in page
    assert "prove nothing" not in page


def test_a_second_run_says_the_same_in_json(trained):
    root, out = trained
    text, _ = run("train", *TRAIN, "--data", root, "-T", "epochs=2", "--fold", "fold2", "--out", out, "--json")
    found = json.loads(text)
    assert found["report"] == str(out / "report.html")
    assert found["model"] == str(out / "model")
    (section,) = found["sections"]
    assert (section["number"], section["clips"], section["folds"]) == ("accuracy", 4, ["fold2"])
    before = json.loads((out / "report.json").read_text())["sections"][0]["headline"]
    assert section["value"] == before["value"]


def test_another_run_does_not_take_over_the_folder(trained):
    root, out = trained
    _, err = run("train", *TRAIN, "--data", root, "-T", "epochs=2", "--fold", "fold1", "--out", out, code=1)
    assert "other settings ('fold' was 'fold2', now 'fold1')" in err


def test_a_run_that_learned_nothing_keeps_no_folder(data, tmp_path):
    args = ["train", *TRAIN, "--data", data, "-T", "epochs=1", "--out", tmp_path / "run"]
    assert "need one dropout rate per hidden layer" in run(*args, "-M", "hidden_layers_size=[8, 8]", code=1)[1]
    run(*args)


@pytest.mark.parametrize("model", ["mlp", "keras.mlp"])
def test_interrupted_training_goes_on(data, tmp_path, monkeypatch, model):
    from dcasekit.containers import _epochs

    args = ["train", *TRAIN, "--model", model, "--data", data, "-T", "epochs=3", "--scaler", "none", "--no-validation", "--json", "--out"]
    save = _epochs.save_checkpoint

    def save_once(*state):
        save(*state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_epochs, "save_checkpoint", save_once)
        assert "run the same command again" in run(*args, tmp_path / "killed", code=130)[1]
    run(*args, tmp_path / "killed")
    run(*args, tmp_path / "whole")
    killed, whole = (dcasekit.load(tmp_path / name / "model") for name in ("killed", "whole"))
    assert [record["loss"] for record in killed.history] == pytest.approx([record["loss"] for record in whole.history])
    assert len(whole.history) == 3
    assert "val_loss" not in whole.history[0]


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--fold", "fold9"], 1, "ESC10 has no fold 'fold9' to test on; there are: fold1, fold2, fold3"),
        (["-T", "epoch=1"], 2, "no setting 'epoch'. Did you mean 'epochs'?"),
        (["-T", "optimizer=adm"], 2, "optimizer must be one of adam, adamw, sgd, or a function; got 'adm'"),
        (["-T", "epochs=0"], 2, "epochs must be a positive int"),
        (["-M", "n_layers=3"], 2, "Known: hidden_layers_size, dropout_rates, l2_reg"),
        (["-F", "mel.bands=x"], 2, "mel.bands must be int; got 'x'"),
        (["-F", "sr"], 2, "expected key=value; got 'sr'"),
        (["--model", "sbcn"], 1, "Did you mean 'sb_cnn'?"),
    ],
)
def test_bad_training_is_refused_with_a_reason(data, tmp_path, extra, code, message):
    _, err = run("train", *TRAIN, "--data", data, "--out", tmp_path / "run", *extra, code=code)
    assert message in flat(err)
    assert not (tmp_path / "run").exists()


def test_evaluate_takes_the_fold_kept_for_it(trained, tmp_path):
    root, out = trained
    args = ["evaluate", "--model", out / "model", "--dataset", "esc10", "--data", root]
    found, err = run(*args, "--json")
    assert err == ""
    found = json.loads(found)
    assert (found["task"], found["clips"], found["headline"]["name"]) == ("classification", 4, "accuracy")
    table, _ = run(*args, "--fold", "fold2", "--out", tmp_path / "report")
    assert "MLP on ESC10, fold2" in table
    assert (tmp_path / "report" / "report.html").exists()


def test_evaluate_warns_of_training_clips(trained):
    root, out = trained
    _, err = run("evaluate", "--model", out / "model", "--dataset", "esc10", "--data", root, "--fold", "fold1")
    assert "its test fold is fold2" in err


def test_a_model_is_evaluated_on_data_that_know_some_of_its_labels(trained, tmp_path):
    root, out = trained
    for clip in ESC10(root).clips:
        (label,) = clip.tags
        if label in ("dog", "rain"):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / clip.path.name).write_bytes(clip.path.read_bytes())
    told, err = run("evaluate", "--model", out / "model", "--dataset", "folder", "--data", tmp_path, "--json")
    assert "The data know 2 of the 10 labels of the model: dog, rain." in err
    found = json.loads(told)
    assert len(found["labels"]) == 10  # an answer that the data do not know is a wrong one
    assert sum(row["clips"] for row in found["labels"] if row["label"] in ("dog", "rain")) == found["clips"]


def test_evaluate_refuses_other_labels(trained):
    root, out = trained
    _, err = run("evaluate", "--model", out / "model", "--dataset", "esc50", "--data", root, code=1)
    assert "the model does not know pig, cow, frog, cat" in err
    assert "fine-tune it" in err


def test_damaged_model_is_refused(trained, tmp_path):
    root, _ = trained
    (tmp_path / "model.json").write_text("{")
    assert "not readable JSON" in run("predict", root / "audio" / "1-0-A-0.wav", "--model", tmp_path, code=1)[1]
    assert "does not exist" in run("evaluate", "--model", tmp_path / "none", "--dataset", "esc10", "--data", root, code=1)[1]


# Predict


def test_predict(trained):
    root, out = trained
    files = sorted((root / "audio").iterdir())[:2]
    found = json.loads(run("predict", *files, "--model", out / "model", "--format", "json", "--top", "2")[0])
    assert [one["file"] for one in found] == [str(path) for path in files]
    assert [len(one["labels"]) for one in found] == [2, 2]
    assert found[0]["labels"][0]["score"] >= found[0]["labels"][1]["score"]
    rows = [line.split("\t") for line in run("predict", *files, "--model", out / "model", "--format", "tsv")[0].splitlines()]
    assert rows[0] == ["filename", "label", "score"]
    assert len(rows) == 1 + 2 * 3
    assert rows[1][1] == found[0]["labels"][0]["label"]
    assert found[0]["labels"][0]["label"] in run("predict", *files, "--model", out / "model")[0]


def test_predict_answers_the_good_files_and_names_the_bad(trained, tmp_path):
    root, out = trained
    good, bad = root / "audio" / "1-0-A-0.wav", tmp_path / "text.wav"
    bad.write_text("no sound")
    args = ["predict", bad, good, tmp_path / "missing.wav", "--model", out / "model"]
    text, err = run(*args, "--format", "tsv", code=1)
    assert {line.split("\t")[0] for line in text.splitlines()[1:]} == {str(good)}
    assert [line.startswith("error: ") for line in err.splitlines()] == [True, True]
    found = json.loads(run(*args, "--format", "json", code=1)[0])
    assert ["error" in one for one in found] == [True, False, True]
    text, err = run("predict", tmp_path / "missing.wav", "--model", out / "model", code=1)
    assert text == ""
    assert err == f"error: {tmp_path}/missing.wav does not exist; check how it is spelled, and the folder\n"


def test_predict_events(trained):
    root, out = trained
    args = ["predict", root / "audio" / "1-0-A-0.wav", "--events", "--model", out / "model"]
    lines = run(*args, "--threshold", "0")[0].splitlines()
    assert lines[0].split("\t") == ["filename", "onset", "offset", "event_label", "score"]
    assert lines[1].split("\t")[1:3] == ["0", "1"]
    assert run(*args, "--threshold", "1")[0].splitlines()[1].split("\t")[1:] == [""] * 4
    (found,) = json.loads(run(*args, "--threshold", "0", "--format", "json")[0])
    assert set(found["events"][0]) == {"onset", "offset", "label", "score"}


def test_detection_model_answers_events(tmp_path):
    sounds = tmp_path / "sounds"
    dataset = ["--dataset", "synthetic_sounds", "--data", sounds, "-D", "task=detection"]
    run("datasets", "download", "synthetic_sounds", "--data", sounds, "-D", "clips=60", "-D", "seconds=1", "-D", "sr=8000")
    small = ["-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0]", "-T", "device=cpu", "-T", "epochs=1"]
    table, _ = run("train", *dataset, "--model", "mlp", *SMALL, *small, "--out", tmp_path / "run", "--target", "window")
    assert "f1/micro" in table
    clip = sounds / "audio" / "clip00000.wav"
    assert run("predict", clip, "--model", tmp_path / "run" / "model")[0].startswith("filename\tonset\toffset\tevent_label\tscore\n")
    assert "score" in run("predict", clip, "--labels", "--model", tmp_path / "run" / "model")[0]


# Run

RECIPE = '''
"""Tiny: a recipe that trains nothing."""
from dataclasses import asdict, dataclass
import numpy as np
from dcasekit.report import Report, Section, environment
from dcasekit.results import Results
from dcasekit.scores import Scores

@dataclass(frozen=True)
class Config:
    rate: float = 0.5
    clips: int = 8
    seed: int = 0
    name: str = "tiny"

QUICK = Config(clips=4)
DATASETS = ("barks", "meows")

def run(config, data, out, *, progress=False):
    truth = np.eye(2, dtype=np.float32)[np.arange(config.clips) % 2]
    scores = tuple(Scores(row[None], [0, 1], ("cat", "dog")) for row in truth)
    results = Results("classification", ("cat", "dog"), tuple(map(str, range(config.clips))), truth, scores)
    settings = asdict(config) | {"data": {name: str(path) for name, path in data.items()}}
    report = Report("Tiny", settings, [Section("all", {"test": results})], environment())
    report.save(out)
    return report
'''


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Give a recipe of one's own in the folder one works in; a name of its own keeps tests apart."""
    name = f"own_{tmp_path.name}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text(RECIPE)
    (package / "empty.py").touch()
    return f"{name}.tiny"


def test_run_a_recipe(recipe, tmp_path):
    out, err = run("run", recipe, "--data", f"barks={tmp_path}", "--data", "meows=~/m=1", "--set", "rate=1", "--seed", "7", "--quiet")
    assert "accuracy" in out
    assert f"report: {Path('runs/tiny/report.html')}" in out
    assert err == ""
    settings = json.loads(Path("runs/tiny/report.json").read_text())["settings"]
    assert settings == {
        "rate": 1.0,
        "clips": 8,
        "seed": 7,
        "name": "tiny",
        "data": {"barks": str(tmp_path), "meows": str(Path("~/m=1").expanduser())},
    }


def test_run_quick_json(recipe, tmp_path):
    found = json.loads(run("run", recipe, "--quick", "--out", tmp_path / "o", "--set", "name=5", "--json")[0])
    assert found["title"] == "Tiny"
    perfect = {"value": 1.0, "interval_95": pytest.approx([0.025**0.25, 1.0])}
    assert found["sections"] == [
        {"name": "all", "number": "accuracy", **perfect, "clips": 4, "folds": ["test"], "measures": {"accuracy": perfect}}
    ]
    assert json.loads((tmp_path / "o" / "report.json").read_text())["settings"]["name"] == "5"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["data"], "of which dataset is 'data'? Give NAME=PATH; the recipe takes: barks, meows"),
        (["moos=data"], "no dataset 'moos'. Give NAME=PATH; the recipe takes: barks, meows"),
        (["barks=a", "barks=b"], "expected one folder of barks; got 'barks=b'"),
        (["barks="], "expected one folder of barks; got 'barks='"),
    ],
)
def test_run_says_what_data_it_takes(recipe, given, said):
    assert said in flat(run("run", recipe, *(word for text in given for word in ("--data", text)), code=2)[1])


def test_run_takes_one_dataset_without_its_name_and_none_where_a_recipe_has_none(recipe, tmp_path):
    path = next(tmp_path.glob("own_*/tiny.py"))
    text = path.read_text()
    path.write_text(text.replace('("barks", "meows")', '("barks",)'))
    run("run", recipe, "--data", "a=b/c", code=2)
    Path("a=b").mkdir()
    run("run", recipe, "--data", "a=b", "--out", "one")
    assert json.loads(Path("one/report.json").read_text())["settings"]["data"] == {"barks": "a=b"}
    path.write_text(text.replace("DATASETS = ", "OTHER = "))
    sys.modules.pop(recipe)
    assert "takes no --data" in flat(run("run", recipe, "--data", "a", code=2)[1])
    assert "has no setting 'device'; it has: rate, clips, seed, name" in flat(run("run", recipe, "--device", "cpu", code=2)[1])


def test_run_refuses_unknown_settings_and_recipes(recipe):
    assert "no setting 'rat'. Did you mean 'rate'?" in flat(run("run", recipe, "--set", "rat=1", code=2)[1])
    assert "clips must be int; got '1.5'" in flat(run("run", recipe, "--set", "clips=1.5", code=2)[1])
    assert "has no Config" in run("run", recipe.replace("tiny", "empty"), code=1)[1]
    assert "cannot import the recipe" in run("run", "nowhere.at_all", code=1)[1]
    assert "Did you mean 'quickstart'?" in run("run", "quickstrat", code=1)[1]
    with pytest.raises(NameNotFoundError):
        discover.module("recipes", "quickstrat")


# Settings


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    flag: bool = False
    rate: float = 0.5
    limit: float | None = 1.0
    kind: Literal[1, 2, "all"] = 1
    name: str = ""
    sizes: Sequence[int] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    pools: Sequence[Sequence[int]] = ((1, 1),)
    options: dict[str, int] = field(default_factory=dict)
    folder: Path = Path()
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("flag=true", True), ("flag=False", False), ("rate=2", 2.0), ("rate=1e-3", 1e-3), ("limit=none", None), ("limit=null", None),
        ("kind=all", "all"), ("kind=2", 2), ("name=12", "12"), ("name=none", "none"), ("name=a=b", "a=b"), ("name=", ""),
        ("sizes=[3]", (3,)), ("pair=[1, 2]", (1, 2.0)), ("pools=[[2, 2], [4, 2]]", ((2, 2), (4, 2))), ('options={"a": 1}', {"a": 1}),
        ("folder=/tmp/x", Path("/tmp/x")), ("inner=Inner", Inner()),
    ],
)  # fmt: skip
def test_settings_are_typed(text, value):
    name = text.partition("=")[0]
    found = getattr(apply_settings(Outer(), assignments([text], option="-x"), option="-x"), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag=1", "flag must be bool"), ("rate=fast", "rate must be float"), ("rate=true", "rate must be float"),
        ("rate=NaN", "rate must be float"), ("limit=x", "limit must be float or none"), ("kind=3", "kind must be 1 or 2 or 'all'"),
        ("sizes=3", r"sizes must be a list \[...\] of int"), ("sizes=[true]", "sizes must be"), ("pair=[1]", "pair must be"),
        ("inner.depth=2", "inner is None, which has no nested settings"), ("flag.x=1", "flag is False"), ("speed=1", "no setting 'speed'"),
    ],
)  # fmt: skip
def test_settings_of_other_types_are_refused(text, message):
    with pytest.raises(typer.BadParameter, match=message):
        apply_settings(Outer(), assignments([text], option="-x"), option="-x")


def test_settings_of_features():
    texts = assignments(["log.top_db=80", "stft.n_fft=2048", "sequence_time=none", "mel.norm=null"], option="-F")
    found = apply_settings(MelSpectrogram(), texts, option="-F")
    assert found.log == Decibels(top_db=80.0)
    assert (found.stft.n_fft, found.sequence_time, found.mel.norm) == (2048, None, None)
    assert apply_settings(MelSpectrogram(), {"log": "none"}, option="-F").log is None
    assert apply_settings(MelSpectrogram(), {"log": "NaturalLog", "log.floor": "1"}, option="-F").log == NaturalLog(floor=1.0)


def test_functions_are_named_by_address():
    from dcasekit.batch_augmentations import mixup
    from dcasekit.containers.training import Training

    found = apply_settings(Training(), {"augment": '["dcasekit.batch_augmentations:mixup"]'}, option="-T")
    assert found.augment == (mixup,)
    with pytest.raises(typer.BadParameter, match=r"a list \[...\] of a function"):
        apply_settings(Training(), {"augment": "mixup"}, option="-T")


def test_console_script_is_installed():
    script = Path(sys.executable).with_name("dcasekit.exe" if os.name == "nt" else "dcasekit")
    if not script.exists():
        pytest.skip("the package is not installed with its scripts")
    done = subprocess.run([script, "features"], capture_output=True, text=True, check=True)
    assert "mel_spectrogram" in done.stdout
