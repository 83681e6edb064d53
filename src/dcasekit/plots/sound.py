"""Pictures over time: a spectrogram with events over it, and a timeline of reference and estimate."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.plots.svg import BLUE, ORANGE, hint, name_ticks, own_axes, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOW, _RANGE, _ROWS = 512, 70.0, 96  # samples, dB, bands
_SHADE = {"facecolor": "black", "alpha": 0.45, "linewidth": 0, "pad": 1}
_KILOHERTZ_AT = (0, 1000, 2000, 4000, 8000, 16000)


def spectrogram(audio: FloatArray, sr: Hz, *, events: Iterable[Event] = (), columns: int = 320, ax: "Axes | None" = None) -> "Axes":
    """Draw a mel spectrogram from 0 Hz to sr / 2 with events over it; colours span 70 dB below the loudest point.

    Parameters
    ----------
    audio : (samples,), of any scale.
    sr : sampling rate in Hz.
    events : drawn as boxes over their time, the name of each label at a height of its own.
    columns : width of the picture, in pixels of its own.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    from matplotlib import colormaps

    ax, duration = own_axes(ax), max(len(audio), 1) / sr
    level = mel_levels(np.nan_to_num(np.asarray(audio, dtype=np.float32)), sr, columns=columns)
    high = float(_mel(sr / 2))
    colors = colormaps["magma"].resampled(64)  # a decibel each, which halves the picture in a page
    ax.imshow(level, aspect="auto", origin="lower", extent=(0, duration, 0, high), cmap=colors, vmin=0, vmax=1, interpolation="none")
    events = sorted(events)
    lanes = list(dict.fromkeys(event.label for event in events))
    for event in events:
        top = high * (0.96 - 0.11 * (lanes.index(event.label) % 8))
        span = ax.axvspan(event.onset, event.offset, color="white", alpha=0.12, linewidth=0)
        ax.plot([event.onset, event.offset], [top, top], color="white", linewidth=2, solid_capstyle="butt")
        ax.text(event.onset, top, f" {shorten(event.label)}", color="white", va="top", parse_math=False, clip_on=True, bbox=_SHADE)
        hint(span, f"{event.label} {event.onset:.2f} to {event.offset:.2f} s")
    ticks = [hz for hz in _KILOHERTZ_AT if hz <= sr / 2]
    ax.set_yticks([float(_mel(hz)) for hz in ticks], [f"{hz / 1000:g}" for hz in ticks])
    ax.set(xlim=(0, duration), ylim=(0, high), xlabel="time, s", ylabel="frequency, kHz")
    return ax


def timeline(
    reference: Iterable[Event], estimate: Iterable[Event] | None = None, *, duration: Seconds | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw events over time. Each label has the events of the reference (blue) above those of the estimate (orange).

    Parameters
    ----------
    reference, estimate : events of one clip; ``None``: there is no estimate.
    duration : duration of the clip in seconds; ``None``: until the last offset.
    ax : axes to draw on; ``None``: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes : the axes.
    """
    from matplotlib.patches import Rectangle

    ax, kinds = own_axes(ax), [("reference", BLUE, sorted(reference))]
    kinds += [] if estimate is None else [("estimate", ORANGE, sorted(estimate))]
    everything = [event for _, _, events in kinds for event in events]
    labels = list(dict.fromkeys(event.label for event in sorted(everything)))
    duration = duration or max((event.offset for event in everything), default=1.0) or 1.0
    height = 0.76 / len(kinds)
    for kind, (name, color, events) in enumerate(kinds):
        for event in events:
            corner = (event.onset, labels.index(event.label) - 0.38 + kind * height)
            length = max(min(event.offset, duration) - event.onset, 0.0)
            bar = Rectangle(corner, length, height * 0.92, facecolor=color, edgecolor=color, linewidth=0.8)  # its edge shows a point event
            hint(ax.add_patch(bar), f"{name}: {event.label} {event.onset:.2f} to {event.offset:.2f} s")
    name_ticks(ax.yaxis, labels)
    ax.set(xlim=(0, duration), ylim=(max(len(labels), 1) - 0.5, -0.5), xlabel="time, s")
    ax.tick_params(left=False, bottom=False)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return ax


def mel_levels(audio: FloatArray, sr: Hz, *, columns: int) -> NDArray[np.float64]:
    """Compute the levels (bands, columns) of a mel spectrogram, lowest band first: 1 is the loudest, 0 is 70 dB below it or less."""
    audio = np.pad(audio, (0, max(0, _WINDOW - len(audio))))
    starts = np.linspace(0, len(audio) - _WINDOW, columns).astype(int)
    frames = audio[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    bands = 700 * (10 ** (np.linspace(0, _mel(sr / 2), _ROWS) / 2595) - 1)
    bins = np.fft.rfftfreq(_WINDOW, 1 / sr)
    picture = np.array([np.interp(bands, bins, column) for column in power]).T
    level = 10 * np.log10(picture / max(picture.max(), 1e-12) + 1e-12)
    return np.clip(1 + level / _RANGE, 0, 1)


def _mel(hz: float) -> float:
    return 2595 * float(np.log10(1 + hz / 700))
