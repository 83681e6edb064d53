"""Weight files of other systems, damaged: NumPy's, Keras' HDF5, PyTorch's, safetensors."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from mutations import damage
from safetensors.numpy import save

from dcasekit.models import MLP

SHAPE, LABELS = (6, 4), ("cat", "dog")
MADE: dict[str, bytes] = {}


def model() -> MLP:
    """Make the network that all the files are of."""
    return MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build(SHAPE, LABELS)


def prepare(folder: Path) -> None:  # noqa: ARG001 - nothing is kept in files
    """Write the network's weights in every form."""
    weights = model().weights()
    tensors = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    MADE["npz"] = _npz(weights)
    MADE["safetensors"] = save({name: np.ascontiguousarray(array) for name, array in weights.items()})
    MADE["pt"] = _torch(tensors)
    MADE["pth"] = _torch(tensors, _use_new_zipfile_serialization=False)
    MADE["ckpt"] = _torch(
        {"state_dict": {f"model.{name}": tensor for name, tensor in tensors.items()}, "epoch": 3, "loss": np.float64(0.5)}
    )
    MADE["bin"] = _torch({name: tensor.bfloat16() for name, tensor in tensors.items()})
    MADE["h5"] = _keras(weights)
    MADE["hdf5"] = _keras(weights, whole=True)
    MADE["h5.gz"] = gzip.compress(MADE["h5"], mtime=0)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.save(part, array)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue())
    return memory.getvalue()


def _torch(content: object, **settings: bool) -> bytes:
    memory = io.BytesIO()
    torch.save(content, memory, **settings)
    return memory.getvalue()


def _keras(weights: dict[str, np.ndarray], *, whole: bool = False) -> bytes:
    memory = io.BytesIO()
    layers = sorted({name.rpartition(".")[0] for name in weights})
    with h5py.File(memory, "w") as file:
        root = file.create_group("model_weights") if whole else file
        root.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
        for layer in layers:
            group = root.create_group(layer)
            arrays = {"kernel": weights[f"{layer}.weight"].T, "bias": weights[f"{layer}.bias"]} if f"{layer}.weight" in weights else {}
            group.attrs["weight_names"] = np.array([f"{layer}/{role}:0".encode() for role in arrays])
            for role, array in arrays.items():
                group.create_dataset(f"{layer}/{role}:0", data=array)
    return memory.getvalue()


def case(seed: int) -> tuple[str, bytes]:
    """Give a file, (name, content); of a packed one as often what is packed as the pack."""
    rng = random.Random(seed)
    kind = rng.choice(list(MADE))
    content, others = MADE[kind], list(MADE.values())
    if kind == "h5.gz" and rng.random() < 0.5:
        return f"w.{kind}", gzip.compress(damage(rng, MADE["h5"], others), mtime=0)
    if zipfile.is_zipfile(io.BytesIO(content)) and rng.random() < 0.7:
        return f"w.{kind}", _inside(rng, content)
    return f"w.{kind}", damage(rng, content, others)


def _inside(rng: random.Random, content: bytes) -> bytes:
    """Damage a member of a zip, whose checksum then fits."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(memory, "w") as file:
        parts = source.namelist()
        chosen = rng.choice([name for name in parts if name.endswith(("pkl", "npy"))] + parts)
        for name in parts:
            held = source.read(name)
            file.writestr(zipfile.ZipInfo(name), damage(rng, held) if name == chosen else held)
    return memory.getvalue()


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Take them over, and answer."""
    path = folder / name
    path.write_bytes(content)

    def use() -> None:
        taking = model().load_weights(path)
        assert all(array.dtype.kind == "f" for array in taking.weights().values())
        taking.answer(np.zeros((1, *SHAPE), np.float32))

    yield use
