"""URBAN-SED: sound event detection in synthetic urban soundscapes, 10 classes."""

from collections.abc import Iterable
from pathlib import Path

from dcasekit.annotations import Clip, Event, events_to_tags
from dcasekit.core.cells import shorten
from dcasekit.datasets._event_files import pairs, rows
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError


class UrbanSED(Dataset):
    """URBAN-SED 2.0: 10,000 synthetic soundscapes of 10 s with some 50,000 events of UrbanSound8K's ten classes.

    44.1 kHz, mono, 16 bit, made with Scaper from UrbanSound8K over Brownian noise; one to nine events each, which may overlap. Times are
    exact by construction. Folds: train (6,000 soundscapes from UrbanSound8K's folds 1-6), validate (2,000, folds 7-8), test (2,000, folds
    9-10), so no source recording lies in two. Published results are segment-based F1 and error rate at 1 s on the test fold.

    What stays in the background is not annotated. The longer JAMS annotations beside the text files are not read.

    Layout: ``audio/<fold>/<name>.wav``, ``annotations/<fold>/<name>.txt`` (onset, offset and label between tabs, no header).

    Examples
    --------
    >>> UrbanSED("/data/URBAN-SED").folds
    ('train', 'validate', 'test')
    """

    task = "detection"
    labels = (
        "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling",
        "engine_idling", "gun_shot", "jackhammer", "siren", "street_music",
    )  # fmt: skip
    folds = ("train", "validate", "test")
    protocol = TrainValidateTest()
    archives = (
        RemoteFile("https://zenodo.org/records/1324404/files/URBAN-SED_v2.0.0.tar.gz", checksum="md5:a2d24a2148ece7c021fcc079ee87c2dc"),
    )
    flatten = "URBAN-SED_v2.0.0"
    licence = "CC BY 4.0; the sources' authors are listed in FREESOUNDCREDITS.txt"
    citation = "J. Salamon, D. MacConnell, M. Cartwright, P. Li, J. P. Bello, 'Scaper: A Library for Soundscape Synthesis and Augmentation', IEEE WASPAA, 2017, pp. 344-348. doi:10.1109/WASPAA.2017.8170052"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the text files in ``annotations``."""
        for fold in self.folds:
            for audio, annotation in pairs(self.root, fold, ".wav"):
                events = tuple(self._events(annotation))
                yield Clip(id=audio.stem, path=audio, fold=fold, tags=events_to_tags(events), events=events)

    def _events(self, path: Path) -> Iterable[Event]:
        for where, event in rows(path):
            if event.label not in self.labels:
                raise DatasetError(f"{where}: unknown label {shorten(event.label)}; known: {', '.join(self.labels)}")
            yield event
