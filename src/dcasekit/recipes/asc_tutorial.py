"""The acoustic scene tutorial: TUT Urban Acoustic Scenes 2018, from its metadata to a confusion matrix.

T. Heittola's tutorial on dcase_util, as its notebook computes it: 40 mel bands each 20 ms, not normalised, of whole clips; validation clips
drawn so that no location lies on both sides; a network of two convolutions; Adam, whose rate falls as 1 / (1 + 0.001 t); the epoch with the
highest validation accuracy from the twelfth on; the mean of the ten scenes' accuracies on the test clips.

At full size: 8,640 clips of 10 s, 25,900 steps of 16 clips (100 epochs of 259).

Known differences: clips are mixed down and not resampled, as there; frames at the edges are padded by reflection, as librosa did in 2018.
Initial weights, order and dropout are drawn by other generators, so single scenes differ by tens of points between runs, as they do between
the editions of the tutorial: 59.4 % (2019), 61.6 % (the page), 62.5 % (2022).
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dcasekit.annotations import Clip
from dcasekit.containers.schedules import inverse_decay
from dcasekit.core.energy import measured
from dcasekit.core.tables import Table
from dcasekit.core.units import Seconds
from dcasekit.datasets import Dataset, Split
from dcasekit.datasets.tut_urban_acoustic_scenes_2018 import TUTUrbanAcousticScenes2018
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.models.scene_cnn import SceneCNN
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are the tutorial's.

    Parameters
    ----------
    seconds : length of a clip, which is one window, in seconds.
    validation : share of each city's locations that validate, rounded up.
    split_seed : seed of the draw of these locations.
    epochs : passes over the training data.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer, at the start.
    decay : how fast the learning rate falls: after n steps it is divided by 1 + n times this.
    best_from : the first epoch, counted from 1, whose weights may be kept.
    clips : number of clips of the synthetic dataset.
    """

    seconds: Seconds = 10.0
    validation: float = 0.3
    split_seed: int = 0
    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    decay: float = 1e-3
    best_from: int = 12
    clips: int = 240


QUICK = Config(seconds=1.0, epochs=40, quick=True)
DATASETS = ("tut_urban_acoustic_scenes_2018",)
_SOURCE = "mean of the ten scenes' accuracies"
PUBLISHED = {
    "The tutorial's page": Published(0.616, _SOURCE, measure="accuracy/macro"),
    "Its notebook of 2022": Published(0.625, f"{_SOURCE}, epoch 99", measure="accuracy/macro"),
    "Its notebook of 2019": Published(0.594, f"{_SOURCE}, computed from its result file", measure="accuracy/macro"),
}
# What its editions gave; single scenes vary by tens of points.
BANDS = {"accuracy/macro": (0.59, 0.63)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Describe the data, split them, train, evaluate, and save network and report.

    Parameters
    ----------
    data : ``tut_urban_acoustic_scenes_2018``: its folder; without it, a small dataset of synthetic sounds is made.
    out : folder for features, network and report.
    """
    dataset, split, of = _prepare(config, data, out, progress=progress)
    began = time.perf_counter()
    model = _train(config, of(folds=split.train), of(folds=split.validation, train=False), out, progress=progress)
    results = model.evaluate(of(folds=split.test, train=False))
    section = Section(
        name="TUT Urban Acoustic Scenes 2018, fold 1",
        folds={"fold1": results},
        histories={"fold1": model.history},
        model={"class": "SceneCNN", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        measures={name: results.numbers[name] for name in ("accuracy/macro", "accuracy")},
        intervals={"accuracy": results.interval},
        published=PUBLISHED,
        sizes={"fold1": Sizes(len(split.train), len(split.validation))},
        saved=out / "model",
        own_tables=[count_scenes(dataset), count_parts(dataset, split)],
        notes=["Validation clips were drawn by location within each city, so that no location is trained on and validated on."],
    )
    title = _data.title("The acoustic scene tutorial", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Accuracy of the best epoch on validation clips, which are of other locations than the training clips."""
    _, split, of = _prepare(config, data, out, progress=progress)
    history = _train(config, of(folds=split.train), of(folds=split.validation, train=False), resume, progress=progress).history
    return max(record["val_accuracy"] for record in history if record["epoch"] >= config.best_from)


def _prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[Dataset, Split, Any]:
    """Return the dataset, its split, and a function that makes a `DataGenerator` of clips."""
    root = _data.find(DATASETS[0], data, out, clips=config.clips, seconds=config.seconds, seed=config.seed)
    dataset = TUTUrbanAcousticScenes2018(root, cache=out / "cache")
    features = MelSpectrogram.preset("asc_tutorial", sequence_time=config.seconds, sequence_hop_time=config.seconds)
    features.extract(dataset, progress=progress)
    split = dataset.validation_split(config.validation, balance="identifier_two_level_hierarchy", seed=config.split_seed)
    return dataset, split, partial(DataGenerator, dataset, features)


def _train(config: Config, train: DataGenerator, validation: DataGenerator, out: Path, *, progress: bool) -> SceneCNN:
    model = SceneCNN()
    model.train(
        train,
        validation,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        schedule=partial(inverse_decay, decay=config.decay),
        monitor="accuracy",
        considered_improvement=1e-9,  # of two equal epochs the first is kept
        best_from=config.best_from,
        train_metric=True,
        seed=config.seed,
        device=config.device,
        resume=out / "checkpoint",
        progress=progress,
    )
    model.save(out / "model")
    return model


def count_scenes(dataset: Dataset) -> Table:
    """Make a table of the clips and locations of each scene."""
    rows = [(scene, len(clips), len({clip.group for clip in clips})) for scene, clips in _by_scene(dataset.clips).items()]
    return Table(
        ("scene", "items", "identifiers"), [*rows, ("all", len(dataset.clips), len({clip.group for clip in dataset.clips}))], "Data"
    )


def count_parts(dataset: Dataset, split: Split) -> Table:
    """Make a table of the training and validation clips and locations of each scene, and the percentage used for validation."""
    train, validation = _by_scene(split.train), _by_scene(split.validation)
    rows = [(scene, *_count(train.get(scene, []), validation.get(scene, []))) for scene in dataset.labels]
    columns = ("scene", "train items", "train locations", "validation items", "validation locations", "items, %", "locations, %")
    return Table(columns, [*rows, ("all", *_count(split.train, split.validation))], "Split")


def _count(train: Sequence[Clip], validation: Sequence[Clip]) -> tuple[float, ...]:
    places = [len({clip.group for clip in part}) for part in (train, validation)]
    shares = (100 * len(validation) / max(len(train) + len(validation), 1), 100 * places[1] / max(sum(places), 1))
    return len(train), places[0], len(validation), places[1], *(round(share, 1) for share in shares)


def _by_scene(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    scenes = Counter(next(iter(clip.tags or {"": 1.0})) for clip in clips)
    return {scene: [clip for clip in clips if scene in (clip.tags or {})] for scene in sorted(scenes)}
