"""A metric of your own: of results, to choose the epoch by; and of events, with an interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dcasekit import Event, Results
from dcasekit.metrics import bootstrap, ratio


def worst_recall(results: Results) -> float:
    """Recall of the label that is found least, for ``train(monitor=worst_recall)``."""
    recalls = [results.numbers[f"recall/{label}"] for label in results.labels]
    return float(np.nanmin(recalls))


def evaluate(
    reference: Mapping[str, Sequence[Event]], estimate: Mapping[str, Sequence[Event]]
) -> dict[str, float]:
    """Share of events whose onset was found to 0.5 s, with a 95 % interval over clips."""
    counts = np.array(
        [_count(reference[clip], estimate.get(clip, ())) for clip in reference]
    )  # (clips, 2): found, all

    def statistic(weights: np.ndarray) -> np.ndarray:
        """Give the number for each draw; weights (draws, clips): how often a clip was drawn."""
        found, there = (weights @ counts).T
        return ratio(found, there)

    low, high = bootstrap.interval(statistic, len(counts), repeats=200)
    return {
        "onset_recall": float(ratio(*counts.sum(axis=0))),
        "onset_recall/low": low,
        "onset_recall/high": high,
    }


def _count(reference: Sequence[Event], estimate: Sequence[Event]) -> tuple[int, int]:
    found = sum(
        any(
            one.label == other.label and abs(one.onset - other.onset) <= 0.5
            for other in estimate
        )
        for one in reference
    )
    return found, len(reference)


def check(folder: Path) -> None:
    """Compute both: what the tests of this page do."""
    from dcasekit.models import MLP

    reference = {f"clip{n}": [Event(1, 2, "dog"), Event(3, 4, "cat")] for n in range(10)}
    estimate = {
        clip: [Event(1.2, 2, "dog")] + [Event(3, 4, "cat")] * (n < 5)
        for n, clip in enumerate(reference)
    }
    numbers = evaluate(reference, estimate)
    assert numbers["onset_recall"] == 0.75
    assert numbers["onset_recall/low"] < 0.75 < numbers["onset_recall/high"]

    rng, y = np.random.default_rng(0), np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    x = rng.normal(size=(20, 6, 4)).astype(np.float32) + 3 * y[:, :1, None]
    history = MLP().train((x, y), (x, y), epochs=3, monitor=worst_recall, seed=0)
    assert "val_worst_recall" in history[0]
