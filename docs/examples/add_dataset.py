"""A dataset of your own format: say what is fixed as attributes, and yield its clips."""

from collections.abc import Iterator
from pathlib import Path

from dcasekit import Clip, Dataset
from dcasekit.datasets import CrossValidation, listed_path, read_table


class YardSounds(Dataset):
    """YardSounds: clips of dogs, cats and hens from a few yards, in three folds.

    No yard lies in two folds.

    Layout: ``audio/*.wav``, ``labels.csv`` (``filename``, ``label``, ``yard``, ``fold``).
    """

    task = "classification"
    labels = ("cat", "dog", "hen")
    folds = ("fold1", "fold2", "fold3")
    protocol = CrossValidation()  # each fold is tested once; the next one chooses the epoch
    licence = "CC BY 4.0"
    citation = "A. Author, 'Yard Sounds', 2026."

    def load(self) -> Iterator[Clip]:
        """Read ``labels.csv``; what is wrong in it is refused with file and line."""
        for row in read_table(self.root / "labels.csv", ("filename", "label", "yard", "fold")):
            yield Clip(
                id=Path(row["filename"]).stem,
                path=listed_path(self.root / "audio", row["filename"]),
                fold=row["fold"],
                group=row["yard"],  # a split never cuts a yard in two
                tags={row["label"]: 1.0},
            )


def check(folder: Path) -> None:
    """Make a small tree in this form and check the contract: what the tests of this page do."""
    import numpy as np

    from dcasekit import audio, testing

    rows = ["filename,label,yard,fold"]
    for number in range(18):
        fold = number % 3 + 1
        rows.append(
            f"{number}.wav,{YardSounds.labels[number // 3 % 3]},yard{fold}{number // 9},fold{fold}"
        )
        audio.write(
            folder / "audio" / f"{number}.wav",
            np.random.default_rng(number).normal(0, 0.1, 8000),
            8000,
        )
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    testing.check_dataset(YardSounds(folder))
