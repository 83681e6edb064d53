"""Windows that are read shard by shard and mixed in a buffer: every window once, the same ones again, in few large reads."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dcasekit import DataGenerator, cli, load, testing
from dcasekit.errors import DatasetError, ModelError
from dcasekit.features import Mel, MelSpectrogram, RawAudio
from dcasekit.features._store import FeatureStore
from dcasekit.generator import Together, shards
from dcasekit.models import MLP

SR = 8000
MELS = MelSpectrogram(sr=SR, audio_win=256, audio_hop=80, mel=Mel(bands=8), sequence_time=0.2, sequence_hop_time=0.1)
RAW = RawAudio(sr=SR, audio_hop=80, sequence_time=0.2, sequence_hop_time=0.1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    made = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=30, seconds=1.3, sr=SR)
    for features in (MELS, RAW):
        features.extract(made)
    return made


def generator(dataset, **settings):
    return DataGenerator(dataset, MELS, folds=dataset.clips, **{"batch_size": 7, **settings})


def rows(batches):
    return [
        (batch.clips[row], batch.x[row].tobytes(), batch.y[row].tobytes(), batch.mask[row].tobytes(), batch.tags[row].tobytes())
        for batch in batches
        for row in range(len(batch.x))
    ]


@pytest.mark.parametrize("settings", [{}, {"windows": "joined", "target": "frame"}, {"target": RAW}, {"target": "frame"}], ids=str)
@pytest.mark.parametrize("buffer", [1, 40, 10_000])
def test_an_epoch_has_the_windows_that_it_has_without_a_buffer(dataset, settings, buffer):
    epochs = [rows(generator(dataset, buffer=buffer, **settings).batches(epoch, 7, seed=3)) for epoch in (0, 1)]
    expected = sorted(rows(generator(dataset, **settings)))
    assert sorted(epochs[0]) == sorted(epochs[1]) == expected
    assert len(expected) > 60
    assert epochs[0] != epochs[1] != expected


def test_of_each_clip_a_window_is_drawn(dataset):
    data = generator(dataset, buffer=12, windows="random")
    assert sorted(row[0] for row in rows(data)) == sorted(clip.id for clip in dataset.clips)
    assert {row[1] for row in rows(data)} <= {row[1] for row in rows(generator(dataset))}
    assert {row[1] for row in rows(data)} != {row[1] for row in rows(data.batches(1, 7, seed=0))}


@pytest.mark.parametrize("first", [0, 1, 11])
def test_a_seed_and_an_epoch_say_which_batches_come_whatever_went_before(dataset, first):
    data = generator(dataset, buffer=64)
    whole = [rows([batch]) for batch in data.batches(2, 7, seed=5)]
    again = pickle.loads(pickle.dumps(data))  # noqa: S301 - our own
    assert [rows([batch]) for batch in again.batches(2, 7, seed=5, first=first)] == whole[first:]
    assert rows(data.batches(2, 7, seed=6)) != rows(data.batches(2, 7, seed=5))


@given(windows=st.integers(1, 300), buffer=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_window_is_read_before_it_is_given_and_no_more_are_held_than_the_buffer_takes(windows, buffer, seed):
    on_disk = np.random.default_rng(seed).permutation(windows)
    held = set()
    size = max(1, buffer // 8)
    given_so_far = []
    for stage in shards.stages(on_disk, buffer, np.random.default_rng(seed)):
        places = np.flatnonzero(np.isin(on_disk, stage.read))
        assert len(places) <= size
        assert (np.diff(places) == 1).all()  # one stretch of the disk
        held |= set(stage.read.tolist())
        assert len(held) <= max(buffer, size)
        assert set(stage.given.tolist()) <= held
        held -= set(stage.given.tolist())
        given_so_far += stage.given.tolist()
    assert sorted(given_so_far) == list(range(windows))


def test_few_large_reads_take_the_place_of_one_for_each_window(dataset, monkeypatch):
    reads = []
    read, numbers = FeatureStore.read, np.fromfile
    monkeypatch.setattr(
        FeatureStore, "read", lambda self, clip, start=0, stop=None: read(self, clip, start, stop) if start == stop else 0 / 0
    )
    monkeypatch.setattr(
        np, "fromfile", lambda path, dtype, count, offset: reads.append(count) or numbers(path, dtype, count, offset=offset)
    )
    data = generator(dataset, buffer=160)
    windows = len(rows(data))
    assert len(reads) <= windows // 20 + 2
    assert sum(reads) < 2 * 30 * 130 * 8  # the frames of all clips; a shard's border is read by both


def test_batches_are_of_many_clips(dataset):
    """Clips lie on the disk by their names; a batch holds nearly as many as one that is drawn from all."""
    clips = [np.mean([len(set(batch.clips)) for batch in generator(dataset, buffer=buffer)]) for buffer in (None, 160, 16)]
    assert clips[1] > 0.85 * clips[0]
    assert clips[2] < clips[1]


def test_training_gone_on_with_ends_as_if_it_was_not_disturbed(dataset, tmp_path):
    def weights(epochs, resume=None, buffer=40):
        settings = {"epochs": epochs, "batch_size": 16, "device": "cpu", "seed": 1, "resume": resume}
        model = MLP(hidden_layers_size=[8], dropout_rates=[0.1])
        model.train(generator(dataset, buffer=buffer), **settings)
        return np.concatenate([array.ravel() for array in model.weights().values()])

    weights(2, tmp_path)
    with pytest.raises(ModelError, match="another run"):
        weights(3, tmp_path, buffer=48)
    np.testing.assert_array_equal(weights(4, tmp_path), weights(4))


def test_sources_that_are_learned_together_may_be_buffered(dataset):
    plain, buffered = generator(dataset), generator(dataset, buffer=32)
    data = Together({"plain": (plain, 4), "buffered": (buffered, 6)}, steps=9)
    whole = [rows([step["buffered"]]) for epoch in (0, 1, 2, 3) for step in data.batches(epoch, seed=2)]
    assert whole[18:27] == [rows([step["buffered"]]) for step in data.batches(2, seed=2)]
    first_round = [row for batch in whole[: buffered.size // 6] for row in batch]
    assert len(set(first_round)) == len(first_round)


@pytest.mark.parametrize("settings", [{"buffer": 0}, {"buffer": 10, "train": False}])
def test_a_buffer_that_shuffles_nothing_is_refused(dataset, settings):
    with pytest.raises(DatasetError, match="number of windows that are shuffled in memory"):
        generator(dataset, **settings)


def test_the_command_trains_from_a_buffer(dataset, tmp_path):
    def train(name, *more):
        args = [
            "train",
            "--dataset",
            "esc10",
            "--data",
            str(dataset.root),
            "--model",
            "mlp",
            "-M",
            "hidden_layers_size=[4]",
            "-M",
            "dropout_rates=[0]",
            *more,
        ]
        settings = ["-F", "sr=8000", "--epochs", "1", "--device", "cpu", "--quiet", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(cli.app, [*args, *settings])
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads((tmp_path / name / "run.json").read_text()), load(tmp_path / name / "model").weights()

    (plain, weights), (buffered, others) = train("plain"), train("buffered", "--buffer", "20")
    assert buffered == {**plain, "buffer": 20}
    assert any((weights[name] != others[name]).any() for name in weights)
