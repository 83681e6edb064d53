"""Features: audio to an array of frames, one feature per file.

``MelSpectrogram``, ``Spectrogram``, ``MFCC``, ``RawAudio``; their settings ``STFT``, ``Mel``, ``Decibels``, ``NaturalLog``; published
front ends, ``presets()``, which ``MelSpectrogram.preset(name)`` makes and ``published(model)`` finds; the base class ``FeatureExtractor``
and the ``FeatureStore`` on disk.
"""

from typing import Any, cast

from dcasekit.core import discover
from dcasekit.errors import NameNotFoundError
from dcasekit.features._log import Decibels, NaturalLog
from dcasekit.features._mel import Mel
from dcasekit.features._presets import Preset, presets
from dcasekit.features._stft import STFT
from dcasekit.features._store import FeatureStore
from dcasekit.features.base import FeatureExtractor

__all__ = ["STFT", "Decibels", "FeatureExtractor", "FeatureStore", "Mel", "NaturalLog", "Preset", "make_feature", "presets", "published"]


def make_feature(name: str) -> FeatureExtractor:
    """Make a feature extractor by its name.

    Parameters
    ----------
    name : a published front end, one of `presets`; or a feature, which gets its default settings: its module's name or class
        (``"mel_spectrogram"``, ``"MelSpectrogram"``), or ``"package.module:Class"`` for one of your own.

    Raises
    ------
    NameNotFoundError : there is no feature of this name; the message lists all names.

    Examples
    --------
    >>> make_feature("dcasenet") == FeatureExtractor.preset("dcasenet")
    True
    """
    if name in presets():
        return FeatureExtractor.preset(name)
    try:
        return cast("FeatureExtractor", discover.load("features", name)())
    except NameNotFoundError as error:
        raise NameNotFoundError(f"{error} Published front ends: {', '.join(presets())}.") from error


def published(model: Any) -> FeatureExtractor | None:
    """Make the front end that a model was published with, with windows of the length that the network takes.

    Parameters
    ----------
    model : a model, its class, or its name.

    Returns
    -------
    `FeatureExtractor`, or ``None`` if none was published. ``presets()[model.published_front_end].scaler`` names the scaler to use after it.

    Examples
    --------
    >>> published("crnn2018").sequence_frames
    500
    """
    kind = discover.load("models", model) if isinstance(model, str) else model
    name = kind.published_front_end
    return None if name is None else FeatureExtractor.preset(name)


def __getattr__(name: str) -> Any:
    return discover.attribute("features", name)
