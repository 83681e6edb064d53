"""The model container: a trainable map from arrays to scores, the same contract for every backend."""

import copy
import difflib
import hashlib
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

import dcasekit
from dcasekit.containers._backend import Backend, Record, Weights
from dcasekit.containers._data import Arrays, ClipWindows, Data, file_windows
from dcasekit.containers._keras_weights import layers_of, to_torch
from dcasekit.containers._weight_files import lacking, outputs, prefixed, read
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.core.files import read_json, replacing, write_json
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.datasets.base import Task
from dcasekit.errors import DcasekitError, ModelError
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator import DataGenerator
from dcasekit.results import Results, plain
from dcasekit.scaler import Scaler
from dcasekit.scores import Scores

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class ModelContainer(Backend):
    """A trainable map from windows of features to scores.

    A model's constructor stores the settings of its architecture; the shape of its input, its labels and task come from the data it is
    trained on (or from `build`).

    Attributes
    ----------
    labels, task, shape : what it answers, and the (frames, dims) of a window; set by `build`.
    features, scaler : the front end it was trained with; it travels with the model.
    history : one record per epoch.
    published_front_end : name of the preset of features the network was published with, see `FeatureExtractor.preset`; ``None``: none.
    """

    published_front_end: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.task: Task = "classification"
        self.shape: tuple[int, int] = (0, 0)
        self.features: FeatureExtractor | None = None
        self.scaler: Scaler | None = None
        self.history: list[Record] = []
        self.training: dict[str, Any] = {}

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
        source = _source(data, seed=training.seed)
        self.build(source.shape, source.labels, task=source.task, seed=training.seed)
        checked = None if validation is None else self._source(validation, seed=training.seed)
        if isinstance(data, DataGenerator):
            self.features, self.scaler = data.features, data.scaler
        self.training = training.to_dict()
        self.history = self.fit(source, checked, training)
        return self.history

    def fine_tune(
        self, data: Any, validation: Any = None, *, labels: Sequence[str] | None = None, freeze: str = "all", **settings: Any
    ) -> list[Record]:
        """Train on other data from the weights there are, with a new head: the weights whose number depends on the labels.

        Parameters
        ----------
        data, validation : as for `train`. A `DataGenerator` must have the features and the scaler of the model; its windows may be
            shorter or longer if the network takes any.
        labels : of the columns of Y; ``None``: as for `train`.
        freeze : what stays as it is, batch normalisation's running statistics included: ``"all"`` but the head, ``"none"``, or a layer of
            `layers`: all that the forward pass has used when this layer is done.
        **settings : see `Training`.

        Returns
        -------
        list of dict : as of `train`; also kept as ``history``.

        Raises
        ------
        ModelError : the data do not fit the model, or there is no such layer; the model is as before.
        """
        training = Training.of(settings)
        self._need_network()
        self._need_layer(None if freeze in ("all", "none") else freeze)
        source = _source(data, labels=labels, seed=training.seed)
        checked = None if validation is None else _source(validation, labels=source.labels, task=source.task, seed=training.seed)
        for part in (source, checked):
            if part is not None:
                self._check_front_end(part, source.labels if labels is None else tuple(labels))
        tuned, head = _with_new_head(self, source, training.seed)
        frozen = tuple(name for name in tuned.weights() if freeze == "all" and name not in head)
        if freeze not in ("all", "none"):
            frozen = tuned.weights_until(freeze)
        if head.intersection(frozen):
            raise ModelError(f"freeze={freeze!r} would keep the new head ({', '.join(sorted(head))}) from learning; name an earlier layer")
        if isinstance(data, DataGenerator):
            tuned.features, tuned.scaler = data.features, data.scaler
        vars(self).update(vars(tuned))
        self.training = {**training.to_dict(), "freeze": freeze}
        self.history = self.fit(source, checked, training, frozen=frozen)
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
        return self._answers(self._clips(data))

    def embed(self, layer: str, data: Any) -> list[FloatArray]:
        """Give what a layer gives for clips.

        Parameters
        ----------
        layer : one of `layers`.
        data : as for `predict`.

        Returns
        -------
        list of arrays (windows, ...), one per clip.
        """
        self._need_network()
        self._need_layer(layer)
        return [self.activations(self._fitting(windows), layer) for windows, _ in self._clips(data)]

    def evaluate(self, data: Any) -> Results:
        """Score clips and compare with the truth: a `DataGenerator`, or ``(X, Y)``."""
        self._need_network()
        source = self._source(data)
        return Results(task=self.task, labels=self.labels, scores=tuple(self._answers(source.clip_windows())), **source.reference())

    def save(self, folder: PathLike) -> Path:
        """Write ``model.json`` and ``weights.safetensors``; nothing in them can run code."""
        from safetensors.numpy import save_file

        self._need_network()
        folder, weights = Path(folder), {name: np.ascontiguousarray(array) for name, array in self.weights().items()}
        with replacing(folder / "weights.safetensors") as temporary:
            save_file(weights, temporary)
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

    def load_weights(self, path: PathLike, *, labels: Sequence[str] | None = None) -> Self:
        """Take over the weights of another system's file, after `build` for the windows, labels and task that it was made for.

        A file of Keras is matched layer by layer in the order of the forward pass, one of PyTorch by names; models whose published names
        are others translate them, see `published`. Only shapes can be checked: whether the file's network has the same axes (time,
        frequency), activations and front end is for you to know. A head that the file does not hold stays as it is, and a warning is
        logged; all other weights must be there, and no others.

        Parameters
        ----------
        path : see `_weight_files.read` for the kinds of files.
        labels : of the file's outputs, in its order; the model's must be among them, and take their outputs. ``None``: the model's.

        Returns
        -------
        this model; its history and record of training are gone. Its front end is not the file's business: predict from arrays that were
        made as the file's authors made them, or set ``features`` and ``scaler``.

        Raises
        ------
        ModelError : the file cannot be read, or is not of this network; the model is as before.

        Examples
        --------
        ::

            model = OpenL3(embedding_size=6144).build((199, 256), labels, task="tagging")
            model.load_weights("openl3_audio_mel256_music-v0_4_0.h5.gz").fine_tune((X, Y))
        """
        self._need_network()
        arrays = read(path, wanted=sum(array.nbytes for array in self.weights().values()))
        try:
            found, left_out = _fitted(self, arrays, self.labels if labels is None else tuple(labels))
            self.set_weights({**self.weights(), **found})
        except ModelError as error:
            raise ModelError(f"{path} does not fit this {type(self).__name__}: {error}") from error
        if left_out:
            _log.warning("%s holds no %s: the head of this %s stays as it is", path, ", ".join(left_out), type(self).__name__)
        self.history, self.training = [], {}
        return self

    def published(self, arrays: Weights) -> Weights:
        """Give the arrays of a published file the names and axes of this network's weights; a model with other published names overrides.

        Parameters
        ----------
        arrays : as read: those of Keras named "layer/role", in the order of the layers.

        Returns
        -------
        dict : names as of `weights`. `load_weights` checks names and shapes, so one that is not understood may stay as it is.
        """
        return to_torch(layers_of(arrays), self.weights()) if any("/" in name for name in arrays) else arrays

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the architecture as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _source(self, data: Any, *, seed: int = 0) -> Data:
        """Take data for the labels and task of this model."""
        return _source(data, labels=self.labels, task=self.task, seed=seed)

    def _clips(self, data: Any) -> ClipWindows:
        if isinstance(data, str | Path):
            raise ModelError(f"predict takes a list of files, not {str(data)!r}: write predict([{str(data)!r}])")
        if isinstance(data, list | tuple) and data and isinstance(data[0], str | Path):
            if self.features is None:
                raise ModelError("the model was trained on arrays and has no front end; train it on a DataGenerator to predict files")
            return file_windows(data, features=self.features, scaler=self.scaler, labels=self.labels)
        return self._source(data).clip_windows()

    def _answers(self, clips: ClipWindows) -> list[Scores]:
        return [finish(self.answer(self._fitting(windows))) for windows, finish in clips]

    def _fitting(self, windows: FloatArray) -> FloatArray:
        if windows.shape[2] != self.shape[1]:
            raise ModelError(
                f"the model takes windows of {self.shape[1]} dims; got {windows.shape[2]}: use the features it was trained with"
            )
        return windows

    def _check_front_end(self, data: Data, labels: tuple[str, ...]) -> None:
        """Refuse data that are not made as those the model was trained on, or that have other labels than they should."""
        if data.labels != labels:
            raise ModelError(f"the labels asked for are {', '.join(labels)}; the data have {', '.join(data.labels)}")
        if data.shape[1] != self.shape[1]:
            raise ModelError(f"the model takes windows of {self.shape[1]} dims; got {data.shape[1]}: use the features it was trained with")
        if self.features is None or not isinstance(data, DataGenerator):
            return
        if data.features.fingerprint != self.features.fingerprint:
            raise ModelError(f"the model was trained with {self.features}; got data made with {data.features}: use features=model.features")
        if (data.scaler and data.scaler.to_dict()) != (self.scaler and self.scaler.to_dict()):
            raise ModelError("the data must be scaled as those the model was trained on; call data.set_scaler(model.scaler)")

    def _need_layer(self, name: str | None) -> None:
        known = self.layers()
        if name is not None and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ModelError(f"{type(self).__name__} has no layer {name!r}.{hint} Known: {', '.join(known)}")

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


def _source(data: Any, *, labels: Sequence[str] | None = None, task: Task | None = None, seed: int = 0) -> Data:
    """Take what a container trains on: a `DataGenerator`, or arrays, whose labels and task may be given."""
    if isinstance(data, DataGenerator | Arrays):
        return data
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    return Arrays(x, y, labels=labels, task=task, seed=seed)


def _with_new_head(model: ModelContainer, data: Data, seed: int) -> tuple[ModelContainer, set[str]]:
    """Give a copy of a model with new weights where their number depends on the labels, and the names of those."""
    tuned = copy.copy(model).build(data.shape, data.labels, task=data.task, seed=seed)
    new, old, head = tuned.weights(), model.weights(), set(_head(tuned))
    if not head:
        raise ModelError(f"{type(model).__name__} has no head that could be replaced: no weights that grow with the number of labels")
    if misfits := [name for name in new if name not in head and (name not in old or old[name].shape != new[name].shape)]:
        raise ModelError(
            f"windows of {data.shape} (frames, dims) need other weights than the {model.shape} the model was trained on: "
            f"{', '.join(misfits)}; use windows of the same length"
        )
    tuned.set_weights({name: array if name in head else old[name] for name, array in new.items()})
    return tuned, head


def _head(model: ModelContainer) -> dict[str, int]:
    """Name the weights whose number depends on the labels, with the axis of the labels; none if all weights do."""
    weights = model.weights()
    wider = copy.copy(model).build(model.shape, (*model.labels, "one more"), task=model.task).weights()
    if weights.keys() != wider.keys():
        return {}
    sizes = {name: list(zip(array.shape, wider[name].shape, strict=True)) for name, array in weights.items()}
    return {name: axis for name, pairs in sizes.items() for axis, (size, other) in enumerate(pairs) if size != other}


def _fitted(model: ModelContainer, arrays: Weights, labels: tuple[str, ...]) -> tuple[Weights, list[str]]:
    """Make the arrays of a file, whose outputs have these labels, weights of a model; name those of the head that it lacks."""
    rows, source, head = outputs(model.labels, labels), model, dict[str, int]()
    if labels != model.labels:
        source, head, old = copy.copy(model).build(model.shape, labels, task=model.task), _head(model), model.weights()
        source.set_weights({name: array if name in head else old[name] for name, array in source.weights().items()})
    wanted = source.weights()
    found = _named(source, arrays, wanted)
    if source is model and found.keys() != wanted.keys():
        head = _head(model)
    missing = lacking(found, wanted, head)
    if source is model:
        return found, missing
    if missing:
        raise ModelError(f"it holds no {', '.join(missing)}, so it has no outputs that could have labels: leave labels out")
    return {name: array.take(rows, head[name]) if name in head else array for name, array in found.items()}, []


def _named(model: ModelContainer, arrays: Weights, wanted: Weights) -> Weights:
    """Give a file's arrays a model's names, without what stands before all of them if more of them are known then."""
    return max((model.published(each) for each in prefixed(arrays)), key=lambda found: len(found.keys() & wanted.keys()))


def _class(family: str, name: str, base: type) -> Any:
    """Find a class that a model file names; nothing but a model or a feature may be called."""
    found = discover.load(family, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ModelError(f"the model file names {name!r}, which is no {base.__name__}")
    return found
