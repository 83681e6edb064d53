"""What is known about a recording: events, clips, tags; as objects, as arrays, as the annotation files of the field.

Time is in seconds, half-open ``[onset, offset)``. Unknown is ``None``, in arrays NaN; known to be empty is empty, or 0.
"""

from dcasekit.annotations.files import (
    EVENT_COLUMNS,
    read_annotation,
    read_events,
    read_tag_list,
    write_annotation,
    write_events,
)
from dcasekit.annotations.nouns import TIME_TOLERANCE, Clip, Event
from dcasekit.annotations.rolls import HARD, clip_to_vector, events_to_roll, events_to_tags, harden, present, tags_to_vector

__all__ = [
    "EVENT_COLUMNS",
    "HARD",
    "TIME_TOLERANCE",
    "Clip",
    "Event",
    "clip_to_vector",
    "events_to_roll",
    "events_to_tags",
    "harden",
    "present",
    "read_annotation",
    "read_events",
    "read_tag_list",
    "tags_to_vector",
    "write_annotation",
    "write_events",
]
