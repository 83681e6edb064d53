"""One bad file costs one line: what is wrong with one recording, whatever it is, stops no other."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch import nn
from typer.testing import CliRunner

from dcasekit import DataGenerator, audio, cli, testing
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets import Folder
from dcasekit.errors import AudioError, DcasekitError, ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import MLP

SR = 8000

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SR)).astype(np.float32)


def write_bad(folder):
    """Write files among which the first and the last, and one whose name is in another encoding, are good."""
    folder.mkdir(parents=True, exist_ok=True)
    audio.write(folder / "first.wav", noise(1.5), SR)
    audio.write(folder / "short.wav", noise(0.01), SR)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is not audio\n" * 9)
    for name, value in (("huge", 3e38), ("nan", np.nan), ("infinite", np.inf)):
        samples = noise(1)
        samples[500] = value
        soundfile.write(folder / f"{name}.wav", samples, SR, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    audio.write(folder / "last.wav", noise(1.5, 1), SR)
    latin = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav"))
    os.rename(audio_file(folder / "coffee.wav"), latin)
    bad = ("short", "empty", "text", "huge", "nan", "infinite", "nowhere", "folder")
    return [folder / "first.wav", *(folder / f"{name}.wav" for name in bad), latin, folder / "last.wav"]


def audio_file(path):
    audio.write(path, noise(1, 2), SR)
    return path


@dataclass(kw_only=True, eq=False)
class Fixed(TorchModelContainer):
    """Takes windows of the length that it was built for, and no others."""

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        return nn.Sequential(nn.Flatten(), nn.Linear(frames * dims, outputs))


@dataclass(kw_only=True, eq=False)
class Inner(TorchModelContainer):
    """Answers the frames that have four neighbours on either side."""

    def network_for(self, frames, dims, outputs, task):  # noqa: ARG002
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.out = nn.Linear(dims, outputs)

            def forward(self, x):
                return self.out(x)[:, 4:-4]

        return Network()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    dataset = testing.make_dataset("esc10", tmp_path_factory.mktemp("esc10"), clips=30, seconds=0.5, sr=SR)
    feature = MelSpectrogram(sr=SR, audio_win=256, audio_hop=128, mel=Mel(bands=16), sequence_time=0.2, sequence_hop_time=0.1)
    feature.extract(dataset)
    return dataset, feature


@pytest.fixture(scope="module")
def model(sounds):
    made = MLP(hidden_layers_size=(8,), dropout_rates=(0.0,))
    made.train(DataGenerator(*sounds, folds=sounds[0].clips), epochs=1, device="cpu")
    return made


def good(path):
    return path.stem in ("first", "last") or path.stem.startswith("caf")


def test_every_good_file_is_answered_as_if_it_were_alone(model, tmp_path):
    files = write_bad(tmp_path)
    found = dict(model.predict_each(files))
    assert list(found) == [str(path) for path in files]
    for path in files:
        answer = found[str(path)]
        if good(path):
            np.testing.assert_allclose(answer.values, model.predict([path])[0].values, rtol=1e-4, atol=1e-6)
        else:
            assert isinstance(answer, DcasekitError)
            assert path.name in str(answer)


def test_the_command_gives_one_line_for_each_bad_file(model, tmp_path):
    files = write_bad(tmp_path / "files")
    model.save(tmp_path / "model")
    arguments = ["predict", *map(str, files), "--model", str(tmp_path / "model"), "--format", "tsv", "--top", "1"]
    found = CliRunner().invoke(cli.app, arguments)
    assert found.exit_code == 1
    told = found.stderr.splitlines()
    bad = [path for path in files if not good(path)]
    assert len(told) == len(bad)
    assert all(path.name in line for path, line in zip(bad, told, strict=True))
    answered = [line.split("\t")[0] for line in found.stdout.splitlines()[1:]]
    assert [Path(name).name.partition(".")[0][:3] for name in answered] == ["fir", "caf", "las"]


def test_a_file_that_is_not_there_is_not_taken_for_one_of_a_dataset(model, tmp_path):
    with pytest.raises(AudioError, match=r"nothere\.wav does not exist") as found:
        model.predict([tmp_path / "nothere.wav"])
    assert "dataset" not in str(found.value)


def test_files_shorter_than_a_network_allows_stop_no_others(sounds, tmp_path):
    dataset, feature = sounds
    made = Fixed()
    made.train(DataGenerator(dataset, replace(feature, sequence_time=None), folds=dataset.clips), epochs=1, device="cpu")
    for name, seconds in (("a", 0.5), ("b", 0.3), ("c", 0.5), ("d", 0.7), ("e", 0.5)):
        audio.write(tmp_path / f"{name}.wav", noise(seconds), SR)
    files = [tmp_path / f"{name}.wav" for name in "abcde"]
    found = dict(made.predict_each(files))
    assert [Path(path).stem for path, answer in found.items() if isinstance(answer, ModelError)] == ["b", "d"]
    assert all(path in str(answer) for path, answer in found.items() if isinstance(answer, ModelError))
    for path in (files[0], files[2], files[4]):
        np.testing.assert_allclose(found[str(path)].values, made.predict([path])[0].values, rtol=1e-4, atol=1e-6)


def test_a_file_of_which_a_network_answers_no_frame_stops_no_others(sounds, tmp_path):
    made = Inner().build((40, 16), ("a", "b"), task="detection")
    made.features = replace(sounds[1], sequence_time=None)
    for name, seconds in (("a", 0.5), ("b", 0.05), ("c", 0.5)):
        audio.write(tmp_path / f"{name}.wav", noise(seconds), SR)
    first, short, last = (answer for _, answer in made.predict_each([tmp_path / f"{name}.wav" for name in "abc"]))
    np.testing.assert_allclose(first.values, last.values, atol=1e-6)
    assert isinstance(short, DcasekitError)
    assert "b.wav" in str(short)
    assert "has no frame" in str(short)
    with pytest.raises(ModelError, match="the windows are too short for it"):
        Inner().train((np.zeros((4, 8, 16)), np.zeros((4, 8, 2))), epochs=1, device="cpu")


def test_extraction_leaves_out_what_is_bad_and_stores_the_rest(sounds, tmp_path):
    for label in ("cat", "dog"):
        write_bad(tmp_path / "files" / label)
    dataset = Folder(tmp_path / "files", cache=tmp_path / "cache")
    store = sounds[1].extract(dataset, on_error="skip", jobs=1)
    assert {Path(clip).stem[:3] for clip in store.entries} == {"fir", "las", "caf"}
    listed = {Path(clip.id).stem for clip in dataset.clips}
    assert {Path(clip).stem for clip in store.skipped} == {"short", "empty", "text", "huge", "nan", "infinite"} & listed
    assert all(Path(clip).name in reason for clip, reason in store.skipped.items())
