"""The baseline of DCASE 2023 task 4A: on synthetic sounds, and what its specification says of the real ones."""

import json
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import dcasekit
from dcasekit.annotations import Clip, Event
from dcasekit.containers.schedules import Moment
from dcasekit.containers.training import Training
from dcasekit.datasets import DESED
from dcasekit.features import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.metrics import psds
from dcasekit.models import CRNN2023A
from dcasekit.recipes import _desed
from dcasekit.recipes import dcase2023_task4a as recipe
from dcasekit.results import Results
from dcasekit.scores import Scores
from dcasekit.testing import make_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_quick_run_is_far_better_than_chance_and_its_report_opens(tmp_path):
    report = recipe.run(recipe.QUICK, {}, tmp_path)
    [section] = report.sections
    results = section.folds["validation"]
    others = [replace(results, scores=results.scores[shift:] + results.scores[:shift]) for shift in range(3, 30, 5)]
    for name in ("event_f1", "intersection_f1"):
        chance = np.mean([_desed.measure(other)[name][0] for other in others])  # the same answers, given to other clips
        assert section.measures[name] > 3 * chance
        assert section.measures[name] > 0.15
        assert section.measures[f"{name}_csebbs"] > 0.1
    assert max(record["val_weak_f1"] for record in section.histories["student"]) > 0.3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (
        "on synthetic sounds",
        "PSDS1 of bounding boxes",
        "The same scores, smoothed and as boxes",
        "settings chosen on synthetic clips",
    ):
        assert text in page
    [scores] = dcasekit.load(tmp_path / "model").predict([next((tmp_path / "made").rglob("*.wav"))])
    assert len(np.unique(scores.values[:, 0])) <= 15
    assert json.loads((tmp_path / "model" / "model.json").read_text())["features"]["settings"]["log"] is None


# The published numbers


def source(size):
    return SimpleNamespace(size=size, task="detection", labels=DESED.labels, shape=(625, 128))


def composed(config):
    """The sources of the real data, and what generators are asked for."""
    asked = []
    sizes = {"synthetic": 10_000, "strong": 3_470, "unlabelled": 14_412}

    def of(folds, target):
        asked.append((folds, target))
        return source(len(folds) if isinstance(folds[0], int) else sum(sizes[fold] for fold in folds))

    return recipe.compose(config, of, range(1_420)), asked  # nine tenths of 1,578


def test_a_step_has_12_synthetic_12_weak_24_unlabelled_windows_and_an_epoch_118_steps():
    data, asked = composed(recipe.Config())
    assert data.sizes == {"strong": 12, "weak": 12, "unlabelled": 24}
    assert (data.steps, recipe.Config().epochs * data.steps) == (118, 23_600)
    assert [target for _, target in asked] == ["frame", "clip", "clip"]
    assert asked[0][0] == ["synthetic"]
    assert composed(recipe.Config(real=True))[1][0][0] == ["synthetic", "strong"]


def test_the_student_is_trained_by_the_published_schedule(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(CRNN2023A, "train", lambda self, *data, **settings: given.update(settings, network=self.settings))
    monkeypatch.setattr(CRNN2023A, "save", lambda self, folder: None)
    data, _ = composed(recipe.Config())
    recipe.learn(recipe.Config(), data, source(158), lambda **asked: source(2_500), tmp_path, progress=False)
    assert given.pop("network") == CRNN2023A().settings
    training = Training.of({**given, "resume": None})
    steps = (1, 100, 5_900, 23_599)
    ramp = [math.exp(-5 * (1 - min(step / 5_900, 1)) ** 2) for step in steps]
    assert [training.rate(Moment(step, 118, 200)) for step in steps] == pytest.approx([1e-3 * each for each in ramp])
    assert [training.average(step) for step in (1, 100, 5_900, 23_600)] == pytest.approx([0.5, 100 / 101, 0.999, 0.999])
    assert training.objective.keywords == {"weight": 2.0, "ramp_epochs": 50, "mix": 0.5}
    assert (training.optimizer, training.weight_decay, training.clip_norm, training.keep) == ("adam", 0.0, None, "network")
    assert (training.epochs, training.monitor, training.early_stopping) == (200, "sum", None)


def test_weak_clips_to_choose_by_are_a_tenth_and_of_other_films():
    clips = [Clip(id=str(number), path=f"{number}.wav", group=f"film{number // 2}") for number in range(200)]
    train, held_out = _desed.draw_validation(clips, seed=3)
    assert (len(train), len(held_out)) == (180, 20)
    assert not {clip.group for clip in train} & {clip.group for clip in held_out}
    assert _desed.draw_validation(clips, seed=3) == (train, held_out)
    assert _desed.draw_validation(clips, seed=4) != (train, held_out)


@pytest.mark.parametrize(("frames", "steps"), [(625, 156), (400, 100), (3, 1)])
def test_scores_come_back_to_the_networks_steps(frames, steps):
    """Of a whole window, and of a shorter clip that filled a part of one."""
    answers = np.random.default_rng(0).random((1, 156, 1))
    scores = MelSpectrogram.preset("desed2023_linear").grid(frames + 1, frames * 0.016).join(answers, ["dog"])
    found = _desed.to_steps(scores, window=625)
    assert len(found.values) == steps
    np.testing.assert_allclose(found.values[:, 0], answers[0, :steps, 0], rtol=1e-6)
    assert (found.edges[0], found.edges[-1]) == (0, scores.edges[-1])
    assert np.diff(found.edges)[:-1] == pytest.approx(0.064, abs=0.0161)


def test_the_epoch_is_chosen_by_weak_tags_and_intersections(tmp_path):
    """By hand: the network's own tags at 0.5, and events from filtered steps."""
    dataset = make_dataset("desed", tmp_path / "data", clips=140, seconds=1.0)
    mel = MelSpectrogram.preset("desed2023_linear", sequence_time=1.0, sequence_hop_time=1.0)
    mel.extract(dataset)
    of = partial(DataGenerator, dataset, mel, train=False)
    weak, strong = of(folds=["weak"], task="tagging"), of(folds=["synthetic_validation"])
    model = CRNN2023A(filters=(2, 2), pool_size=((2, 8), (2, 16)), gru_units=2)
    model.build((62, 128), dataset.labels, task="detection", seed=1)
    found = _desed.select(model, weak=weak, strong=strong, median=1)
    assert found["sum"] == pytest.approx(found["weak_f1"] + found["intersection_f1"])

    class Oracle:
        """Knows all tags, and all events but for their last quarter."""

        shape, task = (62, 128), "detection"

        def head(self, task):
            truth = weak.reference()["truth"]
            scores = tuple(Scores(row[None], [0, 1], dataset.labels) for row in truth)
            return SimpleNamespace(evaluate=lambda data: Results("tagging", dataset.labels, data.reference()["clips"], truth, scores))

        def evaluate(self, data):
            about = data.reference()
            late = [[replace(e, offset=e.onset + 0.75 * (e.offset - e.onset)) for e in about["events"][clip]] for clip in about["clips"]]
            edges = np.arange(63) / 62
            scores = tuple(
                Scores(dcasekit.annotations.events_to_roll(events, dataset.labels, edges), edges, dataset.labels) for events in late
            )
            return Results("detection", dataset.labels, **about, scores=scores)

    found = _desed.select(Oracle(), weak=weak, strong=strong, median=1)
    assert found["weak_f1"] == 1
    assert found["intersection_f1"] > 0.8


def test_a_network_that_knows_nothing_is_chosen_last():
    """No weak clip holds a label, and none is found: the sum is that of what is defined."""
    empty = Results("tagging", ("a",), ("x",), np.full((1, 1), np.nan, np.float32), (Scores([[0.2]], [0, 1], ("a",)),))
    events = {"x": (Event(0.0, 1.0, "a"),)}
    strong = Results(
        "detection", ("a",), ("x",), np.ones((1, 1), np.float32), (Scores([[0.9]] * 4, [0, 0.25, 0.5, 0.75, 1], ("a",)),), events=events
    )
    model = SimpleNamespace(shape=(4, 1), head=lambda task: SimpleNamespace(evaluate=lambda data: empty), evaluate=lambda data: strong)
    found = _desed.select(model, weak=None, strong=None, median=1)
    assert math.isnan(found["weak_f1"])
    assert found["sum"] == found["intersection_f1"] == 1


def test_the_challenges_numbers_have_intervals_and_chains_are_set_side_by_side():
    rng = np.random.default_rng(0)
    edges, clips = np.arange(101) / 10, [str(number) for number in range(12)]
    events = {clip: (Event(2.0, 5.0 + int(clip) % 4, "ab"[int(clip) % 2]),) for clip in clips}
    rolls = [dcasekit.annotations.events_to_roll(events[clip], ("a", "b"), edges) for clip in clips]
    scores = tuple(Scores(np.clip(0.7 * roll + 0.3 * rng.random(roll.shape), 0, 1), edges, ("a", "b")) for roll in rolls)
    truth = np.array([roll.max(0) for roll in rolls])
    results = Results("detection", ("a", "b"), tuple(clips), truth, scores, events=events, durations=(10.0,) * 12)
    found = _desed.measure(results)
    exact = psds.psds(events, dict(zip(clips, scores, strict=True)), dict.fromkeys(clips, 10.0), **psds.PSDS1)["psds"]
    assert found["psds1"][0] == exact == 1
    assert [value for value, _ in found.values()] == [1, 1, 1, 1]
    table = _desed.compare(found | {f"{name}_csebbs": (value - 0.25, span) for name, (value, span) in found.items()})
    assert [row[1:] for row in table.rows] == [(1.0, 0.75, -0.25)] * 4
