"""The feature store: complete, resumable, the same whoever fills it, and honest about what it left out."""

import json
import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcasekit import audio, testing
from dcasekit.annotations import Clip
from dcasekit.datasets import ESC10, ESC50, Dataset
from dcasekit.errors import AudioError, DcasekitError, FeatureError
from dcasekit.features import Mel, MelSpectrogram, RawAudio

MEL = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16))


@pytest.fixture
def esc50(tmp_path):
    return testing.make_dataset("esc50", tmp_path / "esc", clips=20, seconds=0.3, sr=8000)


def snapshot(folder):
    """Every file of a store with its bytes, without the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (".lock", ".dcasekit")}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Folder(Dataset):
    """All files of a folder, in order."""

    task, labels, folds, licence, citation = "classification", ("a",), ("fold1",), "none", "none"

    def load(self) -> Iterable[Clip]:
        for path in sorted(self.root.glob("*.wav")):
            yield Clip(id=path.stem, path=path, fold="fold1", tags={"a": 1.0})


def noise(path, samples=2400, sr=8000, seed=0):
    return audio.write(path, np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32), sr)


def test_extraction_stores_what_compute_gives(esc50):
    store = MEL.extract(esc50)
    assert set(store.entries) == {clip.id for clip in esc50.clips}
    assert store.skipped == {}
    for clip in esc50.clips:
        frames = MEL.compute(audio.read(clip.path, sr=MEL.sr)[0])
        np.testing.assert_allclose(store.read(clip.id), frames, atol=1e-3)
        np.testing.assert_array_equal(store.read(clip.id, 3, 7), store.read(clip.id)[3:7])
        assert store.entry(clip.id).duration == pytest.approx(0.3)
        assert len(store.read(clip.id, 0, 10**6)) == store.entry(clip.id).frames
    assert json.loads((store.folder / "settings.json").read_text())["audio_hop"] == 128
    assert not store.read(esc50.clips[0].id).flags.writeable


def test_nothing_is_left_behind_but_three_files(esc50):
    store = MEL.extract(esc50)
    names = sorted(path.name for path in store.folder.iterdir())
    assert [name.split("-")[0] for name in names] == [".dcasekit", ".lock", "frames", "index.json", "settings.json"]


def test_a_second_extraction_touches_nothing(esc50):
    store = MEL.extract(esc50)
    before = times(store.folder)
    time.sleep(0.01)
    MEL.extract(esc50)
    assert times(store.folder) == before


def test_a_changed_file_is_noticed_and_only_it_is_computed(esc50, monkeypatch):
    store = MEL.extract(esc50)
    before = {clip.id: store.read(clip.id).copy() for clip in esc50.clips}
    changed = esc50.clips[7]
    noise(changed.path, samples=4000)
    computed = []
    original = MelSpectrogram.compute_file
    monkeypatch.setattr(MelSpectrogram, "compute_file", lambda self, path, **more: computed.append(path) or original(self, path, **more))
    store = MEL.extract(esc50, jobs=1)
    assert computed == [changed.path]
    assert len(store.read(changed.id)) == 1 + 4000 // 128
    for clip in esc50.clips:
        if clip != changed:
            np.testing.assert_array_equal(store.read(clip.id), before[clip.id])


def test_a_touched_file_is_computed_again_and_gives_the_same(esc50):
    first = MEL.extract(esc50)
    before = first.read(esc50.clips[0].id).copy()
    os.utime(esc50.clips[0].path, (1, 1))
    store = MEL.extract(esc50)
    np.testing.assert_array_equal(store.read(esc50.clips[0].id), before)
    assert store.entry(esc50.clips[0].id).mtime_ns == 10**9


def test_two_workers_write_what_one_does(esc50):
    alone = snapshot(MEL.extract(esc50, jobs=1).folder)
    shutil.rmtree(esc50.root / "features")
    assert snapshot(MEL.extract(esc50, jobs=2).folder) == alone


def test_two_settings_never_share_a_folder(esc50):
    features = [MEL, replace(MEL, audio_hop=129), replace(MEL, mel=Mel(bands=17)), replace(MEL, sr=8001), RawAudio(sr=8000, audio_hop=128)]
    assert len({feature.store(esc50).folder for feature in features}) == len(features)
    assert replace(MEL, sequence_time=0.1, sequence_hop_time=0.1).store(esc50).folder == MEL.store(esc50).folder


def test_esc10_and_esc50_share_a_store_without_loss(esc50):
    esc10 = ESC10(esc50.root)
    assert 0 < len(esc10.clips) < len(esc50.clips)
    MEL.extract(esc10)
    all_of_it = snapshot(MEL.extract(esc50).folder)
    assert set(MEL.store(esc50).entries) == {clip.id for clip in esc50.clips}
    MEL.extract(esc10)
    assert snapshot(MEL.store(esc50).folder) == all_of_it
    noise(esc10.clips[0].path, samples=4000)
    store = MEL.extract(esc10)
    assert set(store.entries) == {clip.id for clip in esc50.clips}
    assert len(store.read(esc10.clips[0].id)) == 32


def test_a_store_opened_before_another_extraction_still_reads(esc50):
    esc10 = ESC10(esc50.root)
    MEL.extract(esc10)
    early = MEL.store(esc10)
    assert set(early.entries) == {clip.id for clip in esc10.clips}  # its index is read, its frames file not yet
    late = MEL.extract(esc50)
    for clip in esc10.clips:
        np.testing.assert_array_equal(early.read(clip.id), late.read(clip.id))


def test_a_clip_that_is_not_stored_is_named(esc50):
    with pytest.raises(FeatureError, match=r"clip '1-100000-A-0' is not in .*run features.extract"):
        MEL.store(esc50).read("1-100000-A-0")


def test_a_damaged_index_is_named(esc50):
    store = MEL.extract(esc50)
    (store.folder / "index.json").write_text("{")
    with pytest.raises(FeatureError, match=r"index.json is not readable JSON"):
        MEL.extract(esc50)


# ---- interruptions

SLOW = """
import sys, time
sys.path.insert(0, sys.argv[1])
from slow_feature import Slow
from dcasekit.datasets import ESC50
Slow(sr=8000, audio_win=256, audio_hop=128, pause=float(sys.argv[3])).extract(ESC50(sys.argv[2]), jobs=1)
"""
SLOW_FEATURE = """
import time
from dataclasses import dataclass
from typing import ClassVar
from dcasekit.features import MelSpectrogram

PAUSE = 0.0

@dataclass(frozen=True, kw_only=True)
class Slow(MelSpectrogram):
    pause: float = 0.0
    _WINDOWING: ClassVar[tuple[str, ...]] = (*MelSpectrogram._WINDOWING, "pause")

    def compute_file(self, path, **more):
        time.sleep(self.pause)
        yield from super().compute_file(path, **more)
"""


@pytest.fixture
def slow(tmp_path):
    """Start an extraction in a process of its own, with a pause before each clip."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "slow_feature.py").write_text(SLOW_FEATURE)

    def start(root, pause):
        return subprocess.Popen([sys.executable, "-W", "error", "-c", SLOW, str(tmp_path / "code"), str(root), str(pause)])

    return start


def copied(esc50, folder):
    shutil.copytree(esc50.root, folder, ignore=shutil.ignore_patterns("features"))  # copies the times as well
    return ESC50(folder)


def the_store(root):
    (folder,) = (root / "features").glob("slow*")
    return folder


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def finished_lines(root):
    return sum(path.read_text().count("]\n") for path in root.glob("features/*/part-*.log"))


def test_a_killed_extraction_resumes_to_the_same_bytes(esc50, slow, tmp_path):
    undisturbed = copied(esc50, tmp_path / "undisturbed")
    assert slow(undisturbed.root, 0).wait() == 0
    process = slow(esc50.root, 0.05)
    wait_for(lambda: finished_lines(esc50.root) >= 5)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = finished_lines(esc50.root)
    assert 5 <= done < len(esc50.clips)
    assert not list(esc50.root.glob("features/*/index.json"))
    assert slow(esc50.root, 0).wait() == 0
    assert snapshot(the_store(esc50.root)) == snapshot(the_store(undisturbed.root))


def test_torn_parts_spoil_nothing(esc50, tmp_path):
    """Bytes without a line, a torn line, a line without its bytes, and a length that is no multiple of four."""
    expected = snapshot(MEL.extract(copied(esc50, tmp_path / "undisturbed")).folder)
    folder = MEL.store(esc50).folder
    folder.mkdir(parents=True)
    first, second = esc50.clips[:2]
    frames = MEL.compute(audio.read(first.path, sr=8000)[0])
    at = os.stat(first.path)
    row = [first.id, 3, len(frames), 16, 0.3, at.st_size, at.st_mtime_ns]
    (folder / "part-a-1-1.bin").write_bytes(b"xyz" + frames.tobytes() + b"torn!")
    beyond = [second.id, 10**9, len(frames), 16, 0.3, os.stat(second.path).st_size, os.stat(second.path).st_mtime_ns]
    (folder / "part-a-1-1.log").write_text(f'["half a li\n{json.dumps(row)}\n\n{json.dumps(beyond)}\n{json.dumps(row)[:20]}')
    (folder / "part-b-2-2.log").write_text(json.dumps([second.id, *beyond[1:]]) + "\n")  # its .bin is missing
    store = MEL.extract(esc50, jobs=1)
    np.testing.assert_array_equal(store.read(first.id), frames)
    assert snapshot(store.folder) == expected


def test_a_part_made_from_older_audio_does_not_hide_the_newer(esc50):
    """Whatever the order of the files' names: process ids go up and start again."""
    clip = esc50.clips[0]
    folder = MEL.store(esc50).folder
    folder.mkdir(parents=True)
    old = np.zeros((5, 16), np.float32)
    (folder / "part-zzz-9-9.bin").write_bytes(old.tobytes())
    (folder / "part-zzz-9-9.log").write_text(json.dumps([clip.id, 0, 5, 16, 0.1, 1, 1]) + "\n")
    store = MEL.extract(esc50, jobs=1)
    assert len(store.read(clip.id)) == 1 + 2400 // 128
    assert not list(folder.glob("part-*"))


def test_two_processes_at_once_end_with_one_right_store(esc50, slow, tmp_path):
    undisturbed = copied(esc50, tmp_path / "undisturbed")
    assert slow(undisturbed.root, 0).wait() == 0
    both = [slow(esc50.root, 0.03), slow(esc50.root, 0.02)]
    assert [process.wait() for process in both] == [0, 0]
    folder = the_store(esc50.root)
    assert not list(folder.glob("part-*"))
    assert snapshot(folder) == snapshot(the_store(undisturbed.root))


# ---- bad input


def bad_text(path):
    path.write_text("this is not audio, whatever its name says")


def bad_truncated(path):
    noise(path)
    path.write_bytes(path.read_bytes()[:1000])


def bad_nan(path):
    samples = np.zeros(2400, np.float32)
    samples[77] = np.nan
    soundfile.write(path, samples, 8000, subtype="FLOAT")


def bad_permissions(path):
    noise(path)
    path.chmod(0)


BAD = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (bad_text, "not an audio file"),
    "truncated": (bad_truncated, "truncated"),
    "nan": (bad_nan, "NaN or infinite"),
    "zero length": (lambda path: noise(path, samples=0), "holds no samples"),
    "one sample": (lambda path: noise(path, samples=1), "fewer than"),
    "too short": (lambda path: noise(path, samples=255), "fewer than"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "missing": (lambda path: path.symlink_to("nowhere.wav"), "does not exist"),
    "permissions": (bad_permissions, "may not be read"),
}
REMEDIES = ("download", "copy", "convert", "remove", "pad it", "expected an audio file", "permissions", "skip")


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        noise(tmp_path / "audio" / f"clip{number}.wav", seed=number)
    return Folder(tmp_path / "audio", cache=tmp_path / "cache")


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", ["text", "nan"])
def test_bad_input_with_workers(folder, kind, jobs):
    BAD[kind][0](folder.root / "bad.wav")
    with pytest.raises(DcasekitError, match=r"bad\.wav"):
        MEL.extract(folder, jobs=jobs)
    store = MEL.extract(folder, jobs=jobs, on_error="skip")
    assert set(store.skipped) == {"bad"}
    assert len(store.entries) == 4


@pytest.fixture
def honest_modes(monkeypatch):
    """Root may read any file; let it be refused one that nobody may read."""
    original = Path.open

    def opened(path, *arguments, **keywords):
        if path.exists() and not path.stat().st_mode & 0o444:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.usefixtures("honest_modes")
@pytest.mark.parametrize("kind", BAD)
def test_bad_input_stops_and_leaves_the_store_valid(folder, kind):
    good = snapshot(MEL.extract(folder).folder)
    folder._forget()
    make, says = BAD[kind]
    make(folder.root / "bad.wav")
    with pytest.raises((AudioError, FeatureError), match=says) as found:
        MEL.extract(folder)
    assert str(folder.root / "bad.wav") in str(found.value)
    assert any(remedy in str(found.value) for remedy in REMEDIES), found.value
    left = {name: content for name, content in snapshot(MEL.store(folder).folder).items() if not name.startswith("part-")}
    assert left == good
    assert len(MEL.store(folder).read("clip0")) == 19


@pytest.mark.usefixtures("honest_modes")
@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_skipped_listed_and_counted(folder, kind, caplog):
    make, says = BAD[kind]
    make(folder.root / "bad.wav")
    with caplog.at_level(logging.WARNING):
        store = MEL.extract(folder, on_error="skip")
    assert "1 of 5 clips were skipped" in caplog.text
    assert set(store.entries) == {"clip0", "clip1", "clip2", "clip3"}
    assert list(store.skipped) == ["bad"]
    assert says in store.skipped["bad"]
    assert "bad.wav" in store.skipped["bad"]
    with pytest.raises(FeatureError, match="clip 'bad' was skipped"):
        store.read("bad")


def test_after_a_failure_the_rest_is_passed_over(folder, monkeypatch):
    bad_text(folder.root / "a-bad.wav")  # the first of five
    computed = []
    original = MelSpectrogram.compute_file
    monkeypatch.setattr(MelSpectrogram, "compute_file", lambda self, path, **more: computed.append(path) or original(self, path, **more))
    with pytest.raises(AudioError, match=r"a-bad\.wav"):
        MEL.extract(folder, jobs=1)
    assert computed == []
    (folder.root / "a-bad.wav").unlink()
    folder._forget()
    assert len(MEL.extract(folder, jobs=1).entries) == len(computed) == 4
    assert not list(MEL.store(folder).folder.glob("part-*"))


def test_a_mended_file_is_no_longer_skipped(folder):
    bad_text(folder.root / "bad.wav")
    MEL.extract(folder, on_error="skip")
    noise(folder.root / "bad.wav")
    store = MEL.extract(folder)
    assert store.skipped == {}
    assert len(store.entries) == 5


def test_a_file_that_breaks_later_leaves_the_store(folder):
    MEL.extract(folder)
    bad_text(folder.root / "clip2.wav")
    store = MEL.extract(folder, on_error="skip")
    assert set(store.entries) == {"clip0", "clip1", "clip3"}
    assert set(store.skipped) == {"clip2"}


def test_nothing_but_bad_files(tmp_path):
    (tmp_path / "audio").mkdir()
    bad_text(tmp_path / "audio" / "bad.wav")
    dataset = Folder(tmp_path / "audio", cache=tmp_path / "cache")
    store = MEL.extract(dataset, on_error="skip")
    assert store.entries == {}
    assert set(store.skipped) == {"bad"}
    assert MEL.extract(dataset, on_error="skip").entries == {}


@dataclass(frozen=True, kw_only=True)
class NotFinite(MelSpectrogram):
    """Gives NaN in the second of two blocks."""

    def compute_blocks(self, blocks):
        frames = np.concatenate(list(super().compute_blocks(blocks)))
        yield frames[:5]
        yield np.full_like(frames[5:], np.nan)


def test_a_feature_that_is_not_finite_is_refused(folder):
    feature = NotFinite(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16))
    with pytest.raises(FeatureError, match=r"clip0\.wav: NotFinite is not finite at frame 5"):
        feature.extract(folder, jobs=1)
    assert set(feature.extract(folder, on_error="skip", jobs=1).skipped) == {clip.id for clip in folder.clips}


# ---- size

MEMORY = """
import resource, sys
from dcasekit import audio
from dcasekit.features import MelSpectrogram
sys.path.insert(0, sys.argv[1])
from one_folder import Folder
feature = MelSpectrogram(sr=int(sys.argv[4]))
feature.extract(Folder(sys.argv[3], cache=sys.argv[3] + "-cache"), jobs=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = feature.extract(Folder(sys.argv[2], cache=sys.argv[2] + "-cache"), jobs=1)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, store.entry("long").frames)
"""


def sparse_wav(path, seconds, sr):
    """A 16-bit wav of silence that takes no room on disk."""
    size = 2 * seconds * sr
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, sr, 2 * sr, 2, 16, b"data", size))
        file.truncate(44 + size)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is kilobytes on Linux only")
@pytest.mark.parametrize("target", [16000, 8000])
def test_a_long_recording_streams_through_bounded_memory(tmp_path, target):
    source = Path(__file__).read_text()
    start = source.index("class Folder")
    head = "from collections.abc import Iterable\nfrom dcasekit.annotations import Clip\nfrom dcasekit.datasets import Dataset\n\n"
    (tmp_path / "one_folder.py").write_text(head + source[start : source.index("def noise")])
    sparse_wav(tmp_path / "long" / "long.wav", 20 * 60, 16000)
    sparse_wav(tmp_path / "short" / "short.wav", 61, 16000)
    command = [sys.executable, "-W", "error", "-c", MEMORY, *(str(tmp_path / name) for name in ("", "long", "short")), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, frames = map(int, done.stdout.split())
    decoded = 4 * 20 * 60 * 16000 / 2**20  # MiB of float32
    assert grown < decoded / 4, f"{grown} MiB more than for a minute; decoded the audio is {decoded:.0f} MiB"
    assert frames == 1 + 20 * 60 * target // 680


class Many(Dataset):
    """Ten thousand clips."""

    task, labels, folds, licence, citation = "classification", ("a",), ("fold1",), "none", "none"

    def load(self) -> Iterable[Clip]:
        return (Clip(id=f"{n:05d}", path=self.root / f"{n:05d}.wav", fold="fold1", tags={"a": 1.0}) for n in range(10_000))


def test_ten_thousand_stored_clips_are_recognised_at_once(tmp_path):
    dataset = Many(tmp_path)
    store = MEL.store(dataset)
    store.folder.mkdir(parents=True)
    for clip in dataset.clips:
        clip.path.write_bytes(b"x")
    stamps = {clip.id: os.stat(clip.path) for clip in dataset.clips}
    entries = {clip: [n, 1, 16, 1.0, at.st_size, at.st_mtime_ns] for n, (clip, at) in enumerate(stamps.items())}
    np.save(store.folder / "frames-x.npy", np.zeros((10_000, 16), np.float32))
    (store.folder / "index.json").write_text(json.dumps({"data": "frames-x.npy", "clips": entries, "skipped": {}}))
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = MEL.extract(Many(tmp_path))
        seconds.append(time.perf_counter() - began)
    assert len(found.entries) == 10_000
    assert found.read("09999").shape == (1, 16)
    assert min(seconds) < 3.0, seconds  # 1 s is the aim; a busy machine may take thrice as long
