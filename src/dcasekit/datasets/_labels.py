"""A choice of a dataset's labels: which are kept, what they are called, and what becomes of a clip."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dcasekit.annotations import TIME_TOLERANCE, Clip, Event, present
from dcasekit.errors import DatasetError

Choice: TypeAlias = str | Sequence[str] | Mapping[str, str]


def choose(choice: Choice, known: Sequence[str], sets: Mapping[str, Choice]) -> dict[str, str]:
    """Return label -> new label of those that are kept.

    Parameters
    ----------
    choice : see `Dataset.with_labels`.
    known : the dataset's labels.
    sets : name -> choice, the dataset's `label_sets`.

    Raises
    ------
    DatasetError : no such label or set, none at all, or one twice.
    """
    if isinstance(choice, str):
        if choice not in sets:
            told = f"its sets of labels are: {', '.join(sets)}" if sets else "it has no named sets of labels"
            raise DatasetError(f"no set of labels {choice!r}; {told}. Give labels as a list, with_labels([{choice!r}])")
        choice = sets[choice]
    found = dict(choice) if isinstance(choice, Mapping) else dict(zip(choice, choice, strict=True))
    if not found or len(found) != len(choice):
        raise DatasetError(f"choose one label or more, each once; got {choice!r}")
    for label in found:
        if label not in known:
            close = difflib.get_close_matches(str(label), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise DatasetError(f"there is no label {label!r}.{hint} Known: {', '.join(known)}")
    return found


def relabel(clip: Clip, new: Mapping[str, str], task: str) -> Clip | None:
    """Return a clip with its labels renamed, those that have no new name left out; ``None`` for a scene that is left out."""
    if task == "classification" and clip.tags is not None and not any(label in new for label in present(clip.tags)):
        return None
    return replace(clip, tags=_rename_tags(clip.tags, new), events=None if clip.events is None else tuple(_rename(clip.events, new)))


def _rename_tags(tags: Mapping[str, float | None] | None, new: Mapping[str, str]) -> dict[str, float | None] | None:
    """Assign each new label the largest value of the labels that became it; unknown if one is, unless another is certain."""
    if tags is None:
        return None
    found: dict[str, list[float | None]] = {}
    for label, value in tags.items():
        if label in new:
            found.setdefault(new[label], []).append(value)
    highest = {label: max((value for value in values if value is not None), default=0.0) for label, values in found.items()}
    return {label: None if None in values and highest[label] < 1 else highest[label] for label, values in found.items()}


def _rename(events: Iterable[Event], new: Mapping[str, str]) -> Iterable[Event]:
    """Rename events; where those of labels that became one overlap and weigh the same, they are one event."""
    names = list(new.values())
    joined = {label for label in names if names.count(label) > 1}
    renamed = (replace(event, label=new[event.label]) for event in events if event.label in new)
    found: list[Event] = []
    for event in sorted(renamed, key=lambda event: (event.label, event.weight, event.onset)):
        last = found[-1] if found else None
        same = last is not None and last.label in joined and (last.label, last.weight) == (event.label, event.weight)
        if last is not None and same and event.onset < last.offset - TIME_TOLERANCE:
            found[-1] = replace(last, offset=max(last.offset, event.offset))
        else:
            found.append(event)
    return sorted(found)
