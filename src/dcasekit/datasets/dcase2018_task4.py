"""DCASE 2018 task 4: sound event detection at home from weak labels, 10 classes."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from dcasekit.annotations import Clip, Event, events_to_tags, read_events, read_tag_list
from dcasekit.datasets._protocols import TrainTest
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError


class DCASE2018Task4(Dataset):
    """DCASE 2018 task 4: clips of at most 10 s from YouTube (a part of AudioSet), ten classes of sounds at home, many without label.

    44.1 kHz. Folds: weak (1,578 clips with labels, without times), unlabel_in_domain (14,412 clips about which nothing is known), test
    (288 clips, 908 events), eval (880 clips, of which 15 hold no event; its list may lack). Published results are event-based macro F1
    with collars of 200 ms, at an event's end 20 % of its length if that is more, of a model trained on weak, with or without
    unlabel_in_domain, and tested on test or on eval. A clip's group is its film.

    **The audio was never published**: everybody fetched it from YouTube, and many films are gone. Clips without a file are left out and
    counted as `missing`; numbers from different copies are compared with care. The lists differ from their description: the weak labels
    of a clip have commas between them, not semicolons (both are read), three rows name a label twice (so published counts of Alarm and
    Running_water are 1 and 2 too high), some events end after 10 s, and the files of ``files_to_remove.csv``, which are in weak as well,
    left ``test.csv`` in July 2018 (in an older copy they are skipped). The 39,999 unlabelled clips out of domain, which the baseline does
    not use, are not read.

    Layout, that of the folder ``dataset`` in the baseline's repository (github.com/DCASE-REPO/dcase2018_baseline, ``task4``):
    ``metadata/train/{weak,unlabel_in_domain}.csv``, ``metadata/test/{test,files_to_remove}.csv``, ``metadata/eval/eval.csv``,
    ``audio/{train/weak,train/unlabel_in_domain,test,eval}/Y<film>_<start>_<end>.wav``.

    Examples
    --------
    >>> DCASE2018Task4("/data/dcase2018_task4").folds
    ('weak', 'unlabel_in_domain', 'test', 'eval')
    """

    task = "detection"
    labels = (
        "Alarm_bell_ringing", "Blender", "Cat", "Dishes", "Dog",
        "Electric_shaver_toothbrush", "Frying", "Running_water", "Speech", "Vacuum_cleaner",
    )  # fmt: skip
    folds = ("weak", "unlabel_in_domain", "test", "eval")
    protocol = TrainTest(train=("weak",), test=("test", "eval"))
    files_may_lack = True
    licence = "MIT for the lists; each sound is its uploader's, under YouTube's terms"
    citation = "R. Serizel, N. Turpault, H. Eghbal-Zadeh, A. P. Shah, 'Large-Scale Weakly Labeled Semi-Supervised Sound Event Detection in Domestic Environments', DCASE Workshop, 2018, pp. 19-23. arXiv:1807.10501"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the lists in ``metadata``."""
        lists = self.root / "metadata"
        for name, tags in read_tag_list(lists / "train" / "weak.csv").items():
            yield self._clip(name, "train/weak", tags, None)
        for row in read_table(lists / "train" / "unlabel_in_domain.csv", ("filename",)):
            yield self._clip(row["filename"], "train/unlabel_in_domain", None, None)
        removed = lists / "test" / "files_to_remove.csv"
        gone = {row["filename"] for row in read_table(removed, ("filename",))} if removed.exists() else set()
        for fold in ("test", "eval"):
            path = lists / fold / f"{fold}.csv"
            for name, events in read_events(path).items() if fold == "test" or path.exists() else ():
                if fold == "eval" or name not in gone:
                    yield self._clip(name, fold, events_to_tags(events), tuple(events))

    def _clip(self, name: str, folder: str, tags: Mapping[str, float | None] | None, events: tuple[Event, ...] | None) -> Clip:
        return Clip(
            id=name.removesuffix(".wav"),
            path=self.root / "audio" / folder / name,
            fold=PurePosixPath(folder).name,
            group=name[1:12],
            tags=tags,
            events=events,
        )

    def download(self, *, force: bool = False, progress: bool = False) -> bool:  # noqa: ARG002
        """Say how to come by the files; there is nothing to fetch. ``False`` once they are marked as there, see `set_as_downloaded`.

        Raises
        ------
        DatasetError : they are not.
        """
        if not force and self.check_if_downloaded():
            return False
        raise DatasetError(
            f"{self.name} has no archive: its audio was cut from YouTube by the baseline's download_data.py. Copy the folder 'metadata' of "
            f"github.com/DCASE-REPO/dcase2018_baseline, task4/dataset, into {self.root}, and the clips you have into "
            f"{self.root / 'audio'}: train/weak, train/unlabel_in_domain, test, eval; missing ones are left out and counted"
        )
