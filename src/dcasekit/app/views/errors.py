"""Errors: the wrong clips of a run, the surest first; hear, see, and say what they really are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from dcasekit.annotations import Clip, Event, present
from dcasekit.app import _answers, _parts
from dcasekit.app._answers import Answers
from dcasekit.app._page import read_query
from dcasekit.app._player import player, show, store
from dcasekit.app._site import Site, Source
from dcasekit.core.cells import parse_span
from dcasekit.core.tables import visible
from dcasekit.errors import AnnotationError, DcasekitError
from dcasekit.report.words import show as write
from dcasekit.results.inspection import Judged
from dcasekit.scores import to_events

TITLE, ORDER = "Errors", 5
_ROWS = 12


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page of a run's wrong clips."""
    answers = _answers.find(site, query.get("run"))
    labels, chosen = list(answers.results.labels), {name: query.get(name) for name in ("true", "said")}
    return [
        html.Div(
            [
                _parts.control("Run", dcc.Dropdown(_answers.names(site), answers.key, id="errors-run", clearable=False)),
                _parts.control("True label", dcc.Dropdown(labels, chosen["true"], id="errors-true", placeholder="any")),
                _parts.control("Predicted", dcc.Dropdown(labels, chosen["said"], id="errors-said", placeholder="any")),
            ],
            className="controls",
            role="search",
        ),
        dcc.Store(id="errors-saved", data=0),
        html.Div(
            [
                html.Div(
                    [
                        _parts.card("", html.Div(id="errors-head"), player("errors"), name="errors-clip"),
                        _parts.card("It really is", html.Div(id="errors-form"), html.P(id="errors-told", className="told", role="status")),
                    ],
                    className="stack",
                ),
                _parts.card("Wrong clips, the most confident first", html.Div(id="errors-list", **{"aria-live": "polite"})),
            ],
            className="columns broad",
        ),
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: the address decides what is shown, and corrections are stored when they are sent."""
    app.clientside_callback(
        ClientsideFunction("judging", "search"),
        Output("address", "search", allow_duplicate=True),
        *(Input(f"errors-{name}", "value") for name in ("run", "true", "said")),
        State("address", "search"),
        prevent_initial_call=True,
    )
    _register_clip(app, site)
    _register_save(app, site)


def _register_clip(app: Dash, site: Site) -> None:
    @app.callback(
        Output("errors-head", "children"),
        Output(store("errors"), "data"),
        Output("errors-form", "children"),
        Output("errors-told", "children"),
        Input("address", "search"),
        State("address", "pathname"),
    )
    def clip(search: str, path: str) -> Any:
        """Show the wrong clip that the address names, the surest of none, and the form that says what it really is."""
        if path != "/errors":
            return no_update, no_update, no_update, no_update
        query = read_query(search)
        answers = _answers.find(site, query.get("run"))
        found, one = _wrong(answers, query), None
        if found:
            one = next((each for each in found if each.clip == query.get("clip")), found[0])
        if one is None:
            return _parts.empty("No wrong clip", "Nothing here is wrong: choose other labels, or another run."), None, [], ""
        source = _answers.source_of(site, answers.results)
        if source is None:
            told = "The server was started without the data of this run; give it the folder: dcasekit app NAME=FOLDER."
            return [_head(answers, found, one, query), _parts.problem(told)], None, [], ""
        return _head(answers, found, one, query), _show(answers, source, one.clip), _form(source, source.by_id[one.clip]), ""

    @app.callback(
        Output("errors-list", "children"), Input("address", "search"), Input("errors-saved", "data"), State("address", "pathname")
    )
    def listed(search: str, saved: int, path: str) -> Any:  # noqa: ARG001
        """List the wrong clips, with what was corrected of them by now."""
        query = read_query(search)
        return _list(site, _answers.find(site, query.get("run")), query) if path == "/errors" else no_update


def _register_save(app: Dash, site: Site) -> None:
    @app.callback(
        Output("errors-told", "children", allow_duplicate=True),
        Output("errors-saved", "data"),
        Input("errors-save", "n_clicks"),
        Input("errors-undo", "n_clicks"),
        State("errors-really", "value"),
        State("errors-events", "value"),
        State("errors-who", "value"),
        State("errors-saved", "data"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def save(_save: int, _undo: int, really: Any, events: str, who: str, saved: int, search: str) -> Any:  # noqa: PLR0913
        """Write down what the clip in view really holds, or that it is as it was labelled."""
        if not ctx.triggered or not ctx.triggered[0]["value"]:  # the form was only drawn
            return no_update, no_update
        query = read_query(search)
        answers = _answers.find(site, query.get("run"))
        wrong = _wrong(answers, query)
        one = next((each for each in wrong if each.clip == query.get("clip")), wrong[0])
        source = _answers.source_of(site, answers.results)
        if source is None:
            return no_update, no_update
        given = source.by_id[one.clip]
        try:
            undo = ctx.triggered_id == "errors-undo"
            holds = {"tags": given.tags, "events": given.events} if undo else read_form(source, given, really, events)
            return _answers.correct(source, [given], str(who or ""), **holds), saved + 1
        except DcasekitError as error:
            return html.Span(_parts.without_paths(error, site), className="wrong-answer"), no_update


def read_form(source: Source, clip: Clip, really: Any, events: str | None) -> dict[str, Any]:
    """Read a form with the correction of a clip, as keyword arguments for the correction.

    Raises
    ------
    AnnotationError : nothing was chosen, a label is not among those of the data, or a line is not an event.
    """
    task, labels = source.dataset.task, source.dataset.labels
    if task == "detection" and (events or "").strip() != write_events(clip.events):
        return {"events": [_read_event(number, line, labels) for number, line in enumerate((events or "").splitlines(), 1) if line.strip()]}
    return {"tags": _answers.read_labels(source, really)}


def write_events(events: Sequence[Event] | None) -> str:
    """Write events as lines of text that users can edit: onset and offset in seconds, label."""
    return "\n".join(f"{event.onset:g} {event.offset:g} {event.label}" for event in events or ())


def _read_event(number: int, line: str, labels: Sequence[str]) -> Event:
    parts = line.split(maxsplit=2)
    try:
        onset, offset = parse_span(*parts[:2])
        label = parts[2].strip()
    except (TypeError, ValueError, IndexError):
        raise AnnotationError(f"line {number}: write onset, offset and label, such as: 0.5 1.25 {labels[0]}") from None
    if label not in labels:
        raise AnnotationError(f"line {number}: {label!r} is not a label of these data")
    return Event(onset, offset, label)


def _wrong(answers: Answers, query: Mapping[str, str]) -> list[Judged]:
    true, said = query.get("true"), query.get("said")
    return [one for one in answers.wrong if (not true or true in one.true) and (not said or said in one.predicted)]


def _show(answers: Answers, source: Source, clip: str) -> Any:
    """Show a clip with its events as they are known, those that were predicted, and the scores over time."""
    given, results = source.by_id[clip], answers.results
    scores = results.scores[answers.place[clip]]
    answered = to_events(scores, threshold=results.threshold) if results.task == "detection" else []
    events = [*(_answers.now(source, given).events or ()), *(replace(event, label=f"answered: {event.label}") for event in answered)]
    return show(source.key, given, results.labels, events=events, scores=scores if len(scores.values) > 1 else None)


def _head(answers: Answers, found: Sequence[Judged], one: Judged, query: Mapping[str, str]) -> Any:
    at = found.index(one)
    steps = []
    for text, key, other in (("Previous", "p", at - 1), ("Next", "n", at + 1)):
        if 0 <= other < len(found):
            link = _parts.link(text, {**query, "run": answers.key, "clip": found[other].clip}, className="button")
            steps.append(html.Span([link, " ", html.Kbd(key)], **{"data-key": key}))
    sure = f" ({write('', one.confidence)} sure)"
    if answers.results.task != "classification":
        sure = f" (off the threshold by {100 * one.confidence:.0f} points)"
    said = [
        html.Span(["predicted ", html.B(_names(one.predicted), className="wrong-answer"), sure]),
        html.Span(["labelled ", html.B(_names(one.true))]),
        html.Span(f"{at + 1} of {len(found)}", className="soft"),
    ]
    return html.Div(
        [html.Div([html.H2(one.clip), html.Div(steps, className="row")], className="clip-head"), html.Div(said, className="verdict")]
    )


def _form(source: Source, clip: Clip) -> list[Any]:
    dataset, really = source.dataset, _answers.now(source, clip)
    options = _answers.options(source)
    held = list(present(really.tags)) if really.tags is not None or really.events is None else [event.label for event in really.events]
    if dataset.task == "classification":
        value = held[0] if held else _answers.UNKNOWN if clip.id in _answers.corrections(source) else None
        choice: Any = dcc.RadioItems(options, value, id="errors-really", className="choices")
    else:
        choice = dcc.Checklist(options, list(dict.fromkeys(held)), id="errors-really", className="choices")
    timed = dataset.task == "detection"
    lines = dcc.Textarea(id="errors-events", value=write_events(really.events), className="events-text", spellCheck="false")
    return [
        html.Fieldset([html.Legend("Labels; keys 1 to 9 choose"), html.Div(choice, **{"data-choices": "1"})]),
        html.Div(
            _parts.control("Events: onset and offset in s, label; a line each", lines, "Changed lines count instead of the labels above."),
            style={} if timed else {"display": "none"},
        ),
        html.Div(
            [
                html.Span([html.Button("Save", id="errors-save", className="button main"), " ", html.Kbd("s")], **{"data-key": "s"}),
                html.Button(
                    "As labelled before", id="errors-undo", className="button", disabled=clip.id not in _answers.corrections(source)
                ),
                dcc.Input(id="errors-who", type="text", placeholder="your name", maxLength=80, persistence=True, debounce=False),
            ],
            className="row",
        ),
    ]


def _list(site: Site, answers: Answers, query: Mapping[str, str]) -> Any:
    found = _wrong(answers, query)
    if not found:
        return html.P("None.", className="soft")
    source = _answers.source_of(site, answers.results)
    mended = _answers.corrections(source) if source else {}
    at = next((number for number, one in enumerate(found) if one.clip == query.get("clip")), 0)
    first = at // _ROWS * _ROWS
    shown, really = found[first : first + _ROWS], any(one.clip in mended for one in found)
    rows = [
        (
            _parts.link(one.clip, {**query, "run": answers.key, "clip": one.clip}),
            f"{_names(one.true)} \N{RIGHTWARDS ARROW} {_names(one.predicted)}",
            write("", one.confidence),
            *([_names(present(mended[one.clip].tags)) if one.clip in mended else ""] if really else []),
        )
        for one in shown
    ]
    sure = "Sure" if answers.results.task == "classification" else "Off"
    columns = ("Clip", "Labelled, predicted", sure, *(["Really"] if really else []))
    made = _parts.table(columns, rows, label="Wrong clips", numeric=(2,), chosen=at - first)
    told = f"{len(found)} of {len(answers.results.clips):,} clips are wrong; {first + 1} to {first + len(rows)} are listed"
    done = sum(one.clip in mended for one in found)
    told += f"; {done} corrected" if done else ""
    how = [html.P("Train or evaluate with them: -D corrections=FILE; write them elsewhere: dcasekit datasets convert.", className="soft")]
    return [made, html.P(told, className="soft told"), *(how if done else [])]


def _names(labels: Sequence[str]) -> str:
    return visible(", ".join(labels)) or "nothing"
