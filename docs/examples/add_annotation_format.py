"""An annotation format of your own, here of lines ``label: begin - end``: a module with five names."""

from collections.abc import Sequence
from pathlib import Path

from dcasekit.annotations import Event
from dcasekit.annotations.formats.base import Row, format_seconds, read_lines, refuse_lossy
from dcasekit.errors import AnnotationError

ENDING = ".marks"  # what names of its files end in
SUFFIXES = (".marks",)  # of files that may be of this format


def recognise(first: Sequence[str]) -> int:
    """Say how sure it is of a file with these cells in its first line: 0 no, 1 perhaps, 2 yes."""
    return 2 * (len(first) == 1 and ": " in first[0] and " - " in first[0])


def read(path, *, several: bool = False) -> list[Row]:
    """Read the events of a file; what is wrong is said with file and line."""
    return [Row(_event(path, line, text)) for line, text in read_lines(path)]


def _event(path, line: int, text: str) -> Event:
    label, _, span = text.rpartition(": ")
    begin, _, end = span.partition(" - ")
    try:
        return Event(float(begin), float(end), label.strip())
    except ValueError as error:
        raise AnnotationError(
            f"{path}, line {line}: expected 'label: begin - end' in seconds, got {text!r}"
        ) from error


def write(path, events: Sequence[Event], duration: float | None) -> Path:
    """Write events so that `read` gives them back; what it could not is refused."""
    refuse_lossy(path, (event.label for event in events), forbidden=":\t\r\n")
    lines = [
        f"{event.label}: {format_seconds(event.onset)} - {format_seconds(event.offset)}\n"
        for event in events
    ]
    Path(path).write_text("".join(lines), encoding="utf-8")
    return Path(path)


def check(folder: Path) -> None:
    """Write and read back: what the tests of this page do."""
    from dcasekit.annotations import read_annotation, write_annotation

    events = [Event(0.5, 1.25, "dog"), Event(2.0, 2.0, "door slam")]
    path = write_annotation(
        folder / "yard.marks", events, format=__name__
    )  # "mylab.marks", wherever a format is named
    assert path.read_text() == "dog: 0.5 - 1.25\ndoor slam: 2 - 2\n"
    assert read_annotation(path, format=__name__) == events
