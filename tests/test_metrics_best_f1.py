"""Best F1 over all thresholds and ROC areas: every threshold tried one by one, scikit-learn, laws, hand cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import event, intersection, segment, statistics
from dcasekit.metrics._events import tabulate
from dcasekit.metrics._scored import merge
from dcasekit.scores import Scores, to_events

LABELS = ("x", "y", "z")
COLLARS = [
    {"onset_collar": 0.25, "offset_collar": 0.25, "offset_rate": 0.2},
    {"onset_collar": 1.5, "offset_collar": 0.5, "offset_rate": 0.9},
    {"onset_collar": 4.0, "offset_collar": None, "offset_rate": 0.0},
    {"onset_collar": math.inf, "offset_collar": 2.0, "offset_rate": 0.0},
]


def case(seed, clips=4, steps=6):
    """Make random clips: disjoint events and frame edges on a grid of 0.25 s, scores of few values so that many are equal."""
    rng = np.random.default_rng(seed)
    reference, scores, durations = {}, {}, {}
    for clip in range(clips):
        name, size = f"clip{clip}", 12 - int(rng.integers(3))
        listed = []
        for label in LABELS[: int(rng.integers(1, 4))]:
            bounds = np.sort(rng.choice(40, size=2 * int(rng.integers(4)), replace=False)).reshape(-1, 2) / 4
            listed += [Event(onset, offset, label) for onset, offset in bounds.tolist()]
        reference[name] = listed
        edges = np.append(0, rng.choice([0.25, 0.5, 0.75, 1.25], size=size).cumsum())
        scores[name] = Scores(rng.integers(-1, steps, size=(size, 3)) / steps, edges, LABELS)
        durations[name] = float(np.ceil(edges[-1]))
    return reference, scores, durations


def every_threshold(scores):
    """Give a threshold just below each score, from the highest, after one that nothing exceeds."""
    levels = np.unique(np.concatenate([each.values.ravel() for each in scores.values()]))[::-1]
    return [2.0, *(float(np.nextafter(level, np.float32(-9))) for level in levels)]


def detected(scores, threshold):
    return {clip: to_events(each, threshold=threshold) for clip, each in scores.items()}


def agrees_with_every_threshold(best, scores, measure):
    """Compare with the best of `measure(estimate) -> numbers`, tried at each threshold; `best` must also say where."""
    tried = [measure(detected(scores, threshold)) for threshold in every_threshold(scores)]
    for label in LABELS:
        f1 = [numbers[f"f1/{label}"] for numbers in tried]
        if np.isnan(f1).all():
            assert all(math.isnan(best[f"{name}/{label}"]) for name in ("f1", "recall", "threshold"))
            continue
        f1 = np.nan_to_num(f1)
        index = int(np.argmax(f1 >= f1.max() - 1e-12))
        assert best[f"f1/{label}"] == pytest.approx(f1.max(), abs=1e-12)
        for name in ("precision", "recall"):
            assert best[f"{name}/{label}"] == pytest.approx(np.nan_to_num(tried[index][f"{name}/{label}"], nan=1.0), abs=1e-12)
        there = measure(detected(scores, best[f"threshold/{label}"]))
        assert np.nan_to_num(there[f"f1/{label}"]) == pytest.approx(f1.max(), abs=1e-12)
    known = [best[f"f1/{label}"] for label in LABELS if not math.isnan(best[f"f1/{label}"])]
    assert best["f1/macro"] == pytest.approx(np.mean(known) if known else math.nan, nan_ok=True)


# every threshold, one by one


@given(seed=st.integers(0, 10**6), criterion=st.sampled_from([0.1, 0.5, 0.7, 1.0]))
def test_best_intersection_f1_is_that_of_the_best_threshold(seed, criterion):
    reference, scores, durations = case(seed)
    best = intersection.best_f1(reference, scores, durations, dtc=criterion, gtc=criterion)
    agrees_with_every_threshold(
        best, scores, lambda found: intersection.f1(reference, found, labels=LABELS, dtc=criterion, gtc=criterion, durations=durations)
    )


@given(seed=st.integers(0, 10**6), collars=st.sampled_from(COLLARS))
def test_best_event_f1_is_that_of_the_best_threshold(seed, collars):
    reference, scores, durations = case(seed)
    joined = {clip: _joined(listed) for clip, listed in reference.items()}

    def measure(found):
        counts = event.counts(joined, found, labels=LABELS, **collars, durations=durations, tolerance=1e-7)
        return event.figures(counts, labels=LABELS, empty_output="zero")

    best = event.best_f1(reference, scores, durations, **collars)
    agrees_with_every_threshold(best, scores, lambda found: {**measure(found), **_silent(measure(found), found)})


@given(seed=st.integers(0, 10**6), resolution=st.sampled_from([0.5, 1.0, 3.0]))
def test_best_segment_f1_is_that_of_the_best_threshold(seed, resolution):
    reference, scores, durations = case(seed)

    def measure(found):
        numbers = segment.evaluate(
            reference, found, labels=LABELS, resolution=resolution, durations=durations, empty_output="zero", absent="nan"
        )
        return {**numbers, **_silent(numbers, found)}

    agrees_with_every_threshold(segment.best_f1(reference, scores, durations, resolution=resolution), scores, measure)


def _joined(listed):
    table = merge(tabulate({"clip": listed}, ["clip"], LABELS))
    return [Event(*row) for row in zip(table.onset.tolist(), table.offset.tolist(), (LABELS[i] for i in table.label), strict=True)]


def _silent(numbers, found):
    """Precision where nothing is detected is 1 over all thresholds, and 0 or NaN in the other metrics."""
    heard = {each.label for listed in found.values() for each in listed}
    return {f"precision/{label}": 1.0 for label in LABELS if label not in heard}


@given(seed=st.integers(0, 10**6))
def test_micro_counts_all_labels_each_at_its_own_threshold(seed):
    reference, scores, durations = case(seed)
    reference["clip0"] = [Event(0, 1, label) for label in LABELS]
    best = intersection.best_f1(reference, scores, durations)
    found = detected(scores, [best[f"threshold/{label}"] for label in LABELS])
    there = intersection.f1(reference, found, labels=LABELS, durations=durations)
    assert best["f1/micro"] == pytest.approx(there["f1/micro"], abs=1e-12)


@given(seed=st.integers(0, 10**6), max_fpr=st.sampled_from([0.1, 0.25, 1.0]))
def test_partial_area_agrees_with_scikit_learn_curve(seed, max_fpr):
    reference, scores, durations = case(seed, clips=6)
    numbers = segment.auroc(reference, scores, durations, max_fpr=max_fpr)
    areas = []
    for column, label in enumerate(LABELS):
        truth, highest = [], []
        for clip, each in scores.items():
            for begin in range(int(durations[clip])):
                truth.append(any(e.onset < begin + 1 and e.offset > begin for e in reference[clip] if e.label == label))
                highest.append(each.values[(each.edges[:-1] < begin + 1) & (each.edges[1:] > begin), column].max())
        if not any(truth) or all(truth):
            assert math.isnan(numbers[f"auroc@{max_fpr:g}/{label}"])
            continue
        x, y, _ = roc_curve(truth, highest, drop_intermediate=False)
        grid = np.append(x[x <= max_fpr], max_fpr)
        heights = np.append(y[x <= max_fpr], np.interp(max_fpr, x, y))
        areas.append(np.trapezoid(heights, grid) / max_fpr)
        assert numbers[f"auroc@{max_fpr:g}/{label}"] == pytest.approx(areas[-1], abs=1e-12)
    assert numbers[f"auroc@{max_fpr:g}/macro"] == pytest.approx(np.mean(areas) if areas else math.nan, nan_ok=True)


# laws


def all_best(data):
    return {
        **intersection.best_f1(*data),
        **{f"event {key}": value for key, value in event.best_f1(*data).items()},
        **{f"segment {key}": value for key, value in segment.best_f1(*data).items()},
        **segment.auroc(*data),
    }


@given(seed=st.integers(0, 10**6))
def test_order_of_clips_and_rescaling_of_scores_do_not_matter(seed):
    reference, scores, durations = case(seed)
    numbers = all_best((reference, scores, durations))
    assert all_best((reference, dict(reversed(scores.items())), durations)) == pytest.approx(numbers, nan_ok=True)
    larger = {clip: Scores(each.values * 8 - 4, each.edges, each.labels) for clip, each in scores.items()}
    rescaled = {key: value * 8 - 4 if "threshold" in key else value for key, value in numbers.items()}
    assert all_best((reference, larger, durations)) == pytest.approx(rescaled, nan_ok=True, rel=1e-5)


def test_zero_and_minus_zero_are_one_score():
    reference, durations = {"a": [Event(0, 1, "x")], "b": []}, {"a": 1.0, "b": 1.0}
    for first, second in ((0.0, -0.0), (-0.0, 0.0)):
        scores = {"a": Scores([[first]], [0, 1], ["x"]), "b": Scores([[second]], [0, 1], ["x"])}
        for measure in (intersection.best_f1, event.best_f1, segment.best_f1):
            assert measure(reference, scores, durations)["f1/x"] == pytest.approx(2 / 3)


def test_perfect_scores_give_1():
    reference = {"a": [Event(1, 3, "x"), Event(5, 6, "x"), Event(0, 9, "y")], "b": [Event(2, 4, "z")], "c": []}
    scores = {}
    for clip, listed in reference.items():
        values = np.full((10, 3), 0.2)
        for each in listed:
            values[int(each.onset) : int(each.offset), LABELS.index(each.label)] = 0.8
        scores[clip] = Scores(values, np.arange(11), LABELS)
    numbers = all_best((reference, scores, dict.fromkeys(reference, 10.0)))
    assert {value for key, value in numbers.items() if "threshold" not in key} == {1.0}
    assert [value for key, value in numbers.items() if "threshold" in key] == pytest.approx([0.5] * 9)


# hand cases


def one_label(values, listed, duration=None):
    scores = Scores(np.array(values)[:, None], np.arange(len(values) + 1), ["x"])
    return {"a": listed}, {"a": scores}, {"a": float(duration or len(values))}


def test_the_highest_of_equally_good_thresholds_is_taken():
    # Above 0.8 one of two events is found, F1 2/3; the second comes with two false alarms, 4/6.
    data = one_label([0.9, 0.1, 0.8, 0.1, 0.8, 0.1, 0.8], [Event(0, 1, "x"), Event(2, 3, "x")])
    for numbers in (intersection.best_f1(*data), event.best_f1(*data)):
        assert numbers["f1/x"] == pytest.approx(2 / 3)
        assert numbers["threshold/x"] == pytest.approx(0.85)
        assert (numbers["precision/x"], numbers["recall/x"]) == (1.0, 0.5)


def test_the_threshold_is_minus_infinity_if_everything_is_right_and_infinity_if_nothing_is():
    data = one_label([0.5, 0.5], [Event(0, 2, "x")])
    assert event.best_f1(*data)["threshold/x"] == segment.best_f1(*data)["threshold/x"] == -math.inf
    nothing = event.best_f1(*one_label([0.5, 0.5], [Event(0, 1, "x")]))
    assert (nothing["f1/x"], nothing["precision/x"], nothing["recall/x"], nothing["threshold/x"]) == (0, 1, 0, math.inf)


def test_a_threshold_between_neighbouring_float32_still_lets_the_upper_one_through():
    for upper in np.float32([0.5, np.nextafter(np.float32(0.5), np.float32(1))]):
        lower = np.nextafter(upper, np.float32(0))
        reference, scores, durations = one_label([upper, lower, lower, lower], [Event(0, 1, "x")])
        threshold = intersection.best_f1(reference, scores, durations, dtc=1.0)["threshold/x"]
        assert [e.offset for e in to_events(scores["a"], threshold=threshold)] == [1.0]


def test_two_events_that_fit_one_detection_need_two_detections():
    # Events 0.4 s apart, collar 0.5 s: each of the two detections fits both events.
    frames = np.round(np.arange(0, 2.05, 0.1), 6)
    values = np.zeros((20, 1))
    values[[5, 9]] = [[0.9], [0.7]]
    reference = {"a": [Event(0.5, 0.6, "x"), Event(0.9, 1.0, "x")]}
    scores, durations = {"a": Scores(values, frames, ["x"])}, {"a": 2.0}
    numbers = event.best_f1(reference, scores, durations, onset_collar=0.5, offset_collar=0.5)
    assert (numbers["f1/x"], numbers["threshold/x"]) == (1.0, pytest.approx(0.35))
    one = {"a": [Event(0.5, 0.6, "x"), Event(0.9, 1.0, "x"), Event(1.3, 1.4, "x")]}
    assert event.best_f1(one, scores, durations, onset_collar=0.5, offset_collar=0.5)["recall/x"] == pytest.approx(2 / 3)


def test_segments_without_a_score_are_never_found_and_rank_last():
    data = one_label([0.9, 0.1], [Event(0, 1, "x"), Event(3, 4, "x")], duration=5)
    assert segment.best_f1(*data)["f1/x"] == pytest.approx(2 / 3)
    # ROC: (0, 1/2), (1/3, 1/2), then the three that are left at once: (1, 1).
    assert segment.auroc(*data, max_fpr=1.0)["auroc@1/x"] == pytest.approx(1 / 6 + (1 / 2 + 1) / 2 * 2 / 3)


def test_segments_before_the_first_frame_are_never_found():
    reference, durations = {"a": [Event(3, 4, "x")]}, {"a": 5.0}
    scores = {"a": Scores([[0.9], [0.9]], [3, 3.5, 4], ["x"])}
    numbers = segment.best_f1(reference, scores, durations)
    assert (numbers["f1/x"], numbers["threshold/x"]) == (1.0, -math.inf)


def test_labels_choose_what_is_evaluated():
    reference, scores, durations = case(5)
    for measure in (intersection.best_f1, event.best_f1, segment.best_f1, segment.auroc):
        every, two = measure(reference, scores, durations), measure(reference, scores, durations, labels=("z", "x"))
        own = {key: value for key, value in every.items() if key.endswith(("/x", "/z"))}
        assert {key: two[key] for key in own} == pytest.approx(own, nan_ok=True)
        assert not any(key.endswith("/y") for key in two)
        with pytest.raises(MetricError, match="label 'w' is not among the scores' labels: x, y, z"):
            measure(reference, scores, durations, labels=("w",))
        with pytest.raises(MetricError, match="label 'x' is given twice"):
            measure(reference, scores, durations, labels=("x", "x"))
        with pytest.raises(MetricError, match="clip 'clip1' has scores but no reference"):
            measure({"clip0": []}, scores, durations)


def test_settings_out_of_range_are_refused():
    data = one_label([0.9, 0.1], [Event(0, 1, "x")])
    for measure, setting, says in (
        (event.best_f1, {"onset_collar": -1.0}, "onset_collar must be >= 0"),
        (event.best_f1, {"offset_collar": math.nan}, "offset_collar must be >= 0"),
        (event.best_f1, {"offset_rate": -0.1}, "offset_rate must be >= 0"),
        (segment.best_f1, {"resolution": 0.0}, "resolution must be a positive number of seconds"),
        (segment.auroc, {"resolution": math.nan}, "resolution must be a positive number of seconds"),
        (segment.auroc, {"max_fpr": 0.0}, r"max_fpr is a share .* must be in \(0, 1\], got 0.0"),
        (intersection.best_f1, {"gtc": 2.0}, "gtc is a share"),
    ):
        with pytest.raises(MetricError, match=says):
            measure(*data, **setting)


@pytest.mark.parametrize("metric", [intersection.best_f1, event.best_f1, segment.best_f1, segment.auroc])
def test_a_reference_without_events_is_nan_throughout(metric):
    scores = {"a": Scores([[0.1, 0.2], [0.3, 0.4]], [0, 1, 2], ("x", "y"))}
    assert np.isnan(list(metric({"a": []}, scores, {"a": 2.0}).values())).all()
    drawing = {
        intersection.best_f1: statistics.best_intersection_f1,
        event.best_f1: statistics.best_event_f1,
        segment.best_f1: statistics.best_segment_f1,
        segment.auroc: statistics.segment_auroc,
    }[metric]
    assert np.isnan(drawing({"a": []}, scores, {"a": 2.0})(np.ones((2, 1), np.float32))).all()


@pytest.mark.parametrize(
    ("function", "setting", "says"),
    [
        (statistics.segment_auroc, {"max_fpr": 0}, "max_fpr"),
        (statistics.segment_auroc, {"max_fpr": 1.5}, "max_fpr"),
        (statistics.best_event_f1, {"onset_collar": -1}, "onset_collar"),
        (statistics.best_event_f1, {"offset_rate": math.inf}, "offset_rate"),
        (statistics.best_intersection_f1, {"dtc": 0}, "dtc"),
        (statistics.best_segment_f1, {"resolution": 0}, "resolution"),
        (statistics.psds, {"dtc": 0, "gtc": 1}, "dtc"),
    ],
)
def test_intervals_refuse_what_their_metrics_refuse(function, setting, says):
    with pytest.raises(MetricError, match=says):
        function({"a": [Event(0, 1, "x")]}, {"a": Scores([[0.1], [0.3]], [0, 1, 2], ("x",))}, {"a": 2.0}, **setting)
