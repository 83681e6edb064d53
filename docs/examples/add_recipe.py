"""A recipe of your own in one straight file; ``dcasekit run mylab.add_recipe`` runs it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dcasekit import DataGenerator, Report
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import CompactCNN
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Section, environment


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe: each can be changed on the command line with ``--set``.

    Parameters
    ----------
    clips : number of synthetic sounds.
    epochs : passes over the training data.
    """

    clips: int = 400
    epochs: int = 20


QUICK = Config(clips=50, epochs=2, quick=True)
DATASETS = ("synthetic_sounds",)  # what --data takes
PUBLISHED = {"an earlier system": Published(0.6, "invented for this example")}


def run(
    config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False
) -> Report:
    """From data to report; what is written lies below `out`.

    Parameters
    ----------
    data : dataset -> folder; without it the sounds are made inside `out`.
    """
    dataset = SyntheticSounds(
        data.get("synthetic_sounds", out / "sounds"),
        cache=out / "cache",
        clips=config.clips,
        seconds=1.0,
    )
    dataset.download(progress=progress)
    features = MelSpectrogram(
        sr=16000, audio_win=800, audio_hop=400, mel=Mel(bands=40), sequence_time=None
    )
    features.extract(dataset, progress=progress)

    split = dataset.split()
    model = CompactCNN()
    history = model.train(
        DataGenerator(dataset, features, folds=split.train),
        DataGenerator(dataset, features, folds=split.validation, train=False),
        epochs=config.epochs,
        seed=config.seed,
        device=config.device,
        resume=out / "checkpoints",  # if interrupted, run it again to continue
    )
    results = model.evaluate(DataGenerator(dataset, features, folds=split.test, train=False))
    section = Section(
        name="Scenes",
        folds={"test": results},
        histories={"test": history},
        published=PUBLISHED,
        saved=model.save(out / "model"),
    )
    report = Report(
        title="A recipe of my own",
        settings=asdict(config),
        sections=[section],
        environment=environment(),
    )
    report.save(out)
    return report


def check(folder: Path) -> None:
    """Run it small: what the tests of this page do."""
    report = run(QUICK, {}, folder)
    assert report.trial
    assert (folder / "report.html").exists()
