"""Colours of labels: the same in every picture, told apart by the colour-blind, and seen on light and dark pages."""

from collections.abc import Sequence

# After Okabe and Ito, "Color Universal Design" (2008); contrast at least 3 : 1 to white and to the report's dark page.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a67c00", "#7f62b3", "#2d8e9e", "#7a7a7a")


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """Give each label a colour by its place; after the last colour comes the first again, so a picture names its labels as well.

    >>> label_colors(["cat", "dog"])
    {'cat': '#0072b2', 'dog': '#d55e00'}
    """
    return {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(labels)}
