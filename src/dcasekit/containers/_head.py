"""The head of a network: the weights whose number depends on the labels; new for other labels, or matched with a file's."""

import copy
from collections.abc import Callable
from typing import TypeVar

from dcasekit.containers._backend import Backend, Weights
from dcasekit.containers._weight_files import find_missing, match_outputs, strip_prefixes
from dcasekit.errors import ModelError
from dcasekit.generator import Data

Model = TypeVar("Model", bound=Backend)


def replace_head(model: Model, data: Data, seed: int, *, keep: bool = False) -> tuple[Model, set[str]]:
    """Return a copy of a model with new weights where their number depends on the labels, and the names of those.

    With `keep`, for data of the model's labels, these are copied, too.
    """
    tuned = copy.copy(model).build(data.shape, data.labels, task=data.task, seed=seed)
    new, old, head = tuned.weights(), model.weights(), set(name_head(tuned))
    if not head:
        raise ModelError(f"{type(model).__name__} has no head that could be replaced: no weights that grow with the number of labels")
    if misfits := [name for name in new if name not in head and (name not in old or old[name].shape != new[name].shape)]:
        raise ModelError(
            f"windows of {data.shape} (frames, dims) need other weights than the {model.shape} the model was trained on: "
            f"{', '.join(misfits)}; use windows of the same length"
        )
    tuned.set_weights({name: array if name in head and not keep else old[name] for name, array in new.items()})
    return tuned, head


def name_head(model: Backend) -> dict[str, int]:
    """Name the weights whose number depends on the labels, with the axis of the labels; none if all weights do."""
    weights = model.weights()
    try:
        wider = copy.copy(model).build(model.shape, (*model.labels, "one more"), task=model.task).weights()
    except ModelError:  # a network that was given has the outputs it has
        return {}
    if weights.keys() != wider.keys():
        return {}
    sizes = {name: list(zip(array.shape, wider[name].shape, strict=True)) for name, array in weights.items()}
    return {name: axis for name, pairs in sizes.items() for axis, (size, other) in enumerate(pairs) if size != other}


def fit_weights(
    model: Model, arrays: Weights, labels: tuple[str, ...], *, translate: Callable[[Model, Weights], Weights]
) -> tuple[Weights, list[str]]:
    """Make the arrays of a file, whose outputs have these labels, weights of a model; name those of the head that it lacks.

    Parameters
    ----------
    translate : gives the arrays of a file a model's names and axes, `ModelContainer.published`.
    """
    rows, source, head = match_outputs(model.labels, labels), model, dict[str, int]()
    if labels != model.labels:
        source, head, old = copy.copy(model).build(model.shape, labels, task=model.task), name_head(model), model.weights()
        source.set_weights({name: array if name in head else old[name] for name, array in source.weights().items()})
    wanted = source.weights()
    # Without what stands before all of a file's names ("model."), if more of them are known then.
    found = max((translate(source, each) for each in strip_prefixes(arrays)), key=lambda each: len(each.keys() & wanted.keys()))
    if source is model and found.keys() != wanted.keys():
        head = name_head(model)
    missing = find_missing(found, wanted, head)
    if source is model:
        return found, missing
    if missing:
        raise ModelError(f"it holds no {', '.join(missing)}, so it has no outputs that could have labels: leave labels out")
    return {name: array.take(rows, head[name]) if name in head else array for name, array in found.items()}, []
