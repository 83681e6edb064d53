"""The recipe esc10_nested on synthetic sounds, and that no choice looks at the fold that is tested."""

import json
import os
from dataclasses import dataclass, replace

import numpy as np
import pytest

from dcasekit import load
from dcasekit.core.files import read_json
from dcasekit.errors import DatasetError
from dcasekit.recipes import _nested
from dcasekit.recipes import esc10_nested as recipe
from dcasekit.recipes._esc10_networks import FRONT_ENDS, Choice, Network, augmentations
from dcasekit.results import Results
from dcasekit.scores import Scores


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("nested")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield recipe.run(recipe.QUICK, {}, out), out


def answered(out):
    return {path: read_json(path, error=OSError) for path in (out / "networks").glob("*/answers.json")}


def test_sounds_are_told_apart_and_the_report_shows_choices_seeds_and_optimism(quick):
    report, out = quick
    [section] = report.sections
    assert section.measures["accuracy"] > 0.25  # chance: 0.1
    low, high = section.intervals["accuracy"]
    assert 0.1 < low < section.measures["accuracy"] < high
    assert report.title == "ESC-10 from scratch, nested choices, on synthetic sounds"
    page = (out / "report.html").read_text()
    assert section.measures["deviation_of_the_seeds"] >= 0
    assert section.measures["accuracy_of_all_seeds_together"] == pytest.approx(section.pooled.numbers["accuracy"])
    for told in ("optimism", "accuracy by the best epoch on the test fold", "Choices, on the other folds alone", "± deviation", "mixup"):
        assert told in page
    assert load(section.saved).labels == section.pooled.labels


def test_the_last_epoch_answers_and_the_best_one_on_the_test_fold_is_only_told(quick):
    report, out = quick
    watched = [each for each in answered(out).values() if each["facts"]["watched"]]
    assert len(watched) == 6, "three folds by two seeds"
    truth = {clip: np.argmax(row) for clip, row in zip(report.sections[0].pooled.clips, report.sections[0].pooled.truth, strict=True)}
    for each in watched:
        whole = each["clips"]["whole"]
        assert each["epochs"][-1] == pytest.approx(np.mean([np.argmax(row) == truth[clip] for clip, row in whole.items()]))
        assert len(each["epochs"]) == each["facts"]["epochs"]
    claimed, honest = (np.mean([pick(each["epochs"]) for each in watched]) for pick in (max, lambda epochs: epochs[-1]))
    measures = report.sections[0].measures
    assert measures["optimism"] == pytest.approx(claimed - honest)
    assert claimed > honest, "on so few clips some epoch is always better than the last"


def test_no_network_that_a_choice_was_made_with_saw_the_test_fold_or_its_judge(quick):
    _, out = quick
    judging = [each["facts"]["folds"] for each in answered(out).values() if not each["facts"]["watched"]]
    assert sorted(judging) == [[fold] for fold in ("fold1", "fold2", "fold3") for _ in range(2)], "one per pair of folds and candidate"


def test_a_second_run_trains_nothing_and_a_changed_setting_trains_anew(quick, monkeypatch):
    report, out = quick
    before = {path: path.stat().st_mtime_ns for path in answered(out)}
    again = recipe.run(recipe.QUICK, {}, out)
    assert {path: path.stat().st_mtime_ns for path in answered(out)} == before
    assert again.sections[0].measures == report.sections[0].measures
    monkeypatch.setitem(recipe.PLANS, "quick", recipe.Plan({"filters": ((4, 4, 4, 4),), "epochs": (1,)}))
    recipe.run(replace(recipe.QUICK, seeds=1), {}, out)
    assert len(answered(out)) == len(before) + 3


@dataclass(frozen=True)
class Picked:
    width: int = 0
    epochs: int = 0


CANDIDATES = {"width": (1, 2, 3), "epochs": (10, 20)}
FOLDS = ("a", "b", "c", "d")


def judge_by(taste, asked):
    def judge(trials):
        asked.extend(trials)
        return [taste[trial.judged].get(trial.choice.width, 0.0) + trial.choice.epochs / 1000 for trial in trials]

    return judge


def test_each_fold_takes_what_is_best_on_the_others_and_its_own_taste_counts_for_nothing():
    taste = {"a": {1: 1.0}, "b": {2: 0.5}, "c": {3: 0.4}, "d": {2: 0.1}}
    chosen, tried = _nested.choose(Picked(), CANDIDATES, FOLDS, judge_by(taste, asked := []))
    assert chosen == {"a": Picked(2, 20), "b": Picked(1, 20), "c": Picked(1, 20), "d": Picked(1, 20)}
    assert tried[0].numbers["a"] == pytest.approx([0.01, 0.01 + 0.6 / 3, 0.01 + 0.4 / 3])
    otherwise = {**taste, "a": {3: 99.0}}
    assert _nested.choose(Picked(), CANDIDATES, FOLDS, judge_by(otherwise, []))[0]["a"] == chosen["a"]
    assert all(trial.judged not in trial.trained and len(trial.trained) == 2 for trial in asked)
    assert len(asked) == len(set(asked)), "one trial was judged twice"


def test_of_equal_candidates_the_first_is_taken_and_what_has_no_alternative_is_not_tried():
    chosen, tried = _nested.choose(Picked(), {"width": (7,), "epochs": (5, 6)}, FOLDS, lambda trials: [0.5] * len(trials))
    assert set(chosen.values()) == {Picked(7, 5)}
    assert [one.setting for one in tried] == ["epochs"]


def test_two_folds_are_too_few_to_choose_on_others():
    with pytest.raises(DatasetError, match=r"three folds or more; there are: a, b"):
        _nested.choose(Picked(), CANDIDATES, FOLDS[:2], lambda trials: [])


def test_the_interval_of_several_seeds_is_over_clips_not_over_answers():
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 80)]

    def results(right):
        values = np.where(right[:, None], truth, 1 - truth)
        scores = tuple(Scores(row[None], [0.0, 1.0], ("x", "y")) for row in values)
        return Results("classification", ("x", "y"), tuple(map(str, range(80))), truth, scores, groups=("",) * 80)

    same = results(rng.random(80) < 0.8)
    once, three = (_nested.mean_accuracy({("a", seed): same for seed in range(count)}) for count in (1, 3))
    assert three[0] == once[0] == pytest.approx(same.numbers["accuracy"])
    assert three[2] == pytest.approx(once[2])
    assert three[1] == 0
    assert np.isnan(once[1])
    table = _nested.tabulate_seeds({("a", 0): same, ("a", 1): results(np.ones(80, bool)), ("b", 0): same, ("b", 1): same})
    assert [row[0] for row in table.rows] == ["seed 0", "seed 1", "mean", "± deviation"]
    assert table.rows[1][1] == "100.0 %"


def test_the_coarse_front_end_is_augmented_as_much_as_the_fine_one():
    network = Choice().networks(("fold1",), 0)[0]
    for name, scale in (("fine", 1), ("coarse", 2)):
        frames, dims = FRONT_ENDS[name].get_shape(5.0)[1:]
        assert (frames * scale, dims / scale) == (pytest.approx(430, abs=3), 64)
        x = np.full((4, frames, dims), -30, np.float32)
        y = np.eye(4, dtype=np.float32)
        for function in augmentations(replace(network, resolution=name), 256 // scale, scale):
            x, y = function(x, y, np.random.default_rng(0))
        assert x.shape == (4, 256 // scale, dims)
        assert np.isfinite(x).all()
    light = augmentations(replace(network, augmentation="light", mixing="mixup"), 8, 1)
    assert len(light) == 3


def test_networks_are_told_apart_by_all_that_is_chosen():
    both = Choice(resolutions=("fine", "coarse"), windows="dense").networks(("fold1",), 3, watched="fold2")
    assert [network.resolution for network in both] == ["fine", "coarse"]
    assert both[0] == Network((16, 32, 64, 128), "between_class", "strong", 0.0, 120, "fine", ("fold1",), 3, "fold2")
    assert json.dumps(recipe.PLANS["full"].candidates)  # every candidate is a JSON value, as the networks' records are
