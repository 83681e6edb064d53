"""The recipe esc10_yamnet, on synthetic sounds and without YAMNet's weights; `make crosscheck` runs it with them on the real clips."""

from dataclasses import replace

import pytest

from dcasekit import load
from dcasekit.errors import DcasekitError
from dcasekit.recipes import esc10_yamnet as recipe


def test_sounds_are_told_apart_and_the_report_says_that_there_is_no_yamnet(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    [section] = report.sections
    assert section.pooled.numbers["accuracy"] > 0.5  # chance: 0.1
    assert report.title == "ESC-10 by a linear model on mel bands in place of YAMNet, on synthetic sounds"
    assert "says nothing about YAMNet" in section.notes[0]
    assert load(tmp_path / "models" / "fold1").statistics == ["mean", "max"]


def test_a_clip_is_one_window_of_published_patches():
    assert recipe.front_end(recipe.Config()).get_shape(5.0) == (1, 10, 1024)


def test_without_weights_the_recipe_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DcasekitError, match=r"download\(\)"):
        recipe.run(replace(recipe.QUICK, embedding="yamnet"), {}, tmp_path)
