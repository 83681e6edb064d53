"""FSDKaggle2018: two folders of audio, two tables; the second names the leaderboard instead of a fold."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    train, test = ["fname,label,manually_verified,freesound_id,license"], ["fname,label,usage,freesound_id,license"]
    for number in range(clips):
        source = number // 2
        part, label = source % 3, source // 3 % len(kind.labels)
        name, origin = f"{0x1000AB + number * 7919:08x}.wav", f"{300000 + source},{('Attribution', 'Creative Commons 0')[source % 2]}"
        if part == 0:
            train.append(f"{name},{kind.labels[label]},{number % 2},{origin}")
        else:
            test.append(f"{name},{kind.labels[label]},{('Public', 'Private')[part - 1]},{origin}")
        sounds.write(root / "audio" / ("test" if part else "train") / name, label, number)
    write_text(root / "meta" / "train_post_competition.csv", "\n".join(train) + "\n")
    write_text(root / "meta" / "test_post_competition_scoring_clips.csv", "\n".join(test) + "\n")
    return kind(root)
