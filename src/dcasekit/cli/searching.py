"""``dcasekit search``: the recordings of a folder that sound most like one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.cli.settings import apply_settings, assignments
from dcasekit.errors import FeatureError

_COLUMNS = ("filename", "similarity", "labels")


def search(  # noqa: PLR0913 - options of a command
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A recording, of any format; it may lie in the folder or elsewhere.")],
    folder: Annotated[Path, typer.Option("--in", metavar="FOLDER", help="Folder with the recordings to look through.")],
    *,
    dataset: o.DatasetName = "folder",
    dataset_settings: o.DatasetSettings = None,
    feature: o.Feature = "yamnet_embedding",
    feature_settings: o.FeatureSettings = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Recordings to find.")] = 10,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write what is found as TSV.")] = None,
    download: Annotated[bool, typer.Option("--download", help="First fetch the feature's published weights, if missing.")] = False,
    cache: o.Cache = None,
    jobs: o.Jobs = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Find the recordings that sound most like one: the nearest by an embedding's maxima over time, cosine similarity.

    Embeddings are stored as extract stores them, so that a second search is quick. A recording that cannot be read is left out with a
    warning. TSV: filename, similarity, labels. JSON: a list of objects file, similarity, labels.
    """
    from dcasekit.annotations import present
    from dcasekit.containers.projection import find_alike
    from dcasekit.core.files import write_rows
    from dcasekit.features import make_feature

    network = apply_settings(make_feature(feature), assignments(feature_settings, option="-F"), option="-F")
    source = _cli_leaves.dataset(dataset, folder, cache, settings=dataset_settings)
    missing = _fetch(network, download=download, progress=_cli_output.bars(quiet))
    try:
        found = find_alike(clip, source, network, top, jobs=jobs, progress=_cli_output.bars(quiet))
    except FeatureError as error:
        how = "; dcasekit search --download fetches what is missing, --feature mel_spectrogram needs nothing and finds less" * missing
        raise FeatureError(f"{error}{how}") from None
    rows = [(str(one.path), f"{cosine:.4f}", ",".join(present(one.tags))) for one, cosine in found]
    if out is not None:
        write_rows(out, [_COLUMNS, *rows])
    if as_json:
        answers = [{"file": str(one.path), "similarity": cosine, "labels": list(present(one.tags))} for one, cosine in found]
        return _cli_output.document(answers)
    if not found:
        return _cli_output.note(f"there is no other recording in {folder}")
    return _cli_output.table(_COLUMNS, rows)


def _fetch(network: Any, *, download: bool, progress: bool) -> bool:
    """Fetch the weights of a feature that has any, if that is asked for; tell whether some are still missing."""
    if download and not hasattr(network, "missing"):
        raise typer.BadParameter(f"{type(network).__name__} needs no file", param_hint="--download")
    if download:
        network.download(progress=progress)
    return bool(getattr(network, "missing", ()))
