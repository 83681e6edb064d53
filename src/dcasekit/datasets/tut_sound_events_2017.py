"""TUT Sound Events 2017: sound event detection in streets, 6 classes."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from dcasekit.annotations import Clip, events_to_tags, read_annotation
from dcasekit.datasets._protocols import CrossValidation
from dcasekit.datasets._tables import listed_path, read_list
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile

_DEVELOPMENT = {
    "audio.1": "6f1cd31592b8240a14be3ee513db6a23",
    "audio.2": "adcff03341b84dc8d35f035b93c1efa0",
    "doc": "aa6024e70f5bff3fe15d962b01753e23",
    "meta": "50e870b3a89ed3452e2a35b508840929",
}
_EVALUATION = {
    "audio": "1d3aa81896be0f142130ca9ca7a2b871",
    "doc": "8bbf41671949edee15d6cdc3f9e726c9",
    "meta": "a951598abaea87296ca409e30fb0b379",
}


class TUTSoundEvents2017(Dataset):
    """TUT Sound Events 2017 (DCASE 2017 task 3): 32 street recordings of 3 to 5 min, six classes, overlapping.

    44.1 kHz, 24 bit, binaural (two channels); each recording is from a street of its own. Development: 24 recordings, 1:32:08, 659 events,
    in four predefined folds. Evaluation: 8 recordings, 0:29:09, 247 events, here the fold ``test``, never trained or validated on.
    Published results on development data pool the counts of the four folds (segment-based F1 and error rate at 1 s); those on evaluation
    data come from a model trained on all four.

    The archives of development and evaluation are merged into one folder. Their annotation files differ: 3 columns and 7. The
    non-verified annotations are not read.

    Layout: ``audio/street/<name>.wav``, ``meta/street/<name>.ann``, ``evaluation_setup/street_fold<n>_test.txt``,
    ``evaluation_setup/street_test.txt`` (none has a header).

    Examples
    --------
    >>> TUTSoundEvents2017("/data/TUT2017").labels[:2]
    ('brakes squeaking', 'car')
    """

    task = "detection"
    labels = ("brakes squeaking", "car", "children", "large vehicle", "people speaking", "people walking")
    folds = ("fold1", "fold2", "fold3", "fold4", "test")
    protocol = CrossValidation(held_out=("test",))
    archives = tuple(
        RemoteFile(f"https://zenodo.org/records/{record}/files/TUT-sound-events-2017-{part}.{name}.zip", checksum=f"md5:{md5}")
        for record, part, sums in ((814831, "development", _DEVELOPMENT), (1040179, "evaluation", _EVALUATION))
        for name, md5 in sums.items()
    )
    flatten = ("TUT-sound-events-2017-development", "TUT-sound-events-2017-evaluation")
    licence = "academic, non-commercial use; terms of Tampere University of Technology in the dataset's EULA file"
    citation = "A. Mesaros, T. Heittola, A. Diment, B. Elizalde, A. Shah, E. Vincent, B. Raj, T. Virtanen, 'DCASE 2017 Challenge Setup: Tasks, Datasets and Baseline System', DCASE Workshop, 2017, pp. 85-92"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the lists in ``evaluation_setup`` and the annotation files they name."""
        for fold in self.folds:
            path = self.root / "evaluation_setup" / ("street_test.txt" if fold == "test" else f"street_{fold}_test.txt")
            for _, (name, scene, *_) in read_list(path, ("filename", "scene label"), more=True):
                stem = PurePosixPath(name).stem
                events = tuple(read_annotation(listed_path(self.root / "meta", f"{scene}/{stem}.ann"), format="tsv"))
                yield Clip(
                    id=stem,
                    path=listed_path(self.root, name),
                    fold=fold,
                    tags=events_to_tags(events),
                    events=events,
                    extra={"scene": scene},
                )
