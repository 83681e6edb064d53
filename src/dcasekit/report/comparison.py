"""The systems of a report side by side, and the paired tests between them."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dcasekit.report import html as _html
from dcasekit.report.charts import Bar, bar_chart, percent
from dcasekit.report.html import Table
from dcasekit.report.section import Section, name, span
from dcasekit.results import Comparison

Pairs = Mapping[tuple[str, str], Comparison]


def pairs(sections: Sequence[Section]) -> Pairs:
    """Compare each section with each one after it, if all speak of the same clips; else nothing."""
    results = [section.pooled for section in sections]
    same = all(one.clips == results[0].clips and np.array_equal(one.truth, results[0].truth) for one in results[1:])
    if not same or len({(one.task, one.labels) for one in results}) > 1:
        return {}
    return {(a.name, b.name): a.pooled.compare(b.pooled) for a, b in combinations(sections, 2)}


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p-values for being several (S. Holm, "A simple sequentially rejective multiple test procedure", 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values)):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = least
    return adjusted


def to_dict(found: Pairs) -> list[dict[str, Any]]:
    """Give the tests as what JSON knows."""
    adjusted = holm([one.p for one in found.values()])
    return [
        {"first": a, "second": b, "difference": one.difference, "interval_95": one.interval, "p": one.p, "p_holm": p}
        for ((a, b), one), p in zip(found.items(), adjusted, strict=True)
    ]


def tables(sections: Sequence[Section], found: Pairs) -> list[Table]:
    """Give the systems, and the tests between them; nothing without tests."""
    if not found:
        return []
    number = name(sections[0].pooled.headline)
    rows = [
        (
            section.name,
            percent(section.pooled.numbers[section.pooled.headline]),
            span(section.pooled.interval),
            f"{section.model['parameters']:,}" if "parameters" in section.model else "–",
            _html.si(section.model["macs"]) if "macs" in section.model else "–",
            _html.duration(section.seconds) if section.seconds >= 0 else "–",
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
        Table("Side by side", ("system", number, "95 % interval", "parameters", "MACs", "run time"), rows),
        Table("Paired tests on the same clips", ("systems", "points", "95 % interval", "p", "p, Holm"), tests),
    ]


def html(sections: Sequence[Section], found: Pairs) -> str:
    """Give both tables and a picture of the first as HTML; nothing without tests."""
    if not found:
        return ""
    bars = []
    for section in sections:
        value = section.pooled.numbers[section.pooled.headline]
        bars.append(Bar(section.name, value, percent(value), interval=section.pooled.interval))
    chart = bar_chart(bars, title=f"{name(sections[0].pooled.headline)} of each system")
    first, second = tables(sections, found)
    note = (
        "All clips pooled. p: how often systems that do not differ would be as far apart, by swapping them on random clips 1000 times; "
        "Holm's is that of several tests at once."
    )
    cards = _html.card(first.title, f'<div class="stack">{chart}{first.html()}</div>', wide=True)
    cards += _html.card(second.title, second.html(), note=note, wide=True)
    return f'<section><h2>Comparison</h2><div class="cards">{cards}</div></section>'


def _points(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:+.1f}"
