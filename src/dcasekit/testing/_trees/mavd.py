"""MAVD: folders as URBAN-SED's, FLAC of 24 bit; a row per vehicle and one per component of it; the published split cuts sessions."""

from pathlib import Path

from dcasekit.annotations import Event
from dcasekit.core.files import write_text
from dcasekit.datasets.base import Dataset
from dcasekit.testing._make import Sounds

_PLACES = {"train": ("rivera",), "validate": ("rivera",), "test": ("acevedo", "magallanes", "templete")}


def make(kind: type[Dataset], root: Path, clips: int, sounds: Sounds) -> Dataset:
    """Write the files."""
    vehicles, components = kind.labels[:4], kind.labels[4:]
    for number in range(clips):
        session, fold = number // 6, kind.folds[number // 2 % 3]
        place = _PLACES[fold][session % len(_PLACES[fold])]
        name = f"{place}{900 + session:04}_{number % 2 + 2 * (fold == 'train'):02}"
        rows, heard = [], []
        for index, event in enumerate(sounds.events(components, number)):
            vehicle = vehicles[(number + index) % len(vehicles)]
            rows += [(event.onset, event.offset, vehicle), (event.onset, event.offset, f"{vehicle}/{event.label}")]
            heard += [event, Event(event.onset, event.offset, vehicle)]
        rows.append((0.0, sounds.seconds, ("chatter", "other", "music")[number % 3]))
        sounds.write_events(root / "audio" / fold / f"{name}.flac", heard, kind.labels, number, subtype="PCM_24")
        text = "".join(f"{onset:.3f}\t{offset:.3f}\t{label}\n" for onset, offset, label in sorted(rows))
        write_text(root / "annotations" / fold / f"{name}.txt", text)
    return kind(root)
