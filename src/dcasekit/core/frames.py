"""Tables in the forms of other libraries: rows as a pandas DataFrame, a file as Parquet; pandas and pyarrow are imported when asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dcasekit.core.files import replacing
from dcasekit.errors import MissingExtraError


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Any:
    """Return rows as a `pandas.DataFrame`; a name that a row lacks is NaN there.

    Parameters
    ----------
    rows : names to values.
    columns : their names and order; ``None``: all names, in the order in which they come.

    Raises
    ------
    MissingExtraError : pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", "frames") from error
    return pd.DataFrame(rows, columns=list(columns if columns is not None else dict.fromkeys(name for row in rows for name in row)))


def need_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow's modules for CSV and Parquet.

    Raises
    ------
    MissingExtraError : pyarrow is not installed.
    """
    try:
        from pyarrow import csv, parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    return csv, parquet


def table_to_parquet(table: Path, to: Path, *, delimiter: str, numbers: Sequence[str]) -> Path:
    """Write a table of any length as Parquet.

    Parameters
    ----------
    table : with a header, and `delimiter` between the cells.
    numbers : columns of numbers, null where a cell is empty; all others are text.
    """
    csv, parquet = need_pyarrow()
    with table.open(encoding="utf-8", errors="surrogateescape") as file:
        columns = file.readline().strip("\n").split(delimiter)
    types = {name: "float64" if name in numbers else "string" for name in columns}
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    reader = csv.open_csv(table, parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True), convert_options=options)
    with replacing(to) as temporary, parquet.ParquetWriter(temporary, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return to
