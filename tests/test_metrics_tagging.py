"""Clip-level metrics: hand cases, scikit-learn as oracle, laws."""

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from dcasekit.errors import MetricError
from dcasekit.metrics import calibration, classification, tagging, thresholds
from dcasekit.scores import Scores, to_events

LABELS = [*"abcde"]
CASE = [[1, 0, 0, 1], [0, 1, 0, 0]], [[0.9, 0.2, 0.8, 0.4], [0.1, 0.3, 0.5, 0.2]]


def tagged(seed, clips=60, labels=5, decimals=1):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(size=(clips, labels)) < 0.3
    scores = np.round((rng.uniform(size=(clips, labels)) + 0.4 * truth) / 1.4, decimals)  # one decimal: many ties
    return truth.astype(float), scores


def one_hot(seed, clips=80, labels=5):
    rng = np.random.default_rng(seed)
    truth = np.eye(labels)[rng.integers(labels, size=clips)]
    scores = rng.uniform(size=truth.shape) + 0.5 * truth
    return truth, scores / scores.sum(axis=1, keepdims=True)


# tagging


@pytest.mark.parametrize("seed", range(5))
def test_ranking_agrees_with_scikit_learn_ties_included(seed):
    truth, scores = tagged(seed)
    assert 0 in truth.sum(axis=1), "clips without a label belong to the case"
    values = {name: value.mean() for name, value in tagging.ranking(truth, scores).items()}
    assert values == pytest.approx(
        {
            "label_ranking_average_precision": oracle.label_ranking_average_precision_score(truth, scores),
            "coverage_error": oracle.coverage_error(truth, scores),
            "ranking_loss": oracle.label_ranking_loss(truth, scores),
        }
    )


def test_a_clip_with_every_label_ranks_perfectly():
    values = tagging.ranking([[1, 1], [0, 0]], [[0.2, 0.1], [0.2, 0.1]])
    assert [value.tolist() for value in values.values()] == [[1, 1], [2, 0], [0, 0]]


def test_lwlrap_is_the_mean_precision_of_clips_weighted_by_their_labels():
    truth, scores = tagged(3)
    precision, count = tagging.ranking(truth, scores)["label_ranking_average_precision"], truth.sum(axis=1)
    assert tagging.lwlrap(truth, scores) == pytest.approx((precision * count).sum() / count.sum())
    assert tagging.lwlrap(*CASE) == pytest.approx(0.722222, abs=1e-6)
    assert np.isnan(tagging.lwlrap(np.zeros((2, 3)), np.ones((2, 3))))


def test_of_equal_scores_each_takes_the_worst_rank():
    assert tagging.lwlrap([[1, 0, 0, 0]], [[0.5, 0.5, 0.5, 0.1]]) == pytest.approx(1 / 3)
    assert tagging.lwlrap([[1, 1, 0, 0]], [[0.5, 0.5, 0.5, 0.1]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("whole", [True, False])
def test_weighted_average_precision_and_auc_agree_with_scikit_learn(whole):
    truth, scores = tagged(6, clips=90)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, size=(3, 90)) if whole else rng.uniform(0.001, 2, size=(3, 90))
    for name, score in (("average_precision", oracle.average_precision_score), ("auc", oracle.roc_auc_score)):
        found = getattr(tagging, name)(truth, scores, weights=weights)
        expected = [score(truth, scores, average=None, sample_weight=each) for each in weights]
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(getattr(tagging, name)(truth, scores, weights=weights[0]), found[0], rtol=1e-12)


def test_large_weights_do_not_overflow():
    truth, scores = tagged(7)
    for heavy in (1000, 2**16, 2**33):
        for metric in (tagging.average_precision, tagging.auc):
            np.testing.assert_allclose(metric(truth, scores, weights=np.full(60, heavy)), metric(truth, scores), rtol=1e-12)


def test_a_draw_without_positives_is_nan_in_that_label_alone():
    truth, scores = np.array([[1, 1], [0, 1], [0, 0]]), np.array([[0.9, 0.2], [0.5, 0.1], [0.1, 0.3]])
    for metric in (tagging.average_precision, tagging.auc):
        np.testing.assert_array_equal(np.isnan(metric(truth, scores, weights=[[0, 1, 1], [1, 1, 1]])), [[True, False], [False, False]])
    assert np.isnan(tagging.auc(truth, scores, weights=[1, 1, 0])).tolist() == [False, True]  # no negative left


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_scaling_the_weights_changes_nothing(seed, factor):
    truth, scores = tagged(seed, clips=20, labels=2)
    weights = np.random.default_rng(seed).integers(0, 3, size=20)
    for metric in (tagging.average_precision, tagging.auc):
        np.testing.assert_allclose(metric(truth, scores, weights=weights * factor), metric(truth, scores, weights=weights), atol=1e-12)


@pytest.mark.parametrize("weights", [np.ones(3), np.ones((2, 61)), np.ones((1, 1, 60)), -np.ones(60), np.full(60, np.inf)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(MetricError, match="weights must be"):
        tagging.average_precision(*tagged(0), weights=weights)


def test_d_prime_is_the_distance_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    truth = np.repeat([1.0, 0.0], 100_000)[:, None]
    area = tagging.auc(truth, rng.normal(size=truth.shape) + 1.5 * truth)
    assert tagging.d_prime(area) == pytest.approx(1.5, abs=0.02)
    assert tagging.d_prime([0.0, 0.5, 1.0, np.nan]) == pytest.approx([-np.inf, 0, np.inf, np.nan], nan_ok=True)
    assert tagging.d_prime(0.9585) == pytest.approx(2.452, abs=0.002)  # AudioSet, 2017: AUC 0.959, d' 2.452


def test_macro_d_prime_is_that_of_the_mean_area():
    truth = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    scores = np.array([[0.9, 0.6], [0.8, 0.7], [0.2, 0.8], [0.1, 0.3]])
    numbers = tagging.evaluate(truth, scores, labels=("easy", "hard"))
    assert numbers["d_prime/easy"] == np.inf
    assert numbers["d_prime/macro"] == tagging.d_prime(numbers["auc/macro"]) < np.inf


def test_one_threshold_per_label():
    truth, scores = tagged(8)
    limits = [0.1, 0.3, 0.5, 0.7, 0.9]
    numbers = tagging.evaluate(truth, scores, labels=LABELS, threshold=limits)
    for average in ("micro", "macro"):
        assert numbers[f"f1/{average}"] == pytest.approx(oracle.f1_score(truth, scores > limits, average=average, zero_division=0))
    with pytest.raises(MetricError, match="each of the 5 labels"):
        tagging.evaluate(truth, scores, labels=LABELS, threshold=[0.5] * 4)


# classification


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_accuracy_and_log_loss_agree_with_scikit_learn(k):
    truth, scores = one_hot(k)
    true = truth.argmax(axis=1)
    assert classification.top_k_accuracy(truth, scores, k=k) == pytest.approx(oracle.top_k_accuracy_score(true, scores, k=k))
    assert classification.log_loss(truth, scores) == pytest.approx(oracle.log_loss(true, scores))


def test_top_1_is_the_accuracy_also_with_equal_scores():
    truth, scores = one_hot(9)
    coarse = np.round(scores, 1)
    numbers = classification.evaluate(truth, coarse, labels=LABELS)
    assert classification.top_k_accuracy(truth, coarse, k=1) == numbers["accuracy"]
    assert classification.top_k_accuracy([[0, 0, 1]], [[0.5, 0.5, 0.5]], k=2) == 0


def test_a_probability_of_zero_costs_everything():
    assert classification.log_loss([[1, 0], [0, 1]], [[0.0, 1.0], [0.5, 0.5]]) == np.inf


@pytest.mark.parametrize("scores", [[[0.5, 0.6]], [[-0.5, 1.5]], [[3.0, -2.0]]])
def test_log_loss_refuses_what_is_no_probability(scores):
    with pytest.raises(MetricError, match="clip 0"):
        classification.log_loss([[1, 0]], scores)


@pytest.mark.parametrize("k", [0, 3])
def test_top_k_refuses(k):
    with pytest.raises(MetricError, match="from 1 to 2"):
        classification.top_k_accuracy([[1, 0]], [[0.5, 0.5]], k=k)


# calibration


@pytest.mark.parametrize(("spacing", "strategy"), [("width", "uniform"), ("mass", "quantile")])
@pytest.mark.parametrize("decimals", [1, 12])
def test_reliability_agrees_with_scikit_learn(spacing, strategy, decimals):
    truth, scores = (column[:, 0] for column in tagged(1, clips=500, decimals=decimals))
    curve = calibration.reliability(truth, scores, bins=10, spacing=spacing)
    frequency, score = calibration_curve(truth, scores, n_bins=10, strategy=strategy)
    np.testing.assert_allclose(curve.frequency, frequency)
    np.testing.assert_allclose(curve.score, score)
    assert curve.count.sum() == 500


def test_calibration_of_a_hand_case():
    # Bins of a quarter: scores 0.1 0.2 (none right), 0.6 0.7 (one right), 1.0 (right).
    truth, scores = [0, 0, 1, 0, 1], [0.1, 0.2, 0.6, 0.7, 1.0]
    curve = calibration.reliability(truth, scores, bins=4)
    assert curve.count.tolist() == [2, 2, 1]
    assert curve.expected_error == pytest.approx((2 * 0.15 + 2 * 0.15 + 0) / 5)
    assert curve.maximum_error == pytest.approx(0.15)


def test_brier_agrees_with_scikit_learn():
    truth, scores = tagged(2, decimals=12)
    assert calibration.brier(truth, scores) == pytest.approx(
        [oracle.brier_score_loss(*columns) for columns in zip(truth.T, scores.T, strict=True)]
    )
    truth, scores = one_hot(2)
    whole = oracle.brier_score_loss(truth.argmax(axis=1), scores, scale_by_half=False)
    assert calibration.brier(truth, scores).sum() == pytest.approx(whole)


def test_true_probabilities_are_calibrated_and_sharpened_ones_are_not():
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(20_000, 2))
    truth = rng.uniform(size=scores.shape) < scores
    good = calibration.evaluate(truth, scores, labels=("a", "b"))
    sharp = calibration.evaluate(truth, scores**2 / (scores**2 + (1 - scores) ** 2), labels=("a", "b"))
    for name in ("ece", "ece/micro", "ece/macro", "ece/a"):
        assert good[name] < 0.012, name
        assert sharp[name] > 0.08, name
    assert good["brier/macro"] == pytest.approx(1 / 6, abs=0.005)
    assert sharp["brier/macro"] > good["brier/macro"] + 0.005
    assert all(good[f"mce/{name}"] >= good[f"ece/{name}"] for name in ("micro", "macro", "a", "b"))


def test_top_label_confidence_is_that_of_the_predicted_label():
    truth, scores = one_hot(3, clips=400)
    correct, confidence = calibration.top_label(truth, scores)
    assert correct.mean() == classification.evaluate(truth, scores, labels=LABELS)["accuracy"]
    np.testing.assert_array_equal(confidence, scores.max(axis=1))
    curve = calibration.reliability(correct, confidence)
    numbers = calibration.evaluate(truth, scores, labels=LABELS)
    assert (numbers["ece"], numbers["mce"]) == (curve.expected_error, curve.maximum_error)


@pytest.mark.parametrize(
    ("truth", "scores", "settings", "message"),
    [
        ([1, 0], [1.2, 0.1], {}, "sigmoid"),
        ([1, 0], [-0.2, 0.1], {}, r"\[0, 1\]"),
        ([1, 0], [0.2], {}, "same shape"),
        ([], [], {}, "not empty"),
        ([1, 0], [np.nan, 0.1], {}, "finite"),
        ([1, 0], [0.2, 0.1], {"bins": 0}, "bins=0"),
        ([1, 0], [0.2, 0.1], {"spacing": "log"}, "'log'"),
    ],
)
def test_reliability_refuses(truth, scores, settings, message):
    with pytest.raises(MetricError, match=message):
        calibration.reliability(truth, scores, **settings)


# thresholds


def f1_at(truth, scores, limit):
    predicted = scores > limit
    return 2 * np.count_nonzero(predicted & (truth == 1)) / (np.count_nonzero(predicted) + truth.sum())


def precision_at(truth, scores, limit):
    return truth[scores > limit].mean()


@given(st.integers(0, 10_000), st.sampled_from([1, 12]))
def test_no_threshold_beats_the_best_and_no_higher_one_equals_it(seed, decimals):
    truth, scores = tagged(seed, clips=25, labels=1, decimals=decimals)
    truth[0] = 1
    best = thresholds.best_f1(truth, scores, labels=("a",))["a"]
    value, others = f1_at(truth, scores, best), [-1, *np.unique(scores)]
    assert value == max(f1_at(truth, scores, limit) for limit in others)
    assert all(f1_at(truth, scores, limit) < value for limit in others if limit > best)


def test_the_grid_search_is_that_of_the_baseline():
    truth, scores = tagged(4, clips=200)
    grid = np.arange(11) / 10
    found = thresholds.best_f1(truth, scores, labels=LABELS, grid=grid)
    for label, true, score in zip(LABELS, truth.T, scores.T, strict=True):
        best, kept = 0.0, 0.0
        for limit in grid:
            if (value := oracle.f1_score(true, score >= limit, zero_division=0)) > best:
                best, kept = value, limit
        assert found[label] == kept


@given(st.integers(0, 10_000), st.floats(0.05, 1))
def test_the_precision_is_reached_and_no_lower_threshold_reaches_it(seed, wanted):
    truth, scores = tagged(seed, clips=25, labels=1)
    truth[0] = 1
    found = thresholds.for_precision(truth, scores, labels=("a",), precision=wanted)["a"]
    predicted = scores > found
    assert not predicted.any() if found == np.inf else precision_at(truth, scores, found) >= wanted
    lower = [limit for limit in [-1, *np.unique(scores)] if limit < found and (scores > limit).sum() > predicted.sum()]
    assert all(precision_at(truth, scores, limit) < wanted for limit in lower)


def test_thresholds_of_labels_that_leave_no_choice():
    truth, scores = [[1, 0, 1, 0], [1, 0, 0, 1]], [[0.5, 0.5, 0.25, 0.75], [0.25, 0.75, 0.75, 0.25]]
    labels = ("always", "never", "wrong", "last")
    assert thresholds.best_f1(truth, scores, labels=labels) == pytest.approx(
        {"always": -np.inf, "never": np.nan, "wrong": -np.inf, "last": -np.inf}, nan_ok=True
    )
    assert thresholds.for_precision(truth, scores, labels=labels, precision=0.9) == pytest.approx(
        {"always": -np.inf, "never": np.nan, "wrong": np.inf, "last": np.inf}, nan_ok=True
    )


def test_found_thresholds_go_into_scores_and_evaluate():
    truth, scores = tagged(5, clips=300, decimals=12)
    found = thresholds.best_f1(truth, scores, labels=LABELS)
    best = tagging.evaluate(truth, scores, labels=LABELS, threshold=[*found.values()])
    plain = tagging.evaluate(truth, scores, labels=LABELS)
    assert all(best[f"f1/{label}"] >= plain[f"f1/{label}"] for label in LABELS)
    events = to_events(Scores(scores[:1], [0, 1], LABELS), threshold=[*found.values()])
    assert {event.label for event in events} == {label for label, s in zip(LABELS, scores[0], strict=True) if s > found[label]}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_a_rounding_error_apart_are_still_told_apart(dtype):
    low = dtype(1) - np.finfo(np.float32).epsneg
    values = np.array([[1.0], [low], [0.5]], dtype=dtype)
    limit = thresholds.best_f1([[1], [0], [0]], values, labels=("a",))["a"]
    assert (values > limit).ravel().tolist() == [True, False, False]
    assert [bool(to_events(Scores([row], [0, 1], ("a",)), threshold=limit)) for row in values] == [True, False, False]


def test_threshold_search_refuses():
    truth, scores = tagged(0)
    for grid in ([], [[0.5]], [np.nan]):
        with pytest.raises(MetricError, match="grid"):
            thresholds.best_f1(truth, scores, labels=LABELS, grid=grid)
    for precision in (0, 1.1, np.nan):
        with pytest.raises(MetricError, match="precision"):
            thresholds.for_precision(truth, scores, labels=LABELS, precision=precision)
    with pytest.raises(MetricError, match="2 labels"):
        thresholds.best_f1(truth, scores, labels=("a", "b"))
