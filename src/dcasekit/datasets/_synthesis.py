"""Sounds made from nothing: the events and backgrounds of the embedded data set, so that it needs no download.

A few primitives (noise, tone, ringing modes, rhythm) are composed into one short function per class. Classes of one
family share their spectra on purpose and differ in how they move: a siren glides, an alarm is gated, a horn is held;
a hammer, a step and a knock keep different time; the scenes differ in the texture of their background, not its colour.

Every sound is a function of ``(rng, duration, sr)`` and of nothing else: the same generator state, the same bytes.
Inside, a dry sound is ``f(rng, n, sr)`` with ``n`` samples; lengths and times are in seconds where not said otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import NameNotFoundError

Array = NDArray[Any]
Sound = Callable[[Generator, Seconds, Hz], FloatArray]
DrySound = Callable[[Generator, int, Hz], Array]

VOWELS = np.array([(300, 870, 2240), (270, 2290, 3010), (730, 1090, 2440), (530, 1840, 2480), (660, 1720, 2410)])
LOOP = 2**16  # samples, 3 to 4 s: longer than any texture one hears repeat in noise
FADE: Seconds = 0.004  # every event starts and ends at zero without a click


def band(f: Array, low: float, high: float, tilt: float = 0.0) -> FloatArray:
    """Gain of a smooth band-pass from `low` to `high` Hz, falling by `tilt` dB per octave inside."""
    f = np.maximum(f, 1.0)
    below, above = np.square(low / f), np.square(f / high)
    return np.asarray((f / low) ** (-tilt / 6.02) / np.sqrt((1 + below * below) * (1 + above * above)), np.float32)


def bells(f: Array, centres: Array, width: float) -> FloatArray:
    """Gain of resonances at `centres` Hz, each `width` times its centre wide, weaker as they go up."""
    gain = np.zeros(len(f), np.float32)
    for centre in centres:
        gain += centres[0] / centre / (1 + np.square((f - centre) / (width * centre)))
    return gain


def frequencies(n: int, sr: Hz) -> FloatArray:
    """Frequencies in Hz of the bins of a real spectrum of `n` samples."""
    return np.arange(n // 2 + 1, dtype=np.float32) * np.float32(sr / n)


def filter_sound(x: Array, sr: Hz, gain: Callable[[Array], Array]) -> FloatArray:
    """Apply the zero-phase gain ``gain(f)`` to a sound."""
    size = fft.next_fast_len(len(x) + sr // 20, real=True)
    y: FloatArray = fft.irfft(fft.rfft(x, size) * gain(frequencies(size, sr)), size)
    return y[: len(x)]


def noise(rng: Generator, n: int, sr: Hz, low: float, high: float, tilt: float = 0.0) -> FloatArray:
    """Band-passed noise of unit level, drawn as a spectrum: a seamless loop, which longer sounds repeat to save time."""
    size = fft.next_fast_len(min(n, LOOP), real=True)
    gain = band(frequencies(size, sr), low, high, tilt)
    spectrum = rng.standard_normal(2 * len(gain), dtype=np.float32).view(np.complex64) * gain
    return np.resize(unit(fft.irfft(spectrum, size)), n)


def unit(x: Array) -> FloatArray:
    """Scale to a root mean square of one."""
    return np.asarray(x / (np.sqrt(np.mean(x * x)) + 1e-9), np.float32)


def limit_peak(x: Array) -> FloatArray:
    """Scale to a peak just below one."""
    return np.asarray(x * (0.99 / (np.abs(x).max() + 1e-9)), np.float32)


def drift(rng: Generator, n: int, sr: Hz, rate: float) -> FloatArray:
    """Random curve in [0, 1] that turns about `rate` times a second."""
    knots = rng.random(2 + round(n / sr * rate))
    return np.asarray(np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots), np.float32)


def timbre(rng: Generator, count: int, slope: float) -> Array:
    """Amplitudes of `count` partials, ``k ** -slope`` with some luck."""
    return np.arange(1.0, count + 1) ** -slope * rng.uniform(0.3, 1, count)


def tone(track: Array, partials: Array, sr: Hz) -> FloatArray:
    """Periodic wave with the given partials whose fundamental follows `track` Hz, by table look-up."""
    size = 4096
    partials = partials[: max(1, int(0.45 * sr / track.max()))]
    table: FloatArray = fft.irfft(np.append(0, -1j * partials).astype(np.complex64) * (size / 2), size)
    cycles = np.cumsum(track, dtype=np.float64) / sr
    return table[(cycles * size).astype(np.int64) % size]


def ring(rng: Generator, length: Seconds, sr: Hz, modes: Array, *, hardness: float) -> FloatArray:
    """Something struck: `modes` Hz dying away within `length`, after a click of noise of level `hardness`."""
    t = np.arange(max(1, round(length * sr)), dtype=np.float32) / sr
    speed = rng.uniform(3, 7, len(modes)) * np.sqrt(modes / modes.min())
    speed[0] = 3.0  # one mode stays audible until the end, so that the label's offset is heard
    gains = rng.uniform(0.3, 1, len(modes))
    waves = np.exp(-t * speed[:, None] / length) * np.sin(2 * np.pi * modes[:, None] * t)
    click = rng.standard_normal(len(t)) * np.exp(-t / 0.004)
    return np.asarray(gains @ waves + hardness * click, np.float32)


def hump(length: Seconds, sr: Hz, skew: float = 1.0) -> FloatArray:
    """Envelope that rises and falls once; `skew` above 1 rises late, below 1 early."""
    u = np.linspace(0, 1, max(2, round(length * sr)), dtype=np.float32)
    return np.asarray(np.sqrt(np.sin(np.pi * u**skew).clip(0)), np.float32)


def rhythm(
    rng: Generator, duration: Seconds, length: Seconds, rate: float, group: int = 1, pause: Seconds = 0, jitter: float = 0
) -> tuple[Array, Seconds]:
    """Onsets of hits of one `length`, the first starting and the last ending with `duration`, in groups with pauses.

    The second value is the length to use: where only one hit fits, it lasts all along.
    """
    steps = 1 / rate + pause * (np.arange(1, 2 + int(duration * rate)) % group == 0)
    times = np.cumsum(np.append(0, steps * rng.uniform(1 - jitter, 1 + jitter, len(steps))))
    room = duration - length
    times = times[times <= room + 0.5 / rate]
    if room <= 0 or len(times) < 2:
        return np.zeros(1), duration
    return times * (room / times[-1]), length


def hits(rng: Generator, n: int, sr: Hz, times: Array, kinds: Sequence[Array], spread: float = 3.0) -> FloatArray:
    """`n` samples with sounds of some kinds, taken in turn, starting at `times`, of random strengths within `spread` dB."""
    out = np.zeros(n, np.float32)
    for i, (time, level) in enumerate(zip(times, rng.uniform(-spread, 0, len(times)), strict=True)):
        start = min(n, max(0, round(time * sr)))
        sound = kinds[i % len(kinds)][: n - start]
        out[start : start + len(sound)] += np.float32(10 ** (level / 20)) * sound
    return out


def record(dry: DrySound) -> Sound:
    """Turn a dry sound into one heard from a distance, in a room, exactly `duration` long and with a peak of at most 1."""

    @wraps(dry)
    def sound(rng: Generator, duration: Seconds, sr: Hz) -> FloatArray:
        n = round(duration * sr)
        tail = np.exp(-np.arange(sr // 3) / (sr * rng.uniform(0.01, 0.08))).astype(np.float32)
        tail *= rng.standard_normal(len(tail), dtype=np.float32)
        tail *= rng.uniform(0, 0.5) / np.linalg.norm(tail)
        tail[0] += 1
        size = fft.next_fast_len(n + len(tail), real=True)
        distance = band(frequencies(size, sr), 40, rng.uniform(2000, 12000), rng.uniform(-1, 2))
        x = fft.irfft(fft.rfft(dry(rng, n, sr), size) * fft.rfft(tail, size) * distance, size)[:n]
        ramp = np.arange(n, dtype=np.float32) / (FADE * sr)
        return limit_peak(x * np.minimum(1, np.minimum(ramp, ramp[::-1])))

    return sound


def siren(rng: Generator, n: int, sr: Hz) -> Array:
    """Glide slowly (wail), glide fast (yelp) or jump between two notes (hi-lo)."""
    t = np.arange(n) / sr
    kind = rng.integers(3)
    rate = rng.uniform(*((0.25, 0.7), (2.5, 5.5), (0.6, 1.2))[kind])
    turn = (t * rate + rng.random()) % 1
    peak = rng.uniform(0.3, 0.7)  # where in its period the glide turns
    sweep = np.minimum(turn / peak, (1 - turn) / (1 - peak)) if kind < 2 else (turn < 0.5)
    track = rng.uniform(400, 1000) * rng.uniform(1.3, 2.2) ** sweep
    return tone(track, timbre(rng, 10, rng.uniform(0.8, 2)), sr)


def alarm(rng: Generator, n: int, sr: Hz) -> Array:
    """Beep at a fixed pitch: evenly, in groups, or on two pitches in turn."""
    rate, group, pause = rng.uniform(1.5, 7), int(rng.integers(1, 5)), rng.uniform(0.15, 0.5)
    times, length = rhythm(rng, n / sr, rng.uniform(0.35, 0.7) / rate, rate, group, pause if group > 1 else 0)
    pitches = rng.uniform(500, 2800) * np.array([1.0, rng.choice([1.0, 1.0, 0.8, 1.25])])
    partials = timbre(rng, 8, rng.uniform(0.8, 2.5))
    gate = hump(length, sr) ** 0.2
    return hits(rng, n, sr, times, [gate * tone(np.full(len(gate), p), partials, sr) for p in pitches], 0)


def car_horn(rng: Generator, n: int, sr: Hz) -> Array:
    """Hold one or two notes, once or a few times, each swelling into its pitch."""
    rate = rng.uniform(0.5, 1.6)
    times, length = rhythm(rng, n / sr, rng.uniform(0.6, 0.9) / rate, rate, jitter=0.3)
    rise = 1 - 0.06 * np.exp(-np.arange(max(2, round(length * sr))) / (0.02 * sr))
    notes = rng.uniform(320, 1000) * np.array([1.0, rng.uniform(1.15, 1.35)])[: rng.integers(1, 3)]
    honk = sum(tone(rise * note, timbre(rng, 16, rng.uniform(0.5, 1.3)), sr) for note in notes)
    return hits(rng, n, sr, times, [np.asarray(honk)])


def dog_bark(rng: Generator, n: int, sr: Hz) -> Array:
    """Bark once or in groups: a hoarse arch of pitch through the formants of a muzzle."""
    length, group, pause = rng.uniform(0.12, 0.28), int(rng.integers(1, 5)), rng.uniform(0.1, 0.6)
    times, length = rhythm(rng, n / sr, length, rng.uniform(0.5, 0.8) / length, group, pause, jitter=0.15)
    pitch, muzzle, partials = rng.uniform(180, 600), rng.uniform(450, 1000), timbre(rng, 24, 0.4)
    formants = muzzle * np.array([1.0, 2.3])

    def bark() -> Array:
        envelope = hump(length, sr, rng.uniform(0.35, 0.6))
        voice = tone(pitch * rng.uniform(0.9, 1.1) * (0.7 + 0.6 * envelope), partials, sr)
        hoarse = voice + rng.uniform(0.2, 1.0) * rng.standard_normal(len(voice), dtype=np.float32)
        return envelope * filter_sound(hoarse, sr, lambda f: bells(f, formants, 0.25))

    return hits(rng, n, sr, times, [bark(), bark(), bark()])


def engine(rng: Generator, n: int, sr: Hz) -> Array:
    """Idle or rev: a dense comb of harmonics at the firing rate, uneven from cylinder to cylinder."""
    cylinders = int(rng.integers(3, 7))
    rev = rng.choice([0.1, 1.2])  # octaves
    track = rng.uniform(18, 55) * 2 ** (rev * drift(rng, n, sr, rng.uniform(0.5, 1.5)))
    partials = timbre(rng, 60 * cylinders, rng.uniform(0.5, 0.9))
    partials[np.arange(1, len(partials) + 1) % cylinders > 0] *= rng.uniform(0.1, 0.5)  # all cylinders nearly alike
    pulse = tone(track / cylinders, partials, sr)
    pipes = rng.uniform(80, 900, 3)
    body = filter_sound(pulse, sr, lambda f: 0.2 + bells(f, pipes, 0.4))
    exhaust = noise(rng, n, sr, 60, rng.uniform(600, 3000), 4) * np.abs(unit(pulse))
    return unit(body) + rng.uniform(0.2, 0.8) * exhaust


def hammering(rng: Generator, n: int, sr: Hz) -> Array:
    """Strike evenly, hard and bright."""
    times, length = rhythm(rng, n / sr, rng.uniform(0.08, 0.2), rng.uniform(2.0, 4.5), jitter=0.05)
    modes = np.sort(rng.uniform(250, 4000, rng.integers(4, 9)))
    return hits(rng, n, sr, times, [ring(rng, length, sr, modes, hardness=rng.uniform(0.5, 2))])


def footsteps(rng: Generator, n: int, sr: Hz) -> Array:
    """Walk: heel, then sole, left and right a little different, unhurried."""
    times, length = rhythm(rng, n / sr, rng.uniform(0.14, 0.24), rng.uniform(1.4, 2.4), jitter=0.06)
    ground = rng.uniform(800, 5000)

    def step() -> Array:
        heel = ring(rng, length, sr, rng.uniform(70, 400, 3), hardness=rng.uniform(0.3, 1))
        sole = noise(rng, len(heel), sr, 150, ground, 3) * hump(length, sr, rng.uniform(0.9, 1.6)) ** 3
        return heel + rng.uniform(0.3, 0.8) * sole

    return hits(rng, n, sr, times, [step(), step()])


def door_knock(rng: Generator, n: int, sr: Hz) -> Array:
    """Knock quickly a few times, wait, knock again."""
    length, group, pause = rng.uniform(0.06, 0.12), int(rng.integers(2, 6)), rng.uniform(0.3, 0.7)
    times, length = rhythm(rng, n / sr, length, rng.uniform(4, 8), group, pause, jitter=0.1)
    modes = np.sort(rng.uniform(150, 2000, rng.integers(4, 8)))
    return hits(rng, n, sr, times, [ring(rng, length, sr, modes, hardness=rng.uniform(0.2, 1)) for _ in range(2)])


def bird_song(rng: Generator, n: int, sr: Hz) -> Array:
    """Repeat a short motif of chirps: upward, downward, arched or trilled."""
    length, motif, pause = rng.uniform(0.05, 0.22), int(rng.integers(1, 4)), rng.uniform(0, 0.4)
    times, length = rhythm(rng, n / sr, length, rng.uniform(0.5, 0.9) / length, motif, pause, jitter=0.05)
    pitch, depth = rng.uniform(1800, 4500), rng.uniform(0.2, 0.7)
    return hits(rng, n, sr, times, [chirp(rng, length, sr, pitch, depth) for _ in range(motif)], 6)


def chirp(rng: Generator, length: Seconds, sr: Hz, pitch: float, depth: float) -> Array:
    """One note of a bird, gliding or trilling over `depth` octaves from about `pitch` Hz."""
    envelope = hump(length, sr, rng.uniform(0.7, 1.4))
    u = np.linspace(0, 1, len(envelope))
    trill = 0.5 - 0.5 * np.cos(2 * np.pi * u * length * rng.uniform(15, 40))
    course = (u, 1 - u, np.sin(np.pi * u), trill)[rng.integers(4)]
    return envelope * tone(pitch * rng.uniform(0.8, 1.2) * 2 ** (depth * course), timbre(rng, 3, 2), sr)


def rain(rng: Generator, n: int, sr: Hz) -> Array:
    """Pour: uncountable drops over a hiss, swelling a little."""
    density = 10 ** rng.uniform(1.8, 3.2)  # drops per second
    strengths = (rng.random(n, dtype=np.float32) < density / sr) * rng.standard_exponential(n, dtype=np.float32)
    low, high = rng.uniform(500, 5000) * np.array([1.0, rng.uniform(1.5, 4)])
    drops = unit(filter_sound(strengths, sr, lambda f: band(f, low, high)))
    hiss = rng.uniform(0.3, 1) * noise(rng, n, sr, rng.uniform(150, 1500), 9000, rng.uniform(0, 4))
    return (0.6 + 0.4 * drift(rng, n, sr, 0.5)) * (drops + hiss)


def wind(rng: Generator, n: int, sr: Hz) -> Array:
    """Blow in gusts: louder is brighter, and now and then it whistles."""
    gust = 0.3 + 0.7 * drift(rng, n, sr, rng.uniform(1, 3)) ** 2
    low = rng.uniform(60, 300)
    dark = noise(rng, n, sr, low, 3 * low, 4)
    bright = noise(rng, n, sr, 2 * low, rng.uniform(2000, 8000), rng.uniform(2, 5))
    flutter = np.sqrt(np.abs(noise(rng, n, sr, 2, 15)))
    whistle = tone(rng.uniform(300, 900) * 2**gust * (1 + 0.01 * flutter), np.ones(1, np.float32), sr)
    return gust * dark + gust**3 * (1.5 * bright + rng.uniform(0, 0.7) * flutter * whistle)


def speech(rng: Generator, n: int, sr: Hz) -> Array:
    """Babble: syllables of moving pitch and random vowels, some opened by a consonant."""
    rate, group, pause = rng.uniform(3, 6), int(rng.integers(3, 9)), rng.uniform(0, 0.4)
    times, length = rhythm(rng, n / sr, rng.uniform(0.7, 1) / rate, rate, group, pause, jitter=0.2)
    pitch, size, source = rng.uniform(90, 250), rng.uniform(0.9, 1.2), timbre(rng, 40, 0.7)

    def syllable() -> Array:
        envelope = hump(length, sr, rng.uniform(0.5, 1.1))
        glide = np.linspace(0, rng.uniform(-0.4, 0.25), len(envelope))
        vowel = size * rng.choice(VOWELS)
        voice = tone(pitch * rng.uniform(0.85, 1.2) * 2**glide, source, sr)
        opening = noise(rng, len(voice), sr, 2000, 7000) * hump(length, sr, 0.3) ** 8
        return envelope * unit(filter_sound(voice, sr, lambda f: bells(f, vowel, 0.1))) + 0.5 * rng.integers(3) * opening

    return hits(rng, n, sr, times, [syllable() for _ in range(8)], 6)


def clatter(rng: Generator, sr: Hz) -> Array:
    """One small hard thing hitting another; the same for every scene that ticks or clacks."""
    modes = np.sort(rng.uniform(200, 5000, 5))
    return ring(rng, rng.uniform(0.03, 0.12), sr, modes, hardness=rng.uniform(0.5, 2))


def rush(rng: Generator, n: int, sr: Hz, low_swell: Array, high_swell: Array) -> FloatArray:
    """Noise whose low and high parts follow two swells in [0, 1]; the same for every scene that swells."""
    low = rng.uniform(100, 500)
    high_part = noise(rng, n, sr, 2 * low, rng.uniform(3000, 8000), 3)
    return unit(low_swell * noise(rng, n, sr, low, 4 * low, 2) + high_swell * high_part)


def park(rng: Generator, n: int, sr: Hz) -> Array:
    """Leaves rustling in irregular bursts, a twig snapping now and then."""
    rustle = drift(rng, n, sr, rng.uniform(3, 8)) ** 2
    snaps = rng.uniform(0, n / sr, rng.poisson(2 * n / sr))
    twigs = hits(rng, n, sr, snaps, [clatter(rng, sr), clatter(rng, sr)], 12)
    return rush(rng, n, sr, rustle, rustle**2) + rng.uniform(0.3, 1) * unit(twigs)


def street(rng: Generator, n: int, sr: Hz) -> Array:
    """Vehicles passing: each comes as slowly as it goes, and is brightest when near."""
    t = np.arange(n, dtype=np.float32) / sr
    swell = np.zeros(n, np.float32)
    for nearest in np.arange(-rng.uniform(0, 1.5), n / sr, rng.uniform(1.2, 2.5)).tolist():
        away = (t - nearest - rng.uniform(-0.3, 0.3)) / rng.uniform(0.15, 0.5)
        swell += rng.uniform(0.4, 1) / (1 + np.square(away))
    return rush(rng, n, sr, swell, swell**2)


def office(rng: Generator, n: int, sr: Hz) -> Array:
    """Ventilation and mains hum, steady; typing in hurried, uneven bouts."""
    group, pause = int(rng.integers(5, 16)), rng.uniform(0.3, 1.2)
    times, _ = rhythm(rng, n / sr, 0.1, rng.uniform(6, 11), group, pause, jitter=0.5)
    hum = tone(np.full(n, rng.choice([50.0, 60.0])), timbre(rng, 12, 0.5), sr)
    air = noise(rng, n, sr, rng.uniform(100, 500), rng.uniform(2000, 8000), 2)
    return unit(hits(rng, n, sr, times, [clatter(rng, sr) for _ in range(4)], 12)) + air + 0.5 * unit(hum)


def metro_station(rng: Generator, n: int, sr: Hz) -> Array:
    """Train on its rails: pairs of clacks in strict time over a rumble."""
    first = np.arange(rng.uniform(0, 0.5), n / sr, rng.uniform(0.4, 1.0))
    times = np.sort(np.append(first, first + rng.uniform(0.1, 0.16)))
    clack = clatter(rng, sr)
    rumble = 0.5 + 0.5 * drift(rng, n, sr, 1)
    return unit(hits(rng, n, sr, times, [clack, 0.8 * clack])) + rush(rng, n, sr, rumble, rumble**2)


def seaside(rng: Generator, n: int, sr: Hz) -> Array:
    """Waves: each breaks at once, then draws back with a hiss of foam."""
    t = np.arange(n, dtype=np.float32) / sr
    low, high, period = np.zeros(n, np.float32), np.zeros(n, np.float32), rng.uniform(1.2, 3)
    for crash in np.arange(-rng.uniform(0, period), n / sr, period).tolist():
        since = (t - crash) / period + rng.uniform(-0.1, 0.1)
        size = rng.uniform(0.4, 1)
        low += size * np.exp(np.minimum(15 * since, -6 * since))
        high += size * np.exp(np.minimum(25 * since, -3 * since))
    return rush(rng, n, sr, low, high)


def lay_over_noise(texture: DrySound) -> Sound:
    """Lay the texture of a scene over a noise floor that is drawn alike for all scenes, so that its colour tells nothing."""

    @wraps(texture)
    def sound(rng: Generator, duration: Seconds, sr: Hz) -> FloatArray:
        n = round(duration * sr)
        floor = noise(rng, n, sr, rng.uniform(30, 200), rng.uniform(1500, 8000), rng.uniform(2, 9))
        x = floor + 10 ** rng.uniform(-0.05, 0.6) * unit(texture(rng, n, sr))
        return limit_peak(x * (0.8 + 0.4 * drift(rng, n, sr, 0.5)))

    return sound


EVENTS: Mapping[str, Sound] = {
    f.__name__: record(f)
    for f in (alarm, bird_song, car_horn, dog_bark, door_knock, engine, footsteps, hammering, rain, siren, speech, wind)
}
SCENES: Mapping[str, Sound] = {f.__name__: lay_over_noise(f) for f in (metro_station, office, park, seaside, street)}


def event(label: str, rng: Generator, duration: Seconds, sr: Hz) -> FloatArray:
    """Sound of class `label` that fills `duration` seconds: ``round(duration * sr)`` samples, peak at most 1."""
    return _look_up(EVENTS, label)(rng, duration, sr)


def background(scene: str, rng: Generator, duration: Seconds, sr: Hz) -> FloatArray:
    """Texture of a `scene` without events, as long and as loud as an `event`."""
    return _look_up(SCENES, scene)(rng, duration, sr)


def _look_up(sounds: Mapping[str, Sound], name: str) -> Sound:
    if name not in sounds:
        raise NameNotFoundError(f"no synthetic sound is named {name!r}; known: {', '.join(sounds)}")
    return sounds[name]
