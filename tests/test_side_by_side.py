"""A network with several inputs: features side by side, which it takes apart; trained, evaluated, saved and asked about files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dcasekit import DataGenerator, Scaler, load, testing
from dcasekit.containers.torch_model import TorchModel
from dcasekit.errors import FeatureError, ModelError
from dcasekit.features import MFCC, FeatureExtractor, Mel, MelSpectrogram, RawAudio, SideBySide

COMMON = {"sr": 8000, "audio_hop": 200, "sequence_time": 0.5}
MELS = MelSpectrogram(**COMMON, audio_win=256, mel=Mel(bands=8))
BOTH = SideBySide(parts={"mels": MELS, "samples": RawAudio(**COMMON)}, **COMMON)


class TwoInputs(nn.Module):
    """A layer for each input; their answers are added up."""

    def __init__(self, front_end, labels):
        super().__init__()
        self.front_end, sizes = front_end, {"mels": 8, "samples": 200}
        self.layers = nn.ModuleDict({name: nn.Linear(size, labels) for name, size in sizes.items()})

    def forward(self, x):
        return sum(self.layers[name](part).mean(1) for name, part in self.front_end.split(x).items())


def test_a_network_with_two_inputs_learns_is_saved_and_answers_files(tmp_path):
    dataset = testing.make_dataset("esc10", tmp_path / "esc10", clips=60, seconds=1.0, sr=8000)
    BOTH.extract(dataset)
    split = dataset.split("fold1")
    train, validation, test = (
        DataGenerator(dataset, BOTH, folds=part, train=part is split.train) for part in (split.train, split.validation, split.test)
    )
    train.set_scaler(Scaler("standard").fit(train))
    model = TorchModel(TwoInputs(BOTH, 10))
    history = model.train(train, validation, epochs=30, learning_rate=0.03, device="cpu")
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    results = model.evaluate(test)
    assert results.numbers["accuracy"] > 0.5
    again = load(model.save(tmp_path / "model"), network=TwoInputs(BOTH, 10))
    assert again.features == BOTH
    files = again.predict(list(results.paths))
    for one, other in zip(files, results.scores, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)


def test_each_part_is_what_its_feature_gives_however_the_audio_comes():
    sound = np.random.default_rng(0).normal(size=8123).astype(np.float32)
    slow = replace(MFCC(), sr=8000, audio_hop=600, audio_win=600, mel=Mel(bands=10), coefficients=5)
    three = SideBySide(parts={"mels": MELS, "slow": slow, "samples": RawAudio(**COMMON)}, **COMMON)
    parts = three.split(three.compute(sound))
    frames = len(parts["mels"])
    np.testing.assert_array_equal(parts["mels"], MELS.compute(sound)[:frames])
    np.testing.assert_array_equal(parts["samples"], RawAudio(**COMMON).compute(sound)[:frames])
    np.testing.assert_array_equal(parts["slow"], slow.compute(sound).repeat(3, axis=0)[:frames])
    assert frames == 41
    blocks = np.concatenate(list(three.compute_blocks(np.array_split(sound, 7))))
    np.testing.assert_allclose(blocks, three.compute(sound), atol=1e-3)
    assert torch.equal(three.split(torch.ones(2, 3, three.dims))["slow"], torch.ones(2, 3, 5))


def test_its_settings_make_it_again_and_windows_change_no_number():
    assert SideBySide.from_settings(BOTH.settings) == BOTH
    longer = {name: part if name == "samples" else replace(MELS, sequence_time=3.0) for name, part in BOTH.parts.items()}
    assert SideBySide(parts=longer, **COMMON).fingerprint == BOTH.fingerprint
    fewer = {**BOTH.parts, "mels": replace(MELS, mel=Mel(bands=4))}
    assert SideBySide(parts=fewer, **COMMON).fingerprint != BOTH.fingerprint


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, "parts must be features by name"),
        ({"mels": 3}, "a part is a feature"),
        ({"mels": {"class": "torch.nn:Linear"}}, "a part must be a feature"),
        ({"mels": replace(MELS, sr=16000)}, "part 'mels' has sr=16000"),
        ({"mels": replace(MELS, audio_hop=300)}, "audio_hop=200 or a multiple"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts, told):
    with pytest.raises(FeatureError, match=told):
        SideBySide(parts=parts, **COMMON)


class Own(RawAudio):
    """A feature that is not dcasekit's."""


def test_a_feature_of_ones_own_among_the_parts_is_foreign_code_when_it_is_loaded(tmp_path):
    both = SideBySide(parts={"mels": MELS, "samples": Own(**COMMON)}, **COMMON)
    assert isinstance(both, FeatureExtractor)
    model = TorchModel(TwoInputs(both, 2))
    model.build((20, 208), ["a", "b"], task="tagging")
    model.features = both
    model.save(tmp_path)
    with pytest.raises(ModelError, match="not part of dcasekit"):
        load(tmp_path, network=TwoInputs(both, 2))
    assert load(tmp_path, network=TwoInputs(both, 2), allow=[__name__]).features == both
