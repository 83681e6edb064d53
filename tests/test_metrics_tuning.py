"""Settings of chains chosen per label."""

import itertools

import numpy as np
import pytest

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics.psds import PSDS1, psds
from dcasekit.metrics.tuning import best_psds
from dcasekit.scores import Scores, median_filter
from dcasekit.scores.postprocessing import csebbs, csebbs_scores

LABELS = ("dog", "cat", "mute")


def material(seed=0, clips=12):
    """Long cats with gaps, short dogs among clicks; nobody is mute."""
    rng = np.random.default_rng(seed)
    reference, scores = {}, {}
    for number in range(clips):
        values = rng.random((100, 3)) * 0.2
        dog, cat = rng.integers(5, 20), rng.integers(40, 50)
        values[dog : dog + 3, 0] += 0.6
        values[cat : cat + 30, 1] += 0.6
        values[cat + 4 : cat + 30 : 5, 1] = 0.1
        values[rng.integers(80, 100), 1] = 0.95
        reference[str(number)] = [Event(dog / 10, (dog + 3) / 10, "dog"), Event(cat / 10, (cat + 30) / 10, "cat")]
        scores[str(number)] = Scores(values, np.arange(101) / 10, LABELS)
    return reference, scores, dict.fromkeys(reference, 10.0)


def test_each_label_gets_what_is_best_for_it():
    """Compared one by one; a label that never sounds gets what is best for the others."""
    data = material()
    grid = [1, 3, 9, 15]
    found = best_psds(*data, median_filter, {"frames": grid})["frames"]
    reference, scores, durations = data

    def areas(frames):
        smoothed = {clip: median_filter(each, frames=frames) for clip, each in scores.items()}
        return psds(reference, smoothed, durations, **PSDS1)

    each = {frames: areas(frames) for frames in grid}
    for label in ("dog", "cat"):
        assert found[label] == max(grid, key=lambda frames: each[frames][f"psds/{label}"])
    assert found["dog"] < found["cat"]
    assert found["mute"] == max(grid, key=lambda frames: each[frames]["psds/dog"] + each[frames]["psds/cat"])
    chosen = areas(found)
    assert all(chosen[f"psds/{label}"] == max(one[f"psds/{label}"] for one in each.values()) for label in ("dog", "cat"))


def test_several_settings_are_chosen_together_and_the_first_of_equal_ones_stays():
    grid = {"step_filter_length": (0.2, 0.6), "merge_threshold_abs": (0.0, 1.0), "merge_threshold_rel": (1.0, 100.0)}
    reference, scores, durations = material()
    found = best_psds(reference, scores, durations, csebbs_scores, grid)
    assert found.keys() == grid.keys()

    def areas(settings):
        return psds(reference, {clip: csebbs_scores(each, **settings) for clip, each in scores.items()}, durations, **PSDS1)

    each = [areas(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]
    assert areas(found)["psds/cat"] == max(one["psds/cat"] for one in each) > min(one["psds/cat"] for one in each)
    assert areas(found)["psds/dog"] == max(one["psds/dog"] for one in each)
    assert best_psds(*material(), median_filter, {"frames": (3, 3), "pad": ("zero",)})["pad"] == dict.fromkeys(LABELS, "zero")


def test_a_grid_without_anything_is_refused():
    for grid in ({}, {"frames": ()}):
        with pytest.raises(MetricError, match="nothing to choose from"):
            best_psds(*material(), median_filter, grid)


def test_boxes_as_scores_are_the_boxes():
    _, scores, _ = material(clips=1)
    one = csebbs_scores(scores["0"], step_filter_length=0.5)
    expected = csebbs(scores["0"], step_filter_length=0.5)
    assert sorted({round(box.weight, 6) for box in expected}) == sorted({round(value, 6) for value in one.values.ravel().tolist()} - {0.0})
