"""Metrics: hand cases, scikit-learn as oracle, laws."""

import numpy as np
import pytest
import sklearn.metrics as oracle

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


def test_a_label_never_detected_scores_zero():
    numbers = segment.evaluate({"a": [Event(0, 2, "x"), Event(0, 1, "y")]}, {"a": [Event(0, 2, "x")]}, labels=LABELS)
    assert numbers["f1/y"] == 0
    assert np.isnan(numbers["precision/y"])
    assert numbers["f1/macro"] == 0.5


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


def test_segment_refuses_unknown_labels_and_a_resolution_of_zero():
    with pytest.raises(MetricError, match="unknown label 'w'"):
        segment.evaluate({"a": [Event(0, 1, "w")]}, {}, labels=LABELS)
    with pytest.raises(MetricError, match="resolution"):
        segment.evaluate({}, {}, labels=LABELS, resolution=0)


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

    bootstrap.interval(statistic, 30_000, repeats=100)
    assert len(sizes) > 1
    assert sum(rows for rows, _ in sizes) == 100


@pytest.mark.parametrize("settings", [{"level": 1.0}, {"repeats": 0}, {"groups": ["a"]}])
def test_bootstrap_refuses(settings):
    with pytest.raises(MetricError):
        bootstrap.interval(share(np.ones(3)), 3, **settings)
