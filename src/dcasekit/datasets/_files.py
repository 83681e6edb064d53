"""What lies on disk of a dataset: its files, fetched or put there by hand, and copies of its audio at other rates."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from dcasekit import audio
from dcasekit.annotations import Clip
from dcasekit.core.files import inside, place, read_json, safe_name, write_json
from dcasekit.core.origin import Origin, origin, recognize
from dcasekit.core.parallel import map_clips, total_size
from dcasekit.core.units import Hz, PathLike, Seconds
from dcasekit.datasets._problems import Problem, find_problems
from dcasekit.download import RemoteFile, download, is_complete, mark_complete
from dcasekit.errors import DatasetError


class DatasetFiles(ABC):
    """The part of a dataset that fetches, checks and resamples; see `Dataset`, which documents the facts."""

    archives: tuple[RemoteFile, ...] = ()
    flatten: ClassVar[str | tuple[str, ...] | None] = None
    files_may_lack: ClassVar[bool] = False
    label_step: ClassVar[Seconds] = 0.0

    def __init__(self, root: PathLike, *, cache: PathLike | None = None) -> None:
        self.root = Path(root)
        self.cache = self.root if cache is None else Path(cache)
        self._resampled: Path | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called."""

    @property
    @abstractmethod
    def clips(self) -> tuple[Clip, ...]:
        """All clips that are there, and their audio as it is to be used."""

    @property
    @abstractmethod
    def listed(self) -> tuple[Clip, ...]:
        """All clips of the label files, and their own audio."""

    @property
    @abstractmethod
    def missing(self) -> tuple[str, ...]:
        """Ids of the clips whose file is not there, if it may lack."""

    @property
    def derived(self) -> Path:
        """Folder of what is made of the audio that `clips` names: in the cache; of resampled audio, beside it."""
        return self._resampled or self._home

    def download(self, *, force: bool = False, progress: bool = False) -> bool:
        """Fetch, verify and unpack the dataset into `root`; ``False`` if it was there already.

        Raises
        ------
        DownloadError : what failed, the address, and what to do by hand.
        """
        if not self.archives:
            if not force and self.check_if_downloaded():
                return False
            raise DatasetError(f"{self.name} cannot be downloaded: dcasekit knows no address for it; put its files into {self.root}")
        done = download(self.archives, self.root, flatten=self.flatten, force=force, progress=progress)
        self._forget()
        return done

    def check_if_downloaded(self) -> bool:
        """Tell whether `root` is marked as complete, by `download` or `set_as_downloaded`; what lies there is `validate`'s to look at."""
        return is_complete(self.archives, self.root, flatten=self.flatten)

    def set_as_downloaded(self) -> None:
        """Mark `root` as complete once its files were put there by hand: `download` then fetches nothing.

        Raises
        ------
        DatasetError : a label file is missing or wrong, or audio that one lists is not there.
        """
        self._forget()
        lacking = [] if self.files_may_lack else [clip.path for clip in self.listed if not os.path.exists(clip.path)]
        if lacking or not self.listed:
            first = f"; the first is {lacking[0]}" if lacking else ""
            raise DatasetError(
                f"{self.name}: {len(lacking)} of {len(self.listed)} listed files are not there{first}. Put them there, or run download()"
            )
        mark_complete(self.archives, self.root, flatten=self.flatten)

    def validate(self, *, content: bool = True, jobs: int | None = None, progress: bool = False) -> list[Problem]:
        """Look for missing, unreadable, truncated, silent and duplicate files, for audio that no label file lists, and for late events.

        Where the label files themselves are wrong, that is the one problem.

        Parameters
        ----------
        content : ``False``: read headers only, thousands of files a second; what only the samples show (silent and duplicate files,
            and truncated ones of formats whose header does not tell the length) is then not looked for.
        jobs : see `dcasekit.core.parallel.map_clips`.
        progress : show a progress bar.
        """
        bar = f"Validating {self.name}" if progress else None
        try:
            clips = self.clips if self._resampled is not None else self.listed
        except DatasetError as error:
            if not self.root.is_dir():
                raise
            return [Problem("labels", str(self.root), str(error))]
        # Copies of our own lie in a folder which datasets that share it fill together: nothing there is extra.
        known = None if self._resampled is not None else self._list_shared()
        return [*find_problems(clips, known, step=self.label_step, content=content, jobs=jobs, progress=bar), *self._doubts()]

    def change_sampling_rate(self, sr: Hz, *, jobs: int | None = None, progress: bool = False) -> None:
        """Write a copy of the audio at another rate into ``audio<sr>`` in the folder `derived`, and use it from now on.

        Mono float wav, so nothing is cut off above or below; a copy that is there and was made of the very same audio is kept. Features
        resample by themselves, so this only saves time when many features are computed from recordings of a much higher rate.

        Raises
        ------
        AudioError : a clip cannot be read.
        StorageError : a copy cannot be written, or would take the place of a file that is not ours.
        """
        self._resampled, folder = None, self._folder_for(sr)
        self._forget()
        work = partial(_resample_file, folder=folder, sr=sr)
        size = total_size(clip.path for clip in self.clips)
        for _ in map_clips(work, self.clips, jobs=jobs, size=size, progress=f"Resampling {self.name}" if progress else None):
            pass
        self._resampled = folder
        self._forget()

    def check_sampling_rate(self, sr: Hz) -> bool:
        """Tell whether all clips have a copy at this rate, made of the audio as it is now: `change_sampling_rate` would write nothing."""
        folder, lacking = self._folder_for(sr), set(self.missing)
        return all(_has_copy(clip, folder) for clip in self.listed if clip.id not in lacking)

    @property
    def _home(self) -> Path:
        """Folder of what is made of the dataset's own audio: datasets of different roots never share one."""
        if self.cache == self.root:
            return self.root
        root = self.root.resolve()
        return self.cache / f"{safe_name(root.name)}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"

    def _folder_for(self, sr: Hz) -> Path:
        if sr < 1:
            raise DatasetError(f"the sampling rate must be a positive number of Hz; got {sr}")
        return inside(self._home, f"audio{sr}")

    def _forget(self) -> None:
        """Read the label files anew when they are asked for again."""
        for name in ("clips", "listed", "missing"):
            self.__dict__.pop(name, None)

    def _list_shared(self) -> Iterable[Path]:
        """Return the audio in the dataset's folders that belongs to another dataset."""
        return ()

    def _doubts(self) -> Iterable[Problem]:
        """Return what else is doubtful, of a kind that only this dataset knows."""
        return ()


def _has_copy(clip: Clip, folder: Path) -> bool:
    """Tell whether a clip has a copy in a folder, made of its audio as it is now."""
    path = folder / f"{clip.id}.wav"
    with suppress(DatasetError, KeyError, TypeError, OSError):  # a record that cannot be read counts as none
        record = read_json(path.with_name(f"{path.name}.json"), error=DatasetError)
        if (record["channel"], record["bytes"]) == (clip.channel, path.stat().st_size):
            return recognize(clip.path, Origin(*record["origin"])) is not None
    return False


def _resample_file(clip: Clip, *, folder: Path, sr: Hz) -> None:
    """Write the copy of a clip at another rate, and beside it what it was made of, unless both are there."""
    if _has_copy(clip, folder):
        return
    path, about = (place(folder, name, kind="resampled audio") for name in (f"{clip.id}.wav", f"{clip.id}.wav.json"))
    made_of = origin(clip.path)
    samples, _ = audio.read(clip.path, sr=sr, channel=clip.channel)
    audio.write(path, samples, sr, subtype="FLOAT")
    write_json(about, {"origin": made_of, "channel": clip.channel, "bytes": path.stat().st_size})
