"""Every dataset that can be fetched: its archives, packed from a small tree and fetched from a server on this machine, give it back."""

import copy
import hashlib
import importlib.util
import io
import re
import tarfile
import threading
import zipfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from dcasekit import download as dl
from dcasekit import testing
from dcasekit.core import discover
from dcasekit.download import MARKER, _http
from dcasekit.download.archives import is_archive
from dcasekit.errors import ChecksumError
from dcasekit.testing._datasets import _read_anew


def sibling(name):
    """Import another test file, for what it has already: a server that misbehaves, split archives."""
    spec = importlib.util.spec_from_file_location(f"_{name}_for_contracts", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serving, packing = sibling("test_download"), sibling("test_unpack")
# What a dataset can do with and without, and no archive brings.
BY_HAND = {"maestro_real": "metadata/development_metadata.csv"}
FETCHED = [name for name in discover.names("datasets") if discover.load("datasets", name).archives]


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving.Site() as server:
        monkeypatch.setattr(_http, "_sleep", server.waits.append)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# ---- a tree as the archives that it is published in


def is_part(file):
    """Tell if a file is one of the parts of a split zip before the last."""
    return PurePosixPath(file.filename).suffix.startswith(".z") and PurePosixPath(file.filename).suffix[2:].isdigit()


def top(name, flatten):
    """Name the folder that an archive has at its top: of those stripped, the longest that its own name begins with, or the only one."""
    tops = [flatten] if isinstance(flatten, str) else list(flatten or ())
    return max((folder for folder in tops if name.startswith(folder)), key=len, default=tops[0] if len(tops) == 1 else "")


def members(dataset):
    """Say what each remote file holds: name -> {member: content}; a plain file is its own only member.

    A file of the tree goes into one of the archives that unpack into the innermost folder around it, by turns; as the archives of true
    datasets do, each also has a text file that nobody reads.
    """
    tree = {
        path.relative_to(dataset.root): path.read_bytes()
        for path in sorted(dataset.root.rglob("*"))
        if path.is_file() and path.name != ".dcasekit"
    }
    held = {file.filename: {} for file in dataset.archives if not is_part(file)}
    archives = [file for file in dataset.archives if file.filename in held]
    turn = defaultdict(int)
    for path, content in tree.items():
        plain = [file for file in archives if path.as_posix() == file.filename]
        around = [file for file in archives if is_archive(file.filename) and file.unpack and path.is_relative_to(file.into)]
        depth = max((len(PurePosixPath(file.into).parts) for file in around), default=0)
        around = plain or [file for file in around if len(PurePosixPath(file.into).parts) == depth]
        assert around, f"no archive of {dataset.name} brings {path}"
        file = around[turn[depth, around[0].into] % len(around)]
        turn[depth, around[0].into] += 1
        inside = path.as_posix() if plain else f"{top(file.filename, dataset.flatten)}/{path.relative_to(file.into).as_posix()}".lstrip("/")
        held[file.filename][inside] = content
    for file in archives:
        name = f"{top(file.filename, dataset.flatten)}/README-{file.filename}.md".lstrip("/")
        held[file.filename].setdefault(name if is_archive(file.filename) else file.filename, b"Read me.\n")
    return held


def packed(name, content, parts, folder):
    """Give the bytes of an archive, or of all the parts of a split one: file name -> bytes."""
    if not is_archive(name):
        (body,) = content.values()
        return {name: body}
    if not name.endswith(".zip"):
        return {name: packing.tar_bytes(content, "w:gz" if name.endswith("gz") else "w")}
    if parts == 1:
        return {name: packing.zip_bytes(content)}
    whole = len(packing.zip_bytes(content))
    for size in range(whole // parts, whole, 16):
        folder.mkdir(exist_ok=True)
        _, count = packing.split_zip(folder, content, size)
        if count == parts:
            stem = name.removesuffix(".zip")
            ends = [*(f"z{number:02d}" for number in range(1, parts)), "zip"]
            return {f"{stem}.{end}": (folder / f"X.{end}").read_bytes() for end in ends}
    raise AssertionError(f"{name}: {whole} bytes cannot be split into {parts} parts")


def publish(dataset, site, folder):
    """Serve the archives; give copies of the records that lead there and have the right sums."""
    names = [file.filename for file in dataset.archives]
    pages = {}
    for name, content in members(dataset).items():
        stem = name.removesuffix(".zip")
        parts = 1 + sum(other.startswith(f"{stem}.z") and other != name for other in names)
        pages |= packed(name, content, parts, folder)
    assert sorted(pages) == sorted(names)
    return tuple(
        replace(
            file, url=site.serve(file.filename, pages[file.filename]).url, name=file.filename, checksum=serving.md5(pages[file.filename])
        )
        for file in dataset.archives
    )


def empty(dataset, folder, files):
    """Give the same dataset, settings included, in a folder of its own, to be fetched from elsewhere."""
    fresh = _read_anew(copy.copy(dataset))
    fresh.root = fresh.cache = folder
    fresh.archives = files
    return fresh


def known(dataset):
    return [replace(clip, path=clip.path.relative_to(dataset.root)) for clip in dataset.clips]


# ---- the contract


@pytest.mark.parametrize("name", FETCHED)
def test_what_is_fetched_is_the_dataset(name, site, tmp_path):
    made = testing.make_dataset(name, tmp_path / "made", clips=12, seconds=0.2, sr=8000)
    if name in BY_HAND:
        (made.root / BY_HAND[name]).unlink()
        _read_anew(made)
    files = publish(made, site, tmp_path / "split")
    fetched = empty(made, tmp_path / "fetched", files)
    page = site.pages[files[0].filename]
    page.cuts.append(len(page.body) // 2)
    assert fetched.download()
    asked = [path for path, _ in site.requests]
    assert asked.count(files[0].filename) == 2  # cut half-way, it went on from there
    assert f"bytes={len(page.body) // 2}-" in site.ranges()
    assert sorted(asked) == sorted([*(file.filename for file in files), files[0].filename])
    assert known(fetched) == known(made)
    assert fetched.validate(jobs=1) == []
    left = {path.name for path in fetched.root.rglob("*") if is_archive(path.name) or path.name.endswith((".part", ".bad"))}
    assert left == set()  # nothing stays behind but the dataset
    assert not empty(made, tmp_path / "fetched", files).download()
    assert len(site.requests) == len(files) + 1


@pytest.mark.parametrize("name", FETCHED)
def test_other_bytes_than_were_published_are_refused(name, site, tmp_path):
    dataset = discover.load("datasets", name)(tmp_path / "fetched")
    first = dataset.archives[0]
    expected = first.checksum or f"md5:{hashlib.md5(b'as published').hexdigest()}"
    files = (
        replace(first, url=site.serve(first.filename, b"tampered with").url, name=first.filename, checksum=expected),
        *dataset.archives[1:],
    )
    dataset.archives = files
    with pytest.raises(ChecksumError) as caught:
        dataset.download()
    for part in (first.filename, serving.md5(b"tampered with").removeprefix("md5:"), expected.removeprefix("md5:"), "Call again"):
        assert part in str(caught.value)
    assert not (dataset.root / MARKER).exists()
    assert len(site.requests) == 1


@pytest.mark.parametrize("name", FETCHED)
def test_the_records_are_whole(name):
    kind = discover.load("datasets", name)
    names = [file.filename for file in kind.archives]
    assert len(set(names)) == len(names)
    assert all(file.url.startswith("https://") for file in kind.archives)
    if any(file.checksum is None for file in kind.archives):
        card = " ".join(kind.__doc__.lower().split())
        assert re.search("checksums (of the archives )?are not published", card)  # that is said where a reader looks
    sums = [file.checksum for file in kind.archives if file.checksum]
    assert len(set(sums)) == len(sums)  # none was copied twice
    for part in filter(is_part, kind.archives):
        whole = f"{PurePosixPath(part.filename).stem}.zip"
        assert [file.into for file in kind.archives if file.filename == whole] == [part.into]


def test_the_packing_undoes_what_unpacking_does(tmp_path):
    """The helpers above are no laxer than the archives they stand for: a record that leads elsewhere is noticed."""
    made = testing.make_dataset("urban_sound8k", tmp_path, clips=2, seconds=0.1, sr=8000)
    (file,) = made.archives
    held = members(made)[file.filename]
    assert {PurePosixPath(name).parts[0] for name in held} == {"UrbanSound8K"}
    assert len(held) == 4
    made.archives = (replace(file, into="audio"),)
    with pytest.raises(AssertionError, match=r"no archive of UrbanSound8k brings metadata/UrbanSound8K.csv"):
        members(made)


def test_a_split_archive_has_as_many_parts_as_are_recorded(tmp_path):
    content = {f"top/{number}.wav": bytes(2000 + number) for number in range(6)}
    for parts in (2, 3, 7):
        pages = packed("X.zip", content, parts, tmp_path / str(parts))
        assert len(pages) == parts
        for name, body in pages.items():
            (tmp_path / name).write_bytes(body)
        assert len(dl.unpack(tmp_path / "X.zip", tmp_path / f"out{parts}")) == 6


def test_packed_archives_are_what_their_names_say():
    content = {"top/a.txt": b"1"}
    assert zipfile.ZipFile(io.BytesIO(packed("a.zip", content, 1, None)["a.zip"])).namelist() == ["top/a.txt"]
    with tarfile.open(fileobj=io.BytesIO(packed("a.tar.gz", content, 1, None)["a.tar.gz"]), mode="r:gz") as archive:
        assert "top/a.txt" in archive.getnames()
    assert packed("a.csv", {"a.csv": b"2"}, 1, None) == {"a.csv": b"2"}
