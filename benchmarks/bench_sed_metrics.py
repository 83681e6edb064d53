"""Segment- and event-based metrics beside sed_eval's, in one run, on the same events, numbers compared.

1,000 clips of 10 s, 9,000 reference and 14,000 estimated events of 10 labels. sed_eval is fed what it takes fastest, ready-made
`MetaDataContainer`s of one clip each, and making them is not timed; ours takes lists of `Event` and does all its work in the
timed call. Rounds alternate, so that a busy machine slows both; the ratio of medians is the figure. A large case, 16,000 clips and 100
labels, is ours alone: seconds and peak memory, each measured in a process of its own.

    .venv-crosscheck/bin/python benchmarks/bench_sed_metrics.py [--rounds 5] [--json FILE]
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dcasekit.annotations import Event
from dcasekit.metrics import event, segment

Events = dict[str, list[Event]]
KINDS: dict[str, Callable[..., dict[str, float]]] = {"segment, 1 s": segment.evaluate, "event, 0.2 s, 20 %": event.evaluate}


def make(clips: int, labels: list[str], references: int, estimates: int) -> tuple[Events, Events]:
    """Draw events: two of three estimates are a reference event moved by up to 0.3 s, the others are invented."""
    rng = np.random.default_rng(0)
    reference: Events = {f"clip{i}": [] for i in range(clips)}
    estimate: Events = {f"clip{i}": [] for i in range(clips)}
    for i in range(references):
        onset, length = rng.uniform(0, 8), rng.uniform(0.2, 2)
        reference[f"clip{i % clips}"].append(Event(round(onset, 3), round(onset + length, 3), labels[rng.integers(len(labels))]))
    names = list(reference)
    for i in range(estimates):
        clip = names[i % clips]
        if i % 3:
            near = reference[clip][rng.integers(len(reference[clip]))]
            onset, label = abs(near.onset + rng.uniform(-0.3, 0.3)), near.label
            offset = max(onset, near.offset + rng.uniform(-0.3, 0.3))
        else:
            onset, label = rng.uniform(0, 8), labels[rng.integers(len(labels))]
            offset = onset + rng.uniform(0.2, 2)
        estimate[clip].append(Event(round(onset, 3), round(offset, 3), label))
    return reference, estimate


def containers(events: Events) -> dict[str, object]:
    """Turn events into sed_eval's input."""
    import dcase_util

    return {
        clip: dcase_util.containers.MetaDataContainer(
            [{"filename": clip, "onset": e.onset, "offset": e.offset, "event_label": e.label} for e in listed]
        )
        for clip, listed in events.items()
    }


def peer(kind: str, reference: dict[str, object], estimate: dict[str, object], labels: list[str]) -> dict[str, float]:
    """Let sed_eval compute; give the numbers that are compared."""
    import sed_eval

    if kind.startswith("segment"):
        metric = sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution=1.0)
    else:
        metric = sed_eval.sound_event.EventBasedMetrics(labels, t_collar=0.2, percentage_of_length=0.2)
    for clip, events in reference.items():
        metric.evaluate(events, estimate[clip])
    overall, macro = metric.results_overall_metrics(), metric.results_class_wise_average_metrics()
    return {
        "f1/micro": overall["f_measure"]["f_measure"],
        "f1/macro": macro["f_measure"]["f_measure"],
        "error_rate/micro": overall["error_rate"]["error_rate"],
        "substitutions": overall["error_rate"]["substitution_rate"],
    }


def large(kind: str, send: Callable[[tuple[float, float]], None]) -> None:
    """Time the large case and send seconds and peak GB, of the whole process with the events in it."""
    labels = [f"label{i}" for i in range(100)]
    case = make(16_000, labels, 144_000, 224_000)
    began = time.perf_counter()
    KINDS[kind](*case, labels=labels)
    send((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def apart(kind: str) -> tuple[float, float]:
    """Run the large case in a fresh process, whose peak memory is that of this case alone."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=large, args=(kind, sender.send))
    process.start()
    seconds, memory = receiver.recv()
    process.join()
    return seconds, memory


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # sed_eval's and dcase_util's, of their age
    labels = [f"label{i}" for i in range(10)]
    case = make(1000, labels, 9000, 14000)
    theirs = [containers(events) for events in case]
    seconds: dict[str, dict[str, list[float]]] = {kind: {"sed_eval": [], "dcasekit": []} for kind in KINDS}
    table = Table(
        "metric", "sed_eval, s", "dcasekit, s", "ratio", "largest difference", title=f"1,000 clips, median of {options.rounds} rounds"
    )
    figures: dict[str, object] = {"rounds": options.rounds, "seconds": seconds}
    for kind, times in seconds.items():
        for _ in range(options.rounds):
            began = time.perf_counter()
            expected = peer(kind, *theirs, labels)
            between = time.perf_counter()
            numbers = KINDS[kind](*case, labels=labels)
            times["dcasekit"].append(time.perf_counter() - between)
            times["sed_eval"].append(between - began)
        difference = max(abs(numbers[name] - value) for name, value in expected.items())
        slow, fast = (statistics.median(times[name]) for name in ("sed_eval", "dcasekit"))
        figures[kind] = {"ratio": slow / fast, "difference": difference}
        table.add_row(kind, f"{slow:.2f}", f"{fast:.4f}", f"{slow / fast:.0f}", f"{difference:.1e}")
    bulk = {kind: apart(kind) for kind in KINDS}
    figures["16,000 clips, 100 labels: seconds, peak GB"] = bulk
    lines = [f"16,000 clips, 100 labels, {kind}: {time_:.2f} s, peak {memory:.2f} GB" for kind, (time_, memory) in bulk.items()]
    Console().print(table, *lines, sep="\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
