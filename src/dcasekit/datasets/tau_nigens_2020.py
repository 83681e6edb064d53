"""TAU-NIGENS Spatial Sound Events 2020: sound event detection in reverberant rooms, 14 classes."""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Literal

from dcasekit.annotations import Clip, Event, events_to_tags
from dcasekit.core.cells import shorten
from dcasekit.core.units import PathLike
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets._tables import not_found, read_list
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

Form = Literal["mic", "foa"]

_SUMS = {
    "mic_dev.z01": "3a2b0986d2a302498cd874d584d17689",
    "mic_dev.z02": "92f715cb74406d5556bce0fdf27f54e4",
    "mic_dev.zip": "9174daca52f393425120308ab5c14477",
    "mic_eval.zip": "bca79b5f71b46e4cb191c54a611348a4",
    "foa_dev.z01": "86acab46854a57f5ba3e5b80a19c01b5",
    "foa_dev.z02": "363c8c159be003271c05a71a57b2ced4",
    "foa_dev.zip": "6aad48e7346884b3929245e7553fd97d",
    "foa_eval.zip": "24c6ce2441df242d4e3b61e9bb27d0d7",
    "metadata_dev.zip": "979f5551e987ed247404b80a2f1c3db1",
    "metadata_eval.zip": "f3584166d9a63b43c1e301b6fb722293",
}
_CHANNELS = 4
_FRAMES_PER_SECOND = 10
_NAMES = {"dev": re.compile(r"(fold[1-6])_room\d+_mix\d+_ov\d+"), "eval": re.compile(r"mix\d+")}
_CELLS = ("frame", "class", "event number", "azimuth", "elevation")


def _archives(form: Form) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"https://zenodo.org/records/4064792/files/{name}", checksum=f"md5:{md5}", into=name.rpartition(".")[0])
        for name, md5 in _SUMS.items()
        if name.startswith((form, "metadata"))
    )


class TAUNIGENS2020(Dataset):
    """TAU-NIGENS Spatial Sound Events 2020 (DCASE 2020 task 3): 800 recordings of 1 min, 14 classes, at most two events at once.

    24 kHz, 16 bit, four channels, as microphone array (``mic``) or first-order Ambisonics (``foa``): dry sounds in measured rooms, standing
    or moving, in noise of the room. **Each channel is a clip**, as DcaseNet has it; the four are one group, and scores of one recording are
    averaged over its clips. Where a sound comes from is not read.

    Folds: fold1 to fold6 (100 recordings each, with rooms and sounds of their own), eval (200 recordings, published after the challenge;
    the list that parts them into folds 7 and 8 is not in the archives). Trained on folds 3 to 6, validated on 2, tested on 1 or on eval.
    The challenge scores detection and localization together; DcaseNet scores detection alone on fold 1.

    Label files have a row per frame of 100 ms and event: consecutive frames of a class and event number are one event here. Classes are
    numbered from 0; a number beyond 13 is refused, since versions were seen that count from 1. Without ``metadata_eval`` the evaluation
    recordings are clips about which nothing is known.

    Layout: ``{mic,foa}_dev/fold<f>_room<r>_mix<n>_ov<k>.wav``, ``metadata_dev/<same>.csv``, ``{mic,foa}_eval/mix<n>.wav``,
    ``metadata_eval/<same>.csv`` (frame, class, event number, azimuth, elevation; no header). Archives with and without a top folder
    unpack alike.

    Parameters
    ----------
    root, cache : as for every `Dataset`.
    form : ``"mic"`` or ``"foa"``; both may lie in one folder, `download` fetches the one.

    Examples
    --------
    >>> TAUNIGENS2020("/data/TAU-NIGENS", form="foa").labels[:3]
    ('alarm', 'crying baby', 'crash')
    """

    task = "detection"
    labels = (
        "alarm", "crying baby", "crash", "barking dog", "running engine", "female scream", "female speech",
        "burning fire", "footsteps", "knocking on door", "male scream", "male speech", "ringing phone", "piano",
    )  # fmt: skip
    folds = ("fold1", "fold2", "fold3", "fold4", "fold5", "fold6", "eval")
    protocol = TrainValidateTest(train=("fold3", "fold4", "fold5", "fold6"), validate=("fold2",), test=("fold1", "eval"))
    label_step = 0.1
    archives = _archives("mic")
    flatten = ("mic_dev", "mic_eval", "foa_dev", "foa_eval", "metadata_dev", "metadata_eval")
    licence = "CC BY-NC 4.0"
    citation = "A. Politis, S. Adavanne, T. Virtanen, 'A Dataset of Reverberant Spatial Sound Scenes with Moving Sources for Sound Event Localization and Detection', DCASE Workshop, 2020, pp. 165-169. arXiv:2006.01919"  # noqa: E501

    def __init__(self, root: PathLike, *, form: Form = "mic", cache: PathLike | None = None) -> None:
        if form not in ("mic", "foa"):
            raise DatasetError(f"form must be 'mic' (microphone array) or 'foa' (Ambisonics); got {form!r}")
        super().__init__(root, cache=cache)
        self.form = form
        self.archives = _archives(form)

    def load(self) -> Iterable[Clip]:
        """Read the label files in ``metadata_dev`` and ``metadata_eval``."""
        for part, pattern in _NAMES.items():
            audio, labels = self.root / f"{self.form}_{part}", self.root / f"metadata_{part}"
            unknown = part == "eval" and not labels.is_dir()
            if part == "dev" and not labels.is_dir():
                raise not_found(labels)
            stems = {path.stem for folder, suffix in ((audio, "wav"), (labels, "csv")) for path in folder.glob(f"*.{suffix}")}
            for stem in sorted(filter(pattern.fullmatch, stems)):
                fold = part if part == "eval" else stem.partition("_")[0]
                events = None if unknown else tuple(self._events(labels / f"{stem}.csv"))
                yield from self._clips(audio / f"{stem}.wav", fold, events)

    def _clips(self, path: Path, fold: str, events: tuple[Event, ...] | None) -> Iterable[Clip]:
        for channel in range(_CHANNELS):
            yield Clip(
                # The forms may share a cache: their channels are different sounds.
                id=f"{path.stem}-{'ch' if self.form == 'mic' else 'foa'}{channel + 1}",
                path=path,
                fold=fold,
                group=path.stem,
                tags=None if events is None else events_to_tags(events),
                events=events,
                channel=channel,
            )

    def _events(self, path: Path) -> list[Event]:
        frames = set()
        for where, row in read_list(path, _CELLS):
            try:
                frame, index, number = map(int, row[:3])
            except ValueError:
                raise DatasetError(
                    f"{where}: expected whole numbers {', '.join(_CELLS[:3])}, got {shorten(row)}; correct the file"
                ) from None
            if frame < 0 or not 0 <= index < len(self.labels):
                raise DatasetError(
                    f"{where}: class {index} in frame {frame}; both are counted from 0, and the last class is {len(self.labels) - 1}"
                )
            frames.add((index, number, frame))
        # Within an event the frame grows as fast as its place in the order: a constant difference is a run.
        runs = groupby(enumerate(sorted(frames)), key=lambda entry: (entry[1][:2], entry[1][2] - entry[0]))
        found = []
        for ((index, _), _), run in runs:
            run_frames = [frame for _, (_, _, frame) in run]
            onset, offset = run_frames[0] / _FRAMES_PER_SECOND, (run_frames[-1] + 1) / _FRAMES_PER_SECOND
            found.append(Event(onset, offset, self.labels[index]))
        return sorted(found)
