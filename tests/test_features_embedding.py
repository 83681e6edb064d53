"""VGGishEmbedding and OpenL3Embedding: the front ends against NumPy, the networks against PyTorch's functions, weights found or asked for.

No published weights can be fetched where the tests run; files are random numbers in the published layouts.
"""

import hashlib
import json
import logging
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch.nn import functional

from dcasekit import audio, testing
from dcasekit.download import RemoteFile
from dcasekit.errors import ChecksumError, FeatureError, MissingExtraError
from dcasekit.features import OpenL3Embedding, VGGishEmbedding, _embedding, open_l3_embedding, vggish_embedding

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of published weights: empty."""
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def noise(seconds, sr, seed=0):
    """A noise whose level and colour change."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * sr)
    swell = 10 ** np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.uniform(-4, 0, 9))
    return (swell * np.convolve(rng.normal(0, 0.3, samples + 2), [1, -0.9, 0.2], "valid")).astype(np.float32)


# ---- front ends, from their equations in float64


def magnitudes(windows, length, n_fft, hop):
    """(windows, samples) -> (windows, frames, bins); the window's first point is the frame's."""
    frames = np.lib.stride_tricks.sliding_window_view(windows.astype(np.float64), length, axis=1)[:, ::hop]
    return np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)), n_fft))


def google_bands():
    """Triangles on the mel scale, one at a time; no band takes the constant part."""
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = [mel(125) + i * (mel(7500) - mel(125)) / 65 for i in range(66)]
    bands = np.zeros((257, 64))
    for bin_ in range(1, 257):
        at = mel(bin_ * 16000 / 512)
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            bands[bin_, band] = max(0, min((at - low) / (centre - low), (high - at) / (high - centre)))
    return bands


def slaney_mel(hertz):
    return np.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))


def area_bands(mel, bands):
    """Triangles of one area per Hz, straight in Hz, at 48 kHz; their corners are found by bisection."""
    wanted = np.linspace(mel(0.0), mel(24000.0), bands + 2)[1:-1]
    inner = [brentq(lambda hertz, corner=corner: mel(hertz) - corner, 0, 24000, xtol=1e-11) for corner in wanted]
    corners = [0.0, *inner, 24000.0]
    bins = np.arange(1025) * 48000 / 2048
    found = np.zeros((1025, bands))
    for band, (low, centre, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        found[:, band] = np.interp(bins, [low, centre, high], [0, 2 / (high - low), 0], left=0, right=0)
    return found


def below_maximum(values):
    decibels = 10 * np.log10(np.maximum(values, 1e-10))
    return np.maximum(decibels - decibels.max(axis=(1, 2), keepdims=True), -80)


def test_the_front_end_of_vggish_is_googles():
    windows = noise(3 * 0.975, 16000).reshape(3, 15600)
    expected = np.log(magnitudes(windows, 400, 512, 160) @ google_bands() + 0.01)
    assert expected.shape == (3, 96, 64)
    np.testing.assert_allclose(VGGishEmbedding().front_end(windows), expected, atol=1e-4)


@pytest.mark.parametrize("bands", [128, 256])
@pytest.mark.parametrize("version", ["v0.3", "v0.4"])
def test_the_front_end_of_openl3_is_either_of_kapres(version, bands):
    windows = noise(2, 48000).reshape(2, 48000)
    if version == "v0.3":
        padded = np.pad(windows, ((0, 0), (982, 982)))
        values = np.sqrt(magnitudes(padded, 2048, 2048, 242) ** 2 @ area_bands(lambda hertz: 2595 * np.log10(1 + hertz / 700), bands))
    else:
        padded = np.pad(windows, ((0, 0), (0, 1964)))
        values = magnitudes(padded, 2048, 2048, 242) @ area_bands(slaney_mel, bands)
    assert values.shape == (2, 199, bands)
    found = OpenL3Embedding(input_repr=f"mel{bands}", version=version).front_end(windows)
    np.testing.assert_allclose(found, below_maximum(values), atol=1e-4)


@pytest.mark.parametrize("version", ["v0.3", "v0.4"])
def test_the_linear_front_end_of_openl3_pads_nothing(version):
    windows = noise(2, 48000).reshape(2, 48000)
    expected = below_maximum(magnitudes(windows, 512, 512, 242))
    assert expected.shape == (2, 197, 257)
    np.testing.assert_allclose(OpenL3Embedding(input_repr="linear", version=version).front_end(windows), expected, atol=1e-4)


def test_silence_is_as_published():
    np.testing.assert_allclose(VGGishEmbedding().front_end(np.zeros((1, 15600))), np.log(0.01), atol=1e-6)
    assert (OpenL3Embedding().front_end(np.zeros((1, 48000))) == 0).all()  # nothing is below the window's maximum


def test_bands_that_are_empty_as_published_are_not_warned_of(caplog):
    open_l3_embedding._basis.cache_clear()
    OpenL3Embedding().front_end(np.zeros((1, 48000)))
    assert caplog.text == ""
    assert logging.getLogger("dcasekit.features._mel").level == logging.NOTSET


# ---- windows


class Cut(VGGishEmbedding):
    """Its embedding of a window is its samples."""

    def front_end(self, windows):
        return np.array(windows)

    def _embed(self, inputs):
        return inputs


@given(st.integers(1, 70_000), st.sampled_from([3000, 7777, 15360, 15600, 20_000]), st.lists(st.integers(0, 70_000), max_size=6))
def test_frames_are_the_whole_windows_of_a_recording_wherever_blocks_end(samples, hop, cuts):
    recording = np.arange(1, samples + 1, dtype=np.float32)
    feature = Cut(audio_hop=hop, sequence_time=None)
    expected = [recording[first : first + 15600] for first in range(0, max(1, samples - 15599), hop)]
    expected[0] = np.pad(expected[0], (0, 15600 - len(expected[0])))
    for blocks in ([recording], np.split(recording, sorted(min(cut, samples) for cut in cuts))):
        np.testing.assert_array_equal(np.concatenate(list(feature.compute_blocks(blocks))), expected)
    assert feature.get_shape(samples / 16000) == (1, len(expected), 128)


class CutL3(OpenL3Embedding):
    front_end, _embed = Cut.front_end, Cut._embed


@given(st.integers(1, 150_000), st.sampled_from([4800, 30_001, 48_000, 60_000]), st.booleans())
def test_openl3_fills_both_ends_with_zeros_and_hears_every_sample(samples, hop, center):
    recording = np.arange(1, samples + 1, dtype=np.float32)
    feature = CutL3(audio_hop=hop, center=center, sequence_time=None)
    frames = np.concatenate(list(feature.compute_blocks([recording])))
    filled = np.pad(recording, (24000 * center, 200_000))
    np.testing.assert_array_equal(frames, [filled[i * hop :][:48000] for i in range(len(frames))])
    last = (len(frames) - 1) * hop + 48000 - 24000 * center  # the first sample of the recording that no frame has heard
    assert last >= samples
    assert len(frames) == 1 or last - hop < samples
    begun = -(-samples // hop)  # frames that begin before the end; a centred one behind it is left out
    assert feature.get_shape(samples / 48000) == (1, min(len(frames), begun), 512)


def test_a_long_recording_is_never_whole_in_memory():
    seen = []

    class Watched(Cut):
        def _embed(self, inputs):
            seen.append(len(seen) and taken[0])
            return inputs[:, :1]

    taken = [0]

    def blocks():
        for _ in range(100):
            taken[0] += 1
            yield np.ones(16000, np.float32)

    assert sum(map(len, Watched().compute_blocks(blocks()))) == 104
    assert len(seen) == 13
    assert seen[1] == 16  # of 100 seconds those that two batches of eight windows need


# ---- networks


def torchvggish(seed=0):
    """Convolutions as torchvggish names them, and no top: that alone would be 270 MB."""
    rng, state, before = np.random.default_rng(seed), {}, 1
    for layer, filters in {0: 64, 3: 128, 6: 256, 8: 256, 11: 512, 13: 512}.items():
        kernel = rng.normal(0, (2 / (9 * before)) ** 0.5, (filters, before, 3, 3))
        state |= {f"features.{layer}.weight": torch.tensor(kernel).float(), f"features.{layer}.bias": torch.randn(filters) * 0.1}
        before = filters
    return state


def vggish(state, patches):
    maps = torch.from_numpy(patches)[:, None]
    for layer in (0, 3, 6, 8, 11, 13):
        maps = functional.relu(functional.conv2d(maps, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1))
        if layer not in (6, 11):
            maps = functional.max_pool2d(maps, 2)
    return maps.mean((2, 3)).numpy()


def keras_openl3(path, seed=0):
    """The authors' file of version 0.4: batch normalisation and convolution in turn; gives the arrays in that order."""
    rng, before, layers = np.random.default_rng(seed), 1, []

    def norm(channels):
        return {"gamma": rng.uniform(0.5, 1.5, channels), "beta": rng.normal(0, 0.1, channels),
                "moving_mean": rng.normal(0, 0.1, channels), "moving_variance": rng.uniform(0.5, 1.5, channels)}  # fmt: skip

    layers.append(("batch_normalization_1", norm(1)))
    for number, filters in enumerate((64, 64, 128, 128, 256, 256, 512, 512), 1):
        kernel = rng.normal(0, (2 / (9 * before)) ** 0.5, (3, 3, before, filters))
        name = f"conv2d_{number}" if number < 8 else "audio_embedding_layer"
        layers.append((name, {"kernel": kernel, "bias": rng.normal(0, 0.1, filters)}))
        if number < 8:
            layers.append((f"batch_normalization_{number + 1}", norm(filters)))
        before = filters
    layers = [(name, {role: array.astype(np.float32) for role, array in arrays.items()}) for name, arrays in layers]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, arrays in layers:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{role}:0".encode() for role in arrays]
            for role, array in arrays.items():
                group[f"{name}/{role}:0"] = array
    return [{role: torch.from_numpy(array) for role, array in arrays.items()} for _, arrays in layers]


def openl3(layers, levels, pool):
    maps = torch.from_numpy(levels).transpose(1, 2)[:, None]  # (windows, 1, bands, frames)
    convolutions = 0
    for index, arrays in enumerate(layers):
        if "kernel" in arrays:
            maps = functional.conv2d(maps, arrays["kernel"].permute(3, 2, 0, 1), arrays["bias"], padding=1)
            convolutions += 1
        else:
            mean, variance = arrays["moving_mean"], arrays["moving_variance"]
            maps = functional.batch_norm(maps, mean, variance, arrays["gamma"], arrays["beta"], eps=1e-3)
            if index:
                maps = functional.relu(maps)
                maps = functional.max_pool2d(maps, 2) if convolutions in (2, 4, 6) else maps
    return functional.max_pool2d(maps, pool, ceil_mode=True).permute(0, 2, 3, 1).flatten(1).numpy()


@pytest.fixture
def convolutions(tmp_path):
    """A file in torchvggish's layout."""
    state = torchvggish()
    torch.save(state, tmp_path / "vggish.pth")
    return tmp_path / "vggish.pth", state


def test_vggish_embeds_what_the_front_end_and_the_network_give(convolutions, caplog):
    path, state = convolutions
    recording = noise(3.2, 16000)
    feature = VGGishEmbedding(weights=path, include_top=False)
    found = feature.compute(recording)
    windows = np.stack([recording[i * 15360 :][:15600] for i in range(3)])
    np.testing.assert_allclose(found, vggish(state, feature.front_end(windows)), rtol=1e-4, atol=1e-4)
    assert found.dtype == np.float32
    assert found.std(axis=0).mean() > 0.01  # the windows differ
    assert caplog.text == ""


@pytest.mark.parametrize(("size", "pool", "seconds"), [(512, (32, 24), 1.3), (6144, (8, 8), 1.0)])
def test_openl3_embeds_what_the_front_end_and_the_network_give(tmp_path, size, pool, seconds, caplog):
    layers = keras_openl3(tmp_path / "openl3.h5")
    feature = OpenL3Embedding(weights=str(tmp_path / "openl3.h5"), embedding_size=size, center=False, audio_hop=24000)
    recording = noise(seconds, 48000)
    windows = np.pad(recording, (0, 9600))[np.arange(48000) + ([[0], [24000]] if seconds > 1 else [[0]])]
    found = feature.compute(recording)
    expected = openl3(layers, feature.front_end(windows), pool)
    assert found.shape == expected.shape == (len(windows), size)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert caplog.text == ""


# A network in a module of its own, as a user's.
MODULE = '''
from collections import OrderedDict
from dataclasses import dataclass
import torch
from dcasekit.containers.torch import TorchModelContainer

class Network(torch.nn.Module):
    def __init__(self, dims, outputs):
        super().__init__()
        self.embedding = torch.nn.Sequential(OrderedDict(fc2=torch.nn.Linear(dims, 128), relu=torch.nn.ReLU()))
        self.out = torch.nn.Linear(128, outputs)
    def forward(self, x):
        return self.out(self.embedding(x.mean(1)))

@dataclass(kw_only=True, eq=False)
class Small(TorchModelContainer):
    include_top: bool = True
    def network_for(self, frames, dims, outputs, task):
        return Network(dims, outputs)

@dataclass(kw_only=True, eq=False)
class Headed(Small):
    """Its embedding is elsewhere."""
    def network_for(self, frames, dims, outputs, task):
        network = Network(dims, outputs)
        network.embedding = torch.nn.Linear(dims, 128)
        return network

class Plain:
    """Takes no settings."""
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Settings of a feature with a small network and its file of weights."""
    (tmp_path / "small_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "small_networks", raising=False)
    _embedding._network.cache_clear()
    return {"network": "small_networks:Small", "weights": str(small_weights(tmp_path / "small.npz"))}


def small_weights(path, seed=0, size=128):
    rng = np.random.default_rng(seed)
    arrays = {"embedding.fc2.weight": rng.normal(0, 0.1, (size, 64)), "embedding.fc2.bias": rng.normal(0, 0.5, size)}
    np.savez(path, **{name: array.astype(np.float32) for name, array in arrays.items()})
    return path


def small_network(path, patches):
    arrays = np.load(path)
    return patches.mean(axis=1) @ arrays["embedding.fc2.weight"].T + arrays["embedding.fc2.bias"]


def test_the_embedding_is_not_rectified_unless_asked_for(small):
    recording = noise(2.1, 16000)
    feature = VGGishEmbedding(**small)
    windows = np.stack([recording[:15600], recording[15360:][:15600]])
    expected = small_network(small["weights"], feature.front_end(windows))
    np.testing.assert_allclose(feature.compute(recording), expected, rtol=1e-4, atol=1e-5)
    assert (expected < 0).any()
    np.testing.assert_allclose(VGGishEmbedding(**small, relu=True).compute(recording), np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relu", [False, True])
def test_compression_rotates_cuts_and_counts_in_whole_steps(small, tmp_path, relu):
    rng = np.random.default_rng(3)
    matrix, means = rng.normal(0, 0.3, (128, 128)), rng.normal(0, 0.2, (128, 1))
    np.savez(tmp_path / "pca.npz", pca_eigen_vectors=matrix, pca_means=means)
    recording = noise(4, 16000)
    raw = VGGishEmbedding(**small, relu=relu).compute(recording)
    found = VGGishEmbedding(**small, relu=relu, compress=True, pca=tmp_path / "pca.npz").compute(recording)
    expected = np.array([[min(max(value, -2), 2) for value in matrix @ (row - means[:, 0])] for row in raw])
    np.testing.assert_array_equal(found, ((expected + 2) * 63.75).astype(np.uint8))
    assert found.min() == 0
    assert found.max() == 255
    assert found.dtype == np.float32


# ---- weights


def test_without_weights_it_says_what_to_fetch_and_where_to_put_it(cache):
    says = (
        "VGGishEmbedding cannot find its weights: fetch https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
        "vggish-10086976.pth (288567937 bytes, sha256:10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b) to "
        f"{cache / 'vggish-10086976.pth'}, or call download() of this feature, or pass a file of yours as weights='...'"
    )
    with pytest.raises(FeatureError) as caught:
        VGGishEmbedding().compute(noise(1, 16000))
    assert str(caught.value) == says
    with pytest.raises(FeatureError, match=r"marl/openl3/raw/models/openl3_audio_linear_music-v0_4_0.h5.gz \(checksum not known\) to "):
        OpenL3Embedding(content="music", input_repr="linear").compute(noise(1, 48000))
    with pytest.raises(FeatureError, match="VGGishEmbedding cannot find weights='mine.pth'; leave weights out"):
        VGGishEmbedding(weights="mine.pth").compute(noise(1, 16000))


def test_a_missing_pca_is_missed_before_anything_is_computed(small):
    with pytest.raises(FeatureError, match="cannot find its pca: fetch https://storage.googleapis.com/audioset/vggish_pca_params.npz "):
        VGGishEmbedding(**small, compress=True).compute(noise(1, 16000))


def test_published_weights_lie_in_the_users_cache_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("DCASEKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FeatureError, match=str(tmp_path / ".cache" / "dcasekit" / "weights" / "vggish-10086976.pth")):
        VGGishEmbedding().compute(noise(1, 16000))


def test_shapes_and_known_fingerprints_need_no_weights():
    assert VGGishEmbedding().get_shape(5.0) == (5, 1, 128)
    assert VGGishEmbedding(include_top=False).dims == 512
    assert OpenL3Embedding(sequence_time=None).get_shape(10.0) == (1, 96, 512)
    assert VGGishEmbedding().fingerprint == VGGishEmbedding(sequence_time=1.92).fingerprint
    assert VGGishEmbedding().fingerprint != VGGishEmbedding(relu=True).fingerprint != VGGishEmbedding(compress=True).fingerprint
    OpenL3Embedding(content="music").fingerprint  # noqa: B018 - of this file somebody recorded the checksum
    with pytest.raises(FeatureError, match="openl3_audio_mel256_env"):
        _ = OpenL3Embedding().fingerprint


def test_the_fingerprint_holds_what_is_in_the_file_and_not_where_it_lies(small, tmp_path):
    copy = small_weights(tmp_path / "copy.npz")
    copy.write_bytes((tmp_path / "small.npz").read_bytes())
    other = small_weights(tmp_path / "other.npz", seed=1)
    features = [VGGishEmbedding(**small | {"weights": path}) for path in (tmp_path / "small.npz", str(copy), other)]
    assert features[0].fingerprint == features[1].fingerprint != features[2].fingerprint
    assert "small" not in json.dumps(features[0]._stored_settings["weights"])
    assert features[0].settings["weights"] == str(tmp_path / "small.npz")
    assert not np.allclose(features[0].compute(noise(1, 16000)), features[2].compute(noise(1, 16000)))


def test_a_file_that_changes_is_not_stored_under_its_old_fingerprint(small, tmp_path):
    feature = VGGishEmbedding(**small)
    before = feature.fingerprint
    small_weights(tmp_path / "small.npz", seed=1)
    with pytest.raises(FeatureError, match="small.npz has sha256:.*, expected sha256:.*has changed"):
        feature.compute(noise(1, 16000))
    assert VGGishEmbedding(**small).fingerprint != before
    VGGishEmbedding(**small).compute(noise(1, 16000))


def test_a_wrong_file_in_the_cache_is_refused(cache):
    cache.mkdir(parents=True)
    (cache / "vggish-10086976.pth").write_bytes(b"something else")
    with pytest.raises(FeatureError, match="expected sha256:10086976.*not the published file"):
        VGGishEmbedding().compute(noise(1, 16000))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network": "vggish", "include_top": False}, "network='vggish' with the settings .*small.npz does not fit this VGGish"),
        ({"network": "small_networks:Headed"}, "cannot be used: .*does not fit this Headed"),
        ({"network": "small_networks:Plain"}, "network='small_networks:Plain' with the settings {'include_top': True} cannot be used"),
        ({"include_top": False}, r"embedding of network='small_networks:Small' gives \(128,\) for a window, expected \(512,\)"),
        ({"sr": 22050}, "audio_win=15600 samples at sr=16000 Hz; got .*sr=22050"),
        ({"audio_win": 400}, "got audio_win=400"),
        ({"include_top": False, "compress": True}, "set include_top=True"),
    ],
)
def test_what_cannot_be_embedded_with_is_refused(small, settings, says):
    with pytest.raises(FeatureError, match=says):
        VGGishEmbedding(**small | settings).compute(noise(1, 16000))


def test_a_network_without_the_layer_is_refused(small, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"embedding.weight": rng.normal(size=(128, 64)), "embedding.bias": rng.normal(size=128)}
    np.savez(tmp_path / "headed.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    with pytest.raises(FeatureError, match="network='small_networks:Headed' has no layer 'embedding.fc2'"):
        VGGishEmbedding(weights=tmp_path / "headed.npz", network="small_networks:Headed").compute(noise(1, 16000))


@pytest.mark.parametrize("choice", [{"content": "speech"}, {"input_repr": "mel64"}, {"embedding_size": 128}, {"version": "v0.5"}])
def test_what_openl3_was_not_published_for_is_refused(choice):
    (name,) = choice
    with pytest.raises(FeatureError, match=f"{name} of OpenL3Embedding must be one of"):
        OpenL3Embedding(**choice)


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", None])
def test_a_pca_that_is_none_is_refused(small, tmp_path, content):
    if content is None:
        np.savez(tmp_path / "pca.npz", pca_eigen_vectors=np.eye(3), pca_means=np.zeros(3))
    else:
        (tmp_path / "pca.npz").write_bytes(content)
    with pytest.raises(FeatureError, match=r"pca.npz (is not an .npz file|holds a PCA of \(3, 3\))"):
        VGGishEmbedding(**small, compress=True, pca=tmp_path / "pca.npz").compute(noise(1, 16000))


def test_without_torch_it_says_what_to_install(small, monkeypatch):
    monkeypatch.delitem(sys.modules, "dcasekit.models.vggish", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"torch is not installed.*pip install 'dcasekit\[torch\]'"):
        VGGishEmbedding(weights=small["weights"]).compute(noise(1, 16000))


# ---- downloads


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that is served, and its address."""
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "served").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


def served(server, name, checksum=None):
    folder, address = server
    return RemoteFile(f"{address}/{name}", checksum or f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}")


def test_published_weights_are_fetched_once_and_only_when_asked_for(server, cache, small, monkeypatch):
    small_weights(server[0] / "weights.npz")
    np.savez(server[0] / "pca.npz", pca_eigen_vectors=np.eye(128), pca_means=np.zeros(128))
    monkeypatch.setattr(vggish_embedding, "_WEIGHTS", served(server, "weights.npz"))
    monkeypatch.setattr(vggish_embedding, "_PCA", served(server, "pca.npz"))
    feature = VGGishEmbedding(network=small["network"], compress=True)
    with pytest.raises(FeatureError, match="call download"):
        feature.compute(noise(1, 16000))
    assert not cache.exists()
    assert feature.download() == (cache / "weights.npz", cache / "pca.npz")
    (server[0] / "weights.npz").unlink()
    feature.download()
    assert feature.compute(noise(1, 16000)).shape == (1, 128)
    assert feature.fingerprint == VGGishEmbedding(network=small["network"], compress=True, weights=cache / "weights.npz").fingerprint
    assert VGGishEmbedding(**small).download() == ()


def test_weights_that_are_not_the_published_ones_are_refused(server, cache, monkeypatch):
    small_weights(server[0] / "weights.npz")
    monkeypatch.setattr(vggish_embedding, "_WEIGHTS", served(server, "weights.npz", checksum=f"sha256:{'0' * 64}"))
    with pytest.raises(ChecksumError):
        VGGishEmbedding().download()
    with pytest.raises(FeatureError, match="cannot find its weights"):
        VGGishEmbedding().compute(noise(1, 16000))
    assert not (cache / "weights.npz").exists()


def test_openl3_fetches_what_its_settings_say(server, cache, monkeypatch, caplog):
    (server[0] / "openl3_audio_mel128_music-v0_4_0.h5.gz").write_bytes(b"weights")
    monkeypatch.setattr(open_l3_embedding, "_ADDRESS", server[1] + "/openl3_audio_{}-v0_4_0.h5.gz")
    path = cache / "openl3_audio_mel128_music-v0_4_0.h5.gz"
    assert OpenL3Embedding(input_repr="mel128", content="music").download() == (path,)
    assert "no published checksum" in caplog.text
    assert OpenL3Embedding(input_repr="mel128", content="music")._checksums == {
        "weights": f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    }


# ---- extraction


def test_extraction_in_two_processes_stores_what_compute_gives(convolutions, tmp_path):
    esc50 = testing.make_dataset("esc50", tmp_path / "esc", clips=5, seconds=1.2, sr=16000)
    feature = VGGishEmbedding(weights=convolutions[0], include_top=False)
    feature.compute(noise(1, 16000))  # what is built here does not travel
    assert len(pickle.dumps(feature)) < 5000
    store = feature.extract(esc50, jobs=2)
    assert len(store.entries) == 5
    about = json.loads((store.folder / "settings.json").read_text())
    assert about["weights"] == f"sha256:{hashlib.sha256(convolutions[0].read_bytes()).hexdigest()}"
    for clip in esc50.clips:
        expected = feature.compute(audio.read(clip.path, sr=16000)[0])
        np.testing.assert_allclose(store.read(clip.id), expected, rtol=1e-4, atol=1e-5)
    convolutions[0].unlink()
    assert set(feature.extract(esc50).entries) == set(store.entries)  # nothing is left to do, so no weights are needed


def test_threads_do_not_get_each_others_embeddings(small):
    feature = VGGishEmbedding(**small)
    recordings = [noise(1, 16000, seed) for seed in range(16)]
    alone = [feature.compute(recording) for recording in recordings]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(feature.compute, recordings * 4))
    np.testing.assert_allclose(together, alone * 4, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_missing_weights_stop_extraction_and_skip_no_clip(tmp_path, on_error):
    esc50 = testing.make_dataset("esc50", tmp_path / "esc", clips=5, seconds=0.3, sr=16000)
    with pytest.raises(FeatureError, match="cannot find its weights"):
        VGGishEmbedding().extract(esc50, on_error=on_error)
    assert VGGishEmbedding().store(esc50).entries == {}
