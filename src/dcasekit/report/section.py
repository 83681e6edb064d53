"""One experiment of a report: what it holds, its main facts, its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dcasekit.report import html as _html
from dcasekit.report.charts import percent
from dcasekit.report.html import Table
from dcasekit.results import PER_LABEL, Results, plain

History = list[dict[str, float]]

_FOLD_NUMBERS = {
    "classification": ("accuracy", "accuracy/macro", "f1/macro"),
    "tagging": ("average_precision/macro", "auc/macro", "lwlrap", "f1/micro", "f1/macro"),
    "detection": ("f1/micro", "f1/macro", "error_rate/micro", "error_rate/macro", "clip/average_precision/macro"),
}
_NAMES = {
    "accuracy": "accuracy",
    "accuracy/macro": "mean recall of classes",
    "average_precision/macro": "mAP",
    "average_precision": "average precision",
    "auc": "AUC",
    "auc/macro": "AUC (macro)",
    "f1": "F1",
    "f1/micro": "F1 (micro)",
    "f1/macro": "F1 (macro)",
    "error_rate": "error rate",
    "error_rate/micro": "error rate (micro)",
    "error_rate/macro": "error rate (macro)",
    "clip/average_precision": "clip average precision",
    "clip/average_precision/macro": "clip mAP",
}
PUBLISHED, CONFUSED = "Beside published numbers", "Commonest confusions"  # tables that a page shows in a place of their own


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
    published : system -> (its number, of the same kind as the headline, and how it differs from this run, with source).
    notes : what differs from the published protocol, what was skipped.
    """

    name: str
    folds: Mapping[str, Results]
    histories: Mapping[str, History] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = float("nan")
    published: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @cached_property
    def pooled(self) -> Results:
        """All folds' clips as one test set."""
        return Results.pooled(list(self.folds.values()))

    def spread(self, number: str) -> tuple[float, float]:
        """Give mean and standard deviation (of a sample) of a number over the folds; one fold has no deviation: NaN."""
        values = np.array([results.numbers[number] for results in self.folds.values()])
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows."""
        mean, deviation = self.spread(self.pooled.headline)
        content = {
            "name": self.name,
            "headline": {"name": self.pooled.headline, "mean_of_folds": mean, "deviation_of_folds": deviation},
            "pooled": self.pooled.to_dict(),
            "folds": {name: results.to_dict() for name, results in self.folds.items()},
            "histories": self.histories,
            "model": self.model,
            "seconds": self.seconds,
            "published": {name: {"value": value, "differs": why} for name, (value, why) in self.published.items()},
            "notes": list(self.notes),
        }
        return dict(plain(content))


def facts(section: Section) -> list[tuple[str, str]]:
    """List the main facts as pairs of value and caption, the headline first."""
    results, model = section.pooled, section.model
    mean, deviation = section.spread(results.headline)
    caption = name(results.headline) + (" in segments of 1 s" if results.task == "detection" else "")
    over = ""
    if len(section.folds) > 1:
        caption += f", mean of {len(section.folds)} folds, which deviate by ± {100 * deviation:.1f} points"
        over = f" of {percent(results.numbers[results.headline])} pooled"
    facts = [(percent(mean), caption), (span(results.interval), f"95 % interval{over}")]
    if results.task == "classification":
        facts.append((percent(float(results.truth.mean(axis=0).max())), "guessing the commonest class"))
    facts.append((f"{len(results.clips):,}", f"clips of {len(results.labels)} labels"))
    if model:
        size = [f"{model['parameters']:,} parameters"] if "parameters" in model else []
        size += [f"{_html.si(model['macs'])} MACs"] if model.get("macs") else []
        facts.append((str(model.get("class", "model")), ", ".join(size)))
    return [*facts, (_html.duration(section.seconds), "run time")] if section.seconds >= 0 else facts


def tables(section: Section) -> list[Table]:
    """Give every table of a section, in the order of reading; an empty one is left out."""
    settings = section.model.get("settings") or {}
    tables = (_published(section), _folds(section), _labels(section), _confused(section), settings_table("Model settings", settings))
    return [table for table in tables if table.rows]


def _published(section: Section) -> Table:
    number = section.pooled.headline
    rows = [(name, percent(value), why) for name, (value, why) in section.published.items()]
    ours = ("this run", percent(section.spread(number)[0]), "mean of folds" if len(section.folds) > 1 else "")
    return Table(PUBLISHED, ("system", name(number), "what differs"), [ours, *rows] if rows else [], ours=0)


def _folds(section: Section) -> Table:
    keys = _FOLD_NUMBERS[section.pooled.task]
    columns = ("fold", "clips", "95 % interval", *map(name, keys))

    def row(name: str, results: Results) -> tuple[str, ...]:
        values = (show(key, results.numbers[key]) for key in keys)
        return (name, f"{len(results.clips):,}", span(results.interval), *values)

    rows = [row(name, results) for name, results in section.folds.items()]
    if len(rows) > 1:
        spreads = [section.spread(key) for key in keys]
        rows.append(("mean", "", "", *(show(key, mean) for key, (mean, _) in zip(keys, spreads, strict=True))))
        rows.append(("± deviation", "", "", *(show(key, sd) for key, (_, sd) in zip(keys, spreads, strict=True))))
        rows.append(row("all clips pooled", section.pooled))
    return Table("Folds" if len(rows) > 1 else "Numbers", columns, rows)


def _labels(section: Section) -> Table:
    keys = PER_LABEL[section.pooled.task]
    rows = [(row["label"], f"{row['clips']:,}", *(show(key, row[key]) for key in keys)) for row in section.pooled.table()]
    return Table("Numbers of each label", ("label", "clips", *map(name, keys)), rows)


def _confused(section: Section, count: int = 8) -> Table:
    """List the commonest confusions."""
    counts, labels = section.pooled.confusion, section.pooled.labels
    title, columns = CONFUSED, ("true", "predicted", "clips", "of the true label")
    if counts is None:
        return Table(title, columns, [])
    wrong = counts * ~np.eye(len(labels), dtype=bool)
    pairs = [divmod(int(cell), len(labels)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:count]]
    rows = [(labels[i], labels[j], str(wrong[i, j]), percent(wrong[i, j] / counts[i].sum())) for i, j in pairs if wrong[i, j]]
    return Table(title, columns, rows)


def settings_table(title: str, values: Mapping[str, Any]) -> Table:
    """Make a table of names and values."""
    return Table(title, ("name", "value"), [(str(name), _html.text(value)) for name, value in values.items()])


def name(key: str) -> str:
    """Say what a number is, in words."""
    return _NAMES.get(key, key)


def span(interval: tuple[float, float]) -> str:
    """Write an interval of shares."""
    return "–" if np.isnan(interval[0]) else f"{percent(interval[0])} to {percent(interval[1])}"


def show(key: str, value: float) -> str:
    """Write a number as its kind is written."""
    if "error_rate" in key:  # not a share: it may exceed 1
        return "–" if np.isnan(value) else f"{value:.3f}"
    return percent(value)
