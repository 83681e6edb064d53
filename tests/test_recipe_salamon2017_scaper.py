"""The recipe of the Scaper paper's network, on synthetic sounds, and what its public code says of the real ones."""

import math
from dataclasses import replace

import numpy as np

from dcasekit.containers.base import load
from dcasekit.core.units import FloatArray
from dcasekit.features import MelSpectrogram
from dcasekit.generator import DataGenerator
from dcasekit.models.sb_cnn_sed import SB_CNN_SED
from dcasekit.recipes import salamon2017_scaper as recipe
from dcasekit.testing import make_dataset


def test_it_runs_and_is_better_than_saying_that_everything_sounds(tmp_path, run_recipe):
    report = run_recipe(recipe, recipe.QUICK, {}, tmp_path)
    [section] = report.sections
    everywhere = np.mean([len({event.label for event in events}) / 10 for events in section.pooled.events.values()])
    always = 2 * everywhere / (1 + everywhere)
    assert section.measures["segment_f1"] > always + 0.1
    assert section.measures["segment_error_rate"] < 0.9  # 1: nothing is found
    low, high = section.intervals["segment_f1"]
    assert low < section.measures["segment_f1"] < high
    assert report.title == "URBAN-SED with the CNN of the Scaper paper, on synthetic sounds"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "segment-based F1" in page
    assert "56.9 %" in page
    assert load(tmp_path / "model").features.sequence_hop == 50, "files are answered second by second"


def test_the_published_network_and_steps():
    config = recipe.Config()
    model = SB_CNN_SED(filters=config.filters, n_dense=config.dense).build((50, config.bands), [*"abcdefghij"], task="detection")
    assert model.cost()["parameters"] == 719_690
    front = MelSpectrogram.preset("sb_cnn_sed")
    assert (front.get_shape(10.0), front.mel.bands) == ((19, 50, 128), config.bands)
    assert replace(front, sequence_hop_time=1.0).get_shape(10.0)[0] == 10  # 20,000 windows of 2,000 soundscapes
    assert math.ceil(6000 * 19 / config.batch_size) == 1782


def test_a_window_is_labelled_by_all_of_its_second(tmp_path, monkeypatch):
    seen: list[FloatArray] = []
    learn = recipe.learn_whole_windows

    def look(step):
        [part] = step.batches.values()
        seen.append((part.y.nan_to_num(0.0).amax(1).numpy(), list(part.clips)))
        return learn(step)

    dataset = make_dataset("urban_sed", tmp_path, clips=9, seconds=1.5, sr=44100)
    features = MelSpectrogram.preset("sb_cnn_sed")
    features.extract(dataset)
    data = DataGenerator(dataset, features, folds=dataset.clips, target="frame")
    monkeypatch.setattr(recipe, "learn_whole_windows", look)
    SB_CNN_SED(filters=4, n_dense=(4,)).train(data, epochs=1, objective=recipe.learn_whole_windows, device="cpu")
    found = {(clip, tuple(row)) for rows, clips in seen for row, clip in zip(rows.tolist(), clips, strict=True)}
    expected = {
        (clip.id, tuple(float(any(e.label == name and e.onset < at + 1 and e.offset > at for e in clip.events)) for name in dataset.labels))
        for clip in dataset.clips
        for at in (0.0, 0.5)
    }
    assert found == expected
