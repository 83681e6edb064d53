"""What a model says about one clip over time, and the way from there to events.

The text form is the field's own: one TSV per clip, ``onset offset label1 label2 ...``. More ways to events: `postprocessing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import LONGEST, TIME_TOLERANCE, Event
from dcasekit.core.cells import parse_number, shorten
from dcasekit.core.files import read_rows, write_rows
from dcasekit.core.frames import data_frame
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.errors import AnnotationError

LONGEST_WINDOW = 1_000_001  # frames of a median filter; 20,000 s of 20 ms

# The weight of a detection whose mean score is 0 or less: an event of weight 0 is none.
LEAST_WEIGHT = 1e-6

# A setting of post-processing: one number for all labels, one per label in their order, or label -> number.
PerLabel: TypeAlias = float | Sequence[float] | NDArray[np.floating] | Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of one clip: a number for each label in each frame.

    Parameters
    ----------
    values : (frames, labels), float32; usually probabilities in [0, 1], but any finite numbers will do. Clip-level scores have one frame.
    edges : (frames + 1,), kept as float64: the borders of the frames in seconds, ascending; frame t covers ``[edges[t], edges[t + 1])``.
    labels : names of the columns, each once.

    Raises
    ------
    AnnotationError : there is no frame, the shapes do not fit each other, a label is given twice, a value or an edge is not finite, or the
        edges do not ascend.

    Examples
    --------
    >>> scores = Scores(values=[[0.5, 0.125], [1.0, 0.0]], edges=[0, 1, 2], labels=("dog", "cat"))
    >>> scores
    Scores(2 frames x 2 labels, 0 to 2 s: dog 0.75, cat 0.06)
    >>> scores.top(1), scores.at(1.5)
    ([('dog', 0.75)], {'dog': 1.0, 'cat': 0.0})
    """

    values: FloatArray
    edges: NDArray[np.float64]
    labels: tuple[str, ...]

    def __init__(self, values: ArrayLike, edges: ArrayLike, labels: Sequence[str]) -> None:
        array, grid = np.asarray(values, dtype=np.float32), np.asarray(edges, dtype=np.float64)
        if array.ndim != 2 or not len(array) or array.shape[1] != len(labels) or grid.shape != (len(array) + 1,):
            raise AnnotationError(
                f"scores need values (frames, {len(labels)} labels), at least one frame, and frames + 1 edges; got values of shape "
                f"{array.shape} and {grid.shape} edges"
            )
        if len(set(labels)) < len(labels):
            raise AnnotationError(f"each label names one column of scores; some are given twice: {', '.join(labels)[:300]}")
        if not np.isfinite(array).all():
            raise AnnotationError(f"scores must be finite; {np.count_nonzero(~np.isfinite(array))} values are not")
        if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
            raise AnnotationError("edges must be finite seconds in ascending order")
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "edges", grid)
        object.__setattr__(self, "labels", tuple(labels))

    def __repr__(self) -> str:
        best = ", ".join(f"{label} {score:.2f}" for label, score in self.top(3))
        frames, labels = (f"{size:,} {name}{'s' * (size != 1)}" for size, name in zip(self.values.shape, ("frame", "label"), strict=True))
        more = ", ..." * (len(self.labels) > 3)
        return f"Scores({frames} x {labels}, {self.edges[0]:g} to {self.edges[-1]:g} s: {best}{more})"

    def top(self, n: int = 5, *, how: Literal["mean", "max"] = "mean") -> list[tuple[str, float]]:
        """Return the `n` labels with the highest clip-level scores, and these scores, the highest first; `how`: see `pool`."""
        pooled = pool(self, how=how).values[0]
        return [(self.labels[k], float(pooled[k])) for k in np.argsort(-pooled, kind="stable")[:n]]

    def at(self, seconds: Seconds) -> dict[str, float]:
        """Return the scores of the frame that holds the instant `seconds`: label -> score.

        Raises
        ------
        AnnotationError : the instant lies before the first frame, or at or after the end of the last.
        """
        frame = int(np.searchsorted(self.edges, seconds + TIME_TOLERANCE, side="right")) - 1
        if not 0 <= frame < len(self.values):
            raise AnnotationError(f"no frame at {seconds:g} s; these scores go from {self.edges[0]:g} s to before {self.edges[-1]:g} s")
        return dict(zip(self.labels, self.values[frame].tolist(), strict=True))

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row per frame: ``onset`` and ``offset`` of the frame in seconds, and a column per label.

        Raises
        ------
        MissingExtraError : pandas is not installed.
        """
        names = ("onset", "offset", *self.labels)
        table = np.column_stack([self.edges[:-1], self.edges[1:], self.values])
        return data_frame([dict(zip(names, row, strict=True)) for row in table.tolist()], names)


def pool(scores: Scores, *, how: Literal["mean", "max"] = "mean") -> Scores:
    """Pool frame-level scores to one frame for the whole clip: the mean, each frame weighted by its length, or the largest score."""
    if how == "max":
        values = scores.values.max(axis=0, keepdims=True)
    else:
        values = np.average(scores.values, axis=0, weights=np.diff(scores.edges))[None]
    return Scores(values, scores.edges[[0, -1]], scores.labels)


def per_label(value: PerLabel, labels: Sequence[str], *, name: str) -> NDArray[np.float64]:
    """Give each label its own value of a setting.

    Parameters
    ----------
    value : one number for all labels; one number per label, in the order of `labels`; or a mapping label -> number, which may name other
        labels too.
    name : name of the setting, for the error message.

    Returns
    -------
    array (labels,), float64.

    Raises
    ------
    AnnotationError : there is not one number per label, a label has no number, or one is NaN.

    Examples
    --------
    >>> per_label({"dog": 0.3, "cat": 0.6}, ("cat", "dog"), name="threshold").tolist()
    [0.6, 0.3]
    """
    if isinstance(value, Mapping):
        if missing := [label for label in labels if label not in value]:
            raise AnnotationError(f"no {name} for label {missing[0]!r}; given for: {', '.join(value)}. Give every label one")
        value = [value[label] for label in labels]
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.shape not in {(), (len(labels),)} or np.isnan(numbers).any():
        raise AnnotationError(f"{name} must be one number or one per label ({', '.join(labels)}), not NaN; got {value}")
    return np.broadcast_to(numbers, len(labels))


def limits(threshold: PerLabel, labels: Sequence[str]) -> FloatArray:
    """Give each label its threshold, (labels,), as float32 like the scores; NaN in a mapping becomes infinity, which no score exceeds."""
    if isinstance(threshold, Mapping):
        threshold = {label: np.inf if np.isnan(value) else value for label, value in threshold.items()}
    return per_label(threshold, labels, name="threshold").astype(np.float32)


def median_filter(
    scores: Scores, *, frames: PerLabel | None = None, seconds: PerLabel | None = None, pad: Literal["zero", "reflect"] = "zero"
) -> Scores:
    """Smooth each label over time by the median of a window centred on each frame.

    With ``pad="zero"`` and a threshold above 0 it does not matter whether scores or decisions are smoothed: the events are the same.

    Parameters
    ----------
    frames : length of the window, an odd number of frames; for all labels or per label. Give either this or `seconds`.
    seconds : length of the window in seconds; the nearest odd number of frames is taken, the larger one if two are equally near. All
        frames must be equally long, except the first and the last.
    pad : what is assumed beyond the ends of the clip. ``"zero"``: scores of 0, as SciPy's ``medfilt`` and the DCASE 2018 task 4 baseline
        assume; events at the ends of a clip get shorter. ``"reflect"``: the scores mirrored, with the outermost frame repeated, as
        ``scipy.ndimage.median_filter`` and the DESED baselines, which call it, assume.

    Returns
    -------
    `Scores` with the same frames and labels.

    Raises
    ------
    AnnotationError : the number of frames is even, neither or both of `frames` and `seconds` are given, `pad` is neither of the two, the
        window is given in seconds and the frames differ in length, or it is longer than a million frames and than twice the clip.

    Examples
    --------
    >>> median_filter(Scores([[0], [1], [1], [0], [1]], range(6), ("dog",)), frames=3).values.T.tolist()
    [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """
    from scipy import ndimage

    modes: dict[str, Literal["constant", "symmetric"]] = {"zero": "constant", "reflect": "symmetric"}
    mode = modes.get(pad)
    if mode and frames is not None and seconds is None:
        windows = per_label(frames, scores.labels, name="frames")
    elif mode and seconds is not None and frames is None:
        windows = odd_frames(scores, per_label(seconds, scores.labels, name="seconds"))
    else:
        raise AnnotationError(f"give frames or seconds, and pad 'zero' or 'reflect'; got frames={frames}, seconds={seconds}, pad={pad!r}")
    if bad := [size for size in windows.tolist() if size < 1 or size % 2 != 1]:
        raise AnnotationError(f"frames must be an odd number of frames, got {bad[0]:g}")
    longest = max(2 * len(scores.values) + 1, LONGEST_WINDOW)
    if windows.max(initial=1) > longest:
        raise AnnotationError(f"a window of {windows.max():g} frames is longer than any recording here; give at most {longest} frames")
    if pad == "zero":  # more than half of a longer window is zeros, too
        windows = np.minimum(windows, 2 * len(scores.values) + 1)
    smooth = np.empty_like(scores.values)
    for column, size in enumerate(windows.astype(np.intp).tolist()):
        # A vector at a time: on a table SciPy takes time proportional to the window. Padded here: SciPy 1.17 errs where it reflects a
        # vector many times shorter than the window.
        padded = np.pad(scores.values[:, column], size // 2, mode=mode)
        smooth[:, column] = ndimage.median_filter(padded, size=size, mode="constant")[size // 2 : size // 2 + len(smooth)]
    return Scores(smooth, scores.edges, scores.labels)


def odd_frames(scores: Scores, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert lengths in seconds, one per label, to the nearest odd numbers of frames, the larger one if two are equally near."""
    lengths = np.diff(scores.edges)
    hop = float(np.median(lengths))
    if not np.allclose(lengths[1:-1], hop, rtol=0.1, atol=0):  # a tenth: edges in files are rounded
        raise AnnotationError(
            f"a window in seconds needs frames of one length; these last {lengths.min():g} to {lengths.max():g} s. Give frames instead"
        )
    # 2k + 1 is nearest to all from 2k to 2k + 2; the crumb is for 0.16 / 0.02, which should be 8 and may be less.
    return 2 * np.floor(seconds / hop / 2 + TIME_TOLERANCE) + 1


def to_events(scores: Scores, *, threshold: PerLabel = 0.5, inclusive: bool = False) -> list[Event]:
    """Join consecutive frames whose score exceeds the threshold.

    Parameters
    ----------
    threshold : one for all labels, one per label, or label -> threshold; compared as float32, like the scores. A label whose threshold in
        a mapping is NaN is never detected: `dcasekit.metrics.thresholds` gives NaN where it had nothing to choose a threshold by.
    inclusive : whether a score equal to the threshold is enough. ``False`` (default): it must be strictly greater, as in the DCASE 2023
        task 4B baseline and sed_scores_eval. ``True``: it is enough, as in the DCASE 2018 task 4 baseline.

    Returns
    -------
    list of Event : sorted by onset, offset and label. Onsets and offsets, in seconds, are edges of the scores. The weight is the mean score
        inside the event, clipped to [1e-6, 1], because a weight of 0 means no event.

    Raises
    ------
    AnnotationError : a label has no threshold.

    Examples
    --------
    >>> to_events(Scores(values=[[.1], [1], [1]], edges=[0, 1, 2, 3], labels=("dog",)), threshold=0.5)
    [Event(onset=1.0, offset=3.0, label='dog', weight=1.0)]
    """
    limit = limits(threshold, scores.labels)
    # All labels end to end, (labels * (frames + 1),): an inactive frame after each keeps their events apart.
    stride = len(scores.values) + 1
    active = np.zeros((len(scores.labels), stride), dtype=np.bool_)
    active[:, :-1] = (scores.values >= limit if inclusive else scores.values > limit).T
    values = np.zeros(active.shape)
    values[:, :-1] = scores.values.T
    bounds = np.flatnonzero(np.diff(active.ravel(), prepend=False))
    weight = np.clip(np.add.reduceat(values.ravel(), bounds)[::2] / np.diff(bounds)[::2], LEAST_WEIGHT, 1)
    column, first = np.divmod(bounds[::2], stride)
    last = bounds[1::2] % stride
    # Sorted here by (onset, offset, label), as events are: a million comparisons of Event objects take half a minute.
    alphabet = np.argsort(np.array(sorted(range(len(scores.labels)), key=scores.labels.__getitem__), dtype=np.intp))
    order = np.lexsort((alphabet[column], last, first))
    onset, offset = scores.edges[first[order]].tolist(), scores.edges[last[order]].tolist()
    label = [scores.labels[k] for k in column[order].tolist()]
    return list(map(Event, onset, offset, label, weight[order].tolist()))


def write_scores(path: PathLike, scores: Scores) -> Path:
    """Write one clip's scores as TSV: ``onset offset label1 label2 ...``; `read_scores` gives the same float32 values back."""
    table = [("onset", "offset", *scores.labels)]
    grid = [np.format_float_positional(edge, trim="-") for edge in scores.edges]
    for start, end, row in zip(grid, grid[1:], scores.values, strict=False):
        table.append((start, end, *(np.format_float_positional(value, trim="-") for value in row)))
    return write_rows(path, table)


def read_scores(path: PathLike) -> Scores:
    """Read one clip's scores from TSV or CSV with the header ``onset offset label1 label2 ...``.

    Raises
    ------
    AnnotationError : the header is another, a row does not hold one number per column, or a frame does not begin where the one before
        ends; the message names file and line.
    """
    (_, header), *rows = read_rows(path, error=AnnotationError) or [(1, [])]
    if header[:2] != ["onset", "offset"] or not rows:
        raise AnnotationError(
            f"{path}, line 1: expected a header 'onset offset label1 label2 ...' (tabs or commas) and at least one frame below it; "
            f"got {shorten(' '.join(header[:4]) or 'nothing')} and {len(rows)} rows"
        )
    numbers = []
    for line, row in rows:
        try:
            if any("_" in cell for cell in row):  # Python reads 1_0 as 10
                raise ValueError(f"a number must not contain an underscore: {' '.join(row)[:80]!r}")
            numbers.append([float(cell) for cell in row])
        except ValueError as error:
            raise AnnotationError(f"{path}, line {line}: expected {len(header)} numbers ({str(error)[:200]})") from error
        if len(row) != len(header):
            raise AnnotationError(f"{path}, line {line}: expected {len(header)} numbers, like the header; got {len(row)}")
    table = np.array(numbers)
    if problem := _frame_problem(table):
        raise AnnotationError(f"{path}, line {rows[problem[0]][0]}: {problem[1]}")
    try:
        return Scores(table[:, 2:], np.append(table[:, 0], table[-1, 1]), header[2:])
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def _frame_problem(table: NDArray[np.float64]) -> tuple[int, str] | None:
    """Find what is wrong with rows (onset, offset, scores ...): the first bad row and a complaint."""
    if bad := np.flatnonzero(~np.isfinite(table).all(axis=1)).tolist():
        return bad[0], "times and scores must be finite"
    if bad := np.flatnonzero(table[:, 1] > LONGEST).tolist():
        return bad[0], f"{table[bad[0], 1]:.9g} s is longer than any recording; times are in seconds"
    onset, offset = table[:, 0], table[:, 1]
    if bad := np.flatnonzero(offset <= onset).tolist():
        return bad[0], f"a frame's times must be ascending; got onset {onset[bad[0]]:.9g}, offset {offset[bad[0]]:.9g}"
    step = onset[1:] - offset[:-1]
    if bad := np.flatnonzero(np.abs(step) > TIME_TOLERANCE).tolist():
        kind = "overlap" if step[bad[0]] < 0 else "gap"
        here, before = onset[bad[0] + 1], offset[bad[0]]
        return bad[0] + 1, f"{kind}: each frame must begin where the one before ends, at {before:.9g} s; this begins at {here:.9g} s"
    return None


def read_scores_folder(folder: PathLike) -> dict[str, Scores]:
    """Read the scores of many clips from a folder, and the folders in it, with one TSV or CSV per clip, as sed_scores_eval stores them.

    Returns
    -------
    dict : clip id -> scores, in the order of the ids. The id is the file's path below `folder` without its last suffix: ``a.wav.tsv`` holds
        the scores of ``a.wav``.

    Raises
    ------
    AnnotationError : the folder does not exist or holds no score file, two files are of one clip, or `read_scores` refuses a file.
    """
    files = find_score_files(folder)
    if not files:
        raise AnnotationError(f"{folder} is not a folder of score files (.tsv or .csv, one per clip, named by the clip's id)")
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in files]
    for (clip, path), (following, other) in pairwise(zip(names, files, strict=True)):
        if clip == following:
            raise AnnotationError(f"{path} and {other} are both scores of clip {clip!r}; keep one")
    return {clip: read_scores(path) for clip, path in zip(names, files, strict=True)}


def find_score_files(folder: PathLike) -> list[Path]:
    """List the .tsv and .csv files of a folder and the folders in it, without hidden ones, sorted by their paths without suffix."""
    found = (path for path in Path(folder).rglob("*") if path.suffix.lower() in {".tsv", ".csv"})
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(shown, key=lambda path: path.with_suffix("").as_posix())


def read_durations(path: PathLike) -> dict[str, Seconds]:
    """Read the durations of recordings: ``filename duration`` in seconds, tab or comma separated, with or without that header.

    Names are kept as they are written, most often with ``.wav``; event lists are keyed by the same names. Clip ids of
    `read_scores_folder` mostly have no suffix: ``{name.removesuffix(".wav"): seconds for name, seconds in ...}`` matches the two.

    Returns
    -------
    dict : file name -> seconds, in the order of the file; further columns are ignored.

    Raises
    ------
    AnnotationError : a row has no duration, or one that is not finite and above 0, or a name is listed twice; the message names file and
        line.
    """
    found: dict[str, Seconds] = {}
    for index, (line, row) in enumerate(read_rows(path, error=AnnotationError)):
        name, duration = (*row, "")[:2]
        if index == 0 and duration.strip().lower() == "duration":
            continue
        seconds = parse_number(duration, otherwise=-1)
        if not 0 < seconds <= LONGEST:
            raise AnnotationError(
                f"{path}, line {line}: expected 'filename duration', in seconds > 0 and at most {LONGEST:.0f}; got {shorten(row)}"
            )
        if name in found:
            raise AnnotationError(f"{path}, line {line}: {shorten(name)} is listed twice; give each file one duration")
        found[name] = seconds
    return found
