"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from dcasekit.core import discover


def _complete(family: str) -> Callable[[str], list[str]]:
    return lambda incomplete: [name for name in discover.names(family) if name.startswith(incomplete)]


# Those of `dcasekit.containers.training.Training` that have a text form, named here because help must not import it; a test compares.
TRAINING_NAMES = (
    "epochs", "learning_rate", "weight_decay", "batch_size", "optimizer", "momentum", "schedule", "loss", "average", "monitor",
    "early_stopping", "considered_improvement", "seed", "device", "precision", "keep_memory", "energy",
)  # fmt: skip

_OWN = "or 'package.module:Class' of your own"

DatasetName = Annotated[
    str, typer.Option("--dataset", help=f"Name of a dataset (`dcasekit datasets list`), {_OWN}.", autocompletion=_complete("datasets"))
]
DatasetArgument = Annotated[
    str, typer.Argument(metavar="NAME", help=f"Name of a dataset, {_OWN}.", autocompletion=_complete("datasets"), show_default=False)
]
Data = Annotated[Path, typer.Option("--data", metavar="PATH", help="Folder of the dataset.")]
DatasetSettings = Annotated[
    list[str] | None,
    typer.Option(
        "-D",
        metavar="KEY=VALUE",
        help="Setting of the dataset, if it has any: task=tagging; labels=car,bus keeps only these labels, corrections=FILE corrects them.",
    ),
]
Augmentations = Annotated[
    list[str],
    typer.Option("-A", metavar="NAME:KEY=VALUE,...", help="An augmentation with its settings; may be repeated.", show_default=False),
]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for extracted features, if not the dataset's own.")]
Presets = Annotated[bool, typer.Option("--presets", help="List published front ends, each a feature with settings, instead.")]
Feature = Annotated[
    str,
    typer.Option(
        help=f"Name of a feature (`dcasekit features`) or of a preset (with `--presets`), {_OWN}.", autocompletion=_complete("features")
    ),
]
FeatureOfModel = Annotated[
    str | None,
    typer.Option(
        "--feature",
        help=f"Name of a feature (`dcasekit features`) or of a preset (with `--presets`), {_OWN}.  "
        "\\[default: the front end the model was published with]",
        autocompletion=_complete("features"),
        show_default=False,
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", metavar="MODULE", help="A module of yours whose code a model folder may name; nothing else is run.", show_default=False
    ),
]
FeatureSettings = Annotated[
    list[str] | None,
    typer.Option(
        "-F",
        metavar="KEY=VALUE",
        help="Setting of the feature; nested ones with a dot: sr=16000, mel.bands=128, log=none. Names: `dcasekit features`.",
    ),
]
ModelName = Annotated[
    str, typer.Option("--model", help=f"Name of a model (`dcasekit models`), {_OWN}.", autocompletion=_complete("models"))
]
ModelFolder = Annotated[
    Path,
    typer.Option("--model", metavar="MODEL_DIR", help="Folder of a saved model, or name of a trained one (`dcasekit models trained`)."),
]
ModelSettings = Annotated[
    list[str] | None, typer.Option("-M", metavar="KEY=VALUE", help="Setting of the model: dropout=0.3. Names: `dcasekit models`.")
]
TrainingSettings = Annotated[
    list[str] | None, typer.Option("-T", metavar="KEY=VALUE", help=f"Setting of training: {', '.join(TRAINING_NAMES)}.")
]
Fold = Annotated[str | None, typer.Option(help="Fold to test on.  \\[default: the protocol's first]", show_default=False)]
FoldOrAll = Annotated[
    str | None, typer.Option("--fold", help="Fold to test on, or all, one after the other.  \\[default: the first]", show_default=False)
]
AugmentationsOfTraining = Annotated[
    list[str] | None,
    typer.Option(
        "-A",
        metavar="NAME:KEY=VALUE,...",
        help="Also train on transformed copies (see `dcasekit augment`); may be repeated.",
        show_default=False,
    ),
]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="NAME",
        help="Tell tensorboard, wandb (offline) or mlflow of the run, too, by files in its folder; may be repeated.",
        show_default=False,
    ),
]
Buffer = Annotated[
    int | None, typer.Option(metavar="WINDOWS", help="Read shards, and shuffle so many windows in memory: for network storage.")
]
FrontEnd = Annotated[
    Literal["stored", "device"],
    typer.Option(help="Where features are computed: before training, once; or in every step on its device, of stored waveforms."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Number of worker processes.  \\[default: one per core]", show_default=False)]
Backend = Annotated[
    Literal["processes", "threads", "dask", "ray"],
    typer.Option(help="Where the workers are: this machine, or a cluster that sees the same files."),
]
Address = Annotated[str | None, typer.Option(help="Scheduler of the cluster, e.g. tcp://10.0.0.1:8786.")]
OnError = Annotated[
    Literal["raise", "skip"], typer.Option(help="What to do with a clip that cannot be processed: stop (raise), or leave it out (skip).")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the output.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, order and dropout.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
