"""Read, write, resample: the only folder that knows codecs.

Audio is float32 in [-1, 1], mono ``(samples,)``; the mean of the channels where a file has several.
"""

import io
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dcasekit.audio._decode import decode
from dcasekit.audio._info import AudioInfo
from dcasekit.audio._inspect import inspect
from dcasekit.audio._named import naming, printable
from dcasekit.core.files import replacing
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds
from dcasekit.errors import AudioError

__all__ = ["READABLE", "SUFFIXES", "AudioInfo", "blocks", "info", "peaks", "read", "recode", "resample", "resample_blocks", "write"]

# The mission's codecs, which are written as well.
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Endings by which recordings are found in a folder; what a file holds is told by its first bytes.
READABLE = frozenset((
    *SUFFIXES, ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".mp2", ".nist", ".oga", ".opus", ".rf64", ".snd", ".sph", ".w64", ".wave",
))  # fmt: skip

_BLOCK = 1 << 22  # samples to decode at a time: what a header promises is not allocated before it is there
_ENCODE = 1 << 16  # samples to encode at a time: the Vorbis encoder keeps what it is given on the stack, which a long clip exceeds
_SYSTEM_ERROR = 2  # libsndfile's number for what the system refused, as on a full disk


def info(path: PathLike) -> AudioInfo:
    """Find out what an audio file holds: by its header where that can be believed, else by looking through the file (kept in memory).

    Raises
    ------
    AudioError : missing, not a file, not permitted, empty, truncated, joined of files that do not fit, or not audio; the message
        names the file.
    """
    return inspect(path)


def read(
    path: PathLike, *, sr: Hz | None = None, start: Seconds = 0.0, stop: Seconds | None = None, channel: int | None = None
) -> tuple[FloatArray, Hz]:
    """Read a file, or a part of it, as mono.

    Parameters
    ----------
    path : wav (8, 16, 24, 32 bit or float), flac, ogg, mp3, aiff, caf, au or sphere; of any length, chained or joined.
    sr : Hz to resample to (soxr, high quality); ``None`` keeps the file's own.
    start, stop : seconds, rounded to the nearest sample; only that part is decoded (ogg, mp3: all before it, too). ``None``: to the end.
    channel : read this channel alone, counted from 0; ``None``: the mean of all.

    Returns
    -------
    array (samples,), float32, and its rate in Hz. PCM is divided by 2**(bits - 1), so full scale is [-1, 1).

    Raises
    ------
    AudioError : as `info`; also truncated files and samples that are not finite.
    """
    head = inspect(path)
    first = round(start * head.sr) if math.isfinite(start) else -1
    last = head.samples if stop is None or stop >= head.duration else round(stop * head.sr) if stop > 0 else 0
    if not 0 <= first < last:
        raise AudioError(f"{printable(path)} lasts {head.duration:.3f} s; there is nothing between {start} s and {stop} s")
    audio = _read(path, head, first, last, channel, sr)
    return audio, head.sr if sr is None else sr


def blocks(path: PathLike, *, sr: Hz | None = None, seconds: Seconds = 60.0, channel: int | None = None) -> Iterator[FloatArray]:
    """Yield a file's audio piece by piece, so that a recording of any length passes through little memory.

    Joined, the blocks are the whole file at rate `sr`. The parameters are those of `read`; a block lasts about `seconds`.
    """
    import soxr

    head = inspect(path)
    size = max(1, round(seconds * head.sr))
    if head.samples <= size:  # in one go, which is faster
        yield _read(path, head, 0, head.samples, channel, sr)
        return
    with naming(path):
        stream = soxr.ResampleStream(head.sr, sr, 1, dtype="float32", quality="HQ") if sr not in (None, head.sr) else None
        done = 0
        for block in _mono(path, head, 0, head.samples, size, channel):
            done += len(block)
            audio = block if stream is None else stream.resample_chunk(block, last=done == head.samples)
            if len(audio):
                yield audio


def peaks(path: PathLike, bins: int, *, channel: int | None = None) -> FloatArray:
    """Return the lowest and the highest sample of each of `bins` equal parts of a file: what a waveform of so many pixels shows.

    A recording of any length passes through little memory.

    Parameters
    ----------
    path, channel : as for `read`.
    bins : at least 1; a file of fewer samples has as many parts as samples.

    Returns
    -------
    array (bins, 2), float32.

    Raises
    ------
    AudioError : as `read`; or `bins` is below 1.
    """
    if bins < 1:
        raise AudioError(f"a waveform needs at least 1 bin; got {bins}")
    samples = inspect(path).samples
    bins = min(bins, samples)
    found = np.full((bins, 2), (np.inf, -np.inf), dtype=np.float32)
    done = 0
    for block in blocks(path, channel=channel):
        # The part of a sample is sample * bins // samples: the k-th begins at ceil(k * samples / bins).
        first, last = done * bins // samples, (done + len(block) - 1) * bins // samples
        begins = [max(-(-k * samples // bins) - done, 0) for k in range(first, last + 1)]
        found[first : last + 1, 0] = np.minimum(found[first : last + 1, 0], np.minimum.reduceat(block, begins))
        found[first : last + 1, 1] = np.maximum(found[first : last + 1, 1], np.maximum.reduceat(block, begins))
        done += len(block)
    return found


def resample(audio: FloatArray, original: Hz, target: Hz) -> FloatArray:
    """Change the sampling rate of ``(samples,)`` audio with soxr's high-quality setting (as librosa's ``soxr_hq``)."""
    if original == target:
        return audio
    import soxr

    return np.asarray(soxr.resample(audio, original, target, quality="HQ"), dtype=np.float32)


def resample_blocks(blocks: Iterable[FloatArray], original: Hz, target: Hz) -> Iterator[FloatArray]:
    """Change the sampling rate of consecutive blocks of one recording, as `blocks` does.

    Each block gives what is known by then, if only nothing.
    """
    if original == target:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(original, target, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


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

    name = printable(path)
    if not np.isfinite(audio).all():
        raise AudioError(f"cannot write {name}: {np.count_nonzero(~np.isfinite(audio))} samples are not finite")
    with replacing(path) as temporary:
        try:
            channels = 1 if audio.ndim == 1 else audio.shape[1]
            # A name need not be text.
            target = str(temporary) if os.name == "nt" else os.fsencode(temporary)
            with soundfile.SoundFile(target, "w", samplerate=sr, channels=channels, subtype=subtype) as file:
                for begin in range(0, len(audio), _ENCODE):  # libsndfile's Vorbis encoder crashes on a minute at once
                    file.write(audio[begin : begin + _ENCODE])
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            if getattr(error, "code", None) == _SYSTEM_ERROR:
                raise OSError("libsndfile wrote only a part of it") from error
            raise AudioError(f"cannot write {name}: {error}; known suffixes: {', '.join(SUFFIXES)}") from error
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
        file.seekable = lambda: False  # as in `_decode.opened`
        return np.asarray(file.read(file.frames, dtype="float32"))


def _read(path: PathLike, head: AudioInfo, first: int, last: int, channel: int | None, sr: Hz | None) -> FloatArray:
    with naming(path):
        parts = list(_mono(path, head, first, last, _BLOCK if head.data_start is None else last - first, channel))
        audio = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return audio if sr is None else resample(audio, head.sr, sr)


def _mono(path: PathLike, head: AudioInfo, first: int, last: int, size: int, channel: int | None) -> Iterator[FloatArray]:
    """Decode samples [first, last) to one channel, or to the mean of all, at most `size` at a time."""
    if channel is not None and not 0 <= channel < head.channels:
        raise AudioError(f"{printable(path)} has {head.channels} channels, counted from 0; there is no channel {channel}")
    for block in decode(path, head, first, last, size):
        if head.channels > 1 and channel is None:
            yield block.mean(axis=1, dtype=np.float32)
        else:
            yield np.ascontiguousarray(block[:, channel or 0])
