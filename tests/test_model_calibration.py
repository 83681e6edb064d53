"""A model's calibration: shares instead of scores, thresholds that reach a precision, kept, exported, used by predict."""

import json

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli, export, load
from dcasekit.containers.calibration import Calibration
from dcasekit.errors import ModelError
from dcasekit.features import MelSpectrogram
from dcasekit.metrics import calibration as measure
from dcasekit.models import MLP, CompactCNN

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = ("dog", "cat", "rain")


class Told(MLP):
    """Answers what its windows say."""

    def answer(self, windows):
        return windows[:, 0].copy()


def told(task, clips=300, heat=3.0, seed=0):
    """A model that is too sure of itself, by this factor of the logarithm of the odds; three windows a clip."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.5, 1.5, (clips, 3, 3))
    if task == "classification":
        shares = np.exp(odds) / np.exp(odds).sum(axis=-1, keepdims=True)
        which = (shares[:, 0].cumsum(axis=-1) > rng.random((clips, 1))).argmax(axis=-1)
        truth, shares = np.eye(3)[which], np.repeat(shares[:, :1], 3, axis=1)
        said = shares**heat / (shares**heat).sum(axis=-1, keepdims=True)
    else:
        odds = np.repeat(odds[:, :1], 3, axis=1)
        truth = rng.random((clips, 3)) < 1 / (1 + np.exp(-odds[:, 0]))
        said = 1 / (1 + np.exp(-odds * heat))
    x = [windows[:, None].astype(np.float32) for windows in said]
    y = [np.repeat(row[None], 3, axis=0).astype(np.float32) for row in truth]
    model = Told(hidden_layers_size=[2], dropout_rates=[0]).build((1, 3), LABELS, task=task)
    return model, x, y


@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_brings_the_error_down_on_other_clips(task, kind):
    model, x, y = told(task)
    numbers = model.calibrate((x, y), kind=kind)
    assert numbers["ece"] < 0.5 * numbers["ece_before"]
    if kind == "temperature":
        np.testing.assert_allclose(model.calibration.temperatures, 3.0, rtol=0.3)
    _, others, truth = told(task, seed=1)
    scores = np.concatenate([one.values for one in model.predict(others)])
    assert measure.reliability(np.concatenate(truth), scores).expected_error < 0.5 * numbers["ece_before"]
    if task == "classification":
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_thresholds_reach_the_precision_that_was_asked_for():
    model, x, y = told("tagging", clips=1500)
    numbers = model.calibrate((x, y), precisions=(0.6, 0.8))
    _, others, truth = told("tagging", clips=1500, seed=2)
    scores = np.concatenate([one.values for one in model.predict(others)])
    for asked in (0.6, 0.8):
        limits = model.calibration.limits(LABELS, precision=asked)
        predicted = scores > [limits[label] for label in LABELS]
        assert np.concatenate(truth)[predicted].mean() == pytest.approx(asked, abs=0.05)
        told_before = numbers["precision"][f"{asked:g}"]
        low, high = told_before["interval_95"]
        assert low < told_before["reached"] < high
        assert told_before["reached"] == pytest.approx(asked, abs=0.05)
    with pytest.raises(ModelError, match=r"a precision of 0\.6, 0\.8; there is none for 0\.9"):
        model.calibration.limits(LABELS, precision=0.9)


def test_what_cannot_be_known_is_left_as_it_is():
    model, x, y = told("tagging", clips=40)
    for rows in y:
        rows[:, 1], rows[:, 2] = np.nan, 0
    model.calibrate((x, y))
    assert model.calibration.temperatures[1:] == (1.0, 1.0)
    limits = model.calibration.limits(LABELS)
    assert limits["cat"] == limits["rain"] == 0.5
    assert model.calibration.limits(LABELS, precision=0.9)["rain"] == np.inf
    with pytest.raises(ModelError, match="needs 5 recordings or more"):
        model.calibrate((x[:4], y[:4]))
    assert model.calibration is None


def make_real(folder):
    """A model that hears, with recordings of two labels."""
    features = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, sequence_time=0.512, sequence_hop_time=0.512)
    model = CompactCNN().build((features.sequence_frames, features.dims), ("dog", "cat"), task="tagging", seed=1)
    model.features = features
    rng = np.random.default_rng(0)
    files = [audio.write(folder / f"{n}.wav", rng.normal(0, 0.01 * (1 + n), 8000).astype(np.float32), 8000) for n in range(8)]
    windows = [np.stack([features.compute(audio.read(path)[0])[:32]]) for path in files]
    truth = [np.array([[n > 3, n % 2]], np.float32) for n in range(8)]
    return model, files, (windows, truth)


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_a_calibration_is_saved_and_exported(tmp_path, kind):
    model, files, data = make_real(tmp_path)
    before = model.predict(files[:1])[0].values
    model.calibrate(data, kind=kind)
    scores = model.predict(files[:1])[0].values
    assert np.abs(scores - before).max() > 1e-3
    again = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(files[:1])[0].values, scores)
    assert again.calibration.limits(("dog", "cat")) == model.calibration.limits(("dog", "cat"))
    path = export.onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path)
    sound, _ = audio.read(files[0])
    np.testing.assert_allclose(session.run(None, {"waveform": sound[None]})[0][0], scores, atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["thresholds"])
    assert about["best_f1"] == dict(model.calibration.best_f1)
    model.build((32, 40), ("dog", "cat"), task="tagging")
    model.train(([w[:, :, :40] for w in data[0]], data[1]), epochs=1, device="cpu", progress=False)
    assert model.calibration is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("kind", "magic"), ("temperatures", [1.0]), ("temperatures", [0, 1]), ("curves", 3), ("precision", {"0.9": [1]}), ("numbers", None)],
)
def test_a_damaged_calibration_is_refused(tmp_path, key, value):
    model, _, data = make_real(tmp_path)
    model.calibrate(data)
    model.save(tmp_path / "model")
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    about["calibration"][key] = value
    (tmp_path / "model" / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match="its calibration"):
        load(tmp_path / "model")


def test_predict_takes_the_thresholds_of_the_model(tmp_path):
    model, files, data = make_real(tmp_path)
    folder = model.save(tmp_path / "plain")
    args = ["predict", *files, "--events", "--format", "json"]

    def run(*more, code=0):
        result = CliRunner().invoke(cli.app, [str(arg) for arg in (*args, *more)])
        assert result.exit_code == code, result.output
        return result

    assert "calibrate it" in run("--model", folder, "--precision", "0.9", code=1).stderr
    model.calibrate(data, precisions=(0.5, 0.9))
    calibrated = model.save(tmp_path / "calibrated")
    for more, limits in (
        ((), model.calibration.limits(("dog", "cat"))),
        (("--precision", "0.5"), model.calibration.limits(("dog", "cat"), precision=0.5)),
        (("--threshold", "0.2"), {"dog": 0.2, "cat": 0.2}),
    ):
        found = json.loads(run("--model", calibrated, *more).stdout)
        for one, scores in zip(found, model.predict(files), strict=True):
            heard = {label for k, label in enumerate(scores.labels) if (scores.values[:, k] > np.float32(limits[label])).any()}
            assert {event["label"] for event in one["events"]} == heard
    assert "there is none for 0.7" in run("--model", calibrated, "--precision", "0.7", code=1).stderr
    assert "--threshold" in run("--model", calibrated, "--precision", "0.5", "--threshold", "0.2", code=2).stderr


def test_points_of_a_curve_keep_their_distance():
    model, x, y = told("tagging", clips=2000)
    model.calibrate((x, y), kind="isotonic")
    for curve in model.calibration.curves:
        points = np.array(curve)
        assert len(points) <= 52
        assert np.diff(points[:, 0]).min() >= 0.0099
        assert np.diff(points[:, 1]).min() >= -1e-12
    again = Calibration.from_dict(json.loads(json.dumps(model.calibration.to_dict())), LABELS)
    assert again.to_dict() == {**model.calibration.to_dict(), "numbers": again.numbers}


def test_a_saved_model_is_calibrated_by_a_command(tmp_path):
    def run(*args):
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
        assert result.exit_code == 0, result.output
        return result.stdout

    data = ("--dataset", "synthetic_sounds", "--data", tmp_path / "sounds")
    run("datasets", "download", "synthetic_sounds", "--data", tmp_path / "sounds", "-D", "clips=100", "-D", "seconds=1", "-D", "sr=8000")
    small = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-T", "device=cpu", "-T", "epochs=2"]
    run(
        "train", *data, "--model", "mlp", *small, "-M", "hidden_layers_size=[8]", "-M", "dropout_rates=[0]", "--out", tmp_path / "run", "-q"
    )
    told = json.loads(run("models", "calibrate", tmp_path / "run" / "model", *data, "--json"))
    assert set(told) == {"clips", "rows", "ece_before", "ece", "precision"}
    assert load(tmp_path / "run" / "model").calibration.numbers["ece"] == pytest.approx(told["ece"])
    assert "precision asked" in run("models", "calibrate", tmp_path / "run" / "model", *data, "--kind", "isotonic")
