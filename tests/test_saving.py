"""Models on disk: a folder runs no code of its own, is checked whole before anything is made of it, and what is saved can be loaded."""

import copy
import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from torch import nn

import dcasekit
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import ModelError
from dcasekit.models import MLP, CompactCNN, SMel

SHAPE, LABELS = (12, 8), ("a", "b")


@dataclass(kw_only=True, eq=False)
class Own(TorchModelContainer):
    """A model of one's own."""

    units: int = 4

    def network_for(self, frames, dims, outputs, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(frames * dims, self.units), nn.ReLU(), nn.Linear(self.units, outputs))


@pytest.fixture
def folder(tmp_path):
    model = MLP(hidden_layers_size=(4,), dropout_rates=(0.0,)).build(SHAPE, LABELS)
    return model.save(tmp_path / "model")


def tamper(folder, **changes):
    """Change what model.json says; a dotted name reaches inside."""
    about = json.loads((folder / "model.json").read_text())
    for name, value in changes.items():
        inner, keys = about, name.split("__")
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
    (folder / "model.json").write_text(json.dumps(about))


@pytest.mark.parametrize("path", ["class", "features", "settings"])
def test_code_beside_a_model_is_not_run(folder, tmp_path, monkeypatch, path):
    """As the command line does, the folder one works in is on the path."""
    (tmp_path / "net_helper.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Net: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    changes = {
        "class": {"class": "net_helper:Net"},
        "features": {"features": {"class": "vggish_embedding", "settings": {"network": "net_helper:Net"}}},
        "settings": {"settings__l2_reg": "net_helper:Net"},
    }[path]
    tamper(folder, **changes)
    with pytest.raises(ModelError, match=r"names net_helper:Net, which is not part of dcasekit: loading it would run its code.*allow=\["):
        dcasekit.load(folder)
    assert not (tmp_path / "ran").exists()
    assert "net_helper" not in sys.modules


@pytest.mark.parametrize("address", ["builtins:dict", "os:system", "antigravity:x", "this:s", "dcasekit.__main__:main"])
def test_modules_that_act_on_import_are_not_imported(folder, address):
    before = set(sys.modules)
    for changes in ({"class": address}, {"features": {"class": "mel_spectrogram", "settings": {"network": address}}}):
        tamper(folder, **changes)
        with pytest.raises(ModelError, match="not part of dcasekit"):
            dcasekit.load(folder)
    assert not {"antigravity", "this", "dcasekit.__main__"} & (set(sys.modules) - before)


def test_a_class_of_one_s_own_loads_when_it_is_passed_or_its_module_named(tmp_path):
    model = Own().build(SHAPE, LABELS)
    saved, x = model.save(tmp_path), np.ones((1, *SHAPE), np.float32)
    with pytest.raises(ModelError, match="names .*:Own, which is not part of dcasekit"):
        dcasekit.load(saved)
    for allow in ([Own], [Own.__module__], [MLP, Own]):
        np.testing.assert_array_equal(dcasekit.load(saved, allow=allow).answer(x), model.answer(x))
    with pytest.raises(ModelError, match="not part of dcasekit"):
        dcasekit.load(saved, allow=["mylab.nets", MLP])


WRONG = [
    *({"labels": value} for value in ([], "ab", [1, 2], ["a", "a"], None, {"a": 1})),
    *({"shape": value} for value in ([12], [12, 8, 1], [0, 8], [12.0, 8], [True, 8], "12x8", [10**9, 8], None)),
    *({"task": value} for value in ("regression", 1, None)),
    *({"settings": value} for value in ([], "x", None)),
    *({"settings__hidden_layers_size": value} for value in ([10**8], [10**6, 10**6], ["4"], 4, [-4], [4.5], None, {"a": 1})),
    *({"settings__dropout_rates": value} for value in ([float("nan")], [float("inf")], ["0"], 7)),
    *({"scaler": value} for value in ([], {"normalizer": "standard"}, {"normalizer": "other", "count": 1}, "standard", 3)),
    *({"features": value} for value in ([], {}, {"class": "mel_spectrogram"}, {"class": 3, "settings": {}})),
    {"features": {"class": "x", "settings": {}}},
    *({"features": {"class": "mel_spectrogram", "settings": value}} for value in ({"sr": 10**12}, {"sr": "a"}, {"nothing": 1}, [])),
    *({"history": value} for value in ({}, [1], "x", None)),
    *({"training": value} for value in ([], None)),
    *({"weights_sha256": value} for value in ("", "0" * 64, "../../x", 3, None)),
    {"class": ""}, {"class": None}, {"class": "mel_spectrogram"}, {"class": "../mlp"}, {"class": 5}, {"versions": []},
]  # fmt: skip


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: json.dumps(changes)[:60])
def test_a_model_file_that_was_tampered_with_is_refused(folder, changes):
    tamper(folder, **changes)
    with pytest.raises(ModelError) as caught:
        dcasekit.load(folder)
    assert str(folder) in str(caught.value)


def test_sizes_are_compared_before_memory_is_taken(folder, monkeypatch):
    """A hundred gigabytes of weights that the file does not hold are not made."""
    tamper(folder, settings__hidden_layers_size=[150_000, 150_000], settings__dropout_rates=[0.0, 0.0])
    monkeypatch.setattr(MLP, "build", lambda *_, **__: pytest.fail("the network was made"))
    with pytest.raises(ModelError, match="describes another network than that of its weights"):
        dcasekit.load(folder)


@pytest.mark.parametrize("model", [MLP(), CompactCNN(), SMel()], ids=lambda model: type(model).__name__)
def test_sizes_are_told_without_the_memory(model):
    shape = (64, 128)
    told = model._allocate(shape, LABELS, task="classification")
    assert told == {name: array.shape for name, array in copy.copy(model).build(shape, LABELS).weights().items()}


def test_settings_that_are_numbers_of_numpy_are_saved_as_plain_ones(tmp_path):
    model = MLP(hidden_layers_size=(np.int64(4),), dropout_rates=(np.float32(0.5),), l2_reg=np.float64(0.0)).build(SHAPE, LABELS)
    assert dcasekit.load(model.save(tmp_path)).settings == {
        "hidden_layers_size": [4],
        "dropout_rates": [0.5],
        "l2_reg": 0.0,
        "pooling": "mean",
    }


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    class Plain(TorchModelContainer):
        def __init__(self, width=3):
            super().__init__()
            self.width = width

        def network_for(self, frames, dims, outputs, task):
            return nn.Sequential(nn.Flatten(), nn.Linear(frames * dims, outputs))

    with pytest.raises((ModelError, TypeError), match="dataclass|field"):
        Plain().build(SHAPE, LABELS).save(tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
