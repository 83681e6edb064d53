"""The player: waveform, spectrum, labels over time, a cursor, and a region to hear again. The drawing is in ``assets/player.js``."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import MATCH, ClientsideFunction, Dash, Input, Output, State, dcc, html

from dcasekit.annotations import Clip, Event
from dcasekit.app._parts import label_colors
from dcasekit.core.tables import visible
from dcasekit.plots.looks import COLORS
from dcasekit.scores import Scores

Shown = Mapping[str, Any]

_UNKNOWN = "#7a7a7a"  # colour of a label that the dataset does not know


def player(name: str, shown: Shown | None = None) -> html.Div:
    """Make a player. Set the data of the store `store(name)` to what `show` gives, and it shows that clip; ``None``: nothing.

    Parameters
    ----------
    shown : the clip that it shows first.
    """
    return html.Div(
        [
            html.Div(id={"type": "player", "name": name}, className="player", tabIndex="0", role="group", **{"aria-label": "Player"}),
            dcc.Store(id=store(name), data=shown),
            dcc.Store(id={"type": "player-drawn", "name": name}),
        ]
    )


def store(name: str) -> dict[str, str]:
    """Return the id of the store that says what a player shows."""
    return {"type": "player-shown", "name": name}


def show(
    source: str,
    clip: Clip,
    labels: Sequence[str],
    *,
    events: Sequence[Event] | None = None,
    scores: Scores | None = None,
    play: bool = False,
) -> Shown:
    """Say what a player is to show.

    Parameters
    ----------
    source : key of the clip's source.
    labels : of the dataset or the model, in order: they decide the colours.
    events : drawn over the spectrum; ``None``: the clip's own.
    scores : drawn over the spectrum as curves, those of the labels with the largest values.
    play : begin to play at once.
    """
    colors = label_colors(labels)
    drawn = clip.events or () if events is None else events
    found: dict[str, Any] = {
        "source": source,
        "clip": clip.id,
        "play": play,
        "events": [
            {"onset": each.onset, "offset": each.offset, "label": visible(each.label), "color": colors.get(each.label, _UNKNOWN)}
            for each in drawn
        ],
    }
    if scores is not None:
        top = sorted(range(len(scores.labels)), key=lambda number: -float(scores.values[:, number].max()))[:5]
        found["edges"] = [round(float(each), 4) for each in scores.edges]
        again = {label for at, label in enumerate(labels) if at // len(COLORS) % 2}  # whose colours an earlier label has
        found["curves"] = [
            {
                "label": visible(scores.labels[number]),
                "color": colors.get(scores.labels[number], _UNKNOWN),
                "dashed": scores.labels[number] in again,
                "values": [round(float(each), 4) for each in scores.values[:, number]],
            }
            for number in top
        ]
    return found


def install(app: Dash) -> None:
    """Have every player draw what its store says."""
    app.clientside_callback(
        ClientsideFunction("dcasekit", "show"),
        Output({"type": "player-drawn", "name": MATCH}, "data"),
        Input({"type": "player-shown", "name": MATCH}, "data"),
        State({"type": "player", "name": MATCH}, "id"),
    )
