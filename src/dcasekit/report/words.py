"""How a report writes names, numbers, times and settings."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dcasekit.core.energy import WORLD, Energy
from dcasekit.core.tables import Table
from dcasekit.plots.svg import percent

_NAMES = {
    "accuracy": "accuracy",
    "accuracy/macro": "mean recall of classes",
    "average_precision/macro": "mAP",
    "average_precision": "average precision",
    "auc": "AUC",
    "auc/macro": "AUC (macro)",
    "f1": "F1",
    "f1/micro": "F1 (micro)",
    "f1/macro": "F1 (macro)",
    "error_rate": "error rate",
    "error_rate/micro": "error rate (micro)",
    "error_rate/macro": "error rate (macro)",
    "clip/average_precision": "clip average precision",
    "clip/average_precision/macro": "clip mAP",
    "event_f1": "event-based F1",
    **{f"{key}_{n}s": f"{text} in blocks of {n} s" for key, text in (("f1", "F1"), ("error_rate", "error rate")) for n in (1, 5)},
    "event_f1_first_pass": "event-based F1, first pass",
    "event_f1_evaluation": "event-based F1, evaluation set",
    "event_f1_evaluation_first_pass": "event-based F1, evaluation set, first pass",
    "event_error_rate": "event-based error rate",
    "event_error_rate_evaluation": "event-based error rate, evaluation set",
    "segment_f1": "segment-based F1",
    "best_f1": "F1 at best thresholds",
    "micro_f1": "F1 (micro)",
    "macro_f1": "F1 (macro)",
    "error_rate_clips": "error rate, clip by clip",
    "micro_f1_clips": "F1 (micro), clip by clip",
    "macro_f1_clips": "F1 (macro), clip by clip",
    "psds1": "PSDS1",
    "psds2": "PSDS2",
    "partial_auc": "AUC up to a false positive rate of 0.1",
    "psds1_csebbs": "PSDS1 of bounding boxes",
    "psds2_csebbs": "PSDS2 of bounding boxes",
    "event_f1_csebbs": "event-based F1 of bounding boxes",
    "intersection_f1": "intersection-based F1",
    "intersection_f1_csebbs": "intersection-based F1 of bounding boxes",
}


def settings_table(title: str, values: Mapping[str, Any]) -> Table:
    """Make a table of names and values."""
    return Table(("name", "value"), [(str(name), text(value)) for name, value in values.items()], title=title)


def name(key: str) -> str:
    """Return the key of a number in words; an unknown key gets spaces for its underscores."""
    return _NAMES.get(key, key.replace("_", " "))


def span(interval: tuple[float, float], key: str = "") -> str:
    """Format an interval; `key` names the number, which decides the format. NaN is a dash."""
    return "–" if np.isnan(interval[0]) else f"{show(key, interval[0])} to {show(key, interval[1])}"


def show(key: str, value: float) -> str:
    """Format a number; `key` is its name, which decides the format. NaN is a dash."""
    return writer_for(key)(value)


def writer_for(key: str) -> Callable[[float], str]:
    """Return the function that formats a number of this name: errors, which can exceed 1, as decimals; all others as percentages."""
    return _decimal if "error" in key else percent


def _decimal(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def text(value: Any) -> str:
    """Format the value of a setting on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value)


def si(count: float) -> str:
    """Format a large number with an SI prefix, e.g. 12.3 M."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.1f} {prefix}"
    return f"{count:g}"


def duration(seconds: float) -> str:
    """Format a duration in seconds, e.g. as 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def electricity(used: Energy, *, short: bool = False) -> str:
    """Say in one sentence how much electricity was used, or why this is unknown; `short`: only the amount, or an empty text."""
    if short:
        return "" if used.note else kwh(used.kwh)
    if used.note:
        return used.note
    whose = "the world's average" if used.country == WORLD else f"that of {used.country}"
    return f"It used {kwh(used.kwh)} of electricity, estimated by codecarbon; as {whose} this made {co2e(used.kg_co2e)}."


def describe_energy(used: Energy | None, *, short: bool = False) -> list[str]:
    """Return sentences that say how long a run took and how much electricity it used; none if this was not measured."""
    if used is None:
        return []
    time, energy = duration(used.seconds), electricity(used, short=short)
    return [f"took {time}", energy] if short else [f"The run took {time}.", energy]


def kwh(amount: float) -> str:
    """Format an amount of electricity, given in kWh."""
    return f"{amount:.3g} kWh" if amount >= 0.1 else f"{1000 * amount:.3g} Wh"


def co2e(kg: float) -> str:
    """Format an amount of greenhouse gases, given in kg of CO₂ equivalents."""
    return f"{kg:.3g} kg CO₂e" if kg >= 1 else f"{1000 * kg:.3g} g CO₂e"
