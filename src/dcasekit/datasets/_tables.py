"""Read the label tables datasets come with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dcasekit.core.files import read_rows
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
    if not path.exists():
        raise DatasetError(f"{path} does not exist; run download(), or check the dataset's folder")
    rows = read_rows(path, error=DatasetError)
    header = rows[0][1] if rows else []
    if missing := [column for column in columns if column not in header]:
        raise DatasetError(f"{path} has no column {missing[0]!r}; its columns are: {', '.join(header) or 'none, the file is empty'}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise DatasetError(f"{path} has two columns {twice[0]!r}; which one counts? Rename the other")
    for line, row in rows[1:]:
        if len(row) < len(header) or any(row[len(header) :]):
            raise DatasetError(
                f"{path}, line {line}: the row has {len(row)} cells, the header {len(header)}; a cell that holds the separator needs "
                "quotation marks"
            )
        yield dict(zip(header, row, strict=False))


def read_number(row: Mapping[str, str], column: str, path: Path) -> float:
    """Read a number of a row of `read_table`.

    Raises
    ------
    DatasetError : it is none.
    """
    try:
        return float(row[column])
    except ValueError:
        raise DatasetError(f"{path}: {column} must be a number; got {row[column]!r} in {dict(row)}") from None
