"""Recipes with several seeds, and whether they reproduce what was published."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from dcasekit import cli
from dcasekit.errors import MetricError, StorageError
from dcasekit.recipes import _certificate, _runs
from dcasekit.report import Published, RunsReport, RunsSection
from dcasekit.testing import make_dataset

RECIPE = '''
"""A tiny recipe: its numbers follow from its seed."""
import os
import signal
from dataclasses import asdict, dataclass
import numpy as np
from dcasekit.report import Published, Report, Section, environment
from dcasekit.results import Results
from dcasekit.scores import Scores

@dataclass(frozen=True)
class Config:
    epochs: int = 8
    seed: int = 0
    device: str = "auto"
    quick: bool = False

QUICK = Config(epochs=1, quick=True)
DATASETS = ("esc10",)
PUBLISHED = {"theirs": Published(0.5, "another machine"), "their errors": Published(1.2, "", measure="error rate")}
BANDS = {"event_f1": (0.4, 0.6), "error rate": (1.0, 1.5)}

def run(config, data, out, *, progress=False):
    (out / "begun").mkdir(parents=True, exist_ok=True)
    (out / "begun" / str(len(list((out / "begun").iterdir())))).touch()
    if str(config.seed) == os.environ.get("KILLED_AT") and len(list((out / "begun").iterdir())) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    truth = np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    scores = tuple(Scores(row[None], [0, 1], ("cat", "dog")) for row in truth)
    results = Results("classification", ("cat", "dog"), tuple(map(str, range(8))), truth, scores)
    measures = {"event_f1": 0.5 + 0.05 * config.seed, "error rate": 1.25 if config.epochs > 2 else 9.0}
    intervals = {"event_f1": (0.4, 0.6)}
    section = Section("Events", {"test": results}, published=PUBLISHED, notes=["half the clips"], measures=measures, intervals=intervals)
    report = Report("Tiny", asdict(config), [section], environment())
    report.save(out)
    return report
'''


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Give a recipe of one's own in the folder one works in; a name of its own keeps tests apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    package = tmp_path / f"own_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text(RECIPE)
    return f"{package.name}.tiny"


@pytest.fixture
def data(tmp_path):
    """Recordings, as far as anyone can tell."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.wav").write_bytes(b"one")
    return tmp_path / "data"


def run(*args: object, code: int = 0) -> str:
    """Run the command; give what it wrote to standard output."""
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def content(path: Path) -> dict:
    """Read a report, without what differs from run to run."""
    found = json.loads(path.read_text())
    found["environment"].pop("date")
    found.pop("seconds", None)
    return found


def begun(out: Path) -> list[int]:
    """Count how often each run was begun."""
    return [len(list((folder / "begun").iterdir())) for folder in sorted(out.glob("seed*"))]


def test_runs_with_several_seeds_give_mean_deviation_and_interval_beside_published_numbers(recipe, data):
    out = run("run", recipe, "--data", data, "--runs", 3, "--seed", 1, "--quiet")
    values = [0.55, 0.6, 0.65]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert "0.600" in out
    assert f"{low:.3f} to {high:.3f}" in out
    found = content(Path("runs/tiny/report.json"))
    [section] = found["sections"]
    assert found["title"] == "Tiny, 3 runs"
    assert section["measures"]["event_f1"] == {
        "value": pytest.approx(0.6),
        "interval_95": pytest.approx([low, high]),
        "deviation": pytest.approx(0.05),
        "runs": {"seed1": 0.55, "seed2": pytest.approx(0.6), "seed3": pytest.approx(0.65)},
    }
    assert section["measures"]["error rate"]["deviation"] == 0
    for name in ("report.md", "report.html"):
        text = Path("runs/tiny", name).read_text()
        for said in ("mean of 3 runs", "60.0 %", "± 5.0 %", "another machine", "half the clips", "1.200", "seed3", "event-based F1"):
            assert said in text
    for seed in (1, 2, 3):
        assert content(Path(f"runs/tiny/seed{seed}/report.json"))["settings"]["seed"] == seed
    as_json = json.loads(run("run", recipe, "--data", data, "--runs", 3, "--seed", 1, "--json"))
    assert as_json["sections"] == found["sections"]
    assert as_json["report"] == str(Path("runs/tiny/report.html"))


def test_finished_runs_are_found_again_until_settings_or_data_change(recipe, data):
    out = Path("runs/tiny")
    command = ("run", recipe, "--data", data, "--quiet")
    run(*command, "--runs", 2)
    said = CliRunner().invoke(cli.app, ["run", recipe, "--data", str(data), "--runs", "3"]).stderr.splitlines()
    assert said == ["note: run 1 of 3, seed 0: finished before", "note: run 2 of 3, seed 1: finished before", "note: run 3 of 3, seed 2"]
    assert begun(out) == [1, 1, 1]
    run(*command, "--runs", 1)
    assert content(out / "report.json")["title"] == "Tiny, 1 runs"
    assert content(out / "report.json")["sections"][0]["measures"]["event_f1"]["interval_95"] == [None, None]
    run(*command, "--runs", 2, "--set", "epochs=9")
    assert begun(out) == [2, 2, 1]
    (data / "one.wav").write_bytes(b"two")
    run(*command, "--runs", 2, "--set", "epochs=9")
    assert begun(out) == [3, 3, 1]


def test_runs_that_are_killed_go_on_and_end_as_if_they_had_not_been(recipe, data, tmp_path):
    command = [sys.executable, "-m", "dcasekit", "run", recipe, "--data", str(data), "--runs", "3", "--quiet", "--out"]
    killed = subprocess.run([*command, "killed"], env=os.environ | {"KILLED_AT": "1"}, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert begun(tmp_path / "killed") == [1, 1]
    assert not (tmp_path / "killed" / "report.json").exists()
    subprocess.run([*command, "killed"], check=True, capture_output=True)
    subprocess.run([*command, "whole"], check=True, capture_output=True)
    assert begun(tmp_path / "killed") == [1, 2, 1]
    for name in ("report.json", "run.json", "seed1/report.json", "seed2/run.json"):
        assert content(tmp_path / "killed" / name) == content(tmp_path / "whole" / name)


def test_a_run_in_its_bands_is_certified_with_all_that_made_it(recipe, data):
    out = run("reproduce", recipe, "--data", data, "--quiet")
    assert out.splitlines()[0] == "tiny: passed"
    assert "event_f1 is 0.5000, in the band 0.4 to 0.6" in out
    found = json.loads(Path("runs/tiny/certificate.json").read_text())
    assert found["verdict"] == "passed"
    assert [check["holds"] for check in found["checks"]] == [True, True]
    about = found["run"]
    assert about["settings"] == {"epochs": 8, "seed": 0, "device": "auto", "quick": False}
    assert about["seeds"] == [0]
    assert about["data"]["esc10"]["files"] == 1
    assert len(about["data"]["esc10"]["fingerprint"]) == 64
    assert about["seconds"] >= 0
    assert {"dcasekit", "numpy", "python"} <= set(about["environment"])
    assert about["measures"]["Events"]["event_f1"] == {"value": 0.5, "interval_95": [0.4, 0.6]}
    text = Path("runs/tiny/certificate.md").read_text()
    for said in ("passed", about["data"]["esc10"]["fingerprint"], "| event_f1 | 0.500 | 0.4 to 0.6 | yes |", "epochs", "not measured"):
        assert said in text
    run("reproduce", recipe, "--data", data, "--quiet")
    assert len(list(Path("runs/tiny/begun").iterdir())) == 1, "a finished run is found again"
    assert json.loads(run("reproduce", recipe, "--run", "runs/tiny", "--json"))["verdict"] == "passed"


def test_a_run_out_of_its_bands_fails_and_says_by_how_much(recipe, data):
    out = run("reproduce", recipe, "--data", data, "--seed", 3, "--quiet", code=1)
    assert out.startswith("tiny: failed\nevent_f1 is 0.6500, outside the band 0.4 to 0.6\nerror rate is 1.2500, in the band 1 to 1.5\n")
    assert json.loads(Path("runs/tiny/certificate.json").read_text())["verdict"] == "failed"


def test_several_runs_are_judged_by_their_mean(recipe, data):
    out = run("reproduce", recipe, "--data", data, "--runs", 4, "--quiet")
    assert "event_f1 is 0.5750, in the band 0.4 to 0.6" in out
    assert json.loads(Path("runs/tiny/certificate.json").read_text())["run"]["seeds"] == [0, 1, 2, 3]
    assert run("reproduce", recipe, "--run", "runs/tiny") == out


def test_small_settings_made_sounds_or_other_settings_are_no_reproduction(recipe, data, tmp_path):
    out = run("reproduce", recipe, "--data", data, "--quick", "--quiet", code=3)
    assert out.startswith("tiny: not a reproduction\nit ran with the small settings (--quick)\nevent_f1 is")
    assert "the sounds of esc10 are synthetic" in run("reproduce", recipe, "--out", "none", "--quiet", code=3)
    make_dataset("esc10", tmp_path / "small", clips=10, sr=8000)
    assert "the sounds of esc10 are synthetic" in run("reproduce", recipe, "--data", "small", "--out", "small-out", "--quiet", code=3)
    run("run", recipe, "--data", data, "--set", "epochs=3", "--out", "set", "--quiet")
    found = json.loads(run("reproduce", recipe, "--run", "set", "--json", code=3))
    assert found["verdict"] == "not a reproduction"
    assert found["reasons"][0] == "epochs is 3; published 8"
    before = Path("set/run.json").read_bytes()
    run("reproduce", recipe, "--data", data, "--out", "set", "--quiet", code=1)  # would go on in a finished run of other settings
    assert Path("set/run.json").read_bytes() == before


def test_a_finished_run_is_taken_as_it_is_or_refused(recipe, data, monkeypatch):
    run("reproduce", recipe, "--run", data, code=1)  # no run at all
    run("reproduce", recipe, "--run", data, "--quick", code=2)
    with pytest.raises(StorageError, match=r"run\.json does not exist"):
        _runs.read(data)
    (data / "run.json").write_text('{"recipe": "x"}')
    with pytest.raises(StorageError, match="is not a record of a run"):
        _runs.read(data)
    run("run", recipe, "--data", data, "--out", "out", "--quiet")
    module, record = sys.modules[recipe], _runs.read(Path("out"))
    monkeypatch.setattr(module, "BANDS", {"lwlrap": (0.1, 0.2), "Events: event_f1": (0.1, 0.6)})
    checks = [str(check) for check in _certificate.certify(module, record).checks]
    assert checks == ["lwlrap is undefined, outside the band 0.1 to 0.2", "Events: event_f1 is 0.5000, in the band 0.1 to 0.6"]
    monkeypatch.delattr(module, "BANDS")
    assert _certificate.certify(module, record).excluded == ["the recipe has no published band (BANDS) to be checked against"]
    with pytest.raises(MetricError, match=r"the run is of .*tiny, not of dcasekit.recipes._runs"):
        _certificate.certify(_runs, record)


def test_one_run_has_no_deviation_and_hostile_names_are_no_markup():
    hostile = '"><script>|'
    section = RunsSection(hostile, {hostile: {hostile: 0.5}}, {hostile: Published(0.4, hostile)}, [hostile])
    report = RunsReport(hostile, {"seed": 0, "quick": True}, [section], {hostile: hostile})
    assert np.isnan(section.deviation(hostile))
    page = report.to_html()
    assert "<script" not in page
    assert "its numbers prove nothing" in page
    assert "one run" in report.to_markdown()
    json.dumps(report.to_dict(), allow_nan=False)


def test_energy_of_several_runs_is_their_sum_and_unknown_where_one_is():
    one = {"seconds": 2.0, "kwh": 0.5, "kg_co2e": 0.1, "country": "ESP", "note": ""}
    total = _runs._sum([one, one])
    assert total.to_dict() == {"seconds": 4.0, "kwh": 1.0, "kg_co2e": 0.2, "country": "ESP", "note": ""}
    assert _runs._sum([one, one | {"kwh": None, "note": "why"}]).to_dict()["kwh"] is None
    assert _runs._sum([one, None]) is None
    report = RunsReport("Three", {}, [RunsSection("all", {"f1": {"seed0": 0.5, "seed1": 0.6}})], {}, total)
    for text in (report.to_html(), report.to_markdown()):
        assert "It used 1 kWh of electricity" in text


def test_an_interval_of_shares_ends_with_them_and_one_of_errors_does_not():
    section = RunsSection("all", {key: {"seed0": 0.1, "seed1": 0.9} for key in ("accuracy", "error rate")})
    assert section.measured["accuracy"].interval == (0.0, 1.0)
    assert section.measured["error rate"].interval == pytest.approx((0.0, 0.5 + stats.t.ppf(0.975, 1) * 0.4))
