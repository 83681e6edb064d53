"""Whether intervals and tests keep their word, and what they cost.

Coverage: evaluations of a system whose true figures are known are simulated; how often does the 95 % interval hold the true figure,
how often does it lie wholly above or below? Labels are independent and scores normal, so true average precision is an integral.
Size: how often two equally good, correlated systems are found to differ at 5 %.
Time: the interval of mAP on many clips.

    OMP_NUM_THREADS=1 python benchmarks/bench_bootstrap.py [--evaluations 2000] [--repeats 1000]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import ndtr

from dcasekit.metrics import bootstrap, detection, paired, ratio, tagging

Make = Callable[[np.random.Generator, int], bootstrap.Statistic]  # one evaluation on n clips


def accuracy(share: float) -> tuple[float, Make]:
    """Clips are right with the same probability."""

    def make(rng, n):
        correct = rng.uniform(size=n) < share
        return lambda weights: weights @ correct / weights.sum(axis=1)

    return share, make


def micro_f1() -> tuple[float, Make]:
    """Ten segments per clip, 30 % on in 80 % of the clips, found with the clip's own probability; one false alarm on average."""

    def make(rng, n):
        reference = rng.binomial(10, 0.3, size=n) * (rng.uniform(size=n) < 0.8)
        hits = rng.binomial(reference, rng.beta(2, 1, size=n))
        estimate = hits + rng.poisson(1.0, size=n)
        return lambda weights: detection(weights @ hits, weights @ reference, weights @ estimate)["f1"]

    return 2 * 1.6 / (2.4 + 1.6 + 1), make


def macro_f1(labels: int, rarest: float) -> tuple[float, Make]:
    """Labels from rare and badly found to frequent and well found."""
    share, hit, false = np.linspace(rarest, 0.3, labels), np.linspace(0.4, 0.9, labels), np.linspace(0.02, 0.1, labels)

    def make(rng, n):
        truth = rng.uniform(size=(n, labels)) < share
        found = rng.uniform(size=truth.shape) < np.where(truth, hit, false)
        return lambda weights: mean_of_known(detection(weights @ (truth & found), weights @ truth, weights @ found)["f1"])

    return float(np.mean(2 * share * hit / (share + share * hit + (1 - share) * false))), make


def mean_average_precision(labels: int, rarest: float, commonest: float) -> tuple[float, Make]:
    """Scores of positives are normal and higher by 2.5 standard deviations (rarest label) to 0.8 (commonest)."""
    share, apart = np.linspace(rarest, commonest, labels), np.linspace(2.5, 0.8, labels)
    limits = np.linspace(12, -8, 100_001)[:, None]
    recall, false = ndtr(apart - limits), ndtr(-limits)
    precision = share * recall / (share * recall + (1 - share) * false)

    def make(rng, n):
        truth = rng.uniform(size=(n, labels)) < share
        scores = rng.normal(size=truth.shape) + apart * truth
        return lambda weights: mean_of_known(tagging.average_precision(truth, scores, weights=weights))

    return float(np.trapezoid(precision, recall, axis=0).mean()), make


def mean_of_known(values: Any) -> Any:
    """Average over labels, NaN left out: (draws, labels) -> (draws,)."""
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))


CASES: dict[str, tuple[tuple[float, Make], int]] = {
    "accuracy 0.8, 200 clips": (accuracy(0.8), 200),
    "accuracy 0.6, 300 clips": (accuracy(0.6), 300),
    "accuracy 0.95, 400 clips": (accuracy(0.95), 400),
    "accuracy 0.99, 300 clips": (accuracy(0.99), 300),
    "micro F1, 50 clips": (micro_f1(), 50),
    "micro F1, 200 clips": (micro_f1(), 200),
    "macro F1, 10 labels from 3 %, 200 clips": (macro_f1(10, 0.03), 200),
    "macro F1, 10 labels from 3 %, 400 clips": (macro_f1(10, 0.03), 400),
    "mAP, 5 labels from 15 %, 100 clips": (mean_average_precision(5, 0.15, 0.4), 100),
    "mAP, 10 labels from 5 %, 200 clips": (mean_average_precision(10, 0.05, 0.3), 200),
    "mAP, 10 labels from 5 %, 500 clips": (mean_average_precision(10, 0.05, 0.3), 500),
    "mAP, 20 labels from 2 %, 500 clips": (mean_average_precision(20, 0.02, 0.1), 500),
}


def coverage(case: tuple[tuple[float, Make], int], evaluations: int, repeats: int) -> dict[str, float]:
    """Share of intervals that hold the true figure, by method; and of those too high, too low."""
    (true, make), n = case
    found = {}
    for method in ("percentile", "widened"):
        rng = np.random.default_rng(0)
        settings: dict[str, Any] = {"method": method, "repeats": repeats}
        ends = np.array([bootstrap.interval(make(rng, n), n, seed=seed, **settings) for seed in range(evaluations)])
        found[f"{method}, too high"] = float((ends[:, 0] > true).mean())
        found[f"{method}, too low"] = float((ends[:, 1] < true).mean())
        found[method] = float(((ends[:, 0] <= true) & (true <= ends[:, 1])).mean())
    return found


def size(evaluations: int, repeats: int, n: int = 150) -> dict[str, float]:
    """Share of equally good pairs of systems, half of their clips' results in common, that a test finds different."""
    rng, rejected = np.random.default_rng(0), np.zeros(2)
    for seed in range(evaluations):
        reference, quality = rng.binomial(10, 0.3, size=n), rng.beta(2, 1, size=n)
        hits = np.concatenate([rng.binomial(reference, quality) for _ in "ab"])
        both, estimate = np.tile(reference, 2), hits + rng.poisson(1.0, size=2 * n)

        def f1(weights, hits=hits, both=both, estimate=estimate):
            return detection(weights @ hits, weights @ both, weights @ estimate)["f1"]

        _, low, high = paired.bootstrap(f1, n, seed=seed, repeats=repeats)
        rejected += (paired.permutation(f1, n, seed=seed, repeats=repeats) <= 0.05, not low <= 0 <= high)
    return dict(zip(("permutation", "bootstrap"), (rejected / evaluations).tolist(), strict=True))


def seconds(clips: int, labels: int, share: float) -> float:
    """Time the interval of mAP, 1000 draws."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(clips, labels)) < share
    scores = rng.uniform(size=truth.shape) + 0.3 * truth
    began = time.perf_counter()
    bootstrap.interval(lambda weights: mean_of_known(tagging.average_precision(truth, scores, weights=weights)), clips)
    return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    table = Table(
        "case", "percentile", "too high", "too low", "widened", "too high", "too low", title=f"{options.evaluations} evaluations, %"
    )
    figures: dict[str, Any] = {"coverage": {}}
    for name, case in CASES.items():
        found = figures["coverage"][name] = coverage(case, options.evaluations, options.repeats)
        cells = (f"{method}{side}" for method in ("percentile", "widened") for side in ("", ", too high", ", too low"))
        table.add_row(name, *(f"{100 * found[cell]:.1f}" for cell in cells))
    figures["size"] = size(options.evaluations, options.repeats)
    figures["seconds"] = {f"{share:.0%} positive": seconds(10_000, 200, share) for share in (0.01, 0.05, 0.2)}
    Console().print(table, "rejections at 5 %:", figures["size"], "mAP of 10 000 clips x 200 labels, 1000 draws:", figures["seconds"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
