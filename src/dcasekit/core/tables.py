"""Rows as text: columns below each other, names to the left, numbers to the right."""

from collections.abc import Mapping, Sequence
from typing import Any


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Set rows of the same keys as lines of text; a key that is ``None`` throughout is left out.

    >>> print(text_table([{"label": "dog", "f1": 0.5}, {"label": "cat", "f1": None}]))
    label     f1
    dog    0.500
    cat        -
    """
    shown = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    cells = [[name.replace("_", " ") for name in shown], *([_cell(row[name]) for name in shown] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(shown))]
    lines = (
        [cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in cells
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN: undefined
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
