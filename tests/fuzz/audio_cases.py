"""Broken audio files: seeded mutations of small recordings in every format, for whoever reads audio and must not fall over."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from dcasekit import audio

SR = 16000
# libsndfile's format and coding, and the ending by which such files are known.
KINDS = [
    ("WAV", "PCM_16", "wav"), ("WAV", "PCM_24", "wav"), ("WAV", "FLOAT", "wav"), ("WAV", "IMA_ADPCM", "wav"), ("WAVEX", "PCM_16", "wav"),
    ("RF64", "PCM_16", "wav"), ("W64", "PCM_16", "w64"), ("AIFF", "PCM_16", "aiff"), ("AIFF", "FLOAT", "aiff"), ("AU", "PCM_16", "au"),
    ("CAF", "PCM_16", "caf"), ("NIST", "PCM_16", "nist"), ("FLAC", "PCM_16", "flac"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "opus"),
    ("MP3", "MPEG_LAYER_III", "mp3"),
]  # fmt: skip
_EXTREMES = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFF000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFF0,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
]


@cache
def sound(kind: int) -> bytes:
    """Encode half a second of a sweep in noise; every other kind has two channels."""
    format, subtype, _ = KINDS[kind]
    time = np.arange(SR // 2) / SR
    mono = 0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.02 * np.random.default_rng(kind).standard_normal(len(time))
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", SR, 1 + kind % 2, format=format, subtype=subtype) as file:
        file.write(np.stack([mono] * (1 + kind % 2), axis=1))
    return memory.getvalue()


def _place(rng: random.Random, content: bytes) -> int:
    """Draw a byte: of the header as often as of all the rest."""
    return rng.randrange(min(len(content), 128)) if rng.random() < 0.5 else rng.randrange(len(content))


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 50])):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(rng: random.Random, content: bytes) -> bytes:
    """Write a number that is at some edge, where the header may have one."""
    form = rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
    number = struct.pack(form, rng.choice(_EXTREMES) & (1 << 8 * struct.calcsize(form)) - 1)
    place = _place(rng, content)
    return content[:place] + number + content[place + len(number) :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def _drop(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + content[place + rng.choice([1, 4, 100, 5000]) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    size = rng.choice([1, 4, 100, 5000])
    return (
        content[:place] + rng.choice([bytes(size), rng.randbytes(size), b"\xff\xfb\x90\xc4" * size, b"OggS\0\2" * size]) + content[place:]
    )


def _wipe(rng: random.Random, content: bytes) -> bytes:
    place, size = _place(rng, content), rng.choice([4, 100, 2000])
    return content[:place] + bytes(len(content[place : place + size])) + content[place + size :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    first, last = sorted((_place(rng, content), _place(rng, content)))
    return content[:last] + content[first:]


def _join(rng: random.Random, content: bytes) -> bytes:
    return content + sound(rng.randrange(len(KINDS)))


def _swap(rng: random.Random, content: bytes) -> bytes:
    """Put the beginning of one format before the rest of another."""
    place = rng.choice([4, 12, 40, 200])
    return sound(rng.randrange(len(KINDS)))[:place] + content[place:]


_MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [_flip, _number, _number, _cut, _drop, _insert, _wipe, _repeat, _join, _swap]


def case(seed: int) -> tuple[str, bytes]:
    """Give a file, (name, content), with one to three mutations; the same for the same seed."""
    rng = random.Random(seed)
    kind = rng.randrange(len(KINDS))
    content = sound(kind)
    for mutation in rng.choices(_MUTATIONS, k=rng.choice([1, 1, 1, 2, 3])):
        content = mutation(rng, content) if content else content
    return f"{KINDS[kind][0].lower()}.{KINDS[kind][2]}", content


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Read the header, the whole, pieces, the rest from a third on, and at another rate: the same samples in every way, all finite."""
    path = folder / name
    path.write_bytes(content)

    def read() -> None:
        head = audio.info(path)
        whole, sr = audio.read(path)
        joined = np.concatenate(list(audio.blocks(path, seconds=0.07)))
        third = head.samples // 3
        part, _ = audio.read(path, start=third / sr)
        assert len(whole) == head.samples
        assert np.isfinite(whole).all()
        assert (joined == whole).all()
        assert (part == whole[third:]).all()

    yield read
    yield lambda: audio.read(path, sr=8000)
