"""What stands around every view: head, navigation, and the way from an address to a view."""

import logging
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from dash import Dash, Input, Output, State, dcc, html, set_props

from dcasekit.app import _parts, _player
from dcasekit.app._site import Site
from dcasekit.errors import DcasekitError

_log = logging.getLogger(__name__)

INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>{%title%}</title>
    <link rel="icon" href="data:,">
    {%css%}
  </head>
  <body>
    <noscript>This application needs JavaScript.</noscript>
    {%app_entry%}
    {%config%}
    {%scripts%}
    {%renderer%}
  </body>
</html>"""


def install(app: Dash, site: Site, views: Mapping[str, ModuleType]) -> None:
    """Add the frame of all pages, and show the view that the address names; without a name, the first view."""
    first = next(iter(views))
    app.layout = _frame()

    @app.callback(
        Output("view", "children"),
        Output("navigation", "children"),
        Output("notice", "children"),
        Input("address", "pathname"),
        Input("again", "data"),
        State("address", "search"),
    )
    def show(path: str, again: float | None, search: str) -> tuple[Any, ...]:  # noqa: ARG001
        """Lay out the view of an address, and again when the browser says that its controls no longer are those of the address."""
        name = path.strip("/") or first
        links = [
            html.Span(
                dcc.Link(view.TITLE, href=f"/{each}", className="here" * (each == name)),
                **({"aria-current": "page"} if each == name else {}),
            )
            for each, view in views.items()
        ]
        if name not in views:
            return _parts.empty("There is no such page", "Choose one of the views above."), links, []
        try:
            return [html.H1(views[name].TITLE), *_parts.listed(views[name].layout(site, read_query(search)))], links, []
        except DcasekitError as error:
            return _parts.empty("Nothing to show yet", _parts.without_paths(error, site)), links, []

    _player.install(app)


def _frame() -> html.Div:
    return html.Div(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="again"),
            html.A("Skip to content", href="#view", className="skip"),
            html.Header(
                [dcc.Link("dcasekit", href="/", className="brand"), html.Nav(id="navigation", **{"aria-label": "Views"})],
                className="top",
            ),
            html.Div(id="notice"),
            html.Main(id="view", tabIndex="-1", className="view"),
        ]
    )


def explain(site: Site) -> Callable[[Exception], None]:
    """Return the handler of unexpected errors: the page says that there was one, and the log shows it."""

    def told(error: Exception) -> None:
        """Say it on the page; what is not one of our errors goes to the log as well."""
        if not isinstance(error, DcasekitError):
            _log.error("the application failed", exc_info=error)
        known = _parts.without_paths(error, site) if isinstance(error, DcasekitError) else "The server failed here; its log says how."
        set_props("notice", {"children": _parts.problem(known)})

    return told


def read_query(search: str | None) -> dict[str, str]:
    """Read the query of an address (after ``?``): name -> value; of several values for a name the first."""
    return {name: values[0] for name, values in parse_qs((search or "").lstrip("?")).items()}
