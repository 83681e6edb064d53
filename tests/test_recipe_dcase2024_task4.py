"""The baseline of DCASE 2024 task 4: on synthetic sounds, and what its specification says of the real ones."""

import math
from dataclasses import replace

import numpy as np
import pytest

import dcasekit
from dcasekit.containers.schedules import Moment
from dcasekit.containers.training import Training
from dcasekit.datasets import DESED, MAESTROReal
from dcasekit.errors import DatasetError
from dcasekit.features import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.metrics import segment
from dcasekit.models import CRNN2023A
from dcasekit.recipes import _desed
from dcasekit.recipes import dcase2024_task4 as recipe
from dcasekit.scores import Scores
from dcasekit.testing import make_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_quick_run_finds_what_either_data_set_holds(tmp_path):
    report = recipe.run(recipe.QUICK, {}, tmp_path)
    [section] = report.sections
    results = section.folds["DESED, validation"]
    others = [replace(results, scores=results.scores[shift:] + results.scores[:shift]) for shift in range(3, 30, 5)]
    chance = np.mean([_desed.measure(other)["intersection_f1"][0] for other in others])  # the same answers, given to other clips
    assert section.measures["intersection_f1"] > 2 * chance
    assert section.measures["intersection_f1"] > 0.2
    assert section.measures["partial_auc"] > 0.15  # of chance 0.05
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("on synthetic sounds", "AUC up to a false positive rate of 0.1", "Median filters, steps"):
        assert text in page
    model = dcasekit.load(tmp_path / "model")
    assert model.labels == recipe.LABELS
    assert len(model.labels) == 27


def test_an_embedding_is_a_second_input(tmp_path):
    config = replace(
        recipe.QUICK, epochs=1, clips=98, batch=(1, 1, 1, 1, 1), filters=(2, 2, 2, 2), units=2, embedding={"class": "mfcc", "settings": {}}
    )
    report = recipe.run(config, {}, tmp_path)
    assert report.sections[0].model["settings"]["embedding"] == 20
    assert dcasekit.load(tmp_path / "model").shape[1] == 148


def generators(folder):
    mel = MelSpectrogram.preset("desed2023_linear", sequence_time=1.0, sequence_hop_time=1.0)
    sizes = {"desed": (42, 1.0), "maestro_real": (10, 3.0)}
    made = [make_dataset(name, folder / name, clips=clips, seconds=seconds) for name, (clips, seconds) in sizes.items()]
    for dataset in made:
        mel.extract(dataset)
    return [lambda dataset=dataset, **how: DataGenerator(dataset, mel, **how) for dataset in made]


def test_each_source_knows_its_own_labels_and_what_they_stand_for(tmp_path):
    of, of_maestro = generators(tmp_path)
    plain = of_maestro(folds=MAESTROReal.folds, target="frame", train=False)
    data = recipe.compose(recipe.Config(batch=(2, 2, 3, 2, 4)), of, ["weak"], plain)

    def known_columns(part):
        known = [~np.isnan(batch.y) for batch in part.batches(0, 1, seed=0)]
        return np.flatnonzero(np.concatenate([each.reshape(-1, 27) for each in known]).any(0)).tolist()

    known = {name: known_columns(part) for name, part in data.parts.items()}
    told = recipe.annotated()
    assert known["maestro"] == list(told["maestro"]) == [3, 8, *range(10, 27)]
    assert known["synthetic"] == known["strong"] == known["weak"] == list(told["weak"]) == list(range(10))
    assert known["unlabelled"] == []
    assert [part.labels for part in data.parts.values()] == [recipe.LABELS] * 5
    assert data.sizes == {"maestro": 2, "synthetic": 2, "strong": 3, "weak": 2, "unlabelled": 4}
    wide, narrow = (next(iter(each.batches(0, 30, seed=0))).y for each in (data.parts["maestro"], plain))
    np.testing.assert_array_equal(wide[..., 10:], narrow)
    speech = [MAESTROReal.labels.index(name) for name in ("people talking", "children voices", "announcement")]
    np.testing.assert_array_equal(wide[..., 8], narrow[..., speech].max(-1))
    np.testing.assert_array_equal(wide[..., 3], narrow[..., MAESTROReal.labels.index("cutlery and dishes")])
    assert narrow[..., speech].max() > 0


def test_data_among_other_labels_are_other_data(tmp_path):
    of, _ = generators(tmp_path)
    plain = of(folds=["weak"], train=False)
    truth = plain.reference()["truth"].copy()
    wide, aliased = plain.among(recipe.LABELS), plain.among(recipe.LABELS, also={"Cat": "Dog"})
    assert len({each.identity for each in (plain, wide, aliased)}) == 3
    found = wide.reference()["truth"]
    np.testing.assert_array_equal(found[:, :10], truth)
    assert np.isnan(found[:, 10:]).all()
    np.testing.assert_array_equal(plain.reference()["truth"], truth)
    with pytest.raises(DatasetError, match=r"'Alarm_bell_ringing' of DESED is not among the labels Cat, Dog"):
        plain.among(("Cat", "Dog"))


def test_the_student_is_trained_by_the_published_schedule(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(CRNN2023A, "train", lambda self, *data, **settings: given.update(settings, network=self.settings))
    monkeypatch.setattr(CRNN2023A, "save", lambda self, folder: None)
    config = recipe.Config()
    recipe.learn(config, None, recipe.choose, tmp_path, progress=False)
    assert given.pop("network") == CRNN2023A(gru_units=192, dropout=0.2, groups=(10, 17)).settings
    training = Training.of({**given, "resume": None})
    rates = {epoch: training.rate(Moment(118 * epoch, 118, 300)) / 1e-3 for epoch in (0, 50, 99, 100, 200, 300)}
    assert rates == pytest.approx({0: math.exp(-5), 50: 1, 99: 1, 100: 1, 200: math.cos(math.pi / 4), 300: 0}, abs=1e-9)
    assert (training.epochs, training.clip_norm, training.keep) == (300, 5.0, "network")
    assert training.objective.keywords["columns"] == recipe.annotated()
    assert sum(config.batch) == 60
    assert config.median == tuple(range(1, 18, 2))
    assert recipe.LABELS[:10] == DESED.labels


def test_scores_are_averaged_over_whole_seconds():
    edges = np.append(np.arange(0, 2.5, 0.064), 2.5)
    values = np.random.default_rng(0).random((len(edges) - 1, 2))
    found = _desed.to_seconds(Scores(values, edges, ("a", "b")))
    assert found.edges.tolist() == [0, 1, 2, 2.5]
    fine = np.repeat(values, np.diff(np.round(edges * 1000).astype(int)), axis=0)  # milliseconds
    expected = [fine[first:last].mean(0) for first, last in ((0, 1000), (1000, 2000), (2000, 2500))]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_the_partial_auc_is_of_means_over_seconds(tmp_path):
    _, of_maestro = generators(tmp_path)
    model = CRNN2023A(filters=(2, 2), pool_size=((2, 8), (2, 16)), gru_units=2)
    data = of_maestro(folds=["fold1"], train=False)
    model.build((62, 128), data.labels, task="detection", seed=1)
    results = model.evaluate(data)
    reference, scores, durations = _desed.material(results)
    averaged = {clip: _desed.to_seconds(each) for clip, each in scores.items()}
    labels = MAESTROReal.evaluated_labels
    expected = segment.auroc(reference, averaged, durations, labels=labels)["auroc@0.1/macro"]
    assert _desed.partial_auc(results, labels) == pytest.approx(expected, nan_ok=True)
