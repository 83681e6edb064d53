"""One training run of the command line: extract, train, choose on validation clips, test once, report."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from dcasekit.containers.base import ModelContainer
from dcasekit.containers.training import Training
from dcasekit.core import discover
from dcasekit.core.files import read_json, write_json
from dcasekit.datasets import Dataset, Split
from dcasekit.errors import DatasetError, ModelError
from dcasekit.features import FeatureExtractor
from dcasekit.generator import DataGenerator, Target
from dcasekit.report import Report, Section, Sizes, environment
from dcasekit.results import Results, plain
from dcasekit.scaler import Scaler

_log = logging.getLogger(__name__)

RUN = "run.json"  # in the folder of a run: its settings, which a second run there must share


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun:
    """What is trained on what; features are extracted already.

    Parameters
    ----------
    fold : to test on.
    validation : whether to choose the epoch on the protocol's validation clips.
    scaler : fitted on the training windows; ``None``: none.
    target : see `DataGenerator`.
    training : its seed is also that of the order of windows.
    """

    dataset: Dataset
    features: FeatureExtractor
    model: ModelContainer
    training: Training
    fold: str
    validation: bool = True
    scaler: Literal["standard", "minmax", "window", "window_minmax"] | None = "standard"
    target: Target | None = None

    def run(self, out: Path, *, progress: bool) -> Report:
        """Train into a folder (``run.json``, ``checkpoint``, ``model``), or go on where a run there stopped; give back the report."""
        claim(out, plain(self.to_dict()))
        split = self.dataset.split(self.fold, validation=self.validation)
        generator = partial(DataGenerator, self.dataset, self.features, target=self.target, seed=self.training.seed)
        train = generator(folds=split.train)
        scaler = None if self.scaler is None else Scaler(self.scaler).fit(train)
        train.set_scaler(scaler)
        validation = generator(folds=split.validation, train=False, scaler=scaler) if split.validation else None
        training = replace(self.training, resume=out / "checkpoint", progress=progress)
        history = self.model.train(train, validation, **{field.name: getattr(training, field.name) for field in fields(training)})
        self.model.save(out / "model")
        began = perf_counter()
        results = self.model.evaluate(generator(folds=split.test, train=False, scaler=scaler))
        seconds = perf_counter() - began + sum(record.get("seconds", 0.0) for record in history)
        return self._report(results, split, history, seconds, out / "model")

    def to_dict(self) -> dict[str, Any]:
        """Give all that determines the result."""
        return {
            **data_facts(self.dataset, self.fold),
            "validation": self.validation,
            "features": {"class": discover.address(type(self.features)), **self.features.settings},
            "model": {"class": discover.address(type(self.model)), **self.model.settings},
            "scaler": self.scaler,
            "target": self.target,
            "training": self.training.to_dict(),
        }

    def _report(self, results: Results, split: Split, history: list[dict[str, float]], seconds: float, saved: Path) -> Report:
        notes = [
            f"The epoch was chosen on {len(split.validation)} validation clips, which were not trained on."
            if split.validation
            else "There were no validation clips: the weights are those of the last epoch."
        ]
        if (rounds := len(self.dataset.protocol.rounds(self.dataset.present_folds))) > 1:
            notes.append(f"One fold of {rounds}: published numbers are means over all of them.")
        section = Section(
            name=f"{type(self.model).__name__} on {self.dataset.name}, {self.fold}",
            folds={self.fold: results},
            histories={self.fold: history},
            model={"class": type(self.model).__name__, "settings": self.model.settings, **self.model.cost()},
            seconds=seconds,
            notes=notes,
            sizes={self.fold: Sizes(len(split.train), len(split.validation))},
            saved=saved,
        )
        facts = data_facts(self.dataset, self.fold)
        settings = {name: value for name, value in self.to_dict().items() if name not in (*facts, "model")}
        data = {**facts, "training clips": len(split.train), "validation clips": len(split.validation), "test clips": len(split.test)}
        return Report(title=section.name, settings=settings, sections=[section], environment=environment(), data=data)


def evaluation(model: ModelContainer, dataset: Dataset, fold: str) -> Report:
    """Test a model on the test clips of a fold; its features are extracted already."""
    if model.labels != dataset.labels:
        raise ModelError(
            f"the model answers other labels than {dataset.name} has: {', '.join(model.labels)}; "
            "evaluate it on the dataset it was trained on"
        )
    began = perf_counter()
    generator = DataGenerator(dataset, front_end(model), folds=dataset.split(fold).test, train=False, scaler=model.scaler)
    results = model.evaluate(generator)
    title = f"{type(model).__name__} on {dataset.name}, {fold}"
    about = {"class": type(model).__name__, "settings": model.settings, **model.cost()}
    section = Section(name=title, folds={fold: results}, model=about, seconds=perf_counter() - began)
    return Report(title=title, settings={}, sections=[section], environment=environment(), data=data_facts(dataset, fold))


def front_end(model: ModelContainer) -> FeatureExtractor:
    """Give the features a model was trained on."""
    if model.features is None:
        raise ModelError("the model was trained on arrays and has no features of its own; train it with `dcasekit train`")
    return model.features


def fold_of(dataset: Dataset, fold: str | None) -> str:
    """Name the round of the protocol that is meant: the one asked for, or the first."""
    rounds = dataset.protocol.rounds(dataset.present_folds)
    if fold is None and rounds:
        return rounds[0]
    if fold not in rounds:
        raise DatasetError(f"{dataset.name} has no fold {fold!r} to test on; there are: {', '.join(rounds) or 'none (no clips found)'}")
    return fold


def evaluation_fold(folder: Path, dataset: Dataset, fold: str | None) -> str:
    """Name the fold to evaluate a saved model on: by default the one that its run kept for this; warn if it is another one."""
    run = read_json(folder.parent / RUN, error=ModelError) if (folder.parent / RUN).exists() else {}
    kept = run.get("fold") if run.get("dataset") == dataset.name else None
    if fold is not None and kept not in (None, fold):
        _log.warning("this model was trained or chosen on clips of %s (its test fold is %s): the number will be too good", fold, kept)
    return fold_of(dataset, fold or kept)


def claim(out: Path, run: Mapping[str, Any]) -> None:
    """Note in a folder which run it belongs to.

    Raises
    ------
    ModelError : it holds what another run learned; its checkpoint must not be taken for this one's.
    """
    path = out / RUN
    learned = path.exists() and any((out / name).exists() for name in ("checkpoint", "model"))
    before = read_json(path, error=ModelError) if learned else run
    if changed := sorted(name for name in {*run, *before} if run.get(name) != before.get(name)):
        raise ModelError(
            f"{out} holds a run with other settings ({', '.join(changed)} differ); choose another --out, or delete that folder"
        )
    write_json(path, run)


def data_facts(dataset: Dataset, fold: str) -> dict[str, Any]:
    """Say what a run was fed with; the fingerprint is of the ids, folds and labels of all clips."""
    known = [f"{clip.id} {clip.fold} {sorted((clip.tags or {}).items())} {clip.events}" for clip in dataset.clips]
    digest = hashlib.sha256("\n".join(known).encode()).hexdigest()
    return {"dataset": dataset.name, "task": dataset.task, "fold": fold, "clips": len(known), "fingerprint": digest[:12]}
