"""A recording, what a model says of it over time, and the events found, one below the other."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dcasekit.annotations import Event
from dcasekit.core.units import PathLike
from dcasekit.plots.picture import HIGHEST, LOWEST, picture
from dcasekit.plots.svg import BLUE, name_ticks, own_axes
from dcasekit.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RANGE = 70  # dB below the loudest that are shown
_MOST = 20  # labels: those of highest scores


def score_map(scores: Scores, *, events: Iterable[Event] = (), ax: "Axes | None" = None) -> "Axes":
    """Draw scores over time, with events as bars over them. There is a row for each label, or for the 20 labels with the highest scores.

    Parameters
    ----------
    scores : scores of one recording, in [0, 1].
    events : events that were found in it.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    ax, events = own_axes(ax), list(events)
    best = np.sort(np.argsort(-scores.values.max(axis=0), kind="stable")[:_MOST])
    labels = [scores.labels[k] for k in best]
    rows = np.arange(len(labels) + 1) - 0.5
    ax.pcolormesh(scores.edges, rows, scores.values[:, best].T, vmin=0, vmax=1, cmap="Greys", rasterized=True)
    for row, label in enumerate(labels):
        spans = [(event.onset, event.offset - event.onset) for event in events if event.label == label]
        ax.broken_barh(spans, (row + 0.2, 0.25), facecolor=BLUE, edgecolor=BLUE, linewidth=0.8)  # the edge shows a point
    name_ticks(ax.yaxis, labels)
    ax.set(xlim=(scores.edges[0], scores.edges[-1]), ylim=(len(labels) - 0.5, -0.5), xlabel="time, s")
    return ax


def recording(
    path: PathLike, scores: Scores, *, events: Iterable[Event] = (), columns: int = 1000, figure: "Figure | None" = None
) -> "Figure":
    """Draw the mel spectrogram of a recording, and its scores and events below it.

    Parameters
    ----------
    path : an audio file of any length; it is read in blocks.
    scores : scores of the recording, in [0, 1].
    events : events that were found in it.
    columns : width of the spectrogram, in pixels of its own.
    figure : figure to draw on; ``None``: a new one.

    Returns
    -------
    matplotlib.figure.Figure : the figure; its method ``savefig`` writes it as PNG or SVG.
    """
    if figure is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 4.5 + 0.18 * min(len(scores.labels), _MOST)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1 + 0.08 * min(len(scores.labels), _MOST)]})
    found = picture(path, columns=columns)
    level = LOWEST + found.levels.astype(np.float32) * (HIGHEST - LOWEST) / 255
    extent = (found.start, found.stop, -0.5, len(level) - 0.5)
    above.imshow(level, aspect="auto", origin="lower", extent=extent, cmap="magma", vmin=level.max() - _RANGE, interpolation="none")
    rows = [int(np.abs(found.frequencies - hz).argmin()) for hz in (500, 1000, 2000, 4000, 8000) if hz <= found.frequencies[-1]]
    above.set_yticks(rows, [f"{found.frequencies[row] / 1000:.1f}" for row in rows])
    above.set_ylabel("frequency, kHz")
    score_map(scores, events=events, ax=below)
    return figure
