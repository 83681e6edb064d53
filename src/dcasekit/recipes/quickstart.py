"""Quickstart: scenes, tags and events on synthetic sounds, from nothing to a report in minutes.

What ``make demo`` runs. The same features and the same small network serve the three tasks; only the labels differ. Each task is trained on
three folds, its best epoch is chosen on a fourth, and it is reported on the fifth.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from dcasekit.annotations import Event
from dcasekit.core.energy import measured
from dcasekit.core.parallel import map_clips, usable_cores
from dcasekit.datasets.base import Task
from dcasekit.datasets.synthetic_sounds import SyntheticSounds
from dcasekit.features import Mel
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.metrics import segment
from dcasekit.models.compact_cnn import CompactCNN
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import HEADLINES, Results


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe.

    Parameters
    ----------
    clips : number of clips for each task.
    seconds : length of a clip, in seconds.
    epochs : passes over the training data.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer at its highest, after its rise.
    """

    clips: int = 400
    seconds: float = 5.0
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 3e-3


QUICK = Config(clips=200, epochs=8, batch_size=8, quick=True)

DATASETS = ("synthetic_sounds",)

SR = 16000
# A window in seconds: whole clips for scenes and tags; for events, 1 s that answers for the half second in its middle.
WINDOW: dict[Task, float | None] = {"classification": None, "tagging": None, "detection": 1.0}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Make the sounds, train one network per task, evaluate, and save models and report.

    Parameters
    ----------
    data : ``synthetic_sounds``: folder for the sounds; without it they are made inside `out`.
    out : folder for the report, and a model per task.
    """
    dataset = sounds(config, "classification", data, out)
    dataset.download(progress=progress)
    features("classification").extract(dataset, progress=progress)  # stored frames serve the three tasks
    # One process with one thread per task: on few cores, and beside other work, threads inside a small network cost more than they give.
    tasks = get_args(Task)
    jobs = min(len(tasks), usable_cores())
    bar = "Training for scenes, tags, events" if progress else None
    done = map_clips(partial(section, config, data, out), tasks, jobs=jobs, progress=bar)
    report = Report(
        title="Quickstart: scenes, tags and events on synthetic sounds",
        settings=asdict(config),
        sections=list(done),
        environment=environment(),
    )
    report.save(out)
    return report


def sounds(config: Config, task: Task, data: Mapping[str, Path], out: Path) -> SyntheticSounds:
    """Return the sounds with the labels of a task."""
    folder = data.get("synthetic_sounds", out / "sounds")
    return SyntheticSounds(folder, cache=out / "cache", task=task, clips=config.clips, seconds=config.seconds, sr=SR, seed=config.seed)


def features(task: Task) -> MelSpectrogram:
    """Return the features of a task."""
    return MelSpectrogram(sr=SR, audio_win=800, audio_hop=400, mel=Mel(bands=40), sequence_time=WINDOW[task])


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Mean of the three tasks' main numbers on the fold that chooses the epoch; the first fold is kept for the test."""
    dataset = sounds(config, "classification", data, out)
    dataset.download(progress=progress)
    features("classification").extract(dataset, progress=progress)
    histories = {task: train(config, sounds(config, task, data, out), features(task), resume / task).history for task in get_args(Task)}
    return float(np.mean([max(record[f"val_{HEADLINES[task]}"] for record in history) for task, history in histories.items()]))


def train(config: Config, dataset: SyntheticSounds, mel: MelSpectrogram, resume: Path) -> CompactCNN:
    """Train a network for the dataset's task."""
    split, model = dataset.split("fold1"), CompactCNN()
    model.train(
        DataGenerator(dataset, mel, folds=split.train, seed=config.seed),
        DataGenerator(dataset, mel, folds=split.validation, train=False),
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="one_cycle",
        seed=config.seed,
        device=config.device,
        resume=resume,
    )
    return model


def section(config: Config, data: Mapping[str, Path], out: Path, task: Task) -> Section:
    """Train and evaluate for one task."""
    dataset, mel = sounds(config, task, data, out), features(task)
    split, began = dataset.split("fold1"), time.perf_counter()
    model = train(config, dataset, mel, out / "checkpoints" / task)
    results = model.evaluate(DataGenerator(dataset, mel, folds=split.test, train=False))
    model.save(out / "models" / task)
    return Section(
        name={"classification": "Scenes", "tagging": "Tags", "detection": "Events"}[task],
        folds={"test": results},
        histories={"test": model.history},
        model={"class": "CompactCNN", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        published={"chance": chance(results)},
        sizes={"test": Sizes(len(split.train), len(split.validation))},
        saved=out / "models" / task,
    )


def chance(results: Results) -> Published:
    """Compute the main number of a system that does not listen to the clips."""
    if results.task == "classification":
        return Published(1 / len(results.labels), "one scene for every clip")
    if results.task == "tagging":
        known = [column[~np.isnan(column)] for column in results.truth.T if not np.isnan(column).all()]
        return Published(float(np.mean([column.mean() for column in known])), "random scores: the mean share of clips that hold a tag")
    reference = {clip: events for clip, events in (results.events or {}).items() if events is not None}
    always = {
        clip: [Event(0.0, float(scores.edges[-1]), label) for label in results.labels]
        for clip, scores in zip(results.clips, results.scores, strict=True)
        if (results.events or {}).get(clip, ()) is not None
    }
    return Published(segment.evaluate(reference, always, labels=results.labels)["f1/micro"], "every event, always")
