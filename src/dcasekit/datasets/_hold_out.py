"""Draw validation clips from training clips, as the systems did whose splits are published.

The order of random draws is dcase_util's (``validation_split``), so that its splits come out file for file; the shuffle is that of
Python's ``random.shuffle(x, random.random)``, which 3.11 dropped.
"""

import logging
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

from dcasekit.annotations import Clip, present
from dcasekit.datasets._protocols import refuse_cut_groups
from dcasekit.errors import DatasetError

_log = logging.getLogger(__name__)

Balance = Literal["class", "identifier", "identifier_two_level_hierarchy"]
Clips = tuple[Clip, ...]
Item = TypeVar("Item")


def hold_out(clips: Sequence[Clip], amount: float, *, balance: Balance | None, seed: int, attempts: int) -> tuple[Clips, Clips]:
    """Part clips into those to train on and those to validate on, each in the order given; see `Dataset.validation_split`."""
    if not 0 < amount < 1 or attempts < 1:
        raise DatasetError(f"amount must lie in (0, 1) and attempts be at least 1; got {amount} and {attempts}")
    rng = random.Random(seed)  # noqa: S311 - a published order of draws
    ordered = sorted(clips, key=lambda clip: (clip.path.name, clip.id))
    if balance is None:
        held = {name for ids in _first(_shuffle(_wholes(ordered), rng), amount, key=list) for name in ids}
    elif balance == "class":
        held = {name for _, group in _by_label(ordered) for name in _first(_shuffle(group, rng), amount, key=_id)}
    elif balance in _UNITS:
        held = set()
        for _, group in _by_label(ordered):
            held |= _closest(_UNITS[balance](group), amount, rng, attempts)
    else:
        raise DatasetError(f"balance must be None or one of 'class', {', '.join(map(repr, _UNITS))}; got {balance!r}")
    parts = tuple(clip for clip in clips if clip.id not in held), tuple(clip for clip in clips if clip.id in held)
    _refuse_empty(parts, amount)
    refuse_cut_groups(parts)
    return parts


def _refuse_empty(parts: tuple[Clips, Clips], amount: float) -> None:
    """Raise if a part has no clips; warn of labels that only one of them has."""
    train, validation = parts
    for part, use in ((train, "train"), (validation, "validate")):
        if not part:
            groups = len(_wholes([*train, *validation]))
            raise DatasetError(
                f"amount={amount:g} of {len(train) + len(validation)} clips in {groups} groups leaves none to {use} on; a group is never "
                "cut: take another amount or balance, or validate on a fold"
            )
    held = [{label for clip in part for label in present(clip.tags)} for part in parts]
    for only, other, lacking in ((held[1] - held[0], "validate", "train"), (held[0] - held[1], "train", "validate")):
        if only:
            _log.warning("there are clips of the labels %s to %s on, but none to %s on", ", ".join(sorted(only)), other, lacking)


def _wholes(clips: Iterable[Clip]) -> list[list[str]]:
    """Return ids of clips by group, a clip without one by itself, in the order of their first clips."""
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        groups[f"group {clip.group}" if clip.group else f"clip {clip.id}"].append(clip.id)
    return list(groups.values())


def _shuffle(items: Iterable[Item], rng: random.Random) -> list[Item]:
    """Shuffle a copy, one draw of ``rng.random()`` per step from the end (Fisher and Yates)."""
    found = list(items)
    for last in range(len(found) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        found[last], found[other] = found[other], found[last]
    return found


def _first(items: Sequence[Item], amount: float, *, key: Callable[[Item], Any]) -> list[Any]:
    return [key(item) for item in items[: math.ceil(amount * len(items))]]


def _id(clip: Clip) -> str:
    return clip.id


def _by_label(clips: Iterable[Clip]) -> list[tuple[str, list[Clip]]]:
    found = defaultdict(list)
    for clip in clips:
        labels = present(clip.tags)
        if len(labels) != 1:
            raise DatasetError(f"clip {clip.id!r} has {len(labels)} labels; to balance by label every clip needs one: use balance=None")
        found[labels[0]].append(clip)
    return sorted(found.items())


def _identifiers(clips: Iterable[Clip]) -> list[list[list[str]]]:
    """Return ids of clips by group, all in one block."""
    groups = defaultdict(list)
    for clip in clips:
        groups[_group(clip)].append(clip.id)
    return [[ids for _, ids in sorted(groups.items())]]


def _hierarchy(clips: Iterable[Clip]) -> list[list[list[str]]]:
    """Return ids of clips by location, in a block per city; both in the order of their common name."""
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        if len(_group(clip).split("-")) != 2:
            raise DatasetError(f"clip {clip.id!r}: this split needs groups of the form 'city-location'; got {clip.group!r}")
        groups[clip.group].append(clip.id)
    blocks: dict[str, list[list[str]]] = defaultdict(list)
    for name in sorted(groups):
        blocks[name.partition("-")[0]].append(groups[name])
    return list(blocks.values())


def _group(clip: Clip) -> str:
    if not clip.group:
        raise DatasetError(f"clip {clip.id!r} has no group (identifier); use balance='class' (--balance class)")
    return clip.group


_UNITS = {"identifier": _identifiers, "identifier_two_level_hierarchy": _hierarchy}


def _closest(blocks: list[list[list[str]]], amount: float, rng: random.Random, attempts: int) -> set[str]:
    """Of several draws of groups, ``amount`` of each block, take the first whose share of clips is closest to it."""
    total = sum(len(ids) for block in blocks for ids in block)
    best: tuple[float, set[str]] = (math.inf, set())
    for _ in range(attempts):
        drawn = [ids for block in blocks for ids in _first(_shuffle(block, rng), amount, key=list)]
        held = {name for ids in drawn for name in ids}
        best = min(best, (abs(len(held) / total - amount), held), key=lambda found: found[0])
    return best[1]
