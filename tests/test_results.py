"""Results: the numbers of each task, pooling, intervals, mistakes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import segment
from dcasekit.results import Results, plain
from dcasekit.scores import Scores

LABELS = ("cat", "dog", '<b>&"owl"')


def classified(n=30, seed=0, prefix="clip", **settings):
    rng = np.random.default_rng(seed)
    truth = np.eye(3, dtype=np.float32)[np.arange(n) % 3]
    scores = tuple(Scores(rng.uniform(size=(4, 3)) + 0.15 * row, np.arange(5), LABELS) for row in truth)
    return Results("classification", LABELS, tuple(f"{prefix}{i}" for i in range(n)), truth, scores, **settings)


def tagged(n=40, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.uniform(size=(n, 3)) < 0.4).astype(np.float32)
    scores = tuple(Scores(row[None], [0, 4], LABELS) for row in np.clip(rng.uniform(size=(n, 3)) * 0.7 + 0.3 * truth, 0, 1))
    return Results("tagging", LABELS, tuple(f"clip{i}" for i in range(n)), truth, scores)


def detected():
    clips = ("a", "b", "c", "d")
    events = {"a": [Event(0, 2, "cat"), Event(3, 4, "dog")], "b": [Event(1, 3, "dog")], "c": [Event(0, 5.5, "cat")]}
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    values = np.zeros((4, 5, 3))
    values[0, :2, 0] = values[0, 4, 1] = values[1, 1:3, 1] = values[2, :, 1] = 0.9
    scores = tuple(Scores(each, np.arange(6), LABELS) for each in values)
    return Results("detection", LABELS, clips, truth, scores, events=events)


TASKS = [classified, tagged, detected]


def test_classification_pools_scores_over_time():
    results = classified()
    pooled = np.array([scores.values.mean(axis=0) for scores in results.scores])
    assert results.numbers["accuracy"] == (pooled.argmax(1) == results.truth.argmax(1)).mean()
    assert results.confusion.sum() == 30


@pytest.mark.parametrize("make", [classified, tagged])
def test_a_better_system_is_told_from_a_worse_one_on_the_same_clips(make):
    good = make(90)
    rng = np.random.default_rng(5)
    noise = [Scores(rng.uniform(size=(1, 3)), [0, 4], LABELS) for _ in good.clips]
    bad = replace(good, scores=tuple(noise))
    found = good.compare(bad)
    assert found.difference == pytest.approx(good.numbers[good.headline] - bad.numbers[good.headline])
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.p < 0.01
    assert bad.compare(good).difference == -found.difference
    assert bad.compare(good).p == pytest.approx(found.p, abs=0.005)


def test_a_detection_is_compared_by_its_segments():
    good = detected()
    silent = replace(good, scores=tuple(Scores(np.zeros((5, 3)), np.arange(6), LABELS) for _ in good.clips))
    assert good.compare(silent).difference == pytest.approx(good.numbers["f1/micro"])


def test_tagging_is_compared_by_ranks_so_another_scale_makes_no_difference():
    good = tagged()
    squeezed = replace(good, scores=tuple(Scores(scores.values / 9, [0, 4], LABELS) for scores in good.scores))
    found = good.compare(squeezed)
    assert (found.difference, found.p) == (0, 1)


def test_systems_on_other_clips_cannot_be_compared():
    for other in (classified(29), classified(prefix="other"), tagged(30)):
        with pytest.raises(MetricError, match="same clips"):
            classified().compare(other)


def test_detection_scores_segments_and_whole_clips():
    results = detected()
    reference = {clip: results.events.get(clip, []) for clip in results.clips}
    estimate = {
        "a": [Event(0, 2, "cat"), Event(4, 5, "dog")],
        "b": [Event(1, 3, "dog")],
        "c": [Event(0, 5, "dog")],
        "d": [],
    }
    settings = {"durations": {"a": 5.0, "b": 5.0, "c": 5.5, "d": 5.0}, "empty_output": "zero", "absent": "nan"}
    expected = segment.evaluate(reference, estimate, labels=LABELS, **settings)
    assert {key: results.numbers[key] for key in expected} == pytest.approx(expected, nan_ok=True)
    assert results.numbers["deletions"] == pytest.approx(2 / 11)  # the sixth segment of "c", behind the last frame, is missed
    assert results.numbers["clip/average_precision/cat"] == pytest.approx((1 + 2 / 4) / 2)
    assert results.confusion is None


def test_examples_go_from_the_worst_clip_to_the_best():
    examples = detected().examples(3)
    assert [example.clip for example in examples] == ["c", "a", "b"]  # "d" holds nothing
    assert [example.f1 for example in examples] == pytest.approx([0, 2 / 3, 1])
    assert classified().examples() == []


@pytest.mark.parametrize("make", TASKS)
def test_interval_holds_the_headline(make):
    results = make()
    low, high = results.interval
    assert 0 <= low <= results.numbers[results.headline] <= high <= 1
    assert low < high


@pytest.mark.parametrize("make", TASKS)
def test_resampling_every_clip_once_gives_the_headline(make):
    results = make()
    assert results._resample(np.ones((1, len(results.clips)))) == pytest.approx([results.numbers[results.headline]])


def test_groups_are_drawn_together():
    alone = classified(n=60)
    groups = tuple(f"recording{i // 20}" for i in range(60))
    assert np.diff(classified(n=60, groups=groups).interval) != np.diff(alone.interval)
    assert np.isnan(classified(n=6, groups=("one",) * 6).interval).all()
    assert classified(n=60, groups=("",) * 60).interval == alone.interval  # no name: a group of its own


@pytest.mark.parametrize("make", TASKS)
def test_everything_can_be_written_as_json(make):
    results = make()
    content = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert content["clips"] == len(results.clips)
    assert content["headline"]["value"] == pytest.approx(results.numbers[results.headline])
    assert [row["label"] for row in content["labels"]] == list(LABELS)
    assert f"{len(results.clips)} clips" in str(results)
    short = f"Results({results.task} of {len(results.labels)} labels, {len(results.clips)} clips: {results.headline} "
    assert re.fullmatch(re.escape(short) + r"\d\.\d{3}\)", repr(results))


def test_mistakes_are_sorted_by_confidence_and_know_their_audio():
    results = classified(paths=tuple(Path(f"{i}.wav") for i in range(30)))
    mistakes = results.mistakes(4)
    assert len(mistakes) == 4
    assert [m.confidence for m in mistakes] == sorted((m.confidence for m in mistakes), reverse=True)
    assert all(m.true != m.predicted and m.path == Path(f"{m.clip.removeprefix('clip')}.wav") for m in mistakes)
    assert len(results.mistakes(1000)) == 30 - np.trace(results.confusion)
    assert tagged().mistakes() == []


def test_pooled_is_one_test_set():
    first, second = classified(seed=1), classified(seed=2, prefix="other", groups=("g",) * 30)
    both = Results.pool([first, second])
    np.testing.assert_array_equal(both.confusion, first.confusion + second.confusion)
    assert both.groups == ("",) * 30 + ("g",) * 30
    assert Results.pool([first]) is first
    detection = Results.pool([detected(), detected()])
    assert detection.numbers == pytest.approx(detected().numbers, nan_ok=True)
    assert detection.to_dict()["independent_units"] == 4


def test_what_does_not_fit_together_is_refused():
    good = classified(n=3)
    parts = {"labels": LABELS, "clips": good.clips, "truth": good.truth, "scores": good.scores}
    for change, message in (
        ({"task": "guessing"}, "task must be"),
        ({"task": "detection"}, "reference events"),
        ({"truth": good.truth[:2]}, "shape"),
        ({"scores": good.scores[:2]}, "2 scores"),
        ({"paths": (Path("a.wav"),)}, "1 paths"),
        ({"labels": ("a", "b", "c")}, "other labels"),
    ):
        with pytest.raises(MetricError, match=message):
            Results(**{"task": "classification", **parts, **change})
    with pytest.raises(MetricError, match="pooled"):
        Results.pool([good, tagged()])
    with pytest.raises(MetricError, match="pooled"):
        Results.pool([])


def test_plain_knows_what_json_knows():
    assert plain({1: (np.float32(0.5), float("inf"), True, None, {"a"})}) == {"1": [0.5, None, True, None, ["a"]]}


def test_many_numbers_become_json_at_once(monkeypatch):
    """`to_dict` of 3,000 classes took 37 s: cell by cell through nine million of them."""
    calls = []
    whole = plain.__globals__["plain"]
    monkeypatch.setitem(plain.__globals__, "plain", lambda value: calls.append(1) or whole(value))
    matrix = np.arange(90_000).reshape(300, 300)
    found = plain({"confusion": matrix, "shares": np.array([[0.5, np.nan], [np.inf, 1]]), "yes": np.array([True])})
    assert found == {"confusion": matrix.tolist(), "shares": [[0.5, None], [None, 1]], "yes": [True]}
    assert len(calls) < 10
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("make", TASKS)
def test_results_as_a_frame_have_a_row_per_label(make):
    pytest.importorskip("pandas")
    results = make()
    frame = results.to_frame()
    assert frame["label"].tolist() == list(LABELS)
    assert frame["f1"].tolist() == pytest.approx([row["f1"] for row in results.table()], nan_ok=True)
