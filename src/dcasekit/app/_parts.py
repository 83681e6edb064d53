"""Pieces of pages. Texts of any origin are children, never markup, so nothing in them is obeyed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html

from dcasekit.app._site import Site
from dcasekit.core.tables import visible
from dcasekit.plots.looks import looks


def listed(children: Any) -> list[Any]:
    """Return one component, or several, as a list."""
    return list(children) if isinstance(children, list | tuple) else [children]


def card(title: str, *children: Any, wide: bool = False, name: str = "") -> html.Section:
    """Make a box with a title; `name` is the id of the component."""
    more = {"id": name} if name else {}
    return html.Section([*([html.H2(title)] if title else []), *children], className="card wide" if wide else "card", **more)


def tiles(facts: Mapping[str, Any]) -> html.Dl:
    """Show values, each with its name."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(str(value))]) for name, value in facts.items()], className="tiles")


def empty(title: str, text: str, *more: Any) -> html.Div:
    """Make a box for a page that is still empty; the text should say what to do next."""
    return html.Div([html.H2(title), html.P(visible(text)), *more], className="empty")


def problem(text: str) -> html.P:
    """Make a paragraph that says what went wrong."""
    return html.P(visible(text), className="problem", role="alert")


def control(label: str, made: Any, hint: str = "") -> html.Div:
    """Put a label above a control, and a hint below it."""
    told = [html.Small(hint, className="soft")] if hint else []
    return html.Div([html.Label(label, htmlFor=made.id if isinstance(made.id, str) else None), made, *told], className="control")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, label: str, numeric: Sequence[int] = (), chosen: int = -1) -> html.Div:
    """Make a table whose first column names the rows.

    Parameters
    ----------
    columns : titles of the columns.
    rows : rows of texts or components.
    label : what the table shows, for screen readers.
    numeric : positions of the columns that are aligned to the right.
    chosen : position of the row to highlight; -1: none.
    """
    sides = ["n" if number in numeric else "" for number in range(len(columns))]
    head = html.Thead(
        html.Tr([html.Th(name, scope="col", className=side, **{"data-name": name}) for name, side in zip(columns, sides, strict=True)])
    )
    body = [
        html.Tr(
            [
                html.Td(visible(cell) if isinstance(cell, str) else cell, className=side, **{"data-name": name})
                for cell, side, name in zip(row, sides, columns, strict=True)
            ],
            className="chosen" if number == chosen else "",
        )
        for number, row in enumerate(rows)
    ]
    return html.Div(html.Table([head, html.Tbody(body)], **{"aria-label": label}), className="scroll", tabIndex="0")


def link(text: str, query: Mapping[str, Any], path: str = "", **more: Any) -> dcc.Link:
    """Make a link to a view with a query; without a path, to the current view."""
    return dcc.Link(visible(text), href=address(query, path), **more)


def address(query: Mapping[str, Any], path: str = "") -> str:
    """Return the address of a view; empty values of the query are left out."""
    return f"{path}?{urlencode({name: str(value) for name, value in query.items() if value not in (None, '')}, errors='replace')}"


def bars(counts: Mapping[str, int], colors: Mapping[str, str], links: Mapping[str, str]) -> html.Ul:
    """Draw counts as bars with their names; each bar is a link to the clips that were counted."""
    most = max(counts.values(), default=0) or 1
    return html.Ul(
        [
            html.Li(
                dcc.Link(
                    [
                        html.Span(visible(name), className="bar-name"),
                        html.Span(html.Span(style={"width": f"{100 * count / most:.2f}%", "background": colors[name]}), className="bar"),
                        html.Span(f"{count:,}", className="bar-count"),
                    ],
                    href=links[name],
                )
            )
            for name, count in counts.items()
        ],
        className="bars",
    )


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """Return label -> colour, see `dcasekit.plots.looks`."""
    return {label: look.color for label, look in looks(labels).items()}


def seconds(value: float | None) -> str:
    """Format a duration in seconds; ``None``: unknown."""
    if value is None:
        return "-"
    return f"{value:.1f} s" if value < 60 else f"{value // 60:.0f} min {value % 60:.0f} s" if value < 3600 else f"{value / 3600:.1f} h"


def without_paths(error: Exception | str, site: Site) -> str:
    """Return the text of an error, or another text, without the paths of the server's folders."""
    text = str(error)
    for root in sorted({str(each) for source in site.sources.values() for each in (source.path, *site.roots)}, key=len, reverse=True):
        text = text.replace(root, "the folder")
    return text
