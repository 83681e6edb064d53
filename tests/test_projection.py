"""Clips as points: vectors of layers and features, in two dimensions, and which are alike."""

import json
import sys
import types

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import Clip, DataGenerator, audio, testing
from dcasekit.cli import app
from dcasekit.containers.projection import feature_vectors, find_alike, layer_vectors, nearest, project
from dcasekit.datasets import Folder
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.features import MelSpectrogram
from dcasekit.models import SB_CNN


def clouds(n=30, dims=12, seed=0):
    """Three groups of vectors, far apart, of values of very unlike size."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    return (rng.normal(size=(n, dims)) + 8 * rng.normal(size=(3, dims))[kind]) * 10.0 ** rng.integers(-3, 4, dims), kind


def are_apart(points, kind):
    middles = np.array([points[kind == k].mean(axis=0) for k in range(3)])
    return (np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1) == kind).all()


@pytest.mark.parametrize(("n", "dims"), [(40, 12), (9, 200)])
def test_pca_is_that_of_the_correlation_matrix(n, dims):
    vectors, _ = clouds(n, dims)
    points = project(vectors)
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    values, axes = np.linalg.eigh(standard.T @ standard)
    assert np.abs(points) == pytest.approx(np.abs(standard @ axes[:, [-1, -2]]), abs=1e-4)
    assert points.dtype == np.float32


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_projection_keeps_groups_apart_and_is_the_same_again(method):
    vectors, kind = clouds()
    points = project(vectors, method, seed=3)
    assert points.shape == (30, 2)
    assert are_apart(points, kind)
    assert np.array_equal(points, project(vectors, method, seed=3))


def test_the_sign_of_pca_does_not_depend_on_the_order_of_clips():
    vectors, _ = clouds()
    order = np.random.default_rng(1).permutation(len(vectors))
    assert project(vectors[order]) == pytest.approx(project(vectors)[order], abs=1e-4)


def test_umap_is_asked_with_the_seed(monkeypatch):
    class UMAP:
        def __init__(self, **settings):
            self.settings = settings

        def fit_transform(self, points):
            return points[:, :2] + self.settings["random_state"]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    vectors, _ = clouds()
    assert project(vectors, "umap", seed=7) == pytest.approx(project(vectors) + 7, abs=1e-4)


def test_umap_itself_keeps_groups_apart_and_gives_the_same_picture_again():
    pytest.importorskip("umap", reason="umap-learn is not installed: pip install 'dcasekit[umap]'")
    vectors, kind = clouds(60)
    points = project(vectors, "umap", seed=7)
    assert points.shape == (60, 2)
    assert are_apart(points, kind)
    assert (project(vectors, "umap", seed=7) == points).all()


@pytest.mark.parametrize(("method", "package", "extra"), [("tsne", "sklearn.manifold", "sklearn"), ("umap", "umap", "umap")])
def test_what_is_not_installed_is_named_with_the_line_to_run(monkeypatch, method, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'dcasekit\[{extra}\]'"):
        project(clouds()[0], method)


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0, 2.0]], [[1.0], [1.0], [1.0]], [[1, 2], [3, 4], [5, 7]]])
@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_few_or_equal_vectors_are_points_too(vectors, method):
    points = project(vectors, method)
    assert points.shape == (len(vectors), 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("vectors", [[], [1, 2], [[np.nan, 1]], np.zeros((2, 0))])
def test_what_are_no_vectors_is_refused(vectors):
    for function in (project, lambda given: nearest(given, 0)):
        with pytest.raises(ModelError, match="expected vectors"):
            function(vectors)


def test_other_methods_and_positions_are_refused():
    with pytest.raises(ModelError, match="one of pca, tsne, umap; got 'lda'"):
        project([[1.0]], "lda")
    with pytest.raises(ModelError, match="query 1 is not one of them"):
        nearest([[1.0]], 1)


def test_the_nearest_are_of_the_same_group_and_never_the_one_itself():
    vectors, kind = clouds()
    found = nearest(vectors, 4, k=9)
    assert [int(kind[at]) for at, _ in found] == [1] * 9
    assert 4 not in [at for at, _ in found]
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    assert len(nearest(vectors, 4, k=100)) == 29


def test_a_vector_from_elsewhere_has_the_neighbours_of_its_place():
    vectors, _ = clouds()
    assert nearest(vectors, vectors[4], k=1, standardise=False) == [(4, pytest.approx(1.0))]
    assert [at for at, _ in nearest(vectors, vectors[4], standardise=False)][1:] == [
        at for at, _ in nearest(vectors, 4, k=9, standardise=False)
    ]
    assert nearest([[3, 4], [0, 5]], np.array([6, 8]), standardise=False) == [(0, pytest.approx(1.0)), (1, pytest.approx(0.8))]
    with pytest.raises(ModelError, match="expected vectors"):
        nearest([[3, 4]], np.array([np.nan, 1]))


@pytest.fixture
def tones(tmp_path):
    """Recordings in a folder, a short tone in each: low and high ones, under and above 1 kHz."""
    for name, hz in {"low1": 300, "low2": 310, "low3": 290, "high1": 2000, "high2": 2050}.items():
        samples = np.zeros(16000, np.float32)
        at = 1000 * len(name) + 800 * int(name[-1])
        samples[at : at + 3000] = np.sin(2 * np.pi * hz * np.arange(3000) / 16000)
        audio.write(tmp_path / "sounds" / name.strip("123") / f"{name}.wav", samples, 16000)
    return tmp_path / "sounds"


FRONT = MelSpectrogram(sr=16000, log=None)


def test_recordings_alike_are_found_and_the_one_itself_is_not(tones, tmp_path, monkeypatch):
    dataset = Folder(tones, cache=tmp_path / "cache")
    (tones / "low" / "text.wav").write_text("no audio")
    found = find_alike(tones / "low" / "low1.wav", dataset, FRONT, k=3)
    assert {clip.id for clip, _ in found[:2]} == {"low/low2", "low/low3"}
    assert found[0][1] > 0.9 > found[2][1]
    copy = tmp_path / "elsewhere.wav"
    copy.write_bytes((tones / "low" / "low1.wav").read_bytes())
    again = find_alike(copy, dataset, FRONT)
    assert (again[0][0].id, again[0][1]) == ("low/low1", pytest.approx(1.0))
    assert len(again) == 5
    monkeypatch.setattr(MelSpectrogram, "compute_blocks", None)  # nothing is computed a second time
    assert find_alike(tones / "low" / "low1.wav", Folder(tones, cache=tmp_path / "cache"), FRONT, k=3) == found


def test_a_folder_without_labels_can_be_searched(tmp_path):
    for number in range(3):
        audio.write(tmp_path / "in" / f"{number}.wav", np.sin(np.arange(16000) * (0.1 + 0.4 * (number == 1))), 16000)
    (first, cosine), (second, _) = find_alike(tmp_path / "in" / "0.wav", Folder(tmp_path / "in", cache=tmp_path / "cache"), FRONT)
    assert (first.id, cosine, first.tags, second.id) == ("2", pytest.approx(1.0), None, "1")
    audio.write(tmp_path / "alone" / "0.wav", np.sin(np.arange(16000)), 16000)
    assert find_alike(tmp_path / "alone" / "0.wav", Folder(tmp_path / "alone", cache=tmp_path / "cache"), FRONT) == []
    done = CliRunner().invoke(
        app, ["search", str(tmp_path / "alone" / "0.wav"), "--in", str(tmp_path / "alone"), "--feature", "mfcc", "-q"]
    )
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no other recording" in done.stderr


def test_search_answers_with_a_table_json_and_a_file(tones, tmp_path):
    before = {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()}
    given = ["search", tones / "high" / "high1.wav", "--in", tones, "--feature", "mel_spectrogram", "-F", "log=none", "-F", "sr=16000"]
    given += ["--top", 2, "--cache", tmp_path / "cache", "--quiet"]
    done = CliRunner().invoke(app, [*map(str, given), "--json", "--out", str(tmp_path / "found.tsv")])
    assert done.exit_code == 0, done.output
    [first, second] = json.loads(done.stdout)
    assert (first["file"], first["labels"]) == (str(tones / "high" / "high2.wav"), ["high"])
    assert first["similarity"] > second["similarity"]
    rows = (tmp_path / "found.tsv").read_text().splitlines()
    assert rows[:2] == ["filename\tsimilarity\tlabels", f"{tones / 'high' / 'high2.wav'}\t{first['similarity']:.4f}\thigh"]
    assert {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()} == before
    done = CliRunner().invoke(app, list(map(str, given)))
    assert "similarity" in done.stdout
    assert "high" in done.stdout


def test_search_without_weights_says_what_to_do(tones, tmp_path, monkeypatch):
    monkeypatch.setenv("DCASEKIT_CACHE", str(tmp_path / "weights"))
    given = ["search", str(tones / "low" / "low1.wav"), "--in", str(tones), "--quiet"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 1
    assert "fetch https://storage.googleapis.com/audioset/yamnet.h5" in done.stderr
    assert "dcasekit search --download fetches what is missing, --feature mel_spectrogram needs nothing" in done.stderr
    assert {path.suffix for path in tones.rglob("*") if path.is_file()} <= {".wav", ".json", ""}
    done = CliRunner().invoke(app, [*given, "--feature", "mel_spectrogram", "--download"])
    assert done.exit_code == 2
    assert "MelSpectrogram needs no file" in done.stderr


def test_vectors_of_a_layer_and_of_a_feature_are_one_per_clip(tmp_path):
    dataset = testing.make_dataset("esc10", tmp_path, clips=10, seconds=1.0, sr=8000)
    features = MelSpectrogram(sr=8000, audio_hop=160, sequence_time=0.5)
    store = features.extract(dataset, jobs=1)
    data = DataGenerator(dataset, features, folds=dataset.folds, train=False)
    model = SB_CNN(filter_size=(3, 3), pool_size=((2, 2), (2, 2))).build(features.get_shape()[1:], dataset.labels)
    maps = next(name for name, shape in model.layers().items() if len(shape) == 3)
    found = layer_vectors(model, maps, data)
    assert found.shape == (10, model.layers()[maps][0])
    assert found[3] == pytest.approx(model.embed(maps, data)[3].mean(axis=(0, 2, 3)), abs=1e-5)
    *_, flat = (name for name, shape in model.layers().items() if len(shape) == 1)
    assert layer_vectors(model, flat, data).shape == (10, *model.layers()[flat])
    means = feature_vectors(features, dataset)
    assert means.shape == (10, 64)
    assert means[2] == pytest.approx(store.read(dataset.clips[2].id).mean(axis=0), abs=1e-4)
    assert feature_vectors(features, dataset, dataset.clips[:3]).shape == (3, 64)


def test_a_layers_vector_of_a_clip_is_that_of_its_channel(tmp_path):
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 0.1, (2, 16000)).astype(np.float32)
    for name, samples in (("both", np.stack([left, right], axis=1)), ("left", left), ("right", right)):
        audio.write(tmp_path / f"{name}.wav", samples, 16000)
    mel = MelSpectrogram(sr=16000, audio_win=512, audio_hop=256, sequence_time=1.0)
    model = SB_CNN(filters=(2, 2, 2), pool_size=((2, 2), (2, 2))).build(mel.get_shape()[1:], ("a", "b"), task="tagging")
    model.features = mel
    clips = [Clip(f"both:{channel}", tmp_path / "both.wav", channel=channel) for channel in (0, 1)]
    apart = layer_vectors(model, "dense", [tmp_path / "left.wav", tmp_path / "right.wav"])
    assert layer_vectors(model, "dense", clips) == pytest.approx(apart, abs=1e-6)
    assert np.abs(apart[0] - apart[1]).max() > 1e-4
    assert [scores.values.tobytes() for scores in model.predict(clips)] != [
        scores.values.tobytes() for scores in model.predict(clips[::-1])
    ]
