"""Training and inference of SB-CNN (241,434 parameters): ours beside the plain eager loop and beside Keras, in one run; then four more.

The same 320 windows (128 frames, 128 mel bands), Adam, batches of 32. Each system is a process of its own, because the setting of the
allocator is a process's; their epochs alternate, so that a busy machine slows all. Ratios are medians over rounds of a system's
windows per second to the plain loop's in that round; beside them stands the ratio of the fastest epochs, which other people's work on the
machine disturbed least. "plain" is what a tutorial writes; "tuned" is the same loop with all that ours does
for speed, so ours beside it is what the library itself costs.

    python benchmarks/bench_training.py [--rounds 9] [--keras tensorflow=/path/to/python] [--keras jax=/path/to/python] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/bench_training.py --only DcaseNet CRNN2018 CRNN2023 SceneCNN

Keras on PyTorch runs in this environment; other backends in the environment of a Python that has keras and the backend.

The second table: DcaseNet, CRNN2018, CRNN2023 and SceneCNN as published, 64 windows, batches of 8 and of 32, ours and the plain loop over
the same network in processes that take turns. With one thread, what counts is the processor's time, which other work on the machine
changes little; with more it is the clock's. No ratio may be above 1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WINDOWS, BATCH, FRAMES, BANDS, LABELS = 320, 32, 128, 128, 10

Step = Callable[[], float]

# Of the second table: (frames, dims), labels, answers frames.
NETWORKS = {
    "DcaseNet": ((250, 128), 10, True),
    "CRNN2018": ((500, 64), 10, True),
    "CRNN2023": ((200, 64), 17, True),
    "SceneCNN": ((500, 40), 10, False),
}
SIZES, EPOCH = (8, 32), 64  # windows of a batch, of an epoch


def data() -> tuple[np.ndarray, np.ndarray]:
    """Make windows that hold the pattern of their label, and noise: learned in a few epochs, not in one."""
    rng = np.random.default_rng(0)
    label = rng.integers(LABELS, size=WINDOWS)
    patterns = rng.normal(size=(LABELS, 1, BANDS)) * 0.5
    x = patterns[label] + rng.normal(size=(WINDOWS, FRAMES, BANDS))
    return x.astype(np.float32), np.eye(LABELS, dtype=np.float32)[label]


def torch_loop(*, tuned: bool) -> tuple[Step, Step]:
    """Write the loop by hand: an epoch of training that gives its mean loss, and one of prediction."""
    import torch
    from torch import nn

    from dcasekit.containers._torch_speed import keep_memory

    pool = (4, 2)
    blocks: list[nn.Module] = []
    for before, after, size in ((1, 24, pool), (24, 48, pool), (48, 48, None)):
        pooling = [nn.MaxPool2d(size)] if size else []
        blocks += [nn.Conv2d(before, after, 5), *([*pooling, nn.ReLU()] if tuned else [nn.ReLU(), *pooling])]
    head = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(2400, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, LABELS)]
    network = nn.Sequential(*blocks, *head)
    for name, parameter in network.named_parameters():  # as Keras and ours start
        nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.xavier_uniform_(parameter)
    if tuned:
        keep_memory()
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=tuned)
    x, y = map(torch.from_numpy, data())
    rng = np.random.default_rng(0)

    def train() -> float:
        network.train()
        total = 0.0
        order = rng.permutation(WINDOWS)
        for first in range(0, WINDOWS, BATCH):
            chosen = order[first : first + BATCH]
            optimizer.zero_grad()
            penalty = 1e-3 * sum((p**2).sum() for p in (*head[2].parameters(), *head[5].parameters()))
            windows = x[chosen][:, None, :116] if tuned else x[chosen][:, None]  # the second pooling leaves the rest over
            loss = nn.functional.cross_entropy(network(windows), y[chosen]) + penalty
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total * BATCH / WINDOWS

    def predict() -> float:
        network.eval()
        with torch.no_grad():
            for first in range(0, WINDOWS, BATCH):
                network(x[first : first + BATCH][:, None]).softmax(-1).numpy()
        return 0.0

    return train, predict


def keras_model() -> tuple[Step, Step]:
    """Write the same network in Keras."""
    import keras

    layers = keras.layers
    l2 = {"kernel_regularizer": keras.regularizers.L2(1e-3), "bias_regularizer": keras.regularizers.L2(1e-3)}
    network = keras.Sequential([keras.Input((FRAMES, BANDS, 1))])
    for filters, pooled in ((24, True), (48, True), (48, False)):
        network.add(layers.Conv2D(filters, 5, activation="relu"))
        if pooled:
            network.add(layers.MaxPooling2D((4, 2)))
    for layer in (layers.Flatten(), layers.Dropout(0.5), layers.Dense(64, activation="relu", **l2), layers.Dropout(0.5)):
        network.add(layer)
    network.add(layers.Dense(LABELS, activation="softmax", **l2))
    network.compile("adam", "categorical_crossentropy")
    x, y = data()
    x = x[..., None]
    return (
        lambda: float(network.fit(x, y, batch_size=BATCH, verbose=0).history["loss"][0]),
        lambda: float(network.predict(x, batch_size=BATCH, verbose=0)[0, 0]),
    )


def work(name: str) -> None:
    """Do an epoch for each line read; answer with seconds and loss."""
    if name == "ours":
        return work_ours()
    train, predict = keras_model() if name.startswith("keras") else torch_loop(tuned=name == "tuned")
    for line in sys.stdin:
        began = time.perf_counter()
        loss = train() if line.strip() == "train" else predict()
        print(json.dumps([time.perf_counter() - began, loss]), flush=True)
    return None


def work_ours() -> None:
    """Let the library train; between two epochs, its callback waits for the next line."""
    from dcasekit.models import SB_CNN

    x, y = data()
    model = SB_CNN(pool_size=((4, 2), (4, 2)), batch_norm=False)
    began = 0.0

    def wait(record: Any) -> bool:
        nonlocal began
        if began:
            print(json.dumps([time.perf_counter() - began, record["loss"]]), flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            if line.strip() == "train":
                return False
            model.answer(x)
            print(json.dumps([time.perf_counter() - began, 0.0]), flush=True)
        return True

    # The first epoch begins with the first line, like those after it.
    sys.stdin.readline()
    began = time.perf_counter()
    model.train((x, y), epochs=10_000, batch_size=BATCH, device="cpu", callbacks=[wait])


def work_on(name: str, system: str, size: int) -> None:
    """Train one of the four networks, an epoch for each line read; answer with seconds and loss."""
    import torch

    from dcasekit import models

    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    (frames, dims), labels, framed = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(EPOCH, frames, dims)).astype(np.float32), np.eye(labels, dtype=np.float32)
    y = target[rng.integers(labels, size=(EPOCH, frames) if framed else EPOCH)]
    model = getattr(models, name)()

    def wait(record: Any) -> bool:
        nonlocal began
        print(json.dumps([clock() - began, record["loss"]]), flush=True)
        line = sys.stdin.readline()
        began = clock()
        return not line

    sys.stdin.readline()
    began = clock()
    if system == "ours":
        model.train((x, y), epochs=10_000, batch_size=size, device="cpu", callbacks=[wait])
        return
    network = model.network_for(frames, dims, labels, "detection" if framed else "classification").train()
    optimizer = torch.optim.Adam(network.parameters())
    distance = torch.nn.functional.binary_cross_entropy_with_logits if framed else torch.nn.functional.cross_entropy
    windows, targets = torch.from_numpy(x), torch.from_numpy(y)
    done = False
    while not done:
        total, order = 0.0, rng.permutation(EPOCH)
        for first in range(0, EPOCH, size):
            chosen = order[first : first + size]
            optimizer.zero_grad()
            loss = distance(network(windows[chosen]), targets[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * size
        done = wait({"loss": total / EPOCH})


def compare_networks(names: list[str], rounds: int) -> None:
    """Print the time of a step of each network, ours beside the plain loop's."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "network", "batch", "plain, ms a step", "ours", "ours to plain", "smallest of each", title="Training steps, medians over rounds"
    )
    for name in names:
        for size in SIZES:
            processes = [start(f"{name} {system} {size}") for system in ("plain", "ours")]
            times: list[list[float]] = [[], []]
            for number in range(rounds + 1):
                for process, found in zip(processes, times, strict=True):
                    seconds, _ = ask(process, "train")
                    if number:  # the first round warms up
                        found.append(1000 * seconds * size / EPOCH)
            for process in processes:
                process.kill()
            plain, ours = map(statistics.median, times)
            ratios = f"{statistics.median(b / a for a, b in zip(*times, strict=True)):.2f}", f"{min(times[1]) / min(times[0]):.2f}"
            table.add_row(name, str(size), f"{plain:.0f}", f"{ours:.0f}", *ratios)
    Console(width=140).print(table)


def start(worker: str, python: str = sys.executable, backend: str = "torch") -> subprocess.Popen[str]:
    """Start a system in a process of its own."""
    return subprocess.Popen(  # noqa: S603 - ourselves
        [python, __file__, "--worker", worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )


def ask(process: subprocess.Popen[str], what: str) -> tuple[float, float]:
    """Have a system do an epoch: seconds, loss."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("["):
            seconds, loss = json.loads(line)
            return seconds, loss
    raise SystemExit(f"a system stopped: {process.args}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keras", action="append", default=[], metavar="BACKEND=PYTHON")
    parser.add_argument("--without-keras", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), help="of the second table")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        if options.worker.partition(" ")[0] not in NETWORKS:
            return work(options.worker)
        name, system, size = options.worker.split()
        return work_on(name, system, int(size))
    if options.only:
        return compare_networks(options.only, options.rounds)
    systems = dict.fromkeys(["plain", "tuned", "ours", *([] if options.without_keras else ["keras torch"])], sys.executable)
    systems |= {f"keras {backend}": python for backend, _, python in (each.partition("=") for each in options.keras)}
    processes = {name: start(name, python, name.removeprefix("keras ")) for name, python in systems.items()}
    figures: dict[str, dict[str, list[float]]] = {name: {"train": [], "predict": [], "loss": []} for name in systems}
    for number in range(options.rounds + 1):
        for what in ("train", "predict"):
            for name, process in processes.items():
                seconds, loss = ask(process, what)
                if what == "train":
                    figures[name]["loss"].append(loss)
                if number:  # the first round warms up
                    figures[name][what].append(WINDOWS / seconds)
    for process in processes.values():
        process.kill()
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    compare_networks(list(NETWORKS), options.rounds)
    return None


def show(figures: dict[str, dict[str, list[float]]]) -> None:
    """Print windows per second, and their ratio to the plain loop's in the same round."""
    from rich.console import Console
    from rich.table import Table

    speeds = [column for what in ("training", "inference") for column in (f"{what}, windows/s", "to plain", "fastest")]
    table = Table("system", *speeds, "loss after 1, half, all epochs", title="SB-CNN, medians over rounds")
    for name, found in figures.items():
        cells = []
        for what in ("train", "predict"):
            ratios = [ours / plain for ours, plain in zip(found[what], figures["plain"][what], strict=True)]
            cells += [f"{statistics.median(found[what]):.0f}", f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
            cells.append(f"{max(found[what]) / max(figures['plain'][what]):.2f}")
        losses = [found["loss"][at] for at in (0, len(found["loss"]) // 2, -1)]
        table.add_row(name, *cells, ", ".join(f"{loss:.2f}" for loss in losses))
    Console(width=140).print(table)
    against = [a / b for a, b in zip(figures["ours"]["train"], figures["tuned"]["train"], strict=True)]
    Console().print(f"ours to tuned: {statistics.median(against):.3f}: what the library itself costs")


if __name__ == "__main__":
    main()
