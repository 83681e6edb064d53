"""A batch augmentation of your own: a function of windows, targets and a random generator."""

from functools import partial
from pathlib import Path

import numpy as np


def swap_halves(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Exchange first and second half of some windows, and of their targets per frame.

    Parameters
    ----------
    x : (windows, frames, dims).
    y : (windows, labels) or (windows, frames, labels).
    share : of windows that are changed, on average.
    """
    chosen = rng.random(len(x)) < share
    middle = x.shape[1] // 2
    x = x.copy()
    x[chosen] = np.roll(x[chosen], middle, axis=1)
    if y.ndim == 3:
        y = y.copy()
        y[chosen] = np.roll(y[chosen], middle, axis=1)
    return x, y


def check(folder: Path) -> None:
    """Change a batch, and train with it: what the tests of this page do."""
    from dcasekit.models import MLP

    rng = np.random.default_rng(0)
    x = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
    swapped, _ = swap_halves(x, np.eye(2, dtype=np.float32), rng, share=1.0)
    assert swapped[0, :, 0].tolist() == [2, 3, 0, 1]

    windows, labels = (
        rng.normal(size=(20, 8, 4)).astype(np.float32),
        np.repeat(np.eye(2, dtype=np.float32), 10, axis=0),
    )
    history = MLP().train(
        (windows, labels), epochs=2, augment=[partial(swap_halves, share=0.3)]
    )
    assert len(history) == 2
