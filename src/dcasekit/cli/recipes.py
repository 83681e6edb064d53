"""``dcasekit recipes``, ``run``, ``reproduce``: published systems and baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from dcasekit.cli import leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import bars, document, note, results_of, table, text
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
        help="Folder of the dataset; of several datasets NAME=PATH each, repeated.  \\[default: small datasets of synthetic sounds]",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the report.  \\[default: runs/RECIPE]", show_default=False)]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of all random numbers.  \\[default: the recipe's]", show_default=False)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.  \\[default: the fastest there is]", show_default=False)]
Runs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Run with N seeds; report mean and deviation.", show_default=False),
]
Quick = Annotated[bool, typer.Option("--quick", help="Use the recipe's small settings, which prove nothing.")]


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Name of one: show its datasets and settings.", show_default=False)
    ] = None,
    as_json: o.Json = False,
) -> None:
    """List the recipes, published systems and baselines, with their settings; or describe one.

    JSON: a list of objects name, about, settings; of one recipe an object name, about, datasets, settings (name, default, quick, about).
    """
    leaves.show_leaves("recipes", as_json=as_json) if name is None else leaves.show_recipe(name, as_json=as_json)


def run(  # noqa: PLR0913 - options of a command
    *,
    recipe: Recipe,
    data: Data = None,
    out: Out = None,
    seed: Seed = None,
    device: Device = None,
    quick: Quick = False,
    runs: Runs = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe.")] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a recipe: a published system or a baseline, from data to report; if interrupted, run it again to continue.

    JSON: an object title, sections (name, number, value, interval_95, clips, folds, measures), report; of several runs as report.json.
    """
    from dcasekit.recipes import _runs

    module = leaves.recipe(recipe)
    config = make_config(module, quick=quick, given={"seed": seed, "device": device}, settings=settings, runs=runs)
    folders, out = read_folders(module, data), out or _default_out(module)
    if runs is None:
        report = _runs.run_once(module, config, folders, out, progress=bars(quiet))
        return results_of(report, as_json=as_json, page=out / "report.html")
    joined = _runs.run_seeds(module, config, folders, out, runs=runs, progress=bars(quiet), say=None if quiet else note)
    if as_json:
        return document(joined.to_dict() | {"report": str(out / "report.html")})
    rows = [
        (section.name, key, one.value, section.deviation(key), " to ".join(f"{end:.3f}" for end in one.interval))
        for section in joined.sections
        for key, one in section.measured.items()
    ]
    table(("", "number", "mean", "± deviation", "95 % interval"), rows)
    return text(f"report: {out / 'report.html'}")


def reproduce(  # noqa: PLR0913 - options of a command
    *,
    recipe: Recipe,
    data: Data = None,
    finished: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help=("Folder of a finished run to check, without running anything."))
    ] = None,
    out: Out = None,
    seed: Seed = None,
    device: Device = None,
    quick: Quick = False,
    runs: Runs = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a recipe, or take a finished run, and check it against the published figures; write a certificate beside the report.

    Exit codes: 0 passed: every measure lies in its band; 1 failed: one does not, or an error; 3 not a reproduction: small settings,
    synthetic sounds.

    JSON: an object verdict, reasons, checks (measure, value, low, high, holds), run, certificate.
    """
    from dcasekit.recipes import _certificate, _runs

    module = leaves.recipe(recipe)
    if finished is None:
        config = make_config(module, quick=quick, given={"seed": seed, "device": device}, runs=runs)
        folders, finished = read_folders(module, data), out or _default_out(module)
        _runs.finish(module, config, folders, finished, runs=runs, progress=bars(quiet), say=None if quiet else note)
    elif data or out or quick or runs or device or seed is not None:
        raise typer.BadParameter("a finished run is only checked; leave out the other options", param_hint="--run")
    found = _certificate.certify(module, _runs.read(finished))
    page = found.save(finished)
    if as_json:
        document(found.to_dict() | {"certificate": str(page)})
    else:
        text("\n".join([f"{module.__name__.rpartition('.')[2]}: {found.verdict}", *found.reasons, f"certificate: {page}"]))
    raise typer.Exit({"passed": 0, "failed": 1}.get(found.verdict, 3))


def _default_out(module: ModuleType) -> Path:
    return Path("runs") / module.__name__.rpartition(".")[2]


def make_config(
    module: ModuleType, *, quick: bool, given: Mapping[str, Any], settings: Sequence[str] | None = None, runs: int | None = None
) -> Any:
    """Make the settings of a recipe: its own or its small ones, with what was given in place of them."""
    if quick and not hasattr(module, "QUICK"):
        raise typer.BadParameter(f"{module.__name__} has no small settings QUICK", param_hint="--quick")
    config = module.QUICK if quick else module.Config()
    known = [field.name for field in fields(config)]
    for name, value in given.items():
        if value is not None and name not in known:
            raise typer.BadParameter(f"{module.__name__} has no setting {name!r}; it has: {', '.join(known)}", param_hint=f"--{name}")
    if runs and "seed" not in known:
        raise typer.BadParameter(f"{module.__name__} has no setting 'seed', so several runs would be the same", param_hint="--runs")
    texts = assignments(settings, option="--set") | {name: str(value) for name, value in given.items() if value is not None}
    return apply_settings(config, texts, option="--set")


def read_folders(module: ModuleType, texts: Sequence[str] | None) -> dict[str, Path]:
    """Read ``PATH`` or ``NAME=PATH`` of a recipe's datasets: name -> folder."""
    names: Sequence[str] = getattr(module, "DATASETS", ())
    found: dict[str, Path] = {}
    for given in texts or ():
        head, equals, tail = given.partition("=")
        name, path = (head, tail) if equals and head in names else (names[0] if len(names) == 1 else "", given)
        if not names:
            raise typer.BadParameter(f"{module.__name__} takes no --data: it has no DATASETS", param_hint="--data")
        if not name or (equals and name != head and not Path(given).exists()):
            said = f"no dataset {head!r}." if equals else f"of which dataset is {given!r}?"
            raise typer.BadParameter(f"{said} Give NAME=PATH; the recipe takes: {', '.join(names)}", param_hint="--data")
        if name in found or not path:
            raise typer.BadParameter(f"expected one folder of {name}; got {given!r}", param_hint="--data")
        found[name] = Path(path).expanduser()
    return found
