"""JAMS: annotations of one recording in JSON, by one annotator or several.

Sources: the JAMS schema 0.3 with its namespaces; Humphrey et al., "JAMS", ISMIR 2014; Salamon et al., "Scaper", WASPAA 2017.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dcasekit.annotations.formats.base import Row, refuse_lossy
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import shorten
from dcasekit.core.files import read_json, write_json
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

ENDING = ".jams"
SUFFIXES = (".jams", ".json")

_NAMESPACES = ("segment_open", "scaper", "sound_event", "tag_open", "tag_urbansound", "tag_audioset")


def recognise(first: Sequence[str]) -> int:
    """Take what its name says to be JSON."""
    return 2


def read(path: PathLike, *, several: bool = False) -> list[Row]:
    """Read the annotations of sound events.

    An annotator is called as in the annotation's meta data (name, else e-mail address). Annotations without one are by the same annotator,
    unless two of them share a namespace: then each is an annotator of its own, ``annotation 0`` ...
    """
    content = read_json(path, error=AnnotationError, mend="an annotation file is UTF-8 text, save it as such")
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "namespace" in entry for entry in entries):
        raise AnnotationError(f"{path} is not a JAMS file; expected JSON with a list 'annotations', each with a 'namespace'")
    chosen = [(index, entry) for index, entry in enumerate(entries) if entry["namespace"] in _NAMESPACES]
    if entries and not chosen:
        spaces = ", ".join(sorted({str(entry["namespace"])[:40] for entry in entries}))
        raise AnnotationError(f"{path} holds no sound events: its namespaces are {spaces}; those read are {', '.join(_NAMESPACES)}")
    unnamed = Counter(entry["namespace"] for _, entry in chosen if not _name_annotator(entry))
    apart = max(unnamed.values(), default=0) > 1
    found = []
    for index, entry in chosen:
        annotator = _name_annotator(entry) or (f"annotation {index}" if apart else "")
        found += _read_data(path, index, entry.get("data") or [], annotator)
    return found


def _name_annotator(entry: Mapping[str, Any]) -> str:
    about = entry.get("annotation_metadata")
    who = about.get("annotator") if isinstance(about, dict) else None
    names = [who.get("name"), who.get("email")] if isinstance(who, dict) else [who]
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), "")


def _read_data(path: PathLike, index: int, data: Any, annotator: str) -> list[Row]:
    found = []
    # An annotator who heard nothing says so: the row without an event.
    for position, observation in enumerate(data if isinstance(data, list) else [data]) if data else [(0, None)]:
        try:
            event = None if not data else _read_observation(observation)
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            where = f"annotation {index}, observation {position}"
            raise AnnotationError(
                f"{path}, {where}: {type(problem).__name__} {problem}; expected time and duration in seconds, a value that is the "
                f"label or has a 'label', and a confidence in [0, 1] or null; got {shorten(observation)}"
            ) from problem
        found.append(Row(event, "", annotator))
    return found


def _read_observation(observation: Any) -> Event | None:
    """Read one observation; Scaper's background is no event."""
    if not isinstance(observation, dict):
        raise TypeError("an observation is an object")
    label = observation["value"]
    if isinstance(label, dict):  # Scaper: the whole recipe of the sound
        if label.get("role", "foreground") != "foreground":
            return None
        label = label["label"]
    if not isinstance(label, str):
        raise TypeError(f"the label {shorten(label)} is not text")
    onset, duration, confidence = observation["time"], observation["duration"], observation.get("confidence")
    if not type(onset) is type(duration) is type(confidence) is float:
        confidence = 1.0 if confidence is None else _read_number(confidence)
        onset, duration = _read_number(onset), _read_number(duration)
    # The sum is not the decimal number that the annotator saw: 0.1 + 0.2 ends at 0.3.
    return Event(round(onset, 9), round(onset + duration, 9), label.strip(), confidence)


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{shorten(value)} is not a number")
    return float(value)


def write(path: PathLike, events: Sequence[Event], duration: Seconds | None) -> Path:
    """Write one annotation in the namespace ``segment_open``."""
    refuse_lossy(path, (event.label for event in events))
    times = [(round(float(event.onset), 9), round(float(event.offset), 9)) for event in events]
    data = [
        {"time": onset, "duration": round(offset - onset, 9), "value": event.label, "confidence": float(event.weight)}
        for (onset, offset), event in zip(times, events, strict=True)
    ]
    entry = {"namespace": "segment_open", "annotation_metadata": {}, "data": data, "sandbox": {}, "time": 0, "duration": duration}
    about = {"identifiers": {}, "jams_version": "0.3.4"} | ({} if duration is None else {"duration": duration})
    return write_json(path, {"annotations": [entry], "file_metadata": about, "sandbox": {}})
