"""Datasets of one's own: `Folder` in all its layouts, and `Soundscapes` made from the clips of another dataset."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pytest

from dcasekit import audio, testing
from dcasekit.annotations import Clip, Event, write_annotation, write_events
from dcasekit.datasets import CrossValidation, Folder, Mixing, Soundscapes, TrainTest, TrainValidateTest
from dcasekit.datasets._mixing import mix
from dcasekit.errors import AnnotationError, DatasetError


def sound(path: Path, number: int = 0) -> Path:
    audio.write(path, np.random.default_rng(number).normal(0, 0.1, 800).astype(np.float32), 8000)
    return path


# ---- Folder


def test_subfolders_are_labels(tmp_path):
    for number, label in enumerate(["dog", "cat"] * 6):
        sound(tmp_path / label / f"{number}.wav", number)
    dataset = Folder(tmp_path)
    assert (dataset.task, dataset.labels, dataset.folds) == ("classification", ("cat", "dog"), tuple(f"fold{n}" for n in range(1, 6)))
    assert isinstance(dataset.protocol, CrossValidation)
    assert {clip.id: clip.tags for clip in dataset.clips}["dog/0"] == {"dog": 1.0}
    assert all(clip.events is None for clip in dataset.clips)
    per_label = {label: {clip.fold for clip in dataset.clips if label in clip.tags} for label in dataset.labels}
    assert all(folds == set(dataset.folds) for folds in per_label.values())  # every label is in every fold
    assert [clip.fold for clip in Folder(tmp_path).clips] == [clip.fold for clip in dataset.clips]


def test_folds_of_the_layout_are_kept(tmp_path):
    for part in ("train", "val", "test"):
        sound(tmp_path / part / "dog" / "a.wav")
    dataset = Folder(tmp_path)
    assert dataset.folds == ("train", "validate", "test")
    assert isinstance(dataset.protocol, TrainValidateTest)
    assert {clip.id: (clip.fold, clip.tags) for clip in dataset.clips}["val/dog/a"] == ("validate", {"dog": 1.0})
    (tmp_path / "val" / "dog" / "a.wav").unlink()
    assert type(Folder(tmp_path).protocol) is TrainTest
    for number in (1, 2, 10):
        sound(tmp_path / "more" / f"fold{number}" / "cat" / "a.wav")
    assert Folder(tmp_path / "more").folds == ("fold1", "fold2", "fold10")


def test_a_list_of_events_labels_the_files_it_names(tmp_path):
    for name in ("a.wav", "in/b.wav", "c.wav"):
        sound(tmp_path / name)
    write_events(tmp_path / "events.tsv", {"a.wav": [Event(0, 0.05, "dog"), Event(0.02, 0.1, "cat")], "b.wav": [], "gone.wav": []})
    dataset = Folder(tmp_path)
    known = {clip.id: (clip.tags, clip.events) for clip in dataset.clips}
    assert dataset.task == "detection"
    assert known["a"] == ({"dog": 1.0, "cat": 1.0}, (Event(0, 0.05, "dog"), Event(0.02, 0.1, "cat")))
    assert known["in/b"] == ({}, ())  # known that nothing happens
    assert known["c"] == (None, None)  # unknown
    problems = [(problem.kind, Path(problem.path).name) for problem in dataset.validate(content=False)]
    assert [problem for problem in problems if problem[0] != "label"] == [("missing", "gone.wav")]
    sound(tmp_path / "b.wav")
    (tmp_path / "b.wav").rename(tmp_path / "in" / "c.wav")
    sound(tmp_path / "in" / "d" / "b.wav")
    write_events(tmp_path / "events.tsv", {"b.wav": []})
    with pytest.raises(DatasetError, match=r"names 'b.wav', and there are in/b.wav and in/d/b.wav; give the path below"):
        _ = Folder(tmp_path).clips


@pytest.mark.parametrize(("labels", "task"), [(("dog", "cat"), "classification"), (("dog,cat", "cat"), "tagging")])
def test_a_list_of_tags(tmp_path, labels, task):
    for name in ("a.wav", "b.wav"):
        sound(tmp_path / name)
    (tmp_path / "tags.tsv").write_text("".join(f"{name}\t{label}\n" for name, label in zip(("a.wav", "b.wav"), labels, strict=True)))
    dataset = Folder(tmp_path)
    assert (dataset.task, dataset.labels) == (task, ("cat", "dog"))
    assert Folder(tmp_path, task="tagging").task == "tagging"


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.Table.1.selections.txt", "a.jams"])
def test_annotations_beside_the_audio(tmp_path, name):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    write_annotation(tmp_path / name, [Event(0.01, 0.05, "dog")])
    known = {clip.id: clip.events for clip in Folder(tmp_path).clips}
    assert known == {"a": (Event(0.01, 0.05, "dog"),), "b": None}
    (tmp_path / name).write_text("no\tannotation\n")
    with pytest.raises(DatasetError, match=name.replace(".", r"\.")):
        _ = Folder(tmp_path).clips


def test_groups_are_named_by_the_path_and_never_cut(tmp_path):
    for number in range(12):
        sound(tmp_path / "dog" / f"site{number // 4}_{number}.wav", number)
    dataset = Folder(tmp_path, group=r"(site\d+)_")
    assert {clip.group for clip in dataset.clips} == {"site0", "site1", "site2"}
    assert all(len({clip.fold for clip in dataset.clips if clip.group == group}) == 1 for group in ("site0", "site1", "site2"))
    assert len(dataset.folds) == 3
    with pytest.raises(DatasetError, match=r"names no group of 'dog/site0_0\.wav'"):
        _ = Folder(tmp_path, group=r"(place\d+)").clips
    with pytest.raises(DatasetError, match="must be a regular expression"):
        Folder(tmp_path, group="(")
    with pytest.raises(DatasetError, match="parts must be at least 2"):
        Folder(tmp_path, parts=1)


def test_what_dcasekit_writes_there_is_no_recording(tmp_path):
    sound(tmp_path / "dog" / "a.wav")
    sound(tmp_path / "cat" / "b.wav", 1)
    before = Folder(tmp_path)
    before.change_sampling_rate(4000)
    assert (tmp_path / "audio4000" / "dog" / "a.wav").exists()
    assert [clip.id for clip in Folder(tmp_path).clips] == ["cat/b", "dog/a"]


def test_a_folder_that_says_nothing(tmp_path):
    with pytest.raises(DatasetError, match="there is no audio below"):
        _ = Folder(tmp_path).clips
    sound(tmp_path / "a.wav")
    with pytest.raises(DatasetError, match="nothing below .* has a label; use subfolders"):
        _ = Folder(tmp_path).labels


# ---- Soundscapes


@pytest.fixture(scope="module")
def foreground(tmp_path_factory):
    return testing.make_dataset("esc10", tmp_path_factory.mktemp("esc"), clips=60, seconds=0.5, sr=8000)


SMALL = Mixing(events=(2, 4), lengths=(0.1, 0.4), sr=8000, gap=0.05)


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.suffix in (".wav", ".tsv"))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes_and_an_interrupted_call_goes_on(tmp_path, foreground):
    made = Soundscapes(tmp_path / "a", foreground=foreground, clips=10, seconds=2, mixing=SMALL, seed=3)
    assert made.download()
    assert not made.download()
    first = hashes(tmp_path / "a")
    assert len(first) == 20
    other = Soundscapes(tmp_path / "b", foreground=foreground, clips=10, seconds=2, mixing=SMALL, seed=3)
    other.download()
    assert hashes(tmp_path / "b") == first
    (tmp_path / "b" / "settings.json").rename(tmp_path / "b" / "unfinished.json")
    gone = tmp_path / "b" / "audio" / "fold1" / "soundscape00000.wav"
    gone.unlink()
    kept = tmp_path / "b" / "audio" / "fold2" / "soundscape00001.wav"
    before = kept.stat().st_mtime_ns
    other.download()
    assert hashes(tmp_path / "b") == first
    assert kept.stat().st_mtime_ns == before  # what was there was not made again
    seeded = Soundscapes(tmp_path / "b", foreground=foreground, clips=10, seconds=2, mixing=SMALL, seed=4)
    assert seeded.download()
    assert not set(hashes(tmp_path / "b").values()) & set(first.values())


def test_folds_share_no_source(tmp_path, foreground):
    grounds = testing.make_dataset("urban_sound8k", tmp_path / "u", clips=40, seconds=0.5, sr=8000)
    Soundscapes(tmp_path / "s", foreground=foreground, background=grounds, clips=20, seconds=1, mixing=SMALL).download()
    folds = {clip.id: clip.fold for clip in foreground.clips}
    rows = [line.split("\t") for path in (tmp_path / "s").rglob("*.tsv") for line in path.read_text().splitlines()[1:]]
    assert rows
    for path in (tmp_path / "s" / "annotations").rglob("*.tsv"):
        assert {folds[line.split("\t")[3]] for line in path.read_text().splitlines()[1:]} <= {path.parent.name}


def test_a_fold_without_a_background_of_its_own_is_refused(tmp_path, foreground):
    few = testing.make_dataset("urban_sound8k", tmp_path / "u", clips=4, seconds=0.2, sr=8000)
    with pytest.raises(DatasetError, match="too few groups of clips to give fold3 a background"):
        Soundscapes(tmp_path / "s", foreground=foreground, background=few).download()


def test_labels_are_where_the_sound_is():
    """A tone burst between silences, over a faint background: its samples stand out exactly between onset and offset."""
    rng, where = np.random.default_rng(0), []

    def clip_of(path):
        samples = np.zeros(8000, np.float32)
        samples[2000:6000] = np.sin(np.arange(4000) * 2 * np.pi * 1000 / 8000)
        audio.write(path, samples, 8000)
        return path

    with tempfile.TemporaryDirectory() as folder:
        clip = Clip("tone", clip_of(Path(folder) / "tone.wav"), tags={"tone": 1.0})
        for _ in range(20):
            mixing = Mixing(events=(1, 3), lengths=(0.05, 0.8), snr=(40, 40), sr=8000)
            samples, placed = mix({"tone": [clip]}, (), 4.0, mixing, rng)
            loud = np.abs(samples) > 0.2 * np.abs(samples).max()
            inside = np.zeros(len(samples), bool)
            for one in placed:
                first, last = round(one.event.onset * 8000), round(one.event.offset * 8000)
                inside[first:last] = True
                assert loud[first : first + 100].any()  # within the fade-in
                assert loud[last - 100 : last].any()
                assert 0.25 <= one.start < 0.75
                where.append(one)
            assert not (loud & ~inside).any()
    assert len(where) > 20


def test_levels_are_met():
    with tempfile.TemporaryDirectory() as folder:
        audio.write(Path(folder) / "n.wav", np.random.default_rng(1).normal(0, 0.2, 8000).clip(-1, 1).astype(np.float32), 8000)
        clip = Clip("n", Path(folder) / "n.wav", tags={"n": 1.0})
        mixing = Mixing(events=(1, 1), lengths=(0.5, 0.5), snr=(12, 12), sr=8000)
        samples, [placed] = mix({"n": [clip]}, (), 3.0, mixing, np.random.default_rng(5))
        alone, _ = mix({"n": [clip]}, (), 3.0, Mixing(events=(0, 0), sr=8000), np.random.default_rng(5))
    first, last = round(placed.event.onset * 8000), round(placed.event.offset * 8000)
    added = samples[first:last] - alone[first:last]
    assert 10 * np.log10(np.mean(added**2) / np.mean(alone[first:last] ** 2)) == pytest.approx(12, abs=0.01)
    assert 20 * np.log10(np.sqrt(np.mean(alone**2))) == pytest.approx(-40, abs=0.01)
    np.testing.assert_array_equal(np.delete(samples, np.s_[first:last]), np.delete(alone, np.s_[first:last]))


def test_events_of_one_label_stay_apart_and_few_overlap(tmp_path, foreground):
    mixing = Mixing(events=(12, 12), lengths=(0.1, 0.4), sr=8000, gap=0.1, overlap=2)
    made = Soundscapes(tmp_path, foreground=foreground, clips=10, seconds=2, mixing=mixing)
    made.download()
    for clip in made.clips:
        for one in clip.events:
            others = [other for other in clip.events if other is not one]
            assert all(
                other.label != one.label or other.onset >= one.offset + 0.0999 or one.onset >= other.offset + 0.0999 for other in others
            )
            assert sum(other.onset <= one.onset < other.offset for other in others) < 2


def test_soundscapes_say_what_they_need(tmp_path, foreground):
    with pytest.raises(DatasetError, match=r"Soundscapes are generated, not fetched"):
        Soundscapes(tmp_path / "none").download()
    with pytest.raises(DatasetError, match=r"settings.json does not exist; make the soundscapes"):
        _ = Soundscapes(tmp_path / "none").clips
    tagged = testing.make_dataset("folder", tmp_path / "f", clips=8, seconds=0.5)
    with pytest.raises(DatasetError, match="a foreground clip needs one label"):
        Soundscapes(tmp_path / "s", foreground=tagged).download()
    for wrong in ({"events": (3, 1)}, {"overlap": 0}, {"lengths": (0, 1)}):
        with pytest.raises(DatasetError, match="Mixing"):
            Mixing(**wrong)
    with pytest.raises(DatasetError, match="clips >= 1"):
        Soundscapes(tmp_path, clips=0)


def test_annotation_errors_are_of_the_dataset(tmp_path, foreground):
    Soundscapes(tmp_path, foreground=foreground, clips=5, seconds=1, mixing=SMALL).download()
    (tmp_path / "annotations" / "fold1" / "soundscape00000.tsv").write_text("onset\toffset\tevent_label\n2\t1\tdog\n")
    with pytest.raises(DatasetError, match=r"soundscape00000.tsv, line 2.*onset") as raised:
        _ = Soundscapes(tmp_path).clips
    assert isinstance(raised.value.__cause__, AnnotationError)
