"""Sound that comes through a pipe or into a file that grows: the same answers as offline, gone on with after a kill."""

import io
import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli, load
from dcasekit.annotations import read_annotation
from dcasekit.cli.outputs import event_cells
from dcasekit.cli.watching import Pcm, Watcher, from_file, from_pipe, read_head
from dcasekit.containers.streaming import Stream
from dcasekit.errors import AudioError, MissingExtraError, StorageError
from dcasekit.features import MelSpectrogram
from dcasekit.models import CRNN2023
from dcasekit.scores import Scores, to_events

pytestmark = pytest.mark.usefixtures("one_thread")
SR, LIMIT = 8000, 0.46
SMALL = {"sr": SR, "audio_win": 256, "audio_hop": 128, "sequence_time": 0.512, "sequence_hop_time": 0.256}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    features = MelSpectrogram(**SMALL)
    made = CRNN2023().build((features.sequence_frames, features.dims), ("dog", "cat"), task="detection", seed=3)
    made.features = features
    return made.save(tmp_path_factory.mktemp("model"))


def noise(seconds, sr=SR, seed=0):
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0, 0.5, int(seconds * 2) + 1), sr // 2)[: round(seconds * sr)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def offline(model, path):
    """Give the events of a file at a threshold about the middle that no score touches, and this threshold."""
    (scores,) = load(model).predict([path])
    limit = untouched(scores)
    return to_events(scores, threshold=limit), limit


def untouched(scores):
    ascending = np.unique(scores.values.astype(np.float64))
    middle = ascending[len(ascending) // 3 : -len(ascending) // 3]
    widest = np.diff(middle).argmax()
    assert middle[widest + 1] - middle[widest] > 4e-5
    return float(middle[widest] + middle[widest + 1]) / 2


def watched(model, sound, threshold):
    """Give the events of a sound that comes in chunks of all sizes."""
    rng, told = np.random.default_rng(1), []
    watcher = Watcher(model, SR, threshold, tell=told.append)
    borders = np.cumsum([0, *rng.integers(1, 9000, len(sound) // 2000)])
    list(watcher.run(sound[first:stop, None] for first, stop in itertools.pairwise([*borders[borders < len(sound)], len(sound)])))
    return sorted(tuple(cells[:3]) for cells in told)


def test_an_event_is_another_one_than_offline_only_where_a_score_touches_the_threshold(model):
    """Windows are answered in batches as they come, of sizes of their own, and sums are rounded otherwise: scores differ by some 1e-6."""
    network, sound = load(model), noise(40)
    stream, parts = Stream(network), []
    for first in range(0, len(sound), 3000):
        parts += stream.add(sound[first : first + 3000])
    parts += stream.finish()
    edges = np.concatenate([[0.0], *(part.edges[1:] for part in parts)])
    came = Scores(np.concatenate([part.values for part in parts]), edges, network.labels)
    frames = np.asarray(network.features.compute(sound))
    grid = network.features.grid(len(frames), len(sound) / SR)
    whole = grid.join(network.answer(grid.cut(frames)), network.labels)
    np.testing.assert_array_equal(came.edges, whole.edges)
    assert np.abs(came.values - whole.values).max() < 1e-5
    key = lambda scores, limit: {(event.onset, event.offset, event.label) for event in to_events(scores, threshold=limit)}  # noqa: E731
    for limit in np.random.default_rng(0).choice(np.unique(whole.values), 100, replace=False).tolist():  # one score is the threshold
        differing = (came.values > limit) != (whole.values > limit)
        assert (np.abs(whole.values[differing] - limit) < 1e-5).all()
        assert differing.any() == (key(came, limit) != key(whole, limit))
    limit = untouched(whole)
    assert len(key(whole, limit)) > 20
    assert watched(network, sound, limit) == sorted(tuple(event_cells(event)[:3]) for event in to_events(whole, threshold=limit))


def same(found, expected):
    assert sorted(event.label for event in found) == sorted(event.label for event in expected)
    key = lambda event: (event.label, event.onset)  # noqa: E731
    for one, other in zip(sorted(found, key=key), sorted(expected, key=key), strict=True):
        assert (one.onset, one.offset) == pytest.approx((other.onset, other.offset), abs=1e-6)


def run(*args, code=0, stdin=None):
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args], input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


@pytest.mark.parametrize("kind", ["s16", "s24", "s32", "f32"])
def test_a_pipe_gives_the_events_of_the_file(model, tmp_path, kind):
    subtype = {"s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT"}[kind]
    path = audio.write(tmp_path / "a.wav", noise(12), SR, subtype=subtype)
    expected, limit = offline(model, path)
    assert len(expected) > 5
    pcm = read_head(path)
    assert (pcm.sr, pcm.channels, pcm.kind) == (SR, 1, kind)
    content = path.read_bytes()[pcm.start :]
    reading, writing = os.pipe()

    def feed():
        rng, position = np.random.default_rng(1), 0
        while position < len(content):
            step = int(rng.integers(1, 20000))
            os.write(writing, content[position : position + step])
            position += step
        os.close(writing)

    feeder = threading.Thread(target=feed)
    feeder.start()
    told = []
    watcher = Watcher(load(model), SR, limit, out=tmp_path / "events.tsv", tell=told.append)
    watcher.resume("-")
    moments = list(watcher.run(from_pipe(reading, Pcm(SR, 1, kind))))
    feeder.join()
    os.close(reading)
    same(read_annotation(tmp_path / "events.tsv"), expected)
    assert len(told) == len(expected)
    assert moments[-1].seconds == pytest.approx(12)
    assert 0 < watcher.latency(0.5) <= watcher.latency(0.99)
    assert max(moment.level for moment in moments) < 0


COMMAND = "import sys; from dcasekit.cli import app; app(sys.argv[1:], standalone_mode=False)"


def test_standard_input_is_watched(model, tmp_path):
    path = audio.write(tmp_path / "a.wav", np.stack([noise(5, 16000), noise(5, 16000, 1)], axis=1), 16000)
    expected, limit = offline(model, path)
    args = ["watch", "-", "--model", model, "--sr", "16000", "--channels", "2", "--threshold", limit, "--budget", "0.01"]
    command = [sys.executable, "-c", COMMAND, *map(str, args)]
    done = subprocess.run(command, input=path.read_bytes()[44:], capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "onset\toffset\tevent_label\tscore"
    (tmp_path / "told.tsv").write_text("\n".join(lines))
    same(read_annotation(tmp_path / "told.tsv"), expected)
    assert "half of the scores came within" in done.stderr.decode()
    assert "scores came later than 0.01 s" in done.stderr.decode()


def read_since(folder):
    state = folder / ".events.tsv.json"
    return json.loads(state.read_text())["since"] if state.exists() else -1


@pytest.mark.parametrize("sr", [SR, 11025])
def test_killed_on_a_growing_file_it_goes_on_where_it_was(model, tmp_path, sr):
    sound = noise(40, sr)
    whole = audio.write(tmp_path / "whole.wav", sound, sr)
    expected, limit = offline(model, whole)
    growing, out, content = tmp_path / "growing.wav", tmp_path / "events.tsv", whole.read_bytes()
    args = [sys.executable, "-c", COMMAND, "watch", str(growing), "--model", str(model), "--out", str(out), "--threshold", str(limit)]
    for part in (0.3, 0.55):
        growing.write_bytes(content[: int(len(content) * part)])
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and read_since(tmp_path) < 40 * part - 6:  # an event may go on, and is noted when it ends
            time.sleep(0.1)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with out.open("a") as file:
            file.write("12.5\t13")  # half a line
    assert read_since(tmp_path) > 10
    growing.write_bytes(content)
    run("watch", growing, "--model", model, "--out", out, "--threshold", limit, "--idle", "0.3")
    same(read_annotation(out), expected)


def test_going_on_does_not_begin_anew(model, tmp_path):
    path = audio.write(tmp_path / "a.wav", noise(60), SR)
    watcher = Watcher(load(model), SR, 0.999, out=tmp_path / "events.tsv")
    assert watcher.resume("a") == 0
    list(watcher.run(from_file(path, read_head(path), 0, idle=0), over=False))
    again = Watcher(load(model), SR, 0.999, out=tmp_path / "events.tsv")
    assert again.resume("a") > 50 * SR
    with pytest.raises(StorageError, match="holds the events of a, not of b"):
        again.resume("b")
    (tmp_path / ".events.tsv.json").unlink()
    with pytest.raises(StorageError, match="does not say how far it goes"):
        again.resume("a")


def test_heads_of_files_that_are_being_written(tmp_path):
    wav = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 2, 48000, 192000, 4, 16, b"data", 0)
    (tmp_path / "a.wav").write_bytes(wav)
    assert read_head(tmp_path / "a.wav") == Pcm(48000, 2, "s16", 44)
    (tmp_path / "raw").write_bytes(b"\0" * 100)
    assert read_head(tmp_path / "raw") is None
    (tmp_path / "a.wav").write_bytes(wav[:20])
    with pytest.raises(AudioError, match="no samples yet"):
        read_head(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(wav[:34] + b"\x08\0" + wav[36:])
    with pytest.raises(AudioError, match="a wav of 8 bits"):
        read_head(tmp_path / "a.wav")


def test_a_microphone_needs_sounddevice_or_records(model, monkeypatch):
    from dcasekit.cli.watching import from_microphone

    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"dcasekit\[live\]"):
        next(from_microphone("", Pcm(SR)))

    class Fake:
        class InputStream:
            def __init__(self, callback, **settings):
                assert settings == {"samplerate": SR, "channels": 1, "dtype": "float32", "device": 2}
                self.callback = callback

            def __enter__(self):
                for level in (0.1, 0.2):
                    self.callback(np.full((10, 1), level, np.float32), 10, None, None)

            def __exit__(self, *_):
                pass

    monkeypatch.setitem(sys.modules, "sounddevice", Fake)
    sound = from_microphone("2", Pcm(SR))
    assert [next(sound)[0, 0], next(sound)[0, 0]] == pytest.approx([0.1, 0.2])


def test_what_is_shown_in_a_terminal(model):
    from rich.console import Console

    from dcasekit.cli.watch import _picture
    from dcasekit.cli.watching import Now

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(_picture(Now(12.5, -20.0, -3.0, {"dog": 0.9, "cat\x1b": 0.1}, {"dog": 11.0}, 0.42)))
    text = console.export_text()
    assert "12.5 s" in text
    assert "-20.0 dB" in text
    assert "since 11.0 s" in text
    assert "\x1b" not in text
