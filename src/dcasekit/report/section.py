"""One experiment of a report: what it holds, what was done, its main facts, its tables."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dcasekit.core.energy import NOT_INSTALLED, Energy
from dcasekit.core.tables import Table
from dcasekit.core.units import PathLike
from dcasekit.errors import MetricError
from dcasekit.metrics import psds
from dcasekit.plots.svg import percent
from dcasekit.report.pages import Fact
from dcasekit.report.words import co2e, duration, kwh, name, settings_table, show, si, span
from dcasekit.results import PER_LABEL, Results, plain

History = list[dict[str, float]]

_FOLD_NUMBERS = {
    "classification": ("accuracy", "accuracy/macro", "f1/macro"),
    "tagging": ("average_precision/macro", "auc/macro", "lwlrap", "f1/micro", "f1/macro"),
    "detection": ("f1/micro", "f1/macro", "error_rate/micro", "error_rate/macro", "psds1", "psds2", "clip/average_precision/macro"),
}
_ENERGY = ("seconds", "kwh", "kg_co2e")
_PSDS = {"psds1": psds.PSDS1, "psds2": psds.PSDS2}
_AIMS = {
    "classification": "tell {} classes apart",
    "tagging": "find which of {} labels a clip holds",
    "detection": "find sounds of {} labels and when they begin and end",
}
PUBLISHED, CONFUSED = "Beside published numbers", "Commonest confusions"  # tables that a page shows in a place of their own
_UNKNOWN = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Published:
    """A system's published number, and how it differs from this run, with source.

    `measure` says which of the section's numbers it is of; ``None``: its headline.
    """

    value: float
    differs: str
    measure: str | None = None


@dataclass(frozen=True)
class Measure:
    """A number, its 95 % interval (NaN: unknown), and how it came about."""

    value: float
    interval: tuple[float, float] = _UNKNOWN
    remark: str = ""


@dataclass(frozen=True)
class Sizes:
    """Clips that a model was trained on, and that its epoch was chosen on."""

    train: int
    validation: int = 0


@dataclass(frozen=True)
class Section:
    """One experiment of a report: a model, a data set, its folds.

    Parameters
    ----------
    name : heading, e.g. ``"ESC-10"``.
    folds : name -> results; one entry for a fixed split.
    histories : fold -> one dict per epoch, with ``epoch`` and any of ``loss``, ``val_loss``, ``val_accuracy`` ...
    model : ``class``, ``parameters``, ``macs``, ``settings``; all may be missing.
    seconds : time of training and evaluation.
    published : system -> its number.
    notes : what differs from the published protocol, what was skipped.
    sizes : fold -> clips of training and validation.
    saved : folder of the model, of the first of several folds.
    measures : what a recipe measured its own way, in order; the first is the section's headline, in place of that of the task.
    intervals : measure -> its 95 % interval, for those that have one.
    own_tables : that a recipe adds, such as of its data.

    Raises
    ------
    MetricError : an interval, or a published number, is of something that was not measured.
    """

    name: str
    folds: Mapping[str, Results]
    histories: Mapping[str, History] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = float("nan")
    published: Mapping[str, Published] = field(default_factory=dict)
    notes: Sequence[str] = ()
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    saved: PathLike | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    own_tables: Sequence[Table] = ()

    def __post_init__(self) -> None:
        named = {one.measure for one in self.published.values() if one.measure} - {*self.measures}
        if strange := {*self.intervals} - {*self.measures} | {number for number in named if number not in self.pooled_numbers}:
            known = ", ".join([*self.measures, *self.pooled_numbers])
            raise MetricError(f"section {self.name!r} has no measure {min(strange)!r}; its measures and numbers are: {known}")

    @cached_property
    def measured(self) -> Mapping[str, Measure]:
        """What is set beside published numbers: the headline, the recipe's other measures, and numbers that only published systems name."""
        own = {name: Measure(value, self.intervals.get(name, _UNKNOWN)) for name, value in self.measures.items()}
        own = own or {self.pooled.headline: Measure(self.spread(self.pooled.headline)[0], self.pooled.interval)}
        named = dict.fromkeys(one.measure for one in self.published.values() if one.measure)
        return own | {name: Measure(self.spread(name)[0]) for name in named if name not in own}

    @property
    def headline(self) -> str:
        """Name of the main number."""
        return next(iter(self.measured))

    @cached_property
    def pooled(self) -> Results:
        """All folds' clips as one test set."""
        return Results.pool(list(self.folds.values()))

    @cached_property
    def rocs(self) -> Mapping[str, psds.Roc]:
        """PSD-ROCs of all clips, ``psds1`` and ``psds2``; none unless events are detected over time and some are known."""
        return _rocs(self.pooled)

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        """Fold -> all its numbers; of detection also PSDS, NaN where it is undefined."""
        return {fold: _numbers(one, self.rocs if one is self.pooled else _rocs(one)) for fold, one in self.folds.items()}

    @cached_property
    def pooled_numbers(self) -> Mapping[str, float]:
        """All numbers of all clips."""
        return _numbers(self.pooled, self.rocs)

    @cached_property
    def energy(self) -> Energy | None:
        """What training took by the epochs' records; ``None``: it was not asked for, see `Training`."""
        records = [record for history in self.histories.values() for record in history if "kwh" in record]
        if not records:
            return None
        # In the history of a model that was loaded, what is unknown is None.
        numbers = [[math.nan if (value := record.get(key, 0.0)) is None else value for record in records] for key in _ENERGY]
        seconds, used, kg = map(sum, numbers)
        return Energy(seconds, used, kg, note=NOT_INSTALLED if np.isnan(used) else "")

    @property
    def remarks(self) -> list[str]:
        """The notes, and why energy was not measured where it was asked for."""
        return [*self.notes, *([self.energy.note] if self.energy and self.energy.note else [])]

    def spread(self, number: str) -> tuple[float, float]:
        """Return mean and standard deviation (of a sample) of a number over the folds; one fold has no deviation: NaN."""
        values = np.array([numbers[number] for numbers in self.numbers.values()])
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        _, deviation = (0.0, float("nan")) if self.measures else self.spread(self.headline)
        content = {
            "name": self.name,
            "done": sentence(self),
            "headline": {"name": self.headline, "value": self.measured[self.headline].value, "deviation_of_folds": deviation},
            "measures": {name: {"value": one.value, "interval_95": one.interval} for name, one in self.measured.items()},
            "pooled": self.pooled.to_dict() | {"numbers": self.pooled_numbers},
            "folds": {fold: results.to_dict() | {"numbers": self.numbers[fold]} for fold, results in self.folds.items()},
            "histories": self.histories,
            "model": self.model,
            "seconds": self.seconds,
            "energy": None if self.energy is None else self.energy.to_dict(),
            "published": {name: asdict(one) for name, one in self.published.items()},
            "notes": list(self.notes),
            "sizes": {fold: asdict(sizes) for fold, sizes in self.sizes.items()},
            "saved": self.saved,
        }
        return dict(plain(content))


@dataclass(frozen=True)
class Usage:
    """How to use a saved model: a command, lines of Python, and what to know."""

    command: str
    python: Sequence[str]
    note: str = ""


def sentence(section: Section) -> str:
    """Say in one sentence what was done."""
    results, folds = section.pooled, len(section.folds)
    aim = _AIMS[results.task].format(len(results.labels))
    name, tested = str(section.model.get("class", "The model")), f"{len(results.clips):,} clips"
    if not section.sizes:
        return f"{name} was tested on {tested}, to {aim}{f', in {folds} folds' if folds > 1 else ''}."
    train, validation = (_range([getattr(sizes, part) for sizes in section.sizes.values()]) for part in ("train", "validation"))
    chosen = "" if validation == "0" else f", its epoch was chosen on {validation} other clips"
    if folds > 1:
        return (
            f"{name} was trained {folds} times to {aim}, each time on {train} clips{chosen}, "
            f"and tested on the clips of the fold left out: {tested} in all."
        )
    return f"{name} was trained on {train} clips to {aim}{chosen}, and it was tested on {tested} that served neither."


def usage(section: Section) -> Usage | None:
    """Say how to use the saved model; nothing if none was saved."""
    if section.saved is None:
        return None
    folder = str(section.saved)
    last = "events = dcasekit.to_events(scores)" if section.pooled.task == "detection" else "labels = scores.top(3)"
    lines = (
        "import dcasekit",
        f"model = dcasekit.load({json.dumps(folder, ensure_ascii=False)})",
        '(scores,) = model.predict(["recording.wav"])',
        last,
    )
    note = "" if len(section.folds) == 1 else f"This is the model of the first of {len(section.folds)} folds; the others lie beside it."
    return Usage(f"dcasekit predict recording.wav --model {shlex.quote(folder)}", lines, note)


def facts(section: Section) -> list[Fact]:
    """List the main facts, the headline first."""
    results, model = section.pooled, section.model
    facts = _measures(section) if section.measures else _headline(section)
    if results.task == "classification":
        counts = [row["clips"] for row in results.table()]
        facts.append(Fact(percent(max(counts) / max(sum(counts), 1)), "guessing the commonest class"))
    facts += [Fact(percent(section.pooled_numbers[key]), name(key)) for key in section.rocs if key not in section.measures]
    facts.append(_clips(section))
    if model:
        size = [f"{model['parameters']:,} parameters"] if "parameters" in model else []
        size += [f"{si(model['macs'])} MACs"] if model.get("macs") else []
        facts.append(Fact(str(model.get("class", "model")), ", ".join(size)))
    facts += [Fact(duration(section.seconds), "run time")] if section.seconds >= 0 else []
    if (used := section.energy) is not None and not used.note:
        facts.append(Fact(kwh(used.kwh), f"to train, {co2e(used.kg_co2e)}"))
    return facts


def _measures(section: Section) -> list[Fact]:
    def known(key: str, one: Measure) -> str:
        return "" if np.isnan(one.interval[0]) else f", 95 % interval {span(one.interval, key)}"

    return [Fact(show(key, one.value), name(key) + known(key, one)) for key, one in section.measured.items()]


def _headline(section: Section) -> list[Fact]:
    results = section.pooled
    mean, _ = section.spread(results.headline)
    caption = name(results.headline) + (" in segments of 1 s" if results.headline == "f1/micro" else "")
    over = ""
    if len(section.folds) > 1:
        caption += f", mean of {len(section.folds)} folds, which deviate by ± {100 * section.spread(results.headline)[1]:.1f} points"
        over = f" of {percent(results.numbers[results.headline])} pooled"
    return [Fact(percent(mean), caption), Fact(span(results.interval), f"95 % interval{over}")]


def tables(section: Section) -> list[Table]:
    """Return every table of a section, in the order of reading; an empty one is left out."""
    settings = section.model.get("settings") or {}
    numbers = (_tabulate_published(section), _folds(section), _labels(section), _tabulate_confusions(section))
    return [table for table in (*numbers, *section.own_tables, settings_table("Model settings", settings)) if table.rows]


def _clips(section: Section) -> Fact:
    tested = f"{len(section.pooled.clips):,}"
    if not section.sizes:
        return Fact(tested, f"clips of {len(section.pooled.labels)} labels")
    parts = {
        "train": _range([sizes.train for sizes in section.sizes.values()]),
        "validate": _range([sizes.validation for sizes in section.sizes.values()]),
        "test": tested,
    }
    shown = {name: count for name, count in parts.items() if count != "0"}
    return Fact(" / ".join(shown.values()), f"clips to {', '.join(shown)}" + (" (all folds)" if len(section.folds) > 1 else ""))


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _rocs(results: Results) -> dict[str, psds.Roc]:
    """Compute the PSD-ROCs of a detection; of hard events one would be a point, and without any event there is none."""
    if results.task != "detection" or all(len(scores.values) == 1 for scores in results.scores):
        return {}
    try:
        return {name: results.psd_roc(setting) for name, setting in _PSDS.items()}
    except MetricError:
        return {}


def _numbers(results: Results, rocs: Mapping[str, psds.Roc]) -> dict[str, float]:
    wanted = _PSDS if results.task == "detection" else {}
    return results.numbers | {name: rocs[name].area if name in rocs else float("nan") for name in wanted}


def _tabulate_published(section: Section) -> Table:
    if len(section.measured) > 1 or section.measures:
        return set_beside(section.measured, section.published)
    number = section.headline
    rows = [(name, show(number, one.value), one.differs) for name, one in section.published.items()]
    ours = ("this run", show(number, section.measured[number].value), "mean of folds" if len(section.folds) > 1 else "")
    return Table(("system", name(number), "what differs"), [ours, *rows] if rows else [], title=PUBLISHED, highlight=(0,))


def set_beside(ours: Mapping[str, Measure], published: Mapping[str, Published], who: str = "this run") -> Table:
    """Set measures beside the published numbers of the same measure; the first is the headline."""
    rows: list[tuple[str, ...]] = []
    highlight = []
    for key, one in ours.items():
        highlight.append(len(rows))
        rows.append((name(key), who, show(key, one.value), span(one.interval, key), one.remark))
        same = {system: one for system, one in published.items() if (one.measure or next(iter(ours))) == key}
        rows += [(name(key), system, show(key, other.value), "", other.differs) for system, other in same.items()]
    return Table(("measure", "system", "value", "95 % interval", "what differs"), rows, title=PUBLISHED, highlight=highlight)


def _folds(section: Section) -> Table:
    keys, sizes = _FOLD_NUMBERS[section.pooled.task], section.sizes
    parts = [part for part in ("train", "validation") if any(getattr(one, part) for one in sizes.values())]
    columns = ("fold", *parts, "test" if parts else "clips", "95 % interval", *map(name, keys))
    blank = [""] * (len(parts) + 1)

    def row(fold: str, results: Results, numbers: Mapping[str, float]) -> tuple[str, ...]:
        own = [f"{getattr(sizes[fold], part):,}" if fold in sizes else "" for part in parts]
        return (fold, *own, f"{len(results.clips):,}", span(results.interval), *(show(key, numbers[key]) for key in keys))

    rows = [row(fold, results, section.numbers[fold]) for fold, results in section.folds.items()]
    if len(rows) > 1:
        spreads = [section.spread(key) for key in keys]
        rows.append(("mean", *blank, "", *(show(key, mean) for key, (mean, _) in zip(keys, spreads, strict=True))))
        rows.append(("± deviation", *blank, "", *(show(key, sd) for key, (_, sd) in zip(keys, spreads, strict=True))))
        rows.append(row("all clips pooled", section.pooled, section.pooled_numbers))
    return Table(columns, rows, title="Folds" if len(rows) > 1 else "Numbers")


def _labels(section: Section) -> Table:
    keys = PER_LABEL[section.pooled.task]
    rows = [(row["label"], f"{row['clips']:,}", *(show(key, row[key]) for key in keys)) for row in section.pooled.table()]
    return Table(("label", "clips", *map(name, keys)), rows, title="Numbers of each label")


def _tabulate_confusions(section: Section, count: int = 8) -> Table:
    """List the commonest confusions."""
    counts, labels = section.pooled.confusion, section.pooled.labels
    if counts is None:
        return Table((), [])
    wrong = counts * ~np.eye(len(labels), dtype=bool)
    pairs = [divmod(int(cell), len(labels)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:count]]
    rows = [(labels[i], labels[j], str(wrong[i, j]), percent(wrong[i, j] / counts[i].sum())) for i, j in pairs if wrong[i, j]]
    return Table(("true", "predicted", "clips", "of the true label"), rows, title=CONFUSED)
