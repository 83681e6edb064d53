"""Urban acoustic scenes: a meta table, and three lists for one split."""

from pathlib import Path

from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_CITIES = ("barcelona", "helsinki", "london", "paris", "stockholm", "vienna")
_ONLY_TESTED = ("s4", "s5", "s6")


def write(
    kind: type[Dataset],
    root: Path,
    clips: int,
    sounds: Sounds,
    *,
    devices: tuple[str, ...] = ("a",),
    channels: int = 2,
    header: bool = True,
    part: str = "",
) -> Dataset:
    """Write the files: two clips of each location, in neighbouring segments or by two devices; of three locations one is tested on.

    Parameters
    ----------
    part : what stands behind the segment in a file's name.
    """
    meta = ["filename\tscene_label\tidentifier\tsource_label"]
    parts: dict[str, list[str]] = {fold: [] for fold in kind.folds}
    for number in range(clips):
        place = number // 2
        scene, city = kind.labels[place // 3 % len(kind.labels)], _CITIES[place // 3 % len(_CITIES)]
        fold = kind.folds[place % len(kind.folds)]
        others = [one for one in devices[1:] if fold == "test" or one not in _ONLY_TESTED]
        device = others[place % len(others)] if number % 2 and others else devices[0]
        segment = place if len(devices) > 1 else number
        name = f"audio/{scene}-{city}-{place}-{segment}{part}-{device}.wav"
        meta.append(f"{name}\t{scene}\t{city}-{place}\t{device}")
        parts[fold].append(f"{name}\t{scene}")
        sounds.write(root / name, kind.labels.index(scene), number, subtype="PCM_24", channels=channels)
    write_text(root / "meta.csv", "\n".join(meta) + "\n")
    tested = [row.partition("\t")[0] for row in parts["test"]]
    for stem, rows, columns in (
        ("train", parts["train"], "filename\tscene_label"),
        ("test", tested, "filename"),
        ("evaluate", parts["test"], "filename\tscene_label"),
    ):
        path = root / "evaluation_setup" / f"fold1_{stem}.{'csv' if header else 'txt'}"
        write_text(path, "\n".join([columns, *rows] if header else rows) + "\n")
    return kind(root)
