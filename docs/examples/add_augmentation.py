"""An augmentation of your own: draw what is random, then do it; events go with the sound."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import Event
from dcasekit.augmentations import Augmentation


@dataclass(frozen=True, kw_only=True)
class Clipping(Augmentation):
    """Overdrive the recorder: amplify by a random gain, cut beyond full scale; events stay.

    Parameters
    ----------
    min_db, max_db : the gain is drawn evenly between them.
    """

    min_db: float = 6.0
    max_db: float = 18.0

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the gain; it is stored beside the copy, so that it can be made again."""
        return {"db": float(rng.uniform(self.min_db, self.max_db))}

    def transform(self, audio, events, params: Mapping[str, Any], *, sr):
        """Amplify and cut; nothing random happens here."""
        return np.clip(audio * 10 ** (params["db"] / 20), -1, 1), events


def check(folder: Path) -> None:
    """Change a recording, and a dataset on disk: what the tests of this page do."""
    from dcasekit import AugmentedDataset
    from dcasekit.datasets import SyntheticSounds

    clipping = Clipping(min_db=12.0, max_db=12.0)
    drawn = clipping.draw(np.random.default_rng(0))
    audio, events = clipping.apply([0.1, 0.5, -0.9], (Event(0, 1, "dog"),), drawn, sr=3)
    assert np.allclose(audio, [0.398, 1.0, -1.0], atol=1e-3)
    assert events == (Event(0, 1, "dog"),)
    assert (
        Augmentation.from_dict({"type": f"{__name__}:Clipping", "min_db": 12.0, "max_db": 12.0})
        == clipping
    )

    dataset = SyntheticSounds(folder, clips=4, seconds=0.5)
    dataset.download()
    augmented = AugmentedDataset(dataset, [clipping])
    augmented.process(jobs=1)
    assert len(augmented.clips) == 8
