"""A model on disk: ``model.json`` and ``weights.safetensors``; what is read is checked whole before anything is made of it."""

import hashlib
import inspect
import json
import logging
import math
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

import dcasekit
from dcasekit.containers._backend import Backend, Weights
from dcasekit.containers._checkpoint import is_record
from dcasekit.containers.calibration import Calibration
from dcasekit.containers.heads import Head
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.files import check_place, place, read_json, replacing, write_json
from dcasekit.core.processes import is_first
from dcasekit.errors import DcasekitError, ModelError, first_line
from dcasekit.features.base import FeatureExtractor
from dcasekit.generator.scaler import Scaler
from dcasekit.results import plain

_log = logging.getLogger(__name__)

FILES, KIND = ("model.json", "weights.safetensors"), "model"

Allowed: TypeAlias = Sequence[str | type]
Model = TypeVar("Model", bound=Backend)

# "package.module:Class", which would be imported and called.
_ADDRESS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.<>]*")
# What these name is checked to be a model, a feature or an estimator, and importing it does nothing else.
_OWN = ("dcasekit.containers.", "dcasekit.features.", "dcasekit.models.", "sklearn.")
# More frames, dims, labels or units of a layer than this are no model's.
_MOST = 10_000_000
_TRIED = 2_000_000  # values of a window
_TASKS = ("classification", "tagging", "detection")
_KEYS = ("class", "settings", "labels", "task", "shape", "features", "scaler", "training", "history", "weights_sha256", "versions")


def write_model(model: Any, folder: Path, *, half: bool = False) -> Path:
    """Write a model container into a folder, and return the folder; see `ModelContainer.save`."""
    from safetensors.numpy import save_file

    if not is_first():
        return folder
    check_constructor(type(model))
    weights = {name: np.require(_halve(name, array) if half else array, requirements="C") for name, array in model.weights().items()}
    description = plain(
        {
            "class": discover.address(type(model)),
            "settings": model.settings,
            "task": model.task,
            **_describe_head(model),
            "training": model.training,
            "history": model.history,
            "weights_sha256": "0" * 64,
            **({"calibration": model.calibration.to_dict()} if model.calibration else {}),
            **({"heads": {task: _describe_head(head) for task, head in model.heads.items()}} if model.heads else {}),
            "versions": {"dcasekit": dcasekit.__version__, "python": platform.python_version(), "numpy": np.__version__},
        }
    )
    check_description(description, "this model")
    check_place(folder, *FILES, kind=KIND)
    about, arrays = (place(folder, name, kind=KIND) for name in FILES)
    with replacing(arrays) as temporary:
        save_file(weights, temporary)
        description["weights_sha256"] = hashlib.sha256(temporary.read_bytes()).hexdigest()
    write_json(about, description)
    for address in _addresses(description):
        module, _, name = address.partition(":")
        if module == "__main__" or "<locals>" in name:
            _log.warning(
                "%s is a class of a notebook, a script or a function, and is not found again by that name: to load this model, define it "
                "there again and pass it, load(%r, allow=[%s]); better put it into a module and save the model again",
                *(address, str(folder), name.rpartition(".")[2]),
            )
        else:
            _log.warning("%s: to load this model again, import that class and pass it: load(%r, allow=[...])", address, str(folder))
    return folder


def _describe_head(head: Any) -> dict[str, Any]:
    """Write the labels and front end of a head, or of a model."""
    features = head.features and {"class": discover.address(type(head.features)), "settings": head.features.settings}
    return {"labels": head.labels, "shape": head.shape, "features": features, "scaler": head.scaler and head.scaler.to_dict()}


def _halve(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Round an array to float16; whole numbers stay."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        halved = array.astype(np.float16)
    if not np.isfinite(halved).all():
        raise ModelError(f"{name} holds numbers up to {np.abs(array).max():.3g}, and float16 reaches only 65504; save without half=True")
    return halved


def read_model(folder: Path, kind: type[Model], *, allow: Allowed = (), network: Any = None) -> Model:
    """Read a model container from a folder; it must be of the given class, see `load`."""
    from safetensors import SafetensorError

    path = folder / "model.json"
    _refuse_run(folder)
    found = check_description(read_json(path, error=ModelError), str(path))
    for address in _addresses(found):
        _refuse_foreign(address, allow, path)
    try:
        weights = _read_weights(folder, found["weights_sha256"])
        container = _class("models", found["class"], kind, allow)._made_from(found["settings"], network)
        head = _read_head(found, allow)
        heads = {task: _read_head(one, allow) for task, one in found.get("heads", {}).items()}
        _check_sizes(container._allocate(head.shape, head.labels, task=found["task"], heads=heads), weights, path)
        made = container.build_heads(heads) if heads else container.build(head.shape, head.labels, task=found["task"])
        made.set_weights(weights)
        _try(container)
        container.features, container.scaler = head.features, head.scaler
        container.history, container.training = found["history"], found["training"]
        container.calibration = Calibration.from_dict(found["calibration"], head.labels) if found.get("calibration") else None
    except ModelError as error:
        if str(folder) in str(error):
            raise
        raise ModelError(f"{folder} cannot be loaded as a model: {first_line(error)}") from error
    except (
        DcasekitError,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
        MemoryError,
        SafetensorError,
    ) as error:
        raise ModelError(
            f"{folder} does not hold a complete model ({type(error).__name__}: {first_line(error)}); save or copy it again"
        ) from error
    return container


def _read_head(found: Mapping[str, Any], allow: Allowed) -> Head:
    features, front = None, found["features"]
    if front:
        features = _class("features", front["class"], FeatureExtractor, allow).from_settings(front["settings"])
    scaler = found["scaler"] and Scaler.from_dict(found["scaler"])
    return Head(tuple(found["labels"]), (found["shape"][0], found["shape"][1]), features, scaler)


def _refuse_run(folder: Path) -> None:
    """Where a folder holds no model, say so, and of that of a run where its models lie."""
    if (folder / "model.json").exists():
        return
    if not (below := sorted(folder.glob("**/model.json"))):
        raise ModelError(f"{folder / 'model.json'} does not exist; give the folder that a model was saved in")
    models = ", ".join(str(each.parent) for each in below[:5]) + (" ..." if len(below) > 5 else "")
    raise ModelError(f"{folder} holds no model itself, but below it there are: {models}; give one of these")


def check_description(found: Any, where: str) -> dict[str, Any]:
    """Check all that a ``model.json`` holds before anything is built from it; return it as a dict.

    Parameters
    ----------
    found : the JSON value.
    where : path of the file, for the message.

    Raises
    ------
    ModelError : a key is missing or has the wrong type, or a number is not finite or too large; the message names it.
    """
    problem = _problem(found)
    if problem:
        raise ModelError(f"{where} is not a description of a model that can be loaded: {problem}; save the model again")
    return dict(found)


def _problem(found: Any) -> str:
    """Say what is wrong with a model file; "" if nothing is."""
    if not _is_object(found):
        return "it is not a JSON object"
    if missing := [key for key in _KEYS if key not in found]:
        return f"it has no {', '.join(missing)}"
    heads = found.get("heads", {})
    demands = {
        "class is not text": isinstance(found["class"], str),
        f"task is {shorten(found['task'])}": found["task"] in _TASKS,
        "weights_sha256 is not a SHA-256 checksum": isinstance(sum_ := found["weights_sha256"], str) and re.fullmatch("[0-9a-f]{64}", sum_),
        "settings, training or versions are not objects": all(_is_object(found[key]) for key in ("settings", "training", "versions")),
        "history is not a list of objects": isinstance(found["history"], list) and all(map(_is_object, found["history"])),
        "heads are not objects by task": _is_object(heads) and set(heads) <= set(_TASKS) and all(map(_is_object, heads.values())),
    }
    if demands["heads are not objects by task"]:
        demands |= {what: False for head in (found, *heads.values()) if (what := _head_problem(head))}
    wrong = [what for what, kept in demands.items() if not kept]
    for name, value in _leaves(found):
        limited = (name.startswith(".settings.") or ".features.settings." in name) and isinstance(value, int)
        if (isinstance(value, float) and not math.isfinite(value)) or (limited and abs(value) >= _MOST):
            wrong.append(f"{shorten(name.strip('.'))} is {shorten(value)}")
    return next(iter(wrong), "")


def _head_problem(head: Mapping[str, Any]) -> str:
    """Say what is wrong with the labels and the front end of a head; "" if nothing is."""
    if missing := [key for key in ("labels", "shape", "features", "scaler") if key not in head]:
        return f"a head has no {', '.join(missing)}"
    labels, shape, front = head["labels"], head["shape"], head["features"]
    texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    sizes = isinstance(shape, list) and all(type(size) is int and 0 < size < _MOST for size in shape)
    demands = {
        "labels are not texts, each once": texts and 0 < len(labels) == len(set(labels)) < _MOST,
        f"shape is not two whole numbers above 0, frames and dims, but {shorten(shape)}": sizes and len(shape) == 2,
        "features have no class and settings": front is None
        or (_is_object(front) and isinstance(front.get("class"), str) and _is_object(front.get("settings"))),
        "scaler is not an object": head["scaler"] is None or _is_object(head["scaler"]),
    }
    return next((what for what, kept in demands.items() if not kept), "")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _read_weights(folder: Path, checksum: str) -> Weights:
    from safetensors.numpy import load

    path = folder / "weights.safetensors"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ModelError(f"{path} is not the file that was saved with {folder / 'model.json'}: its checksum differs; copy both again")
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in load(content).items()}


def _try(container: Backend) -> None:
    """Let a model answer a window, if that takes little memory, so that settings that only fail there fail now."""
    if math.prod(container.shape) > _TRIED:
        return
    noise = np.random.default_rng(0).normal(size=(1, *container.shape)).astype(np.float32)
    with np.errstate(all="ignore"):
        if not np.isfinite(container.answer(noise)).all():
            raise ModelError("with these weights it predicts NaN or infinity; save or copy it again")


def _check_sizes(wanted: Mapping[str, tuple[int, ...]] | None, weights: Weights, path: Path) -> None:
    """Compare the weights that would be made with those that are there, before memory is taken for them."""
    found = {name: array.shape for name, array in weights.items()}
    if wanted is not None and (misfits := sorted({name for name, _ in wanted.items() ^ found.items()})):
        told = "; ".join(f"{name}: {wanted.get(name, 'none')} described, {found.get(name, 'none')} stored" for name in misfits[:3])
        raise ModelError(f"{path} describes another network than that of its weights ({told}); copy both again")


def check_constructor(kind: type) -> None:
    """Check that `load` can construct a class from its settings, which are the fields of its dataclass.

    Raises
    ------
    ModelError : its ``__init__`` takes something else; the message says what to write instead.
    """
    parameters = list(inspect.signature(kind).parameters.values())
    settings = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    own = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    if set(own) != settings:
        raise ModelError(
            f"{kind.__name__} cannot be loaded again: its settings must be fields of a dataclass, and its __init__ takes "
            f"{', '.join(own) or 'nothing'}. Write @dataclass(kw_only=True, eq=False) above the class and each setting as a field, "
            "'width: int = 64', in place of __init__"
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value inside a JSON value, with its name."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{name}.{key}")
    else:
        yield name, value


def _addresses(description: Mapping[str, Any]) -> list[str]:
    """Name the classes in a description that are not leaves of this package."""
    fronts = [head["features"] for head in (description, *description.get("heads", {}).values()) if head["features"]]
    inner = [description["settings"], *(front["settings"] for front in fronts)]
    named = [description["class"], *(front["class"] for front in fronts), *(value for _, value in _leaves(inner))]
    return [name for name in named if isinstance(name, str) and _ADDRESS.fullmatch(name) and not name.startswith(_OWN)]


def _refuse_foreign(address: str, allow: Allowed, path: Path) -> None:
    module = address.partition(":")[0]
    for item in allow:
        if discover.address(item) == address if isinstance(item, type) else (module == item or module.startswith(f"{item}.")):
            return
    name = address.rpartition(":")[2].rpartition(".")[2]
    raise ModelError(
        f"{path} names {address}, which is not part of dcasekit: loading it would run its code. If you trust it, import the class and pass "
        f"it, load(folder, allow=[{name}]), or name its module: allow=[{module!r}], --allow {module}"
    )


def _class(family: str, name: str, base: type, allow: Allowed) -> Any:
    """Find a class that a model file names; nothing but a model or a feature may be called."""
    passed = (item for item in allow if isinstance(item, type) and discover.address(item) == name)
    found = next(passed, None) or discover.load(family, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ModelError(f"the model file names {name!r}, which is not a {base.__name__}")
    return found


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the records of the epochs that a checkpoint file knows of, without its arrays; none of a file that cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            history = json.loads(file.metadata()["state"])["history"]
        return history if all(is_record(record, epoch) for epoch, record in enumerate(history, 1)) else []
    except (OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError):
        return []
