"""What `dcasekit score` found, as a page; and the PSD-ROC that every page of detection shows."""

from collections.abc import Sequence
from html import escape

import numpy as np

from dcasekit.metrics import psds
from dcasekit.report import html as _html
from dcasekit.report.charts import Bar, Line, bar_chart, line_chart, percent
from dcasekit.report.html import Table
from dcasekit.results.scoring import Material, Score

_MOST_LINES = 12  # labels of a PSD-ROC that can still be told apart


def score_page(title: str, scores: Sequence[Score], material: Material) -> str:
    """Make one self-contained page: the main numbers, a chart and a table per metric, PSD-ROCs where there are scores."""
    facts = [(number(one.metric, one.value), _caption(one)) for one in scores]
    seconds = sum(material.durations.values()) if material.durations else None
    counts = f"{len(material.reference):,} clips, {sum(map(len, material.reference.values())):,} events of {len(material.labels)} labels"
    head = f'<p class="soft">{escape(counts + (f", {_html.duration(seconds)} of audio" if seconds else ""))}</p>'
    cards = [_bars(one, material.labels) for one in scores]
    if material.scores is not None:
        for name, setting in (("PSDS1", psds.PSDS1), ("PSDS2", psds.PSDS2)):
            roc = psds.roc(material.reference, material.scores, material.durations or {}, **setting)
            cards.append(_html.card(f"PSD-ROC, {name}", roc_chart(roc, title=f"PSD-ROC, {name}"), note=ROC_NOTE))
    tables = "".join(_html.folded(one.metric, _table(one).html()) for one in scores)
    body = f'<section>{_html.tiles(facts)}<div class="cards">{"".join(cards)}</div>{tables}</section>'
    return _html.page(title, head, body, f"<p>{escape(HOW_TO_READ)}</p>")


HOW_TO_READ = (
    "Intervals are 95 % bootstrap intervals over clips. Metrics whose name begins with best choose each label's threshold on these "
    "very clips: they say what the scores are worth, not what a system with a fixed threshold gets. An interval of PSDS says where the "
    "PSDS of endless clips is: labels differ less there than by chance on few, so it may lie above the figure. A dash means undefined: "
    "the label does not occur."
)
ROC_NOTE = "Thin: one label each. Thick: their mean less its weighted standard deviation, whose area is the PSDS."


def roc_chart(roc: psds.Roc, *, title: str) -> str:
    """Draw a PSD-ROC as staircases up to its end."""
    own = list(roc.labels.items())[:_MOST_LINES]
    lines = [Line(label, _steps(x, y, roc.max_fp_per_hour), 1, faint=True) for label, (x, y) in own]
    lines.append(Line("all labels", _steps(roc.fp_per_hour, roc.tpr, roc.max_fp_per_hour)))
    return line_chart(lines, title=title, x="false alarms per hour")


def number(metric: str, value: float) -> str:
    """Write a metric's value: shares as percentages, error rates, which may exceed 1, as they are."""
    return ("–" if np.isnan(value) else f"{value:.3f}") if "error_rate" in metric else percent(value)


def _steps(x: np.ndarray, y: np.ndarray, end: float) -> list[tuple[float, float]]:
    corners = [(float(x[0]), float(y[0]))]
    for across, height in zip(x[1:], y[1:], strict=True):
        corners += [(float(across), corners[-1][1]), (float(across), float(height))]
    return [*corners, (float(end), corners[-1][1])]


def _caption(one: Score) -> str:
    low, high = one.interval
    return one.metric if np.isnan(low) else f"{one.metric}, 95 % interval {number(one.metric, low)} to {number(one.metric, high)}"


def _bars(one: Score, labels: Sequence[str]) -> str:
    kind = one.headline.partition("/")[0]
    found = [(label, one.numbers[f"{kind}/{label}"]) for label in labels if f"{kind}/{label}" in one.numbers]
    bars = [Bar(label, value, number(one.metric, value)) for label, value in found]
    title = f"{one.metric} of each label"
    return _html.card(title, bar_chart(bars, title=title)) if bars else ""


def _table(one: Score) -> Table:
    rows = [(name, f"{value:.4f}".replace("nan", "–")) for name, value in one.numbers.items()]
    return Table(one.metric, ("number", "value"), rows)
