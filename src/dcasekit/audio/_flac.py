"""FLAC: the length that a header states is believed if the last frame ends there."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dcasekit.audio._bytes import Bytes
from dcasekit.audio._named import AGAIN, printable
from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

_SECOND = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # a stream and the head of its first block, of 34 bytes
_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
_SIZES = {8: 1, 16: 4, 24: 6}  # codes of bits per sample; 0: as the first block says
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << power for power in range(8)))  # samples of a block by code
_LOOK = 1 << 20  # bytes to search at a time


class Stream(NamedTuple):
    """What a stream's first block says; `samples` is 0 if its writer did not know."""

    samples: int
    sr: int
    channels: int
    subtype: str
    ends: set[int]  # samples after which the last frames of the file may end


def look(file: Bytes, begin: int, total: int, path: PathLike) -> Stream:
    """Read a stream's first block, and the head of its last frame."""
    block = file.at(begin, 42)
    if len(block) < 42 or not _SECOND.match(block):
        raise AudioError(f"{printable(path)} is not a flac file that can be read: its first block is incomplete; {AGAIN}")
    packed = int.from_bytes(block[18:26], "big")
    sr, channels, bits, samples = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    if bits not in _SUBTYPES:
        raise AudioError(f"{printable(path)} has {bits} bits per sample; 8, 16 and 24 can be read: convert it")
    longest = int.from_bytes(block[10:12], "big")
    # The last frame, and the tags that some programs append, lie within so many bytes.
    reach = (int.from_bytes(block[15:18], "big") or longest * channels * bits // 8) + 1024
    frames = _frames_of(channels, bits, fixed=block[8:10] == block[10:12])
    ends = {*_frame_ends(file.at(max(begin + 42, total - reach), reach), frames, longest)}
    return Stream(samples, sr, channels, _SUBTYPES[bits], ends)


def refuse_joined(path: PathLike, begin: int) -> None:
    """Refuse a file in which a second stream begins."""
    position, before = begin + 42, b""
    with open(path, "rb") as file:
        file.seek(position)
        while block := file.read(_LOOK):
            if found := _SECOND.search(before + block):
                where = position - len(before) + found.start()
                raise AudioError(
                    f"{printable(path)} holds a second flac file from byte {where} on: two recordings were joined; split it there: "
                    f"head -c {where} gives the first, tail -c +{where + 1} the second"
                )
            position += len(block)
            before = block[-7:]


def _frames_of(channels: int, bits: int, *, fixed: bool) -> re.Pattern[bytes]:
    """Return what the first four bytes of a stream's frames may be; `fixed`: all blocks but the last have one size."""
    layouts = {channels - 1, *((8, 9, 10) if channels == 2 else ())}
    described = bytes(layout << 4 | code << 1 for layout in layouts for code in (0, _SIZES[bits]))
    return re.compile(rb"\xff%b[^\x0f][%b]" % (b"\xf8" if fixed else b"[\xf8\xf9]", re.escape(described)), re.DOTALL)


def _frame_ends(tail: bytes, frames: re.Pattern[bytes], block: int) -> Iterator[int]:
    """Yield the sample after the last one of every frame whose head lies in `tail`.

    Blocks have `block` samples, unless the frame says another number.
    """
    for found in frames.finditer(tail):
        head = tail[found.start() : found.start() + 16].ljust(16, b"\0")
        ones = 8 - (~head[4] & 0xFF).bit_length()
        if ones == 1 or ones > 7:
            continue
        number = head[4] & (0x7F >> ones)
        at = 5 + max(0, ones - 1)
        for more in head[5:at]:
            number = number << 6 | more & 63
        size, rate = head[2] >> 4, head[2] & 15
        wide = {6: 1, 7: 2}.get(size, 0)
        own = int.from_bytes(head[at : at + wide], "big") + 1 if wide else _BLOCKS[size]
        at += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
        if own and at < 16 and _crc8(head[:at]) == head[at]:
            yield (number if head[1] & 1 else number * block) + own


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
