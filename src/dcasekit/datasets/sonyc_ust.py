"""SONYC-UST: urban sound tagging with recordings of New York's sensors, 8 or 23 classes."""

from collections.abc import Iterable, Sequence
from os.path import splitext
from typing import Literal

from dcasekit.annotations import Clip
from dcasekit.core.cells import shorten
from dcasekit.core.units import PathLike
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile
from dcasekit.errors import DatasetError

Taxonomy = Literal["coarse", "fine"]
Votes = Literal["any", "share"]

# Coarse class: its fine classes, and what the table calls "it is one of these, but not clear which" ("": the one fine class says it all).
_CLASSES: dict[str, tuple[tuple[str, ...], str]] = {
    "engine": (("small-sounding-engine", "medium-sounding-engine", "large-sounding-engine"), "engine-of-uncertain-size"),
    "machinery-impact": (("rock-drill", "jackhammer", "hoe-ram", "pile-driver"), "other-unknown-impact-machinery"),
    "non-machinery-impact": (("non-machinery-impact",), ""),
    "powered-saw": (("chainsaw", "small-medium-rotating-saw", "large-rotating-saw"), "other-unknown-powered-saw"),
    "alert-signal": (("car-horn", "car-alarm", "siren", "reverse-beeper"), "other-unknown-alert-signal"),
    "music": (("stationary-music", "mobile-music", "ice-cream-truck"), "music-from-uncertain-source"),
    "human-voice": (
        ("person-or-small-group-talking", "person-or-small-group-shouting", "large-crowd", "amplified-speech"),
        "other-unknown-human-voice",
    ),
    "dog": (("dog-barking-whining",), ""),
}
# Label -> column of the table.
_COARSE = {name: f"{number}_{name}_presence" for number, name in enumerate(_CLASSES, 1)}
_FINE = {name: f"{number}-{at}_{name}_presence" for number, (fine, _) in enumerate(_CLASSES.values(), 1) for at, name in enumerate(fine, 1)}
_UNCERTAIN = {name: f"{number}-X_{text}_presence" for number, (name, (_, text)) in enumerate(_CLASSES.items(), 1) if text}
_UNCLEAR = {label: _UNCERTAIN[name] for name, (fine, text) in _CLASSES.items() if text for label in fine}  # fine label -> that column
_PLACE = ("sensor_id", "borough", "block", "latitude", "longitude", "year", "week", "day", "hour")
_COLUMNS = ("split", "audio_filename", "annotator_id", *_PLACE, *_COARSE.values(), *_FINE.values(), *_UNCERTAIN.values())
_PRESENCE = {"1": 1, "0": 0, "-1": None}

_SUMS = (
    "bbb4dbae7d2e58e18d24878b9ee1eb51", "7c369ff37ac6a1fdd8493fdffe62e0a1", "412241c063d7f196953d3dd1c44aeb5e",
    "d2a872392d95993a2c238d305b940812", "b15b0e0cb3f8584259ef0d24293a9be3", "de745f887067433757a2f2c8f99f99bb",
    "b0286c67468369d66336f6f5ddede31f", "ff300183ab7a9d3f2f74c3b730ffeb52", "7be76b821fa6dbe20f6b50ca440e1024",
    "959f7edfbb26eadad9865069f38aa9dd", "84e94de273666c537a3e6b709ee88d9b", "44fe1f43121a7d1178aa0cdf7477793b",
    "a7eb21011f460b5ac289f8e285e875ab", "27945a8b1008eec787f97213164951e6", "fb8c7d81c3bde3a0c86c1e55e6a85a24",
    "f6af9b65d876ef96d199b9e5f0473cb9", "e8337c61a90c30989d500f950fbe443a", "3e47e85eb4564a30fe7f442ee97ec7b9",
    "c6b2ef4d0d5b7269d465c469cdbbdc4b",
)  # fmt: skip
_ZENODO = "https://zenodo.org/records/3966543/files"


class SONYCUST(Dataset):
    """SONYC-UST 2.3: 18,510 recordings of 10 s from sensors in New York City, tagged by volunteers (DCASE 2020, task 5).

    Mono. Folds: train (13,538 recordings, 35 sensors), validate (4,308, 9 other sensors), test (664, 48 sensors, later than all
    others). Eight coarse classes, or 23 fine ones. The challenge's score is micro-averaged AUPRC on the verified clips of a fold.

    Three volunteers annotated each clip, and for some the SONYC team agreed on a consensus (all of test, parts of the others):
    ``extra["verified"]`` is then ``"True"``, and the tags are that consensus. Otherwise `votes` says what they are. The challenge's
    baseline trains on ``"any"``, from the volunteers alone where there is a consensus too, and validates on verified clips only.

    The table's -1 says *not annotated* and is never a vote against: a label that nobody annotated has the tag ``None``, unknown, which
    losses and metrics leave out; a clip without any other has ``tags=None``. One that somebody annotated has 0.0 if it does not sound. "One
    of these, but not clear which" (the table's ``X``) counts for the coarse class, and says nothing of the fine labels it may be; the fine
    taxonomy names such classes in ``extra["uncertain"]``.

    A clip's group is its sensor; in the test fold the sensor and ``-test``, because test shares sensors with the others on purpose (it is
    displaced in time), and the published split is to stand.

    The top folder of the archives, ``audio`` or their own name, was not verified; either will do.

    Layout: ``audio/*.wav``, ``annotations.csv`` (a row per recording and annotator), ``dcase-ust-taxonomy.yaml`` (not read).

    Parameters
    ----------
    root, cache : see `Dataset`.
    taxonomy : ``"coarse"`` (default, the challenge's main ranking) or ``"fine"``: which labels.
    votes : of clips without consensus: ``"any"`` (default, as published): 1 where at least one person hears it; ``"share"``: the share of
        those who annotated the label, a soft tag.

    Examples
    --------
    >>> len(SONYCUST("/data/SONYC-UST").labels), len(SONYCUST("/data/SONYC-UST", taxonomy="fine").labels)
    (8, 23)
    """

    task = "tagging"
    labels: tuple[str, ...] = tuple(_COARSE)
    folds = ("train", "validate", "test")
    protocol = TrainValidateTest()
    archives = (
        *(RemoteFile(f"{_ZENODO}/audio-{number}.tar.gz", checksum=f"md5:{md5}", into="audio") for number, md5 in enumerate(_SUMS)),
        RemoteFile(f"{_ZENODO}/annotations.csv", checksum="md5:70b507b15bb4cfcce4870925302f276b"),
        RemoteFile(f"{_ZENODO}/dcase-ust-taxonomy.yaml", checksum="md5:6c1cca1c4c383a6ebb0cb71cb74fe3a9"),
    )
    flatten = ("audio", *(f"audio-{number}" for number in range(len(_SUMS))))
    licence = "CC BY 4.0"
    citation = "M. Cartwright, J. Cramer, A. E. Mendez Mendez, Y. Wang, H.-H. Wu, V. Lostanlen, M. Fuentes, G. Dove, C. Mydlarz, J. Salamon, O. Nov, J. P. Bello, 'SONYC-UST-V2: An Urban Sound Tagging Dataset with Spatiotemporal Context', DCASE Workshop, 2020. arXiv:2009.05188"  # noqa: E501

    def __init__(self, root: PathLike, *, cache: PathLike | None = None, taxonomy: Taxonomy = "coarse", votes: Votes = "any") -> None:
        super().__init__(root, cache=cache)
        if taxonomy not in ("coarse", "fine") or votes not in ("any", "share"):
            raise DatasetError(f"taxonomy must be 'coarse' or 'fine', votes 'any' or 'share'; got {taxonomy!r} and {votes!r}")
        self._columns = _FINE if taxonomy == "fine" else _COARSE
        self._uncertain = _UNCERTAIN if taxonomy == "fine" else {}
        self._votes = votes
        self.labels = tuple(self._columns)

    def load(self) -> Iterable[Clip]:
        """Read ``annotations.csv``."""
        clips: dict[str, list[dict[str, str]]] = {}
        for row in read_table(self.root / "annotations.csv", _COLUMNS):
            clips.setdefault(row["audio_filename"], []).append(row)
        for name, rows in clips.items():
            first = rows[0]
            if any(row["split"] != first["split"] or row["sensor_id"] != first["sensor_id"] for row in rows):
                raise DatasetError(
                    f"{self.root / 'annotations.csv'}: the rows of {name} do not agree on its split and sensor; correct them"
                )
            tags = self._tags(rows, self._columns)
            known = any(value is not None for value in tags.values())
            extra = {column.removesuffix("_id"): first[column] for column in _PLACE}
            extra["verified"] = str(any(row["annotator_id"] == "0" for row in rows))
            if self._uncertain:
                extra["uncertain"] = ",".join(label for label, value in self._tags(rows, self._uncertain).items() if value)
            yield Clip(
                id=splitext(name)[0],
                path=self.root / "audio" / name,
                fold=first["split"],
                group=first["sensor_id"] + ("-test" if first["split"] == "test" else ""),
                tags=tags if known else None,
                extra=extra,
            )

    def _tags(self, rows: Sequence[dict[str, str]], columns: dict[str, str]) -> dict[str, float | None]:
        """Sum up what was annotated: label -> value, ``None`` where nobody said anything."""
        tags: dict[str, float | None] = {}
        for label, column in columns.items():
            votes = [(row["annotator_id"], vote) for row in rows if (vote := self._vote(row, label, column)) is not None]
            agreed = [vote for annotator, vote in votes if annotator == "0"]
            cast = agreed or [vote for _, vote in votes]
            share = sum(cast) / len(cast) if cast else None
            tags[label] = float(max(cast)) if cast and (agreed or self._votes == "any") else share
        return tags

    def _vote(self, row: dict[str, str], label: str, column: str) -> int | None:
        """Say what an annotator says of a label; nothing, where they hear one of several and cannot tell which."""
        vote = self._presence(row, column)
        unclear = self._uncertain and _UNCLEAR.get(label)
        return None if vote == 0 and unclear and self._presence(row, unclear) == 1 else vote

    def _presence(self, row: dict[str, str], column: str) -> int | None:
        try:
            return _PRESENCE[row[column]]
        except KeyError:
            raise DatasetError(
                f"{self.root / 'annotations.csv'}: {shorten(row['audio_filename'])}, annotator {shorten(row['annotator_id'])}, "
                f"has {shorten(row[column])} in column {column}; expected 1, 0 or -1 (not annotated)"
            ) from None
