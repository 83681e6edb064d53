"""Laws of every dataset: each file is read to its end, each recording is a clip, and its labels are those that were written."""

import glob
import importlib
import shutil
from collections import defaultdict

import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli
from dcasekit.annotations import events_to_tags, harden, present, read_annotation, read_events, read_tag_list
from dcasekit.core import discover
from dcasekit.datasets import Folder
from dcasekit.testing._make import Sounds

CLIPS = 60
PUBLISHED = {"maestro_real": 49}  # recordings there are; of the others as many as were asked for
WITHOUT = {"soundscapes", "synthetic_sounds"}  # make themselves, from a seed
ON_A_GRID = {"maestro_real": 1.0, "tau_nigens_2020": 0.1}  # their times are those of frames


class Noted(Sounds):
    """Writes sounds, and notes what was written."""

    def __init__(self):
        super().__init__(0.2, 0, 8000)
        self.label, self.events_of = {}, {}

    def write(self, path, label, number, **form):
        self.label[path] = label
        super().write(path, label, number, **form)

    def write_events(self, path, events, labels, number, **form):
        self.events_of[path] = list(events)
        super().write_events(path, events, labels, number, **form)


@pytest.fixture(scope="module", params=discover.names("datasets"))
def tree(request, tmp_path_factory):
    sounds, root = Noted(), tmp_path_factory.mktemp(request.param)
    writer = importlib.import_module(f"dcasekit.testing._trees.{request.param}")
    return request.param, writer.make(discover.load("datasets", request.param), root, CLIPS, sounds), sounds


def test_every_recording_is_a_clip(tree):
    name, dataset, sounds = tree
    there = {path for path in dataset.root.rglob("*") if path.suffix.lower() in audio.READABLE}
    assert {clip.path for clip in dataset.clips} | set(dataset._list_shared()) == there
    assert name in WITHOUT or there == {*sounds.label, *sounds.events_of}
    assert len(dataset.clips) == PUBLISHED.get(name, CLIPS)
    assert dataset.missing == ()
    assert sum(count.clips for count in dataset.summary().labels) >= sum(bool(present(clip.tags)) for clip in dataset.clips)


def test_labels_are_those_that_were_written(tree):
    _, dataset, sounds = tree
    held = defaultdict(list)
    for clip in dataset.clips:
        if clip.path in sounds.label and clip.tags is not None:
            held[sounds.label[clip.path]].append(set(present(clip.tags)))
    for label, sets in held.items():
        assert set.intersection(*sets), f"clips with the sound {label} share no label: {sets}"
    if dataset.task == "classification" and held:
        assert len({frozenset(sets[0]) for sets in held.values()}) == len(held)  # one sound, one label


def test_events_are_those_that_were_written(tree):
    name, dataset, sounds = tree
    step = ON_A_GRID.get(name, 5e-4)
    for clip in dataset.clips:
        written = sounds.events_of.get(clip.path)
        if written is None or clip.tags is None:
            continue
        assert set(present(clip.tags)) == {event.label for event in written}, clip.id
        if clip.events is None:
            continue
        found = sorted(harden(clip.events), key=lambda event: (event.label, event.onset))
        assert len(found) == len(written), clip.id
        for one, other in zip(found, sorted(written, key=lambda event: (event.label, event.onset)), strict=True):
            assert one.label == other.label
            assert abs(one.onset - other.onset) <= step
            assert abs(one.offset - other.offset) <= step


def test_nothing_is_read_that_is_not_of_the_dataset(tree):
    _, dataset, _ = tree
    assert all(clip.path.resolve().is_relative_to(dataset.root.resolve()) for clip in dataset.clips)
    assert all(clip.path.exists() for clip in dataset.clips)


# ---- converted and read back


def run(*args) -> str:
    found = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stdout


def sounding(tags):
    """Labels that are not known to be absent."""
    return {label: value for label, value in tags.items() if value != 0}


def where(clip, dataset) -> str:
    return clip.path.relative_to(dataset.root).as_posix()


def test_tags_are_converted_and_read_back(tree, tmp_path):
    name, dataset, _ = tree
    out = run("datasets", "convert", name, "--data", dataset.root, "--to", "tags", "--out", tmp_path)
    dataset = discover.load("datasets", name)(dataset.root)  # as the command makes it
    expected = {where(clip, dataset): sounding(clip.tags) for clip in dataset.clips if clip.tags is not None}
    assert read_tag_list(tmp_path / "tags.tsv") == expected
    without = sum(clip.tags is None for clip in dataset.clips)
    assert f"{without} clips without labels were left out" in out


def test_events_are_converted_and_read_back(tree, tmp_path):
    name, dataset, _ = tree
    dataset = discover.load("datasets", name)(dataset.root)
    known = [clip for clip in dataset.clips if clip.events is not None]
    if not known:
        pytest.skip("a dataset without times")
    run("datasets", "convert", name, "--data", dataset.root, "--to", "events", "--out", tmp_path)
    assert read_events(tmp_path / "events.tsv") == {where(clip, dataset): list(clip.events) for clip in known}
    for form, end in (("tsv", ".tsv"), ("audacity", ".txt"), ("raven", ".selections.txt"), ("jams", ".jams")):
        run("datasets", "convert", name, "--data", dataset.root, "--to", form, "--out", tmp_path / form)
        for clip in known[:5]:
            assert read_annotation(tmp_path / form / f"{clip.id}{end}") == list(clip.events)


def test_lists_of_a_split_read_back_with_every_weight(tree, tmp_path):
    name, dataset, _ = tree
    run("datasets", "split", name, "--data", dataset.root, "--out", tmp_path)
    dataset = discover.load("datasets", name)(dataset.root)
    for part, clips in zip(("train", "test"), (dataset.split().train, dataset.split().test), strict=True):
        found = read_tag_list(tmp_path / f"{part}.tsv")
        assert found == {where(clip, dataset): sounding(clip.tags or {}) for clip in clips}


def test_a_soft_tag_of_known_events_is_their_largest_weight(tree):
    _, dataset, _ = tree
    for clip in dataset.clips:
        if clip.events is not None and dataset.task == "detection":
            assert clip.tags == events_to_tags(clip.events)


@pytest.mark.parametrize("form", ["tags", "events", "tsv", "audacity", "raven", "jams"])
def test_what_is_converted_is_read_by_folder_with_its_weights(tree, tmp_path, form):
    """The same recordings, elsewhere, with the converted labels in place of the dataset's own."""
    name, dataset, _ = tree
    dataset = discover.load("datasets", name)(dataset.root)
    known = {where(clip, dataset): clip for clip in dataset.clips if (clip.tags if form == "tags" else clip.events) is not None}
    if not known:
        pytest.skip("a dataset without times")
    new, labels = tmp_path / "new", tmp_path / "labels"
    run("datasets", "convert", name, "--data", dataset.root, "--to", form, "--out", labels)
    for path, clip in known.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, new / path)
        for file in labels.glob(f"{glob.escape(clip.id)}.*"):
            shutil.copy(file, (new / path).with_name((new / path).stem + file.name.removeprefix(clip.id.rpartition("/")[2])))
    for file in labels.glob("*s.tsv") if form in ("tags", "events") else ():
        shutil.copy(file, new)
    folder = Folder(new)
    found = {where(clip, folder): clip for clip in folder.clips}
    told = {left.path for left in folder.layout.left_out}
    for path, clip in known.items():
        if path not in found:
            assert path in told  # the folder "eval" beside "train" and "test"
        elif form == "tags":
            assert sounding(found[path].tags) == sounding(clip.tags)
        else:
            assert list(found[path].events or ()) == list(clip.events)
