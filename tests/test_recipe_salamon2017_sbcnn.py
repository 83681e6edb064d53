"""The recipe of SB-CNN on UrbanSound8K, on synthetic sounds, and what is known of the real ones."""

import os
from dataclasses import replace

import pytest

from dcasekit.features import MelSpectrogram
from dcasekit.models.sb_cnn import SB_CNN
from dcasekit.recipes import salamon2017_sbcnn as recipe


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Train where coverage and monkeypatching reach."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def test_it_runs_with_copies_and_without_and_is_better_than_chance(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    assert [section.name for section in report.sections] == list(recipe.SYSTEMS)
    plain, augmented = report.sections
    for section in report.sections:
        assert section.spread("accuracy")[0] > 0.6  # chance: 0.2
        assert [one.value for one in section.published.values()][0] == (0.73 if section is plain else 0.79)
        assert all("parent" not in clip for clip in section.pooled.clips)
    assert {size.train for size in plain.sizes.values()} == {80}
    assert {size.train for size in augmented.sizes.values()} == {240}, "each with two copies"
    assert {size.validation for size in augmented.sizes.values()} == {10}
    assert set(recipe.BANDS) == {f"{section.name}: {section.headline}" for section in report.sections}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.title == "UrbanSound8K with SB-CNN, on synthetic sounds"
    assert "dynamic range compression is missing" in page


def test_a_fold_that_is_done_is_not_trained_again(tmp_path, monkeypatch):
    config = replace(recipe.QUICK, epochs=1, snrs=(), filters=(4, 4, 4))
    train, trained = recipe.train, []

    def interrupted(config, systems, features, out, network):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(network)
        train(config, systems, features, out, network)

    monkeypatch.setattr(recipe, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipe.run(config, {}, tmp_path)
    checkpoint = tmp_path / "checkpoints" / recipe.SYSTEMS[0] / "fold1" / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    monkeypatch.setattr(recipe, "train", train)
    recipe.run(config, {}, tmp_path)
    assert checkpoint.stat().st_mtime_ns == before


def test_the_published_settings():
    config = recipe.Config()
    model = SB_CNN(filters=config.filters, pool_size=((4, 2), (4, 2)), batch_norm=False)
    model.build((128, config.bands), [*"abcdefghij"], task="classification")
    assert model.cost()["parameters"] == 241_434
    front = MelSpectrogram.preset("sb_cnn", sequence_time=recipe.PATCH, sequence_hop_time=1024 / 44100)
    assert front.sequence_frames == 128
    assert front.sequence_hop == 1
    names = [type(one).__name__ for one in recipe.augmentations(config)]
    assert {name: names.count(name) for name in names} == {"TimeStretch": 4, "PitchShift": 8, "WhiteNoise": 4}
    assert (config.learning_rate, config.momentum, config.batch_size, config.epochs, config.part) == (0.01, 0.0, 100, 50, 8)
