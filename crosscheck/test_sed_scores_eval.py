"""Metrics over all thresholds against sed_scores_eval_np2 0.0.4, and PSDS at a list of thresholds against psds_eval 0.5.3, to 1e-9.

Random cases made to be awkward: equal scores in and between clips, plateaus, clips of different length, clips without reference,
labels with the same score everywhere, times on the frame grid, events shorter than the collar.
"""

import numpy as np
import pandas as pd
import psds_eval
import pytest
import sed_scores_eval
from sed_scores_eval.base_modules.scores import create_score_dataframe

from dcasekit.annotations import Event
from dcasekit.metrics import event, intersection, segment
from dcasekit.metrics.psds import PSDS1, PSDS2, PSDS_2020, PSDS_2020_CROSS_TRIGGER, PSDS_2020_MACRO, psds
from dcasekit.scores import Scores, to_events

SEEDS = range(60)
SETTINGS = {
    "PSDS1": PSDS1,
    "PSDS2": PSDS2,
    "2020": PSDS_2020,
    "2020 cross triggers": PSDS_2020_CROSS_TRIGGER,
    "2020 macro": PSDS_2020_MACRO,
}
COLLARS = [(0.2, 0.2, 0.2), (0.2, 0.2, 0.0), (0.5, 0.1, 0.9), (2.0, 2.0, 0.0), (1.0, 0.2, 0.5)]


def disjoint(rng, duration, grid):
    """Draw events that neither touch nor overlap."""
    bounds = np.unique(np.round(rng.uniform(0, duration, 2 * int(rng.choice([0, 0, 1, 2, 6]))) / grid) * grid)
    bounds = np.round(bounds, 6)
    bounds = bounds[bounds <= duration]  # behind the end events are cut here, and not there
    bounds = bounds[: len(bounds) // 2 * 2]
    return bounds.reshape(-1, 2).tolist()


def case(seed):
    """Draw reference, scores and durations of up to eight clips; every label occurs, as sed_scores_eval demands."""
    rng = np.random.default_rng(seed)
    labels = [f"label {number}" for number in range(int(rng.choice([1, 2, 4])))]
    steps, grid, hop = int(rng.choice([2, 5, 20, 0])), float(rng.choice([1e-6, 0.1])), float(rng.choice([0.1, 0.064, 512 / 22050]))
    reference, scores, durations = {}, {}, {}
    for clip in range(int(rng.integers(2, 9))):
        frames = int(rng.choice([1, 20, 60, 61]))
        duration = frames * hop
        listed = [(a, b, label) for label in labels for a, b in disjoint(rng, duration, grid)]
        values = rng.normal(size=(frames, len(labels))) * rng.choice([0.0, 1, 1, 1], size=len(labels))
        for onset, offset, label in listed:
            values[int(onset / hop) : int(offset / hop + 1), labels.index(label)] += rng.choice([0, 1, 3])
        if rng.random() < 0.5:
            values = np.repeat(values, 3, axis=0)[:frames]  # plateaus
        values = 1 / (1 + np.exp(-values))
        if steps:
            values = np.round(values * steps) / steps
        scores[f"clip{clip}"] = Scores(values, np.round(np.arange(frames + 1) * hop, 9), labels)
        reference[f"clip{clip}"], durations[f"clip{clip}"] = listed, duration
    for label in set(labels) - {each[2] for listed in reference.values() for each in listed}:
        reference["clip0"].append((0.0, min(0.05, durations["clip0"]), label))
    return reference, scores, durations


def ours(reference):
    return {clip: [Event(*each) for each in listed] for clip, listed in reference.items()}


def frames(scores):
    return {clip: create_score_dataframe(each.values.astype(np.float64), each.edges, list(each.labels)) for clip, each in scores.items()}


def agrees(numbers, curves, scores, *, every=False):
    """Compare with the best point of the peer's curves; of points equal up to rounding the one of the highest threshold.

    With `every`, both stop at every score. Else, where scores are equal, the peer also stops where one's gain is another one's loss.
    """
    sums = np.zeros(3)
    labels = scores["clip0"].labels
    for column, label in enumerate(labels):
        f1, precision, recall, level, stats = curves[label]
        at = np.flatnonzero(f1 >= f1.max() - 1e-12)[-1]
        threshold = (level[at] + level[at - 1]) / 2 if at else -np.inf
        found = [numbers[f"{name}/{label}"] for name in ("f1", "precision", "recall")]
        assert found == pytest.approx([f1[at], precision[at], recall[at]], abs=1e-9)
        assert numbers[f"threshold/{label}"] <= threshold + 1e-9
        levels = np.concatenate([each.values[:, column] for each in scores.values()])
        if every or len(np.unique(levels)) == len(levels):
            assert numbers[f"threshold/{label}"] == pytest.approx(threshold, abs=1e-9)
        sums += stats["tps"][at], stats["fps"][at], stats["n_ref"]
    assert numbers["f1/macro"] == pytest.approx(np.mean([curves[label][0].max() for label in labels]), abs=1e-9)
    assert numbers["f1/micro"] == pytest.approx(2 * sums[0] / sums.sum(), abs=1e-9)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_psds(seed, name):
    reference, scores, durations = case(seed)
    setting = SETTINGS[name]
    labels = scores["clip0"].labels
    if len(labels) == 1 and setting["alpha_ct"]:
        setting = {**setting, "alpha_ct": 0.0}  # the peer takes the mean over no other label
    # Few seconds of audio: one false alarm alone may be more than 100 per hour.
    for end in (100.0, 3000.0, 30000.0):
        value, single, _, _ = sed_scores_eval.intersection_based.psds(
            frames(scores),
            reference,
            durations,
            dtc_threshold=setting["dtc"],
            gtc_threshold=setting["gtc"],
            cttc_threshold=setting["cttc"] if setting["alpha_ct"] else None,
            alpha_ct=setting["alpha_ct"],
            alpha_st=setting["alpha_st"],
            max_efpr=end,
        )
        numbers = psds(ours(reference), scores, durations, **{**setting, "max_fp_per_hour": end})
        assert numbers == pytest.approx({"psds": value} | {f"psds/{label}": single[label] for label in labels}, abs=1e-9)


@pytest.mark.parametrize("criterion", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("seed", SEEDS)
def test_best_intersection_f1(seed, criterion):
    reference, scores, durations = case(seed)
    numbers = intersection.best_f1(ours(reference), scores, durations, dtc=criterion, gtc=criterion)
    curves = sed_scores_eval.intersection_based.fscore_curve(frames(scores), reference, dtc_threshold=criterion, gtc_threshold=criterion)
    agrees(numbers, curves, scores)


@pytest.mark.parametrize("collars", COLLARS)
@pytest.mark.parametrize("seed", SEEDS)
def test_best_event_f1(seed, collars):
    reference, scores, durations = case(seed)
    onset, offset, rate = collars
    numbers = event.best_f1(ours(reference), scores, durations, onset_collar=onset, offset_collar=offset, offset_rate=rate)
    curves = sed_scores_eval.collar_based.fscore_curve(
        frames(scores), reference, onset_collar=onset, offset_collar=offset, offset_collar_rate=rate
    )
    agrees(numbers, curves, scores)


@pytest.mark.parametrize("resolution", [1.0, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_best_segment_f1(seed, resolution):
    reference, scores, durations = case(seed)
    numbers = segment.best_f1(ours(reference), scores, durations, resolution=resolution)
    curves = sed_scores_eval.segment_based.fscore_curve(frames(scores), reference, durations, segment_length=resolution)
    agrees(numbers, curves, scores, every=True)


@pytest.mark.parametrize("max_fpr", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_segment_area(seed, max_fpr):
    reference, scores, durations = case(seed)
    labels = scores["clip0"].labels
    values = np.random.default_rng(seed).uniform(size=(30, len(labels)))
    # A clip without events: of a label that is in every segment there is no area.
    reference["quiet"], scores["quiet"], durations["quiet"] = [], Scores(values, np.arange(31) / 10, labels), 3.0
    numbers = segment.auroc(ours(reference), scores, durations, max_fpr=max_fpr)
    areas, _ = sed_scores_eval.segment_based.auroc(
        frames(scores), reference, durations, segment_length=1.0, max_fpr=None if max_fpr == 1 else max_fpr
    )
    assert numbers == pytest.approx(
        {f"auroc@{max_fpr:g}/{'macro' if key == 'mean' else key}": area for key, area in areas.items()}, abs=1e-9
    )


def table(events):
    rows = [(f"{clip}.wav", e.onset, e.offset, e.label) for clip, listed in events.items() for e in listed]
    return pd.DataFrame(rows, columns=["filename", "onset", "offset", "event_label"])


def toolbox(reference, durations, setting):
    metadata = pd.DataFrame([(f"{clip}.wav", seconds) for clip, seconds in durations.items()], columns=["filename", "duration"])
    return psds_eval.PSDSEval(
        ground_truth=table(reference), metadata=metadata, dtc_threshold=setting["dtc"], gtc_threshold=setting["gtc"], cttc_threshold=0.3
    )


def quantised(seed, steps=6):
    """Draw clips with scores of few values and times off every grid: psds_eval does not round before it compares."""
    rng = np.random.default_rng(seed)
    labels = ["a", "b", "c"]
    reference, scores, durations = {}, {}, {}
    for clip in range(8):
        listed = [(a, b, label) for label in labels for a, b in disjoint(rng, 10.0, 1e-6)] + ([(1.0, 2.0, "a")] if clip == 0 else [])
        table_ = {label: sorted(each for each in listed if each[2] == label) for label in labels}
        listed = [e for own in table_.values() for i, e in enumerate(own) if i == 0 or e[0] > max(before[1] for before in own[:i])]
        values = rng.normal(size=(50, 3))
        for onset, offset, label in listed:
            values[int(onset * 5) : int(offset * 5 + 1), labels.index(label)] += 2
        edges = np.append(0, rng.uniform(0.15, 0.25, 50).cumsum())
        scores[f"clip{clip}"] = Scores(np.round(steps / (1 + np.exp(1 - values))) / steps, edges, labels)
        reference[f"clip{clip}"], durations[f"clip{clip}"] = [Event(*each) for each in listed], max(10.0, float(edges[-1]))
    return reference, scores, durations, (np.arange(steps + 1) - 0.5) / steps


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_psds_of_a_list_of_thresholds(seed, name):
    reference, scores, durations, thresholds = quantised(seed)
    setting = SETTINGS[name]
    peer = toolbox(reference, durations, setting)
    for threshold in thresholds:
        found = {clip: to_events(each, threshold=threshold) for clip, each in scores.items()}
        if any(found.values()):
            peer.add_operating_point(table(found))
    for end in (100.0, 1000.0, None):
        value = peer.psds(alpha_ct=setting["alpha_ct"], alpha_st=setting["alpha_st"], max_efpr=end).value
        own = {**setting, "max_fp_per_hour": end}
        assert psds(reference, scores, durations, **own, thresholds=thresholds)["psds"] == pytest.approx(value, abs=1e-9)
        assert psds(reference, scores, durations, **own)["psds"] == pytest.approx(value, abs=1e-9)  # no other threshold matters


@pytest.mark.parametrize("seed", range(4))
def test_intersection_f1(seed):
    reference, scores, durations, thresholds = quantised(seed)
    for threshold in thresholds[2:-1]:
        found = {clip: to_events(each, threshold=threshold) for clip, each in scores.items()}
        macro, each = toolbox(reference, durations, PSDS_2020).compute_macro_f_score(table(found))
        numbers = intersection.f1(reference, found, labels=["a", "b", "c"], unfound="nan")
        assert numbers["f1/macro"] == pytest.approx(macro, abs=1e-9)
        assert [numbers[f"f1/{label}"] for label in "abc"] == pytest.approx([each[label] for label in "abc"], abs=1e-9, nan_ok=True)
