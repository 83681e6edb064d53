"""The code of the paper's listing, as docs/design.md section 4 gives it, runs as it stands."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dcasekit import testing
from dcasekit.annotations import Clip
from dcasekit.errors import ModelError
from dcasekit.scores import Scores

# Blank lines and comments aside, these are the lines of the design; only what the listing leaves open is named by the test.
SNIPPET = """
from dcasekit.datasets import UrbanSound8k, ESC50, ESC10          # constructing needs no files on disk
from dcasekit.features import MelSpectrogram, Spectrogram
from dcasekit.models import SB_CNN                                # PyTorch; dcasekit.models.keras.SB_CNN is the twin
from dcasekit import AugmentedDataset, DataGenerator, Scaler

dataset = UrbanSound8k(DATASET_PATH)
dataset.download()
dataset.change_sampling_rate(22050)
aug_dataset = AugmentedDataset(dataset, augmentations)            # objects, or the paper's dicts {"type": "pitch_shift", "n_semitones": -1}
aug_dataset.process()
features = Spectrogram(sequence_time=1.0, sequence_hop_time=0.5, audio_win=1024, audio_hop=512, sr=22050)
features.extract(dataset)
data_gen_train = DataGenerator(dataset, features, train=True, folds=["train"])     # train, val, test: the dataset's default split;
data_gen_val = DataGenerator(dataset, features, train=False, folds=["val"])        # or fold names: folds=["fold2", "fold3"]
X_train, Y_train = data_gen_train.get_data()
scaler = Scaler("standard"); scaler.fit(X_train); X_train = scaler.transform(X_train)
scaler.fit(data_gen_train); data_gen_val.set_scaler(scaler)
model_cont = SB_CNN(**model_params)
model_cont.train((X_train, Y_train), **train_params)
model_cont.train(data_gen_train, **train_params)
results = model_cont.evaluate((X_test, Y_test))
"""

AUGMENTATIONS = [
    {"type": "pitch_shift", "n_semitones": -1},
    {"type": "time_stretching", "factor": 1.05},
    {"type": "white_noise", "snr": 60},
]
# A window of one second has 43 frames here, fewer than the default pools of SB-CNN need; the paper sets the model's parameters as well.
MODEL_PARAMS = {"pool_size": ((2, 2), (2, 2)), "filters": (4, 4, 4)}
TRAIN_PARAMS = {
    "epochs": 1,
    "learning_rate": 0.001,
    "batch_size": 128,
    "optimizer": "adam",
    "early_stopping": 30,
    "considered_improvement": 0.0,
    "device": "cpu",
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return testing.make_dataset("urban_sound8k", tmp_path_factory.mktemp("UrbanSound8K"), clips=20, seconds=1.2)


@pytest.fixture(scope="module")
def names(made):
    """What the listing has defined once it has run."""
    from dcasekit.datasets import UrbanSound8k

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UrbanSound8k, "download", lambda self, **_: True)
        space = {
            "DATASET_PATH": made.root,
            "augmentations": AUGMENTATIONS,
            "model_params": MODEL_PARAMS,
            "train_params": TRAIN_PARAMS,
            "X_test": [np.zeros((2, 43, 513), np.float32), np.ones((3, 43, 513), np.float32)],
            "Y_test": [np.eye(10, dtype=np.float32)[[n] * count] for n, count in ((0, 2), (1, 3))],
        }
        exec(compile(SNIPPET, "the listing", "exec"), space)
    return space


def test_the_listing_gives_results(names):
    results = names["results"]
    assert results.task == "classification"
    assert 0 <= results.numbers["accuracy"] <= 1
    assert len(results.clips) == 2
    assert "accuracy" in str(results)


def test_the_arrays_are_as_the_paper_describes(names):
    x, y = names["X_train"], names["Y_train"]
    assert x.shape[1:] == (43, 513)
    assert y.shape == (len(x), 10)
    assert x.mean() == pytest.approx(0, abs=1e-2)
    assert len(names["features"].store(names["dataset"]).entries) == len(names["dataset"].clips) == 20
    windows, truth = names["data_gen_val"].get_data()
    assert [len(part) for part in windows] == [len(part) for part in truth]


def test_the_augmented_dataset_is_a_dataset_with_copies(names):
    from dcasekit.datasets import Dataset

    augmented = names["aug_dataset"]
    assert isinstance(augmented, Dataset)
    assert len(augmented.clips) == 20 * (1 + len(AUGMENTATIONS))
    assert all(clip.path.exists() for clip in augmented.clips)
    assert AUGMENTATIONS[0] == {"type": "pitch_shift", "n_semitones": -1}  # the caller's dicts stay as they are
    copies = [clip for clip in augmented.clips if "parent" in clip.extra]
    parents = {clip.id: clip for clip in names["dataset"].clips}
    assert all(isinstance(copy, Clip) and copy.group == parents[copy.extra["parent"]].group for copy in copies)
    assert all(copy.fold == parents[copy.extra["parent"]].fold for copy in copies)


def test_training_on_the_augmented_dataset_uses_copies_and_tests_on_originals(names):
    from dcasekit import DataGenerator

    features, augmented = names["features"], names["aug_dataset"]
    features.extract(augmented)
    train = DataGenerator(augmented, features, train=True, folds=["train"])
    plain = names["data_gen_train"]
    assert len(train.clips) == len(plain.clips) * (1 + len(AUGMENTATIONS))
    test = DataGenerator(augmented, features, train=False, folds=["test"])
    assert all("parent" not in clip.extra for clip in test.clips)
    # The generator made before the store grew still reads what it read.
    assert plain.get_data()[0].shape == names["X_train"].shape


def test_the_generators_work_as_validation_and_test(names):
    model = names["SB_CNN"](**MODEL_PARAMS)
    with pytest.raises(ModelError, match="the data are scaled in another way than those the model was trained on"):
        model.train(names["data_gen_train"], names["data_gen_val"], **TRAIN_PARAMS)
    names["data_gen_train"].set_scaler(names["scaler"])
    history = model.train(names["data_gen_train"], names["data_gen_val"], **TRAIN_PARAMS)
    assert "val_accuracy" in history[0]
    scores = model.predict(names["data_gen_val"])
    assert all(isinstance(one, Scores) and one.edges[-1] == pytest.approx(1.2, abs=0.01) for one in scores)


def test_the_listing_is_the_one_in_the_design():
    design = Path(__file__).parent.parent / "docs" / "design.md"
    if not design.exists():
        pytest.skip("docs/design.md is not in this copy")
    assert SNIPPET.strip() in design.read_text(encoding="utf-8")
