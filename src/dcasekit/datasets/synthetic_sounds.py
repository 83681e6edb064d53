"""SyntheticSounds: procedurally made environmental sounds, for the demo, the docs and the tests."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from dcasekit import audio
from dcasekit.annotations import Clip, Event, events_to_tags, read_events, write_events
from dcasekit.core.cells import shorten
from dcasekit.core.files import check_place, place, read_json, write_json, write_text
from dcasekit.core.parallel import map_clips
from dcasekit.core.units import Hz, PathLike, Seconds
from dcasekit.datasets._synthesis import EVENTS, SCENES
from dcasekit.datasets._synthetic_clips import soundscape
from dcasekit.datasets._tables import listed_path, read_number, read_table
from dcasekit.datasets.base import Dataset, Task
from dcasekit.errors import DatasetError

_COLUMNS = ("filename", "fold", "group", "scene", "duration")
_KIND = "synthetic sounds"
_CLIPS_PER_GROUP = 4  # clips from one place, through one recording chain


class SyntheticSounds(Dataset):
    """SyntheticSounds: clips of five scenes with twelve kinds of events, made by this library from a seed.

    Nothing is fetched: `download` makes the files, in seconds. Scene, tags and exact strong labels are known by construction, so one
    dataset serves all three tasks. Level, position, overlap and signal-to-noise ratio of events are random, and a random recording chain
    colours each group of four clips, so that the average spectrum tells little and a linear model is clearly below a CNN. Five folds; a
    group lies in one. Results on it say that a system works, not how well it does on real recordings.

    Layout: ``audio/*.wav`` (mono, 16 bit), ``clips.tsv``, ``events.tsv``, and ``settings.json``, written last.

    Parameters
    ----------
    root, cache : see `Dataset`.
    task : ``"classification"`` of scenes, ``"tagging"`` or ``"detection"`` of events.
    clips, seconds, sr : how many, how long, at which rate; a change makes the files anew.
    seed : the same seed gives the same bytes (with one version of NumPy).

    Examples
    --------
    >>> SyntheticSounds("sounds").labels
    ('metro_station', 'office', 'park', 'seaside', 'street')
    """

    folds = ("fold1", "fold2", "fold3", "fold4", "fold5")
    licence = "CC0 1.0 (public domain); made by dcasekit"
    citation = "dcasekit, SyntheticSounds: procedurally generated environmental sounds."

    def __init__(
        self,
        root: PathLike,
        *,
        cache: PathLike | None = None,
        task: Task = "classification",
        clips: int = 400,
        seconds: Seconds = 5.0,
        sr: Hz = 16000,
        seed: int = 0,
    ) -> None:
        super().__init__(root, cache=cache)
        if clips < 1 or seconds <= 0 or sr < 8000:
            raise DatasetError(f"need clips >= 1, seconds > 0 and sr >= 8000 Hz; got {clips}, {seconds}, {sr}")
        self.task = task
        self.labels = tuple(sorted(SCENES if task == "classification" else EVENTS))
        self._settings = {"clips": clips, "seconds": seconds, "sr": sr, "seed": seed}

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Make the files; ``False`` if they are there already, made with the same settings."""
        if not force and self.check_if_downloaded():
            return False
        marker = self.root / "settings.json"
        check_place(self.root, marker.name, "clips.tsv", "events.tsv", kind=_KIND)
        marker.unlink(missing_ok=True)
        count, sr = int(self._settings["clips"]), int(self._settings["sr"])
        work = partial(_make, root=self.root, seconds=self._settings["seconds"], sr=sr, seed=int(self._settings["seed"]))
        bar = "Making sounds" if progress else None
        rows, events = ["\t".join(_COLUMNS)], {}
        for index, spans in enumerate(map_clips(work, range(count), progress=bar)):
            fold, group, scene = _place(index)
            rows.append("\t".join((_name(index), fold, group, scene, str(self._settings["seconds"]))))
            events[_name(index)] = spans
        write_text(place(self.root, "clips.tsv", kind=_KIND), "\n".join(rows) + "\n")
        write_events(place(self.root, "events.tsv", kind=_KIND), events)
        write_json(place(self.root, marker.name, kind=_KIND), self._settings)
        self._forget()
        return True

    def check_if_downloaded(self) -> bool:
        """Tell whether the files are there, made with these settings."""
        marker = self.root / "settings.json"
        with suppress(DatasetError):  # one that cannot be read is made anew
            return marker.exists() and bool(read_json(marker, error=DatasetError) == self._settings)
        return False

    def load(self) -> Iterator[Clip]:
        """Read ``clips.tsv`` and ``events.tsv``."""
        rows = list(read_table(self.root / "clips.tsv", _COLUMNS))
        events = read_events(self.root / "events.tsv")
        if unknown := sorted(events.keys() - {row["filename"] for row in rows}):
            raise DatasetError(
                f"{self.root / 'events.tsv'} lists {shorten(unknown[0])}, which clips.tsv does not; run download(force=True)"
            )
        for row in rows:
            if row["filename"] not in events:
                raise DatasetError(f"{self.root / 'events.tsv'} does not list {shorten(row['filename'])}; run download(force=True)")
            spans = tuple(events[row["filename"]])
            yield Clip(
                id=Path(row["filename"]).stem,
                path=listed_path(self.root / "audio", row["filename"]),
                duration=read_number(row, "duration", self.root / "clips.tsv"),
                fold=row["fold"],
                group=row["group"],
                tags={row["scene"]: 1.0} if self.task == "classification" else events_to_tags(spans),
                events=None if self.task == "classification" else spans,
                extra={"scene": row["scene"]},
            )


def _make(index: int, *, root: Path, seconds: Seconds, sr: Hz, seed: int) -> Iterable[Event]:
    """Make one clip; the index alone decides its scene, fold and group, the seed all else."""
    _, group, scene = _place(index)
    device = np.random.default_rng((seed, 1, int(group)))
    made = soundscape(scene, np.random.default_rng((seed, 0, index)), duration=seconds, sr=sr, device=device)
    audio.write(place(root, f"audio/{_name(index)}", kind=_KIND), made.audio, sr, subtype="PCM_16")
    return made.events


def _place(index: int) -> tuple[str, str, str]:
    """Fold, group and scene of a clip: groups go round the scenes, then round the folds."""
    group = index // _CLIPS_PER_GROUP
    scenes = sorted(SCENES)
    return f"fold{group // len(scenes) % 5 + 1}", str(group), scenes[group % len(scenes)]


def _name(index: int) -> str:
    return f"clip{index:05d}.wav"
