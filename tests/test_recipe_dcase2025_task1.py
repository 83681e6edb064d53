"""The recipe of DCASE 2025 task 1, on synthetic sounds."""

from dataclasses import replace

import numpy as np
import pytest

from dcasekit import load
from dcasekit.containers.schedules import Moment
from dcasekit.models import CPMobile
from dcasekit.recipes import _devices
from dcasekit.recipes import dcase2025_task1 as recipe

SMALL = replace(recipe.QUICK, epochs=2, tuned_epochs=1, clips=60)


def test_scenes_are_told_apart_by_one_network_and_by_one_for_each_device(tmp_path):
    report = recipe.run(recipe.QUICK, {}, tmp_path)
    for section in report.sections:
        assert section.measures["accuracy/macro"] > 0.5  # chance: 0.1
        assert len(section.pooled.clips) == 80
    assert report.title == "DCASE 2025 task 1, CP-Mobile, on synthetic sounds"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "50.7 %" in page
    assert "51.9 %" in page
    by_device, limits = report.sections[0].own_tables
    assert by_device.columns == ("system", "a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6", "mean of scenes")
    general, tuned = by_device.rows[-2:]
    assert general[7:10] == tuned[7:10], "devices that were not trained on are answered by the network for all"
    assert general[-1] == report.sections[0].measures["accuracy/macro"]
    assert [row[-1] for row in limits.rows] == ["yes", "yes"]
    for name in ("all", "a", "b", "c", "s1", "s2", "s3"):
        weights = load(tmp_path / "models" / name).weights()
        assert all(np.array_equal(one, one.astype(np.float16)) for one in weights.values() if one.dtype == np.float32), "rounded"
    first, other = (load(tmp_path / "models" / name).weights() for name in ("all", "b"))
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_the_published_settings():
    config = recipe.Config()
    features = recipe.front_end(config)
    assert (features.sr, features.audio_win, features.stft.n_fft, features.audio_hop, features.mel.bands) == (32000, 3072, 4096, 500, 256)
    assert features.get_shape(1.0) == (1, 64, 256)
    general, tuned = (recipe.training(config, features, "no", tuned=each, progress=False) for each in (False, True))
    assert (general["epochs"], general["learning_rate"], general["batch_size"], general["weight_decay"]) == (150, 5e-3, 256, 1e-4)
    assert (tuned["epochs"], tuned["learning_rate"]) == (50, 5e-4)
    rates = [general["schedule"](Moment(step, 137, 150)) for step in (0, 1000, 2000, 20_549)]
    assert rates == pytest.approx([0, 0.5, 1, 0], abs=1e-6)
    roll, mask, style = general["augment"]
    assert roll.keywords == {"most": 6}  # frames of 15.6 ms: 0.1 s
    assert mask.keywords["value"] == pytest.approx(-11.513, abs=1e-3)
    assert style.keywords == {"probability": 0.4, "alpha": 0.3}
    for name, published in recipe.PUBLISHED.items():
        low, high = recipe.BANDS[f"{name}: accuracy/macro"]
        assert low < published.value < high
    assert all(len(row) == len(_devices.COLUMNS) for row in _devices.BASELINE.values())


def test_the_network_keeps_the_limits_and_a_larger_one_does_not():
    frames = recipe.front_end(recipe.Config()).get_shape(1.0)[1:]
    table = _devices.limits(CPMobile().build(frames, tuple("abcdefghij")))
    assert [tuple(row[1:]) for row in table.rows] == [("122,296", "128,000", "yes"), ("26,951,680", "30,000,000", "yes")]
    table = _devices.limits(CPMobile(base_channels=48).build(frames, tuple("abcdefghij")))
    assert [row[-1] for row in table.rows] == ["no", "no"]


def test_a_teacher_s_answers_are_learned(tmp_path):
    recipe.run(SMALL, {}, tmp_path / "teacher")
    folder = tmp_path / "teacher" / "models" / "all"
    plain, taught = (
        recipe.run(replace(SMALL, teacher=teacher), {}, tmp_path / name).sections[0].histories["all"]
        for name, teacher in (("plain", ""), ("taught", str(folder)))
    )
    assert plain[0]["loss"] != taught[0]["loss"]
