"""Augmentations: transformed copies of recordings whose labels move along, one transform per file.

Time and pitch: ``TimeStretch``, ``PitchShift``, ``Shift``, ``Reverse``, ``Crop``. Sounds added: ``WhiteNoise``, ``Mix``. The way to the
microphone and after it: ``Gain``, ``Reverb``, ``LowPass``, ``Codec``. Their base class ``Augmentation``; and ``AugmentedDataset``, a
dataset plus its copies. Functions of a batch, such as mix-up, are in `dcasekit.batch_augmentations`.
"""

from typing import Any

from dcasekit.augmentations._dataset import AugmentedDataset
from dcasekit.augmentations.base import Augmentation
from dcasekit.core import discover

__all__ = ["Augmentation", "AugmentedDataset"]


def __getattr__(name: str) -> Any:
    return discover.attribute("augmentations", name)
