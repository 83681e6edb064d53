"""Features against librosa's numbers in float64."""

from dataclasses import replace

import librosa
import numpy as np
import pytest

from dcasekit.features import MFCC, STFT, Decibels, Mel, MelSpectrogram, Spectrogram
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


def test_squared_bands_are_the_target_of_smel():
    """What its filters are to answer, but for the factor alpha: they divide the energy by the number of bins."""
    from dcasekit.models import SMel

    feature = MelSpectrogram(sr=SR, audio_win=1024, audio_hop=512, mel=Mel(bands=40, scale="htk", norm="slaney_squared"))
    pieces = SOUNDS["noise"][: 22 * 512].reshape(1, 22, 512)
    wanted = SMel(audio_win=1024, alpha=513.0).target(pieces, bands=40)[0]
    np.testing.assert_allclose(feature.compute(pieces.ravel())[:22], wanted, atol=1e-3)
