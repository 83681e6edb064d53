"""Datasets: files on disk to clips, labels and an evaluation protocol; one dataset per file."""

from typing import Any

from dcasekit.core import discover
from dcasekit.datasets._layout import Layout
from dcasekit.datasets._mixing import Mixing
from dcasekit.datasets._problems import Problem
from dcasekit.datasets._protocols import CrossValidation, ListedFolds, Split, TrainTest, TrainValidateTest
from dcasekit.datasets._tables import listed_path, read_table
from dcasekit.datasets.base import Dataset

__all__ = [
    "CrossValidation", "Dataset", "Layout", "ListedFolds", "Mixing", "Problem", "Split", "TrainTest", "TrainValidateTest", "listed_path",
    "read_table",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return discover.attribute("datasets", name)
