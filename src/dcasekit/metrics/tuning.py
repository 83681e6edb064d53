"""Choose, per label, the settings of a chain from scores to scores: on validation clips, never on test clips."""

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
    """Find for each label the settings with the largest area under its own curve of PSDS.

    Cross triggers and the spread over labels are of several labels at once, and not counted here. With few events the choice is chance's:
    see on other clips whether it pays.

    Parameters
    ----------
    reference, scores, durations : of validation clips, as `psds` takes them.
    chain : called as ``chain(scores, **settings)`` with the scores of one clip, such as `csebbs_scores` or `median_filter`.
    grid : setting -> values; all combinations are tried, and of equal ones the first stays.
    setting : of the PSDS.

    Returns
    -------
    dict : setting -> label -> value. A label that the reference does not hold gets what is best on average over the others.

    Raises
    ------
    MetricError : the grid is empty; or see `psds`.

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
