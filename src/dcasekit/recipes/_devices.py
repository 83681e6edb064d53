"""How well scenes are told apart in the recordings of each device, and what a network costs there, as tables of a report."""

from collections.abc import Mapping, Sequence

import numpy as np

from dcasekit.annotations import Clip
from dcasekit.containers.base import ModelContainer
from dcasekit.core.tables import Table
from dcasekit.results import Results
from dcasekit.results.inspection import judge

DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")  # of the editions of 2020 and 2022
COLUMNS = (*DEVICES, "mean of scenes")
BASELINE = {  # of DCASE 2025 task 1; README of its code
    "baseline, for all devices": (0.6280, 0.5287, 0.5423, 0.4852, 0.4729, 0.5286, 0.4814, 0.4723, 0.4260, 0.5072),
    "baseline, for each device": (0.6398, 0.5585, 0.5909, 0.4868, 0.4874, 0.5272, 0.4814, 0.4723, 0.4260, 0.5189),
}


def devices(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Group clips by device: device -> its clips, in the order of `DEVICES`; devices without clips are left out."""
    found: dict[str, list[Clip]] = {}
    for name in DEVICES:
        if own := [clip for clip in clips if clip.extra["device"] == name]:
            found[name] = own
    return found


def table(title: str, systems: Mapping[str, Results], clips: Sequence[Clip], published: Mapping[str, Sequence[float]]) -> Table:
    """Make a table of systems with the accuracy on the clips of each device, and the macro accuracy on all clips.

    Parameters
    ----------
    title : title of the table.
    systems : name of the row -> results of a system for the clips.
    clips : the clips, with their devices.
    published : name of the row -> published values for `COLUMNS`.
    """
    of = {clip.id: clip.extra["device"] for clip in clips}
    rows: list[tuple[str | float | None, ...]] = [(name, *known) for name, known in published.items()]
    for name, results in systems.items():
        right: dict[str, list[bool]] = {}
        for one in judge(results):
            right.setdefault(of[one.clip], []).append(bool(one.right))
        shares = [float(np.mean(right[device])) if device in right else None for device in DEVICES]
        rows.append((name, *shares, results.numbers["accuracy/macro"]))
    return Table(("system", *COLUMNS), rows, title, range(len(published), len(rows)))


def limits(model: ModelContainer) -> Table:
    """Make a table of a network's cost for 1 s and the limits of DCASE's low-complexity tasks: 128 kB of parameters, 30 million MACs."""
    cost = model.cost()
    rows = [("bytes of parameters in float16", 2 * cost["parameters"], 128_000), ("multiply-accumulates for 1 s", cost["macs"], 30_000_000)]
    shown = [(name, f"{ours:,}", f"{most:,}", "yes" if ours <= most else "no") for name, ours, most in rows]
    return Table(("", "this network", "allowed", "kept"), shown, "Limits of the challenge")
