"""Find the recordings that a list names."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from dcasekit.errors import AnnotationError


def match_names(names: Iterable[str], paths: Iterable[str]) -> dict[str, str | None]:
    """Find the recording that each name means: the one whose path it is, or with which it agrees from the end on.

    Parameters
    ----------
    names : paths as a list has them: with folders or without, with the suffix or without, with slashes or backslashes.
    paths : of the recordings, below their folder.

    Returns
    -------
    dict : name -> path; None where no recording is meant. A name that says more folders than a path (``/data/site1/a.wav`` for
        ``site1/a.wav``) agrees as well; the longest agreement counts. One composed and one decomposed letter (ä on macOS) are the same.

    Raises
    ------
    AnnotationError : a name fits several recordings equally well.

    Examples
    --------
    >>> match_names(["site1/a", "b.wav", "c.wav"], ["site1/a.wav", "site2/a.wav", "site2/b.wav"])
    {'site1/a': 'site1/a.wav', 'b.wav': 'site2/b.wav', 'c.wav': None}
    """
    by_last = defaultdict[str, list[tuple[list[str], str]]](list)
    for path in paths:
        for known in {path, os.path.splitext(path)[0]}:
            *folders, last = _parts(known)
            by_last[last].append((folders[::-1], path))
    found: dict[str, str | None] = {}
    for name in names:
        *folders, last = _parts(name)
        agreeing = defaultdict[int, set[str]](set)
        for inside, path in by_last.get(last, ()):
            common = [one == other for one, other in zip(inside, folders[::-1], strict=False)]
            if all(common):
                agreeing[2 * len(common) + (len(inside) == len(folders))].add(path)
        best = sorted(agreeing[max(agreeing)]) if agreeing else []
        if len(best) > 1:
            raise AnnotationError(f"{name!r} may be {' or '.join(best[:3])}; give the path with its folders and suffix")
        found[name] = best[0] if best else None
    return found


def _parts(path: str) -> list[str]:
    """Split a path, its suffix in lower case."""
    stem, dot, suffix = unicodedata.normalize("NFC", path).replace("\\", "/").rpartition(".")
    whole = stem + dot + (suffix.lower() if dot and "/" not in suffix else suffix)
    return [part for part in whole.split("/") if part not in ("", ".")] or [""]
