"""Files that say where their samples begin and how many bytes they are: wav (RIFF, RIFX, RF64, BW64, W64), aiff, caf, au and NIST's sphere.

Sizes in headers lie: writers to a pipe do not know them, 32 bits hold no more than 4 GiB, a copy may have stopped early, and two files may
have been joined. What lies behind the samples must explain itself, or the header is not believed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dcasekit.audio import _mpeg, _tags
from dcasekit.audio._bytes import Bytes
from dcasekit.audio._info import AudioInfo
from dcasekit.audio._named import AGAIN, printable
from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a container writes its chunks: a name, a size, content, and fill up to a multiple of `align`."""

    first: int  # byte of the first chunk
    head: struct.Struct  # of a chunk: the first four bytes of its name, and its size
    form: bytes  # name, first four bytes, of the chunk that describes the samples
    data: bytes  # and of the one that holds them
    counted: int = 0  # bytes of a chunk's head that its size counts
    align: int = 2


_WAV = _Kind(12, struct.Struct("<4sI"), b"fmt ", b"data")
_KINDS = {
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"RIFX": _Kind(12, struct.Struct(">4sI"), b"fmt ", b"data"),
    b"riff": _Kind(40, struct.Struct("<4s12xQ"), b"fmt ", b"data", counted=24, align=8),
    b"FORM": _Kind(12, struct.Struct(">4sI"), b"COMM", b"SSND"),
    b"caff": _Kind(8, struct.Struct(">4sQ"), b"desc", b"data", align=1),
}
_AU = (b".snd", b"dns.")
_SPHERE = b"NIST"
MAGIC = frozenset((*_KINDS, *_AU, _SPHERE))
_BEGINNINGS = MAGIC | {b"fLaC", b"OggS"}

_LETTERS = bytes(range(32, 127))
_MOST_CHUNKS = 1000
_CRUMBS = 4096  # bytes behind the samples that need no explanation: a sector of fill
# Sizes that say "unknown": some programs leave room for a header below them.
_UNKNOWN = (1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
_WAV_TYPES = {(1, 1): "u1", (1, 2): "i2", (1, 3): "i3", (1, 4): "i4", (3, 4): "f4", (3, 8): "f8"}  # by coding and bytes
_SUBTYPES = {"u1": "PCM_U8", "i1": "PCM_S8", "i2": "PCM_16", "i3": "PCM_24", "i4": "PCM_32", "f4": "FLOAT", "f8": "DOUBLE"}


class Contents(NamedTuple):
    """What a container holds: bytes [start, end) of samples, and their coding if they are plain numbers."""

    start: int
    end: int
    info: AudioInfo | None


def look(file: Bytes, total: int, path: PathLike) -> Contents | None:
    """Find the samples of a container; ``None``: it is none that is known, or has none. Refuse what is cut or holds more than one."""
    head = file.at(0, 40)
    if head[:4] in _AU:
        return _look_au(file, head, total, path)
    if head[:4] == _SPHERE:
        return _look_sphere(file, total, path)
    kind = _KINDS[head[:4]]
    chunks: dict[bytes, tuple[int, int]] = {}
    for chunk, start, size in _chunks(file, kind, kind.first, total):
        chunks.setdefault(chunk, (start, size))
        if kind.form in chunks and kind.data in chunks:
            break
    else:
        return None
    start, size = chunks[kind.data]
    if b"ds64" in chunks and size == 0xFFFFFFFF:
        size = int.from_bytes(file.at(chunks[b"ds64"][0] + 8, 8), "little")
    end = _end(file, kind, start, size, total, path)
    form = file.at(chunks[kind.form][0], min(chunks[kind.form][1], 64)).ljust(64, b"\0")
    if kind.data == b"SSND":
        start += 8 + int.from_bytes(file.at(start, 4), "big")
        described = _aiff(form, path, end - start, aifc=head[8:12] == b"AIFC")
    elif kind.form == b"desc":
        start += 4
        described = _caf(form)
    else:
        described = _wav(form, path, kind.head.format[0])
    return Contents(start, end, described and _count(*described, start, end))


def _look_au(file: Bytes, head: bytes, total: int, path: PathLike) -> Contents:
    order = ">" if head[:4] == b".snd" else "<"
    start, size, coding, sr, channels = struct.unpack(f"{order}5I", head[4:24].ljust(20, b"\0"))
    end = _end(file, None, start, size, total, path)
    dtype = {2: "i1", 3: "i2", 4: "i3", 5: "i4", 6: "f4", 7: "f8"}.get(coding)
    return Contents(start, end, dtype and _count(order + dtype, sr, channels, start, end) or None)


def _look_sphere(file: Bytes, total: int, path: PathLike) -> Contents | None:
    head = file.at(0, 1 << 14)
    start = int(head[8:16])
    lines = (line.split(None, 2) for line in head[:start].splitlines())
    said = {line[0]: line[2].strip() for line in lines if len(line) == 3}
    sr, count, width = (int(said[b"sample_" + key]) for key in (b"rate", b"count", b"n_bytes"))
    channels = int(said.get(b"channel_count", b"1"))
    end = _end(file, None, start, count * channels * width, total, path)
    order = "<" if said.get(b"sample_byte_format") == b"01" else ">"
    plain = said.get(b"sample_coding", b"pcm") == b"pcm" and f"i{width}" in _SUBTYPES
    return Contents(start, end, _count(f"{order}i{width}", sr, channels, start, end) if plain else None)


def _count(dtype: str, sr: int, channels: int, start: int, end: int) -> AudioInfo | None:
    width = int(dtype[-1]) * channels
    return AudioInfo(max(0, end - start) // width, sr, channels, _SUBTYPES[dtype[-2:]], start, dtype) if width else None


def _chunks(file: Bytes, kind: _Kind, position: int, total: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, size) of chunk after chunk, as far as they look like chunks."""
    for _ in range(_MOST_CHUNKS):
        start = position + kind.head.size
        content = file.at(position, kind.head.size) if start <= total else b""
        if len(content) < kind.head.size:
            return
        name, size = kind.head.unpack(content)
        if name in _BEGINNINGS or name.translate(None, _LETTERS):
            return
        size = max(0, size - kind.counted)
        yield name, start, size
        position = start + size + -size % kind.align


def _end(file: Bytes, kind: _Kind | None, start: int, size: int, total: int, path: PathLike) -> int:
    """Find where samples that begin at `start` end: where the header says, or where the file does if its writer did not know."""
    end = start + size
    if end == total:
        return end
    unknown = not size or any(0 <= mark - size < 1 << 16 for mark in _UNKNOWN)
    if total - end >= 1 << 32 and (kind is None or kind.head.format[-1] == "I"):
        end += (total - end) >> 32 << 32  # the size has 32 bits, the file more: the rest of the count is lost
    if end > total:
        if unknown:
            return total
        raise AudioError(f"{printable(path)} is truncated: its header promises {size} bytes of samples, {total - start} are there; {AGAIN}")
    # Some writers forget to fill up.
    behind = min(_unexplained(file, kind, begin, total) for begin in {end, end + (-size % kind.align if kind else 0)})
    if unknown and behind:
        return total
    if behind > _CRUMBS or (behind and _begins_another(file, total - behind, total)):
        raise AudioError(
            f"{printable(path)} continues after its samples: its header accounts for {total - behind} of {total} bytes, "
            "so it is older than the file, or two files were joined; write the file again, or split it"
        )
    return end


def _unexplained(file: Bytes, kind: _Kind | None, position: int, total: int) -> int:
    """Count the bytes behind the samples that are neither chunks, nor tags, nor fill."""
    for chunk, start, size in _chunks(file, kind, position, total) if kind else ():
        if chunk == kind.data or start + size > total:  # type: ignore[union-attr]
            break
        position = start + size + -size % kind.align  # type: ignore[union-attr]
    position = _tags.after(file, position, total)
    return total - position if file.at(position, _CRUMBS).strip(b"\0") else 0


def _begins_another(file: Bytes, position: int, total: int) -> bool:
    return file.at(position, 8).lstrip(b"\0")[:4] in _BEGINNINGS or _mpeg.find_first(file, position, total) is not None


def _contradicts(path: PathLike, what: str) -> AudioError:
    return AudioError(f"{printable(path)} contradicts itself: {what}; its header is damaged: {AGAIN}")


def _wav(form: bytes, path: PathLike, order: str) -> tuple[str, int, int] | None:
    tag, channels, sr, _, block, bits = struct.unpack(f"{order}HHIIHH", form[:16])
    if tag == 0xFFFE:  # extensible
        tag = struct.unpack(f"{order}H", form[24:26])[0]
    width = block // channels if channels else 0
    dtype = _WAV_TYPES.get((tag, width))
    if tag in (1, 3) and (block != channels * width or (width, bits) != (4, 24) and width != -(-bits // 8)):
        raise _contradicts(path, f"{channels} samples of {bits} bits in {block} bytes")
    return (order + dtype, sr, channels) if dtype and width == -(-bits // 8) else None


def _aiff(form: bytes, path: PathLike, size: int, *, aifc: bool) -> tuple[str, int, int] | None:
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", form[:18])
    coding = form[18:22] if aifc else b"NONE"
    kind = {b"NONE": ">i", b"twos": ">i", b"in24": ">i", b"in32": ">i", b"sowt": "<i", b"42n1": "<i", b"23ni": "<i"}.get(coding)
    kind = {b"raw ": "<u", b"fl32": ">f", b"FL32": ">f", b"fl64": ">f", b"FL64": ">f"}.get(coding, kind)
    dtype = kind and f"{kind}{-(-bits // 8)}"
    sr = mantissa / 2.0 ** (63 + 16383 - (exponent & 0x7FFF)) if 16383 <= exponent < 16383 + 63 else 0
    if not dtype or dtype[1:] not in _SUBTYPES:
        return None
    if 0 < frames < 1 << 30 and not 0 <= size - frames * channels * int(dtype[-1]) <= _CRUMBS:
        raise _contradicts(path, f"{frames} samples of {channels} channels in {size} bytes")
    return dtype, round(sr), channels


def _caf(form: bytes) -> tuple[str, int, int] | None:
    sr, coding, flags, packet, frames, channels, bits = struct.unpack(">d4s5I", form[:32])
    dtype = f"{'<' if flags & 2 else '>'}{'f' if flags & 1 else 'i'}{-(-bits // 8)}"
    plain = coding == b"lpcm" and frames == 1 and dtype[1:] in _SUBTYPES and packet == channels * int(dtype[-1])
    return (dtype, round(sr) if 0 < sr < 1 << 32 else 0, channels) if plain else None
