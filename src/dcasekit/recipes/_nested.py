"""Choosing without the fold that is tested on: for each test fold, candidates are tried on the other folds alone.

A candidate is trained without the test fold and one more fold, and judged on the latter; its number is the mean over all those folds. A
network without the folds a and b serves the choice for a, judged on b, and the choice for b, judged on a: each is trained once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcasekit.core.tables import Table
from dcasekit.errors import DatasetError
from dcasekit.metrics import bootstrap
from dcasekit.plots.svg import percent
from dcasekit.results import Results
from dcasekit.scores import pool

Choice = TypeVar("Choice", bound=Any)


@dataclass(frozen=True)
class Trial(Generic[Choice]):
    """A candidate to be judged: its settings, the folds that it is trained on, and the fold that it is judged on."""

    choice: Choice
    trained: tuple[str, ...]
    judged: str


@dataclass(frozen=True)
class Tried(Generic[Choice]):
    """The candidates of one setting: for each test fold the value of each candidate, and the position of the chosen one."""

    setting: str
    candidates: Sequence[Any]
    numbers: Mapping[str, Sequence[float]]
    taken: Mapping[str, int]


def choose(
    first: Choice,
    candidates: Mapping[str, Sequence[Any]],
    folds: Sequence[str],
    judge: Callable[[Sequence[Trial[Choice]]], Sequence[float]],
) -> tuple[dict[str, Choice], list[Tried[Choice]]]:
    """Choose the value of one setting after the other, separately for each test fold, which is never used to choose.

    Parameters
    ----------
    first : a dataclass of all settings; those that are chosen start with their first candidates.
    candidates : setting -> its candidates, in the order of choosing. Among equally good ones the first is chosen.
    folds : all folds; each is the test fold once.
    judge : function that takes trials and returns a value for each; larger is better. It is called once per setting, with the trials that
        have no value yet.

    Returns
    -------
    the chosen settings for each test fold, and for each setting the candidates with their values.

    Raises
    ------
    DatasetError : there are fewer than three folds: one to test, one to judge, one to train on.
    """
    if len(folds) < 3:
        raise DatasetError(f"choices on other folds need three folds or more; there are: {', '.join(folds) or 'none'}")
    chosen = dict.fromkeys(folds, replace(first, **{name: options[0] for name, options in candidates.items()}))
    tried: list[Tried[Choice]] = []
    found: dict[Trial[Choice], float] = {}
    for name, options in candidates.items():
        if len(options) < 2:
            continue
        trials = {
            (fold, number): _trials(replace(chosen[fold], **{name: option}), fold, folds)
            for fold in folds
            for number, option in enumerate(options)
        }
        asked = list(dict.fromkeys(trial for each in trials.values() for trial in each if trial not in found))
        found |= dict(zip(asked, judge(asked), strict=True))
        numbers = {fold: [float(np.mean([found[trial] for trial in trials[fold, at]])) for at in range(len(options))] for fold in folds}
        taken = {fold: int(np.argmax(each)) for fold, each in numbers.items()}
        chosen = {fold: replace(choice, **{name: options[taken[fold]]}) for fold, choice in chosen.items()}
        tried.append(Tried(name, options, numbers, taken))
    return chosen, tried


def _trials(choice: Choice, tested: str, folds: Sequence[str]) -> list[Trial[Choice]]:
    others = [fold for fold in folds if fold != tested]
    return [Trial(choice, tuple(fold for fold in others if fold != judged), judged) for judged in others]


def tabulate(tried: Sequence[Tried[Any]]) -> Table:
    """Make a table with the value of every candidate for each test fold, measured on the other folds, and which one was chosen."""
    folds = list(tried[0].numbers) if tried else []
    rows = [
        (one.setting, str(option), *(percent(one.numbers[fold][at]) + (" taken" if one.taken[fold] == at else "") for fold in folds))
        for one in tried
        for at, option in enumerate(one.candidates)
    ]
    return Table(("setting", "candidate", *(f"to be tested on {fold}" for fold in folds)), rows, title="Choices, on the other folds alone")


def mean_accuracy(tests: Mapping[tuple[str, int], Results]) -> tuple[float, float, tuple[float, float]]:
    """Compute the mean accuracy over several seeds on the same clips.

    Parameters
    ----------
    tests : (fold, seed) -> results.

    Returns
    -------
    the mean, the sample standard deviation between seeds (NaN for one), and the 95 % interval of the mean over clips.
    """
    folds, seeds = list(dict.fromkeys(fold for fold, _ in tests)), list(dict.fromkeys(seed for _, seed in tests))
    right = [np.mean([_right(tests[fold, seed]) for seed in seeds], axis=0) for fold in folds]
    groups = [
        group or clip for fold in folds for clip, group in zip(tests[fold, seeds[0]].clips, tests[fold, seeds[0]].groups, strict=True)
    ]
    each = np.concatenate(right).astype(np.float32)
    interval = bootstrap.interval(lambda weights: weights @ each / weights.sum(axis=1), len(each), groups=groups)
    seed_means = [float(np.mean([tests[fold, seed].numbers["accuracy"] for fold in folds])) for seed in seeds]
    deviation = float(np.std(seed_means, ddof=1)) if len(seeds) > 1 else float("nan")
    return float(np.mean(seed_means)), deviation, interval


def _right(results: Results) -> NDArray[np.bool_]:
    answers = np.concatenate([pool(scores).values for scores in results.scores])
    return np.equal(answers.argmax(axis=1), results.truth.argmax(axis=1))


def tabulate_seeds(tests: Mapping[tuple[str, int], Results]) -> Table:
    """Make a table with the accuracy of each seed on each fold, the means, and the sample standard deviation of the seeds' means."""
    folds, seeds = list(dict.fromkeys(fold for fold, _ in tests)), list(dict.fromkeys(seed for _, seed in tests))
    values = np.array([[tests[fold, seed].numbers["accuracy"] for fold in folds] for seed in seeds])
    with_mean = np.column_stack([values, values.mean(axis=1)])
    rows = [(f"seed {seed}", *map(percent, row)) for seed, row in zip(seeds, with_mean, strict=True)]
    spread = with_mean.std(axis=0, ddof=1) if len(seeds) > 1 else np.full(len(folds) + 1, np.nan)
    rows += [("mean", *map(percent, with_mean.mean(axis=0))), ("± deviation", *map(percent, spread))]
    return Table(("accuracy", *folds, "all folds"), rows, title="Seeds", highlight=(len(seeds),))
