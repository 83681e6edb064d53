"""Weight files of other systems, read as arrays; whatever a file says, none of its code is run.

The layouts are those that Keras 2, PyTorch, NumPy and safetensors write. No published file could be fetched where this was written: the
names in them are known from the code that wrote or reads them. Nor is a file trusted with memory: what its arrays take is known before
they are read, and bounded.
"""

import argparse
import gzip
import io
import math
import pathlib
import re
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.containers._backend import Weights
from dcasekit.containers._keras_weights import role
from dcasekit.containers._onnx_weights import read_initializers
from dcasekit.core.units import PathLike
from dcasekit.errors import MissingExtraError, ModelError, first_line

if TYPE_CHECKING:
    import torch

_KNOWN = ".safetensors, .h5, .hdf5 (also with .gz), .pt, .pth, .ckpt, .bin (PyTorch's), .npz, .onnx"

# Of batches that a normalisation has seen: files of old versions of PyTorch lack it, or have it as an array of one.
_COUNTER = "num_batches_tracked"

# What a file may take in memory beside the weights that are wanted: other precisions, an optimizer's moments, heads of many labels.
_TIMES, _BYTES_MORE = 16, 1 << 28

Arrays = dict[str, NDArray[Any]]


class _Budget:
    """What the arrays of a file may still take in memory."""

    def __init__(self, path: Path, wanted: int) -> None:
        self.path, self.wanted = path, wanted
        self.left = _TIMES * wanted + _BYTES_MORE

    def take(self, name: str, count: int) -> None:
        """Take so many bytes, or refuse the file."""
        self.check(name, count)
        self.left -= count

    def check(self, name: str, count: int) -> None:
        """Refuse the file if so many bytes are too many."""
        if count > self.left:
            raise ModelError(
                f"{self.path} was not read: with {name} it takes more than {_TIMES} times the {self.wanted:,} bytes of this network's "
                f"weights and {_BYTES_MORE:,} more; it is of another network, or damaged"
            )


def read(path: PathLike, *, wanted: int) -> Arrays:
    """Read the arrays of a weight file; the suffix of its name tells the kind of file.

    Parameters
    ----------
    path : ``.h5``, ``.hdf5``, also with ``.gz``: weights or a whole model of Keras 2, or of Keras 3 in that format. ``.pt``, ``.pth``,
        ``.bin``, ``.ckpt``: a state dict of PyTorch, or a checkpoint that holds one, as PyTorch Lightning writes it. ``.npz``,
        ``.safetensors``: arrays. ``.onnx``: initialisers, also those in a file beside it.
    wanted : size in bytes of the weights to replace; a file whose arrays are many times larger is refused before they are read.

    Returns
    -------
    dict : name -> array; names in Keras files are "layer/role", in the order of the layers (see `_keras_weights`).

    Raises
    ------
    ModelError : the file is missing, of another kind, damaged or too large, or cannot be read without running code that is in it.
    MissingExtraError : h5py, torch or onnx is not installed.
    """
    path = Path(path)
    _refuse_text(path)
    budget, name = _Budget(path, wanted), path.name.lower()
    budget.check("the file itself", path.stat().st_size)
    if name.endswith((".h5", ".hdf5")):
        return _read_keras(path, budget)
    if name.endswith((".h5.gz", ".hdf5.gz")):
        return _read_keras(_unzip(path, budget), budget)
    if name.endswith((".pt", ".pth", ".ckpt", ".bin")):
        return _read_torch(path, budget)
    if name.endswith(".npz"):
        return _read_npz(path, budget)
    if name.endswith(".safetensors"):
        return _read_safetensors(path)
    if name.endswith(".onnx"):
        return _read_onnx(path, budget)
    raise ModelError(f"{path} is not a known kind of weight file; known: {_KNOWN}")


def strip_prefixes(arrays: Weights) -> Iterator[Weights]:
    """Yield arrays of PyTorch by their names, then without the prefixes that all of them share, such as ``module.`` or ``model.``."""
    yield arrays
    while len(firsts := {name.partition(".")[0] for name in arrays}) == 1 and all("." in name for name in arrays):
        arrays = {name.removeprefix(f"{next(iter(firsts))}."): array for name, array in arrays.items()}
        yield arrays


def find_missing(found: Weights, wanted: Weights, head: Collection[str]) -> list[str]:
    """Compare the weights of a file with those of a network; name what the file lacks: nothing, or the head.

    Raises
    ------
    ModelError : it lacks others or a part of the head, has some too many, or some of another shape.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    problems = [] if set(missing) == set(head) else [f"{name} {wanted[name].shape} is missing" for name in missing]
    for name, array in found.items():
        if name not in wanted:
            problems.append(f"{name} {array.shape} is not a weight of the network")
        elif array.shape != wanted[name].shape and not (name.endswith(_COUNTER) and array.size == 1):
            problems.append(f"{name} has the shape {array.shape}, not {wanted[name].shape}")
    if problems:
        raise ModelError(
            f"{'; '.join(problems)}. Check the model's settings, the windows it was built for, and the labels: if the file has others "
            "than the model, or in another order, they go to load_weights(labels=...)"
        )
    return missing


def match_outputs(wanted: Sequence[str], labels: Sequence[str]) -> list[int]:
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
        raise ModelError(f"{path} holds no weights: it {begins}; the download gave something else; fetch it again and check its size")


def _need_numbers(path: Path, name: str, kind: Any) -> None:
    """Refuse an array of something else than numbers."""
    if getattr(kind, "kind", "") not in ("f", "i", "u", "b"):
        raise ModelError(f"{path}: {name} holds {kind}, not numbers; expected weights")


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} is damaged, or not of the kind its name says ({first_line(error)}); download it again and compare its size or checksum"
    )


# ---- Keras


def _unzip(path: Path, budget: _Budget) -> io.BytesIO:
    try:
        with gzip.open(path) as file:
            content = file.read(budget.left + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    budget.check("what is unzipped of it", len(content))
    return io.BytesIO(content)


def _read_keras(source: Path | io.BytesIO, budget: _Budget) -> Arrays:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "hdf5") from None
    try:
        with h5py.File(source, "r") as file:
            return dict(_read_layers(_open_inside(file, "model_weights", budget.path) if "model_weights" in file else file, budget))
    except ModelError:
        raise
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError) as error:
        raise _damaged(budget.path, error) from error


def _read_layers(root: Any, budget: _Budget) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield "layer/role" and array of all weights, in the order the file lists them."""
    path, layers = budget.path, _read_names(root, "layer_names")
    if layers is None:
        raise ModelError(
            f"{path} has no layer_names, so it is not a weight file of Keras 2; from Keras 3, save the model with model.save('name.h5')"
        )
    for layer in layers:
        group = _open_inside(root, layer, path)
        names = _read_names(group, "weight_names") or []
        inner = {name: _name_layer(name) for name in names}
        nested = len(set(inner.values())) > 1  # a model used as a layer: each of its own layers has a name
        for name in names:
            dataset, full = _open_inside(group, name, path), f"{layer}/{name}"
            _need_numbers(path, full, dataset.dtype)
            if dataset.external or dataset.is_virtual:
                raise ModelError(f"{path}: {full} lies in another file; a weight file that reads others is refused")
            budget.take(full, dataset.nbytes)
            yield f"{layer}/{inner[name]}/{role(name)}" if nested else f"{layer}/{role(name)}", np.asarray(dataset)


def _open_inside(group: Any, name: str, path: Path) -> Any:
    """Return what lies in a group under a path, by no link to elsewhere."""
    import h5py

    for part in filter(None, name.split("/")):
        if part not in group:
            raise KeyError(f"{name} is missing")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ModelError(f"{path}: {name} is a link to another place or file; a weight file with such links is refused")
        group = group[part]
    return group


def _read_names(group: Any, attribute: str) -> list[str] | None:
    """Return a list of names that Keras keeps as an attribute, in numbered parts where it is too long for one."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        numbers = iter(range(len(group.attrs)))
        parts = [group.attrs[f"{attribute}{n}"] for n in numbers if f"{attribute}{n}" in group.attrs]
        if not parts:
            return None
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _name_layer(name: str) -> str:
    """Name the layer a weight belongs to by its path; the directions of a bidirectional layer belong to one."""
    return re.split(r"(?:^|/)(?:forward_|backward_)", name.rpartition("/")[0])[0]


# ---- PyTorch


def _read_torch(path: Path, budget: _Budget) -> Arrays:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch") from None
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                budget.check("what is unzipped of it", sum(part.file_size for part in file.infolist()))
        with _allow_classes():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # what unpickling raises has no base class but this one
        if wanted := re.search(r"GLOBAL \S+|Unsupported class \S+|TorchScript", str(error)):
            raise ModelError(
                f"{path} holds more than tensors ({wanted[0][:100]}), and reading it would run code that it names: refused. If you "
                "trust it, open it elsewhere and save the tensors of its state_dict() with safetensors.torch.save_file"
            ) from error
        raise _damaged(path, error) from error
    return {name: _to_array(name, tensor, budget) for name, tensor in _find_state_dict(found, path).items()}


@contextmanager
def _allow_classes() -> Iterator[None]:
    """Let a checkpoint hold what trainers write beside tensors, numbers of NumPy and settings; of these nothing acts when it is made."""
    import torch

    scalar = np.float64(0).__reduce__()[0]  # makes a number from its bytes
    numbers = {type(np.dtype(kind)) for kind in (*np.typecodes["AllInteger"], *np.typecodes["Float"], "?")}
    # A class under its own name, or under another: NumPy 1's, Lightning's, which need not be installed.
    known: list[Any] = [np.dtype, scalar, *numbers, argparse.Namespace, pathlib.PosixPath]
    packages = ("lightning_fabric.utilities.data", "lightning.fabric.utilities.data", "pytorch_lightning.utilities.parsing")
    others: list[tuple[Any, str]] = [(OrderedDict, f"{package}.AttributeDict") for package in packages]  # of hyper-parameters
    others += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    if hasattr(torch.serialization, "safe_globals"):
        try:
            allowed = torch.serialization.safe_globals([*known, *others])
        except (TypeError, ValueError, AttributeError):  # before PyTorch 2.6: no other names
            allowed = torch.serialization.safe_globals(known)
        with allowed:
            yield
    else:  # PyTorch 2.4: tensors alone
        yield


def _to_array(name: str, tensor: "torch.Tensor", budget: _Budget) -> NDArray[Any]:
    """Return a tensor as an array."""
    import torch

    refusal = f"{budget.path}: {name} is a {tensor.layout} tensor of {tensor.dtype} on {tensor.device.type}, not a dense array"
    if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.device.type != "cpu":
        raise ModelError(f"{refusal}; save it as torch.float32, dense")
    budget.take(name, tensor.numel() * max(tensor.element_size(), 4))  # its shape may claim more than it holds
    tensor = tensor.detach()
    try:
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # NumPy has no bfloat16
    except (TypeError, RuntimeError) as error:
        raise ModelError(f"{refusal}; save it as torch.float32") from error


def _find_state_dict(found: Any, path: Path) -> dict[str, Any]:
    """Find the tensors: a state dict, the one that a checkpoint calls so, or the only one in it."""
    candidates = {"": found, **found} if isinstance(found, Mapping) else {}
    states = {key: dict(value) for key, value in candidates.items() if _is_state(value)}
    if "state_dict" in states:
        return states["state_dict"]
    if len(states) != 1:
        told = f"{len(states)} state dicts ({', '.join(map(str, states))})" if states else f"not a state dict but a {type(found).__name__}"
        raise ModelError(f"{path} holds {told}; save the state_dict() of one network")
    return next(iter(states.values()))


def _is_state(value: Any) -> bool:
    import torch

    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())


# ---- arrays


def _read_npz(path: Path, budget: _Budget) -> Arrays:
    found: Arrays = {}
    try:
        with zipfile.ZipFile(path) as file:
            for part in file.infolist():
                name = part.filename.removesuffix(".npy")
                with file.open(part) as stream:
                    shape, kind = _read_header(stream)
                _need_numbers(path, name, kind)
                budget.take(name, kind.itemsize * math.prod(shape))
                with file.open(part) as stream:
                    found[name] = np.lib.format.read_array(stream, allow_pickle=False)
    except (
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        tokenize.TokenError,
    ) as error:
        raise _damaged(path, error) from error
    return found


def _read_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type that the head of a NumPy file claims."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(stream)
    return shape, kind


def _read_onnx(path: Path, budget: _Budget) -> Arrays:
    try:
        return read_initializers(path, budget.take)
    except (ModelError, MissingExtraError):
        raise
    except Exception as error:  # protobuf's has no base class but this one
        raise _damaged(path, error) from error


def _read_safetensors(path: Path) -> Arrays:
    """Read a file whose arrays lie in it as they are: it is as large as they."""
    from safetensors import SafetensorError, deserialize

    try:
        return {name: _decode(path, name, about) for name, about in deserialize(path.read_bytes())}  # type: ignore[no-untyped-call]
    except (OSError, LookupError, TypeError, ValueError, SafetensorError) as error:
        raise _damaged(path, error) from error


_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
_SAFETENSORS |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": "<u2"}


def _decode(path: Path, name: str, about: Mapping[str, Any]) -> NDArray[Any]:
    kind = about["dtype"]
    if kind not in _SAFETENSORS:
        raise ModelError(f"{path}: {name} holds {kind}, which NumPy does not know; save it as F32")
    array = np.frombuffer(about["data"], _SAFETENSORS[kind]).reshape(about["shape"])
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()
