"""Predict: send a recording, record one, or take a clip; see what a model says of it, and take that home."""

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, abort, g, request

from dcasekit.annotations import Clip, Event, annotation_formats, write_annotation
from dcasekit.app import _models, _parts
from dcasekit.app._page import read_query
from dcasekit.app._player import player, show, store
from dcasekit.app._site import UPLOADS, Site, duration
from dcasekit.containers.base import ModelContainer
from dcasekit.core.cells import parse_number
from dcasekit.core.tables import visible
from dcasekit.errors import DcasekitError
from dcasekit.scores import Scores, to_events

TITLE, ORDER = "Predict", 6
_MOST_EVENTS = 200  # in the table
_TOP = 5


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page; the query of the address names model, recording and threshold."""
    names = list(_models.models(site))
    threshold = parse_number(query.get("threshold", ""), otherwise=0.5)
    controls = [
        _parts.control("Model", dcc.Dropdown(names, query.get("model") or names[0], id="predict-model", clearable=False)),
        html.Div(
            [
                html.Label("Events are where the score is above", htmlFor="predict-threshold"),
                dcc.Slider(0, 1, 0.05, value=min(max(threshold, 0), 1), id="predict-threshold", marks={0: "0", 0.5: "0.5", 1: "1"}),
            ],
            className="control",
        ),
    ]
    return [
        html.Div(
            [
                html.Div(
                    [
                        _parts.card(
                            "Recording", html.Div(id="predict-send", className="send"), html.Div(id="predict-sent-list"), _choose()
                        ),
                        _parts.card("Model", *controls),
                    ],
                    className="stack",
                ),
                html.Div(
                    [
                        html.Section(
                            [html.Div(id="predict-head"), player("predict"), html.Div(id="predict-links")],
                            className="card" + " reserved" * ("clip" in query),
                        ),
                        html.Div(id="predict-answer", className="stack", **{"aria-live": "polite"}),
                    ],
                    className="stack",
                ),
            ],
            className="columns even",
        ),
        dcc.Store(id="predict-sent"),
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: uploads and choices change the address, and the address decides what is predicted."""
    app.clientside_callback(
        ClientsideFunction("dcasekit", "sending"), Output("predict-send", "title"), Input("predict-send", "id"), State("predict-sent", "id")
    )
    app.clientside_callback(
        ClientsideFunction("dcasekit", "chosen"),
        Output("address", "search", allow_duplicate=True),
        Input("predict-model", "value"),
        Input("predict-threshold", "value"),
        Input("predict-sent", "data"),
        State("address", "search"),
        prevent_initial_call=True,
    )

    @app.callback(Output("predict-sent-list", "children"), Input("address", "search"), Input("predict-sent", "data"))
    def sent(search: str, last: Any) -> Any:  # noqa: ARG001
        return _sent(site, read_query(search), g.session)

    @app.callback(
        *(Output(f"predict-{name}", "children") for name in ("head", "links", "answer")),
        Output(store("predict"), "data"),
        Input("address", "search"),
        State("address", "pathname"),
    )
    def answered(search: str, path: str) -> Any:
        """Have the model answer the recording that the address names."""
        query = read_query(search) if path == "/predict" else {}
        if not query.get("clip"):
            return _parts.empty("No recording yet", "Send a recording, record one, or choose a clip in Data."), [], [], None
        try:
            return _answer(site, query, g.session)
        except DcasekitError as error:
            return _parts.problem(_parts.without_paths(error, site)), [], [], None

    _register_download(app, site)


def _register_download(app: Dash, site: Site) -> None:
    @app.server.get("/sound/events")
    def download() -> Response:
        """Send the events as a file of an annotation format."""
        query, form = request.args.to_dict(), request.args.get("format", "")
        if form not in annotation_formats():
            abort(400)
        try:
            clip = site.clip(query.get("source", ""), query.get("clip", ""), g.session)
            events = to_events(_models.answer(_models.find(site, query.get("model", "")), clip), threshold=_threshold(query))
            return _file(clip, events, form)
        except DcasekitError:
            abort(404)


def _choose() -> Any:
    return html.P([html.Span("Or "), _parts.link("choose a clip of the server's data", {}, "/data"), html.Span(" and ask a model there.")])


def _file(clip: Clip, events: Sequence[Event], form: str) -> Response:
    name = f"{_name(clip).rpartition('/')[2].rpartition('.')[0] or 'events'}{annotation_formats()[form]}"
    with TemporaryDirectory() as folder:
        body = write_annotation(f"{folder}/events{annotation_formats()[form]}", events, format=form, duration=duration(clip)).read_bytes()
    response = Response(body, mimetype="application/octet-stream")
    response.headers.set("Content-Disposition", "attachment", filename=name.encode("ascii", "replace").decode().replace("?", "_"))
    return response


def _threshold(query: Mapping[str, str]) -> float:
    return min(max(parse_number(query.get("threshold", ""), otherwise=0.5), 0.0), 1.0)


def _name(clip: Clip) -> str:
    return clip.extra.get("name", clip.id) if len(clip.extra) == 1 else clip.id


def _sent(site: Site, query: Mapping[str, str], session: str) -> Any:
    clips = site.uploads(session)
    if not clips:
        return html.P("What you send is deleted when your session ends.", className="soft")
    rows = [
        (_parts.link(_name(clip), {**query, "source": UPLOADS, "clip": name}), _parts.seconds(clip.duration))
        for name, clip in reversed(clips.items())
    ]
    chosen = next((n for n, name in enumerate(reversed(clips)) if name == query.get("clip")), -1)
    return _parts.table(("Sent", "Length"), rows, label="Recordings you sent", numeric=(1,), chosen=chosen)


def _answer(site: Site, query: Mapping[str, str], session: str) -> tuple[Any, ...]:
    source, names = query.get("source", ""), _models.models(site)
    clip = site.clip(source, query["clip"], session)
    model_name = query.get("model") or next(iter(names))
    model = _models.find(site, model_name)
    scores, threshold = _models.answer(model, clip), _threshold(query)
    events = to_events(scores, threshold=threshold)
    asked = {"model": model_name, "source": source, "clip": clip.id, "threshold": threshold}
    downloads = [
        html.A(title, href=_parts.address({**asked, "format": form}, "/sound/events"), className="button", download="")
        for form, title in (("tsv", "TSV"), ("audacity", "Audacity"), ("raven", "Raven"), ("jams", "JAMS"))
        if form in annotation_formats()
    ]
    links = [html.Span("Download the events:", className="soft"), *downloads]
    return (
        html.H2(_name(clip)),
        html.Div(links, className="row"),
        [_top(model, scores), _events(events, threshold)],
        show(source, clip, model.labels, events=events if len(events) <= _MOST_EVENTS else (), scores=scores),
    )


def _top(model: ModelContainer, scores: Scores) -> html.Section:
    best = scores.top(_TOP, how="max" if model.task == "detection" else "mean")
    told = {"classification": "How sure the model is of each label", "tagging": "Score of each label"}
    colors = _parts.label_colors(model.labels)
    rows = [
        html.Li(
            [
                html.Span(visible(label), className="bar-name"),
                html.Span(html.Span(style={"width": f"{100 * value:.1f}%", "background": colors[label]}), className="bar"),
                html.Span(f"{value:.2f}", className="bar-count"),
            ]
        )
        for label, value in best
    ]
    return _parts.card(told.get(model.task, "Largest score of each label"), html.Ul(rows, className="bars plain"))


def _events(events: Sequence[Event], threshold: float) -> html.Section:
    if not events:
        return _parts.card("Events", html.P(f"No score is above {threshold:.2f}. Move the threshold down to see more.", className="soft"))
    rows = [(event.label, f"{event.onset:.2f}", f"{event.offset:.2f}", f"{event.weight:.2f}") for event in events[:_MOST_EVENTS]]
    more = [html.P(f"{len(events) - len(rows):,} more are in the files above.", className="soft")] if len(events) > len(rows) else []
    return _parts.card("Events", _parts.table(("Label", "From, s", "To, s", "Score"), rows, label="Events", numeric=(1, 2, 3)), *more)
