"""The recipe of DCASE 2023 task 4B, on synthetic sounds, and what the specification says of the real ones (recipes.md, section B)."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dcasekit
from dcasekit.annotations import Event, read_events
from dcasekit.containers.schedules import Moment, plateau
from dcasekit.containers.training import Training
from dcasekit.datasets import MAESTROReal
from dcasekit.generator import Batch
from dcasekit.metrics import maestro
from dcasekit.models import CRNN2023
from dcasekit.recipes import dcase2023_task4b as recipe
from dcasekit.results import Results
from dcasekit.scores import Scores
from dcasekit.testing import make_dataset

DATA = os.environ.get("DCASEKIT_DATA")
MAESTRO = Path(DATA or ".") / "metadata" / "maestro_real"
realdata = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not DATA, reason="set DCASEKIT_DATA to a folder that holds metadata/maestro_real: DCASEKIT_DATA=... pytest -m realdata"
    ),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, run_recipe):
    out = tmp_path_factory.mktemp("ran")
    return out, run_recipe(recipe, recipe.QUICK, {}, out)


def test_made_sounds_are_learned_better_than_by_chance(ran):
    """Chance: one score everywhere, of whose thresholds the best turns a label on always; for the loss, the label's mean value."""
    out, report = ran
    [section] = report.sections
    assert report.title == "DCASE 2023 task 4B baseline, on synthetic sounds"
    assert section.published["chance"].value < 0.2
    assert section.measures["best_f1"] > 0.6
    assert section.intervals["best_f1"][0] > 2 * section.published["chance"].value
    assert section.measures["error_rate"] < 0.9, "silence: 1"
    assert section.measures["micro_f1"] > 0.4
    [folder] = (out / "made").iterdir()
    data = recipe.join(recipe.QUICK, MAESTROReal(folder, cache=out / "cache"), "fold1", "validation")
    values = np.concatenate([batch.y.reshape(-1, 17) for batch in data.batches(0, 8, seed=0)])
    assert min(record["val_loss"] for record in section.histories["fold1"]) < 0.5 * values.var(axis=0).mean()


def test_the_report_sets_all_measures_beside_the_published_ones(ran):
    out, report = ran
    [section] = report.sections
    assert list(section.measures) == [
        *("best_f1", "error_rate", "micro_f1", "macro_f1"),
        *("error_rate_clips", "micro_f1_clips", "macro_f1_clips"),
    ]
    assert tuple(section.folds) == MAESTROReal.folds
    assert sorted(section.pooled.clips) == sorted(MAESTROReal.recordings), "every recording is tested once"
    assert {fold: (sizes.train, sizes.validation) for fold, sizes in section.sizes.items()} == {
        **{"fold1": (26, 12), "fold2": (27, 12), "fold3": (27, 12), "fold4": (27, 12), "fold5": (28, 13)}
    }
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("F1 at best thresholds", "clip by clip", "mean of ten trainings, deviation 0.0084", "its numbers prove nothing"):
        assert words in page
    model = dcasekit.load(out / "models" / "fold3")
    assert model.predict([next((out / "made").glob("*/development_audio/*/*.wav"))])[0].labels == MAESTROReal.labels


def test_a_finished_run_trains_nothing_again_and_finds_the_same(ran):
    out, report = ran
    kept = {path: path.stat().st_mtime_ns for path in (out / "checkpoints").rglob("*.safetensors")}
    assert len(kept) == 5
    again = recipe.run(recipe.QUICK, {}, out)
    assert again.sections[0].measures == report.sections[0].measures
    assert {path: path.stat().st_mtime_ns for path in (out / "checkpoints").rglob("*.safetensors")} == kept


def test_the_published_settings():
    config = recipe.Config()
    assert (config.epochs, config.batch_size, config.learning_rate) == (150, 32, 1e-3)
    assert (config.plateau, config.stop) == (int(0.3 * 150), int(0.6 * 150))
    feature = recipe.features(config)
    assert (feature.sequence_frames, feature.mel.bands, feature.log) == (200, 64, None)
    model = CRNN2023(filters=config.filters).build((200, 64), MAESTROReal.labels, task="detection")
    assert model.cost()["parameters"] == 380_113
    assert len(recipe.LABELS) == 11
    published = {one.measure: one.value for one in recipe.PUBLISHED.values()}
    assert published == {"best_f1": 0.4287, "error_rate": 0.487, "micro_f1": 0.7034, "macro_f1": 0.3583}
    assert all(low < published[name] < high for name, (low, high) in recipe.BANDS.items())
    assert recipe.BANDS.keys() == published.keys()


def test_the_rate_falls_and_training_stops_as_published():
    """The counters grow in the improving epoch, too: here that is the tenth; its rate falls after 46 epochs, the last one is the 91st."""
    config = recipe.Config()
    history = [{"val_loss": 1 / min(epoch, 10)} for epoch in range(1, 151)]
    rates = [plateau(Moment(epoch, 1, 150, history[:epoch]), patience=config.plateau) for epoch in range(150)]
    assert [epoch for epoch in range(1, 150) if rates[epoch] < rates[epoch - 1]] == [55, 101, 147]
    rule = Training(early_stopping=config.stop)
    assert next(epoch for epoch in range(10, 151) if rule.stops(history[:epoch], 10)) == 100


def test_the_validation_loss_is_the_mean_of_batches_of_what_the_network_gives():
    """Not of answers, which are cut to [0, 1], nor of windows."""
    batches = [Batch(np.full((size, 2, 1), x), np.zeros((size, 2, 1)), np.ones((size, 2), bool), ("a",) * size, np.zeros((size, 1)))
               for size, x in ((3, -1.0), (1, 3.0))]  # fmt: skip
    data = SimpleNamespace(batches=lambda epoch, batch_size, seed: batches)
    model = SimpleNamespace(activations=lambda windows, layer: {"linear2": windows}[layer])
    assert recipe.validation_loss(model, data=data, batch_size=3) == {"loss": (1 + 9) / 2}


def test_best_thresholds_may_lie_outside_of_what_answers_are_cut_to():
    edges, label = np.arange(101) / 5, "car"
    values = np.where(edges[:-1] < 4.9, -0.1, -0.2)
    raw = np.zeros((len(values), 11), np.float32)
    raw[:, recipe.LABELS.index(label)] = values
    results = Results(
        *("detection", recipe.LABELS, ("a", "b"), np.zeros((2, 11))),
        scores=(Scores(np.clip(raw, 0, 1), edges, recipe.LABELS),) * 2,
        events={clip: (Event(0, 5, label, 0.75), Event(5, 9, label, 0.25)) for clip in "ab"},
        durations=(20.0, 20.0),
    )
    measures, _, chance = recipe.measure(results, [raw, raw], [("a", "b")])
    assert measures["best_f1"] == 1.0
    assert chance == pytest.approx(0.4)  # on in a quarter of the seconds: 2 p / (1 + p)


def test_recordings_are_joined_in_the_order_of_the_baselines_lists(tmp_path):
    dataset = make_dataset("maestro_real", tmp_path / "data", clips=49, seconds=1.0, sr=44100)
    config = replace(recipe.QUICK, window=1.0)
    recipe.features(config).extract(dataset)
    names = [clip.id for clip in dataset.split("fold2").train]
    assert [clip.id for clip in recipe.join(config, dataset, "fold2", "train").clips] == names
    order = [names[place] for place in np.random.default_rng(0).permutation(len(names))]
    (tmp_path / "data" / "development_folds").mkdir()
    lines = ["filename", *(f"{name.rpartition('_')[0]}/{name}" for name in order)]
    (tmp_path / "data" / "development_folds" / "fold2_train.csv").write_text("\n".join(lines) + "\n")
    assert [clip.id for clip in recipe.join(config, dataset, "fold2", "train").clips] == order


class TestRealLabels:
    pytestmark = realdata

    def test_chance_on_the_published_hard_labels(self):
        """One score everywhere: 17.6 % macro F1 at the best thresholds; the baseline has 42.87 %."""
        with (MAESTRO / "metadata" / "development_metadata.csv").open(newline="") as file:
            durations = {f"{row['filename']}.wav": float(row["duration"]) for row in csv.DictReader(file, delimiter="\t")}
        reference = read_events(MAESTRO / "metadata" / "gt_dev.csv")
        scores = {clip: Scores(np.zeros((1, 11)), [0, end], recipe.LABELS) for clip, end in durations.items()}
        found = maestro.evaluate(reference, scores, durations, labels=recipe.LABELS)
        assert found["best_f1/macro"] == pytest.approx(0.176, abs=2e-3)
        assert (found["error_rate/micro"], found["f1/micro"]) == (1, 0)

    def test_the_lists_order_the_recordings(self, tmp_path):
        dataset = make_dataset("maestro_real", tmp_path, clips=49, seconds=1.0, sr=44100)
        config = replace(recipe.QUICK, window=1.0)
        recipe.features(config).extract(dataset)
        (tmp_path / "development_folds").symlink_to(MAESTRO / "development_folds")
        for fold, part in (("fold1", "train"), ("fold5", "validation"), ("fold3", "test")):
            lines = (MAESTRO / "development_folds" / f"{fold}_{part[:3] if part[0] == 'v' else part}.csv").read_text().split()[1:]
            assert [clip.id for clip in recipe.join(config, dataset, fold, part).clips] == [line.rpartition("/")[2] for line in lines]
