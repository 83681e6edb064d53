"""The recipe of MAVD-traffic, on synthetic sounds."""

import numpy as np

from dcasekit import DataGenerator, Scaler, load, testing
from dcasekit.features import MelSpectrogram
from dcasekit.recipes import zinemanas2019_mavd as recipe


def test_a_network_of_urban_sed_is_tuned_to_three_levels(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    assert report.title == "Traffic on MAVD, by a network of URBAN-SED, on synthetic sounds"
    labels = {section.name: len(section.pooled.labels) for section in report.sections}
    assert labels == {"URBAN-SED": 10, "MAVD, vehicles": 3, "MAVD, components": 4, "MAVD, pairs": 8}
    for section in report.sections:
        chance = np.mean(section.pooled.truth.mean(axis=0))  # mean average precision of answers drawn at random
        assert section.pooled.numbers["clip/average_precision/macro"] > chance + 0.12, section.name
        assert section.measures["error_rate/micro"] < 0.95, section.name  # of silence: 1; that everything sounds: more
    assert {system for section in report.sections for system in section.published} == set(recipe.PUBLISHED)
    assert "vehicles" in (tmp_path / "report.html").read_text(encoding="utf-8")
    models = {folder.name: load(folder) for folder in (tmp_path / "models").iterdir()}
    urban, pairs = models["urban_sed"].weights(), models["mavd_pairs"].weights()
    same = {name for name, array in urban.items() if array.shape == pairs[name].shape and np.array_equal(array, pairs[name])}
    assert {name for name in urban if not name.startswith(("input_norm", "out."))} <= same, "only the head learned"
    assert not np.array_equal(urban["input_norm.running_mean"], pairs["input_norm.running_mean"])


def test_the_input_is_normalised_by_what_is_tuned_to(tmp_path):
    dataset = testing.make_dataset("mavd", tmp_path, clips=12, sr=8000)
    features = MelSpectrogram(sr=8000, sequence_time=1.0)
    features.extract(dataset)
    train = DataGenerator(dataset, features, folds=["train"])
    found, scaler = recipe.normalisation(train), Scaler("standard").fit(train)
    x, _ = train.get_data()
    mean, deviation = found["input_norm.running_mean"], np.sqrt(found["input_norm.running_var"])
    np.testing.assert_allclose((x - mean) / deviation, scaler.transform(x), atol=1e-3)


def test_bands_hold_the_published_figures():
    for name, (low, high) in recipe.BANDS.items():
        assert low < recipe.PUBLISHED[name.partition(":")[0]].value < high
