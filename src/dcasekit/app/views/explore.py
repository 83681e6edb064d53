"""Explore: clips as points, by what a layer of a model or a feature makes of them; find what lies wrong, and relabel it."""

import importlib.util
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from dash import ClientsideFunction, Dash, Input, Output, Patch, State, dcc, html, no_update

from dcasekit.annotations import Clip
from dcasekit.app import _answers, _charts, _models, _parts
from dcasekit.app._answers import Answers
from dcasekit.app._page import read_query
from dcasekit.app._player import player, show, store
from dcasekit.app._scatter import COLORINGS, draw, ring
from dcasekit.app._site import Site, Source, labels_of
from dcasekit.app._vectors import Cloud, Job, VectorOf, Vectors, name_audio
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.projection import layer_vectors, nearest
from dcasekit.core import discover
from dcasekit.core.tables import visible
from dcasekit.core.units import FloatArray
from dcasekit.errors import DcasekitError, ModelError

TITLE, ORDER = "Explore", 2
_METHODS = {"pca": ("PCA", ""), "tsne": ("t-SNE", "sklearn"), "umap": ("UMAP", "umap")}
_AMOUNTS = (500, 2000, 10_000, 100_000)
_ALIKE, _LISTED, _OFFERED = 8, 200, 5000
_CONTROLS = ("source", "of", "layer", "method", "color", "most", "clip")


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page; the query of the address decides what it shows."""
    source = site.source(query.get("source"))
    return [
        _controls(site, source, query),
        html.Div(
            [
                _parts.card("", *_picture(source)),
                html.Div(
                    [
                        _parts.card("", html.Div(id="explore-head"), player("explore"), html.Div(id="explore-alike")),
                        _parts.card("Chosen with the lasso", html.Div(id="explore-list"), *_form(source)),
                    ],
                    className="stack",
                ),
            ],
            className="columns even",
        ),
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: controls decide the points, a click on a point the clip, and a lasso the list of clips."""
    app.clientside_callback(
        ClientsideFunction("judging", "search"),
        Output("address", "search", allow_duplicate=True),
        *(Input(f"explore-{name}", "value") for name in _CONTROLS),
        State("address", "search"),
        prevent_initial_call=True,
    )

    vectors = Vectors(site.runs / ".app" / "vectors")

    def job(source: Source, of: str, layer: str | None, method: str, most: str) -> Job:
        clips, name = _some(source, int(most))
        return vectors.ask(f"{of} {layer} {_changed(site, of)} {name}", clips, method, lambda: _make(site, of, layer))

    _register_layers(app, site)
    _register_points(app, site, job)
    _register_clip(app, site, job)
    _register_lasso(app, site)


def _register_layers(app: Dash, site: Site) -> None:
    @app.callback(
        Output("explore-layer", "options"), Output("explore-layer", "value"), Input("explore-of", "value"), State("explore-layer", "value")
    )
    def layers(of: str, layer: str | None) -> Any:
        """Offer the layers of what the clips are seen by; of a feature there are none."""
        if of.startswith("feature:"):
            return [], None
        try:
            model = _model(site, of)
            return list(model.layers()), layer if layer in model.layers() else _last(model)
        except DcasekitError as error:
            return [{"label": visible(str(error))[:200], "value": "none"}], "none"


def _register_points(app: Dash, site: Site, job: Any) -> None:
    @app.callback(
        Output("explore-state", "children"),
        Output("explore-tick", "disabled"),
        Output("explore-ready", "data"),
        Input("explore-tick", "n_intervals"),
        *(Input(f"explore-{name}", "value") for name in _CONTROLS[:-1]),
        Input("explore-told", "children"),
    )
    def look(_: int, key: str, of: str, layer: str | None, method: str, color: str, most: str, told: str) -> Any:  # noqa: ARG001, PLR0913
        """Say how far the points are. They are drawn by a callback of its own: what is asked twice a second must be answered at once."""
        if not layer and not of.startswith("feature:"):
            return "Reading the model ...", False, no_update
        source = site.source(key)
        try:
            found = job(source, of, layer, method, most)
            if not found.cloud.done():
                return _progress(found), False, no_update
            said: Any = _said(found.cloud.result(), source)
        except DcasekitError as error:
            said = _parts.problem(_parts.without_paths(error, site))
        return said, True, [key, of, layer, method, color, most, _answers.version(source)]

    @app.callback(
        Output("explore-points", "figure"),
        Output("explore-clip", "options"),
        Input("explore-ready", "data"),
        State("explore-clip", "value"),
    )
    def points(ready: Sequence[Any] | None, chosen: str | None) -> Any:
        """Draw the points that are there."""
        if not ready:
            return no_update, no_update
        key, of, layer, method, color, most, _ = ready
        source = site.source(key)
        cloud = _cloud(job, source, of, layer, method, most)
        answers = _answers_of(site, of) if cloud else None
        offered = [clip.id for clip in cloud.clips[:_OFFERED]] if cloud else []
        return draw(cloud, source, color, answers, chosen), offered if chosen in (None, *offered) else [*offered, chosen]


def _register_clip(app: Dash, site: Site, job: Any) -> None:
    for way, given in (("click", Input("explore-points", "clickData")), ("follow", Input("address", "search"))):
        app.clientside_callback(
            ClientsideFunction("judging", way),
            Output("explore-clip", "value", allow_duplicate=True),
            Output("explore-clip", "options", allow_duplicate=True),
            given,
            State("explore-clip", "value"),
            State("explore-clip", "options"),
            State("address", "pathname"),
            prevent_initial_call=True,
        )

    @app.callback(
        Output("explore-head", "children"),
        Output(store("explore"), "data"),
        Input("explore-clip", "value"),
        State("explore-source", "value"),
    )
    def clip(name: str | None, key: str) -> Any:
        """Show and play the clip that was chosen."""
        source = site.source(key)
        found = source.by_id.get(name or "")
        if found is None:
            return _parts.empty("No clip chosen", "Click a point to hear it and to see what is like it."), None
        head = html.Div([html.H2(found.id), html.Span(_labels(source, found), className="soft")], className="clip-head")
        return head, show(source.key, found, source.dataset.labels, play=True)

    _register_alike(app, site, job)


def _register_alike(app: Dash, site: Site, job: Any) -> None:
    @app.callback(
        Output("explore-alike", "children"),
        Output("explore-points", "figure", allow_duplicate=True),
        Input("explore-clip", "value"),
        Input("explore-tick", "disabled"),
        *(State(f"explore-{name}", "value") for name in _CONTROLS[:-1]),
        State("address", "search"),
        prevent_initial_call="initial_duplicate",
    )
    def alike(name: str, ready: bool, key: str, of: str, layer: str, method: str, _color: str, most: str, search: str) -> Any:  # noqa: FBT001, PLR0913
        """Ring the chosen point, and list the clips that lie nearest to it."""
        source = site.source(key)
        cloud = _cloud(job, source, of, layer, method, most) if ready and name else None
        place = cloud.places.get(name) if cloud else None
        marked = Patch()
        marked["data"][0] = ring(cloud.point_of(name) if cloud else None)
        if cloud is None or place is None:
            return [], marked if ready else no_update
        return _alike(cloud, source, place, read_query(search)), marked


def _register_lasso(app: Dash, site: Site) -> None:
    @app.callback(Output("explore-really", "options"), Output("explore-really", "multi"), Input("explore-source", "value"))
    def form(key: str) -> Any:
        return _answers.options(site.source(key)), site.source(key).dataset.task != "classification"

    @app.callback(
        Output("explore-list", "children"),
        Input("explore-points", "selectedData"),
        Input("explore-told", "children"),
        State("explore-source", "value"),
    )
    def selected(data: Any, told: str, key: str) -> Any:  # noqa: ARG001
        """List the clips within the lasso, with their labels as they are by now."""
        source = site.source(key)
        clips = _selected(source, data)
        if not clips:
            return _parts.empty("No clips chosen", "Draw around points with the lasso; here they can be relabelled together.")
        rows = [(_parts.link(each.id, {"source": source.key, "clip": each.id}, "/data"), _labels(source, each)) for each in clips[:_LISTED]]
        more = f", of which {_LISTED} are listed" * (len(clips) > _LISTED)
        return [
            html.P(f"{len(clips)} clips{more}"),
            html.Div(_parts.table(("Clip", "Labels"), rows, label="Chosen clips"), className="alike"),
        ]

    @app.callback(
        Output("explore-told", "children"),
        Input("explore-save", "n_clicks"),
        State("explore-points", "selectedData"),
        *(State(f"explore-{name}", "value") for name in ("really", "who", "source")),
        prevent_initial_call=True,
    )
    def save(clicks: int, data: Any, really: Any, who: str, key: str) -> Any:
        """Relabel the clips within the lasso."""
        source = site.source(key)
        clips = _selected(source, data)
        if not clicks or not clips:
            return "Choose clips with the lasso first." if clicks else no_update
        try:
            return _answers.correct(source, clips, who, tags=_answers.read_labels(source, really))
        except DcasekitError as error:
            return html.Span(_parts.without_paths(error, site), className="wrong-answer")


def _controls(site: Site, source: Source, query: Mapping[str, str]) -> html.Div:
    of = _choices(site)
    known = [each["value"] for each in of]
    methods = [
        {"label": title + ("" if _is_there(package) else f" (needs {package})"), "value": name, "disabled": not _is_there(package)}
        for name, (title, package) in _METHODS.items()
    ]
    sources = [{"label": one.title, "value": one.key} for one in site.sources.values()]
    amounts = [{"label": f"{amount:,}", "value": str(amount)} for amount in _AMOUNTS]

    def choose(title: str, name: str, offered: Any, values: Collection[str], first: str | None, **more: Any) -> Any:
        value = query.get(name) if query.get(name) in values else first
        return _parts.control(title, dcc.Dropdown(offered, value, id=f"explore-{name}", clearable=name == "clip", **more))

    clip, layer = query.get("clip", ""), query.get("layer", "")
    made = [
        choose("Dataset", "source", sources, (), source.key),
        choose("Seen by", "of", of, known, _fitting(site, source) or known[0]),
        choose("Layer", "layer", [layer] if layer else [], [layer], None, placeholder="none"),
        choose("Projection", "method", methods, _METHODS, "pca"),
        choose("Colour", "color", COLORINGS, COLORINGS, "class"),
        choose("Clips, at most", "most", amounts, [*map(str, _AMOUNTS)], "2000"),
        choose("Clip", "clip", [clip] if clip in source.by_id else [], source.by_id, None, placeholder="none"),
    ]
    return html.Div(made, className="controls", role="search")


def _picture(source: Source) -> list[Any]:
    config = {"displaylogo": False, "displayModeBar": True, "responsive": True, "modeBarButtonsToRemove": ["toImage"], **_charts.PRIVATE}
    points = dcc.Graph(id="explore-points", figure=draw(None, source, "class", None), style={"height": "560px"}, config=config)
    return [
        html.Div(id="explore-state", className="told", role="status"),
        dcc.Interval(id="explore-tick", interval=500, disabled=False),
        dcc.Store(id="explore-ready"),
        html.Div(points, role="group", className="chart", **{"aria-label": "Clips as points; the list Clip above chooses one by keyboard"}),
        html.P("Click a point to hear it. Choose the lasso above the picture to take several at once.", className="soft"),
    ]


def _form(source: Source) -> list[Any]:
    really = dcc.Dropdown(
        _answers.options(source), id="explore-really", multi=source.dataset.task != "classification", placeholder="choose"
    )
    who = dcc.Input(id="explore-who", type="text", placeholder="your name", maxLength=80, persistence=True)
    return [
        _parts.control("They really are", really),
        html.Div([html.Button("Relabel", id="explore-save", className="button main"), who], className="row"),
        html.P(id="explore-told", className="told", role="status"),
    ]


def _is_there(package: str) -> bool:
    return not package or importlib.util.find_spec(package) is not None


def _choices(site: Site) -> list[dict[str, str]]:
    models = [{"label": name.removesuffix("/model"), "value": f"model:{name}"} for name in _models.models(site)]
    return [*models, *({"label": f"feature {name}", "value": f"feature:{name}"} for name in discover.names("features"))]


def _fitting(site: Site, source: Source) -> str | None:
    """Choose the model of the newest run of these data."""
    for key in _answers.names(site):
        answers = _answers.find(site, key)
        if answers.model and _answers.source_of(site, answers.results) is source:
            return f"model:{answers.model.relative_to(site.runs).as_posix()}"
    return None


def _answers_of(site: Site, of: str) -> Answers | None:
    """Return the results of the run that made a model."""
    folder = _models.models(site).get(of.removeprefix("model:"))
    found = (_answers.find(site, key) for key in _answers.names(site))
    return next((answers for answers in found if folder is not None and answers.model == folder), None)


def _model(site: Site, of: str) -> ModelContainer:
    return _models.find(site, of.removeprefix("model:"))


def _changed(site: Site, of: str) -> int:
    folder = _models.models(site).get(of.removeprefix("model:"))
    return (folder / "model.json").stat().st_mtime_ns if folder else 0


def _last(model: ModelContainer) -> str:
    """Choose the layer that sums a clip up: the last that gives more numbers than there are labels, one each for the whole window."""
    sizes = model.layers()
    flat = [name for name, shape in sizes.items() if len(shape) == 1 and shape[0] > len(model.labels)]
    return (flat or list(sizes))[-1]


def _make(site: Site, of: str, layer: str | None) -> VectorOf:
    kind, _, name = of.partition(":")
    if kind == "feature":
        from dcasekit.features import make_feature

        if name not in discover.names("features"):
            raise ModelError("there is no such feature; choose another")
        feature = make_feature(name)
        return lambda clip: sum_up(feature.compute_file(clip.path, channel=clip.channel))
    model = _model(site, of)
    return lambda clip: layer_vectors(model, str(layer), [clip])[0]


def sum_up(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the mean (dims,) over the frames of blocks (frames, dims), without keeping all of them in memory."""
    total, count = np.zeros(1), 0
    for block in blocks:
        total, count = total + block.sum(axis=0, dtype=np.float64), count + len(block)
    return np.asarray(total / max(count, 1), dtype=np.float32)


@lru_cache(16)  # asked twice a second while a page waits
def _some(source: Source, most: int) -> tuple[Sequence[Clip], str]:
    """Take at most so many clips, evenly from all; give them, and a name of their audio."""
    all_of_them = source.clips
    chosen = [all_of_them[at * len(all_of_them) // most] for at in range(most)] if len(all_of_them) > most else all_of_them
    return chosen, name_audio(chosen)


def _progress(found: Job) -> Any:
    told = f"{found.step[0].upper()}{found.step[1:]}: {found.done:,} of {found.total:,}"
    return [html.Label([told, html.Progress(value=str(found.done), max=str(found.total))])]


def _said(cloud: Cloud, source: Source) -> str:
    lost = len(source.clips) - len(cloud.clips)
    return f"{len(cloud.clips):,} clips" + (f" of {len(source.clips):,}" if lost else "") + f", {cloud.vectors.shape[1]} numbers each"


def _cloud(job: Any, source: Source, of: str, layer: str | None, method: str, most: str) -> Cloud | None:
    try:
        found = job(source, of, layer, method, most)
        return found.cloud.result() if found.cloud.done() else None
    except DcasekitError:  # said where the points are
        return None


def _alike(cloud: Cloud, source: Source, place: int, query: Mapping[str, str]) -> list[Any]:
    rows = [
        (_parts.link(cloud.clips[at].id, {**query, "clip": cloud.clips[at].id}), _labels(source, cloud.clips[at]), f"{cosine:.2f}")
        for at, cosine in nearest(cloud.vectors, place, _ALIKE)
    ]
    return [html.H2("More like this"), _parts.table(("Clip", "Labels", "Cosine"), rows, label="Clips like this one", numeric=(2,))]


def _labels(source: Source, clip: Clip) -> str:
    labels = labels_of(_answers.now(source, clip))
    told = "unknown" if labels is None else visible(", ".join(labels)) or "none"
    return f"{told} (corrected)" if clip.id in _answers.corrections(source) else told


def _selected(source: Source, data: Any) -> list[Clip]:
    names = [point.get("customdata") for point in (data or {}).get("points", ()) if isinstance(point, dict)]
    return [source.by_id[name] for name in dict.fromkeys(names) if isinstance(name, str) and name in source.by_id]
