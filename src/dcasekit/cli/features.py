"""``dcasekit features``, ``extract``: list, describe and compute features."""

from typing import Annotated

import typer

from dcasekit.cli import leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import bars, document, text
from dcasekit.cli.settings import apply_settings, assignments


def features(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of a feature or a published front end: show its settings.", show_default=False),
    ] = None,
    presets: o.Presets = False,
    as_json: o.Json = False,
) -> None:
    """List the features with the names of their settings; or describe one.

    JSON: a list of objects name, about, settings (a preset's with values); of one feature an object name, about, settings (name, default,
    about).
    """
    if name is not None:
        leaves.show_feature(name, as_json=as_json)
    elif presets:
        leaves.show_presets(as_json=as_json)
    else:
        leaves.show_leaves("features", as_json=as_json)


def extract(  # noqa: PLR0913 - options of a command
    *,
    dataset: o.DatasetName,
    data: o.Data,
    dataset_settings: o.DatasetSettings = None,
    cache: o.Cache = None,
    feature: o.Feature = "mel_spectrogram",
    feature_settings: o.FeatureSettings = None,
    jobs: o.Jobs = None,
    backend: o.Backend = "processes",
    address: o.Address = None,
    on_error: o.OnError = "raise",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compute a feature of every clip and store it; if interrupted, run it again to continue.

    JSON: an object folder, clips (stored), skipped (clip to reason).
    """
    from dcasekit.features import make_feature

    source = leaves.dataset(dataset, data, cache, settings=dataset_settings)
    extractor = apply_settings(make_feature(feature), assignments(feature_settings, option="-F"), option="-F")
    store = extractor.extract(source, jobs=jobs, backend=backend, address=address, on_error=on_error, progress=bars(quiet))
    if as_json:
        return document({"folder": str(store.folder), "clips": len(store.entries), "skipped": dict(store.skipped)})
    return text(f"{len(store.entries)} clips in {store.folder}" + (f", {len(store.skipped)} skipped" * bool(store.skipped)))
