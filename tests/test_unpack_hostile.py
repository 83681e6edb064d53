"""Archives made to fill memory, disk or time, or to hide what they do: one named error, soon, in little memory, and nothing in place."""

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import os
import resource
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from functools import cache
from pathlib import Path

import pytest

from dcasekit.download import unpack
from dcasekit.errors import DownloadError, StorageError

SPEC = importlib.util.spec_from_file_location("_test_unpack_for_hostile", Path(__file__).with_name("test_unpack.py"))
plain = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plain)
written, zip_bytes, NOISE = plain.written, plain.zip_bytes, plain.NOISE
END = bytes(1024)


def header(name, size=0, kind=b"0", **fields):
    """Make a tar header that may say anything."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content):
    return content + bytes(-len(content) % 512)


def pax(**records):
    content = b""
    for key, value in records.items():
        body = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(body) + len(str(len(body)))
        length += len(str(length)) > len(str(len(body)))
        content += str(length).encode() + body
    return header("pax", len(content), b"x") + padded(content)


def long_name(name):
    content = name.encode("utf-8", "surrogateescape") + b"\0"
    return header("././@LongLink", len(content), b"L") + padded(content)


FILE = header("x", 1) + padded(b"1")


@cache
def zeros():
    return gzip.compress(bytes(2**24), 1) * 256


def gigabytes(head):
    """A gzip file of a head and 4 GiB of zeros."""
    return gzip.compress(head, 1) + zeros()


def wide_xz(content, dictionary=40):
    """An xz file that says it needs a dictionary of 4 GiB."""
    packed = bytearray(lzma.compress(content, check=lzma.CHECK_CRC32))
    size = (packed[12] + 1) * 4
    place = packed.index(b"\x21\x01", 12, 12 + size) + 2
    packed[place] = dictionary
    struct.pack_into("<L", packed, 12 + size - 4, zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def wide_zip():
    content = bytearray(zip_bytes({"x": NOISE}, zipfile.ZIP_LZMA))
    struct.pack_into("<L", content, 30 + 1 + 4 + 1, 2**32 - 1)
    return bytes(content)


def thick(method):
    """A zip file of some hundred bytes that becomes 300 MiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("x", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    content = bytearray(buffer.getvalue())
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, 2**26)  # it says less than it holds
    return bytes(content)


def overlapping():
    """Many names for the same bytes."""
    whole = zip_bytes({"0": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    start = whole.index(b"PK\1\2")
    entry = whole[start : start + 47]
    entries = b"".join(entry[:46] + b"%d" % number for number in range(10))
    return whole[:start] + entries + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10, 10, len(entries), start, 0)


def wide_directory():
    return (
        zip_bytes({"x": b""})
        + b"PK\6\6"
        + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 2**40, 2**40, 2**40, 0)
        + (struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 0, 0))
    )


DEEP = "/".join(["d"] * 1500)
HOSTILE = {
    "pax header of 4 GiB.tar.gz": (lambda: gigabytes(header("p", 2**32, b"x") + b"4294967295 path="), "a header of 4294967296 bytes"),
    "global header of 4 GiB.tar.gz": (lambda: gigabytes(header("p", 2**32, b"g")), "a header of 4294967296 bytes"),
    "long name of 4 GiB.tar.gz": (lambda: gigabytes(header("L", 2**32, b"L")), "a header of 4294967296 bytes"),
    "long link of 4 GiB.tar.gz": (lambda: gigabytes(header("K", 2**32, b"K")), "a header of 4294967296 bytes"),
    "member of 4 GiB.tar.gz": (lambda: gigabytes(header("x", 2**32)), "max_ratio"),
    "member of a zettabyte.tar": (lambda: header("x", 2**70) + END, "max_ratio"),
    "zeros behind the end.tar.gz": (lambda: gigabytes(FILE), "behind its end"),
    "chain of pax headers.tar": (lambda: pax(path="y") * 3000 + FILE + END, "17 headers before a member"),
    "chain of long names.tar": (lambda: long_name("y") * 3000 + FILE + END, "17 headers before a member"),
    "pax size.tar": (lambda: pax(size="9" * 400) + FILE + END, "damaged"),
    "pax size of one.tar": (lambda: pax(size="-1") + FILE + END, "damaged"),
    "pax record too long.tar": (lambda: header("p", 20, b"x") + padded(b"99999 path=x\n") + FILE + END, "damaged"),
    "pax record of none.tar": (lambda: header("p", 20, b"x") + padded(b"0 path=x\n") + FILE + END, "damaged"),
    "negative size.tar": (lambda: header("x", -5) + END, "damaged"),
    "1,500 folders.tar": (lambda: long_name(f"{DEEP}/x") + FILE + END, "longer than 1000 bytes"),
    "1,500 folders.zip": (lambda: zip_bytes({f"{DEEP}/x": b"1"}), "longer than 1000 bytes"),
    "1,500 empty folders.tar": (lambda: long_name(DEEP) + header("x", 0, b"5") + END, "longer than 1000 bytes"),
    "70 folders.zip": (lambda: zip_bytes({f"{'d/' * 70}x": b"1"}), "deeper than 64"),
    "long part.zip": (lambda: zip_bytes({"é" * 128: b"1"}), "longer than 255 bytes"),
    "long part.tar": (lambda: long_name("x" * 300) + FILE + END, "longer than 255 bytes"),
    "long path.zip": (lambda: zip_bytes({"/".join(["x" * 200] * 6): b"1"}), "longer than 1000 bytes"),
    "folder outside.tar": (lambda: header("../x", 0, b"5") + END, "leads out"),
    "long name outside.tar": (lambda: long_name("../../x") + FILE + END, "leads out"),
    "pax path outside.tar": (lambda: pax(path="/etc/x") + FILE + END, "absolute"),
    "line break.tar": (lambda: header("a\nb", 1) + padded(b"1") + END, "control characters"),
    "escape.zip": (lambda: zip_bytes({"a\x1b[2Jb": b"1"}), "control characters"),
    "nul.zip": (lambda: zip_bytes({"a?b": b"1"}).replace(b"a?b", b"a\0b"), "control characters"),
    "latin.tar": (lambda: header("a\udce9", 1) + padded(b"1") + END, "not UTF-8"),
    "case.zip": (lambda: zip_bytes({"top/A.wav": b"1", "TOP/a.WAV": b"2"}), "overwrite another member"),
    "case.tar": (lambda: header("A") + header("a") + END, "overwrite another member"),
    "accents.zip": (lambda: zip_bytes({unicodedata.normalize(form, "é"): b"1" for form in ("NFC", "NFD")}), "overwrite another member"),
    "sparse.tar": (lambda: header("x", 1, b"S") + padded(b"1") + END, "sparse"),
    "pax sparse.tar": (lambda: pax(GNU__sparse__major="1", GNU__sparse__minor="0") + FILE + END, "sparse"),
    "multi-volume.tar": (lambda: header("x", 0, b"M") + END, "link or a device"),
    "dictionary.tar.xz": (lambda: wide_xz(FILE + END), r"more than \d+ bytes of memory"),
    "dictionary.zip": (wide_zip, r"needs 4294967295 bytes of memory"),
    "thick bzip2.zip": (lambda: thick(zipfile.ZIP_BZIP2), "wrong checksum"),
    "overlapping.zip": (overlapping, "overlaps another"),
    "directory.zip": (wide_directory, r"directory of \d+ bytes"),
    "wrong sum.tar.gz": (lambda: gzip.compress(FILE + END)[:-8] + bytes(8), "damaged"),
    "wrong sum.tar.bz2": (lambda: bz2.compress(FILE + END)[:-6] + bytes(6), "damaged"),
    "wrong sum.tar.xz": (lambda: lzma.compress(FILE + END)[:-20] + bytes(20), "damaged"),
    "not compressed.tar.gz": (lambda: FILE + END, "damaged"),
    "rubbish behind.tar.gz": (lambda: gzip.compress(FILE + END) + b"rubbish", "damaged"),
    "nothing.tar.xz": (lambda: b"", "damaged"),
}  # fmt: skip

CHILD = """
import json, resource, sys
from pathlib import Path
from dcasekit.download import unpack
from dcasekit.errors import DcasekitError

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
said = {}
for archive in sorted(Path(sys.argv[1]).iterdir()):
    try:
        said[archive.name] = str(unpack(archive, Path(sys.argv[2])))
    except DcasekitError as error:
        said[archive.name] = str(error)
    except BaseException as error:
        said[archive.name] = f"FOREIGN {error!r}"
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Unpack all in a child with 256 MiB more memory than it begins with; what it says of each."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "archives").mkdir()
    for name, (make, _) in HOSTILE.items():
        (folder / "archives" / name).write_bytes(make())
    command = [sys.executable, "-c", CHILD, str(folder / "archives"), str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not written(folder / "out")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_by_name_in_little_memory(said, name):
    with pytest.raises(DownloadError, match=HOSTILE[name][1]):
        raise DownloadError(said[name].rpartition("/archives/")[2])
    assert name in said[name]
    assert len(said[name]) < 1000
    assert "\n" not in said[name]


def test_members_are_counted(tmp_path):
    for name, content in {
        "a.zip": zip_bytes({str(n): b"" for n in range(11)}),
        "a.tar": b"".join(header(str(n)) for n in range(11)) + END,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DownloadError, match=r"more than 10.*larger max_members"):
            unpack(tmp_path / name, tmp_path / "out", max_members=10)
        assert not written(tmp_path / "out")
        assert len(unpack(tmp_path / name, tmp_path / name.replace(".", "-"), max_members=11)) == 11


def test_long_headers_count_as_content(tmp_path):
    (tmp_path / "a.tar").write_bytes((pax(comment="c" * 90_000) + FILE) * 2 + END)
    with pytest.raises(DownloadError, match="its headers.* more than 100000 bytes"):
        unpack(tmp_path / "a.tar", tmp_path / "out", max_bytes=100_000)


def test_an_archive_in_an_archive_stays_one(tmp_path):
    inner = zip_bytes({"x": bytes(2**20)}, zipfile.ZIP_DEFLATED)
    (tmp_path / "a.zip").write_bytes(zip_bytes({"inner.zip": inner}))
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert written(tmp_path / "out") == {"inner.zip": inner}


# ---- what is in the way


@pytest.mark.parametrize(
    ("obstacle", "match"), [("top/b/y", "top/b is to be a file and is a folder"), ("top", "top is to be a folder and is a file")]
)
def test_nothing_is_moved_if_not_all_can_be(tmp_path, obstacle, match):
    path = tmp_path / "out" / obstacle
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    (tmp_path / "a.zip").write_bytes(zip_bytes({"a": b"1", "top/a": b"2", "top/b": b"3"}))
    with pytest.raises(DownloadError, match=match):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert written(tmp_path / "out") == {obstacle: b"mine"}


def test_flatten_that_makes_a_file_a_folder_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"top/a": b"1", "a/b": b"2"}))
    with pytest.raises(DownloadError, match="a is to be a file and is a folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out", flatten="top")
    assert not written(tmp_path / "out")


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"a": b"1"}))
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(StorageError, match="cannot write .*out"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_full_disk_is_one_line_and_nothing_is_placed(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes({"a": b"1", "b": bytes(100_000)}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*/b: the disk is full.*nothing was unpacked, and the archive is as it was"):
            unpack(tmp_path / "a.zip", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not written(tmp_path / "out")


KILLED = """
import os, signal, sys
from pathlib import Path
from dcasekit.download import unpack
replace, left = Path.replace, int(sys.argv[3])
def replace_or_die(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replace_or_die
unpack(sys.argv[1], sys.argv[2])
"""


def test_a_kill_while_files_are_moved_is_mended_by_the_next_call(tmp_path):
    members = {f"top/{number}": NOISE[: number * 100] for number in range(5)}
    (tmp_path / "a.zip").write_bytes(zip_bytes(members))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.zip"), str(tmp_path / "out"), "2"], env=os.environ, check=False
    )
    assert killed.returncode == -9
    assert len(written(tmp_path / "out")) == 5  # two in place, three still hidden
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert written(tmp_path / "out") == members


# ---- and what is meant well is read


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_every_kind_of_tar_is_read_as_tarfile_reads_it(tmp_path, form, pack):
    members = {
        "a": b"",
        "./b//c": b"1",
        "top/" + "x" * 90 + "/y.wav": NOISE,
        "é/ü.wav": NOISE[:512],
        **({} if form == tarfile.USTAR_FORMAT else {"z" * 120 + "/" + "w" * 250: NOISE[:511], "ß" * 60: NOISE[:513]}),
    }
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=form, pax_headers={"comment": "of all"} if form == tarfile.PAX_FORMAT else None
    ) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.uname, info.mtime = "jürgen", 1e9
            archive.addfile(info, io.BytesIO(content))
        for name in (".", "empty"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    name = f"a.tar{ {bytes: '', gzip.compress: '.gz', bz2.compress: '.bz2', lzma.compress: '.xz'}[pack] }"
    whole = buffer.getvalue()
    streams = pack(whole[:700]) + pack(whole[700:])  # of several compressed streams, as parallel programs write them
    (tmp_path / name).write_bytes(streams + (b"" if pack is bytes else bytes(512)))
    unpack(tmp_path / name, tmp_path / "out")
    assert written(tmp_path / "out") == {str(Path(name)): content for name, content in members.items()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_kind_of_zip_is_read(tmp_path, method):
    members = {"a": b"", "top/x": NOISE * 50, "é/ü.wav": bytes(10**6)}
    (tmp_path / "a.zip").write_bytes(b"a program before it" + zip_bytes(members, method))
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert written(tmp_path / "out") == members


def test_an_old_tar_knows_folders_by_their_name(tmp_path):
    (tmp_path / "a.tar").write_bytes(header("top/").replace(b"ustar  ", bytes(7)) + END)
    with pytest.raises(DownloadError, match="wrong checksum"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    (tmp_path / "a.tar").write_bytes(header("top/") + header("top/x", 3) + padded(b"abc") + END)
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert written(tmp_path / "out") == {"top/x": b"abc"}
