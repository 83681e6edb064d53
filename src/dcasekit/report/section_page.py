"""A section of a report as a page: charts, and players of the most confident mistakes."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from dcasekit.report import html as _html
from dcasekit.report.charts import Bar, Line, bar_chart, heat_map, line_chart, percent, timeline
from dcasekit.report.html import Table
from dcasekit.report.score_page import ROC_NOTE, roc_chart
from dcasekit.report.section import CONFUSED, PUBLISHED, History, Section, facts, name, show, tables
from dcasekit.results import PER_LABEL, Results

_NOT_CURVES = {"epoch", "seconds", "time", "lr", "learning_rate"}
_MOST_LABELS = 60  # of a confusion matrix that can still be read; the bars then show the worst of them
_TALL = 24  # bars below each other; more are set in two columns


def section_html(section: Section, anchor: str) -> str:
    """Give a section as HTML."""
    details_of = {table.title: table for table in tables(section)}

    def take(*titles: str) -> str:
        """Make a card of the first of these tables that is there, and leave the others for the end."""
        found = next((details_of.pop(title) for title in titles if title in details_of), None)
        return _html.card(found.title, found.html(), wide=found.title != CONFUSED) if found else ""

    wide = "stack wide" if len(section.pooled.labels) > _TALL else "stack"
    curves = _curves(section.histories)
    matrix = _confusion_chart(section)
    # A single curve stands above the matrix, so that no half row stays empty.
    pictures = [*curves, matrix] if len(curves) != 1 or wide != "stack" else [f'<div class="stack">{curves[0]}{matrix}</div>']
    cards = (
        _published_chart(section, details_of.pop(PUBLISHED, None)),
        _html.card("What differs, what to know", _html.bullets(section.notes), wide=True),
        take("Folds", "Numbers"),
        *pictures,
        f'<div class="{wide}">{_label_chart(section)}{take(CONFUSED)}</div>',
        _roc(section.pooled),
        *_timelines(section.pooled),
        _html.card("Most confident mistakes", _mistakes(section.pooled), wide=True),
    )
    details = "".join(_html.folded(title, table.html()) for title, table in details_of.items())
    return (
        f'<section id="{anchor}"><h2>{escape(section.name)}</h2>{_html.tiles(facts(section))}'
        f'<div class="cards">{"".join(cards)}</div>{details}</section>'
    )


def _published_chart(section: Section, table: Table | None) -> str:
    if table is None:
        return ""
    number = section.pooled.headline
    mean, _ = section.spread(number)
    bars = [Bar("this run", mean, percent(mean), interval=section.pooled.interval)]
    bars += [Bar(name, value, percent(value), color=2) for name, (value, _) in section.published.items()]
    chart = bar_chart(bars, title=f"{name(number)} of this run and of published systems")
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
        title = f"Learning curve: {name(quantity)}"
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
    bars = [Bar(f"{row['label']} ({row['clips']:,})", row[key], show(key, row[key])) for row in shown]
    title = f"{name(key)[0].upper()}{name(key)[1:]} of each label"
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


def _roc(results: Results) -> str:
    """Draw the PSD-ROC of a detection; of hard events it would be one point, and without any event there is none."""
    if results.task != "detection" or not results.truth.any() or all(len(scores.values) == 1 for scores in results.scores):
        return ""
    curve = results.psd_roc()
    return _html.card("PSD-ROC, PSDS1", roc_chart(curve, title="PSD-ROC, PSDS1"), note=f"{ROC_NOTE} Here {percent(curve.area)}.")


def _mistakes(results: Results) -> str:
    parts = [
        f'<div class="clip">{_html.player(mistake.path, mistake.clip)}<p>'
        f'<span class="wrong">{escape(mistake.predicted)}</span> ({percent(mistake.confidence)}), '
        f"truly <b>{escape(mistake.true)}</b><br>"
        f'<span class="soft">{escape(mistake.clip)}</span></p></div>'
        for mistake in results.mistakes(6)
    ]
    return f'<div class="clips">{"".join(parts)}</div>' if parts else ""
