"""Training steps with eight channels together beside steps with the channels last, of every network with a stack of convolutions.

One step: forward and backward, windows of the published shape. Both take turns; ratios are of the medians. On machines where blocks are not
used (no AVX2, or AVX-512) they are tried all the same, to see whether they should be.

    python benchmarks/bench_blocks.py [--rounds 15] [--models SB_CNN VGGish]
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

from dcasekit import models
from dcasekit.containers._torch_speed import in_blocks, keep_memory, settle

# (frames, dims), windows at once
SHAPES = {
    "SB_CNN": ((64, 128), 32),
    "SB_CNN_SED": ((64, 128), 16),
    "CompactCNN": ((64, 64), 32),
    "SceneCNN": ((500, 40), 16),
    "A_CRNN": ((64, 128), 16),
    "CRNN2018": ((500, 64), 8),
    "VGGish": ((96, 64), 8),
    "OpenL3": ((199, 256), 2),
}
CPU = torch.device("cpu")


def seconds(network: torch.nn.Module, windows: torch.Tensor) -> float:
    """Do a step."""
    network.zero_grad()
    began = time.perf_counter()
    network(windows).square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    options = parser.parse_args()
    torch.backends.cpu.get_cpu_capability = lambda: "AVX2"
    keep_memory()
    table = Table("model", "channels last, ms", "in blocks, ms", "ratio")
    for name in options.models:
        shape, windows = SHAPES[name]
        network = settle(getattr(models, name)().network_for(*shape, 10, "classification"), CPU).train()
        x, times = torch.randn(windows, *shape), ([], [])
        for number in range(options.rounds + 1):
            took = [seconds(network, x)]
            with in_blocks(network, CPU):
                took.append(seconds(network, x))
            if number:  # the first warms up
                for each, one in zip(times, took, strict=True):
                    each.append(1000 * one)
        last, blocks = map(statistics.median, times)
        table.add_row(name, f"{last:.0f}", f"{blocks:.0f}", f"{last / blocks:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
