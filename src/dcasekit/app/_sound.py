"""A clip as the browser needs it: audio that it can play, the outline of the waveform, and pictures of the spectrum in tiles."""

import hashlib
import os
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
from dcasekit.core.units import Seconds

# What Chromium, Firefox and Safari play: by the first bytes of a file.
_TYPES = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg", b"\xff": "audio/mpeg"}
_PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")  # codings of a WAV file that they play
_PEAKS = 2000
_BANDS, _HOPS, _TILE, _RANGE = 96, 4000, 1000, 80.0  # bands, frames of a picture, frames of a tile, dB


def playable(clip: Clip, cache: Path) -> tuple[Path, str]:
    """Give a file that browsers play, and its type: the clip's own, or a WAV file made of it."""
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
    """Give what the player draws: duration, peaks, and how the tiles of the spectrum lie."""
    return _describe(_key(clip), clip.path, clip.channel)[0]


def tile(clip: Clip, number: int) -> NDArray[np.uint8]:
    """Give a part of the spectrum, (bands, frames): 255 the loudest, the lowest band first."""
    picture = _describe(_key(clip), clip.path, clip.channel)[1]
    return picture[:, number * _TILE : (number + 1) * _TILE]


@lru_cache(64)
def _describe(key: str, path: Path, channel: int | None) -> tuple[Mapping[str, Any], NDArray[np.uint8]]:  # noqa: ARG001
    from dcasekit.plots.sound import mel_levels

    samples, sr = audio.read(path, channel=channel)
    columns = min(max(len(samples) // 128, 1), _HOPS)
    picture = np.asarray(mel_levels(samples, sr, columns=columns) * 255, dtype=np.uint8)
    edges = np.linspace(0, len(samples), min(_PEAKS, len(samples)) + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(np.abs(samples), edges)
    return {
        "duration": len(samples) / sr,
        "sr": sr,
        "peaks": [round(float(each), 4) for each in peaks],
        "bands": picture.shape[0],
        "frames": picture.shape[1],
        "tile": _TILE,
    }, picture


def _key(clip: Clip) -> str:
    """Name a clip's audio as it is now."""
    about = os.stat(clip.path)
    return hashlib.sha256(f"{clip.path} {clip.channel} {about.st_size} {about.st_mtime_ns}".encode(errors="replace")).hexdigest()[:24]


def shown_events(clip: Clip) -> list[dict[str, Seconds | str]]:
    """Give the events of a clip as the player draws them."""
    return [{"onset": event.onset, "offset": event.offset, "label": event.label} for event in clip.events or ()]
