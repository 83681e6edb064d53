"""Arrays on disk: one packed, memory-mapped file per dataset and feature setting.

A folder holds ``settings.json``, ``index.json`` and the frames of all clips in ``frames-<hash>.npy``, (frames of all clips, dims),
float32, in the order of the clips' ids. While extraction runs, each worker appends to a pair of files of its own,
``part-*.bin`` and ``part-*.log``: bytes first, then a line that says where they are. So a kill loses at most the clip
in hand, and several processes never write to the same file. At the end the parts are packed, under a lock, into a new
frames file, and the index, which names it, is replaced last. Reading a random clip from the map takes microseconds.
"""

import hashlib
import json
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import locked, read_json, replacing, write_json
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.errors import AudioError, DcasekitError, FeatureError

_log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]


class Entry(NamedTuple):
    """Where a clip's frames lie, and the audio file they came from."""

    first: int  # in frames from the start of the packed file; in bytes for a part
    frames: int
    dims: int
    duration: Seconds
    size: int
    mtime_ns: int

    def made_from(self, stamp: tuple[int, int] | None) -> bool:
        """Whether the audio file is still the one that was read."""
        return (self.size, self.mtime_ns) == stamp


@dataclass(frozen=True)
class FeatureStore:
    """The stored feature of a dataset: knows files, not signals.

    Parameters
    ----------
    folder : where it lies.
    """

    folder: Path

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Clip id -> where its frames are."""
        return {clip: Entry(*row) for clip, row in self._index.get("clips", {}).items()}

    @property
    def skipped(self) -> Mapping[str, str]:
        """Clip id -> why it could not be treated (extracted with ``on_error="skip"``)."""
        return dict(self._index.get("skipped", {}))

    def read(self, clip: str, start: int = 0, stop: int | None = None) -> FloatArray:
        """Give frames [start, stop) of a clip as a read-only view of the file: (frames, dims).

        Raises
        ------
        FeatureError : the clip is not stored.
        """
        self.entry(clip)
        frames = self._frames
        entry = self.entry(clip)  # again: opening may have found a newer file, in which it lies elsewhere
        stop = entry.frames if stop is None else min(stop, entry.frames)
        return frames[entry.first + start : entry.first + stop]

    def entry(self, clip: str) -> Entry:
        """Give what is known about a stored clip."""
        if clip in self.entries:
            return self.entries[clip]
        why = self.skipped.get(clip)
        raise FeatureError(
            f"clip {clip!r} was skipped: {why}" if why else f"clip {clip!r} is not in {self.folder}; run features.extract(dataset)"
        )

    @cached_property
    def _index(self) -> dict[str, Any]:
        path = self.folder / "index.json"
        return dict(read_json(path, error=FeatureError)) if path.exists() else {}

    @cached_property
    def _frames(self) -> FloatArray:
        try:
            frames: FloatArray = np.load(self.folder / str(self._index["data"]), mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:  # packed anew since the index was read
            for name in ("_index", "entries"):
                self.__dict__.pop(name, None)
            frames = np.load(self.folder / str(self._index["data"]), mmap_mode="r", allow_pickle=False)
        return frames


def fill(
    store: FeatureStore,
    compute: Callable[[Path], Iterator[FloatArray]],
    clips: Sequence[Clip],
    *,
    mapper: Callable[..., Iterable[DcasekitError | None]],
    on_error: OnError,
) -> FeatureStore:
    """Compute what the store lacks and pack it.

    Parameters
    ----------
    compute : path of an audio file and ``channel`` -> consecutive blocks of frames.
    mapper : `dcasekit.core.parallel.map_clips` with its settings.
    on_error : see `FeatureExtractor.extract`.
    """
    stamps = {clip.id: _stamp(clip.path) for clip in clips}
    ready = {clip for clip, entry in store.entries.items() if entry.made_from(stamps.get(clip))}
    if stamps.keys() <= ready:
        return store
    ready |= _parts(store.folder, stamps).keys() & stamps.keys()
    missing = [clip for clip in clips if clip.id not in ready]
    skipped: dict[str, str] = {}
    first: DcasekitError | None = None
    stop = Path(_own_part(store.folder, "stop"))
    stop.unlink(missing_ok=True)
    problems = mapper(partial(_extract_clip, compute=compute, folder=store.folder, stop=str(stop)), missing)
    for clip, problem in zip(missing, problems, strict=True):
        if problem is None:
            continue
        if on_error == "raise":
            # Workers pass over what is left; to break off here could leave joblib's processes waiting for ever.
            first = first or problem
            stop.touch()
        else:
            skipped[clip.id] = str(problem)
            _log.warning("skipped %s: %s", clip.id, problem)
    stop.unlink(missing_ok=True)
    if first is not None:
        raise first
    with locked(store.folder):
        _pack(store.folder, stamps, skipped)
    if skipped:
        _log.warning("%d of %d clips were skipped", len(skipped), len(clips))
    return FeatureStore(store.folder)


def _extract_clip(clip: Clip, *, compute: Callable[..., Iterator[FloatArray]], folder: Path, stop: str) -> DcasekitError | None:
    """Compute one clip and append it to this worker's part, unless `stop` exists; give back what went wrong, if anything did."""
    if os.path.exists(stop):
        return None
    try:
        stamp = _stamp(clip.path)
        duration = audio.info(clip.path).duration
        # The matrices are small: BLAS threads would only wait for each other and for the other workers.
        with _tuned_process().limit(limits=1, user_api="blas"), locked(folder, shared=True):
            _append(folder, clip.id, compute(clip.path, channel=clip.channel), duration, stamp or (0, 0))
    except (AudioError, FeatureError) as error:
        return error
    return None


@cache
def _tuned_process() -> Any:
    """Prepare this process for many small arrays; give control over its BLAS, which takes as long to find as a clip to treat."""
    from threadpoolctl import ThreadpoolController

    # Once it has freed a block of nearly 32 MB, glibc's malloc keeps memory of that size instead of handing it back to the system after
    # every clip and fetching it again page by page. Measured: twice as many clips per second. Elsewhere it does nothing.
    np.empty(31 << 20, np.uint8)
    return ThreadpoolController()


def _append(folder: Path, clip: str, blocks: Iterable[FloatArray], duration: Seconds, stamp: tuple[int, int]) -> None:
    frames = dims = 0
    with open(_own_part(folder, "bin"), "ab") as file:
        first = file.tell()
        for block in blocks:
            if not np.isfinite(block).all():
                raise FeatureError(f"clip {clip!r}: the feature is not finite at frame {frames}; give its logarithm a floor")
            file.write(np.ascontiguousarray(block, dtype=np.float32).data)
            frames, dims = frames + len(block), block.shape[1]
    # A line that a kill tore is followed by this newline, so it spoils no other.
    line = json.dumps([clip, *Entry(first, frames, dims, duration, *stamp)])
    with open(_own_part(folder, "log"), "ab") as file:
        file.write(f"\n{line}\n".encode())


def _own_part(folder: Path, suffix: str) -> str:
    """Name a file that no other worker writes to."""
    return f"{folder}{os.sep}part-{platform.node()}-{os.getpid()}-{threading.get_ident()}.{suffix}"


def _parts(folder: Path, stamps: Mapping[str, tuple[int, int] | None]) -> dict[str, tuple[Path, Entry]]:
    """Read what workers have finished: clip id -> (file, entry), without what was made from audio that has changed since."""
    found = {}
    for log in sorted(folder.glob("part-*.log")):
        data = log.with_suffix(".bin")
        size = data.stat().st_size if data.exists() else 0
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                clip, *row = json.loads(line)
                entry = Entry(*row)
            except (ValueError, TypeError):
                continue  # empty, or torn by a kill
            whole = entry.first + 4 * entry.frames * entry.dims <= size
            if whole and entry.made_from(stamps.get(clip, entry[-2:])):
                found[clip] = (data, entry)
    return found


def _pack(folder: Path, stamps: Mapping[str, tuple[int, int] | None], skipped: Mapping[str, str]) -> None:
    """Join the packed file and the parts into a new packed file; the index goes last."""
    old = FeatureStore(folder)
    parts = _parts(folder, stamps)
    kept = {clip: entry for clip, entry in old.entries.items() if clip not in parts and clip not in skipped}
    order = sorted(kept.keys() | parts.keys())
    entries, total = {}, 0
    for clip in order:
        entry = parts[clip][1] if clip in parts else kept[clip]
        entries[clip] = entry._replace(first=total)
        total += entry.frames
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:16]
    name = f"frames-{digest}.npy"
    if order:
        dims = next(iter(entries.values())).dims
        # Bytes, because a kill may have left a part that does not hold whole numbers of four bytes.
        maps = {path: np.memmap(path, np.uint8, mode="r") for path in {path for path, _ in parts.values()}}
        with replacing(folder / name) as temporary, temporary.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (total, dims)}
            np.lib.format.write_array_header_1_0(file, header)
            for clip in order:
                if clip in parts:
                    path, entry = parts[clip]
                    file.write(maps[path][entry.first : entry.first + 4 * entry.frames * dims].data)
                else:
                    file.write(np.ascontiguousarray(old.read(clip)).data)
            file.flush()
            os.fsync(file.fileno())
        del maps
    still = {clip: why for clip, why in {**old.skipped, **skipped}.items() if clip not in entries}
    write_json(folder / "index.json", {"data": name, "clips": entries, "skipped": still})
    for path in [*folder.glob("part-*"), *folder.glob("frames-*.npy")]:
        if path.name != name:
            path.unlink(missing_ok=True)


def _stamp(path: PathLike) -> tuple[int, int] | None:
    """Size and modification time of a file; None if it cannot be looked at (reading it will say why)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
