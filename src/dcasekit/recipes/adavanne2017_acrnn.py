"""TUT Sound Events 2017 with a convolutional recurrent network: which of six street sounds are heard in each second, in four folds.

S. Adavanne, P. Pertilä, T. Virtanen, "Sound event detection using spatial features and convolutional recurrent neural network", ICASSP
2017, in its form for one channel, as its public code (sed-crnn) does it: 40 standardised mel bands each 23 ms; the recordings one after the
other, in sequences of 256 frames; two recurrent layers in both directions, multiplied; the epoch with the lowest error rate.

The published code chooses the epoch on the very recordings it then reports on. Both are done here: so, and with a fold in between, which
neither trains nor tests; only the second says how well the system does on recordings it has never met.

At full size: 24 recordings of 3 to 5 minutes, 6 steps of 128 windows an epoch, at most 500 epochs, 8 networks. A step takes 7.2 s of one
core: 6 hours a network, if it is never stopped early, and 5.6 GB of memory.

Known differences: segments are of 1 s on the recording's clock, published are blocks of 43 frames across recordings, of which the last
frame is not looked at; windows that are tested begin with each recording; the rest of a recording is tested, too. Digital silence is
floored. Random numbers are others: the code's README speaks of large differences between runs.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from dcasekit.containers.base import load
from dcasekit.core.energy import measured
from dcasekit.core.parallel import map_clips, usable_cores
from dcasekit.core.units import Seconds
from dcasekit.datasets import Dataset
from dcasekit.datasets.tut_sound_events_2017 import TUTSoundEvents2017
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.models.a_crnn import A_CRNN
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results

Choice: TypeAlias = Literal["other", "tested"]


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are those of the published code.

    Parameters
    ----------
    folds : how many of the four folds are tested.
    frames : frames of a window.
    filters : filters of each convolution.
    dropout : share of values that are set to 0 in training.
    epochs : passes over the training data, at most.
    patience : epochs without a lower error rate before training stops; published is "more than a quarter of 500".
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer, at the start.
    """

    folds: int = 4
    frames: int = 256
    filters: int = 128
    dropout: float = 0.5
    epochs: int = 500
    patience: int = 126
    batch_size: int = 128
    learning_rate: float = 1e-3


QUICK = Config(folds=1, frames=20, filters=16, dropout=0.0, epochs=26, patience=26, batch_size=32, learning_rate=1e-2, quick=True)
DATASETS = ("tut_sound_events_2017",)
CHOICES: Mapping[Choice, str] = {"other": "Epoch chosen on another fold", "tested": "Epoch chosen on the tested fold, as published"}
_CODE = "mean of four folds and five runs, epoch chosen on the tested fold; README of sed-crnn"
_MODELS = "one network, 50 frames; its notebook A_CRNN"
PUBLISHED = {
    "sed-crnn": Published(0.50, _CODE, "segment_f1"),
    "sed-crnn, errors": Published(0.49, _CODE, "segment_error_rate"),
    "Adavanne et al. 2017": Published(0.57, "as DCASE-models quotes it", "segment_f1"),
    "Adavanne et al. 2017, errors": Published(0.60, "as DCASE-models quotes it", "segment_error_rate"),
    "DCASE-models (Zinemanas et al. 2020)": Published(0.3608, _MODELS, "segment_f1"),
    "DCASE-models, errors": Published(1.52, _MODELS, "segment_error_rate"),
}
# From one published figure to the other, and five points more for other runs and segments; those of another fold have no published figure.
BANDS = {
    "Epoch chosen on the tested fold, as published: segment_f1": (0.45, 0.62),
    "Epoch chosen on the tested fold, as published: segment_error_rate": (0.44, 0.65),
}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train a network for each fold, both ways to choose the epoch, and save networks and report; interrupted, it goes on."""
    dataset, features = prepare(config, data, out, progress=progress)
    folds = [fold for fold in dataset.present_folds if fold != "test"][: config.folds]
    began = time.perf_counter()
    work, networks = partial(train, config, dataset, features, out), [(choice, fold) for choice in CHOICES for fold in folds]
    jobs = min(len(networks), usable_cores())  # one thread each, as threads inside small networks cost more than they give
    list(map_clips(work, networks, jobs=jobs, progress="Training networks" if progress else None))
    sections = [report_on(choice, dataset, features, folds, out, time.perf_counter() - began) for choice in CHOICES]
    title = _data.title("TUT Sound Events 2017 with a CRNN", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=sections, environment=environment())
    report.save(out)
    return report


def prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[TUTSoundEvents2017, MelSpectrogram]:
    """Return the dataset and its features, extracted."""
    root = _data.find(DATASETS[0], data, out, clips=100, seconds=2.0, seed=config.seed, sr=44100)
    dataset, seconds = TUTSoundEvents2017(root, cache=out / "cache"), config.frames * 1024 / 44100
    features = MelSpectrogram.preset("a_crnn", sequence_time=seconds, sequence_hop_time=seconds)
    features.extract(dataset, progress=progress)
    return dataset, features


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Error rate, negated, of the best epoch on the second fold, in segments of 1 s; the first fold is kept for a test."""
    dataset, features = prepare(config, data, out, progress=progress)
    train(config, dataset, features, resume, ("other", "fold1"))
    return -min(record["val_error_rate"] for record in load(resume / "models" / "other" / "fold1").history)


def train(config: Config, dataset: Dataset, features: MelSpectrogram, out: Path, network: tuple[Choice, str]) -> None:
    """Train a network on all folds but one (and one to validate on), and save it."""
    choice, fold = network
    split = dataset.split(fold, validation=choice == "other")
    of = partial(DataGenerator, dataset, features)
    scaler = Scaler("standard").fit(of(folds=split.train, train=False))
    model = A_CRNN(bidirectional=True, filters=config.filters, dropout=config.dropout)
    model.train(
        of(folds=split.train, target="frame", windows="joined", scaler=scaler),
        of(folds=split.validation or split.test, train=False, target="frame"),
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        monitor=error_rate,
        early_stopping=config.patience,
        seed=config.seed,
        device=config.device,
        resume=out / "checkpoints" / choice / fold,
    )
    model.save(out / "models" / choice / fold)


def error_rate(results: Results) -> float:
    """Return the micro error rate in segments of 1 s."""
    return results.numbers["error_rate/micro"]


def report_on(choice: Choice, dataset: Dataset, features: MelSpectrogram, folds: list[str], out: Path, seconds: Seconds) -> Section:
    """Test the networks whose epochs were chosen in one of the two ways; return the section of the report."""
    models = {fold: load(out / "models" / choice / fold) for fold in folds}
    splits = {fold: dataset.split(fold, validation=choice == "other") for fold in folds}
    results = {fold: model.evaluate(DataGenerator(dataset, features, folds=[fold], train=False)) for fold, model in models.items()}
    one, measures = models[folds[0]], {"segment_f1": "f1/micro", "segment_error_rate": "error_rate/micro"}
    return Section(
        name=CHOICES[choice],
        folds=results,
        histories={fold: model.history for fold, model in models.items()},
        model={"class": "A_CRNN", **one.cost(), "settings": one.settings},
        seconds=seconds,
        measures={name: float(np.mean([each.numbers[key] for each in results.values()])) for name, key in measures.items()},
        intervals={"segment_f1": Results.pool(list(results.values())).interval},
        published=PUBLISHED,
        sizes={fold: Sizes(len(split.train), len(split.validation)) for fold, split in splits.items()},
        saved=out / "models" / choice / folds[0],
        notes=[
            "F1 and error rate are of all labels together, in segments of 1 s, means of the folds; the interval is of all folds pooled.",
            *(["The epoch was chosen on the recordings that are reported on: the figures are too good."] if choice == "tested" else []),
        ],
    )
