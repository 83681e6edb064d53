"""The networks of the DCASE-models paper: published sizes, and every layer against NumPy written from the description.

The NumPy networks keep Keras' axes (time, frequency, channels) and shapes of weights; kernels are brought there from PyTorch's. Networks
are compared in float64, so that no difference can hide behind rounding.
"""

import json

import librosa
import numpy as np
import pytest
import torch

import dcasekit
from dcasekit import DataGenerator, testing
from dcasekit.containers.levels import LevelsModel
from dcasekit.core import discover
from dcasekit.errors import ModelError
from dcasekit.features import Mel, MelSpectrogram, RawAudio
from dcasekit.models import A_CRNN, MLP, MST, SB_CNN_SED, Concatenated, OpenL3, SMel, VGGish

LABELS = tuple("abcdefghij")
BANDS = tuple(f"mel{band}" for band in range(128))
LARGE = {"filters": 128, "n_dense": (128, 128)}
SIX_BANDS = tuple("abcdef")

pytestmark = pytest.mark.usefixtures("one_thread")


def sizes(network, *without):
    """All that is learned or kept, and what is learned, of a network less some of its parts."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(without)}
    learned = dict(network.named_parameters())
    kept = [tensor.numel() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")]
    return sum(kept), sum(tensor.numel() for name, tensor in tensors.items() if name in learned and learned[name].requires_grad)


def shaken(network):
    """Replace every weight by a random one, so that no zero bias or unit scale hides a mistake; give them as float64 arrays."""
    rng = np.random.default_rng(0)
    network.double().eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = rng.normal(0, 1 / np.sqrt(max(tensor[0].numel(), 10)), tensor.shape)
                tensor.copy_(torch.from_numpy(np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn))
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def logits(network, x):
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


def embedding(network, x):
    """What the layer named so gives."""
    found = []
    with network.embedding.register_forward_hook(lambda _module, _inputs, output: found.append(output)), torch.inference_mode():
        network(x)
    return found[0]


def windows(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


# ---- sizes and shapes: the table of the publications


@pytest.mark.parametrize(
    ("model", "shape", "labels", "total", "learned", "answer"),
    [
        (SB_CNN_SED(), (64, 128), LABELS, 1_129_674, 1_129_290, (10,)),
        (SB_CNN_SED(**LARGE), (64, 128), LABELS, 4_528_650, 4_527_882, (10,)),
        (SB_CNN_SED(), (64, 64), LABELS, 539_850, 539_466, (10,)),  # of DCASE-models' notebook on URBAN-SED
        (A_CRNN(norm_axis="frequency"), (64, 128), LABELS, 381_630, 381_300, (10,)),
        (A_CRNN(norm_axis="frequency", target="frame"), (64, 128), LABELS, 381_630, 381_300, (64, 10)),
        (A_CRNN(norm_axis="frequency", gru="sigmoid_after"), (64, 128), LABELS, 381_630 + 192, 381_300 + 192, (10,)),
        (A_CRNN(norm_axis="frequency", bidirectional=True, target="frame"), (50, 40), SIX_BANDS, 365_878, 365_774, (50, 6)),
        (A_CRNN(), (64, 128), LABELS, 381_630 - 4 * 165 + 4 * 384, 381_300 - 2 * 165 + 2 * 384, (10,)),
        (SMel(), (64, 1024), BANDS, 131_200, 131_200, (64, 128)),
        (SMel(audio_win=1024), (43, 512), BANDS, 131_200, 131_200, (43, 128)),
        (MST(), (1, 22050), BANDS, 1_020_288, 1_018_496, (44, 128)),
        (MST(), (43, 512), BANDS, 1_020_288, 1_018_496, (43, 128)),
        (Concatenated(first=SMel(), second=SB_CNN_SED()), (64, 1024), LABELS, 1_260_874, 1_260_490, (10,)),
        (Concatenated(first=SMel(), second=SB_CNN_SED(), batch_norm=True), (64, 1024), LABELS, 1_261_386, 1_260_746, (10,)),
        (Concatenated(first=MST(), second=SB_CNN_SED(input_norm=True)), (64, 512), LABELS, 2_150_474, 2_148_042, (10,)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "settings") else None,
)
def test_published_sizes_and_shapes(model, shape, labels, total, learned, answer):
    model.build(shape, labels)
    assert sizes(model.network) == (total, learned)
    assert model.cost()["parameters"] == learned
    assert logits(model.network.eval(), np.zeros((2, *shape), np.float32)).shape == (2, *answer)


@pytest.mark.parametrize(
    ("model", "shape", "total", "learned", "size"),
    [
        (VGGish(), (96, 64), 4_499_712, 4_499_712, 512),
        (VGGish(pooling="max"), (96, 64), 4_499_712, 4_499_712, 512),
        (VGGish(include_top=True), (96, 64), 72_141_184, 72_141_184, 128),
        (VGGish(include_top=True, compress=True), (96, 64), 72_141_184 + 16_512, 0, 128),
        (OpenL3(), (199, 256), 4_689_860, 4_687_042, 512),
        (OpenL3(embedding_size=6144), (199, 256), 4_689_860, 4_687_042, 6144),
        (OpenL3(), (199, 128), 4_689_860, 4_687_042, 512),
        (OpenL3(embedding_size=6144), (199, 128), 4_689_860, 4_687_042, 6144),
        (OpenL3(embedding_size=6144), (197, 257), 4_689_860, 4_687_042, 6144),  # the linear spectrogram
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "settings") else None,
)
def test_published_sizes_of_embeddings(model, shape, total, learned, size):
    with torch.device("meta"):  # shapes without numbers: one of these has 72 million
        network = model.network_for(*shape, 10, "tagging")
        assert embedding(network, torch.zeros(2, *shape)).shape == (2, size)
        assert network(torch.zeros(2, *shape)).shape == (2, 10)
    assert sizes(network, "out.") == (total, learned)
    assert network.out.weight.shape == (10, size)


@pytest.mark.parametrize(
    ("kind", "frames", "dims"), [(A_CRNN, 1, 40), (VGGish, 1, 1), (VGGish, 7, 9), (OpenL3, 8, 8), (MST, 1, 1), (SMel, 1, 1024)]
)
def test_any_number_of_frames(kind, frames, dims):
    network = kind().build((frames, dims), LABELS).network.eval()
    for count in (frames, frames + 1, frames + 13):
        assert len(logits(network, np.zeros((2, count, dims), np.float32))) == 2


# ---- NumPy, on one window: maps are (time, frequency, channels)


def relu(x):
    return np.maximum(x, 0)


def conv(maps, weights, name, *, same):
    """2-D convolution; Keras' "same" puts the odd zero at the end."""
    kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)  # Keras': (time, frequency, in, out)
    if same:
        maps = np.pad(maps, [*(((size - 1) // 2, size // 2) for size in kernel.shape[:2]), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[:2], axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return np.tensordot(views, kernel, axes=3) + weights[f"{name}.bias"]


def conv1d(audio, weights, name, *, stride):
    """1-D convolution with Keras' "same": (time, in) -> (ceil(time / stride), out)."""
    kernel = weights[f"{name}.weight"].transpose(2, 1, 0)  # (length, in, out)
    outputs = -(-len(audio) // stride)
    zeros = max(0, (outputs - 1) * stride + len(kernel) - len(audio))
    padded = np.pad(audio, [(zeros // 2, zeros - zeros // 2), (0, 0)])
    rows = [np.tensordot(padded[first : first + len(kernel)], kernel, axes=2) for first in range(0, outputs * stride, stride)]
    return np.stack(rows) + weights[f"{name}.bias"]


def pool(maps, time, frequency, *, same=False):
    if same:  # a rest is pooled by itself
        maps = np.pad(maps, [(0, -maps.shape[0] % time), (0, -maps.shape[1] % frequency), (0, 0)], constant_values=-np.inf)
    rows, columns = maps.shape[0] // time, maps.shape[1] // frequency
    cut = maps[: rows * time, : columns * frequency]
    return cut.reshape(rows, time, columns, frequency, -1).max(axis=(1, 3))


def norm(maps, weights, name):
    """Normalisation by stored statistics of the last axis."""
    mean, variance, scale, shift = (weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return (maps - mean) / np.sqrt(variance + 1e-3) * scale + shift


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gru(x, weights, name, direction, *, gates):
    """Keras' recurrence, gate by gate."""
    kernel, recurrent, bias = (weights[f"{name}.{key}"][direction] for key in ("kernel", "recurrent_kernel", "bias"))
    (wz, wr, wh), (uz, ur, uh) = np.split(kernel, 3, axis=1), np.split(recurrent, 3, axis=1)
    bz, br, bh = np.split(bias[0], 3)
    state, states = np.zeros(recurrent.shape[0]), []
    for now in x if direction == 0 else x[::-1]:
        if gates == "sigmoid_after":
            rz, rr, rh = np.split(bias[1], 3)
            z = 1 / (1 + np.exp(-(now @ wz + bz + state @ uz + rz)))
            r = 1 / (1 + np.exp(-(now @ wr + br + state @ ur + rr)))
            candidate = np.tanh(now @ wh + bh + r * (state @ uh + rh))
        else:
            z, r = now @ wz + state @ uz + bz, now @ wr + state @ ur + br
            z, r = (np.clip(0.2 * x + 0.5, 0, 1) if gates == "hard_sigmoid_before" else 1 / (1 + np.exp(-x)) for x in (z, r))
            candidate = np.tanh(now @ wh + (r * state) @ uh + bh)
        state = z * state + (1 - z) * candidate
        states.append(state)
    return np.stack(states if direction == 0 else states[::-1])


# ---- forward passes


def sb_cnn_sed(window, weights, *, dense_layers, input_norm=False):
    maps = (norm(window, weights, "input_norm") if input_norm else window)[..., None]
    # The positions in the network: convolution, ReLU, pooling, normalisation; the last without pooling.
    for convolution, normalisation in ((0, 3), (4, 7), (8, 10)):
        maps = relu(conv(maps, weights, f"convolutions.{convolution}", same=False))
        maps = norm(pool(maps, 2, 2) if convolution < 8 else maps, weights, f"convolutions.{normalisation}")
    hidden = maps.reshape(-1)  # so Keras flattens: a published dense kernel is transposed and nothing else
    for layer in dense_layers:
        hidden = relu(dense(hidden, weights, f"dense.{layer}"))
    return dense(hidden, weights, "out")


@pytest.mark.parametrize(
    ("settings", "dense_layers"), [({}, (1,)), ({"filters": 12, "n_dense": (9, 7)}, (1, 4)), ({"filters": 8, "input_norm": True}, (1,))]
)
def test_sb_cnn_sed_forward(settings, dense_layers):
    network = SB_CNN_SED(**settings).build((37, 42), LABELS).network
    weights, x = shaken(network), windows(2, 37, 42)
    expected = [sb_cnn_sed(window, weights, dense_layers=dense_layers, input_norm="input_norm" in settings) for window in x]
    np.testing.assert_allclose(logits(network, x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm_axis", ["channels", "frequency"])
@pytest.mark.parametrize("gates", ["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("target", ["window", "frame"])
def test_a_crnn_forward(norm_axis, gates, bidirectional, target):
    settings = {"norm_axis": norm_axis, "gru": gates, "bidirectional": bidirectional, "target": target}
    network = A_CRNN(filters=6, rnn_units=(5, 4), dense_units=(7, 3), **settings).build((9, 43), LABELS).network
    weights, x = shaken(network), windows(2, 9, 43)
    expected = []
    for window in x:
        maps = window[..., None]
        for first, size in zip((0, 5, 10), (5, 2, 2), strict=True):
            maps = conv(maps, weights, f"convolutions.{first}", same=True)
            if norm_axis == "channels":
                maps = norm(maps, weights, f"convolutions.{first + 1}")
            else:
                maps = norm(maps.swapaxes(1, 2), weights, f"convolutions.{first + 1}.norm").swapaxes(1, 2)
            maps = pool(relu(maps), 1, size)
        frames = maps.reshape(len(maps), -1)  # so Keras reshapes: frequency, channels
        for layer in range(2):
            answers = [gru(frames, weights, f"recurrent.{layer}", way, gates=gates) for way in range(1 + bidirectional)]
            frames = np.prod(answers, axis=0)
        for layer in (0, 2):
            frames = dense(frames, weights, f"dense.{layer}")
        answer = dense(frames, weights, "out")
        expected.append(answer.mean(axis=0) if target == "window" else answer)
    np.testing.assert_allclose(logits(network, x), expected, rtol=1e-9, atol=1e-9)


def test_the_recurrent_layer_with_reset_after_is_pytorchs():
    """A second witness for the gates: PyTorch's own layer, whose gates come in the order reset, update, candidate."""
    network = A_CRNN(filters=4, rnn_units=(5,), gru="sigmoid_after").build((9, 40), LABELS).network
    weights, layer = shaken(network), network.recurrent[0]
    theirs = torch.nn.GRU(8, 5, batch_first=True).double()
    with torch.no_grad():
        for ours, name in (("kernel", "weight_ih_l0"), ("recurrent_kernel", "weight_hh_l0")):
            z, r, h = np.split(weights[f"recurrent.0.{ours}"][0].T, 3)
            getattr(theirs, name).copy_(torch.from_numpy(np.concatenate([r, z, h])))
        for row, name in ((0, "bias_ih_l0"), (1, "bias_hh_l0")):
            z, r, h = np.split(weights["recurrent.0.bias"][0, row], 3)
            getattr(theirs, name).copy_(torch.from_numpy(np.concatenate([r, z, h])))
    x = torch.from_numpy(windows(3, 11, 8))
    torch.testing.assert_close(layer(x), theirs(x)[0], rtol=1e-10, atol=1e-10)


def vggish(window, weights):
    maps = window[..., None]
    for name in ("conv1", "pool", "conv2", "pool", "conv3_1", "conv3_2", "pool", "conv4_1", "conv4_2", "pool"):
        maps = pool(maps, 2, 2, same=True) if name == "pool" else relu(conv(maps, weights, f"convolutions.{name}", same=True))
    return maps


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_vggish_forward_without_top(pooling):
    network = VGGish(pooling=pooling).build((33, 20), LABELS).network
    weights, x = shaken(network), windows(2, 33, 20)
    reduce = np.mean if pooling == "avg" else np.max
    embeddings = np.stack([reduce(vggish(window, weights), axis=(0, 1)) for window in x])
    np.testing.assert_allclose(embedding(network, torch.from_numpy(x)), embeddings, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(logits(network, x), dense(embeddings, weights, "out"), rtol=1e-9, atol=1e-9)


def test_vggish_forward_with_top_and_post_processing():
    network = VGGish(include_top=True, compress=True).build((17, 20), LABELS).network
    weights, x = shaken(network), 3 * windows(2, 17, 20)
    embeddings = []
    for window in x:
        hidden = vggish(window, weights).reshape(-1)  # so Keras flattens: time, frequency, channels
        for name in ("fc1_1", "fc1_2", "fc2"):
            hidden = relu(dense(hidden, weights, f"embedding.{name}"))
        rotated = weights["embedding.postprocess.pca_matrix"] @ (hidden - weights["embedding.postprocess.pca_means"])
        embeddings.append(((np.clip(rotated, -2, 2) + 2) * (255 / 4)).astype(np.uint8))
    assert len(np.unique(embeddings)) > 20
    np.testing.assert_array_equal(embedding(network, torch.from_numpy(x)), embeddings)


def test_post_processing_cuts_and_quantises():
    network = VGGish(include_top=True, compress=True, embedding_size=5).build((16, 16), LABELS).network
    values = torch.tensor([[-3.0, -2.0, 0.0, 1.9999, 7.0]])
    np.testing.assert_array_equal(network.embedding.postprocess(values), [[0, 0, 127, 254, 255]])


def open_l3(window, weights):
    """Before pooling; axes (frequency, time, channels), as published."""
    maps = norm(window.T[..., None], weights, "convolutions.input_norm")
    for number in range(1, 9):
        maps = conv(maps, weights, f"convolutions.conv{number}", same=True)
        if number < 8:
            maps = relu(norm(maps, weights, f"convolutions.batchnorm{number}"))
        if number in (2, 4, 6):
            maps = pool(maps, 2, 2)
    return maps


@pytest.mark.parametrize(("size", "shape", "published"), [(512, (17, 25), (3, 2)), (6144, (50, 33), (1, 2))])
def test_open_l3_forward(size, shape, published):
    network = OpenL3(embedding_size=size).build(shape, LABELS).network
    weights, x = shaken(network), windows(1, *shape)
    embeddings = np.stack([pool(open_l3(window, weights), *published).reshape(-1) for window in x])
    assert embeddings.shape == (1, size)
    np.testing.assert_allclose(embedding(network, torch.from_numpy(x)), embeddings, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(logits(network, x), dense(embeddings, weights, "out"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("size", "bands", "published"), [(512, 32, (32, 24)), (6144, 32, (8, 8)), (512, 16, (16, 24)), (6144, 16, (4, 8))])
def test_the_published_poolings_of_open_l3(size, bands, published):
    """mel256 has maps of 32 x 24 before the last pooling, mel128 of 16 x 24."""
    with torch.device("meta"):
        network = OpenL3(embedding_size=size).network_for(199, 8 * bands, 10, "tagging")
        assert network.convolutions(torch.zeros(1, 1, 8 * bands, 199)).shape == (1, 512, bands, 24)
    maps = torch.from_numpy(windows(2, 4, bands, 24))
    pooled = torch.nn.functional.max_pool2d(maps, published).permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(network.embedding(maps), pooled, rtol=0, atol=0)


@pytest.mark.parametrize(("shape", "frames"), [((7, 64), 14), ((3, 50), 5), ((1, 5), 1)])
def test_mst_forward(shape, frames):
    network = MST(audio_win=71, audio_hop=32, filters=(9, 8)).build(shape, SIX_BANDS).network
    weights, x = shaken(network), windows(2, *shape)
    expected = []
    for window in x:
        maps = window.reshape(-1, 1)
        for number, stride in ((1, 32), (2, 1), (3, 1)):
            maps = norm(conv1d(maps, weights, f"layers.conv{number}", stride=stride), weights, f"layers.batchnorm{number}")
            maps = relu(maps) if number < 3 else np.tanh(maps)
        expected.append(maps)
    assert np.shape(expected) == (2, frames, 6)
    np.testing.assert_allclose(logits(network, x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"alpha": 3.0, "amin": 0.5, "minmax": (-20.0, 10.0)}])
@pytest.mark.parametrize("samples", [160, 203])
def test_smel_forward(settings, samples):
    network = SMel(**settings).build((5, samples), SIX_BANDS).network
    weights, x = shaken(network), windows(2, 5, samples)
    filtered = np.stack([[conv1d(frame[:, None], weights, "conv", stride=16) for frame in window] for window in x])
    assert filtered.shape == (2, 5, -(-samples // 16), 6)
    energy = samples * np.square(filtered).mean(axis=2)
    levels = 10 * np.log10(np.maximum(settings.get("amin", 1e-10), settings.get("alpha", 1.0) * energy))
    low, high = settings.get("minmax", (-1.0, 1.0))
    np.testing.assert_allclose(logits(network, x), 2 * ((levels - low) / (high - low) - 0.5), rtol=1e-9, atol=1e-9)


def test_smel_cuts_the_frames_of_the_mel_spectrogram_out_of_the_waveform():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=20 * 128).astype(np.float32)
    x = RawAudio(sr=8000, audio_hop=128).compute(audio)[None]
    padded = np.pad(audio, 128, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[: 20 * 128 : 128] * np.hanning(257)[:-1]
    whole, cut = SMel(sr=8000, audio_win=256).build((20, 128), SIX_BANDS), SMel(sr=8000).build((20, 256), SIX_BANDS)
    np.testing.assert_allclose(logits(whole.network, x), logits(cut.network, frames[None].astype(np.float32)), rtol=0, atol=1e-3)


def test_the_filters_of_smel_follow_their_definition():
    sr, samples = 22050, 1024
    filters = SMel(sr=sr).build((1, samples), BANDS).weights()["conv.weight"][:, 0].astype(np.float64)
    basis = librosa.filters.mel(sr=sr, n_fft=samples, n_mels=128, htk=True)
    gains = np.abs(np.fft.rfft(filters))
    np.testing.assert_allclose(gains.max(axis=1), basis.max(axis=1), rtol=1e-5)
    corners = librosa.mel_frequencies(130, fmin=0, fmax=sr / 2, htk=True)
    peaks = gains.argmax(axis=1) * sr / samples
    # At the very bottom the mirror image of a filter, at negative frequencies, overlaps it.
    assert np.abs(peaks - corners[1:-1])[3:].max() <= sr / samples
    np.testing.assert_allclose(filters[:, 1:], filters[:, :0:-1], atol=1e-12)  # symmetric about the middle: no delay
    time = (np.arange(samples) - 512) / sr
    for band in (5, 60, 127):
        width, centre = corners[band + 1] - corners[band], corners[band + 1]
        shape = np.sinc(width * time) ** 2 * np.cos(2 * np.pi * centre * time) * 0.5 * (1 + np.cos(2 * np.pi * time * sr / samples))
        scale = filters[band] @ shape / (shape @ shape)
        np.testing.assert_allclose(filters[band], scale * shape, atol=1e-6 * np.abs(filters[band]).max())


def test_the_target_of_smel_is_a_mel_spectrogram():
    x = windows(2, 3, 1024) * np.hanning(1024)
    basis = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=40, htk=True) ** 2
    energy = np.abs(np.fft.rfft(x)) ** 2 / 513 @ basis.T
    np.testing.assert_allclose(SMel().target(x, bands=40), librosa.power_to_db(energy, top_db=None), atol=1e-3)
    scaled = SMel(minmax=(-80.0, 0.0)).target(x, bands=40)
    np.testing.assert_allclose(40 * (scaled + 1) - 80, librosa.power_to_db(energy, top_db=None), atol=1e-3)
    audio = windows(1, 43, 512).astype(np.float32)
    feature = MelSpectrogram(sr=22050, audio_win=1024, audio_hop=512, mel=Mel(bands=40, scale="htk"))
    # Two spectrograms of one sound: band by band they differ by what squaring the basis does.
    difference = SMel(audio_win=1024).target(audio, bands=40)[0] - feature.compute(audio.ravel())[:43]
    assert difference.std(axis=0).max() < 1.5


@pytest.mark.parametrize(("colour", "decibels"), [("white", 2), ("brown", 2.5)])
def test_smel_is_close_to_its_target_before_training(colour, decibels):
    x = windows(4, 16, 1024, seed=3)
    x = (np.cumsum(x.reshape(4, -1), axis=1).reshape(x.shape) * 0.01 if colour == "brown" else x) * np.hanning(1024)
    model = SMel().build((16, 1024), BANDS)
    difference = logits(model.network, x.astype(np.float32)) - model.target(x)
    assert np.sqrt(np.square(difference).mean()) < decibels
    assert np.sqrt(np.square(difference[..., 40:]).mean()) < 1.5


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_smel_keeps_its_precision_among_networks_of_mixed_precision(precision):
    network, x = SMel().build((4, 1024), BANDS).network, torch.from_numpy(1e-3 * windows(2, 4, 1024)).float()
    with torch.autocast("cpu", precision):
        mixed = network(x)
    torch.testing.assert_close(mixed, network(x))


def test_smel_of_silence_is_the_smallest_level_and_has_a_gradient():
    network = SMel(amin=1e-8).build((4, 1024), BANDS).network
    levels = network(torch.zeros(2, 4, 1024))
    np.testing.assert_allclose(levels.detach(), -80, rtol=1e-6)
    levels.sum().backward()
    assert torch.isfinite(network.conv.weight.grad).all()


# ---- training


def test_smel_learns_its_target():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(24, 4, 256)) * np.hanning(256)).astype(np.float32)
    model = SMel(sr=8000)
    y = model.target(x, bands=20)
    history = model.train((x, y), loss="mse", learning_rate=1e-5, epochs=20, batch_size=8, device="cpu")
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert model.answer(x).min() < -1  # dB, not probabilities
    assert np.square(model.answer(x) - y).mean() == pytest.approx(history[-1]["loss"], rel=0.2)


def test_mst_learns_a_scaled_mel_spectrogram(tmp_path):
    rng = np.random.default_rng(0)
    sweep = np.sin(2 * np.pi * np.cumsum(rng.uniform(0.01, 0.4, (16, 8, 1)).repeat(128, 2).reshape(16, -1), axis=1))
    x = sweep.reshape(16, 8, 128).astype(np.float32)
    y = SMel(sr=8000, audio_win=256, minmax=(-80.0, 10.0)).target(x, bands=12)
    model = MST(audio_win=256, audio_hop=128, filters=(32, 16))
    history = model.train((x, y), loss="mse", epochs=30, batch_size=8, device="cpu")
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert model.answer(x).min() < 0
    np.testing.assert_array_equal(dcasekit.load(model.save(tmp_path / "mst")).answer(x), model.answer(x))


def test_levels_have_no_metric():
    model = MST(audio_win=16, audio_hop=8).build((4, 8), SIX_BANDS)
    x, y = windows(3, 4, 8).astype(np.float32), np.zeros((3, 4, 6), np.float32)
    assert [scores.values.shape for scores in model.predict(x)] == [(4, 6)] * 3
    with pytest.raises(ModelError, match="MST outputs levels, not labels"):
        model.evaluate((x, y))
    with pytest.raises(ModelError, match="train without validation data"):
        model.train((x, y), (x, y), epochs=1, device="cpu")
    with pytest.raises(ModelError, match="loss='mse'"):
        model.train((x, y), loss="binary_cross_entropy", epochs=1, device="cpu")


def normalised_biases(network):
    """Biases in front of a batch normalisation, which takes away what they add."""
    names = {name: module for name, module in network.named_modules() if not list(module.children())}
    pairs = zip(names.items(), list(names.values())[1:], strict=False)
    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    return {f"{name}.bias" for (name, module), after in pairs if isinstance(after, kinds) and hasattr(module, "weight")}


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (SB_CNN_SED(**LARGE, input_norm=True), (36, 32)),
        (A_CRNN(filters=8, bidirectional=True), (16, 40)),
        (A_CRNN(filters=8, gru="sigmoid_after", target="frame"), (16, 40)),
        (VGGish(include_top=True), (16, 16)),
        (OpenL3(), (16, 16)),
        (SMel(), (4, 1024)),
        (MST(), (8, 512)),
        (Concatenated(first=SMel(sr=8000), second=A_CRNN(filters=8), bands=40, batch_norm=True), (8, 512)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "settings") else None,
)
def test_every_weight_gets_a_gradient(model, shape):
    network = model.build(shape, LABELS).network.train()
    torch.manual_seed(0)
    target = torch.randn_like(network(torch.randn(8, *shape)))
    torch.nn.functional.mse_loss(network(torch.randn(8, *shape)), target).backward()
    without = normalised_biases(network)
    for name, weight in network.named_parameters():
        assert torch.isfinite(weight.grad).all(), name
        # More than rounding, in a good part of the numbers; beneath a ReLU some may get none.
        assert (weight.grad.abs() > 1e-12).float().mean() > 0.05 or name in without, name


def test_behind_the_post_processing_the_classifier_alone_learns():
    network = VGGish(include_top=True, compress=True).build((16, 16), LABELS).network
    assert [name for name, weight in network.named_parameters() if weight.requires_grad] == ["out.weight", "out.bias"]


@pytest.mark.parametrize("part", ["kernel", "recurrent_kernel"])
def test_dropout_of_the_recurrent_layers_is_the_same_for_all_frames_of_a_window(part):
    """Units that are dropped once and for all end low, the others high; with another mask for each frame they would end between."""
    layer = A_CRNN(filters=2, rnn_units=(200,)).build((9, 40), LABELS).network.train().recurrent[0]
    with torch.no_grad():
        layer.kernel.zero_()
        layer.recurrent_kernel.zero_()
        layer.bias[..., 400:] = 0.1  # of the candidates; the gates stay half open
        if part == "kernel":
            layer.kernel[0, np.arange(200) % 4, np.arange(400, 600)] = 1  # each unit reads one of four inputs
        else:
            layer.recurrent_kernel[0, :, 400:] = 10 * torch.eye(200)  # each unit feeds itself
        torch.manual_seed(0)
        states = layer(torch.full((8, 40, 4), float(part == "kernel")))[:, -1]
    low = (states - np.tanh(0.1)).abs() < 1e-3
    assert (low | (states > 0.9)).all()
    assert 0.2 < low.float().mean() < 0.8
    assert not torch.equal(low[0], low[1])  # each window has masks of its own


def test_openl3_starts_as_in_keras():
    weights = OpenL3().build((16, 16), LABELS).weights()
    kernel = weights["convolutions.conv8.weight"]
    deviation = np.sqrt(2 / (9 * 512))  # He normal: that of what is left when two deviations of a wider one are cut
    assert kernel.std() == pytest.approx(deviation, rel=0.01)
    assert np.abs(kernel).max() <= 2 * deviation / 0.87962566 + 1e-6
    np.testing.assert_array_equal(weights["convolutions.conv8.bias"], 0)
    np.testing.assert_array_equal(weights["out.bias"], 0)


def test_the_recurrent_layers_start_as_in_keras():
    layer = A_CRNN(bidirectional=True).build((8, 40), LABELS).network.recurrent[0]
    limit = np.sqrt(6 / (256 + 96))  # Glorot uniform of the three gates as one matrix
    for kernel, recurrent in zip(layer.kernel.detach(), layer.recurrent_kernel.detach(), strict=True):
        assert 0.99 * limit < kernel.abs().max() <= limit
        torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(32), rtol=0, atol=1e-5)
    assert not layer.bias.any()


def test_the_penalty_of_open_l3_is_that_of_its_kernels():
    model = OpenL3(l2_reg=0.5).build((16, 16), LABELS)
    kernels = sum(float(np.square(array).sum()) for name, array in model.weights().items() if ".conv" in name and name.endswith("weight"))
    assert model.network.penalty().item() == pytest.approx(0.5 * kernels, rel=1e-5)
    series = Concatenated(first=SMel(sr=8000), second=OpenL3(l2_reg=0.5), bands=16).build((16, 512), LABELS)
    assert series.network.penalty().item() == pytest.approx(series.network.second.penalty().item())
    assert Concatenated(first=SMel(), second=SB_CNN_SED()).build((36, 1024), LABELS).network.penalty() == 0


# ---- in series


def test_two_models_in_series_are_the_one_on_the_answers_of_the_other():
    model = Concatenated(first=SMel(sr=8000), second=SB_CNN_SED(filters=4), bands=32).build((32, 512), LABELS, task="tagging", seed=5)
    x = windows(2, 32, 512)
    shaken(model.network)
    bands = logits(model.network.first, x)
    assert bands.shape == (2, 32, 32)
    np.testing.assert_array_equal(logits(model.network, x), logits(model.network.second, bands))


def test_the_normalisation_between_two_models():
    model = Concatenated(first=SMel(sr=8000), second=SB_CNN_SED(filters=4), bands=32, batch_norm=True).build((32, 512), LABELS)
    weights, x = shaken(model.network), windows(2, 32, 512)
    between = norm(logits(model.network.first, x), weights, "between")
    np.testing.assert_allclose(logits(model.network, x), logits(model.network.second, between), rtol=1e-9, atol=1e-9)


def test_models_in_series_are_settings_that_survive_a_file(tmp_path):
    model = Concatenated(first=SMel(sr=8000, audio_win=256), second={"class": "a_crnn", "settings": {"filters": 3}}, bands=40)
    assert json.loads(json.dumps(model.settings))["first"]["settings"]["sr"] == 8000
    x = windows(2, 16, 128).astype(np.float32)
    model.build((16, 128), LABELS, task="detection")
    np.testing.assert_array_equal(dcasekit.load(model.save(tmp_path / "model")).answer(x), model.answer(x))


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ({"class": "subprocess:Popen", "settings": {}}, "must be a PyTorch model"),
        ({"settings": {}}, "a model in series is a model or"),
        ({"class": "smel", "setings": {}}, "a model in series is a model or"),
        ({"class": "smel", "settings": {"sample_rate": 8000}}, "sample_rate"),
        (SB_CNN_SED(), r"must be \(windows, frames, dims\)"),
    ],
)
def test_what_cannot_stand_in_series_is_refused(first, says):
    with pytest.raises(ModelError, match=says):
        Concatenated(first=first, second=MLP()).build((40, 64), LABELS)


def test_audio_files_pass_through_a_learned_front_end(tmp_path):
    dataset = testing.make_dataset("esc50", tmp_path / "esc50", clips=10, seconds=0.6, sr=8000)
    features = RawAudio(sr=8000, audio_hop=128, sequence_time=0.5, sequence_hop_time=0.5)
    features.extract(dataset, jobs=1)
    generator = DataGenerator(dataset, features, folds=["fold1"], train=True)
    model = Concatenated(first=SMel(sr=8000, audio_win=256), second=SB_CNN_SED(filters=2, filter_size=(3, 3)), bands=20, batch_norm=True)
    model.train(generator, epochs=1, device="cpu")
    paths = [clip.path for clip in dataset.clips[:2]]
    answers = model.predict(paths)
    assert [scores.values.shape for scores in answers] == [(2, len(dataset.labels))] * 2
    again = dcasekit.load(model.save(tmp_path / "model")).predict(paths)
    np.testing.assert_array_equal(again[0].values, answers[0].values)
    assert [levels.shape for levels in model.embed("first", paths)] == [(2, 31, 20)] * 2  # windows, frames, bands


# ---- limits


@pytest.mark.parametrize(
    ("model", "shape", "says"),
    [
        (SB_CNN_SED(), (31, 32), "windows of 31 frames and 32 dims are too small .* use a longer sequence_time"),
        (SB_CNN_SED(), (32, 31), "windows of 32 frames and 31 dims are too small"),
        (A_CRNN(), (64, 19), "windows of 19 dims are too small .* use more bands"),
        (A_CRNN(target="frames"), (64, 40), "target must be one of 'window', 'frame', None; got 'frames'"),
        (A_CRNN(norm_axis="time"), (64, 40), "norm_axis must be one of 'channels', 'frequency'"),
        (VGGish(pooling="mean"), (96, 64), "pooling must be 'avg' or 'max'"),
        (VGGish(compress=True), (96, 64), "set include_top=True"),
        (OpenL3(), (7, 256), "windows of 7 frames and 256 dims are too small"),
        (OpenL3(embedding_size=1024), (199, 256), "embedding_size must be 512 or 6144"),
        (SMel(audio_win=1024), (1, 512), "windows of 512 samples are too short .* use a longer sequence_time"),
        (SMel(sr=44100), (4, 1024), "of 128 mel bands are narrower than a bin of 43.1 Hz"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(model, shape, says):
    with pytest.raises(ModelError, match=says):
        model.build(shape, BANDS)


def test_the_smallest_windows():
    assert SB_CNN_SED(filters=2).build((32, 32), LABELS).answer(np.zeros((1, 32, 32), np.float32)).shape == (1, 10)
    assert A_CRNN(filters=2).build((1, 20), LABELS).answer(np.zeros((1, 1, 20), np.float32)).shape == (1, 10)
    assert SMel(audio_win=1024).build((2, 512), BANDS).network is not None


@pytest.mark.parametrize("name", ["mst", "smel", "keras.mst", "keras.smel"])
def test_models_of_levels_are_of_one_kind_whatever_the_backend(name):
    kind = discover.load("models", name)
    assert kind.answer is LevelsModel.answer
    assert kind.evaluate is LevelsModel.evaluate
    with pytest.raises(ModelError, match="outputs levels, not labels"):
        kind().evaluate(None)
