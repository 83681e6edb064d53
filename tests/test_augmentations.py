"""Augmentations: labels move with the audio, the same seed gives the same bytes, no two settings share a folder."""

import csv
import json
import os
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcasekit import AugmentedDataset, DataGenerator, Event, audio, discover
from dcasekit.annotations import Clip
from dcasekit.augmentations import Augmentation, Gain, PitchShift, TimeStretch, WhiteNoise
from dcasekit.augmentations._vocoder import stretch
from dcasekit.datasets import ESC50, Dataset, TrainValidateTest
from dcasekit.errors import AudioError, DatasetError, NameNotFoundError
from dcasekit.features import MelSpectrogram

SR = 22050
EXAMPLES = [PitchShift(n_semitones=2), TimeStretch(factor=1.1), WhiteNoise(snr=10), Gain(min_db=-6, max_db=6)]
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def noise(seconds=1.0, sr=SR, seed=0, level=0.1):
    return np.random.default_rng(seed).normal(0, level, round(seconds * sr)).astype(np.float32)


def sine(hz, seconds=1.0, sr=SR):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr).astype(np.float32)


def run(augmentation, x, events=None, sr=SR, seed=0):
    return augmentation.apply(x, events, augmentation.draw(np.random.default_rng(seed)), sr=sr)


def cents(y, hz, sr):
    """How far the strongest partial of the middle of y lies above hz."""
    y = y[len(y) // 4 : -len(y) // 4]
    size = 1 << 19
    spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y)), size))
    k = spectrum.argmax()
    a, b, c = np.log(spectrum[k - 1 : k + 2])
    return 1200 * np.log2((k + 0.5 * (a - c) / (a - 2 * b + c)) * sr / size / hz)


# --- every augmentation ------------------------------------------------------------------------------------------------------


def test_every_file_has_an_example_here():
    assert {discover.address(type(a)) for a in EXAMPLES} == set(discover.names("augmentations"))


@pytest.mark.parametrize("augmentation", EXAMPLES, ids=lambda a: type(a).__name__)
def test_the_draw_is_json_and_determines_the_result(augmentation):
    x = noise()
    before = x.copy()
    params = augmentation.draw(np.random.default_rng(3))
    assert augmentation.draw(np.random.default_rng(3)) == params
    first, _ = augmentation.apply(x, None, params, sr=SR)
    again, events = augmentation.apply(x, None, json.loads(json.dumps(params)), sr=SR)
    assert first.tobytes() == again.tobytes()
    assert first.dtype == np.float32
    assert first.ndim == 1
    assert events is None
    assert augmentation.apply(x, (), params, sr=SR)[1] == ()
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(first, x)


@pytest.mark.parametrize("augmentation", EXAMPLES, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("samples", [1, 2, 50, 3000])
def test_short_audio_and_silence_pass(augmentation, samples):
    for x in (noise(samples / SR), np.zeros(samples, np.float32)):
        y, _ = run(augmentation, x)
        assert np.isfinite(y).all()
        assert len(y) == (round(samples / 1.1) if isinstance(augmentation, TimeStretch) else samples)
    assert not y.any()


@pytest.mark.parametrize("x", [np.zeros(0), np.zeros((4, 2)), np.array([0.0, np.nan])])
def test_what_is_not_mono_audio_is_refused(x):
    with pytest.raises(DatasetError, match="expected mono audio"):
        run(EXAMPLES[0], x)


@pytest.mark.parametrize("augmentation", EXAMPLES, ids=lambda a: type(a).__name__)
def test_settings_make_it_again(augmentation):
    described = {"type": discover.address(type(augmentation)), **augmentation.settings}
    again = Augmentation.from_dict(json.loads(json.dumps(described)))
    assert again == augmentation
    assert again.fingerprint == augmentation.fingerprint


# --- the paper's dicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"type": "pitch_shift", "n_semitones": -1}, PitchShift(n_semitones=-1)),
        ({"type": "time_stretching", "factor": 1.05}, TimeStretch(factor=1.05)),
        ({"type": "time_stretch", "factor": 1.05}, TimeStretch(factor=1.05)),
        ({"type": "white_noise", "snr": 60}, WhiteNoise(snr=60)),
        ({"type": "Gain", "min_db": -3, "max_db": np.float32(3)}, Gain(min_db=-3, max_db=3)),
        ({"type": "dcasekit.augmentations.gain:Gain", "min_db": 0, "max_db": 0}, Gain(min_db=0, max_db=0)),
    ],
)
def test_dict_form(described, expected):
    before = dict(described)
    assert Augmentation.from_dict(described) == expected
    assert described == before


@pytest.mark.parametrize(
    ("described", "error", "message"),
    [
        ({"type": "pitch_shfit", "n_semitones": 1}, NameNotFoundError, "Did you mean 'pitch_shift'"),
        ({"type": "reverb"}, NameNotFoundError, "Known: gain, pitch_shift, time_stretch, white_noise"),
        ({"n_semitones": 1}, DatasetError, "an augmentation is"),
        ("pitch_shift", DatasetError, "an augmentation is"),
        ({"type": "pitch_shift", "semitones": 1}, DatasetError, "its settings are: n_semitones"),
        ({"type": "pitch_shift"}, DatasetError, "its settings are: n_semitones"),
        ({"type": "collections:Counter"}, DatasetError, "not an Augmentation"),
    ],
)
def test_wrong_dicts(described, error, message):
    with pytest.raises(error, match=message):
        Augmentation.from_dict(described)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (PitchShift, {"n_semitones": 40}),
        (PitchShift, {"n_semitones": "1"}),
        (PitchShift, {"n_semitones": True}),
        (TimeStretch, {"factor": 0}),
        (TimeStretch, {"factor": -1}),
        (TimeStretch, {"factor": float("nan")}),
        (WhiteNoise, {"snr": float("inf")}),
        (Gain, {"min_db": 3, "max_db": 2}),
    ],
)
def test_wrong_settings(kind, wrong):
    with pytest.raises(DatasetError, match=next(iter(wrong))):
        kind(**wrong)


def test_no_two_settings_share_a_fingerprint_and_one_setting_has_one():
    made = [PitchShift(n_semitones=n) for n in (0.5, 0.9, 1, -1)] + [TimeStretch(factor=f) for f in (1.001, 1.004)]
    made += [WhiteNoise(snr=1), WhiteNoise(snr=1.001), Gain(min_db=0, max_db=1), Gain(min_db=0, max_db=2)]
    assert len({a.fingerprint for a in made}) == len(made)
    assert PitchShift(n_semitones=1).fingerprint == PitchShift(n_semitones=np.int64(1)).fingerprint


# --- pitch and time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sr", [8000, 22050, 44100])
@pytest.mark.parametrize("n_semitones", [-12, -3.5, -1, 0.5, 2, 7])
def test_pitch_moves_by_semitones_and_nothing_else_does(sr, n_semitones):
    events = (Event(0.1, 0.6, "dog"),)
    for hz in (150.0, 440.0, 1234.5):
        y, moved = run(PitchShift(n_semitones=n_semitones), sine(hz, sr=sr), events, sr=sr)
        assert len(y) == sr
        assert moved == events
        assert abs(cents(y, hz * 2 ** (n_semitones / 12), sr)) < 1
        middle = y[sr // 4 : -sr // 4]
        assert 20 * np.log10(np.sqrt(2 * np.mean(middle**2))) == pytest.approx(0, abs=0.3)


def test_what_would_lie_beyond_half_the_rate_is_lost_not_folded():
    y, _ = run(PitchShift(n_semitones=12), sine(8000))
    assert np.abs(y[SR // 4 : -SR // 4]).max() < 1e-3


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_stretching_keeps_the_pitch(factor):
    y, _ = run(TimeStretch(factor=factor), sine(440.0, 2))
    assert abs(cents(y, 440, SR)) < 1


def test_pitch_is_as_exact_as_librosas():
    librosa = pytest.importorskip("librosa")
    for n_semitones in (-2, 1.5):
        theirs = librosa.effects.pitch_shift(sine(440.0, 2), sr=SR, n_steps=n_semitones)
        ours, _ = run(PitchShift(n_semitones=n_semitones), sine(440.0, 2))
        target = 440 * 2 ** (n_semitones / 12)
        assert abs(cents(ours, target, SR)) < abs(cents(theirs, target, SR)) + 1
        assert len(theirs) == len(ours)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_noise_keeps_its_level_and_spectrum_better_than_librosas(factor):
    librosa = pytest.importorskip("librosa")

    def bands(y):
        power = np.abs(np.fft.rfft(y)) ** 2
        return np.array([10 * np.log10(part.mean() / len(y)) for part in np.array_split(power, 8)])

    x = noise(3)
    ours = bands(stretch(x, factor, sr=SR)) - bands(x)
    assert np.abs(ours).max() < 1.5
    assert np.abs(ours).max() < np.abs(bands(librosa.effects.time_stretch(x, rate=factor)) - bands(x)).max()


def test_factor_one_gives_the_input_back():
    x = noise(3) + sine(440, 3)
    np.testing.assert_allclose(run(TimeStretch(factor=1), x)[0], x, atol=1e-5)
    np.testing.assert_allclose(run(PitchShift(n_semitones=0), x)[0], x, atol=1e-5)


def test_blocks_leave_no_seam():
    seconds = 20  # several blocks of frames
    y, _ = run(TimeStretch(factor=0.9), sine(1000.0, seconds))
    power = np.convolve(y[SR:-SR] ** 2, np.ones(512) / 512, mode="valid")
    np.testing.assert_allclose(power, 0.5, rtol=0.08)


trains = st.lists(st.floats(0.08, 0.4), min_size=1, max_size=8)


@quick
@given(gaps=trains, factor=st.floats(0.5, 2.0), sr=st.sampled_from([16000, 22050, 44100]), background=st.booleans())
def test_clicks_land_where_the_moved_events_say(gaps, factor, sr, background):
    at = np.round(np.cumsum(gaps) * sr).astype(int)
    x = np.zeros(at[-1] + sr // 5, np.float32)
    x[at] = 0.9
    if background:
        x += 0.02 * sine(300.0, len(x) / sr, sr)
    events = tuple(Event(n / sr, (n + 1) / sr, "click") for n in at)
    y, moved = run(TimeStretch(factor=factor), x, events, sr)
    assert len(y) == round(len(x) / factor)
    reach = round(0.035 * sr / factor)  # clicks are at least 80 ms / factor apart
    for event in moved:
        heard = round(event.onset * sr)
        around = np.abs(y[max(0, heard - reach) : heard + reach])
        assert abs(around.argmax() + max(0, heard - reach) - heard) <= 0.002 * sr
        assert around.max() > 0.15


@quick
@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 1)), max_size=6),
    st.integers(2000, 16000),
    st.floats(0.3, 3.0),
)
def test_events_scale_and_nothing_else_about_them_changes(spans, samples, factor):
    sr = 8000
    end = samples / sr
    events = tuple(Event(min(a, b, end), min(max(a, b), end), f"label{i}", w) for i, (a, b, w) in enumerate(spans))
    y, moved = run(TimeStretch(factor=factor), np.zeros(samples, np.float32), events, sr)
    assert abs(len(y) - samples / factor) <= 0.5
    assert [(e.label, e.weight) for e in moved] == [(e.label, e.weight) for e in events]
    for new, old in zip(moved, events, strict=True):
        assert new.onset == pytest.approx(old.onset / factor, abs=1 / sr)
        assert new.offset == pytest.approx(old.offset / factor, abs=1 / sr)
        assert new.offset <= len(y) / sr + 1e-9


def test_an_attack_is_not_heard_before_its_event():
    x = np.where(np.arange(SR) >= SR // 2, sine(1000.0), 0)
    for factor in (0.8, 1.25):
        y, (event,) = run(TimeStretch(factor=factor), x, (Event(0.5, 1.0, "tone"),))
        begins = round(event.onset * SR)
        early = y[begins - SR // 50 : begins - SR // 200]  # 20 to 5 ms before
        assert 10 * np.log10(np.mean(early**2) / 0.5) < -30


# --- noise and gain ------------------------------------------------------------------------------------------------------------


@quick
@given(snr=st.floats(-20, 80), level=st.floats(1e-4, 1.0), seed=st.integers(0, 100))
def test_noise_has_the_ratio_asked_for(snr, level, seed):
    x = np.float32(level) * sine(440)
    params = WhiteNoise(snr=snr).draw(np.random.default_rng(seed))
    y, _ = WhiteNoise(snr=snr).apply(x.astype(np.float32), None, params, sr=SR)
    added = y.astype(np.float64) - x
    assert 10 * np.log10(np.mean(x.astype(np.float64) ** 2) / np.mean(added**2)) == pytest.approx(snr, abs=0.05)


def test_other_draws_add_other_noise():
    x = sine(440)
    a, b = (run(WhiteNoise(snr=0), x, seed=seed)[0] - x for seed in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


@quick
@given(st.floats(-40, 0), st.floats(0, 40), st.integers(0, 1000))
def test_gain_lies_in_its_range(low, high, seed):
    y, _ = run(Gain(min_db=low, max_db=high), np.full(4, 0.5, np.float32), seed=seed)
    assert low - 1e-3 <= 20 * np.log10(y[0] / 0.5) <= high + 1e-3
    np.testing.assert_array_equal(y, y[0])


# --- the augmented dataset -----------------------------------------------------------------------------------------------------

LABELS = ("dog", "rain", "cat")


@pytest.fixture
def esc(tmp_path):
    """A folder laid out as ESC-50: six clips of a second in three folds, one of them beyond full scale when made louder."""
    root = tmp_path / "ESC-50"
    rows = []
    for number in range(6):
        fold, target = 1 + number % 3, number % len(LABELS)
        name = f"{fold}-{1000 + number}-A-{target}.wav"
        audio.write(root / "audio" / name, noise(1, 8000, number, 0.1) + 0.5 * sine(300 + 100 * number, 1, 8000), 8000)
        rows.append([name, fold, target, LABELS[target], "False", 1000 + number, "A"])
    (root / "meta").mkdir()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["filename", "fold", "target", "category", "esc10", "src_file", "take"], *rows])
    return ESC50(root)


class Detection(Dataset):
    """Clips with events, in fixed folds."""

    task = "detection"
    labels = ("beep",)
    folds = ("train", "validate", "test")
    protocol = TrainValidateTest()
    licence = citation = ""
    events = (Event(0.2, 0.5, "beep", 0.5),)

    def load(self):
        for fold in self.folds:
            yield Clip(f"{fold}/one", self.root / f"{fold}.wav", fold=fold, events=self.events, extra={"device": "a"})
        yield Clip("train/weak", self.root / "train.wav", fold="train", tags={"beep": 1.0})


@pytest.fixture
def detection(tmp_path):
    for fold in Detection.folds:
        audio.write(tmp_path / "sed" / f"{fold}.wav", noise(1, 8000), 8000)
    return Detection(tmp_path / "sed")


MIXED = ({"type": "pitch_shift", "n_semitones": -1}, {"type": "time_stretching", "factor": 1.25}, WhiteNoise(snr=20))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.suffix == ".wav"}


def times(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*-A-*")}


def test_it_is_a_dataset(esc):
    given_list = [dict(a) if isinstance(a, dict) else a for a in MIXED]
    augmented = AugmentedDataset(esc, given_list)
    assert given_list == list(MIXED)
    assert isinstance(augmented, Dataset)
    for fact in ("name", "task", "labels", "folds", "protocol", "root", "cache", "licence", "citation"):
        assert getattr(augmented, fact) == getattr(esc, fact)
    assert repr(esc) in repr(augmented)
    with pytest.raises(DatasetError, match=r"run process\(\)"):
        _ = augmented.clips
    augmented.process()
    assert augmented.clips[:6] == esc.clips
    assert len(augmented.clips) == 24
    assert augmented.validate() == []
    assert augmented.summary()["groups"] == 6
    assert augmented.summary()["labels"]["dog"] == 8
    for index, copy in enumerate(augmented.clips[6:]):
        parent, augmentation = esc.clips[index % 6], augmented.augmentations[index // 6]
        assert copy.id == f"{parent.id}@{augmentation.fingerprint}"
        assert (copy.fold, copy.group, copy.tags, copy.events) == (parent.fold, parent.group, parent.tags, None)
        assert copy.extra == {**parent.extra, "parent": parent.id, "augmentation": augmentation.fingerprint}
        assert copy.duration == audio.info(copy.path).duration == pytest.approx(0.8 if index // 6 == 1 else 1.0)
        assert audio.info(copy.path).subtype == "PCM_16"
        assert copy.path.parent == esc.cache / "augmented" / augmentation.fingerprint


def test_nothing_to_do_is_the_dataset_itself(esc):
    augmented = AugmentedDataset(esc, [])
    augmented.process()
    assert augmented.clips == esc.clips


def test_copies_of_training_clips_only(esc):
    augmented = AugmentedDataset(esc, MIXED)
    augmented.process()
    for fold in ("fold1", "fold2", "fold3"):
        split, original = augmented.split(fold), esc.split(fold)
        assert (split.validation, split.test) == (original.validation, original.test)
        assert split.train[: len(original.train)] == original.train
        assert len(split.train) == 4 * len(original.train)
        assert {c.extra.get("parent", c.id) for c in split.train} == {c.id for c in original.train}
    assert len(augmented.split("fold1", validation=False).train) == 16
    assert augmented.select(["test"]) == esc.select(["test"])
    assert augmented.select(["val"]) == esc.select(["val"])
    assert len(augmented.select(["train"])) == 8
    assert len(augmented.select(["fold2", "fold3"])) == 16
    with pytest.raises(DatasetError, match="no fold 'fold9'"):
        augmented.select(["fold9"])


def test_fixed_folds_hold_no_copies_out(detection):
    augmented = AugmentedDataset(detection, [Gain(min_db=0, max_db=3)])
    augmented.process()
    assert augmented.select(["test"]) == detection.select(["test"])
    assert augmented.select(["validate"]) == detection.select(["validate"])
    assert len(augmented.select(["train"])) == 4


def test_events_move_with_the_audio(detection):
    augmented = AugmentedDataset(detection, [TimeStretch(factor=0.5), PitchShift(n_semitones=1)])
    augmented.process()
    copies = {clip.id: clip for clip in augmented.clips}
    slow, high = (a.fingerprint for a in augmented.augmentations)
    copy = copies[f"test/one@{slow}"]
    assert copy.duration == 2.0
    assert copy.events == (Event(0.4, 1.0, "beep", 0.5),)
    assert copy.group == copy.extra["parent"] == "test/one"
    assert copies[f"test/one@{high}"].events == Detection.events
    assert copies[f"train/weak@{slow}"].events is None
    assert json.loads(copy.path.with_name(f"{copy.path.name}.json").read_text())["events"] == [[0.4, 1.0, "beep", 0.5]]


def test_changed_annotations_are_noticed(detection):
    augmented = AugmentedDataset(detection, [TimeStretch(factor=0.5)])
    augmented.process()
    corrected = Detection(detection.root)
    corrected.events = (Event(0.1, 0.5, "beep"),)
    augmented = AugmentedDataset(corrected, [TimeStretch(factor=0.5)])
    with pytest.raises(DatasetError, match=r"annotations changed.*run process\(\)"):
        _ = augmented.clips
    augmented.process()
    assert augmented.clips[-4].events == (Event(0.2, 1.0, "beep"),)


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs_and_the_order(esc, tmp_path):
    one = AugmentedDataset(esc, MIXED, seed=5, cache=tmp_path / "one")
    two = AugmentedDataset(esc, MIXED[::-1], seed=5, cache=tmp_path / "two")
    other = AugmentedDataset(esc, MIXED, seed=6, cache=tmp_path / "other")
    one.process(jobs=1)
    two.process(jobs=2)
    other.process()
    assert len(contents(tmp_path / "one")) == 18
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not contents(tmp_path / "one").keys() & contents(tmp_path / "other").keys()
    noisy = [next(c.path for c in d.clips if "@white_noise" in c.id).read_bytes() for d in (one, other)]
    assert noisy[0] != noisy[1]


def test_the_same_random_augmentation_twice_gives_two_copies(esc):
    augmented = AugmentedDataset(esc, [Gain(min_db=-20, max_db=0)] * 2)
    augmented.process()
    assert len({clip.id for clip in augmented.clips}) == 18
    assert len({clip.path.read_bytes() for clip in augmented.clips}) == 18


def test_two_settings_never_share_a_folder(esc):
    chosen = [PitchShift(n_semitones=0.5), PitchShift(n_semitones=0.9), TimeStretch(factor=1.001), TimeStretch(factor=1.004)]
    augmented = AugmentedDataset(esc, chosen)
    augmented.process()
    assert len({clip.path.parent for clip in augmented.clips[6:]}) == 4
    assert len({clip.path.read_bytes() for clip in augmented.clips}) == 30


def test_a_killed_run_goes_on_where_it_stopped(esc):
    augmented = AugmentedDataset(esc, MIXED[:1])
    augmented.process()
    folder = augmented.clips[6].path.parent
    written, bytes_before = times(folder), contents(folder)
    lost = [clip.path for clip in augmented.clips[6:9]]
    (folder / "complete.json").unlink()
    lost[0].unlink()
    lost[1].with_name(f"{lost[1].name}.json").unlink()  # killed between the two files of a copy
    lost[2].write_bytes(lost[2].read_bytes()[:-100])  # cut by something else than us
    again = AugmentedDataset(esc, MIXED[:1])
    with pytest.raises(DatasetError, match=r"run process\(\)"):
        _ = again.clips
    again.process()
    assert contents(folder) == bytes_before
    redone = {name for name, at in times(folder).items() if at != written[name]}
    assert {name.removesuffix(".json") for name in redone} == {path.name for path in lost}
    assert again.clips == augmented.clips


def test_changed_audio_is_augmented_again(esc):
    augmented = AugmentedDataset(esc, MIXED[:1])
    augmented.process()
    before = contents(esc.cache / "augmented")
    path = esc.clips[2].path
    audio.write(path, noise(1, 8000, 99), 8000)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    augmented.process()
    after = contents(esc.cache / "augmented")
    assert {name.rpartition("/")[2] for name in after if after[name] != before[name]} == {path.name}


def test_only_what_exceeds_full_scale_is_scaled_down(esc):
    augmented = AugmentedDataset(esc, [Gain(min_db=40, max_db=40), Gain(min_db=-20, max_db=-20)])
    augmented.process()
    loud, soft = (audio.read(augmented.clips[index].path)[0] for index in (6, 12))
    original, _ = audio.read(esc.clips[0].path)
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(loud, original / np.abs(original).max(), atol=1e-4)
    np.testing.assert_allclose(soft, original / 10, atol=1e-4)


def test_datasets_that_share_a_folder_add_to_it(esc, tmp_path):
    class Half(ESC50):
        def load(self):
            return list(super().load())[:3]

    whole, half = (AugmentedDataset(d, MIXED[:1], cache=tmp_path / "cache") for d in (esc, Half(esc.root)))
    half.process()
    with pytest.raises(DatasetError, match=r"run process\(\)"):
        _ = whole.clips
    whole.process()
    half.process()
    assert len(AugmentedDataset(esc, MIXED[:1], cache=tmp_path / "cache").clips) == 12


def test_augmenting_an_augmented_dataset_composes(esc):
    inner = AugmentedDataset(esc, MIXED[1:2])
    outer = AugmentedDataset(inner, MIXED[:1])
    outer.process()
    assert outer.clips[:12] == inner.clips
    assert len(outer.clips) == 24
    twice = outer.clips[-1]
    stretched, shifted = inner.augmentations[0].fingerprint, outer.augmentations[0].fingerprint
    assert twice.id == f"{esc.clips[-1].id}@{stretched}@{shifted}"
    assert twice.extra["parent"] == esc.clips[-1].id
    assert twice.extra["augmentation"] == f"{stretched}@{shifted}"
    assert (twice.fold, twice.group) == (esc.clips[-1].fold, esc.clips[-1].group)
    assert twice.duration == pytest.approx(0.8)
    split = outer.split("fold1")
    assert split.test == esc.split("fold1").test
    assert len(split.train) == 4 * len(esc.split("fold1").train)


def test_features_and_batches(esc):
    augmented = AugmentedDataset(esc, MIXED)
    augmented.process()
    features = MelSpectrogram(sequence_time=0.5, sequence_hop_time=0.25, audio_win=256, audio_hop=128, sr=8000)
    features.extract(augmented)
    train = DataGenerator(augmented, features, folds=["fold2", "fold3"], train=True)
    x, y = train.get_data()
    assert len(train.clips) == 16
    assert len(x) == len(y)
    test = DataGenerator(augmented, features, folds=["fold1"], train=False)
    assert [clip.id for clip in test.clips] == [clip.id for clip in esc.select(["fold1"])]
    assert DataGenerator(augmented, features, folds=["train"], train=True).clips == augmented.split().train


def test_another_sampling_rate_before_or_after(esc):
    after = AugmentedDataset(esc, MIXED[:1])
    after.process()
    after.change_sampling_rate(4000)
    assert {audio.info(clip.path).sr for clip in after.clips} == {4000}
    esc.change_sampling_rate(4000)
    before = AugmentedDataset(esc, MIXED[:1])
    before.process()
    assert {audio.info(clip.path).sr for clip in before.clips} == {4000}


def test_download_is_the_datasets_own(detection):
    with pytest.raises(DatasetError, match="Detection has no recorded address"):
        AugmentedDataset(detection, []).download()


def test_what_goes_wrong_is_said(esc):
    with pytest.raises(NameNotFoundError, match="Did you mean"):
        AugmentedDataset(esc, [{"type": "pitchshift_", "n_semitones": 1}, {"type": "whitenoize", "snr": 1}])
    with pytest.raises(DatasetError, match="seed"):
        AugmentedDataset(esc, [], seed=-1)
    esc.clips[0].path.unlink()
    with pytest.raises(AudioError, match="cannot be read"):
        AugmentedDataset(esc, MIXED).process()
