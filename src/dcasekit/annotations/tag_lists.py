"""Lists of clip-level labels: read as people have them, written so that they read back.

Sources: ``weak.csv`` of DCASE 2018 task 4 and DESED, FSD50K's lists, and tables with a column per label, as on Kaggle.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcasekit.annotations.formats._table import find_columns, is_recording, missing_column, normalise
from dcasekit.annotations.formats.base import refuse_lossy, several_annotators
from dcasekit.core.cells import parse_number, shorten
from dcasekit.core.files import Rows, read_rows, write_rows
from dcasekit.core.units import PathLike
from dcasekit.errors import AnnotationError

Value = float | None  # None: unknown

_WORDS: Mapping[str, Value] = {
    **dict.fromkeys(("true", "yes", "y", "x"), 1.0),
    **dict.fromkeys(("false", "no", "n"), 0.0),
    **dict.fromkeys(("?", "unknown"), None),
}
_LISTED = ("event_labels", "labels", "tags")  # columns of several labels
_ABOUT = ("", "fold", "split", "set", "subset", "group", "site", "duration", "id")  # columns beside those of labels that are none


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    tags: Mapping[str, Value]
    annotator: str


def read_tag_list(path: PathLike, *, annotator: str | None = None) -> dict[str, dict[str, float | None]]:
    """Read a list of clip-level labels, with tabs, commas or semicolons between the cells.

    A row may hold

    - ``filename`` and ``label,label``, with or without a header. Labels are separated by ``|`` if any row has one, else by ``;``, else by
      ``,`` (DCASE 2018 task 4 documents the one and uses the other); in a comma-separated file several labels must then be quoted.
    - ``filename``, ``label`` and ``value`` (or ``weight``, ``confidence``, ``score`` ...), with a header: one label a row, never split.
    - ``filename`` and one column per label, with a header: 0 or 1, a number between, true or false, yes or no, or x for those that hold;
      columns called fold, split, group, duration ... are left out. An empty cell is unknown where others say 0 or no, else it says no.

    Columns are found by the header's names if its file column has a usual one (``filename``, ``fname`` ...); of columns per label it may
    have any. Rows of the same file add up. A row with a file name alone says that none of the labels holds; a value that is empty, ``?`` or
    ``unknown`` is not known.

    Parameters
    ----------
    path : the list.
    annotator : whose labels, where a column ``annotator`` names several for one file.

    Returns
    -------
    dict : file name -> label -> 1.0, another value in [0, 1] where the list has values, or None where it is unknown.

    Raises
    ------
    AnnotationError : a row has too few or too many cells, two rows contradict each other, or a cell says neither yes nor no; the message
        gives file and line.
    """
    rows = read_rows(path, error=AnnotationError)
    found: dict[str, dict[str, float | None]] = {}
    annotators: dict[str, str] = {}
    for row in _read_rows(path, rows) if rows else ():
        if annotator is None and annotators.setdefault(row.file, row.annotator) != row.annotator:
            raise several_annotators(path, row.file, (annotators[row.file], row.annotator))
        tags = found.setdefault(row.file, {}) if annotator in (None, row.annotator) else {}
        for label, value in row.tags.items():
            if tags.setdefault(label, value) != value:
                where = f"{path}, line {row.line}: {shorten(label)} of {shorten(row.file)}"
                raise AnnotationError(f"{where} is {_write_value(value)} here and {_write_value(tags[label])} above; keep one")
    if rows and annotator is not None and not found:
        raise AnnotationError(f"{path} has no annotator {annotator!r}; check how the name is spelled")
    return found


def write_tag_list(path: PathLike, tags: Mapping[str, Mapping[str, Value]], *, spreadsheet: bool = False) -> Path:
    """Write a list of clip-level labels as TSV so that `read_tag_list` gives it back, without the labels of value 0: not named is absent.

    That is ``filename`` and ``label,label`` where every value is 0 or 1; where any is between, or unknown, or a label has one of ``,;|``,
    the columns are ``filename event_label value``, one label a row.

    Parameters
    ----------
    path : the list.
    tags : file name -> label -> value in [0, 1], or None: unknown. A file of unknown labels throughout has no place here.
    spreadsheet : put an apostrophe before cells that a spreadsheet would take for formulas; such a list is not read back as it was.

    Raises
    ------
    AnnotationError : a name or a label would not be read back: it is empty, has blanks around it, or is no Unicode.
    """
    named = {file: {label: value for label, value in each.items() if value != 0} for file, each in tags.items()}
    refuse_lossy(path, [*named, *(label for each in named.values() for label in each)])
    plain_ones = all(value == 1 and not set(label) & set(",;|") for each in named.values() for label, value in each.items())
    if plain_ones:
        return write_rows(
            path, [("filename", "event_labels"), *((file, ",".join(each)) for file, each in named.items())], spreadsheet=spreadsheet
        )
    rows = [("filename", "event_label", "value")]
    for file, each in named.items():
        rows += [(file, label, _write_value(value)) for label, value in each.items()] or [(file, "", "")]
    return write_rows(path, rows, spreadsheet=spreadsheet)


def _write_value(value: Value) -> str:
    return "unknown" if value is None else f"{float(value)!r}".removesuffix(".0")


def _read_rows(path: PathLike, rows: Rows) -> Iterator[_Row]:
    """Read the rows of a list by what its first row says."""
    line, header = rows[0]
    at = find_columns(header)
    named = "label" in at and 0 not in at.values() and "." not in header[0]
    if "file" not in at and (named or _names_labels(rows) or _names_files(rows)):
        at["file"] = 0
    if "file" in at and "label" not in at:
        return _read_columns(path, header, at, rows[1:])
    if "file" in at:
        return _read_lists(path, at, rows[1:], width=len(header), split="weight" not in at or normalise(header[at["label"]]) in _LISTED)
    if all(len(row) == 1 for _, row in rows):
        raise AnnotationError(
            f"{path}, line {line}: a column of names is not a list of labels; if these recordings have no labels, add the "
            f"header 'filename label'; got {shorten(header)}"
        )
    return _read_lists(path, {"file": 0, "label": 1}, rows, width=2, split=True)


def _names_labels(rows: Rows) -> bool:
    """Whether a first row of unknown names stands above rows that say yes or no."""
    header, second = rows[0][1][1:], rows[1][1][1:] if len(rows) > 1 else []
    return len(header) == len(second) > 1 and all(map(_is_value, second)) and not any(map(_is_value, header))


def _names_files(rows: Rows) -> bool:
    """Whether a first row of unknown names stands above rows that begin with the name of a recording."""
    return len(rows) > 1 and not is_recording(rows[0][1][0]) and all(is_recording(row[0]) for _, row in rows[1:])


def _read_lists(path: PathLike, at: Mapping[str, int], rows: Sequence[tuple[int, list[str]]], *, width: int, split: bool) -> Iterator[_Row]:
    """Read rows of a name and its labels, and perhaps their value."""
    separator = _find_separator(path, [(line, row[at["label"]]) for line, row in rows if len(row) > at["label"]]) if split else None
    for line, row in rows:
        cells = [cell.strip() for cell in row] + [""] * (width - len(row))
        file = cells[at["file"]]
        if not file or any(cells[width:]) or (len(row) <= at["label"] and any(cell for cell in cells if cell != file)):
            raise AnnotationError(
                f"{path}, line {line}: expected {width} cells, among them a file name and its labels, got {shorten(row)}; "
                "in a comma-separated file put quotation marks around several labels, and name further columns in a header"
            )
        labels = [label.strip() for label in cells[at["label"]].split(separator)] if separator else [cells[at["label"]]]
        value = _read_value(path, line, "value", cells[at["weight"]]) if "weight" in at and any(labels) else 1.0
        yield _Row(line, file, {label: value for label in labels if label}, cells[at["annotator"]] if "annotator" in at else "")


def _find_separator(path: PathLike, cells: Sequence[tuple[int, str]]) -> str:
    first = {mark: next((line for line, labels in cells if mark in labels), None) for mark in "|;"}
    if first["|"] and first[";"]:
        raise AnnotationError(f"{path}: labels are separated by '|' in line {first['|']} and by ';' in line {first[';']}; use one of them")
    return next((mark for mark, line in first.items() if line), ",")


def _read_columns(path: PathLike, header: Sequence[str], at: Mapping[str, int], rows: Sequence[tuple[int, list[str]]]) -> Iterator[_Row]:
    """Read a table with one column per label."""
    names = [name.strip() for name in header]
    about = {at["file"], at.get("annotator"), *(index for index, name in enumerate(names) if normalise(name) in _ABOUT)}
    labels = {index: name for index, name in enumerate(names) if index not in about}
    if not labels or len(set(labels.values())) < len(labels):
        raise missing_column(path, 1, "label", header)
    # Where somebody took the trouble to say no, saying nothing is another thing.
    no = any(index < len(row) and _parse(row[index]) == 0 for index in labels for _, row in rows)
    for line, row in rows:
        cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
        if not cells[at["file"]] or any(cells[len(header) :]):
            raise AnnotationError(f"{path}, line {line}: expected a file name and {len(header)} cells as in the header, got {shorten(row)}")
        alone = len(row) == 1
        tags = {
            name: (None if no and not alone else 0.0) if not cells[index] else _read_value(path, line, name, cells[index])
            for index, name in labels.items()
        }
        yield _Row(line, cells[at["file"]], tags, cells[at["annotator"]] if "annotator" in at else "")


def _is_value(cell: str) -> bool:
    return _parse(cell) != -1


def _parse(cell: str) -> Value:
    """Read a value; None: unknown, or empty; -1: it is none."""
    word = cell.strip().lower()
    if not word or word in _WORDS:
        return _WORDS.get(word)
    value = parse_number(word, otherwise=-1)
    return value if 0 <= value <= 1 else -1


def _read_value(path: PathLike, line: int, column: str, cell: str) -> Value:
    value = _parse(cell)
    if value == -1:
        raise AnnotationError(
            f"{path}, line {line}, column {shorten(column)}: {shorten(cell)} is not a value from 0 to 1, yes, no, x or unknown; "
            "where labels stand in one column, call it 'label'; leave out columns that are not labels"
        )
    return value
