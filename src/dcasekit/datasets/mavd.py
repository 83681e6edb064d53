"""MAVD-traffic: detection of vehicles and their parts in street recordings, 9 classes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from dcasekit.annotations import TIME_TOLERANCE, Clip, Event, events_to_tags
from dcasekit.core.cells import shorten
from dcasekit.core.units import PathLike
from dcasekit.datasets._event_files import pairs, rows
from dcasekit.datasets._labels import Choice
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

_SUMS = {
    "annotations_train.zip": "ea67a330ab695873a12a07ed494eae42",
    "annotations_validate.zip": "30edae5c398dffe52a2ee1373e89fd96",
    "annotations_test.zip": "94e609cad8702f5fb6afe52815547b67",
    "audio_train.zip": "c7a897623364f80c8ff3775d8dd601a2",
    "audio_validate.zip": "d220cef03f99b2d108d708421240f86d",
    "audio_test.zip": "824b035fa76dc83919e312105db4214f",
    "metadata.txt": "593cad71171d713775e102bb59d909da",
}
# The published third level of classes.
_PAIRS = (
    "car/engine", "car/wheel", "bus/engine", "bus/brakes", "bus/compressor", "bus/wheel", "motorcycle/engine", "motorcycle/brakes",
)  # fmt: skip
_SHORT = {
    "engine_idling": "engine", "engine_accelerating": "engine", "brakes": "brakes", "wheel_rolling": "wheel", "compressor": "compressor",
}  # fmt: skip
_OTHERS = ("chatter", "music", "other")  # annotated, but no sound of traffic


class MAVD(Dataset):
    """MAVD-traffic 0.1.1: 47 recordings of some 5 min from streets of Montevideo, with their vehicles and what of them sounds.

    44.1 kHz, mono, 24-bit FLAC, read as it is. Folds: train (24 recordings, 117 min), validate (7, 33 min), test (16, 83 min). Published
    results are segment-based F1 and error rate at 1 s on the test fold, for vehicles and for components separately.

    A row names a vehicle (``car``) or a component of one (``car/wheel_rolling``). The latter gives an event of the component, and one of
    the vehicle only where no row names that for the same time; else one car would count three times. ``chatter``, ``music`` and ``other``
    are annotated too and left out. That nothing else occurs was looked up in the authors' own count of all annotations.

    The published figures are of three levels, by the authors' code: vehicles, ``with_labels("vehicles")`` (3 classes); components,
    ``with_labels("components")`` (4, the engine being one); components of a vehicle, ``MAVD(root, pairs=True)`` (8).

    The published split cuts recording sessions: the first parts of what lies in train are validate, so results there are too good; the test
    fold is from three other streets. A clip's group is its session within its fold, so that no split drawn from training clips cuts one.

    The layout of the archives is that of soundata's index; it was not verified here.

    Layout: ``audio/<fold>/<place><date>_<part>.flac``, ``annotations/<fold>/<same>.txt`` (onset, offset and label between tabs, no
    header), ``metadata.txt`` (places and times, not read).

    Parameters
    ----------
    root, cache : see `Dataset`.
    pairs : an event of a component is one of ``car/engine``, ``bus/wheel`` ..., the third level, and vehicles are left out.

    Examples
    --------
    >>> MAVD("/data/MAVD").labels[4:]
    ('engine_idling', 'engine_accelerating', 'brakes', 'wheel_rolling', 'compressor')
    >>> MAVD("/data/MAVD").with_labels("components").labels
    ('engine', 'brakes', 'wheel', 'compressor')
    """

    task = "detection"
    labels: tuple[str, ...] = (
        "car",
        "bus",
        "truck",
        "motorcycle",
        "engine_idling",
        "engine_accelerating",
        "brakes",
        "wheel_rolling",
        "compressor",
    )
    label_sets: ClassVar[Mapping[str, Choice]] = {"vehicles": ("car", "bus", "motorcycle"), "components": _SHORT}
    folds = ("train", "validate", "test")
    protocol = TrainValidateTest()
    archives = tuple(
        RemoteFile(
            f"https://zenodo.org/records/4741232/files/{name}",
            checksum=f"md5:{md5}",
            into=name.removesuffix(".zip").replace("_", "/") if name.endswith(".zip") else "",
        )
        for name, md5 in _SUMS.items()
    )
    flatten = tuple(name.removesuffix(".zip") for name in _SUMS if name.endswith(".zip"))
    licence = "CC BY 4.0"
    citation = "P. Zinemanas, P. Cancela, M. Rocamora, 'MAVD: A Dataset for Sound Event Detection in Urban Environments', DCASE Workshop, 2019, pp. 263-267"  # noqa: E501

    def __init__(self, root: PathLike, *, cache: PathLike | None = None, pairs: bool = False) -> None:
        super().__init__(root, cache=cache)
        self.pairs = pairs
        if pairs:
            self.labels, self.label_sets = _PAIRS, {}  # type: ignore[misc] # those of the other labels

    def load(self) -> Iterable[Clip]:
        """Read the text files in ``annotations``."""
        for fold in self.folds:
            for audio, annotation in pairs(self.root, fold, ".flac"):
                events = tuple(self._events(annotation))
                session = audio.stem.rpartition("_")[0] or audio.stem
                yield Clip(
                    id=audio.stem,
                    path=audio,
                    fold=fold,
                    group=f"{fold}/{session}",
                    tags=events_to_tags(events),
                    events=events,
                    extra={"session": session, "place": session.rstrip("0123456789")},
                )

    def _events(self, path: Path) -> Iterable[Event]:
        found = list(rows(path))
        for where, event in found:
            vehicle, *component = event.label.split("/")
            if unknown := {vehicle, *component}.difference(MAVD.labels, _OTHERS):
                raise DatasetError(f"{where}: unknown label {shorten(min(unknown))}; known: {', '.join((*MAVD.labels, *_OTHERS))}")
            if self.pairs:
                component = [f"{vehicle}/{_SHORT.get(each, each)}" for each in component]
                yield from (replace(event, label=label) for label in component if label in self.labels)
                continue
            if not (component and any(_covers(row, event, vehicle) for _, row in found)):
                component = [vehicle, *component]
            yield from (replace(event, label=label) for label in component if label in self.labels)


def _covers(row: Event, event: Event, vehicle: str) -> bool:
    """Tell if a row of a vehicle alone spans an event of one of its components."""
    return row.label == vehicle and row.onset <= event.onset + TIME_TOLERANCE and event.offset <= row.offset + TIME_TOLERANCE
