"""Unknown truth (NaN, events of unknown times) and soft truth: left out, counted, hardened."""

from dataclasses import replace

import numpy as np
import pytest

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import calibration, classification, tagging, thresholds
from dcasekit.results import Results, scoring
from dcasekit.scores import Scores

LABELS = ("cat", "dog", "owl")
NAN = np.nan


def tags(clips=60, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.uniform(size=(clips, 3)) < 0.4).astype(float)
    return truth, np.clip(rng.uniform(size=truth.shape) * 0.7 + 0.3 * truth, 0, 1)


def test_an_unknown_entry_is_as_if_the_clip_were_not_there_for_that_label():
    truth, scores = tags()
    holes = np.random.default_rng(1).uniform(size=truth.shape) < 0.3
    weights = np.random.default_rng(2).integers(3, size=(4, len(truth)))
    unknown = np.where(holes, NAN, truth)
    for function in (tagging.average_precision, tagging.auc):
        for label in range(3):
            rows = ~holes[:, label]
            alone = function(truth[rows][:, [label]], scores[rows][:, [label]], weights=weights[:, rows])[:, 0]
            assert function(unknown, scores, weights=weights)[:, label] == pytest.approx(alone)
    numbers = tagging.evaluate(unknown, scores, labels=LABELS)
    found = thresholds.best_f1(unknown, scores, labels=LABELS)
    precise = thresholds.for_precision(unknown, scores, labels=LABELS, precision=0.8)
    for label, name in enumerate(LABELS):
        part = [array[~holes[:, label]][:, [label]] for array in (truth, scores)]
        expected = tagging.evaluate(*part, labels=[name])
        assert numbers[f"f1/{name}"] == expected[f"f1/{name}"]
        assert numbers[f"precision/{name}"] == expected[f"precision/{name}"]
        assert found[name] == thresholds.best_f1(*part, labels=[name])[name]
        assert precise[name] == thresholds.for_precision(*part, labels=[name], precision=0.8)[name]
        assert calibration.brier(unknown, scores)[label] == pytest.approx(calibration.brier(*part)[0])
        curve = calibration.reliability(unknown[:, label], scores[:, label])
        assert curve.expected_error == calibration.reliability(*part).expected_error


def test_lwlrap_ranks_the_known_labels_alone():
    truth, scores = [[1, NAN, 0, 0], [NAN, NAN, NAN, NAN]], [[0.3, 0.9, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4]]
    assert tagging.lwlrap(truth, scores) == 0.5  # second of the three that are known
    values = tagging.ranking(truth, scores)
    assert values["label_ranking_average_precision"] == pytest.approx([0.5, NAN], nan_ok=True)
    assert values["coverage_error"] == pytest.approx([2, NAN], nan_ok=True)
    assert values["ranking_loss"] == pytest.approx([0.5, NAN], nan_ok=True)


def test_a_clip_of_unknown_class_is_left_out_of_a_classification():
    truth, scores = [[1, 0], [0, 1], [NAN, NAN], [0, NAN], [1, NAN]], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.6, 0.4]]
    kept = [0, 1, 4]
    known = [[1, 0], [0, 1], [1, 0]], [scores[i] for i in kept]
    assert classification.confusion(truth, scores).tolist() == classification.confusion(*known).tolist() == [[2, 0], [1, 0]]
    assert classification.evaluate(truth, scores, labels=("a", "b"))["accuracy"] == 2 / 3
    assert classification.top_k_accuracy(truth, scores, k=1) == 2 / 3
    assert classification.log_loss(truth, scores) == pytest.approx(classification.log_loss(*known))
    nothing = classification.evaluate([[NAN, 0]], [[0.5, 0.5]], labels=("a", "b"))
    assert np.isnan(nothing["accuracy"])
    with pytest.raises(MetricError, match="clip 1 has"):
        classification.confusion([[NAN, NAN], [1, 1]], [[0.5, 0.5]] * 2)


def test_nothing_known_is_nan_and_no_error():
    truth, scores = np.full((3, 2), NAN), np.full((3, 2), 0.5)
    assert np.isnan(list(tagging.evaluate(truth, scores, labels=("a", "b")).values())).all()
    for spacing in ("width", "mass"):
        assert np.isnan(list(calibration.evaluate(truth, scores, labels=("a", "b"), spacing=spacing).values())).all()
    with pytest.raises(MetricError, match="clip 1 holds infinity"):
        tagging.evaluate([[0, 1], [np.inf, 0]], scores[:2], labels=("a", "b"))
    with pytest.raises(MetricError, match="scores must be finite; clip 0"):
        tagging.evaluate([[0, 1]], [[np.inf, 0]], labels=("a", "b"))


@pytest.mark.parametrize("value", [0.5, np.nextafter(0.5, 0)])
def test_a_soft_tag_is_there_above_one_half(value):
    truth, scores = [[value], [np.nextafter(0.5, 1)]], [[0.9], [0.1]]
    assert tagging.average_precision(truth, scores) == [0.5]
    assert thresholds.best_f1(truth, scores, labels=("x",))["x"] == -np.inf
    assert calibration.reliability(truth, scores, bins=1).frequency == [0.5]


# ---- results


def scored(truth, task="tagging", **settings):
    truth = np.asarray(truth, dtype=np.float32)
    rng = np.random.default_rng(0)
    scores = tuple(Scores(rng.uniform(size=(1, 3)) + 0.5 * np.nan_to_num(row), [0, 4], LABELS) for row in truth)
    return Results(task, LABELS, tuple(f"clip{i}" for i in range(len(truth))), truth, scores, **settings)


def test_results_leave_unknown_tags_out_and_count_them():
    truth = tags()[0]
    unknown = truth.copy()
    unknown[::3, 1], unknown[-2:] = NAN, NAN
    results = scored(unknown)
    assert results.left_out == {"clips": 2, "labels": 26, "events": 0, "cut": 0}
    assert results.to_dict()["left_out"] == results.left_out
    assert "left out: 2 clips whose labels are unknown, 26 unknown labels of clips" in str(results)
    assert "left out" not in str(scored(truth))
    assert results.table()[1]["clips"] == np.nansum(unknown[:, 1])
    low, high = results.interval
    assert low < results.numbers[results.headline] < high
    assert results.to_dict()["independent_units"] == 58
    assert results.compare(results).difference == 0


def test_results_leave_clips_of_unknown_class_out():
    truth = np.eye(3)[np.arange(30) % 3]
    unknown = np.concatenate([truth, np.full((20, 3), NAN)])
    with_unknown, without = scored(unknown, "classification"), scored(truth, "classification")
    assert with_unknown.numbers == without.numbers
    assert with_unknown.interval == without.interval
    assert with_unknown.mistakes(50) == without.mistakes(50)
    assert with_unknown.left_out["clips"] == 20


def detection(events, values, threshold=0.5, **settings):
    """One-second frames; truth from the events where they are known, else nothing is known."""
    clips = tuple(events)
    truth = np.array(
        [
            [NAN] * 3 if found is None else [max((e.weight for e in found if e.label == label), default=0) for label in LABELS]
            for found in events.values()
        ]
    )
    scores = tuple(Scores(values[clip], np.arange(len(values[clip]) + 1.0), LABELS) for clip in clips)
    return Results("detection", LABELS, clips, truth, scores, events=events, threshold=threshold, **settings)


def roll(*spans, seconds=10):
    values = np.zeros((seconds, 3))
    for first, last, label, value in spans:
        values[first:last, LABELS.index(label)] = value
    return values


def test_a_clip_whose_times_are_unknown_is_in_no_number_of_segments():
    events = {"a": [Event(1, 3, "dog")], "b": None, "c": []}
    values = {"a": roll((1, 3, "dog", 1)), "b": roll((0, 10, "cat", 1)), "c": roll()}
    results = detection(events, values)
    assert results.headline == "f1/micro"
    assert results.numbers["f1/micro"] == 1  # silence in "b" would have made ten false alarms of cat
    assert results.left_out == {"clips": 1, "labels": 3, "events": 0, "cut": 0}
    assert [example.clip for example in results.examples()] == ["a"]
    assert results.psd_roc().area == 1
    assert results.numbers == pytest.approx(detection({c: events[c] for c in "ac"}, values).numbers, nan_ok=True)


def test_weak_clips_alone_are_judged_by_their_tags_never_by_silence():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]])
    clips = tuple("abcd")
    make = lambda values: Results(  # noqa: E731
        "detection", LABELS, clips, truth, tuple(Scores(each, [0, 1, 2], LABELS) for each in values), events=dict.fromkeys(clips)
    )
    good = make([np.outer([0.1, 0.9], row) for row in truth])
    silent = make([np.zeros((2, 3)) for _ in truth])
    assert good.headline == silent.headline == "clip/average_precision/macro"
    assert good.numbers[good.headline] == 1 > silent.numbers[silent.headline]
    assert np.isnan(good.numbers["f1/micro"])
    assert good.left_out["clips"] == 0
    assert good.to_dict()["headline"]["name"] == "clip/average_precision/macro"
    assert good.compare(silent).difference > 0
    assert good.examples() == []
    assert "clip/average_precision/macro 1.000" in str(good)
    with pytest.raises(MetricError, match="no clip's are"):
        good.psd_roc()


def test_exact_soft_answers_are_right():
    """MAESTRO's labels are shares of annotators for each second; a system that answers them exactly made F1 0.269."""
    rng = np.random.default_rng(0)
    shares = {f"{i}": rng.choice([0, 0.2, 0.4, 0.6, 0.8, 1.0], size=(60, 3), p=[0.6, 0.12, 0.1, 0.08, 0.05, 0.05]) for i in range(10)}
    events = {
        clip: [Event(t, t + 1, LABELS[k], values[t, k]) for t in range(60) for k in range(3) if values[t, k]]
        for clip, values in shares.items()
    }
    results = detection(events, shares)
    assert results.numbers["f1/micro"] == results.numbers["f1/macro"] == 1
    assert results.left_out["events"] == sum(event.weight <= 0.5 for found in events.values() for event in found) > 0


@pytest.mark.parametrize(("weight", "f1"), [(0.0, 0.0), (0.5, 0.0), (0.51, 1.0)])
def test_an_event_of_weight_one_half_or_less_is_none(weight, f1):
    events = {"a": [Event(0, 2, "dog"), Event(5, 7, "cat", weight)]}
    results = detection(events, {"a": roll((0, 2, "dog", 1), (5, 7, "cat", 1))})
    numbers = results.numbers
    assert results.left_out["events"] == (not f1)
    assert scoring.Material(events, LABELS, {}).left_out["events"] == (not f1)
    assert np.nan_to_num(numbers["f1/cat"]) == f1
    assert numbers["insertions"] == (0 if f1 else 1)


def test_results_end_with_the_clip_not_with_the_last_frame():
    """Frames of 20 ms that end at 10.02 s, of a clip of 10 s: there is no eleventh segment."""
    edges, values = np.arange(502) * 0.02, np.zeros((501, 3))
    values[400:, 1] = 1
    scores = (Scores(values, edges, LABELS),)
    results = Results("detection", LABELS, ("a",), np.array([[0, 1, 0]]), scores, events={"a": [Event(8, 10, "dog")]})
    assert results.numbers["f1/micro"] < 1
    cut = replace(results, durations=(10.0,))
    assert cut.numbers["f1/micro"] == cut.numbers["accuracy"] == 1
    late = replace(cut, events={"a": [Event(8, 12, "dog")]})
    assert late.numbers["f1/micro"] == 1
    assert late.left_out["cut"] == 1
    assert Results.pool([cut, replace(cut, clips=("b",), events={"b": []})]).durations == (10.0, 10.0)


@pytest.mark.parametrize(("offset", "cut"), [(10.0, 0), (10 + 1e-6, 0), (10 + 3e-6, 1)])
def test_what_reaches_behind_the_end_is_counted(offset, cut):
    events = {"a": [Event(1, offset, "dog"), Event(1, offset, "cat", 0.5)]}
    assert detection(events, {"a": roll()}, durations=(10.0,)).left_out["cut"] == cut
    assert scoring.Material(events, LABELS, {}, durations={"a": 10.0}).left_out["cut"] == cut
    assert scoring.Material(events, ("owl",), {}, durations={"a": 10.0}).left_out == {"other": 2, "events": 0, "cut": 0}


def test_results_refuse_what_does_not_fit():
    good = detection({"a": [Event(1, 3, "dog")]}, {"a": roll()})
    with pytest.raises(MetricError, match="clip a has events of label 'cow'; the labels are: cat, dog, owl"):
        replace(good, events={"a": [Event(1, 3, "cow")]})
    with pytest.raises(MetricError, match="1 clips but 2 durations"):
        replace(good, durations=(1.0, 2.0))
    with pytest.raises(MetricError, match="clip a: its duration must be seconds > 0, got 0"):
        replace(good, durations=(0,))
