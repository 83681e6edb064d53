"""A choice of a dataset's labels: `Dataset.with_labels`, from lists, mappings and published sets, in Python and on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import AugmentedDataset, DataGenerator, cli, testing
from dcasekit.annotations import Clip, Event
from dcasekit.datasets import MAVD, Dataset, MAESTROReal, TAUUrbanAcousticScenes2019, TUTUrbanAcousticScenes2018
from dcasekit.errors import DatasetError
from dcasekit.features import RawAudio

LONG = RawAudio(sr=8000, audio_hop=400, sequence_time=None)


class Street(Dataset):
    task, labels, licence, citation = "detection", ("car", "bus", "dog", "bell"), "none", "none"
    folds = ("fold1", "fold2", "fold3")

    def load(self):
        tags = {"car": 0.4, "bus": 0.7, "dog": None}
        events = (Event(0, 3, "car"), Event(2, 4, "bus"), Event(4, 5, "car"), Event(1, 2, "dog"))
        yield Clip("known", Path("known.wav"), fold="fold1", tags=tags, events=events)
        yield Clip("weak", Path("weak.wav"), fold="fold2", tags={"bell": 1.0})
        yield Clip("unlabelled", Path("unlabelled.wav"), fold="fold3")


def test_a_list_keeps_these_labels_in_this_order_and_all_clips_of_a_detection_dataset():
    chosen = Street("nowhere").with_labels(["dog", "car"])
    assert chosen.labels == ("dog", "car")
    assert (chosen.name, chosen.task, chosen.folds) == ("Street", "detection", Street.folds)
    known, weak, unlabelled = chosen.clips
    assert known.tags == {"car": 0.4, "dog": None}
    assert known.events == (Event(0, 3, "car"), Event(1, 2, "dog"), Event(4, 5, "car"))
    assert (weak.tags, weak.events) == ({}, None)  # known to hold none of these; its times stay unknown
    assert (unlabelled.tags, unlabelled.events) == (None, None)
    assert Street("nowhere").clips[0].tags["bus"] == 0.7  # the dataset itself is as before


def test_labels_that_become_one_have_the_largest_value_and_one_event_where_theirs_overlap():
    known = Street("nowhere").with_labels({"car": "vehicle", "bus": "vehicle"}).clips[0]
    assert known.tags == {"vehicle": 0.7}
    assert known.events == (Event(0, 4, "vehicle"), Event(4, 5, "vehicle"))  # those that only touch stay two


def test_unknown_joined_with_known_is_unknown_unless_the_other_is_certain():
    assert Street("nowhere").with_labels({"bus": "x", "dog": "x"}).clips[0].tags == {"x": None}
    certain = {"bell": "x", "dog": "x"}
    assert Street("nowhere").with_labels(certain).clips[1].tags == {"x": 1.0}


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (["cat"], "no label 'cat'"),
        (["bos"], "Did you mean 'bus'"),
        ([], "one label or more"),
        (["car", "car"], "each once"),
        ("car", "no set of labels 'car'.*as a list"),
        ({"cat": "dog"}, "Known: car, bus, dog, bell"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(choice, says):
    with pytest.raises(DatasetError, match=says):
        Street("nowhere").with_labels(choice)


@pytest.fixture
def scenes(tmp_path):
    return testing.make_dataset("tau_urban_acoustic_scenes2019", tmp_path / "tau", clips=60, seconds=0.5, sr=8000)


def test_ten_scenes_become_three(scenes):
    three = scenes.with_labels("three")
    assert three.labels == ("indoor", "outdoor", "transportation")
    assert [clip.id for clip in three.clips] == [clip.id for clip in scenes.clips]
    assert all(len(clip.tags) == 1 for clip in three.clips)
    assert [len(part) for part in (three.split().train, three.split().test)] == [len(scenes.split().train), len(scenes.split().test)]
    assert sum(row.clips for row in three.summary().labels) == len(scenes.clips)
    assert three.validate() == []


def test_scenes_that_are_left_out_take_their_clips_along_and_are_no_extra_files(scenes):
    two = scenes.with_labels(["park", "tram"])
    assert {label for clip in two.clips for label in clip.tags} == {"park", "tram"}
    assert 0 < len(two.clips) < len(scenes.clips)
    assert two.validate() == []
    assert {clip.id for part in ("train", "test") for clip in two.select([part])} <= {clip.id for clip in two.clips}


def test_features_are_shared_with_the_dataset(scenes):
    LONG.extract(scenes, jobs=1)
    three = scenes.with_labels("three")
    assert LONG.check_if_extracted(three)
    assert LONG.store(three).folder == LONG.store(scenes).folder
    _, y = DataGenerator(three, LONG, folds=["test"], train=False).get_data()
    truth = np.stack([rows[0] for rows in y])
    assert truth.shape == (len(three.split().test), 3)
    assert (truth.sum(axis=1) == 1).all()


def test_a_choice_of_a_choice_and_of_a_resampled_dataset(scenes, tmp_path):
    scenes.change_sampling_rate(4000)
    one = scenes.with_labels("three").with_labels({"outdoor": "air"})
    assert one.labels == ("air",)
    assert {clip.path.parent.name for clip in one.clips} == {"audio4000"}
    assert one.derived == scenes.derived
    assert repr(one).endswith(".with_labels({'outdoor': 'air'})")


def test_copies_of_chosen_labels_lie_apart_from_those_of_all(scenes):
    plain = AugmentedDataset(scenes, [{"type": "white_noise", "snr": 20}])
    chosen = plain.with_labels("three")
    for each in (plain, chosen, plain):
        each.process(jobs=1)
    assert plain.folders.keys().isdisjoint(chosen.folders)
    assert {label for clip in chosen.split().train for label in clip.tags} == {"indoor", "outdoor", "transportation"}
    assert len(chosen.split().train) == 2 * len(scenes.split().train)
    assert len(AugmentedDataset(scenes, plain.augmentations).split().train) == len(chosen.split().train)  # nothing took their place


def test_published_sets():
    assert MAESTROReal("nowhere").with_labels("evaluated").labels == MAESTROReal.evaluated_labels
    assert MAVD("nowhere").with_labels("vehicles").labels == ("car", "bus", "motorcycle")
    assert MAVD("nowhere").with_labels("components").labels == ("engine", "brakes", "wheel", "compressor")
    for scenes in (TAUUrbanAcousticScenes2019, TUTUrbanAcousticScenes2018):
        assert len(scenes.label_sets["three"]) == 10


def test_mavd_has_three_levels(tmp_path):
    """The levels of the authors' code: 3 vehicles, 4 components, 8 components of a vehicle."""
    testing.make_dataset("mavd", tmp_path, clips=9, seconds=0.2, sr=8000)
    annotation = sorted((tmp_path / "annotations" / "train").glob("*.txt"))[0]
    rows = ((0.0, 0.1, "car/engine_idling"), (0.05, 0.15, "car/engine_accelerating"), (0.0, 0.2, "truck/brakes"), (0.1, 0.2, "bus/brakes"))
    annotation.write_text("".join(f"{onset}\t{offset}\t{label}\n" for onset, offset, label in rows))

    def level(dataset):
        return next(clip for clip in dataset.clips if clip.id == annotation.stem).events

    assert {event.label for event in level(MAVD(tmp_path).with_labels("vehicles"))} == {"car", "bus"}
    components = level(MAVD(tmp_path).with_labels("components"))
    assert Event(0.0, 0.15, "engine") in components
    pairs = MAVD(tmp_path, pairs=True)
    assert len(pairs.labels) == 8
    assert {event.label for event in level(pairs)} == {"car/engine", "bus/brakes"}


def test_labels_are_chosen_on_the_command_line(scenes):
    def stats(labels):
        return CliRunner().invoke(
            cli.app, ["datasets", "stats", "tau_urban_acoustic_scenes2019", "--data", str(scenes.root), "--json", "-D", labels]
        )

    for text, labels in (
        ("three", ["indoor", "outdoor", "transportation"]),
        ("park, tram", ["park", "tram"]),
        ('{"bus": "public", "tram": "public"}', ["public"]),
    ):
        assert [row["label"] for row in json.loads(stats(f"labels={text}").stdout)["labels"]] == labels
    assert "Did you mean 'park'" in stats("labels=parc").stderr
    assert stats("labels={bus").exit_code == 2
