"""URBAN-SED, MAVD, FSDKaggle and SONYC-UST: what is special about each, beyond the contract of every dataset."""

import shutil
from collections import Counter
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit import audio, testing
from dcasekit.annotations import Event
from dcasekit.datasets import MAVD, SONYCUST, FSDKaggle2018, FSDKaggle2019, UrbanSED, UrbanSound8k
from dcasekit.download import unpack
from dcasekit.errors import DatasetError

CURATED, SCORING = "meta/train_curated_post_competition.csv", "meta/test_post_competition_scoring_clips.csv"


def small(name, folder, clips=24):
    return testing.make_dataset(name, folder, clips=clips, seconds=0.1, sr=8000)


def changed(dataset, file, change, **settings):
    """The same files read anew after a change of a label file's text."""
    path = dataset.root / file
    path.write_text(change(path.read_text()))
    return type(dataset)(dataset.root, **settings)


def test_the_label_lists_are_the_published_ones():
    assert UrbanSED("x").labels == UrbanSound8k("x").labels
    assert len(MAVD("x").labels) == 9
    assert len(FSDKaggle2018("x").labels) == 41
    assert len(FSDKaggle2019("x").labels) == 80
    for kind in (FSDKaggle2018, FSDKaggle2019):
        assert list(kind("x").labels) == sorted(kind("x").labels)
    assert FSDKaggle2019("x").labels[10] == "Bus"  # as numbered in vocabulary.csv
    assert FSDKaggle2019("x").labels[57] == "Scissors"
    assert SONYCUST("x").labels == (
        *("engine", "machinery-impact", "non-machinery-impact", "powered-saw"),
        *("alert-signal", "music", "human-voice", "dog"),
    )
    fine = SONYCUST("x", taxonomy="fine").labels
    assert (len(fine), fine[0], fine[7], fine[11], fine[22]) == (
        *(23, "small-sounding-engine", "non-machinery-impact", "car-horn", "dog-barking-whining"),
    )
    assert SONYCUST.labels == SONYCUST("x").labels


# Members as the authors' archives, or those who read them, name them, and where a dataset looks for them.
MEMBERS = [
    (UrbanSED, "URBAN-SED_v2.0.0.tar.gz", "URBAN-SED_v2.0.0/audio/train/soundscape_train_bimodal0.wav", "audio/train"),
    (UrbanSED, "URBAN-SED_v2.0.0.tar.gz", "URBAN-SED_v2.0.0/annotations/test/soundscape_test_bimodal0.txt", "annotations/test"),
    (MAVD, "audio_train.zip", "audio_train/rivera0923_02.flac", "audio/train"),
    (MAVD, "annotations_validate.zip", "annotations_validate/rivera0922_00.txt", "annotations/validate"),
    (FSDKaggle2018, "FSDKaggle2018.audio_test.zip", "FSDKaggle2018.audio_test/00326aa9.wav", "audio/test"),
    (FSDKaggle2018, "FSDKaggle2018.meta.zip", "FSDKaggle2018.meta/train_post_competition.csv", "meta"),
    (FSDKaggle2019, "FSDKaggle2019.audio_train_noisy.zip", "FSDKaggle2019.audio_train_noisy/00097e21.wav", "audio/train_noisy"),
    (FSDKaggle2019, "FSDKaggle2019.audio_train_curated.zip", "FSDKaggle2019.audio_train_curated/0006ae4e.wav", "audio/train_curated"),
    (FSDKaggle2019, "FSDKaggle2019.meta.zip", "FSDKaggle2019.meta/test_post_competition.csv", "meta"),
    (SONYCUST, "audio-10.tar.gz", "audio-10/00_026884.wav", "audio"),
    (SONYCUST, "audio-10.tar.gz", "audio/00_026884.wav", "audio"),
    (SONYCUST, "audio-10.tar.gz", "00_026884.wav", "audio"),
]


@pytest.mark.parametrize(("kind", "archive", "member", "folder"), MEMBERS)
def test_members_of_the_archives_land_where_they_are_looked_for(tmp_path, kind, archive, member, folder):
    (record,) = (file for file in kind.archives if file.filename == archive)
    path = tmp_path / "in" / member
    path.parent.mkdir(parents=True)
    path.touch()
    form = "zip" if archive.endswith(".zip") else "gztar"
    packed = shutil.make_archive(str(tmp_path / "packed"), form, tmp_path / "in", PurePosixPath(member).parts[0])
    (unpacked,) = unpack(packed, tmp_path / "out" / record.into, flatten=kind.flatten)
    assert unpacked.relative_to(tmp_path / "out").as_posix() == f"{folder}/{PurePosixPath(member).name}"


# ---- recordings with an annotation file each


@pytest.mark.parametrize(("name", "suffix"), [("urban_sed", ".wav"), ("mavd", ".flac")])
def test_audio_without_annotations_is_never_taken_for_silence(tmp_path, name, suffix):
    dataset = small(name, tmp_path)
    clip = dataset.clips[3]
    label_file = dataset.root / "annotations" / clip.fold / f"{clip.id}.txt"
    text = label_file.read_text()
    label_file.unlink()
    with pytest.raises(DatasetError, match=rf"{clip.id}\.txt does not exist, its audio .*{clip.id}\{suffix} does; run download\(\)"):
        _ = type(dataset)(dataset.root).clips
    label_file.write_text("")
    silent = {one.id: one for one in type(dataset)(dataset.root).clips}[clip.id]
    assert (silent.events, silent.tags) == ((), {})
    label_file.write_text(text)
    clip.path.unlink()
    again = type(dataset)(dataset.root)
    assert [one.id for one in again.clips] == [one.id for one in dataset.clips]
    assert [problem.kind for problem in again.validate(jobs=1)] == ["missing"]
    (clip.path.parent / f"._{clip.id}{suffix}").touch()  # what macOS packs beside a file
    (label_file.parent / f"._{clip.id}.txt").touch()
    assert len(type(dataset)(dataset.root).clips) == len(dataset.clips)


@pytest.mark.parametrize("name", ["urban_sed", "mavd"])
@pytest.mark.parametrize(
    ("row", "says"),
    [("0.1\t0.2", "expected onset, offset, label"), ("x\t0.2\tcar", "expected onset and offset in seconds"), ("0.2\t0.1\tcar", "0.2")],
)
def test_a_bad_row_is_named(tmp_path, name, row, says):
    dataset = small(name, tmp_path)
    clip = dataset.clips[0]
    file = f"annotations/{clip.fold}/{clip.id}.txt"
    text = (dataset.root / file).read_text()
    with pytest.raises(DatasetError, match=rf"{clip.id}\.txt, line {len(text.splitlines()) + 1}: .*{says}"):
        _ = changed(dataset, file, lambda text: f"{text}{row}\n").clips


def test_urban_sed_reads_exact_times(tmp_path):
    dataset = small("urban_sed", tmp_path, clips=6)
    text = "0.05\t0.1\tsiren\n0.0\t0.07512345\tdog_bark\n"
    one = changed(dataset, "annotations/train/soundscape_train_bimodal0.txt", lambda _: text).clips[0]
    assert one.id == "soundscape_train_bimodal0"
    assert one.path == dataset.root / "audio" / "train" / "soundscape_train_bimodal0.wav"
    assert one.events == (Event(0.05, 0.1, "siren"), Event(0.0, 0.07512345, "dog_bark"))
    assert one.tags == {"siren": 1.0, "dog_bark": 1.0}
    assert {clip.fold for clip in dataset.split().train} == {"train"}
    assert dataset.summary().labels[1].events is not None
    with pytest.raises(DatasetError, match=r"bimodal0\.txt, line 2: unknown label 'Dog_bark'"):
        _ = changed(dataset, "annotations/train/soundscape_train_bimodal0.txt", lambda text: text.replace("dog_bark", "Dog_bark")).clips


def mavd_events(folder, *rows):
    dataset = small("mavd", folder, clips=6)
    text = "".join(f"{onset}\t{offset}\t{label}\n" for onset, offset, label in rows)
    clip = dataset.clips[0]
    return list(changed(dataset, f"annotations/{clip.fold}/{clip.id}.txt", lambda _: text).clips[0].events)


def test_mavd_counts_a_car_once(tmp_path):
    rows = (0.0, 9.0, "car"), (0.0, 9.0, "car/wheel_rolling"), (2.0, 3.5, "car/brakes"), (1.0, 2.0, "bus/compressor"), (0.0, 9.0, "chatter")
    assert mavd_events(tmp_path, *rows) == [
        Event(0.0, 9.0, "car"),
        Event(0.0, 9.0, "wheel_rolling"),
        Event(2.0, 3.5, "brakes"),
        Event(1.0, 2.0, "bus"),  # no row of its own: the component says that it is there
        Event(1.0, 2.0, "compressor"),
    ]


def test_mavd_keeps_a_vehicle_that_its_own_row_only_touches(tmp_path):
    found = mavd_events(tmp_path, (0.0, 3.0, "car"), (2.0, 4.0, "car/brakes"), (0.0, 4.0, "truck"))
    assert found.count(Event(2.0, 4.0, "car")) == 1
    assert found.count(Event(0.0, 3.0, "car")) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(1, 10),
            st.sampled_from(["car", "bus"]),
            st.sampled_from(["", "/brakes", "/compressor"]),
        ),
        max_size=8,
    )
)
def test_mavd_leaves_out_no_second_of_a_vehicle(tmp_path_factory, rows):
    """Whatever the rows: at every time, the labels that sound are those named by some row, as when every label is split plainly."""
    folder = tmp_path_factory.mktemp("mavd")
    for fold in MAVD.folds:
        (folder / "annotations" / fold).mkdir(parents=True)
    rows = [(onset, onset + length, vehicle + component) for onset, length, vehicle, component in rows]
    text = "".join(f"{onset}\t{offset}\t{label}\n" for onset, offset, label in rows)
    (folder / "annotations" / "train" / "a0101_00.txt").write_text(text)
    (clip,) = MAVD(folder).clips
    for second in range(31):
        plain = {part for onset, offset, label in rows if onset <= second < offset for part in label.split("/")}
        assert {event.label for event in clip.events if event.onset <= second < event.offset} == plain


@pytest.mark.parametrize("label", ["tram", "car/horn", "car/brakes/tram", "Car", ""])
def test_mavd_refuses_what_the_authors_did_not_count(tmp_path, label):
    with pytest.raises(
        DatasetError, match=r"\.txt, line 2: (unknown label .*known: car, bus, .*compressor, chatter, music, other|.*is empty)"
    ):
        mavd_events(tmp_path, (0, 1, "car"), (0, 1, label))


def test_mavd_sessions_are_groups_within_a_fold(tmp_path):
    dataset = small("mavd", tmp_path)
    first = dataset.clips[0]
    assert (first.id, first.group) == ("rivera0900_02", "train/rivera0900")
    assert first.extra == {"session": "rivera0900", "place": "rivera"}
    split = dataset.split()
    cut = {clip.extra["session"] for clip in split.train} & {clip.extra["session"] for clip in split.validation}
    assert cut  # as published; the card says so
    drawn = dataset.validation_split(0.3, balance=None)
    assert drawn.validation
    assert not {clip.group for clip in drawn.train} & {clip.group for clip in drawn.validation}
    head = audio.info(first.path)
    assert (head.subtype, head.channels) == ("PCM_24", 1)


# ---- FSDKaggle


def test_fsd_kaggle2018_reads_its_tables(tmp_path):
    dataset = small("fsd_kaggle2018", tmp_path)
    train, *_ = dataset.split().train
    assert train.id == "train/001000ab"
    assert train.path == dataset.root / "audio" / "train" / "001000ab.wav"
    assert (train.tags, train.group) == ({"Acoustic_guitar": 1.0}, "train/300000")
    assert train.extra == {"manually_verified": "0", "freesound_id": "300000", "license": "Attribution"}
    parts = dataset.split()
    assert {clip.extra["usage"] for clip in parts.validation} == {"Public"}
    assert {clip.extra["usage"] for clip in parts.test} == {"Private"}
    assert {clip.path.parent.name for clip in (*parts.validation, *parts.test)} == {"test"}
    assert len(dataset.select(["validate", "test"])) == 16
    with pytest.raises(DatasetError, match=r"scoring_clips\.csv: '.*\.wav' has the unknown usage 'Ignored'; known: Public, Private"):
        _ = changed(dataset, SCORING, lambda text: text.replace("Public", "Ignored", 1)).clips


@pytest.mark.parametrize(("name", "one", "other"), [("fsd_kaggle2018", "300000", "300001"), ("fsd_kaggle2019", "400000", "400002")])
def test_a_sound_in_two_folds_does_not_forbid_the_published_split(tmp_path, name, one, other):
    dataset = small(name, tmp_path)
    for table in (dataset.root / "meta").glob("*.csv"):
        table.write_text(table.read_text().replace(other, one))
    again = type(dataset)(dataset.root)
    assert Counter(clip.fold for clip in again.clips) == Counter(clip.fold for clip in dataset.clips)
    assert again.split().test == again.select(["test"])
    assert len({clip.group for clip in again.clips}) == len({clip.group for clip in dataset.clips})


def test_the_same_file_name_in_two_folders_is_two_clips(tmp_path):
    dataset = small("fsd_kaggle2018", tmp_path)
    test = dataset.split().test[0]
    both = changed(dataset, "meta/train_post_competition.csv", lambda text: text.replace("001000ab.wav", test.path.name))
    assert {test.id, f"train/{test.path.stem}"} <= {clip.id for clip in both.clips}


def test_fsd_kaggle2019_reads_several_labels_and_keeps_bad_clips(tmp_path):
    dataset = small("fsd_kaggle2019", tmp_path)
    found = {clip.id: clip for clip in dataset.clips}
    bad = found["train_curated/77b925c2"]
    assert bad.tags == {"Accelerating_and_revving_and_vroom": 1.0, "Zipper_(clothing)": 1.0}
    assert bad.extra == {"freesound_id": "400000", "license": "CC0", "known_problem": "wrong label"}
    assert sum("known_problem" in clip.extra for clip in found.values()) == 1
    noisy = dataset.select(["train_noisy"])[0]
    assert noisy.extra["flickr_video_URL"].startswith("http://www.flickr.com/videos/")
    assert noisy.group == f"train_noisy/{noisy.extra['flickr_video_URL']}"
    assert {clip.extra["usage"] for clip in dataset.split().test} == {"Public", "Private"}
    assert {clip.fold for clip in dataset.split().train} == {"train_curated", "train_noisy"}
    assert dataset.split().validation == ()
    silent = changed(dataset, CURATED, lambda text: text.replace("77b925c2", "1d44b0bd"))
    assert silent.clips[0].extra["known_problem"] == "no signal"
    elsewhere = changed(dataset, "meta/test_post_competition.csv", lambda text: text + "f76181c4.wav,Bark,Public,1,CC0\n")
    assert "known_problem" not in elsewhere.clips[-1].extra  # only the curated file of that name is bad


@pytest.mark.parametrize("cell", ['"Bark,"', '"Bark,Bank"', '""'])
def test_fsd_kaggle2019_refuses_labels_that_are_none(tmp_path, cell):
    dataset = small("fsd_kaggle2019", tmp_path)
    with pytest.raises(DatasetError, match="unknown label"):
        _ = changed(dataset, CURATED, lambda text: f"{text}ffffffff.wav,{cell},1,CC0\n").clips


def test_fsd_kaggle2019_says_that_its_checksums_are_unknown():
    assert {file.checksum for file in FSDKaggle2019.archives} == {None}
    parts = [file for file in FSDKaggle2019.archives if "noisy" in file.filename]
    assert [file.filename.rpartition(".")[2] for file in parts] == ["z01", "z02", "z03", "z04", "z05", "z06", "zip"]


# ---- SONYC-UST


class Table:
    """annotations.csv of a few rows: what each annotator says of some columns, by default 0 of all."""

    def __init__(self, folder):
        made = small("sonyc_ust", folder, clips=6)
        self.path = made.root / "annotations.csv"
        self.header = self.path.read_text().splitlines()[0].split(",")

    def read(self, *rows, name="00_000001.wav", split="train", **settings):
        lines = [",".join(self.header)]
        for annotator, said in rows:
            default = said.get("*", "0")
            cells = {"split": split, "sensor_id": "7", "audio_filename": name, "annotator_id": str(annotator)}
            cells |= {column: default for column in self.header if column.endswith("_presence")} | said
            lines.append(",".join(cells.get(column, "1") for column in self.header))
        self.path.write_text("\n".join(lines) + "\n")
        (clip,) = SONYCUST(self.path.parent, **settings).clips
        return clip


DOG, SAW, HORN, SIREN = "8_dog_presence", "4_powered-saw_presence", "5-1_car-horn_presence", "5-3_siren_presence"


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


def test_one_volunteer_or_a_share_of_them(table):
    rows = (1, {DOG: "1"}), (2, {DOG: "1", SAW: "1"}), (3, {})
    tags = table.read(*rows).tags
    assert (tags["dog"], tags["powered-saw"], tags["engine"]) == (1.0, 1.0, 0.0)
    tags = table.read(*rows, votes="share").tags
    assert (tags["dog"], tags["powered-saw"], tags["engine"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0)
    assert set(tags) == set(SONYCUST.labels)


@pytest.mark.parametrize("votes", ["any", "share"])
def test_the_consensus_overrules_the_volunteers(table, votes):
    rows = (1, {DOG: "1"}), (2, {DOG: "1", SAW: "1"}), (-1, {"*": "-1", SAW: "1"}), (0, {SAW: "1"})
    clip = table.read(*rows, votes=votes)
    assert (clip.tags["dog"], clip.tags["powered-saw"], clip.extra["verified"]) == (0.0, 1.0, "True")
    assert table.read(*rows[:3], votes=votes).extra["verified"] == "False"


def test_not_annotated_is_not_a_vote_against(table):
    """A member of the team who looks at one class alone neither lowers the share of the others nor makes them absent."""
    rows = (1, {DOG: "1"}), (-1, {"*": "-1", SAW: "0"})
    tags = table.read(*rows, votes="share").tags
    assert (tags["dog"], tags["powered-saw"]) == (1.0, 0.0)
    assert table.read(rows[1]).tags == dict.fromkeys(SONYCUST.labels, None) | {"powered-saw": 0.0}  # of all others nothing is known
    assert None not in table.read(rows[0]).tags.values()
    assert table.read((1, {"*": "-1"})).tags is None  # nothing is known, which is not: nothing sounds
    assert table.read((1, {})).tags == dict.fromkeys(SONYCUST.labels, 0.0)


def test_a_consensus_about_one_class_leaves_the_others_to_the_volunteers(table):
    tags = table.read((1, {DOG: "1", SAW: "1"}), (0, {"*": "-1", SAW: "0"})).tags
    assert (tags["dog"], tags["powered-saw"]) == (1.0, 0.0)


def test_fine_labels_and_what_is_uncertain_about_them(table):
    unclear, coarse = "5-X_other-unknown-alert-signal_presence", "5_alert-signal_presence"
    rows = (1, {HORN: "1", coarse: "1"}), (2, {unclear: "1", coarse: "1"})
    fine = table.read(*rows, taxonomy="fine", votes="share")
    assert (fine.tags["car-horn"], fine.tags["siren"], fine.extra["uncertain"]) == (1.0, 0.0, "alert-signal")
    alone = table.read(rows[1], taxonomy="fine").tags  # heard a signal and cannot tell which: neither for nor against any of them
    assert [label for label, value in alone.items() if value is None] == ["car-horn", "car-alarm", "siren", "reverse-beeper"]
    assert set(fine.tags) == set(SONYCUST("x", taxonomy="fine").labels)
    assert table.read(*rows, votes="share").tags["alert-signal"] == 1.0
    assert "uncertain" not in table.read(*rows).extra
    assert table.read(rows[0], taxonomy="fine").extra["uncertain"] == ""
    assert list(table.read((0, {HORN: "0", "*": "-1"}), taxonomy="fine").tags.values()).count(None) == 22


@given(st.lists(st.tuples(st.sampled_from([-2, -1, 0, 1, 2, 3]), st.sampled_from(["1", "0", "-1"])), min_size=1, max_size=6))
def test_a_share_lies_between_nobody_and_anybody(table, said):
    rows = [(annotator, {"*": "-1", DOG: value}) for annotator, value in said]
    anybody, share = (table.read(*rows, votes=votes).tags for votes in ("any", "share"))
    cast = [value for _, value in said if value != "-1"]
    assert (anybody is None) == (share is None) == (not cast)
    if cast:
        assert 0 <= share["dog"] <= anybody["dog"] <= 1
        assert (share["dog"] > 0) == (anybody["dog"] > 0)
        assert anybody["dog"] in (0.0, 1.0)
        if len(set(cast)) == 1:
            assert share["dog"] == anybody["dog"] == float(cast[0])


def test_sensors_are_groups_that_the_published_split_does_not_cut(tmp_path):
    dataset = small("sonyc_ust", tmp_path)
    parts = dataset.split()
    sensors = [{clip.extra["sensor"] for clip in part} for part in (parts.train, parts.validation, parts.test)]
    assert sensors[0].isdisjoint(sensors[1])
    assert sensors[2] & (sensors[0] | sensors[1])
    assert {clip.group for clip in parts.train} == sensors[0]
    assert {clip.group for clip in parts.test} == {f"{sensor}-test" for sensor in sensors[2]}
    assert all(clip.extra["verified"] == "True" for clip in parts.test)
    one = dataset.clips[0]
    assert one.path == dataset.root / "audio" / f"{one.id}.wav"
    assert {"borough", "block", "latitude", "longitude", "year", "week", "day", "hour"} < set(one.extra)
    mixed = changed(dataset, "annotations.csv", lambda text: text.replace("\nvalidate,3,", "\nvalidate,0,"))
    with pytest.raises(DatasetError, match="cuts group '0'"):  # a sensor to train and to validate on is no published split
        mixed.split()


def test_sonyc_refuses_a_table_that_contradicts_itself(table):
    with pytest.raises(DatasetError, match=r"annotations\.csv: '00_000001\.wav', annotator '4', has '2' in column 8_dog_presence"):
        table.read((4, {DOG: "2"}))
    with pytest.raises(DatasetError, match=r"rows of 00_000001\.wav do not agree on its split and sensor"):
        table.read((1, {}), (2, {"split": "test"}))
    with pytest.raises(DatasetError, match="unknown fold 'dev'"):
        table.read((1, {}), split="dev")
    for settings in ({"taxonomy": "both"}, {"votes": "most"}):
        with pytest.raises(DatasetError, match=f"'any' or 'share'; got .*{next(iter(settings.values()))!r}"):
            SONYCUST("x", **settings)


def test_the_coarse_columns_are_taken_as_they_are(table):
    assert table.read((1, {SIREN: "1"}), taxonomy="fine").tags["siren"] == 1.0
    assert table.read((1, {SIREN: "1"})).tags["alert-signal"] == 0.0
