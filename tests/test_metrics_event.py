"""Event-based metrics: hand cases, numbers of sed_eval 0.2.1, an independent matching as oracle, laws."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics import event
from dcasekit.metrics._events import EventTable
from dcasekit.metrics._matching import candidates

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


# numbers of sed_eval 0.2.1

COLLARS = (0.375, 1 / 3, 3 / 7, 1.142857, 0.285714, 0.285714, 0.571429, 0.314815, 1.777778, 0.444444, 0.5, 0)
ONSETS = (0.5, 4 / 9, 4 / 7, 0.857143, 0.285714, 0.142857, 0.428571, 0.388889, 1.555556, 0.666667, 0.5, 0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, COLLARS),
        ({"offset_rate": 0.5}, COLLARS),
        ({"onset_collar": 0.25, "offset_collar": None}, ONSETS),
    ],
    ids=["DCASE task 4", "sed_eval's defaults", "onset only"],
)
def test_hand_case(settings, expected):
    keys = "f1/micro precision/micro recall/micro error_rate/micro substitutions deletions insertions f1/macro error_rate/macro"
    numbers = event.evaluate(REFERENCE, ESTIMATE, labels=LABELS, empty_output="zero", **settings)
    found = [numbers[key] for key in (*keys.split(), "f1/x", "f1/y", "f1/z")]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("true", "found", "hit"),
    [(1.0, 1.2, True), (5.0, 5.2, False), (0.3, 0.5, True), (8.0, 7.8, False), (2.3, 2.5, False), (9.0, 9.2, True)],
)
def test_times_exactly_a_collar_apart_are_compared_as_they_are_unless_tolerated(true, found, hit):
    pair = {"a": [Event(true, 20, "x")]}, {"a": [Event(found, 20, "x")]}
    assert event.counts(*pair, labels=LABELS).hits.sum() == hit
    assert event.counts(*pair, labels=LABELS, tolerance=1e-6).hits.sum() == 1
    ends = ({"a": [Event(0, e.offset if e.offset < 20 else e.onset, "x")]} for pair_ in pair for e in pair_["a"])
    assert event.counts(*ends, labels=LABELS, offset_rate=0.0).hits.sum() == hit


@pytest.mark.parametrize(
    ("seed", "hits", "substitutions"), [(4, 9, 2), (13, 7, 2), (18, 10, 0), (35, 7, 2), (37, 7, 2), (46, 5, 7), (84, 8, 2)]
)
def test_of_several_largest_matchings_the_one_of_sed_eval_is_found(seed, hits, substitutions):
    """In these cases another largest matching leaves other substitutions."""
    rng = np.random.default_rng(seed)
    pair = ({"a": [Event(round(t, 1), round(t + 1, 1), "xxy"[i % 3]) for i, t in enumerate(rng.uniform(0, 4, 16).tolist())]} for _ in "re")
    found = event.counts(*pair, labels=LABELS)
    assert (found.hits.sum(), found.substitutions.sum()) == (hits, substitutions)


# rules


def one(reference, estimate, **settings):
    return event.counts({"a": reference}, {"a": estimate}, labels=LABELS, **settings)


def test_the_offset_may_be_wrong_by_the_larger_of_collar_and_share_of_the_reference():
    long, short = [Event(0, 10, "x")], [Event(0, 0.5, "x")]
    assert one(long, [Event(0, 8, "x")]).hits.sum() == 1
    assert one(long, [Event(0, 7.9, "x")]).hits.sum() == 0
    assert one(short, [Event(0, 0.7, "x")]).hits.sum() == 1
    assert one([Event(0, 8, "x")], long).hits.sum() == 0  # 2 s are more than 20 % of 8 s
    assert one(long, [Event(0, 1, "x")], offset_collar=None).hits.sum() == 1
    assert one(long, [Event(9, 9.5, "x")], onset_collar=math.inf).hits.sum() == 1


def test_substitutions_ignore_the_label_but_not_the_times():
    found = one([Event(0, 1, "x"), Event(5, 6, "x")], [Event(0.1, 1, "y"), Event(6, 7, "y"), Event(5, 6, "z"), Event(0, 1, "z")])
    numbers = event.figures(found, labels=LABELS)
    assert (numbers["substitutions"], numbers["deletions"], numbers["insertions"], numbers["error_rate/micro"]) == (1, 0, 1, 2)
    assert (numbers["error_rate/x"], numbers["f1/micro"]) == (1, 0)


def test_substitutions_are_first_come_first_served_however_hits_are_matched():
    found = one([Event(1.0, 2, "x"), Event(1.3, 2, "x")], [Event(1.15, 2, "y"), Event(0.9, 2, "y")])
    assert found.substitutions.sum() == 1


def test_greedy_matching_depends_on_the_order_and_optimal_does_not():
    reference, estimate = [Event(1.0, 2, "x"), Event(1.3, 2, "x")], [Event(1.15, 2, "x"), Event(0.9, 2, "x")]
    assert one(reference, estimate).hits.sum() == 2
    assert one(reference, estimate, matching="greedy").hits.sum() == 1
    assert one(reference, estimate[::-1], matching="greedy").hits.sum() == 2


def test_clips_are_never_mixed_even_where_collars_are_wide():
    reference = {"a": [Event(0, 1, "x")], "b": [], "c": [Event(1000, 1001, "x")]}
    estimate = {"a": [], "b": [Event(0, 1, "x"), Event(1000, 1001, "x")], "d": [Event(0, 1, "x")]}
    for onset_collar in (0.2, 2000.0, math.inf):
        found = event.counts(reference, estimate, labels=LABELS, onset_collar=onset_collar, offset_collar=None)
        assert (found.hits.sum(), found.substitutions.sum()) == (0, 0)
        assert found.estimate[:, 0].tolist() == [0, 2, 0, 1]


def test_a_chain_of_thousands_of_events_is_matched_in_full():
    """First fit leaves the last estimate alone; to match it, every other pair has to change."""
    times = 10 + 0.3 * np.arange(3000)
    reference = [Event(t, t, "x") for t in times.tolist()]
    estimate = [Event(t, t, "x") for t in [*(times[:-1] + 0.15).tolist(), 9.9]]
    settings = {"onset_collar": 0.16, "offset_collar": None}
    assert one(reference, estimate, matching="greedy", **settings).hits.sum() == 3000 - 1
    assert one(reference, estimate, **settings).hits.sum() == 3000


def test_empty_output_and_absent_labels_are_sed_evals_or_honest():
    reference, estimate = {"a": [Event(0, 1, "x"), Event(0, 1, "y")]}, {"a": [Event(0, 1, "x"), Event(3, 4, "z"), Event(5, 6, "z")]}
    numbers = event.evaluate(reference, estimate, labels=LABELS)
    assert np.isnan([numbers["f1/y"], numbers["precision/y"], numbers["f1/z"], numbers["recall/z"]]).all()
    assert (numbers["f1/macro"], numbers["error_rate/z"]) == (1, 2 / np.spacing(1))
    honest = event.evaluate(reference, estimate, labels=LABELS, empty_output="zero", absent="nan")
    assert (honest["f1/y"], honest["precision/y"], honest["f1/macro"], honest["error_rate/macro"]) == (0, 0, 0.5, 0.5)
    assert np.isnan([honest["f1/z"], honest["error_rate/z"]]).all()
    nothing = event.evaluate({"a": []}, {}, labels=LABELS)
    assert np.isnan(nothing["f1/micro"])
    assert nothing["error_rate/micro"] == 0
    assert np.isnan(event.evaluate({}, {}, labels=LABELS, absent="nan")["error_rate/micro"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("x", "x")}, "label 'x' is given twice"),
        ({"onset_collar": -0.1}, "onset_collar must be >= 0, got -0.1"),
        ({"offset_collar": -0.1}, "offset_collar must be >= 0"),
        ({"offset_rate": math.nan}, "offset_rate must be >= 0, got nan"),
        ({"tolerance": -1e-6}, "tolerance must be >= 0"),
        ({"matching": "best"}, "matching must be one of 'optimal', 'greedy'; got 'best'"),
    ],
)
def test_event_refuses(settings, message):
    with pytest.raises(MetricError, match=message):
        event.counts({"a": [Event(0, 1, "x")]}, {}, **{"labels": LABELS, **settings})


# laws

EVENT = st.builds(
    lambda onset, length, label: Event(onset, onset + length, label),
    st.integers(0, 30).map(lambda tenth: tenth / 10) | st.floats(0, 3),
    st.sampled_from([0, 0.3, 1, 2]),
    st.sampled_from(LABELS),
)
CLIPS = st.dictionaries(st.sampled_from("abc"), st.lists(EVENT, max_size=12))


def agree(true, found):
    return abs(true.onset - found.onset) <= 0.2 and abs(true.offset - found.offset) <= max(0.2, 0.2 * (true.offset - true.onset))


@given(CLIPS, CLIPS)
def test_hits_are_as_many_as_scipy_can_match(reference, estimate):
    found = event.counts(reference, estimate, labels=LABELS)
    for index, clip in enumerate(dict.fromkeys((*reference, *estimate))):
        for column, label in enumerate(LABELS):
            true, heard = ([e for e in side.get(clip, []) if e.label == label] for side in (reference, estimate))
            assert (found.reference[index, column], found.estimate[index, column]) == (len(true), len(heard))
            graph = csr_array(np.array([[agree(t, h) for h in heard] for t in true], dtype=bool).reshape(len(true), len(heard)))
            assert found.hits[index, column] == (maximum_bipartite_matching(graph) >= 0).sum()


@given(CLIPS, CLIPS)
def test_greedy_hits_and_substitutions_are_first_come_first_served(reference, estimate):
    found = event.counts(reference, estimate, labels=LABELS, matching="greedy")
    for index, clip in enumerate(dict.fromkeys((*reference, *estimate))):
        left, heard = list(reference.get(clip, [])), list(estimate.get(clip, []))
        taken = []
        for same_label in (True, False):
            missed = []
            for true in left:
                fits = (i for i, e in enumerate(heard) if e and agree(true, e) and (e.label == true.label or not same_label))
                first = next(fits, None)
                if first is None:
                    missed.append(true)
                else:
                    heard[first] = None
            taken.append(len(left) - len(missed))
            left = missed
        assert [found.hits[index].sum(), found.substitutions[index]] == taken


@given(CLIPS, CLIPS, st.randoms(use_true_random=False))
def test_order_of_clips_and_events_does_not_move_hits(reference, estimate, random):
    mixed = [
        {clip: random.sample(listed[clip], len(listed[clip])) for clip in random.sample(list(listed), len(listed))}
        for listed in (reference, estimate)
    ]
    numbers = [event.evaluate(*pair, labels=LABELS) for pair in ((reference, estimate), mixed)]
    for key in numbers[0]:
        if key.startswith(("f1", "precision", "recall", "error_rate/x", "error_rate/macro")):
            assert numbers[0][key] == pytest.approx(numbers[1][key], nan_ok=True)


@given(CLIPS)
def test_the_reference_itself_is_a_perfect_estimate(reference):
    numbers = event.evaluate(reference, reference, labels=LABELS, onset_collar=0.0, offset_collar=0.0, offset_rate=0.0)
    occurs = any(reference.values())
    assert numbers["f1/micro"] == pytest.approx(1 if occurs else np.nan, nan_ok=True)
    assert numbers["f1/macro"] == pytest.approx(1 if occurs else np.nan, nan_ok=True)
    assert numbers["error_rate/micro"] == numbers["error_rate/macro"] == 0


@given(CLIPS, CLIPS)
def test_counts_of_clips_add_up_to_the_counts_of_all(reference, estimate):
    together = event.counts(reference, estimate, labels=LABELS)
    for index, clip in enumerate(dict.fromkeys((*reference, *estimate))):
        alone = event.counts({clip: reference.get(clip, [])}, {clip: estimate.get(clip, [])}, labels=LABELS)
        for name in ("hits", "reference", "estimate", "substitutions"):
            np.testing.assert_array_equal(getattr(together, name)[index], getattr(alone, name)[0])
    errors = event.figures(together, labels=LABELS, absent="nan")
    assert errors["error_rate/micro"] == pytest.approx(errors["substitutions"] + errors["deletions"] + errors["insertions"], nan_ok=True)
    assert (
        together.hits.sum(axis=1) + together.substitutions <= np.minimum(*(n.sum(axis=1) for n in (together.reference, together.estimate)))
    ).all()


@given(seed=st.integers(0, 10**6), reach=st.sampled_from([0.1, 0.5, math.inf]), offsets=st.sampled_from([None, 0.0, 0.3, math.inf]))
def test_pairs_are_those_whose_times_agree(seed, reach, offsets):
    rng = np.random.default_rng(seed)
    true, found = (
        EventTable(np.sort(rng.integers(0, 3, 12)), rng.integers(0, 2, 12), onset, onset + rng.integers(0, 20, 12) / 10)
        for onset in (rng.integers(0, 30, 12) / 10, rng.integers(0, 30, 12) / 10)
    )
    limit = None if offsets is None else np.full(12, offsets)
    expected = [
        (i, k)
        for i in range(12)
        for k in range(12)
        if true.clip[i] == found.clip[k]
        and abs(true.onset[i] - found.onset[k]) <= reach
        and (limit is None or abs(true.offset[i] - found.offset[k]) <= limit[i])
    ]
    assert list(zip(*(each.tolist() for each in candidates(true, found, reach, limit)), strict=True)) == expected


def test_memory_grows_with_events_not_with_pairs_where_onsets_are_not_compared():
    listed = [Event(0.3 * i, 0.3 * i + 0.2, "x") for i in range(8000)]
    tracemalloc.start()
    numbers = event.evaluate({"a": listed}, {"a": listed}, labels=("x",), onset_collar=math.inf)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert numbers["f1/x"] == 1
    assert used < 10e6


def test_events_that_are_all_near_each_other_are_matched_in_memory_that_grows_with_their_pairs():
    """2,000 events of one label in 2.5 s, each of which may be matched with hundreds of others."""
    rng = np.random.default_rng(0)
    sides = [[Event(t, t + length, "x") for t, length in rng.uniform((0, 0.05), (2.5, 1), (2000, 2)).tolist()] for _ in "re"]
    pairs = np.array([[agree(true, found) for found in sides[1]] for true in sides[0]])
    tracemalloc.start()
    found = one(*sides)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.hits.sum() == (maximum_bipartite_matching(csr_array(pairs)) >= 0).sum()
    assert pairs.sum() > 50_000
    print(used, pairs.sum())
    assert used < 150 * pairs.sum() + 20e6


@pytest.mark.parametrize("greedy", [False, True])
def test_pairs_are_chosen_as_sed_eval_walks_through_them_in_whatever_order_they_come(greedy):
    """By a plain copy of the walk: first come, first served; or first fit by the order in which estimates are named."""
    from dcasekit.metrics._matching import match

    rng = np.random.default_rng(0)
    for _ in range(300):
        pairs = sorted({(int(a), int(b)) for a, b in rng.integers(0, 6, (int(rng.integers(1, 16)), 2))})
        first, second = (np.array(side) for side in zip(*pairs, strict=True))
        chosen = match(first, second, greedy=greedy)
        if greedy:
            partner, taken = {}, set()
            for reference, estimate in pairs:
                if reference not in partner and estimate not in taken:
                    partner[reference] = estimate
                    taken.add(estimate)
            assert [partner.get(a) == b for a, b in pairs] == chosen.tolist()
        mixed = rng.permutation(len(pairs))
        assert match(first[mixed], second[mixed], greedy=greedy).tolist() == chosen[mixed].tolist()
