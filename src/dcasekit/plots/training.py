"""Learning curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dcasekit.core.tables import visible
from dcasekit.plots.svg import BLUE, ORANGE, hint, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, float]]


def learning_curves(
    histories: Mapping[str, History] | History, *, quantity: str = "loss", name: str = "", ax: "Axes | None" = None
) -> "Axes":
    """Draw a quantity over epochs, for training in blue and for validation in orange; of several folds thin curves and their mean.

    Parameters
    ----------
    histories : a history as ``model.history`` and ``train`` return it, one dict per epoch; or fold -> history.
    quantity : which number of the records to draw; ``"loss"`` draws ``loss`` or ``train_loss``, and ``val_loss``.
    name : what the axis calls it; by default `quantity`.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    from matplotlib.ticker import MaxNLocator

    ax = own_axes(ax)
    folds = histories if isinstance(histories, Mapping) else {"": histories}
    kinds = (("training", BLUE, (quantity, f"train_{quantity}")), ("validation", ORANGE, (f"val_{quantity}",)))
    for kind, color, keys in kinds:
        curves = {fold: curve for fold, history in folds.items() if (curve := _points(history, keys))}
        if len(curves) > 1:
            for fold, curve in curves.items():
                hint(ax.plot(*zip(*curve, strict=True), color=color, linewidth=1, alpha=0.4)[0], f"{fold}, {kind}")
            curves = {"": [(at[0][0], float(np.mean([y for _, y in at]))) for at in zip(*curves.values(), strict=False)]}
        for curve in curves.values():
            dot = "o" if len(curve) == 1 else ""
            hint(ax.plot(*zip(*curve, strict=True), color=color, linewidth=2.5, marker=dot, label=kind, clip_on=False)[0], kind)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, labelcolor="linecolor", borderaxespad=0, handlelength=1.2
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel(visible(name or quantity), parse_math=False)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    ax.grid(axis="y")
    return ax


def _points(history: History, keys: Sequence[str]) -> list[tuple[float, float]]:
    """Return (epoch, value) of the epochs that have a finite value of one of the keys."""
    found = [(epoch.get("epoch", index), epoch.get(key)) for index, epoch in enumerate(history, 1) for key in keys]
    return [(float(at), float(value)) for at, value in found if value is not None and np.isfinite(value)]
