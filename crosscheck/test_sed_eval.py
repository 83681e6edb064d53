"""Segment- and event-based metrics against sed_eval 0.2.1 on random cases made to be awkward: every number, to 1e-9.

Times lie on a coarse grid as often as not, so collars and segment borders are met exactly; events touch, overlap, repeat and
come out of order; clips are empty or known to one side only; labels lack a reference, an estimate or both.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import sed_eval

from dcasekit.annotations import Event
from dcasekit.metrics import event, segment

LABELS = ["x", "y", "z"]
SEEDS = range(200)


def listed(rng, labels, latest):
    """Draw the events of one clip."""
    number = int(rng.choice([0, 1, 3, 8, 20]))
    grid = rng.choice([0.1, 0.2, 0.05, 1 / 3, 1e-9])
    onsets = np.round(rng.uniform(0, latest, number) / grid) * grid
    lengths = np.round(rng.choice([0, 0.1, 0.3, 1, 4], number) * rng.uniform(0.5, 1.5, number) / grid) * grid
    onsets, offsets = np.round(onsets, 9), np.round(onsets + lengths, 9)
    return [Event(a, b, str(rng.choice(labels))) for a, b in zip(onsets.tolist(), offsets.tolist(), strict=True)]


def answered(rng, events, labels):
    """Draw an estimate near the reference: times moved by about a collar, labels confused, events lost, doubled and invented."""
    moves = [-0.3, -0.2, -0.1, 0, 0, 0.1, 0.2, 0.25, 0.3]
    found = []
    for e in events:
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            onset = max(0.0, round(e.onset + float(rng.choice(moves)), 6))
            offset = max(onset, round(e.offset + float(rng.choice(moves)) * rng.choice([1, 3]), 6))
            found.append(Event(onset, offset, e.label if rng.random() < 0.7 else str(rng.choice(labels))))
    found += listed(rng, labels, 10) if rng.random() < 0.3 else []
    return [found[i] for i in rng.permutation(len(found))]


def case(seed):
    """Draw reference and estimate of up to six clips, and their labels."""
    rng = np.random.default_rng(seed)
    labels = LABELS[: rng.integers(1, 4)]
    sounding, heard = ([str(label) for label in rng.choice(labels, size=rng.integers(1, 4))] for _ in range(2))
    latest = float(rng.choice([2.0, 10.0]))
    reference = {f"clip{i}": listed(rng, sounding, latest) for i in range(rng.integers(1, 7))}
    estimate = {clip: answered(rng, events, heard) for clip, events in reference.items()}
    silent = rng.random() < 0.1
    estimate = {clip: [] if silent else events for clip, events in estimate.items() if rng.random() < 0.85}
    if rng.random() < 0.2:
        estimate["stranger"] = listed(rng, heard, latest)
    return labels, reference, estimate


def whole(events, durations=None):
    """Leave out points, which sed_eval sees or not, and what lies behind the clip's end, which it cuts at a segment's end."""
    return {
        clip: [
            replace(e, offset=min(e.offset, end))
            for e in listed
            if e.offset - e.onset > 2e-6
            for end in [durations[clip] if durations else np.inf]
            if e.onset < end - 2e-6
        ]
        for clip, listed in events.items()
    }


def peer(metric, reference, estimate, durations=None):
    """Give sed_eval's numbers under our names, for each way to treat an empty output."""
    for clip in dict.fromkeys((*reference, *estimate)):
        pair = [
            [{"filename": clip, "onset": e.onset, "offset": e.offset, "event_label": e.label} for e in events.get(clip, [])]
            for events in (reference, estimate)
        ]
        metric.evaluate(*pair, **({"evaluated_length_seconds": durations[clip]} if durations else {}))
    for handling, empty_output in ((None, "nan"), ("zero_score", "zero")):
        metric.empty_system_output_handling = handling
        yield empty_output, renamed(metric.results())


def renamed(results):
    blocks = {"micro": results["overall"], "macro": results["class_wise_average"], **results["class_wise"]}
    numbers = {}
    for place, block in blocks.items():
        figures = block["f_measure"]
        numbers |= {f"f1/{place}": figures["f_measure"], f"precision/{place}": figures["precision"], f"recall/{place}": figures["recall"]}
        numbers[f"error_rate/{place}"] = block["error_rate"]["error_rate"]
    for kind in ("substitution", "deletion", "insertion"):
        numbers[f"{kind}s"] = results["overall"]["error_rate"][f"{kind}_rate"]
    return numbers | results["overall"]["accuracy"]


def agree(ours, theirs, seed):
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9, nan_ok=True), f"seed {seed}"


@pytest.mark.parametrize("resolution", [1.0, 0.1])
@pytest.mark.parametrize("cut", [False, True], ids=["to the last offset", "given durations"])
def test_segments(resolution, cut):
    for seed in SEEDS:
        labels, reference, estimate = case(seed)
        clips = {*reference, *estimate}
        durations = {clip: float(np.random.default_rng(seed).choice([0.0, 3.25, 10.0, 20.0])) for clip in clips} if cut else None
        reference, estimate = whole(reference, durations), whole(estimate, durations)
        metric = sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution=resolution)
        settings = {"labels": labels, "resolution": resolution, "durations": durations}
        for empty_output, theirs in peer(metric, reference, estimate, durations):
            agree(segment.evaluate(reference, estimate, empty_output=empty_output, **settings), theirs, seed)


@pytest.mark.parametrize("matching", ["optimal", "greedy"])
@pytest.mark.parametrize(
    ("onset", "offset", "rate"),
    [(0.2, 0.2, 0.5), (0.2, 0.2, 0.2), (0.2, None, 0.0), (0.25, None, 0.0), (math.inf, 0.2, 0.2), (1.0, 1.0, 1.0)],
    ids=["sed_eval's defaults", "DCASE task 4", "onset only", "wide onset", "offset only", "very wide"],
)
def test_events(onset, offset, rate, matching):
    for seed in SEEDS:
        labels, reference, estimate = case(seed)
        metric = sed_eval.sound_event.EventBasedMetrics(
            labels,
            t_collar=offset if math.isinf(onset) else onset,
            percentage_of_length=rate,
            evaluate_onset=math.isfinite(onset),
            evaluate_offset=offset is not None,
            event_matching_type=matching,
        )
        settings = {"labels": labels, "onset_collar": onset, "offset_collar": offset, "offset_rate": rate}
        found = event.counts(reference, estimate, matching=matching, **settings)
        for empty_output, theirs in peer(metric, reference, estimate):
            agree(event.figures(found, labels=labels, empty_output=empty_output), theirs, seed)
            if matching == "optimal":
                agree(event.evaluate(reference, estimate, empty_output=empty_output, **settings), theirs, seed)


def test_long_alternating_paths():
    """One label in one busy clip: first fit is far from the largest matching, and which one is found shows in substitutions."""
    for seed in SEEDS[:60]:
        rng = np.random.default_rng(seed)
        reference, estimate = (
            {"a": [Event(round(t, 2), round(t + 1, 2), rng.choice(["x", "x", "x", "y"])) for t in rng.uniform(0, 6, 60).tolist()]}
            for _ in range(2)
        )
        metric = sed_eval.sound_event.EventBasedMetrics(LABELS, t_collar=0.2, percentage_of_length=0.2)
        for empty_output, theirs in peer(metric, reference, estimate):
            agree(event.evaluate(reference, estimate, labels=LABELS, empty_output=empty_output), theirs, seed)


def test_the_cases_are_awkward():
    """What the cases are drawn to hold is in them, in numbers that show it was tested."""
    seen = {"exact": 0, "optimal": 0, "absent": 0, "silent": 0, "stranger": 0, "without length": 0, "one label": 0}
    for seed in SEEDS:
        labels, reference, estimate = case(seed)
        found = event.counts(reference, estimate, labels=labels)
        wide = event.counts(reference, estimate, labels=labels, tolerance=1e-6)
        greedy = event.counts(reference, estimate, labels=labels, matching="greedy")
        seen["exact"] += bool(found.hits.sum() < wide.hits.sum())
        seen["optimal"] += bool(found.hits.sum() > greedy.hits.sum())
        seen["absent"] += bool(((found.reference.sum(0) == 0) & (found.estimate.sum(0) > 0)).any())
        seen["silent"] += bool(((found.estimate.sum(0) == 0) & (found.reference.sum(0) > 0)).any())
        seen["stranger"] += "stranger" in estimate
        seen["without length"] += any(e.onset == e.offset for events in reference.values() for e in events)
        seen["one label"] += len(labels) == 1
    assert min(seen.values()) >= 10, seen
