"""The recipe of A-CRNN on TUT Sound Events 2017, on synthetic sounds, and what its public code says of the real ones."""

import os
from dataclasses import replace

import numpy as np
import pytest

from dcasekit.features import MelSpectrogram
from dcasekit.models.a_crnn import A_CRNN
from dcasekit.recipes import adavanne2017_acrnn as recipe


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Train where coverage reaches."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def test_it_runs_both_ways_and_is_better_than_saying_that_everything_sounds(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    assert [section.name for section in report.sections] == list(recipe.CHOICES.values())
    for section in report.sections:
        everywhere = np.mean([len({event.label for event in events}) / 6 for events in section.pooled.events.values()])
        assert section.measures["segment_f1"] > 2 * everywhere / (1 + everywhere) + 0.1
        assert section.measures["segment_error_rate"] < 0.9  # 1: nothing is found
        assert section.measures["segment_f1"] == pytest.approx(section.spread("f1/micro")[0])
    other, tested = report.sections
    assert {name: (size.train, size.validation) for name, size in other.sizes.items()} == {"fold1": (40, 20)}
    assert {name: (size.train, size.validation) for name, size in tested.sizes.items()} == {"fold1": (60, 0)}
    best = [min(record["val_error_rate"] for record in section.histories["fold1"]) for section in report.sections]
    assert tested.measures["segment_error_rate"] == pytest.approx(best[1]), "published: the best epoch of the tested fold"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.title == "TUT Sound Events 2017 with a CRNN, on synthetic sounds"
    assert "the figures are too good" in page
    assert "segment-based F1" in page


def test_the_published_network_and_steps():
    config = recipe.Config()
    front = MelSpectrogram.preset("a_crnn")
    assert front.sequence_frames == config.frames == replace(front, sequence_time=config.frames * 1024 / 44100).sequence_frames
    assert config.patience == config.epochs // 4 + 1  # it stops when more than so many are without gain
    model = A_CRNN(bidirectional=True, filters=config.filters, dropout=config.dropout).build((256, 40), [*"abcdef"], task="detection")
    # Convolutions, their normalisation, two layers of gates in both directions, two dense layers.
    convolutions = 128 * 9 + 128 + 2 * (128 * 128 * 9 + 128) + 3 * 2 * 128
    gates = sum(2 * 3 * 32 * (dims + 32 + 1) for dims in (2 * 128, 32))
    assert model.cost()["parameters"] == convolutions + gates + (32 * 32 + 32) + (32 * 6 + 6) == 366_438
    assert {key.partition(": ")[0] for key in recipe.BANDS} == {recipe.CHOICES["tested"]}
