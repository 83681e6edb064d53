"""ESC-50: environmental sound classification, 50 classes."""

from collections.abc import Iterable
from os.path import splitext

from dcasekit.annotations import Clip
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile

_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


class ESC50(Dataset):
    """ESC-50: 2,000 clips of 5 s, 50 classes of 40, in five predefined folds.

    Freesound extracts, 44.1 kHz mono. All clips of one source recording lie in one fold; the source is the clip's group. Published
    accuracies are means over the five folds, each tested with a model trained on the other four.

    The meta file's own file names are used, so a copy in another format (ogg, flac) with a meta file to match loads as it is.

    Layout: ``audio/<fold>-<source>-<take>-<target>.wav``, ``meta/esc50.csv``.

    Examples
    --------
    >>> ESC50("/data/ESC-50").labels[:3]
    ('dog', 'rooster', 'pig')
    """

    task = "classification"
    labels: tuple[str, ...] = (
        "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
        "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds", "water_drops", "wind", "pouring_water",
        "toilet_flush", "thunderstorm",
        "crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing", "brushing_teeth",
        "snoring", "drinking_sipping",
        "door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening", "washing_machine",
        "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking",
        "helicopter", "chainsaw", "siren", "car_horn", "engine", "train", "church_bells", "airplane", "fireworks", "hand_saw",
    )  # fmt: skip
    folds = ("fold1", "fold2", "fold3", "fold4", "fold5")
    # GitHub packs this archive anew from time to time; this is the newest sum known (soundata issue 208).
    archives = (
        RemoteFile(
            "https://github.com/karoldvl/ESC-50/archive/master.zip",
            checksum="md5:629e8e9ebc1592bcceb06da6bec40275",
            name="ESC-50-master.zip",
        ),
    )
    flatten = "ESC-50-master"
    licence = "CC BY-NC 3.0 (the ESC-10 subset: CC BY 3.0); each clip's own licence is in the dataset's LICENSE file"
    citation = "K. J. Piczak, 'ESC: Dataset for Environmental Sound Classification', ACM Multimedia, 2015. doi:10.1145/2733373.2806390"

    def load(self) -> Iterable[Clip]:
        """Read ``meta/esc50.csv``."""
        for row in read_table(self.root / "meta" / "esc50.csv", _COLUMNS):
            yield Clip(
                id=splitext(row["filename"])[0],
                path=self.root / "audio" / row["filename"],
                fold=f"fold{row['fold']}",
                group=row["src_file"],
                tags={row["category"]: 1.0},
                extra={"esc10": row["esc10"], "take": row["take"]},
            )
