"""The table of clips, as rows for the browser, which draws them (``assets/clips.js``).

Of few clips it gets all rows at once and filters them itself, so that the answer is there with the next frame; of more it asks for pages.
"""

from collections.abc import Mapping
from typing import Any

from dcasekit.annotations import Clip
from dcasekit.app._site import Query, Source, duration, labels_of
from dcasekit.core.cells import parse_number

ROWS = 15  # of a page
_FEW = 10_000  # clips that a browser gets at once

Row = tuple[str, list[str] | None, str, str, float | None]  # id, labels, fold, group, seconds


def read_filters(query: Mapping[str, str]) -> Query:
    """Read the filters of the table from the query of an address."""
    low, high = (parse_number(query.get(name, ""), otherwise=-1.0) for name in ("min", "max"))
    return Query(
        text=query.get("q", ""),
        label=query.get("label", ""),
        fold=query.get("fold", ""),
        shortest=low if low >= 0 else None,
        longest=high if high >= 0 else None,
    )


def page(source: Source, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the page of clips that an address names; if there is no page with this number, the nearest one."""
    found = source.search(read_filters(query))
    pages = max(1, -(-len(found) // ROWS))
    number = min(max(int(parse_number(query.get("page", ""), otherwise=1)), 1), pages)
    rows = [_row(clip) for clip in found[(number - 1) * ROWS : number * ROWS]]
    return {"source": source.key, "rows": rows, "page": number, "clips": len(found), "few": len(source.clips) <= _FEW}


def all_rows(source: Source) -> list[Row]:
    """Return a row for each clip; an empty list if there are too many clips to send them all."""
    return [_row(clip) for clip in source.clips] if len(source.clips) <= _FEW else []


def _row(clip: Clip) -> Row:
    return clip.id, labels_of(clip), clip.fold, clip.group, duration(clip)
