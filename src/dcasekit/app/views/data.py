"""Data: what a dataset holds, its clips in a table, one clip large."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from dcasekit.annotations import Clip
from dcasekit.app import _parts
from dcasekit.app._page import read_query
from dcasekit.app._player import player, show, store
from dcasekit.app._site import Site, Source, duration, labels_of
from dcasekit.app._table import ROWS, read_filters
from dcasekit.errors import DatasetError, DcasekitError

TITLE, ORDER = "Data", 1
_CONTROLS = ("source", "q", "label", "fold", "min", "max")


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page; the query of the address decides what it shows."""
    source = site.source(query.get("source"))
    return [
        _controls(site, source, query),
        html.Div(
            [
                html.Div(
                    [
                        _parts.card(
                            "",
                            html.Div(
                                [html.Div(id="data-clip-head"), player("data"), html.Div(id="data-clip-facts")],
                                className="reserved" if "clip" in query else "",
                            ),
                            name="data-clip",
                        ),
                        _parts.card("Clips", html.Div(id="data-table"), dcc.Store(id="data-drawn")),
                    ],
                    className="stack",
                ),
                html.Div(_facts(source), className="stack"),
            ],
            className="columns",
        ),
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: controls change the address, and the address decides what is shown."""
    app.clientside_callback(
        ClientsideFunction("clips", "search"),
        Output("address", "search", allow_duplicate=True),
        *(Input(f"data-{name}", "value") for name in _CONTROLS),
        State("address", "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("clips", "show"),
        Output("data-drawn", "data"),
        *(Output(f"data-{name}", "value", allow_duplicate=True) for name in _CONTROLS),
        Input("address", "search"),
        State("address", "pathname"),
        *(State(f"data-{name}", "value") for name in _CONTROLS),
        prevent_initial_call="initial_duplicate",
    )

    @app.callback(
        Output("data-clip-head", "children"),
        Output(store("data"), "data"),
        Output("data-clip-facts", "children"),
        Input("address", "search"),
        State("address", "pathname"),
    )
    def clip(search: str, path: str) -> Any:  # noqa: ARG001
        """Show the clip that the address names: what stands above and below the player, and what it plays."""
        query = read_query(search)
        source = site.source(query.get("source"))
        found = source.by_id.get(query.get("clip", ""))
        if found is None:
            return _parts.empty("No clip chosen", "Choose one in the table to hear it and see its spectrum."), None, []
        return _head(source, found, query), show(source.key, found, source.dataset.labels), _about(found)


def _controls(site: Site, source: Source, query: Mapping[str, str]) -> html.Div:
    dataset = source.dataset
    number = {"type": "number", "min": 0, "step": "any", "debounce": True, "disabled": not source.measurable}
    return html.Div(
        [
            _parts.control("Dataset", dcc.Dropdown(_options(site), source.key, id="data-source", clearable=False)),
            _parts.control(
                "Search", dcc.Input(id="data-q", type="search", value=query.get("q", ""), placeholder="part of a name", debounce=0.15)
            ),
            _parts.control("Label", dcc.Dropdown(list(dataset.labels), query.get("label") or None, id="data-label", placeholder="any")),
            _parts.control("Fold", dcc.Dropdown(list(dataset.present_folds), query.get("fold") or None, id="data-fold", placeholder="any")),
            _parts.control("At least, s", dcc.Input(id="data-min", value=query.get("min", ""), **number)),
            _parts.control("At most, s", dcc.Input(id="data-max", value=query.get("max", ""), **number)),
        ],
        className="controls",
        role="search",
    )


def _options(site: Site) -> list[dict[str, str]]:
    return [{"label": source.title, "value": source.key} for source in site.sources.values()]


def _labels(clip: Clip) -> str:
    labels = labels_of(clip)
    return "unknown" if labels is None else ", ".join(labels) or "none"


@lru_cache(16)
def _facts(source: Source) -> list[Any]:
    dataset, clips = source.dataset, source.clips
    known = [clip.duration for clip in clips if clip.duration is not None]
    facts = {
        "clips": f"{len(clips):,}",
        "labels": f"{len(dataset.labels):,}",
        "folds": len(dataset.present_folds),
        "groups": f"{len({clip.group or clip.id for clip in clips}):,}",
        **({"in all": _parts.seconds(sum(known))} if known else {}),
    }
    balance = source.balance
    links = {label: _parts.address({"source": source.key, "label": label}) for label in balance}
    return [
        _parts.card(source.title, html.P(f"{dataset.name}, {dataset.task}", className="soft"), _parts.tiles(facts)),
        _parts.card("Clips of each label", _parts.bars(balance, _parts.label_colors(dataset.labels), links)),
        _parts.card("Splits", *_splits(source)),
    ]


def _splits(source: Source) -> list[Any]:
    dataset, rows = source.dataset, []
    for fold in dataset.protocol.rounds(dataset.present_folds):
        try:
            split = dataset.split(fold)
        except DatasetError:  # only a part of the dataset is there
            continue
        rows.append((fold, f"{len(split.train):,}", f"{len(split.validation):,}", f"{len(split.test):,}"))
    if not rows:
        return [html.P("There are too few folds here to train on some and test on another.", className="soft")]
    return [_parts.table(("Test fold", "Train", "Validate", "Test"), rows, label="Clips of each split", numeric=(1, 2, 3))]


def _head(source: Source, clip: Clip, query: Mapping[str, str]) -> html.Div:
    found = source.search(read_filters(query))
    place = next((number for number, each in enumerate(found) if each.id == clip.id), None)
    steps = []
    if place is not None:
        for text, other in (("Previous", place - 1), ("Next", place + 1)):
            if 0 <= other < len(found):
                steps.append(_parts.link(text, {**query, "clip": found[other].id, "page": other // ROWS + 1}, className="button"))
    steps.append(_parts.link("Ask a model", {"source": source.key, "clip": clip.id}, "/predict", className="button"))
    return html.Div([html.H2(clip.id), html.Div(steps, className="row")], className="clip-head")


def _about(clip: Clip) -> html.Dl:
    try:
        length = _parts.seconds(duration(clip))
    except DcasekitError:
        length = "-"
    facts = {"labels": _labels(clip), "length": length, "fold": clip.fold, "group": clip.group, **clip.extra}
    facts |= {} if clip.channel is None else {"channel": str(clip.channel)}
    return _parts.tiles({name: value for name, value in facts.items() if value})
