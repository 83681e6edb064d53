"""Features: audio to an array of frames, one feature per file.

``MelSpectrogram``, ``Spectrogram``, ``MFCC``, ``RawAudio``; their settings ``STFT``, ``Mel``, ``Decibels``, ``NaturalLog``; the base
class ``FeatureExtractor`` and the ``FeatureStore`` on disk.
"""

from typing import Any

from dcasekit.core import discover
from dcasekit.features._log import Decibels, NaturalLog
from dcasekit.features._mel import Mel
from dcasekit.features._stft import STFT
from dcasekit.features._store import FeatureStore
from dcasekit.features.base import FeatureExtractor

__all__ = ["STFT", "Decibels", "FeatureExtractor", "FeatureStore", "Mel", "NaturalLog"]


def __getattr__(name: str) -> Any:
    return discover.attribute("features", name)
