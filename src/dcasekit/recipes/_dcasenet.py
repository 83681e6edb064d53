"""How DcaseNet's answers are measured."""

from collections.abc import Mapping
from itertools import groupby

import numpy as np

from dcasekit.annotations import events_to_roll
from dcasekit.datasets.base import Task
from dcasekit.generator import DataGenerator
from dcasekit.metrics import seld
from dcasekit.models.dcase_net import DcaseNet
from dcasekit.results import Results
from dcasekit.scores import Scores
from dcasekit.scores.postprocessing import average

TASKS: Mapping[str, Task] = {"scenes": "classification", "tags": "tagging", "events": "detection"}
MEASURES = ("accuracy", "lwlrap", "f1_5s", "error_rate_5s")  # the first three choose the epoch of their task
THRESHOLD = 0.3  # of events


def validate(model: DcaseNet, data: Mapping[str, DataGenerator]) -> dict[str, float]:
    """Compute the numbers that choose the epoch: those of each task, by name."""
    return {key: value for name, one in data.items() for key, value in measure(answer(model.head(TASKS[name]), one)).items()}


def answer(model: DcaseNet, data: DataGenerator) -> Results:
    """Score clips: scenes by the mean over their crops, events by the mean over the channels of a recording."""
    known, scores, threshold = data.reference(), model.predict(data), 0.5
    if model.task == "classification":
        scores = [Scores(one.values.mean(axis=0, keepdims=True), one.edges[[0, -1]], one.labels) for one in scores]
    if model.task == "detection":
        channels = [list(part) for _, part in groupby(range(len(scores)), key=known["groups"].__getitem__)]
        scores, first, threshold = [average([scores[at] for at in part]) for part in channels], [part[0] for part in channels], THRESHOLD
        known |= {key: tuple(known[key][at] for at in first) for key in ("clips", "paths", "groups", "durations")}
        known["truth"] = known["truth"][first]
    return Results(task=model.task, labels=model.labels, scores=tuple(scores), threshold=threshold, **known)


def measure(results: Results) -> dict[str, float]:
    """Compute the numbers of a task; for events in segments of 5 s, as published, and of 1 s."""
    if results.task != "detection":
        return {(name := "accuracy" if results.task == "classification" else "lwlrap"): results.numbers[name]}
    found = [one.values[: len(one.values) // 40 * 40 : 5] > results.threshold for one in results.scores]  # each 100 ms of whole steps
    clips = zip(results.clips, found, strict=True)
    true = [events_to_roll((results.events or {})[clip], results.labels, np.arange(len(one) + 1) / 10) for clip, one in clips]
    blocks = {f"{n}s": seld.evaluate(np.concatenate(true), np.concatenate(found), block_frames=10 * n) for n in (5, 1)}
    return {f"{name}_{length}": value for length, numbers in blocks.items() for name, value in numbers.items()}
