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
    """A clip that was misclassified.

    Parameters
    ----------
    clip : its id.
    path : its audio file; ``None``: not known.
    true, predicted : labels.
    confidence : score of the predicted label.
    """

    clip: str
    path: Path | None
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Example:
    """Reference and estimated events of one clip.

    Parameters
    ----------
    clip : its id.
    duration : in seconds.
    reference, estimate : events, without those of weight 0.5 or less in the reference.
    f1 : segment-based F1 of the clip, all labels together.
    """

    clip: str
    duration: float
    reference: tuple[Event, ...]
    estimate: tuple[Event, ...]
    f1: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of two systems on the same clips.

    Parameters
    ----------
    difference : the first system's main number minus the second's.
    interval : ends of its 95 % bootstrap interval.
    p : two-sided p-value of a permutation test.
    """

    difference: float
    interval: tuple[float, float]
    p: float


def plain(value: Any) -> Any:
    """Turn a nested value into JSON values: arrays become lists, NaN and infinity ``None``, and objects of unknown types text.

    Examples
    --------
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
    """Describe counts of `Results.left_out` in words; empty if nothing was left out.

    Parameters
    ----------
    left_out : what -> how many.
    clips : words for the clips that were left out, if it is for another reason.

    Examples
    --------
    >>> describe_left_out({"clips": 2, "labels": 0, "cut": 1})
    "left out: 2 clips whose labels are unknown, 1 reference events cut at their clip's end"
    """
    words = {**_LEFT_OUT, "clips": clips}
    said = [f"{count} {words[name]}" for name, count in left_out.items() if count]
    return f"left out: {', '.join(said)}" if said else ""
