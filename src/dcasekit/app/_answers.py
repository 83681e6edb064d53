"""What finished runs answered: their results, the data they are of, and the corrections that people made of these."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from dcasekit.annotations import Clip, Correction, append_corrections, corrections_beside, read_corrections
from dcasekit.app._site import Site, Source, is_below
from dcasekit.core.tables import visible
from dcasekit.errors import AnnotationError, DcasekitError, NameNotFoundError
from dcasekit.report.words import show
from dcasekit.results import Results
from dcasekit.results.inspection import Judged, clip_scores, judge, label_intervals
from dcasekit.results.saving import FILES, FOLDER, read_results

_DEEPEST = 4  # folders below that of the runs


@dataclass(frozen=True, eq=False)
class Answers:
    """The results of a finished run.

    Parameters
    ----------
    key : path of the run's folder, relative to the folder of all runs.
    folder : folder of the run.
    results : results of its test clips.
    """

    key: str
    folder: Path
    results: Results

    @cached_property
    def judged(self) -> Sequence[Judged]:
        """All test clips, each judged right or wrong."""
        return judge(self.results)

    @cached_property
    def wrong(self) -> Sequence[Judged]:
        """The wrong clips, those with the highest confidence first."""
        return sorted((one for one in self.judged if one.right is False), key=lambda one: -one.confidence)

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Id of a clip -> its position in the results."""
        return {clip: number for number, clip in enumerate(self.results.clips)}

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Label -> 95 % interval of its first number."""
        return label_intervals(self.results)

    @property
    def headline(self) -> str:
        """The main number with its 95 % interval, as text."""
        name = self.results.headline
        low, high = self.results.interval
        value = show(name, self.results.numbers[name])
        return value if math.isnan(low) else f"{value} ({show(name, low)} to {show(name, high)})"

    @cached_property
    def model(self) -> Path | None:
        """Folder of the model, of the first fold if there are several; ``None``: no model was saved."""
        places = [
            self.folder / "model",
            self.folder,
            *(one for deep in ("*/model", "*", "models/*") for one in sorted(self.folder.glob(deep))),
        ]
        return next((each for each in places if (each / "model.json").is_file()), None)

    def score(self, clip: str, label: str) -> float:
        """Return the score of a label for a whole clip."""
        return float(clip_scores(self.results)[self.place[clip], self.results.labels.index(label)])


def names(site: Site) -> list[str]:
    """List the keys of all results, the newest first. A run over several folds is listed as a whole, and each of its folds."""
    found: dict[str, float] = {}
    for depth in range(1, _DEEPEST + 1):
        for path in site.runs.glob("/".join(["[!.]*"] * depth + [FOLDER, FILES[1]])):
            if not is_below(path, site.roots):  # behind a link that leads elsewhere
                continue
            home, when = path.parent.parent, path.stat().st_mtime
            run = home.parent
            if (run / "report.json").is_file() and run != site.runs and not (run / FOLDER).exists():
                found[run.relative_to(site.runs).as_posix()] = when + 1
                if home.name in ("model", "models"):  # all that there is of the run
                    continue
            found[home.relative_to(site.runs).as_posix()] = when
    return sorted(found, key=lambda key: (-found[key], key))


def of_run(site: Site, name: str) -> list[str]:
    """List the keys of the results that belong to one run: the run itself, or each system of a recipe."""
    return sorted(key for key in names(site) if key == name or key.startswith(f"{name}/"))


def find(site: Site, key: str | None) -> Answers:
    """Return the results with this key; ``None``: the newest.

    Raises
    ------
    NameNotFoundError : there are no such results.
    """
    known = names(site)
    if not known:
        raise NameNotFoundError("no run has results yet: train a model, or evaluate one; its predictions are then shown here")
    if key and key not in known:
        raise NameNotFoundError("there is no such run; choose another")
    folder = site.runs / (key or known[0])
    newest = max(path.stat().st_mtime_ns for path in (*folder.glob(f"{FOLDER}/{FILES[1]}"), *folder.glob(f"*/{FOLDER}/{FILES[1]}")))
    return _read(key or known[0], folder, newest)


@lru_cache(16)
def _read(key: str, folder: Path, changed: int) -> Answers:  # noqa: ARG001 - until it is evaluated again
    return Answers(key, folder, read_results(folder))


def source_of(site: Site, results: Results) -> Source | None:
    """Find the source that results belong to, which has the same task and all of their labels and clips; ``None``: there is none."""
    for source in site.sources.values():
        try:
            fits = source.dataset.task == results.task and set(results.labels) <= set(source.dataset.labels)
            if fits and all(clip in source.by_id for clip in results.clips):
                return source
        except DcasekitError:  # a dataset that cannot be read is not the one
            continue
    return None


def corrections_of(source: Source) -> Path:
    """Return the path of a source's file of corrections; data for several tasks have one for each task."""
    path = corrections_beside(source.path)
    task = source.settings.get("task")
    return path.with_name(f"{source.path.name}.{task}.corrections.jsonl") if task else path


def version(source: Source) -> int:
    """Return a number that changes whenever a label of the source is corrected."""
    try:
        return os.stat(corrections_of(source)).st_mtime_ns
    except OSError:
        return 0


def corrections(source: Source) -> Mapping[str, Correction]:
    """Return the corrections of a source: id of the clip -> its latest correction."""
    path = corrections_of(source)
    try:
        about = os.stat(path)
    except OSError:
        return {}
    return _corrections(path, about.st_mtime_ns, about.st_size)


@lru_cache(16)
def _corrections(path: Path, changed: int, size: int) -> Mapping[str, Correction]:  # noqa: ARG001
    return {one.clip: one for one in read_corrections(path)}


UNKNOWN = "\N{EM DASH} cannot be told"  # in a form, in place of labels


def options(source: Source) -> list[dict[str, str]]:
    """Return the options of a form for labels: all labels of the source, and one for clips that nobody can label."""
    return [*({"label": visible(label), "value": label} for label in source.dataset.labels), {"label": "cannot be told", "value": UNKNOWN}]


def read_labels(source: Source, chosen: Any) -> dict[str, float | None] | None:
    """Read the options chosen in a form as tags; ``None``: nobody can tell.

    Raises
    ------
    AnnotationError : nothing was chosen, or something that does not fit the task.
    """
    labels = [chosen] if isinstance(chosen, str) else list(chosen or ())
    if labels == [UNKNOWN]:
        return None
    if unknown := [label for label in labels if label not in source.dataset.labels]:
        told = "choose either labels or that it cannot be told" if UNKNOWN in unknown else f"{unknown[0]!r} is not a label of these data"
        raise AnnotationError(told)
    if source.dataset.task == "classification" and len(labels) != 1:
        raise AnnotationError("choose what it really is")
    return dict.fromkeys(labels, 1.0)


def correct(source: Source, clips: Iterable[Clip], who: Any, **really: Any) -> str:
    """Store corrections of clips; return a sentence that confirms it."""
    made = [Correction.of(clip, who=str(who or "").strip()[:80], **really) for clip in clips]
    path = append_corrections(corrections_of(source), made)
    return f"Written to {path.name}, beside the data: {len(made)} clip{'s' * (len(made) != 1)}."


def now(source: Source, clip: Clip) -> Clip:
    """Return a clip with its correction, if there is one."""
    return all_now(source, [clip])[0]


def all_now(source: Source, clips: Sequence[Clip]) -> list[Clip]:
    """Return clips with their corrections."""
    found = corrections(source)
    return [found[clip.id].apply(clip) if clip.id in found else clip for clip in clips]
