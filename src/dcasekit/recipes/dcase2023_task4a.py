"""DCASE 2023 task 4A, the baseline: events at home by a mean teacher, from synthetic, weakly labelled and unlabelled clips (DESED).

F. Ronchini, S. Cornell, R. Serizel, N. Turpault and others; numbers are those of github.com/DCASE-REPO/DESED_task at c6bcb45. The student's
scores are tested twice, smoothed by the published median filter, and as sound event bounding boxes whose settings are chosen on the
synthetic validation clips. A step takes 7 s of one core (AVX-512), there are 23,600: two days; memory 7.5 GB. On a GPU: not run.
Differences: the report's notes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dcasekit.annotations import Clip
from dcasekit.containers.objectives import mean_teacher
from dcasekit.containers.schedules import mean_decay, ramp_up
from dcasekit.core.energy import measured
from dcasekit.datasets import DESED
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.generator import DataGenerator, Together
from dcasekit.metrics.tuning import best_psds
from dcasekit.models.crnn2023a import CRNN2023A
from dcasekit.recipes import _data
from dcasekit.recipes._desed import (
    BOXES,
    boxer,
    by_steps,
    changed,
    compare,
    draw_validation,
    list_settings,
    material,
    measure,
    select,
    smoother,
)
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.scores.postprocessing import csebbs_scores


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe, those of the published code.

    Parameters
    ----------
    epochs : passes over the training data.
    batch : windows of synthetic, weakly labelled and unlabelled clips in a training step.
    learning_rate : step size of the optimizer at its highest, after its rise.
    ramp : epochs in which the learning rate, and the weight of the agreement of student and teacher, rise.
    weight : weight of the agreement, once it has risen.
    decay : decay of the running average that makes the teacher's weights.
    mix : probability with which the windows of a step are mixed.
    real : learn from recorded clips with times, too.
    median : length of the median filter, in steps of 64 ms.
    step_filter_length : candidates of the step filter's length, in seconds, for the boxes of cSEBBs.
    merge_threshold_abs, merge_threshold_rel : candidates of the two thresholds below which neighbouring boxes are merged, see `csebbs`.
    filters : filters of each convolution.
    pool_size : (frames, bands) that are pooled after each convolution.
    units : units of the recurrent layers, in each direction.
    dropout : share of values that are set to 0 in training.
    seconds : length of a window, and of the clips of the synthetic dataset, in seconds.
    clips : number of clips of the synthetic dataset; a seventh each are weak, unlabelled, synthetic and so on.
    """

    epochs: int = 200
    batch: tuple[int, int, int] = (12, 12, 24)
    learning_rate: float = 1e-3
    ramp: int = 50
    weight: float = 2.0
    decay: float = 0.999
    mix: float = 0.5
    real: bool = False
    median: int = 7
    step_filter_length: tuple[float, ...] = (0.32, 0.48, 0.64)
    merge_threshold_abs: tuple[float, ...] = (0.15, 0.2, 0.3)
    merge_threshold_rel: tuple[float, ...] = (1.5, 2.0, 3.0)
    filters: tuple[int, ...] = (16, 32, 64, 128, 128, 128, 128)
    pool_size: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))
    units: int = 128
    dropout: float = 0.5
    seconds: float = 10.0
    clips: int = 420


_SMALL = {"filters": (8, 16, 32, 32), "pool_size": ((2, 2), (2, 4), (1, 4), (1, 4)), "units": 16, "dropout": 0.0, "median": 1, "clips": 490}
_FAST = {"batch": (6, 6, 6), "learning_rate": 5e-3, "ramp": 3, "weight": 1.0, "mix": 0.2, "seconds": 1.0, "merge_threshold_rel": (2.0,)}
QUICK = Config(epochs=28, **_SMALL, **_FAST, quick=True)  # type: ignore[arg-type]
DATASETS = ("desed",)
_BASELINE = "its README, recorded validation clips"
PUBLISHED = {
    "baseline, PSDS1": Published(0.359, f"{_BASELINE}; deviation 0.006", "psds1"),
    "baseline, PSDS2": Published(0.562, f"{_BASELINE}; deviation 0.012", "psds2"),
    "baseline, events": Published(0.407, f"{_BASELINE}; collars", "event_f1"),
    "baseline, intersections": Published(0.642, _BASELINE, "intersection_f1"),
}
BANDS = {"psds1": (0.341, 0.377), "psds2": (0.526, 0.598)}  # the published means and three of their deviations on either side


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train the student, test it smoothed and as boxes, and save network and report below `out`; interrupted, it goes on."""
    dataset, of, sources, held_out = prepare(config, data, out, progress=progress)
    began = time.perf_counter()
    model = learn(config, sources, of(folds=held_out, task="tagging", train=False), of, out, progress=progress)
    tuned = by_steps(model, of(folds=["synthetic_validation"], train=False))
    boxes = best_psds(*material(tuned), csebbs_scores, {name: getattr(config, name) for name in BOXES})
    tested = by_steps(model, of(folds=["validation"], train=False))
    smoothed, boxed = changed(tested, smoother(config.median)), changed(tested, boxer(boxes))
    found = measure(smoothed) | {f"{name}_csebbs": one for name, one in measure(boxed).items()}
    section = Section(
        name=dataset.name,
        folds={"validation": smoothed},
        histories={"student": model.history},
        model={"class": "CRNN2023A", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        published=PUBLISHED,
        notes=[
            "Clips are 625 frames, published 626, 156 steps either way; shorter clips are filled with themselves, not with zeros, and "
            "nothing is learned there. Each source goes round by itself. Random numbers are others.",
            f"{len(dataset.missing)} of the listed clips have no file, and are left out.",
        ],
        sizes={"validation": Sizes(sum(part.size for part in sources.parts.values()), len(held_out) + len(tuned.clips))},
        saved=out / "model",
        measures={name: value for name, (value, _) in found.items()},
        intervals={name: interval for name, (_, interval) in found.items()},
        own_tables=[compare(found), list_settings(boxes, title="cSEBBs: settings chosen on synthetic clips")],
    )
    report = Report(_data.title("DCASE 2023 task 4A baseline", DATASETS, data), asdict(config), [section], environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Sum of the F1 of held-out weak clips and of synthetic validation clips, of the best epoch."""
    _, of, sources, held_out = prepare(config, data, out, progress=progress)
    history = learn(config, sources, of(folds=held_out, task="tagging", train=False), of, resume, progress=progress).history
    return max(record["val_sum"] for record in history)


def prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[DESED, Any, Together, Sequence[Clip]]:
    """Return the dataset, a function that makes generators of its clips, the training sources, and the weak clips to validate on."""
    dataset = DESED(_data.find(DATASETS[0], data, out, clips=config.clips, seconds=config.seconds), cache=out / "cache")
    mel = MelSpectrogram.preset("desed2023_linear", sequence_time=config.seconds, sequence_hop_time=config.seconds)
    mel.extract(dataset, progress=progress)
    of = partial(DataGenerator, dataset, mel)
    weak, held_out = draw_validation(dataset.select(["weak"]), seed=config.seed)
    return dataset, of, compose(config, of, weak), held_out


def compose(config: Config, of: Any, weak: Sequence[Clip]) -> Together:
    """Put together the training sources of a step; an epoch ends with the source that ends first. `of` makes generators of clips."""
    strong = of(folds=["synthetic", "strong"] if config.real else ["synthetic"], target="frame")
    sources = {"strong": strong, "weak": of(folds=weak, target="clip"), "unlabelled": of(folds=["unlabelled"], target="clip")}
    parts = {name: (source, size) for (name, source), size in zip(sources.items(), config.batch, strict=True)}
    return Together(parts, steps=min(source.size // size for source, size in parts.values()))


def learn(config: Config, data: Together, held_out: DataGenerator, of: Any, out: Path, *, progress: bool) -> CRNN2023A:
    """Train the student, and save it."""
    model = CRNN2023A(filters=config.filters, pool_size=config.pool_size, gru_units=config.units, dropout=config.dropout)
    synthetic = of(folds=["synthetic_validation"], train=False)
    teach = partial(mean_teacher, weight=config.weight, ramp_epochs=config.ramp, mix=config.mix)
    average = {"average": partial(mean_decay, decay=config.decay), "keep": "network"}
    rate = {"learning_rate": config.learning_rate, "schedule": partial(ramp_up, epochs=config.ramp)}
    about = {"seed": config.seed, "device": config.device, "resume": out / "checkpoints", "progress": progress}
    check = partial(select, weak=held_out, strong=synthetic, median=config.median)
    model.train(data, check, epochs=config.epochs, objective=teach, monitor="sum", **average, **rate, **about)
    model.save(out / "model")
    return model
