"""Features against other people's numbers: librosa in float64, and the published front ends written out from their maths."""

from dataclasses import replace

import librosa
import numpy as np
import pytest

from dcasekit.features import MFCC, STFT, Decibels, Mel, MelSpectrogram, NaturalLog, Spectrogram
from dcasekit.features._mel import mel_basis

SR = 22050
WINDOWS = {"hann": "hann", "hamming": "hamming", "blackman": "blackman", "rectangular": "boxcar"}


def make_sounds(sr, seconds=1.2):
    count = round(sr * seconds)
    time = np.arange(count) / sr
    noise = 0.1 * np.random.default_rng(0).standard_normal(count)
    return {
        "noise": noise,
        "sine": 0.5 * np.sin(2 * np.pi * 1000.3 * time),
        "low sine": 0.9 * np.sin(2 * np.pi * 97 * time),
        "sines": 0.3 * np.sin(2 * np.pi * 440 * time) + 0.003 * np.sin(2 * np.pi * 3000 * time),
        "chirp": 0.5 * np.sin(2 * np.pi * (100 * time + 0.4 * sr / seconds / 2 * time**2)),
        "padded": np.concatenate([np.zeros(count // 3), noise[: count // 3], np.zeros(count // 3)]),
        "faint": 1e-4 * noise,
    }


SOUNDS = {name: sound.astype(np.float32) for name, sound in make_sounds(SR).items()}
SOUND = pytest.mark.parametrize("sound", SOUNDS)


def librosa_levels(feature, audio):
    """What librosa makes of the same settings, in float64 throughout: (bands, frames)."""
    stft, log = feature.stft, feature.log
    n_fft = stft.length(feature.audio_win)
    values = (
        np.abs(
            librosa.stft(
                audio.astype(np.float64),
                n_fft=n_fft,
                hop_length=feature.audio_hop,
                win_length=feature.audio_win,
                window=WINDOWS[stft.window],
                center=stft.center,
                pad_mode=stft.pad,
            )
        )
        ** stft.power
    )
    if (mel := getattr(feature, "mel", None)) is not None:
        settings = {"n_mels": mel.bands, "fmin": mel.fmin, "fmax": mel.fmax, "htk": mel.scale == "htk", "dtype": np.float64}
        basis = librosa.filters.mel(sr=feature.sr, n_fft=n_fft, norm="slaney" if mel.norm == "slaney" else None, **settings)
        values = (basis / basis.max(axis=1, keepdims=True) if mel.norm == "peak" else basis) @ values
    to_db = librosa.power_to_db if stft.power == 2 else librosa.amplitude_to_db
    return to_db(values, ref=np.max if log.ref == "max" else log.ref, amin=log.amin, top_db=log.top_db)


STFTS = {
    "default": (1024, 512, STFT()),
    "paper's hop": (1024, 680, STFT()),
    "librosa's defaults": (2048, 512, STFT(pad="constant")),
    "not centred": (1024, 512, STFT(center=False)),
    "short window": (800, 300, STFT(n_fft=2048, window="hamming")),
    "odd window, not centred": (801, 400, STFT(n_fft=1024, window="blackman", center=False)),
    "no power of two": (882, 441, STFT(n_fft=882, pad="constant")),
    "magnitude": (1024, 512, STFT(power=1)),
    "rectangular": (1024, 512, STFT(window="rectangular")),
}
LOGS = {
    "plain": Decibels(),
    "librosa's": Decibels(top_db=80.0),
    "ref max": Decibels(ref="max"),
    "both": Decibels(ref="max", top_db=60.0),
    "ref and amin": Decibels(ref=0.5, amin=1e-5),
}
MELS = {
    "default": Mel(),
    "htk": Mel(scale="htk"),
    "no norm": Mel(norm=None),
    "torch": Mel(scale="htk", norm=None, bands=40),
    "peak": Mel(norm="peak"),
    "range": Mel(bands=32, fmin=150.0, fmax=8000.0),
    "htk range": Mel(bands=32, scale="htk", fmin=300.0, fmax=7000.0),
}


def check(feature, sound):
    audio = SOUNDS[sound]
    expected = librosa_levels(feature, audio).T
    found = feature.compute(audio)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    error = np.abs(found - expected)
    assert error.max() < 1e-3
    assert error[expected > expected.max() - 60].max() < 1e-4


@SOUND
@pytest.mark.parametrize("settings", STFTS)
@pytest.mark.parametrize("kind", [Spectrogram, MelSpectrogram])
def test_spectra_are_librosa_s(kind, settings, sound):
    win, hop, stft = STFTS[settings]
    check(kind(sr=SR, audio_win=win, audio_hop=hop, stft=stft), sound)


@SOUND
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("kind", [Spectrogram, MelSpectrogram])
def test_decibels_are_librosa_s(kind, log, power, sound):
    check(kind(sr=SR, audio_hop=512, stft=STFT(power=power), log=LOGS[log]), sound)


@SOUND
@pytest.mark.parametrize("mel", MELS)
def test_mel_bands_are_librosa_s(mel, sound):
    check(MelSpectrogram(sr=SR, audio_hop=512, stft=STFT(n_fft=2048), mel=MELS[mel]), sound)


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize(("sr", "n_fft"), [(22050, 2048), (44100, 2048), (16000, 1024)])
def test_mel_filters_are_librosa_s(mel, sr, n_fft):
    mel = replace(MELS[mel], fmax=None)
    settings = {"n_mels": mel.bands, "fmin": mel.fmin, "htk": mel.scale == "htk", "dtype": np.float64}
    expected = librosa.filters.mel(sr=sr, n_fft=n_fft, norm="slaney" if mel.norm == "slaney" else None, **settings).T
    if mel.norm == "peak":
        expected /= expected.max(axis=0)
    np.testing.assert_allclose(mel_basis(mel, sr, n_fft), expected, rtol=1e-5, atol=1e-9)


@SOUND
@pytest.mark.parametrize(("coefficients", "bands", "scale"), [(20, 128, "slaney"), (13, 40, "htk"), (40, 40, "slaney")])
def test_mfcc_are_librosa_s(sound, coefficients, bands, scale):
    feature = MFCC(
        sr=SR,
        audio_win=2048,
        audio_hop=512,
        stft=STFT(pad="constant"),
        mel=Mel(bands=bands, scale=scale),
        log=Decibels(top_db=80.0),
        coefficients=coefficients,
    )
    expected = librosa.feature.mfcc(S=librosa_levels(feature, SOUNDS[sound]), n_mfcc=coefficients).T
    np.testing.assert_allclose(feature.compute(SOUNDS[sound]), expected, rtol=0, atol=1e-3)


# The published front ends, from their maths: nothing of dcasekit and nothing of librosa below this line but the last comparison.

EPS = 2.0**-52


def cosine_window(length, a, n_fft):
    """Periodic ``a - (1 - a) cos``, between zeros."""
    window = np.zeros(n_fft)
    start = (n_fft - length) // 2
    for n in range(length):
        window[start + n] = a - (1 - a) * np.cos(2 * np.pi * n / length)
    return window


def transform(audio, window, hop, pad):
    """The absolute values of centred spectra: (frames, bins)."""
    n_fft = len(window)
    half = n_fft // 2
    beyond = np.zeros((2, half)) if pad == "zeros" else np.stack([audio[half:0:-1], audio[-2 : -half - 2 : -1]])
    padded = np.concatenate([beyond[0], audio, beyond[1]])
    frames = [padded[t * hop : t * hop + n_fft] * window for t in range(1 + len(audio) // hop)]
    return np.abs(np.fft.rfft(frames, axis=1))


def slaney_mel(f):
    return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)


def slaney_hz(m):
    return 200 * m / 3 if m < 15 else 1000 * np.exp((m - 15) * np.log(6.4) / 27)


def htk_mel(f):
    return 2595 * np.log10(1 + f / 700)


def htk_hz(m):
    return 700 * (10 ** (m / 2595) - 1)


def triangles(sr, n_fft, bands, fmin, fmax, to_mel, to_hz):
    """Corners (bands + 2,) in Hz, and triangles of height 1: (bands, bins)."""
    corners = [to_hz(to_mel(fmin) + (to_mel(fmax) - to_mel(fmin)) * i / (bands + 1)) for i in range(bands + 2)]
    filters = np.zeros((bands, n_fft // 2 + 1))
    for i in range(bands):
        left, top, right = corners[i : i + 3]
        for k in range(n_fft // 2 + 1):
            f = k * sr / n_fft
            if left < f <= top:
                filters[i, k] = (f - left) / (top - left)
            elif top < f < right:
                filters[i, k] = (right - f) / (right - top)
    return np.array(corners), filters


def slaney_filters(sr, n_fft, bands, fmin, fmax):
    corners, filters = triangles(sr, n_fft, bands, fmin, fmax, slaney_mel, slaney_hz)
    return filters * (2 / (corners[2:] - corners[:-2]))[:, None]


def of_loud_parts(expected, below):
    """Where values are at most so much below the maximum."""
    return expected > expected.max() - below


@pytest.mark.parametrize(
    ("win", "hop", "bands", "peak"), [(1764, 882, 64, False), (1764, 882, 40, False), (1920, 960, 40, False), (1764, 882, 40, True)]
)
@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
def test_the_front_end_of_dcase_util(win, hop, bands, peak, sound):
    """DCASE 2018 task 4 (64 bands) and the tutorial's defaults (40 bands): specification A.2 and D.2."""
    sr = win * 25
    audio = make_sounds(sr)[sound].astype(np.float32)
    filters = slaney_filters(sr, 2048, bands, 0, sr / 2)
    if peak:
        filters /= filters.max(axis=1, keepdims=True)
    magnitude = transform(audio.astype(np.float64) + EPS, cosine_window(win, 0.54, 2048), hop, "reflect")
    expected = np.log(magnitude @ filters.T + EPS)
    feature = MelSpectrogram(
        sr=sr,
        audio_win=win,
        audio_hop=hop,
        stft=STFT(n_fft=2048, window="hamming", power=1, offset=EPS),
        mel=Mel(bands=bands, norm="peak" if peak else "slaney"),
        log=NaturalLog(floor=EPS, mode="add"),
    )
    found = feature.compute(audio)
    assert found.shape == (1 + len(audio) // hop, bands)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    if sound == "padded":
        assert found[3].max() < -30, "silence is about -36"


@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
def test_the_front_end_of_dcase_2023_task_4b(sound):
    """400 ms windows, magnitude, zeros beyond the ends, no logarithm: specification B.2."""
    audio = make_sounds(44100, 3.3)[sound].astype(np.float32)
    magnitude = transform(audio.astype(np.float64), cosine_window(17640, 0.5, 17640), 8820, "zeros")
    expected = magnitude @ slaney_filters(44100, 17640, 64, 50, 14000).T
    feature = MelSpectrogram(
        sr=44100,
        audio_win=17640,
        audio_hop=8820,
        stft=STFT(n_fft=17640, power=1, pad="constant"),
        mel=Mel(fmin=50.0, fmax=14000.0),
        log=None,
    )
    found = feature.compute(audio)
    assert found.shape == (1 + len(audio) // 8820, 64)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
def test_the_front_end_of_dcasenet(sound):
    """Pre-emphasis, power, HTK bands, logarithm with zeros replaced, each band normalised over the crop: specification C.4."""
    audio = make_sounds(24000)[sound].astype(np.float32)
    double = audio.astype(np.float64)
    emphasised = np.array([double[n + 1] - 0.97 * double[n] for n in range(len(double) - 1)])
    power = transform(emphasised, cosine_window(960, 0.54, 2048), 480, "reflect") ** 2
    energy = power @ triangles(24000, 2048, 128, 0, 12000, htk_mel, htk_hz)[1].T
    expected = np.log(np.where(energy == 0, 1e-7, energy))
    feature = MelSpectrogram(
        sr=24000,
        audio_win=960,
        audio_hop=480,
        stft=STFT(n_fft=2048, window="hamming", pre_emphasis=0.97),
        mel=Mel(bands=128, scale="htk", norm=None),
        log=NaturalLog(floor=1e-7, mode="zeros"),
    )
    found = feature.compute(audio)
    assert found.shape == (1 + (len(audio) - 1) // 480, 128)
    # Pre-emphasis takes differences of float32 samples: 130 dB below a tone that shows.
    np.testing.assert_allclose(found[of_loud_parts(expected, 18.4)], expected[of_loud_parts(expected, 18.4)], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 if sound in ("noise", "padded") else 0.1)

    def normalised(crop):
        return (crop - crop.mean(axis=0)) / np.maximum(crop.std(axis=0, ddof=1), 0.001)

    if sound != "sine":  # a steady tone has no variance: what is left is rounding
        crop = slice(5, 45)
        tolerance = 1e-3 if sound in ("noise", "padded") else 0.05
        np.testing.assert_allclose(normalised(found[crop].astype(np.float64)), normalised(expected[crop]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("sound", ["noise", "sine", "chirp", "padded"])
@pytest.mark.parametrize(("sr", "n_fft", "hop", "bands"), [(22050, 1024, 512, 64), (16000, 400, 200, 32)])
def test_the_front_end_of_torchaudio(sound, sr, n_fft, hop, bands):
    """``MelSpectrogram``'s defaults: energy, HTK bands of height 1, reflection at the ends, no logarithm."""
    audio = make_sounds(sr)[sound].astype(np.float32)
    energy = transform(audio.astype(np.float64), cosine_window(n_fft, 0.5, n_fft), hop, "reflect") ** 2
    expected = energy @ triangles(sr, n_fft, bands, 0, sr / 2, htk_mel, htk_hz)[1].T
    feature = MelSpectrogram(
        sr=sr, audio_win=n_fft, audio_hop=hop, stft=STFT(n_fft=n_fft), mel=Mel(bands=bands, scale="htk", norm=None), log=None
    )
    np.testing.assert_allclose(feature.compute(audio), expected, rtol=1e-5, atol=1e-12)
