"""The embedded sounds: exact labels, repeatable bytes, and variety that an average spectrum does not explain."""

import itertools

import numpy as np
import pytest

from dcasekit.datasets._synthesis import EVENTS, SCENES, background, event
from dcasekit.datasets._synthetic_clips import DURATIONS, GAP, LIKELY, draw_spans, response, soundscape
from dcasekit.errors import NameNotFoundError

SR = 16000
SOUNDS = {**EVENTS, **SCENES}


def db(x):
    return 10 * np.log10(np.mean(np.square(x, dtype=np.float64)) + 1e-20)


def band_levels(x, bands=12):
    power = np.abs(np.fft.rfft(x)) ** 2
    edges = np.geomspace(100, 7000, bands + 1) * len(x) / SR
    return np.array([10 * np.log10(power[int(a) : int(b) + 1].mean() + 1e-12) for a, b in itertools.pairwise(edges)])


def test_there_is_enough_to_tell_apart():
    assert len(EVENTS) >= 10
    assert len(SCENES) >= 5
    assert set(DURATIONS) == set(EVENTS)
    assert set(LIKELY) == set(SCENES)
    assert set().union(*LIKELY.values()) <= set(EVENTS)


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize(("duration", "sr"), [(0.05, 8000), (0.5, 44100), (1.2345, 22050), (5.0, 16000)])
def test_a_sound_has_the_length_asked_for_and_fits_in_a_file(name, duration, sr):
    for seed in range(2):
        x = SOUNDS[name](np.random.default_rng(seed), duration, sr)
        assert x.shape == (round(duration * sr),)
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert 0.9 < np.abs(x).max() <= 1


@pytest.mark.parametrize("name", SOUNDS)
def test_the_same_seed_gives_the_same_bytes(name):
    first, again, other = (SOUNDS[name](np.random.default_rng(seed), 1.0, SR) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("label", EVENTS)
def test_an_event_is_heard_from_its_onset_to_its_offset(label):
    shortest, longest = DURATIONS[label]
    for seed, duration in enumerate(np.linspace(shortest, longest, 8)):
        x = event(label, np.random.default_rng(seed), duration, SR)
        edge = SR // 50
        assert db(x[:edge]) > db(x) - 30, (seed, "onset")
        assert db(x[-edge:]) > db(x) - 40, (seed, "offset")


@pytest.mark.parametrize("name", SOUNDS)
def test_a_class_is_many_sounds(name):
    levels = np.array([band_levels(SOUNDS[name](np.random.default_rng(seed), 2.0, SR)) for seed in range(10)])
    assert levels.std(axis=0).mean() > 1.5  # dB, after peak normalisation and before any device colours it


def test_a_siren_glides_and_a_horn_does_not():
    def wander(label, seed):
        x = event(label, np.random.default_rng(seed), 3.0, SR)
        spectra = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, 1024)[::512] * np.hanning(1024)))
        loud = spectra[spectra.sum(axis=1) > 0.2 * spectra.sum(axis=1).max()]
        return np.mean(np.abs(np.diff(loud / np.linalg.norm(loud, axis=1, keepdims=True), axis=0)).sum(axis=1))

    assert np.mean([wander("siren", s) for s in range(8)]) > 2 * np.mean([wander("car_horn", s) for s in range(8)])


def test_the_average_spectrum_does_not_give_the_scene_away():
    clips = [(s, soundscape(s, np.random.default_rng([1, i]), duration=3.0)) for i in range(12) for s in SCENES]
    levels = np.array([band_levels(clip.audio) for _, clip in clips])
    levels -= levels.mean(axis=1, keepdims=True)
    scenes = np.array([list(SCENES).index(s) for s, _ in clips])
    half = len(clips) // 2
    means = np.array([levels[:half][scenes[:half] == k].mean(axis=0) for k in range(len(SCENES))])
    nearest = np.argmin(((levels[half:, None] - means) ** 2).sum(axis=2), axis=1)
    assert np.mean(nearest == scenes[half:]) < 0.6


@pytest.mark.parametrize("scene", SCENES)
def test_a_soundscape_is_repeatable_and_well_formed(scene):
    for seed in range(4):
        clip = soundscape(scene, np.random.default_rng(seed), duration=5.0, sr=22050)
        again = soundscape(scene, np.random.default_rng(seed), duration=5.0, sr=22050)
        assert clip.audio.tobytes() == again.audio.tobytes()
        assert (clip.events, clip.scene) == (again.events, scene)
        assert clip.audio.shape == (5 * 22050,)
        assert clip.audio.dtype == np.float32
        assert 0 < np.abs(clip.audio).max() <= 1
        for e in clip.events:
            assert 0 <= e.onset < e.offset <= 5.0
            assert e.onset * 22050 == pytest.approx(round(e.onset * 22050), abs=1e-6)
            assert e.offset * 22050 == pytest.approx(round(e.offset * 22050), abs=1e-6)


def test_labels_are_exact():
    """With the background inaudible, what sounds is what the labels say, within 20 ms (the equaliser rings a little)."""
    margin, seen = SR // 50, 0
    for seed in range(12):
        clip = soundscape("park", np.random.default_rng(seed), duration=6.0, snr=(100.0, 100.0))
        outside = np.ones(len(clip.audio), bool)
        for e in clip.events:
            start, stop = round(e.onset * SR), round(e.offset * SR)
            outside[max(0, start - margin) : stop + margin] = False
            assert db(clip.audio[start : start + margin]) > db(clip.audio) - 50
        if clip.events and outside.any():
            seen += 1
            assert db(clip.audio[outside]) < db(clip.audio) - 45
    assert seen > 5


@pytest.mark.parametrize("duration", [0.1, 2.0, 10.0])
def test_events_of_one_class_stay_apart_and_inside(duration):
    samples = round(duration * SR)
    for seed in range(300):
        spans = draw_spans("street", np.random.default_rng(seed), samples, SR, 6)
        assert all(0 <= start < stop <= samples for start, stop, _ in spans)
        assert spans == sorted(spans)
        for (_, stop, label), (start, _, other) in itertools.combinations(spans, 2):
            assert label != other or start - stop >= GAP * SR


def test_clips_hold_none_to_six_events_and_the_scene_is_only_a_hint():
    draws = [draw_spans("office", np.random.default_rng(seed), 10 * SR, SR, 6) for seed in range(1000)]
    counts = np.array([len(spans) for spans in draws])
    assert set(counts) == set(range(7))
    assert 2.3 < counts.mean() < 3.3
    labels = [label for spans in draws for _, _, label in spans]
    assert set(labels) == set(EVENTS)
    assert 1.5 * labels.count("siren") < labels.count("door_knock") < 6 * labels.count("siren")
    assert soundscape("office", np.random.default_rng(0), duration=1.0, max_events=0).events == ()


def test_a_higher_snr_lifts_the_events_out_of_the_background():
    def contrast(snr):
        clip = next(c for s in range(50) if (c := soundscape("office", np.random.default_rng(s), snr=snr, max_events=1)).events)
        start, stop = (round(t * SR) for t in (clip.events[0].onset, clip.events[0].offset))
        return db(clip.audio[start:stop]) - db(np.delete(clip.audio, slice(start, stop)))

    assert contrast((20.0, 20.0)) > contrast((0.0, 0.0)) + 10


def test_one_device_colours_all_its_clips_alike():
    f = np.linspace(0, SR / 2, 100, dtype=np.float32)
    first, again, other = (response(np.random.default_rng(seed))(f) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    clips = [soundscape("park", np.random.default_rng(5), duration=2.0, device=np.random.default_rng(d)) for d in (1, 1, 2)]
    assert np.array_equal(clips[0].audio, clips[1].audio)
    assert clips[0].events == clips[2].events
    assert not np.allclose(clips[0].audio, clips[2].audio, atol=1e-3)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(NameNotFoundError, match="dog_bark"):
        event("dog", np.random.default_rng(0), 1.0, SR)
    with pytest.raises(NameNotFoundError, match="seaside"):
        background("moon", np.random.default_rng(0), 1.0, SR)
