"""DCASE 2024 task 4, the baseline: one network for events at home (DESED) and in streets and shops (MAESTRO Real).

J. Ebbers, F. Germain, G. Wichern, S. Cornell, F. Ronchini and others; numbers are those of github.com/DCASE-REPO/DESED_task. A mean teacher
with 27 labels learns from both data sets: what one of them doesn't annotate counts nowhere in its clips. An embedding as a second input
(published: BEATs, 768 dims) is `Config.embedding`. A step takes about 9 s of one core (that of 2023 times its batch); three days.
Differences: the report's notes.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dcasekit.annotations import Clip
from dcasekit.containers.objectives import mean_teacher
from dcasekit.containers.schedules import Moment, mean_decay, ramp_up
from dcasekit.core.energy import measured
from dcasekit.datasets import DESED, MAESTROReal
from dcasekit.features.base import FeatureExtractor
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.features.side_by_side import SideBySide
from dcasekit.generator import DataGenerator, Together
from dcasekit.metrics.tuning import best_psds
from dcasekit.models.crnn2023a import CRNN2023A
from dcasekit.recipes import _data
from dcasekit.recipes._desed import (
    by_steps,
    changed,
    draw_validation,
    list_settings,
    material,
    measure,
    partial_auc,
    partial_auc_interval,
    select,
    smoother,
)
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results
from dcasekit.scores import median_filter


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe, those of the published code.

    Parameters
    ----------
    epochs : passes over the training data.
    batch : windows of MAESTRO, synthetic, recorded and synthetic, weakly labelled and unlabelled clips in a training step.
    learning_rate : step size of the optimizer at its highest, after its rise.
    ramp : epochs in which the learning rate, and the weight of the agreement of student and teacher, rise.
    constant : epochs until the learning rate falls.
    weight : weight of the agreement, once it has risen.
    decay : decay of the running average that makes the teacher's weights.
    mix : probability with which the windows of a step are mixed.
    clip_norm : largest norm of a step's gradient.
    median : candidates of the median filter's length, in steps of 64 ms; each label gets its own.
    embedding : an embedding as a second input, ``{"class": name of a feature, "settings": {...}}``; empty: mel bands alone.
    filters : filters of each convolution.
    pool_size : (frames, bands) that are pooled after each convolution.
    units : units of the recurrent layers, in each direction.
    dropout : share of values that are set to 0 in training.
    seconds : length of a window, and of the clips of the synthetic DESED, in seconds.
    clips : number of clips of the synthetic DESED.
    """

    epochs: int = 300
    batch: tuple[int, ...] = (12, 6, 6, 12, 24)
    learning_rate: float = 1e-3
    ramp: int = 50
    constant: int = 100
    weight: float = 2.0
    decay: float = 0.999
    mix: float = 0.5
    clip_norm: float = 5.0
    median: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 13, 15, 17)
    embedding: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[int, ...] = (16, 32, 64, 128, 128, 128, 128)
    pool_size: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))
    units: int = 192
    dropout: float = 0.2
    seconds: float = 10.0
    clips: int = 420


_SMALL = {
    "filters": (8, 16, 32, 32),
    "pool_size": ((2, 2), (2, 4), (1, 4), (1, 4)),
    "units": 16,
    "dropout": 0.0,
    "median": (1, 3),
    "clips": 490,
}
_FAST = {"batch": (4, 3, 3, 6, 4), "learning_rate": 5e-3, "ramp": 3, "constant": 15, "weight": 1.0, "mix": 0.2, "seconds": 1.0}
QUICK = Config(epochs=30, **_SMALL, **_FAST, quick=True)  # type: ignore[arg-type]
DATASETS = ("desed", "maestro_real")
FOLD = "fold1"  # of MAESTRO, that is tested on
LABELS = (*DESED.labels, *MAESTROReal.labels)
ALIASES = {"people talking": "Speech", "children voices": "Speech", "announcement": "Speech", "cutlery and dishes": "Dishes"}
PUBLISHED = {
    "baseline with BEATs, PSDS1": Published(0.49, "its README; with embeddings", "psds1"),
    "baseline with BEATs, AUC of MAESTRO": Published(0.73, "its README; with embeddings, on its own split", "partial_auc"),
}
BANDS: dict[str, tuple[float, float]] = {}  # nothing is published without embeddings

NOTES = [
    "Attention is shared out within a data set's labels, published: among those that a clip's data set annotates, its aliases too. "
    "The loss is the mean of what is known, published: of all, what is not annotated being 0.",
    f"MAESTRO is cut into windows without overlap, trained on but for {FOLD} and tested on that, published: a split of its own.",
    "Filters are chosen on synthetic validation clips; published are lengths per label.",
]


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Train the student, test it on both data sets, and save network and report below `out`; interrupted, it goes on."""
    (of, sources, check, outside), began = prepare(config, data, out, progress=progress), time.perf_counter()
    model = learn(config, sources, check, out, progress=progress)
    tested, medians = find_events(config, model, of)
    streets, labels = model.evaluate(outside()), MAESTROReal.evaluated_labels
    found = measure(tested) | {"partial_auc": (partial_auc(streets, labels), partial_auc_interval(streets, labels))}
    section = Section(
        name="DESED and MAESTRO Real",
        folds={"DESED, validation": tested},
        histories={"student": model.history},
        model={"class": "CRNN2023A", **model.cost(), "settings": model.settings},
        seconds=time.perf_counter() - began,
        published=PUBLISHED,
        notes=NOTES,
        sizes={"DESED, validation": Sizes(sum(part.size for part in sources.parts.values()), len(check.keywords["weak"].clips))},
        saved=out / "model",
        measures={name: value for name, (value, _) in found.items()},
        intervals={name: interval for name, (_, interval) in found.items()},
        own_tables=[list_settings(medians, title="Median filters, steps: chosen on synthetic clips")],
    )
    report = Report(_data.title("DCASE 2024 task 4 baseline", DATASETS, data), asdict(config), [section], environment())
    report.save(out)
    return report


def score_validation(config: Config, data: Mapping[str, Path], out: Path, *, resume: Path, progress: bool = False) -> float:
    """Sum of the F1 of held-out weak clips and of synthetic validation clips, and of the AUC of MAESTRO's, of the best epoch."""
    _, sources, check, _ = prepare(config, data, out, progress=progress)
    return max(record["val_sum"] for record in learn(config, sources, check, resume, progress=progress).history)


def prepare(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool) -> tuple[Any, Together, partial[Any], Any]:
    """Return what makes batches of DESED's clips, what a step learns from, what judges an epoch, and what makes MAESTRO's to test on."""
    desed = DESED(_data.find("desed", data, out, clips=config.clips, seconds=config.seconds), cache=out / "cache")
    maestro = MAESTROReal(
        _data.find("maestro_real", data, out, clips=49, seconds=8 * config.seconds, sr=16000), cache=out / "cache_maestro"
    )
    features = front_end(config)
    for dataset in (desed, maestro):
        features.extract(dataset, progress=progress)
    of, of_maestro = partial(DataGenerator, desed, features), partial(DataGenerator, maestro, features)
    weak, held_out = draw_validation(desed.select(["weak"]), seed=config.seed)
    split = maestro.split(FOLD)
    sources = compose(config, of, weak, of_maestro(folds=split.train, target="frame"))
    check = partial(
        choose,
        weak=of(folds=held_out, task="tagging", train=False),
        strong=of(folds=["synthetic_validation"], train=False),
        maestro=of_maestro(folds=split.validation or split.train, train=False),
    )
    return of, sources, check, partial(of_maestro, folds=split.test, train=False)


def find_events(config: Config, model: CRNN2023A, of: Any) -> tuple[Results, dict[str, dict[str, float]]]:
    """Score DESED's validation clips, smoothed; return the results and the filter lengths of each label."""
    tuned = by_steps(model, of(folds=["synthetic_validation"], train=False))
    medians = best_psds(*material(tuned), partial(median_filter, pad="reflect"), {"frames": config.median})
    return changed(by_steps(model, of(folds=["validation"], train=False)), smoother(medians["frames"])), medians


def front_end(config: Config) -> FeatureExtractor:
    """Return the features: mel bands, side by side with the embedding if there is one."""
    windows = {"sequence_time": config.seconds, "sequence_hop_time": config.seconds}
    mel = MelSpectrogram.preset("desed2023_linear", **windows)
    if not config.embedding:
        return mel
    parts = {"mel": mel, "embedding": config.embedding}
    return SideBySide(parts=parts, sr=mel.sr, audio_hop=mel.audio_hop, audio_win=mel.audio_win, **windows)  # type: ignore[arg-type]


def compose(config: Config, of: Any, weak: Sequence[Clip], maestro: DataGenerator) -> Together:
    """Put together the training sources of a step, all with the 27 labels; an epoch ends with the source that ends first."""
    sources = {
        "maestro": maestro.among(LABELS, also=ALIASES),
        "synthetic": of(folds=["synthetic"], target="frame").among(LABELS),
        "strong": of(folds=["strong", "synthetic"], target="frame").among(LABELS),
        "weak": of(folds=weak, target="clip").among(LABELS),
        "unlabelled": of(folds=["unlabelled"], target="clip").among(LABELS),
    }
    parts = {name: (source, size) for (name, source), size in zip(sources.items(), config.batch, strict=True)}
    return Together(parts, steps=min(source.size // size for source, size in parts.values()))


def annotated() -> dict[str, tuple[int, ...]]:
    """Return source -> numbers of the labels that its data set annotates."""
    desed = tuple(range(len(DESED.labels)))
    aliases = sorted({LABELS.index(label) for label in ALIASES.values()})
    return {"maestro": (*aliases, *range(len(desed), len(LABELS)))} | dict.fromkeys(("synthetic", "strong", "weak", "unlabelled"), desed)


def fall(moment: Moment, *, ramp: int, constant: int) -> float:
    """Return the factor of the learning rate: it rises for `ramp` epochs, stays until epoch `constant`, then falls as a quarter cosine."""
    done = moment.step / moment.steps - constant
    return ramp_up(moment, epochs=ramp) if done < 0 else math.cos(math.pi / 2 * done / (moment.epochs - constant))


def learn(config: Config, data: Together, check: Any, out: Path, *, progress: bool) -> CRNN2023A:
    """Train the student, and save it."""
    shape = {"filters": config.filters, "pool_size": config.pool_size, "gru_units": config.units, "dropout": config.dropout}
    embedding = front_end(config).dims - 128 if config.embedding else 0
    model = CRNN2023A(**shape, embedding=embedding, groups=(len(DESED.labels), len(MAESTROReal.labels)))  # type: ignore[arg-type]
    teach = partial(mean_teacher, weight=config.weight, ramp_epochs=config.ramp, mix=config.mix, columns=annotated())
    average = {"average": partial(mean_decay, decay=config.decay), "keep": "network"}
    rate = {"learning_rate": config.learning_rate, "schedule": partial(fall, ramp=config.ramp, constant=config.constant)}
    about = {"seed": config.seed, "device": config.device, "resume": out / "checkpoints", "progress": progress}
    model.train(data, check, epochs=config.epochs, objective=teach, monitor="sum", clip_norm=config.clip_norm, **average, **rate, **about)
    model.save(out / "model")
    return model


def choose(model: CRNN2023A, *, weak: DataGenerator, strong: DataGenerator, maestro: DataGenerator) -> dict[str, float]:
    """Compute the numbers that choose the epoch: those of 2023, and the partial AUC on MAESTRO."""
    found = select(model, weak=weak, strong=strong, median=1)
    auc = partial_auc(model.evaluate(maestro), MAESTROReal.evaluated_labels)
    return found | {"partial_auc": auc, "sum": found["sum"] + (0.0 if math.isnan(auc) else auc)}
