"""PSDS and intersection-based F1: published hand cases, a brute-force implementation, laws."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import intersection
from dcasekit.metrics._events import tabulate
from dcasekit.metrics._scored import merge
from dcasekit.metrics.psds import PSDS1, PSDS2, PSDS_2020, PSDS_2020_CROSS_TRIGGER, PSDS_2020_MACRO, psds, roc
from dcasekit.scores import Scores, to_events

SETTINGS = [PSDS1, PSDS2, PSDS_2020, PSDS_2020_CROSS_TRIGGER, PSDS_2020_MACRO]
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


def three_operating_points():
    """Scores above 0.1 make all estimates, above 0.4 those longer than 0.55 s, above 0.7 those longer than 1.5 s."""
    scores = {}
    for clip, listed in ESTIMATE.items():
        values = np.zeros((100, 3))
        for event in listed:
            length = event.offset - event.onset
            score = 0.8 if length > 1.5 else 0.5 if length > 0.55 else 0.2
            values[round(event.onset * 10) : round(event.offset * 10), LABELS.index(event.label)] = score
        scores[clip] = Scores(values, np.arange(101) / 10, LABELS)
    return scores


def case(seed, clips=4, labels=3, frames=12, steps=6):
    """Make random clips: events and frame edges on a grid of 0.25 s, scores of few values so that many are equal."""
    rng = np.random.default_rng(seed)
    reference, scores, durations = {}, {}, {}
    for clip in range(clips):
        name, size = f"clip{clip}", frames - int(rng.integers(3))
        listed = []
        for label in LABELS[:labels]:
            bounds = np.sort(rng.choice(4 * frames, size=2 * int(rng.integers(3)), replace=False)).reshape(-1, 2) / 4
            listed += [Event(onset, offset, label) for onset, offset in bounds.tolist()]
        values = rng.integers(-1, steps, size=(size, labels)) / steps
        scores[name] = Scores(values, np.append(0, rng.choice([0.5, 1.0, 1.25], size=size).cumsum()), LABELS[:labels])
        durations[name] = float(scores[name].edges[-1] + rng.uniform(0, 8))
        reference[name] = [event for event in listed if event.offset <= durations[name]]
    if not any(reference.values()):
        reference["clip0"] = [Event(1.0, 2.0, "x")]
    return reference, scores, durations


# brute force: every threshold, every detection, every event


def cover(event, others):
    return sum(max(0.0, min(event.offset, other.offset) - max(event.onset, other.onset)) for other in others)


def reaches(covered, share, event):
    return round(covered, 6) >= round(share * (event.offset - event.onset), 6)


def operating_point(reference, detected, label, labels, setting):
    """Count hits, false alarms and cross triggers of each other label at one threshold."""
    hits, alarms, cross = 0, 0, dict.fromkeys(labels, 0)
    for clip, listed in reference.items():
        of = {name: [event for event in listed if event.label == name] for name in labels}
        found = [event for event in detected[clip] if event.label == label]
        valid = [event for event in found if reaches(cover(event, of[label]), setting["dtc"], event)]
        hits += sum(reaches(cover(event, valid), setting["gtc"], event) for event in of[label])
        for event in found:
            if event not in valid:
                alarms += 1
                for other in labels:
                    if other != label and of[other] and reaches(cover(event, of[other]), setting["cttc"] or 2, event):
                        cross[other] += 1
    return hits, alarms, cross


def brute_force(reference, scores, durations, setting):
    labels = next(iter(scores.values())).labels
    every = [event for listed in reference.values() for event in listed]
    number = {label: sum(event.label == label for event in every) for label in labels}
    seconds = {label: sum(event.offset - event.onset for event in every if event.label == label) for label in labels}
    held = [label for label in labels if number[label]]
    levels = np.unique(np.concatenate([each.values.ravel() for each in scores.values()]))
    points = {label: [(0.0, 0.0)] for label in held}
    for level in levels:
        detected = {clip: to_events(each, threshold=np.nextafter(level, np.float32(-9))) for clip, each in scores.items()}
        for label in held:
            hits, alarms, cross = operating_point(reference, detected, label, labels, setting)
            rates = [cross[other] / seconds[other] for other in held if other != label]
            rate = alarms / sum(durations.values()) + setting["alpha_ct"] * (sum(rates) / len(rates) if rates else 0)
            points[label].append((rate * 3600, hits / number[label]))
    end = setting["max_fp_per_hour"]
    steps = sorted({x for each in points.values() for x, _ in each if x < end} | {end})
    area = 0.0
    for x, following in zip(steps, steps[1:], strict=False):
        tpr = [max(y for own, y in points[label] if own <= x) for label in held]
        area += max(0.0, np.mean(tpr) - setting["alpha_st"] * np.std(tpr)) * (following - x)
    return area / end


# published cases


@pytest.mark.parametrize(
    ("criterion", "alpha_ct", "alpha_st", "end", "value"),
    [
        (0.5, 0, 0, 100, 0.555556),
        (0.5, 0, 1, 100, 0.241286),
        (0.5, 0, 0, 1000, 0.737778),
        (0.5, 0.5, 1, 1000, 0.387144),
        (0.5, 0.5, 0, 1000, 0.701414),
        (0.7, 0, 0, 100, 0.222222),
        (0.7, 0, 1, 100, 0.065087),
        (0.7, 0, 0, 1000, 0.404444),
        (0.7, 0.5, 1, 1000, 0.041207),
        (0.7, 0.5, 0, 1000, 0.368081),
    ],
)
def test_psds_of_three_operating_points_is_that_of_psds_eval(criterion, alpha_ct, alpha_st, end, value):
    setting = {"dtc": criterion, "gtc": criterion, "cttc": 0.3, "alpha_ct": alpha_ct, "alpha_st": alpha_st, "max_fp_per_hour": end}
    numbers = psds(REFERENCE, three_operating_points(), TEN_SECONDS, **setting, thresholds=[0.1, 0.4, 0.7])
    assert numbers["psds"] == pytest.approx(value, abs=1e-6)


def test_curves_pass_through_the_published_rates():
    curve = roc(REFERENCE, three_operating_points(), TEN_SECONDS, dtc=0.5, gtc=0.5, max_fp_per_hour=None, thresholds=[0.1])
    assert {label: (x[-1], y[-1]) for label, (x, y) in curve.labels.items()} == {
        "x": (pytest.approx(360), 1),
        "y": (0, pytest.approx(1 / 3)),
        "z": (pytest.approx(180), 1),
    }
    assert curve.max_fp_per_hour == pytest.approx(360)
    assert curve.fp_per_hour.tolist() == pytest.approx([0, 180, 360])
    assert curve.tpr.tolist() == pytest.approx([1 / 9, 4 / 9, 7 / 9])
    # A detection of x that is a cross trigger with y: 1 in 5.5 s of y, halved by the mean over y and z.
    costly = roc(
        REFERENCE, three_operating_points(), TEN_SECONDS, dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=1, max_fp_per_hour=None, thresholds=[0.1]
    )
    assert costly.labels["x"][0][-1] == pytest.approx(360 + 654.545 / 2, abs=1e-3)
    assert costly.labels["z"][0][-1] == pytest.approx(180 + (679.245 + 654.545) / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("criterion", "unfound", "macro"), [(0.5, "zero", 0.638889), (0.7, "nan", 0.625), (0.7, "zero", 0.416667), (0.1, "nan", 0.638889)]
)
def test_intersection_f1_is_that_of_psds_eval(criterion, unfound, macro):
    numbers = intersection.f1(REFERENCE, ESTIMATE, labels=LABELS, dtc=criterion, gtc=criterion, unfound=unfound)
    assert numbers["f1/macro"] == pytest.approx(macro, abs=1e-6)
    if criterion == 0.5:
        assert [numbers[f"f1/{label}"] for label in LABELS] == pytest.approx([0.75, 0.5, 2 / 3])


# brute force and laws


@given(seed=st.integers(0, 10**6), setting=st.sampled_from(SETTINGS), labels=st.integers(1, 3), end=st.sampled_from([100.0, 2000.0]))
def test_psds_agrees_with_brute_force(seed, setting, labels, end):
    data, setting = case(seed, labels=labels), {**setting, "max_fp_per_hour": end}
    numbers = psds(*data, **setting)
    assert numbers["psds"] == pytest.approx(brute_force(*data, setting), abs=1e-10)
    if labels == 1:
        assert numbers["psds"] == numbers["psds/x"]


def test_many_blocks_and_long_clips_give_the_same_as_one(monkeypatch):
    data = case(3, clips=30)
    whole = psds(*data, **PSDS2)
    monkeypatch.setattr("dcasekit.metrics._detections._CELLS", 1)
    assert psds(*data, **PSDS2) == pytest.approx(whole, abs=1e-12)


@given(seed=st.integers(0, 10**6), setting=st.sampled_from(SETTINGS))
def test_order_of_clips_and_rescaling_of_scores_do_not_matter(seed, setting):
    reference, scores, durations = case(seed)
    numbers = psds(reference, scores, durations, **setting)
    backwards = psds(reference, dict(reversed(scores.items())), durations, **setting)
    assert backwards == pytest.approx(numbers, abs=1e-12, nan_ok=True)
    cubed = {clip: Scores(np.exp(each.values.astype(float)), each.edges, each.labels) for clip, each in scores.items()}
    assert psds(reference, cubed, durations, **setting) == pytest.approx(numbers, abs=1e-12, nan_ok=True)


@given(seed=st.integers(0, 10**6), setting=st.sampled_from(SETTINGS))
def test_all_thresholds_find_at_least_what_a_list_finds(seed, setting):
    setting = {**setting, "alpha_st": 0.0}  # with it, finding more of one label alone costs
    data = case(seed)
    some = psds(*data, **setting, thresholds=[0.1, 0.5, 0.9])["psds"]
    every = psds(*data, **setting)["psds"]
    between = psds(*data, **setting, thresholds=np.arange(-3, 12) / 12)["psds"]  # one below each value that occurs
    assert some <= every + 1e-12
    assert between == pytest.approx(every, abs=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
def test_perfect_scores_give_1_and_constant_ones_what_they_are_worth(setting):
    edges = np.arange(101) / 10
    perfect = {}
    for clip, listed in REFERENCE.items():
        values = np.zeros((100, 3))
        for event in listed:
            values[round(event.onset * 10) : round(event.offset * 10), LABELS.index(event.label)] = 1
        perfect[clip] = Scores(values, edges, LABELS)
    assert psds(REFERENCE, perfect, TEN_SECONDS, **setting) == pytest.approx(dict.fromkeys(("psds", "psds/x", "psds/y", "psds/z"), 1.0))
    without_alarms = {**setting, "max_fp_per_hour": None}
    assert psds(REFERENCE, perfect, TEN_SECONDS, **without_alarms, thresholds=[0.5])["psds"] == 1.0
    nothing = {clip: Scores(np.zeros((100, 3)), edges, LABELS) for clip in REFERENCE}
    assert psds(REFERENCE, nothing, TEN_SECONDS, **setting, thresholds=[0.0])["psds"] == 0.0


def test_the_axis_ends_at_the_largest_rate_also_where_nothing_more_is_found():
    scores = {"a": Scores([[0.9], [0.1], [0.5], [0.1], [0.5]], [0, 1, 2, 3, 4, 10], ["x"])}
    curve = roc({"a": [Event(0, 1, "x")]}, scores, {"a": 10.0}, dtc=0.5, gtc=0.5, max_fp_per_hour=None, thresholds=[0.7, 0.3])
    assert (curve.fp_per_hour.tolist(), curve.tpr.tolist(), curve.max_fp_per_hour) == ([0.0], [1.0], pytest.approx(720))


def test_a_score_must_exceed_a_threshold():
    scores = {"a": Scores([[0.5], [0.1]], [0, 1, 2], ["x"])}
    for threshold, value in ((0.49, 1.0), (0.5, 0.0), (0.1, 1.0)):  # 0.1 is less than float32(0.1), which is not above it all the same
        assert psds({"a": [Event(0, 1, "x")]}, scores, {"a": 2.0}, **PSDS1, thresholds=[threshold])["psds"] == value


def test_a_label_without_reference_is_nan_and_in_no_mean():
    scores = three_operating_points()
    silent = {clip: Scores(np.pad(each.values, ((0, 0), (0, 1))), each.edges, (*LABELS, "w")) for clip, each in scores.items()}
    setting = {**PSDS2, "max_fp_per_hour": 2000.0}
    numbers, three = (psds(REFERENCE, each, TEN_SECONDS, **setting) for each in (silent, scores))
    assert 0.1 < three["psds"] < 0.99
    assert math.isnan(numbers.pop("psds/w"))
    assert numbers == pytest.approx(three)


def test_touching_and_overlapping_reference_events_are_one():
    cut = events(
        "a x 0.0-1.2, a x 1.2-3.2, a x 4.5-6.0, a x 4.6-4.8, a x 5.0-5.5, a y 1.0-2.0, a z 7.0-9.7, b y 0.5-4.0, b x 5.0-5.6, b y 8.0-9.0"
    )
    cut["a"].append(Event(3.2, 3.2, "x"))  # a point at the end of an event is part of it
    for setting in SETTINGS:
        assert psds(cut, three_operating_points(), TEN_SECONDS, **setting) == psds(
            REFERENCE, three_operating_points(), TEN_SECONDS, **setting
        )
    assert intersection.f1(cut, ESTIMATE, labels=LABELS) == intersection.f1(REFERENCE, ESTIMATE, labels=LABELS)


def test_f1_of_nothing():
    numbers = intersection.f1({"a": [Event(0, 1, "x")]}, {"b": [Event(0, 1, "y")]}, labels=LABELS)
    assert numbers["f1/x"] == numbers["recall/x"] == numbers["f1/macro"] == numbers["f1/micro"] == 0
    assert np.isnan([numbers["precision/x"], numbers["f1/y"], numbers["recall/y"], numbers["f1/z"]]).all()
    assert numbers["precision/y"] == 0


# refusals


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r, s, d: s.clear(), "scores is empty"),
        (lambda r, s, d: s.pop("a"), "clip 'a', which has no scores"),
        (lambda r, s, d: r.pop("b"), "clip 'b' has scores but no reference"),
        (lambda r, s, d: d.pop("b"), "clip 'b' needs a duration in seconds > 0, got None"),
        (lambda r, s, d: d.update(b=0.0), "clip 'b' needs a duration"),
        (lambda r, s, d: d.update(b=math.inf), "clip 'b' needs a duration"),
        (lambda r, s, d: r["a"].append(Event(0, 1, "w")), "unknown label 'w' in clip 'a'"),
        (lambda r, s, d: s.update(b=Scores(s["b"].values, s["b"].edges, "xzy")), "the scores of clip 'b' have labels x, z, y"),
        (lambda r, s, d: r.update(a=[], b=[]), "the reference holds no event"),
    ],
)
def test_input_that_does_not_fit_together_is_refused(change, says):
    data = {clip: list(listed) for clip, listed in REFERENCE.items()}, three_operating_points(), dict(TEN_SECONDS)
    change(*data)
    with pytest.raises(MetricError, match=says):
        psds(*data, **PSDS1)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"dtc": 0.0}, r"dtc is a share of a length and must be in \(0, 1\], got 0.0"),
        ({"gtc": 1.1}, "gtc is a share"),
        ({"cttc": math.nan}, "cttc is a share"),
        ({"alpha_ct": 1.0}, "which are only found if cttc is given"),
        ({"alpha_ct": -1.0}, "alpha_ct is a weight"),
        ({"alpha_st": math.nan}, "alpha_st is a weight"),
        ({"max_fp_per_hour": 0.0}, "max_fp_per_hour must be > 0"),
        ({"thresholds": []}, "at least one"),
        ({"thresholds": [math.nan]}, "finite"),
    ],
)
def test_settings_out_of_range_are_refused(setting, says):
    with pytest.raises(MetricError, match=says):
        psds(REFERENCE, three_operating_points(), TEN_SECONDS, **{**PSDS1, **setting})


def test_f1_refuses_what_it_does_not_know():
    for setting, says in (
        ({"dtc": 0}, "dtc"),
        ({"unfound": "none"}, "unfound must be one of 'zero', 'nan'"),
        ({"labels": "xyx"}, "label 'x' is given twice"),
    ):
        with pytest.raises(MetricError, match=says):
            intersection.f1(REFERENCE, ESTIMATE, **{"labels": LABELS, **setting})


def peak(function):
    tracemalloc.start()
    function()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used


def test_memory_grows_with_events_not_with_pairs_of_them():
    """All pairs of 8,000 events of one clip were 2.8 GB."""
    listed = [Event(0.3 * i, 0.3 * i + 0.2, "x") for i in range(20_000)]
    found = [Event(e.onset + 0.05, e.offset + 0.05, "x") for e in listed]
    numbers = {}
    assert peak(lambda: numbers.update(intersection.f1({"a": listed}, {"a": found}, labels=["x"]))) < 20e6
    assert numbers["f1/x"] == 1
    assert intersection.f1({"a": listed}, {"a": found}, labels=["x"], dtc=0.76)["f1/x"] == 0


def test_memory_of_psds_grows_with_frames_not_with_what_nested_detections_hold():
    """Scores that rise all the time: each detection holds all events of the one before, and one more."""
    listed = [Event(0.3 * i, 0.3 * i + 0.25, "x") for i in range(2000)]
    scores = {"a": Scores(np.linspace(0, 1, 6000)[:, None], np.arange(6001) / 10, ["x"])}
    numbers = {}
    assert peak(lambda: numbers.update(psds({"a": listed}, scores, {"a": 600.0}, **PSDS1))) < 20e6
    assert numbers["psds"] == 1


@pytest.mark.parametrize(("gap", "number"), [(0, 1), (1e-6, 1), (2e-6, 2)])
def test_events_closer_than_a_microsecond_touch(gap, number):
    assert len(merge(tabulate({"a": [Event(0, 1, "x"), Event(1 + gap, 2, "x")]}, ["a"], ["x"])).onset) == number


@given(seed=st.integers(0, 10**6))
def test_events_are_joined_as_one_by_one(seed):
    rng = np.random.default_rng(seed)
    listed = [Event(a, a + rng.choice([0, 0.5, 1, 3]), str(rng.choice(["x", "y"]))) for a in rng.integers(0, 40, 12) / 2]
    expected = []
    for event in sorted(listed, key=lambda each: (each.label, each.onset, each.offset)):
        last = expected[-1] if expected else None
        if last and last.label == event.label and event.onset <= last.offset + 1e-6:
            expected[-1] = Event(last.onset, max(last.offset, event.offset), event.label)
        else:
            expected.append(event)
    table = merge(tabulate({"a": listed}, ["a"], ["x", "y"]))
    assert list(zip(table.label, table.onset, table.offset, strict=True)) == [
        ("xy".index(event.label), event.onset, event.offset) for event in expected
    ]
