"""What the paper's library is asked before it works: is it downloaded, resampled, extracted; and parts of a split that are empty."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from dcasekit import AugmentedDataset, audio, testing
from dcasekit.annotations import Clip
from dcasekit.datasets import CrossValidation, Dataset, DCASE2018Task4, SyntheticSounds, TrainValidateTest
from dcasekit.errors import DatasetError
from dcasekit.features import RawAudio


class Listed(Dataset):
    """Clips that are handed over."""

    task, labels, licence, citation = "tagging", ("a", "b"), "none", "none"
    folds = ("fold1", "fold2", "train", "validate", "test")

    def __init__(self, *clips, protocol=CrossValidation()):  # noqa: B008 - it is frozen
        super().__init__("nowhere")
        self.given, self.protocol = clips, protocol

    def load(self):
        return self.given


def clip(name, fold, group=""):
    return Clip(id=name, path=Path(name), fold=fold, group=group, tags={"a": 1.0})


@pytest.fixture
def esc50(tmp_path):
    return testing.make_dataset("esc50", tmp_path / "esc", clips=40, seconds=0.1, sr=8000)


def test_files_put_there_by_hand_are_not_fetched_again(esc50):
    assert not esc50.check_if_downloaded()
    esc50.set_as_downloaded()
    assert esc50.check_if_downloaded()
    assert type(esc50)(esc50.root).check_if_downloaded()
    assert esc50.download() is False
    augmented = AugmentedDataset(esc50, [{"type": "white_noise", "snr": 20}])
    assert augmented.check_if_downloaded()
    assert esc50.with_labels(["dog"]).check_if_downloaded()


def test_what_is_not_there_is_not_marked_as_there(esc50, tmp_path):
    esc50.clips[3].path.unlink()
    with pytest.raises(DatasetError, match=f"1 of 40 listed files.*{esc50.clips[3].path.name}"):
        esc50.set_as_downloaded()
    with pytest.raises(DatasetError, match="download"):
        type(esc50)(tmp_path / "empty").set_as_downloaded()
    assert not esc50.check_if_downloaded()


def test_a_dataset_without_archive_can_be_marked(tmp_path):
    made = testing.make_dataset("dcase2018_task4", tmp_path, clips=24, seconds=0.1, sr=8000)
    with pytest.raises(DatasetError, match="has no archive"):
        made.download()
    made.set_as_downloaded()
    assert DCASE2018Task4(tmp_path).check_if_downloaded()
    assert made.download() is False


def test_sounds_that_are_made_know_their_settings(tmp_path):
    sounds = SyntheticSounds(tmp_path, clips=8, seconds=0.1, sr=8000)
    assert not sounds.check_if_downloaded()
    sounds.download()
    assert sounds.check_if_downloaded()
    assert not SyntheticSounds(tmp_path, clips=8, seconds=0.2, sr=8000).check_if_downloaded()


def test_copies_at_another_rate_are_of_the_audio_as_it_is(esc50):
    assert not esc50.check_sampling_rate(4000)
    esc50.change_sampling_rate(4000)
    assert esc50.check_sampling_rate(4000)
    assert not esc50.check_sampling_rate(2000)
    fresh = type(esc50)(esc50.root)
    assert fresh.check_sampling_rate(4000)
    path = fresh.clips[0].path
    audio.write(path, np.full(800, 0.1, np.float32), 8000)
    os.utime(path, ns=(1, 1))
    assert not fresh.check_sampling_rate(4000)
    with pytest.raises(DatasetError, match="positive number of Hz"):
        fresh.check_sampling_rate(0)


def test_features_are_extracted_when_those_of_every_clip_are_there_and_current(esc50):
    feature = RawAudio(sr=8000, audio_hop=400, sequence_time=None)
    assert not feature.check_if_extracted(esc50)
    feature.extract(esc50, jobs=1)
    assert feature.check_if_extracted(esc50)
    assert not RawAudio(sr=8000, audio_hop=200, sequence_time=None).check_if_extracted(esc50)
    path = esc50.clips[0].path
    audio.write(path, np.full(800, 0.1, np.float32), 8000)
    os.utime(path, ns=(1, 1))
    assert not feature.check_if_extracted(esc50)


@pytest.mark.parametrize(("amount", "groups"), [(0.9, 1), (0.5, 1), (0.99, 3)])
def test_a_draw_that_leaves_nothing_to_train_on_is_refused(amount, groups):
    clips = [clip(f"{fold}{n}", fold, group=f"{fold} {n % groups}") for fold in ("fold1", "fold2") for n in range(6)]
    with pytest.raises(DatasetError, match=f"amount={amount}.* in {groups} groups leaves none to train on"):
        Listed(*clips).validation_split(amount, balance=None)


def test_labels_of_one_part_alone_are_told(caplog):
    clips = [clip(f"{fold} {n}", fold, group=f"{fold} {n}") for fold in ("fold1", "fold2") for n in range(4)]
    clips.append(Clip(id="rare", path=clips[0].path, fold="fold2", group="rare", tags={"b": 1.0}))
    with caplog.at_level(logging.WARNING):
        Listed(*clips).validation_split(0.25)
    assert "there are clips of the labels b to validate on, but none to train on" in caplog.text


def test_a_validation_fold_without_clips_is_told(caplog):
    clips = [clip("1", "train"), clip("2", "test")]
    with caplog.at_level(logging.WARNING):
        split = Listed(*clips, protocol=TrainValidateTest()).split()
    assert split.validation == ()
    assert "no clips to validate on: validate has none" in caplog.text
    caplog.clear()
    Listed(*clips, protocol=TrainValidateTest()).split(validation=False)
    assert not caplog.text
