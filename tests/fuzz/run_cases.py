"""Folders of training runs, copies and scalers, a file of which is damaged: checkpoints, histories, markers, records."""

import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mutations import damage

from dcasekit import testing
from dcasekit.augmentations import AugmentedDataset, WhiteNoise
from dcasekit.cli.training import Journal, claim, evaluation_fold
from dcasekit.core import discover
from dcasekit.datasets import Dataset
from dcasekit.generator.scaler import Scaler

SHAPE = (6, 4)
RUN = {"dataset": "ESC10", "fold": "fold1", "training": {"epochs": 3, "schedule": "constant", "loss": None}, "model": {"units": [4, 5]}}
EPOCH = {"epoch": 1, "loss": 0.5, "val_loss": 0.5, "val_accuracy": 0.5, "seconds": 1.0}
FILES: dict[str, bytes] = {}
MADE: dict[str, Any] = {}


def train(backend: str, folder: Path, *, epochs: int) -> None:
    """Train a small network, or go on; its checkpoint is in the folder."""
    model = discover.load("models", backend)(hidden_layers_size=(3,), dropout_rates=(0.0,))
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, *SHAPE)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    model.train(data, data, epochs=epochs, device="cpu", resume=folder, early_stopping=5)
    assert len(model.history) == epochs
    model.answer(data[0])


def prepare(folder: Path) -> None:
    """Make one of each."""
    MADE["folder"], MADE["dataset"] = folder, testing.make_dataset("esc10", folder / "esc10", clips=6, seconds=0.1, sr=8000)
    train("mlp", folder / "torch", epochs=1)
    FILES["torch/checkpoint.safetensors"] = (folder / "torch" / "checkpoint.safetensors").read_bytes()
    for epoch in (1, 2):
        Journal(folder / "run")({**EPOCH, "epoch": epoch})
    FILES["run/history.csv"] = (folder / "run" / "history.csv").read_bytes()
    FILES["run/run.json"] = json.dumps(RUN).encode()
    Scaler().fit(np.random.default_rng(0).normal(size=(5, 4))).save(folder / "scaler.json")
    FILES["scaler/scaler.json"] = (folder / "scaler.json").read_bytes()
    _augment(MADE["dataset"])
    MADE["dataset"].change_sampling_rate(4000, jobs=1)
    root = folder / "esc10"
    copies = sorted(path for path in root.rglob("*") if path.suffix == ".json" or path.name == ".dcasekit")
    FILES.update({f"copies/{path.relative_to(root).as_posix()}": path.read_bytes() for path in copies})


def _augment(dataset: Dataset) -> Dataset:
    augmented = AugmentedDataset(dataset, [WhiteNoise(snr=20)], seed=1)
    augmented.process(jobs=1)
    assert len(augmented.clips) == 12
    return augmented


def case(seed: int) -> tuple[str, bytes]:
    """Give a file; of a checkpoint as often what its head says as any of its bytes."""
    rng = random.Random(seed)
    kind = rng.choice(sorted({name.partition("/")[0] for name in FILES}))
    name = rng.choice([name for name in FILES if name.startswith(f"{kind}/")])
    content, others = FILES[name], list(FILES.values())
    if name.endswith(".safetensors") and rng.random() < 0.8:
        (size,) = struct.unpack("<Q", content[:8])
        head = json.loads(content[8 : 8 + size])
        if rng.random() < 0.7:  # what we wrote into it
            head["__metadata__"]["state"] = damage(rng, head["__metadata__"]["state"].encode()).decode(errors="replace")
            text = json.dumps(head).encode()
        else:
            text = damage(rng, content[8 : 8 + size])
        return name, struct.pack("<Q", len(text)) + text + content[8 + size :]
    return name, damage(rng, content, others)


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Go on with what the file belongs to."""
    kind, _, file = name.partition("/")
    if kind == "copies":
        yield from _copies(file, content)
        return
    path = folder / file
    {"history.csv": lambda: Journal(folder)(EPOCH), "run.json": lambda: claim(folder, RUN)}.get(file, lambda: None)()
    path.write_bytes(content)
    if kind == "torch":
        yield lambda: train("mlp", folder, epochs=2)
    elif kind == "scaler":
        yield lambda: Scaler.load(path).transform(np.zeros((2, 4)))
        yield lambda: Scaler.load(path).save(path)
    elif file == "history.csv":
        yield lambda: Journal(folder)({**EPOCH, "epoch": 3})
        yield lambda: Journal(folder)(EPOCH)
    else:
        (folder / "model").mkdir()
        yield lambda: claim(folder, RUN)
        yield lambda: evaluation_fold(folder / "model", MADE["dataset"], None)
        yield lambda: evaluation_fold(folder / "model", MADE["dataset"], "fold2")


def _copies(file: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Make copies again beside a record that is not as it was: they are made anew, or refused by name."""
    root = MADE["folder"] / "esc10"
    aside = MADE["folder"] / "aside"
    shutil.copytree(root, aside)
    (root / file).write_bytes(content)
    plain = type(MADE["dataset"])(root)

    def resample() -> None:
        plain.change_sampling_rate(4000, jobs=1)
        assert len(plain.clips) == 6

    try:
        yield lambda: _augment(type(plain)(root))
        yield resample
    finally:
        shutil.rmtree(root)
        aside.rename(root)
