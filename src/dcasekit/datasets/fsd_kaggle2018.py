"""FSDKaggle2018: classification of Freesound clips, 41 classes."""

from collections.abc import Iterable
from os.path import splitext

from dcasekit.annotations import Clip
from dcasekit.core.cells import shorten
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

_PARTS = {  # the end of an archive's name: where its files go, and its MD5 sum
    "audio_train": ("audio/train", "a8b47ff4b52022c178f88fa5c6f080d0"),
    "audio_test": ("audio/test", "f85c8665c3fc39311ea1b748e194a81d"),
    "meta": ("meta", "f16828ac8be0e5285b9175a12f90d784"),
    "doc": ("doc", "4f2d1ac88f33a62f9db3108b269ee1b7"),
}
_FOLDS = {"Public": "validate", "Private": "test"}  # the leaderboard that a test clip counted for


class FSDKaggle2018(Dataset):
    """FSDKaggle2018: 11,073 Freesound clips of 0.3 to 30 s with one of 41 AudioSet labels (DCASE 2018, task 2).

    44.1 kHz, mono, 16 bit. Folds: train (9,473 clips, 94 to 300 per class, of which 3,710 are verified by hand:
    ``extra["manually_verified"]`` is ``"1"``; the others are right in an estimated 65 to 70 % or more), and the 1,600 clips of the
    challenge's test set, all verified: validate (its public leaderboard) and test (the private one). The challenge's score is mean average
    precision at 3 on test; ``select(["validate", "test"])`` gives all 1,600.

    A clip's group is its Freesound sound within its fold, so that the published split stands as it is. Sounds of one uploader may lie on
    both sides of it.

    Layout: ``audio/train/*.wav``, ``audio/test/*.wav``, ``meta/train_post_competition.csv``,
    ``meta/test_post_competition_scoring_clips.csv``.

    Examples
    --------
    >>> FSDKaggle2018("/data/FSDKaggle2018").labels[:3]
    ('Acoustic_guitar', 'Applause', 'Bark')
    """

    task = "classification"
    labels = (
        "Acoustic_guitar", "Applause", "Bark", "Bass_drum", "Burping_or_eructation", "Bus", "Cello", "Chime", "Clarinet",
        "Computer_keyboard", "Cough", "Cowbell", "Double_bass", "Drawer_open_or_close", "Electric_piano", "Fart", "Finger_snapping",
        "Fireworks", "Flute", "Glockenspiel", "Gong", "Gunshot_or_gunfire", "Harmonica", "Hi-hat", "Keys_jangling", "Knock", "Laughter",
        "Meow", "Microwave_oven", "Oboe", "Saxophone", "Scissors", "Shatter", "Snare_drum", "Squeak", "Tambourine", "Tearing", "Telephone",
        "Trumpet", "Violin_or_fiddle", "Writing",
    )  # fmt: skip
    folds = ("train", "validate", "test")
    protocol = TrainValidateTest()
    archives = tuple(
        RemoteFile(f"https://zenodo.org/records/2552860/files/FSDKaggle2018.{part}.zip", checksum=f"md5:{md5}", into=into)
        for part, (into, md5) in _PARTS.items()
    )
    flatten = tuple(f"FSDKaggle2018.{part}" for part in _PARTS)
    licence = "CC BY 4.0 as a whole; each clip's own licence (CC0 or CC BY) is in extra['license']"
    citation = "E. Fonseca, M. Plakal, F. Font, D. P. W. Ellis, X. Favory, J. Pons, X. Serra, 'General-purpose Tagging of Freesound Audio with AudioSet Labels: Task Description, Dataset, and Baseline', DCASE Workshop, 2018. arXiv:1807.09902"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the two tables in ``meta``."""
        meta, more = self.root / "meta", ("freesound_id", "license")
        for row in read_table(meta / "train_post_competition.csv", ("fname", "label", "manually_verified", *more)):
            yield self._clip(row, "train", "train")
        scoring = meta / "test_post_competition_scoring_clips.csv"
        for row in read_table(scoring, ("fname", "label", "usage", *more)):
            if row["usage"] not in _FOLDS:
                raise DatasetError(
                    f"{scoring}: {shorten(row['fname'])} has the unknown usage {shorten(row['usage'])}; known: {', '.join(_FOLDS)}"
                )
            yield self._clip(row, "test", _FOLDS[row["usage"]])

    def _clip(self, row: dict[str, str], folder: str, fold: str) -> Clip:
        return Clip(
            id=f"{folder}/{splitext(row['fname'])[0]}",
            path=self.root / "audio" / folder / row["fname"],
            fold=fold,
            group=f"{fold}/{row['freesound_id']}",
            tags={row["label"]: 1.0},
            extra={name: text for name, text in row.items() if name not in ("fname", "label")},
        )
