"""Answers of a model for audio files, and the forms they are printed in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit.annotations import EVENT_COLUMNS
from dcasekit.cli import output as _cli_output
from dcasekit.containers.base import ModelContainer
from dcasekit.core.parallel import track
from dcasekit.errors import AudioError, FeatureError
from dcasekit.scores import Scores, pool, to_events

Answer = Mapping[str, Any]


def answers(model: ModelContainer, files: Sequence[Path], *, threshold: float | None, top: int, progress: bool) -> list[Answer]:
    """Answer each file; one that cannot be read gets its error, which is printed at once.

    Parameters
    ----------
    threshold : answer with events above it; ``None``: with the `top` labels of the whole file.
    """
    found: list[Answer] = []
    for path in track(files, len(files), "Predicting" if progress else None):
        try:
            (scores,) = model.predict([path])
        except (AudioError, FeatureError) as error:
            _cli_output.show_error(error)
            found.append({"file": str(path), "error": str(error)})
        else:
            kind, told = ("labels", _labels(scores, model.task, top)) if threshold is None else ("events", _events(scores, threshold))
            found.append({"file": str(path), kind: told})
    return found


def show(answers: Sequence[Answer], form: Literal["table", "tsv", "json"], *, events: bool) -> None:
    """Print answers."""
    if form == "json":
        return _cli_output.document(answers)
    columns = (*EVENT_COLUMNS, "score") if events else ("filename", "label", "score")
    rows = [row for answer in answers if "error" not in answer for row in (_event_rows(answer) if events else _label_rows(answer))]
    return _cli_output.tsv(columns, rows) if form == "tsv" else _cli_output.table(columns, rows)


def _labels(scores: Scores, task: str, top: int) -> list[dict[str, Any]]:
    values = pool(scores, how="max" if task == "detection" else "mean").values[0]
    order = np.argsort(-values, kind="stable")[:top]
    return [{"label": scores.labels[index], "score": float(values[index])} for index in order]


def _events(scores: Scores, threshold: float) -> list[dict[str, Any]]:
    found = to_events(scores, threshold=threshold)
    return [{"onset": event.onset, "offset": event.offset, "label": event.label, "score": event.weight} for event in found]


def _label_rows(answer: Answer) -> list[tuple[str, ...]]:
    return [(answer["file"], one["label"], f"{one['score']:.4f}") for one in answer["labels"]]


def _event_rows(answer: Answer) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (answer["file"], _seconds(one["onset"]), _seconds(one["offset"]), one["label"], f"{one['score']:.4f}") for one in answer["events"]
    ]
    return rows or [(answer["file"], "", "", "", "")]


def _seconds(time: float) -> str:
    return str(np.format_float_positional(time, precision=6, trim="-"))
