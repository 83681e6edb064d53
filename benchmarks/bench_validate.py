"""How fast a dataset's audio is checked: `Dataset.validate` on many small files, of headers alone and in full, by format.

10,000 wav files of 1 s, and 1,000 each of other formats, all in the page cache: what is measured is the work, not the disk. The peer is
what people write today, one process: `soundfile.info` of every file for headers; `soundfile.read`, a test for silence and a SHA-256 for
the full check. Rounds alternate, so that a busy machine slows all; medians are the figures. In brackets, of one process, files per second
of the processor's time, which others on the machine do not take away. The target for headers is 1,000 files/s.

    python benchmarks/bench_validate.py [--wav 10000] [--others 1000] [--rounds 3] [--json FILE]
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.datasets import Dataset

SR, TARGET = 16000, 1000
FORMATS = {
    "wav, 16 bit": ("wav", "PCM_16"),
    "wav, 24 bit": ("wav", "PCM_24"),
    "flac": ("flac", None),
    "ogg": ("ogg", None),
    "mp3": ("mp3", None),
}


class Files(Dataset):
    """All files of a folder, for this benchmark."""

    task, labels, folds, licence, citation = "tagging", ("a",), ("all",), "none", "none"

    def load(self) -> Iterable[Clip]:
        """List the folder."""
        return (Clip(id=path.name, path=path, fold="all") for path in sorted(self.root.glob("*.*")))


def write(folder: Path, suffix: str, subtype: str | None, count: int) -> Files:
    """Write files of 1 s of noise, no two alike."""
    noise = np.random.default_rng(0).normal(0, 0.1, SR + count).astype(np.float32)
    for number in range(count):
        audio.write(folder / f"{number:05d}.{suffix}", noise[number : number + SR], SR, subtype=subtype)
    return Files(folder)


def peer(dataset: Files, *, content: bool) -> None:
    """Check one file after the other with soundfile."""
    digests = set()
    for clip in dataset.clips:
        if not content:
            soundfile.info(clip.path)
            continue
        samples, _ = soundfile.read(clip.path, dtype="float32")
        assert samples.any()
        digests.add(hashlib.sha256(clip.path.read_bytes()).digest())


def ours(dataset: Files, *, content: bool, jobs: int) -> None:
    """Check with dcasekit."""
    assert dataset.validate(content=content, jobs=jobs) == []


CHECKS: dict[str, Callable[..., None]] = {
    "soundfile, 1 process": peer,
    "dcasekit, 1 process": partial(ours, jobs=1),
    "dcasekit, 2 processes": partial(ours, jobs=2),
}


def measure(dataset: Files, rounds: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Time every check of one folder: what is read -> check -> seconds, by the clock and of this process."""
    seconds = {read: {label: [] for label in CHECKS} for read in ("header", "full")}
    for _ in range(rounds):
        for read, times in seconds.items():
            for label, check in CHECKS.items():
                began, worked = time.perf_counter(), time.process_time()
                check(dataset, content=read == "full")
                times[label].append((time.perf_counter() - began, time.process_time() - worked))
    return seconds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wav", type=int, default=10000)
    parser.add_argument("--others", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    table = Table("files", "read", *CHECKS, title=f"files per second, {options.rounds} rounds")
    found: dict[str, object] = {}
    default: dict[str, float] = {}  # of headers, with the default number of processes on two cores
    for name, (suffix, subtype) in FORMATS.items():
        count = options.others if found else options.wav
        with tempfile.TemporaryDirectory() as folder:
            dataset = write(Path(folder) / "audio", suffix, subtype, count)
            ours(dataset, content=False, jobs=2)  # worker processes start on the first call, and the files come into the cache
            seconds = measure(dataset, options.rounds)
        found[name] = {"files": count, "seconds": seconds}
        for read, times in seconds.items():
            rates = {label: [count / statistics.median(column) for column in zip(*pairs, strict=True)] for label, pairs in times.items()}
            cells = (f"{wall:,.0f}" + (f" ({own:,.0f})" if "1 process" in label else "") for label, (wall, own) in rates.items())
            table.add_row(f"{count} {name}", read, *cells)
            if read == "header":
                default[name] = rates["dcasekit, 2 processes"][0]
    missed = ", ".join(name for name, rate in default.items() if rate < TARGET)
    Console().print(table, f"headers, 2 processes: {TARGET:,} files/s {f'missed by {missed}' if missed else 'reached by every format'}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
