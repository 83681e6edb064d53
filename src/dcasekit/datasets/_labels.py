"""Find what is wrong with labels that people wrote by hand."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from dcasekit.annotations import Clip
from dcasekit.datasets._files import Problem


def find_label_problems(clips: Sequence[Clip], root: Path) -> Iterator[Problem]:
    """Tell of labels in two spellings, without a letter, and in one clip alone."""
    holders: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        for label in {*(clip.tags or ()), *(event.label for event in clip.events or ())}:
            holders[label].append(clip)
    spellings = defaultdict(list)
    for label in sorted(holders):
        spellings[_plain(label)].append(label)
    for plain, labels in spellings.items():
        some = ", ".join(f"{label!r} ({len(holders[label])} clips, e.g. {holders[label][0].id})" for label in labels)
        if not plain:
            yield Problem("label", str(root), f"{some} is no name; say what sounds there, or take it out")
        elif len(labels) > 1:
            yield Problem("label", str(root), f"{some}: the same label in {len(labels)} spellings; choose one")
        elif len(holders[labels[0]]) == 1:
            clip = holders[labels[0]][0]
            yield Problem("label", str(clip.path), f"{labels[0]!r} is in this clip alone; it cannot be trained and tested on")


def _plain(label: str) -> str:
    """Take from a label what people spell in several ways: capitals, blanks and dashes, the forms of unicode."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", label)).strip().casefold()
