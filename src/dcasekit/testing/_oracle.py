"""Check that an oracle, a system that answers what is true, is told so on a dataset by every number."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from dcasekit.datasets.base import Dataset
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import DataGenerator, Target
from dcasekit.results import Results
from dcasekit.testing._contract import need

# Frames of 20 ms, and of 200 ms; whole clips, and windows that overlap.
_HOPS, _SR = (160, 1600), 8000
_SHARES = ("f1", "recall", "precision", "accuracy", "average_precision", "auc", "sensitivity", "specificity", "lwlrap")


def check_oracle(dataset: Dataset, cache: Path) -> None:
    """Check that a dataset's own targets, cut into the windows of several features, get the best value of every metric.

    Parameters
    ----------
    dataset : with its files on disk.
    cache : folder for extracted features and the like.

    Raises
    ------
    ContractError : a metric has another value.
    """
    twin = copy.copy(dataset)
    twin.cache = cache
    target: Target = "frame" if dataset.task == "detection" else "clip"  # windows of events are coarser than segments may be
    for hop in _HOPS:
        seconds = hop / _SR
        feature = MelSpectrogram(sr=_SR, audio_win=_HOPS[0], audio_hop=hop, mel=Mel(bands=2), sequence_time=None)
        feature.extract(twin, jobs=1)
        for length in (None, 4 * seconds):
            cut = replace(feature, sequence_time=length, sequence_hop_time=2 * seconds)
            generator = DataGenerator(twin, cut, folds=twin.clips, train=False, target=target)
            _check_numbers(answer_truth(generator), f"frames of {seconds} s in windows of {length or 'a whole clip'}")


def answer_truth(generator: DataGenerator) -> Results:
    """Return the results of an oracle, which predicts the truth.

    Where times are unknown it predicts the tags of the whole clip, and where nothing is known it guesses.
    """
    rng, reference, scores = np.random.default_rng(0), generator.reference(), []
    for clip, target, tags in zip(generator.clip_windows(), generator.get_data()[1], reference["truth"], strict=True):
        answers = np.where(np.isnan(target), np.where(np.isnan(tags), rng.random(target.shape), tags), target)
        scores.append(clip.join(answers, generator.labels))
    return Results(task=generator.task, labels=generator.labels, scores=tuple(scores), **reference)


def _check_numbers(results: Results, how: str) -> None:
    numbers = {name: value for name, value in results.numbers.items() if any(share in name.split("/") for share in _SHARES)}
    wrong = {name: value for name, value in numbers.items() if not (math.isnan(value) or math.isclose(value, 1, abs_tol=1e-9))}
    need(not wrong, f"an oracle that answers the truth gets 1 in every number ({how}); it got {dict(list(wrong.items())[:5])}")
    need(results.headline in numbers, f"the main number is among those; it is {results.headline}")
