"""The model container: a trainable map from arrays to scores, the same contract for every backend."""

import hashlib
import logging
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import dcasekit
from dcasekit import discover
from dcasekit.containers._data import Arrays, ClipWindows, Data, file_windows
from dcasekit.containers._training import Training
from dcasekit.datasets._base import Task
from dcasekit.errors import DcasekitError, ModelError
from dcasekit.features._base import FeatureExtractor
from dcasekit.files import read_json, replacing, write_json
from dcasekit.generator import DataGenerator
from dcasekit.results import Results, plain
from dcasekit.scaler import Scaler
from dcasekit.scores import Scores
from dcasekit.units import FloatArray, PathLike

_log = logging.getLogger(__name__)

Weights = Mapping[str, NDArray[Any]]
Record = dict[str, float]


@dataclass(kw_only=True, eq=False)
class ModelContainer(ABC):
    """A trainable map from windows of features to scores.

    A model's constructor stores the settings of its architecture; the shape of its input, its labels and task come from the data it is
    trained on (or from `build`).

    Attributes
    ----------
    labels, task, shape : what it answers, and the (frames, dims) of a window; set by `build`.
    features, scaler : the front end it was trained with; it travels with the model.
    history : one record per epoch.
    """

    def __post_init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.task: Task = "classification"
        self.shape: tuple[int, int] = (0, 0)
        self.features: FeatureExtractor | None = None
        self.scaler: Scaler | None = None
        self.history: list[Record] = []
        self.training: dict[str, Any] = {}

    @abstractmethod
    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights.

        Parameters
        ----------
        shape : (frames, dims) of a window.
        labels : names of the outputs.
        task : what the outputs mean: classification ends in a softmax, tagging and detection in sigmoids.
        seed : of the weights.
        """

    @abstractmethod
    def fit(self, data: Data, validation: Data | None, training: Training) -> list[Record]:
        """Train the network; give back one record per epoch. A backend's part of `train`."""

    @abstractmethod
    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows (windows, frames, dims) with probabilities (windows, labels) or (windows, frames, labels)."""

    @abstractmethod
    def weights(self) -> Weights:
        """Give all that was learned, as arrays."""

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Take over what `weights` gave; refuse names or shapes that do not fit."""

    @abstractmethod
    def cost(self) -> dict[str, int]:
        """Count ``parameters`` (trainable), and ``macs``, multiply-accumulates for one window."""

    def train(self, data: Any, validation: Any = None, **settings: Any) -> list[Record]:
        """Train on data, from new weights.

        Parameters
        ----------
        data : a `DataGenerator`, or ``(X, Y)`` as its `get_data` gives.
        validation : the same, to choose the best epoch with; its weights are kept. ``None``: the last epoch's are.
        **settings : see `Training`, which lists all of them with their defaults and refuses any other.

        Returns
        -------
        list of dict : per epoch ``epoch``, ``loss``, ``learning_rate``, ``seconds``, and with validation ``val_loss`` and the task's main
        number. Also kept as ``history``.
        """
        training = Training.of(settings)
        self.labels = ()
        source = self._data(data, training.seed)
        self.build(source.shape, source.labels, task=source.task, seed=training.seed)
        checked = None if validation is None else self._data(validation, training.seed)
        if isinstance(data, DataGenerator):
            self.features, self.scaler = data.features, data.scaler
        self.training = training.to_dict()
        self.history = self.fit(source, checked, training)
        return self.history

    def predict(self, data: Any) -> list[Scores]:
        """Score clips.

        Parameters
        ----------
        data : a `DataGenerator`, an array X, a list of arrays, or a list of audio files.

        Returns
        -------
        list of `Scores`, one per clip: one row per window, or per frame if the network answers frames.
        """
        self._need_network()
        if isinstance(data, str | Path):
            raise ModelError(f"predict takes a list of files; got {str(data)!r}: write predict([{str(data)!r}])")
        if isinstance(data, list | tuple) and data and isinstance(data[0], str | Path):
            return self._answers(self._file_windows(data))
        return self._answers(self._data(data, 0).clip_windows())

    def evaluate(self, data: Any) -> Results:
        """Score clips and compare with the truth: a `DataGenerator`, or ``(X, Y)``."""
        self._need_network()
        source = self._data(data, 0)
        return Results(task=self.task, labels=self.labels, scores=tuple(self._answers(source.clip_windows())), **source.reference())

    def save(self, folder: PathLike) -> Path:
        """Write ``model.json`` and ``weights.safetensors``; nothing in them can run code."""
        from safetensors.numpy import save_file

        self._need_network()
        folder = Path(folder)
        with replacing(folder / "weights.safetensors") as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in self.weights().items()}, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        description = {
            "class": discover.address(type(self)),
            "settings": self.settings,
            "labels": self.labels,
            "task": self.task,
            "shape": self.shape,
            "features": self.features and {"class": discover.address(type(self.features)), "settings": self.features.settings},
            "scaler": self.scaler and self.scaler.to_dict(),
            "training": self.training,
            "history": plain(self.history),
            "weights_sha256": digest,
            "versions": {"dcasekit": dcasekit.__version__, "python": platform.python_version(), "numpy": np.__version__},
        }
        write_json(folder / "model.json", description)
        return folder

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the architecture as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _data(self, data: Any, seed: int) -> Data:
        if isinstance(data, DataGenerator | Arrays):
            return data
        x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        return Arrays(x, y, labels=self.labels or None, task=self.task if self.labels else None, seed=seed)

    def _answers(self, clips: ClipWindows) -> list[Scores]:
        self._need_network()
        return [finish(self.answer(self._fitting(windows))) for windows, finish in clips]

    def _fitting(self, windows: FloatArray) -> FloatArray:
        if windows.shape[2] != self.shape[1]:
            raise ModelError(
                f"the model takes windows of {self.shape[1]} dims; got {windows.shape[2]}: use the features it was trained with"
            )
        return windows

    def _file_windows(self, paths: Sequence[PathLike]) -> Iterator[Any]:
        if self.features is None:
            raise ModelError("the model was trained on arrays and has no front end; train it on a DataGenerator to predict files")
        return file_windows(paths, features=self.features, scaler=self.scaler, labels=self.labels)

    def _need_network(self) -> None:
        if not self.labels:
            raise ModelError(f"this {type(self).__name__} has no network yet; call train() or build() first")


def load(folder: PathLike) -> ModelContainer:
    """Load a model that was saved with `ModelContainer.save`; it predicts from audio files as it is.

    Raises
    ------
    ModelError : a file is missing, damaged, or not the one that was saved.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    folder = Path(folder)
    found = read_json(folder / "model.json", error=ModelError)
    path = folder / "weights.safetensors"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != found["weights_sha256"]:
            raise ModelError(f"{path} is not the file that was saved with {folder / 'model.json'}: its checksum differs; copy both again")
        weights = load_arrays(content)
        container: ModelContainer = _class("models", found["class"], ModelContainer)(**found["settings"])
        container.build(tuple(found["shape"]), found["labels"], task=found["task"])
        container.set_weights(weights)
        if found["features"]:
            feature = _class("features", found["features"]["class"], FeatureExtractor)
            container.features = feature.from_settings(found["features"]["settings"])
        container.scaler = found["scaler"] and Scaler.from_dict(found["scaler"])
        container.history, container.training = found["history"], found["training"]
    except ModelError:
        raise
    except (DcasekitError, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} does not hold a complete model ({type(error).__name__}: {error}); save or copy it again") from error
    return container


def _class(family: str, name: str, base: type) -> Any:
    """Find a class that a model file names; nothing but a model or a feature may be called."""
    found = discover.load(family, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ModelError(f"the model file names {name!r}, which is no {base.__name__}")
    return found
