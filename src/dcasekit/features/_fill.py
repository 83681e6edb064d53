"""How a feature store is filled: by workers, interrupted or not, and packed.

While extraction runs, each worker appends to a pair of files of its own, ``part-*.bin`` and ``part-*.log``: bytes first, then a line that
says where they are. So a kill loses at most the clip in hand, and several processes never write to the same file. At the end the parts are
packed, under a lock, into a new frames file, and the index, which names it, is replaced last. Small files are joined with what is new,
large ones stay as they are: a clip more does not rewrite the store.
"""

import hashlib
import json
import logging
import os
import platform
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import check_place, place, replacing, sweep, temporary_name, writing
from dcasekit.core.locks import lock
from dcasekit.core.memory import reuse_memory
from dcasekit.core.origin import Origin, origin, recognize
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.errors import DcasekitError, FeatureError, MissingExtraError, StorageError
from dcasekit.features._store import INDEX, KIND, Entry, FeatureStore, Index, read_index

_log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]

# Frames files of fewer bytes than this are joined with what is new: writing so little again costs less than one more file.
_SMALL = 16 << 20


def fill(
    store: FeatureStore,
    compute: Callable[..., Iterator[FloatArray]],
    clips: Sequence[Clip],
    *,
    mapper: Callable[..., Iterable[DcasekitError | None]],
    on_error: OnError,
) -> FeatureStore:
    """Compute the frames of all clips that the store lacks, pack them, and return the store opened anew.

    Parameters
    ----------
    store : the store to fill.
    clips : all clips that it shall hold.
    compute : path of an audio file and ``channel`` -> consecutive blocks of frames.
    mapper : `dcasekit.core.parallel.map_clips` with its settings.
    on_error : see `FeatureExtractor.extract`.
    """
    index, lost = read_index(store.folder)
    for name, wrong in lost.items():
        if name == INDEX:  # it may be another program's; one that can be read bears our checksum
            check_place(store.folder, INDEX, kind=KIND)
        _log.warning("%s %s; its clips are computed again", store.folder / name, wrong)
    ready = _still_right(index.without(lost).entries, clips)
    if len(ready) == len(clips):
        if any(ready[clip.id] is not index.entries[clip.id] for clip in clips):
            _renew(store.folder, ready)
        if any(store.folder.glob("part-*")):  # a kill came between the index and their removal
            with suppress(StorageError), lock(store.folder):
                _pack(store.folder, clips, {})
        return FeatureStore(store.folder)
    sweep(store.folder)
    with lock(store.folder, shared=True):
        parts = _still_right(_parts(store.folder), clips)
    missing = [clip for clip in clips if clip.id not in ready and clip.id not in parts]
    skipped = _compute(missing, compute, store.folder, mapper=mapper, on_error=on_error)
    with lock(store.folder):
        _pack(store.folder, clips, skipped)
    if skipped:
        _log.warning("%d of %d clips were skipped", len(skipped), len(clips))
    return FeatureStore(store.folder)


def is_filled(store: FeatureStore, clips: Sequence[Clip]) -> bool:
    """Tell whether the frames of every clip are stored and packed, and computed from the audio as it is now."""
    index, lost = read_index(store.folder)
    return len(_still_right(index.without(lost).entries, clips)) == len(clips)


def _compute(
    clips: Sequence[Clip],
    compute: Callable[..., Iterator[FloatArray]],
    folder: Path,
    *,
    mapper: Callable[..., Iterable[DcasekitError | None]],
    on_error: OnError,
) -> dict[str, str]:
    """Let workers compute clips; return those that could not be, and why."""
    skipped: dict[str, str] = {}
    first: DcasekitError | None = None
    # Named as a temporary file, so that what a killed run leaves is swept.
    stop = folder / temporary_name(".stop")
    work = partial(_extract_clip, compute=compute, folder=folder, stop=str(stop), skip=on_error == "skip")
    try:
        for clip, problem in zip(clips, mapper(work, clips), strict=True):
            if problem is None:
                continue
            if on_error == "raise" or isinstance(problem, StorageError | MissingExtraError):  # which are no fault of the clip's
                # Workers pass over what is left; to break off here could leave joblib's processes waiting for ever.
                first = first or problem
                with suppress(OSError):
                    stop.touch()
            else:
                skipped[clip.id] = str(problem)
                _log.warning("skipped %s: %s", clip.id, problem)
    finally:
        with suppress(OSError):
            stop.unlink(missing_ok=True)
    if first is not None:
        raise first
    return skipped


def _extract_clip(clip: Clip, *, compute: Callable[..., Iterator[FloatArray]], folder: Path, stop: str, skip: bool) -> DcasekitError | None:
    """Compute one clip and append it to this worker's part, unless `stop` exists; return what went wrong, if anything did."""
    if os.path.exists(stop):
        return None
    try:
        duration, made_of = audio.info(clip.path).duration, origin(clip.path)
        # The matrices are small: BLAS threads would only wait for each other and for the other workers.
        with _tuned_process().limit(limits=1, user_api="blas"), lock(folder, shared=True):
            _append(folder, clip, compute(clip.path, channel=clip.channel), duration, made_of)
    except DcasekitError as error:
        return error
    except Exception as error:
        if not skip:
            raise
        return FeatureError(f"{clip.path}: {type(error).__name__}: {error}")
    return None


@cache
def _tuned_process() -> Any:
    """Prepare this process for many small arrays; return control over its BLAS, which takes as long to find as a clip to treat."""
    from threadpoolctl import ThreadpoolController

    reuse_memory()
    return ThreadpoolController()


def _append(folder: Path, clip: Clip, blocks: Iterable[FloatArray], duration: Seconds, made_of: Origin) -> None:
    path = _own_part(folder)
    with writing(path), open(path, "ab") as file:
        first, frames, dims = file.tell(), 0, 0
        for block in blocks:
            if frames and block.shape[1] != dims:
                raise FeatureError(
                    f"{clip.path}: the feature gives {dims} values per frame first, then {block.shape[1]}; fix its compute_blocks"
                )
            file.write(np.ascontiguousarray(block, dtype=np.float32).data)
            frames, dims = frames + len(block), block.shape[1]
    line = json.dumps([clip.id, *Entry(path, first, frames, dims, duration, clip.channel, made_of).row()])
    log = f"{path.removesuffix('.bin')}.log"
    # A line that a kill tore is followed by this newline, so it spoils no other.
    with writing(log), open(log, "ab") as file:
        file.write(f"\n{line}\n".encode())


def _own_part(folder: Path) -> str:
    """Name a file that no other worker writes to."""
    return f"{folder}{os.sep}part-{platform.node()}-{os.getpid()}-{threading.get_ident()}.bin"


def _parts(folder: Path) -> dict[str, Entry]:
    """Read what workers have finished: clip id -> entry, its file being the whole path of a part."""
    found: dict[str, Entry] = {}
    for log in sorted(folder.glob("part-*.log")):
        data = log.with_suffix(".bin")
        size = data.stat().st_size if data.exists() else 0
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                clip, *row = json.loads(line)
                entry = Entry.from_row(str(data), row)
                whole, before = entry.first + 4 * entry.frames * entry.dims <= size, found.get(clip)
            except (ValueError, TypeError, AttributeError, RecursionError, MemoryError):
                continue  # empty, or torn by a kill
            if whole and (before is None or before.origin.mtime_ns <= entry.origin.mtime_ns):
                found[clip] = entry
    return found


def _still_right(entries: Mapping[str, Entry], clips: Iterable[Clip]) -> dict[str, Entry]:
    """Return the entries of those clips whose audio is still what was read, its times as they are now."""
    found = {}
    for clip in clips:
        entry = entries.get(clip.id)
        if entry is not None and entry.channel == clip.channel and (now := recognize(clip.path, entry.origin)):
            found[clip.id] = entry if now is entry.origin else entry._replace(origin=now)
    return found


def _renew(folder: Path, ready: Mapping[str, Entry]) -> None:
    """Note the times of files that were moved or copied, so that their content need not be looked at again."""
    with suppress(StorageError), lock(folder):  # where nothing may be written, it is looked at again
        index, lost = read_index(folder)
        same = {clip: entry for clip, entry in ready.items() if index.entries.get(clip, entry)._replace(origin=entry.origin) == entry}
        Index(index.sizes, {**index.entries, **same}, index.skipped).without(lost).write(folder)


def _pack(folder: Path, clips: Sequence[Clip], skipped: Mapping[str, str]) -> None:
    """Join the parts, and the packed files that are small or half empty, into a new packed file; the index goes last."""
    index, lost = read_index(folder)
    own = {clip.id for clip in clips}
    packed, parts = index.without(lost).entries, _parts(folder)
    # Clips of another dataset that shares the folder are its own to judge.
    right = _still_right(packed, clips)
    kept = {clip: entry for clip, entry in packed.items() if clip not in own} | right
    # A part bears no checksum: what is packed and right is not replaced by what a killed run left.
    fresh = {clip: entry for clip, entry in parts.items() if clip not in own} | _still_right(parts, clips)
    fresh = {clip: entry for clip, entry in fresh.items() if clip not in right}
    kept = {clip: entry for clip, entry in kept.items() if clip not in fresh and clip not in skipped}
    sizes = {name: size for name, size in index.sizes.items() if name not in lost}
    joined = _worth_joining(sizes, kept.values(), sum(4 * entry.frames * entry.dims for entry in fresh.values()))
    sizes = {name: size for name, size in sizes.items() if name not in joined}
    moving = fresh | {clip: entry for clip, entry in kept.items() if entry.file in joined}
    if moving:
        name, written = _write_frames(folder, moving, known=index.sizes)
        kept, sizes[name] = kept | written, os.stat(folder / name).st_size
    still = {clip: why for clip, why in {**index.skipped, **skipped}.items() if clip not in kept}
    Index(sizes, kept, still).write(folder)
    for path in [*folder.glob("part-*.bin"), *folder.glob("part-*.log"), *folder.glob("frames-*.npy")]:
        if path.name not in sizes:
            path.unlink(missing_ok=True)


def _worth_joining(sizes: Mapping[str, int], entries: Iterable[Entry], new: int) -> set[str]:
    """Choose the packed files to write anew: those more than half empty, and those smaller than what is joined already.

    So a byte is written again only when its file has grown by half or more: some ten times until a store has a terabyte.
    """
    live = Counter[str]()
    for entry in entries:
        live[entry.file] += 4 * entry.frames * entry.dims
    chosen = set()
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        if 2 * live[name] < sizes[name] or (new and sizes[name] <= max(_SMALL, 2 * new)):
            chosen.add(name)
            new += live[name]
    return chosen


def _write_frames(folder: Path, moving: Mapping[str, Entry], *, known: Container[str]) -> tuple[str, dict[str, Entry]]:
    """Write the frames of some clips, in the order of their ids, to one file; return its name and the new entries.

    A file of that name is replaced if the store knows it.
    """
    dims = next(iter(moving.values())).dims
    if other := next((clip for clip, entry in moving.items() if entry.dims != dims), None):
        raise FeatureError(
            f"clip {other!r} has {moving[other].dims} values per frame, others have {dims}; fix the feature's compute_blocks"
        )
    facts = [[clip, entry.frames, dims, entry.channel, entry.origin.digest] for clip, entry in sorted(moving.items())]
    name = f"frames-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.npy"
    old = FeatureStore(folder)
    # Bytes, because a kill may have left a part that does not hold whole numbers of four bytes.
    maps = {path: np.memmap(path, np.uint8, mode="r") for path in {entry.file for entry in moving.values()} if os.sep in path}
    written, total = {}, 0
    path = folder / name if name in known else place(folder, name, kind=KIND)
    with replacing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (sum(entry.frames for entry in moving.values()), dims)}
        np.lib.format.write_array_header_1_0(file, header)
        for clip, entry in sorted(moving.items()):
            if entry.file in maps:
                file.write(maps[entry.file][entry.first : entry.first + 4 * entry.frames * dims].data)
            else:
                file.write(np.ascontiguousarray(old.read(clip)).data)
            written[clip] = entry._replace(file=name, first=total)
            total += entry.frames
        file.flush()
        os.fsync(file.fileno())
    return name, written
