"""A spectrogram as a picture of bytes, for pages that draw it themselves: small, fast, and of one range of levels for all recordings."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcasekit import audio
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds
from dcasekit.errors import FeatureError
from dcasekit.features import STFT, Mel, MelSpectrogram, Spectrogram

LOWEST, HIGHEST = -100.0, 0.0  # dB; 0 is a sine of full scale
_WINDOW: Seconds = 0.04  # at least; a power of two of samples
_RATE, _MOST = 200, 20_000  # columns a second, and of a long recording


@dataclass(frozen=True, eq=False)
class Picture:
    """A spectrogram as bytes.

    Parameters
    ----------
    levels : (rows, columns) uint8, lowest frequency first: 0 is -100 dB or less, 255 is 0 dB, the level of a sine of full scale.
    frequencies : (rows,), the middle of each row in Hz.
    start, stop : the seconds of the recording that the picture shows; all columns are equally long.
    """

    levels: NDArray[np.uint8]
    frequencies: FloatArray
    start: Seconds
    stop: Seconds

    def png(self) -> bytes:
        """Return the picture as a PNG file with 256 colours (matplotlib's magma), the lowest frequency at the bottom."""
        from matplotlib import colormaps
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(self.levels[::-1]))
        image.putpalette((colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes())
        file = io.BytesIO()
        image.save(file, format="png", compress_level=1)
        return file.getvalue()


def picture(
    path: PathLike,
    *,
    start: Seconds = 0.0,
    stop: Seconds | None = None,
    scale: Literal["mel", "linear"] = "mel",
    rows: int = 64,
    columns: int | None = None,
    channel: int | None = None,
) -> Picture:
    """Compute the spectrogram of an audio file, or of a part of it, as bytes.

    Parameters
    ----------
    path : an audio file; a whole file may be of any length, it is read in blocks.
    start, stop : the part of the file in seconds; ``None``: until its end.
    scale : ``"mel"``: rows are equally wide in mel; ``"linear"``: in Hz; both up to half the file's sampling rate.
    rows : height of the picture.
    columns : width of the picture; each column is the mean energy of its time. ``None``: 200 columns per second, at most 20,000.
    channel : as for `audio.read`.

    Raises
    ------
    AudioError : the file cannot be read, see `audio.read`.
    FeatureError : the spectrum cannot be divided into this number of rows.
    """
    head = audio.info(path)
    whole = start == 0 and (stop is None or stop >= head.duration)
    stop = head.duration if stop is None else min(stop, head.duration)
    blocks = audio.blocks(path, channel=channel) if whole else [audio.read(path, start=start, stop=stop, channel=channel)[0]]
    samples = round(stop * head.sr) - round(start * head.sr)
    columns = columns or min(max(round((stop - start) * _RATE), 1), _MOST)
    window = 1 << int(np.ceil(np.log2(_WINDOW * head.sr)))
    a_column = samples / columns
    hop = max(1, round(a_column / max(1, round(2 * a_column / window))))  # two frames a window, or more where columns are finer
    if scale == "linear" and not 0 < rows <= window // 2:
        raise FeatureError(f"a linear picture of audio of {head.sr} Hz has 1 to {window // 2} rows; got {rows}")
    feature = _feature(scale, rows, head.sr, window, hop)
    frames: Iterable[FloatArray] = feature.compute_blocks(_at_least(blocks, window))
    if scale == "linear":
        first = np.arange(rows) * (window // 2) // rows
        frames = (np.add.reduceat(block, first, axis=1) for block in frames)
    energy = _to_columns(frames, hop / a_column, columns)
    ceiling = (window / 4) ** 2  # the energy of a sine of full scale under a Hann window
    levels = 10 * np.log10(np.maximum(energy / ceiling, 1e-20))
    bytes_ = np.clip((levels - LOWEST) * (255 / (HIGHEST - LOWEST)), 0, 255).round().astype(np.uint8)
    return Picture(np.ascontiguousarray(bytes_.T), _middles(scale, rows, head.sr), start, stop)


def _feature(scale: str, rows: int, sr: Hz, window: int, hop: int) -> MelSpectrogram | Spectrogram:
    settings: dict[str, Any] = {"sr": sr, "audio_win": window, "audio_hop": hop, "stft": STFT(pad="constant"), "log": None}
    return MelSpectrogram(mel=Mel(bands=rows, scale="htk", norm="peak"), **settings) if scale == "mel" else Spectrogram(**settings)


def _middles(scale: str, rows: int, sr: Hz) -> FloatArray:
    if scale == "linear":
        return ((np.arange(rows) + 0.5) * (sr / 2 / rows)).astype(np.float32)
    mel = np.linspace(0, 2595 * np.log10(1 + sr / 2 / 700), rows + 2)[1:-1]
    return np.asarray(700 * (10 ** (mel / 2595) - 1), dtype=np.float32)


def _at_least(blocks: Iterable[FloatArray], samples: int) -> Iterator[FloatArray]:
    """Put silence behind what is shorter than one window."""
    seen = 0
    for block in blocks:
        seen += len(block)
        yield block
    if seen < samples:
        yield np.zeros(samples - seen, np.float32)


def _to_columns(blocks: Iterable[FloatArray], step: float, columns: int) -> FloatArray:
    """Average frames, a `step` of a column apart, in each column; one that no frame falls into takes the frame before."""
    total, count, done = np.zeros(0), np.zeros(columns), 0
    for block in blocks:
        at = np.minimum(((done + np.arange(len(block))) * step).astype(np.intp), columns - 1)
        if not total.size:
            total = np.zeros((columns, block.shape[1]))
        borders = np.flatnonzero(np.diff(at, prepend=-1))
        total[at[borders]] += np.add.reduceat(block, borders, axis=0)
        count += np.bincount(at, minlength=columns)
        done += len(block)
    filled = np.maximum.accumulate(np.where(count > 0, np.arange(columns), 0))
    return np.asarray((total / np.maximum(count, 1)[:, None])[filled], dtype=np.float32)
