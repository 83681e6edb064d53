"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from dcasekit.core import discover


def _complete(family: str) -> Callable[[str], list[str]]:
    return lambda incomplete: [name for name in discover.names(family) if name.startswith(incomplete)]


_OWN = "or 'package.module:Class' of your own"

DatasetName = Annotated[
    str, typer.Option("--dataset", help=f"Name of a dataset (`dcasekit datasets list`), {_OWN}.", autocompletion=_complete("datasets"))
]
DatasetArgument = Annotated[
    str, typer.Argument(metavar="NAME", help=f"Name of a dataset, {_OWN}.", autocompletion=_complete("datasets"), show_default=False)
]
Data = Annotated[Path, typer.Option("--data", metavar="PATH", help="Folder of the dataset.")]
DatasetSettings = Annotated[
    list[str] | None, typer.Option("-D", metavar="KEY=VALUE", help="Setting of the dataset, if it has any: task=tagging.")
]
Augmentations = Annotated[
    list[str],
    typer.Option("-A", metavar="NAME:KEY=VALUE,...", help="An augmentation with its settings; may be repeated.", show_default=False),
]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for extracted features, if not the dataset's own.")]
Feature = Annotated[str, typer.Option(help=f"Name of a feature (`dcasekit features`), {_OWN}.", autocompletion=_complete("features"))]
FeatureSettings = Annotated[
    list[str] | None,
    typer.Option("-F", metavar="KEY=VALUE", help="Setting of the feature; a dot reaches nested ones: sr=16000, mel.bands=128, log=none."),
]
ModelName = Annotated[
    str, typer.Option("--model", help=f"Name of a model (`dcasekit models`), {_OWN}.", autocompletion=_complete("models"))
]
ModelSettings = Annotated[list[str] | None, typer.Option("-M", metavar="KEY=VALUE", help="Setting of the model: dropout=0.3.")]
TrainingSettings = Annotated[
    list[str] | None, typer.Option("-T", metavar="KEY=VALUE", help="Setting of training: epochs=10, batch_size=64, device=cpu.")
]
Fold = Annotated[str | None, typer.Option(help="Fold to test on.  \\[default: the protocol's first]", show_default=False)]
Jobs = Annotated[int | None, typer.Option(min=1, help="Workers.  \\[default: one per core]", show_default=False)]
Backend = Annotated[
    Literal["processes", "threads", "dask", "ray"],
    typer.Option(help="Where the workers are: this machine, or a cluster that sees the same files."),
]
OnError = Annotated[Literal["raise", "skip"], typer.Option(help="What to do about a clip that cannot be treated: stop, or leave it out.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for what the command makes.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, order and dropout.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
