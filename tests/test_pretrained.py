"""DCASE-models' own trained SB-CNN on ESC-10: its file is read, and on real clips of fold 1 it is right as often as there.

The file is not ours to ship. Whoever has it names its folder (``trained_models/SB_CNN/ESC10/fold1`` of that repository): the test then says
whether 63.75 % come out, 51 of 80 clips. Everything but the figure runs on a file of the same layout with random weights.
"""

import os
import pickle
import pickletools
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dcasekit import DataGenerator, testing
from dcasekit.datasets import ESC10
from dcasekit.features import FeatureExtractor, Mel
from dcasekit.models import SB_CNN

PRETRAINED, DATA = os.environ.get("DCASEKIT_PRETRAINED"), os.environ.get("DCASEKIT_DATA")

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.usefixtures("one_thread")


def read_floats(path):
    """Numbers in a pickle, which is taken apart and never loaded: those written as floats, and bytes of NumPy's."""
    found = []
    for opcode, value, _ in pickletools.genops(path.read_bytes()):
        if opcode.name == "BINFLOAT":
            found.append(value)
        elif isinstance(value, bytes) and len(value) in (4, 8):
            found += struct.unpack("<f" if len(value) == 4 else "<d", value)
        elif opcode.name in ("BINUNICODE", "SHORT_BINUNICODE") and len(value) in (4, 8) and not value.isidentifier():
            found += struct.unpack("<f" if len(value) == 4 else "<d", value.encode("latin-1"))  # NumPy's bytes, as protocol 2 has them
    return found


def bands_of(weights):
    """Mel bands that the network was trained on, told by what its dense layer reads: 48 maps of 2 frames and some bands."""
    with h5py.File(weights) as file:
        found = []
        file.get("model_weights", file).visititems(
            lambda name, item: found.append(item.shape) if "dense1" in name and "kernel" in name else None
        )
    used = found[0][0] // 48 // 2
    return next(bands for bands in (128, 64, 40) if ((bands - 4) // 2 - 4) // 2 - 4 == used)


def accuracy(folder, dataset):
    """Share of right clips of fold 1, in windows of 64 frames of 31 ms, each 1 s, scaled as published or by the other folds."""
    weights = next(folder.glob("*.hdf5"))
    mel = Mel(bands=bands_of(weights), scale="htk", allow_empty=True)
    feature = FeatureExtractor.preset("dcase_models", sequence_time=2.0, sequence_hop_time=1.0, mel=mel)
    feature.extract(dataset, jobs=1)
    model = SB_CNN().build((feature.sequence_frames, feature.dims), dataset.labels).load_weights(weights)
    limits = read_floats(folder / "scaler.pickle") if (folder / "scaler.pickle").exists() else None
    if limits is None:
        limits = DataGenerator(dataset, feature, folds=[fold for fold in dataset.present_folds if fold != "fold1"]).get_data()[0]
    low, high = np.min(limits), np.max(limits)
    x, y = DataGenerator(dataset, feature, folds=["fold1"], train=False).get_data()
    answers = model.predict([2 * ((windows - low) / (high - low) - 0.5) for windows in x])
    right = [scores.values.sum(axis=0).argmax() == truth[0].argmax() for scores, truth in zip(answers, y, strict=True)]
    return len(right), float(np.mean(right))


def write_file(path, *, bands):
    """Random weights in the layout of that library's Keras 2.2: a group per layer, empty ones among them."""
    rng, used = np.random.default_rng(0), ((bands - 4) // 2 - 4) // 2 - 4
    layers = {"input_1": {}, "lambda": {}}
    for number, (before, after) in enumerate(pairwise((1, 24, 48, 48)), start=1):
        layers[f"conv{number}"] = {"kernel": (5, 5, before, after), "bias": (after,)}
        layers[f"batchnorm{number}"] = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (after,))
    layers |= {"flatten": {}, "dense1": {"kernel": (2 * used * 48, 64), "bias": (64,)}, "out": {"kernel": (64, 10), "bias": (10,)}}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, roles in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{role}:0".encode() for role in roles]
            for role, shape in roles.items():
                group[f"{layer}/{role}:0"] = np.abs(rng.normal(0, 0.1, shape)) if "variance" in role else rng.normal(0, 0.1, shape)


@pytest.mark.parametrize("bands", [64, 128])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_of_that_layout_answers_clips(tmp_path, bands, protocol):
    dataset = testing.make_dataset("esc10", tmp_path / "esc", clips=20, seconds=2.5, sr=22050)
    write_file(tmp_path / "best_weights.hdf5", bands=bands)
    limits = [np.float32(-71.5), np.float32(38.25)] if protocol == 4 else [-71.5, 38.25]
    (tmp_path / "scaler.pickle").write_bytes(pickle.dumps(["minmax", limits], protocol=protocol))
    assert sorted(set(read_floats(tmp_path / "scaler.pickle"))) == [-71.5, 38.25]
    assert bands_of(tmp_path / "best_weights.hdf5") == bands
    clips, share = accuracy(tmp_path, dataset)
    assert clips == len(dataset.select(["fold1"]))
    assert 0 <= share <= 1


@pytest.mark.realdata
@pytest.mark.skipif(
    not (DATA and PRETRAINED),
    reason="set DCASEKIT_PRETRAINED to DCASE-models' folder trained_models/SB_CNN/ESC10/fold1 and DCASEKIT_DATA to one that holds ESC-10/",
)
def test_the_trained_network_is_right_of_as_many_real_clips_as_published(tmp_path):
    clips, share = accuracy(Path(PRETRAINED), ESC10(Path(DATA) / "ESC-10", cache=tmp_path))
    assert clips == 80
    assert share == pytest.approx(0.6375, abs=0.013)  # a clip more or less: another resampler, another padding
