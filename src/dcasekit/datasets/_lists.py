"""Read the tables without header that datasets come with, and the names in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dcasekit.core.files import read_rows, unsafe
from dcasekit.errors import DatasetError


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
    if not path.exists():
        raise DatasetError(f"{path} does not exist; run download(), or check the dataset's folder")
    for line, row in read_rows(path, error=DatasetError):
        if len(row) < len(columns) or (any(row[len(columns) :]) and not more):
            raise DatasetError(f"{path}, line {line}: expected {', '.join(columns)}, got {row}; mend the file")
        yield f"{path}, line {line}", row if more else row[: len(columns)]


def listed_path(folder: Path, name: str) -> Path:
    """Give the path of a file that a label file names.

    Raises
    ------
    DatasetError : the name leads out of the folder.
    """
    if why := unsafe(name):
        raise DatasetError(f"the label files of {folder} name {name!r}: {why}; mend them, or run download() anew")
    return folder / name
