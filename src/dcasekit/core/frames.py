"""Rows as a pandas DataFrame: the only file that knows pandas, which is imported when a frame is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from dcasekit.errors import MissingExtraError


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Any:
    """Give rows as a `pandas.DataFrame`; a name that a row lacks is NaN there.

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
