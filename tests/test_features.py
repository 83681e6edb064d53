"""Laws of features: blocks, grids, windows, settings, and what is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit import audio as audio_files
from dcasekit.annotations import Event, events_to_roll
from dcasekit.errors import FeatureError
from dcasekit.features import (
    MFCC,
    STFT,
    Decibels,
    FeatureExtractor,
    FramesAudio,
    LoopedMel,
    Mel,
    MelSpectrogram,
    NaturalLog,
    RawAudio,
    Spectrogram,
)

SR = 8000
SOUND = (0.1 * np.random.default_rng(0).standard_normal(12_345)).astype(np.float32)

FEATURES = {
    "mel": MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=32)),
    "mel, clip's maximum": MelSpectrogram(sr=SR, audio_win=512, audio_hop=200, log=Decibels(ref="max", top_db=40.0), mel=Mel(bands=20)),
    "mel, natural log": MelSpectrogram(sr=SR, audio_win=400, audio_hop=100, log=NaturalLog(mode="add"), mel=Mel(bands=20)),
    "mel, linear": MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, log=None, mel=Mel(bands=20)),
    "spectrogram, not centred": Spectrogram(sr=SR, audio_win=500, audio_hop=250, stft=STFT(center=False)),
    "spectrogram, zeros": Spectrogram(sr=SR, audio_win=500, audio_hop=250, stft=STFT(pad="constant", power=1)),
    "spectrogram, odd": Spectrogram(sr=SR, audio_win=333, audio_hop=77, stft=STFT(n_fft=501)),
    "spectrogram, hop beyond": Spectrogram(sr=SR, audio_win=256, audio_hop=1000),
    "spectrogram, hop beyond, not centred": Spectrogram(sr=SR, audio_win=256, audio_hop=999, stft=STFT(center=False)),
    "spectrogram, emphasis": Spectrogram(sr=SR, audio_win=480, audio_hop=240, stft=STFT(pre_emphasis=0.97, offset=1e-4)),
    "mfcc": MFCC(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=30), log=Decibels(top_db=80.0)),
    "looped mel": LoopedMel(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=20)),
    "frames of audio": FramesAudio(sr=SR, audio_win=400, audio_hop=160),
    "raw audio": RawAudio(sr=SR, audio_hop=320),
}
EVERY = pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
SPECTRAL = pytest.mark.parametrize(
    "feature", [feature for feature in FEATURES.values() if not isinstance(feature, RawAudio)], ids=list(FEATURES)[:-1]
)


# blocks and frames


@EVERY
@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, len(SOUND)) | st.integers(0, 600), max_size=8), length=st.integers(2000, len(SOUND)))
def test_where_the_audio_is_cut_into_blocks_does_not_matter(feature, cuts, length):
    whole = feature.compute(SOUND[:length])
    blocks = np.split(SOUND[:length], sorted(min(cut, length) for cut in cuts))  # some are empty
    np.testing.assert_allclose(np.concatenate(list(feature.compute_blocks(blocks))), whole, rtol=1e-5, atol=2e-5)


@EVERY
def test_one_sample_at_a_time_is_enough(feature):
    sound = SOUND[:1500]
    single = feature.compute_blocks(sound[i : i + 1] for i in range(len(sound)))
    np.testing.assert_allclose(np.concatenate(list(single)), feature.compute(sound), rtol=1e-5, atol=2e-5)


@SPECTRAL
@given(samples=st.integers(1100, len(SOUND)))
def test_there_are_as_many_frames_as_promised(feature, samples):
    frames = feature.compute(SOUND[:samples])
    n_fft, heard = feature.stft.length(feature.audio_win), samples - (feature.stft.pre_emphasis > 0)
    beyond_first = heard - (n_fft % 2 if feature.stft.center else n_fft)
    assert frames.shape == (1 + beyond_first // feature.audio_hop, feature.dims)
    assert frames.dtype == np.float32
    assert np.isfinite(frames).all()


@SPECTRAL
def test_the_audio_given_is_not_changed(feature):
    sound = SOUND.copy()
    feature.compute(sound)
    np.testing.assert_array_equal(sound, SOUND)


@given(samples=st.integers(1, 3000), hop=st.integers(1, 500))
def test_raw_audio_laid_end_to_end_is_the_audio(samples, hop):
    frames = RawAudio(sr=SR, audio_hop=hop).compute(SOUND[:samples])
    assert frames.shape == (math.ceil(samples / hop), hop)
    np.testing.assert_array_equal(frames.reshape(-1)[:samples], SOUND[:samples])
    assert not frames.reshape(-1)[samples:].any()


@given(gain=st.floats(0.1, 10))
def test_a_louder_sound_is_louder_by_as_many_decibels(gain):
    quiet, loud = (FEATURES["mel"].compute(np.float32(factor) * SOUND) for factor in (1, gain))
    np.testing.assert_allclose(loud - quiet, 20 * np.log10(gain), rtol=0, atol=1e-3)
    relative = [FEATURES["mel, clip's maximum"].compute(np.float32(factor) * SOUND) for factor in (1, gain)]
    np.testing.assert_allclose(relative[1], relative[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("shift", [1, 7])
def test_a_delay_by_whole_hops_moves_the_frames(shift):
    feature = FEATURES["mel"]
    late = np.concatenate([np.zeros(shift * feature.audio_hop, np.float32), SOUND])
    inner = slice(2, -2)  # away from the padded ends
    np.testing.assert_allclose(feature.compute(late)[shift:][inner], feature.compute(SOUND)[inner], rtol=0, atol=1e-4)


def test_silence_is_the_floor():
    silence = np.zeros(4000, np.float32)
    np.testing.assert_allclose(MelSpectrogram(sr=SR, mel=Mel(bands=20)).compute(silence), -100, rtol=1e-6)
    assert (MelSpectrogram(sr=SR, mel=Mel(bands=20), log=Decibels(ref="max", top_db=80.0)).compute(silence) == 0).all()
    np.testing.assert_allclose(MelSpectrogram(sr=SR, mel=Mel(bands=20), log=NaturalLog()).compute(silence), np.log(1e-10), rtol=1e-6)
    for mode in ("add", "zeros"):
        log = NaturalLog(floor=1e-7, mode=mode)
        np.testing.assert_allclose(Spectrogram(sr=SR, log=log).compute(silence), np.log(1e-7), rtol=1e-6)
    assert not MelSpectrogram(sr=SR, mel=Mel(bands=20), log=None).compute(silence).any()


def test_top_db_bounds_how_far_below_the_maximum_a_value_lies():
    levels = FEATURES["mel, clip's maximum"].compute(np.concatenate([SOUND, 1e-4 * SOUND]))
    assert levels.max() == 0
    assert levels.min() == -40


# files


@EVERY
def test_the_feature_of_a_file_is_that_of_its_audio_at_the_feature_s_rate(tmp_path, feature):
    path = audio_files.write(tmp_path / "a.wav", np.stack([SOUND, SOUND[::-1]], axis=1), 11025)
    expected = feature.compute(audio_files.read(path, sr=SR)[0])
    np.testing.assert_allclose(np.concatenate(list(feature.compute_file(path))), expected, rtol=1e-5, atol=1e-3)


def test_a_file_that_is_too_short_is_named(tmp_path):
    path = audio_files.write(tmp_path / "short.wav", SOUND[:100], SR)
    with pytest.raises(FeatureError, match="short.wav: the audio has 100 samples"):
        list(FEATURES["mel"].compute_file(path))


# what is refused


@EVERY
@pytest.mark.parametrize(
    "audio", [np.full(5000, np.nan), np.r_[SOUND, np.inf], np.r_[-np.inf, SOUND], SOUND[None], SOUND[:, None], np.float32(0.5)],
    ids=["nan", "inf", "-inf", "row", "column", "number"],
)  # fmt: skip
def test_what_is_not_mono_and_finite_is_refused(feature, audio):
    with pytest.raises(FeatureError, match="expected mono audio, \\(samples,\\), all finite"):
        feature.compute(audio)


@EVERY
def test_no_audio_is_refused(feature):
    for blocks in ([], [SOUND[:0]], [SOUND[:0], SOUND[:0]]):
        with pytest.raises(FeatureError, match="on_error='skip'"):
            list(feature.compute_blocks(blocks))


@pytest.mark.parametrize(
    ("stft", "needed"),
    [
        (STFT(), 257),  # reflection needs one sample more than half the transform
        (STFT(pad="constant"), 200),
        (STFT(center=False), 512),
        (STFT(n_fft=256), 200),
        (STFT(n_fft=256, center=False), 256),
    ],
)
def test_a_clip_shorter_than_a_window_is_refused_and_one_as_long_is_not(stft, needed):
    feature = Spectrogram(sr=SR, audio_win=200, audio_hop=100, stft=replace(stft, n_fft=stft.n_fft or 512))
    assert len(feature.compute(SOUND[:needed])) >= 1
    for blocks in ([SOUND[: needed - 1]], [SOUND[:100], SOUND[100 : needed - 1]]):
        with pytest.raises(FeatureError, match=f"has {needed - 1} samples, fewer than the {needed} of one window"):
            list(feature.compute_blocks(blocks))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: MelSpectrogram(audio_win=0), "audio_win must be a positive int \\(samples\\); got 0"),
        (lambda: MelSpectrogram(audio_hop=0.01), "audio_hop must be a positive int \\(samples\\); got 0.01"),
        (lambda: MelSpectrogram(sr=22050.0), "sr must be a positive int \\(Hz\\)"),
        (lambda: MelSpectrogram(audio_hop=True), "audio_hop"),
        (lambda: MelSpectrogram(sequence_time=0), "positive seconds"),
        (lambda: MelSpectrogram(sequence_hop_time=-1.0), "positive seconds"),
        (lambda: MelSpectrogram(least_real=1.0), "least_real, .* must be in \\[0, 1\\); got 1.0"),
        (lambda: MelSpectrogram(least_real=-0.1), "least_real"),
        (lambda: STFT(window="kaiser"), "window .* 'hann', 'hamming', 'blackman', 'rectangular'; got 'kaiser'"),
        (lambda: STFT(pad="zeros"), "pad .* 'reflect', 'constant'; got 'zeros'"),
        (lambda: STFT(power=3), "power .* 1, 2; got 3"),
        (lambda: Mel(scale="HTK"), "scale .* 'slaney', 'htk'; got 'HTK'"),
        (lambda: Mel(norm="area"), "norm .* 'slaney', 'peak', 'slaney_squared', None; got 'area'"),
        (lambda: Decibels(amin=0), "amin > 0"),
        (lambda: Decibels(amin=1e-60), "amin > 0"),
        (lambda: Decibels(amin=math.nan), "amin of Decibels must be a finite number; got nan"),
        (lambda: Decibels(ref=0), "ref > 0"),
        (lambda: Decibels(ref="maximum"), "'max'"),
        (lambda: Decibels(top_db=-1.0), "top_db >= 0"),
        (lambda: NaturalLog(floor=0), "positive"),
        (lambda: NaturalLog(floor=-1e-3), "positive"),
        (lambda: NaturalLog(mode="max"), "'clip', 'add', 'zeros'; got 'max'"),
        (lambda: MFCC(coefficients=0), "coefficients"),
        (lambda: MFCC(coefficients=41, mel=Mel(bands=40)), "from 1 to the number of mel bands, 40; got 41"),
        (lambda: Spectrogram(audio_win=1024, stft=STFT(n_fft=512)), "n_fft must be at least audio_win = 1024"),
        (lambda: MelSpectrogram(sr=SR, mel=Mel(fmax=4001.0)), "sr / 2 = 4000.0 Hz"),
        (lambda: MelSpectrogram(sr=SR, mel=Mel(fmin=3000.0, fmax=3000.0)), "fmin < fmax"),
        (lambda: MelSpectrogram(sr=SR, mel=Mel(bands=0)), "bands > 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(make, complaint):
    with pytest.raises(FeatureError, match=complaint):
        make()


# settings


@EVERY
def test_settings_survive_json(feature):
    again = type(feature).from_settings(json.loads(json.dumps(feature.settings)))
    assert again == feature
    assert again.fingerprint == feature.fingerprint
    np.testing.assert_array_equal(again.compute(SOUND), feature.compute(SOUND))


def test_an_unknown_setting_is_refused_and_the_known_ones_listed():
    with pytest.raises(FeatureError, match="MelSpectrogram: .*'n_mels'.* Its settings are: sequence_time, .*audio_hop.*mel"):
        MelSpectrogram.from_settings({"n_mels": 40})


CHANGES = [
    {"audio_win": 1000},
    {"audio_hop": 512},
    {"sr": 16000},
    *(
        {"stft": stft}
        for stft in (STFT(n_fft=2048), STFT(window="hamming"), STFT(periodic=False), STFT(center=False), STFT(pad="constant"))
    ),
    *({"stft": stft} for stft in (STFT(power=1), STFT(pre_emphasis=0.97), STFT(offset=2**-52))),
    *({"mel": mel} for mel in (Mel(bands=40), Mel(scale="htk"), Mel(norm="peak"), Mel(norm=None), Mel(fmin=50.0), Mel(fmax=8000.0))),
    *({"log": log} for log in (None, Decibels(ref="max"), Decibels(amin=1e-5), Decibels(top_db=80.0), Decibels(ref=2.0))),
    *({"log": log} for log in (NaturalLog(), NaturalLog(floor=1e-7), NaturalLog(mode="add"), NaturalLog(mode="zeros"))),
]


def test_no_two_settings_share_a_fingerprint():
    made = [
        MelSpectrogram(),
        *(replace(MelSpectrogram(), **change) for change in CHANGES),
        Spectrogram(),
        MFCC(),
        MFCC(coefficients=13),
        RawAudio(),
    ]
    assert len({feature.fingerprint for feature in made}) == len(made)
    for feature in made:
        assert feature.fingerprint.startswith(("mel_spectrogram-", "spectrogram-", "mfcc-", "raw_audio-"))


@EVERY
@pytest.mark.parametrize(
    "change", [{"sequence_time": 3.0}, {"sequence_time": None}, {"sequence_hop_time": 0.1}, {"least_real": 0.5}], ids=str
)
def test_how_windows_are_cut_is_not_part_of_the_fingerprint(feature, change):
    assert replace(feature, **change).fingerprint == feature.fingerprint
    assert replace(feature, **change) != feature


def test_a_feature_of_one_s_own_has_a_fingerprint_of_its_own():
    class Spectrogram2(Spectrogram):
        pass

    assert Spectrogram2().fingerprint.startswith(f"{__name__}.")
    assert Spectrogram2().fingerprint.rpartition("-")[0] != Spectrogram().fingerprint.rpartition("-")[0]


# windows


@EVERY
@pytest.mark.parametrize("seconds", [1.0, 3.3])
@pytest.mark.parametrize("change", [{}, {"sequence_time": None}, {"sequence_time": 0.7, "sequence_hop_time": 0.2}], ids=str)
def test_the_shape_told_is_the_shape_made(feature, seconds, change):
    feature = replace(feature, **change)
    made = feature.compute(np.zeros(round(seconds * SR), np.float32))
    grid = feature.grid(len(made), seconds)
    assert feature.get_shape(seconds) == (len(grid.starts), feature.sequence_frames or grid.frames, made.shape[1])


@pytest.mark.parametrize("settings", [{"audio_hop": 680}, {"audio_hop": 512}, {"audio_hop": 882, "audio_win": 1764, "sr": 44100}], ids=str)
def test_the_grid_of_windows_does_not_drift_in_ten_minutes(settings):
    """A click at a window's first instant is in the window's first frame, and its label is there, too."""
    feature = MelSpectrogram(**settings, mel=Mel(bands=4, fmin=100.0))
    samples = 600 * feature.sr
    sound = np.zeros(samples, np.float32)
    frames = 1 + samples // feature.audio_hop
    starts = np.array(feature.grid(frames, 600.0).starts)[3:-3:97]
    sound[starts * feature.audio_hop] = 1
    loud = np.concatenate(list(feature.compute_blocks(np.split(sound, 10)))).max(axis=1)
    assert len(loud) == frames
    peaks = np.flatnonzero((loud[1:-1] > loud[:-2]) & (loud[1:-1] > loud[2:])) + 1
    np.testing.assert_array_equal(peaks, starts)
    edges = np.arange(frames + 1) * feature.audio_hop / feature.sr
    events = [Event(edges[first], edges[first + feature.sequence_frames], "click") for first in starts]
    roll = events_to_roll(events, ["click"], edges)[:, 0]
    onsets = np.flatnonzero(np.diff(roll, prepend=0) > 0)
    np.testing.assert_array_equal(onsets, starts)
    assert roll.sum() == len(starts) * feature.sequence_frames


def test_the_paper_s_defaults_have_the_shape_it_states():
    assert Spectrogram(sequence_time=1.0, sequence_hop_time=0.5, audio_win=1024, audio_hop=512, sr=22050).get_shape() == (20, 43, 513)


def test_the_base_class_alone_is_no_feature():
    with pytest.raises(TypeError, match="abstract"):
        FeatureExtractor()
