"""Tables of events: columns found by the names of their header, or by their numbers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from dcasekit.annotations.formats.base import Row, is_number
from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import parse_number, parse_span, shorten
from dcasekit.core.files import Rows
from dcasekit.core.units import PathLike
from dcasekit.errors import AnnotationError

# Names of columns in use, the preferred one first: DESED's real recordings have both "onset" and "start" (of the clip in its film).
_NAMES = {
    "file": (
        *("filename", "file", "file_name", "fname", "audio_filename", "filepath", "file_path", "audio_path", "audio_file", "path", "clip"),
        *("clip_id", "clip_name", "recording", "recording_id", "file_id", "audio", "wav", "begin_file", "begin_path"),
    ),
    "onset": ("onset", "event_onset", "begin_time", "start_time", "start", "begin"),
    "offset": ("offset", "event_offset", "end_time", "end", "stop"),
    "label": (
        *("event_label", "event_labels", "annotation", "label", "labels", "species", "common_name", "event", "class", "call_type"),
        *("tag", "tags", "scene_label", "category"),
    ),
    "weight": ("weight", "value", "confidence", "soft_label", "score", "probability"),
    "annotator": ("annotator", "annotator_id", "annotator_name", "annotated_by", "rater", "rater_id"),
}


# Name -> the kind of column that it may be, and how preferred it is there.
_KINDS = {name: [(kind, known.index(name)) for kind, known in _NAMES.items() if name in known] for name in chain(*_NAMES.values())}


@dataclass(frozen=True)
class Columns:
    """Where a table has what; ``most`` is how many cells a row may have."""

    onset: int
    offset: int
    label: int
    most: int
    file: int | None = None
    weight: int | None = None
    annotator: int | None = None


_LONGEST = 100  # characters; no name of a column has so many
_SECONDS = re.compile(r"[ _]*[\[(](s|sec|seconds)[\])]$|[ _](s|sec|secs|seconds)$")
_RECORDING = re.compile(r"\S.*\.(wav|flac|mp3|ogg|opus|m4a|aiff?|caf|au)", re.IGNORECASE)


def normalise(cell: str) -> str:
    """Write the name of a column as names are compared: ``"Begin Time (s)"`` is ``"begin_time"``."""
    return _normalise(cell) if len(cell) < _LONGEST else cell


@lru_cache(maxsize=1024)  # many files have one header
def _normalise(cell: str) -> str:
    return _SECONDS.sub("", cell.strip().lower()).replace(" ", "_")


def is_recording(cell: str) -> bool:
    """Tell whether a cell looks like the name of an audio file."""
    return _RECORDING.fullmatch(cell.strip()) is not None


def find_columns(header: Sequence[str]) -> dict[str, int]:
    """Find the columns that are known by name: kind -> index."""
    found: dict[str, tuple[int, int]] = {}
    for index, cell in enumerate(header):
        for kind, rank in _KINDS.get(normalise(cell), ()):
            if kind not in found or rank < found[kind][0]:
                found[kind] = rank, index
    return {kind: found[kind][1] for kind in _NAMES if kind in found}


def missing_column(path: PathLike, line: int, kind: str, header: Sequence[str]) -> AnnotationError:
    """Say which column a header lacks."""
    timed = kind == "offset" and any(normalise(cell) in ("duration", "length") for cell in header)
    how = "add a column 'offset', onset + duration" if timed else f"name one of them {_NAMES[kind][0]!r}"
    return AnnotationError(f"{path}, line {line}: no column for the {kind}; the columns are {', '.join(header)[:300]}; {how}")


def find_by_header(path: PathLike, rows: Rows, *, several: bool) -> Columns:
    """Find the columns of a table by its header, the first row.

    A first column of an unknown name has the recordings, if that is what its cells look like or rows name `several`.
    """
    (line, header), *others = rows
    at = find_columns(header)
    if 0 not in at.values() and (several or (others and all(is_recording(row[0]) for _, row in others))):
        at.setdefault("file", 0)
    names = [normalise(cell) for cell in header]
    if twice := [header[index] for index in at.values() if names.count(names[index]) > 1]:
        raise AnnotationError(f"{path}, line {line}: two columns {twice[0]!r}; rename the one that should be ignored")
    for kind in ("onset", "offset", "label", "file")[: 4 if several else 3]:
        if kind not in at:
            raise missing_column(path, line, kind, header)
    return Columns(**at, most=len(header))


def find_by_numbers(path: PathLike, rows: Rows, *, several: bool) -> Columns:
    """Find the columns of a table without header.

    The first two neighbouring numbers of the first row that has such are onset and offset; the label follows, and then a weight if nothing
    stands before the onset, or all rows have a number from 0 to 1 there. Lists of the DCASE challenges have columns more behind the label,
    but only where tabs separate them: behind a comma may be the second half of a label.
    """
    first = int(several)
    for line, row in rows:
        numbers = [is_number(cell) for cell in row]
        onset = next((index for index in range(first, len(row) - 1) if numbers[index] and numbers[index + 1]), None)
        if onset is None:
            continue
        if onset == 0:
            weight = 3 if len(row) > 3 else None
            return Columns(0, 1, 2, most=3 if weight is None else 4, weight=weight)
        if len(row) > onset + 3 and all(numbers[onset : onset + 4]):  # "a.wav,0,5,1,25,dog"
            raise AnnotationError(
                f"{path}, line {line}: four numbers in a row: {shorten(row)}; name the columns in a header, write a decimal point"
            )
        at = onset + 3
        if all(0 <= parse_number("".join(cells[at : at + 1]), otherwise=-1) <= 1 or not any(cells[1:]) for _, cells in rows):
            return Columns(onset, onset + 1, onset + 2, most=at + 1, file=0, weight=at)
        return Columns(onset, onset + 1, onset + 2, most=len(row) if rows.delimiter == "\t" else at, file=0)
    return Columns(first, first + 1, first + 2, most=max(map(len, (row for _, row in rows)), default=0), file=0 if first else None)


def read_event_rows(path: PathLike, at: Columns, rows: Rows, expected: str) -> Iterator[Row]:
    """Read rows of cells, and take them from `rows`; one that names a recording and nothing else says that nothing sounds in it."""
    width = max(at.onset, at.offset, at.label, at.file or 0, at.weight or 0) + 1
    # Plain variables: this loop is gone through for every event of a list.
    onset_at, offset_at, label_at, weight_at = at.onset, at.offset, at.label, at.weight
    file_at, annotator_at, most = at.file, at.annotator, at.most
    rows.reverse()
    while rows:  # each row is let go of when its event is made, so that Python's collector has little to look through
        line, row = rows.pop()
        count = len(row)
        cells = row if count >= width else [*row, *[""] * (width - count)]
        onset, offset, label = cells[onset_at].strip(), cells[offset_at].strip(), cells[label_at].strip()
        file = "" if file_at is None else cells[file_at].strip()
        annotator = "" if annotator_at is None or annotator_at >= len(cells) else cells[annotator_at].strip()
        silent = not (onset or offset or label)
        if silent and not any(map(str.strip, cells)):
            continue
        if (count > most and any(map(str.strip, row[most:]))) or (count < width and not (silent and file)):
            raise AnnotationError(
                f"{path}, line {line}: expected {expected}, got {count} fields: {shorten(row)}; put quotation marks around a cell "
                "with a separator in it, write decimal points where commas separate, name further columns in a header"
            )
        if file_at is not None and not file:
            raise AnnotationError(f"{path}, line {line}: no name in the column for the file; got {shorten(row)}")
        try:
            weight = 1.0 if weight_at is None or silent else _read_weight(cells[weight_at])
            event = None if silent else Event(*parse_span(onset, offset), label, weight)
        except AnnotationError as error:
            raise AnnotationError(f"{path}, line {line}: {error}; correct the file") from error
        except ValueError as error:
            hint = "times in seconds; a header may name the columns in another order"
            raise AnnotationError(f"{path}, line {line}: {error}; expected {expected}, {hint}; got {shorten(row)}") from None
        yield Row(event, file, annotator)


def _read_weight(cell: str) -> float:
    """Read a weight; BirdNET and others write "87 %"."""
    value = cell.strip()
    return parse_number(value[:-1]) / 100 if value.endswith("%") else parse_number(value)
