"""TAU Urban Acoustic Scenes 2022 Mobile: one channel, one segment by two devices, some clips in no list, shares of the training clips."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds
from dcasekit.testing._trees._urban_scenes import write

_DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files; the lists hold whole locations, half of all at least, because there are few."""
    made = write(kind, root, clips, sounds, devices=_DEVICES, channels=1, part="-0")
    train = [clip for clip in made.clips if clip.fold == "train"]
    places = list(dict.fromkeys(clip.group for clip in train))
    for share in (5, 10, 25, 50):
        kept = set(places[: -(-len(places) * max(share, 50) // 100)])
        rows = [f"{clip.path.relative_to(root).as_posix()}\t{next(iter(clip.tags or ()))}" for clip in train if clip.group in kept]
        write_text(root / f"split{share}.csv", "\n".join(["filename\tscene_label", *rows]) + "\n")
    return kind(root)
