"""A section of a report as a page shows it: a sentence, facts, cards of charts and tables, and clips to hear and see."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from dcasekit import plots
from dcasekit.core.tables import Table
from dcasekit.metrics import calibration
from dcasekit.plots.svg import SOFT, percent
from dcasekit.report.clips import examples
from dcasekit.report.pages import Card, bars_height, figure, picture, table_card
from dcasekit.report.score_page import roc_card
from dcasekit.report.section import CONFUSED, PUBLISHED, History, Measure, Published, Section, facts, sentence, tables, usage
from dcasekit.report.words import name, writer_for
from dcasekit.results import PER_LABEL, describe_left_out
from dcasekit.scores import pool

_NOT_CURVES = {"epoch", "seconds", "time", "lr", "learning_rate", "kwh", "kg_co2e"}
_MOST_LABELS = 60  # of a confusion matrix that can still be read; the bars then show the worst of them
_TALL = 24  # bars below each other; more are set in two columns
_HALF = 560  # pixels of half a page
_BROAD = 16  # labels of a confusion matrix in half the page
_TITLES = {"detection": "Clips from the worst to the best"}


def view(section: Section) -> dict[str, Any]:
    """Return all values that the template of a report shows of a section."""
    details = {table.title: table for table in tables(section)}
    published, numbers = details.pop(PUBLISHED, None), details.pop("Folds", None) or details.pop("Numbers")
    confused = details.pop(CONFUSED, None)
    cards = [*_curves(section.histories), *_matrix(section), *_bars(section)]
    cards += [table_card(confused)] if confused else []
    cards += [*_reliability(section), *(roc_card(name(key), roc) for key, roc in section.rocs.items())]
    broad = [card for card in cards if card.least_width > _HALF or len(card.pictures) > 1]
    return {
        "name": section.name,
        "sentence": sentence(section),
        "facts": facts(section),
        "left_out": describe_left_out(section.pooled.left_out),
        "first": [*_published_card(section, published), table_card(numbers)],
        "notes": section.remarks,
        "cards": [card for card in cards if card not in broad],
        "wide": broad,
        "examples": examples(section.pooled),
        "examples_title": _TITLES.get(section.pooled.task, "Most confident mistakes"),
        "timed": section.pooled.task == "detection",
        "usage": usage(section),
        "details": list(details.values()),
    }


def _published_card(section: Section, table: Table | None) -> list[Card]:
    return [] if table is None else [table_card(table, pictures=draw_published(section.measured, section.published, section.name))]


def draw_published(measured: Mapping[str, Measure], published: Mapping[str, Published], of: str, who: str = "this run") -> list[str]:
    """Draw a bar chart (SVG) for each measure that has published numbers; those that name no measure belong to the first."""
    charts = []
    for key, ours in measured.items():
        others = {system: one.value for system, one in published.items() if (one.measure or next(iter(measured))) == key}
        draw = partial(
            plots.label_bars,
            {who: ours.value} | others,
            name=name(key),
            intervals={who: ours.interval},
            colors=dict.fromkeys(others, (SOFT, 0.6)),
            write=writer_for(key),
        )
        title = f"{name(key)} of {who} and of published systems, {of}"
        charts += [figure(title, draw, height=bars_height(1 + len(others)))] if others else []
    return charts


def _curves(histories: Mapping[str, History]) -> list[Card]:
    """Draw one panel per quantity, four at most."""
    keys = dict.fromkeys(key for history in histories.values() for epoch in history for key in epoch)
    quantities = dict.fromkeys(key.removeprefix("val_").removeprefix("train_") for key in keys if key not in _NOT_CURVES)
    note = "Thin: one fold each. Thick: their mean, up to the end of the shortest." if len(histories) > 1 else ""

    def card(quantity: str) -> Card:
        draw = partial(plots.learning_curves, histories, quantity=quantity, name=name(quantity))
        return picture(f"Learning curve: {name(quantity)}", draw, note=note)

    return [card(quantity) for quantity in list(quantities)[:4]]


def _matrix(section: Section) -> list[Card]:
    counts, labels = section.pooled.confusion, section.pooled.labels
    if counts is None or len(labels) > _MOST_LABELS:
        return []
    size = 130 + min(38, (620 if len(labels) <= _BROAD else 900) // len(labels)) * len(labels)
    chart = figure(
        f"Confusion matrix of {section.name}",
        partial(plots.confusion_matrix, counts, labels),
        width=size + 40,
        height=size,
    )
    note = "Clips; shading is the share of the true label. Blue is right, orange is confused."
    broad = 900 if len(labels) > _BROAD else 520 if len(labels) > 6 else 0
    return [Card("Confusion matrix", [chart], note=note, height=size, least_width=broad)]


def _bars(section: Section) -> list[Card]:
    keys, rows = PER_LABEL[section.pooled.task], section.pooled.table()
    key = next((key for key in keys if not all(np.isnan(row[key]) for row in rows)), keys[0])  # without known times, that of tags
    shown = rows if len(rows) <= _MOST_LABELS else [row for row in rows if row["clips"]]
    shown = sorted(shown, key=lambda row: -row[key] if row["clips"] else 1)[-_MOST_LABELS:]
    values = {f"{row['label']} ({row['clips']:,})": row[key] for row in shown}
    own = plots.looks(section.pooled.labels)
    colors = {text: own[row["label"]].color for text, row in zip(values, shown, strict=True)}
    title = f"{name(key)[0].upper()}{name(key)[1:]} of each label"
    note = "In brackets: clips that hold the label." + (f" The {len(shown)} lowest of {len(rows)}." if len(rows) > len(shown) else "")
    halves = [list(values)] if len(values) <= _TALL else [list(values)[: (len(values) + 1) // 2], list(values)[(len(values) + 1) // 2 :]]
    charts = []
    for labels in halves:
        draw = partial(plots.label_bars, {label: values[label] for label in labels}, name=name(key), colors=colors, write=writer_for(key))
        charts.append(figure(f"{title}, {section.name}", draw, height=bars_height(len(labels))))
    return [Card(title, charts, note=note, height=bars_height(len(halves[0])))]


def _reliability(section: Section) -> list[Card]:
    """Draw how far scores are probabilities: of the answered label of a classification, of all tags."""
    results = section.pooled
    if results.task == "detection":
        return []
    truth, scores = results.truth, np.concatenate([pool(one, how="mean").values for one in results.scores])
    known = ~np.isnan(truth).any(axis=1) if results.task == "classification" else ~np.isnan(truth)
    there, found = truth[known], scores[known]
    if not there.size or found.min() < 0 or found.max() > 1:
        return []
    pairs = calibration.top_label(there, found) if results.task == "classification" else (there, found)
    curve = calibration.reliability(*pairs, bins=10)
    note = f"Dashed: scores that are probabilities. Larger dots: more scores. Expected calibration error {percent(curve.expected_error)}."
    return [picture("Calibration", partial(plots.reliability, curve), note=note)]
