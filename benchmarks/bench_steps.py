"""A step of each published system's training, ours beside a plain hand-written PyTorch loop of the same network, data and loss.

Batches, windows, objective (mix-up of each part with one ratio), losses and optimizer are the recipes'; the two that take many
gigabytes have an eighth of the published batch: CRNN2018's second pass 16 of 128 windows, DcaseNet 4, 4 and 3 of 32, 32 and 24. Each system
is trained by two processes, because the setting of the allocator is a process's, and their epochs of a few steps take turns. With one
thread, what counts is the processor's time, which other work on the machine changes little; with more it is the clock's. No median ratio
may be above 1.

    OMP_NUM_THREADS=1 python benchmarks/bench_steps.py [--rounds 5] [--only SceneCNN ...] [--json FILE]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Name -> class, settings of train, and of each part: task, windows of a batch, (frames, dims), labels, whether y has frames.
SYSTEMS: dict[str, tuple[str, dict[str, Any], list[tuple[str, int, tuple[int, int], int, bool]]]] = {
    "CRNN2018, weak pass": ("CRNN2018", {}, [("tagging", 16, (500, 64), 10, False)]),
    "CRNN2018, frame pass": ("CRNN2018", {}, [("detection", 16, (500, 64), 10, True)]),
    "CRNN2023": ("CRNN2023", {"loss": "mse"}, [("detection", 32, (200, 64), 17, True)]),
    "DcaseNet v3": (
        "DcaseNet",
        {"objective": "mixup", "schedule": "restarts"},
        [("classification", 4, (250, 128), 10, False), ("tagging", 4, (250, 128), 80, False), ("detection", 3, (1500, 128), 14, True)],
    ),
    "SceneCNN": ("SceneCNN", {"schedule": "inverse_decay"}, [("classification", 16, (500, 40), 10, False)]),
}
STEPS = {"DcaseNet v3": 1}  # of an epoch; 3 where nothing is said


def parts(name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make windows and targets of each part."""
    rng = np.random.default_rng(0)
    for task, batch, (frames, dims), labels, framed in SYSTEMS[name][2]:
        x = rng.normal(size=(STEPS.get(name, 3) * batch, frames, dims)).astype(np.float32)
        shape = (STEPS.get(name, 3) * batch, *([frames] if framed else []))
        y = np.eye(labels)[rng.integers(labels, size=shape)] if task == "classification" else rng.random((*shape, labels)) > 0.9
        yield x, y.astype(np.float32)


def ours(name: str, wait: Callable[..., bool]) -> None:
    """Let the library train."""
    from dcasekit import models
    from dcasekit.generator import Arrays, Together

    kind, settings, each = SYSTEMS[name]
    sources = {task: (Arrays(*made, task=task), batch) for (task, batch, *_), made in zip(each, parts(name), strict=True)}  # type: ignore[arg-type]
    data = Together(sources) if len(each) > 1 else sources[each[0][0]][0]
    model = getattr(models, kind)()
    model.train(data, epochs=100_000, batch_size=each[0][1], drop_last=True, device="cpu", callbacks=[wait], **settings)


def plain(name: str, wait: Callable[..., bool]) -> None:
    """Write the loop by hand."""
    import torch
    from torch import nn

    from dcasekit import models

    kind, settings, each = SYSTEMS[name]
    model, heads = getattr(models, kind)(), {task: labels for task, _, _, labels, _ in each}
    several, (task, _, (frames, dims), labels, _) = len(each) > 1, each[0]
    network = (model.network_with(heads) if several else model.network_for(frames, dims, labels, task)).train()
    optimizer, rng = torch.optim.Adam(network.parameters(), lr=1e-3), np.random.default_rng(0)
    data = [tuple(map(torch.from_numpy, made)) for made in parts(name)]
    distances = {"classification": nn.functional.cross_entropy, "mse": nn.functional.mse_loss}
    done, number, steps = False, 0, STEPS.get(name, 3)
    while not done:
        total, orders = 0.0, [rng.permutation(len(x)) for x, _ in data]
        for step in range(steps):
            number += 1
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (0.5 + 0.5 * math.cos(math.pi * number / 1e6))
            optimizer.zero_grad()
            loss = torch.zeros(())
            for (task, batch, *_), (x, y), order in zip(each, data, orders, strict=True):
                distance = distances.get(settings.get("loss", task), nn.functional.binary_cross_entropy_with_logits)
                chosen = order[step * batch : (step + 1) * batch]
                windows, targets = x[chosen], y[chosen]
                if "objective" in settings:
                    ratio, other = float(rng.beta(0.1, 0.1)), rng.permutation(batch)
                    windows = ratio * windows + (1 - ratio) * windows[other]
                answer = network(windows, task) if several else network(windows)
                if "objective" in settings:
                    loss = loss + ratio * distance(answer, targets) + (1 - ratio) * distance(answer, targets[other])
                else:
                    loss = distance(answer, targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        done = wait({"loss": total / steps})


def work(system: str, name: str) -> None:
    """Train, an epoch for each line read; answer with seconds and loss."""
    import torch

    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def wait(record: Any) -> bool:
        nonlocal began
        print(json.dumps([clock() - began, record["loss"]]), flush=True)
        line = sys.stdin.readline()
        began = clock()
        return not line

    sys.stdin.readline()
    began = clock()
    (ours if system == "ours" else plain)(name, wait)


def start(system: str, name: str) -> Callable[[], tuple[float, float]]:
    """Start a process; give what has it train an epoch."""
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, __file__, "--worker", system, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told, heard = process.stdin, process.stdout

    def ask() -> tuple[float, float]:
        told.write("\n")
        told.flush()
        line = next((line for line in heard if line.startswith("[")), None)
        if line is None:
            raise SystemExit(f"{name} stopped")
        seconds, loss = json.loads(line)
        return seconds / STEPS.get(name, 3), loss

    ask.end = process.communicate  # type: ignore[attr-defined]
    return ask


def main() -> None:
    """Run and print."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(*options.worker)
    table = Table("system", "plain, s a step", "ours", "ours to plain", "smallest to largest", "losses", title="Steps, medians over rounds")
    figures = {}
    for name in options.only:
        pair = [start(system, name) for system in ("plain", "ours")]
        rounds = [[ask() for ask in pair] for _ in range(options.rounds + 1)][1:]  # the first warms up
        for ask in pair:
            ask.end()  # type: ignore[attr-defined]
        ratios = [two / one for (one, _), (two, _) in rounds]
        middle = [statistics.median(each[at][0] for each in rounds) for at in (0, 1)]
        losses = " and ".join(f"{loss:.3f}" for _, loss in rounds[-1])
        shown = f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}", losses
        table.add_row(name, *(f"{seconds:.2f}" for seconds in middle), *shown)
        figures[name] = {"plain": middle[0], "ours": middle[1], "ratios": ratios}
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps({"threads": os.environ.get("OMP_NUM_THREADS"), **figures}, indent=1))
    return None


if __name__ == "__main__":
    main()
