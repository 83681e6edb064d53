"""The windows of VGGish and YAMNet, both Google's: log mel spectrograms of 0.975 s."""

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.features._log import NaturalLog
from dcasekit.features._mel import Mel, mel_basis
from dcasekit.features._stft import STFT, compute_spectra

_STFT = STFT(n_fft=512, center=False, power=1)
_MEL = Mel(bands=64, scale="htk", norm=None, fmin=125.0, fmax=7500.0, straight_in="mel")


def log_mel_windows(windows: FloatArray, *, floor: float) -> FloatArray:
    """Make windows of audio at 16 kHz (windows, 15600) to ``log(mel + floor)`` (windows, 96, 64)."""
    # A frame's 512 samples have the 400 of the window in their middle, and Google's at their beginning.
    padded = np.pad(windows, ((0, 0), (56, 56)))
    frames = [np.concatenate(list(compute_spectra([audio], stft=_STFT, audio_win=400, audio_hop=160))) for audio in padded]
    return NaturalLog(floor=floor, mode="add").apply(np.stack(frames) @ mel_basis(_MEL, 16000, 512), 1)
