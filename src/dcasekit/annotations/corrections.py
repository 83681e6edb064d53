"""What clips really hold, where their dataset says something else: a file of its own beside the dataset, a line per correction.

The file is JSON Lines: an object ``clip``, ``said`` and ``really`` (each ``tags``, label to value, and ``events``, onset, offset, label,
weight; null: unknown), ``who``, ``when``. Lines are only ever added; of two for one clip the later counts. `Dataset.with_corrections`
applies them.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcasekit.annotations.nouns import Clip, Event
from dcasekit.annotations.rolls import events_to_tags, present
from dcasekit.core.cells import shorten
from dcasekit.core.files import read_utf8, writing
from dcasekit.core.units import PathLike
from dcasekit.errors import AnnotationError


@dataclass(frozen=True, slots=True)
class Correction:
    """What a clip really holds.

    Parameters
    ----------
    clip : its id.
    tags, events : what it holds, as of `Clip`; ``None``: unknown. Events alone give the tags, too.
    said_tags, said_events : what the dataset said.
    who : says so.
    when : in UTC, as 2026-11-28T12:00:00Z; empty: the time at which it is added to a file.
    """

    clip: str
    tags: Mapping[str, float | None] | None = None
    events: tuple[Event, ...] | None = None
    said_tags: Mapping[str, float | None] | None = None
    said_events: tuple[Event, ...] | None = None
    who: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        if self.tags is None and self.events is not None:
            object.__setattr__(self, "tags", events_to_tags(self.events))
        for tags, events in ((self.tags, self.events), (self.said_tags, self.said_events)):
            Clip(self.clip, Path(), tags=tags, events=events)  # refuses what no clip can hold

    @classmethod
    def of(
        cls, clip: Clip, *, tags: Mapping[str, float | None] | None = None, events: Iterable[Event] | None = None, who: str = ""
    ) -> "Correction":
        """Say what a clip of a dataset really holds."""
        return cls(clip.id, tags, None if events is None else tuple(events), clip.tags, clip.events, who)

    def apply(self, clip: Clip) -> Clip:
        """Return the clip as it really is.

        Where tags alone are corrected, the events of labels that are gone go, and times are unknown as soon as a label joins.
        """
        if self.events is not None or clip.events is None or self.tags is None:
            return replace(clip, tags=self.tags, events=self.events)
        left = tuple(event for event in clip.events if event.label in present(self.tags))
        timed = set(present(self.tags)) <= {event.label for event in left}
        return replace(clip, tags=self.tags, events=left if timed else None)


def corrections_beside(root: PathLike) -> Path:
    """Name the file of a dataset's corrections, beside its folder: ``ESC-50.corrections.jsonl``.

    >>> corrections_beside("/data/ESC-50").name
    'ESC-50.corrections.jsonl'
    """
    folder = Path(os.path.abspath(root))
    return folder.with_name(f"{folder.name}.corrections.jsonl")


def append_corrections(path: PathLike, corrections: Iterable[Correction]) -> Path:
    """Add corrections to a file, all of them or none; make the file if there is none.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    lines = "".join(json.dumps(_to_dict(one, now)) + "\n" for one in corrections).encode()
    with writing(path, or_else="choose another file"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b", buffering=0) as file:  # one write at the end: beside other processes, too, lines stay whole
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            whole = file.read(1) in (b"\n", b"")
            block = lines if whole else b"\n" + lines
            if (file.write(block) or 0) < len(block):
                file.truncate(size)
                raise OSError
    return Path(path)


def read_corrections(path: PathLike) -> list[Correction]:
    """Read corrections, in the order in which they were made.

    Raises
    ------
    AnnotationError : the file cannot be read, or a line is not a correction; the message names the line.
    """
    try:
        lines = read_utf8(path).split("\n")
    except FileNotFoundError:
        raise AnnotationError(f"{path} does not exist; check how it is spelled") from None
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read {path} as corrections: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_from_dict(json.loads(line)))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:  # AnnotationError is a ValueError
                raise AnnotationError(f"{path}, line {number} is not a correction ({error}): {shorten(line)}; delete this line") from error
    return found


def _to_dict(one: Correction, now: str) -> dict[str, Any]:
    said, really = (_holds(*pair) for pair in ((one.said_tags, one.said_events), (one.tags, one.events)))
    return {"clip": one.clip, "said": said, "really": really, "who": one.who, "when": one.when or now}


def _holds(tags: Mapping[str, float | None] | None, events: tuple[Event, ...] | None) -> dict[str, Any]:
    times = None if events is None else [[event.onset, event.offset, event.label, event.weight] for event in events]
    return {"tags": None if tags is None else dict(tags), "events": times}


def _from_dict(found: Mapping[str, Any]) -> Correction:
    clip, who, when = (found[name] for name in ("clip", "who", "when"))
    if not all(isinstance(text, str) for text in (clip, who, when)):
        raise TypeError("clip, who and when are texts")
    return Correction(clip, *_held_by(found["really"]), *_held_by(found["said"]), who, when)


def _held_by(side: Mapping[str, Any]) -> tuple[dict[str, float | None] | None, tuple[Event, ...] | None]:
    tags, events = side["tags"], side["events"]
    return (
        None if tags is None else {str(label): None if value is None else float(value) for label, value in tags.items()},
        None if events is None else tuple(Event(float(on), float(off), str(label), float(weight)) for on, off, label, weight in events),
    )
