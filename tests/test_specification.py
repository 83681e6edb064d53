"""Figures of the published systems that need no audio, as their specifications give them: sizes, shapes, splits, rules.

What other files test already is not here again: totals and forward passes (test_models_published, test_models_dcase_models), numbers of
front ends (test_features_presets), label files and split hashes (test_datasets_sed, test_datasets_scenes), events of task 4B
(test_postprocessing, test_metrics_maestro), SELD blocks (test_metrics_seld). Of training (steps, schedules, early stopping): its own files.
"""

import csv
import math
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dcasekit.annotations import Event, events_to_roll
from dcasekit.core import discover
from dcasekit.datasets import MAESTROReal
from dcasekit.features import MFCC, FeatureExtractor, FramesAudio, MelSpectrogram, RawAudio, Spectrogram
from dcasekit.models import CRNN2018, CRNN2023, DcaseNet, SceneCNN
from dcasekit.scores import Scores, median_filter, to_events

DATA = os.environ.get("DCASEKIT_DATA")
METADATA = Path(DATA or ".") / "metadata"

pytestmark = pytest.mark.usefixtures("one_thread")

realdata = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA, reason="set DCASEKIT_DATA to a folder that holds metadata/ to run: DCASEKIT_DATA=... pytest -m realdata"),
]


def labels(number):
    return tuple(f"label {index}" for index in range(number))


# ---- networks, layer by layer; with the statistics of batch normalisation where the published count has them


@pytest.mark.parametrize(
    ("model", "shape", "outputs", "task", "statistics", "layers"),
    [
        (
            CRNN2018(),
            (500, 64),
            10,
            "tagging",
            True,
            {
                **{"convolutions.0": 640, "convolutions.1": 256, "convolutions.5": 36_928, "convolutions.6": 256},
                **{"convolutions.10": 36_928, "convolutions.11": 256, "gru": 49_536, "out": 1_290},
            },
        ),
        (
            CRNN2023(),
            (200, 64),
            17,
            "detection",
            False,
            {
                **{"conv1": 1_280, "batch_norm1": 256, "conv2": 147_584, "batch_norm2": 256, "conv3": 147_584, "batch_norm3": 256},
                **{"gru1": 80_256, "linear1": 2_080, "linear2": 561},
            },
        ),
        (SceneCNN(), (500, 40), 10, "classification", True, {"convolutions.0": 1_664, "convolutions.5": 102_464, "out": 650}),
        (
            DcaseNet(version="v3"),
            (251, 128),
            80,
            "tagging",
            False,
            {
                **{"conv_block1": 37_696, "conv_block2": 221_696, "conv_block3": 885_760, "conv_block4_1": 1_180_672},
                **{"conv_block4_2": 1_180_672, "gru_1": 493_056, "gru_2": 493_056, "layer_TAG": 1_656_912},
            },
        ),
    ],
    ids=["2018 task 4", "2023 task 4B", "ASC tutorial", "DcaseNet v3"],
)
def test_layers_have_the_published_sizes(model, shape, outputs, task, statistics, layers):
    network = model.build(shape, labels(outputs), task=task).network
    kept = dict(network.named_buffers()) if statistics else {}
    tensors = {**dict(network.named_parameters()), **kept}
    found = {
        layer: sum(t.numel() for name, t in tensors.items() if name.startswith(f"{layer}.") and t.is_floating_point()) for layer in layers
    }
    assert found == layers


# ---- front ends


@pytest.mark.parametrize(
    ("feature", "shape"),
    [(Spectrogram, (32, 513)), (MelSpectrogram, (32, 64)), (MFCC, (32, 20)), (FramesAudio, (32, 1024)), (RawAudio, (32, 680))],
)
def test_shapes_of_dcase_models_windows(feature, shape):
    """Windows of 1 s each 0.5 s: 20 of 10 s, 3 of 2 s, one of less; raw audio is 32 frames of 680 samples, 21,760 in all."""
    assert [feature().get_shape(seconds) for seconds in (10.0, 2.0, 0.5)] == [(count, *shape) for count in (20, 3, 1)]


@pytest.mark.parametrize(
    ("preset", "frames", "bands"),
    [("dcase2018_task4", 501, 64), ("dcase2023_task4b", 51, 64), ("asc_tutorial", 501, 40), ("dcasenet", 500, 128)],
)
def test_frames_of_ten_seconds(preset, frames, bands):
    """1 + floor(N / hop) of a centred transform; DcaseNet's pre-emphasis takes a sample off: 500."""
    feature = FeatureExtractor.preset(preset)
    computed = feature.compute(np.zeros(10 * feature.sr, np.float32))
    assert computed.shape == (frames, bands)


@pytest.mark.parametrize(("seconds", "windows"), [(1.0, 1), (10.0, 1), (10.02, 1), (11.0, 1), (11.02, 2), (20.0, 2), (21.0, 2), (21.02, 3)])
def test_a_window_of_2018_is_kept_if_more_than_a_tenth_of_it_is_real(seconds, windows):
    """500 frames of 20 ms: 501 frames make one window, and 50 of 500 are not enough for another."""
    feature = FeatureExtractor.preset("dcase2018_task4")
    grid = feature.grid(1 + round(seconds * feature.sr) // feature.audio_hop, seconds)
    assert len(grid.starts) == windows


# ---- targets and post-processing


def test_targets_of_4b_reach_from_the_floor_to_the_ceiling():
    """Frames floor(onset / 0.2) to ceil(offset / 0.2), the last excluded, have the soft value."""
    for onset, offset, first, last in ((1, 2, 5, 10), (0, 1, 0, 5), (1.3, 1.7, 6, 9), (0.2, 0.4, 1, 2)):
        roll = events_to_roll([Event(onset, offset, "car", 0.7)], ("car",), np.arange(16) * 0.2)[:, 0]
        assert np.flatnonzero(roll).tolist() == list(range(first, last))
        assert set(roll.tolist()) <= {0.0, np.float32(0.7)}


def test_detections_of_2018():
    """At least 0.5, a median over 51 frames with zeros beyond the ends, runs [a, b) at a and b times 0.02 s."""
    values = np.zeros((500, 2))
    values[100:140, 0] = 0.5
    values[200:225, 0] = 1.0  # 25 of 51 frames: worn off
    values[300:326, 1] = 0.9  # 26 of 51: one frame is left
    values[470:, 1] = 0.6
    scores = Scores(values, np.arange(501) * 0.02, ("Cat", "Dog"))
    found = to_events(median_filter(scores, frames=51), inclusive=True)
    from scipy.signal import medfilt

    expected = []
    for column, label in enumerate(scores.labels):
        smooth = medfilt((values[:, column] >= 0.5).astype(float), 51)
        change = np.flatnonzero(np.diff(smooth, prepend=0, append=0)).reshape(-1, 2)
        expected += [(round(first * 0.02, 6), round(last * 0.02, 6), label) for first, last in change.tolist()]
    assert [(round(e.onset, 6), round(e.offset, 6), e.label) for e in found] == sorted(expected)
    assert (2.0, 2.8, "Cat") in expected
    assert len(expected) == 3


# ---- datasets


LABELS = {
    **{"ESC50": 50, "ESC10": 10, "UrbanSound8k": 10, "UrbanSED": 10, "TUTSoundEvents2017": 6, "MAVD": 9, "SONYCUST": 8},
    **{"FSDKaggle2018": 41, "FSDKaggle2019": 80, "TUTUrbanAcousticScenes2018": 10, "TAUUrbanAcousticScenes2019": 10},
    **{"TAUUrbanAcousticScenes2020Mobile": 10, "TAUUrbanAcousticScenes2022Mobile": 10, "DCASE2018Task4": 10, "MAESTROReal": 17},
    **{"TAUNIGENS2020": 14, "DESED": 10},
}


def test_numbers_of_labels():
    found = [
        discover.load("datasets", name) for name in discover.names("datasets") if name not in ("folder", "soundscapes", "synthetic_sounds")
    ]
    assert {kind.__name__: len(set(kind.labels)) for kind in found} == LABELS


def test_folds_of_maestro_real():
    recordings = MAESTROReal.recordings
    assert Counter(name.rpartition("_")[0] for name in recordings) == {
        **{"cafe_restaurant": 10, "city_center": 10, "grocery_store": 9, "metro_station": 9, "residential_area": 11}
    }
    sizes = [
        tuple(Counter(parts[f"fold{n}"] for parts in recordings.values())[part] for part in ("train", "validation", "test"))
        for n in range(1, 6)
    ]
    assert sizes == [(26, 12, 11), (27, 12, 10), (27, 12, 10), (27, 12, 10), (28, 13, 8)]
    assert all(list(parts.values()).count("test") == 1 for parts in recordings.values())


class TestRealMetadata:
    pytestmark = realdata

    def test_frames_of_maestro_real(self):
        """1 + floor(N / 8820) frames of 0.2 s: of 11,391.5 s in 49 recordings."""
        with (METADATA / "maestro_real" / "metadata" / "development_metadata.csv").open(newline="") as file:
            durations = [float(row["duration"]) for row in csv.DictReader(file, delimiter="\t")]
        assert len(durations) == 49
        feature = FeatureExtractor.preset("dcase2023_task4b", sequence_time=None)
        for seconds in durations:
            grid = feature.grid(1 + math.floor(round(seconds * 44100) / 8820), seconds)
            assert grid.frames == math.ceil(seconds / 0.2 - 1e-6)
        assert sum(durations) == pytest.approx(11391.5, abs=0.1)

    def test_events_of_2018_keep_the_annotation_rules(self):
        """Strong labels: at least 250 ms; gaps of one class shorter than 150 ms were joined. Exceptions of the real file are few."""
        spans = {}
        with (METADATA / "dcase2018_task4" / "test" / "test.csv").open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                spans.setdefault((row["filename"], row["event_label"]), []).append((float(row["onset"]), float(row["offset"])))
        every = [offset - onset for each in spans.values() for onset, offset in each]
        gaps = [after[0] - before[1] for each in spans.values() for before, after in pairwise(sorted(each))]
        assert len(every) == 908
        assert sum(length < 0.2499 for length in every) <= 0.01 * len(every)
        assert sum(-1e-6 < gap < 0.1499 for gap in gaps) <= 0.05 * len(gaps)

    def test_rows_of_2018(self):
        folder = METADATA / "dcase2018_task4"
        counts = {
            path: len((folder / path).read_text().splitlines()) - 1
            for path in ("train/weak.csv", "train/unlabel_in_domain.csv", "eval/eval.csv")
        }
        assert counts == {"train/weak.csv": 1578, "train/unlabel_in_domain.csv": 14_412, "eval/eval.csv": 3343}
        assert len((folder / "test" / "files_to_remove.csv").read_text().split()) - 1 in (45, 46)
