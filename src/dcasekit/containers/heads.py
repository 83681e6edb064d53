"""The heads of a network that answers several tasks."""

from dataclasses import dataclass

from dcasekit.features.base import FeatureExtractor
from dcasekit.generator.scaler import Scaler


@dataclass(frozen=True)
class Head:
    """What one head of a network answers, and the front end it is asked with.

    Parameters
    ----------
    labels : of its outputs.
    shape : (frames, dims) of its windows.
    features, scaler : its front end; ``None``: it learned from arrays.
    """

    labels: tuple[str, ...]
    shape: tuple[int, int]
    features: FeatureExtractor | None = None
    scaler: Scaler | None = None
