"""The page around a report: style sheet, tables, tiles, audio players. Text in, HTML out; one file, nothing fetched."""

import base64
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio
from dcasekit.errors import AudioError
from dcasekit.report.charts import spectrogram

_RATE, _LONGEST = 16_000, 5.0  # Hz and seconds of a player's audio: some 30 kB as mp3

_NUMBER = re.compile(r"^$|^[–\-+±\d][\d.,\s%±–+\-to]*$")

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ground: #f6f7f9; --ink: #17202b; --soft: #5a6675; --line: #dfe3e8;
  --c0: #0a6ab0; --c1: #b84a00 }
@media (prefers-color-scheme: dark) { :root { --paper: #171c23; --ground: #0f1318; --ink: #e8ecf1; --soft: #a0acba;
  --line: #303944; --c0: #62b2ee; --c1: #f2a154 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
header, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 20px }
header { padding-top: 36px }
footer { padding-bottom: 48px }
section { margin: 36px 0 }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em }
h2 { font-size: 1.5rem; margin: 0 }
h3 { font-size: 1rem; margin: 0 0 10px }
p { margin: 0 0 8px; max-width: 80ch }
ul { margin: 0; padding-left: 20px; max-width: 80ch }
li { margin: 0 0 4px }
a { color: var(--c0) }
.soft, figcaption, footer { color: var(--soft); font-size: .875rem }
figcaption { margin-top: 10px }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; margin-top: 18px;
  align-items: start }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; min-width: 0;
  margin: 0 }
.wide { grid-column: 1 / -1 }
.stack { display: grid; gap: 16px; min-width: 0 }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px 40px }
.halves > * { min-width: 0 }
details.card { margin-top: 16px }
summary { cursor: pointer; font-weight: 600 }
details[open] > summary { margin-bottom: 12px }
.tiles { display: flex; flex-wrap: wrap; gap: 16px 34px; margin-top: 14px }
.tile.main { flex-basis: 100% }
.tile b { display: block; font-size: 1.25rem; line-height: 1.25; font-weight: 600 }
.tile span { color: var(--soft); font-size: .875rem }
.tile.main b { font-size: 3.2rem; line-height: 1.05; font-weight: 700; letter-spacing: -.03em; color: var(--c0) }
.scroll { overflow-x: auto }
.scroll > .chart { min-width: 520px }
table { border-collapse: collapse; font-size: .9rem; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: 5px 16px 5px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
thead th { color: var(--soft); font-weight: 600; font-size: .8rem; vertical-align: bottom }
tbody th { font-weight: 500 }
td { overflow-wrap: break-word }
tr:last-child > * { border-bottom: 0 }
.n { text-align: right; white-space: nowrap }
thead .n { white-space: normal }
.ours > * { font-weight: 700; color: var(--c0) }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 20px }
.clip img { width: 100%; height: 96px; border-radius: 6px; display: block; background: #000004 }
.clip audio { width: 100%; height: 36px; margin-top: 8px; display: block }
.clip p { margin: 8px 0 0; overflow-wrap: anywhere }
.wrong { color: var(--c1); font-weight: 600 }
.chart { width: 100%; height: auto; display: block; overflow: visible }
.chart text { font-size: 12px; fill: var(--soft) }
.chart .label, .chart .value { fill: var(--ink) }
.chart .over { fill: var(--paper) }
.chart .grid, .chart .frame { stroke: var(--line); fill: none }
.chart .whisker { stroke: var(--ink); fill: none; stroke-width: 1.5 }
.chart .t0, .chart .t1 { font-weight: 600 }
.chart .t0, .f0 { fill: var(--c0) }
.chart .t1, .f1 { fill: var(--c1) }
.f2 { fill: var(--soft); fill-opacity: .55 }
.s0 { stroke: var(--c0) }
.s1 { stroke: var(--c1) }
.strong { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
.faint { fill: none; stroke-width: 1; stroke-opacity: .4 }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
.k0 { background: var(--c0) }
.k1 { background: var(--c1) }
@media (max-width: 520px) { header, main, footer { padding-left: 12px; padding-right: 12px } .card { padding: 14px }
  .tile.main b { font-size: 2.6rem } }
@media print { .card { break-inside: avoid } audio { display: none } }
"""


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the rows. `ours` is the number of a row to set off."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    ours: int | None = None

    def markdown(self) -> str:
        """Give the table in Markdown, under its title."""
        rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (self.columns, *self.rows)]
        rows.insert(1, ["---"] * len(self.columns))
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def html(self) -> str:
        """Give the table in HTML, without its title."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        kinds = [' class="n"' if any(cells) and all(map(_NUMBER.match, cells)) else "" for cells in columns]
        head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(self.columns, kinds, strict=True))
        body = []
        for index, (first, *rest) in enumerate(self.rows):
            cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
            mark = ' class="ours"' if index == self.ours else ""
            body.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def page(title: str, head: str, body: str, foot: str) -> str:
    """Put a whole page together; the parts are HTML, the title is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1>{head}</header>\n<main>{body}</main>\n<footer>{foot}</footer></body></html>\n"
    )


def card(title: str, content: str, *, note: str = "", wide: bool = False) -> str:
    """Frame a chart or table under its title; nothing if there is no content. `content` and `note` are HTML."""
    if not content:
        return ""
    kind, below = "card wide" if wide else "card", f"<figcaption>{note}</figcaption>" if note else ""
    return f'<figure class="{kind}"><h3>{escape(title)}</h3>{content}{below}</figure>'


def folded(title: str, content: str) -> str:
    """Put content behind a line that opens it."""
    return f'<details class="card"><summary>{escape(title)}</summary>{content}</details>'


def tiles(items: Sequence[tuple[str, str]]) -> str:
    """Set facts side by side, pairs of value and caption; the first is the main one."""
    parts = [
        f'<div class="tile{"" if index else " main"}"><b>{escape(value)}</b><span>{escape(caption)}</span></div>'
        for index, (value, caption) in enumerate(items)
    ]
    return f'<div class="tiles">{"".join(parts)}</div>'


def bullets(items: Sequence[str]) -> str:
    """List lines of text."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def player(path: Path | None, name: str) -> str:
    """Show a clip's spectrogram above an audio player, both inside the page; a note where its audio cannot be read."""
    if path is None:
        return '<p class="soft">No audio file is known for this clip.</p>'
    try:
        samples, sr = audio.read(path, sr=_RATE, stop=_LONGEST)
        with tempfile.TemporaryDirectory() as folder:
            # 0.98: mp3 overshoots a little.
            loud = samples * np.float32(0.98 / max(1.0, float(np.abs(samples).max())))
            sound = audio.write(Path(folder) / "clip.mp3", loud, sr).read_bytes()
    except AudioError as problem:
        return f'<p class="soft">No player: {escape(str(problem).replace(str(path), path.name))}</p>'
    picture = _data("image/png", spectrogram(samples, sr))
    seconds = f"first {_LONGEST:g} s" if len(samples) >= _LONGEST * sr else f"{len(samples) / sr:.1f} s"
    alt = f"Spectrogram of {name}, {seconds}, 0 to {sr // 2000} kHz on a mel scale"
    return (
        f'<img src="{picture}" alt="{escape(alt)}" title="{escape(alt)}" width="320" height="96">'
        f'<audio controls preload="metadata" aria-label="{escape(name)}" src="{_data("audio/mpeg", sound)}"></audio>'
    )


def text(value: Any) -> str:
    """Write a setting's value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value)


def si(count: float) -> str:
    """Write a large number with a prefix, e.g. 12.3 M."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.1f} {prefix}"
    return f"{count:g}"


def duration(seconds: float) -> str:
    """Write a time as a person would, e.g. 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
