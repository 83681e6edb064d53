"""Electricity: measured by a stand-in for codecarbon, of the same names; summed over interruptions; told in reports."""

import json
import logging
import math
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from dcasekit import load
from dcasekit.core import discover, energy
from dcasekit.core.energy import Energy, laps, measure, measured, so_far
from dcasekit.errors import StorageError
from dcasekit.models import MLP
from dcasekit.report import Report, Section, environment
from dcasekit.results import Results
from dcasekit.scores import Scores


@pytest.fixture
def codecarbon(monkeypatch):
    """Stand in for codecarbon: every reading is 1 Wh more; give the settings of the trackers that were made."""
    made = []

    class BaseOutput:
        def out(self, total, delta): ...

        def live_out(self, total, delta): ...

    class OfflineEmissionsTracker:
        def __init__(self, **settings):
            made.append(settings)
            self.kwh = 0.0

        def start(self):
            (handler,) = made[-1]["output_handlers"]
            self.handler = handler
            self.handler.live_out(self.total(), None)

        def total(self):
            return SimpleNamespace(energy_consumed=self.kwh, emissions=self.kwh * 0.5, country_iso_code="ESP", country_name="Spain")

        def flush(self):
            self.kwh += 0.001
            self.handler.out(self.total(), None)

        stop = flush

    package, outputs, base = (ModuleType(f"codecarbon{name}") for name in ("", ".output_methods", ".output_methods.base_output"))
    package.OfflineEmissionsTracker, base.BaseOutput = OfflineEmissionsTracker, BaseOutput
    for module in (package, outputs, base):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


@pytest.fixture
def no_codecarbon(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)


def report(histories=None):
    truth = np.eye(2, dtype=np.float32)
    scores = tuple(Scores(row[None], [0, 1], ("cat", "dog")) for row in truth)
    results = Results("classification", ("cat", "dog"), ("1", "2"), truth, scores)
    return Report("Tiny", {}, [Section("all", {"test": results}, histories=histories or {})], environment())


def test_what_a_block_takes_is_known_during_it_and_behind_it(codecarbon, tmp_path):
    assert so_far() is None
    with measure(tmp_path) as meter:
        first, second = meter.read(), so_far()
    assert (first.kwh, second.kwh) == pytest.approx((0.001, 0.002))
    assert second.kg_co2e == pytest.approx(0.001)
    assert second.country == "ESP"
    assert 0 < first.seconds <= second.seconds
    assert so_far() is None
    assert json.loads((tmp_path / "energy.json").read_text())["kwh"] == pytest.approx(0.003)


def test_nothing_is_written_sent_or_logged_but_the_sum(codecarbon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with measure():
        pass
    (settings,) = codecarbon
    assert settings["output_methods"] == []
    assert settings["emissions_endpoint"] is settings["electricitymaps_api_token"] is False
    assert settings["log_level"] == "critical"
    assert logging.getLogger("codecarbon").level == logging.CRITICAL
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_that_goes_on_counts_every_part_and_a_finished_one_is_no_part(codecarbon, tmp_path):
    with pytest.raises(KeyboardInterrupt), measure(tmp_path):
        raise KeyboardInterrupt
    before = Energy.from_dict({k: v for k, v in json.loads((tmp_path / "energy.json").read_text()).items() if k != "done"})
    assert before.kwh == pytest.approx(0.001)
    with measure(tmp_path) as meter:
        found = meter.read()
        assert found.kwh == pytest.approx(0.002)
        assert found.seconds > before.seconds
    with measure(tmp_path) as meter:
        assert meter.read().kwh == pytest.approx(0.001)


def test_a_killed_run_has_noted_what_it_took_while_it_ran(codecarbon, tmp_path):
    with measure(tmp_path) as meter:
        meter.read()  # as codecarbon's own readings every 5 s
        assert json.loads((tmp_path / "energy.json").read_text())["done"] is False
        assert json.loads((tmp_path / "energy.json").read_text())["kwh"] == pytest.approx(0.001)


@pytest.mark.parametrize("content", ["no json", "[]", '{"done": false, "more": 1}', "{}"])
def test_a_damaged_note_stops_no_run(content, codecarbon, tmp_path, caplog):
    with measure(tmp_path):
        pass
    (tmp_path / "energy.json").write_text(content)
    with measure(tmp_path) as meter:
        assert meter.read().kwh == pytest.approx(0.001)
    assert "energy.json cannot be read" in caplog.text


def test_a_file_of_the_users_is_left_alone_and_no_folder_is_made(codecarbon, tmp_path):
    with measure(tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "energy.json").write_text("mine")
    with pytest.raises(StorageError, match="dcasekit did not write it"), measure(tmp_path):
        pass
    assert (tmp_path / "energy.json").read_text() == "mine"


def test_laps_are_of_each_epoch_or_nothing(codecarbon):
    with laps(True) as lap:
        assert [lap()["kwh"], lap()["kwh"]] == pytest.approx([0.001, 0.001], rel=1)
        assert set(lap()) == {"kwh", "kg_co2e"}
    with laps(False) as lap:
        assert lap() == {}
    assert len(codecarbon) == 1


def test_without_the_extra_this_is_said_with_the_line_for_pip(no_codecarbon, tmp_path, caplog):
    with measure(tmp_path) as meter:
        found = meter.read()
        made = report()
    assert math.isnan(found.kwh)
    assert found.seconds >= 0
    assert found.note.endswith("run: pip install 'dcasekit[energy]'")
    assert json.loads((tmp_path / "energy.json").read_text())["kwh"] is None
    assert caplog.text == ""  # not asked for by name, so said in the report alone
    assert made.to_markdown().count("pip install 'dcasekit\\[energy\\]'") + made.to_markdown().count("pip install 'dcasekit[energy]'") == 1
    assert made.to_html().count("pip install &#39;dcasekit[energy]&#39;") == 1
    with laps(True) as lap:
        assert math.isnan(lap()["kwh"])
    assert "pip install 'dcasekit[energy]'" in caplog.text


def test_a_machine_without_numbers_is_said_to_have_none(codecarbon, monkeypatch):
    monkeypatch.setattr(sys.modules["codecarbon"].OfflineEmissionsTracker, "start", lambda tracker: None)
    monkeypatch.setattr(sys.modules["codecarbon"].OfflineEmissionsTracker, "flush", lambda tracker: None)
    monkeypatch.setattr(sys.modules["codecarbon"].OfflineEmissionsTracker, "stop", lambda tracker: None)
    with measure() as meter:
        assert meter.read().note == energy.FAILED


@pytest.mark.parametrize("name", discover.names("recipes"))
def test_every_recipe_is_measured(name):
    assert hasattr(discover.module("recipes", name).run, "__wrapped__"), "@measured of dcasekit.core.energy belongs above run()"


def test_a_measured_recipe_has_its_report_say_what_it_took(codecarbon, tmp_path):
    """Before, reports knew the seconds of a section alone."""

    @measured
    def run(config, data, out, *, progress=False):
        """Do nothing."""
        made = report()
        made.save(out)
        return made

    assert run.__doc__ == "Do nothing."
    made = run(None, None, tmp_path, progress=True)
    assert made.energy.kwh == pytest.approx(0.001)
    found = json.loads((tmp_path / "report.json").read_text())["energy"]
    assert found["kwh"] == pytest.approx(0.001)
    assert found["country"] == "ESP"
    assert found["seconds"] > 0
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "It used 1 Wh of electricity, estimated by codecarbon; as that of ESP this made 0.5 g CO₂e." in text
        assert "The run took 0.0 s." in text


def test_training_that_was_measured_is_told_by_its_section(no_codecarbon):
    epoch = {"epoch": 1, "loss": 1.0, "seconds": 2.0, "kwh": 0.25, "kg_co2e": 2.5}
    made = report({"fold1": [epoch, {**epoch, "epoch": 2}], "fold2": [epoch]})
    assert made.energy is None
    assert "The run took" not in made.to_html()
    assert made.sections[0].energy == Energy(6.0, 0.75, 7.5)
    assert made.to_dict()["sections"][0]["energy"]["kwh"] == 0.75
    assert "<b>0.75 kWh</b><span>to train, 7.5 kg CO₂e</span>" in made.to_html()
    assert "**0.75 kWh** to train, 7.5 kg CO₂e" in made.to_markdown()
    assert "Learning curve: kwh" not in made.to_html()
    unknown = report({"fold1": [{**epoch, "kwh": math.nan, "kg_co2e": math.nan}, {**epoch, "kwh": None, "kg_co2e": None}]})
    assert "Energy was not measured" in unknown.to_html()
    assert "Energy was not measured" in unknown.to_markdown()
    assert "nan" not in json.dumps(unknown.to_dict())
    assert replace(made, sections=[replace(made.sections[0], histories={})]).sections[0].energy is None


def learn(folder=None, **settings):
    x = np.random.default_rng(0).standard_normal((8, 4, 3)).astype(np.float32)
    model = MLP(hidden_layers_size=[4], dropout_rates=[0.0])
    model.train((x, np.eye(2, dtype=np.float32)[[0, 1] * 4]), device="cpu", resume=folder, **settings)
    return model


def test_training_notes_what_each_epoch_took_and_learns_the_same(codecarbon, tmp_path):
    model, plain = learn(epochs=3, energy=True), learn(epochs=3)
    assert [record["kwh"] for record in model.history] == pytest.approx([0.001] * 3)
    assert "kwh" not in plain.history[0]
    for name, array in plain.weights().items():
        assert (model.weights()[name] == array).all()
    assert "energy" not in model.training
    saved = load(model.save(tmp_path / "model"))
    assert saved.history[2]["kwh"] == pytest.approx(0.001)


def test_a_resumed_training_keeps_what_its_first_epochs_took(codecarbon, tmp_path):
    learn(tmp_path, epochs=1, energy=True)
    model = learn(tmp_path, epochs=3, energy=True)
    assert sum(record["kwh"] for record in model.history) == pytest.approx(0.003)


def test_training_without_the_extra_goes_on_and_says_so(no_codecarbon, tmp_path, caplog):
    model = learn(epochs=1, energy=True)
    assert math.isnan(model.history[0]["kwh"])
    assert "pip install 'dcasekit[energy]'" in caplog.text
    assert load(model.save(tmp_path)).history[0]["kwh"] is None
