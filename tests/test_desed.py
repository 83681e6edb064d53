"""DESED: its folds, what is left out, and where its soundscapes may lie."""

import shutil

import pytest

from dcasekit.datasets import DESED
from dcasekit.errors import DatasetError
from dcasekit.testing import make_dataset


@pytest.fixture
def dataset(tmp_path):
    return make_dataset("desed", tmp_path / "desed", clips=56, seconds=0.2, sr=8000)


def of(dataset, fold):
    return [clip for clip in dataset.clips if clip.fold == fold]


def test_each_fold_knows_what_its_lists_tell(dataset):
    assert {fold: len(of(dataset, fold)) for fold in dataset.folds} == dict.fromkeys(dataset.folds, 8)
    assert all(clip.events is None and clip.tags for clip in of(dataset, "weak"))
    assert all(clip.events is None and clip.tags is None for clip in of(dataset, "unlabelled"))
    assert any(clip.events == () for clip in of(dataset, "validation"))
    for fold in ("synthetic", "strong", "synthetic_validation", "public"):
        assert all(clip.events for clip in of(dataset, fold))
    assert {clip.group for clip in of(dataset, "weak")} == {"film0000000", "film0000007", "film0000014", "film0000021"}
    assert all(clip.group == clip.id for clip in of(dataset, "synthetic"))


def test_films_that_are_tested_on_are_not_trained_on(dataset):
    listed = (dataset.root / "metadata/train/audioset_strong.tsv").read_text()
    tested = {clip.group for clip in of(dataset, "validation")}
    assert any(film in listed for film in tested), "the tree lists one"
    assert not tested & {clip.group for clip in of(dataset, "strong")}


def test_it_is_tested_on_validation_and_on_public_by_themselves(dataset):
    split = dataset.split("public")
    assert {clip.fold for clip in split.train} == {"weak", "unlabelled", "synthetic"}
    assert {clip.fold for clip in split.validation} == {"synthetic_validation"}
    assert {clip.fold for clip in split.test} == {"public"}
    assert {clip.fold for clip in dataset.split().test} == {"validation"}


def test_soundscapes_may_lie_among_the_recordings(dataset):
    before = dataset.clips
    for part in ("audio", "metadata"):
        shutil.copytree(dataset.root / "dcase_synth" / part, dataset.root / part, dirs_exist_ok=True)
    shutil.rmtree(dataset.root / "dcase_synth")
    after = DESED(dataset.root).clips
    assert [(clip.id, clip.fold, clip.events) for clip in after] == [(clip.id, clip.fold, clip.events) for clip in before]


def test_what_lacks_is_counted_and_what_is_no_list_is_read_from_the_folder(dataset):
    gone = of(dataset, "weak")[0]
    gone.path.unlink()
    (dataset.root / "metadata/train/unlabel_in_domain.tsv").write_text("filename\nYfilm0000001_0.000_10.000.wav\nYnowhere0000_0_10.wav\n")
    again = DESED(dataset.root)
    assert set(again.missing) == {gone.id, "unlabelled/Ynowhere0000_0_10"}
    assert len(of(again, "unlabelled")) == 1
    shutil.rmtree(dataset.root / "dcase_synth")
    (dataset.root / "metadata/eval/public.tsv").unlink()
    assert not {"synthetic", "synthetic_validation", "public"} & {clip.fold for clip in DESED(dataset.root).clips}


def test_it_says_how_to_come_by_the_files(tmp_path):
    with pytest.raises(DatasetError, match="DESED has no archive of its own: fetch .* zenodo.org/record/6026841"):
        DESED(tmp_path).download()
