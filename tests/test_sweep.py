"""`dcasekit sweep`: settings of a recipe tried by Optuna on validation clips, with kills."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import dcasekit.generator
from dcasekit import cli
from dcasekit.cli.sweeping import read_space, split_values
from dcasekit.core import discover
from dcasekit.core.files import read_json
from dcasekit.datasets import MAESTROReal
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.recipes import _sweep, esc10, esc10_nested
from dcasekit.recipes._sweep import Options, Range
from dcasekit.report import SweepReport, Trial

pytest.importorskip("optuna", reason="needs Optuna: python -m pip install 'dcasekit[sweep]'")

RECIPE = '''
"""A tiny recipe whose best learning rate is 0.01, by twenty layers."""
import math
import os
import signal
from dataclasses import dataclass
from dcasekit.errors import ModelError

@dataclass(frozen=True)
class Config:
    learning_rate: float = 1e-3
    layers: int = 2
    filters: tuple[int, ...] = (8, 16)
    kind: str = "a"
    seed: int = 0
    device: str = "auto"
    quick: bool = False

QUICK = Config(quick=True)
DATASETS = ()
run = None

def score_validation(config, data, out, *, resume, progress=False):
    """Closeness to what is best."""
    resume.mkdir(parents=True, exist_ok=True)
    (resume / "checkpoint.safetensors").touch()
    with (out / "began.txt").open("a") as file:
        file.write(f"{config.learning_rate} {config.layers}\\n")
    if len((out / "began.txt").read_text().splitlines()) == int(os.environ.get("KILLED_AT", -1)):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.kind == "broken":
        raise ModelError("the loss is nan")
    return -abs(math.log10(config.learning_rate) + 2) - abs(config.layers - 20) / 20
'''
VARY = ["--vary", "learning_rate=1e-4..1e-1", "--vary", "layers=10..30"]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Give a recipe of one's own in the folder one works in; a name of its own keeps tests apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    name = f"own_{tmp_path.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "tiny.py").write_text(RECIPE)
    return f"{name}.tiny"


def run(recipe, *words):
    done = CliRunner().invoke(cli.app, ["sweep", recipe, *map(str, words)])
    return done.exit_code, done.output


def table(out):
    """Give what must not depend on kills: of each trial settings, value and state."""
    return [{key: one[key] for key in ("settings", "value", "state")} for one in read_json(out / "report.json", error=OSError)["trials"]]


def test_the_best_settings_are_found_and_every_trial_is_in_the_report(recipe, tmp_path):
    code, said = run(recipe, *VARY, "--trials", 25, "--out", "out", "--quiet")
    assert code == 0, said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["trials"]) == 25
    values = [one["value"] for one in report["trials"]]
    assert report["best"] == values.index(max(values))
    assert max(values[10:]) > max(values[:10]), "what was learned from the first trials helps the later ones"
    best = report["trials"][report["best"]]["settings"]
    assert best["learning_rate"] == pytest.approx(0.01, rel=0.5)
    assert f"dcasekit run {recipe} --set learning_rate={best['learning_rate']} --set layers={best['layers']}" in said
    page, text = ((tmp_path / "out" / name).read_text() for name in ("report.html", "report.md"))
    for one in report["trials"]:
        for written in (page, text):
            assert str(one["settings"]["learning_rate"]) in written
            assert f"{one['value']:.3f}".lstrip("-") in written
    assert "Closeness to what is best." in page
    assert "this number is no result" in page


def test_a_killed_sweep_goes_on_draws_the_same_and_runs_no_finished_trial_twice(recipe, tmp_path):
    command = [sys.executable, "-m", "dcasekit", "sweep", recipe, *VARY, "--trials", "8", "--quiet", "--out"]
    assert subprocess.run([*command, "whole"], capture_output=True, check=False).returncode == 0
    for at in (3, 6):  # the second kill comes after the third trial began anew
        killed = subprocess.run([*command, "out"], env={**os.environ, "KILLED_AT": str(at)}, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    began = [(tmp_path / name / "began.txt").read_text().splitlines() for name in ("whole", "out")]
    assert len(began[0]) == 8
    assert len(began[1]) == 10, "eight, and the two that were killed"
    assert set(began[1]) == set(began[0])
    assert not list((tmp_path / "out" / "trials").rglob("checkpoint.safetensors")), "of finished trials checkpoints are left"


def test_a_kill_between_a_trials_record_and_optunas_costs_nothing(recipe, tmp_path, monkeypatch):
    def stop(self, number, value):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_sweep._Study, "tell", stop)
        assert run(recipe, *VARY, "--trials", 3, "--out", "out")[0] == 130
    assert run(recipe, *VARY, "--trials", 3, "--out", "out")[0] == 0
    assert len((tmp_path / "out" / "began.txt").read_text().splitlines()) == 3


def test_trials_are_added_to_a_finished_sweep_and_another_sweep_is_refused(recipe, tmp_path):
    assert run(recipe, *VARY, "--trials", 2, "--out", "runs #1?")[0] == 0
    first = table(tmp_path / "runs #1?")
    assert run(recipe, *VARY, "--trials", 4, "--out", "runs #1?")[0] == 0
    assert table(tmp_path / "runs #1?")[:2] == first
    code, said = run(recipe, "--vary", "layers=1..3", "--trials", 2, "--out", "runs #1?")
    assert code == 1
    assert "holds another sweep (vary was" in said
    code, said = run(recipe, *VARY, "--set", "kind=b", "--out", "runs #1?")
    assert code == 1
    assert "settings was" in said


def test_a_trial_that_fails_is_told_and_the_sweep_goes_on_unless_all_fail(recipe, tmp_path):
    code, said = run(recipe, "--vary", "kind=a,broken", "--trials", 6, "--out", "out", "--seed", 1)
    assert code == 0, said
    states = [one["state"] for one in table(tmp_path / "out")]
    assert {"done", "the loss is nan"} <= set(states), states
    assert any(state.startswith("as trial ") for state in states), "six trials of two values"
    assert len((tmp_path / "out" / "began.txt").read_text().splitlines()) == 2, "equal settings were tried twice"
    code, said = run(recipe, "--vary", "layers=1..9", "--set", "kind=broken", "--trials", 2, "--out", "all")
    assert code == 1
    assert "none of the 2 trials gave a number; of the first: the loss is nan" in said


def test_a_recipe_without_a_validation_measure_is_refused_with_the_reason():
    code, said = run("esc10_nested", "--vary", "seeds=1..3")
    assert code == 1
    assert "the settings are chosen on the others already" in said.replace("\n", " ")
    with pytest.raises(ModelError, match="it has no function `score_validation`"):
        _sweep.describe_measure(sys.modules[__name__])
    assert esc10_nested.NO_VALIDATION


def test_without_optuna_the_extra_is_named(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"dcasekit\[sweep\]"):
        _sweep._Study(tmp_path, {}, {}, 0)


def test_what_settings_may_be_is_read_and_checked():
    config = esc10.Config()
    space = read_space(config, ["learning_rate=1e-4..1e-2", "epochs=10..40", "batch_size=8,16", "weight_decay=0..1"])
    assert space == {
        "learning_rate": Range(1e-4, 1e-2),
        "epochs": Range(10, 40),
        "batch_size": Options((8, 16)),
        "weight_decay": Range(0.0, 1.0),
    }
    assert [each.log for each in space.values() if isinstance(each, Range)] == [True, False, False]
    assert Range(1, 10).log
    assert type(space["weight_decay"].low) is float
    assert space["learning_rate"].take(0.00123456) == 0.001235
    assert space["epochs"].take(12) == 12
    assert Range(0.12341, 1.0).take(0.12341) == 0.12341, "rounded out of the range"
    nested = read_space(esc10_nested.Config(), ["variant=full,short"])
    assert nested == {"variant": Options(("full", "short"))}
    assert split_values("[8,16], [16,32]") == ["[8,16]", "[16,32]"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("learning_rat=1..2", "Did you mean 'learning_rate'"),
        ("epochs=1.5..3", "epochs must be int"),
        ("epochs=3..1", "LOW below HIGH"),
        ("epochs=3", "two values or more"),
        ("epochs=3,3", "two values or more"),
        ("device=cpu,cuda", "it changes no system"),
        ("seed=0..9", "luck"),
        ("learning_rate=a,b", "learning_rate must be float"),
        ("mel.bands=3,4", "only whole settings vary"),
        ("epochs", "expected key=value"),
    ],
)
def test_what_a_setting_does_not_take_is_refused(given, said):
    with pytest.raises(typer.BadParameter, match=said):
        read_space(esc10.Config(), [given])


def test_options_of_several_numbers_reach_the_recipe_as_they_are(recipe, tmp_path):
    assert run(recipe, "--vary", "filters=[8, 16],[16, 32]", "--trials", 3, "--out", "out")[0] == 0
    assert {tuple(one["settings"]["filters"]) for one in table(tmp_path / "out")} <= {(8, 16), (16, 32)}
    assert "--set 'filters=[" in read_json(tmp_path / "out" / "report.json", error=OSError)["command"]


def test_a_record_that_is_none_is_named(recipe, tmp_path):
    assert run(recipe, *VARY, "--trials", 1, "--out", "out")[0] == 0
    (tmp_path / "out" / "trials" / "0000" / "trial.json").write_text("{}")
    code, said = run(recipe, *VARY, "--trials", 1, "--out", "out")
    assert code == 1
    assert "is no record of a trial" in said


def test_of_equal_trials_the_first_is_the_best_and_without_numbers_there_is_none():
    trials = [Trial({"a": 1}, None, 1.0, "the loss is nan"), Trial({"a": 2}, 0.5, 2.0), Trial({"a": 3}, 0.5, 3.0)]
    report = SweepReport("Sweep", "Accuracy.", {}, {"a": "1 to 3"}, trials, "", {})
    assert report.best == 1
    assert replace(report, trials=trials[:1]).best is None
    assert "trials, of which 2 gave a number" in report.to_markdown()
    assert "the loss is nan" in report.to_html()


# What each recipe keeps for a test, and settings so small that a look at the clips is all there is.
KEPT = {
    "quickstart": ("fold1", {"clips": 50, "seconds": 1.0, "epochs": 1}),
    "esc10": ("fold1", {"epochs": 1}),
    "esc10_yamnet": ("fold1", {}),
    "asc_tutorial": ("test", {"clips": 60, "epochs": 1, "best_from": 1}),
    "dcase2020_task1": ("test", {"clips": 240, "epochs": 1, "hidden": (4,)}),
    "dcase2025_task1": ("test", {"epochs": 1}),
    "salamon2017_scaper": ("test", {"clips": 30, "epochs": 1, "filters": 2}),
    "salamon2017_sbcnn": ("fold1", {"epochs": 1, "filters": (2, 2, 2)}),
    "dcase2023_task4b": ("test", {"epochs": 1, "filters": (2, 2, 2)}),
    "dcase2023_task4a": ("validation", {"epochs": 1}),
    "dcase2024_task4": ("validation", {"epochs": 1}),
    "adavanne2017_acrnn": ("fold1", {"epochs": 1, "filters": 2}),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_recipes_validation_looks_at_no_clip_that_is_kept_for_a_test(name, tmp_path, monkeypatch):
    recipe = discover.module("recipes", name)
    kept, small = KEPT[name]
    looked, tested = set(), set()
    original = dcasekit.generator.DataGenerator.__init__

    def noting(self, dataset, *args, **settings):
        original(self, dataset, *args, **settings)
        looked.update(clip.id for clip in self.clips)
        split = dataset.split("fold1") if isinstance(dataset, MAESTROReal) else None
        tested.update(clip.id for clip in (split.test if split else dataset.clips) if split or clip.fold == kept)

    monkeypatch.setattr(dcasekit.generator.DataGenerator, "__init__", noting)
    value = recipe.score_validation(replace(recipe.QUICK, **small), {}, tmp_path, resume=tmp_path / "trial")
    assert isinstance(value, float)
    assert math.isfinite(value)
    assert tested
    assert looked
    assert not looked & tested
    assert not (Path(tmp_path) / "report.json").exists()


def test_every_measure_is_said_in_a_sentence_and_takes_what_the_sweep_gives():
    for name in discover.names("recipes"):
        recipe = discover.module("recipes", name)
        if hasattr(recipe, "score_validation"):
            assert name in KEPT, "add it to KEPT above, so that what it looks at is tested"
            assert _sweep.describe_measure(recipe).endswith(".")
        else:
            with pytest.raises(ModelError, match="cannot be chosen by validation"):
                _sweep.describe_measure(recipe)
