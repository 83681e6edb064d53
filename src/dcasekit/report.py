"""From results to something that can be read and checked: ``report.json``, ``report.md`` and ``report.html`` of a run."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import __version__, _html
from dcasekit._charts import Bar, Line, bar_chart, heat_map, line_chart, percent, timeline
from dcasekit._html import Table
from dcasekit.files import write_json, write_text
from dcasekit.results import PER_LABEL, Results, plain
from dcasekit.units import PathLike

History = list[dict[str, float]]

HOW_TO_READ = (
    "Intervals are 95 % bootstrap intervals over clips (1000 draws; the clips of one recording are drawn together where "
    "the recording is known). They tell how far a number would move with other test clips, not with another training run. "
    "± is the standard deviation between folds. A dash means undefined: the label does not occur, or was never predicted."
)

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
_PUBLISHED, _CONFUSED = "Beside published numbers", "Commonest confusions"  # tables that a page shows in a place of their own
_NOT_CURVES = {"epoch", "seconds", "time", "lr", "learning_rate"}
_MOST_LABELS = 60  # of a confusion matrix that can still be read; the bars then show the worst of them
_TALL = 24  # bars below each other; more are set in two columns


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


@dataclass(frozen=True)
class Report:
    """Settings, environment and results of a run.

    Parameters
    ----------
    title : of the page.
    settings : of the run, as given.
    sections : one or more experiments.
    environment : see `environment`.
    data : data set, its fingerprint, number of clips ...: what the run was fed with.
    """

    title: str
    settings: Mapping[str, Any]
    sections: Sequence[Section]
    environment: Mapping[str, str]
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows; undefined numbers are ``None``."""
        content = {
            "title": self.title,
            "settings": self.settings,
            "data": self.data,
            "environment": self.environment,
            "sections": [section.to_dict() for section in self.sections],
        }
        return dict(plain(content))

    def to_markdown(self) -> str:
        """Give the numbers as Markdown tables."""
        parts = [f"# {self.title}\n"]
        for section in self.sections:
            facts = "\n".join(f"- **{value}** {caption}".rstrip() for value, caption in _facts(section))
            notes = "\n".join(f"- {note}" for note in section.notes)
            parts += [f"## {section.name}\n", facts + "\n", f"### Notes\n\n{notes}\n" if notes else ""]
            parts += [table.markdown() for table in _tables(section)]
        parts += ["## Run\n", *(table.markdown() for table in self._about()), HOW_TO_READ + "\n"]
        return "\n".join(part for part in parts if part)

    def to_html(self) -> str:
        """Give one self-contained page: charts, tables, and players of the most confident mistakes."""
        facts = [self.environment.get("date", ""), *(f"{name} {_html.text(value)}" for name, value in self.data.items())]
        head = f'<p class="soft">{escape(" · ".join(filter(None, facts)))}</p>'
        if len(self.sections) > 1:
            links = (f'<a href="#s{index}">{escape(section.name)}</a>' for index, section in enumerate(self.sections))
            head += f"<nav aria-label='Sections'>{' · '.join(links)}</nav>"
        body = "".join(_section(section, f"s{index}") for index, section in enumerate(self.sections))
        about = "".join(_html.folded(table.title, table.html()) for table in self._about())
        return _html.page(self.title, head, f"{body}<section><h2>Run</h2>{about}</section>", f"<p>{escape(HOW_TO_READ)}</p>")

    def save(self, folder: PathLike) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; give back the path of the last.

        A clip whose audio cannot be read any more gets a note in place of a player.
        """
        folder = Path(folder)
        write_json(folder / "report.json", self.to_dict())
        write_text(folder / "report.md", self.to_markdown())
        return write_text(folder / "report.html", self.to_html())

    def _about(self) -> list[Table]:
        parts = (("Settings of the run", self.settings), ("Data", self.data), ("Environment", self.environment))
        return [_settings(title, values) for title, values in parts if values]


def environment() -> dict[str, str]:
    """Describe where a run takes place: versions, machine, date (UTC). PyTorch is named only if it is in use already."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "dcasekit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor,
        "cores": str(os.cpu_count() or "unknown"),
    }
    torch = sys.modules.get("torch")
    return found if torch is None else found | {"torch": str(torch.__version__)}


def _facts(section: Section) -> list[tuple[str, str]]:
    """List the main facts as pairs of value and caption, the headline first."""
    results, model = section.pooled, section.model
    mean, deviation = section.spread(results.headline)
    caption = _name(results.headline) + (" in segments of 1 s" if results.task == "detection" else "")
    over = ""
    if len(section.folds) > 1:
        caption += f", mean of {len(section.folds)} folds, which deviate by ± {100 * deviation:.1f} points"
        over = f" of {percent(results.numbers[results.headline])} pooled"
    facts = [(percent(mean), caption), (_range(results.interval), f"95 % interval{over}")]
    if results.task == "classification":
        facts.append((percent(float(results.truth.mean(axis=0).max())), "guessing the commonest class"))
    facts.append((f"{len(results.clips):,}", f"clips of {len(results.labels)} labels"))
    if model:
        size = [f"{model['parameters']:,} parameters"] if "parameters" in model else []
        size += [f"{_html.si(model['macs'])} MACs"] if model.get("macs") else []
        facts.append((str(model.get("class", "model")), ", ".join(size)))
    return [*facts, (_html.duration(section.seconds), "run time")] if section.seconds >= 0 else facts


def _tables(section: Section) -> list[Table]:
    """Give every table of a section, in the order of reading; an empty one is left out."""
    settings = section.model.get("settings") or {}
    tables = (_published(section), _folds(section), _labels(section), _confused(section), _settings("Model settings", settings))
    return [table for table in tables if table.rows]


def _published(section: Section) -> Table:
    number = section.pooled.headline
    rows = [(name, percent(value), why) for name, (value, why) in section.published.items()]
    ours = ("this run", percent(section.spread(number)[0]), "mean of folds" if len(section.folds) > 1 else "")
    return Table(_PUBLISHED, ("system", _name(number), "what differs"), [ours, *rows] if rows else [], ours=0)


def _folds(section: Section) -> Table:
    keys = _FOLD_NUMBERS[section.pooled.task]
    columns = ("fold", "clips", "95 % interval", *map(_name, keys))

    def row(name: str, results: Results) -> tuple[str, ...]:
        values = (_show(key, results.numbers[key]) for key in keys)
        return (name, f"{len(results.clips):,}", _range(results.interval), *values)

    rows = [row(name, results) for name, results in section.folds.items()]
    if len(rows) > 1:
        spreads = [section.spread(key) for key in keys]
        rows.append(("mean", "", "", *(_show(key, mean) for key, (mean, _) in zip(keys, spreads, strict=True))))
        rows.append(("± deviation", "", "", *(_show(key, sd) for key, (_, sd) in zip(keys, spreads, strict=True))))
        rows.append(row("all clips pooled", section.pooled))
    return Table("Folds" if len(rows) > 1 else "Numbers", columns, rows)


def _labels(section: Section) -> Table:
    keys = PER_LABEL[section.pooled.task]
    rows = [(row["label"], f"{row['clips']:,}", *(_show(key, row[key]) for key in keys)) for row in section.pooled.table()]
    return Table("Numbers of each label", ("label", "clips", *map(_name, keys)), rows)


def _confused(section: Section, count: int = 8) -> Table:
    """List the commonest confusions."""
    counts, labels = section.pooled.confusion, section.pooled.labels
    title, columns = _CONFUSED, ("true", "predicted", "clips", "of the true label")
    if counts is None:
        return Table(title, columns, [])
    wrong = counts * ~np.eye(len(labels), dtype=bool)
    pairs = [divmod(int(cell), len(labels)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:count]]
    rows = [(labels[i], labels[j], str(wrong[i, j]), percent(wrong[i, j] / counts[i].sum())) for i, j in pairs if wrong[i, j]]
    return Table(title, columns, rows)


def _settings(title: str, values: Mapping[str, Any]) -> Table:
    return Table(title, ("name", "value"), [(str(name), _html.text(value)) for name, value in values.items()])


def _section(section: Section, anchor: str) -> str:
    tables = {table.title: table for table in _tables(section)}

    def take(*titles: str) -> str:
        """Make a card of the first of these tables that is there, and leave the others for the end."""
        found = next((tables.pop(title) for title in titles if title in tables), None)
        return _html.card(found.title, found.html(), wide=found.title != _CONFUSED) if found else ""

    wide = "stack wide" if len(section.pooled.labels) > _TALL else "stack"
    curves = _curves(section.histories)
    matrix = _confusion_chart(section)
    # A single curve stands above the matrix, so that no half row stays empty.
    pictures = [*curves, matrix] if len(curves) != 1 or wide != "stack" else [f'<div class="stack">{curves[0]}{matrix}</div>']
    cards = (
        _published_chart(section, tables.pop(_PUBLISHED, None)),
        _html.card("What differs, what to know", _html.bullets(section.notes), wide=True),
        take("Folds", "Numbers"),
        *pictures,
        f'<div class="{wide}">{_label_chart(section)}{take(_CONFUSED)}</div>',
        *_timelines(section.pooled),
        _html.card("Most confident mistakes", _mistakes(section.pooled), wide=True),
    )
    details = "".join(_html.folded(title, table.html()) for title, table in tables.items())
    return (
        f'<section id="{anchor}"><h2>{escape(section.name)}</h2>{_html.tiles(_facts(section))}'
        f'<div class="cards">{"".join(cards)}</div>{details}</section>'
    )


def _published_chart(section: Section, table: Table | None) -> str:
    if table is None:
        return ""
    number = section.pooled.headline
    mean, _ = section.spread(number)
    bars = [Bar("this run", mean, percent(mean), interval=section.pooled.interval)]
    bars += [Bar(name, value, percent(value), color=2) for name, (value, _) in section.published.items()]
    chart = bar_chart(bars, title=f"{_name(number)} of this run and of published systems")
    return _html.card(table.title, f'<div class="halves"><div>{chart}</div>{table.html()}</div>', wide=True)


def _curves(histories: Mapping[str, History]) -> list[str]:
    """Draw one panel per quantity: training blue, validation orange, folds thin, their mean thick."""
    keys = dict.fromkeys(key for history in histories.values() for epoch in history for key in epoch)
    quantities = dict.fromkeys(key.removeprefix("val_").removeprefix("train_") for key in keys if key not in _NOT_CURVES)
    cards = []
    for quantity in list(quantities)[:4]:
        lines = []
        for color, (kind, names) in enumerate((("training", (quantity, f"train_{quantity}")), ("validation", (f"val_{quantity}",)))):
            lines += _fold_lines(histories, names, kind, color)
        note = "Thin: one fold each. Thick: their mean, up to the end of the shortest." if len(histories) > 1 else ""
        title = f"Learning curve: {_name(quantity)}"
        cards.append(_html.card(title, line_chart(lines, title=title, x="epoch"), note=note))
    return cards


def _fold_lines(histories: Mapping[str, History], names: Sequence[str], kind: str, color: int) -> list[Line]:
    folds = {}
    for fold, history in histories.items():
        points = [
            (float(epoch.get("epoch", index)), float(epoch[name]))
            for index, epoch in enumerate(history, 1)
            for name in names
            if epoch.get(name) is not None
        ]
        if points:
            folds[fold] = points
    if len(folds) < 2:
        return [Line(kind, points, color) for points in folds.values()]
    mean = [(at[0][0], float(np.mean([y for _, y in at]))) for at in zip(*folds.values(), strict=False)]
    return [*(Line(f"{fold}, {kind}", points, color, faint=True) for fold, points in folds.items()), Line(kind, mean, color)]


def _confusion_chart(section: Section) -> str:
    counts, labels = section.pooled.confusion, section.pooled.labels
    if counts is None or len(labels) > _MOST_LABELS:
        return ""
    chart = heat_map(counts, labels, title=f"Confusion matrix of {section.name}")
    note = "Clips; shading is the share of the true label. Blue is right, orange is confused."
    return _html.card("Confusion matrix", f'<div class="scroll">{chart}</div>', note=note, wide=len(labels) > 16)


def _label_chart(section: Section) -> str:
    key, rows = PER_LABEL[section.pooled.task][0], section.pooled.table()
    shown = rows if len(rows) <= _MOST_LABELS else [row for row in rows if row["clips"]]
    shown = sorted(shown, key=lambda row: -row[key] if row["clips"] else 1)[-_MOST_LABELS:]
    bars = [Bar(f"{row['label']} ({row['clips']:,})", row[key], _show(key, row[key])) for row in shown]
    title = f"{_name(key)[0].upper()}{_name(key)[1:]} of each label"
    note = "In brackets: clips that hold the label." + (f" The {len(shown)} lowest of {len(rows)}." if len(rows) > len(shown) else "")
    columns = [bars] if len(bars) <= _TALL else [bars[: (len(bars) + 1) // 2], bars[(len(bars) + 1) // 2 :]]
    charts = "".join(f"<div>{bar_chart(column, title=f'{title}, {section.name}')}</div>" for column in columns)
    return _html.card(title, f'<div class="halves">{charts}</div>', note=note)


def _timelines(results: Results) -> list[str]:
    keys = '<span class="key k0"></span>reference &nbsp; <span class="key k1"></span>estimate'
    return [
        _html.card(
            example.clip,
            timeline(example.reference, example.estimate, duration=example.duration, title=f"Events in {example.clip}"),
            note=f"{keys} &nbsp; F1 of this clip {percent(example.f1)}",
        )
        for example in results.examples(4)
    ]


def _mistakes(results: Results) -> str:
    parts = [
        f'<div class="clip">{_html.player(mistake.path, mistake.clip)}<p>'
        f'<span class="wrong">{escape(mistake.predicted)}</span> ({percent(mistake.confidence)}), '
        f"truly <b>{escape(mistake.true)}</b><br>"
        f'<span class="soft">{escape(mistake.clip)}</span></p></div>'
        for mistake in results.mistakes(6)
    ]
    return f'<div class="clips">{"".join(parts)}</div>' if parts else ""


def _name(key: str) -> str:
    return _NAMES.get(key, key)


def _range(interval: tuple[float, float]) -> str:
    return "–" if np.isnan(interval[0]) else f"{percent(interval[0])} to {percent(interval[1])}"


def _show(key: str, value: float) -> str:
    if "error_rate" in key:  # not a share: it may exceed 1
        return "–" if np.isnan(value) else f"{value:.3f}"
    return percent(value)
