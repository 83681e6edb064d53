"""Scores: what survives a file, what becomes of scores on the way to events."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import medfilt

from dcasekit.annotations import Event, events_to_roll
from dcasekit.errors import AnnotationError
from dcasekit.scores import Scores, median_filter, pool, read_scores, to_events, write_scores

LABELS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=4, unique=True)
PROBABILITIES = st.floats(0, 1, width=32)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def scores(draw, numbers=PROBABILITIES, labels=LABELS):
    labels = draw(labels)
    frames = draw(st.integers(1, 12))
    values = draw(arrays(np.float32, (frames, len(labels)), elements=numbers))
    steps = draw(arrays(np.float64, frames, elements=st.floats(0.01, 3)))
    return Scores(values, np.cumsum([draw(st.floats(0, 10)), *steps]), labels)


# the value


@pytest.mark.parametrize(
    ("values", "edges", "labels", "complaint"),
    [
        ([0.1, 0.2], [0, 1, 2], ("a",), "shape"),
        ([[0.1, 0.2]], [0, 1], ("a",), "1 labels"),
        ([[0.1]], [0, 1, 2], ("a",), "frames \\+ 1 edges"),
        ([[0.1]], [0], ("a",), "edges"),
        ([[math.nan]], [0, 1], ("a",), "1 values are not"),
        ([[math.inf]], [0, 1], ("a",), "finite"),
        ([[0.1], [0.2]], [0, 1, 1], ("a",), "ascending"),
        ([[0.1]], [1, 0], ("a",), "ascending"),
        ([[0.1]], [0, math.inf], ("a",), "finite"),
    ],
)
def test_scores_that_make_no_sense_are_refused(values, edges, labels, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        Scores(values, edges, labels)


def test_scores_are_float32_on_a_float64_grid():
    made = Scores([[1, 0]], [0, 10], ["a", "b"])
    assert (made.values.dtype, made.edges.dtype, made.labels) == (np.float32, np.float64, ("a", "b"))


# files


@given(original=scores(NUMBERS))
def test_scores_survive_their_file_to_the_last_bit(tmp_path, original):
    found = read_scores(write_scores(tmp_path / "scores.tsv", original))
    np.testing.assert_array_equal(found.values.view(np.int32), original.values.view(np.int32))
    np.testing.assert_array_equal(found.edges, original.edges)
    assert found.labels == original.labels


def test_the_file_is_the_field_s_own(tmp_path):
    path = write_scores(tmp_path / "scores.tsv", Scores([[0.1, 1], [1e-7, 0]], [0, 0.02, 0.04], ("dog", "cat")))
    assert path.read_bytes() == b"onset\toffset\tdog\tcat\n0\t0.02\t0.1\t1\n0.02\t0.04\t0.0000001\t0\n"


@pytest.mark.parametrize("delimiter", ["\t", ","])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_score_table_is_read_however_it_was_written(tmp_path, delimiter, end, bom):
    rows = ["onset offset dog cat", "0 1 .5 1e-3", "1.0000001 2 0 1"]
    (tmp_path / "scores").write_bytes((bom + end.join(rows).replace(" ", delimiter) + end + end).encode())
    found = read_scores(tmp_path / "scores")
    assert found.labels == ("dog", "cat")
    np.testing.assert_array_equal(found.values, np.float32([[0.5, 1e-3], [0, 1]]))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "header"),
        ("onset\toffset\tdog\n", "at least one frame"),
        ("start\tend\tdog\n0\t1\t.5\n", "header"),
        ("0\t1\t.5\n1\t2\t.5\n", "header"),
        ("onset\toffset\tdog\n0\t1\n", "1 labels"),
        ("onset\toffset\tdog\n0\t1\t.5\t.5\n", "1 labels"),
        ("onset\toffset\tdog\n0\t1\tloud\n", "numbers"),
        ("onset\toffset\tdog\n0\t1\t\n", "numbers"),
        ("onset\toffset\tdog\n0\t1\tnan\n", "finite"),
        ("onset\toffset\tdog\n0\t1\t.5\n1.5\t2\t.5\n", "begin where the one before ends"),
        ("onset\toffset\tdog\n0\t1\t.5\n1\t1\t.5\n", "ascending"),
        ('onset\toffset\t"dog\n0\t1\t.5\n', "quotation mark"),
    ],
)
def test_a_bad_score_table_is_refused_and_named(tmp_path, text, complaint):
    (tmp_path / "scores.tsv").write_text(text)
    with pytest.raises(AnnotationError, match="scores.tsv") as caught:
        read_scores(tmp_path / "scores.tsv")
    assert complaint in str(caught.value)


@pytest.mark.parametrize("content", [None, b"onset\toffset\td\xf6g\n0\t1\t1\n"], ids=["missing", "not utf-8"])
def test_a_score_file_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "scores.tsv").write_bytes(content)
    with pytest.raises(AnnotationError, match="scores.tsv"):
        read_scores(tmp_path / "scores.tsv")


# scores to events


def slow_events(scores, thresholds):
    """Frame by frame, as one would explain it."""
    events = []
    for k, label in enumerate(scores.labels):
        inside = []
        for t in [*range(len(scores.values)), None]:
            if t is not None and scores.values[t, k] > np.float32(thresholds[k]):
                inside.append(t)
            elif inside:
                weight = np.mean([float(scores.values[i, k]) for i in inside])
                events.append((scores.edges[inside[0]], scores.edges[inside[-1] + 1], label, min(max(weight, 0), 1)))
                inside = []
    return sorted(events)


@given(made=scores(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])), data=st.data())
def test_events_are_those_of_a_loop_over_frames(made, data):
    thresholds = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9]), min_size=len(made.labels), max_size=len(made.labels)))
    expected = slow_events(made, thresholds)
    found = to_events(made, threshold=thresholds)
    assert [(e.onset, e.offset, e.label) for e in found] == [row[:3] for row in expected]
    np.testing.assert_allclose([e.weight for e in found], [row[3] for row in expected], rtol=1e-6)
    if len(set(thresholds)) == 1:
        assert to_events(made, threshold=thresholds[0]) == found


@given(made=scores(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_threshold_leaves_no_more_time_active(made, low, high):
    low, high = sorted([low, high])
    total = [sum(e.offset - e.onset for e in to_events(made, threshold=threshold)) for threshold in (low, high)]
    assert total[1] <= total[0] + 1e-9


def test_a_score_equal_to_the_threshold_is_not_above_it():
    assert to_events(Scores([[0.5]], [0, 1], ("a",)), threshold=0.5) == []
    assert to_events(Scores([[0.1]], [0, 1], ("a",)), threshold=0.1) == []  # 0.1 in float32 is larger than in float64


@given(roll=arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 3))), hop=st.sampled_from([680 / 22050, 0.02, 1.0]))
def test_a_roll_becomes_events_and_the_events_the_same_roll(roll, hop):
    labels = tuple("abc"[: roll.shape[1]])
    edges = np.arange(len(roll) + 1) * hop
    events = to_events(Scores(roll, edges, labels))
    drawn = events_to_roll(events, labels, edges)
    np.testing.assert_array_equal(drawn, roll)
    assert to_events(Scores(drawn, edges, labels)) == events


def test_separate_events_on_the_grid_come_back_from_their_scores():
    events = [Event(0.0, 0.2, "cat"), Event(0.1, 0.3, "dog"), Event(0.5, 0.7, "dog")]
    edges = np.arange(11) / 10
    found = to_events(Scores(events_to_roll(events, ("cat", "dog"), edges), edges, ("cat", "dog")))
    assert [(e.onset, e.offset, e.label, e.weight) for e in found] == [
        (pytest.approx(e.onset), pytest.approx(e.offset), e.label, 1.0) for e in events
    ]


# smoothing and pooling


@given(made=scores(NUMBERS), frames=st.sampled_from([1, 3, 5, 7, 51]))
@pytest.mark.filterwarnings("ignore:kernel_size exceeds volume extent")  # SciPy's, for a filter longer than the clip
def test_the_median_filter_is_scipy_s_label_by_label(made, frames):
    smooth = median_filter(made, frames=frames)
    for k in range(len(made.labels)):
        np.testing.assert_array_equal(smooth.values[:, k], medfilt(made.values[:, k], frames))
    assert smooth.labels == made.labels
    assert smooth.edges is made.edges


@pytest.mark.parametrize("frames", [0, 2, -1, 50])
def test_a_median_over_an_even_number_of_frames_is_refused(frames):
    with pytest.raises(AnnotationError, match=f"odd number of frames, got {frames}"):
        median_filter(Scores([[0.1]], [0, 1], ("a",)), frames=frames)


@given(made=scores())
def test_pooling_gives_one_frame_over_the_whole_clip(made):
    for how in ("mean", "max"):
        pooled = pool(made, how=how)
        assert pooled.values.shape == (1, len(made.labels))
        assert pooled.edges.tolist() == [made.edges[0], made.edges[-1]]
        assert pooled.labels == made.labels
    np.testing.assert_array_equal(pool(made, how="max").values[0], made.values.max(axis=0))
    lengths = np.diff(made.edges)
    np.testing.assert_allclose(pool(made).values[0], lengths @ made.values.astype(np.float64) / lengths.sum(), rtol=1e-5, atol=1e-7)


@given(made=scores(), frame=st.integers(0, 11))
def test_cutting_a_frame_in_two_changes_no_pooled_score(made, frame):
    frame %= len(made.values)
    middle = (made.edges[frame] + made.edges[frame + 1]) / 2
    cut = Scores(np.insert(made.values, frame, made.values[frame], axis=0), np.insert(made.edges, frame + 1, middle), made.labels)
    for how in ("mean", "max"):
        np.testing.assert_allclose(pool(cut, how=how).values, pool(made, how=how).values, rtol=1e-5, atol=1e-7)
