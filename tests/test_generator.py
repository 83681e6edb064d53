"""The generator: windows, labels and scores on one frame grid, in every form, with nothing lost or cut."""

import itertools
import logging
import os
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit import DataGenerator, Scaler, audio, testing
from dcasekit.annotations import Clip, Event
from dcasekit.datasets import CrossValidation, Dataset
from dcasekit.errors import DatasetError, FeatureError
from dcasekit.features import RawAudio

SR, HOP = 8000, 100
FEATURE = RawAudio(sr=SR, audio_hop=HOP, sequence_time=0.1, sequence_hop_time=0.05)  # 8 frames, every 4


class Made(Dataset):
    """Clips that are handed over."""

    labels, folds, licence, citation = ("a", "b", "c"), ("fold1", "fold2", "fold3"), "none", "none"
    protocol = CrossValidation()

    def __init__(self, root, clips, task="classification"):
        super().__init__(root)
        self.made, self.task = clips, task

    def load(self) -> Iterable[Clip]:
        return self.made


def ramp(path, frames, offset=0.0):
    """Audio whose frame i is constant and says so: (offset + i) / 1000."""
    return audio.write(path, np.repeat((offset + np.arange(frames)) / 1000, HOP).astype(np.float32), SR, subtype="FLOAT")


@pytest.fixture
def dataset(tmp_path):
    """Nine clips of 5 to 29 frames, a third in each fold; clip n's frames begin at 100 n."""
    clips = []
    for number in range(9):
        path = ramp(tmp_path / f"{number}.wav", 5 + 3 * number, 100 * number)
        clips.append(Clip(id=f"clip{number}", path=path, fold=f"fold{number % 3 + 1}", tags={"abc"[number % 3]: 1.0}, events=()))
    made = Made(tmp_path, clips)
    FEATURE.extract(made)
    return made


def starts_of(frames, feature=FEATURE):
    """First frames of the windows of a clip that lasts so many frames."""
    return feature.grid(frames, frames * feature.audio_hop / feature.sr).starts


def numbers(x):
    """Which clip and frame each frame of each window is."""
    return np.round(x[..., 0] * 1000).astype(int)


def rows(x, y):
    return sorted((tuple(window), str(target)) for window, target in zip(numbers(x).tolist(), y.tolist(), strict=True))


# ---- one grid

LONG = 10 * 60 * SR // HOP  # frames of ten minutes


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    path = audio.write(folder / "long.wav", np.zeros(LONG * HOP, np.float32), SR, subtype="PCM_16")
    made = Made(folder, [Clip(id="long", path=path, fold="fold1", events=())], task="detection")
    for feature in (FEATURE, replace(FEATURE, audio_hop=340)):
        feature.extract(made)
    return made


spans = st.lists(
    st.tuples(st.integers(0, LONG - 1), st.integers(1, 400), st.sampled_from("abc"))
    | st.tuples(st.just(LONG - 3), st.just(3), st.just("c")),
    max_size=4,
)


@pytest.mark.parametrize("hop", [HOP, 340])  # 340 / 8000 s is no binary fraction
@settings(max_examples=15)
@given(drawn=spans)
def test_frames_of_a_long_clip_are_labelled_where_the_event_is(long, hop, drawn):
    feature = replace(FEATURE, audio_hop=hop)
    frames = LONG * HOP // hop
    roll = np.zeros((frames + 500, 3), np.float32)
    events = []
    for begin, length, label in drawn:
        first = min(begin, frames - 1)
        last = min(first + length, frames)
        events.append(Event(first * hop / SR, last * hop / SR, label))
        roll[first:last, "abc".index(label)] = 1
    clip = replace(long.clips[0], events=tuple(events))
    x, y = DataGenerator(long, feature, folds=[clip], train=False, target="frame").get_data()
    starts = feature.grid(-(-LONG * HOP // hop), LONG * HOP / SR).starts
    length = feature.sequence_frames
    assert x[0].shape[:2] == y[0].shape[:2] == (len(starts), length)
    inside = [n for n, start in enumerate(starts) if start + length <= frames]
    expected = np.lib.stride_tricks.sliding_window_view(roll[:frames], length, axis=0)[:: feature.sequence_hop].swapaxes(1, 2)
    np.testing.assert_array_equal(y[0][inside], expected[: len(inside)])


@settings(max_examples=15)
@given(drawn=spans)
def test_windows_of_a_long_clip_are_labelled_where_the_event_is(long, drawn):
    events = [Event(first * HOP / SR, min(first + length, LONG) * HOP / SR, label) for first, length, label in drawn]
    clip = replace(long.clips[0], events=tuple(events))
    _, y = DataGenerator(long, FEATURE, folds=[clip], train=False).get_data()
    starts = np.asarray(starts_of(LONG))
    # Windows of 8 frames every 4: each answers for the 4 frames around its centre, the first and last to the clip's ends.
    begin = np.where(starts == 0, 0, starts + 2)
    end = np.where(starts == starts[-1], LONG, starts + 6)
    expected = np.zeros((len(starts), 3), np.float32)
    for first, length, label in drawn:
        expected[(begin < min(first + length, LONG)) & (end > first), "abc".index(label)] = 1
    np.testing.assert_array_equal(y[0], expected)


def test_soft_labels_and_the_larger_weight(dataset):
    clip = replace(dataset.clips[8], events=(Event(0, 0.2, "a", 0.5), Event(0.1, 0.3, "a", 0.8), Event(0, 9, "b", 0.1)))
    _, y = DataGenerator(dataset, FEATURE, folds=[clip], train=False, target="frame").get_data()
    assert y[0][0, 0].tolist() == pytest.approx([0.5, 0.1, 0])
    assert y[0][2, 0].tolist() == pytest.approx([0.8, 0.1, 0])


# ---- forms


def test_a_generator_shows_what_it_gives(dataset):
    data = DataGenerator(dataset, FEATURE, folds=["fold1"])
    text = f"DataGenerator({data.size} windows of 8 x {HOP} from 3 clips of {dataset.name}, 3 labels per {data.target}, no scaler)"
    assert repr(data) == text
    assert "Scaler('standard', not fitted)" in repr(data.set_scaler(Scaler("standard")) or data)


def test_get_data_for_training_gives_arrays(dataset):
    x, y = DataGenerator(dataset, FEATURE, folds=["fold1", "fold2"]).get_data()
    expected = sum(len(starts_of(5 + 3 * n)) for n in range(9) if n % 3 < 2)
    assert x.shape == (expected, 8, HOP)
    assert y.shape == (expected, 3)
    assert x.dtype == y.dtype == np.float32
    clips = numbers(x)[:, 0] // 100
    np.testing.assert_array_equal(y, np.eye(3)[clips % 3])
    assert (np.diff(clips) != 0).sum() > 8  # shuffled


def test_get_data_for_testing_gives_lists_in_order(dataset):
    generator = DataGenerator(dataset, FEATURE, folds=["fold3", "fold1"], train=False)
    x, y = generator.get_data()
    assert [clip.id for clip in generator.clips] == ["clip2", "clip5", "clip8", "clip0", "clip3", "clip6"]
    assert isinstance(x, list)
    for windows, targets, clip in zip(x, y, (2, 5, 8, 0, 3, 6), strict=True):
        frames = 5 + 3 * clip
        assert len(windows) == len(targets) == len(starts_of(frames))
        for window, start in zip(numbers(windows), starts_of(frames), strict=True):
            real = min(8, frames - start)
            np.testing.assert_array_equal(window[:real], 100 * clip + start + np.arange(real))
        np.testing.assert_array_equal(targets, np.tile(np.eye(3)[clip % 3], (len(windows), 1)))


@pytest.mark.parametrize("target", ["clip", "window", "frame"])
def test_all_forms_hold_the_same_windows(dataset, target):
    train = DataGenerator(dataset, FEATURE, folds=["train"], target=target, batch_size=5)
    test = DataGenerator(dataset, FEATURE, folds=["train"], target=target, train=False, batch_size=7)
    of_arrays = rows(*train.get_data())
    x, y = test.get_data()
    assert rows(np.concatenate(x), np.concatenate(y)) == of_arrays
    for generator, size in ((train, 5), (test, 7)):
        batches = list(generator)
        assert len(batches) == len(generator)
        assert [len(batch.x) for batch in batches[:-1]] == [size] * (len(batches) - 1)
        assert rows(np.concatenate([batch.x for batch in batches]), np.concatenate([batch.y for batch in batches])) == of_arrays


def test_as_many_batches_come_as_are_counted(dataset):
    size = DataGenerator(dataset, FEATURE, folds=dataset.folds).size
    for batch_size in range(1, size + 2):  # one of them leaves a single window, which joins the batch before it
        data = DataGenerator(dataset, FEATURE, folds=dataset.folds, batch_size=batch_size)
        assert len(list(data)) == len(data)


def test_seeds_and_epochs(dataset):
    first, again, other = (DataGenerator(dataset, FEATURE, folds=["train"], seed=seed) for seed in (5, 5, 6))

    def order(generator, epoch):
        return [tuple(row) for batch in generator.batches(epoch, 4, seed=generator.seed) for row in numbers(batch.x)]

    assert order(first, 2) == order(again, 2)
    assert order(first, 0) == order(first, 0)
    assert order(first, 0) != order(first, 1)
    assert order(first, 0) != order(other, 0)
    assert sorted(order(first, 0)) == sorted(order(first, 1)) == sorted(order(other, 7))
    still = DataGenerator(dataset, FEATURE, folds=["train"], train=False)
    assert order(still, 0) == order(still, 1)


def test_folds_parts_and_clips(dataset):
    def ids(folds, **settings):
        return [clip.id for clip in DataGenerator(dataset, FEATURE, folds=folds, **settings).clips]

    assert ids(["test"]) == ids(["fold1"]) == ["clip0", "clip3", "clip6"]
    assert ids(["val"]) == ids(["validation"]) == ids(["fold2"])
    assert ids(["train"]) == ids(["fold3"])
    assert ids(dataset.split("fold3").train) == ids(["fold2"])
    assert ids(dataset.split("fold3", validation=False).train) == ["clip0", "clip1", "clip3", "clip4", "clip6", "clip7"]
    with pytest.raises(DatasetError, match="no fold 'fold9'; it has fold1, fold2, fold3"):
        ids(["fold9"])
    with pytest.raises(DatasetError, match=r"write folds=\['fold1'\]"):
        ids("fold1")
    with pytest.raises(DatasetError, match="no clips to make batches of"):
        ids([])


def test_features_that_are_not_extracted_are_asked_for(dataset):
    with pytest.raises(FeatureError, match="run features.extract"):
        DataGenerator(dataset, replace(FEATURE, audio_hop=99), folds=["train"])


def test_features_of_audio_that_was_changed_since_are_refused(dataset):
    ramp(dataset.clips[0].path, 5, 700)
    with pytest.raises(DatasetError, match=r"audio of 1 of 3 clips was changed .* \(clip0\); run features.extract"):
        DataGenerator(dataset, FEATURE, folds=["fold1"])
    assert DataGenerator(dataset, FEATURE, folds=["fold2"]).size
    FEATURE.extract(dataset)
    assert DataGenerator(dataset, FEATURE, folds=["fold1"]).size
    dataset.clips[0].path.unlink()  # features alone will do
    assert DataGenerator(dataset, FEATURE, folds=["fold1"]).size


def test_the_identity_of_data_is_what_decides_its_batches(dataset):
    """Labels and audio count; where and when the files were stored does not."""

    def identity(clips=dataset.clips[:3], **settings):
        return DataGenerator(dataset, FEATURE, folds=clips, **settings).identity

    first = identity()
    os.utime(dataset.clips[0].path, ns=(1, 1))
    FEATURE.extract(dataset)
    assert identity() == first
    relabelled = [replace(dataset.clips[0], tags={"b": 1.0}), *dataset.clips[1:3]]
    assert identity(relabelled) != first
    assert identity([replace(dataset.clips[0], tags={"a": None}), *dataset.clips[1:3]]) != first
    assert identity([replace(dataset.clips[0], events=(Event(0, 1, "a"),)), *dataset.clips[1:3]]) != first
    assert identity(target="frame") != first
    ramp(dataset.clips[0].path, 5, 700)
    FEATURE.extract(dataset)
    assert identity() != first


# ---- whole clips


def test_whole_clips_are_filled_by_reflection_and_masked(dataset):
    feature = replace(FEATURE, sequence_time=None)
    generator = DataGenerator(dataset, feature, folds=["fold1"], train=False, batch_size=3)
    assert generator.shape == (23, HOP)
    (batch,) = generator
    assert batch.x.shape == (3, 23, HOP)
    assert batch.mask.sum(axis=1).tolist() == [5, 14, 23]
    assert batch.clips == ("clip0", "clip3", "clip6")
    found = numbers(batch.x)
    assert found[0].tolist() == np.pad(np.arange(5), (0, 18), mode="reflect").tolist()
    assert found[1].tolist() == (300 + np.pad(np.arange(14), (0, 9), mode="reflect")).tolist()
    x, _ = generator.get_data()
    assert [windows.shape for windows in x] == [(1, 5, HOP), (1, 14, HOP), (1, 23, HOP)]


def test_the_last_window_is_filled_and_masked(dataset):
    (batch,) = DataGenerator(dataset, FEATURE, folds=["fold1"], train=False, batch_size=100)
    assert batch.mask.sum(axis=1).tolist() == [5, 8, 8, 6, 8, 8, 8, 8, 7]
    for window, mask in zip(numbers(batch.x), batch.mask, strict=True):
        real = int(mask.sum())
        assert mask[:real].all()
        np.testing.assert_array_equal(window, np.pad(window[:real], (0, 8 - real), mode="reflect"))


def test_targets_of_frames_that_were_filled_up_are_unknown(dataset):
    clip = replace(dataset.clips[0], events=(Event(4 * HOP / SR, 5 * HOP / SR, "b"),))  # the last of five frames
    (batch,) = DataGenerator(dataset, FEATURE, folds=[clip], train=False, target="frame")
    np.testing.assert_array_equal(batch.y[0, :, 1], [0, 0, 0, 0, 1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(batch.mask, ~np.isnan(batch.y).any(axis=2))


# ---- scaler, joining


def test_a_scaler_is_applied_everywhere_and_fitted_on_what_is_not_scaled(dataset):
    train = DataGenerator(dataset, FEATURE, folds=["train"])
    raw, _ = train.get_data()
    scaler = Scaler().fit(train)
    real = np.concatenate([batch.x[batch.mask] for batch in train])
    np.testing.assert_allclose(scaler.transform(raw), Scaler().fit(real).transform(raw), atol=1e-5)
    train.set_scaler(scaler)
    np.testing.assert_allclose(train.get_data()[0], scaler.transform(raw), atol=1e-6)
    np.testing.assert_allclose(next(iter(train)).x, train.get_data()[0][:32], atol=1e-6)
    assert Scaler().fit(train).to_dict() == scaler.to_dict()
    test = DataGenerator(dataset, FEATURE, folds=["test"], train=False, scaler=scaler)
    plain = DataGenerator(dataset, FEATURE, folds=["test"], train=False)
    for scaled, unscaled in zip(test.get_data()[0], plain.get_data()[0], strict=True):
        np.testing.assert_allclose(scaled, scaler.transform(unscaled), atol=1e-6)


def test_a_perfect_model_of_windows_gets_perfect_scores(dataset):
    """The labels as answers: the scores say where the events are, to the window."""
    clip = replace(dataset.clips[8], events=(Event(0.1, 0.2, "a"),))
    detection = Made(dataset.root, [clip], task="detection")
    generator = DataGenerator(detection, FEATURE, folds=[clip], train=False)
    clip, targets = next(generator.clip_windows()), generator.get_data()[1][0]
    scores = clip.join(targets, generator.labels)
    for (begin, end), row in zip(itertools.pairwise(scores.edges), scores.values, strict=True):
        assert bool(row[0]) == (begin < 0.2 - 1e-6 and end > 0.1 + 1e-6)
    assert generator.reference()["events"] == {"clip8": (Event(0.1, 0.2, "a"),)}


# ---- what is left out, what is refused


def test_skipped_clips_are_left_out_with_a_warning(dataset, caplog):
    dataset.clips[3].path.write_bytes(b"")
    FEATURE.extract(dataset, on_error="skip")
    with caplog.at_level(logging.WARNING):
        generator = DataGenerator(dataset, FEATURE, folds=["fold1"], train=False)
    assert "1 of 3 clips were skipped in extraction: clip3" in caplog.text
    assert generator.reference()["clips"] == ("clip0", "clip6")
    assert len(generator.get_data()[0]) == 2


def test_what_nobody_knows_is_nan(dataset):
    """Unlabelled, weak, partly annotated and strong clips side by side."""
    unlabelled = replace(dataset.clips[0], tags=None, events=None)
    weak = replace(dataset.clips[3], tags={"a": 1.0, "b": None}, events=None)
    strong = replace(dataset.clips[6], tags={"c": 1.0}, events=(Event(0, 0.2, "c"),))
    detection = Made(dataset.root, [unlabelled, weak, strong], task="detection")
    for target in ("window", "frame"):
        generator = DataGenerator(detection, FEATURE, folds=[unlabelled, weak, strong], train=False, target=target)
        _, (none, few, all_known) = generator.get_data()
        assert np.isnan(none).all()
        assert np.isnan(few).all()
        assert all_known[0].reshape(-1, 3)[0].tolist() == [0, 0, 1]
    (batch,) = generator
    np.testing.assert_array_equal(batch.tags[0], [np.nan] * 3)
    np.testing.assert_array_equal(batch.tags[1], [1, np.nan, 0])  # a label that is not named is known to be absent
    assert generator.reference()["events"]["clip3"] is None
    tags = DataGenerator(detection, FEATURE, folds=[weak], train=False)
    assert tags.target == "clip"  # no times are known
    np.testing.assert_array_equal(tags.get_data()[1][0], [[1, np.nan, 0]] * len(starts_of(14)))


def test_silence_is_not_unlabelled(dataset):
    clip = replace(dataset.clips[0], tags={}, events=None)
    assert DataGenerator(dataset, FEATURE, folds=[clip]).get_data()[1].sum() == 0
    clip = replace(dataset.clips[0], tags=None, events=())
    assert DataGenerator(dataset, FEATURE, folds=[clip]).get_data()[1].sum() == 0


def test_augmented_copies_take_part_in_training_alone(dataset):
    copies = [
        replace(clip, id=f"{clip.id}@louder", path=ramp(dataset.root / f"louder{n}.wav", 9, 1000 + 100 * n), extra={"parent": clip.id})
        for n, clip in enumerate(dataset.clips)
    ]
    augmented = Made(dataset.root, [*dataset.clips, *copies])
    FEATURE.extract(augmented)
    train = DataGenerator(augmented, FEATURE, folds=["fold1"])
    assert sum("@" in clip.id for clip in train.clips) == 3
    assert (numbers(train.get_data()[0]) >= 1000).any()
    for folds in (["fold1"], ["test"], ["train"]):
        test = DataGenerator(augmented, FEATURE, folds=folds, train=False)
        assert all("@" not in clip.id for clip in test.clips)
        assert (numbers(np.concatenate(test.get_data()[0])) < 1000).all()


def test_a_split_that_cuts_a_group_is_refused(dataset):
    clips = [replace(clip, group="street") if number in (0, 1) else clip for number, clip in enumerate(dataset.clips)]
    with pytest.raises(DatasetError, match="cuts group 'street': clips 'clip[01]' and 'clip[01]' would lie on both sides"):
        DataGenerator(Made(dataset.root, clips), FEATURE, folds=["train"])


def test_truth_paths_and_groups_travel_with_the_clips(tmp_path):
    made = testing.make_dataset("esc10", tmp_path, clips=20, seconds=0.2, sr=SR)
    FEATURE.extract(made)
    generator = DataGenerator(made, FEATURE, folds=["test"], train=False)
    reference = generator.reference()
    assert reference["truth"].shape == (4, 10)
    assert len(set(reference["groups"])) == 2
    assert [path.stem for path in reference["paths"]] == list(reference["clips"])
    assert reference["events"] is None
