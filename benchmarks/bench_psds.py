"""Metrics over all thresholds beside sed_scores_eval's, in one run, on the same scores, numbers compared.

1,000 clips of 10 s, about 9,000 reference events, 500 frames x 10 labels of scores; a frame's score is noise around a level that the
reference raises: "noise" is independent from frame to frame (most thresholds, most detections), "smooth" a moving average over 0.3 s.
sed_scores_eval is fed ready-made data frames and runs in one process; ours takes `Scores` and lists of `Event`. Ours runs before and after
each run of the peer, so that a busy machine slows both. A large case, 16,000 clips and 100 labels, is ours alone: seconds, and
peak memory beyond the scores, in a process of its own.

    .venv-crosscheck/bin/python benchmarks/bench_psds.py [--rounds 1] [--json FILE]
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
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dcasekit.annotations import Event
from dcasekit.metrics import event, intersection, segment
from dcasekit.metrics.psds import PSDS1, PSDS2, psds
from dcasekit.scores import Scores

SECONDS = 10.0
Data = tuple[dict[str, list[Event]], dict[str, Scores], dict[str, float]]
METRICS: dict[str, tuple[Callable[..., dict[str, float]], str]] = {
    "PSDS1": (lambda *data: psds(*data, **PSDS1), "psds"),
    "PSDS2": (lambda *data: psds(*data, **PSDS2), "psds"),
    "best event F1": (event.best_f1, "f1/macro"),
    "best intersection F1": (intersection.best_f1, "f1/macro"),
    "best segment F1": (segment.best_f1, "f1/macro"),
    "segment AUROC": (segment.auroc, "auroc@0.1/macro"),
}


def make(clips: int, frames: int, n_labels: int, events: int, *, smooth: int = 1) -> Data:
    """Draw a case; events of one label neither touch nor overlap, as the peer demands."""
    rng = np.random.default_rng(0)
    labels, edges = [f"label{i:02d}" for i in range(n_labels)], np.round(np.linspace(0, SECONDS, frames + 1), 6)
    reference: dict[str, list[Event]] = {}
    scores = {}
    for clip in (f"clip{i:05d}" for i in range(clips)):
        level = np.full((frames, n_labels), -2.0, dtype=np.float32)
        reference[clip] = []
        while len(reference[clip]) < events:
            onset, length, label = rng.uniform(0, 9), rng.uniform(0.2, 3), int(rng.integers(n_labels))
            drawn = Event(round(onset, 3), round(min(onset + length, SECONDS), 3), labels[label])
            if all(drawn.label != e.label or drawn.onset > e.offset or drawn.offset < e.onset for e in reference[clip]):
                reference[clip].append(drawn)
                level[int(drawn.onset / SECONDS * frames) : int(drawn.offset / SECONDS * frames) + 1, label] = 2
        noise = rng.standard_normal((frames + smooth - 1, n_labels), dtype=np.float32)
        if smooth > 1:
            noise = np.lib.stride_tricks.sliding_window_view(noise, smooth, axis=0).mean(axis=-1) * np.sqrt(smooth)
        scores[clip] = Scores(1 / (1 + np.exp(-level - noise)), edges, labels)
    return reference, scores, dict.fromkeys(reference, SECONDS)


def peer(metric: str, reference: dict[str, Any], frames: dict[str, Any], durations: dict[str, float]) -> float:
    """Let sed_scores_eval compute; give the number that is compared."""
    import sed_scores_eval as peer

    if metric.startswith("PSDS"):
        setting = PSDS1 if metric == "PSDS1" else PSDS2
        criteria = {"dtc_threshold": setting["dtc"], "gtc_threshold": setting["gtc"], "cttc_threshold": setting["cttc"]}
        weights = {"alpha_ct": setting["alpha_ct"], "alpha_st": setting["alpha_st"]}
        return float(peer.intersection_based.psds(frames, reference, durations, **criteria, **weights, max_efpr=100.0)[0])
    if metric == "best event F1":
        collars = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
        return float(peer.collar_based.best_fscore(frames, reference, **collars)[0]["macro_average"])
    if metric == "best intersection F1":
        return float(peer.intersection_based.best_fscore(frames, reference, dtc_threshold=0.5, gtc_threshold=0.5)[0]["macro_average"])
    if metric == "best segment F1":
        return float(peer.segment_based.best_fscore(frames, reference, durations, segment_length=1.0)[0]["macro_average"])
    return float(peer.segment_based.auroc(frames, reference, durations, segment_length=1.0, max_fpr=0.1)[0]["mean"])


def beside(data: Data, rounds: int) -> dict[str, dict[str, Any]]:
    """Time both on one case."""
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    reference, scores, durations = data
    theirs = {clip: [(e.onset, e.offset, e.label) for e in listed] for clip, listed in reference.items()}
    frames = {clip: create_score_dataframe(each.values.astype(np.float64), each.edges, list(each.labels)) for clip, each in scores.items()}
    found: dict[str, dict[str, Any]] = {}
    for metric, (compute, key) in METRICS.items():
        times: dict[str, list[float]] = {"sed_scores_eval": [], "dcasekit": []}
        for _ in range(rounds):
            began = time.perf_counter()
            value = compute(*data)[key]
            first = time.perf_counter()
            expected = peer(metric, theirs, frames, durations)
            second = time.perf_counter()
            compute(*data)
            times["dcasekit"] += [first - began, time.perf_counter() - second]
            times["sed_scores_eval"].append(second - first)
        found[metric] = {"seconds": times, "value": value, "difference": abs(value - expected)}
    return found


def large(metric: str, frames: int, send: Callable[[tuple[float, ...]], None]) -> None:
    """Time the large case; send seconds, the peak of memory in GB, and by how many it exceeds what there was with the scores alone."""
    data = make(16_000, frames, 100, 9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    METRICS[metric][0](*data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    send((time.perf_counter() - began, peak / 1e6, (peak - before) / 1e6))


def apart(metric: str, frames: int) -> tuple[float, ...]:
    """Run the large case in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=large, args=(metric, frames, sender.send))
    process.start()
    figures = receiver.recv()
    process.join()
    return figures


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="of the peer; ours runs twice as often")
    parser.add_argument("--frames", type=int, default=156, help="of the scores of the large case; 156 are 64 ms each")
    parser.add_argument("--only-large", nargs="*", choices=METRICS, help="nothing but the large case, of these metrics")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peer's age
    # First, because a process starts with the peak of memory of the one that started it.
    title = f"16,000 clips, {options.frames} frames, 100 labels"
    bulk = {metric: apart(metric, options.frames) for metric in options.only_large or METRICS}
    figures: dict[str, Any] = {"rounds": options.rounds, f"{title}: seconds, peak GB, GB beyond the scores": bulk}
    table = Table("scores", "metric", "sed_scores_eval, s", "dcasekit, s", "ratio", "value", "difference", title="1,000 clips, medians")
    for name, smooth in (("noise", 1), ("smooth", 15)) if options.only_large is None else ():
        figures[name] = beside(make(1000, 500, 10, 9, smooth=smooth), options.rounds)
        for metric, found in figures[name].items():
            slow, fast = (statistics.median(found["seconds"][tool]) for tool in ("sed_scores_eval", "dcasekit"))
            found["ratio"] = slow / fast
            ratio, difference = f"{slow / fast:.1f}", f"{found['difference']:.0e}"
            table.add_row(name, metric, f"{slow:.2f}", f"{fast:.3f}", ratio, f"{found['value']:.4f}", difference)
    lines = [
        f"{title}, {metric}: {seconds:.1f} s, peak {peak:.2f} GB, {more:.2f} of it beyond the scores"
        for metric, (seconds, peak, more) in bulk.items()
    ]
    Console().print(*([table] if table.rows else []), *lines, sep="\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
