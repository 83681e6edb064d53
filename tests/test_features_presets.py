"""Published front ends by name, against their maths written out in float64: nothing of dcasekit, of librosa or of torchaudio."""

from dataclasses import replace

import numpy as np
import pytest

from dcasekit import Scaler, load
from dcasekit import audio as audio_files
from dcasekit.core import discover
from dcasekit.errors import FeatureError
from dcasekit.features import (
    STFT,
    FeatureExtractor,
    FramesAudio,
    LoopedMel,
    Mel,
    MelSpectrogram,
    RawAudio,
    presets,
    published,
)
from dcasekit.features._resample import resample_sinc
from dcasekit.models import CompactCNN

PRESETS = presets()
EPS = 2.0**-52


# the maths


def make_sounds(sr, seconds=1.2):
    count = round(sr * seconds)
    time = np.arange(count) / sr
    noise = 0.1 * np.random.default_rng(0).standard_normal(count)
    sounds = {
        "noise": noise,
        "sine": 0.5 * np.sin(2 * np.pi * 1000.3 * time),
        "chirp": 0.5 * np.sin(2 * np.pi * (100 * time + 0.4 * sr / seconds / 2 * time**2)),
        "padded": np.concatenate([np.zeros(count // 3), noise[: count // 3], np.zeros(count // 3)]),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


def cosine_window(length, a, n_fft, *, periodic=True):
    """``a - (1 - a) cos``, between zeros."""
    window = np.zeros(n_fft)
    start = (n_fft - length) // 2
    for n in range(length):
        window[start + n] = a - (1 - a) * np.cos(2 * np.pi * n / (length if periodic else length - 1))
    return window


def frames_of(audio, window, hop, pad):
    """Weighted frames (frames, n_fft); ``pad`` None: they begin at t * hop."""
    n_fft = len(window)
    if pad is None:
        return np.stack([audio[t * hop : t * hop + n_fft] * window for t in range(1 + (len(audio) - n_fft) // hop)])
    half = n_fft // 2
    beyond = np.zeros((2, half)) if pad == "zeros" else np.stack([audio[half:0:-1], audio[-2 : -half - 2 : -1]])
    padded = np.concatenate([beyond[0], audio, beyond[1]])
    return np.stack([padded[t * hop : t * hop + n_fft] * window for t in range(1 + len(audio) // hop)])


def transform(audio, window, hop, pad):
    """The absolute values of spectra: (frames, bins)."""
    return np.abs(np.fft.rfft(frames_of(audio, window, hop, pad), axis=1))


def slaney_mel(f):
    return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)


def slaney_hz(m):
    return 200 * m / 3 if m < 15 else 1000 * np.exp((m - 15) * np.log(6.4) / 27)


def htk_mel(f):
    return 2595 * np.log10(1 + f / 700)


def htk_hz(m):
    return 700 * (10 ** (m / 2595) - 1)


def triangles(sr, n_fft, bands, fmin, fmax, to_mel, to_hz, *, over=lambda f: f):
    """Corners (bands + 2,) in Hz, and triangles of height 1, straight over a scale: (bands, bins)."""
    corners = [to_hz(to_mel(fmin) + (to_mel(fmax) - to_mel(fmin)) * i / (bands + 1)) for i in range(bands + 2)]
    filters = np.zeros((bands, n_fft // 2 + 1))
    for i in range(bands):
        left, top, right = (over(f) for f in corners[i : i + 3])
        for k in range(n_fft // 2 + 1):
            f = over(k * sr / n_fft)
            if left < f <= top:
                filters[i, k] = (f - left) / (top - left)
            elif top < f < right:
                filters[i, k] = (right - f) / (right - top)
    return np.array(corners), filters


def with_area(corners, filters):
    return filters * (2 / (corners[2:] - corners[:-2]))[:, None]


def slaney_filters(sr, n_fft, bands, fmin, fmax):
    return with_area(*triangles(sr, n_fft, bands, fmin, fmax, slaney_mel, slaney_hz))


def htk_filters(sr, n_fft, bands, fmax=None):
    return triangles(sr, n_fft, bands, 0, fmax or sr / 2, htk_mel, htk_hz)[1]


def decibels(energy):
    levels = 10 * np.log10(np.maximum(energy, 1e-10))
    return np.maximum(levels, levels.max() - 80)


# the published front ends: audio in float64, at their rate


def dcase_util(audio, sr, bands):
    magnitude = transform(audio + EPS, cosine_window(int(0.04 * sr), 0.54, 2048), int(0.02 * sr), "reflect")
    return np.log(magnitude @ slaney_filters(sr, 2048, bands, 0, sr / 2).T + EPS)


def dcase2018_task4(audio):
    return dcase_util(audio, 44100, 64)


def asc_tutorial(audio):
    return dcase_util(audio, 48000, 40)


def dcase2023_task4b(audio):
    return transform(audio, cosine_window(17640, 0.5, 17640), 8820, "zeros") @ slaney_filters(44100, 17640, 64, 50, 14000).T


def dcasenet(audio):
    emphasised = np.array([audio[n + 1] - 0.97 * audio[n] for n in range(len(audio) - 1)])
    energy = transform(emphasised, cosine_window(960, 0.54, 2048), 480, "reflect") ** 2 @ htk_filters(24000, 2048, 128).T
    return np.log(np.where(energy == 0, 1e-7, energy))


def dcase_models(audio):
    filters = with_area(*triangles(22050, 1024, 64, 0, 11025, htk_mel, htk_hz))
    return decibels(transform(audio, cosine_window(1024, 0.5, 1024), 680, None) ** 2 @ filters.T)


def desed2023(audio):
    return np.clip(20 * np.log10(np.maximum(desed2023_linear(audio), 1e-5)), -50, 80)


def desed2023_linear(audio):
    return transform(audio, cosine_window(2048, 0.54, 2048, periodic=False), 256, "reflect") @ htk_filters(16000, 2048, 128).T


def dcase2024_task1(audio):
    return np.log(transform(audio, cosine_window(3072, 0.5, 4096), 500, "reflect") ** 2 @ htk_filters(32000, 4096, 256).T + 1e-5)


def efficient_at(audio):
    """Kaldi's triangles are straight over the mel scale, which is HTK's; the last band ends at 15 kHz."""
    filters = triangles(32000, 1024, 128, 0, 15000, htk_mel, htk_hz, over=htk_mel)[1]
    spectrum = transform(audio[1:] - 0.97 * audio[:-1], cosine_window(800, 0.5, 1024, periodic=False), 320, "reflect")
    return np.log(spectrum**2 @ filters.T + 1e-5)


def sb_cnn(audio):
    filters = with_area(*triangles(44100, 1024, 128, 0, 22050, htk_mel, htk_hz))
    return decibels(transform(audio, cosine_window(1024, 0.5, 1024), 1024, None) ** 2 @ filters.T)


def sb_cnn_sed(audio):
    filters = with_area(*triangles(44100, 2048, 128, 0, 22050, htk_mel, htk_hz))
    return decibels(transform(audio, cosine_window(1764, 0.5, 2048), 882, "reflect") ** 2 @ filters.T)


def a_crnn(audio):
    bands = transform(audio, cosine_window(2048, 0.5, 2048), 1024, "reflect") @ slaney_filters(44100, 2048, 40, 0, 22050).T
    return np.log(np.where(bands == 0, 1e-10, bands))


def google(audio, floor):
    """Frames of 400 samples from t * 160 on, then zeros; we have the window in the middle of 512 samples: 56 later."""
    filters = triangles(16000, 512, 64, 125, 7500, htk_mel, htk_hz, over=htk_mel)[1]
    window = cosine_window(400, 0.5, 400)
    late = audio[56:]
    frames = np.stack([late[t * 160 : t * 160 + 400] * window for t in range(1 + (len(audio) - 512) // 160)])
    return np.log(np.abs(np.fft.rfft(frames, 512, axis=1)) @ filters.T + floor)


def vggish(audio):
    return google(audio, 0.01)


def yamnet(audio):
    return google(audio, 0.001)


def smel(audio):
    return frames_of(audio, cosine_window(1024, 0.5, 1024, periodic=False), 512, "reflect")


def mst(audio):
    return np.pad(audio, (0, -len(audio) % 512)).reshape(-1, 512)


WRITTEN_OUT = {
    function.__name__: function
    for function in (
        *(dcase2018_task4, dcase2023_task4b, asc_tutorial, dcasenet, dcase_models, desed2023, desed2023_linear, dcase2024_task1),
        *(efficient_at, sb_cnn, sb_cnn_sed, a_crnn, vggish, yamnet, smel, mst),
    )
}


def test_every_preset_is_written_out_here():
    assert WRITTEN_OUT.keys() == PRESETS.keys()


@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_the_published_numbers(name, sound):
    feature = FeatureExtractor.preset(name)
    audio = make_sounds(feature.sr, max(1.2, 3.3 * (feature.audio_hop > 4000)))[sound]
    expected, found = WRITTEN_OUT[name](audio.astype(np.float64)), feature.compute(audio)
    assert found.shape == expected.shape
    linear = name in ("dcase2023_task4b", "desed2023_linear", "smel", "mst")
    close = np.isclose(found, expected, rtol=1e-5 if linear else 0, atol=2e-7 if name == "smel" else 1e-12 if linear else 1e-3)
    if name == "dcasenet" and sound in ("sine", "chirp"):  # differences of float32 samples: 130 dB below a tone that shows
        close |= expected < expected.max() - 18.4
        assert np.abs(found - expected).max() < 0.1
    assert close.all()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_it_is_from_and_which_scaler_follows(name):
    preset = PRESETS[name]
    assert len(preset.source) > 20
    if preset.scaler is not None:
        assert Scaler(preset.scaler).normalizer == preset.scaler
    feature = FeatureExtractor.preset(name)
    assert discover.address(type(feature)) == preset.feature
    assert feature.from_settings(feature.settings) == feature


@pytest.mark.parametrize(
    ("name", "window", "hop", "count"),
    [
        ("dcase2018_task4", 500, 500, 1),
        ("dcase2023_task4b", 200, 200, 1),
        ("asc_tutorial", 500, 500, 1),
        ("dcasenet", 250, 125, 3),
        ("dcase_models", 32, 16, 20),
        ("desed2023", 625, 625, 1),
        ("desed2023_linear", 625, 625, 1),
        ("dcase2024_task1", 64, 64, 10),
        ("efficient_at", 1000, 1000, 1),
        ("sb_cnn", 129, 43, 8),
        ("sb_cnn_sed", 50, 25, 19),
        ("a_crnn", 256, 256, 2),
        ("vggish", 96, 96, 11),
        ("yamnet", 96, 48, 20),
        ("smel", 43, 43, 10),
        ("mst", 43, 43, 10),
    ],
)
def test_a_preset_has_the_published_windows_and_as_many_of_ten_seconds(name, window, hop, count):
    feature = FeatureExtractor.preset(name)
    assert (feature.sequence_frames, feature.sequence_hop) == (window, hop)
    assert feature.get_shape(10.0) == (count, window, feature.dims)


def test_presets_are_changed_by_keywords():
    feature = MelSpectrogram.preset("dcasenet", sequence_time=1.0, mel=Mel(bands=64))
    assert feature == replace(MelSpectrogram.preset("dcasenet"), sequence_time=1.0, mel=Mel(bands=64))
    with pytest.raises(FeatureError, match=r"unknown setting 'n_mels'\. Did you mean mel=Mel\(bands=\.\.\.\)\?"):
        MelSpectrogram.preset("dcasenet", n_mels=64)
    assert type(RawAudio.preset("mst")) is RawAudio


def test_an_unknown_preset_is_met_with_the_nearest_and_all_names():
    with pytest.raises(
        FeatureError, match=r"no preset of features named 'dcase2018'\. Did you mean 'dcase2018_task4'\? Known: dcase2018_task4, "
    ):
        MelSpectrogram.preset("dcase2018")
    with pytest.raises(FeatureError, match="'smel' is a preset of FramesAudio, not of MelSpectrogram: write FramesAudio.preset"):
        MelSpectrogram.preset("smel")
    with pytest.raises(FeatureError, match="LoopedMel needs log=Decibels"):
        LoopedMel.preset("dcasenet")


# per window, and the rate


def test_dcasenet_s_windows_are_normalised_per_band():
    """Specification C.4: unbiased deviation, at least 0.001."""
    feature = MelSpectrogram.preset("dcasenet")
    crop = feature.compute(make_sounds(24000, 2)["noise"])[:90]
    found = Scaler(PRESETS["dcasenet"].scaler).transform(crop[None])[0]
    for band in range(0, 128, 17):
        values = crop[:, band].astype(np.float64)
        deviation = np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - 1))
        np.testing.assert_allclose(found[:, band], (values - values.mean()) / max(deviation, 0.001), atol=1e-5)


def slow_sinc(audio, original, target):
    """Torchaudio's ``resample``: six zero crossings of a sinc with roll-off 0.99 under a Hann window, one output at a time."""
    cutoff = 0.99 * min(original, target)
    made = []
    for n in range(-(-len(audio) * target // original)):
        time = np.arange(len(audio)) / original - n / target
        turns = time * cutoff
        weights = np.where(np.abs(turns) < 6, np.sinc(turns) * np.cos(np.pi * turns / 12) ** 2, 0)
        made.append((audio * weights).sum() * cutoff / original)
    return np.array(made)


@pytest.mark.parametrize(("original", "target"), [(44100, 24000), (44100, 16000), (22050, 44100), (8000, 48000), (16000, 15999), (3, 2)])
@pytest.mark.parametrize("samples", [1, 7, 700])
def test_sinc_resampling_is_torchaudio_s_however_the_audio_is_cut(original, target, samples):
    rng = np.random.default_rng(samples)
    audio = rng.normal(0, 0.1, samples).astype(np.float32)
    whole = np.concatenate(list(resample_sinc([audio], original, target)))
    expected = slow_sinc(audio.astype(np.float64), original, target)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-7)
    blocks = np.split(audio, sorted(rng.integers(0, samples + 1, 6)))
    np.testing.assert_array_equal(np.concatenate(list(resample_sinc(blocks, original, target))), whole)


def test_a_file_is_resampled_as_the_feature_says(tmp_path):
    sound = make_sounds(44100, 1.1)["noise"]
    path = audio_files.write(tmp_path / "a.wav", sound, 44100, subtype="FLOAT")
    sinc = RawAudio(sr=24000, audio_hop=240, resampler="sinc")
    found = np.concatenate(list(sinc.compute_file(path))).ravel()[: round(1.1 * 24000)]
    np.testing.assert_allclose(found[:400], slow_sinc(sound[:1200].astype(np.float64), 44100, 24000)[:400], rtol=0, atol=1e-6)
    soxr = replace(sinc, resampler="soxr")
    assert np.abs(np.concatenate(list(soxr.compute_file(path))).ravel()[: len(found)] - found).max() > 1e-3
    assert soxr.fingerprint != sinc.fingerprint


# models


MODELS = discover.names("models")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_built_with_the_windows_of_its_published_front_end(name):
    kind = discover.load("models", name)
    feature = published(kind) or MelSpectrogram()
    if kind.published_front_end is not None:
        assert published(name) == feature == FeatureExtractor.preset(kind.published_front_end)
    task = getattr(getattr(kind, "PUBLISHED_FOR", None), "task", "classification")
    model = kind().build((feature.sequence_frames, feature.dims), ["a", "b"], task=task)
    assert model.shape == (feature.sequence_frames, feature.dims)


def test_models_with_a_published_front_end_say_so():
    without = {name for name in MODELS if discover.load("models", name).published_front_end is None}
    assert without == {
        "compact_cnn",
        "open_l3",
        "sklearn.logistic_regression",
        "sklearn.nearest_neighbours",
        "sklearn.random_forest",
        "sklearn.svm",
    }


# torchaudio


@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
@pytest.mark.parametrize(("sr", "n_fft", "hop", "bands"), [(22050, 1024, 512, 64), (16000, 400, 200, 32)])
def test_the_front_end_of_torchaudio(sound, sr, n_fft, hop, bands):
    """``MelSpectrogram``'s defaults: energy, HTK bands of height 1, reflection at the ends, no logarithm."""
    audio = make_sounds(sr)[sound]
    expected = transform(audio.astype(np.float64), cosine_window(n_fft, 0.5, n_fft), hop, "reflect") ** 2 @ htk_filters(sr, n_fft, bands).T
    feature = MelSpectrogram(sr=sr, audio_win=n_fft, audio_hop=hop, mel=Mel(bands=bands, scale="htk", norm=None), log=None)
    np.testing.assert_allclose(feature.compute(audio), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("center", [True, False])
def test_frames_of_audio_are_what_is_transformed(center):
    sound = make_sounds(8000)["noise"]
    feature = FramesAudio(sr=8000, audio_win=400, audio_hop=160, stft=STFT(n_fft=512, window="hamming", center=center))
    expected = frames_of(sound.astype(np.float64), cosine_window(400, 0.54, 512), 160, "reflect" if center else None)
    np.testing.assert_allclose(feature.compute(sound), expected, rtol=1e-6, atol=1e-9)
    assert feature.dims == 512


def test_the_scaler_of_windows_travels_with_a_model_from_file_to_scores(tmp_path):
    features = MelSpectrogram.preset("dcasenet", sequence_time=0.5, sequence_hop_time=0.25, mel=Mel(bands=16, scale="htk", norm=None))
    model = CompactCNN(filters=(4, 4, 4, 4)).build((features.sequence_frames, features.dims), ("dog", "rain"), task="tagging")
    model.features, model.scaler = features, Scaler("window")
    path = audio_files.write(tmp_path / "a.wav", make_sounds(44100, 2)["noise"], 44100)
    [expected] = model.predict([path])
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.scaler.to_dict() == {"normalizer": "window"}
    assert again.features == features
    np.testing.assert_allclose(again.predict([path])[0].values, expected.values, atol=1e-6)
    louder = audio_files.write(tmp_path / "louder.wav", 3 * make_sounds(44100, 2)["noise"], 44100, subtype="FLOAT")
    np.testing.assert_allclose(again.predict([louder])[0].values, expected.values, atol=1e-3)  # a gain is a constant in every band
