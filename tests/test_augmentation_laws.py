"""Laws of augmentations: clicks land where the moved events say, events keep their durations, seeds give the same bytes."""

import hashlib
import importlib.util
import shutil
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcasekit import AugmentedDataset, Event, audio
from dcasekit.annotations import Clip, write_annotation
from dcasekit.augmentations import Codec, Crop, Gain, LowPass, Mix, PitchShift, Reverb, Reverse, Shift, TimeStretch, WhiteNoise
from dcasekit.datasets import Dataset, TrainValidateTest
from dcasekit.errors import DatasetError, MissingExtraError

quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
needs_sox = pytest.mark.skipif(
    shutil.which("sox") is None or importlib.util.find_spec("sox") is None,
    reason="SoX is not installed (apt-get install sox; pip install 'dcasekit[sox]')",
)

# Clicks at least 80 ms apart, so that each is looked for where no other is.
GAP = 0.08
gaps = st.lists(st.floats(GAP, 0.4), min_size=1, max_size=8)
rates = st.sampled_from([8000, 16000, 22050, 44100])


def clicks(gaps, sr, hiss=0.0):
    """Clicks after the gaps, 0.2 s of silence after the last, and the events of a sample that they are."""
    at = np.round(np.cumsum(gaps) * sr).astype(int)
    x = hiss * np.random.default_rng(0).normal(size=at[-1] + sr // 5).astype(np.float32)
    x[at] = 0.9
    return x.astype(np.float32), tuple(Event(n / sr, (n + 1) / sr, "click") for n in at)


def apply(augmentation, x, events, sr, seed):
    return augmentation.apply(x, events, augmentation.draw(np.random.default_rng(seed)), sr=sr)


def late(y, events, sr, reach):
    """By how many seconds the loudest sample within `reach` seconds of each event comes after it, and how loud it is."""
    found = []
    for event in events:
        due = round(event.onset * sr)
        first = max(0, due - int(reach * sr))
        around = np.abs(y[first : due + int(reach * sr)])
        found.append(((first + around.argmax() - due) / sr, around.max()))
    return np.array(found).reshape(-1, 2)


# --- clicks land where the events say ------------------------------------------------------------------------------------------


@quick
@given(gaps=gaps, sr=rates, seed=st.integers(0, 999))
@pytest.mark.parametrize(
    "augmentation",
    [
        Shift(),
        Shift(max_share=0.1),
        Reverse(),
        Crop(seconds=0.3),
        Crop(seconds=0.25, start=0.1),
        Gain(min_db=-20, max_db=6),
        WhiteNoise(snr=10),
        LowPass(min_hz=1000, max_hz=4000),
        LowPass(min_hz=1000, max_hz=4000, order=16),
        Reverb(),
        Reverb(drr=0, max_rt60=3),
        Codec(),
        Codec(format="mp3"),
    ],
    ids=repr,
)
def test_clicks_are_heard_at_the_very_sample(augmentation, gaps, sr, seed):
    x, events = clicks(gaps, sr)
    y, moved = apply(augmentation, x, events, sr, seed)
    found = late(y, moved, sr, GAP / 2)
    np.testing.assert_array_equal(found[:, 0], 0)
    assert np.all(found[:, 1] > 0.02)
    if isinstance(augmentation, Shift | Reverse | Crop):
        assert np.count_nonzero(y) == len(moved)  # no click without an event, none lost
        assert len(moved) == len(events) or isinstance(augmentation, Crop)
    else:
        assert moved == events
        assert len(y) == len(x)


@quick
@given(gaps=gaps, others=gaps, sr=rates, rate=rates, seed=st.integers(0, 999))
def test_clicks_of_both_are_heard_in_a_mixture(tmp_path, gaps, others, sr, rate, seed):
    x, events = clicks(gaps, sr)
    background, ticks = clicks(others, rate)
    audio.write(tmp_path / "b.wav", background, rate, subtype="FLOAT")
    write_annotation(tmp_path / "b.tsv", [Event(e.onset, e.offset, "tick") for e in ticks])
    mix = Mix(folder=tmp_path, min_snr=0, max_snr=0)
    params = mix.draw(np.random.default_rng(seed))
    y, moved = mix.apply(x, events, params, sr=sr)
    assert len(y) == len(x)
    assert moved[: len(events)] == events
    joined = [event for event in moved[len(events) :] if event.offset - event.onset > 0.9 / rate]
    assert {event.label for event in joined} <= {"tick"}
    quiet, heard = mix.apply(1e-6 * np.ones_like(x), (), params, sr=sr)  # the background alone
    assert heard == moved[len(events) :]
    inside = [event for event in joined if event.offset < (len(x) - 1) / sr]  # resampled, the last may lie between two samples
    found = late(quiet - 1e-6, inside, sr, GAP / 2)
    assert np.all(np.abs(found[:, 0]) <= 1.001 / sr + (0.001 / sr if rate == sr else 1 / rate))
    if sr == rate:
        assert np.count_nonzero(np.abs(quiet - 1e-6) > 1e-8) == len(heard)


@quick
@given(gaps=gaps, sr=st.sampled_from([16000, 22050, 44100]), n_semitones=st.floats(-6, 6), hiss=st.sampled_from([0.0, 0.005]))
def test_clicks_stay_within_2_ms_when_the_pitch_is_shifted(gaps, sr, n_semitones, hiss):
    x, events = clicks(gaps, sr, hiss)
    y, moved = apply(PitchShift(n_semitones=n_semitones), x, events, sr, 0)
    assert moved == events
    found = late(y, moved, sr, 0.035)
    assert np.abs(found[:, 0]).max() <= 0.002
    assert found[:, 1].min() > 0.1


@needs_sox
@pytest.mark.parametrize(
    "augmentation",
    [TimeStretch(factor=f, engine="sox") for f in (0.8, 0.95, 1.05, 1.25)]
    + [PitchShift(n_semitones=n, engine="sox") for n in (-3, -1, 1, 3)],
    ids=repr,
)
@pytest.mark.parametrize("hiss", [0.0, 0.02])
def test_sox_loses_some_clicks_and_keeps_the_others_within_30_ms(augmentation, hiss):
    heard = []
    for seed, sr in enumerate((8000, 16000, 22050, 44100)):
        x, events = clicks(np.random.default_rng(seed).uniform(0.3, 0.5, 40), sr, hiss)
        y, moved = apply(augmentation, x, events, sr, 0)
        factor = getattr(augmentation, "factor", 1.0)
        assert abs(len(y) - len(x) / factor) <= 1
        found = late(y, moved, sr, 0.1)
        heard.append(found[found[:, 1] > 0.18])
    heard = np.concatenate(heard)
    assert len(heard) > 0.65 * 160
    assert np.abs(heard[:, 0]).max() < 0.03
    assert abs(heard[:, 0].mean()) < 0.018


@needs_sox
@pytest.mark.parametrize("sr", [8000, 22050, 44100])
def test_sox_does_what_the_built_in_engine_does(sr):
    x = (3 * np.sin(2 * np.pi * 440 * np.arange(2 * sr) / sr)).astype(np.float32)  # beyond full scale: nothing is cut
    for kind, name, value, hz in (
        (TimeStretch, "factor", 0.8, 440),
        (TimeStretch, "factor", 1.25, 440),
        (PitchShift, "n_semitones", -2, 392.0),
        (PitchShift, "n_semitones", 2.5, 508.36),
    ):
        lengths = []
        for engine in ("builtin", "sox"):
            y, _ = apply(kind(**{name: value}, engine=engine), x, None, sr, 0)
            middle = y[len(y) // 4 : -len(y) // 4]
            spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 20))
            assert spectrum.argmax() * sr / (1 << 20) == pytest.approx(hz, rel=0.002)
            assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(3, rel=0.05)
            lengths.append(len(y))
        assert abs(lengths[0] - lengths[1]) <= 1


def test_sox_that_is_missing_is_named(monkeypatch, tmp_path):
    x = np.ones(10, np.float32)
    monkeypatch.setenv("PATH", str(tmp_path))
    for augmentation in (TimeStretch(factor=2, engine="sox"), PitchShift(n_semitones=1, engine="sox")):
        with pytest.raises(DatasetError, match="apt-get install sox"):
            apply(augmentation, x, None, 8000, 0)
    (tmp_path / "sox").touch(mode=0o755)
    monkeypatch.setitem(__import__("sys").modules, "sox", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dcasekit\[sox\]'"):
        apply(TimeStretch(factor=2, engine="sox"), x, None, 8000, 0)


# --- events keep their durations -----------------------------------------------------------------------------------------------

SR = 1000
SAMPLES = 3000
END = SAMPLES / SR
SILENCE = np.zeros(SAMPLES, np.float32)
spans = st.tuples(st.integers(0, SAMPLES), st.integers(0, SAMPLES), st.sampled_from("abc"), st.sampled_from([0.3, 1.0]))


def made(drawn):
    return tuple(Event(min(a, b) / SR, max(a, b) / SR, label, weight) for a, b, label, weight in drawn)


event_sets = st.lists(spans, max_size=8).map(made)
shares = st.floats(0, 1, exclude_max=True)


def totals(events, start=0.0, stop=END):
    """Seconds per label and weight inside a window."""
    found = defaultdict(float)
    for event in events:
        if (inside := min(event.offset, stop) - max(event.onset, start)) > 1e-6:
            found[event.label, event.weight] += inside
    return dict(found)


def rows(events):
    return [(e.onset, e.offset) for e in events], [(e.label, e.weight) for e in events]


def equal(one, other):
    (times, labels), (other_times, other_labels) = rows(one), rows(other)
    assert labels == other_labels
    np.testing.assert_allclose(np.reshape(times, (-1, 2)), np.reshape(other_times, (-1, 2)), atol=1e-9)


@given(event_sets)
def test_backwards_twice_is_forwards(events):
    once = Reverse().apply(SILENCE, events, {}, sr=SR)[1]
    assert totals(once) == pytest.approx(totals(events))
    equal(Reverse().apply(SILENCE, once, {}, sr=SR)[1], events)


@given(event_sets, st.floats(-0.5, 0.5))
def test_a_roll_keeps_the_duration_of_every_label_and_can_be_undone(events, share):
    moved = Shift().apply(SILENCE, events, {"share": share}, sr=SR)[1]
    assert totals(moved) == pytest.approx(totals(events))
    assert len(events) <= len(moved) <= 2 * len(events)
    assert all(0 <= event.onset <= event.offset <= END for event in moved)
    back = Shift().apply(SILENCE, moved, {"share": -share}, sr=SR)[1]
    whole = Shift().apply(np.arange(SAMPLES), None, {"share": share}, sr=SR)[0].astype(int)  # which sample is heard when
    for label in "abc":
        np.testing.assert_array_equal(picture(moved, label, SAMPLES), picture(events, label, SAMPLES)[whole])
        np.testing.assert_array_equal(picture(back, label, SAMPLES), picture(events, label, SAMPLES))


@given(event_sets, st.integers(1, 4000), shares)
def test_a_crop_keeps_what_lies_inside(events, samples, at):
    x = np.arange(SAMPLES, dtype=np.float32)
    y, moved = Crop(seconds=samples / SR).apply(x, events, {"at": at}, sr=SR)
    start = int(y[0]) / SR
    assert len(y) == min(samples, SAMPLES)
    np.testing.assert_array_equal(y, np.arange(y[0], y[0] + len(y)))
    assert totals(moved) == pytest.approx(totals(events, start, start + len(y) / SR))
    assert all(event.offset <= len(y) / SR + 1e-9 for event in moved)


@given(event_sets, st.integers(1, 3000), shares, st.floats(0, 1))
def test_a_crop_drops_events_of_which_too_little_is_left(events, samples, at, min_share):
    events = tuple(Event(e.onset, e.offset, f"{number}") for number, e in enumerate(events))
    x = np.arange(SAMPLES, dtype=np.float32)
    y, kept = Crop(seconds=samples / SR, min_share=min_share).apply(x, events, {"at": at}, sr=SR)
    start, stop = int(y[0]) / SR, (int(y[-1]) + 1) / SR
    for event in events:
        inside, length = min(event.offset, stop) - max(event.onset, start), event.offset - event.onset
        if length > 0 and abs(inside - min_share * length) > 2e-6 and abs(inside) > 2e-6:
            assert (event.label in {e.label for e in kept}) == (inside > max(0, min_share * length))


def test_an_event_as_long_as_the_clip_stays_whole_when_it_is_rolled():
    events = (Event(0, END, "a"), Event(0, END - 0.1, "b"))
    moved = Shift().apply(SILENCE, events, {"share": 0.25}, sr=SR)[1]
    assert rows(moved) == ([(0, END), (0.75, END), (0, pytest.approx(0.65))], [("a", 1.0), ("b", 1.0), ("b", 1.0)])


def test_a_fixed_crop_moves_back_where_it_would_reach_past_the_end():
    x = np.arange(SAMPLES, dtype=np.float32)
    crop = Crop(seconds=1, start=2.5)
    assert crop.apply(x, None, crop.draw(np.random.default_rng(0)), sr=SR)[0].tolist() == x[2000:].tolist()
    long = Crop(seconds=5)
    y, moved = long.apply(x, (Event(1, 2, "a"),), long.draw(np.random.default_rng(0)), sr=SR)
    assert (y.tolist(), moved) == (x.tolist(), (Event(1, 2, "a"),))


@settings(max_examples=15)
@given(event_sets, st.floats(0.5, 2))
def test_a_stretch_scales_every_duration(events, factor):
    y, moved = TimeStretch(factor=factor).apply(SILENCE, events, {"factor": factor}, sr=SR)
    scale = len(y) / SAMPLES
    assert scale == pytest.approx(1 / factor, abs=1 / SAMPLES)
    assert totals(moved, 0, 2 * END) == pytest.approx({key: seconds * scale for key, seconds in totals(events).items()})


@settings(max_examples=40)
@given(ours=event_sets, theirs=event_sets, at=shares, samples=st.integers(4, 2 * SAMPLES))
def test_a_mixture_holds_the_events_of_both(tmp_path, ours, theirs, at, samples):
    """Drawn sample by sample, the background's events are in the mixture what they are in the background, wherever that is taken from."""
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLES).astype(np.float32)
    audio.write(tmp_path / "b.wav", noise, SR, subtype="FLOAT")
    write_annotation(tmp_path / "b.jams", theirs, duration=END)
    x = np.full(samples, 0.25, np.float32)
    y, moved = Mix(folder=tmp_path, min_snr=0, max_snr=0).apply(x, ours, {"file": "b.wav", "at": at, "snr": 0.0}, sr=SR)
    assert moved[: len(ours)] == ours
    windows = np.lib.stride_tricks.sliding_window_view(np.tile(noise, 2), 4)[:SAMPLES]
    first = np.argmax(windows @ (y - x)[:4] / np.linalg.norm(windows, axis=1))  # the four samples most like those heard first
    heard = (first + np.arange(samples)) % SAMPLES
    for label in "abc":
        np.testing.assert_array_equal(picture(moved[len(ours) :], label, samples), picture(theirs, label, SAMPLES)[heard])


def picture(events, label, samples):
    """How many events of a label are on, sample by sample."""
    found = np.zeros(samples, int)
    for event in events:
        if event.label == label:
            found[round(event.onset * SR) : round(event.offset * SR)] += 1
    return found


# --- the same seed gives the same files ----------------------------------------------------------------------------------------


class Yard(Dataset):
    """Four strongly labelled clips and a weakly labelled one."""

    task = "detection"
    labels = ("bark", "rain", "horn")
    folds = ("train", "test")
    protocol = TrainValidateTest()
    licence = citation = ""

    def load(self):
        for number in range(4):
            events = (Event(0.1 * number, 0.1 * number + 0.4, "bark"), Event(0.5, 0.9, "horn", 0.5))
            tags = {"bark": 1.0, "horn": 0.5}
            yield Clip(f"{number}", self.root / f"{number}.wav", fold="train" if number else "test", tags=tags, events=events)
        yield Clip("weak", self.root / "0.wav", fold="train", tags={"bark": 1.0})


@pytest.fixture
def yard(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        audio.write(tmp_path / "yard" / f"{number}.wav", rng.normal(0, 0.1, 8000), 8000)
    for name, seconds in (("short", 0.3), ("long", 3)):
        audio.write(tmp_path / "rain" / f"{name}.wav", rng.normal(0, 0.1, round(seconds * 16000)), 16000)
        write_annotation(tmp_path / "rain" / f"{name}.txt", [Event(0, seconds, "rain")])
    return Yard(tmp_path / "yard")


def every(folder):
    return [
        Codec(),
        Codec(format="mp3"),
        Crop(seconds=0.5),
        Gain(min_db=-6, max_db=6),
        LowPass(min_hz=500, max_hz=2000),
        Mix(folder=folder / "rain", min_snr=-5, max_snr=15),
        PitchShift(n_semitones=1),
        Reverb(),
        Reverb(folder=folder / "rain"),
        Reverse(),
        Shift(),
        TimeStretch(factor=0.9),
        WhiteNoise(snr=20),
    ]


def hashes(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_seed_played_again_gives_the_same_audio_and_records_whatever_the_jobs(yard, tmp_path):
    caches = [tmp_path / name for name in ("one", "two", "other")]
    for cache, seed, jobs in zip(caches, (3, 3, 4), (1, 2, 1), strict=True):
        AugmentedDataset(yard, every(tmp_path), seed=seed, cache=cache).process(jobs=jobs)
    one, two, other = map(hashes, caches)
    assert len(one) == 13 * (2 * 5 + 1)  # per copy the audio and its record, per augmentation the list
    assert one == two
    same = {name for name, value in one.items() if other[name.replace("-seed3", "-seed4")] == value and name.endswith(".wav")}
    fixed = {"pitch_shift", "reverse", "time_stretch"}  # nothing is drawn; of the two rooms in a folder, the same may be drawn again
    assert fixed <= {name.partition("augmented/")[2].partition("-")[0] for name in same} <= {*fixed, "reverb"}


@needs_sox
def test_sox_gives_the_same_audio_again(yard, tmp_path):
    for cache, jobs in (("one", 1), ("two", 2)):
        augmentations = [TimeStretch(factor=1.1, engine="sox"), PitchShift(n_semitones=-1, engine="sox")]
        AugmentedDataset(yard, augmentations, cache=tmp_path / cache).process(jobs=jobs)
    assert len(hashes(tmp_path / "one")) == 22
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_copies_of_copies_are_as_if_one_were_applied_after_the_other(yard, tmp_path):
    mix = Mix(folder=tmp_path / "rain", min_snr=0, max_snr=0)
    inner = AugmentedDataset(yard, [mix])
    outer = AugmentedDataset(inner, [Crop(seconds=0.35, start=0.0), TimeStretch(factor=0.5)])
    outer.process()
    clips = {clip.id: clip for clip in outer.clips}
    assert len(clips) == 5 * 2 * 3
    (mixed,), (cropped, slow) = inner.folders, outer.folders
    for clip in yard.clips[:4]:
        once, twice, slower = (clips[f"{clip.id}@{name}"] for name in (mixed, f"{mixed}@{cropped}", f"{mixed}@{slow}"))
        assert once.events[:2] == clip.events
        assert once.tags == {"bark": 1.0, "horn": 0.5, "rain": 1.0}
        assert totals(twice.events, 0, 9) == pytest.approx(totals(once.events, 0, 0.35))
        assert twice.tags == {label: value for label, value in once.tags.items() if label in {event.label for event in twice.events}}
        assert totals(slower.events, 0, 9) == pytest.approx(
            {key: 2 * seconds for key, seconds in totals(once.events, 0, 1).items()}, rel=1e-3
        )
        assert slower.tags == once.tags
        assert twice.extra["parent"] == clip.id
    assert "horn" not in clips[f"0@{mixed}@{cropped}"].tags
    weak = clips[f"weak@{mixed}@{cropped}"]
    assert (weak.events, weak.tags) == (None, {"bark": 1.0, "rain": 1.0})
