"""The recipe of the acoustic scene tutorial, on synthetic sounds, and what the specification says of the real ones."""

import json

import pytest

from dcasekit.containers.schedules import Moment, inverse_decay
from dcasekit.recipes import asc_tutorial


def test_the_tutorial_runs_and_is_better_than_chance(tmp_path, run_recipe):
    report = run_recipe(asc_tutorial, asc_tutorial.QUICK, {}, tmp_path)
    [section] = report.sections
    assert section.measures["accuracy/macro"] > 0.4  # chance: 0.1
    assert report.title == "The acoustic scene tutorial, on synthetic sounds"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The tutorial&#39;s page" in page
    assert "identifiers" in page
    history = json.loads((tmp_path / "report.json").read_text())["sections"][0]["histories"]["fold1"]
    assert {"loss", "val_loss", "accuracy", "val_accuracy", "seconds"} <= set(history[0])


def test_the_published_settings():
    config = asc_tutorial.Config()
    steps = -(-4134 // config.batch_size)
    assert steps == 259
    rates = [config.learning_rate * inverse_decay(Moment(steps * n, steps, config.epochs), decay=config.decay) for n in (1, 10, 50, 100)]
    assert [f"{rate:.3g}" for rate in rates] == ["0.000794", "0.000279", "7.17e-05", "3.72e-05"]
    assert config.best_from == 10 + 2  # epochs with a number from 0 that is larger than 10
    assert sum(value.value for value in asc_tutorial.PUBLISHED.values()) / 3 == pytest.approx(0.6117, abs=1e-3)


def test_tables_count_items_and_locations(tmp_path):
    from dcasekit.testing import make_dataset

    dataset = make_dataset("tut_urban_acoustic_scenes_2018", tmp_path, clips=240)
    scenes = asc_tutorial.count_scenes(dataset)
    assert scenes.rows[-1] == ("all", len(dataset.clips), len({clip.group for clip in dataset.clips}))
    split = dataset.validation_split(0.3, balance="identifier_two_level_hierarchy", seed=0)
    for scene, train, _, validation, _, items, locations in asc_tutorial.count_parts(dataset, split).rows[:-1]:
        clips = [clip for clip in (*split.train, *split.validation) if scene in clip.tags]
        places = {clip.group for clip in split.validation if scene in clip.tags}
        assert train + validation == len(clips)
        assert items == pytest.approx(100 * validation / len(clips), abs=0.05)
        assert locations == pytest.approx(100 * len(places) / len({clip.group for clip in clips}), abs=0.05)
