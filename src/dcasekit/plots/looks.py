"""How a label looks: a colour and a shape, the same in every picture of a dataset."""

from collections.abc import Sequence
from typing import NamedTuple

# Told apart with protanopia, deuteranopia and tritanopia (least distance 0.09 in Oklab), and 3 : 1 against light and dark pages.
COLORS = ("#0090ee", "#c8280c", "#247a56", "#7c3aff", "#8f9a00", "#ea46c6", "#9a4a9a", "#bd8282")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # as Plotly names them


class Look(NamedTuple):
    """Colour (``#rrggbb``) and shape (a symbol of Plotly) of a label's marks."""

    color: str
    symbol: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """Assign each label a colour and a shape by its position in the list; the first 56 labels have different pairs, then pairs repeat.

    >>> looks(["dog", "cat"])["cat"]
    Look(color='#c8280c', symbol='square')
    """
    return {label: Look(COLORS[at % len(COLORS)], SYMBOLS[at % len(SYMBOLS)]) for at, label in enumerate(labels)}
