"""``dcasekit sweep``: a recipe's settings, chosen by validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcasekit.cli import leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import bars, document, note, table, text
from dcasekit.cli.recipes import Data, Device, Quick, Recipe, Seed, make_config, read_folders
from dcasekit.cli.settings import apply_settings, assignments

if TYPE_CHECKING:
    from dcasekit.recipes._sweep import Options, Range

_OPTION = "--vary"


def sweep(  # noqa: PLR0913 - options of a command
    *,
    recipe: Recipe,
    vary: Annotated[
        list[str],
        typer.Option(
            _OPTION,
            metavar="KEY=LOW..HIGH|KEY=A,B,...",
            help="A setting and what it may be: a range, drawn by the logarithm where HIGH is ten times LOW or more; or values.",
            show_default=False,
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="How many there shall be in the end.")] = 20,
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for trials and report.  \\[default: runs/RECIPE-sweep]", show_default=False)
    ] = None,
    seed: Seed = None,
    device: Device = None,
    quick: Quick = False,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of all trials.")] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Try settings of a recipe, and judge them on validation clips, never on those it tests on; if interrupted, run it again to continue.

    JSON: an object title, measure, settings, space, trials (settings, value, seconds, state), best (number of a trial), command, report.
    """
    from dcasekit.recipes import _sweep

    module = leaves.recipe(recipe)
    _sweep.describe_measure(module)
    config = make_config(module, quick=quick, given={"seed": seed, "device": device}, settings=settings)
    space = read_space(config, vary)
    out = out or Path("runs") / f"{module.__name__.rpartition('.')[2]}-sweep"
    say = None if quiet else note
    report = _sweep.sweep(module, config, space, read_folders(module, data), out, trials=trials, progress=bars(quiet), say=say)
    page = out / "report.html"
    if as_json:
        return document(report.to_dict() | {"report": str(page)})
    table(report.table.columns, report.table.rows)
    return text(f"best: {report.command}\nreport: {page}")


def read_space(config: Any, texts: Sequence[str]) -> "dict[str, Range | Options]":
    """Read what settings may be: ``KEY=LOW..HIGH`` or ``KEY=A,B``; each value must be one that the setting takes.

    Raises
    ------
    typer.BadParameter : no such setting, one that is not to be chosen, or a value it does not take.
    """
    from dcasekit.recipes._sweep import UNFIT

    given = assignments(texts, option=_OPTION)
    for name in given:
        if name in UNFIT:
            raise typer.BadParameter(f"{name} is not to be chosen: {UNFIT[name]}", param_hint=_OPTION)
        if "." in name:
            raise typer.BadParameter(f"{name} is part of a setting; only whole settings vary", param_hint=_OPTION)
    return {name: _read_one(config, name, given[name]) for name in given}


def _read_one(config: Any, name: str, given: str) -> "Range | Options":
    from dcasekit.recipes._sweep import Options, Range

    def fit(each: str) -> Any:
        return getattr(apply_settings(config, {name: each}, option=_OPTION), name)

    low, dots, high = given.partition("..")
    if dots:
        ends = [fit(low), fit(high)]
        if any(type(end) not in (int, float) for end in ends) or ends[0] >= ends[1]:
            raise typer.BadParameter(f"{name}: a range is of numbers, LOW..HIGH with LOW below HIGH; got {given!r}", param_hint=_OPTION)
        return Range(*ends)
    values = tuple(dict.fromkeys(fit(each) for each in split_values(given)))
    if len(values) < 2:
        raise typer.BadParameter(f"{name}: give two values or more, or a range LOW..HIGH; for one value there is --set", param_hint=_OPTION)
    return Options(values)


def split_values(given: str) -> list[str]:
    """Split at the commas that are not in brackets.

    >>> split_values("[8, 16],[16, 32]")
    ['[8, 16]', '[16, 32]']
    """
    found, depth = [""], 0
    for letter in given:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [each.strip() for each in found]
