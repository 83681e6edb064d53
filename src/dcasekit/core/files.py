"""Write files so that a reader sees the old one or the new one, never half of either.

Everything dcasekit writes goes through here: a temporary name in the same folder, then a rename. `locked` keeps two
processes from finishing the same folder at once; the lock dies with the process that holds it.
"""

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcasekit.core.units import PathLike


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


def read_json(path: PathLike, *, error: type[Exception]) -> Any:
    """Read a JSON file; raise `error`, naming the file, if it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise error(f"{path} is not readable JSON ({problem}); it may be damaged: delete it and make it again") from problem


def write_rows(path: PathLike, rows: Iterable[Sequence[str]]) -> Path:
    """Write a TSV file atomically; a cell that holds a tab, a quotation mark or a line break is quoted."""
    return write_text(path, "".join("\t".join(map(_quoted, row)) + "\n" for row in rows))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in '\t"\r\n') else cell


def read_rows(path: PathLike, *, error: type[Exception]) -> list[tuple[int, list[str]]]:
    """Read a TSV or CSV file (tabs if its first line has one): (line number, cells) of every row that is not empty.

    Raise `error`, naming the file, if it is missing, not UTF-8, or its quotation marks do not pair.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"cannot read {path} as a UTF-8 table: {problem}") from problem
    delimiter = "\t" if "\t" in text.lstrip("\r\n").partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if row]
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
