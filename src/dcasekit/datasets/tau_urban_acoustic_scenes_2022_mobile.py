"""TAU Urban Acoustic Scenes 2022 Mobile: acoustic scene classification in clips of a second, 10 scenes, nine devices."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from dcasekit.annotations import Clip
from dcasekit.core.cells import shorten
from dcasekit.core.units import PathLike
from dcasekit.datasets._tables import listed_path, read_table
from dcasekit.datasets._urban_scenes import UrbanScenes, zenodo
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

_SUBSETS = (5, 10, 25, 50)
_LISTS = "https://github.com/CPJKU/dcase2024_task1_baseline/releases/download/files"


class TAUUrbanAcousticScenes2022Mobile(UrbanScenes):
    """TAU Urban Acoustic Scenes 2022 Mobile, development set (DCASE 2022 to 2025 task 1): 64 h in 230,350 clips of 1 s, ten scenes.

    The recordings of the 2020 edition, cut into seconds: 44.1 kHz, mono, ten European cities, three real devices (a, b, c) and six
    simulated ones (s1 to s6); ``extra["device"]`` says which. A clip's group is its location (``city-location``), whatever the device.
    Fold 1, the only one published: 139,620 clips to train, most of them of device a, and 29,680 to test, 3,300 per device but for a few;
    s4, s5 and s6 are in the test clips alone. Clips in neither list have the fold ``unused``. The published number is the mean of the
    scenes' accuracies, also by device. There are no validation clips; draw them with `validation_split`.

    Since 2024 systems are trained on a share of the training clips; in 2025 on 25 %, and no other training clip may be touched. The lists
    of these shares come from the baseline's authors; their checksums are not published.

    The evaluation sets of the challenges are not read. The scenes are in the order of the 2020 edition.

    Layout: ``audio/<scene>-<city>-<location>-<segment>-<second>-<device>.wav``, ``meta.csv``,
    ``evaluation_setup/fold1_{train,evaluate}.csv``, and ``split{5,10,25,50}.csv``, of which the one asked for is read.

    Parameters
    ----------
    root, cache : see `Dataset`.
    subset : percent of the training clips that are trained on: 5, 10, 25, 50, or all, 100 (default). The others have the fold ``unused``.

    Examples
    --------
    >>> TAUUrbanAcousticScenes2022Mobile("/data/TAU2022", subset=25).folds
    ('train', 'test', 'unused')
    """

    labels = (
        "airport", "shopping_mall", "metro_station", "street_pedestrian", "public_square",
        "street_traffic", "tram", "bus", "metro", "park",
    )  # fmt: skip
    flatten = "TAU-urban-acoustic-scenes-2022-mobile-development"
    archives = (
        *zenodo(
            6337421,
            flatten,
            "9c4f610bdb5d3e3e72a17d393a26452a",
            "419b6ff6570f1030730352dc80cd8d15",
            """
            8be14bdbd844481dce059ab31fbd2239 e821abda49b069248bb75eab39df7575 9c7897f78bb42ca0008936daddf3f8f3
            53ec3e37c0fc0be75f53c5abbc5300b8 528422c33c5d10263203d2c61cb1f3be 4759a9465c903e13e57d5e82e791fc28
            6d545fc83a55a17856a9ccc1ac9aff6b 3a2916a9b5d3f43cc7a22a62b180b0d9 071f664c86639ad730f7be4e3c39d886
            e0839d019e9b77ecbcbb0eff85965530 fc60f1c83726be3963ae14fbcb95eeb4 02246547f86c0a814dc63ec65d7033bb
            88ae9ef884665140d1572d8061725e00 c3f400d74ae90e5190dc518cde43de47 85594c6fe4f91c10aa2a410f748103b8
            6e2df8438c69f6789414aeba8cbad9d8
            """,
        ),
        *(RemoteFile(f"{_LISTS}/split{share}.csv") for share in _SUBSETS),
    )
    licence = "academic, non-commercial use; terms of Tampere University in the dataset's LICENSE file"
    citation = "T. Heittola, A. Mesaros, T. Virtanen, 'Acoustic scene classification in DCASE 2020 Challenge: generalization across devices and low complexity solutions', DCASE Workshop, 2020, pp. 56-60"  # noqa: E501

    def __init__(self, root: PathLike, *, cache: PathLike | None = None, subset: Literal[5, 10, 25, 50, 100] = 100) -> None:
        super().__init__(root, cache=cache)
        if subset not in (*_SUBSETS, 100):
            raise DatasetError(f"subset is the percentage of training clips: 5, 10, 25, 50 or 100; got {subset!r}")
        self._subset = subset

    def load(self) -> Iterable[Clip]:
        """Read ``meta.csv``, the lists in ``evaluation_setup``, and that of the subset."""
        clips = super().load()
        if self._subset == 100:
            yield from clips
            return
        path = self.root / f"split{self._subset}.csv"
        chosen = {str(listed_path(self.root, row["filename"])): row["filename"] for row in read_table(path, ("filename",))}
        for clip in clips:
            inside = chosen.pop(str(clip.path), None) is not None
            if inside and clip.fold != "train":
                raise DatasetError(f"{path}: {shorten(clip.id)} is not in fold1_train.csv; mend one of them, or run download() anew")
            yield clip if inside or clip.fold != "train" else replace(clip, fold="unused")
        for name in chosen.values():
            raise DatasetError(f"{path}: {shorten(name)} is not in {self.root / 'meta.csv'}; mend one of them, or run download() anew")
