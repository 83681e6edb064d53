"""Charts as Plotly reads them, in colours that are seen on light and dark pages. Plotly takes text for markup, so every text is escaped."""

import html as markup
from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from dcasekit.core.tables import visible

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7a7a7a"
PRIVATE = {"showSendToCloud": False, "plotlyServerURL": ""}  # of every chart: nothing leaves this machine
_AXIS = {"gridcolor": "#8884", "zeroline": False, "automargin": True, "fixedrange": True}


def text(given: str) -> str:
    """Escape a text so that Plotly shows it as it is."""
    return markup.escape(visible(given), quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis for Plotly; its title should name the unit."""
    return {**_AXIS, "title": {"text": title, "font": {"size": 13}}, **more}


def line(x: Sequence[float], y: Sequence[float], name: str, color: str, **more: Any) -> dict[str, Any]:
    """Return a line for Plotly."""
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": text(name), "line": {"color": color, "width": 2}, **more}


def figure(data: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any], **layout: Any) -> dict[str, Any]:
    """Return a figure for Plotly: traces on a pair of axes."""
    common = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 12, "t": 36, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
    }
    return {"data": list(data), "layout": {**common, "xaxis": dict(x), "yaxis": dict(y), **layout}}


def graph(name: str, made: Mapping[str, Any], *, says: str, height: int = 300, bar: bool = False) -> html.Div:
    """Show a figure in a box of fixed height, so that the page does not move when it appears.

    Parameters
    ----------
    name : id of the component.
    made : figure for Plotly.
    says : what the figure shows, for screen readers.
    height : height in pixels.
    bar : whether to show Plotly's buttons for selecting and zooming.
    """
    config = {"displayModeBar": bar, "displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["toImage", "autoScale2d"]}
    config |= PRIVATE
    return html.Div(
        dcc.Graph(id=name, figure=made, config=config, style={"height": f"{height}px"}),
        role="group",
        className="chart",
        **{"aria-label": says},
    )
