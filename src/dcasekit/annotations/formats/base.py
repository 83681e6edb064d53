"""What the formats of annotation files share.

A format is one file beside this one, and nothing else knows of it. It holds

- ``ENDING``: what the names of its files end in where no format is given, e.g. ``".jams"``;
- ``SUFFIXES``: those of files that it may be the format of, in lower case;
- ``recognise(first)``: how sure it is to be that, of a file with these tab-separated cells in its first line: 0 no,
  1 it takes what no one else claims, 2 by its own mark;
- ``read(path, *, several)``: the `Row` s of a file, one by one or in a list; with ``several`` each row is expected to name its recording,
  if the format knows a way;
- ``write(path, events, duration)``: the events of one recording.

Text is UTF-8, with or without a byte order mark. Times may be written with a decimal comma ("1,25": Audacity and Raven in some countries).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from dcasekit.annotations.nouns import Event
from dcasekit.core.cells import parse_number, shorten
from dcasekit.core.files import read_utf8
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

_HEAD = 1 << 12  # bytes in which the first line ends, as a rule


class Row(NamedTuple):
    """What one row of a file says.

    Parameters
    ----------
    event : ``None``: the row says that nothing sounds in the recording.
    file : the recording, as the row names it; empty: it names none.
    annotator : who says so; empty: the row does not tell.
    """

    event: Event | None
    file: str = ""
    annotator: str = ""


def read_text(path: PathLike) -> str:
    """Read the text of a file."""
    try:
        return read_utf8(path).replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, ValueError) as problem:  # also: not UTF-8, a NUL in the name
        raise _unreadable(path, problem) from problem


def _unreadable(path: PathLike, problem: Exception) -> AnnotationError:
    if isinstance(problem, FileNotFoundError):
        return AnnotationError(f"{path} does not exist; check how it is spelled, and the folder")
    if isinstance(problem, OSError):
        return AnnotationError(f"cannot read {path} ({problem.strerror}); check what it is, and its permissions")
    return AnnotationError(f"cannot read {path}: {problem}; an annotation file is UTF-8 text, save it as such")


def read_first_line(path: PathLike) -> str:
    """Read the first line that is not blank."""
    try:
        with open(path, "rb", buffering=0) as raw:  # as a rule, one call of the system is enough
            head = raw.read(_HEAD)
        lines = head[: head.rfind(b"\n") + 1].decode("utf-8-sig").replace("\r", "\n").split("\n")
        if first := next(filter(str.strip, lines), ""):
            return first
        with open(path, encoding="utf-8-sig") as file:
            return next((line.rstrip("\n") for line in iter(lambda: file.readline(2**16), "") if line.strip()), "")
    except (OSError, ValueError) as problem:
        raise _unreadable(path, problem) from problem


def read_lines(path: PathLike) -> list[tuple[int, str]]:
    """Return number and text of the lines that are neither empty nor Audacity's second line of a label, its frequencies."""
    lines = enumerate(read_text(path).split("\n"), 1)
    return [(count, line) for count, line in lines if line.strip() and not line.startswith("\\")]


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    return not math.isnan(parse_number(cell, otherwise=math.nan))


def format_seconds(seconds: Seconds) -> str:
    """Write a time with up to nine decimals (nanoseconds)."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def refuse_lossy(path: PathLike, texts: Iterable[str], *, forbidden: str = "") -> None:
    """Refuse labels or names that would not be read back.

    Parameters
    ----------
    forbidden : characters that the format cannot hold.

    Raises
    ------
    AnnotationError : a text is empty, has blanks around it or a character that the format or UTF-8 cannot hold.
    """
    for text in dict.fromkeys(texts):
        if not text or text != text.strip():
            raise AnnotationError(f"{path}: {text!r} is empty or has blanks around it, which would be lost; rename it")
        if found := [mark for mark in forbidden if mark in text]:
            raise AnnotationError(
                f"{path}: the label {text!r} has {found[0]!r}, a tab or a line break, which this format cannot hold; write TSV or JAMS"
            )
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise AnnotationError(f"{path}: {shorten(text)} is not valid Unicode ({error.reason}); save it in UTF-8") from None


def several_annotators(path: PathLike, file: str, annotators: Iterable[str]) -> AnnotationError:
    """Say that a recording has several annotators, and who they are."""
    names = ", ".join(name or "(not named)" for name in sorted(annotators))[:300]
    return AnnotationError(f"{path}: {file or 'the recording'} was annotated by several: {names}; choose one with annotator=")
