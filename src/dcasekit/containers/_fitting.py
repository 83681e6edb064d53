"""The one check of what fits together: a model with the data it is trained on, chosen with, asked about or tuned to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dcasekit.containers.heads import Head
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator import Arrays, Data, DataGenerator, Together
from dcasekit.generator.scaler import Scaler
from dcasekit.results import Results
from dcasekit.scores import Scores


def source_of(data: Any, *, labels: Sequence[str] | None = None, task: Task | None = None) -> Data:
    """Take what a container trains on: a `DataGenerator`, or arrays, whose labels and task may be given."""
    if isinstance(data, DataGenerator | Arrays):
        return data
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    return Arrays(x, y, labels=labels, task=task)


def head_of(data: Data) -> Head:
    """Return the head that learns from data."""
    front = (data.features, data.scaler) if isinstance(data, DataGenerator) else (None, None)
    return Head(data.labels, data.shape, *front)


def only_task(data: Together) -> Data:
    """Return the data of the one task there is."""
    if len(data.heads) > 1:
        raise ModelError(f"fine_tune trains for one task; these data are of {', '.join(data.heads)}: give the parts of one")
    return next(iter(data.heads.values()))


def fit_front_end(data: Data, *, dims: int, features: FeatureExtractor | None, scaler: Scaler | None) -> Data:
    """Return data as a model takes them: made by its features and scaled by its scaler, which are its own unless the data say otherwise.

    Parameters
    ----------
    dims, features, scaler : of the model; arrays, and models of arrays, have no features that could be compared.

    Raises
    ------
    ModelError : the data were made by other features or another scaler than the model's.
    """
    if data.shape[1] != dims:
        raise ModelError(f"the model takes windows of {dims} dims; got {data.shape[1]}: use the features it was trained with")
    if features is None or not isinstance(data, DataGenerator):
        return data
    if data.features.fingerprint != features.fingerprint:
        raise ModelError(f"the model was trained with {features}; got data made with {data.features}: use features=model.features")
    if data.scaler is None:
        return data.with_scaler(scaler)
    if scaler is None or data.scaler.to_dict() != scaler.to_dict():
        raise ModelError(
            "the data are scaled in another way than those the model was trained on; leave out their scaler, or call "
            "data.set_scaler(model.scaler)"
        )
    return data


def check_labels(data: Data, labels: Sequence[str]) -> None:
    """Refuse data with other labels, or with labels in another order, than they should have."""
    if data.labels != tuple(labels):
        raise ModelError(f"labels= names {', '.join(labels)}; the data have {', '.join(data.labels)}: they must be the same, in order")


def check_finite(windows: FloatArray, clips: Sequence[str]) -> None:
    """Refuse windows of clips that hold NaN or infinity: a network would learn, or answer, nothing else from then on."""
    if not np.isfinite(windows).all():
        bad = np.flatnonzero(~np.isfinite(windows).reshape(len(windows), -1).all(axis=1))[0]
        whose = f"clip {clips[bad]}: " if clips else ""
        raise ModelError(f"{whose}X holds NaN or infinity; give the feature's logarithm a floor, or leave the clip out")


def results_of(data: Data, labels: tuple[str, ...], task: str, scores: Sequence[Scores]) -> Results:
    """Set a model's answers, of its own labels, beside the truth of data that may know fewer labels.

    Of scenes, an answer that the data do not know is a wrong answer. Of tags and events it is left out: whether they are there is unknown.

    Raises
    ------
    ModelError : the data have labels that the model does not answer, or another task.
    """
    if unknown := [label for label in data.labels if label not in labels]:
        raise ModelError(
            f"the model does not know {', '.join(unknown)}, with which the data are labelled; it knows {', '.join(labels)}: "
            "evaluate it on those, or fine-tune it"
        )
    if data.task != task:
        raise ModelError(f"the model is for {task}, the data are for {data.task}; evaluate it on data of its own task")
    truth = data.reference()
    if data.labels == labels:
        return Results(task=task, labels=labels, scores=tuple(scores), **truth)
    if task == "classification":
        wide = np.zeros((len(truth["truth"]), len(labels)), np.float32)
        wide[:, [labels.index(label) for label in data.labels]] = truth["truth"]
        return Results(task=task, labels=labels, scores=tuple(scores), **{**truth, "truth": wide})
    columns = [labels.index(label) for label in data.labels]
    chosen = tuple(Scores(one.values[:, columns], one.edges, data.labels) for one in scores)
    return Results(task=task, labels=data.labels, scores=chosen, **truth)
