"""The feature store: complete, resumable, the same whoever fills it, and honest about what it left out."""

import json
import logging
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcasekit import AugmentedDataset, DataGenerator, audio, datasets, testing
from dcasekit.annotations import Clip
from dcasekit.augmentations import Gain
from dcasekit.core.origin import origin
from dcasekit.datasets import ESC10, ESC50, Dataset
from dcasekit.errors import AudioError, DcasekitError, FeatureError, StorageError
from dcasekit.features import Mel, MelSpectrogram, RawAudio, _fill
from dcasekit.features._store import Entry, Index

MEL = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16))


@pytest.fixture
def esc50(tmp_path):
    return testing.make_dataset("esc50", tmp_path / "esc", clips=20, seconds=0.3, sr=8000)


def snapshot(folder):
    """Every file of a store with its bytes, without the lock, and without the change times of the audio, which no copy shares."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (".lock", ".dcasekit")}
    if "index.json" in found:
        index = json.loads(found["index.json"])
        found["index.json"] = {**index, "sha256": "", "clips": {clip: [*row[:-2], row[-1]] for clip, row in index["clips"].items()}}
    return found


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class Folder(Dataset):
    """All files of a folder, in order."""

    task, labels, folds, licence, citation = "classification", ("a",), ("fold1",), "none", "none"

    def load(self) -> Iterable[Clip]:
        for path in sorted(self.root.glob("*.wav")):
            yield Clip(id=path.stem, path=path, fold="fold1", tags={"a": 1.0})


@pytest.fixture
def one_folder(tmp_path):
    """A folder with a module `one_folder`, which holds the class `Folder` of this file, for processes of their own."""
    source = Path(__file__).read_text()
    start = source.index("class Folder")
    head = "from collections.abc import Iterable\nfrom dcasekit.annotations import Clip\nfrom dcasekit.datasets import Dataset\n\n"
    (tmp_path / "code").mkdir(exist_ok=True)
    (tmp_path / "code" / "one_folder.py").write_text(head + source[start : source.index("@pytest.fixture\ndef one_folder")])
    return tmp_path / "code"


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
    for path in store.folder.iterdir():
        os.utime(path, (1, 1))
    before = times(store.folder)
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
    assert store.entry(esc50.clips[0].id).origin.mtime_ns == 10**9


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


# ---- whose audio it was made of


def test_two_datasets_with_equal_ids_and_one_cache_keep_their_own(tmp_path):
    kinds = []
    for number, name in enumerate(("one", "two")):
        noise(tmp_path / name / "dog" / "clip.wav", seed=number)
        noise(tmp_path / name / "rain" / "clip.wav", seed=number + 10)
        kinds.append(datasets.Folder(tmp_path / name, cache=tmp_path / "cache"))
    times = os.stat(kinds[0].clips[0].path)
    os.utime(kinds[1].clips[0].path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as long, and as old
    stores = [MEL.extract(dataset) for dataset in kinds]
    augmented = [AugmentedDataset(dataset, [Gain(min_db=1, max_db=1)]) for dataset in kinds]
    for dataset, store, copies in zip(kinds, stores, augmented, strict=True):
        copies.process()
        sounds = {clip.id: audio.read(clip.path)[0] for clip in dataset.clips}
        for clip in copies.clips[2:]:
            np.testing.assert_allclose(audio.read(clip.path)[0], sounds[clip.extra["parent"]] * 10 ** (1 / 20), atol=1e-4)
        dataset.change_sampling_rate(4000)
        for clip in dataset.clips:
            np.testing.assert_allclose(store.read(clip.id), MEL.compute(sounds[clip.id]), atol=1e-3)
            np.testing.assert_allclose(audio.read(clip.path)[0], audio.resample(sounds[clip.id], 8000, 4000), atol=1e-6)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_features_of_resampled_audio_are_not_those_of_the_original(esc50):
    before = MEL.extract(esc50)
    esc50.change_sampling_rate(4000)
    after = MEL.extract(esc50)
    clip = esc50.clips[0].id
    assert np.abs(before.read(clip) - after.read(clip)).max() > 10  # above 2 kHz nothing is left
    np.testing.assert_array_equal(MEL.store(ESC50(esc50.root)).read(clip), before.read(clip))


@pytest.mark.parametrize("moment", ["as old", "older", "newer"])
def test_a_file_in_another_s_place_is_noticed_whatever_its_age(esc50, moment):
    MEL.extract(esc50)
    esc50.change_sampling_rate(4000)
    esc50 = ESC50(esc50.root)
    path = esc50.clips[0].path
    at = os.stat(path).st_mtime_ns
    noise(esc50.root / "other.wav", seed=99)
    assert os.stat(esc50.root / "other.wav").st_size == os.stat(path).st_size
    moved = {"as old": at, "older": at - 10**15, "newer": at + 10**9}[moment]
    os.utime(esc50.root / "other.wav", ns=(moved, moved))
    (esc50.root / "other.wav").replace(path)
    sound = audio.read(path)[0]
    np.testing.assert_allclose(MEL.extract(esc50).read(esc50.clips[0].id), MEL.compute(sound), atol=1e-3)
    esc50.change_sampling_rate(4000)
    np.testing.assert_allclose(audio.read(esc50.clips[0].path)[0], audio.resample(sound, 8000, 4000), atol=1e-6)


def test_another_channel_of_the_same_file_is_another_clip(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, (2400, 2)).astype(np.float32)
    audio.write(tmp_path / "a.wav", sound, 8000)
    for channel in (0, 1, None):
        chosen = Chosen(tmp_path)
        chosen.channel = channel
        expected = sound.mean(axis=1) if channel is None else sound[:, channel].copy()
        np.testing.assert_allclose(MEL.extract(chosen).read("a"), MEL.compute(expected), atol=0.1)


class Chosen(Dataset):
    """One channel of one file."""

    task, labels, folds, licence, citation = "classification", ("a",), ("fold1",), "none", "none"
    channel: int | None = None

    def load(self) -> Iterable[Clip]:
        yield Clip(id="a", path=self.root / "a.wav", fold="fold1", tags={"a": 1.0}, channel=self.channel)


def test_a_dataset_that_was_moved_with_its_store_is_recognised(esc50, tmp_path, monkeypatch):
    frames = {path.name: path.stat().st_mtime_ns for path in MEL.extract(esc50).folder.glob("frames-*")}
    shutil.copytree(esc50.root, tmp_path / "moved")
    monkeypatch.setattr(MelSpectrogram, "compute_file", None)
    for _ in range(2):
        store = MEL.extract(ESC50(tmp_path / "moved"))
        assert {path.name: path.stat().st_mtime_ns for path in store.folder.glob("frames-*")} == frames
    assert store.entry(esc50.clips[0].id).origin == origin(tmp_path / "moved" / "audio" / esc50.clips[0].path.name)


def test_loud_and_quiet_recordings_are_resampled_without_loss(tmp_path):
    rng = np.random.default_rng(0)
    square = np.sign(np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050 + 0.1)).astype(np.float32) * np.float32(0.99)
    quiet = (rng.normal(0, 1, 22050) * 1e-7).astype(np.float32)
    for name, sound in (("loud", square), ("quiet", quiet)):
        audio.write(tmp_path / f"{name}.wav", sound, 22050, subtype="FLOAT")
    dataset = Folder(tmp_path)
    expected = {clip.id: audio.read(clip.path, sr=16000)[0] for clip in dataset.clips}
    assert np.abs(expected["loud"]).max() > 1.05
    dataset.change_sampling_rate(16000)
    for clip in dataset.clips:
        np.testing.assert_array_equal(audio.read(clip.path)[0], expected[clip.id])


# ---- packed files


def frames_files(store):
    return {path.name: (path.stat().st_ino, path.stat().st_size) for path in store.folder.glob("frames-*.npy")}


def check_all(dataset, store):
    for clip in dataset.clips:
        np.testing.assert_allclose(store.read(clip.id), MEL.compute(audio.read(clip.path)[0]), atol=1e-3)


def test_a_clip_more_does_not_rewrite_the_store_and_files_stay_few(folder, monkeypatch):
    monkeypatch.setattr(_fill, "_SMALL", 0)
    noise(folder.root / "long.wav", samples=400_000)
    before = frames_files(MEL.extract(folder))
    most, written = 0, 0
    for number in range(30):
        noise(folder.root / f"more{number:02d}.wav", seed=number)
        folder._forget()
        seen = frames_files(MEL.store(folder))
        store = MEL.extract(folder, jobs=1)
        now = frames_files(store)
        most, written = max(most, len(now)), written + sum(size for name, (ino, size) in now.items() if seen.get(name) != (ino, size))
        assert before.items() <= now.items(), "the large file is left as it is"
    check_all(folder, store)
    assert most <= 5
    assert written < 12 * 30 * 19 * 64
    small = sum(size for name, (_, size) in now.items() if name not in before)
    noise(folder.root / "long2.wav", samples=300_000)
    folder._forget()
    store = MEL.extract(folder, jobs=1)
    assert small
    assert len(frames_files(store)) == 1, "much that is new takes all that is smaller with it"
    check_all(folder, store)


def test_a_file_more_than_half_of_which_is_out_of_date_is_written_anew(folder, monkeypatch):
    monkeypatch.setattr(_fill, "_SMALL", 0)
    MEL.extract(folder)
    for number in range(3):
        noise(folder.root / f"clip{number}.wav", samples=600, seed=number + 50)
        store = MEL.extract(folder, jobs=1)
    check_all(folder, store)
    assert sum(size for _, size in frames_files(store).values()) < 3 * 64 * sum(entry.frames for entry in store.entries.values())


@pytest.mark.parametrize("times", [1, 3])
def test_a_reader_finds_its_clip_however_often_the_store_is_packed_meanwhile(folder, monkeypatch, times):
    early = MEL.extract(folder)
    expected = early.read("clip0").copy()
    early = MEL.store(folder)
    assert early.entries  # its index is read, its frames file not yet
    original, packed = np.lib.format.open_memmap, []

    def load(path, **more):
        if len(packed) < times:
            packed.append(path)
            noise(folder.root / f"late{len(packed)}.wav", seed=len(packed))
            with monkeypatch.context() as inner:
                inner.setattr(np.lib.format, "open_memmap", original)
                MEL.extract(Folder(folder.root, cache=folder.cache), jobs=1)
        return original(path, **more)

    monkeypatch.setattr(np.lib.format, "open_memmap", load)
    np.testing.assert_array_equal(early.read("clip0"), expected)
    assert len(packed) == times


def test_a_part_that_another_process_packs_meanwhile_is_no_error(folder, monkeypatch):
    """Parts are read under the lock: nobody may pack them between their listing and their reading."""
    held = []
    original = _fill._parts
    monkeypatch.setattr(_fill, "_parts", lambda at: held.append(probe(at)) or original(at))
    MEL.extract(folder, jobs=1)
    assert held == ["busy", "busy"]


def probe(at):
    code = "import fcntl, sys\nfcntl.flock(open(sys.argv[1] + '/.lock', 'a'), fcntl.LOCK_NB | fcntl.LOCK_EX)"
    return "free" if subprocess.run([sys.executable, "-c", code, at], capture_output=True, check=False).returncode == 0 else "busy"


# ---- damage


def cut(path):
    os.truncate(path, path.stat().st_size - 100)


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"x")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGE = {
    "a frames file that was cut": (lambda at: cut(next(at.glob("frames-*"))), r"frames-\w+.npy has \d+ bytes instead of \d+"),
    "a frames file that is longer": (lambda at: lengthen(next(at.glob("frames-*"))), r"frames-\w+.npy has \d+ bytes instead"),
    "a frames file that is missing": (lambda at: next(at.glob("frames-*")).unlink(), r"frames-\w+.npy cannot be opened"),
    "an offset that was edited": (lambda at: edit(at / "index.json", '"clip1": [0, 19', '"clip1": [0, 20'), "index.json was cut or edited"),
    "a type that was edited": (lambda at: edit(at / "index.json", '"clip1": [0, 19', '"clip1": [0, "19"'), "index.json was cut or edited"),
    "a reason that was edited": (
        lambda at: edit(at / "index.json", '"skipped": {', '"skipped": {"clip1": "x"'),
        "index.json was cut or edited",
    ),
    "an index that was cut": (lambda at: cut(at / "index.json"), "index.json was cut or edited"),
    "an empty index": (lambda at: (at / "index.json").write_text("{}"), "index.json was cut or edited"),
    "an index that is no text": (lambda at: (at / "index.json").write_bytes(bytes(range(256))), "index.json was cut or edited"),
    "an index that is very deep": (lambda at: (at / "index.json").write_text("[" * 100_000), "index.json was cut or edited"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_when_the_store_is_opened_and_extract_repairs_it(folder, damage, caplog):
    good = MEL.extract(folder)
    expected = snapshot(good.folder)
    spoil, says = DAMAGE[damage]
    spoil(good.folder)
    for look in (
        lambda store: store.entries,
        lambda store: store.read("clip0"),
        lambda store: store.entry("clip0"),
        lambda store: store.skipped,
    ):
        with pytest.raises(FeatureError, match=rf"{says}.*run features.extract\(dataset\)"):
            look(MEL.store(folder))
    with caplog.at_level(logging.WARNING):
        store = MEL.extract(folder)
    assert "its clips are computed again" in caplog.text
    assert snapshot(store.folder) == expected
    check_all(folder, store)


def test_a_frames_file_of_another_shape_under_the_same_name_is_named(folder):
    store = MEL.extract(folder)
    (path,) = store.folder.glob("frames-*")
    frames = np.load(path)
    for other in (frames.reshape(-1, 8), frames.view("<i4")):
        np.save(path, other)
        with pytest.raises(FeatureError, match=r"frames-\w+.npy is not as its index says; delete"):
            MEL.store(folder).read("clip3")


# ---- travelling


def test_a_store_and_a_generator_travel_light_however_much_was_read(esc50):
    MEL.extract(esc50)
    generator = DataGenerator(esc50, replace(MEL, sequence_time=0.1), train=True, folds=["fold1", "fold2"])
    store = MEL.store(esc50)
    fresh = len(pickle.dumps(store)), len(pickle.dumps(generator))
    for clip in esc50.clips:
        store.read(clip.id)
    next(iter(generator))
    generator.get_data()
    assert len(pickle.dumps(store)) == fresh[0] < 500
    assert len(pickle.dumps(generator)) < fresh[1] + 19 * 64 * len(esc50.clips) / 4, "what was read does not travel"
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.read(esc50.clips[0].id), store.read(esc50.clips[0].id))


# ---- what the disk refuses

FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from one_folder import Folder
from dcasekit.errors import StorageError
from dcasekit.features import RawAudio
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # stands for a full disk: three clips fit into a part
try:
    RawAudio(sr=8000, audio_win=128, audio_hop=128).extract(Folder(sys.argv[2], cache=sys.argv[3]), jobs=int(sys.argv[4]), on_error="skip")
except StorageError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_extraction_with_one_line_and_it_goes_on_when_there_is_room(folder, one_folder, tmp_path, jobs):
    for number in range(4, 10):
        noise(folder.root / f"clip{number}.wav", seed=number)
    command = [sys.executable, "-W", "error", "-c", FULL, str(one_folder), str(folder.root), str(folder.cache), str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert "--cache" in done.stderr
    feature = RawAudio(sr=8000, audio_win=128, audio_hop=128)
    undisturbed = snapshot(feature.extract(Folder(folder.root, cache=tmp_path / "other")).folder)
    assert snapshot(feature.extract(folder).folder) == undisturbed


def test_a_file_system_without_locks_is_named(folder, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
    with pytest.raises(StorageError, match=r"knows no locks \(No locks available\).*--cache"):
        MEL.extract(folder)


def test_a_complete_store_needs_no_lock_and_no_writing(folder, monkeypatch):
    MEL.extract(folder)
    for name in ("lock", "replacing", "writing", "sweep"):
        monkeypatch.setattr(_fill, name, None)
    assert len(MEL.extract(folder).entries) == 4


# ---- interruptions

STOPPING = """
import sys
sys.path.insert(0, sys.argv[1])
from stopping_feature import Stopping
from dcasekit.datasets import ESC50
Stopping(sr=8000, audio_win=256, audio_hop=128, stop=int(sys.argv[3])).extract(ESC50(sys.argv[2]), jobs=1)
"""
STOPPING_FEATURE = """
import threading
from dataclasses import dataclass
from typing import ClassVar
from dcasekit.features import MelSpectrogram

begun = []

@dataclass(frozen=True, kw_only=True)
class Stopping(MelSpectrogram):
    stop: int = 0
    _WINDOWING: ClassVar[tuple[str, ...]] = (*MelSpectrogram._WINDOWING, "stop")

    def compute_file(self, path, **more):
        begun.append(path)
        if len(begun) == self.stop:
            print("stopped", flush=True)
            threading.Event().wait()  # until somebody ends the process
        yield from super().compute_file(path, **more)
"""


@pytest.fixture
def extraction(tmp_path):
    """Start an extraction in a process of its own; it says so, and waits, before the clip of the number `stop`; 0: it runs to its end."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "stopping_feature.py").write_text(STOPPING_FEATURE)

    def start(root, stop=0):
        command = [sys.executable, "-W", "error", "-c", STOPPING, str(tmp_path / "code"), str(root), str(stop)]
        return subprocess.Popen(command, stdout=subprocess.PIPE if stop else None, text=True)

    return start


def copied(esc50, folder):
    shutil.copytree(esc50.root, folder, ignore=shutil.ignore_patterns("features"))  # copies the times as well
    return ESC50(folder)


def the_store(root):
    (folder,) = (root / "features").glob("stopping*")
    return folder


def finished_lines(root):
    return sum(path.read_text().count("]\n") for path in root.glob("features/*/part-*.log"))


def test_a_killed_extraction_resumes_to_the_same_bytes(esc50, extraction, tmp_path):
    undisturbed = copied(esc50, tmp_path / "undisturbed")
    assert extraction(undisturbed.root).wait() == 0
    process = extraction(esc50.root, stop=6)
    assert process.stdout.readline() == "stopped\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert finished_lines(esc50.root) == 5
    assert not list(esc50.root.glob("features/*/index.json"))
    assert extraction(esc50.root).wait() == 0
    assert snapshot(the_store(esc50.root)) == snapshot(the_store(undisturbed.root))


def test_parts_that_a_kill_left_beside_a_complete_store_are_removed(esc50):
    """They are removed one by one after the index was written."""
    folder = MEL.extract(esc50, jobs=1).folder
    expected = snapshot(folder)
    for part in ("part-a-1-1.bin", "part-a-1-1.log"):
        (folder / part).write_bytes(b"")
    MEL.extract(esc50, jobs=1)
    assert snapshot(folder) == expected


def test_torn_parts_spoil_nothing(esc50, tmp_path):
    """Bytes without a line, a torn line, a line without its bytes, and a length that is no multiple of four."""
    expected = snapshot(MEL.extract(copied(esc50, tmp_path / "undisturbed")).folder)
    folder = MEL.store(esc50).folder
    folder.mkdir(parents=True)
    first, second = esc50.clips[:2]
    frames = MEL.compute(audio.read(first.path, sr=8000)[0])
    row = [first.id, 3, len(frames), 16, 0.3, None, *origin(first.path)]
    (folder / "part-a-1-1.bin").write_bytes(b"xyz" + frames.tobytes() + b"torn!")
    beyond = [second.id, 10**9, len(frames), 16, 0.3, None, *origin(second.path)]
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
    (folder / "part-zzz-9-9.log").write_text(json.dumps([clip.id, 0, 5, 16, 0.1, None, 1, 1, 1, "0"]) + "\n")
    store = MEL.extract(esc50, jobs=1)
    assert len(store.read(clip.id)) == 1 + 2400 // 128
    assert not list(folder.glob("part-*"))


def test_two_processes_at_once_end_with_one_right_store(esc50, extraction, tmp_path):
    undisturbed = copied(esc50, tmp_path / "undisturbed")
    assert extraction(undisturbed.root).wait() == 0
    both = [extraction(esc50.root), extraction(esc50.root)]
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
REMEDIES = ("download", "copy", "convert", "remove", "pad it", "expected an audio file", "permissions", "skip", "check how it is spelled")


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

    original_of_system = os.open

    def opened_by_system(path, *arguments, **keywords):
        if os.path.exists(path) and not os.stat(path).st_mode & 0o444:
            raise PermissionError(13, "Permission denied", path)
        return original_of_system(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "open", opened_by_system)


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


class Unreturnable(Exception):
    """Cannot travel from a worker as it is."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@dataclass(frozen=True, kw_only=True)
class Failing(MelSpectrogram):
    """Fails in its own way on one clip."""

    way: str = "bug"

    def compute_file(self, path, **more):
        if Path(path).stem == "clip2":
            yield next(super().compute_file(path, **more))[:3]
            if self.way == "bug":
                raise ZeroDivisionError("division by zero")
            if self.way == "memory":
                raise MemoryError
            if self.way == "unicode":
                raise UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed")
            raise Unreturnable("this", "that")
        yield from super().compute_file(path, **more)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("way", ["bug", "memory", "unicode", "unreturnable"])
def test_any_exception_in_one_clip_skips_that_clip_and_no_other(folder, way, jobs):
    feature = Failing(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16), way=way)
    store = feature.extract(folder, on_error="skip", jobs=jobs)
    assert set(store.entries) == {"clip0", "clip1", "clip3"}
    name = {"bug": "ZeroDivisionError", "memory": "MemoryError", "unicode": "UnicodeEncodeError", "unreturnable": "Unreturnable"}[way]
    assert re.search(rf"clip2.wav: {name}: ", store.skipped["clip2"])
    for clip in ("clip0", "clip1", "clip3"):
        np.testing.assert_allclose(store.read(clip), MEL.compute(audio.read(folder.root / f"{clip}.wav")[0]), atol=1e-3)


def test_a_bug_is_shown_as_it_is_where_errors_are_to_stop(folder):
    with pytest.raises(ZeroDivisionError):
        Failing(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=16)).extract(folder, jobs=1)


def test_a_file_whose_name_is_not_utf_8_is_extracted_or_named(tmp_path):
    for name in (b"caf\xe9.wav", b"ogg\xe9.ogg", b"bad\xe9.wav"):
        path = os.path.join(os.fsencode(tmp_path), b"data", b"dog", name)
        plain = noise(tmp_path / f"plain{name[-4:].decode()}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(plain, path)
    Path(os.fsdecode(path)).write_bytes(b"no audio")
    noise(tmp_path / "data" / "rain" / "a.wav")
    store = MEL.extract(datasets.Folder(tmp_path / "data"), on_error="skip")
    assert {"rain/a", "dog/caf%E9"} <= set(store.entries)
    assert "dog/bad%E9" in store.skipped
    assert set(store.entries) | set(store.skipped) == {"rain/a", "dog/caf%E9", "dog/ogg%E9", "dog/bad%E9"}
    assert len(MEL.store(datasets.Folder(tmp_path / "data")).read("dog/caf%E9")) == 19


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


def of_unknown_length(path):
    """A wav that was written to a pipe: its sizes say nothing."""
    content = bytearray(noise(path).read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    return 2400


def joined(path):
    """Two files one after the other."""
    content = noise(path, samples=8000).read_bytes()
    alone = len(audio.read(path)[0])
    path.write_bytes(content * 2)
    return 2 * alone


@pytest.mark.parametrize(("name", "make"), [("pipe.wav", of_unknown_length), ("chained.ogg", joined), ("joined.mp3", joined)])
def test_the_length_that_is_stored_is_that_of_what_was_read(tmp_path, name, make):
    samples = make(tmp_path / "dog" / name)
    noise(tmp_path / "rain" / "a.wav")
    store = MEL.extract(datasets.Folder(tmp_path))
    entry = store.entry(f"dog/{name[:-4]}")
    assert entry.duration == samples / 8000 == len(audio.read(tmp_path / "dog" / name)[0]) / 8000
    assert entry.frames == len(store.read(f"dog/{name[:-4]}")) == 1 + samples // 128


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
def test_a_long_recording_streams_through_bounded_memory(one_folder, tmp_path, target):
    sparse_wav(tmp_path / "long" / "long.wav", 20 * 60, 16000)
    sparse_wav(tmp_path / "short" / "short.wav", 61, 16000)
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        MEMORY,
        str(one_folder),
        *(str(tmp_path / name) for name in ("long", "short")),
        str(target),
    ]
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


def test_ten_thousand_stored_clips_are_recognised_at_once(tmp_path, monkeypatch):
    dataset = Many(tmp_path)
    store = MEL.store(dataset)
    store.folder.mkdir(parents=True)
    for clip in dataset.clips:
        clip.path.write_bytes(b"x")
    name = f"frames-{'0' * 16}.npy"
    entries = {clip.id: Entry(name, n, 1, 16, 1.0, None, origin(clip.path)) for n, clip in enumerate(dataset.clips)}
    np.save(store.folder / name, np.zeros((10_000, 16), np.float32))
    (store.folder / "settings.json").write_text("{}")
    Index({name: os.stat(store.folder / name).st_size}, entries).write(store.folder)
    looked = Counter[str]()
    original = os.stat
    for function in ("open", "read"):
        monkeypatch.setattr(os, function, None)
    monkeypatch.setattr(os, "stat", lambda path, **more: looked.update([str(path)]) or original(path, **more))
    monkeypatch.setattr("dcasekit.core.origin._digest", None)
    found = MEL.extract(Many(tmp_path))
    monkeypatch.undo()
    assert looked.total() < 1.01 * 10_000, "each file's times are looked at once, nothing else of it"
    assert len(found.entries) == 10_000
    assert found.read("09999").shape == (1, 16)


def test_what_is_packed_and_right_is_not_replaced_by_what_a_killed_run_left(folder):
    """A part bears no checksum, so its frames may be anything."""
    store = MEL.extract(folder)
    clip, entry = next(iter(store.entries.items()))
    before = store.read(clip).copy()
    (store.folder / "part-x-1-1.bin").write_bytes(np.zeros(entry.frames * entry.dims, np.float32).tobytes())
    (store.folder / "part-x-1-1.log").write_text(f"\n{json.dumps([clip, *entry._replace(first=0).row()])}\n")
    again = MEL.extract(folder)
    assert np.array_equal(again.read(clip), before)
    assert not list(store.folder.glob("part-*"))
