"""Clips of a page that can be heard and seen: mistakes of a classification, of tags, and events from the worst clip to the best."""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio, plots
from dcasekit.annotations import HARD
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.errors import AudioError
from dcasekit.plots.svg import percent
from dcasekit.report.pages import bars_height, drawing, figure
from dcasekit.results import Example, Results
from dcasekit.scores import pool

_RATE, _HEARD, _SEEN = 16_000, 5.0, 300.0  # Hz; seconds of a clip to hear (some 30 kB as mp3) and, of events, to see
_EVENTS_HEARD = 10.0


@dataclass(frozen=True)
class Answer:
    """A label that was predicted, its score as text, and whether it is right (``None``: unknown)."""

    label: str
    score: str
    right: bool | None


@dataclass(frozen=True)
class Shown:
    """A clip on a page: its picture (SVG) and sound (data URI), predicted and true labels; `problem` says why there is no sound."""

    name: str
    picture: str = ""
    sound: str = ""
    problem: str = ""
    answers: Sequence[Answer] = ()
    true: Sequence[str] = ()
    note: str = ""


def examples(results: Results) -> list[Shown]:
    """Choose the clips of a page, with pictures and sounds.

    For classification these are the six wrong predictions with the highest scores; for tagging the six clips whose tags are most wrong;
    for detection four clips from the worst to the best.
    """
    if results.task == "classification":
        mistakes = results.mistakes(6)
        answers = ([Answer(one.predicted, percent(one.confidence), False)] for one in mistakes)
        return [_show(one.clip, one.path, said, [one.true]) for one, said in zip(mistakes, answers, strict=True)]
    if results.task == "tagging":
        return [_tags(results, position) for position in _most_wrong(results, 6)]
    paths = dict(zip(results.clips, results.paths, strict=False))
    return [_events(example, paths.get(example.clip)) for example in results.examples(4)]


def _most_wrong(results: Results, count: int) -> list[int]:
    """Find the clips that have a wrong tag, the one whose score is farthest from the truth first."""
    scores = _clip_scores(results)
    wrong = (scores > results.threshold) != (results.truth > HARD)
    miss = np.where(wrong & ~np.isnan(results.truth), np.abs(scores - (results.truth > HARD)), 0.0).max(axis=1)
    return [int(position) for position in np.argsort(-miss, kind="stable")[:count] if miss[position] > 0]


def _tags(results: Results, position: int) -> Shown:
    scores, truth = _clip_scores(results)[position], results.truth[position]
    said = [int(index) for index in np.argsort(-scores, kind="stable") if scores[index] > results.threshold]
    right = [None if np.isnan(truth[index]) else bool(truth[index] > HARD) for index in said]
    answers = [Answer(results.labels[index], percent(float(scores[index])), one) for index, one in zip(said, right, strict=True)]
    true = [label for label, value in zip(results.labels, truth, strict=True) if value > HARD]
    return _show(results.clips[position], results.paths[position] if results.paths else None, answers, true)


def _clip_scores(results: Results) -> FloatArray:
    return np.concatenate([pool(scores, how="mean").values for scores in results.scores])


def _show(clip: str, path: Path | None, answers: Sequence[Answer], true: Sequence[str]) -> Shown:
    samples, sound, problem = _read(path, _HEARD, _HEARD)
    picture = "" if samples is None else figure(f"Spectrogram of {clip}", partial(plots.spectrogram, samples, _RATE), width=360, height=150)
    return Shown(clip, picture, sound, problem, answers, true)


def _events(example: Example, path: Path | None) -> Shown:
    samples, sound, problem = _read(path, min(_SEEN, example.duration), _EVENTS_HEARD)
    rows = bars_height(len({event.label for event in (*example.reference, *example.estimate)}))
    draw = partial(_draw_events, samples, example, rows)
    picture = drawing(f"Events in {example.clip}", draw, width=480, height=rows + (0 if samples is None else 120))
    return Shown(example.clip, picture, sound, problem, note=f"F1 of this clip {percent(example.f1)}")


def _draw_events(samples: FloatArray | None, example: Example, rows: float, figure: Any) -> None:
    axes = figure.subplots(
        1 if samples is None else 2, squeeze=False, sharex=True, height_ratios=[*([] if samples is None else [110]), rows]
    )
    if samples is not None:
        plots.spectrogram(samples, _RATE, ax=axes[0, 0]).label_outer()
    plots.timeline(example.reference, example.estimate, duration=example.duration, ax=axes[-1, 0])


def _read(path: Path | None, seen: Seconds, heard: Seconds) -> tuple[FloatArray | None, str, str]:
    """Return samples to see, sound to hear as a data URI, and what a reader should know of either."""
    if path is None:
        return None, "", "No audio file is known for this clip."
    try:
        samples, sr = audio.read(path, sr=_RATE, stop=seen + 0.1)  # a little more, to know whether there is more
        with tempfile.TemporaryDirectory() as folder:
            # 0.98: mp3 overshoots a little.
            loud = samples[: int(heard * sr)] * np.float32(0.98 / max(1.0, float(np.abs(samples).max())))
            sound = audio.write(Path(folder) / "clip.mp3", loud, sr).read_bytes()
    except AudioError as problem:
        return None, "", f"No player: {str(problem).replace(str(path), path.name)}"
    note = f"Plays the first {heard:g} s." if len(samples) > (heard + 0.05) * sr else ""
    return samples[: int(seen * sr)], f"data:audio/mpeg;base64,{base64.b64encode(sound).decode()}", note
