"""Folders of saved models of each backend, a file of which is damaged, with or without a checksum that fits."""

import hashlib
import importlib.util
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from mutations import damage, tree

import dcasekit
from dcasekit import audio
from dcasekit.core import discover
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator.scaler import Scaler

SHAPE, LABELS = (12, 8), ("cat", "dog")
SETTINGS = {
    "mlp": {"hidden_layers_size": (4,), "dropout_rates": (0.0,)},
    "compact_cnn": {},
    "sklearn.random_forest": {},
    "sklearn.logistic_regression": {},
    "sklearn.svm": {},
    "keras.mlp": {"hidden_layers_size": (4,), "dropout_rates": (0.0,)},
}
FILES: dict[str, dict[str, bytes]] = {}


def prepare(folder: Path) -> None:
    """Train a model of each and save it."""
    rng = np.random.default_rng(0)
    audio.write(folder / "noise.wav", rng.normal(0, 0.1, 8000).astype(np.float32), 8000)
    data = rng.normal(size=(8, *SHAPE)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    for name, settings in SETTINGS.items():
        if name.startswith("keras") and importlib.util.find_spec("keras") is None:
            continue
        model = discover.load("models", name)(**settings)
        model.train(data, epochs=1, device="cpu")
        model.features = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=8), sequence_time=0.192)
        model.scaler = Scaler(("standard", "minmax", "window")[len(FILES) % 3]).fit(data[0])
        model.save(folder / name)
        FILES[name] = {path.name: path.read_bytes() for path in sorted((folder / name).iterdir())}


def case(seed: int) -> tuple[str, bytes]:
    """Give a file of a model, (model, how, name; content)."""
    rng = random.Random(seed)
    model = rng.choice(list(FILES))
    name = rng.choice(["model.json", "model.json", "model.json", "weights.safetensors"])
    content, others = FILES[model][name], [files[name] for files in FILES.values()]
    if name == "model.json" and rng.random() < 0.5:  # what it says elsewhere is as it was
        about = json.loads(content)
        key = rng.choice([*about, "settings", "settings", "scaler", "features"])
        return f"{model}/plain/{name}", json.dumps(about | {key: tree(rng, about[key])}).encode()
    return f"{model}/{rng.choice(['sealed', 'sealed', 'plain'])}/{name}", damage(rng, content, others)


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Load the model, let it answer windows, and save it again."""
    model, how, file = name.split("/")
    files = FILES[model] | {file: content}
    if how == "sealed" and file == "weights.safetensors":
        about = json.loads(files["model.json"])
        files["model.json"] = json.dumps(about | {"weights_sha256": hashlib.sha256(content).hexdigest()}).encode()
    (folder / "model").mkdir()
    for each, held in files.items():
        (folder / "model" / each).write_bytes(held)

    def use() -> None:
        loaded = dcasekit.load(folder / "model")
        with np.errstate(all="ignore"):
            for scores in loaded.predict(np.zeros((2, *loaded.shape), np.float32)):
                assert scores.values.shape[1] == len(loaded.labels)
        loaded.save(folder / "again")
        dcasekit.load(folder / "again")
        with np.errstate(all="ignore"):
            if loaded.features is not None:
                loaded.predict([folder.parent / "prepared" / "noise.wav"])

    yield use
    shutil.rmtree(folder / "again", ignore_errors=True)
