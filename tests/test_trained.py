"""Trained models that come with the library: found by name, small, with a card; and what makes them again."""

import importlib.util
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import DataGenerator, audio, cli, load
from dcasekit.cli.training import evaluation_fold
from dcasekit.containers import trained
from dcasekit.datasets import ESC10
from dcasekit.errors import DatasetError, ModelError
from dcasekit.models import CompactCNN
from dcasekit.recipes import esc10, quickstart
from dcasekit.testing import make_dataset

ROOT = Path(__file__).parent.parent
MAKER = ROOT / "tools" / "make_trained_models.py"
REAL = Path(os.environ.get("DCASEKIT_DATA", "nowhere")) / "ESC-10"


def run(*args, code=0):
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_trained_models", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Give the first quarter of the sounds that the networks of the quickstart were made with, some of which they were tested on."""
    folder = tmp_path_factory.mktemp("sounds")
    config = replace(quickstart.Config(), clips=100)

    def of(task):
        dataset = quickstart.sounds(config, task, {"synthetic_sounds": folder / "audio"}, folder)
        if not (folder / "audio").exists():
            dataset.download()
        return dataset

    return of


# Names


def test_there_are_the_four():
    assert trained.names() == ("esc10", "quickstart_events", "quickstart_scenes", "quickstart_tags")


def test_a_folder_of_that_name_wins_and_this_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.WARNING, logger="dcasekit")
    assert load("esc10").labels == ESC10.labels
    assert caplog.text == ""
    CompactCNN().build((8, 8), ["own"], task="tagging").save("esc10")
    assert load("esc10").labels == ("own",)
    assert "esc10 is a folder here and is used; the trained model of that name is in" in caplog.text
    assert load(trained.FOLDER / "esc10").labels == ESC10.labels


def test_an_unknown_name_lists_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"esc11 does not exist, and no trained .* name\. Did you mean 'esc10'\? .*quickstart_tags"):
        load("esc11")
    with pytest.raises(ModelError, match="Trained models: esc10"):
        load(tmp_path / "nowhere" / "model")
    with pytest.raises(ModelError, match="Trained models: esc10"):
        trained.card("../trained/esc10")
    assert "Trained models: esc10" in run("predict", "dog.wav", "--model", "esc11", code=1)[1]


# What is shipped


@pytest.mark.parametrize("name", trained.names())
def test_a_card_says_all_that_must_be_known(name):
    card, model = trained.card(name), load(name)
    assert (tuple(card["labels"]), card["task"]) == (model.labels, model.task)
    low, high = card["figure"]["interval_95"]
    assert low < card["figure"]["value"] < high
    assert card["figure"]["of"]
    assert {"dataset", "folds", "clips", "source", "citation"} == set(card["data"])
    for key in ("about", "licence", "protocol", "limits", "command", "versions"):
        assert card[key], key
    assert all(row["seconds"] == 0 for row in model.history if "seconds" in row), "the same seed is to give the same file"


def test_they_are_small_and_git_keeps_them():
    """Before, nothing was shipped; all files together, of every model, stay below 1 MB."""
    sizes = [path.stat().st_size for path in trained.FOLDER.rglob("*") if path.suffix != ".pyc"]
    assert sum(sizes) < 1_000_000
    named = (ROOT / ".ci" / "large-files").read_text().splitlines() if (ROOT / ".ci").exists() else []
    large = [path for path in trained.FOLDER.glob("*/*") if path.stat().st_size > 100_000]
    assert not named or {path.relative_to(ROOT / "src" / "dcasekit").as_posix() for path in large} == {
        path.removeprefix("src/dcasekit/") for path in named if "/trained/" in path
    } == {f"containers/trained/{name}/weights.safetensors" for name in trained.names()}


def test_whoever_recorded_something_is_named():
    rows = trained.attribution("esc10")
    assert len(rows) == trained.card("esc10")["data"]["clips"] == 240
    assert all(row["author"] and row["license"] and row["url"].startswith("http") for row in rows)
    assert {"CC0", "CC-BY"} < {row["license"] for row in rows}
    assert trained.attribution("quickstart_tags") == []


# What they answer


@pytest.mark.parametrize("name", trained.names())
def test_it_answers_a_file_at_once(name, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = sounds("classification").clips[0].path
    found = json.loads(run("predict", path, "--model", name, "--labels", "--top", 1, "--format", "json")[0])
    assert found[0]["labels"][0]["label"] in trained.card(name)["labels"]
    (scores,) = load(name).predict([path])
    assert np.isfinite(scores.values).all()
    assert scores.edges[-1] == pytest.approx(5.0)


@pytest.mark.parametrize(("short", "task"), [("scenes", "classification"), ("tags", "tagging"), ("events", "detection")])
def test_networks_of_the_quickstart_answer_sounds_that_they_were_tested_on(short, task, sounds):
    dataset, model = sounds(task), load(f"quickstart_{short}")
    assert trained.card(f"quickstart_{short}")["data"]["folds"] == ["fold2", "fold3", "fold4", "fold5"]
    model.features.extract(dataset)
    results = model.evaluate(DataGenerator(dataset, model.features, folds=["fold1"], train=False))
    assert len(results.clips) == 20
    assert results.numbers[results.headline] > {"scenes": 0.45, "tags": 0.4, "events": 0.5}[short]  # 1 in 5, 0.23 and 0.26 by chance


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="set DCASEKIT_DATA to a folder that holds ESC-10/")
def test_real_clips_are_answered(tmp_path):
    """It has learned these clips, so nearly all are right; its card says that this is no figure."""
    dataset, model = ESC10(REAL, cache=tmp_path), load("esc10")
    right = [
        scores.top(1)[0][0] == next(iter(clip.tags))
        for clip, scores in zip(dataset.clips, model.predict([clip.path for clip in dataset.clips]), strict=True)
    ]
    assert np.mean(right) > 0.95
    for name in ("quickstart_scenes", "quickstart_tags", "quickstart_events"):
        (scores,) = load(name).predict([dataset.clips[0].path])
        assert np.isfinite(scores.values).all()


# The command


def test_models_trained_lists_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    out, _ = run("models", "trained")
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == ["name", *trained.names()]
    assert json.loads(run("models", "trained", "--json")[0]) == [trained.card(name) for name in trained.names()]
    assert "Attribution" not in out
    one, _ = run("models", "trained", "esc10")
    assert "nfrae" in one
    assert "accuracy 0." in one
    assert len(json.loads(run("models", "trained", "esc10", "--json")[0])["attribution"]) == 240
    assert run("models", "trained", "esc11", code=1)[1].startswith("error: the folder esc11 does not exist")


def test_every_command_of_models_takes_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "compact_cnn" in run("models", "info", "esc10")[0]
    assert "esc10.pt2" in run("models", "export", "esc10", "--to", "esc10.pt2")[0]


# Rounded weights


def test_half_the_size_and_nearly_the_same_answers(tmp_path):
    model = CompactCNN().build((32, 40), ["a", "b"], task="tagging", seed=1)
    whole, half = model.save(tmp_path / "whole"), model.save(tmp_path / "half", half=True)
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.53 * sizes[0]
    x = np.random.default_rng(0).standard_normal((3, 32, 40), dtype=np.float32)
    assert load(half).answer(x) == pytest.approx(model.answer(x), abs=2e-3)
    assert {array.dtype for array in load(half).weights().values()} == {np.dtype(np.float32), np.dtype(np.int64)}
    weights = model.weights()
    model.set_weights({**weights, "out.bias": np.float32([1e6, 0])})
    with pytest.raises(ModelError, match=r"out\.bias holds numbers up to 1e\+06, and float16 reaches only 65504; save without half=True"):
        model.save(tmp_path / "large", half=True)


# Making them again


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.usefixtures("one_process")
def test_the_same_seed_makes_the_same_files(maker, tmp_path):
    config = replace(quickstart.QUICK, clips=60, seconds=1.0)
    for number in "12":
        maker.make_quickstart(tmp_path / f"work{number}", tmp_path / f"out{number}", config)
    files = sorted(path.relative_to(tmp_path / "out1") for path in (tmp_path / "out1").rglob("*.*"))
    assert len(files) == 9
    for file in files:
        assert (tmp_path / "out1" / file).read_bytes() == (tmp_path / "out2" / file).read_bytes(), file


@pytest.mark.usefixtures("one_process")
def test_the_network_of_all_folds_bears_the_figure_of_those_that_were_tested(maker, tmp_path):
    data = make_dataset("esc10", tmp_path / "data", clips=60, sr=44100)
    config = replace(esc10.QUICK, batch_size=8, crop_frames=64)
    with pytest.raises(DatasetError, match=r"ATTRIBUTION\.tsv is missing"):
        maker.make_esc10(tmp_path / "data", tmp_path / "work", tmp_path / "out", config)
    rows = [f"{clip.id.rpartition('-')[0]}\tt\thttp://x\tsomebody\tCC-BY" for clip in data.clips]
    listed = tmp_path / "who.tsv"
    listed.write_text("\n".join(["clip\ttitle\turl\tauthor\tlicense", *rows[1:]]) + "\n")
    with pytest.raises(DatasetError, match=r"does not name .*\(1 clips\)"):
        maker.make_esc10(tmp_path / "data", tmp_path / "work", tmp_path / "out", config, listed)
    listed.write_text("\n".join(["clip\ttitle\turl\tauthor\tlicense", *rows]) + "\n")
    maker.make_esc10(tmp_path / "data", tmp_path / "work", tmp_path / "out", config, listed)
    card = json.loads((tmp_path / "out" / "esc10" / "card.json").read_text())
    assert card["data"]["folds"] == list(data.present_folds)
    assert card["figure"]["clips"] == card["data"]["clips"] == 60
    assert "not of this one" in card["figure"]["of"]
    assert f"{len(rows)} under CC-BY" in card["licence"]
    assert audio.info(data.clips[0].path).duration
    assert load(tmp_path / "out" / "esc10").labels == data.labels


def test_evaluating_takes_a_fold_it_has_not_seen_and_warns_of_others(sounds, tmp_path, caplog):
    folder, data = trained.FOLDER / "quickstart_scenes", sounds("classification")
    assert evaluation_fold(folder, data, None) == "fold1"
    assert caplog.text == ""
    assert evaluation_fold(folder, data, "fold2") == "fold2"
    assert "quickstart_scenes was trained on the clips of fold2: the number will be too high" in caplog.text
