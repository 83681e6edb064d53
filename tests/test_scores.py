"""Scores: what survives a file, what becomes of scores on the way to events."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import medfilt

import dcasekit
from dcasekit.annotations import Event, events_to_roll, read_events, write_events
from dcasekit.errors import AnnotationError
from dcasekit.scores import Scores, median_filter, pool, read_durations, read_scores, read_scores_folder, to_events, write_scores

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
        ([[0.1, 0.2]], [0, 1], ("a", "a"), "twice: a, a"),
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
        ("0\t1\t.5\n1\t2\t.5\n", "line 1: expected a header 'onset offset label1 label2 ...' (tabs or commas)"),
        ("onset\toffset\tdog\n0\t1\n", "line 2: expected 3 numbers, like the header; got 2"),
        ("onset\toffset\tdog\n0\t1\t.5\t.5\n", "line 2: expected 3 numbers, like the header; got 4"),
        ("onset\toffset\tdog\n0\t1\n1\t2\n", "line 2: expected 3 numbers"),
        ("onset\toffset\tdog\n0\t1\tloud\n", "line 2: expected 3 numbers (could not convert string to float: 'loud')"),
        ("onset,offset,dog\n0,1,.5\n1,2,\n", "line 3: expected 3 numbers"),
        ("onset\toffset\tdog\n0\t1\t.5\n1\t2\tnan\n", "line 3: times and scores must be finite"),
        ("onset\toffset\tdog\n0\tinf\t.5\n", "line 2: times and scores must be finite"),
        ("onset\toffset\tdog\n0\t1e19\t.5\n", "line 2: 1e+19 s is longer than any recording"),
        ("onset\toffset\tdog\n0\t1_0\t.5\n", "line 2: expected 3 numbers (a number must not contain an underscore: '0 1_0 .5')"),
        ("onset\toffset\tdog\n0\t1\t.5\n1.5\t2\t.5\n", "line 3: gap: each frame must begin where the one before ends, at 1 s"),
        ("onset,offset,dog\n0,1,.5\n\n.5,2,.5\n", "line 4: overlap: each frame must begin where the one before ends, at 1 s"),
        ("onset\toffset\tdog\n0\t1\t.5\n0\t1\t.5\n", "line 3: overlap"),
        ("onset\toffset\tdog\n0\t1\t.5\n1\t1\t.5\n", "line 3: a frame's times must be ascending; got onset 1, offset 1"),
        ("onset\toffset\tdog\n1\t2\t.5\n2\t1\t.5\n", "line 3: a frame's times must be ascending"),
        ("onset\toffset\tdog\tdog\n0\t1\t.5\t.5\n", "twice: dog, dog"),
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


def test_a_folder_of_score_files_is_read_by_clip_id(tmp_path):
    made = {name: Scores([[value]], [0, 10], ("dog",)) for name, value in [("b", 0.25), ("Y1_30.000_40.000", 0.5), ("a.wav", 0.75)]}
    for name, scores in made.items():
        write_scores(tmp_path / f"{name}.tsv", scores)
    (tmp_path / "c.csv").write_text("onset,offset,dog\n0,10,1\n")
    (tmp_path / "readme.txt").write_text("no scores")
    (tmp_path / ".b.tsv").write_text("half written")
    found = read_scores_folder(str(tmp_path))
    assert {clip: scores.values.item() for clip, scores in found.items()} == {"Y1_30.000_40.000": 0.5, "a.wav": 0.75, "b": 0.25, "c": 1.0}
    assert list(found) == sorted(found)


def test_a_folder_without_clear_scores_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(AnnotationError, match=f"{folder.name} is not a folder of score files"):
            read_scores_folder(folder)
    (tmp_path / "a.tsv").write_text("onset\toffset\tdog\n0\t1\t1\n")
    (tmp_path / "b.tsv").write_text("onset\toffset\tdog\n0\t1\tx\n")
    with pytest.raises(AnnotationError, match=r"b\.tsv, line 2"):
        read_scores_folder(tmp_path)
    (tmp_path / "b.tsv").rename(tmp_path / "a.csv")
    with pytest.raises(AnnotationError, match="both scores of clip 'a'"):
        read_scores_folder(tmp_path)


@pytest.mark.parametrize("delimiter", ["\t", ","])
@pytest.mark.parametrize("header", ["filename duration\n", "Filename Duration\n", ""])
def test_durations_are_read_with_or_without_a_header(tmp_path, delimiter, header):
    (tmp_path / "durations").write_text((header + "b.wav 10\na 9.98\n").replace(" ", delimiter))
    found = read_durations(tmp_path / "durations")
    assert found == {"b.wav": 10.0, "a": 9.98}
    assert list(found) == ["b.wav", "a"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.wav\t10\na.wav\t9\n", "line 2: 'a.wav' is listed twice"),
        ("filename\tduration\na.wav\t\n", "line 2: expected 'filename duration'"),
        ("filename\tseconds\na.wav\t1\n", "line 1: expected 'filename duration'"),
        ("a.wav\t1\nfilename\tduration\n", "line 2: expected 'filename duration'"),
        ("a.wav\n", "line 1: expected 'filename duration'"),
        ("a.wav\t0\n", "seconds > 0"),
        ("a.wav\tnan\n", "seconds > 0"),
        ("a.wav\tinf\n", "seconds > 0"),
        ("a.wav\t1_0\n", "seconds > 0"),
        ("a.wav\t1e8\n", "at most 10000000"),
        ("a.wav\t-1\n", "seconds > 0"),
    ],
)
def test_a_bad_table_of_durations_is_refused_and_named(tmp_path, text, complaint):
    (tmp_path / "durations.tsv").write_text(text)
    with pytest.raises(AnnotationError, match=r"durations\.tsv") as caught:
        read_durations(tmp_path / "durations.tsv")
    assert complaint in str(caught.value)


# scores to events


def slow_events(scores, thresholds, inclusive):
    """Frame by frame, as one would explain it."""
    events = []
    for k, label in enumerate(scores.labels):
        inside = []
        for t in [*range(len(scores.values)), None]:
            score, threshold = None if t is None else scores.values[t, k], np.float32(thresholds[k])
            if t is not None and (score > threshold or (inclusive and score == threshold)):
                inside.append(t)
            elif inside:
                weight = np.mean([float(scores.values[i, k]) for i in inside])
                events.append(
                    (scores.edges[inside[0]], scores.edges[inside[-1] + 1], label, min(max(weight, 1e-6), 1))
                )  # 0 would be no event
                inside = []
    return sorted(events)


@given(made=scores(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])), inclusive=st.booleans(), data=st.data())
def test_events_are_those_of_a_loop_over_frames(made, inclusive, data):
    thresholds = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9]), min_size=len(made.labels), max_size=len(made.labels)))
    expected = slow_events(made, thresholds, inclusive)
    found = to_events(made, threshold=thresholds, inclusive=inclusive)
    assert [(e.onset, e.offset, e.label) for e in found] == [row[:3] for row in expected]
    np.testing.assert_allclose([e.weight for e in found], [row[3] for row in expected], rtol=1e-12)
    assert found == sorted(found)
    assert to_events(made, threshold=np.array(thresholds), inclusive=inclusive) == found
    by_label = {"no label of these": 0.3, **dict(zip(made.labels, thresholds, strict=True))}
    assert to_events(made, threshold=by_label, inclusive=inclusive) == found
    if len(set(thresholds)) == 1:
        assert to_events(made, threshold=thresholds[0], inclusive=inclusive) == found


@given(made=scores(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_threshold_leaves_no_more_time_active(made, low, high):
    low, high = sorted([low, high])
    total = [sum(e.offset - e.onset for e in to_events(made, threshold=threshold)) for threshold in (low, high)]
    assert total[1] <= total[0] + 1e-9


def test_a_score_equal_to_the_threshold_is_not_above_it():
    assert to_events(Scores([[0.5]], [0, 1], ("a",)), threshold=0.5) == []
    assert to_events(Scores([[0.1]], [0, 1], ("a",)), threshold=0.1) == []  # 0.1 in float32 is larger than in float64
    assert to_events(Scores([[0.9]], [0, 1], ("a",)), threshold=0.9, inclusive=True) == [Event(0, 1, "a", float(np.float32(0.9)))]


def test_no_threshold_and_the_last_threshold_leave_all_and_nothing():
    made = Scores([[0.0, 1.0], [1.0, 0.0]], [0, 1, 2], ("a", "b"))
    assert to_events(made, threshold=-math.inf) == [Event(0, 2, "a", 0.5), Event(0, 2, "b", 0.5)]
    assert to_events(made, threshold=math.inf) == []
    assert to_events(Scores(np.zeros((3, 0)), range(4), ())) == []


@pytest.mark.parametrize(
    ("threshold", "complaint"),
    [
        ({"cat": 0.5}, "no threshold for label 'dog'; given for: cat"),
        ([0.5], r"one per label \(cat, dog\)"),
        ([0.5, 0.5, 0.5], r"one per label \(cat, dog\)"),
        ([[0.5, 0.5]], r"one per label \(cat, dog\)"),
        (math.nan, "not NaN"),
    ],
)
def test_thresholds_that_do_not_fit_the_labels_are_refused(threshold, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        to_events(Scores([[0.1, 0.2]], [0, 1], ("cat", "dog")), threshold=threshold)


def test_the_short_name_is_the_same_function():
    assert dcasekit.to_events is to_events


@given(roll=arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 3))), hop=st.sampled_from([680 / 22050, 0.02, 1.0]))
def test_a_roll_becomes_events_and_the_events_the_same_roll(roll, hop):
    labels = tuple("abc"[: roll.shape[1]])
    edges = np.arange(len(roll) + 1) * hop
    events = to_events(Scores(roll, edges, labels))
    drawn = events_to_roll(events, labels, edges)
    np.testing.assert_array_equal(drawn, roll)
    assert to_events(Scores(drawn, edges, labels)) == events


HOPS = [882 / 44100, 512 / 22050, 0.2, 0.064, 1 / 3, 256 / 16000, 680 / 22050, 0.01, 1.0, 1e-4]


@pytest.mark.parametrize("hop", HOPS)
def test_a_long_recording_does_not_drift(tmp_path, hop):
    # The grid of the scores, one summed up hop by hop, and one from end to end differ in their last digits; event lists keep nine.
    frames = min(round(3600 / hop), 18_000)
    grids = [np.arange(frames + 1) * hop, np.cumsum([0.0, *[hop] * frames]), np.linspace(0, frames * hop, frames + 1)]
    roll = np.random.default_rng(0).random((frames, 1)) < 0.2
    events = to_events(Scores(roll, grids[0], ("a",)))
    listed = read_events(write_events(tmp_path / "events.tsv", {"clip": events}))["clip"]
    for edges in grids:
        np.testing.assert_array_equal(events_to_roll(events, ("a",), edges), roll)
        np.testing.assert_array_equal(events_to_roll(listed, ("a",), edges), roll)


@given(
    roll=arrays(np.bool_, st.tuples(st.integers(1, 30), st.just(2))),
    hop=st.sampled_from(HOPS) | st.floats(1e-5, 10),
    start=st.floats(0, 3600),
)
def test_any_grid_gives_its_frames_back(roll, hop, start):
    edges = start + np.arange(len(roll) + 1) * hop
    events = to_events(Scores(roll, edges, ("a", "b")))
    assert {time for event in events for time in (event.onset, event.offset)} <= set(edges)  # bit for bit, not nearly
    np.testing.assert_array_equal(events_to_roll(events, ("a", "b"), edges), roll)
    assert to_events(Scores(events_to_roll(events, ("a", "b"), edges), edges, ("a", "b"))) == events


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


@given(made=scores(NUMBERS), frames=st.sampled_from([1, 3, 5, 7, 25]))
def test_reflected_ends_repeat_the_outermost_frame(made, frames):
    mirrored = np.pad(made.values, ((frames // 2, frames // 2), (0, 0)), mode="symmetric")
    expected = np.sort(np.lib.stride_tricks.sliding_window_view(mirrored, frames, axis=0), axis=-1)[..., frames // 2]
    np.testing.assert_array_equal(median_filter(made, frames=frames, pad="reflect").values, expected)


def test_the_ends_of_a_clip_tell_the_two_conventions_apart():
    made = Scores([[1], [1], [0], [0], [0], [1]], range(7), ("a",))
    assert median_filter(made, frames=5).values.T.tolist() == [[0, 0, 0, 0, 0, 0]]
    assert median_filter(made, frames=5, pad="reflect").values.T.tolist() == [[1, 1, 0, 0, 0, 0]]


@given(made=scores(labels=st.just(["a", "b", "c"])), pad=st.sampled_from(["zero", "reflect"]))
def test_each_label_has_its_window(made, pad):
    expected = np.stack([median_filter(made, frames=n, pad=pad).values[:, k] for k, n in enumerate((3, 1, 7))], axis=1)
    for frames in ([3, 1, 7], np.array([3, 1, 7]), {"c": 7, "b": 1, "a": 3}):
        np.testing.assert_array_equal(median_filter(made, frames=frames, pad=pad).values, expected)


@pytest.mark.parametrize(
    ("seconds", "hop", "frames"),
    [
        (0.16, 0.02, 9),
        (0.14, 0.02, 7),
        (0.15, 0.02, 7),
        (0.159, 0.02, 7),
        (1.02, 882 / 44100, 51),
        (0.45, 0.064, 7),
        (0, 0.2, 1),
        (0.3, 0.2, 1),
    ],
)
def test_a_window_in_seconds_is_the_nearest_odd_number_of_frames(seconds, hop, frames):
    rng = np.random.default_rng(1)
    made = Scores(rng.random((200, 1)), np.round(np.arange(201) * hop, 3), ("a",))
    np.testing.assert_array_equal(median_filter(made, seconds=seconds).values, median_filter(made, frames=frames).values)
    assert any(not np.array_equal(median_filter(made, frames=n).values, median_filter(made, frames=frames).values) for n in (1, 3))


def test_windows_in_seconds_allow_for_odd_ends_but_not_for_an_irregular_grid():
    made = Scores([[0], [1], [0], [0], [1], [1]], [0, 3, 3.5, 4, 4.5, 5, 5.2], ("a",))
    np.testing.assert_array_equal(median_filter(made, seconds=1.5).values, median_filter(made, frames=3).values)
    with pytest.raises(AnnotationError, match=r"these last 0\.5 to 2 s. Give frames instead"):
        median_filter(Scores(made.values, [0, 0.5, 1, 1.5, 3.5, 4, 4.5], ("a",)), seconds=1.5)


@pytest.mark.parametrize("frames", [0, 2, -1, 50, 2.5, math.inf, [3]])
def test_a_median_over_an_even_number_of_frames_is_refused(frames):
    with pytest.raises(AnnotationError, match=f"odd number of frames, got {frames}" if frames != [3] else "one per label"):
        median_filter(Scores([[0.1, 0.2]], [0, 1], ("a", "b")), frames=frames)


@pytest.mark.parametrize("settings", [{}, {"frames": 3, "seconds": 1}, {"frames": 3, "pad": "nearest"}])
def test_a_median_without_one_clear_window_is_refused(settings):
    with pytest.raises(AnnotationError, match="give frames or seconds, and pad 'zero' or 'reflect'"):
        median_filter(Scores([[0.1]], [0, 1], ("a",)), **settings)


@given(
    values=arrays(np.float32, (40, 3), elements=st.sampled_from([0.0, 0.3, 0.4999999, 0.5, 0.7, 1.0])),
    frames=st.sampled_from([5, 51]),
)
@pytest.mark.filterwarnings("ignore:kernel_size exceeds volume extent")
def test_the_2018_task_4_baseline_s_chain(values, frames):
    # Frames at least 0.5, a median of 51 of these decisions with zeros beyond the ends, runs [a, b) from a * 0.02 to b * 0.02 s. The
    # median of an odd number of scores is one of them, so it is at least 0.5 if and only if most decisions are; padding zeros are not.
    expected = []
    for k, label in enumerate("abc"):
        active = medfilt((values[:, k] >= 0.5).astype(float), frames)
        change = np.flatnonzero(np.diff(active, prepend=0, append=0))
        expected += [(a * 0.02, b * 0.02, label) for a, b in change.reshape(-1, 2)]
    made = Scores(values, np.arange(41) * 0.02, ("a", "b", "c"))
    found = to_events(median_filter(made, frames=frames), threshold=0.5, inclusive=True)
    assert [(e.onset, e.offset, e.label) for e in found] == sorted(expected)


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


def test_a_median_over_more_than_the_clip_costs_no_more_than_one_over_the_clip():
    made = Scores(np.random.default_rng(0).normal(size=(20, 1)), np.arange(21), ("x",))
    wide = median_filter(made, frames=1_000_001).values
    assert not wide.any()
    assert np.array_equal(wide, median_filter(made, frames=41).values)
    tracemalloc.start()
    median_filter(made, frames=999_999)
    assert tracemalloc.get_traced_memory()[1] < 1e5
    tracemalloc.stop()
    for pad in ("zero", "reflect"):
        with pytest.raises(AnnotationError, match="longer than any recording here; give at most 1000001 frames"):
            median_filter(made, frames=10**9 + 1, pad=pad)


# to look at


LOOK = Scores([[0.05, 0.9, 0.0, 0.1], [0.3, 0.5, 0.0, 0.1], [0.2, 0.4, 1.0, 0.1]], [0, 0.5, 1.0, 1.25], ("cat", "dog", "owl", "cow"))


def test_scores_are_shown_in_a_line():
    assert repr(LOOK) == "Scores(3 frames x 4 labels, 0 to 1.25 s: dog 0.64, owl 0.20, cat 0.18, ...)"
    assert repr(Scores([[0.5]], [1, 3], ("dog",))) == "Scores(1 frame x 1 label, 1 to 3 s: dog 0.50)"
    assert len(repr(Scores(np.zeros((100_000, 500)), np.arange(100_001), [f"label{i}" for i in range(500)]))) < 120


def test_the_top_labels_are_those_of_the_whole_clip():
    assert LOOK.top(2) == [("dog", pytest.approx(0.64)), ("owl", pytest.approx(0.2))]  # the mean over time, not over frames
    assert LOOK.top(2, how="max") == [("owl", 1.0), ("dog", pytest.approx(0.9))]
    assert [label for label, _ in LOOK.top(99)] == ["dog", "owl", "cat", "cow"]


@pytest.mark.parametrize(("seconds", "frame"), [(0, 0), (0.499, 0), (0.5, 1), (0.5 - 5e-7, 1), (1.2, 2)])
def test_scores_at_an_instant_are_those_of_the_frame_that_holds_it(seconds, frame):
    assert LOOK.at(seconds) == dict(zip(LOOK.labels, LOOK.values[frame].tolist(), strict=True))


@pytest.mark.parametrize("seconds", [-0.1, 1.25, 9.0, math.nan])
def test_there_are_no_scores_outside(seconds):
    with pytest.raises(AnnotationError, match="these scores go from 0 s to before 1.25 s"):
        LOOK.at(seconds)


def test_scores_as_a_frame():
    pandas = pytest.importorskip("pandas")
    frame = LOOK.to_frame()
    assert list(frame.columns) == ["onset", "offset", "cat", "dog", "owl", "cow"]
    assert frame["offset"].tolist() == [0.5, 1.0, 1.25]
    assert frame["dog"].tolist() == LOOK.values[:, 1].tolist()
    assert isinstance(frame, pandas.DataFrame)
