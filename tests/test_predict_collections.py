"""`dcasekit predict` over collections: every form of answer, long recordings in flat memory, killed and gone on with."""

import csv
import json
import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dcasekit
from dcasekit import audio, cli
from dcasekit.annotations import read_annotation, read_events
from dcasekit.cli.collection import JOURNAL, Journal, shards
from dcasekit.cli.prediction import _bar
from dcasekit.cli.recordings import Recording, find
from dcasekit.errors import AudioError
from dcasekit.features import MelSpectrogram
from dcasekit.models import CRNN2023, SceneCNN
from dcasekit.scores import Scores, median_filter, read_scores, to_events
from dcasekit.scores.running import RunningOverview

pytestmark = pytest.mark.usefixtures("one_thread")
SR = 8000
SMALL = {"sr": SR, "audio_win": 256, "audio_hop": 128, "sequence_time": 0.5, "sequence_hop_time": 0.25}
LIMIT = "0.3"


def run(*args, code=0):
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


def saved(folder, kind, task):
    features = MelSpectrogram(**SMALL)
    model = kind().build((features.sequence_frames, features.dims), ("dog", "cat", "rain"), task=task, seed=1)
    model.features = features
    return model.save(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two models, and a folder of recordings of which one is none."""
    root = tmp_path_factory.mktemp("world")
    saved(root / "sed", CRNN2023, "detection")
    saved(root / "scene", SceneCNN, "classification")
    rng = np.random.default_rng(0)
    for number in range(12):
        sound = 0.3 * rng.standard_normal(SR // 2 + number * 1000) * np.linspace(0, 1, SR // 2 + number * 1000)
        path = root / "rec" / f"site{number % 3}" / f"r{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, sound.astype(np.float32), SR)
    (root / "rec" / "bad.wav").write_text("no sound")
    (root / "rec" / "notes.txt").write_text("no recording")
    return root


def tree(folder):
    """All that was written, but for what belongs to the run itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", ".lock", ".dcasekit", JOURNAL, "summary.json")
    }


def numbers(events):
    return np.reshape([(event.onset, event.offset, event.weight) for event in events], (-1, 3))


KINDS = "events,labels,windows,audacity,elan,jams,raven,scores"


def test_every_form_holds_the_same_answers(world, tmp_path):
    out = tmp_path / "out"
    args = ["predict", world / "rec", "--model", world / "sed", "--out", out, "--write", KINDS, "--threshold", LIMIT]
    text, err = run(*args, "--json", "--post", "median", "--median", "0.1", "--clips", "2", code=1)
    assert err.count("error: ") == 1
    assert "bad.wav is not an audio file" in err
    told = json.loads(text)
    assert (told["files"], told["failed"]) == (13, 1)
    model, events = dcasekit.load(world / "sed"), read_events(out / "events.tsv")
    assert len(events) == 12
    with (out / "windows.csv").open() as file:
        windows = list(csv.DictReader(file))
    assert list(windows[0]) == ["file", "start", "end", "label", "score"]
    for name, found in events.items():
        (scores,) = model.predict([name])
        expected = to_events(median_filter(scores, seconds=0.1), threshold=float(LIMIT))
        assert [event.label for event in found] == [event.label for event in expected]
        np.testing.assert_allclose(numbers(found), numbers(expected), atol=5e-5)
        for kind, ending in {"audacity": ".txt", "elan": ".elan.txt", "jams": ".jams", "raven": ".selections.txt"}.items():
            again = read_annotation(out / kind / f"{name.lstrip('/')}{ending}")
            assert [event.label for event in again] == [event.label for event in expected]
            np.testing.assert_allclose([e.onset for e in again], [e.onset for e in expected], atol=1e-6)
            np.testing.assert_allclose([e.offset for e in again], [e.offset for e in expected], atol=1e-6)
        np.testing.assert_array_equal(read_scores(out / "scores" / f"{name.lstrip('/')}.tsv").values, scores.values)
        rows = [row for row in windows if row["file"] == name]
        assert float(rows[-1]["end"]) == pytest.approx(scores.edges[-1])
        assert max(float(row["score"]) for row in rows) == pytest.approx(scores.values.max(), abs=1e-4)
    assert sum(one["events"] for one in told["labels"].values()) == sum(map(len, events.values())) > 0
    clips = [line.split("\t") for line in (out / "clips" / "clips.tsv").read_text().splitlines()[1:]]
    assert len(clips) == sum(min(2, one["events"]) for one in told["labels"].values())
    for clip, _, onset, offset, label, score in clips:
        assert clip.startswith(f"{label}/")
        assert audio.info(out / "clips" / clip).duration <= float(offset) - float(onset) + 1.01
        assert float(score) > float(LIMIT)


def test_a_scene_gets_labels_and_windows(world, tmp_path):
    run("predict", world / "rec" / "site0", "--model", world / "scene", "--out", tmp_path / "out", "--top", "1", "--jobs", "1")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"labels.tsv", "windows.csv"}
    rows = [line.split("\t") for line in (tmp_path / "out" / "labels.tsv").read_text().splitlines()]
    assert rows[0] == ["filename", "label", "score"]
    (scores,) = dcasekit.load(world / "scene").predict([rows[1][0]])
    assert rows[1][1:] == [scores.top(1)[0][0], f"{scores.top(1)[0][1]:.4f}"]
    with (tmp_path / "out" / "windows.csv").open() as file:
        windows = [row for row in csv.DictReader(file) if row["file"] == rows[1][0]]
    assert [row["label"] for row in windows] == [scores.labels[k] for k in scores.values.argmax(axis=1)]
    assert [float(row["start"]) for row in windows] == pytest.approx(scores.edges[:-1])


def test_answers_do_not_tell_how_many_processes_there_were(world, tmp_path):
    args = ["predict", world / "rec", "--model", world / "sed", "--write", KINDS, "--threshold", LIMIT, "--device", "cpu"]
    for name, more in {"one": ["--jobs", "1"], "two": ["--jobs", "2"]}.items():
        run(*args, "--out", tmp_path / name, *more, code=1)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert not (tmp_path / "two" / "parts").exists()


KILLED = """
import os, signal, sys, threading, time
from dcasekit.cli import app, collection
add, later = collection.Journal.add, [float(sys.argv.pop(1))]
def add_and_be_killed(*given):
    add(*given)
    if later:  # the first answer is there: soon, whatever is being done then
        threading.Timer(later.pop(), os.kill, (os.getpid(), signal.SIGKILL)).start()
    time.sleep(0.005)
collection.Journal.add = add_and_be_killed
app(sys.argv[1:], standalone_mode=False)
"""


def test_killed_at_any_moment_it_ends_with_the_undisturbed_result(world, tmp_path):
    args = ["predict", str(world / "rec"), "--model", str(world / "sed"), "--write", KINDS, "--threshold", LIMIT, "--device", "cpu"]
    run(*args, "--out", tmp_path / "whole", "--jobs", "1", code=1)
    out = tmp_path / "killed"
    rng = random.Random(0)
    for _ in range(4):
        words = [sys.executable, "-c", KILLED, str(rng.random() * 0.01), *args, "--out", str(out), "--jobs", "1", "-q"]
        assert subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == -signal.SIGKILL
    assert not (out / "summary.json").exists()
    run(*args, "--out", out, "--jobs", "1", code=1)
    assert tree(out) == tree(tmp_path / "whole")


def test_what_a_killed_process_left_half_written_is_cut_off(world, tmp_path):
    args = ["predict", world / "rec", "--model", world / "sed", "--out", tmp_path / "out", "--threshold", LIMIT, "--device", "cpu"]
    run(*args, "--jobs", "1", code=1)
    before = tree(tmp_path / "out")
    for name in ("events.tsv", "windows.csv", JOURNAL):
        with (tmp_path / "out" / name).open("ab") as file:
            file.write(b'{"file": "half a li')
    run(*args, "--jobs", "1", code=1)
    assert tree(tmp_path / "out") == before


def test_new_files_are_answered_and_old_ones_left(world, tmp_path, monkeypatch):
    args = ["--model", world / "sed", "--out", tmp_path / "out", "--threshold", LIMIT, "--device", "cpu", "--jobs", "1"]
    run("predict", world / "rec" / "site0", *args)
    first = (tmp_path / "out" / "events.tsv").read_bytes()
    run("predict", world / "rec" / "site0", world / "rec" / "site1", *args)
    assert (tmp_path / "out" / "events.tsv").read_bytes().startswith(first)
    assert len(read_events(tmp_path / "out" / "events.tsv")) == 8
    monkeypatch.setattr("dcasekit.cli.collection.score_files", None)  # nothing is answered again
    run("predict", world / "rec" / "site0", *args)


def test_other_settings_need_another_folder(world, tmp_path):
    args = ["predict", world / "rec" / "site0", "--model", world / "sed", "--out", tmp_path / "out"]
    run(*args)
    assert "results of other settings: threshold 0.5 (now 0.3)" in run(*args, "--threshold", "0.3", code=1)[1]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("years of work")
    assert "holds files that dcasekit did not write" in run(*args[:-1], tmp_path / "own", code=1)[1]


def test_thresholds_of_labels(world, tmp_path):
    (tmp_path / "limits.json").write_text('{"dog": 0.1, "rain": 2}')
    args = ["predict", world / "rec" / "site0" / "r00.wav", "--model", world / "sed", "--format", "json"]
    for given in ("dog=0.1,rain=2", tmp_path / "limits.json"):
        (found,) = json.loads(run(*args, "--threshold", given)[0])
        assert {event["label"] for event in found["events"]} >= {"dog"}
        assert "rain" not in {event["label"] for event in found["events"]}
    for wrong in ("mouse=0.1", "dog", "nan", tmp_path / "none.json"):
        assert "--threshold" in run(*args, "--threshold", wrong, code=2)[1]


def test_a_bad_kind_or_no_files_is_wrong_usage(world, tmp_path):
    assert "cannot write 'gif'" in run("predict", world / "rec", "--model", world / "sed", "--out", tmp_path, "--write", "gif", code=2)[1]
    assert "--list" in run("predict", "--model", world / "sed", code=2)[1]


def test_parquet_needs_pyarrow_or_says_so(world, tmp_path):
    args = ["predict", world / "rec" / "site0", "--model", world / "sed", "--out", tmp_path / "out", "--write", "events,parquet"]
    try:
        from pyarrow import parquet
    except ImportError:
        assert "pip install 'dcasekit[parquet]'" in run(*args, code=1)[1]
        assert not (tmp_path / "out").exists()
        return
    run(*args)
    table = parquet.read_table(tmp_path / "out" / "events.parquet").to_pydict()
    assert list(table) == ["filename", "onset", "offset", "event_label", "score"]
    assert len(set(table["filename"])) == 4


def test_recordings_are_found_in_folders_by_patterns_and_in_lists(world, tmp_path):
    rec = world / "rec"
    assert len(find([rec])) == 13
    assert [Path(one.name).name for one in find([rec], pattern="*1.wav")] == ["r01.wav", "r11.wav"]
    assert len(find([rec], pattern="site2/*.wav")) == 4
    (tmp_path / "list.txt").write_text(f"# a list\n{rec}/site0/r00.wav\n\n{rec}/site1\n{rec}/site0/r00.wav\n{tmp_path}/missing.wav\n")
    found = find([rec / "site1" / "r01.wav"], [tmp_path / "list.txt"])
    assert [Path(one.name).name for one in found] == ["r01.wav", "r00.wav", "r04.wav", "r07.wav", "r10.wav", "missing.wav"]
    assert found[0].size > 0
    assert found[-1].size == 0
    with pytest.raises(AudioError, match=r"no recordings in .*\*\.flac"):
        find([rec], pattern="*.flac")
    with pytest.raises(AudioError, match="cannot read the list"):
        find([], [tmp_path / "none.txt"])


def test_shards_are_bounded_by_files_and_bytes():
    files = [Recording(str(n), size) for n, size in enumerate([5, 5, 5, 100, 1, 1, 1, 1])]
    assert [len(shard) for shard in shards(files, most=3, size=50)] == [3, 1, 3, 1]
    assert [one for shard in shards(files, most=3, size=50) for one in shard] == files
    assert shards([], most=3) == []


def test_a_journal_is_read_up_to_what_was_written_whole(tmp_path):
    lines = [json.dumps({"file": f"{n}.wav", "seconds": 1.0, "events": {"dog": [1, 0.5]}}) for n in range(3000)]
    (tmp_path / JOURNAL).write_text("\n".join([*lines, json.dumps({"file": "last.wav", "ends": {"events.tsv": 7}}), lines[0], "{half"]))
    journal = Journal(tmp_path, ["events.tsv"])
    assert len(journal.read()) == 3001  # what no line says the end of does not count


def sparse_wav(path, minutes, sr=48000):
    """A wav of silence in stereo that takes no room on disk."""
    size = 4 * 60 * minutes * sr
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 2, sr, 4 * sr, 4, 16, b"data", size)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return str(path)


MEMORY = """
import resource, sys
from dcasekit import load
from dcasekit.cli import app
import torch
torch.set_num_threads(1)
model, *files = sys.argv[1:]
load(model)
most = []
for number, file in enumerate(files):
    app(["predict", file, "--model", model, "--out", f"{file}.out", "--write", "events,windows,scores", "-q"], standalone_mode=False)
    most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(*most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is kilobytes on Linux only")
def test_a_long_recording_takes_no_more_memory_than_a_short_one(world, tmp_path):
    """Decoded, 20 minutes of 48 kHz in stereo are 460 MB; their scores are written as they come."""
    files = [sparse_wav(tmp_path / f"{minutes}.wav", minutes) for minutes in (3, 20)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", MEMORY, str(world / "scene"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    short, long = map(int, done.stdout.splitlines()[-1].split())
    assert long - short < 40, f"{long - short} MiB more than for 3 minutes"
    with open(f"{files[1]}.out/windows.csv") as file:
        assert float(list(csv.DictReader(file))[-1]["end"]) == 20 * 60


@pytest.mark.parametrize("form", ["png", "svg"])
def test_recordings_are_drawn(world, tmp_path, form):
    path = world / "rec" / "site0" / "r00.wav"
    run("predict", path, "--model", world / "sed", "--out", tmp_path / "out", "--plot", form, "--threshold", LIMIT)
    content = (tmp_path / "out" / "plots" / f"{str(path).lstrip('/')}.{form}").read_bytes()
    assert content.startswith(b"\x89PNG" if form == "png" else b"<?xml")
    assert len(content) > 5000


def test_an_overview_has_the_highest_scores_of_each_time():
    rng = np.random.default_rng(0)
    values = rng.random((10_007, 2)).astype(np.float32)
    edges = np.arange(10_008) * 0.02
    overview, first = RunningOverview(100), 0
    while first < len(values):
        stop = min(first + int(rng.integers(1, 700)), len(values))
        overview.add(Scores(values[first:stop], edges[first : stop + 1], ("dog", "cat")))
        first = stop
    found = overview.scores()
    assert 100 <= len(found.values) <= 201
    assert found.edges[[0, -1]].tolist() == edges[[0, -1]].tolist()
    for row, (start, end) in zip(found.values, zip(found.edges, found.edges[1:], strict=False), strict=True):
        inside = values[round(start / 0.02) : round(end / 0.02)]
        np.testing.assert_array_equal(row, inside.max(axis=0))


def test_a_bar_says_how_much_is_left(capsys):
    with _bar(1000, shown=True) as tell:
        tell(400)
    with _bar(1000, shown=False) as tell:
        tell(400)
    assert capsys.readouterr().out == ""
