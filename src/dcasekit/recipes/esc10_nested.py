"""ESC-10 from scratch, every choice made without the fold that is tested on, beside what the usual choice would have claimed.

For each test fold, candidates of width, mixing, augmentation, averaging of weights, resolution, test windows and epochs are tried, setting
by setting, on the other folds alone (`_nested.choose`). Then networks are trained on all other folds, and the fold is tested once, by the
last weights, with several seeds; the figure is the mean over the seeds. Beside it stands the *optimism*: how much higher a network's figure
is if its epoch is chosen on the test fold, as in several published figures. Here the accuracies of the epochs choose nothing.

What is not nested: the lists of candidates. Their authors know what works on ESC-10, and the first of each is what the recipe ``esc10``
found on the folds 1-3; the longest training was made 400 epochs after the short variant's results on these folds were known.

Cost on folds 1-3: less than 2 hours of two cores; of ``--set variant=short``, which has fewer candidates, 10 minutes. On all five folds a
candidate takes ten networks of 240 clips in place of three of 80.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit.containers.base import load
from dcasekit.core.energy import measured
from dcasekit.datasets.esc10 import ESC10
from dcasekit.recipes import _data
from dcasekit.recipes._esc10_networks import FRONT_ENDS, MODEL, Bench, Choice, Network
from dcasekit.recipes._nested import choose, mean_accuracy, tabulate, tabulate_seeds
from dcasekit.recipes.base import BaseConfig
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.results import Results

Final = Mapping[tuple[str, int], Sequence[Network]]

_CLAIMED, _TOGETHER = "accuracy_by_the_best_epoch_on_the_test_fold", "accuracy_of_all_seeds_together"


@dataclass(frozen=True)
class Config(BaseConfig):
    """Settings of the recipe; what is chosen is in `PLANS`.

    Parameters
    ----------
    variant : which candidates are tried, see `PLANS`.
    batch_size : windows in a training step.
    learning_rate : step size of the optimizer at its highest, after its rise.
    weight_decay : weight decay of the optimizer.
    crop_frames : frames that are cut from each clip in training; 256 are 3 of the 5 s.
    seeds : seeds that each fold is tested with.
    """

    variant: Literal["full", "short", "quick"] = "full"
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    crop_frames: int = 256
    seeds: int = 3


QUICK = Config(variant="quick", batch_size=8, crop_frames=64, seeds=2, quick=True)
DATASETS = ("esc10",)
NO_VALIDATION = "every fold is tested, and the settings are chosen on the others already; sweep esc10"
PUBLISHED = {
    "EnvNet-v2 with between-class learning (Tokozume 2018)": Published(0.914, "five folds, last epoch; ICLR 2018"),
    "Listeners (Piczak 2015)": Published(0.957, "people, not a system"),
    "ACDNet (Mohaimenuzzaman 2023)": Published(0.9665, "five folds; the epoch was chosen on the test fold", measure=_CLAIMED),
}

# From three of its seeds' deviations below the 90.7 % of folds 1-3 to the listeners.
BANDS = {"accuracy": (0.867, 0.957)}


@dataclass(frozen=True)
class Plan:
    """Candidates of each setting, in the order of choosing and the simplest first, and the number of seeds that each is judged with."""

    candidates: Mapping[str, Sequence[Any]]
    seeds: int = 1


_MIXING, _AVERAGE, _WINDOWS = ("between_class", "mixup"), (0.0, 0.99), ("whole", "dense")
PLANS = {
    "full": Plan(
        {
            "filters": ((16, 32, 64, 128), (24, 48, 96, 192)),
            "mixing": _MIXING,
            "augmentation": ("strong", "light"),
            "average": _AVERAGE,
            "resolutions": (("fine",), ("coarse",), ("fine", "coarse")),
            "windows": _WINDOWS,
            "epochs": (120, 400),
        },
        seeds=2,
    ),
    "short": Plan({"mixing": _MIXING, "average": _AVERAGE, "windows": _WINDOWS, "epochs": (60, 120)}),
    "quick": Plan({"filters": ((8, 16, 32, 64),), "mixing": _MIXING, "windows": _WINDOWS, "epochs": (30,)}),
}


@measured
def run(config: Config, data: Mapping[str, Path], out: Path, *, progress: bool = False) -> Report:
    """Choose on other folds, train, test each fold once, and save the networks and the report.

    Parameters
    ----------
    data : ``esc10``: folder of ESC-50 or ESC-10 with three folds or more; without it, a small dataset of synthetic sounds is made.
    out : folder for features, networks and report. What was trained there with the same settings is found again.
    """
    began, plan = time.perf_counter(), PLANS[config.variant]
    dataset = ESC10(_data.find("esc10", data, out, clips=100, sr=44100), cache=out / "cache")
    for front in FRONT_ENDS.values():
        front.extract(dataset, progress=progress)
    folds = dataset.present_folds[:3] if config.quick else dataset.present_folds
    settings = {name: value for name, value in asdict(config).items() if name not in ("variant", "seeds", "seed", "quick")}
    bench = Bench(dataset, settings, out / "networks", progress)
    judges, testers = ([1000 * config.seed + number for number in range(count)] for count in (plan.seeds, config.seeds))
    chosen, tried = choose(Choice(), plan.candidates, folds, partial(bench.judge, seeds=judges))
    others = {fold: tuple(other for other in folds if other != fold) for fold in folds}
    final = {(fold, seed): chosen[fold].networks(others[fold], seed, watched=fold) for fold in folds for seed in testers}
    bench.train(chain.from_iterable(final.values()))
    tests = {(fold, seed): bench.results(fold, chosen[fold].windows, networks) for (fold, seed), networks in final.items()}
    joined = {fold: [network for (tested, _), each in final.items() if tested == fold for network in each] for fold in folds}
    measures, interval = measure(bench, final, tests)
    together = {fold: bench.results(fold, chosen[fold].windows, networks) for fold, networks in joined.items()}
    saved = Path(bench.answers[joined[folds[0]][0]].folder) / MODEL
    section = Section(
        name=dataset.name,
        folds=together,
        model={"class": "CompactCNN", **(one := load(saved)).cost(), "settings": one.settings},
        seconds=time.perf_counter() - began,
        measures=measures | {_TOGETHER: float(np.mean([results.numbers["accuracy"] for results in together.values()]))},
        intervals={"accuracy": interval, _TOGETHER: Results.pool(list(together.values())).interval},
        published=PUBLISHED,
        sizes={fold: Sizes(sum(clip.fold in others[fold] for clip in dataset.clips)) for fold in folds},
        saved=saved,
        own_tables=[tabulate_seeds(tests), tabulate(tried)],
        notes=[
            f"Each of {len(folds)} folds was tested by {len(testers)} seeds; all settings were chosen on the other folds alone.",
            "Folds, labels and confusions are of all seeds' networks together: the mean of their answers.",
            "The optimism is of single networks, by the epoch of the highest accuracy on the test fold, which chose nothing here.",
        ],
    )
    title = _data.title("ESC-10 from scratch, nested choices", DATASETS, data)
    report = Report(title=title, settings=asdict(config), sections=[section], environment=environment())
    report.save(out)
    return report


def measure(bench: Bench, final: Final, tests: Mapping[tuple[str, int], Results]) -> tuple[dict[str, float], tuple[float, float]]:
    """Compute the accuracy, and what single networks reach with the last epoch and with the epoch that is best on the test fold.

    Returns
    -------
    the measures by name, and the 95 % interval of the accuracy.
    """
    accuracy, deviation, interval = mean_accuracy(tests)
    watched = [bench.answers[network].epochs for networks in final.values() for network in networks]
    last, best = (float(np.mean([pick(epochs) for epochs in watched])) for pick in (lambda epochs: epochs[-1], max))
    single = {"accuracy_of_single_networks": last, _CLAIMED: best, "optimism": best - last}
    return {"accuracy": accuracy, "deviation_of_the_seeds": deviation, **single}, interval
