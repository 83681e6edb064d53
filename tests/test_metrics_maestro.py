"""The measures of DCASE 2023 task 4B, clip by clip and as published, against a slow count of its description; averages, tags."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from dcasekit.annotations import Event, events_to_roll, read_events
from dcasekit.datasets import MAESTROReal
from dcasekit.errors import AnnotationError, MetricError
from dcasekit.metrics import maestro, segment, thresholds
from dcasekit.scores import Scores
from dcasekit.scores.postprocessing import average, to_tags

LABELS = ("car", "bird", "metro")
ALL = (*LABELS, "shopping cart")
DATA = os.environ.get("DCASEKIT_DATA")


def drawn(seed, clips=5):
    """Soft events of whole seconds and scores of 0.2 s frames, more frames than seconds as a centred transform gives."""
    rng = np.random.default_rng(seed)
    reference, scores, durations = {}, {}, {}
    for number in range(clips):
        seconds = int(rng.integers(4, 9))
        durations[str(number)] = seconds + float(rng.choice([0.0, 0.31, 0.5]))
        reference[str(number)] = [
            Event(second, second + 1, label, float(weight))
            for second in range(seconds)
            for label in ALL
            if (weight := rng.choice([0.0, 0.3, 0.5, 0.6, 1.0])) > 0
        ]
        frames = 1 + math.floor(durations[str(number)] * 5)
        edges = np.append(np.arange(frames) * 0.2, max(durations[str(number)], frames * 0.2 - 0.19))
        scores[str(number)] = Scores(np.repeat(rng.uniform(size=(frames // 3 + 1, 4)), 3, axis=0)[:frames], edges, ALL)
    return reference, scores, durations


def seconds_on(active):
    """Whole seconds of the baseline: runs of frames, both ends rounded down."""
    change = np.flatnonzero(np.diff(active.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return {second for first, last in change.tolist() for second in range(first // 5, last // 5)}


def counted(pairs):
    """Error rate, micro F1 and F1 of each label from pairs (true, found) of sets of seconds by label, one per recording."""
    errors = reference = hits = predicted = 0
    own = {label: [0, 0, 0] for label in LABELS}
    for true, found in pairs:
        for second in range(10_000):
            t, f = ({label for label in LABELS if second in each[label]} for each in (true, found))
            both = len(t & f)
            errors += max(len(t), len(f)) - both
            reference, hits, predicted = reference + len(t), hits + both, predicted + len(f)
            for label in LABELS:
                own[label] = [a + b for a, b in zip(own[label], (label in t & f, label in t, label in f), strict=True)]
    f1 = [2 * h / (t + f) if t else 0.0 for h, t, f in own.values()]
    return errors / reference, 2 * hits / (reference + predicted), sum(f1) / len(f1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chain", ["clips", "concatenated"])
def test_both_chains_count_as_described(seed, chain):
    reference, scores, durations = drawn(seed)
    rounds = [["0", "3"], ["1", "2", "4"]]
    columns = [ALL.index(label) for label in LABELS]
    rolls = {
        clip: (events_to_roll(reference[clip], ALL, np.arange(len(each.values) + 1) * 0.2)[:, columns] > 0.5, each.values[:, columns] > 0.5)
        for clip, each in scores.items()
    }
    if chain == "concatenated":
        rolls = {str(part): tuple(np.concatenate([rolls[clip][which] for clip in part]) for which in (0, 1)) for part in rounds}
        pairs = [tuple({label: seconds_on(roll[:, k]) for k, label in enumerate(LABELS)} for roll in both) for both in rolls.values()]
    else:
        truth = [
            {label: {int(e.onset) for e in reference[clip] if e.label == label and e.weight > 0.5} for label in LABELS} for clip in rolls
        ]
        found = [{label: seconds_on(roll[:, k]) for k, label in enumerate(LABELS)} for _, roll in rolls.values()]
        pairs = list(zip(truth, found, strict=True))
    numbers = maestro.evaluate(reference, scores, durations, labels=LABELS, rounds=rounds, chain=chain)
    np.testing.assert_allclose([numbers[name] for name in ("error_rate/micro", "f1/micro", "f1/macro")], counted(pairs), rtol=1e-12)
    best = segment.best_f1(reference, scores, durations, labels=LABELS)
    assert {name: numbers[f"best_{name}"] for name in ("f1/macro", "f1/car")} == {name: best[name] for name in ("f1/macro", "f1/car")}


def test_intervals_hold_the_measures_of_clips():
    given = drawn(0)
    numbers, spans = maestro.evaluate(*given, labels=LABELS), maestro.intervals(*given, labels=LABELS)
    assert list(spans) == ["error_rate/micro", "f1/micro", "f1/macro", "best_f1/macro"]
    assert all(low < numbers[name] < high for name, (low, high) in spans.items())
    assert spans == maestro.intervals(*given, labels=LABELS), "the same seed gives the same draws"


def test_a_label_that_is_not_there_adds_nothing_and_is_divided_by():
    reference, scores = {"a": [Event(0, 2, "car")]}, {"a": Scores(np.ones((10, 4)) * [0.9, 0, 0, 0], np.arange(11) / 5, ALL)}
    numbers = maestro.evaluate(reference, scores, {"a": 2.0}, labels=LABELS)
    assert (numbers["f1/car"], numbers["f1/macro"], numbers["f1/micro"]) == (1.0, pytest.approx(1 / 3), 1.0)
    assert numbers["best_f1/macro"] == 1.0  # of the labels that are there, as sed_scores_eval would have it


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rounds": [["0", "1"]]}, "in exactly one of the rounds"),
        ({"rounds": [["0", "1", "2", "3", "4"], ["4"]]}, "exactly one of the rounds"),
        ({"chain": "files"}, "chain must be one of 'clips', 'concatenated'"),
        ({"chain": "concatenated", "frame": 0.02}, "frames of 0.2 s, not of 0.02 s"),
        ({"labels": ("cat",)}, "not among the scores' labels"),
    ],
)
def test_what_does_not_fit_is_refused(change, says):
    with pytest.raises(MetricError, match=says):
        maestro.evaluate(*drawn(0), **{"labels": LABELS, **change})


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="set DCASEKIT_DATA to a folder that holds metadata/maestro_real: DCASEKIT_DATA=... pytest -m realdata")
@pytest.mark.parametrize("chain", ["clips", "concatenated"])
def test_the_real_truth_answered_in_frames_is_right_by_all_four(chain):
    folder = Path(DATA) / "metadata" / "maestro_real" / "metadata"
    rows = (folder / "development_metadata.csv").read_text().splitlines()[1:]
    durations = {f"{name}.wav": float(end) for name, end in map(str.split, rows)}
    reference, labels = read_events(folder / "gt_dev.csv"), MAESTROReal.evaluated_labels
    scores = {}
    for clip, end in durations.items():
        frames = 1 + math.floor(end * 5)
        edges = np.append(np.arange(frames) * 0.2, max(end, frames * 0.2 - 0.1999))
        scores[clip] = Scores(events_to_roll([e for e in reference[clip] if e.onset < edges[-1]], labels, edges), edges, labels)
    rounds = [[f"{name}.wav" for name, parts in MAESTROReal.recordings.items() if parts[f"fold{n}"] == "test"] for n in range(1, 6)]
    numbers = maestro.evaluate(reference, scores, durations, labels=labels, rounds=rounds, chain=chain)
    assert numbers["error_rate/micro"] == pytest.approx(0, abs=2e-3)
    assert numbers["f1/micro"] == pytest.approx(1, abs=1e-3)
    assert numbers["best_f1/macro"] == pytest.approx(1, abs=2e-3)


# ---- averages of channels and crops, tags of scores


def test_channels_are_averaged_frame_by_frame_and_crops_over_their_time():
    edges = np.arange(4.0)
    channels = [Scores(np.full((3, 2), value), edges, ("a", "b")) for value in (0.1, 0.2, 0.3, 0.6)]
    np.testing.assert_allclose(average(channels).values, 0.3, rtol=1e-6)
    crops = [Scores([[value]], [start, start + 5], ("a",)) for value, start in ((0.2, 0), (0.4, 2.5), (0.9, 5))]
    assert average(crops).values.item() == pytest.approx(0.5)
    assert average(crops).edges.tolist() == [0, 10]


def test_what_cannot_be_averaged_is_refused():
    one = Scores(np.zeros((3, 1)), range(4), ("a",))
    for other in ([], [one, Scores(np.zeros((3, 1)), range(4), ("b",))], [one, Scores(np.zeros((3, 1)), [0, 1, 2, 3.5], ("a",))]):
        with pytest.raises(AnnotationError, match="average"):
            average(other)


def test_pseudo_labels_are_those_of_the_2018_baseline():
    """Thresholds per class on a grid of tenths; a score that equals one is enough, and a class without examples is never given."""
    truth = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    values = [[0.75, 0.25, 0.875], [0.5, 0.625, 0.875], [0.375, 0.75, 0.875], [0.125, 0.25, 0.875]]
    chosen = thresholds.best_f1(truth, values, labels=LABELS, grid=np.arange(11) / 10)
    assert (chosen["car"], chosen["bird"]) == (0.4, 0.3)
    given = [to_tags(Scores([row], [0, 10], LABELS), threshold=chosen, inclusive=True) for row in ([0.5, 0.3, 0.9], [0.3, 0.2, 0.9])]
    assert given == [{"car": 1.0, "bird": 1.0}, {}]
    assert to_tags(Scores([[0.5, 0.5, 0.5]], [0, 10], LABELS)) == {}
