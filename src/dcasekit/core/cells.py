"""Cells of files: the number that one says, and how a message shows it."""

import math
import reprlib
from typing import Any

_DEEPEST = 100  # lists and objects of JSON within each other

_SHORT = reprlib.Repr()
_SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 12, 8, 80


def parse_number(cell: str, *, otherwise: float | None = None) -> float:
    """Read a finite number as people and tools write it, with a decimal point or a decimal comma; ``1_0``, ``nan`` and ``inf`` are refused.

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
    try:
        number = float(cell)
    except ValueError:
        try:
            number = float(cell.replace(",", ".", 1))
        except ValueError:
            number = math.nan
    if math.isfinite(number) and "_" not in cell and cell.isascii():  # Python reads 1_0, and digits of every script
        return number
    if otherwise is None:
        raise ValueError(f"{cell[:100]!r} is not a number")
    return otherwise


def parse_span(onset: str, offset: str) -> tuple[float, float]:
    """Read two numbers, each as `parse_number` does, in less time where both are written plainly."""
    both = onset + offset
    try:
        found = float(onset), float(offset)
        if math.isfinite(found[0] + found[1]) and "_" not in both and both.isascii():
            return found
    except ValueError:
        pass
    return parse_number(onset), parse_number(offset)


def shorten(value: object) -> str:
    """Show a value of a file in a message, however large it is."""
    return _SHORT.repr(value)


def refuse_deep(value: Any, text: str | None = None) -> None:
    """Refuse JSON so deep that going through it may end in a RecursionError, with ValueError.

    Parameters
    ----------
    text : that the value was read from, where it is at hand: with few brackets in it, nobody needs to look further.
    """
    if text is not None and text.count("[") + text.count("{") <= _DEEPEST:
        return
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")
