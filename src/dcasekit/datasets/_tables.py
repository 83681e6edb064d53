"""Read the label tables datasets come with."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from dcasekit.errors import DatasetError


def read_table(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header, as dicts.

    Parameters
    ----------
    columns : that must be there; others are passed on as well.

    Raises
    ------
    DatasetError : no such file, not text, a column is missing, or a row is short; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; run download(), or check the dataset's folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a table: {error}") from error
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise DatasetError(f"{path} has no column {missing[0]!r}; its columns are: {', '.join(reader.fieldnames or ())}")
    for row in reader:
        if any(row[column] is None for column in columns):
            raise DatasetError(f"{path}, line {reader.line_num}: the row has fewer cells than the header")
        yield row
