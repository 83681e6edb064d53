"""MAESTRO Real: sound event detection with soft labels, 17 classes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from dcasekit.annotations import Clip, Event, events_to_tags
from dcasekit.core.cells import parse_number, shorten
from dcasekit.datasets._labels import Choice
from dcasekit.datasets._protocols import ListedFolds
from dcasekit.datasets._tables import not_found, read_list, read_number, read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import AnnotationError, DatasetError

# The baseline's development_folds: recording:the fold that tests on it/the folds that validate on it; all others train on it.
_LISTS = {
    "cafe_restaurant": "00:3/4 04:1/24 06:4/2 07:1/3 08:3/15 10:4/5 11:2/1 12:5/123 13:5/2 14:2/1",
    "city_center": "02:2/13 04:1/2345 05:3/125 06:4/25 07:4/ 09:3/1 10:5/4 11:1/23 12:2/ 14:5/14",
    "grocery_store": "00:4/35 01:2/3 02:5/2 03:3/ 04:1/5 08:2/ 09:1/ 11:3/4 12:4/3",
    "metro_station": "00:1/4 01:3/ 02:4/15 04:4/35 05:2/3 07:1/23 10:2/1 11:3/245 12:5/1",
    "residential_area": "00:5/ 01:5/4 03:4/25 04:4/5 05:2/4 06:3/ 07:1/4 08:1/ 09:1/ 12:2/345 14:3/1",
}
_TOPS = ("development_audio", "development_annotation")


def _parts(test: str, validation: str) -> dict[str, str]:
    found = {str(fold): "train" for fold in range(1, 6)} | dict.fromkeys(validation, "validation") | {test: "test"}
    return {f"fold{fold}": part for fold, part in found.items()}


class MAESTROReal(Dataset):
    """MAESTRO Real, development set (DCASE 2023 task 4B): 49 recordings of 3 to 5 min, 17 classes, soft labels.

    44.1 kHz, 3 h 10 min in all, of five scenes (``extra["scene"]``). Each second and label has a value in [0, 1], the annotators' weighted
    agreement: an event of 1 s with that weight; values of 0 give no event. A clip's tags are its largest weight per label.

    Five folds with published lists to train, to validate and to test on, those of the baseline system, which are not in the archives: a
    clip's fold is the one that tests on it. Published results are of all 17 classes trained, the 11 of `evaluated_labels` scored against
    hard labels (value > 0.5), segment-based at 1 s, counts pooled over the folds. The durations are known if the baseline's file is there.
    The evaluation set (Zenodo 7870026, no labels published) is not read. Archives with and without a top folder unpack alike.

    Layout: ``development_audio/<scene>/<recording>.wav``, ``development_annotation/soft_labels_<scene>/<recording>.txt`` (onset, offset,
    label, value; no header), and if wanted ``metadata/development_metadata.csv`` of github.com/marmoi/dcase2023_task4b_baseline.

    Attributes
    ----------
    evaluated_labels : the 11 with hard labels; ``with_labels("evaluated")`` keeps them alone.
    recordings : recording -> fold -> ``"train"``, ``"validation"`` or ``"test"``.

    Examples
    --------
    >>> MAESTROReal.recordings["cafe_restaurant_00"]["fold4"]
    'validation'
    """

    task = "detection"
    labels = (
        "birds_singing", "car", "people talking", "footsteps", "children voices", "wind_blowing",
        "brakes_squeaking", "large_vehicle", "cutlery and dishes", "furniture dragging", "coffee machine", "metro approaching",
        "metro leaving", "door opens/closes", "announcement", "shopping cart", "cash register beeping",
    )  # fmt: skip
    evaluated_labels: ClassVar[tuple[str, ...]] = (*labels[:9], "metro approaching", "metro leaving")
    label_sets: ClassVar[Mapping[str, Choice]] = {"evaluated": evaluated_labels}
    recordings: ClassVar[Mapping[str, Mapping[str, str]]] = {
        f"{scene}_{entry[:2]}": _parts(*entry[3:].split("/")) for scene, entries in _LISTS.items() for entry in entries.split()
    }
    folds = ("fold1", "fold2", "fold3", "fold4", "fold5")
    protocol = ListedFolds()
    label_step = 1.0
    archives = tuple(
        RemoteFile(f"https://zenodo.org/records/7244360/files/{top}.zip", checksum=f"md5:{md5}", into=top)
        for top, md5 in zip(_TOPS, ("3de7cb4f92a115a6f5cc077a41ca07b3", "e6a3f84f8020725d559b38ccb494ef3d"), strict=True)
    )
    flatten = _TOPS
    licence = "academic, non-commercial use; terms of Tampere University on zenodo.org/records/7244360"
    citation = "I. Martín-Morató, A. Mesaros, 'Strong Labeling of Sound Events Using Crowdsourced Weak Labels and Annotator Competence Estimation', IEEE/ACM Transactions on Audio, Speech, and Language Processing 31, 2023, pp. 902-914. doi:10.1109/TASLP.2022.3233468"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the annotation file of every published recording of which anything is there."""
        audio, annotation = (self.root / top for top in _TOPS)
        if not annotation.is_dir():
            raise not_found(annotation)
        table = self.root / "metadata" / "development_metadata.csv"
        rows = read_table(table, ("filename", "duration")) if table.exists() else ()
        durations = {row["filename"]: read_number(row, "duration", table) for row in rows}
        for name, parts in self.recordings.items():
            scene = name.rpartition("_")[0]
            sound, values = audio / scene / f"{name}.wav", annotation / f"soft_labels_{scene}" / f"{name}.txt"
            if not (sound.exists() or values.exists()):
                continue
            events = tuple(self._events(values))
            yield Clip(
                id=name,
                path=sound,
                duration=durations.get(name),
                fold=next(fold for fold, part in parts.items() if part == "test"),
                group=name,
                tags=events_to_tags(events),
                events=events,
                extra={"scene": scene, **parts},
            )

    def _events(self, path: Path) -> Iterable[Event]:
        for where, (onset, offset, label, value) in read_list(path, ("onset", "offset", "label", "value")):
            if label not in self.labels:
                raise DatasetError(f"{where}: unknown label {shorten(label)}; known: {', '.join(self.labels)}")
            try:
                weight = parse_number(value)
                # A sum of weights may be 1.0000000000000002.
                event = Event(parse_number(onset), parse_number(offset), label, 1.0 if 1 < weight < 1.001 else weight)
            except (ValueError, AnnotationError) as error:
                raise DatasetError(f"{where}: expected onset, offset, label and value in [0, 1] ({error}); correct the file") from error
            if event.weight > 0:
                yield event
