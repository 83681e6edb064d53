"""The confusion matrix: a table of links, or, of many labels, a picture and a list of its largest cells."""

import math
from typing import Any

import numpy as np
from dash import html

from dcasekit.app import _charts, _parts
from dcasekit.app._answers import Answers
from dcasekit.core.tables import visible

MOST_CELLS = 20  # labels of a table; every link takes a browser a millisecond
_CONFUSIONS = 15


def matrix(answers: Answers) -> Any:
    """Make the confusion matrix of a few labels, as a table of links."""
    results = answers.results
    counts = results.confusion
    if counts is None or len(results.labels) > MOST_CELLS:
        return []
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def cell(i: int, j: int) -> html.Td:
        """Make a cell: its count, which leads to its clips."""
        if not counts[i, j]:
            return html.Td("")
        true, said = results.labels[i], results.labels[j]
        says = f"true {visible(true)}, predicted {visible(said)}: {counts[i, j]} clips"
        link = _parts.link(str(counts[i, j]), {"run": answers.key, "true": true, "said": said}, title=says)
        strength = f"color-mix(in srgb, var(--{'c0' if i == j else 'c1'}) {10 + 45 * share[i, j]:.0f}%, var(--paper))"
        return html.Td(link, style={"background": strength})

    head = [html.Th("", scope="col"), *(html.Th(html.Span(visible(label)), scope="col", className="turned") for label in results.labels)]
    rows = [
        html.Tr([html.Th(visible(label), scope="row"), *(cell(i, j) for j in range(len(counts)))]) for i, label in enumerate(results.labels)
    ]
    made = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="matrix", **{"aria-label": "Confusion matrix"})
    return html.Div(made, className="scroll", tabIndex="0")


def picture(answers: Answers) -> dict[str, Any]:
    """Draw the confusion matrix of many labels, as a figure for Plotly."""
    results, counts = answers.results, answers.results.confusion
    if counts is None or len(results.labels) <= MOST_CELLS:
        return _charts.figure([], _charts.axis(""), _charts.axis(""))
    names = [_charts.text(label) for label in results.labels]
    share = np.where(counts > 0, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.nan)
    signed = np.where(np.eye(len(names), dtype=bool), share, -share)  # right above 0, confused below
    cells = {
        "type": "heatmap",
        "z": [[None if math.isnan(value) else round(value, 3) for value in row] for row in signed.tolist()],
        "x": list(range(len(names))),
        "y": list(range(len(names))),
        "text": [
            [f"true {true}<br>predicted {said}<br>{counts[i, j]} clips" for j, said in enumerate(names)] for i, true in enumerate(names)
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "zmin": -1,
        "zmax": 1,
        "colorscale": [[0, _charts.ORANGE], [0.499, "rgba(213,94,0,0.12)"], [0.5, "rgba(0,114,178,0.12)"], [1, _charts.BLUE]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }
    ticks = {
        "tickmode": "array",
        "tickvals": cells["x"],
        "ticktext": [name[:24] for name in names],
        "tickfont": {"size": 10},
        "showgrid": False,
    }
    across = _charts.axis("predicted", **ticks, tickangle=-90)
    return _charts.figure([cells], across, _charts.axis("true", **ticks, autorange="reversed"))


def confusions(answers: Answers) -> Any:
    """List the most frequent confusions between many labels."""
    results, counts = answers.results, answers.results.confusion
    if counts is None or len(results.labels) <= MOST_CELLS:
        return []
    wrong = counts * ~np.eye(len(results.labels), dtype=bool)
    pairs = [divmod(int(cell), len(results.labels)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]]
    rows = [
        (
            _parts.link(results.labels[i], {"run": answers.key, "true": results.labels[i], "said": results.labels[j]}),
            results.labels[j],
            f"{wrong[i, j]:,}",
        )
        for i, j in pairs
        if wrong[i, j]
    ]
    return _parts.table(("True", "Predicted", "Clips"), rows, label="Commonest confusions", numeric=(2,))
