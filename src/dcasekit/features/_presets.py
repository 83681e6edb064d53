"""Published front ends by name: the settings of a feature, the windows it is cut into, and how its values are rescaled.

Facts were read in the published code that `source` names, unless `unverified` says otherwise.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dcasekit.core.units import Hz, Seconds
from dcasekit.errors import FeatureError
from dcasekit.features._log import Decibels, NaturalLog
from dcasekit.features._mel import Mel
from dcasekit.features._stft import STFT

_EPS = 2.0**-52


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published front end.

    Parameters
    ----------
    source : the system that it was published with, and what it computes.
    feature : name of the feature.
    settings : settings of the feature, including those of its windows.
    scaler : `normalizer` of the `Scaler` to use after it; ``None``: none.
    unverified : what could not be checked in published code, or differs from it; empty if there is nothing.
    """

    source: str
    feature: str = "mel_spectrogram"
    settings: Mapping[str, Any] = field(default_factory=dict)
    scaler: str | None = None
    unverified: str = ""


def presets() -> Mapping[str, Preset]:
    """Return all published front ends: name -> `Preset`, with its source, settings and scaler."""
    return _PRESETS


def find_preset(name: str) -> Preset:
    """Find a preset by its name.

    Raises
    ------
    FeatureError : there is no preset of this name; the message lists all names.
    """
    if name not in _PRESETS:
        close = difflib.get_close_matches(name, _PRESETS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise FeatureError(f"no preset of features named {name!r}.{hint} Known: {', '.join(_PRESETS)}")
    return _PRESETS[name]


def _state_windows(sr: Hz, audio_hop: int, *, time: Seconds, hop: Seconds | None = None) -> dict[str, Any]:
    return {"sr": sr, "audio_hop": audio_hop, "sequence_time": time, "sequence_hop_time": hop or time}


# dcase_util's MelExtractor; its frames are padded as librosa < 0.9 does, which was current then.
_DCASE_UTIL = STFT(n_fft=2048, window="hamming", power=1, offset=_EPS)
_DCASE_UTIL_LOG = NaturalLog(floor=_EPS, mode="add")
# Google's: frames begin at t * hop; ours see 56 samples (3.5 ms) less of the beginning, as a frame has its window in its middle.
_GOOGLE = {"audio_win": 400, "stft": STFT(n_fft=512, center=False, power=1)}
_GOOGLE_MEL = Mel(bands=64, scale="htk", norm=None, fmin=125.0, fmax=7500.0, straight_in="mel")
_LIBROSA_DB = Decibels(top_db=80.0)

_DESED = {
    **_state_windows(16000, 256, time=10.0),
    "audio_win": 2048,
    "stft": STFT(window="hamming", periodic=False, power=1),
    "mel": Mel(bands=128, scale="htk", norm=None, fmax=8000.0),
}

_PRESETS: Mapping[str, Preset] = {
    "dcase2018_task4": Preset(
        source="DCASE 2018 task 4, baseline (Serizel et al. 2018): 64 bands each 20 ms, windows of 500 frames",
        settings={
            **_state_windows(44100, 882, time=10.0),
            "audio_win": 1764,
            "stft": _DCASE_UTIL,
            "log": _DCASE_UTIL_LOG,
        },
        scaler="standard",
        unverified="the published deviation is that of a sample (n - 1), ours that of all frames (n)",
    ),
    "dcase2023_task4b": Preset(
        source="DCASE 2023 task 4B, baseline (Martín-Morató et al. 2023): 64 bands each 200 ms, not logarithmic, windows of 200 frames",
        settings={
            **_state_windows(44100, 8820, time=40.0),
            "audio_win": 17640,
            "stft": STFT(power=1, pad="constant"),
            "mel": Mel(fmin=50.0, fmax=14000.0),
            "log": None,
        },
        scaler="standard",
        unverified="the published windows reach over the borders of files",
    ),
    "asc_tutorial": Preset(
        source="acoustic scene classification with dcase_util, tutorial (Heittola): 40 bands each 20 ms at 48 kHz, windows of 500 frames",
        settings={
            **_state_windows(48000, 960, time=10.0),
            "audio_win": 1920,
            "stft": _DCASE_UTIL,
            "mel": Mel(bands=40),
            "log": _DCASE_UTIL_LOG,
        },
    ),
    "dcasenet": Preset(
        source="DcaseNet (Jung et al. 2021): 128 bands each 20 ms at 24 kHz, windows of 5 s, of which 10 s give three as published",
        settings={
            **_state_windows(24000, 480, time=5.0, hop=2.5),
            "audio_win": 960,
            "resampler": "sinc",
            "stft": STFT(n_fft=2048, window="hamming", pre_emphasis=0.97),
            "mel": Mel(bands=128, scale="htk", norm=None),
            "log": NaturalLog(floor=1e-7, mode="zeros"),
        },
        scaler="window",
        unverified="a published window has 251 frames, the last centred at its end; digital silence is floored for tagging alone",
    ),
    "dcase_models": Preset(
        source="DCASE-models, defaults (Zinemanas et al. 2020): 64 bands each 31 ms, windows of 1 s",
        settings={
            **_state_windows(22050, 680, time=1.0, hop=0.5),
            "stft": STFT(center=False),
            "mel": Mel(scale="htk"),
            "log": _LIBROSA_DB,
        },
        scaler="minmax",
        unverified="published files are padded by one window's reflection, and their left channel is taken",
    ),
    "desed2023": Preset(
        source="DCASE 2023 task 4A, mean-teacher baseline (DESED_task): 128 bands each 16 ms, windows of 10 s",
        settings={**_DESED, "log": Decibels(amin=10**-2.5)},  # published: 1e-5, then cut to [-50, 80] dB; audio in [-1, 1] has no 80
        scaler="window_minmax",
        unverified="a published window has 626 frames, the last centred at its end; audio was resampled beforehand",
    ),
    "desed2023_linear": Preset(
        source="the same before the logarithm, which CRNN2023A takes itself: windows are mixed as magnitudes",
        settings={**_DESED, "log": None},
        unverified="as of desed2023",
    ),
    "dcase2024_task1": Preset(
        source="DCASE 2024 task 1, baseline (CP-Mobile): 256 bands each 15.6 ms at 32 kHz, clips of 1 s",
        settings={
            **_state_windows(32000, 500, time=1.0),
            "audio_win": 3072,
            "resampler": "sinc",
            "stft": STFT(n_fft=4096),
            "mel": Mel(bands=256, scale="htk", norm=None),
            "log": NaturalLog(floor=1e-5, mode="add"),
        },
        unverified="a published window has 65 frames, the last centred at its end",
    ),
    "efficient_at": Preset(
        source="EfficientAT (Schmid et al. 2023): 128 bands each 10 ms at 32 kHz, windows of 10 s",
        settings={
            **_state_windows(32000, 320, time=10.0),
            "audio_win": 800,
            "stft": STFT(n_fft=1024, periodic=False, pre_emphasis=0.97),
            "mel": Mel(bands=128, scale="htk", norm=None, fmax=15000.0, straight_in="mel"),
            "log": NaturalLog(floor=1e-5, mode="add"),
        },
    ),
    "sb_cnn": Preset(
        source="SB-CNN on UrbanSound8K, notebook of DCASE-models (Salamon, Bello 2017): 128 bands each 23 ms at 44.1 kHz, windows of 3 s",
        settings={
            **_state_windows(44100, 1024, time=3.0, hop=1.0),
            "stft": STFT(center=False),
            "mel": Mel(bands=128, scale="htk", allow_empty=True),
            "log": _LIBROSA_DB,
        },
        scaler="minmax",
        unverified="the paper's own code was not public: it had windows of 128 frames",
    ),
    "sb_cnn_sed": Preset(
        source="URBAN-SED (Salamon et al. 2017): 128 bands each 20 ms at 44.1 kHz, windows of 50 frames",
        settings={
            **_state_windows(44100, 882, time=1.0, hop=0.5),
            "audio_win": 1764,
            "stft": STFT(n_fft=2048),
            "mel": Mel(bands=128, scale="htk"),
            "log": _LIBROSA_DB,
        },
        scaler="standard",
    ),
    "a_crnn": Preset(
        source="SEDnet of TUT Sound Events 2017 (Adavanne et al. 2017): 40 bands each 23 ms at 44.1 kHz, windows of 256 frames",
        settings={
            **_state_windows(44100, 1024, time=256 * 1024 / 44100),
            "audio_win": 2048,
            "stft": STFT(power=1),
            "mel": Mel(bands=40),
            "log": NaturalLog(floor=1e-10, mode="zeros"),
        },
        scaler="standard",
        unverified="the published code has no floor: digital silence gives minus infinity",
    ),
    "vggish": Preset(
        source="VGGish (Hershey et al. 2017): 64 bands each 10 ms at 16 kHz, windows of 96 frames",
        settings={
            **_state_windows(16000, 160, time=0.96),
            **_GOOGLE,
            "mel": _GOOGLE_MEL,
            "log": NaturalLog(floor=0.01, mode="add"),
        },
    ),
    "yamnet": Preset(
        source="YAMNet (Google, tensorflow/models): 64 bands each 10 ms at 16 kHz, windows of 96 frames each 0.48 s",
        settings={
            **_state_windows(16000, 160, time=0.96, hop=0.48),
            **_GOOGLE,
            "mel": _GOOGLE_MEL,
            "log": NaturalLog(floor=0.001, mode="add"),
        },
    ),
    "smel": Preset(
        source="SMel on URBAN-SED (Zinemanas et al. 2019): frames of 1024 samples each 23 ms at 22.05 kHz, windows of 1 s",
        feature="frames_audio",
        settings={**_state_windows(22050, 512, time=1.0), "audio_win": 1024, "stft": STFT(periodic=False)},
        unverified="each published window is divided by its maximum, and reflected at its own ends, not at the recording's",
    ),
    "mst": Preset(
        source="MST on URBAN-SED (Zinemanas et al. 2019): the waveform at 22.05 kHz, windows of 1 s",
        feature="raw_audio",
        settings=_state_windows(22050, 512, time=1.0),
        unverified="each published window is divided by its maximum",
    ),
}
