"""The recipe of DcaseNet on synthetic sounds, and what the specification says of the real ones."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import dcasekit
from dcasekit.annotations import Event
from dcasekit.containers.schedules import Moment, restarts
from dcasekit.metrics import seld
from dcasekit.recipes import _dcasenet, dcasenet
from dcasekit.results import Results
from dcasekit.scores import Scores


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("dcasenet")


@pytest.fixture(scope="module")
def report(out, run_recipe):
    return run_recipe(dcasenet, dcasenet.QUICK, {}, out)


def test_three_tasks_are_learned_together_and_better_than_chance(report, out):
    scenes, tags, events = report.sections
    assert scenes.measures["accuracy"] > 0.25  # chance: 0.1
    heard = tags.folds["test"]
    mean = np.mean([one.values for one in heard.scores], axis=0)  # for every clip the same answer: what labels there are, nothing heard
    deaf = replace(heard, scores=tuple(replace(one, values=mean) for one in heard.scores)).numbers["lwlrap"]
    assert tags.measures["lwlrap"] > 1.3 * deaf
    assert events.measures["f1_5s"] > 0.2
    assert list(events.measures) == ["f1_5s", "error_rate_5s", "f1_1s", "error_rate_1s"]
    assert report.title == "DcaseNet v3, on synthetic sounds"
    assert set(scenes.histories) == {"joint", "tuned"}
    [table] = scenes.own_tables
    assert [row[0] for row in table.rows][-2:] == ["this run, joint", "this run, tuned"]
    assert table.rows[-1][1:] == (
        scenes.measures["accuracy"],
        tags.measures["lwlrap"],
        events.measures["f1_5s"],
        events.measures["error_rate_5s"],
    )
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in ("Tables 2 and 3 of the paper", "F1 in blocks of 5 s", "v3, tuned", "epochs were chosen on the clips that are tested"):
        assert text in page


def test_its_networks_answer_audio_files_as_they_were_tested(report, out):
    recording = next(iter(out.glob("made/tau_nigens*/mic_dev/*.wav")))
    for name, rows in (("scenes", 3), ("tags", 1), ("events", 80)):
        model = dcasekit.load(out / "models" / name)
        sound = recording if name == "events" else next(iter(out.glob("made/tau_urban*/audio/*.wav")))
        [scores] = model.predict([sound])
        assert len(scores.values) == rows
        assert scores.labels == next(one for one in report.sections if one.name == name.capitalize()).pooled.labels


def test_a_single_task_is_learned_alone_and_its_epoch_chosen_on_clips_of_its_own(report, out, tmp_path):
    [folder] = out.glob("made/fsd_kaggle2019*")
    config = replace(dcasenet.QUICK, tasks=("tags",), version="v1", epochs=1, steps=2, choose_on="validation")
    [section] = dcasenet.run(config, {"fsd_kaggle2019": folder}, tmp_path).sections
    assert set(section.histories) == {"alone"}
    assert not section.notes
    assert section.measures.keys() == {"lwlrap"}
    assert all(name.startswith("v1, ") for name in section.published)
    assert json.loads((tmp_path / "report.json").read_text())["title"] == "DcaseNet v1, on synthetic sounds"


def test_the_published_settings():
    config = dcasenet.Config()
    assert config.batch_sizes == (32, 32, 24)
    assert config.steps * config.epochs == 80_000
    rates = [config.learning_rate * restarts(Moment(step, config.steps, config.epochs)) for step in (0, 20_000, 39_999, 40_000, 79_999)]
    assert rates == pytest.approx([1e-3, 5.005e-4, 1e-6, 1e-3, 1e-6], rel=1e-4)
    assert config.mixup_from == 6
    assert len(dcasenet.ROWS) == 14
    assert dcasenet.PUBLISHED["v3, tuned (lwlrap)"].value == 0.7459
    for measure, (low, high) in dcasenet.BANDS.items():
        assert low < dcasenet.PUBLISHED[f"v3, tuned ({measure})"].value < high
    crops = [replace(dcasenet.FEATURES, sequence_time=time, sequence_hop_time=2.5) for time in config.crops]
    assert [one.sequence_frames for one in crops] == [250, 250, 1500]
    assert list(crops[0].grid(501, 10.0).starts) == [0, 125, 250]


def test_curated_tags_are_parted_as_scikit_learn_does():
    clips = list(range(4970))
    train, validation, test = dcasenet.split(SimpleNamespace(task="tagging", select=lambda folds: clips))
    assert (len(train) + len(validation), len(test)) == (3976, 994)
    assert sorted((*train, *validation, *test)) == clips
    folds = pytest.importorskip("sklearn.model_selection").KFold(5, shuffle=True, random_state=42)
    assert list(test) == next(iter(folds.split(clips)))[1].tolist()


class Answers:
    """A model that gives scores."""

    labels = ("a", "b")

    def __init__(self, task, scores):
        self.task, self.scores = task, scores

    def predict(self, data):
        return self.scores


def test_three_crops_count_alike():
    scores = Scores([[0.6, 0.4], [0.1, 0.9], [0.6, 0.4]], [0, 3.75, 6.25, 10], ("a", "b"))  # by time the first would win
    known = {"clips": ("x",), "truth": np.array([[0.0, 1.0]]), "events": None}
    results = _dcasenet.answer(Answers("classification", [scores]), SimpleNamespace(reference=lambda: known))
    assert _dcasenet.measure(results) == {"accuracy": 1.0}


def test_channels_are_averaged_and_blocks_counted_as_published():
    rng, clips = np.random.default_rng(0), [f"{recording}-ch{channel}" for recording in "pq" for channel in range(4)]
    edges = np.arange(1501) / 50
    scores = [Scores(rng.random((1500, 2)), edges, ("a", "b")) for _ in clips]
    events = {clip: (Event(1.2, 3.4, "a"), Event(12.0, 29.9, "b")) for clip in clips}
    known = {
        "clips": tuple(clips),
        "truth": np.ones((8, 2)),
        "events": events,
        "paths": (),
        "groups": tuple("ppppqqqq"),
        "durations": (30.0,) * 8,
    }
    results = _dcasenet.answer(Answers("detection", scores), SimpleNamespace(reference=lambda: known | {"paths": tuple(clips)}))
    assert results.clips == ("p-ch0", "q-ch0")
    mean = [np.mean([one.values for one in part], axis=0) for part in (scores[:4], scores[4:])]
    np.testing.assert_allclose(results.scores[1].values, mean[1], atol=1e-6)
    true = np.zeros((296, 2))
    true[12:34, 0] = true[120:, 1] = 1
    found = np.concatenate([part[:1480:5] > 0.3 for part in mean])
    expected = {
        f"{key}_{n}s": value for n in (5, 1) for key, value in seld.evaluate(np.tile(true, (2, 1)), found, block_frames=10 * n).items()
    }
    assert _dcasenet.measure(results) == expected


def test_tags_are_measured_by_lwlrap():
    results = Results("tagging", ("a", "b"), ("x",), np.array([[1.0, 0.0]]), (Scores([[0.2, 0.8]], [0, 1], ("a", "b")),))
    assert _dcasenet.measure(results) == {"lwlrap": 0.5}
