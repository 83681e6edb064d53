"""DESED: lists with tags and with events, clips without a list, soundscapes in a folder of their own; what is listed need not be there."""

from pathlib import Path

from dcasekit.core.files import write_rows
from dcasekit.datasets.base import Dataset
from dcasekit.datasets.desed import _STRONG
from dcasekit.testing._make import Sounds

_EVENTS = ("filename", "onset", "offset", "event_label")


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files: two clips in a row from one film; some validation clips are silent about events."""
    weak: list[tuple[str, ...]] = [("filename", "event_labels")]
    tables: dict[str, list[tuple[str, ...]]] = {fold: [] for fold in _STRONG}
    for number in range(clips):
        film = number // 2
        fold = kind.folds[film % len(kind.folds)]
        synthetic = fold.startswith("synthetic")
        name = f"{number}.wav" if synthetic else f"Yfilm{film:07d}_{10 * (number % 2)}.000_{10 * (number % 2) + 10}.000.wav"
        events = [] if fold == "validation" and film % 3 == 0 else sounds.events(kind.labels, number)
        folder = {"weak": "train/weak", "unlabelled": "train/unlabel_in_domain"}.get(fold) or _STRONG[fold][1]
        sounds.write_events(root.joinpath(*["dcase_synth"] * synthetic, "audio", folder, name), events, kind.labels, number)
        if fold == "weak":
            weak.append((name, ",".join(dict.fromkeys(event.label for event in events))))
        elif fold in tables:
            rows = [(name, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label) for event in events]
            tables[fold] += rows or [(name, "", "", "")]
    write_rows(root / "metadata" / "train" / "weak.tsv", weak)
    # A strong clip of a film that is tested on, too.
    tables["strong"] += [(row[0], "0.000", "0.100", kind.labels[0]) for row in tables["validation"][:1]]
    for fold, table in tables.items():
        write_rows(root.joinpath(*["dcase_synth"] * fold.startswith("synthetic"), "metadata", _STRONG[fold][0]), [_EVENTS, *table])
    return kind(root)
