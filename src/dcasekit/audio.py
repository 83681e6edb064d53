"""Read, write, resample: the only file that knows codecs.

Audio is float32 in [-1, 1], mono ``(samples,)``; the mean of the channels where a file has several.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.core.files import replacing
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds
from dcasekit.errors import AudioError

# The mission's codecs, which are written as well.
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Endings by which recordings are found in a folder: what libsndfile reads, without formats that have no header or are no sound first.
READABLE = frozenset((
    *SUFFIXES, ".aif", ".aifc", ".aiff", ".au", ".avr", ".bwf", ".caf", ".htk", ".iff", ".ircam", ".mp2", ".nist", ".oga", ".opus", ".paf",
    ".pvf", ".rf64", ".sds", ".sf", ".snd", ".sph", ".svx", ".voc", ".w64", ".wave", ".wve",
))  # fmt: skip

# libsndfile's seek lands some 100 samples off near an ogg's end, and an mp3's frame needs bits of those before: decode from the start.
_INEXACT_SEEK = ("VORBIS", "OPUS", "MPEG")
_SKIP = 1 << 20  # samples to decode at a time on the way
_ENCODE = 1 << 16  # samples to encode at a time: the Vorbis encoder keeps what it is given on the stack, which a long clip exceeds
_SYSTEM_ERROR = 2  # libsndfile's number for what the system refused, as on a full disk
_OGG_PAGE = 65307  # bytes, at most


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header of a file says: samples per channel, rate in Hz, channels, and the coding of a sample."""

    samples: int
    sr: Hz
    channels: int
    subtype: str
    data_start: int | None = None  # byte where the samples of a plain 16-bit wav begin; None for anything else

    @property
    def duration(self) -> Seconds:
        """Length in seconds."""
        return self.samples / self.sr


def info(path: PathLike) -> AudioInfo:
    """Read the header of an audio file.

    Raises
    ------
    AudioError : missing, a folder, not permitted, empty, truncated (wav), or not audio; the message names the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = _wav_header(file, path)
            if head is None:
                _refuse_cut_ogg(file, path)
    except AudioError:
        raise
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist; check the folder, or download the dataset again") from None
    except IsADirectoryError:
        raise AudioError(f"{path} is a folder; expected an audio file") from None
    except PermissionError:
        raise AudioError(f"{path} may not be read; change its permissions (chmod +r)") from None
    except OSError as error:
        raise AudioError(f"{path} cannot be opened ({error.strerror}); check the path and the disk") from error
    if head is None:
        import soundfile

        try:
            found = soundfile.info(str(path))
        except soundfile.SoundFileError as error:
            raise AudioError(f"{path} is not an audio file that can be read ({error}); convert it to wav or flac") from error
        head = AudioInfo(found.frames, found.samplerate, found.channels, found.subtype)
    if head.samples == 0:
        raise AudioError(f"{path} holds no samples; remove it, or extract with on_error='skip'")
    return head


def read(
    path: PathLike, *, sr: Hz | None = None, start: Seconds = 0.0, stop: Seconds | None = None, channel: int | None = None
) -> tuple[FloatArray, Hz]:
    """Read a file, or a part of it, as mono.

    Parameters
    ----------
    path : wav (8, 16, 24, 32 bit or float), flac, ogg, mp3, or whatever libsndfile opens.
    sr : Hz to resample to (soxr, high quality); ``None`` keeps the file's own.
    start, stop : seconds, truncated to samples; only that part is decoded (ogg, mp3: all before it, too). ``None``: to the end.
    channel : read this channel alone, counted from 0; ``None``: the mean of all.

    Returns
    -------
    array (samples,), float32, and its rate in Hz. PCM is divided by 2**(bits - 1), so full scale is [-1, 1).

    Raises
    ------
    AudioError : as `info`; also truncated files and samples that are not finite.
    """
    head = info(path)
    first = int(start * head.sr)
    last = head.samples if stop is None else min(int(stop * head.sr), head.samples)
    if not 0 <= first < last:
        raise AudioError(f"{path} lasts {head.duration:.3f} s; there is nothing between {start} s and {stop} s")
    [audio] = _decode(Path(path), head, first, last, last - first, channel)
    return (audio, head.sr) if sr is None else (resample(audio, head.sr, sr), sr)


def blocks(path: PathLike, *, sr: Hz | None = None, seconds: Seconds = 60.0, channel: int | None = None) -> Iterator[FloatArray]:
    """Yield a file's audio piece by piece, so that a recording of any length passes through little memory.

    Joined, the blocks are the whole file at rate `sr`. The parameters are those of `read`; a block lasts about `seconds`.
    """
    import soxr

    head = info(path)
    size = max(1, int(seconds * head.sr))
    if head.samples <= size:  # in one go, which is faster
        [audio] = _decode(Path(path), head, 0, head.samples, size, channel)
        yield audio if sr is None else resample(audio, head.sr, sr)
        return
    stream = soxr.ResampleStream(head.sr, sr, 1, dtype="float32", quality="HQ") if sr not in (None, head.sr) else None
    done = 0
    for block in _decode(Path(path), head, 0, head.samples, size, channel):
        done += len(block)
        audio = block if stream is None else stream.resample_chunk(block, last=done == head.samples)
        if len(audio):
            yield audio


def resample(audio: FloatArray, original: Hz, target: Hz) -> FloatArray:
    """Change the sampling rate of ``(samples,)`` audio with soxr's high-quality setting (as librosa's ``soxr_hq``)."""
    if original == target:
        return audio
    import soxr

    return np.asarray(soxr.resample(audio, original, target, quality="HQ"), dtype=np.float32)


def write(path: PathLike, audio: FloatArray, sr: Hz, *, subtype: str | None = None) -> Path:
    """Write mono ``(samples,)`` or multi-channel ``(samples, channels)`` audio; the suffix chooses the format.

    Parameters
    ----------
    subtype : libsndfile's name of the coding, e.g. ``"PCM_16"``, ``"FLOAT"``; ``None``: the format's usual one. Samples
        beyond [-1, 1] are cut, except in float formats.

    Raises
    ------
    AudioError : samples that are not finite, or a format that cannot be written.
    """
    import soundfile

    if not np.isfinite(audio).all():
        raise AudioError(f"cannot write {path}: {np.count_nonzero(~np.isfinite(audio))} samples are not finite")
    with replacing(path) as temporary:
        try:
            channels = 1 if audio.ndim == 1 else audio.shape[1]
            with soundfile.SoundFile(str(temporary), "w", samplerate=sr, channels=channels, subtype=subtype) as file:
                for begin in range(0, len(audio), _ENCODE):  # libsndfile's Vorbis encoder crashes on a minute at once
                    file.write(audio[begin : begin + _ENCODE])
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            if getattr(error, "code", None) == _SYSTEM_ERROR:
                raise OSError("libsndfile could write but a part") from error
            raise AudioError(f"cannot write {path}: {error}; known suffixes: {', '.join(SUFFIXES)}") from error
    return Path(path)


def recode(audio: FloatArray, sr: Hz, *, format: str, compression: float) -> FloatArray:
    """Encode ``(samples,)`` audio within [-1, 1] in memory with ``"ogg"`` (Vorbis) or ``"mp3"``, and decode it: as many samples.

    Parameters
    ----------
    compression : in [0, 1], libsndfile's level: 0 the best quality, 1 the smallest file.

    Raises
    ------
    AudioError : the codec does not know this sampling rate.
    """
    import soundfile

    memory = io.BytesIO()
    try:
        # Level 1 itself is refused by the mp3 encoder.
        level = min(compression, 0.99)
        with soundfile.SoundFile(memory, "w", samplerate=sr, channels=1, format=format.upper(), compression_level=level) as file:
            for begin in range(0, len(audio), _ENCODE):
                file.write(audio[begin : begin + _ENCODE])
    except soundfile.SoundFileError as error:
        raise AudioError(f"audio of {sr} Hz cannot be encoded as {format} ({error}); resample it to 44100 or 48000 Hz, or lower") from error
    memory.seek(0)
    with soundfile.SoundFile(memory) as file:
        file.seekable = lambda: False  # as in `_decode_any`
        return np.asarray(file.read(file.frames, dtype="float32"))


def _decode(path: Path, head: AudioInfo, first: int, last: int, size: int, channel: int | None) -> Iterator[FloatArray]:
    """Decode samples [first, last) to mono float32, `size` at a time; the file stays open in between."""
    if channel is not None and not 0 <= channel < head.channels:
        raise AudioError(f"{path} has {head.channels} channels, counted from 0; there is no channel {channel}")
    source = _decode_any(path, first, last, size) if head.data_start is None else _decode_pcm(path, head, first, last, size)
    read = first
    for block in source:
        expected = min(size, last - read) * head.channels
        if len(block) < expected:
            raise AudioError(f"{path} is truncated: {len(block)} of {expected} samples can be read; copy or download it again")
        read += size
        if head.channels == 1:
            yield block
        else:
            every = block.reshape(-1, head.channels)
            yield every.mean(axis=1, dtype=np.float32) if channel is None else np.ascontiguousarray(every[:, channel])


def _decode_pcm(path: Path, head: AudioInfo, first: int, last: int, size: int) -> Iterator[FloatArray]:
    """Read a plain 16-bit wav, channels interleaved: its samples are bytes on disk, eight times faster than through a decoder."""
    for begin in range(first, last, size):
        count = min(size, last - begin) * head.channels
        pcm = np.fromfile(path, dtype="<i2", count=count, offset=(head.data_start or 0) + 2 * begin * head.channels)
        yield np.multiply(pcm, np.float32(1 / 32768), dtype=np.float32)


def _decode_any(path: Path, first: int, last: int, size: int) -> Iterator[FloatArray]:
    """Read what libsndfile can, channels interleaved."""
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            file.seekable = lambda: False  # else soundfile seeks after every read, which makes mp3 decoders stumble
            if file.subtype.startswith(_INEXACT_SEEK):
                for begin in range(0, first, _SKIP):
                    file.read(min(_SKIP, first - begin), dtype="float32")
            elif first:
                file.seek(first)
            for begin in range(first, last, size):
                audio: FloatArray = file.read(min(size, last - begin), dtype="float32").reshape(-1)
                if not np.isfinite(audio).all():
                    raise AudioError(
                        f"{path}: {np.count_nonzero(~np.isfinite(audio))} samples are NaN or infinite; "
                        "repair or remove the file, or extract with on_error='skip'"
                    )
                yield audio
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path} cannot be decoded ({error}); the file is damaged: copy or download it again") from error


def _refuse_cut_ogg(file: Any, path: Path) -> None:
    """Refuse an ogg file that ends before its last page does: to libsndfile it is whole, only shorter."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return
    file.seek(max(0, os.fstat(file.fileno()).st_size - _OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS\0") :]
    table = page[27 : 27 + page[26]] if len(page) > 26 else b""
    # The page says that it is the last (bit 2), how many segments it has, and how long each is.
    if len(page) <= 26 or not page[5] & 4 or len(page) < 27 + page[26] + sum(table):
        raise AudioError(f"{path} is truncated: an ogg file ends with a page marked as the last; copy or download it again")


def _wav_header(file: Any, path: Path) -> AudioInfo | None:
    """Parse a RIFF wav with plain 16-bit samples; None for anything else. Refuse one that ends before its data does."""
    total = os.fstat(file.fileno()).st_size
    if total == 0:
        raise AudioError(f"{path} is empty (0 bytes); copy or download it again")
    riff = file.read(12)
    if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return None
    form: tuple[int, ...] = ()
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"fmt " and 16 <= size <= 1024:
            form = struct.unpack("<HHIIHH", file.read(16).ljust(16, b"\0"))
            file.seek(size - 16 + size % 2, os.SEEK_CUR)
        elif name == b"data":
            start = file.tell()
            if size >= 0xFFFFFFF0:  # written to a pipe: the writer did not know the length
                size = total - start
            if start + size > total:
                raise AudioError(
                    f"{path} is truncated: its header promises {size} bytes of samples, {total - start} are there; "
                    "copy or download it again"
                )
            break
        else:
            file.seek(size + size % 2, os.SEEK_CUR)
    else:
        return None
    if len(form) < 6 or form[0] != 1 or form[5] != 16 or form[1] == 0 or form[2] == 0:
        return None
    return AudioInfo(size // (2 * form[1]), form[2], form[1], "PCM_16", start)
