"""UrbanSound8K: urban sound classification, 10 classes."""

from collections.abc import Iterable
from os.path import splitext

from dcasekit.annotations import Clip
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile

_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")


class UrbanSound8k(Dataset):
    """UrbanSound8K: 8,732 excerpts of at most 4 s, ten classes, in ten predefined folds.

    Rates, bit depths and channels vary. Slices of one Freesound recording (the clip's group) lie in one fold; results on shuffled splits
    are too good and not comparable. Published accuracies are means over the ten folds.

    Layout: ``audio/fold<n>/<fsID>-<classID>-<occurrence>-<slice>.wav``, ``metadata/UrbanSound8K.csv``.

    Examples
    --------
    >>> UrbanSound8k("/data/UrbanSound8K").labels[-1]
    'street_music'
    """

    task = "classification"
    labels = (
        "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling",
        "engine_idling", "gun_shot", "jackhammer", "siren", "street_music",
    )  # fmt: skip
    folds = tuple(f"fold{number}" for number in range(1, 11))
    archives = (
        RemoteFile("https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz", checksum="md5:9aa69802bbf37fb986f71ec1483a196e"),
    )
    flatten = "UrbanSound8K"
    licence = "CC BY-NC 3.0"
    citation = "J. Salamon, C. Jacoby, J. P. Bello, 'A Dataset and Taxonomy for Urban Sound Research', ACM Multimedia, 2014. doi:10.1145/2647868.2655045"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read ``metadata/UrbanSound8K.csv``."""
        for row in read_table(self.root / "metadata" / "UrbanSound8K.csv", _COLUMNS):
            fold = f"fold{row['fold']}"
            yield Clip(
                id=splitext(row["slice_file_name"])[0],
                path=self.root / "audio" / fold / row["slice_file_name"],
                fold=fold,
                group=row["fsID"],
                tags={row["class"]: 1.0},
                extra={"salience": row["salience"], "start": row["start"], "end": row["end"]},
            )
