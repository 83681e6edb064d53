"""Results on disk: ``results.json`` and ``scores.safetensors``, from which every number, and every wrong clip, can be had again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.annotations import Event
from dcasekit.core.files import check_place, place, read_json, replacing, write_json
from dcasekit.core.units import PathLike
from dcasekit.errors import AnnotationError, MetricError
from dcasekit.results import Results
from dcasekit.scores import Scores

FILES, KIND = ("scores.safetensors", "results.json"), "results"
FOLDER = "results"  # in the folder of a run, or of one of its folds


def check_results_folder(folder: PathLike) -> None:
    """Raise `StorageError` for a folder that `write_results` would refuse, before there is anything to write."""
    check_place(folder, *FILES, kind=KIND)


def write_results(folder: PathLike, results: Results) -> Path:
    """Write results into a folder, as ``results.json`` and ``scores.safetensors``; the paths of audio files are not written.

    Returns
    -------
    path of the folder.

    Raises
    ------
    StorageError : the files cannot be written, or would replace a file that dcasekit did not write.
    """
    from safetensors.numpy import save_file

    arrays = {
        "truth": np.ascontiguousarray(results.truth, dtype=np.float32),
        "values": np.concatenate([scores.values for scores in results.scores]),
        "edges": np.concatenate([scores.edges for scores in results.scores]),
        "frames": np.array([len(scores.values) for scores in results.scores]),
        "durations": np.array(results.durations, dtype=np.float64),
    }
    events = {
        clip: None if known is None else [[e.onset, e.offset, e.label, e.weight] for e in known]
        for clip, known in (results.events or {}).items()
    }
    about = {
        "task": results.task,
        "labels": results.labels,
        "threshold": results.threshold,
        "clips": results.clips,
        "groups": results.groups,
        "events": None if results.events is None else events,
    }
    with replacing(place(folder, FILES[0], kind=KIND)) as temporary:
        save_file(arrays, temporary)
    write_json(place(folder, FILES[1], kind=KIND), about)
    return Path(folder)


def read_results(folder: PathLike, *, paths: Mapping[str, Path] | None = None) -> Results:
    """Read the results of a run; those of a run over several folds are pooled.

    Parameters
    ----------
    folder : the folder that `write_results` wrote; or the folder of a run, in which that is called ``results``, or in which the folder
        of each fold has a ``results``.
    paths : clip id -> audio file, for instance of a dataset's clips; if it lacks a clip, the results have no paths at all.

    Raises
    ------
    MetricError : there are no results, or a file is missing or damaged.
    """
    root = Path(folder)
    own = next((each for each in (root, root / FOLDER) if (each / FILES[1]).is_file()), None)
    found = [own] if own else sorted(path.parent for path in root.glob(f"*/{FOLDER}/{FILES[1]}"))
    if not found:
        raise MetricError(f"{folder} holds no results; train again, or run: dcasekit evaluate --model {root / 'model'} --out {folder} ...")
    return Results.pool([_read(each, paths or {}) for each in found])


def _read(folder: Path, paths: Mapping[str, Path]) -> Results:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    about = read_json(folder / FILES[1], error=MetricError)
    try:
        arrays = load((folder / FILES[0]).read_bytes())
        labels, clips = tuple(map(str, about["labels"])), tuple(map(str, about["clips"]))
        ends = np.cumsum(arrays["frames"])[:-1]
        values = np.split(arrays["values"], ends)
        edges = np.split(arrays["edges"], ends + np.arange(1, len(clips)))
        there = tuple(paths[clip] for clip in clips if clip in paths)
        return Results(
            task=about["task"],
            labels=labels,
            clips=clips,
            truth=arrays["truth"],
            scores=tuple(Scores(*pair, labels) for pair in zip(values, edges, strict=True)),
            events=None if about["events"] is None else {clip: _events(known) for clip, known in about["events"].items()},
            paths=there if len(there) == len(clips) else (),
            groups=tuple(map(str, about["groups"])),
            threshold=float(about["threshold"]),
            durations=tuple(arrays["durations"].tolist()),
        )
    except (OSError, SafetensorError, AnnotationError, MetricError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise MetricError(f"the results in {folder} are damaged ({error}); evaluate the model again") from error


def _events(known: Sequence[Any] | None) -> tuple[Event, ...] | None:
    if known is None:
        return None
    return tuple(Event(float(onset), float(offset), str(label), float(weight)) for onset, offset, label, weight in known)
