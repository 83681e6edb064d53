"""A clip as the browser needs it: audio that it can play, the outline of the waveform, and pictures of the spectrum in tiles."""

import hashlib
import os
import threading
import wave
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import replacing
from dcasekit.plots.picture import Picture, picture

# What Chromium, Firefox and Safari play: by the first bytes of a file.
_TYPES = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg", b"\xff": "audio/mpeg"}
_PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")  # codings of a WAV file that they play
_drawing = tuple(threading.Lock() for _ in range(16))
_PEAKS, _ROWS, _TILE = 2000, 96, 2000  # of an outline, of a picture, columns of a tile


def playable(clip: Clip, cache: Path) -> tuple[Path, str]:
    """Return the path and media type of a file that browsers can play: that of the clip, or a WAV file made of it in `cache`."""
    info = audio.info(clip.path)
    with clip.path.open("rb") as file:
        head = file.read(4)
    kind = next((kind for first, kind in _TYPES.items() if head.startswith(first)), "")
    if kind and clip.channel is None and (kind != "audio/wav" or info.subtype in _PLAIN):
        return clip.path, kind
    made = cache / f"{_key(clip)}.wav"
    if not made.exists():
        with replacing(made) as temporary, wave.open(str(temporary), "wb") as out:
            out.setparams((1, 2, info.sr, 0, "NONE", ""))
            for block in audio.blocks(clip.path, channel=clip.channel):
                out.writeframes((np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
    return made, "audio/wav"


def describe(clip: Clip) -> Mapping[str, Any]:
    """Return what the player needs to draw a clip: its duration, the peaks of the waveform, and the layout of the spectrogram's tiles."""
    return _drawn(clip)[0]


def tile(clip: Clip, number: int) -> NDArray[np.uint8]:
    """Return a tile of the spectrogram, (rows, columns), uint8, see `dcasekit.plots.picture.Picture`."""
    return _drawn(clip)[1].levels[:, number * _TILE : (number + 1) * _TILE]


def _drawn(clip: Clip) -> tuple[Mapping[str, Any], Picture]:
    key = _key(clip)
    with _drawing[int(key, 16) % len(_drawing)]:  # a page asks for several parts at once: they are computed once
        return _describe(key, clip.path, clip.channel)


@lru_cache(32)
def _describe(key: str, path: Path, channel: int | None) -> tuple[Mapping[str, Any], Picture]:  # noqa: ARG001
    info = audio.info(path)
    found = picture(path, rows=_ROWS, channel=channel)
    outline = np.abs(audio.peaks(path, _PEAKS, channel=channel)).max(axis=1)
    facts = {
        "duration": info.duration,
        "sr": info.sr,
        "peaks": [round(float(each), 4) for each in outline],
        "rows": found.levels.shape[0],
        "columns": found.levels.shape[1],
        "tile": _TILE,
        "top": int(found.levels.max()),
    }
    return facts, found


def _key(clip: Clip) -> str:
    """Name a clip's audio as it is now."""
    about = os.stat(clip.path)
    return hashlib.sha256(f"{clip.path} {clip.channel} {about.st_size} {about.st_mtime_ns}".encode(errors="replace")).hexdigest()[:24]
