"""``dcasekit tag``: AudioSet's classes in any recording, by a network that has been trained already."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.errors import DcasekitError, FeatureError

if TYPE_CHECKING:
    from dcasekit.features.yamnet_embedding import YAMNetEmbedding
    from dcasekit.scores import Scores


def tag(  # noqa: PLR0913 - options of a command
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, of any format and length.")],
    *,
    top: Annotated[int, typer.Option("--top", min=1, max=521, help="Classes to name for each file.")] = 5,
    scores: Annotated[
        Path | None, typer.Option("--scores", metavar="DIR", help="Write all 521 scores over time, a TSV for each file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw each file, a PNG: its spectrogram, and its --top classes over time.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="YAMNet's weights, .h5 or .onnx.  \\[default: the published ones]")
    ] = None,
    class_map: Annotated[
        Path | None,
        typer.Option("--class-map", metavar="FILE", help=("Names of the classes, yamnet_class_map.csv.  \\[default: the published ones]")),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="First fetch the published files that are missing, 15 MB.")] = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Tag recordings with the 521 classes of AudioSet, by the pretrained network YAMNet.

    The table gives for each file the classes with the highest mean over time, and when each is the likeliest. One file that cannot be read
    is a line on standard error, and exit code 1 at the end. JSON: a list of objects file, labels (label, score, highest, at), or error.
    """
    from dcasekit.core.parallel import track
    from dcasekit.features.yamnet_embedding import YAMNetEmbedding

    twice = [stem for stem, count in Counter(path.stem for path in files).items() if count > 1]
    if twice and (scores or plot):
        name = f"{twice[0]}.{'tsv' if scores else 'png'}"
        raise typer.BadParameter(f"several files are called {twice[0]!r}, and would share {name}; tag them one after the other")
    network = YAMNetEmbedding(output="scores", weights=str(weights) if weights else None, class_map=str(class_map) if class_map else None)
    if download:
        network.download(progress=_cli_output.bars(quiet))
    try:
        _ = network.labels  # what is missing is told once, not for every file
    except FeatureError as error:
        raise FeatureError(f"{error}; dcasekit tag --download fetches what is missing") from None
    answers = [
        _answer(network, path, top, scores, plot) for path in track(files, len(files), "Tagging" if _cli_output.bars(quiet) else None)
    ]
    if as_json:
        _cli_output.document(answers)
    elif rows := [(answer["file"], *_row(one)) for answer in answers for one in answer.get("labels", ())]:
        _cli_output.table(("filename", "label", "score", "highest", "at"), rows)
    if any("error" in answer for answer in answers):
        raise typer.Exit(1)


def _answer(network: "YAMNetEmbedding", path: Path, top: int, folder: Path | None, plot: Path | None) -> dict[str, Any]:
    from dcasekit.core.files import place
    from dcasekit.scores import write_scores

    try:
        found = network.tag(path)
    except DcasekitError as error:
        _cli_output.show_error(error)
        return {"file": str(path), "error": str(error)}
    if folder is not None:
        write_scores(place(folder, f"{path.stem}.tsv", kind="scores"), found)
    likeliest = _likeliest(found, top)
    if plot is not None:
        _draw(path, found, [one["label"] for one in likeliest], plot)
    return {"file": str(path), "labels": likeliest}


def _draw(path: Path, scores: "Scores", labels: list[str], folder: Path) -> None:
    from dcasekit.core.files import place, replacing
    from dcasekit.plots import recording
    from dcasekit.scores import Scores

    columns = [scores.labels.index(label) for label in labels]
    with replacing(place(folder, f"{path.stem}.png", kind="plots")) as temporary:
        recording(path, Scores(scores.values[:, columns], scores.edges, labels)).savefig(temporary, format="png", dpi=100)


def _likeliest(scores: "Scores", top: int) -> list[dict[str, Any]]:
    means, rows = scores.values.mean(axis=0), scores.values.argmax(axis=0)
    order = (-means).argsort(kind="stable")[:top]
    return [
        {
            "label": scores.labels[k],
            "score": float(means[k]),
            "highest": float(scores.values[rows[k], k]),
            "at": float(scores.edges[rows[k]]),
        }
        for k in order
    ]


def _row(one: dict[str, Any]) -> tuple[str, str, str, str]:
    return one["label"], f"{one['score']:.3f}", f"{one['highest']:.3f}", f"{one['at']:.2f} s"
