"""The picture of clips as points: one trace for each colour, drawn by the graphics card."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dcasekit.annotations import Clip
from dcasekit.app import _answers, _charts
from dcasekit.app._answers import Answers
from dcasekit.app._site import Source, labels_of
from dcasekit.app._vectors import Cloud
from dcasekit.core.units import FloatArray
from dcasekit.plots import looks
from dcasekit.plots.looks import Look

COLORINGS = {"class": "class", "fold": "fold", "right": "right or wrong", "confidence": "confidence"}
_NONE = Look(_charts.GREY, "circle-open")
_FEW = 5000  # points that need not be seen through
_AXIS = _charts.axis("", showticklabels=False, fixedrange=False, showgrid=False)


def draw(cloud: Cloud | None, source: Source, coloring: str, answers: Answers | None, chosen: str | None = None) -> dict[str, Any]:
    """Draw the points of clips as a figure for Plotly; its first trace is the ring around the chosen clip."""
    traces = [] if cloud is None else _traces(cloud, source, coloring, answers)
    return _charts.figure(
        [ring(cloud.point_of(chosen) if cloud else None), *traces],
        _AXIS,
        _AXIS,
        dragmode="pan",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "itemsizing": "constant"},
        uirevision="the same picture",
    )


def ring(point: FloatArray | None) -> dict[str, Any]:
    """Return the ring around a point, as a trace for Plotly; ``None``: an invisible one."""
    x, y = ([], []) if point is None else ([float(point[0])], [float(point[1])])
    marker = {"symbol": "circle-open", "size": 20, "color": _charts.GREY, "line": {"width": 3}}
    return {"type": "scattergl", "mode": "markers", "x": x, "y": y, "marker": marker, "showlegend": False, "hoverinfo": "skip"}


def _traces(cloud: Cloud, source: Source, coloring: str, answers: Answers | None) -> list[dict[str, Any]]:
    clips = _answers.all_now(source, cloud.clips)
    told = [_hover(clip, answers) for clip in clips]
    if coloring == "confidence":
        return _confidence(cloud, told, answers)
    kinds = [_kind(clip, coloring, answers) for clip in clips]
    if coloring == "right":
        chosen = {"right": Look(_charts.BLUE, "circle"), "wrong": Look(_charts.ORANGE, "x")}
    else:
        chosen = looks(source.dataset.labels if coloring == "class" else source.dataset.folds)
    places: dict[str, list[int]] = {kind: [] for kind in (*chosen, *sorted({*kinds} - {*chosen}))}
    for at, kind in enumerate(kinds):
        places[kind].append(at)
    shown = ((kind, found, chosen.get(kind, _NONE)) for kind, found in places.items() if found)
    return [_trace(cloud, told, found, kind, {"color": look.color, "symbol": look.symbol}) for kind, found, look in shown]


def _kind(clip: Clip, coloring: str, answers: Answers | None) -> str:
    if coloring == "fold":
        return clip.fold
    if coloring == "right":
        at = answers.place.get(clip.id) if answers else None
        right = None if at is None or answers is None else answers.judged[at].right
        return "not tested" if right is None else "right" if right else "wrong"
    labels = labels_of(clip)
    return "unknown" if labels is None else labels[0] if labels else "none"


def _confidence(cloud: Cloud, told: Sequence[str], answers: Answers | None) -> list[dict[str, Any]]:
    place = answers.place if answers else {}
    tested = [at for at, clip in enumerate(cloud.clips) if clip.id in place]
    rest = [at for at, clip in enumerate(cloud.clips) if clip.id not in place]
    values = [round(answers.judged[place[cloud.clips[at].id]].confidence, 4) for at in tested] if answers else []
    marker = {
        "color": values,
        "colorscale": "Cividis",
        "symbol": "circle",
        "colorbar": {"title": {"text": "confidence", "side": "right"}, "thickness": 12, "len": 0.85, "y": 0.45},
    }
    made = [_trace(cloud, told, rest, "not tested", {"color": _NONE.color, "symbol": _NONE.symbol})] if rest else []
    return made + ([_trace(cloud, told, tested, "tested", marker)] if tested else [])


def _trace(cloud: Cloud, told: Sequence[str], places: Sequence[int], name: str, marker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scattergl",
        "mode": "markers",
        "name": _charts.text(name),
        "x": _packed(cloud.points[list(places), 0]),
        "y": _packed(cloud.points[list(places), 1]),
        "customdata": [cloud.clips[at].id for at in places],
        "text": [told[at] for at in places],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 9, "opacity": 1 if len(cloud.clips) <= _FEW else 0.6, **marker},
    }


def _packed(values: FloatArray) -> dict[str, str]:
    """Return numbers as bytes, which is a quarter of their text."""
    return {"dtype": "f4", "bdata": base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()}


def _hover(clip: Clip, answers: Answers | None) -> str:
    labels = labels_of(clip)
    lines = [clip.id, "labels unknown" if labels is None else ", ".join(labels) or "no label", clip.fold]
    if answers and (at := answers.place.get(clip.id)) is not None:
        lines.append(f"predicted {', '.join(answers.judged[at].predicted) or 'nothing'}, {100 * answers.judged[at].confidence:.0f} %")
    return "<br>".join(_charts.text(line) for line in lines)
