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
    """Make a player. To show a clip, set the data of the store ``store(name)`` to what `show` returns; ``None``: show nothing.

    Parameters
    ----------
    name : id of the player.
    shown : the clip to show first, as `show` returns it.
    """
    return html.Div(
        [
            html.Div(id={"type": "player", "name": name}, className="player", tabIndex="0", role="group", **{"aria-label": "Player"}),
            dcc.Store(id=store(name), data=shown),
            dcc.Store(id={"type": "player-drawn", "name": name}),
        ]
    )


def store(name: str) -> dict[str, str]:
    """Return the id of the store that holds what a player shows."""
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
    """Describe what a player shows, for its store.

    Parameters
    ----------
    source : key of the clip's source.
    clip : the clip.
    labels : labels of the dataset or the model, in order; they decide the colours.
    events : events to draw over the spectrogram; ``None``: those of the clip.
    scores : scores to draw over the spectrogram as curves, for the labels with the highest scores.
    play : whether to start playing at once.
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
    """Make every player of the application draw what its store holds."""
    app.clientside_callback(
        ClientsideFunction("dcasekit", "show"),
        Output({"type": "player-drawn", "name": MATCH}, "data"),
        Input({"type": "player-shown", "name": MATCH}, "data"),
        State({"type": "player", "name": MATCH}, "id"),
    )
