"""Evaluate: how right a run is, label by label and clip by clip, at any threshold, and beside other runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from dcasekit.app import _answers, _charts, _matrix, _parts
from dcasekit.app._answers import Answers
from dcasekit.app._page import read_query
from dcasekit.app._player import player, show, store
from dcasekit.app._site import Site
from dcasekit.core.cells import parse_number
from dcasekit.core.tables import visible
from dcasekit.errors import DcasekitError, MetricError
from dcasekit.metrics import calibration, psds
from dcasekit.report.words import name as in_words
from dcasekit.report.words import show as write
from dcasekit.report.words import span
from dcasekit.results import PER_LABEL, describe_left_out
from dcasekit.results.inspection import ThresholdCurves, clip_scores, threshold_curves
from dcasekit.scores import to_events

TITLE, ORDER = "Evaluate", 4
_SHOWN = 40  # clips of a cell
_ALL = "all labels"


def layout(site: Site, query: Mapping[str, str]) -> list[Any]:
    """Make the page of a run."""
    answers, known = _answers.find(site, query.get("run")), _answers.names(site)
    compared = [each for each in query.get("with", "").split(",") if each in known]
    return [
        html.Div(
            [
                _parts.control("Run", dcc.Dropdown(known, answers.key, id="evaluate-run", clearable=False)),
                _parts.control("Compare with", dcc.Dropdown(known, compared, id="evaluate-with", multi=True, placeholder="other runs")),
            ],
            className="controls",
        ),
        html.Div(id="evaluate-body", className="stack"),
    ]


def register(app: Dash, site: Site) -> None:
    """Add the callbacks: the run decides the page, a cell of the matrix the clips, and the threshold the numbers and events."""
    for names in (("run", "with"), ("label", "threshold", "example")):
        app.clientside_callback(
            ClientsideFunction("judging", "search"),
            Output("address", "search", allow_duplicate=True),
            *(Input(f"evaluate-{name}", "value") for name in names),
            State("address", "search"),
            prevent_initial_call=True,
        )

    @app.callback(
        Output("evaluate-body", "children"), Input("evaluate-run", "value"), Input("evaluate-with", "value"), State("address", "search")
    )
    def body(run: str, others: list[str] | None, search: str) -> Any:
        """Judge a run, and set others beside it."""
        try:
            answers = _answers.find(site, run)
            return _body(site, answers, [_answers.find(site, each) for each in others or () if each != run], read_query(search))
        except DcasekitError as error:
            return _parts.problem(_parts.without_paths(error, site))

    _register_cells(app, site)
    _register_thresholds(app, site)


def _register_cells(app: Dash, site: Site) -> None:
    @app.callback(
        Output("address", "search", allow_duplicate=True),
        Input("evaluate-matrix", "clickData"),
        State("evaluate-run", "value"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def choose(data: Any, run: str, search: str) -> Any:
        """Turn the cell of the picture that was clicked into an address."""
        labels = _answers.find(site, run).results.labels
        try:
            true, said = (labels[int(data["points"][0][axis])] for axis in ("y", "x"))
        except (TypeError, LookupError, ValueError):
            return no_update
        return _parts.address({**read_query(search), "run": run, "true": true, "said": said})

    @app.callback(Output("evaluate-cell", "children"), Input("address", "search"), State("evaluate-run", "value"))
    def cell(search: str, run: str) -> Any:
        query = read_query(search)
        return _clips_of_cell(site, _answers.find(site, run), query.get("true", ""), query.get("said", ""))


def _register_thresholds(app: Dash, site: Site) -> None:
    @app.callback(
        Output("evaluate-curves", "figure"),
        Output("evaluate-numbers", "children"),
        Output(store("evaluate"), "data"),
        Input("evaluate-label", "value"),
        Input("evaluate-threshold", "value"),
        Input("evaluate-example", "value"),
        State("evaluate-run", "value"),
    )
    def at(label: str, threshold: float, example: str | None, run: str) -> Any:
        """Draw curves, numbers and the example at a threshold."""
        answers = _answers.find(site, run)
        curves = _curves(answers)
        return (
            _draw_curves(answers, curves, label, threshold),
            _numbers_at(answers, curves, label, threshold, example or ""),
            _events(site, answers, example, threshold),
        )


def _body(site: Site, answers: Answers, others: Sequence[Answers], query: Mapping[str, str]) -> list[Any]:
    results = answers.results
    facts = {
        in_words(results.headline): answers.headline,
        "clips": f"{len(results.clips):,}",
        "labels": len(results.labels),
        "task": results.task,
    }
    left_out = describe_left_out(results.left_out)
    first = _parts.card("", _parts.tiles(facts), *([html.P(left_out, className="soft")] if left_out else []))
    made = [first, *([_comparison(answers, others)] if others else [])]
    if results.task == "classification":
        many = len(results.labels) > _matrix.MOST_CELLS
        large = [
            _charts.graph(
                "evaluate-matrix", _matrix.picture(answers), says="Confusion matrix; the table below lists its largest cells", height=760
            ),
            _matrix.confusions(answers),
        ]
        made += [
            html.Div(
                [
                    _parts.card(
                        "Confusion: true labels in rows, predictions in columns",
                        html.Div(_matrix.matrix(answers)),
                        html.Div(large, style={} if many else {"display": "none"}),
                    ),
                    _parts.card("Clips of a cell", html.Div(id="evaluate-cell", **{"aria-live": "polite"})),
                ],
                className="columns",
            )
        ]
    else:
        made.append(_thresholds(site, answers, query))
    labels, calibrated = _parts.card("Each label", _labels(answers)), _parts.card("Calibration", *_calibration(answers))
    if results.task != "detection":
        return [*made, html.Div([labels, calibrated], className="columns")]
    return [*made, labels, html.Div([calibrated, _parts.card("PSD-ROC", *_rocs(answers))], className="columns even")]


def _clips_of_cell(site: Site, answers: Answers, true: str, said: str) -> Any:
    if not true and not said:
        return _parts.empty("No cell chosen", "Choose a number in the matrix to see its clips.")
    found = [one for one in answers.judged if true in one.true and said in one.predicted]
    found.sort(key=lambda one: -one.confidence)
    source, wrong = _answers.source_of(site, answers.results), true != said
    rows = []
    for one in found[:_SHOWN]:
        query = {"run": answers.key, "clip": one.clip} if wrong else {"source": source.key if source else "", "clip": one.clip}
        where = "/errors" if wrong else "/data"
        rows.append((_parts.link(one.clip, query, where) if source else one.clip, write("", one.confidence)))
    told = f"True {visible(true)}, predicted {visible(said)}: {len(found)} clips" + (
        f", of which {_SHOWN} are shown" * (len(found) > _SHOWN)
    )
    missing = [] if source else [html.P("The server was started without the data of this run, so clips cannot be heard.", className="soft")]
    return [html.P(told), *missing, _parts.table(("Clip", "Confidence"), rows, label="Clips of the cell", numeric=(1,))]


def _labels(answers: Answers) -> Any:
    results, keys = answers.results, PER_LABEL[answers.results.task]
    colors = _parts.label_colors(results.labels)
    rows = []
    for row in results.table():
        low, high = answers.intervals[row["label"]]
        value = row[keys[0]]
        bar = html.Span(
            [
                html.Span(className="bar-value", style={"width": _percent(value), "background": colors[row["label"]]}),
                html.Span(
                    className="bar-span",
                    style={"display": "none"} if math.isnan(low) else {"left": _percent(low), "width": _percent(high - low)},
                ),
            ],
            className="bar-interval",
        )
        told = span((low, high))
        rows.append((row["label"], f"{row['clips']:,}", bar, write(keys[0], value), told, *(write(key, row[key]) for key in keys[1:])))
    columns = ("Label", "Clips", "", _title(keys[0]), "95 % interval", *map(_title, keys[1:]))
    return _parts.table(columns, rows, label="Numbers of each label", numeric=(1, *range(3, len(columns))))


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0), 1):.1f}%" if not math.isnan(value) else "0"


def _calibration(answers: Answers) -> list[Any]:
    results, scores = answers.results, clip_scores(answers.results)
    try:
        truth = calibration.top_label(results.truth, scores) if results.task == "classification" else (results.truth, scores)
        curve = calibration.reliability(*truth, bins=10)
    except MetricError as error:
        return [html.P(str(error), className="soft")]
    sizes = (6 + 16 * np.sqrt(curve.count / max(curve.count.max(initial=1), 1))).round(1)
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": curve.score.round(4).tolist(),
        "y": curve.frequency.round(4).tolist(),
        "name": "this run",
        "line": {"color": _charts.BLUE},
        "marker": {"size": sizes.tolist(), "color": _charts.BLUE},
        "text": [f"{count:,} answers" for count in curve.count.tolist()],
        "hovertemplate": "score %{x:.2f}<br>right %{y:.0%}<br>%{text}<extra></extra>",
    }
    ideal = _charts.line([0, 1], [0, 1], "calibrated", _charts.GREY) | {
        "line": {"color": _charts.GREY, "dash": "dash"},
        "hoverinfo": "skip",
    }
    what = "share that is right" if results.task == "classification" else "share in which the label is present"
    made = _charts.figure(
        [ideal, points], _charts.axis("mean score", range=[-0.02, 1.02]), _charts.axis(what, range=[-0.03, 1.05], tickformat=".0%")
    )
    errors = write("", curve.expected_error), write("", curve.maximum_error)
    told = f"Expected calibration error {errors[0]}, largest {errors[1]}; points are as large as they are many."
    return [
        _charts.graph("evaluate-calibration", made, says="Calibration: share that is right against score"),
        html.P(told, className="soft"),
    ]


def _thresholds(site: Site, answers: Answers, query: Mapping[str, str]) -> Any:
    results = answers.results
    source = _answers.source_of(site, results)
    threshold = min(max(parse_number(query.get("threshold", ""), otherwise=results.threshold), 0.02), 0.98)
    label = query.get("label", _ALL)
    chosen = query.get("example", "")
    examples = [one.clip for one in results.examples(8)] or list(results.clips[:8])
    examples = [*dict.fromkeys([*([chosen] if chosen in answers.place else []), *examples])] if source else []
    marks = {value: f"{value:g}" for value in (0.1, 0.3, 0.5, 0.7, 0.9)}
    slider = dcc.Slider(0.02, 0.98, 0.02, value=round(threshold * 50) / 50, marks=marks, id="evaluate-threshold", updatemode="drag")
    controls = [
        _parts.control(
            "Label", dcc.Dropdown([_ALL, *results.labels], label if label in results.labels else _ALL, id="evaluate-label", clearable=False)
        ),
        _parts.control("Threshold: scores above it count", slider),
        _parts.control(
            "Example",
            dcc.Dropdown(
                examples,
                chosen if chosen in examples else examples[-1] if examples else None,
                id="evaluate-example",
                placeholder="no sound here",
            ),
        ),
    ]
    empty = _charts.graph(
        "evaluate-curves",
        _charts.figure([], _charts.axis(""), _charts.axis("")),
        says="Precision, recall and F1 against threshold",
        height=320,
    )
    return _parts.card(
        "Thresholds", html.Div(controls, className="controls"), html.Div(id="evaluate-numbers", **{"aria-live": "polite"}),
        html.Div([empty, html.Div(player("evaluate"))], className="columns even"),
    )  # fmt: skip


@lru_cache(16)
def _curves(answers: Answers) -> ThresholdCurves:
    return threshold_curves(answers.results)


def _of(curves: ThresholdCurves, answers: Answers, label: str) -> dict[str, Any]:
    if label not in answers.results.labels:
        return {"precision": curves.precision_micro, "recall": curves.recall_micro, "F1": curves.f1_micro}
    at = answers.results.labels.index(label)
    return {"precision": curves.precision[:, at], "recall": curves.recall[:, at], "F1": curves.f1[:, at]}


def _draw_curves(answers: Answers, curves: ThresholdCurves, label: str, threshold: float) -> dict[str, Any]:
    colors = {"precision": _charts.BLUE, "recall": _charts.ORANGE, "F1": _charts.GREEN}
    dashes = {"precision": "solid", "recall": "dash", "F1": "dot"}
    x = curves.thresholds.tolist()
    lines = []
    for name, values in _of(curves, answers, label).items():
        y = [None if math.isnan(value) else round(value, 4) for value in values.tolist()]
        lines.append(_charts.line(x, y, name, colors[name]) | {"line": {"color": colors[name], "dash": dashes[name], "width": 2.5}})  # type: ignore[arg-type]
    shapes = [
        {"type": "line", "x0": threshold, "x1": threshold, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": _charts.GREY, "width": 2}}
    ]
    unit = "share (segments of 1 s)" if answers.results.task == "detection" else "share (clips)"
    return _charts.figure(
        lines,
        _charts.axis("threshold", range=[0, 1]),
        _charts.axis(unit, range=[-0.02, 1.03], tickformat=".0%"),
        shapes=shapes,
        hovermode="x unified",
    )


def _numbers_at(answers: Answers, curves: ThresholdCurves, label: str, threshold: float, example: str) -> list[Any]:
    at = int(np.abs(curves.thresholds - threshold).argmin())
    found = {name: write("", float(values[at])) for name, values in _of(curves, answers, label).items()}
    told = [_parts.tiles({"threshold": f"{threshold:.2f}", **found})]
    if example in answers.place and answers.results.task == "tagging":
        one, scores = answers.judged[answers.place[example]], clip_scores(answers.results)[answers.place[example]]
        said = [label for label, score in zip(answers.results.labels, scores.tolist(), strict=True) if score > threshold]
        told.append(
            html.P(f"{one.clip}: predicted {visible(', '.join(said)) or 'nothing'}; labelled {visible(', '.join(one.true)) or 'nothing'}.")
        )
    return told


def _events(site: Site, answers: Answers, example: str | None, threshold: float) -> Any:
    source, example = _answers.source_of(site, answers.results), example or ""
    if source is None or example not in answers.place or example not in source.by_id:
        return None
    scores = answers.results.scores[answers.place[example]]
    events = []
    if answers.results.task == "detection":
        true = (answers.results.events or {}).get(example) or ()
        events = [*to_events(scores, threshold=threshold), *(replace(event, label=f"true: {event.label}") for event in true)]
    return show(source.key, source.by_id[example], answers.results.labels, events=events, scores=scores)


def _rocs(answers: Answers) -> list[Any]:
    lines, told = [], []
    try:
        for name, setting, color in (("PSDS1", psds.PSDS1, _charts.BLUE), ("PSDS2", psds.PSDS2, _charts.ORANGE)):
            roc = answers.results.psd_roc(setting)
            x, y = np.append(roc.fp_per_hour, roc.max_fp_per_hour).round(4).tolist(), np.append(roc.tpr, roc.tpr[-1:]).round(4).tolist()
            told.append(f"{name} {write('', roc.area)}")
            lines.append(_charts.line(x, y, told[-1], color) | {"line": {"color": color, "shape": "hv", "width": 2.5}})
    except MetricError as error:
        return [html.P(str(error), className="soft")]
    made = _charts.figure(
        lines, _charts.axis("false alarms per hour", range=[0, 100]), _charts.axis("events found", range=[0, 1.03], tickformat=".0%")
    )
    return [_charts.graph("evaluate-roc", made, says=f"PSD-ROC: {', '.join(told)}")]


def _comparison(answers: Answers, others: Sequence[Answers]) -> Any:
    rows: list[Sequence[Any]] = [(answers.key, answers.headline, f"{len(answers.results.clips):,}", "", "", "")]
    for other in others:
        head = (other.key, other.headline, f"{len(other.results.clips):,}")
        try:
            found = _compare(answers, other)
        except MetricError:
            rows.append((*head, "not the same clips and labels", "", ""))
            continue
        low, high = (f"{100 * each:+.1f}" for each in found.interval)
        rows.append((*head, f"{100 * found.difference:+.1f} points", f"{low} to {high}", f"{found.p:.3f}"))
    columns = ("Run", f"{_title(answers.results.headline)} (95 % interval)", "Clips", "Difference", "95 % interval", "p")
    told = (
        "Difference: the first run minus the other on the same clips; paired bootstrap, and a permutation test for p. "
        "Below 0.05, chance alone is unlikely."
    )
    return _parts.card("Runs side by side", _parts.table(columns, rows, label="Runs", numeric=(2, 3, 4, 5)), html.P(told, className="soft"))


def _title(measure: str) -> str:
    words = in_words(measure)
    return words[:1].upper() + words[1:]


@lru_cache(64)
def _compare(one: Answers, other: Answers) -> Any:
    return one.results.compare(other.results)
