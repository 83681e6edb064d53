"""Datasets: files on disk to clips, labels and an evaluation protocol; one dataset per file."""

from typing import Any

from dcasekit import discover
from dcasekit.datasets._base import Dataset
from dcasekit.datasets._mixing import Mixing
from dcasekit.datasets._protocols import CrossValidation, ListedFolds, Split, TrainTest, TrainValidateTest

__all__ = ["CrossValidation", "Dataset", "ListedFolds", "Mixing", "Split", "TrainTest", "TrainValidateTest"]


def __getattr__(name: str) -> Any:
    return discover.attribute("datasets", name)
