"""Choose the settings of post-processing for each label: on validation clips, never on test clips."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from dcasekit.core.units import Seconds
from dcasekit.errors import MetricError
from dcasekit.metrics._events import Events
from dcasekit.metrics._scored import ScoresOf
from dcasekit.metrics.psds import PSDS1, Setting, psds
from dcasekit.scores import Scores


def best_psds(
    reference: Events,
    scores: ScoresOf,
    durations: Mapping[str, Seconds],
    chain: Callable[..., Scores],
    grid: Mapping[str, Sequence[float]],
    *,
    setting: Setting = PSDS1,
) -> dict[str, dict[str, float]]:
    """Find the settings of post-processing that give each label the largest area under its own PSD-ROC curve.

    The spread over labels is a matter of all labels together and is not taken into account. With few events the choice depends
    on chance: check on other clips whether it helps.

    Parameters
    ----------
    reference, scores, durations : of validation clips, as for `dcasekit.metrics.psds.psds`.
    chain : the post-processing, called as ``chain(scores, **settings)`` with the scores of one clip; it returns scores, as `csebbs_scores`
        and `median_filter` do.
    grid : name of a setting -> values to try. All combinations are tried; if several are equally good, the first is taken.
    setting : the settings of the PSDS.

    Returns
    -------
    dict : name of a setting -> label -> the best value. A label that the reference does not hold gets the settings that are best on average
        for the others.

    Raises
    ------
    MetricError : the grid is empty; or as for `dcasekit.metrics.psds.psds`.

    Examples
    --------
    >>> import numpy as np
    >>> from dcasekit.annotations import Event
    >>> from dcasekit.scores import median_filter
    >>> clicked = Scores(np.array([0.9, 0, 0, 0.8, 0.8, 0.8, 0])[:, None], np.arange(8.0), ["dog"])
    >>> best_psds({"a": [Event(3, 6, "dog")]}, {"a": clicked}, {"a": 7.0}, median_filter, {"frames": [1, 3, 9]})
    {'frames': {'dog': 3}}
    """
    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if not grid or not candidates:
        raise MetricError(f"there is nothing to choose from: the grid is {dict(grid)}")
    labels = next(iter(scores.values())).labels if scores else ()
    areas: list[dict[str, float]] = []
    for settings in candidates:
        found = psds(reference, {clip: chain(one, **settings) for clip, one in scores.items()}, durations, labels=labels, **setting)
        own = {label: found[f"psds/{label}"] for label in labels}
        known = [area for area in own.values() if not math.isnan(area)]
        areas.append({label: sum(known) / len(known) if math.isnan(area) else area for label, area in own.items()})
    best = {label: max(range(len(areas)), key=lambda number: areas[number][label]) for label in labels}  # noqa: B023 - used at once
    chosen: dict[str, dict[str, Any]] = {name: {label: candidates[best[label]][name] for label in labels} for name in grid}
    return chosen
