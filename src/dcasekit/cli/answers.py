"""Answers of a model for audio files, and the forms they are printed in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit.annotations import EVENT_COLUMNS
from dcasekit.cli import output as _cli_output
from dcasekit.containers.base import ModelContainer
from dcasekit.core.parallel import track
from dcasekit.scores import Scores, pool, to_events

Answer = Mapping[str, Any]


def answers(model: ModelContainer, files: Sequence[Path], *, threshold: float | None, top: int, progress: bool) -> Iterator[Answer]:
    """Answer each file as soon as it has been read; one that cannot be answered gets its error, which is printed at once.

    Parameters
    ----------
    threshold : answer with events above it; ``None``: with the `top` labels of the whole file.
    """
    found = track(model.predict_each(files), len(files), "Predicting" if progress else None)
    for path, (_, scores) in zip(files, found, strict=True):
        if isinstance(scores, Exception):
            _cli_output.show_error(scores)
            yield {"file": str(path), "error": str(scores)}
        else:
            kind, told = ("labels", _labels(scores, model.task, top)) if threshold is None else ("events", _events(scores, threshold))
            yield {"file": str(path), kind: told}


def show(answers: Iterable[Answer], form: Literal["table", "tsv", "json"], *, events: bool) -> bool:
    """Print answers, in TSV as they come; a table or document of those there are is printed even if the work is broken off.

    Gives whether any file could not be answered.
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


def _labels(scores: Scores, task: str, top: int) -> list[dict[str, Any]]:
    values = pool(scores, how="max" if task == "detection" else "mean").values[0]
    order = np.argsort(-values, kind="stable")[:top]
    return [{"label": scores.labels[index], "score": float(values[index])} for index in order]


def _events(scores: Scores, threshold: float) -> list[dict[str, Any]]:
    found = to_events(scores, threshold=threshold)
    return [{"onset": event.onset, "offset": event.offset, "label": event.label, "score": event.weight} for event in found]


def _rows(answer: Answer, *, events: bool) -> list[tuple[str, ...]]:
    if "error" in answer:
        return []
    if not events:
        return [(answer["file"], one["label"], f"{one['score']:.4f}") for one in answer["labels"]]
    rows: list[tuple[str, ...]] = [
        (answer["file"], _seconds(one["onset"]), _seconds(one["offset"]), one["label"], f"{one['score']:.4f}") for one in answer["events"]
    ]
    return rows or [(answer["file"], "", "", "", "")]


def _seconds(time: float) -> str:
    return str(np.format_float_positional(time, precision=6, trim="-"))
