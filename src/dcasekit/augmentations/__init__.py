"""Augmentations: transformed copies of recordings whose labels move along, one transform per file.

``PitchShift``, ``TimeStretch``, ``WhiteNoise``, ``Gain``; their base class ``Augmentation``; and ``AugmentedDataset``, a dataset plus
its copies.
"""

from typing import Any

from dcasekit import discover
from dcasekit.augmentations._base import Augmentation
from dcasekit.augmentations._dataset import AugmentedDataset

__all__ = ["Augmentation", "AugmentedDataset"]


def __getattr__(name: str) -> Any:
    return discover.attribute("augmentations", name)
