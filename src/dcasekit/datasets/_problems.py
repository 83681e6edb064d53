"""Find what is wrong with a dataset's audio files, and with labels that people wrote by hand."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import hash_file
from dcasekit.core.parallel import map_clips, total_size
from dcasekit.core.units import Seconds
from dcasekit.errors import AudioError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with a file.

    Parameters
    ----------
    kind : ``"missing"``, ``"unreadable"``, ``"truncated"``, ``"silent"`` (every sample is 0), ``"duplicate"`` (the same bytes as
        another file), ``"extra"`` (in no label file), ``"late"`` (events behind its end); of the dataset's folder
        ``"labels"`` (it cannot be told what it holds); of a `Folder` also ``"left out"`` (a recording not used) and ``"label"`` (two
        spellings, no name, in one clip alone).
    path : of the file.
    detail : what was found, and what to do.
    """

    kind: str
    path: str
    detail: str


_ROUNDING: Seconds = 1e-3  # times in label files have three decimals as a rule


def find_problems(
    clips: Sequence[Clip], known: Iterable[Path] | None, *, step: Seconds, content: bool, jobs: int | None, progress: str | None
) -> list[Problem]:
    """Check the files of clips, and look for audio beside them.

    Parameters
    ----------
    clips : whose files should be there; one of several clips (one per channel) is checked once.
    known : further audio that may lie in their folders; ``None``: do not look beside them.
    step : seconds by which events may end after their clip, because times are on a grid.
    content : whether to read the samples, not the header alone.
    jobs, progress : see `map_clips`; headers are read by one process unless `jobs` says otherwise.
    """
    paths = list(dict.fromkeys(clip.path for clip in clips))
    if not content:  # a header is read faster than it travels to another process
        jobs = jobs or 1
    size = total_size(paths) if jobs is None else 0
    checked = list(map_clips(partial(_check, content=content), paths, jobs=jobs, size=size, progress=progress))
    problems = [one.problem for one in checked if one.problem is not None]
    same = defaultdict(list)
    for path, one in zip(paths, checked, strict=True):
        if one.digest:
            same[one.digest].append(path)
    for first, *others in same.values():
        problems += (Problem("duplicate", str(other), f"the same bytes as {first}; keep one of them in the label file") for other in others)
    durations = {path: one.duration for path, one in zip(paths, checked, strict=True)}
    late = {clip.path: problem for clip in clips if (problem := _late(clip, durations[clip.path] or clip.duration, step))}
    problems += late.values()
    if known is not None:
        expected = {*paths, *known}
        beside = {path for folder in {path.parent for path in paths} for path in folder.glob("*") if path.suffix.lower() in audio.READABLE}
        problems += (Problem("extra", str(path), "not in the label file") for path in sorted(beside - expected))
    return problems


def find_label_problems(clips: Sequence[Clip], root: Path) -> Iterator[Problem]:
    """Tell of labels in two spellings, without a letter, in one clip alone, and in all."""
    holders: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        for label in {*(clip.tags or ()), *(event.label for event in clip.events or ())}:
            holders[label].append(clip)
    if len(holders) == 1 and all(clip.events is None and clip.tags for clip in clips):
        yield Problem("label", str(root), f"every recording is {next(iter(holders))!r}; a classifier needs two labels or more")
    spellings = defaultdict(list)
    for label in sorted(holders):
        spellings[_plain(label)].append(label)
    for plain, labels in spellings.items():
        some = ", ".join(f"{label!r} ({len(holders[label])} clips, e.g. {holders[label][0].id})" for label in labels)
        if not plain:
            yield Problem("label", str(root), f"{some} is not a name; say what sounds there, or remove it")
        elif len(labels) > 1:
            yield Problem("label", str(root), f"{some}: the same label in {len(labels)} spellings; choose one")
        elif len(holders[labels[0]]) == 1:
            clip = holders[labels[0]][0]
            yield Problem(
                "label",
                str(clip.path),
                f"{labels[0]!r} is in this clip only, so it cannot be both trained on and tested; record more, or remove the label",
            )


@dataclass(frozen=True, slots=True)
class _Checked:
    """What is wrong with a file; the hash of its bytes if they were read and are sound; and how long it is, if it can be read."""

    problem: Problem | None
    digest: str = ""
    duration: Seconds | None = None


def _check(path: Path, *, content: bool) -> _Checked:
    try:
        duration = audio.info(path).duration
        if not content:
            return _Checked(None, duration=duration)
        silent = not any([np.any(block) for block in audio.blocks(path)])  # a list: the whole file is to be decoded
    except AudioError as error:
        if not os.path.exists(path):
            return _Checked(
                Problem("missing", str(path), "listed in the label file, not on disk; put it there, or download the dataset again")
            )
        return _Checked(Problem("truncated" if "truncated" in str(error) else "unreadable", str(path), str(error)))
    if silent:
        return _Checked(Problem("silent", str(path), "every sample is 0; check the recording, or leave the clip out"), duration=duration)
    return _Checked(None, hash_file(path), duration)


def measure(clip: Clip) -> Clip:
    """Fill in the duration of a clip that has events, from the file's header, where it is not known and the file can be read."""
    if clip.duration is not None or not clip.events:
        return clip
    try:
        return replace(clip, duration=audio.info(clip.path).duration)
    except AudioError:
        return clip


def _late(clip: Clip, duration: Seconds | None, step: Seconds) -> Problem | None:
    late = [event for event in clip.events or () if duration is not None and event.offset > duration + max(step, _ROUNDING)]
    if not late:
        return None
    last = max(late, key=lambda event: event.offset)
    many = "1 event ends" if len(late) == 1 else f"{len(late)} events end"
    return Problem(
        "late",
        str(clip.path),
        f"{many} after the recording's {duration:.3f} s, the last at {last.offset:.3f} s ({last.label}); targets and statistics "
        "cut them off there",
    )


def _plain(label: str) -> str:
    """Take from a label what people spell in several ways: capitals, blanks and dashes, the forms of unicode."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", label)).strip().casefold()
