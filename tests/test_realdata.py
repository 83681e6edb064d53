"""Real recordings: the part of ESC-10 in ``$DCASEKIT_DATA/ESC-10`` (240 clips, folds 1 to 3)."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from dcasekit import DataGenerator, Scaler, audio
from dcasekit.datasets import ESC10, Soundscapes
from dcasekit.features import MelSpectrogram
from dcasekit.models import MLP

DATA = os.environ.get("DCASEKIT_DATA")
FOLDER = Path(DATA or ".") / "ESC-10"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA, reason="set DCASEKIT_DATA to a folder that holds ESC-10/ to run: DCASEKIT_DATA=... pytest -m realdata"),
]


def listing():
    return {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    before = listing()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield ESC10(FOLDER, cache=tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(threads)
    assert listing() == before  # the data folder is for reading


@pytest.fixture(scope="module")
def feature(dataset):
    made = MelSpectrogram(sequence_time=None, sr=22050, audio_win=1024, audio_hop=512)
    made.extract(dataset)
    return made


def test_all_clips_are_there_and_readable(dataset):
    assert len(dataset.clips) == 240
    assert dataset.present_folds == ("fold1", "fold2", "fold3")
    assert dataset.validate() == []
    assert Counter(clip.fold for clip in dataset.clips) == {"fold1": 80, "fold2": 80, "fold3": 80}
    per_label = {row.label: row.clips for row in dataset.summary().labels}
    assert per_label == dict.fromkeys(dataset.labels, 24)
    # These ogg files are not cut to the millisecond: 226 of 240 last 5.00 s when rounded, two last 7 s.
    durations = np.array([audio.info(clip.path).duration for clip in dataset.clips])
    assert np.median(durations) == pytest.approx(5.0, abs=0.01)
    assert 4.9 < durations.min() < durations.max() < 7.5


def test_no_split_cuts_a_recording(dataset):
    folds = {}
    for clip in dataset.clips:
        folds.setdefault(clip.group, set()).add(clip.fold)
    assert max(map(len, folds.values())) == 1
    assert len(folds) < 240  # several takes of one recording are there, so the rule has something to rule
    for fold in dataset.present_folds:
        split = dataset.split(fold)
        assert [len(part) for part in (split.train, split.validation, split.test)] == [80, 80, 80]


def test_features_of_real_sounds_are_plausible(dataset, feature):
    store = feature.store(dataset)
    assert len(store.entries) == 240
    assert store.skipped == {}
    levels = np.array([store.read(clip.id).mean() for clip in dataset.clips])
    assert np.isfinite(levels).all()
    assert levels.std() > 5  # dB: recordings differ
    for clip in dataset.clips:
        entry = store.entry(clip.id)
        assert entry.duration == audio.info(clip.path).duration
        assert entry.frames == 1 + round(entry.duration * feature.sr) // feature.audio_hop


def test_one_epoch_is_better_than_chance_and_not_too_good(dataset, feature):
    split = dataset.split("fold1", validation=False)
    train = DataGenerator(dataset, feature, folds=split.train)
    test = DataGenerator(dataset, feature, folds=split.test, train=False)
    scaler = Scaler().fit(train)
    train.set_scaler(scaler)
    test.set_scaler(scaler)
    model = MLP()
    history = model.train(train, epochs=1, batch_size=4, learning_rate=0.003, device="cpu")
    assert history[0]["loss"] < np.log(10) * 1.2
    results = model.evaluate(test)
    low, high = results.interval
    assert 0.2 < results.numbers["accuracy"] < 0.9
    assert low < results.numbers["accuracy"] < high
    assert len(results.clips) == 80


def test_soundscapes_of_the_clips_are_labelled_where_they_sound(dataset, tmp_path):
    made = Soundscapes(tmp_path, foreground=dataset, clips=12)
    made.download()
    assert made.validate() == []
    for clip in made.clips:
        samples, sr = audio.read(clip.path)
        # The background is steady but for its lowest octaves: frames of 20 ms whose differences are 12 dB above it hold an event.
        steps = np.diff(samples)
        frames = np.sqrt(np.mean(steps[: len(steps) // 882 * 882].reshape(-1, 882) ** 2, axis=1))
        loud = np.flatnonzero(frames > 4 * np.quantile(frames, 0.1) + 1e-4)
        inside = [any(event.onset - 0.03 <= at * 882 / sr <= event.offset + 0.03 for event in clip.events) for at in loud]
        assert len(clip.events) == 0 or np.mean(inside) > 0.99
