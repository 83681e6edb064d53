"""YAMNet: its network against PyTorch's functions, its files in their published layouts, its windows, and `dcasekit tag`.

The published weights cannot be fetched where the tests run; `make crosscheck` compares with onnxruntime on a copy that pip has.
"""

import csv
import json

import h5py
import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import helper, numpy_helper
from torch.nn import functional
from typer.testing import CliRunner

from dcasekit import plots
from dcasekit.cli import app
from dcasekit.errors import FeatureError, ModelError
from dcasekit.features import YAMNetEmbedding
from dcasekit.models import YAMNet

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = tuple(f"class {number}" for number in range(521))
PAIRS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))
EPS = 1e-4


@pytest.fixture(scope="module")
def layers():
    """The published layers in the order of the forward pass: name -> kernel (rows, columns, in per group, out), shift, mean, variance."""
    rng = np.random.default_rng(0)
    found, before = {}, 32
    shapes = {"layer1/conv": (3, 3, 1, 32)}
    for number, (_, after) in enumerate(PAIRS, start=2):
        shapes |= {f"layer{number}/depthwise_conv": (3, 3, 1, before), f"layer{number}/pointwise_conv": (1, 1, before, after)}
        before = after
    for name, shape in shapes.items():
        kernel = rng.normal(0, 1.2 / np.sqrt(np.prod(shape[:3])), shape)
        found[name] = [kernel, *rng.normal(0, 0.3, (2, shape[-1])), rng.uniform(0.5, 1.5, shape[-1])]
    found["logits"] = [rng.normal(0, 0.1, (1024, 521)), rng.normal(0, 0.1, 521)]
    return {name: [array.astype(np.float32) for array in arrays] for name, arrays in found.items()}


def answer(layers, patches):
    """Embedding and logits by PyTorch's functions, in float64, padded as TensorFlow pads."""
    maps = torch.from_numpy(patches).double()[:, None]
    strides = {"layer1/conv": 2} | {f"layer{number}/depthwise_conv": stride for number, (stride, _) in enumerate(PAIRS, start=2)}
    for name, given in layers.items():
        arrays = [torch.from_numpy(array).double() for array in given]
        if name == "logits":
            return maps.mean((2, 3)).numpy(), (maps.mean((2, 3)) @ arrays[0] + arrays[1]).numpy()
        kernel, shift, mean, variance = arrays
        stride, size = strides.get(name, 1), len(kernel)
        pads = []
        for length in (maps.shape[3], maps.shape[2]):
            total = max((-(-length // stride) - 1) * stride + size - length, 0)
            pads += [total // 2, total - total // 2]
        groups = maps.shape[1] // kernel.shape[2]
        maps = functional.conv2d(functional.pad(maps, pads), kernel.permute(3, 2, 0, 1), stride=stride, groups=groups)
        normal = (maps - mean[:, None, None]) / torch.sqrt(variance + EPS)[:, None, None]
        maps = functional.relu(normal + shift[:, None, None])
    raise AssertionError


def write_keras(path, layers):
    """As Keras 2 writes it: batch normalisation is a layer of its own, without gamma."""
    with h5py.File(path, "w") as file:
        entries = {}
        for name, arrays in layers.items():
            if name == "logits":
                entries[name] = {"kernel": arrays[0], "bias": arrays[1]}
                continue
            depthwise = name.endswith("depthwise_conv")
            kernel = arrays[0].swapaxes(2, 3) if depthwise else arrays[0]
            entries[name] = {"depthwise_kernel" if depthwise else "kernel": kernel}
            entries[f"{name}/bn"] = dict(zip(("beta", "moving_mean", "moving_variance"), arrays[1:], strict=True))
        file.attrs["layer_names"] = [name.encode() for name in entries]
        for name, roles in entries.items():
            group = file.require_group(name)
            group.attrs["weight_names"] = [f"{name}/{role}:0".encode() for role in roles]
            for role, array in roles.items():
                group.create_dataset(f"{name}/{role}:0", data=array)
    return path


def write_onnx(path, layers, *, beside=None):
    """Normalisation folded into the convolutions, names by number, and numbers that quantize, as in the copy that pip has."""
    tensors, number = [], 241
    for name, arrays in layers.items():
        if name == "logits":
            tensors += [
                numpy_helper.from_array(arrays[0].T.copy(), "model.classifier.weight"),
                numpy_helper.from_array(arrays[1], "model.classifier.bias"),
            ]
            continue
        kernel, shift, mean, variance = arrays
        scale = 1 / np.sqrt(variance + EPS)
        folded = np.ascontiguousarray((kernel * scale).transpose(3, 2, 0, 1), np.float32)
        tensors += [numpy_helper.from_array(folded, f"onnx::Conv_{number}")]
        tensors += [numpy_helper.from_array(np.ones(len(folded), np.float32), f"onnx::Conv_{number}_scale")]
        tensors += [numpy_helper.from_array((shift - mean * scale).astype(np.float32), f"onnx::Conv_{number + 1}")]
        number += 3
    rng = np.random.default_rng(1)
    order = rng.permutation(len(tensors))  # the file has them in no order
    graph = helper.make_graph([], "g", [], [], [tensors[index] for index in order])
    onnx.save(helper.make_model(graph), path, save_as_external_data=beside is not None, location=beside)
    return path


@pytest.fixture(scope="module")
def patches():
    return np.random.default_rng(2).normal(-3, 2, (3, 96, 64)).astype(np.float32)


def build(outputs=521):
    return YAMNet().build((96, 64), CLASSES[:outputs], task="tagging")


def test_the_published_size():
    model = build()
    assert model.cost() == {"parameters": 3_729_481, "macs": 69_165_056}
    numbers = sum(array.size for name, array in model.weights().items() if not name.endswith("num_batches_tracked"))
    assert numbers == 3_751_369  # Keras counts the running statistics
    assert build(10).cost()["parameters"] == 3_195_456 + 10_250


@pytest.mark.parametrize("kind", ["keras", "onnx", "beside"])
def test_files_in_each_layout_give_the_network(kind, layers, patches, tmp_path):
    if kind == "keras":
        path = write_keras(tmp_path / "yamnet.h5", layers)
    else:
        path = write_onnx(tmp_path / "yamnet.onnx", layers, beside="yamnet.data" if kind == "beside" else None)
    model = build().load_weights(path)
    embedding, logits = answer(layers, patches)
    assert logits.std() > 0.1
    np.testing.assert_allclose(model.activations(patches, "embedding"), embedding, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.activations(patches, "out"), logits, rtol=1e-4, atol=1e-4)


def test_odd_sizes_are_padded_on_both_sides(layers, tmp_path):
    odd = np.random.default_rng(3).normal(-3, 2, (2, 97, 47)).astype(np.float32)
    model = YAMNet().build((97, 47), CLASSES, task="tagging").load_weights(write_keras(tmp_path / "yamnet.h5", layers))
    np.testing.assert_allclose(model.activations(odd, "embedding"), answer(layers, odd)[0], rtol=1e-4, atol=1e-4)


def test_weights_of_an_onnx_file_lie_beside_it_and_are_whole(layers, tmp_path):
    path = write_onnx(tmp_path / "yamnet.onnx", layers, beside="yamnet.data")
    data = (tmp_path / "yamnet.data").read_bytes()
    (tmp_path / "yamnet.data").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"yamnet.data ends before \S+ of yamnet.onnx does"):
        build().load_weights(path)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    path.write_bytes(model.SerializeToString())
    (tmp_path.parent / "secret").write_bytes(data)
    with pytest.raises(ModelError, match="only files beside it are read"):
        build().load_weights(path)
    path.write_bytes(b"\x08\xff no graph at all")
    with pytest.raises(ModelError, match="is damaged, or not of the kind its name says"):
        build().load_weights(path)


# ---- the embedding


def test_the_front_end_is_googles():
    rng = np.random.default_rng(0)
    windows = rng.normal(0, 0.1, (3, 15600)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(windows.astype(np.float64), 400, axis=1)[:, ::160]
    spectrum = np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)), 512))
    mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bands = np.zeros((257, 64))
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bands[1:, band] = np.interp(mel[1:], [low, centre, high], [0, 1, 0])
    expected = np.log(spectrum @ bands + 0.001)
    found = YAMNetEmbedding().front_end(windows)
    assert found.shape == (3, 96, 64)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("samples", "frames"), [(100, 1), (15600, 1), (15601, 2), (23280, 2), (23281, 3), (160000, 20)])
def test_a_recording_is_filled_up_to_whole_windows(samples, frames):
    assert YAMNetEmbedding()._frames(samples) == frames


@pytest.fixture(scope="module")
def files(layers, tmp_path_factory):
    """Weights, class map, and a recording of 3 s."""
    folder = tmp_path_factory.mktemp("yamnet")
    write_keras(folder / "yamnet.h5", layers)
    with (folder / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("index", "mid", "display_name"), *((i, f"/m/{i}", name) for i, name in enumerate(CLASSES))])
    audio = np.random.default_rng(4).normal(0, 0.1, 3 * 16000).astype(np.float32)
    soundfile.write(folder / "noise.wav", audio, 16000, subtype="FLOAT")
    return folder, audio


def test_scores_are_the_networks_answers_for_windows(files, layers):
    folder, audio = files
    feature = YAMNetEmbedding(output="scores", weights=folder / "yamnet.h5", class_map=folder / "classes.csv")
    found = feature.tag(folder / "noise.wav")
    assert (found.labels, found.values.shape) == (CLASSES, (6, 521))
    np.testing.assert_allclose(found.edges, np.arange(7) * 0.48)
    padded = np.pad(audio, (0, 6000))
    windows = np.stack([padded[7680 * i : 7680 * i + 15600] for i in range(6)])
    expected = 1 / (1 + np.exp(-answer(layers, feature.front_end(windows))[1]))
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    embedding = YAMNetEmbedding(weights=folder / "yamnet.h5").compute(audio)
    np.testing.assert_allclose(embedding, answer(layers, feature.front_end(windows))[0], rtol=1e-4, atol=1e-4)


def test_what_is_missing_is_named(files, tmp_path, monkeypatch):
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path))
    with pytest.raises(
        FeatureError, match=r"cannot find its weights: fetch https://storage.googleapis.com/audioset/yamnet.h5 \(sha256:13c3"
    ):
        YAMNetEmbedding().compute(files[1])
    with pytest.raises(FeatureError, match="an embedding has no labels; set output='scores'"):
        _ = YAMNetEmbedding().labels
    with pytest.raises(FeatureError, match="must be 'embedding' or 'scores'; got 'tags'"):
        YAMNetEmbedding(output="tags")
    (tmp_path / "few.csv").write_text("index,mid,display_name\n0,/m/1,Speech\n")
    with pytest.raises(FeatureError, match="few.csv does not name 521 classes in its column display_name"):
        _ = YAMNetEmbedding(output="scores", weights=files[0] / "yamnet.h5", class_map=tmp_path / "few.csv").labels


# ---- the command


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_tag_names_classes_and_goes_on_after_a_bad_file(files, tmp_path):
    folder, _ = files
    (tmp_path / "text.wav").write_text("no audio at all")
    given = ["--weights", folder / "yamnet.h5", "--class-map", folder / "classes.csv"]
    done = run("tag", tmp_path / "text.wav", folder / "noise.wav", *given, "--top", "2", "--scores", tmp_path / "scores", "--json")
    assert done.exit_code == 1
    bad, good = json.loads(done.stdout)
    assert "text.wav" in bad["error"]
    assert "text.wav" in done.stderr
    whole = YAMNetEmbedding(output="scores", weights=folder / "yamnet.h5", class_map=folder / "classes.csv").tag(folder / "noise.wav")
    assert [one["label"] for one in good["labels"]] == [label for label, _ in whole.top(2)]
    first = good["labels"][0]
    column = whole.values[:, CLASSES.index(first["label"])]
    assert (first["highest"], first["at"]) == (pytest.approx(column.max()), pytest.approx(0.48 * column.argmax()))
    assert (tmp_path / "scores" / "noise.tsv").read_text().startswith("onset\toffset\tclass 0\t")
    done = run("tag", folder / "noise.wav", *given)
    assert done.exit_code == 0
    assert first["label"] in done.stdout


def test_tag_draws_the_classes_of_the_table(files, tmp_path, monkeypatch):
    drawn, folder = {}, files[0]

    def recording(path, scores):
        drawn[path] = scores
        return original(path, scores)

    original = plots.recording
    monkeypatch.setattr(plots, "recording", recording)
    given = ["--weights", folder / "yamnet.h5", "--class-map", folder / "classes.csv", "--plot", tmp_path / "pictures", "--top", "3"]
    done = run("tag", folder / "noise.wav", *given, "--json")
    assert done.exit_code == 0, done.output
    [(path, scores)] = drawn.items()
    assert path == folder / "noise.wav"
    [answer] = json.loads(done.stdout)
    assert [one["label"] for one in answer["labels"]] == list(scores.labels)
    assert [one["highest"] for one in answer["labels"]] == pytest.approx(scores.values.max(axis=0).tolist())
    assert (tmp_path / "pictures" / "noise.png").read_bytes().startswith(b"\x89PNG")
    done = run("tag", "a/one.wav", "b/one.wav", "--plot", tmp_path / "pictures")
    assert done.exit_code == 2
    assert "would share one.png" in " ".join(done.stderr.split())


def test_tag_says_how_to_get_the_weights(files, tmp_path, monkeypatch):
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path))
    done = run("tag", files[0] / "noise.wav")
    assert done.exit_code == 1
    assert "; dcasekit tag --download fetches what is missing" in done.stderr
    done = run("tag", "a/one.wav", "b/one.wav", "--scores", tmp_path / "scores")
    assert done.exit_code == 2
    assert "several files are called 'one'" in " ".join(done.stderr.split())
