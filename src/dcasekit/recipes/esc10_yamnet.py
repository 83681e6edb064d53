"""ESC-10 by a network that was trained on something else: YAMNet's embedding, and a linear model on its mean and maximum over each clip.

Under the predefined folds, beside ``esc10``, which learns from ESC-10 alone. YAMNet (Google, tensorflow/models) was trained on the sound of
millions of AudioSet's videos: the figure tells what such knowledge is worth, and not what can be learned from 400 clips. The linear model
is logistic regression with C = 1; nothing is chosen, so every fold is tested once, and every fold that is there is used.

YAMNet's weights are the user's to download: ``YAMNetEmbedding().download()``, or ``--set weights=FILE``. The quick run has none: mel bands
each 0.48 s take their place, and it says nothing of YAMNet.

At full size: 400 clips of 5 s at some 0.1 s of a core each, 20 MB of embeddings, and a second for each linear model.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from dcasekit.core.energy import measured
from dcasekit.datasets.esc10 import ESC10
from dcasekit.features import FeatureExtractor, MelSpectrogram
from dcasekit.features.yamnet_embedding import YAMNetEmbedding
from dcasekit.generator import DataGenerator
from dcasekit.models.sklearn.logistic_regression import LogisticRegression
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe.

    Parameters
    ----------
    embedding : ``"yamnet"``, or ``"mel"``: 64 mel bands in its place.
    weights : file of YAMNet's weights; empty: where `YAMNetEmbedding.download` puts them.
    C : inverse of the strength of the classifier's regularization.
    """

    embedding: Literal["yamnet", "mel"] = "yamnet"
    weights: str = ""
    C: float = 1.0


QUICK = Config(embedding="mel", quick=True)
DATASETS = ("esc10",)
PUBLISHED = {
    "EnvNet-v2 with between-class learning (Tokozume 2018), from scratch": Published(0.914, "five folds; ICLR 2018"),
    "Listeners (Piczak 2015)": Published(0.957, "people, not a system"),
}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Embed, cross-validate a linear model on the folds that the data have, and save the models and the report.

    Parameters
    ----------
    data : ``esc10``: folder of ESC-50 or ESC-10, which is only read; without it, a small dataset of synthetic sounds is made.
    out : folder for embeddings, models and report.
    """
    features = front_end(config)
    dataset = ESC10(_data.find("esc10", data, out, clips=100, sr=16000), cache=out / "cache")
    store = features.extract(dataset, progress=progress)
    began = time.perf_counter()
    models: dict[str, LogisticRegression] = {}
    for fold in dataset.present_folds:
        models[fold] = LogisticRegression(C=config.C, statistics=("mean", "max"))
        train = dataset.split(fold, validation=False).train
        models[fold].train(DataGenerator(dataset, features, folds=train), epochs=1, seed=config.seed, device=config.device)
        models[fold].save(out / "models" / fold)
    one = next(iter(models.values()))
    without = ["The embedding was replaced by mel bands: this run says nothing about YAMNet."] if config.embedding == "mel" else []
    section = Section(
        name=dataset.name,
        folds={fold: model.evaluate(DataGenerator(dataset, features, folds=[fold], train=False)) for fold, model in models.items()},
        model={"class": "LogisticRegression", **one.cost(), "settings": one.settings},
        seconds=time.perf_counter() - began,
        published=PUBLISHED,
        sizes={fold: Sizes(len(dataset.split(fold, validation=False).train)) for fold in models},
        saved=out / "models" / next(iter(models)),
        notes=[
            *without,
            f"{len(dataset.clips)} clips in {len(models)} of the {len(dataset.folds)} published folds; nothing was chosen on them.",
            "The published figures are of systems that learned from ESC-10 alone.",
            *(f"left out: {clip}: {why}" for clip, why in store.skipped.items()),
        ],
    )
    kind = "mel bands in place of YAMNet" if without else "YAMNet"
    title = _data.title(f"ESC-10 by a linear model on {kind}", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:  # noqa: ARG001
    """Mean accuracy on each fold but the first, by linear models of the others; the first alone is kept for a test."""
    features = front_end(config)
    dataset = ESC10(_data.find("esc10", data, out, clips=100, sr=16000), cache=out / "cache")
    features.extract(dataset, progress=progress)
    folds, of, accuracies = dataset.present_folds[1:], partial(DataGenerator, dataset, features), []
    for fold in folds:
        model = LogisticRegression(C=config.C, statistics=("mean", "max"))
        model.train(of(folds=[other for other in folds if other != fold]), epochs=1, seed=config.seed, device=config.device)
        accuracies.append(model.evaluate(of(folds=[fold], train=False)).numbers["accuracy"])
    return float(np.mean(accuracies))


def front_end(config: Config) -> FeatureExtractor:
    """Return the features of the linear model: one frame per 0.48 s, in one window per clip."""
    if config.embedding == "mel":
        return MelSpectrogram(sr=16000, audio_win=15600, audio_hop=7680, sequence_time=None)
    return YAMNetEmbedding(weights=config.weights or None)
