"""Find out what a file holds: by its header where that can be believed, by looking through it where not."""

import os
import stat
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from dcasekit.audio import _containers, _flac, _mpeg, _ogg, _tags
from dcasekit.audio._bytes import Bytes
from dcasekit.audio._decode import count_samples, opened, refuse_fewer
from dcasekit.audio._info import AudioInfo, Part
from dcasekit.audio._named import AGAIN, naming, printable
from dcasekit.core.units import PathLike
from dcasekit.errors import AudioError

_RATES = (50, 10_000_000)  # Hz: from infrasound to ultrasound
_CHANNELS = 1024
_DENSEST = 8192  # samples in a byte: more than any codec gets out of one, so a promise
_SETTLED = 10**9  # ns

T = TypeVar("T")


class _Id(NamedTuple):
    """What tells one state of a file from another: answers that took reading all of it are kept by this."""

    path: str
    total: int
    changed: int
    device: int
    inode: int


def inspect(path: PathLike) -> AudioInfo:
    """Find out what a file holds; see `dcasekit.audio.info`."""
    with naming(path):
        name = os.fspath(path)
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
            raise AudioError(f"{printable(path)} is a pipe, a device or a socket; expected a file: record to one first")
        if status.st_size == 0:
            raise AudioError(f"{printable(path)} is empty (0 bytes); {AGAIN}")
        return _remember(_inspect, _Id(name, status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino))


@lru_cache(maxsize=1)  # who asks how long a file is reads it next
def _inspect(one: _Id) -> AudioInfo:
    path, total = one[:2]
    with Bytes(path) as file:
        head = _look(file, one)
    if head is None:
        raise AudioError(
            f"{printable(path)} is not an audio file that can be read (wav, flac, ogg, mp3, aiff, au ...); convert it to wav or flac"
        )
    if not _RATES[0] <= head.sr <= _RATES[1] or not 0 < head.channels <= _CHANNELS:
        raise AudioError(f"{printable(path)} claims {head.sr} Hz and {head.channels} channels: its header is damaged; {AGAIN}")
    if head.samples > total * _DENSEST:
        raise AudioError(f"{printable(path)} claims {head.samples} samples in {total} bytes: its header is damaged; {AGAIN}")
    if head.samples <= 0:
        raise AudioError(f"{printable(path)} holds no samples; remove it, or leave it out (in extraction: on_error='skip')")
    return head


def _look(file: Bytes, one: _Id) -> AudioInfo | None:
    path, total = one[:2]
    magic = file.at(0, 4)
    if magic in _containers.MAGIC:
        contents = _containers.look(file, total, path)
        if contents is None:
            return None
        if contents.info:
            return contents.info
        head = _ask(file, path, (Part(),))
        return _of_mpeg(file, one, contents.start, contents.end) if head.subtype.startswith("MPEG") else head
    begin = _tags.after(file, 0, total)
    end = _tags.before(file, begin, total)
    whole = Part() if (begin, end) == (0, total) else Part(begin, end)
    magic = file.at(begin, 4)
    if magic == b"fLaC":
        return _of_flac(file, one, whole, begin, end)
    if magic == b"OggS":
        links = _ogg.links(file, begin, end, path)
        return _ask(file, path, [Part(*link, seeks=False) for link in links] if len(links) > 1 else [Part(*whole[:2], seeks=False)])
    return _of_mpeg(file, one, begin, end)


def _of_flac(file: Bytes, one: _Id, whole: Part, begin: int, end: int) -> AudioInfo:
    promised, sr, channels, subtype, ends = _flac.look(file, begin, end, one.path)
    samples = promised
    if not promised or promised not in ends:
        _flac.refuse_joined(one.path, begin)
        if promised and max(ends, default=0) > promised:  # libsndfile would stop there
            raise AudioError(f"{printable(one.path)} goes on after the {promised} samples that its header promises; write the file again")
        samples = _remember(_count_samples, one, whole)
        refuse_fewer(one.path, samples, promised)
    return AudioInfo(samples, sr, channels, subtype, parts=(whole._replace(samples=samples, seeks=promised > 0),))


@lru_cache(maxsize=1024)
def _count_samples(one: _Id, whole: Part) -> int:
    try:
        return count_samples(one.path, whole)
    except RuntimeError as error:  # soundfile's
        raise AudioError(f"{printable(one.path)} is truncated or damaged: it cannot be decoded to its end ({error}); {AGAIN}") from error


def _of_mpeg(file: Bytes, one: _Id, begin: int, end: int) -> AudioInfo | None:
    first = _mpeg.find_first(file, begin, end)
    if first is None:
        return None
    part = _mpeg.whole(file, first, end, one.path)
    return _ask(file, one.path, [part] if part else _remember(_split_mpeg, one, first, end))


@lru_cache(maxsize=1024)
def _split_mpeg(one: _Id, first: int, end: int) -> list[Part]:
    with Bytes(one.path) as file:
        return _mpeg.split(file, first, end, one.path)


def _remember(function: Callable[..., T], one: _Id, *arguments: Any) -> T:
    """Call a function that keeps its answers, unless the file is so new that it may change without its time doing so."""
    settled = time.time_ns() - one.changed > _SETTLED
    return (function if settled else function.__wrapped__)(one, *arguments)  # type: ignore[attr-defined]


def _ask(file: Bytes, path: str, parts: Sequence[Part]) -> AudioInfo:
    """Ask libsndfile what the parts of a file are, and how long where that is not known yet."""
    known, heads = [], set()
    for part in parts:
        with opened(path, part, file.handle) as sound:
            heads.add((sound.samplerate, sound.channels))
            known.append(part if part.samples else Part(part.begin, part.end, sound.frames, part.seeks, part.endless))
            subtype: str = sound.subtype
    if len(heads) > 1:
        raise AudioError(
            f"{printable(path)} holds several recordings whose sampling rates or channels differ; split it, and convert them alike"
        )
    [(sr, channels)] = heads
    return AudioInfo(sum(part.samples for part in known), sr, channels, subtype, parts=tuple(known))
