"""Datasets for sound event detection: what is special about each, and the real label files in ``$DCASEKIT_DATA/metadata``."""

import csv
import hashlib
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dcasekit import audio, testing
from dcasekit.annotations import Event, read_events
from dcasekit.datasets._hold_out import hold_out
from dcasekit.datasets.dcase2018_task4 import DCASE2018Task4
from dcasekit.datasets.maestro_real import MAESTROReal
from dcasekit.datasets.tau_nigens_2020 import TAUNIGENS2020
from dcasekit.datasets.tut_sound_events_2017 import TUTSoundEvents2017
from dcasekit.download import unpack
from dcasekit.errors import DatasetError

DATA = os.environ.get("DCASEKIT_DATA")
METADATA = Path(DATA or ".") / "metadata"


def realdata(test):
    reason = "set DCASEKIT_DATA to a folder that holds metadata/ to run: DCASEKIT_DATA=... pytest -m realdata"
    return pytest.mark.realdata(pytest.mark.skipif(not DATA, reason=reason)(test))


def made(kind, folder, clips=24, seconds=1.0):
    return testing.make_dataset(kind.__name__, folder, clips=clips, seconds=seconds, sr=8000)


def written(dataset, name, text):
    """The same files read anew with another text in one of them."""
    (dataset.root / name).write_text(text)
    return type(dataset)(dataset.root)


def clips_of(dataset, fold):
    return [clip for clip in dataset.clips if clip.fold == fold]


# ---- TUT Sound Events 2017


def test_annotations_of_three_and_of_seven_columns_are_read(tmp_path):
    dataset = made(TUTSoundEvents2017, tmp_path)
    for clip in dataset.clips:
        rows = [line.split("\t") for line in (tmp_path / "meta" / "street" / f"{clip.id}.ann").read_text().splitlines()]
        assert {len(row) for row in rows} == {7 if clip.fold == "test" else 3}
        cells = [row[2:5] if clip.fold == "test" else row for row in rows]
        assert clip.events == tuple(Event(float(onset), float(offset), label) for onset, offset, label in cells)
        assert clip.tags == dict.fromkeys((label for *_, label in cells), 1.0)
        assert clip.extra == {"scene": "street"}
    assert audio.info(dataset.clips[0].path).channels == 2


def test_evaluation_recordings_are_tested_on_and_nothing_else(tmp_path):
    dataset = made(TUTSoundEvents2017, tmp_path)
    held = {clip.id for clip in clips_of(dataset, "test")}
    for fold in dataset.folds[:4]:
        split = dataset.split(fold)
        assert not held & {clip.id for part in (split.train, split.validation, split.test) for clip in part}
    final = dataset.split("test")
    assert {clip.id for clip in final.test} == held
    assert {clip.fold for clip in final.train} == {"fold1", "fold2", "fold3", "fold4"}


def test_a_recording_without_events_is_known_to_be_empty(tmp_path):
    dataset = made(TUTSoundEvents2017, tmp_path)
    first = dataset.clips[0].id
    assert written(dataset, f"meta/street/{first}.ann", "").clips[0].events == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.5\t1.0\n", r"a001.ann, line 1: expected onset offset label"),
        ("0.5\t1.0\tcar\n2.0\t1.0\tcar\n", r"a001.ann, line 2: .*0 <= onset <= offset"),
        ("0.5\t1.0\tcat\n", "clip 'a001' has the unknown label 'cat'"),
    ],
)
def test_bad_annotations_are_refused(tmp_path, text, says):
    with pytest.raises(DatasetError, match=says):
        _ = written(made(TUTSoundEvents2017, tmp_path, clips=10), "meta/street/a001.ann", text).clips


# ---- TAU-NIGENS Spatial Sound Events 2020

NIGENS_ROWS = """\
3,13,1,-90,10
3,0,0,12,5
4,0,0,13,5
5,0,0,14,5
5,0,2,-20,0
6,0,2,-20,0
9,0,0,15,5
10,0,0,15,5
4,13,1,-90,10
"""


def test_frames_in_a_row_of_one_class_and_number_are_one_event(tmp_path):
    dataset = made(TAUNIGENS2020, tmp_path, clips=12)
    name = dataset.clips[0].group
    clips = [clip for clip in written(dataset, f"metadata_dev/{name}.csv", NIGENS_ROWS).clips if clip.group == name]
    expected = (
        Event(0.3, 0.5, "piano"),  # its rows need not follow one another
        Event(0.3, 0.6, "alarm"),
        Event(0.5, 0.7, "alarm"),  # another event of the class, at the same time
        Event(0.9, 1.1, "alarm"),  # the first event after a pause
    )
    assert [sorted(clip.events) for clip in clips] == [sorted(expected)] * 4
    assert clips[0].tags == {"piano": 1.0, "alarm": 1.0}


def test_a_recording_without_rows_holds_no_event(tmp_path):
    dataset = made(TAUNIGENS2020, tmp_path, clips=12)
    first = written(dataset, f"metadata_dev/{dataset.clips[0].group}.csv", "").clips[0]
    assert first.events == ()
    assert first.tags == {}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0,14,0,0,0", r"line 2: class 14 in frame 0; both are counted from 0, and the last class is 13"),
        ("0,-1,0,0,0", r"line 2: class -1"),
        ("-1,3,0,0,0", r"line 2: class 3 in frame -1"),
        ("0.5,3,0,0,0", r"line 2: expected whole numbers frame, class, event number"),
        ("1,2", r"line 2: expected frame, class, event number, azimuth, elevation"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, row, says):
    dataset = made(TAUNIGENS2020, tmp_path, clips=12)
    with pytest.raises(DatasetError, match=rf"{dataset.clips[0].group}.csv, {says}"):
        _ = written(dataset, f"metadata_dev/{dataset.clips[0].group}.csv", f"0,0,0,0,0\n{row}\n").clips


def test_every_channel_is_a_clip_of_its_recording(tmp_path):
    dataset = made(TAUNIGENS2020, tmp_path, clips=28)
    assert len(dataset.clips) == 28
    for start in range(0, 28, 4):
        four = dataset.clips[start : start + 4]
        assert len({(clip.group, clip.path, clip.events, clip.fold) for clip in four}) == 1
        assert [clip.id for clip in four] == [f"{four[0].group}-ch{number}" for number in (1, 2, 3, 4)]
        heard = [audio.read(clip.path, channel=clip.channel)[0] for clip in four]
        assert not any(np.array_equal(heard[a], heard[b]) for a in range(4) for b in range(a))


def test_folds_are_trained_validated_and_tested_on_as_published(tmp_path):
    dataset = made(TAUNIGENS2020, tmp_path, clips=28)
    for fold in ("fold1", "eval"):
        split = dataset.split(fold)
        found = [{clip.fold for clip in part} for part in (split.train, split.validation, split.test)]
        assert found == [{"fold3", "fold4", "fold5", "fold6"}, {"fold2"}, {fold}]
    with pytest.raises(DatasetError, match="no fold 'fold2' to test on"):
        dataset.split("fold2")


def test_evaluation_recordings_before_their_labels_were_published_are_unknown(tmp_path):
    made(TAUNIGENS2020, tmp_path, clips=28)
    for file in (tmp_path / "metadata_eval").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match=r"metadata_eval/mix005.csv does not exist; run download\(\)"):
        _ = TAUNIGENS2020(tmp_path).clips
    (tmp_path / "metadata_eval").rmdir()
    clips = clips_of(TAUNIGENS2020(tmp_path), "eval")
    assert len(clips) == 4
    assert {(clip.tags, clip.events) for clip in clips} == {(None, None)}


def test_both_forms_lie_in_one_folder_and_share_the_labels(tmp_path):
    array = made(TAUNIGENS2020, tmp_path, clips=12)
    (tmp_path / "mic_dev").rename(tmp_path / "foa_dev")
    ambisonics = TAUNIGENS2020(tmp_path, form="foa")
    assert ambisonics.validate(jobs=1) == []
    assert [clip.events for clip in ambisonics.clips] == [clip.events for clip in array.clips]
    assert not {clip.id for clip in ambisonics.clips} & {clip.id for clip in array.clips}  # in a shared cache they stay apart
    assert {problem.kind for problem in TAUNIGENS2020(tmp_path).validate(jobs=1)} == {"missing"}
    for form in ("mic", "foa"):
        names = {file.filename for file in TAUNIGENS2020(tmp_path, form=form).archives}
        assert names == {
            *(f"{form}_dev.{end}" for end in ("z01", "z02", "zip")),
            f"{form}_eval.zip",
            "metadata_dev.zip",
            "metadata_eval.zip",
        }
    with pytest.raises(DatasetError, match="form must be 'mic' .* or 'foa' .*; got 'binaural'"):
        TAUNIGENS2020(tmp_path, form="binaural")


@pytest.mark.parametrize("kind", [TAUNIGENS2020, MAESTROReal])
@pytest.mark.parametrize("with_top", [True, False])
def test_archives_unpack_to_the_same_place_with_and_without_a_top_folder(tmp_path, kind, with_top):
    for file in kind("nowhere").archives:
        archive = tmp_path / file.filename
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive, "w") as made_zip:
                made_zip.writestr(f"{archive.stem}/inner/a.txt" if with_top else "inner/a.txt", "a")
            assert unpack(archive, tmp_path / "tree" / file.into, flatten=kind.flatten) == [
                tmp_path / "tree" / archive.stem / "inner" / "a.txt"
            ]


# ---- DCASE 2018 task 4


def test_clips_are_as_well_known_as_their_fold(tmp_path):
    dataset = made(DCASE2018Task4, tmp_path, clips=48)
    weak, unlabelled, test, evaluation = (clips_of(dataset, fold) for fold in dataset.folds)
    assert all(clip.tags and clip.events is None for clip in weak)
    assert any(len(clip.tags) > 1 for clip in weak)
    assert all(clip.tags is None and clip.events is None for clip in unlabelled)
    assert all(clip.events and clip.tags == dict.fromkeys((event.label for event in clip.events), 1.0) for clip in test)
    empty = [clip for clip in evaluation if clip.events == ()]
    assert 0 < len(empty) < len(evaluation)
    assert all(clip.tags == {} for clip in empty)
    for clip in dataset.clips:
        assert clip.id == f"Y{clip.group}_{clip.id[13:]}"
    split = dataset.split("eval")
    assert (split.train, split.test) == (tuple(weak), tuple(evaluation))
    assert dataset.split().test == tuple(test)


@pytest.mark.parametrize("separator", [",", ";"])
def test_weak_labels_have_commas_or_semicolons_between_them(tmp_path, separator):
    dataset = made(DCASE2018Task4, tmp_path, clips=16)
    name = clips_of(dataset, "weak")[0].path.name
    table = f"filename\tevent_labels\n{name}\tDog{separator}Cat\n"
    assert clips_of(written(dataset, "metadata/train/weak.csv", table), "weak")[0].tags == {"Dog": 1.0, "Cat": 1.0}


def test_clips_whose_film_is_gone_are_left_out_and_counted(tmp_path):
    dataset = made(DCASE2018Task4, tmp_path, clips=24)
    gone = [dataset.clips[number] for number in (0, 9, 23)]
    for clip in gone:
        clip.path.unlink()
    rest = DCASE2018Task4(tmp_path)
    assert rest.missing == tuple(clip.id for clip in gone)
    assert len(rest.clips) == 21
    assert len(rest.listed) == 24
    assert rest.summary().missing == 3
    assert "3 more are listed but not there" in str(rest.summary())
    assert not set(rest.missing) & {clip.id for part in (rest.split().train, rest.split().test) for clip in part}


def test_files_that_left_the_test_set_are_not_tested_on(tmp_path):
    dataset = made(DCASE2018Task4, tmp_path, clips=24)
    first, second, *_ = (clip.path.name for clip in clips_of(dataset, "test"))
    removed = written(dataset, "metadata/test/files_to_remove.csv", f"filename\n{first}\n")
    assert first not in {clip.path.name for clip in removed.clips}
    assert second in {clip.path.name for clip in removed.clips}
    assert len(removed.clips) == 23


def test_the_evaluation_list_may_lack(tmp_path):
    dataset = made(DCASE2018Task4, tmp_path, clips=24)
    (tmp_path / "metadata" / "eval" / "eval.csv").unlink()
    (tmp_path / "metadata" / "test" / "files_to_remove.csv").unlink()
    without = DCASE2018Task4(tmp_path)
    assert without.present_folds == ("weak", "unlabel_in_domain", "test")
    assert len(without.clips) == len(dataset.clips) - len(clips_of(dataset, "eval"))


def test_download_says_where_the_audio_came_from(tmp_path):
    with pytest.raises(DatasetError, match=r"(?s)YouTube.*DCASE-REPO/dcase2018_baseline.*train/unlabel_in_domain"):
        DCASE2018Task4(tmp_path).download()


# ---- MAESTRO Real


def test_values_are_weights_and_the_largest_is_the_tag(tmp_path):
    dataset = made(MAESTROReal, tmp_path, clips=10, seconds=3.0)
    rows = "0.0\t1.0\tcar\t0.25\n0.0\t1.0\tfootsteps\t0.0\n1.0\t2.0\tcar\t0.75\n1.0\t2.0\tpeople talking\t1.0000000000000002\n"
    name, scene = dataset.clips[0].id, dataset.clips[0].extra["scene"]
    first = written(dataset, f"development_annotation/soft_labels_{scene}/{name}.txt", rows).clips[0]
    assert first.events == (Event(0, 1, "car", 0.25), Event(1, 2, "car", 0.75), Event(1, 2, "people talking", 1.0))
    assert first.tags == {"car": 0.75, "people talking": 1.0}
    assert first.path == tmp_path / "development_audio" / scene / f"{name}.wav"
    assert first.duration == 3.0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0.0\t1.0\tcat\t0.5", "line 1: unknown label 'cat'"),
        ("0.0\t1.0\tcar\t1.2", r"line 1: expected onset, offset, label and value in \[0, 1\].*1.2"),
        ("0.0\t1.0\tcar\tmuch", r"line 1: expected onset, offset, label and value in \[0, 1\].*much"),
        ("0.0\t1.0\tcar", "line 1: expected onset, offset, label, value"),
    ],
)
def test_bad_soft_labels_are_refused(tmp_path, row, says):
    dataset = made(MAESTROReal, tmp_path, clips=5)
    name, scene = dataset.clips[0].id, dataset.clips[0].extra["scene"]
    with pytest.raises(DatasetError, match=rf"{name}.txt, {says}"):
        _ = written(dataset, f"development_annotation/soft_labels_{scene}/{name}.txt", f"{row}\n").clips


def test_the_published_lists_are_kept(tmp_path):
    dataset = made(MAESTROReal, tmp_path, clips=49)
    sizes = [[len(part) for part in (split.train, split.validation, split.test)] for split in map(dataset.split, dataset.folds)]
    assert sizes == [[26, 12, 11], [27, 12, 10], [27, 12, 10], [27, 12, 10], [28, 13, 8]]
    assert sorted(clip.id for fold in dataset.folds for clip in dataset.split(fold).test) == sorted(dataset.recordings)
    assert [len(dataset.split(fold, validation=False).train) for fold in dataset.folds] == [38, 39, 39, 39, 41]
    assert all(clip.extra[clip.fold] == "test" for clip in dataset.clips)
    scenes = Counter(clip.extra["scene"] for clip in dataset.clips)
    assert scenes == {"residential_area": 11, "cafe_restaurant": 10, "city_center": 10, "grocery_store": 9, "metro_station": 9}


def test_durations_are_known_where_the_baselines_table_is(tmp_path):
    dataset = made(MAESTROReal, tmp_path, clips=5)
    assert {clip.duration for clip in dataset.clips} == {1.0}
    (tmp_path / "metadata" / "development_metadata.csv").unlink()
    assert {clip.duration for clip in MAESTROReal(tmp_path).clips} == {None}


def test_a_duration_that_is_no_number_is_refused(tmp_path):
    dataset = made(MAESTROReal, tmp_path, clips=10)
    with pytest.raises(DatasetError, match=r"development_metadata\.csv: duration must be a number; got 'long'"):
        _ = written(dataset, "metadata/development_metadata.csv", "filename\tduration\ncafe_restaurant_00\tlong\n").clips


def test_times_on_a_grid_may_end_up_to_a_step_after_the_recording(tmp_path):
    dataset = made(MAESTROReal, tmp_path, clips=10, seconds=1.4)
    name = dataset.clips[0].id
    file = f"development_annotation/soft_labels_{name.rpartition('_')[0]}/{name}.txt"
    assert written(dataset, file, "0.0\t1.0\tcar\t1.0\n1.0\t2.0\tcar\t0.75\n").validate(content=False) == []
    late = written(dataset, file, "0.0\t1.0\tcar\t1.0\n2.0\t3.0\tcar\t0.75\n")
    assert [problem.kind for problem in late.validate(content=False)] == ["late"]
    assert {row.label: row.total for row in late.summary().labels}["car"] >= 1.0
    assert made(TAUNIGENS2020, tmp_path / "t").label_step == 0.1


def test_eleven_labels_are_evaluated():
    assert len(MAESTROReal.labels) == 17
    assert len(MAESTROReal.evaluated_labels) == 11
    assert set(MAESTROReal.labels) - set(MAESTROReal.evaluated_labels) == {
        *("furniture dragging", "coffee machine", "door opens/closes", "announcement", "shopping cart", "cash register beeping")
    }


# ---- the real label files


@pytest.fixture(scope="module")
def task4(tmp_path_factory):
    root = tmp_path_factory.mktemp("task4")
    (root / "metadata").symlink_to(METADATA / "dcase2018_task4")
    return DCASE2018Task4(root)


def listed(dataset, fold):
    return [clip for clip in dataset.listed if clip.fold == fold]


@realdata
def test_the_weak_clips_are_the_published_ones(task4):
    weak = listed(task4, "weak")
    assert len(weak) == 1578
    with (task4.root / "metadata" / "train" / "weak.csv").open(newline="") as file:
        cells = [row["event_labels"].split(",") for row in csv.DictReader(file, delimiter="\t")]
    named = Counter(label for cell in cells for label in cell)
    assert [named[label] for label in task4.labels] == [206, 134, 173, 184, 214, 103, 171, 345, 550, 167]
    assert Counter(map(len, cells)) == {1: 984, 2: 519, 3: 75}
    # Three rows name a label twice; a clip has it once.
    held = Counter(label for clip in weak for label in clip.tags)
    assert {label: named[label] - held[label] for label in task4.labels if named[label] != held[label]} == {
        "Alarm_bell_ringing": 1,
        "Running_water": 2,
    }
    assert Counter(len(clip.tags) for clip in weak) == {1: 986, 2: 518, 3: 74}


@realdata
def test_the_unlabelled_clips_are_the_published_ones(task4):
    unlabelled = listed(task4, "unlabel_in_domain")
    assert len({clip.group for clip in unlabelled}) == len(unlabelled) == 14412
    assert task4.clips == ()
    assert len(task4.missing) == len(task4.listed) == 1578 + 14412 + 288 + 880


@realdata
def test_the_test_and_evaluation_events_are_the_published_ones(task4):
    test, evaluation = listed(task4, "test"), listed(task4, "eval")
    assert len(test) == 288
    counts = Counter(event.label for clip in test for event in clip.events)
    assert [counts[label] for label in task4.labels] == [112, 40, 95, 122, 120, 28, 24, 76, 255, 36]
    assert counts.total() == 908
    assert len(evaluation) == 880
    assert sum(clip.events == () for clip in evaluation) == 15
    assert sum(len(clip.events) for clip in evaluation) == 3343 - 15


@realdata
def test_no_film_lies_in_two_folds(task4):
    folds = {}
    for clip in task4.listed:
        folds.setdefault(clip.group, set()).add(clip.fold)
    assert max(map(len, folds.values())) == 1


@realdata
def test_the_baselines_validation_clips_come_out(task4):
    train, validation = hold_out(listed(task4, "weak"), 0.2, balance=None, seed=0, attempts=1)
    assert (len(train), len(validation)) == (1262, 316)
    names = "\n".join(sorted(clip.path.name for clip in validation))
    assert hashlib.sha256(names.encode()).hexdigest() == "b2c68f6dcef6eaa9c012d426b55d013a3624374ab5fe3eed0f2b597a6f66c916"


@realdata
def test_the_embedded_lists_are_the_baselines():
    names = {"train": "train", "val": "validation", "test": "test"}
    found = {}
    for path in (METADATA / "maestro_real" / "development_folds").glob("*.csv"):
        fold, part = path.stem.split("_")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["filename"].partition("/")[2], {})[fold] = names[part]
    assert found == MAESTROReal.recordings


@realdata
def test_the_hard_labels_of_maestro_real_are_the_published_ones():
    events = read_events(METADATA / "maestro_real" / "metadata" / "gt_dev.csv")
    assert {name.removesuffix(".wav") for name in events} == set(MAESTROReal.recordings)
    counts = Counter(event.label for found in events.values() for event in found)
    assert counts.total() == 14176
    expected = [1472, 3513, 5703, 1444, 183, 141, 110, 689, 170, 452, 299]
    assert [counts[label] for label in MAESTROReal.evaluated_labels] == expected
    assert all(event.offset - event.onset == 1.0 for found in events.values() for event in found)


@realdata
def test_the_durations_of_maestro_real_are_read(tmp_path):
    made(MAESTROReal, tmp_path, clips=49)
    (tmp_path / "metadata" / "development_metadata.csv").write_bytes(
        (METADATA / "maestro_real" / "metadata" / "development_metadata.csv").read_bytes()
    )
    durations = [clip.duration for clip in MAESTROReal(tmp_path).clips]
    assert sum(durations) == pytest.approx(11391.5, abs=0.1)
    assert (round(min(durations)), round(max(durations))) == (181, 302)
