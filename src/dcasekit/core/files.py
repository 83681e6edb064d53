"""Write files so that a reader sees the old one or the new one, never half of either, and nothing of the user's is touched.

Everything dcasekit writes goes through here: a temporary name in the same folder, then a rename. Where a name comes from outside (a clip's
id, a label file), `place` decides the path.
"""

import codecs
import csv
import errno
import hashlib
import io
import json
import math
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dcasekit.core.cells import parse_number, refuse_deep
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import DcasekitError, StorageError

# Holds the kind of all files of a folder that dcasekit made, else a line, kind and name, for each file that it wrote there.
MARK = ".dcasekit"

# What no safe name holds: control characters, and halves of characters, which stand for bytes that are not UTF-8.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DRIVE = re.compile("[A-Za-z]:")

_MOST_TEXT = 2**30  # bytes
_LONGEST_NAME = 255  # bytes of a part of a path
_LONGEST_PATH = 1000  # bytes of the whole
_BLOCK = 1 << 18  # bytes to hash at a time

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_TEMPORARY = re.compile(r"\.dcasekit-(.+)-(\d+)-[0-9a-f]{8}(\..*)?")
# A temporary file of a process that cannot be asked for is abandoned if nobody has written to it for so long.
_ABANDONED: Seconds = 3600.0


def unsafe(name: str) -> str:
    """Say why a name cannot be a path below some folder; empty if it can.

    A safe name is a relative path with ``/`` between its parts, none of them empty, ``.`` or ``..``, without backslashes, control
    characters, drive letters and bytes that are not UTF-8; no part is longer than 255 bytes, and the whole no longer than 1000.
    """
    parts = name.split("/")
    problems = {
        "it is empty": not name,
        "it is an absolute path": not parts[0] or _DRIVE.match(name),
        "'..' leads out of its folder": ".." in parts,
        "a part of it is empty or '.'": "" in parts or "." in parts,
        "it holds a backslash; between folders stands '/'": "\\" in name,
        "it holds control characters, or bytes that are not UTF-8": _UNWRITABLE.search(name),
        f"it is longer than {_LONGEST_PATH} bytes": len(name) > _LONGEST_PATH // 4 and len(name.encode(errors="replace")) > _LONGEST_PATH,
        f"a part of it is longer than {_LONGEST_NAME} bytes": len(name) > _LONGEST_NAME // 4
        and any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in parts),
    }
    return next((why for why, found in problems.items() if found), "")


def safe_name(path: str) -> str:
    r"""Make a safe name of any path: of one that lies elsewhere the folders' names, with ``up`` for ``..``; odd characters as ``%0A``.

    Examples
    --------
    >>> safe_name("/data/rec/r1"), safe_name(r"..\other\r1"), safe_name("a//./b")
    ('data/rec/r1', 'up/other/r1', 'a/b')
    """
    path = (path[0] + path[2:] if _DRIVE.match(path) else path).replace("\\", "/")
    parts = ["up" if part == ".." else part for part in path.split("/") if part not in ("", ".")]
    return _UNWRITABLE.sub(lambda found: f"%{ord(found[0]) % 0xDC00:02X}", "/".join(parts)) or "unnamed"


def inside(folder: PathLike, name: str) -> Path:
    """Return ``folder / name`` if it lies in the folder, links followed.

    Raises
    ------
    StorageError : the name is not safe, or a link leads out of the folder.
    """
    if why := unsafe(name):
        raise StorageError(f"{name!r} cannot be a file in {folder}: {why}; rename it, or correct the list that names it")
    path, root = Path(folder, name), os.path.realpath(folder)
    if not Path(os.path.realpath(path)).is_relative_to(root):
        raise StorageError(f"{path} is behind a link that leads out of {folder}; remove the link, or give another folder (cache=, --cache)")
    return path


def place(folder: PathLike, name: str, *, kind: str) -> Path:
    """Decide where a file is written: inside a folder, and in place of no file that dcasekit did not write; note that it is ours.

    A folder that is new or empty becomes ours: ``.dcasekit`` in it says so, and what kind of files it holds. In any other folder it lists
    the files that were written there, one by one, and only these are replaced.

    Parameters
    ----------
    folder : where everything of this kind goes.
    name : of the file, below it.
    kind : in a word, for instance ``"labels"``.

    Raises
    ------
    StorageError : as `inside`; or the file exists and is not ours.
    """
    path = check_place(folder, name, kind=kind)
    if not os.path.lexists(path):
        _claim(folder, name, kind)
    return path


@contextmanager
def placing(folder: PathLike, name: str, *, kind: str) -> Iterator[Path]:
    """Decide as `place` where a file is written; if an error ends the writing, the name is not ours."""
    path = check_place(folder, name, kind=kind)
    claimed = "" if os.path.lexists(path) else _claim(folder, name, kind)
    try:
        yield path
    finally:
        if not os.path.lexists(path):
            _disclaim(Path(folder, MARK), claimed)


def _claim(folder: PathLike, name: str, kind: str) -> str:
    """Note that a file, or all of this kind in the folder, will be ours; return the line that says so, if it is new."""
    mark, line = Path(folder, MARK), ""
    with writing(mark):
        mark.parent.mkdir(parents=True, exist_ok=True)
        with os.scandir(mark.parent) as entries:
            empty = next(entries, None) is None
        if empty:
            with suppress(FileExistsError), mark.open("x", encoding="utf-8") as file:
                line = f"{kind}\n"
                file.write(line)
        if not is_ours(folder, kind):
            line = f"{kind}\t{name}\n"
            with mark.open("a", encoding="utf-8") as file:
                file.write(line)
    return line


def _disclaim(mark: Path, line: str) -> None:
    with suppress(OSError):
        rest = mark.read_text(encoding="utf-8").replace(line, "", 1)
        if rest:
            write_text(mark, rest)
        else:
            mark.unlink()


def check_place(folder: PathLike, *names: str, kind: str) -> Path:
    """Refuse, before there is anything to write, what `place` would refuse; return the path of the last name.

    Raises
    ------
    StorageError : as `place`.
    """
    for path, name in [(inside(folder, name), name) for name in names]:
        if os.path.lexists(path) and not is_ours(folder, kind) and f"{kind}\t{name}" not in _read_mark(folder):
            raise StorageError(f"{path} exists and dcasekit did not write it, so it is left as it is; move it, or give another folder")
    return path


def is_ours(folder: PathLike, kind: str) -> bool:
    """Tell whether dcasekit made this folder for files of this kind."""
    mark = Path(folder, MARK)
    if not mark.is_file():
        return False
    with mark.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip("\n") in (kind, "")


def _read_mark(folder: PathLike) -> frozenset[str]:
    mark = Path(folder, MARK)
    try:
        about = mark.stat()
        return _lines(mark, about.st_mtime_ns, about.st_size)
    except OSError:
        return frozenset()


@lru_cache(16)  # until the file changes
def _lines(path: Path, mtime_ns: int, size: int) -> frozenset[str]:  # noqa: ARG001
    return frozenset(path.read_text(encoding="utf-8", errors="replace").splitlines())


@contextmanager
def writing(path: PathLike, *, or_else: str = "write elsewhere (derived data: cache=, --cache)") -> Iterator[None]:
    """Turn what the disk refuses while a file is written into one line that names the file and the way on."""
    try:
        yield
    except DcasekitError:
        raise
    except Exception as error:
        number = _number_of(error)
        if number is None:
            raise
        why = "the disk is full, or your quota is used up; free some space" if number in _NO_ROOM else os.strerror(number)
        raise StorageError(f"cannot write {path}: {why}, or {or_else}") from error


def _number_of(error: Exception) -> int | None:
    """Return the system's number of what went wrong while writing, if the system said it."""
    if isinstance(error, OSError):
        return error.errno or errno.ENOSPC  # NumPy and libsndfile do not say why they could write but a part
    found = re.search(r"\(os error (\d+)\)", str(error))  # as safetensors has it
    return int(found[1]) if found else None


_MARKS = re.compile('[\t"\r\n]|^\ufeff')
_QUOTED = re.compile(r'(^|[\t,;\n])"(?:[^"]|"")*"(?=[\t,;\r\n]|$)')


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` on success, delete it on failure.

    Raises
    ------
    StorageError : the disk is full, read-only ...
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(str(path.parent))
        # The suffix is kept: several writers (soundfile, numpy) choose the format by it.
        temporary = path.parent / temporary_name(path.suffix)
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less what the umask says
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_name(suffix: str) -> str:
    """Make a name for a file that the next run sweeps if this process is killed."""
    return f".dcasekit-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


@cache
def _machine() -> str:
    """Name this machine, and on Linux the container, in which numbers of processes mean the same."""
    with suppress(OSError):
        return f"{platform.node()}.{os.stat('/proc/self/ns/pid').st_ino}"
    return platform.node()


def sweep(folder: PathLike) -> None:
    """Delete the temporary files that a killed process of ours left here: none of a process that runs, or may run elsewhere."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (found := _TEMPORARY.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False) and _is_abandoned(entry, found):
                os.unlink(entry.path)


sweep_once = cache(sweep)  # per folder and process


def _is_abandoned(entry: os.DirEntry[str], name: re.Match[str]) -> bool:
    if name[1] != _machine() or os.name == "nt":  # another machine's process cannot be asked for; on Windows, asking ends it
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
    try:
        os.kill(int(name[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def hash_file(path: PathLike, algorithm: str = "sha256") -> str:
    """Return the checksum of a file in hexadecimal; it guards against damage and mistakes, whatever the algorithm."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_text(path: PathLike, text: str) -> Path:
    """Write a UTF-8 text file atomically and return its path."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:  # half a character: a file name in another encoding
        part = text[max(0, error.start - 20) : error.end + 20]
        raise StorageError(f"cannot write {path}: {part!r} is not valid Unicode; rename the file or label it comes from") from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_json(path: PathLike, content: Any) -> Path:
    """Write a JSON file atomically; numbers that JSON does not know (NaN, infinity) are refused."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    if re.search("[\ud800-\udfff]", text):  # a file name that is not UTF-8: JSON can say it, UTF-8 cannot
        text = json.dumps(content, indent=2, allow_nan=False)
    return write_text(path, text + "\n")


def read_utf8(path: PathLike) -> str:
    """Read a text file, with or without a byte order mark.

    Raises
    ------
    OSError, ValueError : it cannot be read, is not UTF-8, or is larger than any text of this field: 1 GiB.
    """
    with open(path, "rb") as file:
        about = os.fstat(file.fileno())
        content = file.read(-1 if stat.S_ISREG(about.st_mode) and about.st_size <= _MOST_TEXT else _MOST_TEXT + 1)
    if len(content) > _MOST_TEXT:
        raise ValueError(f"it is larger than {_MOST_TEXT / 2**30:g} GiB")
    return content.removeprefix(codecs.BOM_UTF8).decode()


def read_json(path: PathLike, *, error: type[Exception], mend: str = "it may be damaged: delete it and make it again") -> Any:
    """Read a JSON file; raise `error`, naming the file and how to `mend` it, if it is missing, not JSON, or deeper than Python can read."""
    try:
        text = read_utf8(path)
        found = json.loads(text)
        refuse_deep(found, text)
        return found
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
    return write_text(path, format_rows(([_disarm(cell) for cell in row] for row in rows) if spreadsheet else rows))


def format_rows(rows: Iterable[Sequence[str]]) -> str:
    """Return the text of a TSV table as `write_rows` writes it."""
    return "".join("\t".join(_quote(cell, alone=len(row) == 1) for cell in row) + "\n" for row in rows)


def _quote(cell: str, *, alone: bool) -> str:
    # Alone in its row, a cell without a tab is read as one of a comma-separated table.
    marked = _MARKS.search(cell) or (alone and (not cell or "," in cell or ";" in cell))
    return '"' + cell.replace('"', '""') + '"' if marked else cell


def _disarm(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and math.isnan(parse_number(cell, otherwise=math.nan)) else cell


def read_rows(path: PathLike, *, error: type[Exception]) -> Rows:
    """Read a TSV or CSV file: (line number, cells) of every row that is not empty.

    Between the cells stands what the first row with any has: a tab, else a semicolon if it has no comma (spreadsheets where the comma is
    the decimal point), else a comma. Raise `error`, naming the file, if it is missing, not UTF-8, or its quotation marks do not pair.
    """
    try:
        text = read_utf8(path)
    except FileNotFoundError:
        raise error(f"{path} does not exist; check how it is spelled, and the folder") from None
    except (OSError, ValueError) as problem:  # also: not UTF-8, a NUL in the name
        raise error(f"cannot read {path} as a UTF-8 table: {problem}") from problem
    head = text[:65536]
    lines = (_QUOTED.sub(r"\1", head) if '"' in head else head).split("\n")
    first = next((line for line in lines if "\t" in line or "," in line or ";" in line), "")
    delimiter = "\t" if "\t" in first else ";" if "," not in first and first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return Rows([(reader.line_num, row) for row in reader if row], delimiter)
    except csv.Error as problem:
        raise error(f"{path}, line {reader.line_num}: {problem}; a cell in quotation marks must end with one") from problem
