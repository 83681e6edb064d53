"""FSDKaggle2019: a folder and a table per fold; several labels in a quoted cell; one of the clips that are known to be bad."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_TABLES = {
    "train_curated": ["fname,labels,freesound_id,license"],
    "train_noisy": ["fname,labels,flickr_video_URL,license"],
    "test": ["fname,labels,usage,freesound_id,license"],
}


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    tables = {fold: list(header) for fold, header in _TABLES.items()}
    for number in range(clips):
        source = number // 2
        fold, label = kind.folds[source % 3], source // 9 % len(kind.labels)
        name = f"{0x77B925C2 + number * 104729 & 0xFFFFFFFF:08x}.wav"
        labels = kind.labels[label] if number % 3 else f'"{kind.labels[label]},{kind.labels[label - 1]}"'
        origin = f"http://www.flickr.com/videos/8566600@N07/{4372020310 + source}/,CC BY 2.0"
        if fold != "train_noisy":
            origin = f"{400000 + source},CC0"
        usage = f"{('Public', 'Private')[number % 2]}," if fold == "test" else ""
        tables[fold].append(f"{name},{labels},{usage}{origin}")
        sounds.write(root / "audio" / fold / name, label, number)
    for fold, rows in tables.items():
        write_text(root / "meta" / f"{fold}_post_competition.csv", "\n".join(rows) + "\n")
    return kind(root)
