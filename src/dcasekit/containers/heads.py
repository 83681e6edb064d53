"""The heads of a network that answers several tasks."""

from dataclasses import dataclass

from dcasekit.features.base import FeatureExtractor
from dcasekit.generator.scaler import Scaler


@dataclass(frozen=True)
class Head:
    """The labels of one head of a network, and the input that it was trained on.

    Parameters
    ----------
    labels : names of the head's outputs, in order.
    shape : (frames, dims) of one input window.
    features, scaler : front end that made the training windows; ``None``: the head was trained on arrays.
    """

    labels: tuple[str, ...]
    shape: tuple[int, int]
    features: FeatureExtractor | None = None
    scaler: Scaler | None = None
