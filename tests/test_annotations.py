"""Events, clips and tags: what is refused, what the time grid does over ten minutes, what survives a file."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dcasekit.annotations import Clip, Event, events_to_roll, events_to_tags, read_events, tags_to_vector, write_events
from dcasekit.errors import AnnotationError, DcasekitError

TEN_MINUTES = 600
HOPS = [(680, 22050), (512, 22050), (882, 44100), (0.02, 1)]  # samples and rate, or seconds


def exact(hop):
    return Fraction(str(hop[0])) / hop[1]


def grid(hop, seconds=TEN_MINUTES):
    """Frame borders as the features make them: whole samples divided by the rate, once."""
    frames = math.ceil(seconds / exact(hop))
    return np.arange(frames + 1) * hop[0] / hop[1]


def active(roll):
    return np.flatnonzero(roll[:, 0]).tolist()


# Event and Clip


def test_an_event_keeps_what_it_is_given():
    event = Event(0.5, 2.0, "dog", 0.25)
    assert (event.onset, event.offset, event.label, event.weight) == (0.5, 2.0, "dog", 0.25)
    assert Event(1, 1, "click").offset == 1


@pytest.mark.parametrize(
    ("onset", "offset"), [(-0.1, 1), (2, 1), (math.nan, 1), (0, math.nan), (0, math.inf), (-math.inf, 0), (math.inf, math.inf)]
)
def test_an_event_with_impossible_times_is_refused(onset, offset):
    with pytest.raises(AnnotationError, match="'dog'.*0 <= onset <= offset"):
        Event(onset, offset, "dog")


@pytest.mark.parametrize("weight", [-0.01, 1.01, math.nan, math.inf])
def test_a_weight_outside_0_to_1_is_refused(weight):
    with pytest.raises(AnnotationError, match="weight must be in \\[0, 1\\]"):
        Event(0, 1, "dog", weight)


def test_events_sort_by_time():
    events = [Event(2, 3, "a"), Event(0, 3, "b"), Event(0, 1, "c")]
    assert [event.label for event in sorted(events)] == ["c", "b", "a"]


def test_an_event_and_a_clip_cannot_be_changed():
    with pytest.raises(AttributeError):
        Event(0, 1, "dog").onset = 5
    with pytest.raises(AttributeError):
        Clip("a", Path("a.wav")).fold = "test"


def test_unknown_and_empty_are_different():
    unlabelled, silent = Clip("a", Path("a.wav")), Clip("b", Path("b.wav"), tags={}, events=())
    assert unlabelled.tags is None
    assert unlabelled.events is None
    assert silent.tags == {}
    assert silent.events == ()


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_tag_outside_0_to_1_is_refused_and_the_clip_named(value):
    with pytest.raises(AnnotationError, match="clip 'a7'.*'dog'"):
        Clip("a7", Path("a.wav"), tags={"cat": 1.0, "dog": value})


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
def test_an_impossible_duration_is_refused_and_the_clip_named(duration):
    with pytest.raises(AnnotationError, match="clip 'a7'.*duration"):
        Clip("a7", Path("a.wav"), duration=duration)


def test_an_annotation_error_is_a_value_error_of_our_tree():
    assert issubclass(AnnotationError, DcasekitError)
    assert issubclass(AnnotationError, ValueError)


# tags


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1, width=32)))
def test_a_tag_vector_holds_each_tag_in_the_place_of_its_label(tags):
    labels = tuple("fedcba")
    vector = tags_to_vector(tags, labels)
    assert vector.dtype == np.float32
    assert {label: value for label, value in zip(labels, vector.tolist(), strict=True) if value} == {
        label: value for label, value in tags.items() if value
    }


def test_an_unknown_tag_is_refused_and_the_known_ones_listed():
    with pytest.raises(AnnotationError, match="'bird'.*cat, dog"):
        tags_to_vector({"bird": 1.0}, ("cat", "dog"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=6))
def test_a_clip_has_the_tags_of_its_events_with_their_largest_weight(found):
    tags = events_to_tags(Event(0, 1, label, weight) for label, weight in found)
    assert tags == {label: max(weight for other, weight in found if other == label) for label, weight in found if weight > 0}


# the time grid


@pytest.mark.parametrize("hop", HOPS, ids=str)
@given(data=st.data())
def test_an_event_on_frame_borders_activates_exactly_these_frames_anywhere_in_ten_minutes(hop, data):
    edges = grid(hop)
    frames = len(edges) - 1
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first + 1, min(first + 40, frames)))
    for time in (
        lambda border: float(border * exact(hop)),  # the nearest double
        lambda border: border * float(exact(hop)),  # a rounded hop, multiplied
        lambda border: round(float(border * exact(hop)), 6),  # as a label file writes it
    ):
        roll = events_to_roll([Event(time(first), time(last), "dog")], ["dog"], edges)
        assert active(roll) == list(range(first, last))


@pytest.mark.parametrize("hop", HOPS, ids=str)
def test_every_seventh_frame_of_ten_minutes_drawn_by_itself_fills_that_frame_alone(hop):
    edges = grid(hop)
    drawn = np.arange(len(edges) - 1) % 7 == 0
    events = [Event(round(edges[t], 6), round(edges[t + 1], 6), "dog") for t in np.flatnonzero(drawn)]
    np.testing.assert_array_equal(events_to_roll(events, ["dog"], edges)[:, 0], drawn)


@pytest.mark.parametrize("hop", HOPS, ids=str)
@given(onset=st.integers(0, 599_999_999), length=st.integers(1, 5_000_000))
def test_an_event_activates_the_frames_it_touches_by_exact_arithmetic(hop, onset, length):
    start, end, step = Fraction(onset, 10**6), Fraction(onset + length, 10**6), exact(hop)
    for time in (start, end):  # a border is a border within the tolerance; here only times clearly inside a frame
        assume(min(time % step, step - time % step) > Fraction(3, 10**6))
    edges = grid(hop, 606)
    roll = events_to_roll([Event(float(start), float(end), "dog")], ["dog"], edges)
    assert active(roll) == list(range(math.floor(start / step), math.ceil(end / step)))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10), st.floats(0, 1, width=32)), max_size=6), st.randoms())
def test_where_events_overlap_the_larger_weight_stands_in_any_order(spans, random):
    events = [Event(onset, onset + length, "dog", weight) for onset, length, weight in spans]
    expected = np.zeros(25, np.float32)  # events may lie beyond the grid's end
    for onset, length, weight in spans:
        for frame in range(onset, min(onset + length, 25)):
            expected[frame] = max(expected[frame], weight)
    random.shuffle(events)
    np.testing.assert_array_equal(events_to_roll(events, ["dog"], np.arange(26))[:, 0], expected)


def test_each_label_has_its_column_and_no_event_leaves_zeros():
    roll = events_to_roll([Event(1, 2, "b")], ["a", "b", "c"], [0, 1, 2])
    np.testing.assert_array_equal(roll, [[0, 0, 0], [0, 1, 0]])
    assert roll.dtype == np.float32
    assert not events_to_roll([], ["a"], [0, 1, 2]).any()


@pytest.mark.parametrize("event", [Event(0, 4.9, "dog"), Event(9, 12, "dog"), Event(0, 5, "dog"), Event(8, 8, "dog")])
def test_events_outside_the_grid_activate_nothing(event):
    assert active(events_to_roll([event], ["dog"], [5, 6, 7, 8])) == []


def test_an_event_across_the_grid_is_cut_to_it():
    assert active(events_to_roll([Event(0, 99, "dog")], ["dog"], [5, 6, 7, 8])) == [0, 1, 2]


def test_an_event_of_an_unknown_label_is_refused_and_the_known_ones_listed():
    with pytest.raises(AnnotationError, match="'bird'.*cat, dog"):
        events_to_roll([Event(0, 1, "bird")], ("cat", "dog"), [0, 1])


# files

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(str.strip).filter(bool)
TIMES = st.floats(0, 1e5)


@st.composite
def event_lists(draw):
    spans = st.tuples(TIMES, TIMES).map(sorted)
    events = st.builds(lambda span, label, weight: Event(*span, label, weight), spans, NAMES, st.just(1.0) | st.floats(0, 1))
    return draw(st.dictionaries(NAMES, st.lists(events, max_size=4), max_size=4))


@given(events=event_lists())
def test_an_event_list_survives_its_file(tmp_path, events):
    found = read_events(write_events(tmp_path / "events.tsv", events))
    assert list(found) == list(events)
    for name, listed in events.items():
        assert [(event.label, event.weight) for event in found[name]] == [(event.label, event.weight) for event in listed]
        for event, original in zip(found[name], listed, strict=True):
            assert event.onset == pytest.approx(original.onset, abs=1e-6)
            assert event.offset == pytest.approx(original.offset, abs=1e-6)


def test_the_file_is_the_field_s_own(tmp_path):
    path = write_events(tmp_path / "events.tsv", {"a.wav": [Event(0, 10, "dog"), Event(0.25, 1.5, "cat")], "b.wav": []})
    assert path.read_bytes() == (b"filename\tonset\toffset\tevent_label\na.wav\t0\t10\tdog\na.wav\t0.25\t1.5\tcat\nb.wav\t\t\t\n")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("delimiter", [b"\t", b","], ids=["tab", "comma"])
@pytest.mark.parametrize(
    "header", [b"filename onset offset event_label", b"file start end label", b""], ids=["header", "other header", "none"]
)
@pytest.mark.parametrize("last", [b"", b"\n", b"\n\n"], ids=["no newline", "newline", "blank lines"])
def test_an_event_list_is_read_however_it_was_written(tmp_path, bom, end, delimiter, header, last):
    rows = ([header] if header else []) + [b"a.wav 0.5 1.25 dog", b"b.wav   ", b"a.wav 2 3 cat"]
    text = b"\n".join(row.replace(b" ", delimiter) for row in rows) + last
    (tmp_path / "events.txt").write_bytes(bom + text.replace(b"\n", end))
    assert read_events(tmp_path / "events.txt") == {"a.wav": [Event(0.5, 1.25, "dog"), Event(2, 3, "cat")], "b.wav": []}


@pytest.mark.parametrize(
    "text",
    [
        # DESED's recordings from films: "start" is that of the clip in the film
        "filename\tevent_label\tonset\toffset\tstart\na.wav\tdog\t0.5\t1.25\t90\nb.wav\tcat\t2\t3\t40\n",
        "clip id,onset,offset,label,annotator\na.wav,0.5,1.25,dog,7\nb.wav,2,3,cat,8\n",
        "a.wav\tstreet\t0.5\t1.25\tdog\tm\nb.wav\tstreet\t2\t3\tcat\tm\n",  # TUT Sound Events
        "a.wav\t0,5\t1,25\tdog\nb.wav\t2,0\t3,0\tcat\n",
    ],
)
def test_columns_may_be_more_and_in_another_order(tmp_path, text):
    (tmp_path / "events.tsv").write_text(text)
    assert read_events(tmp_path / "events.tsv") == {"a.wav": [Event(0.5, 1.25, "dog")], "b.wav": [Event(2, 3, "cat")]}


def test_a_list_without_header_may_begin_with_a_file_without_events(tmp_path):
    (tmp_path / "events.tsv").write_text("a.wav\t\t\t\t\nb.wav\tstreet\t2\t3\tcat\n")
    assert read_events(tmp_path / "events.tsv") == {"a.wav": [], "b.wav": [Event(2, 3, "cat")]}


def test_a_column_of_weights_is_read(tmp_path):
    (tmp_path / "soft.tsv").write_text("filename\tonset\toffset\tevent_label\tvalue\na.wav\t0\t1\tdog\t0.25\n")
    assert read_events(tmp_path / "soft.tsv") == {"a.wav": [Event(0, 1, "dog", 0.25)]}


@pytest.mark.parametrize(
    ("header", "kind"),
    [("filename\tonset\tduration\tlabel", "offset"), ("filename\tonset\toffset\tsound", "label"), ("onset\toffset\tlabel", "file")],
)
def test_a_header_that_lacks_a_column_is_refused_and_its_columns_named(tmp_path, header, kind):
    (tmp_path / "events.tsv").write_text(f"{header}\na.wav\t0\t1\tdog\n")
    with pytest.raises(AnnotationError, match=rf"events\.tsv, line 1: no column for the {kind}; the columns are "):
        read_events(tmp_path / "events.tsv")


def test_blank_lines_before_the_header_do_not_matter(tmp_path):
    (tmp_path / "events.tsv").write_text("\n\nfilename\tonset\toffset\tevent_label\na.wav\t0\t1\tdog\n")
    assert read_events(tmp_path / "events.tsv") == {"a.wav": [Event(0, 1, "dog")]}


def test_a_comma_inside_quotation_marks_separates_nothing(tmp_path):
    (tmp_path / "events.csv").write_text('filename,onset,offset,event_label\n"a, b.wav",0,1,"say ""hi"""\n')
    assert read_events(tmp_path / "events.csv") == {"a, b.wav": [Event(0, 1, 'say "hi"')]}


@pytest.mark.parametrize("text", ["", "\n", "filename\tonset\toffset\tevent_label\n"])
def test_a_list_without_rows_holds_no_files(tmp_path, text):
    (tmp_path / "events.tsv").write_text(text)
    assert read_events(tmp_path / "events.tsv") == {}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a.wav\t0.5\t1.0", "expected filename onset offset event_label, got 3 fields"),
        ("a.wav\t0\t1\tdog\tcat", "got 5 fields"),
        ("\t0\t1\tdog", "no name"),
        ("a.wav\t0\t1\t ", "the label '', which is empty"),
        ("a.wav\t0\t1e8\tdog", "onset <= offset <= 10000000"),
        ("a.wav\t0\t1_0\tdog", "'1_0' is not a number"),
        ("a.wav\t0\tinf\tdog", "'inf' is not a number"),
        ("a.wav\t0\t1e999\tdog", "'1e999' is not a number"),
        ("a.wav\tzero\t1.0\tdog", "zero"),
        ("a.wav\t1.250,5\t1300\tdog", "'1.250,5' is not a number"),
        ("a.wav\t0.5\t\tdog", "'' is not a number"),
        ("a.wav\t2\t1\tdog", "onset <= offset"),
        ("a.wav\t-1\t1\tdog", "onset <= offset"),
        ("a.wav\tnan\t1\tdog", "'nan' is not a number"),
        ('a.wav\t0\t1\t"dog', "quotation mark"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path, row, complaint):
    path = tmp_path / "events.tsv"
    path.write_text(f"filename\tonset\toffset\tevent_label\na.wav\t0\t1\tcat\n{row}\n")
    with pytest.raises(AnnotationError, match="events.tsv, line 3: ") as caught:
        read_events(path)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("content", [None, b"a.wav\t0\t1\td\xf6g\n"], ids=["missing", "not utf-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "events.tsv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match="events.tsv"):
        read_events(path)


def test_a_folder_is_no_event_list(tmp_path):
    with pytest.raises(AnnotationError, match="cannot read"):
        read_events(tmp_path)
