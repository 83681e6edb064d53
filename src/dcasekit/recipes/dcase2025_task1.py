"""Acoustic scenes on small devices (DCASE 2025 task 1): CP-Mobile for all devices, then one tuned to each device it knows.

The challenge's baseline (F. Schmid, P. Primus, T. Heittola, A. Mesaros, I. Martin-Morato, G. Widmer, arXiv:2505.01747;
github.com/CPJKU/dcase2025_task1_baseline): 25 % of the training clips of TAU Urban Acoustic Scenes 2022 Mobile, log mel bands of 1 s, time
rolled, bands masked, Freq-MixStyle; the last epoch of training, and weights rounded to float16, are what is tested. Clips of devices that
were not trained on are answered by the network for all. ``teacher`` learns from a trained model's answers, too, as the systems that won do.

At full size: 34,900 clips, 137 steps of 256 in an epoch, 20,550 in all: 11 h of a core (7.5 ms a clip), then 4 h for the six devices.
Bands of all 230,350 clips of the set are stored, 15 GB.

Known differences from the baseline: windows have 64 frames, not 65 (26,951,680 multiply-accumulates, not 29,416,448), and are rolled by
whole frames of 15.6 ms, not by samples. Not verified: that in the second step the learning rate rises for 200 steps, and that there, too,
bands are masked and windows mixed.
"""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dcasekit.batch_augmentations import freq_mix_style, spec_augment, time_shift
from dcasekit.containers.base import load
from dcasekit.containers.objectives import distillation
from dcasekit.containers.schedules import one_cycle
from dcasekit.core.energy import measured
from dcasekit.core.units import Seconds
from dcasekit.datasets.tau_urban_acoustic_scenes_2022_mobile import TAUUrbanAcousticScenes2022Mobile
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.models.cp_mobile import CPMobile
from dcasekit.recipes import _data, _devices
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are those of the baseline.

    Parameters
    ----------
    subset : percentage of the training clips that are learned from.
    channels : channels of the first stage of CP-Mobile.
    bands : number of mel bands.
    epochs : passes over the training data of the network for all devices.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer at its highest, after its rise.
    weight_decay : weight decay of the optimizer.
    rise : training steps in which the learning rate rises.
    roll : windows are shifted by up to so many seconds.
    masked : fewer bands than this are masked.
    mix_style : probability of Freq-MixStyle.
    mix_style_alpha : parameter of the beta distribution that its shares are drawn from.
    tuned_epochs : passes over the clips of a device, for its own network.
    tuned_rate : step size of the optimizer at its highest, for these.
    tuned_rise : training steps in which it rises.
    teacher : folder of a trained model for the same windows, whose scores are learned, too; empty: none.
    clips : number of clips of the synthetic dataset.
    """

    subset: Literal[5, 10, 25, 50, 100] = 25
    channels: int = 32
    bands: int = 256
    epochs: int = 150
    batch_size: int = 256
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    rise: int = 2000
    roll: Seconds = 0.1
    masked: int = 48
    mix_style: float = 0.4
    mix_style_alpha: float = 0.3
    tuned_epochs: int = 50
    tuned_rate: float = 5e-4
    tuned_rise: int = 200
    teacher: str = ""
    clips: int = 240


QUICK = Config(subset=50, channels=8, bands=32, epochs=40, batch_size=16, rise=30, masked=6, tuned_epochs=4, tuned_rise=2, quick=True)
DATASETS = ("tau_urban_acoustic_scenes_2022_mobile",)
_SOURCE = "mean of the ten scenes' accuracies, four runs, deviation {} points; README of its code"
GENERAL, TUNED = "One network for all devices", "A network for each device"
PUBLISHED = {
    GENERAL: Published(0.5072, _SOURCE.format(0.47), measure="accuracy/macro"),
    TUNED: Published(0.5189, _SOURCE.format(0.05), measure="accuracy/macro"),
}
# Three deviations of the first step's runs around both; those of the second were four times of one first step.
BANDS = {f"{GENERAL}: accuracy/macro": (0.493, 0.522), f"{TUNED}: accuracy/macro": (0.504, 0.534)}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train for all devices, tune to each, test both, and save networks and report; `data`: folders of `DATASETS`."""
    dataset, features = prepare(config, data, out, progress=progress)
    split, of = dataset.split(), partial(DataGenerator, dataset, features)
    tested = _devices.devices(split.test)
    began, model = time.perf_counter(), CPMobile(base_channels=config.channels)
    model.train(of(folds=split.train), **training(config, features, out / "checkpoints" / "all", progress=progress))
    rounded = load(model.save(out / "models" / "all", half=True))
    answers = {name: rounded.evaluate(of(folds=clips, train=False)) for name, clips in tested.items()}
    systems, histories, first = {GENERAL: Results.pool([*answers.values()])}, {"all": model.history}, time.perf_counter()
    for name, clips in _devices.devices(split.train).items():
        tuned = copy.deepcopy(model)
        settings = training(config, features, out / "checkpoints" / name, tuned=True, progress=progress)
        histories[name] = tuned.fine_tune(of(folds=clips), freeze="none", head="same", **settings)
        rounded = load(tuned.save(out / "models" / name, half=True))
        if name in tested:
            answers[name] = rounded.evaluate(of(folds=tested[name], train=False))
    systems[TUNED] = Results.pool([*answers.values()])

    spent = {GENERAL: first - began, TUNED: time.perf_counter() - first}
    sections = [section(name, results, model, histories, spent[name]) for name, results in systems.items()]
    tables = [_devices.table("Accuracy by device", systems, split.test, _devices.BASELINE), _devices.limits(model)]
    sections[0] = replace(sections[0], own_tables=tables)
    sections = [replace(one, sizes={"fold1": Sizes(len(split.train))}, saved=out / "models" / "all") for one in sections]
    report = Report(_data.title("DCASE 2025 task 1, CP-Mobile", DATASETS, data), asdict(config), sections, environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Mean of the scenes' accuracies on validation clips, of other locations than the training clips, by one network for all devices."""
    dataset, features = prepare(config, data, out, progress=progress)
    split, model = dataset.validation_split(0.3), CPMobile(base_channels=config.channels)
    model.train(DataGenerator(dataset, features, folds=split.train), **training(config, features, resume, progress=progress))
    return float(model.evaluate(DataGenerator(dataset, features, folds=split.validation, train=False)).numbers["accuracy/macro"])


def prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[Any, MelSpectrogram]:
    """Return the dataset, and its features, extracted: the published front end, with one window per clip."""
    root = _data.find(DATASETS[0], data, out, clips=config.clips, sr=32000)
    dataset = TAUUrbanAcousticScenes2022Mobile(root, cache=out / "cache", subset=config.subset)
    features = front_end(config)
    features.extract(dataset, progress=progress)
    return dataset, features


def section(name: str, results: Results, model: CPMobile, histories: Mapping[str, Any], seconds: Seconds) -> Section:
    """Make the section of the report for one of the two steps."""
    return Section(
        name=name,
        folds={"fold1": results},
        histories={key: each for key, each in histories.items() if (key == "all") == (name == GENERAL)},
        model={"class": "CPMobile", **model.cost(), "settings": model.settings},
        seconds=seconds,
        measures={number: results.numbers[number] for number in ("accuracy/macro", "accuracy")},
        intervals={"accuracy": results.interval},
        published={f"Baseline of the challenge: {name.lower()}": PUBLISHED[name]},
        notes=["The last epoch is tested, with weights rounded to float16; nothing was chosen on test clips."],
    )


def front_end(config: Config) -> MelSpectrogram:
    """Return the published front end, with one window per clip."""
    return MelSpectrogram.preset("dcase2024_task1", mel=Mel(bands=config.bands, scale="htk", norm=None))


def training(config: Config, features: MelSpectrogram, resume: Path, *, tuned: bool = False, progress: bool) -> dict[str, Any]:
    """Return the settings of training for the network of all devices, or (`tuned`) for fine-tuning to one device."""
    return {
        "epochs": config.tuned_epochs if tuned else config.epochs,
        "learning_rate": config.tuned_rate if tuned else config.learning_rate,
        "schedule": partial(one_cycle, rise_steps=config.tuned_rise if tuned else config.rise),
        "optimizer": "adamw",
        "augment": [
            partial(time_shift, most=round(config.roll * features.sr / features.audio_hop)),
            partial(spec_augment, time_masks=0, band_masks=1, bands=config.masked - 1, value=math.log(1e-5)),
            partial(freq_mix_style, probability=config.mix_style, alpha=config.mix_style_alpha),
        ],
        "objective": partial(distillation, teacher=load(config.teacher)) if config.teacher else None,
        "resume": resume,
        "progress": progress,
        **{name: getattr(config, name) for name in ("batch_size", "weight_decay", "seed", "device")},
    }
