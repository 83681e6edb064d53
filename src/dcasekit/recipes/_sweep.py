"""Sweeps: a recipe's settings tried out by Optuna (extra ``sweep``), judged by the recipe's own validation measure.

A recipe offers such a measure by a function ::

    def score_validation(config, data, out, *, resume, progress=False) -> float:
        '''Mean accuracy on ...'''

It trains as the recipe's ``run`` does and gives a number, the larger the better. It looks at no clip that ``run`` tests on, and the first
sentence of its docstring says what is measured on which clips. Data and features lie below `out`, which all trials share; what is trained
goes to `resume`. A recipe that cannot have such a measure may say why in ``NO_VALIDATION``.
"""

import inspect
import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from dcasekit import __version__
from dcasekit.core.files import place, read_json, write_json
from dcasekit.errors import DcasekitError, MissingExtraError, ModelError, StorageError
from dcasekit.recipes._runs import describe_data
from dcasekit.report import Report, SweepReport, Trial, environment
from dcasekit.results import plain

Say: TypeAlias = Callable[[str], None] | None

FILE, TRIALS, _TRIAL, _KIND = "sweep.json", "trials.db", "trial.json", "sweep"
UNFIT = {"seed": "a seed that was chosen is luck", "device": "it changes no system", "quick": "it changes no system"}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers if both ends are ints.

    Numbers are drawn on a logarithmic scale if the range spans an order of magnitude or more.
    """

    low: float
    high: float

    @property
    def log(self) -> bool:
        """Whether numbers are drawn on a logarithmic scale."""
        return self.low > 0 and self.high >= 10 * self.low

    def take(self, drawn: float) -> float:
        """Round a number that was drawn to four significant digits, or to a whole number."""
        return drawn if isinstance(drawn, int) else min(max(float(f"{drawn:.4g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (", by the logarithm" if self.log else "")


@dataclass(frozen=True)
class Options:
    """Values to choose from."""

    values: tuple[Any, ...]

    def take(self, drawn: int) -> Any:
        """Return the value at a position that was drawn."""
        return self.values[drawn]

    def __str__(self) -> str:
        return " or ".join(map(str, self.values))


Space: TypeAlias = Mapping[str, Range | Options]


def describe_measure(recipe: ModuleType) -> str:
    """Return the sentence that describes a recipe's validation measure: the first line of ``score_validation``'s docstring.

    Raises
    ------
    ModelError : the recipe has no such measure; the message says why.
    """
    if (score := getattr(recipe, "score_validation", None)) is None:
        reason = getattr(
            recipe, "NO_VALIDATION", "it has no function `score_validation`, which gives a number of clips that it does not test on"
        )
        raise ModelError(f"the settings of {recipe.__name__} cannot be chosen by validation: {reason}")
    return (inspect.getdoc(score) or "Its validation measure.").partition("\n")[0]


def sweep(  # noqa: PLR0913 - a recipe's run, and what varies
    recipe: ModuleType,
    config: Any,
    space: Space,
    data: Mapping[str, Path],
    out: Path,
    *,
    trials: int,
    progress: bool = False,
    say: Say = None,
) -> SweepReport:
    """Try settings of a recipe, drawn by Optuna; an interrupted sweep is continued, and trials can be added to a finished one.

    Parameters
    ----------
    recipe : module of the recipe.
    config : settings of all trials that do not vary; its seed is also the seed of the draws.
    space : setting that varies -> `Range` or `Options`.
    data : dataset -> folder, as for the recipe's ``run``.
    out : folder for Optuna's ``trials.db``, a folder per trial, and the report, which is written after every trial.
    trials : number of trials to have in the end, earlier ones included.
    progress : show progress bars.
    say : function that is called with a sentence about each trial.

    Raises
    ------
    ModelError : the recipe has no validation measure, or no trial has a value.
    StorageError : the folder holds another sweep.
    """
    measure = describe_measure(recipe)
    Report.check_folder(out)
    study = _Study(out, _facts(recipe, config, space, data), space, config.seed)
    found: list[Trial] = []
    for number in range(trials):
        settings = study.settings(number)
        folder = out / "trials" / f"{number:04d}"
        trial = _read(folder, settings) or _find_equal(found, settings)
        if trial is None:
            trial = _try(recipe, replace(config, **settings), settings, data, (out, folder / "training"), progress=progress)
            write_json(place(folder, _TRIAL, kind=_KIND), plain(vars(trial)))
            if say is not None:
                told = ", ".join(f"{name}={value}" for name, value in settings.items())
                say(f"trial {number}, {told}: {trial.state if trial.value is None else f'{trial.value:.4f}'}")
        _remove_checkpoints(folder / "training")
        study.tell(number, trial.value)
        found.append(trial)
        report = _report(recipe, config, space, data, measure, found)
        report.save(out)
    if report.best is None:
        raise ModelError(f"none of the {trials} trials gave a number; of the first: {found[0].state}")
    return report


def _facts(recipe: ModuleType, config: Any, space: Space, data: Mapping[str, Path]) -> dict[str, Any]:
    """Return what decides a sweep's trials, but for their number, as JSON values."""
    known = {name: about["fingerprint"] for name, about in describe_data(recipe, data).items()}
    settings = {name: value for name, value in asdict(config).items() if name != "device"}
    varied = {name: str(each) for name, each in space.items()}
    facts = {"recipe": recipe.__name__, "settings": settings, "vary": varied, "data": known, "dcasekit": __version__}
    return dict(plain(facts))


def _try(
    recipe: ModuleType, config: Any, settings: Mapping[str, Any], data: Mapping[str, Path], folders: tuple[Path, Path], *, progress: bool
) -> Trial:
    """Validate with some settings; what the recipe refuses is the trial's end, not the sweep's."""
    began = time.monotonic()
    try:
        value = float(recipe.score_validation(config, data, folders[0], resume=folders[1], progress=progress))
        state = "done" if math.isfinite(value) else f"the measure is {value}"
    except StorageError:
        raise
    except DcasekitError as error:
        value, state = math.nan, str(error)
    return Trial(settings, value if math.isfinite(value) else None, time.monotonic() - began, state)


def _read(folder: Path, settings: Mapping[str, Any]) -> Trial | None:
    """Find a trial that is done."""
    path = folder / _TRIAL
    if not path.exists():
        return None
    content = read_json(path, error=StorageError)
    try:
        same = content["settings"] == plain(settings)  # else it is of a study that was deleted
        return Trial(settings, content["value"], content["seconds"], content["state"]) if same else None
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} is no record of a trial ({error!r}); delete it, and the trial is run again") from error


def _find_equal(found: Sequence[Trial], settings: Mapping[str, Any]) -> Trial | None:
    """Take the number of an earlier trial with the same settings: it would come out again."""
    earlier = next((at for at, one in enumerate(found) if one.settings == settings), None)
    return None if earlier is None else replace(found[earlier], seconds=0.0, state=f"as trial {earlier}")


def _remove_checkpoints(folder: Path) -> None:
    """Remove what was kept to go on with a trial, and no file of the user's."""
    for checkpoint in folder.rglob("checkpoint.safetensors"):
        checkpoint.unlink()
    for emptied in (*sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True), folder):
        with suppress(OSError):
            emptied.rmdir()


def _report(recipe: ModuleType, config: Any, space: Space, data: Mapping[str, Path], measure: str, trials: Sequence[Trial]) -> SweepReport:
    name = recipe.__name__.removeprefix("dcasekit.recipes.")
    settings = {key: value for key, value in asdict(config).items() if key not in space}
    report = SweepReport(f"Sweep of {name}", measure, settings, {key: str(each) for key, each in space.items()}, trials, "", environment())
    if report.best is None:
        return report
    usual = recipe.QUICK if settings.get("quick") else type(config)()
    differs = {key: value for key, value in asdict(config).items() if value != getattr(usual, key)}
    chosen = {**differs, **trials[report.best].settings}
    words = [
        word
        for key, value in chosen.items()
        for word in ("--set", f"{key}={value if isinstance(value, str) else json.dumps(plain(value))}")
    ]
    words = [word for key, folder in data.items() for word in ("--data", f"{key}={folder}")] + words
    return replace(report, command=shlex.join(["dcasekit", "run", name, *(["--quick"] if settings.get("quick") else []), *words]))


class _Study:
    """Optuna's study in a folder. A draw depends on the seed and the trials before it alone: a sweep that was killed draws the same."""

    def __init__(self, out: Path, facts: Mapping[str, Any], space: Space, seed: int) -> None:
        try:
            import optuna
            from sqlalchemy import URL
        except ModuleNotFoundError as error:
            raise MissingExtraError("optuna", "sweep") from error
        _claim(out, facts)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space, self._seed = optuna, space, seed
        self._distributions = {name: _distribution(optuna, each) for name, each in space.items()}
        address = URL.create("sqlite", database=str(place(out, TRIALS, kind=_KIND))).render_as_string()
        self._study = optuna.create_study(storage=address, study_name="sweep", direction="maximize", load_if_exists=True)

    def settings(self, number: int) -> dict[str, Any]:
        """Return the settings of a trial: those that were drawn, or new ones."""
        if number == len(self._drawn()):
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
            )
            self._study.ask(self._distributions)
        params = self._drawn()[number].params
        return {name: each.take(params[name]) for name, each in self._space.items()}

    def tell(self, number: int, value: float | None) -> None:
        """Note what a trial gave."""
        drawn = self._drawn()[number]
        if not drawn.state.is_finished():
            self._study.tell(drawn.number, value, state=self._optuna.trial.TrialState.FAIL if value is None else None)

    def _drawn(self) -> list[Any]:
        """List the trials whose settings are known; a kill may have come before."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.params.keys() == self._space.keys()]


def _claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Note what is swept in a folder; refuse one of another sweep."""
    path = place(out, FILE, kind=_KIND)
    before = read_json(path, error=StorageError) if path.exists() else facts
    if changed := [name for name in facts if before.get(name) != facts[name]]:
        told = "; ".join(f"{name} was {before.get(name)}, is {facts[name]}" for name in changed)
        raise StorageError(f"{out} holds another sweep ({told}); give another --out, or delete that folder")
    write_json(path, facts)


def _distribution(optuna: Any, each: Range | Options) -> Any:
    """Return Optuna's form; options by their numbers, because they may be anything."""
    if isinstance(each, Options):
        return optuna.distributions.CategoricalDistribution(list(range(len(each.values))))
    whole = isinstance(each.low, int) and isinstance(each.high, int)
    kind = optuna.distributions.IntDistribution if whole else optuna.distributions.FloatDistribution
    return kind(each.low, each.high, log=each.log)
