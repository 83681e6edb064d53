"""``dcasekit probe``: what an embedding knows of a dataset's labels, by a linear model or neighbours on top of it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import models as _cli_models
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.cli.settings import apply_settings, assignments


def probe(  # noqa: PLR0913 - options of a command
    *,
    dataset: o.DatasetName,
    data: o.Data,
    out: o.Out,
    dataset_settings: o.DatasetSettings = None,
    feature: o.Feature = "yamnet_embedding",
    feature_settings: o.FeatureSettings = None,
    classifier: Annotated[
        Literal["logistic_regression", "nearest_neighbours"], typer.Option(help="What is trained on the embedding.")
    ] = "logistic_regression",
    model_settings: o.ModelSettings = None,
    seed: o.Seed = 0,
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    on_error: o.OnError = "raise",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Cross-validate a simple classifier on mean and maximum of an embedding over each clip, under the dataset's own protocol.

    Nothing is chosen: every fold is tested once, by a classifier that was trained on all other clips. A fold's model is in OUT/FOLD/model.
    JSON: as of train.
    """
    from dcasekit.cli import training as work
    from dcasekit.containers.training import Training
    from dcasekit.features import make_feature

    source = _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings)
    model = _cli_models.make(f"sklearn.{classifier}", ['statistics=["mean", "max"]', *(model_settings or ())])
    run = work.TrainingRun(
        dataset=source,
        features=apply_settings(make_feature(feature), assignments(feature_settings, option="-F"), option="-F"),
        model=model,
        training=Training(seed=seed, epochs=1),
        fold=work.fold_of(source, None),
        validation=False,
        scaler=None,
    ).check()
    run.features.extract(source, jobs=jobs, on_error=on_error, progress=_cli_output.bars(quiet))
    report = work.run_folds(run, out, progress=not quiet)
    _cli_output.results_of(report, as_json=as_json, page=report.save(out), model=Path(report.sections[0].saved or out))
