"""DCASE 2023 task 4B, the baseline: sound events of MAESTRO Real, learned from soft labels.

I. Martín-Morató, M. Harju, P. Ahokas, A. Mesaros, ICASSP 2023, as in the published code where its description differs. In each of five
folds a network regresses the annotators' agreement by the squared error, in windows of 200 frames that reach across the borders of
recordings; the epoch of the smallest validation loss is tested. Measured are 11 of the 17 labels that are learned.

At full size: 3 h 10 min of recordings; 3,750 steps of 32 windows if no fold stops early, of 1.7 s each on one core, 1 h 45 min in all; a
quarter of an hour more to validate; 1.4 GB; ten times that with ``--runs 10``, as published.

Known differences: a recording of a whole number of 0.2 s has one frame less at its end; recordings are joined in the order of their names,
unless the baseline's lists are in the data folder (``development_folds/fold1_train.csv`` ...); batch normalisation starts with the first
batch's statistics; random numbers are others.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dcasekit.annotations import Clip
from dcasekit.containers.schedules import plateau
from dcasekit.core.energy import measured
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.datasets.maestro_real import MAESTROReal
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.metrics import maestro
from dcasekit.models.crnn2023 import CRNN2023
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe, those of the published code.

    Parameters
    ----------
    window : length of a window, in seconds; published is 200 frames.
    filters : filters of each convolution.
    epochs : passes over the training data, in each fold, at most.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer, at the start.
    plateau : epochs without a smaller loss, the improving one among them; one more lowers the learning rate. Published is int(0.3 * 150).
    stop : epochs without a smaller loss; one more ends training. Published is int(0.6 * 150).
    seconds : length of each of the 49 recordings of the synthetic dataset, in seconds.
    """

    window: Seconds = 40.0
    filters: tuple[int, ...] = (128, 128, 128)
    epochs: int = 150
    batch_size: int = 32
    learning_rate: float = 1e-3
    plateau: int = 45
    stop: int = 90
    seconds: Seconds = 20.0


QUICK = Config(window=4.0, filters=(16, 16, 16), epochs=20, batch_size=8, learning_rate=5e-3, seconds=8.0, quick=True)
DATASETS = ("maestro_real",)
LABELS = MAESTROReal.evaluated_labels
MEASURES = {"error_rate": "error_rate/micro", "micro_f1": "f1/micro", "macro_f1": "f1/macro"}
_TEN = "mean of ten trainings, deviation"
PUBLISHED = {
    "baseline, F1 at best thresholds": Published(0.4287, f"{_TEN} 0.0084", "best_f1"),
    "baseline, error rate": Published(0.487, f"{_TEN} 0.009", "error_rate"),
    "baseline, F1 (micro)": Published(0.7034, f"{_TEN} 0.00766", "micro_f1"),
    "baseline, F1 (macro)": Published(0.3583, f"{_TEN} 0.0066", "macro_f1"),
}
# The published means and three of their deviations on either side.
BANDS = {"best_f1": (0.403, 0.454), "error_rate": (0.46, 0.514), "micro_f1": (0.68, 0.727), "macro_f1": (0.338, 0.379)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train and test every fold, measure all recordings together, save networks and report below `out`; interrupted, it goes on."""
    folder = _data.find(DATASETS[0], data, out, clips=49, seconds=config.seconds, sr=44100)
    dataset, began = MAESTROReal(folder, cache=out / "cache"), time.perf_counter()
    features(config).extract(dataset, progress=progress)
    models = {fold: train(config, dataset, fold, out, progress=progress) for fold in dataset.present_folds}
    tests = {fold: join(config, dataset, fold, "test") for fold in models}
    folds = {fold: model.evaluate(tests[fold]) for fold, model in models.items()}
    raw = [answer[0] for fold, model in models.items() for answer in model.embed("linear2", tests[fold])]  # not yet cut to [0, 1]
    measures, intervals, chance = measure(Results.pool([*folds.values()]), raw, [one.clips for one in folds.values()])
    first = next(iter(models))
    section = Section(
        name=dataset.name,
        folds=folds,
        histories={fold: model.history for fold, model in models.items()},
        model={"class": "CRNN2023", **models[first].cost(), "settings": models[first].settings},
        seconds=time.perf_counter() - began,
        measures=measures,
        intervals=intervals,
        published={**PUBLISHED, "chance": Published(chance, "one score everywhere; silence has an error rate of 1", "best_f1")},
        sizes={fold: Sizes(len(dataset.split(fold).train), len(dataset.split(fold).validation)) for fold in models},
        saved=out / "models" / first,
        notes=["Published are the frames of a fold's recordings one after another; clip by clip, each recording has its own seconds."],
    )
    title = _data.title("DCASE 2023 task 4B baseline", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Mean squared error, negated, of the best epoch on the first fold's validation recordings; its test recordings are kept."""
    dataset = MAESTROReal(_data.find(DATASETS[0], data, out, clips=49, seconds=config.seconds, sr=44100), cache=out / "cache")
    features(config).extract(dataset, progress=progress)
    model = train(config, dataset, dataset.present_folds[0], resume, progress=progress)
    return -min(record["val_loss"] for record in model.history)


def features(config: Config) -> MelSpectrogram:
    """Return the published front end."""
    return MelSpectrogram.preset("dcase2023_task4b", sequence_time=config.window, sequence_hop_time=config.window)


def join(config: Config, dataset: MAESTROReal, fold: str, part: str, scaler: Scaler | None = None) -> DataGenerator:
    """Return the recordings of a part, joined in the order of the published list if the data have it, else in the order of their names."""
    clips: Sequence[Clip] = getattr(dataset.split(fold), part)
    path = dataset.root / "development_folds" / f"{fold}_{part.replace('validation', 'val')}.csv"
    listed = path.read_text(encoding="utf-8") if path.exists() else ""
    clips = sorted(clips, key=lambda clip: listed.find(clip.id))
    return DataGenerator(dataset, features(config), folds=clips, train=part == "train", target="frame", windows="joined", scaler=scaler)


def train(config: Config, dataset: MAESTROReal, fold: str, out: Path, *, progress: bool = False) -> CRNN2023:
    """Train the network of a fold, and save it."""
    data, model = join(config, dataset, fold, "train"), CRNN2023(filters=config.filters)
    data.set_scaler(Scaler("standard").fit(data))
    checked = join(config, dataset, fold, "validation", data.scaler)
    choice = {"monitor": "loss", "schedule": partial(plateau, patience=config.plateau), "early_stopping": config.stop}
    settings = {"seed": config.seed, "device": config.device, "resume": out / "checkpoints" / fold, "progress": progress}
    size = {"epochs": config.epochs, "batch_size": config.batch_size, "learning_rate": config.learning_rate}
    check = partial(validation_loss, data=checked, batch_size=config.batch_size)
    model.train(data, check, loss="mse", **size, **choice, **settings)
    model.save(out / "models" / fold)
    return model


def validation_loss(model: CRNN2023, *, data: DataGenerator, batch_size: int) -> dict[str, float]:
    """Average the mean squared errors of the network's unclipped outputs over batches, as published."""
    batches = data.batches(0, batch_size, seed=0)
    return {"loss": float(np.mean([np.square(model.activations(batch.x, "linear2") - batch.y).mean() for batch in batches]))}


def measure(
    results: Results, raw: Sequence[FloatArray], rounds: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, tuple[float, float]], float]:
    """Compute the measures, as published and from whole clips.

    Returns
    -------
    the measures by name; 95 % intervals of those that are sums over clips; and the best F1 that answers without listening would reach.
    """
    cut = dict(zip(results.clips, results.scores, strict=True))
    scores = {clip: replace(each, values=values) for (clip, each), values in zip(cut.items(), raw, strict=True)}
    flat = {clip: replace(each, values=np.zeros_like(each.values)) for clip, each in cut.items()}
    reference = {clip: events or () for clip, events in (results.events or {}).items()}
    durations = dict(zip(results.clips, results.durations, strict=True))
    evaluate = partial(maestro.evaluate, reference, durations=durations, labels=LABELS)
    published, clips = evaluate(scores, rounds=rounds, chain="concatenated"), evaluate(scores)
    spans = maestro.intervals(reference, scores, durations, labels=LABELS)
    measures = {"best_f1": published["best_f1/macro"]} | {name: published[key] for name, key in MEASURES.items()}
    intervals = {"best_f1": spans["best_f1/macro"]} | {f"{name}_clips": spans[key] for name, key in MEASURES.items()}
    return measures | {f"{name}_clips": clips[key] for name, key in MEASURES.items()}, intervals, evaluate(flat)["best_f1/macro"]
