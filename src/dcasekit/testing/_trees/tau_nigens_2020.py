"""TAU-NIGENS Spatial Sound Events 2020: four channels a file, each a clip; label files with a row per frame and event."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_ORDER = ("fold3", "fold1", "fold2", "fold4", "eval", "fold5", "fold6")  # the first three can be trained and tested on


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files: recordings as microphone array, four clips each."""
    for number in range(-(-clips // 4)):
        fold = _ORDER[number % len(_ORDER)]
        stem = f"mix{number + 1:03d}" if fold == "eval" else f"{fold}_room{1 + number % 2}_mix{number + 1:03d}_ov{1 + number % 2}"
        part = "eval" if fold == "eval" else "dev"
        events, rows = sounds.events(kind.labels, number), []
        for track, event in enumerate(events):
            frames = range(int(event.onset * 10), max(int(event.offset * 10), int(event.onset * 10) + 1))
            rows += [(frame, kind.labels.index(event.label), track, 10 * track - 90, -5) for frame in frames]
        text = "".join(",".join(map(str, row)) + "\n" for row in sorted(rows))
        write_text(root / f"metadata_{part}" / f"{stem}.csv", text)
        sounds.write_events(root / f"mic_{part}" / f"{stem}.wav", events, kind.labels, number, channels=4)
    return kind(root)
