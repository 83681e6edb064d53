"""A table as one value: text and numbers under named columns. Printed it is aligned text; it is Markdown too, and pages show it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"^$|^[–\-+±\d][\d.,\s%±–+\-to]*$")
# Control characters, marks that turn the direction of writing, separators of lines, and halves of characters (undecodable file names).
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKUP = re.compile(r"[\\`*\[\]{}<>|~$&!]|(?<![^\W_])_|_(?![^\W_])")
_LINE_START = re.compile(r"^(\d*)([#>=]|[-+.)](?=\s))")


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the rows. `highlight` are the numbers of rows to set off.

    A cell is text, a number, or ``None``; ``None`` and NaN are shown as a dash, decimal numbers with three places.

    >>> print(Table.of([{"label": "dog", "f1": 0.5}, {"label": "cat", "f1": None}]))
    label     f1
    dog    0.500
    cat        -
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    highlight: Sequence[int] = ()

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], *, title: str = "") -> "Table":
        """Make a table of records with the same keys; a key that is ``None`` throughout is left out."""
        shown = [name for name in (records[0] if records else ()) if any(record[name] is not None for record in records)]
        return cls([name.replace("_", " ") for name in shown], [[record[name] for name in shown] for record in records], title)

    @property
    def cells(self) -> list[list[str]]:
        """All cells as text."""
        return [[_text(cell) for cell in row] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and stand to the right."""
        columns = list(zip(*self.cells, strict=True)) or [()] * len(self.columns)
        return [any(cells) and all(map(_NUMBER.match, cells)) for cells in columns]

    def __str__(self) -> str:
        rows = [[visible(name) for name in self.columns], *self.cells]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = [str.rjust if numeric else str.ljust for numeric in self.numeric]
        lines = ([side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in rows)
        return "\n".join("  ".join(line).rstrip() for line in lines)

    def markdown(self) -> str:
        """Return the table in Markdown, under its title."""
        head = f"### {markdown(self.title)}\n\n" if self.title else ""
        rows = [[markdown(cell) for cell in row] for row in (self.columns, *self.cells)]
        rows.insert(1, ["--:" if numeric else "---" for numeric in self.numeric])
        return head + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def visible(text: str) -> str:
    r"""Show what a reader would not see or a terminal would obey: white space as a blank, control characters as their picture.

    >>> visible("dog\tcat"), visible("\x1b[31mdog"), visible("a\u202eb")
    ('dog cat', '␛[31mdog', 'a�b')
    """
    return _HIDDEN.sub(lambda found: _picture(found.group()), text)


def markdown(text: str) -> str:
    r"""Escape a text so that Markdown shows it as it is.

    >>> markdown("*a*|b<script>"), markdown("metro_station"), markdown("1. # dog")
    ('\\*a\\*\\|b\\<script\\>', 'metro_station', '1\\. # dog')
    """
    return _LINE_START.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", visible(text)))


def _picture(character: str) -> str:
    code = ord(character)
    if character.isspace():
        return " "
    return chr(0x2421 if code == 0x7F else 0x2400 + code) if code < 0x80 else "\N{REPLACEMENT CHARACTER}"


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN: undefined
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else visible(str(value))
