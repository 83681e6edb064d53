"""Datasets: what their files say, the published splits, and every way in which files can be wrong."""

import math
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit import audio, testing
from dcasekit.annotations import Clip, Event
from dcasekit.datasets import ESC10, ESC50, CrossValidation, Dataset, ListedFolds, TrainTest, TrainValidateTest, UrbanSound8k
from dcasekit.datasets._protocols import refuse_cut_groups
from dcasekit.datasets._tables import read_table
from dcasekit.errors import AnnotationError, AudioError, DatasetError
from dcasekit.features import RawAudio

ESC_META, US_META = "meta/esc50.csv", "metadata/UrbanSound8K.csv"


@pytest.fixture
def esc50(tmp_path):
    return testing.make_dataset("esc50", tmp_path / "esc", clips=40, seconds=0.1, sr=8000)


@pytest.fixture
def us8k(tmp_path):
    return testing.make_dataset("urban_sound8k", tmp_path / "us8k", clips=40, seconds=0.1, sr=8000)


def rewritten(dataset, meta, change):
    """The same files read anew after a change of the label file's lines."""
    path = dataset.root / meta
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    return type(dataset)(dataset.root)


class Listed(Dataset):
    """Clips that are handed over."""

    task, labels, licence, citation = "tagging", ("a", "b"), "none", "none"
    folds = ("fold1", "fold2", "fold3", "train", "validate", "test")

    def __init__(self, *clips, protocol=CrossValidation()):  # noqa: B008 - it is frozen
        super().__init__("nowhere")
        self.given, self.protocol = clips, protocol

    def load(self):
        return self.given


def clip(name, fold, group="", **more):
    return Clip(id=name, path=Path(name), fold=fold, group=group, **{"tags": {"a": 1.0}, **more})


# ---- every row and cell


def test_a_cell_too_many_is_refused_and_never_dropped(esc50):
    torn = rewritten(esc50, ESC_META, lambda lines: [lines[0], lines[1].replace("dog", "dog,wolf"), *lines[2:]])
    with pytest.raises(DatasetError, match=r"esc50\.csv, line 2: the row has 8 cells, the header 7; .* needs quotation marks"):
        _ = torn.clips


def test_two_columns_of_one_name_are_refused(esc50):
    twice = rewritten(esc50, ESC_META, lambda lines: [f"{lines[0]},category", *(f"{line},cat" for line in lines[1:])])
    with pytest.raises(DatasetError, match=r"esc50\.csv has two columns 'category'; rename the one that should be ignored"):
        _ = twice.clips


def test_a_row_of_esc10_that_is_neither_in_nor_out_is_refused(tmp_path):
    esc10 = testing.make_dataset("esc10", tmp_path, clips=20, seconds=0.1, sr=8000)
    with pytest.raises(DatasetError, match=r"esc10 of 1-100000-A-0 is 'TRUE'; it must be True or False"):
        _ = rewritten(esc10, ESC_META, lambda lines: [line.replace("True", "TRUE") for line in lines]).clips


# ---- what is read


def test_esc50_reads_its_own_columns(esc50):
    found = {clip.id: clip for clip in esc50.clips}
    assert len(found) == 40
    one = found["1-100000-A-0"]
    assert one == Clip(
        id="1-100000-A-0",
        path=esc50.root / "audio" / "1-100000-A-0.wav",
        fold="fold1",
        group="100000",
        tags={"dog": 1.0},
        extra={"esc10": "True", "take": "A"},
    )
    assert esc50.present_folds == esc50.folds == ("fold1", "fold2", "fold3", "fold4", "fold5")


def test_the_label_lists_are_the_published_ones():
    assert len(set(ESC50("x").labels)) == 50
    assert len(set(ESC10("x").labels)) == 10
    assert set(ESC10("x").labels) < set(ESC50("x").labels)
    assert [ESC50("x").labels.index(label) for label in ESC10("x").labels] == [0, 1, 10, 11, 12, 20, 21, 38, 40, 41]
    assert UrbanSound8k("x").labels == (
        *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
        *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
    )
    assert len(UrbanSound8k("x").folds) == 10


def test_esc10_is_a_part_of_esc50s_folder(esc50):
    esc10 = ESC10(esc50.root)
    assert 0 < len(esc10.clips) < len(esc50.clips)
    assert {c.id for c in esc10.clips} < {c.id for c in esc50.clips}
    assert {label for c in esc10.clips for label in c.tags} <= set(esc10.labels)
    assert esc10.validate(jobs=1) == []  # the rest of ESC-50 is no surprise there


def test_urban_sound8k_reads_its_own_columns(us8k):
    one = us8k.clips[0]
    assert (one.id, one.fold, one.group, dict(one.tags)) == ("200000-0-0-0", "fold1", "200000", {"air_conditioner": 1.0})
    assert one.path == us8k.root / "audio" / "fold1" / "200000-0-0-0.wav"
    assert one.extra == {"salience": "1", "start": "0.0", "end": "0.1"}
    forms = {(audio.info(clip.path).sr, audio.info(clip.path).channels, audio.info(clip.path).subtype) for clip in us8k.clips}
    assert forms == {(8000, 1, "PCM_16"), (8000, 2, "PCM_24"), (12000, 1, "FLOAT")}


def test_a_copy_in_another_format_loads_as_it_is(esc50):
    for one in esc50.clips:
        samples, sr = audio.read(one.path)
        audio.write(one.path.with_suffix(".ogg"), samples, sr)
        one.path.unlink()
    other = rewritten(esc50, ESC_META, lambda lines: [line.replace(".wav", ".ogg") for line in lines])
    assert other.validate(jobs=1) == []
    assert [one.id for one in other.clips] == [one.id for one in esc50.clips]


def test_a_part_of_the_folds_will_do(esc50):
    part = rewritten(esc50, ESC_META, lambda lines: [line for line in lines if not line.startswith(("4-", "5-"))])
    assert part.present_folds == ("fold1", "fold2", "fold3")
    split = part.split("fold3")
    assert {one.fold for one in split.validation} == {"fold1"}
    assert {one.fold for one in split.train} == {"fold2"}
    with pytest.raises(DatasetError, match="no fold 'fold5' to test on; there are: fold1, fold2, fold3"):
        part.split("fold5")


def test_summary_and_names(esc50):
    summary = esc50.summary()
    assert (summary.clips, summary.groups, summary.missing) == (40, 20, 0)
    assert summary.folds == dict.fromkeys(esc50.folds, 8)
    assert Counter(row.clips for row in summary.labels) == {10: 4, 0: 46}
    assert [(row.round, row.train, row.validation, row.test, row.test_groups) for row in summary.rounds][:1] == [("fold1", 24, 8, 8, 4)]
    assert "dog" in str(summary)
    assert "median" not in str(summary)  # times are unknown
    assert repr(esc50) == f"ESC50('{esc50.root}')"
    assert esc50.name == "ESC50"


def test_nothing_is_read_or_written_before_it_is_needed(tmp_path):
    for kind in (ESC50, ESC10, UrbanSound8k):
        dataset = kind(tmp_path / "nowhere")
        assert dataset.cache == dataset.root
        assert kind(tmp_path / "nowhere", cache=tmp_path / "cache").cache == tmp_path / "cache"
        assert dataset.task == "classification"
    assert list(tmp_path.iterdir()) == []


def test_download_refuses_where_no_address_is_recorded():
    with pytest.raises(DatasetError, match="Listed cannot be downloaded: dcasekit knows no address for it; put its files into nowhere"):
        Listed().download()


# ---- what is wrong


def test_a_missing_label_file_is_named_with_the_remedy(tmp_path):
    for dataset, meta in ((ESC50(tmp_path), "esc50.csv"), (ESC10(tmp_path), "esc50.csv"), (UrbanSound8k(tmp_path), "UrbanSound8K.csv")):
        with pytest.raises(DatasetError, match=rf"{meta} does not exist; run download\(\)"):
            _ = dataset.clips


@pytest.mark.parametrize("column", ["filename", "fold", "category", "esc10", "src_file", "take"])
def test_a_missing_column_is_named(esc50, column):
    with pytest.raises(DatasetError, match=f"esc50.csv has no column '{column}'; its columns are: "):
        _ = rewritten(esc50, ESC_META, lambda lines: [lines[0].replace(column, "other"), *lines[1:]]).clips


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines, lines[-1]], "clip '.*' is listed twice"),
        (
            lambda lines: [*lines[:-1], ",".join([*lines[-1].split(",")[:3], "dinosaur", *lines[-1].split(",")[4:]])],
            "unknown label 'dinosaur'",
        ),
        (lambda lines: [*lines[:-1], lines[-1].replace("wav,5", "wav,9")], "unknown fold 'fold9'"),
        (lambda lines: [*lines[:-1], "5-1-A-0.wav,5"], "esc50.csv, line 41: the row has"),
    ],
    ids=["twice", "label", "fold", "short row"],
)
def test_a_wrong_row_is_named(esc50, change, says):
    with pytest.raises(DatasetError, match=says):
        _ = rewritten(esc50, ESC_META, change).clips


def test_duplicate_ids_and_labels_of_urban_sound8k(us8k):
    with pytest.raises(DatasetError, match="clip '200019-1-0-1' is listed twice"):
        _ = rewritten(us8k, US_META, lambda lines: [*lines, lines[-1]]).clips
    with pytest.raises(DatasetError, match="unknown label 'car_hornet'"):
        _ = rewritten(us8k, US_META, lambda lines: [line.replace("car_horn", "car_hornet") for line in lines[:-1]]).clips


def test_an_unknown_label_of_an_event_is_found():
    event = Event(0, 1, "c")
    with pytest.raises(DatasetError, match="clip 'x' has the unknown label 'c'; known: a, b"):
        _ = Listed(clip("x", "fold1", events=(event,))).clips


def test_an_error_of_a_label_file_is_one_of_the_dataset():
    class Broken(Listed):
        def load(self):
            raise AnnotationError("labels.tsv, line 3: not a number")

    with pytest.raises(DatasetError, match=r"labels.tsv, line 3: not a number.*download\(force=True\)"):
        _ = Broken().clips


@pytest.mark.parametrize("content", [b"\xff\xfe\x00x", b"", b"\x00"])
def test_a_table_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DatasetError, match="table.csv"):
        list(read_table(tmp_path / "table.csv", ("filename",)))


def test_a_table_with_a_byte_order_mark_or_windows_lines_is_read(tmp_path):
    (tmp_path / "table.csv").write_bytes("\ufefffilename,label\r\nà.wav,x\r\n".encode())
    assert list(read_table(tmp_path / "table.csv", ("filename", "label"))) == [{"filename": "à.wav", "label": "x"}]


# ---- validate


def test_validate_finds_what_is_wrong_and_nothing_else(us8k):
    assert us8k.validate(jobs=1) == []
    gone, text, cut = (one.path for one in us8k.clips[:3])
    gone.unlink()
    text.write_text("not audio")
    cut.write_bytes(cut.read_bytes()[:500])
    (gone.parent / "notes.txt").write_text("not audio, and no audio file either")
    audio.write(gone.parent / "more.WAV".lower(), np.zeros(9, np.float32), 8000)
    found = {(problem.kind, Path(problem.path).name) for problem in us8k.validate(jobs=1)}
    assert found == {("missing", gone.name), ("unreadable", text.name), ("truncated", cut.name), ("extra", "more.wav")}
    assert all(problem.detail for problem in us8k.validate(jobs=1))


def test_validate_with_workers_finds_the_same(esc50):
    esc50.clips[3].path.unlink()
    assert esc50.validate(jobs=2) == esc50.validate(jobs=1) != []


# ---- sampling rate


def test_change_sampling_rate_writes_copies_and_uses_them(us8k):
    before = {one.id: one for one in us8k.clips}
    us8k.change_sampling_rate(6000, jobs=1)
    for one in us8k.clips:
        head = audio.info(one.path)
        assert (head.sr, head.channels, head.subtype, head.samples) == (6000, 1, "FLOAT", 600)
        assert one.path.parent == us8k.cache / "audio6000"
        assert replace(one, path=before[one.id].path) == before[one.id]
    assert us8k.validate(jobs=1) == []
    times = {one.path: os.stat(one.path).st_mtime_ns for one in us8k.clips}
    us8k.change_sampling_rate(6000, jobs=1)
    assert {one.path: os.stat(one.path).st_mtime_ns for one in us8k.clips} == times


def test_a_newer_original_is_resampled_again(esc50):
    esc50.change_sampling_rate(6000, jobs=1)
    original, other = esc50.root / "audio" / "1-100000-A-0.wav", esc50.root / "audio6000" / "1-100001-A-0.wav"
    audio.write(original, np.zeros(1600, np.float32), 8000)
    os.utime(original, ns=(2**62, 2**62))
    esc50.change_sampling_rate(6000, jobs=1)
    assert audio.info(esc50.clips[0].path).samples == 1200
    assert not other.exists() or audio.info(other).samples == 600


def test_change_sampling_rate_refuses_nonsense_and_names_bad_files(esc50):
    with pytest.raises(DatasetError, match="positive number of Hz; got 0"):
        esc50.change_sampling_rate(0)
    esc50.clips[0].path.write_text("not audio")
    with pytest.raises(AudioError, match=esc50.clips[0].path.name):
        esc50.change_sampling_rate(6000, jobs=1)
    assert esc50.clips[1].path.parent.name == "audio"


def test_esc10_beside_esc50_keeps_validating_after_resampling(esc50):
    esc50.change_sampling_rate(6000, jobs=1)
    esc10 = ESC10(esc50.root)
    esc10.change_sampling_rate(6000, jobs=1)
    assert esc10.validate(jobs=1) == []


# ---- protocols


def test_cross_validation_tests_every_fold_once_and_validates_on_the_next():
    clips = [clip(f"{fold}-{n}", fold, group=f"{fold}-{n}") for fold in ("fold1", "fold2", "fold3") for n in range(2)]
    dataset = Listed(*clips)
    tested = []
    for fold, following in (("fold1", "fold2"), ("fold2", "fold3"), ("fold3", "fold1")):
        split = dataset.split(fold)
        tested += split.test
        assert {one.fold for one in split.test} == {fold}
        assert {one.fold for one in split.validation} == {following}
        assert len(split.train) + len(split.validation) + len(split.test) == 6
        both = dataset.split(fold, validation=False)
        assert both.validation == ()
        assert {one.id for one in both.train} == {one.id for one in clips if one.fold != fold}
    assert [one.id for one in tested] == [one.id for one in clips]
    assert dataset.split() == dataset.split("fold1")
    assert dataset.select(["val"]) == dataset.split().validation


def test_fixed_splits():
    clips = [clip(name, name) for name in ("train", "validate", "test")]
    split = Listed(*clips, protocol=TrainValidateTest()).split()
    assert [part[0].fold for part in (split.train, split.validation, split.test)] == ["train", "validate", "test"]
    held = Listed(*clips, protocol=TrainValidateTest()).split(validation=False)
    assert (held.validation, len(held.train)) == ((), 1)  # published validation clips are never trained on
    split = Listed(clips[0], clips[2], protocol=TrainTest()).split("test")
    assert (split.validation, split.train[0].fold) == ((), "train")
    with pytest.raises(DatasetError, match="no fold 'train' to test on; there are: test"):
        Listed(*clips, protocol=TrainTest()).split("train")


@pytest.mark.parametrize("folds", [("fold1",), ("fold1", "fold2")])
def test_too_few_folds_are_an_error(folds):
    with pytest.raises(DatasetError, match="leaves no clips to train on"):
        Listed(*(clip(fold, fold) for fold in folds)).split()


def test_no_clips_are_an_error():
    with pytest.raises(DatasetError, match="nothing to test on; the folds with clips are: none"):
        Listed().split()
    with pytest.raises(DatasetError, match="no fold 'fold7'; it has fold1"):
        Listed(clip("x", "fold1")).select(["fold7"])


def test_a_cut_group_is_refused_between_any_two_parts():
    cut = [clip("x", "fold1", "street"), clip("y", "fold2", "street"), clip("z", "fold3", "park")]
    for fold in ("fold1", "fold2", "fold3"):
        with pytest.raises(
            DatasetError, match="the split cuts group 'street': clips '[xy]' and '[xy]'.*put all clips of a group into one fold"
        ):
            Listed(*cut).split(fold)
    refuse_cut_groups([[clip("x", "fold1")], [clip("y", "fold2")]])  # without a group each clip is one of its own


def test_a_fold_that_lies_apart_is_tested_with_all_others():
    clips = [clip(fold, fold) for fold in ("fold1", "fold2", "fold3", "test")]
    dataset = Listed(*clips, protocol=CrossValidation(held_out=("test",)))
    assert dataset.protocol.rounds(dataset.present_folds) == ("fold1", "fold2", "fold3", "test")
    split = dataset.split("fold3")
    assert [[one.fold for one in part] for part in (split.train, split.validation, split.test)] == [["fold2"], ["fold1"], ["fold3"]]
    split = dataset.split("test")
    assert ([one.fold for one in split.train], split.validation) == (["fold1", "fold2", "fold3"], ())


def test_published_validation_lists_are_kept():
    parts = {"x": ("train", "test"), "y": ("validation", "train"), "z": ("test", "validation")}
    clips = [clip(name, "fold1", extra=dict(zip(("fold1", "fold2"), both, strict=True))) for name, both in parts.items()]
    clips[0] = clip("x", "fold2", extra=clips[0].extra)
    dataset = Listed(*clips, protocol=ListedFolds())
    for fold, ids in {"fold1": ["x", "y", "z"], "fold2": ["y", "z", "x"]}.items():
        split = dataset.split(fold)
        assert [one.id for part in (split.train, split.validation, split.test) for one in part] == ids
    assert [one.id for one in dataset.split("fold2", validation=False).train] == ["y", "z"]


# ---- validation clips drawn from training clips


def scenes(cities=3, locations=5, segments=4):
    """Clips of two scenes, groups ``city-location``, in ``train``; one more for ``test``."""
    found = [
        clip(f"{scene}-c{city}-{at}-{number}-a", "train", f"{scene}{city}-{at}", tags={scene: 1.0})
        for scene in "ab"
        for city in range(cities)
        for at in range(locations)
        for number in range(segments + at % 2)
    ]
    return Listed(*found, clip("t", "test"), protocol=TrainTest())


@pytest.mark.parametrize("balance", ["identifier", "identifier_two_level_hierarchy"])
@given(amount=st.floats(0.05, 0.6), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_groups_stay_whole_and_every_label_gives_its_share(balance, amount, seed):
    split = scenes().validation_split(amount, balance=balance, seed=seed)
    assert split == scenes().validation_split(amount, balance=balance, seed=seed)
    groups = [{one.group for one in part} for part in (split.train, split.validation)]
    assert not groups[0] & groups[1]
    assert len(split.train) + len(split.validation) == 2 * 3 * 22
    assert [one.id for one in split.test] == ["t"]
    held = Counter(label for one in split.validation for label in one.tags)
    units = 3 * math.ceil(amount * 5) if balance != "identifier" else math.ceil(amount * 15)
    assert all(4 * units <= held[label] <= 5 * units for label in "ab")


def test_the_draw_is_that_of_dcase_util():
    """The order of draws, written once more from its description: labels, attempts, cities, one number per step from the end."""
    rng = random.Random(7)
    held = set()
    clips = [one for one in scenes().clips if one.fold == "train"]
    for scene in "ab":
        own = [one for one in clips if scene in one.tags]
        tried = []
        for _ in range(100):
            drawn = []
            for city in range(3):
                order = list(range(5))
                for i in (4, 3, 2, 1):
                    j = int(rng.random() * (i + 1))
                    order[i], order[j] = order[j], order[i]
                drawn += [f"{scene}{city}-{at}" for at in order[:2]]  # the ceiling of 0.3 * 5
            tried.append({one.id for one in own if one.group in drawn})
        shares = [abs(len(ids) / len(own) - 0.3) for ids in tried]
        held |= tried[shares.index(min(shares))]
    split = scenes().validation_split(0.3, balance="identifier_two_level_hierarchy", seed=7)
    assert {one.id for one in split.validation} == held


def test_a_draw_that_would_cut_a_group_or_cannot_be_made_is_refused():
    with pytest.raises(DatasetError, match="the split cuts group"):
        scenes().validation_split(0.3, balance="class")
    whole = scenes().validation_split(0.3, balance=None)
    assert len({one.group for one in whole.validation}) == math.ceil(0.3 * 30)
    alone = Listed(*(clip(f"x{n}", "train", tags={"ab"[n % 2]: 1.0}) for n in range(10)), clip("t", "test"), protocol=TrainTest())
    assert Counter(label for one in alone.validation_split(0.35, balance="class").validation for label in one.tags) == {"a": 2, "b": 2}
    assert len(alone.validation_split(0.35, balance=None).validation) == 4
    with pytest.raises(DatasetError, match="has no group"):
        alone.validation_split(0.3)
    with pytest.raises(DatasetError, match="has no group"):
        alone.validation_split(0.3, balance="identifier")
    with pytest.raises(DatasetError, match="balance must be None or one of"):
        alone.validation_split(0.3, balance="classes")
    for wrong in ({"amount": 0.0}, {"amount": 1.0}, {"attempts": 0}):
        with pytest.raises(DatasetError, match="amount must lie in"):
            alone.validation_split(**{"balance": "class", **wrong})
    two = Listed(clip("x", "train", tags={"a": 1.0, "b": 1.0}), clip("t", "test"), protocol=TrainTest())
    with pytest.raises(DatasetError, match="has 2 labels; to balance by label every clip needs one: use balance=None"):
        two.validation_split(0.3, balance="class")


# ---- what need not be there


class Lossy(Listed):
    """A dataset of which nobody has everything."""

    files_may_lack = True


def test_files_that_lack_are_left_out_and_counted(tmp_path):
    audio.write(tmp_path / "x.wav", np.ones(10, np.float32) / 2, 8000)
    dataset = Lossy(replace(clip("x", "train"), path=tmp_path / "x.wav"), replace(clip("y", "test"), path=tmp_path / "y.wav"))
    assert ([one.id for one in dataset.clips], dataset.missing) == (["x"], ("y",))
    assert [one.id for one in dataset.listed] == ["x", "y"]
    assert dataset.summary().missing == 1
    assert "1 clips in 1 groups, 1 more are listed but not there" in str(dataset.summary())
    assert [(one.kind, Path(one.path).name) for one in dataset.validate()] == [("missing", "y.wav")]


def test_a_channel_of_a_file_is_a_clip(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1600, 4)).astype(np.float32)
    audio.write(tmp_path / "x.wav", sound, 8000, subtype="FLOAT")
    clips = [Clip(f"x-{n}", tmp_path / "x.wav", fold="train", group="x", tags={}, channel=n) for n in range(4)]
    dataset = Listed(*clips)
    dataset.cache = tmp_path / "cache"
    assert dataset.validate() == []  # one file, looked at once
    feature = RawAudio(sr=8000, audio_win=160, audio_hop=160)
    store = feature.extract(dataset, jobs=1)
    for n in range(4):
        np.testing.assert_array_equal(store.read(f"x-{n}")[:10].ravel(), sound[:, n])
    dataset.change_sampling_rate(4000)
    for n, one in enumerate(dataset.clips):
        assert one.channel is None
        np.testing.assert_allclose(audio.read(one.path)[0], audio.resample(sound[:, n].copy(), 8000, 4000), atol=1e-4)
    with pytest.raises(AudioError, match="has 4 channels, counted from 0; there is no channel 4"):
        audio.read(tmp_path / "x.wav", channel=4)


# ---- making them


@pytest.mark.parametrize("name", ["esc50", "ESC10", "UrbanSound8k", "synthetic_sounds"])
def test_the_same_seed_makes_the_same_bytes(tmp_path, name):
    def contents(folder, seed):
        testing.make_dataset(name, tmp_path / folder, clips=4, seconds=0.1, seed=seed)
        return {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}

    first, again, other = contents("a", 0), contents("b", 0), contents("c", 1)
    assert first == again
    assert first.keys() == other.keys()
    assert first != other
