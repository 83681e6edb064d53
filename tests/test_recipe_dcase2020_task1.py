"""The recipe of DCASE 2020 task 1A, on synthetic sounds and without OpenL3's weights."""

from dataclasses import replace

import pytest

from dcasekit import load
from dcasekit.errors import DcasekitError
from dcasekit.models import MLP
from dcasekit.recipes import dcase2020_task1 as recipe


def test_scenes_are_told_apart_and_the_report_says_that_there_is_no_openl3(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    [section] = report.sections
    assert section.measures["accuracy/macro"] > 0.5  # chance: 0.1
    assert report.title == "DCASE 2020 task 1A, mel bands in place of OpenL3 embeddings, on synthetic sounds"
    assert "says nothing about OpenL3" in section.notes[0]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Baseline of the challenge" in page
    assert "54.1 %" in page
    model = load(tmp_path / "model")
    assert model.pooling == "autopool"
    assert model.weights()["pool.auto.alpha"].shape == (10,)


def test_the_published_settings():
    config = recipe.Config()
    features = recipe.front_end(config)
    assert (features.content, features.input_repr, features.embedding_size, features.audio_hop) == ("music", "mel256", 512, 4800)
    windows, frames, dims = features.get_shape(10.0)
    assert (windows, dims) == (1, 512), "a clip is one window"
    assert frames == 100
    model = MLP(hidden_layers_size=config.hidden, dropout_rates=(0.0, 0.0), pooling=config.pooling).build((frames, dims), "abcdefghij")
    assert model.cost()["parameters"] == 512 * 513 + 128 * 513 + 10 * 129 + 10  # AutoPool: one number per scene
    low, high = recipe.BANDS["accuracy/macro"]
    assert low < recipe.PUBLISHED["Baseline of the challenge"].value < high


def test_without_weights_the_recipe_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path / "cache"))
    config = replace(recipe.QUICK, embedding="openl3", clips=60)
    with pytest.raises(DcasekitError, match=r"download\(\)"):
        recipe.run(config, {}, tmp_path)
