"""What is known about a recording: events, clips, tags; as objects, as arrays, as the annotation files of the field.

Time is in seconds, half-open ``[onset, offset)``. Unknown is ``None``, in arrays NaN; known to be empty is empty, or 0.
"""

from dcasekit.annotations.corrections import Correction, append_corrections, corrections_beside, read_corrections
from dcasekit.annotations.files import (
    EVENT_COLUMNS,
    annotation_formats,
    read_annotation,
    read_events,
    read_events_folder,
    write_annotation,
    write_events,
)
from dcasekit.annotations.list_columns import read_list_columns
from dcasekit.annotations.nouns import LONGEST, TIME_TOLERANCE, Clip, Event
from dcasekit.annotations.rolls import HARD, clip_to_vector, events_to_roll, events_to_tags, harden, present, tags_to_vector
from dcasekit.annotations.tag_lists import read_tag_list, write_tag_list

__all__ = [
    "EVENT_COLUMNS",
    "HARD",
    "LONGEST",
    "TIME_TOLERANCE",
    "Clip",
    "Correction",
    "Event",
    "annotation_formats",
    "append_corrections",
    "clip_to_vector",
    "corrections_beside",
    "events_to_roll",
    "events_to_tags",
    "harden",
    "present",
    "read_annotation",
    "read_corrections",
    "read_events",
    "read_events_folder",
    "read_list_columns",
    "read_tag_list",
    "tags_to_vector",
    "write_annotation",
    "write_events",
    "write_tag_list",
]
