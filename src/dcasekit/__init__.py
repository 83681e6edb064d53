"""dcasekit: from a folder of labelled recordings to an honest number, a model you can use, a report you can read.

The way of the data, and of this package:

1. `datasets`: files on disk to `Clip` objects with labels, and the published evaluation protocol.
2. `AugmentedDataset`: the same, with transformed copies whose labels moved along.
3. `features`: audio to an array of frames, stored once.
4. `DataGenerator`, `Scaler`: clips and features to batches.
5. `models`: networks in containers that train, predict `Scores`, and are saved with their front end; `load` one again.
6. `Scores` to `Event` objects, and `metrics`: functions of reference and estimate.
7. `Results`, `Report`: numbers with intervals, as JSON, Markdown and HTML.
8. `recipes`: published systems and baselines, one straight file each. `dcasekit --help` is all of this on the command line.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AugmentedDataset": "augmentations",
    "Clip": "annotations",
    "DataGenerator": "generator",
    "Dataset": "datasets",
    "DcasekitError": "errors",
    "Event": "annotations",
    "FeatureExtractor": "features",
    "ModelContainer": "containers.base",
    "Report": "report",
    "Results": "results",
    "Scaler": "generator.scaler",
    "Scores": "scores",
    "TorchModel": "containers.torch_model",
    "Training": "containers.training",
    "load": "containers.base",
    "to_events": "scores",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - a list of names, all strings


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"dcasekit.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dcasekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
