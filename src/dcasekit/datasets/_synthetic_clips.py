"""Clips as a field recorder would bring them home: a scene, some events over it, one microphone.

What is drawn here is what must not give the answer away: how many events, which, when, how loud against the background,
how loud altogether, and the colour of the recording chain. The labels are exact on the sample grid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.datasets._synthesis import EVENTS, background, event, filter_sound

# Shortest and longest event of a class, seconds.
DURATIONS: Mapping[str, tuple[Seconds, Seconds]] = {
    "alarm": (1.0, 3.5),
    "bird_song": (0.6, 3.0),
    "car_horn": (0.4, 2.0),
    "dog_bark": (0.2, 2.5),
    "door_knock": (0.4, 2.0),
    "engine": (1.5, 4.5),
    "footsteps": (1.2, 4.0),
    "hammering": (0.8, 3.0),
    "rain": (1.5, 4.5),
    "siren": (1.5, 4.5),
    "speech": (0.8, 3.5),
    "wind": (1.5, 4.5),
}
# Events that are three times as likely as others in a scene: a hint, not an answer.
LIKELY: Mapping[str, tuple[str, ...]] = {
    "metro_station": ("alarm", "speech", "footsteps"),
    "office": ("alarm", "speech", "door_knock"),
    "park": ("bird_song", "dog_bark", "wind"),
    "seaside": ("bird_song", "wind", "rain"),
    "street": ("car_horn", "engine", "siren"),
}
GAP: Seconds = 0.2  # between two events of one class, so that they stay two
EQ_POINTS = np.geomspace(60, 10000, 6)  # Hz
EQ_RANGE = 10.0  # dB, up or down
COUNTS = (0.1, 0.14, 0.18, 0.18, 0.16, 0.14, 0.1)  # probability of 0, 1 ... 6 events


@dataclass(frozen=True, slots=True)
class Soundscape:
    """A synthetic clip and the truth about it.

    Parameters
    ----------
    audio : float32 array, shape (samples,), in [-1, 1].
    events : what sounds when, by onset; spans lie on the sample grid and inside the clip.
    scene : where it is.
    """

    audio: FloatArray
    events: tuple[Event, ...]
    scene: str


def soundscape(
    scene: str,
    rng: Generator,
    *,
    duration: Seconds = 10.0,
    sr: Hz = 16000,
    max_events: int = 6,
    snr: tuple[float, float] = (-3.0, 20.0),
    device: Generator | None = None,
) -> Soundscape:
    """Make a clip of a scene with random events.

    Parameters
    ----------
    scene : a name in ``_synthesis.SCENES``.
    rng : all randomness; the same state gives the same bytes.
    duration : s.
    sr : sampling rate, Hz.
    max_events : at most this many events, of the 0 to 6 drawn; 0 gives the background alone.
    snr : range in dB of an event's level against the background, both measured over the event's span.
    device : colours the recording chain; clips made with equally seeded, fresh devices share a microphone.
        None: every clip has its own.

    Returns
    -------
    Soundscape
        ``round(duration * sr)`` samples. Two events of one class are at least 0.2 s apart; others may overlap.

    Raises
    ------
    NameNotFoundError : there is no such scene.
    """
    quiet = background(scene, rng, duration, sr)
    audio = quiet.copy()
    spans = draw_spans(scene, rng, len(audio), sr, max_events)
    for start, stop, label in spans:
        sound = event(label, rng, (stop - start) / sr, sr)
        level = _rms(quiet[start:stop]) * 10 ** (rng.uniform(*snr) / 20)
        audio[start:stop] += np.float32(level / _rms(sound)) * sound
    audio = filter_sound(audio, sr, response(device or rng))
    loudness = 10 ** (rng.uniform(-36, -14) / 20) / _rms(audio)
    audio *= np.float32(min(loudness, 0.99 / np.abs(audio).max()))
    events = tuple(Event(start / sr, stop / sr, label) for start, stop, label in spans)
    return Soundscape(audio, events, scene)


def draw_spans(scene: str, rng: Generator, samples: int, sr: Hz, max_events: int) -> list[tuple[int, int, str]]:
    """Draw ``(start, stop, label)`` in samples, by start; a draw that would touch its own class is dropped."""
    labels = list(EVENTS)
    chances = np.array([3.0 if label in LIKELY[scene] else 1.0 for label in labels])
    spans: list[tuple[int, int, str]] = []
    for _ in range(min(max_events, rng.choice(len(COUNTS), p=COUNTS))):
        label = labels[rng.choice(len(labels), p=chances / chances.sum())]
        length = min(samples, round(rng.uniform(*DURATIONS[label]) * sr))
        start = int(rng.integers(samples - length + 1))
        if all(label != other or start - GAP * sr >= end or start + length + GAP * sr <= begin for begin, end, other in spans):
            spans.append((start, start + length, label))
    return sorted(spans)


def response(device: Generator) -> Callable[[FloatArray], FloatArray]:
    """Draw the gain over frequency of a recording chain: smooth on a logarithmic scale, within `EQ_RANGE` dB."""
    decibels = device.uniform(-EQ_RANGE, EQ_RANGE, len(EQ_POINTS))

    def gain(f: FloatArray) -> FloatArray:
        smooth = np.interp(np.log(np.maximum(f, 1.0)), np.log(EQ_POINTS), decibels)
        return (10 ** (smooth / 20)).astype(np.float32)

    return gain


def _rms(x: FloatArray) -> float:
    return float(np.sqrt(np.mean(x * x))) + 1e-9
