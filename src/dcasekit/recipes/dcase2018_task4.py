"""DCASE 2018 task 4, the two-pass baseline: events at home from weak labels, and from clips without any.

R. Serizel, N. Turpault, H. Eghbal-Zadeh, A. P. Shah, DCASE Workshop 2018; where text and published code differ, the code. A first network
learns the tags of weak clips; what it says of others are labels that a second one learns in each frame. On one core (AVX-512) a step takes
0.57 and 5.1 s, an epoch has 78 and 112, there are at most 100: 1.2 and 16 hours. Memory: 1.5 and 10 GB. Differences: the report's notes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.annotations import Clip, Event
from dcasekit.containers.stopping import stop_late
from dcasekit.core.energy import measured
from dcasekit.datasets import DCASE2018Task4, Split
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.metrics import bootstrap, event, statistics, thresholds
from dcasekit.models.crnn2018 import CRNN2018
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results
from dcasekit.scores import Scores, median_filter, pool, to_events
from dcasekit.scores.postprocessing import to_tags


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe, those of the published code.

    Parameters
    ----------
    epochs : passes over the training data, in each of the two passes, at most.
    batches : windows in a training step of the first pass, and of the second.
    learning_rate : step size of the optimizer, at the start.
    delay : the last epoch, counted from 0, that is neither the best nor counts for stopping.
    patience : epochs without a gain of 0.01 in the clips' macro F1 before training stops.
    median : length of the median filter, in frames of 20 ms.
    filters : filters of each convolution.
    units : units of the recurrent layer, in each direction.
    seconds : length of a window, and of the clips of the synthetic dataset, in seconds.
    clips : number of clips of the synthetic dataset; a quarter each are weak, unlabelled, test and evaluation.
    """

    epochs: int = 100
    batches: tuple[int, int] = (16, 128)
    learning_rate: float = 1e-3
    delay: int = 5
    patience: int = 15
    median: int = 51
    filters: tuple[int, ...] = (64, 64, 64)
    units: int = 64
    seconds: float = 10.0
    clips: int = 240


QUICK = Config(30, (8, 8), learning_rate=5e-3, median=7, filters=(16, 16, 16), units=16, seconds=2.0, clips=400, quick=True)
NO_VALIDATION = "it learns from tags alone, and tests on all clips whose events are known in time"
DATASETS = ("dcase2018_task4",)
PUBLISHED = {
    "baseline, test": Published(0.1468, "its README; before the test set's revision of July 2018", "event_f1"),
    "baseline, test, errors": Published(1.54, "its README", "event_error_rate"),
    "baseline, evaluation": Published(0.1095, "its published output, scored by us with sed_eval", "event_f1_evaluation"),
    "baseline, evaluation, errors": Published(1.922, "its published output, scored by us", "event_error_rate_evaluation"),
}
# About the published 14.68 % and some 14.06 % of the revised set, and 10.95 %, for other seeds and clips that are gone.
BANDS = {"event_f1": (0.13, 0.16), "event_f1_evaluation": (0.09, 0.13)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train both passes, test them, and save networks and report below `out`; interrupted, it goes on."""
    folder = _data.find(DATASETS[0], data, out, clips=config.clips, seconds=config.seconds, sr=44100)
    dataset, began = DCASE2018Task4(folder, cache=out / "cache"), time.perf_counter()
    mel = MelSpectrogram.preset("dcase2018_task4", sequence_time=config.seconds, sequence_hop_time=config.seconds)
    mel.extract(dataset, progress=progress)
    weak, unlabelled = dataset.validation_split(0.2, balance=None, fold="test"), dataset.select(["unlabel_in_domain"])
    first, second = train(config, partial(DataGenerator, dataset, mel), weak, unlabelled, out, progress=progress)
    found, results = dict[str, tuple[float, tuple[float, float]]](), dict[str, Results]()
    for fold, end in {"test": "", "eval": "_evaluation"}.items() if "eval" in dataset.present_folds else [("test", "")]:
        before, results[fold] = (detect(config, model, DataGenerator(dataset, mel, folds=[fold], train=False)) for model in (first, second))
        found |= {f"{name}{end}": one for name, one in measure(results[fold]).items()}
        found[f"event_f1{end}_first_pass"] = measure(before)["event_f1"]
    section = Section(
        name=dataset.name,
        folds={"test": results["test"]},
        histories={"first pass": first.history, "second pass": second.history},
        model={"class": "CRNN2018", **second.cost(), "settings": second.settings},
        seconds=time.perf_counter() - began,
        published={system: one for system, one in PUBLISHED.items() if one.measure in found},
        notes=[
            "Validation is on all its clips; published: on batches that slide over them. Adam adds 1e-8 (1e-7); random numbers are others.",
            f"{len(dataset.missing)} of the listed clips have no file, and are left out.",
        ],
        sizes={"test": Sizes(len(unlabelled), len(weak.train) + len(weak.validation))},
        saved=out / "models" / "second",
        measures={name: value for name, (value, _) in found.items()},
        intervals={name: interval for name, (_, interval) in found.items()},
    )
    report = Report(_data.title("DCASE 2018 task 4 baseline", DATASETS, data), asdict(config), [section], environment())
    report.save(out)
    return report


def train(config: Config, data: Any, weak: Split, unlabelled: Sequence[Clip], out: Path, *, progress: bool = False) -> list[CRNN2018]:
    """Train the first pass on weak clips, the second on unlabelled ones with the first's labels; `data` makes generators of clips."""
    every = (*weak.train, *weak.validation)
    scaler = Scaler("standard").fit(data(folds=[*every, *every, *unlabelled]))  # weak clips count twice, as published
    checked = data(folds=weak.validation, task="tagging", train=False, scaler=scaler)
    first = learn(config, "first", data(folds=weak.train, task="tagging", scaler=scaler), checked, out, progress=progress)
    found = first.evaluate(checked)
    means = np.concatenate([pool(scores).values for scores in found.scores])
    limits = thresholds.best_f1(found.truth, means, labels=found.labels, grid=[step / 10 for step in range(11)])
    answers = first.predict(data(folds=unlabelled, task="tagging", train=False))
    frames = data(folds=[*map(partial(label, limits), unlabelled, answers)], target="frame", scaler=scaler)
    return [first, learn(config, "second", frames, data(folds=every, train=False), out, progress=progress)]


def learn(config: Config, name: str, data: DataGenerator, checked: DataGenerator, out: Path, *, progress: bool) -> CRNN2018:
    """Train a pass, and save it."""
    model = CRNN2018(filters=config.filters, units=config.units)
    batch = {"batch_size": min(config.batches[name == "second"], data.size), "drop_last": True, "learning_rate": config.learning_rate}
    stop = partial(stop_late, key="val_clip_f1", patience=config.patience, least=0.01, delay=config.delay)
    choice = {"monitor": clip_f1, "best_from": config.delay + 2, "considered_improvement": 1e-9, "early_stopping": stop}
    about = {"seed": config.seed, "device": config.device, "resume": out / "checkpoints" / name, "progress": progress}
    model.train(data, checked, epochs=config.epochs, **batch, **choice, **about)  # of equal epochs the first is kept
    model.save(out / "models" / name)
    return model


def label(limits: Mapping[str, float], clip: Clip, scores: Scores) -> Clip:
    """Return a clip whose events last from its beginning to its end, one for each label above its threshold in `limits`, maybe none."""
    tags = to_tags(scores, threshold=limits, inclusive=True)
    return replace(clip, tags=tags, events=tuple(Event(0.0, float(scores.edges[-1]), name) for name in tags))


def clip_f1(results: Results) -> float:
    """Compute the clip-level macro F1, by which both passes choose the epoch; a label is present if its mean score is 0.5 or more."""
    return replace(results, task="tagging", scores=tuple(map(pool, results.scores)), threshold=np.nextafter(0.5, 0)).numbers["f1/macro"]


def detect(config: Config, model: CRNN2018, data: DataGenerator) -> Results:
    """Return smoothed frame-level scores of clips; those of the first pass are the outputs that it averages over a clip."""
    results = model.head("detection").evaluate(data.with_scaler(model.scaler))
    return replace(results, scores=tuple(median_filter(scores, frames=config.median) for scores in results.scores))


def measure(results: Results) -> dict[str, tuple[float, tuple[float, float]]]:
    """Compute the published event-based measures: measure -> value and 95 % interval.

    The onset collar is 200 ms; the offset collar is 200 ms, or a fifth of the event's duration if that is more.
    """
    found = {clip: to_events(scores, inclusive=True) for clip, scores in zip(results.clips, results.scores, strict=True)}
    counts = event.counts({clip: (results.events or {})[clip] or () for clip in found}, found, labels=results.labels)
    numbers = event.figures(counts, labels=results.labels, empty_output="zero")
    f1 = bootstrap.interval(statistics.figure_of(counts, "f1/macro"), len(results.clips), groups=results.groups)
    return {"event_f1": (numbers["f1/macro"], f1), "event_error_rate": (numbers["error_rate/macro"], (np.nan, np.nan))}
