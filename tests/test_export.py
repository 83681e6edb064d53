"""Models as files: the same scores from a waveform as from the library, for any length, and nothing written that differs."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dcasekit import Scaler, audio, export, load
from dcasekit.containers.front_ends import Energy, front_end
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import FeatureError, MissingExtraError, ModelError
from dcasekit.export.front_end import _Cut, _Join
from dcasekit.export.transforms import ProductEnergy, use_products
from dcasekit.features import MFCC, STFT, Decibels, FramesAudio, LoopedMel, Mel, MelSpectrogram, NaturalLog, RawAudio, Spectrogram
from dcasekit.models import A_CRNN, CRNN2018, CRNN2023, MLP, SB_CNN, SB_CNN_SED, CompactCNN, Concatenated, SceneCNN, SMel

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning"),  # PyTorch's own, when it loads a program
]

SR = 8000
LABELS = ("dog", "cat", "car", "rain")

FEATURES = {
    "mel": MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=32)),
    "clip's maximum": MelSpectrogram(sr=SR, audio_win=512, audio_hop=200, log=Decibels(ref="max", top_db=40.0), mel=Mel(bands=20)),
    "another 0 dB": Spectrogram(sr=SR, audio_win=512, audio_hop=200, log=Decibels(ref=0.3, amin=1e-5), stft=STFT(power=1)),
    "natural log, add": MelSpectrogram(sr=SR, audio_win=400, audio_hop=100, log=NaturalLog(mode="add"), mel=Mel(bands=20)),
    "natural log, clip": MelSpectrogram(sr=SR, audio_win=400, audio_hop=100, log=NaturalLog(floor=1e-4), mel=Mel(bands=20)),
    "natural log, zeros": MelSpectrogram(sr=SR, audio_win=400, audio_hop=100, log=NaturalLog(mode="zeros"), mel=Mel(bands=20)),
    "linear": MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, log=None, mel=Mel(bands=20)),
    "not centred": Spectrogram(sr=SR, audio_win=500, audio_hop=250, stft=STFT(center=False)),
    "zeros at the ends": Spectrogram(sr=SR, audio_win=500, audio_hop=250, stft=STFT(pad="constant", power=1)),
    "odd": Spectrogram(sr=SR, audio_win=333, audio_hop=77, stft=STFT(n_fft=501)),
    "hop beyond": Spectrogram(sr=SR, audio_win=256, audio_hop=1000),
    "hop beyond, not centred": Spectrogram(sr=SR, audio_win=256, audio_hop=999, stft=STFT(center=False)),
    "emphasis": Spectrogram(sr=SR, audio_win=480, audio_hop=240, stft=STFT(pre_emphasis=0.97, offset=1e-4)),
    "hamming, symmetric": Spectrogram(sr=SR, audio_win=480, audio_hop=240, stft=STFT(window="hamming", periodic=False)),
    "blackman": Spectrogram(sr=SR, audio_win=480, audio_hop=240, stft=STFT(window="blackman")),
    "rectangular": Spectrogram(sr=SR, audio_win=480, audio_hop=240, stft=STFT(window="rectangular")),
    "mfcc": MFCC(sr=SR, audio_win=512, audio_hop=256, log=Decibels(top_db=80.0)),
    "mel, straight over the scale": MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=20, straight_in="mel")),
    "frames": FramesAudio(sr=SR, audio_win=400, audio_hop=160, stft=STFT(n_fft=512)),
    "frames, not centred": FramesAudio(sr=SR, audio_win=400, audio_hop=160, stft=STFT(center=False)),
    "raw": RawAudio(sr=SR, audio_hop=300),
    "looped": LoopedMel(sr=SR, audio_win=512, audio_hop=256, mel=Mel(bands=20)),
    "looped, clip's maximum": LoopedMel(sr=SR, audio_win=512, audio_hop=256, log=Decibels(ref="max"), mel=Mel(bands=20)),
}


def sound(samples, *, seed=0):
    """A tone in noise with silence at both ends: loud and quiet bands, and something to loop."""
    wave = 0.3 * np.sin(np.arange(samples) * 0.7) + 0.001 * np.random.default_rng(seed).standard_normal(samples)
    wave[: samples // 6] = wave[samples - samples // 9 :] = 0
    return wave.astype(np.float32)


# ---- the front end


@pytest.mark.parametrize("name", FEATURES)
def test_the_front_end_computes_what_the_library_does(name):
    feature = FEATURES[name]
    module = front_end(feature)
    for wave in (*(sound(samples) for samples in (12_345, 8000, 1601, 999, 515)), np.zeros(3000, np.float32)):
        expected = feature.compute(wave)
        found = module(torch.from_numpy(wave)[None])[0].numpy()
        assert found.shape == expected.shape
        # Levels are within 1e-4 dB; cepstra, sums of many of them, and energies in proportion.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4 if feature_in_decibels(feature) else 1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", FEATURES)
def test_the_front_end_computes_the_same_by_products(name):
    """ONNX Runtime's own transform is slow where a length is no power of two."""
    plain, products = front_end(FEATURES[name]), front_end(FEATURES[name])
    use_products(products)
    for samples in (12_345, 1601):
        wave = torch.from_numpy(sound(samples))[None]
        torch.testing.assert_close(products(wave), plain(wave), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 3, 6, 25, 333, 441, 501, 17640])
def test_a_transform_by_products_is_exact(length):
    rng = torch.Generator().manual_seed(0)
    audio, window = (torch.rand(*shape, dtype=torch.float64, generator=rng) for shape in ((2, 3 * length + 1), (length,)))
    expected = Energy(length, 1 + length // 3)(audio, window)
    torch.testing.assert_close(ProductEnergy(length, 1 + length // 3)(audio, window), expected, rtol=1e-12, atol=1e-14 * length**2)


@pytest.mark.parametrize(("length", "products"), [(512, False), (480, True), (17640, True), (1103, False)])
def test_products_replace_the_transforms_that_onnx_runtime_is_slow_at(length, products):
    """Not those of a prime number of samples: there is nothing to part."""
    module = front_end(Spectrogram(sr=SR, audio_win=length, audio_hop=200))
    use_products(module)
    assert isinstance(module.spectra.energy, ProductEnergy) == products


def feature_in_decibels(feature):
    return getattr(feature, "log", None) is not None and not isinstance(feature, MFCC)


grids = st.builds(
    lambda length, hop: RawAudio(sr=100, audio_hop=1, sequence_time=length and length / 100, sequence_hop_time=hop / 100),
    st.none() | st.integers(1, 30),
    st.integers(1, 40),
)


@given(grids, st.integers(1, 100), st.integers(0, 1), st.integers(0, 9))
def test_windows_and_rows_are_cut_and_joined_as_the_library_does(features, samples, behind, seed):
    """Also of a transform that gives a frame behind the end."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((samples + behind, 3), np.float32)
    grid = features.grid(len(values), samples / 100)
    windows = grid.cut(values)
    cut = _Cut(features)
    assert cut.windows(len(values), samples) == (len(grid.starts), grid.frames)
    np.testing.assert_array_equal(cut(torch.from_numpy(values)[None], len(grid.starts), grid.frames)[0].numpy(), windows)
    steps = int(rng.integers(1, windows.shape[1] + 1))
    answers = rng.random((len(windows), steps, 2), np.float32)
    try:
        expected = grid.join(answers, labels=("a", "b")).values
    except FeatureError:  # gaps between windows
        assert grid.step > grid.length
    else:
        np.testing.assert_allclose(_Join(features)(torch.from_numpy(answers)[None], grid.frames)[0].numpy(), expected, atol=1e-6)


# ---- files


def ready(model, features, task, *, frames=None, scaler=None):
    """Build a model on features as if it had been trained on them; its statistics are not those of its start."""
    rng = np.random.default_rng(0)
    model.build((frames or features.sequence_frames, features.dims), LABELS, task=task)
    model.features = features
    model.scaler = scaler and Scaler(scaler).fit(features.compute(sound(24_000)))
    weights = dict(model.weights())
    for name, array in weights.items():
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.5, 400 if "scale" in name else 1.5, array.shape).astype(np.float32)
    model.set_weights(weights)
    return model


def looped():
    features = LoopedMel(sr=SR, audio_win=512, audio_hop=256, sequence_time=None, mel=Mel(bands=24))
    return ready(CompactCNN(filters=(4, 8, 8, 16)), features, "classification", frames=60)


def windowed():
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=128, sequence_time=1.0, sequence_hop_time=0.4, mel=Mel(bands=40))
    return ready(SB_CNN(filters=(4, 4, 4)), features, "classification", scaler="standard")


def test_products_are_run_by_onnx_runtime_before_those_with_bands(tmp_path):
    """ONNX Runtime crashes where it moves a transposition from behind the first product into the second."""
    features = MelSpectrogram(sr=SR, audio_win=480, audio_hop=240, sequence_time=0.9, sequence_hop_time=0.9, mel=Mel(bands=20))
    model = ready(MLP(hidden_layers_size=(4,), dropout_rates=(0.1,)), features, "classification")
    session = onnxruntime.InferenceSession(export.onnx(model, tmp_path / "model.onnx"))  # which compares it with the model
    assert not {"STFT", "DFT"} & {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert session.run(None, {"waveform": sound(9000)[None]})[0].shape[-1] == len(LABELS)


def detector(scaler="minmax"):
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=0.13, sequence_hop_time=0.07, mel=Mel(bands=20))
    return ready(CRNN2023(filters=(4, 4, 4), gru_units=4), features, "detection", scaler=scaler)


def normalised():
    return detector("window")


def ranged():
    return detector("window_minmax")


def cepstral():
    return ready(MLP(), MFCC(sr=SR, audio_win=500, audio_hop=250, log=Decibels(top_db=80.0)), "tagging", scaler="standard")


def spectral():
    return ready(SceneCNN(filters=(4, 4)), Spectrogram(sr=SR, audio_win=128, audio_hop=128, sequence_time=None), "tagging", frames=60)


def learned():
    model = Concatenated(first=SMel(sr=SR, audio_win=512), second=SB_CNN_SED(filters=4), bands=40, batch_norm=True)
    return ready(model, RawAudio(sr=SR, audio_hop=128), "tagging")


def expected(model, wave, folder):
    (scores,) = model.predict([audio.write(folder / "wave.wav", wave, SR, subtype="FLOAT")])
    return scores


RUNNER = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
for path in sys.argv[2:]:
    [scores] = session.run(["scores"], {"waveform": np.load(path)})
    np.save(path, scores)
print(json.dumps([about, sorted({"torch", "dcasekit", "scipy", "onnx"} & set(sys.modules))]))
"""


@pytest.mark.parametrize("make", [looped, detector, normalised])
def test_an_onnx_file_gives_the_scores_of_the_model_without_dcasekit(tmp_path, make):
    model = make()
    path = export.onnx(model, tmp_path / "model.onnx")
    waves = {
        f"{n}.npy": np.stack([sound(samples, seed=1), sound(samples, seed=2)]) for n, samples in enumerate((24_000, 17_777, 9001, 1700))
    }
    if make is looped:
        waves.popitem()  # too short for three poolings
    for name, batch in waves.items():
        np.save(tmp_path / name, batch)
    files = [str(tmp_path / name) for name in waves]
    done = subprocess.run([sys.executable, "-c", RUNNER, str(path), *files], capture_output=True, text=True, check=True)
    about, loaded = json.loads(done.stdout)
    assert loaded == []
    for name, batch in waves.items():
        for found, wave in zip(np.load(tmp_path / name), batch, strict=True):
            scores = expected(model, wave, tmp_path)
            np.testing.assert_allclose(found, scores.values, atol=1e-5)
            row, last = about["row"] or {"first": scores.edges[1], "step": 0}, len(found) - 1
            np.testing.assert_allclose(scores.edges[1:-1], row["first"] + row["step"] * np.arange(last), atol=1e-9)
    assert (tuple(about["labels"]), about["task"], about["sr"], about["samples"]) == (LABELS, model.task, SR, None)
    assert about["features"]["settings"] == json.loads(json.dumps(model.features.settings))
    assert b"/test_export.py" not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


@pytest.mark.parametrize("make", [windowed, cepstral, spectral, learned, ranged, normalised])
def test_a_program_gives_the_scores_of_the_model(tmp_path, make):
    model = make()
    path = export.program(model, tmp_path / "model.pt2")
    extra = {"dcasekit.json": ""}
    loaded = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra["dcasekit.json"])["labels"] == list(LABELS)
    for samples in (24_000, 17_777, 8002):
        for count in (1, 3):
            batch = np.stack([sound(samples, seed=seed) for seed in range(count)])
            for found, wave in zip(loaded(torch.from_numpy(batch)).numpy(), batch, strict=True):
                np.testing.assert_allclose(found, expected(model, wave, tmp_path).values, atol=1e-5)


RECURRENT = {
    "Keras' first": CRNN2018(filters=(4, 4, 4), units=3),
    "Keras' first, ONNX": CRNN2018(filters=(4, 4, 4), units=3),
    "PyTorch's": CRNN2018(filters=(4, 4, 4), units=3, gru="sigmoid_after"),
    "product of directions": A_CRNN(filters=4, rnn_units=(4, 3), bidirectional=True, gru="sigmoid_before"),
    "one direction": A_CRNN(filters=4, rnn_units=(4,), gru="sigmoid_after"),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_network_is_exported_for_any_length(tmp_path, name):
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=None, mel=Mel(bands=64))
    model = ready(RECURRENT[name], features, "detection", frames=7)
    if name == "Keras' first":
        program = torch.export.load(export.program(model, tmp_path / "model.pt2")).module()
        run = lambda wave: program(torch.from_numpy(wave)).numpy()  # noqa: E731
    else:
        session = onnxruntime.InferenceSession(export.onnx(model, tmp_path / "model.onnx"))
        run = lambda wave: session.run(None, {"waveform": wave})[0]  # noqa: E731
    for samples in (2500, 16_000):
        scores = expected(model, sound(samples), tmp_path)
        np.testing.assert_allclose(run(sound(samples)[None])[0], scores.values, atol=1e-5)


def test_without_the_private_loop_of_pytorch_a_recurrent_network_is_exported_for_one_length(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._higher_order_ops.scan", None)
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=None, mel=Mel(bands=64))
    model = ready(CRNN2018(filters=(4, 4, 4), units=3), features, "detection", frames=7)
    with pytest.raises(ModelError, match="(?i)give seconds="):
        export.program(model, tmp_path / "model.pt2")
    path = export.program(model, tmp_path / "model.pt2", seconds=0.128)
    found = torch.export.load(path).module()(torch.from_numpy(sound(1024))[None])[0].numpy()
    np.testing.assert_allclose(found, expected(model, sound(1024), tmp_path).values, atol=1e-5)


def test_a_program_answers_any_length_without_guards(tmp_path):
    """Lengths at which there is but one window, and one frame of answers: PyTorch alone refuses some of them."""
    model = windowed()
    loaded = torch.export.load(export.program(model, tmp_path / "model.pt2")).module(check_guards=False)
    window = model.shape[0] * model.features.audio_hop
    for samples in (window - 256, window, window + 1, 2 * window):
        found = loaded(torch.from_numpy(sound(samples))[None])[0].numpy()
        np.testing.assert_allclose(found, expected(model, sound(samples), tmp_path).values, atol=1e-5)


@pytest.mark.parametrize("write", [export.program, export.onnx])
def test_a_pytorch_that_cannot_export_is_named(tmp_path, monkeypatch, write):
    monkeypatch.setattr(torch.export, "Dim", object())
    with pytest.raises(ModelError, match=r"exporting needs PyTorch 2.6 or newer; this is .*: pip install --upgrade torch"):
        write(windowed(), tmp_path / "model")


@dataclass(kw_only=True, eq=False)
class Looping(TorchModelContainer):
    """A network with a loop of Python's over its frames."""

    def network_for(self, frames, dims, outputs, task):
        return _Loop(dims, outputs)


class _Loop(nn.Module):
    def __init__(self, dims, outputs):
        super().__init__()
        self.out = nn.Linear(dims, outputs)

    def forward(self, x):
        state, states = torch.zeros_like(x[:, 0]), []
        for frame in x.unbind(1):
            state = torch.tanh(state / 2 + frame / 100)
            states.append(state)
        return self.out(torch.stack(states, 1))


def test_a_network_that_loops_over_a_whole_clip_is_exported_for_one_length(tmp_path):
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=None, mel=Mel(bands=20))
    model = ready(Looping(), features, "detection", frames=5)
    with pytest.raises(ModelError, match="Give seconds="):
        export.program(model, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []
    path = export.program(model, tmp_path / "model.pt2", seconds=0.128)
    extra = {"dcasekit.json": ""}
    loaded = torch.export.load(path, extra_files=extra).module()
    scores = expected(model, sound(1024), tmp_path)
    np.testing.assert_allclose(loaded(torch.from_numpy(sound(1024))[None])[0].numpy(), scores.values, atol=1e-6)
    about = json.loads(extra["dcasekit.json"])
    assert about["samples"] == 1024
    np.testing.assert_allclose(about["edges"], scores.edges)


def test_a_tiny_number_added_before_the_logarithm_survives_the_translation(tmp_path):
    log = NaturalLog(floor=2**-52, mode="add")
    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=None, mel=Mel(bands=20), stft=STFT(power=1), log=log)
    model = ready(MLP(), features, "classification", frames=5)
    assert export.onnx(model, tmp_path / "model.onnx", seconds=0.5).is_file()  # checked there with silence at both ends


def test_a_model_of_arrays_is_exported_alone(tmp_path):
    model = MLP().build((30, 20), LABELS, task="tagging")
    session = onnxruntime.InferenceSession(export.onnx(model, tmp_path / "model.onnx"))
    windows = np.random.default_rng(0).standard_normal((5, 30, 20), np.float32)
    [answers] = session.run(["scores"], {"windows": windows})
    np.testing.assert_allclose(answers, model.answer(windows), atol=1e-5)
    with pytest.raises(ModelError, match="leave out seconds"):
        export.program(model, tmp_path / "model.pt2", seconds=1.0)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))
def test_maxima_of_parts_are_those_of_pytorch(height, width, rows, columns):
    maps = torch.from_numpy(np.random.default_rng(height).standard_normal((2, 3, height, width)))
    found, _ = export._adaptive_max_pool2d(maps, (rows, columns))
    assert torch.equal(found, nn.functional.adaptive_max_pool2d(maps, (rows, columns)))


# ---- refusals


class Mine(MelSpectrogram):
    """A feature that changes a number the exporter cannot know of."""

    def bands(self, spectrum):
        return super().bands(spectrum) * 2


@dataclass(kw_only=True, eq=False)
class Shifted(TorchModelContainer):
    """Answers otherwise than its network says."""

    def network_for(self, frames, dims, outputs, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(frames * dims, outputs))

    def answer(self, windows):
        return super().answer(windows) + np.float32(0.001)


def test_a_file_whose_scores_differ_is_not_written(tmp_path):
    model = ready(Shifted(), replace(cepstral().features, sequence_time=0.1), "tagging")
    path = tmp_path / "model.pt2"
    path.write_text("an older file")
    with pytest.raises(ModelError, match=r"model\.pt2 was not written: .* differ"):
        export.program(model, path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("model.pt2", "an older file")]


def test_a_model_of_keras_is_exported_as_its_twin(tmp_path):
    from dcasekit.models import keras

    features = MelSpectrogram(sr=SR, audio_win=512, audio_hop=256, sequence_time=0.5, sequence_hop_time=0.25, mel=Mel(bands=40))
    model = ready(keras.A_CRNN(filters=4, rnn_units=(4,), bidirectional=True), features, "tagging", scaler="standard")
    session = onnxruntime.InferenceSession(export.onnx(model, tmp_path / "model.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["model"])["class"] == "a_crnn"
    scores = expected(model, sound(9000), tmp_path)
    np.testing.assert_allclose(session.run(None, {"waveform": sound(9000)[None]})[0][0], scores.values, atol=1e-5)
    with pytest.raises(ModelError, match="no network yet"):
        export.onnx(keras.MLP(), tmp_path / "none.onnx")


def test_what_cannot_be_exported_is_refused(tmp_path):
    from dcasekit.models.sklearn import LogisticRegression

    path = tmp_path / "model"
    with pytest.raises(
        ModelError, match=("only models of PyTorch and of dcasekit.models.keras can be exported; LogisticRegression is neither")
    ):
        export.program(LogisticRegression(), path)
    with pytest.raises(ModelError, match="no network yet"):
        export.onnx(CompactCNN(), path)
    model = cepstral()
    for seconds in (0, -1.0, float("nan")):
        with pytest.raises(ModelError, match="seconds must be positive"):
            export.program(model, path, seconds=seconds)
    with pytest.raises(FeatureError, match="fewer than the"):
        export.program(model, path, seconds=0.01)
    model.features = Mine(sr=SR)
    with pytest.raises(ModelError, match="feature Mine cannot be exported, nor computed on a device; MelSpectrogram, .* can"):
        export.program(model, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed.*dcasekit\[onnx\]"):
        export.onnx(cepstral(), tmp_path / "model.onnx")


def test_weights_of_eight_bits_are_a_quarter_and_cost_little(tmp_path):
    from dcasekit.export.quantized import compare, noises, quantize, run_file

    model = load("esc10")
    whole = export.onnx(model, tmp_path / "whole.onnx")
    small = quantize(whole, tmp_path / "small.onnx")
    weights = sum(array.nbytes for array in model.weights().values())
    assert whole.stat().st_size - small.stat().st_size > 0.6 * weights
    files = [audio.write(tmp_path / f"{n}.wav", one, model.features.sr) for n, one in enumerate(noises(model))]
    before, after = (run_file(model, path, files) for path in (whole, small))
    for one, other in zip(before, model.predict(files), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=2e-4)
        np.testing.assert_array_equal(one.edges, other.edges)
    cost = compare(before, after)
    assert 0 < cost["mean_difference"] < 0.03
    assert cost["same_label"] > 0.9


def test_the_command_tells_what_eight_bits_cost(tmp_path):
    from typer.testing import CliRunner

    from dcasekit import cli

    def run(*args):
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
        assert result.exit_code == 0, result.output
        return result.stdout

    told = run("models", "export", "esc10", "--to", tmp_path / "a.onnx", "--int8")
    assert "same label" in told
    run("datasets", "download", "synthetic_sounds", "--data", tmp_path / "sounds", "-D", "clips=100", "-D", "seconds=1", "-D", "sr=8000")
    small = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-T", "device=cpu", "-T", "epochs=1"]
    data = ["--dataset", "synthetic_sounds", "--data", tmp_path / "sounds"]
    run("train", *data, "--model", "mlp", *small, "--out", tmp_path / "run", "-q")
    told = run("models", "export", tmp_path / "run" / "model", "--to", tmp_path / "b.onnx", "--int8", *data)
    assert "accuracy" in told
