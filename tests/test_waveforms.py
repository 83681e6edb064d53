"""Training on waveforms whose features are computed in the step: the same numbers, losses and windows as of stored features."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dcasekit import DataGenerator, Scaler, audio, batch_augmentations, cli, load, testing
from dcasekit.batch_augmentations import ON_TENSORS, add_noise, frequency_shift, mixup, random_crop, spec_augment
from dcasekit.containers.front_ends import OnDevice
from dcasekit.errors import DatasetError, ModelError
from dcasekit.features import (
    MFCC,
    STFT,
    Decibels,
    FramesAudio,
    LoopedMel,
    Mel,
    MelSpectrogram,
    NaturalLog,
    RawAudio,
    Spectrogram,
    VGGishEmbedding,
)
from dcasekit.generator import Together
from dcasekit.models import MLP, CompactCNN

pytestmark = pytest.mark.usefixtures("one_thread")
SR = 8000
SMALL = {"sr": SR, "audio_win": 256, "audio_hop": 100, "sequence_time": 0.5, "sequence_hop_time": 0.3}
MELS = MelSpectrogram(**SMALL, mel=Mel(bands=16))
RAW = RawAudio(sr=SR, audio_hop=100)
FEATURES = {
    "mel": MELS,
    "mel, not centred": replace(MELS, stft=STFT(center=False)),
    "mel, zeros beyond the ends": replace(MELS, stft=STFT(pad="constant", pre_emphasis=0.97, offset=2**-20), log=NaturalLog()),
    "mel, long transform": replace(MELS, stft=STFT(n_fft=1024, periodic=False)),
    "mel, by sinc": replace(MELS, resampler="sinc"),
    "mel, hop beyond the window": replace(MELS, audio_hop=300),
    "spectrogram": Spectrogram(**SMALL, stft=STFT(power=1)),
    "mfcc": MFCC(**SMALL, coefficients=12, mel=Mel(bands=16)),
    "frames": FramesAudio(**SMALL),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Clips of several lengths, of a whole number of hops and not, of another rate too."""
    made = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=20, seconds=1.0, sr=SR)
    rng = np.random.default_rng(0)
    for number, clip in enumerate(made.clips):
        sr = (SR, 11025)[number % 2]
        sound = rng.normal(0, rng.uniform(0.01, 0.2), round(sr * (0.3 + 0.0713 * number))).astype(np.float32)
        audio.write(clip.path, sound, sr, subtype="FLOAT")
    for sampler in ("soxr", "sinc"):
        for hop in (100, 300):
            RawAudio(sr=SR, audio_hop=hop, resampler=sampler).extract(made)
    MELS.extract(made)
    return made


def raw_of(features):
    return RawAudio(sr=features.sr, audio_hop=features.audio_hop, resampler=features.resampler)


def generator(dataset, features=MELS, *, waveforms=True, **settings):
    more = {"waveforms": raw_of(features)} if waveforms else {}
    return DataGenerator(dataset, features, **{"folds": dataset.clips, "batch_size": 7, **more, **settings})


@pytest.mark.parametrize("scaler", [None, "standard", "window"])
@pytest.mark.parametrize("name", FEATURES)
def test_features_computed_in_the_step_are_those_that_are_stored(dataset, name, scaler):
    features = FEATURES[name]
    features.extract(dataset)
    stored, data = (generator(dataset, features, waveforms=waves, seed=4) for waves in (False, True))
    fitted = None if scaler is None else Scaler(scaler).fit(stored)
    for each in (stored, data):
        each.set_scaler(fitted)
    front = OnDevice(features, fitted, features.dims)
    batches = 0
    for expected, batch in zip(stored, data, strict=True):
        found = front(torch.from_numpy(batch.x), batch.mask).numpy()
        assert batch.x.ndim == 2
        decibels = isinstance(features.log, Decibels) if hasattr(features, "log") else False
        np.testing.assert_allclose(found, expected.x, rtol=1e-4, atol=1e-4 if decibels or scaler else 1e-5 * np.abs(expected.x).max())
        for part in ("y", "mask", "tags", "clips"):
            np.testing.assert_array_equal(getattr(batch, part), getattr(expected, part))
        batches += not batch.mask.all()
    assert batches  # windows that are filled up by reflection, too
    assert data.shape == stored.shape


def test_nothing_but_waveforms_need_be_stored(dataset):
    features = replace(MELS, audio_win=200)
    data = generator(dataset, features)
    scaler = Scaler().fit(data)
    features.extract(dataset)
    expected = Scaler().fit(generator(dataset, features, waveforms=False))
    assert scaler.to_dict() == expected.to_dict()
    windows = [np.concatenate(list(clip.windows)) for clip in data.clip_windows()]
    others = [np.concatenate(list(clip.windows)) for clip in generator(dataset, features, waveforms=False).clip_windows()]
    for one, other in zip(windows, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert generator(dataset, features).identity != generator(dataset, features, waveforms=False).identity


def fold(x, y, rng):
    """An augmentation that knows arrays alone."""
    assert isinstance(x, np.ndarray)
    return x + rng.normal(0, 0.1, x.shape).astype(np.float32), y


@pytest.mark.parametrize("augment", [(), (mixup, partial(spec_augment, bands=4), fold, frequency_shift)], ids=["plain", "augmented"])
@pytest.mark.parametrize("together", [False, True])
def test_training_learns_what_it_learns_of_stored_features(dataset, augment, together):
    def learn(waveforms):
        data = generator(dataset, waveforms=waveforms)
        data.set_scaler(Scaler().fit(generator(dataset, waveforms=False)))
        source = Together({"a": (data, 6), "b": (data, 4)}) if together else data
        model = CompactCNN(filters=[4, 4, 4, 4])
        history = model.train(source, data, epochs=3, batch_size=16, augment=augment, device="cpu", learning_rate=1e-3)
        return [[record[key] for key in ("loss", "val_loss", "val_accuracy")] for record in history], model

    (expected, stored), (found, model) = learn(waveforms=False), learn(waveforms=True)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)
    assert expected[0][0] != expected[-1][0]
    files = [clip.path for clip in dataset.clips[:3]]
    for one, other in zip(model.predict(files), stored.predict(files), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=2e-3)


def test_training_gone_on_with_ends_as_if_it_was_not_disturbed(dataset, tmp_path):
    def weights(epochs, resume=None, **more):
        model = MLP(hidden_layers_size=[8], dropout_rates=[0.1])
        settings = {"epochs": epochs, "augment": [mixup], "device": "cpu", "seed": 1, "resume": resume}
        model.train(generator(dataset, buffer=20, **more), **settings)
        return np.concatenate([array.ravel() for array in model.weights().values()])

    weights(2, tmp_path)
    with pytest.raises(ModelError, match="another run"):
        weights(3, tmp_path, waveforms=False)
    np.testing.assert_array_equal(weights(4, tmp_path), weights(4))


@pytest.mark.parametrize("windows", ["all", "random"])
def test_waveforms_come_through_a_buffer_too(dataset, windows):
    buffered = [row.tobytes() for batch in generator(dataset, windows=windows, buffer=16) for row in batch.x]
    plain = [row.tobytes() for batch in generator(dataset) for row in batch.x]
    assert set(buffered) <= set(plain)
    assert windows == "random" or sorted(buffered) == sorted(plain)
    assert len(buffered) == (len(dataset.clips) if windows == "random" else len(plain))


@pytest.mark.parametrize("function", sorted(ON_TENSORS, key=lambda function: function.__name__), ids=lambda function: function.__name__)
def test_an_augmentation_changes_tensors_as_it_does_arrays(function):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 12, 10)).astype(np.float32), rng.random((9, 12, 3), np.float32)
    y[2] = np.nan
    chosen = partial(function, frames=7) if function is random_crop else function
    expected, targets = chosen(x, y, np.random.default_rng(5))
    found, own = chosen(torch.from_numpy(x), y, np.random.default_rng(5))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(own, targets)
    assert (expected.shape != x.shape) or (expected != x).any()


def test_augmentations_that_need_arrays_are_not_said_to_take_tensors():
    given = {getattr(batch_augmentations, name) for name in ("between_class", "add_noise")}
    assert not given & ON_TENSORS
    assert add_noise in given


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (replace(MELS, audio_hop=80), "must have the rate, hop and resampler"),
        (replace(MELS, resampler="sinc"), "must have the rate, hop and resampler"),
        (replace(MELS, log=Decibels(ref="max")), "depends on the whole clip"),
        (replace(MELS, sequence_time=None), "depends on the whole clip"),
        (LoopedMel(**SMALL), "depends on the whole clip"),
        (replace(RAW, sequence_time=0.5), "no spectrum"),
        (VGGishEmbedding(sr=16000), "must have the rate, hop and resampler"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_features_that_cannot_be_computed_window_by_window_are_refused(dataset, features, message):
    with pytest.raises(DatasetError, match=message):
        DataGenerator(dataset, features, folds=dataset.clips, waveforms=RAW)


def test_what_takes_no_waveforms_says_so(dataset):
    from dcasekit.models.sklearn import LogisticRegression

    data = generator(dataset)
    with pytest.raises(DatasetError, match="to have these, extract them"):
        data.get_data()
    with pytest.raises(DatasetError, match="no waveform of their own"):
        generator(dataset, windows="joined", target="frame")
    with pytest.raises(ModelError, match="learn from stored features"):
        LogisticRegression().train(data)
    mixed = Together({"a": (data, 4), "b": (generator(dataset, waveforms=False), 4)})
    with pytest.raises(ModelError, match="a give waveforms and the others features"):
        MLP().train(mixed, epochs=1, device="cpu")


def test_the_command_trains_on_waveforms_and_stores_no_features(dataset, tmp_path):
    cache = tmp_path / "cache"

    def train(name, *more):
        settings = {"model": "compact_cnn", "cache": cache, "epochs": 1, "device": "cpu", "out": tmp_path / name}
        options = [text for option, value in settings.items() for text in (f"--{option}", str(value))]
        given = ["--dataset", "esc10", "--data", str(dataset.root), "-F", "sr=8000", "-F", "audio_hop=100", "--quiet"]
        args = ["train", *given, *options, *more]
        result = CliRunner().invoke(cli.app, args)
        assert result.exit_code == 0, (result.output, result.exception)
        stored = sorted(path.name.partition("-")[0] for path in cache.glob("*/features/*"))
        return json.loads((tmp_path / name / "run.json").read_text()), load(tmp_path / name / "model"), stored

    run, model, stored = train("device", "--front-end", "device")
    assert stored == ["raw_audio"]
    others, other, _ = train("stored")
    assert run == {**others, "front_end": "device"}
    assert model.features == other.features
    losses = [each.history[0]["loss"] for each in (model, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
