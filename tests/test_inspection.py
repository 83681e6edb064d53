"""Results on disk and clip by clip: a run's folder gives its wrong clips again."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import Event, Results, Scores, cli, testing
from dcasekit.errors import MetricError, StorageError
from dcasekit.results.inspection import clip_scores, judge, label_intervals, threshold_curves
from dcasekit.results.saving import read_results, write_results

LABELS = ("dog", "cat", "<b>ow\u00e9")


def made(task, n=24, seed=0):
    rng = np.random.default_rng(seed)
    truth = (np.eye(3)[rng.integers(3, size=n)] if task == "classification" else rng.integers(2, size=(n, 3))).astype(np.float32)
    frames = [1 if task == "tagging" else int(k) for k in rng.integers(2, 6, n)]
    scores = [
        Scores(np.clip(rng.normal(row * 0.4 + 0.3, 0.2, (k, 3)), 0, 1), np.arange(k + 1.0), LABELS)
        for row, k in zip(truth, frames, strict=True)
    ]
    events = None
    if task == "detection":
        events = {f"c/{k}": tuple(Event(0.0, 1.0, LABELS[j]) for j in np.flatnonzero(row)) for k, row in enumerate(truth)}
        events["c/0"], truth[0] = None, np.nan
    elif task == "tagging":
        truth[0, 1] = np.nan
    else:
        truth[0] = np.nan
    clips = tuple(f"c/{k}" for k in range(n))
    groups, paths = tuple(f"g{k // 2}" for k in range(n)), tuple(Path(f"{clip}.wav") for clip in clips)
    ends = tuple(map(float, frames))
    return Results(task, LABELS, clips, truth, tuple(scores), events=events, groups=groups, durations=ends, paths=paths, threshold=0.4)


TASKS = ["classification", "tagging", "detection"]


@pytest.mark.parametrize("task", TASKS)
def test_results_that_are_read_back_give_the_same_numbers_and_clips(tmp_path, task):
    results = made(task)
    write_results(tmp_path / "run" / "results", results)
    for folder in (tmp_path / "run", tmp_path / "run" / "results"):
        found = read_results(folder)
        assert json.dumps(found.to_dict()) == json.dumps(results.to_dict())
        assert (found.clips, found.events, found.durations, found.groups) == (
            results.clips,
            results.events,
            results.durations,
            results.groups,
        )
        assert all(
            np.array_equal(a.values, b.values) and np.array_equal(a.edges, b.edges)
            for a, b in zip(found.scores, results.scores, strict=True)
        )
    assert found.paths == ()
    paths = dict(zip(results.clips, results.paths, strict=True))
    assert read_results(tmp_path / "run", paths=paths).paths == results.paths
    assert "c/0.wav" not in (tmp_path / "run" / "results" / "results.json").read_text()


def test_folds_are_pooled(tmp_path):
    for fold in ("fold1", "fold2"):
        write_results(tmp_path / fold / "results", made("tagging", seed=int(fold[-1])))
    assert len(read_results(tmp_path).clips) == 48


def test_a_folder_without_results_says_how_to_make_them(tmp_path):
    with pytest.raises(MetricError, match="dcasekit evaluate --model"):
        read_results(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_results_are_refused_by_name(tmp_path, seed):
    folder = write_results(tmp_path / "results", made("detection"))
    rng = np.random.default_rng(seed)
    file = folder / ("scores.safetensors", "results.json")[seed % 2]
    content = bytearray(file.read_bytes())
    if seed % 4 < 2:
        del content[int(rng.integers(len(content))) :]
    else:
        about = json.loads((folder / "results.json").read_text())
        name = list(about)[seed % len(about)]
        about[name] = [3, None, "x", [[1]], {"c/0": 3}][seed % 5]
        file, content = folder / "results.json", json.dumps(about).encode()
    file.write_bytes(content)
    found = None
    with suppress(MetricError):
        found = read_results(tmp_path)
    assert found is None or isinstance(found, Results)


def test_a_file_of_the_user_is_left_as_it_is(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.json").write_text("mine")
    with pytest.raises(StorageError, match="did not write it"):
        write_results(tmp_path / "results", made("tagging"))
    assert (tmp_path / "results" / "results.json").read_text() == "mine"


def test_clips_are_judged_as_the_numbers_count_them():
    results = made("classification")
    found = judge(results)
    assert [one.clip for one in found] == list(results.clips)
    assert found[0].right is None
    right = [one.right for one in found if one.right is not None]
    assert np.mean(right) == pytest.approx(results.numbers["accuracy"])
    wrong = sorted((one for one in found if one.right is False), key=lambda one: -one.confidence)
    told = [(one.clip, one.true, one.predicted) for one in results.mistakes(99)]
    assert [(one.clip, *one.true, *one.predicted) for one in wrong] == told


@pytest.mark.parametrize("task", ["tagging", "detection"])
def test_tags_are_judged_where_they_are_known(task):
    results = made(task)
    scores, found = clip_scores(results), judge(results)
    for one, row, truth in zip(found, scores, results.truth, strict=True):
        assert one.predicted == tuple(label for label, score in zip(LABELS, row, strict=True) if score > 0.4)
        known = ~np.isnan(truth)
        assert one.right == (None if not known.any() else bool(((row > 0.4) == (truth > 0.5))[known].all()))
        assert 0 <= one.confidence <= 1


@pytest.mark.parametrize(("task", "first"), [("classification", "recall"), ("tagging", "average_precision"), ("detection", "f1")])
def test_intervals_of_labels_hold_their_numbers(task, first):
    results = made(task, n=60)
    found = label_intervals(results)
    for label, (low, high) in found.items():
        assert low <= results.numbers[f"{first}/{label}"] <= high
        assert low < high


def test_eight_of_eight_right_clips_say_little_however_many_others_there_are():
    truth = np.eye(3, dtype=np.float32)[[0] * 8 + [1] * 200]
    scores = tuple(Scores(row[None], [0.0, 1.0], LABELS) for row in truth)
    clips = tuple(map(str, range(208)))
    for task in ("classification", "tagging"):
        found = label_intervals(Results(task, LABELS, clips, truth, scores))
        assert found["dog"] == pytest.approx((0.025 ** (1 / 8), 1.0))
        assert found["cat"] == pytest.approx((0.025 ** (1 / 200), 1.0))
        assert np.isnan(found[LABELS[2]]).all()


@pytest.mark.parametrize("task", ["tagging", "detection"])
def test_threshold_curves_are_the_numbers_at_each_threshold(task):
    results = made(task)
    curves = threshold_curves(results, np.array([0.2, 0.4, 0.7]))
    for at, threshold in enumerate(curves.thresholds):
        numbers = replace(results, threshold=float(threshold)).numbers
        for k, label in enumerate(LABELS):
            assert curves.precision[at, k] == pytest.approx(numbers[f"precision/{label}"], nan_ok=True)
            assert curves.recall[at, k] == pytest.approx(numbers[f"recall/{label}"], nan_ok=True)
    assert curves.f1_micro[1] == pytest.approx(results.numbers["f1/micro"])
    assert threshold_curves(results).f1.shape == (49, 3)


def test_a_run_and_an_evaluation_keep_what_shows_their_wrong_clips(tmp_path):
    testing.make_dataset("esc10", tmp_path / "data", clips=50, seconds=0.5, sr=8000)
    given = ["--dataset", "esc10", "--data", str(tmp_path / "data"), "--fold", "fold1", "--quiet", "--json"]
    small = ["--model", "mlp", "--epochs", "1", "--jobs", "1", "-M", "hidden_layers_size=[8]", "-M", "dropout_rates=[0]", "-F", "sr=8000"]
    for command, out in ((["train", *small], "run"), (["evaluate", "--model", str(tmp_path / "run" / "model")], "again")):
        done = CliRunner().invoke(cli.app, [*command, *given, "--out", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
        results = read_results(tmp_path / out)
        told = json.loads((tmp_path / out / "report.json").read_text())["sections"][0]["pooled"]
        assert results.numbers["accuracy"] == told["numbers"]["accuracy"]
        assert len(judge(results)) == told["clips"]
