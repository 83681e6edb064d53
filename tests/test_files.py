"""Whatever happens while a file is written, a reader finds the old one or the new one."""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import Clip
from dcasekit.core import files
from dcasekit.core.files import (
    inside,
    place,
    read_json,
    read_rows,
    replacing,
    safe_name,
    sweep,
    unsafe,
    write_json,
    write_rows,
    write_text,
)
from dcasekit.core.locks import lock
from dcasekit.core.origin import origin, recognize
from dcasekit.errors import AnnotationError, AudioError, FeatureError, StorageError


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


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path):
    assert write_text(tmp_path / f"{'a' * 251}.txt", "x").read_text() == "x"


def test_a_file_name_that_is_not_utf_8_survives_in_json(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    assert read_json(write_json(tmp_path / "a.json", {name: "é"}), error=FeatureError) == {name: "é"}


# what the disk refuses

FULL = """
import resource, sys
import numpy as np
from dcasekit import audio
from dcasekit.core.files import replacing, write_text
from dcasekit.errors import StorageError
from safetensors.numpy import save_file

def arrays(path):
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.zeros(10_000).tofile(file)

def weights(path):
    with replacing(path) as temporary:
        save_file({"a": np.zeros(10_000)}, temporary)

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # stands for a full disk
for name, write in {
    "a.txt": lambda path: write_text(path, "x" * 10_000),
    "a.npy": arrays,
    "a.wav": lambda path: audio.write(path, np.zeros(10_000, np.float32), 8000),
    "a.safetensors": weights,
}.items():
    try:
        write(f"{sys.argv[1]}/{name}")
    except StorageError as error:
        print(error)
"""


def test_a_full_disk_is_one_line_that_names_the_file_and_the_way_on(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 4, done.stdout
    for name, line in zip(("a.txt", "a.npy", "a.wav", "a.safetensors"), said, strict=True):
        assert line.startswith(f"cannot write {tmp_path}/{name}: the disk is full")
        assert "--cache" in line
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write .*file/a.txt: .* or write elsewhere"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(StorageError, match=r"cannot write .*file/.lock"), lock(tmp_path / "file"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_with_the_way_on(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StorageError, match=r"\.lock cannot be locked.*knows no locks.*local disk.*--cache"), lock(tmp_path):
        pass


def test_the_lock_follows_no_link_to_a_file_elsewhere(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"\.lock"), lock(tmp_path / "folder"):
        pass
    assert not (tmp_path / "elsewhere").exists()


# temporary files that a killed process left


def leftover(folder, *, host=None, pid=None, old=True):
    path = folder / f".dcasekit-{host or files._machine()}-{pid or dead()}-0123abcd.wav"
    path.write_bytes(b"half")
    if old:
        os.utime(path, (1, 1))
    return path


def dead():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path):
    ours, elsewhere = leftover(tmp_path, old=False), leftover(tmp_path, host="another-host")
    kept = [leftover(tmp_path, pid=os.getpid()), leftover(tmp_path, host="a-third"), leftover(tmp_path, host=f"{platform.node()}.1")]
    for path in kept[1:]:  # there, or in another container of this name, may be a process that still writes
        os.utime(path, (time.time() - 600,) * 2)
    for name in (".dcasekit", ".dcasekit-notes.txt", ".clip-abcd1234.wav", "dcasekit-x-1-0123abcd.wav"):
        kept.append(tmp_path / name)
        kept[-1].write_text("the user's")
        os.utime(kept[-1], (1, 1))
    sweep(tmp_path)
    assert not ours.exists()
    assert not elsewhere.exists()
    assert all(path.exists() for path in kept)


def test_the_next_run_sweeps_where_it_writes(tmp_path):
    ours = leftover(tmp_path)
    write_text(tmp_path / "a.txt", "x")
    assert not ours.exists()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_writer_leaves_a_name_that_is_recognised(tmp_path):
    code = "import os, sys\nfrom dcasekit.core.files import replacing\nwith replacing(sys.argv[1] + '/a.wav'): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    (left,) = tmp_path.iterdir()
    os.utime(left, (1, 1))
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


# names and places

UNSAFE = [
    "", "/data/rec/r1", "..", "../a", "a/../../b", "a/..", "C:/a", "c:a", "a\\b", "..\\a", "\\\\host\\share", "a//b", "a/", "./a", "a/.",
    ".", "a\0b", "a\nb", "a\x1b[2Jb", "a\x7f", os.fsdecode(b"caf\xe9"),
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_elsewhere_is_refused_by_clip_and_by_every_writer(tmp_path, name):
    assert unsafe(name)
    with pytest.raises(AnnotationError, match="an id is a path below the dataset's folder"):
        Clip(name, tmp_path / "a.wav")
    for decide in (inside, partial(place, kind="labels")):
        with pytest.raises(StorageError, match="cannot be a file in"):
            decide(tmp_path, name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a", "a/b c/d.e", "...", "..a/b..", "é/日本", "1:x", "clip@pitch_shift-1.wav", "a b"])
def test_a_plain_name_is_kept(tmp_path, name):
    assert unsafe(name) == ""
    assert safe_name(name) == name == Clip(name, tmp_path).id
    assert inside(tmp_path, name) == tmp_path / name


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_path_makes_a_safe_name(name):
    made = safe_name(name)
    assert unsafe(made) == ""
    assert safe_name(made) == made


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "sub").symlink_to("../elsewhere")
    (folder / "a.wav").symlink_to("../elsewhere/a.wav")
    (folder / "loop").symlink_to("loop")
    (folder / "own").symlink_to("real")
    for name in ("sub/b.wav", "a.wav"):
        with pytest.raises(StorageError, match="link that leads out of"):
            place(folder, name, kind="labels")
    assert inside(folder, "own/a.wav") == folder / "own/a.wav"
    (tmp_path / "linked").symlink_to("elsewhere")
    assert place(tmp_path / "linked", "a.wav", kind="labels") == tmp_path / "linked" / "a.wav", "where the user puts a folder is his to say"


def test_only_files_in_folders_of_our_own_making_are_replaced(tmp_path):
    for folder in (tmp_path / "new", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        write_text(place(folder, "a.tsv", kind="labels"), "old")
        write_text(place(folder, "a.tsv", kind="labels"), "new")
        assert (folder / "a.tsv").read_text() == "new"
        with pytest.raises(StorageError, match="exists and dcasekit did not write it"):
            place(folder, "a.tsv", kind="resampled audio")
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "a.tsv").write_text("the user's")
    for text in ("added", "added again"):
        write_text(place(tmp_path / "users", "b.tsv", kind="labels"), text)
    with pytest.raises(StorageError, match="a.tsv exists and dcasekit did not write it, so it is left as it is; move it, or give"):
        place(tmp_path / "users", "a.tsv", kind="labels")
    assert (tmp_path / "users" / "b.tsv").read_text() == "added again"


# what a file was made of


def test_a_file_is_recognized_when_moved_or_copied_and_not_when_another_takes_its_place(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(bytes(200_000))
    two.write_bytes(bytes(100_000) + b"x" + bytes(99_999))
    for path in (one, two):
        os.utime(path, ns=(10**18, 10**18))
    was = origin(one)
    assert recognize(one, was) == was
    shutil.copy2(one, tmp_path / "copy")
    assert recognize(tmp_path / "copy", was) == was._replace(ctime_ns=os.stat(tmp_path / "copy").st_ctime_ns)
    two.replace(one)  # as long, and as old
    assert recognize(one, was) is None
    os.utime(tmp_path / "copy", ns=(10**17, 10**17))  # older than what was made of it
    assert recognize(tmp_path / "copy", was) is None
    assert recognize(tmp_path / "nothing", was) is None
    with pytest.raises(AudioError, match=r"nothing cannot be read .*check the folder, or download"):
        origin(tmp_path / "nothing")


# tables

CELLS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(rows=st.lists(st.lists(CELLS | st.sampled_from(["a,b", "a;b", "\ufeffa", "", '"', "a\nb"]), min_size=1, max_size=3), max_size=5))
def test_a_table_survives_its_file(tmp_path, rows):
    found = read_rows(write_rows(tmp_path / "a.tsv", rows), error=FeatureError)
    assert [row for _, row in found] == rows


def test_text_of_another_encoding_is_refused_by_its_file_and_the_old_one_stays(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    for write in (write_text, lambda path, text: write_rows(path, [[text, "b"]])):
        with pytest.raises(StorageError, match=r"cannot write .*a\.txt: .* is not valid Unicode; rename the file or label"):
            write(path, "d\udc80g")
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["a.txt", "/dev/zero"])
def test_a_text_without_end_is_refused_and_not_taken_into_memory(tmp_path, monkeypatch, name):
    monkeypatch.setattr(files, "_MOST_TEXT", 2**20)
    path = tmp_path / name
    if name == "a.txt":
        with path.open("wb") as file:
            file.truncate(2**40)  # a sparse file: a terabyte of zeros
    for read in (read_json, read_rows):
        with pytest.raises(FeatureError, match=r"it is larger than 0\.000976562 GiB"):
            read(path, error=FeatureError)


def test_a_spreadsheet_takes_no_cell_for_a_formula(tmp_path):
    row = ["=1+1", "+dog", "-dog", "@dog", "\tdog", "dog=1", "-1.5", "+2"]
    path = write_rows(tmp_path / "a.tsv", [row], spreadsheet=True)
    [(_, found)] = read_rows(path, error=FeatureError)
    assert found == ["'=1+1", "'+dog", "'-dog", "'@dog", "'\tdog", "dog=1", "-1.5", "+2"]
    assert read_rows(write_rows(path, [row]), error=FeatureError) == [(1, row)]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("a\tb,c;d\n", "\t"), ("a;b\n", ";"), ("a;b,c\n", ","), ("a\nb\tc\n", "\t"), ('"a\tb",c\n', ","), ('"a\nb"\tc\n', "\t"), ("a\n", ",")],
)
def test_the_first_row_with_one_tells_what_stands_between_the_cells(tmp_path, text, delimiter):
    (tmp_path / "a.txt").write_text(text)
    assert read_rows(tmp_path / "a.txt", error=FeatureError).delimiter == delimiter


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
    "content",
    [b"", b'{"a": 1', b"{'a': 1}", b'"\xff"', b"[" * 100_000, b"1" * 5000],
    ids=["empty", "half", "quotes", "latin", "deep", "digits"],
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
from dcasekit.core.locks import lock
with lock(sys.argv[1], shared=sys.argv[2] == "shared"):
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
        with lock(tmp_path / "new"):
            assert probe(tmp_path / "new") == "busy"
            raise Broken

    with pytest.raises(Broken):
        fail()
    assert probe(tmp_path / "new") == "free"
