"""Networks of the recipe ``esc10_nested``: each is trained once, and its answers are kept below the recipe's folder."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.annotations import clip_to_vector
from dcasekit.batch_augmentations import (
    BatchAugmentation,
    add_noise,
    between_class,
    equalize,
    frequency_shift,
    mixup,
    random_crop,
    random_gain,
    spec_augment,
)
from dcasekit.core.files import place, read_json, write_json
from dcasekit.core.parallel import map_clips, usable_cores
from dcasekit.datasets.base import Dataset
from dcasekit.errors import StorageError
from dcasekit.features import Mel
from dcasekit.features.looped_mel import LoopedMel
from dcasekit.generator import DataGenerator
from dcasekit.models.compact_cnn import CompactCNN
from dcasekit.recipes._nested import Trial
from dcasekit.recipes.esc10 import FEATURES
from dcasekit.results import Results
from dcasekit.scores import Scores, pool

MODEL = "model"
_ANSWERS, _CHECKPOINT, _KIND = "answers.json", "checkpoint", "answers of a network"

# Two looks at a sound: "fine" in time, as of the recipe esc10; "coarse" in time and twice as fine in frequency.
FRONT_ENDS = {
    "fine": FEATURES,
    "coarse": LoopedMel(
        sequence_time=None, sr=44100, audio_win=4096, audio_hop=1024, mel=Mel(bands=128, scale="htk", norm=None, fmin=40.0, fmax=20000.0)
    ),
}


@dataclass(frozen=True)
class Network:
    """A network to train: its settings as in `Choice`, folds and seed. The fold `watched` is tested after each epoch, for the report."""

    filters: tuple[int, ...]
    mixing: str
    augmentation: str
    average: float
    epochs: int
    resolution: str
    folds: tuple[str, ...]
    seed: int
    watched: str = ""


@dataclass(frozen=True)
class Choice:
    """The settings that are chosen for a test fold by the other folds."""

    filters: tuple[int, ...] = (16, 32, 64, 128)
    mixing: str = "between_class"
    augmentation: str = "strong"
    average: float = 0.0  # decay of the running average of the weights
    resolutions: tuple[str, ...] = ("fine",)  # whose networks' answers are averaged
    windows: str = "whole"  # or "dense": as long as in training, overlapping; neither sees digital silence (`LoopedMel`)
    epochs: int = 120

    def networks(self, folds: tuple[str, ...], seed: int, *, watched: str = "") -> list[Network]:
        """List the networks to train for this choice, one per resolution; their scores are averaged."""
        kept = {name: value for name, value in asdict(self).items() if name not in ("resolutions", "windows")}
        return [Network(**kept, resolution=one, folds=folds, seed=seed, watched=watched) for one in self.resolutions]


@dataclass(frozen=True)
class Answers:
    """The scores of a trained network.

    Parameters
    ----------
    clips : kind of windows (``"whole"``, ``"dense"``) -> clip -> a score per label, for all clips that it was not trained on.
    epochs : accuracy on the watched fold after each epoch; empty if there is none.
    folder : folder of the network's files.
    """

    clips: Mapping[str, Mapping[str, Sequence[float]]]
    epochs: Sequence[float]
    folder: str


@dataclass
class Bench:
    """Trains networks when they are needed, and keeps their scores.

    Parameters
    ----------
    dataset : the dataset with its folds.
    settings : ``crop_frames``, ``device``, and those settings of `train` that all networks share.
    folder : folder for the networks.
    progress : show progress bars.
    answers : scores of the networks that are already trained.
    """

    dataset: Dataset
    settings: Mapping[str, Any]
    folder: Path
    progress: bool = False
    answers: dict[Network, Answers] = field(default_factory=dict)

    def train(self, networks: Iterable[Network]) -> None:
        """Train those networks that are not trained yet, in parallel, with one process per core and one thread each."""
        wanted = [network for network in dict.fromkeys(networks) if network not in self.answers]
        work = partial(answer, self.dataset, self.settings, self.folder)
        shown = "Training networks" if self.progress else None
        found = map_clips(work, wanted, jobs=max(1, min(len(wanted), usable_cores())), batch=1, progress=shown)
        self.answers |= dict(zip(wanted, found, strict=True))

    def judge(self, trials: Sequence[Trial[Choice]], *, seeds: Sequence[int]) -> list[float]:
        """Return each trial's accuracy, the mean over the seeds."""
        networks = {(one, seed): one.choice.networks(one.trained, seed) for one in trials for seed in seeds}
        self.train(network for each in networks.values() for network in each)
        return [
            float(np.mean([self.results(one.judged, one.choice.windows, networks[one, seed]).numbers["accuracy"] for seed in seeds]))
            for one in trials
        ]

    def results(self, fold: str, windows: str, networks: Sequence[Network]) -> Results:
        """Return the results for a fold from the averaged scores of networks; `windows` is a key of `Answers.clips`."""
        labels, answered = self.dataset.labels, [self.answers[network].clips[windows] for network in networks]
        clips = [clip for clip in self.dataset.clips if clip.fold == fold and all(clip.id in one for one in answered)]
        values = [np.mean([one[clip.id] for one in answered], axis=0) for clip in clips]
        return Results(
            task="classification",
            labels=labels,
            clips=tuple(clip.id for clip in clips),
            truth=np.stack([clip_to_vector(clip, labels) for clip in clips]),
            scores=tuple(Scores(row[None], [0.0, clip.duration or 5.0], labels) for row, clip in zip(values, clips, strict=True)),
            paths=tuple(clip.path for clip in clips),
            groups=tuple(clip.group for clip in clips),
        )


def answer(dataset: Dataset, settings: Mapping[str, Any], folder: Path, network: Network) -> Answers:
    """Train a network and store its scores in its folder; if they are stored already, read them."""
    features = FRONT_ENDS[network.resolution]
    train = DataGenerator(dataset, features, folds=network.folds, seed=network.seed)
    facts = {**asdict(network), **settings, "data": train.identity}
    del facts["device"]
    own = folder / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    if not (own / _ANSWERS).exists():
        content = {"facts": facts, **_train(dataset, settings, network, train, own)}
        write_json(place(own, _ANSWERS, kind=_KIND), content)
    with suppress(FileNotFoundError):  # what was kept for an interrupted run
        (own / _CHECKPOINT / "checkpoint.safetensors").unlink()
    with suppress(OSError):
        (own / _CHECKPOINT).rmdir()
    found = read_json(own / _ANSWERS, error=StorageError)
    return Answers(found["clips"], found["epochs"], str(own))


def _train(dataset: Dataset, settings: Mapping[str, Any], network: Network, train: DataGenerator, own: Path) -> dict[str, Any]:
    features = FRONT_ENDS[network.resolution]
    scale = features.audio_hop // FEATURES.audio_hop
    frames = settings["crop_frames"] // scale
    model = CompactCNN(filters=network.filters)
    shared = {name: value for name, value in settings.items() if name != "crop_frames"}
    model.train(
        train,
        DataGenerator(dataset, features, folds=[network.watched], train=False) if network.watched else None,
        epochs=network.epochs,
        best_from=network.epochs,  # the last: what is watched chooses nothing
        optimizer="adamw",
        schedule="one_cycle",
        average=network.average,
        augment=augmentations(network, frames, scale),
        seed=network.seed,
        resume=own / _CHECKPOINT,
        **shared,
    )
    if network.watched:
        model.save(own / MODEL)
    seconds = [frames * features.audio_hop / features.sr / part for part in (1, 4)]
    dense = replace(features, sequence_time=seconds[0], sequence_hop_time=seconds[1])
    rest = [clip for clip in dataset.clips if clip.fold not in network.folds and network.watched in ("", clip.fold)]
    asked = {windows: DataGenerator(dataset, front, folds=rest, train=False) for windows, front in (("whole", features), ("dense", dense))}
    clips = {
        windows: {
            clip.id: [round(float(value), 6) for value in pool(scores).values[0]]
            for clip, scores in zip(data.clips, model.predict(data), strict=True)
        }
        for windows, data in asked.items()
    }
    return {"clips": clips, "epochs": [record["val_accuracy"] for record in model.history if "val_accuracy" in record]}


def augmentations(network: Network, frames: int, scale: int) -> list[BatchAugmentation]:
    """Return the augmentations of each batch.

    The front end is coarser in time, and finer in frequency, than the one named "fine", by the factor `scale`.
    """
    kinds: dict[str, BatchAugmentation] = {"between_class": between_class, "mixup": partial(mixup, alpha=0.4)}
    mixing = kinds[network.mixing]
    crop = partial(random_crop, frames=frames)
    if network.augmentation == "light":
        return [crop, mixing, random_gain]
    masks = partial(spec_augment, time_masks=1, time_frames=math.ceil(48 / scale), band_masks=1, bands=10 * scale)
    return [crop, partial(frequency_shift, bands=2 * scale), equalize, mixing, random_gain, add_noise, masks]
