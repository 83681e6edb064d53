"""Make the trained models that come with dcasekit again, from the recipes' own settings, each with its card.

    python tools/make_trained_models.py esc10 --data ESC-10
    python tools/make_trained_models.py quickstart

On one machine the same seed gives the same weights. ``esc10`` takes about ten minutes on two cores, ``quickstart`` two; interrupted, the
same command goes on. The models are written into the package (``--out`` names another folder).
"""

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcasekit.containers import load, trained
from dcasekit.containers.base import ModelContainer
from dcasekit.core.files import read_rows, write_json, write_text
from dcasekit.core.threads import share_cores
from dcasekit.datasets.base import Dataset
from dcasekit.datasets.esc10 import ESC10
from dcasekit.errors import DatasetError
from dcasekit.generator import DataGenerator
from dcasekit.recipes import esc10, quickstart
from dcasekit.report import environment
from dcasekit.results import Results, plain

TASKS = {"classification": "scenes", "tagging": "tags", "detection": "events"}
ABOUT = {
    "esc10": "Which of ten environmental sounds a recording is of; for trying things out, and to fine-tune from.",
    "scenes": "Which of five made-up scenes a synthetic recording is of; for trying things out.",
    "tags": "Which of twelve made-up sounds a synthetic recording holds; for trying things out.",
    "events": "When which of twelve made-up sounds begin and end in a synthetic recording; for trying things out.",
}
SYNTHETIC = "It knows the synthetic sounds of `SyntheticSounds` alone: on real recordings its answers mean nothing."


def make_esc10(data: Path, work: Path, out: Path, config: esc10.Config, attribution: Path | None = None) -> None:
    """Cross-validate as the recipe does, measure with rounded weights, train on all clips, and keep that network."""
    attribution = attribution or data / "ATTRIBUTION.tsv"
    dataset = ESC10(data, cache=work / "cache")
    licences = licences_of(attribution, dataset)
    esc10.run(config, {"esc10": data}, work)
    folds = dataset.present_folds
    tests = {}
    for fold in folds:
        rounded = load(load(work / "models" / fold).save(work / "rounded" / fold, half=True))
        tests[fold] = rounded.evaluate(DataGenerator(dataset, esc10.FEATURES, folds=[fold], train=False))
    model = esc10.train_on(config, dataset, folds, resume=work / "checkpoints" / "all")
    clips = len(dataset.clips)
    keep(
        model,
        out / "esc10",
        work,
        {
            "about": ABOUT["esc10"],
            "figure": figure(
                Results.pool(list(tests.values())),
                f"{len(folds)} networks made in the same way, each trained on the other folds and tested on one; not of this one",
            ),
            "data": facts(dataset, folds, clips),
            "licence": f"The weights: MIT, as dcasekit. The recordings: {licences}; attribution.tsv says who made which.",
            "protocol": f"Cross-validation over {', '.join(folds)}, last epoch, nothing selected on the fold under test; weights rounded "
            f"to float16 as here. This network is trained on all {clips} clips of these folds, so none of them can test it. Features, "
            "augmentation and network were chosen on these folds: the figure is somewhat too good for unseen sounds.",
            "limits": "It answers one of its ten labels whatever it hears, and knows sounds of about 5 s that stand alone.",
            "command": "python tools/make_trained_models.py esc10 --data ESC-10",
        },
    )
    write_text(out / "esc10" / "attribution.tsv", attribution.read_text(encoding="utf-8"))


def make_quickstart(work: Path, out: Path, config: quickstart.Config) -> None:
    """Run the recipe, and keep its three networks with their figures, measured with rounded weights."""
    quickstart.run(config, {}, work)
    for task, short in TASKS.items():
        dataset = quickstart.sounds(config, task, {}, work)
        split, features = dataset.split("fold1"), quickstart.features(task)
        model = load(work / "models" / task)
        rounded = load(model.save(work / "rounded" / task, half=True))
        results = rounded.evaluate(DataGenerator(dataset, features, folds=split.test, train=False))
        folds = sorted({clip.fold for clip in (*split.train, *split.validation)})
        keep(
            model,
            out / f"quickstart_{short}",
            work,
            {
                "about": ABOUT[short],
                "figure": figure(results, "this network"),
                "data": facts(dataset, folds, len(split.train) + len(split.validation)),
                "licence": "MIT, as dcasekit; no recording is in it",
                "protocol": f"Trained on {len(split.train)} clips, the epoch chosen on {len(split.validation)} others, tested once on "
                f"{len(split.test)} clips of fold1 that served neither, with these weights.",
                "limits": SYNTHETIC,
                "command": "python tools/make_trained_models.py quickstart",
            },
        )


def keep(model: ModelContainer, folder: Path, work: Path, card: Mapping[str, Any]) -> None:
    """Save a model in half precision, without what differs from run to run, and its card; no mark that the folder is dcasekit's."""
    for record in model.history:
        record.pop("seconds", None)
    folder.mkdir(parents=True, exist_ok=True)
    for path in model.save(work / "kept" / folder.name, half=True).glob("[!.]*"):
        shutil.copyfile(path, folder / path.name)
    versions = {name: value for name, value in environment().items() if name in ("dcasekit", "python", "numpy", "torch", "processor")}
    write_json(folder / "card.json", plain({"labels": model.labels, "task": model.task, **card, "versions": versions}))


def figure(results: Results, of: str) -> dict[str, Any]:
    """Give the main number of results, and of which networks it is."""
    name = results.headline
    return {"name": name, "value": results.numbers[name], "interval_95": results.interval, "clips": len(results.clips), "of": of}


def facts(dataset: Dataset, folds: list[str] | tuple[str, ...], clips: int) -> dict[str, Any]:
    """Say what a network has seen: of these folds it must not be tested on any."""
    source = dataset.archives[0].url if dataset.archives else "made by dcasekit from a seed"
    return {"dataset": dataset.name, "folds": folds, "clips": clips, "source": source, "citation": dataset.citation}


def licences_of(attribution: Path, dataset: Dataset) -> str:
    """Count the licences of a dataset's recordings, each of which must be in the list."""
    if not attribution.exists():
        raise DatasetError(f"{attribution} is missing: give a TSV of clip, title, url, author, license; --attribution FILE")
    rows = {cells[0]: cells[4] for _, cells in read_rows(attribution, error=DatasetError)[1:]}
    used = [rows.get(clip.id.rpartition("-")[0]) for clip in dataset.clips]
    if missing := [clip.id for clip, licence in zip(dataset.clips, used, strict=True) if licence is None]:
        raise DatasetError(f"{attribution} does not name {', '.join(missing[:3])} ... ({len(missing)} clips)")
    return ", ".join(f"{count} under {licence}" for licence, count in Counter(used).most_common())


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("esc10", "quickstart"))
    parser.add_argument("--data", type=Path, help="folder of ESC-10, for esc10")
    parser.add_argument("--attribution", type=Path, help="who recorded what; default: ATTRIBUTION.tsv in the folder of the data")
    parser.add_argument("--work", type=Path, default=Path("runs/trained"), help="folder for sounds, features and checkpoints")
    parser.add_argument("--out", type=Path, default=trained.FOLDER)
    given = parser.parse_args()
    share_cores()
    work = given.work / given.name
    if given.name == "quickstart":
        return make_quickstart(work, given.out, quickstart.Config())
    if given.data is None:
        parser.error("esc10 needs --data")
    return make_esc10(given.data, work, given.out, esc10.Config(), given.attribution)


if __name__ == "__main__":
    sys.exit(main())
