"""The web application starts runs as processes of the command line, and asks for settings by forms made of the classes."""

import os
import time

import pytest

from dcasekit.core import discover
from dcasekit.core.files import read_json
from dcasekit.datasets import SyntheticSounds
from dcasekit.errors import DcasekitError, MissingExtraError, StorageError

pytest.importorskip("dash")

from dcasekit.app import _forms, _jobs, _orders
from dcasekit.app._orders import Fields
from dcasekit.app._site import Site, find_sources
from dcasekit.app.views import train

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks that a child inherits are POSIX")


def wait(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
    assert condition()


@pytest.fixture
def site(tmp_path):
    SyntheticSounds(tmp_path / "sounds", clips=60, seconds=1.0, sr=8000).download()
    return Site(find_sources([f"synthetic_sounds={tmp_path / 'sounds'}"], tmp_path / "runs"), tmp_path / "runs", tmp_path / "scratch")


def test_a_run_outlives_who_started_it_and_is_stopped_by_another(tmp_path):
    job = _jobs.new(tmp_path, "slow", ["run", "quickstart", "--quick", "--quiet"], most=2)
    seen = _jobs.find(tmp_path, "slow")  # as a server that was started later
    assert seen.state == "running"
    with pytest.raises(StorageError, match="is already running"):
        seen.start()
    seen.stop()
    wait(lambda: job.state == "stopped")
    assert [one.name for one in _jobs.every(tmp_path)] == ["slow"]


def test_a_run_that_fails_says_why(tmp_path):
    job = _jobs.new(tmp_path, "wrong", ["train", "--dataset", "esc10", "--data", str(tmp_path / "none"), "--model", "mlp"], most=2)
    wait(lambda: job.state == "failed")
    assert "there is no folder" in job.said


def test_no_two_runs_share_a_name_and_not_too_many_run(tmp_path):
    first = _jobs.new(tmp_path, "a", ["run", "quickstart", "--quick"], most=1)
    with pytest.raises(StorageError, match="1 runs are active"):
        _jobs.new(tmp_path, "b", ["run", "quickstart"], most=1)
    first.stop()
    wait(lambda: first.state == "stopped")
    second = _jobs.new(tmp_path, "a", ["recipes"], most=1)
    assert second.name == "a-2"
    wait(lambda: second.state == "failed")


@pytest.mark.parametrize("name", ["../a", "a/b", ".app", "", "a b", "-x", "a\nb", "a" * 81, "é"])
def test_a_name_of_a_run_is_no_path(tmp_path, name):
    with pytest.raises(StorageError):
        _jobs.new(tmp_path, name, ["recipes"], most=2)
    with pytest.raises(StorageError):
        _jobs.find(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", ["features", "models", "augmentations", "recipes"])
def test_every_leaf_has_a_form(family):
    for name in discover.names(family):
        try:
            known = _forms.load_settings(family, name)
        except MissingExtraError:
            continue
        assert all(one.about for one in known), name
        assert not any(":" in (one.default or "") for one in known), name
    assert len(_forms.load_settings("training", "")) > 15


def test_a_form_knows_numbers_choices_and_nested_settings():
    known = {one.name: one for one in _forms.load_settings("features", "mel_spectrogram")}
    assert (known["mel.bands"].default, known["mel.bands"].number) == ("64", True)
    assert known["stft.pad"].choices == ("reflect", "constant")
    assert known["sequence_time"].about.startswith("length of a window in seconds")


def read(family, name, **given):
    ids = [{"type": "setting", "of": family, "name": field.replace("__", ".")} for field in given]
    return _forms.read_form(family, name, ids, list(given.values()))


def test_a_form_gives_what_was_filled_in():
    assert read("features", "mel_spectrogram", mel__bands="40", sr="", log__top_db=" 80 ") == {"mel.bands": "40", "log.top_db": "80"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "os:system"), ("schedule", "/etc/passwd"), ("monitor", '{"a": "os:system"}'), ("resume", "runs"), ("callbacks", "x"),
        ("epochs", "1\n--out=x"), ("loss", "other"), ("--out", "x"), ("device", "x" * 300), ("augment", "os"), ("seed=1 -T epochs", "2"),
    ],
)  # fmt: skip
def test_a_form_takes_no_code_no_path_and_nothing_that_it_does_not_ask_for(field, value):
    with pytest.raises(_forms.FormError):
        read("training", "training", **{field: value})


def order(**changes):
    chosen = {"source": "synthetic-sounds", "fold": None, "corrected": ["yes"], "models": "mlp", "features": None, "augmentations": []}
    more = {
        "kind": "train",
        "name": None,
        "tuned": "quickstart_scenes",
        "freeze": "all",
        "recipe": "quickstart",
        "quick": ["yes"],
        "data": {},
    }
    return {**chosen, **more, **changes}


def start(site, chosen, **given):
    """Start a run with fields of forms that are named ``family__setting``."""
    named = [name.partition("__") for name in given]
    ids = [{"type": "setting", "of": family, "name": setting} for family, _, setting in named]
    return _orders.start(site, chosen, Fields(ids, list(given.values())))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "app"},
        {"source": "../x"},
        {"models": "os:system"},
        {"features": "../mel"},
        {"fold": "--help"},
        {"augmentations": ["os:system"]},
        {"name": "../x"},
        {"kind": "tune", "tuned": "../x"},
        {"kind": "tune", "tuned": "/etc"},
        {"kind": "tune", "freeze": "--allow=os"},
        {"kind": "recipe", "recipe": "os:system"},
        {"kind": "recipe", "recipe": "os.path"},
        {"kind": "recipe", "recipe": "quickstart:quick"},
        {"kind": "recipe", "data": {"synthetic_sounds": "/etc"}},
        {"kind": "recipe", "data": {"--out": "synthetic-sounds"}},
        {"kind": "recipe", "recipe": "esc10", "data": {"esc10": "synthetic-sounds"}},
    ],
)
def test_what_no_form_offers_starts_nothing(site, changes):
    with pytest.raises(DcasekitError):
        start(site, order(**changes))
    assert not site.runs.exists()


@pytest.mark.parametrize(
    "given", [{"recipes__weights": "x"}, {"recipes__quick": "true"}, {"recipes__--out": "x"}, {"recipes__epochs": "1\n-x"}]
)
def test_a_form_of_a_recipe_takes_no_more_than_it_shows(site, given):
    with pytest.raises(_forms.FormError):
        start(site, order(kind="recipe", recipe="esc10_yamnet"), **given)
    assert not site.runs.exists()


@pytest.mark.parametrize("name", discover.names("recipes"))
def test_every_recipe_has_a_form(name):
    module = discover.module("recipes", name)
    for small, config in (("", module.Config()), (":quick", module.QUICK)):
        shown = {one.name: one.default for one in _forms.load_settings("recipes", name + small)}
        assert shown["seed"] == str(config.seed)
        assert not {"quick", "weights"} & {*shown}
        assert all(text == _forms._text(getattr(config, setting)) for setting, text in shown.items() if "." not in setting)


def test_settings_of_the_forms_train_a_model_and_tune_it(site):
    job = start(site, order(name="tiny run"), training__epochs="2", models__hidden_layers_size="[4]", models__dropout_rates="[0]")
    wait(lambda: job.state != "running", 120)
    assert (job.name, job.state) == ("tiny-run", "finished"), job.said
    assert [row["epoch"] for row in job.histories()[""]] == [1, 2]
    assert job.left(job.histories()) == 0
    told = str(train._watch(site, {"run": "tiny-run"}, None))
    assert "2 of 2" in told
    assert str(site.runs) not in told
    layers = _orders.freezable(site, "tiny-run/model")
    assert list(layers)[:2] == ["all", "none"]
    layer = list(layers)[2]
    tuned = start(site, order(kind="tune", tuned="tiny-run/model", freeze=layer), training__epochs="1")
    wait(lambda: tuned.state != "running", 120)
    assert (tuned.name, tuned.state) == ("tiny-run-tuned-synthetic-sounds", "finished"), tuned.said
    assert read_json(tuned.folder / "run.json", error=OSError)["freeze"] == layer


def test_a_recipe_runs_with_what_the_forms_say(site):
    chosen = order(kind="recipe", data={"synthetic_sounds": "synthetic-sounds"})
    job = start(site, chosen, recipes__clips="60", recipes__seconds="1.0", recipes__epochs="1", recipes__seed="0")
    wait(lambda: job.state != "running", 240)
    assert (job.name, job.state) == ("quickstart-quick", "finished"), job.said
    run = read_json(job.folder / "run.json", error=OSError)
    assert (run["settings"]["epochs"], run["settings"]["quick"]) == (1, True)
    assert run["data"]["synthetic_sounds"]["folder"] == str(site.source(None).path)
    told = str(train._watch(site, {"run": job.name}, None))
    assert all(f"run=quickstart-quick%2Fmodels%2F{task}" in told for task in ("classification", "tagging", "detection"))
