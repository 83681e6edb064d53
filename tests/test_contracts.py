"""Every leaf there is keeps the contract of its family, and the checks themselves find what breaks it."""

import json
import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dcasekit import audio, testing
from dcasekit.annotations import Event
from dcasekit.augmentations import Augmentation
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core import discover
from dcasekit.datasets import ESC50
from dcasekit.errors import DatasetError, FeatureError, ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.features._embedding import EmbeddingFeature
from dcasekit.models import MLP
from dcasekit.testing import ContractError
from dcasekit.testing import _datasets as checks

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", discover.names("datasets"))
def test_dataset(name, tmp_path):
    testing.check_dataset(testing.make_dataset(name, tmp_path / name, clips=60, seconds=0.2))


@pytest.mark.parametrize("task", ["tagging", "detection"])
def test_synthetic_sounds_in_its_other_tasks(tmp_path, task):
    kind = discover.load("datasets", "synthetic_sounds")
    dataset = kind(tmp_path / task, clips=60, seconds=1.0, sr=8000, task=task)
    dataset.download()
    checks._check_clips(dataset)
    checks._check_splits(dataset)


@dataclass(kw_only=True, eq=False)
class Embedder(TorchModelContainer):
    """The layers by which networks embed, in few numbers: published weights are large, and not there."""

    include_top: bool = True
    embedding_size: int = 0

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Network(torch.nn.Module):
            def __init__(self, size):
                super().__init__()
                self.embedding = torch.nn.Sequential(OrderedDict(fc2=torch.nn.Linear(dims, size), tanh=torch.nn.Tanh()))
                self.out = torch.nn.Linear(size, outputs)

            def forward(self, x):
                return self.out(self.embedding(x.mean(1)))

        return Network(self.embedding_size or (128 if self.include_top else 512))


@dataclass(kw_only=True, eq=False)
class WideEmbedder(Embedder):
    """One whose size no setting tells."""

    embedding_size: int = 1024


def make_feature(name, folder, **settings):
    """Make a feature; one that needs a network gets a small one, with weights."""
    feature = discover.load("features", name)(**settings)
    if not isinstance(feature, EmbeddingFeature):
        return feature
    shape = feature.front_end(np.zeros((1, feature.audio_win), np.float32)).shape[1:]
    network = WideEmbedder() if name == "yamnet_embedding" else Embedder(embedding_size=feature.dims)
    np.savez(folder / "weights.npz", **network.build(shape, tuple(map(str, range(feature._OUTPUTS)))).weights())
    np.savez(folder / "pca.npz", pca_eigen_vectors=np.eye(128), pca_means=np.zeros(128))
    (folder / "class_map.npz").write_text("index,mid,display_name\n")
    files = {file: folder / f"{file}.npz" for file in feature._FILES}
    return replace(feature, **files, network=f"{__name__}:{type(network).__name__}")


# Other settings of features that know one length of window and one rate alone.
EMBEDDINGS = {
    "vggish_embedding": {"audio_hop": 1600, "relu": True, "compress": True, "sequence_time": None},
    "yamnet_embedding": {"audio_hop": 1600, "output": "scores", "sequence_time": 0.5},
    "open_l3_embedding": {"audio_hop": 24000, "input_repr": "linear", "embedding_size": 6144, "center": False, "sequence_time": None},
}


@pytest.mark.parametrize("name", discover.names("features"))
def test_feature(name, tmp_path):
    settings = {"audio_hop": 12000} if name == "open_l3_embedding" else {}  # at the published hop it would take many seconds
    testing.check_feature(make_feature(name, tmp_path, **settings))


@pytest.mark.parametrize("name", discover.names("features"))
def test_feature_with_other_settings(name, tmp_path):
    kind = discover.load("features", name)
    settings = {"mel": Mel(bands=10)} if "mel" in kind.__dataclass_fields__ else {}
    if "coefficients" in kind.__dataclass_fields__:
        settings["coefficients"] = 5
    settings |= EMBEDDINGS.get(name, {"sr": 8000, "audio_win": 200, "audio_hop": 80, "sequence_time": None})
    testing.check_feature(make_feature(name, tmp_path, **settings))


# Models whose pools need other windows (frames, dims) than the usual ones, or that would cost many seconds.
MODEL_SHAPES = {
    "crnn2018": (16, 64),
    "crnn2023a": (16, 128),
    "crnn2023": (16, 20),
    "scene_cnn": (32, 20),
    "dcase_net": (40, 32),
    "vggish": (8, 8),
    "open_l3": (8, 8),
}
MODEL_SHAPES |= {"concatenated": (40, 256), "mst": (40, 64), "smel": (8, 256)}
MODEL_SHAPES |= {"keras.a_crnn": (8, 40), "keras.vggish": (8, 8), "keras.concatenated": (40, 256)}
MODEL_SETTINGS = {
    "dcase_net": {"filters": 8},
    "a_crnn": {"filters": 16},
    "keras.a_crnn": {"filters": 16, "dropout": 0.1},
    "concatenated": {"first": {"class": "smel"}, "second": {"class": "sb_cnn_sed", "settings": {"filters": 8}}, "bands": 32},
    "mst": {"first": {"class": "mst", "settings": {"audio_hop": 64}}, "second": {"class": "mlp"}, "bands": 12},
    "smel": {"first": {"class": "smel"}, "second": {"class": "mlp"}, "bands": 12, "batch_norm": True},
}
MODEL_SETTINGS["keras.concatenated"] = MODEL_SETTINGS["concatenated"] | {"batch_norm": True}
# A front end answers levels by itself, and labels as the first of two in series.
MODEL_KINDS = {"mst": "concatenated", "smel": "concatenated"}
FRONT_ENDS = {"mst": ({"filters": (8, 8)}, 1e-2), "smel": ({}, 1e-6)}  # settings and learning rate


@pytest.mark.parametrize("name", sorted(set(discover.names("models")) - {f"keras.{name}" for name in FRONT_ENDS}))
def test_model(name):
    model = discover.load("models", MODEL_KINDS.get(name, name))(**MODEL_SETTINGS.get(name, {}))
    testing.check_model(model, shape=MODEL_SHAPES.get(name, (64, 40)), new_process=name == "mlp")


@pytest.mark.parametrize("prefix", ["", "keras."])
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_end(prefix, name):
    settings, rate = FRONT_ENDS[name]
    model = discover.load("models", prefix + name)(**settings)
    testing.check_model(model, shape=MODEL_SHAPES[name], new_process=False, loss="mse", learning_rate=rate)


# ---- augmentations


def make_augmentation(name, folder):
    """Make an augmentation of the first settings that it knows."""
    audio.write(folder / "noise.wav", np.random.default_rng(1).normal(0, 0.1, 5000), 8000)
    windows = ({"seconds": 0.9}, {"min_hz": 500, "max_hz": 1000}, {"folder": folder, "min_snr": 0, "max_snr": 3})
    for settings in ({}, {"n_semitones": -1}, {"factor": 1.1}, {"snr": 20}, {"min_db": -3, "max_db": 3}, *windows):
        try:
            return Augmentation.from_dict({"type": name, **settings})
        except DatasetError:
            continue
    return pytest.fail(f"no settings are known here for {name}; add some above")


@pytest.mark.parametrize("name", discover.names("augmentations"))
def test_augmentation(name, tmp_path):
    augmentation = make_augmentation(name, tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    before, events = noise.copy(), (Event(0.2, 0.5, "a"), Event(0.0, 1.0, "b", 0.5))
    params = json.loads(json.dumps(augmentation.draw(np.random.default_rng(1)), allow_nan=False))
    first, moved = augmentation.apply(noise, events, params, sr=8000)
    again, _ = augmentation.apply(noise, (), params, sr=8000)
    np.testing.assert_array_equal(first, again)  # the draw determines the result, and the labels do not change what is heard
    np.testing.assert_array_equal(noise, before)
    assert first.dtype == np.float32
    assert first.ndim == 1
    assert np.isfinite(first).all()
    assert {(event.label, event.weight) for event in moved} == {("a", 1.0), ("b", 0.5)}
    assert all(event.offset <= len(first) / 8000 + 1e-3 for event in moved)
    assert augmentation.apply(noise, None, params, sr=8000)[1] is None  # unknown times stay unknown
    assert np.isfinite(augmentation.apply(np.zeros(8000, np.float32), (), params, sr=8000)[0]).all()
    settings = json.loads(json.dumps({"type": discover.address(type(augmentation)), **augmentation.settings}))
    assert Augmentation.from_dict(settings) == augmentation
    assert Augmentation.from_dict(settings).fingerprint == augmentation.fingerprint
    for wrong in (np.zeros((2, 10)), np.zeros(0), np.array([np.nan])):
        with pytest.raises(DatasetError):
            augmentation.apply(wrong, None, params, sr=8000)
    with pytest.raises(DatasetError, match="no_such_setting"):
        Augmentation.from_dict({**settings, "no_such_setting": 1})


# ---- the checks find what they are for


class Ids(ESC50):
    """A dataset whose ids hold the folder, which differs from machine to machine; the rest is that of ESC-50, as it should be."""

    def load(self) -> Iterable:
        return (replace(clip, id=str(clip.path)) for clip in super().load())


class Uncarded(ESC50):
    """Short."""


class Careless(ESC50):
    """A dataset that gives no clips where its label file is missing, instead of saying so and naming the remedy, as it should."""

    def load(self) -> Iterable:
        return super().load() if (self.root / "meta" / "esc50.csv").exists() else ()


class Leaking(ESC50):
    """A dataset without groups whose folds cut what belongs together, and which hides it: it says so of every clip of its folds."""

    def split(self, fold=None, *, validation=True):
        split = super().split(fold, validation=validation)
        return replace(split, train=split.train + split.test)


class Eager(ESC50):
    """A dataset that needs its files to be constructed, so that nobody can download them with it, as they should be able to."""

    def __init__(self, root, *, cache=None):
        super().__init__(root, cache=cache)
        _ = self.clips


class Blind(ESC50):
    """A dataset whose validate finds nothing, whatever is missing, unreadable or beside its files, which is not what it is for."""

    def validate(self, *, content=True, jobs=None, progress=False):  # noqa: ARG002
        return []


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Ids, "it is an absolute path"),
        (Uncarded, "docstring that is its card"),
        (Careless, "nothing was raised"),
        (Leaking, "no id lies in two parts"),
        (Eager, "esc50.csv does not exist"),
        (Blind, r"validate\(.*\) finds"),
    ],
)
def test_a_dataset_that_breaks_the_contract_is_found(tmp_path, kind, says):
    testing.make_dataset("esc50", tmp_path, clips=20, seconds=0.1, sr=8000)
    with pytest.raises((ContractError, DatasetError), match=says):
        testing.check_dataset(kind(tmp_path))


@dataclass(frozen=True, kw_only=True)
class Silent(MelSpectrogram):
    """Is not finite on silence."""

    log: None = None

    def compute_blocks(self, blocks):
        with np.errstate(divide="ignore"):
            yield from [np.log(block) for block in super().compute_blocks(blocks)]


@dataclass(frozen=True, kw_only=True)
class Blockwise(MelSpectrogram):
    """Subtracts the mean of each block, whatever its length."""

    def compute_blocks(self, blocks):
        for block in blocks:
            frames = np.concatenate(list(super().compute_blocks([np.resize(block, max(len(block), self.audio_win))])))
            yield frames - frames.mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Wide(MelSpectrogram):
    """Computes float64."""

    def compute_blocks(self, blocks):
        for block in super().compute_blocks(blocks):
            yield block.astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Forgetful(MelSpectrogram):
    """One fingerprint for every setting."""

    fingerprint = "forgetful"


@dataclass(frozen=True, kw_only=True)
class Sparse(MelSpectrogram):
    """Every second frame."""

    def compute_blocks(self, blocks):
        yield np.concatenate(list(super().compute_blocks(blocks)))[::2]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Silent, "Silent is not finite at frame 0"),
        (Blockwise, "where audio is cut into blocks|audio without|no samples"),
        (Wide, "finite float32; got float64"),
        (Forgetful, "another setting gives another fingerprint"),
        (Sparse, "one frame more"),
    ],
)
def test_a_feature_that_breaks_the_contract_is_found(kind, says):
    with pytest.raises((ContractError, FeatureError), match=says):
        testing.check_feature(kind(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=12)))


@dataclass(kw_only=True, eq=False)
class Unseeded(MLP):
    """Draws other weights each time."""

    def build(self, shape, labels, *, task="classification", seed=0):
        return super().build(shape, labels, task=task, seed=seed + int(torch.randint(10**6, ())))


@dataclass(kw_only=True, eq=False)
class Stubborn(MLP):
    """Learns nothing."""

    def fit(self, data, validation, training):  # noqa: ARG002
        return [{"epoch": n, "loss": 1.0} for n in range(training.epochs)]


@dataclass(kw_only=True, eq=False)
class Sloppy(MLP):
    """Takes any weights."""

    def set_weights(self, weights):
        pass


@dataclass(kw_only=True, eq=False)
class Logits(MLP):
    """Answers logits."""

    def answer(self, windows):
        with torch.inference_mode():
            return 10 * self.network(torch.from_numpy(windows)).numpy()


@dataclass(kw_only=True, eq=False)
class Comparing(MLP):
    """Answers each window by comparing it with those beside it."""

    def answer(self, windows):
        return super().answer(windows - windows.mean(axis=0))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Comparing, "which clips are answered together"),
        (Unseeded, "the same seed gives the same weights"),
        (Stubborn, "training lowers the loss"),
        (Sloppy, "answers the same, bit for bit"),
        (Logits, "lie in"),
    ],
)
def test_a_model_that_breaks_the_contract_is_found(kind, says, monkeypatch):
    monkeypatch.setattr(discover, "address", lambda thing: f"{thing.__module__}:{thing.__qualname__}")
    monkeypatch.setitem(sys.modules, kind.__module__, SimpleNamespace(**{kind.__name__: kind}))
    with pytest.raises(ContractError, match=says):
        testing.check_model(kind(hidden_layers_size=(8,), dropout_rates=(0.0,)), shape=(4, 6), new_process=False)


def test_a_model_of_ones_own_passes(monkeypatch):
    @dataclass(kw_only=True, eq=False)
    class Mine(TorchModelContainer):
        """A linear layer on the mean over time."""

        bias: bool = True

        def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
            class Network(torch.nn.Module):
                def __init__(self, bias):
                    super().__init__()
                    self.out = torch.nn.Linear(dims, outputs, bias=bias)

                def forward(self, x):
                    return self.out(x.mean(1))

            return Network(self.bias)

    Mine.__qualname__ = "Mine"
    monkeypatch.setitem(sys.modules, Mine.__module__, SimpleNamespace(Mine=Mine))
    testing.check_model(Mine(), new_process=False)


def test_a_model_with_an_init_of_its_own_is_refused_with_what_to_write():
    class Own(MLP):
        def __init__(self, units=8):
            super().__init__()
            self.units = units

    with pytest.raises(ContractError, match=r"loaded again.* its __init__ takes units\. Write @dataclass\(kw_only=True, eq=False\)"):
        testing.check_model(Own())

    class Bare(MLP):
        units: int = 8

    with pytest.raises(ModelError, match=r"unknown setting 'units'\. The class defines it, but not as a field: write @dataclass"):
        Bare(units=3)


# ---- making small trees


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(LookupError, match="Did you mean 'esc50'"):
        testing.make_dataset("esc5O", "nowhere")


def test_a_dataset_without_a_writer_says_how_to_add_one(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dcasekit.testing._trees.esc50", None)
    with pytest.raises(DatasetError, match=r"no writer of small ESC50 trees; add .*_trees/esc50\.py with a function make"):
        testing.make_dataset("esc50", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_contract_error_is_an_assertion():
    assert issubclass(ContractError, AssertionError)
    assert not issubclass(ModelError, AssertionError)
