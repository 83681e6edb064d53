"""Three backends, one code: SB-CNN in PyTorch and in Keras, a random forest of scikit-learn, and SB-CNN fine-tuned, side by side on ESC-10.

Each is trained on the other folds for a fixed number of epochs, last weights, and tested once on the fold: nothing is selected on it. The
fine-tuned network has first learned the ten synthetic scenes of `SyntheticSounds`.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

from dcasekit.containers.base import ModelContainer, load
from dcasekit.core import discover
from dcasekit.core.energy import measured
from dcasekit.core.parallel import map_clips, usable_cores
from dcasekit.datasets.base import Dataset
from dcasekit.datasets.esc10 import ESC10
from dcasekit.datasets.synthetic_sounds import SyntheticSounds
from dcasekit.features import Mel
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Report, Section, Sizes, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe.

    Parameters
    ----------
    epochs : passes over the training data.
    clips : number of clips of the synthetic sounds that fine-tuning starts from.
    epochs_before : passes over these, before fine-tuning.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer, at the start.
    """

    epochs: int = 40
    clips: int = 200
    epochs_before: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3


QUICK = Config(epochs=1, clips=50, epochs_before=1, quick=True)

NO_VALIDATION = "it compares systems, and none of them is the one to be improved"
DATASETS = ("esc10",)

SYSTEMS = {"SB-CNN (PyTorch)": "sb_cnn", "SB-CNN (Keras)": "keras.sb_cnn", "random forest": "sklearn.random_forest"}
FINE_TUNED = "SB-CNN fine-tuned"

FEATURES = MelSpectrogram(sr=22050, audio_win=1024, audio_hop=512, sequence_time=3.0, sequence_hop_time=1.0, mel=Mel(bands=64))


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train and test every system on the folds that are there, and save models and report.

    Parameters
    ----------
    data : ``esc10``: folder of ESC-50 or ESC-10, which is only read; without it, a small dataset of synthetic sounds is made.
    out : folder for sounds, features, models and report.
    """
    dataset = ESC10(_data.find("esc10", data, out, seconds=3.0, sr=FEATURES.sr), cache=out / "cache")
    sounds = SyntheticSounds(out / "sounds", task="classification", clips=config.clips, sr=FEATURES.sr, seed=config.seed)
    sounds.download(progress=progress)
    for source in (dataset, sounds):
        FEATURES.extract(source, progress=progress)
    pretrain(config, sounds, out)
    jobs = list(product([*SYSTEMS, FINE_TUNED], dataset.present_folds))
    bar = "Training systems and folds" if progress else None
    done = map_clips(partial(train_and_test, config, dataset, out), jobs, jobs=min(len(jobs), usable_cores()), progress=bar)
    tests = dict(zip(jobs, done, strict=True))
    sections = [
        replace(
            tests[system, dataset.present_folds[0]],
            folds={fold: tests[system, fold].folds[fold] for fold in dataset.present_folds},
            histories={fold: tests[system, fold].histories[fold] for fold in dataset.present_folds},
            sizes={fold: tests[system, fold].sizes[fold] for fold in dataset.present_folds},
            seconds=sum(tests[system, fold].seconds for fold in dataset.present_folds),
        )
        for system in [*SYSTEMS, FINE_TUNED]
    ]
    title = _data.title("Three backends on ESC-10", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=sections, environment=environment())
    report.save(out)
    return report


def train_and_test(config: Config, dataset: Dataset, out: Path, job: tuple[str, str]) -> Section:
    """Train a system on all folds but one, test it on that fold, and save it; `job` holds the names of system and fold."""
    (system, fold), began = job, time.perf_counter()
    split = dataset.split(fold, validation=False)
    train = DataGenerator(dataset, FEATURES, folds=split.train, seed=config.seed)
    test = DataGenerator(dataset, FEATURES, folds=[fold], train=False)
    model = load(out / "models" / "pretrained") if system == FINE_TUNED else discover.load("models", SYSTEMS[system])()
    scaler = model.scaler or Scaler("standard").fit(train)
    train.set_scaler(scaler)
    test.set_scaler(scaler)
    learn(model, train, config)
    results = model.evaluate(test)
    seconds = time.perf_counter() - began
    saved = model.save(out / "models" / f"{discover.address(type(model))}{'-fine-tuned' if system == FINE_TUNED else ''}" / fold)
    about = {"class": discover.address(type(model)), **model.cost(), "settings": model.settings}
    return Section(
        name=system,
        folds={fold: results},
        histories={fold: model.history},
        model=about,
        seconds=seconds,
        sizes={fold: Sizes(len(split.train))},
        saved=saved,
    )


def learn(model: ModelContainer, train: DataGenerator, config: Config) -> None:
    """Train a model from new weights; if it has weights, fine-tune them with a new head."""
    begin = partial(model.fine_tune, freeze="none") if model.labels else model.train
    settings = {"batch_size": config.batch_size, "learning_rate": config.learning_rate, "seed": config.seed, "device": config.device}
    begin(train, epochs=config.epochs, **settings)


def pretrain(config: Config, sounds: SyntheticSounds, out: Path) -> None:
    """Train SB-CNN on all synthetic sounds, and save it."""
    train = DataGenerator(sounds, FEATURES, folds=sounds.folds, seed=config.seed)
    train.set_scaler(Scaler("standard").fit(train))
    model: ModelContainer = discover.load("models", "sb_cnn")()
    learn(model, train, replace(config, epochs=config.epochs_before))
    model.save(out / "models" / "pretrained")
