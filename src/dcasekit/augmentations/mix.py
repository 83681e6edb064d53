"""With something else in the background."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.annotations import Event, read_annotation
from dcasekit.augmentations._events import cut
from dcasekit.augmentations._folder import annotation, choice, recordings, without_place
from dcasekit.augmentations._level import scale_to_snr
from dcasekit.augmentations.base import Augmentation, Events, refuse_reversed
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds

# (start, stop, here): what is heard of the background, in its own time, and when that begins in the mixture.
Span = tuple[Seconds, Seconds, Seconds]


@dataclass(frozen=True, kw_only=True)
class Mix(Augmentation):
    """Add a background recording, drawn from a folder, at a random signal-to-noise ratio.

    From a longer background a part is taken at a random place; a shorter one is repeated, beginning at a random place. If an annotation
    lies beside it (a file of the same name with .txt, .selections.txt, .tsv or .jams, see `read_annotation`), those of its events that are
    heard are added to the events of the recording; without one, the background is assumed to hold none of the labels. In an
    `AugmentedDataset` its tags are added as well, except in a classification dataset, where a clip keeps its one class.

    The folder must not hold recordings of validation or test folds.

    Parameters
    ----------
    folder : folder of audio files (wav, flac, ogg, mp3), which may lie in subfolders; they are resampled where needed.
    min_snr, max_snr : range in dB, ``min_snr <= max_snr``, from which the signal-to-noise ratio is drawn uniformly: the mean power of the
        whole clip over that of the background added to it, met exactly. TUT Rare Sound Events (DCASE 2017) has -6, 0 and 6 dB; 0 to 30 is
        common. Nothing is added to silence, whose power is 0.

    Raises
    ------
    DatasetError : ``min_snr`` is above ``max_snr``; when it is drawn: the folder is missing, or holds no audio.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> with TemporaryDirectory() as folder:
    ...     _ = audio_files.write(f"{folder}/hum.wav", np.array([0.5, -0.5]), 8000)
    ...     mix = Mix(folder=folder, min_snr=0, max_snr=0)
    ...     audio, events = mix.apply([0.1, 0.1, 0.1], None, {"file": "hum.wav", "at": 0.5, "snr": 0.0}, sr=8000)
    >>> audio.round(6).tolist()
    [0.0, 0.20000000298023224, 0.0]
    """

    folder: PathLike
    min_snr: float
    max_snr: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "folder", os.fspath(self.folder))
        refuse_reversed(self, "snr", "dB")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the ``file``, ``at`` in [0, 1), the place in it as a share of the possible ones, and ``snr`` in dB."""
        return {"file": choice(self._names, rng), "at": float(rng.random()), "snr": float(rng.uniform(self.min_snr, self.max_snr))}

    def files(self, params: Mapping[str, Any]) -> list[Path]:
        """Return the background, and its annotation if there is one."""
        path = Path(self.folder, params["file"])
        return [found for found in (path, annotation(path)) if found is not None]

    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Add the scaled background, and its events."""
        path, *beside = self.files(params)
        background, spans = _heard(path, params["at"], len(audio), sr)
        scale = scale_to_snr(audio, background, params["snr"])
        if events is not None and scale > 0:
            events = (*events, *(event for about in beside for event in _events(about, spans)))
        return audio + scale * background, events

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return recordings(self.folder)

    @property
    def _identity(self) -> dict[str, Any]:
        return without_place(self.settings, self._names)


def _heard(path: Path, at: float, samples: int, sr: Hz) -> tuple[FloatArray, list[Span]]:
    """Read `samples` samples of a recording from a drawn place on, repeating it if it is too short."""
    head = audio_files.info(path)
    need = math.ceil(samples * head.sr / sr) + 1  # one more than needed: resampling may round down
    if head.samples >= need:
        first = int(at * (head.samples - need + 1))
        part, _ = audio_files.read(path, sr=sr, start=first / head.sr, stop=(first + need) / head.sr)
        return part[:samples], [(first / head.sr, first / head.sr + samples / sr, 0.0)]
    whole, _ = audio_files.read(path, sr=sr)
    size = len(whole)
    first = int(at * size)
    begins = range(-first, samples, size)  # samples of the mixture at which the recording begins
    spans = [(max(0, -begin) / sr, min(size, samples - begin) / sr, max(0, begin) / sr) for begin in begins]
    return np.tile(whole, len(begins))[first : first + samples], spans


def _events(path: Path, spans: list[Span]) -> list[Event]:
    """Return the events of an annotation in the time of the mixture."""
    listed = read_annotation(path)
    return [
        replace(event, onset=event.onset + here, offset=event.offset + here)
        for start, stop, here in spans
        for event in cut(listed, start, stop)
    ]
