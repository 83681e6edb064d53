"""Train: choose data, features, model and settings; start a run, watch it, stop it, go on with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from dcasekit.app import _answers, _charts, _forms, _jobs, _models, _orders, _parts
from dcasekit.app._jobs import Job
from dcasekit.app._orders import Fields
from dcasekit.app._page import read_query
from dcasekit.app._site import Site, Source
from dcasekit.core import discover
from dcasekit.core.tables import visible
from dcasekit.errors import DcasekitError
from dcasekit.report.words import name as in_words

TITLE, ORDER = "Train", 3
_MOST_SYSTEMS = 8  # of a recipe, that are linked
_EVERY = 1500  # milliseconds between two looks at a run
_FORMS = ("features", "models", "training")
_FIRST = ("epochs", "learning_rate", "batch_size", "early_stopping", "seed")  # of training, that are not folded away
_CHOSEN = ("kind", "source", "fold", "corrected", "models", "features", "augmentations", "name", "tuned", "freeze", "recipe", "quick")
_OWN = "as published with the model"
_FIELDS = {"type": "setting", "of": ALL, "name": ALL}
_DATA = {"type": "recipe-data", "name": ALL}


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page; the query of the address names the run to watch."""
    source = site.source(query.get("source"))
    kind = query["kind"] if query.get("kind") in _orders.KINDS else "train"
    return [
        html.Div(
            [
                html.Div([_new(site, source, kind)], className="stack"),
                html.Div(
                    [
                        html.Section(_watched(), className="card", id="train-run"),
                        _parts.card("Runs", html.Div(id="train-runs")),
                        dcc.Interval(id="train-tick", interval=_EVERY),
                    ],
                    className="stack",
                ),
            ],
            className="columns even" + " watching" * ("run" in query),
        )
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: make the forms for what is chosen, start and stop runs, and show their progress."""

    @app.callback(Output("train-fold", "options"), Output("train-corrected", "options"), Input("train-source", "value"))
    def data(key: str) -> Any:
        source = site.source(key)
        return [*source.dataset.protocol.rounds(source.dataset.present_folds), "all"], _corrections(source)

    for family in _FORMS:
        _register_form(app, family)
    _register_kinds(app, site)

    @app.callback(Output("train-augmentations-form", "children"), Input("train-augmentations", "value"))
    def augmentations(names: Sequence[str] | None) -> Any:
        """Make a form for each augmentation that is chosen."""
        return [
            html.Fieldset([html.Legend(name), _forms.form(f"augmentations:{name}", _forms.load_settings("augmentations", name))])
            for name in names or ()
        ]

    @app.callback(
        Output("address", "search", allow_duplicate=True),
        Output("train-problem", "children"),
        Input("train-start", "n_clicks"),
        *(State(f"train-{name}", "value") for name in _CHOSEN),
        *(State(every, part) for every in (_DATA, _FIELDS) for part in ("id", "value")),
        prevent_initial_call=True,
    )
    def start(clicks: int, *given: Any) -> Any:
        """Start the run that the forms describe, and watch it."""
        if not clicks:
            return no_update, no_update
        *values, names, sources, ids, fields = given
        data = {name["name"]: source for name, source in zip(names, sources, strict=True)}
        try:
            job = _orders.start(site, {**dict(zip(_CHOSEN, values, strict=True)), "data": data}, Fields(ids, fields))
            return _parts.address({"run": job.name}), []
        except DcasekitError as error:
            return no_update, _parts.problem(_parts.without_paths(error, site))

    _register_watch(app, site)


def _register_kinds(app: Dash, site: Site) -> None:
    @app.callback(Output("train-new", "className"), Input("train-kind", "value"))
    def show(kind: str) -> str:
        """Show the forms of a kind of run."""
        return f"of-{kind}"

    @app.callback(
        Output("train-recipe-form", "children"),
        Input("train-recipe", "value"),
        Input("train-quick", "value"),
        Input("train-kind", "value"),
    )
    def settings(name: str, quick: Sequence[str], kind: str) -> Any:
        """Say what a recipe is, and make the form of its settings and of the data that it takes, where one is to be run."""
        try:
            return _recipe(site, name, small=bool(quick)) if kind == "recipe" else []
        except DcasekitError as error:
            return _parts.problem(str(error))

    @app.callback(
        Output("train-freeze", "options"),
        Output("train-freeze", "value"),
        Input("train-tuned", "value"),
        Input("train-kind", "value"),
        State("train-freeze", "value"),
    )
    def freeze(model: str | None, kind: str, before: str) -> Any:
        """Offer the layers of the model that is to be tuned."""
        found = _orders.freezable(site, model or "") if kind == "tune" else {"all": "all but its head"}
        return found, before if before in found else "all"


def _register_watch(app: Dash, site: Site) -> None:
    @app.callback(
        *(Output(f"train-{name}", "children") for name in ("head", "facts", "said", "runs")),
        Output("train-curves", "figure"),
        Output("train-run", "className"),
        *(Output(f"train-{name}", "disabled") for name in ("stop", "resume")),
        Input("train-tick", "n_intervals"),
        Input("address", "search"),
        Input("train-stop", "n_clicks"),
        Input("train-resume", "n_clicks"),
        State("address", "pathname"),
    )
    def watch(ticks: int, search: str, stop: int, resume: int, path: str) -> Any:  # noqa: ARG001
        """Read how the watched run stands; stop it or go on with it if a button was pressed."""
        if path != "/train":
            return (no_update,) * 8
        return _watch(site, read_query(search), ctx.triggered_id)


def _register_form(app: Dash, family: str) -> None:
    @app.callback(Output(f"train-{family}-form", "children"), Input(f"train-{family}", "data" if family == "training" else "value"))
    def settings(name: str | None) -> Any:
        """Make the form of the leaf that is chosen, what is rarely changed folded away."""
        if not name:
            return html.P("The front end that the model was published with, or mel spectrograms.", className="soft")
        try:
            known = _forms.load_settings(family, name)
            first = [one for one in known if family == "training" and one.name in _FIRST]
            rest = _forms.form(family, [one for one in known if one not in first])
            folded = html.Details([html.Summary("More settings" if first else "Settings"), rest])
            return [_forms.form(family, first), folded] if first else folded
        except DcasekitError as error:
            return _parts.problem(str(error))


def _new(site: Site, source: Source, kind: str) -> html.Section:
    return _parts.card(
        "New run",
        dcc.RadioItems(_orders.KINDS, kind, id="train-kind", className="choices"),
        html.Div(_forms_of(site, source), id="train-new", className=f"of-{kind}"),
        html.Div(
            [
                _parts.control("Name", dcc.Input(id="train-name", type="text", placeholder="what is trained on what")),
                html.Button("Start", id="train-start", className="button main"),
            ],
            className="row ends",
        ),
        html.Div(id="train-problem"),
    )


def _forms_of(site: Site, source: Source) -> list[html.Div]:
    """Make the forms of all kinds of runs; the page shows those of the kind that is chosen."""
    features, models = [*discover.names("features"), *_forms.presets()], list(_models.models(site))
    return [
        _part(
            "Data",
            _parts.control("Dataset", dcc.Dropdown(_options(site), source.key, id="train-source", clearable=False)),
            _parts.control("Test on", dcc.Dropdown(id="train-fold", placeholder="the first fold"), "All: every fold, one after the other."),
            dcc.Checklist([], ["yes"], id="train-corrected"),
            of="train tune",
        ),
        _part(
            "Model", dcc.Dropdown(discover.names("models"), "compact_cnn", id="train-models", clearable=False), more="models", of="train"
        ),
        _part(
            "Model",
            _parts.control("Saved model", dcc.Dropdown(models, models[0] if models else None, id="train-tuned", clearable=False)),
            _parts.control("Keep as it is", dcc.Dropdown(value="all", id="train-freeze", clearable=False)),
            html.P("It listens as it did: its features and their scaling are its own.", className="soft"),
            of="tune",
        ),
        _part("Features", dcc.Dropdown(features, id="train-features", placeholder=_OWN), more="features", of="train"),
        _part(
            "Augmentation",
            dcc.Dropdown(discover.names("augmentations"), id="train-augmentations", multi=True, placeholder="none"),
            html.Div(id="train-augmentations-form"),
            of="train tune",
        ),
        _part("Training", dcc.Store(id="train-training", data="training"), more="training", of="train tune"),
        _part(
            "Recipe",
            dcc.Dropdown(discover.names("recipes"), "quickstart", id="train-recipe", clearable=False),
            dcc.Checklist([{"label": "Small settings, done in minutes, which prove nothing", "value": "yes"}], ["yes"], id="train-quick"),
            more="recipe",
            of="recipe",
        ),
    ]


def _recipe(site: Site, name: str, *, small: bool) -> list[Any]:
    known = _forms.load_settings("recipes", f"{name}:quick" if small else name)
    module = discover.module("recipes", name)
    data = []
    for dataset in module.DATASETS:
        offered = [{"label": source.title, "value": source.key} for source in _orders.data_of(site, dataset)]
        chosen = dcc.Dropdown(offered, id={"type": "recipe-data", "name": dataset}, placeholder="synthetic sounds")
        data.append(_parts.control(dataset, chosen))
    about = html.P(str(module.__doc__ or "").partition("\n")[0], className="soft")
    return [about, html.Div(data, className="form"), html.Details([html.Summary("Settings"), _forms.form("recipes", known)])]


def _part(title: str, *children: Any, of: str, more: str = "") -> html.Div:
    """Make a part of the form of some kinds of runs; `more` names the family whose settings follow."""
    shown = " ".join(f"for-{kind}" for kind in of.split())
    return html.Div([html.H3(title), *children, *([html.Div(id=f"train-{more}-form")] if more else [])], className=f"part {shown}")


def _options(site: Site) -> list[dict[str, str]]:
    return [{"label": source.title, "value": source.key} for source in site.sources.values()]


def _corrections(source: Source) -> list[dict[str, str]]:
    return [{"label": "Use the labels that were corrected here", "value": "yes"}] if _orders.has_corrections(source) else []


def _watched() -> list[Any]:
    """Make the place where a run is watched, which stays while its content changes."""
    return [
        html.Div(
            [
                html.Div(id="train-head"),
                html.Div(
                    [
                        html.Button("Stop", id="train-stop", className="button", disabled=True),
                        html.Button("Go on", id="train-resume", className="button", disabled=True),
                    ],
                    className="row",
                ),
            ],
            className="clip-head",
        ),
        html.Div(id="train-facts", **{"aria-live": "polite"}),
        _charts.graph("train-curves", _curves({}), says="Loss and validation number of each epoch", height=380),
        html.Pre(id="train-said", className="said"),
    ]


def _watch(site: Site, query: Mapping[str, str], pressed: Any) -> tuple[Any, ...]:
    jobs = _jobs.every(site.runs)
    name = query.get("run", "")
    try:
        job = _jobs.find(site.runs, name) if name else next((one for one in jobs if one.state == "running"), None)
    except DcasekitError as error:
        return _parts.problem(str(error)), [], "", _table(jobs, ""), _curves({}), "card", True, True
    if job is None:
        told = _parts.empty("No run is watched", "Choose settings and press Start, or choose a run below.")
        return told, [], "", _table(jobs, ""), _curves({}), "card idle", True, True
    try:
        if pressed == "train-stop":
            job.stop()
        elif pressed == "train-resume" and job.state in ("stopped", "failed", "finished"):
            job.start()
    except DcasekitError:  # it runs already
        pass
    state, histories = job.state, job.histories()
    said = visible_lines(_parts.without_paths(job.said, site)) if state in ("failed", "running", "stopped") else ""
    return (
        [html.H2(job.name), html.P(visible(job.about), className="soft")],
        _facts(site, job, state, histories),
        said,
        _table(jobs, job.name),
        _curves(histories),
        "card" if "epochs" in job.facts or histories else "card unplotted",
        state != "running",
        state not in ("stopped", "failed") or not job.facts,
    )


def visible_lines(text: str) -> str:
    """Return a text of several lines with its invisible characters made visible."""
    return "\n".join(map(visible, text.split("\n")))


def _facts(site: Site, job: Job, state: str, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Any]:
    rows = [row for history in histories.values() for row in history]
    facts: dict[str, Any] = {"state": state}
    if rows:
        epochs, rounds = int(job.facts.get("epochs", 0)), int(job.facts.get("rounds", 1))
        facts["epochs done"] = f"{len(rows)} of {epochs * rounds}" if epochs else len(rows)
        left = job.left(histories)
        facts |= {"left, at most": _parts.seconds(left)} if state == "running" and left is not None else {}
        facts |= {
            f"best validation {in_words(name.removeprefix('val_'))}": f"{max(row[name] for row in rows if name in row):.3f}"
            for name in _validated(rows[-1])
            if all(name in history[-1] for history in histories.values() if history)
        }
    elif state == "running" and "epochs" in job.facts:
        facts["now"] = "computing features"
    return [_parts.tiles(facts), html.Div(_answered(site, job) if state == "finished" else [], className="row")]


def _answered(site: Site, job: Job) -> list[Any]:
    """Lead to the results: of a run over folds to those of all, of a recipe to those of each system."""
    keys = _answers.of_run(site, job.name)
    if len(keys) == 1 or job.name in keys:
        return [_parts.link("See how right it is", {"run": keys[0]}, "/evaluate", className="button main")]
    links = [_parts.link(key.rpartition("/")[2], {"run": key}, "/evaluate", className="button") for key in keys[:_MOST_SYSTEMS]]
    return [html.Span("See how right it is:"), *links] if links else []


def _curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    traces = []
    kinds = (("loss", _charts.BLUE, "y"), ("val_loss", _charts.ORANGE, "y"))
    measured = {fold: _validated(rows[-1])[:1] if rows else [] for fold, rows in histories.items()}
    alike = len({name for names in measured.values() for name in names}) < 2  # of a recipe each network may have a measure of its own
    for number, (fold, rows) in enumerate(histories.items()):
        for name, color, axis in (*kinds, *((name, _charts.GREEN, "y2") for name in measured[fold])):
            seen = [row for row in rows if name in row]
            if seen:
                told = f"validation {in_words(name.removeprefix('val_'))}" if name.startswith("val_") else name
                told = told if alike or axis == "y" else "validation"
                traces.append(
                    _charts.line([row["epoch"] for row in seen], [row[name] for row in seen], told, color)
                    | {
                        "mode": "lines+markers",
                        "marker": {"size": 5},
                        "yaxis": axis,
                        "showlegend": number == 0,
                        "hovertext": _charts.text(fold),
                    }
                )
    most = max((row["epoch"] for rows in histories.values() for row in rows), default=1)
    across = _charts.axis("epoch", range=[0.5, max(most, 5) + 0.5], tickformat="d", anchor="y", **({"dtick": 1} if most < 12 else {}))
    upper = _charts.axis("validation", range=[0, 1.02], domain=[0.58, 1], dtick=0.5, anchor="x")
    return _charts.figure(traces, across, _charts.axis("loss", rangemode="tozero", domain=[0, 0.46]), yaxis2=upper, uirevision="run")


def _validated(record: Mapping[str, float]) -> list[str]:
    """Name the numbers of an epoch on validation clips, the main one first."""
    return [name for name in record if name.startswith("val_") and name != "val_loss"]


def _table(jobs: Sequence[Job], chosen: str) -> Any:
    if not jobs:
        return html.P("There are no runs yet.", className="soft")
    jobs = jobs[:50]
    rows = [(_parts.link(job.name, {"run": job.name}), job.about, job.state) for job in jobs]
    place = next((number for number, job in enumerate(jobs) if job.name == chosen), -1)
    return _parts.table(("Run", "What", "State"), rows, label="Runs", chosen=place)
