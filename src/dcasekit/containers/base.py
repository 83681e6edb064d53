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

    A model's constructor stores the settings of its architecture; the shape of its input, its labels and task come from the data it is
    trained on (or from `build`).

    Attributes
    ----------
    labels, task, shape : what it answers, and the (frames, dims) of a window; set by `build`.
    features, scaler : the front end it was trained with; it travels with the model.
    history : one record per epoch.
    calibration : what `calibrate` fitted; answers are mapped by it.
    heads : task -> `Head`, of a network with several; the first is what `labels`, `task`, `shape`, `features` and `scaler` are of.
    kept : monitor -> weights of the epoch that it found best, after training with several monitors; for `set_weights`.
    published_front_end : name of the preset of features the network was published with, see `FeatureExtractor.preset`; ``None``: none.
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
        """Train on data, from new weights; in several processes started by ``torchrun``, each answers its part of every batch.

        Parameters
        ----------
        data : a `DataGenerator`, ``(X, Y)`` as its `get_data` gives, or several generators, `Together`; those of different tasks are
            learned by a head each.
        validation : a `DataGenerator` or ``(X, Y)`` to choose the best epoch with; its weights are kept. Or a function of the model that
            gives numbers by name, measured its own way. ``None``: the last epoch's weights are kept.
        **settings : see `Training`, which lists all of them with their defaults and refuses any other.

        Returns
        -------
        list of dict : per epoch ``epoch``, ``loss``, ``learning_rate``, ``seconds``, and with validation ``val_loss`` and the task's main
        number, or the function's numbers after ``val_``. Also kept as ``history``.
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
        """Train on other data from the weights there are, with a new head: the weights whose number depends on the labels.

        Parameters
        ----------
        data, validation : as for `train`. A `DataGenerator` must have the features of the model, and its scaler or none; its windows may
            be shorter or longer if the network takes any.
        labels : of the columns of Y; ``None``: as for `train`.
        freeze : what stays as it is, batch normalisation's running statistics included: ``"all"`` but the head, ``"none"``, or a layer of
            `layers`: all that the forward pass has used when this layer is done.
        head : ``"same"`` goes on with the head there is, for data of the model's own labels.
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
        data : a `DataGenerator`, an array X, a list of arrays, or a list of audio files or of clips, whose channels then count.

        Returns
        -------
        list of `Scores`, one per clip: one row per window, or per frame if the network answers frames.

        Raises
        ------
        DcasekitError : a clip cannot be read or answered; `predict_each` goes on with the others.
        """
        return [_checked(found) for _, found in self.predict_each(data)]

    def predict_each(self, data: Any) -> Iterator[tuple[str, Scores | DcasekitError]]:
        """Score clips one by one, as they are read, in flat memory; what goes wrong with one stops no other.

        Parameters
        ----------
        data : as for `predict`.

        Yields
        ------
        id of the clip, or path of the file, and its `Scores`, or what is wrong with it; in order.
        """
        self._need_network()
        for clip, found in answer_clips(self._clips(data), self._answer, size=self._bytes_at_once):
            try:
                yield clip.name, name_clip(clip.name, found) if isinstance(found, Exception) else clip.join(found, self.labels)
            except DcasekitError as error:  # the answers cannot be joined
                yield clip.name, type(error)(f"{clip.name}: {error}")

    def embed(self, layer: str, data: Any) -> list[FloatArray]:
        """Return what a layer gives for clips.

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
        looked = answer_clips(self._clips(data), lambda windows: self.activations(self._checked(windows), layer), size=self._bytes_at_once)
        return [_checked(name_clip(clip.name, found) if isinstance(found, Exception) else found) for clip, found in looked]

    def evaluate(self, data: Any) -> Results:
        """Score clips and compare with the truth: a `DataGenerator`, or ``(X, Y)``.

        Data may know fewer labels than the model; see `results_of` for what becomes of the others.
        """
        self._need_network()
        if isinstance(data, DataGenerator) and data.task != self.task and data.task in self.heads:
            return self.head(data.task).evaluate(data)
        source = self._fitted(data)
        return results_of(source, self.labels, self.task, self.predict(source))

    def head(self, task: Task) -> Self:
        """Return a model of one task alone, a copy, with the weights that this head uses."""
        raise ModelError(f"this {type(self).__name__} has one head, for {self.task}; {task} needs a model of its own")

    def save(self, folder: PathLike, *, half: bool = False) -> Path:
        """Write ``model.json`` and ``weights.safetensors``; nothing in them can run code. `load` reads them again.

        With `half`, the weights are rounded to float16: half the size, and answers that differ a little; test the model that is loaded.

        Raises
        ------
        ModelError : there is no network, or `load` would refuse what would be written; the message says how to mend it.
        StorageError : a file of one of these names is there, and dcasekit did not write it.
        """
        self._need_network()
        return write_model(self, Path(folder), half=half)

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
            found, left_out = fit_weights(self, arrays, self.labels if labels is None else tuple(labels), translate=type(self).published)
            self.set_weights({**self.weights(), **found})
        except ModelError as error:
            raise ModelError(f"{path} does not fit this {type(self).__name__}: {error}") from error
        if left_out:
            _log.warning("%s holds no %s: the head of this %s stays as it is", path, ", ".join(left_out), type(self).__name__)
        self.history, self.training = [], {}
        return self

    def published(self, arrays: Weights) -> Weights:
        """Rename and transpose the arrays of a published file to be this network's weights; a model with other published names overrides.

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
    """Load a model that was saved with `ModelContainer.save`, or one that comes with dcasekit; it predicts from audio files as it is.

    Nothing in the folder can run code: what ``model.json`` names must be part of dcasekit, or be allowed here.

    Parameters
    ----------
    folder : as saved; or the name of a trained model, such as ``"esc10"``, see `dcasekit.containers.trained`. A folder of that name wins.
    allow : classes of your own, or names of modules that may be imported to find them (``"mylab.nets"``, with all below it).
    network : of a `TorchModel`, a network of the same layers; its weights become those that were saved.

    Raises
    ------
    ModelError : a file is missing, damaged, not the one that was saved, or names code that is not allowed.
    """
    return read_model(trained.find(folder), ModelContainer, allow=allow, network=network)  # type: ignore[type-abstract]


def _checked(found: Found | DcasekitError) -> Found:
    if isinstance(found, DcasekitError):
        raise found
    return found
