"""How often the 95 % interval of each named detection metric holds the true value, in simulated evaluations of 200 clips.

A system with three labels is simulated; its true figures are those of 20,000 clips.

    OMP_NUM_THREADS=1 python benchmarks/bench_intervals.py [--evaluations 270] [--repeats 300]
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from dcasekit import scoring, to_events
from dcasekit.annotations import Event
from dcasekit.scores import Scores

LABELS, EDGES = ("cat", "dog", "car"), np.arange(41) * 0.25
METRICS = (
    *("psds1", "psds2", "best_event_f1", "best_intersection_f1", "best_segment_f1"),
    *("event_f1", "intersection_f1", "segment_auroc", "clip_lwlrap"),
)


def evaluation(rng: np.random.Generator, clips: int) -> scoring.Material:
    """Make clips of 10 s, each label in half of them, and scores that rise by a random amount where it sounds."""
    reference, scores = {}, {}
    for number in range(clips):
        values, events = rng.normal(0.2, 0.15, (40, 3)), []
        for column, label in enumerate(LABELS):
            if rng.random() < 0.5:
                onset = rng.uniform(0, 7)
                events.append(Event(onset, onset + rng.uniform(0.5, 3), label))
                values[int(onset * 4) : int(np.ceil(events[-1].offset * 4)), column] += rng.normal(0.55, 0.15)
        reference[str(number)], scores[str(number)] = events, Scores(values, EDGES, LABELS)
    estimate = {clip: to_events(one) for clip, one in scores.items()}
    return scoring.Material(reference, LABELS, estimate, scores, dict.fromkeys(reference, 10.0))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=270)
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    whole = evaluation(np.random.default_rng(10**6), 20_000)
    true = {name: scoring.score(name, whole).value for name in METRICS}
    inside, below, above = (dict.fromkeys(METRICS, 0) for _ in range(3))
    for number in range(options.evaluations):
        material = evaluation(np.random.default_rng(100_000 + number), 200)
        for name in METRICS:
            low, high = scoring.score(name, material, repeats=options.repeats, seed=number).interval
            inside[name] += low <= true[name] <= high
            below[name] += high < true[name]
            above[name] += low > true[name]
    table = Table("metric", "true value", "held, %", "interval below", "above", title=f"{options.evaluations} evaluations of 200 clips")
    for name in METRICS:
        table.add_row(name, f"{true[name]:.4f}", f"{100 * inside[name] / options.evaluations:.1f}", str(below[name]), str(above[name]))
    Console().print(table)


if __name__ == "__main__":
    main()
