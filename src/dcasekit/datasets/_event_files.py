"""Recordings in a folder per fold, each with an annotation file of its name in another: no list says what belongs there."""

from collections.abc import Iterator
from pathlib import Path

from dcasekit.annotations import Event
from dcasekit.core.cells import parse_number, shorten
from dcasekit.datasets._tables import not_found, read_list
from dcasekit.errors import AnnotationError, DatasetError


def pairs(root: Path, fold: str, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yield ``audio/<fold>/<name><suffix>`` and ``annotations/<fold>/<name>.txt`` of every name, sorted.

    Audio that lacks is left to `Dataset.validate` to find.

    Raises
    ------
    DatasetError : a folder of annotations is missing, or a recording has none: what sounds in it would be unknown.
    """
    audio, annotations = root / "audio" / fold, root / "annotations" / fold
    if not annotations.is_dir():
        raise not_found(annotations)
    listed, heard = ({path.stem for path in folder.glob(f"[!.]*{end}")} for folder, end in ((annotations, ".txt"), (audio, suffix)))
    if lacking := sorted(heard - listed):
        raise DatasetError(
            f"{annotations / lacking[0]}.txt does not exist, its audio {audio / lacking[0]}{suffix} does; "
            "run download(), or remove audio that does not belong to the dataset"
        )
    for name in sorted(listed):
        yield audio / f"{name}{suffix}", annotations / f"{name}.txt"


def rows(path: Path) -> Iterator[tuple[str, Event]]:
    """Yield where (file and line) and what of each row ``onset offset label`` of a file without header."""
    for where, row in read_list(path, ("onset", "offset", "label")):
        try:
            yield where, Event(parse_number(row[0]), parse_number(row[1]), row[2])
        except (ValueError, AnnotationError) as error:
            raise DatasetError(
                f"{where}: expected onset and offset in seconds and a label, got {shorten(row)} ({error}); correct the file"
            ) from error
