"""Where the labels of one data set stand among those of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError


@dataclass(frozen=True)
class Columns:
    """Where the labels of a dataset stand among the columns of targets.

    Attributes
    ----------
    labels : names of all columns.
    places : for each label of the dataset, the numbers of its columns: its own, and that of another label that holds wherever it does.
    """

    labels: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, dataset: Dataset, labels: Sequence[str], also: Mapping[str, str]) -> "Columns":
        """Find the columns of each label of a dataset; parameters and errors as for `DataGenerator.among`."""
        named = [(label, also[label]) if label in also else (label,) for label in dataset.labels]
        if missing := [name for names in named for name in names if name not in labels]:
            raise DatasetError(f"{missing[0]!r} of {dataset.name} is not among the labels {', '.join(labels)}")
        return cls(tuple(labels), tuple(tuple(labels.index(name) for name in names) for names in named))


def spread(known: FloatArray, columns: Columns | None) -> FloatArray:
    """Put the targets of a dataset's labels (..., labels) into their columns; the other columns are NaN, unknown."""
    if columns is None:
        return known
    wide = np.full((*known.shape[:-1], len(columns.labels)), np.nan, np.float32)
    for number, places in enumerate(columns.places):
        for place in places:
            wide[..., place] = np.fmax(wide[..., place], known[..., number])
    return wide
