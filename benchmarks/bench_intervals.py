"""How often the 95 % interval of each named detection metric holds the true value, in simulated evaluations of four systems.

Three labels of the same kind in half of the clips, 200 of them or 100; ten labels from badly to well found, each in a tenth of 500 clips;
ten that are equally hard, in 300 clips, so that what labels differ by is chance alone.
True figures are those of 200,000 clips: of 20,000 they are off by a tenth to a quarter of the standard error that is measured.
About two hours on one core; ``--scenes`` and ``--evaluations`` make it less.

    OMP_NUM_THREADS=1 python benchmarks/bench_intervals.py [--evaluations 300] [--repeats 1000] [--first 700000000] [--scenes 0 1 2 3]
"""

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from dcasekit import to_events
from dcasekit.annotations import Event
from dcasekit.results import scoring
from dcasekit.scores import Scores

EDGES = np.arange(41) * 0.25
METRICS = (
    *("psds1", "psds2", "best_event_f1", "best_intersection_f1", "best_segment_f1"),
    *("event_f1", "intersection_f1", "segment_auroc", "clip_lwlrap"),
)


@dataclass(frozen=True)
class Scene:
    """How many clips an evaluation has, which share of them each label is in, and by how much its scores rise, label by label."""

    clips: int
    share: float
    rise: tuple[float, ...]


SCENES = (
    Scene(200, 0.5, (0.55,) * 3),
    Scene(100, 0.5, (0.55,) * 3),
    Scene(500, 0.1, tuple(np.linspace(0.4, 0.7, 10).tolist())),
    Scene(300, 0.3, (0.55,) * 10),
)


def evaluation(rng: np.random.Generator, scene: Scene, clips: int) -> scoring.Material:
    """Make clips of 10 s, and scores that rise by a random amount where a label sounds."""
    labels = tuple(f"label {number}" for number in range(len(scene.rise)))
    reference, scores = {}, {}
    for number in range(clips):
        values, events = rng.normal(0.2, 0.15, (40, len(labels))), []
        for column, (label, rise) in enumerate(zip(labels, scene.rise, strict=True)):
            if rng.random() < scene.share:
                onset = rng.uniform(0, 7)
                events.append(Event(onset, onset + rng.uniform(0.5, 3), label))
                values[int(onset * 4) : int(np.ceil(events[-1].offset * 4)), column] += rng.normal(rise, 0.15)
        reference[str(number)], scores[str(number)] = events, Scores(values, EDGES, labels)
    estimate = {clip: to_events(one) for clip, one in scores.items()}
    return scoring.Material(reference, labels, estimate, scores, dict.fromkeys(reference, 10.0))


def coverage(scene: Scene, evaluations: int, repeats: int, first: int) -> Table:
    """Simulate and count."""
    whole = evaluation(np.random.default_rng(10**6), scene, 200_000)
    true = np.array([scoring.score(name, whole).value for name in METRICS])
    del whole
    found, ends = np.empty((evaluations, len(METRICS))), np.empty((evaluations, len(METRICS), 2))
    for number in range(evaluations):
        material = evaluation(np.random.default_rng(first + number), scene, scene.clips)
        for index, name in enumerate(METRICS):
            score = scoring.score(name, material, repeats=repeats, seed=number)
            found[number, index], ends[number, index] = score.value, score.interval
    low, high = ends[..., 0] > true, ends[..., 1] < true
    table = Table("metric", "true value", "bias, SD", "held, %", "interval below", "above", "width")
    table.title = f"{evaluations} evaluations of {scene.clips} clips, {len(scene.rise)} labels, each in {scene.share:.0%}"
    for index, name in enumerate(METRICS):
        bias = (found[:, index].mean() - true[index]) / found[:, index].std()
        held = 100 * (1 - low[:, index].mean() - high[:, index].mean())
        width = np.diff(ends[:, index]).mean()
        row = (f"{true[index]:.4f}", f"{bias:+.2f}", f"{held:.1f}", str(high[:, index].sum()), str(low[:, index].sum()), f"{width:.4f}")
        table.add_row(name, *row)
    return table


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument(
        "--first", type=int, default=700_000_000, help="the first evaluation's seed; none from here on helped to choose the method"
    )
    parser.add_argument("--scenes", type=int, nargs="+", default=range(len(SCENES)))
    options = parser.parse_args()
    for scene in options.scenes:
        Console(width=120).print(coverage(SCENES[scene], options.evaluations, options.repeats, options.first))


if __name__ == "__main__":
    main()
