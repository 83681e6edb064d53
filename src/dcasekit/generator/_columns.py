"""Where the labels of one data set stand among those of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError


@dataclass(frozen=True)
class Columns:
    """Columns of targets.

    Attributes
    ----------
    labels : all of them.
    places : of each label of the data set, the columns that it is known by: its own, and those of what it stands for.
    """

    labels: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, dataset: Dataset, labels: Sequence[str], also: Mapping[str, str]) -> "Columns":
        """Find the places; see `DataGenerator.among`."""
        named = [(label, also[label]) if label in also else (label,) for label in dataset.labels]
        if missing := [name for names in named for name in names if name not in labels]:
            raise DatasetError(f"{missing[0]!r} of {dataset.name} is not among the labels {', '.join(labels)}")
        return cls(tuple(labels), tuple(tuple(labels.index(name) for name in names) for names in named))


def spread(known: FloatArray, columns: Columns | None) -> FloatArray:
    """Put what is known of a data set's labels (..., labels) into their columns; the others are NaN."""
    if columns is None:
        return known
    wide = np.full((*known.shape[:-1], len(columns.labels)), np.nan, np.float32)
    for number, places in enumerate(columns.places):
        for place in places:
            wide[..., place] = np.fmax(wide[..., place], known[..., number])
    return wide
