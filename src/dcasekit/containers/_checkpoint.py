"""A training run on disk: one file, replaced after every epoch, that holds arrays and a few JSON values, and no code."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.files import replacing
from dcasekit.core.units import PathLike
from dcasekit.errors import ModelError, first_line

Arrays = Mapping[str, NDArray[Any]]


def hash_weights(weights: Arrays, words: Sequence[str]) -> str:
    """Hash arrays, in their order, and words that belong to them."""
    digest = hashlib.sha256(repr(sorted(words)).encode())
    for name, array in weights.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.require(array, requirements="C").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class State:
    """What a run has come to.

    Parameters
    ----------
    values : JSON values: history, counters.
    arrays : "group.name" -> array; see `group`.
    """

    values: Mapping[str, Any]
    arrays: Arrays

    def group(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays whose names begin with one word, without it."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): array for key, array in self.arrays.items() if key.startswith(prefix)}


def checkpoint_path(folder: PathLike) -> Path:
    """Name the file of the run that is kept in a folder."""
    return Path(folder) / "checkpoint.safetensors"


def save_checkpoint(folder: PathLike, run: Mapping[str, Any], state: State) -> None:
    """Write a run's state, atomically.

    Parameters
    ----------
    folder : of the run.
    run : what decides its result, as JSON values; only the same run is taken up.
    state : what it has come to.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.require(array, requirements="C") for name, array in sorted(state.arrays.items())}
    with replacing(checkpoint_path(folder)) as temporary:
        text = json.dumps({"run": run, **state.values})
        save_file(arrays, temporary, metadata={"state": text, "sha256": hash_weights(arrays, [text])})


def load_checkpoint(folder: PathLike, run: Mapping[str, Any]) -> State | None:
    """Read the state of the run that is kept in a folder; ``None``: there is none.

    Raises
    ------
    ModelError : the file cannot be read, or is of another run; the error names what differs.
    """
    from safetensors import SafetensorError, safe_open

    path = checkpoint_path(folder)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata()
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if about["sha256"] != hash_weights(arrays, [about["state"]]):
            raise ValueError("its checksum does not match its content")
        values = json.loads(about["state"])
        other = dict(values.pop("run"))
        if not all(is_record(record, epoch) for epoch, record in enumerate(values["history"], 1)):
            raise TypeError("its history does not have one record per epoch")
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError, SafetensorError) as error:
        raise ModelError(f"{path} is not a readable checkpoint ({first_line(error)}); delete it to train from the start") from error
    if changed := [name for name in {**other, **run} if other.get(name) != run.get(name)]:
        told = "; ".join(_difference(name, other.get(name), run.get(name)) for name in sorted(changed))
        raise ModelError(f"{path} belongs to another run: {told}; delete it, or give another folder for resume")
    return State(values, arrays)


def is_record(record: Any, epoch: int) -> bool:
    """Tell whether a value can be the record of an epoch, counted from 1."""
    numbers = isinstance(record, dict) and all(isinstance(value, int | float) for value in record.values())
    return numbers and record.get("epoch") == epoch and "loss" in record


def _difference(name: str, before: Any, now: Any) -> str:
    """Say how two runs differ in one respect."""
    if name in ("data", "validation") and before and now:
        return f"the {name} differ: their clips, labels, features, scaler or audio have changed"
    return f"{name} was {before}, now {now}" if len(f"{before}{now}") < 80 else f"{name} differs"
