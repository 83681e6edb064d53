"""What `dcasekit.results.scoring` scores: a reference, and a system's events or scores for the same clips, given or read from files."""

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcasekit.annotations import HARD, TIME_TOLERANCE, Event, read_events, read_events_folder
from dcasekit.audio import READABLE
from dcasekit.core.files import read_rows
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError, MetricError
from dcasekit.scores import PerLabel, Scores, find_score_files, read_durations, read_scores_folder, to_events

Events = Mapping[str, Sequence[Event]]

_AUDIO = re.compile(rf"({'|'.join(map(re.escape, sorted(READABLE)))})$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Material:
    """A reference, and a system's events or scores for the same clips.

    Parameters
    ----------
    reference : clip id -> events, for all clips that are evaluated.
    labels : the labels to evaluate; events of other labels are left out.
    estimate : clip id -> the system's events.
    scores : clip id -> the system's scores; ``None``: there are only events.
    durations : clip id -> seconds, at which events and scores are cut; ``None``: unknown; metrics of scores over time need them.
    omitted : numbers of clips that were left out when files were read: ``clips``, those of the reference without an estimate, and
        ``strangers``, those with an estimate that are not in the reference.
    """

    reference: Events
    labels: tuple[str, ...]
    estimate: Events
    scores: Mapping[str, Scores] | None = None
    durations: Mapping[str, Seconds] | None = None
    omitted: Mapping[str, int] = field(default_factory=dict)

    @property
    def left_out(self) -> dict[str, int]:
        """Counts of what is left out of the numbers, or cut.

        Those of `omitted`; ``other``: events, of reference and estimate, whose labels are not evaluated; ``events``: reference events of
        weight 0.5 or less, which do not count; ``cut``: reference events that reach beyond the end of their clip.
        """
        listed = [(clip, event) for clip, events in self.reference.items() for event in events]
        ours = [(clip, event) for clip, event in listed if event.label in self.labels]
        found = [event for events in (self.estimate or {}).values() for event in events if event.label not in self.labels]
        ends = self.durations or {}
        return {
            **self.omitted,
            "other": len(listed) - len(ours) + len(found),
            "events": sum(event.weight <= HARD for _, event in ours),
            "cut": sum(event.weight > HARD and event.offset > ends.get(clip, event.offset) + TIME_TOLERANCE for clip, event in ours),
        }


def read(
    reference: PathLike,
    estimate: PathLike,
    *,
    durations: PathLike | None = None,
    labels: Sequence[str] | None = None,
    threshold: PerLabel = 0.5,
    partial: bool = False,
    annotator: str | None = None,
) -> Material:
    """Read a reference and a system's output from files.

    Parameters
    ----------
    reference : events: a list, ``filename onset offset event_label``, in which a row with empty event fields says that a file has none; the
        file of one recording in any format of `dcasekit.annotations` (Audacity, Raven, JAMS ...); or a folder of such files.
    estimate : the same; or a folder of score files, one per clip: ``onset offset label1 label2 ...``.
    durations : TSV or CSV file, ``filename duration`` in seconds. Its clips that the reference lacks have no events, and are evaluated.
        ``None``: for scores, a clip ends with its last frame or event; for events, durations are unknown.
    labels : the labels to evaluate; ``None``: those of the scores, or, if there are only events, all that occur.
    threshold : scores strictly above it are events, for metrics of events; see `dcasekit.scores.to_events`.
    partial : evaluate the clips that reference and estimate share, and count the others. ``False``: all clips must be in both.
    annotator : the annotator whose events of the reference are used, where a clip has those of several.

    Raises
    ------
    AnnotationError : a file does not exist or is malformed; the message names file and line.
    MetricError : the clips of reference and estimate differ, or, without `labels`, the reference has events of a label without scores.

    Notes
    -----
    ``a.wav``, ``a`` and ``audio/a.wav`` are the same clip, unless two files of one list would then have the same name; then as many folders
    of their paths are compared as are needed to tell all files apart.
    """
    scored = _holds_scores(estimate)
    true, answers, *timed = _name_clips(
        (_read_events(reference, annotator), reference),
        (read_scores_folder(estimate) if scored else _read_events(estimate, None), estimate),
        *([] if durations is None else [(read_durations(durations), durations)]),
    )
    lengths, scores = next(iter(timed), None), answers if scored else None
    found: Events = {clip: to_events(each, threshold=threshold) for clip, each in scores.items()} if scores else answers
    # A clip without events may lack in the reference if another list says that it is there.
    true = {**dict.fromkeys((*(lengths or ()), *(scores or ())), ()), **true}
    omitted = {"clips": 0, "strangers": 0}
    if partial:
        omitted = {"clips": len(true.keys() - found.keys()), "strangers": len(found.keys() - true.keys())}
        true = {clip: events for clip, events in true.items() if clip in found}
        found = {clip: events for clip, events in found.items() if clip in true}
        if not true:
            raise MetricError(f"{reference} and {estimate} have no clip in common; check that both name the recordings alike")
    _refuse_misfits(true, found, scores, f"{reference}{f' and {durations}' if durations else ''}", str(estimate))
    if lengths is None and scores is not None:
        lengths = {clip: max([float(scores[clip].edges[-1]), *(event.offset for event in true[clip])]) for clip in true}
    every = {one.label for listed in (*true.values(), *found.values()) for one in listed}
    if labels is None and scores and (strange := sorted(every.difference(next(iter(scores.values())).labels))):
        raise MetricError(
            f"{reference} has events of label {strange[0]!r}, for which {estimate} has no scores; "
            "give the labels to evaluate (--labels, labels=); others are then left out"
        )
    chosen = labels or (next(iter(scores.values())).labels if scores else sorted(every))
    return Material(true, tuple(chosen), found, scores and {clip: scores[clip] for clip in true}, lengths, omitted)


def _read_events(path: PathLike, annotator: str | None) -> dict[str, list[Event]]:
    return (read_events_folder if Path(path).is_dir() else read_events)(path, annotator=annotator)


def _holds_scores(path: PathLike) -> bool:
    """Whether a folder is one of score files: the first table in it has a header ``onset offset label ...``, and numbers below."""
    tables = find_score_files(path)
    (_, header), *rows = (read_rows(tables[0], error=AnnotationError) if tables else None) or [(0, [])]
    if [cell.strip().lower() for cell in header[:2]] != ["onset", "offset"]:
        return False
    return not rows or all(_is_number(cell) for cell in rows[0][1])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_misfits(true: Events, found: Events, scores: Mapping[str, Scores] | None, reference: str, estimate: str) -> None:
    if strange := [clip for clip in found if clip not in true]:
        raise MetricError(
            f"{estimate} has clip {strange[0]!r}, which is not in {reference}; list it there with empty event fields if nothing "
            "sounds in it, "
            "or score the clips that both have (--partial, partial=True)"
        )
    if scores is not None and (unscored := [clip for clip in true if clip not in scores]):
        raise MetricError(
            f"{estimate} has no scores of clip {unscored[0]!r}, one of {len(unscored)} of {len(true)}, which is in {reference}; score it, "
            "leave it out there, or score the clips that both have (--partial, partial=True)"
        )


def _split(name: str) -> list[str]:
    """Split a path without its audio suffix; macOS writes an accent as a letter of its own."""
    return posixpath.normpath(unicodedata.normalize("NFC", _AUDIO.sub("", name)).replace("\\", "/")).split("/")


def _name_clips(*lists: tuple[Mapping[str, Any], PathLike]) -> list[dict[str, Any]]:
    """Name clips without audio suffix, by as many parts of their paths, from the end on, as tell those of each list apart."""
    parts = [{name: _split(name) for name in listed} for listed, _ in lists]
    deepest = max((len(each) for paths in parts for each in paths.values()), default=1)
    for depth in range(1, deepest + 1):
        named = [{name: "/".join(each[-depth:]) for name, each in paths.items()} for paths in parts]
        if all(len(set(short.values())) == len(short) for short in named):
            break
    for (_, where), short in zip(lists, named, strict=True):
        if twice := next((clip for clip, count in Counter(short.values()).items() if count > 1), None):
            names = ", ".join(name for name in short if short[name] == twice)
            raise MetricError(f"{where} lists clip {twice!r} under two names: {names}")
    return [{short[name]: content for name, content in listed.items()} for (listed, _), short in zip(lists, named, strict=True)]
