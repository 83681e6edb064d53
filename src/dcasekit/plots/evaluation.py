"""Pictures of numbers: confusion matrix, bars of labels, PSD-ROC, reliability."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from dcasekit.core.tables import visible
from dcasekit.metrics.calibration import Reliability
from dcasekit.metrics.psds import Roc
from dcasekit.plots.svg import BLUE, ORANGE, PAPER, hint, name_ticks, own_axes, percent, shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_CURVES = 12  # labels of a PSD-ROC that can still be told apart


def confusion_matrix(counts: ArrayLike, labels: Sequence[str], *, ax: "Axes | None" = None) -> "Axes":
    """Draw a confusion matrix: right predictions are blue, wrong ones orange; the shade is the share of the true label.

    Parameters
    ----------
    counts : (labels, labels), a row per true label and a column per predicted one, as ``results.confusion``.
    labels : names of rows and columns.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    from matplotlib.patches import Rectangle

    ax, counts = own_axes(ax), np.nan_to_num(np.asarray(counts, dtype=np.float64)).reshape(len(labels), len(labels))
    of_true = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    size = min(12.0, 36 * min(ax.figure.bbox.size) / ax.figure.dpi / max(len(labels), 1))
    for row, column in np.argwhere(counts).tolist():
        share, number = of_true[row, column], f"{counts[row, column]:g}"
        cell = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=BLUE if row == column else ORANGE, alpha=0.1 + 0.9 * share)
        hint(ax.add_patch(cell), f"true {labels[row]}, predicted {labels[column]}: {number} ({percent(share)})")
        written = ax.text(column, row, number, ha="center", va="center_baseline", fontsize=size, clip_on=True)
        if share > 0.5:
            written.set_color(PAPER)
    edge = max(len(labels), 1) - 0.5
    ax.set(xlim=(-0.5, edge), ylim=(edge, -0.5), aspect="equal", xlabel="predicted", ylabel="true")
    name_ticks(ax.xaxis, labels, rotation=45 if len(labels) <= 16 else 90, rotation_mode="anchor", ha="left", va="center", fontsize=size)
    name_ticks(ax.yaxis, labels, fontsize=size)
    ax.xaxis.set_label_position("top")
    ax.tick_params(top=False, bottom=False, left=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(True)
    return ax


def label_bars(
    values: Mapping[str, float],
    *,
    name: str = "",
    intervals: Mapping[str, tuple[float, float]] | None = None,
    colors: Mapping[str, Any] | None = None,
    write: Callable[[float], str] = percent,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a horizontal bar for each label, with its value beside it; NaN is written as a dash.

    Parameters
    ----------
    values : label -> number, drawn from top to bottom in this order; a negative number gets no bar.
    name : name of the numbers, for the axis.
    intervals : label -> (lower, upper), drawn over the bar.
    colors : label -> colour of the bar; labels that are left out are blue.
    write : function that formats a number; the default writes shares as percentages.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    from matplotlib import rcParams

    ax, intervals, colors = own_axes(ax), intervals or {}, colors or {}
    shown = [0.0 if math.isnan(value) else max(value, 0.0) for value in values.values()]
    bars = ax.barh(range(len(values)), shown, height=0.66, color=[colors.get(label, BLUE) for label in values])
    for at, (bar, (label, value), end) in enumerate(zip(bars, values.items(), shown, strict=True)):
        hint(bar, f"{label}: {write(value)}")
        low, high = intervals.get(label, (math.nan, math.nan))
        if not math.isnan(low):
            ax.plot(
                [low, low, math.nan, low, high, math.nan, high, high],
                [at - 0.16, at + 0.16, 0, at, at, 0, at - 0.16, at + 0.16],
                color=rcParams["text.color"],
                lw=1.5,
            )
        ax.annotate(write(value), (max(end, high) if high == high else end, at), (6, 0), textcoords="offset points", va="center")  # noqa: PLR0124
    name_ticks(ax.yaxis, list(values))
    highest = max([*shown, *(high for _, high in intervals.values() if not math.isnan(high))], default=1.0)
    ax.set(xlim=(0, max(highest, 1.0) * 1.16), ylim=(max(len(values), 1) - 0.5, -0.5))
    ax.set_xlabel(visible(name), parse_math=False)
    if write is percent:
        shares(ax.xaxis)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(left=False, bottom=False)
    return ax


def psd_roc(roc: Roc, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a PSD-ROC: a thin curve for each of the first 12 labels, and a thick one for all labels, whose area is the PSDS.

    Parameters
    ----------
    roc : as `dcasekit.metrics.psds.roc` or ``results.psd_roc()`` returns it.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes; false alarms per hour against the share of events found.
    """
    ax, end = own_axes(ax), roc.max_fp_per_hour

    def staircase(x: ArrayLike, y: ArrayLike, **style: Any) -> None:
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        x, y = x[x <= end], y[: np.count_nonzero(x <= end)]
        (line,) = ax.step([*x, end], [*y, y[-1] if len(y) else 0.0], where="post", clip_on=False, **style)
        hint(line, str(style["label"]))

    for label, (x, y) in list(roc.labels.items())[:_MOST_CURVES]:
        staircase(x, y, color=ORANGE, linewidth=1, alpha=0.45, label=label)
    staircase(roc.fp_per_hour, roc.tpr, color=BLUE, linewidth=2.5, label=f"all labels, PSDS {percent(roc.area)}")
    ax.set(xlim=(0, end), ylim=(0, 1.02), xlabel="false alarms per hour", ylabel="events found")
    shares(ax.yaxis)
    ax.grid(axis="y")
    return ax


def reliability(curve: Reliability, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a reliability diagram: how often a label was present, against its score. On the diagonal, scores are calibrated probabilities.

    Parameters
    ----------
    curve : as `dcasekit.metrics.calibration.reliability` returns it.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes; larger dots stand for more scores.
    """
    ax = own_axes(ax)
    ax.plot([0, 1], [0, 1], color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
    ax.plot(curve.score, curve.frequency, color=BLUE, linewidth=2)
    largest = max(float(curve.count.max()), 1.0) if len(curve.count) else 1.0
    for score, frequency, count in zip(curve.score, curve.frequency, curve.count, strict=True):
        (dot,) = ax.plot(score, frequency, "o", color=BLUE, markersize=3 + 7 * math.sqrt(count / largest), clip_on=False)
        hint(dot, f"{count:,} scores of {score:.2f} on average: the label is present in {percent(frequency)}")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="score", ylabel="share in which the label is present")
    shares(ax.xaxis)
    shares(ax.yaxis)
    ax.grid(axis="y")
    return ax
