"""A recipe with one seed or with several, and the record of what was found: ``run.json`` beside the report."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from dcasekit import __version__
from dcasekit.core.energy import Energy
from dcasekit.core.files import check_place, is_ours, place, read_json, write_json
from dcasekit.core.processes import processes
from dcasekit.core.trees import fingerprint
from dcasekit.errors import ModelError, StorageError
from dcasekit.report import Published, Report, RunsReport, RunsSection, environment
from dcasekit.results import plain
from dcasekit.results.saving import FOLDER, write_results
from dcasekit.testing import SMALL_TREE

Say = Callable[[str], None] | None

FILE, _KIND = "run.json", "record of a run"


@dataclass(frozen=True)
class Record:
    """The record of a finished run, or of several that differ in their seeds.

    Parameters
    ----------
    recipe : name of the recipe's module.
    settings : settings as JSON values; ``seed`` is that of the first run.
    seeds : seed of each run; empty if the recipe has no seed.
    data : dataset -> ``folder``, ``files`` (their number), ``fingerprint`` and ``made``, whether its sounds are synthetic.
    measures : section -> measure -> ``value`` (the mean of several runs) and ``interval_95``; ``None``: undefined.
    environment : versions, machine and date.
    seconds : duration of all runs together.
    energy : electricity of all runs together, see `core.energy`; ``None``: the recipe does not measure it.
    """

    recipe: str
    settings: Mapping[str, Any]
    seeds: Sequence[int]
    data: Mapping[str, Mapping[str, Any]]
    measures: Mapping[str, Mapping[str, Mapping[str, Any]]]
    environment: Mapping[str, str]
    seconds: float
    energy: Mapping[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Write ``run.json``."""
        write_json(place(folder, FILE, kind=_KIND), plain(asdict(self)))

    def is_of(self, recipe: ModuleType, config: Any, data: Mapping[str, Mapping[str, Any]]) -> bool:
        """Tell whether this is the record of this recipe with these settings and data, one seed, and this version of dcasekit."""
        ours = [{name: (about["fingerprint"], about["made"]) for name, about in each.items()} for each in (self.data, data)]
        same = len(self.seeds) <= 1 and (self.recipe, self.settings) == (recipe.__name__, plain(asdict(config))) and ours[0] == ours[1]
        return same and self.environment.get("dcasekit") == __version__


def read(folder: Path) -> Record:
    """Read the record of a finished run from its folder.

    Raises
    ------
    StorageError : the folder holds no record of a finished run.
    """
    content = read_json(folder / FILE, error=StorageError, mend="run the recipe again")
    try:
        return Record(**content)
    except TypeError as error:
        raise StorageError(f"{folder / FILE} is not a record of a run ({error}); run the recipe again") from error


def describe_data(recipe: ModuleType, data: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Describe the data of a recipe: for each of its datasets the folder, files and fingerprint, and whether its sounds are synthetic."""
    found = {}
    for name in getattr(recipe, "DATASETS", ()):
        files, checksum = fingerprint(data[name]) if name in data else (0, "")
        made = not files or is_ours(data[name], SMALL_TREE)
        found[name] = {"folder": str(data[name]) if name in data else "", "files": files, "fingerprint": checksum, "made": made}
    return found


def run_once(recipe: ModuleType, config: Any, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Run a recipe once; write the results of its sections beside their models, and ``run.json`` beside its report.

    Raises
    ------
    StorageError : the folder holds files with these names that dcasekit did not write.
    ModelError : the program was started with ``torchrun``.
    """
    if processes() > 1:
        raise ModelError("recipes are run by one process, with workers of its own; start them without torchrun")
    check_place(out, FILE, kind=_KIND)
    Report.check_folder(out)
    (out / FILE).unlink(missing_ok=True)  # from here on the folder holds no finished run
    began = time.monotonic()
    report: Report = recipe.run(config, data, out, progress=progress)
    keep_results(report)
    content = report.to_dict()
    Record(
        recipe=recipe.__name__,
        settings=plain(asdict(config)),
        seeds=[config.seed] if hasattr(config, "seed") else [],
        data=describe_data(recipe, data),
        measures={section["name"]: section["measures"] for section in content["sections"]},
        environment=content["environment"],
        seconds=(content.get("energy") or {}).get("seconds") or time.monotonic() - began,  # the former knows of what was killed
        energy=content.get("energy"),
    ).save(out)
    return report


def keep_results(report: Report) -> None:
    """Write the results of each section into its model's folder; those of several folds into the folder that holds their models."""
    for section in report.sections:
        if section.saved is not None:
            model = Path(section.saved)
            write_results((model if len(section.folds) == 1 else model.parent) / FOLDER, section.pooled)


def finish(
    recipe: ModuleType,
    config: Any,
    data: Mapping[str, Path],
    out: Path,
    *,
    runs: int | None = None,
    progress: bool = False,
    say: Say = None,
) -> Record:
    """Run a recipe and return its record; a run of the same recipe, settings and data that is finished is not repeated.

    Parameters
    ----------
    recipe, config, data, out, progress : the recipe's module, and the arguments of its ``run``.
    runs : number of runs, which differ in their seeds, see `run_seeds`; ``None``: one run.
    say : function that is told what is done.
    """
    if runs is not None:
        run_seeds(recipe, config, data, out, runs=runs, progress=progress, say=say)
    elif not _is_finished(recipe, config, describe_data(recipe, data), out):
        _refuse_other_run(config, out)
        run_once(recipe, config, data, out, progress=progress)
    return read(out)


def _refuse_other_run(config: Any, out: Path) -> None:
    """Refuse to go on in the folder of a finished run with other settings, which would change it."""
    before, now = read(out).settings if (out / FILE).exists() else {}, plain(asdict(config))
    if changed := [name for name in now if before and name not in ("seed", "device") and before.get(name) != now[name]]:
        told = "; ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)
        raise StorageError(f"{out} holds a finished run with other settings ({told}): check it by --run {out}, or give another --out")


def _is_finished(recipe: ModuleType, config: Any, known: Mapping[str, Mapping[str, Any]], out: Path) -> bool:
    return (out / FILE).exists() and read(out).is_of(recipe, config, known)


def run_seeds(
    recipe: ModuleType, config: Any, data: Mapping[str, Path], out: Path, *, runs: int, progress: bool = False, say: Say = None
) -> RunsReport:
    """Run a recipe with the seeds ``seed``, ``seed + 1`` ... in the folders ``out/seed0`` ..., and report the mean of each measure.

    Finished runs of the same recipe, settings and data are not repeated: an interrupted call can be continued, and runs can be added later.
    The function `say` is called with a sentence when a run begins.
    """
    check_place(out, FILE, kind=_KIND)
    Report.check_folder(out)
    seeds, known = range(config.seed, config.seed + runs), describe_data(recipe, data)
    for number, seed in enumerate(seeds, 1):
        each, folder = replace(config, seed=seed), out / f"seed{seed}"
        finished = _is_finished(recipe, each, known, folder)
        if say is not None:
            say(f"run {number} of {runs}, seed {seed}" + (": finished before" if finished else ""))
        if not finished:
            run_once(recipe, each, data, folder, progress=progress)
    records = [read(out / f"seed{seed}") for seed in seeds]
    contents = {f"seed{seed}": read_json(out / f"seed{seed}" / "report.json", error=StorageError) for seed in seeds}
    report = _joined(contents, _sum([record.energy for record in records]))
    report.save(out)
    content = report.to_dict()
    Record(
        recipe=recipe.__name__,
        settings=plain(asdict(config)),
        seeds=list(seeds),
        data=records[0].data,
        measures={section["name"]: section["measures"] for section in content["sections"]},
        environment=content["environment"],
        seconds=sum(record.seconds for record in records),
        energy=content["energy"],
    ).save(out)
    return report


def _sum(parts: Sequence[Mapping[str, Any] | None]) -> Energy | None:
    """Add up what several runs took; ``None`` if one of them was not measured."""
    known = [Energy.from_dict(part) for part in parts if part is not None]
    return reduce(Energy.plus, known) if len(known) == len(parts) else None


def _joined(runs: Mapping[str, Mapping[str, Any]], energy: Energy | None) -> RunsReport:
    """Join the reports of several runs, as their files have them."""
    first = next(iter(runs.values()))
    sections = [
        RunsSection(
            name=section["name"],
            values={key: {run: _number(one["sections"][at], key) for run, one in runs.items()} for key in section["measures"]},
            published={system: Published(**one) for system, one in section["published"].items()},
            notes=list(dict.fromkeys(note for one in runs.values() for note in one["sections"][at]["notes"])),
        )
        for at, section in enumerate(first["sections"])
    ]
    return RunsReport(f"{first['title']}, {len(runs)} runs", first["settings"], sections, environment(), energy)


def _number(section: Mapping[str, Any], key: str) -> float:
    value = section["measures"].get(key, {}).get("value")
    return math.nan if value is None else float(value)
