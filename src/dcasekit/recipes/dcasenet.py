"""DcaseNet: one network learns scenes, tags and events together, and is then tuned to each of them.

J. Jung, H. Shim, J. Kim, H. Yu, "DcaseNet", ICASSP 2021, as its public code has it: every step has a batch of each task, losses are summed;
fine-tuning, with the same settings, starts from the epoch that was best at the task. With a single task in ``tasks`` it is learned alone.

At full size: 80,000 steps together, as many for each task; one together takes a core 57 s (8 times what an eighth took) and 15 GB.

Known differences: versions 1 and 2 are reconstructions. **As published, epochs are chosen on what is tested**, unless
``choose_on="validation"``; those of events by F1 (published: or error rate). Windows begin on a grid of 20 ms, 5 s are 250 frames (251);
shorter clips are filled by reflection (repetition); crops of events are normalised by themselves (the whole recordings).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit.annotations import Clip
from dcasekit.containers.objectives import mixup
from dcasekit.containers.schedules import restarts
from dcasekit.core.energy import measured
from dcasekit.core.tables import Table
from dcasekit.datasets import TAUNIGENS2020, Dataset, FSDKaggle2019, TAUUrbanAcousticScenes2020Mobile
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator, Together
from dcasekit.generator.scaler import Scaler
from dcasekit.models.dcase_net import DcaseNet
from dcasekit.recipes import _data
from dcasekit.recipes._dcasenet import MEASURES, TASKS, answer, measure, validate
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; the defaults are those of the published code.

    Parameters
    ----------
    version : of the network.
    tasks : any of ``"scenes"``, ``"tags"`` and ``"events"``.
    filters : filters of the first convolution.
    epochs : epochs of joint training, and of each fine-tuning.
    steps : training steps that count as an epoch.
    learning_rate : step size of the optimizer, at the start.
    batch_sizes : windows of scenes, tags and events in a training step.
    mixup_from : the epoch, counted from 0, from which windows are mixed; the number of epochs: never.
    crops : length of a window of scenes, tags and events, in seconds.
    normalizer : ``"window"``: each band of a window by its own statistics; ``"standard"``: by those of the training data.
    choose_on : the clips that choose the epoch: ``"test"`` as published, which claims too much; ``"validation"``.
    """

    version: Literal["v1", "v2", "v3"] = "v3"
    tasks: tuple[str, ...] = ("scenes", "tags", "events")
    filters: int = 64
    epochs: int = 160
    steps: int = 500
    learning_rate: float = 1e-3
    batch_sizes: tuple[int, int, int] = (32, 32, 24)
    mixup_from: int = 6
    crops: tuple[float, float, float] = (5.0, 5.0, 30.0)
    normalizer: Literal["window", "standard"] = "window"
    choose_on: Literal["test", "validation"] = "test"


SMALL = Config(filters=8, epochs=3, steps=40, learning_rate=1e-2, batch_sizes=(8, 8, 8), mixup_from=2, crops=(0.8, 0.8, 1.6))
QUICK = replace(SMALL, normalizer="standard", quick=True)  # a window normalised by itself keeps nothing of steady synthetic sounds
NO_VALIDATION = "each of its tasks has a measure of its own, and as published epochs are chosen on what is tested"
DATASETS = ("tau_urban_acoustic_scenes_2020_mobile", "fsd_kaggle2019", "tau_nigens_2020")
CLASSES = dict(zip(TASKS, (TAUUrbanAcousticScenes2020Mobile, FSDKaggle2019, TAUNIGENS2020), strict=True))
PAPER = {  # tables 2 and 3: alone, joint, tuned; each with these measures
    "DCASE baselines": ((0.5410, None, 0.6060, 0.5400),),
    "reference systems": ((0.6530, None, 0.7620, 0.3050),),
    "v1 without mix-up": ((0.6768, 0.6801, 0.7480, 0.3486), (0.5613, 0.5925, 0.5982, 0.5367), (0.6708, 0.7180, 0.7571, 0.3470)),
    "v1": ((0.6819, 0.6941, 0.7962, 0.2926), (0.5701, 0.6522, 0.6699, 0.4764), (0.6859, 0.7164, 0.7806, 0.3238)),
    "v2": ((0.6954, 0.6919, 0.7934, 0.3085), (0.5980, 0.6294, 0.6667, 0.4817), (0.6957, 0.7138, 0.7926, 0.2968)),
    "v3": ((0.6833, 0.7062, 0.7861, 0.3085), (0.5680, 0.7040, 0.7519, 0.3586), (0.6937, 0.7459, 0.7880, 0.3185)),
}
ROWS = {f"{name}, {how}": row for name, rows in PAPER.items() for how, row in zip(("alone", "joint", "tuned"), rows, strict=False)}
PUBLISHED = {
    f"{name} ({measure})": Published(value, "epoch chosen on what is tested", measure)
    for name, row in ROWS.items()
    for measure, value in zip(MEASURES, row, strict=True)
    if value is not None
}
BANDS = {"accuracy": (0.675, 0.715), "lwlrap": (0.725, 0.765), "f1_5s": (0.765, 0.81), "error_rate_5s": (0.29, 0.345)}  # around v3, tuned
FEATURES, TITLE = MelSpectrogram.preset("dcasenet", sequence_time=None), "Tables 2 and 3 of the paper, and this run"


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train together, tune to each task, test, and save a network for each task and the report; `data`: folders of `DATASETS`."""
    parts = {name: prepare(config, name, data, out, progress=progress) for name in config.tasks}
    joint, sections = DcaseNet(version=config.version, filters=config.filters), []
    learn(config, joint, parts, out / "checkpoints/joint", progress=progress)
    ours: dict[str, dict[str, float]] = {stage: {} for stage in (("joint", "tuned") if len(parts) > 1 else ("alone",))}
    for name, part in parts.items():
        joint.set_weights(joint.kept[name])
        model, histories = joint.head(TASKS[name]), {}
        for stage in ours:
            if stage == "tuned":
                learn(config, model, {name: part}, out / "checkpoints" / name, progress=progress)
            histories[stage], results = model.history, answer(model, part[2])
            ours[stage] |= (found := measure(results))
        model.features = part[2].features
        section = Section(
            name=name.capitalize(),
            folds={"test": results},
            histories=histories,
            model={"class": "DcaseNet", **model.cost(), "settings": model.settings},
            measures=found,
            published={row: one for row, one in PUBLISHED.items() if row.startswith(f"{config.version},") and one.measure in found},
            saved=model.save(out / "models" / name),
            notes=["As published, epochs were chosen on the clips that are tested."] if config.choose_on == "test" else [],
        )
        sections.append(section)
    rows = [(name, *row) for name, row in ROWS.items()] + [(f"this run, {stage}", *map(row.get, MEASURES)) for stage, row in ours.items()]
    sections[0] = replace(sections[0], own_tables=[Table(("system", *MEASURES), rows, TITLE, range(len(ROWS), len(rows)))])
    title = _data.title(f"DcaseNet {config.version}", [DATASETS[list(TASKS).index(name)] for name in parts], data)
    report = Report(title=title, settings=asdict(config), sections=sections, environment=environment())
    report.save(out)
    return report


def prepare(config: Config, name: str, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[DataGenerator, ...]:
    """Return the generators to train with (random windows), to validate and to test with (three crops of scenes, else whole clips)."""
    at = list(TASKS).index(name)
    dataset: Dataset = CLASSES[name](_data.find(DATASETS[at], data, out, clips=120, seconds=1.6), cache=out / "cache")
    FEATURES.extract(dataset, progress=progress)
    train, held, test = split(dataset)
    if config.choose_on == "test":
        train, held = (train if name == "events" else train + held), test  # the events of fold 2 are not used
    hops = (0.1 if name == "events" else 0.02, config.crops[at] / 2)  # windows begin where labels change, or at any frame
    windows = [replace(FEATURES, sequence_time=config.crops[at], sequence_hop_time=hop) for hop in hops]
    of = partial(DataGenerator, dataset, target="frame" if name == "events" else "clip")
    scaler = Scaler(config.normalizer).fit(of(FEATURES, folds=train))
    asked = partial(of, windows[1] if name == "scenes" else FEATURES, train=False, scaler=scaler)
    return of(windows[0], folds=train, windows="random", scaler=scaler), asked(folds=held), asked(folds=test)


def split(dataset: Dataset) -> list[tuple[Clip, ...]]:
    """Return the clips to train, validate and test with: curated tags in five random folds, others by the lists of the dataset."""
    if dataset.task == "classification":
        parts = dataset.validation_split(0.2)
        return [tuple(clips) for clips in (parts.train, parts.validation, parts.test)]
    if dataset.task == "detection":
        return [tuple(dataset.select(folds)) for folds in (["fold3", "fold4", "fold5", "fold6"], ["fold2"], ["fold1"])]
    clips = dataset.select(["train_curated"])
    order = np.array_split(np.random.RandomState(42).permutation(len(clips)), 5)  # noqa: NPY002 - KFold(5, shuffle=True, random_state=42)
    return [tuple(clips[at] for at in sorted(part)) for part in (np.concatenate(order[2:]), order[1], order[0])]


def learn(config: Config, model: DcaseNet, parts: Mapping[str, tuple[DataGenerator, ...]], resume: Path, *, progress: bool) -> None:
    """Train a new network on several tasks, or fine-tune it on one; keep the weights of each task's best epoch."""
    sizes, chooses = dict(zip(TASKS, config.batch_sizes, strict=True)), dict(zip(TASKS, MEASURES, strict=False))
    together = Together({name: (part[0], sizes[name]) for name, part in parts.items()}, steps=config.steps)
    begin = partial(model.fine_tune, freeze="none", head="same") if model.labels else model.train
    settings: dict[str, Any] = {name: getattr(config, name) for name in ("epochs", "learning_rate", "seed", "device")}
    settings |= {"schedule": partial(restarts, cycles=2), "objective": partial(mixup, first_epoch=config.mixup_from)}
    settings |= {"monitor": {name: chooses[name] for name in parts}, "resume": resume, "progress": progress}
    begin(together, partial(validate, data={name: part[1] for name, part in parts.items()}), **settings)
