"""The urban acoustic scenes: what is special about each edition, and the published split of 2018, file for file."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from dcasekit import audio, testing
from dcasekit.datasets.tau_urban_acoustic_scenes_2019 import TAUUrbanAcousticScenes2019
from dcasekit.datasets.tau_urban_acoustic_scenes_2020_mobile import TAUUrbanAcousticScenes2020Mobile
from dcasekit.datasets.tau_urban_acoustic_scenes_2022_mobile import TAUUrbanAcousticScenes2022Mobile
from dcasekit.datasets.tut_urban_acoustic_scenes_2018 import TUTUrbanAcousticScenes2018
from dcasekit.errors import DatasetError

EDITIONS = {
    2018: TUTUrbanAcousticScenes2018,
    2019: TAUUrbanAcousticScenes2019,
    2020: TAUUrbanAcousticScenes2020Mobile,
    2022: TAUUrbanAcousticScenes2022Mobile,
}
MOBILE = (TAUUrbanAcousticScenes2020Mobile, TAUUrbanAcousticScenes2022Mobile)


@pytest.fixture(params=EDITIONS)
def scenes(request, tmp_path):
    return testing.make_dataset(EDITIONS[request.param].__name__, tmp_path, clips=18, seconds=0.1, sr=8000)


@pytest.fixture
def mobile(tmp_path):
    return testing.make_dataset("TAUUrbanAcousticScenes2020Mobile", tmp_path, clips=60, seconds=0.1, sr=8000)


def changed(dataset, name, change):
    """The same files read anew after a change of the lines of a list or of the meta table."""
    path = dataset.root / name
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    return type(dataset)(dataset.root)


def listing(dataset, stem):
    return f"evaluation_setup/fold1_{stem}{dataset.lists}"


def test_a_clip_listed_twice_is_refused_even_where_the_rows_agree(scenes):
    with pytest.raises(DatasetError, match=r"fold1_train.*: 'audio/.*' is listed twice; remove one of the rows"):
        _ = changed(scenes, listing(scenes, "train"), lambda lines: [*lines, lines[-1]]).clips


def test_a_clip_is_what_its_file_name_says(scenes):
    for clip in scenes.clips:
        scene, city, location, *_, device = clip.id.split("-")
        assert clip.tags == {scene: 1.0}
        assert clip.group == f"{city}-{location}"
        assert clip.extra == {"city": city, "device": device}
        assert clip.path == scenes.root / "audio" / f"{clip.id}.wav"


def test_only_listed_clips_are_trained_and_tested_on(scenes):
    lists = [(scenes.root / listing(scenes, stem)).read_text().splitlines() for stem in ("train", "evaluate")]
    train, test = ({line.partition("\t")[0] for line in lines} for lines in lists)
    for validation in (True, False):
        split = scenes.split(validation=validation)
        assert {f"audio/{clip.path.name}" for clip in split.train} == train - {"filename"}
        assert {f"audio/{clip.path.name}" for clip in split.test} == test - {"filename"}
        assert split.validation == ()
    rest = {clip.id for clip in scenes.clips} - {clip.id for part in (split.train, split.test) for clip in part}
    assert rest == {clip.id for clip in scenes.clips if clip.fold == "unused"}
    assert bool(rest) == (scenes.folds[-1] == "unused")


def test_files_are_as_deep_and_wide_as_the_true_ones(scenes):
    head = audio.info(scenes.clips[0].path)
    assert (head.channels, head.subtype) == (1 if isinstance(scenes, MOBILE) else 2, "PCM_24")


def test_scenes_are_the_same_ten_in_their_editions_order():
    assert EDITIONS[2018].labels == tuple(sorted(EDITIONS[2019].labels))
    assert EDITIONS[2019].labels == EDITIONS[2020].labels == EDITIONS[2022].labels
    assert EDITIONS[2019].labels[:3] == ("airport", "shopping_mall", "metro_station")


@pytest.mark.parametrize(("edition", "parts"), [(2018, 13), (2019, 21), (2020, 16), (2022, 16)])
def test_all_archives_are_fetched(edition, parts):
    names = [file.filename for file in EDITIONS[edition].archives]
    wanted = ["doc", "meta", *(f"audio.{number}" for number in range(1, parts + 1))]
    shares = [f"split{share}.csv" for share in (5, 10, 25, 50)] if edition == 2022 else []
    assert names == [*(f"{EDITIONS[edition].flatten}.{part}.zip" for part in wanted), *shares]
    assert len({file.checksum for file in EDITIONS[edition].archives if file.checksum}) == len(names) - len(shares)


def test_recordings_of_one_place_by_several_devices_are_one_group(mobile):
    devices = {}
    for clip in mobile.clips:
        devices.setdefault(clip.group, set()).add(clip.extra["device"])
    assert all(len(found) == 2 for found in devices.values())
    assert set().union(*devices.values()) == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
    split = mobile.split()
    assert not {clip.group for clip in split.train} & {clip.group for clip in split.test}


def test_a_file_in_both_lists_is_refused(scenes):
    tested = (scenes.root / listing(scenes, "evaluate")).read_text().splitlines()[-1]
    with pytest.raises(DatasetError, match=r"'audio/.*\.wav' is in both fold1_train and fold1_evaluate"):
        _ = changed(scenes, listing(scenes, "train"), lambda lines: [*lines, tested]).clips


def test_a_listed_file_that_the_meta_table_lacks_is_refused(scenes):
    with pytest.raises(DatasetError, match=r"fold1_train.*: 'audio/bus-rome-9-9-a.wav' is not in .*meta.csv"):
        _ = changed(scenes, listing(scenes, "train"), lambda lines: [*lines, "audio/bus-rome-9-9-a.wav\tbus"]).clips


def test_a_list_and_the_meta_table_that_contradict_each_other_are_refused(scenes):
    def other_scene(lines):
        return [*lines[:-1], lines[-1].rpartition("\t")[0] + "\tcar"]

    with pytest.raises(DatasetError, match=r"fold1_evaluate.* is 'car', in .*meta.csv it is"):
        _ = changed(scenes, listing(scenes, "evaluate"), other_scene).clips


def test_in_2018_every_clip_is_listed(tmp_path):
    scenes = testing.make_dataset("TUTUrbanAcousticScenes2018", tmp_path, clips=12, seconds=0.1, sr=8000)
    with pytest.raises(DatasetError, match="has the unknown fold 'unused'; known: train, test"):
        _ = changed(scenes, listing(scenes, "train"), lambda lines: lines[1:]).clips
    with pytest.raises(DatasetError, match=r"fold1_train.txt, line 1: expected filename, scene label, got \['audio/one.wav'\]"):
        _ = changed(scenes, listing(scenes, "train"), lambda lines: ["audio/one.wav", *lines]).clips


def test_validation_clips_are_whole_locations_of_the_training_clips(scenes):
    split = scenes.validation_split(0.3, balance=None, seed=2)
    whole = scenes.split()
    assert sorted(clip.id for clip in split.train + split.validation) == sorted(clip.id for clip in whole.train)
    assert split.train
    assert split.validation
    assert not {clip.group for clip in split.train} & {clip.group for clip in split.validation}
    assert split.test == whole.test


def test_fold_counts_of_a_small_tree(mobile):
    assert Counter(clip.fold for clip in mobile.clips) == {"train": 20, "test": 20, "unused": 20}


@pytest.fixture
def seconds(tmp_path):
    return testing.make_dataset("TAUUrbanAcousticScenes2022Mobile", tmp_path, clips=60, seconds=0.1, sr=8000)


def test_a_second_of_a_segment_is_in_the_name(seconds):
    assert seconds.clips[1].id == "airport-barcelona-0-0-0-b"
    trained = {clip.extra["device"] for clip in seconds.clips if clip.fold == "train"}
    tested = {clip.extra["device"] for clip in seconds.clips if clip.fold == "test"}
    assert trained == {"a", "b", "c", "s1", "s2", "s3"}
    assert tested == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}


@pytest.mark.parametrize("subset", [5, 10, 25, 50])
def test_of_a_share_the_other_training_clips_are_unused(seconds, subset):
    whole = seconds.split()
    listed = (seconds.root / f"split{subset}.csv").read_text().splitlines()[1:]
    chosen = {line.partition("\t")[0] for line in listed}
    share = TAUUrbanAcousticScenes2022Mobile(seconds.root, subset=subset)
    split = share.split()
    assert {f"audio/{clip.path.name}" for clip in split.train} == chosen
    assert 0 < len(split.train) < len(whole.train)
    assert split.test == whole.test
    assert {clip.id for clip in share.clips} == {clip.id for clip in seconds.clips}


def test_a_share_is_of_the_training_clips(seconds):
    path = seconds.root / "split25.csv"
    text = path.read_text()
    tested = next(clip.path.name for clip in seconds.clips if clip.fold == "test")
    for row, why in (
        (f"audio/{tested}\tbus", "is not in fold1_train.csv"),
        ("audio/none.wav\tbus", "'audio/none.wav' is not in .*meta.csv"),
    ):
        path.write_text(f"{text}{row}\n")
        with pytest.raises(DatasetError, match=f"split25.csv: .*{why}"):
            _ = TAUUrbanAcousticScenes2022Mobile(seconds.root, subset=25).clips
    path.unlink()
    assert len(TAUUrbanAcousticScenes2022Mobile(seconds.root).clips) == 60
    with pytest.raises(DatasetError, match="split25.csv"):
        _ = TAUUrbanAcousticScenes2022Mobile(seconds.root, subset=25).clips
    with pytest.raises(DatasetError, match="5, 10, 25, 50 or 100; got 30"):
        TAUUrbanAcousticScenes2022Mobile(seconds.root, subset=30)


# ---- the published split of 2018; tests/data/tut2018_fold1.json holds the file names of the dataset's own lists

HASHES = {
    "train": "435268509dd0b9c522b6d95b54105c05dedfcce661d5024fe54ec84e6102b155",
    "test": "0662417b79560572928f721d2a274d03f4cafabec40ba256a0e0ad5bd4d611aa",
    "validation": "a78b0370b137b86ff285c76af8b7d19f13e7d07ced5be34f77d040518aa2bfb9",
}


def digest(clips):
    return hashlib.sha256("\n".join(sorted(f"audio/{clip.path.name}" for clip in clips)).encode()).hexdigest()


@pytest.fixture(scope="module")
def tut2018(tmp_path_factory):
    """The true label files, without audio."""
    root = tmp_path_factory.mktemp("tut2018")
    (root / "evaluation_setup").mkdir()
    content = json.loads((Path(__file__).parent / "data" / "tut2018_fold1.json").read_text())
    places = [
        (part, scene, city, first)
        for part in ("train", "test")
        for scene, cities in content[part].items()
        for city, firsts in cities.items()
        for first in firsts
    ]
    ends = [first for *_, first in places[1:]] + [8640]
    meta, lists = ["filename\tscene_label\tidentifier\tsource_label\n"], {"train": [], "test": []}
    for number, ((part, scene, city, first), end) in enumerate(zip(places, ends, strict=True)):
        for segment in range(first, end):
            name = f"audio/{scene}-{city}-{number}-{segment}-a.wav"
            meta.append(f"{name}\t{scene}\t{city}-{number}\ta\n")
            lists[part].append(f"{name}\t{scene}\n")
    (root / "meta.csv").write_text("".join(meta))
    for stem, part in (("train", "train"), ("evaluate", "test")):
        (root / "evaluation_setup" / f"fold1_{stem}.txt").write_text("".join(lists[part]))
    return TUTUrbanAcousticScenes2018(root)


def test_fold_1_of_2018_is_the_published_one(tut2018):
    assert len(tut2018.clips) == 8640
    assert Counter(scene for clip in tut2018.clips for scene in clip.tags) == dict.fromkeys(tut2018.labels, 864)
    assert len({clip.group for clip in tut2018.clips}) == 286
    split = tut2018.split()
    assert (len(split.train), len(split.test)) == (6122, 2518)
    assert {part: digest(getattr(split, part)) for part in ("train", "test")} == {part: HASHES[part] for part in ("train", "test")}


def test_the_tutorials_validation_clips_come_out_file_for_file(tut2018):
    split = tut2018.validation_split(0.3, balance="identifier_two_level_hierarchy", seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (4134, 1988, 2518)
    assert [len({clip.group for clip in part}) for part in (split.train, split.validation)] == [131, 72]
    assert digest(split.validation) == HASHES["validation"]
    assert digest(tut2018.validation_split(0.3, balance="identifier_two_level_hierarchy", seed=1).validation) != HASHES["validation"]
