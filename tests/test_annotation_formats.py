"""Annotation files as the field's tools write them, and what comes back of what we write."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import (
    Event,
    annotation_formats,
    read_annotation,
    read_events,
    read_events_folder,
    read_tag_list,
    write_annotation,
    write_events,
)
from dcasekit.core.files import place
from dcasekit.errors import AnnotationError

FORMATS = ["audacity", "elan", "jams", "raven", "tsv"]
DOGS = [Event(0.5, 1.25, "dog"), Event(2, 3, "car horn")]


def saved(folder, name, text, **options):
    path = folder / name
    path.write_bytes(text.encode(**options))
    return path


# there and back

BREAKS = {"audacity": "\t\r\n", "elan": "\t\r\n", "raven": "\t\r\n", "tsv": "", "jams": ""}


def events(format):
    letters = st.characters(codec="utf-8", exclude_characters=BREAKS[format])
    labels = (
        (st.text(letters, max_size=12) | st.sampled_from(["dog [weight 0.5]", "'=1", '"', "a,b;c|d", "\\", "0"]))
        .map(str.strip)
        .filter(bool)
    )
    weights = st.just(1.0) | st.floats(0, 1)
    times = st.floats(0, 1e6)
    spans = st.tuples(times, times).map(sorted) | times.map(lambda time: (time, time))
    return st.lists(st.builds(lambda span, label, weight: Event(*span, label, weight), spans, labels, weights), max_size=5)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_what_is_written_is_read_back_to_the_nanosecond(tmp_path, format, data):
    written = data.draw(events(format))
    suffix = {"tsv": ".tsv", "elan": ".elan.txt", "audacity": ".txt", "raven": ".selections.txt", "jams": ".jams"}[format]
    expected = [Event(round(event.onset, 9), round(event.offset, 9), event.label, event.weight) for event in written]
    path = write_annotation(tmp_path / f"a{suffix}", written)
    assert read_annotation(path) == expected
    assert read_annotation(path, format=format) == expected


@pytest.mark.parametrize("format", FORMATS)
def test_no_events_are_read_back_as_none(tmp_path, format):
    assert read_annotation(write_annotation(tmp_path / "a.any", [], format=format), format=format) == []


@pytest.mark.parametrize("format", FORMATS)
def test_two_equal_events_stay_two(tmp_path, format):
    twice = [Event(1, 2, "dog"), Event(1, 2, "dog")]
    assert read_annotation(write_annotation(tmp_path / "a.any", twice, format=format), format=format) == twice


def test_the_files_are_the_tools_own(tmp_path):
    rows = write_annotation(tmp_path / "a.tsv", DOGS)
    assert rows.read_bytes() == b"onset\toffset\tevent_label\n0.5\t1.25\tdog\n2\t3\tcar horn\n"
    assert write_annotation(tmp_path / "s.tsv", [DOGS[0], Event(2, 3, "cat", 0.1)]).read_bytes() == (
        b"onset\toffset\tevent_label\tweight\n0.5\t1.25\tdog\t1.0\n2\t3\tcat\t0.1\n"
    )
    assert write_annotation(tmp_path / "a.txt", DOGS).read_bytes() == b"0.5\t1.25\tdog\n2\t3\tcar horn\n"
    assert write_annotation(tmp_path / "a.Table.1.selections.txt", DOGS).read_text().splitlines() == [
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation",
        "1\tSpectrogram 1\t1\t0.5\t1.25\t0.0\t4000.0\tdog",
        "2\tSpectrogram 1\t1\t2\t3\t0.0\t4000.0\tcar horn",
    ]


def test_a_jams_file_has_what_the_schema_asks_for(tmp_path):
    content = json.loads(write_annotation(tmp_path / "a.jams", [Event(0.1, 0.3, "dog", 0.5)], duration=10).read_text())
    assert content["file_metadata"]["duration"] == 10
    [annotation] = content["annotations"]
    assert set(annotation) >= {"annotation_metadata", "data", "namespace"}
    assert annotation["namespace"] == "segment_open"
    assert annotation["data"] == [{"time": 0.1, "duration": 0.2, "value": "dog", "confidence": 0.5}]
    unknown = json.loads(write_annotation(tmp_path / "b.jams", []).read_text())
    assert "duration" not in unknown["file_metadata"]  # the schema wants a number there, or nothing


@pytest.mark.parametrize("format", ["audacity", "raven"])
@pytest.mark.parametrize("label", ["a\tb", "a\nb", "a\rb"])
def test_a_label_that_would_break_the_file_is_refused_before_it_is_written(tmp_path, format, label):
    path = write_annotation(tmp_path / "a.txt", DOGS, format=format)
    before = path.read_bytes()
    with pytest.raises(AnnotationError, match=r"a\.txt: the label .* write TSV or JAMS"):
        write_annotation(path, [Event(0, 1, label)], format=format)
    assert path.read_bytes() == before


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf")])
def test_an_impossible_duration_is_refused(tmp_path, duration):
    with pytest.raises(AnnotationError, match=r"a\.jams: duration"):
        write_annotation(tmp_path / "a.jams", DOGS, duration=duration)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("label", [" dog", "dog ", "d\udc80g", "\u3000"])
def test_a_label_that_would_not_come_back_is_refused(tmp_path, format, label):
    with pytest.raises(AnnotationError):
        write_annotation(tmp_path / "a.any", [Event(0, 1, label)], format=format)
    assert not (tmp_path / "a.any").exists()


def test_scores_stand_where_each_tool_looks_for_them(tmp_path):
    scored = [Event(0, 1, "dog", 0.87), Event(1, 2, "cat")]
    assert write_annotation(tmp_path / "a.txt", scored).read_text() == "0\t1\tdog [weight 0.87]\n1\t2\tcat\n"
    header, first, _ = (line.split("\t") for line in write_annotation(tmp_path / "a.selections.txt", scored).read_text().splitlines())
    assert (header[-1], first[-1]) == ("Score", "0.87")
    assert json.loads(write_annotation(tmp_path / "a.jams", scored).read_text())["annotations"][0]["data"][0]["confidence"] == 0.87
    assert write_events(tmp_path / "e.tsv", {"a.wav": scored}).read_text().splitlines()[:2] == [
        "filename\tonset\toffset\tevent_label\tweight",
        "a.wav\t0\t1\tdog\t0.87",
    ]
    assert read_events(tmp_path / "e.tsv") == {"a.wav": scored}


def test_a_format_is_one_file_and_nothing_else(tmp_path):
    """A leaf dropped into the folder is read, written and recognised."""
    script = tmp_path / "try.py"
    script.write_text(
        """
import importlib, pkgutil, sys
from pathlib import Path
from dcasekit.core import discover
import dcasekit.annotations.formats as formats
package = Path(sys.argv[1])
formats.__path__.append(str(package))
names = discover.names
discover.names = lambda family: tuple(sorted({*names(family), "colons"})) if family == "annotations.formats" else names(family)
from dcasekit.annotations import Event, annotation_formats, read_annotation, write_annotation
assert annotation_formats()["colons"] == ".colons"
path = write_annotation(package / "a.colons", [Event(0, 1, "dog")])
assert path.read_text() == "0:1:dog"
assert read_annotation(path) == [Event(0, 1, "dog")]
"""
    )
    (tmp_path / "colons.py").write_text(
        """
from pathlib import Path
from dcasekit.annotations.formats.base import Row
from dcasekit.annotations.nouns import Event
ENDING, SUFFIXES = ".colons", (".colons",)
def recognise(first): return 2
def read(path, *, several=False):
    onset, offset, label = Path(path).read_text().split(":")
    return [Row(Event(float(onset), float(offset), label))]
def write(path, events, duration):
    Path(path).write_text(":".join(str(part) for one in events for part in (one.onset, one.offset, one.label)))
    return Path(path)
"""
    )
    subprocess.run([sys.executable, script, tmp_path], check=True)


def test_all_formats_are_named_with_their_endings():
    assert annotation_formats() == {"audacity": ".txt", "elan": ".elan.txt", "jams": ".jams", "raven": ".selections.txt", "tsv": ".tsv"}


# tables


@pytest.mark.parametrize(
    "text",
    [
        "0.5\t1.25\tdog\n2.000\t3.000\tcar horn\n",  # DCASE 2016 task 3, .ann
        "0.5,1.25,dog\n2.0,3.0,car horn\n",
        "onset,offset,event_label\n0.5,1.25,dog\n2.0,3.0,car horn\n",
        "Start\tEnd\tLabel\n0.5\t1.25\tdog\n2\t3\tcar horn\n",
        "Label\tOnset (s)\tOffset (s)\ndog\t0.5\t1.25\ncar horn\t2\t3\n",
        "a.wav\t0.5\t1.25\tdog\na.wav\t2\t3\tcar horn\n",
        "audio/street/a.wav\tstreet\t0.5\t1.25\tdog\tm\ta\naudio/street/a.wav\tstreet\t2\t3\tcar horn\tm\ta\n",  # TUT Sound Events
        # DESED's recordings from films: "start" is that of the clip in the film
        "filename\tevent_label\tonset\toffset\tstart\tname\na.wav\tdog\t0.5\t1.25\t90\tx\na.wav\tcar horn\t2\t3\t90\tx\n",
        "0,5\t1,25\tdog\n2,0\t3,0\tcar horn\n",
        '0.5\t1.25\t"dog"\r\n\r\n2\t3\t" car horn "\r\n',
        "﻿0.5\t1.25\tdog\n2\t3\tcar horn",
    ],
)
def test_a_table_is_read_however_it_was_written(tmp_path, text):
    path = saved(tmp_path, "a.ann", text)
    assert read_annotation(path) == DOGS
    assert read_annotation(path, format="tsv") == DOGS


@pytest.mark.parametrize("header", ["", "onset\toffset\tevent_label\tvalue\n", "onset\toffset\tevent\tweight\n"])
def test_soft_labels_are_weights(tmp_path, header):
    """MAESTRO Real: one row for each class and second."""
    path = saved(tmp_path, "cafe_restaurant_00.txt", header + "0\t1\tpeople talking\t0.7215\n0\t1\tfootsteps\t0\n")
    assert read_annotation(path) == [Event(0, 1, "people talking", 0.7215), Event(0, 1, "footsteps", 0.0)]


def test_a_row_that_names_only_the_recording_says_that_it_has_no_events(tmp_path):
    assert read_annotation(saved(tmp_path, "a.tsv", "filename\tonset\toffset\tevent_label\na.wav\t\t\t\n")) == []


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.txt", "a.ann"])
def test_an_empty_file_holds_no_events(tmp_path, name):
    assert read_annotation(saved(tmp_path, name, "")) == []


@pytest.mark.parametrize(
    "text",
    [
        "filename,onset,offset,event_label\na.wav,0,5,dog\na.wav,5,6,Air horn, truck horn\n",
        "a.wav,0,5,dog\na.wav,5,6,Air horn, truck horn\n",
        "onset,offset,event_label\n0,5,dog\n5,6,Air horn, truck horn\n",
        "0,5,dog\n5,6,Air horn, truck horn\n",
        "filename,onset,offset,event_label\na.wav,0,5,dog\na.wav,0,5,1,5,dog\n",
        "a.wav,0,5,dog\na.wav,0,5,1,5,dog\n",
    ],
)
def test_a_label_is_never_cut_at_a_comma(tmp_path, text):
    path = saved(tmp_path, "a.csv", text)
    with pytest.raises(AnnotationError, match=r"a\.csv, line \d: expected .* got \d fields: .*quotation marks"):
        read_annotation(path)
    if "a.wav" in text:
        with pytest.raises(AnnotationError, match=r"a\.csv, line \d: expected .* got \d fields: .*quotation marks"):
            read_events(path)


def test_a_spreadsheet_of_countries_with_decimal_commas_is_read(tmp_path):
    path = saved(tmp_path, "events.csv", "filename;onset;offset;event_label\na.wav;0,5;1,25;dog\na.wav;2;3;car horn\nb.wav\n")
    assert read_events(path) == {"a.wav": DOGS, "b.wav": []}


def test_a_recording_named_alone_has_no_events(tmp_path):
    for text in ("filename,onset,offset,event_label\na.wav\nb.wav,0,1,dog\n", "a.wav\nb.wav,0,1,dog\n", "a.wav\nb.wav\t0\t1\tdog\n"):
        assert read_events(saved(tmp_path, "events.csv", text)) == {"a.wav": [], "b.wav": [Event(0, 1, "dog")]}
    assert read_annotation(saved(tmp_path, "a.tsv", "filename\tonset\toffset\tevent_label\na.wav\n")) == []
    with pytest.raises(AnnotationError, match="a column of names is not a list of events"):
        read_events(saved(tmp_path, "events.csv", "a.wav\nb.wav\n"))


def test_scores_behind_the_label_of_a_list_without_header_are_weights(tmp_path):
    path = saved(tmp_path, "events.csv", "a.wav,0,1,dog,0.25\na.wav,1,2,cat,1\nb.wav\n")
    assert read_events(path) == {"a.wav": [Event(0, 1, "dog", 0.25), Event(1, 2, "cat")], "b.wav": []}


@pytest.mark.parametrize("column", ["weight", "value", "confidence", "Score", "probability"])
def test_scores_are_read_under_every_usual_name(tmp_path, column):
    path = saved(tmp_path, "a.tsv", f"onset\toffset\tevent_label\t{column}\n0\t1\tdog\t0.25\n")
    assert read_annotation(path) == [Event(0, 1, "dog", 0.25)]


@pytest.mark.parametrize("column", ["clip id", "clip", "recording", "sound"])
def test_recordings_are_not_put_together_under_whatever_name_their_column_has(tmp_path, column):
    path = saved(tmp_path, "a.csv", f"{column},onset,offset,event_label\na.wav,0,1,dog\nb.wav,0,1,dog\n")
    with pytest.raises(AnnotationError, match="lists 2 recordings"):
        read_annotation(path)
    assert read_annotation(saved(tmp_path, "a.csv", "number,onset,offset,event_label\n1,0,1,dog\n2,2,3,dog\n")) == [
        Event(0, 1, "dog"),
        Event(2, 3, "dog"),
    ]


@pytest.mark.parametrize("names", ["start_s,end_s", "Onset [s],Offset [s]", "begin (sec),end (sec)", "start seconds,end seconds"])
def test_units_of_columns_are_understood(tmp_path, names):
    assert read_annotation(saved(tmp_path, "a.csv", f"{names},species\n0,1,dog\n")) == [Event(0, 1, "dog")]


def test_other_units_are_not_taken_for_seconds(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.csv, line 1"):
        read_annotation(saved(tmp_path, "a.csv", "start_ms,end_ms,label\n0,1000,dog\n"))


def test_a_column_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.csv, line 1: two columns 'label'; rename the one that should be ignored"):
        read_annotation(saved(tmp_path, "a.csv", "onset,offset,label,label\n0,1,dog,cat\n"))


# annotators


def test_annotators_of_a_table_are_told_apart(tmp_path):
    path = saved(tmp_path, "a.tsv", "onset\toffset\tevent_label\tannotator\n0\t1\tdog\tann\n0\t2\tcat\tbob\n")
    with pytest.raises(AnnotationError, match=r"a\.tsv: the recording was annotated by several: ann, bob; choose one with annotator="):
        read_annotation(path)
    assert read_annotation(path, annotator="bob") == [Event(0, 2, "cat")]
    with pytest.raises(AnnotationError, match="has no annotator 'cem'; its annotators are: ann, bob"):
        read_annotation(path, annotator="cem")
    plain = saved(tmp_path, "b.tsv", "0\t1\tdog\n")
    with pytest.raises(AnnotationError, match="has no annotator 'ann'; its annotators are: not named"):
        read_annotation(plain, annotator="ann")


def test_annotators_of_an_event_list_are_told_apart(tmp_path):
    text = "filename\tonset\toffset\tevent_label\tannotator_id\na.wav\t0\t1\tdog\t7\na.wav\t\t\t\t8\nb.wav\t0\t2\tcat\t8\n"
    path = saved(tmp_path, "events.tsv", text)
    with pytest.raises(AnnotationError, match=r"a\.wav was annotated by several: 7, 8"):
        read_events(path)
    assert read_events(path, annotator="7") == {"a.wav": [Event(0, 1, "dog")]}
    assert read_events(path, annotator="8") == {"a.wav": [], "b.wav": [Event(0, 2, "cat")]}


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ({"annotator": {"name": "Ann"}}, {"annotator": {"name": "Bob"}}, ("Ann", "Bob")),
        ({"annotator": {"email": "a@x"}}, {"annotator": {"name": "Bob"}}, ("a@x", "Bob")),
        ({}, {"annotator": {}}, ("annotation 0", "annotation 1")),
        (None, {"annotator": None}, ("annotation 0", "annotation 1")),
    ],
)
def test_annotators_of_a_jams_file_are_told_apart(tmp_path, first, second, names):
    entries = [
        {"namespace": "segment_open", "data": data, "annotation_metadata": about}
        for data, about in (([observed(0, 1, "dog")], first), ([observed(0, 2, "dog")], second))
    ]
    path = saved(tmp_path, "a.jams", jams(*entries))
    with pytest.raises(AnnotationError, match=rf"a\.jams: the recording was annotated by several: {', '.join(sorted(names))}; choose"):
        read_annotation(path)
    assert read_annotation(path, annotator=names[0]) == [Event(0, 1, "dog")]
    assert read_annotation(path, annotator=names[1]) == [Event(0, 2, "dog")]


def test_an_annotator_who_heard_nothing_is_one_of_several(tmp_path):
    entries = [
        {"namespace": "segment_open", "data": data, "annotation_metadata": {"annotator": {"name": name}}}
        for data, name in (([observed(0, 1, "dog")], "Ann"), ([], "Bob"))
    ]
    path = saved(tmp_path, "a.jams", jams(*entries))
    with pytest.raises(AnnotationError, match="annotated by several: Ann, Bob"):
        read_annotation(path)
    assert read_annotation(path, annotator="Bob") == []


# folders


def test_a_folder_of_annotation_files_of_any_format_is_read(tmp_path):
    write_annotation(tmp_path / "a.tsv", DOGS)
    write_annotation(tmp_path / "b.txt", DOGS)
    write_annotation(tmp_path / "site1" / "a.Table.1.selections.txt", DOGS)
    write_annotation(tmp_path / "site2" / "Y0_0.000_10.000.jams", [])
    saved(tmp_path, "more.csv", "filename,onset,offset,event_label\nc.wav,0,1,dog\nd.wav\n")
    saved(tmp_path, "same.csv", "filename,onset,offset,event_label\nsame.wav,0,1,dog\n")
    saved(tmp_path, "events.csv", "filename,onset,offset,event_label\nalone.wav,0,1,dog\n")
    saved(tmp_path, ".hidden.tsv", "x")
    saved(tmp_path, "a.wav", "RIFF")
    place(tmp_path / "features", "index.json", kind="features").write_text("{}")
    assert read_events_folder(tmp_path) == {
        "a": DOGS,
        "alone.wav": [Event(0, 1, "dog")],
        "b": DOGS,
        "c.wav": [Event(0, 1, "dog")],
        "d.wav": [],
        "same": [Event(0, 1, "dog")],
        "site1/a": DOGS,
        "site2/Y0_0.000_10.000": [],
    }
    write_annotation(tmp_path / "b.jams", [])
    with pytest.raises(AnnotationError, match=r"b\.txt and .*b\.jams are both of the recording 'b'; keep one"):
        read_events_folder(tmp_path)


@pytest.mark.parametrize("name", [None, "a.wav"])
def test_a_folder_without_annotation_files_is_refused(tmp_path, name):
    if name:
        saved(tmp_path, name, "RIFF")
    with pytest.raises(AnnotationError, match="there is no annotation file in .*; expected names that end in .*jams"):
        read_events_folder(tmp_path)


# Audacity

LABEL_TRACK = '0.500000\t1.250000\tdog\n\\\t200.000000\t6928.456055\n2.150000\t2.150000\ta "click"\n'


@pytest.mark.parametrize("name", ["a.txt", "Label Track.TXT"])
@pytest.mark.parametrize("bom", ["", "﻿"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_label_track_with_frequencies_and_points(tmp_path, name, bom, end):
    path = saved(tmp_path, name, bom + LABEL_TRACK.replace("\n", end))
    assert read_annotation(path) == [Event(0.5, 1.25, "dog"), Event(2.15, 2.15, 'a "click"')]


def test_a_label_track_with_decimal_commas_and_one_sided_labels(tmp_path):
    path = saved(tmp_path, "a.txt", "0,500000\t1,250000\tdog\n2,5\tclick\n")
    assert read_annotation(path) == [Event(0.5, 1.25, "dog"), Event(2.5, 2.5, "click")]


# Raven

RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tDelta Time (s)\tAnnotation\n"
    "1\tWaveform 1\t1\t6.709509878\t15.096397225\t1739.012\t3798.813\t8.3869\twren\n"
    "1\tSpectrogram 1\t1\t6.709509878\t15.096397225\t1739.012\t3798.813\t8.3869\twren\n"
    '2\tWaveform 1\t1\t29.383026016\t40.257059266\t1587.060\t4136.485\t10.8740\tsay "hi"\n'
    '2\tSpectrogram 1\t1\t29.383026016\t40.257059266\t1587.060\t4136.485\t10.8740\tsay "hi"\n'
    '3\tSpectrogram 1\t1\t29.383026016\t40.257059266\t1587.060\t4136.485\t10.8740\tsay "hi"\n'
)
BIRDS = [
    Event(6.709509878, 15.096397225, "wren"),
    Event(29.383026016, 40.257059266, 'say "hi"'),
    Event(29.383026016, 40.257059266, 'say "hi"'),
]


def test_a_selection_seen_in_two_views_is_one_event_and_two_selections_are_two(tmp_path):
    assert read_annotation(saved(tmp_path, "a.Table.1.selections.txt", RAVEN)) == BIRDS
    assert read_annotation(saved(tmp_path, "a.txt", RAVEN.replace(".", ",").replace("\n", "\r\n"))) == BIRDS


def test_a_table_of_birdnet_is_read_by_its_common_names(tmp_path):
    text = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Common Name\tSpecies Code\tConfidence\tBegin Path\n"
        "1\tSpectrogram 1\t1\t0.0\t3.0\t0\t15000\tEurasian Blackbird\teurbla\t87 %\t/a.wav\n"
    )
    assert read_annotation(saved(tmp_path, "a.BirdNET.selections.txt", text)) == [Event(0, 3, "Eurasian Blackbird", 0.87)]


def test_a_selection_table_without_a_known_label_column_names_those_it_has(tmp_path):
    path = saved(tmp_path, "a.txt", RAVEN.replace("Annotation", "Notes"))
    with pytest.raises(AnnotationError, match=r"a\.txt, line 1: no column for the label; .*Begin Time \(s\).*Notes; name one of them"):
        read_annotation(path)


def test_a_selection_table_of_several_recordings_is_refused(tmp_path):
    text = (
        "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n1\t5\t6\ta.wav\twren\n2\t1\t2\ta.wav\twren\n3\t4\t5\tb.wav\twren\n"
    )
    with pytest.raises(AnnotationError, match=r"lists 2 recordings \(a.wav, b.wav"):
        read_annotation(saved(tmp_path, "a.selections.txt", text))


SEQUENCE = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\tFile Offset (s)\tSpecies\n"
    "1\tSpectrogram 1\t1\t5.1\t6.2\t0\t4000\ta.wav\t5.1\twren\n"
    "2\tWaveform 1\t1\t61\t62.5\t0\t4000\tb.wav\t1\trobin\n"
    "2\tSpectrogram 1\t1\t61\t62.5\t0\t4000\tb.wav\t1\trobin\n"
)


def test_a_table_of_a_file_sequence_gives_each_file_its_own_times(tmp_path):
    path = saved(tmp_path, "all.selections.txt", SEQUENCE)
    assert read_events(path) == {"a.wav": [Event(5.1, 6.2, "wren")], "b.wav": [Event(1, 2.5, "robin")]}
    with pytest.raises(AnnotationError, match="lists 2 recordings"):
        read_annotation(path)
    second = saved(tmp_path, "b.selections.txt", "".join(line for line in SEQUENCE.splitlines(keepends=True) if "a.wav" not in line))
    assert read_annotation(second) == [Event(1, 2.5, "robin")]


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    rows = [SEQUENCE.splitlines()[0] + "\tBegin Path"]
    rows += [
        f"{line}\t{path}"
        for line, path in zip(
            SEQUENCE.replace("b.wav", "a.wav").splitlines()[1:], ["D:\\\\rec\\\\x\\\\a.wav", *["D:\\\\rec\\\\y\\\\a.wav"] * 2], strict=True
        )
    ]
    text = "\n".join(rows).replace("\\\\", "\\")
    assert read_events(saved(tmp_path, "all.txt", text)) == {"x/a.wav": [Event(5.1, 6.2, "wren")], "y/a.wav": [Event(1, 2.5, "robin")]}
    assert set(read_events(saved(tmp_path, "all.txt", text.replace("y\\a.wav", "y\\b.wav")))) == {"a.wav", "b.wav"}


def test_a_table_put_together_of_several_has_the_times_of_each(tmp_path):
    text = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n"
    text += "1\t0\t1\ta.wav\twren\n2\t{}\t62\ta.wav\twren\n1\t61\t62\tb.wav\twren\n"
    overlapping = saved(tmp_path, "all.txt", text.format("61.5"))
    assert read_events(overlapping) == {"a.wav": [Event(0, 1, "wren"), Event(61.5, 62, "wren")], "b.wav": [Event(61, 62, "wren")]}
    with pytest.raises(AnnotationError, match=r"all\.txt has selections of 2 files and no column 'File Offset \(s\)'"):
        read_events(saved(tmp_path, "all.txt", text.format("60")))


def test_a_bad_file_offset_is_refused_with_its_line(tmp_path):
    with pytest.raises(AnnotationError, match=r"all\.txt, line 2: '' is not a number; expected seconds in the column 'File Offset \(s\)'"):
        read_events(saved(tmp_path, "all.txt", SEQUENCE.replace("a.wav\t5.1", "a.wav\t")))


@pytest.mark.parametrize(
    ("column", "value", "weight"), [("Confidence", "0.87", 0.87), ("Score", "0,87", 0.87), ("Confidence", "87 %", 0.87)]
)
def test_the_confidence_of_a_selection_is_its_weight(tmp_path, column, value, weight):
    text = f"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\t{column}\n1\t0\t1\twren\t{value}\n"
    assert read_annotation(saved(tmp_path, "a.txt", text)) == [Event(0, 1, "wren", weight)]


@pytest.mark.parametrize("value", ["3", "high", "-1", "nan"])
def test_a_confidence_of_another_scale_is_refused(tmp_path, value):
    text = f"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\tConfidence\n1\t0\t1\twren\t{value}\n"
    with pytest.raises(AnnotationError, match=r"a\.txt, line 2: "):
        read_annotation(saved(tmp_path, "a.txt", text))


# JAMS


def jams(*annotations):
    return json.dumps({"annotations": list(annotations), "file_metadata": {"duration": 10.0, "jams_version": "0.3.4"}, "sandbox": {}})


def observed(time, duration, value, confidence=1.0):
    return {"time": time, "duration": duration, "value": value, "confidence": confidence}


def sound(label, role, **more):
    about = {"source_file": f"{role}/{label}.wav", "source_time": 0.0, "event_time": 1.0, "event_duration": 2.0, "snr": 6.0}
    return {"label": label, "role": role, **about, **more}


@pytest.mark.parametrize("namespace", ["scaper", "sound_event"])
def test_a_soundscape_of_scaper_has_its_foreground_as_events(tmp_path, namespace):
    data = [
        observed(0.0, 10.0, sound("park", "background")),
        observed(1.1, 2.2, sound("siren", "foreground", pitch_shift=None, time_stretch=None)),
        observed(0.1, 0.2, sound("car_horn", "foreground")),
    ]
    path = saved(tmp_path, "soundscape_1.jams", jams({"namespace": namespace, "data": data, "annotation_metadata": {}, "sandbox": {}}))
    assert read_annotation(path) == [Event(1.1, 3.3, "siren"), Event(0.1, 0.3, "car_horn")]


def test_events_of_several_annotations_are_read_and_other_namespaces_are_not(tmp_path):
    path = saved(
        tmp_path,
        "a.jams",
        jams(
            {"namespace": "beat", "data": [observed(0.5, 0, 1)]},
            {"namespace": "segment_open", "data": [observed(0.5, 0.75, "dog", None)]},
            {"namespace": "tag_open", "data": [observed(0, 10, "park", 0.5)]},
        ),
    )
    assert read_annotation(path) == [Event(0.5, 1.25, "dog"), Event(0, 10, "park", 0.5)]


def test_a_jams_file_without_sound_events_names_its_namespaces(tmp_path):
    path = saved(tmp_path, "a.jams", jams({"namespace": "chord", "data": []}, {"namespace": "beat", "data": []}))
    with pytest.raises(AnnotationError, match=r"a\.jams holds no sound events: its namespaces are beat, chord; .*segment_open"):
        read_annotation(path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        "3",
        "",
        "[" * 10**5,
        '{"annotations": ' * 10**4,
        "1" * 5000,
        '{"annotations": [3]}',
        '{"annotations": {"namespace": 1}}',
        '{"annotations": [{}]}',
        '{"annotations": 3}',
        '{"annotations": null}',
    ],
)
def test_what_is_no_jams_is_refused(tmp_path, text):
    with pytest.raises(AnnotationError, match=r"a\.jams is (not a JAMS file|not readable JSON)"):
        read_annotation(saved(tmp_path, "a.jams", text))


@pytest.mark.parametrize(
    "data",
    [
        [{"time": 0, "duration": 1}],
        [observed(0, 1, 3)],
        [observed(0, 1, {"role": "foreground"})],
        [observed(None, 1, "dog")],
        [observed(0, "long", "dog")],
        [observed(0, 1, "dog", "sure")],
        [observed(0, 1, "dog", 2)],
        [observed(0, -1, "dog")],
        [observed(-1, 2, "dog")],
        [observed(float("nan"), 1, "dog")],
        ["dog"],
        [[]],
        [{"time": [0], "duration": [1], "value": ["dog"]}],
        [observed("1_0", 1, "dog")],
        [observed(0, True, "dog")],
        [observed(0, 10**400, "dog")],
        [observed(0, 1e8, "dog")],
        [observed(0, 1, " ")],
        [observed(0, 1, {"label": ["dog"]})],
        {"time": [0], "duration": [1], "value": ["dog"]},
        5,
        "dog",
    ],
)
def test_a_bad_observation_is_refused_with_its_place(tmp_path, data):
    good = {"namespace": "segment_open", "data": [observed(0, 1, "cat")]}
    path = saved(tmp_path, "a.jams", jams(good, {"namespace": "scaper", "data": data}))
    with pytest.raises(AnnotationError, match=r"a\.jams, annotation 1, observation 0: "):
        read_annotation(path)


# what is refused


@pytest.mark.parametrize(
    ("name", "row", "complaint"),
    [
        ("a.tsv", "1\t2", "got 2 fields"),
        ("a.csv", "1,5,2,5,dog", "got 5 fields"),
        ("a.tsv", "1\tzwei\tdog", "'zwei' is not a number"),
        ("a.tsv", "1.250,5\t1300\tdog", "'1.250,5' is not a number"),
        ("a.tsv", "2\t1\tdog", "onset <= offset"),
        ("a.tsv", "-1\t1\tdog", "onset <= offset"),
        ("a.tsv", "nan\t1\tdog", "'nan' is not a number"),
        ("a.tsv", "0\tinf\tdog", "'inf' is not a number"),
        ("a.txt", "0\t1\t", "the label '', which is empty"),
        ("a.txt", "0\t1e8\tdog", "onset <= offset"),
        ("a.tsv", '0\t1\t"dog', "quotation marks"),
        ("a.txt", "1", "expected start, end and label"),
        ("a.txt", "1\tzwei\tdog", "'zwei' is not a number"),
        ("a.txt", "1\t2\tdog\tcat", "4 cells"),
        ("a.txt", "2\t1\tdog", "onset <= offset"),
        ("a.txt", "dog\t1\t2", "'dog' is not a number"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path, name, row, complaint):
    path = saved(tmp_path, name, ("0,1,cat" if name == "a.csv" else "0\t1\tcat") + f"\n\n{row}\n")
    with pytest.raises(AnnotationError, match=rf"{name}, line 3: ") as caught:
        read_annotation(path)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [("3\tWaveform 1\t1\t2", "got 4 fields"), ("3\tW\t1\tx\t2\t0\t1\t1\tdog", "'x'"), ("3\tW\t1\t4\t2\t0\t1\t1\tdog", "onset <= offset")],
)
def test_a_bad_selection_is_refused_with_file_and_line(tmp_path, row, complaint):
    with pytest.raises(AnnotationError, match=r"a\.txt, line 7: ") as caught:
        read_annotation(saved(tmp_path, "a.txt", f"{RAVEN}{row}\n"))
    assert complaint in str(caught.value)


def test_a_weight_that_is_none_is_refused_and_its_row_shown(tmp_path):
    with pytest.raises(AnnotationError, match=r"line 1: 'annotator_3' is not a number; .* a header"):
        read_annotation(saved(tmp_path, "a.tsv", "0\t1\tdog\tannotator_3\n"))
    with pytest.raises(AnnotationError, match=r"line 1: .*weight must be in \[0, 1\], got 5"):
        read_annotation(saved(tmp_path, "a.tsv", "0\t1\tdog\t5\n"))


@pytest.mark.parametrize("row", ["0,5,1,25,dog", "a.wav,0,5,1,25,dog"])
def test_decimal_commas_between_commas_are_refused(tmp_path, row):
    with pytest.raises(AnnotationError, match=r"a\.csv, line 1: "):
        read_annotation(saved(tmp_path, "a.csv", f"{row}\n"))


@pytest.mark.parametrize(("header", "kind"), [("onset\tduration\tlabel", "offset"), ("onset\toffset\tsound", "label")])
def test_a_header_that_lacks_a_column_is_refused_and_its_columns_named(tmp_path, header, kind):
    path = saved(tmp_path, "a.tsv", f"{header}\n0\t1\tdog\n")
    with pytest.raises(AnnotationError, match=rf"a\.tsv, line 1: no column for the {kind}; the columns are onset, "):
        read_annotation(path)


def test_a_table_of_several_recordings_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.tsv lists 2 recordings \(a.wav, b.wav .*read_events"):
        read_annotation(saved(tmp_path, "a.tsv", "a.wav\t0\t1\tdog\nb.wav\t0\t1\tdog\n"))


@pytest.mark.parametrize("name", ["a.wav", "a.xml", "a"])
def test_an_unknown_suffix_is_refused_and_the_formats_named(tmp_path, name):
    path = saved(tmp_path, name, "0\t1\tdog\n")
    with pytest.raises(AnnotationError, match=rf"{name}: no format .*audacity, elan, jams, raven, tsv"):
        read_annotation(path)
    assert read_annotation(path, format="audacity") == [Event(0, 1, "dog")]
    with pytest.raises(AnnotationError, match=rf"{name}: the name must end in .*audacity, elan, jams, raven, tsv"):
        write_annotation(path, DOGS)


def test_an_unknown_format_is_refused_and_the_formats_named(tmp_path):
    with pytest.raises(AnnotationError, match="'textgrid'; the formats are: audacity, elan, jams, raven, tsv"):
        read_annotation(tmp_path / "a.txt", format="textgrid")
    with pytest.raises(AnnotationError, match="'textgrid'; the formats are: audacity, elan, jams, raven, tsv"):
        write_annotation(tmp_path / "a.txt", DOGS, format="textgrid")


@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize("content", [None, "0\t1\tgrün\n".encode("latin-1")], ids=["missing", "not utf-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, format, content):
    path = tmp_path / "a.txt"
    if content:
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.txt.* UTF-8" if content else r"a\.txt does not exist"):
        read_annotation(path, format=format)


# clip-level lists

TAGS = {"a.wav": {"Dog": 1.0, "Speech": 1.0}, "b.wav": {"Cat": 1.0}, "c.wav": {}}


@pytest.mark.parametrize(
    "text",
    [
        "filename\tevent_labels\na.wav\tDog,Speech\nb.wav\tCat\nc.wav\t\n",  # DESED's weak.tsv
        "a.wav\tDog;Speech\nb.wav\tCat\nc.wav\t\n",
        "a.wav\tDog, Speech,\nb.wav\tCat\nc.wav\t\n",
        'filename,labels\na.wav,"Dog,Speech"\nb.wav,Cat\nc.wav,\n',
        'fname,labels,mids,split\na.wav,"Dog,Speech","/m/1,/m/2",train\nb.wav,Cat,/m/3,train\nc.wav,,,val\n',  # FSD50K
        "label\tfilename\nDog\ta.wav\nSpeech\ta.wav\nCat\tb.wav\n\tc.wav\n",
        "﻿filename\tevent_label\r\na.wav\tDog;Speech\r\nb.wav\tCat\r\nc.wav\t\r\n",
    ],
)
def test_a_tag_list_is_read_however_it_was_written(tmp_path, text):
    assert read_tag_list(saved(tmp_path, "weak.tsv", text)) == TAGS


def test_where_semicolons_separate_a_comma_is_part_of_a_label(tmp_path):
    path = saved(tmp_path, "tags.tsv", "a.wav\tAir horn, truck horn;Train horn\nb.wav\tAir horn, truck horn\n")
    assert read_tag_list(path) == {"a.wav": {"Air horn, truck horn": 1.0, "Train horn": 1.0}, "b.wav": {"Air horn, truck horn": 1.0}}


def test_an_empty_tag_list_holds_no_files(tmp_path):
    assert read_tag_list(saved(tmp_path, "tags.tsv", "filename\tevent_labels\n")) == {}
    assert read_tag_list(saved(tmp_path, "tags.tsv", "")) == {}


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("filename,event_labels\na.wav,Cat\nb.wav,Dog,Speech\n", 3, "quotation marks"),
        ("a.wav,Cat\nb.wav,Dog,Speech\n", 2, "quotation marks"),
        (
            "filename\tnotes\na.wav\tCat\n",
            2,
            "'Cat' is not a value from 0 to 1, yes, no, x or unknown; where labels stand in one column, call it 'label'",
        ),
        ("filename\na.wav\n", 1, "no column for the label; the columns are filename"),
    ],
)
def test_a_bad_row_of_a_tag_list_is_refused_with_file_and_line(tmp_path, text, line, complaint):
    with pytest.raises(AnnotationError, match=rf"weak\.tsv, line {line}[:,] ") as caught:
        read_tag_list(saved(tmp_path, "weak.tsv", text))
    assert complaint in str(caught.value)


def test_a_format_of_ones_own_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_marks.py").write_text(
        "from dcasekit.annotations import Event\nfrom dcasekit.annotations.formats.base import Row\n"
        "def read(path, *, several=False):\n    return [Row(Event(*map(float, path.read_text().split()), 'dog'))]\n"
        "def write(path, events, duration):\n    path.write_text(f'{events[0].onset} {events[0].offset}')\n    return path\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("my_marks")
    path = write_annotation(tmp_path / "a.marks", [Event(1.0, 2.5, "dog")], format="my_marks")
    assert read_annotation(path, format="my_marks") == [Event(1.0, 2.5, "dog")]
    with pytest.raises(AnnotationError, match="cannot import the annotation format 'no.such'"):
        read_annotation(path, format="no.such")
    with pytest.raises(AnnotationError, match="Your own: 'package.module' with read and write"):
        read_annotation(path, format="marks")


def test_elan_reads_what_is_written_and_what_it_exports_itself(tmp_path):
    events = [Event(0.1, 0.300000001, "dog", 0.5), Event(0.2, 0.2, "a cat"), Event(3599.999999, 3600.5, "dog")]
    path = write_annotation(tmp_path / "a.elan.txt", events)
    table = pd.read_csv(path, sep="\t")  # as ELAN's import does: by the names in the header
    assert list(table.columns[:5]) == [
        "Tier", "Begin Time - ss.msec", "End Time - ss.msec", "Duration - ss.msec", "Annotation",
    ]  # fmt: skip
    np.testing.assert_allclose(table["Begin Time - ss.msec"] + table["Duration - ss.msec"], table["End Time - ss.msec"], atol=1e-6)
    assert list(table["Tier"]) == ["dog", "a cat", "dog"]
    assert read_annotation(path) == events
    own = tmp_path / "own.txt"
    own.write_text("Tier\tBegin Time - ss.msec\tEnd Time - ss.msec\tAnnotation\nbirds\t1,5\t2.25\t\nbirds\t3\t4\twren\n")
    assert read_annotation(own) == [Event(1.5, 2.25, "birds"), Event(3, 4, "wren")]
    own.write_text("Tier\tBegin Time - ss.msec\tAnnotation\nbirds\t1.5\twren\n")
    with pytest.raises(AnnotationError, match=r"no column 'End Time - ss\.msec'"):
        read_annotation(own, format="elan")
    own.write_text("Tier\tBegin Time - ss.msec\tEnd Time - ss.msec\tAnnotation\nbirds\t1.5\tlate\twren\n")
    with pytest.raises(AnnotationError, match="line 2"):
        read_annotation(own)
