"""Urban acoustic scenes (Tampere, DCASE task 1): what the editions share."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from dcasekit.annotations import Clip
from dcasekit.core.cells import shorten
from dcasekit.datasets._labels import Choice
from dcasekit.datasets._protocols import TrainTest
from dcasekit.datasets._tables import listed_path, read_list, read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

_COLUMNS = ("filename", "scene_label", "identifier", "source_label")

_THREE = {
    **dict.fromkeys(("airport", "shopping_mall", "metro_station"), "indoor"),
    **dict.fromkeys(("street_pedestrian", "public_square", "street_traffic", "park"), "outdoor"),
    **dict.fromkeys(("bus", "metro", "tram"), "transportation"),
}


def zenodo(record: int, name: str, doc: str, meta: str, audio: str) -> tuple[RemoteFile, ...]:
    """Return the archives of an edition on Zenodo; `doc`, `meta` and `audio` (one after the other) are their md5 sums."""
    sums = {"doc": doc, "meta": meta} | {f"audio.{number}": md5 for number, md5 in enumerate(audio.split(), 1)}
    url = f"https://zenodo.org/records/{record}/files/{name}"
    return tuple(RemoteFile(f"{url}.{part}.zip", checksum=f"md5:{md5}") for part, md5 in sums.items())


class UrbanScenes(Dataset):
    """Clips of ten scenes, each from a numbered location in a city; a meta table, and lists for one published split.

    An edition adds its archives, its order of labels, and the suffix of its lists. ``with_labels("three")`` joins the scenes to the three
    of DCASE 2020 task 1B: indoor, outdoor, transportation.
    """

    task = "classification"
    folds: ClassVar[tuple[str, ...]] = ("train", "test", "unused")
    protocol = TrainTest()
    label_sets: ClassVar[Mapping[str, Choice]] = {"three": _THREE}
    lists: ClassVar[str] = ".csv"  # with a header; .txt: without

    def load(self) -> Iterable[Clip]:
        """Read ``meta.csv`` and the lists in ``evaluation_setup``."""
        listed = self._list("fold1_train", "train")
        for name, found in self._list("fold1_evaluate", "test").items():
            if name in listed:
                raise DatasetError(
                    f"{self.root / 'evaluation_setup'}: {shorten(name)} is in both fold1_train and fold1_evaluate; correct the lists"
                )
            listed[name] = found
        meta = self.root / "meta.csv"
        for row in read_table(meta, _COLUMNS):
            name, scene, place = row["filename"], row["scene_label"], row["identifier"]
            fold, same, where = listed.pop(name, ("unused", scene, ""))
            if same != scene:
                raise DatasetError(
                    f"{where}: {shorten(name)} is {shorten(same)}, in {meta} it is {shorten(scene)}; correct one, or run "
                    "download(force=True)"
                )
            yield Clip(
                id=PurePosixPath(name).stem,
                path=listed_path(self.root, name),
                fold=fold,
                group=place,
                tags={scene: 1.0},
                extra={"city": place.rpartition("-")[0], "device": row["source_label"]},
            )
        for name, (*_, where) in listed.items():
            raise DatasetError(f"{where}: {shorten(name)} is not in {meta}; correct one of them, or run download(force=True)")

    def _list(self, stem: str, fold: str) -> dict[str, tuple[str, str, str]]:
        """Read one list: file name -> fold, scene, and where that is written."""
        path = self.root / "evaluation_setup" / f"{stem}{self.lists}"
        if self.lists == ".txt":
            rows = [(row[0], row[1], where) for where, row in read_list(path, ("filename", "scene label"))]
        else:
            rows = [(row["filename"], row["scene_label"], str(path)) for row in read_table(path, ("filename", "scene_label"))]
        found: dict[str, tuple[str, str, str]] = {}
        for name, scene, where in rows:
            if name in found:
                raise DatasetError(f"{where}: {shorten(name)} is listed twice; remove one of the rows")
            found[name] = (fold, scene, where)
        return found
