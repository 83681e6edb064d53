"""Acoustic scenes of many devices (DCASE 2020 task 1A): dense layers on OpenL3 embeddings, pooled over time by AutoPool.

The challenge's baseline (T. Heittola, A. Mesaros, T. Virtanen, DCASE Workshop 2020; github.com/toni-heittola/dcase2020_task1_baseline) in
the form of DCASE-models' notebook: embeddings of 1 s each 0.1 s (music, mel256, 512 values), scaled to [-1, 1] by one minimum and maximum;
dense layers of 512 and 128 units on each, softmax, and weights of the embeddings in a clip that are learned per scene. Validation clips are
drawn as in the baseline: 30 % of each city's locations; the epoch with the highest validation accuracy from the 27th on is kept.

OpenL3's weights are the user's to download: ``OpenL3Embedding(content="music").download()``, or ``--set weights=FILE``. The quick run has
none: mel bands each 0.1 s take their place, and it says nothing of OpenL3.

At full size: 16,935 clips of 10 s, of each 100 embeddings at some seconds of a core per second of audio, so days on a few cores; then 200
epochs of some 150 steps of 64 clips, 0.1 s of a core each; 3.5 GB of embeddings.

Known differences from the baseline: it has no AutoPool and no scaling, learns from single embeddings, 64 a step, and sums their answers
over a clip (``--set pooling=mean`` comes close); its kernels start uniform within 0.05. From the notebook: that chose its epoch on training
clips, stopped after 20 epochs without progress, and stored no result.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dcasekit.core.energy import measured
from dcasekit.core.units import Hz, Seconds
from dcasekit.datasets import Split
from dcasekit.datasets.tau_urban_acoustic_scenes_2020_mobile import TAUUrbanAcousticScenes2020Mobile
from dcasekit.features import FeatureExtractor, Mel, MelSpectrogram, OpenL3Embedding
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.models.mlp import MLP
from dcasekit.recipes import _data, _devices
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are those of DCASE-models' notebook, of the split and the choice of the epoch the baseline's.

    Parameters
    ----------
    embedding : ``"openl3"``, or ``"mel"``: 64 mel bands in its place.
    weights : file of OpenL3's weights; empty: where `OpenL3Embedding.download` puts them.
    seconds : length of a clip, which is one window, in seconds.
    hidden : units of each hidden layer.
    pooling : how the frames' scores become the clip's.
    validation : share of each city's locations that validate.
    split_seed : seed of the draw of these locations.
    epochs : passes over the training data.
    batch_size : clips in a training step.
    learning_rate : step size of the optimizer, at the start.
    best_from : the first epoch, counted from 1, whose weights may be kept; published is "initial_delay: 25", counted from 0, and only later
        ones.
    clips, sr : number of clips of the synthetic dataset, and their sample rate in Hz.
    """

    embedding: Literal["openl3", "mel"] = "openl3"
    weights: str = ""
    seconds: Seconds = 10.0
    hidden: tuple[int, ...] = (512, 128)
    pooling: Literal["autopool", "mean", "max"] = "autopool"
    validation: float = 0.3
    split_seed: int = 0
    epochs: int = 200
    batch_size: int = 64
    learning_rate: float = 1e-3
    best_from: int = 27
    clips: int = 240
    sr: Hz = 48000


QUICK = Config(embedding="mel", seconds=1.0, epochs=40, batch_size=16, best_from=1, sr=16000, quick=True)
DATASETS = ("tau_urban_acoustic_scenes_2020_mobile",)
_SOURCE = "mean of the ten scenes' accuracies; ten runs, deviation 1.4 points; single embeddings, no AutoPool; README of its code"
PUBLISHED = {"Baseline of the challenge": Published(0.541, _SOURCE, measure="accuracy/macro")}
# Three deviations of the baseline's ten runs; DCASE-models published no figure of its own for the form with AutoPool.
BANDS = {"accuracy/macro": (0.50, 0.583)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Embed, split, train, evaluate, and save network and report.

    Parameters
    ----------
    data : ``tau_urban_acoustic_scenes_2020_mobile``: its folder; without it, a small dataset of synthetic sounds is made.
    out : folder for features, network and report.
    """
    split, of = prepare(config, data, out, progress=progress)
    began = time.perf_counter()
    model = train(config, split, of, out, progress=progress)
    model.save(out / "model")
    results = model.evaluate(of(folds=split.test, train=False))
    without = ["The embedding was replaced by mel bands: this run says nothing about OpenL3."] if config.embedding == "mel" else []
    section = Section(
        name="TAU Urban Acoustic Scenes 2020 Mobile, fold 1",
        folds={"fold1": results},
        histories={"fold1": model.history},
        model={"class": "MLP", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        measures={name: results.numbers[name] for name in ("accuracy/macro", "accuracy")},
        intervals={"accuracy": results.interval},
        published=PUBLISHED,
        sizes={"fold1": Sizes(len(split.train), len(split.validation))},
        saved=out / "model",
        own_tables=[_devices.table("Accuracy by device", {"this run": results}, split.test, {})],
        notes=[*without, "Validation clips were drawn by location within each city, so that no location is trained on and validated on."],
    )
    kind = "mel bands in place of OpenL3 embeddings" if without else "OpenL3 embeddings"
    title = _data.title(f"DCASE 2020 task 1A, {kind}", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Accuracy of the best epoch on validation clips, which are of other locations than the training clips."""
    split, of = prepare(config, data, out, progress=progress)
    history = train(config, split, of, resume, progress=progress).history
    return max(record["val_accuracy"] for record in history if record["epoch"] >= config.best_from)


def prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[Split, Any]:
    """Return the split, and a function that makes a `DataGenerator` of clips."""
    root = _data.find(DATASETS[0], data, out, clips=config.clips, seconds=config.seconds, sr=config.sr)
    dataset, features = TAUUrbanAcousticScenes2020Mobile(root, cache=out / "cache"), front_end(config)
    features.extract(dataset, progress=progress)
    split = dataset.validation_split(config.validation, balance="identifier_two_level_hierarchy", seed=config.split_seed)
    return split, partial(DataGenerator, dataset, features)


def train(config: Config, split: Split, of: Any, out: Path, *, progress: bool) -> MLP:
    """Train the network."""
    scaler = Scaler("minmax").fit(of(folds=split.train))
    model = MLP(hidden_layers_size=config.hidden, dropout_rates=(0.0,) * len(config.hidden), l2_reg=0.0, pooling=config.pooling)
    model.train(
        of(folds=split.train, scaler=scaler),
        of(folds=split.validation, train=False),
        monitor="accuracy",
        resume=out / "checkpoint",
        progress=progress,
        **{name: getattr(config, name) for name in ("epochs", "batch_size", "learning_rate", "best_from", "seed", "device")},
    )
    return model


def front_end(config: Config) -> FeatureExtractor:
    """Return the features: one frame per 0.1 s, in one window per clip."""
    if config.embedding == "mel":
        bands = Mel(bands=64, scale="htk")
        return MelSpectrogram(
            sr=16000, audio_win=1600, audio_hop=1600, mel=bands, sequence_time=config.seconds, sequence_hop_time=config.seconds
        )
    return OpenL3Embedding(content="music", weights=config.weights or None, sequence_time=config.seconds, sequence_hop_time=config.seconds)
