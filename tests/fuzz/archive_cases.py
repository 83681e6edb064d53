"""Archives from strangers: good ones of every kind damaged in their bytes, or in their headers with sums that are right again."""

import bz2
import gzip
import importlib.util
import io
import lzma
import random
import re
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import mutations

from dcasekit.download import unpack
from dcasekit.errors import DcasekitError

SPEC = importlib.util.spec_from_file_location("_test_unpack_for_fuzz", Path(__file__).parents[1] / "test_unpack.py")
packing = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(packing)

MEMBERS = {"top/audio/1.wav": bytes(range(256)) * 5, "top/é.csv": b"filename,label\n", "top/empty": b"", f"top/{'x' * 120}": bytes(700)}
MOST = 2**22  # bytes that an archive here may become
PART = b"|the next part of a split archive|"
PACKS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
NAMES = [
    "../x",
    "/x",
    "a/../../x",
    "top",
    "top/",
    "TOP/EMPTY",
    "a\\b",
    "C:x",
    "a\nb",
    "x" * 256,
    "d/" * 300 + "x",
    "",
    ".",
    "..",
    "./top/empty",
]


@cache
def tar(form: int) -> bytes:
    """Make a good tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name[:99] if form == tarfile.USTAR_FORMAT else name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue().rstrip(b"\0") + bytes(1024 + 512)


@cache
def zipped(method: int) -> bytes:
    """Make a good zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@cache
def split(zip64: bool) -> bytes:
    """Make a good zip archive in parts."""
    with tempfile.TemporaryDirectory() as folder:
        members = {f"{number}.wav": bytes([number]) * 900 for number in range(3)}
        last, _ = packing.split_zip(Path(folder), members, 1000, zip64=zip64)
        return PART.join(path.read_bytes() for path in [*sorted(last.parent.glob("X.z[0-9]*")), last])


def case(seed: int) -> tuple[str, bytes]:
    """Give an archive."""
    rng = random.Random(seed)
    kind = rng.choice(["tar", "tar", "zip", "zip", "split"])
    if kind == "split":
        return f"{seed}-split.zip", damaged(rng, split(rng.random() < 0.5))
    if kind == "zip":
        content = rng.choice([damaged, directory, named])(rng, zipped(rng.choice(METHODS)))
        return f"{seed}.zip", content
    ending, pack = rng.choice(list(PACKS.items()))
    content = tar(rng.choice(FORMS))
    if rng.random() < 0.3:
        return f"{seed}.tar{ending}", damaged(rng, pack(content))
    content = rng.choice([damaged, headers, headers, headers])(rng, content)
    return f"{seed}.tar{ending}", pack(content)


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Damage the bytes."""
    return content if rng.random() < 0.02 else mutations.damage(rng, content)


def headers(rng: random.Random, content: bytes) -> bytes:
    """Change, repeat, drop or add headers of a tar archive; their checksums are right."""
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    for _ in range(rng.choice([1, 1, 2, 5])):
        found = [number for number, block in enumerate(blocks) if block[257:262] == b"ustar"]
        at = rng.choice(found or [0])
        block = bytearray(blocks[at].ljust(512, b"\0"))
        change = rng.randrange(7)
        if change == 0:
            block[156:157] = rng.choice(
                [b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"x", b"g", b"X", b"L", b"K", b"S", b"M", b"V", b"?"]
            )
        elif change == 1:
            number = rng.choice(mutations.EXTREMES)
            block[124:136] = rng.choice(
                [b"%011o\0" % (number % 8**11), b"\x80" + number.to_bytes(11, "big"), b"\xff" * 12, rng.randbytes(12)]
            )
        elif change == 2:
            block[:100] = rng.choice(NAMES).encode()[:100].ljust(100, b"\0")
        elif change == 3:
            block[rng.choice([0, 257, 345])] = rng.randrange(256)
        elif change == 4:
            blocks[at:at] = blocks[at : at + rng.choice([1, 2, 3])] * rng.choice([1, 20, 1000])
        elif change == 5:
            del blocks[at + rng.choice([0, 1]) : at + rng.choice([1, 2])]
        else:
            name = rng.choice(NAMES) * rng.choice([1, 1, 100])
            record = rng.choice(
                [f" path={name}\n", f" size={rng.choice(mutations.NUMBERS)}\n", f" {name}={name}\n", " GNU.sparse.map=0,1\n"]
            )
            text = f"{rng.choice([len(record.encode()) + 2, 99, 10**6])}{record}".encode() if rng.random() < 0.7 else name.encode()
            blocks[at:at] = [made(len(text), rng.choice([b"x", b"g", b"L", b"K"])), *(text[i : i + 512] for i in range(0, len(text), 512))]
        if change < 4:
            blocks[at] = summed(block)
    return b"".join(block.ljust(512, b"\0") for block in blocks)


def made(size: int, kind: bytes) -> bytes:
    """Make a header."""
    block = bytearray(512)
    block[:1], block[124:136], block[156:157], block[257:265] = b"h", b"%011o\0" % size, kind, b"ustar\00000"
    return summed(block)


def summed(block: bytearray) -> bytes:
    """Put the right checksum into a header."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def directory(rng: random.Random, content: bytes) -> bytes:
    """Change fields of a zip's headers and end record."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        mark, fields = rng.choice(
            [
                (b"PK\1\2", [4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 38, 42]),
                (b"PK\3\4", [6, 8, 14, 18, 22, 26, 28, 30]),
                (b"PK\5\6", [4, 6, 8, 10, 12, 16, 20]),
            ]
        )
        places = [found.start() for found in re.finditer(re.escape(mark), bytes(changed))]
        at = rng.choice(places or [0]) + rng.choice(fields)
        form = rng.choice(["<H", "<L"])
        if at + 4 <= len(changed):
            (old,) = struct.unpack_from(form, changed, at)
            number = rng.choice([rng.choice(mutations.EXTREMES), old + 1, old - 1, rng.randrange(20), 1 << rng.randrange(32)])
            struct.pack_into(form, changed, at, number & (1 << 8 * struct.calcsize(form)) - 1)
    return bytes(changed)


def named(rng: random.Random, content: bytes) -> bytes:
    """Give members of a zip other names, twice the same too, or make links of them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(rng.choice([1, 2, 5])):
            info = zipfile.ZipInfo(rng.choice([*NAMES, "good", f"good{number}"]) or "x")
            info.external_attr = rng.choice([0, 0, 0, 0o100644, 0o120777, 0o020666, 0o040755]) << 16
            archive.writestr(info, content[: rng.choice([0, 10, 1000])])
    return buffer.getvalue()


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Unpack it, as it is and without its top folder: all is placed, or nothing, and nothing beside."""
    pieces = content.split(PART) if "split" in name else [content]
    for number, piece in enumerate(pieces[:-1], 1):
        (folder / name.replace(".zip", f".z{number:02d}")).write_bytes(piece)
    (folder / name).write_bytes(pieces[-1])
    yield lambda: unpacked(folder / name, None)
    yield lambda: unpacked(folder / name, "top")


def unpacked(archive: Path, flatten: str | None) -> None:
    """Unpack an archive and look at what has come of it."""
    before, out = set(archive.parent.rglob("*")), archive.parent / f"out-{flatten}"
    placed: set[Path] = set()
    refusal = None
    try:
        placed = set(unpack(archive, out, flatten=flatten, max_bytes=MOST))
    except DcasekitError as error:
        refusal = error
    files = {path for path in set(archive.parent.rglob("*")) - before if not path.is_dir()}
    assert files == placed, f"{len(files)} files, {len(placed)} placed"
    assert sum(path.stat().st_size for path in files) <= MOST
    if refusal:
        raise refusal
