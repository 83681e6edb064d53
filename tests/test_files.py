"""Whatever happens while a file is written, a reader finds the old one or the new one."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.core.files import locked, read_json, read_rows, replacing, write_json, write_rows, write_text
from dcasekit.errors import AnnotationError, FeatureError


class Broken(Exception):
    """What goes wrong in these tests."""


# replacing


@pytest.mark.parametrize("before", [None, "old"])
def test_a_new_file_takes_the_place_of_the_old_one(tmp_path, before):
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path, "a rename is atomic only within a folder"
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert (path.read_text() if path.exists() else None) == before, "not visible before it is whole"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, before, error):
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == (["a.txt"] if before else [])
    assert (path.read_text() if before else None) == before


def test_missing_folders_are_made(tmp_path):
    assert write_text(tmp_path / "new" / "folder" / "a.txt", "x").read_text() == "x"


def test_others_may_read_what_was_written(tmp_path):
    assert write_text(tmp_path / "a.txt", "x").stat().st_mode & 0o777 == 0o644


def test_a_writer_that_looks_at_the_suffix_finds_it(tmp_path):
    with replacing(tmp_path / "a.npy") as temporary:
        np.save(temporary, np.arange(3))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]


@given(st.text(st.characters(codec="utf-8")))
def test_text_is_written_as_utf_8_with_the_line_ends_it_has(tmp_path, text):
    assert write_text(tmp_path / "a.txt", text).read_bytes() == text.encode()


# tables

CELLS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_a_table_survives_its_file(tmp_path, rows):
    rows = [["first", "row"], *rows]  # the tab in the first line tells the delimiter
    found = read_rows(write_rows(tmp_path / "a.tsv", rows), error=FeatureError)
    assert [row for _, row in found] == rows


def test_rows_are_numbered_as_an_editor_does(tmp_path):
    (tmp_path / "a.tsv").write_text('\na\tb\n\n"c\nc"\td\ne\tf\n')
    assert read_rows(tmp_path / "a.tsv", error=FeatureError) == [(2, ["a", "b"]), (5, ["c\nc", "d"]), (6, ["e", "f"])]


@pytest.mark.parametrize("text", ['a\t"b', 'a\t"b"c\n', 'a\tb\n"' + "x\n" * 100_000], ids=["end", "inside", "long"])
def test_quotation_marks_without_a_partner_are_refused(tmp_path, text):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(FeatureError, match="a.tsv, line .*quotation marks"):
        read_rows(tmp_path / "a.tsv", error=FeatureError)


# JSON

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
    max_leaves=10,
)


@given(content=JSON)
def test_json_survives_its_file(tmp_path, content):
    assert read_json(write_json(tmp_path / "a.json", content), error=FeatureError) == content


@pytest.mark.parametrize("content", [float("nan"), [float("inf")], {"a": np.float32(1)}, {1, 2}, b"bytes"])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path, content):
    write_json(tmp_path / "a.json", "old")
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", content)
    assert os.listdir(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == "old"


@pytest.mark.parametrize("error", [FeatureError, AnnotationError])
@pytest.mark.parametrize(
    "content", [b"", b'{"a": 1', b"{'a': 1}", b'"\xff"', b"\xef\xbb\xbf{}"], ids=["empty", "half", "quotes", "latin", "bom"]
)
def test_a_damaged_json_file_is_named(tmp_path, error, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(error, match="a.json is not readable JSON .* delete it and make it again"):
        read_json(tmp_path / "a.json", error=error)


def test_a_missing_json_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FeatureError, match="a.json does not exist"):
        read_json(tmp_path / "a.json", error=FeatureError)
    with pytest.raises(FeatureError, match="not readable JSON"):
        read_json(tmp_path, error=FeatureError)


# locks

HOLDER = """
import sys
from dcasekit.core.files import locked
with locked(sys.argv[1], shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""
PROBE = """
import fcntl, sys
with open(sys.argv[1] + "/.lock", "a+b") as handle:
    try:
        fcntl.flock(handle, fcntl.LOCK_NB | (fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX))
        print("free")
    except BlockingIOError:
        print("busy")
"""


@pytest.fixture
def hold():
    """Start a process that holds a lock until it is told, or killed."""
    started = []

    def start(folder, kind="alone"):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, folder, kind], stdin=-1, stdout=-1, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def probe(folder, kind="alone"):
    return subprocess.run([sys.executable, "-c", PROBE, folder, kind], capture_output=True, text=True, check=True).stdout.strip()


def test_one_holder_keeps_all_others_out_until_it_is_done(tmp_path, hold):
    first = hold(tmp_path)
    assert first.stdout.readline() == "held\n"
    assert (probe(tmp_path), probe(tmp_path, "shared")) == ("busy", "busy")
    second = hold(tmp_path)  # waits: it gets the lock only once the first has said goodbye
    first.communicate("go\n")
    assert second.stdout.readline() == "held\n"
    assert first.returncode == 0


def test_many_may_share_and_one_that_wants_it_alone_waits(tmp_path, hold):
    holders = [hold(tmp_path, "shared"), hold(tmp_path, "shared")]
    assert [holder.stdout.readline() for holder in holders] == ["held\n", "held\n"]
    assert (probe(tmp_path), probe(tmp_path, "shared")) == ("busy", "free")


def test_the_lock_of_a_killed_holder_is_free(tmp_path, hold):
    holder = hold(tmp_path)
    assert holder.stdout.readline() == "held\n"
    assert probe(tmp_path) == "busy"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert probe(tmp_path) == "free"


def test_an_error_inside_releases_the_lock_and_makes_the_folder(tmp_path):
    def fail():
        with locked(tmp_path / "new"):
            assert probe(tmp_path / "new") == "busy"
            raise Broken

    with pytest.raises(Broken):
        fail()
    assert probe(tmp_path / "new") == "free"
