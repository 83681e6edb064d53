"""Sound as it comes: from a pipe, a file that grows, or a microphone, and what a model says of it at once."""

import math
import os
import queue
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from dcasekit.annotations import TIME_TOLERANCE, Event
from dcasekit.cli.outputs import event_cells
from dcasekit.containers.base import ModelContainer
from dcasekit.containers.streaming import Stream, restart_at
from dcasekit.core.files import format_rows, read_json, write_json
from dcasekit.core.units import FloatArray, Hz, Seconds
from dcasekit.errors import AudioError, MissingExtraError, StorageError
from dcasekit.scores import PerLabel, Scores
from dcasekit.scores.postprocessing import drop_short
from dcasekit.scores.running import RunningEvents

# Name -> how the numbers lie, bytes, full scale.
PCM = {"s16": ("<i2", 2, 2.0**15), "s24": ("<i3", 3, 2.0**31), "s32": ("<i4", 4, 2.0**31), "f32": ("<f4", 4, 1.0)}
_COLUMNS = ("onset", "offset", "event_label", "score")
_ONCE: Seconds = 0.5  # of audio that is taken at a time, at most
_PAUSE: Seconds = 0.1  # between looks at a file that does not grow
_NOTED: Seconds = 1.0  # between notes of how far it is


@dataclass(frozen=True)
class Pcm:
    """How raw samples lie: rate, channels, and a kind of `PCM`."""

    sr: Hz
    channels: int = 1
    kind: str = "s16"
    start: int = 0  # bytes before the first sample

    @property
    def frame(self) -> int:
        """Bytes of a sample of all channels."""
        return PCM[self.kind][1] * self.channels

    def decode(self, content: bytes) -> FloatArray:
        """Return samples (samples, channels), full scale at 1."""
        dtype, width, scale = PCM[self.kind]
        if width == 3:
            wide = np.zeros((len(content) // 3, 4), "u1")
            wide[:, 1:] = np.frombuffer(content, "u1").reshape(-1, 3)
            numbers: Any = wide.reshape(-1).view("<i4")
        else:
            numbers = np.frombuffer(content, dtype)
        return (numbers * np.float32(1 / scale)).astype(np.float32).reshape(-1, self.channels)


def read_head(path: Path) -> Pcm | None:
    """Find out how the samples of a wav lie, however much of it is written yet; ``None``: it is no wav.

    Raises
    ------
    AudioError : it is a wav of another kind.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    position, form = 12, b""
    while position + 8 <= len(head):
        name, size = head[position : position + 4], struct.unpack_from("<I", head, position + 4)[0]
        if name == b"fmt ":
            form = head[position + 8 : position + 8 + size]
        if name == b"data" and len(form) >= 16:
            code, channels, sr, _, _, bits = struct.unpack_from("<HHIIHH", form)
            code = struct.unpack_from("<H", form, 24)[0] if code == 0xFFFE and len(form) >= 26 else code
            kind = {(1, 16): "s16", (1, 24): "s24", (1, 32): "s32", (3, 32): "f32"}.get((code, bits))
            if kind is None or not channels or not sr:
                raise AudioError(f"{path} is a wav of {bits} bits (format {code}); expected PCM of 16, 24 or 32 bits, or float")
            return Pcm(sr, channels, kind, position + 8)
        position += 8 + size + size % 2
    raise AudioError(f"{path} has no samples yet, or its header is damaged; begin when the recorder has written some")


def from_pipe(handle: int, pcm: Pcm) -> Iterator[FloatArray]:
    """Read samples from a pipe as they come, until it ends."""
    rest = b""
    while content := os.read(handle, max(pcm.frame, round(_ONCE * pcm.sr) * pcm.frame)):
        content = rest + content
        whole = len(content) // pcm.frame * pcm.frame
        rest = content[whole:]
        if whole:
            yield pcm.decode(content[:whole])


def from_file(path: Path, pcm: Pcm, first: int, *, idle: Seconds | None) -> Iterator[FloatArray]:
    """Read samples from a file as it grows, from the `first` on; the end is when it has not grown for so long (``None``: never)."""
    size, waited = round(_ONCE * pcm.sr) * pcm.frame, 0.0
    with path.open("rb", buffering=0) as file:
        position = pcm.start + first * pcm.frame
        while idle is None or waited <= idle:
            file.seek(position)
            content = file.read(size)
            whole = len(content) // pcm.frame * pcm.frame
            if whole:
                position, waited = position + whole, 0.0
                yield pcm.decode(content[:whole])
            else:
                yield np.zeros((0, pcm.channels), np.float32)
                time.sleep(_PAUSE)
                waited += _PAUSE


def from_microphone(name: str, pcm: Pcm) -> Iterator[FloatArray]:
    """Record until interrupted.

    Raises
    ------
    MissingExtraError : sounddevice is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio is missing
        raise MissingExtraError("sounddevice", "live") from error
    chunks: queue.SimpleQueue[FloatArray] = queue.SimpleQueue()

    def keep(sound: FloatArray, *_: Any) -> None:
        chunks.put(sound.copy())

    device: Any = int(name) if name.isdigit() else name or None
    with sounddevice.InputStream(samplerate=pcm.sr, channels=pcm.channels, dtype="float32", device=device, callback=keep):
        while True:
            yield chunks.get()


class Now(NamedTuple):
    """What is known at a moment: seconds that have come, level and peak in dB of full scale, scores and events, and seconds of delay."""

    seconds: Seconds
    level: float
    peak: float
    scores: dict[str, float]
    going_on: dict[str, Seconds]
    latency: Seconds


@dataclass
class Watcher:
    """Events of sound that comes in chunks, each appended to a file when it is over; killed, it goes on where it was.

    Parameters
    ----------
    model : that answers.
    sr : Hz of the chunks.
    threshold, min_duration : of events.
    out : table of events that is appended to; ``None``: none. Beside it lies what is needed to go on.
    budget : seconds within which a sound should be answered for.
    tell : is given the cells of each event.
    """

    model: ModelContainer
    sr: Hz
    threshold: PerLabel = 0.5
    min_duration: Seconds = 0.0
    out: Path | None = None
    budget: Seconds = math.inf
    tell: Callable[[tuple[str, ...]], None] = lambda cells: None  # noqa: ARG005
    latencies: list[int] = field(default_factory=lambda: [0] * 2000)  # how many answers came within so many hundredths of a second
    late: int = 0

    def __post_init__(self) -> None:
        self._running, self._known = RunningEvents(self.threshold), set[tuple[str, ...]]()
        self._since, self._noted = 0.0, 0.0
        self.first = 0

    def resume(self, source: str) -> int:
        """Find out where to go on; return the number of the first sample that is to be sent."""
        if self.out is None:
            return 0
        self._state = self.out.with_name(f".{self.out.name}.json")
        if self.out.exists() and self._state.exists():
            before = read_json(self._state, error=StorageError)
            if before.get("source") != source:
                raise StorageError(f"{self.out} holds the events of {before.get('source')}, not of {source}; give another --out")
            rows = [tuple(line.split("\t")) for line in self.out.read_text(encoding="utf-8").split("\n")[1:-1]]
            self._since = float(before["since"])
            self._known = {row[:3] for row in rows if len(row) == len(_COLUMNS) and float(row[1]) > self._since - 1}
            self.first = restart_at(self.model, self.sr, self._since)
        elif self.out.exists():
            raise StorageError(f"{self.out} exists, and does not say how far it goes; move it, or give another --out")
        self._source = source
        return self.first

    def run(self, chunks: Iterator[FloatArray], *, over: bool = True) -> Iterator[Now]:
        """Answer chunks; yield what is known after each.

        Parameters
        ----------
        over : whether the end of the chunks is the end of the sound; else its last events may go on another time.
        """
        stream = Stream(self.model, sr=self.sr, first=self.first)
        with _appending(self.out) as file:
            self._note(force=True)
            scores: dict[str, float] = {}
            for chunk in chunks:
                began, latency = time.perf_counter(), 0.0
                for part in stream.add(chunk) if len(chunk) else ():
                    scores = self._take(part, file) or scores
                    latency = stream.seconds - float(part.edges[-1]) + time.perf_counter() - began
                    self.latencies[min(int(latency * 100), len(self.latencies) - 1)] += 1
                    self.late += latency > self.budget
                self._note()
                yield Now(stream.seconds, *_levels(chunk), scores, self._running.going_on, latency)
            if over:
                for part in stream.finish():
                    self._take(part, file)
                for event in self._running.finish():
                    self._write(event, file)
            self._note(force=True)

    def latency(self, share: float) -> Seconds:
        """Tell within how many seconds this share of the answers came."""
        counts = np.cumsum(self.latencies)
        return float(np.searchsorted(counts, share * counts[-1]) + 1) / 100 if counts[-1] else math.nan

    def _take(self, part: Scores, file: IO[str] | None) -> dict[str, float]:
        """Take scores from where the last run was sure on."""
        fresh = part.edges[:-1] >= self._since - TIME_TOLERANCE
        if not fresh.any():
            return {}
        begin = int(fresh.argmax())
        part = Scores(part.values[begin:], part.edges[begin:], part.labels)
        for event in self._running.add(part):
            self._write(event, file)
        return dict(zip(part.labels, part.values[-1].tolist(), strict=True))

    def _write(self, event: Event, file: IO[str] | None) -> None:
        if not drop_short([event], seconds=self.min_duration):
            return
        cells = event_cells(event)
        if cells[:3] in self._known:  # written before the last run ended
            return
        self.tell(cells)
        if file is not None:
            file.write(format_rows([cells]))
            file.flush()

    def _note(self, *, force: bool = False) -> None:
        """Note from where on events are not written yet."""
        if self.out is None or (not force and time.monotonic() - self._noted < _NOTED):
            return
        self._noted = time.monotonic()
        since = max(self._since, min(self._running.going_on.values(), default=self._running.now))
        write_json(self._state, {"source": self._source, "since": since})


@contextmanager
def _appending(out: Path | None) -> Iterator[IO[str] | None]:
    """Open a table to append to, behind its last whole line."""
    if out is None:
        yield None
        return
    with out.open("a+", encoding="utf-8", newline="") as file:
        content = out.read_bytes()
        file.truncate(content.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        if not content.count(b"\n"):
            file.write(format_rows([_COLUMNS]))
            file.flush()
        yield file


def _levels(chunk: FloatArray) -> tuple[float, float]:
    """Return level and peak of a chunk in dB of full scale."""
    if not len(chunk):
        return -120.0, -120.0
    power, peak = float(np.mean(np.square(chunk))), float(np.abs(chunk).max())
    return 10 * math.log10(max(power, 1e-12)), 20 * math.log10(max(peak, 1e-6))
