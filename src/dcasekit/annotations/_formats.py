r"""Annotation files of the field, cell by cell: tables, Audacity label tracks, Raven selection tables, JAMS.

This file knows lines, columns and JSON; what an event may be is checked in annotations.py. Sources: the Audacity manual, "Importing and
Exporting Labels"; the Raven Pro manual, "Selection tables"; the JAMS schema 0.3 with its namespaces, and Salamon et al., "Scaper",
WASPAA 2017; the lists of the DCASE challenges since 2016.

Times may be written with a decimal comma ("1,25": Audacity and Raven in some countries); a thousands separator beside a decimal point
is refused. Text is UTF-8, with or without a byte order mark.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dcasekit.core.files import read_rows, write_json, write_rows, write_text
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

Span = tuple[Seconds, Seconds, str, float]  # onset, offset, label, weight: as in the file, not yet checked
Located = tuple[str, Span]  # "line 3", span
Table = list[tuple[int, list[str]]]  # line number, cells

# Names of columns in use, the preferred one first: DESED's real recordings have both "onset" and "start" (of the clip in its film).
_NAMES = {
    "file": ("filename", "file", "file_name", "fname", "audio_filename", "filepath", "audio_path", "path", "clip", "begin_file"),
    "onset": ("onset", "event_onset", "begin_time", "start_time", "start", "begin"),
    "offset": ("offset", "event_offset", "end_time", "end", "stop"),
    "label": (
        *("event_label", "event_labels", "annotation", "label", "labels", "species", "common_name", "event", "class", "call_type"),
        *("tag", "tags", "scene_label"),
    ),
    "weight": ("weight", "value", "confidence", "soft_label"),
    "selection": ("selection",),
}
_TABLES = (".tsv", ".csv", ".txt", ".ann", ".lab")
_JAMS_EVENTS = ("segment_open", "scaper", "sound_event", "tag_open", "tag_urbansound", "tag_audioset")
_RAVEN_HEADER = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Annotation")
# Raven opens no table that goes beyond half the sampling rate, which is not known here: half of the lowest rate in use.
_RAVEN_HIGH = "4000"


def read(path: PathLike, format: str | None) -> list[Located]:
    """Read the events of one recording."""
    return _READERS[_known(format) if format else _guess(path)](path)


def write(path: PathLike, spans: Sequence[Span], format: str | None, duration: Seconds | None) -> Path:
    """Write the events of one recording."""
    name = Path(path).name.lower()
    if format is None:
        endings = {".selections.txt": "raven", ".txt": "audacity", ".tsv": "tsv", ".jams": "jams"}
        format = next((found for ending, found in endings.items() if name.endswith(ending)), None)
        if format is None:
            raise AnnotationError(f"{path}: the name must end in {', '.join(endings)}, or give format=: {', '.join(_READERS)}")
    if _known(format) == "jams":
        return _write_jams(path, spans, duration)
    table = {"tsv": _tsv, "audacity": _audacity, "raven": _raven}[format](path, spans)
    # Audacity and Raven know no quotation marks around a cell, so a label is written as it is.
    return write_rows(path, table) if format == "tsv" else write_text(path, "".join("\t".join(row) + "\n" for row in table))


def _known(format: str) -> str:
    if format not in _READERS:
        raise AnnotationError(f"no annotation format {format!r}; the formats are: {', '.join(_READERS)}")
    return format


def _guess(path: PathLike) -> str:
    suffix = Path(path).suffix.lower()
    if suffix in (".jams", ".json"):
        return "jams"
    if suffix not in _TABLES:
        raise AnnotationError(f"{path}: no format has the suffix {suffix!r}; give format=, one of: {', '.join(_READERS)}")
    first = next((line.split("\t") for _, line in _lines(path)), [])
    if {"begin_time", "end_time"} <= {_plain(cell) for cell in first}:
        return "raven"
    label_track = suffix == ".txt" and len(first) in (2, 3) and _is_number(first[0])
    return "audacity" if label_track else "tsv"


# cells


def number(cell: str) -> float:
    """Read a number, with a decimal point or a decimal comma."""
    try:
        return float(cell)
    except ValueError:
        try:
            return float(cell.replace(",", ".", 1))
        except ValueError:
            raise ValueError(f"{cell!r} is not a number") from None


def decimal(seconds: Seconds) -> str:
    """Write a time with up to nine decimals (nanoseconds)."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def columns(header: Sequence[str]) -> dict[str, int]:
    """Find the columns that are known by name: kind -> index."""
    names = [_plain(cell) for cell in header]
    found = {kind: next((name for name in known if name in names), None) for kind, known in _NAMES.items()}
    return {kind: names.index(name) for kind, name in found.items() if name is not None}


def missing(path: PathLike, line: int, kind: str, header: Sequence[str]) -> AnnotationError:
    """Say which column a header lacks."""
    return AnnotationError(
        f"{path}, line {line}: no column for the {kind}; the columns are {', '.join(header)}; name one of them {_NAMES[kind][0]!r}"
    )


def _plain(cell: str) -> str:
    return cell.strip().lower().removesuffix("(s)").strip().replace(" ", "_")


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True


def _text(path: PathLike) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise AnnotationError(f"cannot read {path}: {problem}; an annotation file is UTF-8 text, save it as such") from problem


def _lines(path: PathLike) -> list[tuple[int, str]]:
    """Give number and text of the lines that are neither empty nor Audacity's second line of a label, its frequencies."""
    lines = enumerate(_text(path).split("\n"), 1)
    return [(count, line) for count, line in lines if line.strip() and not line.startswith("\\")]


# tables


def layout(path: PathLike, rows: Table, *, named: bool) -> tuple[dict[str, int], Table]:
    """Find the columns of a table, by its header or by its numbers, and give them with the rows that are not the header.

    `named`: the table has a column with the file's name (else: it may have one). Without a header the first two neighbouring numbers of
    the first row that has such are onset and offset; the label follows, and then a weight if nothing stands before the onset.
    """
    at = columns(rows[0][1]) if rows else {}
    if "onset" not in at or any(map(_is_number, rows[0][1])):
        return _positions(path, rows, int(named)), rows
    if named and 0 not in at.values():
        at.setdefault("file", 0)
    for kind in ("offset", "label", "file")[: 3 if named else 2]:
        if kind not in at:
            raise missing(path, rows[0][0], kind, rows[0][1])
    return at, rows[1:]


def read_table(path: PathLike, at: dict[str, int], rows: Table, expected: str) -> Iterator[tuple[str, str, Span | None]]:
    """Read (where, file name, span) of every row; the span is ``None`` where all its cells are empty."""
    onset_at, offset_at, label_at = at["onset"], at["offset"], at["label"]
    file_at, weight_at = at.get("file"), at.get("weight")
    width, most = max(onset_at, offset_at, label_at, file_at or 0, weight_at or 0) + 1, at.get("cells")
    for line, row in rows:
        if len(row) < width or (most and any(row[most:])):
            raise AnnotationError(f"{path}, line {line}: expected {expected}, got {len(row)} fields: {row}")
        onset, offset, label = row[onset_at].strip(), row[offset_at].strip(), row[label_at].strip()
        span = None
        if onset or offset or label:
            try:
                span = (number(onset), number(offset), label, 1.0 if weight_at is None else number(row[weight_at]))
            except ValueError as error:
                hint = "times in seconds; a header may name the columns in another order"
                raise AnnotationError(f"{path}, line {line}: {error}; expected {expected}, {hint}; got {row}") from None
        yield f"line {line}", "" if file_at is None else row[file_at].strip(), span


def _positions(path: PathLike, rows: Table, first: int) -> dict[str, int]:
    """Guess the columns of a table without header; ``cells`` is how many there may be, where that is known."""
    for line, row in rows:
        numbers = [_is_number(cell) for cell in row]
        onset = next((index for index in range(first, len(row) - 1) if numbers[index] and numbers[index + 1]), None)
        if onset is None:
            continue
        if onset == 0:
            return {"onset": 0, "offset": 1, "label": 2, "cells": 3} | ({"weight": 3, "cells": 4} if len(row) > 3 else {})
        if len(row) > onset + 3 and all(numbers[onset : onset + 4]):  # "a.wav,0,5,1,25,dog"
            raise AnnotationError(f"{path}, line {line}: four numbers in a row: {row}; name the columns in a header, write a decimal point")
        return {"file": 0, "onset": onset, "offset": onset + 1, "label": onset + 2}
    return {"onset": first, "offset": first + 1, "label": first + 2} | ({"file": 0} if first else {})


def _of_one(path: PathLike, rows: Iterable[tuple[str, str, Span | None]]) -> list[Located]:
    found, files = [], set()
    for where, file, span in rows:
        files.add(file)
        if span is not None:
            found.append((where, span))
    if len(files) > 1:
        some = ", ".join(sorted(files)[:3])
        raise AnnotationError(
            f"{path} lists {len(files)} recordings ({some} ...), not one; split it, or read an event list with read_events"
        )
    return found


def _read_tsv(path: PathLike) -> list[Located]:
    at, rows = layout(path, read_rows(path, error=AnnotationError), named=False)
    return _of_one(path, read_table(path, at, rows, "onset offset label, or onset offset label weight"))


def _read_raven(path: PathLike) -> list[Located]:
    """Keep one row per selection: Raven writes one for each view (waveform, spectrogram) it is seen in."""
    (start, header), *rows = [(line, text.split("\t")) for line, text in _lines(path)] or [(1, [""])]
    at = columns(header)
    at.pop("weight", None)  # a column of that name is the annotator's own: no scale is agreed
    for kind in ("onset", "offset", "label"):
        if kind not in at:
            raise missing(path, start, kind, header)
    spans = _of_one(path, read_table(path, at, rows, ", ".join(header)))
    selections = {f"line {line}": row[at["selection"]] for line, row in rows} if "selection" in at else {}
    found: dict[tuple[str, Span], Located] = {}
    for where, span in spans:
        found.setdefault((selections.get(where, where), span), (where, span))
    return list(found.values())


def _read_audacity(path: PathLike) -> list[Located]:
    found = []
    for line, text in _lines(path):
        cells = text.rstrip().split("\t")
        if len(cells) == 2 and not _is_number(cells[1]):
            cells.insert(0, cells[0])  # Audacity reads "start label" as a point
        start, end, label = [*cells, "", ""][:3]
        try:
            if len(cells) > 3:
                raise ValueError(f"{len(cells)} cells")
            found.append((f"line {line}", (number(start), number(end), label.strip(), 1.0)))
        except ValueError as error:
            expected = "start, end and label with a tab between, times in seconds"
            raise AnnotationError(f"{path}, line {line}: {error}; expected {expected}, got {text!r}") from None
    return found


# JAMS


def _read_jams(path: PathLike) -> list[Located]:
    try:
        annotations = json.loads(_text(path))["annotations"]
        chosen = [(index, entry) for index, entry in enumerate(annotations) if entry["namespace"] in _JAMS_EVENTS]
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise AnnotationError(f"{path} is no JAMS file ({problem}); expected JSON with 'annotations', each with a 'namespace'") from problem
    if annotations and not chosen:
        spaces = ", ".join(sorted({str(entry["namespace"]) for entry in annotations}))
        raise AnnotationError(f"{path} holds no sound events: its namespaces are {spaces}; those read are {', '.join(_JAMS_EVENTS)}")
    found = []
    for index, entry in chosen:
        for position, observation in enumerate(entry.get("data") or ()):
            where = f"annotation {index}, observation {position}"
            try:
                span = _observed(observation)
            except (KeyError, TypeError, ValueError) as problem:
                raise AnnotationError(
                    f"{path}, {where}: {type(problem).__name__} {problem}; expected time and duration in seconds, a value that is the "
                    f"label or has a 'label', and a confidence in [0, 1] or null; got {observation}"
                ) from problem
            if span is not None:
                found.append((where, span))
    return found


def _observed(observation: Any) -> Span | None:
    label, confidence = observation["value"], observation.get("confidence")
    if isinstance(label, dict):  # Scaper: the whole recipe of the sound
        if label.get("role", "foreground") != "foreground":
            return None
        label = label["label"]
    if not isinstance(label, str):
        raise TypeError(f"the label {label!r} is not text")
    onset, duration = float(observation["time"]), float(observation["duration"])
    # The sum is not the decimal number that the annotator saw: 0.1 + 0.2 ends at 0.3.
    return round(onset, 9), round(onset + duration, 9), label.strip(), 1.0 if confidence is None else float(confidence)


def _write_jams(path: PathLike, spans: Sequence[Span], duration: Seconds | None) -> Path:
    times = [(round(float(onset), 9), round(float(offset), 9)) for onset, offset, _, _ in spans]
    data = [
        {"time": onset, "duration": round(offset - onset, 9), "value": label, "confidence": float(weight)}
        for (onset, offset), (_, _, label, weight) in zip(times, spans, strict=True)
    ]
    entry = {"namespace": "segment_open", "annotation_metadata": {}, "data": data, "sandbox": {}, "time": 0, "duration": duration}
    about = {"identifiers": {}, "jams_version": "0.3.4"} | ({} if duration is None else {"duration": duration})
    return write_json(path, {"annotations": [entry], "file_metadata": about, "sandbox": {}})


# tables, written


def _tsv(_: PathLike, spans: Sequence[Span]) -> list[tuple[str, ...]]:
    if all(weight == 1 for *_, weight in spans):
        return [("onset", "offset", "event_label"), *((decimal(on), decimal(off), label) for on, off, label, _ in spans)]
    rows = ((decimal(on), decimal(off), label, repr(float(weight))) for on, off, label, weight in spans)
    return [("onset", "offset", "event_label", "weight"), *rows]


def _audacity(path: PathLike, spans: Sequence[Span]) -> list[tuple[str, ...]]:
    return [(decimal(onset), decimal(offset), _one_line(path, label)) for onset, offset, label, _ in spans]


def _raven(path: PathLike, spans: Sequence[Span]) -> list[tuple[str, ...]]:
    box = ("0", _RAVEN_HIGH)
    rows = [
        (str(index), "Spectrogram 1", "1", decimal(onset), decimal(offset), *box, _one_line(path, label))
        for index, (onset, offset, label, _) in enumerate(spans, 1)
    ]
    return [_RAVEN_HEADER, *rows]


def _one_line(path: PathLike, label: str) -> str:
    if any(mark in label for mark in "\t\r\n"):
        raise AnnotationError(f"{path}: the label {label!r} has a tab or a line break, which this format cannot hold; write TSV or JAMS")
    return label


_READERS: dict[str, Callable[[PathLike], list[Located]]] = {
    "tsv": _read_tsv,
    "audacity": _read_audacity,
    "raven": _read_raven,
    "jams": _read_jams,
}
