"""Check that a dataset keeps its contract."""

import copy
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dcasekit import audio
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError
from dcasekit.testing._contract import expect_refusal, need
from dcasekit.testing._oracle import check_oracle

_TEXTS = (".csv", ".tsv", ".txt", ".ann", ".json", ".jams", ".yaml")  # label files


def check_dataset(dataset: Dataset) -> None:
    """Check that a dataset keeps the contract of all datasets.

    Among other things: its facts are known without files; each text file is read completely, or an error names it; `validate` finds every
    damaged file and nothing else; splits keep groups together; and an oracle, which predicts the truth, gets the best value of every
    metric.

    Parameters
    ----------
    dataset : a dataset with its files on disk, six audio files or more. Copies of them are damaged, never the files themselves, so give a
        small part of a large dataset.

    Raises
    ------
    ContractError : something does not hold.
    """
    _check_facts(type(dataset))
    _check_clips(dataset)
    _check_splits(dataset)
    with TemporaryDirectory() as folder:
        _check_validate(dataset, Path(folder))
        _check_label_files(dataset, Path(folder))
        check_oracle(dataset, Path(folder) / "oracle")


def _check_facts(kind: type[Dataset]) -> None:
    bare = kind("no/such/folder")
    found = [fact for fact in ("labels", "folds", "task", "protocol") if isinstance(getattr(kind, fact, None), property | cached_property)]
    for fact in found:  # of a dataset of one's own: they are read from files
        with expect_refusal(DatasetError, f"asking for the {fact} where there are no files"):
            getattr(bare, fact)
    for fact in {"licence", "citation", "labels", "folds", "task", "protocol"} - set(found):
        need(getattr(bare, fact, None), f"{kind.__name__} states its {fact}, without any files")
    need(len((kind.__doc__ or "").strip()) > 80, f"{kind.__name__} has a docstring that is its card: what it is, its folds, its layout")
    for fact in {"labels", "folds"} - set(found):
        need(len(set(getattr(bare, fact))) == len(getattr(bare, fact)), f"the {fact} are named once")
    with expect_refusal(DatasetError, "reading clips where there are no files", says="download()" if kind.archives else ""):
        _ = bare.clips
    need(not Path("no").exists(), "constructing writes nothing")


def _check_clips(dataset: Dataset) -> None:
    clips = dataset.clips
    need(0 < len(clips) == len({clip.id for clip in clips}), "a good tree has clips, with ids of their own")
    need(not any(str(dataset.root) in clip.id or clip.id.startswith("/") for clip in clips), "ids do not depend on where the files lie")
    for clip in clips:
        found = {*(clip.tags or ()), *(event.label for event in clip.events or ())}
        need(clip.fold in dataset.folds and found <= set(dataset.labels), f"fold and labels of clip {clip.id!r} are the dataset's")
        tags = sorted(value for value in (clip.tags or {}).values() if value is not None)
        need(all(0 <= value <= 1 for value in tags), f"the tags of clip {clip.id!r} lie in [0, 1]")
        if dataset.task == "classification" and clip.tags is not None:
            need(tags[-1:] == [1.0] and sum(tags) == 1, f"clip {clip.id!r} has exactly one label")
        need(clip.duration is None or clip.duration > 0, f"the duration of clip {clip.id!r} is positive seconds, or None")
    if dataset.task == "detection":
        need(any(clip.events is not None for clip in clips), "a dataset for detection knows the times of events")
    need(dataset.summary().clips == len(clips), "summary() counts the clips")


def _check_splits(dataset: Dataset) -> None:
    for fold in (None, *dataset.protocol.rounds(dataset.present_folds)):
        for validation in (True, False):
            split = dataset.split(fold, validation=validation)
            need(split.train and split.test, f"round {fold!r} has clips to train and to test on")
            parts = (split.train, split.validation, split.test)
            for what in ("id", "group"):
                held = [{value for clip in part if (value := getattr(clip, what))} for part in parts]
                need(sum(map(len, held)) == len(set().union(*held)), f"no {what} lies in two parts of round {fold!r}")


def _twin(dataset: Dataset, folder: Path) -> Dataset:
    """Copy a dataset's files, and return a dataset that reads the copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(dataset.root, folder, ignore=shutil.ignore_patterns("features", "augmented", "audio[0-9]*"))
    twin = copy.copy(dataset)
    twin.root = twin.cache = folder
    return _read_anew(twin)


def _read_anew(dataset: Dataset) -> Dataset:
    for name in [name for name in dataset.__dict__ if isinstance(getattr(type(dataset), name, None), cached_property)]:
        del dataset.__dict__[name]
    return dataset


def _check_validate(dataset: Dataset, folder: Path) -> None:
    need(dataset.validate(jobs=1) == [], f"validate() finds nothing wrong with a good tree; it found {dataset.validate(jobs=1)}")
    twin = _twin(dataset, folder / "files")
    need([clip.id for clip in twin.clips] == [clip.id for clip in dataset.clips], "the same files elsewhere give the same ids")
    paths = list(dict.fromkeys(clip.path for clip in twin.clips))
    need(len(paths) >= 6, f"six files or more, to damage five of them; there are {len(paths)}")
    damaged, cut, silent, first, copied, *_, deleted = paths
    head = audio.info(silent)
    audio.write(silent, np.zeros((head.samples, head.channels), np.float32).squeeze(), head.sr)
    cut.write_bytes(cut.read_bytes()[:-200])
    damaged.write_text("not audio")
    deleted.unlink()
    extra = first.with_name(f"extra{first.suffix}")
    shutil.copy(first, extra)
    # That the end of a FLAC file is missing shows only when it is decoded, and then as damage.
    flac = cut.suffix == ".flac"
    expected = {("missing", deleted), ("unreadable", damaged), ("extra", extra)} | (set() if flac else {("truncated", cut)})
    found = {(problem.kind, Path(problem.path)) for problem in twin.validate(content=False, jobs=1)}
    need(found == expected, f"validate(content=False) finds what headers show, and nothing else: {expected}; it found {found}")
    shutil.copy(first, copied)
    expected |= {("silent", silent), ("duplicate", copied), ("unreadable" if flac else "truncated", cut)}
    found = {(problem.kind, Path(problem.path)) for problem in twin.validate(jobs=1)}
    need(found == expected, f"validate() finds what is wrong and nothing else: {expected}; it found {found}")


def _check_label_files(dataset: Dataset, folder: Path) -> None:
    """Damage, in turn, every text file that `clips` needs."""
    needed = 0
    twin = _twin(dataset, folder / "labels")
    ids = [clip.id for clip in twin.clips]
    texts = [path for path in sorted(twin.root.rglob("*")) if path.suffix.lower() in _TEXTS and not path.name.startswith(".")]
    for file in texts:
        if sum(other.parent == file.parent for other in texts[: texts.index(file)]) >= 4:
            continue  # one of many alike, one per clip
        text = file.read_text(encoding="utf-8")
        file.unlink()
        try:
            _ = _read_anew(twin).clips
        except DatasetError as error:
            needed += 1
            says = file.name in str(error) and ("download(" in str(error) or not twin.archives)
            need(says, f"the error about the missing {file.name} names it and, if there are archives, download(...); it says: {error}")
            _check_label_text(twin, file, text, dataset.labels)
        need(_reread(twin, file, text) == ids, "the clips come back when the label file does")
    read_from_files = isinstance(getattr(type(dataset), "labels", None), property | cached_property)
    need(needed > 0 or read_from_files, f"the labels are read from a file below {dataset.root} that is missed when it is not there")


def _check_label_text(twin: Dataset, file: Path, text: str, labels: Sequence[str]) -> None:
    whole_word = r"(?<![-\w]){}(?![-\w])"
    if known := [label for label in labels if re.search(whole_word.format(re.escape(label)), text)]:
        with expect_refusal(DatasetError, f"an unknown label in {file.name}", says="no_such_label"):
            _reread(twin, file, re.sub(whole_word.format(re.escape(known[0])), "no_such_label", text))
    ids = _reread(twin, file, text)
    delimiter = "\t" if "\t" in text else ","
    rows = [line.split(delimiter) for line in text.splitlines()]
    for column, name in enumerate(rows[0] if file.suffix.lower() in (".csv", ".tsv") else ()):
        try:
            found = _reread(twin, file, "\n".join(delimiter.join(row[:column] + row[column + 1 :]) for row in rows))
        except DatasetError as error:
            need(file.name in str(error), f"the error about a missing column names {file.name}; it says: {error}")
        else:
            need(found == ids, f"without column {name!r} of {file.name} the clips are the same, or DatasetError is raised")
    before = twin.listed if _reread(twin, file, text) else ()
    with suppress(DatasetError):
        _reread(twin, file, text.rstrip("\n") + "\nno such row\n")
        need(twin.listed != before, f"{file.name} is read to its last row: one that means nothing is refused")
    if file.suffix.lower() in (".csv", ".tsv"):
        with expect_refusal(DatasetError, f"a cell too many in {file.name}", says=file.name):
            _reread(twin, file, text.rstrip("\n") + f"{delimiter}surplus\n")
    with suppress(DatasetError):
        twice = _reread(twin, file, text.rstrip("\n") + "\n" + text.splitlines()[-1] + "\n")
        need(len(set(twice)) == len(twice), "a row that occurs twice is refused, or is no clip of its own")


def _reread(twin: Dataset, file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    return [clip.id for clip in _read_anew(twin).clips]
