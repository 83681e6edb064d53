"""The command ``fine-tune``: a trained model learns other labels."""

from pathlib import Path
from typing import Annotated

import typer

from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import models as _cli_models
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.cli.settings import apply_settings, assignments


def fine_tune(  # noqa: PLR0913 - options of a command
    *,
    model: o.ModelFolder,
    dataset: o.DatasetName,
    data: o.Data,
    out: o.Out,
    freeze: Annotated[str, typer.Option(help="Layers to freeze: all (but the head), none, or those up to the layer of this name.")] = "all",
    dataset_settings: o.DatasetSettings = None,
    fold: o.FoldOrAll = None,
    augmentations: o.AugmentationsOfTraining = None,
    no_validation: Annotated[bool, typer.Option("--no-validation", help="Train on validation clips too; keep the last epoch.")] = False,
    training_settings: o.TrainingSettings = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training clips.  \\[default: 50]", show_default=False)] = None,
    scores: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the test clips' scores over time, a TSV each.")] = None,
    log: o.Log = None,
    seed: o.Seed = 0,
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    allow: o.Allow = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a saved model on other data, with a new head, and test it once; if interrupted, run it again to continue.

    Features and scaler are the model's own. JSON: as of train.
    """
    from dcasekit.cli import training as work
    from dcasekit.containers.training import Training

    container, progress = _cli_models.load_model(model, allow), _cli_output.bars(quiet)
    source = _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings)
    source = _cli_leaves.augmented(source, augmentations, seed=seed, jobs=jobs, progress=progress)
    common = {} if epochs is None else {"epochs": str(epochs)}
    run = work.TrainingRun(
        dataset=source,
        features=work.front_end(container),
        model=container,
        training=apply_settings(Training(seed=seed), {**common, **assignments(training_settings, option="-T")}, option="-T"),
        fold=work.fold_of(source, None if fold == "all" else fold),
        validation=not no_validation,
        scaler=None,
        freeze=freeze,
        loggers=log or (),
    ).check()
    run.features.extract(source, jobs=jobs, progress=progress)
    report = (
        work.run_folds(run, out, progress=not quiet, scores=scores) if fold == "all" else run.run(out, progress=not quiet, scores=scores)
    )
    _cli_output.results_of(report, as_json=as_json, page=report.save(out), model=Path(report.sections[0].saved or out))
