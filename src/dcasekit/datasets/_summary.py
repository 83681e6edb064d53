"""What a dataset holds, in numbers: the tables of the acoustic scene tutorial."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dcasekit.annotations import Clip, Event, harden, present
from dcasekit.core.tables import Table
from dcasekit.core.units import Seconds
from dcasekit.datasets._protocols import Split

_CLIP = ("id", "path", "duration", "fold", "group", "channel")


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Clips and groups that hold a label, and its events: how many, their total and median duration (``None``: times unknown)."""

    label: str
    clips: int
    groups: int
    events: int | None
    total: Seconds | None
    median: Seconds | None


@dataclass(frozen=True, slots=True)
class RoundCount:
    """Clips and groups to train, to validate and to test on in one round of the protocol."""

    round: str
    train: int
    train_groups: int
    validation: int
    validation_groups: int
    test: int
    test_groups: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a dataset; as text the tables, as `to_dict` what JSON knows.

    Parameters
    ----------
    name, task : of the dataset.
    clips, groups, missing : how many are there; groups of which no two parts of a split share one; clips whose file lacks.
    seconds : total duration of the clips whose duration the label files give; ``None``: they give none.
    folds : name -> number of clips.
    labels, rounds : one row each.
    """

    name: str
    task: str
    clips: int
    groups: int
    missing: int
    seconds: Seconds | None
    folds: Mapping[str, int]
    labels: tuple[LabelCount, ...]
    rounds: tuple[RoundCount, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        absent = f", {self.missing} more are listed but not there" if self.missing else ""
        length = "" if self.seconds is None else f", {self.seconds / 3600:.2f} h"
        head = f"{self.name}: {self.task}, {self.clips} clips in {self.groups} groups{length}{absent}"
        return "\n\n".join([head, *(str(Table.of([asdict(row) for row in rows])) for rows in (self.labels, self.rounds) if rows)])


def summarize(name: str, task: str, labels: Sequence[str], clips: Sequence[Clip], rounds: Mapping[str, Split], *, missing: int) -> Summary:
    """Count."""
    durations = [clip.duration for clip in clips if clip.duration is not None]
    folds = dict.fromkeys((clip.fold for clip in clips), 0)
    holders: dict[str, list[Clip]] = {label: [] for label in labels}
    spans: dict[str, list[Seconds]] = {label: [] for label in labels}
    for clip in clips:
        folds[clip.fold] += 1
        events = _cut(harden(clip.events or ()), clip.duration)
        for label in {*present(clip.tags), *(event.label for event in events)}:
            holders[label].append(clip)
        for event in events:
            spans[event.label].append(event.offset - event.onset)
    timed = any(clip.events is not None for clip in clips)
    return Summary(
        name=name,
        task=task,
        clips=len(clips),
        groups=_groups(clips),
        missing=missing,
        seconds=sum(durations) if durations else None,
        folds=folds,
        labels=tuple(
            LabelCount(
                label=label,
                clips=len(holders[label]),
                groups=_groups(holders[label]),
                events=len(spans[label]) if timed else None,
                total=sum(spans[label]) if timed else None,
                median=statistics.median(spans[label]) if spans[label] else None,
            )
            for label in labels
        ),
        rounds=tuple(
            RoundCount(fold, *(count for part in (split.train, split.validation, split.test) for count in (len(part), _groups(part))))
            for fold, split in rounds.items()
        ),
    )


def _cut(events: Iterable[Event], duration: Seconds | None) -> list[Event]:
    """Keep of events what lies in their clip."""
    end = math.inf if duration is None else duration
    return [replace(event, offset=min(event.offset, end)) for event in events if event.onset < end]


def clip_rows(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return what is known about each clip as a row; names in ``extra`` that are a clip's own get ``extra_`` before them."""
    return [
        {name: getattr(clip, name) for name in _CLIP}
        | {f"extra_{name}" if name in (*_CLIP, "tags", "events") else name: text for name, text in clip.extra.items()}
        | {"tags": None if clip.tags is None else dict(clip.tags), "events": None if clip.events is None else len(clip.events)}
        for clip in clips
    ]


def _groups(clips: Iterable[Clip]) -> int:
    return len({clip.group or clip.id for clip in clips})
