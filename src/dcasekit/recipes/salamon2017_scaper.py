"""URBAN-SED with the CNN of the Scaper paper: which of ten urban sounds are heard in each second.

J. Salamon, D. MacConnell, M. Cartwright, P. Li, J. P. Bello, "Scaper: A Library for Soundscape Synthesis and Augmentation", WASPAA 2017, as
its public code (scaper_waspaa2017, experiment 1) does it: windows of 50 frames of 20 ms, each half a second, a label being there if it is
heard anywhere in the second; standardised bands; the epoch with the highest F1 of the validation soundscapes; windows without overlap to
validate and to test.

At full size: 114,000 windows, so 1,782 steps of 64 an epoch, and some 250 epochs, the last 100 without gain. A step takes
0.32 s of one core: 10 minutes an epoch, 40 hours in all; 0.8 GB of memory and 2.6 GB of features.

Known differences: weights, order and dropout are drawn by other generators, so results differ by about a point. A label is on above 0.5,
published from 0.5 on. Adam divides by a root plus 1e-7 there, 1e-8 here.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dcasekit.core.energy import measured
from dcasekit.core.units import Seconds
from dcasekit.datasets.urban_sed import UrbanSED
from dcasekit.features import Mel
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.generator.scaler import Scaler
from dcasekit.models.sb_cnn_sed import SB_CNN_SED
from dcasekit.recipes import _data
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment

if TYPE_CHECKING:
    from dcasekit.containers.objectives import Step


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are those of the published code.

    Parameters
    ----------
    bands : number of mel bands; 40 were tried, too.
    filters : filters of each convolution. Published experiment 3, with 128 and two dense layers of 128, reached F1 57.8 %.
    dense : units of each dense layer.
    epochs : passes over the training data, at most.
    patience : epochs without a higher F1 before training stops.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer, at the start.
    clips, seconds : number of clips of the synthetic dataset, and their length in seconds.
    """

    bands: int = 128
    filters: int = 64
    dense: tuple[int, ...] = (64,)
    epochs: int = 1000
    patience: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    clips: int = 240
    seconds: Seconds = 10.0


QUICK = Config(
    bands=40, filters=8, dense=(32,), epochs=25, patience=25, batch_size=16, learning_rate=5e-3, clips=240, seconds=2.0, quick=True
)
DATASETS = ("urban_sed",)
_TEST = "test soundscapes, segments of 1 s"
_MODELS = "22.05 kHz, minmax over all bands, labels of half a second"
PUBLISHED = {
    "Salamon et al. 2017": Published(0.5688, f"{_TEST}; its notebook 12", "segment_f1"),
    "Salamon et al. 2017, errors": Published(0.5770, f"{_TEST}; its notebook 12", "segment_error_rate"),
    "Salamon et al. 2017, CRNN": Published(0.4946, f"{_TEST}; another network", "segment_f1"),
    "DCASE-models (Zinemanas et al. 2020)": Published(0.5656, f"{_MODELS}; its notebook SB_CNN_SED", "segment_f1"),
    "DCASE-models, errors": Published(0.60, f"{_MODELS}; its notebook SB_CNN_SED", "segment_error_rate"),
    "Zinemanas et al. 2019": Published(0.5700, "22.05 kHz, hop 512; its stored predictions, scored by us", "segment_f1"),
    "Zinemanas et al. 2019, errors": Published(0.5645, "22.05 kHz, hop 512; its stored predictions", "segment_error_rate"),
}
# All published runs of this network lie from 56.5 to 57.8 %, and from 0.56 to 0.60.
BANDS = {"segment_f1": (0.555, 0.585), "segment_error_rate": (0.55, 0.61)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train, test, and save network and report; interrupted, it goes on.

    Parameters
    ----------
    data : ``urban_sed``: its folder; without it, a small dataset of synthetic sounds is made.
    out : folder for features, network and report.
    """
    dataset, features = prepare(config, data, out)
    store = features.extract(dataset, progress=progress)
    began = time.perf_counter()
    model = train(config, dataset, features, out, progress=progress)
    results = model.evaluate(DataGenerator(dataset, replace(features, sequence_hop_time=1.0), folds=["test"], train=False))
    section = Section(
        name=dataset.name,
        folds={"test": results},
        histories={"test": model.history},
        model={"class": "SB_CNN_SED", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        measures={"segment_f1": results.numbers["f1/micro"], "segment_error_rate": results.numbers["error_rate/micro"]},
        intervals={"segment_f1": results.interval},
        published=PUBLISHED,
        sizes={"test": Sizes(*(len(dataset.select([fold])) for fold in ("train", "validate")))},
        saved=out / "model",
        notes=[
            "F1 and error rate are of all labels together, in segments of 1 s; the epoch was chosen on the validation soundscapes.",
            "A label is on above 0.5, published from 0.5 on; random numbers are others.",
            *(f"left out: {clip}: {why}" for clip, why in store.skipped.items()),
        ],
    )
    title = _data.title("URBAN-SED with the CNN of the Scaper paper", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def prepare(config: Config, data: Mapping[str, Path], out: Path) -> tuple[UrbanSED, MelSpectrogram]:
    """Return the dataset and its features, extracted."""
    root = _data.find(DATASETS[0], data, out, clips=config.clips, seconds=config.seconds, seed=config.seed, sr=44100)
    return UrbanSED(root, cache=out / "cache"), MelSpectrogram.preset("sb_cnn_sed", mel=Mel(bands=config.bands, scale="htk"))


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """F1 of the best epoch on the validation soundscapes, of all labels together, in segments of 1 s."""
    dataset, features = prepare(config, data, out)
    features.extract(dataset, progress=progress)
    return max(record["val_f1/micro"] for record in train(config, dataset, features, resume, progress=progress).history)


def train(config: Config, dataset: UrbanSED, features: MelSpectrogram, out: Path, *, progress: bool = False) -> SB_CNN_SED:
    """Train the network on windows that overlap, choose the epoch on ones that do not, and save it."""
    apart = replace(features, sequence_hop_time=1.0)
    of = partial(DataGenerator, dataset)
    scaler = Scaler("standard").fit(of(apart, folds=["train"], train=False))
    model = SB_CNN_SED(filters=config.filters, n_dense=config.dense)
    model.train(
        of(features, folds=["train"], target="frame", scaler=scaler),
        of(apart, folds=["validate"], train=False),
        objective=learn_whole_windows,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        monitor="metric",
        early_stopping=config.patience,
        seed=config.seed,
        device=config.device,
        resume=out / "checkpoint",
        progress=progress,
    )
    model.features = apart  # files are answered as the test soundscapes are
    model.save(out / "model")
    return model


def learn_whole_windows(step: "Step") -> object:
    """Return the loss of windows whose labels are those heard anywhere in them, also if windows overlap."""
    [part] = step.batches.values()
    return step.loss(step.answer(part), part, part.y.nan_to_num(0.0).amax(1))  # behind a soundscape's end it is silent
