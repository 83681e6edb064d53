"""Metrics of DCASE 2023 task 4B (MAESTRO Real, soft labels): the published evaluation, and the same made clip by clip.

A label is active in a second if its soft label exceeds 0.5; scores become events of whole seconds as in the baseline, see
`dcasekit.scores.postprocessing.dcase2023_4b_events`. The events give segment-based error rate and F1 at 1 s, the scores the segment-based
F1 at the best threshold of each label. The baseline has scores for 17 labels, of which 11 are evaluated (`MAESTROReal.evaluated_labels`).

I. Martín-Morató, M. Harju, P. Ahokas, A. Mesaros, "Training Sound Event Detection with Soft Labels from Crowdsourced Annotations", ICASSP
2023. Published figures, mean and standard deviation of ten trainings: error rate 0.487 (0.009), F1 micro 0.703 (0.008), F1 macro 0.358
(0.007), best F1 macro 0.429 (0.008).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from dcasekit.annotations import Event, events_to_roll
from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics import bootstrap, segment, statistics
from dcasekit.metrics._events import Events, check_choice
from dcasekit.metrics._scored import ScoresOf
from dcasekit.scores import Scores
from dcasekit.scores.postprocessing import dcase2023_4b_events

Chain = Literal["clips", "concatenated"]


def evaluate(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    *,
    labels: Sequence[str],
    rounds: Iterable[Sequence[str]] | None = None,
    chain: Chain = "clips",
    frame: Seconds = 0.2,
) -> dict[str, float]:
    """Compute the four published metrics.

    Parameters
    ----------
    reference : clip id -> events; soft ones count if their weight is above 0.5.
    scores : clip id -> frame-level scores, for these labels or more.
    durations : clip id -> seconds.
    labels : the labels to evaluate; macro means are sums over these, divided by their number.
    rounds : the test clips of each fold, whose counts are added up; ``None``: all clips are one round.
    chain : ``"clips"``: each clip is evaluated by itself. ``"concatenated"``: the frames of a round's clips are first put one after
        another, as in the published code, so that the border between two clips may fall anywhere within a second.
    frame : length of a frame in seconds, used for ``"concatenated"`` only, where the last frame of a clip counts as a whole one.

    Returns
    -------
    dict : ``error_rate/micro``, ``f1/micro``, ``f1/macro``, ``f1/`` of each label, ``best_f1/macro`` and ``best_f1/`` of each label (always
        over all clips at once). A label that is not found, or does not occur, counts 0 in ``f1/macro``.

    Raises
    ------
    MetricError : clips, labels or durations do not agree, or a clip is in two rounds or in none.

    Examples
    --------
    >>> scores = {"a": Scores([[0.9]] * 5 + [[0.1]] * 5, np.arange(11) / 5, ["car"])}
    >>> found = evaluate({"a": [Event(0, 1, "car", 0.7)]}, scores, {"a": 2}, labels=["car"])
    >>> {name: found[name] for name in ("error_rate/micro", "f1/micro", "f1/macro", "best_f1/macro")}
    {'error_rate/micro': 0.0, 'f1/micro': 1.0, 'f1/macro': 1.0, 'best_f1/macro': 1.0}
    """
    check_choice("chain", chain, Chain)
    best = segment.best_f1(reference, scores, durations, labels=labels)
    parts = [list(part) for part in ([list(scores)] if rounds is None else rounds)]
    if sorted(clip for part in parts for clip in part) != sorted(scores):
        raise MetricError("every clip with scores must be in exactly one of the rounds")
    if chain == "clips":
        truth: Events = {clip: reference[clip] for clip in scores}
        found: Events = {clip: dcase2023_4b_events(each) for clip, each in scores.items()}
    else:
        names = [str(number) for number in range(len(parts))]
        both = [_join({clip: scores[clip] for clip in part}, reference, labels, frame) for part in parts]
        truth, found = ({name: pair[which] for name, pair in zip(names, both, strict=True)} for which in (0, 1))
    numbers = segment.evaluate(truth, found, labels=labels, empty_output="zero", absent="nan")
    f1 = {f"f1/{label}": numbers[f"f1/{label}"] for label in labels}
    return {
        "error_rate/micro": numbers["error_rate/micro"],
        "f1/micro": numbers["f1/micro"],
        "f1/macro": float(np.nansum([*f1.values()]) / len(f1)),
        **f1,
        **{f"best_{name}": value for name, value in best.items() if name.startswith("f1/") and name != "f1/micro"},
    }


def intervals(
    reference: Events, scores: ScoresOf, durations: Mapping[str, Seconds], *, labels: Sequence[str], repeats: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Compute 95 % bootstrap intervals of the four metrics, evaluated clip by clip, see `dcasekit.metrics.bootstrap.interval`.

    Parameters
    ----------
    reference, scores, durations, labels : as for `evaluate`.
    repeats : number of draws.
    seed : of the draws.

    Returns
    -------
    dict : ``error_rate/micro``, ``f1/micro``, ``f1/macro``, ``best_f1/macro`` -> low and high end. A label that does not occur in a draw is
        left out of the means of that draw.

    Examples
    --------
    >>> scores = {clip: Scores([[0.9]] * 5, np.arange(6) / 5, ["car"]) for clip in "abcdefgh"}
    >>> reference = {clip: [Event(0, 1, "car", 1 if clip < "e" else 0.25)] for clip in scores}
    >>> low, high = intervals(reference, scores, dict.fromkeys(scores, 1.0), labels=["car"])["f1/micro"]
    >>> low < 2 / 3 < high
    True
    """
    found: Events = {clip: dcase2023_4b_events(each) for clip, each in scores.items()}
    counts = segment.counts({clip: reference[clip] for clip in scores}, found, labels=labels)
    drawn = {key: statistics.figure_of(counts, key) for key in ("error_rate/micro", "f1/micro", "f1/macro")}
    drawn["best_f1/macro"] = statistics.best_segment_f1(reference, scores, durations, labels=labels)
    return {key: bootstrap.interval(one, len(scores), repeats=repeats, seed=seed) for key, one in drawn.items()}


def _join(scores: ScoresOf, reference: Events, labels: Sequence[str], frame: Seconds) -> tuple[list[Event], list[Event]]:
    """Put the frames of clips one after another; return the events of truth and scores in them, both in the baseline's whole seconds."""
    true, found = [], []
    for clip, each in scores.items():
        lengths = np.diff(each.edges)
        if not np.allclose(lengths[:-1], frame, rtol=1e-3):
            raise MetricError(f"clip {clip!r} has frames of {np.median(lengths):g} s, not of {frame:g} s: give frame=")
        edges = np.arange(len(each.values) + 1) * frame
        known = (event for event in reference[clip] if event.label in labels and event.onset < edges[-1])
        true.append(events_to_roll(known, labels, edges))
        found.append(each.values[:, [each.labels.index(label) for label in labels]])
    rolls = (np.concatenate(rolls) for rolls in (true, found))
    first, second = (dcase2023_4b_events(Scores(roll, np.arange(len(roll) + 1) * frame, labels)) for roll in rolls)
    return first, second
