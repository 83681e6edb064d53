"""The model container: a trainable map from arrays to scores, the same contract for every backend."""

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from dcasekit.containers import trained
from dcasekit.containers._backend import Backend, Record, Weights, name_clip
from dcasekit.containers._fitting import check_finite, check_labels, fit_front_end, head_of, only_task, results_of, source_of
from dcasekit.containers._head import fit_weights, replace_head
from dcasekit.containers._keras_weights import layers_of, to_torch
from dcasekit.containers._validation import Validation
from dcasekit.containers._weight_files import read
from dcasekit.containers.calibration import Calibrating
from dcasekit.containers.heads import Head
from dcasekit.containers.saving import Allowed, read_model, write_model
from dcasekit.containers.training import Training
from dcasekit.core.settings import Settings
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.datasets.base import Task
from dcasekit.errors import DcasekitError, ModelError, first_line
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator import RECORDINGS, ClipWindows, Data, DataGenerator, Together, answer_clips, file_windows
from dcasekit.generator.scaler import Scaler
from dcasekit.results import Results
from dcasekit.scores import Scores

Found = TypeVar("Found")

_log = logging.getLogger(__name__)

# What constructors of other libraries ask for, and ours need not know.
_FROM_DATA = {
    **dict.fromkeys(
        ("n_frames", "n_frames_cnn", "n_freqs", "n_freq_cnn", "n_channels", "n_seqs", "input_shape", "in_channels", "sequence_samples"),
        "The shape comes from the data a model is trained on, or from build()",
    ),
    **dict.fromkeys(
        ("n_classes", "num_classes", "classes", "n_labels", "labels"),
        "The labels come from the data a model is trained on, or from build()",
    ),
    "model_path": "Use dcasekit.load(folder) for a saved model",
}


@dataclass(kw_only=True, eq=False)
class ModelContainer(Settings, Calibrating, Backend):
    """A trainable map from windows of features to scores.

    The constructor stores the settings of the architecture only. The shape of the input, the labels and the task come from the data that
    the model is trained on, or from `build`.

    Attributes
    ----------
    labels, task, shape : names of the outputs, what they mean, and the (frames, dims) of a window; set by `build`.
    features, scaler : the front end that made the training data; it is saved with the model. ``None`` after training on arrays.
    history : one record per epoch, as `train` returns.
    calibration : what `calibrate` fitted, applied to all answers; ``None``: not calibrated.
    heads : task -> `Head`, of a network with several heads; `labels`, `task`, `shape`, `features` and `scaler` are those of the first.
    kept : monitor -> weights of its best epoch, after training with several monitors; `set_weights` takes them.
    published_front_end : preset of features that the network was published with, see `FeatureExtractor.preset`; ``None``: there is none.
    """

    published_front_end: ClassVar[str | None] = None
    _error: ClassVar[type[DcasekitError]] = ModelError
    _elsewhere: ClassVar[Mapping[str, str]] = _FROM_DATA

    def __post_init__(self) -> None:
        self._make_plain()
        self.labels: tuple[str, ...] = ()
        self.task: Task = "classification"
        self.shape: tuple[int, int] = (0, 0)
        self.features: FeatureExtractor | None = None
        self.scaler: Scaler | None = None
        self.history: list[Record] = []
        self.training: dict[str, Any] = {}
        self.heads: dict[Task, Head] = {}
        self.kept: dict[str, Weights] = {}
        self.calibration = None

    def train(self, data: Any, validation: Any = None, **settings: Any) -> list[Record]:
        """Train from new weights. Processes that ``torchrun`` started share the work of every batch.

        Parameters
        ----------
        data : a `DataGenerator`; arrays ``(X, Y)`` as its `get_data` returns; or several generators as a `Together`, in which each task
            gets a head of its own.
        validation : a `DataGenerator` or ``(X, Y)``; the weights of the epoch that is best on it are kept. Or a function that takes the
            model and returns numbers by name. ``None``: the weights of the last epoch are kept.
        **settings : fields of `Training`; any other keyword is refused.

        Returns
        -------
        list of dict : for each epoch ``epoch``, ``loss``, ``learning_rate``, ``seconds``; with validation data also ``val_loss`` and the
            main number of the task, or the function's numbers, their names starting with ``val_``. It is also kept as ``history``.
        """
        training = Training.of(settings)
        source = data if isinstance(data, Together) else source_of(data)
        heads = {each.task: head_of(each) for each in (source.heads.values() if isinstance(source, Together) else [source])}
        task, only = next(iter(heads.items()))
        if len(heads) > 1:
            self.build_heads(heads, seed=training.seed)
        else:
            self.build(only.shape, only.labels, task=task, seed=training.seed)
        self.features, self.scaler = only.features, only.scaler
        self.calibration = None
        checked = self._validation(validation)
        self.training = training.to_dict()
        self.history = self.fit(source, checked, training)
        return self.history

    def fine_tune(
        self,
        data: Any,
        validation: Any = None,
        *,
        labels: Sequence[str] | None = None,
        freeze: str = "all",
        head: Literal["new", "same"] = "new",
        **settings: Any,
    ) -> list[Record]:
        """Train the present weights on other data, with a new head: all weights whose shape depends on the number of labels.

        Parameters
        ----------
        data, validation : as for `train`. A `DataGenerator` must have the model's features, and the model's scaler or none; its windows may
            have another length if the network takes any.
        labels : names of the columns of Y, if data are arrays; ``None``: as for `train`.
        freeze : which weights are frozen, with the running statistics of batch normalisation: ``"all"`` but those of the head, ``"none"``,
            or the name of a layer in `layers`: all weights that the forward pass uses up to and including this layer.
        head : ``"new"``, or ``"same"`` to keep the present head, if the data have the model's labels.
        **settings : fields of `Training`.

        Returns
        -------
        list of dict : as `train` returns; also kept as ``history``.

        Raises
        ------
        ModelError : the data do not fit the model, or there is no such layer; the model stays as it was.
        """
        training = Training.of(settings)
        self._need_network()
        self._need_layer(None if freeze in ("all", "none") else freeze)
        given = data if isinstance(data, Together) else source_of(data, labels=labels)
        source = given if not isinstance(given, Together) else only_task(given)
        check_labels(source, source.labels if labels is None else labels)
        source = self._front_end(source)
        if head == "same":
            check_labels(source, self.labels)
        tuned, own = replace_head(self, source, training.seed, keep=head == "same")
        checked = tuned._validation(validation)
        frozen = tuple(name for name in tuned.weights() if freeze == "all" and name not in own)
        if freeze not in ("all", "none"):
            frozen = tuned.weights_until(freeze)
        if own.intersection(frozen):
            raise ModelError(f"freeze={freeze!r} would keep the head ({', '.join(sorted(own))}) from learning; name an earlier layer")
        if isinstance(source, DataGenerator):
            tuned.features, tuned.scaler = source.features, source.scaler
        vars(self).update(vars(tuned))
        self.calibration = None
        self.training = {**training.to_dict(), "freeze": freeze}
        learned = given.changed(self._front_end) if isinstance(given, Together) else source
        self.history = self.fit(learned, checked, training, frozen=frozen)
        return self.history

    def predict(self, data: Any) -> list[Scores]:
        """Score clips.

        Parameters
        ----------
        data : a `DataGenerator`, an array X, a list of arrays, a list of audio files, or a list of `Clip` (its channel is then used).

        Returns
        -------
        list of `Scores`, one per clip: a row per window, or per frame if the network has frame-level outputs.

        Raises
        ------
        DcasekitError : a clip cannot be read or scored; `predict_each` continues with the other clips instead.
        """
        return [_checked(found) for _, found in self.predict_each(data)]

    def predict_each(self, data: Any) -> Iterator[tuple[str, Scores | DcasekitError]]:
        """Score clips one by one, as they are read; memory does not grow with their number, and a faulty clip does not stop the others.

        Parameters
        ----------
        data : as for `predict`.

        Yields
        ------
        id of the clip, or path of the file, and its `Scores`, or the error if it could not be scored; in the order of the data.
        """
        self._need_network()
        for clip, found in answer_clips(self._clips(data), self._answer, size=self._bytes_at_once):
            try:
                yield clip.name, name_clip(clip.name, found) if isinstance(found, Exception) else clip.join(found, self.labels)
            except DcasekitError as error:  # the answers cannot be joined
                yield clip.name, type(error)(f"{clip.name}: {error}")

    def embed(self, layer: str, data: Any) -> list[FloatArray]:
        """Return the output of a layer for clips.

        Parameters
        ----------
        layer : a name in `layers`.
        data : as for `predict`.

        Returns
        -------
        list of arrays (windows, ...), one per clip; the other axes are those of the layer, see `layers`.
        """
        self._need_network()
        self._need_layer(layer)
        looked = answer_clips(self._clips(data), lambda windows: self.activations(self._checked(windows), layer), size=self._bytes_at_once)
        return [_checked(name_clip(clip.name, found) if isinstance(found, Exception) else found) for clip, found in looked]

    def evaluate(self, data: Any) -> Results:
        """Score clips and compare the scores with the truth of a `DataGenerator` or of ``(X, Y)``.

        If the data lack some labels of the model, answering these is wrong in classification; in tagging and detection they are ignored.
        """
        self._need_network()
        if isinstance(data, DataGenerator) and data.task != self.task and data.task in self.heads:
            return self.head(data.task).evaluate(data)
        source = self._fitted(data)
        return results_of(source, self.labels, self.task, self.predict(source))

    def head(self, task: Task) -> Self:
        """Return a copy of the model for one task only, with the weights that the head of this task uses."""
        raise ModelError(f"this {type(self).__name__} has one head, for {self.task}; {task} needs a model of its own")

    def save(self, folder: PathLike, *, half: bool = False) -> Path:
        """Write ``model.json`` and ``weights.safetensors`` into a folder; neither file can run code. `load` reads them.

        With `half`, weights are rounded to float16: half the size, but slightly different scores, so evaluate the loaded model.

        Raises
        ------
        ModelError : there is no network, or `load` would refuse the files; the message says how to correct it.
        StorageError : the folder holds a file with one of these names that dcasekit did not write.
        """
        self._need_network()
        return write_model(self, Path(folder), half=half)

    def load_weights(self, path: PathLike, *, labels: Sequence[str] | None = None) -> Self:
        """Load the weights of a file that another system wrote. Call `build` first, for the windows, labels and task of that system.

        Keras weights are matched layer by layer in the order of the forward pass, PyTorch weights by name; a model whose published names
        differ translates them, see `published`. Only shapes can be checked: you have to know whether the file's network has the same axes
        (time, frequency), activations and front end. A head that is missing in the file stays as it is, with a warning; otherwise the file
        must hold all weights of the network and no others.

        Parameters
        ----------
        path : a file of PyTorch, Keras, NumPy, safetensors or ONNX; `_weight_files.read` lists the kinds.
        labels : names of the file's outputs, in order; the model's labels must be among them. ``None``: the model's own labels.

        Returns
        -------
        this model, without history and record of training. The file holds no front end: predict from arrays that are computed as the
            authors of the file computed theirs, or set ``features`` and ``scaler``.

        Raises
        ------
        ModelError : the file cannot be read, or does not fit this network; the model stays as it was.

        Examples
        --------
        ::

            model = OpenL3(embedding_size=6144).build((199, 256), labels, task="tagging")
            model.load_weights("openl3_audio_mel256_music-v0_4_0.h5.gz").fine_tune((X, Y))
        """
        self._need_network()
        arrays = read(path, wanted=sum(array.nbytes for array in self.weights().values()))
        try:
            found, left_out = fit_weights(self, arrays, self.labels if labels is None else tuple(labels), translate=type(self).published)
            self.set_weights({**self.weights(), **found})
        except ModelError as error:
            raise ModelError(f"{path} does not fit this {type(self).__name__}: {error}") from error
        if left_out:
            _log.warning("%s holds no %s: the head of this %s stays as it is", path, ", ".join(left_out), type(self).__name__)
        self.history, self.training = [], {}
        return self

    def published(self, arrays: Weights) -> Weights:
        """Rename and transpose the arrays of a published file as this network needs them; override it if the published names differ.

        Parameters
        ----------
        arrays : as read from the file; those of Keras are named "layer/role", in the order of the layers.

        Returns
        -------
        dict : name in `weights` -> array. `load_weights` checks names and shapes, so unknown arrays may be returned unchanged.
        """
        return to_torch(layers_of(arrays), self.weights()) if any("/" in name for name in arrays) else arrays

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the architecture as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def _made_from(cls, settings: Mapping[str, Any], network: Any) -> Self:
        """Make the container that was saved with these settings; see `load` for the network."""
        if network is not None:
            raise ModelError(f"{cls.__name__} makes its network itself; leave network out")
        return cls(**settings)

    def _fitted(self, data: Any) -> Data:
        """Take data as this model takes them."""
        return self._front_end(source_of(data, labels=self.labels, task=self.task))

    def _validation(self, validation: Any) -> Validation | None:
        """Take what is measured after each epoch: data of the model's labels, or a function."""
        if validation is None or callable(validation):
            return validation
        if len(self.heads) > 1:
            raise ModelError(
                "a network with several heads needs a function of the model as validation: validation=lambda model: {'name': number}"
            )
        checked = self._fitted(validation)
        check_labels(checked, self.labels)
        return checked

    def _front_end(self, data: Data) -> Data:
        return fit_front_end(data, dims=self.shape[1], features=self.features, scaler=self.scaler)

    def _clips(self, data: Any) -> Iterator[ClipWindows]:
        if isinstance(data, str | Path):
            raise ModelError(f"predict takes a list of files, not {str(data)!r}: write predict([{str(data)!r}])")
        if isinstance(data, list | tuple) and data and isinstance(data[0], RECORDINGS):
            if self.features is None:
                raise ModelError("the model was trained on arrays and has no front end; train it on a DataGenerator to predict files")
            return (file_windows(one, features=self.features, scaler=self.scaler) for one in data)
        return self._fitted(data).clip_windows()

    def _answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows; whatever the network's framework says against them becomes an error of ours."""
        windows = self._checked(windows)
        try:
            answers = self.answer(windows)
            return answers if self.calibration is None else self.calibration.apply(answers)
        except DcasekitError:
            raise
        except Exception as error:
            raise ModelError(
                f"this {type(self).__name__}, built for windows of {self.shape} (frames, dims), cannot predict windows of "
                f"{windows.shape[1:]} ({first_line(error)}); cut them as in its training: features=model.features"
            ) from error

    def _checked(self, windows: FloatArray) -> FloatArray:
        if windows.shape[2] != self.shape[1]:
            raise ModelError(
                f"the model takes windows of {self.shape[1]} dims; got {windows.shape[2]}: use the features it was trained with"
            )
        check_finite(windows, ())
        return windows

    def _need_layer(self, name: str | None) -> None:
        known = self.layers()
        if name is not None and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ModelError(f"{type(self).__name__} has no layer {name!r}.{hint} Known: {', '.join(known)}")

    def _need_network(self) -> None:
        if not self.labels:
            raise ModelError(f"this {type(self).__name__} has no network yet; call train() or build() first")


def load(folder: PathLike, *, allow: Allowed = (), network: Any = None) -> ModelContainer:
    """Load a model that `ModelContainer.save` wrote, or a trained model that comes with dcasekit; it can predict audio files at once.

    Nothing in the folder can run code: every class that ``model.json`` names must be part of dcasekit, or be allowed here.

    Parameters
    ----------
    folder : the saved folder; or the name of a trained model such as ``"esc10"``, if there is no such folder, see `containers.trained`.
    allow : classes of your own, or names of modules that may be imported to find them (``"mylab.nets"`` with everything below it).
    network : for a saved `TorchModel`: a network with the same layers, into which the saved weights are loaded.

    Raises
    ------
    ModelError : a file is missing, damaged or not the one that was saved, or names code that is not allowed.
    """
    return read_model(trained.find(folder), ModelContainer, allow=allow, network=network)  # type: ignore[type-abstract]


def _checked(found: Found | DcasekitError) -> Found:
    if isinstance(found, DcasekitError):
        raise found
    return found
