"""Laws that hold on every dataset, model and format, whatever else changes; those of one leaf by itself are in `dcasekit.testing`."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from dcasekit import testing
from dcasekit.containers._epochs import learning_batches
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.generator import Arrays, ClipWindows, batch_bounds, stream
from dcasekit.testing import ContractError, _oracle

# Windows that networks take which cannot take the usual ones, or would need seconds for them; and settings that make them small.
SHAPES = {"crnn2018": (16, 64), "crnn2023": (16, 20), "scene_cnn": (32, 20), "dcase_net": (40, 32), "vggish": (8, 8), "open_l3": (8, 8)}
SHAPES |= {
    "crnn2023a": (16, 128),
    "concatenated": (40, 256),
    "keras.concatenated": (40, 256),
    "keras.a_crnn": (8, 40),
    "keras.vggish": (8, 8),
}
SETTINGS = {"dcase_net": {"filters": 8}, "a_crnn": {"filters": 16}, "keras.a_crnn": {"filters": 16}}
SETTINGS["concatenated"] = {"first": {"class": "smel"}, "second": {"class": "sb_cnn_sed", "settings": {"filters": 8}}, "bands": 32}
SETTINGS["keras.concatenated"] = SETTINGS["concatenated"]

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- an oracle that answers the truth scores 1


@pytest.mark.parametrize("name", discover.names("datasets"))
def test_an_oracle_scores_1_in_clips_of_several_segments(name, tmp_path):
    _oracle.check_oracle(testing.make_dataset(name, tmp_path / name, clips=30, seconds=2.3, sr=8000), tmp_path / "cache")


def test_an_oracle_that_is_not_told_so_is_found(tmp_path, monkeypatch):
    dataset = testing.make_dataset("urban_sed", tmp_path / "files", clips=30, seconds=2.3, sr=8000)
    drawn = importlib.import_module("dcasekit.scores.grid").events_to_roll

    def late(events, labels, edges):
        return drawn(events and [replace(event, onset=min(event.offset, event.onset + 1)) for event in events], labels, edges)

    monkeypatch.setattr("dcasekit.scores.grid.events_to_roll", late)
    with pytest.raises(ContractError, match="an oracle that answers the truth gets 1 in every number"):
        _oracle.check_oracle(dataset, tmp_path / "cache")


# ---- the size of a batch changes no answer


@pytest.mark.parametrize("name", sorted(set(discover.names("models")) - {"mst", "smel", "keras.mst", "keras.smel"}))
def test_windows_of_a_clip_may_be_answered_in_several_batches(name, monkeypatch):
    model = discover.load("models", name)(**SETTINGS.get(name, {}))
    shape = SHAPES.get(name, (64, 40))
    x = np.random.default_rng(0).normal(size=(11, *shape)).astype(np.float32)
    if name.startswith("sklearn."):
        model.train((x, np.eye(3, dtype=np.float32)[np.arange(11) % 3]), device="cpu")
    else:
        model.build(shape, ("a", "b", "c"))
    clips = [x[:1], x[1:8], x[8:9], x[9:]]
    together = model.predict(clips)
    monkeypatch.setattr(stream, "_WINDOWS_AT_ONCE", 3)
    parted = model.predict(clips)
    assert len(together) == len(clips)
    for one, other in zip(together, parted, strict=True):
        assert one.values.shape == other.values.shape
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-5)


def test_clips_of_other_lengths_are_answered_between_each_other_in_order():
    lengths = [3, 5, 3, 3, 7, 5, 3]
    seen = []

    def answer(windows):
        seen.append(windows.shape)
        return windows.mean(axis=1)

    rng = np.random.default_rng(0)
    clips = [ClipWindows(str(n), [rng.normal(size=(2, length, 1)) for _ in range(3)], None) for n, length in enumerate(lengths)]
    found = list(stream.answer_clips(clips, answer))
    assert [clip.name for clip, _ in found] == [str(n) for n in range(len(lengths))]
    for clip, answers in found:
        np.testing.assert_array_equal(answers, np.concatenate([part.mean(axis=1) for part in clip.windows]))
    assert sum(shape[0] for shape in seen) == 6 * len(lengths)
    assert len(seen) == 6  # neighbours of one length go together: 3, 5, 3 3, 7, 5, 3


def test_what_is_one_batch_waits_for_no_thread(monkeypatch):
    """A thread takes as long to start as a short file to answer."""
    monkeypatch.setattr(stream, "prefetch", None)  # may not be called
    clips = [ClipWindows(str(n), [np.full((2, 3, 1), n, np.float32)], None) for n in range(2)]
    assert [answers.ravel().tolist() for _, answers in stream.answer_clips(clips, lambda x: x.mean(axis=1))] == [[0, 0], [1, 1]]
    assert list(stream.answer_clips([], np.mean)) == []


def test_batches_are_read_ahead_in_their_order():
    x = np.arange(23, dtype=np.float32)[:, None, None]
    data = Arrays(x, np.eye(2, dtype=np.float32)[np.arange(23) % 2])
    training = Training(batch_size=4, seed=3)
    for epoch in range(2):
        ahead = [batch.x.ravel().tolist() for batch in learning_batches(data, epoch, training)]
        assert ahead == [batch.x.ravel().tolist() for batch in data.batches(epoch, 4, seed=3)]
        assert sorted(sum(ahead, [])) == list(range(23))


@pytest.mark.parametrize(
    ("size", "batch", "sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (1, 4, [1]), (5, 4, [5]), (3, 1, [1, 1, 1]), (4, 4, [4])],
)
def test_no_batch_of_one_is_left_over(size, batch, sizes):
    assert [bounds.stop - bounds.start for bounds in (slice(*bounds.indices(size)) for bounds in batch_bounds(size, batch))] == sizes


@pytest.mark.parametrize("name", ["sb_cnn", "keras.sb_cnn"])
def test_batch_normalisation_learns_where_one_window_would_be_left_over(name):
    x = np.random.default_rng(0).normal(size=(9, 64, 40)).astype(np.float32)
    model = discover.load("models", name)()
    history = model.train((x, np.eye(3, dtype=np.float32)[np.arange(9) % 3]), epochs=2, batch_size=4, device="cpu")
    assert np.isfinite([record["loss"] for record in history]).all()
    assert all(np.isfinite(array).all() for array in model.weights().values())
