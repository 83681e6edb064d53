"""Mix events over a background at drawn times, lengths and levels, as scaper does.

J. Salamon, D. MacConnell, M. Cartwright, P. Li, J. P. Bello, "Scaper: A library for soundscape synthesis and augmentation", WASPAA 2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Clip, Event
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import DatasetError

_QUIET = 10 ** (-30 / 20)  # of a source's peak: what is quieter at its ends is not the event
_FADE: Seconds = 0.01
_TRIES = 20  # places to try for an event before it is left out


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How soundscapes are mixed.

    Parameters
    ----------
    events : fewest and most events of a soundscape; fewer come out where there is no room.
    lengths : shortest and longest event, seconds; a source that is shorter is used whole.
    snr : dB, lowest and highest level of an event over the background's, both measured while the event lasts.
    level : dB below full scale, of the background alone.
    gap : seconds between two events of one label, so that they stay two.
    overlap : most events that may sound at once.
    sr : Hz, of the soundscapes.
    """

    events: tuple[int, int] = (1, 9)
    lengths: tuple[Seconds, Seconds] = (0.5, 4.0)
    snr: tuple[float, float] = (6.0, 30.0)
    level: float = -40.0
    gap: Seconds = 0.2
    overlap: int = 2
    sr: Hz = 44100

    def __post_init__(self) -> None:
        for name in ("events", "lengths", "snr"):
            low, high = getattr(self, name)
            if not low <= high:
                raise DatasetError(f"Mixing: {name} must be (low, high); got {getattr(self, name)}")
        if self.events[0] < 0 or self.lengths[0] <= 0 or self.gap < 0 or self.overlap < 1 or self.sr < 1:
            raise DatasetError(f"Mixing: need events >= 0, lengths > 0, gap >= 0, overlap >= 1 and sr >= 1; got {self}")


@dataclass(frozen=True, slots=True)
class Placed:
    """An event of a soundscape, the clip its sound comes from, where in that clip it begins, and its level over the background, dB."""

    event: Event
    source: str
    start: Seconds
    snr: float


def mix(
    sources: Mapping[str, Sequence[Clip]], background: Sequence[Clip], seconds: Seconds, mixing: Mixing, rng: np.random.Generator
) -> tuple[FloatArray, list[Placed]]:
    """Make one soundscape.

    Parameters
    ----------
    sources : label -> clips, each of one sound of that label.
    background : clips to draw from; none: noise whose power falls with frequency.
    seconds : length of the soundscape.
    mixing : how.
    rng : all randomness.

    Returns
    -------
    array (samples,), float32, scaled down if it would exceed full scale; what it holds, by onset, times on the sample grid.
    """
    size, sr = round(seconds * mixing.sr), mixing.sr
    quiet = _background(background, size, sr, rng)
    quiet *= np.float32(10 ** (mixing.level / 20) / max(_rms(quiet), 1e-9))
    sound, placed = quiet.copy(), list[Placed]()
    for _ in range(rng.integers(mixing.events[0], mixing.events[1] + 1)):
        label = str(rng.choice(sorted(sources)))
        clip = sources[label][int(rng.integers(len(sources[label])))]
        source, start = _event_of(clip, mixing, rng)
        first = _place([one.event for one in placed], label, len(source), size, mixing, rng)
        snr = float(rng.uniform(*mixing.snr))
        if first is None or not len(source):
            continue
        last = min(first + len(source), size)
        source = _fade(source[: last - first], sr)
        sound[first:last] += source * np.float32(_rms(quiet[first:last]) * 10 ** (snr / 20) / max(_rms(source), 1e-9))
        placed.append(Placed(Event(first / sr, last / sr, label), clip.id, start, snr))
    return sound / max(1.0, float(np.abs(sound).max())), sorted(placed, key=lambda one: one.event)


def _event_of(clip: Clip, mixing: Mixing, rng: np.random.Generator) -> tuple[FloatArray, Seconds]:
    """Cut a stretch of drawn length out of what sounds in a clip; say where in the clip it begins."""
    sound, sr = audio.read(clip.path, sr=mixing.sr, channel=clip.channel)
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max())
    length = round(rng.uniform(*mixing.lengths) * sr)
    share = rng.random()
    if not len(loud):
        return sound[:0], 0.0
    begin, end = int(loud[0]), int(loud[-1]) + 1
    begin += int(share * max(0, end - begin - length))
    # What is drawn may begin in a pause: the event begins where it sounds.
    begin = int(loud[np.searchsorted(loud, begin)])
    inside = loud[(loud >= begin) & (loud < begin + length)]
    return sound[begin : int(inside[-1]) + 1], begin / sr


def _place(others: Sequence[Event], label: str, length: int, size: int, mixing: Mixing, rng: np.random.Generator) -> int | None:
    """Draw the first sample of an event until it neither touches one of its own label nor makes too many sound at once."""
    for _ in range(_TRIES):
        first = int(rng.integers(max(1, size - length + 1)))
        onset, offset = first / mixing.sr, min(first + length, size) / mixing.sr
        near = [one for one in others if one.onset < offset + mixing.gap and onset < one.offset + mixing.gap]
        edges = [onset, *(one.onset for one in others if onset < one.onset < offset)]
        crowd = max(sum(one.onset <= edge < one.offset for one in others) for edge in edges)
        if all(one.label != label for one in near) and crowd < mixing.overlap:
            return first
    return None


def _background(clips: Sequence[Clip], size: int, sr: Hz, rng: np.random.Generator) -> FloatArray:
    if not clips:  # brown noise above 20 Hz, 6 dB less per octave
        spectrum = np.fft.rfft(rng.standard_normal(size))
        frequency = np.fft.rfftfreq(size, 1 / sr)
        return np.fft.irfft(spectrum * (frequency >= 20) / np.maximum(frequency, 20), size).astype(np.float32)
    clip = clips[int(rng.integers(len(clips)))]
    sound, _ = audio.read(clip.path, sr=sr, channel=clip.channel)
    if not np.any(sound):
        raise DatasetError(f"{clip.path} is silent and cannot be a background; remove it")
    first = int(rng.integers(len(sound)))
    return np.take(sound, np.arange(first, first + size), mode="wrap")


def _fade(sound: FloatArray, sr: Hz) -> FloatArray:
    size = min(round(_FADE * sr), len(sound) // 4)
    ramp = np.ones(len(sound), np.float32)
    ramp[:size] = np.arange(1, size + 1) / (size + 1)
    ramp[len(sound) - size :] = ramp[:size][::-1]
    return sound * ramp


def _rms(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
