"""Numbers as text: what a cell of a file may say."""

import re

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def parse_number(cell: str, *, otherwise: float | None = None) -> float:
    """Read a finite number as people and tools write it, with a decimal point or a decimal comma; ``1_0``, ``nan`` and ``inf`` are none.

    Parameters
    ----------
    otherwise : what any other text gives; ``None``: a ValueError.

    Examples
    --------
    >>> parse_number("1,25")
    1.25
    >>> parse_number("1_000")
    Traceback (most recent call last):
    ...
    ValueError: '1_000' is not a number
    """
    if _NUMBER.fullmatch(cell.strip()) and abs(number := float(cell.replace(",", "."))) < float("inf"):
        return number
    if otherwise is None:
        raise ValueError(f"{cell[:100]!r} is not a number")
    return otherwise
