"""Training beside other work, by how OpenMP's threads wait: the time of epochs of CompactCNN alone, and with every core busy but one.

Threads that wait actively (GNU's and Intel's default) burn the time that another process, or their own fellow, needs. Each row is a process
of its own, since the policy is read once, when PyTorch is loaded; rows take turns, and the medians are shown.

    python benchmarks/bench_threads.py [--rounds 3] [--epochs 3]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

WAYS = {
    "as PyTorch is": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "dcasekit": {"DCASEKIT": "1"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
WINDOWS = 320


def work(epochs: int) -> None:
    """Train; print seconds per epoch, the first one left out."""
    if os.environ.get("DCASEKIT"):
        from dcasekit.core.threads import share_cores

        share_cores()
    import numpy as np

    from dcasekit.models import CompactCNN

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(WINDOWS, 64, 64)).astype(np.float32), np.eye(10, dtype=np.float32)[rng.integers(10, size=WINDOWS)]
    history = CompactCNN().train((x, y), epochs=epochs + 1, device="cpu")
    print(statistics.median(record["seconds"] for record in history[1:]))


def seconds(way: dict[str, str], epochs: int, busy: int) -> float:
    """Time epochs beside so many processes that do nothing but compute."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_"))} | way
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]  # noqa: S603 - ourselves
    try:
        time.sleep(0.2)
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, __file__, "--work", str(epochs)], env=environment, capture_output=True, text=True, check=True
        )
    finally:
        for other in others:
            other.kill()
    return float(done.stdout)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work)
    cores = len(os.sched_getaffinity(0))
    beside = (0, max(1, cores - 1), cores)
    table = Table("threads wait", *(f"{busy} busy of {cores} cores, s" for busy in beside), title="CompactCNN, an epoch of 320 windows")
    times: dict[str, list[list[float]]] = {name: [[] for _ in beside] for name in WAYS}
    for _ in range(options.rounds):
        for column, busy in enumerate(beside):
            for name, way in WAYS.items():
                times[name][column].append(seconds(way, options.epochs, busy))
    for name, columns in times.items():
        table.add_row(name, *(f"{statistics.median(each):.2f}" for each in columns))
    Console().print(table)
    return None


if __name__ == "__main__":
    main()
