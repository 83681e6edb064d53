"""Post-processing: published chains step by step, and what each step may and may not change."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dcasekit.annotations import Event
from dcasekit.errors import AnnotationError
from dcasekit.scores import Scores, to_events
from dcasekit.scores.postprocessing import boxes_to_scores, close_gaps, csebbs, dcase2023_4b_events, drop_short, hysteresis

LABELS = ("cat", "dog")
WEIGHTS = st.sampled_from([0.25, 0.5, 1.0])


@st.composite
def events(draw, most=12):
    """Events on a grid of 0.01 s, of two labels, overlapping or not, some of length 0."""
    rows = draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40), st.sampled_from(LABELS), WEIGHTS), max_size=most))
    return [Event(start / 100, (start + length) / 100, label, weight) for start, length, label, weight in rows]


def covered(listed, label):
    """Hundredths of a second that events of a label cover."""
    cells = [range(round(e.onset * 100), round(e.offset * 100)) for e in listed if e.label == label]
    return set(itertools.chain.from_iterable(cells))


# events mended


@given(made=events(), limit=st.integers(0, 30))
def test_short_events_go_and_the_others_stay_as_they_are(made, limit):
    kept = drop_short(made, seconds=limit / 100)
    assert kept == sorted(e for e in made if round(100 * e.offset) - round(100 * e.onset) >= limit)
    assert drop_short(kept, seconds=limit / 100) == kept


@given(made=events(), limit=st.integers(0, 30))
def test_closed_gaps_are_the_short_ones(made, limit):
    closed = close_gaps(made, seconds=limit / 100)
    assert close_gaps(closed, seconds=limit / 100) == closed == sorted(closed)
    for label in LABELS:
        mine = [e for e in closed if e.label == label]
        assert all(round(100 * b.onset) - round(100 * a.offset) > limit for a, b in itertools.pairwise(mine))
        added = sorted(covered(closed, label) - covered(made, label))
        assert covered(made, label) <= covered(closed, label)
        # What was added is gaps of at most the limit, each from the end of an event to the beginning of another.
        ends, starts = ({round(100 * getattr(e, at)) for e in made if e.label == label} for at in ("offset", "onset"))
        for _, run in itertools.groupby(enumerate(added), key=lambda pair: pair[1] - pair[0]):
            cells = [cell for _, cell in run]
            assert len(cells) <= limit
            assert cells[0] in ends
            assert cells[-1] + 1 in starts
        for event in mine:
            inside = [e for e in made if e.label == label and event.onset <= e.onset and e.offset <= event.offset]
            assert event.weight == max(e.weight for e in inside)


@given(made=events(), data=st.data())
def test_the_order_in_which_events_are_given_does_not_matter(made, data):
    shuffled = data.draw(st.permutations(made))
    assert close_gaps(shuffled, seconds=0.05) == close_gaps(made, seconds=0.05)
    assert drop_short(iter(shuffled), seconds=0.05) == drop_short(made, seconds=0.05)


@given(made=events(), cat=st.integers(0, 30), dog=st.integers(0, 30))
def test_each_label_has_its_seconds(made, cat, dog):
    seconds = {"cat": cat / 100, "dog": dog / 100, "bird": 9.0}
    for step in (drop_short, close_gaps):
        apart = [step([e for e in made if e.label == label], seconds=seconds[label]) for label in LABELS]
        assert step(made, seconds=seconds) == sorted(itertools.chain(*apart))


def test_a_tenth_of_a_second_is_one_wherever_it_lies():
    tenths = [Event(k / 10, (k + 1) / 10, str(k)) for k in range(1000)]  # 0.3 - 0.2 < 0.1 < 0.4 - 0.3 in binary
    assert len(drop_short(tenths, seconds=0.1)) == 1000
    pairs = [Event(max(0, k - 5) / 10, k / 10, str(k)) for k in range(1000)] + [
        Event((k + 1) / 10, k / 10 + 1, str(k)) for k in range(1000)
    ]
    assert len(close_gaps(pairs, seconds=0.1)) == 1000
    assert len(close_gaps(pairs, seconds=0.0999)) == 2000


def test_gaps_are_closed_before_short_events_are_dropped():
    broken = [Event(0, 0.2, "dog"), Event(0.25, 0.45, "dog")]
    assert drop_short(close_gaps(broken, seconds=0.1), seconds=0.3) == [Event(0, 0.45, "dog")]
    assert close_gaps(drop_short(broken, seconds=0.3), seconds=0.1) == []


@pytest.mark.parametrize("step", [drop_short, close_gaps])
@pytest.mark.parametrize(
    ("seconds", "complaint"),
    [(-0.1, "seconds must be >= 0, got -0.1"), (math.nan, "not NaN"), ({"cat": 1.0}, "no seconds for label 'dog'; given for: cat")],
)
def test_seconds_that_make_no_sense_are_refused(step, seconds, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        step([Event(0, 1, "cat"), Event(0, 1, "dog")], seconds=seconds)


# two thresholds


@given(
    values=arrays(np.float32, (20, 2), elements=st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])),
    low=st.sampled_from([0.1, 0.2, 0.5]),
    high=st.sampled_from([0.5, 0.7, 0.8]),
)
def test_hysteresis_grows_what_is_sure_over_what_is_likely(values, low, high):
    made = Scores(values, np.arange(21) * 0.02, ("dog", "cat"))
    grown = values > np.float32(high)
    for _ in range(20):  # sure frames, then their likely neighbours, and theirs ...
        beside = np.zeros_like(grown)
        beside[1:] = grown[:-1]
        beside[:-1] |= grown[1:]
        grown |= beside & (values > np.float32(low))
    expected = to_events(Scores(np.where(grown, values, -1), made.edges, made.labels), threshold=low)
    assert hysteresis(made, high=high, low=low) == expected
    assert hysteresis(made, high=[high] * 2, low={"cat": low, "dog": low}) == expected
    assert hysteresis(made, high=high, low=high) == to_events(made, threshold=high)


def test_a_low_threshold_above_the_high_one_is_refused():
    with pytest.raises(AnnotationError, match=r"label 'dog': the low threshold 0\.5 must not be above the high one, 0\.4"):
        hysteresis(Scores([[1, 1]], [0, 1], LABELS), high={"cat": 0.6, "dog": 0.4}, low=0.5)


# DCASE 2023 task 4B


def frames_of(*spans, length=20):
    active = np.zeros((length, 1))
    for first, last in spans:
        active[first : last + 1] = 1
    return Scores(active, np.arange(length + 1) * 0.2, ("car",))


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(1, 4)], [(0, 1)]),
        ([(0, 3)], []),
        ([(2, 5)], [(0, 1)]),
        ([(12, 14)], [(2, 3)]),
        ([(0, 6), (9, 14)], [(0, 3)]),
        ([(0, 4)], [(0, 1)]),
        ([(4, 5)], [(0, 1)]),  # "a run in frames 4..5 becomes a full second"
    ],
)
def test_the_2023_task_4b_baseline_rounds_both_ends_down(spans, expected):
    """Cases run through the baseline's own code."""
    assert [(e.onset, e.offset) for e in dcase2023_4b_events(frames_of(*spans))] == expected


@given(active=arrays(np.bool_, (60, 2)), grid=st.sampled_from([np.arange(61) * 0.2, np.cumsum([0.0, *[0.2] * 60]), np.arange(61) / 5]))
def test_the_2023_task_4b_chain_is_that_of_whole_numbers(active, grid):
    expected = []
    for k, label in enumerate(LABELS):
        change = np.flatnonzero(np.diff(active[:, k].astype(int), prepend=0, append=0)).reshape(-1, 2)
        seconds = set()
        for first, last in change.tolist():  # a fifth of a second a frame; whole seconds cannot be less than 0.1 s apart but touch
            seconds |= set(range(first // 5, last // 5))
        runs = [[s for _, s in run] for _, run in itertools.groupby(enumerate(sorted(seconds)), key=lambda pair: pair[1] - pair[0])]
        expected += [(run[0], run[-1] + 1, label) for run in runs]
    found = dcase2023_4b_events(Scores(active, grid, LABELS))
    assert [(e.onset, e.offset, e.label) for e in found] == sorted(expected)


def test_the_2023_task_4b_chain_knows_a_whole_second_that_was_summed_up():
    grid = np.cumsum([0.0, *[0.2] * 20])
    assert grid[10] < 2 < grid[10] + 1e-12
    active = np.zeros((20, 1))
    active[10:15] = 1
    assert dcase2023_4b_events(Scores(active, grid, ("car",))) == [Event(2, 3, "car")]


def test_the_2023_task_4b_threshold_is_strict():
    assert dcase2023_4b_events(Scores([[0.5]] * 10, np.arange(11) * 0.2, ("car",))) == []
    assert dcase2023_4b_events(Scores([[0.5]] * 10, np.arange(11) * 0.2, ("car",)), threshold={"car": 0.4}) == [Event(0, 2, "car", 0.5)]


# bounding boxes


def noise(seed, frames=60, labels=LABELS, hop=0.02):
    """Scores that wander as those of a network do: mostly near 0 or 1, never quite constant."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.7, (frames, len(labels))), axis=0) - 1
    return Scores(1 / (1 + np.exp(-walk.clip(-3, 3) - rng.normal(0, 0.3, walk.shape))), np.arange(frames + 1) * hop, labels)


def slow_boxes(column, half, drop, ratio):
    """Boxes (first frame, end, confidence) with a step filter of 2 * half frames, border by border."""
    x = [0.0] * half + [float(v) for v in column] + [0.0] * half
    changes = [(sum(x[b + half : b + 2 * half]) - sum(x[b : b + half])) / half for b in range(len(column) + 1)]
    borders = []  # of alternating sign, each the steepest of its kind in a row
    for border, change in enumerate(changes):
        if abs(change) < 1e-6:
            continue
        if borders and (changes[borders[-1]] > 0) == (change > 0):
            if abs(change) > abs(changes[borders[-1]]):
                borders[-1] = border
        else:
            borders.append(border)
    boxes = list(zip(borders[::2], borders[1::2], strict=True))
    mean = lambda a, b: sum(float(v) for v in column[a:b]) / (b - a)  # noqa: E731
    while True:
        shallow = []
        for i, ((a, b), (c, d)) in enumerate(itertools.pairwise(boxes)):
            surer, gap = max(mean(a, b), mean(c, d)), mean(b, c)
            if surer - gap <= drop and surer <= ratio * gap:
                shallow.append((surer - gap, i))
        if not shallow:
            return [(a, b, mean(a, b)) for a, b in boxes]
        i = min(shallow)[1]
        boxes[i : i + 2] = [(boxes[i][0], boxes[i + 1][1])]


@given(
    seed=st.integers(0, 10**6),
    half=st.integers(1, 8),
    drop=st.sampled_from([0.0, 0.15, 0.3, 1.0]),
    ratio=st.sampled_from([1.0, 1.5, 3.0, 1e9]),
)
def test_boxes_are_those_of_the_slow_way(seed, half, drop, ratio):
    made = noise(seed)
    expected = []
    for k, label in enumerate(made.labels):
        expected += [(made.edges[a], made.edges[b], label, mean) for a, b, mean in slow_boxes(made.values[:, k], half, drop, ratio)]
    found = csebbs(made, step_filter_length=2 * half * 0.02, merge_threshold_abs=drop, merge_threshold_rel=ratio)
    assert [(e.onset, e.offset, e.label) for e in found] == [row[:3] for row in sorted(expected)]
    np.testing.assert_allclose([e.weight for e in found], [row[3] for row in sorted(expected)], atol=1e-9)


@given(
    seed=st.integers(0, 10**6), length=st.sampled_from([0.03, 0.1, 0.48]), drop=st.sampled_from([0.1, 0.4]), ratio=st.sampled_from([1.5, 4])
)
def test_boxes_of_a_backward_clip_are_the_boxes_backward(seed, length, drop, ratio):
    made = noise(seed)
    settings = {"step_filter_length": length, "merge_threshold_abs": drop, "merge_threshold_rel": ratio}
    backward = csebbs(Scores(made.values[::-1], made.edges, made.labels), **settings)
    turned = sorted((made.edges[-1] - e.offset, e.label, made.edges[-1] - e.onset, e.weight) for e in backward)
    expected = sorted((e.onset, e.label, e.offset, e.weight) for e in csebbs(made, **settings))
    assert [row[1] for row in turned] == [row[1] for row in expected]
    np.testing.assert_allclose([row[::2] for row in turned], [row[::2] for row in expected], atol=1e-9)


@given(seed=st.integers(0, 10**6), data=st.data())
def test_cutting_a_frame_in_two_changes_no_box(seed, data):
    made = noise(seed, frames=30)
    frame = data.draw(st.integers(0, 29))
    middle = made.edges[frame] + 0.3 * 0.02
    cut = Scores(np.insert(made.values, frame, made.values[frame], axis=0), np.insert(made.edges, frame + 1, middle), made.labels)
    settings = {"step_filter_length": 0.1, "merge_threshold_abs": 0.1}
    before, after = csebbs(made, **settings), csebbs(cut, **settings)
    # The new border may itself be the steepest; any other box is the same, to the last digits.
    assume(all(middle not in (e.onset, e.offset) for e in after))
    assert [(e.onset, e.offset, e.label) for e in before] == [(e.onset, e.offset, e.label) for e in after]
    np.testing.assert_allclose([e.weight for e in before], [e.weight for e in after], atol=1e-9)


def bark(*levels, frames=50):
    """One second for each level."""
    values = np.repeat(np.array(levels, dtype=float), frames)[:, None]
    return Scores(values, np.arange(len(values) + 1) / frames, ("dog",))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0, 0.75, 0), [(1, 2, 0.75)]),
        ((0.75,), [(0, 1, 0.75)]),
        ((0, 0, 0), []),
        ((0.5, 0, 0.25), [(0, 1, 0.5), (2, 3, 0.25)]),
        ((0, 0.875, 0.75, 0.875, 0), [(1, 4, 2.5 / 3)]),  # the gap is shallow
        ((0, 0.875, 0.5, 0.875, 0), [(1, 2, 0.875), (3, 4, 0.875)]),  # deep by the absolute threshold
        ((0, 0.15625, 0.0625, 0.15625, 0), [(1, 2, 0.15625), (3, 4, 0.15625)]),  # deep by the relative one
        ((0, 0.25, 1, 0), [(2, 3, 1.0)]),  # two rises: the steeper one is the onset
        ((0, 0.75, 1, 0.25, 0), [(1, 3, 0.875)]),
        ((0, 0.015625, 0, 1, 0.0078125, 0.015625), [(1, 2, 0.015625), (3, 4, 1.0), (5, 6, 0.015625)]),  # murmur does not stick to events
    ],
)
def test_boxes_of_steps_are_the_steps(levels, expected):
    assert [(e.onset, e.offset, pytest.approx(e.weight)) for e in csebbs(bark(*levels))] == expected


@given(seed=st.integers(0, 10**6), halvings=st.integers(1, 4))
def test_the_extent_of_a_box_does_not_depend_on_its_level(seed, halvings):
    loud = noise(seed)
    quiet = Scores(loud.values / 2**halvings, loud.edges, loud.labels)
    settings = {"step_filter_length": 0.2, "merge_threshold_abs": 1, "merge_threshold_rel": 1.5}
    expected = [(e.onset, e.offset, e.label) for e in csebbs(loud, **settings)]
    assert [(e.onset, e.offset, e.label) for e in csebbs(quiet, **settings)] == expected
    assert len(expected) >= 2


def test_each_label_has_its_settings():
    made = noise(3, frames=200, labels=("a", "b", "c"))
    apart = []
    settings = [("a", 0.1, 0.1, 1.5), ("b", 0.3, 0.2, 2.0), ("c", 0.6, 0.4, 3.0)]
    for k, (label, length, drop, ratio) in enumerate(settings):
        alone = Scores(made.values[:, k : k + 1], made.edges, (label,))
        apart += csebbs(alone, step_filter_length=length, merge_threshold_abs=drop, merge_threshold_rel=ratio)
    lengths, drops, ratios = (dict(zip("abc", column, strict=True)) for column in list(zip(*settings, strict=True))[1:])
    together = csebbs(made, step_filter_length=lengths, merge_threshold_abs=drops, merge_threshold_rel=ratios)
    assert together == sorted(apart)
    assert together != csebbs(made)


@given(seed=st.integers(0, 10**6))
def test_thresholds_without_limit_leave_one_box_a_label(seed):
    boxes = csebbs(noise(seed), step_filter_length=0.04, merge_threshold_abs=1, merge_threshold_rel=math.inf)
    assert sorted(box.label for box in boxes) == sorted(LABELS)


@pytest.mark.parametrize(
    ("values", "settings", "complaint"),
    [
        ([[1.5]], {}, r"scores in \[0, 1\]; these go from 1.5 to 1.5"),
        ([[-0.1]], {}, r"scores in \[0, 1\]"),
        ([[1]], {"step_filter_length": 0}, "step_filter_length > 0 s"),
        ([[1]], {"merge_threshold_abs": -0.1}, "merge_threshold_abs >= 0"),
        ([[1]], {"merge_threshold_rel": {"dog": 0.5}}, "merge_threshold_rel >= 1"),
        ([[1]], {"merge_threshold_rel": {"cat": 2}}, "no merge_threshold_rel for label 'dog'"),
    ],
)
def test_boxes_that_cannot_be_found_are_refused(values, settings, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        csebbs(Scores(values, [0, 1], ("dog",)), **settings)


@given(seed=st.integers(0, 10**6), hop=st.sampled_from([0.02, 882 / 44100, 0.064, 1 / 3]), threshold=st.floats(0, 1))
def test_the_scores_of_boxes_give_the_boxes_back_at_every_threshold(seed, hop, threshold):
    made = noise(seed, hop=hop)
    boxes = csebbs(made, step_filter_length=6 * hop, merge_threshold_abs=0.1)
    drawn = boxes_to_scores(boxes, made.labels, made.edges)
    sure = [box for box in boxes if np.float32(box.weight) > np.float32(threshold)]
    found = to_events(drawn, threshold=threshold)
    assert [(e.onset, e.offset, e.label) for e in found] == [(e.onset, e.offset, e.label) for e in sure]
    np.testing.assert_allclose([e.weight for e in found], [e.weight for e in sure], rtol=1e-6)


def test_where_boxes_overlap_the_surer_one_stands():
    drawn = boxes_to_scores([Event(0, 2, "dog", 0.5), Event(1, 3, "dog", 0.75), Event(1, 2, "dog", 0.25)], ("dog",), range(5))
    assert drawn.values.T.tolist() == [[0.5, 0.75, 0.75, 0]]
    assert to_events(drawn, threshold=0.25) == [Event(0, 3, "dog", 2 / 3)]
    assert to_events(drawn, threshold=0.5) == [Event(1, 3, "dog", 0.75)]


def test_a_box_of_an_unknown_label_is_refused():
    with pytest.raises(AnnotationError, match="unknown label 'dog'"):
        boxes_to_scores([Event(0, 1, "dog")], ("cat",), [0, 1])
