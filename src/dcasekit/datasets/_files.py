"""Find what is wrong with a dataset's audio files."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dcasekit import audio
from dcasekit.core.parallel import map_clips
from dcasekit.errors import AudioError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with a file.

    Parameters
    ----------
    kind : ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"silent"`` (every sample is 0), ``"duplicate"`` (the same bytes as
        another file) or ``"extra"`` (in no label file).
    path : of the file.
    detail : what was found, and what to do.
    """

    kind: str
    path: str
    detail: str


def find_problems(
    paths: Sequence[Path], known: Iterable[Path] | None, *, content: bool, jobs: int | None, progress: str | None
) -> list[Problem]:
    """Check files, and look for audio beside them.

    Parameters
    ----------
    paths : what should be there; a path that occurs several times (one per channel) is checked once.
    known : further audio that may lie in their folders; ``None``: do not look beside them.
    content : whether to read the samples, not the header alone.
    jobs, progress : see `map_clips`; headers are read by one process unless `jobs` says otherwise.
    """
    paths = list(dict.fromkeys(paths))
    # A header is read faster than it travels to another process.
    checked = list(map_clips(partial(_check, content=content), paths, jobs=jobs or (None if content else 1), progress=progress))
    problems = [problem for problem, _ in checked if problem is not None]
    same = defaultdict(list)
    for path, (_, digest) in zip(paths, checked, strict=True):
        if digest:
            same[digest].append(path)
    for first, *others in same.values():
        problems += (Problem("duplicate", str(other), f"the same bytes as {first}; keep one of them in the label file") for other in others)
    if known is not None:
        expected = {*paths, *known}
        beside = {path for folder in {path.parent for path in paths} for path in folder.glob("*") if path.suffix.lower() in audio.READABLE}
        problems += (Problem("extra", str(path), "not in the label file") for path in sorted(beside - expected))
    return problems


def _check(path: Path, *, content: bool) -> tuple[Problem | None, str]:
    """Give what is wrong with a file, and the hash of its bytes if they were read and are sound."""
    if not path.exists():
        return Problem("missing", str(path), "listed in the label file, not on disk; download the dataset again"), ""
    try:
        if not content:
            audio.info(path)
            return None, ""
        silent = not any([np.any(block) for block in audio.blocks(path)])  # a list: the whole file is to be decoded
    except AudioError as error:
        return Problem("truncated" if "truncated" in str(error) else "unreadable", str(path), str(error)), ""
    if silent:
        return Problem("silent", str(path), "every sample is 0; check the recording, or leave the clip out"), ""
    return None, _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
