"""Folders as people have them: nothing is dropped or given another label without a word."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from dcasekit import AugmentedDataset, audio
from dcasekit.annotations import Event, write_annotation
from dcasekit.augmentations._folder import recordings
from dcasekit.core.trees import list_tree
from dcasekit.datasets import Folder
from dcasekit.errors import DatasetError
from dcasekit.features import MelSpectrogram


def sound(path: Path, number: int = 0) -> Path:
    audio.write(path, np.random.default_rng(number).normal(0, 0.1, 800).astype(np.float32), 8000)
    return path


def empty(root: Path, *names: str) -> Path:
    """A folder of files without content: what they are called is enough to be understood."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labels(dataset: Folder) -> dict[str, str | None]:
    return {clip.id: None if clip.tags is None else ",".join(clip.tags) for clip in dataset.clips}


def left_out(dataset: Folder) -> dict[str, str]:
    return {one.path: one.why for one in dataset.layout.left_out}


# ---- which files are recordings


def test_names_that_begin_like_our_own_folders_are_recordings(tmp_path):
    empty(tmp_path, "audio1.wav", "features_film/a.wav", "augmented2/b.wav", "audio1/c.wav", "featuresque.wav")
    found = labels(Folder(tmp_path))
    assert found == {
        "audio1": None,
        "featuresque": None,
        "features_film/a": "features_film",
        "augmented2/b": "augmented2",
        "audio1/c": "audio1",
    }


def test_what_dcasekit_made_is_left_out_and_told_whatever_a_folder_is_called(tmp_path):
    for number, name in enumerate(("audio16000/a", "audio16000/b", "features/a", "augmented/b")):
        sound(tmp_path / f"{name}.wav", number)
    before = Folder(tmp_path)
    assert before.labels == ("audio16000", "augmented", "features")
    before.change_sampling_rate(4000)
    MelSpectrogram(sr=8000, audio_win=256, audio_hop=128).extract(Folder(tmp_path), jobs=1)
    AugmentedDataset(Folder(tmp_path), [{"type": "gain", "min_db": -3, "max_db": 3}]).process(jobs=1)
    dataset = Folder(tmp_path)
    assert labels(dataset) == labels(before)
    made = [one.path.partition("-")[0] for one in dataset.layout.left_out if one.why == "made by dcasekit"]
    assert made == ["audio4000/", "augmented/gain", "features/mel_spectrogram"]


def test_endings_in_capitals_and_every_format_that_can_be_read_are_found(tmp_path):
    tone = np.sin(np.arange(800) * 0.3)
    for form in ("AIFF", "AU", "CAF", "FLAC", "MP3", "OGG", "RF64", "W64", "WAV"):
        (tmp_path / form).mkdir()
        soundfile.write(tmp_path / form / f"a.{form}", tone, 8000, format=form)
    (tmp_path / "AIFF" / "B.Aif").write_bytes((tmp_path / "AIFF" / "a.AIFF").read_bytes())
    dataset = Folder(tmp_path)
    assert len(dataset.clips) == 10
    assert left_out(dataset) == {}
    assert [problem for problem in dataset.validate(content=False) if problem.kind != "label"] == []
    empty(tmp_path, "calls/a.WAV", "calls/a.TXT")
    (tmp_path / "calls" / "a.TXT").write_text("0\t1\tbird\n")
    assert labels(Folder(tmp_path / "calls")) == {"a": "bird"}
    (tmp_path / "calls" / "Tags.CSV").write_text("filename,labels\na.wav,wren\n")  # and the list's own spelling of a name
    assert labels(Folder(tmp_path / "calls")) == {"a": "wren"}


def test_sounds_that_cannot_be_read_hidden_files_and_others_are_told(tmp_path):
    empty(tmp_path, "dog/a.wav", "dog/._a.wav", "dog/b.m4a", "dog/cover.png", "notes.txt", ".git/x.wav")
    dataset = Folder(tmp_path)
    assert labels(dataset) == {"dog/a": "dog"}
    assert left_out(dataset) == {
        ".git": "hidden",
        "dog/._a.wav": "hidden",
        "dog/b.m4a": "cannot be read; convert it to wav",
        "dog/cover.png": "no recording",
        "notes.txt": "belongs to no recording beside it",
    }
    told = {(problem.kind, Path(problem.path).name) for problem in dataset.validate(content=False)}
    assert {("left out", "._a.wav"), ("left out", "b.m4a")} <= told
    assert not {name for kind, name in told if kind == "extra"}
    (tmp_path / "dog" / "a.wav").unlink()
    with pytest.raises(DatasetError, match=r"there is no audio below .*; convert dog/b\.m4a to wav"):
        _ = Folder(tmp_path).clips


def test_two_recordings_of_one_name_are_both_there_and_never_parted(tmp_path):
    empty(tmp_path, "dog/a.wav", "dog/a.mp3", "dog/a.mp3.wav", "dog/b.wav")
    clips = {clip.id: clip for clip in Folder(tmp_path).clips}
    assert {name: clip.path.name for name, clip in clips.items()} == {
        "dog/a.wav": "a.wav", "dog/a.mp3": "a.mp3", "dog/a.mp3.wav": "a.mp3.wav", "dog/b": "b.wav",
    }  # fmt: skip
    assert clips["dog/a.wav"].group == clips["dog/a.mp3"].group != ""
    assert clips["dog/a.wav"].fold == clips["dog/a.mp3"].fold
    assert clips["dog/b"].group == ""


FOLDERS = ("", "train/", "test/", "fold1/", "dog/", "cat/", "data/", "audio16000/", "features/", ".cache/")
FILES = ("a.wav", "b.WAV", "a.b.wav", "c.mp3", "a.txt", "a.b.tsv", "x.m4a", "events.tsv", "labels.csv", "._a.wav", "readme.md")


@given(
    st.sets(
        st.builds(lambda *parts: "".join(parts), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS), st.sampled_from(FILES)), min_size=1
    )
)
def test_every_file_is_a_clip_or_says_of_a_clip_or_is_told(tmp_path_factory, names):
    root = empty(tmp_path_factory.mktemp("any"), *names)
    for name in names:
        if name.endswith((".tsv", ".csv", ".txt")):
            text = "0\t1\tdog\n" if Path(name).stem in ("a", "a.b") else "a.wav,0,1,dog\n" if "events" in name else "filename,label\n"
            (root / name).write_text(text)
    try:
        dataset = Folder(root)
        read = {clip.path.relative_to(root).as_posix() for clip in dataset.listed if clip.path.exists()}
    except DatasetError:  # there is no audio, no label, or a name is ambiguous: told as well
        return
    told = left_out(dataset)
    rest = {name for name in names if name not in read and not any(name == one or name.startswith(f"{one.rstrip('/')}/") for one in told)}
    assert all(name.endswith((".tsv", ".csv", ".txt")) for name in rest), rest
    assert read.isdisjoint(told)
    assert {clip.fold for clip in dataset.listed} <= set(dataset.folds)


# ---- links


@pytest.fixture
def links():
    if not hasattr(os, "symlink"):
        pytest.skip("no symbolic links here")


@pytest.mark.usefixtures("links")
def test_links_to_folders_and_files_are_followed_and_cycles_end(tmp_path):
    pool, root = empty(tmp_path / "pool", "dog/a.wav", "dog/deep/b.wav", "c.wav"), tmp_path / "mine"
    (root / "cat").mkdir(parents=True)
    (root / "dog").symlink_to(pool / "dog", target_is_directory=True)
    (root / "cat" / "c.wav").symlink_to(pool / "c.wav")
    (root / "cat" / "up").symlink_to(root, target_is_directory=True)
    (pool / "dog" / "back").symlink_to(root, target_is_directory=True)
    (root / "cat" / "gone.wav").symlink_to(pool / "gone.wav")
    dataset = Folder(root)
    assert labels(dataset) == {"cat/c": "cat", "dog/a": "dog", "dog/deep/b": "dog"}
    back = "a link back to a folder that is read already"
    assert left_out(dataset) == {"cat/up": back, "dog/back": back, "cat/gone.wav": "a link to nothing"}


@pytest.mark.usefixtures("links")
def test_a_recording_that_several_links_lead_to_is_read_once(tmp_path):
    empty(tmp_path, "dog/a.wav", "wolf/b.wav")
    (tmp_path / "best").symlink_to(tmp_path / "dog", target_is_directory=True)
    (tmp_path / "wolf" / "a.wav").symlink_to(tmp_path / "dog" / "a.wav")
    dataset = Folder(tmp_path)
    assert labels(dataset) == {"dog/a": "dog", "wolf/b": "wolf"}
    assert left_out(dataset) == dict.fromkeys(("best/a.wav", "wolf/a.wav"), "a link to dog/a.wav, which is read")
    (tmp_path / "tags.csv").write_text("wolf/a.wav,howl\n")  # a list may name it by any of its names
    assert labels(Folder(tmp_path))["dog/a"] == "howl"


@pytest.mark.usefixtures("links")
def test_folders_that_link_to_each_other_are_read_in_a_bounded_number_of_steps(tmp_path, monkeypatch):
    for number in range(12):
        sound(tmp_path / f"f{number}" / "a.wav")
        for other in range(12):
            if other != number:
                (tmp_path / f"f{number}" / f"to{other}").symlink_to(tmp_path / f"f{other}", target_is_directory=True)
    calls = count(monkeypatch)
    assert len(Folder(tmp_path).clips) == 12
    assert len(calls) <= 12 * 12 + 1


@pytest.mark.usefixtures("links")
def test_an_augmentation_finds_the_recordings_that_a_folder_has(tmp_path):
    sound(tmp_path / "pool" / "in" / "b.wav")
    sound(tmp_path / "mine" / "a.WAV")
    empty(tmp_path / "mine", "._a.WAV", "notes.txt")
    (tmp_path / "mine" / "more").symlink_to(tmp_path / "pool", target_is_directory=True)
    assert recordings(tmp_path / "mine") == ("a.WAV", "more/in/b.wav")
    with pytest.raises(DatasetError, match="is not a folder"):
        recordings(tmp_path / "none")


# ---- cost


def count(monkeypatch) -> list[str]:
    """Record every listing of a directory."""
    calls: list[str] = []
    for name in ("scandir", "listdir"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path=".", real=real: calls.append(os.fspath(path)) or real(path))
    return calls


def test_every_directory_is_listed_once_however_many_files_it_holds(tmp_path, monkeypatch):
    names = [f"c{number % 3}/{number}{end}" for number in range(60) for end in (".wav", ".txt")]
    for path in empty(tmp_path, *names).rglob("*.txt"):
        path.write_text("0\t1\tdog\n")
    calls = count(monkeypatch)
    clips = Folder(tmp_path).clips
    assert len(clips) == 60
    assert all(clip.events for clip in clips)  # each has an annotation beside it, which was found without looking again
    assert len(calls) == len(set(calls)) == 4


# ---- what folders mean


def test_a_stray_file_beside_the_folds_changes_neither_folds_nor_labels(tmp_path):
    empty(tmp_path, "train/dog/a.wav", "train/cat/b.wav", "test/dog/c.wav", "intro.wav", "drafts/d.wav", "readme.txt")
    dataset = Folder(tmp_path)
    assert dataset.folds == ("train", "test")
    assert labels(dataset) == {"train/dog/a": "dog", "train/cat/b": "cat", "test/dog/c": "dog"}
    beside = "beside test, train, which are folds"
    assert left_out(dataset) == {"drafts/d.wav": beside, "intro.wav": beside, "readme.txt": "belongs to no recording beside it"}


@pytest.mark.parametrize("around", ["data/", "my/data/"])
@pytest.mark.parametrize("inside", ["", "wav/"])
def test_folders_around_all_others_are_passed_through(tmp_path, around, inside):
    empty(tmp_path / "flat", *(f"{around}{name}.wav" for name in ("dog/a", "cat/b")), "stray.wav")
    assert set(labels(Folder(tmp_path / "flat")).values()) == {"dog", "cat", None}
    empty(tmp_path / "folds", *(f"{around}{name}.wav" for name in (f"Train/{inside}dog/a", f"Train/{inside}cat/b", f"Test/{inside}cat/c")))
    dataset = Folder(tmp_path / "folds")
    assert (dataset.folds, dataset.labels) == (("train", "test"), ("cat", "dog"))


def test_one_folder_alone_named_as_a_fold_is_none(tmp_path):
    empty(tmp_path / "a", "train/dog/a.wav", "train/cat/b.wav")
    assert (Folder(tmp_path / "a").labels, Folder(tmp_path / "a").folds) == (("cat", "dog"), ("fold1", "fold2"))
    empty(tmp_path / "b", "train/a.wav", "airplane/b.wav", "dog/c.wav")  # the sound of a train
    assert Folder(tmp_path / "b").labels == ("airplane", "dog", "train")


def test_a_folder_tells_how_it_was_understood(tmp_path):
    empty(tmp_path, "dog/a.wav", "cat/b.wav", "c.wav", *(f"dog/{number}.png" for number in range(5)))
    assert str(Folder(tmp_path, group=r"(.)\.wav").layout).splitlines() == [
        "labels from the names of subfolders",
        r"folds from 3 parts dealt out by (.)\.wav",
        "3 recordings, 1 of them without known labels",
        "left out: 5",
        "  no recording: dog/0.png, dog/1.png, dog/2.png and 2 more",
    ]
    empty(tmp_path / "f", "fold1/a.wav", "fold2/b.wav", "fold1/events.tsv")
    (tmp_path / "f" / "fold1" / "events.tsv").write_text("a.wav\t0\t1\tdog\n")
    found = Folder(tmp_path / "f").layout.to_dict()
    assert (found["labels"], found["folds"]) == ("the list fold1/events.tsv", "the folders fold1, fold2")
    assert (found["recordings"], found["unlabelled"], found["left_out"]) == (2, 1, ())


def test_without_a_folder_to_test_on_it_says_so(tmp_path):
    empty(tmp_path, "train/dog/a.wav", "val/dog/b.wav")
    with pytest.raises(DatasetError, match="nothing to test on; the folds with clips are: train, validate"):
        Folder(tmp_path).split()


def test_one_label_for_all_is_told(tmp_path):
    for number in range(2):
        sound(tmp_path / "recordings" / f"{number}.wav", number)
    assert [one.detail for one in Folder(tmp_path).validate()] == ["every recording is 'recordings'; a classifier needs two labels or more"]
    (tmp_path / "tags.tsv").write_text("filename\tlabels\n0\twren\n1\t\n")  # present and absent is something to tell
    assert [one.detail for one in Folder(tmp_path).validate()] == [
        "'wren' is in this clip only, so it cannot be both trained on and tested; record more, or remove the label"
    ]


# ---- annotation files


def test_an_annotation_belongs_to_the_recording_whose_name_it_shares_most_of(tmp_path):
    empty(tmp_path, "a.wav", "a.b.wav", "c.wav", "A.wav")
    write_annotation(tmp_path / "a.b.txt", [Event(0, 1, "dog")])
    write_annotation(tmp_path / "c.Table.1.selections.txt", [Event(0, 1, "cat")])
    write_annotation(tmp_path / "d.txt", [Event(0, 1, "cow")])
    dataset = Folder(tmp_path)
    assert labels(dataset) == {"a.b": "dog", "c": "cat", "a": None, "A": None}  # nothing of a.b's is a's
    assert dataset.layout.labels == "annotation files beside 2 of 4 recordings"
    assert left_out(dataset) == {"d.txt": "belongs to no recording beside it"}
    write_annotation(tmp_path / "c.tsv", [Event(0, 1, "rat")])
    write_annotation(tmp_path / "a.wav.tsv", [Event(0, 1, "hen")])
    dataset = Folder(tmp_path)
    assert (labels(dataset)["c"], labels(dataset)["a"]) == ("rat", "hen")
    assert left_out(dataset)["c.Table.1.selections.txt"] == "not read, because c.tsv is there"


# ---- lists


@pytest.mark.parametrize("written", ["in/a.wav", "./in/a.wav", "in\\a.wav", "in/a", "a", "a.wav", "IN/A.WAV", "{root}/in/a.wav"])
def test_names_in_lists_are_found_as_people_write_them(tmp_path, written):
    empty(tmp_path, "in/a.wav", "b.wav")
    (tmp_path / "tags.tsv").write_text(f"filename\tlabels\n{written.format(root=tmp_path)}\tdog\n")
    assert labels(Folder(tmp_path)) == {"in/a": "dog", "b": None}


def test_an_accent_written_as_a_letter_of_its_own_is_the_same_name(tmp_path):
    empty(tmp_path, "in/Gru\u0308nfink.wav")  # as macOS writes it
    (tmp_path / "tags.tsv").write_text("filename\tlabels\nGr\u00fcnfink.wav\tdog\n")
    assert list(labels(Folder(tmp_path)).values()) == ["dog"]


def test_rows_that_name_one_recording_differently_add_up(tmp_path):
    empty(tmp_path, "in/a.wav")
    (tmp_path / "tags.tsv").write_text("filename\tlabels\nin/a.wav\tdog\na\tcat\n")
    assert labels(Folder(tmp_path)) == {"in/a": "dog,cat"}
    (tmp_path / "events.tsv").write_text("filename\tonset\toffset\tevent_label\nin/a.wav\t0\t1\tdog\na.wav\t1\t2\tcat\n")
    assert [event.label for event in Folder(tmp_path).clips[0].events] == ["dog", "cat"]


def test_a_listed_recording_that_is_not_there_is_missing_and_in_a_fold(tmp_path):
    empty(tmp_path, "train/a.wav", "test/b.wav")
    (tmp_path / "tags.tsv").write_text("filename\tlabels\ntrain/a.wav\tdog\ntest/b.wav\tdog\nnever/was\tdog\nc.wav\tdog\n")
    clips = {clip.id: clip.fold for clip in Folder(tmp_path).clips}
    assert clips == {"train/a": "train", "test/b": "test", "never/was": "train", "c": "train"}


@pytest.mark.parametrize("written", ["../a.wav", "/data/rec/r1.wav", "in/../../a.wav", "C:\\rec\\a.wav", ".."])
def test_a_list_names_nothing_outside_the_folder(tmp_path, written):
    empty(tmp_path, "in/a.wav")
    (tmp_path / "tags.tsv").write_text(f"filename\tlabels\n{written}\tdog\n")
    with pytest.raises(DatasetError, match=r"tags\.tsv names .* which does not lie in .*; give paths below that folder"):
        _ = Folder(tmp_path).clips


@pytest.mark.parametrize(
    ("name", "text", "task"),
    [
        ("labels.csv", "filename,labels\na.wav,dog\nb.wav,cat\n", "classification"),
        ("labels.csv", "filename,onset,offset,label\na.wav,0,1,dog\nb.wav,0,1,cat\n", "detection"),
        ("labels.tsv", "a.wav\t0.5\t1\tdog\nb.wav\t0\t1,5\tcat\n", "detection"),
        ("../elsewhere.csv", "filename,labels\na.wav,dog\nb.wav,cat\n", "classification"),
        ("../elsewhere.csv", "filename,start,end,label\na.wav,0,1,dog\nb.wav,0,1,cat\n", "detection"),
    ],
)
def test_a_list_beside_the_recordings_or_anywhere_else(tmp_path, name, text, task):
    root = empty(tmp_path / "mine", "a.wav", "b.wav")
    (root / name).write_text(text)
    dataset = Folder(root, labels=root / name if name.startswith("..") else None)
    assert (labels(dataset), dataset.task) == ({"a": "dog", "b": "cat"}, task)
    if not name.startswith(".."):
        assert dataset.layout.labels == f"the list {name}"
        (root / "events.csv").write_text("a.wav,0,1,cow\n")
        assert left_out(Folder(root)) == {name: "not read, because events.csv is there"}


@pytest.mark.parametrize("texts", [("train", "Test"), ("1", "2"), ("fold1", "fold2")])
def test_folds_and_groups_of_a_list_are_kept_and_its_other_columns_go_along(tmp_path, texts):
    empty(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    rows = [("a", "dog", texts[0], "g1", "Lyon"), ("b", "cat", texts[0], "g2", ""), ("c", "dog", texts[1], "g3", "Oslo")]
    (tmp_path / "labels.csv").write_text(
        "".join(f"{','.join(row)}\n" for row in [("file", "label", "Split", "group", "Recorded in"), *rows])
    )
    dataset = Folder(tmp_path)
    first, second = (text.lower() if not text.isdecimal() else f"fold{text}" for text in texts)
    assert {clip.id: clip.fold for clip in dataset.clips} == {"a": first, "b": first, "c": second, "d": first}
    assert [clip.group for clip in dataset.clips] == ["g1", "g2", "g3", ""]
    assert [clip.extra for clip in dataset.clips] == [{"recorded_in": "Lyon"}, {}, {"recorded_in": "Oslo"}, {}]
    assert dataset.layout.folds == "the column split of labels.csv"


def test_a_column_of_other_words_gives_no_folds_and_is_kept(tmp_path):
    empty(tmp_path, "a.wav", "b.wav")
    (tmp_path / "labels.csv").write_text("file,label,split,group\na,dog,dev,g\nb,cat,train,g\n")
    dataset = Folder(tmp_path)
    assert dataset.folds == ("fold1",)  # one group: it is not cut
    assert [clip.extra for clip in dataset.clips] == [{"split": "dev"}, {"split": "train"}]


def test_columns_of_labels_and_of_events_are_no_facts_of_a_recording(tmp_path):
    empty(tmp_path, "a.wav", "b.wav")
    (tmp_path / "tags.csv").write_text("filename,dog,Great tit,site\na.wav,1,0,x\nb.wav,0,1,y\n")
    assert [clip.extra for clip in Folder(tmp_path).clips] == [{"site": "x"}, {"site": "y"}]
    (tmp_path / "events.csv").write_text("filename,onset,offset,label,snr,site\na.wav,0,1,dog,3,x\na.wav,1,2,cat,6,x\nb.wav,0,1,dog,1,y\n")
    assert [clip.extra for clip in Folder(tmp_path).clips] == [{"site": "x"}, {"site": "y"}]


def test_a_list_that_is_not_there_is_named(tmp_path):
    empty(tmp_path, "a.wav")
    (tmp_path / "birds.csv").write_text("a,wren\n")
    assert labels(Folder(tmp_path, labels="birds.csv")) == {"a": "wren"}  # beside the recordings
    with pytest.raises(DatasetError, match=r"there is no list of labels nothing\.csv; labels is a file, or names"):
        _ = Folder(tmp_path, labels="nothing.csv").clips


def test_a_table_of_several_recordings_is_a_list(tmp_path):
    empty(tmp_path, "in/a.wav", "b.wav")
    rows = [
        ("Selection", "Begin Time (s)", "End Time (s)", "Begin File", "File Offset (s)", "Annotation"),
        (1, 0.5, 1, "a.wav", 0.5, "wren"),
        (2, 11, 12, "b.wav", 1, "owl"),
    ]
    (tmp_path / "all.selections.txt").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    assert left_out(Folder(tmp_path)) == {"all.selections.txt": "belongs to no recording beside it"}
    dataset = Folder(tmp_path, labels=tmp_path / "all.selections.txt")
    assert {clip.id: clip.events for clip in dataset.clips} == {"in/a": (Event(0.5, 1, "wren"),), "b": (Event(1, 2, "owl"),)}


def test_the_labels_of_one_of_several_annotators(tmp_path):
    empty(tmp_path, "a.wav")
    (tmp_path / "labels.csv").write_text("filename,label,annotator\na.wav,wren,ann\na.wav,robin,bob\n")
    with pytest.raises(DatasetError, match="ann.*bob"):
        _ = Folder(tmp_path).clips
    assert labels(Folder(tmp_path, annotator="bob")) == {"a": "robin"}
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "a.tsv").write_text("onset\toffset\tlabel\tannotator\n0\t1\twren\tann\n0\t1\trobin\tbob\n")
    assert labels(Folder(tmp_path, annotator="ann")) == {"a": "wren"}


def test_labels_of_a_model_need_not_all_occur(tmp_path):
    empty(tmp_path, "dog/a.wav", "cat/b.wav")
    names = ("rain", "dog", "cat")
    assert Folder(tmp_path, labels=names).labels == names
    assert len(Folder(tmp_path, labels=list(names)).clips) == 2
    assert Folder(tmp_path, labels=names).summary().labels[0].clips == 0
    with pytest.raises(DatasetError, match="clip 'cat/b' has the unknown label 'cat'; known: rain, dog"):
        _ = Folder(tmp_path, labels=["rain", "dog"]).clips
    with pytest.raises(DatasetError, match="labels lists one of them twice: dog, cat, dog"):
        Folder(tmp_path, labels=["dog", "cat", "dog"])


# ---- labels people wrote by hand


def test_labels_that_look_wrong_are_told(tmp_path):
    spellings = ["Robin", "robin", "caf\u00e9", "cafe\u0301", "wind_blowing", "wind blowing", "wren", "owl", "owl"]
    rows = [(sound(tmp_path / f"{number}.wav", number).name, label) for number, label in enumerate(spellings)]
    (tmp_path / "tags.tsv").write_text("".join(f"{name}\t{label}\n" for name, label in [("filename", "labels"), *rows]), encoding="utf-8")
    found = [problem.detail for problem in Folder(tmp_path).validate(content=False)]
    assert len(found) == 4
    assert "'Robin' (1 clips, e.g. 0), 'robin' (1 clips, e.g. 1): the same label in 2 spellings; choose one" in found
    assert sum("the same label in 2 spellings" in one for one in found) == 3
    assert "'wren' is in this clip only, so it cannot be both trained on and tested; record more, or remove the label" in found


def test_a_label_without_a_letter_is_told(tmp_path):
    for number in range(2):
        sound(tmp_path / " _" / f"{number}.wav", number)
        sound(tmp_path / "dog" / f"{number}.wav", number + 2)
    [problem] = Folder(tmp_path).validate(content=False)
    assert problem.kind == "label"
    assert "' _' (2 clips, e.g.  _/0) is not a name" in problem.detail


# ---- events behind the end


def test_events_behind_the_end_are_told_and_cut_in_statistics(tmp_path):
    for number in range(4):  # 0.1 s each
        sound(tmp_path / f"{number}.wav", number)
    (tmp_path / "events.tsv").write_text(
        "0.wav\t0.05\t0.1004\tdog\n1.wav\t0.05\t0.3\tdog\n1.wav\t0.2\t0.4\tcat\n2.wav\t0.02\t0.04\tcat\n3.wav\t\t\t\n"
    )
    dataset = Folder(tmp_path)
    assert [(problem.kind, Path(problem.path).name, problem.detail) for problem in dataset.validate()] == [
        (
            "late",
            "1.wav",
            "2 events end after the recording's 0.100 s, the last at 0.400 s (cat); targets and statistics cut them off there",
        ),
    ]
    counts = {one.label: (one.events, round(one.total, 6)) for one in dataset.summary().labels}
    assert counts == {"cat": (1, 0.02), "dog": (2, 0.1)}


def test_a_folder_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    empty(tmp_path, "dog/a.wav", "cat/b.wav")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [(one.path, one.why) for one in list_tree(tmp_path).left_out] == [("cat/", "cannot be opened (Permission denied)")]
