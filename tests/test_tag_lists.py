"""Lists of clip-level labels, as people write them and as we do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import read_tag_list, write_tag_list
from dcasekit.errors import AnnotationError

DOGS = {"a.wav": {"dog": 1.0, "rain": 1.0}, "b.wav": {"rain": 1.0}, "c.wav": {}}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.sampled_from(
    ["a,b", "a;b", "a|b", '"', "unknown", "1", "x", "a\tb", "a\nb"]
)
NAMES = TEXTS.map(str.strip).filter(bool)


def saved(folder, text, name="tags.tsv"):
    (folder / name).write_text(text)
    return folder / name


def holding(tags):
    """What is not absent."""
    return {name: {label: value for label, value in each.items() if value != 0} for name, each in tags.items()}


@given(
    tags=st.dictionaries(NAMES, st.dictionaries(NAMES, st.none() | st.floats(0, 1) | st.sampled_from([0.0, 1.0]), max_size=4), max_size=4)
)
def test_values_unknown_labels_and_every_text_come_back(tmp_path, tags):
    assert read_tag_list(write_tag_list(tmp_path / "tags.tsv", tags)) == holding(tags)


def test_absent_labels_are_not_written_as_present(tmp_path):
    path = write_tag_list(tmp_path / "tags.tsv", {"a.wav": {"dog": 1.0, "cat": 0.0}, "b.wav": {"dog": 0.0}})
    assert path.read_text() == "filename\tevent_labels\na.wav\tdog\nb.wav\t\n"


def test_soft_and_unknown_labels_have_their_value_written(tmp_path):
    path = write_tag_list(tmp_path / "tags.tsv", {"a.wav": {"dog": 0.25, "cat": 0.0, "cow": None, "owl": 1.0}, "b.wav": {}})
    assert path.read_text() == "filename\tevent_label\tvalue\na.wav\tdog\t0.25\na.wav\tcow\tunknown\na.wav\towl\t1\nb.wav\t\t\n"
    assert read_tag_list(path) == {"a.wav": {"dog": 0.25, "cow": None, "owl": 1.0}, "b.wav": {}}


@pytest.mark.parametrize("name", ["", " a.wav", "a\udc80.wav"])
def test_what_would_not_come_back_is_refused(tmp_path, name):
    with pytest.raises(AnnotationError, match=r"tags\.tsv: "):
        write_tag_list(tmp_path / "tags.tsv", {name: {"dog": 1.0}})
    if name:
        with pytest.raises(AnnotationError, match=r"tags\.tsv: "):
            write_tag_list(tmp_path / "tags.tsv", {"a.wav": {name: 1.0}})
    assert not (tmp_path / "tags.tsv").exists()


@pytest.mark.parametrize(
    "text",
    [
        "a.wav,dog|rain\nb.wav,rain\nc.wav,\n",
        "filename,label\na.wav,dog|rain\nb.wav,rain\nc.wav\n",
        "filename,label\na.wav,dog;rain\nb.wav,rain\nc.wav,\n",
        "filename;label\na.wav;dog|rain\nb.wav;rain\nc.wav;\n",
        "a.wav\tdog|rain\nb.wav\train\nc.wav\n",
        "filename,label\na.wav,dog\na.wav,rain\nb.wav,rain\nc.wav,\n",
        "filename,label,confidence\na.wav,dog,1\na.wav,rain,1.0\nb.wav,rain,100e-2\nc.wav,,\n",
        "recording,label\na.wav,dog|rain\nb.wav,rain\nc.wav,\n",
        "filename,fold,target,category\na.wav,1,0,dog|rain\nb.wav,2,1,rain\nc.wav,2,,\n",  # ESC-50's columns
    ],
)
def test_labels_are_read_however_they_are_separated(tmp_path, text):
    assert read_tag_list(saved(tmp_path, text)) == DOGS


@pytest.mark.parametrize(
    "text",
    [
        "filename,dog,rain\na.wav,1,1\nb.wav,0,1\nc.wav,0,0\n",
        "filename\tdog\train\na.wav\t1.0\t1.0\nb.wav\t0.0\t1.0\nc.wav\t0\t0\n",
        "filename,dog,rain\na.wav,TRUE,True\nb.wav,FALSE,true\nc.wav,false,false\n",
        "filename,dog,rain\na.wav,yes,Yes\nb.wav,no,y\nc.wav,n,No\n",
        "filename,dog,rain\na.wav,x,X\nb.wav,,x\nc.wav,,\n",
        "filename;dog;rain\na.wav;1;1\nb.wav;0;1\nc.wav;0;0\n",
        ",filename,fold,dog,rain\n0,a.wav,1,1,1\n1,b.wav,2,0,1\n2,c.wav,2,0,0\n",  # pandas' index, and a fold
        "sound,dog,rain\na.wav,1,1\nb.wav,0,1\nc.wav,0,0\n",
        "filename,dog,rain\na.wav,x,x\nb.wav,,x\nc.wav\n",
    ],
)
def test_a_column_per_label_is_read_however_yes_is_written(tmp_path, text):
    found = read_tag_list(saved(tmp_path, text))
    assert holding(found) == DOGS
    assert all(list(tags) == ["dog", "rain"] for tags in found.values())


def test_an_empty_cell_is_unknown_where_others_say_no(tmp_path):
    found = read_tag_list(saved(tmp_path, "filename,dog,rain,owl\na.wav,1,0,?\nb.wav,,0.25,unknown\nc.wav\n"))
    decimals = read_tag_list(saved(tmp_path, "filename,dog,rain\na.wav,1.0,0.0\nb.wav,,1.0\n"))
    assert decimals == {"a.wav": {"dog": 1.0, "rain": 0.0}, "b.wav": {"dog": None, "rain": 1.0}}
    assert found == {
        "a.wav": {"dog": 1.0, "rain": 0.0, "owl": None},
        "b.wav": {"dog": None, "rain": 0.25, "owl": None},
        "c.wav": {"dog": 0.0, "rain": 0.0, "owl": 0.0},
    }


def test_names_need_no_suffix(tmp_path):
    assert read_tag_list(saved(tmp_path, "id,label\na,dog\nb,rain\n")) == {"a": {"dog": 1.0}, "b": {"rain": 1.0}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("filename,dog,rain\na.wav,1,maybe\n", "line 2, column 'rain': 'maybe' is not a value from 0 to 1"),
        ("filename,dog,rain\na.wav,1,2\n", "line 2, column 'rain': '2' is not a value from 0 to 1"),
        ("filename,dog,rain\na.wav,1,nan\n", "line 2, column 'rain': 'nan' is not a value"),
        ("filename,dog,dog\na.wav,1,0\n", "line 1: no column for the label"),
        ("filename,dog,rain\na.wav,1,0,1\n", "line 2: expected a file name and 3 cells as in the header"),
        ("filename,dog,rain\n,1,0\n", "line 2: expected a file name"),
        ("filename,label\n,dog\n", "line 2: expected 2 cells, among them a file name"),
        ("filename,label,value\na.wav,dog,5\n", "line 2, column 'value': '5' is not a value"),
        ("filename,label,value\na.wav,dog,1\na.wav,dog,0.5\n", "line 3: 'dog' of 'a.wav' is 0.5 here and 1 above; keep one"),
        ("a.wav,dog|rain\nb.wav,dog;rain\n", "by '|' in line 1 and by ';' in line 2; use one"),
        ("name,target\na.wav,dog\nb.wav,rain\n", "line 2, column 'target': 'dog' is not a value"),
        ("a.wav\nb.wav\n", "line 1: a column of names is not a list of labels"),
    ],
)
def test_what_says_nothing_clear_is_refused(tmp_path, text, complaint):
    with pytest.raises(AnnotationError) as caught:
        read_tag_list(saved(tmp_path, text))
    assert complaint in str(caught.value)


def test_annotators_are_told_apart(tmp_path):
    path = saved(tmp_path, "filename,label,annotator\na.wav,dog,ann\na.wav,rain,bob\nb.wav,dog,bob\n")
    with pytest.raises(AnnotationError, match=r"tags\.tsv: a\.wav was annotated by several: ann, bob; choose one with annotator="):
        read_tag_list(path)
    assert read_tag_list(path, annotator="ann") == {"a.wav": {"dog": 1.0}}
    assert read_tag_list(path, annotator="bob") == {"a.wav": {"rain": 1.0}, "b.wav": {"dog": 1.0}}
    with pytest.raises(AnnotationError, match="no annotator 'cem'"):
        read_tag_list(path, annotator="cem")
    apart = saved(tmp_path, "filename,label,annotator\na.wav,dog,ann\nb.wav,dog,bob\n")
    assert read_tag_list(apart) == {"a.wav": {"dog": 1.0}, "b.wav": {"dog": 1.0}}


def test_a_spreadsheet_takes_no_label_for_a_formula(tmp_path):
    path = write_tag_list(tmp_path / "tags.tsv", {"a.wav": {"=1+1": 1.0}, "@b.wav": {"dog": 1.0}}, spreadsheet=True)
    assert path.read_text() == "filename\tevent_labels\na.wav\t'=1+1\n'@b.wav\tdog\n"
