"""Corrections: a file beside the dataset, a line per correction, applied by any dataset and on the command line."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcasekit import AugmentedDataset, cli, testing
from dcasekit.annotations import (
    Clip,
    Correction,
    Event,
    append_corrections,
    corrections_beside,
    read_annotation,
    read_corrections,
    read_tag_list,
)
from dcasekit.datasets import Dataset, Folder
from dcasekit.errors import AnnotationError, DatasetError, StorageError
from dcasekit.features import RawAudio

DOG, CAT = Event(0.0, 1.0, "dog"), Event(1.0, 2.0, "cat", 0.5)


class Street(Dataset):
    task, labels, licence, citation = "detection", ("dog", "cat"), "none", "none"
    folds = ("fold1", "fold2")

    def load(self):
        yield Clip("strong", Path("strong.wav"), fold="fold1", tags={"dog": 1.0, "cat": 0.5}, events=(DOG, CAT))
        yield Clip("weak", Path("weak.wav"), fold="fold2", tags={"dog": 1.0})


def test_what_is_added_is_read_back_with_who_and_when(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    made = [
        Correction("a/1", {"dog": 1.0, "cat": None}, said_tags={"cat": 1.0}, who='Ann\n"<b>'),
        Correction("a/2", events=(DOG, CAT), said_events=()),
        Correction("ü"),
    ]
    append_corrections(path, made[:1])
    append_corrections(path, made[1:])
    found = read_corrections(path)
    assert [(one.clip, one.tags, one.events, one.said_tags, one.said_events, one.who) for one in found] == [
        ("a/1", {"dog": 1.0, "cat": None}, None, {"cat": 1.0}, None, 'Ann\n"<b>'),
        ("a/2", {"dog": 1.0, "cat": 0.5}, (DOG, CAT), None, (), ""),
        ("ü", None, None, None, None, ""),
    ]
    assert all(one.when.endswith("Z") for one in found)
    assert len(path.read_text().splitlines()) == 3


def test_many_add_at_once_and_every_line_is_whole(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append_corrections(tmp_path / "a.jsonl", [Correction(f"{n}-{k}") for k in range(20)]), range(40)))
    assert len({one.clip for one in read_corrections(tmp_path / "a.jsonl")}) == 800


def test_a_line_that_was_torn_is_named_and_the_next_begins_anew(tmp_path):
    path = append_corrections(tmp_path / "a.jsonl", [Correction("a")])
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    append_corrections(path, [Correction("b")])
    with pytest.raises(AnnotationError, match=r"a\.jsonl, line 2 is not a correction .*delete this line"):
        read_corrections(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::2]))
    assert [one.clip for one in read_corrections(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "change",
    [
        {"clip": "../x"}, {"clip": 1}, {"really": None}, {"really": {}}, {"really": {"tags": {"dog": 2}, "events": None}}, {"who": None},
        {"really": {"tags": None, "events": [[1, 0, "dog", 1]]}}, {"really": {"tags": ["dog"], "events": None}},
        {"said": {"tags": {"dog": "x"}, "events": None}}, {"really": {"tags": None, "events": [[1, 2]]}},
    ],
)  # fmt: skip
def test_what_is_no_correction_is_named(tmp_path, change):
    nothing = {"tags": None, "events": None}
    line = {"clip": "a", "said": nothing, "really": nothing, "who": "", "when": "2026-11-28T12:00:00Z"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line | change) + "\n")
    with pytest.raises(AnnotationError, match="line 1 is not a correction"):
        read_corrections(tmp_path / "a.jsonl")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        read_corrections(tmp_path / "a.jsonl")
    with pytest.raises(AnnotationError, match="cannot read"):
        read_corrections(tmp_path)
    with pytest.raises(StorageError, match="cannot write"):
        append_corrections(tmp_path, [Correction("a")])


def test_the_file_lies_beside_the_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert corrections_beside("data/ESC-50/") == tmp_path / "data" / "ESC-50.corrections.jsonl"
    assert corrections_beside(".").parent == tmp_path.parent


def test_a_corrected_dataset_holds_what_clips_really_hold(tmp_path):
    street = Street("nowhere")
    strong, weak = street.clips
    path = append_corrections(tmp_path / "a.jsonl", [Correction.of(weak, tags={"cat": 1.0}), Correction.of(weak, events=[CAT])])
    found = street.with_corrections(path)
    assert found.clips == (strong, Clip("weak", Path("weak.wav"), fold="fold2", tags={"cat": 0.5}, events=(CAT,)))
    assert (found.name, found.task, found.labels, found.folds) == (street.name, street.task, street.labels, street.folds)
    assert street.clips == (strong, weak)
    assert (street.corrected, found.corrected) == (0, 1)
    assert (street.variant, street.with_corrections([]).variant) == ("", "")
    assert found.variant != street.with_corrections([Correction("weak")]).variant


def test_tags_alone_leave_the_times_of_what_stays_and_forget_them_where_a_label_joins():
    street = Street("nowhere")
    for tags, events in (({"dog": 1.0}, (DOG,)), ({}, ()), ({"cat": 1.0}, (CAT,)), (None, None)):
        (strong, _) = street.with_corrections([Correction("strong", tags)]).clips
        assert (strong.tags, strong.events) == (tags, events)
    (strong, _) = street.with_corrections([Correction("strong", {"dog": 1.0}), Correction("strong", events=())]).clips
    assert (strong.tags, strong.events) == ({}, ())
    (_, weak) = street.with_corrections([Correction("weak", {"cat": 1.0})]).clips
    assert (weak.tags, weak.events) == ({"cat": 1.0}, None)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ([Correction("other")], "corrects no clip of ESC10, but 'other'"),
        ([Correction("0", {"unicorn": 1.0})], "unknown label 'unicorn'"),
        ([Correction("0", {"dog": 1.0, "rain": 1.0})], "a clip has one label"),
        ([Correction("0", {})], "a clip has one label"),
        ([Correction("0", {"dog": 0.5})], "a clip has one label"),
    ],
)
def test_corrections_that_do_not_fit_are_refused(tmp_path, made, says):
    dataset = testing.make_dataset("esc10", tmp_path, clips=10, seconds=0.1, sr=8000)
    first = dataset.clips[0].id
    with pytest.raises(DatasetError, match=says):
        _ = dataset.with_corrections([Correction(first if one.clip == "0" else one.clip, one.tags) for one in made]).clips


def test_corrections_of_clips_that_are_gone_are_counted(caplog):
    assert Street("nowhere").with_corrections([Correction("weak", {}), Correction("gone")]).clips[1].tags == {}
    assert "1 corrections are of clips that are not in Street" in caplog.text


def test_features_are_the_same_files_and_copies_are_made_anew(tmp_path):
    dataset = testing.make_dataset("esc10", tmp_path, clips=10, seconds=0.2, sr=8000)
    clip = dataset.clips[0]
    other = next(label for label in dataset.labels if label not in clip.tags)
    found = dataset.with_corrections([Correction.of(clip, tags={other: 1.0})])
    feature = RawAudio(sr=8000, audio_hop=400)
    feature.extract(dataset, jobs=1)
    assert feature.check_if_extracted(found)
    copies = [AugmentedDataset(each, [{"type": "reverse"}]) for each in (dataset, found)]
    assert len({*copies[0].folders, *copies[1].folders}) == 2
    assert copies[0].with_corrections(found.corrections.values()).folders == copies[1].folders
    assert copies[1].corrected == 1


def command(*texts):
    done = CliRunner().invoke(cli.app, [str(text) for text in texts])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_line_converts_a_corrected_folder(tmp_path):
    for name in ("dog/a.wav", "cat/b.wav"):
        _tone(tmp_path / "data" / name)
    dataset = Folder(tmp_path / "data")
    clip = dataset.clips[0]
    path = append_corrections(corrections_beside(dataset.root), [Correction.of(clip, tags={"dog": 1.0})])
    assert clip.tags == {"cat": 1.0}
    given = ("--data", tmp_path / "data", "-D", f"corrections={path}", "--out")
    command("datasets", "convert", "folder", *given, tmp_path / "tags", "--to", "tags")
    assert read_tag_list(tmp_path / "tags" / "tags.tsv") == {"cat/b.wav": {"dog": 1.0}, "dog/a.wav": {"dog": 1.0}}
    for form, ending in (("audacity", ".txt"), ("raven", ".txt"), ("jams", ".jams")):
        command("datasets", "convert", "folder", *given, tmp_path / form, "--to", form, "--whole")
        (file,) = (each for each in (tmp_path / form).rglob(f"*{ending}") if each.name.startswith("b"))
        assert [(event.label, event.onset, event.offset) for event in read_annotation(file)] == [("dog", 0.0, 0.5)]
    command("datasets", "convert", "folder", *given, tmp_path / "events", "--to", "events", "--whole")
    assert "cat/b.wav\t0\t0.5\tdog" in (tmp_path / "events" / "events.tsv").read_text()


def test_times_are_not_made_up_unasked(tmp_path):
    _tone(tmp_path / "data" / "dog" / "a.wav")
    done = CliRunner().invoke(
        cli.app, ["datasets", "convert", "folder", "--data", str(tmp_path / "data"), "--to", "raven", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 1
    assert "--whole" in done.output


def test_training_and_testing_take_corrections(tmp_path):
    dataset = testing.make_dataset("esc10", tmp_path / "data", clips=50, seconds=0.5, sr=8000)
    clip = dataset.split("fold1").test[0]
    other = next(label for label in dataset.labels if label not in clip.tags)
    path = append_corrections(corrections_beside(dataset.root), [Correction.of(clip, tags={other: 1.0})])
    given = ("--dataset", "esc10", "--data", tmp_path / "data", "-D", f"corrections={path}", "--fold", "fold1", "--quiet", "--json")
    small = ("--model", "mlp", "--epochs", 1, "--jobs", 1, "-M", "hidden_layers_size=[8]", "-M", "dropout_rates=[0]", "-F", "sr=8000")
    command("train", *given, *small, "--out", tmp_path / "run")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["corrected"] == 1
    counts = [
        json.loads(command("evaluate", *each, "--model", tmp_path / "run" / "model"))["labels"]
        for each in (given, [*given[:4], *given[6:]])
    ]
    now, before = ({row["label"]: row["clips"] for row in each} for each in counts)
    assert now[other] == before[other] + 1


def _tone(path):
    import numpy as np

    from dcasekit import audio

    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.sin(np.arange(4000) / 5).astype(np.float32) / 2, 8000)
