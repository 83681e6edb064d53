"""The short-time Fourier transform every spectral feature shares, block by block: computed in float64, given in float32.

In float32 a loud tone's rounding drowns what lies 80 dB and more below it; in float64 all values stay within 1e-3 dB of the
exact ones, 1e-4 dB where the clip is loud (``tests/test_features_reference.py``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features._settings import Settings, refuse_unlike_numbers

Window = Literal["hann", "hamming", "blackman", "rectangular"]

# a0 - a1 cos + a2 cos
_COSINES = {
    "hann": (0.5, 0.5, 0.0),
    "hamming": (0.54, 0.46, 0.0),
    "blackman": (0.42, 0.5, 0.08),
    "rectangular": (1.0, 0.0, 0.0),
}

# As many samples of frames as keep one block's arrays (a MB) near the processor; as few frames as the transform treats together.
_BLOCK, _LEAST = 1 << 17, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class STFT(Settings):
    """Settings of the short-time Fourier transform; its window length and hop are the feature's ``audio_win`` and ``audio_hop``.

    Parameters
    ----------
    n_fft : length of the transform in samples, at least that of the window; ``None`` (default): the window's length. A shorter window is
        put in the middle of the frame, between zeros (as in librosa and torch).
    window : ``"hann"`` (default, as in librosa), ``"hamming"``, ``"blackman"`` or ``"rectangular"``.
    periodic : use the periodic window (default, right for spectra); ``False``: the symmetric one.
    center : ``True`` (default): frame t is centred at sample ``t * hop``, and the signal is padded by ``n_fft // 2`` samples at both
        ends; ``False``: frame t begins at that sample.
    pad : what to pad with: ``"reflect"`` (default; as librosa < 0.9 and torch), or ``"constant"``, zeros (as librosa >= 0.9).
    power : 2 (default): energy; 1: magnitude.
    pre_emphasis : the coefficient c of ``y[n] = x[n] - c x[n - 1]``; 0 (default): none. The result is one sample shorter (as in DcaseNet).
    offset : added to every sample, 0 by default; dcase_util adds 2**-52.

    Raises
    ------
    FeatureError : a setting is unknown or out of its range.
    """

    n_fft: int | None = None
    window: Window = "hann"
    periodic: bool = True
    center: bool = True
    pad: Literal["reflect", "constant"] = "reflect"
    power: Literal[1, 2] = 2
    pre_emphasis: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        self._make_plain()
        for name, known in (("window", tuple(_COSINES)), ("pad", ("reflect", "constant")), ("power", (1, 2))):
            if (value := getattr(self, name)) not in known:
                raise FeatureError(f"{name} of a spectrum must be one of {', '.join(map(repr, known))}; got {value!r}")
        refuse_unlike_numbers(self, ("n_fft",), whole=True)
        refuse_unlike_numbers(self, ("pre_emphasis", "offset"))
        if self.n_fft is not None and self.n_fft < 1:
            raise FeatureError(f"n_fft must be at least 1 sample, or None: the window's length; got {self.n_fft}")

    def length(self, audio_win: int) -> int:
        """Return the length of the transform in samples for a window of `audio_win` samples.

        Raises
        ------
        FeatureError : the window is longer than `n_fft`.
        """
        length = audio_win if self.n_fft is None else self.n_fft
        if length < audio_win:
            raise FeatureError(
                f"n_fft must be at least audio_win = {audio_win} samples; got {length}: leave n_fft out, or shorten audio_win"
            )
        return length


def compute_spectra(blocks: Iterable[FloatArray], *, stft: STFT, audio_win: int, audio_hop: int) -> Iterator[FloatArray]:
    """Turn audio into spectra, a block of frames at a time.

    Parameters
    ----------
    blocks : consecutive pieces of one recording, any lengths; where they are cut does not change the result.
    audio_win, audio_hop : samples.

    Yields
    ------
    arrays (frames, 1 + n_fft // 2), float32, energy or magnitude; together ``1 + samples // hop`` frames if centred.

    Raises
    ------
    FeatureError : the recording is shorter than one window.
    """
    from scipy.fft import rfft

    for frames in cut_frames(blocks, stft=stft, audio_win=audio_win, audio_hop=audio_hop):
        spectrum = rfft(frames, axis=1, overwrite_x=True)
        # real, imaginary, real, ...: squared where they lie, and added in float64 on the way to float32
        squares = spectrum.view(np.float64)
        np.square(squares, out=squares)
        energy = np.empty(spectrum.shape, np.float64 if stft.power == 1 else np.float32)
        np.add(squares[:, ::2], squares[:, 1::2], out=energy, dtype=np.float64, casting="same_kind")
        yield energy if stft.power == 2 else np.sqrt(energy, out=energy).astype(np.float32)


def cut_frames(blocks: Iterable[FloatArray], *, stft: STFT, audio_win: int, audio_hop: int) -> Iterator[NDArray[np.float64]]:
    """Cut audio into frames (frames, n_fft), each weighted by the window, in float64; the parameters are those of `compute_spectra`."""
    n_fft = stft.length(audio_win)
    window = _make_window(stft.window, stft.periodic, audio_win, n_fft)
    for piece in _regroup(_preprocess(blocks, stft), stft, audio_win, n_fft, audio_hop):
        shape, stride = (_count_frames(len(piece), n_fft, audio_hop), n_fft), piece.strides[0]
        frames = as_strided(piece, shape, (audio_hop * stride, stride), writeable=False)
        step = max(_LEAST, _BLOCK // n_fft)
        for first in range(0, len(frames), step):
            yield frames[first : first + step] * window


def _preprocess(blocks: Iterable[FloatArray], stft: STFT) -> Iterator[FloatArray]:
    """Add the offset and pre-emphasise across block borders."""
    before: FloatArray | None = None
    for block in blocks:
        audio = np.asarray(block, dtype=np.float32)
        if stft.offset:
            audio = audio + np.float32(stft.offset)
        if stft.pre_emphasis:
            joined = audio if before is None else np.concatenate([before, audio])
            before = joined[-1:]  # of a block without samples too
            audio = joined[1:] - np.float32(stft.pre_emphasis) * joined[:-1]
        yield audio


def _regroup(blocks: Iterable[FloatArray], stft: STFT, audio_win: int, n_fft: int, hop: int) -> Iterator[FloatArray]:
    """Regroup blocks so that each piece holds whole frames, begins at a frame and ends where the next one's does."""
    half = n_fft // 2 if stft.center else 0
    tail = np.zeros(0, np.float32)  # the last samples of the recording, for the padding at its end
    rest = np.zeros(0, np.float32)  # samples from the next frame's beginning on
    started, total = not half, 0
    skip = 0  # samples to drop where the hop jumps beyond what has arrived
    for block, last in _mark_last(blocks):
        total += len(block)
        tail = np.concatenate([tail, block[-(half + 1) :]])[-(half + 1) :]
        parts = [rest, block]
        if not started and (total > half or last):
            head = np.concatenate([rest, block[: half + 1]])[: half + 1]
            parts, started = [_pad(head, half, stft.pad, "left"), *parts], True
        if last:
            _refuse_short(total, stft, audio_win, n_fft)
            parts.append(_pad(tail, half, stft.pad, "right"))
        rest = np.concatenate(parts)
        if started:
            rest, skip = rest[skip:], max(0, skip - len(rest))
            if (count := _count_frames(len(rest), n_fft, hop)) > 0:
                yield rest[: (count - 1) * hop + n_fft]
                rest, skip = rest[count * hop :], max(0, count * hop - len(rest))


def _mark_last(blocks: Iterable[FloatArray]) -> Iterator[tuple[FloatArray, bool]]:
    """Say with each block whether it is the last; a recording without any is one empty block."""
    before = None
    for block in blocks:
        if before is not None:
            yield before, False
        before = block
    yield (np.zeros(0, np.float32) if before is None else before), True


def _refuse_short(total: int, stft: STFT, audio_win: int, n_fft: int) -> None:
    needed = n_fft if not stft.center else max(audio_win, n_fft // 2 + 1 if stft.pad == "reflect" else 0)
    if total < needed:
        raise FeatureError(
            f"the audio has {total} samples, fewer than the {needed} of one window; pad it, choose a shorter window, "
            "or leave it out (in extraction: on_error='skip')"
        )


def _count_frames(samples: int, n_fft: int, hop: int) -> int:
    return 1 + (samples - n_fft) // hop


def _pad(edge: FloatArray, length: int, pad: str, side: Literal["left", "right"]) -> FloatArray:
    """Make the samples beyond one end from the length + 1 samples next to it."""
    if pad == "constant":
        return np.zeros(length, np.float32)
    return edge[length:0:-1] if side == "left" else edge[-2 : -length - 2 : -1]


@cache
def _make_window(kind: str, periodic: bool, length: int, n_fft: int) -> NDArray[np.float64]:
    a0, a1, a2 = _COSINES[kind]
    phase = 2 * np.pi * np.arange(length) / max(length if periodic else length - 1, 1)
    left = (n_fft - length) // 2
    return np.pad(a0 - a1 * np.cos(phase) + a2 * np.cos(2 * phase), (left, n_fft - length - left))
