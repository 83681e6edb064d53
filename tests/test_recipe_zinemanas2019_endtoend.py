"""The recipe of learned mel spectrograms, on synthetic sounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dcasekit import load
from dcasekit.models import MST, SB_CNN_SED, SMel
from dcasekit.recipes import zinemanas2019_endtoend as recipe
from dcasekit.results import Results
from dcasekit.scores import Scores


def always_on(results: Results) -> float:
    """F1 of the answer that everything sounds all the time."""
    scores = tuple(Scores(np.ones_like(one.values), one.edges, one.labels) for one in results.scores)
    return replace(results, scores=scores).numbers["f1/micro"]


def test_all_three_systems_learn_and_stand_beside_published_figures(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    assert report.title == "End-to-end detection on URBAN-SED, on synthetic sounds"
    cnn, smel, mst = report.sections
    assert [section.name for section in report.sections] == ["CNN", "SMel + CNN", "MST + CNN"]
    chance = always_on(cnn.pooled)
    assert cnn.measures["f1/micro"] > chance + 0.1
    assert smel.measures["f1/micro"] > chance + 0.1
    assert mst.measures["f1/micro"] > chance
    assert {system for section in report.sections for system in section.published} == set(recipe.PUBLISHED)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "50.2 %" in page or "49.8 %" in page  # MST's
    start = SMel(sr=recipe.QUICK.sr).build((40, 512), [str(band) for band in range(40)]).weights()["conv.weight"]
    pair = load(tmp_path / "models" / "smel_cnn")
    moved = np.abs(pair.weights()["first.conv.weight"] - start).max()
    assert 0 < moved < 1e-2, "SMel's filters learn, slowly"


def test_networks_have_the_published_sizes():
    config = recipe.Config()
    bands = [str(band) for band in range(config.bands)]
    cnn = SB_CNN_SED(filters=config.filters, n_dense=(config.filters,) * 2, input_norm=True).build(
        (44, 128), "abcdefghij", task="detection"
    )
    assert sum(array.size for name, array in cnn.weights().items() if "num_batches" not in name) == 2_481_162
    assert SMel(sr=config.sr).build((44, config.audio_win), bands).cost()["parameters"] == 131_200
    mst = MST(audio_win=config.audio_win, audio_hop=config.audio_hop, filters=config.mst).build((44, config.audio_hop), bands)
    assert mst.cost()["parameters"] == 1_018_496


def test_mel_bands_are_learned_in_the_scale_that_networks_see():
    class Step:
        batches = {"": type("Part", (), {"y": torch.tensor([[-40.0, 0.0, torch.nan]])})}

        def answer(self, part):
            return torch.tensor([[-1.0, 0.5, 0.0]])

    assert float(recipe.learn_bands(Step(), low=-40.0, high=0.0)) == pytest.approx(0.125)


def test_bands_hold_the_published_figures():
    for name, (low, high) in recipe.BANDS.items():
        assert low < recipe.PUBLISHED[name.partition(":")[0]].value < high
