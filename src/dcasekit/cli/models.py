"""``dcasekit models``: list, describe and export models."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import card, document, examples, table, text
from dcasekit.cli.settings import apply_settings, assignments, keywords
from dcasekit.core import discover
from dcasekit.core.docstrings import list_settings
from dcasekit.errors import ModelError, NameNotFoundError

if TYPE_CHECKING:
    from dcasekit.containers.base import ModelContainer
    from dcasekit.containers.summary import Summary


def _complete(incomplete: str) -> list[str]:
    return [name for name in discover.names("models") if name.startswith(incomplete)]


models = typer.Typer(name="models", rich_markup_mode="rich")


@models.callback(
    invoke_without_command=True,
    epilog=examples("dcasekit models", "dcasekit models info crnn2023", "dcasekit models info runs/esc10/model"),
)
def root(context: typer.Context, as_json: o.Json = False) -> None:
    """List, describe and export models; without a command they are listed. JSON: a list of objects name, about, settings."""
    if context.invoked_subcommand is None:
        list_models(as_json)


@models.command("list", epilog=examples("dcasekit models list", "dcasekit models list --json"))
def list_models(as_json: o.Json = False) -> None:
    """List the models with the names of their settings. JSON: a list of objects name, about, settings."""
    _cli_leaves.show_leaves("models", as_json=as_json)


@models.command(
    epilog=examples("dcasekit models trained", "dcasekit models trained esc10", "dcasekit predict dog.wav --model esc10"),
)
def trained(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help=("Name of one: show its whole card, and whose recordings it was trained on."), show_default=False
        ),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """List the trained models that come with dcasekit, or show the card of one. `--model NAME` takes them wherever it takes a folder.

    JSON: a list of objects name, about, labels, task, figure (name, value, interval_95, clips, of), data (dataset, folds, clips, source,
    citation), licence, protocol, limits, command, versions, bytes; of one model that object, with attribution (clip, title, url, author,
    license).
    """
    from dcasekit.containers import trained as source

    if name is not None:
        return _show_card({**source.card(name), "attribution": source.attribution(name)}, as_json=as_json)
    cards = [source.card(each) for each in source.names()]
    if as_json:
        return document(cards)
    columns = ("name", "labels", "figure", "of", "trained on", "licence", "size")
    return table(columns, [_row(each) for each in cards])


@models.command(
    epilog=examples(
        "dcasekit models info crnn2023",
        "dcasekit models info sb_cnn -M dropout=0.3 --shape 64x128 --labels 50",
        "dcasekit models info a_crnn --task detection --features mel_spectrogram -F sr=16000 -F mel.bands=40 --json",
        "dcasekit models info runs/esc10/model",
        "dcasekit models info esc10",
    )
)
def info(  # noqa: PLR0913 - options of a command
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a model, folder of a saved one, name of a trained one, or 'package.module:Class' of your own.",
            autocompletion=_complete,
            show_default=False,
        ),
    ],
    settings: o.ModelSettings = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="FRAMESxDIMS", help="Shape of a window.  \\[default: as published, if the model says]", show_default=False),
    ] = None,
    features: Annotated[
        str | None, typer.Option(metavar="NAME", help="A feature whose windows it takes, in place of --shape.", show_default=False)
    ] = None,
    feature_settings: o.FeatureSettings = None,
    labels: Annotated[int | None, typer.Option(min=1, help="Number of outputs.  \\[default: as published]", show_default=False)] = None,
    task: Annotated[
        Literal["classification", "tagging", "detection"] | None,
        typer.Option(help="What the outputs mean.  \\[default: as published]", show_default=False),
    ] = None,
    allow: o.Allow = None,
    as_json: o.Json = False,
) -> None:
    """Describe a model: its layers with sizes and operations, memory, and receptive field.

    Layers without numbers or operations that keep the shape, such as activations, are in the JSON only. The local field is that of the
    last layer before any that sees the window's end: of the convolutions before a recurrence or a mean over time.

    JSON: an object model, about, settings, shape, hop, task, output, labels, answers, different_answers, answers_per_second, parameters
    (trained, not_trained, bytes), macs, macs_torchinfo, low_complexity (weights, weights_int8, macs: whether DCASE's limits hold), memory
    (bytes), receptive_field and local_receptive_field (frames, first, stop, whole, seconds), layers (name, kind, output, uses, trained,
    not_trained, macs); null: not known or not measured.
    """
    from dcasekit.containers import trained as source
    from dcasekit.containers.summary import summary

    folder = Path(name)
    if (folder / "model.json").exists() or (folder.is_dir() and len(folder.parts) > 1) or name in source.names():
        if any(option is not None for option in (settings, shape, features, feature_settings, labels, task)):
            raise typer.BadParameter(f"{name} is a saved model: its settings, shape, front end and labels are those it was saved with")
        model = load_model(folder, allow)
    else:
        model = make(name, settings)
        _build(model, shape=shape, features=features, feature_settings=feature_settings, labels=labels, task=task)
    about = (inspect.getdoc(model) or "").partition("\n")[0]
    found = summary(model)
    if as_json:
        return document({"model": found.model, "about": about, **found.to_dict()})
    text(f"{found.model}: {about}\n")
    if found.settings:
        _cli_leaves.table_of_settings({"value": list_settings(model)})
        text("")
    return _show(found)


@models.command(
    epilog=examples(
        "dcasekit models export runs/esc10/model --to esc10.onnx",
        "dcasekit models export runs/esc10/model --to esc10.pt2 --seconds 10",
        "dcasekit models export runs/esc10/model --to esc10.onnx --int8 --dataset esc10 --data data/ESC-50",
    )
)
def export(
    folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a saved model, or name of a trained one.", show_default=False)],
    to: Annotated[Path, typer.Option(metavar="FILE", help="What to write: FILE.onnx or FILE.pt2.")],
    seconds: Annotated[
        float | None, typer.Option(help="Take recordings of this length only.  \\[default: of any]", show_default=False)
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Round the network's weights to 8 bits, and tell what it costs.")] = False,
    dataset: Annotated[str | None, typer.Option(help="Dataset on whose test clips that is measured.  \\[default: random noise]")] = None,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="Folder of the dataset.")] = None,
    fold: o.Fold = None,
    allow: o.Allow = None,
) -> None:
    """Write a saved model, front end included, as one file that runs without dcasekit: waveforms in, scores out.

    FILE.onnx is for ONNX Runtime, FILE.pt2 for `torch.export.load`; the file is tried against the model before it is kept.
    """
    from dcasekit import export as forms
    from dcasekit.core.files import placing

    write: dict[str, Any] = {".onnx": forms.onnx, ".pt2": forms.program}
    if to.suffix.lower() not in write:
        raise typer.BadParameter(f"the name of the file must end in {' or '.join(write)}; got {to.name!r}", param_hint="--to")
    with placing(to.parent, to.name, kind="exported model") as path:
        model = load_model(folder, allow)
        text(f"{folder} is now in {write[to.suffix.lower()](model, path, seconds=seconds)}")
        if int8:
            if to.suffix.lower() != ".onnx":
                raise typer.BadParameter("8-bit weights are for ONNX files", param_hint="--int8")
            from dcasekit.cli import deploying

            deploying.quantize(model, path, dataset=dataset, data=data, fold=fold)


@models.command(
    epilog=examples(
        "dcasekit models calibrate runs/esc10/model --dataset esc10 --data data/ESC-50",
        "dcasekit predict recordings/ --model runs/esc10/model --precision 0.9 --out found",
    )
)
def calibrate(  # noqa: PLR0913 - options of a command
    *,
    folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a saved model; it is saved there again.", show_default=False)],
    dataset: o.DatasetName,
    data: o.Data,
    dataset_settings: o.DatasetSettings = None,
    fold: o.Fold = None,
    kind: Annotated[Literal["temperature", "isotonic"], typer.Option(help="One number per label, or a curve.")] = "temperature",
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    allow: o.Allow = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Calibrate a model on the validation clips of a fold: scores become probabilities, and thresholds are chosen.

    The numbers are of clips that were left out in fitting. JSON: an object clips, rows, ece_before, ece, precision (asked to reached,
    interval_95, predictions).
    """
    from dcasekit.cli import output as _cli_output
    from dcasekit.cli import training as work
    from dcasekit.generator import DataGenerator

    model, source = load_model(folder, allow), _cli_leaves.dataset(dataset, data, cache, settings=dataset_settings)
    clips = source.split(work.fold_of(source, fold)).validation
    if not clips:
        raise ModelError(f"{source.name} keeps no validation clips in this fold; name another --fold, or call model.calibrate(data)")
    work.front_end(model).extract(source, jobs=jobs, progress=_cli_output.bars(quiet))
    numbers = model.calibrate(DataGenerator(source, work.front_end(model), folds=clips, train=False), kind=kind)
    model.save(folder)
    if as_json:
        return document(numbers)
    rows = [
        (asked, "-" if one["reached"] is None else f"{one['reached']:.3f}", " to ".join(f"{x:.3f}" for x in one["interval_95"] or ()))
        for asked, one in numbers["precision"].items()
    ]
    text(f"expected calibration error {numbers['ece_before']:.4f}, calibrated {numbers['ece']:.4f}, {numbers['clips']} clips left out\n")
    return table(("precision asked", "reached", "95 % interval"), rows)


def load_model(folder: Path, allow: Sequence[str] | None) -> "ModelContainer":
    """Load a model, with the modules that may be imported for it."""
    from dcasekit import load

    return load(folder, allow=allow or ())


def make(name: str, settings: Sequence[str] | None) -> "ModelContainer":
    """Make a model from its name and ``key=value`` settings; those without default are the published ones, if not given."""
    kind = discover.load("models", name)
    from dcasekit.containers.base import ModelContainer
    from dcasekit.containers.summary import published

    if not (isinstance(kind, type) and issubclass(kind, ModelContainer)):
        raise NameNotFoundError(f"{name!r} is not a model: a model is a subclass of dcasekit.ModelContainer")
    if inspect.isabstract(kind):
        raise ModelError(f"{name!r} is a base class of models; give one of its subclasses")
    texts, stated = assignments(settings, option="-M"), published(kind)
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    start = {key: stated.settings[key] for key in needed if stated and key in stated.settings}
    start |= keywords(kind, {key: texts[key] for key in needed if key in texts}, option="-M")
    if missing := [key for key in needed if key not in start]:
        raise typer.BadParameter(f"{kind.__name__} needs the settings {', '.join(missing)}; see its documentation", param_hint="-M")
    return apply_settings(kind(**start), texts, option="-M")


def _build(
    model: "ModelContainer",
    *,
    shape: str | None,
    features: str | None,
    feature_settings: Sequence[str] | None,
    labels: int | None,
    task: Any,
) -> None:
    """Build a model for the windows that are asked for, else those it was published for."""
    from dcasekit.containers.summary import published
    from dcasekit.features import make_feature

    if shape is not None and features is not None:
        raise typer.BadParameter("give --shape or --features, not both")
    if feature_settings and features is None:
        raise typer.BadParameter("settings of a feature need --features", param_hint="-F")
    stated = published(type(model))
    if features is not None:
        model.features = apply_settings(make_feature(features), assignments(feature_settings, option="-F"), option="-F")
        window = model.features.get_shape()[1:]
    elif shape is not None:
        if (match := re.fullmatch(r"0*([1-9]\d{0,8})\s*[x,]\s*0*([1-9]\d{0,8})", shape.strip(), re.IGNORECASE)) is None:
            raise typer.BadParameter(f"expected FRAMESxDIMS, e.g. 64x128; got {shape!r}", param_hint="--shape")
        window = (int(match[1]), int(match[2]))
    elif stated is not None:
        window = stated.shape
    else:
        raise typer.BadParameter(
            f"{type(model).__name__} has no published window shape; give --shape FRAMESxDIMS, or --features NAME",
            param_hint="--shape",
        )
    count = labels or (stated.labels if stated else 10)
    model.build(window, [f"label{number}" for number in range(count)], task=task or (stated.task if stated else "classification"))


def _show(found: "Summary") -> None:
    if found.layers:
        text(f"{found.table()}\n")
    card(found.facts())


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the row of a trained model in the list of them."""
    figure, data = found["figure"], found["data"]
    return (
        found["name"],
        str(len(found["labels"])),
        f"{figure['name']} {figure['value']:.3f}",
        figure["of"],
        f"{data['dataset']}, {data['clips']} clips",
        found["licence"],
        f"{found['bytes'] / 1000:.0f} kB",
    )


def _show_card(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return document(found)
    figure, low_high = found["figure"], " to ".join(f"{edge:.3f}" for edge in found["figure"]["interval_95"])
    stated = f"{figure['name']} {figure['value']:.3f} (95 % interval {low_high}), {figure['clips']} clips: {figure['of']}"
    card({**{name: value for name, value in found.items() if name != "attribution"}, "figure": stated})
    if found["attribution"]:
        text("\nTrained on these recordings:\n")
        table(("clip", "title", "author", "licence", "url"), [_credit(each) for each in found["attribution"]])
    return None


def _credit(recording: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(recording[name] for name in ("clip", "title", "author", "license", "url"))
