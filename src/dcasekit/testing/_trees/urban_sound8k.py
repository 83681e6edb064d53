"""UrbanSound8K: a folder per fold; rates, depths and channels differ."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    forms = ((sounds.sr, "PCM_16", 1), (sounds.sr, "PCM_24", 2), (sounds.sr * 3 // 2, "FLOAT", 1))
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for number in range(clips):
        source = number // 2
        fold, label, start = 1 + source % 10, source // 10 % len(kind.labels), number % 2 * sounds.seconds
        name = f"{200000 + source}-{label}-0-{number % 2}.wav"
        rows.append(f"{name},{200000 + source},{start},{start + sounds.seconds},1,{fold},{label},{kind.labels[label]}")
        sr, subtype, channels = forms[source % len(forms)]
        sounds.write(root / "audio" / f"fold{fold}" / name, label, number, sr=sr, subtype=subtype, channels=channels)
    write_text(root / "metadata" / "UrbanSound8K.csv", "\n".join(rows) + "\n")
    return kind(root)
