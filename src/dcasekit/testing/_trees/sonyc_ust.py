"""SONYC-UST: one folder, one wide table with a row per recording and annotator, volunteers and the team that agreed on a consensus."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_TAXONOMY = """coarse:
  1: engine
  2: machinery-impact
  3: non-machinery-impact
  4: powered-saw
  5: alert-signal
  6: music
  7: human-voice
  8: dog
fine:
  1:
    1: small-sounding-engine
    2: medium-sounding-engine
    3: large-sounding-engine
    X: engine-of-uncertain-size
  2:
    1: rock-drill
    2: jackhammer
    3: hoe-ram
    4: pile-driver
    X: other-unknown-impact-machinery
  3:
    1: non-machinery-impact
  4:
    1: chainsaw
    2: small-medium-rotating-saw
    3: large-rotating-saw
    X: other-unknown-powered-saw
  5:
    1: car-horn
    2: car-alarm
    3: siren
    4: reverse-beeper
    X: other-unknown-alert-signal
  6:
    1: stationary-music
    2: mobile-music
    3: ice-cream-truck
    X: music-from-uncertain-source
  7:
    1: person-or-small-group-talking
    2: person-or-small-group-shouting
    3: large-crowd
    4: amplified-speech
    X: other-unknown-human-voice
  8:
    1: dog-barking-whining
"""
_HEAD = "split,sensor_id,audio_filename,annotator_id,borough,block,latitude,longitude,year,week,day,hour"
# A fold's sensors; the test fold shares those of the others.
_SENSORS = {"train": (0, 1, 2), "validate": (3, 4), "test": (0, 3, 5)}


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    coarse, fine = _columns()
    classes = [*fine, *coarse]
    table = [",".join([_HEAD, *(f"{name}_presence" for name in classes), *(f"{name}_proximity" for name in fine)])]
    for number in range(clips):
        pair = number // 2
        fold, label = kind.folds[pair % 3], pair // 3 % len(fine)
        sensor = _SENSORS[fold][pair // 3 % len(_SENSORS[fold])]
        name, heard = f"{sensor:02}_{number:06}.wav", fine[label]
        places = ("1,547,40.72951,-73.99388", "3,4,40.7,-73.98")[sensor % 2]
        for annotator in _annotators(fold, number):
            # The second volunteer hears nothing; of the team each member looks at one coarse class alone.
            present = {heard, heard[0]} if annotator != 2 + number * 3 else set()
            cells = [_cell(column, present, heard if annotator < 0 else None) for column in classes]
            near = [("near" if annotator > 0 and column in present else "-1") for column in fine]
            when = f"{2019 if fold == 'test' else 2017},{1 + number % 52},{number % 7},{number % 24}"
            table.append(",".join([fold, str(sensor), name, str(annotator), places, when, *cells, *near]))
        sounds.write(root / "audio" / name, label, number)
    write_text(root / "annotations.csv", "\n".join(table) + "\n")
    write_text(root / "dcase-ust-taxonomy.yaml", _TAXONOMY)
    return kind(root)


def _columns() -> tuple[list[str], list[str]]:
    """Name the table's classes: ``1_engine``, and ``1-1_small-sounding-engine``."""
    coarse, _, fine = _TAXONOMY.partition("fine:\n")
    names, number = [], ""
    for line in fine.splitlines():
        key, _, name = line.strip().partition(":")
        number = number if name else key
        names += [f"{number}-{key}_{name.strip()}"] if name else []
    return [line.strip().replace(": ", "_") for line in coarse.splitlines()[1:]], names


def _annotators(fold: str, number: int) -> list[int]:
    """Three volunteers; in the test fold, and for some clips of the others, two of the team and their consensus."""
    return [*(number * 3 + index for index in (1, 2, 3)), *((-1, -2, 0) if fold == "test" or number % 5 == 0 else ())]


def _cell(column: str, present: set[str], only: str | None) -> str:
    if only is not None and column[0] != only[0]:
        return "-1"
    return str(int(column in present or column.partition("_")[0] in present))
