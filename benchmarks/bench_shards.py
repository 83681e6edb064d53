"""Training's batches from a memory map, and shard by shard through a buffer: speed from a cold disk, reads, and how well it mixes.

    python benchmarks/bench_shards.py
    python benchmarks/bench_shards.py --clips 8000 --delay 5

Clips of ten seconds lie in a store in the order of their names, and so of their classes: the worst case for a shuffle that does not reach
everywhere. The file is put out of the page cache before each epoch. `requests` are reads that do not go on where the one before ended: each
costs a network a round trip, and `far` is the time of an epoch if that takes `--delay` milliseconds more than here. `clips` and `classes`
are how many a batch of 32 windows holds on average, and `accuracy` what a network reaches on other clips, trained the same number of steps.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import DataGenerator, Scaler, audio
from dcasekit.datasets import Folder
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.features._store import FeatureStore
from dcasekit.models import CompactCNN

SR, CLASSES, BATCH = 8000, 10, 32


def make(folder: Path, clips: int) -> Folder:
    """Write clips of a hum each, whose pitch follows the class, in noise; an eighth of them is for validation."""
    rng, at = np.random.default_rng(0), np.arange(10 * SR) / SR
    lines = ["filename\tlabel\tfold"]
    for number in range(clips):
        kind = number * CLASSES // clips
        hum = np.sin(2 * np.pi * (200 + 40 * kind + rng.uniform(-15, 15)) * at + rng.uniform(0, 6)) * (np.sin(at * rng.uniform(2, 9)) > 0)
        name = f"{kind:02}-{number:06}.wav"
        audio.write(folder / "audio" / name, (0.05 * hum + 0.2 * rng.standard_normal(len(at))).astype(np.float32), SR)
        lines.append(f"{name}\tclass{kind}\t{'validate' if number % 8 == 7 else 'train'}")
    (folder / "audio" / "labels.tsv").write_text("\n".join(lines) + "\n")
    return Folder(folder / "audio", cache=folder / "cache", task="classification")


def forget(store: FeatureStore) -> int:
    """Put the store's frames out of the page cache; give how many bytes they are."""
    total = 0
    for path in store.folder.glob("frames-*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        total += path.stat().st_size
    return total


class Requests:
    """Count reads that do not go on where the one before ended."""

    def __init__(self) -> None:
        self.count, self._end = 0, ("", 0)

    def __enter__(self) -> "Requests":
        self._read, self._numbers = FeatureStore.read, np.fromfile
        FeatureStore.read = lambda store, clip, start=0, stop=None: self._note(store, clip, start, stop)  # type: ignore[method-assign]
        np.fromfile = self._from_file
        return self

    def __exit__(self, *_: object) -> None:
        FeatureStore.read, np.fromfile = self._read, self._numbers  # type: ignore[method-assign]

    def _note(self, store: FeatureStore, clip: str, start: int, stop: int | None) -> Any:
        entry = store.entry(clip)
        if stop is None or stop > start:
            self._look(entry.file, entry.first + start, entry.first + (entry.frames if stop is None else stop))
        return self._read(store, clip, start, stop)

    def _from_file(self, path: Path, dtype: Any, count: int, offset: int) -> Any:
        self._look(path.name, offset, offset + 4 * count)
        return self._numbers(path, dtype, count, offset=offset)

    def _look(self, file: str, first: int, end: int) -> None:
        self.count += (file, first) != self._end
        self._end = (file, end)


def measured(data: DataGenerator, test: DataGenerator, delay: float, epochs: int, seed: int) -> dict[str, float]:
    """Read an epoch from a cold disk, look at its batches, and train."""
    store = data.features.store(data.dataset)
    size, began = forget(store), time.perf_counter()
    kinds: list[int] = []
    clips: list[int] = []
    with Requests() as requests:
        for batch in data.batches(0, BATCH, seed=seed):
            clips.append(len(set(batch.clips)))
            kinds.append(len(set(batch.y.argmax(axis=1).tolist())))
    took = time.perf_counter() - began
    model = CompactCNN()
    model.train(data, epochs=epochs, batch_size=BATCH, seed=seed, device="cpu")
    found = {"MiB": size / 2**20, "s": took, "requests": requests.count, "far": took + delay / 1000 * requests.count}
    return found | {
        "clips": float(np.mean(clips)),
        "classes": float(np.mean(kinds)),
        "accuracy": model.evaluate(test).numbers["accuracy"],
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1600)
    parser.add_argument("--delay", type=float, default=1.0, help="milliseconds of a round trip")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=160, mel=Mel(bands=64), sequence_time=1.0, sequence_hop_time=1.0)
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        dataset = make(Path(temporary), args.clips)
        features.extract(dataset)
        test = DataGenerator(dataset, features, folds=["validate"], train=False)
        for share in (None, 0.5, 0.1, 0.02):
            plain = DataGenerator(dataset, features, folds=["train"])
            buffer = None if share is None else round(share * plain.size)
            data = DataGenerator(dataset, features, folds=["train"], buffer=buffer)
            data.set_scaler(Scaler().fit(plain))
            name = "map" if buffer is None else f"buffer {share:.0%}"
            results[name] = measured(data, test, args.delay, args.epochs, args.seed)
            print(f"{name:12}" + "  ".join(f"{key} {value:,.4g}" for key, value in results[name].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
