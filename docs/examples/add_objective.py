"""A loss of your own: a function of a step of training that gives what is to be minimised."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from dcasekit.containers.objectives import Step


def focal(step: Step, *, gamma: float = 2.0) -> Tensor:
    """Binary cross-entropy in which what is learned already counts less (Lin et al. 2017).

    Unknown targets, NaN, count nothing.

    Parameters
    ----------
    gamma : 0 is the plain cross-entropy.
    """
    losses = []
    for part in step.batches.values():  # one part, or those of `Together`
        logits = step.answer(part)
        known = ~part.y.isnan()
        target = part.y.nan_to_num()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target, reduction="none"
        )
        right = torch.where(target > 0.5, logits.sigmoid(), 1 - logits.sigmoid())
        losses.append(((1 - right) ** gamma * loss * known).sum() / known.sum().clamp(min=1))
    return torch.stack(losses).sum()


def check(folder: Path) -> None:
    """Train with it and compare with the built-in loss: what the tests of this page do."""
    import numpy as np

    from dcasekit.models import MLP

    rng = np.random.default_rng(0)
    y = np.repeat(np.eye(2, dtype=np.float32), 16, axis=0)
    x = rng.normal(size=(32, 6, 4)).astype(np.float32) + 2 * y[:, :1, None]
    how = {"epochs": 3, "seed": 0, "device": "cpu", "loss": "binary_cross_entropy"}
    plain = MLP().train((x, y), **how)
    same = MLP().train((x, y), objective=partial(focal, gamma=0.0), **how)
    assert np.allclose(
        [record["loss"] for record in plain], [record["loss"] for record in same], atol=1e-4
    )
    assert (
        MLP().train((x, y), objective=focal, resume=folder / "checkpoints", **how)[-1]["loss"]
        < plain[-1]["loss"]
    )
