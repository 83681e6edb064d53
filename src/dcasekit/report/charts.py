"""Charts as SVG text and spectrograms as PNG bytes: pure functions, numbers in, picture out.

Colours are classes of the page's style sheet (``f0``, ``s0``, ``t0``: fill, stroke, text in blue; ``f1`` ... in orange), so one
picture serves light and dark. A chart's title is its accessible name; small marks explain themselves when pointed at.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import Event
from dcasekit.core.units import FloatArray, Hz

_CHARACTER = 6.4  # pixels, mean width of a character at font size 12
_LONGEST = 26  # characters of a label; the middle of a longer one is cut, and shown when pointed at

# Nine colours of "magma" (S. van der Walt, N. Smith, CC0): evenly spaced in lightness, good for the colour-blind.
_MAGMA = "000004 1c1044 4f127b 812581 b5367a e55964 fb8761 fec287 fcfdbf"


@dataclass(frozen=True)
class Line:
    """One line of a chart: points (x, y), the number of its colour; a faint one gets no label."""

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar: a share in [0, 1] or NaN, the text at its end, and an interval to draw over it."""

    label: str
    value: float
    text: str
    color: int = 0
    interval: tuple[float, float] | None = None


def percent(value: float) -> str:
    """Write a share as a percentage; NaN as a dash.

    >>> percent(0.8125), percent(float("nan"))
    ('81.2 %', '–')
    """
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def ticks(high: float, count: int = 4) -> list[float]:
    """Give about `count` round numbers from 0, the last one not below `high`.

    >>> ticks(0.93)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not high > 0:
        return [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(high / count))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor * count >= high * 0.999)
    return [round(step * index, 12) for index in range(math.ceil(high * 0.999 / step) + 1)]


def line_chart(lines: Sequence[Line], *, title: str, x: str) -> str:
    """Draw lines over a common horizontal axis; the vertical axis begins at 0."""
    width, height, left, right, top, bottom = 420, 230, 40, 84, 12, 26
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    if not points:
        return ""
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    levels = ticks(max(p[1] for p in points))

    def at(px: float, py: float) -> tuple[float, float]:
        across = (px - first) / (last - first) if last > first else 1.0  # one point: beside its name
        return left + across * (width - left - right), top + (1 - max(py, 0) / levels[-1]) * (height - top - bottom)

    parts = []
    for level in levels:
        y = at(first, level)[1]
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - right}"/>')
        parts.append(_text(left - 8, y + 4, f"{level:g}", anchor="end"))
    below = height - bottom + 18
    parts += [_text(at(end, 0)[0], below, f"{end:g}", anchor="middle") for end in dict.fromkeys((first, last))]
    parts.append(_text((left + width - right) / 2, below, x, anchor="middle"))
    ends = []
    for line in sorted(lines, key=lambda line: not line.faint):
        shown = [at(*point) for point in line.points if math.isfinite(point[1])]
        path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in shown) + "h0"  # so that a single point is a dot
        kind = "faint" if line.faint else "strong"
        if shown:
            parts.append(f'<path class="{kind} s{line.color}" d="{path}"><title>{escape(line.name)}</title></path>')
        if shown and not line.faint:
            ends.append((shown[-1][1], line))
    parts += _end_labels(ends, width - right + 8)
    return _svg(width, height, title, parts)


def bar_chart(bars: Sequence[Bar], *, title: str) -> str:
    """Draw horizontal bars of shares, each with its label before it and its value behind it."""
    row, gutter = 24, _gutter([bar.label for bar in bars])
    width, room = 420, 420 - gutter - 62
    parts = [f'<path class="grid" d="M{gutter} 0V{row * len(bars)}"/>']
    for index, bar in enumerate(bars):
        y, value = index * row, 0.0 if math.isnan(bar.value) else min(max(bar.value, 0.0), 1.0)
        high = value
        mark = f'<rect class="f{bar.color}" x="{gutter}" y="{y + 4}" width="{value * room:.1f}" height="{row - 8}" rx="2"/>'
        if bar.interval and not math.isnan(bar.interval[0]):
            high = max(value, bar.interval[1])
            x0, x1 = (gutter + share * room for share in bar.interval)
            mark += f'<path class="whisker" d="M{x0:.1f} {y + row / 2}H{x1:.1f}M{x0:.1f} {y + 8}v8M{x1:.1f} {y + 8}v8"/>'
        parts.append(f"<g><title>{escape(bar.label)}: {escape(bar.text)}</title>{mark}</g>")
        parts.append(_label(gutter - 8, y + row / 2 + 4, bar.label))
        parts.append(_text(gutter + high * room + 6, y + row / 2 + 4, bar.text, kind="value"))
    return _svg(width, row * len(bars), title, parts)


def heat_map(counts: NDArray[np.int64], labels: Sequence[str], *, title: str) -> str:
    """Draw a confusion matrix: rows true, columns predicted, shaded by the share of the row, with counts.

    What is right is blue, what is confused is orange.
    """
    cell = max(14, min(38, (620 if len(labels) <= 16 else 900) // len(labels)))
    size, gutter = min(12, cell - 3), _gutter(labels)
    head, turn = (gutter * 0.75 + 22, -45) if cell > 20 else (gutter + 22, -90)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [_text(gutter - 8, head - 8, "true ↓", anchor="end"), _text(gutter, 12, "predicted →")]
    for index, label in enumerate(labels):
        x, y = gutter + (index + 0.6) * cell, head + (index + 0.5) * cell + size / 3
        parts.append(_label(gutter - 8, y, label, size=size))
        turned = f'<text style="font-size:{size}px" transform="translate({x:.1f} {head - 6:.1f}) rotate({turn})">'
        parts.append(f"{turned}{escape(_cut(label))}</text>")
    for row, column in np.argwhere(counts).tolist():
        share, n = shares[row, column], counts[row, column]
        x, y = gutter + column * cell, head + row * cell
        parts.append(
            f"<g><title>true {escape(labels[row])}, predicted {escape(labels[column])}: {n} ({percent(share)})</title>"
            f'<rect class="f{int(row != column)}" x="{x:.1f}" y="{y:.1f}" width="{cell - 1}" height="{cell - 1}" '
            f'fill-opacity="{0.1 + 0.9 * share:.2f}"/>'
            f'<text class="{"over" if share > 0.5 else "value"}" style="font-size:{min(size, 0.62 * cell):.0f}px" x="{x + cell / 2:.1f}" '
            f'y="{y + cell / 2 + size / 3:.1f}" text-anchor="middle">{n}</text></g>'
        )
    edge = len(labels) * cell
    parts.append(f'<rect class="frame" x="{gutter:.1f}" y="{head:.1f}" width="{edge}" height="{edge}"/>')
    return _svg(gutter + edge + head * 0.75, head + edge + 2, title, parts)


def timeline(reference: Sequence[Event], estimate: Sequence[Event], *, duration: float, title: str) -> str:
    """Draw events over time, two bars per label: above the reference (blue), below the estimate (orange)."""
    labels = list(dict.fromkeys(event.label for event in sorted((*reference, *estimate))))
    row, gutter, width, top = 30, _gutter(labels), 420, 4
    room, base = width - gutter - 12, top + row * max(len(labels), 1)
    parts = []
    for second in ticks(duration):
        if second <= duration:
            x = gutter + room * second / duration
            parts.append(f'<path class="grid" d="M{x:.1f} {top}V{base}"/>')
            parts.append(_text(x, base + 16, f"{second:g} s", anchor="middle"))
    for index, label in enumerate(labels):
        parts.append(_label(gutter - 8, top + index * row + row / 2 + 4, label))
    for color, (name, events) in enumerate((("reference", reference), ("estimate", estimate))):
        for event in events:
            x, y = gutter + room * event.onset / duration, top + labels.index(event.label) * row + 4 + 11 * color
            end = gutter + room * min(event.offset, duration) / duration
            text = f"{name}: {event.label} {event.onset:.2f} to {event.offset:.2f} s"
            parts.append(
                f'<rect class="f{color}" x="{x:.1f}" y="{y}" width="{max(end - x, 1.5):.1f}" height="10" rx="2">'
                f"<title>{escape(text)}</title></rect>"
            )
    return _svg(width, base + 22, title, parts)


def spectrogram(audio: FloatArray, sr: Hz, *, columns: int = 320, rows: int = 96) -> bytes:
    """Draw a spectrogram, mel-spaced from 0 Hz (below) to sr / 2 over 70 dB, as a PNG of columns x rows pixels.

    Parameters
    ----------
    audio : (samples,), any scale, at least one sample.
    """
    window = 512
    audio = np.pad(audio, (0, max(0, window - len(audio))))
    starts = np.linspace(0, len(audio) - window, columns).astype(int)
    frames = audio[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + sr / 2 / 700), rows)
    wanted = 700 * (10 ** (mel / 2595) - 1)
    bins = np.fft.rfftfreq(window, 1 / sr)
    picture = np.array([np.interp(wanted, bins, column) for column in power]).T[::-1]
    level = 10 * np.log10(picture / max(picture.max(), 1e-12) + 1e-12)
    return _png((np.clip(1 + level / 70, 0, 1) * 255).astype(np.uint8))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (rows, columns) of indices into the colour map."""
    anchors = np.frombuffer(bytes.fromhex(_MAGMA), dtype=np.uint8).reshape(-1, 3)
    at = np.linspace(0, len(anchors) - 1, 256)
    palette = np.stack([np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T], axis=1).round()
    height, width = pixels.shape
    raw = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each row begins with filter type 0
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    body = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width * 1.15:.0f}px"'
    return f'<svg class="chart" {size} role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _label(x: float, y: float, label: str, *, size: int = 12) -> str:
    """Write a row's label, ending at x, cut if it is long."""
    full = f"<title>{escape(label)}</title>" if len(label) > _LONGEST else ""
    place = f'x="{x:.1f}" y="{y:.1f}" style="font-size:{size}px"'
    return f'<text class="label" {place} text-anchor="end">{full}{escape(_cut(label))}</text>'


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[:16]}…{label[-9:]}"


def _gutter(labels: Sequence[str]) -> float:
    """Give the pixels that the longest label needs before the marks."""
    return 16 + _CHARACTER * max((len(_cut(label)) for label in labels), default=0)


def _end_labels(ends: Sequence[tuple[float, Line]], x: float) -> list[str]:
    """Name lines at their end, moved apart where they would overlap."""
    parts, free = [], -math.inf
    for y, line in sorted(ends, key=lambda end: end[0]):
        free = max(y + 4, free)
        parts.append(f'<text class="t{line.color}" x="{x:.1f}" y="{free:.1f}">{escape(line.name)}</text>')
        free += 15
    return parts
