"""One training run of the command line: extract, train, choose on validation clips, test once, report."""

import copy
import csv
import hashlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Self, cast

import numpy as np

from dcasekit import features
from dcasekit.cli import output
from dcasekit.containers import trained
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.loggers.base import Logger
from dcasekit.containers.saving import FILES as MODEL_FILES
from dcasekit.containers.saving import KIND as MODEL_KIND
from dcasekit.containers.schedules import OPEN_ENDED
from dcasekit.containers.training import Training, describe
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.files import check_place, place, read_json, read_rows, write_json, write_text, writing
from dcasekit.core.processes import is_first
from dcasekit.datasets import Dataset, Split
from dcasekit.errors import DatasetError, DcasekitError, ModelError, first_line
from dcasekit.features import FeatureExtractor, RawAudio
from dcasekit.generator import DataGenerator, Target
from dcasekit.generator.scaler import Normalizer, Scaler
from dcasekit.report import Report, Section, Sizes, environment
from dcasekit.results import Results, plain
from dcasekit.results.saving import FOLDER, check_results_folder, write_results
from dcasekit.scores import write_scores

_log = logging.getLogger(__name__)

RUN = "run.json"  # in the folder of a run: its settings, which a second run there must share
_JOURNAL = ("history.csv", "train.log")
_KIND = "run"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun:
    """What is trained on what; features are extracted already.

    Parameters
    ----------
    fold : to test on.
    validation : whether to choose the epoch on the protocol's validation clips.
    scaler : fitted on the training windows; ``None``: none.
    target : see `DataGenerator`; ``None`` follows network and task.
    buffer : see `DataGenerator`.
    front_end : ``"device"``: training computes the features in every step, of stored waveforms; ``None``: they are stored.
    training : its seed is also that of the order of windows.
    loggers : names of `dcasekit.containers.loggers` that are told of the run.
    freeze : what stays as it is of a trained model that is tuned, see `ModelContainer.fine_tune`; ``None``: the model is trained anew.
    """

    dataset: Dataset
    features: FeatureExtractor
    model: ModelContainer
    training: Training
    fold: str
    validation: bool = True
    scaler: Normalizer | None = "standard"
    target: Target | None = None
    buffer: int | None = None
    loggers: Sequence[str] = ()
    front_end: Literal["device"] | None = None
    freeze: str | None = None

    def check(self) -> Self:
        """Make sure, before anything is extracted, that the network takes the windows; return the run with what it is to answer decided."""
        for name in self.loggers:
            discover.load("containers.loggers", name).check()
        shape, model = self.model.shape, self.model
        if self.freeze is None:
            shape = self.features.get_shape()[1:]  # of the windows, or of a clip of 10 s
            model = copy.copy(self.model).build(shape, self.dataset.labels, task=self.dataset.task)
        try:
            framed = model.answer(np.zeros((1, *shape), np.float32)).ndim == 3
        except DcasekitError:
            raise
        except Exception as error:
            raise ModelError(
                f"{type(model).__name__} cannot take windows of {shape} (frames, dims): {first_line(error)}; give longer windows, "
                "-F sequence_time=, or another --feature"
            ) from error
        timed = any(clip.events is not None for clip in self.dataset.split(self.fold, validation=self.validation).train)
        target: Target = "frame" if framed and timed and self.dataset.task == "detection" else "clip"
        if not framed and timed and self.dataset.task == "detection":
            target = "window"
        if self.target == "frame" and not framed:
            raise ModelError(f"{type(model).__name__} predicts windows, not frames, for {self.dataset.task}; leave out --target")
        return replace(self, target=self.target or target)

    def run(self, out: Path, *, progress: bool, scores: Path | None = None) -> Report:
        """Train into a folder, or go on where a run there stopped; return the report.

        The folder holds ``run.json``, ``checkpoint``, ``model``, ``results``, and, written epoch by epoch, ``history.csv``, ``train.log``.
        Of several processes that torchrun started, the first alone writes.

        Parameters
        ----------
        scores : folder for the test clips' scores; ``None``: they are not written.
        """
        alone = is_first()
        if alone:
            claim(out, plain(self.to_dict()))
        split = self.dataset.split(self.fold, validation=self.validation)
        generator = partial(DataGenerator, self.dataset, self.features, target=self.target, seed=self.training.seed)
        generator = partial(generator, waveforms=self.waveforms)
        train = generator(folds=split.train, buffer=self.buffer)
        scaler = None if self.scaler is None else Scaler(self.scaler).fit(train)
        train.set_scaler(scaler)
        validation = generator(folds=split.validation, train=False, scaler=scaler) if split.validation else None
        journal = Journal(out) if alone else None
        loggers = self._loggers_of(out) if alone else []
        callbacks: list[Callable[[Mapping[str, float]], None]] = [journal, *loggers] if journal else []
        training = replace(self.training, resume=out / "checkpoint", progress=progress, callbacks=callbacks)
        settings = {field.name: getattr(training, field.name) for field in fields(training)}
        if self.freeze is None:
            history = self.model.train(train, validation, **settings)
        else:
            history = self.model.fine_tune(train, validation, freeze=self.freeze, **settings)
        if journal:
            journal.complete(history)
        self.model.save(out / "model")
        began = perf_counter()
        results = self.model.evaluate(generator(folds=split.test, train=False, scaler=scaler))
        if alone:
            write_results(out / FOLDER, results)
            write_all_scores(scores, results)
        for logger in loggers:
            logger.finish(results.numbers, history)
        seconds = perf_counter() - began + sum(record.get("seconds", 0.0) for record in history)
        return self._report(results, split, history, seconds, out / "model")

    def _loggers_of(self, out: Path) -> list[Logger]:
        """Make the callbacks that tell other programs of the run."""
        name = f"{type(self.model).__name__} on {self.dataset.name}, {self.fold}"
        return [discover.load("containers.loggers", one)(out, name=name, settings=plain(self.to_dict())) for one in self.loggers]

    @property
    def waveforms(self) -> RawAudio | None:
        """What is stored in place of the features."""
        sampled = {"sr": self.features.sr, "audio_hop": self.features.audio_hop, "resampler": self.features.resampler}
        return RawAudio(**sampled) if self.front_end else None

    def to_dict(self) -> dict[str, Any]:
        """Return all that determines the result."""
        return {
            **data_facts(self.dataset, self.fold),
            "validation": self.validation,
            "features": {"class": discover.address(type(self.features)), **self.features.settings},
            "model": {"class": discover.address(type(self.model)), **self.model.settings},
            "scaler": self.scaler,
            "target": self.target,
            "training": self.training.to_dict(),
            **{name: value for name in ("buffer", "front_end", "freeze") if (value := getattr(self, name)) is not None},
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


def run_folds(run: TrainingRun, out: Path, *, progress: bool, scores: Path | None = None) -> Report:
    """Train and test on every round of the protocol, each into a folder of its own; return one report of all.

    A round that is done is found again: its checkpoint holds its last epoch.
    """
    reports, start = [], copy.deepcopy(run.model)
    for fold in run.dataset.protocol.rounds(run.dataset.present_folds):
        one = replace(run, fold=fold, model=copy.deepcopy(start))
        reports.append(one.run(out / fold, progress=progress, scores=None if scores is None else scores / fold))
        reports[-1].save(out / fold)
    sections = [report.sections[0] for report in reports]
    first = sections[0]
    merged = replace(
        first,
        name=f"{type(run.model).__name__} on {run.dataset.name}, {len(sections)} folds",
        folds={fold: results for section in sections for fold, results in section.folds.items()},
        histories={fold: history for section in sections for fold, history in section.histories.items()},
        sizes={fold: sizes for section in sections for fold, sizes in section.sizes.items()},
        seconds=sum(section.seconds for section in sections),
        notes=first.notes[:1],
    )
    data = {name: value for name, value in reports[0].data.items() if "clips" not in name or name == "clips"} | {"fold": "all"}
    return replace(reports[0], title=merged.name, sections=[merged], data=data)


@dataclass(frozen=True)
class FrontEnd:
    """A feature, and how its values are rescaled."""

    features: FeatureExtractor
    scaler: Normalizer | None


def front_end_for(model: ModelContainer, feature: str | None) -> FrontEnd:
    """Return the feature that was asked for, else the front end that a model was published with, else mel spectrograms."""
    if feature is None and (published := features.published(model)) is not None:
        return FrontEnd(published, cast("Normalizer | None", features.presets()[str(model.published_front_end)].scaler))
    preset = features.presets().get(feature or "")
    return FrontEnd(features.make_feature(feature or "mel_spectrogram"), cast("Normalizer | None", preset.scaler) if preset else "standard")


def trainable(model: ModelContainer) -> ModelContainer:
    """Return a model that learns labels: behind a learned front end, which answers mel bands, a network that answers them."""
    backend, dot, name = discover.address(type(model)).rpartition(".")
    if name not in ("mst", "smel"):
        return model
    second, series = (f"{backend}{dot}{each}" for each in ("sb_cnn_sed", "concatenated"))
    _log.warning("%s outputs mel bands, not labels: it is trained with %s on top, as the model '%s'", name, second, series)
    return cast("ModelContainer", discover.load("models", series)(first=model, second=discover.load("models", second)()))


class Journal:
    """Write each epoch's record to ``history.csv`` and ``train.log`` of a run's folder; a resumed run goes on with them."""

    def __init__(self, folder: Path) -> None:
        self._table, self._log = (place(folder, name, kind=_KIND) for name in _JOURNAL)

    def __call__(self, record: Mapping[str, float]) -> None:
        """Note the record of an epoch."""
        epoch = int(record["epoch"])
        before = [row for _, row in read_rows(self._table, error=ModelError)] if self._table.exists() else []
        self._write([list(record), *before[1:epoch], _row(record)])
        self._tell([record], "a" if epoch > 1 else "w")

    def complete(self, history: Sequence[Mapping[str, float]]) -> None:
        """Note the epochs that are not noted yet, because a kill came between checkpoint and note."""
        if history:
            self._write([list(history[-1]), *map(_row, history)])
        told = self._log.read_text(encoding="utf-8") if self._log.exists() else ""
        self._tell([record for record in history if f" epoch {record['epoch']:.0f}: " not in told], "a")

    def _write(self, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_text(self._table, text.getvalue())

    def _tell(self, records: Sequence[Mapping[str, float]], mode: str) -> None:
        with writing(self._log), self._log.open(mode, encoding="utf-8") as file:
            file.writelines(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} epoch {one['epoch']:.0f}: {describe(one)}\n" for one in records)


def _row(record: Mapping[str, float]) -> list[str]:
    return [f"{value:.9g}" for value in record.values()]


def write_all_scores(folder: Path | None, results: Results) -> None:
    """Write the scores of each clip as TSV into a folder, if one is given, and say how other metrics are had of them."""
    if folder is None:
        return
    for clip, scores in zip(results.clips, results.scores, strict=True):
        write_scores(place(folder, f"{clip}.tsv", kind="scores"), scores)
    if results.task == "detection":
        told = "for PSDS, with the dataset's events in EVENTS (dcasekit datasets convert ... --to events)"
        output.note(f"{told}: dcasekit score --reference EVENTS --estimate {folder} --metric psds1,psds2 --partial")


def evaluation(model: ModelContainer, dataset: Dataset, fold: str, *, scores: Path | None = None) -> Report:
    """Test a model on the test clips of a fold; its features are extracted already."""
    began = perf_counter()
    results = model.evaluate(DataGenerator(dataset, front_end(model), folds=dataset.split(fold).test, train=False))
    write_all_scores(scores, results)
    title = f"{type(model).__name__} on {dataset.name}, {fold}"
    about = {"class": type(model).__name__, "settings": model.settings, **model.cost()}
    asked = [label for label in model.labels if label in dataset.labels]
    told = f"The data know {len(asked)} of the {len(model.labels)} labels of the model: {', '.join(asked)}."
    notes = [told] if len(asked) < len(model.labels) else []
    for note in notes:
        _log.warning(note)
    section = Section(name=title, folds={fold: results}, model=about, seconds=perf_counter() - began, notes=notes)
    return Report(title=title, settings={}, sections=[section], environment=environment(), data=data_facts(dataset, fold))


def front_end(model: ModelContainer) -> FeatureExtractor:
    """Return the features a model was trained on."""
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
    if folder.parent == trained.FOLDER and (seen := trained.card(folder.name)["data"])["dataset"] == dataset.name:
        unseen = [each for each in dataset.protocol.rounds(dataset.present_folds) if each not in seen["folds"]]
        found = fold_of(dataset, fold or next(iter(unseen), None))
        if found in seen["folds"]:
            _log.warning("%s was trained on the clips of %s: the number will be too high; its card gives an honest one", folder.name, found)
        return found
    path = folder.parent / RUN
    run = _read_run(path) if path.exists() else {}
    kept = run.get("fold") if run.get("dataset") == dataset.name else None
    if fold is None and kept is not None and kept not in (rounds := dataset.protocol.rounds(dataset.present_folds)):
        raise DatasetError(
            f"{path} names the test fold {shorten(kept)}, which {dataset.name} does not have here; give one with --fold: "
            f"{', '.join(rounds)}"
        )
    if fold is not None and kept not in (None, fold):
        _log.warning("this model was trained or chosen on clips of %s (its test fold is %s): the number will be too high", fold, kept)
    return fold_of(dataset, fold or kept)


def claim(out: Path, run: Mapping[str, Any]) -> None:
    """Note in a folder which run it belongs to.

    Raises
    ------
    ModelError : it holds what another run learned; its checkpoint must not be taken for this one's.
    StorageError : it holds files that are to be written and that dcasekit did not write.
    """
    path = out / RUN
    learned = path.exists() and any((out / name).exists() for name in ("checkpoint", "model"))
    before, now = (_flat(one) for one in (_read_run(path) if learned else run, run))
    if changed := sorted(name for name in {*now, *before} if now.get(name) != before.get(name)):
        told = "; ".join(f"{shorten(name)} was {shorten(before.get(name))}, now {shorten(now.get(name))}" for name in changed[:10])
        raise ModelError(f"{out} holds a run with other settings ({told}); choose another --out, or delete that folder")
    Report.check_folder(out)
    check_place(out, *_JOURNAL, kind=_KIND)
    check_results_folder(out / FOLDER)
    check_place(out / "model", *MODEL_FILES, kind=MODEL_KIND)
    write_json(place(out, RUN, kind=_KIND), run)


def _read_run(path: Path) -> dict[str, Any]:
    run = read_json(path, error=ModelError)
    if not isinstance(run, dict):
        raise ModelError(f"{path} does not hold the settings of a run; choose another --out, or delete that folder")
    return run


def _flat(run: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names; not the epochs of a run that can be extended."""
    found: dict[str, Any] = {}
    for name, value in run.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    if found.get("training.schedule") in OPEN_ENDED:
        found.pop("training.epochs", None)
    return found


def data_facts(dataset: Dataset, fold: str) -> dict[str, Any]:
    """Say what a run was fed with; the fingerprint is of the ids, folds and labels of all clips."""
    known = [f"{clip.id} {clip.fold} {sorted((clip.tags or {}).items())} {clip.events}" for clip in dataset.clips]
    digest = hashlib.sha256("\n".join(known).encode()).hexdigest()
    mended = {"corrected": count} if (count := dataset.corrected) else {}
    return {"dataset": dataset.name, "task": dataset.task, "fold": fold, "clips": len(known), "fingerprint": digest[:12], **mended}
