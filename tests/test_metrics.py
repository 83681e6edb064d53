"""Metrics: hand cases, scikit-learn as oracle, laws."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import bootstrap, classification, segment, tagging

LABELS = ("x", "y", "z")


def events(text):
    found = {}
    for item in text.split(", "):
        clip, label, span = item.split()
        onset, offset = map(float, span.split("-"))
        found.setdefault(clip, []).append(Event(onset, offset, label))
    return found


REFERENCE = events("a x 0.0-3.2, a x 4.5-6.0, a y 1.0-2.0, a z 7.0-9.7, b y 0.5-4.0, b x 5.0-5.6, b y 8.0-9.0")
ESTIMATE = events("a x 0.1-3.0, a x 4.4-5.0, a x 5.2-6.1, a z 1.1-2.1, a z 6.5-8.4, b y 0.6-3.5, b x 5.1-5.7, b x 6.0-6.5, b x 8.1-9.1")
TEN_SECONDS = {"a": 10.0, "b": 10.0}


def case(seed, clips=60, labels=5):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(size=(clips, labels)) < 0.3
    scores = np.round(rng.uniform(size=(clips, labels)) + 0.4 * truth, 1)  # rounded: many ties
    return truth.astype(float), scores


def one_hot(seed, clips=80, labels=5):
    rng = np.random.default_rng(seed)
    truth = np.eye(labels)[rng.integers(labels, size=clips)]
    return truth, rng.uniform(size=truth.shape) + 0.5 * truth


# classification


def test_classification_agrees_with_scikit_learn():
    truth, scores = one_hot(0)
    labels, true, predicted = [*"abcde"], truth.argmax(1), scores.argmax(1)
    numbers = classification.evaluate(truth, scores, labels=labels)
    assert numbers["accuracy"] == pytest.approx(oracle.accuracy_score(true, predicted))
    assert numbers["accuracy/macro"] == pytest.approx(oracle.balanced_accuracy_score(true, predicted))
    assert numbers["f1/macro"] == pytest.approx(oracle.f1_score(true, predicted, average="macro"))
    for name, values in zip(("precision", "recall", "f1"), oracle.precision_recall_fscore_support(true, predicted)[:3], strict=True):
        assert [numbers[f"{name}/{label}"] for label in labels] == pytest.approx(values)
    np.testing.assert_array_equal(classification.confusion(truth, scores), oracle.confusion_matrix(true, predicted))


def test_a_class_that_does_not_occur_is_nan_and_left_out_of_the_mean():
    numbers = classification.evaluate([[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [1, 0, 0]], labels=LABELS)
    assert np.isnan([numbers["recall/z"], numbers["f1/z"], numbers["precision/y"], numbers["precision/z"]]).all()
    assert numbers["accuracy/macro"] == 0.5
    assert numbers["f1/y"] == 0.0
    assert numbers["f1/macro"] == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([[1, 1]], [[0.5, 0.5]], "exactly one"),
        ([[0, 0]], [[0.5, 0.5]], "exactly one"),
        ([[1, 0]], [[np.nan, 0.5]], "finite"),
        ([[1, 0]], [[0.5]], r"\(1, 2\) and \(1, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "not empty"),
    ],
)
def test_classification_refuses(truth, scores, message):
    with pytest.raises(MetricError, match=message):
        classification.evaluate(truth, scores, labels=("a", "b"))


def test_a_wrong_number_of_labels_is_refused():
    with pytest.raises(MetricError, match="3 labels"):
        classification.evaluate([[1, 0]], [[1, 0]], labels=LABELS)


# tagging


@pytest.mark.parametrize("seed", range(5))
def test_tagging_agrees_with_scikit_learn(seed):
    truth, scores = case(seed)
    labels = [*"abcde"]
    numbers = tagging.evaluate(truth, scores, labels=labels, threshold=0.6)
    predicted = scores > 0.6
    for name, expected in (
        ("average_precision", oracle.average_precision_score(truth, scores, average=None)),
        ("auc", oracle.roc_auc_score(truth, scores, average=None)),
        ("f1", oracle.f1_score(truth, predicted, average=None)),
        ("precision", oracle.precision_score(truth, predicted, average=None)),
        ("recall", oracle.recall_score(truth, predicted, average=None)),
    ):
        assert [numbers[f"{name}/{label}"] for label in labels] == pytest.approx(expected), name
        assert numbers[f"{name}/macro"] == pytest.approx(np.mean(expected))
    assert numbers["f1/micro"] == pytest.approx(oracle.f1_score(truth, predicted, average="micro"))
    some = truth.any(axis=1)
    lrap = oracle.label_ranking_average_precision_score(truth[some], scores[some], sample_weight=truth[some].sum(axis=1))
    assert numbers["lwlrap"] == pytest.approx(lrap)


def test_lwlrap_of_the_check_case():
    truth, scores = [[1, 0, 0, 1], [0, 1, 0, 0]], [[0.9, 0.2, 0.8, 0.4], [0.1, 0.3, 0.5, 0.2]]
    numbers = tagging.evaluate(truth, scores, labels=[*"abcd"])
    assert tagging.lwlrap(truth, scores) == numbers["lwlrap"] == pytest.approx(0.722222, abs=1e-6)
    each = [numbers[f"lwlrap/{label}"] for label in "abcd"]
    assert each == pytest.approx([1, 0.5, np.nan, 2 / 3], nan_ok=True)


def test_weights_count_a_clip_as_often_as_they_say():
    truth, scores = case(1)
    weights = np.random.default_rng(0).integers(0, 3, size=(4, len(truth)))
    found = tagging.average_precision(truth, scores, weights=weights)
    for row, each in zip(found, weights, strict=True):
        repeated = np.repeat(truth, each, axis=0), np.repeat(scores, each, axis=0)
        assert row == pytest.approx(tagging.average_precision(*repeated))


def test_tagging_without_positives_is_nan_throughout_but_not_an_error():
    numbers = tagging.evaluate(np.zeros((3, 2)), np.full((3, 2), 0.1), labels=("a", "b"))
    assert np.isnan(list(numbers.values())).all()


def test_order_of_scores_alone_decides_average_precision_and_auc():
    truth, scores = case(2)
    assert tagging.average_precision(truth, scores**3) == pytest.approx(tagging.average_precision(truth, scores))
    assert tagging.auc(truth, -scores) == pytest.approx(1 - tagging.auc(truth, scores))


# segments: numbers of sed_eval 0.2.1


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (1.0, (0.685714, 0.631579, 0.75, 0.5625, 0.125, 0.125, 0.3125, 0.668627, 0.793651, 0.705882, 0.8, 0.5)),
        (0.1, (0.704981, 0.730159, 0.681481, 0.429630, 0.140741, 0.177778, 0.111111, 0.668627, 0.648138, 0.8, 0.705882, 0.5)),
    ],
)
def test_hand_case(resolution, expected):
    keys = "f1/micro precision/micro recall/micro error_rate/micro substitutions deletions insertions f1/macro error_rate/macro"
    numbers = segment.evaluate(REFERENCE, ESTIMATE, labels=LABELS, resolution=resolution, durations=TEN_SECONDS)
    found = [numbers[key] for key in (*keys.split(), "f1/x", "f1/y", "f1/z")]
    assert found == pytest.approx(expected, abs=1e-6)


def test_hand_case_with_silence():
    numbers = segment.evaluate(REFERENCE, ESTIMATE, labels=LABELS, durations=TEN_SECONDS)
    found = [numbers[key] for key in ("accuracy", "balanced_accuracy", "sensitivity", "specificity")]
    assert found == pytest.approx([0.816667, 0.795455, 0.75, 0.840909], abs=1e-6)


def test_counts_of_clips_add_up_to_the_counts_of_all():
    both = segment.counts(REFERENCE, ESTIMATE, labels=LABELS)
    assert both.hits.shape == (2, 3)
    for index, clip in enumerate("ab"):
        alone = segment.counts({clip: REFERENCE[clip]}, {clip: ESTIMATE[clip]}, labels=LABELS)
        for name in ("hits", "reference", "estimate", "substitutions", "deletions", "insertions", "segments"):
            np.testing.assert_array_equal(getattr(both, name)[index], getattr(alone, name)[0])


def test_a_clip_of_one_side_has_no_events_on_the_other():
    numbers = segment.evaluate({"a": [Event(0, 2, "x")]}, {"b": [Event(0, 1, "x")]}, labels=LABELS)
    assert (numbers["recall/x"], numbers["precision/x"], numbers["error_rate/x"]) == (0, 0, 1.5)
    assert np.isnan(numbers["f1/y"])
    assert numbers["f1/macro"] == 0


def test_a_label_never_estimated_is_nan_as_in_sed_eval_or_zero():
    reference, estimate = {"a": [Event(0, 2, "x"), Event(0, 1, "y")]}, {"a": [Event(0, 2, "x")]}
    left_out = segment.evaluate(reference, estimate, labels=LABELS)
    assert np.isnan([left_out["f1/y"], left_out["precision/y"]]).all()
    assert left_out["f1/macro"] == 1
    zero = segment.evaluate(reference, estimate, labels=LABELS, empty_output="zero")
    assert (zero["f1/y"], zero["precision/y"], zero["f1/macro"]) == (0, 0, 0.5)
    assert (zero["precision/z"], zero["precision/macro"]) == (0, pytest.approx(1 / 3))  # sed_eval blames silence about "z" too
    assert segment.evaluate(reference, {}, labels=LABELS, empty_output="zero")["f1/micro"] == 0
    assert np.isnan(segment.evaluate(reference, {}, labels=LABELS)["f1/micro"])


def test_the_error_rate_of_a_label_that_never_occurs_is_huge_as_in_sed_eval_or_nan():
    reference, estimate = {"a": [Event(0, 4, "x")]}, {"a": [Event(0, 3, "x"), Event(0, 2, "y")]}
    huge = segment.evaluate(reference, estimate, labels=LABELS)
    assert (huge["error_rate/y"], huge["error_rate/z"]) == (2 / np.spacing(1), 0)
    assert huge["error_rate/macro"] == pytest.approx((0.25 + 2 / np.spacing(1)) / 3)
    left_out = segment.evaluate(reference, estimate, labels=LABELS, empty_output="zero", absent="nan")
    assert np.isnan([left_out["error_rate/y"], left_out["error_rate/z"], left_out["precision/z"]]).all()
    assert (left_out["error_rate/macro"], left_out["precision/macro"]) == (0.25, 0.5)


def test_nothing_at_all_is_zero_errors_in_sed_eval_and_unknown_otherwise():
    keys = ("error_rate/micro", "substitutions", "accuracy", "sensitivity", "specificity", "balanced_accuracy")
    for absent, expected in (("sed_eval", 0), ("nan", np.nan)):
        numbers = segment.evaluate({"a": []}, {}, labels=LABELS, absent=absent)
        assert [numbers[key] for key in keys] == pytest.approx([expected] * len(keys), nan_ok=True)


def test_length_moves_only_what_counts_silence():
    short = segment.evaluate(REFERENCE, ESTIMATE, labels=LABELS)
    long = segment.evaluate(REFERENCE, ESTIMATE, labels=LABELS, durations={"a": 60.0, "b": 60.0})
    changed = {key for key, value in short.items() if value != long[key]}
    assert changed == {"accuracy", "specificity", "balanced_accuracy"}


def test_events_beyond_the_duration_are_cut():
    numbers = segment.evaluate({"a": [Event(0, 4, "x")]}, {"a": [Event(0, 2, "x")]}, labels=LABELS, durations={"a": 2.0})
    assert numbers["f1/micro"] == 1


def test_empty_clips_and_no_events_at_all():
    numbers = segment.evaluate({"a": [], "b": [Event(0, 1, "x")], "c": []}, {"b": [Event(0, 1, "x")]}, labels=LABELS)
    assert numbers["f1/micro"] == 1
    assert np.isnan(segment.evaluate({"a": []}, {}, labels=LABELS)["f1/micro"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("x", "y", "x")}, "label 'x' is given twice"),
        ({"resolution": 0.0}, "resolution must be a positive number of seconds, got 0.0"),
        ({"resolution": float("nan")}, "resolution"),
        ({"resolution": float("inf")}, "resolution must be a positive number of seconds, got inf"),
        ({"tolerance": -1e-6}, "tolerance must be a positive number of seconds, or 0, got -1e-06"),
        ({"durations": {"a": 2.0}}, "durations are missing for 1 of 2 clips, the first is 'b'; give"),
        ({"durations": {"a": 2.0, "b": -1.0}}, "duration of clip 'b' must be seconds >= 0, got -1.0"),
        ({"durations": {"a": float("inf"), "b": 1.0}}, "duration of clip 'a'"),
        ({"empty_output": "zero_score"}, "empty_output must be one of 'nan', 'zero'; got 'zero_score'"),
        ({"absent": "zero"}, "absent must be one of 'sed_eval', 'nan'; got 'zero'"),
    ],
)
def test_segment_refuses(settings, message):
    with pytest.raises(MetricError, match=message):
        segment.evaluate({"a": [Event(0, 1, "x")]}, {"b": [Event(0, 1, "x")]}, **{"labels": LABELS, **settings})


def test_segment_refuses_labels_that_are_not_those_of_the_counts():
    with pytest.raises(MetricError, match="2 labels were given for counts of 3"):
        segment.figures(segment.counts(REFERENCE, ESTIMATE, labels=LABELS), labels=("x", "y"))


def drawn(events, segments, resolution, labels):
    """Rolls, the long way round: (segments, labels)."""
    roll = np.zeros((segments, len(labels)), dtype=bool)
    for e in events:
        if e.onset == e.offset:
            roll[int(np.floor((e.onset + 1e-6) / resolution)) :][:1, labels.index(e.label)] = True
        else:
            roll[int(np.floor(e.onset / resolution)) : int(np.ceil(e.offset / resolution)), labels.index(e.label)] = True
    return roll


def ended(events, duration):
    """What is left of events in a clip of that many seconds."""
    return [replace(e, offset=min(e.offset, duration)) for e in events if e.onset < duration - 1e-6]


def last_segment(e, resolution):
    return int(np.floor((e.onset + 1e-6) / resolution)) + 1 if e.onset == e.offset else int(np.ceil(e.offset / resolution))


EVENT = st.builds(
    lambda onset, length, label: Event(onset, onset + length, label),
    st.sampled_from([0, 0.1, 0.3, 0.6, 1, 2, 2.5, 3]) | st.floats(0, 4),
    st.sampled_from([0, 0.1, 0.5, 1, 2]),
    st.sampled_from(LABELS),
)
CLIPS = st.dictionaries(st.sampled_from("abc"), st.lists(EVENT, max_size=8))


@given(CLIPS, CLIPS, st.sampled_from([1.0, 0.5, 0.1]), st.sampled_from([None, 0.0, 1.25, 9.0]))
def test_segments_are_counted_as_if_they_were_drawn(reference, estimate, resolution, duration):
    clips = list(dict.fromkeys((*reference, *estimate)))
    durations = None if duration is None else dict.fromkeys(clips, duration)
    found = segment.counts(reference, estimate, labels=LABELS, resolution=resolution, durations=durations)
    for index, clip in enumerate(clips):
        pair = reference.get(clip, []), estimate.get(clip, [])
        size = max((last_segment(e, resolution) for events in pair for e in events), default=0)
        if duration is not None:
            pair, size = [ended(events, duration) for events in pair], int(np.ceil(duration / resolution))
        true, heard = (drawn(events, size, resolution, LABELS) for events in pair)
        np.testing.assert_array_equal(found.hits[index], (true & heard).sum(axis=0))
        np.testing.assert_array_equal(found.reference[index], true.sum(axis=0))
        np.testing.assert_array_equal(found.estimate[index], heard.sum(axis=0))
        more, less = heard.sum(axis=1) - true.sum(axis=1), np.minimum(heard.sum(axis=1), true.sum(axis=1))
        assert found.segments[index] == len(true)
        assert found.substitutions[index] == (less - (true & heard).sum(axis=1)).sum()
        assert (found.insertions[index], found.deletions[index]) == (np.maximum(more, 0).sum(), np.maximum(-more, 0).sum())


@given(CLIPS, CLIPS, st.randoms(use_true_random=False))
def test_order_of_clips_and_events_does_not_move_segments(reference, estimate, random):
    mixed = [
        {clip: random.sample(events[clip], len(events[clip])) for clip in random.sample(list(events), len(events))}
        for events in (reference, estimate)
    ]
    numbers = [segment.evaluate(*pair, labels=LABELS, resolution=0.5) for pair in ((reference, estimate), mixed)]
    assert numbers[0] == pytest.approx(numbers[1], nan_ok=True)


@given(CLIPS)
def test_the_reference_itself_is_a_perfect_estimate(reference):
    numbers = segment.evaluate(reference, reference, labels=LABELS, resolution=0.1, empty_output="zero", absent="nan")
    assert {numbers[key] for key in numbers if key.startswith(("f1", "precision", "recall")) and not np.isnan(numbers[key])} <= {1.0}
    assert {numbers[key] for key in numbers if key.startswith("error_rate") and not np.isnan(numbers[key])} <= {0.0}


def test_the_work_does_not_grow_with_the_grid():
    reference = {"a": [Event(0, 10_000, "label7"), Event(0.5, 3, "label8")]}
    tracemalloc.start()
    found = segment.counts(reference, reference, labels=[f"label{i}" for i in range(500)], resolution=1e-3)  # 5e9 cells
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.hits.sum() == 10_000_000 + 2500
    assert peak < 1e6


# bootstrap


def share(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_interval_is_the_binomial_one():
    correct = np.repeat([1, 0], [160, 40])
    low, high = bootstrap.interval(share(correct), 200, repeats=4000)
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (low, high) == pytest.approx((0.8 - spread, 0.8 + spread), abs=0.01)


def test_interval_repeats_and_shrinks_with_clips_and_level():
    correct = np.random.default_rng(0).integers(2, size=1000)
    assert bootstrap.interval(share(correct), 1000) == bootstrap.interval(share(correct), 1000)
    wide, small = bootstrap.interval(share(correct[:100]), 100), bootstrap.interval(share(correct), 1000)
    assert np.diff(wide) > 2 * np.diff(small)
    assert np.diff(bootstrap.interval(share(correct), 1000, level=0.5)) < np.diff(small)


def test_whole_groups_are_drawn():
    correct, groups = np.repeat([1, 0, 1, 1, 0], 40), np.repeat([*"abcde"], 40)
    alone = bootstrap.interval(share(correct), 200)
    together = bootstrap.interval(share(correct), 200, groups=groups.tolist())
    assert np.diff(together) > 3 * np.diff(alone)


def test_nothing_to_draw_from_is_nan():
    assert np.isnan(bootstrap.interval(share(np.ones(1)), 1)).all()
    assert np.isnan(bootstrap.interval(share(np.ones(3)), 3, groups=["a"] * 3)).all()
    assert np.isnan(bootstrap.interval(lambda weights: np.full(len(weights), np.nan), 3)).all()


def test_many_clips_are_drawn_in_blocks():
    sizes = []

    def statistic(weights):
        sizes.append(weights.shape)
        assert (weights.sum(axis=1) == weights.shape[1]).all()
        return weights[:, 0]

    bootstrap.interval(statistic, 30_000, repeats=100, method="percentile")
    assert len(sizes) > 1
    assert sum(rows for rows, _ in sizes) == 100


@pytest.mark.parametrize("settings", [{"level": 1.0}, {"repeats": 0}, {"groups": ["a"]}])
def test_bootstrap_refuses(settings):
    with pytest.raises(MetricError):
        bootstrap.interval(share(np.ones(3)), 3, **settings)
