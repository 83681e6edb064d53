"""Write files so that a reader sees the old one or the new one, never half of either.

Everything dcasekit writes goes through here: a temporary name in the same folder, then a rename. `locked` keeps two
processes from finishing the same folder at once; the lock dies with the process that holds it.
"""

import csv
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcasekit.core.numbers import parse_number
from dcasekit.core.units import PathLike

_QUOTED = re.compile(r'(^|[\t,;])"(?:[^"]|"")*"(?=[\t,;\r\n]|$)')


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `path` on success, delete it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: several writers (soundfile, numpy) choose the format by it.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp gives 0600; a data folder is shared
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: PathLike, text: str) -> Path:
    """Write a UTF-8 text file atomically and give back its path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: PathLike, content: Any) -> Path:
    """Write a JSON file atomically; numbers that JSON does not know (NaN, infinity) are refused."""
    return write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: PathLike, *, error: type[Exception], mend: str = "it may be damaged: delete it and make it again") -> Any:
    """Read a JSON file; raise `error`, naming the file and how to `mend` it, if it is missing, not JSON, or deeper than Python can read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError, MemoryError) as problem:  # not UTF-8, not JSON, a number of too many digits
        raise error(f"{path} is not readable JSON ({problem}); {mend}") from problem


class Rows(list[tuple[int, list[str]]]):
    """Line number and cells of a table's rows, and the character that stood between the cells."""

    def __init__(self, rows: Iterable[tuple[int, list[str]]] = (), delimiter: str = "\t") -> None:
        super().__init__(rows)
        self.delimiter = delimiter


def write_rows(path: PathLike, rows: Iterable[Sequence[str]], *, spreadsheet: bool = False) -> Path:
    r"""Write a TSV file atomically; a cell that would not be read back as it is (a tab, a quotation mark, a line break) is quoted.

    Parameters
    ----------
    spreadsheet : put an apostrophe before cells that a spreadsheet would take for a formula (``=``, ``+``, ``-``, ``@`` or a tab first, and
        no number); they are then read back with it.
    """
    table = ([_no_formula(cell) for cell in row] for row in rows) if spreadsheet else rows
    return write_text(path, "".join("\t".join(_quoted(cell, alone=len(row) == 1) for cell in row) + "\n" for row in table))


def _quoted(cell: str, *, alone: bool) -> str:
    # Alone in its row, a cell without a tab is read as one of a comma-separated table.
    marked = any(mark in cell for mark in ('\t"\r\n,;' if alone else '\t"\r\n')) or cell.startswith("\ufeff") or (alone and not cell)
    return '"' + cell.replace('"', '""') + '"' if marked else cell


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and math.isnan(parse_number(cell, otherwise=math.nan)) else cell


def read_rows(path: PathLike, *, error: type[Exception]) -> Rows:
    """Read a TSV or CSV file: (line number, cells) of every row that is not empty.

    Between the cells stands a tab if the first row has one, else a semicolon if it has one and no comma (spreadsheets where the comma is
    the decimal point), else a comma. Raise `error`, naming the file, if it is missing, not UTF-8, or its quotation marks do not pair.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, ValueError) as problem:  # also: not UTF-8, a NUL in the name
        raise error(f"cannot read {path} as a UTF-8 table: {problem}") from problem
    first = _QUOTED.sub(r"\1", text[:65536].lstrip("\r\n")).partition("\n")[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return Rows(((reader.line_num, row) for row in reader if row), delimiter)
    except csv.Error as problem:
        raise error(f"{path}, line {reader.line_num}: {problem}; a cell in quotation marks must end with one") from problem


@contextmanager
def locked(folder: PathLike, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder's lock: many may share it, or one has it alone. It ends with the process that holds it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+b") as handle:
        if os.name == "nt":  # pragma: no cover - Windows knows no shared lock here: workers take none
            import msvcrt

            if not shared:
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
