"""A dataset plus transformed copies of its clips: is a dataset itself."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.annotations import Clip, Correction, Event, events_to_tags, present
from dcasekit.augmentations.base import Augmentation
from dcasekit.core import discover
from dcasekit.core.files import inside, place, read_json, write_json
from dcasekit.core.locks import lock
from dcasekit.core.origin import Origin, origin, recognize
from dcasekit.core.parallel import Backend, map_clips, total_size
from dcasekit.core.units import PathLike
from dcasekit.datasets._hold_out import Balance
from dcasekit.datasets._labels import Choice
from dcasekit.datasets._protocols import Split
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import AnnotationError, DatasetError

_KIND = "augmented audio"

# Parts and folds by whose clips something is chosen or reported: originals only.
_HELD_OUT = ("val", "validate", "validation", "test")


class AugmentedDataset(Dataset):
    """A dataset with the clips of another one, followed by a transformed copy of each clip for each augmentation; `process` writes them.

    A copy has the fold and group of the clip that it was made from, its parent, and events at the times at which they are heard in the
    copy. Its id is ``<parent's id>@<folder>``, and its ``extra`` also holds ``parent``, the id of the original, and ``augmentation``.
    Copies are for training: `split` puts none into validation or test. An augmented dataset can be augmented again; then there are copies
    of copies.

    A copy has its parent's tags, changed where its events require it. A label is removed if no event of it is left, as after a crop; a
    label is added if a recording that was mixed in has events of it, and its tag is their largest weight; if only events of smaller weight
    are left, the tag becomes as small. If the parent's events are unknown, tags are only added. Unknown tags and events stay unknown. In
    a classification dataset a copy keeps the class of its parent, and no label is added.

    Parameters
    ----------
    dataset : the dataset to augment.
    augmentations : objects, or dicts as in the DCASE-models paper, e.g. ``{"type": "pitch_shift", "n_semitones": -1}``. A random one
        that is listed twice gives two different copies.
    seed : of all random numbers, at least 0. A copy depends on it, on the augmentation and on its parent's id alone, and so not on the
        order and number of clips, augmentations and jobs.
    cache : folder for the copies and all that is computed from them; ``None``: that of `dataset`.

    Raises
    ------
    DatasetError : the seed is no such number, or an augmentation cannot be made from its dict.

    Examples
    --------
    >>> from dcasekit.datasets import ESC50
    >>> AugmentedDataset(ESC50("/data/ESC-50"), [{"type": "pitch_shift", "n_semitones": -1}])
    AugmentedDataset(ESC50('/data/ESC-50'), [PitchShift(n_semitones=-1.0, engine='builtin')])
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentations: Sequence[Augmentation | Mapping[str, Any]],
        *,
        seed: int = 0,
        cache: PathLike | None = None,
    ) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise DatasetError(f"seed must be an int of at least 0; got {seed!r}")
        super().__init__(dataset.root, cache=dataset.cache if cache is None else cache)
        self._own_cache = cache is not None
        for fact in ("task", "labels", "label_sets", "folds", "protocol", "archives", "flatten", "licence", "citation"):
            setattr(self, fact, getattr(dataset, fact))
        self.dataset, self.seed = dataset, seed
        self.augmentations = tuple(a if isinstance(a, Augmentation) else Augmentation.from_dict(a) for a in augmentations)

    def __repr__(self) -> str:
        return f"AugmentedDataset({self.dataset!r}, {list(self.augmentations)})"

    @property
    def name(self) -> str:
        """Name of the dataset that is augmented."""
        return self.dataset.name

    @property
    def folders(self) -> dict[str, Augmentation]:
        """Name of the folder of copies in ``<derived>/augmented`` -> augmentation, in the order given.

        The name is the augmentation's fingerprint, followed by whatever else makes copies differ: a seed other than 0, the number of the
        repetition if it is listed again, and a hash of the labels if they were chosen or corrected.
        """
        chosen = f"labels{_number(self.variant) % 16**8:08x}" if self.variant else ""
        seen: Counter[str] = Counter()
        found = {}
        for augmentation in self.augmentations:
            seen[augmentation.fingerprint] += 1
            again = seen[augmentation.fingerprint]
            parts = [augmentation.fingerprint, f"seed{self.seed}" if self.seed else "", str(again) if again > 1 else "", chosen]
            found["-".join(part for part in parts if part)] = augmentation
        return found

    def load(self) -> Iterable[Clip]:
        """Yield the dataset's clips, then the copies.

        Raises
        ------
        DatasetError : copies are missing, or the labels of their clips, or dcasekit's records of them, were changed since they were made.
        """
        yield from self.dataset.clips
        for name in self.folders:
            yield from self._copies(name)

    def process(
        self, *, jobs: int | None = None, backend: Backend = "processes", address: str | None = None, progress: bool = False
    ) -> None:
        """Write the copies that are missing, or whose original's audio or labels have changed, to ``augmented`` in the folder `derived`.

        Each copy is a 16-bit wav file, scaled down if it would exceed full scale, and a JSON file with its labels, the parameters that were
        drawn, and what it was made from. When all copies of an augmentation are there, ``complete.json`` is written. If it is interrupted,
        the next call resumes it; several processes may call it at once. If `dataset` is itself augmented, it is processed first.

        Parameters
        ----------
        jobs, backend, address : see `dcasekit.core.parallel.map_clips`; a cluster gets the clips in shards of up to 1,000.
        progress : show a progress bar for each augmentation.

        Raises
        ------
        AudioError : a clip cannot be read.
        StorageError : a copy cannot be written, or would replace a file that dcasekit did not write.
        """
        if isinstance(self.dataset, AugmentedDataset):
            self.dataset.process(jobs=jobs, backend=backend, address=address, progress=progress)
        clips = self.dataset.clips
        size = total_size(clip.path for clip in clips)
        for name, augmentation in self.folders.items():
            folder = self._folder(name)
            work = partial(_write_copy, folder=folder, augmentation=augmentation, seed=self.seed, task=self.task)
            bar = f"Augmenting {self.name}: {name}" if progress else None
            made = map_clips(work, clips, jobs=jobs, backend=backend, address=address, size=size, progress=bar)
            records = {clip.id: record for clip, record in zip(clips, made, strict=True)}
            settings = {"type": discover.address(type(augmentation)), **augmentation.settings}
            with lock(folder):  # datasets that share a cache, as ESC-10 and ESC-50 may, share the folder: add to what is listed
                listed = {**_read_records(folder), **records}
                write_json(place(folder, "complete.json", kind=_KIND), {"augmentation": settings, "seed": self.seed, "copies": listed})
        self._forget()

    def split(self, fold: str | None = None, *, validation: bool = True) -> Split:
        """Split as the dataset does; the copies of a training clip go with it, all others are left out.

        The parameters are those of `Dataset.split`.
        """
        return self._with_copies(self.dataset.split(fold, validation=validation))

    def validation_split(
        self, amount: float = 0.3, *, balance: Balance | None = "identifier", seed: int = 0, fold: str | None = None, attempts: int = 100
    ) -> Split:
        """Split as the dataset does; the copies of a training clip go with it, all others are left out.

        The parameters are those of `Dataset.validation_split`.
        """
        return self._with_copies(self.dataset.validation_split(amount, balance=balance, seed=seed, fold=fold, attempts=attempts))

    def select(self, folds: Sequence[str]) -> tuple[Clip, ...]:
        """Return the clips of some folds or parts, as `Dataset.select`; from validation and test parts, originals only."""
        chosen: list[Clip] = []
        for fold in folds:
            clips = super().select([fold])
            chosen += (clip for clip in clips if fold not in _HELD_OUT or "parent" not in clip.extra)
        return tuple(chosen)

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Download the dataset that is augmented."""
        self._forget()
        return self.dataset.download(force=force, progress=progress)

    def check_if_downloaded(self) -> bool:
        """Tell whether the dataset that is augmented is marked as complete."""
        return self.dataset.check_if_downloaded()

    def set_as_downloaded(self) -> None:
        """Mark the dataset that is augmented as complete."""
        self.dataset.set_as_downloaded()

    def with_labels(self, labels: Choice) -> "AugmentedDataset":
        """Choose labels of the dataset, as `Dataset.with_labels`, then augment it; call `process` to make its copies anew."""
        cache = self.cache if self._own_cache else None
        return AugmentedDataset(self.dataset.with_labels(labels), self.augmentations, seed=self.seed, cache=cache)

    def with_corrections(self, corrections: PathLike | Sequence[Correction]) -> "AugmentedDataset":
        """Correct the labels of clips, as `Dataset.with_corrections`, then augment the dataset; call `process` to make its copies anew."""
        cache = self.cache if self._own_cache else None
        return AugmentedDataset(self.dataset.with_corrections(corrections), self.augmentations, seed=self.seed, cache=cache)

    @property
    def corrected(self) -> int:
        """Number of clips of the dataset whose labels were corrected."""
        return self.dataset.corrected

    @property
    def variant(self) -> str:
        """What tells chosen or corrected labels apart, see `Dataset.variant`: that of the dataset that is augmented."""
        return self.dataset.variant

    def _with_copies(self, parts: Split) -> Split:
        own = {clip.id: clip for clip in self.clips}
        train = {clip.id for clip in parts.train}
        copies = (clip for clip in self.clips if clip.id not in train and clip.extra.get("parent") in train)
        return Split(
            train=(*(own[clip.id] for clip in parts.train), *copies),
            validation=tuple(own[clip.id] for clip in parts.validation),
            test=tuple(own[clip.id] for clip in parts.test),
        )

    def _list_shared(self) -> Iterable[Path]:
        """Return what the wrapped dataset's folders hold of another dataset."""
        return self.dataset._list_shared()  # noqa: SLF001 - a dataset asks a dataset

    @property
    def _home(self) -> Path:
        return super()._home if self._own_cache else self.dataset.derived

    def _folder(self, name: str) -> Path:
        return inside(self._home, f"augmented/{name}")

    def _copies(self, name: str) -> Iterator[Clip]:
        folder = self._folder(name)
        listed = _read_records(folder)
        for clip in self.dataset.clips:
            record = listed.get(clip.id)
            if record is None or record["source"]["labels"] != _labels(clip, self.task):
                why = "is missing" if record is None else "was made before the annotations changed"
                raise DatasetError(f"the copy of clip {clip.id!r} in {folder} {why}; call process() on the AugmentedDataset")
            parent = clip.extra.get("parent", clip.id)
            before = clip.extra.get("augmentation")
            yield replace(
                clip,
                id=f"{clip.id}@{name}",
                path=folder / f"{clip.id}.wav",
                channel=None,
                duration=record["duration"],
                group=clip.group or parent,  # a clip without a group is one of its own: its copies belong to it
                tags=record["tags"],
                events=_events(record),
                extra={**clip.extra, "parent": parent, "augmentation": f"{before}@{name}" if before else name},
            )


def _write_copy(clip: Clip, *, folder: Path, augmentation: Augmentation, seed: int, task: Task) -> dict[str, Any]:
    """Write one copy unless it is there; return its record: ``duration``, ``tags``, ``events``, and the ``source`` it was made from."""
    names = f"{clip.id}.wav", f"{clip.id}.wav.json"
    path, about = (folder / name for name in names)
    params = augmentation.draw(np.random.default_rng((seed, _number(clip.id), _number(folder.name))))
    files = [clip.path, *augmentation.files(params)]
    with suppress(DatasetError, KeyError, TypeError, OSError):  # a record that cannot be read is made anew
        record: dict[str, Any] = read_json(about, error=DatasetError)
        whole = _is_record(record) and record["bytes"] == path.stat().st_size
        if whole and (source := _find_source(record["source"], clip, files, task)):
            return _choose_facts({**record, "source": source})
    path, about = (place(folder, name, kind=_KIND) for name in names)
    source = {"files": list(map(origin, files)), "channel": clip.channel, "labels": _labels(clip, task)}
    samples, sr = audio_files.read(clip.path, channel=clip.channel)
    result, heard = augmentation.apply(samples, clip.events or (), params, sr=sr)
    tags, events = _move_labels(clip, heard or (), task)
    peak = np.abs(result).max()
    audio_files.write(path, result / peak if peak > 1 else result, sr, subtype="PCM_16")
    record = {
        "duration": len(result) / sr,
        "tags": tags,
        "events": _plain(events),
        "params": params,
        "scale": float(1 / peak) if peak > 1 else 1.0,
        "bytes": path.stat().st_size,
        "source": source,
    }
    write_json(about, record)
    return _choose_facts(record)


def _find_source(source: Mapping[str, Any], clip: Clip, files: Sequence[Path], task: Task) -> dict[str, Any] | None:
    """Return what a copy was made of, if it is this audio, these labels and, where other recordings are mixed in, those."""
    labels = _labels(clip, task)
    if (source["channel"], source["labels"]) != (clip.channel, labels) or len(files) != len(source["files"]):
        return None
    found = [recognize(file, Origin(*known)) for file, known in zip(files, source["files"], strict=True)]
    return {"files": found, "channel": clip.channel, "labels": labels} if all(found) else None


def _choose_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("duration", "tags", "events", "source")}


def _move_labels(clip: Clip, heard: Sequence[Event], task: Task) -> tuple[dict[str, float | None] | None, Sequence[Event] | None]:
    """Return a copy's tags and events, from those `heard` in it: what became of its parent's (of none, if unknown), and what joined."""
    before = events_to_tags(clip.events or ())
    if task == "classification":  # one class, whatever else is heard
        own = {*before, *present(clip.tags, threshold=0.0)}
        kept = [event for event in heard if event.label in own]
        return _plain_tags(clip.tags), None if clip.events is None else kept
    after, tags = events_to_tags(heard), _plain_tags(clip.tags)
    if tags is None:
        return None, None if clip.events is None else heard
    for label in sorted(before.keys() | after.keys()):
        had, has = before.get(label, 0.0), after.get(label, 0.0)
        if has > had:
            tags[label] = max(tags.get(label) or 0.0, has)
        elif has < had and (tag := tags.get(label)) is not None:
            tags[label] = min(tag, has)
            if not has:
                del tags[label]
    return tags, None if clip.events is None else heard


def _read_records(folder: Path) -> dict[str, Any]:
    """Read the records of the copies; those that are not as we write them are left out, so that the copies count as missing."""
    with suppress(DatasetError, KeyError, TypeError, AttributeError):
        copies = read_json(folder / "complete.json", error=DatasetError)["copies"]
        return {clip: record for clip, record in copies.items() if _is_record(record)}
    return {}


def _is_record(record: Any) -> bool:
    with suppress(KeyError, TypeError, AttributeError, AnnotationError):
        clip = Clip("a", Path(), duration=record["duration"], tags=record["tags"], events=_events(record))
        return bool(record["source"]["labels"] and clip.duration)
    return False


def _events(record: Mapping[str, Any]) -> tuple[Event, ...] | None:
    return None if record["events"] is None else tuple(Event(*event) for event in record["events"])


def _plain(events: Iterable[Event] | None) -> list[list[Any]] | None:
    """Write events as JSON values."""
    return None if events is None else [list(astuple(event)) for event in events]


def _plain_tags(tags: Mapping[str, float | None] | None) -> dict[str, float | None] | None:
    return None if tags is None else {label: None if value is None else float(value) for label, value in tags.items()}


def _labels(clip: Clip, task: Task) -> dict[str, Any]:
    """Return what a copy's labels are made from, as JSON values."""
    return {"task": task, "tags": _plain_tags(clip.tags), "events": _plain(clip.events)}


def _number(text: str) -> int:
    """Hash a text to a number that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
