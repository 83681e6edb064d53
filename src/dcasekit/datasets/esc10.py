"""ESC-10: the ten-class subset of ESC-50."""

from collections.abc import Iterable
from pathlib import Path

from dcasekit.annotations import Clip
from dcasekit.core.cells import shorten
from dcasekit.datasets.esc50 import ESC50
from dcasekit.errors import DatasetError


class ESC10(ESC50):
    """ESC-10: 400 clips of 5 s, ten classes of 40, in the folds of ESC-50; it shares that dataset's folder.

    Its classes are easy to tell for a person (95.7 % in the paper). Published accuracies are means over the five folds.

    Examples
    --------
    >>> len(ESC10("/data/ESC-50").labels)
    10
    """

    labels = (
        "dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing", "clock_tick", "helicopter", "chainsaw",
    )  # fmt: skip

    def load(self) -> Iterable[Clip]:
        """Read the rows of ``meta/esc50.csv`` that are marked as ESC-10."""
        for clip in super().load():
            if clip.extra["esc10"] not in ("True", "False"):
                meta = self.root / "meta" / "esc50.csv"
                raise DatasetError(f"{meta}: esc10 of {clip.id} is {shorten(clip.extra['esc10'])}; it must be True or False")
            if clip.extra["esc10"] == "True":
                yield clip

    def _list_shared(self) -> Iterable[Path]:
        return (clip.path for clip in super().load())
