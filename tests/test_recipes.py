import html
import inspect
import json
import os
import re
import shutil
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import dcasekit
from dcasekit.app import _jobs
from dcasekit.core import discover
from dcasekit.core.docstrings import list_settings
from dcasekit.core.files import MARK
from dcasekit.recipes import _data, backends, esc10, quickstart
from dcasekit.results import Results
from dcasekit.scores import Scores
from dcasekit.testing import make_dataset


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Train where coverage and monkeypatching reach; tests of map_clips see to the processes."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.parametrize("name", discover.names("recipes"))
def test_a_recipe_says_its_settings_and_has_a_quick_form(name):
    recipe = discover.module("recipes", name)
    assert recipe.__doc__
    assert isinstance(recipe.QUICK, recipe.Config)
    assert recipe.Config() != recipe.QUICK
    assert recipe.QUICK.quick, "its report must say that it proves nothing"
    assert not recipe.Config().quick
    assert callable(recipe.run)
    settings = list_settings(recipe.Config)
    assert {"seed", "device", "quick"} <= {one.name for one in settings}
    assert not [one.name for one in settings if not one.about]
    assert set(recipe.DATASETS) <= set(discover.names("datasets"))
    assert list(inspect.signature(recipe.run).parameters) == ["config", "data", "out", "progress"]


def test_quickstart_reports_three_tasks_beside_chance_and_saves_a_model_for_each(tmp_path, monkeypatch, run_recipe):
    config = replace(quickstart.QUICK, clips=60, seconds=1.5, epochs=1)
    report = run_recipe(quickstart, config, {}, tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    assert [section["name"] for section in content["sections"]] == ["Scenes", "Tags", "Events"] == [s.name for s in report.sections]
    for section in content["sections"]:
        assert 0 < section["published"]["chance"]["value"] < 0.5
        assert section["model"]["parameters"] > 50_000
    curves = _jobs.Job(tmp_path.parent, tmp_path.name).histories()
    assert {name: len(rows) for name, rows in curves.items()} == {
        f"checkpoints/{task}": 1 for task in ("classification", "tagging", "detection")
    }
    page = html.unescape((tmp_path / "report.html").read_text())
    assert "its numbers prove nothing" in page
    sound = next((tmp_path / "sounds" / "audio").glob("*.wav"))
    for task in ("classification", "tagging", "detection"):
        model = dcasekit.load(tmp_path / "models" / task)
        [scores] = model.predict([sound])
        assert model.task == task
        assert scores.edges[-1] == pytest.approx(1.5)
    monkeypatch.chdir(tmp_path)
    shutil.copy(sound, "recording.wav")
    for lines in re.findall(r"import dcasekit\n.*?(?=</pre>)", page, re.DOTALL):  # what the page says is done
        exec(lines, said := {})
        assert "events" in said or len(said["labels"]) >= 3
    assert len(re.findall(r"dcasekit predict recording.wav --model ", page)) == 3


def test_chance_is_that_of_what_is_known():
    truth = np.array([[1, np.nan, np.nan], [0, 1, np.nan], [0, np.nan, np.nan], [1, 1, np.nan]])
    scores = tuple(Scores(np.full((1, 3), 0.5), [0.0, 1.0], ("a", "b", "c")) for _ in truth)
    results = Results("tagging", ("a", "b", "c"), tuple("wxyz"), truth, scores)
    assert quickstart.chance(results).value == 0.75  # of a half and one


def test_esc10_tests_every_fold_once_and_goes_on_after_an_interruption(tmp_path, monkeypatch, run_recipe):
    data = make_dataset("esc10", tmp_path / "data", clips=60, sr=44100)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    folds = data.present_folds
    trained = []
    train = esc10.train

    def interrupted(config, dataset, out, fold):
        if fold == folds[1] and not trained:
            trained.append("interrupted")
            raise KeyboardInterrupt
        train(config, dataset, out, fold)

    monkeypatch.setattr(esc10, "train", interrupted)
    out = tmp_path / "out"
    config = replace(esc10.QUICK, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        esc10.run(config, {"esc10": tmp_path / "data"}, out)
    kept = (out / "checkpoints" / folds[0] / "checkpoint.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(esc10, "remove_checkpoints", lambda folder: None)  # to look at what was kept
    report = run_recipe(esc10, config, {"esc10": tmp_path / "data"}, out)
    assert (out / "checkpoints" / folds[0] / "checkpoint.safetensors").stat().st_mtime_ns == kept, "the first fold was trained again"
    [section] = report.sections
    assert tuple(section.folds) == folds
    assert sorted(section.pooled.clips) == sorted(clip.id for clip in data.clips), "every clip is tested once"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before, "the data folder was written to"
    assert dcasekit.load(out / "models" / folds[0]).predict([data.clips[0].path])


def test_without_recordings_a_recipe_makes_sounds_once_and_its_title_says_so(tmp_path):
    folder = _data.find("esc10", {}, tmp_path, clips=20, sr=8000)
    sounds = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert len(sounds) > 20
    assert _data.find("esc10", {}, tmp_path, clips=20, sr=8000) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == sounds, "they were made again"
    (folder / MARK).unlink()  # as after a kill
    _data.find("esc10", {}, tmp_path, clips=20, sr=8000)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} != sounds, "half a tree was used"
    assert _data.find("esc10", {"esc10": tmp_path}, tmp_path) == tmp_path
    names = ["esc10", "urban_sed"]
    assert _data.title("A", names, {}) == "A, on synthetic sounds"
    assert _data.title("A", names, {"esc10": tmp_path}) == "A, on synthetic sounds in place of urban_sed"
    assert _data.title("A", names, {"esc10": tmp_path, "urban_sed": tmp_path}) == "A"
    assert _data.title("A", ["esc10"], {"esc10": folder}) == "A, on synthetic sounds", "a small tree is no recordings, whoever gives it"


def test_backends_sets_every_system_beside_the_others_with_a_paired_test(tmp_path, run_recipe):
    data = make_dataset("esc10", tmp_path / "data", clips=60, sr=22050)
    report = run_recipe(backends, replace(backends.QUICK, clips=20), {"esc10": tmp_path / "data"}, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    systems = [*backends.SYSTEMS, backends.FINE_TUNED]
    assert [section["name"] for section in content["sections"]] == systems
    assert {section.pooled.clips for section in report.sections} == {report.sections[0].pooled.clips}
    assert sorted(report.sections[0].pooled.clips) == sorted(clip.id for clip in data.clips), "every clip is tested once"
    assert min(section.pooled.numbers["accuracy"] for section in report.sections) > 0.2, "no better than chance, 0.1"
    assert [(pair["first"], pair["second"]) for pair in content["comparisons"]] == list(combinations(systems, 2))
    [torch, keras, forest, tuned] = [section["model"] for section in content["sections"]]
    assert torch["parameters"] == keras["parameters"] == tuned["parameters"] == 364_554
    assert torch["macs"] == keras["macs"]
    assert forest["class"] == "sklearn.random_forest"
    for folder in ("sb_cnn", "keras.sb_cnn", "sklearn.random_forest", "sb_cnn-fine-tuned"):
        assert dcasekit.load(tmp_path / "out" / "models" / folder / "fold1").labels == data.labels
