"""Read the tables and lists that datasets come with, and the names and numbers in them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dcasekit.core.cells import parse_number, shorten
from dcasekit.core.files import Rows, read_rows, unsafe
from dcasekit.errors import DatasetError


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a comma- or tab-separated table with a header, as dicts; none is skipped, no cell is dropped.

    Parameters
    ----------
    columns : that must be there; others are passed on as well.

    Raises
    ------
    DatasetError : no such file, not text, a column is missing or there twice, or a row is short or long; the message names file and line.
    """
    rows = _read(path)
    header = rows[0][1] if rows else []
    if missing := [column for column in columns if column not in header]:
        raise DatasetError(f"{path} has no column {missing[0]!r}; its columns are: {', '.join(header)[:300] or 'none, the file is empty'}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise DatasetError(f"{path} has two columns {shorten(twice[0])}; rename the one that should be ignored")
    for line, row in rows[1:]:
        if len(row) < len(header) or any(row[len(header) :]):
            raise DatasetError(
                f"{path}, line {line}: the row has {len(row)} cells, the header {len(header)}; a cell that holds the separator needs "
                "quotation marks"
            )
        yield dict(zip(header, row, strict=False))


def read_list(path: Path, columns: Sequence[str], *, more: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield where (file and line) and the cells of every row of a tab- or comma-separated table without header.

    Parameters
    ----------
    columns : what the cells of a row mean.
    more : whether there may be further ones.

    Raises
    ------
    DatasetError : no such file, not text, or a row is short or long; the message names file and line.
    """
    for line, row in _read(path):
        if len(row) < len(columns) or (any(row[len(columns) :]) and not more):
            raise DatasetError(f"{path}, line {line}: expected {', '.join(columns)}, got {shorten(row)}; correct the file")
        yield f"{path}, line {line}", row if more else row[: len(columns)]


def read_number(row: Mapping[str, str], column: str, path: Path) -> float:
    """Read a number of a row of `read_table`.

    Raises
    ------
    DatasetError : it is none.
    """
    try:
        return parse_number(row[column])
    except ValueError:
        raise DatasetError(f"{path}: {column} must be a number; got {shorten(row[column])} in {shorten(dict(row))}") from None


def listed_path(folder: Path, name: str) -> Path:
    """Return the path of a file that a label file names.

    Raises
    ------
    DatasetError : the name leads out of the folder.
    """
    if why := unsafe(name):
        raise DatasetError(f"the label files of {folder} name {shorten(name)}: {why}; correct them, or run download(force=True)")
    return folder / name


def not_found(path: Path) -> DatasetError:
    """Make the error about a label file, or a folder of them, that is not there: it says how to fetch the dataset."""
    return DatasetError(
        f"{path} does not exist; run download() (on the command line: dcasekit datasets download NAME --data FOLDER), "
        "or check the dataset's folder"
    )


def _read(path: Path) -> Rows:
    if not path.exists():
        raise not_found(path)
    return read_rows(path, error=DatasetError)
