"""The systems of a report side by side, and the paired tests between them."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from dcasekit import plots
from dcasekit.core.tables import Table
from dcasekit.plots.svg import percent
from dcasekit.report.pages import Card, bars_height, figure, table_card
from dcasekit.report.section import Section
from dcasekit.report.words import duration, name, si, span
from dcasekit.results import Comparison

Pairs = Mapping[tuple[str, str], Comparison]


def pairs(sections: Sequence[Section]) -> Pairs:
    """Compare each section with each one after it by a paired test.

    Returns
    -------
    dict : (name, name) -> `Comparison`; empty unless all sections have the same clips, truth, task and labels.
    """
    results = [section.pooled for section in sections]
    same = all(one.clips == results[0].clips and np.array_equal(one.truth, results[0].truth) for one in results[1:])
    if not same or len({(one.task, one.labels) for one in results}) > 1:
        return {}
    return {(a.name, b.name): a.pooled.compare(b.pooled) for a, b in combinations(sections, 2)}


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple tests (S. Holm, "A simple sequentially rejective multiple test procedure", 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values)):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = least
    return adjusted


def to_dict(found: Pairs) -> list[dict[str, Any]]:
    """Return the tests as JSON values."""
    adjusted = holm([one.p for one in found.values()])
    return [
        {"first": a, "second": b, "difference": one.difference, "interval_95": one.interval, "p": one.p, "p_holm": p}
        for ((a, b), one), p in zip(found.items(), adjusted, strict=True)
    ]


def tables(sections: Sequence[Section], found: Pairs) -> list[Table]:
    """Return a table of the systems and one of the tests between them; nothing if there are no tests."""
    if not found:
        return []
    number = name(sections[0].pooled.headline)
    rows = [
        (
            section.name,
            percent(section.pooled.numbers[section.pooled.headline]),
            span(section.pooled.interval),
            f"{section.model['parameters']:,}" if "parameters" in section.model else "–",
            si(section.model["macs"]) if "macs" in section.model else "–",
            duration(section.seconds) if section.seconds >= 0 else "–",
        )
        for section in sections
    ]
    tests = [
        (
            f"{one['first']} minus {one['second']}",
            _points(one["difference"]),
            f"{_points(one['interval_95'][0])} to {_points(one['interval_95'][1])}",
            f"{one['p']:.3f}",
            f"{one['p_holm']:.3f}",
        )
        for one in to_dict(found)
    ]
    return [
        Table(("system", number, "95 % interval", "parameters", "MACs", "run time"), rows, title="Side by side"),
        Table(("systems", "points", "95 % interval", "p", "p, Holm"), tests, title="Paired tests on the same clips"),
    ]


def cards(sections: Sequence[Section], found: Pairs) -> list[Card]:
    """Return cards with both tables and a chart of the first; nothing if there are no tests."""
    if not found:
        return []
    number = name(sections[0].pooled.headline)
    values = {section.name: section.pooled.numbers[section.pooled.headline] for section in sections}
    draw = partial(plots.label_bars, values, name=number, intervals={section.name: section.pooled.interval for section in sections})
    chart = figure(f"{number} of each system", draw, height=bars_height(len(values)))
    first, second = tables(sections, found)
    note = (
        "All clips pooled. p: how often systems that do not differ would be as far apart, by swapping them on random clips 1000 times; "
        "Holm's is that of several tests at once."
    )
    return [table_card(first, pictures=[chart]), table_card(second, note=note)]


def _points(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:+.1f}"
