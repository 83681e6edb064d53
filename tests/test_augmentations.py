"""Augmentations: labels move with the audio, the same seed gives the same bytes, no two settings share a folder."""

import csv
import json
import os
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcasekit import AugmentedDataset, DataGenerator, Event, audio
from dcasekit.annotations import Clip
from dcasekit.augmentations import (
    Augmentation,
    Codec,
    Crop,
    Gain,
    LowPass,
    Mix,
    PitchShift,
    Reverb,
    Reverse,
    Shift,
    TimeStretch,
    WhiteNoise,
)
from dcasekit.augmentations._vocoder import stretch
from dcasekit.core import discover
from dcasekit.datasets import ESC50, Dataset, TrainValidateTest
from dcasekit.errors import AudioError, DatasetError, NameNotFoundError
from dcasekit.features import MelSpectrogram

SR = 22050
EXAMPLES = {
    "codec": {"max_compression": 0.5},
    "crop": {"seconds": 0.4},
    "gain": {"min_db": -6, "max_db": 6},
    "low_pass": {"min_hz": 500, "max_hz": 2000},
    "mix": {"folder": "...", "min_snr": 0, "max_snr": 5},
    "pitch_shift": {"n_semitones": 2},
    "reverb": {},
    "reverse": {},
    "shift": {},
    "time_stretch": {"factor": 1.1},
    "white_noise": {"snr": 10},
}
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


@pytest.fixture
def backgrounds(tmp_path):
    """A folder with a short recording, which is annotated, and a long one, which is not."""
    folder = tmp_path / "backgrounds"
    audio.write(folder / "rain.wav", noise(0.7, seed=8), SR)
    audio.write(folder / "street" / "cars.wav", noise(5, 16000, seed=9), 16000)
    (folder / "rain.txt").write_text("0.1\t0.3\train\n0.5\t0.7\train\n")
    return folder


@pytest.fixture(params=discover.names("augmentations"))
def augmentation(request, backgrounds):
    described = {"type": request.param, **EXAMPLES[request.param]}
    return Augmentation.from_dict({**described, "folder": backgrounds} if "folder" in described else described)


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
    beside, _ = augmentation.apply(x, (Event(0.1, 0.9, "dog"),), params, sr=SR)
    assert first.tobytes() == beside.tobytes()  # what is heard does not depend on what is annotated
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(first, x)


@pytest.mark.parametrize("samples", [1, 2, 50, 3000])
def test_short_audio_and_silence_pass(augmentation, samples):
    for x in (noise(samples / SR), np.zeros(samples, np.float32)):
        y, events = run(augmentation, x, ())
        assert np.isfinite(y).all()
        assert len(y) == (round(samples / 1.1) if isinstance(augmentation, TimeStretch) else samples)
    assert not y.any()
    assert events == ()  # also of a background: in silence it is not heard


@pytest.mark.parametrize("x", [np.zeros(0), np.zeros((4, 2)), np.array([0.0, np.nan])])
def test_what_is_not_mono_audio_is_refused(augmentation, x):
    with pytest.raises(DatasetError, match="expected mono audio"):
        run(augmentation, x)


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
        ({"type": "chorus"}, NameNotFoundError, "Known: codec, crop, gain, .*time_stretch, white_noise"),
        ({"n_semitones": 1}, DatasetError, "an augmentation is"),
        ("pitch_shift", DatasetError, "an augmentation is"),
        ({"type": "pitch_shift", "semitones": 1}, DatasetError, "Its settings are: n_semitones"),
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
        (PitchShift, {"engine": "rubberband", "n_semitones": 1}),
        (TimeStretch, {"engine": None, "factor": 1}),
        (Shift, {"max_share": 0.6}),
        (Crop, {"seconds": 0}),
        (Crop, {"seconds": None}),
        (Crop, {"start": -1, "seconds": 1}),
        (Crop, {"start": "1", "seconds": 1}),
        (Crop, {"min_share": 1.1, "seconds": 1}),
        (Mix, {"min_snr": 3, "max_snr": 2, "folder": ""}),
        (Reverb, {"min_rt60": 0}),
        (Reverb, {"min_rt60": 2}),
        (LowPass, {"min_hz": 0, "max_hz": 100}),
        (LowPass, {"min_hz": 200, "max_hz": 100}),
        (LowPass, {"order": 2.5, "min_hz": 100, "max_hz": 100}),
        (LowPass, {"order": 0, "min_hz": 100, "max_hz": 100}),
        (Codec, {"format": "aac"}),
        (Codec, {"min_compression": -0.1}),
        (Codec, {"max_compression": 1.1}),
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


# --- filters, rooms, codecs ----------------------------------------------------------------------------------------------------


def decibels(y, x):
    return 10 * np.log10(np.mean(np.square(y, dtype=float)) / np.mean(np.square(x, dtype=float)))


@pytest.mark.parametrize("order", [1, 4, 8])
def test_low_pass_halves_the_amplitude_at_the_cutoff_and_falls_twice_as_steeply_as_its_order(order):
    for hz in (200, 2000, 4000):
        x = sine(hz)
        y, _ = run(LowPass(min_hz=2000, max_hz=2000, order=order), x)
        middle = slice(SR // 4, -SR // 4)
        # The bilinear transform maps f to tan(pi f / sr).
        ratio = np.tan(np.pi * hz / SR) / np.tan(np.pi * 2000 / SR)
        assert decibels(y[middle], x[middle]) == pytest.approx(-20 * np.log10(1 + ratio ** (2 * order)), abs=0.1)


def test_low_pass_has_nothing_to_take_away_beyond_half_the_rate():
    x = noise()
    np.testing.assert_array_equal(run(LowPass(min_hz=SR / 2, max_hz=SR), x)[0], x)


@quick
@given(low=st.floats(100, 5000), octaves=st.floats(0, 3), seed=st.integers(0, 99))
def test_cutoffs_lie_in_their_range(low, octaves, seed):
    params = LowPass(min_hz=low, max_hz=low * 2**octaves).draw(np.random.default_rng(seed))
    assert low * (1 - 1e-9) <= params["hz"] <= low * 2**octaves * (1 + 1e-9)


@quick
@given(rt60=st.floats(0.1, 1.5), drr=st.floats(-10, 20), seed=st.integers(0, 99))
def test_a_synthetic_room_has_the_reverberation_time_and_the_ratio_asked_for(rt60, drr, seed):
    click = np.zeros(round(1.2 * rt60 * SR), np.float32)
    click[0] = 1
    y, _ = run(Reverb(min_rt60=rt60, max_rt60=rt60, drr=drr), click, seed=seed)
    y = y.astype(float)
    assert 10 * np.log10(y[0] ** 2 / np.sum(y[1:] ** 2)) == pytest.approx(drr, abs=0.01)
    decay = 10 * np.log10(np.cumsum(y[:0:-1] ** 2)[::-1])  # Schroeder's backward integral
    fall = [np.argmax(decay < decay[0] - level) / SR for level in (5, 25)]
    assert 3 * (fall[1] - fall[0]) == pytest.approx(rt60, rel=0.15)  # T20


def test_a_measured_room_is_convolved_from_its_direct_sound_on(tmp_path):
    response = np.zeros((400, 2), np.float32)
    response[[50, 130], 0] = -0.8, 0.4  # the direct sound comes after 50 samples, an echo 80 later
    response[200, 1] = 0.9
    audio.write(tmp_path / "rooms" / "hall.wav", response, SR, subtype="FLOAT")
    x = noise()
    reverb = Reverb(folder=tmp_path / "rooms")
    y, _ = run(reverb, x)
    assert decibels(y, x) == pytest.approx(0, abs=1e-4)
    expected = x - 0.5 * np.concatenate([np.zeros(80), x[:-80]])
    np.testing.assert_allclose(y / y[0] * x[0], expected, atol=1e-5)
    assert reverb.draw(np.random.default_rng(0)) == {"file": "hall.wav"}


@pytest.mark.parametrize("format", ["ogg", "mp3"])
def test_codecs_keep_length_level_and_more_than_full_scale(format):
    for sr in (8000, 16000, 22050, 44100, 48000):
        x = 300 * (sine(440, 1.3, sr) + noise(1.3, sr, level=0.003))
        fine, coarse = (run(Codec(format=format, min_compression=c, max_compression=c), x, sr=sr)[0] for c in (0, 1))
        assert len(fine) == len(coarse) == len(x)
        assert decibels(fine, x) == pytest.approx(0, abs=0.5)
        assert decibels(fine - x, x) < min(-20, decibels(coarse - x, x))


def test_a_long_recording_does_not_break_the_encoder():
    x = np.zeros(60 * 48000, np.float32)  # given to libsndfile at once, as many are a segmentation fault
    x[-9000] = 0.9
    y, _ = run(Codec(), x, sr=48000)
    assert len(y) == len(x)
    assert np.abs(y).argmax() == len(x) - 9000


def test_mp3_does_not_know_every_rate():
    with pytest.raises(AudioError, match="96000 Hz cannot be encoded as mp3"):
        run(Codec(format="mp3"), noise(0.1, 96000), sr=96000)


# --- mixing --------------------------------------------------------------------------------------------------------------------


@quick
@given(snr=st.floats(-20, 60), at=st.floats(0, 1, exclude_max=True), file=st.sampled_from(["rain.wav", "street/cars.wav"]))
def test_a_background_has_the_ratio_asked_for(tmp_path_factory, snr, at, file):
    folder = tmp_path_factory.getbasetemp() / "ratio"
    audio.write(folder / "rain.wav", noise(0.7, seed=8), SR)
    audio.write(folder / "street" / "cars.wav", noise(5, 16000, seed=9), 16000)
    x = sine(440, 2)
    y, _ = Mix(folder=folder, min_snr=snr, max_snr=snr).apply(x, None, {"file": file, "at": at, "snr": snr}, sr=SR)
    assert decibels(x, y.astype(float) - x) == pytest.approx(snr, abs=0.02)


def test_all_backgrounds_and_all_ratios_are_drawn(backgrounds):
    mix = Mix(folder=backgrounds, min_snr=-3, max_snr=7)
    drawn = [mix.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {params["file"] for params in drawn} == {"rain.wav", "street/cars.wav"}
    for name, low, high in (("snr", -3, 7), ("at", 0, 1)):
        values = np.array([params[name] for params in drawn])
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rain.txt", "0.1\t0.3\train\n"),
        ("rain.tsv", "onset\toffset\tevent_label\n0.1\t0.3\train\n"),
        (
            "rain.selections.txt",
            "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
            "1\tSpectrogram 1\t1\t0.1\t0.3\t0\t4000\train\n",
        ),
        (
            "rain.jams",
            '{"annotations": [{"namespace": "segment_open", "data": [{"time": 0.1, "duration": 0.2, "value": "rain", "confidence": 1}]}]}',
        ),
    ],
)
def test_annotations_of_every_kind_join(tmp_path, name, text):
    audio.write(tmp_path / "rain.wav", noise(0.7), SR)
    (tmp_path / name).write_text(text)
    params = {"file": "rain.wav", "at": 0.0, "snr": 0.0}
    _, events = Mix(folder=tmp_path, min_snr=0, max_snr=0).apply(noise(0.9), (Event(0, 1, "dog"),), params, sr=SR)
    assert [event.label for event in events] == ["dog", "rain", "rain"]
    np.testing.assert_allclose([(e.onset, e.offset) for e in events[1:]], [(0.1, 0.3), (0.8, 0.9)], atol=1e-4)


def test_what_is_not_heard_brings_no_events(backgrounds):
    params = {"file": "rain.wav", "at": 0.0, "snr": 0.0}
    mix = Mix(folder=backgrounds, min_snr=0, max_snr=0)
    assert len(mix.apply(noise(), (), params, sr=SR)[1]) == 3
    assert mix.apply(np.zeros(SR), (), params, sr=SR)[1] == ()
    audio.write(backgrounds / "rain.wav", np.zeros(SR), SR)
    y, events = mix.apply(noise(), (), params, sr=SR)
    assert events == ()
    np.testing.assert_array_equal(y, noise())


def test_a_folder_counts_by_its_files_not_by_its_place(backgrounds, tmp_path):
    mix = Mix(folder=backgrounds, min_snr=0, max_snr=0)
    moved = backgrounds.rename(tmp_path / "elsewhere")
    same = Mix(folder=moved, min_snr=0, max_snr=0)
    assert same.fingerprint == Mix(folder=str(moved), min_snr=0, max_snr=0).fingerprint
    assert Mix(folder=moved, min_snr=0, max_snr=1).fingerprint != same.fingerprint
    audio.write(moved / "wind.flac", noise(), SR)
    assert Mix(folder=moved, min_snr=0, max_snr=0).fingerprint != same.fingerprint
    with pytest.raises(DatasetError, match="is not a folder"):
        _ = mix.fingerprint
    (tmp_path / "empty").mkdir()
    for kind in (Mix(folder=tmp_path / "empty", min_snr=0, max_snr=0), Reverb(folder=tmp_path / "empty")):
        with pytest.raises(DatasetError, match="empty holds no audio"):
            kind.draw(np.random.default_rng(0))


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
    with pytest.raises(DatasetError, match=r"call process\(\)"):
        _ = augmented.clips
    augmented.process()
    assert augmented.clips[:6] == esc.clips
    assert len(augmented.clips) == 24
    assert augmented.validate() == []
    assert augmented.summary().groups == 6
    assert next(row.clips for row in augmented.summary().labels if row.label == "dog") == 8
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
    with pytest.raises(DatasetError, match=r"annotations changed.*call process\(\)"):
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
    with pytest.raises(DatasetError, match=r"call process\(\)"):
        _ = again.clips
    again.process()
    assert contents(folder) == bytes_before
    redone = {name for name, at in times(folder).items() if at != written[name]}
    assert {name.removesuffix(".json") for name in redone} == {path.name for path in lost}
    assert again.clips == augmented.clips


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"copies": 1}', '{"copies": {"ID": null}}', '{"copies": {"ID": {"source": 1}}}']
)
def test_records_that_are_not_as_we_write_them_are_made_again(esc, text):
    augmented = AugmentedDataset(esc, MIXED[:1])
    augmented.process()
    expected, good = augmented.clips, contents(esc.cache / "augmented")
    for path in (expected[6].path.parent / "complete.json", expected[6].path.with_name(f"{expected[6].path.name}.json")):
        path.write_text(text.replace("ID", esc.clips[0].id))
        again = AugmentedDataset(esc, MIXED[:1])
        if path.name == "complete.json":
            with pytest.raises(DatasetError, match=r"is missing; call process\(\)"):
                _ = again.clips
        again.process()
        assert again.clips == expected
        assert contents(esc.cache / "augmented") == good


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
    with pytest.raises(DatasetError, match=r"call process\(\)"):
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


def moved(dataset, augmentation):
    """Id of the parent -> the copy that an augmentation made of it."""
    augmented = AugmentedDataset(dataset, [augmentation])
    augmented.process()
    assert AugmentedDataset(dataset, [augmentation]).clips == augmented.clips  # as read again
    return {clip.extra["parent"]: clip for clip in augmented.clips if "parent" in clip.extra}


class Street(Dataset):
    """Clips whose tags and events say different things, or nothing."""

    task = "tagging"
    labels = ("dog", "rain", "cat")
    folds = ("train", "test")
    protocol = TrainValidateTest()
    licence = citation = ""
    dogs = (Event(0.0, 0.2, "dog", 0.9), Event(0.6, 0.8, "dog", 0.4), Event(0.1, 0.3, "cat"))

    def load(self):
        known = {
            "strong": ({"dog": 0.9, "cat": 1.0}, self.dogs),
            "untimed": ({"dog": 0.9, "cat": 1.0}, None),
            "untagged": (None, self.dogs),
            "unknown": (None, None),
            "silent": ({}, ()),
            "more tags": ({"dog": 0.2, "cat": 1.0, "rain": 0.0}, self.dogs[:2]),
        }
        for name, (tags, events) in known.items():
            yield Clip(name, self.root / "a.wav", fold="train", tags=tags, events=events)


@pytest.fixture
def street(tmp_path):
    audio.write(tmp_path / "street" / "a.wav", noise(1, 8000), 8000)
    audio.write(tmp_path / "rain" / "rain.wav", noise(2, 8000, 1), 8000)
    (tmp_path / "rain" / "rain.tsv").write_text("onset\toffset\tevent_label\tweight\n0\t2\train\t0.8\n0\t2\tdog\t0.5\n")
    return Street(tmp_path / "street")


def test_a_label_that_is_cut_away_leaves_the_tags_and_one_of_which_softer_events_are_left_becomes_softer(street):
    copies = moved(street, Crop(seconds=0.5, start=0.5))
    assert copies["strong"].tags == {"dog": 0.4}
    assert [(e.label, e.weight) for e in copies["strong"].events] == [("dog", 0.4)]
    assert copies["untimed"].tags == {"dog": 0.9, "cat": 1.0}
    assert copies["more tags"].tags == {"dog": 0.2, "cat": 1.0, "rain": 0.0}
    assert (copies["untagged"].tags, len(copies["untagged"].events)) == (None, 1)
    assert (copies["unknown"].tags, copies["unknown"].events) == (None, None)
    assert (copies["silent"].tags, copies["silent"].events) == ({}, ())


def test_a_label_that_a_background_brings_joins_the_tags(street):
    copies = moved(street, Mix(folder=street.root.parent / "rain", min_snr=0, max_snr=0))
    assert copies["strong"].tags == {"dog": 0.9, "cat": 1.0, "rain": 0.8}
    assert copies["strong"].events[:3] == Street.dogs
    joined = [(e.label, e.weight, e.onset, round(e.offset, 9)) for e in copies["strong"].events[3:]]
    assert joined == [("rain", 0.8, 0.0, 1.0), ("dog", 0.5, 0.0, 1.0)]
    assert (copies["untimed"].tags, copies["untimed"].events) == ({"dog": 0.9, "cat": 1.0, "rain": 0.8}, None)
    assert (copies["untagged"].tags, len(copies["untagged"].events)) == (None, 5)
    assert (copies["unknown"].tags, copies["unknown"].events) == (None, None)
    assert (copies["silent"].tags, len(copies["silent"].events)) == ({"dog": 0.5, "rain": 0.8}, 2)
    assert copies["more tags"].tags == {"dog": 0.2, "cat": 1.0, "rain": 0.8}


def test_what_changes_no_label_changes_no_tag(street):
    for augmentation in (Gain(min_db=1, max_db=2), Reverse(), Shift(), TimeStretch(factor=1.2), Reverb()):
        copies = moved(street, augmentation)
        for clip in street.clips:
            assert copies[clip.id].tags == clip.tags
            assert (copies[clip.id].events is None) == (clip.events is None)


def test_a_clip_of_a_classification_dataset_keeps_its_one_class(street):
    street.task = "classification"
    mixed = moved(street, Mix(folder=street.root.parent / "rain", min_snr=0, max_snr=0))
    cropped = moved(street, Crop(seconds=0.1, start=0.9))
    for clip in street.clips:
        assert mixed[clip.id].tags == cropped[clip.id].tags == clip.tags
        assert {event.label for event in mixed[clip.id].events or ()} <= {event.label for event in clip.events or ()}
    assert cropped["strong"].events == ()


def test_a_background_label_that_the_dataset_does_not_have_is_named(street):
    (street.root.parent / "rain" / "rain.tsv").write_text("0\t2\tsurf\n")
    with pytest.raises(DatasetError, match="unknown label 'surf'"):
        moved(street, Mix(folder=street.root.parent / "rain", min_snr=0, max_snr=0))


def test_a_background_that_has_changed_is_mixed_in_again(street):
    folder = street.root.parent / "rain"
    mix = Mix(folder=folder, min_snr=0, max_snr=0)
    before = moved(street, mix)
    audio_before = before["strong"].path.read_bytes()
    (folder / "rain.tsv").write_text("0\t2\tcat\n")
    relabelled = moved(street, Mix(folder=folder, min_snr=0, max_snr=0))
    assert relabelled["untimed"].tags == {"dog": 0.9, "cat": 1.0}
    assert relabelled["strong"].path.read_bytes() == audio_before
    audio.write(folder / "rain.wav", noise(2, 8000, 2), 8000)
    os.utime(folder / "rain.wav", ns=(time.time_ns(), time.time_ns() + 10**9))
    louder = moved(street, mix)
    assert louder["strong"].path == before["strong"].path
    assert louder["strong"].path.read_bytes() != audio_before


def test_changed_tags_are_noticed(street):
    gain = Gain(min_db=1, max_db=1)
    moved(street, gain)
    street.load = lambda: [Clip("strong", street.root / "a.wav", fold="train", tags={"dog": 0.5}, events=Street.dogs)]
    street._forget()
    with pytest.raises(DatasetError, match=r"annotations changed.*call process\(\)"):
        _ = AugmentedDataset(street, [gain]).clips
    assert moved(street, gain)["strong"].tags == {"dog": 0.5}


def test_copies_of_an_older_dcasekit_are_made_again(street):
    """Its records knew neither tags nor the files that were mixed in."""
    gain = Gain(min_db=1, max_db=1)
    expected = moved(street, gain)
    folder = expected["strong"].path.parent
    for path in folder.rglob("*.json"):
        record = json.loads(path.read_text())
        for copy in record.get("copies", {"": record}).values():
            del copy["tags"]
            copy["source"] = {"size": 1, "mtime_ns": 1, "events": copy["events"]}
        path.write_text(json.dumps(record))
    with pytest.raises(DatasetError, match=r"call process\(\)"):
        _ = AugmentedDataset(street, [gain]).clips
    assert moved(street, gain) == expected


def test_a_copy_is_made_of_the_clips_own_channel(tmp_path):
    class Stereo(Street):
        def load(self):
            return [Clip(f"{side}", self.root / "a.wav", fold="train", tags={}, channel=side) for side in (0, 1)]

    both = np.stack([noise(1, 8000, 0), noise(1, 8000, 1)], axis=1)
    audio.write(tmp_path / "a.wav", both, 8000)
    copies = moved(Stereo(tmp_path), Reverse())
    for side in (0, 1):
        copy = copies[f"{side}"]
        assert copy.channel is None
        np.testing.assert_allclose(audio.read(copy.path)[0], both[::-1, side], atol=1e-4)


def test_drawn_validation_clips_are_originals_and_their_copies_are_left_out(esc):
    augmented = AugmentedDataset(esc, MIXED)
    augmented.process()
    split, original = (d.validation_split(0.4, balance=None, seed=1) for d in (augmented, esc))
    assert (split.validation, split.test) == (original.validation, original.test)
    assert split.train[: len(original.train)] == original.train
    assert {clip.extra.get("parent", clip.id) for clip in split.train} == {clip.id for clip in original.train}
    assert len(split.train) == 4 * len(original.train)


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
    with pytest.raises(DatasetError, match="Detection cannot be downloaded: dcasekit knows no address"):
        AugmentedDataset(detection, []).download()


def test_what_goes_wrong_is_said(esc):
    with pytest.raises(NameNotFoundError, match="Did you mean"):
        AugmentedDataset(esc, [{"type": "pitchshift_", "n_semitones": 1}, {"type": "whitenoize", "snr": 1}])
    with pytest.raises(DatasetError, match="seed"):
        AugmentedDataset(esc, [], seed=-1)
    esc.clips[0].path.unlink()
    with pytest.raises(AudioError, match="cannot be read"):
        AugmentedDataset(esc, MIXED).process()


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: PitchShift(n_semitone=1), "n_semitones=..."),
        (lambda: PitchShift(semitones=1), "n_semitones=..."),
        (lambda: TimeStretch(rate=1.1), "factor=..."),
        (lambda: WhiteNoise(snr_db=20), "snr=..."),
        (lambda: Augmentation.from_dict({"type": "pitch_shift", "n_semitone": 1}), "n_semitones=..."),
    ],
)
def test_an_unknown_setting_is_met_with_the_one_that_was_meant(make, meant):
    with pytest.raises(DatasetError) as caught:
        make()
    assert f"Did you mean {meant}?" in str(caught.value)


def test_a_setting_without_a_name_is_refused():
    with pytest.raises(DatasetError, match=r"PitchShift takes its settings by name; got \(-1,\); its settings are: n_semitones, engine"):
        PitchShift(-1)


def test_numbers_of_numpy_give_the_same_augmentation():
    assert WhiteNoise(snr=np.float32(20.1)).fingerprint == WhiteNoise(snr=20.1).fingerprint
