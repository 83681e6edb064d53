"""Soundscapes: a detection dataset made from the clips of a classification dataset."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

import numpy as np

from dcasekit import audio
from dcasekit.annotations import LONGEST, Clip, events_to_tags, read_annotation
from dcasekit.core.files import check_place, place, read_json, unsafe, write_json, write_rows
from dcasekit.core.parallel import map_clips
from dcasekit.core.units import PathLike, Seconds
from dcasekit.datasets._mixing import Mixing, Placed, mix
from dcasekit.datasets._protocols import CrossValidation, Protocol, TrainTest, TrainValidateTest
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError

_KIND = "soundscapes"
_MOST = 10_000_000  # clips
_COLUMNS = ("onset", "offset", "event_label", "source", "source_start", "snr_db")


class Soundscapes(Dataset):
    """Soundscapes: strongly labelled mixtures of the clips of a classification dataset, as scaper makes them.

    Events are cut out of clips of `foreground`, at drawn times, lengths and levels, over a background; labels are exact to the sample.
    `download` makes the files, `Soundscapes(root)` alone reads what was made. The folds are those of the foreground: a soundscape of a
    fold uses clips of that fold only, for backgrounds as well, so nothing that is heard in testing was heard in training. Soundscapes of
    one fold share sources: do not split a fold further.

    Layout: ``audio/<fold>/*.wav`` (mono, 16 bit), ``annotations/<fold>/*.tsv`` (onset, offset, event_label; and source, the clip the
    event comes from, whose licence goes on, where in it the event begins, and its level over the background, dB), ``settings.json``,
    written last.

    Parameters
    ----------
    root, cache : see `Dataset`.
    foreground : its clips have one label each. ``None``: read what is there.
    background : a dataset; its folds are matched by name where it has the same, else its groups are dealt out to the folds. ``None``: brown
        noise.
    clips : how many soundscapes; they go round the folds.
    seconds : length of each.
    mixing : how many events, how long, how loud; see `Mixing`. ``None``: its defaults.
    seed : the same seed gives the same bytes (with one version of NumPy and of the codecs).

    Examples
    --------
    >>> from dcasekit.datasets import ESC10
    >>> Soundscapes("/data/mixed", foreground=ESC10("/data/ESC-50"), clips=500).folds
    ('fold1', 'fold2', 'fold3', 'fold4', 'fold5')
    """

    task = "detection"
    licence = "that of the foreground and background clips, which the annotations name"
    citation = (
        "J. Salamon et al., 'Scaper: A library for soundscape synthesis and augmentation', WASPAA 2017 (the method); and the foreground's."
    )

    def __init__(
        self,
        root: PathLike,
        *,
        cache: PathLike | None = None,
        foreground: Dataset | None = None,
        background: Dataset | None = None,
        clips: int = 100,
        seconds: Seconds = 10.0,
        mixing: Mixing | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root, cache=cache)
        if clips < 1 or seconds <= 0 or seed < 0:
            raise DatasetError(f"need clips >= 1, seconds > 0 and seed >= 0; got {clips}, {seconds}, {seed}")
        self.foreground, self.background = foreground, background
        self.count, self.seconds, self.mixing, self.seed = clips, seconds, mixing or Mixing(), seed

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override] # a class of any foreground states it when it knows it
        """Those of the foreground."""
        return self.foreground.labels if self.foreground else tuple(self._record["labels"])

    @cached_property
    def folds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the foreground."""
        return self.foreground.folds if self.foreground else tuple(self._record["folds"])

    @cached_property
    def protocol(self) -> Protocol:  # type: ignore[override]
        """Cross-validation over the folds, or train (validate) test where they are named so."""
        if not {"train", "test"} <= set(self.folds):
            return CrossValidation()
        return TrainValidateTest() if "validate" in self.folds else TrainTest()

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Make the soundscapes; ``False`` if they are there already, made with the same settings. Interrupted, it goes on.

        Raises
        ------
        DatasetError : no foreground was given, or a clip of it has not exactly one label.
        """
        if self.foreground is None:
            raise DatasetError(f"Soundscapes are generated, not fetched: Soundscapes({str(self.root)!r}, foreground=ESC50(...)).download()")
        if not force and self.check_if_downloaded():
            return False
        settings = self._settings(self.foreground)
        marker, unfinished = self.root / "settings.json", self.root / "unfinished.json"
        check_place(self.root, marker.name, unfinished.name, kind=_KIND)
        resumed = not force and unfinished.exists() and read_json(unfinished, error=DatasetError) == settings
        marker.unlink(missing_ok=True)
        write_json(place(self.root, unfinished.name, kind=_KIND), settings)
        work = partial(_make, dataset=self, sources=self._sources(self.foreground), grounds=self._grounds(self.foreground), resumed=resumed)
        for _ in map_clips(work, range(self.count), progress="Mixing soundscapes" if progress else None):
            pass
        write_json(place(self.root, marker.name, kind=_KIND), settings)
        unfinished.unlink()
        self._forget()
        return True

    def check_if_downloaded(self) -> bool:
        """Tell whether the soundscapes are there, made with these settings; without a foreground, with any."""
        marker = self.root / "settings.json"
        settings = self.foreground and self._settings(self.foreground)
        with suppress(DatasetError):  # one that cannot be read is made anew
            return marker.exists() and settings in (None, read_json(marker, error=DatasetError))
        return False

    def load(self) -> Iterable[Clip]:
        """Read ``settings.json`` and the annotation of every soundscape."""
        made = self._record
        for index in range(made["clips"]):
            name, fold = _place(index, made["present"])
            events = tuple(read_annotation(self.root / "annotations" / f"{name}.tsv"))
            path = self.root / "audio" / f"{name}.wav"
            yield Clip(id=name, path=path, duration=made["seconds"], fold=fold, tags=events_to_tags(events), events=events)

    @property
    def _record(self) -> Any:
        path = self.root / "settings.json"
        if not path.exists():
            raise DatasetError(f"{path} does not exist; make the soundscapes: Soundscapes(root, foreground=...).download()")
        made = read_json(path, error=DatasetError)
        if not (isinstance(made, dict) and _is_made(made)):
            raise DatasetError(f"{path} was changed after it was written; make the soundscapes again: download(force=True)")
        return made

    def _settings(self, foreground: Dataset) -> dict[str, Any]:
        return {
            "foreground": foreground.name,
            "background": self.background.name if self.background else None,
            "labels": list(self.labels),
            "folds": list(self.folds),
            "present": list(foreground.present_folds),
            "clips": self.count,
            "seconds": self.seconds,
            "mixing": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.mixing).items()},
            "seed": self.seed,
        }

    def _sources(self, foreground: Dataset) -> dict[str, dict[str, list[Clip]]]:
        """Foreground clips by fold and label."""
        found: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in foreground.clips:
            labels = [label for label, value in (clip.tags or {}).items() if value == 1]
            if len(labels) != 1 or len(clip.tags or ()) != 1:
                raise DatasetError(
                    f"a foreground clip needs one label; {clip.id!r} has {len(clip.tags or ())}: use a classification dataset"
                )
            found[clip.fold][labels[0]].append(clip)
        return {fold: dict(labels) for fold, labels in found.items()}

    def _grounds(self, foreground: Dataset) -> dict[str, list[Clip]]:
        """Background clips by fold."""
        folds = foreground.present_folds
        found: dict[str, list[Clip]] = {fold: [] for fold in folds}
        if self.background is None:
            return found
        matched = set(folds) <= set(self.background.present_folds)
        groups: dict[str, str] = {}
        for clip in self.background.clips:
            dealt = groups.setdefault(clip.group or clip.id, folds[len(groups) % len(folds)])
            if clip.fold in found or not matched:
                found[clip.fold if matched else dealt].append(clip)
        if empty := [fold for fold, clips in found.items() if not clips]:
            raise DatasetError(f"{self.background.name} has too few groups of clips to give {empty[0]} a background of its own")
        return found


def _is_made(made: Mapping[str, Any]) -> bool:
    """Tell whether settings that were read are of the types that are written."""
    texts = (made.get(name) for name in ("labels", "folds", "present"))
    listed = all(isinstance(names, list) and names and all(isinstance(name, str) for name in names) for names in texts)
    if not listed or any(map(unsafe, made["present"])):  # folders are named by these
        return False
    count: Any = made.get("clips")
    seconds: Any = made.get("seconds")
    return type(count) is int and 0 < count < _MOST and type(seconds) in (int, float) and 0 < seconds <= LONGEST


def _place(index: int, folds: Sequence[str]) -> tuple[str, str]:
    fold = folds[index % len(folds)]
    return f"{fold}/soundscape{index:05d}", fold


def _make(
    index: int, *, dataset: Soundscapes, sources: dict[str, dict[str, list[Clip]]], grounds: dict[str, list[Clip]], resumed: bool
) -> None:
    """Make one soundscape, unless an interrupted call has; the seed and its index alone decide on it."""
    name, fold = _place(index, list(grounds))
    path, about = (place(dataset.root, below, kind=_KIND) for below in (f"audio/{name}.wav", f"annotations/{name}.tsv"))
    if resumed and path.exists() and about.exists():
        return
    rng = np.random.default_rng((dataset.seed, index))
    sound, placed = mix(sources[fold], grounds[fold], dataset.seconds, dataset.mixing, rng)
    audio.write(path, sound, dataset.mixing.sr, subtype="PCM_16")
    write_rows(about, [_COLUMNS, *map(_row, placed)])


def _row(one: Placed) -> tuple[str, ...]:
    event = one.event
    return (f"{event.onset:.6f}", f"{event.offset:.6f}", event.label, one.source, f"{one.start:.6f}", f"{one.snr:.3f}")
