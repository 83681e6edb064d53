"""What `Results` answers with, and how that becomes JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.annotations import Event


@dataclass(frozen=True)
class Mistake:
    """A clip that was classified wrongly; `confidence` is the score of the predicted label."""

    clip: str
    path: Path | None
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Example:
    """Reference and estimated events of one clip, and its segment-based F1 (NaN if it holds no event)."""

    clip: str
    duration: float
    reference: tuple[Event, ...]
    estimate: tuple[Event, ...]
    f1: float


@dataclass(frozen=True)
class Comparison:
    """What two systems' main numbers differ by on the same clips, its 95 % interval, and the p-value of a permutation test."""

    difference: float
    interval: tuple[float, float]
    p: float


def plain(value: Any) -> Any:
    """Turn a nested value into what JSON knows: arrays into lists, NaN and infinity into ``None``, the unknown into text.

    >>> plain({"f1": np.float64("nan"), "at": Path("a/b.wav"), "n": np.arange(2)})
    {'f1': None, 'at': 'a/b.wav', 'n': [0, 1]}
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":  # at once: a confusion matrix of 3,000 labels has 9,000,000 cells
        known = np.isfinite(value)
        if known.all():
            return value.tolist()
        cells = value.astype(object)
        cells[~known] = None
        return cells.tolist()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


_LEFT_OUT = {
    "clips": "clips whose labels are unknown",
    "strangers": "estimated clips that are not in the reference",
    "labels": "unknown labels of clips",
    "other": "events of labels that are not evaluated",
    "events": "reference events of weight 0.5 or less",
    "cut": "reference events cut at their clip's end",
}


def describe_left_out(left_out: Mapping[str, int], *, clips: str = _LEFT_OUT["clips"]) -> str:
    """Say what was left out, empty if nothing was; `clips` says why clips are.

    >>> describe_left_out({"clips": 2, "labels": 0, "cut": 1})
    "left out: 2 clips whose labels are unknown, 1 reference events cut at their clip's end"
    """
    words = {**_LEFT_OUT, "clips": clips}
    said = [f"{count} {words[name]}" for name, count in left_out.items() if count]
    return f"left out: {', '.join(said)}" if said else ""
