"""The folders of a recipe's datasets: those given, else small datasets of synthetic sounds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dcasekit.core.files import is_ours
from dcasekit.core.units import Hz, Seconds
from dcasekit.testing import SMALL_TREE, make_dataset


def find(name: str, data: Mapping[str, Path], out: Path, *, clips: int = 60, seconds: Seconds = 1.0, seed: int = 0, sr: Hz = 16000) -> Path:
    """Return the folder of a dataset: the one given, else that of a small dataset of synthetic sounds, made below ``out/made`` if need be.

    Parameters
    ----------
    name : name of the dataset.
    data : dataset -> folder, as given to the recipe.
    out : folder of the recipe's run.
    clips, seconds, seed, sr : size of the small dataset, see `testing.make_dataset`.
    """
    if name in data:
        return data[name]
    folder = out / "made" / f"{name}-{clips}x{seconds:g}s-{sr:g}Hz-{seed}"
    if not is_ours(folder, SMALL_TREE):  # the mark is written last
        make_dataset(name, folder, clips=clips, seconds=seconds, seed=seed, sr=sr)
    return folder


def title(text: str, names: Sequence[str], data: Mapping[str, Path]) -> str:
    """Return a report's title: `text`, and a note if some datasets of the recipe (`names`) are made of synthetic sounds.

    >>> title("ESC-10 from scratch", ["esc10"], {})
    'ESC-10 from scratch, on synthetic sounds'
    """
    made = [name for name in names if name not in data or is_ours(data[name], SMALL_TREE)]
    if not made:
        return text
    return f"{text}, on synthetic sounds" + (f" in place of {', '.join(made)}" if len(made) < len(names) else "")
