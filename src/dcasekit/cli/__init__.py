"""The ``dcasekit`` command: everything the package does, from a shell.

Standard output carries the answer alone: a table, or with ``--json`` one document, whose keys stay. Progress bars, warnings and errors go
to standard error. Exit codes: 0 done; 1 an error, or problems found; 2 wrong usage; 130 interrupted.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dcasekit import __version__
from dcasekit.cli import datasets as _cli_datasets
from dcasekit.cli import features as _cli_features
from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import models as _cli_models
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.cli import prediction as _cli_prediction
from dcasekit.cli import probing as _cli_probing
from dcasekit.cli import recipes as _cli_recipes
from dcasekit.cli import searching as _cli_searching
from dcasekit.cli import sweeping as _cli_sweeping
from dcasekit.cli import tagging as _cli_tagging
from dcasekit.cli import tuning as _cli_tuning
from dcasekit.cli import watch as _cli_watch
from dcasekit.cli import web as _cli_web
from dcasekit.cli.settings import METRIC_NAMES, apply_settings, assignments
from dcasekit.core.threads import share_cores

app = typer.Typer(
    cls=_cli_output.Root,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    epilog=_cli_output.examples(
        "dcasekit run quickstart",
        "dcasekit train --dataset esc10 --data data/ESC-50 --model compact_cnn --out runs/esc10",
        "dcasekit predict dog.wav --model runs/esc10/model",
    ),
)
app.add_typer(_cli_datasets.datasets)
app.add_typer(_cli_models.models)


def main() -> None:
    """Run the command."""
    share_cores()
    app(prog_name="dcasekit")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[  # noqa: ARG001 - read where errors are caught
        bool, typer.Option(_cli_output.DEBUG, envvar="DCASEKIT_DEBUG", help="Show the traceback of an error; may be given anywhere.")
    ] = False,
) -> None:
    """From a folder of labelled recordings to an honest number, a model you can use, a report you can read.

    Exit codes: 0 done; 1 an error, or problems found; 2 wrong usage; 130 interrupted.
    """
    _cli_output.show_warnings()
    # For 'package.module:Class' of the folder one works in; last, so that its files hide no package.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if version:
        _cli_output.text(f"dcasekit {__version__}")
    elif context.invoked_subcommand is None:
        _cli_output.text(context.get_help())


app.command(epilog=_cli_output.examples("dcasekit features", "dcasekit features --presets", "dcasekit features mel_spectrogram"))(
    _cli_features.features
)
app.command(
    epilog=_cli_output.examples(
        "dcasekit extract --dataset esc50 --data data/ESC-50",
        "dcasekit extract --dataset esc50 --data data/ESC-50 -F sr=44100 -F mel.bands=128 --jobs 8",
        "dcasekit extract --dataset esc50 --data /mnt/ESC-50 --backend dask --address tcp://10.0.0.1:8786",
    )
)(_cli_features.extract)


@app.command(
    epilog=_cli_output.examples(
        "dcasekit augment --dataset esc50 --data data/ESC-50 -A pitch_shift:n_semitones=-1 -A white_noise:snr=20",
        "dcasekit augment --dataset esc50 --data data/ESC-50 -A time_stretch:factor=0.9 --cache /tmp/copies --jobs 8",
    )
)
def augment(  # noqa: PLR0913 - options of a command
    *,
    dataset: o.DatasetName,
    data: o.Data,
    augmentations: o.Augmentations,
    dataset_settings: o.DatasetSettings = None,
    cache: o.Cache = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    jobs: o.Jobs = None,
    backend: o.Backend = "processes",
    address: o.Address = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write transformed copies of a dataset's clips, with their labels moved along; if interrupted, run it again to continue.

    JSON: a list of objects augmentation, folder, copies.
    """
    from dcasekit import AugmentedDataset

    source = _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings)
    made = AugmentedDataset(source, [_cli_leaves.augmentation(text) for text in augmentations], seed=seed)
    made.process(jobs=jobs, backend=backend, address=address, progress=_cli_output.bars(quiet))
    rows = [
        {"augmentation": repr(augmentation), "folder": str(made.derived / "augmented" / name), "copies": len(source.clips)}
        for name, augmentation in made.folders.items()
    ]
    if as_json:
        return _cli_output.document(rows)
    return _cli_output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])


@app.command(
    epilog=_cli_output.examples(
        "dcasekit train --dataset esc10 --data data/ESC-50 --model compact_cnn --out runs/esc10",
        "dcasekit train --dataset esc10 --data data/ESC-50 --model sb_cnn --fold all -A time_stretch:factor=0.9 --out runs/all",
        "dcasekit train --dataset esc10 --data data/ESC-50 --model sb_cnn -F sequence_time=2 -F mel.bands=128 -T epochs=9 --out runs/sb",
    )
)
def train(  # noqa: PLR0913 - options of a command
    *,
    dataset: o.DatasetName,
    data: o.Data,
    model: o.ModelName,
    out: o.Out,
    dataset_settings: o.DatasetSettings = None,
    fold: o.FoldOrAll = None,
    augmentations: o.AugmentationsOfTraining = None,
    no_validation: Annotated[bool, typer.Option("--no-validation", help="Train on validation clips too; keep the last epoch.")] = False,
    feature: o.FeatureOfModel = None,
    feature_settings: o.FeatureSettings = None,
    model_settings: o.ModelSettings = None,
    training_settings: o.TrainingSettings = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training clips.  \\[default: 50]", show_default=False)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows per step.  \\[default: 32]", show_default=False)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimizer.  \\[default: 0.001]", show_default=False)] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps.  \\[default: the fastest there is]", show_default=False)
    ] = None,
    scaler: Annotated[
        Literal["standard", "minmax", "window", "window_minmax", "none"] | None,
        typer.Option(help="How features are rescaled.  \\[default: as published with the front end, else standard]", show_default=False),
    ] = None,
    target: Annotated[
        Literal["clip", "window", "frame"] | None,
        typer.Option(help="What labels are of: clip, window or frame.  \\[default: follows network and task]", show_default=False),
    ] = None,
    buffer: o.Buffer = None,
    front_end: o.FrontEnd = "stored",
    scores: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the test clips' scores over time, a TSV each.")] = None,
    log: o.Log = None,
    seed: o.Seed = 0,
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    on_error: o.OnError = "raise",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a model, test it once on the test fold, and write model and report; if interrupted, run it again to continue.

    The epoch is chosen on the protocol's validation clips, never on the test fold.

    JSON: an object title, sections (name, number, value, interval_95, clips, folds), report, model.
    """
    from dcasekit.cli import training as work
    from dcasekit.containers.training import Training

    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "device": device}
    common = {name: str(value) for name, value in given.items() if value is not None}
    training = apply_settings(Training(seed=seed), {**common, **assignments(training_settings, option="-T")}, option="-T")
    source, container = _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings), _cli_models.make(model, model_settings)
    container, progress = work.trainable(container), _cli_output.bars(quiet)
    source = _cli_leaves.augmented(source, augmentations, seed=seed, jobs=jobs, progress=progress)
    published = work.front_end_for(container, feature)
    run = work.TrainingRun(
        dataset=source,
        features=apply_settings(published.features, assignments(feature_settings, option="-F"), option="-F"),
        model=container,
        training=training,
        loggers=log or (),
        fold=work.fold_of(source, None if fold == "all" else fold),
        validation=not no_validation,
        scaler=published.scaler if scaler is None else None if scaler == "none" else scaler,
        target=target,
        buffer=buffer,
        front_end=None if front_end == "stored" else front_end,
    ).check()
    (run.waveforms or run.features).extract(source, jobs=jobs, on_error=on_error, progress=progress)
    report = (partial(work.run_folds, run) if fold == "all" else run.run)(out, progress=not quiet, scores=scores)
    _cli_output.results_of(report, as_json=as_json, page=report.save(out), model=Path(report.sections[0].saved or out))


@app.command(
    epilog=_cli_output.examples(
        "dcasekit evaluate --model runs/esc10/model --dataset esc10 --data data/ESC-50",
        "dcasekit evaluate --model runs/esc10/model --dataset esc10 --data data/ESC-50 --json",
    )
)
def evaluate(  # noqa: PLR0913 - options of a command
    *,
    model: o.ModelFolder,
    dataset: o.DatasetName,
    data: o.Data,
    dataset_settings: o.DatasetSettings = None,
    fold: o.Fold = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for a report.")] = None,
    scores: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the clips' scores over time, a TSV each.")] = None,
    allow: o.Allow = None,
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    on_error: o.OnError = "raise",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Test a saved model on a fold: by default the test fold of its training.

    JSON: an object task, clips, independent_units, headline (name, value, interval_95), numbers, labels, confusion.
    """
    from dcasekit.cli import training as work
    from dcasekit.containers import trained
    from dcasekit.report import Report
    from dcasekit.results.saving import FOLDER, check_results_folder, write_results

    container, source = _cli_models.load_model(model, allow), _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings)
    fold = work.evaluation_fold(trained.find(model), source, fold)
    if out is not None:
        Report.check_folder(out)
        check_results_folder(out / FOLDER)
    work.front_end(container).extract(source, jobs=jobs, on_error=on_error, progress=_cli_output.bars(quiet))
    report = work.evaluation(container, source, fold, scores=scores)
    page = None if out is None else report.save(out)
    if out is not None:
        write_results(out / FOLDER, report.sections[0].pooled)
    if as_json:
        return _cli_output.document(report.sections[0].pooled.to_dict())
    return _cli_output.results_of(report, as_json=False, page=page)


app.command(
    epilog=_cli_output.examples(
        "arecord -q -f S16_LE -r 44100 | dcasekit watch - --model runs/sed/model --sr 44100",
        "ffmpeg -i rtsp://camera/stream -f s16le -ac 1 -ar 16000 - | dcasekit watch - --model runs/sed/model --sr 16000 --out events.tsv",
        "dcasekit watch mic --model runs/sed/model",
        "dcasekit watch recorder/today.wav --model runs/sed/model --out events.tsv",
    )
)(_cli_watch.watch)
app.command(
    epilog=_cli_output.examples(
        "dcasekit predict dog.wav --model esc10",
        "dcasekit predict recordings/*.wav --model runs/esc10/model --format tsv > labels.tsv",
        "dcasekit predict recordings/ --model runs/sed/model --out found --write events,raven --min-duration 0.2 --clips 20",
    )
)(_cli_prediction.predict)


@app.command(
    epilog=_cli_output.examples(
        "dcasekit score --reference ref.tsv --estimate est.tsv --metric event_f1,segment_f1 --bootstrap 1000",
        "dcasekit score --reference ref.tsv --estimate scores/ --durations durations.tsv --metric psds1,psds2 --html scores.html",
        "dcasekit score --reference ref.tsv --estimate est.tsv --metric event_f1 -S onset_collar=0.1 -S offset_collar=none",
    )
)
def score(  # noqa: PLR0913 - options of a command
    *,
    reference: Annotated[
        Path,
        typer.Option(
            metavar="FILE|DIR", help="The true events: a list (filename, onset, offset, event_label), one recording's, or a folder."
        ),
    ],
    estimate: Annotated[Path, typer.Option(metavar="FILE|DIR", help="Events found, or a folder with a file of scores per clip.")],
    metric: Annotated[
        str, typer.Option(metavar="NAME,...", help=f"What to compute: {', '.join(METRIC_NAMES)}.", show_default=False)
    ] = "segment_f1,event_f1,intersection_f1",
    durations: Annotated[Path | None, typer.Option(metavar="FILE", help="Seconds of each clip: filename, duration.")] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="LABEL,...", help="Labels to evaluate.  \\[default: all]", show_default=False)
    ] = None,
    threshold: Annotated[float, typer.Option(help="Scores above it are events, for metrics of events.")] = 0.5,
    partial: Annotated[bool, typer.Option("--partial", help="Score the clips that both have, and count the others.")] = False,
    annotator: Annotated[str | None, typer.Option(metavar="NAME", help="Whose events count, where several people annotated.")] = None,
    settings: Annotated[list[str] | None, typer.Option("-S", metavar="KEY=VALUE", help="Setting of the metrics: onset_collar=0.1.")] = None,
    repeats: Annotated[int, typer.Option("--bootstrap", metavar="DRAWS", min=0, help="Draws of a bootstrap interval over clips.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that compute the bootstrap.")] = 1,
    backend: o.Backend = "processes",
    address: o.Address = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with charts.")] = None,
    as_json: o.Json = False,
) -> None:
    """Score the files of any system against a reference.

    Files are tab or comma separated, with or without a header. JSON: an object clips, events, left_out, labels, metrics, a list of objects
    metric, headline, value, interval_95, numbers.
    """
    from dcasekit.cli import scored as work
    from dcasekit.results import scoring

    chosen = [one.strip() for one in labels.split(",")] if labels else None
    material = scoring.read(
        reference, estimate, durations=durations, labels=chosen, threshold=threshold, partial=partial, annotator=annotator
    )
    mapper = work.choose_mapper(jobs=jobs, backend=backend, address=address)
    names = [one.strip() for one in metric.split(",") if one.strip()]
    found = work.run(material, names, settings, repeats=repeats, seed=seed, mapper=mapper)
    files = {"reference": reference, "estimate": estimate} | ({} if durations is None else {"durations": durations})
    work.show(found, material, as_json=as_json, html=html, files=files)


app.command(
    "fine-tune",
    epilog=_cli_output.examples(
        "dcasekit fine-tune --model esc10 --dataset folder --data my/recordings --out runs/tuned",
        "dcasekit fine-tune --model runs/esc10/model --dataset urban_sound8k --data data/UrbanSound8K --freeze none --out runs/urban",
    ),
)(_cli_tuning.fine_tune)
app.command(epilog=_cli_output.examples("dcasekit probe --dataset esc10 --data data/ESC-50 --out runs/probe"))(_cli_probing.probe)
app.command(
    epilog=_cli_output.examples(
        "dcasekit search dog.wav --in my/recordings", "dcasekit search dog.wav --in data/ESC-50 --dataset esc10 --out alike.tsv"
    )
)(_cli_searching.search)
app.command(
    epilog=_cli_output.examples(
        "dcasekit tag --download dog.wav street.mp3", "dcasekit tag night.flac --top 10 --scores scores --plot pictures"
    )
)(_cli_tagging.tag)
app.command(epilog=_cli_output.examples("dcasekit recipes", "dcasekit recipes esc10", "dcasekit recipes --json"))(_cli_recipes.recipes)
app.command(
    epilog=_cli_output.examples(
        "dcasekit run quickstart",
        "dcasekit run esc10 --data data/ESC-50 --quick",
        "dcasekit run esc10 --data data/ESC-50 --runs 5",
        "dcasekit run esc10 --data data/ESC-50 --set epochs=20 --seed 1 --out runs/esc10-short",
    )
)(_cli_recipes.run)
app.command(
    epilog=_cli_output.examples(
        "dcasekit reproduce esc10 --data data/ESC-50",
        "dcasekit reproduce esc10 --run runs/esc10",
    )
)(_cli_recipes.reproduce)
app.command(
    epilog=_cli_output.examples(
        "dcasekit sweep esc10 --data data/ESC-50 --vary learning_rate=1e-4..1e-2 --vary crop_frames=128,256 --trials 30",
        "dcasekit sweep quickstart --quick --vary batch_size=4..32 --trials 3",
    )
)(_cli_sweeping.sweep)
app.command(epilog=_cli_output.examples("dcasekit app", "dcasekit app my/recordings esc10=data/ESC-50 --runs runs"))(_cli_web.app)


def _feature(name: str, settings: list[str] | None) -> Any:
    from dcasekit.features import make_feature

    return apply_settings(make_feature(name), assignments(settings, option="-F"), option="-F")


if __name__ == "__main__":
    main()
