"""Answers of a model for audio files, and the forms they are printed in."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dcasekit.annotations import EVENT_COLUMNS
from dcasekit.cli import output as _cli_output
from dcasekit.cli.outputs import seconds
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.streaming import parts_of, score_files
from dcasekit.core.parallel import track
from dcasekit.errors import DcasekitError
from dcasekit.scores.running import Finding, RunningPool

Answer = Mapping[str, Any]


def answers(model: ModelContainer, files: Sequence[Path], *, finding: Finding | None, top: int, progress: bool) -> Iterator[Answer]:
    """Answer each file as it is read, in flat memory; one that cannot be answered gets its error, which is printed at once.

    Parameters
    ----------
    finding : answer with events, found so; ``None``: with the `top` labels of the whole file.
    """
    scored = itertools.groupby(score_files(model, [*files]), key=lambda found: found[0])
    for path, (_, group) in zip(files, track(scored, len(files), "Predicting" if progress else None), strict=True):
        try:
            parts = parts_of(found for _, found in group)
            if finding is None:
                pool = RunningPool("max" if model.task == "detection" else "mean")
                for part in parts:
                    pool.add(part)
                yield {"file": str(path), "labels": [{"label": label, "score": score} for label, score in pool.top(top)]}
            else:
                found = [{"onset": one.onset, "offset": one.offset, "label": one.label, "score": one.weight} for one in finding.find(parts)]
                yield {"file": str(path), "events": found}
        except DcasekitError as error:
            _cli_output.show_error(error)
            yield {"file": str(path), "error": str(error)}


def show(answers: Iterable[Answer], form: Literal["table", "tsv", "json"], *, events: bool) -> bool:
    """Print answers, in TSV as they come; a table or document of those there are is printed even if the work is broken off.

    Returns whether any file could not be answered.
    """
    columns = (*EVENT_COLUMNS, "score") if events else ("filename", "label", "score")
    seen: list[Answer] = []
    try:
        for answer in answers:
            seen.append(answer)
            if form == "tsv":
                _cli_output.tsv(columns, _rows(answer, events=events), header=len(seen) == 1)
    finally:
        if form == "json":
            _cli_output.document(seen)
        elif form == "table" and (rows := [row for answer in seen for row in _rows(answer, events=events)]):
            _cli_output.table(columns, rows)
    return any("error" in answer for answer in seen)


def _rows(answer: Answer, *, events: bool) -> list[tuple[str, ...]]:
    if "error" in answer:
        return []
    if not events:
        return [(answer["file"], one["label"], f"{one['score']:.4f}") for one in answer["labels"]]
    rows: list[tuple[str, ...]] = [
        (answer["file"], seconds(one["onset"]), seconds(one["offset"]), one["label"], f"{one['score']:.4f}") for one in answer["events"]
    ]
    return rows or [(answer["file"], "", "", "", "")]
