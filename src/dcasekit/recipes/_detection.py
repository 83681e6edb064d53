"""A detector's section in a report: tested on its dataset's test fold, in segments of 1 s."""

import time
from collections.abc import Mapping
from pathlib import Path

from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets import Dataset
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator import DataGenerator
from dcasekit.report import Published, Section, Sizes


def test(
    name: str,
    model: TorchModelContainer,
    dataset: Dataset,
    features: FeatureExtractor,
    *,
    published: Mapping[str, Published],
    saved: Path,
    began: float,
) -> Section:
    """Save a model and test it; the section reports micro F1 and error rate in segments of 1 s.

    Parameters
    ----------
    name : name of the section.
    model : the trained model.
    dataset, features : what it is tested on, the fold ``"test"`` of the dataset.
    published : published numbers; the section shows those whose names start with its own.
    saved : folder for the model.
    began : when training began, by `time.perf_counter`.
    """
    model.save(saved)
    results = model.evaluate(DataGenerator(dataset, features, folds=["test"], train=False))
    return Section(
        name=name,
        folds={"test": results},
        histories={"test": model.history},
        model={"class": type(model).__name__, **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        measures={number: results.numbers[number] for number in ("f1/micro", "error_rate/micro")},
        intervals={"f1/micro": results.interval},
        published={system: one for system, one in published.items() if system.startswith(name)},
        sizes={"test": Sizes(len(dataset.select(["train"])), len(dataset.select(["validate"])))},
        saved=saved,
    )
