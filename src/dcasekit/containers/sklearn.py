"""The scikit-learn container: statistics of the frames of a window, then an estimator."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import HARD
from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._epochs import Learner, learning_batches, refuse_settings, train_epochs
from dcasekit.containers._sklearn_arrays import Arrays, Matrix, answers, check, extract_arrays, operations, probabilities
from dcasekit.containers._validation import Validation, measuring, sum_loss
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.generator import Data, Together
from dcasekit.generator.scaler import Scaler

_STATISTICS: Mapping[str, Callable[..., Matrix]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}

_UNKNOWN = -1  # in place of the number of a label

# Rows answered at once: bounds the memory of (rows, trees) and (rows, support vectors).
_ROWS_PER_ANSWER = 1024


@dataclass(kw_only=True, eq=False)
class SklearnModelContainer(ModelContainer):
    """An estimator with scikit-learn's interface that learns from statistics of the frames of each window.

    Each window (frames, dims) becomes one row of statistics; the answers are (windows, labels). For classification there is one estimator
    for all labels, and the label with the largest target counts. For tagging and detection there is one estimator per label, and targets
    above 0.5 are positive. Unknown targets (NaN) are left out. A label that never occurs in the training data gets the answer 0, a label
    that always occurs gets 1. If the estimator has no ``predict_proba``, the answers are the softmax of its decisions (the sigmoid for two
    classes): they have the order of the decisions and agree with them at 0.5, but are not calibrated.

    An estimator is trained once, on all windows in memory. If it has ``partial_fit``, it is trained batch by batch, for as many epochs as
    `Training` says, with validation, best epoch and early stopping. The loss in a record is the loss of the training windows after they
    were learned. The settings of `Training` for steps and devices (``learning_rate``, ``optimizer``, ``schedule``, ``device`` ...) have no
    effect; ``objective``, ``rates``, ``class_weights``, ``clip_norm`` and ``average`` are refused, and so are several sources of data.
    Training is not resumed: an interrupted run starts from the beginning.

    Trees, forests, linear models, kernel machines and nearest neighbours are saved as arrays, and answer from them without scikit-learn.
    Other estimators can be trained and used, but not saved. There are no layers, so `embed` and `fine_tune` raise an error.

    Parameters
    ----------
    estimator : class of the estimator, as ``"package.module:Class"``; it needs ``predict_proba`` or ``decision_function``.
    parameters : keyword arguments of the estimator, as JSON values. Its ``random_state``, if it has one, is the seed of training unless
        you give it here.
    statistics : what to compute over the frames of a window, in this order: some of ``"mean"``, ``"std"``, ``"min"``, ``"max"``.
    standardise : bring each statistic to mean 0 and standard deviation 1 over the training windows; trees do not need it.

    Examples
    --------
    >>> model = SklearnModelContainer(estimator="sklearn.linear_model:SGDClassifier", parameters={"loss": "log_loss"})
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(20, 8, 4)) + np.repeat([[[0]], [[5]]], 10, axis=0), np.repeat(np.eye(2), 10, axis=0)
    >>> _ = model.train((X, Y), epochs=3)
    >>> model.evaluate((X, Y)).numbers["accuracy"]
    1.0
    """

    estimator: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    statistics: Sequence[str] = ("mean", "std")
    standardise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rescaling: Scaler | None = None
        # One of classification, else one per label: the arrays of an estimator; {"estimator": itself} if it is of no known kind.
        self._parts: list[Mapping[str, Any]] = []

    def estimator_parameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the estimator; a model with settings of its own overrides this to add them."""
        return dict(self.parameters)

    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:  # noqa: ARG002
        """Set shape, labels and task, and return this model; until it is trained, all its answers are equal."""
        if not self.statistics or not set(self.statistics) <= set(_STATISTICS):
            raise ModelError(f"statistics must be some of {', '.join(_STATISTICS)}; got {self.statistics!r}")
        frames, dims = shape
        self.shape, self.labels, self.task = (int(frames), int(dims)), tuple(labels), task
        self._rescaling, self._parts = None, []
        return self

    def fit(
        self,
        data: Data | Together,
        validation: Validation | None,
        training: Training,
        *,
        frozen: Sequence[str] | None = None,  # noqa: ARG002
    ) -> list[Record]:  # noqa: ARG002
        """Train the estimators once, or epoch by epoch, keeping the best epoch on validation data, else the last. See `Backend.fit`."""
        data = refuse_settings(training, data, "scikit-learn")
        estimators = [self._new(training.seed) for _ in (self.labels[:1] if self.task == "classification" else self.labels)]
        by_batches = hasattr(estimators[0], "partial_fit")
        if by_batches and self.standardise:
            self._rescaling = Scaler()
            for rows, _ in self._pooled(data, 0, training):
                self._rescaling.partial_fit(rows)
        loss = training.loss
        history, _ = train_epochs(
            _SklearnLearner(self, estimators, data, training),
            replace(training, resume=None),
            name=type(self).__name__,
            run={},
            validate=measuring(self, data, validation, training, loss=loss),
            epochs=None if by_batches else 1,
        )
        return history

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities (windows, labels), float32, for windows (windows, frames, dims)."""
        self._need_network()
        rows = self._rescaled(self._statistics_of(windows))
        return np.concatenate([self._answers_to(rows[first : first + _ROWS_PER_ANSWER]) for first in range(0, len(rows), _ROWS_PER_ANSWER)])

    def weights(self) -> Weights:
        """Return a copy of what was learned: ``"0.coef"`` ... of estimator 0, ``"rescaling.mean"`` ... of the standardised statistics.

        Before training there are none.

        Raises
        ------
        ModelError : the arrays of this kind of estimator are not known.
        """
        self._need_network()
        if any("estimator" in part for part in self._parts):
            raise ModelError(
                f"there are no arrays for a {self.estimator}, so it cannot be saved or counted; those of trees, forests, linear models and "
                "kernel machines are known"
            )
        found = {f"{number}.{name}": array.copy() for number, part in enumerate(self._parts) for name, array in part.items()}
        if self._rescaling is not None:
            values = self._rescaling.to_dict()
            found |= {f"rescaling.{name}": np.array(values[name], np.float64) for name in ("count", "mean", "squares")}
        return found

    def set_weights(self, weights: Weights) -> None:
        """Load arrays as `weights` returns them; those that do not fit this shape and these labels raise ModelError."""
        groups: dict[str, dict[str, Any]] = {}
        for name, array in weights.items():
            group, _, key = name.partition(".")
            groups.setdefault(group, {})[key] = np.array(array)
        taken = copy.copy(self)
        try:
            if self.standardise and groups:
                values = {name: np.squeeze(array).tolist() for name, array in groups.pop("rescaling").items()}
                taken._rescaling = Scaler.from_dict({"normalizer": "standard", "low": 0.0, "high": 0.0, **values})
            taken._parts = [groups[str(number)] for number in range(len(groups))]
            for part in taken._parts:
                check({name: array for name, array in part.items() if name != "seen"})
            found = taken.answer(np.zeros((1, *self.shape), np.float32))
        except (LookupError, TypeError, ValueError) as error:
            raise ModelError(f"the weights do not fit this {type(self).__name__}: {error}") from error
        if found.shape != (1, len(self.labels)) or not np.isfinite(found).all():
            raise ModelError(f"the weights predict {found.shape}, not one window with {len(self.labels)} labels")
        vars(self).update(vars(taken))

    def cost(self) -> dict[str, int]:
        """Count all learned numbers as ``parameters``, and as ``macs`` the multiply-accumulates for one window, statistics included."""
        parameters = sum(array.size for array in self.weights().values())
        pooling = len(self.statistics) * self.shape[0] * self.shape[1]
        return {"parameters": parameters, "macs": pooling + sum(map(operations, self._parts))}

    def _new(self, seed: int) -> Any:
        """Make an untrained estimator."""
        kind, parameters = _estimator(self.estimator), self.estimator_parameters()
        if "random_state" in inspect.signature(kind).parameters:
            parameters.setdefault("random_state", seed)
        try:
            return kind(**parameters)
        except TypeError as error:
            raise ModelError(f"{self.estimator} cannot be made with {parameters}: {error}") from error

    def _pooled(self, data: Data, epoch: int, training: Training) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield batches of statistics (windows, dims) and targets (windows, labels)."""
        for batch in learning_batches(data, epoch, training):
            if batch.y.ndim != 2:
                raise ModelError(
                    f"an estimator predicts whole windows, and the targets are {batch.y.shape}; choose target='window' or 'clip'"
                )
            yield self._statistics_of(batch.x), batch.y

    def _at_once(self, estimators: Sequence[Any], batches: Sequence[tuple[FloatArray, FloatArray]], training: Training) -> float:
        """Train on all windows; return their mean loss."""
        statistics, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        self._rescaling = Scaler().fit(statistics) if self.standardise else None
        rows = self._rescaled(statistics)
        parts: list[Mapping[str, Any]] = []
        for estimator, target in zip(estimators, self._targets(y), strict=True):
            known = target != _UNKNOWN
            seen = np.unique(target[known])
            self._need_known(len(parts), known=len(seen) > 0)
            if len(seen) > 1:
                if getattr(estimator, "n_neighbors", 0) > known.sum():  # of fewer windows all vote
                    estimator.set_params(n_neighbors=int(known.sum()))
                with _refusals(self.estimator):
                    estimator.fit(rows[known], target[known])
                parts.append(self._part(estimator, rows[known], seen))
            else:  # nothing to tell apart
                certain = [1.0] if self.task == "classification" else np.eye(2)[seen[0]]
                parts.append({"constant": np.array(certain), **self._seen(seen)})
        self._parts = parts
        total, count = sum_loss(y, self._answers_to(rows), training.loss, self.task)
        return total / max(count, 1)

    def _by_batches(
        self, estimators: Sequence[Any], started: set[int], batches: Iterator[tuple[FloatArray, FloatArray]], training: Training
    ) -> float:
        """Train on one batch after the other; return their mean loss, each after its own step; note the estimators that have learned."""
        total, count, classes = 0.0, 0, np.arange(len(self.labels) if self.task == "classification" else 2)
        for statistics, y in batches:
            rows = self._rescaled(statistics)
            for number, (estimator, target) in enumerate(zip(estimators, self._targets(y), strict=True)):
                if (known := target != _UNKNOWN).any():
                    started.add(number)
                    with _refusals(self.estimator):
                        estimator.partial_fit(rows[known], target[known], classes=classes)
            uniform = np.full(len(classes), 1 / len(classes))  # of one that has not learned yet
            parts: list[Mapping[str, Any]] = [
                {"estimator": each} if number in started else {"constant": uniform} for number, each in enumerate(estimators)
            ]
            self._parts = [{**part, **self._seen(classes)} for part in parts]
            found, known_labels = sum_loss(y, self._answers_to(rows), training.loss, self.task)
            total, count = total + found, count + known_labels
        for number in range(len(estimators)):
            self._need_known(number, known=number in started)
        self._parts = [self._part(estimator, rows, classes) for estimator in estimators]
        return total / max(count, 1)

    def _need_known(self, number: int, *, known: bool) -> None:
        if not known:
            what = "any label" if self.task == "classification" else f"the label {self.labels[number]!r}"
            raise ModelError(f"nothing is known of {what} in any training window, so there is nothing to learn; leave it out")

    def _targets(self, y: FloatArray) -> list[NDArray[np.int64]]:
        """Return what each estimator is to answer: the number of the label; or, per label, whether it is there; or that it is unknown."""
        if self.task == "classification":
            return [np.where(np.isnan(y).any(axis=1), _UNKNOWN, y.argmax(axis=1))]
        return [np.where(np.isnan(column), _UNKNOWN, column > HARD).astype(np.int64) for column in y.T]

    def _part(self, estimator: Any, rows: Matrix, seen: NDArray[np.int64]) -> Mapping[str, Any]:
        return {**(extract_arrays(estimator, rows) or {"estimator": estimator}), **self._seen(seen)}

    def _seen(self, classes: NDArray[np.int64]) -> Arrays:
        """Mark the labels that the one estimator of classification tells apart: (labels,)."""
        return {"seen": np.isin(np.arange(len(self.labels)), classes)} if self.task == "classification" else {}

    def _answers_to(self, rows: Matrix) -> FloatArray:
        """Return probabilities (rows, labels)."""
        found = [answers(part["estimator"], rows) if "estimator" in part else probabilities(part, rows) for part in self._parts]
        if found and self.task != "classification":
            return np.column_stack([each[:, 1] for each in found]).astype(np.float32)
        spread = np.full((len(rows), len(self.labels)), 1 / len(self.labels) if self.task == "classification" else 0.5, np.float32)
        if found:
            spread[:] = 0
            spread[:, self._parts[0]["seen"]] = found[0]
        return spread

    def _statistics_of(self, windows: FloatArray) -> FloatArray:
        """Return statistics (windows, dims of all) over the frames."""
        values = windows.astype(np.float64)
        return np.concatenate([_STATISTICS[name](values, axis=1) for name in self.statistics], axis=1).astype(np.float32)

    def _rescaled(self, statistics: FloatArray) -> Matrix:
        return (statistics if self._rescaling is None else self._rescaling.transform(statistics)).astype(np.float64)


class _SklearnLearner(Learner):
    """Estimators while they learn: all at once, or batch by batch."""

    def __init__(self, model: SklearnModelContainer, estimators: Sequence[Any], data: Data, training: Training) -> None:
        self.model, self.estimators, self.data, self.training = model, estimators, data, training
        self.started: set[int] = set()  # the estimators that have learned from a batch

    def learn(self, epoch: int) -> float:
        """Learn from every window once."""
        batches = self.model._pooled(self.data, epoch, self.training)
        if hasattr(self.estimators[0], "partial_fit"):
            return self.model._by_batches(self.estimators, self.started, batches, self.training)
        return self.model._at_once(self.estimators, list(batches), self.training)

    def weights(self) -> list[Mapping[str, Any]]:
        """Return what was learned."""
        return copy.deepcopy(self.model._parts)

    def set_weights(self, weights: list[Mapping[str, Any]]) -> None:
        """Put back what was learned."""
        self.model._parts = weights


def _estimator(address: str) -> Any:
    """Find an estimator's class; nothing else may be called."""
    try:
        from sklearn.base import BaseEstimator
    except ModuleNotFoundError as error:
        raise MissingExtraError("sklearn", "sklearn") from error
    kind = discover.load("models", address) if ":" in address else None
    answering = hasattr(kind, "predict_proba") or hasattr(kind, "decision_function")
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator) and answering):
        raise ModelError(
            f"estimator must name a class with predict_proba or decision_function, 'package.module:Class', e.g. "
            f"'sklearn.linear_model:LogisticRegression'; got {address!r}"
        )
    return kind


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Say what an estimator refuses as an error of the model."""
    try:
        yield
    except (TypeError, ValueError) as error:  # sklearn's InvalidParameterError is both
        raise ModelError(f"{name} cannot be trained so: {error}") from error
