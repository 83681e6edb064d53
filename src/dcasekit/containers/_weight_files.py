"""Weight files of other systems, read as arrays; whatever a file says, none of its code is run.

The layouts are those that Keras 2, PyTorch, NumPy and safetensors write. No published file could be fetched where this was written: the
names in them are known from the code that wrote or reads them.
"""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.containers._backend import Weights
from dcasekit.containers._keras_weights import role
from dcasekit.core.units import PathLike
from dcasekit.errors import MissingExtraError, ModelError

_KNOWN = ".safetensors, .h5, .hdf5 (also with .gz), .pt, .pth, .npz"

# Of batches that a normalisation has seen: files of old versions of PyTorch lack it, or have it as an array of one.
_COUNTER = "num_batches_tracked"


def read(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read the arrays of a weight file; its suffix says of which kind it is.

    Parameters
    ----------
    path : ``.h5``, ``.hdf5``, also with ``.gz``: weights or a whole model of Keras 2, or of Keras 3 in that format. ``.pt``, ``.pth``: a
        state dict of PyTorch, or a checkpoint that holds one. ``.npz``, ``.safetensors``: arrays.

    Returns
    -------
    dict : of a Keras file "layer/role" -> array, in the order of the layers (see `_keras_weights`); of others their names -> array, those
        of PyTorch without the "module." that training on several GPUs puts in front.

    Raises
    ------
    ModelError : the file is not there, of another kind, damaged, or cannot be read without running code that is in it.
    MissingExtraError : h5py or torch is not installed.
    """
    path = Path(path)
    _refuse_text(path)
    name = path.name.lower()
    if name.endswith((".h5", ".hdf5")):
        return _keras_file(path, path)
    if name.endswith((".h5.gz", ".hdf5.gz")):
        try:
            return _keras_file(io.BytesIO(gzip.decompress(path.read_bytes())), path)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, error) from error
    if name.endswith((".pt", ".pth")):
        return _torch_file(path)
    if name.endswith((".safetensors", ".npz")):
        return _arrays_file(path)
    raise ModelError(f"{path} is of no known kind of weight file; known: {_KNOWN}")


def lacking(found: Weights, wanted: Weights, head: Collection[str]) -> list[str]:
    """Compare the weights of a file with those of a network; name what the file lacks: nothing, or the head.

    Raises
    ------
    ModelError : it lacks others or a part of the head, has some too many, or some of another shape.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    problems = [] if set(missing) == set(head) else [f"{name} {wanted[name].shape} is missing" for name in missing]
    for name, array in found.items():
        if name not in wanted:
            problems.append(f"{name} {array.shape} is no weight of the network")
        elif array.shape != wanted[name].shape and not (name.endswith(_COUNTER) and array.size == 1):
            problems.append(f"{name} has the shape {array.shape}, not {wanted[name].shape}")
    if problems:
        raise ModelError(
            f"{'; '.join(problems)}. Check the model's settings, the windows it was built for, and the labels: if the file has others "
            "than the model, or in another order, they go to load_weights(labels=...)"
        )
    return missing


def outputs(wanted: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Say which output of a file each label of a model is, given the file's labels in the order of its outputs."""
    if unknown := [label for label in wanted if label not in labels]:
        raise ModelError(f"the model has the labels {', '.join(unknown)}, which are not among the file's: {', '.join(labels)}")
    if len(set(labels)) != len(labels):
        raise ModelError(f"labels must name each output of the file once; got {', '.join(labels)}")
    return [labels.index(label) for label in wanted]


def _refuse_text(path: Path) -> None:
    """Refuse what is no binary file: the page of a server that wanted something else, or the stand-in of a large file in git."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check the path, or download the file") from error
    if all(32 <= byte < 127 or byte in b"\t\n\r" for byte in start):
        begins = f"is text that begins with {start[:40].decode()!r}" if start else "is empty"
        raise ModelError(f"{path} holds no weights: it {begins}; the download gave something else, fetch it anew and look at its size")


def _damaged(path: Path, error: Exception) -> ModelError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"{path} is damaged, or not of the kind its name says ({first}); download it again and compare its size or checksum")


# ---- Keras


def _keras_file(source: Path | io.BytesIO, path: Path) -> dict[str, NDArray[Any]]:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "hdf5") from None
    try:
        with h5py.File(source, "r") as file:
            return dict(_keras_arrays(file.get("model_weights", file), path))
    except ModelError:
        raise
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _keras_arrays(root: Any, path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give "layer/role" and array of all weights, in the order the file lists them."""
    layers = _listed(root, "layer_names")
    if layers is None:
        raise ModelError(
            f"{path} has no layer_names, so it is no weight file of Keras 2; from Keras 3, save the model with model.save('name.h5')"
        )
    for layer in layers:
        names = _listed(root[layer], "weight_names") or []
        inner = {name: _inside(name) for name in names}
        nested = len(set(inner.values())) > 1  # a model used as a layer: each of its own layers has a name
        for name in names:
            array = np.asarray(root[layer][name])
            if array.dtype.kind not in "fiu":
                raise ModelError(f"{path}: {layer}/{name} holds {array.dtype}, not numbers; these are no weights")
            yield f"{layer}/{inner[name]}/{role(name)}" if nested else f"{layer}/{role(name)}", array


def _listed(group: Any, attribute: str) -> list[str] | None:
    """Give a list of names that Keras keeps as an attribute, in numbered parts where it is too long for one."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        numbers = iter(range(len(group.attrs)))
        parts = [group.attrs[f"{attribute}{n}"] for n in numbers if f"{attribute}{n}" in group.attrs]
        if not parts:
            return None
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _inside(name: str) -> str:
    """Name the layer a weight belongs to by its path; the directions of a bidirectional layer belong to one."""
    return re.split(r"(?:^|/)(?:forward_|backward_)", name.rpartition("/")[0])[0]


# ---- PyTorch


def _torch_file(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what unpickling raises has no base class but this one
        if wanted := re.search(r"GLOBAL \S+|Unsupported class \S+|TorchScript", str(error)):
            raise ModelError(
                f"{path} holds more than tensors ({wanted[0]}), and reading it would run code that it names: refused. If you trust it, "
                "open it elsewhere and save the tensors of its state_dict() with safetensors.torch.save_file"
            ) from error
        raise _damaged(path, error) from error
    state = _state_dict(found, path)
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    # NumPy has no bfloat16.
    numbers = {name: tensor.float() if tensor.dtype == torch.bfloat16 else tensor for name, tensor in state.items()}
    return {name.removeprefix(prefix): tensor.numpy() for name, tensor in numbers.items()}


def _state_dict(found: Any, path: Path) -> dict[str, Any]:
    """Find the tensors: a state dict, or the only one in a checkpoint."""
    candidates = {"": found, **found} if isinstance(found, Mapping) else {}
    states = {key: dict(value) for key, value in candidates.items() if _is_state(value)}
    if len(states) != 1:
        told = f"{len(states)} state dicts ({', '.join(map(str, states))})" if states else f"no state dict but a {type(found).__name__}"
        raise ModelError(f"{path} holds {told}; save the state_dict() of one network")
    return next(iter(states.values()))


def _is_state(value: Any) -> bool:
    import torch

    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())


# ---- arrays


def _arrays_file(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, LookupError, TypeError, ValueError, SafetensorError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error
