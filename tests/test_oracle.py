"""The law of all metrics: an oracle, a system that answers the truth, gets 1 from each; as events, and as scores over time."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit.annotations import Event, events_to_roll, harden, read_events
from dcasekit.errors import DcasekitError
from dcasekit.metrics import calibration, classification, event, intersection, segment, tagging, thresholds
from dcasekit.results import Results, scoring
from dcasekit.results.scoring import METRICS, Material
from dcasekit.scores import Scores, to_events

LABELS = ("cat", "dog", "never", "owl")
STEP = 0.05


def reference(seed, clips=6):
    """Random references, all times on a grid of 50 ms: touching and overlapping events, points, soft ones, some behind the clip's end."""
    rng = np.random.default_rng(seed)
    found, durations = {}, {}
    for clip in range(clips):
        duration = round(float(rng.choice([10.0, 9.7, 3.25, 0.85])), 2)
        events = []
        for label in ("cat", "dog", "owl"):
            at = 0
            while rng.random() < 0.8:
                # With 0 between them they touch; a point needs a frame between it and its neighbours to be told from them.
                length = int(rng.choice([0, 1, 2, 7, 23, 60]))
                at += int(rng.choice([2, 5, 30])) if length == 0 or at == 0 or rng.random() < 0.6 else 0
                weight = float(rng.choice([1.0, 1.0, 0.75, 0.5, 0.25, 0.0]))
                events.append(Event(round(at * STEP, 2), round((at + length) * STEP, 2), label, weight))
                if length > 2 and rng.random() < 0.3:
                    events.append(Event(round((at + 1) * STEP, 2), round((at + length + 2) * STEP, 2), label))
                    length += 2
                at += length + (2 if length == 0 else 0)
            if rng.random() < 0.2:
                events.append(Event(duration, duration, label))
        found[f"clip{clip}"] = [events[i] for i in rng.permutation(len(events))]
        durations[f"clip{clip}"] = duration
    found["clip0"] += [Event(0.2, 0.4, "cat")]
    durations["silent"], found["silent"] = 5.0, []
    return found, durations


def oracle(true, durations):
    """Frames of 50 ms that end with the clip, 1 where an event sounds."""
    scores = {}
    for clip, events in true.items():
        edges = np.arange(round(durations[clip] / STEP) + 1) * STEP
        scores[clip] = Scores(events_to_roll(harden(events), LABELS, edges), edges, LABELS)
    return scores


def wrong(numbers, best=1.0):
    return {key: value for key, value in numbers.items() if not math.isnan(value) and abs(value - best) > 1e-9}


def judge(name, material):
    found = scoring.score(name, material)
    best = 0.0 if "error_rate" in name else 1.0
    assert found.value == pytest.approx(best, abs=1e-9), name
    kind = found.headline.partition("/")[0]
    assert not wrong({key: value for key, value in found.numbers.items() if key.startswith(f"{kind}/")}, best), name


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_truth_gets_1(name, seed):
    true, durations = reference(seed)
    scores = oracle(true, durations)
    judge(name, Material(true, LABELS, {clip: to_events(each) for clip, each in scores.items()}, scores, durations))
    if METRICS[name].needs == "events":
        judge(name, Material(true, LABELS, {clip: harden(events) for clip, events in true.items()}, None, durations))
        judge(name, Material(true, LABELS, {clip: harden(events) for clip, events in true.items()}))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_results_give_the_truth_1(seed):
    true, durations = reference(seed)
    scores = oracle(true, durations)
    truth = np.array([each.values.max(axis=0) for each in scores.values()])
    results = Results("detection", LABELS, tuple(true), truth, tuple(scores.values()), events=true, durations=tuple(durations.values()))
    shares = ("f1", "precision", "recall", "accuracy", "sensitivity", "specificity", "balanced", "clip/")
    judged = {key: value for key, value in results.numbers.items() if key.startswith(shares) and "d_prime" not in key}
    assert not wrong(judged)
    assert not wrong({key: results.numbers[key] for key in ("error_rate/micro", "substitutions", "insertions", "deletions")}, 0.0)
    assert results.psd_roc().area == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), resolution=st.sampled_from([0.1, 0.25, 1.0]), hop=st.sampled_from([0.02, 0.05, 0.25]))
def test_frames_behind_the_end_of_a_clip_are_cut(seed, resolution, hop):
    """A centred transform answers for a frame behind the end: 10.02 s of a clip of 10 s."""
    true, durations = reference(seed)
    true = {clip: [one for one in events if one.offset == one.onset or one.offset - one.onset >= 0.25] for clip, events in true.items()}
    for each in (oracle(true, durations),):
        longer = {
            clip: Scores(np.concatenate([one.values, one.values[-1:]]), np.append(one.edges, one.edges[-1] + hop), LABELS)
            for clip, one in each.items()
        }
        for name, own in (("segment_f1", {"resolution": resolution}), ("best_segment_f1", {"resolution": resolution}), ("psds1", {})):
            short, long = (
                scoring.score(name, Material(true, LABELS, {clip: to_events(s) for clip, s in some.items()}, some, durations), settings=own)
                for some in (each, longer)
            )
            assert short.numbers == pytest.approx(long.numbers, nan_ok=True)
            assert math.isnan(short.value) or short.value == 1


DATA = os.environ.get("DCASEKIT_DATA")


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="set DCASEKIT_DATA to a folder that holds metadata/dcase2018_task4")
@pytest.mark.parametrize("last", [10.0, 10.02])
@pytest.mark.parametrize("name", [*METRICS, "results"])
def test_the_truth_gets_1_on_the_real_test_set_of_2018(name, last):
    """Frames of 20 ms, a last one of which may lie behind the end: micro F1 of the truth was 0.968 in segments of 1 s."""
    true = read_events(Path(DATA or ".") / "metadata/dcase2018_task4/test/test.csv")
    labels = tuple(sorted({one.label for events in true.values() for one in events}))
    edges = np.append(np.arange(round(last * 50)) * 0.02, last)
    scores = {clip: Scores(events_to_roll(events, labels, edges), edges, labels) for clip, events in true.items()}
    durations = dict.fromkeys(true, 10.0)
    if name == "results":
        truth = np.array([each.values.max(axis=0) for each in scores.values()])
        settings = {"events": true, "durations": tuple(durations.values())}
        found = Results("detection", labels, tuple(true), truth, tuple(scores.values()), **settings).numbers["f1/micro"]
    else:
        estimate = {clip: to_events(each) for clip, each in scores.items()}
        found = scoring.score(name, Material(true, labels, estimate, scores, durations)).value
    assert found == pytest.approx(0.0 if "error_rate" in name else 1.0, abs=1e-9)


# ---- points, in each metric

CLIP = {"a": 10.0}


def one_frame(at, hop=0.5, value=1.0):
    values = np.zeros((round(10 / hop), 1))
    values[int(at / hop + 1e-6)] = value
    return {"a": Scores(values, np.arange(len(values) + 1) * hop, ("x",))}


@pytest.mark.parametrize("at", [0.0, 0.3, 3.0, 9.99, 0.6, 4.7])
@pytest.mark.parametrize("resolution", [1.0, 0.1])
def test_a_point_is_on_in_the_one_segment_that_holds_it(at, resolution):
    counts = segment.counts({"a": [Event(at, at, "x")]}, {"a": []}, labels=("x",), resolution=resolution, durations=CLIP)
    assert counts.reference.sum() == 1
    first = int((at + 1e-6) / resolution)
    middle = (first + 0.5) * resolution
    hit = segment.counts({"a": [Event(at, at, "x")]}, {"a": [Event(middle, middle, "x")]}, labels=("x",), resolution=resolution)
    assert hit.hits.sum() == 1
    best = segment.best_f1({"a": [Event(at, at, "x")]}, one_frame(at, hop=resolution), CLIP, resolution=resolution)
    assert best["f1/x"] == 1


def test_a_point_at_the_end_of_its_clip_is_behind_it():
    true = {"a": [Event(10.0, 10.0, "x"), Event(2, 3, "x")]}
    found = {"a": [Event(2, 3, "x")]}
    for function in (segment.evaluate, event.evaluate, intersection.f1):
        assert function(true, found, labels=("x",), durations=CLIP)["f1/x"] == 1
        assert function(true, found, labels=("x",))["f1/x"] < 1


@pytest.mark.parametrize(
    ("detection", "hit"),
    [
        (Event(4, 6, "x"), True),
        (Event(5, 6, "x"), True),  # half-open: it begins there
        (Event(4, 5, "x"), False),  # and ends before
        (Event(5, 5, "x"), True),
        (Event(5 + 5e-7, 5 + 5e-7, "x"), True),  # times closer than 1e-6 are equal
        (Event(5.1, 5.1, "x"), False),
        (Event(4, 6, "y"), False),
    ],
)
def test_a_detection_holds_a_point_or_not(detection, hit):
    numbers = intersection.f1({"a": [Event(5, 5, "x")]}, {"a": [detection]}, labels=("x", "y"))
    assert numbers["recall/x"] == hit
    assert np.nan_to_num(numbers[f"precision/{detection.label}"]) == hit


def test_a_detected_point_is_right_inside_a_reference_event():
    numbers = intersection.f1({"a": [Event(4, 6, "x")]}, {"a": [Event(4, 6, "x"), Event(8, 8, "x")]}, labels=("x",))
    assert (numbers["precision/x"], numbers["recall/x"]) == (0.5, 1)
    alone = intersection.counts({"a": [Event(4, 6, "x")]}, {"a": [Event(5, 5, "x")]}, labels=("x",))
    assert (alone.hits.sum(), alone.estimate.sum()) == (0, 0)  # no false alarm, and nothing is covered


def test_what_holds_a_point_is_no_false_alarm_and_covers_no_other_event():
    true = {"a": [Event(2, 2, "x"), Event(8, 9, "x")]}
    always = {"a": [Event(0, 10, "x")]}
    counts = intersection.counts(true, always, labels=("x",))
    assert (counts.hits.sum(), counts.reference.sum(), counts.estimate.sum()) == (1, 2, 1)
    scores = {"a": Scores([[0.9]] * 10, range(11), ("x",))}
    best = intersection.best_f1(true, scores, CLIP)
    assert (best["recall/x"], best["precision/x"]) == (0.5, 1)


@given(seed=st.integers(0, 10**6))
def test_points_are_counted_alike_of_events_and_of_scores(seed):
    rng = np.random.default_rng(seed)
    true = {"a": [Event(t, t, "x") for t in rng.choice(40, 3, replace=False) / 4] + [Event(3.1, 4.4, "x"), Event(1.5, 2.5, "y")]}
    scores = {"a": Scores(rng.integers(0, 4, size=(20, 2)) / 4, np.arange(21) / 2, ("x", "y"))}
    best = intersection.best_f1(true, scores, CLIP)
    tried = [
        intersection.f1(true, {"a": to_events(scores["a"], threshold=threshold)}, labels=("x", "y"))
        for threshold in (-0.1, 0.1, 0.3, 0.6, 0.9)
    ]
    for label in ("x", "y"):
        assert best[f"f1/{label}"] == pytest.approx(max(np.nan_to_num(each[f"f1/{label}"]) for each in tried))


# ---- what is evaluated


@pytest.mark.parametrize("function", [segment.evaluate, event.evaluate, intersection.f1])
def test_other_labels_are_left_out_as_if_they_were_not_there(function):
    true = {"a": [Event(0, 2, "dog"), Event(3, 5, "cat")], "b": [Event(1, 2, "cat")]}
    found = {"a": [Event(0, 2, "dog"), Event(6, 7, "cow")], "b": [Event(1, 2, "dog")]}
    only = [{clip: [one for one in events if one.label == "dog"] for clip, events in each.items()} for each in (true, found)]
    assert function(true, found, labels=("dog",)) == pytest.approx(function(*only, labels=("dog",)), nan_ok=True)


@pytest.mark.parametrize(("weight", "there"), [(0.0, 0), (0.5, 0), (math.nextafter(0.5, 1), 1)])
def test_soft_references_are_hardened_and_soft_estimates_are_not(weight, there):
    soft, hard = {"a": [Event(0, 2, "x", weight)]}, {"a": [Event(0, 2, "x")]}
    for counts in (segment.counts, event.counts, intersection.counts):
        assert (counts(soft, hard, labels=("x",)).reference.sum() > 0) == there
        assert (counts(hard, soft, labels=("x",)).hits.sum() > 0) == (weight > 0)


def test_events_and_scores_end_with_their_clip():
    true, found = {"a": [Event(8, 12, "x"), Event(11, 12, "x")]}, {"a": [Event(8, 10, "x"), Event(10, 12, "x")]}
    for function in (segment.evaluate, event.evaluate, intersection.f1):
        assert function(true, found, labels=("x",), durations=CLIP)["f1/x"] == 1


@pytest.mark.parametrize(("length", "covered"), [(1e-6, False), (9e-7, True)])
def test_an_event_of_a_microsecond_is_none_without_length(length, covered):
    """It is to be covered, by its share, and a detection of a second is none of it."""
    numbers = intersection.f1({"a": [Event(0, length, "x")]}, {"a": [Event(0, 1, "x")]}, labels=("x",))
    assert numbers["precision/x"] == covered


@pytest.mark.parametrize(("before", "there"), [(0.0, 0), (1e-6, 0), (2e-6, 1)])
def test_what_begins_at_the_end_of_a_clip_is_behind_it(before, there):
    for counts in (segment.counts, event.counts, intersection.counts):
        assert counts({"a": [Event(10 - before, 11, "x")]}, {}, labels=("x",), durations=CLIP).reference.sum() == there


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_estimate_is_without_a_number(bad):
    """Where they are made, or where arrays are given."""
    with pytest.raises(DcasekitError, match="onset"):
        Event(bad, 1, "x")
    with pytest.raises(DcasekitError, match="weight"):
        Event(0, 1, "x", bad)
    with pytest.raises(DcasekitError, match="finite"):
        Scores([[bad]], [0, 1], ("x",))
    with pytest.raises(DcasekitError, match="finite"):
        Scores([[0.5]], [0, bad], ("x",))
    arrays = [[1.0, 0.0]], [[bad, 0.5]]
    for function in (
        classification.confusion,
        classification.log_loss,
        tagging.average_precision,
        tagging.auc,
        tagging.lwlrap,
        tagging.ranking,
        calibration.brier,
        calibration.reliability,
        calibration.top_label,
    ):
        with pytest.raises(DcasekitError, match="scores must be finite"):
            function(*arrays)
    for function, more in ((thresholds.best_f1, {}), (thresholds.for_precision, {"precision": 0.5}), (tagging.evaluate, {})):
        with pytest.raises(DcasekitError, match="scores must be finite"):
            function(*arrays, labels=("x", "y"), **more)
    good = {"a": Scores([[0.5]], [0, 1], ("x",))}
    for function in (segment.best_f1, event.best_f1, intersection.best_f1, segment.auroc):
        with pytest.raises(DcasekitError, match="duration"):
            function({"a": []}, good, {"a": bad})
