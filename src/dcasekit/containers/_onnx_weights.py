"""The weights of ONNX files, read as arrays: of the graph nothing is run, and what lies in other files must lie beside it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.errors import MissingExtraError, ModelError


def read_initializers(path: Path, take: Callable[[str, int], None]) -> dict[str, NDArray[Any]]:
    """Read the initialisers of an ONNX file that are arrays of floating-point numbers, by their names.

    Numbers that only quantize, and shapes, are no weights: scales are told by their name, the rest by its kind.

    Parameters
    ----------
    take : told of the name and bytes of each array before it is read; raises where they are too many.

    Raises
    ------
    ModelError : an array lies in a file elsewhere, or is not all there.
    MissingExtraError : onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    graph = onnx.load(str(path), load_external_data=False).graph
    kinds = {onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.FLOAT16: "<f2", onnx.TensorProto.DOUBLE: "<f8"}
    found = {}
    for tensor in graph.initializer:
        if tensor.data_type not in kinds or not tensor.dims or tensor.name.endswith("_scale"):
            continue
        kind, shape = np.dtype(kinds[tensor.data_type]), tuple(tensor.dims)
        take(tensor.name, kind.itemsize * math.prod(shape))
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            found[tensor.name] = _read_beside(path, tensor, kind, shape)
        else:
            found[tensor.name] = onnx.numpy_helper.to_array(tensor)
    return found


def _read_beside(path: Path, tensor: Any, kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    where = {entry.key: entry.value for entry in tensor.external_data}
    other = path.parent / where["location"]
    if Path(where["location"]).name != where["location"] or other.is_symlink():
        raise ModelError(f"{path}: {tensor.name} lies in {where['location']!r}; only files beside it are read: put them into one folder")
    with other.open("rb") as file:
        file.seek(int(where.get("offset", 0)))
        data = file.read(kind.itemsize * math.prod(shape))
    if len(data) < kind.itemsize * math.prod(shape):
        raise ModelError(f"{other} ends before {tensor.name} of {path.name} does; fetch it again")
    return np.frombuffer(data, kind).reshape(shape)
