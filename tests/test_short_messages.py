"""However long a text of a file is, the message that refuses it is short; found by `tests/fuzz`, here as laws over every kind of file."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcasekit import load, testing
from dcasekit.annotations import annotation_formats, read_annotation, read_events, read_tag_list
from dcasekit.core import discover
from dcasekit.datasets import Folder
from dcasekit.errors import DatasetError, DcasekitError, ModelError, NameNotFoundError, first_line
from dcasekit.models import MLP
from dcasekit.scores import read_durations, read_scores

LONGEST = 3000  # characters, as in the fuzzing: a list of 200 labels, or two paths
TEXTS = ["x" * 9000, f"{'a' * 200}/" * 45 + "a.wav"]  # of the second every part is a name that a disk takes
LISTS = {
    "events.tsv": "filename\tonset\toffset\tevent_label\tfold\tgroup\na.wav\t0\t0.1\tdog\t1\ta\nb.wav\t0.05\t0.2\tcat\t2\tc\n",
    "tags.csv": 'filename,label,split,note\na.wav,"dog,cat",train,x\nb.wav,,test,y\n',
    "labels.csv": "filename,fold,dog,cat\na.wav,1,1,0\nb.wav,2,0,1\n",
}


def lengthen(content: str) -> Iterator[str]:
    """Put long texts in place of a cell of a table, in one row, in two, and of its header; or of a value of JSON."""
    if content[:1] in ("{", "["):
        for found in re.finditer(r'"[^"\n]*"(?!:)|\b\d[\d.]*\b', content):
            yield from (content[: found.start()] + json.dumps(text) + content[found.end() :] for text in TEXTS)
        return
    lines = content.splitlines()
    mark = next((mark for mark in "\t;," if mark in content), "\t")
    for column in range(min(12, max(line.count(mark) for line in lines) + 1)):
        for rows in ({0}, {1}, {1, 2}, {len(lines) - 1}):
            for text in TEXTS:
                cells = [line.split(mark) for line in lines]
                for row in rows & set(range(len(lines))):
                    cells[row][column : column + 1] = [text]
                yield "".join(f"{mark.join(line)}\n" for line in cells)
    yield from (re.sub(r"[a-z_]+", text, content) for text in TEXTS)
    yield from ("\n".join([*lines[:-1], text]) for text in TEXTS)
    yield "\n".join([f"{lines[0]}{mark}{TEXTS[0]}{mark}{TEXTS[0]}", *(f"{line}{mark}{mark}" for line in lines[1:])])


def refuse_long(read) -> None:
    try:
        read()
    except DcasekitError as error:
        said = str(error)
    else:
        return
    if len(said) > LONGEST:
        pytest.fail(f"a message of {len(said)} characters: {said[:300]}", pytrace=False)


def check_short(read, path: Path) -> None:
    """Read a file each of whose texts is long in turn."""
    whole = path.read_text()
    try:
        for content in lengthen(whole):
            path.write_text(content)
            refuse_long(read)
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("name", discover.names("datasets"))
def test_of_label_files_of_datasets(tmp_path, name):
    made = testing.make_dataset(name, tmp_path, clips=6, seconds=0.1, sr=8000)
    texts = [path for path in sorted(tmp_path.rglob("*")) if path.suffix in (".csv", ".tsv", ".txt", ".ann", ".json", ".jams", ".yaml")]
    for path in {path.parent: path for path in texts}.values() if len(texts) > 8 else texts:
        check_short(lambda: type(made)(tmp_path).listed, path)


@pytest.mark.parametrize("name", LISTS)
def test_of_lists_of_folders(tmp_path, name):
    made = testing.make_dataset("folder", tmp_path, clips=4, seconds=0.1, sr=8000)
    for target, path in zip("ab", sorted(made.root.glob("*.wav")), strict=False):
        path.rename(tmp_path / f"{target}.wav")
    (tmp_path / name).write_text(LISTS[name])
    check_short(lambda: Folder(tmp_path).listed, tmp_path / name)
    check_short(lambda: Folder(tmp_path, group="(never)").split(), tmp_path / name)
    for beside in "cd":
        (tmp_path / beside).mkdir()
        os.link(tmp_path / "a.wav", tmp_path / beside / "e.wav")
    for text in ("/" + TEXTS[0], "../" * 3000 + "a.wav", "./" * 3000 + "e.wav"):
        (tmp_path / name).write_text(LISTS[name].replace("a.wav", text))
        with pytest.raises(DatasetError) as refused:
            _ = Folder(tmp_path).listed
        assert len(str(refused.value)) < LONGEST


TABLE = "filename\tonset\toffset\tevent_label\tweight\tannotator\na.wav\t0.5\t1.25\tdog\t0.5\tann\na.wav\t2\t3\tcar horn\t1\tann\n"
OBSERVED = '{"time": 0.5, "duration": 0.75, "value": "dog", "confidence": 0.5}'
GOOD = {
    "tsv": [TABLE, TABLE.replace("\t", ","), "0\t1\tdog\t0.25\n2\t3\tcat\t1\n", "a.wav,0,5,1,25,dog\n"],
    "audacity": ["0.5\t1.25\tdog\n2.15\t2.15\ta click\n"],
    "elan": ["Tier\tBegin Time - ss.msec\tEnd Time - ss.msec\tAnnotation\tScore\ndog\t0.5\t1.25\tdog\t0.5\ncat\t2\t3\t\t1\n"],
    "raven": [
        "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tScore\tAnnotation\n1\t6.7\t15.09\ta.wav\t0.5\twren\n2\t7\t8\ta.wav\t1\tx\n"
    ],
    "jams": [f'{{"annotations": [{{"namespace": "segment_open", "data": [{OBSERVED}]}}], "file_metadata": {{"duration": 10.0}}}}'],
}
OTHERS = {
    "tags": (read_tag_list, "filename\tevent_labels\na.wav\tdog,rain\nb.wav\tdog\n"),
    "values": (read_tag_list, "filename,label,value\na.wav,dog,0.5\na.wav,cat,unknown\n"),
    "scores": (read_scores, "onset\toffset\tdog\tcar horn\n0\t0.5\t0.25\t1e-3\n0.5\t1\t0.75\t.5\n"),
    "durations": (read_durations, "filename\tduration\na.wav\t10.0\nb.wav\t3\n"),
}


@pytest.mark.parametrize("form", annotation_formats())
@pytest.mark.parametrize("read", [read_annotation, read_events])
def test_of_annotations(tmp_path, form, read):
    path = tmp_path / f"a{annotation_formats()[form]}"
    for content in GOOD[form]:
        path.write_text(content)
        check_short(lambda: read(path), path)
        check_short(lambda: read(path, format=form), path)


@pytest.mark.parametrize("kind", OTHERS)
def test_of_tags_scores_and_durations(tmp_path, kind):
    read, content = OTHERS[kind]
    path = tmp_path / "a.tsv"
    path.write_text(content)
    check_short(lambda: read(path), path)


@pytest.mark.parametrize("backend", ["mlp", "keras.mlp", "sklearn.logistic_regression"])
def test_of_saved_models(tmp_path, backend):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    if "." in backend:
        pytest.importorskip(backend.partition(".")[0])
    settings = {"hidden_layers_size": (3,), "dropout_rates": (0.0,)} if backend.endswith("mlp") else {}
    model = discover.load("models", backend)(**settings).build((6, 4), ("a", "b"))
    model.save(tmp_path)
    path = tmp_path / "model.json"
    about = json.loads(path.read_text())
    wrong = ["x" * 9000, ["x"] * 9000, {"x" * 9000: float("inf")}, 10**4000, [1] * 9000]
    inner = [{"settings": about["settings"] | {name: value}} for name in about["settings"] for value in wrong]
    for changes in [*inner, *({key: value} for key in about for value in wrong)]:
        path.write_text(json.dumps(about | changes))
        refuse_long(lambda: load(tmp_path))


def test_of_settings_that_no_network_can_be_built_with():
    for sizes in (["x" * 9000], ["x"] * 9000):
        with pytest.raises(ModelError, match="cannot be built") as refused:
            MLP(hidden_layers_size=sizes, dropout_rates=[0.0] * len(sizes)).build((6, 4), ("a", "b"))
        assert len(str(refused.value)) < LONGEST


def test_of_names_of_nothing():
    with pytest.raises(NameNotFoundError) as refused:
        discover.load("models", "x" * 9000)
    assert len(str(refused.value)) < LONGEST


def test_of_what_other_libraries_say():
    assert first_line(ValueError("x" * 9000)) == "x" * 300
    assert first_line(KeyError()) == "KeyError"


def test_of_a_pickle_that_names_a_class_without_end(tmp_path):
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02c" + b"m" * 9000 + b"\nname\n" + pickle.STOP)
        file.writestr("archive/version", "3")
    with pytest.raises(ModelError, match=r"w\.pt") as refused:
        MLP(hidden_layers_size=(), dropout_rates=()).build((6, 4), ("a", "b")).load_weights(path)
    assert len(str(refused.value)) < LONGEST
