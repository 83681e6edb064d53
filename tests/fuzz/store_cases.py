"""Feature stores whose index, frames, settings or parts are damaged, with or without a checksum that fits."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from mutations import damage

from dcasekit import testing
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.features._store import FeatureStore

FEATURE = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=8))
MADE: dict[str, object] = {}


def prepare(folder: Path) -> None:
    """Make a dataset of few clips, and extract it."""
    dataset = testing.make_dataset("esc10", folder / "esc10", clips=6, seconds=0.2, sr=8000)
    store = FEATURE.extract(dataset, jobs=1)
    files = {path.name: path.read_bytes() for path in sorted(store.folder.iterdir()) if path.is_file()}
    entries = list(store.entries.items())
    files["part-x-1-1.bin"] = np.arange(80, dtype=np.float32).tobytes()
    files["part-x-1-1.log"] = b"".join(f"\n{json.dumps([clip, *entry.row()])}\n".encode() for clip, entry in entries[:2])
    truth = {clip: store.read(clip).copy() for clip in store.entries}
    MADE.update(dataset=dataset, folder=store.folder, files=files, truth=truth)


def case(seed: int) -> tuple[str, bytes]:
    """Give a file of the store; ``sealed``: with the checksum of what it says now."""
    rng = random.Random(seed)
    files = MADE["files"]
    name = rng.choice([*files, "index.json", "index.json"])
    content = damage(rng, files[name], list(files.values()))
    sealed = name == "index.json" and rng.random() < 0.7
    if sealed:
        body = damage(rng, b"{" + files[name].partition(b"\n")[2], list(files.values())).removeprefix(b"{")
        content = b'{"sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'",\n' + body
    return f"{'sealed' if sealed else 'plain'}/{name}", content


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Open a store and read its clips; then extract again, after which the frames are right where damage could be seen."""
    own, dataset, truth = MADE["folder"], MADE["dataset"], MADE["truth"]
    kind, _, file = name.partition("/")
    aside = folder / "aside"
    shutil.copytree(own, aside)
    for part in ("part-x-1-1.bin", "part-x-1-1.log") if file.startswith("part-") else ():
        (own / part).write_bytes(MADE["files"][part])
    (own / file).write_bytes(content)

    def read() -> None:
        store = FeatureStore(own)
        for clip in [*truth, *store.entries]:
            frames = store.read(clip)
            assert frames.dtype == np.float32
            assert frames.shape == (store.entry(clip).frames, store.entry(clip).dims)
            np.array(frames)
        str(dict(store.skipped))

    def extract() -> None:
        store = FEATURE.extract(dataset, jobs=1)
        for clip, frames in truth.items():
            found = store.read(clip)
            assert found.shape[1] == frames.shape[1] or kind == "sealed"
            if not (kind == "sealed" or file.startswith("frames-")):
                assert np.array_equal(found, frames), "extract did not repair the store"

    try:
        yield read
        yield extract
    finally:
        shutil.rmtree(own)
        shutil.copytree(aside, own)
