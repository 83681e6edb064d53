"""Weak, strong and soft labels: as a `Clip`, and in the targets that a network learns."""

from pathlib import Path

import numpy as np

from dcasekit import Clip, DataGenerator, Event, audio
from dcasekit.annotations import events_to_tags, harden
from dcasekit.datasets import CrossValidation, Dataset
from dcasekit.features import Mel, MelSpectrogram

STRONG = (Event(0.5, 1.0, "dog"), Event(1.5, 2.0, "cat"))  # what sounds, and when
SOFT = (
    Event(0.5, 1.0, "dog", 0.8),
    Event(1.5, 2.0, "cat", 0.2),
)  # four of five people heard the dog, one the cat


class Mixed(Dataset):
    """Mixed: one recording for each kind of knowledge about it, in two folds.

    Layout: ``0.wav`` ... ``3.wav``; the labels stand in this class.
    """

    task = "detection"
    labels = ("cat", "dog")
    folds = ("fold1", "fold2")
    protocol = CrossValidation()
    licence = "CC0"
    citation = "none"

    def load(self):
        """Give a strongly, a softly and a weakly labelled clip, and one without labels."""
        known = [
            {"events": STRONG, "tags": events_to_tags(STRONG)},
            {"events": SOFT, "tags": events_to_tags(SOFT)},
            {
                "events": None,
                "tags": {"dog": 1.0},
            },  # weak: a dog, we do not know when, and no cat
            {"events": None, "tags": None},  # nothing is known
        ]
        for number, what in enumerate(known):
            yield Clip(
                id=str(number),
                path=self.root / f"{number}.wav",
                fold=f"fold{number % 2 + 1}",
                **what,
            )


def targets(folder: Path) -> dict[str, np.ndarray]:
    """Give what a network learns of each clip in frames of half a second: (frames, labels)."""
    dataset = Mixed(folder)
    features = MelSpectrogram(
        sr=8000,
        audio_win=512,
        audio_hop=4000,
        mel=Mel(bands=16),
        sequence_time=2.0,
        sequence_hop_time=2.0,
    )
    features.extract(dataset)
    data = DataGenerator(dataset, features, folds=dataset.clips, train=False, target="frame")
    (batch,) = data
    return dict(zip(batch.clips, batch.y, strict=True))


def check(folder: Path) -> None:
    """Run it on made recordings: what the tests of this page do."""
    for number in range(4):
        audio.write(
            folder / f"{number}.wav", np.random.default_rng(number).normal(0, 0.1, 16000), 8000
        )
    found = targets(folder)
    assert found["0"].tolist() == [
        [0, 0],
        [0, 1],
        [0, 0],
        [1, 0],
    ]  # strong: cat and dog, frame by frame
    assert np.allclose(
        found["1"], [[0, 0], [0, 0.8], [0, 0], [0.2, 0]]
    )  # soft: the share that heard it
    assert (
        np.isnan(found["2"]).all()
    )  # weak: nobody knows when, so no frame teaches anything; its tags do, with target="clip"
    assert np.isnan(found["3"]).all()  # unknown: left out of every loss and every number
    assert harden(SOFT) == [
        Event(0.5, 1.0, "dog")
    ]  # a yes or no where one is needed: above one half
