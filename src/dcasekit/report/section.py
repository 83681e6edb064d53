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
    """A published number of a system: its value, and how that system differs from this run, with the source.

    `measure` names the number of the section that it is compared with; ``None``: the headline.
    """

    value: float
    differs: str
    measure: str | None = None


@dataclass(frozen=True)
class Measure:
    """A value, its 95 % interval (NaN: unknown), and a remark on how it was computed."""

    value: float
    interval: tuple[float, float] = _UNKNOWN
    remark: str = ""


@dataclass(frozen=True)
class Sizes:
    """Number of clips that a model was trained on, and that its best epoch was chosen on."""

    train: int
    validation: int = 0


@dataclass(frozen=True)
class Section:
    """One experiment of a report: a model, tested on the folds of a data set.

    Parameters
    ----------
    name : heading of the section, e.g. ``"ESC-10"``.
    folds : fold -> results of its test clips; a single entry for a fixed split.
    histories : fold -> history of training, one dict per epoch with ``epoch`` and any of ``loss``, ``val_loss``, ``val_accuracy`` ...
    model : facts of the model, any of ``class``, ``parameters``, ``macs`` (for one window) and ``settings``.
    seconds : duration of training and evaluation; NaN: unknown.
    published : system -> its published number.
    notes : sentences, such as what differs from the published protocol or what was skipped.
    sizes : fold -> number of training and validation clips.
    saved : folder of the saved model (of the first fold); ``None``: it was not saved.
    measures : measure -> value, for recipes that measure in their own way. The first is the headline, instead of the task's main number.
    intervals : measure -> its 95 % interval, for those measures that have one.
    own_tables : further tables, e.g. of the data.

    Raises
    ------
    MetricError : an interval or a published number belongs to a measure that the section does not have.
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
        """The measures that are compared with published numbers: the headline, those of the recipe, and others that `published` names."""
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
        """Results of the test clips of all folds together."""
        return Results.pool(list(self.folds.values()))

    @cached_property
    def rocs(self) -> Mapping[str, psds.Roc]:
        """PSD-ROCs of all clips by name, ``psds1`` and ``psds2``; empty for other tasks than detection, or if no events are known."""
        return _rocs(self.pooled)

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        """Fold -> name -> number, for detection with ``psds1`` and ``psds2``; NaN: undefined."""
        return {fold: _numbers(one, self.rocs if one is self.pooled else _rocs(one)) for fold, one in self.folds.items()}

    @cached_property
    def pooled_numbers(self) -> Mapping[str, float]:
        """Name -> number, computed over the test clips of all folds together."""
        return _numbers(self.pooled, self.rocs)

    @cached_property
    def energy(self) -> Energy | None:
        """Electricity that training used, summed over the epochs; ``None``: it was not measured, see ``energy`` of `Training`."""
        records = [record for history in self.histories.values() for record in history if "kwh" in record]
        if not records:
            return None
        # In the history of a model that was loaded, what is unknown is None.
        numbers = [[math.nan if (value := record.get(key, 0.0)) is None else value for record in records] for key in _ENERGY]
        seconds, used, kg = map(sum, numbers)
        return Energy(seconds, used, kg, note=NOT_INSTALLED if np.isnan(used) else "")

    @property
    def remarks(self) -> list[str]:
        """The notes, and, if energy could not be measured, the reason."""
        return [*self.notes, *([self.energy.note] if self.energy and self.energy.note else [])]

    def spread(self, number: str) -> tuple[float, float]:
        """Return mean and sample standard deviation of a number over the folds; the deviation of a single fold is NaN."""
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
    """How to use a saved model: a command, lines of Python, and a note."""

    command: str
    python: Sequence[str]
    note: str = ""


def sentence(section: Section) -> str:
    """Describe the experiment in one sentence: the model, its task, and the clips."""
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
    """Describe how to use the saved model; ``None`` if it was not saved."""
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
    """Return the tables of a section in the order of the page; empty ones are left out."""
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
    """Make a table of measures, each followed by its published numbers; those that name no measure belong to the first."""
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
