"""Archives: what good ones give, and that bad ones leave nothing behind."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from dcasekit.download import MARKER, RemoteFile, _zip, download
from dcasekit.download import archives as _unpack
from dcasekit.download.archives import is_archive, unpack
from dcasekit.errors import DownloadError

NOISE = bytes((i * i * 31 + i // 7) % 251 for i in range(5000))
MEMBERS = {"top/audio/1.wav": NOISE, "top/audio/2.wav": NOISE[::-1] * 3, "top/meta.csv": b"filename,label\n", "top/empty": b""}


def zip_bytes(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(members, form="w:gz", **fields):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=form) as archive:
        folder = tarfile.TarInfo("top")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def split_zip(folder, members, part_size, *, zip64=False):
    """Write X.z01, X.z02 ... X.zip as `zip -s` does: headers stay whole, data are cut, offsets count from each part."""
    whole = zip_bytes(members)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        infos, directory_start = archive.infolist(), archive.start_dir
    parts = [bytearray(b"PK\7\x08")]

    def put(blob, *, whole):
        if whole and len(parts[-1]) + len(blob) > part_size:
            parts.append(bytearray())
        place = len(parts) - 1, len(parts[-1])
        while blob:
            if len(parts[-1]) == part_size:
                parts.append(bytearray())
            room = part_size - len(parts[-1])
            parts[-1] += blob[:room]
            blob = blob[room:]
        return place

    ends = [info.header_offset for info in infos[1:]] + [directory_start]
    places = []
    for info, end in zip(infos, ends, strict=True):
        data = info.header_offset + 30 + len(info.filename)
        places.append(put(whole[info.header_offset : data], whole=True))
        put(whole[data:end], whole=False)
    at, starts, size = directory_start, [], 0
    for info, (disk, offset) in zip(infos, places, strict=True):
        entry = bytearray(whole[at : at + 46 + len(info.filename)])
        struct.pack_into("<H", entry, 34, disk)
        struct.pack_into("<L", entry, 42, offset)
        starts.append(put(entry, whole=True))
        at, size = at + len(entry), size + len(entry)
    disk, offset = starts[0]
    count, last = len(infos), len(parts) - 1
    if zip64:
        record = len(parts[-1])
        parts[-1] += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, disk, count, count, size, offset)
        parts[-1] += struct.pack("<4sLQL", b"PK\6\7", last, record, len(parts))
        count = 0xFFFF
    parts[-1] += struct.pack("<4s4H2LH", b"PK\5\6", last, disk, count, count, size, offset, 0)
    for number, part in enumerate(parts[:-1], 1):
        (folder / f"X.z{number:02d}").write_bytes(part)
    (folder / "X.zip").write_bytes(parts[-1])
    return folder / "X.zip", len(parts)


def written(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(tmp_path, name, content, *, match, **settings):
    """Unpack a bad archive; nothing may be left, inside or outside of the folder."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DownloadError, match=match) as caught:
        unpack(tmp_path / name, tmp_path / "out", **settings)
    assert name in str(caught.value)
    assert written(tmp_path) == {name: content}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_members_come_out_as_they_went_in(tmp_path, name):
    if name == "a.zip":
        content = zip_bytes(MEMBERS, zipfile.ZIP_DEFLATED)
    else:
        modes = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
        content = tar_bytes(MEMBERS, modes.get(Path(name).suffix, "w"))
    (tmp_path / name).write_bytes(content)
    paths = unpack(tmp_path / name, tmp_path / "out")
    assert written(tmp_path / "out") == MEMBERS
    assert paths == [tmp_path / "out" / member for member in MEMBERS]


def test_modes_and_owners_are_not_kept(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"x": b"1"}, "w", mode=0o4777, uid=12345))
    (path,) = unpack(tmp_path / "a.tar", tmp_path)
    assert path.stat().st_mode & 0o7111 == 0
    assert path.stat().st_uid == tmp_path.stat().st_uid


def test_flatten_strips_the_top_folder_and_only_that(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"top/x": b"1", "topmost/y": b"2", "z": b"3", "other/w": b"4"}))
    unpack(tmp_path / "a.zip", tmp_path / "one", flatten="top")
    assert set(written(tmp_path / "one")) == {"x", "topmost/y", "z", "other/w"}
    unpack(tmp_path / "a.zip", tmp_path / "two", flatten=["top", "other"])
    assert set(written(tmp_path / "two")) == {"x", "topmost/y", "z", "w"}


def test_flatten_that_matches_nothing_is_reported(tmp_path, caplog):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"ESC-50-main/x": b"1"}))
    unpack(tmp_path / "a.zip", tmp_path / "out", flatten="ESC-50-master")
    assert "nothing was stripped" in caplog.text
    assert set(written(tmp_path / "out")) == {"ESC-50-main/x"}


def test_older_files_are_replaced_and_leftovers_of_a_kill_removed(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"x": b"new"}))
    (tmp_path / "out" / ".a.zip.unpacking").mkdir(parents=True)
    (tmp_path / "out" / ".a.zip.unpacking" / "x").write_bytes(b"ha")
    (tmp_path / "out" / "x").write_bytes(b"old")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert written(tmp_path / "out") == {"x": b"new"}


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("part_size", [80, 100, 1000, 4096, 7777, 2**20])
def test_split_zip(tmp_path, part_size, zip64):
    archive, count = split_zip(tmp_path, MEMBERS, part_size, zip64=zip64)
    assert (count == 1) == (part_size == 2**20)
    assert len(unpack(archive, tmp_path / "out", flatten="top")) == len(MEMBERS)
    assert written(tmp_path / "out") == {name.removeprefix("top/"): content for name, content in MEMBERS.items()}


def test_joined_files_end_where_they_are_said_to():
    joined = _zip._Joined([(io.BytesIO(b"abcd"), 2), (io.BytesIO(b""), 0), (io.BytesIO(b"XYZ"), 3)])
    assert joined.read() == b"abXYZ"


def test_split_zip_with_a_missing_part_says_which(tmp_path):
    archive, count = split_zip(tmp_path, MEMBERS, 4096)
    assert count >= 4
    (tmp_path / "X.z02").unlink()
    with pytest.raises(DownloadError, match=r"last of \d parts; put X.z02 beside"):
        unpack(archive, tmp_path / "out")


def test_split_zip_with_a_damaged_part(tmp_path):
    archive, _ = split_zip(tmp_path, MEMBERS, 4096)
    (tmp_path / "X.z02").write_bytes(bytes(4096))
    with pytest.raises(DownloadError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert not written(tmp_path / "out")


OUTSIDE = ["../evil", "a/../../evil", "/evil", "C:/evil", "a/C:evil", "..\\evil", "a\\b", "\\\\host\\share"]


@pytest.mark.parametrize("member", OUTSIDE)
def test_members_outside_are_refused(tmp_path, member):
    refused(tmp_path, "a.zip", zip_bytes({"good": b"1", member: b"2"}), match="is refused")
    (tmp_path / "a.zip").unlink()
    refused(tmp_path, "a.tar.gz", tar_bytes({"good": b"1", member: b"2"}), match="is refused")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    refused(tmp_path, "a.tar", tar_bytes({"x": b""}, "w", type=kind, linkname="/etc/passwd"), match="link or a device")


def test_symlink_in_zip_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path, "a.zip", buffer.getvalue(), match="link or a device")


def test_doubled_members_are_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a/x", "./a/x"):
            archive.addfile(tarfile.TarInfo(name))
    refused(tmp_path, "a.tar", buffer.getvalue(), match="overwrite")


def test_a_file_used_as_a_folder_is_refused(tmp_path):
    refused(tmp_path, "a.zip", zip_bytes({"a": b"1", "a/b": b"2"}), match="overwrite")


def test_members_doubled_by_flatten_are_refused(tmp_path):
    refused(tmp_path, "a.zip", zip_bytes({"top/a": b"1", "a": b"2"}), match="same name", flatten="top")


def test_bombs_are_refused(tmp_path, monkeypatch):
    zeros = {"x": bytes(2**20)}
    zipped, tarred = zip_bytes(zeros, zipfile.ZIP_DEFLATED), tar_bytes(zeros)
    refused(tmp_path, "a.zip", zipped, match="more than 1000000 bytes", max_bytes=10**6)
    (tmp_path / "a.zip").unlink()
    monkeypatch.setattr(_unpack, "_HARMLESS", 2**16)
    refused(tmp_path, "a.zip", zipped, match="max_ratio")
    (tmp_path / "a.zip").unlink()
    refused(tmp_path, "a.tar.gz", tarred, match="max_ratio")
    unpack(tmp_path / "a.tar.gz", tmp_path, max_ratio=2000)
    assert (tmp_path / "x").stat().st_size == 2**20


def test_a_tail_of_zeros_behind_a_tar_counts_as_a_bomb(tmp_path):
    refused(tmp_path, "a.tar", tar_bytes({"x": b"1"}, "w") + bytes(10**5), match="more than", max_bytes=10**4)


def test_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zip_bytes({"x": b"1"}))
    content[content.index(b"PK\1\2") + 8] |= 1
    refused(tmp_path, "a.zip", bytes(content), match="encrypted")


def test_unknown_packing_is_named(tmp_path):
    content = bytearray(zip_bytes({"x": b"1"}))
    content[content.index(b"PK\1\2") + 10] = 9  # Deflate64
    refused(tmp_path, "a.zip", bytes(content), match="cannot read .*; unpack it by hand")


def test_wrong_crc_is_noticed(tmp_path):
    content = bytearray(zip_bytes({"x": NOISE}))
    content[1000] ^= 1
    refused(tmp_path, "a.zip", bytes(content), match="damaged")


@pytest.mark.parametrize("keep", [0, 10, 700, 5200, -1, -30])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_truncated_archives_are_noticed(tmp_path, name, keep):
    whole = zip_bytes(MEMBERS) if name == "a.zip" else tar_bytes(MEMBERS, f"w:{name.rpartition('.')[2]}")
    refused(tmp_path, name, whole[: min(keep, len(whole) - 1)], match="damaged")


def test_a_plain_tar_cut_anywhere_is_noticed(tmp_path):
    whole = tar_bytes({"x": NOISE[:600], "y": b"1"}, "w")
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for keep in range(0, end + 1, 256):  # between members too, where tarfile itself sees nothing wrong
        refused(tmp_path, "a.tar", whole[:keep], match="damaged")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    whole = bytearray(tar_bytes({"x": b"1", "y": bytes(2000)}, "w"))  # y's silence looks like the end
    whole[whole.index(b"y\0\0")] = 0xFF
    refused(tmp_path, "a.tar", bytes(whole), match="damaged")


def test_what_is_no_archive_is_told_apart(tmp_path):
    assert is_archive("A.TAR.GZ")
    assert not is_archive("a.csv.gz")
    (tmp_path / "a.csv").touch()
    with pytest.raises(DownloadError, match="not an archive that can be unpacked"):
        unpack(tmp_path / "a.csv", tmp_path)
    with pytest.raises(DownloadError, match="no archive to unpack"):
        unpack(tmp_path / "none.tar", tmp_path)


# download() with archives that lie there already, so that nothing is fetched


def test_parts_of_a_split_zip_are_unpacked_together(tmp_path):
    _, count = split_zip(tmp_path, MEMBERS, 4096)
    (tmp_path / "b.zip").write_bytes(zip_bytes({"b": b"1"}))
    names = ["X.zip", "b.zip", *(f"X.z{number:02d}" for number in range(1, count))]
    assert download([RemoteFile(f"https://x.invalid/{name}") for name in names], tmp_path, flatten="top")
    assert set(written(tmp_path)) == {"audio/1.wav", "audio/2.wav", "meta.csv", "empty", "b", MARKER, ".lock"}


@pytest.mark.parametrize(
    ("content", "match"), [(tar_bytes(MEMBERS)[:-40], "a.tgz is damaged"), (tar_bytes({"../evil": b"1"}), "is refused")]
)
def test_a_bad_archive_is_never_success(tmp_path, content, match):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.tgz").write_bytes(content)
    for _ in range(2):
        with pytest.raises(DownloadError, match=match):
            download([RemoteFile("https://x.invalid/a.tgz")], tmp_path / "data")
    assert set(written(tmp_path)) == {"data/a.tgz", "data/.dcasekit-download.state.json", "data/.lock"}
