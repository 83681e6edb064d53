"""What is large stays on the disk: generators are small when they are sent, and a long recording is never whole in memory."""

import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from dcasekit import DataGenerator, Scaler, testing
from dcasekit.features import Mel, MelSpectrogram

SR = 8000

LONG = """
import resource, sys
import torch
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import MLP
torch.set_num_threads(1)
feature = MelSpectrogram(sr=8000, audio_win=256, audio_hop=100, mel=Mel(bands=16), sequence_time=0.5, sequence_hop_time=0.5)
model = MLP(hidden_layers_size=(8,), dropout_rates=(0.0,)).build(feature.get_shape()[1:], ("a", "b"))
model.features = feature
for path in sys.argv[1:]:
    (scores,) = model.predict([path])
    print(len(scores.values), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    dataset = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=60, seconds=2.0, sr=SR)
    feature = MelSpectrogram(sr=SR, audio_win=256, audio_hop=64, mel=Mel(bands=64), sequence_time=0.5, sequence_hop_time=0.25)
    feature.extract(dataset)
    return dataset, feature


def test_a_generator_stays_small_when_it_is_pickled(sounds):
    """After its batches have been made, too: neither the store's frames nor drawn targets go along."""
    dataset, feature = sounds
    data = DataGenerator(dataset, feature, folds=dataset.clips, target="frame", train=False)
    fresh = len(pickle.dumps(data)) + 60 * len(data.clips)  # where its windows begin
    batches = list(data)
    read = sum(batch.x.nbytes for batch in batches)
    used = pickle.dumps(data)
    assert len(used) <= fresh
    assert len(used) < read / 20
    for one, other in zip(batches, pickle.loads(used), strict=True):  # noqa: S301 - our own
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


def test_the_size_of_batches_changes_no_scaler(sounds):
    dataset, feature = sounds
    one, other = (Scaler().fit(DataGenerator(dataset, feature, folds=dataset.clips, batch_size=size)) for size in (1, 50))
    assert one.to_dict() == other.to_dict()


def silence(path, minutes):
    """A 16-bit wav that takes no room on disk."""
    size = 2 * 60 * minutes * SR
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, SR, 2 * SR, 2, 16, b"data", size))
        file.truncate(44 + size)
    return str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is kilobytes on Linux only")
def test_predicting_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path):
    """Decoded, 40 minutes are 73 MiB of samples."""
    files = [silence(tmp_path / f"{minutes}.wav", minutes) for minutes in (4, 40)]
    done = subprocess.run([sys.executable, "-W", "error", "-c", LONG, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (short, before), (long, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (4 * 120, 40 * 120)
    assert after - before < 20, f"{after - before} MiB more than for 4 minutes"
