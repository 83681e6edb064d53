"""Real recordings and labels: ``ESC-10`` (240 clips, folds 1 to 3) and ``metadata`` in ``$DCASEKIT_DATA``."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from dcasekit import DataGenerator, Scaler, audio
from dcasekit.annotations import Clip, Event, clip_to_vector, events_to_tags, read_events
from dcasekit.datasets import ESC10, MAESTROReal, Soundscapes
from dcasekit.features import MelSpectrogram
from dcasekit.models import MLP
from dcasekit.results import Results

DATA = os.environ.get("DCASEKIT_DATA")
FOLDER, METADATA = Path(DATA or ".") / "ESC-10", Path(DATA or ".") / "metadata"

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


# ---- laws, on what is real


def test_a_clip_as_long_as_its_window_is_one_window(dataset):
    """Before, 151 of 160 clips had a second window, of a single real frame. Two recordings last 7 s: they do have one."""
    made = MelSpectrogram(sr=22050, sequence_time=5.0, sequence_hop_time=5.0)
    made.extract(dataset)
    data = DataGenerator(dataset, made, folds=dataset.clips, train=False)
    long = [clip for clip, seconds in zip(data.reference()["clips"], data.reference()["durations"], strict=True) if seconds > 5.5]
    assert len(long) == 2
    windows = {clip.name: sum(map(len, clip.windows)) for clip in data.clip_windows()}
    assert windows == {clip.id: 1 + (clip.id in long) for clip in dataset.clips}


def oracle(labels, events, durations, *, hop):
    """Results of answering the targets of frames, joined by the grid of a centred transform; whole clips and overlapping windows."""
    for cut in ({"sequence_time": None}, {"sequence_time": 3.0, "sequence_hop_time": 1.0}):
        feature = MelSpectrogram(sr=44100, audio_win=2048, audio_hop=round(hop * 44100), **cut)
        scores, truth = [], []
        for clip, known in events.items():
            grid = feature.grid(1 + round(durations[clip] * 44100) // feature.audio_hop, durations[clip])
            made = Clip(clip, clip, duration=durations[clip], tags=events_to_tags(known), events=tuple(known))
            frames = grid.target(made, labels, "frame")
            scores.append(grid.join(np.stack([grid.fill(frames[at : at + grid.real(at)]) for at in grid.starts]), labels))
            truth.append(clip_to_vector(made, labels))
        yield Results(
            "detection", labels, tuple(events), np.stack(truth), tuple(scores), events, durations=tuple(durations[clip] for clip in events)
        )


@pytest.mark.parametrize("hop", [0.02, 0.2])
def test_the_truth_of_the_test_set_of_2018_gets_1_through_windows_and_frames(hop):
    """Micro F1 in segments of 1 s was 0.968."""
    events = read_events(METADATA / "dcase2018_task4" / "test" / "test.csv")
    labels = tuple(sorted({event.label for each in events.values() for event in each}))
    for results in oracle(labels, events, dict.fromkeys(events, 10.0), hop=hop):
        assert results.numbers["f1/micro"] >= 0.9998
        assert results.numbers["clip/f1/micro"] == 1


@pytest.mark.parametrize("hop", [0.02, 0.2, 1.0])
def test_soft_labels_of_maestro_answered_exactly_get_1(hop):
    """F1 was 0.269. The values are drawn here, on the real hard labels' sides of 0.5: the soft ones are not in the folder."""
    rng, folder = np.random.default_rng(0), METADATA / "maestro_real" / "metadata"
    durations = {
        f"{row[0]}.wav": float(row[1]) for row in map(str.split, (folder / "development_metadata.csv").read_text().splitlines()[1:])
    }
    hard, events = read_events(folder / "gt_dev.csv"), {}
    for clip, known in hard.items():
        heard = {(event.onset, event.label) for event in known}
        events[clip] = [
            Event(float(second), second + 1.0, label, float(rng.uniform(*((0.51, 1) if (second, label) in heard else (0.01, 0.5)))))
            for second in range(int(durations[clip]))
            for label in MAESTROReal.labels
        ]
    whole, windows = oracle(MAESTROReal.labels, events, durations, hop=hop)
    # A part of a frame behind the last window is answered for by its last frame, which then reaches into a segment of its own.
    assert windows.numbers["f1/micro"] > 1 - 0.003 * max(hop, 0.1)
    # Of recordings that end with a frame nothing is left behind.
    ends = {clip: int(seconds / hop + 1e-6) * hop for clip, seconds in durations.items()}
    for results in oracle(MAESTROReal.labels, events, ends, hop=hop):
        assert results.numbers["f1/micro"] == 1
    judged = {name: value for name, value in whole.numbers.items() if name.startswith(("f1", "precision", "recall", "clip/f1"))}
    assert {value for value in judged.values() if not np.isnan(value)} == {1.0}
