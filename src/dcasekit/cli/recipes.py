"""``dcasekit recipes``, ``run``: published systems and baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from dcasekit.cli import leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import bars, results_of
from dcasekit.cli.settings import apply_settings, assignments

Recipe = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="Name of a recipe (`dcasekit recipes`), or 'package.module' of your own.", show_default=False),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="[NAME=]PATH",
        help="Folder of the dataset; of several datasets NAME=PATH each, repeated.  \\[default: small trees of made sounds]",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the report.  \\[default: runs/RECIPE]", show_default=False)]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed, in place of the recipe's.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.  \\[default: the fastest there is]", show_default=False)]
Quick = Annotated[bool, typer.Option("--quick", help="Use the recipe's small settings, which prove nothing.")]


def recipes(as_json: o.Json = False) -> None:
    """List the recipes, published systems and baselines, with their settings. JSON: a list of objects name, about, settings."""
    leaves.show_leaves("recipes", as_json=as_json)


def run(  # noqa: PLR0913 - options of a command
    *,
    recipe: Recipe,
    data: Data = None,
    out: Out = None,
    seed: Seed = None,
    device: Device = None,
    quick: Quick = False,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a recipe: a published system or a baseline, from data to report; interrupted, the same command goes on.

    JSON: an object title, sections (name, number, value, interval_95, clips, folds, measures), report.
    """
    from dcasekit.report import Report

    module = leaves.recipe(recipe)
    config = config_of(module, quick=quick, given={"seed": seed, "device": device}, settings=settings)
    folders, out = folders_of(module, data), out or Path("runs") / module.__name__.rpartition(".")[2]
    Report.check_folder(out)
    report = module.run(config, folders, out, progress=bars(quiet))
    results_of(report, as_json=as_json, page=out / "report.html")


def config_of(module: ModuleType, *, quick: bool, given: Mapping[str, Any], settings: Sequence[str] | None = None) -> Any:
    """Make the settings of a recipe: its own or its small ones, with what was given in place of them."""
    if quick and not hasattr(module, "QUICK"):
        raise typer.BadParameter(f"{module.__name__} has no small settings QUICK", param_hint="--quick")
    config = module.QUICK if quick else module.Config()
    known = [field.name for field in fields(config)]
    for name, value in given.items():
        if value is not None and name not in known:
            raise typer.BadParameter(f"{module.__name__} has no setting {name!r}; it has: {', '.join(known)}", param_hint=f"--{name}")
    texts = assignments(settings, option="--set") | {name: str(value) for name, value in given.items() if value is not None}
    return apply_settings(config, texts, option="--set")


def folders_of(module: ModuleType, texts: Sequence[str] | None) -> dict[str, Path]:
    """Read ``PATH`` or ``NAME=PATH`` of a recipe's datasets: name -> folder."""
    names: Sequence[str] = getattr(module, "DATASETS", ())
    found: dict[str, Path] = {}
    for text in texts or ():
        head, equals, tail = text.partition("=")
        name, path = (head, tail) if equals and head in names else (names[0] if len(names) == 1 else "", text)
        if not names:
            raise typer.BadParameter(f"{module.__name__} takes no data: it has no DATASETS", param_hint="--data")
        if not name or (equals and name != head and not Path(text).exists()):
            said = f"no dataset {head!r}." if equals else f"of which dataset is {text!r}?"
            raise typer.BadParameter(f"{said} Give NAME=PATH; the recipe takes: {', '.join(names)}", param_hint="--data")
        if name in found or not path:
            raise typer.BadParameter(f"expected one folder of {name}; got {text!r}", param_hint="--data")
        found[name] = Path(path).expanduser()
    return found
